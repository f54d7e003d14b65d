-- SPDX-License-Identifier: MIT
-- The processes whose addresses stand in tables. Their symbols are read while they run: the mappings of one that has
-- ended are gone.

local core = require("bpf.core")
local keys = require("bpf.trace.tables.keys")
local posix = require("bpf.base.posix")
local types = require("bpf.trace.types")

local Processes = {}
Processes.__index = Processes

local processes = {}

-- Seconds until the first look, and at most between two. The time doubles, because a program loads its libraries when
-- it begins.
local FIRST <const>, LONGEST <const> = 0.002, 0.5

-- The fields of a key that are processes.
local function fields_of(t)
  local list = {}
  for n, part in ipairs(t.parts) do
    if types.of_process(part.type) then
      list[#list + 1] = ("k%d_pid"):format(n)
    end
  end
  return list
end

-- What is to be looked at for the tables of a trace, and its command if there is one; nil if no address of a process
-- stands in a table.
function processes.new(tables, child)
  local list = {}
  for _, t in ipairs(tables.list) do
    local fields = fields_of(t)
    if fields[1] and t.map then
      list[#list + 1] = { map = t.map, fields = fields }
    end
  end
  return list[1] and setmetatable({ list = list, context = tables.context, child = child and child:pid(),
    pause = FIRST, due = posix.seconds() + FIRST }, Processes) or nil
end

-- Reads the symbols of processes that are seen for the first time, and those of the command again.
function Processes:read()
  local known = self.context.processes
  for _, t in ipairs(self.list) do
    for key in core.map.keys(t.map) do
      for _, field in ipairs(t.fields) do
        local pid = key[field]
        if known[pid] == nil and pid ~= self.child then
          keys.read_process(pid, self.context)
        end
      end
    end
  end
  if self.child then
    keys.read_process(self.child, self.context)
  end
end

-- Reads if it is time. Returns the seconds until the next time.
function Processes:run_due()
  local now = posix.seconds()
  if self.due <= now then
    self:read()
    self.pause = math.min(self.pause * 2, LONGEST)
    self.due = posix.seconds() + self.pause
  end
  return math.max(self.due - now, 0)
end

return processes

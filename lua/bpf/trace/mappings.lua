-- SPDX-License-Identifier: MIT
-- The mappings of code of processes, from what the kernel tells of each mapping, fork and end: processes that have
-- ended before their addresses are looked up get names, too.

local core = require("bpf.core")
local posix = require("bpf.base.posix")
local process = require("bpf.symbols.process")

local mappings = {}

local Mappings = { __name = "bpf.trace.mappings" }
Mappings.__index = Mappings

-- Processes that have ended and are still known.
local MOST <const> = 4096
local PAGES <const> = 64 -- for each CPU
local AT_A_TIME <const> = 50

-- Kinds of records, whose header is the kind, two bytes of flags and the size.
local EXIT <const>, FORK <const>, MAPPED <const> = 4, 7, 10
local HEADER <const>, PROCESSES <const> = "=I4I2I2", "=I4I4I4"
local FIELDS <const> = "=I4I4I8I8I8I4I4I8I8I4I4z"

-- Adds a mapping to a list, in place of those that it overlaps.
local function add(list, map)
  for n = #list, 1, -1 do
    if list[n].from < map.to and map.from < list[n].to then
      table.remove(list, n)
    end
  end
  list[#list + 1] = map
end

-- The mappings of a process, which are read where the kernel hasn't told of its beginning.
local function earlier(self, pid)
  if self.known[pid] == nil then
    self.known[pid] = process.mappings(pid) or {}
  end
  return self.known[pid]
end

local rows = {}

rows[MAPPED] = function(self, bytes, at, time)
  local pid, _, from, size, offset, major, minor, inode, _, _, _, name = FIELDS:unpack(bytes, at)
  local map = process.mapping(from, from + size, offset, ("%x:%x"):format(major, minor), inode, name)
  map.time = time
  add(earlier(self, pid), map)
  self.changed(pid)
end

-- A process begins with its parent's mappings. Another process may have had its number.
rows[FORK] = function(self, bytes, at, time)
  local pid, parent = PROCESSES:unpack(bytes, at)
  if pid == parent then -- a thread
    return
  end
  local list, own = {}, self.known[pid] or {}
  table.move(earlier(self, parent), 1, #earlier(self, parent), 1, list)
  for _, map in ipairs(own) do
    if map.time and map.time > time then
      add(list, map)
    end
  end
  self.known[pid] = list
end

rows[EXIT] = function(self, bytes, at)
  local pid, _, thread = PROCESSES:unpack(bytes, at)
  if pid == thread then
    self.last = self.last + 1
    self.ended[self.last] = pid
    local old = self.ended[self.last - MOST]
    if old then
      self.known[old], self.ended[self.last - MOST] = nil, nil
    end
  end
end

-- Begins to keep mappings. `changed(pid)` is called when a process has more. Returns nil, message, code where the
-- kernel doesn't tell.
function mappings.open(changed)
  local possible = core.cpus().possible
  local m, message, code = core.map.create {
    type = "perf_event_array", name = "trace_mappings", max_entries = possible[#possible] + 1,
  }
  if not m then
    return nil, message, code
  end
  local self = setmetatable({ map = m, known = {}, ended = {}, last = 0, changed = changed, come = {} }, Mappings)
  local function take(bytes)
    self.come[#self.come + 1] = { bytes = bytes, time = ("=I8"):unpack(bytes, #bytes - 7) }
  end
  self.reader, message, code = core.posix.changes(m, nil, take, { pages = PAGES })
  if not self.reader then
    core.map.close(m)
    return nil, message, code
  end
  return self
end

-- Keeps what a process has mapped now.
function Mappings:keep(pid)
  earlier(self, pid)
end

-- Keeps what some of the processes have mapped that were there before, until it has been through them all. Reading all
-- of them at once would take as long as the rest of a trace's start.
function Mappings:keep_some()
  self.before = self.before or posix.entries("/proc") or {}
  for _ = 1, math.min(AT_A_TIME, #self.before) do
    local pid = math.tointeger(tonumber(table.remove(self.before)))
    if pid then
      earlier(self, pid)
    end
  end
end

-- A descriptor that is readable when there is much to read; nil where there is none.
function Mappings:fd()
  return (self.reader:fd())
end

-- Reads what has come. Each CPU has memory of its own, so records are put in order.
function Mappings:consume()
  if self.reader:consume() == 0 then
    return
  end
  local come = self.come
  self.come = {}
  table.sort(come, function(a, b) return a.time < b.time end)
  for _, record in ipairs(come) do
    local kind, _, _, at = HEADER:unpack(record.bytes)
    if rows[kind] then
      rows[kind](self, record.bytes, at, record.time)
    end
  end
end

-- How many records found no room.
function Mappings:lost()
  return self.reader:lost()
end

-- What finds the symbols of a process, as bpf.symbols.process returns it; or nil.
function Mappings:process(pid)
  local now = process.mappings(pid)
  local list = table.move(self.known[pid] or {}, 1, #(self.known[pid] or {}), 1, {})
  for _, map in ipairs(now or {}) do
    add(list, map)
  end
  table.sort(list, function(a, b) return math.ult(a.from, b.from) end)
  local lives = now ~= nil and now[1] ~= nil
  return (lives or list[1]) and process.new(pid, list, not lives and "/" or nil) or nil
end

function Mappings:close()
  self.reader:close()
  core.map.close(self.map)
end

return mappings

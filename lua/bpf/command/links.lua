-- SPDX-License-Identifier: MIT
-- lua-bpf links.

local bpf = require("bpf")
local held = require("bpf.command.held")
local list = require("bpf.command.list")

local USAGE <const> = [[
Usage: lua-bpf links [--json] [ID...]

Lists all links of the kernel, or only those with the given ids: which program is attached, and where.

]] .. list.HELP

local GENERAL = { id = true, type = true, prog_id = true, program = true, processes = true }

-- What is told of a link beyond what all have: where it is attached.
local function place_of(info)
  local places = {}
  for name, value in pairs(info) do
    if not GENERAL[name] then
      places[#places + 1] = ("%s %s"):format(name, value)
    end
  end
  table.sort(places)
  return table.concat(places, ", ")
end

local function run(given, names)
  local items = list.collect(bpf.links, bpf.link_info, names, list.only_ids(USAGE))
  local of = held.owners().link
  for _, info in ipairs(items) do
    local prog = info.prog_id ~= 0 and bpf.prog_info(info.prog_id)
    info.program = prog and prog.name or nil
    info.processes = of[info.id] or {}
  end
  list.print(items, {
    { name = "ID", field = "id" },
    { name = "TYPE", field = "type" },
    { name = "PROGRAM", field = "prog_id", align = "left", format = function(id, info)
      return id == 0 and "-" or ("%s (%d)"):format(info.program or "?", id)
    end },
    { name = "WHERE", field = "type", format = function(_, info) return place_of(info) end },
    { name = "PROCESSES", field = "processes", format = held.processes_text },
  }, given)
end

return { usage = USAGE, arguments = { "link..." }, options = list.OPTIONS, run = run }

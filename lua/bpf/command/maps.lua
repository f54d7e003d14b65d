-- SPDX-License-Identifier: MIT
-- lua-bpf maps.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local held = require("bpf.command.held")
local list = require("bpf.command.list")
local target = require("bpf.command.target")

local hist, map = bpf.hist, bpf.map

local USAGE <const> = [[
Usage: lua-bpf maps [--json] [MAP...]

Lists all maps of the kernel, or only the given ones. A MAP is an id, the path of a pin, or a name.
  MEMORY     kernel memory that the map takes
  PROCESSES  processes that have the map open; programs and pins may keep a map, too

]] .. list.HELP

local function run(given, names)
  local items = list.collect(bpf.maps, bpf.map_info, names, function(name)
    local m <close> = target.open(name)
    return frame.need(map.info(m)).id
  end)
  local of = held.owners().map
  for _, info in ipairs(items) do
    info.memory = held.map_memory(info.id)
    info.processes = of[info.id] or {}
  end
  list.print(items, {
    { name = "ID", field = "id" },
    { name = "NAME", field = "name", format = list.or_dash },
    { name = "TYPE", field = "type" },
    { name = "KEY", field = "key_size" },
    { name = "VALUE", field = "value_size" },
    { name = "ENTRIES", field = "max_entries" },
    { name = "MEMORY", field = "memory", format = hist.bytes, align = "right" },
    { name = "PROCESSES", field = "processes", format = held.processes_text },
  }, given)
end

return { usage = USAGE, arguments = { "map..." }, options = list.OPTIONS, run = run }

-- SPDX-License-Identifier: MIT
-- lua-bpf links.

local bpf = require("bpf")
local list = require("bpf.command.list")

local USAGE <const> = [[
Usage: lua-bpf links [--json] [LINK...]

Lists all links of the kernel, or only the given ones: which program is attached, and where. A LINK is an id, the path
of a pin, or the name or tag of its program. All links of a program's name or tag are listed.
  WHERE      where the program is attached. Interfaces have the name of this network namespace
  PINS       where the link is pinned
  PROCESSES  processes that have the link open; pins may keep a link, too
  --json     print a JSON array of objects instead of a table

Example: lua-bpf links filter_packets
]]

-- Fields that have a column, or that stand behind another.
local GENERAL <const> = { id = true, type = true, prog_id = true, program = true, processes = true, pins = true,
  interface = true, cgroup = true }

-- Fields with a name for their number.
local NAMED <const> = { ifindex = "interface", cgroup_id = "cgroup" }

-- What is told of a link beyond what all have: where it is attached.
local function place_of(info)
  local places = {}
  for field, value in pairs(info) do
    if not GENERAL[field] then
      local name = NAMED[field] and info[NAMED[field]]
      places[#places + 1] = ("%s %s%s"):format(field, value, name and (" (%s)"):format(name) or "")
    end
  end
  table.sort(places)
  return table.concat(places, ", ")
end

local function program_text(id, info)
  return id == 0 and "-" or ("%s (%d)"):format(info.program or "?", id)
end

local function run(given, names)
  local items = list.collect("link", names)
  for _, info in ipairs(items) do
    local prog = info.prog_id ~= 0 and bpf.prog_info(info.prog_id)
    info.program = prog and prog.name or nil
    info.interface = info.ifindex and info.ifindex ~= 0 and bpf.interface_name(info.ifindex) or nil
    info.cgroup = info.cgroup_id and bpf.cgroup_path(info.cgroup_id) or nil
  end
  list.print(items, {
    { name = "ID", field = "id" },
    { name = "TYPE", field = "type" },
    { name = "PROGRAM", field = "prog_id", align = "left", format = program_text },
    { name = "WHERE", field = "type", format = function(_, info) return place_of(info) end },
    list.PINS,
    list.PROCESSES,
  }, given)
end

return { usage = USAGE, arguments = { "link..." }, options = list.OPTIONS, run = run }

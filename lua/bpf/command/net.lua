-- SPDX-License-Identifier: MIT
-- lua-bpf net; and what lua-bpf detach shares with it.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local list = require("bpf.command.list")

local USAGE <const> = [[
Usage: lua-bpf net [--json] [INTERFACE|CGROUP...]

Lists the programs that are attached to interfaces, to this network namespace, to cgroups and to maps of sockets, or
only those of the given interfaces and cgroups. A CGROUP is a path with a slash; those below it are listed, too.
  POINT      the mode of xdp, the direction of tc, tcx and netkit, the attach type elsewhere
  LINK       the link that attaches the program. A program without a link stays when its process ends, and only
             lua-bpf detach or another tool takes it off
  --json     print a JSON array of objects instead of a table

Example: lua-bpf net eth0
]]

local net = { usage = USAGE, options = list.OPTIONS }

-- What an item is attached to, and where there.
function net.place(item)
  local map = item.map_id and ("map %s (%d)"):format(item.map, item.map_id)
  return item.interface or item.cgroup or map or "this namespace"
end

function net.point(item)
  return item.mode or item.attach_point or item.attach_type
end

function net.program(item)
  return ("%s (%d)"):format(item.program or "?", item.prog_id)
end

local function hexadecimal(handle)
  return handle and ("0x%x"):format(handle) or ""
end

local function is_tc(item)
  return item.kind == "tc"
end

local COLUMNS <const> = {
  { name = "KIND", field = "kind" },
  { name = "PLACE", field = "kind", format = function(_, item) return net.place(item) end },
  { name = "POINT", field = "kind", format = function(_, item) return net.point(item) end },
  { name = "PRIORITY", field = "kind", align = "right", shown = is_tc,
    format = function(_, item) return item.priority and tostring(item.priority) or "" end },
  { name = "HANDLE", field = "kind", align = "right", shown = is_tc,
    format = function(_, item) return hexadecimal(item.handle) end },
  { name = "PROGRAM", field = "kind", format = function(_, item) return net.program(item) end },
  { name = "LINK", field = "kind",
    format = function(_, item) return item.link_id and tostring(item.link_id) or "-" end },
}

function net.print(items, given)
  list.print(items, COLUMNS, given)
end

-- The items as a table of text.
function net.text(items)
  return list.text(items, COLUMNS, math.huge)
end

-- Adds what is attached to an interface or cgroup; nil: everywhere.
function net.collect(items, place)
  local options = place and { [place:find("/", 1, true) and "cgroup" or "interface"] = place }
  for item in frame.need(bpf.attached(options)) do
    items[#items + 1] = item
  end
end

function net.run(given, places)
  local items = {}
  if #places == 0 then
    net.collect(items)
  end
  for _, place in ipairs(places) do
    net.collect(items, place)
  end
  net.print(items, given)
end

return net

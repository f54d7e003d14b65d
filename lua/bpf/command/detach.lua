-- SPDX-License-Identifier: MIT
-- lua-bpf detach.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local net = require("bpf.command.net")
local target = require("bpf.command.target")

local USAGE <const> = [[
Usage: lua-bpf detach KIND PLACE [POINT] [--program PROG] [--priority N] [--handle N] [--all] [--json]
       lua-bpf detach link LINK

Detaches a program, and prints what it was. lua-bpf net shows what is attached, with KIND, PLACE and POINT:
  xdp INTERFACE [native|skb|offload]
  tc INTERFACE [ingress|egress]
  tcx INTERFACE [ingress|egress]
  netkit INTERFACE [primary|peer]
  cgroup PATH [TYPE]    TYPE is an attach type, such as cgroup_inet_egress
  link LINK             the id or pin of a link, or the name or tag of its program. The pin stays
If several programs fit, none is detached, unless --all is given.
  --program PROG   only this program: id, name or tag
  --priority N     only the tc filter of this priority
  --handle N       only the tc filter with this handle: a number, 0x1 or 1
  --all            detach all that fit
  --json           print a JSON array of what was detached

Example: lua-bpf detach tc eth0 ingress --program mytool_in
]]

local KINDS <const> = { "xdp", "tc", "tcx", "netkit", "cgroup", "link" }

local NAME <const> = 15 -- bytes that the kernel keeps of a name

local function number(text)
  local n = math.tointeger(tonumber(text))
  return n and n >= 0 and n or nil, "a whole number"
end

local function is_program(item, text)
  return tostring(item.prog_id) == text or item.program == text:sub(1, NAME) or item.tag == text
end

-- Whether an item is meant. Those below a cgroup aren't.
local function fits(item, kind, place, point, given)
  return item.kind == kind
    and (kind ~= "cgroup" or item.cgroup == place)
    and (not point or net.point(item) == point)
    and (not given.program or is_program(item, given.program))
    and (not given.priority or item.priority == given.priority)
    and (not given.handle or item.handle == given.handle)
end

local function find(kind, place, point, given)
  local all, items = {}, {}
  if kind == "cgroup" then
    place = place:find("/", 1, true) and place or "./" .. place
    place = #place > 1 and place:gsub("/+$", "") or place
  end
  net.collect(all, place)
  for _, item in ipairs(all) do
    if fits(item, kind, place, point, given) then
      items[#items + 1] = item
    end
  end
  local where = point and place .. " " .. point or place
  if #items == 0 then
    frame.fail(("nothing of kind %s that fits is attached to %s%s"):format(kind, where,
      #all > 0 and ", but:\n" .. net.text(all) or ""))
  elseif #items > 1 and not given.all then
    frame.fail(("%d programs fit. Name the POINT, --program, --priority and --handle, or --all:\n%s"):format(#items,
      net.text(items)))
  end
  return items
end

-- A link as an item of bpf.attached.
local function find_link(text)
  local info = target.infos("link", { text })
  if #info > 1 then
    local ids = {}
    for i, link in ipairs(info) do
      ids[i] = link.id
    end
    frame.fail(("%d links are called '%s': ids %s"):format(#ids, text, table.concat(ids, ", ")))
  end
  local link = info[1]
  local prog = bpf.prog_info(link.prog_id) or {}
  return { kind = link.type, link_id = link.id, prog_id = link.prog_id, program = prog.name, tag = prog.tag,
    interface = link.ifindex and bpf.interface_name(link.ifindex), attach_type = link.attach_type,
    cgroup = link.cgroup_id and bpf.cgroup_path(link.cgroup_id) }
end

local function detach_link(item)
  local link = frame.need(bpf.link.by_id(item.link_id))
  frame.need(link:detach())
end

-- "tc near ingress, priority 7, handle 0x3: program one (12)"
local function told(item)
  local words = { item.kind, item.interface or item.cgroup, net.point(item) }
  local text = {}
  for i = 1, 3 do
    text[#text + 1] = words[i]
  end
  local more = item.handle and (", priority %d, handle 0x%x"):format(item.priority, item.handle) or ""
  more = more .. (item.link_id and (", link %d"):format(item.link_id) or "")
  return ("detached %s%s: program %s"):format(table.concat(text, " "), more, net.program(item))
end

local function run(given, arguments)
  local kind, place, point = table.unpack(arguments)
  local known = {}
  for _, name in ipairs(KINDS) do
    known[name] = true
  end
  if not kind then
    frame.misuse("which kind?", USAGE)
  elseif not known[kind] then
    frame.unknown(kind, KINDS, USAGE)
  elseif not place then
    frame.misuse(("which %s?"):format(kind == "link" and "link" or kind == "cgroup" and "cgroup" or "interface"), USAGE)
  elseif arguments[4] or kind == "link" and point then
    frame.misuse("not understood: " .. (arguments[4] or point), USAGE)
  end
  local items = kind == "link" and { find_link(place) } or find(kind, place, point, given)
  for _, item in ipairs(items) do
    if kind == "link" then
      detach_link(item)
    else
      frame.need(bpf.detach(item))
    end
    if not given.json then
      frame.print_line(told(item))
    end
  end
  if given.json then
    frame.print_line(bpf.json(items))
  end
end

return {
  usage = USAGE,
  arguments = { KINDS },
  options = { program = { read = frame.any, complete = "prog" }, priority = number, handle = number, all = true,
    json = true },
  run = run,
}

-- SPDX-License-Identifier: MIT
--- What is attached to interfaces, to the network namespace, to cgroups and to maps of sockets, with or without a link.
-- src/system/attached.c asks the kernel; here its answers become a list.
-- @module bpf

local bpf = require("bpf.core")
local argument = require("bpf.base.argument")

local c = bpf.posix.attached
local error = argument.error

local attached = {}

-- What can be attached to -----------------------------------------------------------------------------------------

local MODES <const> = { "native", "skb", "offload" }

-- The kernel's numbers of attach types, which are ABI. libbpf may be older than the kernel and lack the names.
local LISTS <const> = {
  { kind = "tcx", attach_point = "ingress", number = 46 },
  { kind = "tcx", attach_point = "egress", number = 47 },
  { kind = "netkit", attach_point = "primary", number = 54 },
  { kind = "netkit", attach_point = "peer", number = 55 },
}

-- Names by number, from runs of names that begin with the first one's number.
local function numbered(runs)
  local names = {}
  for _, run in ipairs(runs) do
    table.move(run, 2, #run, run[1], names)
  end
  return names
end

local TYPES <const> = {
  netns = numbered { { 17, "flow_dissector" }, { 36, "sk_lookup" } },
  sockmap = numbered {
    { 4, "sk_skb_stream_parser", "sk_skb_stream_verdict" }, { 7, "sk_msg_verdict" }, { 38, "sk_skb_verdict" },
  },
  cgroup = numbered {
    { 0, "cgroup_inet_ingress", "cgroup_inet_egress", "cgroup_inet_sock_create", "cgroup_sock_ops" },
    { 6, "cgroup_device" },
    { 8, "cgroup_inet4_bind", "cgroup_inet6_bind", "cgroup_inet4_connect", "cgroup_inet6_connect",
      "cgroup_inet4_post_bind", "cgroup_inet6_post_bind", "cgroup_udp4_sendmsg", "cgroup_udp6_sendmsg" },
    { 18, "cgroup_sysctl", "cgroup_udp4_recvmsg", "cgroup_udp6_recvmsg", "cgroup_getsockopt", "cgroup_setsockopt" },
    { 29, "cgroup_inet4_getpeername", "cgroup_inet6_getpeername", "cgroup_inet4_getsockname",
      "cgroup_inet6_getsockname" },
    { 34, "cgroup_inet_sock_release" },
    { 43, "lsm_cgroup" },
    { 49, "cgroup_unix_connect", "cgroup_unix_sendmsg", "cgroup_unix_recvmsg", "cgroup_unix_getpeername",
      "cgroup_unix_getsockname" },
  },
}
local LAST_TYPE <const> = 55
attached.TYPES = TYPES

local CGROUP_FLAGS <const> = { "override", "multi" } -- by BPF_F_ALLOW_OVERRIDE and BPF_F_ALLOW_MULTI

local NETNS_PATH <const> = "/proc/self/ns/net"

-- tc's handles: the parents of filters at the ends of an interface.
local INGRESS <const>, EGRESS <const> = 0xfffffff2, 0xfffffff3

-- The number of an attach type's name.
local function number_of(kind, name)
  for number = 0, LAST_TYPE do
    if TYPES[kind][number] == name then
      return number
    end
  end
end

-- Raised as the reason why the list can't be made, and returned as nil, message, code.
local Failure = {}

local function need(value, message, code)
  if value == nil then
    error(setmetatable({ message = message, code = code }, Failure), 0)
  end
  return value
end

-- What is gone since it was listed, or of a sort that this kernel doesn't know, has no programs.
local ABSENT <const> = { EINVAL = true, ENODEV = true, ENOENT = true, EOPNOTSUPP = true, ENXIO = true }

local function or_none(value, message, code)
  if value == nil and ABSENT[code] then
    return {}
  end
  return need(value, message, code)
end

-- One look ---------------------------------------------------------------------------------------------------------

local Look = {}
Look.__index = Look

-- Where a link attaches: the first part of the key of what it attaches.
local LINKS <const> = {
  xdp = function(link) return link.ifindex end,
  tcx = function(link) return link.ifindex .. ":" .. tostring(link.attach_type) end,
  netkit = function(link) return link.ifindex .. ":" .. tostring(link.attach_type) end,
  netns = function(link) return link.netns_ino .. ":" .. tostring(link.attach_type) end,
  cgroup = function(link) return link.cgroup_id .. ":" .. tostring(link.attach_type) end,
  sockmap = function(link) return link.map_id .. ":" .. tostring(link.attach_type) end,
}

local function key_of(kind, place, prog_id)
  return kind .. " " .. place .. " " .. prog_id
end

function Look:read_links()
  for info in need(bpf.links()) do
    local place = LINKS[info.type]
    if place then
      local key = key_of(info.type, place(info), info.prog_id)
      self.links[key] = self.links[key] or {}
      table.insert(self.links[key], info.id)
    end
  end
end

-- The link of a program, or nil. `places` are the names that the place may have in the link's information.
function Look:link_of(kind, prog_id, ...)
  for _, place in ipairs { ... } do
    local ids = self.links[key_of(kind, place, prog_id)]
    if ids and ids[1] then
      return table.remove(ids, 1)
    end
  end
end

-- Adds an attachment, with what there is to say about its program.
function Look:add(item)
  local id = item.prog_id
  local prog = self.progs[id] or bpf.prog_info(id) or {}
  self.progs[id] = prog
  item.program, item.tag = prog.name, prog.tag
  self.items[#self.items + 1] = item
end

function Look:add_xdp(interface)
  for _, mode in ipairs(MODES) do
    local id = interface[mode]
    if id then
      self:add { kind = "xdp", interface = interface.interface, ifindex = interface.ifindex, mode = mode, prog_id = id,
        link_id = self:link_of("xdp", id, interface.ifindex) }
    end
  end
end

function Look:add_filters(interface, parent, attach_point)
  for _, filter in ipairs(or_none(c.filters(interface.ifindex, parent))) do
    filter.kind, filter.interface, filter.ifindex = "tc", interface.interface, interface.ifindex
    filter.attach_point, filter.parent = attach_point, parent
    self:add(filter)
  end
end

-- A handle of tc's as its tools show it.
local function handle_text(handle)
  return ("%x:%x"):format(handle >> 16, handle & 0xffff)
end

function Look:add_tc(interface)
  for _, qdisc in ipairs(self.qdiscs) do
    if qdisc.ifindex ~= interface.ifindex then -- luacheck: ignore
    elseif qdisc.kind == "clsact" or qdisc.kind == "ingress" then
      self:add_filters(interface, INGRESS, "ingress")
      if qdisc.kind == "clsact" then
        self:add_filters(interface, EGRESS, "egress")
      end
    elseif qdisc.handle ~= 0 then
      self:add_filters(interface, qdisc.handle, handle_text(qdisc.handle))
    end
  end
  for _, class in ipairs(or_none(c.qdiscs(interface.ifindex))) do
    if class.handle & 0xffff ~= 0 then
      self:add_filters(interface, class.handle, handle_text(class.handle))
    end
  end
end

function Look:add_lists(interface)
  for _, row in ipairs(LISTS) do
    for _, id in ipairs(or_none(c.programs(interface.ifindex, row.number))) do
      local place = interface.ifindex .. ":"
      self:add { kind = row.kind, interface = interface.interface, ifindex = interface.ifindex,
        attach_point = row.attach_point, prog_id = id,
        link_id = self:link_of(row.kind, id, place .. row.kind .. "_" .. row.attach_point, place .. row.number) }
    end
  end
end

-- Adds the programs at a place of bpf(2), of all its attach types; `common` are fields of all of them.
function Look:add_types(common, target, place)
  for number = 0, LAST_TYPE do
    local name = TYPES[common.kind][number]
    local ids, flags, code
    if name then
      ids, flags, code = c.programs(target, number)
    end
    for _, id in ipairs(name and or_none(ids, flags, code) or {}) do
      local item = { attach_type = name, prog_id = id, flags = common.kind == "cgroup" and CGROUP_FLAGS[flags] or nil,
        link_id = self:link_of(common.kind, id, place .. ":" .. name, place .. ":" .. number) }
      for field, value in pairs(common) do
        item[field] = value
      end
      self:add(item)
    end
  end
end

function Look:add_cgroups(path)
  local id, message, code = c.inode(path)
  if not id then
    or_none(id, message, code)
    return
  end
  self:add_types({ kind = "cgroup", cgroup = path, cgroup_id = id }, path, id)
  local names = or_none(c.folders(path))
  table.sort(names)
  for _, name in ipairs(names) do
    self:add_cgroups((path == "/" and "" or path) .. "/" .. name)
  end
end

function Look:add_sockmaps()
  for info in need(bpf.maps()) do
    if info.type == "sockmap" or info.type == "sockhash" then
      local map = bpf.map.by_id(info.id, "rdonly")
      if map then
        self:add_types({ kind = "sockmap", map_id = info.id, map = info.name }, bpf.map.fd(map), info.id)
        bpf.map.close(map)
      end
    end
  end
end

-- Where cgroup2 is mounted, or nil.
local function cgroup_root()
  local mounts <close> = io.open("/proc/self/mounts")
  for line in mounts and mounts:lines() or function() end do
    local path = line:match("^%S+ (%S+) cgroup2 ")
    if path then
      return (path:gsub("\\([0-7][0-7][0-7])", function(octal) return string.char(tonumber(octal, 8)) end))
    end
  end
end

function Look:add_interfaces(wanted)
  local found
  self.qdiscs = need(c.qdiscs())
  for _, interface in ipairs(need(c.interfaces())) do
    if not wanted or wanted == interface.interface or wanted == interface.ifindex then
      found = true
      self:add_xdp(interface)
      self:add_tc(interface)
      self:add_lists(interface)
    end
  end
  if wanted and not found then
    need(nil, ("attached: no such network interface '%s' (ENODEV)"):format(wanted), "ENODEV")
  end
end

local function list(options)
  local look = setmetatable({ items = {}, links = {}, progs = {} }, Look)
  local everything = not options.interface and not options.cgroup
  look:read_links()
  if everything or options.interface then
    look:add_interfaces(options.interface)
  end
  if everything then
    local inode = c.inode(NETNS_PATH)
    if inode then
      look:add_types({ kind = "netns" }, NETNS_PATH, inode)
    end
    look:add_sockmaps()
  end
  local path = options.cgroup or everything and cgroup_root()
  if path then
    need(c.inode(path))
    look:add_cgroups(path)
  end
  return look.items
end

local OPTIONS <const> = { interface = { string = true, integer = true }, cgroup = { string = true } }

local function check(options)
  argument.check(1, "attached", options, "table", 3)
  for name, value in next, options do
    if not OPTIONS[name] then
      error(("attached: option '%s' is unknown (one of: cgroup, interface)"):format(name), 3)
    elseif not OPTIONS[name][math.type(value) or type(value)] then
      error(("attached: option '%s' can't be a %s"):format(name, type(value)), 3)
    elseif type(value) == "string" and value:find("\0", 1, true) then
      error(("attached: option '%s' has a NUL byte in it"):format(name), 3)
    end
  end
end

--- Iterates over the programs that are attached to interfaces, to this process's network namespace, to cgroups and to
-- maps of sockets: `for item in assert(bpf.attached()) do`. It finds what `bpf.links` doesn't: tc filters, XDP by
-- netlink and attachments without a link, which a killed process may have left. The list is made by the call.
--
-- Each item is a table with these fields, as far as they apply:
--
-- - kind: "xdp", "tc", "tcx", "netkit", "cgroup", "netns" or "sockmap"
-- - prog_id, program (its name) and tag
-- - link_id: the link that attaches the program; nil if there is none
-- - of xdp, tc, tcx and netkit: interface (name) and ifindex
-- - of xdp: mode ("native", "skb" or "offload")
-- - of tc, tcx and netkit: attach_point ("ingress", "egress", "primary", "peer"; of tc also the handle of a queueing
--   discipline or class, such as "1:0")
-- - of tc: priority, handle, protocol, chain, direct_action, name (that of the filter) and block (of a shared one)
-- - of cgroup: cgroup (path), cgroup_id, attach_type, and flags ("multi" or "override", or nil)
-- - of netns: attach_type; of sockmap: map_id, map (name) and attach_type
-- @function bpf.attached
-- @tparam ?table options
-- - interface: name or index: only what is attached to this interface
-- - cgroup: path: only what is attached to this cgroup and those below it
-- @treturn function iterator over the tables
-- @treturn nil,string,string on failure: EPERM (no CAP_SYS_ADMIN, no CAP_NET_ADMIN), ENODEV, ENOENT
-- @usage
-- for item in assert(bpf.attached { interface = "lo" }) do
--   print(item.kind, item.attach_point or item.mode, item.program, item.link_id and "link" or "no link")
-- end
-- @since kernel 5.8; maps of sockets 5.18
function attached.attached(options)
  options = options or {}
  check(options)
  local ok, items = pcall(list, options)
  if not ok and getmetatable(items) == Failure then
    return nil, items.message, items.code
  elseif not ok then
    error(items, 0)
  end
  local i = 0
  return function()
    i = i + 1
    return items[i]
  end
end

-- How each kind is detached.
local DETACH <const> = {
  xdp = function(item) return c.detach_xdp(item.ifindex, item.mode, item.prog_id) end,
  tc = function(item) return c.detach_tc(item) end,
  netns = function(item) return c.detach(NETNS_PATH, number_of("netns", item.attach_type), item.prog_id) end,
  cgroup = function(item) return c.detach(item.cgroup, number_of("cgroup", item.attach_type), item.prog_id) end,
  sockmap = function(item)
    local map, message, code = bpf.map.by_id(item.map_id)
    if not map then
      return nil, message, code
    end
    local results = table.pack(c.detach(bpf.map.fd(map), number_of("sockmap", item.attach_type), item.prog_id))
    bpf.map.close(map)
    return table.unpack(results, 1, results.n)
  end,
}

local function detach_list(item)
  for _, row in ipairs(LISTS) do
    if row.kind == item.kind and row.attach_point == item.attach_point then
      return c.detach(item.ifindex, row.number, item.prog_id)
    end
  end
end
DETACH.tcx, DETACH.netkit = detach_list, detach_list

-- Detaches by the link, unless it was detached or got another program meanwhile.
local function detach_link(item)
  local link, message, code = bpf.link.by_id(item.link_id)
  local info = link
  if link then
    info, message, code = link:info()
  end
  if not info then
    return nil, message, code
  end
  local place = info.ifindex or info.cgroup_id or info.netns_ino or info.map_id
  if place == 0 or info.prog_id ~= item.prog_id then
    link:close()
    code = place == 0 and "ENOENT" or "EEXIST"
    return nil, ("detach: it is no longer attached there (%s)"):format(code), code
  end
  return link:detach()
end

--- Detaches a program that `bpf.attached` has found. If another program has taken its place meanwhile, nothing is
-- detached. A link is detached even if its process lives or it is pinned.
-- @function bpf.detach
-- @tparam table item one of the tables of bpf.attached
-- @treturn true
-- @treturn nil,string,string on failure: ENOENT or EEXIST (it isn't attached there any more), EPERM
-- @usage
-- for item in assert(bpf.attached { interface = "lo" }) do
--   if item.program == "mytool_in" and not item.link_id then
--     assert(bpf.detach(item))
--   end
-- end
-- @see bpf_link_detach, bpf_xdp_detach, bpf_prog_detach2
-- @since kernel 5.9
function attached.detach(item)
  argument.check(1, "detach", item, "table", 2)
  local way = DETACH[item.kind]
  if not way or math.type(item.prog_id) ~= "integer" then
    error("bad argument #1 to 'detach' (an item of bpf.attached expected)", 2)
  end
  if item.link_id then
    return detach_link(item)
  end
  return way(item)
end

return attached

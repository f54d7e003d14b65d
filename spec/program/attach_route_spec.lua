-- SPDX-License-Identifier: MIT
-- Programs of routes and tc's actions: the kernel has netlink alone for them, and iproute2 attaches what is pinned.
local socket = require("socket")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local attach = require("spec.support.attach")
local net = require("spec.support.net")

kernel.root()

local PORT = 7040
local OK, DROP = 0, 2 -- BPF_OK, BPF_DROP; TC_ACT_SHOT

local here, there, obj

before_each(function()
  here, there = net.space(), net.space()
  net.cable({ space = here, name = "near", address = "10.40.0.1/24", mac = "02:00:00:00:40:01" },
    { space = there, name = "far", address = "10.40.0.2/24", mac = "02:00:00:00:40:02" })
  net.neighbour(here, "near", "10.40.0.2", "02:00:00:00:40:02")
  net.neighbour(there, "far", "10.40.0.1", "02:00:00:00:40:01")
  net.enter(here)
end)

after_each(function()
  if obj then
    obj:close()
    obj = nil
  end
  net.remove()
end)

-- Loads the program, pins it, and gives its path.
local function pinned(name)
  obj = assert(attach.load("attach_route", { name }))
  local path = helper.bpffs() .. "/" .. name
  assert(obj.progs[name]:pin(path))
  return path
end

-- A datagram "x" to 10.41.0.1, an address of the other end, and a "y" behind it once `between` was called, if given.
-- Returns what arrives there first, or why "x" wasn't sent.
local function send(between)
  net.must(("ip -n %s addr replace 10.41.0.1/32 dev lo"):format(there))
  local closes = { __close = function(s) s[1]:close() end }
  local to <close> = setmetatable({ net.udp(there, 5, "10.41.0.1", PORT) }, closes)
  local from <close> = setmetatable({ net.udp(here, 5) }, closes)
  local ok, message = from[1]:sendto("x", "10.41.0.1", PORT)
  if ok and between then
    between()
    assert(from[1]:sendto("y", "10.41.0.1", PORT))
  end
  return ok and to[1]:receive() or message
end

-- Switches on a setting of this namespace.
local function set(name)
  local file <close> = assert(io.open("/proc/sys/net/" .. name, "w"))
  assert(file:write("1\n"))
end

-- What comes in may be handled a little later.
local function asked()
  for _ = 1, 100 * helper.slow do
    if obj.vars.seen > 0 then
      return true
    end
    socket.sleep(0.02)
  end
  return false
end

local function need_routes()
  if kernel.config("CONFIG_LWTUNNEL_BPF") == "n" then
    helper.skip("routes' programs need a kernel with CONFIG_LWTUNNEL_BPF")
  end
end

describe("a pinned program of a route", function()
  for name, way in pairs({ on_out = "out", on_xmit = "xmit" }) do
    it(way .. " decides about what is sent along it", function()
      need_routes()
      net.must(("ip route add 10.41.0.0/24 encap bpf %s pinned %s via 10.40.0.2 dev near"):format(way, pinned(name)))
      obj.vars.verdict = OK
      assert.equal("x", send())
      assert.equal(1, obj.vars.seen)
      obj.vars.verdict = DROP
      assert.is_not.equal("x", (send()))
      assert.equal(2, obj.vars.seen)
      net.must("ip route replace 10.41.0.0/24 via 10.40.0.2 dev near")
      assert.equal("x", send())
      assert.equal(2, obj.vars.seen)
    end)
  end

  it("in decides about what comes in along it", function()
    need_routes()
    set("ipv4/ip_forward")
    net.must(("ip route add 10.42.0.0/24 encap bpf in pinned %s via 10.40.0.2 dev near"):format(pinned("on_in")))
    net.must(("ip -n %s route add 10.42.0.0/24 via 10.40.0.1"):format(there))
    local from = net.udp(there, 5)
    finally(function() from:close() end)
    obj.vars.verdict = DROP
    assert(from:sendto("x", "10.42.0.1", PORT))
    assert.is_true(asked())
  end)

  it("of type lwt_seg6local takes a segment's packets", function()
    kernel.need("End.BPF", "4.18")
    if kernel.config("CONFIG_IPV6_SEG6_BPF") == "n" then
      helper.skip("needs a kernel with CONFIG_IPV6_SEG6_BPF")
    end
    net.need_ipv6()
    local path = pinned("on_seg6local")
    obj.vars.verdict = DROP
    for space, address in pairs({ [here] = "fc40::1", [there] = "fc40::2" }) do
      local name = space == here and "near" or "far"
      net.must(("ip -n %s addr add %s/64 dev %s nodad"):format(space, address, name))
    end
    for _, name in ipairs({ "all", "near" }) do
      set("ipv6/conf/" .. name .. "/forwarding")
      set("ipv6/conf/" .. name .. "/seg6_enabled")
    end
    net.neighbour(there, "far", "fc40::1", "02:00:00:00:40:01")
    net.must("ip -6 route add fc41::1/128 encap seg6local action End.BPF endpoint pinned " .. path .. " dev near")
    net.must(("ip -n %s -6 route add fc41::1/128 via fc40::1 dev far"):format(there))
    net.must(("ip -n %s -6 route add fc42::1/128 encap seg6 mode inline segs fc41::1 dev far"):format(there))
    local from = net.within(there, function() return assert(socket.udp6()) end)
    finally(function() from:close() end)
    assert(from:sendto("x", "fc42::1", PORT))
    assert.is_true(asked())
  end)
end)

describe("a program of a route or an action", function()
  for _, name in ipairs({ "on_in", "on_out", "on_xmit", "on_seg6local", "on_action" }) do
    it(name .. " may run on data, and has no attach of its own", function()
      obj = assert(attach.load("attach_route", { name }))
      obj.vars.verdict = 7
      if name ~= "on_seg6local" then -- which newer kernels don't run
        assert.equal(7, assert(obj.progs[name]:run({ data = ("\x45"):rep(64) })).retval)
      end
      helper.fails("EOPNOTSUPP", "program '" .. name .. "': attach: ", obj.progs[name]:attach())
    end)
  end
end)

describe("a pinned action", function()
  it("decides about what a filter gives it", function()
    if kernel.config("CONFIG_NET_ACT_BPF") == "n" or kernel.config("CONFIG_NET_CLS_U32") == "n" then
      helper.skip("needs a kernel with CONFIG_NET_ACT_BPF and CONFIG_NET_CLS_U32")
    end
    local path = pinned("on_action")
    obj.vars.verdict = DROP
    net.must("ip route add 10.41.0.0/24 via 10.40.0.2 dev near")
    net.must("tc qdisc add dev near clsact")
    net.must(("tc filter add dev near egress protocol ip u32 match u32 0 0 action bpf object-pinned %s"):format(path))
    assert.equal("y", send(function()
      assert.equal(1, obj.vars.seen)
      obj.vars.verdict = OK
    end))
  end)
end)

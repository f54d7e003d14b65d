-- SPDX-License-Identifier: MIT
-- Attaching to network interfaces, network namespaces, cgroups and sockets, with real packets and connections.
local socket = require("socket")

local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local attach = require("spec.support.attach")
local calls = require("support.netcalls")
local net = require("spec.support.net")
local sys = require("support.sys")

local ABSENT = helper.absent()

local fails = helper.fails

kernel.root()

local PORT = 7020 -- as in the programs

local here, there -- namespaces with a cable between them: 10.20.0.1 on near, 10.20.0.2 on far
local obj

local function load(...)
  obj = assert(attach.load("attach_net", { ... }))
  return obj.progs
end

local function cable()
  here, there = net.space(), net.space()
  net.cable({ space = here, name = "near", address = "10.20.0.1/24", mac = "02:00:00:00:20:01" },
    { space = there, name = "far", address = "10.20.0.2/24", mac = "02:00:00:00:20:02" })
  net.neighbour(here, "near", "10.20.0.2", "02:00:00:00:20:02")
  net.neighbour(there, "far", "10.20.0.1", "02:00:00:00:20:01")
  net.enter(here)
end

-- The network stays for the next test, since making it takes seconds in an emulated machine; tests of what changes
-- interfaces call this at their end.
local function renew()
  net.remove()
  here = nil
end

before_each(function()
  if not here then
    cable()
  end
end)

after_each(function()
  if obj then
    obj:close()
    obj = nil
  end
end)

teardown(renew)

-- Sends so many packets to this end of the cable. Returns how many arrive.
local function receive(n)
  local s = net.udp(here, 5, "10.20.0.1", PORT)
  local fence = net.udp(here, 5, "10.20.0.1", PORT + 5)
  local from = net.udp(there, 5)
  for i = 1, n do
    assert(from:sendto("packet " .. i, "10.20.0.1", PORT))
  end
  assert(from:sendto("that's all", "10.20.0.1", PORT + 5))
  assert.equal("that's all", fence:receive())
  s:settimeout(0)
  local got = 0
  while s:receive() do
    got = got + 1
  end
  s:close()
  fence:close()
  from:close()
  return got
end

local function shown(name)
  return net.must("ip -d link show dev " .. name)
end

describe("attach_xdp", function()
  after_each(renew)

  setup(function() kernel.need("links of xdp programs", "5.9") end)

  it("lets the program decide over the interface's packets until the link is closed", function()
    local progs = load("drop")
    local link = assert(progs.drop:attach_xdp("near"))
    assert.equal(0, receive(5))
    assert.equal(5, obj.vars.dropped)
    assert.same({ "xdp", calls.index("near") }, { link:info().type, link:info().ifindex })
    attach.close(link)
    assert.equal(5, receive(5))
    assert.equal(5, obj.vars.dropped)
  end)

  it("has the modes of the kernel", function()
    local progs = load("drop")
    for mode, word in pairs({ skb = "xdpgeneric", native = "xdp" }) do
      for _, netlink in ipairs({ false, true }) do
        local link = assert(progs.drop:attach_xdp("near", { mode = mode, netlink = netlink }))
        assert.matches(" " .. word .. " ", (shown("near"):gsub("prog/", " ")))
        assert.equal(0, receive(2))
        attach.close(link)
        assert.is_nil(shown("near"):find("xdp", 1, true))
        assert.equal(2, receive(2))
      end
    end
    for _, netlink in ipairs({ false, true }) do
      local ok, _, code = progs.drop:attach_xdp("near", { mode = "offload", netlink = netlink })
      assert.is_nil(ok)
      assert.is_true(code == "EINVAL" or code == "EOPNOTSUPP", code) -- cables have no hardware
      fails("EOPNOTSUPP", "attach_xdp: ", progs.drop:attach_xdp("lo", { mode = "native", netlink = netlink }))
    end
    helper.raises(function() progs.drop:attach_xdp("near", { mode = "fast" }) end,
      "mode 'fast' is unknown %(one of: skb, native, offload%)")
  end)

  it("by netlink leaves another's program alone", function()
    local progs = load("drop", "pass")
    local first = assert(progs.drop:attach_xdp("near", { netlink = true }))
    assert.is_nil(first:fd())
    assert.equal("bpf.link: attach_xdp (drop, attached)", tostring(first))
    fails("EBUSY", "attach_xdp: ", progs.pass:attach_xdp("near", { netlink = true }))
    assert.equal(0, receive(1))
    local second = assert(progs.pass:attach_xdp("near", { netlink = true, replace = true }))
    assert.equal(3, receive(3))
    assert.equal(3, obj.vars.passed)
    first:close() -- its program has been replaced: there's nothing to take off
    assert.equal(1, receive(1))
    assert.equal(4, obj.vars.passed)
    second:close()
    assert.is_nil(shown("near"):find("xdp", 1, true))
  end)

  it("by netlink is seen and can be taken off by others", function()
    local progs = load("drop")
    local link = assert(progs.drop:attach_xdp("near", { netlink = true }))
    assert.matches("prog/xdp id " .. progs.drop:info().id, (shown("near")))
    net.must("ip link set dev near xdp off")
    assert.is_true(link:close())
    local again = assert(progs.drop:attach_xdp("near", { netlink = true }))
    net.must("ip link del near")
    assert.is_true(again:close())
  end)

  it("can't replace what a link holds", function()
    local progs = load("drop", "pass")
    local link <close> = assert(progs.drop:attach_xdp("near"))
    fails("EBUSY", "attach_xdp: ", progs.pass:attach_xdp("near"))
    fails("EBUSY", "attach_xdp: ", progs.pass:attach_xdp("near", { netlink = true, replace = true }))
    assert.equal(0, receive(1))
    assert.is_number(link:fd())
  end)

  it("detaches with its object, however it was attached", function()
    for _, netlink in ipairs({ false, true }) do
      local progs = load("drop")
      assert(progs.drop:attach_xdp("near", { netlink = netlink }))
      assert.equal(0, receive(1))
      obj:close()
      assert.is_true(net.frees("near"))
      assert.equal(1, receive(1))
    end
  end)

  it("fails for interfaces that aren't there", function()
    local progs = load("drop")
    fails("ENODEV", "program 'drop': attach_xdp: no such network interface 'far'", progs.drop:attach_xdp("far"))
    fails("ENODEV", "attach_xdp", progs.drop:attach_xdp(9999, { netlink = true }))
    local ok, _, code = progs.drop:attach_xdp(9999)
    assert.is_nil(ok)
    assert.is_true(code == "EINVAL" or code == "ENODEV", code)
  end)
end)

describe("attach_tc", function()
  after_each(renew)

  local function filters(point)
    return net.must("tc filter show dev near " .. point)
  end

  it("sees what comes in and what goes out", function()
    local progs = load("shoot")
    local link = assert(progs.shoot:attach_tc("near"))
    assert.equal(0, receive(4))
    assert.equal(4, obj.vars.dropped)
    link:close()
    assert.equal(4, receive(4))
    local out <close> = assert(progs.shoot:attach_tc(calls.index("near"), { attach_point = "egress" }))
    assert.equal(4, receive(4)) -- that one isn't asked
    local s = net.udp(here, 5)
    s:sendto("out", "10.20.0.2", PORT)
    s:close()
    assert.equal(5, obj.vars.dropped)
    assert.matches("shoot", (filters("egress")))
    assert.equal("bpf.link: attach_tc (shoot, attached)", tostring(out))
  end)

  it("runs programs by priority, and has the handle that is asked for", function()
    local progs = load("one", "two")
    local low <close> = assert(progs.one:attach_tc("near", { priority = 20, handle = 5 }))
    local high = assert(progs.two:attach_tc("near", { priority = 10, handle = 0x77 }))
    assert.equal(1, receive(1))
    assert.equal(21, obj.vars.order)
    local text = filters("ingress")
    assert.matches("pref 10 bpf chain 0 handle 0x77 two", text)
    assert.matches("pref 20 bpf chain 0 handle 0x5 one", text)
    high:close()
    obj.vars.order = 0
    assert.equal(1, receive(1))
    assert.equal(1, obj.vars.order)
    assert.matches("attached", tostring(low))
  end)

  it("replaces, and closing takes off its own program only", function()
    local progs = load("one", "two")
    local first = assert(progs.one:attach_tc("near", { priority = 1, handle = 1 }))
    fails("EEXIST", "program 'two': attach_tc: ", progs.two:attach_tc("near", { priority = 1, handle = 1 }))
    local second = assert(progs.two:attach_tc("near", { priority = 1, handle = 1, replace = true }))
    receive(1)
    assert.equal(2, obj.vars.order)
    first:close()
    obj.vars.order = 0
    receive(1)
    assert.equal(2, obj.vars.order)
    second:close()
    assert.equal("", filters("ingress"))
  end)

  it("leaves the queueing discipline, and gets along with one that is there", function()
    net.must("tc qdisc add dev near clsact")
    local progs = load("one")
    local link = assert(progs.one:attach_tc("near"))
    link:close()
    assert.matches("clsact", (net.must("tc qdisc show dev near")))
    assert.equal("", filters("ingress"))
  end)

  it("refuses egress where an ingress qdisc stands, which would take it for what comes in", function()
    net.must("tc qdisc add dev near ingress")
    local progs = load("shoot")
    fails("EEXIST", "program 'shoot': attach_tc: the interface has an ingress qdisc", progs.shoot:attach_tc("near",
      { attach_point = "egress" }))
    assert.equal("", filters("ingress"))
    local link <close> = assert(progs.shoot:attach_tc("near"))
    assert.equal(0, receive(4))
    assert.equal(4, obj.vars.dropped)
    assert.equal("bpf.link: attach_tc (shoot, attached)", tostring(link))
  end)

  it("takes a program that was opened by its id", function()
    local progs = load("shoot")
    local opened <close> = assert(bpf.prog.by_id(progs.shoot:info().id))
    local link = assert(opened:attach_tc("near"))
    assert.equal(0, receive(4))
    link:close()
    assert.equal(4, receive(4))
  end)

  it("takes the queueing discipline away again where it fails, if it made it", function()
    local progs = load("one")
    local function fail()
      fails("EINVAL", "option 'priority' must be an integer from 0 to 65535, got 65536",
        progs.one:attach_tc("near", { priority = 0x10000 }))
    end
    fail()
    assert.not_matches("clsact", (net.must("tc qdisc show dev near")))
    net.must("tc qdisc add dev near clsact")
    fail()
    assert.matches("clsact", (net.must("tc qdisc show dev near")))
  end)

  it("may lose its filter or its interface before it is closed", function()
    local progs = load("one")
    local link = assert(progs.one:attach_tc("near"))
    net.must("tc qdisc del dev near clsact")
    assert.is_true(link:close())
    link = assert(progs.one:attach_tc("near"))
    net.must("ip link del near")
    assert.is_true(link:close())
  end)

  it("is no link to the kernel", function()
    local progs = load("one")
    local link <close> = assert(progs.one:attach_tc("near"))
    assert.is_nil(link:fd())
    for _, name in ipairs({ "info", "pin", "unpin", "update" }) do
      fails("EOPNOTSUPP", "link %(attach_tc%): " .. name .. ".*this attachment is no link to the kernel",
        link[name](link, name == "update" and progs.one or "/sys/fs/bpf/x"))
    end
  end)

  it("fails for wrong interfaces and points", function()
    local progs = load("one")
    fails("ENODEV", "no such network interface 'far'", progs.one:attach_tc("far"))
    helper.raises(function() progs.one:attach_tc("near", { attach_point = "sideways" }) end,
      "attach_point 'sideways' is unknown %(one of: ingress, egress%)")
    helper.raises(function() progs.one:attach_tc("near", { priority = -1 }) end, "option 'priority'")
    local ok, _, code = progs.one:attach_tc(9999)
    assert.is_nil(ok)
    assert.is_true(code == "EINVAL" or code == "ENODEV", code)
  end)
end)

describe("attach_tcx", function()
  it("puts programs into a list, before or after others", function()
    kernel.need("tcx", "6.6")
    kernel.libbpf("attach_tcx", "1.3")
    obj = assert(attach.load("attach_lists", { "one", "two", "three" }))
    local first <close> = assert(obj.progs.one:attach_tcx("near"))
    local second <close> = assert(obj.progs.two:attach_tcx("near", { flags = "before",
      relative_id = obj.progs.one:info().id }))
    assert.equal(1, receive(1))
    assert.matches("^[12]*21", tostring(obj.vars.order))
    assert.equal("tcx", first:info().type)
    assert.is_true(first:update(obj.progs.three))
    obj.vars.order = 0
    assert.equal(1, receive(1))
    assert.matches("^[23]*23", tostring(obj.vars.order))
    fails("EEXIST", "update", first:update(obj.progs.two))
    fails("ESTALE", "attach_tcx", obj.progs.one:attach_tcx("near", { expected_revision = 1 }))
    helper.raises(function() obj.progs.one:attach_tcx("near", { flags = "behind" }) end, "'behind'")
    assert.is_number(second:fd())
  end)

  it("takes a program that was opened by its id or pin, and is told what it is for", function()
    kernel.need("tcx", "6.6")
    kernel.libbpf("attach_tcx", "1.3")
    obj = assert(attach.load("attach_lists", { "one", "two" }))
    local pin = helper.bpffs() .. "/two"
    assert(obj.progs.two:pin(pin))
    local one <close> = assert(bpf.prog.by_id(obj.progs.one:info().id))
    local two <close> = assert(bpf.prog.open(pin))
    assert(obj.progs.two:unpin(pin))
    fails("EINVAL", "option 'attach_type' must say \"tcx_ingress\" or \"tcx_egress\"", one:attach_tcx("near"))
    local first = assert(one:attach_tcx("near", { attach_type = "tcx_ingress" }))
    local second = assert(two:attach_tcx("near", { attach_type = "tcx_ingress", flags = "before",
      relative_id = one:info().id }))
    assert.equal(1, receive(1))
    assert.matches("^[12]*21", tostring(obj.vars.order))
    assert.same({ "tcx", "tcx_ingress" }, { first:info().type, first:info().attach_type })
    fails("ESTALE", "has changed since", obj.progs.one:attach_tcx("near", { expected_revision = 1 }))
    attach.close(first)
    attach.close(second)
  end)

  it("takes a program of SEC(\"tc\") with an attach type", function()
    kernel.need("tcx", "6.6")
    kernel.libbpf("attach_tcx", "1.3")
    local progs = load("shoot")
    local link <close> = assert(progs.shoot:attach_tcx("near", { attach_type = "tcx_ingress" }))
    assert.equal("tcx", link:info().type)
  end)
end)

describe("attach_netkit", function()
  after_each(renew)

  it("attaches to a netkit interface", function()
    kernel.need("netkit", "6.7")
    kernel.libbpf("attach_netkit", "1.3")
    if kernel.config("CONFIG_NETKIT") == "n" then
      helper.skip("attach_netkit needs a kernel with CONFIG_NETKIT")
    end
    obj = assert(attach.load("attach_lists", { "primary" }))
    net.must("ip link add kit type netkit")
    local link <close> = assert(obj.progs.primary:attach_netkit("kit"))
    assert.equal("netkit", link:info().type)
    fails("ENXIO", "attach_netkit: the interface is not of type netkit", obj.progs.primary:attach_netkit("lo"))
    assert(link:close())
    local opened <close> = assert(bpf.prog.by_id(obj.progs.primary:info().id))
    fails("EINVAL", "option 'attach_type' must say \"netkit_primary\"", opened:attach_netkit("kit"))
    local again <close> = assert(opened:attach_netkit("kit", { attach_type = "netkit_primary" }))
    assert.equal("netkit", again:info().type)
  end)
end)

describe("attach_netfilter", function()
  it("attaches to a hook, by priority", function()
    kernel.need("netfilter programs", "6.4")
    kernel.libbpf("attach_netfilter", "1.3")
    if kernel.config("CONFIG_NETFILTER_BPF_LINK") == "n" then
      helper.skip("attach_netfilter needs a kernel with CONFIG_NETFILTER_BPF_LINK")
    end
    obj = assert(attach.load("attach_lists", { "hooked" }))
    local prog = obj.progs.hooked
    local link <close> = assert(prog:attach_netfilter({ pf = "ipv4", hooknum = "local_in", priority = -128 }))
    assert.equal(3, receive(3))
    assert.is_true(obj.vars.seen >= 3)
    assert.same({ "netfilter", -128 }, { link:info().type, link:info().priority })
    fails("EBUSY", "the hook has a program with this priority", prog:attach_netfilter({ priority = -128 }))
    fails("ERANGE", "option 'priority' must be from %-2147483647 to 2147483646",
      prog:attach_netfilter({ priority = 2147483647 }))
    helper.raises(function() prog:attach_netfilter({ hooknum = "nowhere" }) end, "hooknum 'nowhere' is unknown")
    helper.raises(function() prog:attach_netfilter({ pf = "ipx" }) end, "pf 'ipx' is unknown")
    local opened <close> = assert(bpf.prog.by_id(prog:info().id))
    local another <close> = assert(opened:attach_netfilter({ hooknum = "local_in", priority = -127 }))
    assert.same({ "netfilter", -127 }, { another:info().type, another:info().priority })
  end)
end)

describe("attach_netns", function()
  it("has an sk_lookup program choose the socket for a port", function()
    kernel.need("sk_lookup", "5.9")
    local progs = load("look_up")
    local server = assert(socket.bind("10.20.0.1", 0))
    server:settimeout(5 * helper.slow)
    finally(function() server:close() end)
    bpf.map.update(obj.maps.listener, 0, server)
    local function connect()
      return net.within(there, function()
        local s = assert(socket.tcp4())
        s:settimeout(5 * helper.slow)
        local ok, message = s:connect("10.20.0.1", PORT)
        s:close()
        return ok, message
      end)
    end
    assert.same({ nil, "connection refused" }, { connect() })
    local link = assert(progs.look_up:attach_netns("/proc/self/ns/net"))
    assert.equal(1, (connect()))
    assert(server:accept()):close()
    assert.same({ "netns", "sk_lookup" }, { link:info().type, link:info().attach_type })
    attach.close(link)
    assert.same({ nil, "connection refused" }, { connect() })
  end)

  it("takes a descriptor, and gives each namespace programs of its own", function()
    kernel.need("sk_lookup", "5.9")
    local progs = load("look_up")
    local fd = sys.open("/run/netns/" .. there)
    finally(function() sys.close(fd) end)
    local link <close> = assert(progs.look_up:attach_netns(fd))
    local other <close> = assert(progs.look_up:attach_netns("/proc/self/ns/net"))
    assert.equal(sys.inode("/run/netns/" .. there), link:info().netns_ino)
    assert.equal(sys.inode("/proc/self/ns/net"), other:info().netns_ino)
  end)

  it("has a flow dissector, one for each namespace", function()
    kernel.need("links of flow dissectors", "5.7")
    local progs = load("dissect")
    local link = assert(progs.dissect:attach_netns("/proc/self/ns/net"))
    fails("E2BIG", "attach_netns: ", progs.dissect:attach_netns("/proc/self/ns/net"))
    assert.same({ "netns", "flow_dissector" }, { link:info().type, link:info().attach_type })
    -- the interface chooses a CPU for packets by their flow, about which it asks; of one, such that they stay in order
    net.must(("ip netns exec %s sh -c 'echo 1 >/sys/class/net/near/queues/rx-0/rps_cpus'"):format(here))
    assert.equal(3, receive(3))
    assert.is_true(obj.vars.dissected >= 3, "dissected: " .. obj.vars.dissected)
    attach.close(link)
    local before = obj.vars.dissected
    assert.equal(3, receive(3))
    assert.equal(before, obj.vars.dissected)
  end)

  it("fails for what is no namespace", function()
    kernel.need("sk_lookup", "5.9")
    local progs = load("look_up")
    fails("ENOENT", "program 'look_up': attach_netns: '[^']*/absent'", progs.look_up:attach_netns(ABSENT))
    fails("EINVAL", "attach_netns: ", progs.look_up:attach_netns("/dev/null"))
    fails("EBADF", "attach_netns: ", progs.look_up:attach_netns(999999))
  end)
end)

describe("attach_cgroup", function()
  local path

  setup(function() kernel.need("links of cgroups' programs", "5.7") end)

  before_each(function() path = net.cgroup() end)

  local function udp()
    local s, message = socket.udp4()
    if s then
      s:close()
    end
    return s ~= nil, message
  end

  it("asks the program about its processes' sockets, and about no other's", function()
    local progs = load("no_sockets")
    local link = assert(progs.no_sockets:attach_cgroup(path))
    assert.is_false(net.in_cgroup(path, udp))
    assert.is_true(udp())
    assert.equal(1, obj.vars.denied)
    assert.same({ "cgroup", sys.inode(path), "cgroup_inet_sock_create" },
      { link:info().type, link:info().cgroup_id, link:info().attach_type })
    attach.close(link)
    assert.is_true(net.in_cgroup(path, udp))
  end)

  it("takes a descriptor", function()
    local fd = sys.open(path)
    finally(function() sys.close(fd) end)
    local progs = load("no_sockets")
    local link <close> = assert(progs.no_sockets:attach_cgroup(fd))
    assert.is_false(net.in_cgroup(path, udp))
    assert.is_number(link:fd())
  end)

  it("takes a program that was opened by its id, whose attach type the kernel knows", function()
    local progs = load("no_sockets")
    local opened <close> = assert(bpf.prog.by_id(progs.no_sockets:info().id))
    local link = assert(opened:attach_cgroup(path))
    assert.equal("cgroup_inet_sock_create", link:info().attach_type)
    assert.is_false(net.in_cgroup(path, udp))
    attach.close(link)
    assert.is_true(net.in_cgroup(path, udp))
  end)

  it("wants the attach type of an opened program where the kernel takes several", function()
    local progs = load("no_packets")
    local opened <close> = assert(bpf.prog.by_id(progs.no_packets:info().id))
    fails("EINVAL", "an opened program doesn't tell what it is for: option 'attach_type' must",
      opened:attach_cgroup(path))
    local link <close> = assert(opened:attach_cgroup(path, { attach_type = "cgroup_inet_ingress" }))
    assert.equal("cgroup_inet_ingress", link:info().attach_type)
    helper.raises(function() opened:attach_cgroup(path, { attach_type = "inbound" }) end,
      "attach type 'inbound' is unknown")
  end)

  it("says what is no cgroup, and that another program is there alone", function()
    local progs = load("no_packets")
    for _, other in ipairs({ "/dev/shm", "/etc/passwd" }) do
      fails("EBADF", "this is no cgroup of version 2", progs.no_packets:attach_cgroup(other))
    end
    net.must(("bpftool cgroup attach %s egress id %d"):format(path, progs.no_packets:info().id))
    fails("EPERM", "another program holds this cgroup, or one above it, alone", progs.no_packets:attach_cgroup(path))
  end)

  it("takes connections elsewhere", function()
    local progs = load("elsewhere")
    local link <close> = assert(progs.elsewhere:attach_cgroup(path))
    local server = assert(socket.bind("127.0.0.1", PORT + 1))
    finally(function() server:close() end)
    local function connect()
      local s = assert(socket.tcp4())
      local ok = s:connect("127.0.0.1", PORT)
      s:close()
      return ok == 1
    end
    assert.is_false(connect())
    assert.is_true(net.in_cgroup(path, connect))
    assert.equal(1, obj.vars.passed)
    assert.is_number(link:fd())
  end)

  it("runs several programs of a kind, all of which must agree", function()
    local progs = load("no_packets", "count_packets")
    local counting <close> = assert(progs.count_packets:attach_cgroup(path))
    local server = assert(socket.udp4())
    finally(function() server:close() end)
    assert(server:setsockname("127.0.0.1", PORT))
    server:settimeout(0.2)
    local mine = net.in_cgroup(path, function()
      local s = assert(socket.udp4())
      assert(s:setsockname("127.0.0.1", PORT + 2))
      s:settimeout(5 * helper.slow)
      return s
    end)
    finally(function()
      mine:close()
      server:close()
    end)
    assert(server:sendto("in", "127.0.0.1", PORT + 2))
    assert.equal("in", mine:receive())
    assert.equal(1, obj.vars.passed)
    local link = assert(progs.no_packets:attach_cgroup(path))
    assert.is_nil(mine:sendto("out", "127.0.0.1", PORT))
    assert.equal(1, obj.vars.denied)
    attach.close(link)
    assert(mine:sendto("out", "127.0.0.1", PORT))
    assert.equal("out", server:receive())
    assert.is_number(counting:fd())
  end)

  it("fails for what is no cgroup, and for options that need more than this", function()
    local progs = load("no_sockets")
    fails("ENOENT", "program 'no_sockets': attach_cgroup: '[^']*/absent'",
      progs.no_sockets:attach_cgroup(ABSENT))
    fails("EBADF", "attach_cgroup: ", progs.no_sockets:attach_cgroup("/"))
    helper.raises(function() progs.no_sockets:attach_cgroup(path, { flags = "sideways" }) end, "'sideways'")
    if kernel.libbpf_before("1.6") then
      fails("ENOSYS", "attach_cgroup: one of the options needs libbpf 1%.6, here is v1%.%d",
        progs.no_sockets:attach_cgroup(path, { flags = "before" }))
    end
    assert.is_true(net.in_cgroup(path, udp))
  end)

  it("outlives the cgroup", function()
    local progs = load("no_sockets")
    local link = assert(progs.no_sockets:attach_cgroup(path))
    net.must("rmdir " .. path)
    assert.is_true(link:close())
  end)
end)

describe("attach_sockmap", function()
  setup(function()
    kernel.need("sk_skb verdicts without a parser", "5.10")
    if kernel.config("CONFIG_NET_SOCK_MSG") == "n" or kernel.config("CONFIG_BPF_STREAM_PARSER") == "n" then
      helper.skip("needs CONFIG_NET_SOCK_MSG and CONFIG_BPF_STREAM_PARSER")
    end
  end)

  it("makes data go from one connection to another, for sockets that come into the map while it is attached", function()
    local maps <close> = assert(bpf.load(helper.obj("sockmap")))
    local open = {}
    finally(function()
      for _, s in ipairs(open) do
        s:close()
      end
    end)
    local function connection()
      local one, other = net.connection()
      open[#open + 1], open[#open + 2] = one, other
      return one, other
    end
    local far, near = connection()
    local other_far, other_near = connection()
    local late_far, late_near = connection()
    local socks = maps.maps.socks
    maps.vars.chosen = 1
    local link = assert(maps.progs.skb_to_sock:attach_sockmap(socks))
    fails("EINVAL", "attach_sockmap: its type is [%l_]+, and this method takes sk_skb, sk_msg ",
      maps.progs.on_connection:attach_sockmap(socks))
    socks[0], socks[1] = near, other_near
    assert(far:send("hello\n"))
    assert.equal("hello", other_far:receive())
    assert.equal(1, maps.vars.redirected)
    attach.close(link)
    socks[2] = late_near
    assert(late_far:send("again\n"))
    assert.equal("again", late_near:receive())
    assert.equal(1, maps.vars.redirected)
    local again <close> = assert(maps.progs.msg_to_end:attach_sockmap(maps.maps.ends))
    assert.matches("attach_sockmap", tostring(again))
  end)

  it("has a parser tell messages apart", function()
    local maps <close> = assert(bpf.load(helper.obj("sockmap")))
    local far, near = net.connection()
    local other_far, other_near = net.connection()
    finally(function()
      for _, s in ipairs({ far, near, other_far, other_near }) do
        s:close()
      end
    end)
    local socks = maps.maps.socks
    maps.vars.chosen = 1
    local parser <close> = assert(maps.progs.message:attach_sockmap(socks))
    local verdict <close> = assert(maps.progs.skb_to_sock:attach_sockmap(socks))
    socks[0], socks[1] = near, other_near
    assert(far:send("hello\n"))
    assert.equal("hello", other_far:receive())
    assert.same({ true, 1 }, { maps.vars.parsed >= 1, maps.vars.redirected })
    assert.matches("attach_sockmap", tostring(parser) .. tostring(verdict))
  end)

  it("wants a map of sockets that is open", function()
    local maps <close> = assert(bpf.load(helper.obj("sockmap")))
    local prog = maps.progs.skb_to_sock
    local array <close> = assert(bpf.map.create({ type = "array", max_entries = 1, value = "__u32" }))
    helper.raises(function() prog:attach_sockmap(array) end, "a sockmap or sockhash expected")
    local closed = assert(bpf.map.create({ type = "sockmap", max_entries = 1, key = "__u32", value = "__u64" }))
    bpf.map.close(closed)
    helper.raises(function() prog:attach_sockmap(closed) end, "closed")
    local first <close> = assert(prog:attach_sockmap(maps.maps.socks))
    assert.matches("attach_sockmap", tostring(first))
  end)
end)

describe("attach_socket", function()
  it("has the program decide what a socket receives until the link is closed", function()
    local progs = load("nothing", "everything")
    local s, from = net.udp(here, 5, "127.0.0.1", PORT), net.udp(here, 5)
    finally(function()
      s:close()
      from:close()
    end)
    local link = assert(progs.nothing:attach_socket(s))
    assert(from:sendto("one", "127.0.0.1", PORT))
    assert.equal(1, obj.vars.dropped)
    local other = assert(progs.everything:attach_socket(s:getfd())) -- takes the first one's place
    assert(from:sendto("two", "127.0.0.1", PORT))
    assert.equal("two", s:receive())
    assert.same({ 1, 1 }, { obj.vars.dropped, obj.vars.passed })
    other:close()
    assert(from:sendto("three", "127.0.0.1", PORT))
    assert.equal("three", s:receive())
    assert.equal(1, obj.vars.passed)
    assert.is_true(link:close())
    assert.is_nil(link.x)
  end)

  it("fails for what is no socket, and for one whose filter is locked", function()
    local progs = load("nothing")
    local file <close> = assert(io.open("/dev/null"))
    fails("ENOTSOCK", "program 'nothing': attach_socket: ", progs.nothing:attach_socket(file))
    local s = net.udp(here, 5)
    finally(function() s:close() end)
    calls.setsockopt(s:getfd(), "lock_filter", 1)
    fails("EPERM", "attach_socket: the socket's filter is locked", progs.nothing:attach_socket(s))
    fails("EBADF", "attach_socket: ", progs.nothing:attach_socket(999999))
  end)

  it("lets go of the socket when it is closed, in whatever order", function()
    local progs = load("nothing")
    local s = net.udp(here, 5)
    local link = assert(progs.nothing:attach_socket(s))
    s:close()
    assert.is_true(link:close())
  end)
end)

describe("attach_reuseport", function()
  it("has the program choose the socket of a group", function()
    kernel.need("arrays of sockets", "4.19")
    local groups <close> = assert(bpf.load(helper.obj("reuseport")))
    local group = {}
    finally(function()
      for _, s in pairs(group) do
        s:close()
      end
    end)
    for i = 0, 2 do
      local s = assert(socket.udp4())
      group[i] = s
      assert(s:setoption("reuseport", true))
      assert(s:setsockname("127.0.0.1", PORT))
      s:settimeout(5 * helper.slow)
      groups.maps.group[i] = s
    end
    local link = assert(groups.progs.by_digit:attach_reuseport(group[1]))
    group.from = net.udp(here, 5)
    for _, digit in ipairs({ 2, 0, 1, 2, 2 }) do
      assert(group.from:sendto(digit .. " is yours", "127.0.0.1", PORT))
      assert.equal(digit .. " is yours", group[digit]:receive())
    end
    assert.is_nil(link:fd())
    assert.is_true(link:close())
    assert.is_true(link:close())
    assert(group.from:sendto("9 is nobody's", "127.0.0.1", PORT)) -- no program drops it
    local got = 0
    for i = 0, 2 do
      group[i]:settimeout(0)
      got = got + (group[i]:receive() and 1 or 0)
    end
    assert.equal(1, got)
  end)

  it("fails for a socket without a group", function()
    local groups <close> = assert(bpf.load(helper.obj("reuseport")))
    local s = net.udp(here, 5, "127.0.0.1", PORT)
    finally(function() s:close() end)
    fails("EINVAL", "attach_reuseport: the socket was not bound with SO_REUSEPORT",
      groups.progs.by_digit:attach_reuseport(s))
    helper.raises(function() groups.progs.by_digit:attach_reuseport("s") end, "descriptor expected")
  end)
end)

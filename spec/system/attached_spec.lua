-- SPDX-License-Identifier: MIT
-- What is attached to interfaces, the network namespace, cgroups and maps of sockets, compared with what other tools
-- show; and detaching it.
local bpf = require("bpf")
local attach = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local net = require("spec.support.net")
local calls = require("support.netcalls")

local fails = helper.fails

kernel.root()
kernel.need("links", "5.8")

local obj, progs

setup(function()
  local here = net.space()
  net.cable({ space = here, name = "near" }, { space = here, name = "far" })
  net.enter(here)
end)

teardown(net.remove)

before_each(function()
  obj = assert(attach.load("attach_net", { "pass", "drop", "one", "two", "shoot", "count_packets", "look_up" }))
  progs = obj.progs
end)

after_each(function()
  obj:close()
  net.must("for i in near far; do tc qdisc del dev $i clsact; tc qdisc del dev $i root; done 2>/dev/null; true")
end)

local function list(options)
  local items = {}
  for item in assert(bpf.attached(options)) do
    items[#items + 1] = item
  end
  return items
end

-- The only item, once it has been checked to be the only one.
local function only(options)
  local items = list(options)
  assert.equal(1, #items)
  return items[1]
end

local function fields(item, ...)
  local values = {}
  for i, name in ipairs { ... } do
    values[i] = item[name] == nil and "nil" or item[name]
  end
  return values
end

local function detached(item)
  assert.is_true(bpf.detach(item))
  assert.same({}, list { interface = item.interface or "near", cgroup = item.cgroup })
  local ok, message, code = bpf.detach(item)
  assert.is_nil(ok)
  assert.equal("ENOENT", code, message)
end

describe("bpf.attached", function()
  it("lists xdp programs, by netlink and with a link", function()
    kernel.need("links of xdp programs", "5.9")
    local index = calls.index("near")
    for mode, word in pairs { skb = "xdpgeneric", native = "xdp" } do
      assert(progs.pass:attach_xdp("near", { mode = mode, netlink = true })):disconnect()
      local link <close> = assert(progs.drop:attach_xdp("far", { mode = mode }))
      local info, near = progs.pass:info(), only { interface = "near" }
      assert.same({ "xdp", "near", index, mode, info.id, "pass", info.tag, "nil" },
        fields(near, "kind", "interface", "ifindex", "mode", "prog_id", "program", "tag", "link_id"))
      assert.matches(word .. " .*id " .. info.id, (net.must("ip link show dev near"):gsub("prog/", "")))
      local far = only { interface = calls.index("far") }
      assert.same({ "far", mode, "drop", link:info().id }, fields(far, "interface", "mode", "program", "link_id"))
      assert.is_true(bpf.detach(near))
      assert.is_true(bpf.detach(far))
      assert.same({}, list { interface = "near" })
      assert.is_nil(net.must("ip link show"):find("xdp", 1, true))
    end
  end)

  it("lists tc filters of clsact, of other queueing disciplines and of their classes", function()
    assert(progs.one:attach_tc("near", { priority = 7, handle = 3 })):disconnect()
    assert(progs.two:attach_tc("near", { attach_point = "egress" })):disconnect()
    local pin = helper.bpffs() .. "/shoot"
    assert(progs.shoot:pin(pin))
    net.must("tc qdisc add dev near root handle 1: htb && tc class add dev near parent 1: classid 1:5 htb rate 1gbit")
    for _, parent in ipairs { "1:", "1:5" } do
      net.must(("tc filter add dev near parent %s protocol ip prio 9 handle 4 bpf da object-pinned %s"):format(parent,
        pin))
    end
    local items = list { interface = "near" }
    table.sort(items, function(a, b) return a.attach_point > b.attach_point end)
    assert.same({ "tc", "ingress", "one", 7, 3, 3, 0, true, "one:[" .. progs.one:info().id .. "]", "nil" },
      fields(items[1], "kind", "attach_point", "program", "priority", "handle", "protocol", "chain", "direct_action",
        "name", "link_id"))
    assert.same({ "egress", "two" }, fields(items[2], "attach_point", "program"))
    assert.same({ "1:5", "shoot", 9, 4, 0x800 }, fields(items[3], "attach_point", "program", "priority", "handle",
      "protocol"))
    assert.same({ "1:0", "shoot" }, fields(items[4], "attach_point", "program"))
    assert.equal(4, #items)
    local shown = net.must("bpftool net show dev near")
    for _, item in ipairs(items) do
      assert.matches("id " .. item.prog_id, shown)
    end
    assert.is_true(bpf.detach(items[3]))
    assert.is_true(bpf.detach(items[1]))
    local left = list { interface = "near" }
    table.sort(left, function(a, b) return a.attach_point > b.attach_point end)
    assert.same({ "egress", "1:0" }, { left[1].attach_point, left[2].attach_point })
    assert.equal(2, #left)
    fails("ENOENT", "detach: it is no longer attached there", bpf.detach(items[1]))
  end)

  it("lists filters of an ingress queueing discipline once, and those of shared blocks", function()
    net.must("tc qdisc add dev near ingress_block 21 clsact")
    local pin = helper.bpffs() .. "/one"
    assert(progs.one:pin(pin))
    net.must("tc filter add block 21 protocol all prio 2 bpf da object-pinned " .. pin)
    local item = only { interface = "near" }
    assert.same({ "ingress", 21, 2 }, fields(item, "attach_point", "block", "priority"))
    detached(item)
    net.must("tc qdisc del dev near clsact && tc qdisc add dev near ingress")
    assert(progs.one:attach_tc("near")):disconnect()
    detached(only { interface = "near" })
    net.must("tc qdisc del dev near ingress")
  end)

  it("lists many filters", function()
    for i = 1, 100 do
      assert(progs.one:attach_tc("near", { priority = 1, handle = i })):disconnect()
    end
    assert.equal(100, #list { interface = "near" })
  end)

  it("lists programs of tcx, with their links", function()
    kernel.need("tcx", "6.6")
    kernel.libbpf("attach_tcx", "1.3")
    local link = assert(progs.shoot:attach_tcx("near", { attach_type = "tcx_ingress" }))
    local item = only { interface = "near" }
    assert.same({ "tcx", "ingress", "shoot", link:info().id }, fields(item, "kind", "attach_point", "program",
      "link_id"))
    detached(item)
  end)

  it("lists programs of a cgroup and of those below it, with links and without", function()
    local above = net.cgroup()
    local below = above .. "/below"
    net.must("mkdir " .. below)
    finally(function() net.must("rmdir " .. below) end)
    local link = assert(progs.count_packets:attach_cgroup(above))
    local pin = helper.bpffs() .. "/count"
    assert(progs.count_packets:pin(pin))
    net.must(("bpftool cgroup attach %s egress pinned %s multi"):format(below, pin))
    local items = list { cgroup = above }
    assert.equal(2, #items)
    assert.same({ "cgroup", above, link:info().attach_type, "multi", "count_packets", link:info().id,
      link:info().cgroup_id }, fields(items[1], "kind", "cgroup", "attach_type", "flags", "program", "link_id",
      "cgroup_id"))
    assert.same({ below, "cgroup_inet_egress", "multi", "nil" }, fields(items[2], "cgroup", "attach_type", "flags",
      "link_id"))
    if not kernel.before("6.0") then -- this bpftool asks for what older kernels lack
      assert.matches("egress +multi +count_packets", (net.must("bpftool cgroup show " .. below)))
    end
    assert.is_true(bpf.detach(items[1]))
    detached(items[2])
  end)

  it("lists what a network namespace and maps of sockets have, and what the namespace's interfaces have", function()
    kernel.need("programs of maps of sockets", "5.18")
    local sockets <close> = assert(bpf.load(helper.obj("sockmap")))
    local link <close> = assert(progs.look_up:attach_netns("/proc/self/ns/net"))
    assert(sockets.progs.msg_to_sock:attach_sockmap(sockets.maps.socks))
    assert(progs.one:attach_tc("near")):disconnect()
    local found = {}
    for item in assert(bpf.attached()) do
      found[item.kind .. " " .. item.program] = item
    end
    assert.same({ "sk_lookup", link:info().id }, fields(found["netns look_up"], "attach_type", "link_id"))
    assert.equal("near", found["tc one"].interface)
    local item = found["sockmap msg_to_sock"]
    assert.same({ "sk_msg_verdict", bpf.map.info(sockets.maps.socks).id, "socks" },
      fields(item, "attach_type", "map_id", "map"))
    assert.is_true(bpf.detach(item))
    for rest in assert(bpf.attached()) do
      assert.not_equal(item.prog_id, rest.prog_id)
    end
  end)

  it("knows the kernel's attach types of these places", function()
    local kernel_types <close> = assert(bpf.btf.kernel())
    local numbers = kernel_types:find("enum bpf_attach_type").values
    for kind, names in pairs(require("bpf.attached").TYPES) do
      for number, name in pairs(names) do
        local ours = numbers["BPF_" .. name:upper()]
        assert.is_true(ours == nil or ours == number, name) -- an older kernel lacks some
        assert.is_true(ours ~= nil or kind == "cgroup" or kernel.before("5.13"), name)
      end
    end
  end)

  it("lists nothing that isn't there", function()
    assert.same({}, list { interface = "near" })
    assert.same({}, list { cgroup = net.cgroup() })
    fails("ENODEV", "attached: no such network interface 'absent'", bpf.attached { interface = "absent" })
    fails("ENOENT", "attached: /.*absent", bpf.attached { cgroup = helper.absent() })
  end)

  it("raises for wrong options", function()
    helper.raises(function() bpf.attached(1) end, "bad argument #1 to 'attached' %(table expected")
    helper.raises(function() bpf.attached { interfaces = 1 } end,
      "option 'interfaces' is unknown %(one of: cgroup, interface%)")
    helper.raises(function() bpf.attached { interface = {} } end, "option 'interface' can't be a table")
    helper.raises(function() bpf.attached { cgroup = 1 } end, "option 'cgroup' can't be a number")
    helper.raises(function() bpf.attached { cgroup = "/\0" } end, "option 'cgroup' has a NUL byte")
  end)

  it("needs capabilities", function()
    local output = helper.run(("setpriv --bounding-set -all --inh-caps -all %s -e %s"):format(helper.LUA,
      helper.quote('print(require("bpf").attached())')))
    assert.matches("^nil\t.*CAP_SYS_ADMIN.*\tEPERM\n$", output)
  end)
end)

describe("bpf.detach", function()
  it("leaves what has taken the place of an attachment", function()
    kernel.need("replacing an expected xdp program", "5.7")
    assert(progs.one:attach_tc("near", { priority = 1, handle = 1 })):disconnect()
    assert(progs.pass:attach_xdp("near", { netlink = true })):disconnect()
    local items = list { interface = "near" }
    assert.equal(2, #items)
    local filter = assert(progs.two:attach_tc("near", { priority = 1, handle = 1, replace = true }))
    local xdp = assert(progs.drop:attach_xdp("near", { replace = true }))
    for _, item in ipairs(items) do
      fails("EEXIST", "detach: it is no longer attached there", bpf.detach(item))
    end
    assert.equal(2, #list { interface = "near" })
    filter:close()
    xdp:close()
  end)

  it("leaves a link that was detached or has got another program", function()
    kernel.need("links of xdp programs", "5.9")
    local link = assert(progs.pass:attach_xdp("near"))
    local item = only { interface = "near" }
    assert(link:update(progs.drop))
    fails("EEXIST", "detach: it is no longer attached there", bpf.detach(item))
    item = only { interface = "near" }
    assert.equal("drop", item.program)
    detached(item) -- the handle keeps the link
    link:close()
    fails("ENOENT", "", bpf.detach(item))
  end)

  it("raises for what is no item", function()
    helper.raises(function() bpf.detach() end, "bad argument #1 to 'detach' %(table expected, got nil")
    helper.raises(function() bpf.detach {} end, "an item of bpf.attached expected")
    helper.raises(function() bpf.detach { kind = "xdp" } end, "an item of bpf.attached expected")
  end)
end)

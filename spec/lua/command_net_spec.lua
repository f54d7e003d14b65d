-- SPDX-License-Identifier: MIT
-- lua-bpf net and detach, in a network namespace and cgroups of their own.
local attach = require "spec.support.attach"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local net = require "spec.support.net"
local tool = require "spec.support.command"

local works, fails, decoded = tool.works, tool.fails, tool.decoded

describe("lua-bpf", function()
  kernel.root()
  kernel.need("links of xdp programs", "5.9")

  local obj, progs, group
  local id = {}

  setup(function()
    local here = net.space()
    net.cable({ space = here, name = "near" }, { space = here, name = "far" })
    net.enter(here)
    group = net.cgroup()
    obj = assert(attach.load("attach_net", { "pass", "one", "two", "count_packets" }))
    progs = obj.progs
    for _, name in ipairs { "pass", "one", "two", "count_packets" } do
      id[name] = progs[name]:info().id
    end
  end)

  teardown(function()
    obj:close()
    net.remove()
  end)

  -- What a killed process would leave: a filter in each direction, two at the same point of `far`, an XDP program.
  before_each(function()
    assert(progs.one:attach_tc("near", { priority = 7, handle = 3 })):disconnect()
    assert(progs.two:attach_tc("near", { attach_point = "egress" })):disconnect()
    assert(progs.one:attach_tc("far", { priority = 1, handle = 1 })):disconnect()
    assert(progs.two:attach_tc("far", { priority = 1, handle = 0x22 })):disconnect()
    assert(progs.pass:attach_xdp("near", { netlink = true, mode = "skb" })):disconnect()
  end)

  after_each(function()
    obj:detach()
    net.must("for i in near far; do tc qdisc del dev $i clsact; ip link set dev $i xdpgeneric off; done")
  end)

  it("lists what is attached to interfaces and cgroups", function()
    local link <close> = assert(progs.count_packets:attach_cgroup(group))
    local output = works("net near " .. group)
    assert.matches("^KIND +PLACE +POINT +PRIORITY +HANDLE +PROGRAM +LINK\n", output)
    assert.matches(("\nxdp +near +skb +pass %%(%d%%) +%%-\n"):format(id.pass), output)
    assert.matches(("\ntc +near +ingress +7 +0x3 +one %%(%d%%) +%%-\n"):format(id.one), output)
    assert.matches(("\ntc +near +egress +%%d+ +0x1 +two %%(%d%%) +%%-\n"):format(id.two), output)
    assert.matches(("\ncgroup +%s +cgroup_inet_ingress +count_packets %%(%d%%) +%d\n"):format(
      group:gsub("%-", "%%-"), id.count_packets, link:info().id), output)
    local list = decoded("net --json near")
    assert.same({ "near", "skb", id.pass, "pass" }, { list[1].interface, list[1].mode, list[1].prog_id,
      list[1].program })
    assert.equal(3, #list)
    assert.matches("\ntc +far ", works "net")
    assert.equal("[]\n", works "net --json lo")
    fails(1, "^lua%-bpf: attached: no such network interface 'absent'", "net absent")
  end)

  it("detaches what a killed process has left, and says what it was", function()
    assert.equal(("detached xdp near skb: program pass (%d)\n"):format(id.pass), works "detach xdp near")
    assert.equal(("detached tc near ingress, priority 7, handle 0x3: program one (%d)\n"):format(id.one),
      works "detach tc near ingress")
    local list = decoded "detach tc near --json"
    assert.same({ "egress", "two", 1 }, { list[1].attach_point, list[1].program, #list })
    assert.equal("", works "net near")
    assert.is_nil(net.must("ip link show dev near"):find("xdp", 1, true))
    fails(1, "^lua%-bpf: nothing of kind tc that fits is attached to near\n", "detach tc near")
  end)

  it("detaches no more than what is meant", function()
    fails(1, "^lua%-bpf: 2 programs fit. Name the POINT, [^\n]* or %-%-all:\nKIND [^\n]*\ntc +far [^\n]*\ntc +far ",
      "detach tc far")
    fails(1, "^lua%-bpf: nothing of kind tc that fits is attached to far, but:\nKIND", "detach tc far --handle 7")
    fails(1, "^lua%-bpf: nothing of kind xdp that fits is attached to near native, but:\n", "detach xdp near native")
    assert.matches("handle 0x22: program two", works "detach tc far --program two")
    assert(progs.two:attach_tc("far", { priority = 1, handle = 0x22 })):disconnect()
    assert.matches("handle 0x22: program two", works "detach tc far --handle 0x22 --priority 1")
    assert.matches("program one", works("detach tc far --program " .. id.one))
    assert(progs.two:attach_tc("far", { priority = 1, handle = 1 })):disconnect()
    assert(progs.two:attach_tc("far", { priority = 1, handle = 2 })):disconnect()
    assert.equal(2, select(2, works("detach tc far --all"):gsub("\n", "")))
    assert.equal("", works "net far")
  end)

  it("detaches links by id, pin and program, and programs of cgroups", function()
    local pin = helper.bpffs() .. "/link"
    local link = assert(progs.count_packets:attach_cgroup(group))
    local number = link:info().id
    assert.matches(("^detached cgroup [^\n]*cgroup_inet_ingress, link %d: program count_packets %%(%d%%)\n$"):format(
      number, id.count_packets), works("detach link " .. number))
    assert.equal("", works("net " .. group))
    link:close()
    link = assert(progs.count_packets:attach_cgroup(group))
    assert(link:pin(pin))
    works("detach link " .. pin)
    assert.equal("", works("net " .. group))
    assert(link:unpin(pin))
    link:close()
    link = assert(progs.count_packets:attach_cgroup(group))
    local other <close> = assert(progs.count_packets:attach_cgroup(net.cgroup())) -- luacheck: ignore
    fails(1, "^lua%-bpf: 2 links are called 'count_packets': ids %d+, %d+\n", "detach link count_packets")
    works(("detach cgroup %s/ cgroup_inet_ingress"):format(group))
    assert.equal("", works("net " .. group))
    fails(1, "^lua%-bpf: nothing of kind cgroup that fits is attached to ", "detach cgroup " .. group)
    link:close()
  end)

  it("refuses what it doesn't understand", function()
    for arguments, complaint in pairs { [""] = "which kind%?", xdp = "which interface%?", cgroup = "which cgroup%?",
      link = "which link%?", ["tcp near"] = "not understood: tcp %(near: tc", ["xdp near skb 1"] = "not understood: 1",
      ["link 1 2"] = "not understood: 2", ["tc near --handle x"] = "%-%-handle takes a whole number, not 'x'" } do
      fails(2, "^lua%-bpf: " .. complaint, "detach " .. arguments)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- Links: attaching by section and by name, detaching, and how long an attachment lasts.
local bpf = require("bpf")
local helper = require("spec.helper")
local congestion = require("spec.support.congestion")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local attach = require("spec.support.attach")
local net = require("spec.support.net")
local calls = require("support.netcalls")
local sys = require("support.sys")

local ABSENT = helper.absent()

kernel.root()
kernel.need("links of xdp programs", "5.9")

local fails = helper.fails

local CALLS, PACKETS = helper.obj("calls"), helper.obj("packets")

-- An object whose programs count this process's system calls; that of a tracepoint if it is asked for.
local function counting(name)
  local who <close> = assert(bpf.load(CALLS))
  assert(who.progs.whoami:run())
  return assert(bpf.load(CALLS, { vars = { target = who.vars.self }, autoload = { count_openat = name ~= nil } }))
end

-- Makes n system calls openat.
local function call(n)
  for _ = 1, n do
    assert.is_nil(io.open(ABSENT))
  end
end

local function collect()
  collectgarbage()
  collectgarbage()
end

local function links_of(id)
  return #attach.links_of(id)
end

-- How many BPF descriptors this process has. What earlier tests left to the collector may still go: never "equal".
local function descriptors()
  return select(2, helper.run(("ls -l /proc/%d/fd"):format(helper.pid)):gsub("anon_inode:bpf", ""))
end

-- Whether no program moves the counter any more.
local function still(obj, name)
  return helper.eventually(function()
    local before = obj.vars[name]
    call(20)
    return obj.vars[name] == before
  end)
end

describe("link arguments:", function()
  it("methods want a link", function()
    local obj <close> = assert(bpf.load(CALLS))
    local link = assert(obj.progs.count_enter:attach())
    for _, name in ipairs({ "close", "detach", "fd", "update", "pin", "unpin", "info", "disconnect" }) do
      helper.raises(function() link[name](obj) end, "bpf%.link expected")
      helper.raises(function() link[name](nil) end, "bpf%.link expected")
    end
  end)

  it("an unknown method is nil, and fields can't be set", function()
    local obj <close> = assert(bpf.load(CALLS))
    local link = assert(obj.progs.count_enter:attach())
    assert.is_nil(link.nothing)
    assert.is_false(pcall(function() link.x = 1 end))
  end)
end)

describe("a link", function()
  it("attaches a raw tracepoint by its section until it is detached", function()
    local obj <close> = counting()
    local link = assert(obj.progs.count_enter:attach())
    local before = obj.vars.entered
    call(20)
    assert.is_true(obj.vars.entered >= before + 20)
    assert.is_true(link:detach())
    assert.is_true(still(obj, "entered"))
  end)

  it("attaches a tracepoint by its section until it is closed", function()
    local obj <close> = counting("count_openat")
    local link = assert(obj.progs.count_openat:attach())
    call(20)
    assert.equal(20, obj.vars.traced)
    assert.is_true(link:close())
    assert.is_true(still(obj, "traced"))
  end)

  it("attaches a raw tracepoint by name", function()
    local obj <close> = counting()
    local link = assert(obj.progs.homeless:attach_raw_tracepoint("sys_enter"))
    assert.equal(1, links_of(obj.progs.homeless:info().id))
    assert.is_true(link:close())
    assert.is_true(attach.detached(obj.progs.homeless:info().id))
    local other <close> = assert(obj.progs.count_exit:attach_raw_tracepoint("sys_enter"))
    call(20)
    assert.is_true(obj.vars.left >= 20)
    assert.is_number(other:fd())
  end)

  it("attaches a tracepoint by category and name", function()
    local obj <close> = counting("count_openat")
    local link <close> = assert(obj.progs.count_openat:attach_tracepoint("syscalls", "sys_exit_openat"))
    call(20)
    assert.equal(20, obj.vars.traced)
    attach.held(link)
  end)

  it("is one of several of the same program", function()
    local obj <close> = counting("count_openat")
    local one = assert(obj.progs.count_openat:attach())
    local two = assert(obj.progs.count_openat:attach_tracepoint("syscalls", "sys_exit_openat"))
    local before = obj.vars.traced
    call(10)
    assert.equal(before + 20, obj.vars.traced)
    attach.close(one)
    before = obj.vars.traced
    call(10)
    assert.equal(before + 10, obj.vars.traced)
    attach.close(two)
    assert.is_true(still(obj, "traced"))
  end)

  it("leaves the other links of its object alone", function()
    local obj <close> = counting()
    local enter, exit = assert(obj.progs.count_enter:attach()), assert(obj.progs.count_exit:attach())
    attach.close(enter)
    local before = obj.vars.left
    call(20)
    assert.is_true(obj.vars.left >= before + 20)
    exit:close()
    assert.is_true(still(obj, "left"))
  end)

  it("has the kernel's descriptor", function()
    local obj <close> = assert(bpf.load(CALLS))
    local link <close> = assert(obj.progs.count_enter:attach())
    assert.matches("bpf.link", (helper.run(("readlink /proc/%d/fd/%d"):format(helper.pid, link:fd()))))
  end)

  it("tells how it was made", function()
    local obj <close> = assert(bpf.load(CALLS))
    local link = assert(obj.progs.count_enter:attach())
    assert.equal(("bpf.link: attach (count_enter, fd %d)"):format(link:fd()), tostring(link))
    link:close()
    assert.equal("bpf.link: attach (count_enter, closed)", tostring(link))
    local other <close> = assert(obj.progs.homeless:attach_raw_tracepoint("sys_enter"))
    assert.equal(("bpf.link: attach_raw_tracepoint (homeless, fd %d)"):format(other:fd()), tostring(other))
  end)
end)

describe("an xdp link", function()
  local near, far, space = "lbn" .. helper.tag, "lbf" .. helper.tag, "lbpf" .. helper.tag

  local function must(command)
    local output, ok = helper.run(command)
    assert(ok, command .. ": " .. output)
    return output
  end

  -- A cable: one end here, the other in a network namespace of its own, from where packets come.
  setup(function()
    must("ip netns add " .. space)
    must(("ip link add %s type veth peer name %s netns %s"):format(near, far, space))
    must("ip link set " .. near .. " up")
    must(("ip -n %s addr add 10.255.254.2/24 dev %s"):format(space, far))
    must(("ip -n %s link set %s up"):format(space, far))
    must(("ip -n %s neigh add 10.255.254.1 lladdr 02:00:00:00:00:01 dev %s"):format(space, far))
  end)

  teardown(function()
    helper.run("ip link del " .. near)
    helper.run("ip netns del " .. space)
  end)

  after_each(function() assert.is_true(net.frees(near)) end)

  -- Sends n packets of 1,000 bytes and their headers from the other end.
  local function packets(n)
    must(("ip netns exec %s bash -c 'for i in $(seq %d); do printf %%01000d 0 > /dev/udp/10.255.254.1/9; done'")
      :format(space, n))
  end

  -- What the interface's counters or others say of them; the network's own chatter is smaller.
  local function counted(obj, n)
    local before = obj.vars.octets
    packets(n)
    return (obj.vars.octets - before) // 1042
  end

  it("sees the packets that come in on the interface it names", function()
    local obj <close> = assert(kernel.load(PACKETS))
    local link = assert(obj.progs.on_packet:attach_xdp(near))
    assert.equal(5, counted(obj, 5))
    assert.is_true(obj.vars.packets >= 5)
    assert.equal(("bpf.link: attach_xdp (on_packet, fd %d)"):format(link:fd()), tostring(link))
    assert.is_true(link:detach())
    assert.equal(0, counted(obj, 5))
  end)

  it("takes the interface's index", function()
    local index = calls.index(near)
    local obj <close> = assert(kernel.load(PACKETS))
    local link <close> = assert(obj.progs.on_packet:attach_xdp(index))
    assert.equal(5, counted(obj, 5))
    assert.is_number(link:fd())
  end)

  it("is the only one of its interface", function()
    local obj <close> = assert(kernel.load(PACKETS))
    local link = assert(obj.progs.on_packet:attach_xdp(near))
    local ok, message, code = obj.progs.shorten:attach_xdp(near)
    assert.is_nil(ok)
    assert.equal("EBUSY", code)
    assert.matches("program 'shorten': attach_xdp: ", message)
    attach.close(link)
    local other <close> = assert(obj.progs.shorten:attach_xdp(near))
    assert.is_number(other:fd())
  end)

  it("is the one that bpftool and ip show", function()
    local obj <close> = assert(kernel.load(PACKETS))
    local link = assert(obj.progs.on_packet:attach_xdp(near))
    local id = obj.progs.on_packet:info().id
    assert.matches("prog/xdp id " .. id, (must("ip link show " .. near)))
    assert.equal(1, links_of(id))
    link:close()
    assert.is_true(net.frees(near))
    assert.is_true(attach.detached(id))
  end)

  it("is detached with its object", function()
    do
      local obj <close> = assert(kernel.load(PACKETS))
      assert(obj.progs.on_packet:attach_xdp(near))
      assert.matches("prog/xdp", (must("ip link show " .. near)))
    end
    assert.is_true(net.frees(near))
  end)

  it("may lose its interface before it is closed", function()
    local obj <close> = assert(kernel.load(PACKETS))
    local name = "lbx" .. helper.tag
    must(("ip link add %s type veth peer name %sp"):format(name, name))
    local link = assert(obj.progs.on_packet:attach_xdp(name))
    must("ip link del " .. name)
    assert.is_true(link:close())
  end)

  it("works in another network namespace", function()
    local output, ok = helper.run(("ip netns exec %s %s -e %s"):format(space, helper.LUA, helper.quote(([[
      local obj <close> = assert(require("bpf").load(%q, { autoload = { add = false } }))
      assert(obj.progs.on_packet:attach_xdp(%q))
      assert(not obj.progs.on_packet:attach_xdp(%q))
    ]]):format(PACKETS, far, near))))
    assert.equal("", output)
    assert.is_true(ok)
  end)
end)

describe("link errors:", function()
  it("a failed attempt leaves neither link nor descriptor", function()
    local obj <close> = assert(kernel.load(PACKETS))
    collect()
    local before = descriptors()
    for _ = 1, 10 do
      assert.is_nil(kinds.program(obj, "on_nothing"):attach())
      assert.is_nil(kinds.program(obj, "on_nothing_raw"):attach())
      assert.is_nil(obj.progs.on_packet:attach_xdp("lbpf-nothing"))
    end
    assert.is_true(descriptors() <= before)
    assert.is_true(attach.detached(obj.progs.on_nothing_raw:info().id))
  end)
end)

describe("a link's lifetime:", function()
  it("closing and detaching twice, in any order, is fine", function()
    local obj <close> = assert(bpf.load(CALLS))
    for names in ("close close, detach detach, close detach, detach close"):gmatch("[^,]+") do
      local link = assert(obj.progs.count_enter:attach())
      for name in names:gmatch("%w+") do
        assert.is_true(link[name](link))
      end
      helper.raises(function() link:fd() end, "link is closed")
    end
  end)

  it("<close> detaches it", function()
    local obj <close> = counting()
    do
      local link <close> = assert(obj.progs.count_enter:attach())
      assert.equal(1, links_of(obj.progs.count_enter:info().id), tostring(link))
    end
    assert.is_true(still(obj, "entered"))
  end)

  it("it stays attached when the return value is dropped", function()
    local obj <close> = counting("count_openat")
    assert(obj.progs.count_openat:attach())
    collect()
    call(20)
    assert.equal(20, obj.vars.traced)
    obj:detach()
    assert.is_true(still(obj, "traced"))
  end)

  it("it is closed with its object", function()
    local obj = counting()
    local id = obj.progs.count_enter:info().id
    local link = assert(obj.progs.count_enter:attach())
    obj:close()
    assert.equal("bpf.link: attach (count_enter, closed)", tostring(link))
    helper.raises(function() link:fd() end, "link is closed")
    assert.is_true(link:close())
    assert.is_true(attach.detached(id))
  end)

  it("it is closed by its object's detach", function()
    local obj <close> = counting()
    local link = assert(obj.progs.count_enter:attach())
    obj:detach()
    assert.equal("bpf.link: attach (count_enter, closed)", tostring(link))
    assert.is_true(link:close())
    assert.is_true(still(obj, "entered"))
  end)

  it("it keeps its object", function()
    local id
    local link = (function()
      local obj = counting()
      id = obj.progs.count_enter:info().id
      return assert(obj.progs.count_enter:attach())
    end)()
    collect()
    assert.equal(1, links_of(id))
    assert.is_number(link:fd())
    link:close()
    link = nil -- luacheck: ignore
    collect()
    assert.is_true(attach.detached(id))
  end)

  it("it goes with its object when both are dropped", function()
    local id
    do
      local obj = counting()
      id = obj.progs.count_enter:info().id
      assert(obj.progs.count_enter:attach())
      assert(obj.progs.count_exit:attach())
    end
    collect()
    assert.is_true(attach.detached(id))
  end)
end)

describe("a pinned link", function()
  local dir

  before_each(function() dir = helper.bpffs() end)

  -- Whether a file is there.
  local function there(path)
    return select(2, helper.run("test -e " .. path))
  end

  it("stays attached when its handle and its object are closed, until it is unpinned", function()
    local id
    do
      local obj <close> = counting()
      local link = assert(obj.progs.count_enter:attach())
      id = obj.progs.count_enter:info().id
      assert.is_true(link:pin(dir .. "/link"))
      link:close()
      assert.equal(1, links_of(id))
      local before = obj.vars.entered
      call(20)
      assert.is_true(obj.vars.entered >= before + 20)
    end
    assert.equal(1, links_of(id))
    local link = assert(bpf.link.open(dir .. "/link"))
    assert.equal(id, link:info().prog_id)
    assert.is_true(link:unpin(dir .. "/link"))
    assert.is_false(there(dir .. "/link"))
    assert.equal(1, links_of(id)) -- by the handle
    link:close()
    assert.is_true(attach.detached(id))
  end)

  it("is pinned with its object closed in the same breath", function()
    kernel.need("links of perf events", "5.15")
    local obj = counting("count_openat")
    local id = obj.progs.count_openat:info().id
    local link = assert(obj.progs.count_openat:attach())
    assert.is_true(link:pin(dir .. "/link"))
    obj:close()
    helper.raises(function() link:info() end, "link is closed")
    assert.equal(1, links_of(id))
    assert(os.remove(dir .. "/link"))
    assert.is_true(attach.detached(id))
  end)

  it("may have several pins", function()
    local obj <close> = counting()
    local link = assert(obj.progs.count_enter:attach())
    local id = obj.progs.count_enter:info().id
    assert.is_true(link:pin(dir .. "/one"))
    assert.is_true(link:pin(dir .. "/two"))
    assert.is_true(link:unpin(dir .. "/one"))
    link:close()
    assert.equal(1, links_of(id))
    local same <close> = assert(bpf.link.open(dir .. "/two"))
    assert.is_true(same:unpin(dir .. "/two"))
  end)

  it("is opened by another process", function()
    local obj <close> = counting()
    local link <close> = assert(obj.progs.count_enter:attach())
    assert.is_true(link:pin(dir .. "/link"))
    local output, ok = helper.lua(([[
      local bpf = require "bpf"
      local link = assert(bpf.link.open(%q))
      print(link:info().prog_id, tostring(link):match "^[^(]+")
      link:close()
    ]]):format(dir .. "/link"))
    assert.is_true(ok, output)
    assert.equal(("%d\tbpf.link: open \n"):format(obj.progs.count_enter:info().id), output)
    local before = obj.vars.entered
    call(5)
    assert.is_true(obj.vars.entered >= before + 5)
  end)

  it("fails where nothing can be pinned, and leaves what is there", function()
    local obj <close> = counting()
    local link <close> = assert(obj.progs.count_enter:attach())
    assert.is_true(link:pin(dir .. "/link"))
    fails("EEXIST", "link %(attach%): pin to '.*/link': ", link:pin(dir .. "/link"))
    fails("ENOENT", "pin to", link:pin(dir .. "/no/link"))
    local ok, _, code = link:pin(helper.tmpdir() .. "/link") -- no bpffs
    assert.is_nil(ok)
    assert.is_true(code == "EPERM" or code == "EINVAL", code)
    helper.raises(function() link:pin() end, "string expected")
    assert.is_true(link:unpin(dir .. "/link"))
  end)

  it("takes no map but of struct_ops in its program's place", function()
    local obj <close> = counting()
    local link <close> = assert(obj.progs.count_enter:attach())
    helper.raises(function() link:update(obj.maps.hits) end, "map 'hits': maps of type hash have no link ")
    assert.equal(obj.progs.count_enter:info().id, link:info().prog_id)
  end)

  it("is no other's to unpin", function()
    local obj <close> = counting()
    local link <close> = assert(obj.progs.count_enter:attach())
    local other <close> = assert(obj.progs.count_exit:attach())
    assert.is_true(other:pin(dir .. "/other"))
    assert(bpf.map.pin(obj.maps.hits, dir .. "/map"))
    fails("EINVAL", "unpin '.*/other': this is no pin of the link", link:unpin(dir .. "/other"))
    fails("EINVAL", "this is no pin of the link", link:unpin(dir .. "/map"))
    fails("ENOENT", "unpin '.*/nothing'", link:unpin(dir .. "/nothing"))
    assert.is_true(there(dir .. "/other") and there(dir .. "/map"))
    helper.raises(function() link:unpin() end, "string expected")
  end)
end)

describe("a cgroup's link", function()
  local group

  setup(function() kernel.need("links of cgroups' programs", "5.7") end)
  before_each(function() group = net.cgroup() end)
  after_each(net.remove)

  -- Whether sockets may be made in the cgroup.
  local function may()
    return net.in_cgroup(group, function()
      local s = require("socket").udp4()
      return s ~= nil and s:close() == 1
    end)
  end

  it("gets another program at one stroke", function()
    local obj <close> = assert(attach.load("attach_net", { "no_sockets", "count_packets" }))
    local second <close> = assert(attach.load("attach_net", { "no_sockets" }))
    local link <close> = assert(obj.progs.no_sockets:attach_cgroup(group))
    assert.is_false(may())
    assert.is_true(link:update(second.progs.no_sockets))
    assert.equal(second.progs.no_sockets:info().id, link:info().prog_id)
    assert.is_false(may())
    assert.same({ 1, 1 }, { obj.vars.denied, second.vars.denied })
    fails("EINVAL", "update: the program is of another type", link:update(obj.progs.count_packets))
    assert.is_false(may())
    assert.equal(2, second.vars.denied)
    helper.raises(function() link:update() end, "bpf%.prog expected")
    helper.raises(function() link:update(link) end, "bpf%.prog expected")
    local unloaded <close> = assert(bpf.open(helper.obj("attach_net")))
    helper.raises(function() link:update(unloaded.progs.no_sockets) end, "not loaded")
    local prog = unloaded.progs.no_sockets
    unloaded:close()
    helper.raises(function() link:update(prog) end, "its object is closed")
  end)

  it("keeps the program of an object that has been closed since", function()
    local obj <close> = assert(attach.load("attach_net", { "no_sockets" }))
    local second = assert(attach.load("attach_net", { "no_sockets" }))
    local link <close> = assert(obj.progs.no_sockets:attach_cgroup(group))
    assert.is_true(link:update(second.progs.no_sockets))
    second:close()
    assert.is_false(may())
    assert.is_number(link:fd())
  end)

  it("is detached for everybody, pinned or not", function()
    kernel.need("detaching links", "5.9")
    local dir = helper.bpffs()
    local obj <close> = assert(attach.load("attach_net", { "no_sockets" }))
    local link = assert(obj.progs.no_sockets:attach_cgroup(group))
    assert.is_true(link:pin(dir .. "/link"))
    local same <close> = assert(bpf.link.by_id(link:info().id))
    link:close()
    assert.is_false(may())
    local pinned = assert(bpf.link.open(dir .. "/link"))
    assert.is_true(pinned:detach())
    assert.is_true(may())
    helper.raises(function() pinned:info() end, "link is closed")
    assert.equal(0, same:info().cgroup_id) -- of nothing any more
    fails("ENOLINK", "update", same:update(obj.progs.no_sockets))
  end)

  it("that somebody else opened doesn't detach when that is closed", function()
    local obj <close> = assert(attach.load("attach_net", { "no_sockets" }))
    local link = assert(obj.progs.no_sockets:attach_cgroup(group))
    local other = assert(bpf.link.by_id(link:info().id))
    other:close()
    assert.is_false(may())
    other = assert(bpf.link.by_id(link:info().id))
    link:close()
    assert.is_false(may()) -- that one has it open
    obj:close()
    assert.is_false(may()) -- and is nobody's
    other:close()
    assert.is_true(may())
  end)

  it("stays with the process when it is disconnected", function()
    local obj = assert(attach.load("attach_net", { "no_sockets" }))
    local link = assert(obj.progs.no_sockets:attach_cgroup(group))
    local same <close> = assert(bpf.link.by_id(link:info().id))
    local fd = link:fd()
    assert.is_true(link:disconnect())
    assert.equal("bpf.link: attach_cgroup (no_sockets, closed)", tostring(link))
    helper.raises(function() link:disconnect() end, "link is closed")
    assert.is_true(link:close())
    obj:close()
    assert.is_false(may())
    assert.matches("bpf.link", (helper.run(("readlink /proc/%d/fd/%d"):format(helper.pid, fd))))
    assert.is_true(same:detach())
    assert.is_true(may())
    sys.close(fd) -- what the process would do at its end
  end)
end)

describe("a link by pin or id", function()
  it("isn't one where there's none", function()
    local dir = helper.bpffs()
    local obj <close> = counting()
    assert(bpf.map.pin(obj.maps.hits, dir .. "/map"))
    fails("EINVAL", "link.open '.*/map': this is no link", bpf.link.open(dir .. "/map"))
    fails("ENOENT", "link.open '.*/nothing': ", bpf.link.open(dir .. "/nothing"))
    fails("EACCES", "link.open '/dev/null': ", bpf.link.open("/dev/null"))
    fails("ENOENT", "link.by_id 4294967295: no such link", bpf.link.by_id(0xffffffff))
    helper.raises(function() bpf.link.by_id(-1) end, "%-1 is not between 0")
    helper.raises(function() bpf.link.by_id(1.5) end, "integer")
    helper.raises(function() bpf.link.by_id("one") end, "number")
    helper.raises(function() bpf.link.open() end, "string expected")
  end)

  it("tells what bpf.links tells", function()
    local obj <close> = counting()
    local link <close> = assert(obj.progs.count_enter:attach())
    local info = link:info()
    for other in assert(bpf.links()) do
      if other.id == info.id then
        assert.same(info, other)
        local same <close> = assert(bpf.link.by_id(info.id))
        assert.same(info, same:info())
        assert.equal(("bpf.link: by_id (raw_tracepoint, fd %d)"):format(same:fd()), tostring(same))
        return
      end
    end
    error("bpf.links doesn't have it")
  end)
end)

describe("a message about a link that was opened", function()
  it("has the pin's path, or the id", function()
    local obj <close> = counting()
    local path = helper.bpffs() .. "/link"
    local link <close> = assert(obj.progs.count_enter:attach())
    assert(link:pin(path))
    local opened <close> = assert(bpf.link.open(path))
    local same <close> = assert(bpf.link.by_id(link:info().id))
    local name = path:gsub("%p", "%%%0")
    fails("ENOENT", "^link '" .. name .. "': unpin '" .. name .. "_'", opened:unpin(path .. "_"))
    fails("EINVAL", "^link '" .. name .. "': read: this is the link of no iterator", opened:read())
    fails("EEXIST", "^link with id " .. link:info().id .. ": pin to '", same:pin(path))
    fails("EEXIST", "^link %(attach%): pin to '", link:pin(path))
    assert(link:unpin(path))
  end)
end)

describe("attachments that are no links to the kernel", function()
  it("have no descriptor, of the map's or any other", function()
    kernel.need("struct_ops", "5.6")
    if kernel.config("CONFIG_DEBUG_INFO_BTF") == "n" then
      helper.skip("struct_ops need a kernel with CONFIG_DEBUG_INFO_BTF")
    end
    local bytes = congestion.object("congestion", "lbpf_cc")
    local obj <close> = assert(bpf.load({ bytes = bytes }, { name = "congestion" }))
    local link = assert(bpf.map.attach(obj.maps.lbpf))
    assert.is_nil(link:fd())
    assert.equal("bpf.link: attach (lbpf, attached)", tostring(link))
    for _, name in ipairs({ "pin", "unpin", "info" }) do
      fails("EOPNOTSUPP", name .. ".*this attachment is no link to the kernel", link[name](link, "/sys/fs/bpf/x"))
    end
    assert.is_true(link:detach())
  end)
end)

describe("link leaks:", function()
  it("hundreds of links come and go", function()
    local obj <close> = assert(bpf.load(CALLS))
    collect()
    local before = descriptors()
    local tracepoints = { "sys_enter", "sys_exit", "sched_switch", "sched_wakeup", "sched_process_fork",
      "sched_process_exec", "sched_process_exit", "task_rename", "softirq_entry", "softirq_exit", "hrtimer_cancel" }
    -- Up to ten are open. Older kernels refuse a program a second time at one tracepoint.
    for i = 1, helper.slow > 1 and 200 or 1000 do
      local link = assert(obj.progs.homeless:attach_raw_tracepoint(tracepoints[((i - 1) % 20 + 1) // 2 + 1]))
      if i % 20 == 0 then
        obj:detach()
      elseif i % 2 == 0 then
        link:close()
      end
    end
    obj:detach()
    assert.is_true(descriptors() <= before)
  end)
end)

describe("link interop:", function()
  it("bpftool shows a raw tracepoint's link with its name", function()
    local obj <close> = assert(bpf.load(CALLS))
    local id = obj.progs.count_enter:info().id
    local link <close> = assert(obj.progs.count_enter:attach())
    local shown = helper.run("bpftool -j link show id " .. link:info().id)
    assert.is_not_nil(shown:find(('"type":"raw_tracepoint","prog_id":%d,"tp_name":"sys_enter"'):format(id), 1, true),
      shown)
  end)
end)

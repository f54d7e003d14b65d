-- SPDX-License-Identifier: MIT
-- Every way to attach, with what it is for on the other side; and what can be done with a link.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local net = require "spec.support.net"
local socket = require "socket"

kernel.root()

-- Places of the object's array `runs`, as its enum has them.
local PROBE <const>, RETURN <const>, TRACEPOINT <const>, RAW <const>, EVENT <const>, XDP <const>, XDP_OTHER <const>,
  TC <const>, CGROUP <const>, SOCKET <const>, LOOKUP <const> = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11

local obj, progs

setup(function()
  obj = assert(bpf.load(helper.obj "attach", { vars = { self = helper.pid } }))
  progs = obj.progs
end)

teardown(function()
  obj:close()
  net.leave()
  net.remove()
end)

-- How often the program of a place has run by the end of fn.
local function runs(place, fn)
  local before = obj.vars.runs[place]
  fn()
  return obj.vars.runs[place] - before
end

local function open_files()
  for _ = 1, 3 do
    io.open("/dev/null"):close()
  end
end

-- Checks for nil, a message that matches the pattern, and the code.
local function fails(code, pattern, ...)
  local result, message, got = ...
  assert.is_nil(result)
  assert.equal(code, got)
  assert.matches(pattern, message)
end

describe("tracing programs attach to", function()
  it("a tracepoint, with a cookie", function()
    local link <close> = assert(progs.traced:attach_tracepoint("syscalls", "sys_enter_openat", { bpf_cookie = 77 }))
    assert.is_true(runs(TRACEPOINT, open_files) >= 3)
    assert.equal(77, obj.vars.cookie)
    link:close()
    assert.equal(0, runs(TRACEPOINT, open_files))
    fails("ENOENT", "attach_tracepoint", progs.traced:attach_tracepoint("syscalls", "sys_enter_nothing"))
  end)

  it("a raw tracepoint", function()
    local link <close> = assert(progs.raw:attach_raw_tracepoint "sys_enter")
    assert.is_true(runs(RAW, open_files) >= 3)
    link:close()
    fails("ENOSYS", "libbpf is too old", progs.raw:attach_raw_tracepoint("sys_enter", { cookie = 1 }))
  end)

  local function seeds()
    for _ = 1, 5 do
      os.getenv "HOME"
    end
  end

  it("functions of a library, by name, with a cookie", function()
    local link <close> = assert(progs.probe:attach_uprobe("libc.so.6", "getenv", { bpf_cookie = 5 }))
    assert.equal(5, runs(PROBE, seeds))
    assert.equal(5, obj.vars.cookie)
    local other <close> = assert(progs.returns:attach_uprobe("libc.so.6", "getenv", { retprobe = true }))
    assert.equal(5, runs(RETURN, seeds))
    link:close()
    assert.equal(0, runs(PROBE, seeds))
    assert.is_true(other:fd() >= 0)
  end)

  it("functions of one process alone", function()
    local mine <close> = assert(progs.probe:attach_uprobe("libc.so.6", "getenv", { pid = helper.pid }))
    assert.equal(5, runs(PROBE, seeds))
    mine:close()
    local others <close> = assert(progs.probe:attach_uprobe("libc.so.6", "getenv", { pid = 1 }))
    assert.equal(0, runs(PROBE, seeds))
    assert.is_not_nil(others)
  end)

  it("no function that isn't there", function()
    local none, message, code = progs.probe:attach_uprobe("libc.so.6", "no_such_function")
    assert.is_nil(none)
    assert.is_true(code == "ENOENT" or code == "ESRCH", code) -- by the version of libbpf
    assert.matches("no_such_function", message)
    for _, method in ipairs { "attach_uprobe", "attach_usdt" } do
      none, message, code = progs.probe[method](progs.probe, "/no/such/file", "getenv",
        method == "attach_usdt" and "name" or nil)
      assert.is_nil(none)
      assert.is_true(code == "ENOENT" or code == "ESRCH", code)
      assert.matches(method, message)
    end
  end)

  it("functions of the kernel, where it has kprobes", function()
    if kernel.config "CONFIG_KPROBES" == "n" then
      local none, message = progs.kernel:attach_kprobe "do_sys_openat2"
      assert.is_nil(none)
      assert.matches("program 'kernel': attach_kprobe: ", message)
      return
    end
    local link <close> = assert(progs.kernel:attach_kprobe("do_sys_openat2", { bpf_cookie = 1 }))
    assert.is_true(runs(13, open_files) >= 3)
    link:close()
    local call <close> = assert(progs.kernel:attach_ksyscall "openat")
    assert.is_true(runs(13, open_files) >= 3)
    assert.is_not_nil(call)
  end)

  it("perf events by name, of a process and of a CPU", function()
    local link <close> = assert(progs.event:attach_perf_event { config = "cpu_clock", sample_freq = 1000, pid = 0 })
    assert.is_true(runs(EVENT, function()
      local stop = os.clock() + 0.1
      repeat until os.clock() > stop
    end) > 10)
    link:close()
    local faults <close> = assert(progs.event:attach_perf_event {
      type = "software", config = "page_faults", sample_period = 1, pid = 0, cpu = -1,
    })
    assert.is_true(runs(EVENT, function() return ("x"):rep(1 << 24) end) > 10)
    faults:close()
    local cpu <close> = assert(progs.event:attach_perf_event { config = "cpu_clock", sample_period = 1000000, cpu = 0 })
    assert.is_not_nil(cpu)
  end)

  it("perf events that exist, described well", function()
    helper.raises(function() progs.event:attach_perf_event { config = "no_such" } end, "config 'no_such' is unknown")
    helper.raises(function() progs.event:attach_perf_event { config = "cpu_clock" } end, "give pid or cpu")
    helper.raises(function()
      progs.event:attach_perf_event { config = "cpu_clock", sample_freq = 1, sample_period = 1, pid = 0 }
    end, "not both")
    helper.raises(function() progs.event:attach_perf_event { pid = 0 } end, "option 'config' must be")
    helper.raises(function() progs.event:attach_perf_event "cpu_clock" end, "descriptor expected")
    local none, message = progs.event:attach_perf_event(0)
    assert.is_nil(none)
    assert.matches("attach_perf_event", message)
  end)
end)

describe("network programs attach to", function()
  local space

  setup(function()
    space = net.space()
    net.enter(space)
    net.must "ip link add lbpf0 type veth peer name lbpf1 && ip link set lbpf0 up && ip link set lbpf1 up"
    net.must "ip addr add 10.9.9.1/24 dev lbpf0"
  end)

  teardown(function()
    net.leave()
  end)

  local function send()
    local s, receiver = assert(socket.udp4()), assert(socket.udp4())
    assert(receiver:setsockname("127.0.0.1", 9999)) -- or an answer would go back for each
    for _ = 1, 3 do
      s:sendto("hello", "127.0.0.1", 9999)
    end
    s:close()
    receiver:close()
  end

  it("an interface, by a link and in a mode", function()
    local link <close> = assert(progs.pass:attach_xdp "lo")
    assert.equal(3, runs(XDP, send))
    assert.equal("xdp", link:info().type)
    fails("EBUSY", "attach_xdp", progs.pass_too:attach_xdp "lo")
    link:close()
    assert.equal(0, runs(XDP, send))
    local skb <close> = assert(progs.pass:attach_xdp("lo", { mode = "skb" }))
    assert.equal(3, runs(XDP, send))
    assert.is_true(skb:fd() >= 0)
    skb:close()
    assert.equal(0, runs(XDP, send))
    local native <close> = assert(progs.pass:attach_xdp("lbpf0", { mode = "native" }))
    assert.is_not_nil(native)
    helper.raises(function() progs.pass:attach_xdp("lo", { mode = "fast" }) end, "mode 'fast' is unknown")
    local none = progs.pass:attach_xdp("lo", { mode = "offload" })
    assert.is_nil(none)
  end)

  it("an interface by netlink, where another may take its place", function()
    local link <close> = assert(progs.pass:attach_xdp("lo", { netlink = true, mode = "skb" }))
    assert.is_nil(link:fd())
    assert.equal("bpf.link: attach_xdp (attached)", tostring(link))
    assert.equal(3, runs(XDP, send))
    local none, _, code = progs.pass_too:attach_xdp("lo", { netlink = true, mode = "skb" })
    assert.is_nil(none)
    assert.is_true(code == "EBUSY" or code == "EEXIST", code)
    local other <close> = assert(progs.pass_too:attach_xdp("lo", { replace = true, mode = "skb" }))
    assert.same({ 0, 3 }, { runs(XDP, send), runs(XDP_OTHER, send) })
    link:close() -- no longer its program
    assert.equal(3, runs(XDP_OTHER, send))
    fails("EOPNOTSUPP", "no link to the kernel", other:pin "/sys/fs/bpf/x")
    other:close()
    assert.equal(0, runs(XDP_OTHER, send))
  end)

  it("an interface that exists", function()
    fails("ENODEV", "no such network interface 'nosuch0'", progs.pass:attach_xdp "nosuch0")
    fails("ENODEV", "no such network interface 'nosuch0'", progs.classify:attach_tc "nosuch0")
    helper.raises(function() progs.pass:attach_xdp {} end, "string expected")
    helper.raises(function() progs.pass:attach_xdp("lo", { flag = 1 }) end, "attach_xdp: unknown option 'flag'")
  end)

  it("an interface's traffic, in and out", function()
    local egress <close> = assert(progs.classify:attach_tc("lo", { attach_point = "egress" }))
    assert.equal(3, runs(TC, send))
    local ingress <close> = assert(progs.classify:attach_tc("lo", { handle = 7, priority = 3 }))
    assert.equal(6, runs(TC, send))
    assert.matches("handle 0x7", net.must "tc filter show dev lo ingress")
    fails("EEXIST", "attach_tc", progs.classify:attach_tc("lo", { handle = 7, priority = 3 }))
    local again <close> = assert(progs.classify:attach_tc("lo", { handle = 7, priority = 3, replace = true }))
    assert.is_not_nil(again)
    egress:close()
    assert.equal(3, runs(TC, send))
    assert.is_not_nil(ingress)
    helper.raises(function() progs.classify:attach_tc("lo", { attach_point = "up" }) end, "attach_point 'up' is unknown")
  end)

  it("a network namespace", function()
    local function connect()
      local s = assert(socket.udp4())
      s:setsockname("127.0.0.1", 9998)
      send()
      local t = assert(socket.udp4())
      t:sendto("x", "127.0.0.1", 9998)
      s:close()
      t:close()
    end
    local link <close> = assert(progs.look_up:attach_netns "/proc/self/ns/net")
    assert.is_true(runs(LOOKUP, connect) > 0)
    assert.equal("netns", link:info().type)
    link:close()
    assert.equal(0, runs(LOOKUP, connect))
    local dissector <close> = assert(progs.dissect:attach_netns "/proc/self/ns/net")
    assert.is_not_nil(dissector)
    fails("ENOENT", "'/no/such/netns': No such file", progs.look_up:attach_netns "/no/such/netns")
  end)

  it("a cgroup, by its path and its descriptor", function()
    local path = net.cgroup()
    local link <close> = assert(progs.leaving:attach_cgroup(path))
    assert.equal(3, runs(CGROUP, function() net.in_cgroup(path, send) end))
    assert.equal(0, runs(CGROUP, send))
    assert.equal("cgroup", link:info().type)
    link:close()
    fails("ENOENT", "'/no/such/cgroup'", progs.leaving:attach_cgroup "/no/such/cgroup")
    fails("ENOSYS", "libbpf is too old", progs.leaving:attach_cgroup(path, { flags = "before" }))
  end)

  it("a socket, whose datagrams it cuts", function()
    local s = assert(socket.udp4())
    assert(s:setsockname("127.0.0.1", 9997))
    s:settimeout(5)
    local link = assert(progs.filter:attach_socket(s))
    local t = assert(socket.udp4())
    t:sendto("hello", "127.0.0.1", 9997)
    assert.equal("hel", s:receive())
    assert.equal(1, runs(SOCKET, function()
      t:sendto("hello", "127.0.0.1", 9997)
      assert.equal("hel", s:receive())
    end))
    link:close()
    t:sendto("hello", "127.0.0.1", 9997)
    assert.equal("hello", s:receive())
    helper.raises(function() progs.filter:attach_socket "x" end, "descriptor expected")
    fails("ENOTSOCK", "attach_socket", progs.filter:attach_socket(io.stdout))
    s:close()
    t:close()
  end)

  it("maps of sockets and groups of sockets", function()
    local maps <close> = assert(bpf.load(helper.obj "sockmap"))
    local sockets
    for name in pairs(maps.maps) do
      local m = maps.maps[name]
      sockets = bpf.map.type(m) == "sockmap" and m or sockets
    end
    local link = assert(maps.progs.skb_to_sock:attach_sockmap(sockets))
    link:close()
    helper.raises(function() maps.progs.skb_to_sock:attach_sockmap(1) end, "bpf.map expected")
    local groups <close> = assert(bpf.load(helper.obj "reuseport"))
    local s = assert(socket.udp4())
    assert(s:setoption("reuseport", true))
    assert(s:setsockname("127.0.0.1", 0))
    local group = assert(groups.progs.by_digit:attach_reuseport(s))
    group:close()
    s:close()
  end)

  it("what this libbpf is too old for, saying which one has it", function()
    for method, version in pairs { attach_tcx = "1.3", attach_netkit = "1.3", attach_netfilter = "1.3",
      attach_uprobe_multi = "1.3" } do
      local major, minor = bpf.libbpf_version:match "v(%d+)%.(%d+)"
      if tonumber(major) == 1 and tonumber(minor) < 3 then
        fails("ENOSYS", "this needs libbpf " .. version, progs.classify[method](progs.classify, "lo", {}))
      else
        local none, _, code = progs.event[method](progs.event, "lo", {}) -- a program of the wrong type
        assert.is_nil(none)
        assert.are_not.equal("ENOSYS", code)
      end
    end
  end)
end)

describe("a link", function()
  it("is updated, pinned, opened by pin and by id, and outlives its handle", function()
    local space = net.space()
    net.enter(space)
    local dir = helper.bpffs()
    local function send()
      local s, receiver = assert(socket.udp4()), assert(socket.udp4())
      assert(receiver:setsockname("127.0.0.1", 9999))
      s:sendto("x", "127.0.0.1", 9999)
      s:close()
      receiver:close()
    end
    local link = assert(progs.pass:attach_xdp "lo")
    assert.same({ 1, 0 }, { runs(XDP, send), runs(XDP_OTHER, send) })
    assert.is_true(link:update(progs.pass_too))
    assert.same({ 0, 1 }, { runs(XDP, send), runs(XDP_OTHER, send) })
    fails("EINVAL", "another type", link:update(progs.event))
    assert.is_true(link:pin(dir .. "/link"))
    fails("EEXIST", "pin to", link:pin(dir .. "/link"))
    local id = link:info().id
    link:close()
    assert.equal(1, runs(XDP_OTHER, send))
    local by_pin = assert(bpf.link.open(dir .. "/link"))
    local by_id <close> = assert(bpf.link.by_id(id))
    assert.equal(id, by_pin:info().id)
    assert.equal(id, by_id:info().id)
    assert.matches("^bpf.link: open %(fd %d+%)$", tostring(by_pin))
    assert.is_true(by_pin:unpin(dir .. "/link"))
    fails("ENOENT", "unpin", by_pin:unpin(dir .. "/link"))
    assert.equal(1, runs(XDP_OTHER, send))
    by_pin:detach() -- whoever has it open
    assert.equal(0, runs(XDP_OTHER, send))
    net.leave()
  end)

  it("says what it could not open", function()
    local dir = helper.bpffs()
    local m <close> = assert(bpf.map.create { type = "array", value = "int", max_entries = 1 })
    assert(bpf.map.pin(m, dir .. "/map"))
    fails("EINVAL", "this is no link", bpf.link.open(dir .. "/map"))
    fails("ENOENT", "link.open", bpf.link.open(dir .. "/nothing"))
    fails("ENOENT", "no such link", bpf.link.by_id(0x7fffffff))
  end)

  it("is the object's, which closes it, and is of no use then", function()
    local other = assert(bpf.load(helper.obj "attach", { vars = { self = helper.pid } }))
    local link = assert(other.progs.raw:attach_raw_tracepoint "sys_enter")
    other:close()
    assert.equal("bpf.link: attach_raw_tracepoint (closed)", tostring(link))
    for _, method in ipairs { "fd", "info", "pin", "unpin", "update", "disconnect", "lines", "read" } do
      helper.raises(function() link[method](link, "x", "x") end, "link is closed")
    end
    assert.is_true(link:close())
    assert.is_true(link:detach())
  end)

  it("stays attached when it is disconnected", function()
    local code = [[
      local bpf = require "bpf"
      local obj = assert(bpf.load(%q, { vars = { self = tonumber(io.open("/proc/self/stat"):read("a"):match "%%d+") } }))
      local link = assert(obj.progs.raw:attach_raw_tracepoint "sys_enter")
      link:disconnect()
      local before = obj.vars.runs[4]
      io.open("/dev/null"):close()
      print(obj.vars.runs[4] > before, tostring(link))
      obj:close()
    ]]
    assert.equal("true\tbpf.link: attach_raw_tracepoint (closed)\n",
      (helper.lua(code:format(helper.obj "attach"))))
  end)
end)

describe("attaching", function()
  it("wants a loaded program of an object that is open", function()
    local other = assert(bpf.open(helper.obj "attach"))
    for _, method in ipairs { "attach", "attach_xdp", "attach_tc", "attach_kprobe", "attach_cgroup", "attach_iter" } do
      helper.raises(function() other.progs.pass[method](other.progs.pass, "lo") end, "is not loaded")
    end
    local prog = other.progs.pass
    other:close()
    helper.raises(function() prog:attach_xdp "lo" end, "its object is closed")
  end)
end)

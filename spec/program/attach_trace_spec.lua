-- SPDX-License-Identifier: MIT
-- Attaching to the kernel's tracepoints, functions and security hooks, and iterators over what it has.
local socket = require("socket")

local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local attach = require("spec.support.attach")
local kinds = require("spec.support.kinds")
local net = require("spec.support.net")
local sys = require("support.sys")

local ABSENT = helper.absent()

local fails = helper.fails

kernel.root()
if kernel.config("CONFIG_FTRACE_SYSCALLS") == "n" then
  helper.skip("tracepoints of system calls need a kernel with CONFIG_FTRACE_SYSCALLS")
end

local target

setup(function() target = attach.self() end)

-- Makes n system calls openat.
local function call(n)
  for _ = 1, n do
    assert.is_nil(io.open(ABSENT))
  end
end

local function load(...)
  return assert(attach.load("attach_trace", { ... }, { target = target }))
end

describe("attach_tracepoint", function()
  it("runs the program for each event, with its arguments, until the link is closed", function()
    local obj <close> = load("on_tracepoint")
    local link = assert(obj.progs.on_tracepoint:attach_tracepoint("syscalls", "sys_enter_openat"))
    assert.equal(0, obj.vars.hits)
    call(7)
    assert.equal(7, obj.vars.hits)
    attach.close(link)
    call(7)
    assert.equal(7, obj.vars.hits)
  end)

  it("hands over the event's fields", function()
    local obj <close> = load("on_tracepoint")
    local link <close> = assert(obj.progs.on_tracepoint:attach_tracepoint("syscalls", "sys_enter_openat"))
    local file <close> = assert(io.open("/dev/null"))
    assert.equal(0, obj.vars.value & 3) -- flags: O_RDONLY
    local other <close> = assert(io.open("/dev/null", "w"))
    assert.equal(1, obj.vars.value & 3) -- O_WRONLY
    assert(file and other and link)
  end)

  it("gives the program its cookie", function()
    kernel.need("cookies of tracepoints", "5.15")
    local obj <close> = load("with_cookie")
    local link <close> = assert(obj.progs.with_cookie:attach_tracepoint("syscalls", "sys_enter_openat",
      { bpf_cookie = 0x123456789abcdef0 }))
    call(1)
    assert.equal(0x123456789abcdef0, obj.vars.cookie)
    if not kernel.before("6.9") then
      assert.equal(0x123456789abcdef0, link:info().cookie)
    end
  end)

  it("attaches a program to several, with a cookie each", function()
    kernel.need("cookies of tracepoints", "5.15")
    local obj <close> = load("with_cookie")
    local prog = obj.progs.with_cookie
    local one <close> = assert(prog:attach_tracepoint("syscalls", "sys_enter_openat", { bpf_cookie = 1 }))
    local two = assert(prog:attach_tracepoint("syscalls", "sys_exit_openat", { bpf_cookie = 2 }))
    obj.vars.hits = 0 -- attaching opens files too
    call(1)
    assert.same({ 2, 2 }, { obj.vars.hits, obj.vars.cookie })
    two:close()
    call(1)
    assert.same({ 3, 1 }, { obj.vars.hits, obj.vars.cookie })
    fails("EEXIST", "attach_tracepoint", prog:attach_tracepoint("syscalls", "sys_enter_openat"))
    assert.is_number(one:fd())
  end)

  it("fails for a tracepoint that isn't there", function()
    local obj <close> = load("on_tracepoint")
    fails("ENOENT", "program 'on_tracepoint': attach_tracepoint: there is no tracepoint syscalls/sys_enter_nothing ",
      obj.progs.on_tracepoint:attach_tracepoint("syscalls", "sys_enter_nothing"))
    fails("ENOENT", "there is no tracepoint nothing/sys_enter ",
      obj.progs.on_tracepoint:attach_tracepoint("nothing", "sys_enter"))
    assert.same({}, attach.links(obj.progs.on_tracepoint))
  end)

  it("says so where tracefs isn't mounted, and so do the other ways to a tracepoint", function()
    -- In a mount namespace where nothing is left of it. A folder that isn't a mount may be there below the mount.
    local output = helper.run(([[unshare -m sh -ec '
      mount -t tmpfs none /sys/kernel
      exec %s -' <<'END'
      local bpf = require "bpf"
      local obj = assert(bpf.load("build/progs/calls.bpf.o", { autoload = { count_openat = true } }))
      print(select(2, obj.progs.count_openat:attach_tracepoint("syscalls", "sys_enter_openat")))
      print(select(2, obj.progs.count_openat:attach()))
      print(select(2, obj:attach()))
      print(select(2, bpf.printk()))
END]]):format(helper.LUA))
    local why = "tracefs is not mounted (mount -t tracefs tracefs /sys/kernel/tracing) (ENOENT)\tENOENT\n"
    assert.equal("program 'count_openat': attach_tracepoint: " .. why
      .. ("program 'count_openat': attach: " .. why):rep(2) .. "printk: " .. why, output)
  end)

  it("wants an integer as its cookie", function()
    local obj <close> = load("on_tracepoint")
    helper.raises(function()
      obj.progs.on_tracepoint:attach_tracepoint("syscalls", "sys_enter_openat", { bpf_cookie = "seven" })
    end, "option 'bpf_cookie' must be an integer")
  end)
end)

describe("attach_raw_tracepoint", function()
  it("runs the program for each event until the link is closed", function()
    local obj <close> = load("on_raw")
    local link = assert(obj.progs.on_raw:attach_raw_tracepoint("sys_enter"))
    call(20)
    assert.is_true(obj.vars.hits >= 20)
    assert.equal("sys_enter", link:info().tp_name)
    assert.equal("raw_tracepoint", link:info().type)
    link:close()
    local before = obj.vars.hits
    call(20)
    assert.equal(before, obj.vars.hits)
  end)

  it("fails for a tracepoint that isn't there", function()
    local obj <close> = load("on_raw")
    fails("ENOENT", "attach_raw_tracepoint: .*'lbpf_nothing'", obj.progs.on_raw:attach_raw_tracepoint("lbpf_nothing"))
  end)

  it("lets a program write where the tracepoint does: it decides over a test run", function()
    kernel.need("tracepoints that programs write to", "5.2")
    local obj <close> = load("on_test_run")
    local run <close> = assert(attach.load("attach_net", { "pass" }))
    local prog = obj.progs.on_test_run
    assert.equal("raw_tracepoint_writable", prog:type())
    for _, way in ipairs({ "attach", "attach_raw_tracepoint" }) do
      local link = assert(prog[way](prog, "bpf_test_finish"))
      fails("EXDEV", "run", run.progs.pass:run({ data = ("x"):rep(64) }))
      attach.close(link)
      assert.equal(2, assert(run.progs.pass:run({ data = ("x"):rep(64) })).retval)
    end
    assert.equal(2, obj.vars.hits)
    fails("EINVAL", "attach_raw_tracepoint", prog:attach_raw_tracepoint("sys_enter")) -- nothing to write to
  end)

  it("gives the program its cookie", function()
    kernel.need("cookies of raw tracepoints", "6.9")
    local obj <close> = load("raw_with_cookie")
    local link <close> = assert(obj.progs.raw_with_cookie:attach_raw_tracepoint("sys_enter", { cookie = 77 }))
    call(1)
    assert.equal(77, obj.vars.cookie)
    local told = link:info().cookie
    if told or not kernel.before "6.18" then -- 6.12 doesn't tell it
      assert.equal(77, told)
    end
  end)
end)

describe("attach_trace", function()
  setup(function()
    if kernel.config("CONFIG_DEBUG_INFO_BTF") == "n" then
      helper.skip("tracing programs need a kernel with CONFIG_DEBUG_INFO_BTF")
    end
    kernel.need("tracepoints by BTF", "5.5")
  end)

  it("attaches to a tracepoint by its BTF", function()
    local obj <close> = load("on_enter")
    local link = assert(obj.progs.on_enter:attach_trace())
    call(20)
    assert.is_true(obj.vars.hits >= 20)
    link:close()
    local before = obj.vars.hits
    call(20)
    assert.equal(before, obj.vars.hits)
  end)

  it("gives such a program its cookie, or says which libbpf does", function()
    kernel.need("cookies of raw tracepoints", "6.9")
    local obj <close> = load("enter_with_cookie")
    if kernel.libbpf_before("1.4") then
      fails("ENOSYS", "attach_trace: .*libbpf", obj.progs.enter_with_cookie:attach_trace({ cookie = 5 }))
      return
    end
    local link <close> = assert(obj.progs.enter_with_cookie:attach_trace({ cookie = -2 }))
    call(1)
    assert.equal(-2, obj.vars.cookie)
    assert.is_number(link:fd())
  end)

  it("attaches where attach_target said before the load", function()
    local obj <close> = assert(bpf.open(helper.obj("attach_trace")))
    for name, prog in pairs(obj.progs) do
      prog:autoload(name == "on_enter")
    end
    assert(obj.progs.on_enter:attach_target("sys_exit"))
    assert(obj:load())
    local link <close> = assert(obj.progs.on_enter:attach_trace())
    assert.is_number(link:fd())
  end)

  describe("with functions", function()
    local function functions(...)
      return assert(attach.load("attach_functions", { ... }, { target = target }))
    end

    setup(function() attach.need_functions("programs of functions") end)

    it("attaches fentry and fexit", function()
      local obj <close> = functions("on_entry", "on_exit")
      local enter, exit = assert(obj.progs.on_entry:attach_trace()), assert(obj.progs.on_exit:attach_trace())
      assert(obj.progs.on_exit:run()) -- has the kernel call the function with 1
      assert.same({ 1, 1, 1, 2 }, { obj.vars.entered, obj.vars.left, obj.vars.argument, obj.vars.result })
      enter:close()
      assert(obj.progs.on_exit:run())
      assert.same({ 1, 2 }, { obj.vars.entered, obj.vars.left })
      exit:close()
    end)

    it("gives the program its cookie", function()
      kernel.need("cookies of tracing programs", "5.19")
      local obj <close> = functions("with_cookie")
      local link <close> = assert(obj.progs.with_cookie:attach_trace({ cookie = 12345 }))
      assert(obj.progs.with_cookie:run())
      assert.equal(12345, obj.vars.cookie)
      assert.is_number(link:fd())
    end)

    it("attaches fmod_ret, whose answer takes the function's place", function()
      if kernel.before("6.2") and kernel.config("CONFIG_FUNCTION_ERROR_INJECTION") == "n" then
        helper.skip("fmod_ret of functions for tests needs Linux 6.2 or CONFIG_FUNCTION_ERROR_INJECTION")
      end
      local obj <close> = functions("in_place")
      local link <close> = assert(obj.progs.in_place:attach_trace())
      local plain = assert(obj.progs.in_place:run()).retval
      obj.vars.answer = -22
      local changed = assert(obj.progs.in_place:run()).retval
      assert.equal(2, obj.vars.entered)
      assert.equal(4 - -22, plain - changed & 0xffff) -- it gives 1 + 3; newer kernels add what other functions give
      assert.equal("modify_return", link:info().attach_type)
    end)
  end)
end)

describe("attach_freplace", function()
  it("puts a program in place of another's function", function()
    kernel.need("replacements of programs' functions", "5.6")
    attach.need_functions("replacements of programs' functions")
    kinds.need("freplace/verdict")
    local target_obj <close> = assert(bpf.load(helper.obj("attach_freplace")))
    local whole = target_obj.progs.whole
    local obj <close> = assert(bpf.open(helper.obj("attach_replacement")))
    assert(obj.progs.instead:attach_target("verdict", whole))
    assert(obj:load())
    local packet = ("\0"):rep(64)
    assert.equal(1, assert(whole:run({ data = packet })).retval)
    local link = assert(obj.progs.instead:attach_freplace(whole, "verdict"))
    assert.equal(2, assert(whole:run({ data = packet })).retval)
    link:close()
    assert.equal(1, assert(whole:run({ data = packet })).retval)
    fails("ENOENT", "attach_freplace: program 'whole' has no function 'no_function'",
      obj.progs.instead:attach_freplace(whole, "no_function"))
  end)
end)

describe("attach_freplace of a program that can't be replaced", function()
  it("fails for programs of another type, and wants a loaded target", function()
    local obj <close> = assert(bpf.load(helper.obj("attach_freplace")))
    local other <close> = assert(bpf.open(helper.obj("attach_freplace")))
    local whole = obj.progs.whole
    fails("EINVAL", "attach_freplace: its type is xdp, and this method takes ext ",
      whole:attach_freplace(whole, "verdict"))
    helper.raises(function() whole:attach_freplace(other.progs.whole, "verdict") end, "program 'whole' is not loaded")
    helper.raises(function() whole:attach_freplace("whole", "verdict") end, "bpf%.prog expected")
  end)

  it("can't load without a target", function()
    local obj <close> = assert(bpf.open(helper.obj("attach_replacement")))
    local ok, message = obj:load()
    assert.is_nil(ok)
    assert.matches("load: ", message)
  end)
end)

describe("attach_lsm", function()
  setup(function()
    kernel.need("LSM programs", "5.7")
    if kernel.config("CONFIG_BPF_LSM") == "n" then
      helper.skip("LSM programs need a kernel with CONFIG_BPF_LSM")
    end
    local active <close> = io.open("/sys/kernel/security/lsm")
    if active and not active:read("a"):find("bpf", 1, true) then
      helper.skip("LSM programs need bpf in the kernel's list of LSMs (lsm=)")
    end
    attach.need_functions("LSM programs")
  end)

  it("asks the program, which may forbid", function()
    local dir = helper.tmpdir()
    local from, to = dir .. "/from", dir .. "/to"
    assert(io.open(from, "w")):close()
    local obj <close> = assert(attach.load("attach_lsm", { "no_renames" }, { target = target }))
    local link = assert(obj.progs.no_renames:attach_lsm())
    local ok, _, number = os.rename(from, to)
    assert.same({ nil, 1 }, { ok, number })
    assert.equal(1, obj.vars.asked)
    link:close()
    assert.is_true(os.rename(from, to))
  end)

  it("asks a cgroup's program about its members", function()
    kernel.need("LSM programs of cgroups", "6.0")
    finally(net.remove)
    local group = net.cgroup()
    local obj <close> = assert(attach.load("attach_lsm", { "on_socket" }))
    local link = assert(obj.progs.on_socket:attach_cgroup(group))
    local function create() assert(socket.udp4()):close() end
    create()
    assert.equal(0, obj.vars.asked)
    net.in_cgroup(group, create)
    assert.equal(1, obj.vars.asked)
    link:close()
    net.in_cgroup(group, create)
    assert.equal(1, obj.vars.asked)
  end)
end)

describe("attach_iter", function()
  local function iterate(...)
    local link <close> = assert(...)
    return sys.iterate(link:fd())
  end

  local function iterator(name)
    return assert(attach.load("attach_iter", { name }))
  end

  setup(function()
    if kernel.config("CONFIG_DEBUG_INFO_BTF") == "n" then
      helper.skip("iterators need a kernel with CONFIG_DEBUG_INFO_BTF")
    end
  end)

  teardown(net.remove)

  it("goes over everything", function()
    kernel.need("iterators", "5.8")
    local obj <close> = iterator("each_task")
    local text = iterate(obj.progs.each_task:attach_iter())
    assert.matches(("\n%d/%d\n"):format(helper.pid, helper.pid), text)
  end)

  it("goes over the elements of a map", function()
    kernel.need("iterators over elements", "5.9")
    local obj <close> = iterator("each_pair")
    for i = 1, 5 do
      obj.maps.pairs[i] = i * i
    end
    obj.maps.others[7] = 8
    local lines = {}
    for line in iterate(obj.progs.each_pair:attach_iter({ map = obj.maps.pairs })):gmatch("[^\n]+") do
      lines[#lines + 1] = line
    end
    table.sort(lines)
    assert.same({ "1=1", "2=4", "3=9", "4=16", "5=25" }, lines)
    assert.equal("7=8\n", iterate(obj.progs.each_pair:attach_iter({ map = obj.maps.others })))
    local link <close> = assert(obj.progs.each_pair:attach_iter({ map = obj.maps.others }))
    assert.equal(bpf.map.info(obj.maps.others).id, link:info().map_id)
  end)

  it("wants a map of a kind that the program can go over", function()
    kernel.need("iterators over elements", "5.9")
    local obj <close> = iterator("each_pair")
    local queue <close> = assert(bpf.map.create({ type = "queue", max_entries = 1, value = "__u32" }))
    fails("EINVAL", "this iterator doesn't go over maps of this type", obj.progs.each_pair:attach_iter({ map = queue }))
    fails("EBADF", "option 'map' must say which", obj.progs.each_pair:attach_iter())
    helper.raises(function() obj.progs.each_pair:attach_iter({ map = 7 }) end, "bpf%.map expected")
    local closed = assert(bpf.map.create({ type = "queue", max_entries = 1, value = "__u32" }))
    bpf.map.close(closed)
    helper.raises(function() obj.progs.each_pair:attach_iter({ map = closed }) end, "closed")
  end)

  it("goes over one process's threads, or one thread", function()
    kernel.need("iterators over chosen tasks", "6.1")
    local obj <close> = iterator("each_task")
    local thread <close> = sys.thread()
    local own, other = helper.pid .. "/" .. helper.pid, helper.pid .. "/" .. thread:tid()
    local text = iterate(obj.progs.each_task:attach_iter({ pid = helper.pid }))
    assert.equal(("%s\n%s\n"):format(own, other), text)
    assert.equal(other .. "\n", iterate(obj.progs.each_task:attach_iter({ tid = thread:tid() })))
    local link <close> = assert(obj.progs.each_task:attach_iter({ tid = thread:tid() }))
    assert.equal(thread:tid(), link:info().tid)
  end)

  it("goes over nothing where the process isn't there", function()
    kernel.need("iterators over chosen tasks", "6.1")
    local obj <close> = iterator("each_task")
    assert.equal("", iterate(obj.progs.each_task:attach_iter({ pid = 0x3fffff })))
    fails("EINVAL", "attach_iter", obj.progs.each_task:attach_iter({ pid = helper.pid, tid = helper.pid }))
    helper.raises(function() obj.progs.each_task:attach_iter({ tid = 0 }) end,
      "option 'tid' must be an integer from 1 to 2147483647, got 0")
    helper.raises(function() obj.progs.each_task:attach_iter({ pid = "me" }) end, "option 'pid'")
  end)

  it("goes over cgroups in an order", function()
    kernel.need("iterators over cgroups", "6.1")
    local obj <close> = iterator("each_cgroup")
    local top = net.cgroup()
    net.must("mkdir " .. top .. "/below")
    finally(function() net.must("rmdir " .. top .. "/below") end)
    local ids = { sys.inode(top), sys.inode(top .. "/below") }
    local function over(options)
      local found = {}
      for id in iterate(obj.progs.each_cgroup:attach_iter(options)):gmatch("%d+") do
        found[#found + 1] = math.tointeger(id)
      end
      return found
    end
    assert.same({ ids[1] }, over({ cgroup = top }))
    assert.same({ ids[1] }, over({ cgroup = top, order = "self_only" }))
    assert.same({ ids[1], ids[2] }, over({ cgroup = top, order = "descendants_pre" }))
    assert.same({ ids[2], ids[1] }, over({ cgroup = top, order = "descendants_post" }))
    local up = over({ cgroup = top .. "/below", order = "ancestors_up" })
    assert.same({ ids[2], ids[1] }, { up[1], up[2] })
    local link <close> = assert(obj.progs.each_cgroup:attach_iter({ cgroup = top }))
    assert.equal(ids[1], link:info().cgroup_id)
  end)

  it("fails for what is no cgroup, and names the orders", function()
    kernel.need("iterators over cgroups", "6.1")
    local obj <close> = iterator("each_cgroup")
    fails("ENOENT", "attach_iter", obj.progs.each_cgroup:attach_iter({ cgroup = ABSENT }))
    fails("EBADF", "attach_iter: this is no cgroup of version 2", obj.progs.each_cgroup:attach_iter({ cgroup = "/" }))
    helper.raises(function() obj.progs.each_cgroup:attach_iter({ cgroup = "/", order = "random" }) end,
      "order.*'random'.*self_only")
  end)
end)

describe("attach by section", function()
  it("does the same for tracepoints of all kinds", function()
    for _, name in ipairs({ "on_raw_by_section", "on_enter" }) do
      local obj <close> = load(name)
      local link <close> = assert(obj.progs[name]:attach())
      call(10)
      assert.is_true(obj.vars.hits >= 10, name)
      assert.equal("raw_tracepoint", link:info().type)
    end
    local obj <close> = load("on_getppid")
    local link <close> = assert(obj.progs.on_getppid:attach())
    attach.held(link)
  end)
end)

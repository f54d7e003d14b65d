-- SPDX-License-Identifier: MIT
-- Attaching to functions of the kernel, and to functions and marks of processes.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local attach = require("spec.support.attach")
local lfs = require("lfs")

local ABSENT = helper.absent()

local fails = helper.fails

kernel.root()

local PROBED <const>, PROBED_DIR <const> = attach.probed()

-- Runs spec/support/probed.c with the numbers. Returns what it prints.
local function run(...)
  local output, ok = helper.run(("echo %s 0 | %s"):format(table.concat({ ... }, " "), PROBED))
  assert(ok, output)
  return output
end

-- Attaches a program to it whose section says build/support/probed, which the kernel looks up from where we are.
local function attach_by_section(prog)
  local here = lfs.currentdir()
  assert(lfs.chdir(PROBED_DIR))
  local link, message = prog:attach()
  assert(lfs.chdir(here))
  return assert(link, message)
end

-- The places of functions in the file: addresses less what segments are moved by.
local function offsets()
  local found, segments = {}, {}
  local listing = helper.run("readelf -lW " .. PROBED)
  for offset, address, size in listing:gmatch("LOAD +(0x%x+) (0x%x+) 0x%x+ 0x%x+ (0x%x+)") do
    segments[#segments + 1] = { offset = tonumber(offset), address = tonumber(address), size = tonumber(size) }
  end
  for hex, name in helper.run("nm " .. PROBED):gmatch("(%x+) T (probed_%w+)") do
    local address = tonumber(hex, 16)
    for _, segment in ipairs(segments) do
      if address >= segment.address and address < segment.address + segment.size then
        found[name] = address - segment.address + segment.offset
      end
    end
  end
  return found
end

local function load(...)
  return assert(attach.load("attach_probe", { ... }))
end

describe("attach_uprobe", function()
  setup(function()
    if kernel.config("CONFIG_UPROBE_EVENTS") == "n" then
      helper.skip("uprobes need a kernel with CONFIG_UPROBE_EVENTS")
    end
  end)

  it("runs the program when any process calls a function, with its arguments", function()
    local obj <close> = load("on_function")
    local link = assert(obj.progs.on_function:attach_uprobe(PROBED, "probed_add"))
    assert.equal("1007 0\n1008 0\n", run(7, 8))
    assert.same({ 2, 8, 1000 }, { obj.vars.hits, obj.vars.argument & 0xffffffff, obj.vars.second & 0xffffffff })
    attach.close(link)
    run(7, 8)
    assert.equal(2, obj.vars.hits)
  end)

  it("runs a uretprobe when the function returns, with its result", function()
    local obj <close> = load("on_return")
    local link <close> = assert(obj.progs.on_return:attach_uprobe(PROBED, "probed_add", { retprobe = true }))
    run(-1000, 5, 337)
    assert.same({ 3, 1337 }, { obj.vars.hits, obj.vars.result & 0xffffffff })
    attach.held(link)
  end)

  it("takes the function's place in the file, or bytes from another function", function()
    local places = offsets()
    local obj <close> = load("on_function")
    local prog = obj.progs.on_function
    local first = assert(prog:attach_uprobe(PROBED, places.probed_add))
    run(41)
    assert.same({ 1, 41 }, { obj.vars.hits, obj.vars.argument & 0xffffffff })
    attach.held(first)
    attach.close(first)
    assert(places.probed_add > places.probed_first)
    local link <close> = assert(prog:attach_uprobe(PROBED, "probed_first",
      { offset = places.probed_add - places.probed_first }))
    run(42)
    assert.same({ 2, 42 }, { obj.vars.hits, obj.vars.argument & 0xffffffff })
    attach.held(link)
  end)

  it("watches one process alone", function()
    local obj <close> = load("on_function")
    local pid, go = attach.start(PROBED)
    local link <close> = assert(obj.progs.on_function:attach_uprobe(PROBED, "probed_add", { pid = pid }))
    run(1, 2, 3)
    assert.equal(0, obj.vars.hits)
    go(4, 5)
    assert.equal(2, obj.vars.hits)
    assert.equal(5, obj.vars.argument & 0xffffffff)
    attach.held(link)
  end)

  it("watches this process in a library that is known by its name", function()
    local self = attach.self()
    local obj <close> = load("on_return")
    local link <close> = assert(obj.progs.on_return:attach_uprobe("libc.so.6", "clock", { pid = 0, retprobe = true }))
    local time
    for _ = 1, 9 do
      time = os.clock()
    end
    assert.same({ 9, self }, { obj.vars.hits, obj.vars.pid })
    assert.equal(math.floor(time * 1000000 + 0.5), obj.vars.result)
    attach.held(link)
  end)

  it("finds programs in PATH", function()
    local obj <close> = load("on_function")
    local link <close> = assert(obj.progs.on_function:attach_uprobe("bash", "main", { pid = -1 }))
    attach.held(link)
  end)

  it("gives the program its cookie", function()
    kernel.need("cookies of uprobes", "5.15")
    local obj <close> = load("with_cookie")
    local one <close> = assert(obj.progs.with_cookie:attach_uprobe(PROBED, "probed_add", { bpf_cookie = 1 << 63 }))
    run(1)
    assert.equal(math.mininteger, obj.vars.cookie)
    local two <close> = assert(obj.progs.with_cookie:attach_uprobe(PROBED, "probed_first", { bpf_cookie = 5 }))
    run(1)
    assert.same({ 3, 5 }, { obj.vars.hits, obj.vars.cookie }) -- probed_first is called last
    assert(one and two)
  end)

  it("is told of by info", function()
    kernel.need("what links of uprobes tell", "6.6")
    local places = offsets()
    local obj <close> = load("on_function", "on_return")
    local link <close> = assert(obj.progs.on_function:attach_uprobe(PROBED, "probed_add"))
    local info = assert(link:info())
    assert.same({ "perf_event", "uprobe", places.probed_add }, { info.type, info.event, info.offset })
    assert.matches("build/support/probed$", info.file_name)
    local back <close> = assert(obj.progs.on_return:attach_uprobe(PROBED, "probed_add", { retprobe = true }))
    assert.equal("uretprobe", back:info().event)
  end)

  it("counts up a semaphore in the processes", function()
    kernel.need("semaphores of uprobes", "4.20")
    local sections = helper.run("readelf -SW " .. PROBED)
    local address, offset = sections:match("%.probes +PROGBITS +(%x+) (%x+)")
    local symbol = helper.run("nm " .. PROBED):match("(%x+) %a lbpf_guarded_semaphore")
    local place = tonumber(symbol, 16) - tonumber(address, 16) + tonumber(offset, 16)
    local obj <close> = load("on_function")
    local link = assert(obj.progs.on_function:attach_uprobe(PROBED, "probed_add", { ref_ctr_offset = place }))
    assert.equal("1001 1\n", run(1))
    attach.held(link)
    attach.close(link) -- the place takes no probe of another semaphore, or of none, before it is gone
  end)

  it("fails for files and functions that aren't there, and places outside", function()
    local obj <close> = load("on_function")
    local prog = obj.progs.on_function
    fails("ENOENT", "attach_uprobe: .*/absent", prog:attach_uprobe(ABSENT, "main"))
    fails("ENOENT", "attach_uprobe: .*'lbpf_no_program'", prog:attach_uprobe("lbpf_no_program", "main"))
    fails("ENOENT", "attach_uprobe: ", prog:attach_uprobe(PROBED, "no_function"))
    fails("EINVAL", "attach_uprobe: ", prog:attach_uprobe(PROBED, 1 << 40))
    fails("ESRCH", "attach_uprobe: ", prog:attach_uprobe(PROBED, "probed_add", { pid = 0x3fffff }))
    assert.same({}, attach.links(prog))
  end)

  it("wants a path, a function or a place in the file, and whole numbers", function()
    local obj <close> = load("on_function")
    local prog = obj.progs.on_function
    helper.raises(function() prog:attach_uprobe(PROBED) end, "string expected")
    helper.raises(function() prog:attach_uprobe(PROBED, -1) end, "%-1 is not between 0")
    helper.raises(function() prog:attach_uprobe(PROBED, 1.5) end, "integer")
    helper.raises(function() prog:attach_uprobe(PROBED, "main", { pid = 1 << 40 }) end, "option 'pid'")
    helper.raises(function() prog:attach_uprobe(PROBED, "main", { retprobe = 1 }) end, "option 'retprobe'")
  end)

  it("attaches by section", function()
    local obj <close> = load("by_section", "by_return_section")
    local one, two = attach_by_section(obj.progs.by_section), attach_by_section(obj.progs.by_return_section)
    run(1, 2, 3)
    assert.equal(6, obj.vars.hits)
    attach.close(one)
    run(1)
    assert.equal(7, obj.vars.hits)
    two:close()
  end)
end)

describe("attach_uprobe_multi", function()
  it("attaches to the functions that match a pattern, that are listed, and to places, with cookies", function()
    kernel.need("uprobe.multi", "6.6")
    kernel.libbpf("attach_uprobe_multi", "1.3")
    local places = offsets()
    local obj <close> = load("on_several")
    local prog = obj.progs.on_several
    do
      local link <close> = assert(prog:attach_uprobe_multi(PROBED, "probed_*"))
      run(1)
      assert.equal(2, obj.vars.hits)
      assert.same({ "uprobe_multi", 2 }, { link:info().type, link:info().count })
    end
    do
      local link <close> = assert(prog:attach_uprobe_multi(PROBED, { "probed_add", "probed_first" },
        { cookies = { 100, 11 } }))
      run(1)
      assert.same({ 4, 111 }, { obj.vars.hits, obj.vars.cookie })
      attach.held(link)
    end
    local link <close> = assert(prog:attach_uprobe_multi(PROBED, { places.probed_add }, { pid = -1 }))
    run(1)
    assert.equal(5, obj.vars.hits)
    attach.held(link)
    fails("ENOENT", "attach_uprobe_multi", prog:attach_uprobe_multi(PROBED, "nothing_*"))
    helper.raises(function() prog:attach_uprobe_multi(PROBED, { "main" }, { cookies = { 1, 2 } }) end,
      "one for each of the functions")
    helper.raises(function() prog:attach_uprobe_multi(PROBED, { "main", 7 }) end, "element 2 is a number")
    helper.raises(function() prog:attach_uprobe_multi(PROBED, {}) end, "list of 1")
  end)
end)

describe("attach_usdt", function()
  setup(function()
    if kernel.config("CONFIG_UPROBE_EVENTS") == "n" then
      helper.skip("marks of processes need a kernel with CONFIG_UPROBE_EVENTS")
    end
    kernel.need("cookies, which say which mark it is", "5.15") -- older ones have each program count by address
  end)

  local function marks(...)
    return assert(attach.load("attach_usdt", { ... }))
  end

  it("runs the program at a mark, with its arguments and cookie", function()
    local obj <close> = marks("on_step")
    local link = assert(obj.progs.on_step:attach_usdt(PROBED, "lbpf", "step", { usdt_cookie = 0xabcdef }))
    run(3, -4)
    assert.same({ 2, -4, 2, 0xabcdef }, { obj.vars.hits, obj.vars.number, obj.vars.count, obj.vars.cookie })
    assert.equal("seven", tostring(obj.vars.text):match("^%w+"))
    attach.close(link, obj.progs.on_step)
    run(5)
    assert.equal(2, obj.vars.hits)
  end)

  it("counts up the mark's semaphore", function()
    local obj <close> = marks("on_guarded")
    assert.equal("1003 0\n", run(3))
    local link = assert(obj.progs.on_guarded:attach_usdt(PROBED, "lbpf", "guarded"))
    assert.equal("1003 1\n", run(3))
    assert.same({ 1, 1003 }, { obj.vars.hits, obj.vars.number })
    assert.is_nil(link:fd()) -- one link of libbpf's may be many to the kernel
    attach.close(link, obj.progs.on_guarded)
    assert.equal("1003 0\n", run(3))
  end)

  it("watches one process alone", function()
    local obj <close> = marks("on_step")
    local pid, go = attach.start(PROBED)
    local link <close> = assert(obj.progs.on_step:attach_usdt(PROBED, "lbpf", "step", { pid = pid }))
    run(3)
    assert.equal(0, obj.vars.hits)
    go(12, 13)
    assert.same({ 2, 13 }, { obj.vars.hits, obj.vars.number })
    assert.matches("attach_usdt", tostring(link))
  end)

  it("attaches by section", function()
    local obj <close> = marks("on_guarded")
    local link <close> = attach_by_section(obj.progs.on_guarded)
    run(1)
    assert.same({ 1, 1001 }, { obj.vars.hits, obj.vars.number })
    assert.matches("bpf.link: attach", tostring(link))
  end)

  it("fails for marks and files that aren't there", function()
    local obj <close> = marks("on_step")
    local prog = obj.progs.on_step
    fails("ENOENT", "program 'on_step': attach_usdt: ", prog:attach_usdt(PROBED, "lbpf", "nothing"))
    fails("ENOENT", "attach_usdt: ", prog:attach_usdt(PROBED, "nobody", "step"))
    fails("ENOENT", "attach_usdt: ", prog:attach_usdt(ABSENT, "lbpf", "step"))
    helper.raises(function() prog:attach_usdt(PROBED, "lbpf") end, "string expected")
    helper.raises(function() prog:attach_usdt(PROBED, "lbpf", "step", { cookie = 1 }) end,
      "attach_usdt: unknown option 'cookie' %(options: pid, usdt_cookie%)")
  end)

  it("goes before its object, which libbpf needs for that", function()
    local obj = marks("on_step")
    local link = assert(obj.progs.on_step:attach_usdt(PROBED, "lbpf", "step"))
    obj:close()
    assert.equal("bpf.link: attach_usdt (on_step, closed)", tostring(link))
    assert.is_true(link:close())
    do -- and when both are dropped
      local other = marks("on_step", "on_guarded")
      assert(other.progs.on_step:attach_usdt(PROBED, "lbpf", "step"))
      attach_by_section(other.progs.on_guarded)
    end
    collectgarbage()
    collectgarbage()
    assert(helper.eventually(function() return run(1) == "1001 0\n" end)) -- the semaphore says that nobody watches
  end)
end)

describe("functions of the kernel:", function()
  local target

  setup(function() target = attach.self() end)

  local function kernel_load(...)
    return assert(attach.load("attach_probe", { ... }, { target = target }))
  end

  -- Makes the kernel call write_null n times, a function that has kept its name and place, where compilers leave it.
  local function call(n)
    local file <close> = assert(io.open("/dev/null", "w"))
    file:setvbuf("no")
    for _ = 1, n do
      assert(file:write("abc"))
    end
  end

  local function seek(n)
    local file <close> = assert(io.open("/dev/zero"))
    for i = 1, n do
      file:seek("set", i)
    end
  end

  describe("attach_kprobe", function()
    it("fails for a function that isn't there, and where the kernel has no kprobes", function()
      local obj <close> = kernel_load("on_kernel")
      local name = kernel.config("CONFIG_KPROBES") == "n" and "write_null" or "lbpf_no_function"
      fails("ENOENT", "program 'on_kernel': attach_kprobe: .*" .. name, obj.progs.on_kernel:attach_kprobe(name))
      helper.raises(function() obj.progs.on_kernel:attach_kprobe("x", { offset = "end" }) end, "option 'offset'")
    end)

    describe("with kprobes", function()
      setup(function()
        if kernel.config("CONFIG_KPROBE_EVENTS") == "n" or kernel.config("CONFIG_KPROBES") == "n" then
          helper.skip("kprobes need a kernel with CONFIG_KPROBE_EVENTS")
        end
      end)

      it("runs the program when the function is called", function()
        local obj <close> = kernel_load("on_kernel")
        local link = assert(obj.progs.on_kernel:attach_kprobe("write_null"))
        call(7)
        assert.equal(7, obj.vars.hits)
        attach.close(link)
        call(7)
        assert.equal(7, obj.vars.hits)
      end)

      it("runs the program when it returns, with its result", function()
        local obj <close> = kernel_load("on_kernel_return")
        local link <close> = assert(obj.progs.on_kernel_return:attach_kprobe("write_null", { retprobe = true }))
        call(3)
        assert.same({ 3, 3 }, { obj.vars.hits, obj.vars.result })
        attach.held(link)
      end)

      it("gives the program its cookie", function()
        kernel.need("cookies of kprobes", "5.15")
        local obj <close> = kernel_load("kernel_cookie")
        local link <close> = assert(obj.progs.kernel_cookie:attach_kprobe("write_null", { bpf_cookie = 99 }))
        call(1)
        assert.equal(99, obj.vars.cookie)
        attach.held(link)
      end)

      it("attaches by section", function()
        local obj <close> = kernel_load("kernel_section", "call_section")
        local one, two = assert(obj.progs.kernel_section:attach()), assert(obj.progs.call_section:attach())
        call(4)
        assert.equal(4, obj.vars.hits)
        two:close()
        one:close()
      end)

      it("finds a system call's function", function()
        local obj <close> = kernel_load("on_kernel", "on_kernel_return")
        local file <close> = assert(io.open("/dev/zero"))
        local link <close> = assert(obj.progs.on_kernel:attach_ksyscall("lseek"))
        obj.vars.hits = 0
        seek(5)
        assert.is_true(obj.vars.hits >= 5)
        fails("ENOENT", "attach_ksyscall: .*lbpf_no_call", obj.progs.on_kernel:attach_ksyscall("lbpf_no_call"))
        assert(file and link)
      end)
    end)
  end)

  describe("attach_kprobe_multi", function()
    it("fails where the kernel has no such links", function()
      if kernel.config("CONFIG_FPROBE") ~= "n" then
        helper.skip("CONFIG_FPROBE is not off, or unknown")
      end
      kernel.need("kprobe.multi", "5.18")
      local obj <close> = kernel_load("on_many")
      fails("EOPNOTSUPP", "program 'on_many': attach_kprobe_multi: ",
        obj.progs.on_many:attach_kprobe_multi("write_null"))
    end)

    it("attaches to a pattern, names or addresses, with cookies", function()
      kernel.need("kprobe.multi", "5.18")
      if kernel.config("CONFIG_FPROBE") == "n" then
        helper.skip("kprobe.multi needs a kernel with CONFIG_FPROBE")
      end
      local obj <close> = kernel_load("on_many")
      local prog = obj.progs.on_many
      do
        local link <close> = assert(prog:attach_kprobe_multi("write_nul*"))
        call(3)
        assert.equal(3, obj.vars.hits)
        attach.held(link)
      end
      do
        local link <close> = assert(prog:attach_kprobe_multi({ "write_null", "vfs_read" }, { cookies = { 7, 8 } }))
        call(1)
        assert.equal(7, obj.vars.cookie)
        attach.held(link)
      end
      local address
      for line in io.lines("/proc/kallsyms") do
        address = address or line:match("^(%x+) [tT] write_null$")
      end
      obj.vars.hits = 0
      local link <close> = assert(prog:attach_kprobe_multi({ math.tointeger(tonumber(address, 16)) }))
      call(2)
      assert.equal(2, obj.vars.hits)
      attach.held(link)
      fails("ENOENT", "no function of the kernel's matches 'lbpf_no_function_%*'",
        prog:attach_kprobe_multi("lbpf_no_function_*"))
    end)

    it("wants a pattern or lists that fit together", function()
      kernel.need("kprobe.multi", "5.18")
      local obj <close> = kernel_load("on_many")
      local prog = obj.progs.on_many
      helper.raises(function() prog:attach_kprobe_multi({ "a", "b" }, { cookies = { 1 } }) end,
        "option 'cookies' must have one for each")
      helper.raises(function() prog:attach_kprobe_multi("a*", { cookies = { 1 } }) end, "one for each")
      helper.raises(function() prog:attach_kprobe_multi({ 1, "b" }) end, "list of integers expected, element 2")
      helper.raises(function() prog:attach_kprobe_multi({}) end, "list of 1 to")
      helper.raises(function() prog:attach_kprobe_multi() end, "string expected")
    end)
  end)
end)

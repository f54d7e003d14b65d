-- SPDX-License-Identifier: MIT
-- Programs of an object: what they are, running them on data of one's own, and the ways in which attaching fails.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")

local PACKETS, CALLS, REFUSED = helper.obj("packets"), helper.obj("calls"), helper.obj("refused")

local PACKET = ("\x11"):rep(60)

local function fails(code, pattern, ok, message, got)
  assert.is_nil(ok)
  assert.equal(code, got)
  assert.matches(pattern, message)
  assert.matches("%(" .. code .. "%)$", message)
end

describe("program arguments:", function()
  kernel.root()

  local obj

  setup(function() obj = assert(kernel.load(PACKETS)) end)
  teardown(function() obj:close() end)

  for _, case in ipairs({
    { "run's options that are no table", "table expected", function(prog) prog:run("data") end },
    { "run's unknown option",
      "run: unknown option 'repeat' %(options: data, ctx, ctx_type, repeat_, flags, cpu, batch_size%)",
      function(prog) prog:run({ ["repeat"] = 1 }) end },
    { "data that is no string", "option 'data' must be a string", function(prog) prog:run({ data = 1 }) end },
    { "a ctx that is no string", "option 'ctx' must be a string or a table, got number",
      function(prog) prog:run({ ctx = 5 }) end },
    { "a negative repeat_", "option 'repeat_' must be an integer from 0",
      function(prog) prog:run({ repeat_ = -1 }) end },
    { "flags that are no integer", "option 'flags'", function(prog) prog:run({ flags = 1.5 }) end },
    { "an unknown flag", "flag 'any' is unknown %(one of: run_on_cpu, xdp_live_frames,",
      function(prog) prog:run({ flags = "any" }) end },
    { "autoload's argument that is no boolean", "boolean expected", function(prog) prog:autoload(1) end },
    { "attach_xdp without an interface", "string expected, got nil", function(prog) prog:attach_xdp() end },
    { "attach_xdp to interface 0", "0 is not between 1 and", function(prog) prog:attach_xdp(0) end },
    { "attach_xdp to a fraction", "integer", function(prog) prog:attach_xdp(1.5) end },
    { "attach_xdp to a table", "string expected", function(prog) prog:attach_xdp({}) end },
    { "attach_raw_tracepoint without a name", "string expected", function(prog) prog:attach_raw_tracepoint() end },
    { "attach_tracepoint without a name", "#2.*string expected",
      function(prog) prog:attach_tracepoint("syscalls") end },
  }) do
    it(case[1] .. " raises", function()
      helper.raises(function() case[3](obj.progs.on_packet) end, case[2])
    end)
  end

  it("methods want a program", function()
    for _, name in ipairs({ "name", "section", "type", "fd", "info", "autoload", "run", "attach", "attach_xdp" }) do
      helper.raises(function() obj.progs.add[name](obj, "lo") end, "bpf%.prog expected")
    end
  end)
end)

describe("a program", function()
  it("tells its name, section and type before it is loaded", function()
    local obj <close> = assert(bpf.open(PACKETS))
    for name, expected in pairs({
      on_packet = { "xdp", "xdp" },
      add = { "syscall", "syscall" },
      first_argument = { "raw_tp/sys_enter", "raw_tracepoint" },
      on_openat = { "tracepoint/syscalls/sys_enter_openat", "tracepoint" },
    }) do
      local prog = obj.progs[name]
      assert.same({ name, expected[1], expected[2] }, { prog:name(), prog:section(), prog:type() })
      assert.equal(("bpf.prog: %s (%s, not loaded)"):format(name, expected[1]), tostring(prog))
    end
  end)

  it("has a descriptor, and what the kernel knows, once it is loaded only", function()
    local obj <close> = assert(bpf.open(PACKETS, { autoload = { add = false } }))
    local prog = obj.progs.on_packet
    for _, name in ipairs({ "fd", "run", "attach" }) do
      helper.raises(function() prog[name](prog) end, "program 'on_packet' is not loaded; load its object first")
    end
    assert.is_nil(prog:info().id)
    kernel.root()
    assert(obj:load())
    assert.matches("bpf%-prog", (helper.run(("readlink /proc/%d/fd/%d"):format(helper.pid, prog:fd()))))
    assert.equal(("bpf.prog: on_packet (xdp, fd %d)"):format(prog:fd()), tostring(prog))
  end)

  it("is loaded unless its autoload is switched off", function()
    kernel.root()
    local obj <close> = assert(bpf.open(REFUSED))
    local good, bad = obj.progs.good, obj.progs.out_of_bounds
    assert.is_true(bad:autoload())
    assert.is_false(bad:autoload(false))
    assert.is_false(bad:autoload())
    assert.is_true(good:autoload(true))
    assert(obj:load())
    assert.equal(0, assert(good:run()).retval)
    helper.raises(function() bad:run() end, "program 'out_of_bounds' is not loaded, its autoload is off")
    helper.raises(function() bad:attach() end, "its autoload is off")
    fails("EINVAL", "program 'good': autoload: .*loaded already", good:autoload(false))
    assert.is_true(good:autoload())
    assert.is_false(bad:autoload())
  end)
end)

describe("a loaded program", function()
  kernel.root()

  local obj

  before_each(function() obj = assert(kernel.load(PACKETS)) end)
  after_each(function() obj:close() end)

  it("knows what the kernel knows", function()
    local info = assert(obj.progs.on_packet:info())
    assert.same({ "on_packet", "xdp", 0 }, { info.name, info.type, info.uid })
    assert.matches("^%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x%x$", info.tag)
    for _, field in ipairs({ "id", "load_time", "xlated_prog_len", "btf_id" }) do
      assert.is_true(info[field] > 0, field)
    end
    for _, field in ipairs({ "jited_prog_len", "run_time_ns", "run_cnt", "recursion_misses" }) do
      assert.equal("integer", math.type(info[field]), field)
    end
    assert.are_not.equal(info.id, obj.progs.shorten:info().id)
    assert.equal(info.tag, obj.progs.on_packet:info().tag)
    assert.are_not.equal(info.tag, obj.progs.shorten:info().tag)
  end)

  it("tells it in a loop of nothing else, and the collector keeps up", function()
    local output = helper.lua(([[
      local obj = assert(require("bpf").load(%q, { autoload = { add = false } }))
      local prog = obj.progs.on_packet
      collectgarbage()
      local before = collectgarbage("count")
      for _ = 1, 4000 do prog:info() end
      print(collectgarbage("count") - before < 2048)
    ]]):format(PACKETS))
    assert.equal("true\n", output)
  end)

  it("of type syscall runs on a context, and writes to a copy of it", function()
    kernel.need("syscall programs", "5.14")
    kinds.need("syscall")
    local ctx = string.pack("=I4I4I8", 4294967295, 2, 0)
    local answer = assert(obj.progs.add:run({ ctx = ctx }))
    assert.equal(7, answer.retval)
    local a, b, sum = string.unpack("=I4I4I8", answer.ctx)
    assert.same({ 4294967295, 2, 4294967297 }, { a, b, sum })
    assert.equal(string.pack("=I4I4I8", 4294967295, 2, 0), ctx)
    assert.is_nil(answer.data)
  end)

  it("runs without options", function()
    local answer = assert(obj.progs.minus_one:run())
    assert.equal(-1, answer.retval)
    assert.is_nil(answer.ctx)
    assert.equal(-1, assert(obj.progs.minus_one:run({})).retval)
  end)

  it("of type xdp runs on a packet, and gives what it made of it", function()
    local prog = obj.progs.on_packet
    local answer = assert(prog:run({ data = PACKET }))
    assert.equal(2, answer.retval)
    assert.equal("\x22" .. PACKET:sub(2), answer.data)
    assert.equal("integer", math.type(answer.duration))
    answer = assert(prog:run({ data = "\xff\x00" .. PACKET }))
    assert.equal(1, answer.retval)
    assert.equal("\xff\x00" .. PACKET, answer.data)
    assert.same({ 2, 60 + 62 }, { obj.vars.packets, obj.vars.octets })
  end)

  it("of type xdp may shorten the packet", function()
    local data = "ab" .. PACKET
    assert.equal(PACKET, assert(obj.progs.shorten:run({ data = data })).data)
  end)

  it("knows how many instructions the verifier went through", function()
    kernel.need("verified_insns", "5.16")
    assert.is_true(assert(obj.progs.on_packet:info()).verified_insns > 0)
  end)

  it("of type xdp takes a context, and gives it back", function()
    kernel.need("contexts of xdp programs that are run", "5.14")
    local index = math.tointeger(tonumber((helper.run("cat /sys/class/net/lo/ifindex"))))
    local ctx = string.pack("=I4I4I4I4I4I4", 0, #PACKET, 0, index, 0, 0)
    local answer = assert(obj.progs.interface:run({ data = PACKET, ctx = ctx }))
    assert.equal(index, answer.retval)
    assert.equal(#ctx, #answer.ctx)
    assert.equal(#PACKET, (string.unpack("=I4", answer.ctx, 5)))
  end)

  it("of type xdp runs on frames that go where it says, with a context as well", function()
    kernel.need("live frames", "5.18")
    local index = math.tointeger(tonumber((helper.run("cat /sys/class/net/lo/ifindex"))))
    local ctx = string.pack("=I4I4I4I4I4I4", 0, #PACKET, 0, index, 0, 0)
    for _, flags in ipairs({ 2, "xdp_live_frames", { "xdp_live_frames" } }) do
      obj.vars.packets = 0
      local answer = assert(obj.progs.on_packet:run({ data = "\xff\0" .. PACKET:sub(3), ctx = ctx,
        flags = flags, repeat_ = 8 }))
      assert.same({ 8 }, { obj.vars.packets, answer.data, answer.ctx }) -- dropped, each of them
    end
  end)

  it("that was opened by its id attaches", function()
    local opened <close> = assert(bpf.prog.by_id(obj.progs.first_argument:info().id))
    local link <close> = assert(opened:attach_raw_tracepoint("sys_enter"))
    assert.equal("raw_tracepoint", assert(link:info()).type)
    helper.raises(function() opened:attach() end, "opened by pin or id, and has no section")
    helper.raises(function() opened:attach_kprobe("x") end, "opened by pin or id, and libbpf does this for programs of")
  end)

  it("of type raw_tracepoint runs on its arguments", function()
    local answer = assert(obj.progs.first_argument:run({ ctx = string.pack("=i8i8", 42, 43) }))
    assert.equal(42, answer.retval)
    assert.equal(-42, assert(obj.progs.first_argument:run({ ctx = string.pack("=i8", -42) })).retval)
  end)

  it("of type raw_tracepoint runs on the CPU that it is told", function()
    kernel.need("raw_tp programs that run on a CPU", "5.10")
    for number in helper.run("cat /sys/devices/system/cpu/online"):gmatch("%d+") do
      local cpu = math.tointeger(tonumber(number))
      assert.equal(cpu, assert(obj.progs.where:run({ cpu = cpu })).retval)
    end
    fails("ENXIO", "program 'where': run: ", obj.progs.where:run({ cpu = 1 << 20 }))
  end)

  it("runs as often as repeat_ says", function()
    assert(obj.progs.on_packet:run({ data = PACKET, repeat_ = 1000 }))
    assert.equal(1000, obj.vars.packets)
    assert(obj.progs.on_packet:run({ data = PACKET }))
    assert.equal(1001, obj.vars.packets)
  end)

  it("runs on large packets", function()
    local data = ("\x11"):rep(3000)
    local answer = assert(obj.progs.on_packet:run({ data = data }))
    assert.equal("\x22" .. data:sub(2), answer.data)
  end)
end)

describe("program errors:", function()
  kernel.root()

  local obj

  setup(function() obj = assert(kernel.load(PACKETS)) end)
  teardown(function() obj:close() end)

  it("a packet that is too short, or missing, is EINVAL", function()
    kernel.need("a least size of packets", "6.1") -- or somewhat older; 5.10 runs on nothing at all
    fails("EINVAL", "program 'on_packet': run: ", obj.progs.on_packet:run({ data = "short" }))
    fails("EINVAL", "program 'on_packet': run: ", obj.progs.on_packet:run())
    fails("EINVAL", "program 'on_packet': run: ", obj.progs.on_packet:run({ data = "" }))
  end)

  it("a type that can't be run is ENOTSUPP", function()
    fails("ENOTSUPP", "program 'on_openat': run: ", kinds.program(obj, "on_openat"):run())
  end)

  it("a syscall program doesn't take data", function()
    kernel.need("syscall programs", "5.14")
    kinds.need("syscall")
    fails("EINVAL", "program 'add': run: ", obj.progs.add:run({ data = PACKET }))
  end)

  it("no such tracepoint is ENOENT", function()
    fails("ENOENT", "program 'on_nothing': attach: .*lbpf/no_such_tracepoint",
      kinds.program(obj, "on_nothing"):attach())
    fails("ENOENT", "program 'on_openat': attach_tracepoint: .*syscalls/no_such_thing",
      kinds.program(obj, "on_openat"):attach_tracepoint("syscalls", "no_such_thing"))
  end)

  it("no such raw tracepoint is ENOENT", function()
    fails("ENOENT", "program 'on_nothing_raw': attach: .*lbpf_no_such_tracepoint",
      kinds.program(obj, "on_nothing_raw"):attach())
    fails("ENOENT", "program 'first_argument': attach_raw_tracepoint: .*lbpf_nothing",
      kinds.program(obj, "first_argument"):attach_raw_tracepoint("lbpf_nothing"))
  end)

  it("no such interface is ENODEV", function()
    fails("ENODEV", "program 'on_packet': attach_xdp: ", obj.progs.on_packet:attach_xdp("lbpf-nothing"))
    fails("ENODEV", "program 'on_packet': attach_xdp: ", obj.progs.on_packet:attach_xdp(""))
    fails("ENODEV", "program 'on_packet': attach_xdp: ", obj.progs.on_packet:attach_xdp(("x"):rep(100)))
    local link, _, code = obj.progs.on_packet:attach_xdp(0x7ffffff0)
    assert.is_nil(link)
    assert.is_true(code == "ENODEV" or code == "EINVAL", code)
  end)

  it("a section without a place is EOPNOTSUPP", function()
    kernel.need("syscall programs", "5.14")
    kinds.need("syscall")
    fails("EOPNOTSUPP", "program 'on_packet': attach: ", obj.progs.on_packet:attach())
    fails("EOPNOTSUPP", "program 'add': attach: ", obj.progs.add:attach())
    local calls <close> = assert(bpf.load(CALLS))
    fails("EOPNOTSUPP", "program 'homeless': attach: ", calls.progs.homeless:attach())
  end)

  it("a program of another type can't be attached", function()
    kernel.need("syscall programs", "5.14")
    kinds.need("syscall")
    local link, message, code = obj.progs.add:attach_xdp("lo")
    assert.is_nil(link)
    assert.is_string(code)
    assert.matches("program 'add': attach_xdp: ", message)
    link, message, code = obj.progs.add:attach_raw_tracepoint("sys_enter")
    assert.is_nil(link)
    assert.is_string(code)
    assert.matches("program 'add': attach_raw_tracepoint: ", message)
  end)

  it("failures reach the script, not its outputs", function()
    kernel.need("syscall programs", "5.14")
    kinds.need("syscall")
    assert.equal("", (helper.lua(([[
      local obj = assert(require("bpf").load(%q))
      assert(not obj.progs.on_nothing:attach())
      assert(not obj.progs.on_packet:attach_xdp("lbpf-nothing"))
      assert(not obj.progs.add:attach_xdp("lo"))
    ]]):format(PACKETS))))
  end)
end)

describe("a program's lifetime:", function()
  kernel.root()

  it("after its object is closed, only its name and tostring are left", function()
    for _, open in ipairs({ bpf.open, kernel.load }) do
      local obj = assert(open(PACKETS))
      local prog = obj.progs.on_packet
      obj:close()
      assert.equal("on_packet", prog:name())
      assert.equal("bpf.prog: on_packet (closed)", tostring(prog))
      for _, name in ipairs({ "section", "type", "fd", "info", "autoload", "run", "attach" }) do
        helper.raises(function() prog[name](prog) end, "program 'on_packet': its object is closed")
      end
      helper.raises(function() prog:attach_xdp("lo") end, "program 'on_packet': its object is closed")
    end
  end)

  it("it keeps its object", function()
    kernel.need("syscall programs", "5.14")
    kinds.need("syscall")
    local prog = assert(kernel.load(PACKETS)).progs.add
    collectgarbage()
    collectgarbage()
    assert.equal(7, assert(prog:run({ ctx = ("\0"):rep(16) })).retval)
  end)

  -- Whatever allocates may run a finalizer, and that may close the object.
  for _, case in ipairs({
    { "a run", [[function() obj.progs.on_packet:run(options) end]] },
    { "an attachment", [[function() assert(obj.progs.first_argument:attach()):close() end]] },
    { "a question", [[function() assert(obj.progs.add:info()) end]] },
  }) do
    it("a finalizer that closes its object in the middle of " .. case[1] .. " does no harm", function()
      kernel.need("syscall programs", "5.14")
    kinds.need("syscall")
      local output, ok = helper.lua(([[
        local bpf = require("bpf")
        local options = { ctx = ("\0"):rep(3000) }
        collectgarbage("incremental")
        if _VERSION == "Lua 5.4" then -- one cycle after another
          collectgarbage("setpause", 0)
        else
          collectgarbage("param", "pause", 0)
          collectgarbage("param", "stepmul", 100000)
          collectgarbage("param", "stepsize", 100)
        end
        for _ = 1, 300 do
          local obj = assert(bpf.load(%q))
          local work = %s
          setmetatable({}, { __gc = function() obj:close() end })
          repeat until not pcall(work)
        end
        print("survived")
      ]]):format(PACKETS, case[2]))
      assert.equal("survived\n", output)
      assert.is_true(ok)
    end)
  end
end)

describe("program interop:", function()
  kernel.root()

  it("bpftool sees the same program", function()
    local obj <close> = assert(kernel.load(PACKETS))
    local info = obj.progs.on_packet:info()
    local shown = helper.run("bpftool prog show id " .. info.id)
    assert.matches("xdp  name on_packet  tag " .. info.tag, shown)
  end)
end)

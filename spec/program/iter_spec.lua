-- SPDX-License-Identifier: MIT
-- What programs print: iterators by lines, records or at once, and bpf_printk.
local bpf = require "bpf"
local helper = require "spec.helper"
local attach = require "spec.support.attach"
local kernel = require "spec.support.kernel"
local readers = require "spec.support.reader"

kernel.root()
kernel.need("iterators", "5.9")

local PAIR <const> = "struct pair { __u32 key; __u64 value; }"

-- The object with those programs alone that are named.
local function load(...)
  return assert(attach.load("iters", { ... }, { self = helper.pid }))
end

describe("an iterator's link", function()
  it("gives lines", function()
    local obj <close> = load("tasks")
    local link <close> = assert(obj.progs.tasks:attach_iter())
    for _ = 1, 2 do -- each time from the beginning
      local lines = {}
      for line in link:lines() do
        lines[#lines + 1] = line
      end
      assert.equal(1, #lines)
      assert.matches("^" .. helper.pid .. " %S+", lines[1])
    end
  end)

  it("gives lines that come in pieces, and a last one without its end", function()
    local obj <close> = load("many_lines")
    local link <close> = assert(obj.progs.many_lines:attach())
    local n = 0
    for line in link:lines() do
      if line == "the end" then
        assert.equal(100, n)
      else
        assert.equal(n .. " " .. ("0123456789"):rep(7), line)
        n = n + 1
      end
    end
    assert.equal(100, n)
    assert.equal(10 * #"0 \n" + 90 * #"10 \n" + 100 * 70 + #"the end", #link:read())
  end)

  it("gives records by their type", function()
    local obj <close> = load("pairs")
    local expected = {}
    for i = 1, 500 do
      obj.maps.elements[i] = i * 3
      expected[i] = i * 3
    end
    local link <close> = assert(obj.progs.pairs:attach_iter { map = obj.maps.elements })
    local seen = {}
    for pair in link:records(PAIR) do
      assert.is_nil(seen[pair.key])
      seen[pair.key] = pair.value
    end
    assert.same(expected, seen)
  end)

  it("gives records of the object's own type, where the kernel has another of that name", function()
    local obj <close> = load("many_lines")
    local link <close> = assert(obj.progs.many_lines:attach())
    local step, state, control, closing = link:records("struct request")
    local _ <close> = closing
    local record = step(state, control)
    assert.equal("number", type(record.number))
    assert.equal("string", type(record.word))
  end)

  it("goes over a map that Lua made", function()
    local obj <close> = load("pairs")
    local m <close> = assert(bpf.map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 10 })
    m[7] = 49
    local link <close> = assert(obj.progs.pairs:attach_iter { map = m })
    local next_record, state = link:records(PAIR)
    assert.same({ key = 7, value = 49 }, next_record(state))
    assert.is_nil(next_record(state))
    assert.is_nil(next_record(state))
  end)

  it("raises when the output ends in the middle of a record", function()
    local obj <close> = load("halves")
    obj.maps.elements[1] = 1
    local link <close> = assert(obj.progs.halves:attach_iter { map = obj.maps.elements })
    helper.raises(function()
      for _ in link:records(PAIR) do
        error "no record"
      end
    end, "ends in the middle of a record: 4 bytes of 16 are left")
    assert.equal(4, #link:read())
  end)

  it("may be left early, and stepped when the loop is over", function()
    local obj <close> = load("many_lines")
    local link <close> = assert(obj.progs.many_lines:attach())
    local n = 0
    for line in link:lines() do
      n = n + 1
      if n == 2 then
        assert.matches("^1 ", line)
        break
      end
    end
    local step = link:lines()
    assert.matches("^0 ", step())
    do
      local again, _, _, stream <close> = link:lines()
      assert.matches("^0 ", again(stream))
      step = again
    end
    helper.raises(step, "this iteration has been closed")
  end)

  it("says what is wrong", function()
    local obj <close> = load("tasks", "arguments")
    local link = assert(obj.progs.tasks:attach_iter())
    helper.raises(function() link:records() end, "value expected")
    helper.raises(function() link:records("struct nothing_like_this") end, "record")
    helper.raises(function() obj.progs.tasks:attach_iter { mapp = 1 } end, "unknown option 'mapp'")
    local closed = link:lines()
    link:close()
    helper.raises(function() link:lines() end, "link is closed")
    helper.raises(function() link:read() end, "link is closed")
    assert.equal("function", type(closed))
    local tp <close> = assert(obj.progs.arguments:attach())
    local text, why, errno = tp:read()
    assert.is_nil(text)
    assert.equal("EINVAL", errno)
    assert.matches("no iterator", why)
  end)
end)

describe("an iterator over a map's elements", function()
  it("wants a map", function()
    local obj <close> = load("pairs")
    local none, message, code = obj.progs.pairs:attach_iter()
    assert.is_nil(none)
    assert.equal("string", type(message))
    assert.equal("EBADF", code)
  end)
end)

describe("bpf.printk", function()
  -- The one pipe of the system, which another suite that runs beside this one may be reading.
  local function printk(timeout)
    for _ = 1, 600 do
      local step, why, errno, stream = bpf.printk(timeout)
      if errno ~= "EBUSY" then
        return assert(step, why), nil, nil, stream
      end
      helper.run "sleep 0.1"
    end
    error "somebody reads trace_pipe all the time"
  end

  it("gives what programs print, with who printed it", function()
    kernel.need("programs of type syscall", "5.14")
    local obj <close> = load("say")
    local text, from
    local step, _, _, stream <close> = printk(100) -- luacheck: ignore stream
    repeat -- others may print as well; and before 6.6 take what we print, if they read
      assert(obj.progs.say:run { ctx = { number = 77 } })
      repeat
        text, from = step()
      until not text or text == ("lbpf %d says 77"):format(helper.pid)
    until text
    assert.equal(("lbpf %d says 77"):format(helper.pid), text)
    assert.equal(helper.pid, from.pid)
    assert.equal("number", type(from.time))
    assert.is_true(from.cpu >= 0)
    assert.matches("%S", from.task)
  end)

  it("ends when nothing comes for the time given", function()
    for _, from in printk(10) do -- as long as others print
      assert.equal("table", type(from))
    end
  end)

  -- A process of its own for a loop over what comes, once the pipe is free. It calls `ready` when nothing is left to do
  -- but to wait.
  local PRINTK <const> = [[
    local step, why, errno, stream
    repeat
      step, why, errno, stream = bpf.printk()
    until errno ~= "EBUSY"
    local closed <close> = setmetatable({}, { __close = function() print("closed") end })
    local stream <close> = assert(step, why) and stream
  ]]

  it("ends in a coroutine when Ctrl-C came before it waits", function()
    local output, ok = readers.signalled(PRINTK .. [[
      ready()
      coroutine.wrap(function()
        io.popen("kill -INT $PPID"):close()
        for _ in step do end
        print("ended")
      end)()
      print("after the coroutine")
    ]], "")
    assert.is_false(ok)
    assert.matches("^ended\n", output)
    assert.matches("interrupted!", output)
    assert.is_nil(output:find("after the coroutine"))
  end)

  it("goes on after a stop, and ends on Ctrl-C", function()
    local output, ok = readers.signalled(PRINTK .. [[
      ready()
      for _ in step do end
      print("after the loop")
    ]], "STOP STOP INT")
    assert.is_false(ok)
    assert.matches("interrupted!", output)
    assert.matches("closed\n", output)
    assert.is_nil(output:find("after the loop"))
  end)

  it("goes on after a signal that the process handles, whose hook runs", function()
    assert.equal("closed\n", (readers.signalled(PRINTK .. [[
      sys.handle(10)
      debug.sethook(function()
        if sys.handled() == 2 then
          debug.sethook()
          error({}, 0)
        end
      end, "c")
      ready()
      pcall(function()
        for _ in step do end
        print("after the loop")
      end)
    ]], "USR1 USR1")))
  end)

  it("ends in a coroutine, where Ctrl-C's hook can't run", function()
    local output, ok = readers.signalled(PRINTK .. [[
      ready()
      coroutine.wrap(function()
        for _ in step do end
        print("ended")
      end)()
      print("after the coroutine")
    ]], "STOP INT")
    assert.is_false(ok)
    assert.matches("^ended\n.*interrupted!", output)
    assert.is_nil(output:find("after the coroutine"))
  end)

  it("takes milliseconds that are integers", function()
    helper.raises(function() bpf.printk(0.5) end,
      "#1 to 'printk' %(an integer number of milliseconds expected, got 0%.5%)")
  end)

  it("says that somebody reads them already, where the kernel gives them to one reader", function()
    local _, _, _, first <close> = printk(10)
    local step, why, errno, second <close> = bpf.printk(10)
    assert(first)
    if step then
      assert(second and kernel.before "6.6")
    else
      assert.same({ "EBUSY", "printk: another process reads the kernel's trace_pipe, which takes one (EBUSY)" },
        { errno, why })
    end
  end)
end)

describe("a program's context", function()
  it("is a table of what its first parameter points to", function()
    kernel.need("programs of type syscall", "5.14")
    local obj <close> = load("say")
    local result = assert(obj.progs.say:run { ctx = { number = 5, word = "x" } })
    assert.same({ number = 6, word = "x" }, result.ctx)
    assert.equal(("I4c8"):pack(8, "y"), obj.progs.say:run({ ctx = ("I4c8"):pack(7, "y") }).ctx)
    helper.raises(function() obj.progs.say:run { ctx = { numbr = 1 } } end, "ctx.*numbr")
    helper.raises(function() obj.progs.say:run { ctx = { number = -1 } } end, "ctx.number")
  end)

  it("has the type that is given", function()
    kernel.need("programs of type syscall", "5.14")
    local obj <close> = load("say")
    local result = assert(obj.progs.say:run { ctx = { a = 1, b = 2, c = 3 }, ctx_type = "struct x { __u32 a, b, c; }" })
    assert.same({ a = 2, b = 2, c = 3 }, result.ctx)
  end)

  it("has the object's own type where the kernel has another of that name", function()
    kernel.need("programs of type syscall", "5.14")
    local obj <close> = load("say")
    local result = assert(obj.progs.say:run { ctx = { number = 5, word = "x" }, ctx_type = "struct request" })
    assert.same({ number = 6, word = "x" }, result.ctx)
  end)

  it("is a sequence of a tracepoint's arguments", function()
    local obj <close> = load("arguments")
    assert.equal(42, assert(obj.progs.arguments:run { ctx = { 40, 2 } }).retval)
    helper.raises(function() obj.progs.arguments:run { ctx = { 1, "2" } } end, "argument 2 is a string")
  end)
end)

describe("a program by itself", function()
  it("is opened by id and by pin, run, inspected, stored in maps; and closed", function()
    kernel.need("programs of type syscall", "5.14")
    local obj <close> = load("say")
    local dir = helper.bpffs()
    local say = obj.progs.say
    assert(say:pin(dir .. "/say"))
    local id = say:info().id
    local by_id <close> = assert(bpf.prog.by_id(id))
    local by_pin = assert(bpf.prog.open(dir .. "/say"))
    for _, prog in ipairs { by_id, by_pin } do
      assert.equal("say", prog:name())
      assert.equal("syscall", prog:type())
      assert.equal(id, prog:info().id)
      assert.is_not_nil(prog:run { ctx = ("I4c8"):pack(1, "") })
      assert.matches("^bpf.prog: say %(syscall, fd %d+%)$", tostring(prog))
      helper.raises(function() prog:section() end, "opened by pin or id")
      helper.raises(function() prog:attach() end, "opened by pin or id")
      assert.same({ number = 2, word = "x" }, prog:run({ ctx = { number = 1, word = "x" } }).ctx) -- by its BTF
      assert.same({ number = 2, word = "x" },
        prog:run({ ctx = { number = 1, word = "x" }, ctx_type = "struct request" }).ctx)
      helper.raises(function() prog:run { ctx = { nonsense = 1 } } end, "nonsense")
      assert.same({ number = 2 }, prog:run({ ctx = { number = 1 }, ctx_type = "struct r { __u32 number; }" }).ctx)
    end
    local jump <close> = assert(bpf.map.create { type = "prog_array", max_entries = 1 })
    jump[0] = by_id
    assert.equal(id, jump[0])
    by_pin:close()
    by_pin:close()
    helper.raises(function() by_pin:run() end, "program 'say' is closed")
    assert.equal("bpf.prog: say (closed)", tostring(by_pin))
    assert(by_id:unpin(dir .. "/say"))
    assert.same({ nil, "ENOENT" }, { nil, select(3, bpf.prog.open(dir .. "/say")) })
  end)

  it("says what to give where its BTF may not be read", function()
    kernel.need("programs of type syscall", "5.14")
    local obj <close> = load("say")
    local pin = helper.bpffs() .. "/unread"
    assert(obj.progs.say:pin(pin))
    local output = helper.run(("setpriv --bounding-set=-all,+cap_39 --inh-caps=-all %s -e %s"):format(helper.LUA,
      helper.quote(([[
        local prog = assert(require("bpf").prog.open(%q))
        print(pcall(prog.run, prog, { ctx = { number = 1 } }))
        print(prog:run({ ctx = { number = 1 }, ctx_type = "struct r { __u32 number; }" }).ctx.number)]]):format(pin))))
    assert.matches("^false\t.*run: what the program's context is can't be read from its BTF, which takes CAP_SYS_ADMIN "
      .. "of a program that was opened; give option 'ctx_type', or bytes\n2\n$", output)
    assert(obj.progs.say:unpin(pin))
  end)

  it("says what it could not open", function()
    kernel.need("programs of type syscall", "5.14")
    local obj <close> = load("say")
    local dir = helper.bpffs()
    assert(bpf.map.pin(obj.maps.elements, dir .. "/map"))
    local none, message, code = bpf.prog.open(dir .. "/map")
    assert.is_nil(none)
    assert.equal("EINVAL", code)
    assert.matches("this is no program", message)
    assert.equal("ENOENT", select(3, bpf.prog.by_id(0x7fffffff)))
    assert.equal("EINVAL", select(3, obj.progs.say:unpin(dir .. "/map")))
  end)

  it("counts its runs while statistics are on", function()
    kernel.need("programs of type syscall", "5.14")
    local obj <close> = load("say", "arguments")
    local say = obj.progs.say
    say:run { ctx = ("I4c8"):pack(1, "") }
    local before = say:info().run_cnt
    local stats <close> = assert(bpf.enable_stats())
    assert.equal("bpf.stats: run time", tostring(stats))
    for _ = 1, 3 do
      obj.progs.arguments:run { ctx = { 1, 2 } }
    end
    assert.is_true(obj.progs.arguments:info().run_cnt >= 3)
    stats:close()
    assert.equal("bpf.stats: (closed)", tostring(stats))
    assert.is_true(say:info().run_cnt >= before)
  end)
end)

describe("settings from before the load", function()
  it("are read and set", function()
    local obj <close> = assert(bpf.open(helper.obj "iters"))
    local prog = obj.progs.arguments
    for name, other in pairs(obj.progs) do
      other:autoload(name == "arguments")
    end
    assert.equal("raw_tracepoint", prog:type())
    assert.equal("tracepoint", prog:type "tracepoint")
    assert.equal("raw_tracepoint", prog:type "raw_tracepoint")
    assert.equal(0, prog:log_level())
    assert.equal(1, prog:log_level(1))
    assert.equal("trace_iter", obj.progs.tasks:expected_attach_type())
    assert.is_true(prog:autoattach())
    assert.is_false(prog:autoattach(false))
    helper.raises(function() prog:type "no such type" end, "program type 'no such type' is unknown to libbpf")
    helper.raises(function() prog:expected_attach_type "nowhere" end, "attach type 'nowhere' is unknown")
    helper.raises(function() prog:log_level(9) end, "bad argument")
    local said = {}
    bpf.log(function(text) said[#said + 1] = text end)
    finally(function() bpf.log(nil) end)
    assert(obj:load())
    assert.matches("processed %d+ insns", table.concat(said))
    assert.equal("EBUSY", select(3, prog:type "xdp"))
    assert.equal("EBUSY", select(3, prog:log_level(2)))
  end)

  it("attach_target finds the kernel's functions", function()
    local obj <close> = assert(bpf.open(helper.obj "iters"))
    local none, message, code = obj.progs.tasks:attach_target "no_such_function_at_all"
    assert.is_nil(none)
    assert.equal("string", type(message))
    assert.is_true(code == "ENOENT" or code == "ESRCH", code)
  end)
end)

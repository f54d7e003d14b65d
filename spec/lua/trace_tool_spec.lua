-- SPDX-License-Identifier: MIT
-- Bodies of begin, end and every in lua-bpf trace, and exit().
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local tool = require "spec.support.command"
local traced = require "spec.support.traced"

describe("lua-bpf trace: exit()", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local WRITE = "tracepoint/syscalls/sys_enter_write"
  local writes = traced.WRITES

  it("ends every body at once: nothing more is counted", function()
    assert.equal("count(): 3\n", traced.works(writes, WRITE, "n = n + 1 count() if n == 3 then exit() end"))
  end)

  it("ends every body at once: nothing more is printed", function()
    assert.equal("1\n2\n3\n", traced.works(writes, WRITE, "n = n + 1 print(n) if n == 3 then exit() end"))
  end)

  it("ends bodies of other probes, too", function()
    local output = traced.works(writes, WRITE, "n = n + 1 if n == 5 then exit() end",
      "tracepoint/syscalls/sys_exit_write", "count()")
    assert.equal("count(): 4\n", output)
  end)

  it("ends the trace in begin and every; bodies of end run", function()
    assert.equal("a\nb\ncount(): 0\n", traced.works("sleep 10", "begin", "print 'a' exit()", WRITE, "count()",
      "end", "print 'b'"))
    assert.equal("1\n", traced.works("sleep 10", WRITE, "n = 0", "every 0.01", "k = k + 1 exit()", "end", "print(k)"))
  end)
end)

describe("lua-bpf trace: plain Lua in the tool", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local WRITE = "tracepoint/syscalls/sys_enter_write"
  local writes = traced.WRITES

  it("reads and assigns shared variables", function()
    assert.equal("7\n107\n1\n", traced.works(writes, "begin", "total = 7 print(total)", WRITE, "total = total + 1",
      "end", "print(total) total = 1 print(total)"))
    assert.equal("true\tdd\n", traced.works(writes, "begin", "on = true s = ''", WRITE,
      "if on then last = args.count == 1024 s = comm end", "end", "print(last, s)"))
  end)

  it("reads and assigns members of shared records", function()
    assert.equal("103\tdd\t1\n8\n", traced.works(writes, "begin", "r = { n = 3, by = 'nobody' }", WRITE,
      "r.n = r.n + 1 r.by = comm r.on = true", "end", "print(r.n, r.by, r.on and 1) r.n = 8 print(r.n)"))
  end)

  it("has functions, locals, and what Lua has", function()
    assert.equal("4\tff\t2\t1,2\n5\n", traced.works("true", "begin", [[
      local function add(x)
        local y = x + 1
        n = 5
        return y
      end
      print(add(3), string.format("%x", 255), math.max(1, 2), table.concat({ 1, 2 }, ","))]],
      WRITE, "m = n", "end", "print(n)"))
  end)

  it("has names of its own, which may hold anything", function()
    assert.equal("0.5\ta\t4\t2\n", traced.works("true", "begin", [[
      ratio = 0.5 names = { "a" } t.x = 3
      function add(x) t.x = t.x + x k = k + 2 end]], WRITE, "n = 1", "end",
      "add(1) print(ratio, names[1], t.x, k)"))
    traced.fails("end:1: nothing is ever stored in 'rato' %(ratio%?%)", "begin", "ratio = 0.5", WRITE, "n = 1", "end",
      "print(rato)")
    traced.fails("end:1: no function 'pritn' %(print%?%)", "begin", "function add() end", WRITE, "n = 1", "end",
      "pritn()")
  end)

  it("reads and assigns members of entries, and keys with several parts", function()
    assert.equal("true\tdd\t1\t1\n5\t9\tdd\n", traced.works(writes, WRITE,
      "u[{ pid, comm }] = 1 r[pid] = { n = 1, c = comm }", "end",
      "for k, v in pairs(u) do print(k._1 > 0, k._2, v, u[{ k._1, 'dd' }]) end "
      .. "for k, v in pairs(r) do v.n = 5 io.write(r[k].n, '\\t') r[k].n = 9 print(v.n, v.c) end"))
  end)

  it("gives programs what it computes", function()
    assert.equal("400\t200\n", traced.works(writes, "begin", "limit = tonumber '4' half = math.floor(2.5)", WRITE,
      "if args.count == 1024 then n = n + limit m = m + half end", "end", "print(n, m)"))
  end)

  it("has formats of Lua's and of C's", function()
    assert.equal("a 3   2.5 0xff 7%\n", traced.works("true", "begin",
      [[printf("%s %ld %5.1f %p %u%%\n", "a", 3, 2.5, 255, 7)]], WRITE, "n = 1"))
  end)

  it("prints shared tables and what gathers by name, and clears them", function()
    assert.equal("t\n  dd  1\nt\n  (no values)\nlat: 1024\nlat\n  (no values)\n", traced.works(writes, WRITE,
      "t[comm] = 1 if args.count == 1024 then lat = max(args.count) end", "end",
      "print(t, 1) clear(t) print(t) print(lat, 10) clear(lat) print(lat)"))
  end)

  it("reads a struct of the process, whose address becomes another one's", function()
    assert.matches("^25000000%d\n", traced.works("sleep 0.25",
      "tracepoint/syscalls/sys_enter_nanosleep,tracepoint/syscalls/sys_enter_clock_nanosleep",
      [[print(cast(args.rqtp, "struct __kernel_timespec").tv_nsec)]]))
  end)

  it("gives numbers the text of what they mean", function()
    assert.equal("ENOENT\t3\tSIGKILL\t127.0.0.1\t1.2.3.4\t1.50 ms\ttrue\n", traced.works("true", "begin",
      [[print(errno(-2), errno(3), signal(9), ip(0x0100007f), ip "\1\2\3\4", duration(1500000),
        nsecs > 0 and elapsed > 0)]],
      WRITE, "n = 1"))
  end)

  it("prints what was gathered although a body of end or every is wrong", function()
    for _, probe in ipairs { "end", "every 0.01" } do
      local output, _, code = tool.command(("trace -n 9 -c %s %s 'lat = count()' %s %s"):format(
        helper.quote "sh -c 'echo; sleep 0.2'", WRITE, helper.quote(probe), helper.quote "error 'no luck'"))
      assert.matches("\nlat: %d", output)
      assert.matches(("\nlua-bpf: %s:1: no luck\n"):format(probe), output, 1, true)
      assert.equal(2, code)
    end
  end)

  it("says what is wrong, by probe and line", function()
    traced.fails("end:1: attempt to perform arithmetic on a nil value %(global 'a'%)", WRITE, "n = 1",
      "end", "a = nil print(a + 1)")
    traced.fails("begin:2: printf: the format has 2 conversions, and 1 value stands behind it", WRITE, "n = 1",
      "begin", "\nprintf('%d %s', 1)")
    traced.fails("end:1: enum: the kernel has no enum 'NOPE_'", WRITE, "n = 1", "end", 'print(enum(1, "NOPE_"))')
    traced.fails("end:1: clear: a table is expected, this is a number", WRITE, "n = 1", "end", "clear(n)")
    traced.fails("end:1: count gathers in programs", WRITE, "n = 1", "end", "count()")
    traced.fails("begin:1: n: 0.5 is not an integer", WRITE, "n = 1", "begin", "n = n + 0.5")
    traced.fails("every 1:1: 'comm' is there in an event only", WRITE, "n = 1", "every 1", "print(comm)")
  end)
end)

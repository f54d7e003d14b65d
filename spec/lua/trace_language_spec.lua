-- SPDX-License-Identifier: MIT
-- What bodies of lua-bpf trace may say, and what is said of what they may not, by the command.
local kernel = require "spec.support.kernel"
local traced = require "spec.support.traced"

local WRITE = "tracepoint/syscalls/sys_enter_write"

describe("lua-bpf trace: what is shared", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  -- What a body that runs three times leaves, as a body of end prints it.
  local function left(text, ending)
    return traced.works("dd if=/dev/zero of=/dev/null bs=1k count=3 status=none", WRITE, text, "end", ending)
  end

  it("has records whose members are assigned, before the record or behind", function()
    assert.equal("3\tdd\n", left("r.n = r.n + 1 r.by = comm", "print(r.n, r.by) r = { n = 0 }"))
    assert.equal("4\n", left("if r.n == 0 then r = { n = 1 } end r.n = r.n + 1", "print(r.n)"))
  end)

  it("has records in tables whose members are assigned", function()
    assert.matches("^t\n +PID +N +BY\n +[0-9]+ +4 +dd\n$", left(
      "if not t[pid] then t[pid] = { n = 1 } end t[pid].n = t[pid].n + 1 t[pid].by = comm", "print(t)"))
  end)

  it("has columns that are called as keys and values are written", function()
    assert.matches("^t\n  COUNT  COMM  VALUE\n +1024  dd +3\n$",
      left("local k = {args.count, comm} t[k] = (t[k] or 0) + 1", "print(t)"))
    assert.matches("\n  COMM  COUNT  FD\n  dd +1024 +1\n$", left("t[comm] = { args.count, args.fd }", "print(t)"))
    assert.equal("n\n  FD  COMM  COUNT\n   1  dd        3\n", left("local k = {args.fd, comm} n = count(k)", "i = 1"))
    assert.matches('"rows":%[{"key":%[1024,"dd"%],"value":3}%]}\n$',
      traced.works("dd if=/dev/zero of=/dev/null bs=1k count=3 status=none", "--json", WRITE,
        "t[{args.count, comm}] = (t[{args.count, comm}] or 0) + 1", "end", "print(t)"))
  end)

  it("has entries that are absent", function()
    assert.equal("t\n  dd  3\n", left("t[comm] = (t[comm] or 0) + 1", "print(t)"))
    assert.matches("^warning: [^\n]+ t%[comm%] is absent at first, [^\n]+\nnone\n$", left("t[comm] = t[comm] + 1",
      "print(t.dd or 'none')"))
  end)

  it("has names of any length, in bodies of any length", function()
    local name, list = ("n"):rep(50), { "y = y + 1" }
    assert.equal("3\n", left(name .. " = " .. name .. " + 1", ("print(%s)"):format(name)))
    for n = 1, 300 do
      list[#list + 1] = ("y = y + %d"):format(n * 1000000)
    end
    list[#list + 1] = "last = last + y t[comm] = 7"
    assert.equal("7\t45150000001\n", traced.works("true", "tracepoint/sched/sched_process_exec",
      table.concat(list, " "), "end", "print(t['true'], last)"))
  end)

  it("has interval tick whatever runs, for a command too", function()
    assert.equal("7\n", traced.works("sleep 3", "interval/0.05", "x = 7 exit()", "end", "print(x)"))
  end)

  it("prints false as false, and what is absent as nil", function()
    assert.equal("false\tnil\tfalse\n", traced.works("true", "tracepoint/sched/sched_process_exec",
      "print(nil == false, nil, pid == 1)"))
    assert.equal("nil\ttrue\n", traced.works("true", "tracepoint/sched/sched_process_exec",
      "t[pid] = comm print(t[1], t[pid])"))
    assert.equal("nil\t5\nnil|nil\n", traced.works("true", "tracepoint/sched/sched_process_exec",
      "t[pid] = 5 print(t[1], t[pid]) local b if pid == 1 then b = tid > 3 end printf('%s|%s\\n', t[1], b)"))
  end)

  it("has what Lua's own functions give, and its constants", function()
    assert.equal("true\ttrue\ttrue\n", traced.works("true", "tracepoint/sched/sched_process_exec",
      "local less = math.ult(pid, 1) print(assert(comm) == comm, less == false, assert(pid > 1))"))
    assert.equal("true\tfalse\t9223372036854775807\n", traced.works("true", "tracepoint/sched/sched_process_exec",
      "local name = assert(comm) most = math.maxinteger printf('%s\\t%s\\t%d\\n', name, math.ult(pid, 1), most)"))
  end)

  it("has false as a key and as a value", function()
    assert.equal("f\n  false  false\n", left("f[pid == 1] = pid == 2", "print(f)"))
  end)

  it("has fields that are booleans", function()
    local send = "tracepoint/net/net_dev_start_xmit"
    traced.fails("net_dev_start_xmit:1: boolean compared with integer", send, "count(args.vlan_tagged == 0)")
    assert.equal("count(): 0\n", traced.works("true", send,
      "if args.vlan_tagged and not args.vlan_tagged then count() end"))
  end)

  it("has arrays of numbers, of which one says which", function()
    local enter, which = "tracepoint/raw_syscalls/sys_enter", ": an array of 6 numbers: say which, %[1%] to %[6%]"
    traced.fails("1: print" .. which, enter, "print(args.args)")
    traced.fails("1: count" .. which, enter, "count(args.args)")
    traced.fails("1: t" .. which, enter, "t[1] = args.args")
    traced.fails("1: t: an array of 16: say which, %[1%] to %[16%]", enter, "t[task.signal.rlim] = 1")
    traced.fails("an array of 6 numbers has %[1%] to %[6%], and no %[0%]", enter, "print(args.args[0])")
    traced.fails("and no %[7%]", enter, "print(args.args[7])")
  end)

  it("has addresses and ports as keys and members", function()
    assert.equal("t\n  1.0.0.0  80\n", left("t[ip(args.fd)] = port(80)", "print(t)"))
    assert.equal("t\n  COMM  A        N\n  dd    1.0.0.0  1\n",
      left("t[comm] = { a = ip(args.fd), n = 1 }", "print(t)"))
  end)

  it("has strings of several sizes, compared as a whole", function()
    assert.equal("1\t0\n", left("s = comm if s == 'dd' then a = 1 end if s == 'a text of many bytes' then b = 1 end",
      "print(a, b)"))
  end)

  it("has stacks, which print as their frames", function()
    local output = traced.works("true", "tracepoint/sched/sched_process_exit",
      "s = kstack print(comm, kstack) print(s)")
    assert.matches("^true\n    [^ \t\n]+%+0x.*\n +do_exit%+0x", output)
  end)

  it("marks texts that fill their place", function()
    local output = traced.works("cat /etc/passwd", "--where", "comm == 'cat'", "tracepoint/syscalls/sys_enter_openat",
      "print(str(args.filename, 12)) print(str(args.filename, 13)) count(str(args.filename, 8))")
    assert.matches("\n/etc/passw…\n/etc/passwd\n", (output:gsub("%.%.%.", "…")))
    assert.matches("\n +/etc/p… +%d", (output:gsub("%.%.%.", "…")))
  end)

  it("cuts strings that fields and names hold", function()
    local output = traced.works("true", "tracepoint/sched/sched_process_exec",
      "local s = str(args.filename, 4) print(#s, s == str(args.filename, 4), #str(comm, 3), #str(comm, 30)) print(s)")
    assert.matches("^3\ttrue\t2\t4\n/u…\n$", (output:gsub("%.%.%.", "…")))
  end)

  it("has bytes, which print with escapes", function()
    assert.matches("^\\x00\\x00\n", traced.works("dd if=/dev/zero of=/dev/null bs=1k count=1 status=none", WRITE,
      "print(buf(args.buf, 2))"))
    assert.matches("^abc\\x0a\t\tab\n", traced.works("sh -c 'echo abc >/dev/null'", WRITE,
      "if args.count == 4 then print(buf(args.buf, args.count, 8), buf(args.buf, 0 - args.count, 8), "
      .. "buf(args.buf, 2, 8)) end"))
  end)
end)

describe("lua-bpf trace: what is lost is told", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  it("tells which table was full, shared or gathering, and how many values it lost", function()
    local output = traced.works(traced.WRITES, WRITE, "for i = 1, 200 do n = n + 1 t[n] = 1 count(n) end", "end",
      "print(n) local k = 0 for _ in pairs(t) do k = k + 1 end print(k) clear(t)", "--json")
    local n = tonumber(output:match '"text":"(%d+)"')
    assert.is_true(n >= 20000)
    assert.matches('"text":"10240"', output)
    assert.matches("warning: t: " .. n - 10240 .. " values were lost, as the table was full %(10240 entries%)", output)
    assert.matches("warning: count%(n%): %d+ values were lost, as the table was full %(%d+ entries%): give", output)
  end)

  it("tells how many runs of a body a division by 0 ended, and nothing of absent entries", function()
    local exec, exit = "tracepoint/sched/sched_process_exec", "tracepoint/sched/sched_process_exit"
    local output = traced.works("sh -c 'true; exec true'", exec, "n = n + 1 count(n // (2 - n))",
      exit, "a = a + 0 t[-1] = 1 count(7 % a)", exec, "m = count(1 // t[tid])")
    assert.matches("warning: " .. exec .. ": 1 run of the body was ended by a division by 0: test the divisor before\n",
      output)
    assert.matches("warning: " .. exit .. ": %d+ runs? of the body w[a-z]+ ended by a division by 0", output)
    assert.equal(2, select(2, output:gsub("division by 0", "")))
    assert.falsy(traced.works("true", exec, "n = count(nsecs // (elapsed + 1))"):find("warning", 1, true))
  end)
end)

describe("lua-bpf trace: what is wrong is said with the probe and the line", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local P = "sys_enter_write:"
  for text, message in pairs {
    ["hist(nsecs - strat[tid]) start[tid] = nsecs"] = P .. "1: nothing is ever stored in 'strat' %(start%?%)",
    ["t[1] = 1\nt.a = 2"] = P .. "2: t's keys: char%[8%] here, integer in .*:1",
    ["t[1] = 1\nt[2] = comm"] = P .. "2: t's values: char%[16%] here, integer in .*:1",
    ["x = 1\nx[1] = 2"] = P .. "2: 'x' is a table here and a value in .*:1",
    ["cnt()"] = P .. "1: no function 'cnt' %(count%?%)",
    ["-- only\n--[[x]] coutn()"] = P .. "2: no function 'coutn'",
    ["{ @[comm] = count(); }"] = P .. "1: a body isn't between braces. In Lua: count%(comm%)",
    ["coutn()"] = P .. "1: no function 'coutn' %(count%?%)",
    ["comm = 1"] = P .. "1: 'comm' is taken",
    ["t[1] = count()"] = P .. "1: what count gives can't be stored in 't'",
    ["y = y"] = P .. "1: what 'y' holds isn't known",
    ["if errno(args.count) == 'EIO' then count() end"] = P .. "1: integer %(errno%) compared with .*: its name is",
    ["if pid == 'bash' then count() end"] = P .. "1: integer %(pid%) compared with char%[8%]\n",
    ["count(usym(ustack(1)))"] = P .. "1: usym: a number is expected; a stack is printed with the names of",
    ["if comm == 1 then count() end"] = P .. "1: char%[16%] compared with integer",
    ["\n\ncount(args.cuont)"] = P .. "3: no argument 'cuont' %(count%?%)",
    ["hist(args.count / 2)"] = P .. "1: '/' gives a float.*: write //",
    ["hist(args.count * 1e6)"] = P .. "1: 1e6 is a float: write 1000000",
    ["/pid == 1/ count()"] = P .. "1: a filter isn't between slashes: %-%-where",
    ["print('a' .. comm)"] = P .. "1: '%.%.' isn't possible in a program: give print or printf the parts",
    ["if comm:sub(1, 1) == 'd' then count() end"] = P .. "1: methods %(:sub%) mean nothing .*compared by ==",
    ["if string.sub(comm, 1, 1) == 'd' then count() end"] = P .. "1: Lua's 'string' isn't there in a program",
    ["print(print)"] = P .. "1: print: 'print' is a function",
    ["print(args)"] = P .. "1: print: args has members",
    ["args.count = 3"] = P .. "1: args can't be written",
    ["t[comm].n = t[comm].n + 1"] = P .. "1: no entry of 't' is ever made, whose member 'n' is assigned",
    ["t = {} t[1] = 1"] = P .. "1: 't' needs no {}",
    ["lhist(args.count, 0, 10, 0)"] = P .. "1: lhist.*the step must be above 0",
    ["count[comm]"] = P .. "1: the body ends in the middle of a statement",
    ["count("] = P .. "1: the body ends in the middle of an expression",
    ["print((pid"] = P .. "1: '%)' expected at the end of the body",
    ["\nprintf('%d')"] = P .. "2: printf: the format has 1 conversion, and 0 values stand behind it",
    ["printf('%q\\n', 1)"] = P .. "1: printf: '%%q' is no conversion",
    ["printf('%d', comm)"] = P .. "1: printf: %%d takes a number, and value 1 is a string: %%s",
    ["print(time(3))"] = P .. "1: time: the form must be a constant string",
    ["print(time '*t')"] = P .. "1: time: os.date of Lua makes no text by '%*t'",
    ["print(time '%Q')"] = P .. "1: time: os.date of Lua makes no text by '%%Q'",
    ["delete(t[pid])"] = P .. "1: no function 'delete': t%[key%] = nil removes an entry",
    ["print(arg0)"] = P .. "1: .* has no arg0",
    ["t[1] = 1 clear(t)"] = P .. "1: clear: 't' is a table: that is for `every` and `end`",
  } do
    it(text:gsub("\n", " "), function() traced.fails(message, WRITE, text) end)
  end
end)

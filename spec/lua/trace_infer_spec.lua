-- SPDX-License-Identifier: MIT
-- bpf.trace.infer: the types of what the bodies of one-liners share, and what is wrong with bodies.
local infer = require "bpf.trace.infer"
local types = require "bpf.trace.types"

local integer, text, pointer = types.integer, types.string, types.pointer

local function str(arguments)
  local first, size = arguments[1], arguments[2]
  if first and first.type.kind == "boolean" then
    return nil, "an address is expected, this is boolean"
  end
  return text(size and size.constant or 64)
end

local NAMES = {
  pid = integer "pid", tid = integer "tid", ppid = integer "pid", uid = integer "uid", comm = text(16),
  pcomm = text(16), cpu = integer "cpu", nsecs = integer "time", elapsed = integer "duration",
  func = integer "function",
  probe = integer "probe", task = pointer("struct task_struct", "trusted"), math = { library = math },
  kstack = { type = types.kstack, returns = types.kstack }, ustack = { type = types.ustack, returns = types.ustack },
  str = { returns = str }, time = { returns = integer "time" }, duration = { returns = integer "duration" },
  errno = { returns = integer "errno" }, signal = { returns = integer "signal" }, enum = { returns = integer "enum" },
  syscall = { returns = integer "syscall" }, usym = { returns = integer "user address" },
  port = { returns = integer "port" }, buf = { returns = types.bytes(32) },
  ip = { returns = function(arguments) return types.address(arguments[1].type.kind == "bytes" and 16 or 4) end },
}

-- Probes and their arguments.
local ARGUMENTS = {
  bio = { dev = integer(), sector = integer(), bytes = integer(), comm = text(16) },
  path = { filename = pointer("char", "user"), pathname = pointer("char", "user"), ret = integer(), argv = integer() },
  kill = { pid = integer "pid", sig = integer(), ret = integer() },
  sched = { pid = integer "pid", prev_pid = integer "pid", next_pid = integer "pid", prev_state = integer() },
  ids = { uid = integer(), ruid = integer(), euid = integer(), suid = integer(), ret = integer() },
  raw = { id = integer(), args = { kind = "bytes", size = 48, count = 6 } },
  write = { count = integer(), sb_dev = integer(), name = text(32), reason = integer() },
  sock = { sk = pointer "struct sock", state = integer() }, skb = { skb = pointer "struct sk_buff" },
  sleep = { rqtp = pointer("struct __kernel_timespec", "user") }, lookup = { name = pointer "struct qstr" },
}

local function bodies_of(list)
  local bodies = {}
  for n = 1, #list, 2 do
    local title = list[n]
    bodies[#bodies + 1] = {
      title = title, text = list[n + 1], fn = infer.load(title, list[n + 1], {}), arguments = ARGUMENTS[title],
      tool = title == "every 1" or title == "end" or nil,
    }
  end
  return bodies
end

local function run(...)
  return infer.run(bodies_of { ... }, NAMES)
end

local FORMS = {
  gather = function(name, row)
    local keys = {}
    for n, t in ipairs(row.keys) do
      keys[n] = types.describe(t)
    end
    return ("%s: %s of %s"):format(name, row.gather, #keys > 0 and table.concat(keys, ", ") or "all")
  end,
  table = function(name, row)
    return ("%s[%s] = %s"):format(name, types.describe(row.key), types.describe(row.value))
  end,
  variable = function(name, row) return ("%s = %s"):format(name, types.describe(row.value)) end,
}

-- What bodies share, as text.
local function shared(...)
  local list = {}
  for name, row in pairs(run(...).shared) do
    for form, describe_row in pairs(FORMS) do
      if row[form] then
        list[#list + 1] = describe_row(name, row)
      end
    end
  end
  table.sort(list)
  return table.concat(list, "; ")
end

local function wrong(...)
  local given = { ... }
  local ok, problem = pcall(function() return infer.run(bodies_of(given), NAMES) end)
  assert.is_false(ok)
  return type(problem) == "table" and problem.trace or problem
end

describe("the types that one-liners share", function()
  -- { name, what is shared, probes and bodies… }
  local CORES = {
    { "lines of a shell", "", "any", "if comm == 'bash' then print(time(), pid, str(ret)) end" },
    { "time of block requests", "at[integer] = integer (time); hist(nsecs - at[args.sector]): hist of all",
      "bio", "at[args.sector] = nsecs", "bio", "hist(nsecs - at[args.sector]) at[args.sector] = nil" },
    { "each block request",
      "io[{ integer, integer }] = { ts = integer (time), pid = integer (pid), comm = char[16] }",
      "bio", "io[{args.dev, args.sector}] = { ts = nsecs, pid = pid, comm = comm }",
      "bio", [[local k = {args.dev, args.sector} local s = io[k]
        if s then print(args.dev >> 20, s.comm, s.pid, duration(nsecs - s.ts)) io[k] = nil end]] },
    { "stacks of block requests", "at[{ integer, integer }] = integer (time); hist(nsecs - at[k], by[k]): hist of " ..
      "kstack; by[{ integer, integer }] = kstack",
      "bio", "local k = {args.dev, args.sector} by[k] = kstack at[k] = nsecs",
      "bio", "local k = {args.dev, args.sector} hist(nsecs - at[k], by[k]) by[k] = nil at[k] = nil" },
    { "sizes of block requests", "hist(args.bytes, args.comm): hist of char[16]", "bio",
      "hist(args.bytes, args.comm)" },
    { "capabilities", "", "any", "print(time(), uid, pid, comm, args.cap, enum(args.cap), args.opts)" },
    { "busy processors", "lhist(cpu, 0, 1000, 1): lhist of all", "any",
      "if pid ~= 0 then lhist(cpu, 0, 1000, 1) end" },
    { "names looked up", "name[integer (tid)] = char *", "lookup", "name[tid] = args.name.name",
      "any", "print(elapsed, pid, comm, 'M', str(name[tid])) name[tid] = nil" },
    { "programs started", "", "path", "print(time(), pid, ppid, str(args.argv))" },
    { "hosts asked for", "at[integer (tid)] = integer (time); host[integer (tid)] = integer",
      "any", "at[tid] = nsecs host[tid] = arg0",
      "any", "print((nsecs - at[tid]) // 1000000, str(host[tid])) at[tid] = nil host[tid] = nil" },
    { "signals sent", "sent[integer (tid)] = { to = integer (pid), sig = integer }",
      "kill", "sent[tid] = { to = args.pid, sig = args.sig }",
      "kill", "local s = sent[tid] print(signal(s.sig), s.to, args.ret) sent[tid] = nil" },
    { "load", "", "any", "print(time(), 1)" },
    { "disks flushed", "", "lookup", "print(time(), pid, comm, str(args.name.name))" },
    { "naps", "nap[integer (tid)] = user's struct __kernel_timespec *", "sleep", "nap[tid] = args.rqtp",
      "any", "local t = nap[tid] print(ppid, pcomm, t.tv_sec, t.tv_nsec // 1000000) nap[tid] = nil" },
    { "files opened", "name[integer (tid)] = user's char *", "path", "name[tid] = args.filename", "path",
      "print(comm, args.ret < 0 and -1 or args.ret, errno(args.ret), str(name[tid], 256)) name[tid] = nil" },
    { "processes made", "forks: count of all", "any", "forks = count()" },
    { "waits for a processor", "hist((nsecs - t) // 1000): hist of all; q[integer (pid)] = integer (time)",
      "sched", "q[args.pid] = nsecs",
      "sched", [[if args.prev_state == 0 then q[args.prev_pid] = nsecs end local t = q[args.next_pid]
        if t then hist((nsecs - t) // 1000) q[args.next_pid] = nil end]] },
    { "length of a queue", "lhist(n > 0 and n - 1 or 0, 0, 100, 1): lhist of all",
      "any", "local n = arg0 lhist(n > 0 and n - 1 or 0, 0, 100, 1)" },
    { "users that change", "s[integer (tid)] = { uid = integer (uid), to = integer, r = integer, e = integer }",
      "ids", "s[tid] = { uid = uid, to = args.uid }", "ids", "s[tid] = { uid = uid, r = args.ruid, e = args.euid }",
      "ids", "local x = s[tid] if x then print(x.uid, x.r, x.e, x.to, args.ret) s[tid] = nil end" },
    { "time of a library", "at[integer (tid)] = { ts = integer (time), f = integer (function) }; " ..
      "lhist((nsecs - a.ts) // 1000, 0, 1000, 200, a.f): lhist of integer (function); " ..
      "stats(nsecs - a.ts, a.f): stats of integer (function)",
      "any", "at[tid] = { ts = nsecs, f = func }",
      "any", "local a = at[tid] lhist((nsecs - a.ts) // 1000, 0, 1000, 200, a.f) stats(nsecs - a.ts, a.f)" },
    { "files asked for", "name[integer (tid)] = user's char *", "path", "name[tid] = args.pathname",
      "path", "name[tid] = args.filename", "path", "print(comm, args.ret, str(name[tid])) name[tid] = nil" },
    { "pages swapped in", "count(comm, pid): count of char[16], integer (pid)", "any", "count(comm, pid)" },
    { "syncs", "", "any", "print(time(), pid, comm, probe)" },
    { "system calls", "count(comm): count of char[16]; count(syscall(args.id)): count of integer (syscall)",
      "raw", "count(syscall(args.id)) count(comm)" },
    { "connections", "", "sock", [[local c = args.sk.__sk_common
      print(comm, ip(c.skc_rcv_saddr), c.skc_num, ip(c.skc_daddr), port(c.skc_dport))]] },
    { "lives of sockets", "birth[struct sock *] = integer (time); " ..
      "who[struct sock *] = { pid = integer (pid), comm = char[16] }",
      "sock", [[local sk = args.sk if args.state < 4 and not birth[sk] then birth[sk] = nsecs end
      if args.state == 2 then who[sk] = { pid = pid, comm = comm } end
      if args.state == 7 and birth[sk] then
        local w = who[sk] print(w.pid, w.comm, nsecs - birth[sk]) birth[sk] = nil
      end]] },
    { "backlogs", "hist(args.sk.sk_ack_backlog, args.sk.sk_max_ack_backlog): hist of integer",
      "sock", "hist(args.sk.sk_ack_backlog, args.sk.sk_max_ack_backlog)" },
    { "threads", "", "any", "print(time(), pid, comm, usym(arg2))" },
    { "messages", "recv[integer (tid)] = boolean; skb[integer (tid)] = struct sk_buff *",
      "any", "recv[tid] = true", "skb", "if recv[tid] then skb[tid] = args.skb end",
      "any", "local s = skb[tid] print(comm, s.len, buf(s.data, s.len, 32)) skb[tid] = nil recv[tid] = nil" },
    { "pages written back", "at[integer] = integer (time)", "write", "at[args.sb_dev] = nsecs",
      "write", "local s = at[args.sb_dev] print(args.name, enum(args.reason), (nsecs - s) // 1000)" },
    { "calls of a file system", "at[integer (tid)] = integer (time); f[integer (tid)] = integer (function); " ..
      "hist(nsecs - at[tid], f[tid]): hist of integer (function)", "any", "at[tid] = nsecs f[tid] = func",
      "any", "hist(nsecs - at[tid], f[tid]) at[tid] = nil f[tid] = nil" },
    { "what counts itself", "m[char[16]] = integer; n = integer", "any",
      "n = (n or 0) + 1 m[comm] = (m[comm] or 0) + n" },
  }

  for _, core in ipairs(CORES) do
    it("of " .. core[1], function()
      local expected, list = {}, { table.unpack(core, 3) }
      for part in (core[2] .. "; "):gmatch("(.-); ") do
        expected[#expected + 1] = part
      end
      table.sort(expected)
      assert.equal(table.concat(expected, "; "), shared(table.unpack(list)))
    end)
  end

  it("don't depend on which body comes first", function()
    assert.equal("t[integer (pid)] = { a = integer, b = char[16] }",
      shared("any", "print(t[pid].a, t[pid].b)", "any", "t[pid] = { a = 1 }", "any", "t[pid] = { a = 2, b = comm }"))
  end)

  it("lose a meaning where two meet, and take the larger string", function()
    assert.equal("x[char[64]] = integer", shared("any", "x[comm] = pid", "path", "x[str(args.filename)] = uid"))
  end)

  it("know loops, entries that are walked, and members that are written", function()
    assert.equal("t[integer (pid)] = { n = integer }; total = integer",
      shared("any", "t[pid] = { n = 1 } for i = 1, 3 do t[pid].n = i end " ..
        "for k, v in pairs(t) do total = total + v.n end"))
  end)

  it("know keys that several paths make", function()
    assert.equal("t[{ a = integer, b = char[16] }] = integer",
      shared("any", "local k = { a = 1 } if pid > 3 then k.b = comm else k.b = 'x' end t[k] = 1"))
  end)

  it("know the names that bodies have", function()
    local bodies = bodies_of { "raw", "at[tid] = { ts = nsecs, comm = comm, name = str(arg0, 32) }",
      "raw", "count(kstack, syscall(args.id), math.min(cpu, 3))" }
    local found = infer.run(bodies).shared
    assert.equal("{ ts = integer (time), comm = char[16], name = char[32] }", types.describe(found.at.value))
    local keys = found["count(kstack, syscall(args.id), math.min(cpu, 3))"].keys
    assert.equal("kstack", keys[1].kind)
    assert.equal("syscall", keys[2].meaning)
    assert.equal("integer", keys[3].kind)
  end)

  it("know what Lua's own functions give, and its constants", function()
    assert.equal("b = boolean; c = integer; d = integer",
      shared("any", "b = math.ult(pid, 5) c = math.maxinteger d = math.min(pid, 5)"))
  end)

  it("know the kernel's structs", function()
    assert.equal("parent[struct task_struct *] = struct task_struct *; who = char[16]",
      shared("any", "parent[task] = task.real_parent who = task.real_parent.comm"))
  end)

  it("are one table by a name, or by a text", function()
    assert.equal("count(comm): count of char[16]; lat: hist of char[16]",
      shared("any", "lat = hist(nsecs, comm) count(comm)", "any", "lat = hist(nsecs, 'dd')", "any", "count(comm)"))
  end)

  it("tell each call's word, title, keys and constants", function()
    local body = "lat = lhist(args.id, 0, 10, 2, comm) -- count(\nprintf('%d (\\n', pid) count( pid )"
    local bodies = bodies_of { "raw", body }
    local list = {}
    for _, call in pairs(infer.run(bodies, NAMES).calls[bodies[1]]) do
      list[call.word] = call
    end
    assert.same({ 0, 10, 2 }, list.lhist.arguments)
    assert.equal("lat", list.lhist.name)
    assert.equal("lhist(args.id, 0, 10, 2, comm)", list.lhist.title)
    assert.equal("count( pid )", list.count.title)
    assert.equal("pid", list.count.keys[1].meaning)
    assert.equal("%d (\n", list.printf.arguments[1])
    assert.equal("pid", list.printf.keys[2].meaning)
  end)

  it("go through bodies that the tool runs", function()
    assert.equal("lat: hist of all; limit = integer; t[integer (pid)] = integer",
      shared("any", "t[pid] = 1 lat = hist(nsecs) if pid > limit then exit() end",
        "every 1", "print(t, 10) clear(lat) limit = 3 io.write(os.date() .. '\\n', 1 / 2)"))
  end)
end)

describe("a mistake in one-liners", function()
  -- { what is wrong, probes and bodies… }
  local MISTAKES = {
    { "b:1: nothing is ever stored in 'strat' (start?)", "a", "start[tid] = nsecs", "b", "hist(nsecs - strat[tid])" },
    { "b:1: start's keys: char[16] here, integer (tid) in a:1", "a", "start[tid] = nsecs",
      "b", "hist(nsecs - start[comm])" },
    { "b:1: x's values: integer (time) here, char[16] in a:1", "a", "x[tid] = comm", "b", "x[tid] = nsecs" },
    { "a:1: no function 'coutn' (count?)", "a", "coutn(comm)" },
    { "b:1: 'x' is a table here and a value in a:1", "a", "x = 1", "b", "x[tid] = 1" },
    { "a:1: '/' gives a float, and programs have integers only: write //, which divides integers",
      "a", "hist(nsecs / 1000)" },
    { "a:1: 1e6 is a float: write 1000000", "a", "hist(nsecs // 1e6)" },
    { "a:1: argument 1: '/' gives a float, and programs have integers only: write //, which divides integers",
      "a", "print(1/3)" },
    { "a:1: '/' gives a float, and programs have integers only: write //, which divides integers", "a", "x = 4/2" },
    { "a:1: no function 'cnt' (count?)", "a", "cnt(comm)" },
    { "a:1: no function 'average' (avg?)", "a", "average(pid)" },
    { "path:1: no argument 'fname' (filename?)", "path", "count(args.fname)" },
    { "raw:1: t: an array of 6 numbers: say which, [1] to [6]", "raw", "t[1] = args.args" },
    { "raw:1: t: an array of 6 numbers: say which, [1] to [6]", "raw", "t[args.args] = 1" },
    { "raw:1: v: an array of 6 numbers: say which, [1] to [6]", "raw", "v = args.args" },
    { "raw:1: n: an array of 6 numbers: say which, [1] to [6]", "raw", "t[1] = { n = args.args }" },
    { "raw:1: { }: an array of 6 numbers: say which, [1] to [6]", "raw", "count({ pid, args.args })" },
    { "a:1: t: args has members: args.NAME", "a", "t[args] = 1" },
    { "a:1: { }: args has members: args.NAME", "a", "t[1] = { args }" },
    { "a:1: t: 'print' is a function", "a", "t[print] = 1" },
    { "a:1: 0.5 is a float, and programs have integers only", "a", "x[pid] = 0.5" },
    { "path:1: no argument 'filenam' (filename?)", "path", "count(args.filenam)" },
    { "path:1: 'function' is a word of Lua: write args[\"function\"]", "path", "count(args.function)" },
    { "kill:1: only some of these probes have an argument 'filename'; without it: kill, raw",
      "path", "count(args.filename)", "kill", "count(args.filename)", "raw", "count(args.filename)" },
    { "b:1: x's keys: { integer (pid), integer (tid), integer } here, { integer (pid), integer (tid) } in a:1",
      "a", "x[{pid, tid}] = 1", "b", "x[{pid, tid, 3}] = 1" },
    { "a:1: '..' isn't possible in a program: give print or printf the parts", "a", "print(comm .. pid)" },
    { "a:1: what 'x' holds isn't known: nothing that has a type is stored there",
      "a", "x[tid] = y[tid] y[tid] = x[tid]" },
    { "a:1: char[16] compared with integer", "a", "if comm == 3 then count() end" },
    { "a:1: EACCES is 13: a call that fails with it returns -13", "a", "if pid == -EACCES then count() end" },
    { "a:1: SIGKILL is 9", "a", "if pid == SIGKILL then count() end" },
    { "a:1: what count gives can't be stored in 'x': keys stand in the call: x = count(…, pid)",
      "a", "x[comm] = count()" },
    { "a:1: a filter isn't between slashes: --where EXPR is one for all probes, `if … then … end` for one. "
      .. "In Lua: if pid == 3 then count() end", "a", "/pid == 3/ count()" },
    { "a:1: 'comm' is taken: it is at hand in every body", "a", "comm = 3" },
    { "a:1: '!=' is ~= in Lua. In Lua: if pid ~= 3 then count() end", "a", "if pid != 3 then count() end" },
    { "a:1: equal is '==' in Lua", "a", "if pid = 3 then count() end" },
    { "a:1: tables hold no tables: write t[{ a, b }]", "a", "t[pid][tid] = 3" },
    { "a:1: 'pairs' is taken: it is at hand in every body", "a", "pairs = 3" },
    { "a:1: arithmetic on char[16]", "a", "x = comm + 1" },
    { "a:3: { a = integer } has no member 'b' (a?)", "a", "x[pid] = { a = 1 }\n\nprint(x[pid].b)" },
    { "a:1: struct task_struct has no member 'com' (comm?)", "a", "print(task.com)" },
    { "b:1: 'lat' is a count here and a hist in a:1", "a", "lat = hist(nsecs)", "b", "lat = count()" },
    { "b:1: lat has 1 key here, 0 in a:1", "a", "lat = count()", "b", "lat = count(pid)" },
    { "a:1: hist: n is a number, this is char[16]", "a", "hist(comm)" },
    { "a:1: lhist: last must be a constant, an integer", "a", "lhist(nsecs, 0, pid, 3)" },
    { "a:1: count: different things on different paths: char[16], integer (pid)",
      "a", "local k = comm if pid > 3 then k = pid end count(k)" },
    { "a:1: nothing is ever stored in 'com' (comm?)", "a", "print(com)" },
    { "a:1: print: 't' is a table: that is for `every` and `end`", "a", "t[pid] = 1 print(t)" },
    { "a:1: str: an address is expected, this is boolean", "a", "t[pid] = true print(str(t[pid]))" },
    { "a:2: a function can't be made in a one-liner", "a", "\nlocal f = function() end" },
  }

  for _, mistake in ipairs(MISTAKES) do
    it("is told: " .. mistake[1], function()
      assert.equal(mistake[1], wrong(table.unpack(mistake, 2)))
    end)
  end
end)

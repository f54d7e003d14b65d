-- SPDX-License-Identifier: MIT
-- lua-bpf trace --emit: scripts that do what the trace does.
local bpf = require "bpf"
local cgroup = require "spec.support.cgroup"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local syscalls = require "bpf.format.syscalls"
local tool = require "spec.support.command"

local quote = helper.quote
local WRITE = "tracepoint/syscalls/sys_enter_write"

describe("lua-bpf trace --emit", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local me = tonumber(io.open("/proc/self/stat"):read "n")

  -- The script that probes and bodies become, which watches this process alone.
  local function emitted(...)
    local words = { "trace --emit - -p " .. me }
    for _, word in ipairs { ... } do
      words[#words + 1] = quote(word)
    end
    return tool.works(table.concat(words, " "))
  end

  -- Calls write three times, with 1, 1024 and 1024 bytes.
  local function write_three()
    local file <close> = assert(io.open("/dev/null", "w"))
    file:setvbuf "no"
    for _, size in ipairs { 1, 1024, 1024 } do
      file:write(("x"):rep(size))
    end
  end

  -- What a command prints while this process writes three times. `ends`: it ends by itself.
  local function beside(command, ends)
    local pipe = assert(io.popen(("echo $$; exec env --default-signal=INT %s 2>&1"):format(command)))
    local pid = pipe:read "n"
    local lines = {}
    repeat
      local line = pipe:read "L"
      lines[#lines + 1] = line ~= "\n" and line or nil
    until not line or line:find "^ready"
    write_three()
    if not ends then
      os.execute(("kill -INT %d 2>/dev/null"):format(pid))
    end
    local rest = pipe:read "a"
    pipe:close()
    return (table.concat(lines) .. rest):gsub("ready[^\n]*\n", "", 1)
  end

  local function printed(script, ends)
    local path = os.tmpname()
    local file = assert(io.open(path, "w"))
    file:write(script)
    file:close()
    local output = beside(helper.LUA .. " " .. path, ends)
    os.remove(path)
    return output
  end

  -- A line prints as a script what it prints as a command: lines as they are, tables as JSON.
  local function same(...)
    local words = { "trace --json -p " .. me }
    for _, word in ipairs { ... } do
      words[#words + 1] = quote(word)
    end
    local expected = beside(tool.COMMAND .. table.concat(words, " "))
    assert.equal(expected, (printed(emitted("--json", ...))))
    return expected
  end

  local function runs(expected, ...)
    assert.equal(expected, (printed(emitted(...))))
  end

  it("writes bpf.programs with maps, which need nothing of the trace", function()
    local script = emitted(WRITE, "start[tid] = nsecs count(args.count)")
    assert.matches("^#!/usr/bin/env lua\n", script)
    assert.matches('\nlocal start <close> = assert%(map.create {\n  type = "hash", max_entries = 10240, key = "__s64"',
      script)
    assert.matches("\n    start%[tid%] = helper.ktime_get_ns%(%)\n    map.add%(count_1, ctx.count%)\n", script)
    assert.is_nil(script:find("bpf.trace", 1, true))
  end)

  it("tests entries that may be absent", function()
    assert.matches([[
    local start_1 = start%[tid%]
    if not start_1 then return end
    map.add%(hist_1, log2%(%(helper.ktime_get_ns%(%) %- start_1%) // 1000%)%)
    start%[tid%] = nil
]], emitted(WRITE, "start[tid] = nsecs", "tracepoint/syscalls/sys_exit_write",
      "hist((nsecs - start[tid]) // 1000) start[tid] = nil"))
    assert.matches("if t%[tid%] and %(t%[tid%] or 0%) > 3 then\n", emitted(WRITE,
      "t[tid] = 1 if t[tid] and t[tid] > 3 then count() end"))
  end)

  it("gathers", function()
    runs("count(args.count)\n  1024  2\n  1  1\n", WRITE, "count(args.count)")
    runs("hist(args.count)\n  1                        1\n  1024 - 2047              2\n", WRITE, "hist(args.count)")
    runs("lhist(args.count, 0, 2048, 512)\n  [0, 512)                 1\n  [1024, 1536)             2\n", WRITE,
      "lhist(args.count, 0, 2048, 512)")
    runs("all\n  2049\nmax(args.count)\n  1024\nmin(args.count)\n  1\navg(args.count)\n  683\n", WRITE,
      "all = sum(args.count) max(args.count) min(args.count) avg(args.count)")
    runs("count(args.count == 1, probe)\n  false  " .. WRITE .. "  2\n  true  " .. WRITE .. "  1\n", WRITE,
      "count(args.count == 1, probe)")
  end)

  it("prints no values where there are none, and 0 where nothing was counted", function()
    runs("count()\n  0\ncount(comm)\n  (no values)\nsum(tid)\n  (no values)\nhist(tid)\n  (no values)\n", WRITE,
      "if tid == 0 then count() count(comm) sum(tid) hist(tid) end")
    runs("t\n  (no values)\n", WRITE, "if tid == 0 then t[tid] = 1 end", "end", "print(t)")
  end)

  it("prints lines, with the text of what values mean", function()
    runs("1\tENOENT\t3\n1024\tENOENT\t3\n1024\tENOENT\t3\n", WRITE, "print(args.count, errno(-2), errno(3))")
    runs("   1|400|%\n1024|400|%\n1024|400|%\n", WRITE, [[printf("%4d|%x|%%\n", args.count, 1024)]])
  end)

  it("has shared tables, variables and records", function()
    runs("t\n  1024  2\n  1  1\n2049\t1024\n", WRITE,
      "t[args.count] = (t[args.count] or 0) + 1 n = n + args.count r = { last = args.count }",
      "end", "print(t) print(n, r.last)")
    runs("7\n", WRITE, "if not t[pid] then t[pid] = { n = 4 } end t[pid].n = t[pid].n + 1", "end",
      ("print(t[%d].n)"):format(me))
  end)

  it("prints JSON as the command does", function()
    local words = {}
    for _, body in ipairs {
      "count(args.count)", "count()", "all = sum(args.count)", "avg(args.count, pid)", "stats(args.count, comm)",
      "min(args.count) max(args.count)", "hist(args.count - 1)", "hist(args.count, pid, comm)",
      "count(args.count > 5, probe)", "lhist(args.count, 2, 900, 100)", "lhist(args.count, 0, 1025, 512, pid)",
      "sum(duration(args.count))", "if args.count == 7 then none = count() end",
      [[print(args.count, "x", errno(2)) printf("%4d|%s|%%\n", args.count, uid)]],
    } do
      words[#words + 1], words[#words + 2] = WRITE, body
    end
    assert.matches('{"name":"none","type":"count","rows":%[%]}', same(table.unpack(words)))
    same(WRITE, "t[args.count] = args.count r[{ n = args.count, pid }] = { comm = comm, n = 3, d = duration(9) } "
      .. "count({ n = args.count, pid })",
      "end", "print(t) print(r) print(t[1], 'x')")
  end)

  it("prints nil for what is absent", function()
    same(WRITE, "print(t[args.count], args.count) t[args.count] = (t[args.count] or 6) + 1")
    same(WRITE, [[local c = last[1] print(c) printf("%s\n", last[1]) printf("%d\n", t[1]) last[1] = comm t[1] = 5]],
      "end", "print(t[2], last[7])")
    assert.equal("count()\n  0\nlat\n  (no values)\n",
      (printed(emitted(WRITE, "if args.count == 7 then count() lat = hist(1) end"))))
  end)

  it("has names of system calls and enumerators", function()
    same(WRITE, "count(syscall(args.count % 2), enum(args.count % 2, 'TCP_'))",
      WRITE, "print(syscall(1), enum(args.count, 'pid_type'))",
      "end", "print(syscall(1), enum(1, 'TCP_'), errno(2), signal(9))")
  end)

  it("has addresses of the network", function()
    assert.matches('"1%.0%.0%.0\\t1%.0%.0%.0"', same(WRITE, "count(ip(args.count)) print(ip(args.count), ip(1))",
      "end", "print(ip(1))"))
    same("tracepoint/sock/inet_sock_set_state", "count(ip(args.saddr), ip(args.daddr_v6), args.newstate)",
      WRITE, "count()")
  end)

  it("has bytes of memory", function()
    assert.matches('"xx\\t', same(WRITE,
      "if args.count > 2 then print(buf(args.buf, 2), 1) count(buf(args.buf, 3)) end"))
  end)

  it("watches a cgroup", function()
    local group <close> = cgroup.new()
    assert.matches('"rows":%[%]', same("--cgroup", group.path, WRITE, "count()"))
    same("--cgroup", cgroup.root(), WRITE, "count()")
  end)

  it("prints at intervals", function()
    local script = emitted("--interval", "0.01", WRITE, "count()", "every 0.05", "exit()")
    assert.matches("^\n%d%d:%d%d:%d%d\ncount%(%)\n  %d\n", (printed(script, true)))
    script = emitted("--json", "--interval", "0.01", WRITE, "count()", "every 0.05", "exit()")
    assert.matches('^{"type":"interval","time":%d+}\n{"name":"count%(%)","type":"count","rows":%[',
      (printed(script, true)))
  end)

  it("has stacks, of several depths", function()
    -- Up to Linux 6.1 at least, records of single system calls come without a stack of the kernel.
    local output = printed(emitted("tracepoint/raw_syscalls/sys_enter",
      ("if args.id == %d then count(kstack(1)) print(kstack) end"):format(syscalls.number("write"))))
    assert.matches("\n    [^\n]*%+0x%x+\n    [^\n]*%+0x%x+\n", output)
    assert.matches("\ncount%(kstack%(1%)%)\n  \n    [^\n]*%+0x%x+  3\n", output)
  end)

  it("has stacks and functions of processes", function()
    local code = tonumber(io.open("/proc/self/maps"):read("a"):match "(%x+)%-%x+ r%-xp [^\n]*libc", 16)
    local usym = ("usym(args.count + %d)"):format(code)
    local output = same(WRITE, ("count(ustack(1)) hist(args.count, ustack(2), comm) print(ustack(1), %s) count(%s)")
      :format(usym, usym))
    assert.matches('{"name":"count%(ustack%(1%)%)","type":"count","rows":%[{"key":%[%["[^"]+"', output)
    assert.matches('{"type":"print","text":"1\\n    [^ ]', same(WRITE, "print(args.count, ustack(2), comm)"))
    same(WRITE, "count(usym(args.count))")
    tool.fails(2, "%-%-emit: a stack has a form in a script where", ("trace --emit - %s 't[1] = ustack'"):format(WRITE))
    tool.fails(2, "write: a stack has a form in a script where",
      ("trace --emit - %s 'local s = kstack(2) count(s)'"):format(WRITE))
  end)

  it("names programs after their probes", function()
    local script = emitted("profile/99,tracepoint/syscalls/sys_enter_read,raw_tp/sys_enter", "count()", WRITE, "n = 1",
      WRITE, "n = 2")
    for _, name in ipairs { "profile_99", "sys_enter_read", "sys_enter", "sys_enter_write", "sys_enter_write_2" } do
      assert.matches("\n  " .. name .. " = { \"", script)
    end
  end)

  it("writes what the guide shows", function()
    local guide <close> = assert(io.open "docs/guide.md")
    local text = guide:read "a"
    local line = text:match "# lua%-bpf trace (%-%-emit reads%.lua .-)\n# "
    local shown = text:match("%-%-emit reads%.lua.-```lua\n(.-)```")
    local script = tool.works("trace " .. line:gsub("reads%.lua", "-", 1))
    assert.truthy(script:find(shown, 1, true), script)
  end)

  it("names the arguments of functions and raw tracepoints", function()
    assert.matches("\n  sched_switch = { \"raw_tp/sched_switch\", function%(args_preempt, args_prev, args_next",
      emitted("raw_tp/sched_switch", "count(args.prev.comm)"))
  end)

  it("ends with exit()", function()
    local script = emitted(WRITE, "n = n + 1 print(args.count) if n == 2 then exit() end")
    assert.equal("1\n1024\n", (printed(script, true)))
  end)

  it("ends on SIGHUP, unless that is ignored", function()
    local path = helper.tmpdir() .. "/script.lua"
    local file <close> = assert(io.open(path, "w"))
    file:write((emitted(WRITE, "n = count()", "every 0.05", "io.stderr:write('on\\n')", "end", "print('end')")))
    file:close()
    local run = [[
      err=$(mktemp); env --default-signal %s %s %s 2>$err & pid=$!
      until grep -q ^on $err; do kill -0 $pid || break; sleep 0.02; done
      kill -HUP $pid; before=$(grep -c ^on $err); %s
      wait $pid; echo status $?; rm $err]]
    assert.equal("end\nn\n  0\nstatus 0\n", (helper.run(run:format("", helper.LUA, path, ""))))
    assert.equal("end\nn\n  0\nstatus 0\n", (helper.run(run:format("--ignore-signal=HUP", helper.LUA, path, [[
      until [ $(grep -c ^on $err) -gt $((before + 2)) ]; do kill -0 $pid || break; sleep 0.02; done
      kill $pid]]))))
  end)

  it("ends with its process", function()
    local path = helper.tmpdir() .. "/script.lua"
    local output = helper.run(([[
      sleep 1000 & sleeper=$!
      %strace --emit %s -p $sleeper %s %s end %s
      err=$(mktemp); timeout 60 %s %s 2>$err & pid=$!
      until grep -q ^ready $err; do kill -0 $pid || break; sleep 0.02; done
      kill $sleeper; wait $pid; echo status $?; rm $err]]):format(tool.COMMAND, path, WRITE, quote "n = count()",
      quote "print('end')", helper.LUA, path))
    assert.equal("end\nn\n  0\nstatus 0\n", output)
  end)

  it("runs bodies of begin, every and end", function()
    runs("first\n3\ntrue\n", "begin", "print 'first' seen = 0", WRITE, "n = n + 1", "every 0.01",
      "seen = seen + 1", "end", "print(n) print(seen >= 0)")
  end)

  it("has branches and loops", function()
    runs("count(i)\n  1  3\n  2  3\nsmall\n  1\nother\n  2\n", WRITE,
      "for i = 1, 2 do count(i) end if args.count == 2 then t[1] = 1 elseif args.count < 9 then small = count() "
      .. "else local x = t[9] if not x then x = 5 end t[9] = x + 1 other = count() end")
  end)

  it("writes a file, and is an option of bpf.trace", function()
    local path = os.tmpname()
    assert.equal(0, bpf.trace { { WRITE, "count()" }, emit = path })
    local file <close> = assert(io.open(path))
    os.remove(path)
    file:read "L"
    assert.truthy(load(file:read "a"))
  end)

  it("says what has no form in a script", function()
    for option, text in pairs { command = "-c true", follow = "--follow -p " .. me } do
      tool.fails(2, "%-%-emit: a script has no option '" .. option .. "'",
        ("trace --emit - %s %s 'count()'"):format(text, WRITE))
    end
    tool.fails(2, "write: buf%(%) has a form in a script where its length is a constant",
      ("trace --emit - %s 'print(buf(args.buf, args.count, 8))'"):format(WRITE))
    tool.fails(2, "write: ip%(%) has a form in a script where it is printed or a key",
      ("trace --emit - %s 't[pid] = ip(args.count)'"):format(WRITE))
    tool.fails(2, "enum: the kernel has no enum 'NOPE_'",
      ("trace --emit - %s 'count(enum(pid, \"NOPE_\"))'"):format(WRITE))
    tool.fails(2, "%-%-emit: the script uses the name 'map'", ("trace --emit - %s 'map[pid] = 1'"):format(WRITE))
  end)
end)

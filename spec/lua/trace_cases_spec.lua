-- SPDX-License-Identifier: MIT
-- lua-bpf trace: one-liners of the kind that people type daily, and what they print of a command whose events are
-- known.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local tool = require "spec.support.command"

local quote = helper.quote

-- The words of a command of the shell.
local function words(...)
  local list = {}
  for _, word in ipairs { ... } do
    list[#list + 1] = quote(word)
  end
  return table.concat(list, " ")
end

-- What a trace prints while a command runs alone, and what it says on standard error before it.
local function traced(command, ...)
  return tool.works("trace -c " .. quote(command) .. " " .. words(...))
end

-- What a trace prints that is ended once a command of the shell has run beside it. Its standard error comes first, and
-- what the command printed last, behind "== beside".
local function beside(command, ...)
  local output, ok = helper.run(([[
    out=$(mktemp); err=$(mktemp); said=$(mktemp)
    timeout --foreground -s KILL %d %s trace %s >$out 2>$err & pid=$!
    until grep -q '^ready, ' $err; do kill -0 $pid || break; sleep 0.02; done
    { %s
    } >$said 2>&1
    kill -TERM $pid; wait $pid; status=$?
    cat $err $out; echo "== beside"; cat $said; rm $out $err $said; exit $status]]):format(60 * helper.slow,
    tool.COMMAND, words(...), command))
  assert(ok, output)
  return output
end

-- The number behind a key at the beginning of a row.
local function row(output, key)
  return tonumber(output:match("\n +" .. key .. " +([0-9]+)"))
end

-- The rows of a histogram whose counts aren't 0: "1024 – 1536=1000", ….
local function buckets(output)
  local list = {}
  for first, last, count in output:gmatch("\n +(%S+) – +(%S+) +([0-9]+)") do
    if count ~= "0" then
      list[#list + 1] = ("%s–%s=%s"):format(first, last, count)
    end
  end
  return table.concat(list, " ")
end

describe("one-liners", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  it("count system calls by process, the most first", function()
    local output = beside("dd if=/dev/zero of=/dev/null bs=1k count=1000", "tracepoint/raw_syscalls/sys_enter",
      "count(comm)")
    assert.is_true(row(output, "dd") >= 2000, output)
    local before = math.huge
    for count in output:match("\ncount%(comm%)\n(.-)== beside"):gmatch("  +([0-9]+)[^\n]*\n") do
      assert.is_true(tonumber(count) <= before, output)
      before = tonumber(count)
    end
  end)

  it("show sizes of writes in steps", function()
    local output = traced("dd if=/dev/zero of=/dev/null bs=1k count=1000", "tracepoint/syscalls/sys_enter_write",
      "lhist(args.count, 0, 4096, 512)")
    assert.equal("0–512=3 1024–1536=1000", buckets(output))
  end)

  it("print files that are opened", function()
    local output = beside("cat /etc/passwd >/dev/null & echo pid $!; wait $!", "tracepoint/syscalls/sys_enter_openat",
      [[printf("%-6d %-16s %s\n", pid, comm, str(args.filename, 128))]])
    local pid = output:match("\npid ([0-9]+)\n")
    assert.matches("\n" .. pid .. " +cat +/etc/passwd\n", output)
  end)

  it("measure how long a thread slept, by an undeclared table", function()
    local output = traced("sleep 0.2", "tracepoint/syscalls/sys_enter_clock_nanosleep", "start[tid] = nsecs",
      "tracepoint/syscalls/sys_exit_clock_nanosleep", "hist((nsecs - start[tid]) // 1000000) start[tid] = nil")
    assert.matches("\nhist%(%(nsecs %- start%[tid%]%) // 1000000%)\n", output)
    assert.equal(helper.slow > 1 and output:match("128–255=1") or "128–255=1", buckets(output))
  end)

  it("print programs that are started, with their parents", function()
    local output = beside("sh -c '/bin/true; /bin/true; exit 0'", "tracepoint/sched/sched_process_exec",
      [[printf("%d %s %s\n", pid, comm, args.filename)]])
    local first, second = output:match("\n([0-9]+) true /bin/true\n.-([0-9]+) true /bin/true\n")
    assert.is_true(first and first ~= second, output)
    assert.matches("\n[0-9]+ sh %S*/sh\n", output)
  end)

  it("measure how long processes live, by a value that another probe stored", function()
    local path, name = helper.own "sleep"
    local output = beside(path .. " 0.3", "tracepoint/sched/sched_process_exec", "born[pid] = nsecs",
      "tracepoint/sched/sched_process_exit", [[if born[pid] and pid == tid then
        printf("%s %d ms\n", comm, (nsecs - born[pid]) // 1000000) born[pid] = nil end]])
    local time = tonumber(output:match("\n" .. name .. " ([0-9]+) ms"))
    assert.is_true(time and time >= 300 and time <= 600 * helper.slow, output)
  end)

  it("print signals and who sends them", function()
    local output = beside("sh -c 'sleep 5 & echo $!; kill -9 $!'", "tracepoint/signal/signal_generate",
      [[if args.sig == 9 then printf("%s -> %s %d\n", comm, args.comm, args.pid) end]])
    local pid = output:match("== beside\n([0-9]+)\n")
    local name = output:match("\nsh %-> ([a-z]+) " .. pid .. "\n")
    assert.is_true(name == "sleep" or name == "sh", output)
  end)

  it("have the largest and the mean write", function()
    local path, name = helper.own "dd"
    local output = beside(path .. " if=/dev/zero of=/dev/null bs=64k count=10 2>/dev/null",
      "tracepoint/syscalls/sys_enter_write", "max(args.count, comm) avg(args.count, comm)")
    local largest, means = output:match("\nmax%(args.count, comm%)(\n.-)\navg%(args.count, comm%)(\n.*)== beside")
    assert.equal(65536, row(largest, name), output)
    local mean = row(means, name)
    assert.is_true(mean > 40000 and mean < 65536, output)
  end)

  it("add up bytes by interface, whose names are the records' own data", function()
    -- as many bytes as `ping -c 3 127.0.0.1` sends
    local output = beside(helper.LUA .. " -e " .. quote [[
      local socket = require("socket").udp()
      socket:setsockname("127.0.0.1", 0)
      local _, port = socket:getsockname()
      for _ = 1, 6 do socket:sendto(("x"):rep(56), "127.0.0.1", port) end]],
      "tracepoint/net/net_dev_queue", "sum(args.len, args.name)")
    assert.is_true(row(output, "lo") >= 588, output)
  end)

  it("show where a command leaves the CPU, by stacks with names", function()
    local output = beside("sleep 0.1", "--where", 'comm == "sleep"', "tracepoint/sched/sched_switch", "count(kstack)")
    assert.matches("nanosleep%+0x", output)
    assert.matches("do_exit%+0x", output)
    assert.falsy(output:find("\n +0x[0-9a-f]+\n"), output)
  end)

  it("show the sizes that a program asks realloc for", function()
    local output = beside("lua5.4 -e 'local t = {} for i = 1, 1000 do t[i] = (\"x\"):rep(i) end'",
      "--where", 'comm == "lua5.4"', "uprobe/libc.so.6:realloc", "hist(arg1)")
    local all = 0
    for count in buckets(output):gmatch("=([0-9]+)") do
      all = all + tonumber(count)
    end
    assert.is_true(all >= 1000, output)
    assert.matches("512 – +1023 +[1-9]", output)
  end)

  it("sample what a busy command does", function()
    -- It has a second of the processor, whatever else runs.
    local path, name = helper.own "sh"
    local output = beside(path .. " -c 'ulimit -t 1; while :; do :; done'; true", "profile/99",
      "if pid ~= 0 then count(comm) end")
    local count = row(output, name)
    assert.is_true(count and count >= 80 and count <= 205, output)
  end)

  it("show where a command was that has ended since", function()
    local output = traced("lua5.4 -e 'for _ = 1, 50000000 do end'", "profile/99", "count(ustack(1))")
    assert.matches(" %(lua5%.4%)\n", output)
  end)

  it("print how connections change their state", function()
    local output = traced("bash -c 'exec 3<>/dev/tcp/127.0.0.1/1; exit 0'", "tracepoint/sock/inet_sock_set_state",
      "print(ip(args.saddr), ip(args.daddr), args.dport, args.oldstate, args.newstate)")
    assert.matches("\n127%.0%.0%.1\t127%.0%.0%.1\t1\tTCP_CLOSE\tTCP_SYN_SENT\n", output)
    assert.matches("\n127%.0%.0%.1\t127%.0%.0%.1\t1\tTCP_SYN_SENT\tTCP_CLOSE\n", output)
  end)

  it("count faults of pages", function()
    local output = traced("lua5.4 -e 'local s = (\"x\"):rep(4 << 20)'", "software/page-faults/1", "count(comm)")
    assert.is_true(row(output, "lua5.4") >= 1024, output)
  end)

  it("have strings of a library's arguments, and what it returns", function()
    local output = traced("lua5.4 -e 'os.getenv \"PATH\" os.getenv \"LBPF_NONE\"'",
      "uprobe/libc.so.6:getenv", "name[tid] = arg0", "uretprobe/libc.so.6:getenv",
      'printf("%s %s\\n", str(name[tid]), ret == 0 and "none" or str(ret, 16)) name[tid] = nil')
    assert.matches("\nPATH /[^\n]*\n", output)
    assert.matches("\nLBPF_NONE none\n", output)
  end)

  it("read members of kernel structs", function()
    local output = traced("true", "raw_tp/sched_process_exec",
      "print(args.p.comm, str(args.bprm.filename), task.real_parent.comm == pcomm)")
    assert.matches("\ntrue\t/%S*/true\ttrue\n", output)
  end)

  it("have errors and system calls by name, statistics, and negative values", function()
    local output = traced("sh -c 'cat " .. helper.absent() .. "; exit 0'", "--follow",
      "tracepoint/syscalls/sys_exit_openat",
      "if args.ret < 0 then count(errno(args.ret)) end lhist(args.ret, -10, 10, 5)",
      "tracepoint/raw_syscalls/sys_exit", "stats(args.ret < 0 and 1 or 0, syscall(args.id))")
    assert.matches("\ncount%(errno%(args%.ret%)%)\n +ENOENT +[0-9]+\n", output)
    assert.matches("\n +%-5 – +0 +[1-9]", output)
    assert.matches("\n +0 – +5 +[1-9]", output)
    assert.matches("\n +openat +[0-9]+ ", output)
  end)

  it("have the elements of arrays, the first of which is 1", function()
    local output = traced("dd if=/dev/zero of=/dev/null bs=1k count=100 status=none",
      "tracepoint/raw_syscalls/sys_enter", "sum(args.args[3], syscall(args.id))", "tracepoint/syscalls/sys_enter_write",
      "sum(args.count)")
    assert.equal("102400", output:match "\n +write +([0-9]+)", output)
    assert.matches("\nsum%(args%.count%): 102400\n", output)
  end)

  it("walk all tasks once", function()
    local output = tool.works "trace iter/task 'if args.task then count(args.task.comm) end'"
    assert.is_true(row(output, "kthreadd") == 1, output)
  end)

  it("print and clear tables at intervals, and end by exit()", function()
    local output = tool.works("trace " .. words("begin", "rounds = 0", "tracepoint/raw_syscalls/sys_enter",
      "calls = count()", "every 0.1", "print(calls) clear(calls) rounds = rounds + 1 if rounds == 2 then exit() end",
      "end", 'printf("%d rounds\\n", rounds)'))
    assert.matches("\ncalls: [0-9]+\ncalls: [0-9]+\n2 rounds\ncalls: [0-9]+\n", output)
  end)

  -- It is no package that tests need, and LLVM takes long in an emulated guest.
  if helper.slow == 1 and select(2, helper.run "command -v bpftrace") then
    it("count what bpftrace counts", function()
      local command = "/usr/bin/dd if=/dev/zero of=/dev/null bs=1k count=100"
      local there = helper.run("bpftrace -c " .. quote(command) .. " -e " .. quote
        [[tracepoint:raw_syscalls:sys_enter /comm == "dd"/ { @calls[args->id] = count(); }
        tracepoint:syscalls:sys_enter_write /comm == "dd"/ { @sizes = hist(args->count); }]])
      local here = traced(command, "--where", 'comm == "dd"', "tracepoint/raw_syscalls/sys_enter",
        "calls = count(args.id // 1)", "tracepoint/syscalls/sys_enter_write", "sizes = hist(args.count)")
      local count = 0
      for id, calls in there:gmatch "@calls%[([0-9]+)%]: ([0-9]+)" do
        assert.equal(tonumber(calls), row(here:match "\ncalls\n.*", id), here .. there)
        count = count + 1
      end
      assert.is_true(count > 10, there)
      assert.matches("%[1K, 2K%) +100 ", there)
      assert.matches("\n +1K – +2K +100 ", here)
    end)
  end
end)

-- SPDX-License-Identifier: MIT
-- lua-bpf trace: what its arguments and options mean. What one-liners print is in trace_cases_spec.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local tool = require "spec.support.command"

local works, fails = tool.works, tool.fails

describe("lua-bpf trace", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local quote = helper.quote

  -- What a trace prints while a command runs alone.
  local function traced(command, ...)
    local words = { "trace -c " .. quote(command) }
    for _, word in ipairs { ... } do
      words[#words + 1] = quote(word)
    end
    return works(table.concat(words, " "))
  end

  it("prints times of day, system calls and probes by name", function()
    local output = traced("true", "tracepoint/raw_syscalls/sys_enter",
      [[printf("%s %s %s\n", time "%H-%M", syscall(args.id), probe)]])
    assert.matches("\n[0-9][0-9]%-[0-9][0-9] execve tracepoint/raw_syscalls/sys_enter\n", output)
  end)

  it("shows kernel stacks without the program's own functions", function()
    local output = traced("sleep 0.1", "raw_tp/sched_switch", "count(kstack)")
    assert.matches("\n +__schedule%+0x", output)
    assert.falsy(output:find("bpf_prog_", 1, true) or output:find("bpf_trace_run", 1, true), output)
  end)

  it("tells by which probe", function()
    local output = traced("true", "tracepoint/syscalls/sys_enter_close,tracepoint/sched/sched_process_exec",
      "count(probe)")
    assert.matches("\n +tracepoint/syscalls/sys_enter_close +[0-9]", output)
    assert.matches("\n +tracepoint/sched/sched_process_exec +1 ", output)
  end)

  it("shows names that tracepoints have for numbers", function()
    local output = traced("bash -c 'exec 3<>/dev/tcp/127.0.0.1/9; true'", "tracepoint/sock/inet_sock_set_state",
      [[count(args.newstate) printf("%s %d\n", args.newstate, args.newstate)]])
    assert.matches("\nTCP_SYN_SENT 2\n", output)
    assert.matches("\n +TCP_SYN_SENT +1 ", output)
  end)

  it("prints stacks, a function in a line, and functions of processes by their names", function()
    local output = traced("sleep " .. 0.3 * helper.slow, "uprobe/libc.so.6:nanosleep,uprobe/libc.so.6:clock_nanosleep",
      [[printf("%s at %s\n", comm, func) n = count(usym(arg0))]],
      "tracepoint/syscalls/sys_enter_clock_nanosleep", [[printf("%s\n%s\n%s\n", comm, ustack(2), kstack(1))]])
    assert.matches("\nsleep at [a-z_]*nanosleep[a-z_0-9]*\n", output)
    -- Up to Linux 6.1 at least, records of single system calls come without a stack of the kernel.
    assert.matches("\nsleep\n    %S+ %(libc.so.6%)\n    [^\n]+\n    [%[a-z_]+[^\n]+\n", output)
  end)

  it("prints stacks of any depth that were stored", function()
    local output = traced("sleep 0", "tracepoint/raw_syscalls/sys_enter",
      [[last[1] = ustack(2) if n == 0 then n = 1 printf("%s\n%s\n", last[1], ustack(1)) end]])
    assert.falsy(output:find("not kept", 1, true), output)
  end)

  it("gives what gathers a name, and prints JSON", function()
    local output = traced("true", "--json", "tracepoint/sched/sched_process_exec", "started = count(comm)")
    assert.matches('\n{"name":"started","type":"count","rows":%[{"key":%["true"%],"count":1}%]}\n', output)
  end)

  it("runs bodies of begin, every and end in the tool", function()
    local output = traced("sh -c 'sleep 0.5; exec true'", "begin", 'print("first")',
      "tracepoint/sched/sched_process_exec", "n = count(comm) last[comm] = nsecs",
      "every 0.1", [[printf("%s\n", last.sh and "once" or "never")]],
      "end", 'print(n, 1) print() print(last.sh ~= nil, last.none) clear(n)')
    assert.matches("first\nready, 1 probe\n", output)
    assert.matches("\nonce\nonce\n", output)
    assert.matches("\nn\n +[a-z]+ +1[^\n]*\n\ntrue\tnil\n$", output)
  end)

  it("prints at the end what no body of end has printed or cleared", function()
    local output = traced("true", "tracepoint/sched/sched_process_exec", "a = count() b = count() c = count()",
      "end", "print(b) clear(c)")
    assert.matches("\nb: 1\na: 1\n$", output)
  end)

  it("runs bodies in the tool alone", function()
    local output = works [[trace begin 'print("hello world")' every/0.1 'n = (n or 0) + 1 if n == 2 then exit() end' \
      end 'print(n)']]
    assert.equal("hello world\nready, 0 probes\n2\n", output)
  end)

  it("tells when it is ready, and ends after -n", function()
    local output = works [[trace -n 0.1 -o /dev/null tracepoint/syscalls/sys_enter_close,interval/1 'count()']]
    assert.equal("ready, 2 probes\n", output)
  end)

  it("ends with exit(), and runs bodies only where --where is true", function()
    local output = traced("sh -c 'sleep 0.01; sleep 0.01; exec true'", "--where", "args.fd >= 0",
      "tracepoint/syscalls/sys_enter_close", "print(comm) exit()")
    assert.equal("ready, 1 probe\nsh\n", output)
  end)

  it("has the status of its command", function()
    fails(5, "ready, 1 probe", [[trace -c "sh -c 'exit 5'" tracepoint/syscalls/sys_enter_close 'count()']])
  end)

  it("names the command that can't be executed, and what to do", function()
    local folder = helper.tmpdir()
    local script, plain = folder .. "/script", folder .. "/plain"
    helper.run(("printf '#!%s\n' >%s; chmod +x %s; touch %s"):format(helper.absent(), script, script, plain))
    for command, row in pairs {
      [helper.absent()] = { 127, "No such file or directory %(ENOENT%)\n" },
      ["no-command-at-all"] = { 127, "%(ENOENT%); no folder of PATH has it; what only a shell knows is run by sh %-c" },
      [script] = { 127, "%(ENOENT%); the interpreter that it names isn't there\n" },
      [folder] = { 126, "%(EACCES%); it is a folder\n" },
      [plain] = { 126, "%(EACCES%); chmod %+x lets it be executed\n" },
    } do
      fails(row[1], ("command '%s' can't be executed: .*"):format(command):gsub("%-", "%%-") .. row[2],
        ("trace -c %s interval/1 'count()'"):format(quote(command .. " --an option")))
    end
  end)

  it("leaves out probes that don't exist while another does", function()
    local output = works("trace -n 0.1 tracepoint/syscalls/sys_enter_clos,tracepoint/syscalls/sys_enter_close "
      .. quote "exit()")
    assert.matches("warning: there is no tracepoint/syscalls/sys_enter_clos %(near: [^\n]+close", output)
    assert.matches("ready, 1 probe", output)
  end)

  it("says that tracefs isn't mounted", function()
    for _, probes in ipairs { "tracepoint/sched/sched_switch", "tracepoint/sched/sched_*" } do
      -- Kernels show it below debugfs as well.
      local output, _, code = tool.command(("trace -n 5 %s 'count()'"):format(probes),
        [[unshare --mount sh -c 'umount /sys/kernel/tracing; umount -R /sys/kernel/debug 2>/dev/null; exec "$@"' sh]])
      assert.equal(2, code, output)
      assert.matches(probes:gsub("%p", "%%%0") .. ": tracefs can't be read here.*mount %-t tracefs", output)
    end
  end)

  it("says what is wrong with what was typed, with status 2", function()
    fails(2, "which probes, and what is to be done there%?\nUsage: lua%-bpf trace", "trace")
    fails(2, "A BODY is missing", "trace interval/1")
    fails(2, "two arguments.*\n  lua%-bpf trace kprobe:x 'count%(comm%)'\n", "trace 'kprobe:x { @[comm] = count(); }'")
    for text, said in pairs {
      ["pid =="] = ":1: it ends in the middle of an expression", ["pid = 3"] = ":1: equal is '==' in Lua",
      ["pid -- x"] = ": one expression is expected", ["a && b"] = ":1: '&&' is `and` in Lua%. In Lua: a and b",
    } do
      fails(2, "^lua%-bpf: %-%-where" .. said, ("trace --where '%s' kprobe/x 'count()'"):format(text))
    end
    fails(2, "^lua%-bpf: %-%-where at software/cpu%-clock/1:1: nothing is ever stored in 'pidd' %(pid%?%)",
      "trace --where 'pidd == 3' software/cpu-clock/1 'count()'")
    fails(2, "^lua%-bpf: software/cpu%-clock/1:1: no function 'coutn'",
      "trace --where 'pid == 3' software/cpu-clock/1 'coutn()'")
    fails(2, "a filter isn't between slashes.*%. In Lua: if pid == 1 then count%(comm%) end\n",
      "trace 'kprobe:x /pid == 1/' 'count(comm)'")
    fails(2, "a filter isn't between slashes", "trace 'kprobe:x /pid == 1/'")
    fails(2, "where is 'count%(comm%)' to run%? PROBES stand before it", "trace 'count(comm)'")
    fails(2, "'sys_enter_close' is no kind of probe %(near: tracepoint/syscalls/sys_enter_close%)",
      "trace sys_enter_close 'count()'")
    fails(2, "an 'end' is missing", "trace interval/1 'if pid == 1 then count()'")
    fails(2, "a body isn't between braces", "trace interval/1 '{ count(); }'")
    fails(2, "nothing is ever stored in 'retval' %(ret%?%)", "trace interval/1 'count(retval)'")
    fails(2, "'interva' is no kind of probe %(near: interval", "trace interva/1 'count()'")
    fails(2, "there is no tracepoint/syscalls/sys_enter_clos", "trace tracepoint/syscalls/sys_enter_clos 'count()'")
    fails(2, "no argument 'exit_code' %(arguments: comm, [^\n]*pid, prio%)",
      "trace tracepoint/sched/sched_process_exit 'count(args.exit_code)'")
    fails(2, "interval/1:1: enum: the kernel has no enum 'NOPE_'", "trace interval/1 'count(enum(pid, \"NOPE_\"))'")
    fails(2, "interval/1:1: enum: which one%?", "trace interval/1 'count(enum(pid))'")
    fails(2, "nothing is ever stored in 'strat'", "trace interval/1 'hist(strat[tid])'")
    fails(2, "a filter isn't between slashes", "trace interval/1 '/pid == 1/ count()'")
    fails(2, "'every 5' is one argument: quote it, or write every/5", "trace every 5 'print(1)'")
    fails(1, "there is no process 99999999", "trace -p 99999999 interval/1 'count()'")
  end)
end)

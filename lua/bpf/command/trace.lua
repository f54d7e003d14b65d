-- SPDX-License-Identifier: MIT
-- lua-bpf trace.

local frame = require("bpf.command.frame")

local USAGE <const> = [[
Usage: lua-bpf trace [--where EXPR] [-p PID] [-c COMMAND] [--cgroup PATH] [-n SECONDS] [--json] [-o FILE]
                     PROBES BODY [PROBES BODY]...

Runs BODY, a piece of Lua, in the kernel whenever one of PROBES is reached, until Ctrl-C or SIGTERM. At the end, what
was gathered is printed.
  PROBES     a list with commas: tracepoint/CATEGORY/NAME, raw_tp/NAME, kprobe/FUNCTION, kretprobe/FUNCTION,
             fentry/FUNCTION, fexit/FUNCTION, uprobe/FILE:FUNCTION, uretprobe/FILE:FUNCTION, profile/HZ,
             interval/SECONDS, software/EVENT/COUNT, hardware/EVENT/COUNT. Names may have * in them. Colons serve
             as well as slashes. `lua-bpf list` shows what there is. Bodies of begin, end and 'every SECONDS' are
             plain Lua: print(TABLE, 10), clear(TABLE)
  BODY       has these at hand: pid, tid, uid, comm, cpu, nsecs, args.NAME, kstack, ustack, str(args.NAME), ...;
             gathers: count(key...), hist(n, key...), lhist(n, first, last, step), sum, avg, min, max, stats;
             prints: print(...), printf("%d %s\n", ...); ends the trace: exit(). Names that are not at hand and not
             local are shared by all bodies: start[tid] = nsecs
  --where EXPR         run the bodies only where this is true: 'comm == "dd"'
  -p, --pid PID        only in this process
  -c, --command COMMAND
                       start this command when all is ready, trace it alone, and end with it and with its status. It
                       is no line of a shell: words are parted by blanks, and may be quoted
  --cgroup PATH        only in this cgroup: a folder
  -n, --seconds SECONDS
                       end after that time
  --json               print what was gathered as JSON objects, one a line
  -o, --output FILE    write to a file

More examples: count system calls by process, and measure how long reads take, in microseconds:
  lua-bpf trace tracepoint/raw_syscalls/sys_enter 'count(comm)'
  lua-bpf trace tracepoint/syscalls/sys_enter_read 'start[tid] = nsecs' \
                tracepoint/syscalls/sys_exit_read 'hist((nsecs - start[tid]) // 1000) start[tid] = nil'

Example: lua-bpf trace -c 'dd if=/dev/zero of=/dev/null count=9' tracepoint/syscalls/sys_enter_write 'hist(args.count)'
]]

local function tell(text)
  io.stderr:write(text, "\n")
end

local function catch(problem)
  return type(problem) == "table" and problem or debug.traceback(problem, 2)
end

-- Runs the trace. What is wrong with it ends the command.
local function run_trace(options)
  local ok, result = xpcall(require("bpf.trace").run, catch, options)
  if not ok and type(result) == "table" then
    frame.fail(result.trace or result.program or result.message, result.status or 2)
  elseif not ok then
    frame.fail(result)
  end
  return result
end

local function run(given, arguments)
  if #arguments == 0 or #arguments % 2 ~= 0 then
    frame.misuse(#arguments == 0 and "which probes, and what is to be done there?"
      or ("what is to be done at %s? A BODY is missing"):format(arguments[#arguments]), USAGE)
  end
  local list = {}
  for n = 1, #arguments, 2 do
    list[#list + 1] = { arguments[n], arguments[n + 1] }
  end
  local out = given.output and frame.need(io.open(given.output, "w")) or io.stdout
  local status = run_trace {
    probes = list, where = given.where, pid = given.pid, command = given.command, cgroup = given.cgroup,
    seconds = given.seconds, json = given.json, out = out,
    warn = function(text) tell("warning: " .. text) end,
    ready = function(count) tell(("ready, %d probes"):format(count)) end,
  }
  frame.flush()
  if status ~= 0 then
    frame.fail("", status)
  end
end

return {
  usage = USAGE,
  arguments = {},
  options = {
    where = frame.any, pid = frame.count, command = frame.any, cgroup = frame.path, seconds = frame.positive,
    json = true, output = frame.path,
  },
  short = { p = "pid", c = "command", n = "seconds", o = "output" },
  run = run,
}

-- SPDX-License-Identifier: MIT
-- lua-bpf trace.

local bpf = require("bpf")
local frame = require("bpf.command.frame")

local USAGE <const> = [[
Usage: lua-bpf trace [--where EXPR] [-p PID] [-c COMMAND] [--follow] [--cgroup PATH] [-n SECONDS]
                     [--interval SECONDS] [--json] [-o FILE] [--dry-run] PROBES BODY [PROBES BODY]...

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
  -p, --pid PID        only in this process, in all its threads
  -c, --command COMMAND
                       start this command when all is ready, trace it alone, and end with it and with its status. It
                       is no line of a shell: words are parted by blanks, and may be quoted
  --follow             with -p or -c: in the processes that it starts, too, and in theirs
  --cgroup PATH        only in this cgroup, a folder of cgroup2, and in those below it
  -n, --seconds SECONDS
                       end after that time
  --interval SECONDS   print what has been gathered so far each time after so many seconds
  --json               print JSON objects, one a line: tables (name, type, rows), and what print and printf say
  --dry-run            compile all, run nothing: print the instructions of the programs, with the lines of Lua
  -o, --output FILE    write to a file

More examples: count system calls by process, and measure how long reads take, in microseconds:
  lua-bpf trace tracepoint/raw_syscalls/sys_enter 'count(comm)'
  lua-bpf trace tracepoint/syscalls/sys_enter_read 'start[tid] = nsecs' \
                tracepoint/syscalls/sys_exit_read 'hist((nsecs - start[tid]) // 1000) start[tid] = nil'

Example: lua-bpf trace -c 'dd if=/dev/zero of=/dev/null count=9' tracepoint/syscalls/sys_enter_write 'hist(args.count)'
]]

-- The library's message without the place in our code. Errors of ours that it doesn't expect keep theirs.
local function catch(problem)
  local text = tostring(problem)
  local _, stop = text:find("bpf.trace: ", 1, true)
  return stop and text:sub(stop + 1) or debug.traceback(text, 2)
end

-- Probes and bodies come in pairs.
local function check_pairs(arguments)
  if #arguments == 0 then
    frame.misuse("which probes, and what is to be done there?", USAGE)
  end
  for n = 1, #arguments, 2 do
    local period = arguments[n] == "every" and tonumber(arguments[n + 1]) and arguments[n + 1]
    if period then
      frame.misuse(("'every %s' is one argument: quote it, or write every/%s"):format(period, period), USAGE)
    end
  end
  if #arguments % 2 ~= 0 then
    frame.misuse(("what is to be done at %s? A BODY is missing"):format(arguments[#arguments]), USAGE)
  end
end

local function run(given, arguments)
  check_pairs(arguments)
  local trace = {}
  for n = 1, #arguments, 2 do
    trace[#trace + 1] = { arguments[n], arguments[n + 1] }
  end
  for _, name in ipairs { "where", "pid", "command", "follow", "cgroup", "seconds", "interval",
    "json", "output" } do
    trace[name] = given[name]
  end
  trace.dry_run = given["dry-run"]
  local ok, status, message, _, failed = xpcall(bpf.trace, catch, trace)
  if not ok or not status then
    frame.fail(ok and catch(message) or status, failed or 2)
  elseif status ~= 0 then
    frame.fail("", status)
  end
end

return {
  usage = USAGE,
  arguments = { "probe", "any", "probe..." },
  options = {
    where = frame.any, pid = frame.count, command = frame.any, cgroup = frame.path, seconds = frame.positive,
    interval = frame.positive, json = true, ["dry-run"] = true, follow = true, output = frame.path,
  },
  short = { p = "pid", c = "command", n = "seconds", o = "output" },
  run = run,
}

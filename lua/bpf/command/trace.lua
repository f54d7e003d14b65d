-- SPDX-License-Identifier: MIT
-- lua-bpf trace.

local bpf = require("bpf")
local frame = require("bpf.command.frame")

local USAGE <const> = [[
Usage: lua-bpf trace [--where EXPR] [-p PID] [-c COMMAND] [--follow] [--cgroup PATH] [-n SECONDS]
                     [--interval SECONDS] [--json] [-o FILE] [--emit FILE] [--dry-run]
                     PROBES BODY [PROBES BODY]...

Runs BODY, a piece of Lua, in the kernel whenever one of PROBES is reached. Lines of print come at once, tables of what
was gathered at the end. The trace ends on Ctrl-C, after -n SECONDS, or with the command of -c. It needs root.

Count system calls by process; print the files that a command opens; measure how long reads take, in microseconds:
  lua-bpf trace -n 5 tracepoint/raw_syscalls/sys_enter 'count(comm)'
  lua-bpf trace -c 'ls /' tracepoint/syscalls/sys_enter_openat 'print(comm, str(args.filename))'
  lua-bpf trace tracepoint/syscalls/sys_enter_read 'start[tid] = nsecs' \
                tracepoint/syscalls/sys_exit_read 'hist((nsecs - start[tid]) // 1000) start[tid] = nil'

PROBES is a list with commas. Names may have the wildcards *, ? and [a-z], and colons in place of slashes:
  tracepoint/CATEGORY/NAME   raw_tp/NAME                   places that the kernel names
  kprobe/FUNCTION            kretprobe/FUNCTION            functions of the kernel, entered and left; args.NAME, ret
  fentry/FUNCTION            fexit/FUNCTION                the same, faster
  uprobe/FILE:FUNCTION       uretprobe/FILE:FUNCTION       functions of programs and libraries, as libc.so.6:malloc
  usdt/FILE:PROVIDER:NAME                                  places that programs name
  profile/HZ                 interval/SECONDS              so often on every CPU, or on one
  software/EVENT/COUNT       hardware/EVENT/COUNT          after so many events: software/page-faults/100
  iter/NAME                                                at the start, for all there is, and no more: iter/task
  begin   end   'every SECONDS'                            in the tool, plain Lua: print(TABLE, 10), clear(TABLE)
`lua-bpf list` shows which there are, and with -v what args has.

BODY may use these names. Others, unless they are local, are tables and variables that all bodies share. Variables start
at 0, which is true in Lua: write `if n > 0 then`, not `if n then`. Tables start empty, so `if t[k] then` is right.
  pid  tid  comm  uid  ppid  pcomm  cpu  cgroup  task      the process, its parent, where it runs
  args.NAME  arg0 ...  ret  probe  func                    what the probe hands over, and its name
  nsecs  elapsed  time()  time "%H:%M:%S"                  nanoseconds since boot and since the start; the time of day
  kstack  ustack  kstack(N)  ustack(N)                     the stack in the kernel and in the process, N frames of it
  str(P)  str(P, SIZE)  buf(P, N, MOST)  ip(P)             strings, bytes and addresses of IP at an address
  errno(N)  signal(N)  syscall(N)  enum(N, "PREFIX")  port(N)  duration(N)  ksym(P)  usym(P)    numbers as names
  count(KEY...)  sum(N, KEY...)  avg  min  max  stats      gather; keys are any values, or none
  hist(N, KEY...)  lhist(N, FIRST, LAST, STEP, KEY...)     gather in powers of two, or in steps
  print(...)  printf("%-16s %d\n", ...)  exit()            print a line; end the trace
errno(args.ret) is the name of the error for a call that failed, and the number for one that didn't. ntohs(N) and
ntohl(N) are for numbers in network byte order, as the ports of sockets; cast(P, "struct NAME") is the struct at P.
Names are given by assignment: lat = hist(N). Table entries are deleted by nil. Where arithmetic meets an absent entry,
the body ends.

Whom it follows: all processes, or
  -c, --command COMMAND
                       start this command when all is ready, trace it alone, and end with it, and with its status.
                       Words are parted by blanks, and may be quoted; for a line of the shell: -c 'sh -c "a | b"'
  -p, --pid PID        this process with all its threads; the trace ends with it
  --follow             with -c or -p: also the processes that it starts, and theirs
  --cgroup PATH        processes in this cgroup, and in those below it: a folder of cgroup2, or the path that
                       `cgroup` prints
  --where EXPR         any BODY runs only where this is true: --where 'comm == "dd" and args.ret < 0'
When it ends, and what it writes:
  -n, --seconds SECONDS
                       end after that time
  --interval SECONDS   print what has been gathered so far each time after so many seconds
  --json               print JSON objects, one a line: tables with name, type and rows; "print" with text; "interval"
                       with time; "lost" with text. What the command of -c prints comes in between, unless -o is there
  -o, --output FILE    write to a file. "ready, N probes" and warnings go to standard error in any case
  --emit FILE          write a script of bpf.programs that does the same, into FILE or, for -, to stdout; run nothing
  --dry-run            compile all, run nothing: print the instructions of the programs, with the lines of Lua
The status is that of the command, 128 + N if signal N ended it, 126 or 127 if it can't be started; without a command 0;
1 if nothing can be attached or written, 2 if the line is wrong.

Example: lua-bpf trace -c 'dd if=/dev/zero of=/dev/null count=9' tracepoint/syscalls/sys_enter_write 'hist(args.count)'
]]

-- The library's message without the place in our code. Errors of ours that it doesn't expect keep theirs.
local function catch(problem)
  local text = tostring(problem)
  local _, stop = text:find("bpf.trace: ", 1, true)
  return stop and text:sub(stop + 1) or debug.traceback(text, 2)
end

local CANNOT_EXECUTE <const> = 126

-- What is missing where the kernel or the file system denies something to an ordinary user; nothing otherwise.
local function missing(message, failed)
  local denied = message:find("Permission denied", 1, true) or message:find("(EPERM)", 1, true)
  if not denied or failed == CANNOT_EXECUTE then
    return ""
  end
  local status <close> = io.open("/proc/self/status")
  local user = (status and status:read("a") or ""):match("\nUid:%s+%d+%s+(%d+)")
  return user ~= "0" and "\nTracing is for root, or takes CAP_BPF, CAP_PERFMON and CAP_DAC_READ_SEARCH." or ""
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
    local filter = arguments[n]:match("%s(/.+/)%s*$")
    if filter and not arguments[n]:find("{", 1, true) then
      frame.misuse(require("bpf.trace.habits").told(filter .. " " .. (arguments[n + 1] or "")), USAGE)
    end
  end
  local last = arguments[#arguments]
  local habits = arguments[1]:find("{", 1, true) and require("bpf.trace.habits") -- which right lines don't need
  local line = habits and habits.line(arguments[1]) and habits.line(table.concat(arguments, " "))
  if line then
    frame.misuse("here a probe and its body are two arguments, and bodies are Lua. This may be meant:\n  lua-bpf trace "
      .. line, USAGE)
  elseif #arguments == 1 and last:find("[(=]") then
    frame.misuse(("where is '%s' to run? PROBES stand before it"):format(last), USAGE)
  elseif #arguments % 2 ~= 0 then
    frame.misuse(("what is to be done at %s? A BODY is missing; it is one argument, so quote it"):format(last), USAGE)
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
  trace.dry_run, trace.emit = given["dry-run"], given.emit
  local ok, status, message, _, failed = xpcall(bpf.trace, catch, trace)
  if not ok or not status then
    local text = ok and catch(message) or status
    frame.fail(text .. missing(text, failed), failed or 2)
  elseif status ~= 0 then
    frame.fail("", status)
  end
end

return {
  usage = USAGE,
  arguments = { "probe", "any", "probe..." },
  options = {
    where = frame.any, pid = frame.count, command = frame.any, cgroup = frame.path, seconds = frame.positive,
    interval = frame.positive, json = true, ["dry-run"] = true, emit = frame.path, follow = true, output = frame.path,
  },
  short = { p = "pid", c = "command", n = "seconds", o = "output" },
  run = run,
}

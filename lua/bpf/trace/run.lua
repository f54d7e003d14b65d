-- SPDX-License-Identifier: MIT
-- A trace runs: from when its programs are attached to its last line. It ends with its command or process, by exit(),
-- after its time, on Ctrl-C, SIGTERM or SIGHUP, and when nobody reads what it writes.

local core = require("bpf.core")
local counted = require("bpf.base.number").counted
local display = require("bpf.hist.display")
local events = require("bpf.trace.events")
local json = require("bpf.json")
local iterate = require("bpf.trace.attach").iterate
local losses = require("bpf.trace.losses")
local posix = require("bpf.base.posix")
local process = require("bpf.trace.process")
local tool = require("bpf.trace.tool")
local refuse = require("bpf.trace.failure").refused

local run = {}

local LONGEST <const> = 500 -- milliseconds of one wait
-- Records that are read before it is looked whether the trace is over, and when it is: programs may send more without
-- an end.
local MOST <const>, REST <const> = 4096, 1 << 16
local MANY <const>, PAUSE <const> = 32, 5 -- records at once, and milliseconds
local STDOUT <const> = 1

-- Writing -------------------------------------------------------------------------------------------------------------

local Lines = {}
Lines.__index = Lines

function Lines:write(...)
  local text = table.concat({ ... }):gsub("\n$", "", 1)
  self.out:write('{"type":"print","text":', json(display.valid(text)), "}\n")
end

-- Where lines of print and printf are written: a file; as objects of JSON if those are asked for.
function run.lines(out, as_json)
  return as_json and setmetatable({ out = out }, Lines) or out
end

-- Hands on what was written. What can't be written ends the trace.
local function flush(trace)
  local ok, message, number = trace.out:flush()
  if not ok then
    local code = posix.code(number)
    refuse(("write: %s (%s)"):format(message, code), code)
  end
end

-- Writes what has come, up to `most` records. Returns their number.
local function consume(trace, most)
  if trace.mappings then
    trace.mappings:consume()
  end
  local count = trace.reader and trace.reader:consume(most) or 0
  flush(trace)
  return count
end

-- What was lost is told.
local function tell_lost(trace, options)
  local sentences = trace.tables:lost(trace.maps)
  local lost = events.count_lost(trace.object_maps)
  if lost > 0 then
    table.insert(sentences, 1, ("%s lost, as more came than could be written: print less, or use --where"):format(
      counted(lost, "line of print and printf was", "lines of print and printf were")))
  end
  local unseen = trace.mappings and trace.mappings:lost() or 0
  if unseen > 0 then
    sentences[#sentences + 1] = ("%s lost: names may be missing in stacks"):format(
      counted(unseen, "mapping of a process was", "mappings of processes were"))
  end
  losses.tell_divisions(sentences, trace.object_maps.trace_divided, trace.bodies)
  for _, sentence in ipairs(sentences) do
    options.warn(sentence)
    if options.json then
      trace.out:write('{"type":"lost","text":', json(sentence), "}\n")
    end
  end
end

-- Waiting -------------------------------------------------------------------------------------------------------------

-- Prints what has been gathered so far, if it is time. Returns the seconds until the next time.
local function print_due(trace, options)
  local now = posix.seconds()
  if trace.due <= now then
    if trace.tables.list[1] then
      trace.out:write(options.json and ('{"type":"interval","time":%d}\n'):format(os.time())
        or os.date("\n%H:%M:%S\n"))
      trace.tables:print()
    end
    trace.due = math.max(trace.due + options.interval, now)
  end
  return trace.due - now
end

-- The milliseconds until something is to be done.
local function time_left(trace, options)
  local left = (trace.child and LONGEST or LONGEST // 5) / 1000
  if trace.deadline then
    left = math.min(left, trace.deadline - posix.seconds())
  end
  if options.interval then
    left = math.min(left, print_due(trace, options))
  end
  left = math.min(left, tool.run_due(trace.plain) or left)
  return math.max(math.ceil(left * 1000), 0)
end

-- Waits for records, for the end of the command, for a signal, for the end of who reads.
local function wait(trace, options)
  local signals = trace.signals:fd()
  local fds = { [signals] = "read" }
  if trace.reader then
    fds[trace.reader:fd()] = "read"
  end
  for _, handle in ipairs { trace.child or false, trace.mappings or false } do
    local fd = handle and handle:fd()
    if fd then
      fds[fd] = "read"
    end
  end
  if trace.out == io.stdout then
    fds[STDOUT] = "broken"
  end
  if trace.mappings and not (trace.child or options.pid) then
    trace.mappings:keep_some()
  end
  local ready = posix.poll(fds, time_left(trace, options))
  if ready and ready[STDOUT] then
    refuse("write: nobody reads the output any more (EPIPE)", "EPIPE")
  end
  local count = consume(trace, MOST)
  if count >= MANY and count < MOST then -- let records gather: to be woken for each costs more than to read it
    posix.poll({ [signals] = "read" }, PAUSE)
  end
end

-- The status with which the trace ends; nil while it goes on. That of a command which a signal of the terminal's ends,
-- as well as the trace, doesn't count.
local function status_of(trace, options)
  local status, unknown
  if trace.child then
    status, unknown = trace.child:status()
  end
  if trace.signals:poll(0) then
    if posix.window(trace.out) then
      trace.out:write("\n") -- behind the terminal's ^C
    end
    return 0
  elseif status then
    return status
  elseif unknown then
    options.warn(unknown)
    return 0
  end
  local over = events.has_ended(trace.printed, trace.vars)
    or trace.deadline and posix.seconds() >= trace.deadline
    or options.pid and not process.runs(options.pid)
  return over and 0 or nil
end

-- The run -------------------------------------------------------------------------------------------------------------

-- Calls a function. Returns the error of a plain body, behind which the trace ends with its tables.
local function problem_of(fn, ...)
  local ok, problem = pcall(fn, ...)
  if not ok and not (type(problem) == "table" and problem.body) then
    error(problem, 0)
  end
  return not ok and problem or nil
end

-- Takes the signals that end a trace: SIGHUP, too, unless it is ignored, as under nohup. Returns their handle, and one
-- that keeps SIGHUP to the end: a closed terminal sends it twice, by the shell and by the kernel.
local function take_signals()
  local file <close> = io.open("/proc/self/status")
  local ignored = tonumber((file and file:read("a") or ""):match("\nSigIgn:%s*([0-9a-f]+)") or "0", 16)
  if ignored & 1 ~= 0 then -- SIGHUP is the first
    return assert(core.signals("INT", "TERM"))
  end
  return assert(core.signals("INT", "TERM", "HUP")), assert(core.signals("HUP"))
end

-- Runs a trace, whose programs `attach()` attaches, returning how many. Returns the status of the command, or 0.
function run.run(trace, options, attach)
  local taken, kept = take_signals()
  local _ <close> = kept
  local signals <close> = taken
  trace.signals = signals
  tool.run(trace.plain, "begin")
  flush(trace)
  local count = attach()
  if options.follow and options.pid then
    process.keep_children(options.pid, trace.maps.__earlier)
  end
  options.ready(count)
  local began = posix.seconds()
  trace.deadline = options.seconds and began + options.seconds
  trace.due = options.interval and began + options.interval
  if trace.child then
    process.let_go(trace.child, trace.command)
  end
  local status = iterate(trace.bodies) and not trace.child and not tool.run_due(trace.plain) and 0 or nil
  if not status then
    trace.tables:prepare()
  end
  local problem
  while not status do
    problem = problem_of(wait, trace, options)
    status = problem and 0 or status_of(trace, options)
  end
  signals:close() -- one more ends the tool at once
  consume(trace, REST)
  trace.ending = true
  problem = problem or problem_of(tool.run, trace.plain, "end")
  trace.tables:print()
  tell_lost(trace, options)
  if problem then
    error(problem, 0)
  end
  return status
end

return run

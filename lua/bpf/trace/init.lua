-- SPDX-License-Identifier: MIT
--- Traces: bodies of a few words at probes, in which nothing has to be declared.
-- @module bpf
local argument = require("bpf.base.argument")
local core = require("bpf.core")
local attach = require("bpf.trace.attach")
local bodies = require("bpf.trace.bodies")
local counted = require("bpf.base.number").counted
local declared = require("bpf.program.declared")
local events = require("bpf.trace.events")
local formats = require("bpf.format")
local gather = require("bpf.trace.gather")
local hints = require("bpf.trace.hints")
local infer = require("bpf.trace.infer")
local load = require("bpf.trace.load")
local losses = require("bpf.trace.losses")
local options_of = require("bpf.trace.options")
local posix = require("bpf.base.posix")
local process = require("bpf.trace.process")
local run = require("bpf.trace.run")
local sorted = require("bpf.base.sorted")
local tables = require("bpf.trace.tables")
local tool = require("bpf.trace.tool")
local types = require("bpf.trace.types")
local words = require("bpf.trace.words")
local refuse = require("bpf.trace.failure").refused

local error = argument.error

local Trace = { __name = "bpf.trace" }
Trace.__index = Trace

local ENTRIES <const> = 10240

-- What is shared ------------------------------------------------------------------------------------------------------

-- The maps of shared tables by their names, and the variables by theirs.
local function make_shared(trace, shared)
  local made, variables = {}, {}
  for _, name in ipairs(sorted.keys(shared)) do
    local row = shared[name]
    if row.table and not row.own then
      local make = trace.dry and declared.declare or core.map.create
      local m, message, code = make {
        type = "hash", name = name:sub(1, 15), max_entries = ENTRIES,
        key = types.c(row.key), value = types.c(row.value),
      }
      made[name] = m or refuse(("%s: %s"):format(name, message), code)
      trace.maps[name] = not trace.dry and made[name] or nil
    elseif row.variable then
      variables[name] = core.var(("struct { %s; }"):format(types.c(row.value, "value")))
    end
  end
  return made, variables
end

-- The bodies' functions again, now with what they share.
local function bind(trace, list, result)
  local made, variables = make_shared(trace, result.shared)
  trace.printed.exits = result.exits
  trace.enter = events.enter(trace.printed, variables)
  for _, known in ipairs { gather.words, events.words } do
    for name, fn in pairs(known) do
      made[name] = fn
    end
  end
  local environment = words.environment(result.shared, made, variables)
  for _, body in ipairs(list) do
    body.fn = infer.load(body.title, body.text, environment)
    events.add(trace.printed, body.fn, result.calls[body])
  end
  local names, numbers = sorted.keys(result.shared), {}
  trace.plan = gather.plan(list, result.calls, { shared = names })
  for n, name in ipairs(names) do
    if result.shared[name].table and not result.shared[name].own then
      numbers[made[name]] = #trace.plan.tables + n
    end
  end
  trace.compiling = {
    lenient = true, refused = losses.counter(trace.plan.lost, numbers), divided = losses.divisions(list),
  }
end

-- The bodies as rows of programs.
local function rows_of(trace, list)
  local rows, depths = {}, {}
  for n, body in ipairs(list) do
    rows[n] = {
      name = ("body_%d"):format(n), section = body.section, fn = body.fn,
      probe = words.probe(body.section, {
        depths = depths, began = trace.began, enter = trace.enter, cgroup = trace.cgroup, body = body,
      }),
    }
  end
  return rows
end

-- The trace ----------------------------------------------------------------------------------------------------------

local function close_maps(trace)
  for _, m in pairs(trace.maps) do
    core.map.close(m)
  end
  trace.maps = {}
end

-- Detaches and closes everything.
function Trace:close()
  attach.close(self.links)
  for _, handle in ipairs { self.reader or false, self.obj or false, self.child or false, self.mappings or false } do
    if handle then
      handle:close()
    end
  end
  close_maps(self)
  if self.cgroup and not self.dry then -- which only declares its maps
    core.map.close(self.cgroup)
  end
  self.links = { slow = {} }
end
Trace.__close = Trace.close

-- Parts the bodies that run in the tool from those that are programs.
local function part(trace)
  local programs = {}
  for _, body in ipairs(trace.bodies) do
    table.insert(body.tool and trace.plain or programs, body)
  end
  trace.bodies = programs
end

-- The maps that have stacks, by their depth.
local function stacks_of(maps)
  local list = {}
  for name, m in pairs(maps) do
    local depth = math.tointeger(name:match("^stacks_([0-9]+)$"))
    if depth then
      list[depth] = m
    end
  end
  return list
end

-- Makes all bodies: those that were given, and our own, which follow children.
local function make_bodies(trace, options)
  trace.where = options.where
  if options.where then
    infer.check_expression("--where", options.where)
  end
  local function condition(kind)
    return process.condition(options, trace.child, kind)
  end
  for _, warning in ipairs(bodies.add(trace, options.probes, condition)) do
    options.warn(warning)
  end
  bodies.add(trace, process.followers(options, trace.child), nil, true)
end

-- Writes the script that the trace is.
local function write_script(trace, options, result)
  local emit = require("bpf.trace.emit")
  local text = emit.text(trace, options, result, sorted.keys(result.shared))
  if options.emit == "-" then
    options.out:write(text)
    return 0
  end
  local ok, message, code = posix.write_file(options.emit, text)
  return ok and 0 or refuse(message, code)
end

-- A command that isn't started.
local DRY_CHILD <const> = { pid = function() return 1 end, close = function() end }

-- Compiles all bodies, and writes their instructions, or a script.
local function write_dry(trace, options)
  trace.dry, trace.child = true, options.command and DRY_CHILD or nil
  trace.cgroup = options.cgroup and declared.declare { type = "cgroup_array", name = "trace_cgroup", max_entries = 1 }
  make_bodies(trace, options)
  local result = bodies.infer(trace)
  part(trace)
  bind(trace, trace.bodies, result)
  if options.emit then
    return write_script(trace, options, result)
  end
  local dry_run = require("bpf.trace.dry_run") -- which few traces need
  local ok, problem = pcall(dry_run.write, options.out, trace.bodies, rows_of(trace, trace.bodies), trace.compiling)
  if not ok then
    error(type(problem) == "table" and problem.program and { trace = problem.program } or problem, 0)
  end
  return 0
end

-- Ends with why no probe could be loaded or attached.
local function refuse_failed(trace)
  refuse(table.concat(attach.sentences(trace.failed), "; "), trace.failed[1].code)
end

-- Attaches all bodies. Probes that couldn't be loaded or attached are left out while another is attached. Returns how
-- many are.
local function attach_all(trace, warn)
  local count = attach.all(trace.bodies, trace.links, trace.failed)
  if count == 0 and trace.failed[1] then
    refuse_failed(trace)
  end
  for _, sentence in ipairs(attach.sentences(trace.failed)) do
    warn(sentence)
  end
  return count
end

-- Compiles and loads the bodies. Those whose programs the kernel refuses are left out, if others are left. Returns what
-- the inference found.
local function compile(trace)
  local result = bodies.infer(trace)
  part(trace)
  bind(trace, trace.bodies, result)
  if trace.bodies[1] then
    local obj, left = load.some(trace.bodies, rows_of(trace, trace.bodies), trace.compiling, trace.failed)
    trace.obj, trace.vars, trace.bodies = obj or refuse_failed(trace), obj.vars, left
  end
  return result
end

-- Whether bodies ask for what has names only in a process.
local function need_processes(trace)
  for _, body in ipairs(trace.bodies) do
    if body.text:find("ustack") or body.text:find("usym") or body.text:find("func") then
      return true
    end
  end
  return false
end

-- Begins to keep the mappings of processes, which may have ended when their stacks are printed. Where the kernel
-- doesn't tell of mappings, those are read when they are needed. Returns a function that finds a process's symbols.
local function keep_mappings(trace, pid)
  if not need_processes(trace) then
    return nil
  end
  trace.mappings = require("bpf.trace.mappings").open(function(changed) -- which loads the reader of debug files
    trace.tables.context.processes[changed] = nil
  end)
  if trace.mappings and pid then
    trace.mappings:keep(pid)
  end
  return trace.mappings and function(of) return trace.mappings:process(of) end
end

-- Tells of what bodies do that is hardly meant.
local function warn_of_bodies(trace, options, shared)
  local list = table.move(trace.bodies, 1, #trace.bodies, 1, {})
  table.move(trace.plain, 1, #trace.plain, #list + 1, list)
  for _, sentence in ipairs(hints.of(list, trace.plan.tables[1] ~= nil, shared)) do
    options.warn(sentence)
  end
end

local function open(trace, options)
  if options.pid then
    process.check(options.pid)
  end
  if options.command then
    trace.child, trace.command = process.start(options.command)
  end
  if options.cgroup then
    trace.cgroup = process.cgroup(options.cgroup)
  end
  make_bodies(trace, options)
  local result = compile(trace)
  warn_of_bodies(trace, options, result.shared)
  for name, m in pairs(trace.obj and trace.obj.maps or {}) do
    trace.object_maps[name] = m
  end
  trace.tables = tables.new(trace.plan, trace.object_maps, {
    json = options.json, out = options.out, stacks = stacks_of(trace.object_maps),
    process = keep_mappings(trace, options.pid),
    names = {
      probe = function(n) return trace.titles[n] or tostring(n) end,
      ["function"] = function(n) return trace.functions[n] or formats.symbol(n) end,
    },
  })
  tool.bind(trace.plain, tool.environment(trace, result.shared, trace.maps))
  if trace.object_maps.trace_events then
    local function write(line)
      trace.lines:write(line)
    end
    local function show(type, value, pid, place)
      return events.show(type, value, trace.tables.context, pid, place)
    end
    local reader, message, code = events.reader(trace.printed, trace.object_maps, write, show)
    trace.reader = reader or refuse(message, code)
  end
end

-- Runs a trace of options that have been read. `out` is an open file. Returns the status of the command, or 0.
-- Raises { trace = message } for what is wrong, with code and the tool's status for what failed.
local function open_and_run(options)
  local trace <close> = setmetatable({
    bodies = {}, titles = {}, functions = {}, links = { slow = {} }, plain = {}, maps = {}, object_maps = {}, vars = {},
    failed = {}, out = options.out, lines = run.lines(options.out, options.json), printed = events.new(),
    began = core.clock(),
  }, Trace)
  if options.dry_run or options.emit then
    return write_dry(trace, options)
  end
  open(trace, options)
  return run.run(trace, options, function() return attach_all(trace, options.warn) end)
end

-- What a trace tells on stderr.
local function tell(format, ...)
  io.stderr:write(format:format(...), "\n")
end

-- The file that a trace writes to.
local function open_output(path)
  if not path then
    return io.stdout
  end
  local file, message, number = io.open(path, "w")
  return file or refuse(("%s (%s)"):format(message, posix.code(number)), posix.code(number))
end

-- Runs a trace, opening what it writes to.
local function run_to(options)
  local out <close> = open_output(options.output)
  options.out = out
  options.warn = function(text) tell("warning: %s", text) end
  options.ready = function(count) tell("ready, %s", counted(count, "probe")) end
  local status = open_and_run(options)
  local ok, message, code = posix.finish(out)
  return ok and status or refuse(message, code)
end

local M = {}

--- Runs a trace, as `lua-bpf trace` does. It prints lines while it runs, and what was gathered at its end; "ready, N
-- probes" and warnings go to stderr. It ends with its command or process, by `exit()` in a body, after `seconds`, and
-- on Ctrl-C, SIGTERM or SIGHUP, which end the trace and not the script. A second Ctrl-C or SIGTERM ends the script,
-- too. Where SIGHUP is ignored, as under nohup, it ends nothing.
--
-- With `json`, each line is an object. Its `type` is "print", with `text`; "interval", with `time`, in front of what
-- `interval` prints; "lost", with `text`; or what a table gathers, such as "count", with `name` and `rows`.
--
-- A body that is wrong raises an error, which names the probe and the line in the body.
-- @in bpf.trace
-- @tparam table options a sequence of probes and bodies, `{ { probes, body }, … }`, both as text; and
-- - where: string, an expression; the bodies run only where it is true
-- - pid: integer, only in this process, in all its threads
-- - follow: boolean, the processes that `pid` or `command` starts are traced as well, and theirs
-- - command: string or sequence of strings, a command that is started when all is ready, and traced alone. A string is
--   parted by blanks, and may have quotes in it; no shell reads it
-- - cgroup: string, only in this cgroup, a folder of cgroup2, and in those below it
-- - seconds: number, the trace ends after that time
-- - interval: number, what has been gathered so far is printed each time after that many seconds
-- - json: boolean, all is printed as JSON objects, one a line
-- - emit: string, the path of a Lua script that is written in place of a run: bpf.programs with the same result; or "-"
-- - dry_run: boolean, nothing is loaded or started: the instructions of the programs are printed, with the lines of Lua
-- - output: string, the path of a file that is written instead of stdout
-- @treturn integer the exit status of the command, 128 + n if signal n ended it; 0 without one, and after Ctrl-C
-- @treturn nil,string,string when nothing could be attached, or something else fails. Behind these stands the status
-- with which the tool would end: 127 or 126 if the command can't be executed
-- @see bpf.programs
-- @usage
-- local status = assert(bpf.trace {
--   { "tracepoint/syscalls/sys_enter_openat", [[printf("%s %s\n", comm, str(args.filename))]] },
--   { "tracepoint/syscalls/sys_enter_read", "start[tid] = nsecs" },
--   { "tracepoint/syscalls/sys_exit_read", "hist((nsecs - start[tid]) // 1000) start[tid] = nil" },
--   command = "cat /etc/hostname",
-- })
-- print(status) --> 0
function M.trace(options)
  local given = options_of.read(options)
  local ok, result = pcall(run_to, given)
  if ok then
    return result
  elseif type(result) ~= "table" or not result.trace then
    error(result, 0)
  elseif result.status then
    return nil, "bpf.trace: " .. result.trace, result.code, result.status
  end
  error("bpf.trace: " .. result.trace, 2)
end

return M

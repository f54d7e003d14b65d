-- SPDX-License-Identifier: MIT
-- The names that bodies have at hand: what each is when the program runs, of which type, and since which kernel. The
-- `_ENV` of a body has them, its functions, and what the bodies share.
local core = require("bpf.core")
local arguments = require("bpf.trace.arguments")
local calls = require("bpf.trace.calls")
local functions = require("bpf.trace.functions")
local globals = require("bpf.program.globals")
local program_types = require("bpf.program.types")
local program_variables = require("bpf.program.variables")
local posix = require("bpf.base.posix")
local stacks = require("bpf.trace.stacks")
local types = require("bpf.trace.types")
local values = require("bpf.program.values")
require("bpf.program") -- whose compiler knows the helpers

local words = {}

-- Of the process ------------------------------------------------------------------------------------------------------

local INITIAL <const> = 0xeffffffc -- the inode of the first namespace of pids

-- The device and the inode of this process's namespace of pids; nil in the first one, whose pids are the kernel's.
local function namespace()
  local device, inode = posix.file_number("/proc/self/ns/pid")
  return inode and inode ~= INITIAL and { device = device, inode = inode } or nil
end

local PIDS = "struct { __u32 pid; __u32 tgid; }"

-- pid and tid in a namespace; processes elsewhere have 0.
local function pid_in(c, space, name)
  local ctype = values.constant(core.btf.type(PIDS))
  local v = c:call_helper("get_ns_current_pid_tgid",
    { values.integer(space.device), values.integer(space.inode), ctype })
  local f = c.f
  local d = f:move(f:register(), 0)
  c:when("ne", v.r, 0, function() f:move(d, f:load(v.r, v.type.members[name].offset, 4)) end)
  return values.integer(d, true)
end

local function pid(name, shift)
  return function(c)
    local space = c.root.traced.namespace
    if space then
      return pid_in(c, space, name)
    end
    local both = c:call_helper("get_current_pid_tgid", {}).r
    return values.integer(c.f:alu(shift and "rsh" or "and", both, shift or 0xffffffff), true)
  end
end

local function lower_half(helper, meaning)
  return { type = types.integer(meaning), steady = true, read = function(c)
    return values.integer(c.f:alu("and", c:call_helper(helper, {}).r, 0xffffffff), true)
  end }
end

local function task(c)
  return c:pointer_from(c:call_helper("get_current_task", {}), "struct task_struct")
end

local function parent(c)
  return c:index(task(c), values.constant("real_parent"), "")
end

-- The parent's pid in a namespace; parents elsewhere have 0. A struct pid has its numbers by level: the last one is of
-- the namespace in which the process is.
local function parent_in(c, space)
  local function member(o, name)
    return c:index(o, values.constant(name), "")
  end
  local f, pids = c.f, member(member(parent(c), "signal"), "pids")
  local number = c:index(pids, values.constant(2), "") -- of PIDTYPE_TGID
  local level = c:integer(member(number, "level"), "level")
  local behind = f:alu("mul", level, program_types.of_text("struct upid").size)
  local last = c:pointer_from(values.integer(f:alu("add", c:address(number), behind)), "struct upid")
  last.offset = number.type.members.numbers.offset
  local inode = c:integer(member(member(member(last, "ns"), "ns"), "inum"), "inum")
  local d = f:move(f:register(), 0)
  c:when("eq", inode, space.inode, function() f:move(d, c:integer(member(last, "nr"), "nr")) end)
  return values.integer(d, true)
end

local function ppid(c)
  local space = c.root.traced.namespace
  return space and parent_in(c, space) or c:index(parent(c), values.constant("tgid"), "")
end

-- Whether the thread is in the cgroup that is followed, or below it: 1 if so.
local function inside(c)
  return c:call_helper("current_task_under_cgroup", { values.constant(c.root.traced.cgroup), values.integer(0) })
end

local function helper(name, meaning, steady)
  return { type = types.integer(meaning), steady = steady, read = function(c) return c:call_helper(name, {}) end }
end

-- Of the event --------------------------------------------------------------------------------------------------------

-- The number of the probe: of the only one, what the attachment has as its cookie, or by the system call.
local function probe_number(c)
  local probe = c.root.traced
  if probe.calls then
    return values.integer(c.f:alu("add", calls.number(c), probe.index), true)
  end
  return probe.cookie and c:call_helper("get_attach_cookie", {}) or values.constant(probe.index or 1)
end

local COUNTER = { x86_64 = 128, aarch64 = 256 } -- the program counter in struct pt_regs

-- Where user code is probed the counter tells, also before Linux 6.6, whose helper knows no uprobes. Before 5.15 there
-- is no helper for functions of the kernel: the number of the probe stands for its function.
local function address_of_function(c)
  local probe, kind = c.root.traced, c.root.traced.kind
  if kind:find("^u") then
    return values.integer(c.f:load(c:context_register(), COUNTER[posix.machine()], 8))
  elseif not kind:find("^k") and not kind:find("^f") then
    c:fail("%s is no function: 'func' is there in kprobes, uprobes, fentry and fexit", probe.section)
  elseif probe.functions and not core.features.helper("kprobe", "get_func_ip") then
    return probe_number(c)
  end
  return c:call_helper("get_func_ip", {})
end

-- An address in the kernel, or in the process that is probed.
local function function_type(body)
  return types.integer(body.section and body.section:find("^u") and "user symbol" or "function")
end

-- Nanoseconds since the trace began.
local function elapsed(c)
  local now = c:call_helper("ktime_get_ns", {}).r
  return values.integer(c.f:alu("sub", now, c.root.traced.began or 0))
end

-- What a name is: `type`, for the inference of types; `read` (and `call`), the code; `steady`, whether it stays the
-- same while a program runs; `since`, the first kernel that has it, where that isn't the oldest one.
words.rows = {
  pid = { type = types.integer("pid"), steady = true, read = pid("tgid", 32) },
  tid = { type = types.integer("tid"), steady = true, read = pid("pid") },
  __thread = lower_half("get_current_pid_tgid"), -- of the first namespace, as records of tracepoints have it
  __inside = { type = types.integer(), steady = true, read = inside },
  uid = lower_half("get_current_uid_gid", "uid"),
  ppid = { type = types.integer("pid"), steady = true, read = ppid },
  comm = { type = types.string(16), read = function(c) return c:call_helper("get_current_comm", {}) end },
  pcomm = { type = types.string(16), read = function(c) return c:index(parent(c), values.constant("comm"), "") end },
  task = { type = types.pointer("struct task_struct", "kernel"), steady = true, read = task },
  cgroup = helper("get_current_cgroup_id", "cgroup", true),
  cpu = helper("get_smp_processor_id", "cpu", true),
  nsecs = helper("ktime_get_ns", "time"),
  elapsed = { type = types.integer("duration"), read = elapsed },
  probe = { type = types.integer("probe"), steady = true, read = probe_number },
  func = { type = function_type, steady = true, since = "5.15", read = address_of_function },
  kstack = { type = types.kstack, read = stacks.kernel, call = stacks.kernel },
  ustack = { type = types.ustack, read = stacks.user, call = stacks.user },
}

-- The environment -----------------------------------------------------------------------------------------------------

local common = {}
for name, row in pairs(words.rows) do
  common[name] = globals.computed(row.read, row.call, row.steady)
end
for name, word in pairs(arguments.words) do
  common[name] = word
end
for name, row in pairs(functions.rows) do
  common[name] = row.call
end
for name, fn in pairs { error = error, assert = assert, pairs = pairs, math = math } do
  common[name] = fn
end

-- The names that bodies can't give to what they share.
function words.is_taken(name)
  return common[name] ~= nil or name == "args"
end

-- What the compiler has to know of a program, as `probe` of its row for bpf.program: a section, and
-- - index: the number that `probe` is; or cookie: true, where the attachment tells it
-- - body: what bpf.trace.bodies made, in place of both
-- - began: the time from which `elapsed` counts
-- - cgroup: a map whose first element is the cgroup that is followed
-- - depths: a table for the maps of stacks, by their depth, which all programs of a trace share
-- - enter: a function of the compiler, which compiles what comes first
function words.probe(section, options)
  options = options or {}
  local kind, place = section:match("^([^/]+)/?(.*)$")
  local row, body = arguments.row(kind), options.body
  local of_calls = body and body.group.way == "syscalls" and calls.of(body) or {}
  local reads = not body or body.uses.fields
  return {
    section = body and body.title or section, kind = kind:gsub("%.s$", ""), place = place,
    calls = of_calls.numbers, result = of_calls.result,
    start = of_calls.start or not reads and row.bare or row.start,
    order = body and body.order,
    index = body and body.number or options.index, cookie = body and body.cookie or options.cookie,
    functions = body ~= nil, began = options.began, depths = options.depths or {}, enter = options.enter,
    cgroup = options.cgroup, namespace = namespace(),
    user = of_calls.numbers ~= nil or place:find("^syscalls/") ~= nil or kind:find("^u") ~= nil,
  }
end

-- The pointer that a shared variable holds, where its type says so.
local function pointer_of(shared)
  local type = shared.value
  return type and type.kind == "pointer" and type.type:find("^struct ") and { type = type.type, space = type.space }
    or nil
end

-- The `_ENV` of bodies. `shared` has, by name, what the inference found (a table, a variable, what gathers); `made`, by
-- name, the maps, the functions that gather and print, and any other value; `variables` has, by name, the
-- bpf.var whose member `value` a shared variable is; or is the bpf.var whose members they are.
function words.environment(shared, made, variables)
  local environment, in_one = setmetatable({}, { __index = common }), program_variables.is(variables)
  for name, row in pairs(shared or {}) do
    if row.variable then
      environment[name] = in_one and globals.member(variables, name, pointer_of(row))
        or globals.member(variables[name], "value", pointer_of(row))
    elseif row.gather then
      environment[name] = globals.NAMED -- `lat = hist(…)` is what the call says
    end
  end
  for name, value in pairs(made or {}) do
    local row = shared and shared[name]
    if row and row.table and row.value.kind == "pointer" and row.value.space == "user" then
      globals.lead_to_process(value)
    end
    environment[name] = value
  end
  return environment
end

return words

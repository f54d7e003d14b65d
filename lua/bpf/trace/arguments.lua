-- SPDX-License-Identifier: MIT
-- `args`, `arg0` … and `ret` of a body: what each kind of probe hands over, by name. Only what is named is loaded.
local argv = require("bpf.trace.argv")
local contexts = require("bpf.program.contexts")
local globals = require("bpf.program.globals")
local posix = require("bpf.base.posix")
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local parts = contexts.parts

local arguments = {}

-- The strings among the constants of a function and of those within it: the names that it may use.
local function names_in(proto, found)
  found = found or {}
  for _, constant in pairs(proto.constants) do
    if type(constant.value) == "string" then
      found[constant.value] = true
    end
  end
  for _, inner in pairs(proto.protos) do
    names_in(inner, found)
  end
  return found
end

-- BTF -----------------------------------------------------------------------------------------------------------------

-- The function's parameters as { name, form }, from the n-th on; and the form of its result. Nil without BTF of it.
local function parameters_of(name, from)
  local handle = types.kernel()
  local description = handle and handle:find(name, "func")
  if not description then
    return nil
  end
  local list = {}
  for n = from, #description.params do
    local parameter = description.params[n]
    list[#list + 1] = { name = parameter.name, form = types.of_btf(handle, parameter.type_id) }
  end
  local result = description.returns_id ~= 0 and types.of_btf(handle, description.returns_id) or nil
  return list, result
end

-- A raw tracepoint's function that calls the programs has the names; its first parameter is the kernel's own.
local function tracepoint_parameters(place)
  return parameters_of("__traceiter_" .. place, 2)
end

local function function_parameters(place)
  return parameters_of(place:match("^[^+]+"), 1)
end

local TRACEPOINTS <const> = { raw_tp = true, raw_tracepoint = true, tp_btf = true }

-- The names of what a probe hands over, in order; nil where they aren't known.
function arguments.names(kind, place)
  local list = (TRACEPOINTS[kind] and tracepoint_parameters or function_parameters)(place)
  for n, parameter in ipairs(list or {}) do
    list[n] = parameter.name
  end
  return list
end

-- Raises where the body reads a field of `args`, its only parameter, that the list hasn't.
local function check_names(c, list, place)
  local known, names = {}, {}
  for n, parameter in ipairs(list) do
    names[n] = parameter.name or "?"
    known[names[n]] = true
  end
  for pc = 0, c.proto.last_pc do
    local i = c.proto.code[pc]
    local name = i.op == "GETFIELD" and i.B == 0 and c.proto.constants[i.C].value
    if name and not known[name] then
      c.pc = pc
      if name:find("^arg%d+$") then
        c:fail("'args.%s': it is %s alone, without 'args.'", name, name)
      end
      c:fail("%s has no argument '%s'%s", place, name, names[1]
        and (" (arguments: %s)"):format(table.concat(names, ", "))
        or ": its arguments aren't known, use arg0 and so on")
    end
  end
end

-- `args` --------------------------------------------------------------------------------------------------------------

-- The table that `args` is, where arguments are words that load(c, i) gives.
local function by_name(parameters, load, space)
  return function(c, place)
    local list, used, at = parameters(place) or {}, names_in(c.proto), 0
    check_names(c, list, place)
    local v = { kind = "table", fields = {}, order = {} }
    for _, parameter in ipairs(list) do
      local name, first = parameter.name, at
      if name and name ~= "" and used[name] then
        v.order[#v.order + 1] = name
        v.fields[name] = parts.argument_at(c, parameter.form, first, function(i) return load(c, i) end, space)
      end
      at = at + parts.words_of(parameter.form)
    end
    v.fixed = "has what the kernel hands over, and can't be changed"
    return { [0] = v }
  end
end

-- Where struct pt_regs has the stack pointer, and how far above it the first argument is that no register has.
local STACKS <const> = { x86_64 = { pointer = 152, first = 8 }, aarch64 = { pointer = 248, first = 0 } }

-- The n-th word of the context.
local function word(c, n)
  return c.f:load(c:context_register(), 8 * n, 8)
end

-- The n-th argument at the entry of a function: in a register, or on the stack.
local function entry_argument(space)
  return function(c, n)
    local offsets, stack = parts.registers(c).arguments, STACKS[posix.machine()]
    local offset = offsets[n + 1]
    if offset then
      return c.f:load(c:context_register(), offset, 8)
    end
    local pointer = c.f:load(c:context_register(), stack.pointer, 8)
    return c:read(types.s64, pointer, stack.first + 8 * (n - #offsets), space).r
  end
end
local register, user_register = entry_argument("kernel"), entry_argument("user")

local function nothing(c, place)
  check_names(c, {}, place)
  return { [0] = { kind = "table", fields = {}, order = {} } }
end

-- `ret` ---------------------------------------------------------------------------------------------------------------

local function typed(c, form, r, space)
  return parts.argument_at(c, form, 0, function() return r end, space)
end

-- The result of a kernel function, behind its arguments.
local function exit_result(c, place)
  local list, form = function_parameters(place)
  if not list or not form then
    c:fail("%s returns nothing", place)
  end
  local at = 0
  for _, parameter in ipairs(list) do
    at = at + parts.words_of(parameter.form)
  end
  return typed(c, form, word(c, at), "trusted")
end

local function register_result(c)
  return c.f:load(c:context_register(), parts.registers(c).result, 8)
end

local function function_result(c, place)
  local _, form = function_parameters(place)
  return typed(c, form, register_result(c), "kernel")
end

local function plain_result(c)
  return values.integer(register_result(c))
end

-- A tracepoint's field of that name, as the exits of system calls have it.
local function field_result(c, place)
  local tracefs = require("bpf.program.tracefs")
  local form = tracefs.record(place:match("^([^/]+)/(.+)$"))
  local member = form and form.members.ret
  if not member then
    c:fail("tracepoint %s has no 'ret'", place)
  end
  return c:read(member.type, c:context_register(), member.offset, "ctx")
end

-- Tracepoints ---------------------------------------------------------------------------------------------------------

-- A field that is the address of a struct leads there: in system calls, to memory of the process.
local function followed(member, space)
  local function to() return member.name == "argv" and argv.FORM or types.named(member.target) end
  local type = { kind = "ptr", size = 8, name = (member.target or "char *") .. " *", to = to, space = space }
  return setmetatable({ type = type }, { __index = member })
end

local records = {} -- by the form of the compiler's

local function record_with_pointers(form, space)
  local known = records[form]
  if not known then
    known = setmetatable({ members = setmetatable({}, { __index = form.members }) }, { __index = form })
    for _, member in ipairs(form.order) do
      if (member.target or member.name == "argv") and member.type.size == 8 then
        known.members[member.name] = followed(member, space)
      end
    end
    records[form] = known
  end
  return known
end

local function tracepoint(c, place)
  local state = contexts.find("tracepoint/" .. place)(c, place)
  state[0].type = record_with_pointers(state[0].type, place:find("^syscalls/") and "user" or "kernel")
  return state
end

-- The record of a tracepoint of a system call; nil without such a tracepoint.
function arguments.record_of_call(name)
  local form = require("bpf.program.tracefs").record("syscalls", name)
  return form and record_with_pointers(form, "user")
end

-- USDT ----------------------------------------------------------------------------------------------------------------

-- The values of all arguments up to the last that the body names, under their names.
local function usdt_start(c)
  local most = 0
  for name in pairs(names_in(c.proto)) do
    local n = math.tointeger(tonumber(name:match("^arg(%d+)$")))
    most = n and math.max(most, n + 1) or most
  end
  local own = c.proto
  c.proto = setmetatable({ parameters = most }, { __index = own })
  local state = require("bpf.program.usdt").start(c)
  c.proto, c.usdt_arguments = own, state
  return nothing(c, c.root.traced.place)
end

-- Raises where the file of the probe tells that there are fewer arguments: the body would end at each event.
local function check_count(c, n)
  local catalog = require("bpf.trace.catalog")
  local place = "usdt/" .. c.root.traced.place
  local found = (catalog.find(place) or {})[1]
  local list = found and select(3, catalog.arguments(found))
  if list and n >= #list then
    c:fail("%s has no arg%d: %s", place, n, #list == 0 and "it has no arguments"
      or #list == 1 and "it has arg0 alone" or ("it has arg0 to arg%d"):format(#list - 1))
  end
end

local function usdt_argument(c, n)
  check_count(c, n)
  return c.root.usdt_arguments[n]
end

-- System calls --------------------------------------------------------------------------------------------------------

-- The arguments of a system call are in the registers of the thread, to which its wrapper's only argument leads.
local function system_call_argument(c, n)
  local offset = parts.registers(c).syscall[n + 1]
  return offset and c:read(types.s64, register(c, 0), offset, "kernel")
end

-- The rows ------------------------------------------------------------------------------------------------------------

local function integers(load)
  return function(c, n)
    local r = load(c, n)
    return r and values.integer(r)
  end
end

-- start: what the function's only parameter is, where it isn't the context; bare: the same where the body doesn't read
-- it; argument(c, n); result(c, place)
local function unread()
  return { [0] = values.NIL }
end

local probed = {
  bare = unread, start = by_name(function_parameters, register, "kernel"), argument = integers(register),
}
local returned = { bare = unread, start = nothing, result = function_result }
local user = { start = nothing, argument = integers(user_register) }
local user_returned = { start = nothing, result = plain_result }
local raw = { bare = unread, start = by_name(tracepoint_parameters, word, "kernel"), argument = integers(word) }
local trusted = { bare = unread, start = by_name(function_parameters, word, "trusted"), argument = integers(word) }

local rows = {
  tracepoint = { start = tracepoint, result = field_result }, tp = { start = tracepoint, result = field_result },
  raw_tp = raw, raw_tracepoint = raw,
  tp_btf = { bare = unread, start = by_name(tracepoint_parameters, word, "trusted"), argument = raw.argument },
  fentry = trusted,
  fexit = { bare = unread, start = trusted.start, argument = trusted.argument, result = exit_result },
  kprobe = probed, kretprobe = returned,
  ["kprobe.multi"] = { start = nothing, argument = integers(register) },
  ["kretprobe.multi"] = { bare = unread, start = nothing, result = function_result },
  uprobe = user, uretprobe = user_returned, ["uprobe.multi"] = user, ["uretprobe.multi"] = user_returned,
  ksyscall = { start = nothing, argument = system_call_argument },
  kretsyscall = { start = nothing, result = plain_result },
  usdt = { start = usdt_start, argument = usdt_argument },
  perf_event = {}, iter = {},
}

-- The row of a kind of section, without the ending of those that may sleep.
function arguments.row(kind)
  return rows[kind:gsub("%.s$", "")] or {}
end

-- The names `arg0` … and `ret`, each computed for the probe of the program that has it.
local function argument_word(n)
  return globals.computed(function(c)
    local probe = c.root.traced
    local argument = arguments.row(probe.kind).argument
    local v = argument and argument(c, n)
    return v or c:fail("%s has no arg%d", probe.section, n)
  end, nil, true)
end

arguments.words = {
  ret = globals.computed(function(c)
    local probe = c.root.traced
    local result = probe.result or arguments.row(probe.kind).result
    if not result then
      c:fail("%s has no result: 'ret' is there at exits, of kretprobe, uretprobe, fexit and sys_exit", probe.section)
    end
    return result(c, probe.place)
  end, nil, true),
}

local MOST <const> = 12 -- of USDT

for n = 0, MOST - 1 do
  arguments.words["arg" .. n] = argument_word(n)
end

return arguments

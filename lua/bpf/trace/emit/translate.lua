-- SPDX-License-Identifier: MIT
-- A body as a function for bpf.programs: names at hand are helpers, what gathers adds to maps, lines are records, and
-- entries that may be absent are tested.
local acts = require("bpf.trace.emit.acts")
local argument_names = require("bpf.trace.arguments").names
local parse = require("bpf.trace.emit.parse")
local types = require("bpf.trace.types")
local fail = require("bpf.trace.failure").not_emitted

local translate = {}

-- Names at hand -------------------------------------------------------------------------------------------------------

-- What they are; those in `first` are computed once, at the beginning of a function.
local FIRST <const> = {
  pid = "helper.get_current_pid_tgid() >> 32", tid = "helper.get_current_pid_tgid() & 0xffffffff",
  uid = "helper.get_current_uid_gid() & 0xffffffff",
}
local TASK <const> = 'bpf.cast(helper.get_current_task(), "struct task_struct")'
local INLINE <const> = {
  comm = "helper.get_current_comm()", cpu = "helper.get_smp_processor_id()", nsecs = "helper.ktime_get_ns()",
  cgroup = "helper.get_current_cgroup_id()", elapsed = "(helper.ktime_get_ns() - began)", task = TASK,
  ppid = TASK .. ".real_parent.tgid", pcomm = TASK .. ".real_parent.comm", func = "helper.get_func_ip()",
  __inside = "helper.current_task_under_cgroup(followed, 0)",
}
local STACKS <const>, DEEPEST <const> = { kstack = 0, ustack = 0x100 }, 127
local SAME <const> = {
  errno = true, signal = true, duration = true, ksym = true, usym = true, port = true, syscall = true, enum = true,
}

-- A body being translated. `lines` are those of the function, `tests` what stands before the statement that is read.
local Body = {}
Body.__index = Body

function Body:put(format, ...)
  self.lines[#self.lines + 1] = ("  "):rep(self.depth) .. format:format(...)
end

-- A name for a local variable of ours.
function Body:fresh(base)
  self.made[base] = (self.made[base] or 0) + 1
  return ("%s_%d"):format(base, self.made[base])
end

-- Ends the run where a local variable is nil.
function Body:test(name)
  self:put("if not %s then return end", name)
end

-- The number of a stack of the kernel's or the process's, at most so deep.
function Body:stack(name, depth)
  self.state.depths[depth] = true
  return ("helper.get_stackid(stacks_%d, %d)"):format(depth, STACKS[name])
end

-- How deep the stack is that an expression stands for.
function Body:stack_depth(e)
  local name = e.is == "call" and e.called.name or e.name
  if not STACKS[name] then
    fail("%s: a stack has a form in a script where it is printed or a key: write kstack or ustack there", self.title)
  end
  return e.is == "call" and e.arguments[1].value or DEEPEST
end

-- Expressions ---------------------------------------------------------------------------------------------------------

local rows, CALLS <const> = {}, {}

-- The text of an expression. `bare`: it may be nil.
function Body:text(e, bare)
  return rows[e.is](self, e, bare)
end

-- The text and the type of what is printed or a key.
function Body:shown(e, type)
  if e.is ~= "call" or e.called.name ~= "ip" then
    return self:text(e), type
  end
  return CALLS.ip(self, e.arguments, true), self:is_number(e, type.size or 4) and types.integer("ip") or type
end

local function of_shared(self, e)
  return e.is == "name" and not self.locals[e.name] and self.state.shared[e.name] or nil
end

function rows.literal(_, e)
  return e.text
end

function rows.name(self, e, bare)
  local name = e.name
  if self.locals[name] then
    if not bare and self.maybe[name] then
      self:test(name)
      self.maybe[name] = nil
    end
    return name
  elseif FIRST[name] then
    self.first[name] = true
    return name
  elseif name == "ret" then
    self.result = true
    return self.record and "ctx.ret" or "ret"
  elseif name:find("^arg%d+$") then
    self.most = math.max(self.most, math.tointeger(tonumber(name:match("%d+"))) + 1)
    return name
  elseif name == "probe" then
    return tostring(self.number)
  end
  if STACKS[name] then
    return self:stack(name, DEEPEST)
  end
  local row = self.state.shared[name]
  return INLINE[name] or row and row.variable and name .. ".value" or name
end

-- An entry of a shared table that has to be there, in a variable.
local function entry(self, row_name, text)
  local known = self.entries[text]
  if not known then
    known = self:fresh(row_name)
    self:put("local %s = %s", known, text)
    self:test(known)
    self.entries[text] = known
  end
  return known
end

function rows.index(self, e, bare)
  local object = e.object
  if object.is == "name" and object.name == "args" and not self.locals.args then
    self.named = not self.record
    return (self.record and "ctx." or "args_") .. e.key.value
  end
  local row = of_shared(self, object)
  if row and row.table then
    local text = ("%s[%s]"):format(object.name, self:text(e.key))
    if bare then
      self.tested[text] = true
      return text
    elseif self.entries[text] then
      return self.entries[text]
    elseif self.guarded and self.tested[text] then
      return "(" .. text .. " or 0)"
    elseif self.guarded then
      fail("%s: %s may be absent in the middle of a condition: give it an `if` of its own", self.title, object.name)
    end
    return entry(self, object.name, text)
  end
  local inside = self:text(object)
  if type(e.key.value) == "string" and e.key.value:find("^[A-Za-z_][A-Za-z_0-9]*$") then
    return inside .. "." .. e.key.value
  end
  return ("%s[%s]"):format(inside, self:text(e.key))
end

function rows.paren(self, e, bare)
  return "(" .. self:text(e.inside, bare) .. ")"
end

function rows.unary(self, e)
  local operand = self:text(e.operand, e.operator == "not")
  return e.operator == "not" and "not " .. operand or e.operator .. operand
end

local LOGIC <const>, EQUAL <const> = { ["and"] = true, ["or"] = true }, { ["=="] = true, ["~="] = true }

function rows.binary(self, e, bare)
  local logic = LOGIC[e.operator]
  local left = self:text(e.left, logic or EQUAL[e.operator])
  local guarded = self.guarded
  self.guarded = guarded or logic
  local right = self:text(e.right, logic and bare or EQUAL[e.operator])
  self.guarded = guarded
  return ("%s %s %s"):format(left, e.operator, right)
end

-- The names of a constructor's members. What has a place only is called as the members of keys and values are.
function Body.members(_, e)
  local names, place = {}, 0
  for n, item in ipairs(e) do
    place = item.key and place or place + 1
    local name = item.key and item.key.value or place
    names[n] = math.type(name) and types.position(name) or name
  end
  return names
end

function rows.table(self, e)
  local list = self:members(e)
  for n, item in ipairs(e) do
    list[n] = ("%s = %s"):format(list[n], self:text(item.value))
  end
  return "{ " .. table.concat(list, ", ") .. " }"
end

-- Calls ---------------------------------------------------------------------------------------------------------------

-- The type of an argument by its name; nil for other expressions.
function Body:argument(e)
  return e.is == "index" and e.object.name == "args" and self.body.arguments and self.body.arguments[e.key.value] or nil
end

-- The helper that reads memory, by the type of the argument that has its address.
function Body:reader(e)
  local own = self:argument(e)
  return (own and own.space == "user" or self.user) and "helper.probe_read_user" or "helper.probe_read_kernel"
end

-- Whether ip() gets a number, as the kernel has addresses of 4 bytes, and not bytes in memory.
function Body:is_number(call, size)
  local own = self:argument(call.arguments[1])
  return size == 4 and (own == nil or own.kind == "integer")
end

function CALLS.str(self, arguments)
  local text, own = self:text(arguments[1]), self:argument(arguments[1])
  return own and own.kind == "string" and text
    or ("%s_str(%s, %s)"):format(self:reader(arguments[1]), text, arguments[2] and arguments[2].text or 64)
end

function CALLS.buf(self, arguments)
  local size = arguments[2].value
  if not math.type(size) or arguments[3] then
    fail("%s: buf() has a form in a script where its length is a constant: buf(p, 16)", self.title)
  end
  local name = self:fresh("bytes")
  self:put("local %s = %s(%d, %s)", name, self:reader(arguments[1]), size, self:text(arguments[1]))
  self:test(name)
  return name
end

function CALLS.ip(self, arguments, shown)
  local own = self:argument(arguments[1])
  if not shown and not (own and own.kind ~= "integer") then
    fail("%s: ip() has a form in a script where it is printed or a key: store the number", self.title)
  end
  return self:text(arguments[1])
end

function CALLS.time()
  return "helper.ktime_get_ns()"
end

function rows.call(self, e)
  local name = e.called.is == "name" and not self.locals[e.called.name] and e.called.name
  if name and SAME[name] then
    return "(" .. self:text(e.arguments[1]) .. ")"
  elseif STACKS[name] then
    return self:stack(name, self:stack_depth(e))
  elseif name and CALLS[name] then
    return CALLS[name](self, e.arguments)
  end
  local list = {}
  for n, argument in ipairs(e.arguments) do
    list[n] = self:text(argument, name == "pairs")
  end
  if name and not INLINE[name] and name ~= "pairs" and name ~= "error" and name ~= "assert" then
    fail("%s: %s() has no form in a script yet", self.title, name)
  elseif name == "pairs" then
    return ("pairs(%s)"):format(e.arguments[1].name)
  end
  return ("%s(%s)"):format(self:text(e.called), table.concat(list, ", "))
end

-- Whether a call is one of these, and its word.
function Body:act(e)
  local word = e.is == "call" and e.called.is == "name" and not self.locals[e.called.name] and e.called.name
  return word and acts[word] and word or nil
end

-- Statements ----------------------------------------------------------------------------------------------------------

local statements = {}

-- Whether an expression may be nil: an entry, or a variable that may be.
local function may_be_nil(self, e)
  if e.is == "index" then
    local row = of_shared(self, e.object)
    return row ~= nil and row.table == true
  end
  return e.is == "name" and self.maybe[e.name] == true or e.is == "paren" and may_be_nil(self, e.inside)
end

-- What may be nil, in a local variable or one made for it; nil for an expression that isn't.
function Body:optional(e)
  if not may_be_nil(self, e) then
    return nil
  end
  local text = self:text(e, true)
  if e.is == "name" or self.entries[text] then
    return e.is == "name" and text or nil
  end
  local name = self:fresh(e.object and e.object.name or "value")
  self:put("local %s = %s", name, text)
  return name
end

statements["local"] = function(self, s)
  local texts, maybe = {}, {}
  for n, e in ipairs(s.values) do
    texts[n], maybe[n] = self:text(e, true), may_be_nil(self, e)
  end
  for n, name in ipairs(s.names) do
    self.locals[name], self.maybe[name] = true, maybe[n] or nil
  end
  self:put("local %s%s", table.concat(s.names, ", "), texts[1] and " = " .. table.concat(texts, ", ") or "")
end

function statements.call(self, s)
  local word = self:act(s.call)
  if word then
    acts[word](self, word, s.call.arguments)
  else
    self:put("%s", self:text(s.call))
  end
end

function statements.assign(self, s)
  local word = self:act(s.values[1])
  if word then -- lat = hist(…)
    return acts[word](self, word, s.values[1].arguments)
  end
  local left, right = {}, {}
  for n, e in ipairs(s.values) do
    right[n] = self:text(e)
  end
  for n, e in ipairs(s.targets) do
    local row = e.is == "index" and of_shared(self, e.object)
    local own = e.is == "name" and self.locals[e.name]
    if own then
      self.maybe[e.name] = s.values[n] and may_be_nil(self, s.values[n]) or nil
    end
    left[n] = own and e.name or row and row.table and ("%s[%s]"):format(e.object.name, self:text(e.key)) or self:text(e)
  end
  self:put("%s = %s", table.concat(left, ", "), table.concat(right, ", "))
end

-- A block in a scope of its own. `known`: a variable that isn't nil there.
function Body:block(list, known)
  local locals, maybe = self.locals, self.maybe
  self.locals, self.maybe = setmetatable({}, { __index = locals }), {}
  for name in pairs(maybe) do
    self.maybe[name] = name ~= known or nil
  end
  self.depth = self.depth + 1
  for _, s in ipairs(list) do
    self.entries, self.tested = {}, {}
    statements[s.is](self, s)
  end
  self.depth = self.depth - 1
  self.locals, self.maybe = locals, maybe
end

-- The branches from the n-th on: those whose condition needs tests of its own stand within the one before.
local function branches(self, s, n)
  local branch = s[n]
  if not branch then
    return
  end
  local condition = self:text(branch.condition, true)
  self:put("if %s then", condition)
  self:block(branch.block, branch.condition.is == "name" and branch.condition.name or nil)
  if s[n + 1] then
    self:put("else")
    self.depth, self.entries = self.depth + 1, {}
    branches(self, s, n + 1)
    self.depth = self.depth - 1
  elseif s.otherwise then
    self:put("else")
    self:block(s.otherwise)
  end
  self:put("end")
end

statements["if"] = function(self, s) branches(self, s, 1) end

statements["while"] = function(self, s)
  self.guarded = true
  self:put("while %s do", self:text(s.condition, true))
  self.guarded = nil
  self:block(s.block)
  self:put("end")
end

statements["repeat"] = function(self, s)
  self:put("repeat")
  self:block(s.block)
  self.guarded = true
  self:put("until %s", self:text(s.condition, true))
  self.guarded = nil
end

statements["for"] = function(self, s)
  local texts = {}
  for n, e in ipairs(s.values) do
    texts[n] = self:text(e)
  end
  self.locals[s.names[1]] = true
  self:put("for %s = %s do", s.names[1], table.concat(texts, ", "))
  self:block(s.block)
  self:put("end")
end

function statements.each(self, s)
  local text = self:text(s.values[1])
  for _, name in ipairs(s.names) do
    self.locals[name] = true
  end
  self:put("for %s in %s do", table.concat(s.names, ", "), text)
  self:block(s.block)
  self:put("end")
end

statements["do"] = function(self, s)
  self:put("do")
  self:block(s.block)
  self:put("end")
end

statements["return"] = function(self) self:put("do return end") end
statements["break"] = function(self) self:put("break") end
statements["goto"] = function(self, s) self:put("goto %s", s.name) end
function statements.label(self, s) self:put("::%s::", s.name) end

-- A body --------------------------------------------------------------------------------------------------------------

-- The calls that gather or print, in the order of the text.
local function ordered(calls)
  local pcs, list = {}, {}
  for pc, call in pairs(calls) do
    if acts[call.word] then
      pcs[#pcs + 1] = pc
    end
  end
  table.sort(pcs)
  for n, pc in ipairs(pcs) do
    list[n] = calls[pc]
  end
  return list
end

local function parameters_of(self, kind, place)
  if self.record then
    return "ctx"
  elseif self.named then
    if self.most > 0 or self.result and not kind:find("^fexit") then
      fail("%s: give arguments by their names or by their numbers, and ret alone", self.title)
    end
    local list = argument_names(kind, place) or fail("%s: the names of arguments aren't known", self.title)
    for n, name in ipairs(list) do
      list[n] = "args_" .. name
    end
    list[#list + 1] = self.result and "ret" or nil
    return table.concat(list, ", ")
  elseif self.result then
    return kind:find("ret") and "ret" or fail("%s: 'ret' has no form in a script there", self.title)
  end
  local list = {}
  for n = 0, self.most - 1 do
    list[n + 1] = "arg" .. n
  end
  return table.concat(list, ", ")
end

-- The text of the function that a body is at a probe: { section, number, title }. `state` has what all share: `shared`,
-- `plan`, `sites`, and `uses`, the functions that the script needs. Raises { trace = message }.
function translate.body(body, calls, probe, state)
  local kind = probe.section:match("^[^/]+"):gsub("%.s$", "")
  local self = setmetatable({
    body = body, title = body.title, state = state, number = probe.number, calls = ordered(calls), called = 0,
    record = kind == "tracepoint" or kind == "tp" or nil, lines = {}, depth = 0, made = {}, locals = {}, maybe = {},
    entries = {}, tested = {}, first = {}, most = 0,
    user = probe.section:find("^tracepoint/syscalls/") ~= nil or kind:find("^u") ~= nil,
  }, Body)
  self:block(parse.block(body.text))
  local head = { ("function(%s)"):format(parameters_of(self, kind, probe.section:match("/(.*)$"))) }
  if state.exits then
    head[#head + 1] = "  if ended.value then return end"
  end
  for _, name in ipairs { "pid", "tid", "uid" } do
    head[#head + 1] = self.first[name] and ("  local %s = %s"):format(name, FIRST[name]) or nil
  end
  return table.concat(head, "\n") .. "\n" .. table.concat(self.lines, "\n") .. "\nend"
end

return translate

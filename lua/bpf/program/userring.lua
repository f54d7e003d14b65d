-- SPDX-License-Identifier: MIT
-- helper.user_ringbuf_drain(m, type, function(record) … end): what a script has submitted to a user_ringbuf, record by
-- record. The function becomes one of BPF's own, which the kernel calls. What it uses of the function around it is
-- copied to a frame, as for the bodies of loops.
local core = require("bpf.core")
local Compiler = require("bpf.program.compiler")
require("bpf.program.specialhelpers") -- of which this is one
local types = require("bpf.program.types")
local values = require("bpf.program.values")
local sorted = require("bpf.base.sorted")

local PARTS, describe = values.PARTS, values.describe

local USER_RINGBUF_DRAIN <const>, DYNPTR_READ <const> = 209, 201

-- The function -------------------------------------------------------------------------------------------------------

local Drain = setmetatable({}, { __index = Compiler.Body })
Drain.__index = Drain

function Drain:prologue()
  self.dynptr = self.f:parameter(1)
  self.frame.base = self.frame.base or self.f:register()
  self.f:move(self.frame.base, self.f:parameter(2))
end

-- The record is the function's argument. One that is shorter than the type is passed over.
function Drain:start_state()
  local f, state = self.f, {}
  for n = 0, self.proto.parameters - 1 do
    state[n] = values.NIL
  end
  if self.proto.parameters > 0 then
    local form = self.form
    local object = self:stable_object(form.size)
    self:clear(object, 0, object.size)
    local r = f:call(DYNPTR_READ, { object = object, offset = 0 }, form.size, self.dynptr, 0, 0)
    self:when("ne", r, 0, function() f:exit(0) end)
    state[0] = self:read(form, object, 0)
  end
  return state
end

-- Draining goes on with nil, false and 0, and stops with anything else.
function Drain:return_values(list)
  local v = list[1] or values.NIL
  if v.kind == "integer" or v.kind == "boolean" or v.kind == "constant" and type(v.value) ~= "string" then
    self.f:exit(self:select("ne", self:scalar(v, "result"), 0, 1, 0))
    return
  end
  self:fail("the function of helper.user_ringbuf_drain returns 0 to go on or 1 to stop, this is %s", describe(v))
end

-- The value of an upvalue, and of what it has if it is a table: in the frame if it is known at run time only.
function Drain:load_captured(place, v)
  if v.kind ~= "table" then
    self.kinds[place] = v
    return self:load_shared(place)
  end
  local copy = { kind = "table", fields = {}, order = v.order, round = self.f, fixed = v.fixed }
  for _, name in ipairs(v.order) do
    copy.fields[name] = self:load_captured(("%s %s "):format(place, name), v.fields[name])
  end
  return copy
end

function Drain:captured_value(n)
  local v = self.outer:captured(self.closure, n)
  self.captures[n] = v
  return self:load_captured("upvalue" .. n, v)
end

-- The call -----------------------------------------------------------------------------------------------------------

local function form_of(c, v)
  local value = v and v.kind == "constant" and v.value
  if type(value) == "userdata" and not core.map.type(value) then
    return types.of(value)
  elseif type(value) == "string" then
    return types.of_text(value) or c:fail("helper.user_ringbuf_drain: there is no type '%s'", value)
  end
  c:fail("helper.user_ringbuf_drain: a type is expected behind the map, this is %s", v and describe(v) or "nothing")
end

local function read_arguments(c, given)
  local m, fn = given[1], given[3] or values.NIL
  if not (m and m.kind == "constant" and core.map.type(m.value) == "user_ringbuf") then
    c:fail("helper.user_ringbuf_drain: a map of type user_ringbuf is expected, this is %s",
      m and describe(m) or "nothing")
  end
  local form = form_of(c, given[2])
  if fn.kind ~= "closure" and not (fn.kind == "constant" and type(fn.value) == "function") then
    c:fail("helper.user_ringbuf_drain: a function is expected behind the type, this is %s", describe(fn))
  end
  return m.value, form, fn
end

-- A value with nothing in it that is still to be read.
local function read_all(c, v)
  if v.kind ~= "table" then
    return c:materialize(v)
  end
  local copy = { kind = "table", fields = {}, order = v.order, round = v.round, fixed = v.fixed }
  for _, name in ipairs(v.order) do
    copy.fields[name] = read_all(c, v.fields[name])
  end
  return copy
end

-- Compiles the function, by the way that calls are compiled which are put in place.
local function compile_function(c, form, fn)
  local closure = fn.kind == "closure" and fn or nil
  for n, v in pairs(closure and closure.upvalues or {}) do
    closure.upvalues[n] = read_all(c, v)
  end
  local body = setmetatable(c:inner(not closure and fn.value or nil, closure, {}), Drain)
  local line = c.proto.code[c.pc].line or c.proto.line
  local memo = body.memo
  memo.name = memo.name or c.unit:function_name(("%s_line%d"):format(c.root.function_name, line))
  body.outer, body.closure, body.form, body.function_name, body.caller = c, closure, form, memo.name, nil
  body.frame, body.exits, body.captures, body.kinds, body.start_state = c.new_frame(), {}, {}, {}, nil
  if closure then
    function body.upvalue_value(n) return body:captured_value(n) end
  end
  return body, body:compile(0)
end

-- Stores what the function finds in its frame.
local function store_captured(c, body, object, place, v)
  local slots = body.frame.slots
  for _, name in ipairs(v.kind == "table" and v.order or {}) do
    store_captured(c, body, object, ("%s %s "):format(place, name), v.fields[name])
  end
  if slots[place .. "text"] then
    c:copy(object, slots[place .. "text"], v, v.type.size)
  elseif values.at_run_time(v) then
    for n, r in ipairs(c:parts(v, v)) do
      c.f:store(object, slots[place .. PARTS[v.kind][n]], 8, r)
    end
  end
end

local function fill_frame(c, body, object)
  local numbers = sorted.keys(body.captures)
  for _, n in ipairs(numbers) do
    store_captured(c, body, object, "upvalue" .. n, body.captures[n])
  end
  c:store_ways(body, object)
end

function Compiler.special_helpers.user_ringbuf_drain(c, given)
  local f = c.f
  local m, form, fn = read_arguments(c, given)
  c:need("user_ringbuf_drain", "helper.user_ringbuf_drain", "use a map of type queue")
  c.lookup = nil
  local body, code = compile_function(c, form, fn)
  local frame, object = 0, nil
  if body.frame.size > 0 then
    object = f:object(body.frame.size)
    object.frame = true
    fill_frame(c, body, object)
    frame = { object = object, offset = 0 }
  end
  local r = f:call(USER_RINGBUF_DRAIN, c:map_reference(m), { func = code }, frame, 0)
  if body.exits[c.ENDED] then
    c:when("eq", f:load(object, body.frame.slots.exit, 8), c.ENDED, function()
      c:leave_with(f:load(object, body.frame.slots.result, 8))
    end)
  end
  return values.integer(r)
end

return Compiler

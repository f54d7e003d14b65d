-- SPDX-License-Identifier: MIT
-- The body of a loop as a function of its own, which the kernel calls for each round: by bpf_loop, or by
-- bpf_for_each_map_elem. What it shares with the rest of the program is in a frame on the stack of the function that
-- has the loop; the callback gets the frame's address.
local Compiler = require("bpf.program.compiler")
local scratch = require("bpf.program.scratch")
local shapes = require("bpf.program.shapes")
local values = require("bpf.program.values")

local NIL, PARTS = values.NIL, values.PARTS

local LOOP, FOR_EACH_MAP_ELEM <const> = 181, 164
local ROUNDS <const> = 20

-- How a body left the loop for good, in the frame: these, or the pc that it goes on at.
Compiler.RETURNED, Compiler.ENDED = -1, -2

-- The frame -----------------------------------------------------------------------------------------------------------

local Frame = {}
Frame.__index = Frame

function Compiler.new_frame()
  return setmetatable({ slots = {}, size = 0 }, Frame)
end

function Frame:slot(key, size)
  local at = self.slots[key]
  if not at then
    at = self.size
    self.slots[key], self.size = at, at + ((size or 8) + 7) // 8 * 8
  end
  return at
end

-- The registers of Lua's that live into the body, or behind the loop, in order.
local function shared_registers(c, g)
  local live, list = {}, {}
  for _, pc in ipairs { g.from, g.exit } do
    for register in pairs(c.live[pc] or {}) do
      live[register] = true
    end
  end
  for register in pairs(live) do
    if c.state[register] and register < g.base then
      list[#list + 1] = register
    end
  end
  table.sort(list)
  return list
end

-- The body ------------------------------------------------------------------------------------------------------------

local Body = setmetatable({}, { __index = Compiler })
Body.__index = Body
Compiler.Body = Body

function Body:prologue()
  local count = self.region.map and 4 or 2
  self.arguments = {}
  for n = 1, count do
    self.arguments[n] = self.f:parameter(n)
  end
  self.frame.base = self.frame.base or self.f:register() -- the same in all rounds: strings lie there
  self.f:move(self.frame.base, self.arguments[count])
end

function Body:context_register()
  return self.f:load(self.frame.base, self.frame:slot("context"), 8)
end

-- Whether a string is in scratch memory, which the body finds as well.
function Body:is_shared(v)
  local shared = self.unit.scratch.shared and v.object.stack and scratch.is_large(v.object.size)
  v.object.shared = shared or v.object.shared
  return shared
end

function Body:load_shared(register)
  local kind = self.kinds[register]
  if kind.kind == "buffer" and self:is_shared(kind) then
    return kind
  elseif kind.kind == "buffer" then -- its copy in the frame
    local at = self.frame:slot(register .. "text", kind.type.size)
    return { kind = "buffer", object = self.frame.base, offset = at, type = kind.type }
  elseif not values.at_run_time(kind) then
    return kind
  end
  local fields = {}
  for _, part in ipairs(PARTS[kind.kind]) do
    fields[part] = self.f:load(self.frame.base, self.frame:slot(register .. part), 8)
  end
  return values.of_kind(kind, fields)
end

-- The variables of this round.
function Body:set_variables(state)
  local f, g, arguments = self.f, self.region, self.arguments
  if g.map then
    local info = self.unit:info_of(g.map)
    state[g.key] = self:read(info.key, arguments[2], 0, "map")
    state[g.value] = self:read(info.value, arguments[3], 0, "map")
    return
  end
  local first = g.first.r
  if not math.type(first) then
    first = f:load(self.frame.base, self.frame:slot("first"), 8)
  end
  local index = g.step == 1 and arguments[1] or f:alu("mul", arguments[1], g.step)
  local value = values.integer(first == 0 and index or f:alu("add", index, first), g.step > 0 and g.first.positive)
  state[g.base], state[g.index] = value, value
end

function Body:start_state()
  self.initial = {}
  for _, place in ipairs(self.shared) do
    self.initial[place] = self:load_shared(place)
  end
  local state = shapes.gather(self.initial, self.closures, self.f)
  self.whole = values.copy_state(state)
  self:set_variables(state)
  return state
end

-- Joins a value with what was known of its place, and stores it in the frame.
function Body:store_joined(kinds, place, v)
  local before = kinds[place]
  v = self:materialize(v)
  local kind = before and values.join(before, v) or v
  if v.kind == "table" or v.kind == "buffer" or v.space == "stack" or before and before.kind == "buffer" then
    kind = values.mixed(before or NIL, v) -- its stack is gone when the body returns
  end
  if not before or not values.settled(before, kind) then
    kinds[place] = kind
    self.unsettled = true
  end
  if kind.kind ~= "mixed" and values.at_run_time(kind) then
    for n, r in ipairs(self:parts(v, kind)) do
      self.f:store(self.frame.base, self.frame:slot(place .. PARTS[kind.kind][n]), 8, r)
    end
  end
end

-- Joins what the body leaves at a place with what it found there.
function Body:store_shared(place, v)
  local initial = self.initial[place]
  if v.kind == "closure" and v == self.closures[place] then
    return
  elseif initial and (values.same(v, initial) or values.one_value(v, initial)) then
    return
  elseif not self.kinds[place] then -- a member that the table gets in the body
    self.kinds[place], self.found[place] = NIL, NIL
    self.shared[#self.shared + 1] = place
  end
  self.written[place] = true
  self:store_joined(self.kinds, place, v)
end

function Body:store_all(state)
  for _, register in ipairs(self.registers) do
    local v = state[register]
    if v and v ~= self.whole[register] then
      local places, by_place, grown = shapes.spread(self.kinds, { register }, state)
      self.unsettled = self.unsettled or grown
      for _, place in ipairs(places) do
        self:store_shared(place, by_place[place])
      end
    end
  end
end

-- A way out of the body: to the next round, behind the loop, or to another place of the function.
function Body:outside(state, target)
  local f, g, way = self.f, self.region, self.f:block()
  function way.fill()
    f:start(way)
    if target ~= g.next and target ~= g.exit then
      self.exits[target] = true
      f:store(self.frame.base, self.frame:slot("exit"), 8, target)
    end
    self:store_all(state)
    f:exit(target == g.next and 0 or 1)
  end
  return way
end

function Body:leave_for(how)
  self.exits[how] = true
  self.f:store(self.frame.base, self.frame:slot("exit"), 8, how)
  self.f:exit(1)
end

-- Ends the loop together with the program.
function Body:leave_with(r)
  self.f:store(self.frame.base, self.frame:slot("result"), 8, r)
  self:leave_for(self.ENDED)
end

function Body:is_program()
  return self.outer:is_program()
end

-- Ends the loop together with the function that it stands in, whose results go into the frame.
function Body:return_values(list)
  local results = self.results
  if self:is_program() then
    list = { values.integer(self:one_result(list)) }
  end
  if #list > results.count then
    results.count, self.unsettled = #list, true
  end
  for n = 1, results.count do
    self:store_joined(results.kinds, "result" .. n, list[n] or NIL)
  end
  self:leave_for(self.RETURNED)
end

-- The compiler of a body, in a round of its own analysis.
local function new_body(c, g, shared, memo, results)
  return setmetatable({
    proto = c.proto, unit = c.unit, root = c.root, region = g, live = c.live, outlined = c.outlined, depth = c.depth,
    memo = memo, function_name = memo.name, pc = c.pc, made = 0, outer = c, results = results,
    frame = Compiler.new_frame(), written = {}, exits = {}, closures = {},
    registers = shared.registers, shared = shared.places, kinds = shared.kinds, found = shared.found,
    upvalue_value = c.upvalue_value,
  }, Body)
end

-- Compiles a body until what it leaves in the shared registers is what it may find there.
local function compile_body(c, g, shared)
  local memo = c:inner_memo()
  local line = c.proto.code[g.from].line or c.proto.line
  memo.name = memo.name or c.unit:function_name(("%s_line%d"):format(c.root.function_name, line))
  local results = { count = 0, kinds = {} }
  for _ = 1, ROUNDS do
    local body = new_body(c, g, shared, memo, results)
    body.code = body:compile(g.from)
    if not body.unsettled then
      return body
    end
  end
  c:fail("a variable of a loop holds another kind of value in every round: use several variables")
end

-- The call ------------------------------------------------------------------------------------------------------------

-- The value of this kind that is in the frame behind the loop.
local function read_value(c, body, object, place, kind)
  if kind.kind == "mixed" or not values.at_run_time(kind) then
    return kind
  end
  local fields = {}
  for _, part in ipairs(PARTS[kind.kind]) do
    fields[part] = c.f:load(object, body.frame.slots[place .. part], 8)
  end
  return values.of_kind(kind, fields)
end

-- Stores 0 for the results of the function, which the verifier wants to see written on every path.
local function clear_results(c, body, object)
  for n = 1, body.results.count do
    local kind = body.results.kinds["result" .. n]
    for _, part in ipairs(PARTS[kind.kind] or {}) do
      local at = body.frame.slots["result" .. n .. part]
      if at then
        c.f:store(object, at, 8, 0)
      end
    end
  end
end

-- Stores how the loop is left, for what follows to find if nothing else is, and what every body may ask for.
function Compiler:store_ways(body, object)
  local f, slots = self.f, body.frame.slots
  for _, key in ipairs { "exit", "result", "first" } do
    if slots[key] then
      f:store(object, slots[key], 8, key == "first" and body.region.first.r or 0)
    end
  end
  if slots.context then
    f:store(object, slots.context, 8, self:context_register())
  end
end

-- Stores what the body finds. What it changes begins as a number that the verifier takes for anything: otherwise it
-- would follow a counter round by round, up to its limit of a million instructions.
local function fill_frame(c, body, object)
  local f, found, slots, anything = c.f, body.found, body.frame.slots, nil
  for _, register in ipairs(body.shared) do
    local kind, text = body.kinds[register], slots[register .. "text"]
    if text then
      c:copy(object, text, found[register], kind.type.size)
    end
    local in_frame = kind.kind ~= "mixed" and values.at_run_time(kind)
    for n, r in ipairs(in_frame and c:parts(found[register], kind) or {}) do
      local at = slots[register .. PARTS[kind.kind][n]]
      if at and body.written[register] and kind.kind ~= "pointer" then
        anything = anything or f:unknown()
        r = r == 0 and anything or f:alu("add", anything, r)
      end
      if at then
        f:store(object, at, 8, r)
      end
    end
  end
  c:store_ways(body, object)
  clear_results(c, body, object)
end

-- The state behind the loop: what the body wrote is in the frame.
local function read_frame(c, body, object)
  local by_place, changed = {}, {}
  for _, place in ipairs(body.shared) do
    local kind = body.kinds[place]
    if kind.kind == "mixed" or body.written[place] and values.at_run_time(kind) then
      by_place[place] = read_value(c, body, object, place, kind)
      changed[shapes.register_of(place)] = true
    else
      by_place[place] = kind.kind == "shape" and kind or body.found[place]
    end
  end
  for _, register in ipairs(body.registers) do
    if changed[register] then
      c.state[register] = shapes.gathered(by_place, register)
    end
  end
end

-- Ends the function, or the program, as the body did.
local function leave_as(c, body, object, how)
  if how == Compiler.ENDED then
    return c:leave_with(c.f:load(object, body.frame.slots.result, 8))
  end
  local list = {}
  for n = 1, body.results.count do
    list[n] = read_value(c, body, object, "result" .. n, body.results.kinds["result" .. n])
  end
  c:return_values(list)
end

-- Goes on wherever the body went.
local function follow_exits(c, body, object)
  local f, exits, slots = c.f, {}, body.frame.slots
  for target in pairs(body.exits) do
    exits[#exits + 1] = target
  end
  table.sort(exits)
  for _, target in ipairs(exits) do
    local went, stayed = f:block(), f:block()
    local way = target >= 0 and c:edge(values.copy_state(c.state), target)
    f:branch("eq", f:load(object, slots.exit, 8), target, way or went, stayed)
    if way then
      way.fill()
    else
      f:start(went)
      leave_as(c, body, object, target)
    end
    f:start(stayed)
  end
end

-- What the body shares with the function: the registers of Lua's; their places, with those of tables' members; what is
-- known of each place; and what is found there when the loop begins.
local function shared_values(c, g)
  local kinds, registers = {}, shared_registers(c, g)
  shapes.fix_shared(registers, c.state)
  local places, found = shapes.spread(kinds, registers, c.state, c.f)
  for _, place in ipairs(places) do
    found[place] = c:materialize(found[place])
    kinds[place] = kinds[place] or found[place]
  end
  return { registers = registers, places = places, kinds = kinds, found = found }
end

-- Compiles a loop as a callback. g: { from, to, next, exit, base } of the bytecode; `map` with the registers `key` and
-- `value`, or `rounds`, `first`, `step` with the register `index`.
function Compiler:callback(g)
  local f = self.f
  if f.forbid then
    f.forbid()
  end
  self.lookup = nil
  self:keep_strings_of(self.proto, g.from, g.to)
  local body = compile_body(self, g, shared_values(self, g))
  local object = f:object(math.max(8, body.frame.size))
  object.frame = true -- the kernel wants it on the stack
  fill_frame(self, body, object)
  local code, frame = { func = body.code }, { object = object, offset = 0 }
  if g.map then
    f:call(FOR_EACH_MAP_ELEM, self:map_reference(g.map), code, frame, 0)
  else
    f:call(LOOP, g.rounds, code, frame, 0)
  end
  read_frame(self, body, object)
  follow_exits(self, body, object)
  for register in pairs(self.state) do
    if register >= g.base then
      self.state[register] = NIL
    end
  end
end

return Compiler

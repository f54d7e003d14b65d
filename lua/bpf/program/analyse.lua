-- SPDX-License-Identifier: MIT
-- Runs a function's bytecode over what is known of each register, and makes the intermediate code on the way. Where
-- ways meet, what they bring is joined; where a loop begins, the function is compiled again until nothing new comes.
local Compiler = require("bpf.program.compiler")
local flow = require("bpf.program.flow")
local ir = require("bpf.program.ir")
local shapes = require("bpf.program.shapes")
local source = require("bpf.program.source")
local values = require("bpf.program.values")

local NIL, PARTS = values.NIL, values.PARTS

local ROUNDS <const> = 30

-- What a value is in registers, seen as a kind that it was joined to.
local parts = {
  integer = function(_, v) return { v.r } end,
  boolean = function(_, v) return { v.kind == "boolean" and v.r or (v.value and 1 or 0) } end,
  optional = function(_, v, kind)
    if values.is_nil(v) or v.value == false and not kind.bool then
      return { 0, 0 }
    elseif v.kind == "constant" then
      return { v.value and 1 or 0, 1 }
    end
    return { v.r, v.present or 1 }
  end,
  pointer = function(c, v, kind) return { v.kind == "constant" and 0 or kind.core and v.r or c:address(v) } end,
}

function Compiler:parts(v, kind)
  return parts[kind.kind](self, v, kind)
end

-- Where ways meet -----------------------------------------------------------------------------------------------------

-- A block on the way to the one at `target`. Its `fill`, called once the branch to it stands, brings the state into the
-- target's registers and goes there.
function Compiler:edge(state, target)
  local f, t = self.f, self.blocks[target]
  if not t then
    return self:outside(state, target)
  end
  local live, lookup, way = self.live[target], self.lookup, f:block()
  function way.fill()
    if t.ways > 1 and not t.loop then -- what moves are needed is known when all have come
      t.incoming[#t.incoming + 1] = { block = way, state = state, lookup = lookup, line = f.line }
      return
    end
    f:start(way)
    if t.ways > 1 then
      return self:bring(t, live, state)
    end
    t.lookup, t.state = lookup, {}
    for register, v in pairs(state) do
      t.state[register] = (live[register] or register < 0) and v or nil
    end
    f:jump(t.block)
  end
  return way
end

local function sorted(set)
  local list = {}
  for register in pairs(set) do
    list[#list + 1] = register
  end
  table.sort(list)
  return list
end

-- Joins what a way brings for a place with what others brought.
function Compiler:join_kind(t, register, v)
  local old = t.kinds[register]
  local kind = old and values.join(old, v) or v
  if not old or not values.settled(old, kind) then
    t.kinds[register] = kind
    self.changed = true
  end
  return t.kinds[register]
end

-- Moves that take effect at once: a source that another one overwrites is copied before.
local function move_all(f, moves)
  local targets = {}
  for _, m in ipairs(moves) do
    targets[m[1]] = true
  end
  for _, m in ipairs(moves) do
    if targets[m[2]] then
      m[2] = f:move(f:register(), m[2])
    end
  end
  for _, m in ipairs(moves) do
    f:move(m[1], m[2])
  end
end

-- The place on the stack where a block has the string of a register.
function Compiler:text_object(t, register, size)
  t.texts = t.texts or {}
  local object = t.texts[register]
  if not object or object.size < size then
    object = { size = (size + 7) // 8 * 8, stack = true }
    t.texts[register] = object
  end
  return self:own(object)
end

-- Copies the strings that a block wants. One that lies where another is going to is copied aside before.
function Compiler:bring_texts(t, wanted)
  local taken = {}
  for _, w in ipairs(wanted) do
    w.object = self:text_object(t, w.register, w.kind.type.size)
    taken[w.object] = true
  end
  for _, w in ipairs(wanted) do
    if w.v.kind == "buffer" and taken[w.v.object] and w.v.object ~= w.object then
      local aside = self.f:object(w.v.type.size)
      self:copy(aside, 0, w.v, w.v.type.size)
      w.v = { kind = "buffer", object = aside, offset = 0, type = w.v.type }
    end
  end
  for _, w in ipairs(wanted) do
    if w.v.object ~= w.object then
      self:write_string(w.kind.type, w.object, 0, w.v, "string")
    end
  end
end

-- The places of what a way brings, in order, and the values by place.
function Compiler:spread(t, live, state, passed)
  t.kinds = t.kinds or {}
  local all, registers = sorted(live), {}
  for _, register in ipairs(all) do
    if not (passed and passed[register]) then
      registers[#registers + 1] = register
    end
  end
  shapes.fix_shared(all, state)
  local places, by_place, grown = shapes.spread(t.kinds, registers, state)
  self.changed = self.changed or grown
  return places, by_place
end

-- Brings a state into the registers that a block has for Lua's, and goes there. Those in `passed` are there already.
function Compiler:bring(t, live, state, passed)
  local f, moves, texts = self.f, {}, {}
  local places, by_place = self:spread(t, live, state, passed)
  for _, place in ipairs(places) do
    local v = self:materialize(by_place[place])
    local kind = self:join_kind(t, place, v)
    if kind.kind == "text" then
      texts[#texts + 1] = { register = place, kind = kind, v = v }
    elseif values.at_run_time(kind) then
      t.registers[place] = t.registers[place] or { r = f:register(), present = f:register() }
      for n, r in ipairs(self:parts(v, kind)) do
        local target = t.registers[place][PARTS[kind.kind][n]]
        moves[#moves + 1] = r ~= target and { target, r } or nil
      end
    end
  end
  self:bring_texts(t, texts)
  move_all(f, moves)
  f:jump(t.block)
end

-- Joins what all ways bring, before the first is compiled: each has to know what the others need.
function Compiler:join_all(t, live)
  for _, way in ipairs(t.incoming) do
    self:spread(t, live, way.state, t.passed) -- shapes have grown then
  end
  for _, way in ipairs(t.incoming) do
    local places, by_place = self:spread(t, live, way.state, t.passed)
    for _, place in ipairs(places) do
      local v = by_place[place]
      if v.kind ~= "pending" then
        self:join_kind(t, place, v)
      end
    end
  end
end

local function identical(v, w)
  return w and (values.same(v, w) or values.one_value(v, w) and v.type == w.type and v.space == w.space
    and v.null == w.null)
end

-- Compiles all ways into a block that begins no loop. What each of them brings unchanged stays where it is.
function Compiler:arrive(t, live)
  local f, first = self.f, t.incoming[1]
  t.passed, t.lookup = {}, first.lookup
  for _, way in ipairs(t.incoming) do
    t.lookup = way.lookup == t.lookup and t.lookup or nil
  end
  for register in pairs(live) do
    local v = first.state[register]
    local equal = v and v.kind ~= "pending"
    for n = 2, #t.incoming do
      equal = equal and identical(v, t.incoming[n].state[register])
    end
    t.passed[register] = equal and v or nil
  end
  self:join_all(t, live)
  for _, way in ipairs(t.incoming) do
    f.line = way.line
    f:start(way.block)
    self:bring(t, live, way.state, t.passed)
  end
end

-- The state at the start of a block. A member of a table that another way has no table for was brought by none.
function Compiler.enter(_, t)
  if t.state then
    return values.copy_state(t.state)
  end
  local state = values.copy_state(t.passed or {})
  for register, kind in pairs(t.kinds or {}) do
    if not state[register] and kind.kind == "text" then
      state[register] = { kind = "buffer", object = t.texts[register], offset = 0, type = kind.type }
    elseif not state[register] and not values.at_run_time(kind) then
      state[register] = kind
    elseif not state[register] and t.registers[register] then
      state[register] = values.of_kind(kind, t.registers[register])
    end
  end
  return shapes.gather(state)
end

-- Going on ------------------------------------------------------------------------------------------------------------

function Compiler:go(pc)
  local way = self:edge(self.state, pc)
  self.f:jump(way)
  way.fill()
end

local MIRRORED = { eq = "eq", ne = "ne", slt = "sgt", sle = "sge", sgt = "slt", sge = "sle" }

local holds = {
  eq = function(a, b) return a == b end, ne = function(a, b) return a ~= b end,
  slt = function(a, b) return a < b end, sle = function(a, b) return a <= b end,
  sgt = function(a, b) return a > b end, sge = function(a, b) return a >= b end,
}

-- Goes to one pc or another, each with what is known there. A condition that is known is decided here.
function Compiler:branch(cc, a, b, yes_pc, yes_state, no_pc, no_state)
  if math.type(a) and math.type(b) then
    local yes = holds[cc](a, b)
    self.state = yes and yes_state or no_state
    return self:go(yes and yes_pc or no_pc)
  elseif math.type(a) then
    a, b, cc = b, a, MIRRORED[cc]
  end
  local yes, no = self:edge(yes_state, yes_pc), self:edge(no_state, no_pc)
  self.f:branch(cc, a, b, yes, no)
  yes.fill()
  no.fill()
end

-- Strings that are still to be read are read before the ways part.
function Compiler:materialize_live(pc)
  for _, register in ipairs(sorted(self.state)) do
    local v = self.state[register]
    if v.kind == "pending" and (self.live[pc][register] or self.live[pc + 1][register]) then
      self.state[register] = self:materialize(v)
    end
  end
end

local ENDS_BLOCK = { FORPREP = true, TFORPREP = true }

-- Compiles one instruction. Returns where to go on in the same block, or nil.
function Compiler:step(pc)
  local f, i = self.f, self.proto.code[pc]
  self.pc, self.made, self.root.at = pc, 0, self
  f.line = i.line and self.unit:line_of(self.proto.source, i.line) or f.line
  if flow.CONDITIONS[i.op] or ENDS_BLOCK[i.op] then
    self:materialize_live(pc)
  end
  local op = self.ops[i.op]
  if not op then
    self:fail("this isn't possible in a BPF program (%s)", i.op)
  end
  op(self, i, self.state, pc)
  if not f.current then
    return nil
  end
  local target = flow.targets(self, pc)[1]
  if ENDS_BLOCK[i.op] or self.blocks[target] or not flow.inside(self, target) then
    return self:go(target)
  end
  return target
end

function Compiler:compile_block(t)
  if t.incoming[1] then
    self.pc, self.made = t.pc, 1000
    self:arrive(t, self.live[t.pc])
  end
  self.f:start(t.block)
  self.state = self:enter(t)
  local loop = self.proto.counters[t.pc]
  if loop then
    self.state[loop.variable] = self.state[loop.counter]
  end
  self.lookup = not t.loop and t.lookup or nil
  local pc = t.pc
  while pc do
    pc = self:step(pc)
  end
end

-- One round over all blocks, from the entry with its state on.
function Compiler:round(entry)
  local f = self.f
  for _, pc in ipairs(self.order) do
    local t = self.blocks[pc]
    t.block, t.incoming, t.state, t.passed, t.lookup = f:block(), {}, nil, nil, nil
  end
  self.lookup = nil
  self.pc, self.made = entry, 2000 -- beyond what instructions and blocks make
  self.state = self:start_state()
  self:go(entry)
  for _, pc in ipairs(self.order) do
    local t = self.blocks[pc]
    if t.state or t.incoming[1] or t.loop and t.kinds then -- others can't be reached
      self:compile_block(t)
    end
  end
end

function Compiler:prepare(entry)
  local proto = self.proto
  if not proto.live then
    proto.live = flow.liveness(self)
    proto.counters = flow.counters(proto, proto.live)
  end
  self.live = proto.live
  self.steps = {} -- of numeric loops, by pc
  self.blocks, self.order = flow.blocks(self, entry)
end

-- Compiles from an entry on into a function of its own, which is returned.
function Compiler:compile(entry)
  local place = ("%s:%d"):format(source.chunk_name(self.proto.source), self.proto.code[entry].line or self.proto.line)
  self:prepare(entry)
  for _ = 1, ROUNDS do
    local f = ir.new(self.function_name)
    f.place = place
    f.registers = self.f and self.f.registers or 0 -- blocks keep theirs from round to round
    self.changed, self.f = false, f
    f:start(f:block())
    self:prologue()
    self:round(entry)
    if not self.changed then
      return self.f
    end
  end
  self:fail("a variable of a loop holds another kind of value in every round: use several variables")
end

-- Leaving -------------------------------------------------------------------------------------------------------------

-- Ends the program with a number.
function Compiler:leave_with(r)
  if self.leaving then
    self.leaving()
  end
  if self.caller then
    return self.caller:leave_with(r)
  end
  self.f:exit(self.only_result or r)
end

-- Whether what is compiled is a program's own function, and not one that was put in place.
function Compiler:is_program()
  return not self.joint
end

-- Returns from the function that is compiled: of a program, with its result; of one put in place, to its caller. The
-- body of a loop leaves through the function that the loop stands in.
function Compiler:return_values(list)
  if self.joint then
    return self:return_to_caller(list)
  end
  self:leave_with(self:one_result(list))
end

function Compiler:one_result(list)
  if #list > 1 then
    self:fail("a program returns one value, and this returns %d", #list)
  end
  local v = list[1] or NIL
  local is_address = v.kind == "pointer" or v.kind == "buffer" or v.kind == "pending"
  return is_address and self:integer(v, "result") or self:scalar(v, "result")
end

-- Calls of Lua functions ----------------------------------------------------------------------------------------------

local DEEPEST <const> = 8

function Compiler:return_to_caller(list)
  local f, joint = self.f, self.joint
  local way = f:block()
  f:jump(way)
  joint.incoming[#joint.incoming + 1] = { block = way, state = list, line = f.line }
  joint.results = math.max(joint.results, #list)
end

local HANDED_OVER <const> = "was handed over by the caller, who has it still: return a new one"

-- The compiler of a function that is put in place of its call.
function Compiler:inner(fn, closure, arguments)
  local proto, why = closure and closure.proto, nil
  if not closure then
    proto, why = self.unit:proto_of(fn)
  end
  if not proto then
    self:fail("%s", why)
  elseif proto.vararg then
    self:fail("a function with '...' can't be called in a program")
  elseif self.depth >= DEEPEST then
    self:fail("calls are nested more than %d deep, or recursive: BPF has no recursion, write a loop", DEEPEST)
  end
  local inner = setmetatable({
    proto = proto, unit = self.unit, caller = self, root = self.root, depth = self.depth + 1, f = self.f,
    function_name = self.function_name, outlined = self.unit:outlined_of(proto), memo = self:inner_memo(), made = 0,
    pc = 0,
  }, Compiler)
  function inner.upvalue_value(n)
    if closure then
      return self:captured(closure, n)
    end
    return self.unit:upvalue(fn, n)
  end
  arguments = self:fixed(arguments, HANDED_OVER)
  function inner.start_state()
    local state = {}
    for n = 1, proto.parameters do
      state[n - 1] = arguments[n] or NIL
    end
    return state
  end
  return inner
end

-- What a local function captured. A variable of a function that runs elsewhere is out of its reach.
function Compiler:captured(closure, n)
  local v = closure.upvalues[n]
  if closure.f ~= self.f and shapes.in_function(v) then
    self:fail("the local function uses '%s' within a loop's body that the kernel calls: hand it over as an argument",
      closure.proto.upvalues[n].name or "?")
  end
  return v
end

-- Forgets what was compiled behind a point, for another round.
local function rewind(f, block, blocks, instructions)
  for n = #f.blocks, blocks + 1, -1 do
    f.blocks[n] = nil
  end
  for n = #block.instructions, instructions + 1, -1 do
    block.instructions[n] = nil
  end
  block.terminator, f.current = nil, block
end

-- Puts a function in place of its call, and returns its results. `leaving` is called where the whole program ends
-- within it.
function Compiler:inline(fn, closure, arguments, leaving)
  local f, inner = self.f, self:inner(fn, closure, arguments)
  self.lookup, inner.leaving = nil, leaving
  self:keep_strings_of(inner.proto, 0, inner.proto.last_pc)
  inner:prepare(0)
  local block, blocks = f.current, #f.blocks
  local instructions, line = #block.instructions, f.line
  for _ = 1, ROUNDS do
    inner.changed = false
    inner.joint = { registers = {}, incoming = {}, results = 0, block = f:block() }
    rewind(f, block, blocks, instructions)
    inner:round(0)
    if not inner.changed then
      f.line = line
      return self:results_of(inner)
    end
  end
  self:fail("a variable of a loop holds another kind of value in every round: use several variables")
end

-- What the returns of a function that was put in place bring, by position.
function Compiler:results_of(inner)
  local f, joint = self.f, inner.joint
  if not joint.incoming[1] then -- it never returns
    f:start(f:block())
    return {}
  end
  local live = {}
  for n = 1, joint.results do
    live[n] = true
    for _, way in ipairs(joint.incoming) do
      way.state[n] = way.state[n] or NIL
    end
  end
  inner:arrive(joint, live)
  f:start(joint.block)
  return self:enter(joint)
end

return Compiler

-- SPDX-License-Identifier: MIT
-- Where ways through a program meet: what each of them knows of the registers is joined, and brought into the places
-- that the block has for it.
local Compiler = require("bpf.program.compiler")
local shapes = require("bpf.program.shapes")
local sorted = require("bpf.base.sorted")
local values = require("bpf.program.values")

local PARTS = values.PARTS

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
  local all, registers = sorted.keys(live), {}
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

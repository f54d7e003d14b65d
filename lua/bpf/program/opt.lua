-- SPDX-License-Identifier: MIT
-- Makes a function of the intermediate code shorter, and gives its registers numbers. Each pass takes time in
-- proportion to the function's length.

local blocks = require("bpf.program.blocks")
local fold = require("bpf.program.fold")
local ir = require("bpf.program.ir")
local liveness = require("bpf.program.liveness")
local registers = require("bpf.program.registers")

local opt = {}

local is_register, uses, integer, type = ir.is_register, ir.uses, math.type, type
local LONGEST <const> = 50 -- steps of what may go round and round

local holds, MIRRORED = fold.holds, fold.MIRRORED

-- Copies and constants ------------------------------------------------------------------------------------------------

-- The only instruction that defines a register, by its id; false for several.
local function single_definitions(f)
  local single = {}
  for _, block in ipairs(f.blocks) do
    for _, i in ipairs(block.instructions) do
      if i.d then
        local id = i.d.id
        single[id] = single[id] == nil and i
      end
    end
  end
  return single
end

-- A pass's state: what registers are copies of, everywhere (`single`) and in the block it is in (`value`, which holds
-- as long as the register copied has the version `at`).
local Copies = {}
Copies.__index = Copies

-- What to read instead of a register: a register or an integer.
function Copies:find(x)
  local values, single = self.value, self.single
  for _ = 1, LONGEST do
    local id = x.id
    local value = values[id]
    if value ~= nil and not integer(value) and (self.version[value.id] or 0) ~= self.at[id] then
      value = nil
    end
    if value == nil then
      local i = single[id]
      if not i or i.op ~= "move" then
        return x
      end
      value = i.a
      if not integer(value) and not single[value.id] then
        return x
      end
    end
    if integer(value) then
      return value
    end
    x = value
  end
  return x
end

-- Notes that a register gets a new value, of a copy or another one.
function Copies:define(i)
  local id = i.d.id
  local version = self.version
  version[id] = (version[id] or 0) + 1
  self.value[id] = nil
  if i.op == "move" and i.a ~= i.d then
    self.value[id] = i.a
    self.at[id] = not integer(i.a) and (version[i.a.id] or 0) or nil
  end
end

local function is_short(offset)
  return offset >= -0x8000 and offset <= 0x7fff
end

-- Replaces the base of a load or store by what it was computed from.
function Copies:base(i)
  local base = i.base
  if base.id then
    local value = self:find(base)
    base = integer(value) and base or value -- the verifier says what is wrong with an integer
    i.base = base
  end
  while base.id do
    local from = self.single[base.id]
    if not from then
      return
    elseif from.op == "address" then
      i.base, i.offset = from.object, i.offset + from.offset
      return
    elseif i.core or from.op ~= "alu" or from.operation ~= "add" or from.bits ~= 64 or from.core
        or not integer(from.b) or integer(from.a) or not self.single[from.a.id]
        or not is_short(i.offset + from.b) then
      return
    end
    base = from.a
    i.base, i.offset = base, i.offset + from.b
  end
end

-- Arguments that are addresses of the stack or of maps are made where the call is.
function Copies:arguments(list)
  for n = 1, #list do
    local argument = list[n]
    if is_register(argument) then
      argument = self:find(argument)
      local from = not integer(argument) and self.single[argument.id]
      if from and from.op == "address" then
        argument = { object = from.object, offset = from.offset }
      elseif from and from.op == "map" then
        argument = { map = from.map }
      end
      list[n] = argument
    end
  end
end

function Copies:operands(i)
  if type(i.a) == "table" then
    i.a = self:find(i.a)
  end
  if type(i.b) == "table" then
    i.b = self:find(i.b)
  end
  if i.base then
    self:base(i)
  end
  if i.arguments then
    self:arguments(i.arguments)
  end
end

-- Decides a branch on integers, and puts an integer on the right. Returns whether it decided.
local function fold_branch(block)
  local t = block.terminator
  if t.op ~= "branch" or not integer(t.a) then
    return false
  elseif integer(t.b) then
    blocks.make_jump(block, holds(t.condition, t.a, t.b) and t.yes or t.no)
    return true
  end
  t.condition, t.a, t.b = MIRRORED[t.condition], t.b, t.a
  return false
end

-- Lets instructions read what was copied instead of the copy, and computes what integers give. Leaves in each block's
-- `known` what registers are copies of at its end, and the `uses` of instructions. Returns how often each register is
-- read, by its id, and whether branches were decided.
local function propagate(f)
  local copies = setmetatable({ single = single_definitions(f), version = {}, at = {} }, Copies)
  local single, reads, decided = copies.single, {}, false
  local function count(i)
    local list = uses(i)
    i.uses = list
    for n = 1, #list do
      local id = list[n].id
      reads[id] = (reads[id] or 0) + 1
    end
  end
  for _, block in ipairs(f.blocks) do
    copies.value = {}
    for _, i in ipairs(block.instructions) do
      copies:operands(i)
      fold.instruction(i, single)
      count(i)
      if i.d then
        copies:define(i)
      end
    end
    copies:operands(block.terminator)
    block.known = copies.value
    decided = fold_branch(block) or decided
    count(block.terminator)
  end
  return reads, decided
end

-- Dead code -----------------------------------------------------------------------------------------------------------

local PURE = {
  move = true, alu = true, load = true, address = true, map = true, variable = true, swap = true, unknown = true,
  parameter = true, core = true,
}

-- Removes the instructions of a list for which `is_dead` says yes, which it is asked for from the last to the first.
-- Returns whether there were any.
local function sweep(list, is_dead)
  local removed = 0
  for n = #list, 1, -1 do
    if is_dead(list[n]) then
      list[n] = false
      removed = removed + 1
    end
  end
  if removed == 0 then
    return false
  end
  local to = 0
  for n = 1, #list do
    local i = list[n]
    if i then
      to = to + 1
      list[to] = i
    end
  end
  for n = #list, to + 1, -1 do
    list[n] = nil
  end
  return true
end

-- Removes what computes registers that nothing reads, by how often each is read.
local function remove_unread(f, reads)
  local function is_dead(i)
    local d = i.d
    if not d or not PURE[i.op] or reads[d.id] and i.a ~= d then
      return false
    elseif reads[d.id] and i.op ~= "move" then
      return false
    end
    local list = i.uses
    for n = 1, #list do
      local id = list[n].id
      reads[id] = reads[id] > 1 and reads[id] - 1 or nil
    end
    return true
  end
  for n = #f.blocks, 1, -1 do
    sweep(f.blocks[n].instructions, is_dead)
  end
end

-- Removes what computes registers that are defined anew before anything reads them. Needs liveness, and leaves it with
-- registers that aren't live any more. Returns whether it removed anything.
local function remove_dead(f)
  local live
  local function read(list)
    for n = 1, #list do
      live[list[n].id] = true
    end
  end
  local function is_dead(i)
    local d = i.d
    if d then
      if not live[d.id] then
        if PURE[i.op] then
          return true
        end
        i.no_result = i.op == "call" or nil
        if i.fetch and i.operation ~= "xchg" and i.operation ~= "cmpxchg" then
          i.d, i.fetch = nil, nil
        end
      end
      live[d.id] = nil
    end
    read(i.uses)
    return false
  end
  local changed = false
  for _, block in ipairs(f.blocks) do
    live = {}
    read(block.live_out)
    read(block.terminator.uses)
    changed = sweep(block.instructions, is_dead) or changed
  end
  return changed
end

-- Immediates ----------------------------------------------------------------------------------------------------------

-- Whether an instruction of BPF has no room for the integer, which it extends from 32 bits with the sign.
local function is_long(x)
  return integer(x) and (x < -0x80000000 or x > 0x7fffffff)
end

-- Whether an instruction needs its operand `a` or `b` in a register.
local function wants_register(i, name)
  local x = i[name]
  if not integer(x) then
    return false
  elseif i.op == "store" then
    return i.no_immediate or i.size == 8 and is_long(x)
  elseif i.op == "atomic" then
    return name == "a" and (not i.fetch or i.operation == "cmpxchg") or is_long(x)
  elseif i.op == "alu" then
    return is_long(x) and not (i.operation == "and" and x == 0xffffffff and name == "b")
  end
  return i.op == "branch" and is_long(x)
end

-- Puts into registers what an instruction has no room for: integers, and offsets of more than 16 bits. `add` takes the
-- instructions to go before it.
local function make_room(f, i, add)
  local function move(name)
    local d = f:register()
    add({ op = "move", d = d, a = i[name], line = i.line, uses = {} })
    i[name], i.uses = d, nil
  end
  if wants_register(i, "a") then
    move("a")
  end
  if i.b and wants_register(i, "b") then
    move("b")
  end
  if i.base and i.base.id and not is_short(i.offset) and not i.core then
    local d = f:register()
    add({ op = "alu", operation = "add", d = d, a = i.base, b = i.offset, bits = 64, line = i.line, uses = { i.base } })
    i.base, i.offset, i.uses = d, 0, nil
  end
  i.uses = i.uses or uses(i)
end

local function move_immediates(f)
  for _, block in ipairs(f.blocks) do
    local list, moved, n = block.instructions, nil, nil
    local function add(i)
      moved = moved or table.move(list, 1, n - 1, 1, {})
      moved[#moved + 1] = i
    end
    for at = 1, #list do
      local i = list[at]
      if i.base or integer(i.a) or integer(i.b) then
        n = at
        make_room(f, i, add)
      end
      if moved then
        moved[#moved + 1] = i
      end
    end
    n = #list + 1
    make_room(f, block.terminator, add)
    block.instructions = moved or list
  end
end

local ROUNDS <const> = 2

-- The first half of `run`: what is known is put in place, and what is never read or reached is gone.
function opt.simplify(f)
  f.simple = true
  blocks.keep_reachable(f)
  for round = 1, ROUNDS do
    local reads, decided = propagate(f)
    remove_unread(f, reads)
    if not (blocks.thread(f) or decided or round == 1) or not blocks.join(f) then
      break
    end
  end
end

-- Optimizes a function and gives its registers numbers or places on the stack.
function opt.run(f)
  if not f.simple then
    opt.simplify(f)
  end
  move_immediates(f)
  local is_live_in = liveness.run(f)
  if remove_dead(f) then
    is_live_in = liveness.run(f)
  end
  blocks.hoist(f, is_live_in)
  registers.allocate(f)
end

return opt

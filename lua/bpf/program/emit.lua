-- SPDX-License-Identifier: MIT
-- From intermediate code whose registers have numbers to instructions of BPF, of version 3 of its instruction set.

local fold = require("bpf.program.fold")
local ir = require("bpf.program.ir")
local together = require("bpf.program.moves")

local emit = {}

local is_register, integer = ir.is_register, math.type
local pack = string.pack
local COMMUTATIVE, INVERSE, MIRRORED = fold.COMMUTATIVE, fold.INVERSE, fold.MIRRORED

-- What a byte of opcode is made of.
local ALU <const> = {
  add = 0x00, sub = 0x10, mul = 0x20, div = 0x30, ["or"] = 0x40, ["and"] = 0x50, lsh = 0x60, rsh = 0x70, neg = 0x80,
  mod = 0x90, xor = 0xa0, arsh = 0xc0,
}
local JUMP <const> = {
  eq = 0x10, gt = 0x20, ge = 0x30, set = 0x40, ne = 0x50, sgt = 0x60, sge = 0x70, lt = 0xa0, le = 0xb0, slt = 0xc0,
  sle = 0xd0,
}
local SIZE <const> = { [1] = 0x10, [2] = 0x08, [4] = 0x00, [8] = 0x18 }
local ALU64 <const>, ALU32 <const>, BY_REGISTER <const> = 0x07, 0x04, 0x08
local MOVE <const>, MOVE32 <const>, MOVE_IMMEDIATE <const>, MOVE32_IMMEDIATE <const> = 0xbf, 0xbc, 0xb7, 0xb4
local LOAD <const>, STORE <const>, STORE_IMMEDIATE <const>, ATOMIC <const> = 0x61, 0x63, 0x62, 0xc3
local LOAD_IMMEDIATE <const>, TO_NETWORK <const> = 0x18, 0xdc
local CALL <const>, EXIT <const>, GOTO <const>, IF <const> = 0x85, 0x95, 0x05, 0x05
local LOAD8 <const>, STORE8 <const> = LOAD | 0x18, STORE | 0x18

-- The immediates of atomic instructions, and what makes them return the old value.
local ATOMIC_OPERATION <const> = { add = 0x00, ["or"] = 0x40, ["and"] = 0x50, xor = 0xa0, xchg = 0xe0, cmpxchg = 0xf0 }
local FETCH <const> = 0x01

-- The kinds of what LOAD_IMMEDIATE and CALL refer to, which stand where the source register would.
local FUNCTION_CALL <const>, FUNCTION_ADDRESS <const> = 1, 4

local FRAME <const>, RESULT <const> = 10, 0
local FIRST <const>, SECOND <const> = 0, 5 -- kept for registers on the stack, where there are any
local STACK <const> = 512

-- The function being written.
local Code = {}
Code.__index = Code

-- Instructions --------------------------------------------------------------------------------------------------------

-- An integer's lower bits as a number with a sign.
local function signed(n, bits)
  local sign = 1 << bits - 1
  return (n & sign * 2 - 1 ~ sign) - sign
end

local function is_short(n)
  return n >= -0x80000000 and n <= 0x7fffffff
end

-- Notes that the source's line begins here, if it does.
function Code:mark()
  if self.line ~= self.marked then
    self.marked = self.line
    self.lines[#self.lines + 1] = { #self.out, self.line }
  end
end

function Code:put(opcode, to, from, offset, immediate)
  if self.line ~= self.marked then
    self:mark()
  end
  local out = self.out
  out[#out + 1] = pack("<BBi2i4", opcode, to | from << 4, offset, immediate)
end

-- An instruction that jumps to a block, whose place isn't known yet.
function Code:put_jump(opcode, to, from, immediate, block)
  self:mark()
  local n = #self.out + 1
  self.out[n] = ""
  self.jumps[#self.jumps + 1] = { n, opcode, to | from << 4, immediate, block }
end

function Code:put_long(to, kind, low, high)
  self:put(LOAD_IMMEDIATE, to, kind, 0, signed(low, 32))
  self.out[#self.out + 1] = pack("<I4i4", 0, signed(high, 32))
end

function Code:relocate(relocation)
  relocation[1] = #self.out
  self.relocations[#self.relocations + 1] = relocation
end

-- The loader replaces the immediate or offset of the next instruction.
function Code:relocate_core(core)
  if core then
    self.core[#self.core + 1] = { index = #self.out, type = core.type, access = core.access, kind = core.kind }
  end
end

function Code:move(to, from)
  if to ~= from then
    self:put(MOVE, to, from, 0, 0)
  end
end

function Code:integer(to, n)
  if is_short(n) then
    self:put(MOVE_IMMEDIATE, to, 0, 0, n)
  elseif n >> 32 == 0 then
    self:put(MOVE32_IMMEDIATE, to, 0, 0, signed(n, 32))
  else
    self:put_long(to, 0, n, n >> 32)
  end
end

function Code:stack_address(to, object, offset)
  self:put(MOVE, to, FRAME, 0, 0)
  self:put(ALU64, to, 0, 0, object.at + offset)
end

-- Operands ------------------------------------------------------------------------------------------------------------

-- The number of the register that has the operand, which is the one given for integers and what is on the stack.
function Code:read(x, otherwise)
  if integer(x) then
    self:integer(otherwise, x)
    return otherwise
  elseif x.number then
    return x.number
  end
  self:put(LOAD8, otherwise, FRAME, x.slot.at, 0)
  return otherwise
end

-- Puts an operand into a register.
function Code:fetch(to, x)
  self:move(to, self:read(x, to))
end

-- Where to compute what goes to a register; `finish` then stores it if it belongs to the stack.
local function target(d)
  return d.number or FIRST
end

function Code:finish(d, from)
  if d.slot then
    self:put(STORE8, FRAME, from, d.slot.at, 0)
  end
end

function Code:base(i)
  if i.base.stack then
    return FRAME, i.base.at + i.offset
  end
  return self:read(i.base, SECOND), i.offset
end

-- The instructions of the intermediate code ---------------------------------------------------------------------------

local EMIT = {}

function EMIT.move(code, i)
  local d = i.d.number
  if d then
    code:fetch(d, i.a)
  elseif integer(i.a) or i.d.slot ~= i.a.slot then
    code:finish(i.d, code:read(i.a, FIRST))
  end
end

function EMIT.core(code, i)
  local d = target(i.d)
  code:relocate_core(i.core)
  code:put(MOVE_IMMEDIATE, d, 0, 0, i.value)
  code:finish(i.d, d)
end

function EMIT.alu(code, i)
  local operation, a, b = i.operation, i.a, i.b
  local class = i.bits == 32 and ALU32 or ALU64
  local d = target(i.d)
  if operation == "neg" then
    code:fetch(d, a)
    code:put(class | ALU.neg, d, 0, 0, 0)
  elseif integer(b) and operation == "and" and b == 0xffffffff then
    code:put(MOVE32, d, code:read(a, d), 0, 0)
  elseif integer(b) then
    code:fetch(d, a)
    code:relocate_core(i.core)
    code:put(class | ALU[operation], d, 0, 0, b)
  else
    if COMMUTATIVE[operation] and b.number == d and is_register(a) then
      a, b = b, a
    end
    local from = code:read(b, SECOND)
    code:fetch(d, a)
    code:put(class | BY_REGISTER | ALU[operation], d, from, 0, 0)
  end
  code:finish(i.d, d)
end

function EMIT.load(code, i)
  local base, offset = code:base(i)
  local d = target(i.d)
  code:relocate_core(i.core)
  code:put(LOAD | SIZE[i.size], d, base, offset, 0)
  code:finish(i.d, d)
end

function EMIT.store(code, i)
  local base, offset = code:base(i)
  if integer(i.a) then
    code:put(STORE_IMMEDIATE | SIZE[i.size], base, 0, offset, i.size == 8 and i.a or signed(i.a, 8 * i.size))
  else
    code:put(STORE | SIZE[i.size], base, code:read(i.a, FIRST), offset, 0)
  end
end

function EMIT.atomic(code, i)
  local immediate = ATOMIC_OPERATION[i.operation] | (i.fetch and FETCH or 0)
  local base, offset = code:base(i)
  if i.operation == "cmpxchg" then
    code:fetch(RESULT, i.b)
    code:put(ATOMIC | SIZE[i.size], base, code:read(i.a, SECOND), offset, immediate)
    if i.d.number then
      code:move(i.d.number, RESULT)
    end
    code:finish(i.d, RESULT)
  elseif i.fetch then
    local d = target(i.d)
    code:fetch(d, i.a)
    code:put(ATOMIC | SIZE[i.size], base, d, offset, immediate)
    code:finish(i.d, d)
  else
    code:put(ATOMIC | SIZE[i.size], base, code:read(i.a, FIRST), offset, immediate)
  end
end

function EMIT.swap(code, i)
  local d = target(i.d)
  code:fetch(d, i.a)
  code:put(TO_NETWORK, d, 0, 0, i.bits)
  code:finish(i.d, d)
end

function EMIT.address(code, i)
  local d = target(i.d)
  code:stack_address(d, i.object, i.offset)
  code:finish(i.d, d)
end

function EMIT.map(code, i)
  local d = target(i.d)
  code:relocate({ 0, map = i.map })
  code:put_long(d, 0, 0, 0)
  code:finish(i.d, d)
end

function EMIT.variable(code, i)
  local d = target(i.d)
  code:relocate({ 0, variable = i.variable })
  code:put_long(d, 0, i.offset, 0) -- the loader takes the first half for the offset from the symbol
  code:finish(i.d, d)
end

-- The verifier takes the difference of two pointers for any number.
function EMIT.unknown(code, i)
  local d = target(i.d)
  code:move(d, FRAME)
  code:put(ALU64 | BY_REGISTER | ALU.sub, d, FRAME, 0, 0)
  code:finish(i.d, d)
end

-- Puts an argument into its register, which nothing else is in any more.
local function put_argument(code, n, argument)
  if integer(argument) or argument.id then
    code:fetch(n, argument)
  elseif argument.object then
    code:stack_address(n, argument.object, argument.offset or 0)
  elseif argument.map then
    code:relocate({ 0, map = argument.map })
    code:put_long(n, 0, 0, 0)
  else
    code:relocate({ 0, func = argument.func, pseudo = "func" })
    code:put_long(n, FUNCTION_ADDRESS, 0, 0)
  end
end

function EMIT.call(code, i)
  local moves = {}
  for n, argument in ipairs(i.arguments) do
    if is_register(argument) and argument.number then
      moves[#moves + 1] = { n, argument.number }
    end
  end
  together.put(code, moves)
  for n, argument in ipairs(i.arguments) do
    if not (is_register(argument) and argument.number) then
      put_argument(code, n, argument)
    end
  end
  if i.func then
    code:relocate({ 0, func = i.func, pseudo = "call" })
    code:put(CALL, 0, FUNCTION_CALL, 0, -1)
  else
    code:put(CALL, 0, 0, 0, i.id)
  end
  if not i.no_result then
    if i.d.number then
      code:move(i.d.number, RESULT)
    end
    code:finish(i.d, RESULT)
  end
end

-- The arguments that the function got, which are all in their registers yet.
local function emit_parameters(code, list)
  local moves = {}
  for _, i in ipairs(list) do
    if i.op == "parameter" then
      code.line = code.line or i.line
      code:finish(i.d, i.n)
      if i.d.number then
        moves[#moves + 1] = { i.d.number, i.n }
      end
    end
  end
  together.put(code, moves)
end

function EMIT.parameter() end -- has been written at the beginning

-- Terminators ---------------------------------------------------------------------------------------------------------

local TERMINATE = {}

function TERMINATE.exit(code, t)
  code:fetch(RESULT, t.a)
  code:put(EXIT, 0, 0, 0, 0)
end

-- A way back to a loop's beginning is a jump even where that follows: Linux 5.10 takes no other.
function TERMINATE.jump(code, t, following, is_back)
  if t.yes ~= following or is_back then
    code:put_jump(GOTO, 0, 0, 0, t.yes)
  end
end

function TERMINATE.branch(code, t, following)
  local condition, yes, no, a, b = t.condition, t.yes, t.no, t.a, t.b
  if integer(a) then
    condition, a, b = MIRRORED[condition], b, a
  end
  if yes == following and INVERSE[condition] then
    condition, yes, no = INVERSE[condition], no, yes
  end
  local left = code:read(a, FIRST)
  if integer(b) then
    code:put_jump(IF | JUMP[condition], left, 0, b, yes)
  else
    code:put_jump(IF | BY_REGISTER | JUMP[condition], left, code:read(b, SECOND), 0, yes)
  end
  if no ~= following then
    code:put_jump(GOTO, 0, 0, 0, no)
  end
end

-- The function --------------------------------------------------------------------------------------------------------

-- Gives stack objects that are used their places, by their distance from the frame pointer.
local function lay_out_stack(f)
  local used, at = {}, 0
  local function use(object)
    if object and object.size and not used[object] then
      used[object] = true
      at = at - object.size
      object.at = at
    end
  end
  for _, slot in ipairs(f.slots) do
    use(slot)
  end
  for _, block in ipairs(f.blocks) do
    for _, i in ipairs(block.instructions) do
      use(i.base)
      use(i.object)
      local arguments = i.arguments
      for n = 1, arguments and #arguments or 0 do
        local argument = arguments[n]
        use(type(argument) == "table" and argument.object)
      end
    end
  end
  f.stack = -at
  if f.stack > STACK then
    local message = "%s: the function needs %d bytes of stack, and BPF has %d: put large structs and strings in a map"
    error({ stack = true, program = message:format(f.place or f.name, f.stack, STACK) }, 0)
  end
end

-- Writes the jumps, now that the blocks have their places.
local function resolve(f, code, starts)
  for _, jump in ipairs(code.jumps) do
    local n, opcode, operands, immediate, block = table.unpack(jump)
    local distance = starts[block] - n
    if distance ~= signed(distance, 16) then
      error({ program = (f.place or f.name) .. ": too long, a jump leads over more than 32767 instructions" }, 0)
    end
    code.out[n] = pack("<BBi2i4", opcode, operands, distance, immediate)
  end
end

-- The blocks that end by a jump back: to a block from which they were reached.
local function jumps_back(f)
  local back, open, seen = {}, {}, {}
  local stack = { { block = f.blocks[1], n = 0 } }
  open[f.blocks[1]], seen[f.blocks[1]] = true, true
  while #stack > 0 do
    local top = stack[#stack]
    top.n = top.n + 1
    local t, to = top.block.terminator, nil
    if top.n == 1 then
      to = t.yes
    elseif top.n == 2 then
      to = t.no
    end
    if top.n > 2 then
      open[top.block] = nil
      stack[#stack] = nil
    elseif to and open[to] and t.op == "jump" then
      back[top.block] = true
    elseif to and not seen[to] then
      open[to], seen[to] = true, true
      stack[#stack + 1] = { block = to, n = 0 }
    end
  end
  return back
end

-- Sets `code`, the instructions' bytes; `lines`, a list of { index, line }; `relocations`, of { index, map = m },
-- { index, func = f, pseudo = "call" or "func" } and { index, variable = v }; `core`, of { index = n, type = T,
-- access = "0:1", kind = 0 }; and `stack`, in bytes. Indexes count instructions of 8 bytes from 0.
function emit.run(f)
  lay_out_stack(f)
  local code = setmetatable({ out = {}, lines = {}, relocations = {}, core = {}, jumps = {} }, Code)
  local starts, back = {}, jumps_back(f)
  for n, block in ipairs(f.blocks) do
    starts[block] = #code.out
    if n == 1 then
      emit_parameters(code, block.instructions)
    end
    for _, i in ipairs(block.instructions) do
      code.line = i.line
      EMIT[i.op](code, i)
    end
    code.line = block.terminator.line
    TERMINATE[block.terminator.op](code, block.terminator, f.blocks[n + 1], back[block])
  end
  resolve(f, code, starts)
  f.code, f.lines, f.relocations, f.core = table.concat(code.out), code.lines, code.relocations, code.core
end

return emit

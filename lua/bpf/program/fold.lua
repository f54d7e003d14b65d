-- SPDX-License-Identifier: MIT
-- What instructions of the intermediate code compute: results of integers, conditions, and forms that cost less.

local fold = {}

local integer = math.type

fold.COMMUTATIVE = { add = true, mul = true, ["and"] = true, ["or"] = true, xor = true }

-- The condition that holds where another doesn't. `set` has none.
fold.INVERSE = {
  eq = "ne", ne = "eq", lt = "ge", ge = "lt", le = "gt", gt = "le", slt = "sge", sge = "slt", sle = "sgt", sgt = "sle",
}

-- The condition of the operands in the other order.
fold.MIRRORED = {
  eq = "eq", ne = "ne", set = "set", lt = "gt", gt = "lt", le = "ge", ge = "le", slt = "sgt", sgt = "slt", sle = "sge",
  sge = "sle",
}

local CONDITIONS = {
  eq = function(a, b) return a == b end,
  ne = function(a, b) return a ~= b end,
  lt = function(a, b) return math.ult(a, b) end,
  le = function(a, b) return not math.ult(b, a) end,
  gt = function(a, b) return math.ult(b, a) end,
  ge = function(a, b) return not math.ult(a, b) end,
  slt = function(a, b) return a < b end,
  sle = function(a, b) return a <= b end,
  sgt = function(a, b) return a > b end,
  sge = function(a, b) return a >= b end,
  set = function(a, b) return a & b ~= 0 end,
}

-- Whether a condition holds for two integers.
function fold.holds(condition, a, b)
  return CONDITIONS[condition](a, b)
end

local function divide(a, b)
  if b == 0 then
    return 0 -- as BPF does
  elseif b < 0 then
    return math.ult(a, b) and 0 or 1
  elseif a >= 0 then
    return a // b
  end
  local quotient = (a >> 1) // b << 1
  return math.ult(a - quotient * b, b) and quotient or quotient + 1
end

local function arsh(a, n)
  return a >> n | (a < 0 and n > 0 and ~(-1 >> n) or 0)
end

local OPERATIONS = {
  add = function(a, b) return a + b end,
  sub = function(a, b) return a - b end,
  mul = function(a, b) return a * b end,
  div = divide,
  mod = function(a, b) return b == 0 and a or a - divide(a, b) * b end,
  ["or"] = function(a, b) return a | b end,
  ["and"] = function(a, b) return a & b end,
  xor = function(a, b) return a ~ b end,
  lsh = function(a, b) return a << b end,
  rsh = function(a, b) return a >> b end,
  arsh = arsh,
  neg = function(a) return -a end,
}

local LOW <const> = 0xffffffff
local SHIFTS = { lsh = true, rsh = true, arsh = true }

-- The result of an operation on two integers.
function fold.alu(operation, a, b, bits)
  if SHIFTS[operation] then
    b = b & bits - 1
  end
  if bits == 64 then
    return OPERATIONS[operation](a, b)
  end
  a, b = a & LOW, b and b & LOW
  if operation == "arsh" then
    a = arsh(a << 32, 32)
  end
  return OPERATIONS[operation](a, b) & LOW
end

-- An integer in network byte order.
function fold.swap(a, bits)
  local bytes = bits // 8
  local mask = bits == 64 and -1 or (1 << bits) - 1
  return (string.unpack(">I" .. bytes, string.pack("<I" .. bytes, a & mask)))
end

-- Cheaper forms -------------------------------------------------------------------------------------------------------

-- With these as b, an operation of 64 bits returns a.
local NEUTRAL = { add = 0, ["or"] = 0, xor = 0, lsh = 0, rsh = 0, arsh = 0, mul = 1, div = 1, ["and"] = -1 }

-- Makes `d = a` of an instruction.
local function become_move(i, a)
  i.op, i.a, i.b = "move", a, nil
end

local function log2(n)
  return n > 0 and n & n - 1 == 0 and math.tointeger(math.log(n, 2)) or nil
end

-- Multiplications and divisions by powers of 2.
local function to_shift(i, b)
  local n = log2(b)
  if not n then
    return
  elseif i.operation == "mul" then
    i.operation, i.b = "lsh", n
  elseif i.operation == "div" then
    i.operation, i.b = "rsh", n
  elseif i.operation == "mod" then
    i.operation, i.b = "and", b - 1
  end
end

-- Whether what an instruction returns has 32 bits at most, without a sign. The loader may change the size of a load
-- that has a relocation.
local function is_short(i)
  if i.op == "load" then
    return i.size <= 4 and not i.core
  elseif i.op == "swap" then
    return i.bits <= 32
  end
  return i.op == "alu" and (i.bits == 32 or i.operation == "rsh" and integer(i.b) and i.b >= 32)
end

-- Whether what an instruction computes from a is the same wherever its result may be used.
local function is_stable(i, single)
  return integer(i.a) or i.a and single[i.a.id]
end

-- The verifier refuses the constant 0 where it takes registers that are 0.
local function divide_by_zero(i)
  if i.operation == "div" then
    become_move(i, 0)
  elseif i.bits == 64 then
    become_move(i, i.a)
  else
    i.operation, i.b, i.bits = "and", LOW, 64
  end
end

-- b is an integer; `source` is the only instruction that defines a, or nil.
local function simplify(i, source, single)
  local operation, b = i.operation, i.b
  if operation == "sub" and b ~= math.mininteger then
    operation, b = "add", -b
    i.operation, i.b = operation, b
  elseif SHIFTS[operation] then
    b = b & 63
    i.b = b
  end
  if NEUTRAL[operation] == b then
    return become_move(i, i.a)
  elseif b == 0 and (operation == "and" or operation == "mul") then
    return become_move(i, 0)
  elseif not source then
    return to_shift(i, b)
  end
  if operation == "rsh" and source.operation == "lsh" and source.b == b and source.bits == 64
      and is_stable(source, single) then
    i.operation, i.a, i.b = "and", source.a, -1 >> b -- both only clear the upper bits
  elseif operation == "and" and b == LOW and is_short(source) then
    become_move(i, i.a)
  elseif operation == "add" and source.operation == "add" and source.bits == 64 and integer(source.b)
      and not source.core and is_stable(source, single) then
    i.a, i.b = source.a, b + source.b
  else
    to_shift(i, b)
  end
end

-- Simplifies an instruction whose operands may have become integers. `single` has, by id, the only instruction that
-- defines a register, or false. Returns whether it changed.
function fold.instruction(i, single)
  local op, a, b = i.op, i.a, i.b
  if op == "swap" and integer(a) then
    i.bits = become_move(i, fold.swap(a, i.bits))
    return true
  elseif op ~= "alu" or i.core then
    return false
  elseif integer(a) and (integer(b) or i.operation == "neg") then
    become_move(i, fold.alu(i.operation, a, b, i.bits))
    return true
  end
  if integer(a) and fold.COMMUTATIVE[i.operation] then
    i.a, i.b = b, a
    a, b = b, a
  end
  if not integer(b) or integer(a) then
    return false
  elseif (i.operation == "div" or i.operation == "mod") and (i.bits == 64 and b or b & LOW) == 0 then
    divide_by_zero(i)
    return true
  elseif i.bits ~= 64 then
    return false
  end
  local operation = i.operation
  simplify(i, single[a.id], single)
  return i.op ~= op or i.operation ~= operation or i.b ~= b
end

return fold

-- SPDX-License-Identifier: MIT
-- Arithmetic with Lua's meaning over BPF's: `//` and `%` round down, shifts by 64 and more give 0, by negative numbers
-- go the other way. BPF's own division is unsigned, and divides by 0 without an error.
local Compiler = require("bpf.program.compiler")
local values = require("bpf.program.values")

local integer = values.integer

local fold = {
  add = function(a, b) return a + b end,
  sub = function(a, b) return a - b end,
  mul = function(a, b) return a * b end,
  ["and"] = function(a, b) return a & b end,
  ["or"] = function(a, b) return a | b end,
  xor = function(a, b) return a ~ b end,
  shl = function(a, b) return a << b end,
  shr = function(a, b) return a >> b end,
  idiv = function(a, b) return a // b end,
  mod = function(a, b) return a % b end,
}

-- Whether a result is never negative, by what is known of the operands.
local positive = {
  ["and"] = function(x, y) return x.positive or y.positive end,
  ["or"] = function(x, y) return x.positive and y.positive end,
  xor = function(x, y) return x.positive and y.positive end,
}

local function is_number(r)
  return math.type(r) ~= nil
end

local function simple(c, op, a, b, x, y)
  if is_number(a) and op ~= "sub" then
    a, b = b, a
  end
  local known = positive[op]
  return integer(c.f:alu(op, a, b), known and known(x, y))
end

-- Shifts --------------------------------------------------------------------------------------------------------------

local OPPOSITE = { lsh = "rsh", rsh = "lsh" }

local function shift(c, op, a, b)
  local f = c.f
  local way = op == "shl" and "lsh" or "rsh"
  if is_number(b) then
    if b < 0 then
      way, b = OPPOSITE[way], -b
    end
    if b >= 64 or b < 0 then -- -mininteger is negative
      return values.constant(0)
    end
    return integer(f:alu(way, a, b), way == "rsh" and b > 0)
  end
  local d, there, other, back, none, behind = f:register(), f:block(), f:block(), f:block(), f:block(), f:block()
  f:branch("lt", b, 64, there, other)
  f:start(there)
  f:move(d, f:alu(way, a, b))
  f:jump(behind)
  f:start(other)
  local n = f:alu("neg", b, 0)
  f:branch("lt", n, 64, back, none)
  f:start(back)
  f:move(d, f:alu(OPPOSITE[way], a, n))
  f:jump(behind)
  f:start(none)
  f:move(d, 0)
  f:jump(behind)
  f:start(behind)
  return integer(d)
end

-- Division ------------------------------------------------------------------------------------------------------------

local UNSIGNED = { idiv = "div", mod = "mod" }

-- The exponent of a power of two, or nil.
local function exponent(n)
  if n <= 0 or n & (n - 1) ~= 0 then
    return nil
  end
  local e = 0
  while 1 << e ~= n do
    e = e + 1
  end
  return e
end

local function by_power(c, op, a, e, x)
  if op == "mod" then
    return integer(c.f:alu("and", a, (1 << e) - 1), true)
  elseif e == 0 then
    return x
  end
  return integer(c.f:alu(x.positive and "rsh" or "arsh", a, e), x.positive)
end

-- Floor of a / b for b > 0 by unsigned division: with s = -1 for a negative a, ((a ~ s) // b) ~ s.
local function by_positive(c, op, a, b)
  local f = c.f
  local s = f:alu("arsh", a, 63)
  local q = f:alu("xor", f:alu("div", f:alu("xor", a, s), b), s)
  if op == "idiv" then
    return integer(q)
  end
  return integer(f:alu("sub", a, f:alu("mul", q, b)), true)
end

-- By the absolute values, whose quotient is rounded to zero, and then corrected where signs differ and a rest is left.
local function by_any(c, op, a, b)
  local f = c.f
  local sign_a, sign_b = f:alu("arsh", a, 63), f:alu("arsh", b, 63)
  local size_a = f:alu("sub", f:alu("xor", a, sign_a), sign_a)
  local size_b = f:alu("sub", f:alu("xor", b, sign_b), sign_b)
  local sign = f:alu("xor", sign_a, sign_b)
  local to_zero = f:alu("sub", f:alu("xor", f:alu("div", size_a, size_b), sign), sign)
  local rest_to_zero = f:alu("sub", a, f:alu("mul", to_zero, b))
  local q, rest = f:move(f:register(), to_zero), f:move(f:register(), rest_to_zero)
  c:when("ne", rest_to_zero, 0, function()
    c:when("slt", f:alu("xor", rest_to_zero, b), 0, function()
      f:move(q, f:alu("sub", to_zero, 1))
      f:move(rest, f:alu("add", rest_to_zero, b))
    end)
  end)
  return integer(op == "idiv" and q or rest)
end

-- A division by 0 ends the program when it is reached, as an error of Lua's would end a function.
local function end_by_zero(c)
  if c.unit.divided then
    c.unit.divided(c)
  end
  c:abort()
end

local function divide(c, op, a, b, x, y)
  local e = is_number(b) and exponent(b)
  if b == 0 then
    end_by_zero(c)
    c.f:start(c.f:block())
    return values.constant(0)
  elseif e then
    return by_power(c, op, a, e, x)
  elseif not is_number(b) then
    c:when("eq", b, 0, function() end_by_zero(c) end)
  end
  if x.positive and y.positive then
    return integer(c.f:alu(UNSIGNED[op], a, b), true)
  elseif is_number(b) and b > 0 then
    return by_positive(c, op, a, b)
  end
  return by_any(c, op, a, b)
end

-- The whole -----------------------------------------------------------------------------------------------------------

local rows = {
  add = simple, sub = simple, mul = simple, ["and"] = simple, ["or"] = simple, xor = simple,
  shl = shift, shr = shift, idiv = divide, mod = divide,
}

local FLOATING = { div = "'/' gives floating point, which BPF doesn't have: use '//'",
  pow = "'^' gives floating point, which BPF doesn't have: multiply, or shift" }

-- The value of a binary operator's result.
function Compiler:arithmetic(op, x, y)
  if FLOATING[op] then
    self:fail(FLOATING[op])
  end
  local a, b = self:integer(x, "arithmetic"), self:integer(y, "arithmetic")
  if is_number(a) and is_number(b) and not (UNSIGNED[op] and b == 0) then
    return values.constant(fold[op](a, b))
  end
  return rows[op](self, op, a, b, x, y)
end

return Compiler

-- SPDX-License-Identifier: MIT
-- Tests and comparisons, which branch. An instruction of Lua's skips the jump behind it unless its result is `k`.
local Compiler = require("bpf.program.compiler")
local values = require("bpf.program.values")

local describe, is_nil = values.describe, values.is_nil

-- The pcs where a true condition leads to, and a false one.
function Compiler:ways(pc, k)
  local skip, jump = pc + 2, pc + 2 + self.proto.code[pc + 1].sJ
  if k == 1 then
    return jump, skip
  end
  return skip, jump
end

-- Truth ---------------------------------------------------------------------------------------------------------------

-- The register that isn't 0 where a value is true; nil for values that are always true or always false.
local truths = {
  boolean = function(_, v, of_presence) return not of_presence and v.r or nil end,
  optional = function(c, v, of_presence)
    return v.bool and not of_presence and c.f:alu("and", v.present, v.r) or v.present
  end,
  pointer = function(_, v) return v.null and v.r or nil end,
}

-- Whether a value that needs no test is true.
local function always(v)
  return not (v.kind == "constant" and (v.value == nil or v.value == false))
end

function Compiler:fail_mixed(v)
  self:fail("%s is %s", self:whose(v), describe(v))
end

-- Goes on by the truth of a value, with what is known then; `of_presence`: by its being not nil.
function Compiler:test(v, yes_pc, no_pc, of_presence, yes_state, no_state)
  if v.kind == "mixed" then
    self:fail_mixed(v)
  end
  yes_state = yes_state or values.narrowed(self.state, v, true, of_presence)
  no_state = no_state or values.narrowed(self.state, v, false, of_presence)
  local truth = truths[v.kind]
  local r = truth and truth(self, v, of_presence)
  if r then
    return self:branch("ne", r, 0, yes_pc, yes_state, no_pc, no_state)
  end
  local yes = always(v)
  self.state = yes and yes_state or no_state
  self:go(yes and yes_pc or no_pc)
end

-- The value of `not v`.
function Compiler:negate(v)
  if v.kind == "mixed" then
    self:fail_mixed(v)
  end
  local truth = truths[v.kind]
  local r = truth and truth(self, v)
  if not r then
    return values.constant(not always(v))
  elseif v.kind == "pointer" then
    return self:condition("eq", r, 0)
  end
  return { kind = "boolean", r = self.f:alu("xor", r, 1) }
end

-- Equality ------------------------------------------------------------------------------------------------------------

local function is_string(v)
  return v.kind == "pending" or v.kind == "constant" and type(v.value) == "string"
    or (v.kind == "buffer" or v.kind == "pointer") and v.type.kind == "chars"
end

-- Goes to two pcs by what `compile(yes, no)` branches to.
function Compiler:branch_by(yes_pc, no_pc, compile)
  local yes, no = self:edge(values.copy_state(self.state), yes_pc), self:edge(values.copy_state(self.state), no_pc)
  compile(yes, no)
  yes.fill()
  no.fill()
end

local function not_nil(v)
  return values.narrowed({ v }, v, true)[1]
end

-- Goes on with two strings that are there; to `yes` if both are nil, to `no` if one is.
local function strings_there(c, x, y, yes, no)
  local f = c.f
  if x.null then
    local there, none = f:block(), f:block()
    f:branch("ne", x.r, 0, there, none)
    f:start(none)
    if y.null then
      f:branch("eq", y.r, 0, yes, no)
    else
      f:jump(no)
    end
    f:start(there)
  end
  if y.null then
    local there = f:block()
    f:branch("ne", y.r, 0, there, no)
    f:start(there)
  end
  return not_nil(x), not_nil(y)
end

local function equal_strings(c, x, y, yes_pc, no_pc)
  if x.kind == "constant" then
    x, y = y, x
  end
  c:branch_by(yes_pc, no_pc, function(yes, no)
    x, y = strings_there(c, x, y, yes, no)
    if y.kind == "constant" then
      return c:branch_on_literal(x, y.value, yes, no)
    end
    c:branch_on_strings(x, y, yes, no)
  end)
end

-- A number that may be nil is equal to one that isn't if it is there, and the same.
local function equal_optional(c, x, y, yes_pc, no_pc)
  local f = c.f
  local a, b = x.kind == "optional" and x.r or c:scalar(x), y.kind == "optional" and y.r or c:scalar(y)
  c:branch_by(yes_pc, no_pc, function(yes, no)
    local both, there = f:block(), f:block()
    f:branch("eq", x.present or 1, y.present or 1, both, no)
    f:start(both)
    f:branch("ne", x.present or y.present, 0, there, x.present and y.present and yes or no)
    f:start(there)
    f:branch("eq", a, b, yes, no)
  end)
end

local function is_number(v)
  return v.kind == "integer" or v.kind == "optional" and not v.bool
end

local function is_truth(v)
  return v.kind == "boolean" or v.kind == "optional" and v.bool or v.kind == "constant" and type(v.value) == "boolean"
end

local function is_reference(v)
  return v.kind == "pointer"
end

-- Raises where a number is compared with a string, which would be a mistake that nobody sees: they are never equal.
local function check_mistaken(c, x, y)
  if is_number(y) then
    x, y = y, x
  end
  if is_number(x) and is_string(y) then
    local number = y.kind == "constant" and math.tointeger(tonumber(y.value))
    c:fail("%s is %s and never equal to %s%s", c:whose(x), describe(x), describe(y),
      number and ": compare with " .. number or "")
  end
end

-- Raises where one may be nil or false, and the other tells them apart.
local function check_falsy(c, x, y)
  if x.falsy and (is_nil(y) or is_truth(y)) then
    c:fail("this may be nil or false: test it by 'if', or 'not'")
  end
end

-- The integer that a float is equal to, instead of it.
local function integral(v)
  local is_float = v.kind == "constant" and math.type(v.value) == "float"
  return is_float and math.tointeger(v.value) and values.constant(math.tointeger(v.value)) or v
end

-- x == y
function Compiler:equal(x, y, yes_pc, no_pc)
  x, y = integral(x), integral(y)
  check_falsy(self, x, y)
  check_falsy(self, y, x)
  if is_nil(x) then
    x, y = y, x
  end
  if x.kind == "mixed" or y.kind == "mixed" then
    self:fail_mixed(x.kind == "mixed" and x or y)
  elseif x.kind == "constant" and y.kind == "constant" then
    return self:go(rawequal(x.value, y.value) and yes_pc or no_pc)
  elseif is_nil(y) then
    return self:test(x, no_pc, yes_pc, true)
  elseif is_string(x) and is_string(y) then
    return equal_strings(self, x, y, yes_pc, no_pc)
  end
  local comparable = is_number(x) and is_number(y) or is_truth(x) and is_truth(y) or is_reference(x) and is_reference(y)
  if not comparable then -- of different types, as in Lua
    check_mistaken(self, x, y)
    return self:go(no_pc)
  elseif x.kind == "optional" or y.kind == "optional" then
    return equal_optional(self, x, y, yes_pc, no_pc)
  end
  local state = values.copy_state
  self:branch("eq", self:scalar(x), self:scalar(y), yes_pc, state(self.state), no_pc, state(self.state))
end

-- Order ---------------------------------------------------------------------------------------------------------------

-- x < y and the like
function Compiler:compare(cc, x, y, yes_pc, no_pc)
  local a, b = self:integer(x, "comparison"), self:integer(y, "comparison")
  local state = values.copy_state
  self:branch(cc, a, b, yes_pc, state(self.state), no_pc, state(self.state))
end

return Compiler

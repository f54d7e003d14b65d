-- SPDX-License-Identifier: MIT
-- Numbers, comparisons and truth in BPF programs written in Lua: what a function does as Lua it does in the kernel.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"
local worlds = require "spec.support.worlds"

local map, same = bpf.map, worlds.same

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

-- Constants on either side of an operator.
local CONSTANTS <const> = {
  "0", "1", "-1", "7", "-7", "8", "-8", "63", "64", "-64", "100", "-100", "1000000007", "0x7fffffff", "0x80000000",
  "0x100000000", "-0x100000000", "math.maxinteger", "math.mininteger",
}

local function longs(entries)
  return assert(map.create { type = "array", key = "__u32", value = "long", max_entries = entries })
end

-- Calls fn(map) with a map that is closed behind it.
local function with(m, fn)
  local ok, message = pcall(fn, m)
  map.close(m)
  if not ok then
    error(message, 0)
  end
end

-- Checks an operator between a parameter and each constant, on both sides.
local function with_constants(operator, is_left, is_right)
  local out = longs(2 * #CONSTANTS)
  local lines = {}
  for n, constant in ipairs(CONSTANTS) do
    if is_right(constant) then
      lines[#lines + 1] = ("out[%d] = a %s (%s)"):format(n - 1, operator, constant)
    end
    if is_left(constant) then
      lines[#lines + 1] = ("if a ~= 0 then out[%d] = (%s) %s a end"):format(#CONSTANTS + n - 1, constant, operator)
    end
  end
  local text = "local out = ... return function(a)\n" .. table.concat(lines, "\n") .. "\nend"
  with(out, function() same(assert(load(text, "=operator"))(out), { maps = { out } }) end)
end

local function any() return true end
local function not_zero(constant) return constant ~= "0" end

-- A function of two parameters out of an expression with a and b.
local function of_two(expression)
  return assert(load(("return function(a, b) return %s end"):format(expression), "=expression"))()
end

describe("a number in a program", function()
  for _, operator in ipairs { "+", "-", "*", "&", "|", "~", "<<", ">>" } do
    it(("has '%s' of two variables"):format(operator), function() same(of_two("a " .. operator .. " b")) end)

    it(("has '%s' of a variable and a constant, on both sides"):format(operator), function()
      with_constants(operator, any, any)
    end)
  end

  for _, operator in ipairs { "//", "%" } do
    it(("has '%s' with every sign, which rounds down, and ends the program for 0"):format(operator), function()
      same(of_two("a " .. operator .. " b"), { ends = true })
    end)

    it(("has '%s' of a variable and a constant, on both sides"):format(operator), function()
      with_constants(operator, any, not_zero)
    end)

    it(("has '%s' of numbers that are known not to be negative"):format(operator), function()
      same(of_two(("(a & 0xffff) %s (b & 0xff)"):format(operator)), { ends = true })
      same(of_two(("(a >> 1) %s (b >> 1 | 1)"):format(operator)))
      same(of_two(("(a >> 1) %s 7 + (b & 1023) %s 16 + (a & 7) %s 1000"):format(operator, operator, operator)))
      same(of_two(("(a & 1023) %s (b | 1)"):format(operator)))
      same(of_two(("a %s (b & 1023 | 1)"):format(operator)))
    end)
  end

  it("has '-' and '~' of one operand", function()
    same(function(a) return -a, ~a, - -a end, { several = true })
    same(function(a) return -a end)
    same(function(a) return ~a end)
  end)

  it("wraps around", function()
    same(function() return math.maxinteger + 1 end)
    same(function(a) return a * a * a + math.maxinteger end)
  end)

  it("is the same through long expressions", function()
    same(function(a, b) return (a + b) * (a - b) ~ (a | b) - (a & b) + ((a << 3) ~ (b >> 5)) * 7 - (a ~ ~b) end)
    same(function(a, b)
      return ((((a + 1) * (b + 2)) + ((a + 3) * (b + 4))) ~ (((a + 5) * (b + 6)) + ((a + 7) * (b + 8))))
        - ((((a + 9) * (b + 10)) ~ ((a + 11) * (b + 12))) | (((a + 13) * (b + 14)) ~ ((a + 15) * (b + 16))))
    end)
  end)

  it("may be a constant out of the script", function()
    local big, small <const>, negative = 0x123456789abcdef0, 3, -9
    same(function(a) return a + big - small * negative end)
  end)

  it("shifts by what a variable holds, below 0 and above 63 too", function()
    local inputs = {}
    for n = -70, 70, 5 do
      inputs[#inputs + 1] = { -0x123456789abcdef, n }
    end
    same(function(a, n) return a << n, a >> n, 1 << n end, { inputs = inputs, several = true })
    same(function(a, n) return a << n end, { inputs = inputs })
    same(function(a, n) return a >> n end, { inputs = inputs })
  end)

  it("has math.min, max, abs and ult", function()
    same(function(a, b) return math.min(a, b), math.max(a, b), math.abs(a) end, { several = true })
    same(function(a, b) return math.min(a, b, 5, -a), math.max(a, 3, b), math.max(a) end, { several = true })
    same(function(a, b) return math.ult(a, b), math.ult(a, 100), math.ult(-2, b) end, { several = true })
    same(function() return math.min(3, -4), math.max(3, -4), math.abs(-4) end, { several = true })
    same(function(a) return math.min(math.max(a, 0), 255) // 16 end)
  end)

  it("changes the order of its bytes as in the script", function()
    same(function(a) return bpf.ntohs(a), bpf.ntohl(a), bpf.be64(a) end, { several = true })
    same(function(a) return bpf.htons(a), bpf.htonl(a & 0xffff), bpf.htons(0x1234) end, { several = true })
  end)
end)

describe("a comparison in a program", function()
  for _, operator in ipairs { "<", "<=", ">", ">=", "==", "~=" } do
    it(("has '%s' of two variables, as a value and as a condition"):format(operator), function()
      same(of_two("a " .. operator .. " b"))
      same(of_two(("a %s b and 3 or 4"):format(operator)))
      same(assert(load(("return function(a, b) if a %s b then return b end return 9 end"):format(operator)))())
    end)

    it(("has '%s' of a variable and a constant, on both sides"):format(operator), function()
      local lines = {}
      for n, constant in ipairs(CONSTANTS) do
        lines[n] = ("if a %s (%s) then r = r | 1 << %d end if (%s) %s a then r = r | 1 << %d end"):format(operator,
          constant, n - 1, constant, operator, 30 + n)
      end
      local text = "return function(a) local r = 0\n" .. table.concat(lines, "\n") .. "\nreturn r end"
      same(assert(load(text, "=comparison"))())
    end)
  end

  it("of two constants is decided when the program is made", function()
    local mode = "fast"
    same(function(a)
      if mode == "fast" then
        return a + 1
      end
      return a / 2 -- which isn't compiled
    end)
    same(function(a) return 1 < 2 and a or -a end)
  end)

  it("with a float is true for the integer that it is", function()
    same(function(a) return a == 2.0, a ~= 7.0, a == 2.5 end, { several = true })
    same(function(a) return a == -0x1p63, a == 0x1p63, 7 == 7.0 end, { several = true })
  end)

  it("of different types is false", function()
    same(function(a) return a == true, a ~= nil, nil == false end, { several = true })
    same(function(a) return (a > 0) == 1, (a > 0) == "x" end, { several = true })
  end)
end)

describe("truth in a program", function()
  it("is Lua's: only nil and false aren't true", function()
    same(function(a) return a and 1 or 2 end)
    same(function() return 0 and 1 or 2, "" and 1 or 2, nil and 1 or 2 end, { several = true })
    same(function(a) return not a, not not a, not nil end, { several = true })
    same(function(a, b) return not (a > 3 and a < 100), not (a == b or a < b), not (a < 3 or b > 100) end,
      { several = true })
  end)

  it("has 'and' and 'or' of conditions", function()
    same(function(a, b) return (a > 0 and b > 0) or (a < -1 and b ~= 7) end)
    same(function(a, b)
      if (a > 0 or b > 0) and a ~= b and (a ~= 7 or b < 0) then
        return 1
      elseif a == b and (a < 0 or b > 64) then
        return 2
      end
      return 3
    end)
  end)

  it("gives the operand that decided", function()
    same(function(a, b) return a > 5 and b or a end)
    same(function(a, b) return (a > 0 and a) or (b > 0 and b) or -1 end)
  end)

  it("tells false from nil", function()
    same(function(a, b)
      local v
      if a > 0 then
        v = b > 0
      end
      return v == nil, v == false, v
    end, { several = true })
    same(function(a)
      local positive = a > 0
      return positive == nil, positive ~= nil, positive == false
    end, { several = true })
  end)

  it("knows a number that may be nil", function()
    same(function(a, b)
      local v
      if a > 0 then
        v = b
      end
      if v then
        return v + 1, v == 7, v ~= nil
      end
      return v, v == 7, v == nil
    end, { several = true })
    same(function(a, b)
      local v, w
      if a > 0 then
        v = b
      end
      if b > 0 then
        w = a
      end
      return v == w, v ~= w, (v or 5) + (w or 6)
    end, { several = true })
  end)
end)

-- SPDX-License-Identifier: MIT
-- Variables, functions, errors and results in BPF programs written in Lua: what a function does as Lua it does in the
-- kernel.
local kernel = require "spec.support.kernel"
local worlds = require "spec.support.worlds"

local same = worlds.same
local assert_in_lua = _G.assert -- the specs' own isn't Lua's

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

describe("variables in a program", function()
  it("are assigned at once", function()
    same(function(a, b)
      local x, y, z = a, b, a ~ b
      x, y = y, x
      x, y, z = z, x, y
      local function only(v) return v end
      local p, q = only(x + y)
      x, y = y + 1, x + 2
      return x * 3 + y * 5 + z * 7 + p, q, y
    end, { several = true })
  end)

  it("may be shadowed, and forgotten in a block", function()
    same(function(a)
      local x = a
      do
        local x = x + 1 -- luacheck: ignore
        if x > 10 then
          local a = 3 -- luacheck: ignore
          x = x * a
        end
        a = a + x
      end
      local x = x + 5 -- luacheck: ignore
      return x + a
    end)
  end)

  it("may be constants of Lua's", function()
    same(function(a)
      local SHIFT <const>, name <const> = 3, "x"
      return (a << SHIFT) + (name == "x" and 1 or 2)
    end)
  end)

  it("are many at once", function()
    local names, sums = {}, {}
    for n = 1, 60 do
      names[n] = ("local v%d = a * %d ~ b"):format(n, n)
      sums[n] = ("v%d"):format(n)
    end
    same(assert(load(("return function(a, b) %s return %s end"):format(table.concat(names, " "),
      table.concat(sums, " + "))))())
  end)
end)

describe("a function called in a program", function()
  it("has parameters and results", function()
    local function f(a, b) return a * 2 + b end
    same(function(a, b) return f(a, b) - f(b, a) * f(f(a, 1), f(2, b)) end)
  end)

  it("gets nil for what is left out, and drops what is too much", function()
    local function f(a, b, c) return a, b == nil, c end
    local function g(a) return a end
    same(function(a, b) return f(a) end, { several = true }) -- luacheck: ignore b
    same(function(a, b) return f(a, b, b) end, { several = true })
    same(function(a, b) return g(a, b) + g(b, a, 3) end)
  end)

  it("returns several values, which are cut and filled up", function()
    local function f(a, b) return a + b, a - b end
    same(function(a, b)
      local x, y, z = f(a, b)
      return x, y, z
    end, { several = true })
    same(function(a, b) return (f(a, b)), f(b, a) end, { several = true })
    same(function(a, b) return f(f(a, b)) end, { several = true })
    same(function(a, b)
      local x = f(a, b)
      return x, f(b, a) == x
    end, { several = true })
    same(function(a, b) return math.max(f(a, b)) end)
  end)

  it("returns early, from within conditions and loops", function()
    local function sign(a)
      if a < 0 then
        return -1
      elseif a == 0 then
        return 0
      end
      return 1
    end
    local function log2(a)
      for i = 62, 0, -1 do
        if a >> i & 1 == 1 then
          return i
        end
      end
      return -1
    end
    same(function(a, b) return sign(a) * 10 + sign(b) + log2(a) * log2(b) end)
  end)

  it("returns values of different kinds on different paths", function()
    local function f(a)
      if a > 0 then
        return a
      elseif a == 0 then
        return nil
      end
    end
    local function g(a)
      if a > 5 then
        return true
      elseif a > 0 then
        return false
      end
      return nil
    end
    same(function(a, b) return (f(a) or -1) + (f(b) or -2), f(a) == nil, f(a) == f(b) end, { several = true })
    same(function(a, b) return g(a), g(a) == g(b), g(a) and g(b) end, { several = true })
  end)

  it("may return nothing", function()
    local function f() end
    same(function(a) f(a) return f() == nil and a or 0, (f()) end, { several = true })
  end)

  it("keeps constants of its making", function()
    local function adder(n) return function(a) return a + n end end
    local add_five, add_nine = adder(5), adder(9)
    same(function(a) return add_five(a) * add_nine(a) end)
    same(function(a, b)
      local function twice(x) return x * 2 end
      local offset = b
      local function shifted(x) return twice(x) + offset end
      return shifted(a) + shifted(b)
    end)
  end)

  it("keeps what a variable has been assigned before", function()
    same(function(a, b)
      local x = a
      if b > 0 then
        x = b
      end
      for i = 1, 3 do
        x = x * i
      end
      local function f(y) return x + y end
      return f(a) * f(b)
    end)
  end)

  it("tests what it captured", function()
    same(function(a, b)
      local x
      if a > 0 then
        x = b
      end
      local function f(y)
        if x and x > y then
          return x + y
        elseif not x then
          return -1
        end
        return x and x - y or 0
      end
      return f(1) + f(a)
    end)
  end)

  it("keeps what it captured in loops that the kernel runs", function()
    kernel.need("bpf_loop", "5.17")
    local inputs = { { 0, 0 }, { 3, 5000 }, { 7, 9 }, { -1, 4 } }
    same(function(a, b)
      local c = a * b
      local function inner(x) return x + c end
      local function outer(x) return inner(x) * a end
      local t = { n = 0, f = function(x) return x ~ c end }
      for i = a, b do
        t.n = t.n + outer(i)
        t.n = t.f(t.n)
      end
      return t.n + outer(1)
    end, { inputs = inputs })
    local function sum(f, n)
      local s = 0
      for i = 1, n do
        for j = 1, n do
          s = s + f(i, j)
          if j > 5 then
            break
          end
        end
        if i > 5 then
          break
        end
      end
      return s
    end
    same(function(a, b)
      return sum(function(i, j) return i * a + j end, b) - sum(function(i) return i - b end, a)
    end, { inputs = inputs })
  end)

  it("is an argument of another one", function()
    local function apply(f, a, b) return f(a, b) end
    same(function(a, b)
      return apply(function(x, y) return x - y end, a, b) + apply(math.max, a, b)
    end)
  end)

  it("is a member of a table, and of a module", function()
    local module = { inner = { f = function(a) return a + 4 end, N = 12 }, g = math.abs }
    same(function(a) return module.inner.f(a) * module.inner.N + module.g(a) end)
  end)

  it("is a tail call", function()
    local function f(a) return a + 1, a end
    local function g(a) return f(a * 2) end
    same(function(a) return g(a) end, { several = true })
    same(function(a) return math.abs(a) end)
  end)

  it("may be nested eight deep", function()
    local f = function(a) return a + 1 end
    for n = 1, 6 do
      local inner = f
      f = function(a) return inner(a * n) + inner(a) end
    end
    same(function(a) return f(a) end)
  end)
end)

describe("an error in a program", function()
  it("ends it, raised by assert and error", function()
    local function check(a) return assert_in_lua(a > 0) end
    same(function(a, b)
      assert_in_lua(b ~= 7, "b is 7")
      if check(a) then
        return a + 1
      end
      error "never"
    end, { ends = true })
    same(function(a)
      if a < 0 then
        error("negative")
      end
      return a
    end, { ends = true })
  end)

  it("lets assert return its argument, which isn't nil any more", function()
    same(function(a, b)
      local v
      if a > 0 then
        v = b
      end
      return assert_in_lua(v) + 1
    end, { ends = true })
  end)

  it("ends it within functions that are put in place", function()
    local function divide(a, b) return a // b, a % b end
    same(function(a, b)
      local q, r = divide(a, b)
      return q * b + r
    end, { ends = true })
  end)
end)

describe("the result of a program", function()
  it("is an integer, a boolean as 1 and 0, nothing as 0", function()
    local function returns(expected, f, ...) assert.equal(expected, worlds.program(f, ...)) end
    returns(7, function() return 7 end)
    returns(0xffffffff, function() return -1 end)
    returns(12, function(a) return a end, 12)
    returns(1, function() return true end)
    returns(0, function() return false end)
    returns(1, function(a) return a > 3 end, 4)
    returns(0, function(a) return a > 3 end, 3)
    returns(0, function() return nil end)
    returns(0, function() end)
    returns(0, function(a) error("x") return a end, 5)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Loops in BPF programs written in Lua: what a function does as Lua it does in the kernel.
local kernel = require "spec.support.kernel"
local worlds = require "spec.support.worlds"

local same = worlds.same

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

-- Skips where a loop with an unknown number of rounds is unknown.
local function need_loops()
  kernel.need("bpf_loop", "5.17")
end

describe("'for' with numbers in a program", function()
  it("counts up, down and by steps", function()
    same(function(a)
      local r = a
      for i = 1, 10 do
        r = r * 3 + i
      end
      for i = 10, -3, -1 do
        r = r ~ i * 5
      end
      for i = -20, 20, 7 do
        r = r - i
      end
      for i = 20, -20, -7 do
        r = r * 2 + i
      end
      return r
    end)
  end)

  it("may have no round", function()
    same(function(a)
      local r = a
      for i = 1, 0 do
        r = r + i
      end
      for i = 0, 1, -1 do
        r = r + i + 100
      end
      return r
    end)
  end)

  it("ends at the largest and the smallest integer", function()
    same(function()
      local r = 0
      for i = math.maxinteger - 2, math.maxinteger do
        r = r + (i & 15)
      end
      for i = math.mininteger + 5, math.mininteger, -2 do
        r = r * 100 + (i & 15)
      end
      for i = math.maxinteger - 1, math.maxinteger, 5 do
        r = r * 10 + (i & 7)
      end
      return r
    end)
  end)

  it("has a limit that math.min bounds", function()
    local inputs = {}
    for n = -2, 12 do
      inputs[#inputs + 1] = { n }
    end
    same(function(n)
      local r = 0
      for i = 1, math.min(n, 10) do
        r = r * 3 + i
      end
      return r
    end, { inputs = inputs })
    same(function(n)
      local r = 0
      for i = 0, math.min(n, 9), 4 do
        r = r * 3 + i
      end
      return r
    end, { inputs = inputs })
  end)

  it("has a limit that the verifier alone knows of", function()
    need_loops()
    same(function(n)
      local r = 0
      for i = 1, n & 7 do
        r = r * 3 + i
      end
      return r
    end, { inputs = { { -2 }, { 0 }, { 1 }, { 7 }, { 12 } } })
  end)

  it("keeps its variable where the body changes it", function()
    local text = "return function() local r = 0 for i = 1, 5 do local j = i j = j * 2 r = r + j + i end return r end"
    same(assert(load(text))())
  end)

  it("may be left by break, goto and return", function()
    same(function(a)
      local r = 0
      for i = 1, 20 do
        if i > a then
          break
        end
        r = r + i
      end
      return r
    end)
    same(function(a)
      for i = 1, 100 do
        if i * i >= a then
          return i
        end
      end
      return -1
    end)
    same(function(a)
      local r = 0
      for i = 1, 10 do
        for j = 1, 10 do
          if i * j == a then
            goto found
          elseif (i + j) % 3 == 0 then
            goto continue
          end
          r = r + i * j
          ::continue::
        end
      end
      r = -r
      ::found::
      return r
    end)
  end)

  it("nests, with limits of the outer one", function()
    kernel.need("bpf_loop", "5.17")
    same(function(a)
      local r = a
      for i = 1, 5 do
        for j = i, 6 do
          for k = 1, 2 do
            r = (r ~ (i * 100 + j * 10 + k)) * 3
          end
        end
      end
      return r
    end)
  end)
end)

describe("'for' with an unknown number of rounds in a program", function()
  local inputs = {}
  for _, a in ipairs { -3, 0, 1, 2, 10, 1000 } do
    for _, b in ipairs { -5, 0, 3, 999, 5000 } do
      inputs[#inputs + 1] = { a, b }
    end
  end

  it("counts from any number to any other", function()
    need_loops()
    same(function(a, b)
      local r = 0
      for i = a, b do
        r = r * 3 + i
      end
      return r
    end, { inputs = inputs })
  end)

  it("counts down and by steps", function()
    need_loops()
    same(function(a, b)
      local r = 0
      for i = b, a, -1 do
        r = r * 3 + i
      end
      for i = a, b, 7 do
        r = r ~ i
      end
      for i = b, a, -13 do
        r = r + i
      end
      return r
    end, { inputs = inputs })
  end)

  it("has many rounds", function()
    need_loops()
    same(function()
      local r = 0
      for i = 1, 100000 do
        r = r + i % 7
      end
      return r
    end)
  end)

  it("ends at the largest and the smallest integer", function()
    need_loops()
    local edges = {
      { math.maxinteger - 3, math.maxinteger }, { math.maxinteger, math.maxinteger },
      { math.mininteger, math.mininteger + 3 }, { math.maxinteger, math.mininteger },
    }
    same(function(a, b)
      local r = 0
      for i = a, b do
        r = r * 10 + (i & 7)
      end
      for i = b, a, -2 do
        r = r * 10 + (i & 7)
      end
      return r
    end, { inputs = { edges[1], edges[2], edges[3] } })
    same(function(a, b)
      local r = 0
      for i = a, b do
        r = r + i
      end
      return r
    end, { inputs = edges })
  end)

  it("may be left by break, goto and return", function()
    need_loops()
    same(function(a, b)
      local r = 0
      for i = 1, b do
        if i > a then
          break
        end
        r = r + i
      end
      return r
    end, { inputs = inputs })
    same(function(a, b)
      for i = 1, b do
        if i * i > a then
          return i
        end
      end
      return -1
    end, { inputs = inputs })
    same(function(a, b)
      local r = 0
      for i = 1, b do
        if i == 20 then
          goto far
        elseif i == a then
          goto near
        elseif i % 2 == 0 then
          goto continue
        end
        r = r + i
        ::continue::
      end
      r = r * 2
      ::near::
      r = r + 1
      ::far::
      return r
    end, { inputs = inputs })
  end)

  it("carries several variables, of several kinds", function()
    need_loops()
    same(function(a, b)
      local sum, last, found, product = 0, nil, false, 1
      for i = 1, b do
        sum = sum + i
        if i % 3 == a % 3 then
          last, found = i, true
        end
        product = product * i ~ sum
      end
      return sum ~ product, last, found
    end, { inputs = inputs, several = true })
  end)

  it("nests", function()
    need_loops()
    local few = { { 3, 4 }, { 10, 10 }, { 0, 5 }, { 5, 0 }, { -1, -1 } }
    same(function(a, b)
      local r = 0
      for i = 1, a do
        for j = 1, b do
          r = r * 3 + i * j
          if j > i then
            break
          end
        end
        if r > 1 << 40 then
          return r, i
        end
      end
      return r
    end, { inputs = few, several = true })
    same(function(a, b)
      for i = 1, a do
        for j = 1, b do
          if i * j == 12 then
            return i * 100 + j
          end
        end
      end
      return 0
    end, { inputs = few })
  end)

  it("is a part of functions that are put in place", function()
    need_loops()
    local function sum(from, to)
      local r = 0
      for i = from, to do
        if i == 500 then
          return r
        end
        r = r + i
      end
      return r + 1
    end
    same(function(a, b) return sum(a, b) * 3 + sum(b, a) end, { inputs = inputs })
  end)

  it("returns numbers, booleans, nil and several values from functions that are put in place", function()
    need_loops()
    local function find(a, b)
      for i = 1, b do
        if i * i == a then
          return i, true
        elseif i == 1000 then
          return nil, false
        elseif i == 3000 then
          return
        end
      end
      return -1
    end
    same(function(a, b) return find(a, b) end, { inputs = inputs, several = true })
    local function has(a, b)
      for i = 1, b do
        if i == a then
          return true
        end
      end
      return false
    end
    same(function(a, b) return has(a, b), has(b, a), has(a, b) and 1 or 2 end, { inputs = inputs, several = true })
  end)

  it("ends the program by an error within", function()
    need_loops()
    same(function(a, b)
      local r = 1000
      for i = 1, b do
        r = r // (a - i)
      end
      return r
    end, { inputs = inputs, ends = true })
  end)
end)

describe("'while' and 'repeat' in a program", function()
  local small = {}
  for n = -2, 12 do
    small[#small + 1] = { n }
  end

  it("go on as long as the condition says", function()
    same(function()
      local r, i = 0, 0
      while i < 10 do
        i = i + 1
        r = r * 3 + i
      end
      repeat
        local last = i
        i = i - 2
        r = r ~ last
      until last <= 3
      return r
    end)
    same(function(a)
      local r, i = 0, 0
      while i < math.min(a, 10) do
        i = i + 1
        r = r * 3 + i
      end
      return r
    end, { inputs = small })
  end)

  it("may be left by break, goto and return", function()
    same(function(a)
      local i = 0
      while i < 20 do
        i = i + 1
        if i == a then
          break
        elseif i == a + 3 then
          return -i
        elseif i == 11 then
          goto done
        end
      end
      i = i + 100
      ::done::
      return i
    end, { inputs = small })
    same(function(a)
      local i = 0
      repeat
        i = i + 1
        if i == a then
          return i
        end
      until i == 8
      return -1
    end, { inputs = small })
  end)

  it("are made by goto as well", function()
    same(function(a)
      local i, r = 0, 0
      ::again::
      i = i + 1
      r = r + i * a
      if i < 7 then
        goto again
      end
      return r
    end)
  end)

  it("swap variables in their bodies", function()
    same(function(a, b)
      local x, y = a, b
      for _ = 1, 7 do
        x, y = y, x + y
      end
      local i = 0
      while i < 5 do
        x, y, i = y, x, i + 1
      end
      return x, y
    end, { several = true })
  end)
end)

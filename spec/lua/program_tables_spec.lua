-- SPDX-License-Identifier: MIT
-- Tables that BPF programs written in Lua make: what a function does with them as Lua it does in the kernel.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"
local worlds = require "spec.support.worlds"

local map, same = bpf.map, worlds.same

local m, keyed, structs, nested

local function create(key, value)
  return assert(map.create { type = "hash", key = key, value = value, max_entries = 64 })
end

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
  m = create("long", "long")
  keyed = create("struct { long a; int b; char c[6]; }", "long")
  structs = create("long", "struct { long n; char name[16]; }")
  nested = create("__u32", "struct pos { int a; unsigned char b; }; struct cell { long n; struct pos pos; }")
end)

teardown(function()
  for _, each in pairs { m, keyed, structs, nested } do
    map.close(each)
  end
end)

local function fill()
  for i = 1, 6 do
    m[i] = i * i - 9
    structs[i] = { n = i, name = ("abcdef"):sub(1, i) }
  end
end

local INPUTS <const> = { { 0, 0 }, { 3, 5000 }, { 7, 9 }, { 100, 4100 }, { -1, -2 }, { 2, 3 } }

-- Checks a function that uses the maps.
local function same_maps(f)
  same(f, { maps = { m, keyed }, fill = fill, inputs = INPUTS, several = true })
end

describe("a table in a program", function()
  it("is the same one under several names and within others", function()
    same(function(a, b)
      local inner = { z = b }
      local t = { y = inner, q = { y = inner } }
      local u = t
      t.y.z = a
      inner.w = 5
      u.more = 1
      return t.q.y.z, t.q.y.w + u.y.z, t.more
    end, { several = true })
  end)

  it("has constant names, and is gone when the program is made", function()
    same(function(a, b)
      local t = { x = a, y = { z = b, 5, 6 } }
      t.x = t.x + 1
      t.y.w = t.y.z * 2
      return t.x + t.y.z + t.y.w + t.y[1] - t.y[2], t.nothing
    end, { several = true })
  end)

  it("is another one on each path", function()
    same(function(a, b)
      local t = { x = a }
      if a > b then
        t.x = b
        return t.x
      end
      t.x = t.x + 1
      return t.x
    end)
  end)

  it("is gone where another way has none, and its register has a number next", function()
    same(function(a, b)
      if a > b then
        nested[0] = { n = 0, pos = { a = a & 65535, b = 0 } }
      else
        do
          local cell = nested[0]
          if cell then -- luacheck: ignore 542
          end
        end
      end
      nested[0] = { n = (true and a or 0), pos = { a = 0, b = 0 } } -- luacheck: ignore 314
      return b
    end)
  end)

  it("is an argument and a result", function()
    local function make(a, b) return { x = a, y = b } end
    local function sum(t) return t.x + t.y end
    same(function(a, b) return sum(make(a, b)) - sum { x = b, y = 1 } end)
  end)

  it("of the script is constant", function()
    local settings = { limit = 10, names = { "a", "b" }, nested = { on = true } }
    same(function(a) return settings.limit + a, settings.nested.on, #settings.names end, { several = true })
    same(function(a) return settings.names[2] == "b" and a or 0 end)
  end)
end)

describe("a table in a program that is changed", function()
  it("on one path is changed behind it", function()
    same(function(a, b)
      local t = { x = a, z = 1 }
      if a > b then
        t.x = b
        t.y = a
      end
      return t.x, t.y, t.z
    end, { several = true })
    same(function(a, b)
      local t
      if a > b then
        t = { x = 1, y = a }
      else
        t = { y = b, x = 2 }
      end
      return t.x + t.y
    end)
  end)

  it("in a loop is changed behind it, and in the next round", function()
    same(function(a)
      local t = { x = 0, y = { z = 1 }, 5 }
      for i = 1, 5 do
        t.x = t.x + i * a
        t.y.z = t.y.z * 3 + t.x
        t.w = i
        t[1] = t[1] + t.y.z
      end
      while t.x & 0xff < 20 do
        t.x = (t.x & 0xff) * 2 + 1
      end
      return t.x + t[1], t.y.z, t.w
    end, { several = true })
  end)

  it("has members that may be nil, and are tested", function()
    same(function(a, b)
      local t = { y = 1 }
      if a > 0 then
        t.x = b
      end
      if t.x then
        return t.x + 1
      end
      return t.y
    end)
    same_maps(function(a, b)
      local t = { entry = structs[a], n = 5 }
      if b > 3 then
        t.n = 6
      end
      return t.entry and t.entry.n or -1, t.n
    end)
  end)

  it("has strings and booleans", function()
    same_maps(function(a, b)
      local t, v = { name = "abc", on = a > 0 }, structs[3]
      if b > 4000 then
        t.name, t.on = "xyzw", false
      elseif v and b > 3 then
        t.name = v.name
      end
      return t.name == "abc", #t.name, not t.on
    end)
  end)

  it("is another one in another variable on some paths", function()
    same(function(a)
      local t = { x = 1 }
      local u = t
      if a > 3 then
        u = { x = 2 }
      end
      return t.x, u.x
    end, { several = true })
  end)

  it("is a result of several paths", function()
    local function make(x)
      if x > 2 then
        return { x = x, y = 1 }
      end
      return { x = -x, z = 2 }
    end
    local function swap(t) return { x = t.y, y = t.x } end
    same(function(a, b)
      local p, q = make(a), make(b)
      return p.x + q.x, p.y, q.z
    end, { several = true })
    same(function(a, b)
      local p = { x = a, y = b }
      for _ = 1, 3 do
        p = swap(p)
      end
      return p.x, p.y
    end, { several = true })
  end)

  it("is a key, whose members are assigned in a loop", function()
    same_maps(function(a, b)
      local k = { a = a, b = 0, c = "xyz" }
      for i = 1, 3 do
        k.b = i
        keyed[k] = (keyed[k] or 0) + b
      end
    end)
  end)

  it("is used in functions with loops", function()
    local function sum(t)
      local own, s = { n = 0 }, 0
      for i = 1, 3 do
        s = s + t.x * i
        own.n = own.n + s
      end
      return s ~ own.n
    end
    same(function(a, b) return sum { x = a } + sum { x = b } end)
  end)
end)

describe("a table in a loop that the kernel runs", function()
  it("is read and changed in pairs", function()
    kernel.need("bpf_for_each_map_elem", "5.13")
    same_maps(function(a, b)
      local t = { n = 0, sum = a, inner = { last = b } }
      for k, v in pairs(m) do
        t.n = t.n + 1
        t.sum = t.sum + v * t.inner.last
        if k == 3 then
          t.at = v
        end
      end
      return t.n, t.sum, t.at
    end)
    same_maps(function(a)
      local t = { f = function(x) return x + 1 end, n = a }
      for _ in pairs(m) do
        t.n = t.f(t.n)
      end
      return t.n
    end)
  end)

  it("is made in the loop, and used in another", function()
    kernel.need("bpf_for_each_map_elem", "5.13")
    same_maps(function(a)
      local s = 0
      for k, v in pairs(m) do
        local t = { x = v, a = a }
        for i = 1, 3 do
          s = s + t.x * i * k + t.a
        end
      end
      return s
    end)
  end)

  it("is a key that is assigned in the loop", function()
    kernel.need("bpf_for_each_map_elem", "5.13")
    same_maps(function(a)
      local key = { a = a, b = 0, c = "xyz" }
      for k, v in pairs(m) do
        key.b = k
        keyed[key] = (keyed[key] or 0) + v
      end
    end)
  end)

  it("is read and changed in 'for' with an unknown number of rounds", function()
    kernel.need("bpf_loop", "5.17")
    same_maps(function(a, b)
      local t = { x = 0, entry = structs[3] }
      for i = a, b do
        t.x = t.x + i
        if i > 5 then
          t.done = true
          break
        elseif t.entry then
          t.x = t.x ~ t.entry.n
        end
      end
      return t.x, t.done
    end)
  end)

  it("is an argument of a function with such a loop", function()
    kernel.need("bpf_for_each_map_elem", "5.13")
    local function sum(t)
      local s = 0
      for _, v in pairs(m) do
        s = s + t.x * v
      end
      return s
    end
    same_maps(function(a, b) return sum { x = a } + sum { x = b } end)
  end)
end)

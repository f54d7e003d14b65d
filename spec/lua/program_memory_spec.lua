-- SPDX-License-Identifier: MIT
-- Structs, arrays and strings in BPF programs written in Lua. What a function only reads is the same in both worlds; a
-- struct of a map is a copy in Lua and the entry itself in the kernel.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"
local worlds = require "spec.support.worlds"

local map, same = bpf.map, worlds.same

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

-- A hash by numbers of values of a C type.
local function hash(value, key)
  return assert(map.create { type = "hash", key = key or "long", value = value, max_entries = 16 })
end

-- What a function returns in the kernel, as text.
local function check(expected, f, ...)
  assert.equal(expected, worlds.kernel(f, ...))
end

local STRUCT <const> = [[
struct point { int x; int y; };
struct thing {
  long n;
  struct point at;
  struct point way[3];
  short small; signed char tiny; unsigned char flags; _Bool on;
  unsigned int low : 3, middle : 10; int sign : 5; unsigned long wide : 40;
  unsigned short numbers[5];
  char name[12];
  unsigned char mac[6];
};
]]

local function fill_things(m)
  return function()
    m[1] = {
      n = -5, at = { x = 1, y = -2 }, way = { { x = 3, y = 4 }, { x = -5, y = 6 }, { x = 7, y = 8 } }, small = -300,
      tiny = -128, flags = 200, on = true, low = 5, middle = 1000, sign = -9, wide = 1 << 39 | 5,
      numbers = { 10, 20, 65535, 40, 50 }, name = "somebody", mac = "\0\1\2\3\254\255",
    }
    m[2] = { n = 1 << 62, name = "twelve bytes" }
  end
end

local ONE = { { 1 }, { 2 }, { 3 } }

-- Checks a function that only reads m[a], or that writes whole values.
local function same_things(f, inputs)
  local m <close> = hash(STRUCT)
  same(f(m), { maps = { m }, fill = fill_things(m), several = true, inputs = inputs or ONE })
end

describe("a struct in a program", function()
  it("has members of every kind", function()
    same_things(function(m)
      return function(a)
        local v = m[a]
        if v then
          return v.n, v.small * 1000 + v.tiny, v.flags
        end
      end
    end)
    same_things(function(m)
      return function(a)
        local v = m[a]
        if v then
          return v.at.x * 100 + v.at.y, v.on, v.on and 1 or 2
        end
      end
    end)
  end)

  it("has bit-fields", function()
    same_things(function(m)
      return function(a)
        local v = m[a]
        if v then
          return v.low * 100000 + v.middle, v.sign, v.wide
        end
      end
    end)
  end)

  it("has arrays, at constants and at any index, beyond which is nil", function()
    same_things(function(m)
      return function(a, b)
        local v = m[a]
        if v then
          return v.numbers[b], v.numbers[3], v.way[2].x - v.way[3].y
        end
      end
    end, { { 1, 1 }, { 1, 3 }, { 1, 5 }, { 1, 0 }, { 1, 6 }, { 1, -1 }, { 1, 1 << 40 }, { 2, 2 }, { 3, 1 } })
    same_things(function(m)
      return function(a)
        local v = m[a]
        if v then
          local sum = 0
          for i = 1, #v.numbers do
            sum = sum * 3 + (v.numbers[i] or 0)
          end
          return sum, v.numbers[6], v.numbers[0]
        end
      end
    end)
  end)

  it("is written as a whole by a table, whose other members are 0", function()
    same_things(function(m)
      return function(a, b)
        m[a] = {
          n = b, at = { y = b + 1 }, way = { { x = b }, { y = 7 } }, small = b, tiny = -b, on = b > 2, low = 6,
          sign = -b, wide = b << 30, numbers = { 1, b }, name = "new",
        }
        m[a + 1] = {}
        m[a + 2] = { name = "abcdefghijkl", mac = { 9, b } }
      end
    end, { { 1, 1 }, { 2, 3 }, { 3, 5 } })
  end)

  it("is copied from entry to entry, and by its members", function()
    same_things(function(m)
      return function(a, b)
        local v = m[a]
        if v then
          m[b] = v
          m[b + 1] = { at = v.at, way = v.way, name = v.name, mac = v.mac, numbers = v.numbers }
        end
      end
    end, { { 1, 4 }, { 2, 7 }, { 3, 1 }, { 1, 1 } })
  end)

  it("is the entry itself: what is assigned is in the map", function()
    local m <close> = hash(STRUCT)
    fill_things(m)()
    check("-4, 7, -44", function(a)
      local v = m[a]
      if v then
        v.n = v.n + 1
        v.at.x = 7
        v.way[2].y = -44
        v.small, v.tiny, v.flags, v.on = 1234, -3, 255, false
        v.low, v.middle, v.sign, v.wide = 3, 77, 15, 99
        v.numbers[1], v.numbers[a + 1], v.numbers[a + 5], v.numbers[a - 1] = 11, 22, 33, 44
        v.name = "else"
        v.mac[6], v.mac[a] = 1, 2
        return v.n, v.at.x, v.way[2].y
      end
    end, 1)
    assert.same({
      n = -4, at = { x = 7, y = -2 }, way = { { x = 3, y = 4 }, { x = -5, y = -44 }, { x = 7, y = 8 } }, small = 1234,
      tiny = -3, flags = 255, on = false, low = 3, middle = 77, sign = 15, wide = 99,
      numbers = { 11, 22, 65535, 40, 50 }, name = "else", mac = "\2\1\2\3\254\1",
    }, m[1])
  end)

  it("changes only the bits of a bit-field", function()
    local m <close> = hash("struct { unsigned char a : 3, b : 2, c : 3; unsigned short d : 9, e : 7; }")
    m[1] = { a = 7, b = 3, c = 7, d = 511, e = 127 }
    check("0, 5, 170", function()
      local v = m[1]
      if v then
        v.b, v.c, v.d = 4, 5, 0xfaa
        return v.b, v.c, v.d & 255
      end
    end)
    assert.same({ a = 7, b = 0, c = 5, d = 0x1aa, e = 127 }, m[1])
  end)

  it("is a record in an array, which is there at constants", function()
    local m <close> = assert(map.create { type = "array", key = "__u32", max_entries = 2,
      value = "struct { long n; char name[8]; }" })
    check("1, 2, true", function()
      local v = m[0]
      v.n = v.n + 1
      m[1] = { n = v.n + 1, name = "one" }
      return v.n, m[1].n, m[1].name == "one"
    end)
    assert.same({ n = 1, name = "" }, m[0])
    assert.same({ n = 2, name = "one" }, m[1])
  end)

  it("is an argument, a result and a variable of loops", function()
    local m <close> = hash("struct { long n; long sum; }")
    m[1], m[2] = { n = 3, sum = 0 }, { n = 10, sum = 100 }
    local function get(k) return m[k] end
    local function add(v, n) v.sum = v.sum + n end
    check("6, 110, nil", function(a, b)
      local v, w = get(a), get(b)
      if v and w then
        for i = 1, math.min(v.n, 5) do
          add(v, i)
        end
        add(w, w.n)
        return v.sum, w.sum, get(3) and 1
      end
    end, 1, 2)
  end)

  it("of two paths is the one that was taken", function()
    local m <close> = hash("struct { long n; }")
    m[1], m[2] = { n = 5 }, { n = 6 }
    same(function(a)
      local v = m[1]
      if a > 3 then
        v = m[2]
      end
      if a == 100 then
        v = nil
      end
      return v and v.n or -1
    end, { inputs = { { 1 }, { 4 }, { 100 } } })
  end)

  it("is a union", function()
    local m <close> = hash("union { unsigned int word; unsigned char bytes[4]; }")
    check("84148994, 5, 2", function()
      m[1] = { bytes = { 2, 3, 4, 5 } }
      local v = m[1]
      if v then
        return v.word, v.bytes[4], v.bytes[1]
      end
    end)
  end)
end)

describe("a struct as a key in a program", function()
  it("is equal whatever is in its padding", function()
    local m <close> = hash("long", "struct { char kind; int n; char last; }")
    m[{ kind = 1, n = 5, last = 2 }] = 50
    check("50, 7, nil", function(a)
      m[{ n = a }] = 7
      local k = { kind = 1, n = a, last = 2 }
      return m[k], m[{ n = a, kind = 0, last = 0 }], m[{ kind = 1, n = a }]
    end, 5)
    assert.equal(7, m[{ kind = 0, n = 5, last = 0 }])
  end)

  it("has nested members and arrays", function()
    local m <close> = hash("long", "struct { struct { short a; long b; } in; unsigned short list[3]; char name[5]; }")
    local function fill() m[{ ["in"] = { a = 1, b = 2 }, list = { 1, 2, 3 }, name = "abc" }] = 9 end
    same(function(a, b)
      local k = { ["in"] = { a = a, b = b }, list = { a, b, 3 }, name = "abc" }
      m[k] = (m[k] or 0) + 1
      m[{ list = { [3] = a } }] = b
    end, { maps = { m }, fill = fill, inputs = { { 1, 2 }, { 3, 4 } } })
  end)

  it("is a variable whose members are assigned", function()
    local m <close> = hash("long", "struct { int a; int b; }")
    same(function(a, b)
      local k = { a = a, b = 0 }
      m[k] = 1
      k.b = b
      m[k] = (m[k] or 10) + 1
      if a > b then
        k.a = 100
        m[k] = (m[k] or 20) + 1
      end
    end, { maps = { m }, inputs = { { 1, 2 }, { 3, 0 }, { 0, 0 } } })
  end)

  it("is part of another entry", function()
    local KEY <const> = "struct k { int a; char c; };"
    local m <close> = hash("long", KEY)
    local values <close> = hash(KEY .. "struct { struct k k; }")
    values[1] = { k = { a = 4, c = 120 } }
    check("nil, 40, nil", function()
      local v = values[1]
      if v then
        local before = m[v.k]
        m[v.k] = 40
        return before, m[{ a = 4, c = 120 }], m[{ a = 4 }]
      end
    end)
  end)
end)

describe("a string in a program", function()
  local STRINGS <const> = "struct { char a[16]; char b[5]; char c[8]; }"

  it("is compared with constants up to its NUL", function()
    local m <close> = hash(STRINGS)
    local function fill()
      m[1] = { a = "sixteen bytes it", b = "five", c = "" }
      m[2] = { a = "", b = "fives", c = "eight by" }
      m[3] = { a = "five", b = "five", c = "five" }
    end
    same(function(a)
      local v, r = m[a], 0
      if v then
        r = r | (v.a == "sixteen bytes it" and 1 or 0)
        r = r | (v.a == "" and 2 or 0)
        r = r | (v.b == "five" and 4 or 0)
        r = r | (v.b == "fives" and 8 or 0)
        r = r | (v.c ~= "eight by" and 16 or 0)
        r = r | ("five" == v.a and 32 or 0)
        r = r | (v.b == "fivesx" and 64 or 0)
        r = r | (v.c == "eight by it" and 128 or 0)
        r = r | (v.a == "fiv" and 256 or 0)
      end
      return r
    end, { maps = { m }, fill = fill, inputs = ONE })
    same(function(a)
      local v = m[a]
      if v then
        return v.a == v.b, v.b == v.c, v.c == v.a
      end
    end, { maps = { m }, fill = fill, inputs = ONE, several = true })
  end)

  it("is cut at its NUL before it is compared or a key", function()
    local m <close> = hash("union { char name[16]; unsigned char bytes[16]; }")
    m[1], m[2] = { bytes = "equal\0dirty tail" }, { name = "equal" }
    local counts <close> = hash("long", "char[16]")
    check("true, true, true", function()
      local v, w = m[1], m[2]
      if v and w then
        counts[v.name] = (counts[v.name] or 0) + 1
        counts[w.name] = (counts[w.name] or 0) + 1
        counts.equal = (counts.equal or 0) + 1
        return v.name == w.name, v.name == "equal", w.name == v.name
      end
    end)
    assert.equal(3, counts.equal)
  end)

  it("is a key and a value, by itself", function()
    local m <close> = hash("char[8]", "char[6]")
    same(function()
      m.one = "eins"
      m["two"] = "zwei"
      m.sixsix = "123456"
      local v = m.one
      if v then
        m.copy = v
      end
      m.two = nil
      return m.none == nil, m.one == "eins", m.sixsix == "123456"
    end, { maps = { m }, several = true })
  end)

  it("has bytes, from 1 on", function()
    local m <close> = hash(STRINGS)
    m[1] = { a = "abc" }
    check("97, 0, nil", function(a)
      local v = m[1]
      if v then
        return v.a[a], v.a[4], v.a[17]
      end
    end, 1)
  end)

  it("that is a constant has a length and is compared", function()
    local name = "curl"
    same(function(a) return #name + a, name == "curl", name ~= "wget" end, { several = true })
  end)

  it("of bytes is compared with its NULs, and has the length of its type", function()
    local m <close> = hash("struct { unsigned char mac[6]; unsigned char other[6]; }")
    local function fill()
      m[1] = { mac = "\0\1\2\3\4\5", other = "\0\1\2\3\4\6" }
      m[2] = { mac = "\0\0\0\0\0\0", other = "\0\0\0\0\0\0" }
      m[3] = { mac = "abc\0\0\0", other = "abcdef" }
    end
    same(function(a)
      local v = m[a]
      if v then
        return v.mac == "\0\1\2\3\4\5", v.mac == v.other, #v.mac
      end
    end, { maps = { m }, fill = fill, inputs = ONE, several = true })
    same(function(a)
      local v = m[a]
      if v then
        return v.mac == "abc", v.mac == "abc\0\0\0", v.other ~= "abcdef"
      end
    end, { maps = { m }, fill = fill, inputs = ONE, several = true })
  end)

  it("may be nil, and then equals nothing else", function()
    local m <close> = hash("char[8]")
    same(function(a, b) return m[a] == "one", m[a] == m[b], m[a] ~= m[3] end, {
      maps = { m }, several = true, inputs = { { 1, 2 }, { 2, 1 }, { 1, 1 }, { 4, 1 }, { 1, 4 }, { 4, 5 } },
      fill = function() m[1], m[2], m[3] = "one", "two", "one" end,
    })
  end)

  it("of two paths is the one that was taken", function()
    local m <close> = hash("struct { char a[16]; char b[8]; }")
    local function fill() m[1] = { a = "first", b = "second" } end
    local out <close> = hash("char[16]")
    same(function(a)
      local v = m[1]
      if v then
        local s = v.a
        if a > 1 then
          s = v.b
        end
        out[a] = s
        return s == "second"
      end
    end, { maps = { m, out }, fill = fill, inputs = ONE, several = true })
  end)

  it("is a result of functions and a parameter", function()
    local m <close> = hash("struct { char a[16]; }")
    local function fill() m[1] = { a = "first" } end
    local function name_of(k)
      local v = m[k]
      if v then
        return v.a
      end
    end
    local function is_first(s) return s == "first" end
    same(function(a)
      local s = name_of(a)
      return s == nil, s and is_first(s) and 1 or 2
    end, { maps = { m }, fill = fill, inputs = ONE, several = true })
  end)

  it("that a helper gives fills its destination", function()
    local m <close> = hash("struct { char name[16]; char more[32]; }")
    local names <close> = hash("long", "char[16]")
    check("true, nil, nil", function()
      local name = bpf.helper.get_current_comm()
      m[1] = { name = name, more = bpf.helper.get_current_comm() }
      names[name] = 5
      local v = m[1]
      return v and v.name == name
    end)
    assert.equal(5, names[m[1].name])
    assert.equal(m[1].name, m[1].more)
  end)
end)

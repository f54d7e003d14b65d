-- SPDX-License-Identifier: MIT
-- Maps in BPF programs written in Lua: what a function does as Lua it does in the kernel, and leaves in the maps.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"
local worlds = require "spec.support.worlds"

local map, same = bpf.map, worlds.same

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

local function create(type, options)
  local description = { type = type, key = "long", value = "long", max_entries = 16 }
  for name, value in pairs(options or {}) do
    description[name] = value or nil
  end
  return assert(map.create(description))
end

local function array(options)
  local m = { key = "__u32" }
  for name, value in pairs(options or {}) do
    m[name] = value
  end
  return create("array", m)
end

-- What a function returns in the kernel, as text.
local function check(expected, f, ...)
  assert.equal(expected, worlds.kernel(f, ...))
end

local small = {}
for a = -1, 3 do
  for b = 0, 3 do
    small[#small + 1] = { a, b }
  end
end

describe("a hash in a program", function()
  for _, type in ipairs { "hash", "lru_hash" } do
    it(("of type %s is looked up, assigned and deleted from"):format(type), function()
      local m <close> = create(type)
      local function fill()
        m[0], m[2] = 5, -7
      end
      local options = { maps = { m }, fill = fill, inputs = small }
      same(function(a) return m[a], m[2] end, { maps = { m }, fill = fill, inputs = small, several = true })
      same(function(a) return m[a] == nil and 1 or 2 end, options)
      same(function(a, b)
        m[a] = b
        m[b + 1] = a * 3
        return m[a] or -1
      end, options)
      same(function(a, b)
        m[a] = nil
        return m[b] or -1
      end, options)
      same(function(a, b)
        m[a] = (m[a] or 0) + 1
        m[a + b] = (m[a + b] or 10) - b
        m[b] = (m[b] or 0) + (m[a] or 0)
      end, options)
    end)
  end

  it("gives what it has behind a change, and copies what was looked up before", function()
    local m <close> = create("hash")
    same(function(a, b)
      m[a] = 1
      local before = m[a]
      m[a] = b + 10
      local after = m[a]
      m[a] = nil
      return before, after, m[a]
    end, { maps = { m }, inputs = small, several = true })
    same(function(a, b)
      m[a] = (m[a] or 0) + 1
      m[b] = nil
      m[a] = (m[a] or 0) + 1
      m[a] = (m[b] or 0) + 1
    end, { maps = { m }, inputs = small, fill = function() m[1] = 50 end })
  end)

  it("is written as its look-up said, whatever happened to the key's variable between", function()
    local m <close> = create("hash")
    same(function(a, b)
      local k = a
      local v = m[k] or 0
      k = b
      m[k] = v + 1
      k = k + 1
      m[k] = (m[a] or 0) + 100
    end, { maps = { m }, inputs = small, fill = function() m[1], m[2] = 50, 60 end })
    same(function(a, b)
      local v = m[a]
      m[a] = nil
      m[a] = (v or 0) + b
    end, { maps = { m }, inputs = small, fill = function() m[1], m[2] = 50, 60 end })
  end)

  it("is a condition", function()
    local m <close> = create("hash")
    local options = { maps = { m }, inputs = small, fill = function() m[0], m[1] = 0, 1 end }
    same(function(a, b)
      if m[a] then
        return 1
      elseif not m[b] then
        return 2
      end
      return 3
    end, options)
    same(function(a, b) return m[a] and m[b] and 1 or 2 end, options)
    same(function(a, b) return m[a] == m[b], m[a] == 0, m[a] ~= 1 end, { maps = { m }, inputs = small,
      fill = options.fill, several = true })
    same(function(a, b)
      local v = m[a] or m[b]
      if v == nil then
        return -1
      end
      return v
    end, options)
  end)

  it("is looked up in loops", function()
    kernel.need("bpf_loop", "5.17")
    local m <close> = create("hash")
    same(function(a, b)
      local r = 0
      for i = a, a + 3 do
        m[i] = (m[i] or 0) + b
        r = r + (m[i + 1] or 100)
      end
      return r
    end, { maps = { m }, inputs = { { 0, 1 }, { -1, 5 } }, fill = function() m[1], m[2] = 50, 60 end })
  end)

  it("has bpf.map.lookup, update and delete, with flags", function()
    local m <close> = create("hash")
    local options = { maps = { m }, inputs = small, fill = function() m[1], m[2] = 50, 60 end }
    same(function(a, b)
      return (map.lookup(m, a) or -1) * 1000 + (map.lookup(m, b) or -1)
    end, options)
    same(function(a, b)
      local r = map.update(m, a, b) and 1 or 0
      r = r | (map.update(m, a + b, 7, "noexist") and 2 or 0)
      r = r | (map.update(m, b, 8, "exist") and 4 or 0)
      r = r | (map.update(m, b, 9, "any") and 8 or 0)
      return r
    end, options)
    same(function(a, b)
      return (map.delete(m, a) and 1 or 0) + (map.delete(m, b) and 2 or 0)
    end, options)
  end)

  it("that is full takes no more", function()
    local m <close> = create("hash", { max_entries = 2 })
    local function fill() m[1], m[2] = 1, 2 end
    same(function(a) return map.update(m, a, 5) and 1 or 2 end,
      { maps = { m }, fill = fill, inputs = { { 1 }, { 3 } } })
  end)

  it("has keys and values of every size", function()
    for _, size in ipairs { 8, 16, 32 } do
      for _, sign in ipairs { "s", "u" } do
        local name = ("__%s%d"):format(sign, size)
        local m <close> = create("hash", { key = name, value = name })
        local edges = sign == "u" and { 0, 1, 1 << size - 1, (1 << size) - 1 }
          or { 0, 1, -1, -(1 << size - 1), (1 << size - 1) - 1 }
        local inputs = {}
        for n, edge in ipairs(edges) do
          inputs[n] = { edge }
        end
        same(function(a)
          m[a] = a
          return (m[a] or 77) + 1
        end, { maps = { m }, inputs = inputs })
      end
    end
  end)

  it("has booleans as values, of which false isn't nil", function()
    local m <close> = create("hash", { value = "_Bool" })
    same(function(a, b)
      m[b] = a > 0
      local v = m[a]
      return v, v == nil, v == false
    end, { maps = { m }, inputs = small, fill = function() m[1], m[2] = true, false end, several = true })
    same(function(a) return m[a] and 1 or 2 end, { maps = { m }, inputs = small, fill = function() m[1] = true end })
  end)
end)

describe("an array in a program", function()
  it("is looked up at constants, and at any index", function()
    local m <close> = array()
    local function fill()
      for i = 0, 15 do
        m[i] = i * i - 20
      end
    end
    local options = { maps = { m }, fill = fill, inputs = { { 0 }, { 1 }, { 15 } } }
    same(function(a) return m[0] + m[15] * (m[a] or 3) end, options)
    same(function(a)
      m[3] = m[3] + 1
      m[a] = (m[a] or 0) + 5
      m[4] = m[a] or -1
      return m[3]
    end, options)
    check("nil, nil, nil", function(a) return m[a], m[16], m[-1] end, 16)
    check("nil, nil, nil", function(a) return m[a], m[a + 100] end, -1)
  end)

  it("counts what many rounds add", function()
    local m <close> = array()
    same(function()
      for i = 0, 100 do
        m[i & 15] = (m[i & 15] or 0) + i
      end
      for _ = 1, 100 do
        m[0] = m[0] + 1
      end
    end, { maps = { m } })
  end)
end)

describe("a map of each CPU's in a program", function()
  it("is this CPU's", function()
    for _, type in ipairs { "percpu_array", "percpu_hash", "lru_percpu_hash" } do
      local m <close> = create(type, { key = "__u32" })
      check("nil, nil, nil", function(a, b)
        m[a] = (m[a] or 0) + 5
        m[a] = (m[a] or 0) + b
      end, 3, 7)
      assert.equal(12, map.sum(m, 3))
    end
  end)
end)

describe("an LPM trie in a program", function()
  it("finds the longest prefix", function()
    local Key = "struct key { __u32 prefixlen; unsigned char data[4]; }"
    local m <close> = create("lpm_trie", { key = Key })
    m["10.0.0.0/8"], m["10.1.0.0/16"] = 8, 16
    local function find(b)
      return m[{ prefixlen = 32, data = { 10, b, 2, 3 } }]
    end
    check("16, 8, nil", function(b) return find(b), find(2), m[{ prefixlen = 32, data = { 11 } }] end, 1)
    check("nil, nil, nil", function(b)
      m[{ prefixlen = 24, data = { 10, b, 1 } }] = 24
      m[{ prefixlen = 8, data = { 10 } }] = nil
    end, 5)
    assert.equal(24, m["10.5.1.0/24"])
    assert.is_nil(m["10.0.0.0/8"])
  end)
end)

describe("a queue or a stack in a program", function()
  for _, type in ipairs { "queue", "stack" } do
    it(("pushes, pops and peeks integers (%s)"):format(type), function()
      local m <close> = create(type, { key = false, max_entries = 3 })
      local function fill()
        repeat until not map.pop(m)
      end
      local inputs = { { 5, 6 }, { 0, 0 }, { -1, 1 << 40 } }
      same(function(a, b)
        local full = 0
        full = full + (map.push(m, a) and 0 or 1)
        full = full + (map.push(m, b) and 0 or 1)
        full = full + (map.push(m, 3) and 0 or 1)
        full = full + (map.push(m, 4) and 0 or 1)
        return full, map.peek(m), map.pop(m)
      end, { fill = fill, inputs = inputs, several = true })
      same(function(a)
        local first = map.pop(m)
        map.push(m, a)
        return first == nil, map.pop(m), map.peek(m) == nil
      end, { fill = fill, inputs = inputs, several = true })
    end)

    it(("has structs (%s)"):format(type), function()
      local m <close> = create(type, { key = false, value = "struct { int n; char name[6]; }" })
      local function fill()
        repeat until not map.pop(m)
        map.push(m, { n = -4, name = "abc" })
      end
      same(function(a)
        map.push(m, { n = a, name = "xyz" })
        local v, w = map.pop(m), map.peek(m)
        if v and w then
          return v.n, v.name == "xyz", w.n
        end
      end, { fill = fill, inputs = { { 1 }, { -1 } }, several = true })
    end)
  end
end)

describe("a bloom filter in a program", function()
  it("knows what was pushed", function()
    kernel.need("bloom filters", "5.16")
    local m <close> = create("bloom_filter", { key = false, value = "__u64" })
    check("true, true, false", function(a)
      local pushed = map.push(m, a)
      return pushed, map.peek(m, a), map.peek(m, a + 1)
    end, 1234567)
    assert.is_true(map.contains(m, 1234567))
  end)
end)

describe("map.add in a program", function()
  it("adds to an entry, and makes it", function()
    for _, type in ipairs { "hash", "lru_hash", "array" } do
      local m <close> = create(type, type == "array" and { key = "__u32" })
      same(function(a, b)
        map.add(m, a, b)
        map.add(m, a, 5)
        map.add(m, 1)
      end, { maps = { m }, inputs = { { 0, 1 }, { 1, -7 }, { 2, 1 << 40 } } })
    end
  end)
end)

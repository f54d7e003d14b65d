-- SPDX-License-Identifier: MIT
-- map.rates: what counters have grown by between two looks.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()

describe("map.rates", function()
  local clock, time = bpf.clock, 0

  before_each(function()
    time = 1000
    rawset(bpf, "clock", function() return time end)
  end)

  after_each(function() rawset(bpf, "clock", clock) end)

  local function create(kind, value, options)
    local all = { type = kind, name = "counts", key = "__u32", value = value, max_entries = 8 }
    for name, option in pairs(options or {}) do
      all[name] = option
    end
    local m = assert(map.create(all))
    finally(function() map.close(m) end)
    return m
  end

  -- The rates after so many seconds, as a table.
  local function after(seconds, rates)
    time = time + seconds * 1000000000
    local found = {}
    for k, per_second in rates() do
      found[k] = per_second
    end
    return found
  end

  it("gives what values have grown by per second since the last look", function()
    local m = create("hash", "__u64")
    m[1], m[2] = 100, 7
    local rates = map.rates(m)
    m[1] = 300
    assert.same({ 100.0, 0.0 }, after(2, rates))
    m[1], m[2] = 301, 10
    assert.same({ 2.0, 6.0 }, after(0.5, rates))
    assert.same({ 0.0, 0.0 }, after(1, rates))
  end)

  it("counts new entries from zero, and forgets those that are gone", function()
    local m = create("hash", "__u64")
    m[1] = 10
    local rates = map.rates(m)
    m[1], m[2] = nil, 50
    assert.same({ nil, 50.0 }, after(1, rates))
    m[1] = 4
    assert.same({ 4.0, 0.0 }, after(1, rates))
  end)

  for _, case in ipairs {
    { "__u64", 1000, 30, 30.0, "has begun anew" }, { "__u64", -10, 5, 5.0, "has begun anew, from values above 2^63" },
    { "__u64", math.maxinteger, math.mininteger, 1.0, "has passed 2^63" },
    { "__u64", 0, -1, 2.0 ^ 64, "has grown by 2^64" },
    { "__u32", 1000, 30, 30.0, "has begun anew" }, { "__u32", 4294967290, 4, 10.0, "has wrapped around" },
    { "__u16", 65535, 0, 1.0, "has wrapped around" }, { "__u8", 250, 5, 11.0, "has wrapped around" },
    { "__u32", 3000000000, 0, 1294967296.0, "has wrapped around, or begun anew" },
    { "__s64", 10, 4, -6.0, "has fallen" }, { "int", -5, 5, 10.0, "has risen" },
    { "double", 1.5, 1.0, -0.5, "has fallen" },
  } do
    it(("sees that a %s of %s which is %s %s"):format(case[1], case[2], case[3], case[5]), function()
      local m = create("array", case[1], { max_entries = 1 })
      m[0] = case[2]
      local rates = map.rates(m)
      m[0] = case[3]
      assert.equal(case[4], after(1, rates)[0])
    end)
  end

  it("adds up the values of a per-CPU map", function()
    local m = create("percpu_hash", "__u64")
    m[1] = 5
    local rates = map.rates(m)
    m[1] = 8
    assert.same({ 3.0 * bpf.features.cpus() }, after(1, rates))
  end)

  it("gives structs of rates, with texts as they are", function()
    local m = create("hash", "struct flow { __u64 n; char name[8]; struct { __u32 a; } d; __u16 slots[2]; _Bool on; }")
    m[1] = { n = 1, name = "x", d = { a = 1 }, slots = { 1, 2 }, on = true }
    local rates = map.rates(m)
    m[1] = { n = 5, name = "y", d = { a = 3 }, slots = { 1, 6 }, on = true }
    m[2] = { n = 2 }
    assert.same({
      { n = 2.0, name = "y", d = { a = 1.0 }, slots = { 0.0, 2.0 }, on = true },
      { n = 1.0, name = "", d = { a = 0.0 }, slots = { 0.0, 0.0 }, on = false },
    }, after(2, rates))
  end)

  it("is of the members that a column has", function()
    local m = create("hash", "struct flow { __u64 n; char name[8]; struct { __u32 a; } d; }")
    local one <close> = assert(map.column(m, "d.a"))
    local two <close> = assert(map.column(m, "d.a", "n"))
    local rates, both = map.rates(one), map.rates(two)
    m[1] = { n = 5, d = { a = 3 } }
    assert.same({ 3.0 }, after(1, rates))
    assert.same({ { ["d.a"] = 3.0, n = 5.0 } }, after(0, both))
  end)

  it("knows keys that are tables, prefixes and strings again", function()
    local m = create("hash", "__u64", { key = "struct { __u16 a; char b[4]; }" })
    m[{ a = 1, b = "x" }] = 5
    local rates, found = map.rates(m), {}
    m[{ a = 1, b = "x" }] = 7
    time = time + 1000000000
    for k, per_second in rates() do
      found[k.b] = per_second
    end
    assert.same({ x = 2.0 }, found)
    local trie = create("lpm_trie", "__u64", { key = "struct p { __u32 prefixlen; __u8 data[4]; }" })
    trie["10.0.0.0/8"] = 1
    rates = map.rates(trie)
    trie["10.0.0.0/8"] = 4
    assert.same({ ["10.0.0.0/8"] = 3.0 }, after(1, rates))
  end)

  it("looks at all entries, also where a loop ends early", function()
    local m = create("hash", "__u64")
    m[1], m[2] = 1, 1
    local rates = map.rates(m)
    m[1], m[2] = 2, 2
    time = time + 1000000000
    local _, per_second = rates()()
    assert.equal(1.0, per_second)
    assert.same({ 0.0, 0.0 }, after(1, rates))
  end)

  it("goes by the clock", function()
    rawset(bpf, "clock", clock)
    local m = create("hash", "__u64")
    local from = bpf.clock()
    local rates = map.rates(m)
    m[1] = 1000000
    local _, per_second = rates()()
    local most = 1e6 / ((bpf.clock() - from) / 1e9)
    assert.is_true(per_second >= most, per_second)
  end)

  it("wants a map with counters, which is open", function()
    local m = create("hash", "char[8]")
    helper.raises(function() map.rates(m) end,
      "^spec/lua/rates_spec.lua:%d+: map.rates: the map's values, char%[8%], have no numbers$")
    local queue <close> = assert(map.create { type = "queue", value = "__u64", max_entries = 2 })
    helper.raises(function() map.rates(queue) end,
      "^spec/lua/rates_spec.lua:%d+: map.rates: a map of type queue has no counters$")
    helper.raises(function() map.rates(1) end,
      "^spec/lua/rates_spec.lua:%d+: bad argument #1 to 'rates' %(bpf.map expected, got number%)$")
    local closed = assert(map.create { type = "hash", name = "gone", key = 4, value = "__u64", max_entries = 2 })
    local rates = map.rates(closed)
    map.close(closed)
    helper.raises(function() rates() end, "map 'gone' is closed")
    helper.raises(function() map.rates(closed) end, "^spec/lua/rates_spec.lua:%d+: map 'gone' is closed$")
  end)
end)

-- SPDX-License-Identifier: MIT
-- map.scan: work on all entries of a map, done in the kernel, or in the script where the kernel has no such walk; and
-- map.add from scripts.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

local FLOW <const> = "struct flow { __u64 bytes; __u32 last; char name[8]; }"

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

local function create(type, key, value, more)
  local options = { type = type, key = key, value = value, max_entries = 300 }
  for name, x in pairs(more or {}) do
    options[name] = x
  end
  return assert(map.create(options))
end

-- The maps that are scanned, each with the way to make a key of a number.
local KINDS <const> = {
  { type = "hash", key = "__u32" }, { type = "lru_hash", key = "__u32" }, { type = "array", first = 0 },
  { type = "hash", key = "__u32", more = { flags = "no_prealloc" } },
  { type = "lpm_trie", key = 8, of = function(n) return ("10.0.%d.%d/32"):format(n >> 8, n & 255) end },
}

for _, kind in ipairs(KINDS) do
  local title = kind.type .. (kind.more and ", " .. kind.more.flags or "")
  local of = kind.of or function(n) return n end

  describe("map.scan of a map of type " .. title, function()
    local m

    before_each(function()
      m = create(kind.type, kind.key, FLOW, kind.type == "array" and { max_entries = 200 } or kind.more)
      for n = 0, 199 do
        m[of(n)] = { bytes = n, last = n % 10, name = n % 2 == 0 and "even" or "odd" }
      end
    end)

    after_each(function()
      map.close(m)
      m = nil -- the programs go with the handle
    end)

    it("adds up what the function returns", function()
      assert.equal(200, (map.scan(m, function() return 1 end)))
      assert.same({ 20, 1980 }, { map.scan(m, function(_, v)
        if v.last == 7 then
          return 1, v.bytes + 1 - 1 + (v.last == 7 and 1 or 0) - v.last + 3
        end
      end) })
      assert.same({ 100, 60 }, { map.scan(m, function(_, v) return v.name == "odd", v.last < 3 end) })
      assert.same({}, { map.scan(m, function() end) })
      assert.same({ 0, 0 }, { map.scan(m, function(_, v) if v.last > 10 then return 1, 2 end end) })
    end)

    it("takes another limit at each call", function()
      local function below(limit)
        return (map.scan(m, function(_, v) return v.bytes < limit end))
      end
      for _, limit in ipairs { 0, 1, 57, 200, 300 } do
        assert.equal(math.min(limit, 200), below(limit))
      end
    end)

    it("changes entries", function()
      local step = 1000
      assert.equal(20, (map.scan(m, function(_, v)
        if v.last == 3 then
          v.bytes = v.bytes + step
          v.name = "new"
          return true
        end
      end)))
      assert.same({ bytes = 1013, last = 3, name = "new" }, m[of(13)])
      assert.same({ bytes = 14, last = 4, name = "even" }, m[of(14)])
    end)

    if kind.type ~= "array" then
      it("deletes entries", function()
        assert.equal(60, (map.scan(m, function(k, v)
          if v.last >= 7 then
            m[k] = nil
            return true
          end
        end)))
        assert.equal(140, #m)
        assert.is_nil(m[of(8)])
      end)
    end

    it("writes to other maps", function()
      local totals <close> = create("hash", "__u32", "__u64")
      map.scan(m, function(_, v) totals[v.last] = (totals[v.last] or 0) + v.bytes end)
      assert.equal(10, #totals)
      assert.equal(20 * 7 + 10 * 190, totals[7])
    end)
  end)
end

describe("map.scan", function()
  local m

  before_each(function()
    m = create("hash", "__u32", "__u64")
    m[1], m[2], m[3] = 10, 20, 30
  end)

  after_each(function()
    map.close(m)
    m = nil
  end)

  local function raises(message, ...)
    local arguments = table.pack(...)
    helper.raises(function() map.scan(table.unpack(arguments, 1, arguments.n)) end, message)
  end

  it("of numbers hands over copies", function()
    assert.same({ 6, 60 }, { map.scan(m, function(k, v) return k, v end) })
    map.clear(m)
    assert.same({ 0, 0 }, { map.scan(m, function(k, v) return k, v end) })
  end)

  it("is compiled once for a function and its upvalues", function()
    kernel.need("bpf_for_each_map_elem", "5.13")
    local function programs()
      local count = 0
      for _ in bpf.progs() do
        count = count + 1
      end
      return count
    end
    local function below(limit)
      return (map.scan(m, function(_, v) return v < limit end))
    end
    assert.equal(1, below(20))
    local before = programs()
    assert.equal(2, below(21))
    assert.equal(3, below(100))
    assert.equal(before, programs())
  end)

  it("ends by an error where the function does", function()
    kernel.need("bpf_for_each_map_elem", "5.13")
    raises("^spec/lua/program_scan_spec.lua:%d+: map.scan: the function ended at an entry, by an error, " ..
      "an assertion, or a division by 0$", m, function(k) if k == 2 then error("two") end end)
    raises("ended at an entry", m, function(k, v) return v // (k - 1) end)
  end)

  it("refuses maps without entries, or with one for each CPU", function()
    local queue <close> = create("queue", nil, "__u32")
    raises("^spec/lua/program_scan_spec.lua:%d+: map.scan: a map of type queue has no entries to scan$", queue,
      function() end)
    local percpu <close> = create("percpu_hash", "__u32", "__u64")
    raises("map.scan: the kernel would see the values of one CPU of a percpu_hash: use pairs and map.sum$", percpu,
      function() end)
  end)

  it("says what is wrong with the function, at the line that called", function()
    raises("bad argument #1 to 'scan' %(bpf.map expected, got table%)", {}, function() end)
    raises("bad argument #2 to 'scan' %(function expected, got nil%)", m)
    raises("map.scan: the function is written in C", m, print)
    raises("map.scan: the function returns 9 results, and up to 8 are added up$", m,
      function() return 1, 2, 3, 4, 5, 6, 7, 8, 9 end)
    local lpm <close> = create("lpm_trie", 8, "__u32")
    lpm["10.0.0.0/8"] = 1
    for _, each in ipairs { m, lpm } do
      raises("map.scan: .*result 1 is .*: integers and booleans are added up$", each, function() return "x" end)
      raises("map.scan: .*result 2 is .*: integers and booleans are added up$", each, function() return 1, 1.5 end)
    end
    kernel.need("bpf_for_each_map_elem", "5.13")
    raises("program_scan_spec.lua:%d+: map.scan: spec/lua/program_scan_spec.lua:%d+: '%.%.' isn't possible", m,
      function(k) return k .. "" end)
  end)
end)

describe("map.add", function()
  it("adds to what is there, or makes it", function()
    for _, type in ipairs { "hash", "lru_hash", "array" } do
      for _, value in ipairs { "__u64", "__s32" } do
        local m <close> = create(type, type ~= "array" and "__u32" or nil, value)
        assert.is_true(map.add(m, 7))
        assert.is_true(map.add(m, 7, 41))
        assert.equal(42, m[7])
        map.add(m, 8, value == "__s32" and -3 or 3)
        assert.equal(value == "__s32" and -3 or 3, m[8])
      end
    end
  end)

  it("adds to the value of one CPU of a per-CPU map", function()
    local m <close> = create("percpu_hash", "__u32", "__u64")
    for _ = 1, 10 do
      map.add(m, 1, 2)
    end
    assert.equal(20, map.sum(m, 1))
  end)

  it("takes keys of any type, up to 88 bytes", function()
    local m <close> = create("hash", "struct { __u32 a; char name[80]; }", "__u64")
    map.add(m, { a = 1, name = "x" })
    map.add(m, { a = 1, name = "x" }, 4)
    assert.equal(5, m[{ a = 1, name = "x" }])
    local long <close> = create("hash", "char[89]", "__u64")
    helper.raises(function() map.add(long, "x") end, "map.add: keys may have 88 bytes, these have 89$")
  end)

  it("loses nothing where several processes add", function()
    local m <close> = create("hash", "__u32", "__u64")
    local script = ([[local bpf = require "bpf" local m = bpf.map.by_id(%d) for _ = 1, 2000 do bpf.map.add(m, 1) end]])
      :format(map.info(m).id)
    local command = ("%s -e %s"):format(helper.LUA, helper.quote(script))
    assert.is_true((select(2, helper.run(("%s & %s & wait"):format(command, command)))))
    assert.equal(4000, m[1])
  end)

  it("says what it can't add to, and what it lacks", function()
    local m <close> = create("hash", "__u32", FLOW)
    helper.raises(function() map.add(m, 1) end,
      "^spec/lua/program_scan_spec.lua:%d+: map.add: values must be integers of 4 or 8 bytes, these are struct flow$")
    local queue <close> = create("queue", nil, "__u32")
    helper.raises(function() map.add(queue, 1) end, "map.add: a map of type queue has no keys$")
    local counts <close> = create("hash", "__u32", "__u64")
    helper.raises(function() map.add(counts, "x") end, "integer expected for __u32, got string")
    helper.raises(function() map.add(counts, 1, 1.5) end, "bad argument #3 to 'add' %(integer expected, got number%)")
    helper.raises(function() map.add(1, 1) end, "bad argument #1 to 'add' %(bpf.map expected, got number%)")
  end)
end)

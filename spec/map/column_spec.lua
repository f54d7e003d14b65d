-- SPDX-License-Identifier: MIT
-- Columns: handles of a map that show some members of its values, for reading only.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()

local FLOW <const> = [[struct flow {
  __u32 id; __u64 ts; char name[16]; struct addr { __u32 ip; __u16 port; } addr;
  union { __u32 word; __u8 bytes[4]; }; double load; __s64 slots[3]; __u32 low:3, high:9; _Bool on;
}]]

local function flow(n)
  return {
    id = n, ts = n << 40, name = "flow" .. n, addr = { ip = n, port = 80 + n }, word = n, load = n / 2,
    slots = { n, -n, 0 }, low = n & 7, high = 300 + n, on = n == 2,
  }
end

local function create(kind, value, options)
  local all = { type = kind, name = "flows", key = "__u32", value = value or FLOW, max_entries = 8 }
  for name, option in pairs(options or {}) do
    all[name] = option
  end
  local m = assert(map.create(all))
  finally(function() map.close(m) end)
  return m
end

local function column(m, ...)
  local c = assert(map.column(m, ...))
  finally(function() map.close(c) end)
  return c
end

describe("a column", function()
  local m

  before_each(function()
    m = assert(map.create { type = "hash", name = "flows", key = "__u32", value = FLOW, max_entries = 8 })
    m[1], m[2] = flow(1), flow(2)
  end)

  after_each(function() map.close(m) end)

  for _, case in ipairs {
    { "a number", "ts", 2 << 40 }, { "a text", "name", "flow2" }, { "a struct", "addr", { ip = 2, port = 82 } },
    { "a member of a member", "addr.port", 82 }, { "a member of a union", "word", 2 }, { "a float", "load", 1.0 },
    { "an array", "slots", { 2, -2, 0 } }, { "a bit-field", "high", 302 }, { "a boolean", "on", true },
    { "bytes", "bytes", "\2\0\0\0" },
  } do
    it("of " .. case[1] .. " has the member as its value", function()
      local c <close> = assert(map.column(m, case[2]))
      assert.same(case[3], c[2])
      assert.same(case[3], map.lookup(c, 2))
      assert.same(case[2] == "addr" and 2 or case[3], (map.unpack(c, 2)))
      assert.is_nil(c[9])
      local found = {}
      for k, v in pairs(c) do
        found[k] = v
      end
      assert.same(case[3], found[2])
      assert.equal(2, #c)
    end)
  end

  it("of several members has tables of these alone, by their paths", function()
    local c <close> = assert(map.column(m, "addr.port", "name", "low"))
    assert.same({ ["addr.port"] = 82, name = "flow2", low = 2 }, c[2])
    assert.same({ 82, "flow2", 2 }, { map.unpack(c, 2) })
    local found = {}
    for k, v in pairs(c) do
      found[k] = v
    end
    assert.same({ { ["addr.port"] = 81, name = "flow1", low = 1 }, c[2] }, found)
    local into = {}
    assert.equal(into, map.lookup(c, 2, { into = into }))
    assert.same(c[2], into)
  end)

  it("can be made of a column", function()
    local two <close> = assert(map.column(m, "addr.port", "addr"))
    local port <close> = assert(map.column(two, "addr.port"))
    local addr <close> = assert(map.column(two, "addr"))
    local same <close> = assert(map.column(addr, "port"))
    assert.same({ 81, 81 }, { port[1], same[1] })
  end)

  it("sees what is stored later, and what is deleted", function()
    local c <close> = assert(map.column(m, "ts"))
    m[1] = { ts = 5 }
    m[2] = nil
    m[3] = { ts = 6 }
    assert.same({ 5, nil, 6 }, { c[1], c[2], c[3] })
  end)

  it("is read in batches", function()
    local c <close> = assert(map.column(m, "id"))
    local keys, values, cursor = map.lookup_batch(c)
    assert.same({ 2, 2, nil }, { #keys, #values, cursor })
    assert.equal(3, values[1] + values[2])
    local copy <close> = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 8 })
    assert.equal(2, map.update_batch(copy, c))
    assert.same({ 1, 2 }, { copy[1], copy[2] })
  end)

  it("is the map: equal, with its keys, name and type of keys", function()
    local c <close> = assert(map.column(m, "ts"))
    assert.equal(m, c)
    local key, value = map.types(c)
    assert.same({ "__u32", "__u64", "hash" }, { key:name(), value:name(), map.type(c) })
    assert.matches("^bpf.map: flows %(hash, __u32 → __u64, 8 entries, fd %d+%)$", tostring(c))
    assert.is_true(map.info(c).column)
    assert.is_nil(map.info(m).column)
    assert.equal(map.info(m).id, map.info(c).id)
    local n = 0
    for k in map.keys(c) do
      n = n + k
    end
    assert.equal(3, n)
  end)

  it("gives metrics their values", function()
    local metrics = bpf.metrics.new()
    local c <close> = assert(map.column(m, "id"))
    metrics:gauge { name = "id", help = "Id.", map = c, labels = { "flow" } }
    assert.matches('\nid{flow="2"} 2\n', metrics:text())
  end)

  it("can only be read", function()
    local c <close> = assert(map.column(m, "ts"))
    for name, call in pairs {
      update = function() c[1] = 2 end, ["delete"] = function() c[1] = nil end,
      lookup_and_delete = function() map.lookup_and_delete(c, 1) end, drain = function() map.drain(c) end,
      update_batch = function() map.update_batch(c, {}) end, delete_batch = function() map.delete_batch(c, {}) end,
      clear = function() map.clear(c) end,
    } do
      helper.raises(call, ("^spec/map/column_spec.lua:%%d+: map 'flows': %s: a column can only be read; "):format(name))
    end
    helper.raises(function() map.update(c, 1, 2) end, "a column can only be read")
    helper.raises(function() map.pack(c, 1, 2) end, "a column can only be read")
    helper.raises(function() map.typed(c, nil, "__u64") end, "make one of map.typed")
    assert.same({ flow(1).ts, flow(2).ts }, { c[1], c[2] })
  end)

  it("is no map for programs", function()
    local c <close> = assert(map.column(m, "ts"))
    local _, message, code = bpf.program("raw_tp/sys_enter", function() return c[1] or 0 end)
    assert.equal("EINVAL", code)
    assert.matches("map 'flows': a column is for scripts: name the map itself$", message)
    helper.raises(function() map.scan(c, function() return 1 end) end,
      "^spec/map/column_spec.lua:%d+: map.scan: a column")
  end)

  it("of a member that isn't there is an error with those that are", function()
    local all = "members: id, ts, name, addr, word, bytes, load, slots, low, high, on"
    for _, case in ipairs {
      { { "x" }, "bad argument #2 to 'column' %('x': struct flow has no such member %(" .. all .. "%)%)" },
      { { "ts", "y" }, "bad argument #3 to 'column' %('y'" },
      { { "addr.x" }, "'addr.x': struct addr has no such member %(members: ip, port%)" },
      { { "ts.x" }, "'ts.x': __u64 has no members" }, { { "" }, "struct flow has no such member" },
      { { "addr." }, "struct addr has no such member" }, { {}, "string expected, got no value" },
      { { 1 }, "string expected, got number" }, { { "ts\0x" }, "NUL" },
    } do
      helper.raises(function() map.column(m, table.unpack(case[1])) end, case[2])
    end
    helper.raises(function() map.column(1, "ts") end, "bpf.map expected, got number")
  end)

  it("outlives the handle that it was made of", function()
    local other <close> = assert(map.typed(m))
    local c = assert(map.column(other, "ts"))
    map.close(other)
    assert.equal(flow(1).ts, c[1])
    helper.raises(function() map.column(other, "ts") end, "map 'flows' is closed")
    assert.is_true(map.close(c))
    assert.is_true(map.close(c))
    helper.raises(function() return c[1] end, "map 'flows' is closed")
  end)

  it("is closed when it is collected", function()
    local before = helper.descriptors()
    for _ = 1, 50 do
      assert(map.column(m, "ts"))
    end
    assert.equal(before, helper.descriptors())
  end)
end)

describe("a column of", function()
  it("a map without structs is an error", function()
    helper.raises(function() map.column(create("hash", "__u64"), "x") end, "'x': __u64 has no members")
    local queue <close> = assert(map.create { type = "queue", value = FLOW, max_entries = 2 })
    helper.raises(function() map.column(queue, "id") end, "maps of type queue have no column")
  end)

  it("an array in memory makes no system call", function()
    local m = create("array", "struct pair { __u32 a; __u64 b; struct { __u16 c; } d; }", { flags = "mmapable" })
    m[1] = { a = 3, b = 4, d = { c = 5 } }
    assert.same({ 4, 0 }, { column(m, "b")[1], column(m, "b")[0] })
    assert.same({ c = 5 }, column(m, "d")[1])
    m[1] = { b = 9 }
    assert.equal(9, column(m, "b")[1])
    helper.raises(function() return column(m, "b")[8] end, "no such slot, the last one is 7")
    helper.raises(function() map.clear(column(m, "b")) end, "a column can only be read")
    helper.raises(function() map.view(column(m, "b"), "__u64") end, "a column can only be read")
  end)

  it("a trie is walked by key", function()
    local m = create("lpm_trie", FLOW, { key = "struct prefix { __u32 prefixlen; __u8 data[4]; }" })
    m["10.0.0.0/8"], m["10.1.0.0/16"] = flow(1), flow(2)
    local found = {}
    for k, v in pairs(column(m, "id")) do
      found[k] = v
    end
    assert.same({ ["10.0.0.0/8"] = 1, ["10.1.0.0/16"] = 2 }, found)
    assert.equal(2, column(m, "id")["10.1.2.3"])
  end)

  it("a per-CPU map has the member of each CPU, and sums", function()
    local m = create("percpu_hash", "struct pair { __u32 a; __u64 b; char name[4]; }")
    local cpus = bpf.features.cpus()
    m[1], m[2] = { a = 1, b = 2, name = "x" }, { a = 5, b = 7 }
    local b = column(m, "b")
    assert.equal(cpus, #b[1])
    assert.same({ 2, 2 * cpus, 7 }, { b[1][1], map.sum(b, 1), map.lookup(b, 2, { cpu = cpus - 1 }) })
    local sums = {}
    for k, total in map.sums(b) do
      sums[k] = total
    end
    assert.same({ 2 * cpus, 7 * cpus }, sums)
    for k, total in map.sums(column(m, "name", "a")) do
      assert.same(k == 1 and { name = "x", a = cpus } or { name = "", a = 5 * cpus }, total)
    end
    local into = {}
    assert.same(b[2], map.lookup(b, 2, { into = into }))
  end)
end)

describe("map.sums", function()
  for _, kind in ipairs { "percpu_array", "percpu_hash", "lru_percpu_hash" } do
    it("iterates over a " .. kind .. " with the sums that map.sum returns", function()
      local m = create(kind, "struct pair { __u32 a; struct { __s64 b; double c; } d; char name[4]; }",
        { max_entries = 1000 })
      local n, first = 0, kind == "percpu_array" and 0 or 1
      for k = first, 999 do
        m[k] = { a = k, d = { b = -k, c = 0.5 }, name = "x" }
      end
      local size = #m -- an LRU map may have dropped some
      for k, total in map.sums(m) do
        n = n + 1
        if k % 50 == 0 then
          assert.same(map.sum(m, k), total)
        end
      end
      assert.equal(size, n)
    end)
  end

  it("ends early, and fails in the loop when the map was closed", function()
    local m = create("percpu_hash", "__u64")
    m[1], m[2] = 1, 2
    local step, walk = map.sums(m)
    assert.is_number(step(walk))
    map.close(m)
    helper.raises(function() step(walk) end, "map 'flows' is closed")
    helper.raises(function() map.sums(m) end, "map 'flows' is closed")
  end)

  it("wants a per-CPU map", function()
    helper.raises(function() map.sums(create("hash", "__u64")) end, "maps of type hash have no values to sum")
    helper.raises(function() map.sums(1) end, "bad argument #1 to 'sums' %(bpf.map expected, got number%)")
  end)
end)

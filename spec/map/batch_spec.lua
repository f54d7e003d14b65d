-- SPDX-License-Identifier: MIT
-- Many entries at once: lookup_batch, update_batch, delete_batch, drain, clear.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()

local PREFIX <const> = "struct prefix { __u32 prefixlen; __u8 data[4]; }"

-- The kinds with entries of integers, and what makes the kernel go another way for each.
local kinds = {
  { type = "hash" },
  { type = "hash", flags = "no_prealloc" },
  { type = "lru_hash", room = 20000 },
  { type = "percpu_hash", percpu = true },
  { type = "lru_percpu_hash", percpu = true, room = 20000 },
  { type = "lpm_trie", key = PREFIX, prefix = true },
}

local function title(row)
  return row.type .. (row.flags and " " .. row.flags or "")
end

local function create(row, max_entries)
  return assert(map.create {
    type = row.type, name = "m", key = row.key or "__u32", value = row.value or "__u64",
    max_entries = row.room or max_entries or 5000, flags = row.flags,
  })
end

-- The key and the value number i of a row's map.
local function key_of(row, i)
  return row.prefix and ("10.%d.%d.%d/32"):format(i >> 16, i >> 8 & 255, i & 255) or i
end

local function value_of(row, v)
  return row.percpu and v[1] or v
end

local function entries(row, n)
  local t = {}
  for i = 1, n do
    t[key_of(row, i)] = i * 7
  end
  return t
end

-- All of the map, by walking.
local function contents(row, m)
  local t = {}
  for k, v in pairs(m) do
    t[k] = value_of(row, v)
  end
  return t
end

local function size(t)
  local n = 0
  for _ in pairs(t) do
    n = n + 1
  end
  return n
end

for _, row in ipairs(kinds) do
  describe("bulk operations on " .. title(row), function()
    it("store all entries of a table", function()
      local m <close> = create(row)
      local t = entries(row, 3001)
      assert.equal(3001, map.update_batch(m, t))
      assert.same(t, contents(row, m))
      assert.equal(0, map.update_batch(m, {}))
      assert.equal(1, map.update_batch(m, { [key_of(row, 1)] = 1 }))
      assert.equal(1, value_of(row, m[key_of(row, 1)]))
    end)

    it("store what an iterator gives, without a table", function()
      local m <close> = create(row)
      local function count(state, k)
        k = (k or 0) + 1
        if k <= state.last then
          return k, k
        end
      end
      if row.prefix then
        assert.equal(300, map.update_batch(m, coroutine.wrap(function()
          for i = 1, 300 do
            coroutine.yield(key_of(row, i), i)
          end
        end)))
      else
        assert.equal(300, map.update_batch(m, count, { last = 300 }))
        assert.equal(300, map.update_batch(m, count, { last = 600 }, 300))
      end
      assert.equal(row.prefix and 300 or 600, #m)
      assert.equal(250, value_of(row, m[key_of(row, 250)]))
    end)

    it("copy another map", function()
      local from <close> = create(row)
      local to <close> = create(row)
      local t = entries(row, 700)
      map.update_batch(from, t)
      assert.equal(700, map.update_batch(to, from))
      assert.equal(700, map.update_batch(to, pairs(from)))
      assert.same(t, contents(row, to))
    end)

    it("read it in pieces", function()
      local m <close> = create(row)
      local t = entries(row, 1000)
      map.update_batch(m, t)
      for _, count in ipairs { 1, 7, 256, 999, 1000, 1001, 100000 } do
        local seen, calls, cursor = {}, 0, nil
        repeat
          local keys, values
          keys, values, cursor = map.lookup_batch(m, cursor, count)
          assert.equal(#keys, #values)
          assert.is_true(#keys == count or not cursor, "a short piece before the end")
          for i, k in ipairs(keys) do
            assert.is_nil(seen[k])
            seen[k] = value_of(row, values[i])
          end
          calls = calls + 1
        until not cursor
        assert.same(t, seen)
        assert.equal(1000 // count + 1, calls)
      end
      local keys, _, cursor = map.lookup_batch(m)
      assert.equal(256, #keys)
      assert.is_not_nil(cursor)
    end)

    it("delete a list of keys, leaving out those that aren't there", function()
      local m <close> = create(row)
      map.update_batch(m, entries(row, 1000))
      local keys = {}
      for i = 500, 1500 do
        keys[#keys + 1] = key_of(row, i)
      end
      assert.equal(501, map.delete_batch(m, keys))
      assert.equal(0, map.delete_batch(m, keys))
      assert.equal(499, #m)
      assert.is_nil(m[key_of(row, 500)])
      assert.equal(499 * 7, value_of(row, m[key_of(row, 499)]))
    end)

    it("delete the keys of an iterator or another map", function()
      local m <close> = create(row)
      local other <close> = create(row)
      map.update_batch(m, entries(row, 1000))
      map.update_batch(other, entries(row, 600))
      assert.equal(600, map.delete_batch(m, map.keys(other)))
      map.update_batch(m, entries(row, 1000))
      assert.equal(600, map.delete_batch(m, other))
      assert.equal(400, #m)
      assert.equal(400, map.delete_batch(m, pairs(m)))
      assert.equal(0, #m)
    end)

    it("drain it", function()
      local m <close> = create(row)
      local t, seen = entries(row, 1000), {}
      map.update_batch(m, t)
      for k, v in map.drain(m) do
        assert.is_nil(seen[k])
        seen[k] = value_of(row, v)
      end
      assert.same(t, seen)
      assert.equal(0, #m)
      for k in map.drain(m) do
        error("an entry of an empty map: " .. k)
      end
    end)

    it("put back what a drain that ends early didn't hand out", function()
      local m <close> = create(row)
      local t = entries(row, 1000)
      map.update_batch(m, t)
      for _, handed in ipairs { 1, 100, 255 } do
        local seen = {}
        for k, v in map.drain(m) do
          seen[k] = value_of(row, v)
          if size(seen) == handed then
            break
          end
        end
        assert.equal(1000 - handed, #m)
        for k, v in pairs(m) do
          assert.is_nil(seen[k])
          seen[k] = value_of(row, v)
        end
        assert.same(t, seen)
        map.update_batch(m, t)
      end
      local ok, message = pcall(function()
        for _ in map.drain(m) do
          error "stop"
        end
      end)
      assert.is_false(ok)
      assert.matches("stop", message)
      assert.equal(999, #m)
    end)

    it("clear it, and count what went", function()
      local m <close> = create(row)
      map.update_batch(m, entries(row, 1000))
      assert.equal(1000, map.clear(m))
      assert.equal(0, map.clear(m))
      assert.equal(0, #m)
    end)

    it("insert only or replace only, as told", function()
      local m <close> = create(row)
      map.update_batch(m, { [key_of(row, 1)] = 10, [key_of(row, 2)] = 20 })
      local t = { [key_of(row, 2)] = 0, [key_of(row, 3)] = 30 }
      if row.type ~= "lru_percpu_hash" then
        assert.equal(1, map.update_batch(m, t, "noexist"))
        assert.same({ [key_of(row, 1)] = 10, [key_of(row, 2)] = 20, [key_of(row, 3)] = 30 }, contents(row, m))
        map.delete(m, key_of(row, 3))
      end
      assert.equal(1, map.update_batch(m, t, "exist"))
      assert.same({ [key_of(row, 1)] = 10, [key_of(row, 2)] = 0 }, contents(row, m))
      assert.equal(1, map.update_batch(m, next, t, nil, "exist"))
    end)

    it("say how far they came when the map is full, and at which key", function()
      if row.room then
        return assert.equal("lru", row.type:sub(1, 3)) -- these make room
      end
      local m <close> = create(row, 300)
      local i = 0
      local done, message, code, count, key = map.update_batch(m, function()
        i = i + 1
        return key_of(row, i), i
      end)
      assert.is_nil(done)
      assert.equal(row.prefix and "ENOSPC" or "E2BIG", code)
      assert.is_true(count >= 300 and count < 310, count) -- each CPU has some spare elements
      assert.equal(count, #m)
      assert.equal(key_of(row, count + 1), key)
      assert.matches(("map 'm': update_batch: full, all 300 entries in use (%s) (after %d entries, at key %s)"):format(
        code, count, key), message, 1, true)
    end)

    it("raise for what doesn't fit, and for what is no source", function()
      local m <close> = create(row)
      helper.raises(function() map.update_batch(m, { [key_of(row, 1)] = "x" }) end, "value: .*expected")
      local message = helper.raises(function()
        local i = 0
        map.update_batch(m, function()
          i = i + 1
          return key_of(row, i), i < 3 and i or "x"
        end)
      end, "^spec/map/batch_spec.lua:%d+: value: .*expected.* %(at key ")
      assert.equal(("(at key %s)"):format(key_of(row, 3)), message:match("%(at key .*$"))
      helper.raises(function() map.update_batch(m, { [true] = 1 }) end, "key")
      helper.raises(function() map.delete_batch(m, { true }) end, "key")
      helper.raises(function() map.update_batch(m) end, "table or iterator expected")
      helper.raises(function() map.update_batch(m, 5) end, "table or iterator expected")
      helper.raises(function() map.update_batch(m, io.stdout) end, "table or iterator expected")
      helper.raises(function() map.update_batch(m, {}, "lok") end, "flag 'lok' is unknown")
      helper.raises(function() map.lookup_batch(m, 5) end, "the cursor that the previous call returned expected")
      helper.raises(function() map.lookup_batch(m, nil, 0) end, "bad argument #3")
      helper.raises(function() map.update_batch(m, function() error "mine" end) end, "mine")
      assert.equal(0, #m)
    end)
  end)
end

it("a value that doesn't fit is told of with its key, also where the kernel's keys are descriptors", function()
  local m <close> = assert(map.create { type = "sk_storage", value = "struct v { int a; }" })
  helper.raises(function() map.update_batch(m, { [7] = { a = "x" } }) end, "value.a: .*expected.* %(at key 7%)$")
  local sockets = setmetatable({}, { __tostring = function() return "a socket" end })
  sockets.getfd = function() return 7 end
  helper.raises(function() map.update_batch(m, { [sockets] = { a = "x" } }) end, "%(at key a socket%)$")
end)

describe("bulk operations on arrays", function()
  for _, row in ipairs { { type = "array" }, { type = "percpu_array", percpu = true } } do
    it("store and read slots: " .. row.type, function()
      local m <close> = assert(map.create { type = row.type, name = "m", value = "__u64", max_entries = 1000 })
      local t = {}
      for i = 0, 999 do
        t[i] = i * 3
      end
      assert.equal(1000, map.update_batch(m, t))
      assert.same(t, contents(row, m))
      local keys, values, cursor = map.lookup_batch(m, nil, 1000)
      assert.equal(999, keys[1000])
      assert.equal(2997, value_of(row, values[1000]))
      keys, values, cursor = map.lookup_batch(m, cursor, 1000)
      assert.same({ 0, 0 }, { #keys, #values })
      assert.is_nil(cursor)
    end)

    it("say which slot isn't there: " .. row.type, function()
      local m <close> = assert(map.create { type = row.type, name = "m", value = "__u64", max_entries = 4 })
      local i = -1
      local done, message, code, count, key = map.update_batch(m, function()
        i = i + 1
        return i, i
      end)
      assert.is_nil(done)
      assert.same({ "E2BIG", 4, 4 }, { code, count, key })
      assert.matches("no such slot, the last one is 3 (E2BIG) (after 4 entries, at key 4)", message, 1, true)
    end)

    it("delete nothing: " .. row.type, function()
      local m <close> = assert(map.create { type = row.type, name = "m", value = "__u64", max_entries = 4 })
      helper.raises(function() map.delete_batch(m, { 1 }) end, "have no delete_batch")
      helper.raises(function() map.drain(m) end, "have no drain")
      map.update_batch(m, { 1, 2, 3 })
      assert.equal(4, map.clear(m))
      assert.equal(0, value_of(row, m[1]))
    end)
  end
end)

describe("drain", function()
  it("empties queues in their order, and stacks in theirs", function()
    for type, order in pairs { queue = { 1, 2, 3 }, stack = { 3, 2, 1 } } do
      local m <close> = assert(map.create { type = type, value = "__u32", max_entries = 3 })
      for i = 1, 3 do
        assert(map.push(m, i))
      end
      local seen = {}
      for v in map.drain(m) do
        seen[#seen + 1] = v
      end
      assert.same(order, seen)
      assert.is_nil(map.pop(m))
    end
  end)

  it("takes one element at a time out of a queue", function()
    local m <close> = assert(map.create { type = "queue", value = "__u32", max_entries = 3 })
    for i = 1, 3 do
      assert(map.push(m, i))
    end
    local next_element, state = map.drain(m)
    assert.equal(1, next_element(state))
    assert.equal(2, map.pop(m))
  end)

  it("puts nothing back over a key that came back meanwhile", function()
    local m <close> = create({ type = "hash" }, 100)
    for i = 1, 100 do
      m[i] = i
    end
    local first
    for k in map.drain(m) do
      if first then
        break
      end
      first = k
      for i = 1, 100 do
        m[i] = 1000
      end
    end
    assert.is_not_nil(first)
    for i = 1, 100 do
      assert.equal(1000, m[i])
    end
  end)

  it("moves entries to another map", function()
    local from <close> = create({ type = "hash" }, 1000)
    local to <close> = create({ type = "hash" }, 1000)
    local small <close> = create({ type = "hash", room = 300 }, 300)
    map.update_batch(from, entries({}, 900))
    assert.equal(900, map.update_batch(to, map.drain(from)))
    assert.equal(0, #from)
    assert.same(entries({}, 900), contents({}, to))
    local done, _, code, count = map.update_batch(small, map.drain(to))
    assert.is_nil(done)
    assert.equal("E2BIG", code)
    assert.equal(count, #small)
    assert.is_true(#to >= 900 - count - 256, #to) -- what wasn't taken out yet, or went back
    local _, f, s, c, closing = 0, map.drain(to)
    assert.equal(0, map.update_batch(from, f, s, c, closing, "exist"))
  end)

  it("says when entries can't be put back", function()
    local m <close> = create({ type = "hash" }, 100)
    for i = 1, 100 do
      m[i] = i
    end
    helper.raises(function()
      local first = true
      for _ in map.drain(m) do
        if not first then
          break
        end
        first = false
        for i = 1001, 1200 do
          map.update(m, i, 0)
        end
      end
    end, "map 'm': drain: %d+ entries that had been taken could not be put back: .*E2BIG")
  end)

  it("takes what programs store meanwhile once, and loses none of it", function()
    local obj <close> = assert(bpf.load(helper.obj "drain"))
    local records, seen, n = obj.maps.records, {}, 0
    local function drain()
      for k, v in map.drain(records) do
        assert.equal(k * 3, v)
        assert.is_nil(seen[k])
        seen[k] = true
        n = n + 1
      end
    end
    local code = ([[
      local bpf = require "bpf"
      local obj <close> = assert(bpf.load(%q, { maps = { records = assert(bpf.map.by_id(%d)) } }))
      for _ = 1, 100 do
        assert(obj.progs.record:run { ctx = ("I4"):pack(1000) })
      end
      print(obj.vars.stored)]]):format(helper.obj "drain", map.info(records).id)
    local child <close> = assert(io.popen(helper.LUA .. " -e " .. helper.quote(code)))
    for _ = 1, 300 do
      drain()
    end
    local stored = child:read("n")
    drain()
    assert.is_true(stored > 1000, stored)
    assert.equal(stored, n)
  end)
end)

describe("bulk operations whose source has its own will", function()
  it("raise when the source closes the map", function()
    local m = create({ type = "hash" }, 1000)
    local i = 0
    helper.raises(function()
      map.update_batch(m, function()
        i = i + 1
        if i == 300 then
          map.close(m)
        end
        return i <= 400 and i or nil, i
      end)
    end, "closed")
  end)

  it("work when the source changes the map", function()
    local m <close> = create({ type = "hash" }, 1000)
    local i = 0
    assert.equal(400, map.update_batch(m, function()
      i = i + 1
      map.clear(m)
      return i <= 400 and i or nil, i
    end))
    assert.is_true(#m > 0)
  end)

  it("keep a cursor to its map and its kind", function()
    local m <close> = create({ type = "hash" }, 100)
    local other <close> = create({ type = "hash" }, 100)
    m[1], m[2] = 1, 2
    local _, _, cursor = map.lookup_batch(m, nil, 1)
    helper.raises(function() map.lookup_batch(other, cursor) end, "the cursor that the previous call returned expected")
    local _, walk = pairs(other)
    assert.is_not_nil(walk)
    map.close(m)
    helper.raises(function() map.lookup_batch(m, cursor) end, "closed")
  end)
end)

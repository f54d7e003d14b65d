-- SPDX-License-Identifier: MIT
-- Walking a map, by pairs and map.keys: every entry once, whatever happens to the map meanwhile.
local helper = require("spec.helper")
local attach = require("spec.support.attach")
local kernel = require("spec.support.kernel")
local bpf = require("bpf")

local map = bpf.map

kernel.root()

-- Entries: of many and of a few batches, which are of 256.
local MANY <const>, SEVERAL <const> = helper.slow > 1 and 1000 or 5000, helper.slow > 1 and 600 or 3000

-- Maps keyed by n = 1, 2, 3, …: how each kind spells that, and its values.
local function same(n)
  return n
end

local function prefix(n)
  return ("10.%d.%d.%d/32"):format(n >> 16 & 255, n >> 8 & 255, n & 255)
end

local function on_each_cpu(n)
  return function(value)
    for _, one in ipairs(value) do
      assert.equal(n, one)
    end
  end
end

local kinds = {
  { type = "hash", key = same },
  { type = "hash", key = same, flags = "no_prealloc" },
  { type = "lru_hash", key = same, room = 4 },
  { type = "percpu_hash", key = same, percpu = true },
  { type = "lru_percpu_hash", key = same, percpu = true, room = 4 },
  { type = "lpm_trie", key = prefix },
}

local function title(kind)
  return kind.type .. (kind.flags and " (" .. kind.flags .. ")" or "")
end

-- A map of this kind with room for n entries.
local function create(kind, n)
  return assert(map.create {
    type = kind.type,
    name = "walked",
    key = kind.type == "lpm_trie" and "struct p { __u32 len; __u8 data[4]; }" or "__u32",
    value = "__u64",
    max_entries = math.max(n, 1) * (kind.room or 1) + (kind.room and 1024 or 0),
    flags = kind.flags,
  })
end

local function fill(m, kind, n)
  for i = 1, n do
    m[kind.key(i)] = i
  end
end

-- Counts how often each key comes; checks the values too.
local function count(m, kind)
  local seen, total = {}, 0
  for k, v in pairs(m) do
    if kind and kind.percpu then
      on_each_cpu(v[1])(v)
      v = v[1]
    end
    if kind then
      assert.equal(kind.key(v), k)
    end
    seen[k] = (seen[k] or 0) + 1
    total = total + 1
  end
  return total, seen
end

local function each_once(seen, kind, n)
  for i = 1, n do
    local times = seen[kind.key(i)]
    if times ~= 1 then
      error(("entry %d of %d came %s times"):format(i, n, times or "0"))
    end
  end
end

describe("the arguments of a walk:", function()
  it("pairs and keys take maps that are walked by key", function()
    for _, bad in ipairs { 1, "m", {}, io.stdout } do
      helper.raises(function()
        map.keys(bad)
      end, "bad argument #1 to 'keys' %(bpf.map expected, got")
    end
    helper.raises(function()
      map.keys()
    end, "bad argument #1 to 'keys'")
  end)

  it("kinds without keys have nothing to walk and no length", function()
    for _, type in ipairs { "queue", "stack", "ringbuf" } do
      local m <close> = assert(map.create {
        type = type, max_entries = 4096, value = type ~= "ringbuf" and "__u32" or nil,
      })
      for what, walk in pairs {
        ["keys to walk"] = { pairs, map.keys },
        length = { function() return #m end },
      } do
        for _, fn in ipairs(walk) do
          helper.raises(function()
            fn(m)
          end, "maps of type " .. type .. " have no " .. what)
        end
      end
    end
  end)

  it("the iterator takes nothing but its walk", function()
    local m <close> = create(kinds[1], 1)
    local step = pairs(m)
    for _, bad in ipairs { 1, {}, m } do
      helper.raises(function()
        step(bad)
      end, "bpf.walk expected")
    end
    helper.raises(function()
      step()
    end, "bpf.walk expected")
  end)
end)

for _, kind in ipairs(kinds) do
  describe("walking a " .. title(kind), function()
    it("that is empty does nothing", function()
      local m <close> = create(kind, 10)
      assert.equal(0, count(m, kind))
      assert.equal(0, #m)
      for _ in map.keys(m) do
        error("there is no key")
      end
    end)

    for _, n in ipairs { 1, 2, 255, 256, 257, MANY } do
      it("of " .. n .. " entries yields each once, with its value", function()
        local m <close> = create(kind, n)
        fill(m, kind, n)
        local total, seen = count(m, kind)
        each_once(seen, kind, n)
        assert.equal(n, total)
      end)

      it("of " .. n .. " entries by keys alone yields each once", function()
        local m <close> = create(kind, n)
        fill(m, kind, n)
        local seen, total = {}, 0
        for k, none in map.keys(m) do
          assert.is_nil(none)
          seen[k], total = (seen[k] or 0) + 1, total + 1
        end
        each_once(seen, kind, n)
        assert.equal(n, total)
      end)

      it("of " .. n .. " entries agrees with its length", function()
        local m <close> = create(kind, n)
        fill(m, kind, n)
        assert.equal(n, #m)
      end)
    end

    it("may delete the current entry: each still comes once, and none is left", function()
      local m <close> = create(kind, SEVERAL)
      fill(m, kind, SEVERAL)
      local seen, total = {}, 0
      for k in pairs(m) do
        seen[k], total = (seen[k] or 0) + 1, total + 1
        m[k] = nil
      end
      each_once(seen, kind, SEVERAL)
      assert.equal(SEVERAL, total)
      assert.equal(0, #m)
    end)

    it("may delete every other entry", function()
      local m <close> = create(kind, SEVERAL)
      fill(m, kind, SEVERAL)
      local seen, total = {}, 0
      for k in pairs(m) do
        seen[k], total = (seen[k] or 0) + 1, total + 1
        if total % 2 == 0 then
          m[k] = nil
        end
      end
      each_once(seen, kind, SEVERAL)
      assert.equal(SEVERAL, total)
      assert.equal(SEVERAL // 2, #m)
    end)

    it("may delete entries other than the current one: those that stay come once", function()
      local n = SEVERAL
      local m <close> = create(kind, n)
      fill(m, kind, n)
      local seen, total = {}, 0
      for k in pairs(m) do
        seen[k], total = (seen[k] or 0) + 1, total + 1
        m[kind.key((total * 7) % n // 2 * 2 + 2)] = nil
      end
      for i = 1, n do
        local times = seen[kind.key(i)] or 0
        assert.is_true(times == 1 or times == 0 and i % 2 == 0, ("entry %d came %d times"):format(i, times))
      end
      assert.is_true(total <= n)
    end)

    it("ends soon after all entries have been deleted under it", function()
      local m <close> = create(kind, SEVERAL)
      fill(m, kind, SEVERAL)
      local seen, total = {}, 0
      for k in pairs(m) do
        seen[k], total = (seen[k] or 0) + 1, total + 1
        if total == 10 then
          assert.equal(SEVERAL, map.clear(m))
        end
        assert.equal(1, seen[k])
      end
      assert.is_true(total >= 10 and total <= 10 + 256, total .. " entries came")
    end)

    it("ends, and yields nothing twice, though the loop updates and replaces what it sees", function()
      local n = SEVERAL
      local m <close> = create(kind, n + 1)
      fill(m, kind, n)
      local seen, total = {}, 0
      for k, v in pairs(m) do
        v = kind.percpu and v[1] or v
        seen[k], total = (seen[k] or 0) + 1, total + 1
        m[k] = v
        if v % 3 == 0 then
          m[k] = nil
          m[k] = v
        end
      end
      each_once(seen, kind, n)
      assert.equal(n, total)
      assert.equal(n, #m)
    end)

    it("ends though the loop adds as long as there is room", function()
      local m <close> = create(kind, 2 * SEVERAL)
      fill(m, kind, SEVERAL)
      local seen, added = {}, SEVERAL
      for k in pairs(m) do
        seen[k] = (seen[k] or 0) + 1
        assert.equal(1, seen[k])
        if added < 2 * SEVERAL then
          added = added + 1
          m[kind.key(added)] = added
        end
      end
      each_once(seen, kind, SEVERAL)
      assert.is_true(added > SEVERAL)
    end)

    it("may stop anywhere and start again", function()
      local m <close> = create(kind, 1000)
      fill(m, kind, 1000)
      for _, at in ipairs { 1, 2, 255, 256, 257, 999, 1000 } do
        local total = 0
        for _ in pairs(m) do
          total = total + 1
          if total == at then
            break
          end
        end
        assert.equal(at, total)
      end
      assert.equal(1000, (count(m, kind)))
    end)

    it("nests", function()
      local n = 40
      local m <close> = create(kind, n)
      fill(m, kind, n)
      local outer, inner = {}, 0
      for k in pairs(m) do
        outer[k] = (outer[k] or 0) + 1
        local seen = {}
        for other in map.keys(m) do
          seen[other] = (seen[other] or 0) + 1
          inner = inner + 1
        end
        each_once(seen, kind, n)
      end
      each_once(outer, kind, n)
      assert.equal(n * n, inner)
    end)

    it("raises once the map has been closed in the middle", function()
      local m = create(kind, SEVERAL)
      fill(m, kind, SEVERAL)
      local total = 0
      local message = helper.raises(function()
        for _ in pairs(m) do
          total = total + 1
          if total == 3 then
            map.close(m)
          end
        end
      end, "map 'walked' is closed$")
      assert.truthy(message:find("walk_spec.lua:%d+:"))
      assert.is_true(total < 3 + 256, total .. " entries came")
    end)

    it("passes an error of the loop on, and leaves the map as it is", function()
      local m <close> = create(kind, 500)
      fill(m, kind, 500)
      for _ = 1, 100 do
        local thrown = {}
        local ok, caught = pcall(function()
          for _ in pairs(m) do
            error(thrown)
          end
        end)
        assert.is_false(ok)
        assert.equal(thrown, caught)
      end
      assert.equal(500, #m)
    end)

    it("may be done by several coroutines in turn", function()
      local n = 700
      local m <close> = create(kind, n)
      fill(m, kind, n)
      local threads, seen = {}, {}
      for i = 1, 3 do
        seen[i] = {}
        threads[i] = coroutine.wrap(function()
          for k in pairs(m) do
            seen[i][k] = (seen[i][k] or 0) + 1
            coroutine.yield(true)
          end
        end)
      end
      repeat
        local more = false
        for i = 1, 3 do
          more = threads[i] and threads[i]() or more
          threads[i] = more and threads[i]
        end
      until not more
      for i = 1, 3 do
        each_once(seen[i], kind, n)
      end
    end)
  end)
end

for _, type in ipairs { "array", "percpu_array" } do
  describe("walking a " .. type, function()
    for _, n in ipairs { 1, 255, 256, 257, MANY } do
      it("of " .. n .. " slots yields each slot once, in order from 0", function()
        local m <close> = assert(map.create { type = type, value = "__u64", max_entries = n })
        for i = 0, n - 1 do
          m[i] = i + 1
        end
        local at = 0
        for k, v in pairs(m) do
          assert.equal(at, k)
          if type == "array" then
            assert.equal(k + 1, v)
          else
            on_each_cpu(k + 1)(v)
          end
          at = at + 1
        end
        assert.equal(n, at)
        assert.equal(n, #m)
        at = 0
        for k in map.keys(m) do
          assert.equal(at, k)
          at = at + 1
        end
        assert.equal(n, at)
      end)
    end

    it("sees slots that nobody has set", function()
      local m <close> = assert(map.create { type = type, value = "__u32", max_entries = 3 })
      m[1] = 5
      local got = {}
      for k, v in pairs(m) do
        got[k] = type == "array" and v or v[1]
      end
      assert.same({ [0] = 0, 5, 0 }, got)
    end)

    it("raises once the map has been closed in the middle", function()
      local m = assert(map.create { type = type, name = "slots", value = "__u32", max_entries = 1000 })
      helper.raises(function()
        for _ in pairs(m) do
          map.close(m)
        end
      end, "map 'slots' is closed$")
    end)
  end)
end

describe("values and keys of all kinds", function()
  it("structs are walked as tables, each its own", function()
    local m <close> = assert(map.create {
      type = "hash", key = "struct k { __u16 a, b; }", value = "struct v { __u64 n; char s[8]; }", max_entries = 600,
    })
    for i = 1, 600 do
      m[{ a = i, b = i + 1 }] = { n = i, s = "s" .. i }
    end
    local all = {}
    for k, v in pairs(m) do
      all[#all + 1] = { k, v }
    end
    assert.equal(600, #all)
    table.sort(all, function(x, y)
      return x[2].n < y[2].n
    end)
    for i, pair in ipairs(all) do
      assert.same({ { a = i, b = i + 1 }, { n = i, s = "s" .. i } }, pair)
    end
  end)

  it("large keys and values are walked in smaller batches", function()
    local m <close> = assert(map.create { type = "hash", key = "char[500]", value = 100000, max_entries = 40 })
    for i = 1, 40 do
      m[("k"):rep(499 - i)] = string.char(i):rep(100000)
    end
    local total = 0
    for k, v in pairs(m) do
      assert.equal(100000, #v)
      assert.equal(499 - v:byte(), #k)
      total = total + 1
    end
    assert.equal(40, total)
    assert.equal(40, #m)
  end)

  it("keys of any size are told apart", function()
    for _, size in ipairs { 1, 2, 3, 5, 7, 8, 9, 64, 511 } do
      local m <close> = assert(map.create { type = "hash", key = size, value = "__u32", max_entries = 300 })
      local n = size == 1 and 200 or 300
      for i = 1, n do
        m[string.pack("<I" .. math.min(size, 8), i) .. ("\0"):rep(size - 8)] = i
      end
      local seen, total = {}, 0
      for k, v in pairs(m) do
        assert.equal(v, (string.unpack("<I" .. math.min(size, 8), k)))
        seen[v], total = true, total + 1
      end
      assert.equal(n, total)
      assert.equal(n, #seen)
    end
  end)

  it("nested prefixes of an lpm_trie come once each", function()
    local m <close> = assert(map.create { type = "lpm_trie", key = 8, value = "__u32", max_entries = 2000 })
    local want = 0
    for _, addr in ipairs { "10.1.2.3", "10.1.2.4", "192.168.0.1", "0.0.0.0", "255.255.255.255" } do
      for len = 0, 32 do
        local key = addr .. "/" .. len
        if map.update(m, key, len, "any") then
          want = want + 1
        end
      end
    end
    assert.equal(5 * 33, want)
    local seen, total = {}, 0
    for k, len in pairs(m) do
      assert.equal(len, math.tointeger(k:match("/(%d+)$")))
      seen[k], total = (seen[k] or 0) + 1, total + 1
      assert.equal(1, seen[k])
      m[k] = nil
    end
    assert.is_true(total > 33 * 2 and total < want)
    assert.equal(0, #m)
  end)
end)

-- A bucket of a hash with 2^bits buckets and zero_seed, as the kernel's jhash2 chooses it for a __u32 key.
local function bucket_of(key, bits)
  local M = 0xffffffff
  local function rol(x, n)
    return (x << n | x >> 32 - n) & M
  end
  local c = 0xdeadbeef + 4
  local b, a = c, c + key & M
  c = ((c ~ b) - rol(b, 14)) & M
  a = ((a ~ c) - rol(c, 11)) & M
  b = ((b ~ a) - rol(a, 25)) & M
  c = ((c ~ b) - rol(b, 16)) & M
  a = ((a ~ c) - rol(c, 4)) & M
  b = ((b ~ a) - rol(a, 14)) & M
  c = ((c ~ b) - rol(b, 24)) & M
  return c & (1 << bits) - 1
end

describe("one bucket that holds more than a batch", function()
  -- Keys that share bucket 77 of as many as the map has. They are found by trying.
  local BITS <const>, CROWD <const> = helper.slow > 1 and 9 or 10, helper.slow > 1 and 300 or 600
  local crowd = {}
  local others = {}
  local key = 0
  while #crowd < CROWD do
    key = key + 1
    if bucket_of(key, BITS) == 77 then
      crowd[#crowd + 1] = key
    elseif #others < (1 << BITS) - CROWD then
      others[#others + 1] = key
    end
  end

  local sets = { alone = crowd, ["among others"] = table.move(others, 1, #others, CROWD + 1, { table.unpack(crowd) }) }
  for _, type in ipairs { "hash", "percpu_hash" } do
    for what, keys in pairs(sets) do
      it("is walked whole, " .. what .. ", in a " .. type, function()
        local m <close> = assert(map.create {
          type = type, key = "__u32", value = "__u32", max_entries = 1 << BITS, flags = { "zero_seed", "no_prealloc" },
        })
        for i, k in ipairs(keys) do
          m[k] = i
        end
        local seen, total, first, last = {}, 0, nil, 0
        for k, v in pairs(m) do
          total = total + 1
          seen[k] = (seen[k] or 0) + 1
          assert.equal(k, keys[type == "hash" and v or v[1]])
          if bucket_of(k, BITS) == 77 then
            first, last = first or total, total
          end
        end
        assert.equal(#keys, total)
        assert.equal(#keys, #m)
        for _, k in ipairs(keys) do
          assert.equal(1, seen[k])
        end
        assert.equal(CROWD, last - first + 1, "the keys don't share a bucket: the test is wrong")
        assert.equal(#keys, map.clear(m))
        assert.equal(0, #m)
      end)
    end
  end
end)

describe("the naive loop", function()
  -- Deletes each even key it meets; returns how often a key came again.
  local function naive(m)
    local seen, again, steps = {}, 0, 0
    local k = map.next_key(m)
    while k and steps < 100000 do
      steps = steps + 1
      again = again + (seen[k] and 1 or 0)
      seen[k] = true
      local current = k
      if current % 2 == 0 then
        m[current] = nil
      end
      k = map.next_key(m, current)
    end
    return again
  end

  local function walked(m)
    local seen, again = {}, 0
    for k in pairs(m) do
      again = again + (seen[k] and 1 or 0)
      seen[k] = true
      if k % 2 == 0 then
        m[k] = nil
      end
    end
    return again
  end

  it("with next_key starts over when the current key is deleted, and pairs doesn't", function()
    local m <close> = create(kinds[1], 200)
    fill(m, kinds[1], 200)
    assert.is_true(naive(m) > 0)
    assert.equal(100, #m)
    fill(m, kinds[1], 200)
    assert.equal(0, walked(m))
    assert.equal(100, #m)
  end)

  it("does so in an lpm_trie as well", function()
    local m <close> = assert(map.create { type = "lpm_trie", key = 8, value = "__u32", max_entries = 200 })
    local function refill()
      for i = 1, 200 do
        m[prefix(i)] = i
      end
    end
    local function last_octet(k)
      return math.tointeger(k:match("(%d+)/"))
    end
    refill()
    local seen, again, k = {}, 0, map.next_key(m)
    while k do
      again, seen[k] = again + (seen[k] and 1 or 0), true
      if last_octet(k) % 2 == 0 then
        m[k] = nil
      end
      k = map.next_key(m, k)
    end
    assert.is_true(again > 0)
    refill()
    seen, again = {}, 0
    for key in pairs(m) do
      again, seen[key] = again + (seen[key] and 1 or 0), true
      if last_octet(key) % 2 == 0 then
        m[key] = nil
      end
    end
    assert.equal(0, again)
    assert.equal(100, #m)
  end)
end)

describe("the lifetime of a walk:", function()
  it("it keeps its map", function()
    local step, walk = pairs((function()
      local m = create(kinds[1], 600)
      fill(m, kinds[1], 600)
      return m
    end)())
    collectgarbage()
    collectgarbage()
    local total = 0
    for _ in step, walk do
      total = total + 1
    end
    assert.equal(600, total)
  end)

  it("after its end it stays at its end", function()
    for _, kind in ipairs(kinds) do
      local m <close> = create(kind, 300)
      fill(m, kind, 300)
      local step, walk = pairs(m)
      while step(walk) ~= nil do end
      m[kind.key(301)] = nil
      for _ = 1, 3 do
        assert.is_nil(step(walk))
      end
    end
  end)

  it("a closed map has no walk and no length", function()
    local m = create(kinds[1], 1)
    map.close(m)
    for _, fn in ipairs { pairs, map.keys, function() return #m end } do
      helper.raises(function()
        fn(m)
      end, "map 'walked' is closed$")
    end
  end)

  it("a map may be collected while another handle of it is walked", function()
    local m = create(kinds[6], 300)
    fill(m, kinds[6], 300)
    local view <close> = assert(map.typed(m, nil, 8))
    map.close(m)
    local total = 0
    for _, v in pairs(view) do
      assert.equal(8, #v)
      total = total + 1
    end
    assert.equal(300, total)
  end)

  it("a frozen map is walked as any other", function()
    local m <close> = create(kinds[1], 300)
    fill(m, kinds[1], 300)
    assert(map.freeze(m))
    assert.equal(300, (count(m, kinds[1])))
  end)

  it("a map opened for writing alone raises in the loop", function()
    local m <close> = assert(map.create {
      type = "hash", name = "wronly", key = "__u32", value = "__u32", max_entries = 10, flags = "wronly",
    })
    m[1] = 1
    helper.raises(function()
      for _ in pairs(m) do
        error("there is nothing to read")
      end
    end, "map 'wronly': walk: .*%(EPERM%)$")
    helper.raises(function()
      return #m
    end, "map 'wronly': walk: .*%(EPERM%)$")
  end)
end)

-- Deletes what a step gave. Two of the keys that have been seen are there at a time, others each time.
local function toggle(m, order, value)
  local n = #order
  m[order[n]] = nil
  if n > 4 then
    m[order[n - 4]] = nil
    m[order[(n * 7) % (n - 1) + 1]] = nil
    m[order[n % 5 + 1]] = value
    m[order[(n + 3) % 5 + 1]] = nil
    m[order[n // 2]] = value
  end
end

describe("keys that were seen come back while the loop deletes:", function()
  local inner

  -- The kernel waits for all CPUs in each update of a map of maps.
  local function count_of(type)
    return type == "hash_of_maps" and 15 or 300
  end

  setup(function()
    inner = assert(map.create { type = "array", max_entries = 1, value = "__u32" })
  end)

  teardown(function()
    map.close(inner)
  end)

  local function made(type)
    return assert(map.create {
      type = type, name = "back", max_entries = count_of(type),
      key = type == "lpm_trie" and "struct p { __u32 len; __u8 data[4]; }"
        or type == "hash_of_maps" and "__u32" or nil,
      value = type == "lpm_trie" and "__u32" or nil,
      inner = type == "hash_of_maps" and { type = "array", max_entries = 1, value = "__u32" } or nil,
    })
  end

  local function walk(type, how)
    local m <close> = made(type)
    local key_of = type == "lpm_trie" and prefix or same
    local value = type == "hash_of_maps" and inner or 1
    local n = count_of(type)
    for i = 1, n do
      m[key_of(i)] = value
    end
    local order, seen = {}, {}
    local function step(k)
      assert(not seen[k], "a key came twice")
      order[#order + 1], seen[k] = k, true
      toggle(m, order, value)
    end
    if how == "keys" then
      for k in map.keys(m) do step(k) end
    elseif how == "drain" then
      for k in map.drain(m) do step(k) end
    else
      for k in pairs(m) do step(k) end
    end
    assert.equal(n, #order)
  end

  for _, type in ipairs { "lpm_trie", "devmap_hash", "hash_of_maps" } do
    for _, how in ipairs { "pairs", "keys", "drain" } do
      it(how .. " of a " .. type .. " still meets all others", function()
        walk(type, how)
      end)
    end
  end
end)

describe("the system calls of a walk by steps", function()
  local function counter()
    local obj = assert(attach.load("calls", { "count_enter" }, { target = attach.self() }))
    assert(obj.progs.count_enter:attach())
    return obj
  end

  -- How many for each of n entries, without those of the loop's body.
  local function calls(obj, row, n, body)
    local m <close> = assert(map.create {
      type = row.type, max_entries = n, key = row.type == "lpm_trie" and 8 or nil,
      value = row.type == "lpm_trie" and "__u32" or nil,
    })
    local key_of = row.type == "lpm_trie" and prefix or same
    for i = 1, n do
      m[key_of(i)] = 1
    end
    local order, start = {}, obj.vars.entered
    for k in (row.how == "pairs" and pairs or map[row.how])(m) do
      order[#order + 1] = k
      local before = obj.vars.entered
      if body then
        body(m, order, 1)
      end
      start = start + obj.vars.entered - before
    end
    assert.equal(n, #order)
    return (obj.vars.entered - start) / n
  end

  for _, row in ipairs {
    { type = "lpm_trie", how = "pairs", calls = 3 },
    { type = "lpm_trie", how = "keys", calls = 2 },
    { type = "lpm_trie", how = "drain", calls = 4 }, -- it has no calls that look up and delete
    { type = "devmap_hash", how = "pairs", calls = 3 },
    { type = "devmap_hash", how = "keys", calls = 2 },
    { type = "devmap_hash", how = "drain", calls = 3 },
  } do
    it(("are %d an entry: %s of %s"):format(row.calls, row.how, row.type), function()
      local obj <close> = counter()
      local few = calls(obj, row, 400)
      assert.is_true(few < row.calls + 0.2, few .. " calls")
    end)

    it("are a few more where seen keys come and go, however many entries: " .. row.how .. " of " .. row.type, function()
      local obj <close> = counter()
      for _, n in ipairs { 100, 400 } do
        local few = calls(obj, row, n, toggle)
        assert.is_true(few < row.calls + 5.2, few .. " calls")
      end
    end)
  end
end)

describe("a walk by steps to which each step brings a new key", function()
  local m, n

  before_each(function()
    n = 1
    m = assert(map.create {
      type = "lpm_trie", name = "endless", max_entries = 2,
      key = "struct p { __u32 len; __u8 data[4]; }", value = "__u32",
    })
    m[prefix(1)] = 1
  end)

  after_each(function()
    map.close(m)
  end)

  local function replace(k)
    m[k] = nil
    n = n + 1
    m[prefix(n)] = n
  end

  it("raises", function()
    for _, walk in ipairs { pairs, map.keys, map.drain } do
      local before = n
      helper.raises(function()
        for k in walk(m) do
          replace(k)
        end
      end, "map 'endless': walk: keys come in faster than they are walked %(EAGAIN%)$")
      assert.is_true(n - before > 500, n - before .. " steps")
    end
  end)

  it("returns so where it goes in pieces", function()
    local keys, message, code, cursor
    repeat
      keys, message, code = map.lookup_batch(m, cursor, 1)
      if keys then
        cursor = code
        replace(keys[1])
      end
    until not cursor or not keys
    assert.same({ "map 'endless': lookup_batch: keys come in faster than they are walked (EAGAIN)", "EAGAIN" },
      { message, code })
  end)
end)

describe("walking while others write", function()
  local seconds = require "bpf.base.posix".seconds
  local SECONDS <const>, LIMIT <const> = helper.slow > 1 and 1 or 0.5, 20 * helper.slow
  local STABLE <const> = helper.slow > 1 and 1000 or 3000 -- and as many that come and go

  -- The number that spec/support/hammer.c makes key i of the stable ones, from 0.
  local function stable_number(i)
    return i // 8 * 16 + i % 8
  end

  -- Threads that change the map for as long, beginning now. At the end they tell how many changes that were.
  local function hammer(m, threads, churn, stable)
    local pipe = assert(io.popen(("build/support/hammer %d %d %d %d %d"):format(
      map.info(m).id, SECONDS * 1000, threads, churn, stable)))
    assert.equal("ready", pipe:read("l"))
    return pipe
  end

  -- As make_key there.
  local function prefix_of(n)
    local len = 32
    while n ~= 0 and len > 24 and n & (4 << 32 - len) - 1 == 0 do
      len = len - 1
    end
    return ("%d.%d.%d.%d/%d"):format(n >> 24, n >> 16 & 255, n >> 8 & 255, n & 255, len)
  end

  for _, row in ipairs {
    { type = "hash", flags = "no_prealloc" },
    { type = "hash" },
    { type = "percpu_hash", percpu = true },
    { type = "lru_hash", room = 60000 },
    { type = "lpm_trie", key = prefix_of },
    { type = "lpm_trie", key = prefix_of, overwrite = false },
  } do
    for threads = helper.slow > 1 and 2 or 1, 2 do -- one thread only is no other kernel
      local what = ("%s, %d thread%s%s"):format(title(row), threads, threads > 1 and "s" or "",
        row.overwrite == false and ", stable keys left alone" or "")
      it("sees every stable entry once and none twice: " .. what, function()
        local stable, churn = STABLE, STABLE
        local key_of = row.key or same
        local m <close> = assert(map.create {
          type = row.type, key = row.type == "lpm_trie" and 8 or "__u32", value = "struct v { __u32 a, b, c, d; }",
          max_entries = row.room or 8192, flags = row.flags,
        })
        for i = 0, stable - 1 do
          local n = stable_number(i)
          m[key_of(n)] = { a = n, b = n, c = n, d = n }
        end
        local pipe <close> = hammer(m, threads, churn, row.overwrite == false and 0 or stable)
        local start, walks, churned = seconds(), 0, 0
        while seconds() - start < SECONDS do
          local began, seen = seconds(), {}
          for k, v in pairs(m) do
            v = row.percpu and v[1] or v
            if seen[k] then
              error(("walk %d: key %s came twice"):format(walks, k))
            end
            seen[k] = true
            if row.type ~= "lpm_trie" and not (v.a == k and v.d == k) then
              error(("walk %d: key %s has the value of %d"):format(walks, k, v.a))
            end
            if seconds() - began > LIMIT then
              error("walk " .. walks .. " doesn't end")
            end
          end
          for i = 0, stable - 1 do
            local k = key_of(stable_number(i))
            if not seen[k] then
              error(("walk %d: stable key %s didn't come"):format(walks, k))
            end
            seen[k] = nil
          end
          walks = walks + 1
          churned = churned + (next(seen) and 1 or 0)
        end
        local changes = math.tointeger(pipe:read("l"))
        assert.is_true(walks > 0, walks .. " walks") -- a busy machine does few
        assert.is_true(churned > 0, churned .. " walks that met churn")
        assert.is_true(changes > 1000, changes .. " changes")
      end)
    end
  end

  it("the keys alone, and the length, too", function()
    for _, type in ipairs { "hash", "lpm_trie" } do
      local key_of = type == "hash" and same or prefix_of
      local m <close> = assert(map.create {
        type = type, key = type == "lpm_trie" and 8 or "__u32", value = "__u32", max_entries = 8192,
      })
      for i = 0, STABLE - 1 do
        m[key_of(stable_number(i))] = i
      end
      local pipe <close> = hammer(m, 2, STABLE, 0)
      local start = seconds()
      while seconds() - start < SECONDS do
        local seen = {}
        for k in map.keys(m) do
          assert(not seen[k], "a key came twice")
          seen[k] = true
        end
        for i = 0, STABLE - 1 do
          assert(seen[key_of(stable_number(i))], "a stable key didn't come")
        end
        local n = #m
        assert.is_true(n >= STABLE and n <= 2 * STABLE, "the length was " .. n)
      end
      assert.is_true(math.tointeger(pipe:read("l")) > 1000)
    end
  end)

  it("drain takes all that stayed, and ends", function()
    local m <close> = assert(map.create { type = "lpm_trie", key = 8, value = "__u32", max_entries = 8192 })
    local pipe <close> = hammer(m, 2, 3000, 0)
    for _ = 1, 3 do
      for i = 0, STABLE - 1 do
        m[prefix_of(stable_number(i))] = i
      end
      for _ in map.drain(m) do end -- luacheck: ignore 542
      for i = 0, STABLE - 1 do
        assert(m[prefix_of(stable_number(i))] == nil, "a stable key was left")
      end
    end
    pipe:read("a")
  end)

  for _, row in ipairs {
    { type = "devmap_hash", how = "pairs", stable = 500 },
    { type = "devmap_hash", how = "keys", stable = 500 },
    { type = "devmap_hash", how = "drain", stable = 500 },
    -- the kernel waits for readers with each change
    { type = "hash_of_maps", how = "drain", stable = 20, key = "__u32",
      inner = { type = "array", max_entries = 1, value = "__u32" } },
  } do
    it("by steps, each stable entry comes once: " .. row.how .. " of a " .. row.type, function()
      local walk = row.how == "pairs" and pairs or map[row.how]
      local inner <close> = assert(map.create { type = "array", max_entries = 1, value = "__u32" })
      local value = row.inner and inner or 1
      local m <close> = assert(map.create { type = row.type, key = row.key, inner = row.inner, max_entries = 8192 })
      local pipe <close> = hammer(m, 2, row.stable, 0)
      for _ = 1, 3 do
        for i = 0, row.stable - 1 do
          m[stable_number(i)] = value
        end
        local seen = {}
        for k in walk(m) do
          assert(not seen[k], "a key came twice")
          seen[k] = true
        end
        for i = 0, row.stable - 1 do
          assert(seen[stable_number(i)], "a stable key didn't come")
        end
      end
      assert.is_true(math.tointeger(pipe:read("l")) > 0)
    end)
  end

  it("clear ends, and takes what was there", function()
    for _, type in ipairs { "hash", "lpm_trie" } do
      local key_of = type == "hash" and same or prefix_of
      local m <close> = assert(map.create {
        type = type, key = type == "lpm_trie" and 8 or "__u32", value = "__u32", max_entries = 8192,
      })
      local pipe <close> = hammer(m, 2, 3000, 0)
      local start = seconds()
      while seconds() - start < SECONDS do
        for i = 0, 999 do
          m[key_of(stable_number(i))] = i
        end
        assert.is_true(map.clear(m) >= 1000)
        for i = 0, 999 do
          assert(type == "lpm_trie" or m[stable_number(i)] == nil)
        end
      end
      pipe:read("a")
    end
  end)
end)

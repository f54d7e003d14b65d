-- SPDX-License-Identifier: MIT
-- array_of_maps and hash_of_maps: inner maps that Lua puts in, that programs work on, and that Lua gets back typed.

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()

local NESTED = helper.obj("nested")
local HIT = "struct hit { __u64 count; __u32 last; }"
local KINDS = { "array_of_maps", "hash_of_maps" }

local function hits(options)
  local all = { type = "hash", name = "hits", key = "__u32", value = HIT, max_entries = 8 }
  for name, option in pairs(options or {}) do
    all[name] = option or nil
  end
  return assert(map.create(all))
end

local function numbers(max_entries, flags)
  return assert(map.create({ type = "array", name = "numbers", value = "__u64", max_entries = max_entries,
    flags = flags }))
end

local function outer(type, inner, options)
  local all = { type = type, name = "outer", max_entries = 4, inner = inner }
  if type == "hash_of_maps" then
    all.key = "__u32"
  end
  for name, option in pairs(options or {}) do
    all[name] = option
  end
  return map.create(all)
end

-- Runs a program on struct args. Returns its answer, whether it found an inner map, and the value.
local function call(prog, name, key, value)
  kernel.need("syscall programs", "5.14")
  kinds.need("syscall")
  local answer = assert(prog:run({ ctx = string.pack("=I8I4I4i8", name, key, 0, value or 0) }))
  local _, _, found, got = string.unpack("=I8I4I4i8", answer.ctx)
  return answer.retval, found == 1, got
end

for _, kind in ipairs(KINDS) do
  describe(kind .. " of one's own", function()
    it("is made like a map", function()
      local template <close> = hits()
      local m <close> = assert(outer(kind, template))
      assert.equal(kind, map.type(m))
      local info = map.info(m)
      assert.same({ 4, 4, 4 }, { info.key_size, info.value_size, info.max_entries })
      local inner <close> = hits()
      m[1] = inner
      local got <close> = m[1]
      assert.is_true(got == inner)
      assert.is_false(got == template)
    end)

    it("is made like options describe, and keeps nothing of them open", function()
      local before = helper.descriptors()
      do
        local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
        assert.equal(before + 1, helper.descriptors())
        local inner <close> = hits()
        m[0] = inner
        assert.is_true(inner == m[0])
      end
      assert.equal(before, helper.descriptors())
    end)

    it("says why the inner options fail", function()
      fails("EINVAL", "^map%.create %(hash broken%): max_entries must be greater than 0",
        outer(kind, { type = "hash", name = "broken", key = "__u32", value = "__u32" }))
      for _, bad in ipairs({ { type = "hash", kee = "__u32" }, {}, { type = "hush" } }) do
        assert.is_false(pcall(outer, kind, bad))
      end
    end)

    it("wants an inner map", function()
      fails("EINVAL", "inner is missing", outer(kind))
      for _, bad in ipairs({ 1, "hash", true, print }) do
        helper.raises(function() outer(kind, bad) end, "option 'inner' must be a map or a table of options, got ")
      end
      local closed = hits()
      map.close(closed)
      helper.raises(function() outer(kind, closed) end, "closed")
    end)

    it("has nothing where nothing was put", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      assert.is_nil(m[0])
      assert.same({ n = 1 }, table.pack(map.lookup(m, 0)))
      assert.same({ false, "ENOENT" }, { map.delete(m, 0) })
      for _ in pairs(m) do
        error("it has an entry")
      end
    end)

    it("gives each time a new handle, typed by the kernel's BTF, that outlives the outer map and the entry", function()
      local m = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      do
        local inner <close> = hits()
        inner[7] = { count = 1, last = 2 }
        m[2] = inner
      end
      local one <close> = m[2]
      local other <close> = map.lookup(m, 2)
      assert.is_true(one == other)
      assert.is_false(rawequal(one, other))
      assert.are_not.equal(map.fd(one), map.fd(other))
      assert.same({ count = 1, last = 2 }, one[7])
      other[7] = { count = 5 }
      assert.same({ count = 5, last = 0 }, one[7])
      assert.equal("hits", map.info(one).name)
      map.close(other)
      m[2] = nil
      assert.is_nil(m[2])
      map.close(m)
      assert.same({ count = 5, last = 0 }, one[7])
    end)

    it("is walked", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      local put = {}
      for _, k in ipairs({ 0, 3 }) do
        put[k] = hits()
        m[k] = put[k]
      end
      local seen = {}
      for k, inner in pairs(m) do
        assert.is_nil(seen[k])
        seen[k] = inner == put[k]
        map.close(inner)
      end
      assert.same({ [0] = true, [3] = true }, seen)
      local keys = {}
      for k in map.keys(m) do
        keys[#keys + 1] = k
      end
      table.sort(keys)
      assert.same({ 0, 3 }, keys)
      for k, inner in pairs(m) do
        map.close(inner)
        m[k] = nil
      end
      assert.is_nil(m[0])
      assert.is_nil(m[3])
      for _, inner in pairs(put) do
        map.close(inner)
      end
    end)

    it("is drained, and gives inner maps that nothing else refers to any more", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      for k = 0, 3 do
        local inner <close> = hits()
        inner[1] = { count = k }
        m[k] = inner
      end
      helper.run("sleep 0.05") -- so that no grace period of before keeps anything
      local seen = {}
      for k, inner in map.drain(m) do
        helper.run("sleep 0.05")
        assert.is_truthy(inner, "no inner map for key " .. k)
        seen[k] = inner[1].count
        map.close(inner)
      end
      assert.same({ [0] = 0, 1, 2, 3 }, seen)
      for _ in pairs(m) do
        error("it has an entry left")
      end
    end)

    it("is drained in part", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      for k = 0, 3 do
        local inner <close> = hits()
        inner[1] = { count = k }
        m[k] = inner
      end
      for _, inner in map.drain(m) do -- luacheck: ignore 512
        map.close(inner)
        break
      end
      local left = 0
      for k, inner in pairs(m) do
        left = left + 1
        assert.equal(k, inner[1].count)
        map.close(inner)
      end
      assert.equal(3, left)
    end)

    it("can be cleared, and its inner maps are gone with the last that refers to them", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      local ids = {}
      for k = 0, 2 do
        local inner <close> = hits()
        ids[k] = map.info(inner).id
        m[k] = inner
      end
      for _, id in pairs(ids) do
        local inner <close> = assert(map.by_id(id))
        assert.equal("hash", map.type(inner))
      end
      assert.equal(3, map.clear(m))
      assert.is_nil(m[0])
      for _, id in pairs(ids) do
        local inner, code
        for _ = 1, 200 do -- the kernel frees them after a grace period
          local _
          inner, _, code = map.by_id(id)
          if not inner then
            break
          end
          map.close(inner)
          helper.run("sleep 0.01")
        end
        assert.is_nil(inner)
        assert.equal("ENOENT", code)
      end
    end)

    it("refuses inner maps that differ", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      local others = {
        hits({ type = "lru_hash" }),
        hits({ key = "__u64" }),
        hits({ value = "__u64" }),
        hits({ flags = "no_prealloc" }),
        numbers(8),
      }
      for _, other in ipairs(others) do
        fails("EINVAL", "map 'outer': update: .*another type", map.update(m, 0, other))
        helper.raises(function() m[0] = other end, "map 'outer': update: .*EINVAL")
        map.close(other)
      end
      assert.is_nil(m[0])
    end)

    it("refuses what is no open map", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      local obj <close> = assert(kernel.load(NESTED))
      for _, bad in ipairs({ 1, "hits", {}, true, print, obj, obj.progs.hit }) do
        helper.raises(function() m[0] = bad end, "value: a map expected, got ")
        helper.raises(function() map.update(m, 0, bad) end, "value: a map expected, got ")
      end
      local closed = hits()
      map.close(closed)
      helper.raises(function() m[0] = closed end, "closed")
      assert.is_nil(m[0])
    end)

    it("takes hashes of any size, and arrays of another only with the flag inner_map", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      local large <close> = hits({ max_entries = 1000 })
      m[0] = large
      local got <close> = m[0]
      assert.equal(1000, map.info(got).max_entries)

      local strict <close> = assert(outer(kind, { type = "array", value = "__u64", max_entries = 4 }))
      local five <close> = numbers(5)
      fails("EINVAL", "map 'outer': update: ", map.update(strict, 0, five))
      local four <close> = numbers(4)
      strict[0] = four

      kernel.need("arrays of another size", "5.10")
      local m2 <close> = assert(outer(kind, { type = "array", value = "__u64", max_entries = 4, flags = "inner_map" }))
      local more <close> = numbers(50, "inner_map")
      m2[0] = more
      local inner <close> = m2[0]
      inner[49] = 1
      assert.equal(1, more[49])
      assert.equal(50, #inner)
    end)

    it("can be filled only once with noexist, and changed only with exist", function()
      local m <close> = assert(outer(kind, { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
      local a <close> = hits()
      local b <close> = hits()
      if kind == "hash_of_maps" then
        assert.same({ false, "ENOENT" }, { map.update(m, 1, a, "exist") })
        assert.is_true(map.update(m, 1, a, "noexist"))
        assert.same({ false, "EEXIST" }, { map.update(m, 1, b, "noexist") })
        local got <close> = m[1]
        assert.is_true(got == a)
        assert.is_true(map.update(m, 1, b, "exist"))
      else -- slots exist, empty or not; the kernel takes no flags at all
        fails("EINVAL", "map 'outer': update: ", map.update(m, 1, a, "exist"))
        fails("EINVAL", "map 'outer': update: flags: such a slot can only be set, without a flag %(EINVAL%)$",
          map.update(m, 1, a, "noexist"))
        assert.is_true(map.update(m, 1, b))
      end
      local got <close> = m[1]
      assert.is_true(got == b)
    end)
  end)
end

describe("the size", function()
  it("of an array_of_maps are its slots", function()
    local m <close> = assert(outer("array_of_maps", { type = "hash", key = "__u32", value = HIT, max_entries = 8 }))
    assert.equal(4, #m)
    local inner <close> = hits()
    fails("E2BIG", "no such slot, the last one is 3", map.update(m, 4, inner))
    assert.is_nil(m[4])
  end)

  it("of a hash_of_maps are its entries", function()
    local m <close> = assert(outer("hash_of_maps", { type = "hash", key = "__u32", value = HIT, max_entries = 8 },
      { max_entries = 2 }))
    local inner <close> = hits()
    assert.equal(0, #m)
    m[10], m[11] = inner, inner
    assert.equal(2, #m)
    fails("E2BIG", "full, all 2 entries in use", map.update(m, 12, inner))
  end)
end)

describe("a hash_of_maps", function()
  it("has keys of any type", function()
    local m <close> = assert(outer("hash_of_maps", { type = "hash", key = "__u32", value = HIT, max_entries = 8 },
      { key = "struct flow { char name[8]; __u16 port; }" }))
    local inner <close> = hits()
    m[{ name = "dns", port = 53 }] = inner
    local got <close> = m[{ name = "dns", port = 53 }]
    assert.is_true(got == inner)
    assert.is_nil(m[{ name = "dns", port = 54 }])
  end)
end)

describe("an object's map of maps", function()
  local obj

  before_each(function()
    obj = assert(kernel.load(NESTED))
  end)

  after_each(function()
    obj:close()
  end)

  it("has the inner maps that it declares", function()
    local seen = {}
    for slot, inner in pairs(obj.maps.by_slot) do
      seen[slot] = inner == obj.maps.first and "first" or inner == obj.maps.second and "second" or "another"
      map.close(inner)
    end
    assert.same({ [1] = "first", [3] = "second" }, seen)
  end)

  it("gives programs the inner maps that Lua puts in", function()
    local by_name, hit = obj.maps.by_name, obj.progs.hit
    assert.same({ 1, false, 0 }, { call(hit, 80, 1) })
    local www <close> = hits()
    local dns <close> = hits({ max_entries = 100 })
    by_name[80], by_name[53] = www, dns
    www[1] = { count = 41 }
    assert.same({ 0, true, 42 }, { call(hit, 80, 1, 7) })
    assert.same({ count = 42, last = 7 }, www[1])
    assert.same({ 0, true, 1 }, { call(hit, 53, 1, 8) })
    assert.same({ count = 1, last = 8 }, dns[1])
    for key = 10, 50 do
      assert.equal(0, (call(hit, 53, key)))
    end
    assert.equal(42, #dns)
    by_name[80] = nil
    assert.same({ 1, false, 0 }, { call(hit, 80, 1) })
    assert.same({ count = 42, last = 7 }, www[1])
  end)

  it("keeps the inner maps open without any handle of Lua's", function()
    obj.maps.by_name[80] = hits()
    collectgarbage()
    collectgarbage()
    call(obj.progs.hit, 80, 1, 7)
    call(obj.progs.hit, 80, 1, 8)
    local inner <close> = obj.maps.by_name[80]
    assert.same({ count = 2, last = 8 }, inner[1])
  end)

  it("lets a program work on arrays of several sizes", function()
    local by_slot, twice = obj.maps.by_slot, obj.progs.twice
    obj.maps.first[2] = 21
    assert.same({ 0, true, 42 }, { call(twice, 1, 2) })
    assert.equal(42, obj.maps.first[2])
    assert.same({ 1, false, 0 }, { call(twice, 0, 2) })
    local large <close> = numbers(1000, "inner_map")
    by_slot[0] = large
    large[999] = -4
    assert.same({ 0, true, -8 }, { call(twice, 0, 999) })
    assert.equal(-8, large[999])
    assert.same({ 2, true, 0 }, { call(twice, 0, 1000) })
    local plain <close> = numbers(4)
    fails("EINVAL", "map 'by_slot': update: ", map.update(by_slot, 0, plain))
  end)

  it("lets an inner map be replaced while a program runs", function()
    local by_slot = obj.maps.by_slot
    local inner = {}
    for i = 1, 2 do
      inner[i] = numbers(4, "inner_map")
    end
    by_slot[0] = inner[1]
    local dir = helper.tmpdir()
    helper.run(("head -c 64 /dev/zero >%s/packet; touch %s/go"):format(dir, dir))
    local runs <close> = io.popen(([[while [ -e %s/go ]; do
      bpftool prog run id %d data_in %s/packet repeat 100000 2>&1 || exit; done]]):format(dir,
      obj.progs.count:info().id, dir))
    local deadline = os.time() + 30 * helper.slow
    repeat -- until it has begun
      assert.is_true(os.time() < deadline, "it never began")
    until obj.vars.counted > 0
    for i = 1, 10 do
      local before = obj.vars.counted
      by_slot[0] = inner[i % 2 + 1]
      repeat -- until it has run with this one
        assert.is_true(os.time() < deadline, "it doesn't run any more")
      until obj.vars.counted > before
    end
    os.remove(dir .. "/go")
    assert.matches("Return value: 2", runs:read("a"))
    assert.equal(0, obj.vars.missing)
    local counted = obj.vars.counted
    assert.is_true(inner[1][0] > 0)
    assert.is_true(inner[2][0] > 0)
    assert.equal(counted, inner[1][0] + inner[2][0])
    for i = 1, 2 do
      map.close(inner[i])
    end
  end)
end)

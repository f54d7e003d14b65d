-- SPDX-License-Identifier: MIT
-- bloom_filter: values that Lua and programs push, and ask for.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("bloom_filter", "5.16")

local BLOOM = helper.obj("bloom")
local ENOENT = 2

local function filter(options)
  local all = { type = "bloom_filter", name = "seen", value = "__u64", max_entries = 1000 }
  for name, option in pairs(options or {}) do
    all[name] = option or nil
  end
  return assert(map.create(all))
end

describe("a Bloom filter of one's own", function()
  it("contains what was pushed", function()
    local m <close> = filter()
    assert.equal("bloom_filter", map.type(m))
    assert.same({ true, n = 1 }, table.pack(map.push(m, 0)))
    assert.same({ true, n = 1 }, table.pack(map.contains(m, 0)))
    for n = 1, 999 do
      assert(map.push(m, n))
    end
    for n = 0, 999 do
      assert(map.contains(m, n) == true)
    end
  end)

  it("contains hardly anything else", function()
    local m <close> = filter()
    for n = 1, 1000 do
      map.push(m, n)
    end
    local wrong = 0
    for n = 100001, 101000 do
      wrong = wrong + (map.contains(m, n) and 1 or 0)
    end
    assert.is_true(wrong < 200, wrong .. " of 1000 that weren't pushed") -- expected: less than 30
  end)

  it("is empty at first, and pushes of the same value are one", function()
    local m <close> = filter({ max_entries = 1 })
    assert.same({ false, n = 1 }, table.pack(map.contains(m, 0)))
    for _ = 1, 10 do
      assert.is_true(map.push(m, 0))
    end
    assert.is_true(map.contains(m, 0))
  end)

  it("never fills up", function()
    local m <close> = filter({ max_entries = 1 })
    for n = 1, 1000 do
      assert(map.push(m, n))
    end
    assert.is_true(map.contains(m, 1000))
  end)

  it("has as many hash functions as map_extra says", function()
    for _, n in ipairs({ 1, 7, 15 }) do
      local m <close> = filter({ map_extra = n })
      assert.equal(n, map.info(m).map_extra)
      map.push(m, 42)
      assert.is_true(map.contains(m, 42))
      local wrong = 0
      for other = 101, 200 do
        wrong = wrong + (map.contains(m, other) and 1 or 0)
      end
      assert.is_true(wrong < 50) -- one is not impossible
    end
    local m <close> = filter()
    assert.equal(0, map.info(m).map_extra) -- left to the kernel
    fails("EINVAL", "map.create %(bloom_filter", map.create({ type = "bloom_filter", value = "__u64", max_entries = 8,
      map_extra = 16 }))
  end)

  it("has typed values", function()
    local m <close> = filter({ value = "struct flow { __u32 address; __u16 port; char proto[4]; }" })
    map.push(m, { address = 1, port = 80, proto = "tcp" })
    assert.is_true(map.contains(m, { proto = "tcp", port = 80, address = 1 }))
    assert.is_false(map.contains(m, { address = 1, port = 80 }))
    helper.raises(function() map.push(m, { adress = 1 }) end, "no member 'adress'")
    helper.raises(function() map.contains(m, 1) end, "value: ")
    local bytes <close> = filter({ value = false, value_size = 3 })
    map.push(bytes, "a\0c")
    assert.is_true(map.contains(bytes, "a\0c"))
    assert.is_false(map.contains(bytes, "abc"))
    helper.raises(function() map.push(bytes, "ab") end, "3 bytes")
  end)

  it("keeps its type for whoever opens it", function()
    local m <close> = filter({ value = "struct flow { __u32 address; __u16 port; }" })
    map.push(m, { address = 5 })
    local again <close> = assert(map.by_id(map.info(m).id))
    assert.is_true(map.contains(again, { address = 5 }))
    assert.is_false(map.contains(again, { address = 6 }))
  end)

  it("takes no flags but any", function()
    local m <close> = filter()
    assert.is_true(map.push(m, 1, "any"))
    fails("EINVAL", "^map 'seen': push: ", map.push(m, 2, "exist"))
    fails("EINVAL", "^map 'seen': push: ", map.push(m, 2, "noexist"))
    assert.is_false(map.contains(m, 2))
  end)

  it("wants a value, and no key", function()
    local m <close> = filter()
    helper.raises(function() map.push(m) end, "bad argument #2 to 'push' %(value expected%)")
    helper.raises(function() map.contains(m) end, "bad argument #2 to 'contains' %(value expected%)")
    helper.raises(function() map.contains(m, nil) end, "integer expected")
    fails("EINVAL", "key must be left out", map.create({ type = "bloom_filter", key = "__u32", value = "__u32",
      max_entries = 1 }))
    fails("EINVAL", "value is missing", map.create({ type = "bloom_filter", max_entries = 1 }))
  end)

  it("can do nothing else, and says what it can", function()
    local m <close> = filter()
    local what = "map 'seen': maps of type bloom_filter have no .*%(they have: push, contains%)"
    for _, name in ipairs({ "lookup", "unpack", "delete", "lookup_and_delete", "next_key", "keys", "pop", "peek",
      "clear", "drain" }) do
      helper.raises(function() map[name](m, 1) end, what)
    end
    helper.raises(function() map.update(m, 1, 1) end, what)
    helper.raises(function() return m[1] end, what)
    helper.raises(function() m[1] = 1 end, what)
    helper.raises(function() m[1] = nil end, what)
    helper.raises(function() pairs(m) end, what)
    helper.raises(function() return #m end, what)
  end)
end)

describe("contains", function()
  it("is for Bloom filters alone", function()
    local m <close> = assert(map.create({ type = "hash", name = "m", key = "__u32", value = "__u32", max_entries = 1 }))
    helper.raises(function() map.contains(m, 1) end,
      "map 'm': maps of type hash have no contains %(they have: lookup, ")
    helper.raises(function() map.contains(1, 1) end, "bpf.map expected")
  end)
end)

describe("an object's Bloom filter", function()
  local obj

  before_each(function()
    obj = assert(bpf.load(BLOOM))
  end)

  after_each(function()
    obj:close()
  end)

  local function call(name, address, port, proto)
    return assert(obj.progs[name]:run({ ctx = string.pack("=I4I2I2", address, port, proto) })).retval
  end

  it("has its hash functions", function()
    assert.equal(3, map.info(obj.maps.flows).map_extra)
  end)

  it("contains what a program pushed", function()
    local flows = obj.maps.flows
    assert.is_false(map.contains(flows, { address = 1, port = 2, proto = 6 }))
    assert.equal(0, call("push", 1, 2, 6))
    assert.is_true(map.contains(flows, { address = 1, port = 2, proto = 6 }))
    assert.is_false(map.contains(flows, { address = 1, port = 3, proto = 6 }))
  end)

  it("gives a program what Lua pushed", function()
    assert.equal(ENOENT, call("peek", 1, 2, 17))
    assert.is_true(map.push(obj.maps.flows, { address = 1, port = 2, proto = 17 }))
    assert.equal(0, call("peek", 1, 2, 17))
    assert.equal(ENOENT, call("peek", 2, 2, 17))
  end)
end)

-- SPDX-License-Identifier: MIT
-- map.create { like = m }: maps that are like another one, or like the maps in a map of maps.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()

local FLOW <const> = "struct flow { __u32 id; __u64 ts; }"

local function create(options)
  local m, message, code = map.create(options)
  if m then
    finally(function() map.close(m) end)
  end
  return m, message, code
end

-- What of a map another one like it has.
local function shape(m)
  local info = assert(map.info(m))
  local key, value = map.types(m)
  return {
    info.type, info.key_size, info.value_size, info.max_entries, info.map_flags, info.map_extra, info.btf_id,
    info.btf_key_type_id, info.btf_value_type_id, key and key:name(), value and value:name(),
  }
end

describe("map.create with option like", function()
  for name, options in pairs {
    hash = { type = "hash", key = "struct key { __u16 a, b; }", value = FLOW, max_entries = 10, flags = "no_prealloc" },
    ["per-CPU array"] = { type = "percpu_array", value = "__u64", max_entries = 3 },
    ["trie"] = {
      type = "lpm_trie", key = "struct p { __u32 prefixlen; __u8 data[4]; }", value = "__u32", max_entries = 9,
    },
    ["raw map"] = { type = "lru_hash", key = 5, value = 7, max_entries = 4 },
    ["queue"] = { type = "queue", value = "__u64", max_entries = 7 },
    ["ring buffer"] = { type = "ringbuf", max_entries = 4096 },
    ["array in memory"] = { type = "array", value = FLOW, max_entries = 5, flags = "mmapable" },
    ["map with a lock"] = {
      type = "hash", key = "__u32", value = "struct v { struct bpf_spin_lock lock; int n; }", max_entries = 5,
    },
  } do
    it("makes a map like a " .. name, function()
      if name == "ring buffer" then
        kernel.need("ringbuf", "5.8")
      end
      local m = assert(create(options))
      local twin = assert(create { like = m })
      assert.same(shape(m), shape(twin))
      assert.is_false(m == twin)
    end)
  end

  it("makes an empty one, and takes other options in place of the map's", function()
    local m = assert(create { type = "hash", name = "flows", key = "__u32", value = FLOW, max_entries = 10 })
    m[1] = { id = 1 }
    local other = assert(create { like = m, name = "others", max_entries = 20, type = "lru_hash" })
    assert.equal(0, #other)
    other[1] = { id = 7 }
    assert.same({ 1, 7 }, { m[1].id, other[1].id })
    local info = map.info(other)
    assert.same({ "others", 20, "lru_hash", map.info(m).btf_id },
      { info.name, info.max_entries, info.type, info.btf_id })
    local typed = assert(create { like = m, value = "__u16" })
    typed[3] = 4
    assert.same({ 4, 2 }, { typed[3], map.info(typed).value_size })
    assert.equal(6, map.info(assert(create { like = m, value_size = 6 })).value_size)
    assert.equal(2, map.info(assert(create { like = m, key = "__u16" })).key_size)
    local flagged = assert(create { like = m, flags = "no_prealloc" })
    assert.equal(1, map.info(flagged).map_flags)
    assert.equal(0, map.info(assert(create { like = flagged, flags = {} })).map_flags)
  end)

  it("needs no handle that is open once the map is made, and no BTF that it may read", function()
    local m = assert(create { type = "hash", key = "__u32", value = FLOW, max_entries = 10 })
    local twin = assert(create { like = m })
    map.close(m)
    twin[1] = { id = 3 }
    assert.equal(3, twin[1].id)
    helper.raises(function() map.create { like = m } end, "map 'hash' is closed")
  end)

  it("is like the inner maps of a map of maps", function()
    local outer = assert(create {
      type = "array_of_maps", max_entries = 3, inner = { type = "hash", key = "__u32", value = FLOW, max_entries = 5 },
    })
    local inner = assert(create { like = outer })
    assert.same({ "hash", 5, FLOW:match "struct flow" },
      { map.type(inner), map.info(inner).max_entries, select(2, map.types(inner)):name() })
    inner[1] = { id = 3 }
    outer[1] = inner
    assert.equal(3, outer[1][1].id)
    local next = assert(create { like = outer, max_entries = 6 })
    outer[1] = next
    assert.is_nil(outer[1][1])
    assert.is_true(map.info(next).btf_id > 0)
    local wide = assert(create { like = outer, value_size = 24 })
    assert.equal(24, map.info(wide).value_size)
  end)

  it("is like the inner map that was given, closed or not", function()
    local template = assert(create { type = "array", value = FLOW, max_entries = 5 })
    local outer = assert(create { type = "hash_of_maps", key = "__u32", max_entries = 3, inner = template })
    assert.same(shape(template), shape(assert(create { like = outer })))
    map.close(template)
    local inner = assert(create { like = outer })
    assert.same({ "struct flow", 5 }, { select(2, map.types(inner)):name(), map.info(inner).max_entries })
  end)

  it("is like the maps in a map of maps of another handle", function()
    local outer = assert(create {
      type = "array_of_maps", max_entries = 3, inner = { type = "array", value = "__u64", max_entries = 5 },
    })
    local same <close> = assert(map.by_id(map.info(outer).id))
    helper.fails("ENOENT", "map.create: what the maps in 'array_of_maps' are like: it is empty",
      map.create { like = same })
    local inner = assert(create { like = outer })
    outer[2] = inner
    assert.same(shape(inner), shape(assert(create { like = same })))
    local other = assert(create { type = "array_of_maps", max_entries = 3, inner = { like = inner } })
    assert.same(shape(inner), shape(assert(create { like = other })))
  end)

  it("is like what an object declares", function()
    local obj <close> = assert(kernel.load(helper.obj("nested")))
    for name, expected in pairs {
      by_name = { "hash", 8, "__u32", "struct hit" }, by_slot = { "array", 4, "__u32", "__u64" },
    } do
      local outer = obj.maps[name]
      local inner = assert(create { like = outer })
      local key, value = map.types(inner)
      assert.same(expected, { map.type(inner), map.info(inner).max_entries, key:name(), value:name() })
      outer[2] = inner
      assert.equal(inner, outer[2])
      assert.is_true(map.info(inner).btf_id > 0)
    end
    local counts = bpf.open(helper.obj("counters"))
    for _, m in pairs(counts.maps) do
      if map.type(m) == "hash" then
        assert.equal("hash", map.type(assert(create { like = m }))) -- before the load
      end
    end
    counts:close()
  end)

  it("wants a map", function()
    helper.raises(function() map.create { like = 1 } end,
      "^spec/map/like_spec.lua:%d+: map.create: option 'like' must be a map, got number")
    local m = assert(create { type = "hash", key = "__u32", value = FLOW, max_entries = 10 })
    local column <close> = assert(map.column(m, "id"))
    helper.raises(function() map.create { like = column } end, "must be the map itself, not a column")
    helper.raises(function() map.create { like = m, key = "__u32", key_size = 4 } end, "give key or key_size, not both")
  end)
end)

-- SPDX-License-Identifier: MIT
-- map.pack: storing a struct from its members as arguments.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()

local FLOW <const> = [[struct flow {
  __u32 id; __s8 small; char name[4]; struct addr { __u32 ip; __u16 port; } addr;
  union { __u32 word; __u8 bytes[4]; }; double load; __u32 low:3; _Bool on; enum kind { OFF, FULL = 7 } kind;
}]]

describe("map.pack", function()
  local m

  before_each(function()
    m = assert(map.create { type = "hash", name = "flows", key = "__u32", value = FLOW, max_entries = 2 })
  end)

  after_each(function() map.close(m) end)

  it("stores a struct from its members, which map.unpack returns", function()
    assert.is_true(map.pack(m, 1, 7, -3, "abcd", { ip = 1, port = 2 }, 5, nil, 1.5, 6, true, "FULL"))
    assert.same({
      id = 7, small = -3, name = "abcd", addr = { ip = 1, port = 2 }, word = 5, bytes = "\5\0\0\0", load = 1.5, low = 6,
      on = true, kind = 7,
    }, m[1])
    assert.is_true(map.pack(m, 2, map.unpack(m, 1)))
    assert.same(m[1], m[2])
  end)

  it("takes nil for a member that stays zero", function()
    map.pack(m, 1, nil, nil, nil, nil, nil, nil, nil, nil, nil, nil)
    assert.same({
      id = 0, small = 0, name = "", addr = { ip = 0, port = 0 }, word = 0, bytes = "\0\0\0\0", load = 0.0, low = 0,
      on = false, kind = 0,
    }, m[1])
  end)

  it("takes integers beyond the small ones, and floats that are integers", function()
    local wide <close> = assert(map.create {
      type = "hash", key = "__u32", value = "struct wide { __u64 a; __s64 b; __u16 c; }", max_entries = 2,
    })
    map.pack(wide, 1, 2.0 ^ 63, math.mininteger, 3.0)
    assert.same({ a = math.mininteger, b = math.mininteger, c = 3 }, wide[1])
  end)

  it("takes one value for a value that is no struct", function()
    local words <close> = assert(map.create { type = "array", value = "__u32", max_entries = 3, flags = "mmapable" })
    assert.is_true(map.pack(words, 1, 5))
    assert.equal(5, words[1])
    helper.fails("E2BIG", "no such slot, the last one is 2", map.pack(words, 3, 5))
    helper.raises(function() map.pack(words, 1, 5, 6) end, "value: __u32 takes one value, got 2")
    local percpu <close> = assert(map.create { type = "percpu_array", value = "__u32", max_entries = 3 })
    assert.is_true(map.pack(percpu, 1, 5))
    assert.equal(5 * bpf.features.cpus(), map.sum(percpu, 1))
    helper.raises(function() map.pack(percpu, 1, 5, 6) end, "a map of type percpu_array takes one value, got 2")
  end)

  it("stores structs in memory, and large ones", function()
    local members, values = {}, {}
    for i = 1, 120 do
      members[i], values[i] = ("__u64 m%d;"):format(i), i
    end
    local large <close> = assert(map.create {
      type = "array", value = ("struct large { %s }"):format(table.concat(members)), max_entries = 2,
      flags = "mmapable",
    })
    assert.is_true(map.pack(large, 1, table.unpack(values)))
    assert.same(values, { map.unpack(large, 1) })
  end)

  it("checks each member as a table's", function()
    local function pack(...)
      local values = table.pack(...)
      return function() map.pack(m, 1, table.unpack(values, 1, values.n)) end
    end
    local list = "id, small, name, addr, word, bytes, load, low, on, kind"
    for _, case in ipairs {
      { pack(1), "^spec/map/pack_spec.lua:%d+: value: struct flow takes 10 values, one for each member %(" .. list ..
        "%), got 1$" },
      { pack(1, 2, "", {}, 5, nil, 0, 0, true, 0, 7), "takes 10 values, .* got 11$" },
      { pack(), "takes 10 values, .* got 0$" },
      { pack(-1, 2, "", {}, 5, nil, 0, 0, true, 0), "value.id: %-1 does not fit in __u32" },
      { pack("x", 2, "", {}, 5, nil, 0, 0, true, 0), "value.id: integer expected for __u32, got string" },
      { pack(1, 128, "", {}, 5, nil, 0, 0, true, 0), "value.small: 128 does not fit in __s8" },
      { pack(1, 2, "abcde", {}, 5, nil, 0, 0, true, 0), "value.name: 5 bytes do not fit in char%[4%]" },
      { pack(1, 2, "", { ip = "x" }, 5, nil, 0, 0, true, 0), "value.addr.ip: integer expected" },
      { pack(1, 2, "", {}, 5, "\6\0\0\0", 0, 0, true, 0), "value.word: other members of this union say otherwise" },
      { pack(1, 2, "", {}, 5, nil, 0, 8, true, 0), "value.low: 8 does not fit in the 3 bits" },
      { pack(1, 2, "", {}, 5, nil, 0, 0, true, "HALF"), "has no enumerator 'HALF'" },
    } do
      helper.raises(case[1], case[2])
    end
    assert.is_nil(m[1])
  end)

  it("returns what the kernel refuses, and raises for what can't be", function()
    assert(map.pack(m, 1, map.unpack(m, 1) or 1, nil, nil, nil, nil, nil, nil, nil, nil, nil))
    map.pack(m, 2, 1, nil, nil, nil, nil, nil, nil, nil, nil, nil)
    helper.fails("E2BIG", "map 'flows': update: full, all 2 entries in use",
      map.pack(m, 3, 1, nil, nil, nil, nil, nil, nil, nil, nil, nil))
    helper.raises(function() map.pack(m) end, "bad argument #2 to 'pack'")
    helper.raises(function() map.pack(1, 1) end, "bad argument #1 to 'pack' %(bpf.map expected, got number%)")
    helper.raises(function() map.pack(m, "x", 1) end, "integer expected for __u32, got string")
    local queue <close> = assert(map.create { type = "queue", value = "__u64", max_entries = 2 })
    helper.raises(function() map.pack(queue, 1, 2) end, "maps of type queue have no update")
    local closed = assert(map.typed(m))
    map.close(closed)
    helper.raises(function() map.pack(closed, 1, 2) end, "map 'flows' is closed")
  end)
end)

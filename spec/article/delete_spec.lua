-- SPDX-License-Identifier: MIT
-- bpf_map_delete_elem: takes a key away, or tells "not found".
local answers = require("spec.support.answers")
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

local map = bpf.map
local done, refused = answers.done, answers.refused

kernel.root()

describe("delete", function()
  for _, type in ipairs { "hash", "percpu_hash", "lru_hash", "lru_percpu_hash" } do
    it("from a " .. type .. " succeeds once, then tells that the key wasn't found", function()
      local m <close> = assert(map.create { type = type, key = "__u32", value = "__u32", max_entries = 8 })
      m[1], m[2] = 10, 20
      done(map.delete(m, 1))
      refused("ENOENT", map.delete(m, 1))
      refused("ENOENT", map.delete(m, 3))
      assert.is_nil(m[1])
      assert.is_not_nil(m[2])
      assert.equal(1, #m)
    end)
  end

  it("by index syntax doesn't mind absence", function()
    local m <close> = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 8 })
    m[1] = 10
    m[1] = nil
    m[1] = nil
    assert.is_nil(m[1])
  end)

  it("makes room", function()
    local m <close> = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 1 })
    m[1] = 10
    answers.fails("E2BIG", "full", map.update(m, 2, 20))
    done(map.delete(m, 1))
    done(map.update(m, 2, 20))
  end)

  it("takes a prefix of a trie by itself, not those below it", function()
    local m <close> = assert(map.create {
      type = "lpm_trie", key = "struct p { __u32 len; __u8 data[4]; }", value = "__u32", max_entries = 8,
    })
    m["10.0.0.0/8"], m["10.1.0.0/16"] = 8, 16
    done(map.delete(m, "10.0.0.0/8"))
    refused("ENOENT", map.delete(m, "10.0.0.0/8"))
    assert.equal(16, m["10.1.2.3"])
    assert.is_nil(m["10.2.0.0"])
  end)

  it("isn't possible in an array: a slot can be zeroed, no more", function()
    local m <close> = assert(map.create { type = "array", name = "slots", value = "__u32", max_entries = 2 })
    m[0] = 5
    for _, fn in ipairs { function() map.delete(m, 0) end, function() m[0] = nil end } do
      local _, message = pcall(fn)
      assert.matches("map 'slots': maps of type array have no delete", message)
    end
    assert.equal(5, m[0])
    m[0] = 0
    assert.equal(0, m[0])
  end)
end)

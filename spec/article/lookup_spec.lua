-- SPDX-License-Identifier: MIT
-- bpf_map_lookup_elem: finds by key, copies the value out; a key that isn't there is no failure.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

local map = bpf.map

kernel.root()

describe("lookup", function()
  local m

  before_each(function()
    m = assert(map.create {
      type = "hash", key = "__u32", value = "struct v { __u64 n; char who[8]; }", max_entries = 8,
    })
    m[1] = { n = 5, who = "curl" }
  end)

  after_each(function()
    map.close(m)
  end)

  it("gives the value of a key that is there", function()
    assert.same({ n = 5, who = "curl" }, map.lookup(m, 1))
    assert.same({ n = 5, who = "curl" }, m[1])
  end)

  it("gives one nil for a key that isn't", function()
    answers.absent(map.lookup(m, 2))
    assert.is_nil(m[2])
  end)

  it("tells a value of zero from absence", function()
    m[2] = {}
    assert.same({ n = 0, who = "" }, m[2])
  end)

  it("gives a copy: changing it changes nothing in the map", function()
    local v = m[1]
    v.n = 6
    assert.equal(5, m[1].n)
    m[1] = v
    assert.equal(6, m[1].n)
  end)

  it("gives the members as values, or fills a table of one's own", function()
    assert.same({ 5, "curl", n = 2 }, table.pack(map.unpack(m, 1)))
    local mine = {}
    assert.equal(mine, map.lookup(m, 1, { into = mine }))
    assert.same({ n = 5, who = "curl" }, mine)
  end)

  it("in an array finds zeros in slots never written, and nothing beyond the last", function()
    local slots <close> = assert(map.create { type = "array", value = "__u32", max_entries = 3 })
    assert.same({ 0, 0, 0 }, { slots[0], slots[1], slots[2] })
    answers.absent(map.lookup(slots, 3))
  end)

  it("that the kernel refuses is no absence", function()
    local hidden <close> = assert(map.create {
      type = "hash", name = "hidden", key = "__u32", value = "__u32", max_entries = 1, flags = "wronly",
    })
    hidden[1] = 1
    answers.fails("EPERM", "map 'hidden': lookup", map.lookup(hidden, 1))
    assert.has_error(function()
      return hidden[1]
    end)
  end)
end)

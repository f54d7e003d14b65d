-- SPDX-License-Identifier: MIT
-- bpf_map_lookup_and_delete_elem: takes an entry out, in one step.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

kernel.root()

describe("lookup_and_delete", function()
  for _, type in ipairs { "hash", "lru_hash", "percpu_hash", "lru_percpu_hash" } do
    it("of a " .. type .. " gives the value, and the next time nothing", function()
      local m <close> = assert(map.create { type = type, key = "__u32", value = "__u64", max_entries = 8 })
      m[1] = 10
      local before = m[1]
      assert.same(before, map.lookup_and_delete(m, 1))
      answers.absent(map.lookup_and_delete(m, 1))
      assert.is_nil(m[1])
    end)
  end

  it("gives all CPUs' values of a per-CPU map", function()
    local m <close> = assert(map.create { type = "percpu_hash", key = "__u32", value = "__u64", max_entries = 8 })
    m[1] = 7
    local values = map.lookup_and_delete(m, 1)
    assert.is_true(#values > 0)
    for _, value in ipairs(values) do
      assert.equal(7, value)
    end
  end)

  it("gives each entry to one taker only", function()
    kernel.need("lookup_and_delete of a hash in one step", "5.14")
    local N = 20000
    local m <close> = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = N })
    for i = 1, N do
      m[i] = i
    end
    -- Two takers, each in a process of its own, go for the same keys.
    local code = ([[
      local map = require("bpf").map
      local m <close> = assert(map.by_id(%d))
      local sum, taken = 0, 0
      for i = 1, %d do
        local value = map.lookup_and_delete(m, i)
        if value then
          sum, taken = sum + value, taken + 1
        end
      end
      print(sum, taken)
    ]]):format(map.info(m).id, N)
    local takers = {}
    for i = 1, 2 do
      takers[i] = assert(io.popen(helper.LUA .. " -e " .. helper.quote(code)))
    end
    local sum, taken = 0, 0
    for _, taker in ipairs(takers) do
      local s, n = taker:read("n", "n")
      sum, taken = sum + s, taken + n
      taker:close()
    end
    assert.equal(N, taken)
    assert.equal(N * (N + 1) // 2, sum)
    assert.equal(0, #m)
  end)

  it("isn't possible in an array", function()
    local m <close> = assert(map.create { type = "array", value = "__u32", max_entries = 1 })
    helper.raises(function()
      map.lookup_and_delete(m, 0)
    end, "maps of type array have no lookup_and_delete")
  end)
end)

-- SPDX-License-Identifier: MIT
-- Values that need more of Lua's stack than the function that decodes them was called with. Overruns are found by
-- `make asan`: its Lua checks each push.
local bpf = require("bpf")
local kernel = require("spec.support.kernel")
local map = bpf.map

-- A struct of so many integers, and at its end structs within each other: at most 512 bytes, as older kernels have no
-- longer keys.
local function wide_and_deep(width, depth)
  local members = {}
  for i = 1, width do
    members[i] = ("__u8 m%d;"):format(i)
  end
  local inner = "int z;"
  for _ = 1, depth do
    inner = ("struct { %s } n;"):format(inner)
  end
  return ("struct w { %s %s }"):format(table.concat(members, " "), inner)
end

-- The innermost member of what such a struct has for n.
local function innermost(value, depth)
  for _ = 2, depth do
    value = value.n
  end
  return value.z
end

-- A value whose innermost member is 7.
local function nested(depth)
  local value = { z = 7 }
  for _ = 1, depth do
    value = { n = value }
  end
  return value
end

describe("a wide and deep struct", function()
  kernel.root()

  for _, size in ipairs({ { 9, 3 }, { 60, 13 }, { 300, 40 }, { 1, 60 } }) do
    local width, depth = size[1], size[2]
    local what = ("%d members and %d structs in each other"):format(width, depth)
    local function create(type)
      return assert(map.create({ type = type, max_entries = 1, value = wide_and_deep(width, depth) }))
    end

    it("is unpacked in a coroutine: " .. what, function()
      local m <close> = create("array")
      m[0] = nested(depth)
      coroutine.wrap(function()
        local values = table.pack(map.unpack(m, 0))
        assert.equal(width + 1, values.n)
        assert.equal(7, innermost(values[values.n], depth))
      end)()
    end)

    it("is read in every other form: " .. what, function()
      local m <close> = create("array")
      local percpu <close> = create("percpu_array")
      m[0] = nested(depth)
      percpu[0] = nested(depth)
      coroutine.wrap(function()
        local into = nested(depth)
        assert.equal(into, map.lookup(m, 0, { into = into }))
        assert.equal(7, innermost(into.n, depth))
        assert.equal(7, innermost(m[0].n, depth))
        assert.equal(7, innermost(percpu[0][1].n, depth))
        assert.equal(7 * bpf.features.cpus(), innermost(map.sum(percpu, 0).n, depth))
        local _, values = map.lookup_batch(m)
        assert.equal(7, innermost(values[1].n, depth))
      end)()
    end)

    it("fails in a batch, as a key: " .. what, function()
      local m <close> = assert(map.create({ type = "hash", max_entries = 1, key = wide_and_deep(width, depth),
        value = "int" }))
      coroutine.wrap(function()
        local keys = { nested(depth), { m1 = 2 } }
        local _, message, code, done, key = map.update_batch(m, function(_, i)
          return keys[(i and 2) or 1], 1
        end)
        assert.is_string(message)
        assert.equal("E2BIG", code)
        assert.equal(1, done)
        assert.equal(2, key.m1)
      end)()
    end)
  end
end)

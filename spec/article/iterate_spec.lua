-- SPDX-License-Identifier: MIT
-- bpf_map_get_next_key: from the first key to the last; and what becomes of a walk when keys are deleted under it.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

kernel.root()

local N = 100

-- A hash with entries n = 10 n for 1 to N.
local function filled()
  local m = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 2 * N })
  for n = 1, N do
    m[n] = 10 * n
  end
  return m
end

local function by_next_key(m)
  return map.next_key, m, nil
end

describe("next_key", function()
  it("begins with nil, steps through every key once, and ends with nil", function()
    local m <close> = filled()
    local seen, steps = {}, 0
    local key = map.next_key(m, nil)
    while key do
      seen[key] = true
      steps = steps + 1
      key = map.next_key(m, key)
    end
    assert.equal(N, steps)
    for n = 1, N do
      assert.is_true(seen[n])
    end
  end)

  it("answers one nil after the last key, and in an empty map", function()
    local m <close> = filled()
    local last
    for key in by_next_key(m) do
      last = key
    end
    answers.absent(map.next_key(m, last))
    map.clear(m)
    answers.absent(map.next_key(m))
  end)

  it("starts over from the first key after a key that isn't there", function()
    local m <close> = filled()
    assert.equal(map.next_key(m), map.next_key(m, 4711))
  end)

  it("goes through an array in order", function()
    local m <close> = assert(map.create { type = "array", value = "__u32", max_entries = 4 })
    local keys = {}
    for key in by_next_key(m) do
      keys[#keys + 1] = key
    end
    assert.same({ 0, 1, 2, 3 }, keys)
  end)
end)

describe("a loop that deletes the key it stands on", function()
  -- Walks the map and deletes every second key that it comes to. Returns how many steps it took, and how often it came
  -- to each key.
  local function walk(m, f, s, c)
    local steps, times = 0, {}
    for key in f, s, c do
      steps = steps + 1
      times[key] = (times[key] or 0) + 1
      if steps % 2 == 0 then
        m[key] = nil
      end
      if steps == 100 * N then
        break
      end
    end
    return steps, times
  end

  local function most(times)
    local max = 0
    for _, n in pairs(times) do
      max = math.max(max, n)
    end
    return max
  end

  it("by next_key starts over again and again", function()
    local m <close> = filled()
    local steps, times = walk(m, by_next_key(m))
    assert.is_true(steps > N, "it took " .. steps .. " steps")
    assert.is_true(most(times) > 1)
  end)

  it("by pairs and by keys sees every key once", function()
    for _, walker in ipairs { pairs, map.keys } do
      local m <close> = filled()
      local steps, times = walk(m, walker(m))
      assert.equal(N, steps)
      assert.equal(1, most(times))
      assert.equal(N // 2, #m)
    end
  end)
end)

describe("a key deleted under the walk by somebody else", function()
  kernel.need("syscall programs", "5.14")

  -- The map of an object whose program deletes keys.
  local function shared()
    local obj = assert(bpf.load(helper.obj("shared"), { maps = { counts = N } }))
    local m = obj.maps.counts
    for n = 1, N do
      m[n] = n
    end
    return obj, function(key)
      assert.equal(0, assert(obj.progs.erase:run { ctx = string.pack("=I4I4I8", key, 0, 0) }).retval)
    end
  end

  it("throws next_key back to the start", function()
    local obj <close>, erase = shared()
    local m = obj.maps.counts
    local first = map.next_key(m)
    local second = map.next_key(m, first)
    erase(second)
    assert.equal(first, map.next_key(m, second))
  end)

  it("doesn't disturb pairs: what is left comes once, and the walk ends", function()
    local obj <close>, erase = shared()
    local m = obj.maps.counts
    local seen, steps = {}, 0
    for key in pairs(m) do
      steps = steps + 1
      assert.is_nil(seen[key])
      seen[key] = true
      erase(key)
    end
    assert.equal(N, steps)
    assert.equal(0, #m)
  end)

  it("doesn't disturb pairs where the kernel has no batches either", function()
    local m <close> = assert(map.create {
      type = "lpm_trie", key = "struct p { __u32 len; __u8 data[4]; }", value = "__u32", max_entries = N,
    })
    for n = 1, N do
      m["10.0.0." .. n] = n
    end
    local same <close> = assert(map.by_id(map.info(m).id))
    local steps = 0
    for key in pairs(m) do
      steps = steps + 1
      map.delete(same, key)
    end
    assert.equal(N, steps)
    assert.equal(0, #m)
  end)
end)

-- SPDX-License-Identifier: MIT
-- bpf_map_update_elem and its flags: BPF_ANY, BPF_NOEXIST, BPF_EXIST, with a key that is there and one that isn't.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

local map = bpf.map
local done, refused = answers.done, answers.refused

kernel.root()

local PRESENT, ABSENT = 1, 2

-- What an update of this key to 20 does: true, or the code; and what is there afterwards. Present means 10 was there.
local outcomes = {
  { flags = nil, key = PRESENT, after = 20 },
  { flags = nil, key = ABSENT, after = 20 },
  { flags = "any", key = PRESENT, after = 20 },
  { flags = "any", key = ABSENT, after = 20 },
  { flags = "noexist", key = PRESENT, code = "EEXIST", after = 10 },
  { flags = "noexist", key = ABSENT, after = 20 },
  { flags = "exist", key = PRESENT, after = 20 },
  { flags = "exist", key = ABSENT, code = "ENOENT", after = nil },
}

for _, type in ipairs { "hash", "lru_hash" } do
  describe("update of a " .. type, function()
    for _, case in ipairs(outcomes) do
      local title = ("%s, key %s: %s"):format(case.flags or "no flags", case.key == PRESENT and "present" or "absent",
        case.code or "true")

      it(title, function()
        local m <close> = assert(map.create { type = type, key = "__u32", value = "__u32", max_entries = 8 })
        m[PRESENT] = 10
        if case.code then
          refused(case.code, map.update(m, case.key, 20, case.flags))
        else
          done(map.update(m, case.key, 20, case.flags))
        end
        assert.equal(case.after, m[case.key])
      end)
    end
  end)
end

describe("update", function()
  it("of an array finds every slot present", function()
    local m <close> = assert(map.create { type = "array", value = "__u32", max_entries = 2 })
    refused("EEXIST", map.update(m, 0, 1, "noexist"))
    done(map.update(m, 0, 1, "exist"))
    done(map.update(m, 1, 2, "any"))
    assert.same({ 1, 2 }, { m[0], m[1] })
    answers.fails("E2BIG", "2", map.update(m, 2, 3))
  end)

  it("of a map that is full fails for new keys only", function()
    local m <close> = assert(map.create {
      type = "hash", name = "hits", key = "__u32", value = "__u32", max_entries = 2,
    })
    m[1], m[2] = 10, 20
    answers.fails("E2BIG", "map 'hits': update: full, all 2 entries in use", map.update(m, 3, 30))
    answers.fails("E2BIG", "full", map.update(m, 3, 30, "noexist"))
    refused("ENOENT", map.update(m, 3, 30, "exist"))
    done(map.update(m, 1, 11))
    assert.same({ 11, 20 }, { m[1], m[2] })
    assert.is_nil(m[3])
  end)

  it("by index syntax is BPF_ANY, and raises what fails", function()
    local m <close> = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 1 })
    m[1] = 10
    m[1] = 20
    assert.equal(20, m[1])
    assert.has_error(function()
      m[2] = 1
    end, "map 'hash': update: full, all 1 entries in use (E2BIG)")
  end)

  it("writes the whole value at once: what is left out is zero", function()
    local m <close> = assert(map.create {
      type = "hash", key = "__u32", value = "struct counts { __u64 packets, bytes; }", max_entries = 1,
    })
    m[1] = { packets = 1, bytes = 60 }
    m[1] = { packets = 2 }
    assert.same({ packets = 2, bytes = 0 }, m[1])
  end)
end)

-- SPDX-License-Identifier: MIT
-- BPF_F_LOCK: a value with a struct bpf_spin_lock is read and written as a whole.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map
local done, refused, absent, fails = answers.done, answers.refused, answers.absent, answers.fails

kernel.root()

local ACCOUNT = "struct account { struct bpf_spin_lock lock; __u64 in, out; }"

for _, type in ipairs { "hash", "array" } do
  describe("a value with a lock in a " .. type, function()
    local m

    before_each(function()
      m = assert(map.create {
        type = type, name = "accounts", key = "__u32", value = ACCOUNT, max_entries = 4,
      })
    end)

    after_each(function()
      map.close(m)
    end)

    it("is declared in C text; the kernel finds the lock", function()
      local info = map.info(m)
      assert.equal(24, info.value_size)
      assert.is_true(info.btf_value_type_id > 0)
      assert.matches("bpf_spin_lock", (helper.run("bpftool btf dump id " .. info.btf_id)))
    end)

    it("is written and read under the lock", function()
      done(map.update(m, 1, { ["in"] = 10, out = 4 }))
      assert.same({ ["in"] = 10, out = 4 }, map.lookup(m, 1, "lock"))
      done(map.update(m, 1, { ["in"] = 20, out = 8 }, "lock"))
      assert.same({ ["in"] = 20, out = 8 }, map.lookup(m, 1, "lock"))
      assert.same({ ["in"] = 20, out = 8 }, m[1])
    end)

    it("takes the lock together with the other flags", function()
      m[1] = { ["in"] = 1 }
      refused("EEXIST", map.update(m, 1, { ["in"] = 2 }, { "noexist", "lock" }))
      done(map.update(m, 1, { ["in"] = 3 }, { "exist", "lock" }))
      assert.same({ ["in"] = 3, out = 0 }, map.lookup(m, 1, "lock"))
    end)

    it("has no member for the lock", function()
      m[1] = {}
      assert.is_nil(m[1].lock)
      helper.raises(function()
        m[1] = { lock = 1 }
      end, "lock")
    end)
  end)
end

describe('"lock"', function()
  it("finds absence as ever", function()
    kernel.need("lookup_and_delete of a hash in one step", "5.14")
    local m <close> = assert(map.create { type = "hash", key = "__u32", value = ACCOUNT, max_entries = 4 })
    absent(map.lookup(m, 1, "lock"))
    absent(map.lookup_and_delete(m, 1, "lock"))
    refused("ENOENT", map.update(m, 1, {}, { "exist", "lock" }))
    done(map.update(m, 1, { out = 1 }, "lock"))
    assert.same({ ["in"] = 0, out = 1 }, map.lookup_and_delete(m, 1, "lock"))
    absent(map.lookup(m, 1, "lock"))
  end)

  it("is refused for a value that has none", function()
    for _, type in ipairs { "hash", "array" } do
      local m <close> = assert(map.create {
        type = type, name = "open", key = "__u32", value = "struct { __u32 lock; __u64 in, out; }", max_entries = 4,
      })
      m[1] = { out = 1 }
      fails("EINVAL", "map 'open': lookup", map.lookup(m, 1, "lock"))
      fails("EINVAL", "map 'open': update", map.update(m, 1, { out = 2 }, "lock"))
      assert.equal(1, m[1].out)
    end
  end)

  it("needs BTF: sizes alone tell of no lock", function()
    local m <close> = assert(map.create { type = "hash", key = 4, value = 24, max_entries = 4 })
    fails("EINVAL", "update", map.update(m, "key1", ("\0"):rep(24), "lock"))
  end)

  it("is in kinds only that can have one", function()
    local m, message, code = map.create { type = "lru_hash", key = "__u32", value = ACCOUNT, max_entries = 4 }
    assert.is_true(code == "EOPNOTSUPP" or code == "ENOTSUPP", code) -- older kernels: ENOTSUPP
    fails(code, "map.create (lru_hash)", m, message, code)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Maps of maps in programs: what a look-up gives is a map, with all that programs do with maps.
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

local map = bpf.map

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

local function counts()
  return assert(map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 8 })
end

local function outer(type)
  return assert(map.create {
    type = type, key = type == "hash_of_maps" and "__u32" or nil, max_entries = 4,
    inner = { type = "hash", key = "__u32", value = "__u64", max_entries = 8 },
  })
end

local function run(fn, ...)
  local prog <close> = assert(bpf.program("raw_tp/x", fn))
  return assert(prog:run { ctx = string.pack("<i8i8", ...) }).retval
end

for _, type in ipairs { "array_of_maps", "hash_of_maps" } do
  describe("a program's " .. type, function()
    local m, inner

    before_each(function()
      m, inner = outer(type), counts()
      m[1] = inner
    end)

    after_each(function()
      map.close(m)
      map.close(inner)
    end)

    it("gives maps, whose entries are read, made, changed and deleted", function()
      inner[5], inner[6] = 40, 9
      local function change(which, key)
        local found = m[which]
        if not found then
          return 77
        end
        found[key] = (found[key] or 0) + 2
        found[key + 10] = key
        found[6] = nil
        map.add(found, 7, 3)
        local added = map.update(found, 5, 0, "noexist")
        return (found[key] or 1) + (added and 1000 or 0)
      end
      assert.equal(42, run(change, 1, 5))
      assert.equal(42, inner[5])
      assert.equal(5, inner[15])
      assert.is_nil(inner[6])
      assert.equal(3, inner[7])
      assert.equal(77, run(change, 2, 5))
    end)

    it("gives another map when the script has put it there", function()
      local other <close> = counts()
      local prog <close> = assert(bpf.program("raw_tp/x", function()
        local found = m[1]
        return found and found[1] or 0
      end))
      inner[1], other[1] = 3, 4
      assert.equal(3, prog:run({}).retval)
      m[1] = other
      assert.equal(4, prog:run({}).retval)
    end)
  end)
end

describe("a map of maps in a program", function()
  local function refused(expected, fn)
    local prog, message, code = bpf.program("raw_tp/x", fn)
    assert.is_nil(prog)
    assert.equal("EINVAL", code)
    assert.equal(expected, (message:gsub("^bpf%.program: [^:]*:%d+: ", "")))
  end

  it("has to hold a map before, whose types are all others'", function()
    local m <close> = outer("hash_of_maps")
    refused("the types of the inner maps aren't known: put a map into this one before the program is compiled",
      function() return m[1] and 1 end)
  end)

  it("may be without the map, and is changed by scripts only", function()
    local m <close> = outer("hash_of_maps")
    local inner <close> = counts()
    m[1] = inner
    refused("'found' may be nil here: test it before", function()
      local found = m[1]
      return found[1]
    end)
    refused("which maps are in a map of type hash_of_maps is the script's to say: the kernel lets no program change it",
      function() m[1] = nil end)
  end)
end)

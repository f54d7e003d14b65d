-- SPDX-License-Identifier: MIT
-- Arrays whose memory this process maps: index syntax without system calls, and views.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()
kernel.need("mapping arrays", "5.5")

local function create(options)
  return assert(map.create {
    type = "array", name = "slots", max_entries = options.max_entries or 10, value = options.value or "__u64",
    flags = options.flags or "mmapable",
  })
end

-- How often this process has called bpf(2) by the end of fn, counted by a program.
local function bpf_calls(fn)
  local obj <close> = assert(bpf.load(helper.obj "mmapable", { vars = { self = helper.pid } }))
  assert(obj:attach())
  local before = obj.vars.calls
  fn()
  return obj.vars.calls - before
end

describe("an mmapable array", function()
  it("is read and written by index syntax without a system call", function()
    local m <close> = create {}
    local plain <close> = create { flags = {} }
    m[0] = 0 -- maps it
    local calls = bpf_calls(function()
      for i = 0, 9 do
        m[i] = i * 3
      end
      for i = 0, 9 do
        assert.equal(i * 3, m[i])
      end
    end)
    assert.equal(0, calls)
    assert.equal(20, bpf_calls(function()
      for i = 0, 9 do
        plain[i] = i
        assert.equal(i, plain[i])
      end
    end))
  end)

  it("shares its memory with look-ups, updates, walks and other handles", function()
    local m <close> = create {}
    m[3] = 33
    local other <close> = assert(map.by_id(map.info(m).id))
    assert.equal(33, map.lookup(other, 3))
    assert.equal(33, other[3])
    assert.is_true(map.update(other, 4, 44))
    assert.equal(44, m[4])
    local seen = {}
    for k, v in pairs(m) do
      seen[k] = v
    end
    assert.same({ [0] = 0, 0, 0, 33, 44, 0, 0, 0, 0, 0 }, seen)
  end)

  it("is seen by programs at once, and theirs by us", function()
    local obj <close> = assert(bpf.load(helper.obj "mmapable", { vars = { self = helper.pid } }))
    local slots = obj.maps.slots
    slots[1] = { count = 41, name = "from Lua" }
    assert.equal(0, assert(obj.progs.count_up:run { ctx = ("I4"):pack(1) }).retval)
    assert.same({ count = 42, name = "from Lua" }, slots[1])
    assert.same({ count = 42, name = "from Lua" }, map.lookup(slots, 1))
  end)

  it("holds values of any size, padded to 8 bytes", function()
    local m <close> = create { value = "struct v { char name[5]; }", max_entries = 1000 }
    for i = 0, 999 do
      m[i] = { name = ("%05d"):format(i) }
    end
    for i = 0, 999 do
      assert.equal(("%05d"):format(i), m[i].name)
      assert.equal(("%05d"):format(i), map.lookup(m, i).name)
    end
    local t = {}
    assert.equal(t, map.lookup(m, 7, { into = t }))
    assert.equal("00007", t.name)
    assert.equal("00007", map.unpack(m, 7))
  end)

  it("raises for an index out of range, where functions return what they do for any array", function()
    local m <close> = create {}
    helper.raises(function() return m[10] end, "map 'slots': lookup: no such slot, the last one is 9 %(E2BIG%)")
    helper.raises(function() m[10] = 1 end, "map 'slots': update: no such slot, the last one is 9 %(E2BIG%)")
    helper.raises(function() return m[1 << 32] end, "does not fit in __u32")
    helper.raises(function() return m[-1] end, "does not fit in __u32")
    helper.raises(function() return m.x end, "integer expected")
    helper.raises(function() m[1] = "x" end, "integer expected")
    helper.raises(function() m[1] = nil end, "have no delete")
    assert.is_nil(map.lookup(m, 10))
    local ok, message, code = map.update(m, 10, 1)
    assert.is_nil(ok)
    assert.equal("E2BIG", code)
    assert.matches("no such slot", message)
  end)

  it("can be frozen, and read then, but not written", function()
    local m <close> = create {}
    m[2] = 22
    assert.is_true(map.freeze(m))
    assert.equal(22, m[2])
    helper.raises(function() m[2] = 23 end, "update: refused.*EPERM")
    local _, _, code = map.update(m, 2, 23)
    assert.equal("EPERM", code)
    assert.equal(22, m[2])
  end)

  it("can't be frozen while another handle has it mapped for writing, which the error says", function()
    local m <close> = create {}
    local other <close> = assert(map.by_id(map.info(m).id))
    other[0] = 1
    local ok, message, code = map.freeze(m)
    assert.is_nil(ok)
    assert.equal("EBUSY", code)
    assert.matches("mapped for writing", message)
    map.close(other)
    assert.is_true(map.freeze(m))
  end)

  it("respects read-only and write-only handles", function()
    local m <close> = create {}
    m[1] = 11
    local path = helper.bpffs() .. "/slots"
    assert(map.pin(m, path))
    local reader <close> = assert(map.open(path, "rdonly"))
    assert.equal(11, reader[1])
    local view, message, code = map.view(reader, "__u64")
    assert.same({ nil, "EINVAL" }, { view, code })
    assert.matches("view: .*through a handle that was opened read%-only", message)
    helper.raises(function() reader[1] = 12 end, "EPERM")
    assert.equal(11, m[1])
    local writer <close> = assert(map.open(path, "wronly"))
    writer[1] = 13
    assert.equal(13, m[1])
    helper.raises(function() return writer[1] end, "EPERM")
    assert(map.unpin(m, path))
  end)

  it("works by system calls where the kernel doesn't map: values with a lock", function()
    local m <close> = create { value = "struct v { struct bpf_spin_lock lock; __u64 n; }" }
    m[1] = { n = 5 }
    assert.same({ n = 5 }, m[1])
  end)

  it("raises for use after close", function()
    local m = create {}
    m[0] = 1
    local v = assert(map.view(m, "__u64"))
    map.close(m)
    helper.raises(function() return m[0] end, "closed")
    helper.raises(function() m[0] = 1 end, "closed")
    helper.raises(function() return v[0] end, "closed")
    helper.raises(function() v[0] = 1 end, "closed")
    assert.matches("%(closed%)$", tostring(v))
  end)

  it("survives a value whose conversion closes the map", function()
    local m = create { value = "struct v { __u64 a[4]; }" }
    m[0] = { a = { 1, 2, 3, 4 } }
    local value = setmetatable({}, { __index = function() map.close(m) end })
    pcall(function() m[0] = value end)
    pcall(function() m[0] = { a = value } end)
    map.close(m)
  end)
end)

describe("a view of an mmapable array", function()
  it("has elements of any type from any offset on", function()
    local m <close> = create { value = "struct pair { __u32 a, b; }" }
    m[1] = { a = 5, b = 6 }
    local bytes = assert(map.view(m, "__u8"))
    assert.equal(4096, #bytes)
    assert.equal(5, bytes[8])
    local b = assert(map.view(m, "__u32", 12, 1))
    assert.equal(1, #b)
    assert.equal(6, b[0])
    b[0] = 7
    assert.same({ a = 5, b = 7 }, m[1])
    local pairs_of = assert(map.view(m, "struct pair { __u32 a, b; }"))
    assert.same({ a = 5, b = 7 }, pairs_of[1])
    pairs_of[2] = { a = 1 }
    assert.same({ a = 1, b = 0 }, m[2])
    assert.equal("bpf.view: 512 × struct pair of map 'slots'", tostring(pairs_of))
  end)

  it("raises for what lies outside", function()
    local m <close> = create {}
    local v = assert(map.view(m, "__u64", 4088))
    assert.equal(1, #v)
    helper.raises(function() return v[1] end, "index 1 is outside of this view, which goes from 0 to 0")
    helper.raises(function() return v[-1] end, "outside")
    helper.raises(function() return v.x end, "integer expected")
    helper.raises(function() v[1] = 1 end, "outside")
    helper.raises(function() return map.view(m, "__u64", 4097) end, "fit into 4096 bytes")
    helper.raises(function() return map.view(m, "__u64", 0, 513) end, "fit into 4096 bytes")
    helper.raises(function() return map.view(m, "__u64", math.maxinteger) end, "fit into 4096 bytes")
    helper.raises(function() return map.view(m, "__u64", -1) end, "bad argument")
    helper.raises(function() return map.view(m) end, "value expected")
    helper.raises(function() return map.view(m, "struct v { struct bpf_spin_lock l; int n; }") end,
      "belong to the kernel")
  end)

  it("respects a frozen map, and lives through the freezing", function()
    local m <close> = create {}
    local v = assert(map.view(m, "__u64"))
    v[0] = 1
    assert.is_true(map.freeze(m))
    assert.equal(1, v[0])
    helper.raises(function() v[0] = 2 end, "frozen")
    assert.equal(1, v[0])
  end)

  it("is refused for maps without memory, saying what it takes", function()
    local m <close> = create { flags = {} }
    helper.raises(function() return map.view(m, "int") end, 'only arrays with the flag "mmapable" and arenas')
    local h <close> = assert(map.create { type = "hash", key = "int", value = "int", max_entries = 1 })
    helper.raises(function() return map.view(h, "int") end, "maps of type hash have no view")
  end)

  it("keeps the map that nobody else keeps", function()
    local v = assert(map.view(create {}, "__u64"))
    collectgarbage()
    collectgarbage()
    v[1] = 5
    assert.equal(5, v[1])
    v = nil -- luacheck: ignore
    collectgarbage()
  end)
end)

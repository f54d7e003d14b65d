-- SPDX-License-Identifier: MIT
-- arena: memory that programs and Lua share. It has its address from the start (map_extra), for libbpf before 1.4
-- doesn't map it, and the kernel loads no program whose arena has no address.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("arena", "6.9")
kinds.need("syscall")

local ARENA = helper.obj("arena")
local ADDRESS, PAGE, PAGES = 0x20000000, 4096, 16
local COUNTER = "struct counter { __u64 count; __u32 last; char name[12]; }"

local function arena(options)
  local all = { type = "arena", name = "memory", max_entries = 4 }
  for name, option in pairs(options or {}) do
    all[name] = option
  end
  return assert(map.create(all))
end

describe("an object's arena", function()
  local obj, memory

  before_each(function()
    obj = assert(bpf.load(ARENA))
    memory = obj.maps.memory
  end)

  after_each(function()
    obj:close()
  end)

  -- Has the program count in the counter at an offset. Returns what it has then, and the name it had.
  local function count(offset, by)
    local answer = assert(obj.progs.count:run({ ctx = string.pack("=I4I4I8c12", offset, by, 0, "") }))
    local _, _, counted, name = string.unpack("=I4I4I8c12", answer.ctx)
    return counted, name:match("^%Z*")
  end

  -- Has the program allocate pages. Returns the offset of the first one, nil when there are none left.
  local function allocate(pages, number)
    local answer = assert(obj.progs.allocate:run({ ctx = string.pack("=I8I4I4", 0, pages, number) }))
    local address = string.unpack("=I8", answer.ctx)
    return answer.retval == 0 and address - ADDRESS or nil
  end

  it("is pages, at an address", function()
    assert.equal("arena", map.type(memory))
    local info = map.info(memory)
    assert.same({ PAGES, ADDRESS, 0, 0 }, { info.max_entries, info.map_extra, info.key_size, info.value_size })
    assert.equal(1 << 10, info.map_flags & 1 << 10) -- mmapable
    local bytes = map.view(memory, "__u8")
    assert.equal(PAGES * PAGE, #bytes)
  end)

  it("is zero where nothing was written", function()
    local words = map.view(memory, "__u64")
    for i = 0, #words - 1, 64 do
      assert.equal(0, words[i])
    end
  end)

  it("gives Lua what a program writes, and a program what Lua writes", function()
    for _, offset in ipairs({ 0, PAGE + 24, PAGES * PAGE - 24 }) do
      local counters = map.view(memory, "struct counter", offset)
      counters[0] = { count = 100, name = "lua" }
      local counted, name = count(offset, 5)
      assert.same({ 105, "lua" }, { counted, name })
      assert.same({ count = 105, last = 5, name = "program" }, counters[0])
      counters[0] = { count = counters[0].count - 1, name = "again" }
      assert.same({ 111, "again" }, { count(offset, 7) })
    end
  end)

  it("gives a program the pages that Lua touched, and loses what it writes to others", function()
    local offset = 3 * PAGE
    assert.equal(5, (count(offset, 5)))
    assert.equal(5, (count(offset, 5))) -- there was no page to remember
    local counters = map.view(memory, "struct counter", offset)
    assert.equal(0, counters[0].count) -- now there is
    assert.equal(5, (count(offset, 5)))
    assert.equal(10, (count(offset, 5)))
    assert.equal(10, counters[0].count)
  end)

  it("gives Lua the pages that a program allocates", function()
    local offset = assert(allocate(2, 42))
    assert.is_true(offset >= 0 and offset < PAGES * PAGE and offset % PAGE == 0)
    local numbers = map.view(memory, "__u32", offset, 2 * PAGE / 4 | 0)
    assert.equal(42, numbers[0])
    assert.equal(0, numbers[#numbers - 1])
    numbers[0] = 43
    assert.equal(43, (count(offset, 0)))
    local other = assert(allocate(1, 7))
    assert.is_true(other < offset or other >= offset + 2 * PAGE)
    assert.equal(7, map.view(memory, "__u32", other)[0])
    assert.is_nil(allocate(PAGES, 1))
  end)

  it("gives pages back that a program frees", function()
    local offset = assert(allocate(PAGES, 42))
    assert.equal(0, offset)
    assert.is_nil(allocate(1, 1))
    local numbers = map.view(memory, "__u32")
    assert.equal(42, numbers[0])
    assert(obj.progs.release:run({ ctx = string.pack("=I8I4I4", ADDRESS, PAGES, 0) }))
    assert.equal(0, numbers[0]) -- a page anew
  end)

  it("has views of any type, at any offset", function()
    local bytes, words = map.view(memory, "__u8"), map.view(memory, "__u64", 8)
    local texts = map.view(memory, "char[8]", 4)
    words[0] = 0x0807060504030201
    for i = 0, 7 do
      assert.equal(i + 1, bytes[8 + i])
    end
    texts[0] = "abcd"
    assert.equal("abcd", texts[0])
    assert.equal(("a"):byte(), bytes[4])
    assert.equal(0, words[0] & 0xffffffff) -- the text is padded with zeros
    assert.equal(PAGES * PAGE // 8 - 1, #words)
    assert.equal((PAGES * PAGE - 4) // 8, #texts)
    bytes[#bytes - 1] = 255
    assert.equal(0xff, words[#words - 1] >> 56)
  end)

  it("has views that know their bounds and types", function()
    local counters = map.view(memory, "struct counter", PAGE, 2)
    assert.equal(2, #counters)
    for _, bad in ipairs({ -1, 2, 1 << 40, math.mininteger, math.maxinteger }) do
      helper.raises(function() return counters[bad] end, "outside of this view")
      helper.raises(function() counters[bad] = {} end, "outside of this view")
    end
    for _, bad in ipairs({ "1", {}, true, 0.5 }) do
      helper.raises(function() return counters[bad] end, "integer expected")
    end
    helper.raises(function() counters[0] = 1 end, "value")
    helper.raises(function() counters[0] = { cuont = 1 } end, "no member 'cuont'")
    helper.raises(function() counters[0] = nil end, "value")
    fails("E2BIG", "^map.create %(arena%): too large: 4294967295 pages ",
      map.create { type = "arena", max_entries = (1 << 32) - 1, flags = "mmapable" })
    helper.raises(function() map.view(memory, "struct nowhere") end, "struct nowhere")
    helper.raises(function() map.view(memory, "__u64", PAGES * PAGE + 1) end, "don't fit")
    helper.raises(function() map.view(memory, "__u64", -1) end, "bad argument #3")
    assert.equal(0, #map.view(memory, "__u64", PAGES * PAGE))
  end)

  it("has views that end with the object", function()
    local words = map.view(memory, "__u64")
    words[0] = 1
    obj:close()
    helper.raises(function() return words[0] end, "closed")
    helper.raises(function() words[0] = 1 end, "closed")
    assert.is_string(tostring(words))
  end)

  it("keeps its object for a view", function()
    obj:close() -- the address is free for another
    local words
    do
      words = assert(map.view(assert(bpf.load(ARENA)).maps.memory, "__u64"))
    end
    collectgarbage()
    collectgarbage()
    words[0] = 5
    assert.equal(5, words[0])
    words = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
  end)

  it("has no entries", function()
    local what = "map 'memory': maps of type arena have no .*%(they have: view%)"
    for _, name in ipairs({ "lookup", "delete", "lookup_and_delete", "next_key", "keys", "push", "pop", "peek",
      "contains", "clear", "drain" }) do
      helper.raises(function() map[name](memory, 1) end, what)
    end
    helper.raises(function() map.update(memory, 1, 1) end, what)
    helper.raises(function() return memory[0] end, what)
    helper.raises(function() memory[0] = 1 end, what)
    helper.raises(function() pairs(memory) end, what)
    helper.raises(function() return #memory end, what)
  end)
end)

describe("an arena of one's own", function()
  it("is at the address it is given, or at one that the kernel finds", function()
    for _, address in ipairs({ ADDRESS, 0 }) do
      local m <close> = arena({ map_extra = address })
      local words = assert(map.view(m, "__u64"))
      assert.equal(4 * PAGE // 8, #words)
      words[0], words[#words - 1] = 1, 2
      assert.same({ 1, 2 }, { words[0], words[#words - 1] })
      assert.equal(address, map.info(m).map_extra)
    end
  end)

  it("is shared with an object by its options", function()
    local m <close> = arena({ max_entries = PAGES, map_extra = ADDRESS })
    local counters = assert(map.view(m, COUNTER))
    local obj <close> = assert(bpf.open(ARENA, { maps = { memory = m } }))
    assert(obj:load())
    assert.is_true(obj.maps.memory == m)
    counters[0] = { count = 41, name = "lua" }
    local answer = assert(obj.progs.count:run({ ctx = string.pack("=I4I4I8c12", 0, 1, 0, "") }))
    assert.equal(42, (select(3, string.unpack("=I4I4I8", answer.ctx))))
    assert.same({ count = 42, last = 1, name = "program" }, counters[0])
  end)

  it("keeps what it holds while it is open anywhere", function()
    local m <close> = arena({ map_extra = ADDRESS })
    do
      local first <close> = assert(map.by_id(map.info(m).id))
      map.view(first, "__u64")[7] = 77
    end
    assert.equal(77, map.view(m, "__u64")[7])
  end)

  it("is mapped once in a process, for the kernel wants it at its address", function()
    if helper.LUA:find("^valgrind") then
      helper.skip("valgrind answers in the kernel's place, and otherwise")
    end
    local m <close> = arena({ map_extra = ADDRESS })
    local words = assert(map.view(m, "__u64"))
    words[0] = 5
    local other <close> = assert(map.by_id(map.info(m).id))
    fails("EEXIST", "^map 'memory': view: ", map.view(other, "__u64"))
    map.close(m)
    assert.equal(5, assert(map.view(other, "__u64"))[0])
  end)

  it("is shared with other processes", function()
    local m <close> = arena({ map_extra = ADDRESS })
    map.view(m, "__u64")[1] = 20
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      local words = bpf.map.view(assert(bpf.map.by_id(%d)), "__u64")
      words[2] = words[1] + 1
      print(words[1])
    ]]):format(map.info(m).id))
    assert.equal("20\n", output)
    assert.is_true(ok)
    assert.equal(21, map.view(m, "__u64")[2])
  end)

  it("with the flag segv_on_fault tells where no program has allocated", function()
    local m <close> = arena({ max_entries = PAGES, map_extra = ADDRESS, flags = "segv_on_fault" })
    local words = assert(map.view(m, "__u64"))
    helper.raises(function() return words[0] end, "no program has allocated this page %(EFAULT%)")
    helper.raises(function() words[0] = 1 end, "no program has allocated this page %(EFAULT%)")
  end)

  it("says why it can't be made", function()
    fails("EINVAL", "max_entries must be greater than 0", map.create({ type = "arena" }))
    fails("EINVAL", "key must be left out", map.create({ type = "arena", key = "__u32", max_entries = 1 }))
    fails("EINVAL", "value must be left out", map.create({ type = "arena", value = "__u32", max_entries = 1 }))
    local result, message, code = map.create({ type = "arena", max_entries = 1, map_extra = 1 })
    assert.is_nil(result)
    assert.equal("EINVAL", code)
    assert.matches("map_extra", message)
    fails("E2BIG", "map.create", map.create({ type = "arena", max_entries = 1 << 21 }))
  end)
end)

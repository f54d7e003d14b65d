-- SPDX-License-Identifier: MIT
-- prog_array: tail calls that Lua switches on, over and off.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()

local JUMPS = helper.obj("jumps")
local PACKET = ("\x11"):rep(60)
local STAYED = 1 -- what `enter` returns when its jump found nothing

local function create(options)
  local all = { type = "prog_array", name = "jumps", max_entries = 4 }
  for name, option in pairs(options or {}) do
    all[name] = option
  end
  return assert(map.create(all))
end

-- What pairs gives, each key once.
local function entries(m)
  local seen = {}
  for k, v in pairs(m) do
    assert.is_nil(seen[k])
    seen[k] = v
  end
  return seen
end

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("a prog_array", function()
  local obj, jump

  before_each(function()
    obj = assert(bpf.load(JUMPS))
    jump = obj.maps.jump
  end)

  after_each(function()
    obj:close()
  end)

  -- Where a packet ends that asks for a jump to the slot.
  local function enter(slot)
    obj.vars.target = slot
    return assert(obj.progs.enter:run({ data = PACKET })).retval
  end

  it("has slots, all empty at first", function()
    assert.equal("prog_array", map.type(jump))
    assert.equal(4, #jump)
    for slot = 0, 3 do
      assert.is_nil(jump[slot])
      assert.same({ n = 1 }, table.pack(map.lookup(jump, slot)))
      assert.equal(STAYED, enter(slot))
    end
    assert.equal(4, obj.vars.stayed)
    assert.same({}, entries(jump))
  end)

  it("makes tail calls go where Lua says", function()
    jump[0] = obj.progs.eleven
    jump[2] = obj.progs.twelve
    assert.same({ 11, STAYED, 12, STAYED }, { enter(0), enter(1), enter(2), enter(3) })
    assert.equal(2, obj.vars.stayed)
  end)

  it("reads programs as the kernel's ids", function()
    jump[1] = obj.progs.eleven
    assert.equal(obj.progs.eleven:info().id, jump[1])
    assert.equal("integer", math.type(jump[1]))
    assert.equal(jump[1], map.lookup(jump, 1))
    assert.equal(jump[1], map.unpack(jump, 1))
  end)

  it("walks the slots that are filled", function()
    jump[3] = obj.progs.twelve
    jump[1] = obj.progs.eleven
    assert.same({ [1] = obj.progs.eleven:info().id, [3] = obj.progs.twelve:info().id }, entries(jump))
    for slot in pairs(jump) do
      jump[slot] = nil
    end
    assert.same({}, entries(jump))
  end)

  it("lets a slot be replaced while it is in use, and emptied", function()
    jump[0] = obj.progs.eleven
    assert.equal(11, enter(0))
    jump[0] = obj.progs.twelve
    assert.equal(12, enter(0))
    assert.equal(obj.progs.twelve:info().id, jump[0])
    jump[0] = nil
    assert.is_nil(jump[0])
    assert.equal(STAYED, enter(0))
    assert.same({ false, "ENOENT" }, { map.delete(jump, 0) })
    jump[0] = nil
    jump[0] = obj.progs.eleven
    assert.is_true(map.delete(jump, 0))
    assert.equal(STAYED, enter(0))
  end)

  it("lets a program jump to itself until the kernel's limit", function()
    jump[3] = obj.progs.onward
    assert.equal(13, enter(3))
    assert.equal(33, obj.vars.stayed)
  end)

  it("keeps its entries when the Lua handle is collected", function()
    jump[0] = obj.progs.eleven
    jump = nil -- luacheck: ignore
    collect()
    assert.equal(11, enter(0))
    assert.equal(obj.progs.eleven:info().id, obj.maps.jump[0])
  end)

  it("keeps a program that its object no longer has", function()
    local other <close> = assert(bpf.open(JUMPS, { maps = { jump = jump } }))
    assert(other:load())
    jump[2] = other.progs.twelve
    local id = other.progs.twelve:info().id
    other:close()
    collect()
    assert.equal(id, jump[2])
    assert.equal(12, enter(2))
  end)

  it("passes through another's handle", function()
    local again <close> = assert(map.by_id(map.info(jump).id))
    assert.is_true(again == jump)
    again[1] = obj.progs.twelve
    assert.equal(12, enter(1))
    assert.equal(jump[1], again[1])
    map.close(again)
    collect()
    assert.equal(12, enter(1))
  end)

  it("refuses programs that can't be jumped to", function()
    fails("EINVAL", "map 'jump': update: .*another type", map.update(jump, 0, obj.progs.other_type))
    helper.raises(function() jump[0] = obj.progs.other_type end, "map 'jump': update: .*EINVAL")
    assert.is_nil(jump[0])
  end)

  it("refuses what is no loaded program", function()
    local closed = assert(bpf.load(JUMPS))
    local gone = closed.progs.eleven
    closed:close()
    local unloaded <close> = assert(bpf.open(JUMPS))
    for _, bad in ipairs({ 1, "eleven", {}, true, obj, jump, print }) do
      helper.raises(function() jump[0] = bad end, "program.* expected, got ")
      helper.raises(function() map.update(jump, 0, bad) end, "program.* expected, got ")
    end
    helper.raises(function() jump[0] = gone end, "program 'eleven': its object is closed")
    helper.raises(function() jump[0] = unloaded.progs.eleven end, "program 'eleven' is not loaded")
    assert.is_nil(jump[0])
  end)

  it("knows its slots", function()
    fails("E2BIG", "no such slot, the last one is 3", map.update(jump, 4, obj.progs.eleven))
    helper.raises(function() jump[4] = obj.progs.eleven end, "no such slot, the last one is 3 %(E2BIG%)")
    assert.is_nil(jump[4])
    helper.raises(function() return jump.eleven end, "integer expected")
    helper.raises(function() jump[-1] = obj.progs.eleven end, "does not fit")
  end)

  it("can be drained", function()
    jump[1], jump[3] = obj.progs.eleven, obj.progs.twelve
    local expected, drained = entries(jump), {}
    for slot, id in map.drain(jump) do
      drained[slot] = id
    end
    assert.same(expected, drained)
    assert.same({}, entries(jump))
    assert.equal(STAYED, enter(1))
  end)

  it("can be cleared at once", function()
    jump[0], jump[1], jump[3] = obj.progs.eleven, obj.progs.twelve, obj.progs.eleven
    assert.equal(3, map.clear(jump))
    assert.equal(0, map.clear(jump))
    assert.same({ STAYED, STAYED, STAYED, STAYED }, { enter(0), enter(1), enter(2), enter(3) })
  end)
end)

describe("a prog_array of one's own", function()
  it("is shared with an object by its options", function()
    local jump <close> = create()
    local obj <close> = assert(bpf.open(JUMPS, { maps = { jump = jump } }))
    assert(obj:load())
    assert.is_true(obj.maps.jump == jump)
    jump[0] = obj.progs.eleven
    assert.equal(11, assert(obj.progs.enter:run({ data = PACKET })).retval)
  end)

  it("stays filled by a reader that only has its id, and is empty once the last handle is closed", function()
    local jump = create()
    local obj <close> = assert(bpf.open(JUMPS, { maps = { jump = jump } }))
    assert(obj:load())
    jump[0] = obj.progs.eleven
    local other <close> = assert(map.by_id(map.info(jump).id))
    map.close(jump)
    assert.equal(obj.progs.eleven:info().id, other[0])
    assert.equal(11, assert(obj.progs.enter:run({ data = PACKET })).retval)
  end)

  it("is emptied by the kernel when the last handle is closed, though a program still uses it", function()
    local pinned = helper.bpffs() .. "/enter"
    local id
    do
      local obj <close> = assert(bpf.load(JUMPS))
      obj.maps.jump[0] = obj.progs.eleven
      id = map.info(obj.maps.jump).id
      local output, ok = helper.run(("bpftool prog pin id %d %s"):format(obj.progs.enter:info().id, pinned))
      assert.is_true(ok, output)
    end
    assert.is_true(helper.eventually(function() -- the kernel does it from a worker, after others that hold the map
      local jump <close> = assert(map.by_id(id)) -- the program keeps the map, without its entries
      return jump[0] == nil
    end))
    assert(os.remove(pinned))
  end)

  it("keeps its entries while it is pinned", function()
    local path = helper.bpffs() .. "/jumps"
    local id
    do
      local obj <close> = assert(bpf.load(JUMPS))
      obj.maps.jump[1] = obj.progs.twelve
      id = obj.progs.twelve:info().id
      assert(map.pin(obj.maps.jump, path))
    end
    local jump <close> = assert(map.open(path))
    assert.equal(id, jump[1])
    assert(map.unpin(jump, path))
  end)

  it("needs no types", function()
    local jump <close> = create()
    local info = map.info(jump)
    assert.same({ "prog_array", 4, 4, 4 }, { info.type, info.key_size, info.value_size, info.max_entries })
  end)
end)

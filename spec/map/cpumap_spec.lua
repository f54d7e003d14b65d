-- SPDX-License-Identifier: MIT
-- CPU maps: packets that an XDP program hands to another CPU's queue, through entries made in Lua.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local net = require("spec.support.net")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("links of xdp programs, and programs in CPU maps", "5.9")

local PROGS = helper.obj("cpumap")
local PORT = 7008 -- the one that the programs touch
local SLOTS = 8 -- of the program's maps

-- The CPUs that are there, of those that have a slot.
local CPUS = {}
for from, to in net.must("cat /sys/devices/system/cpu/online"):gmatch("(%d+)%-?(%d*)") do
  for cpu = math.tointeger(from), math.min(SLOTS - 1, math.tointeger(to) or math.tointeger(from)) do
    CPUS[#CPUS + 1] = cpu
  end
end

-- Packets come from one namespace into another, where the process lives.
local path

setup(function()
  path = net.path(PORT)
end)

teardown(function()
  if path then
    path.close()
  end
  net.remove()
end)

-- An object whose program hands packets on through the map of this name, and counts who takes them.
local function spreading(name)
  local obj = assert(bpf.load(PROGS))
  obj.vars.watched = map.info(obj.maps[name]).id
  assert(obj.progs.on_taken:attach())
  net.attach_xdp(obj.progs[name == "cpus" and "spread" or "spread_plain"], "near")
  return obj
end

-- Checks how many packets each CPU took: by CPU, without those that took none. The kernel tells of a packet after it
-- has handed it on.
local function takes(obj, expected)
  local counts
  helper.eventually(function()
    counts = {}
    for cpu, count in pairs(obj.maps.taken) do
      counts[cpu] = count > 0 and count or nil
    end
    return pcall(assert.same, expected, counts)
  end)
  assert.same(expected, counts)
end

for _, name in ipairs({ "cpus", "plain" }) do
  describe(name == "cpus" and "cpumap:" or "a cpumap of queue sizes alone:", function()
    it("packets are taken by the CPU whose queue has a size", function()
      local obj <close> = spreading(name)
      local expected = {}
      for _, cpu in ipairs(CPUS) do
        obj.vars.chosen = cpu
        path.is_lost()
        obj.maps[name][cpu] = 64
        local got, text = path.arrives()
        assert.equal(text, got)
        expected[cpu] = 1
        takes(obj, expected)
      end
    end)

    it("a deleted entry takes no packets", function()
      local obj <close> = spreading(name)
      local m = obj.maps[name]
      obj.vars.chosen = CPUS[1]
      m[CPUS[1]] = 64
      path.arrives()
      assert.is_true(map.delete(m, CPUS[1]))
      path.is_lost()
      assert.is_nil(m[CPUS[1]])
      m[CPUS[1]] = 32
      path.arrives()
      m[CPUS[1]] = nil
      path.is_lost()
    end)

    it("reads the size of the queue, and nil for a CPU without one", function()
      local obj <close> = spreading(name)
      local m = obj.maps[name]
      m[CPUS[1]] = { qsize = 192 }
      assert.equal(192, m[CPUS[1]])
      assert.equal(192, map.lookup(m, CPUS[1]))
      m[CPUS[1]] = 16
      assert.equal(16, m[CPUS[1]])
      assert.same({ n = 1 }, table.pack(map.lookup(m, SLOTS - 1)))
      assert.is_nil(m[SLOTS + 1])
    end)

    it("pairs goes over the CPUs that have a queue", function()
      local obj <close> = spreading(name)
      local m, expected, all = obj.maps[name], {}, {}
      for i, cpu in ipairs(CPUS) do
        m[cpu] = 16 * i
        expected[cpu] = 16 * i
      end
      for cpu, size in pairs(m) do
        all[cpu] = size
      end
      assert.same(expected, all)
      m[CPUS[1]], expected[CPUS[1]], all = nil, nil, {}
      for cpu, size in pairs(m) do
        all[cpu] = size
      end
      assert.same(expected, all)
    end)

    it("has so many slots", function()
      local obj <close> = spreading(name)
      assert.equal(SLOTS, #obj.maps[name])
      fails("E2BIG", "the last one is 7", map.update(obj.maps[name], SLOTS, 64))
      helper.raises(function() obj.maps[name][SLOTS] = 64 end, "E2BIG")
    end)

    it("the longest queue is of 16384", function()
      local obj <close> = spreading(name)
      local m = obj.maps[name]
      m[CPUS[1]] = 16384
      assert.equal(16384, m[CPUS[1]])
      fails("EOVERFLOW", "update", map.update(m, CPUS[1], 16385))
      helper.raises(function() m[CPUS[1]] = 16385 end, "EOVERFLOW")
      assert.equal(16384, m[CPUS[1]])
    end)

    it("values that are no entry raise, and change nothing", function()
      local obj <close> = spreading(name)
      local m = obj.maps[name]
      m[CPUS[1]] = 64
      for _, wrong in ipairs({ true, "64x", -1, 1.5, 1 << 32, { qsize = "many" }, { qsize = 1, program = 1 },
        { qsize = 1, prog = 1 }, { qsize = 1, prog = obj }, { ifindex = 1 }, print, obj }) do
        helper.raises(function() m[CPUS[1]] = wrong end, "")
        helper.raises(function() map.update(m, CPUS[1], wrong) end, "")
      end
      assert.equal(64, m[CPUS[1]])
    end)
  end)
end

describe("cpumap:", function()
  it("an entry's program runs on its CPU", function()
    local obj <close> = spreading("cpus")
    local m = obj.maps.cpus
    for _, cpu in ipairs(CPUS) do
      m[cpu] = { qsize = 64, prog = obj.progs.mark }
      obj.vars.chosen = cpu
      local got, text = path.arrives()
      assert.equal("!" .. text:sub(2), got)
      assert.equal(cpu, obj.vars.marked_on)
    end
  end)

  it("an entry's program may keep packets, until the entry is set without it", function()
    local obj <close> = spreading("cpus")
    local m = obj.maps.cpus
    obj.vars.chosen = CPUS[1]
    m[CPUS[1]] = { qsize = 64, prog = obj.progs.refuse }
    path.is_lost()
    m[CPUS[1]] = 64
    local got, text = path.arrives()
    assert.equal(text, got)
    assert.equal(64, m[CPUS[1]])
  end)

  it("reads back the program's id", function()
    local obj <close> = spreading("cpus")
    local m, all = obj.maps.cpus, {}
    m[CPUS[1]] = { qsize = 64, prog = obj.progs.mark }
    local entry = { qsize = 64, prog = obj.progs.mark:info().id }
    assert.same(entry, m[CPUS[1]])
    for cpu, value in pairs(m) do
      all[cpu] = value
    end
    assert.same({ [CPUS[1]] = entry }, all)
  end)

  it("is what bpftool shows", function()
    local obj <close> = spreading("cpus")
    obj.maps.cpus[CPUS[1]] = { qsize = 64, prog = obj.progs.mark }
    local hex = string.pack("<I4I4", 64, obj.progs.mark:info().id)
      :gsub(".", function(c) return ('"0x%02x",'):format(c:byte()) end):sub(1, -2)
    local shown = net.must(("bpftool -j map lookup id %d key %d 0 0 0"):format(map.info(obj.maps.cpus).id, CPUS[1]))
    assert.is_truthy(shown:find(hex, 1, true), shown)
  end)

  it("a program that isn't for CPU maps is a failure", function()
    local obj <close> = spreading("cpus")
    local ok, message, code = map.update(obj.maps.cpus, CPUS[1], { qsize = 64, prog = obj.progs.spread })
    assert.is_nil(ok)
    assert.matches("update", message)
    assert.is_string(code)
    assert.is_nil(obj.maps.cpus[CPUS[1]])
  end)

  it("made in Lua, has entries with programs", function()
    local m <close> = assert(map.create({ type = "cpumap", name = "made", max_entries = SLOTS }))
    local obj <close> = assert(bpf.load(PROGS))
    assert.same({ 4, 8 }, { map.info(m).key_size, map.info(m).value_size })
    m[CPUS[1]] = { qsize = 64, prog = obj.progs.mark }
    assert.same({ qsize = 64, prog = obj.progs.mark:info().id }, m[CPUS[1]])
    m[CPUS[1]] = 128
    assert.equal(128, m[CPUS[1]])
  end)

  it("made in Lua, is where a program sends packets", function()
    local m <close> = assert(map.create({ type = "cpumap", name = "made", max_entries = SLOTS }))
    local obj <close> = assert(bpf.load(PROGS, { maps = { cpus = m } }))
    net.attach_xdp(obj.progs.spread, "near")
    obj.vars.chosen = CPUS[#CPUS]
    path.is_lost()
    m[CPUS[#CPUS]] = { qsize = 64, prog = obj.progs.mark }
    local got, text = path.arrives()
    assert.equal("!" .. text:sub(2), got)
    assert.equal(CPUS[#CPUS], obj.vars.marked_on)
  end)

  it("entries are stored, read and deleted in bulk", function()
    local obj <close> = spreading("cpus")
    local m, source, count = obj.maps.cpus, {}, 0
    for i, cpu in ipairs(CPUS) do
      source[cpu], count = 16 * i, i
    end
    assert.equal(count, map.update_batch(m, source))
    obj.vars.chosen = CPUS[1]
    path.arrives()
    local keys, sizes, cursor = map.lookup_batch(m)
    assert.same({ CPUS, 16, nil }, { keys, sizes[1], cursor })
    assert.equal(1, map.delete_batch(m, { CPUS[1] }))
    path.is_lost()
    m[CPUS[1]] = { qsize = 48, prog = obj.progs.mark }
    local drained = {}
    for cpu, entry in map.drain(m) do
      drained[cpu] = entry
    end
    source[CPUS[1]] = { qsize = 48, prog = obj.progs.mark:info().id }
    assert.same(source, drained)
    assert.is_nil(next((map.lookup_batch(m))))
    path.is_lost()
  end)

  it("a CPU that can't be is a failure", function()
    local possible = math.tointeger(net.must("cat /sys/devices/system/cpu/possible"):match("(%d+)%s*$"))
    local m <close> = assert(map.create({ type = "cpumap", name = "made", max_entries = possible + 2 }))
    fails("ENODEV", "update", map.update(m, possible + 1, 64))
    helper.raises(function() m[possible + 1] = 64 end, "ENODEV")
  end)
end)

describe("a cpumap of queue sizes alone:", function()
  it("has no place for a program", function()
    local obj <close> = spreading("plain")
    helper.raises(function() obj.maps.plain[CPUS[1]] = { qsize = 64, prog = obj.progs.mark } end, "prog")
    assert.is_nil(obj.maps.plain[CPUS[1]])
  end)
end)

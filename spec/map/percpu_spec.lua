-- SPDX-License-Identifier: MIT
-- Per-CPU maps: sequences over the possible CPUs, one value for all, sums, one CPU's value.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()

-- How many CPUs the kernel may have, as it tells itself.
local function possible_cpus()
  local file <close> = assert(io.open "/sys/devices/system/cpu/possible")
  local n = 0
  for first, last in file:read("a"):gmatch "(%d+)%-?(%d*)" do
    n = n + (tonumber(last) or tonumber(first)) - tonumber(first) + 1
  end
  return n
end

local CPUS <const> = possible_cpus()
local PAIR <const> = "struct pair { __u32 a; __u64 b; char name[4]; }"

for _, kind in ipairs { "percpu_array", "percpu_hash", "lru_percpu_hash" } do
  describe("a " .. kind, function()
    local function create(value)
      return assert(map.create {
        type = kind, name = "counts", key = "__u32", value = value or "__u64", max_entries = 8,
      })
    end

    it("has a sequence with one value for each possible CPU", function()
      local m <close> = create()
      local values = {}
      for cpu = 1, CPUS do
        values[cpu] = cpu * 100
      end
      m[1] = values
      assert.same(values, m[1])
      assert.equal(CPUS, #m[1])
    end)

    it("takes one value for all CPUs", function()
      local m <close> = create()
      m[1] = 7
      for cpu = 1, CPUS do
        assert.equal(7, m[1][cpu])
      end
      assert.equal(7 * CPUS, map.sum(m, 1))
    end)

    it("gives and takes one CPU's value, leaving the others'", function()
      local m <close> = create()
      m[1] = 5
      for cpu = 0, CPUS - 1 do
        assert.is_true(map.update(m, 1, 100 + cpu, { cpu = cpu }))
        assert.equal(100 + cpu, map.lookup(m, 1, { cpu = cpu }))
        assert.equal(100 + cpu, m[1][cpu + 1])
        if cpu + 1 < CPUS then
          assert.equal(5, map.lookup(m, 1, { cpu = cpu + 1 }))
        end
      end
    end)

    it("makes an entry of zeroes around one CPU's value", function()
      local m <close> = create()
      assert.is_true(map.update(m, 3, 9, { cpu = CPUS - 1 }))
      assert.equal(9, map.sum(m, 3))
      assert.equal(9, m[3][CPUS])
    end)

    it("works member by member for structs", function()
      local m <close> = create(PAIR)
      m[1] = { a = 1, b = 2, name = "x" }
      assert.is_true(map.update(m, 1, { a = 10, b = 20, name = "y" }, { cpu = 0 }))
      assert.same({ a = 10, b = 20, name = "y" }, map.lookup(m, 1, { cpu = 0 }))
      local into = {}
      assert.equal(into, map.lookup(m, 1, { cpu = 0, into = into }))
      assert.same({ a = 10, b = 20, name = "y" }, into)
      local sum = map.sum(m, 1)
      assert.equal(10 + (CPUS - 1), sum.a)
      assert.equal(20 + 2 * (CPUS - 1), sum.b)
      m[2] = m[1] -- what was read can be written
      assert.same(m[1], m[2])
    end)

    it("respects flags together with a CPU", function()
      if kind == "lru_percpu_hash" then
        return assert.is_true(CPUS > 0) -- its look-up and update have no such race to show
      end
      local m <close> = create()
      if kind == "percpu_array" then
        assert.same({ false, "EEXIST" }, { map.update(m, 1, 1, { "noexist", cpu = 0 }) })
      else
        assert.same({ false, "ENOENT" }, { map.update(m, 1, 1, { "exist", cpu = 0 }) })
        assert.is_true(map.update(m, 1, 1, { "noexist", cpu = 0 }))
        assert.same({ false, "EEXIST" }, { map.update(m, 1, 1, { "noexist", cpu = 0 }) })
      end
    end)

    it("raises for a CPU that can't be, and for a wrong number of values", function()
      local m <close> = create()
      m[1] = 0
      for _, cpu in ipairs { -1, CPUS, 0.5, "0", true } do
        helper.raises(function() map.lookup(m, 1, { cpu = cpu }) end, "option 'cpu' must be an integer from 0 to")
        helper.raises(function() map.update(m, 1, 1, { cpu = cpu }) end, "option 'cpu' must be an integer from 0 to")
      end
      local values = {}
      for cpu = 1, CPUS + 1 do
        values[cpu] = cpu
      end
      helper.raises(function() m[1] = values end, ("%d values given for %d possible CPUs"):format(CPUS + 1, CPUS))
      helper.raises(function() map.update(m, 1, {}, { cpu = 0 }) end, "integer expected")
    end)
  end)
end

describe("the option cpu", function()
  it("is for per-CPU maps only, which the error says", function()
    local m <close> = assert(map.create { type = "array", name = "m", value = "int", max_entries = 1 })
    helper.raises(function() map.lookup(m, 0, { cpu = 0 }) end,
      "map 'm': option 'cpu' is for per%-CPU maps, this is one of type array")
    helper.raises(function() map.update(m, 0, 1, { cpu = 0 }) end, "option 'cpu' is for per%-CPU maps")
  end)
end)

describe("what programs count on each CPU", function()
  it("is at that CPU's place", function()
    local obj <close> = assert(bpf.load(helper.obj "percpu"))
    local online = {}
    for line in io.lines "/proc/cpuinfo" do
      online[#online + 1] = line:match "^processor%s*:%s*(%d+)"
    end
    for _, cpu in ipairs(online) do
      local code = ([[
        local bpf = require "bpf"
        local obj <close> = assert(bpf.load(%q, { maps = { counts = assert(bpf.map.by_id(%d)) } }))
        for _ = 1, %d do assert(obj.progs.count:run {}) end]]):format(helper.obj "percpu",
        map.info(obj.maps.counts).id, cpu + 3)
      local output, ok = helper.run(("taskset -c %s %s -e %s"):format(cpu, helper.LUA, helper.quote(code)))
      assert.is_true(ok, output)
    end
    for _, cpu in ipairs(online) do
      assert.equal(cpu + 3, map.lookup(obj.maps.counts, 0, { cpu = math.tointeger(cpu) }))
    end
  end)
end)

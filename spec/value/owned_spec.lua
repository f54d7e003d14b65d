-- SPDX-License-Identifier: MIT
-- Members that are the kernel's (locks, timers, work queues, kptrs, lists, trees): scripts neither see nor set them.
-- What becomes of them when the rest is written is the kernel's rule: an update of an array's slot releases what they
-- hold, one of a hash replaces the entry, one of a hash with "lock" writes into the entry and leaves them alone.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

kernel.root()

local DATA = ("\0"):rep(64)

-- Calls fn until it returns true, for a while.
local function await(what, fn)
  local limit = os.time() + 10 * helper.slow
  while not fn() do
    assert(os.time() < limit, what)
  end
end

local function returns(expected, prog, options)
  assert.equal(expected, assert(prog:run(options)).retval)
end

-- Checks that an element's own members are the only ones: reading gives no other, and writing another raises.
local function hides(m, key, owned, visible)
  assert.same(visible, m[key])
  assert.same(visible, map.lookup(m, key, { into = {} }))
  for _, name in ipairs(owned) do
    for _, value in ipairs { 0, "", {} } do
      helper.raises(function()
        m[key] = { [name] = value }
      end, name)
    end
  end
  assert.same(visible, m[key])
end

describe("declared in C text, kernel-owned members stay out of", function()
  for _, case in ipairs {
    { "struct bpf_spin_lock", "5.1" }, { "struct bpf_timer", "5.15" }, { "struct bpf_wq", "6.10" },
  } do
    for _, type in ipairs { "hash", "array" } do
      it(("a value with a %s in an %s"):format(case[1], type), function()
        kernel.need(case[1], case[2])
        local m <close> = assert(map.create {
          type = type, key = "__u32", value = ("struct v { __u64 n; %s mine; __u64 m; }"):format(case[1]),
          max_entries = 2,
        })
        m[1] = { n = 1, m = 2 }
        hides(m, 1, { "mine" }, { n = 1, m = 2 })
        assert.same({ 1, 2, n = 2 }, table.pack(map.unpack(m, 1)))
        assert.is_true(map.info(m).btf_value_type_id > 0)
      end)
    end
  end
end)

describe("a timer", function()
  kernel.need("timers", "5.15")

  local MSEC = 1000000
  local obj

  before_each(function() obj = assert(bpf.load(helper.obj("timers"))) end)
  after_each(function() obj:close() end)

  local function arm(name, msecs)
    obj.vars.nsecs = msecs * MSEC
    returns(0, obj.progs[name], { data = DATA })
  end

  local function rings_not()
    helper.run("sleep 0.2")
    assert.equal(0, obj.vars.rings)
  end

  it("in an array's slot fires while scripts read, and what it writes is seen", function()
    local m = obj.maps.alarms
    m[0] = { note = 1 }
    arm("arm", 50)
    hides(m, 0, { "timer" }, { fired = 0, note = 1 })
    await("the timer fires", function() return m[0].fired > 0 end)
    assert.same({ fired = 1, note = 1 }, m[0])
  end)

  it("in an array's slot is stopped by an update, and can be armed again", function()
    local m = obj.maps.alarms
    arm("arm", 50)
    m[0] = { note = 2 }
    helper.run("sleep 0.2")
    assert.same({ fired = 0, note = 2 }, m[0])
    arm("arm", 1)
    await("the timer fires", function() return m[0].fired > 0 end)
  end)

  it("in a hash goes with its entry, which an update replaces", function()
    local m = obj.maps.locked_alarms
    m[0] = { note = 1 }
    arm("arm_locked", 50)
    m[0] = { note = 2 }
    rings_not()
    assert.same({ fired = 0, note = 2 }, m[0])
  end)

  it("in a hash is stopped when its entry is deleted", function()
    local m = obj.maps.locked_alarms
    m[0] = {}
    arm("arm_locked", 50)
    assert.same({ fired = 0, note = 0 }, map.lookup_and_delete(m, 0))
    rings_not()
  end)

  it('in a hash fires after updates with "lock"', function()
    local m = obj.maps.locked_alarms
    m[0] = {}
    arm("arm_locked", 100)
    for i = 1, 50 do
      assert.is_true(map.update(m, 0, { note = i }, "lock"))
    end
    hides(m, 0, { "timer", "lock" }, { fired = 0, note = 50 })
    await("the timer fires", function() return obj.vars.rings > 0 end)
    assert.equal(1, obj.vars.rings)
    assert.same({ fired = 1, note = 50 }, m[0])
  end)
end)

describe("a work queue", function()
  kernel.need("work queues", "6.10")

  it("works while scripts read; an update of its slot takes it away, until a program sets it up again", function()
    local obj <close> = assert(bpf.load(helper.obj(kernel.version() >= 7 and "workqueue_implicit" or "workqueue")))
    local m, start = obj.maps.works, obj.progs.start
    assert.not_equal(0, assert(start:run()).retval)
    m[0] = { note = 5 }
    for _ = 1, 2 do
      returns(0, obj.progs.set_up)
      hides(m, 0, { "wq" }, { done = 0, note = 5 })
      returns(0, start)
      await("the work is done", function() return m[0].done > 0 end)
      assert.same({ done = 1, note = 5 }, m[0])
      m[0] = { note = 5 }
      assert.not_equal(0, assert(start:run()).retval)
    end
  end)
end)

describe("a reference to a task", function()
  kernel.need("bpf_task_from_pid", "6.2")

  it('in an entry of a hash is still there after an update with "lock", and gone after one without', function()
    local obj <close> = assert(bpf.load(helper.obj("kptrs")))
    local m = obj.maps.holders
    local me = assert(obj.progs.whoami:run()).retval
    m[0] = {}
    returns(0, obj.progs.hold)
    assert.is_true(map.update(m, 0, { n = 3 }, "lock"))
    hides(m, 0, { "task", "lock" }, { n = 3 })
    returns(me, obj.progs.release)
    returns(0, obj.progs.release)
    returns(0, obj.progs.hold)
    m[0] = { n = 4 }
    returns(0, obj.progs.release)
  end)

  it("is released by the kernel with the map", function()
    local obj <close> = assert(bpf.load(helper.obj("kptrs")))
    obj.maps.holders[0] = {}
    returns(0, obj.progs.hold)
  end)
end)

describe("a list and a tree", function()
  kernel.need("bpf_rbtree", "6.3")

  for title, case in pairs {
    ['keep their nodes over an update with "lock"'] = { "lock", 42, 43 },
    ["lose their nodes to an update without"] = { "any", 0, 0 },
  } do
    it("in an entry of a hash " .. title, function()
      local obj <close> = assert(bpf.load(helper.obj("graphs")))
      local m = obj.maps.bags
      m[0] = {}
      returns(0, obj.progs.put, { data = DATA })
      assert.is_true(map.update(m, 0, { n = 7 }, case[1]))
      hides(m, 0, { "lock", "list", "tree" }, { n = 7 })
      assert.same({ n = 7 }, map.lookup(m, 0, "lock"))
      returns(case[2], obj.progs.take_item, { data = DATA })
      returns(case[3], obj.progs.take_leaf, { data = DATA })
      returns(0, obj.progs.take_item, { data = DATA })
      returns(0, obj.progs.take_leaf, { data = DATA })
    end)
  end
end)

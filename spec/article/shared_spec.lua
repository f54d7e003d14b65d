-- SPDX-License-Identifier: MIT
-- A map is memory of the kernel's that programs and user space share: each sees at once what the other does.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")

local map = bpf.map

local ABSENT = helper.absent()

kernel.root()
kernel.need("syscall programs", "5.14")
kinds.need("syscall")

local SHARED = helper.obj("shared")

-- Lets the program add to the entry; returns what it found there, or nil.
local function add(obj, key, by)
  local answer = assert(obj.progs.add:run { ctx = string.pack("=I4I4i8", key, by, 0) })
  local _, _, before = string.unpack("=I4I4i8", answer.ctx)
  return before ~= -1 and before or nil
end

local function erase(obj, key)
  return assert(obj.progs.erase:run { ctx = string.pack("=I4I4i8", key, 0, 0) }).retval
end

describe("a map shared with a program:", function()
  -- The map is the object's, or one that was there before and that the program is given.
  local obj, counts, lent

  for _, owner in ipairs { "the object", "Lua" } do
    describe("the map of " .. owner, function()
      before_each(function()
        if owner == "Lua" then
          lent = assert(map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 64 })
        end
        obj = assert(bpf.load(SHARED, { maps = { counts = lent } }))
        counts = lent or obj.maps.counts
      end)

      after_each(function()
        obj:close()
        if lent then
          map.close(lent)
          lent = nil
        end
      end)

      it("what the program writes, Lua reads", function()
        assert.is_nil(counts[1])
        assert.is_nil(add(obj, 1, 5))
        assert.equal(5, counts[1])
        assert.equal(5, add(obj, 1, 2))
        assert.equal(7, counts[1])
      end)

      it("what Lua writes, the program reads", function()
        counts[2] = 40
        assert.equal(40, add(obj, 2, 2))
        counts[2] = 1
        assert.equal(1, add(obj, 2, 2))
        counts[2] = nil
        assert.is_nil(add(obj, 2, 2))
      end)

      it("what the program deletes is gone for Lua", function()
        counts[3] = 1
        assert.equal(0, erase(obj, 3))
        assert.is_nil(counts[3])
        answers.refused("ENOENT", map.delete(counts, 3))
      end)

      it("in turns, they count to ten thousand", function()
        counts[4] = 0
        for i = 0, 9999, 2 do
          counts[4] = counts[4] + 1
          assert.equal(i + 1, add(obj, 4, 1))
        end
        assert.equal(10000, counts[4])
      end)
    end)
  end

  it("a queue passes jobs to and fro", function()
    obj = assert(bpf.load(SHARED))
    local queue <const> = obj.maps.queue
    map.push(queue, 1)
    map.push(queue, 2)
    assert.equal(0, assert(obj.progs.work:run { data = ("\0"):rep(64) }).retval)
    assert.same({ 2, 101 }, { map.pop(queue), map.pop(queue) })
    answers.absent(map.pop(queue))
    obj:close()
  end)

  it("a program at work in the kernel counts what Lua watches, as long as Lua lets it", function()
    local who <close> = assert(bpf.load(SHARED))
    assert(who.progs.whoami:run())
    local traced <close> = assert(bpf.load(SHARED, { vars = { target = who.vars.self },
      autoload = { on_openat = true } }))
    local slots = traced.maps.slots
    local COUNT, GATE = 0, 1
    local function call()
      assert.is_nil(io.open(ABSENT))
    end

    assert(traced.progs.on_openat:attach())
    call()
    assert.equal(0, slots[COUNT])
    slots[GATE] = 1
    for i = 1, 100 do
      call()
      assert.equal(i, slots[COUNT])
    end
    slots[COUNT] = 1000
    call()
    assert.equal(1001, slots[COUNT])
    slots[GATE] = 0
    call()
    assert.equal(1001, slots[COUNT])
  end)
end)

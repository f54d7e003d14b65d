-- SPDX-License-Identifier: MIT
-- Queues and stacks: no keys; push, pop, peek.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

local map = bpf.map
local done, absent, fails = answers.done, answers.absent, answers.fails

kernel.root()

-- A queue or stack with room for three.
local function create(type, value)
  return assert(map.create { type = type, name = "jobs", value = value or "__u32", max_entries = 3 })
end

local function pop_all(m)
  local values = {}
  for value in function() return map.pop(m) end do
    values[#values + 1] = value
  end
  return values
end

describe("a queue", function()
  it("gives the oldest first", function()
    local q <close> = create("queue")
    for i = 1, 3 do
      done(map.push(q, i))
    end
    assert.same({ 1, 2, 3 }, pop_all(q))
  end)

  it("lets one see the next to come", function()
    local q <close> = create("queue")
    map.push(q, 1)
    map.push(q, 2)
    assert.same({ 1, 1, 1, 2 }, { map.peek(q), map.peek(q), map.pop(q), map.peek(q) })
  end)
end)

describe("a stack", function()
  it("gives the newest first", function()
    local s <close> = create("stack")
    for i = 1, 3 do
      done(map.push(s, i))
    end
    assert.same({ 3, 2, 1 }, pop_all(s))
  end)

  it("lets one see the next to come", function()
    local s <close> = create("stack")
    map.push(s, 1)
    map.push(s, 2)
    assert.same({ 2, 2, 2, 1 }, { map.peek(s), map.peek(s), map.pop(s), map.peek(s) })
  end)
end)

for type, kept in pairs { queue = { 2, 3, 4 }, stack = { 4, 3, 2 } } do
  describe("a " .. type, function()
    it("that is full takes no more", function()
      local m <close> = create(type)
      for i = 1, 3 do
        done(map.push(m, i))
      end
      fails("E2BIG", "map 'jobs': push: full", map.push(m, 4))
      assert.equal(3, #pop_all(m))
    end)

    it('that is full drops its oldest for a push with "exist"', function()
      local m <close> = create(type)
      for i = 1, 3 do
        done(map.push(m, i, "exist"))
      end
      done(map.push(m, 4, "exist"))
      assert.same(kept, pop_all(m))
    end)

    it("that is empty gives nil", function()
      local m <close> = create(type)
      absent(map.peek(m))
      absent(map.pop(m))
      map.push(m, 0)
      assert.same({ 0, 0 }, { map.peek(m), map.pop(m) })
      absent(map.pop(m))
    end)

    it("holds structs", function()
      local m <close> = create(type, "struct job { __u32 id; char what[12]; }")
      map.push(m, { id = 1, what = "sweep" })
      assert.same({ id = 1, what = "sweep" }, map.pop(m))
    end)

    it("has neither keys nor walks", function()
      local m <close> = create(type)
      for operation, fn in pairs {
        lookup = function() return m[1] end,
        update = function() m[1] = 1 end,
        delete = function() map.delete(m, 1) end,
        ["keys to walk"] = function() pairs(m) end,
      } do
        local _, message = pcall(fn)
        assert.matches("maps of type " .. type .. " have no " .. operation, message)
      end
    end)
  end)
end

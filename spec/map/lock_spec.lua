-- SPDX-License-Identifier: MIT
-- Values that several write at once: programs under bpf_spin_lock, scripts with "lock". Nobody sees half of a change.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local socket = require("socket")

local map = bpf.map

kernel.root()
kernel.need("runs of programs from several threads", "5.11")

local PAIR = "struct pair { struct bpf_spin_lock lock; __u64 a, b; }"
local WORDS = 128

local CPUS = math.tointeger(tonumber((helper.run("nproc"))))

-- What is closed by a function, which is to return true unless something went wrong.
local function closed_by(fn)
  return setmetatable({}, {
    __close = function(_, err)
      local ok = fn()
      if not (ok or err) then
        error("the other process failed")
      end
    end,
  })
end

-- Runs the program in that many threads of another process until the result is closed.
local function runner(prog, threads)
  local pipe = assert(io.popen(("build/support/runner %d %d 2000"):format(prog:info().id, threads), "w"))
  return closed_by(function() return pipe:close() end)
end

-- Runs a script in another process until the result is closed: code over and over, with m for the map, and before that
-- what it needs.
local function scribe(m, code, before)
  local over <const> = assert(map.create { type = "array", value = "__u32", max_entries = 1 })
  local pipe = assert(io.popen(helper.LUA .. " -e " .. helper.quote(([[
    local map = require("bpf").map
    local m <close> = assert(map.by_id(%d))
    local over <close> = assert(map.by_id(%d))
    %s
    local n, limit = 0, os.time() + 300
    repeat
      for _ = 1, 100 do
        n = n + 1
        %s
      end
    until over[0] ~= 0
    assert(os.time() < limit)
  ]]):format(map.info(m).id, map.info(over).id, before or "", code)), "w"))
  return closed_by(function()
    over[0] = 1
    local ok = pipe:close()
    map.close(over)
    return ok
  end)
end

-- Lets the others have this CPU, where it is a slow one.
local function yield()
  if helper.slow > 1 then
    socket.sleep(0.001)
  end
end

-- Calls fn until it returns true, for a while.
local function await(what, fn)
  local limit = os.time() + 60 * helper.slow
  while not fn() do
    assert(os.time() < limit, what)
    yield()
  end
end

-- Looks at least n times, and until the value was seen to change. look() returns something of the value, and whether it
-- is whole. Returns how many weren't.
local function watch(n, look)
  n = n // helper.slow // helper.slow -- a slow machine takes longer for each look, and has less time for them
  local torn, changes, last = 0, 0, nil
  await("the value changes", function()
    for _ = 1, n do
      local now, whole = look()
      if not whole then
        torn = torn + 1
      end
      if now ~= last then
        changes = changes + 1
        last = now
      end
    end
    return changes >= 10
  end)
  return torn
end

-- For watch: looks at a pair under the lock.
local function at_pair(m, key)
  local pair = {}
  local flags = { "lock", into = pair }
  return function()
    map.lookup(m, key, flags)
    return pair.a, pair.a == pair.b
  end
end

local function locks(maps)
  return assert(bpf.load(helper.obj("locks"), { maps = maps }))
end

describe("pairs of numbers that programs count up under the lock:", function()
  for _, case in ipairs {
    { title = "a hash that Lua made", map = "pairs", type = "hash", prog = "add_pair", entries = 65536 },
    { title = "an array of the object's", map = "cells", prog = "add_cell" },
  } do
    it("a million reads of " .. case.title .. ' with "lock" see no torn pair', function()
      local mine
      if case.type then
        mine = assert(map.create {
          type = case.type, name = case.map, key = "__u32", value = PAIR, max_entries = case.entries,
        })
      end
      local obj <close> = locks { [case.map] = mine }
      local m <close> = mine or assert(map.by_id(map.info(obj.maps[case.map]).id))
      m[0] = { a = 1, b = 1 }
      local _ <close> = runner(obj.progs[case.prog], 2)
      await("the program runs", function() return map.lookup(m, 0, "lock").a > 1 end)
      assert.equal(0, watch(1000000, at_pair(m, 0)))
    end)
  end
end)

-- Whether all words of a page are the same.
local function whole(page)
  local words = page.words
  local first = words[1]
  for i = 2, WORDS do
    if words[i] ~= first then
      return false
    end
  end
  return true
end

-- For watch: looks at a page under the lock.
local function at_page(m)
  local page = {}
  local flags = { "lock", into = page }
  return function()
    map.lookup(m, 0, flags)
    return page.words[1], whole(page)
  end
end

local function two_cpus()
  if CPUS == 1 then
    helper.skip("needs two CPUs: nothing interrupts a program that has the lock")
  end
end

describe("a value of 1 KiB that a program fills with one number under the lock:", function()
  it('with "lock" a reader sees one number only', function()
    local obj <close> = locks()
    local m = obj.maps.pages
    local _ <close> = runner(obj.progs.fill, 1)
    await("the program runs", function() return m[0].words[1] > 0 end)
    assert.equal(0, watch(100000, at_page(m)))
  end)

  it('without "lock" a reader sees parts of two', function()
    two_cpus()
    local obj <close> = locks()
    local m = obj.maps.pages
    local _ <close> = runner(obj.progs.fill, 1)
    await("a torn value", function() return not whole(m[0]) end)
  end)
end)

describe("updates from several scripts at once:", function()
  -- What a scribe does to a page: fills it with the next number.
  local LOCKED = [[
    local page = { words = {} }
    for i = 1, 128 do page.words[i] = n end
    assert(map.update(m, 0, page, "lock"))
  ]]

  it('with "lock" a program that takes the lock finds whole values only, and so does a reader', function()
    local obj <close> = locks()
    local m = obj.maps.pages
    local _ <close> = runner(obj.progs.check, 1)
    local _ <close> = scribe(m, LOCKED)
    local _ <close> = scribe(m, LOCKED)
    await("pages are written and checked", function() return m[0].words[1] > 0 and obj.vars.checked > 0 end)
    assert.same({ 0, 0 }, { watch(20000, at_page(m)), obj.vars.torn })
  end)

  it('without "lock" the program finds parts of two values, though it takes the lock', function()
    two_cpus()
    local obj <close> = locks()
    local _ <close> = runner(obj.progs.check, 1)
    -- Values that are bytes already take no time but the kernel's, in which the program is to find them.
    local _ <close> = scribe(obj.maps.pages, 'assert(map.update(raw, "\\0\\0\\0\\0", values[n % 2 + 1]))', [[
      local size = map.info(m).value_size
      local raw, values = map.typed(m, 4, size), { ("\1"):rep(size), ("\2"):rep(size) }
    ]])
    await("a torn value", function() return obj.vars.torn > 0 end)
  end)

  for title, name in pairs { ["a hash"] = "pairs", ["an array"] = "cells" } do
    it("programs that count up pairs of " .. title .. " and scripts that set them leave none torn", function()
      local obj <close> = locks()
      local m = obj.maps[name]
      m[0] = { a = 1, b = 1 }
      local SET = 'assert(map.update(m, 0, { a = n << 32, b = n << 32 }, "lock"))'
      local _ <close> = runner(obj.progs[name == "pairs" and "add_pair" or "add_cell"], 1)
      local _ <close> = scribe(m, SET)
      local _ <close> = scribe(m, SET)
      local low, high = {}, {}
      await("both write", function()
        local a = map.lookup(m, 0, "lock").a
        low[a & 0xffffffff] = true
        high[a >> 32] = true
        return next(low, next(low)) and next(high, next(high))
      end)
      assert.equal(0, watch(100000, at_pair(m, 0)))
    end)
  end
end)

describe('lookup_and_delete with "lock"', function()
  kernel.need("lookup_and_delete of a hash", "5.14")

  -- Nothing is inserted meanwhile: the kernel uses a deleted entry's memory again at once, and a program that still
  -- has the old one would count up the new one while it is being written.
  it("takes pairs out whole, while programs count them up", function()
    local N <const>, SPAN <const> = 8000 // helper.slow, 64
    local obj <close> = locks()
    local m = obj.maps.pairs
    for i = 0, N - 1 do
      m[i] = {}
    end
    obj.vars.span = SPAN
    local _ <close> = runner(obj.progs.add_pair, 1)
    await("the program runs", function() return map.lookup(m, 0, "lock").a > 0 end)
    local torn, counted = 0, 0
    for i = 0, N - 1 do
      obj.vars.first = i -- the program counts up this one and some that follow
      if i % 100 == 0 then
        await("the program runs", function() return map.lookup(m, i, "lock").a > 0 end)
      end
      local pair = map.lookup_and_delete(m, i, "lock")
      torn = torn + (pair.a == pair.b and 0 or 1)
      counted = counted + (pair.a > 0 and 1 or 0)
      assert(map.lookup_and_delete(m, i, "lock") == nil)
    end
    assert.equal(0, torn)
    assert.is_true(counted >= N // 100, counted .. " had been counted up")
    assert.equal(0, #m)
  end)
end)

describe('batches with "lock":', function()
  kernel.need("batches", "5.6")

  local SPAN = 16

  for title, name in pairs { ["a hash"] = "pairs", ["an array"] = "cells" } do
    local program = name == "pairs" and "add_pair" or "add_cell"

    it("what programs count up in " .. title .. " is read whole, and written whole", function()
      -- A batch looks at all buckets, so there are few.
      local small <close> = assert(map.create { type = "hash", key = "__u32", value = PAIR, max_entries = SPAN })
      local obj <close> = locks { [name] = name == "pairs" and small or nil }
      local m = obj.maps[name]
      local fresh = {}
      for i = 0, SPAN - 1 do
        fresh[i] = { a = 1, b = 1 }
      end
      obj.vars.span = SPAN
      assert.equal(SPAN, map.update_batch(m, fresh, "lock"))
      local _ <close> = runner(obj.progs[program], 1)
      await("the program runs", function() return map.lookup(m, 0, "lock").a > 1 end)
      local torn, rounds, sums, different = 0, 0, {}, 0
      await("sums change", function()
        for _ = 1, 20 do
          local seen, sum, cursor = 0, 0, nil
          repeat
            local keys, values
            keys, values, cursor = map.lookup_batch(m, cursor, SPAN, "lock")
            for i = 1, #keys do
              torn = torn + (values[i].a == values[i].b and 0 or 1)
              sum = sum + values[i].a
            end
            seen = seen + #keys
          until not cursor
          assert.equal(SPAN, seen)
          if sums[sum] then
            yield()
          else
            different = different + 1
            sums[sum] = true
          end
        end
        assert.equal(SPAN, map.update_batch(m, fresh, "lock"))
        rounds = rounds + 20
        return rounds >= 2000 // helper.slow // helper.slow and different >= 50 // helper.slow
      end)
      assert.equal(0, torn)
    end)
  end

  it("a value without a lock is refused", function()
    local m <close> = assert(map.create {
      type = "hash", name = "open", key = "__u32", value = "struct { __u64 a, b; }", max_entries = 4,
    })
    m[1] = {}
    local why = ": flag 'lock': the value has no bpf_spin_lock (EINVAL)"
    answers.fails("EINVAL", "map 'open': update" .. why, map.update(m, 1, { a = 1 }, "lock"))
    answers.fails("EINVAL", "map 'open': lookup" .. why, map.lookup(m, 1, "lock"))
    answers.fails("EINVAL", "map 'open': lookup_batch" .. why, map.lookup_batch(m, nil, 4, "lock"))
    local ok, message, code = map.update_batch(m, { [1] = { a = 1 } }, "lock")
    assert.is_nil(ok)
    assert.truthy(message:find("map 'open': update_batch" .. why, 1, true), message)
    assert.equal("EINVAL", code)
    assert.equal(0, m[1].a)
  end)
end)

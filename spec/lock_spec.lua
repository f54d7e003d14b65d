-- SPDX-License-Identifier: MIT
-- Values that several write at once: programs under bpf_spin_lock, scripts with "lock". Nobody sees half of a change.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

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

-- Runs a script in another process until the result is closed: code over and over, with m for the map.
local function scribe(m, code)
  local over <const> = assert(map.create { type = "array", value = "__u32", max_entries = 1 })
  local pipe = assert(io.popen(helper.LUA .. " -e " .. helper.quote(([[
    local map = require("bpf").map
    local m <close> = assert(map.by_id(%d))
    local over <close> = assert(map.by_id(%d))
    local n, limit = 0, os.time() + 60
    repeat
      for _ = 1, 100 do
        n = n + 1
        %s
      end
    until over[0] ~= 0
    assert(os.time() < limit)
  ]]):format(map.info(m).id, map.info(over).id, code)), "w"))
  return closed_by(function()
    over[0] = 1
    local ok = pipe:close()
    map.close(over)
    return ok
  end)
end

-- Calls fn until it returns true, for a while.
local function await(what, fn)
  local limit = os.time() + 20
  while not fn() do
    assert(os.time() < limit, what)
  end
end

-- The values that n reads of a pair give: how many are torn, and how often it had changed from one to the next.
local function read(m, key, n, ...)
  local v, flags = {}, { into = {}, ... }
  local torn, changes, last = 0, 0, nil
  flags.into = v
  for _ = 1, n do
    map.lookup(m, key, flags)
    if v.a ~= v.b then
      torn = torn + 1
    end
    if v.a ~= last then
      changes = changes + 1
      last = v.a
    end
  end
  return torn, changes
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
      local running <close> = runner(obj.progs[case.prog], 2)
      await("the program runs", function() return map.lookup(m, 0, "lock").a > 1 end)
      local torn, changes = read(m, 0, 1000000, "lock")
      assert.equal(0, torn)
      assert.is_true(changes > 1000, changes .. " changes seen")
      assert.is_not_nil(running)
    end)
  end
end)

describe("a value of 1 KiB that a program fills with one number under the lock:", function()
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

  it('with "lock" a reader sees one number only', function()
    local obj <close> = locks()
    local m = obj.maps.pages
    local running <close> = runner(obj.progs.fill, 1)
    await("the program runs", function() return m[0].words[1] > 0 end)
    local page = {}
    local flags = { "lock", into = page }
    local changes, last = 0, nil
    for _ = 1, 100000 do
      map.lookup(m, 0, flags)
      if not whole(page) then
        error("torn")
      end
      if page.words[1] ~= last then
        changes = changes + 1
        last = page.words[1]
      end
    end
    assert.is_true(changes > 1000, changes .. " changes seen")
    assert.is_not_nil(running)
  end)

  it('without "lock" a reader sees parts of two', function()
    if CPUS == 1 then
      helper.skip("needs two CPUs: the program isn't interrupted while it has the lock")
    end
    local obj <close> = locks()
    local m = obj.maps.pages
    local running <close> = runner(obj.progs.fill, 1)
    await("a torn value", function() return not whole(m[0]) end)
    assert.is_not_nil(running)
  end)
end)

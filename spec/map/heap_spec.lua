-- SPDX-License-Identifier: MIT
-- What walks and views leave to the collector: a loop that makes many of them needs no more memory than one of them.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local state = require "support.state"

local map = bpf.map

kernel.root()

local LIMIT <const> = 1500000 -- a host's, for the whole state with the library in it

-- The most that a state may grow to, as a multiple of what it has without garbage. By default, a collection begins at
-- twice that, at two and a half times in Lua 5.5; while it marks and sweeps, up to as much again has been seen.
local MOST <const> = 2.5 * (_VERSION == "Lua 5.4" and 2 or 2.5)

-- Runs a body 10,000 times, in a state of its own, with a map `m`. Returns the most bytes that the state had, as a
-- multiple of those of before.
local function most(prepare, body)
  return state.run(([[
    package.path, package.cpath = %q, %q
    local bpf = require "bpf"
    local map = bpf.map
    %s
    local function body()
      %s
    end
    body()
    collectgarbage()
    collectgarbage()
    most()
    local before = collectgarbage "count" * 1024
    for _ = 1, 10000 do
      body()
    end
    return most() / before]]):format(package.path, package.cpath, prepare, body), LIMIT)
end

local function assert_little(grown)
  assert.is_true(grown < MOST, ("the state grew to %.2f times its size"):format(grown))
end

-- With 20 entries, made by `fill`.
local HASH <const> = [[
  local value = ("x"):rep(64)
  local function key(i)
    return i
  end
  local m <close> = assert(map.create { type = "hash", key = "__u32", value = 64, max_entries = 64 })
  local function fill()
    for i = 1, 20 do
      m[key(i)] = value
    end
  end
  fill()]]
local TRIE <const> = HASH:gsub('"hash"', '"lpm_trie"'):gsub('"__u32"', "8")
  :gsub("return i", 'return ("10.0.0.%%d/32"):format(i)')

describe("many times in a row, in little memory:", function()
  for _, row in ipairs {
    { "pairs", "for _ in pairs(m) do end" },
    { "pairs, left early", "for _ in pairs(m) do break end" },
    { "pairs, not stepped", "pairs(m)" },
    { "keys", "for _ in map.keys(m) do end" },
    { "keys, left early", "for _ in map.keys(m) do break end" },
    { "the length", "assert(#m == 20)" },
    { "lookup_batch", "map.lookup_batch(m, nil, 3)" },
    { "drain", "for k, v in map.drain(m) do break end fill()" },
    { "drain, of nothing", "map.clear(m) for k, v in map.drain(m) do end" },
    { "drain, not stepped", "map.drain(m)" },
    { "update_batch", "map.update_batch(m, { [key(1)] = value })" },
    { "delete_batch, clear", "map.delete_batch(m, { key(1) }) map.clear(m) m[key(1)] = value" },
  } do
    for _, type in ipairs { "hash", "lpm_trie" } do
      it(row[1] .. ", " .. type, function()
        assert_little(most(type == "hash" and HASH or TRIE, row[2]))
      end)
    end
  end

  it("views", function()
    assert_little(most([[
      local m <close> = assert(map.create { type = "array", value = "__u64", max_entries = 4, flags = "mmapable" })
      local u64 = bpf.btf.type "__u64"]], "assert(map.view(m, u64)[0] == 0)"))
  end)
end)

-- The bytes that a call allocates, whatever it frees of them.
local function allocated(fn)
  fn()
  collectgarbage()
  collectgarbage "stop"
  fn() -- Lua's own stack has shrunk
  local before = collectgarbage "count"
  fn()
  local bytes = (collectgarbage "count" - before) * 1024
  collectgarbage "restart"
  return bytes
end

describe("20 entries of 10,240", function()
  local m

  setup(function()
    m = assert(map.create { type = "hash", key = "__u32", value = 64, max_entries = 10240, flags = "no_prealloc" })
  end)

  before_each(function()
    for i = 1, 20 do
      m[i] = ("x"):rep(64)
    end
  end)

  teardown(function()
    map.close(m)
  end)

  it("are walked and taken out in less than twice what they are, beside the strings for them", function()
    local bytes = allocated(function()
      for _ in map.keys(m) do end
    end)
    assert.is_true(bytes < 8000, bytes .. " bytes")
    bytes = allocated(function()
      for _ in map.drain(m) do end
    end)
    assert.is_true(bytes < 8000, bytes .. " bytes")
  end)

  it("are counted in none", function()
    assert.equal(0, allocated(function()
      assert(#m == 20)
    end))
  end)
end)

describe("the memory of a walk that was collected", function()
  it("is no walk in the hands of another library", function()
    local m <close> = assert(map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 4 })
    m[1] = 1
    for size = 64, 2048, 8 do
      for _ = 1, 4 do
        map.lookup_batch(m, nil, 1)
      end
      collectgarbage()
      for _ = 1, 8 do
        local raw = state.raw(size, 3)
        helper.raises(function() pairs(m)(raw) end, "bpf.walk expected")
        helper.raises(function() map.lookup_batch(m, raw) end, "the cursor that the previous call returned expected")
      end
    end
  end)
end)

describe("a walk whose map is collected with it", function()
  it("raises in a finalizer that comes after the map's", function()
    local caught = {}
    do
      local last = setmetatable({}, { __gc = function(self)
        caught[1], caught[2] = pcall(self.step, self.walk)
      end })
      local m = assert(map.create { type = "array", name = "gone", value = 8, max_entries = 4, flags = "mmapable" })
      last.step, last.walk = pairs(m)
    end
    collectgarbage()
    collectgarbage()
    assert.is_false(caught[1])
    assert.matches("map 'gone' is closed$", caught[2])
  end)
end)

-- SPDX-License-Identifier: MIT
-- Entries that a drain must not lose, handles that close in the middle of another call, and results that were wrong.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

local function create(options)
  return assert(map.create(options))
end

local function collect(m)
  local t = {}
  for k, v in pairs(m) do
    t[k] = v
  end
  return t
end

describe("a drain", function()
  kernel.root()

  local INNER = { type = "array", value = "__u32", max_entries = 1 }

  it("of maps hands out maps that nobody else holds", function()
    for _, kind in ipairs({ "array_of_maps", "hash_of_maps" }) do
      local outer <close> = create({ type = kind, key = "__u32", max_entries = 4, inner = INNER })
      do
        local inner <close> = create(INNER)
        inner[0] = 7
        outer[1] = inner
      end
      local seen
      for k, inner in map.drain(outer) do
        local _ <close> = inner
        seen = { k, inner[0] }
      end
      assert.same({ 1, 7 }, seen)
      assert.same({}, collect(outer))
    end
  end)

  it("of maps that ends early leaves the others where they are", function()
    local outer <close> = create({ type = "hash_of_maps", key = "__u32", max_entries = 8, inner = INNER })
    for i = 1, 4 do
      local inner <close> = create(INNER)
      inner[0] = i
      outer[i] = inner
    end
    local first
    for k, inner in map.drain(outer) do
      map.close(inner)
      first = k
      if first then
        break
      end
    end
    local left = 0
    for k, inner in pairs(outer) do
      local _ <close> = inner
      assert.equal(k, inner[0])
      assert.not_equal(first, k)
      left = left + 1
    end
    assert.equal(3, left)
  end)

  it("in a coroutine that is dropped puts back what it has taken", function()
    local m <close> = create({ type = "hash", key = "__u32", value = "__u32", max_entries = 100 })
    for i = 1, 100 do
      m[i] = i
    end
    do
      local step = coroutine.wrap(function()
        for k in map.drain(m) do
          coroutine.yield(k)
        end
      end)
      step()
    end
    collectgarbage()
    collectgarbage()
    assert.equal(99, #m)
  end)

  it("hands nothing out twice when a finalizer closes it while it is stepped", function()
    local m <close> = create({ type = "hash", key = 300, value = "__u32", max_entries = 64 })
    for i = 1, 64 do
      m[("x"):rep(290) .. ("%010d"):format(i)] = i
    end
    local running = collectgarbage("incremental", 0, 1000)
    local step, walk = map.drain(m)
    local out, armed = 0, true
    setmetatable({}, {
      __gc = function()
        local _ <close> = armed and walk or nil
      end,
    })
    for _ = 1, 64 do
      local ok, k = pcall(step, walk)
      if not ok or not k then
        break
      end
      out = out + 1
    end
    armed = false
    collectgarbage(running, 200, 100)
    collectgarbage()
    assert.equal(64, out + #m)
  end)
end)

describe("clear", function()
  kernel.root()

  it("is refused where the kernel has no way to find the entries", function()
    local m <close> = create({ type = "sk_storage", value = "__u32" })
    helper.raises(function()
      map.clear(m)
    end, "have no clear")
  end)
end)

describe("an arena", function()
  kernel.root()
  kernel.need("arenas", "6.9")

  it("can be viewed after an attempt to freeze it", function()
    local m <close> = create({ type = "arena", max_entries = 2 })
    local v = assert(map.view(m, "__u64"))
    v[0] = 5
    map.freeze(m)
    assert.equal(5, v[0])
  end)
end)

describe("map.create", function()
  kernel.root()

  it("raises when the inner map is closed while it makes the outer one", function()
    local inner = create({ type = "array", value = "__u32", max_entries = 1 })
    local options = { type = "array_of_maps", max_entries = 1, inner = inner }
    local pause = collectgarbage("incremental", 0, 1000)
    local ok, message
    for _ = 1, 200 do
      setmetatable({}, {
        __gc = function()
          map.close(inner)
        end,
      })
      ok, message = pcall(map.create, options)
      if not ok then
        break
      end
    end
    collectgarbage(pause, 200, 100)
    assert.is_false(ok)
    assert.matches("is closed", message)
  end)
end)

describe("an object's variables", function()
  kernel.root()

  it("stay in maps of one entry", function()
    local obj <close> = assert(bpf.open(helper.obj "vars"))
    local ok, message, code = map.resize(obj.maps["vars.bss"], 33)
    assert.is_nil(ok)
    assert.matches("holds the object's variables", message)
    assert.equal("EINVAL", code)
    helper.raises(function()
      bpf.open(helper.obj "vars", { maps = { ["vars.bss"] = 33 } })
    end, "holds the object's variables")
    assert(obj:load())
    local other <close> = create({
      type = "array",
      max_entries = 33,
      flags = "mmapable",
      value = map.info(obj.maps["vars.bss"]).value_size,
    })
    helper.raises(function()
      bpf.open(helper.obj "vars", { maps = { ["vars.bss"] = other } })
    end, "must have one entry")
  end)
end)

-- SPDX-License-Identifier: MIT
-- pairs(map) in BPF programs written in Lua: what a function does as Lua it does in the kernel, and leaves in the maps.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"
local worlds = require "spec.support.worlds"

local map, same = bpf.map, worlds.same

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

local function hash(value)
  return assert(map.create { type = "hash", key = "long", value = value or "long", max_entries = 16 })
end

-- What a function returns in the kernel, as text.
local function check(expected, f, ...)
  assert.equal(expected, worlds.kernel(f, ...))
end

describe("pairs(map) in a program", function()
  local m
  setup(function()
    kernel.need("bpf_for_each_map_elem", "5.13")
    m = hash()
  end)
  teardown(function()
    if m then
      map.close(m)
    end
  end)

  local function fill()
    for i = 1, 8 do
      m[i * 3] = i * i - 10
    end
  end

  local function options_of(several)
    return { maps = { m }, fill = fill, several = several, inputs = { { 0 }, { 9 }, { 15 }, { 100 } } }
  end

  it("sums what it finds, in several variables", function()
    same(function(a)
      local n, sum, most, last = a, 0, nil, false
      for k, v in pairs(m) do
        n = n + 1
        sum = sum + k * v
        if not most or v > most then
          most = v
        end
        last = last or k == a
      end
      return n + sum, most, last
    end, options_of(true))
  end)

  it("walks over an array", function()
    local slots <close> = assert(map.create { type = "array", key = "__u32", value = "long", max_entries = 16 })
    same(function()
      local r = 0
      for i, v in pairs(slots) do
        r = r + i * v
      end
      return r
    end, { maps = { slots }, fill = function() slots[2], slots[5] = 7, -9 end })
  end)

  it("may be left by break, return and goto", function()
    same(function(a)
      local found = -1
      for k, v in pairs(m) do
        if k == a then
          found = v
          break
        end
      end
      return found
    end, options_of())
    same(function(a)
      for k, v in pairs(m) do
        if k == a then
          return v
        end
      end
      return 77
    end, options_of())
    same(function(a)
      local r = 1
      for k in pairs(m) do
        if k == a then
          goto found
        elseif k == a + 3 then
          goto next_to
        end
      end
      r = r + 10
      ::next_to::
      r = r + 100
      ::found::
      return r
    end, { maps = { m }, fill = function() m[9] = 1 end, inputs = { { 9 }, { 6 }, { 1 } } })
  end)

  it("deletes entries and changes them", function()
    same(function(a)
      for k, v in pairs(m) do
        if v < 0 or k == a then
          m[k] = nil
        else
          m[k] = v * 2
        end
      end
    end, options_of())
  end)

  it("goes on behind 'goto continue'", function()
    same(function(a)
      local r = 0
      for k, v in pairs(m) do
        if k == a then
          goto continue
        end
        r = r + v
        ::continue::
      end
      return r
    end, options_of())
  end)

  it("nests, with another map or the same one", function()
    local other <close> = hash()
    same(function(a)
      local r = 0
      for k, v in pairs(m) do
        for j, w in pairs(other) do
          if j == a then
            r = r + k * w
          end
          r = r + v * j
        end
      end
      return r
    end, { maps = { m, other }, inputs = { { 1 }, { 5 } }, fill = function()
      fill()
      other[1], other[5], other[7] = 3, -4, 5
    end })
    same(function(a)
      for k in pairs(m) do
        for j in pairs(m) do
          if k * j == a then
            return k + j
          end
        end
      end
    end, options_of())
  end)

  it("has loops and functions in its body", function()
    local function weigh(k, v)
      local r = 0
      for i = 1, 4 do
        if i > k then
          return -1
        end
        r = r + i * v
      end
      return r
    end
    same(function(a)
      local r = a
      for k, v in pairs(m) do
        r = r + weigh(k, v)
        for i = 1, 3 do
          r = r ~ i
        end
        r = r & 0xffff
      end
      return r > 0
    end, { maps = { m }, inputs = { { 1 } }, fill = function() m[3] = 5 end })
  end)

  it("ends the program by an error within", function()
    same(function(a)
      local r = 0
      for k, v in pairs(m) do
        r = r + v // (k - a)
      end
      return r
    end, { maps = { m }, fill = fill, ends = true, inputs = { { 0 }, { 9 } } })
  end)

  it("is over each thing of a struct's map", function()
    local structs <close> = hash("struct { int n; char name[8]; }")
    local function fill_structs()
      structs[1], structs[2], structs[3] = { n = 4, name = "a" }, { n = -5, name = "bc" }, { n = 6, name = "a" }
    end
    same(function()
      local r = 0
      for k, v in pairs(structs) do
        if v.name == "a" then
          r = r + k * v.n
        end
      end
      return r
    end, { maps = { structs }, fill = fill_structs })
    fill_structs()
    check("nil, nil, nil", function()
      for _, v in pairs(structs) do
        v.n = v.n + 1
      end
    end)
    assert.same({ { n = 5, name = "a" }, { n = -4, name = "bc" }, { n = 7, name = "a" } },
      { structs[1], structs[2], structs[3] })
  end)
end)

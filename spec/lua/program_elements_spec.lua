-- SPDX-License-Identifier: MIT
-- Elements of arrays at an index that is known when the program runs: numbers, structs, strings and arrays.
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

local map = bpf.map

local TYPE <const> = [[struct v {
  __u32 n; struct point { __s32 x; __u64 y; } points[5]; char names[3][8]; __u16 grid[2][3];
}]]

describe("an element at an index that is known when the program runs", function()
  local m, out

  setup(function()
    kernel.root()
    kernel.need("running raw tracepoints", "5.10")
  end)

  before_each(function()
    m = assert(map.create { type = "hash", key = "__u32", value = TYPE, max_entries = 4 })
    out = assert(map.create { type = "array", value = "__s64", max_entries = 2 })
    m[1] = {
      points = { { x = 1, y = 10 }, { x = -2, y = 20 }, { x = 3, y = 30 }, { x = 4, y = 40 }, { x = 5, y = 50 } },
      names = { "a", "bb", "ccc" }, grid = { { 1, 2, 3 }, { 4, 5, 6 } },
    }
  end)

  after_each(function()
    map.close(m)
    map.close(out)
  end)

  -- What the program left in out[0], for each index.
  local function each(fn, ...)
    local prog <close> = assert(bpf.program("raw_tp/x", fn))
    local found = {}
    for n, i in ipairs { ... } do
      out[0] = -7
      assert(prog:run { ctx = string.pack("<i8", i) })
      found[n] = out[0]
    end
    return found
  end

  it("may be a struct, whose members are read and changed, and is nil beyond the ends", function()
    assert.same({ -1, 1010, -1980, 5050, -1, -1 }, each(function(i)
      local v = m[1]
      if v then
        local point = v.points[i]
        if point then
          out[0] = point.x * 1000 + point.y
          point.y = point.y + 1
        else
          out[0] = -1
        end
      end
    end, 0, 1, 2, 5, 6, -1))
    local ys = {}
    for n, point in ipairs(m[1].points) do
      ys[n] = point.y
    end
    assert.same({ 11, 21, 30, 40, 51 }, ys)
  end)

  it("may be a string", function()
    assert.same({ -7, 0, 1, 0, -7 }, each(function(i)
      local v = m[1]
      local name = v and v.names[i]
      if name then
        out[0] = name == "bb" and 1 or 0
      end
    end, 0, 1, 2, 3, 4))
  end)

  it("may be an array, whose elements are indexed so, too", function()
    assert.same({ -7, 1003, 4006, -7 }, each(function(i)
      local v = m[1]
      local row = v and v.grid[i]
      if row then
        out[0] = (row[i] and row[1] or 0) * 1000 + (row[3] or 0)
      end
    end, 0, 1, 2, 3))
  end)

  it("may be the loop's variable", function()
    assert.same({ 150 }, each(function()
      local v = m[1]
      if v then
        local sum = 0
        for i = 1, 5 do
          local point = v.points[i]
          if point then
            sum = sum + point.y
          end
        end
        out[0] = sum
      end
    end, 0))
  end)
end)

-- SPDX-License-Identifier: MIT
-- Programs written in Lua: names, strings and tables, in the cases that are easily overlooked.
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

local map = bpf.map

-- What an xdp program returns for a packet of zeros.
local function result(fn)
  local prog <close> = assert(bpf.program("xdp", fn))
  return assert(prog:run { data = ("\0"):rep(64) }).retval
end

describe("a program", function()
  setup(kernel.root)

  it("uses maps that have no name", function()
    local one <close> = assert(map.create { type = "array", max_entries = 1, value = "__u64" })
    local two <close> = assert(map.create { type = "array", max_entries = 1, value = "__u64" })
    one[0], two[0] = 40, 2
    assert.equal(42, result(function() return one[0] + two[0] end))
  end)

  it("knows the length of a string, up to its NUL", function()
    local m <close> = assert(map.create {
      type = "hash", max_entries = 8, key = "__u32", value = "struct { __u16 first; char text[13]; char last; }",
    })
    for _, text in ipairs { "", "a", "abcdef", "abcdefg", "abcdefgh", "abcdefghijklm" } do
      m[0] = { text = text, last = "x" }
      assert.equal(#text, result(function()
        local v = m[0]
        return v and #v.text
      end))
    end
  end)
end)

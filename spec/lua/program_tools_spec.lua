-- SPDX-License-Identifier: MIT
-- Programs written in Lua: what whole tools of them met, each as a small function.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()

-- Runs a function once as an XDP program, on a packet of zeros. Returns what it returned.
local function run(fn)
  local prog <close> = assert(bpf.program("xdp", fn))
  return prog:run({ data = ("\0"):rep(64) }).retval
end

describe("programs of tools", function()
  it("use maps that were created without a name", function()
    local one <close> = assert(map.create { type = "array", max_entries = 1, value = "__u64" })
    local two <close> = assert(map.create { type = "array", max_entries = 1, value = "__u64" })
    run(function()
      one[0], two[0] = 1, 2
    end)
    assert.same({ 1, 2 }, { one[0], two[0] })
  end)
end)

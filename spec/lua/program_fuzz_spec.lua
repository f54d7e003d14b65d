-- SPDX-License-Identifier: MIT
-- Random functions, run by Lua and by the kernel; `make fuzz-programs` runs as many as there is time for.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local SECONDS <const> = 3

describe("random functions", function()
  setup(function()
    kernel.root()
    kernel.need("syscall programs", "5.14")
    kernel.need("bpf_loop", "5.17")
  end)

  it("do the same in Lua and in the kernel", function()
    local output, ok = helper.run(("%s spec/support/fuzz/programs.lua 4711 %d 2>&1"):format(helper.LUA, SECONDS))
    assert.is_true(ok, output)
    assert.is_true(tonumber(output:match("seed 4711: (%d+) functions")) > 0, output)
  end)
end)

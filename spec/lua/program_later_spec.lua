-- SPDX-License-Identifier: MIT
-- Parts of the compiler of programs in Lua that are loaded when a function needs them.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

kernel.root()

local USES = [[
  local bpf = require "bpf"
  local helper, numbers = bpf.helper, { 3, 5, 7 }
  local function plain() return 2 end
  local function looping()
    local sum = 0
    for i = 1, 100000 do
      sum = sum + helper.ktime_get_ns() + (numbers[i % 3 + 1] or 0)
    end
    return sum > 0 and 2 or 1
  end
  local function load(fn)
    local ok, prog, message = pcall(bpf.program, "xdp", fn)
    local text = ok and (prog and "loaded" or message) or prog
    if ok and prog then prog:close() end
    return text
  end
]]

describe("the compiler", function()
  it("reads what a function needs, and no more", function()
    local output, ok = helper.lua(USES .. [[
      local function parts()
        local list = {}
        for _, name in ipairs { "callback", "helpercalls", "loops", "tables", "locks", "userring", "refusal" } do
          list[#list + 1] = package.loaded["bpf.program." .. name] and name or nil
        end
        return table.concat(list, " ")
      end
      print(load(plain), parts())
      print(load(looping), parts())]])
    assert(ok, output)
    assert.equal("loaded\t\nloaded\tcallback helpercalls loops tables\n", output)
  end)

  it("says what to do where a part can't be read any more, and bpf.preload reads all", function()
    for before, expected in pairs {
      ["bpf.preload()"] = "loaded\nloaded\n",
      ["load(plain)"] = "loaded\n[^\n]*bpf%.program%.[a-z]+ can't be loaded: [^\n]*bpf%.preload%(%) before[^\n]*\n",
    } do
      local output, ok = helper.lua(USES .. before .. [[
        package.path, package.cpath = "/nowhere/?.lua", "/nowhere/?.so"
        print(load(plain))
        print(load(looping))]])
      assert(ok, output)
      assert.matches("^" .. expected .. "$", output)
    end
  end)
end)

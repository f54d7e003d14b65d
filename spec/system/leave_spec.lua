-- SPDX-License-Identifier: MIT
-- Closing descriptors by another process.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local posix = require "bpf.base.posix"

describe("leave", function()
  it("wants a list of descriptors", function()
    helper.raises(function() posix.leave() end, "table expected")
    helper.raises(function() posix.leave({}) end, "function expected")
    helper.raises(function() posix.leave({ "x" }, print) end, "descriptors expected")
    for _, wrong in ipairs { -1, 1.5, 0 / 0, 1 << 31, 1 << 32, math.mininteger } do
      helper.raises(function() posix.leave({ wrong }, print) end, "descriptors expected")
    end
    assert.is_true(posix.leave({}, function() end))
  end)

  it("lets another process detach a program, which keeps nothing else open", function()
    kernel.root()
    local prog <close> = assert(bpf.program("raw_tp/sys_enter", function() return 0 end))
    local second <close> = assert(bpf.program("raw_tp/sys_exit", function() return 0 end))
    local link, other = assert(prog:attach()), assert(second:attach())
    local id = link:info().id
    assert.is_true(posix.leave({ link:fd() }, function() link:close() end))
    other:close()
    assert.is_true(helper.eventually(function()
      for one in bpf.links() do
        if one.id == id then
          return false
        end
      end
      return true
    end))
  end)

  it("has the descriptors until the function has returned or failed", function()
    kernel.root()
    local prog <close> = assert(bpf.program("raw_tp/sys_enter", function() return 0 end))
    local link = assert(prog:attach())
    local id = link:info().id
    local function is_there()
      for one in bpf.links() do
        if one.id == id then
          return true
        end
      end
      return false
    end
    helper.raises(function()
      posix.leave({ link:fd() }, function()
        link:close()
        bpf.sleep(0.2)
        assert.is_true(is_there())
        error("that failed")
      end)
    end, "that failed")
    assert.is_true(helper.eventually(function() return not is_there() end))
  end)

  it("leaves no process that its parent has to wait for", function()
    local output = assert(helper.lua [[
      local posix = require "bpf.base.posix"
      posix.leave({}, function() end)
      local children <close> = io.open("/proc/self/task/" .. posix.pid() .. "/children") -- CONFIG_PROC_CHILDREN
      print(children and #children:read("a") or 0)
    ]])
    assert.equal("0\n", output)
  end)
end)

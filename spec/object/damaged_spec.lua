-- SPDX-License-Identifier: MIT
-- Damaged objects: opening and loading them gives an error or an object, and nothing crashes.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local CALLS, EXTERNS = helper.obj("calls"), helper.obj("externs")

describe("a damaged object", function()
  -- Every attempt gives an object, or nil, message and code, or raises; in a process of its own, in case it crashes.
  local try = [[
    local bpf = require("bpf")
    local file <close> = assert(io.open(%q, "rb"))
    local good = file:read("a")
    local opened, failed, raised = 0, 0, 0
    local function try(bytes, open)
      local ok, obj, message, code = pcall(open, { bytes = bytes })
      if not ok then
        assert(type(obj) == "string")
        raised = raised + 1
      elseif obj then
        opened = opened + 1
        for name, m in pairs(obj.maps) do assert(tostring(m):find(name, 1, true)) end
        for name, prog in pairs(obj.progs) do assert(tostring(prog) and prog:section() and prog:name() == name) end
        for _ in pairs(obj.vars) do end
        obj:close()
      else
        assert(type(message) == "string" and type(code) == "string")
        failed = failed + 1
      end
    end
  ]]

  local function survives(object, code)
    local output, ok = helper.lua(try:format(object) .. code .. ' print("survived", opened, failed, raised)')
    assert.is_true(ok, output)
    assert.matches("^survived\t%d+\t%d+\t%d+\n$", output)
    return output:match("(%d+)\t(%d+)\t(%d+)")
  end

  -- libbpf before 1.3 follows what leads nowhere, and types that contain themselves without end; it may take the size
  -- of an extern for an error.
  for _, object in ipairs({ CALLS, EXTERNS, helper.obj("legacy_plain") }) do
    it("survives any word of its BTF being wrong: " .. object, function()
      local output, ok = helper.run("readelf -SW " .. helper.quote(object))
      assert(ok, output)
      local offset, size = output:match("%s%.BTF%s+PROGBITS%s+%x+%s+(%x+)%s+(%x+)")
      output, ok = helper.lua(([[
        local bpf = require("bpf")
        local file <close> = assert(io.open(%q, "rb"))
        local good = file:read("a")
        local opened, failed, raised = 0, 0, 0
        for at = %d, %d, %d do
          for _, word in ipairs({ 0, 1, 2, 3, 5, 9, 17, 40, 0x7fffffff, 0x84000004, 0xffffffff }) do
            local ok, obj, message, code =
              pcall(bpf.open, { bytes = good:sub(1, at) .. string.pack("=I4", word) .. good:sub(at + 5) })
            if not ok then
              raised = raised + 1
            elseif obj then
              opened = opened + 1
              obj:close()
            else
              assert(type(message) == "string" and type(code) == "string")
              failed = failed + 1
            end
          end
        end
        print("survived", opened, failed, raised)
      ]]):format(object, tonumber(offset, 16), tonumber(offset, 16) + tonumber(size, 16) - 4, 4 * helper.slow))
      assert.is_true(ok, output)
      local opened, failed = output:match("^survived\t(%d+)\t(%d+)\t0\n$") -- a file's contents are no misuse
      assert.is_true(math.tointeger(opened) > 100)
      assert.is_true(math.tointeger(failed) > 100)
    end)
  end

  for _, object in ipairs({ CALLS, helper.obj("vars") }) do
    it("survives being cut short anywhere: " .. object, function()
      local opened, failed = survives(object, [[
        for length = 0, #good - 1, 64 do try(good:sub(1, length), bpf.open) end
        for length = #good - 200, #good do try(good:sub(1, length), bpf.open) end
      ]])
      assert.is_true(math.tointeger(opened) >= 1)
      assert.is_true(math.tointeger(failed) > 100)
    end)

    it("survives any of its bytes being wrong: " .. object, function()
      local opened, failed = survives(object, [[
        math.randomseed(20240607)
        for _ = 1, 4000 do
          local at = math.random(#good)
          try(good:sub(1, at - 1) .. string.char(math.random(0, 255)) .. good:sub(at + 1), bpf.open)
        end
      ]])
      assert.is_true(math.tointeger(opened) > 100)
      assert.is_true(math.tointeger(failed) > 10)
    end)

    it("survives being loaded all the same: " .. object, function()
      kernel.root()
      survives(object, [[
        math.randomseed(1969)
        for _ = 1, 300 do
          local at = math.random(#good)
          try(good:sub(1, at - 1) .. string.char(math.random(0, 255)) .. good:sub(at + 1), bpf.load)
        end
      ]])
    end)
  end
end)

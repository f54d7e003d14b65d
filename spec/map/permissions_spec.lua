-- SPDX-License-Identifier: MIT
-- Pins are files: who may open a map, and what may be done with it, without any capability.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

kernel.root()

local USER <const> = 65534

local dir, m

setup(function()
  dir = helper.bpffs()
  assert(os.execute("chmod 0755 " .. dir))
  m = assert(bpf.map.create({ type = "hash", key = "__u32", value = "__u64", max_entries = 10 }))
  m[1] = 11
  assert(bpf.map.pin(m, dir .. "/m"))
end)

teardown(function() bpf.map.close(m) end)

-- Runs Lua as a user without capabilities; `m` is the map or nil, `message` and `code` say why.
local function as_user(code, flags)
  local command = "setpriv --reuid=%d --regid=%d --clear-groups --bounding-set=-all --inh-caps=-all %s -e %s"
  return (helper.run(command:format(USER, USER, helper.LUA, helper.quote(([[
    local bpf = require "bpf"
    local m, message, code = bpf.map.open("%s/m", %s)
    m = m and bpf.map.typed(m, "__u32", "__u64")
    %s]]):format(dir, flags or "nil", code)))))
end

local function mode(text)
  assert(os.execute(("chown %d:%d %s/m; chmod %s %s/m"):format(USER, USER, dir, text, dir)))
end

local function allows_everybody()
  kernel.need("pins opened without capabilities", "5.19")
end

describe("a pin", function()
  it("opens for its owner, to read and write", function()
    allows_everybody()
    mode("0600")
    assert.equal("11\n", as_user("print(m[1]); m[2] = 22"))
    assert.equal(22, m[2])
    assert.equal("3\n", as_user("m[3] = 3; local n = 0; for _ in pairs(m) do n = n + 1 end; print(n); m[3] = nil"))
  end)

  it("opens for others as its mode says", function()
    mode("0000")
    local output = as_user("print(m, code, message)")
    if kernel.before("5.19") then
      assert.matches("^nil\tEPERM\tmap.open '[^']+': refused; before Linux 5.19 it takes CAP_BPF ", output)
      return
    end
    assert.matches("^nil\tEACCES\tmap.open '[^']+': the permissions of the pin or its folder don't allow it", output)
  end)

  it("opens read-only where the mode allows no more", function()
    allows_everybody()
    mode("0400")
    assert.matches("^nil\tEACCES\t", as_user("print(m, code, message)"))
    assert.equal("11\n", as_user("print(m[1])", '"rdonly"'))
    assert.matches("EPERM", as_user("print(pcall(function() m[1] = 12 end))", '"rdonly"'))
    assert.equal(11, m[1])
  end)

  it("has bytes in place of types that it may not read, and says so", function()
    allows_everybody()
    mode("0600")
    local output = as_user(("m = bpf.map.open([[%s/m]]) print(m) print(pcall(function() return m[1] end))"):format(dir))
    assert.matches("raw bytes: types need CAP_SYS_ADMIN; map.typed", output, 1, true)
    assert.matches("key: string expected for raw bytes: types need CAP_SYS_ADMIN; map.typed, got number", output, 1,
      true)
  end)

  it("makes nobody more powerful", function()
    allows_everybody()
    mode("0600")
    assert.equal("nil\tEPERM\n", as_user(
      'local other, _, errno = bpf.map.create({ type = "hash", key = "__u32", value = "__u32", max_entries = 1 })' ..
      " print(other, errno)"))
    assert.matches("^nil\t", as_user("print(bpf.map.by_id(bpf.map.info(m).id))"))
  end)
end)

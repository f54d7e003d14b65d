-- SPDX-License-Identifier: MIT
-- Programs written in Lua for USDT probes: the arguments, wherever the traced program has them.
local bpf = require("bpf")
local attach = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map, call = bpf.map, bpf.helper

local PROBED <const> = attach.probed() -- passes lbpf:step for each number that it reads, and lbpf:guarded

describe("a program of a USDT probe", function()
  local seen

  setup(function()
    kernel.root()
    if kernel.config("CONFIG_UPROBE_EVENTS") == "n" then
      helper.skip("USDT probes need a kernel with CONFIG_UPROBE_EVENTS")
    end
  end)

  before_each(function()
    seen = assert(map.create {
      type = "hash", key = "__s64", value = "struct seen { __s64 twice; char name[16]; }", max_entries = 16,
    })
  end)

  after_each(function()
    map.close(seen)
  end)

  -- Which probe it is, a cookie says, and before Linux 5.15 the address, for which libbpf wants the process.
  local function need_cookies()
    kernel.need("cookies, which say which probe it is", "5.15")
  end

  local function run(numbers)
    return helper.run(("echo %s 0 | %s"):format(numbers, PROBED))
  end

  it("gets the arguments, as libbpf finds them in the file", function()
    need_cookies()
    local prog <close> = assert(bpf.program("usdt/" .. PROBED .. ":lbpf:step", function(n, name)
      seen[n] = { twice = 2 * n, name = call.probe_read_user_str(name) }
    end))
    local link <close> = assert(prog:attach()) -- luacheck: ignore
    run("3 -4")
    assert.same({ twice = 6, name = "seven" }, seen[3])
    assert.same({ twice = -8, name = "seven" }, seen[-4])
  end)

  it("is attached by the script, and counts up the probe's semaphore", function()
    need_cookies()
    local prog <close> = assert(bpf.program("usdt", function(sum) seen[sum] = { twice = 1 } end))
    local link <close> = assert(prog:attach_usdt(PROBED, "lbpf", "guarded")) -- luacheck: ignore
    assert.equal("1003 1\n", run("3"))
    assert.same(1, seen[1003].twice)
  end)

  it("gets the arguments in a process that runs", function()
    local prog <close> = assert(bpf.program("usdt", function(n, name)
      seen[n] = { twice = 2 * n, name = call.probe_read_user_str(name) }
    end))
    local pid, go = attach.start(PROBED)
    local link <close> = assert(prog:attach_usdt(PROBED, "lbpf", "step", { pid = pid })) -- luacheck: ignore
    go(21, -4)
    assert.same({ twice = 42, name = "seven" }, seen[21])
    assert.same({ twice = -8, name = "seven" }, seen[-4])
  end)

  it("needs no arguments", function()
    need_cookies()
    local prog <close> = assert(bpf.program("usdt", function() map.update(seen, 0, { twice = 5 }) end))
    local link <close> = assert(prog:attach_usdt(PROBED, "lbpf", "step")) -- luacheck: ignore
    run("1")
    assert.same(5, seen[0].twice)
  end)

  it("ends where the probe has fewer arguments", function()
    need_cookies()
    local prog <close> = assert(bpf.program("usdt", function(n, _, third) seen[n] = { twice = third } end))
    local link <close> = assert(prog:attach_usdt(PROBED, "lbpf", "step")) -- luacheck: ignore
    run("1")
    assert.equal(0, #seen)
    local none, message = bpf.program("usdt", function(a, b, c, d, e, f, g, h, i, j, k, l, m) -- luacheck: ignore
      return 0
    end)
    assert.is_nil(none)
    assert.matches(": a USDT probe has 12 arguments at most, and the function takes 13$", message)
  end)
end)

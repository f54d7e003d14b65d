-- SPDX-License-Identifier: MIT
-- The kernel's clocks, the dates of their times, and sleeping. What signals do to bpf.sleep: signals_spec.
local bpf = require("bpf")
local helper = require("spec.helper")

local SECOND <const> = 1000000000

describe("bpf.clock", function()
  it("counts nanoseconds of the clock that /proc/uptime shows", function()
    local before = bpf.clock "boottime"
    local uptime = tonumber(helper.read("/proc/uptime"):match("^%S+"))
    local after = bpf.clock "boottime"
    assert.equal("integer", math.type(before))
    assert.is_true(uptime >= before // (SECOND // 100) / 100 and uptime <= after / SECOND)
  end)

  it("is monotonic by default", function()
    local before, now, after = bpf.clock(), bpf.clock "monotonic", bpf.clock(nil)
    assert.is_true(before <= now and now <= after)
    assert.is_true(bpf.clock() <= bpf.clock "boottime")
  end)

  it("has the date", function()
    local before, now, after = os.time(), bpf.clock "realtime" // SECOND, os.time()
    assert.is_true(before <= now and now <= after)
    local tai = bpf.clock "tai" - bpf.clock "realtime" -- as many leap seconds as the kernel was told
    assert.is_true(tai > -SECOND and tai < 100 * SECOND)
  end)

  it("raises an error for a clock that there isn't", function()
    helper.raises(function() bpf.clock "cpu" end,
      "clock 'cpu' is unknown %(one of: monotonic, boottime, realtime, tai%)")
    helper.raises(function() bpf.clock(1.5) end, "clock '1.5' is unknown")
    helper.raises(function() bpf.clock {} end, "bad argument #1 to 'clock' %(string expected, got table%)")
  end)
end)

describe("bpf.walltime", function()
  for _, clock in ipairs { "monotonic", "boottime", "realtime", "tai" } do
    it("gives the date of a time of the clock " .. clock, function()
      local before = bpf.clock "realtime"
      local seconds, ns = bpf.walltime(bpf.clock(clock), clock)
      local after = bpf.clock "realtime"
      assert.equal("integer", math.type(seconds))
      local date = seconds * SECOND + ns
      assert.is_true(date > before - SECOND // 100 and date < after + SECOND // 100)
    end)
  end

  it("gives the date of what is long over, and of what is to come", function()
    local hour <const> = 3600
    local now = bpf.clock()
    local seconds <const> = bpf.walltime(now)
    assert.is_true(math.abs(bpf.walltime(now - hour * SECOND) - (seconds - hour)) <= 1)
    assert.is_true(math.abs(bpf.walltime(now + hour * SECOND) - (seconds + hour)) <= 1)
  end)

  it("is monotonic's by default", function()
    local now = bpf.clock()
    assert.is_true(math.abs(bpf.walltime(now) - bpf.walltime(now, "monotonic")) <= 1)
  end)

  it("rounds down", function()
    assert.same({ 0, 0 }, { bpf.walltime(0, "realtime") })
    assert.same({ 1, 5 }, { bpf.walltime(SECOND + 5, "realtime") })
    assert.same({ -1, 999999999 }, { bpf.walltime(-1, "realtime") })
    assert.same({ -1, 0 }, { bpf.walltime(-SECOND, "realtime") })
    assert.same({ -9223372037, 145224192 }, { bpf.walltime(math.mininteger, "realtime") })
  end)

  it("raises an error for what is no time", function()
    helper.raises(function() bpf.walltime() end, "bad argument #1 to 'walltime' %(number expected, got no value%)")
    helper.raises(function() bpf.walltime(0.5) end,
      "bad argument #1 to 'walltime' %(number has no integer representation%)")
    helper.raises(function() bpf.walltime(1, "cpu") end, "clock 'cpu' is unknown")
    helper.raises(function() bpf.walltime(math.maxinteger) end,
      "bad argument #1 to 'walltime' %(no time of this clock: its date is out of range%)")
  end)
end)

describe("bpf.sleep", function()
  local function took(seconds)
    local start = bpf.clock()
    assert.is_true(bpf.sleep(seconds))
    return (bpf.clock() - start) / SECOND
  end

  it("sleeps as long as it is told, and not much longer", function()
    for _, seconds in ipairs { 0.0001, 0.02, 1e-9 } do
      local slept = took(seconds)
      assert.is_true(slept >= seconds and slept < seconds + 0.5 * helper.slow, seconds .. ": " .. slept)
    end
  end)

  it("doesn't sleep for a time that is over", function()
    for _, seconds in ipairs { 0, -1, -math.huge, -0.0 } do
      assert.is_true(took(seconds) < 0.5 * helper.slow)
    end
  end)

  it("starts no process and opens nothing", function()
    local before = helper.descriptors()
    bpf.sleep(0.001)
    assert.same(before, helper.descriptors())
  end)

  it("raises an error for what is no number", function()
    helper.raises(function() bpf.sleep() end, "bad argument #1 to 'sleep' %(number expected, got no value%)")
    helper.raises(function() bpf.sleep "1" end, "bad argument #1 to 'sleep' %(number expected, got string%)")
    helper.raises(function() bpf.sleep(0 / 0) end,
      "bad argument #1 to 'sleep' %(a number of seconds expected, got NaN%)")
  end)

  it("raises Lua's error on Ctrl-C", function()
    local output, ok = helper.interrupt(helper.LUA .. " -e " .. helper.quote([[
      local bpf = require "bpf"
      io.stdout:setvbuf "no"
      print "sleeping"
      bpf.sleep(math.huge)
      print "after the sleep"]]))
    assert.is_false(ok)
    assert.matches("^sleeping\n.*interrupted!", output)
    assert.is_nil(output:find("after the sleep"))
  end)
end)

-- SPDX-License-Identifier: MIT
-- Profiles in pprof's format, read back by Go's own reader.
local bpf = require "bpf"
local helper = require "spec.helper"

local HOME <const> = helper.absent()

-- What `go tool pprof` says about a profile. There is no reader of the format but in Go, which some distributions of a
-- test machine don't have.
local function pprof(options, path)
  if not select(2, helper.run "command -v go") then
    helper.skip "go is not installed"
  end
  local output, ok = helper.run(("cd / && env HOME=%s PPROF_TMPDIR=%s go tool pprof -symbolize=none %s %s"):format(HOME,
    helper.tmpdir(), options, path))
  assert(ok, output)
  return output
end

local MAPPING <const> = { path = "/usr/bin/shop", from = 0x400000, to = 0x500000, offset = 0x1000, build_id = "abcd12" }

local FRAMES <const> = {
  { address = -16, name = "vfs_read", offset = 4, kernel = true,
    mapping = { path = "[kernel.kallsyms]", from = 0, to = 0, offset = 0 } },
  { address = 0x400010, name = "deep", inlined = true, path = "/usr/bin/shop", mapping = MAPPING, source = "shop.c",
    line = 7 },
  { address = 0x400010, name = "main", offset = 3, path = "/usr/bin/shop", mapping = MAPPING, source = "shop.c",
    line = 9 },
  { address = 0x7f00, path = nil },
}

local function two_samples()
  local profile = bpf.pprof.new {
    values = { "samples/count", "cpu/nanoseconds" }, period = "cpu/nanoseconds", every = 10000000,
    time = 1700000000 * 1000000000, duration = 3000000000,
  }
  profile:add(FRAMES, { 3, 30000000 }, { comm = "shop", pid = 7 })
  profile:add({ FRAMES[4] }, { 1, 10000000 }, { comm = "other" })
  return profile
end

describe("a profile", function()
  it("is read by go tool pprof, with names, lines, inlined functions and labels", function()
    local path = helper.tmpdir() .. "/cpu.pb"
    assert.is_true(assert(two_samples():write(path)))
    local top = pprof("-top", path)
    assert.matches("Type: cpu\n", top)
    assert.matches("Duration: 3s, Total samples = 40ms", top)
    assert.matches("\n%s+30ms 75%.00%%%s+75%.00%%%s+30ms 75%.00%%%s+vfs_read\n", top)
    assert.matches("deep %(inline%)\n", top)
    assert.matches("\n%s+10ms 25%.00%%%s+100%%%s+40ms%s+100%%%s+%[unknown%]\n", top)
    local raw = pprof("-raw", path)
    assert.matches("\n +3 +30000000: 1 2 3 *\n", raw)
    assert.matches("\n +1: 0xfffffffffffffff0 M=2 vfs_read :0", raw)
    assert.matches("\n +2: 0x400010 M=1 deep shop%.c:7 s=0\n +main shop%.c:9 s=0\n", raw)
    assert.matches("0x400000/0x500000/0x1000 /usr/bin/shop abcd12", raw)
    assert.matches("comm: Total 40%.0ms\n +30%.0ms %(75%.00%%%): shop\n +10%.0ms %(25%.00%%%): other\n",
      pprof("-tags", path))
    assert.matches("\n +3%s.*vfs_read", pprof("-top -sample_index=samples", path))
  end)

  it("has the program's file first, by which readers name it", function()
    local path = helper.tmpdir() .. "/cpu.pb"
    assert(two_samples():write(path))
    assert.matches("^File: shop\nBuild ID: abcd12\n", pprof("-top", path))
  end)

  it("of real stacks has their names", function()
    local numbers, stop = require "spec.support.readers".start "build/support/sleeper"
    finally(stop)
    local profile = bpf.pprof.new { values = { "samples/count" } }
    profile:add(bpf.symbols.frames(nil, { numbers[3], numbers[2] + 1 }, numbers[1]), { 5 })
    local path = helper.tmpdir() .. "/cpu.pb"
    assert(profile:write(path))
    local traces = pprof("-traces", path)
    assert.matches("5%s+sleeper_local\n%s+sleeper_global", traces)
  end)

  it("keeps equal locations, functions and texts once", function()
    local profile = two_samples()
    local size = #profile:bytes()
    for _ = 1, 100 do
      profile:add(FRAMES, { 1 << 62, -1 }, { comm = "shop", pid = 7 })
    end
    assert.is_true(#profile:bytes() - size < 100 * 60)
    assert.equal(profile:bytes(), profile:bytes())
    assert.equal("bpf.pprof: 102 samples", tostring(profile))
  end)

  it("without stacks is one, too", function()
    local path = helper.tmpdir() .. "/cpu.pb"
    assert(bpf.pprof.new { values = { "samples/count" } }:write(path))
    assert.equal("\10\4\8\1\16\2\50\0\50\7samples\50\5count", helper.read(path))
  end)

  it("that can't be written says why", function()
    helper.fails("ENOENT", "No such file", two_samples():write(helper.absent() .. "/x"))
  end)
end)

describe("arguments", function()
  it("are checked, and named", function()
    local new = bpf.pprof.new
    helper.raises(function() new() end, "bad argument #1 to 'new' %(table expected, got nil%)")
    helper.raises(function() new {} end, "option 'values' must name a value")
    helper.raises(function() new { values = { "cpu" } } end, 'value 1 must be a type and a unit, .*got "cpu"')
    helper.raises(function() new { values = { 1 } } end, "value 1 must be a type and a unit, .*got number")
    helper.raises(function() new { values = { "a/b" }, period = "x" } end, "period must be a type and a unit")
    helper.raises(function() new { values = { "a/b" }, every = "" } end, "option 'every' must be a integer, got string")
    helper.raises(function() new { values = { "a/b" }, rate = 1 } end, "option 'rate' is unknown")
    local profile = two_samples()
    helper.raises(function() profile:add(1, { 1, 2 }) end, "bad argument #1 to 'add' %(table expected")
    helper.raises(function() profile:add({ {} }, { 1, 2 }) end, "bad argument #1 to 'add'.*frame 1 has no address")
    helper.raises(function() profile:add(FRAMES, 1) end, "bad argument #2 to 'add' %(table expected")
    helper.raises(function() profile:add(FRAMES, { 1 }) end, "the value 2, cpu/nanoseconds, must be an integer")
    helper.raises(function() profile:add(FRAMES, { 1, 2 }, { x = {} }) end, "bad argument #3 to 'add'")
    helper.raises(function() profile:write(1) end, "bad argument #1 to 'write'")
    helper.raises(function() profile.add({}) end, "calling 'add' on bad self")
  end)
end)

-- SPDX-License-Identifier: MIT
-- What specs do where the kernel refuses a kind of program before it verifies it: they are skipped, and for no other
-- reason. Here a process in between refuses raw tracepoints' programs.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")

kernel.root()

-- The TAP of a spec with this text, without what it says of failures, where raw tracepoints' programs are refused.
local function results(text)
  local path = helper.tmpdir() .. "/some_spec.lua"
  local file <close> = assert(io.open(path, "w"))
  assert(file:write('local bpf, helper = require("bpf"), require("spec.helper")\nlocal kernel, kinds = ',
    'require("spec.support.kernel"), require("spec.support.kinds")\n', text))
  file:close()
  local output = helper.run(("build/support/refuse 17 %s $(command -v busted) -o TAP %s"):format(helper.LUA, path))
  if output:find("^refuse: Device or resource busy") then
    helper.skip("another process answers this one's seccomp filters")
  end
  local lines = {}
  for line in output:gsub("%S+(some_spec%.lua:%d+)", "%1"):gmatch("[^\n]+") do
    lines[#lines + 1] = line:match("^%l*%s*ok .*")
  end
  return lines
end

local REASON <const> = ": this kernel refuses programs of this kind before it verifies them, even to root"

describe("a spec of a kind of program that the kernel refuses", function()
  it("is skipped where it asks, where a load fails, and where another process's does", function()
    assert.same({
      "ok 1 - # SKIP some_spec.lua:3: raw_tp/sys_enter" .. REASON,
      "ok 2 - # SKIP some_spec.lua:4: raw_tp" .. REASON,
      "ok 3 - # SKIP some_spec.lua:5: raw_tp" .. REASON,
      "ok 4 - xdp",
    }, results([[
it("asks", function() kinds.need("raw_tp/sys_enter") end)
it("loads", function() assert(bpf.load(helper.obj("percpu"))) end)
it("has it loaded", function() helper.lua("assert(require('bpf').load('build/progs/percpu.bpf.o'))") end)
it("xdp", function() kinds.need("xdp") assert(bpf.load(helper.obj("locks"))):close() end)]]))
  end)

  it("takes its place from the test, whatever functions are between", function()
    assert.same({ "ok 1 - # SKIP some_spec.lua:4: raw_tp" .. REASON }, results([[
local function load() return assert(bpf.load(helper.obj("percpu"))) end
it("loads", function()
  return load().progs
end)]]))
  end)

  it("has the other programs of its objects, by kernel.load", function()
    assert.same({ "ok 1 - others", "ok 2 - # SKIP some_spec.lua:9: raw_tp" .. REASON }, results([[
local obj
setup(function() obj = assert(kernel.load(helper.obj("packets"))) end)
teardown(function() obj:close() end)
it("others", function()
  assert(kinds.program(obj, "on_packet"):run({ data = ("x"):rep(64) }))
end)
it("refused", function()
  kinds.program(obj, "minus_one"):run()
end)]]))
  end)

  it("fails for any other reason", function()
    local lines = results([[
it("bad", function() assert(bpf.load({ bytes = "" })) end)
it("of another kind", function()
  error("the kernel refused this kind of program (type xdp, section 'xdp') before verifying it")
end)
it("that isn't refused", function()
  assert(nil, "the kernel refused this kind of program (type xdp, section 'xdp') before verifying it (EPERM)")
end)]])
    assert.equal(3, #lines)
    for _, line in ipairs(lines) do
      assert.matches("^not ok", line)
    end
  end)
end)

describe("a program that does nothing", function()
  it("loads in any section", function()
    kernel.need("programs of iterators", "5.8")
    for _, section in ipairs({ "xdp", "tc", "socket", "raw_tp/sys_enter", "tracepoint/no/such", "iter/task" }) do
      kinds.need(section)
      local obj <close> = assert(kinds.load_nothing(section))
      assert.equal(section, obj.progs.nothing:section())
    end
  end)

  it("is not called refused when the verifier says no", function()
    assert.is_false(kinds.unverified("EACCES", "prog 'x': BPF program load failed: Permission denied\n"))
    local begin = "prog 'x': BPF program load failed: Operation not permitted\nprog 'x': -- BEGIN PROG LOAD LOG --\n"
    local stop = "-- END PROG LOAD LOG --\n"
    assert.is_true(kinds.unverified("EPERM", begin .. "processed 0 insns (limit 1000000)\n" .. stop))
    assert.is_true(kinds.unverified("EPERM", begin:match("^[^\n]*\n")))
    assert.is_false(kinds.unverified("EPERM", begin .. "no\nprocessed 0 insns (limit 1000000)\n" .. stop))
    assert.is_false(kinds.unverified("EPERM", begin .. "processed 7 insns (limit 1000000)\n" .. stop))
    assert.is_false(kinds.unverified("EPERM", "map 'm': failed to create: Operation not permitted\n"))
  end)
end)

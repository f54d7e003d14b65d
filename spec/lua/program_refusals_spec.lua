-- SPDX-License-Identifier: MIT
-- BPF programs written in Lua that aren't loaded: too large ones, those that the verifier refuses, those that want a
-- helper which the kernel lacks, and wrong arguments.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"
local spec_helper = require "spec.helper"

local helper = bpf.helper

setup(kernel.root)

describe("a program that is too large", function()
  it("for the stack is refused", function()
    local variables, names = {}, {}
    for n = 1, 100 do
      names[n] = "v" .. n
      variables[n] = ("local v%d = helper.ktime_get_ns()"):format(n)
    end
    local f = load(("local helper = ... return function() %s return %s end"):format(table.concat(variables, " "),
      table.concat(names, " ~ ")), "=large")(helper)
    local prog, message = bpf.program("raw_tp/x", f)
    assert.is_nil(prog)
    assert.matches("^bpf.program: large:1: the function needs %d+ bytes of stack, and BPF has 512: put large structs "
      .. "and strings in a map$", message)
  end)
end)

describe("the verifier's refusal", function()
  -- What bpf.program returned for a function that the verifier refuses, at the line behind its first.
  local function check(prog, message, code, log, fn, name)
    assert.is_nil(prog)
    local at = ("%s: spec/lua/program_refusals_spec.lua:%d: "):format(name, debug.getinfo(fn, "S").linedefined + 1)
    assert.equal(at, message:sub(1, #at))
    assert.matches("EACCES", code)
    assert.matches("invalid bpf_context access", log)
  end

  local function writes(ctx)
    ctx.data = 1
    return 2
  end

  it("has the line of the script, and the log", function()
    local prog, message, code, log = bpf.program("xdp", writes)
    check(prog, message, code, log, writes, "bpf.program")
    prog, message, code, log = bpf.programs { one = { "xdp", function() return 1 end }, two = { "xdp", writes } }
    check(prog, message, code, log, writes, "bpf.programs")
  end)

  it("has the line of the function that was put in place", function()
    local prog, message, code, log = bpf.program("xdp", function(ctx) return writes(ctx) end)
    check(prog, message, code, log, writes, "bpf.program")
  end)
end)

describe("a helper that the kernel doesn't have", function()
  -- What bpf.program says of a function that the verifier refuses, on a kernel that has none of the helpers.
  local function without_helpers(fn)
    local there = bpf.features.helper
    bpf.features.helper = function(...)
      assert.is_boolean(there(...)) -- the name is known
      return false
    end
    local prog, message = bpf.program("xdp", fn)
    bpf.features.helper = there
    assert.is_nil(prog)
    local at = ("bpf.program: spec/lua/program_refusals_spec.lua:%d: "):format(debug.getinfo(fn, "S").linedefined + 1)
    assert.equal(at, message:sub(1, #at))
    return message:sub(#at + 1)
  end

  it("is named, with what to write instead of a loop", function()
    assert.equal("a loop whose number of rounds isn't known to be small needs the kernel's helper bpf_loop, which this "
      .. "kernel doesn't have: write 'for i = 1, math.min(n, 100)'", without_helpers(function(ctx)
        for i = 1, ctx.rx_queue_index + 5000 do
          ctx.data = i
        end
      end))
  end)

  it("is named, with what to do instead of pairs", function()
    local m <close> = assert(bpf.map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 1 })
    assert.equal("pairs(map) in a program needs the kernel's helper bpf_for_each_map_elem, which this kernel doesn't "
      .. "have: walk over the map in the script", without_helpers(function(ctx)
        for k in pairs(m) do
          ctx.data = k
        end
      end))
  end)
end)

describe("a wrong argument", function()
  local function f() end

  -- Checks that a call raises an error that begins with the line of the call.
  local function raises(message, fn)
    local got = spec_helper.raises(fn, "")
    local at = debug.getinfo(fn, "S").linedefined
    assert.equal(("spec/lua/program_refusals_spec.lua:%d: %s"):format(at, message), got)
  end

  it("of bpf.program is an error of the caller's line", function()
    raises("bpf.program: the section must be a string, got nil", function() bpf.program() end)
    raises("bpf.program: the section must be a string, got number", function() bpf.program(5, f) end)
    raises("bpf.program: what stands behind the section must be a function, got nil", function() bpf.program("xdp") end)
    raises("bpf.program: what stands behind the section must be a function, got string",
      function() bpf.program("xdp", "f") end)
    raises("bpf.program: options must be a table, got string", function() bpf.program("xdp", f, "GPL") end)
    raises("bpf.program: option 'license' must be a string, got boolean",
      function() bpf.program("xdp", f, { license = true }) end)
    raises("bpf.program: option 'name' must be a string, got number",
      function() bpf.program("xdp", f, { name = 5 }) end)
    raises("bpf.program: option 'maps' must be a table, got number",
      function() bpf.program("xdp", f, { maps = 5 }) end)
    raises("bpf.program: option 'license' has a NUL byte in it",
      function() bpf.program("xdp", f, { license = "GPL\0" }) end)
    spec_helper.raises(function() bpf.program("syscall", f, { ctx_type = "struct {" }) end,
      "^spec/lua/program_refusals_spec.lua:%d+: bpf.program: option 'ctx_type': C declaration, line 1, column 9: ")
  end)

  it("of bpf.programs is an error of the caller's line", function()
    raises("bpf.programs: a table of programs is expected, got nil", function() bpf.programs() end)
    raises("bpf.programs: there is no program", function() bpf.programs {} end)
    raises("bpf.programs: programs are given as { name = { section, function } }", function() bpf.programs { f } end)
    raises("bpf.programs: programs are given as { name = { section, function } }",
      function() bpf.programs { a = f } end)
    for _, name in ipairs { "", "on-open", "9th", ("x"):rep(64) } do
      raises(("bpf.programs: '%s' can't be the name of a program: up to 63 letters, digits and underscores can"):format(
        name), function() bpf.programs { [name] = { "xdp", f } } end)
    end
    spec_helper.raises(function() bpf.programs({ a = { "xdp", f } }, { nothing = 1 }) end,
      "^spec/lua/program_refusals_spec.lua:%d+: bpf.programs: unknown option 'nothing' %(options: license, ")
    raises("bpf.programs: the section of 'a' must be a string, got function",
      function() bpf.programs { a = { f } } end)
    raises("bpf.programs: 'a' must be a function, got nil", function() bpf.programs { a = { "xdp" } } end)
    raises("bpf.programs: options must be a table, got function", function() bpf.programs({ a = { "xdp", f } }, f) end)
  end)

  it("of bpf.assemble is an error of the caller's line", function()
    raises("bpf.assemble: a table of programs is expected, got string", function() bpf.assemble("xdp") end)
    for _, options in ipairs { { maps = {} }, { name = "x" }, { nothing = 1 } } do
      raises(("bpf.assemble: there is no option '%s' (options: btf, ctx_type, license)"):format(next(options)),
        function() bpf.assemble({ a = { "xdp", f } }, options) end)
    end
  end)

  it("that is no function of Lua's can't be compiled", function()
    local prog, message, code = bpf.program("xdp", string.rep)
    assert.same({ nil, "bpf.program: the function is written in C, and only functions written in Lua have bytecode",
      "EINVAL" }, { prog, message, code })
  end)
end)

-- SPDX-License-Identifier: MIT
-- lua-bpf compile and lua-bpf vmlinux.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local tool = require "spec.support.command"

local works, fails = tool.works, tool.fails

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

describe("lua-bpf compile", function()
  local dir

  setup(function()
    dir = helper.tmpdir()
    assert(select(2, helper.run("mkdir " .. dir .. "/include")))
    helper.write(dir .. "/include/mark.h", "#define MARK 7\n")
    helper.write(dir .. "/tool.bpf.c", "#warning careful\n#include <mark.h>\nint marks[MARK + MORE];\n")
  end)

  it("writes an object, by default beside the file, and clang's warnings", function()
    local output = works(("compile %s/tool.bpf.c -I %s/include -DMORE=1 --no-cache"):format(dir, dir))
    assert(output:find(dir .. "/tool.bpf.c:1:2: warning: careful", 1, true), output)
    local btf <close> = assert(bpf.btf.file(dir .. "/tool.bpf.o"))
    assert.equal("int[8]", btf:find("marks").type)
    works(("compile -D MORE=2 --target arm64 --no-cache -o %s/other --include=%s/include %s/tool.bpf.c"):format(dir,
      dir, dir))
    local other <close> = assert(bpf.btf.file(dir .. "/other"))
    assert.equal("int[9]", other:find("marks").type)
  end)

  it("fails with what clang says", function()
    fails(1, "^lua%-bpf: .*" .. dir .. "/tool.bpf.c:2:10: fatal error: 'mark.h' file not found\n",
      ("compile --no-cache %s/tool.bpf.c"):format(dir))
    fails(1, "^lua%-bpf: bpf.compile: [^\n]*No such file", "compile " .. helper.absent() .. ".c")
    fails(1, "^lua%-bpf: bpf.compile: target 'z80' is unknown", ("compile --target z80 %s/tool.bpf.c"):format(dir))
  end)

  it("refuses what it doesn't understand", function()
    fails(2, "^lua%-bpf: which file%?\nUsage: lua%-bpf compile", "compile")
    fails(2, "^lua%-bpf: where to%? Give %-%-output\n", "compile tool")
    fails(2, "^lua%-bpf: not understood: b.c\n", "compile a.c b.c")
    fails(2, "^lua%-bpf: %-%-output takes a value, not nothing\n", "compile a.c -o")
  end)
end)

describe("lua-bpf vmlinux", function()
  it("prints the header of the running kernel, or of a file's types", function()
    if kernel.config "CONFIG_DEBUG_INFO_BTF" == "n" then
      helper.skip "the kernel lacks CONFIG_DEBUG_INFO_BTF"
    end
    local path = helper.tmpdir() .. "/vmlinux.h"
    works("vmlinux -o " .. path)
    local btf <close> = assert(bpf.btf.kernel())
    assert.is_true(btf:dump() == read(path))
    local object = helper.obj "counters"
    local types <close> = assert(bpf.btf.file(object))
    assert.equal(types:dump(), works("vmlinux --btf " .. object))
  end)

  it("fails where there are no types", function()
    fails(1, "^lua%-bpf: [^\n]*No such file", "vmlinux --btf " .. helper.absent())
    fails(2, "^lua%-bpf: not understood: x\nUsage: lua%-bpf vmlinux", "vmlinux x")
  end)
end)

-- SPDX-License-Identifier: MIT
-- bpf.compile: C text to objects through clang, vmlinux.h and its cache, what clang complains about and where.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"
local bpf = require "bpf"

local SOURCE = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#ifndef STEP
#define STEP 1
#endif
__u64 seen;
SEC("xdp") int count(void *ctx) { seen += STEP; return XDP_PASS; }
char LICENSE[] SEC("license") = "GPL";
]]

local BROKEN = [[
#include <linux/bpf.h>
int first;
int second = nowhere;
]]

-- The line of this file that has a text once only; what is between the brackets is no part of it.
local function line_with(text)
  local number = 0
  for line in io.lines "spec/lua/compile_spec.lua" do
    number = number + 1
    if line:find(text, 1, true) and not line:find("line_with", 1, true) then
      return number
    end
  end
end

local function seen(source, options)
  local obj <close> = assert(bpf.load { bytes = assert(bpf.compile(source, options)) })
  assert(obj.progs.count:run { data = ("x"):rep(64) })
  return obj.vars.seen
end

local write = helper.write

local temporary -- where the compiler's files are during these tests

-- Runs Lua code in a process of its own with these variables. Nothing is kept, unless they say so.
local function lua(variables, code)
  return helper.run(("LUA_BPF_NO_CACHE=1 TMPDIR=%s %s %s -e %s"):format(temporary, variables, helper.LUA,
    helper.quote(code)))
end

local function entries(dir)
  local n = 0
  for name in lfs.dir(dir) do
    n = n + (name:find "^%.%.?$" and 0 or 1)
  end
  return n
end

-- A program that is called clang.
local function clang(script)
  local dir = helper.tmpdir()
  write(dir .. "/clang", "#!/bin/sh\n" .. script)
  assert(select(2, helper.run("chmod +x " .. dir .. "/clang")))
  return ("PATH=%s:$PATH"):format(dir)
end

setup(function() temporary = helper.tmpdir() end)

describe("bpf.compile", function()
  it("makes an object that loads and runs", function()
    kernel.root()
    assert.equal(1, seen(SOURCE))
  end)

  it("takes macros, flags, headers and a target", function()
    kernel.root()
    assert.equal(7, seen(SOURCE, { defines = { STEP = 7 } }))
    assert.equal(8, seen(SOURCE, { defines = { "STEP=8" } }))
    assert.equal(9, seen(SOURCE, { cflags = { "-DSTEP=9" } }))
    assert.equal(10, seen(SOURCE, { cflags = "-DSTEP=10" }))
    assert.equal(1, seen(SOURCE, { defines = { STEP = true } }))
    local dir = helper.tmpdir()
    assert(lfs.mkdir(dir .. "/it's $(here)"))
    write(dir .. "/it's $(here)/step.h", "#define STEP 11\n")
    assert.equal(11, seen('#include "step.h"\n' .. SOURCE, { include = dir .. "/it's $(here)" }))
    assert.equal(11, seen('#include <step.h>\n' .. SOURCE, { include = { "/nowhere", dir .. "/it's $(here)" } }))
    local arch = "#if !defined(__TARGET_ARCH_%s)\n#error wrong\n#endif\nint x;"
    assert(bpf.compile(arch:format "arm64", { target = "arm64" }))
    assert(bpf.compile(arch:format "arm64", { target = "aarch64" }))
    assert(bpf.compile(arch:format "x86", { target = "x86" }))
  end)

  it("compiles for version 3 of the instruction set, unless the words for clang say another", function()
    -- before version 3, a comparison of 32 bits takes more instructions
    local function instructions(cflags)
      local bytes = assert(bpf.compile([[
        struct context { int a, b; };
        __attribute__((section("socket"), used)) int f(struct context *c) { return c->a < c->b ? 3 : 7; }]],
        { cflags = cflags }))
      local obj <close> = assert(bpf.open { bytes = bytes })
      return obj.progs.f:info().insn_cnt
    end
    assert.equal(instructions { "-mcpu=v3" }, instructions())
    assert(instructions { "-mcpu=v2" } > instructions())
  end)

  it("hands words to clang as they are", function()
    local dir = helper.tmpdir()
    local nasty = ("\"'; touch %s/harm; $(touch %s/harm) `touch %s/harm`"):format(dir, dir, dir)
    local bytes = assert(bpf.compile("const char text[] = TEXT;", {
      defines = { TEXT = '"' .. nasty:gsub('[\\"]', "\\%0") .. '"' }, name = nasty,
    }))
    assert(bytes:find(nasty, 1, true))
    local _, _, _, messages = bpf.compile(("int %s = y;"):format("nasty"), { name = nasty })
    assert(messages:find(nasty, 1, true), messages)
    assert(not bpf.compile("int x;", { cflags = { nasty } }))
    assert(bpf.compile("int x;", { include = nasty }))
    assert.equal(0, entries(dir))
  end)

  it("refuses what it doesn't understand", function()
    helper.raises(function() bpf.compile() end, "bad argument #1 to 'compile' %(string expected, got nil")
    helper.raises(function() bpf.compile("", 1) end, "compile_spec.lua:%d+: bad argument #2 to 'compile'")
    helper.raises(function() bpf.compile("", { flags = {} }) end,
      "compile_spec.lua:%d+: bpf.compile: there is no option")
    helper.raises(function() bpf.compile("", { target = "z80" }) end, "target 'z80' is unknown %(one of: arc, arm, ")
    helper.raises(function() bpf.compile("", { cflags = { 1 } }) end,
      "compile_spec.lua:%d+: bpf.compile: cflags%[1%] must be a string, got number")
    helper.raises(function() bpf.compile("", { include = "a\0b" }) end, "compile_spec.lua:%d+: .*include holds a NUL")
    helper.raises(function() bpf.compile("", { defines = { A = {} } }) end, "compile_spec.lua:%d+: .*defines.A must be")
  end)

  it("takes text of any size, with any bytes", function()
    local bytes, warnings = bpf.compile("const char a[] = \"\\0\"; /* \0 ' \" \\ \xff $(x) */ int y;")
    assert(bytes and warnings == nil or warnings:find "null character")
    local long = {}
    for i = 1, 20000 do
      long[i] = ("/* some more text to read */ extern int v%d;"):format(i)
    end
    assert(bpf.compile(table.concat(long, "\n")))
    assert(bpf.compile(""))
  end)

  it("returns warnings besides", function()
    local bytes, warnings = bpf.compile("#warning careful\nint x;")
    assert(bytes:find "^\127ELF")
    assert(warnings:find("warning: .*careful"), warnings)
    bytes, warnings = bpf.compile("int x;")
    assert(bytes and warnings == nil)
  end)
end)

describe("what clang complains about", function()
  it("has the line of the script where the text stands", function()
    local bytes, message, code, messages = bpf.compile(BROKEN)
    assert.same({ nil, "EINVAL" }, { bytes, code })
    local where = ("spec/lua/compile_spec.lua:%d:14: error: use of undeclared identifier 'nowhere'"):format(
      line_with "int second = nowhere;")
    assert(message:find("bpf.compile: " .. where, 1, true), message)
    assert(message:find(" %(EINVAL%)$"), message)
    assert(messages:find(where, 1, true) and messages:find("int second = nowhere;\n", 1, true), messages)
    assert.falsy(messages:find("\27", 1, true))
  end)

  it("has the line of the text nearest above the call, if it is there more than once", function()
    local first, second = [[int one_of_two = y;]], select(2, bpf.compile [[int one_of_two = y;]])
    local line = debug.getinfo(1, "l").currentline - 1
    assert(second:find(("spec/lua/compile_spec.lua:%d:"):format(line), 1, true), second)
    assert(first)
  end)

  it("has it for literals that aren't the text as it is", function()
    local message = select(2, bpf.compile([[
int before_the_two_lines;
int and_the_second_of_them;
char tab[] = "]] .. "\t" .. [[";
int third = missing;
]]))
    local line = line_with "int before_the_two_lines;" + 3
    assert(message:find(("spec/lua/compile_spec.lua:%d:"):format(line), 1, true), message)
  end)

  it("has lines of the text where no script has it", function()
    local made = ("int %s;\n"):format("x"):rep(3) .. "int y = " .. "zz" .. ";\n"
    local message = select(2, bpf.compile(made, { name = "made up" }))
    assert(message:find("bpf.compile: made up:4:9: error:", 1, true), message)
    message = select(2, bpf.compile(made))
    assert(message:find("bpf.compile: bpf.compile:4:9: error:", 1, true), message)
  end)

  it("has lines of chunks that were loaded, and of scripts that call through others", function()
    local chunk = "local bpf = require 'bpf'\nlocal t = [[\n\nint x = chunk_only;\n]] return select(2, bpf.compile(t))"
    local message = assert(load(chunk, "=a chunk"))()
    assert(message:find("undeclared identifier 'chunk_only'", 1, true), message)
    local dir = helper.tmpdir()
    write(dir .. "/lib.lua", "return function(text) local a, b = require('bpf').compile(text) return a, b end")
    write(dir .. "/main.lua", "local c = dofile(arg[1])\n\nlocal _, m = c [[\n  int x = y;]]\nprint(m)\n")
    local output = helper.run(("cd %s && TMPDIR=%s LUA_PATH=%s LUA_CPATH=%s %s main.lua lib.lua"):format(dir, temporary,
      helper.quote((package.path:gsub("%f[^;\0]lua/", lfs.currentdir() .. "/lua/"))), helper.quote(package.cpath),
      helper.LUA))
    assert(output:find("^bpf.compile: main.lua:4:11: error:"), output)
  end)

  it("finds headers in quotes beside the script", function()
    local dir = helper.tmpdir()
    write(dir .. "/step.h", "#define STEP 3\n")
    write(dir .. "/main.lua", 'print(require("bpf").compile [[\n#include "step.h"\nint a[STEP];\n]] ~= nil)')
    local output = helper.run(("TMPDIR=%s %s %s/main.lua"):format(temporary, helper.LUA, dir))
    assert.equal("true\n", output)
  end)

  it("says which package has a header", function()
    local message = select(2, bpf.compile "#include <bpf/no_such_helpers.h>\n")
    assert(message:find("file not found; the package libbpf%-dev has it %(EINVAL%)$"), message)
  end)
end)

describe("without clang", function()
  it("says which package has it", function()
    local output = lua("PATH=" .. helper.bare_path(), [[print(require("bpf").compile("int x;"))]])
    assert.equal("nil\tbpf.compile: clang is not installed; Debian and Ubuntu have it in the package clang (ENOENT)"
      .. "\tENOENT\n", output)
  end)

  it("says so when there is no place for files", function()
    local output = helper.run(("TMPDIR=%s %s -e %s"):format(helper.absent(), helper.LUA,
      helper.quote [[print(require("bpf").compile("int x;"))]]))
    assert.equal("nil\tbpf.compile: there is no place for temporary files (EACCES)\tEACCES\n", output)
  end)
end)

describe("vmlinux.h", function()
  if kernel.config "CONFIG_DEBUG_INFO_BTF" == "n" then
    helper.skip "the kernel lacks CONFIG_DEBUG_INFO_BTF"
  end

  local COMPILE = [[
    local bpf = require "bpf"
    local bytes, message = bpf.compile('# include "vmlinux.h"\nunsigned long size = sizeof(struct task_struct);')
    local btf <close> = bpf.btf.kernel()
    print(message or bytes:find(string.pack("<I8", btf:find("struct task_struct").size), 1, true) ~= nil)]]

  local function cached(home)
    return (helper.run(("find %s -type f ! -name 'object-*'"):format(home)))
  end

  local function keep(variables, code)
    return (lua("LUA_BPF_NO_CACHE= " .. variables, code))
  end

  it("is the running kernel's, made once and kept", function()
    local home = helper.tmpdir()
    assert.equal("true\n", keep("XDG_CACHE_HOME=" .. home, COMPILE))
    local path = cached(home):gsub("\n", "")
    local btf <close> = assert(bpf.btf.kernel())
    assert.equal(("%s/lua-bpf/vmlinux-%s-%s-%s/vmlinux.h"):format(home, btf:hash(), bpf._VERSION, bpf.libbpf_version),
      path)
    local file <close> = assert(io.open(path))
    assert.equal(btf:dump(), file:read "a")
    -- what is there is used
    write(path, "struct task_struct { long n; }; int from_the_cache = 4711;")
    local output = keep("XDG_CACHE_HOME=" .. home, [[
      print((assert(require("bpf").compile('#include "vmlinux.h"\nint x;')):find("from_the_cache", 1, true)))]])
    assert(output:find "^%d+\n$", output)
    -- and made again when it is gone
    assert(os.remove(path))
    assert.equal("true\n", keep("XDG_CACHE_HOME=" .. home, COMPILE))
    assert.equal(path .. "\n", cached(home))
  end)

  it("is kept in the home directory by default", function()
    local home = helper.tmpdir()
    for _, variables in ipairs { "XDG_CACHE_HOME= HOME=" .. home, "XDG_CACHE_HOME=relative HOME=" .. home } do
      assert.equal("true\n", keep(variables, COMPILE))
      assert(cached(home):find(home .. "/.cache/lua-bpf/vmlinux-", 1, true))
    end
    assert.falsy(lfs.attributes "relative")
  end)

  it("is made each time where it can't be kept", function()
    local home = helper.tmpdir()
    write(home .. "/file", "")
    for _, variables in ipairs { "XDG_CACHE_HOME=/proc", "XDG_CACHE_HOME=" .. home .. "/file",
      "XDG_CACHE_HOME= HOME=" } do
      assert.equal("true\n", keep(variables, COMPILE))
    end
    assert.equal(home .. "/file\n", cached(home))
  end)

  it("is made each time where there is no home, or no folder for caches, which isn't made", function()
    local nowhere = helper.absent()
    for _, variables in ipairs { "XDG_CACHE_HOME= HOME=%s", "XDG_CACHE_HOME=%s", "XDG_CACHE_HOME=%s/caches",
      "XDG_CACHE_HOME= HOME=%s/me" } do
      assert.equal("true\n", keep(variables:format(nowhere), COMPILE))
      assert.falsy(lfs.attributes(nowhere))
    end
  end)

  it("isn't made for sources that don't include it", function()
    local home = helper.tmpdir()
    assert.equal("true\n", keep("XDG_CACHE_HOME=" .. home, [[
      print(require("bpf").compile('// #include "vmlinux.h"\nint x;') ~= nil)]]))
    assert.equal("", cached(home))
  end)
end)

describe("temporary files", function()
  it("are gone, whatever happened", function()
    lua("", [[
      local bpf = require "bpf"
      bpf.compile("int x;")
      bpf.compile("int x = y;")
      bpf.compile("int x;", { cflags = { "-no-such-flag" } })
      bpf.compile('#include "vmlinux.h"')
      pcall(bpf.compile, "int x;", { name = 1 })
      for n = 1, 4 do
        local real = os.execute
        os.execute = function(command)
          if command:find "clang" then error "oops" end
          return real(command)
        end
        pcall(bpf.compile, "int x;")
        os.execute = real
      end]])
    assert.equal(0, entries(temporary))
  end)

  it("are gone after Ctrl-C, which raises", function()
    local dir = helper.tmpdir()
    assert(select(2, helper.run("mkfifo " .. dir .. "/waits.h")))
    local output = helper.interrupt(("TMPDIR=%s %s -e %s"):format(temporary, helper.LUA, helper.quote(
      ([[require("bpf").compile('#include "waits.h"', { include = %q })]]):format(dir))),
      ("exec 3>%s/waits.h"):format(dir)) -- waits until clang reads it
    assert(output:find("interrupted!", 1, true), output)
    assert.equal(0, entries(temporary))
  end)
end)

describe("what isn't the text's fault", function()
  -- The code and the message of a compilation in a process of its own.
  local function fails(variables, source, limits)
    local code = ("local _, message, code = require('bpf').compile(%s) print(code, message)"):format(source)
    local output = helper.run(("%s LUA_BPF_NO_CACHE=1 TMPDIR=%s %s %s -e %s"):format(limits or "", temporary, variables,
      helper.LUA, helper.quote(code)))
    assert.equal(0, entries(temporary))
    local errno, message = output:match "([^\t\n]*)\t([^\n]*)\n$"
    return errno, message or output
  end

  it("is a disk or a table of inodes that is full", function()
    kernel.root()
    local fine, wrong, long = "'int x;'", "'int x = y;'", "('int x;'):rep(20000)"
    for _, case in ipairs { { "size=4k", fine }, { "size=8k", fine }, { "size=8k", wrong }, { "size=64k", long },
      { "nr_inodes=2", fine }, { "nr_inodes=3", fine }, { "nr_inodes=4", fine }, { "nr_inodes=5", fine } } do
      local mount = ("exec unshare -m sh -c 'mount -t tmpfs -o %s none %s && exec \"$@\"' - env"):format(case[1],
        temporary)
      local code, message = fails("", case[2], mount)
      assert.equal("ENOSPC", code, case[1] .. ": " .. tostring(message))
    end
  end)

  it("is a clang that was killed, or had no memory", function()
    local code, message = fails(clang "kill -9 $$", "'int x;'")
    assert.equal("EIO", code)
    assert(message:find("clang was killed by signal 9", 1, true), message)
    code, message = fails(clang "echo 'clang: error: unable to execute command: Killed' >&2; exit 1", "'int x;'")
    assert.equal("EIO", code)
    assert(message:find("Killed", 1, true), message)
    code, message = fails(clang "echo 'LLVM ERROR: out of memory' >&2; kill -ABRT $$", "'int x;'")
    assert.equal("ENOMEM", code, message)
    code = fails(clang "echo 'clang: error while loading libLLVM.so: failed to map segment' >&2; exit 127", "'int x;'")
    assert.equal("ENOMEM", code)
    code, message = fails(clang "exit 3", "'int x;'")
    assert.equal("EIO", code)
    assert(message:find("exit status 3", 1, true), message)
  end)

  it("isn't what the text says", function()
    assert.equal("EINVAL", (fails("", "'#error No space left on device'")))
    assert.equal("EINVAL", (fails("", "'#error out of memory'")))
    assert.equal("EINVAL", (fails("", "'int x; // bad_alloc\\nint x = y;'")))
  end)

  it("is a lack of descriptors, at each number of them, which is returned", function()
    local output, ok = helper.run(("ulimit -n 64; TMPDIR=%s LUA_BPF_NO_CACHE=1 %s -e "):format(temporary, helper.LUA)
      .. helper.quote [[
      local compile = require("bpf").compile
      local held, answers = {}, {}
      repeat
        local file = io.open "/"
        held[#held + 1] = file
      until not file
      for free = 0, 9 do
        local bytes, message, code = compile "int x;"
        answers[#answers + 1] = bytes and "compiled" or code .. (message:find "Too many open files" and "" or message)
        table.remove(held):close()
      end
      for _, file in ipairs(held) do file:close() end
      print(table.concat(answers, " "))
      print((compile "int x;") ~= nil)]])
    assert(ok, output)
    local answers, again = output:match "([^\n]*)\n(%a+)\n$"
    assert.equal("true", again, output)
    assert.matches("^EMFILE ", answers)
    assert.equal(0, entries(temporary))
    assert.equal("", (answers:gsub("%f[%a]EMFILE%f[%A]", ""):gsub("%f[%a]compiled%f[%A]", ""):gsub(" ", "")))
  end)
end)

describe("what killed runs leave", function()
  it("is removed by the next one", function()
    local path = clang "kill -KILL $LUA_PID"
    helper.run(("sh -c 'LUA_BPF_NO_CACHE=1 LUA_PID=$$ TMPDIR=%s %s exec %s -e \"$1\"' - %s"):format(temporary, path,
      helper.LUA, helper.quote [[require("bpf").compile("int x;")]]))
    assert.equal(1, entries(temporary))
    assert.equal("true\n", lua("", [[print((require("bpf").compile("int x;")) ~= nil)]]))
    assert.equal(0, entries(temporary))
  end)

  it("isn't what those who still run have", function()
    local path = clang(("PATH=${PATH#*:}; TMPDIR=%s %s -e 'require(\"bpf\").compile(\"int y;\")'; exec clang \"$@\"")
      :format(temporary, helper.LUA))
    assert.equal("true\n", lua(path, [[print((require("bpf").compile("int x;")) ~= nil)]]))
    assert.equal(0, entries(temporary))
  end)

  it("is a header that was cut, or emptied, which is made again", function()
    if kernel.config "CONFIG_DEBUG_INFO_BTF" == "n" then
      helper.skip "the kernel lacks CONFIG_DEBUG_INFO_BTF"
    end
    local home = helper.tmpdir()
    local function compile()
      return (lua("LUA_BPF_NO_CACHE= XDG_CACHE_HOME=" .. home, [[
        print((require("bpf").compile '#include "vmlinux.h"\nstruct list_head x;') ~= nil)]]))
    end
    assert.equal("true\n", compile())
    local path = helper.run(("find %s -name vmlinux.h"):format(home)):gsub("\n", "")
    local file <close> = assert(io.open(path))
    local whole = file:read "a"
    for _, damaged in ipairs { "", whole:sub(1, 10), whole:sub(1, 100), whole:sub(1, #whole // 2), whole:sub(1, -2),
      whole:sub(1, 200) .. ("\0"):rep(#whole - 200) } do
      write(path, damaged)
      write(path .. ".new", "of one that was killed")
      assert.equal("true\n", compile())
      local again <close> = assert(io.open(path))
      assert.is_true(again:read "a" == whole)
      assert.equal(path .. "\n", (helper.run(("find %s -name 'vmlinux.h*'"):format(home))))
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- What bpf.compile keeps: when a kept object is returned, when it is made anew, and whose files it trusts.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"
local posix = require "bpf.base.posix"

local write = helper.write

local dir, home, log -- a directory of headers, that of the cache, and what a clang of ours has been asked

-- Runs Lua code in a process of its own, with a clang that logs its calls. Returns what it printed, and how many
-- objects were compiled.
local function lua(code, variables, before)
  os.remove(log)
  local output, ok = helper.run(("%s; LUA_BPF_NO_CACHE= XDG_CACHE_HOME=%s PATH=%s/bin:$PATH %s %s -e %s"):format(
    before or "umask 022", home, dir, variables or "", helper.LUA, helper.quote("local bpf = require 'bpf' " .. code)))
  assert(ok, output)
  local file <close> = io.open(log)
  return output, file and select(2, file:read("a"):gsub("%-c %S+source", "")) or 0, file ~= nil
end

-- A compilation of text with options, as Lua code; it prints a number that the object has after "mark".
local function compiles(text, options)
  return ([[
    local bytes, warnings = assert(bpf.compile(%q, %s))
    print(bytes:match "mark(%%d+)", warnings)]]):format(text, options or ("{ include = %q }"):format(dir .. "/include"))
end

-- Compiles, and fails unless clang has run, or hasn't.
local function expect(mark, times, code, variables, before)
  local output, compiled = lua(code, variables, before)
  assert.equal(mark .. "\tnil\n", output)
  assert.equal(times, compiled)
end

-- Writes a file, and waits until the clock that stamps files has moved on: a file of the same moment isn't trusted.
-- (Since Linux 6.13 stamps can be ahead of that clock's last tick.)
local function settle(path, text)
  write(path, text)
  local _, changed = assert(posix.file_digest(path))
  repeat until posix.file_clock() > changed
end

local function objects()
  return (helper.run(("find %s -name 'object-*'"):format(home)))
end

local function fresh()
  home = helper.tmpdir()
end

setup(function()
  dir = helper.tmpdir()
  log = dir .. "/log"
  assert(lfs.mkdir(dir .. "/bin") and lfs.mkdir(dir .. "/include") and lfs.mkdir(dir .. "/first"))
  write(dir .. "/bin/clang", ("#!/bin/sh\necho \"$@\" >>%s\nPATH=${PATH#*:}\nexec clang \"$@\"\n"):format(log))
  assert(select(2, helper.run("chmod +x " .. dir .. "/bin/clang")))
  settle(dir .. "/include/mark.h", 'const char text[] = "mark1";\n')
end)

before_each(fresh)

local TEXT <const> = '#include "mark.h"\nint x;'

describe("a kept object", function()
  it("is returned without a process, with the warnings that it had", function()
    local code = compiles '#include "mark.h"\n#warning careful'
    local first, compiled = lua(code)
    assert.equal(1, compiled)
    assert.matches("^1\t.*careful", first)
    local second, again, ran = lua("os.execute, io.popen = nil, nil " .. code)
    assert.equal(first, second)
    assert.equal(0, again)
    assert.is_false(ran)
  end)

  it("is made anew when the text, an option, a variable or the compiler changes", function()
    expect(1, 1, compiles(TEXT))
    expect(1, 1, compiles(TEXT .. "\n"))
    expect(1, 1, compiles(TEXT, ("{ include = %q, defines = 'A' }"):format(dir .. "/include")))
    expect(1, 1, compiles(TEXT), "CPATH=" .. dir)
    expect(1, 0, compiles(TEXT))
    helper.run(("echo '# another version' >>%s/bin/clang"):format(dir))
    expect(1, 1, compiles(TEXT))
  end)

  it("is made anew when a header changes, or comes where clang looks earlier", function()
    local both = compiles(TEXT, ("{ include = { %q, %q, %q } }"):format(dir .. "/first", dir .. "/absent",
      dir .. "/include"))
    expect(1, 1, both)
    settle(dir .. "/include/mark.h", 'const char text[] = "mark2";\n')
    expect(2, 1, both)
    settle(dir .. "/include/mark.h", 'const char text[] = "mark1";\n')
    assert(lfs.mkdir(dir .. "/absent"))
    expect(1, 1, both)
    expect(1, 0, both)
    settle(dir .. "/absent/mark.h", 'const char text[] = "mark3";\n')
    expect(3, 1, both)
    settle(dir .. "/first/mark.h", 'const char text[] = "mark4";\n')
    expect(4, 1, both)
    expect(4, 0, both)
    assert(os.remove(dir .. "/first/mark.h") and os.remove(dir .. "/absent/mark.h") and lfs.rmdir(dir .. "/absent"))
    expect(1, 1, both)
  end)

  it("is made anew when a header of -include comes to the working directory", function()
    local code = compiles("int x;", ("{ cflags = { '-include', 'mark.h' }, include = %q }"):format(dir .. "/include"))
    expect(1, 1, code, nil, "cd " .. dir .. "/first")
    expect(1, 0, code, nil, "cd " .. dir .. "/first")
    settle(dir .. "/first/mark.h", 'const char text[] = "mark6";\n')
    expect(6, 1, code, nil, "cd " .. dir .. "/first")
    assert(os.remove(dir .. "/first/mark.h"))
  end)

  it("is made anew when a header comes that a text has asked for", function()
    local code = compiles('#if __has_include(<asked.h>)\n#include <asked.h>\n#else\n#include <mark.h>\n#endif')
    expect(1, 1, code)
    expect(1, 0, code)
    settle(dir .. "/include/asked.h", 'const char text[] = "mark5";\n')
    expect(5, 1, code)
    assert(os.remove(dir .. "/include/asked.h"))
  end)

  it("is made anew when it is damaged or cut", function()
    expect(1, 1, compiles(TEXT))
    local path = objects():match "[^\n]+"
    local file <close> = assert(io.open(path, "rb"))
    local whole = file:read "a"
    for _, damaged in ipairs { "", whole:sub(1, 20), whole:sub(1, -2), whole:gsub("mark1", "mark9"), whole .. "x" } do
      write(path, damaged)
      expect(1, 1, compiles(TEXT))
      assert.equal(path .. "\n", objects())
    end
    expect(1, 0, compiles(TEXT))
  end)

  it("has vmlinux.h of the running kernel", function()
    if kernel.config "CONFIG_DEBUG_INFO_BTF" == "n" then
      helper.skip "the kernel lacks CONFIG_DEBUG_INFO_BTF"
    end
    local code = compiles('#include "vmlinux.h"\n#include <mark.h>\nstruct list_head x;')
    expect(1, 1, code)
    expect(1, 0, code)
    local path = helper.run(("find %s -name vmlinux.h"):format(home)):match "[^\n]+"
    assert(os.remove(path))
    expect(1, 1, code)
    assert(lfs.attributes(path))
  end)

  it("is of no text whose meaning changes, and of no words that have other effects", function()
    for text, options in pairs {
      ['#include <mark.h>\nconst char day[] = __DATE__;'] = "nil",
      [TEXT] = ("{ cflags = { '-MD', '-MF', %q } }"):format(dir .. "/rule"),
      [TEXT .. " "] = "{ cache = false }",
    } do
      local code = compiles(text, options)
      for _ = 1, 2 do
        local output, compiled = lua(code, "CPATH=" .. dir .. "/include")
        assert.equal("1\tnil\n", output)
        assert.equal(1, compiled)
      end
    end
    assert(lfs.attributes(dir .. "/rule"))
    assert.equal("", objects())
  end)

  it("isn't made or used where the environment says so", function()
    for _ = 1, 2 do
      expect(1, 1, compiles(TEXT), "LUA_BPF_NO_CACHE=1")
    end
    assert.equal("", (helper.run("ls " .. home)))
    expect(1, 1, compiles(TEXT), "LUA_BPF_NO_CACHE=")
    expect(1, 1, compiles(TEXT), "LUA_BPF_NO_CACHE=1")
  end)

  it("is not of a header that changes while clang runs", function()
    write(dir .. "/bin/clang", ("#!/bin/sh\necho \"$@\" >>%s\nPATH=${PATH#*:}\nclang \"$@\"; s=$?; touch %s; exit $s\n")
      :format(log, dir .. "/include/mark.h"))
    expect(1, 1, compiles(TEXT))
    assert.equal("", objects())
    write(dir .. "/bin/clang", ("#!/bin/sh\necho \"$@\" >>%s\nPATH=${PATH#*:}\nexec clang \"$@\"\n"):format(log))
  end)
end)

describe("the folder", function()
  -- Compiles, and fails unless nothing was kept.
  local function refused(variables)
    for _ = 1, 2 do
      expect(1, 1, compiles(TEXT), variables)
    end
  end

  it("is used by its owner alone, and no file in it that others can write", function()
    expect(1, 1, compiles(TEXT))
    local path = objects():match "[^\n]+"
    for _, mode in ipairs { "g+w", "o+w" } do
      helper.run(("chmod %s %s"):format(mode, path))
      expect(1, 1, compiles(TEXT))
      expect(1, 0, compiles(TEXT))
    end
    assert(os.rename(path, home .. "/elsewhere") and lfs.link(home .. "/elsewhere", path, true))
    expect(1, 1, compiles(TEXT))
    assert.equal("file", lfs.symlinkattributes(path, "mode"))
    for _, mode in ipairs { "g+w", "o+w" } do
      helper.run(("chmod %s %s/lua-bpf"):format(mode, home))
      refused()
      helper.run(("chmod 700 %s/lua-bpf; chmod %s %s"):format(home, mode, home))
      refused()
      helper.run(("chmod 700 %s"):format(home))
    end
    expect(1, 0, compiles(TEXT))
  end)

  it("is no symbolic link, and no file", function()
    assert(lfs.mkdir(home .. "/other") and lfs.link(home .. "/other", home .. "/lua-bpf", true))
    refused()
    assert.equal("", (helper.run(("ls %s/other"):format(home))))
    assert(os.remove(home .. "/lua-bpf"))
    write(home .. "/lua-bpf", "")
    refused()
  end)

  it("of another user is left alone by root", function()
    kernel.root()
    expect(1, 1, compiles(TEXT))
    helper.run(("chown -R nobody %s/lua-bpf"):format(home))
    refused()
    helper.run(("chown -R root %s/lua-bpf; chown nobody %s"):format(home, home))
    refused()
    assert(lfs.mkdir(home .. "/empty"))
    refused(("XDG_CACHE_HOME= HOME=%s/empty"):format(home))
    assert.equal("", (helper.run(("ls -A %s/empty"):format(home))))
  end)

  it("can be a symbolic link's, if nobody else can write on the way", function()
    assert(lfs.mkdir(home .. "/real") and lfs.link(home .. "/real", home .. "/link", true))
    expect(1, 1, compiles(TEXT), ("XDG_CACHE_HOME=%s/link"):format(home))
    expect(1, 0, compiles(TEXT), ("XDG_CACHE_HOME=%s/link"):format(home))
  end)

  it("keeps files that only the user may read, whatever the umask", function()
    expect(1, 1, compiles(TEXT), nil, "umask 0")
    assert.equal("700 600\n", (helper.run(("stat -c %%a %s/lua-bpf %s/lua-bpf/object-* | xargs"):format(home, home))))
    expect(1, 0, compiles(TEXT))
  end)

  it("loses what was used least recently when there is no more room", function()
    assert(lfs.mkdir(home .. "/vmlinux-old"))
    for i, name in ipairs { "object-a", "object-b", "object-c", "vmlinux-old/vmlinux.h", "other" } do
      write(home .. "/" .. name, ("x"):rep(1000))
      lfs.touch(home .. "/" .. name, 1000 - i)
    end
    lfs.touch(home .. "/vmlinux-old", 10)
    local function tidy(room)
      lua(("require('bpf.compile.folder').tidy(%q, %d)"):format(home, room))
      return table.concat(helper.entries(home), " ")
    end
    assert.equal("object-a object-b object-c other vmlinux-old", tidy(4000))
    assert.equal("object-a object-b object-c other", tidy(3999))
    assert.equal("object-a other", tidy(1000))
    assert.equal("other", tidy(0))
  end)

  it("is used by several processes at a time", function()
    local one = ("LUA_BPF_NO_CACHE= XDG_CACHE_HOME=%s %s -e %s"):format(home, helper.LUA, helper.quote(
      "local bpf = require 'bpf' " .. compiles(TEXT)))
    local output = helper.run(("for i in 1 2 3; do %s & done; wait"):format(one))
    assert.equal(("1\tnil\n"):rep(3), output)
    assert.matches("^%S+object%-%x+\n$", objects())
    assert.equal("", (helper.run(("find %s -name '*.new'"):format(home))))
  end)
end)

describe("bpf.compile of a file", function()
  it("reads it, and names it in messages", function()
    write(dir .. "/tool.bpf.c", '#include "include/mark.h"\nint x;\n')
    expect(1, 1, ("print(bpf.compile({ file = %q }):match 'mark(%%d+)', nil)"):format(dir .. "/tool.bpf.c"))
    write(dir .. "/tool.bpf.c", "int x = y;\n")
    local bpf = require "bpf"
    local bytes, message, code = bpf.compile { file = dir .. "/tool.bpf.c", cache = false }
    assert.same({ nil, "EINVAL" }, { bytes, code })
    assert(message:find("bpf.compile: " .. dir .. "/tool.bpf.c:1:9: error: ", 1, true), message)
    bytes, message, code = bpf.compile { file = helper.absent() }
    assert.same({ nil, "ENOENT" }, { bytes, code })
    assert.matches("^bpf.compile: .*No such file or directory %(ENOENT%)$", message)
  end)

  it("refuses what it doesn't understand", function()
    local bpf = require "bpf"
    helper.raises(function() bpf.compile {} end, "must have the field 'file', the path of a C file")
    helper.raises(function() bpf.compile("int x;", { file = "x" }) end, "option 'file' is given beside C text")
    helper.raises(function() bpf.compile("int x;", { cache = 1 }) end, "'cache' must be true or false, got number")
  end)
end)

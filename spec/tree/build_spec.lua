-- SPDX-License-Identifier: MIT
-- What is built and installed: the files that belong to it, the symbols and the version it shows, and where it goes.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

-- How to build for the Lua that runs this.
local ABI <const> = _VERSION:match "%d+%.%d+"
local LUA_PC <const> = os.getenv "LBPF_LUA_PC" or "lua" .. ABI
local MAKE <const> = ("make --no-print-directory LUA=%s LUA_PC=%s"):format(helper.LUA, LUA_PC)
local LUAROCKS <const> = "luarocks --lua-version " .. ABI
local ROCKSPEC <const> = "rockspec/lua-bpf-scm-1.rockspec"
local DWFL_ROCKSPEC <const> = "rockspec/lua-bpf-dwfl-scm-1.rockspec"

local HOME = helper.absent()

-- Runs a command as a user's shell would, with nothing of this test run's environment.
local function run(command)
  local output, ok = helper.run(('env -i PATH="$PATH" HOME=%s sh -c %s'):format(HOME, helper.quote(command)))
  assert(ok, command .. ":\n" .. output)
  return output
end

local function sorted(list)
  table.sort(list)
  return list
end

local function words(text)
  local list = {}
  for word in text:gmatch("%S+") do
    list[#list + 1] = word
  end
  return sorted(list)
end

local read = helper.read

local function rockspec()
  local env = {}
  assert(loadfile(ROCKSPEC, "t", env))()
  return env
end

local function header_version()
  local header = read "src/host/lbpf.h"
  return ("%s.%s.%s"):format(header:match "LBPF_VERSION_MAJOR (%d+)\n", header:match "LBPF_VERSION_MINOR (%d+)\n",
    header:match "LBPF_VERSION_PATCH (%d+)\n")
end

-- The version of what is installed under a prefix, as a script elsewhere finds it.
local function installed_version(prefix)
  return run(([[cd /; export LUA_PATH="PREFIX/share/lua/ABI/?.lua;PREFIX/share/lua/ABI/?/init.lua"
    export LUA_CPATH="PREFIX/lib/lua/ABI/?.so"
    %s -e 'io.write(require("bpf")._VERSION)']]):gsub("%u%u%u+", { PREFIX = prefix, ABI = ABI }):format(helper.LUA))
end

describe("the rockspec of bpf.dwfl", function()
  it("lists every C file", function()
    local env = {}
    assert(loadfile(DWFL_ROCKSPEC, "t", env))()
    assert.same(words(run "ls dwfl/*.c"), sorted(env.build.modules["bpf.dwfl"].sources))
  end)
end)

describe("the rockspec", function()
  it("lists every C file", function()
    assert.same(words(run "ls src/*/*.c"), sorted(rockspec().build.modules["bpf.core"].sources))
  end)

  it("lists every Lua file under its module's name", function()
    local expected, listed = {}, {}
    for _, path in ipairs(words(run "ls lua/bpf/*.lua lua/bpf/*/*.lua lua/bpf/*/*/*.lua")) do
      expected[path:match("^lua/(.*)%.lua$"):gsub("/init$", ""):gsub("/", ".")] = path
    end
    for name, module in pairs(rockspec().build.modules) do
      if type(module) == "string" then
        listed[name] = module
      end
    end
    assert.same(expected, listed)
  end)
end)

describe("the design page", function()
  it("names every file of src/ under its folder", function()
    local rows, folder = {}, nil
    for line in read("docs/design.md"):gmatch "[^\n]+" do
      folder = line:match "^| %*%*`(%w+)/`%*%* | |$" or folder
      rows[folder or ""] = (rows[folder or ""] or "") .. line
    end
    for _, path in ipairs(words(run "ls src/*/*.[ch]")) do
      local room, name = path:match "^src/(%w+)/([%w_]+)%.[ch]$"
      assert(rows[room] and rows[room]:find("`" .. name .. "[.`]"), path .. " is not in docs/design.md")
    end
  end)

  it("names every file of dwfl/", function()
    local section = read("docs/design.md"):match "\n## Symbols\n(.-)\n## "
    for _, path in ipairs(words(run "ls dwfl/*.c")) do
      assert(section:find("\n| `" .. path:match "(%l+)%.c$" .. "` |"), path .. " is not in docs/design.md")
    end
  end)

  it("names every file of lua/bpf/program/, and no other", function()
    local section = read("docs/design.md"):match "\n## Programs in Lua\n(.-)\n## "
    section = section:match "^(.-)\n| %*%*`lua/bpf/trace/`" or section
    local named, there = {}, {}
    for files in section:gmatch "\n| (`[^|]*) |" do
      for name in files:gmatch "`([%w_]+)`" do
        named[#named + 1] = name
      end
    end
    for _, path in ipairs(words(run "ls lua/bpf/program/*.lua")) do
      there[#there + 1] = path:match "([%w_]+)%.lua$"
    end
    assert.same(sorted(there), sorted(named))
  end)
end)

describe("the version", function()
  it("is the header's in the module", function()
    assert.equal(header_version(), require("bpf")._VERSION)
  end)

  it("is the header's at the head of the changelog", function()
    assert.equal(header_version(), read("CHANGELOG.md"):match("\n## .-(%d+%.%d+%.%d+)"))
  end)
end)

describe("the build", function()
  it("exports nothing but the openers and what lbpf.h declares", function()
    local header = read("src/host/lbpf.h")
    for _, symbol in ipairs(words(run "nm -D --defined-only --format=just-symbols build/release/bpf/core.so")) do
      assert(header:find("LBPF_API[^;]-%f[%w_]" .. symbol .. "%f[^%w_]%("), symbol .. " is exported")
    end
  end)

  it("links neither Lua nor anything beyond libbpf and libc", function()
    local needed = run "objdump -p build/release/bpf/core.so"
    for library in needed:gmatch("NEEDED%s+(%S+)") do
      local name = library:match("^[%w_-]+")
      assert(name == "libbpf" or name == "libc" or name:find("^ld%-linux"), library .. " is needed")
    end
  end)

  it("has bpf.dwfl apart, which exports its opener alone and links elfutils and libc", function()
    assert.equal("luaopen_bpf_dwfl\n", run "nm -D --defined-only --format=just-symbols build/release/bpf/dwfl.so")
    for library in (run "objdump -p build/release/bpf/dwfl.so"):gmatch("NEEDED%s+(%S+)") do
      local name = library:match("^[%w_-]+")
      assert(name == "libdw" or name == "libelf" or name == "libc" or name:find("^ld%-linux"), library .. " is needed")
    end
  end)

  it("does nothing the second time", function()
    run(MAKE .. " all")
    assert.equal("make: Nothing to be done for 'all'.\n", run("LC_ALL=C " .. MAKE .. " all"))
  end)

  it("installs what require finds, and uninstalls all of it", function()
    local dir = helper.tmpdir()
    run(("%s install PREFIX=/opt/x DESTDIR=%s"):format(MAKE, dir))
    local root = dir .. "/opt/x"
    assert.equal(header_version(), installed_version(root))
    assert.matches("^bpf %d", run(
      ([[cd /; export LUA_PATH="%s/share/lua/A/?.lua;%s/share/lua/A/?/init.lua" LUA_CPATH="%s/lib/lua/A/?.so"
      %s/bin/lua-bpf --version]]):gsub("/A/", "/" .. ABI .. "/"):format(root, root, root, root)))
    assert.equal("0\n", run(("cmp docs/lua-bpf.1 %s/share/man/man1/lua-bpf.1; echo $?"):format(root)))
    assert.equal("0\n", run(("cmp src/host/lbpf.h %s/include/lbpf.h; echo $?"):format(root)))
    run(("%s uninstall PREFIX=/opt/x DESTDIR=%s"):format(MAKE, dir))
    assert.equal("", run("find " .. dir .. " -type f"))
  end)
end)

-- A compiler that finds all that is in /usr/include but for libbpf and, if it isn't told where, Lua. Returns its path.
local function poor_compiler(dir)
  run(([[cd %s && mkdir include && for e in /usr/include/* /usr/include/$(uname -m)-linux-gnu/*; do
    case $e in */bpf|*/lua5.?|*/lua.h) ;; *) ln -sfn $e include/ ;; esac
  done]]):format(dir))
  local file <close> = assert(io.open(dir .. "/poor-cc", "w"))
  file:write(('#!/bin/sh\nexec cc -nostdinc -isystem "$(cc -print-file-name=include)" -isystem %s/include "$@"\n')
    :format(dir))
  run(("chmod +x %s/poor-cc"):format(dir))
  return dir .. "/poor-cc"
end

describe("what is missing is told with the packages that have it:", function()
  local dir, compiler

  setup(function()
    dir = helper.tmpdir()
    compiler = poor_compiler(dir)
    run(("cp -r Makefile build-aux bin src dwfl lua rockspec docs examples types %s"):format(dir))
  end)

  -- Checks that a command fails and what it prints first names both packages.
  local function names(command, what, debian, fedora)
    local output, ok = helper.run(("cd %s && env -i PATH=\"$PATH\" HOME=%s %s"):format(dir, HOME, command))
    assert.is_false(ok)
    assert.matches("^[^\n]*#error \"" .. what .. " headers are missing%. Debian: apt install " .. debian
      .. "; Fedora: dnf install " .. fedora .. '"\n', output:match("[^\n]*#error.*"))
  end

  it("libbpf, by make", function()
    names(MAKE .. " CC=" .. compiler, "libbpf's", "libbpf%-dev", "libbpf%-devel")
  end)

  it("libbpf, by luarocks", function()
    names(("%s --tree %s/tree make %s CC=%s"):format(LUAROCKS, dir, ROCKSPEC, compiler), "libbpf's", "libbpf%-dev",
      "libbpf%-devel")
  end)

  it("Lua, by make", function()
    names(("make LUA_PC=none CC=%s"):format(compiler), "Lua's", "liblua5%.4%-dev", "lua%-devel")
  end)
end)

describe("the rock", function()
  local dir

  setup(function()
    dir = helper.tmpdir()
    -- luarocks leaves its objects where it stands, so it gets a copy.
    run(("mkdir %s/src && cp -r bin src dwfl lua rockspec docs examples types %s/src"):format(dir, dir))
    run(("cd %s/src && %s --tree %s/made make %s"):format(dir, LUAROCKS, dir, ROCKSPEC))
  end)

  it("is made and installed", function()
    assert.equal(header_version(), installed_version(dir .. "/made"))
    assert.matches("^bpf %d", run("cd /; " .. dir .. "/made/bin/lua-bpf --version"))
    for _, file in ipairs { "docs/lua-bpf.1", "docs/reference.md", "examples/syscount/main.lua", "types/bpf.lua" } do
      assert.matches("/" .. file:gsub("%p", "%%%0") .. "\n", run(("find %s/made -path '*/%s'"):format(dir, file)))
    end
  end)

  it("of bpf.dwfl is made beside it, and found by bpf.symbols", function()
    run(("cd %s/src && %s --tree %s/made make %s"):format(dir, LUAROCKS, dir, DWFL_ROCKSPEC))
    assert.equal("true", run(([[cd /; export LUA_PATH="PREFIX/share/lua/ABI/?.lua;PREFIX/share/lua/ABI/?/init.lua"
      export LUA_CPATH="PREFIX/lib/lua/ABI/?.so"
      %s -e 'require("bpf").symbols.process(1); io.write(tostring(package.loaded["bpf.dwfl"] ~= nil))']])
      :gsub("%u%u%u+", { PREFIX = dir .. "/made", ABI = ABI }):format(helper.LUA)))
  end)

  it("is packed with what was compiled, and installed elsewhere without a compiler", function()
    run(("cd %s && %s --tree made pack lua-bpf"):format(dir, LUAROCKS))
    run(("cd %s && %s --tree elsewhere install lua-bpf-scm-1.linux-*.rock CC=false"):format(dir, LUAROCKS))
    assert.equal(header_version(), installed_version(dir .. "/elsewhere"))
  end)

  it("is packed as sources, which are built elsewhere", function()
    if not select(2, helper.run("test -e .git")) then
      helper.skip("what is packed is a commit, and this is no repository")
    end
    run(MAKE .. " rock")
    run(("%s --tree %s/built install build/lua-bpf-%s-1.src.rock"):format(LUAROCKS, dir, header_version()))
    assert.equal(header_version(), installed_version(dir .. "/built"))
  end)

  it("runs the tests", function()
    kernel.root()
    local output = run(("NODEPS=1 SPEC=spec/lua/hist_spec.lua LUA=%s LUA_PC=%s %s test %s"):format(helper.LUA, LUA_PC,
      LUAROCKS, ROCKSPEC)) -- what this spec needs is there
    assert.matches("spec/lua/hist_spec%.lua %.+ ok .*\nResult: PASS\n", output)
  end)
end)

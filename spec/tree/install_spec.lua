-- SPDX-License-Identifier: MIT
-- What `make install` leaves is enough for hosts in C and C++, linked in every way, and `make uninstall` removes it.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local ABI <const> = _VERSION:match "[%d.]+"

local HOME = helper.absent()

-- Runs a command as a user's shell would, with nothing of this test run's environment.
local function run(command)
  local output, ok = helper.run(('env -i PATH="$PATH" HOME=%s sh -c %s'):format(HOME, helper.quote(command)))
  assert(ok, command .. ":\n" .. output)
  return output
end

local dir, prefix

setup(function()
  dir = helper.tmpdir()
  prefix = dir .. "/usr"
  run(("make install LUA_V=%s PREFIX=%s"):format(ABI, prefix))
  local file <close> = assert(io.open(dir .. "/host.c", "w"))
  -- C and C++; no warning may come of the header. It prints the version, what a script makes of it, and one value.
  file:write [[
    #include <lbpf.h>
    #ifdef __cplusplus
    #include <lua.hpp>
    #else
    #include <lauxlib.h>
    #include <lualib.h>
    #endif
    #include <stdio.h>
    #include <bpf/btf.h>

    int main(void)
    {
      struct btf *btf = btf__new_empty();
      unsigned value = 7;
      int id = btf__add_int(btf, "u32", 4, 0);
      lua_State *L = luaL_newstate();

      luaL_openlibs(L);
      if (lbpf_open(L) || lbpf_push_type(L, btf, (unsigned)id) || lbpf_push_value(L, -1, &value, sizeof(value))) {
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
        return 1;
      }
      lua_setglobal(L, "value");
      if (luaL_dostring(L, "local bpf = require 'bpf'; print(bpf._VERSION, bpf.hist.number(2000), value)"))
        fprintf(stderr, "%s\n", lua_tostring(L, -1));
      printf("%s %d\n", LBPF_VERSION, LBPF_VERSION_NUM);
      fflush(stdout);
      lua_close(L);
      btf__free(btf);
      return 0;
    }
  ]]
end)

local compilers = {
  C = "cc -std=c99 -Wall -Wextra -Wpedantic -Wundef -Werror -x c",
  ["C++"] = "c++ -std=c++11 -Wall -Wextra -Wpedantic -Wundef -Werror -x c++",
}

local function pkg_config(what)
  return ("PKG_CONFIG_PATH=%s/lib/pkgconfig pkg-config %s lua-bpf"):format(prefix, what)
end

local function build(language, flags, libs)
  run(("%s %s/host.c %s -x none -o %s/host $(%s) %s"):format(compilers[language], dir, flags, dir,
    pkg_config "--cflags", libs))
end

local function expected()
  local version = run(pkg_config "--modversion"):match "%S+"
  local major, minor, patch = version:match "(%d+)%.(%d+)%.(%d+)"
  return ("%s\t2.00k\t7\n%s %d\n"):format(version, version, major * 10000 + minor * 100 + patch)
end

-- Runs the host where no Lua file or module is to be found, unless the environment says so.
local function run_host(environment)
  return run(("cd /; LUA_PATH=/nowhere LUA_CPATH=/nowhere %s %s/host"):format(environment or "", dir))
end

for language in pairs(compilers) do
  describe("a host in " .. language, function()
    it("is built with the library in it, and needs no file of ours", function()
      build(language, "", ("$(%s)"):format(pkg_config "--libs"))
      assert.equal(expected(), run_host())
      assert.falsy(run(("ldd %s/host"):format(dir)):find(prefix, 1, true))
    end)

    it("is built with everything in it", function()
      build(language, "-static", ("$(%s) 2>%s/warnings"):format(pkg_config "--static --libs", dir))
      assert.equal(expected(), run_host())
    end)

    it("is built with the Lua module instead of the library, and finds the Lua files", function()
      local module = run(pkg_config "--variable=module"):match "%S+"
      build(language, "", ("%s $(PKG_CONFIG_PATH= pkg-config --libs lua%s libbpf)"):format(module, ABI))
      local lua = run(pkg_config "--variable=luadir"):match "%S+"
      assert.equal(expected(), run_host(("LUA_PATH='%s/?.lua;%s/?/init.lua'"):format(lua, lua)))
      assert(run(("ldd %s/host"):format(dir)):find(module, 1, true))
    end)
  end)
end

describe("the guide's host", function()
  it("is built as the guide says, and runs", function()
    if not kernel.is_root() then
      helper.skip "needs root"
    end
    local guide <close> = assert(io.open "docs/guide.md")
    local text = guide:read "a"
    local file <close> = assert(io.open(dir .. "/guide.c", "w"))
    file:write((assert(text:match "\n```c\n(#include <stdio.h>.-)\n```\n")))
    file:flush()
    for line in text:gmatch "| `(cc [^`]+)` |" do
      local command = line:gsub("host%.c", "guide.c"):gsub("pkg%-config", "PKG_CONFIG_PATH=usr/lib/pkgconfig %0")
        :gsub("lua5%.4", "lua" .. ABI)
      run(("cd %s; %s -o guide 2>warnings"):format(dir, command))
      local lua = "usr/share/lua/" .. ABI
      assert.equal("300\n", run(("cd %s; LUA_PATH='%s/?.lua;%s/?/init.lua' ./guide"):format(dir, lua, lua)))
    end
  end)
end)

describe("examples/embed", function()
  it("is built by its own Makefile", function()
    run(("cp -r examples/embed %s && cd %s/embed && rm -f policyd *.o *.h && PKG_CONFIG_PATH=%s/lib/pkgconfig make")
      :format(dir, dir, prefix))
    assert(run(dir .. "/embed/policyd --help"):find "^Usage: policyd POLICY.lua\n")
  end)
end)

describe("the installation", function()
  it("has a command that finds the module beside itself, by any path and by a link", function()
    local version = run(pkg_config "--modversion"):match "%S+"
    local expects = "^bpf " .. version:gsub("%p", "%%%0") .. " "
    assert.matches(expects, run(prefix .. "/bin/lua-bpf --version"))
    assert.matches(expects, run(("cd %s/bin; ./lua-bpf --version"):format(prefix)))
    assert.matches(expects, run(("cd /; PATH=%s/bin:$PATH; lua-bpf --version"):format(prefix)))
    assert.matches(expects, run(("cd %s/bin; lua%s lua-bpf --version"):format(prefix, ABI)))
    assert.matches(expects, run(("ln -s %s/bin/lua-bpf '%s/it''s here'; '%s/it''s here' --version"):format(prefix, dir,
      dir)))
    assert.matches("\n", run(("%s/bin/lua-bpf run /dev/stdin <<'end'\nprint(bpf.metrics.new())\nend"):format(prefix)))
  end)

  it("has the command's modules compiled, which tell their sources; the command does without as well", function()
    local compiled = ("%s/lib/lua-bpf/%s/bpf"):format(prefix, ABI)
    local function place()
      return run(([[%s/bin/lua-bpf run /dev/stdin <<'end'
        print(select(2, require "bpf.pprof"))
        print(debug.getinfo(require("bpf.pprof").new, "S").source)
]]):format(prefix) .. "end\n")
    end
    local source = ("@%s/share/lua/%s/bpf/pprof.lua\n"):format(prefix, ABI)
    assert.equal(("%s/bin/../lib/lua-bpf/%s/bpf/pprof.luac\n%s"):format(prefix, ABI, source), place())
    run(("mv %s/command.luac %s/kept; echo damaged >%s/command.luac"):format(compiled, dir, compiled))
    assert.matches("/share/lua/[%d.]+/bpf/pprof%.lua\n", place())
    run(("mv %s/kept %s/command.luac"):format(dir, compiled))
  end)

  it("has the pages and examples that the README links to, the man page, and the API for editors", function()
    local doc = prefix .. "/share/doc/lua-bpf/"
    local linked = 0
    for target in run("cat " .. doc .. "README.md"):gmatch "%]%((%l[%w/._-]+)#?[%w-]*%)" do
      if target:find "^docs/" or target:find "^examples/" then
        run("test -e " .. doc .. target)
        linked = linked + 1
      end
    end
    assert(linked > 20)
    local abi = _VERSION:match "[%d.]+"
    run((("cd / && LUA_PATH='PREFIX/share/lua/ABI/?.lua;PREFIX/share/lua/ABI/?/init.lua;;' " ..
      "LUA_CPATH='PREFIX/lib/lua/ABI/?.so;;' luaABI DOCexamples/tcplife/main.lua --help"):gsub("%u%u%u+",
      { PREFIX = prefix, ABI = abi, DOC = doc })))
    run(("test -f %s/share/bash-completion/completions/lua-bpf -a -f %s/share/zsh/site-functions/_lua-bpf"):format(
      prefix, prefix))
    run(("test -f %s/share/man/man1/lua-bpf.1 -a -f %s/share/lua-bpf/types/bpf.lua"):format(prefix, prefix))
  end)

  it("can be taken away where it isn't", function()
    local output = run(("make -s uninstall PREFIX=%s/nothing"):format(dir))
    assert.falsy(output:find "rmdir", output)
  end)

  it("shows hosts nothing but what lbpf.h declares", function()
    local file <close> = assert(io.open(prefix .. "/include/lbpf.h"))
    local header = file:read "a"
    local count = 0
    for symbol in run(("nm --defined-only --extern-only --format=just-symbols %s/lib/liblbpf.a"):format(prefix))
      :gmatch "[^\n]+" do
      if not symbol:find ":$" then
        count = count + 1
        assert(header:find("LBPF_API[^;]-%f[%w_]" .. symbol .. "%f[^%w_]%("), symbol .. " is exported")
      end
    end
    for name in header:gmatch "\nLBPF_API[^;]-([%w_]+)%(" do
      count = count - 1
      assert(name)
    end
    assert.equal(0, count)
  end)

  it("has its files where the variables say, and a pkg-config file that says so", function()
    local root = dir .. "/root"
    local output = run(("make install DESTDIR=%s PREFIX=/opt/x LUA_V=5.5 LUA=lua5.4 LUA_PC=lua5.5 LIBDIR=/opt/x/lib64")
      :format(root))
    assert.matches("\n  INSTALL  " .. root:gsub("%p", "%%%0") .. "/opt/x/bin/lua%-bpf\n", output)
    assert.falsy(output:find "install %-m", output)
    local pc = run(("cat %s/opt/x/lib64/pkgconfig/lua-bpf.pc"):format(root))
    assert(pc:find "\nprefix=/opt/x\nlibdir=${prefix}/lib64\n", pc)
    assert(pc:find "\nmodule=${prefix}/lib/lua/5.5/bpf/core.so\n", pc)
    assert(pc:find "\nRequires: lua5.5 libbpf >= 1.1\n", pc)
    run(("test -f %s/opt/x/lib/lua/5.5/bpf/core.so -a -f %s/opt/x/share/lua/5.5/bpf/init.lua"):format(root, root))
    run(("make uninstall DESTDIR=%s PREFIX=/opt/x LUA_V=5.5 LIBDIR=/opt/x/lib64"):format(root))
    assert.equal("", run("find " .. root .. " -type f"))
    assert.equal("", run("find " .. root .. "/opt/x/share/lua/5.5 -mindepth 1"))
  end)
end)

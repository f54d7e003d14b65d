-- SPDX-License-Identifier: MIT
-- What is built and installed: the files that belong to it, the symbols and the version it shows, and where it goes.
local helper = require "spec.helper"

-- Runs a command as a user's shell would, with nothing of this test run's environment.
local function run(command)
  local output, ok = helper.run('env -i PATH="$PATH" HOME=/nonexistent sh -c ' .. helper.quote(command))
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

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

local function rockspec()
  local env = {}
  assert(loadfile("rockspec/lua-bpf-scm-1.rockspec", "t", env))()
  return env
end

local function header_version()
  return read("src/lbpf.h"):match('#define LBPF_VERSION "([^"]+)"')
end

describe("the rockspec", function()
  it("lists every C file", function()
    assert.same(words(run "ls src/*.c"), sorted(rockspec().build.modules["bpf.core"].sources))
  end)

  it("lists every Lua file under its module's name", function()
    local expected, listed = {}, {}
    for _, path in ipairs(words(run "ls lua/bpf/*.lua")) do
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
    local header = read("src/lbpf.h")
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

  it("does nothing the second time", function()
    run "make all"
    assert.equal("make: Nothing to be done for 'all'.\n", run "LC_ALL=C make all")
  end)

  it("installs what require finds, and uninstalls all of it", function()
    local dir = helper.tmpdir()
    run(("make install PREFIX=/opt/x DESTDIR=%s"):format(dir))
    local root = dir .. "/opt/x"
    assert.equal(header_version() .. "\n", run(
      ([[cd /; export LUA_PATH="%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua" LUA_CPATH="%s/lib/lua/5.4/?.so"
      lua5.4 -e 'print(require("bpf")._VERSION)']]):format(root, root, root)))
    assert.matches("^bpf %d", run(
      ([[cd /; export LUA_PATH="%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua" LUA_CPATH="%s/lib/lua/5.4/?.so"
      %s/bin/lua-bpf --version]]):format(root, root, root, root)))
    assert.equal("0\n", run(("cmp docs/lua-bpf.1 %s/share/man/man1/lua-bpf.1; echo $?"):format(root)))
    assert.equal("0\n", run(("cmp src/lbpf.h %s/include/lbpf.h; echo $?"):format(root)))
    run(("make uninstall PREFIX=/opt/x DESTDIR=%s"):format(dir))
    assert.equal("", run("find " .. dir .. " -type f"))
  end)

  it("works through luarocks", function()
    local tree = helper.tmpdir()
    -- luarocks leaves its objects where it stands, so it gets a copy.
    run(("mkdir %s/src && cp -r bin src lua rockspec %s/src"):format(tree, tree))
    run(("cd %s/src && luarocks --lua-version 5.4 --tree %s make rockspec/lua-bpf-scm-1.rockspec"):format(tree, tree))
    assert.equal(header_version() .. "\n", run(
      ([[cd /; export LUA_PATH="%s/share/lua/5.4/?.lua;%s/share/lua/5.4/?/init.lua" LUA_CPATH="%s/lib/lua/5.4/?.so"
      lua5.4 -e 'print(require("bpf")._VERSION)']]):format(tree, tree, tree)))
    assert.matches("^bpf %d", run("cd /; " .. tree .. "/bin/lua-bpf --version"))
  end)
end)

-- SPDX-License-Identifier: MIT
-- docs/libbpf.md has each function of the libbpf that the module is linked with, and says the truth about it.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

-- function -> { since = the libbpf that brought it or nil, is = "calls", "covered" or "no", what = Lua names in words }
local documented = {}
for line in io.lines("docs/libbpf.md") do
  local functions, since, is, what = line:match("^| (`.-) | ([%d.]*) ?| (%l+) | (.*) |$")
  for name in (functions or ""):gmatch("`([%w_]+)`") do
    assert(not documented[name], name .. " stands there twice")
    documented[name] = { since = since ~= "" and since or nil, is = is, what = what }
  end
end

-- The names of a file's dynamic symbols, without their versions.
local function symbols(path, which)
  local names = {}
  local output, ok = helper.run(("nm -D --%s-only %s"):format(which, helper.quote(path)))
  assert(ok, output)
  for kind, name in output:gmatch("(%a) ([%w_.]+)[^\n]*") do
    if kind ~= "A" then
      names[name] = true
    end
  end
  return names
end

local function linked()
  for line in io.lines("/proc/self/maps") do
    local path = line:match("(/%S*/libbpf%.so%S*)$")
    if path then
      return path
    end
  end
  helper.skip("this module has libbpf within it")
end

local module = assert(package.searchpath("bpf.core", package.cpath))

-- Whether a Lua function is there: "bpf.map.create" or "prog:run".
local function is_there(name)
  local class, method = name:match("^(%l[%l_]*):([%w_]+)$")
  if not class then
    local value = _ENV
    for part in ("package.loaded." .. name):gmatch("[%w_]+") do
      value = type(value) == "table" and value[part] or nil
    end
    return value ~= nil
  end
  for _, meta in pairs(debug.getregistry()) do
    if type(meta) == "table" and rawget(meta, "__name") == "bpf." .. class then
      local index = meta.__index
      if type(index) == "function" then
        index = select(2, debug.getupvalue(index, 1))
      end
      return type(index) == "table" and index[method] ~= nil
    end
  end
  return false
end

local function none(list, what)
  table.sort(list)
  assert(#list == 0, what .. ": " .. table.concat(list, ", "))
end

describe("docs/libbpf.md", function()
  it("has each function that this libbpf exports", function()
    local missing = {}
    for name in pairs(symbols(linked(), "defined")) do
      if not documented[name] then
        missing[#missing + 1] = name
      end
    end
    none(missing, "not in docs/libbpf.md")
  end)

  it("has no function that a libbpf of this version should have and hasn't", function()
    local there, missing = symbols(linked(), "defined"), {}
    for name, row in pairs(documented) do
      if not there[name] and not (row.since and kernel.libbpf_before(row.since)) then
        missing[#missing + 1] = name .. " (" .. (row.since or "1.1") .. ")"
      elseif there[name] and row.since and kernel.libbpf_before(row.since) then
        missing[#missing + 1] = name .. " is there before " .. row.since
      end
    end
    none(missing, "libbpf " .. bpf.libbpf_version)
  end)

  it("says \"calls\" of what the module calls, and of nothing else", function()
    local called, wrong = symbols(module, "undefined"), {}
    for name, row in pairs(documented) do
      if (called[name] or false) ~= (row.is == "calls") then
        wrong[#wrong + 1] = name
      end
    end
    none(wrong, "the module calls, or doesn't")
  end)

  it("names Lua functions that there are", function()
    local wrong = {}
    for name, row in pairs(documented) do
      assert(row.is == "calls" or row.is == "covered" or row.is == "no", name .. ": " .. row.is)
      for lua in row.what:gmatch("`([^`]+)`") do
        if (lua:find("^bpf[.]") or lua:find("^%l[%l_]*:[%w_]+$")) and not is_there(lua) then
          wrong[#wrong + 1] = lua
        end
      end
      assert(row.what:find("%w"), name .. ": nothing said")
    end
    none(wrong, "no such function")
  end)

  it("says from which libbpf on all that is newer than the oldest", function()
    for name, row in pairs(documented) do
      assert(not row.since or row.since:find("^1%.[2-9]$"), name)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- Tracepoints, with the fields of their records, as tracefs has them.

local enumerators = require("bpf.format.enumerators")
local features = require("bpf.core").features
local tracefs = require("bpf.program.tracefs")
local types = require("bpf.trace.catalog.types")

local tracepoint = {}

-- Strings that have no size of their own are as long as `str` makes them.
local TEXT <const> = 64

function tracepoint.names()
  local text, problem = tracefs.read("available_events")
  if not text then
    return {}, problem
  end
  local names = {}
  for category, name in text:gmatch("([^:\n]+):([^\n]+)") do
    names[#names + 1] = category .. "/" .. name
  end
  table.sort(names)
  return names
end

-- Whether there is such a tracepoint, found out without reading the names of all.
function tracepoint.has(_, name)
  return name:find("^[^/.]+/[^/.]+$") ~= nil and tracefs.read(("events/%s/format"):format(name)) ~= nil
end

-- The type of an array, by its element, the number of elements and the size in bytes. `count` is of one of numbers.
local function array(element, count, name, size)
  if element == "char" then
    return { kind = "string", size = size }
  elseif (size == 4 or size == 16) and (element == "__u8" or element == "u8" or element == "unsigned char")
    and name:find("addr") then
    return { kind = "address", size = size }
  end
  return { kind = "bytes", size = size, count = count and size > count and size % count == 0 and count or nil }
end

-- The type of a field. Arguments of system calls are pointers of the process.
local function field_type(c, name, size, category)
  local element = c:match("^__[a-z]+_loc (.-) ?%[%]$")
  if element then
    return element:find("^char") and { kind = "string", size = TEXT } or { kind = "bytes", size = TEXT }
  elseif c:find("%[") then
    return array(c:match("^(.-) ?%["), math.tointeger(tonumber(c:match("%[(%d+)%]"))), name, size)
  elseif c:find("%*$") then
    return types.pointer(c, category == "syscalls" and "user" or "kernel")
  end
  return (c == "bool" or c == "_Bool") and size == 1 and { kind = "boolean" } or types.integer(c, name)
end

-- A field's C type and name.
local function split(declaration)
  local c, name, dimension = declaration:match("^%s*(.-)%s*([A-Za-z_0-9]+)(%[[^%]]*%])%s*$")
  if c then
    return c .. dimension, name
  end
  return declaration:match("^%s*(.-)%s*([A-Za-z_0-9]+)%s*$")
end

-- The fields of a tracepoint's record, in order; or nil and why not.
function tracepoint.arguments(_, place)
  local text, problem = tracefs.read(("events/%s/format"):format(place))
  if not text then
    return nil, problem
  end
  local category, list = place:match("^[^/]+"), {}
  for declaration, size in text:gmatch("field:([^;]+);%s*offset:%d+;%s*size:(%d+);") do
    local c, name = split(declaration)
    if c and not name:find("^common_") and size ~= "0" then
      local type = field_type(c, name, math.tointeger(tonumber(size)), category)
      local symbols = type.kind == "integer" and enumerators.symbols(text, name)
      if place:find("^raw_syscalls/") and name == "id" then
        type = { kind = "integer", meaning = "syscall" }
      elseif symbols then
        type = { kind = "integer", meaning = "symbolic " .. symbols }
      end
      list[#list + 1] = types.row(name, c, type)
    end
  end
  return list
end

function tracepoint.refusal()
  local here, why, code = features.prog_type("tracepoint")
  return here == false and code ~= "EPERM" and why or nil
end

return tracepoint

-- SPDX-License-Identifier: MIT
-- Keys and values as they are typed: numbers, text, tables of Lua's, bytes in hexadecimal, names of maps and programs.

local bpf = require("bpf")
local counted = require("bpf.base.number").counted
local frame = require("bpf.command.frame")
local target = require("bpf.command.target")

local map = bpf.map
local values = {}

local LARGEST <const> = "18446744073709551615"

-- A decimal integer that only unsigned numbers of 64 bits can be, in hexadecimal: Lua reads it as a float otherwise.
local function integer(digits)
  local n = 0
  if #digits < 19 or #digits > 20 or math.tointeger(tonumber(digits)) and math.type(tonumber(digits)) == "integer"
    or #digits == 20 and digits > LARGEST then
    return digits
  end
  for digit in digits:gmatch(".") do
    n = n * 10 + math.tointeger(tonumber(digit))
  end
  return ("0x%x"):format(n)
end

-- The text with its large integers as Lua reads them. Strings stay as they are.
local function with_integers(text)
  local parts, at = {}, 1
  if text:find("%[=*%[") then
    return text
  end
  while at <= #text do
    local first = text:find("[\"']", at) or #text + 1
    local last = first + 1
    while last <= #text and text:byte(last) ~= text:byte(first) do
      last = last + (text:byte(last) == 92 and 2 or 1) -- a backslash
    end
    parts[#parts + 1] = text:sub(at, first - 1):gsub("%f[0-9A-Za-z_.][0-9]+%f[^0-9A-Za-z_.]", integer)
    parts[#parts + 1] = text:sub(first, last)
    at = last + 1
  end
  return table.concat(parts)
end

-- What the text is as an expression of Lua's without variables; or nil.
local function evaluated(text)
  local chunk = load("return " .. with_integers(text), "=value", "t", {})
  local ok, value = pcall(chunk or error)
  if ok then
    return value
  end
end

-- The bytes that words of hexadecimal digits stand for, such as "01 ff", "01:ff", "01ff" or "0x1 0xff"; or nil.
function values.hex(text)
  local bytes = {}
  for word in text:gmatch("[^%s:]+") do
    local digits = word:gsub("^0[xX]", "")
    digits = #digits == 1 and "0" .. digits or digits
    if #digits % 2 ~= 0 or digits:find("[^0-9a-fA-F]") then
      return nil
    end
    bytes[#bytes + 1] = digits:gsub("..", function(pair) return string.char(tonumber(pair, 16)) end)
  end
  return table.concat(bytes)
end

-- Bytes, also those of a sequence of numbers.
local function bytes_of(text, size, what)
  local bytes = values.hex(text)
  if bytes and #bytes == size then
    return bytes
  end
  local value = evaluated(text)
  local listed, list = pcall(string.char, table.unpack(type(value) == "table" and value or {}))
  for _, candidate in ipairs { type(value) == "string" and value or "", listed and list or "", text } do
    if #candidate == size then
      return candidate
    end
  end
  frame.fail(("%s: %s expected, in hexadecimal as in '01 ff', not '%s'"):format(what, counted(size, "byte"), text))
end

-- By kind of layout. What a type doesn't take, the library refuses with a better message than this could have.
local READERS <const> = {
  bytes = function(text, layout, what)
    return bytes_of(text, layout.size, what)
  end,
  string = function(text)
    local value = text:find("^[\"'%[]") and evaluated(text)
    return type(value) == "string" and value or text
  end,
}

local function read(text, layout, what)
  local reader = layout and READERS[layout.kind]
  if reader then
    return reader(text, layout, what)
  end
  local value = evaluated(text)
  if value == nil then
    return text
  end
  return value
end

-- The context of a program: a table of its members, or bytes.
function values.context(text)
  local value = evaluated(text)
  if type(value) == "table" then
    return value
  end
  return values.hex(text) or frame.fail("--ctx takes a table or bytes in hexadecimal, not '" .. text .. "'")
end

-- A key of the map.
function values.key(m, text)
  local kind = map.types(m)
  return read(text, kind and kind:layout(), "key")
end

-- What the values of these maps are, by their type's name.
local OBJECTS <const> = { array_of_maps = "map", hash_of_maps = "map", prog_array = "prog" }

-- Maps whose values are references, which the library takes by name, number or table, whatever their type in C is.
local REFERENCES <const> = {
  cgroup_array = true, cpumap = true, devmap = true, devmap_hash = true, perf_event_array = true,
  reuseport_sockarray = true, sockhash = true, sockmap = true, xskmap = true,
}

-- A value of the map. Of per-CPU maps, one for all CPUs, or a sequence with one for each.
function values.value(m, text)
  local name = map.type(m)
  if OBJECTS[name] then
    return target.object(OBJECTS[name], text)
  end
  local _, kind = map.types(m)
  local layout = kind and not REFERENCES[name] and kind:layout() or nil
  if name:find("percpu", 1, true) and text:find("^%s*{") then
    return read(text, nil, "value")
  end
  return read(text, layout, "value")
end

return values

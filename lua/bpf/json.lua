-- SPDX-License-Identifier: MIT
--- Values as JSON. A module that is a function: `bpf.json(value)`.
-- @module bpf

local argument = require("bpf.base.argument")
local numbers = require("bpf.base.number")

local M = {}

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function text(s)
  return '"' .. s:gsub('[\0-\31"\\\127]', function(c)
    return ESCAPES[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

local function bytes(s)
  return "[" .. s:gsub(".", function(c)
    return c:byte() .. ","
  end):sub(1, -2) .. "]"
end

local function number(n)
  if math.type(n) == "integer" then
    return ("%d"):format(n)
  end
  local finite = n == n and n ~= math.huge and n ~= -math.huge
  return finite and numbers.format("%.17g", n) or "null"
end

local encode

-- A table of members, in the order of their declaration.
local function struct(value, layout, depth)
  local list = {}
  for _, member in ipairs(layout) do
    if value[member.name] ~= nil then
      list[#list + 1] = text(member.name) .. ":" .. encode(value[member.name], member, depth)
    end
  end
  return "{" .. table.concat(list, ",") .. "}"
end

local function array(value, element, depth)
  local list = {}
  for i, v in ipairs(value) do
    list[i] = encode(v, element, depth)
  end
  return "[" .. table.concat(list, ",") .. "]"
end

local function is_sequence(value)
  local n = 0
  for _ in pairs(value) do
    n = n + 1
  end
  return n == #value
end

local function object(value, depth)
  local names, of = {}, {}
  for k, v in pairs(value) do
    local name = math.type(k) == "float" and number(k) or tostring(k)
    if of[name] == nil then
      names[#names + 1] = name
    end
    of[name] = v
  end
  table.sort(names)
  for i, name in ipairs(names) do
    names[i] = text(name) .. ":" .. encode(of[name], nil, depth)
  end
  return "{" .. table.concat(names, ",") .. "}"
end

local function table_text(value, layout, depth)
  if depth > 100 then
    error("json: tables are nested too deeply, or contain themselves", 0)
  elseif layout and layout.kind == "struct" then
    return struct(value, layout, depth + 1)
  elseif layout and layout.kind == "array" then
    return array(value, layout.element, depth + 1)
  end
  return is_sequence(value) and array(value, nil, depth + 1) or object(value, depth + 1)
end

function encode(value, layout, depth)
  local kind = type(value)
  if kind == "table" then
    return table_text(value, layout, depth)
  elseif kind == "string" then
    return (layout and layout.kind == "bytes" or not utf8.len(value)) and bytes(value) or text(value)
  elseif kind == "number" then
    local unsigned = layout and layout.kind == "unsigned" and math.type(value) == "integer" and value < 0
    return unsigned and numbers.unsigned(value) or number(value)
  elseif kind == "boolean" then
    return tostring(value)
  end
  return value == nil and "null" or text(tostring(value))
end

--- Returns a value as JSON, in one line.
--
-- - Integers are numbers with all their digits; infinities and NaN are null.
-- - Text is a string. Bytes (`unsigned char[N]`, unknown types, and what is not UTF-8) are an array of numbers from 0
--   to 255.
-- - A table that is a sequence is an array, and so is an empty table. Other keys become strings, sorted.
--
-- What JSON has no form for, such as handles and functions, is the text that `tostring` returns.
-- @param value anything
-- @tparam ?table layout what `type:layout()` returns: then members are in declaration order, and unsigned integers of
--  64 bits are not negative
-- @treturn string
-- @usage
-- print(bpf.json { count = 3, comm = "lua", cpus = { 0, 1 } }) -- {"comm":"lua","count":3,"cpus":[0,1]}
function M.json(value, layout)
  if layout ~= nil then
    argument.check(2, "json", layout, "table")
  end
  return encode(value, layout, 0)
end

return M.json

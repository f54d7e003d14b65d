-- SPDX-License-Identifier: MIT
-- Single values as text: in one line, in a cell of a table, and Lua's tables over several lines.

local kinds = require("bpf.format.kinds")
local number = require("bpf.base.number")

local value_text = {}

local LONG = 64 -- bytes or elements shown of one value

function value_text.thousands(n)
  local text = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

local function hex(bytes)
  local text = bytes:sub(1, LONG):gsub(".", function(c)
    return ("%02x "):format(c:byte())
  end):sub(1, -2)
  return #bytes > LONG and ("%s … (%d bytes)"):format(text, #bytes) or text
end

local function quoted(s)
  if not utf8.len(s) then
    return hex(s)
  end
  return '"' .. s:gsub('[\0-\31"\\\127]', function(c)
    return c == "\n" and "\\n" or c:find('["\\]') and "\\" .. c or ("\\%03d"):format(c:byte())
  end) .. '"'
end

-- In the order in which people look for keys: numbers, then text.
function value_text.before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then
    return ta < tb
  elseif ta == "number" or ta == "string" then
    return a < b
  end
  return tostring(a) < tostring(b)
end

-- The same for values of a type: members count in the order of their declaration, and large unsigned integers aren't
-- negative.
function value_text.key_before(a, b, layout)
  if not layout or type(a) ~= type(b) then
    return value_text.before(a, b)
  elseif type(a) ~= "table" then
    local unsigned = layout.kind == "unsigned" and math.type(a) == "integer" and math.type(b) == "integer"
    return unsigned and math.ult(a, b) or not unsigned and value_text.before(a, b)
  end
  for i, member in ipairs(layout) do
    local x, y = a[member.name], b[member.name]
    if x ~= y and (type(x) ~= "table" or value_text.key_before(x, y, layout[i])
      or value_text.key_before(y, x, layout[i])) then
      return value_text.key_before(x, y, layout[i])
    end
  end
  return false
end

-- The keys of a table in that order.
function value_text.sorted_keys(t)
  local keys = {}
  for k in pairs(t) do
    keys[#keys + 1] = k
  end
  table.sort(keys, value_text.before)
  return keys
end

local cell

-- Whether a table says itself what its text is. Its metatable may be protected, as those of bpf and obj.maps are.
local function has_text(value)
  return not tostring(value):find("^table: ")
end

local function sequence(value, element, depth, formats)
  local list = {}
  for i = 1, math.min(#value, LONG) do
    list[i] = cell(value[i], element, depth, formats)
  end
  if #value > LONG then
    list[#list + 1] = ("… %s more"):format(value_text.thousands(#value - LONG))
  end
  return list
end

local function named(name, text)
  return ("%s = %s"):format(type(name) == "string" and name:find("^[A-Za-z_][A-Za-z0-9_]*$") and name
    or "[" .. cell(name) .. "]", text)
end

local function table_cell(value, layout, depth, formats)
  local list
  if depth > 8 then
    return "{…}"
  elseif layout and layout.kind == "struct" then
    list = {}
    for _, member in ipairs(layout) do
      local v = value[member.name]
      list[#list + 1] = v ~= nil and named(member.name, cell(v, member, depth, formats and formats[member.name]))
        or nil
    end
  else
    local element = layout and layout.kind == "array" and layout.element or nil
    list = sequence(value, element, depth, formats)
    for _, k in ipairs(value_text.sorted_keys(value)) do
      if not (math.type(k) == "integer" and k >= 1 and k <= #value) then
        list[#list + 1] = named(k, cell(value[k], nil, depth))
      end
    end
  end
  return #list == 0 and "{}" or "{ " .. table.concat(list, ", ") .. " }"
end

-- Whether a text is bytes: those of an array, and of a map's key that no table stands for.
local function is_bytes(value, layout)
  local kind = layout and layout.kind
  return kind == "bytes" or (kind == "struct" or kind == "array") and value:find("[\0-\31\127]") ~= nil
end

-- What a format of a script's returned.
local function format_text(formatted)
  return formatted == nil and "" or type(formatted) == "number" and number.text(formatted) or tostring(formatted)
end

-- A value in one line; layout is what type:layout gives for it. A value may be another than the layout says: addresses
-- are text, interfaces are names. `formats` is a function that makes text of the value, or such functions by the names
-- of its members.
function cell(value, layout, depth, formats)
  depth = (depth or 0) + 1
  local kind = layout and layout.kind
  if type(formats) == "function" then
    local large = kind == "unsigned" and kinds.is_quantity(formats) and math.type(value) == "integer" and value < 0
    return format_text(formats(large and value + 0x1p64 or value))
  elseif type(value) == "table" and not has_text(value) then
    return table_cell(value, layout, depth, formats)
  elseif type(value) == "string" then
    return is_bytes(value, layout) and hex(value) or quoted(value)
  elseif math.type(value) == "integer" then
    return layout and layout.enumerators and layout.enumerators[value]
      or kind == "unsigned" and value < 0 and number.unsigned(value) or tostring(value)
  elseif type(value) == "number" then
    return number.text(value)
  end
  return tostring(value)
end

value_text.cell = cell

-- The same in a column of its own: text without quotes.
function value_text.column_cell(value, layout, formats)
  local plain = type(value) == "string" and not is_bytes(value, layout) and utf8.len(value)
  return value == nil and "" or plain and type(formats) ~= "function" and value or cell(value, layout, nil, formats)
end

-- A column of values as hist.table wants it: numbers are flushed right.
function value_text.column(name, field, layout, format)
  local kind = layout and layout.kind
  local right = (kind == "unsigned" or kind == "signed" or kind == "float") and not layout.enumerators
  if type(format) == "function" then
    right = kinds.is_number(format)
  end
  return { name = name, field = field, align = right and "right" or "left" }
end

-- A table over several lines where it doesn't fit into one.
function value_text.lines(value, width, indent, depth)
  local line = cell(value)
  if type(value) ~= "table" or depth > 8 or utf8.len(line) and utf8.len(line) + #indent <= width
    or has_text(value) then
    return line
  end
  local list, inner = {}, indent .. "  "
  for _, k in ipairs(value_text.sorted_keys(value)) do
    local text = value_text.lines(value[k], width, inner, depth + 1)
    list[#list + 1] = inner .. (math.type(k) == "integer" and k >= 1 and k <= #value and text or named(k, text)) .. ","
  end
  return "{\n" .. table.concat(list, "\n") .. "\n" .. indent .. "}"
end

return value_text

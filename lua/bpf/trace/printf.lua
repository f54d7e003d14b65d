-- SPDX-License-Identifier: MIT
-- Formats of C's printf, for values that programs have sent.

local printf = {}

local function fail(format, ...)
  error({ trace = format:format(...) }, 0)
end

-- A number above the greatest signed one is a quotient by ten, and a digit.
local function unsigned(spec, n)
  if n >= 0 then
    return ("%" .. spec .. "d"):format(n)
  end
  local tens = (n >> 1) // 5
  return ("%" .. spec:gsub("[ +#0]", "", 1) .. "s"):format(("%d%d"):format(tens, n - tens * 10))
end

local function number(conversion)
  return function(spec, n) return ("%" .. spec .. conversion):format(n) end
end

-- The text of a value, by the conversion: it gets flags and width, the value as a number, and as text.
local CONVERSIONS <const> = {
  d = number("d"), i = number("d"), x = number("x"), X = number("X"), o = number("o"), u = unsigned,
  c = function(spec, n) return ("%" .. spec .. "s"):format(string.char(n & 0xff)) end,
  p = function(spec, n) return ("%" .. spec .. "s"):format(("0x%x"):format(n)) end,
  s = function(spec, _, text) return ("%" .. spec .. "s"):format(text()) end,
}
CONVERSIONS.r = CONVERSIONS.s

-- Parts a format: a sequence of texts, and of { spec, conversion } for the values. Ends with a message for what C has
-- and this hasn't.
function printf.read(text)
  local parts, at, count = {}, 1, 0
  while at <= #text do
    local plain = text:match("^[^%%]+", at)
    local spec, conversion, stop = text:match("^%%([-+ #0]*[0-9]*%.?[0-9]*)[hljzt]*(.)()", at)
    if plain then
      parts[#parts + 1], at = plain, at + #plain
    elseif conversion == "%" then
      parts[#parts + 1], at = "%", stop
    elseif not conversion or not CONVERSIONS[conversion] then
      fail("printf: '%s' is no conversion (there are %%d %%u %%x %%X %%o %%c %%p %%s %%r %%%%)", text:sub(at, at + 4))
    elseif spec:find("[0-9][0-9][0-9]") then
      fail("printf: '%%%s%s': 99 is the greatest width", spec, conversion)
    else
      count = count + 1
      parts[#parts + 1], at = { spec = spec, conversion = conversion }, stop
    end
  end
  return parts, count
end

-- Whether a conversion takes numbers only.
function printf.is_number(conversion)
  return conversion ~= "s" and conversion ~= "r"
end

-- The conversions of a format, in order.
function printf.conversions(parts)
  local list = {}
  for _, part in ipairs(parts) do
    if type(part) == "table" then
      list[#list + 1] = part.conversion
    end
  end
  return list
end

-- The text of values by a format. `text(n)` gives that of the n-th value, for %s.
function printf.text(parts, values, text)
  local list, n = {}, 0
  for i, part in ipairs(parts) do
    if type(part) == "table" then
      n = n + 1
      local k, value = n, values[n]
      value = value == true and 1 or value or 0
      list[i] = CONVERSIONS[part.conversion](part.spec, value, function() return text(k) end)
    else
      list[i] = part
    end
  end
  return table.concat(list)
end

return printf

-- SPDX-License-Identifier: MIT
-- Formats of C's printf, for values that programs have sent.

local counted = require("bpf.base.number").counted
local fail = require("bpf.trace.failure").wrong

local printf = {}

-- A number above the greatest signed one is a quotient by ten, and a digit.
local function unsigned(spec, n)
  if n >= 0 then
    return ("%" .. spec .. "d"):format(n)
  end
  local tens = (n >> 1) // 5
  return ("%" .. spec:gsub("[ +#0]", "", 1) .. "s"):format(("%d%d"):format(tens, n - tens * 10))
end

-- The rows of conversions: what Lua's format has in their place, and a function that gives its value: of flags and
-- width, the value as a number, a function that gives its text, and the value's place. Numbers need none.
local CONVERSIONS <const> = {
  d = { "d" }, i = { "d" }, x = { "x" }, X = { "X" }, o = { "o" },
  u = { "", unsigned },
  c = { "s", function(_, n) return string.char(n & 0xff) end },
  p = { "s", function(_, n) return ("0x%x"):format(n) end },
  s = { "s", function(_, _, text, k) return text(k) end },
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
      fail("printf: '%s' is no conversion (there are %%d %%u %%x %%X %%o %%c %%p %%s %%r %%%%)",
        text:match("^%%[^A-Za-z\n]*[A-Za-z]?", at))
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

-- What a format does, as a function of values and of `text(n)`, which gives the text of the n-th value, for %s.
function printf.compile(parts)
  local pieces, makers, specs, count = {}, {}, {}, 0
  for i, part in ipairs(parts) do
    if type(part) == "table" then
      local letter, make = table.unpack(CONVERSIONS[part.conversion])
      count = count + 1
      makers[count], specs[count] = make or false, part.spec
      pieces[i] = letter == "" and "%s" or "%" .. part.spec .. letter
    else
      pieces[i] = part:gsub("%%", "%%%%")
    end
  end
  local format, list = table.concat(pieces), {}
  return function(values, text)
    for n = 1, count do
      local value, make = values[n], makers[n]
      value = value == true and 1 or value or 0
      list[n] = make and make(specs[n], value, text, n) or value
    end
    return format:format(table.unpack(list, 1, count))
  end
end

-- The text of values by a format.
function printf.text(parts, values, text)
  return printf.compile(parts)(values, text)
end

-- The text of values by a format of C's or of Lua's, for plain Lua of the tool.
function printf.plain(format, ...)
  if type(format) ~= "string" then
    fail("printf: a format is expected")
  end
  local count, values = 0, table.pack(...)
  local form = format:gsub("%%([-+ #0]*[0-9]*%.?[0-9]*)[hljzt]*(.)", function(spec, conversion)
    if conversion == "%" then
      return "%%"
    end
    count = count + 1
    if conversion == "p" or conversion == "c" then
      values[count] = (conversion == "p" and "0x%x" or "%c"):format(values[count])
    end
    local own = { u = "d", r = "s", p = "s", c = "s", i = "d" }
    return "%" .. spec .. (own[conversion] or conversion)
  end)
  if count ~= values.n then
    fail("printf: the format has %s, and %s behind it", counted(count, "conversion"),
      counted(values.n, "value stands", "values stand"))
  end
  return form:format(table.unpack(values, 1, values.n))
end

return printf

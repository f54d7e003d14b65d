-- SPDX-License-Identifier: MIT
-- Text of numbers, the same in every locale: string.format and tostring write the locale's decimal point, which readers
-- of JSON and of Prometheus' formats refuse.

local number = {}

-- The text of a number with a point in it, whatever the locale has there: one character, or several bytes.
function number.point(text)
  return text:find(".", 1, true) and text or (text:gsub("[^0-9A-Za-z+-]+", "."))
end

-- What string.format makes of a number, by a conversion without padding.
function number.format(format, n)
  return number.point(format:format(n))
end

-- What tostring makes of a number in the locale "C".
function number.text(n)
  return math.type(n) == "integer" and tostring(n) or number.point(tostring(n))
end

-- A number of things: "1 probe", "2 probes". What isn't made plural by an s is given as well.
function number.counted(n, one, many)
  return ("%d %s"):format(n, n == 1 and one or many or one .. "s")
end

-- An integer as C's unsigned types of 64 bits mean it.
function number.unsigned(n)
  local tens = (n >> 1) // 5
  return n < 0 and ("%d%d"):format(tens, n - tens * 10) or ("%d"):format(n)
end

return number

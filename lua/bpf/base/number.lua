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
  return number.point(tostring(n))
end

return number

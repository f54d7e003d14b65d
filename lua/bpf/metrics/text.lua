-- SPDX-License-Identifier: MIT
-- What metrics are written in: numbers and label values of Prometheus' two text formats, and text in chunks.

local number = require("bpf.base.number")
local point = number.point

local text = {}

-- Numbers -------------------------------------------------------------------------------------------------------------

-- The shortest digits that read as the same number: "1.5", "1e-05", "1.048576e+06", "2.0".
local function float(x)
  if x ~= x then
    return "NaN"
  elseif x == math.huge or x == -math.huge then
    return x > 0 and "+Inf" or "-Inf"
  end
  local digits
  for precision = 14, 16 do
    digits = point(("%." .. precision .. "e"):format(x))
    if tonumber(digits) == x then
      break
    end
  end
  local mantissa, exponent = digits:match("^(.-)%.?0*e(.*)$")
  local e = math.tointeger(tonumber(exponent))
  if e < -4 or e >= 6 then
    return mantissa .. "e" .. exponent
  end
  local plain = ("%%.%df"):format(math.max(#mantissa:gsub("[-.]", "") - 1 - e, 0)):format(x)
  plain = point(plain)
  return plain:find(".", 1, true) and plain or plain .. ".0"
end

text.float = float

-- A sample's value. Counters have no sign.
function text.number(n, is_counter)
  if math.type(n) == "float" then
    return float(n)
  elseif n < 0 and is_counter then
    return number.unsigned(n)
  end
  return ("%d"):format(n)
end

-- A number as a float, where C means it to be unsigned.
function text.to_float(n)
  return math.type(n) == "integer" and n < 0 and n + 0x1p64 or n + 0.0
end

-- Strings -------------------------------------------------------------------------------------------------------------

local ESCAPES = { ["\\"] = "\\\\", ['"'] = '\\"', ["\n"] = "\\n" }

-- The same with bytes that are no UTF-8, and NUL, as \xff and the like.
local function valid(s)
  local parts, at = {}, 1
  s = s:gsub("%z", "\\x00")
  while true do
    local _, bad = utf8.len(s, at)
    if not bad then
      parts[#parts + 1] = s:sub(at)
      return table.concat(parts)
    end
    parts[#parts + 1] = s:sub(at, bad - 1)
    parts[#parts + 1] = ("\\x%02x"):format(s:byte(bad))
    at = bad + 1
  end
end

-- The text between the quotes of a label.
function text.label(s)
  if s:find('[%z\\"\n\128-\255]') then
    if not utf8.len(s) or s:find("%z") then
      s = valid(s)
    end
    s = s:gsub('[\\"\n]', ESCAPES)
  end
  return s
end

-- What a HELP line says.
function text.help(s, quotes)
  return (valid(s):gsub(quotes and '[\\"\n]' or "[\\\n]", ESCAPES))
end

-- Chunks --------------------------------------------------------------------------------------------------------------

text.CHUNK = 32 * 1024 -- bytes, at most

local Writer = {}
Writer.__index = Writer

-- Collects text and hands it to the sink in chunks.
function text.writer(sink)
  return setmetatable({ sink = sink, parts = {}, n = 0, bytes = 0 }, Writer)
end

-- Gives a chunk to the sink, which refuses the rest by `nil, message, code`.
function Writer:send(chunk)
  self.sending = true -- an error from now on is the sink's
  local ok, message, code = self.sink(chunk)
  if not ok and message then
    self.refused = { message, code }
    error(self.refused, 0)
  end
  self.sending = false
end

function Writer:flush()
  local parts, n = self.parts, self.n
  if n == 0 then
    return
  end
  local all = table.concat(parts, "", 1, n)
  self.n, self.bytes = 0, 0
  for at = 1, #all, text.CHUNK do
    self:send(#all <= text.CHUNK and all or all:sub(at, at + text.CHUNK - 1))
  end
end

function Writer:add(line)
  local bytes = self.bytes + #line
  if bytes > text.CHUNK then
    self:flush()
    bytes = #line
  end
  local n = self.n + 1
  self.parts[n], self.n, self.bytes = line, n, bytes
end

return text

-- SPDX-License-Identifier: MIT
-- Numbers in three digits, with a suffix or a unit.

local number = require("bpf.base.number")

local units = {}

-- Three digits: 9.99, 99.9, 999.
local function digits(n)
  local magnitude = math.abs(n)
  return number.format(magnitude < 9.995 and "%.2f" or magnitude < 99.95 and "%.1f" or "%.0f", n)
end

-- Divides by `step` until the number is short, and tells how often. Rounds as `digits` will, so that it never yields
-- "1000k" for 999999.
local function scale(n, step, count)
  local i = 1
  while i < count and math.abs(n) >= step - 0.5 do
    n = n / step
    i = i + 1
  end
  return n, i
end

-- The number with its suffix; with `exact`, whole ones get no decimals.
local function scaled(n, step, suffixes, exact)
  n = n == math.mininteger and n + 0.0 or n -- it has no absolute value
  local value, i = scale(n, step, #suffixes)
  if i == 1 and n % 1 == 0 then
    return ("%.0f"):format(n) .. suffixes[1]
  elseif exact and value % 1 == 0 then
    return ("%.0f"):format(value) .. suffixes[i]
  end
  return digits(value) .. suffixes[i]
end

local function printable(n) -- not an infinity, no NaN
  return n == n and n ~= math.huge and n ~= -math.huge
end

local SI = { "", "k", "M", "G", "T", "P", "E" }
local BINARY = { "", "K", "M", "G", "T", "P", "E" }
local TIMES = { " ns", " us", " ms", " s" }
local BYTES = { " B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB" }

-- 999, "12.3k", "4.56M".
function units.count(n)
  return printable(n) and scaled(n, 1000, SI) or number.text(n)
end

-- "512 B", "4 KiB", "1.50 MiB".
function units.bytes(n)
  return printable(n) and scaled(n, 1024, BYTES, true) or number.text(n) .. " B"
end

-- Nanoseconds: "850 ns", "4.50 ms", "12.3 s", "2m 05s", "3h 07m".
function units.duration(ns)
  if not printable(ns) then
    return number.text(ns) .. " ns"
  elseif math.abs(ns + 0.0) < 99.95e9 then
    return scaled(ns, 1000, TIMES, true)
  end
  local sign, s = ns < 0 and "-" or "", math.floor(math.abs(ns + 0.0) / 1e9 + 0.5)
  if s < 3600 then
    return ("%s%dm %02ds"):format(sign, s // 60, s % 60)
  end
  return ("%s%dh %02dm"):format(sign, s // 3600, s // 60 % 60)
end

local NANOSECONDS <const> = { ns = 1, us = 1e3, ms = 1e6, s = 1e9 }

-- A number with any unit after it, powers of two in short: "1K calls".
function units.with(n, unit)
  if NANOSECONDS[unit] then
    return units.duration(unit == "ns" and n or n * NANOSECONDS[unit])
  elseif unit == "B" then
    return units.bytes(n)
  end
  return scaled(n, 1024, BINARY, true) .. (unit and unit ~= "" and " " .. unit or "")
end

return units

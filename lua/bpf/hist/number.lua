-- SPDX-License-Identifier: MIT
--- Numbers with a suffix or a unit.
-- @module bpf.hist

local argument = require("bpf.base.argument")
local units = require("bpf.base.units")

local number = {}

--- Returns a number in three digits with a decimal suffix: 999, "12.3k", "4.56M".
-- @tparam number n
-- @treturn string
-- @usage
-- print(hist.number(12345)) -- 12.3k
function number.number(n)
  argument.check(1, "number", n, "number")
  return units.count(n)
end

--- Returns a number of bytes in three or four digits with a binary unit: "512 B", "4 KiB", "1.50 MiB".
-- @tparam number n
-- @treturn string
-- @usage
-- print(hist.bytes(4096)) -- 4 KiB
function number.bytes(n)
  argument.check(1, "bytes", n, "number")
  return units.bytes(n)
end

--- Returns a time in three digits with a unit: "850 ns", "1 us", "4.50 ms", "12.3 s"; from 100 s on "2m 05s", "3h 07m".
-- @tparam number ns nanoseconds
-- @treturn string
-- @usage
-- print(hist.time(4500000)) -- 4.50 ms
function number.time(ns)
  argument.check(1, "time", ns, "number")
  return units.duration(ns)
end

return number

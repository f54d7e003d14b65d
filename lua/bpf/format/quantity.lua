-- SPDX-License-Identifier: MIT
--- Numbers as text: counts, sizes, times.
-- @module bpf.format

local core = require("bpf.core")
local argument = require("bpf.base.argument")
local error = argument.error
local number = require("bpf.base.number")
local units = require("bpf.base.units")

local quantity = {}

--- Returns a number in three digits with a decimal suffix: 999, "12.3k", "4.56M". It is `hist.number`.
-- @tparam number n
-- @treturn string
-- @usage
-- print(bpf.format.count(12345)) -- 12.3k
function quantity.count(n)
  argument.check(1, "count", n, "number")
  return units.count(n)
end

--- Returns a number of bytes with a binary unit: "512 B", "4 KiB", "1.50 MiB". It is `hist.bytes`.
-- @tparam number n
-- @treturn string
-- @usage
-- print(bpf.format.bytes(4096)) -- 4 KiB
function quantity.bytes(n)
  argument.check(1, "bytes", n, "number")
  return units.bytes(n)
end

--- Returns a time span in three digits with a unit: "850 ns", "4.50 ms", "12.3 s", "2m 05s". It is `hist.time`.
-- @tparam number ns nanoseconds
-- @treturn string
-- @usage
-- print(bpf.format.duration(4500000)) -- 4.50 ms
function quantity.duration(ns)
  argument.check(1, "duration", ns, "number")
  return units.duration(ns)
end

local CLOCKS <const> = { monotonic = true, boottime = true, realtime = true, tai = true }

--- Returns the time of day, by this machine's time zone, of an event's time stamp: "12:34:56.789".
-- @tparam integer ns nanoseconds, as `bpf_ktime_get_ns` has them
-- @tparam ?string clock the clock of the time stamp, as of `bpf.clock`: "boottime" for `bpf_ktime_get_boot_ns`
-- @treturn string
-- @usage
-- print(bpf.format.time(bpf.clock())) -- for example 12:34:56.789
-- @see bpf.walltime
function quantity.time(ns, clock)
  if clock ~= nil and not CLOCKS[clock] then
    error(("time: clock '%s' is unknown (one of: boottime, monotonic, realtime, tai)"):format(tostring(clock)), 2)
  end
  local seconds, rest = core.walltime(argument.integer(1, "time", ns), clock)
  return os.date("%H:%M:%S", seconds) .. (".%03d"):format(rest // 1000000)
end

--- Returns an integer in base 16 as text, or the bytes of a string as pairs of digits: "0x1f", "00ff12".
-- @tparam integer|string value
-- @treturn string
-- @usage
-- print(bpf.format.hex(31), bpf.format.hex("\0\xff\x12")) -- 0x1f   00ff12
function quantity.hex(value)
  if type(value) == "string" then
    return (value:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  end
  return ("0x%x"):format(argument.integer(1, "hex", value))
end

--- Returns an integer as text, unsigned: a negative integer of Lua is taken for an unsigned one of 64 bits.
-- @tparam integer value
-- @treturn string
-- @usage
-- print(bpf.format.unsigned(-1)) -- 18446744073709551615
function quantity.unsigned(value)
  return (number.unsigned(argument.integer(1, "unsigned", value)))
end

return quantity

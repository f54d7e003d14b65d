-- SPDX-License-Identifier: MIT
-- What columns know about the formats.

local values = require("bpf.format.values")

local kinds = {}

-- The formats by name: how wide their columns are, and what their values are.
-- - quantity: a number that CSV and JSON have as it is
-- - digits: text that is a number in CSV and JSON
-- - whole: text that is never cut, because a part of it would be another value
-- - text: the rest
local KINDS <const> = {
  bytes = { 8, "quantity" }, count = { 6, "quantity" }, duration = { 8, "quantity" },
  port = { 5, "digits" }, unsigned = { 10, "digits" },
  hex = { 18, "whole" }, ip = { 15, "whole" }, ipv4 = { 15, "whole" }, ipv4_host = { 15, "whole" },
  ipv6 = { 25, "whole" }, mac = { 17, "whole" }, time = { 12, "whole" },
  cgroup = { 24, "text" }, errno = { 12, "text" }, interface = { 15, "text" }, process = { 15, "text" },
  protocol = { 8, "text" }, result = { 12, "text" }, signal = { 9, "text" }, symbol = { 24, "text" },
  tcp_state = { 12, "text" }, user = { 12, "text" },
}
local PLAIN <const> = { 8, "text" }


-- How wide the column of a format is, and the kind of its values; `name` may be that of a format, or anything else.
function kinds.of(name)
  return table.unpack(KINDS[name] or PLAIN)
end

function kinds.known(name)
  return KINDS[name] ~= nil
end

local numbers, quantities = {}, {} -- by function
for name, kind in pairs(KINDS) do
  quantities[values[name]] = kind[2] == "quantity" or nil
  numbers[values[name]] = kind[2] == "quantity" or kind[2] == "digits" or nil
end

-- Whether a function is a format of numbers, which are flushed right.
function kinds.is_number(fn)
  return numbers[fn] == true
end

-- Whether a function is a format of quantities, whose differences make sense.
function kinds.is_quantity(fn)
  return quantities[fn] == true
end

return kinds

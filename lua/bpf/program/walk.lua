-- SPDX-License-Identifier: MIT
-- map.scan in the script, for maps and kernels that have no walk of the kernel's.
local core = require("bpf.core")

local error = require("bpf.base.argument").error
local map = core.map

local walk = {}

local NUMBERS = { [true] = 1, [false] = 0 }

-- Adds the results of a call to the sums. Returns how many sums there are.
local function add(sums, count, ...)
  local given = select("#", ...)
  for n = 1, given do
    local v = (select(n, ...))
    local number = math.type(v) == "integer" and v or NUMBERS[v] or v == nil and 0
    if not number then
      error(("map.scan: result %d is a %s: integers and booleans are added up"):format(n, math.type(v) or type(v)), 4)
    end
    sums[n] = (sums[n] or 0) + number
  end
  return math.max(count, given)
end

-- As map.scan: what the function changes in a struct is written back. `count` is how many results it has.
function walk.scan(m, fn, count)
  local _, value_type = map.types(m)
  local sums = {}
  for n = 1, count do
    sums[n] = 0
  end
  for k, v in pairs(m) do
    local before = type(v) == "table" and value_type:encode(v)
    count = add(sums, count, fn(k, v))
    if before and value_type:encode(v) ~= before then
      map.update(m, k, v, "exist")
    end
  end
  return table.unpack(sums, 1, count)
end

return walk

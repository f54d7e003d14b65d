-- SPDX-License-Identifier: MIT
-- map.scan in the script, for maps and kernels that have no walk of the kernel's.
local core = require("bpf.core")

local map = core.map

local walk = {}

-- Adds the results of a call to the sums. Returns how many there were.
local function add(sums, count, ...)
  local given = select("#", ...)
  for n = 1, given do
    local v = (select(n, ...))
    sums[n] = (sums[n] or 0) + (v == true and 1 or v or 0)
  end
  return math.max(count, given)
end

-- As map.scan: what the function changes in a struct is written back.
function walk.scan(m, fn)
  local _, value_type = map.types(m)
  local sums, count = {}, 0
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

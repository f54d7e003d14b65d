-- SPDX-License-Identifier: MIT
-- What tables have, in an order that is always the same, as that of `pairs` isn't.
local sorted = {}

--- The keys of a table, which can be compared with each other, in ascending order.
function sorted.keys(t)
  local list = {}
  for key in pairs(t) do
    list[#list + 1] = key
  end
  table.sort(list)
  return list
end

return sorted

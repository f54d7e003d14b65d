-- SPDX-License-Identifier: MIT
-- Tables of symbols: addresses in ascending order, and beside each a name and a size (false: up to the next symbol).

local sorted = {}
sorted.__index = sorted

function sorted.new()
  return setmetatable({ from = {}, name = {}, size = {} }, sorted)
end

function sorted:add(address, name, size)
  local n = #self.from + 1
  self.from[n], self.name[n], self.size[n] = address, name, size or false
end

-- The number of the symbol that holds the address, or nil.
function sorted:entry(address)
  local from, low, high = self.from, 1, #self.from
  if high == 0 or math.ult(address, from[1]) then
    return nil
  end
  while low < high do
    local middle = (low + high + 1) // 2
    if math.ult(address, from[middle]) then
      high = middle - 1
    else
      low = middle
    end
  end
  local size = self.size[low] or 0
  if size > 0 and address - from[low] >= size then
    return nil
  end
  return low
end

-- The frames of an address, as bpf.dwfl gives them: none, or one.
function sorted:frames(address)
  local i = self:entry(address)
  return { i and { name = self.name[i], offset = address - self.from[i] } }
end

-- The same in ascending order. Of several symbols with one address the first one stays.
function sorted:sorted()
  local from, order, ascending = self.from, {}, true
  for i = 1, #from do
    order[i] = i
    ascending = ascending and (i == 1 or math.ult(from[i - 1], from[i]))
  end
  if ascending then
    return self
  end
  table.sort(order, function(a, b)
    local x, y = from[a], from[b]
    if x == y then
      return a < b
    end
    return x ~ math.mininteger < y ~ math.mininteger -- math.ult, at a third of its time
  end)
  local t, last = sorted.new(), nil
  for _, i in ipairs(order) do
    if from[i] ~= last then
      last = from[i]
      t:add(last, self.name[i], self.size[i])
    end
  end
  return t
end

return sorted

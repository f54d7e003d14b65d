-- SPDX-License-Identifier: MIT
-- Names that somebody may have meant, for messages about those that don't exist.
local near = {}

local MOST <const> = 4

-- How many letters have to be inserted, removed, replaced or swapped with the next to make one of the other.
local function distance(a, b)
  local before, row
  local now = {}
  for j = 0, #b do
    now[j] = j
  end
  for i = 1, #a do
    before, row, now = row, now, { [0] = i }
    for j = 1, #b do
      local changed = row[j - 1] + (a:byte(i) == b:byte(j) and 0 or 1)
      now[j] = math.min(changed, row[j] + 1, now[j - 1] + 1)
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        now[j] = math.min(now[j], before[j - 2] + 1)
      end
    end
  end
  return now[#b]
end

-- Whether letters of the longer one in their order make the shorter one, from the first on: cnt of count.
local function abbreviates(short, long)
  if #short > #long then
    short, long = long, short
  end
  local at = short:sub(1, 1) == long:sub(1, 1) and #short > 2 and #long <= 2 * #short + 2 and 1
  for letter in short:gmatch(".") do
    at = at and long:find(letter, at, true)
    at = at and at + 1
  end
  return at and true or false
end

-- How far apart they are, or nil. A name that the other is part of is near.
local function apart(name, other)
  if #name > 2 and (other:find(name, 1, true) or name:find(other, 1, true) and #other > 2) then
    return 1
  end
  local d = distance(name:lower(), other:lower())
  return d <= math.max(1, #name // 3) and d or nil
end

-- Those of a list that are near the name, the nearest first; where none is, those that abbreviate it or that it does.
function near.names(name, list)
  local found, far = {}, {}
  for _, other in ipairs(list) do
    far[other] = apart(name, other)
    if far[other] then
      found[#found + 1] = other
    end
  end
  for _, other in ipairs(found[1] and {} or list) do
    if abbreviates(name:lower(), other:lower()) then
      found[#found + 1], far[other] = other, distance(name:lower(), other:lower())
    end
  end
  table.sort(found, function(a, b) return far[a] < far[b] or far[a] == far[b] and a < b end)
  return table.move(found, 1, math.min(#found, MOST), 1, {})
end

return near

-- SPDX-License-Identifier: MIT
-- Patterns of names, with the wildcards *, ? and [...] of shells.

local pattern = {}

local SET <const> = "%[([!^]?)([^%]]+)%]"

function pattern.is_wild(text)
  return text:find("[*?]") ~= nil or text:find(SET) ~= nil
end

local function outside_sets(text)
  return (text:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*+", ".*"):gsub("%?", "."))
end

-- A pattern of Lua that fits the same names.
local function translate(text)
  local parts, from = {}, 1
  for start, negated, inner, stop in text:gmatch("()" .. SET .. "()") do
    parts[#parts + 1] = outside_sets(text:sub(from, start - 1))
    parts[#parts + 1] = ("[%s%s]"):format(negated ~= "" and "^" or "", inner:gsub("[%%%[^]", "%%%0"))
    from = stop
  end
  return "^" .. table.concat(parts) .. outside_sets(text:sub(from)) .. "$"
end

-- A function that tells whether a name fits. Without wildcards, only the very name does. Names may have brackets of
-- their own, as those of Go's generic functions.
function pattern.matcher(text)
  if text:find("^%*+$") then
    return function() return true end
  elseif not pattern.is_wild(text) then
    return function(name) return name == text end
  end
  local translated = translate(text)
  return function(name) return name == text or name:find(translated) ~= nil end
end

return pattern

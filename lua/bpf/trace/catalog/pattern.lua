-- SPDX-License-Identifier: MIT
-- Patterns of names, with the wildcards * and ?.

local pattern = {}

function pattern.is_wild(text)
  return text:find("[*?]") ~= nil
end

-- A function that tells whether a name fits. Without wildcards, only the very name does.
function pattern.matcher(text)
  if text:find("^%*+$") then
    return function() return true end
  elseif not pattern.is_wild(text) then
    return function(name) return name == text end
  end
  local inner = text:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*+", ".*"):gsub("%?", ".")
  local anchored = "^" .. inner .. "$"
  return function(name) return name:find(anchored) ~= nil end
end

return pattern

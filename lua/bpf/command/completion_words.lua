-- SPDX-License-Identifier: MIT
-- Which words of commands a shell offers.

-- The words that may come first or, behind the name of a kind, second: a sequence, each once.
return function(list, kind)
  local words, seen = {}, {}
  for _, one in ipairs(list) do
    local word = not kind and one.first or kind == "map" and one.only_map and one.second == "" and one.first
      or one.first == kind and one.second ~= "" and one.second
    if word and not seen[word] then
      seen[word] = true
      words[#words + 1] = word
    end
  end
  return words
end

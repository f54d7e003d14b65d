-- SPDX-License-Identifier: MIT
-- The texts of calls in a body, which are the titles of what gathers without a name.
local titles = {}

-- Behind a string, a comment or a long bracket that begins at a place of the text; nil if none does.
local function behind_quoted(text, at)
  local comment = text:match("^%-%-()", at)
  local level, inside = text:match("^%[(=*)%[()", comment or at)
  if level then
    return text:match("%]" .. level .. "%]()", inside) or #text + 1
  elseif comment then
    return text:match("\n()", comment) or #text + 1
  end
  local quote = text:match("^[\"']", at)
  if not quote then
    return nil
  end
  at = at + 1
  while at <= #text and text:sub(at, at) ~= quote do
    at = at + (text:sub(at, at) == "\\" and 2 or 1)
  end
  return at + 1
end

local CLOSES = { ["("] = ")", ["{"] = "}" }

-- Behind the argument of a call that begins at a place of the text, or nil.
local function behind_argument(text, at)
  local open = text:sub(at, at)
  local close = CLOSES[open]
  if not close then
    return behind_quoted(text, at)
  end
  local depth = 0
  while at <= #text do
    local c = text:sub(at, at)
    local quoted = behind_quoted(text, at)
    depth = depth + (c == open and 1 or c == close and -1 or 0)
    at = quoted or at + 1
    if depth == 0 then
      return at
    end
  end
  return nil
end

-- The calls of functions that have names of a set: { name → { text… } }, in the order of the text.
function titles.of(text, names)
  local found, at = {}, 1
  while at <= #text do
    local word, after = text:match("^([A-Za-z_][A-Za-z_0-9]*)%s*()", at)
    local quoted = not word and behind_quoted(text, at)
    if word and names[word] and not text:sub(1, at - 1):find("[.:]%s*$") then
      local to = behind_argument(text, after)
      if to then
        found[word] = found[word] or {}
        table.insert(found[word], (text:sub(at, to - 1):gsub("%s+", " ")))
      end
    end
    at = quoted or word and after or at + 1
  end
  return found
end

return titles

-- SPDX-License-Identifier: MIT
-- What stands in a body: the texts of calls, which are the titles of what gathers without a name, and those of keys and
-- values, after which columns are called.
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

local CLOSES = { ["("] = ")", ["{"] = "}", ["["] = "]" }

-- Behind the argument of a call, or the index, that begins at a place of the text, or nil.
local function behind_argument(text, at)
  local open = text:sub(at, at)
  local close, after = CLOSES[open], behind_quoted(text, at)
  if after or not close then
    return after
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

-- Calls fn(word, from, after) for each name in a text that is no member, and stands in no string and no comment. What
-- follows is at `after`.
local function each_word(text, fn)
  local at, member = 1, false
  while at <= #text do
    local word, after = text:match("^([A-Za-z_][A-Za-z_0-9]*)%s*()", at)
    local sign = not word and text:match("^[.:]%s*()", at)
    if word and not member then
      fn(word, at, after)
    end
    at, member = after or sign or behind_quoted(text, at) or at + 1, sign
  end
end

-- The calls of functions that have names of a set: { name → { text… } }, in the order of the text.
function titles.of(text, names)
  local found = {}
  each_word(text, function(word, from, after)
    local to = names[word] and text:sub(after, after) ~= "[" and behind_argument(text, after)
    if to then
      found[word] = found[word] or {}
      table.insert(found[word], (text:sub(from, to - 1):gsub("%s+", " ")))
    end
  end)
  return found
end

-- The parts of a call or a constructor: "count(comm, pid)" has comm and pid, "{ a, n = b }" has a and n = b.
function titles.parts(text)
  local list, start = {}, text:match("^[A-Za-z_0-9%s]*()[({]")
  if start and start > 1 and text:sub(start, start) == "{" then
    return { text:sub(start) }
  end
  local from, at = start and start + 1, start and start + 1 or #text + 1
  while at <= #text do
    local c = text:sub(at, at)
    if c == "," or at == #text then
      local part = text:sub(from, at - 1):match("^%s*(.-)%s*$")
      list[#list + 1], from = part ~= "" and part or nil, at + 1
    end
    at = behind_argument(text, at) or at + 1
  end
  return list
end

-- What a text assigns and indexes by names: { name → { key, value } }. `key` is the text between the brackets, and
-- `value` a constructor. A name that has been given a constructor stands for it.
function titles.entries(text)
  local found = {}
  each_word(text, function(word, _, after)
    local stop = text:sub(after, after) == "[" and behind_argument(text, after)
    local value = text:match("^%s*=%f[^=]%s*()", stop or after)
    local to = value and text:sub(value, value) == "{" and behind_argument(text, value)
    local row = found[word] or {}
    found[word] = row
    if stop then
      local key = text:sub(after + 1, stop - 2):match("^%s*(.-)%s*$")
      row.key = row.key or found[key] and found[key].value or key
    end
    local name = value and text:match("^[A-Za-z_][A-Za-z_0-9]*", value)
    row.value = row.value or to and text:sub(value, to - 1) or found[name] and found[name].value
  end)
  return found
end

return titles

-- SPDX-License-Identifier: MIT
-- How the columns of a table are called: after what the author of the bodies wrote. `args.dev` is DEV.
local titles = require("bpf.trace.infer.titles")

local headings = {}

-- What was written for the member of a record: its name, or the expression at its place in a constructor.
local function of_member(constructor, field)
  local place = math.tointeger(field:match("^_([0-9]+)$"))
  if not place then
    return field
  end
  local expressions = {}
  for _, part in ipairs(constructor:find("^{") and titles.parts(constructor) or {}) do
    expressions[#expressions + 1] = not part:find("^[A-Za-z_][A-Za-z_0-9]*%s*=%f[^=]") and part or nil
  end
  return expressions[place] or ""
end

-- The last name of a path, and of what str reads.
local function last_name(text)
  local path = text:match("^str%s*%(%s*([A-Za-z_0-9.]+)[^()]*%)$") or text
  return path:match("^[A-Za-z_][A-Za-z_0-9.]*$") and path:match("[^.]+$")
end

-- Texts as headings: as short as they can be told apart, plain names in capitals.
local function shortened(texts)
  local count, names, whole = {}, {}, {}
  for _, text in ipairs(texts) do
    local last = last_name(text) or text
    count[last], whole[text] = (count[last] or 0) + 1, true
  end
  for n, text in ipairs(texts) do
    local last = last_name(text)
    local bare = text:gsub("^args%.", "")
    local name = last and count[last] == 1 and last or whole[bare] and text or bare
    names[n] = name:find("^[A-Za-z_][A-Za-z_0-9]*$") and name:upper() or name
  end
  return names
end

-- Those of a table's keys. `t.written` has the texts of a call's arguments, of which the keys are the last ones.
function headings.of_keys(t)
  local written, texts = t.written or {}, {}
  local before = #written - (#t.parts > 0 and t.parts[#t.parts].argument or 0)
  for n, part in ipairs(t.parts) do
    local text = before >= 0 and written[before + part.argument] or ""
    texts[n] = part.field and of_member(text, part.field) or text
  end
  return shortened(texts)
end

-- Those of the members of a record, by a constructor of it.
function headings.of_members(order, constructor)
  local texts = {}
  for n, name in ipairs(order) do
    local text = of_member(constructor or "", name)
    texts[n] = text ~= "" and text or name
  end
  return shortened(texts)
end

return headings

-- SPDX-License-Identifier: MIT
--- Text as a terminal shows it: without control characters, cut and padded by the width of its characters.
-- @module bpf.hist

local argument = require("bpf.base.argument")
local terminal = require("bpf.hist.terminal")

local display = {}

-- Characters that don't take one column, in order: the first and the last of a range, and how many columns they take.
-- Of combining marks, those of common scripts.
local RANGES <const> = {
  { 0x0300, 0x036f, 0 }, { 0x0483, 0x0489, 0 }, { 0x0591, 0x05bd, 0 }, { 0x0610, 0x061a, 0 }, { 0x064b, 0x065f, 0 },
  { 0x06d6, 0x06dc, 0 }, { 0x06df, 0x06e4, 0 }, { 0x0900, 0x0902, 0 }, { 0x093c, 0x093c, 0 }, { 0x0941, 0x0948, 0 },
  { 0x094d, 0x094d, 0 }, { 0x0e31, 0x0e31, 0 }, { 0x0e34, 0x0e3a, 0 }, { 0x0e47, 0x0e4e, 0 }, { 0x1100, 0x115f, 2 },
  { 0x1ab0, 0x1aff, 0 }, { 0x1dc0, 0x1dff, 0 }, { 0x200b, 0x200f, 0 }, { 0x20d0, 0x20ff, 0 }, { 0x231a, 0x231b, 2 },
  { 0x2329, 0x232a, 2 }, { 0x23e9, 0x23ec, 2 }, { 0x23f0, 0x23f0, 2 }, { 0x23f3, 0x23f3, 2 }, { 0x25fd, 0x25fe, 2 },
  { 0x2614, 0x2615, 2 }, { 0x2648, 0x2653, 2 }, { 0x267f, 0x267f, 2 }, { 0x2693, 0x2693, 2 }, { 0x26a1, 0x26a1, 2 },
  { 0x26aa, 0x26ab, 2 }, { 0x26bd, 0x26be, 2 }, { 0x26c4, 0x26c5, 2 }, { 0x26ce, 0x26ce, 2 }, { 0x26d4, 0x26d4, 2 },
  { 0x26ea, 0x26ea, 2 }, { 0x26f2, 0x26f3, 2 }, { 0x26f5, 0x26f5, 2 }, { 0x26fa, 0x26fa, 2 }, { 0x26fd, 0x26fd, 2 },
  { 0x2705, 0x2705, 2 }, { 0x270a, 0x270b, 2 }, { 0x2728, 0x2728, 2 }, { 0x274c, 0x274c, 2 }, { 0x274e, 0x274e, 2 },
  { 0x2753, 0x2755, 2 }, { 0x2757, 0x2757, 2 }, { 0x2795, 0x2797, 2 }, { 0x27b0, 0x27b0, 2 }, { 0x27bf, 0x27bf, 2 },
  { 0x2b1b, 0x2b1c, 2 }, { 0x2b50, 0x2b50, 2 }, { 0x2b55, 0x2b55, 2 }, { 0x2e80, 0x3029, 2 }, { 0x302a, 0x302d, 0 },
  { 0x302e, 0x303e, 2 }, { 0x3041, 0x3098, 2 }, { 0x3099, 0x309a, 0 }, { 0x309b, 0x4dbf, 2 }, { 0x4e00, 0xa4cf, 2 },
  { 0xa960, 0xa97c, 2 }, { 0xac00, 0xd7a3, 2 }, { 0xf900, 0xfaff, 2 }, { 0xfe00, 0xfe0f, 0 }, { 0xfe10, 0xfe19, 2 },
  { 0xfe20, 0xfe2f, 0 }, { 0xfe30, 0xfe6f, 2 }, { 0xfeff, 0xfeff, 0 }, { 0xff00, 0xff60, 2 }, { 0xffe0, 0xffe6, 2 },
  { 0x16fe0, 0x18dff, 2 }, { 0x1b000, 0x1b2ff, 2 }, { 0x1f004, 0x1f004, 2 }, { 0x1f0cf, 0x1f0cf, 2 },
  { 0x1f18e, 0x1f18e, 2 }, { 0x1f191, 0x1f19a, 2 }, { 0x1f200, 0x1f320, 2 }, { 0x1f32d, 0x1f335, 2 },
  { 0x1f337, 0x1f37c, 2 }, { 0x1f37e, 0x1f393, 2 }, { 0x1f3a0, 0x1f3ca, 2 }, { 0x1f3cf, 0x1f3d3, 2 },
  { 0x1f3e0, 0x1f3f0, 2 }, { 0x1f3f4, 0x1f3f4, 2 }, { 0x1f3f8, 0x1f43e, 2 }, { 0x1f440, 0x1f440, 2 },
  { 0x1f442, 0x1f4fc, 2 }, { 0x1f4ff, 0x1f53d, 2 }, { 0x1f54b, 0x1f54e, 2 }, { 0x1f550, 0x1f567, 2 },
  { 0x1f57a, 0x1f57a, 2 }, { 0x1f595, 0x1f596, 2 }, { 0x1f5a4, 0x1f5a4, 2 }, { 0x1f5fb, 0x1f64f, 2 },
  { 0x1f680, 0x1f6c5, 2 }, { 0x1f6cc, 0x1f6cc, 2 }, { 0x1f6d0, 0x1f6d2, 2 }, { 0x1f6d5, 0x1f6df, 2 },
  { 0x1f6eb, 0x1f6ec, 2 }, { 0x1f6f4, 0x1f6fc, 2 }, { 0x1f7e0, 0x1f7f0, 2 }, { 0x1f90c, 0x1f93a, 2 },
  { 0x1f93c, 0x1f945, 2 }, { 0x1f947, 0x1f9ff, 2 }, { 0x1fa70, 0x1faff, 2 }, { 0x20000, 0x3fffd, 2 },
  { 0xe0100, 0xe01ef, 0 },
}

-- How many columns a character takes.
local function columns_of(code)
  if code < 0x300 then
    return 1
  end
  local low, high = 1, #RANGES
  while low <= high do
    local middle = (low + high) // 2
    local range = RANGES[middle]
    if code < range[1] then
      high = middle - 1
    elseif code > range[2] then
      low = middle + 1
    else
      return range[3]
    end
  end
  return 1
end

local ASCII <const> = "^[\32-\126]*$"

-- How many columns a text takes, which must be clean.
function display.width(s)
  if s:find(ASCII) then
    return #s
  end
  local width = 0
  for _, code in utf8.codes(s) do
    width = width + columns_of(code)
  end
  return width
end

-- The text as parts: what is UTF-8, and bytes that aren't, in turns.
local function split(s)
  local start, parts = 1, {}
  local valid, bad = utf8.len(s)
  while not valid do
    parts[#parts + 1] = s:sub(start, bad - 1)
    parts[#parts + 1] = s:sub(bad, bad)
    start = bad + 1
    valid, bad = utf8.len(s, start)
  end
  parts[#parts + 1] = s:sub(start)
  return parts
end

-- Replaces what a terminal may obey, and what isn't UTF-8, by what `replace` makes of the bytes: control characters,
-- and those that separate lines or turn the direction of writing.
local function cleaned(s, replace)
  if s:find(ASCII) then
    return s
  end
  local parts = split(s)
  for i, part in ipairs(parts) do
    if i % 2 == 0 then
      parts[i] = replace(part)
    else
      parts[i] = part:gsub("[\0-\31\127]", replace):gsub("\xc2[\x80-\x9f]", replace)
        :gsub("\xe2\x80[\xa8-\xae]", replace):gsub("\xe2\x81[\xa6-\xa9]", replace)
    end
  end
  return table.concat(parts)
end

-- The text with U+FFFD for each byte that isn't UTF-8.
function display.valid(s)
  if utf8.len(s) then
    return s
  end
  local parts = split(s)
  for i = 2, #parts, 2 do
    parts[i] = "\u{fffd}"
  end
  return table.concat(parts)
end

local function question_mark()
  return "?"
end

-- The text with a question mark for each of these.
function display.clean(s)
  return cleaned(s, question_mark)
end

local ESCAPES <const> = { ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

local function escape(bytes)
  return ESCAPES[bytes] or bytes:gsub(".", function(byte) return ("\\x%02x"):format(byte:byte()) end)
end

-- The text with these bytes as C writes them: "\n", "\x1b".
function display.escape(s)
  return cleaned(s, escape)
end

-- The text, or its beginning and the ellipsis, in at most `width` columns.
function display.cut(s, width, ellipsis)
  if #s <= width or display.width(s) <= width then
    return s
  elseif width < 1 then
    return ""
  end
  local taken = 0
  for at, code in utf8.codes(s) do
    taken = taken + columns_of(code)
    if taken > width - 1 then
      return s:sub(1, at - 1) .. ellipsis
    end
  end
end

function display.pad(s, width, right)
  local space = (" "):rep(width - display.width(s))
  return right and space .. s or s .. space
end

-- "…" if the terminal shows it, or if `unicode` says so.
function display.ellipsis(unicode)
  if unicode == nil then
    unicode = terminal.utf8()
  end
  return unicode and "…" or "~"
end

display.GAP = 2 -- columns between columns

-- Takes from the widest columns, the ones flushed left before the others, until all fit.
function display.fit(widths, right, width)
  local total = display.GAP * (#widths - 1)
  for _, w in ipairs(widths) do
    total = total + w
  end
  for _, also_right in ipairs { false, true } do
    while total > width do
      local widest
      for c, w in ipairs(widths) do
        if (also_right or not right[c]) and w > 3 and (not widest or w > widths[widest]) then
          widest = c
        end
      end
      if not widest then
        break
      end
      widths[widest] = widths[widest] - 1
      total = total - 1
    end
  end
end

--- Returns a text as one line of a terminal, not padded. A text that is too long is cut and ends in "…", or in "~"
-- without UTF-8. Control characters, which the name of a process can contain, and bytes that are not UTF-8 become "?".
-- @tparam string text
-- @tparam integer width in columns; wide characters, such as Chinese ones, count as two
-- @tparam ?boolean unicode whether to cut with "…"; by default the locale says
-- @treturn string
-- @usage
-- print(hist.line("a\tlong name", 8, false)) -- a?long ~
function display.line(text, width, unicode)
  argument.check(1, "line", text, "string")
  argument.check(2, "line", math.tointeger(width) or width, "integer")
  return display.cut(display.clean(text), width, display.ellipsis(unicode))
end

return display

-- SPDX-License-Identifier: MIT
-- Chapters of the guide that explain a program. `local chapters = require "spec.support.chapters"`.
local assert = require "luassert"

local helper = require "spec.helper"

local chapters = {}

-- A text without indentation and empty lines, between two ends of lines.
local function flat(text)
  local lines = { "" }
  for line in text:gmatch "[^\n]+" do
    local bare = line:match "^%s*(.-)%s*$"
    lines[#lines + 1] = bare ~= "" and bare or nil
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Checks that every Lua block below the comment `<!-- not run: part of PROGRAM -->` is in the program, but for
-- indentation and empty lines, and that there are at least so many. A line `-- …` stands for lines that are left out.
function chapters.check_parts(chapter, program, least)
  local source, parts = flat(helper.read(program)), 0
  for block in helper.read(chapter):gmatch("<!%-%- not run: part of " .. program:gsub("%p", "%%%0") ..
    " %-%->\n```lua\n(.-)\n```") do
    for part in (block .. "\n"):gsub("\n%s*%-%- …\n", "\0"):gmatch "%Z+" do
      assert(source:find(flat(part), 1, true), ("%s doesn't have:\n%s"):format(program, part))
    end
    parts = parts + 1
  end
  assert(parts >= least, ("%s shows %d parts of %s"):format(chapter, parts, program))
end

--- The first Lua block of a chapter that has a word.
function chapters.block(chapter, word)
  for block in helper.read(chapter):gmatch "```lua\n(.-\n)```" do
    if block:find(word, 1, true) then
      return block
    end
  end
  error(("%s has no block with %s"):format(chapter, word), 2)
end

return chapters

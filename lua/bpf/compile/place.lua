-- SPDX-License-Identifier: MIT
-- Where C text stands in a script, so that messages name the script's lines.

local read_file = require("bpf.compile.files").read

local function line_of(text, at)
  return 1 + select(2, text:sub(1, at - 1):gsub("\n", ""))
end

-- The line of a script's text where the source begins, or nil; if it is there more than once, the last one up to the
-- line that runs. Literals with escapes or put together of several differ from what they mean: then two lines one after
-- the other tell, the first such that are found.
local function find_source(script, source, current)
  script = script:gsub("\r\n?", "\n") -- as Lua reads line ends in a long string
  local at, line = source:find("%S") and script:find(source, 1, true), nil
  while at do
    local here = line_of(script, at)
    if line and here > current then
      break
    end
    line, at = here, script:find(source, at + 1, true)
  end
  if line then
    return line
  end
  local before, number = "", 0
  for text in (source:sub(1, 4096) .. "\n"):gmatch("([^\n]*)\n") do
    number = number + 1
    at = before:find("%S") and text:find("%S") and script:find(before .. "\n" .. text, 1, true)
    if at then
      return line_of(script, at) - (number - 2)
    end
    before = text
  end
  return nil
end

-- The file name and line to give to clang for the source, and the directory of the script that has it.
local function place(source, level)
  local seen = {}
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then
      return nil
    end
    level = level + 1
    local chunk = info.source
    if info.what ~= "C" and not seen[chunk] then
      seen[chunk] = true
      local path = chunk:match("^@(.*)$")
      local script = path and read_file(path) or not path and chunk
      local line = script and find_source(script, source, info.currentline)
      if line and line > 0 then
        return path or info.short_src, line, path and (path:match("^(.*)/") or ".")
      end
    end
  end
end

return place

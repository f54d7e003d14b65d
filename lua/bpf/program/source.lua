-- SPDX-License-Identifier: MIT
-- The text of the script that a function was written in, for the lines in the verifier's log.
local source = {}

local Source = {}
Source.__index = Source

local function split(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("([^\n]*)\n") do
    lines[#lines + 1] = line
  end
  return lines
end

-- A chunk's name as Lua's own messages show it.
function source.chunk_name(chunk)
  local kind, rest = chunk:sub(1, 1), chunk:sub(2)
  if kind == "@" or kind == "=" then
    return rest
  end
  local first = chunk:match("^[^\n]*")
  return ('[string "%s"]'):format(first == chunk and #first <= 40 and first or first:sub(1, 37) .. "...")
end

local texts = {} -- of chunks that are called otherwise, by their names

-- Says what the text of a chunk is whose name is neither that nor a file's.
function source.tell(chunk, text)
  texts[chunk] = text
end

-- The source of a chunk: of a file, which may be gone, or of a string. `file` is how the object calls it.
function source.of(chunk)
  local kind, rest, lines = chunk:sub(1, 1), chunk:sub(2), {}
  if kind == "@" then
    local file <close> = io.open(rest, "rb")
    lines = file and split(file:read("a") or "") or {}
  elseif texts[chunk] then
    lines = split(texts[chunk])
  elseif kind ~= "=" then
    lines, rest = split(chunk), "script"
  end
  return setmetatable({ file = rest, lines = lines }, Source)
end

function Source:line(number)
  return self.lines[number] or ""
end

return source

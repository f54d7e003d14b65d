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

-- The source of a function: of a file, which may be gone, or of a string. `file` is how messages call it.
function source.of(fn)
  local chunk = debug.getinfo(fn, "S").source
  local kind, rest, lines = chunk:sub(1, 1), chunk:sub(2), {}
  if kind == "@" then
    local file <close> = io.open(rest, "rb")
    lines = file and split(file:read("a") or "") or {}
  elseif kind ~= "=" then
    lines, rest = split(chunk), "script"
  end
  return setmetatable({ file = rest, lines = lines }, Source)
end

function Source:line(number)
  return self.lines[number] or ""
end

return source

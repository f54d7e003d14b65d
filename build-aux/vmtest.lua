-- SPDX-License-Identifier: MIT
-- What comes out of the guests of build-aux/vmtest.
--   vmtest.lua follow <folder>      reads a guest's second serial line: TAP files, and a line for each spec
local dir = arg[2]
local log, name
for line in io.lines() do
  local b = line:match("^== begin (.+)")
  if b then name = b; log = assert(io.open(dir .. "/" .. b:gsub("/", "-"):gsub("_spec%.lua$", "") .. ".tap", "w")) end
  if log then log:write(line, "\n") end
  if line:match("^== ") or line:match("^not ok") or name == "command" then print(line) end
end

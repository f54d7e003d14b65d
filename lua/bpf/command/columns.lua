-- SPDX-License-Identifier: MIT
-- The options --format and --sort of commands that show the entries of a map in columns.

local formats_of = require("bpf.inspect.formats")
local formats = require("bpf.format.values")
local frame = require("bpf.command.frame")

local columns = {}

columns.HELP = [[
  --format COLUMN=FORMAT
                       show a column in this format: saddr=ip, last.error=errno, value=duration; may be given several
                       times. A FORMAT is a function of bpf.format
  --sort COLUMN        sort by this column; -COLUMN sorts from the greatest on
]]

local function read(text)
  local column, format = text:match("^([^=]+)=(.+)$")
  if formats[format] then
    return { column, format }
  end
  local names = {}
  for name in pairs(formats) do
    names[#names + 1] = name
  end
  table.sort(names)
  return nil, "COLUMN=FORMAT with one of the formats " .. table.concat(names, ", ")
end

columns.OPTIONS = { format = frame.many(read), sort = frame.any }

-- Ends the command, with what the library says of a column that isn't there.
local function check(usage, call, ...)
  local ok, result = pcall(call, ...)
  if not ok then
    frame.misuse((tostring(result):gsub("^%S+%.lua:%d+: ", "")), usage)
  end
  return result
end

-- The formats that were given, as bpf.inspect takes them and as a tree of functions. Ends the command if the map hasn't
-- these columns; `layouts` are those of the columns by their headings.
function columns.formats(layouts, given, usage)
  local names = {}
  for _, pair in ipairs(given.format) do
    names[pair[1]] = pair[2]
  end
  return names, check(usage, formats_of.tree, "--format", names, layouts)
end

-- The column to sort by, and whether from the greatest on. Ends the command if the map hasn't that column.
function columns.sort(layouts, given, usage)
  local down, name = given:match("^(%-?)(.*)$")
  check(usage, formats_of.check_name, "--sort", name, layouts)
  return name, down == "-"
end

return columns

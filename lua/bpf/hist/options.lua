-- SPDX-License-Identifier: MIT
-- The options of functions that make text for a terminal.

local argument = require("bpf.base.argument")
local error = argument.error

local options = {}

-- The options, or an empty table. Raises for options that don't exist or have the wrong type; `known` maps names to
-- types.
function options.check(fname, position, given, known, level)
  level = (level or 2) + 1
  if given == nil then
    return {}
  elseif type(given) ~= "table" then
    error(("bad argument #%d to '%s' (table expected, got %s)"):format(position, fname, type(given)), level)
  end
  for name, value in pairs(given) do
    if not known[name] then
      local names = {}
      for k in pairs(known) do
        names[#names + 1] = k
      end
      table.sort(names)
      local list = table.concat(names, ", ")
      error(("%s: there is no option '%s' (options: %s)"):format(fname, tostring(name), list), level)
    elseif type(value) ~= known[name] then
      error(("%s: option '%s' must be a %s, got %s"):format(fname, name, known[name], type(value)), level)
    end
  end
  return given
end

-- The function of bpf.format with a name.
function options.format(fname, name, level)
  local formats = require("bpf.format.values")
  if not formats[name] then
    local names = {}
    for known in pairs(formats) do
      names[#names + 1] = known
    end
    table.sort(names)
    local list = table.concat(names, ", ")
    error(("%s: there is no format '%s' (formats: %s)"):format(fname, name, list), (level or 2) + 1)
  end
  return formats[name]
end

-- The columns of the argument with functions for the names of formats. Raises for fields that don't exist or have the
-- wrong type; `known` maps names to types, "a or b" for several, "any" for all.
function options.columns(fname, position, columns, known, level)
  level = (level or 2) + 1
  argument.check(position, fname, columns, "table", level)
  local list, names = {}, {}
  for name in pairs(known) do
    names[#names + 1] = name
  end
  table.sort(names)
  for c, column in ipairs(columns) do
    if type(column) ~= "table" then
      error(("%s: column %d must be a table, got %s"):format(fname, c, type(column)), level)
    end
    local copy = {}
    for name, value in pairs(column) do
      local types = known[name]
      if not types then
        error(("%s: column %d has an unknown field '%s' (fields: %s)"):format(fname, c, tostring(name),
          table.concat(names, ", ")), level)
      elseif types ~= "any" and not types:find(type(value), 1, true) then
        error(("%s: '%s' of column %d must be a %s, got %s"):format(fname, name, c, types, type(value)), level)
      end
      copy[name] = value
    end
    if column.align and column.align ~= "left" and column.align ~= "right" then
      error(("%s: 'align' of column %d must be \"left\" or \"right\""):format(fname, c), level)
    elseif type(column.format) == "string" then
      copy.format = options.format(fname, column.format, level)
    end
    list[c] = copy
  end
  return list
end

return options

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

return options

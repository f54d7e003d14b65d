-- SPDX-License-Identifier: MIT
-- Tables of options, looked through before they are used.

local error = require("bpf.base.argument").error

local options = {}

-- Raises for options that don't exist or have the wrong type; `known` maps names to types, "a or b" for several.
function options.check(fname, given, known, level)
  if type(given) ~= "table" then
    error(("%s: options expected, a table, got %s"):format(fname, type(given)), level + 1)
  end
  for name, value in pairs(given) do
    if not known[name] then
      local names = {}
      for _, list in ipairs { known, (getmetatable(known) or {}).__index } do -- those that other tables share
        for k in pairs(list) do
          names[#names + 1] = tostring(k)
        end
      end
      table.sort(names)
      error(("%s: there is no option '%s' (options: %s)"):format(fname, tostring(name), table.concat(names, ", ")),
        level + 1)
    elseif not known[name]:find(math.type(value) or type(value), 1, true) then
      error(("%s: option '%s' must be %s %s, got %s"):format(fname, name, known[name]:find("^[aeiou]") and "an" or "a",
        known[name], type(value)), level + 1)
    end
  end
end

options.NUMBER = "float or integer"
options.PATH = "string or integer or function"

return options

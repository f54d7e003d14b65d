-- SPDX-License-Identifier: MIT
-- The functions of bpf.format that make text of a value, by name. Labels of metrics and columns name them.

local values = {}
for _, part in ipairs { "address", "code", "name", "quantity" } do
  for name, fn in pairs(require("bpf.format." .. part)) do
    values[name] = fn
  end
end

return values

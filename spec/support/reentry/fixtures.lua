-- SPDX-License-Identifier: MIT
-- All fixtures: `{ name =, setup = function() → handles, operations = { name = function(handles) } }`. An operation
-- may fail, and does where another has closed what it works on. `intruders` names the operations that are run within
-- the others, where that isn't all of them; `after` uses what is left.
local fixtures = {}

for _, concept in ipairs { "maps", "btf", "objects", "readers", "links", "system" } do
  table.move(require("spec.support.reentry." .. concept), 1, 100, #fixtures + 1, fixtures)
end

return fixtures

-- SPDX-License-Identifier: MIT
-- What scripts and the prompt see.

local bpf = require("bpf")

-- Lua's own variables, `bpf`, and more.
return function(more)
  more.bpf = bpf
  return setmetatable(more, { __index = _G })
end

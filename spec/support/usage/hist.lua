-- SPDX-License-Identifier: MIT
-- What the examples of bpf.hist use: `hist`.
local bpf = require "bpf"

return function(env)
  env.hist = bpf.hist
  return function() end
end

-- SPDX-License-Identifier: MIT
-- What the examples of bpf.signals use: `signals`.
local bpf = require "bpf"

return function(env)
  env.signals = assert(bpf.signals("USR1"))
  return function()
    env.signals:close()
  end
end

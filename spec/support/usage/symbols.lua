-- SPDX-License-Identifier: MIT
-- What the examples of bpf.symbols use: `pid`, this process.
local helper = require "spec.helper"

return function(env)
  env.pid = helper.pid
  return function() end
end

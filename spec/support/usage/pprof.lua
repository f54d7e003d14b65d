-- SPDX-License-Identifier: MIT
-- What the examples of bpf.pprof use: `path`, where there is nothing yet.
local helper = require "spec.helper"

return function(env)
  env.path = helper.tmpdir() .. "/profile"
  return function() end
end

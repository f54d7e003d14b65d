-- SPDX-License-Identifier: MIT
-- What the examples of bpf.trace use: nothing. What they print goes nowhere.
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

return function(env)
  kernel.need("ring buffers", "5.8")
  env.bpf = setmetatable({}, { __index = bpf })
  function env.bpf.trace(options)
    options.output = "/dev/null"
    return bpf.trace(options)
  end
  return function() end
end

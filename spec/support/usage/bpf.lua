-- SPDX-License-Identifier: MIT
-- What the examples of the module's own functions use: nothing. Afterwards, libbpf is silent again.
local bpf = require("bpf")

return function()
  return function()
    bpf.log(nil)
  end
end

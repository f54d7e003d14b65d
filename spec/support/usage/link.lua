-- SPDX-License-Identifier: MIT
-- What the examples of bpf.link use: what those of bpf.prog do, and `link`, a link of the program on_raw.
local prog = require "spec.support.usage.prog"

return function(env)
  return prog(env, {
    link = function()
      return assert(env.obj.progs.on_raw:attach_raw_tracepoint("sys_enter"))
    end,
  })
end

-- SPDX-License-Identifier: MIT
-- What the examples of bpf.object use: `obj`, whose programs count what one thread does, the 0th, which does nothing;
-- and `dir` on a bpffs.
local bpf = require "bpf"
local helper = require "spec.helper"

return function(env)
  env.obj = assert(bpf.load(helper.obj "counters"))
  env.dir = helper.bpffs()
  return function()
    env.obj:close()
  end
end

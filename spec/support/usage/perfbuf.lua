-- SPDX-License-Identifier: MIT
-- What the examples of bpf.perfbuf use: `reader`, in whose buffer three records are, and its object, `obj`.
local bpf = require "bpf"
local readers = require "spec.support.reader"

local perfs = readers.perfbuf

return function(env)
  env.obj = assert(bpf.load(perfs.path))
  env.reader = assert(bpf.perfbuf(env.obj.maps.notes, "struct note", env.print))
  perfs.send(env.obj, 1, 3)
  return function()
    env.reader:close()
    env.obj:close()
  end
end

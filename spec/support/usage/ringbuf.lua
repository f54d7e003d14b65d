-- SPDX-License-Identifier: MIT
-- What the examples of bpf.ringbuf use: `reader`, in whose ring three records are, and its object, `obj`.
local bpf = require "bpf"
local readers = require "spec.support.reader"

local rings = readers.ringbuf

return function(env)
  env.obj = assert(bpf.load(rings.path))
  env.reader = assert(bpf.ringbuf(env.obj.maps.notes, "struct note", env.print))
  rings.send(env.obj, 1, 3)
  return function()
    env.reader:close()
    env.obj:close()
  end
end

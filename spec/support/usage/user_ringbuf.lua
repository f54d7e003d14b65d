-- SPDX-License-Identifier: MIT
-- What the examples of bpf.user_ringbuf use: `producer`, of an empty ring.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"

return function(env)
  kernel.need("user ring buffers", "6.1")
  local ring = assert(bpf.map.create { type = "user_ringbuf", name = "samples", max_entries = 4096 })
  env.producer = assert(bpf.user_ringbuf(ring, "struct sample { __u32 seq; __u32 value; char text[8]; }"))
  return function()
    env.producer:close()
    bpf.map.close(ring)
  end
end

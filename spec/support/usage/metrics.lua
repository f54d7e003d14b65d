-- SPDX-License-Identifier: MIT
-- What the examples of bpf.metrics use: `metrics`, a set with a counter; `conns`, a map of counts by address; `waits`,
-- a map of histograms; `dir`, a directory.
local bpf = require "bpf"
local helper = require "spec.helper"

return function(env)
  env.conns = assert(bpf.map.create {
    type = "hash", max_entries = 16,
    key = "struct peer { __be32 saddr; __u16 port; __u16 zone; }", value = "struct conn { __u64 count, bytes; }",
  })
  env.waits = assert(bpf.map.create {
    type = "hash", max_entries = 4, key = "__u32", value = "struct wait { __u64 ns; __u64 slots[32]; }",
  })
  env.conns[{ saddr = 0x0100007f, port = 80 }] = { count = 3 }
  env.dir = helper.tmpdir()
  env.metrics = bpf.metrics.new { prefix = "demo" }
  env.metrics:counter { name = "packets", map = env.conns, value = "count" }
  return function()
    bpf.map.close(env.conns)
    bpf.map.close(env.waits)
  end
end

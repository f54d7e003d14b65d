-- SPDX-License-Identifier: MIT
-- What the examples of bpf.map use: a hash from __u32 to __u64 with three entries, one by CPU, and a queue.
local bpf = require("bpf")

return function(env)
  local function make(options)
    return assert(bpf.map.create(options))
  end
  env.m = make { type = "hash", key = "__u32", value = "__u64", max_entries = 16 }
  env.cpus = make { type = "percpu_array", key = "__u32", value = "__u64", max_entries = 4 }
  env.queue = make { type = "queue", value = "__u64", max_entries = 4 }
  for k = 1, 3 do
    env.m[k] = 10 * k
  end
  return function()
    for _, m in ipairs { env.m, env.cpus, env.queue } do
      bpf.map.close(m)
    end
  end
end

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows each second how many processes and threads were created.
local bpf = require "bpf"

assert(bpf.trace {
  { "tracepoint/sched/sched_process_fork", "created = count()" },
  { "every 1", [[printf("%s  ", os.date "%H:%M:%S") print(created) clear(created)]] },
  { "end", "clear(created)" },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how many threads wait for a CPU beside the one that runs: samples each CPU's queue 99 times a second.
local bpf = require "bpf"

-- Linux 6.14 has given the member another name.
local member = "nr_running"
for _, m in ipairs(assert(assert(bpf.btf.kernel()):find("cfs_rq", "struct")).members) do
  member = m.name == "nr_queued" and m.name or member
end

assert(bpf.trace {
  { "profile/99", ([[
    local running = task.se.cfs_rq.%s
    length = lhist(running > 0 and running - 1 or 0, 0, 100, 1)]]):format(member) },
})

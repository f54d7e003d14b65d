#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows processes that the kernel kills because memory ran out, with their size in KiB, and which process asked for
-- memory. bpftrace's shows the load averages as well, and uses a kprobe, as this does before Linux 6.8: from then on,
-- the tracepoint tells all this.
local bpf = require "bpf"

local record = assert(bpf.btf.kernel()):find("trace_event_raw_mark_victim", "struct")
local knows = false
for _, member in ipairs(record and record.members or {}) do
  knows = knows or member.name == "__data_loc_comm"
end

local LINE <const> = [[
  local victim, size = %s
  printf("%%s %%-7d %%-16s %%-7d %%-16s %%d\n", time "%%H:%%M:%%S", pid, comm, victim.pid, str(victim.comm), size)]]

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %-7s %-16s %s\n", "TIME", "PID", "COMMAND", "KILLED", "COMMAND", "KIB")]] },
  knows and { "tracepoint/oom/mark_victim", LINE:format "args, args.total_vm" }
    or { "kprobe/oom_kill_process", LINE:format "args.oc.chosen, args.oc.chosen.mm.total_vm * 4" },
})

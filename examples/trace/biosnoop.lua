#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows each request of a block device: when it ended, the disk, who asked for it, and how long it took. bpftrace's
-- uses kprobes; these tracepoints are there since Linux 6.5.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%10s %-8s %-16s %-7s %9s\n", "TIME(ms)", "DISK", "COMMAND", "PID", "LAT(ms)")]] },
  { "raw_tp/block_io_start", [[
    start[args.rq] = { ts = nsecs, pid = pid, comm = comm }]] },
  { "raw_tp/block_io_done", [[
    local r = start[args.rq]
    if r then
      local us = (nsecs - r.ts) // 1000
      printf("%10d %-8s %-16s %-7d %5d.%03d\n", elapsed // 1000000, str(args.rq.q.disk.disk_name), r.comm, r.pid,
        us // 1000, us % 1000)
      start[args.rq] = nil
    end]] },
})

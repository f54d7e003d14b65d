#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how long requests wait before a block device gets them, in microseconds, by the kernel stack that made them.
-- bpftrace's uses kprobes, and shows nanoseconds. These tracepoints are there since Linux 6.5.
local bpf = require "bpf"

assert(bpf.trace {
  { "raw_tp/block_io_start", "start[args.rq] = { ts = nsecs, stack = kstack }" },
  { "raw_tp/block_rq_issue", [[
    local r = start[args.rq]
    if r then
      usecs = hist((nsecs - r.ts) // 1000, r.stack)
      start[args.rq] = nil
    end]] },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how long block devices take for requests, in microseconds, from the moment when the kernel has a request to its
-- end. Its tracepoints are there since Linux 6.5; biolatency-kp.lua is for older kernels.
local bpf = require "bpf"

assert(bpf.trace {
  { "raw_tp/block_io_start", "start[args.rq] = nsecs" },
  { "raw_tp/block_io_done", "usecs = hist((nsecs - start[args.rq]) // 1000) start[args.rq] = nil" },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how long block devices take for requests, in microseconds, as biolatency.lua does, with kprobes: for kernels
-- before Linux 6.5. A kernel has one function of each pair.
local bpf = require "bpf"

assert(bpf.trace {
  { "kprobe/blk_account_io_start, kprobe/__blk_account_io_start", "start[arg0] = nsecs" },
  { "kprobe/blk_account_io_done, kprobe/__blk_account_io_done", [[
    usecs = hist((nsecs - start[arg0]) // 1000)
    start[arg0] = nil]] },
})

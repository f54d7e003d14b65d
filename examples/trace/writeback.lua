#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows when the kernel writes cached data to disks, why, how many pages, and how long it takes: if another problem has
-- the same times, writeback may be its cause. bpftrace's tool of this name shows the pages that were left, in part.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-8s %-12s %8s %-16s %10s\n", "TIME", "DEVICE", "PAGES", "REASON", "MS")]] },
  { "tracepoint/writeback/writeback_start", "start[tid] = { ns = nsecs, pages = args.nr_pages }" },
  { "tracepoint/writeback/writeback_written", [[
    local s = start[tid]
    if s then
      local us = (nsecs - s.ns) // 1000
      printf("%-8s %-12s %8d %-16s %6d.%03d\n", time "%H:%M:%S", args.name, s.pages - args.nr_pages, args.reason,
        us // 1000, us % 1000)
      start[tid] = nil
    end
  ]] },
})

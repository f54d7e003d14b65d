#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how many microseconds reads, writes, openings and syncs of XFS take, as a histogram for each. Needs kprobes.
local bpf = require "bpf"

local trace = {}

for _, operation in ipairs { "file_read_iter", "file_write_iter", "file_open", "file_fsync" } do
  trace[#trace + 1] = { "kprobe/xfs_" .. operation, ("start_%s[tid] = nsecs"):format(operation) }
  trace[#trace + 1] = { "kretprobe/xfs_" .. operation, (([[
    us = hist((nsecs - start_NAME[tid]) // 1000, "NAME")
    start_NAME[tid] = nil
  ]]):gsub("NAME", operation)) }
end

assert(bpf.trace(trace))

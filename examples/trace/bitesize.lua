#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows the sizes of what block devices are asked for, by process.
local bpf = require "bpf"

assert(bpf.trace {
  { "tracepoint/block/block_rq_issue", "bytes = hist(args.bytes, args.comm)" },
})

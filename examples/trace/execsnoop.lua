#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows the programs that processes start, with their arguments.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%10s %-7s %s\n", "TIME(ms)", "PID", "ARGUMENTS")]] },
  { "tracepoint/syscalls/sys_enter_exec*", [[
    printf("%10d %-7d %s\n", elapsed // 1000000, pid, str(args.argv, 512))]] },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows threads that are created by the C library, with the function that each begins with. TIME is milliseconds since
-- the trace began.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-10s %-7s %-16s %s\n", "TIME", "PID", "COMMAND", "FUNCTION")]] },
  -- Before version 2.34, glibc had threads in libpthread.so.0.
  { "uprobe/libc.so.6:pthread_create",
    [[printf("%-10u %-7d %-16s %s\n", elapsed // 1000000, pid, comm, usym(arg2))]] },
})

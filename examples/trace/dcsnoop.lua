#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows which names are looked up in the kernel's cache of directories. T is R for each reference, and M for a miss, a
-- name that isn't in the cache. (bpftrace's has an M for each look-up of the slower way.)
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%10s %-7s %-16s %s %s\n", "TIME(ms)", "PID", "COMMAND", "T", "FILE")]] },
  { "kprobe/lookup_fast*", [[
    local nd = cast(arg0, "struct nameidata")
    printf("%10d %-7d %-16s R %s\n", elapsed // 1000000, pid, comm, str(nd.last.name))]] },
  { "fexit/d_lookup", [[
    if ret == nil then
      printf("%10d %-7d %-16s M %s\n", elapsed // 1000000, pid, comm, str(args.name.name))
    end]] },
})

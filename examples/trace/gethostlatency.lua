#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how long the C library takes to find the addresses of host names.
local bpf = require "bpf"

local function all(kind)
  return ("KIND/libc.so.6:getaddrinfo, KIND/libc.so.6:gethostbyname, KIND/libc.so.6:gethostbyname2"):gsub("KIND", kind)
end

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %9s %s\n", "TIME", "PID", "COMMAND", "LAT(ms)", "HOST")]] },
  { all "uprobe", [[start[tid] = { ts = nsecs, name = str(arg0) }]] },
  { all "uretprobe", [[
    local call = start[tid]
    if call then
      local us = (nsecs - call.ts) // 1000
      printf("%s %-7d %-16s %5d.%03d %s\n", time "%H:%M:%S", pid, comm, us // 1000, us % 1000, call.name)
      start[tid] = nil
    end]] },
})

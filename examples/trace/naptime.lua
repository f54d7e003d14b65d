#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows who sleeps, for how long, and which process started it. bpftrace's knows nanosleep only; sleep(1) and C
-- libraries since glibc 2.31 call clock_nanosleep.
local bpf = require "bpf"

local NAP <const> = [[
  local t = args.rqtp
  if t.tv_sec + t.tv_nsec ~= 0 then
    printf("%s %-7d %-16s %-7d %-16s %d.%03d\n", time "%H:%M:%S", ppid, pcomm, pid, comm, t.tv_sec,
      t.tv_nsec // 1000000)
  end]]

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %-7s %-16s %s\n", "TIME", "PPID", "PARENT", "PID", "COMMAND", "SECONDS")]] },
  { "tracepoint/syscalls/sys_enter_nanosleep", NAP },
  { "tracepoint/syscalls/sys_enter_clock_nanosleep", "if args.flags == 0 then " .. NAP .. " end" }, -- not until a time
})

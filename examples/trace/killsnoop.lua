#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows the signals that processes send by the system call kill, and whether that went well: 0, or an error.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %-9s %-7s %s\n", "TIME", "PID", "COMMAND", "SIGNAL", "TO PID", "RESULT")]] },
  { "tracepoint/syscalls/sys_enter_kill", "called[tid] = { pid = args.pid, sig = args.sig }" },
  { "tracepoint/syscalls/sys_exit_kill", [[
    local call = called[tid]
    if call then
      printf("%s %-7d %-16s %-9s %-7d %s\n", time "%H:%M:%S", pid, comm, signal(call.sig), call.pid,
        errno(args.ret))
      called[tid] = nil
    end]] },
})

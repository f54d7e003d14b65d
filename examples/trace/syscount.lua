#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Counts system calls by name and by process, and prints the first ten of each. bpftrace's tool of this name prints
-- numbers in place of the names.
local bpf = require "bpf"

assert(bpf.trace {
  { "tracepoint/raw_syscalls/sys_enter", [[
    calls = count(syscall(args.id))
    processes = count(comm)
  ]] },
  { "end", "print(calls, 10) print() print(processes, 10)" },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows system calls that write cached data to disks, when they begin: sync, fsync and their relatives.
local bpf = require "bpf"

local CALLS = { "sync", "syncfs", "fsync", "fdatasync", "sync_file_range*", "msync" }

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %s\n", "TIME", "PID", "COMMAND", "CALL")]] },
  { "tracepoint/syscalls/sys_enter_" .. table.concat(CALLS, ",tracepoint/syscalls/sys_enter_"),
    [[printf("%-8s %-7d %-16s %s\n", time "%H:%M:%S", pid, comm, syscall(args.__syscall_nr))]] },
})

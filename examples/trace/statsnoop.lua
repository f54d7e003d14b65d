#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows the files and file systems that processes ask the status of, with the error if there is one. Calls for an open
-- file, without a path, are not shown. bpftrace's tool of this name has no newfstatat, which most programs use.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-7s %-16s %-8s %s\n", "PID", "COMMAND", "ERROR", "PATH")]] },
  { "tracepoint/syscalls/sys_enter_statfs", "path[tid] = args.pathname" },
  { "tracepoint/syscalls/sys_enter_statx,tracepoint/syscalls/sys_enter_newstat,"
    .. "tracepoint/syscalls/sys_enter_newlstat,tracepoint/syscalls/sys_enter_newfstatat", "path[tid] = args.filename" },
  -- The path is read when the call ends, because its page may not be in memory before.
  { "tracepoint/syscalls/sys_exit_statfs,tracepoint/syscalls/sys_exit_statx,tracepoint/syscalls/sys_exit_newstat,"
    .. "tracepoint/syscalls/sys_exit_newlstat,tracepoint/syscalls/sys_exit_newfstatat", [[
    if path[tid] then
      local name = str(path[tid], 256)
      if name ~= "" then
        printf("%-7d %-16s %-8s %s\n", pid, comm, errno(ret), name)
      end
      path[tid] = nil
    end
  ]] },
})

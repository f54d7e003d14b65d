#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows the files that processes open: the descriptor, or the error. bpftrace's shows an error's number, and doesn't
-- know openat2. The path is read at the end of the call, because its page may not be in memory before.
local bpf = require "bpf"

local function all(side)
  return ("CALL_open, CALL_openat, CALL_openat2"):gsub("CALL", "tracepoint/syscalls/" .. side)
end

assert(bpf.trace {
  { "begin", [[printf("%-7s %-16s %4s %-7s %s\n", "PID", "COMMAND", "FD", "ERROR", "PATH")]] },
  { all "sys_enter", "path[tid] = args.filename" },
  { all "sys_exit", [[
    if path[tid] then
      if args.ret >= 0 then
        printf("%-7d %-16s %4d %-7s %s\n", pid, comm, args.ret, "", str(path[tid], 256))
      else
        printf("%-7d %-16s %4s %-7s %s\n", pid, comm, "", errno(args.ret), str(path[tid], 256))
      end
      path[tid] = nil
    end]] },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows calls that change the user IDs of a process: who becomes root, and who gives it up. UID is the user before the
-- call. bpftrace's tool of this name has no setreuid.
local bpf = require "bpf"

local CALLS = {
  { "setuid", "uid" }, { "setfsuid", "uid" }, { "setreuid", "ruid", "euid" }, { "setresuid", "ruid", "euid", "suid" },
}

local trace = {
  { "begin", [[printf("%-8s %-7s %-16s %-6s %-10s %-8s %s\n",
    "TIME", "PID", "COMMAND", "UID", "CALL", "RESULT", "ARGUMENTS")]] },
}

-- Two bodies for each call: one keeps the arguments, the other prints them with the result. -1 leaves an ID as it is.
for _, call in ipairs(CALLS) do
  local kept, formats, values = {}, {}, {}
  for n = 2, #call do
    kept[#kept + 1] = ("%s = args.%s & 0xffffffff"):format(call[n], call[n])
    formats[#formats + 1] = call[n] .. "=%d"
    values[#values + 1] = (", c.%s ~= 0xffffffff and c.%s or -1"):format(call[n], call[n])
  end
  trace[#trace + 1] = { "tracepoint/syscalls/sys_enter_" .. call[1],
    ("calls[tid] = { user = uid, %s }"):format(table.concat(kept, ", ")) }
  trace[#trace + 1] = { "tracepoint/syscalls/sys_exit_" .. call[1], ([[
    local c = calls[tid]
    if c then
      printf("%%-8s %%-7d %%-16s %%-6d %%-10s %%-8s %s\n",
        time "%%H:%%M:%%S", pid, comm, c.user, "%s", errno(ret)%s)
      calls[tid] = nil
    end]]):format(table.concat(formats, " "), call[1], table.concat(values)) }
end

assert(bpf.trace(trace))

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows when the kernel looks whether a process has a capability. bpftrace's uses a kprobe and shows whether the check
-- is audited. Here the tracepoint of Linux 6.14 is used where it exists, which tells whether the process has the
-- capability; before, fexit.
local bpf = require "bpf"

local CAPABILITIES <const> = [[chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap
  linux_immutable net_bind_service net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot
  sys_ptrace sys_pacct sys_admin sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write
  audit_control setfcap mac_override mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf
  checkpoint_restore]]

-- A table of names that the programs share, filled before they run.
local names = {}
for name in CAPABILITIES:gmatch "%S+" do
  names[#names + 1] = ("names[%d] = %q"):format(#names, "CAP_" .. name:upper())
end

local function run(probe)
  return bpf.trace {
    { "begin", table.concat(names, "\n") },
    { "begin", [[
      printf("%-8s %-6s %-7s %-16s %3s %-22s %s\n", "TIME", "UID", "PID", "COMMAND", "CAP", "NAME", "RESULT")]] },
    { probe, [[
      printf("%s %-6d %-7d %-16s %3d %-22s %s\n", time "%H:%M:%S", uid, pid, comm, args.cap, names[args.cap],
        ret == 0 and "yes" or "no")]] },
  }
end

local status, message = run("tracepoint/capability/cap_capable")
if not status then
  status, message = run("fexit/cap_capable")
end
assert(status, message)

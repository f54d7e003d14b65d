#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows TCP connections that processes open, when connect returns, and with its result: EINPROGRESS if the process
-- doesn't wait. bpftrace's tool of this name shows them when the first packet is sent, and no results.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %-24s %-5s %-24s %-5s %s\n",
    "TIME", "PID", "COMMAND", "LADDR", "LPORT", "RADDR", "RPORT", "RESULT")]] },
  -- The addresses are known here; the local port is chosen later.
  { "tracepoint/sock/inet_sock_set_state", [[
    local SYN_SENT = 2
    if args.newstate == SYN_SENT and args.protocol == 6 then
      opened[tid] = { sk = args.skaddr, laddr = args.saddr_v6, raddr = args.daddr_v6, port = args.dport }
    end
  ]] },
  { "tracepoint/syscalls/sys_exit_connect", [[
    local o = opened[tid]
    if o then
      printf("%-8s %-7d %-16s %-24s %-5d %-24s %-5d %s\n", time "%H:%M:%S", pid, comm,
        ip(o.laddr), ntohs(cast(o.sk, "struct inet_sock").inet_sport), ip(o.raddr), o.port, errno(ret))
      opened[tid] = nil
    end
  ]] },
})

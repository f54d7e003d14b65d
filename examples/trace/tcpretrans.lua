#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows TCP packets that are sent again because they were not acknowledged. The process is the one that runs when the
-- timer expires, which often isn't the one that has the connection.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-24s %-5s %-24s %-5s %s\n",
    "TIME", "PID", "LADDR", "LPORT", "RADDR", "RPORT", "STATE")]] },
  { "tracepoint/tcp/tcp_retransmit_skb", [[
    printf("%-8s %-7d %-24s %-5d %-24s %-5d %s\n", time "%H:%M:%S", pid,
      ip(args.saddr_v6), args.sport, ip(args.daddr_v6), args.dport, args.state)
  ]] },
})

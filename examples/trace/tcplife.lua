#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows TCP connections when they end: their process, their two ends, how many KiB were sent and received, and how many
-- milliseconds they lasted. The process is the one that connects or closes; after a reset it may be any.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-7s %-16s %-24s %-5s %-24s %-5s %8s %8s %10s\n",
    "PID", "COMMAND", "LADDR", "LPORT", "RADDR", "RPORT", "TX_KB", "RX_KB", "MS")]] },
  { "tracepoint/sock/inet_sock_set_state", [[
    local SYN_SENT, FIN_WAIT1, CLOSE, LAST_ACK = 2, 4, 7, 9
    local sk, state = args.skaddr, args.newstate
    if args.protocol ~= 6 then
      return
    end
    if state < FIN_WAIT1 and not born[sk] then
      born[sk] = nsecs
    end
    if state == SYN_SENT or state == FIN_WAIT1 or state == LAST_ACK or state == CLOSE and not owner[sk] then
      owner[sk] = { pid = pid, comm = comm }
    end
    if state == CLOSE then
      if born[sk] then
        local tcp = cast(sk, "struct tcp_sock")
        printf("%-7d %-16s %-24s %-5d %-24s %-5d %8d %8d %6d.%03d\n", owner[sk].pid, owner[sk].comm,
          ip(args.saddr_v6), args.sport, ip(args.daddr_v6), args.dport,
          tcp.bytes_acked // 1024, tcp.bytes_received // 1024,
          (nsecs - born[sk]) // 1000000, (nsecs - born[sk]) // 1000 % 1000)
      end
      born[sk] = nil
      owner[sk] = nil
    end
  ]] },
})

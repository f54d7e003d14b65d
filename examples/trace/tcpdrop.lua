#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows TCP packets of IPv4 that the kernel drops, with the reason and the kernel's stack. Needs Linux 5.17. The
-- addresses are those of the packet, so that packets that no socket has are shown as well; bpftrace's tool of this name
-- leaves these out. The process is the one that runs at that moment.
local bpf = require "bpf"

local ROW <const> = [[printf("%%-8s %%-7d %%-16s %%-15s %%-5d %%-15s %%-5d %%-20s %%s\n%%s\n",
  time "%%H:%%M:%%S", pid, comm,
  ip(packet.saddr), ntohs(segment.source), ip(packet.daddr), ntohs(segment.dest), args.reason, %s, kstack)]]

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %-15s %-5s %-15s %-5s %-20s %s\n",
    "TIME", "PID", "COMMAND", "SADDR", "SPORT", "DADDR", "DPORT", "REASON", "STATE")]] },
  { "tracepoint/skb/kfree_skb", ([[
    local ETH_P_IP, IPPROTO_TCP = 0x800, 6
    local skb = cast(args.skbaddr, "struct sk_buff")
    local packet = cast(skb.head + skb.network_header, "struct iphdr")
    if args.protocol ~= ETH_P_IP or packet.protocol ~= IPPROTO_TCP then
      return
    end
    local segment = cast(skb.head + skb.network_header + packet.ihl * 4, "struct tcphdr")
    if skb.sk then
      %s
    else
      %s
    end
  ]]):format(ROW:format 'enum(skb.sk.__sk_common.skc_state, "TCP_")', ROW:format '"no socket"') },
})

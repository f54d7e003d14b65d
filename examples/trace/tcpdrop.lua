#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows TCP packets that the kernel drops, with the reason and the kernel's stack. Needs Linux 5.17. The addresses are
-- those of the packet, so that packets that no socket has are shown as well; bpftrace's tool of this name leaves these
-- out. The process is the one that runs at that moment.
local bpf = require "bpf"

local ROW <const> = [[printf("%%-8s %%-7d %%-16s %%-24s %%-5d %%-24s %%-5d %%-20s %%s\n%%s\n",
  time "%%H:%%M:%%S", pid, comm,
  ip(packet.saddr), ntohs(segment.source), ip(packet.daddr), ntohs(segment.dest), args.reason, %s, kstack)]]

-- What shows the packets of one version of IP: by the type of its headers, the field that says what follows them, and
-- their size.
local function shown(header, following, size)
  return ([[
    local IPPROTO_TCP = 6
    local packet = cast(start, "struct %s")
    if packet.%s == IPPROTO_TCP then
      local segment = cast(start + %s, "struct tcphdr")
      if skb.sk then
        %s
      else
        %s
      end
    end]]):format(header, following, size, ROW:format 'enum(skb.sk.__sk_common.skc_state, "TCP_")',
    ROW:format '"no socket"')
end

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %-24s %-5s %-24s %-5s %-20s %s\n",
    "TIME", "PID", "COMMAND", "SADDR", "SPORT", "DADDR", "DPORT", "REASON", "STATE")]] },
  { "tracepoint/skb/kfree_skb", ([[
    local ETH_P_IP, ETH_P_IPV6 = 0x800, 0x86dd
    local skb = cast(args.skbaddr, "struct sk_buff")
    local start = skb.head + skb.network_header
    if args.protocol == ETH_P_IP then
      %s
    elseif args.protocol == ETH_P_IPV6 then
      %s
    end
  ]]):format(shown("iphdr", "protocol", "packet.ihl * 4"), shown("ipv6hdr", "nexthdr", "40")) },
})

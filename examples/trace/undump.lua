#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows data that processes read from Unix sockets, the first 128 bytes of each packet. Needs kprobes.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %8s  %s\n", "TIME", "PID", "COMMAND", "SIZE", "DATA")]] },
  { "kprobe/unix_stream_read_actor", [[
    local skb = args.skb
    printf("%-8s %-7d %-16s %8d  %r\n", time "%H:%M:%S", pid, comm, skb.len, buf(skb.data, skb.len, 128))
  ]] },
})

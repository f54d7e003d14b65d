#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how long the queue of a listening TCP socket is when another connection comes in, as a histogram for each limit
-- of such queues. Needs kprobes. A queue that is longer than its limit is told at once: that connection is dropped.
local bpf = require "bpf"

assert(bpf.trace {
  { "kprobe/tcp_v4_syn_recv_sock,kprobe/tcp_v6_syn_recv_sock", [[
    local sk = args.sk
    backlog = hist(sk.sk_ack_backlog, sk.sk_max_ack_backlog)
    if sk.sk_ack_backlog > sk.sk_max_ack_backlog then
      printf("%s dropping a SYN of port %d: %d are waiting, the limit is %d\n", time "%H:%M:%S",
        sk.__sk_common.skc_num, sk.sk_ack_backlog, sk.sk_max_ack_backlog)
    end
  ]] },
})

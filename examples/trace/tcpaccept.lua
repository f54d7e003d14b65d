#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows TCP connections that processes accept, and how long the queue of the listening socket is then. bpftrace's tool
-- of this name needs kprobes, and shows the queue of the new socket, which has none.
local bpf = require "bpf"

-- The socket of a file descriptor of the process. `fd` is an array of pointers: each is read as that of a llist_node,
-- a struct that is a pointer and nothing else.
local FILE <const> = [[cast(cast(task.files.fdt.fd + 8 * %s, "struct llist_node").next, "struct file")]]
local SOCKET <const> = ([[cast(%s.private_data, "struct socket").sk]]):format(FILE)

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %-24s %-5s %-24s %-5s %s\n",
    "TIME", "PID", "COMMAND", "RADDR", "RPORT", "LADDR", "LPORT", "QUEUE")]] },
  { "tracepoint/syscalls/sys_enter_accept,tracepoint/syscalls/sys_enter_accept4", "listener[tid] = args.fd" },
  { "tracepoint/syscalls/sys_exit_accept,tracepoint/syscalls/sys_exit_accept4", ([[
    local AF_INET, AF_INET6 = 2, 10
    local fd = listener[tid]
    listener[tid] = nil
    if ret < 0 then
      return
    end
    local sk, listening = %s, %s
    local common = sk.__sk_common
    if common.skc_family == AF_INET then
      printf("%%-8s %%-7d %%-16s %%-24s %%-5d %%-24s %%-5d %%d/%%d\n", time "%%H:%%M:%%S", pid, comm,
        ip(common.skc_daddr), ntohs(common.skc_dport), ip(common.skc_rcv_saddr), common.skc_num,
        listening.sk_ack_backlog, listening.sk_max_ack_backlog)
    elseif common.skc_family == AF_INET6 then
      printf("%%-8s %%-7d %%-16s %%-24s %%-5d %%-24s %%-5d %%d/%%d\n", time "%%H:%%M:%%S", pid, comm,
        ip(common.skc_v6_daddr), ntohs(common.skc_dport), ip(common.skc_v6_rcv_saddr), common.skc_num,
        listening.sk_ack_backlog, listening.sk_max_ack_backlog)
    end
  ]]):format(SOCKET:format "ret", SOCKET:format "fd") },
})

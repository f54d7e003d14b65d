-- SPDX-License-Identifier: MIT
--- Names of the kernel's numbers.
-- @module bpf.format

local argument = require("bpf.base.argument")
local posix = require("bpf.base.posix")

local code = {}

--- Returns the name of an errno: "ENOENT". The negative numbers that functions of the kernel return are errnos, too.
-- @tparam integer n
-- @treturn string "0" for 0, which is success; the number for one that has no name
-- @usage
-- print(bpf.format.errno(2), bpf.format.errno(-13)) -- ENOENT   EACCES
function code.errno(n)
  n = argument.integer(1, "errno", n)
  local name = n > -4096 and n < 4096 and posix.code(n)
  return name and not name:find("^E%d") and name or ("%d"):format(n)
end

--- Returns what a function of the kernel or a system call returned as text: the name of the errno for a failure, the
-- number for all else, such as a descriptor or a size.
-- @tparam integer n
-- @treturn string
-- @usage
-- print(bpf.format.result(3), bpf.format.result(-13)) -- 3   EACCES
function code.result(n)
  n = argument.integer(1, "result", n)
  return n < 0 and code.errno(n) or ("%d"):format(n)
end

local FIRST <const>, LAST <const> = 34, 64 -- of the signals that glibc leaves to programs

--- Returns the name of a signal: "SIGTERM".
-- @tparam integer n
-- @treturn string the number for one that has no name
-- @usage
-- print(bpf.format.signal(15)) -- SIGTERM
function code.signal(n)
  n = argument.integer(1, "signal", n)
  if n >= FIRST and n <= LAST then
    return n == FIRST and "SIGRTMIN" or ("SIGRTMIN+%d"):format(n - FIRST)
  end
  return posix.signal(n) or ("%d"):format(n)
end

--- Returns the name of a system call of this machine's architecture: "openat".
-- @tparam integer n
-- @treturn string the number for one that has no name
-- @usage
-- print(bpf.format.syscall(0)) -- read, on x86_64
function code.syscall(n)
  n = argument.integer(1, "syscall", n)
  return require("bpf.format.syscalls").name(n) -- whose long list only few scripts need
end

local TCP_STATES <const> = {
  "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK",
  "LISTEN", "CLOSING", "NEW_SYN_RECV", "BOUND_INACTIVE",
}

--- Returns the name of a TCP socket's state, as the kernel has it without "TCP_": "ESTABLISHED".
-- @tparam integer n
-- @treturn string the number for one that has no name
-- @usage
-- print(bpf.format.tcp_state(1)) -- ESTABLISHED
function code.tcp_state(n)
  n = argument.integer(1, "tcp_state", n)
  return TCP_STATES[n] or ("%d"):format(n)
end

local PROTOCOLS <const> = {
  [1] = "ICMP", [2] = "IGMP", [4] = "IPIP", [6] = "TCP", [8] = "EGP", [12] = "PUP", [17] = "UDP", [22] = "IDP",
  [29] = "TP", [33] = "DCCP", [41] = "IPv6", [46] = "RSVP", [47] = "GRE", [50] = "ESP", [51] = "AH", [58] = "ICMPv6",
  [89] = "OSPF", [92] = "MTP", [94] = "BEETPH", [98] = "ENCAP", [103] = "PIM", [108] = "COMP", [112] = "VRRP",
  [115] = "L2TP", [132] = "SCTP", [136] = "UDP-Lite", [137] = "MPLS", [143] = "Ethernet", [262] = "MPTCP",
}

--- Returns the name of a protocol over IP, by its number in the IP header or of a socket: "TCP".
-- @tparam integer n
-- @treturn string the number for one that has no name
-- @usage
-- print(bpf.format.protocol(17)) -- UDP
function code.protocol(n)
  n = argument.integer(1, "protocol", n)
  return PROTOCOLS[n] or ("%d"):format(n)
end

return code

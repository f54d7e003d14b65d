#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows calls of OpenSSL 3 when they end, with their result and how many microseconds they took: handshakes, reads and
-- writes, and the operations with keys within handshakes. TIME is microseconds since the trace began. bpftrace's tool
-- of this name shows the functions of RSA and of elliptic curves, most of which need debug symbols; these are for all
-- algorithms.
local bpf = require "bpf"

local LIBRARIES = {
  { "libssl.so.3", { "SSL_do_handshake", "SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex" } },
  { "libcrypto.so.3", { "EVP_DigestSign", "EVP_DigestVerify", "EVP_PKEY_derive" } },
}

local trace = { { "begin", [[printf("%-10s %-7s %-16s %10s %6s  %s\n",
  "TIME", "TID", "COMMAND", "LATENCY", "RESULT", "FUNCTION")]] } }

-- A call may be within another one, so each function has its own start. Results are C's int.
for _, library in ipairs(LIBRARIES) do
  for _, name in ipairs(library[2]) do
    local place = library[1] .. ":" .. name
    trace[#trace + 1] = { "uprobe/" .. place, ("start_%s[tid] = nsecs"):format(name) }
    trace[#trace + 1] = { "uretprobe/" .. place, (([[
      printf("%-10u %-7d %-16s %10u %6d  NAME\n", elapsed // 1000, tid, comm, (nsecs - start_NAME[tid]) // 1000,
        (ret & 0xffffffff ~ 0x80000000) - 0x80000000)
      start_NAME[tid] = nil
    ]]):gsub("NAME", name)) }
  end
end

assert(bpf.trace(trace))

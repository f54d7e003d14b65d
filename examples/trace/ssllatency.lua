#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how many microseconds calls of OpenSSL 3 take, as histograms and in numbers, by function: handshakes, reads and
-- writes, and the operations with keys within handshakes. Calls that fail are apart. bpftrace's tool of this name
-- measures the functions of RSA and of elliptic curves, most of which need debug symbols; these are for all algorithms.
local bpf = require "bpf"

local LIBRARIES = {
  { "libssl.so.3", { "SSL_do_handshake", "SSL_read", "SSL_write", "SSL_read_ex", "SSL_write_ex" } },
  { "libcrypto.so.3", { "EVP_DigestSign", "EVP_DigestVerify", "EVP_PKEY_derive" } },
}

local trace = {}

-- A call may be within another one, so each function has its own start. Results are C's int, above 0 for success.
for _, library in ipairs(LIBRARIES) do
  for _, name in ipairs(library[2]) do
    local place = library[1] .. ":" .. name
    trace[#trace + 1] = { "uprobe/" .. place, ("start_%s[tid] = nsecs"):format(name) }
    trace[#trace + 1] = { "uretprobe/" .. place, (([[
      local us, result, call = (nsecs - start_NAME[tid]) // 1000, ret & 0xffffffff, "NAME"
      if result > 0 and result < 0x80000000 then
        latency = lhist(us, 0, 1000, 200, call)
        calls = stats(us, call)
      else
        failed_latency = lhist(us, 0, 1000, 200, call)
        failed_calls = stats(us, call)
      end
      start_NAME[tid] = nil
    ]]):gsub("NAME", name)) }
  end
end

assert(bpf.trace(trace))

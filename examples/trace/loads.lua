#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows the load averages each second. bpftrace's reads a variable of the kernel; here the body is Lua in the tool,
-- which reads the same numbers from a file.
local bpf = require "bpf"

assert(bpf.trace {
  { "every 1", [[
    local file <close> = io.open "/proc/loadavg"
    printf("%s  load averages: %s %s %s\n", os.date "%H:%M:%S", file:read("n", "n", "n"))]] },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows the lines that are typed in bash, when Enter is pressed. Debian's bash has the function readline itself; where
-- bash takes it from a library, the probe is uretprobe/libreadline.so.8:readline.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %s\n", "TIME", "PID", "COMMAND")]] },
  { "uretprobe/bash:readline", [[
    if ret ~= 0 then
      printf("%s %-7d %s\n", time "%H:%M:%S", pid, str(ret, 256))
    end]] },
})

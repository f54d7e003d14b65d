#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows when software RAID (md) flushes a device, and for which process. Its struct bio is that of Linux 5.12 and
-- newer.
local bpf = require "bpf"

assert(bpf.trace {
  { "begin", [[printf("%-8s %-7s %-16s %s\n", "TIME", "PID", "COMMAND", "DEVICE")]] },
  { "kprobe/md_flush_request", [[
    local bio = cast(arg1, "struct bio")
    printf("%s %-7d %-16s %s\n", time "%H:%M:%S", pid, comm, str(bio.bi_bdev.bd_disk.disk_name))]] },
})

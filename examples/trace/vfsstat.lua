#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Counts calls that read, write, sync, open and create files, every second. Needs kprobes.
local bpf = require "bpf"

assert(bpf.trace {
  { "kprobe/vfs_read*,kprobe/vfs_write*,kprobe/vfs_fsync,kprobe/vfs_open,kprobe/vfs_create", "calls = count(func)" },
  { "every 1", [[print(os.date "%H:%M:%S") print(calls) print() clear(calls)]] },
  { "end", "clear(calls)" },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Counts pages that are read from swap, by process, every second. Needs kprobes. The kernel's function has another name
-- since Linux 6.9.
local bpf = require "bpf"

assert(bpf.trace {
  { "kprobe/swap_readpage,kprobe/swap_read_folio", "pages = count(comm, pid)" },
  { "every 1", [[print(os.date "%H:%M:%S") print(pages) print() clear(pages)]] },
  { "end", "clear(pages)" },
})

#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Counts calls of the kernel's functions for files (vfs_read, vfs_open and so on). Needs kprobes.
local bpf = require "bpf"

assert(bpf.trace { { "kprobe/vfs_*", "calls = count(func)" } })

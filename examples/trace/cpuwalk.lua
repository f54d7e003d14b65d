#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows which CPUs are busy: samples 99 times a second, as a histogram over the numbers of CPUs.
local bpf = require "bpf"

assert(bpf.trace {
  { "profile/99", "if pid ~= 0 then cpus = lhist(cpu, 0, 1000, 1) end" },
})

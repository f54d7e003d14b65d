#!/usr/bin/env lua
-- SPDX-License-Identifier: MIT
-- Shows how long threads wait for a CPU, in microseconds, after they were woken or had to leave the CPU. (bpftrace's
-- leaves out those that were preempted, and counts the idle threads.)
local bpf = require "bpf"

local RUNNABLE <const> = 0xff -- 0 in these bits of prev_state; a bit above is set if the thread was preempted

assert(bpf.trace {
  { "tracepoint/sched/sched_wakeup, tracepoint/sched/sched_wakeup_new", "since[args.pid] = nsecs" },
  { "tracepoint/sched/sched_switch", ([[
    if args.prev_state & %d == 0 and args.prev_pid ~= 0 then
      since[args.prev_pid] = nsecs
    end
    if since[args.next_pid] then
      usecs = hist((nsecs - since[args.next_pid]) // 1000)
      since[args.next_pid] = nil
    end]]):format(RUNNABLE) },
})

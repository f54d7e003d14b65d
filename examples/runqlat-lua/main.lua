-- SPDX-License-Identifier: MIT
-- Shows how long threads wait for a CPU once they can run, as a histogram: runqlat in Lua alone. The programs read
-- struct task_struct by its members' names, and each CPU counts in an entry of its own.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"
local waits = require "waits"

local map, helper = bpf.map, bpf.helper

local options = waits.options()

-- Since when each thread waits. One that ends waiting stays, so this is bounded.
local WAITING = { type = "lru_hash", max_entries = 16384, key = "int", value = "__u64" }
-- By process; of all processes together, by 0. slots[i + 1]: from 2^i to 2^(i+1) ns. When there are too many processes,
-- those that were quiet longest are forgotten.
local WAITS = {
  type = "lru_percpu_hash", max_entries = 1024, key = "int",
  value = "struct waits { __u64 ns; __u64 slots[64]; }",
}
local NAMES = { type = "lru_hash", max_entries = 1024, key = "int", value = "char[16]" }

local function log2(n)
  local log = 0
  for i = 5, 0, -1 do
    local shift = 1 << i
    if n >> shift ~= 0 then
      n, log = n >> shift, log + shift
    end
  end
  return log
end

local function compile(waiting, counts, names)
  local target, by_process = options.pid, options.processes

  local function begin(task)
    local pid = task.pid
    if pid ~= 0 and (target == 0 or task.tgid == target) then -- 0: a CPU that has nothing to do
      waiting[pid] = helper.ktime_get_ns()
    end
  end

  local function state_of(task)
    if bpf.has(task, "__state") then
      return task.__state
    end
    return task.state -- before Linux 5.14
  end

  local function count(process, comm, ns)
    local mine, slot = counts[process], log2(ns) + 1
    if by_process then -- each time: it may have executed another program
      names[process] = comm
    end
    if not mine then
      counts[process] = {}
      mine = counts[process]
    end
    if mine then
      mine.ns = mine.ns + ns
      mine.slots[slot] = (mine.slots[slot] or 0) + 1
    end
  end

  local function switch(_, before, next)
    if state_of(before) == 0 then -- it had to go, and waits from now on
      begin(before)
    end
    local pid = next.pid
    local since = waiting[pid]
    if since then
      count(by_process and next.tgid or 0, next.comm, helper.ktime_get_ns() - since)
      waiting[pid] = nil
    end
  end

  return common.try(bpf.programs {
    wakeup = { "raw_tp/sched_wakeup", begin },
    wakeup_new = { "raw_tp/sched_wakeup_new", begin },
    switch = { "raw_tp/sched_switch", switch },
  })
end

common.main(function()
  local waiting <close> = common.try(map.create(WAITING))
  local counts <close> = common.try(map.create(WAITS))
  local names <close> = common.try(map.create(NAMES))
  local obj <close> = compile(waiting, counts, names)
  waits.show(obj, counts, names, options)
end)

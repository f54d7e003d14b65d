-- SPDX-License-Identifier: MIT
-- Shows how long threads wait for a CPU once they can run, as a histogram: runqlat in Lua alone. The programs read
-- struct task_struct by its members' names, and each CPU counts in an entry of its own.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local map, helper = bpf.map, bpf.helper

local parser = common.parser "Shows how long runnable threads wait for a CPU. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "show only threads of this process", 0):argname("PID"):convert(common.count)
local options = parser:parse()

-- Since when each thread waits. One that ends waiting stays, so this is bounded.
local WAITING = { type = "lru_hash", max_entries = 16384, key = "int", value = "__u64" }
-- slots[i + 1]: from 2^i to 2^(i+1) ns
local WAITS = { type = "percpu_array", max_entries = 1, value = "struct waits { __u64 ns; __u64 slots[64]; }" }

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

local function compile(waiting, waits)
  local target = options.pid

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

  local function switch(_, before, next)
    if state_of(before) == 0 then -- it had to go, and waits from now on
      begin(before)
    end
    local pid = next.pid
    local since = waiting[pid]
    if since then
      local ns, mine = helper.ktime_get_ns() - since, waits[0]
      local slot = log2(ns) + 1
      mine.ns = mine.ns + ns
      mine.slots[slot] = (mine.slots[slot] or 0) + 1
      waiting[pid] = nil
    end
  end

  return common.try(bpf.programs {
    wakeup = { "raw_tp/sched_wakeup", begin },
    wakeup_new = { "raw_tp/sched_wakeup_new", begin },
    switch = { "raw_tp/sched_switch", switch },
  })
end

-- Below how many nanoseconds so much of the waits was: the upper end of the bucket.
local function percentile(slots, total, share)
  local sum = 0
  for i, n in ipairs(slots) do
    sum = sum + n
    if sum >= total * share then
      return bpf.hist.time(2 ^ i)
    end
  end
end

common.main(function()
  local waiting <close> = common.try(map.create(WAITING))
  local counts <close> = common.try(map.create(WAITS))
  local obj <close> = compile(waiting, counts)
  common.try(obj:attach())
  print(("Measuring for %g s; Ctrl-C ends it"):format(options.seconds))
  common.sleep(options.seconds)
  obj:detach()

  local waits, total = map.sum(counts, 0), 0
  for _, n in ipairs(waits.slots) do
    total = total + n
  end
  print("\n" .. bpf.hist.log2(waits.slots, {
    title = "Wait for a CPU", unit = "ns", width = math.min(common.width(), 100),
  }))
  if total > 0 then
    print(("\n%s waits, on average %s; half below %s, 99 of 100 below %s"):format(bpf.hist.number(total),
      bpf.hist.time(waits.ns // total), percentile(waits.slots, total, 0.5), percentile(waits.slots, total, 0.99)))
  end
end)

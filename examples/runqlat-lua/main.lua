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
parser:flag("--processes", "show a line per process instead of a histogram", false)
parser:option("--top", "show at most N processes", "20"):argname("N"):convert(common.count)
parser:flag("--json", "print a JSON object per process", false)
local options = parser:parse()
options.processes = options.processes or options.json

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

local function compile(waiting, waits, names)
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
    local mine, slot = waits[process], log2(ns) + 1
    if by_process then -- each time: it may have executed another program
      names[process] = comm
    end
    if not mine then
      waits[process] = {}
      mine = waits[process]
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

-- Below how many nanoseconds so much of the waits was: the upper end of the bucket.
local function percentile(slots, total, share)
  local sum = 0
  for i, n in ipairs(slots) do
    sum = sum + n
    if sum >= total * share then
      return 2 ^ i
    end
  end
end

-- The waits by process, the longest in all first.
local function look(counts)
  local rows = {}
  for pid in map.keys(counts) do
    local waits, n = map.sum(counts, pid), 0
    for _, slot in ipairs(waits and waits.slots or {}) do -- nil: it has been forgotten meanwhile
      n = n + slot
    end
    rows[#rows + 1] = n > 0 and {
      pid = pid, n = n, ns = waits.ns, slots = waits.slots,
      half = percentile(waits.slots, n, 0.5), most = percentile(waits.slots, n, 0.99),
    } or nil
  end
  table.sort(rows, function(a, b) return a.ns > b.ns or a.ns == b.ns and a.pid < b.pid end)
  return rows
end

local function show_processes(rows, names)
  local row = bpf.format.columns({
    { name = "PID", width = 7 }, { name = "COMMAND", width = 16 }, { name = "WAITS", width = 8 },
    { name = "AVERAGE", width = 8, format = "duration" }, { name = "HALF BELOW", width = 10, format = "duration" },
    { name = "99 % BELOW", field = "most_below", width = 10, format = "duration" },
    { name = "TOTAL", width = 8, format = "duration" },
  }, { output = options.json and "json" or "text" })
  for i = 1, math.min(#rows, options.top) do
    local r = rows[i]
    row(r.pid, names[r.pid] or "?", r.n, r.ns // r.n, r.half // 1 | 0, r.most // 1 | 0, r.ns)
  end
end

local function show_histogram(all)
  print("\n" .. bpf.hist.log2(all and all.slots or {}, {
    title = "Wait for a CPU", unit = "ns", width = math.min(common.width(), 100),
  }))
  if all then
    print(("\n%s waits, on average %s; half below %s, 99 of 100 below %s"):format(bpf.hist.number(all.n),
      bpf.hist.time(all.ns // all.n), bpf.hist.time(all.half), bpf.hist.time(all.most)))
  end
end

common.main(function()
  local waiting <close> = common.try(map.create(WAITING))
  local counts <close> = common.try(map.create(WAITS))
  local names <close> = common.try(map.create(NAMES))
  local obj <close> = compile(waiting, counts, names)
  common.try(obj:attach())
  io.stderr:write(("Measuring for %g s; Ctrl-C ends it\n"):format(options.seconds))
  common.sleep(options.seconds)
  obj:detach()
  local rows = look(counts)
  if options.processes then
    show_processes(rows, names)
  else
    show_histogram(rows[1])
  end
end)

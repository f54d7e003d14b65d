-- SPDX-License-Identifier: MIT
-- Shows where the CPUs spend their time: profile in Lua alone. A perf event on each CPU stops it 99 times a second, a
-- function counts by stack in the kernel, and bpf.symbols gives the names. For a flame graph:
--     main.lua --folded --seconds 10 | flamegraph.pl >cpu.svg
-- For `go tool pprof`, Parca, Pyroscope or Grafana: main.lua --pprof cpu.pb
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"
local stacks = require "stacks"

local map, helper = bpf.map, bpf.helper

local parser = common.parser "Shows which functions the CPUs execute, and the most frequent stacks. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--freq", "take N samples per second", "99"):argname("N"):convert(common.count)
parser:option("--pid", "sample only this process", 0):argname("PID"):convert(common.count)
parser:option("--top", "show at most N functions", "10"):argname("N"):convert(common.count)
parser:option("--stacks", "show at most N stacks", "2"):argname("N"):convert(common.count)
parser:flag("--folded", "print only one line per stack, for flame graphs", false)
parser:option("--pprof", "write a file in pprof's format, too"):argname("FILE")
local options = parser:parse()

-- kernel, user: the stacks' keys in the map below; negative without one
local SAMPLES = {
  type = "hash", max_entries = 10240, key = "struct place { __u32 pid; __s32 kernel; __s32 user; char comm[16]; }",
  value = "__u64",
}
local STACKS = { type = "stack_trace", max_entries = 16384, key = "__u32", value = "__u64[127]" }

local USER_STACK <const> = 0x100 -- BPF_F_USER_STACK

-- The program: notes where the CPU is, each time a perf event fires.
local function compile(samples, traces)
  local target = options.pid
  local lost = bpf.var "struct { __u64 samples; }" -- that found the map full
  return common.try(bpf.programs { sample = { "perf_event", function(ctx)
    local pid = helper.get_current_pid_tgid() >> 32
    if pid == 0 or target ~= 0 and pid ~= target then -- 0: the CPU has nothing to do
      return
    end
    local place = {
      pid = pid, kernel = helper.get_stackid(ctx, traces), user = helper.get_stackid(ctx, traces, USER_STACK),
      comm = helper.get_current_comm(),
    }
    if samples[place] then
      map.add(samples, place)
    elseif not map.update(samples, place, 1, "noexist") then
      bpf.atomic.add(lost, "samples", 1)
    end
  end } })
end

-- Samples all CPUs that are online.
local function attach(prog)
  common.try(prog:attach_perf_event {
    type = "software", config = "cpu_clock", sample_freq = options.freq, cpu = "online",
  })
end

local function percent(total)
  return function(n) return ("%.1f %%"):format(100 * n / total) end
end

local function report(rows, functions, total, lost)
  local columns = {
    { name = "SHARE", field = "n", format = percent(total), align = "right" }, { name = "SAMPLES", field = "n" },
    { name = "FUNCTION", field = "what" },
  }
  print(("%d samples of %d stacks%s\n"):format(total, #rows, lost > 0 and (", %d lost"):format(lost) or ""))
  print(bpf.hist.table(table.move(functions, 1, math.min(options.top, #functions), 1, {}), columns, {
    width = common.width() }))
  for i = 1, math.min(options.stacks, #rows) do
    print(("\n%s, %d samples:"):format(percent(total)(rows[i].n), rows[i].n))
    print("  " .. rows[i].what:gsub(";", "\n  "))
  end
end

common.main(function()
  local samples <close> = common.try(map.create(SAMPLES))
  local stack_traces <close> = common.try(map.create(STACKS))
  local obj <close> = compile(samples, stack_traces)
  local finish, began = common.now() + options.seconds, bpf.clock "realtime"
  attach(obj.progs.sample)
  io.stderr:write(("Sampling for %g s; Ctrl-C ends it\n"):format(options.seconds)) -- not among what flame graphs read
  while common.now() < finish and common.sleep(math.min(finish - common.now(), 0.5)) do
    stacks.meet(samples)
  end
  obj:detach()
  stacks.meet(samples)
  common.try(bpf.symbols.kernel())

  local counts, leaves, total = {}, {}, 0
  for place, n in pairs(samples) do
    local stack = stacks.fold(stack_traces, place)
    local leaf = ("%s (%s)"):format(stack:match "[^;]*$", place.comm)
    counts[stack] = (counts[stack] or 0) + n
    leaves[leaf] = (leaves[leaf] or 0) + n
    total = total + n
  end
  if options.pprof then
    stacks.write(options.pprof, samples, stack_traces, options.freq, began)
  end
  local rows = stacks.sorted(counts)
  if options.folded then
    for _, row in ipairs(rows) do
      print(row.what .. " " .. row.n)
    end
  else
    report(rows, stacks.sorted(leaves), total, obj.vars.lost.samples)
  end
end)

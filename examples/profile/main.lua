-- SPDX-License-Identifier: MIT
-- Shows where the CPUs spend their time: a perf event on each CPU stops it 99 times a second, the program in the kernel
-- counts by stack, and bpf.symbols gives the names. For a flame graph:
--     main.lua --folded --seconds 10 | flamegraph.pl >cpu.svg
-- For `go tool pprof`, Parca, Pyroscope or Grafana: main.lua --pprof cpu.pb
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"
local stacks = require "stacks"

local parser = common.parser "Shows which functions the CPUs execute, and the most frequent stacks. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--freq", "take N samples per second", "99"):argname("N"):convert(common.count)
parser:option("--pid", "sample only this process", 0):argname("PID"):convert(common.count)
parser:option("--top", "show at most N functions", "10"):argname("N"):convert(common.count)
parser:option("--stacks", "show at most N stacks", "2"):argname("N"):convert(common.count)
parser:flag("--folded", "print only one line per stack, for flame graphs", false)
parser:option("--pprof", "write a file in pprof's format, too"):argname("FILE")
local options = parser:parse()

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
  local obj <close> = common.load { vars = { target_pid = options.pid } }
  local finish, began = common.now() + options.seconds, bpf.clock "realtime"
  attach(obj.progs.sample)
  io.stderr:write(("Sampling for %g s; Ctrl-C ends it\n"):format(options.seconds)) -- not among what flame graphs read
  while common.now() < finish and common.sleep(math.min(finish - common.now(), 0.5)) do
    stacks.meet(obj.maps.samples)
  end
  obj:detach()
  stacks.meet(obj.maps.samples)
  common.try(bpf.symbols.kernel())

  local counts, leaves, total = {}, {}, 0
  for place, n in pairs(obj.maps.samples) do
    local stack = stacks.fold(obj.maps.stacks, place)
    local leaf = ("%s (%s)"):format(stack:match "[^;]*$", place.comm)
    counts[stack] = (counts[stack] or 0) + n
    leaves[leaf] = (leaves[leaf] or 0) + n
    total = total + n
  end
  if options.pprof then
    stacks.write(options.pprof, obj.maps.samples, obj.maps.stacks, options.freq, began)
  end
  local rows = stacks.sorted(counts)
  if options.folded then
    for _, row in ipairs(rows) do
      print(row.what .. " " .. row.n)
    end
  else
    report(rows, stacks.sorted(leaves), total, obj.vars.lost)
  end
end)

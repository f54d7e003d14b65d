-- SPDX-License-Identifier: MIT
-- Shows where the CPUs spend their time: a perf event on each CPU stops it 99 times a second, the program in the kernel
-- counts by stack, and bpf.symbols gives the names. For a flame graph:
--     main.lua --folded --seconds 10 | flamegraph.pl >cpu.svg
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local symbols = bpf.symbols

local parser = common.parser "Shows which functions the CPUs execute, and the most frequent stacks. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--freq", "take N samples per second", "99"):argname("N"):convert(common.count)
parser:option("--pid", "sample only this process", 0):argname("PID"):convert(common.count)
parser:option("--top", "show at most N functions", "10"):argname("N"):convert(common.count)
parser:option("--stacks", "show at most N stacks", "2"):argname("N"):convert(common.count)
parser:flag("--folded", "print only one line per stack, for flame graphs", false)
local options = parser:parse()

-- Samples all CPUs that are online.
local function attach(prog)
  common.try(prog:attach_perf_event {
    type = "software", config = "cpu_clock", sample_freq = options.freq, cpu = "online",
  })
end

local processes = {} -- symbols by pid; read while a process lives

local function meet(samples)
  for place in bpf.map.keys(samples) do
    processes[place.pid] = processes[place.pid] or symbols.process(place.pid)
  end
end

-- Names joined by ";", from the outermost on: the command, its functions, and the kernel's, which end in "_[k]".
local function fold(stacks, place, kernel)
  local parts = { (place.comm:gsub("[; ]", "_")) }
  if place.user >= 0 then
    local user = processes[place.pid]
    local addresses = stacks[place.user] or {}
    parts[2] = user and symbols.stack(user, addresses, true) or #addresses > 0 and "[gone]" or nil
  end
  if place.kernel >= 0 then
    parts[#parts + 1] = symbols.stack(kernel, stacks[place.kernel] or {}, true):gsub("[^;]+", "%0_[k]")
  end
  return table.concat(parts, ";")
end

local function percent(total)
  return function(n) return ("%.1f %%"):format(100 * n / total) end
end

local function sorted(counts)
  local rows = {}
  for what, n in pairs(counts) do
    rows[#rows + 1] = { n = n, what = what }
  end
  table.sort(rows, function(a, b) return a.n > b.n or a.n == b.n and a.what < b.what end)
  return rows
end

local function report(stacks, functions, total, lost)
  local columns = {
    { name = "SHARE", field = "n", format = percent(total), align = "right" }, { name = "SAMPLES", field = "n" },
    { name = "FUNCTION", field = "what" },
  }
  print(("%d samples of %d stacks%s\n"):format(total, #stacks, lost > 0 and (", %d lost"):format(lost) or ""))
  print(bpf.hist.table(table.move(functions, 1, math.min(options.top, #functions), 1, {}), columns, {
    width = common.width() }))
  for i = 1, math.min(options.stacks, #stacks) do
    print(("\n%s, %d samples:"):format(percent(total)(stacks[i].n), stacks[i].n))
    print("  " .. stacks[i].what:gsub(";", "\n  "))
  end
end

common.main(function()
  local obj <close> = common.load { vars = { target_pid = options.pid } }
  local finish = common.now() + options.seconds
  attach(obj.progs.sample)
  io.stderr:write(("Sampling for %g s; Ctrl-C ends it\n"):format(options.seconds)) -- not among what flame graphs read
  while common.now() < finish and common.sleep(math.min(finish - common.now(), 0.5)) do
    meet(obj.maps.samples)
  end
  obj:detach()
  meet(obj.maps.samples)
  local kernel = common.try(symbols.kernel()) -- takes a while, in which no samples are lost now

  local counts, leaves, total = {}, {}, 0
  for place, n in pairs(obj.maps.samples) do
    local stack = fold(obj.maps.stacks, place, kernel)
    local leaf = ("%s (%s)"):format(stack:match "[^;]*$", place.comm)
    counts[stack] = (counts[stack] or 0) + n
    leaves[leaf] = (leaves[leaf] or 0) + n
    total = total + n
  end
  local stacks = sorted(counts)
  if options.folded then
    for _, row in ipairs(stacks) do
      print(row.what .. " " .. row.n)
    end
  else
    report(stacks, sorted(leaves), total, obj.vars.lost)
  end
end)

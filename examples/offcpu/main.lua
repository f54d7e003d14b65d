-- SPDX-License-Identifier: MIT
-- Shows where threads wait instead of running: for a lock, for a disk, for a packet, for a CPU. The program in
-- programs.lua, a function in Lua, sums the times by stack. profile shows the stacks on the CPU. For a flame graph:
--     main.lua --folded --seconds 10 | flamegraph.pl --countname us >offcpu.svg
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"
local programs = require "offcpu.programs"
local stacks = require "stacks"

local parser = common.parser([[
Shows stacks in which threads leave the CPU, and how long until they run again. Needs root.]])
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "show only threads of this process", 0):argname("PID"):convert(common.count)
parser:option("--min", "leave out times below so many microseconds", "1"):argname("US"):convert(common.count)
parser:option("--max", "leave out times above so many microseconds"):argname("US"):convert(common.count)
parser:option("--stacks", "show at most N stacks", "5"):argname("N"):convert(common.count)
parser:flag("--folded", "print only one line per stack, for flame graphs, with microseconds", false)
parser:flag("--json", "print a JSON object per stack", false)
local options = parser:parse()

-- The places that took the most time first, each with its stack.
local function look(times, traces)
  local rows = {}
  for place, ns in pairs(times) do
    place.us, rows[#rows + 1] = ns // 1000, place
    place.text = stacks.fold(traces, place)
  end
  table.sort(rows, function(a, b) return a.us > b.us or a.us == b.us and a.text < b.text end)
  return rows
end

local function report(rows)
  local row = options.json and bpf.format.columns({
    { name = "PID" }, { name = "COMMAND" }, { name = "MICROSECONDS" }, { name = "STACK" },
  }, { output = "json" })
  for i = 1, math.min(#rows, options.folded and #rows or options.stacks) do
    local r = rows[i]
    if row then
      row(r.pid, r.comm, r.us, r.text)
    elseif options.folded then
      print(r.text .. " " .. r.us)
    else
      print(("\n%s, %s (%d):\n  %s"):format(bpf.hist.time(r.us * 1000), r.comm, r.pid, r.text:gsub(";", "\n  ")))
    end
  end
  if not (options.json or options.folded) then
    local us = 0
    for _, r in ipairs(rows) do
      us = us + r.us
    end
    print(("\n%d stack%s, %s in all"):format(#rows, #rows == 1 and "" or "s", bpf.hist.time(us * 1000)))
  end
end

common.main(function()
  local times <close> = common.try(bpf.map.create(programs.TIMES))
  local traces <close> = common.try(bpf.map.create(programs.STACKS))
  local away <close> = common.try(bpf.map.create(programs.AWAY))
  local obj <close> = common.try(programs.load(times, traces, away, options.pid, options.min * 1000,
    options.max and options.max * 1000 or math.maxinteger))
  common.try(obj:attach())
  io.stderr:write(("Measuring for %g s; Ctrl-C ends it\n"):format(options.seconds)) -- not among what flame graphs read
  local finish = common.now() + options.seconds
  while common.now() < finish and common.sleep(math.min(finish - common.now(), 0.5)) do
    stacks.meet(times)
  end
  obj:detach()
  stacks.meet(times)
  report(look(times, traces))
end)

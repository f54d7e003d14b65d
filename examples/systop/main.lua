-- SPDX-License-Identifier: MIT
-- Shows every second what processes ask of the machine: CPU time, system calls, errors. The kernel counts by process,
-- each CPU for itself; map.rates adds up and divides by the time that passed.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser "Shows the processes that use most of the machine. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--interval", "show a table every N seconds", "1"):argname("N"):convert(common.seconds)
parser:option("--top", "show at most N processes", "10"):argname("N"):convert(common.count)
parser:option("--by", "order by cpu, calls, errors or switches", "cpu"):argname("COLUMN")
parser:flag("--json", "print a JSON object per process and interval", false)
local options = parser:parse()

local ORDER <const> = { cpu = "cpu_ns", calls = "calls", errors = "errors", switches = "switches" }

local COLUMNS <const> = {
  { name = "PID", width = 7 }, { name = "COMMAND", width = 16 }, { name = "CPU %", width = 6 },
  { name = "CALLS/S", width = 8 }, { name = "ERRORS/S", width = 8 }, { name = "US/CALL", width = 8 },
  { name = "SWITCHES/S", width = 10 },
}

-- Shows the processes with the highest rates since the last look. us/call: of how long the calls took, also asleep.
local function show(rates, processes, row)
  local rows, field = {}, ORDER[options.by]
  for pid, rate in rates() do
    rate.pid = pid
    rows[#rows + 1] = rate[field] > 0 and rate or nil
  end
  table.sort(rows, function(a, b) return a[field] > b[field] or a[field] == b[field] and a.pid < b.pid end)
  row() -- the headings, also above no rows
  for i = 1, math.min(#rows, options.top) do
    local r, process = rows[i], processes[rows[i].pid]
    row(r.pid, process and process.comm or "?", math.floor(r.cpu_ns / 1e7 + 0.5), math.floor(r.calls + 0.5),
      math.floor(r.errors + 0.5), r.calls > 0 and math.floor(r.call_ns / r.calls / 1000) or 0,
      math.floor(r.switches + 0.5))
  end
end

common.main(function()
  common.try(ORDER[options.by], "--by: cpu, calls, errors or switches")
  local obj <close> = common.load()
  common.try(obj:attach())
  io.stderr:write(("Watching for %g s; Ctrl-C ends it\n"):format(options.seconds))
  local rates, finish = bpf.map.rates(obj.maps.uses), common.now() + options.seconds
  repeat
    local ended = not common.sleep(math.min(options.interval, finish - common.now()))
    io.write(bpf.hist.terminal() and not options.json and "\27[H\27[J" or "")
    show(rates, obj.maps.processes, bpf.format.columns(COLUMNS, { output = options.json and "json" or "text" }))
  until ended or common.now() >= finish
end)

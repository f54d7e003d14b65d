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

local before, at = {}, common.now()

-- What each process used since the last look, as rows, and how many seconds ago that was.
local function look(uses)
  local rows, now, seconds = {}, {}, common.now() - at
  for pid in bpf.map.keys(uses) do
    local use = bpf.map.sum(uses, pid)
    if use then -- else it has been forgotten meanwhile
      local last, row = before[pid], { pid = pid }
      for name, n in pairs(use) do
        row[name] = n - (last and last[name] <= n and last[name] or 0)
      end
      now[pid], rows[#rows + 1] = use, row
    end
  end
  before, at = now, at + seconds
  return rows, seconds
end

local function show(obj, row, field)
  local rows, seconds = look(obj.maps.uses)
  table.sort(rows, function(a, b) return a[field] > b[field] or a[field] == b[field] and a.pid < b.pid end)
  for i = 1, math.min(#rows, options.top) do
    local r, process = rows[i], obj.maps.processes[rows[i].pid]
    if r[field] > 0 then
      local function rate(n) return math.floor(n / seconds + 0.5) end
      row(r.pid, process and process.comm or "?", rate(r.cpu_ns / 1e7), rate(r.calls),
        rate(r.errors), r.calls > 0 and r.call_ns // r.calls // 1000 or 0, rate(r.switches))
    end
  end
end

common.main(function()
  local field = common.try(ORDER[options.by], "--by: cpu, calls, errors or switches")
  local obj <close> = common.load()
  common.try(obj:attach())
  io.stderr:write(("Watching for %g s; Ctrl-C ends it\n"):format(options.seconds))
  local finish = common.now() + options.seconds
  repeat
    local ended = not common.sleep(math.min(options.interval, finish - common.now()))
    io.write(bpf.hist.terminal() and not options.json and "\27[H\27[J" or "")
    show(obj, bpf.format.columns(COLUMNS, { output = options.json and "json" or "text" }), field)
  until ended or common.now() >= finish
end)

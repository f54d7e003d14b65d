-- SPDX-License-Identifier: MIT
-- What the two forms of runqlat share: their options, and how they show what was counted. That is a `struct waits` by
-- process, with all nanoseconds and slots of powers of two, each CPU for itself; bpf.map.sum adds them up and
-- bpf.hist.log2 draws them.
local bpf = require "bpf"
local common = require "common"

local waits = {}

--- The options of the command line.
function waits.options()
  local parser = common.parser "Shows how long runnable threads wait for a CPU. Needs root."
  parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
  parser:option("--pid", "show only threads of this process", 0):argname("PID"):convert(common.count)
  parser:flag("--processes", "show a line per process instead of a histogram", false)
  parser:option("--top", "show at most N processes", "20"):argname("N"):convert(common.count)
  parser:flag("--json", "print a JSON object per process", false)
  local options = parser:parse()
  options.processes = options.processes or options.json
  return options
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
  for pid in bpf.map.keys(counts) do
    local sums, n = bpf.map.sum(counts, pid), 0
    for _, slot in ipairs(sums and sums.slots or {}) do -- nil: it has been forgotten meanwhile
      n = n + slot
    end
    rows[#rows + 1] = n > 0 and {
      pid = pid, n = n, ns = sums.ns, slots = sums.slots,
      half = percentile(sums.slots, n, 0.5), most = percentile(sums.slots, n, 0.99),
    } or nil
  end
  table.sort(rows, function(a, b) return a.ns > b.ns or a.ns == b.ns and a.pid < b.pid end)
  return rows
end

local function show_processes(rows, names, options)
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
  print(not all and "\n0 waits" or ("\n%s waits, on average %s; half below %s, 99 of 100 below %s"):format(
    bpf.hist.number(all.n), bpf.hist.time(all.ns // all.n), bpf.hist.time(all.half), bpf.hist.time(all.most)))
end

--- Attaches the programs for the time that was asked for, and shows what they have counted.
function waits.show(programs, counts, names, options)
  common.try(programs:attach())
  io.stderr:write(("Measuring for %g s; Ctrl-C ends it\n"):format(options.seconds))
  common.sleep(options.seconds)
  programs:detach()
  local rows = look(counts)
  if options.processes then
    show_processes(rows, names, options)
  else
    show_histogram(rows[1])
  end
end

return waits

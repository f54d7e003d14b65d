-- SPDX-License-Identifier: MIT
--- Runs the rows of a benchmark: ours and C's by turns, their medians, and what they are to be.
local hist = require "bpf.hist"

local measure = {}

measure.LOOPS = "build/bench/loops"

function measure.median(list)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return sorted[(#sorted + 1) // 2]
end

--- What a run of C's loop takes, in nanoseconds.
function measure.c(arguments)
  local pipe = assert(io.popen(measure.LOOPS .. " " .. arguments))
  local ns = pipe:read("n")
  assert(pipe:close() and ns, "this failed: " .. measure.LOOPS .. " " .. arguments)
  return ns
end

--- Stays on one CPU, the last, with the processes started from now on. Without taskset the results only vary more.
function measure.pin()
  os.execute("exec >/dev/null 2>&1; taskset -cp $(($(nproc) - 1)) $PPID")
end

local function format(value, unit)
  if not value then
    return nil
  elseif unit == "ns" then
    return (value < 100 and "%.1f ns" or "%.0f ns"):format(value)
  end
  return ("%.2f %s"):format(value, unit)
end

-- What a row is to reach, and whether it does: nil without a target.
local function judge(row, ours, c, bytes)
  local target = row.target
  if not target then
    return nil
  end
  local words, reached = {}, true
  local function limit(value, max, word)
    words[#words + 1] = word
    reached = reached and value <= max
  end
  if target.ratio then
    limit(ours / c, target.ratio, ("%.2f x C"):format(target.ratio))
  end
  if target.over then
    limit(ours - c, target.over, ("+%d ns"):format(target.over))
  end
  if target.max then
    limit(ours, target.max, ("%g %s"):format(target.max, row.unit))
  end
  if target.allocates then
    limit(bytes, target.allocates, "no garbage")
  end
  return table.concat(words, ", "), reached
end

-- The bytes that one run allocates beyond what it frees, with the collector stopped.
local function allocated(run)
  collectgarbage()
  collectgarbage("stop")
  run() -- Lua's own stack has shrunk by the collection
  local before = collectgarbage("count")
  run()
  local bytes = (collectgarbage("count") - before) * 1024
  collectgarbage("restart")
  return bytes
end

-- Measures one row. Its fields:
-- - name; unit, "ns" by default; runs, 7 by default
-- - target: a table of `ratio` to C, `over` C in ns, `max` in the unit, and bytes that it `allocates`
-- - prepare: a function that returns one that measures ours once, C's arguments or such a function, and a function to
--   call at the end
local function measure_row(row, progress)
  local ours_run, c_run, finish = row.prepare()
  local unit, runs = row.unit or "ns", row.runs or 7
  row.unit = unit
  if type(c_run) == "string" then
    local arguments = c_run
    c_run = function() return measure.c(arguments) end
  end
  ours_run() -- the first of each warms up
  if c_run then
    c_run()
  end
  local ours, c = {}, {}
  for i = 1, runs do
    progress(("%s %d/%d"):format(row.name, i, runs))
    collectgarbage()
    ours[i] = ours_run()
    c[i] = c_run and c_run()
  end
  local bytes = row.target and row.target.allocates and allocated(ours_run)
  if finish then
    finish()
  end
  collectgarbage()
  local a, b = measure.median(ours), c_run and measure.median(c)
  local target, reached = judge(row, a, b, bytes)
  local answer = reached and "yes" or reached == false and "no" or nil
  if bytes and bytes > 0 then
    answer = ("%s, %.0f bytes"):format(answer, bytes)
  end
  return {
    name = row.name, ours = format(a, unit), c = format(b, unit), ratio = b and ("%.2f"):format(a / b),
    over = b and unit == "ns" and ("%+.0f ns"):format(a - b) or nil, target = target, reached = answer,
  }
end

local COLUMNS = {
  { name = "WORK", field = "name" },
  { name = "OURS", field = "ours", align = "right" },
  { name = "C", field = "c", align = "right" },
  { name = "RATIO", field = "ratio", align = "right" },
  { name = "OVER C", field = "over", align = "right" },
  { name = "TARGET", field = "target" },
  { name = "REACHED", field = "reached" },
}

--- Measures the rows whose name matches the pattern and prints the table. On a terminal it tells how far it is.
function measure.run(rows, pattern)
  local live = hist.terminal()
  local width = live and hist.width() - 1 or 120
  local function progress(text)
    if live then
      io.stdout:write("\r\27[K", text):flush()
    end
  end
  local results = {}
  for _, row in ipairs(rows) do
    if row.name:find(pattern) then
      results[#results + 1] = measure_row(row, progress)
    end
  end
  progress("")
  print(hist.table(results, COLUMNS, { width = width }))
  return results
end

return measure

-- SPDX-License-Identifier: MIT
-- Counts system calls by process, with the time they take, and shows every program that is executed meanwhile.
local bpf = require "bpf"
local hist = bpf.hist

local USAGE = [[
Usage: main.lua [options] [seconds]
Counts system calls by process and shows programs that are executed, for 5 seconds or until Ctrl-C. Needs root.
TIME is the total time of the calls, including the time they slept.

  -d, --duration SECONDS  watch for this many seconds (5)
  -n, --top COUNT         list at most this many processes (10)
  -p, --pid PID           watch only this process
  -h, --help              show this text
]]

local FLAGS = { ["-d"] = "duration", ["--duration"] = "duration", ["-n"] = "top", ["--top"] = "top", ["-p"] = "pid",
  ["--pid"] = "pid" }

local function parse(args)
  local options, flag = { duration = 5, top = 10, pid = 0 }, nil
  local function misuse(word)
    io.stderr:write("syscount: not understood: ", word, "\n", USAGE)
    os.exit(2)
  end
  for _, word in ipairs(args) do
    local n, name = tonumber(word), FLAGS[flag] or "duration"
    if word == "-h" or word == "--help" then
      io.write(USAGE)
      os.exit(0)
    elseif FLAGS[word] and not flag then
      flag = word
    elseif n and n > 0 and (name == "duration" or math.tointeger(n)) then
      options[name], flag = math.tointeger(n) or n, nil
    else
      misuse(word)
    end
  end
  return not flag and options or misuse(flag)
end

-- What a call returned, or its error.
local function try(value, message)
  return value or error(message, 0)
end

-- Seconds since boot.
local function uptime()
  return bpf.clock "boottime" * 1e-9
end

local COLUMNS = {
  { name = "PID", field = "pid", align = "right" },
  { name = "COMMAND", field = "comm" },
  { name = "CALLS", field = "count", format = hist.number, align = "right" },
  { name = "CALLS/S", field = "rate", format = hist.number, align = "right" },
  { name = "TIME", field = "ns", format = hist.time, align = "right" },
  { name = "AVERAGE", field = "ns", format = function(ns, row) return hist.time(ns // row.count) end, align = "right" },
}

-- The processes in the map, those with the most calls first. `rate` says how many calls are how many a second.
local function processes(map, names, rate)
  local rows = {}
  for pid, cpus in pairs(map) do -- a sequence: each CPU counts for itself
    local row = { pid = pid, comm = names[pid], count = 0, ns = 0 }
    for _, cpu in ipairs(cpus) do
      row.comm = row.comm or cpu.count > 0 and cpu.comm
      row.count = row.count + cpu.count
      row.ns = row.ns + cpu.ns
    end
    if row.count > 0 then
      row.rate = rate(pid, row.count)
      rows[#rows + 1] = row
    end
  end
  table.sort(rows, function(a, b) return a.count > b.count end)
  return rows
end

local function count(rows)
  return #rows == 1 and "1 process" or #rows .. " processes"
end

local function top(rows, n, width)
  return hist.table(table.move(rows, 1, math.min(n, #rows), 1, {}), COLUMNS, { width = width })
end

-- Prints lines that stay and, on a terminal, below them a picture that is replaced the next time.
local screen = { live = hist.terminal(), width = hist.width() - 1, height = hist.height(), drawn = 0 }

function screen:show(lines, picture)
  local text = #lines > 0 and table.concat(lines, "\n") .. "\n" or ""
  if self.drawn > 0 then
    text = ("\r\27[%dA\27[J"):format(self.drawn) .. text
  end
  self.drawn = 0
  if picture and self.live then
    self.drawn = select(2, picture:gsub("\n", "\n")) + 1
    text = text .. picture .. "\n"
  end
  io.stdout:write(text):flush()
end

-- Shows what happens, every second, until the time is over or a signal comes.
local function watch(obj, options, names, signals)
  local began, seconds, before, execs, more = uptime(), 0, {}, {}, 0
  local events <close> = try(bpf.ringbuf(obj.maps.execs, "struct exec", function(e)
    names[e.pid] = e.comm
    if #execs < 20 then
      local line = ("%7.2f  exec %7d  %-16s %s"):format(e.ns / 1e9 - began, e.pid, e.comm, e.file)
      execs[#execs + 1] = hist.line(line, screen.width)
    else
      more = more + 1 -- nobody can read more a second
    end
  end))

  local function show()
    local now, rows = {}, processes(obj.maps.processes, names, function(pid, n) return n - (before[pid] or 0) end)
    for _, row in ipairs(rows) do
      now[row.pid] = row.count
    end
    execs[#execs + 1] = more > 0 and ("         and %d more"):format(more) or nil
    local title = ("%d of %g s, %s; Ctrl-C ends it"):format(seconds, options.duration, count(rows))
    screen:show(execs, ("\n\27[1m%s\27[m\n%s"):format(hist.line(title, screen.width),
      top(rows, math.min(options.top, screen.height - 5), screen.width)))
    before, execs, more = now, {}, 0
  end

  try(obj:attach())
  while uptime() < began + options.duration and not signals:poll(0) do
    local left = began + math.min(seconds + 1, options.duration) - uptime()
    try(events:poll(math.max(math.ceil(left * 1000), 0)))
    if uptime() >= began + seconds + 1 then
      seconds = math.max(seconds + 1, math.floor(uptime() - began)) -- the difference may be 1.99…
      show()
    end
  end
  show()
end

local function main(options)
  local signals <close> = try(bpf.signals("INT", "TERM"))
  local path = arg[0]:gsub("[^/]*$", "") .. "syscount.bpf.o"
  local obj <close> = try(bpf.load(path, { vars = { target_pid = options.pid } }))
  local names, began = {}, uptime() -- names: what processes have executed, by pid
  screen:show { "Watching " .. (options.pid > 0 and "process " .. options.pid or "all processes") }
  io.write(screen.live and "\27[?25l" or "") -- hides the cursor
  local ok, message = pcall(watch, obj, options, names, signals)
  io.write(screen.live and "\27[?25h" or "")
  try(ok, message)
  obj:detach()

  local seconds, calls, latency = uptime() - began, 0, bpf.map.sum(obj.maps.latencies, 0).slots
  for _, n in ipairs(latency) do
    calls = calls + n
  end
  local rows = processes(obj.maps.processes, names, function(_, n) return n / seconds end)
  screen:show {
    ("\n%s system calls of %s in %.1f s\n"):format(hist.number(calls), count(rows), seconds),
    top(rows, options.top, screen.width),
    "\n" .. hist.log2(latency, { title = "Time in the kernel, by call", unit = "ns", width = screen.width }),
    obj.vars.lost > 0 and ("\n%d more programs were executed: the ring buffer was full"):format(obj.vars.lost) or nil,
  }
end

local ok, message = pcall(main, parse(arg))
if not ok then
  io.stderr:write("syscount: ", tostring(message), "\n")
end
os.exit(ok, true)

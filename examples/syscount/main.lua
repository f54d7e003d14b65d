-- SPDX-License-Identifier: MIT
-- Counts system calls by process, with the time they take, and shows every program that is executed meanwhile.
local bpf = require "bpf"
local hist = bpf.hist

local USAGE = [[
Usage: main.lua [options] [seconds]
Counts system calls by process and shows what is executed, for 5 seconds or until Ctrl-C. Needs root.

  -d, --duration SECONDS  how long to watch
  -n, --top COUNT         how many processes to list (10)
  -p, --pid PID           watch this process only
  -h, --help              show this text
]]
local NAMES = { d = "duration", n = "top", p = "pid", h = "help" }

local function usage(message)
  io.stderr:write("syscount: ", message, "\n", USAGE)
  os.exit(2)
end

local function parse(args)
  local options = { duration = 5, top = 10, pid = 0 }
  local i = 1
  while args[i] do
    local name = args[i]:match("^%-%-(%a+)$") or NAMES[args[i]:match("^%-(%a)$")]
    if name == "help" then
      io.write(USAGE)
      os.exit()
    elseif name then
      i = i + 1
    end
    local n = tonumber(args[i])
    name = name or n and "duration"
    if not name or not options[name] then
      usage("what is '" .. args[i] .. "'?")
    elseif not n or n <= 0 or name ~= "duration" and not math.tointeger(n) then
      usage(name .. " must be a positive number")
    end
    options[name] = name == "duration" and n or math.tointeger(n)
    i = i + 1
  end
  return options
end

local function uptime()
  local file <close> = assert(io.open("/proc/uptime"))
  return file:read("n")
end

local COLUMNS = {
  { name = "PID", field = "pid" },
  { name = "COMMAND", field = "comm" },
  { name = "CALLS", field = "count", format = hist.number, align = "right" },
  { name = "CALLS/S", field = "rate", format = hist.number, align = "right" },
  { name = "TIME", field = "ns", format = hist.time, align = "right" },
  { name = "AVERAGE", field = "ns", format = function(ns, row) return hist.time(ns // row.count) end, align = "right" },
}

-- The processes seen so far, those with the most calls first. `before` has earlier counts, for the rate since then.
local function processes(map, names, before, seconds)
  local rows = {}
  for pid, cpus in pairs(map) do -- each CPU has counted for itself
    local row = { pid = pid, comm = names[pid] or "", count = 0, ns = 0 }
    for _, cpu in ipairs(cpus) do
      row.comm = row.comm ~= "" and row.comm or cpu.comm
      row.count = row.count + cpu.count
      row.ns = row.ns + cpu.ns
    end
    if row.count > 0 then
      row.rate = math.max(row.count - (before[pid] or 0), 0) / seconds
      rows[#rows + 1] = row
    end
  end
  table.sort(rows, function(a, b) return a.count > b.count end)
  return rows
end

local function main(options)
  local live, width, height = hist.terminal(), hist.width() - 1, hist.height()
  local names, execs, more = {}, {}, 0 -- what was executed by pid; lines to print, and how many were too many
  local began, shown, before = nil, 0, {} -- lines that the next picture replaces; counts at the last one

  local obj <close> = assert(bpf.load(arg[0]:gsub("[^/]*$", "") .. "syscount.bpf.o", {
    vars = { target_pid = options.pid },
  }))
  local events <close> = assert(bpf.ringbuf(obj.maps.execs, "struct exec", function(e)
    names[e.pid] = e.comm
    if #execs < 20 then
      local line = ("%6.2f  exec %7d  %-15s  %s"):format(e.ns / 1e9 - began, e.pid, e.comm, e.file)
      execs[#execs + 1] = hist.line(line, width)
    else
      more = more + 1
    end
  end))

  -- Prints what was executed since the last time, and below that the text, which stays until the next picture.
  local function show(text)
    if shown > 0 then
      io.write("\r\27[", shown, "A\27[J")
    end
    if more > 0 then
      execs[#execs + 1] = ("        … and %d more"):format(more)
    end
    execs[#execs + 1] = text
    io.write(table.concat(execs, "\n"), #execs > 0 and "\n" or "")
    io.flush()
    execs, more, shown = {}, 0, text and select(2, text:gsub("\n", "\n")) + 1 or 0
  end

  local function picture(seconds)
    local rows = processes(obj.maps.processes, names, before, 1)
    before = {}
    for _, row in ipairs(rows) do
      before[row.pid] = row.count
    end
    local title = ("%d of %g s, %d processes; Ctrl-C ends"):format(seconds, options.duration, #rows)
    local top = table.move(rows, 1, math.max(math.min(options.top, height - 4), 1), 1, {})
    return "\n\27[1m" .. hist.line(title, width) .. "\27[m\n" .. hist.table(top, COLUMNS, { width = width })
  end

  local function watch()
    local cursor <close> = setmetatable({}, { __close = function() io.write(live and "\27[?25h" or "") end })
    io.write(live and "\27[?25l" or "")
    local seconds = 0
    while uptime() - began < options.duration do
      local n, message, code = events:poll(50)
      assert(n or code == "EINTR", message) -- a signal: Ctrl-C raises "interrupted!", anything else doesn't matter
      if uptime() - began >= seconds + 1 then
        seconds = math.floor(uptime() - began)
        show(live and picture(seconds) or nil)
      end
    end
  end

  io.write("Watching ", options.pid > 0 and "process " .. options.pid or "all processes", " …\n")
  began = uptime()
  assert(obj:attach())
  local ok, message = pcall(watch)
  local seconds = math.max(uptime() - began, 0.01)
  obj:detach()
  if not ok and not tostring(message):find("interrupted!", 1, true) then
    error(message, 0)
  end
  events:consume()
  show()

  local rows, calls = processes(obj.maps.processes, names, {}, seconds), 0
  local latency = bpf.map.sum(obj.maps.latencies, 0).slots
  for _, n in ipairs(latency) do
    calls = calls + n
  end
  print(("\n%s system calls of %d processes in %.1f s\n"):format(hist.number(calls), #rows, seconds))
  print(hist.table(table.move(rows, 1, math.min(#rows, options.top), 1, {}), COLUMNS, { width = width }))
  print("\n" .. hist.log2(latency, { title = "Time a call takes", unit = "ns", width = width }))
  if obj.vars.lost > 0 then
    print(("\n%d executions went by unseen: the ring buffer was full"):format(obj.vars.lost))
  end
end

local ok, message = pcall(main, parse(arg))
if not ok then
  io.stderr:write("syscount: ", tostring(message), "\n")
end
os.exit(ok, true)

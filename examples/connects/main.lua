-- SPDX-License-Identifier: MIT
-- Shows the TCP connections that processes open, and sums them up by port. The guide's chapter docs/tool.md explains
-- this program from beginning to end. It uses the library and argparse.
local argparse = require "argparse"
local bpf = require "bpf"

-- What a call returned, or its error, without a position in this file.
local function try(value, message)
  return value or error(message, 0)
end

-- Arguments -----------------------------------------------------------------------------------------------------------

-- For argparse: the integer that follows an option, between two bounds.
local function number(option, least, most)
  return function(word)
    local n = math.tointeger(tonumber(word))
    if n and n >= least and n <= most then
      return n
    end
    return nil, ("%s: a number from %d to %d expected, got '%s'"):format(option, least, most, word)
  end
end

local parser = argparse("main.lua", "Shows the TCP connections that processes open, and sums them up by port.")
parser:option("--seconds", "how long, 0 for ever", "3"):convert(number("--seconds", 0, 0x7fffffff))
parser:option("--pid", "connections of this process only", 0):convert(number("--pid", 1, 0x7fffffff))
parser:option("--port", "connections to this port only", 0):convert(number("--port", 1, 65535))
parser:flag("--failed", "show only those that fail", false)
parser:option("--output", "how to print; csv and json have no sums", "text"):choices { "text", "csv", "json" }
parser:epilog "It needs root. Ctrl-C ends it, too."

-- Argparse ends with status 1, which is for a tool that failed.
function parser:error(message)
  io.stderr:write("connects: ", message, "\n", self:get_usage(), "\n")
  os.exit(2)
end

-- Output --------------------------------------------------------------------------------------------------------------

local COLUMNS <const> = {
  { name = "PID", width = 7, align = "right" }, { name = "COMMAND", width = 16 },
  { name = "MILLISECONDS", align = "right", format = function(ns) return ("%.3f"):format(ns / 1e6) end },
  { name = "RESULT", width = 6 }, { name = "PORT", width = 5, align = "right" }, { name = "ADDRESS", format = "ip" },
}

local function write(line)
  io.write(line, "\n")
  try(io.stdout:flush())
end

local function summary(obj)
  local rows, all = {}, 0
  for port, count in pairs(obj.maps.ports) do
    rows[#rows + 1] = {
      port = port, opened = count.opened, failed = count.failed,
      average = count.opened > 0 and bpf.hist.time(count.ns // count.opened) or "-",
    }
    all = all + count.opened + count.failed
  end
  table.sort(rows, function(a, b) return a.opened + a.failed > b.opened + b.failed end)
  write(("\n%d connection%s"):format(all, all == 1 and "" or "s"))
  if rows[1] then
    write(bpf.hist.table(rows, {
      { name = "PORT", field = "port", align = "right" }, { name = "OPENED", field = "opened", align = "right" },
      { name = "FAILED", field = "failed", align = "right" },
      { name = "AVERAGE", field = "average", align = "right" },
    }))
  end
  if obj.vars.lost > 0 then
    write(("%d connections were counted but not shown, because the ring was full"):format(obj.vars.lost))
  end
end

-- The program ---------------------------------------------------------------------------------------------------------

-- Waits for records until the time is over or a signal comes.
local function watch(events, signals, seconds)
  local finish = seconds > 0 and bpf.clock() + seconds * 1e9 or math.huge
  repeat
    try(events:poll(100))
  until signals:poll(0) or bpf.clock() >= finish
end

local function main(options)
  local signals <close> = try(bpf.signals("INT", "TERM"))
  local here = arg[0]:match "^(.*/)" or ""
  local obj <close> = try(bpf.load(here .. "connects.bpf.o", {
    vars = { target_pid = options.pid, target_port = options.port },
  }))
  local row = bpf.format.columns(COLUMNS, { output = options.output })
  local events <close> = try(bpf.ringbuf(obj.maps.connects, "struct connect", function(c)
    if not (options.failed and c.opened) then
      try(row(c.pid, c.comm, c.ns, c.opened and "opened" or "failed", c.port, c.address))
    end
  end))
  try(obj:attach())
  try(row()) -- the headings

  watch(events, signals, options.seconds)
  try(obj:detach())
  try(events:consume())
  if options.output == "text" then
    summary(obj)
  end
end

local ok, message = pcall(main, parser:parse())
if not ok then
  io.stderr:write("connects: ", tostring(message), "\n")
end
os.exit(ok, true)

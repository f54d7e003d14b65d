-- SPDX-License-Identifier: MIT
-- Shows the TCP connections that processes open, and sums them up by port. The guide's chapter docs/tool.md explains
-- this program from beginning to end; it uses nothing but the library.
local bpf = require "bpf"

local USAGE <const> = [[
Usage: main.lua [options]
Shows the TCP connections that processes open, and sums them up by port. Needs root.

  --seconds N  how long (3), 0 for ever; ends on Ctrl-C and SIGTERM, too
  --pid PID    connections of this process only
  --port PORT  connections to this port only
  --failed     show only those that fail
  --help       show this text
]]

-- What a call returned, or its error, without a position in this file.
local function try(value, message)
  return value or error(message, 0)
end

-- Arguments -----------------------------------------------------------------------------------------------------------

local function misuse(message)
  io.stderr:write("connects: ", message, "\n", USAGE)
  os.exit(2)
end

-- The integer that follows an option, between two bounds.
local function number(option, word, least, most)
  local n = math.tointeger(tonumber(word or ""))
  if not n or n < least or n > most then
    misuse(("%s: a number from %d to %d expected, got %s"):format(option, least, most, word or "nothing"))
  end
  return n
end

local function arguments(words)
  local options = { seconds = 3, pid = 0, port = 0, failed = false }
  local i = 1
  while words[i] do
    local word = words[i]
    if word == "--help" or word == "-h" then
      io.write(USAGE)
      os.exit(0)
    elseif word == "--failed" then
      options.failed = true
    elseif word == "--seconds" or word == "--pid" or word == "--port" then
      i = i + 1
      local most = word == "--port" and 65535 or 0x7fffffff
      options[word:sub(3)] = number(word, words[i], word == "--seconds" and 0 or 1, most)
    else
      misuse("not understood: " .. word)
    end
    i = i + 1
  end
  return options
end

-- Output --------------------------------------------------------------------------------------------------------------

local HEADING <const> = "    PID  COMMAND           MILLISECONDS  RESULT  TO"

local function write(line)
  io.write(line, "\n")
  try(io.stdout:flush())
end

local function show(c)
  local width = bpf.hist.terminal() and bpf.hist.width() or 1000
  local address = bpf.metrics.decode.ip(c.address)
  write(bpf.hist.line(("%7d  %-16s  %12.3f  %-6s  %s port %d"):format(c.pid, c.comm, c.ns / 1e6,
    c.opened and "opened" or "failed", address, c.port), width))
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
  local events <close> = try(bpf.ringbuf(obj.maps.connects, "struct connect", function(c)
    if not (options.failed and c.opened) then
      show(c)
    end
  end))
  try(obj:attach())
  write(HEADING)

  watch(events, signals, options.seconds)
  try(obj:detach())
  try(events:consume())
  summary(obj)
end

local ok, message = pcall(main, arguments(arg))
if not ok then
  io.stderr:write("connects: ", tostring(message), "\n")
end
os.exit(ok, true)

-- SPDX-License-Identifier: MIT
-- Shows each TCP connection when it ends: whose it was, how much went each way, and how long it was open. The program
-- in programs.lua, a function in Lua, reads the bytes from the kernel's struct tcp_sock.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"
local programs = require "tcplife.programs"

local parser = common.parser "Shows TCP connections that end, with their bytes and their age. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "show only connections of this process", 0):argname("PID"):convert(common.count)
parser:option("--port", "show only connections with this port at either end", 0):argname("N"):convert(common.count)
parser:flag("--json", "print a JSON object per connection", false)
local options = parser:parse()

local COLUMNS = {
  { name = "PID", width = 7, align = "right" }, { name = "COMMAND", width = 16 },
  { name = "LOCAL", width = 15, format = "ip" }, { name = "PORT", width = 5, align = "right" },
  { name = "REMOTE", width = 15, format = "ip" }, { name = "PORT", field = "remote_port", width = 5, align = "right" },
  { name = "SENT", width = 10, format = "bytes" }, { name = "RECEIVED", width = 10, format = "bytes" },
  { name = "OPEN", width = 9, format = "duration" },
}

common.main(function()
  local lives <close> = common.try(bpf.map.create { type = "ringbuf", max_entries = 256 * 1024 })
  local open <close> = common.try(bpf.map.create(programs.OPEN))
  local obj <close> = common.try(programs.load(lives, open, options.pid, options.port))
  local row = bpf.format.columns(COLUMNS, { output = options.json and "json" or "text" })
  local events <close> = common.try(bpf.ringbuf(lives, programs.Life, function(ns, sent, received, pid, ...)
    local port, remote_port, comm, address, remote = ...
    row(pid, comm, address, port, remote, remote_port, sent, received, ns)
  end, { unpack = true }))
  common.try(obj:attach())
  io.stderr:write(("Watching for %g s; Ctrl-C ends it\n"):format(options.seconds))
  row()
  common.poll(events, options.seconds)
  local missed = obj.vars.lost.records
  if missed > 0 then
    io.stderr:write(("%d not shown: the ring was full\n"):format(missed))
  end
end)

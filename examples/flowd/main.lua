-- SPDX-License-Identifier: MIT
-- A daemon that logs the flows of a network interface as JSON. luv's loop waits for signals, the ring that tells of new
-- flows, a timer, and clients of a Unix socket, who get the present flows.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser "Logs the flows of a network interface when they begin and end. Needs root and lua-luv."
parser:argument("interface", "without it, the tool creates its own network"):args "?"
parser:option("--seconds", "run for N seconds; 0: until a signal", "3"):argname("N"):convert(common.seconds)
parser:option("--idle", "a flow without packets for N seconds has ended", "30"):argname("N"):convert(common.count)
parser:option("--socket", "write the present flows to everybody who connects to this socket"):argname "PATH"
local options = parser:parse()

local format = bpf.format
local ok, uv = pcall(require, "luv")

-- What is logged of a flow, with the counts if they are given.
local function line(event, flow, traffic)
  return bpf.json {
    event = event, protocol = format.protocol(flow.protocol), here = format.ip(flow.here), port = flow.port,
    there = format.ip(flow.there), port_there = flow.port_there, sent = traffic and traffic.sent,
    received = traffic and traffic.received, packets = traffic and traffic.packets,
    seconds = traffic and (traffic.last - traffic.first) / 1e9,
  } .. "\n"
end

-- Logs the flows that have ended, or all, and forgets them.
local function sweep(flows, all)
  local limit = bpf.clock() - options.idle * 1000000000
  for flow, traffic in pairs(flows) do
    if all or traffic.ended_here and traffic.ended_there or traffic.last < limit then
      io.write(line("end", flow, traffic))
      flows[flow] = nil
    end
  end
end

-- Whoever connects gets the present flows.
local function serve(flows)
  local server = uv.new_pipe()
  common.try(server:bind(options.socket))
  common.try(server:listen(16, function()
    local client, lines = uv.new_pipe(), {}
    server:accept(client)
    for flow, traffic in pairs(flows) do
      lines[#lines + 1] = line("present", flow, traffic)
    end
    client:write(table.concat(lines), function() client:close() end)
  end))
  return server
end

-- Runs luv's loop until a signal comes or the time is over. luv closes a handle that is in no variable any more.
local function run(events, flows)
  local signals <close> = common.try(bpf.signals("INT", "TERM", "HUP"))
  local ended, ring, timer = uv.new_poll(signals:fd()), uv.new_poll(events:fd()), uv.new_timer()
  local limit, server = uv.new_timer(), options.socket and serve(flows) -- luacheck: ignore server
  ended:start("r", uv.stop)
  ring:start("r", function() events:consume() end)
  timer:start(1000, 1000, function() sweep(flows) end)
  limit:start(options.seconds > 0 and math.ceil(options.seconds * 1000) or math.maxinteger, 0, uv.stop)
  uv.run()
  sweep(flows, true)
end

common.main(function()
  common.try(ok, "luv is missing: Debian has it in the package lua-luv")
  local obj <close> = common.load()
  local net <close> = not options.interface and common.network(1) or nil
  local events <close> = common.try(bpf.ringbuf(obj.maps.begun, "struct flow", function(flow)
    io.write(line("begin", flow))
  end))
  for point, prog in pairs { ingress = obj.progs.flowd_in, egress = obj.progs.flowd_out } do
    common.try(prog:attach_tc(options.interface or net.interface, { attach_point = point, replace = prog:name() }))
  end
  common.run(net and net:command "for i in 1 2 3; do echo three >/dev/udp/198.18.1.1/9; done" or "true")
  io.stderr:write(("Watching %s; Ctrl-C ends it\n"):format(options.interface or net.interface))
  run(events, obj.maps.flows)
end)

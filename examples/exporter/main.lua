-- SPDX-License-Identifier: MIT
-- Gives maps to Prometheus: a counter whose labels are made of a program's name and a cgroup's number, a histogram that
-- each CPU counts for itself, and a gauge that an iterator measures when it is asked for.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser([[
Serves metrics over HTTP: system calls, times that threads wait for a CPU, TCP sockets. Needs root and LuaSocket.]])
parser:option("--seconds", "run for N seconds; 0: until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--address", 'listen on this address; "*" for all addresses', "127.0.0.1"):argname "A"
parser:option("--port", "listen on this port; 0 for a free port", "9435"):argname("N"):convert(common.count)
parser:option("--socket", "listen on a Unix socket instead"):argname "PATH":init ""
parser:option("--file", "serve nothing; write the metrics to a file for node_exporter at the end")
  :argname "PATH":init ""
local options = parser:parse()

local function describe(obj, sockets)
  local states = common.try(bpf.metrics.enum("enum tcp_state", obj:btf(), "TCP_"))
  local metrics = bpf.metrics.new { prefix = "example", on_error = function(name, message) print(name, message) end }
  metrics:counter {
    name = "system_calls", help = "System calls by program and cgroup.", map = obj.maps.calls,
    labels = { "process", { "cgroup", decode = "cgroup" } },
  }
  metrics:histogram {
    name = "run_queue_wait", unit = "seconds", help = "How long threads that could run waited for a CPU.",
    map = obj.maps.waits, buckets = "slots", sum = "ns", scale = 1e-9, first = 9, last = 34, -- from 1 us to 34 s
  }
  metrics:gauge {
    name = "tcp_sockets", help = "TCP sockets by state.",
    labels = { { "state", decode = function(i) return states[i - 1] and states[i - 1]:lower() end } },
    map = function()
      obj.vars.sockets = {}
      common.try(sockets:read())
      return obj.vars.sockets
    end,
  }
  return metrics
end

common.main(function()
  local obj <close> = common.load()
  local sockets = common.try(obj.progs.tcp:attach_iter())
  for _, name in ipairs { "sys_enter", "wakeup", "wakeup_new", "sched_switch" } do
    common.try(obj.progs[name]:attach())
  end
  local metrics = describe(obj, sockets)
  if options.file ~= "" then
    common.sleep(options.seconds)
    print(("%d series in %s"):format(common.try(metrics:write_file(options.file)), options.file))
    return
  end
  common.try(metrics:serve {
    address = options.address, port = options.port, socket = options.socket ~= "" and options.socket or nil,
    seconds = options.seconds > 0 and options.seconds or nil,
    ready = function(address, port)
      local where = port and ("http://%s:%d/metrics"):format(address, port) or address
      print(("Serving %s; Ctrl-C ends it"):format(where))
    end,
  })
end)

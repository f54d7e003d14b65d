-- SPDX-License-Identifier: MIT
-- What the examples of bpf.prog use, each made when an example names it: `obj`, with loaded programs of several
-- objects; `opened`, an object that is not loaded; `prog`, an xdp program; `dir` on a bpffs; `group`, a cgroup; and
-- `sock`, a socket.
-- Programs for the network are loaded in a network namespace of their own, whose interface is called eth0.
local bpf = require "bpf"
local helper = require "spec.helper"
local attach = require "spec.support.attach"
local net = require "spec.support.net"

local assert = require "luassert" -- what the kernel refuses is skipped

-- Which object each program is loaded from.
local OBJECTS <const> = {
  add = "packets", on_packet = "packets",
  everything = "attach_net", count_packets = "attach_net",
  pass = "attach_net", drop = "attach_net", one = "attach_net", look_up = "attach_net",
  skb_to_sock = "sockmap",
  by_choice = "reuseport",
  count = "counters",
  on_raw = "attach_trace", on_enter = "attach_trace",
  on_event = "attach_perf_event",
  on_function = "attach_probe",
  on_step = "attach_usdt",
  tasks = "iters", pairs = "iters",
}

-- Their variables, so that the programs count what this process does, and nothing else.
local VARS <const> = {
  attach_trace = { target = helper.pid },
  attach_probe = { target = helper.pid },
  iters = { self = helper.pid },
}

-- Those that attach to interfaces and namespaces.
local NETWORK <const> = { pass = true, drop = true, one = true, look_up = true }

-- `more` are further things, each a function that makes one.
return function(env, more)
  local closing = {}
  local made, programs, maps = {}, {}, {}
  local space

  local function later(close, ...)
    closing[#closing + 1] = table.pack(close, ...)
  end

  local function enter_network()
    if not space then
      space = net.space()
      net.must(("ip -n %s link add eth0 type veth peer name eth1 && ip -n %s link set eth0 up"):format(space, space))
      net.enter(space)
      later(net.remove)
    end
  end

  local function load(name)
    if NETWORK[name] then
      enter_network()
    end
    local object = OBJECTS[name]
    local obj = assert(attach.load(object, { name }, VARS[object]))
    later(obj.close, obj)
    for map_name, map in pairs(obj.maps) do
      maps[map_name] = map
    end
    return obj.progs[name]
  end

  local makers = more or {}

  function makers.obj()
    return { progs = setmetatable(programs, { __index = function(t, name)
      t[name] = load(name)
      return t[name]
    end }), maps = maps }
  end

  function makers.prog()
    return load "on_packet"
  end

  function makers.opened()
    local opened = assert(bpf.open(helper.obj "packets"))
    later(opened.close, opened)
    return opened
  end

  function makers.dir()
    return helper.bpffs()
  end

  function makers.group()
    later(net.remove)
    return net.cgroup()
  end

  function makers.sock()
    local sock = assert(require("socket").udp4())
    later(sock.close, sock)
    return sock
  end

  setmetatable(env, { __index = function(_, name)
    if not made[name] and makers[name] then
      made[name] = makers[name](env)
    end
    return made[name] or _G[name]
  end })
  return function()
    for i = #closing, 1, -1 do
      closing[i][1](table.unpack(closing[i], 2))
    end
  end
end

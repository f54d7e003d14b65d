-- SPDX-License-Identifier: MIT
-- What the tools watch that bench/tools/compare.lua runs: `loads.lua NAME SECONDS`. Each load is paced, so that it is
-- the same whoever watches.
local socket = require "socket"

local loads = {}

function loads.opens()
  for _ = 1, 100 do
    assert(io.open "/etc/hostname"):close()
  end
end

function loads.calls()
  local file <close> = assert(io.open("/dev/null", "w"))
  file:setvbuf "no"
  for _ = 1, 2000 do
    file:write "x"
  end
end

local listener

function loads.connections()
  listener = listener or assert(socket.bind("127.0.0.1", 0))
  for _ = 1, 5 do
    local address, port = listener:getsockname()
    local client = assert(socket.connect(address, port))
    local server = assert(listener:accept())
    client:send(("x"):rep(1000))
    client:close()
    server:receive "*a"
    server:close()
  end
end

local blocks = {} -- luacheck: ignore (nobody reads them)

function loads.allocations()
  for i = 1, 200 do
    blocks[i] = ("x"):rep(1000 + i)
  end
end

function loads.strings()
  for i = 1, 1000 do
    blocks[i] = ("x"):rep(1000 + i)
  end
end

-- Something for the CPUs to do, in functions that are known by name.
function loads.work()
  local n = 0
  for i = 1, 100000 do
    n = n + i % 7
  end
end

local names, client

function loads.questions()
  if not names then
    names, client = assert(socket.udp()), assert(socket.udp())
    assert(names:setsockname("127.0.0.1", 53))
    assert(client:setpeername("127.0.0.1", 53))
  end
  for i = 1, 5 do
    local id = (">I2"):pack(i)
    client:send(id .. "\1\0\0\1\0\0\0\0\0\0\4name\7example\0\0\1\0\1")
    local question, address, port = names:receivefrom()
    local answer = question:sub(13) .. "\xc0\x0c\0\1\0\1\0\0\0\60\0\4\1\2\3\4"
    names:sendto(id .. "\x81\x80\0\1\0\1\0\0\0\0" .. answer, address, port)
    client:receive()
  end
end

local load = assert(loads[arg[1]], "no such load")
local finish = socket.gettime() + tonumber(arg[2])
while socket.gettime() < finish do
  load()
  socket.sleep(0.01)
end

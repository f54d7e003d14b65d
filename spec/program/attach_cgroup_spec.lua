-- SPDX-License-Identifier: MIT
-- Every hook of cgroups: what a program there refuses or changes is seen by a member, and by nobody else.
local socket = require("socket")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local attach = require("spec.support.attach")
local calls = require("support.netcalls")
local net = require("spec.support.net")

kernel.root()
kernel.need("links of cgroups' programs", "5.7")

local PORT = 7030 -- as in the programs

local group

before_each(function()
  group = net.cgroup()
  net.enter(net.space())
end)

after_each(net.remove)

-- A socket that is closed with the block: udp4, tcp6 and the like.
local function open(kind)
  local s, message = socket[kind]()
  if not s then
    return nil, message
  end
  s:settimeout(5 * helper.slow)
  return setmetatable({}, {
    __index = function(_, name)
      return function(_, ...) return s[name](s, ...) end
    end,
    __close = function() s:close() end,
  })
end

local LOOPBACK = { ["4"] = "127.0.0.1", ["6"] = "::1" }

-- What a member does; returns what it came to.
local function bind(family)
  local s <close> = open("udp" .. family)
  local ok = s:setsockname(LOOPBACK[family], PORT)
  return ok and math.tointeger((select(2, s:getsockname()))) or "refused"
end

-- The port that a connection to PORT leads to: there are listeners at PORT and the next.
local function connect(family)
  local listeners, all = {}, {}
  for port = PORT, PORT + 1 do
    local s = assert(socket["tcp" .. family]())
    assert(s:setoption("reuseaddr", true))
    assert(s:bind(LOOPBACK[family], port))
    assert(s:listen())
    s:settimeout(0)
    listeners[port], all[#all + 1] = s, s
  end
  local s <close> = open("tcp" .. family)
  assert(s:connect(LOOPBACK[family], PORT))
  socket.select(all, nil, 10)
  local got
  for port, listener in pairs(listeners) do
    local accepted = listener:accept()
    if accepted then
      got = port
      accepted:close()
    end
    listener:close()
  end
  return got
end

-- The port that a datagram to PORT comes to, which a member sends.
local function send(family)
  local one <close> = open("udp" .. family)
  local other <close> = open("udp" .. family)
  assert(one:setsockname(LOOPBACK[family], PORT))
  assert(other:setsockname(LOOPBACK[family], PORT + 1))
  local s <close> = open("udp" .. family)
  assert(s:sendto("x", LOOPBACK[family], PORT))
  socket.select({ one, other }, nil, 10)
  one:settimeout(0)
  other:settimeout(0)
  return one:receive() and PORT or other:receive() and PORT + 1 or "lost"
end

-- The port that a datagram from PORT + 1 seems to come from.
local function receive(family)
  local from <close> = open("udp" .. family)
  local to <close> = open("udp" .. family)
  assert(from:setsockname(LOOPBACK[family], PORT + 1))
  assert(to:setsockname(LOOPBACK[family], PORT + 2))
  assert(from:sendto("x", LOOPBACK[family], PORT + 2))
  local data, _, port = to:receivefrom()
  return data and math.tointeger(port) or "lost"
end

-- The port that a socket, or its peer, has by its own account: really PORT + 1.
local function named(family, which)
  local s <close> = open("udp" .. family)
  if which == "getsockname" then
    assert(s:setsockname(LOOPBACK[family], PORT + 1))
  else
    assert(s:setpeername(LOOPBACK[family], PORT + 1))
  end
  return math.tointeger((select(2, s[which](s))))
end

local function create()
  local s <close> = open("udp4")
  return s and "made" or "refused"
end

local function keepalive(set)
  local s <close> = open("tcp4")
  if set then
    return s:setoption("keepalive", true) and "set" or "refused"
  end
  return s:getoption("keepalive")
end

local function sysctl()
  local file <close> = assert(io.open("/proc/sys/net/ipv4/ip_forward", "w"))
  file:setvbuf("no")
  return file:write("0\n") and "written" or "refused"
end

local function device()
  local file <close> = io.open("/dev/null")
  return file and "opened" or "refused"
end

local function datagram()
  local from <close> = open("udp4")
  local to <close> = open("udp4")
  assert(to:setsockname("127.0.0.1", PORT + 3))
  to:settimeout(0.1 * helper.slow)
  return from:sendto("x", "127.0.0.1", PORT + 3) and to:receive() or "lost"
end

describe("attach_cgroup:", function()
  -- the program, the kernel that has the hook, what a member does, what comes of it with and without the program
  local cases = {
    { "on_sock_create", "4.10", create, "refused", "made" },
    { "on_sock_release", "5.9", create, "made", "made" },
    { "on_getsockopt", "5.3", keepalive, true, false },
    { "on_setsockopt", "5.3", function() return keepalive(true) end, "refused", "set" },
    { "on_sysctl", "5.2", sysctl, "refused", "written" },
    { "on_dev", "4.15", device, "refused", "opened" },
    { "on_egress", "4.10", datagram, "lost", "x" },
    { "on_ingress", "4.10", datagram, "lost", "x" },
  }
  for _, family in ipairs({ "4", "6" }) do
    for _, case in ipairs({
      { "bind", "4.17", bind, PORT + 1, PORT },
      { "post_bind", "4.17", bind, "refused", PORT },
      { "connect", "4.17", connect, PORT + 1, PORT },
      { "sendmsg", "4.18", send, PORT + 1, PORT },
      { "recvmsg", "5.2", receive, PORT, PORT + 1 },
      { "getpeername", "5.8", function(f) return named(f, "getpeername") end, PORT, PORT + 1 },
      { "getsockname", "5.8", function(f) return named(f, "getsockname") end, PORT, PORT + 1 },
    }) do
      cases[#cases + 1] = { "on_" .. case[1] .. family, case[2], function() return case[3](family) end, case[4],
        case[5], needs = family == "6" and net.need_ipv6 }
    end
  end

  for _, case in ipairs(cases) do
    local name, since, act, with, without = table.unpack(case)
    it(name .. " is asked about members, and about no others", function()
      kernel.need("this hook", since)
      if case.needs then
        case.needs()
      end
      local obj <close> = assert(attach.load("attach_cgroup", { name }))
      local dir <close> = assert(io.open(group))
      for _, where in ipairs({ group, dir }) do
        obj.vars.seen = 0
        local link = assert(obj.progs[name]:attach_cgroup(where))
        assert.equal(without, (act()))
        assert.equal(0, obj.vars.seen)
        assert.equal(with, (net.in_cgroup(group, act)))
        assert.is_true(obj.vars.seen > 0, "the program was not asked")
        assert.equal("cgroup", link:info().type)
        attach.close(link)
        assert.equal(without, (net.in_cgroup(group, act)))
      end
    end)
  end

  it("on_connection is told of members' connections", function()
    local obj <close> = assert(attach.load("attach_cgroup", { "on_connection" }))
    local link = assert(obj.progs.on_connection:attach_cgroup(group))
    local function connection()
      for _, s in ipairs({ net.connection() }) do
        s:close()
      end
    end
    connection()
    assert.equal(0, obj.vars.seen)
    net.in_cgroup(group, connection)
    assert.equal(1, obj.vars.seen)
    assert.equal("cgroup_sock_ops", link:info().attach_type)
    attach.close(link)
    net.in_cgroup(group, connection)
    assert.equal(1, obj.vars.seen)
  end)
end)

describe("attach_cgroup to Unix sockets:", function()
  setup(function()
    kernel.need("hooks of Unix sockets", "6.7")
    kernel.libbpf("sections of Unix sockets", "1.3")
  end)

  local unix = require("socket.unix")

  -- A member connects to a listener and sends it a word. Returns what arrives, or how far it comes.
  local function talk()
    local path = helper.tmpdir() .. "/socket"
    local server = assert(unix.stream())
    assert(server:bind(path))
    assert(server:listen())
    server:settimeout(5 * helper.slow)
    local s = assert(unix.stream())
    local got = "refused"
    if s:connect(path) then
      local accepted = assert(server:accept())
      got = "connected"
      accepted:close()
    end
    s:close()
    server:close()
    return got
  end

  -- A datagram between two sockets with names.
  local function datagram_by_name()
    local dir = helper.tmpdir()
    local one, other = assert(unix.dgram()), assert(unix.dgram())
    assert(one:bind(dir .. "/one"))
    assert(other:bind(dir .. "/other"))
    other:settimeout(5 * helper.slow)
    local got = "refused"
    if one:sendto("x", dir .. "/other") then
      got = other:receivefrom()
    end
    one:close()
    other:close()
    return got
  end

  local function names()
    local dir = helper.tmpdir()
    local one, other = assert(unix.dgram()), assert(unix.dgram())
    assert(one:bind(dir .. "/one"))
    assert(other:bind(dir .. "/other"))
    assert(other:connect(dir .. "/one"))
    calls.names(other:getfd())
    one:close()
    other:close()
    return "named"
  end

  for _, case in ipairs({
    { "on_connect_unix", talk, "refused", "connected" },
    { "on_sendmsg_unix", datagram_by_name, "refused", "x" },
    { "on_recvmsg_unix", datagram_by_name, "x", "x" },
    { "on_getpeername_unix", names, "named", "named" },
    { "on_getsockname_unix", names, "named", "named" },
  }) do
    local name, act, with, without = table.unpack(case)
    it(name .. " is asked about members", function()
      local obj <close> = assert(attach.load("attach_unix", { name }))
      local link = assert(obj.progs[name]:attach_cgroup(group))
      assert.equal(without, (act()))
      assert.equal(0, obj.vars.seen)
      assert.equal(with, (net.in_cgroup(group, act)))
      assert.is_true(obj.vars.seen > 0, "the program was not asked")
      attach.close(link)
      assert.equal(without, (net.in_cgroup(group, act)))
    end)
  end
end)

-- SPDX-License-Identifier: MIT
-- Servers that run the recipes of docs/servers.md, word for word: as their own users, with pins that root has made, and
-- clients on a loopback of their own. lighttpd is an example, which net_spec runs.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local net = require "spec.support.net"
local socket = helper.require "socket"

kernel.root()
kernel.need("programs of type syscall", "5.14")
kernel.need("pins that are opened without capabilities", "5.19")

local CLIENT <const> = "\127\0\0\1"
local SECONDS <const> = 30 * helper.slow -- how long a server may take for anything

local function wait(what, fn, log)
  return helper.await(SECONDS, what, fn, log)
end

-- A section of the page, or what is in its Lua block, with our folder of pins.
local function recipe(section, pins)
  local part = assert(helper.read "docs/servers.md":match("\n## " .. section .. "\n(.-)\n## "), section)
  return (assert(part:match "```lua\n(.-)```", section):gsub("/run/web/", pins .. "/"))
end

-- The environment in which a server finds the tree's modules, whatever its folder.
local function environment()
  local here = helper.run("pwd"):match "[^\n]+"
  local function absolute(path)
    return helper.quote((path:gsub("[^;]+", function(p) return p:sub(1, 1) == "/" and p or here .. "/" .. p end)))
  end
  return ("LUA_PATH=%s LUA_CPATH=%s"):format(absolute(package.path), absolute(package.cpath))
end

-- The programs and maps, pinned for a user: { obj =, path = } until the end of the block.
local function pins_of(user, dir)
  local path = dir .. "/pins"
  net.must(("mkdir %s; mount -t bpf -o mode=0755 servers %s"):format(path, path))
  local pins = setmetatable({ path = path }, { __close = function(self)
    self.obj:close()
    net.must("umount " .. path)
  end })
  pins.obj = assert(bpf.load(helper.obj "servers"))
  assert(pins.obj:pin(path))
  net.must(("chown %s %s/*"):format(user, path))
  return pins
end

-- Whether a process of ours has ended; nobody has waited for it yet.
local function ended(pid)
  local file <close> = io.open(("/proc/%d/status"):format(pid))
  return not file or file:read("a"):find "\nState:%s+Z" ~= nil
end

-- A server, which the end of the block kills unless it has ended before.
local function start(command, log)
  local pipe = assert(io.popen(("echo $$; exec %s >>%s 2>&1"):format(command, log)))
  local pid = pipe:read "n"
  return setmetatable({ pid = pid }, { __close = function()
    os.execute(("kill -KILL %d 2>/dev/null"):format(pid))
    pipe:close()
  end })
end

-- Asks a server to end, which it does.
local function stop(server, log)
  assert.falsy(ended(server.pid), log)
  os.execute(("kill %d"):format(server.pid))
  wait("the server's end", function() return ended(server.pid) end, log)
end

-- Has the kernel report so many packets of 60 bytes each.
local function drop(obj, count)
  for _ = 1, count do
    assert.equal(0, assert(obj.progs.drop:run { ctx = CLIENT .. string.pack("=I4", 60) }).retval)
  end
end

local function connect(port)
  local client = assert(socket.tcp4())
  client:settimeout(SECONDS)
  if client:connect("127.0.0.1", port) then
    return client
  end
  client:close()
end

setup(function()
  net.enter(net.space())
end)

teardown(net.remove)

describe("Prosody", function()
  local PORT <const> = 5222
  local CONFIG <const> = [[
data_path = "$dir"
pidfile = "$dir/prosody.pid"
plugin_paths = { "$dir" }
modules_enabled = { "bpf", "saslauth" }
modules_disabled = { "s2s" }
c2s_require_encryption = false
interfaces = { "127.0.0.1" }
c2s_ports = { $port }
log = { { levels = { min = "debug" }, to = "console" } }
VirtualHost "localhost"
]]
  local STREAM <const> = "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' " ..
    "xmlns:stream='http://etherx.jabber.org/streams'>"

  -- Receives until a text comes.
  local function receive(client, text)
    local got = ""
    while not got:find(text, 1, true) do
      got = got .. assert(client:receive(1), got)
    end
  end

  it("reads a ring buffer in its loop, beside its clients, and goes on where it was when it starts anew", function()
    local prosody = helper.run("command -v prosody"):match "[^\n]+"
    if not prosody then
      helper.skip "needs Prosody, and there is none"
    elseif _VERSION ~= "Lua 5.4" then
      helper.skip("Prosody runs on Lua 5.4, this is " .. _VERSION)
    end
    local dir = helper.tmpdir()
    local log = dir .. "/log"
    net.must(("chmod 0755 %s; chown prosody %s"):format(dir, dir))
    local pins <close> = pins_of("prosody", dir)
    local dropped = pins.obj.maps.dropped
    helper.write(dir .. "/mod_bpf.lua", recipe("Prosody", pins.path))
    helper.write(dir .. "/prosody.cfg.lua", (CONFIG:gsub("%$(%l+)", { dir = dir, port = PORT })))
    local command = ("setpriv --reuid=prosody --regid=prosody --clear-groups env %s %s %s -F --config %s"):format(
      environment(), helper.LUA, prosody, dir .. "/prosody.cfg.lua")

    do
      local server <close> = start(command, log)
      local client = wait("Prosody", function() return connect(PORT) end, log)
      client:send(STREAM)
      receive(client, "<stream:features")
      drop(pins.obj, 2500) -- more than the recipe reads in one go
      wait("2500 records", function() return dropped[CLIENT] == 2500 * 60 end, log)
      client:send "</stream:stream>"
      receive(client, "</stream:stream>")
      client:close()
      stop(server, log)
    end

    drop(pins.obj, 10) -- while nobody reads
    local server <close> = start(command, log)
    wait("10 records", function() return dropped[CLIENT] == 2510 * 60 end, log)
    stop(server, log)
  end)
end)

describe("HAProxy", function()
  local PORT <const> = 8080
  local CONFIG <const> = [[
global
  chroot $dir/empty
  user haproxy
  group haproxy
  nbthread 2
  lua-load-per-thread $dir/bpf.lua

defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 60s

frontend web
  bind 127.0.0.1:$port
  http-request wait-for-body time 60s
  http-request lua.count
  http-request return status 200 content-type text/plain string "counted"
]]

  -- Sends requests by several connections at once, and returns how many were answered.
  local function ask(connections, requests)
    local one = ("curl -s 'http://127.0.0.1:%d/?[1-%d]' & "):format(PORT, requests)
    return select(2, helper.run(one:rep(connections) .. "wait"):gsub("counted", ""))
  end

  -- Whether a process reads the ring: nothing else of what the recipe opens is mapped.
  local function reads(server)
    return helper.read(("/proc/%d/maps"):format(server.pid)):find("anon_inode:bpf", 1, true) ~= nil
  end

  it("counts from all its threads, and reads a ring buffer in one, through a graceful reload", function()
    local lua = helper.run("haproxy -vv"):match "Built with Lua version : (Lua %d%.%d)"
    if lua ~= _VERSION then
      helper.skip(("needs HAProxy with %s, and there is %s"):format(_VERSION, lua and "one with " .. lua or "none"))
    end
    local dir = helper.tmpdir()
    local log = dir .. "/log"
    net.must(("chmod 0755 %s; mkdir %s/empty"):format(dir, dir))
    local pins <close> = pins_of("root", dir)
    local dropped, requests, turns = pins.obj.maps.dropped, pins.obj.maps.requests, pins.obj.maps.turns
    local alone = recipe("Reload with one reader of a ring", pins.path):match "^.-\nend\n"
    helper.write(dir .. "/bpf.lua", alone .. recipe("HAProxy", pins.path))
    helper.write(dir .. "/haproxy.cfg", (CONFIG:gsub("%$(%l+)", { dir = dir, port = PORT })))
    local command = ("env %s haproxy -db -f %s/haproxy.cfg"):format(environment(), dir)

    local old <close> = start(command, log)
    wait("HAProxy", function()
      local client = connect(PORT)
      return client and client:close()
    end, log)
    assert.matches("\nUid:%s+[1-9]", helper.read(("/proc/%d/status"):format(old.pid)))
    assert.equal(1000, ask(4, 250))
    assert.equal(1000, requests[CLIENT])
    drop(pins.obj, 2500)
    wait("2500 records", function() return dropped[CLIENT] == 2500 * 60 end, log)
    assert.is_true(reads(old))

    local client = assert(connect(PORT)) -- the old process stays for its sake
    client:send "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n1"
    local new <close> = start(("%s -sf %d"):format(command, old.pid), log)
    local sent = 2500
    wait("the new process to read alone", function()
      drop(pins.obj, 10)
      sent = sent + 10
      assert.falsy(reads(new) and reads(old))
      return turns[0] == 2 and reads(new)
    end, log)
    wait("every record", function() return dropped[CLIENT] == sent * 60 end, log)
    assert.equal(1000, ask(4, 250))
    assert.equal(2000, requests[CLIENT])

    assert.falsy(ended(old.pid), log)
    client:send "2"
    assert.matches("\r\n\r\ncounted$", (client:receive "*a"))
    client:close()
    wait("the old process's end", function() return ended(old.pid) end, log)
    assert.equal(2001, requests[CLIENT])
    drop(pins.obj, 10)
    wait("10 records", function() return dropped[CLIENT] == (sent + 10) * 60 end, log)
    stop(new, log)
  end)
end)

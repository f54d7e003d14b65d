-- SPDX-License-Identifier: MIT
-- A web server that has the kernel drop what abusive clients send: lighttpd runs guard.lua for each request, as its
-- own user, and that writes bans into a pinned map, by which a program of the server's cgroup goes. Here it is started,
-- in a network of its own, and asked, and asked too often.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser([[
Runs lighttpd with a script that bans clients in the kernel. Needs root, lighttpd with mod_magnet, and curl.]])
parser:option("--ban", "a ban lasts N seconds", "3"):argname("N"):convert(common.count)
parser:option("--seconds", "stop after N seconds at the latest", "15"):argname("N"):convert(common.seconds)
parser:option("--user", "run the server as this user", "www-data"):argname "NAME"
local options = parser:parse()

local HERE = arg[0]:gsub("[^/]*$", "")
local SERVER <const> = "http://198.18.1.2:8080/"
local GOOD <const>, BAD <const> = "198.18.1.3", "198.18.1.1" -- clients

-- The maps as files of a bpffs of our own: that at /sys/fs/bpf lets root in alone.
local function pin(maps, dir)
  common.run(("mkdir %s; mount -t bpf -o mode=0755 lighttpd %s"):format(dir, dir))
  for _, name in ipairs { "deny", "clients" } do
    common.try(bpf.map.pin(maps[name], dir .. "/" .. name))
  end
  common.run(("chown %s %s/*; chmod 0600 %s/*"):format(options.user, dir, dir))
end

local CONFIG <const> = [[
server.bind = "198.18.1.2"
server.port = 8080
server.username = "$user"
server.groupname = "$group"
server.document-root = "/var/empty"
server.errorlog = "$dir/errors"
server.modules = ( "mod_magnet" )
magnet.attract-physical-path-to = ( "$dir/guard.lua" )
]]

-- Where Lua and its modules are, for a server that doesn't start where we do.
local function environment(dir)
  local function absolute(path)
    return (path:gsub("[^;]+", function(p) return p:sub(1, 1) == "/" and p or common.cwd() .. "/" .. p end))
  end
  return ("GUARD_MAPS=%s/maps GUARD_BAN=%d LUA_PATH=%s LUA_CPATH=%s"):format(dir, options.ban,
    common.quote(absolute(package.path)), common.quote(absolute(package.cpath)))
end

local function start(dir, net, cgroup)
  common.run(("cp %s %s/guard.lua; touch %s/errors; chmod 0755 %s; chown %s %s/errors"):format(
    common.quote(HERE .. "guard.lua"), dir, dir, dir, options.user, dir))
  do
    local file <close> = common.try(io.open(dir .. "/lighttpd.conf", "w"))
    local group = common.run("id -gn " .. common.quote(options.user)):match "[^\n]*"
    file:write((CONFIG:gsub("%$(%l+)", { user = options.user, group = group, dir = dir })))
  end
  return common.start(cgroup:command(
    ("exec nsenter --net=/run/netns/%s env %s lighttpd -D -f %s/lighttpd.conf >>%s/errors 2>&1"):format(net.space,
      environment(dir), dir, dir)))
end

-- What the server wrote down last, without the traceback.
local function errors(dir)
  local file <close> = common.try(io.open(dir .. "/errors"))
  return file:read("a"):gsub("\n[^\n]*stack traceback:.*", ""):match "[^\n]*\n?$"
end

-- Asks the server. Returns what it says, or nil when nothing comes.
local function ask(dir, client)
  local pipe <close> = common.try(io.popen(("curl -s -w '%%{http_code}' --max-time 1 --interface %s %s"):format(client,
    SERVER)))
  local text, code = pipe:read("a"):match "^(.-)%s*(%d%d%d)$"
  if code and code:find "^5" then
    error(("lighttpd says %s: %s"):format(code, errors(dir)), 0)
  end
  return code and code ~= "000" and text or nil
end

local began = common.now()

local function late()
  common.check()
  return common.now() - began > options.seconds
end

local function tell(client, what)
  print(("%6.1f s  %-12s %s"):format(common.now() - began, client, what))
end

-- Asks until the answer is one that is wanted: something (true), or nothing (false).
local function ask_until(dir, client, wanted, what)
  local asked = 0
  repeat
    local answer = ask(dir, client)
    asked = asked + 1
    if (answer ~= nil) == wanted then
      tell(client, answer or what)
      return
    end
  until late()
  error(("%s: %s after %d requests; lighttpd: %s"):format(client, wanted and "no answer" or "still served", asked,
    errors(dir)), 0)
end

-- Asks for more than the script allows, until there is a ban.
local function ask_too_often(client, deny)
  repeat
    os.execute(("curl -s --fail-early --max-time 1 --interface %s '%s[1-40]' >/dev/null"):format(client, SERVER))
  until bpf.map.next_key(deny) or late()
end

local function show(deny)
  local rows = {}
  for prefix, ban in pairs(deny) do
    rows[#rows + 1] = { prefix = prefix, dropped = ban.dropped, left = ban.ends - os.time() }
  end
  local columns = {
    { name = "DENIED", field = "prefix" }, { name = "DROPPED", field = "dropped" },
    { name = "SECONDS", field = "left" },
  }
  print("\n" .. bpf.hist.table(rows, columns) .. "\n")
end

common.main(function()
  local folder <close> = common.folder "maps"
  local dir = folder.path
  local obj <close> = common.load()
  local cgroup <close> = common.cgroup()
  pin(obj.maps, dir .. "/maps")
  common.try(obj.progs.guard:attach_cgroup(cgroup.path))
  local net <close> = common.network(1)
  common.run(("ip addr add %s/24 dev %s"):format(GOOD, net.interface))
  local server <close> = start(dir, net, cgroup)

  ask_until(dir, GOOD, true)
  ask_until(dir, BAD, true)
  ask_too_often(BAD, obj.maps.deny)
  ask_until(dir, BAD, false, "no answer: the kernel drops what it sends")
  show(obj.maps.deny)
  ask_until(dir, GOOD, true)
  repeat -- the script lifts bans when anybody asks
    common.sleep(0.5)
    ask(dir, GOOD)
  until not bpf.map.next_key(obj.maps.deny) or late()
  ask_until(dir, BAD, true)
  return server
end)

-- SPDX-License-Identifier: MIT
-- Networks to test on: namespaces of their own, cables between them, sockets in them; and cgroups. What was made is
-- removed by `net.remove()`, in a teardown. `local net = require "spec.support.net"`.
local check = require("luassert")
local lfs = require("lfs")
local socket = require("socket")

local calls = require("support.netcalls")
local helper = require("spec.helper")

local net = {}

local spaces, groups = {}, {}
local made = 0

--- Runs a shell command that must succeed. Returns what it printed.
function net.must(command)
  local output, ok = helper.run(command)
  return ok and output or error(command .. ": " .. output, 2)
end

--- A new network namespace with its loopback up. Returns its name.
function net.space()
  made = made + 1
  local name = ("lbpf%s-%d"):format(helper.tag, made)
  calls.space("/run/netns/" .. name) -- processes would take long in an emulated machine
  spaces[#spaces + 1] = name
  return name
end

--- Calls the function in the namespace. Sockets made there stay there.
function net.within(space, fn, ...)
  local back = calls.enter("/run/netns/" .. space)
  local results = table.pack(pcall(fn, ...))
  calls.leave(back)
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

local left

--- Moves the process to the namespace until `net.leave` or `net.remove`.
function net.enter(space)
  left = calls.enter("/run/netns/" .. space)
end

--- Goes back to where the process was.
function net.leave()
  if left then
    calls.leave(left)
    left = nil
  end
end

-- Whether the namespace that the process is in has IPv6.
local function has_ipv6()
  local s = socket.udp6()
  local ok = s and s:setsockname("::1", 0)
  if s then
    s:close()
  end
  return ok
end

--- Skips the test, or all of the describe or file it is called in, where the machine does without IPv6: in the
-- namespace, or in the one that the process is in.
function net.need_ipv6(space)
  local ok
  if space then
    ok = net.within(space, has_ipv6)
  else
    ok = has_ipv6()
  end
  if not ok then
    helper.skip("needs IPv6")
  end
end

--- A cable (a pair of veth interfaces) between two namespaces. Each end is a table: `space`, `name`, and if wanted
-- `mac` and `address` with the length of its prefix.
function net.cable(one, other)
  local function mac(side)
    return side.mac and "address " .. side.mac or ""
  end
  net.must(("ip link add name %s netns %s %s type veth peer name %s netns %s %s"):format(one.name, one.space, mac(one),
    other.name, other.space, mac(other)))
  for _, side in ipairs { one, other } do
    local address, prefix = (side.address or ""):match("^([%d.]+)/(%d+)$")
    check(address or not side.address, side.address)
    net.within(side.space, calls.up, side.name, address, tonumber(prefix))
  end
end

--- Tells the namespace which hardware has the address, so that nobody is asked.
function net.neighbour(space, name, address, mac)
  net.must(("ip -n %s neigh replace %s lladdr %s dev %s nud permanent"):format(space, address, mac, name))
end

--- Whether an interface gets rid of its XDP program: whoever lists links holds one for a moment after it is closed.
function net.frees(name)
  return helper.eventually(function() return not net.must("ip link show dev " .. name):find("xdp", 1, true) end)
end

--- Attaches a program to an interface as soon as its last one is gone, which whoever lists links holds for a moment.
-- Returns the link.
function net.attach_xdp(prog, name)
  local link, message, code
  helper.eventually(function()
    link, message, code = prog:attach_xdp(name)
    return code ~= "EBUSY"
  end)
  return link or error(message, 2)
end

--- A UDP socket in the namespace, bound to the address and port if they are given; it receives for at most so many
-- seconds. Its packets have no checksum, so that programs may change them.
function net.udp(space, seconds, address, port)
  return net.within(space, function()
    local s = assert(socket.udp4())
    calls.setsockopt(s:getfd(), "no_check", 1)
    if address then
      assert(s:setsockname(address, port))
    end
    s:settimeout(seconds * helper.slow)
    return s
  end)
end

--- Packets that come over a cable from one namespace into another, where this process lives from then on, as
-- datagrams to a port. Its end of the cable is the interface `near`. Returns a table: `receiver` is a socket here;
-- `send()` sends a packet and returns its text; `arrives()` sends one and returns what arrives and what was sent;
-- `is_lost()` checks that one gets nowhere; `close()` belongs in a teardown, before `net.remove()`.
function net.path(port)
  local there, here = net.space(), net.space()
  local address, mac = "10.255.252.2", "02:00:00:00:00:02"
  net.cable({ space = there, name = "far", mac = "02:00:00:00:00:01", address = "10.255.252.1/24" },
    { space = here, name = "near", mac = mac, address = address .. "/24" })
  net.neighbour(there, "far", address, mac)
  local path, sent = {}, 0
  local sender = net.udp(there, 1)
  path.receiver = net.udp(here, 5, address, port)
  net.enter(here)

  function path.send()
    sent = sent + 1
    local text = ("packet %d"):format(sent)
    assert(sender:sendto(text, address, port))
    return text
  end

  function path.arrives()
    local text = path.send()
    local got = path.receiver:receive()
    check.is_string(got, "nothing arrived")
    return got, text
  end

  function path.is_lost()
    path.send()
    path.receiver:settimeout(0.1)
    check.is_nil((path.receiver:receive()))
    path.receiver:settimeout(5 * helper.slow)
  end

  function path.close()
    sender:close()
    path.receiver:close()
  end
  return path
end

--- A TCP connection over the loopback of this namespace: the two ends.
function net.connection()
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  local client = assert(socket.tcp4())
  assert(client:connect("127.0.0.1", port))
  local accepted = assert(server:accept())
  server:close()
  for _, s in ipairs({ client, accepted }) do
    s:setoption("tcp-nodelay", true)
    s:settimeout(5 * helper.slow)
  end
  return client, accepted
end

local function cgroup2()
  for line in io.lines("/proc/self/mounts") do
    local dir = line:match("^%S+ (%S+) cgroup2 ")
    if dir then
      return dir
    end
  end
  local dir = helper.tmpdir()
  net.must("mount -t cgroup2 none " .. dir)
  groups[#groups + 1] = { path = dir, mounted = true }
  return dir
end

--- A new cgroup. Returns its path.
function net.cgroup()
  made = made + 1
  local path = ("%s/lbpf%s-%d"):format(cgroup2(), helper.tag, made)
  check(lfs.mkdir(path))
  groups[#groups + 1] = { path = path }
  return path
end

--- Calls the function in the cgroup, to which sockets made there belong.
function net.in_cgroup(path, fn, ...)
  local function move(to)
    local file <close> = assert(io.open(to .. "/cgroup.procs", "w"))
    assert(file:write(helper.pid, "\n"))
  end
  local home
  for line in io.lines("/proc/self/cgroup") do
    home = line:match("^0::(/.*)") or home
  end
  move(path)
  local results = table.pack(pcall(fn, ...))
  move(path:match("^(.*)/") .. home)
  if not results[1] then
    error(results[2], 0)
  end
  return table.unpack(results, 2, results.n)
end

--- Removes every namespace, with its interfaces, and every cgroup.
function net.remove()
  net.leave()
  for i = #spaces, 1, -1 do
    calls.unspace("/run/netns/" .. spaces[i])
    spaces[i] = nil
  end
  for i = #groups, 1, -1 do
    if groups[i].mounted then
      helper.run("umount " .. groups[i].path)
    else
      lfs.rmdir(groups[i].path)
    end
    groups[i] = nil
  end
end

return net

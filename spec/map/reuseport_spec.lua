-- SPDX-License-Identifier: MIT
-- Arrays of sockets that share a port: which of them gets a packet or a connection, through entries made in Lua.
local socket = require("socket")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local calls = require("support.netcalls")
local net = require("spec.support.net")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("arrays of sockets", "4.19")

local function cookie(s)
  return calls.cookie(s:getfd())
end

local obj, m, open

local function keep(s)
  open[#open + 1] = s
  return s
end

before_each(function()
  open = {}
  net.enter(net.space())
  obj = assert(bpf.load(helper.obj("reuseport")))
  m = obj.maps.group
end)

after_each(function()
  for _, s in ipairs(open) do
    s:close()
  end
  obj:close()
  net.remove()
end)

local PORT = 7010

-- So many UDP sockets of one port, the first at 0. The program, if any, is to choose among them.
local function packets(n, prog)
  local group = {}
  for i = 0, n - 1 do
    local s = keep(assert(socket.udp4()))
    assert(s:setoption("reuseport", true))
    assert(s:setsockname("127.0.0.1", PORT))
    s:settimeout(5 * helper.slow)
    group[i] = s
  end
  if prog then
    calls.setsockopt(group[0]:getfd(), "attach_reuseport_ebpf", prog:fd())
  end
  return group
end

-- So many TCP sockets that listen on one port.
local function servers(n, prog)
  local group = {}
  for i = 0, n - 1 do
    local s = keep(assert(socket.tcp4()))
    assert(s:setoption("reuseport", true))
    assert(s:bind("127.0.0.1", PORT))
    assert(s:listen(8))
    s:settimeout(5 * helper.slow)
    group[i] = s
  end
  if prog then
    calls.setsockopt(group[0]:getfd(), "attach_reuseport_ebpf", prog:fd())
  end
  return group
end

-- Sends packets from several ports, each beginning with its socket's number. Checks that that one gets them.
local function reach(s, n)
  for i = 1, 5 do
    local from = keep(assert(socket.udp4()))
    local text = ("%d, %d"):format(n, i)
    assert(from:sendto(text, "127.0.0.1", PORT))
    assert.equal(text, (s:receive()))
  end
end

-- Sends a packet for that number. Checks that nobody gets it.
local function is_lost(group, n)
  local from = keep(assert(socket.udp4()))
  assert(from:sendto(n .. ", lost", "127.0.0.1", PORT))
  for i = 0, #group do
    group[i]:settimeout(i == 0 and 0.1 or 0)
    assert.is_nil((group[i]:receive()))
    group[i]:settimeout(5 * helper.slow)
  end
end

describe("reuseport_sockarray:", function()
  it("packets reach the socket of that index", function()
    local group = packets(3, obj.progs.by_digit)
    m[0], m[1], m[3] = group[0], group[1], group[2]
    reach(group[0], 0)
    reach(group[1], 1)
    reach(group[2], 3)
    is_lost(group, 2)
  end)

  it("takes plain descriptors", function()
    local group = packets(2, obj.progs.by_digit)
    assert.is_true(map.update(m, 1, group[0]:getfd()))
    m[0] = group[1]:getfd()
    reach(group[0], 1)
    reach(group[1], 0)
  end)

  it("connections reach the server of that index", function()
    local group = servers(3, obj.progs.by_choice)
    m[0], m[1], m[2] = group[2], group[0], group[1]
    for i, server in pairs({ [0] = group[2], group[0], group[1] }) do
      obj.vars.chosen = i
      for _ = 1, 3 do
        local client = keep(assert(socket.tcp4()))
        assert(client:connect("127.0.0.1", PORT))
        local accepted = keep(assert(server:accept()))
        local _, port = client:getsockname()
        assert.equal(tonumber(port), tonumber((select(2, accepted:getpeername()))))
      end
    end
    obj.vars.chosen = 3
    local client = keep(assert(socket.tcp4()))
    client:settimeout(5 * helper.slow)
    assert.is_nil((client:connect("127.0.0.1", PORT)))
  end)

  it("another socket may take the place of one", function()
    local group = packets(3, obj.progs.by_digit)
    m[0], m[1] = group[0], group[1]
    reach(group[1], 1)
    m[1] = group[2]
    reach(group[2], 1)
    assert.equal(cookie(group[2]), m[1])
  end)

  it("packets for a deleted entry are lost", function()
    local group = packets(2, obj.progs.by_digit)
    m[0], m[1] = group[0], group[1]
    reach(group[1], 1)
    assert.is_true(map.delete(m, 1))
    is_lost(group, 1)
    assert.is_nil(m[1])
    m[1] = group[1]
    reach(group[1], 1)
    m[1] = nil
    is_lost(group, 1)
    reach(group[0], 0)
  end)

  it("a closed socket leaves the array", function()
    local group = packets(2, obj.progs.by_digit)
    m[0], m[1] = group[0], group[1]
    group[1]:close()
    assert.is_nil(m[1])
    assert.equal(cookie(group[0]), m[0])
    reach(group[0], 0)
  end)

  it("reads the socket's cookie", function()
    local group = packets(2)
    m[0], m[2] = group[0], group[1]
    assert.equal(cookie(group[0]), m[0])
    assert.equal(cookie(group[1]), map.lookup(m, 2))
    assert.not_equal(m[0], m[2])
    assert.same({ n = 1 }, table.pack(map.lookup(m, 1)))
    assert.is_nil(m[4])
  end)

  it("pairs goes over the sockets there are", function()
    local group, all = packets(2), {}
    m[1], m[3] = group[0], group[1]
    for i, v in pairs(m) do
      all[i] = v
    end
    assert.same({ [1] = cookie(group[0]), [3] = cookie(group[1]) }, all)
  end)

  it("deleting what isn't there isn't a failure", function()
    assert.same({ false, "ENOENT" }, { map.delete(m, 2) })
    m[2] = nil
  end)

  it("has so many slots", function()
    local group = packets(1)
    assert.equal(4, #m)
    fails("E2BIG", "the last one is 3", map.update(m, 4, group[0]))
    helper.raises(function() m[4] = group[0] end, "E2BIG")
    m[3] = group[0]
    assert.equal(cookie(group[0]), m[3])
  end)

  it("heeds exist and noexist", function()
    local group = packets(2)
    assert.same({ false, "ENOENT" }, { map.update(m, 0, group[0], "exist") })
    assert.is_true(map.update(m, 0, group[0], "noexist"))
    assert.same({ false, "EEXIST" }, { map.update(m, 0, group[1], "noexist") })
    assert.is_true(map.update(m, 0, group[1], "exist"))
    assert.equal(cookie(group[1]), m[0])
  end)

  it("a socket is in one place only", function()
    local group = packets(1)
    m[0] = group[0]
    fails("EBUSY", "update", map.update(m, 1, group[0]))
    helper.raises(function() m[0] = group[0] end, "EBUSY")
    m[0] = nil
    m[1] = group[0]
    assert.same({ nil, cookie(group[0]) }, { m[0], m[1] })
  end)

  it("refuses what has no shared port", function()
    local s = keep(assert(socket.udp4()))
    assert(s:setsockname("127.0.0.1", 0))
    fails("EINVAL", "update", map.update(m, 0, s))
    s = keep(assert(socket.udp4()))
    assert(s:setoption("reuseport", true))
    fails("EINVAL", "update", map.update(m, 0, s))
    s = keep(assert(socket.tcp4()))
    assert(s:setoption("reuseport", true))
    assert(s:bind("127.0.0.1", PORT))
    fails("EINVAL", "update", map.update(m, 0, s))
    assert(s:listen(1))
    assert.is_true(map.update(m, 0, s))
  end)

  it("refuses what is no socket", function()
    fails("ENOTSOCK", "update", map.update(m, 0, map.fd(m)))
    fails("EBADF", "update", map.update(m, 0, 99999))
    helper.raises(function() m[0] = 99999 end, "EBADF")
    for _, wrong in ipairs({ true, "0", -1, 1.5, 1 << 32, {}, { getfd = 1 }, { getfd = function() return "x" end },
      print, obj }) do
      helper.raises(function() m[0] = wrong end, "")
      helper.raises(function() map.update(m, 0, wrong) end, "")
    end
    assert.is_nil(m[0])
  end)

  it("sockets are stored, read and taken out in bulk", function()
    local group = packets(2, obj.progs.by_digit)
    assert.equal(2, map.update_batch(m, { [0] = group[0], [3] = group[1]:getfd() }))
    reach(group[1], 3)
    assert.same({ { 0, 3 }, { cookie(group[0]), cookie(group[1]) }, n = 3 }, table.pack(map.lookup_batch(m)))
    assert.equal(1, map.delete_batch(m, { 3, 1 }))
    is_lost(group, 3)
    m[1] = group[1]
    local step, state = map.drain(m)
    assert.same({ 0, cookie(group[0]) }, { step(state) })
    assert.same({ {}, n = 1 }, { { m[0] }, n = #map.lookup_batch(m) })
    is_lost(group, 0)
    reach(group[1], 1)
    assert.equal(1, map.clear(m))
    is_lost(group, 1)
  end)

  it("made in Lua, reads cookies", function()
    local group = packets(1)
    local made <close> = assert(map.create({ type = "reuseport_sockarray", name = "made", max_entries = 2 }))
    assert.same({ 4, 8 }, { map.info(made).key_size, map.info(made).value_size })
    made[1] = group[0]
    assert.same({ nil, cookie(group[0]) }, { made[0], made[1] })
  end)

  it("made in Lua, is what a program chooses from", function()
    local made <close> = assert(map.create({ type = "reuseport_sockarray", name = "made", max_entries = 4 }))
    local other <close> = assert(bpf.load(helper.obj("reuseport"), { maps = { group = made } }))
    local group = packets(2, other.progs.by_digit)
    made[2], made[0] = group[0], group[1]
    reach(group[0], 2)
    reach(group[1], 0)
  end)
end)

describe("a reuseport_sockarray with values of 4 bytes", function()
  it("takes sockets, and says why it can't be read", function()
    local group = servers(2, obj.progs.by_choice_narrow)
    local narrow = obj.maps.narrow
    narrow[2] = group[1]
    obj.vars.chosen = 2
    local client = keep(assert(socket.tcp4()))
    assert(client:connect("127.0.0.1", PORT))
    keep(assert(group[1]:accept()))
    helper.raises(function() return narrow[2] end, "8 bytes")
    narrow[2] = nil
    client = keep(assert(socket.tcp4()))
    client:settimeout(5 * helper.slow)
    assert.is_nil((client:connect("127.0.0.1", PORT)))
  end)
end)

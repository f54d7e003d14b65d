-- SPDX-License-Identifier: MIT
-- Maps of sockets: data that programs send from one connection to another, through entries made in Lua.
local socket = require("socket")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local calls = require("support.netcalls")
local net = require("spec.support.net")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("sk_skb verdicts without a parser", "5.10") -- and looking up cookies, UDP sockets: since 5.7
if kernel.config("CONFIG_NET_SOCK_MSG") == "n" or kernel.config("CONFIG_BPF_STREAM_PARSER") == "n" then
  helper.skip("needs CONFIG_NET_SOCK_MSG and CONFIG_BPF_STREAM_PARSER")
end

local function cookie(s)
  return calls.cookie(s:getfd())
end

-- Two connections; data that arrives at the end `near` of the first is to go elsewhere.
local obj, far, near, other_far, other_near
local open

local function keep(...)
  for i = 1, select("#", ...) do
    open[#open + 1] = (select(i, ...))
  end
  return ...
end

before_each(function()
  open = {}
  net.enter(net.space())
  obj = assert(bpf.load(helper.obj("sockmap")))
  far, near = keep(net.connection())
  other_far, other_near = keep(net.connection())
end)

after_each(function()
  for _, s in ipairs(open) do
    s:close()
  end
  obj:close()
  net.remove()
end)

local sent = 0

-- Checks that what one end sends arrives at another.
local function goes(from, to)
  sent = sent + 1
  local text = ("line %d"):format(sent)
  assert(from:send(text .. "\n"))
  assert.equal(text, (to:receive()))
end

-- How each kind's map, keys and programs are called.
local kinds = {
  {
    type = "sockmap", map = "socks", suffix = "sock", chosen = "chosen", out = 4,
    key = function(n) return n end,
  },
  {
    type = "sockhash", map = "ends", suffix = "end", chosen = "chosen_end",
    key = function(n) return { address = 0x0100007f, port = 1000 + n, side = 1 } end,
  },
}

for _, kind in ipairs(kinds) do
  local key = kind.key

  describe(kind.type .. ":", function()
    local m

    before_each(function()
      m = obj.maps[kind.map]
    end)

    -- Attaches the program and chooses an entry. Sockets are to be put into the map later than this.
    local function redirect(what, n, direction)
      local type = what == "skb" and "sk_skb_stream_verdict" or "sk_msg_verdict"
      calls.attach(obj.progs[what .. "_to_" .. kind.suffix]:fd(), map.fd(m), type)
      obj.vars[kind.chosen] = key(n)
      obj.vars.direction = direction
    end

    local EGRESS, INGRESS = 0, 1

    it("what arrives at one socket is sent by another", function()
      redirect("skb", 1, EGRESS)
      m[key(0)], m[key(1)] = near, other_near
      goes(far, other_far)
      goes(far, other_far)
      assert.equal(2, obj.vars.redirected)
    end)

    it("what arrives at one socket is received by another", function()
      redirect("skb", 1, INGRESS)
      m[key(0)], m[key(1)] = near, other_near
      goes(far, other_near)
      assert.equal(1, obj.vars.redirected)
    end)

    it("what one socket sends is sent by another", function()
      redirect("msg", 1, EGRESS)
      m[key(0)], m[key(1)] = near, other_near
      goes(near, other_far)
      assert.equal(1, obj.vars.redirected)
    end)

    it("what one socket sends is received by another", function()
      redirect("msg", 1, INGRESS)
      m[key(0)], m[key(1)] = near, other_near
      goes(near, other_near)
      assert.equal(1, obj.vars.redirected)
    end)

    it("takes plain descriptors", function()
      redirect("skb", 1, EGRESS)
      assert.is_true(map.update(m, key(0), near:getfd()))
      m[key(1)] = other_near:getfd()
      goes(far, other_far)
    end)

    it("another entry gets the data when it is chosen", function()
      redirect("msg", 1, INGRESS)
      m[key(0)], m[key(1)], m[key(2)] = near, other_near, other_far
      goes(near, other_near)
      obj.vars[kind.chosen] = key(2)
      goes(near, other_far)
    end)

    it("a socket that was taken out is like any other", function()
      redirect("skb", 1, EGRESS)
      m[key(0)], m[key(1)] = near, other_near
      goes(far, other_far)
      assert.is_true(map.delete(m, key(0)))
      goes(far, near)
      m[key(0)] = near
      goes(far, other_far)
      m[key(0)] = nil
      goes(far, near)
    end)

    it("reads the socket's cookie", function()
      m[key(0)], m[key(1)] = near, other_near
      assert.equal(cookie(near), m[key(0)])
      assert.equal(cookie(other_near), map.lookup(m, key(1)))
      assert.not_equal(m[key(0)], m[key(1)])
      m[key(0)] = far
      assert.equal(cookie(far), m[key(0)])
      assert.same({ n = 1 }, table.pack(map.lookup(m, key(3))))
    end)

    it("takes a socket more than once", function()
      m[key(0)], m[key(1)] = near, near
      assert.same({ cookie(near), cookie(near) }, { m[key(0)], m[key(1)] })
      m[key(0)] = nil
      assert.same({ nil, cookie(near) }, { m[key(0)], m[key(1)] })
    end)

    it("takes listening sockets, and UDP sockets that are bound", function()
      local server, udp = keep(assert(socket.bind("127.0.0.1", 0)), assert(socket.udp4()))
      fails("EOPNOTSUPP", "update", map.update(m, key(1), udp))
      assert(udp:setsockname("127.0.0.1", 0))
      m[key(0)], m[key(1)] = server, udp
      assert.same({ cookie(server), cookie(udp) }, { m[key(0)], m[key(1)] })
    end)

    it("pairs goes over the sockets there are", function()
      m[key(1)], m[key(3)] = near, other_near
      local cookies, keys = {}, {}
      for k, v in pairs(m) do
        cookies[#cookies + 1] = v
        keys[#keys + 1] = type(k) == "table" and k.port - 1000 or k
        assert.same(key(keys[#keys]), k)
      end
      table.sort(cookies)
      table.sort(keys)
      assert.same({ 1, 3 }, keys)
      local expected = { cookie(near), cookie(other_near) }
      table.sort(expected)
      assert.same(expected, cookies)
    end)

    it("a closed socket leaves the map", function()
      m[key(0)], m[key(1)] = near, other_near
      assert(near:close())
      assert.is_nil(m[key(0)])
      assert.equal(cookie(other_near), m[key(1)])
      for _, v in pairs(m) do
        assert.equal(cookie(other_near), v)
      end
      assert(other_near:close())
      assert.is_nil(next({ m[key(0)], m[key(1)] }))
    end)

    it("deleting what isn't there isn't a failure", function()
      assert.same({ false, "ENOENT" }, { map.delete(m, key(2)) })
      m[key(2)] = nil
      m[key(2)] = near
      assert.is_true(map.delete(m, key(2)))
      assert.same({ false, "ENOENT" }, { map.delete(m, key(2)) })
    end)

    it("heeds exist and noexist", function()
      assert.same({ false, "ENOENT" }, { map.update(m, key(0), near, "exist") })
      assert.is_true(map.update(m, key(0), near, "noexist"))
      assert.same({ false, "EEXIST" }, { map.update(m, key(0), far, "noexist") })
      assert.is_true(map.update(m, key(0), far, "exist"))
      assert.equal(cookie(far), m[key(0)])
    end)

    it("refuses what is no connected socket", function()
      fails("EOPNOTSUPP", "update", map.update(m, key(0), keep(assert(socket.tcp4()))))
      fails("ENOTSOCK", "update", map.update(m, key(0), map.fd(m)))
      fails("EBADF", "update", map.update(m, key(0), 99999))
      helper.raises(function() m[key(0)] = 99999 end, "EBADF")
      for _, wrong in ipairs({ true, "0", -1, 1.5, 1 << 32, {}, { getfd = 1 }, { getfd = function() return "x" end },
        print, obj }) do
        helper.raises(function() m[key(0)] = wrong end, "")
        helper.raises(function() map.update(m, key(0), wrong) end, "")
      end
      assert.is_nil(m[key(0)])
    end)

    it("refuses a closed socket", function()
      local s = assert(socket.tcp4())
      s:close()
      helper.raises(function() m[key(0)] = s end, "")
      assert.is_nil(m[key(0)])
    end)

    it("a socket with a program can't be put in again", function()
      redirect("msg", 1, EGRESS)
      m[key(0)] = near
      fails("EBUSY", "update", map.update(m, key(1), near))
      helper.raises(function() m[key(0)] = near end, "EBUSY")
      assert.equal(cookie(near), m[key(0)])
    end)

    it("has room for so many", function()
      for n = 0, 3 do
        m[key(n)] = near
      end
      assert.equal(4, #m)
      fails("E2BIG", "update", map.update(m, key(4), near))
      helper.raises(function() m[key(4)] = near end, "E2BIG")
      assert.is_nil(m[key(4)])
    end)

    it("shows what a program put in", function()
      local group = net.cgroup()
      calls.attach(obj.progs.on_connection:fd(), group, "cgroup_sock_ops")
      local client, accepted = keep(net.in_cgroup(group, net.connection))
      local found = {}
      for k, v in pairs(m) do
        found[type(k) == "table" and k.side or k] = v
        if type(k) == "table" then
          local s = k.side == 0 and client or accepted
          assert.equal(math.tointeger(select(2, s:getsockname())), k.port)
          assert.equal("\x7f\0\0\1", string.pack("=I4", k.address))
        end
      end
      assert.same({ [0] = cookie(client), cookie(accepted) }, found)
    end)

    it("sockets are stored, read and taken out in bulk", function()
      redirect("skb", 1, EGRESS)
      assert.equal(2, map.update_batch(m, { [key(0)] = near, [key(1)] = other_near }))
      goes(far, other_far)
      local keys, cookies, cursor = map.lookup_batch(m)
      assert.is_nil(cursor)
      assert.equal(2, #keys)
      for i, k in ipairs(keys) do
        local first = kind.type == "sockmap" and k == 0 or kind.type == "sockhash" and k.port == 1000
        assert.equal(cookie(first and near or other_near), cookies[i])
      end
      assert.equal(1, map.delete_batch(m, { key(0), key(3) }))
      goes(far, near)
      assert.equal(cookie(other_near), m[key(1)])
      assert.equal(1, map.clear(m))
      assert.is_nil(m[key(1)])
    end)

    it("drain takes out what it hands out", function()
      m[key(0)], m[key(1)], m[key(2)] = near, near, near
      local step, state = map.drain(m)
      assert.equal(cookie(near), (select(2, step(state))))
      local left = 0
      for _ in pairs(m) do
        left = left + 1
      end
      assert.equal(2, left)
      for _, value in map.drain(m) do
        assert.equal(cookie(near), value)
      end
      assert.is_nil(next((map.lookup_batch(m))))
    end)

    it("raises what getfd raises, and when that closes the map", function()
      local made = assert(map.create({
        type = kind.type, name = "made", max_entries = 2, key = kind.type == "sockhash" and "__u64" or nil,
      }))
      helper.raises(function() made[0] = { getfd = function() error("none today") end } end, "none today")
      local value = { getfd = function() return map.close(made) and near:getfd() end }
      helper.raises(function() made[0] = value end, "closed")
    end)

    it("made in Lua, is where a program sends data", function()
      local made <close> = assert(map.create({
        type = kind.type, name = "made", max_entries = 4,
        key = kind.type == "sockhash" and "struct end { __u32 address; __u16 port; __u8 side; }" or nil,
      }))
      local other <close> = assert(bpf.load(helper.obj("sockmap"), { maps = { [kind.map] = made } }))
      calls.attach(other.progs["msg_to_" .. kind.suffix]:fd(), map.fd(made), "sk_msg_verdict")
      other.vars[kind.chosen], other.vars.direction = key(1), INGRESS
      made[key(0)], made[key(1)] = near, other_near
      goes(near, other_near)
      assert.equal(cookie(other_near), made[key(1)])
    end)

    it("made in Lua, reads cookies", function()
      local made <close> = assert(map.create({
        type = kind.type, name = "made", max_entries = 2, key = kind.type == "sockhash" and "__u64" or nil,
      }))
      assert.same({ kind.type == "sockhash" and 8 or 4, 8 }, { map.info(made).key_size, map.info(made).value_size })
      made[1] = near
      assert.equal(cookie(near), made[1])
      made[1] = nil
      assert.is_nil(made[1])
    end)
  end)
end

describe("a sockmap with values of 4 bytes", function()
  it("takes sockets, and says why it can't be read", function()
    local m = obj.maps.narrow
    calls.attach(obj.progs.skb_to_sock:fd(), map.fd(m), "sk_skb_stream_verdict")
    obj.maps.socks[1] = other_near
    obj.vars.chosen = 1
    m[0] = near
    goes(far, other_far)
    helper.raises(function() return m[0] end, "8 bytes")
    m[0] = nil
    goes(far, near)
  end)
end)

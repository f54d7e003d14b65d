-- SPDX-License-Identifier: MIT
-- Maps of AF_XDP sockets: packets that an XDP program gives to a socket instead of the network stack.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local net = require("spec.support.net")
local xsk = require("support.xsk")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("links of xdp programs", "5.9") -- and maps that closed sockets leave, since 5.3
if kernel.config("CONFIG_XDP_SOCKETS") == "n" then
  helper.skip("needs CONFIG_XDP_SOCKETS")
end

local PORT = 7009 -- the one that the program touches

-- Packets come from one namespace into another, where the process lives.
local path, obj, m

setup(function()
  path = net.path(PORT)
end)

teardown(function()
  if path then
    path.close()
  end
  net.remove()
end)

before_each(function()
  obj = assert(bpf.load(helper.obj("xskmap")))
  m = obj.maps.sockets
  net.attach_xdp(obj.progs.take, "near")
end)

after_each(function()
  obj:close()
end)

-- Checks that a packet gets to the stack, and so to the ordinary socket.
local function passes()
  assert.equal(path.send(), (path.receiver:receive()))
end

-- Checks that a packet gets to the AF_XDP socket, and there alone.
local function reaches(s)
  local text = path.send()
  local frame = s:receive(5000)
  assert.is_string(frame, "no frame")
  assert.equal(14 + 20 + 8 + #text, #frame)
  assert.equal(text, frame:sub(-#text))
  path.receiver:settimeout(0)
  assert.is_nil((path.receiver:receive()))
  path.receiver:settimeout(5 * helper.slow)
end

describe("xskmap:", function()
  it("packets reach the socket of the queue they came by", function()
    local s <close> = xsk.open("near", 0)
    passes()
    m[0] = s
    for _ = 1, 200 do -- more than the socket has room for at once
      reaches(s)
    end
  end)

  it("takes a plain descriptor", function()
    local s <close> = xsk.open("near", 0)
    assert.is_true(map.update(m, 0, s:getfd()))
    reaches(s)
  end)

  it("packets of another queue's socket go on to the stack", function()
    local s <close> = xsk.open("near", 0)
    m[1] = s
    passes()
    assert.is_nil(s:receive(0))
  end)

  it("a deleted entry takes no packets", function()
    local s <close> = xsk.open("near", 0)
    m[0] = s
    reaches(s)
    assert.is_true(map.delete(m, 0))
    passes()
    m[0] = s
    reaches(s)
    m[0] = nil
    passes()
    assert.is_nil(s:receive(0))
  end)

  it("a closed socket leaves the map", function()
    local s <close> = xsk.open("near", 0)
    m[0] = s
    reaches(s)
    s:close()
    passes()
    local other <close> = xsk.open("near", 0)
    passes()
    m[0] = other
    reaches(other)
  end)

  it("has so many slots", function()
    local s <close> = xsk.open("near", 0)
    assert.equal(4, #m)
    m[3] = s
    fails("E2BIG", "the last one is 3", map.update(m, 4, s))
    helper.raises(function() m[4] = s end, "E2BIG")
  end)

  it("heeds exist and noexist", function()
    local s <close> = xsk.open("near", 0)
    assert.same({ false, "ENOENT" }, { map.update(m, 0, s, "exist") })
    assert.is_true(map.update(m, 0, s, "noexist"))
    assert.is_true(map.update(m, 0, s, "exist"))
    reaches(s)
  end)

  it("refuses what isn't such a socket", function()
    fails("EOPNOTSUPP", "update", map.update(m, 0, path.receiver))
    fails("ENOTSOCK", "update", map.update(m, 0, map.fd(m)))
    fails("EBADF", "update", map.update(m, 0, 99999))
    helper.raises(function() m[0] = path.receiver end, "EOPNOTSUPP")
    for _, wrong in ipairs({ true, "0", -1, 1.5, 1 << 32, {}, { getfd = 1 }, { getfd = function() return "x" end },
      print }) do
      helper.raises(function() m[0] = wrong end, "")
      helper.raises(function() map.update(m, 0, wrong) end, "")
    end
    passes()
  end)

  it("raises what getfd raises", function()
    local s <close> = xsk.open("near", 0)
    s:close()
    helper.raises(function() m[0] = s end, "socket is closed")
    helper.raises(function() m[0] = { getfd = function() error("none today") end } end, "none today")
  end)

  it("has neither look-up nor walk", function()
    helper.raises(function() return m[0] end, "xskmap have no lookup")
    helper.raises(function() map.lookup(m, 0) end, "xskmap have no lookup")
    for _, walk in ipairs({ pairs, map.keys }) do
      helper.raises(function()
        local step, state, control = walk(m)
        step(state, control)
      end, "xskmap have no")
    end
  end)

  it("made in Lua, takes sockets", function()
    local made <close> = assert(map.create({ type = "xskmap", name = "made", max_entries = 2 }))
    local s <close> = xsk.open("near", 0)
    made[1] = s
    assert.equal(2, #made)
    assert.same({ 4, 4 }, { map.info(made).key_size, map.info(made).value_size })
    assert.same({ false, "ENOENT" }, { map.update(made, 0, s, "exist") })
    assert.is_true(map.update(made, 1, s, "exist"))
  end)

  it("made in Lua, is where a program sends packets", function()
    local made <close> = assert(map.create({ type = "xskmap", name = "made", max_entries = 4 }))
    obj:close()
    obj = assert(bpf.load(helper.obj("xskmap"), { maps = { sockets = made } }))
    net.attach_xdp(obj.progs.take, "near")
    local s <close> = xsk.open("near", 0)
    passes()
    made[0] = s
    reaches(s)
  end)

  it("sockets are stored and taken out in bulk", function()
    local s <close> = xsk.open("near", 0)
    assert.equal(2, map.update_batch(m, { [0] = s, [3] = s:getfd() }))
    reaches(s)
    assert.same({ false, "ENOENT" }, { map.update(m, 1, s, "exist") })
    assert.is_number(map.delete_batch(m, { 0, 1 }))
    passes()
    m[0] = s
    reaches(s)
    assert.is_number(map.clear(m))
    passes()
    assert.same({ false, "ENOENT" }, { map.update(m, 3, s, "exist") })
  end)
end)

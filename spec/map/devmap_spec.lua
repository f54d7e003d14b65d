-- SPDX-License-Identifier: MIT
-- Device maps: packets that an XDP program sends from one interface out of another, through entries made in Lua.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local calls = require("support.netcalls")
local net = require("spec.support.net")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("links of xdp programs", "5.9") -- and programs in device maps, since 5.8

local PROGS = helper.obj("devmap")
local PORT = 7007 -- the one that the programs touch

-- A router with three cables, and where they lead. Host 1 sends; hosts 2 and 3 look the same to it, and which of them
-- gets a packet is up to the router. The process lives on the router.
local hosts, receivers = {}, {}
local router, sender, serving

setup(function()
  router = net.space()
  serving = assert(bpf.load(PROGS))
  for i = 1, 3 do
    hosts[i] = net.space()
    local last = i == 1 and 1 or 9
    net.cable({ space = router, name = "r" .. i }, {
      space = hosts[i], name = "h" .. i, mac = "02:00:00:00:00:0" .. last, address = ("10.255.253.%d/24"):format(last),
    })
  end
  net.neighbour(hosts[1], "h1", "10.255.253.9", "02:00:00:00:00:09")
  sender = net.udp(hosts[1], 1)
  for i = 2, 3 do
    net.within(hosts[i], function() assert(serving.progs.pass:attach_xdp("h" .. i)) end)
    receivers[i] = net.udp(hosts[i], 5, "10.255.253.9", PORT)
  end
  net.enter(router)
end)

teardown(function()
  for _, s in pairs(receivers) do
    s:close()
  end
  if sender then
    sender:close()
  end
  if serving then
    serving:close()
  end
  net.remove()
end)

local sent = 0

-- Sends a packet. Returns its text.
local function send()
  sent = sent + 1
  local text = ("packet %d"):format(sent)
  assert(sender:sendto(text, "10.255.253.9", PORT))
  return text
end

-- Sends a packet and checks that it arrives at that host alone. Returns what arrived, and what was sent.
local function arrives(host)
  local text = send()
  local got = receivers[host]:receive()
  local other = receivers[5 - host]
  other:settimeout(0)
  assert.is_nil(other:receive())
  other:settimeout(5 * helper.slow)
  assert.is_string(got, "nothing arrived")
  return got, text
end

-- Checks that a packet gets to that host, as it was sent.
local function reaches(host)
  local got, text = arrives(host)
  assert.equal(text, got)
end

-- Checks that a packet gets nowhere.
local function is_lost()
  send()
  for i = 2, 3 do
    receivers[i]:settimeout(0.1)
    assert.is_nil(receivers[i]:receive())
    receivers[i]:settimeout(5 * helper.slow)
  end
end

-- An object whose program forwards what comes from host 1 through the map of this name.
local function forwarding(name)
  local obj = assert(bpf.load(PROGS))
  net.attach_xdp(obj.progs[name == "ports" and "forward" or "forward_" .. name], "r1")
  return obj
end

for _, kind in ipairs({
  { type = "devmap", name = "ports", program = "forward", absent = 3 },
  { type = "devmap_hash", name = "hosts", program = "forward_hosts", absent = 70000 },
}) do
  describe(kind.type .. ":", function()
    it("packets leave by the interface of that index", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[0] = calls.index("r2")
      reaches(2)
      m[0] = calls.index("r3")
      reaches(3)
      assert.equal(calls.index("r3"), m[0])
    end)

    it("packets leave by the interface of that name", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[0], m[1] = "r2", "r3"
      reaches(2)
      obj.vars.chosen = 1
      reaches(3)
      assert.same({ calls.index("r2"), calls.index("r3") }, { m[0], m[1] })
    end)

    it("an entry's program sees what leaves by it", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[0] = { ifindex = "r2", prog = obj.progs.mark }
      m[1] = { ifindex = calls.index("r3"), prog = obj.progs.mark }
      local got, text = arrives(2)
      assert.equal("!" .. text:sub(2), got)
      assert.equal(calls.index("r2"), obj.vars.last_out)
      obj.vars.chosen = 1
      got, text = arrives(3)
      assert.equal("!" .. text:sub(2), got)
      assert.equal(calls.index("r3"), obj.vars.last_out)
    end)

    it("an entry's program may keep packets, until the entry is set without it", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[0] = { ifindex = "r2", prog = obj.progs.refuse }
      is_lost()
      m[0] = { ifindex = "r2" }
      reaches(2)
      assert.equal(calls.index("r2"), m[0])
    end)

    it("reads back the program's id", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[0] = { ifindex = "r2", prog = obj.progs.mark }
      assert.same({ ifindex = calls.index("r2"), prog = obj.progs.mark:info().id }, m[0])
      assert.same({ ifindex = calls.index("r2"), prog = obj.progs.mark:info().id }, map.lookup(m, 0))
    end)

    it("a program stays in its entry when its object is closed", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      do
        local other <close> = assert(bpf.load(PROGS))
        m[0] = { ifindex = "r2", prog = other.progs.mark }
      end
      local got, text = arrives(2)
      assert.equal("!" .. text:sub(2), got)
    end)

    it("packets for a deleted entry are lost", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[0] = "r2"
      reaches(2)
      assert.is_true(map.delete(m, 0))
      is_lost()
      assert.is_nil(m[0])
      m[0] = "r2"
      reaches(2)
      m[0] = nil
      is_lost()
    end)

    it("an entry goes with its interface", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      net.must("ip link add gone type veth peer name gone2")
      m[2] = "gone"
      assert.is_number(m[2])
      net.must("ip link del gone")
      assert.is_nil(m[2])
    end)

    it("an absent key reads nil", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      assert.is_nil(m[kind.absent])
      assert.same({ n = 1 }, table.pack(map.lookup(m, kind.absent)))
    end)

    it("pairs goes over the entries there are", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[1], m[3] = "r2", { ifindex = "r3", prog = obj.progs.mark }
      local all = {}
      for key, entry in pairs(m) do
        all[key] = entry
      end
      assert.same({
        [1] = calls.index("r2"),
        [3] = { ifindex = calls.index("r3"), prog = obj.progs.mark:info().id },
      }, all)
    end)

    it("is what bpftool shows", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[1] = { ifindex = "r2", prog = obj.progs.mark }
      local bytes = string.pack("<I4I4", calls.index("r2"), obj.progs.mark:info().id)
      local hex = bytes:gsub(".", function(c) return ('"0x%02x",'):format(c:byte()) end):sub(1, -2)
      local shown = net.must(("bpftool -j map lookup id %d key 1 0 0 0"):format(map.info(m).id))
      assert.is_truthy(shown:find(hex, 1, true), shown)
    end)

    it("an interface that isn't there is a failure that names it", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      fails("ENODEV", "no such network interface", map.update(m, 0, "nosuch0"))
      fails("ENODEV", "no such network interface", map.update(m, 0, { ifindex = "nosuch0" }))
      helper.raises(function() m[0] = "nosuch0" end, "ENODEV")
      assert.is_nil((map.update(m, 0, 99999)))
      helper.raises(function() m[0] = 99999 end, "update")
      assert.is_nil(m[0])
    end)

    it("a program that isn't for device maps is a failure", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      fails("EINVAL", "update", map.update(m, 0, { ifindex = "r2", prog = obj.progs.pass }))
      assert.is_nil(m[0])
    end)

    it("values that are neither interface nor entry raise, and change nothing", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      m[0] = "r2"
      for _, wrong in ipairs({ true, -1, 1.5, 1 << 32, {}, { ifindex = true }, { ifindex = 1, program = 1 },
        { prog = obj.progs.mark }, { ifindex = "r2", prog = 1 }, { ifindex = "r2", prog = obj }, print, obj }) do
        helper.raises(function() m[0] = wrong end, "")
        helper.raises(function() map.update(m, 0, wrong) end, "")
      end
      assert.equal(calls.index("r2"), m[0])
    end)

    it("made in Lua, has entries with programs", function()
      local m <close> = assert(map.create({ type = kind.type, name = "made", max_entries = 2 }))
      local obj <close> = assert(bpf.load(PROGS))
      assert.same({ 4, 8 }, { map.info(m).key_size, map.info(m).value_size })
      m[0] = { ifindex = "r2", prog = obj.progs.mark }
      m[1] = "r3"
      assert.same({ ifindex = calls.index("r2"), prog = obj.progs.mark:info().id }, m[0])
      assert.equal(calls.index("r3"), m[1])
      assert.equal(2, #m)
    end)

    it("made in Lua, is where a program sends packets", function()
      local m <close> = assert(map.create({ type = kind.type, name = "made", max_entries = 4 }))
      local obj <close> = assert(bpf.load(PROGS, { maps = { [kind.name] = m } }))
      net.attach_xdp(obj.progs[kind.program], "r1")
      m[0] = "r2"
      reaches(2)
      m[0] = { ifindex = "r3", prog = obj.progs.mark }
      local got, text = arrives(3)
      assert.equal("!" .. text:sub(2), got)
    end)

    it("opened by its id, is the same", function()
      local obj <close> = forwarding(kind.name)
      local plain <close> = assert(map.by_id(map.info(obj.maps[kind.name]).id))
      local m <close> = assert(map.typed(plain, "__u32")) -- the kernel keeps no types of such maps
      m[0] = { ifindex = "r2", prog = obj.progs.mark }
      assert.same({ ifindex = calls.index("r2"), prog = obj.progs.mark:info().id }, m[0])
      m[0] = "r3"
      reaches(3)
    end)

    it("entries are stored, read and deleted in bulk", function()
      local obj <close> = forwarding(kind.name)
      local m = obj.maps[kind.name]
      assert.equal(2, map.update_batch(m, { [0] = "r2", [2] = { ifindex = "r3", prog = obj.progs.mark } }))
      reaches(2)
      local keys, entries, cursor = map.lookup_batch(m)
      assert.is_nil(cursor)
      local all = {}
      for i, key in ipairs(keys) do
        all[key] = entries[i]
      end
      assert.same({
        [0] = calls.index("r2"),
        [2] = { ifindex = calls.index("r3"), prog = obj.progs.mark:info().id },
      }, all)
      local ok, message, code, count, key = map.update_batch(m, { [1] = "nosuch0" })
      assert.same({ nil, "ENODEV", 0, 1 }, { ok, code, count, key })
      assert.matches("update_batch", message)
      assert.equal(1, map.delete_batch(m, { 0 }))
      is_lost()
      assert.is_nil(m[0])
      assert.is_table(m[2])
      assert.is_number(map.clear(m))
      assert.is_nil(m[2])
    end)

    it("drain takes out what it hands out", function()
      local obj <close> = forwarding(kind.name)
      local m, all = obj.maps[kind.name], {}
      m[0], m[1], m[2] = "r2", "r3", "r2"
      for key, index in map.drain(m) do
        all[key] = index
        if key == 0 then
          is_lost()
        end
      end
      assert.same({ [0] = calls.index("r2"), calls.index("r3"), calls.index("r2") }, all)
      assert.same({}, { m[0], m[1], m[2] })
      m[0], m[1] = "r2", "r3"
      local step, state = map.drain(m)
      local taken = step(state)
      assert.is_nil(m[taken])
      assert.is_number(m[1 - taken])
    end)

    it("is read into a table", function()
      local obj <close> = forwarding(kind.name)
      local m, t = obj.maps[kind.name], { other = 1 }
      m[0], m[1] = { ifindex = "r2", prog = obj.progs.mark }, "r3"
      assert.equal(t, map.lookup(m, 0, { into = t }))
      assert.same({ ifindex = calls.index("r2"), prog = obj.progs.mark:info().id, other = 1 }, t)
      map.lookup(m, 1, { into = t })
      assert.same({ ifindex = calls.index("r3"), other = 1 }, t)
    end)
  end)
end

describe("devmap:", function()
  it("has so many slots and no more", function()
    local obj <close> = forwarding("ports")
    local m = obj.maps.ports
    assert.equal(4, #m)
    m[3] = "r2"
    obj.vars.chosen = 3
    reaches(2)
    fails("E2BIG", "the last one is 3", map.update(m, 4, "r2"))
    helper.raises(function() m[4] = "r2" end, "E2BIG")
    assert.is_nil(m[4])
  end)
end)

describe("devmap_hash:", function()
  it("takes so many entries and no more, whatever their keys", function()
    local obj <close> = forwarding("hosts")
    local m = obj.maps.hosts
    for _, key in ipairs({ 1, 70000, 0xffffffff, 5 }) do
      m[key] = "r2"
    end
    assert.equal(4, #m)
    obj.vars.chosen = 0xffffffff
    reaches(2)
    fails("E2BIG", "full", map.update(m, 6, "r2"))
    m[1] = "r3"
    assert.equal(calls.index("r3"), m[1])
    m[1] = nil
    m[6] = "r3"
    obj.vars.chosen = 6
    reaches(3)
  end)

  it("noexist and exist are heeded as the kernel does", function()
    local obj <close> = forwarding("hosts")
    local m = obj.maps.hosts
    assert.is_true(map.update(m, 1, "r2", "noexist"))
    assert.same({ false, "EEXIST" }, { map.update(m, 1, "r3", "noexist") })
    assert.is_true(map.update(m, 1, "r3", "exist"))
    assert.equal(calls.index("r3"), m[1])
  end)

  it("deleting an absent key isn't a failure", function()
    local obj <close> = forwarding("hosts")
    local m = obj.maps.hosts
    assert.same({ false, "ENOENT" }, { map.delete(m, 1) })
    m[1] = nil
  end)

  it("a packet goes to every interface in it but its own", function()
    kernel.need("sending to all of a device map", "5.14")
    local obj <close> = assert(bpf.load(PROGS))
    local m = obj.maps.hosts
    net.attach_xdp(obj.progs.flood, "r1")
    m[1], m[2], m[3] = "r1", "r2", "r3"
    local text = send()
    assert.same({ text, text }, { receivers[2]:receive(), receivers[3]:receive() })
    m[2] = nil
    reaches(3)
  end)
end)

describe("a device map of indices alone:", function()
  it("packets leave by the interface", function()
    local obj <close> = forwarding("plain")
    local m = obj.maps.plain
    m[0], m[1] = "r2", calls.index("r3")
    reaches(2)
    obj.vars.chosen = 1
    reaches(3)
    assert.same({ calls.index("r2"), calls.index("r3") }, { m[0], m[1] })
  end)

  it("has no place for a program", function()
    local obj <close> = forwarding("plain")
    local m = obj.maps.plain
    m[0] = { ifindex = "r2" }
    reaches(2)
    helper.raises(function() m[0] = { ifindex = "r2", prog = obj.progs.mark } end, "prog")
    assert.equal(calls.index("r2"), m[0])
  end)
end)

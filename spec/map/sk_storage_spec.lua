-- SPDX-License-Identifier: MIT
-- Storage of sockets: what Lua keeps with a socket, programs see when the socket sends, and the other way round.
local socket = require("socket")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local calls = require("support.netcalls")
local net = require("spec.support.net")
local bpf = require("bpf")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("storage of sockets", "5.2")
if kernel.config("CONFIG_CGROUP_BPF") == "n" then
  helper.skip("needs CONFIG_CGROUP_BPF")
end

-- Two sockets whose packets the program sees, as they belong to a cgroup of their own.
local obj, notes, one, two, open

local function keep(s)
  open[#open + 1] = s
  return s
end

local function udp()
  return keep(assert(socket.udp4()))
end

before_each(function()
  open = {}
  net.enter(net.space())
  local group = net.cgroup()
  obj = assert(bpf.load(helper.obj("sk_storage")))
  notes = obj.maps.notes
  calls.attach(obj.progs.on_packet:fd(), group, "cgroup_inet_egress")
  one, two = net.in_cgroup(group, function() return udp(), udp() end)
end)

after_each(function()
  for _, s in ipairs(open) do
    s:close()
  end
  obj:close()
  net.remove()
end)

-- Sends so many packets, to nobody. Returns how many were let through.
local function send(s, n)
  local through = 0
  for _ = 1, n or 1 do
    through = through + (s:sendto("x", "127.0.0.1", 9) and 1 or 0)
  end
  return through
end

-- The marks of all the map's values, as the kernel lists them.
local function marks(m)
  kernel.need("iterators over storage of sockets", "5.9")
  kinds.need("iter/bpf_sk_storage_map")
  local path = helper.bpffs() .. "/dump"
  net.must(("bpftool iter pin %s %s map id %d"):format(helper.obj("sk_storage_dump"), path, map.info(m).id))
  local all = {}
  for mark in net.must("cat " .. path):gmatch("%d+") do
    all[#all + 1] = math.tointeger(mark)
  end
  table.sort(all)
  return all
end

describe("sk_storage:", function()
  it("what Lua stores decides over the socket's packets", function()
    assert.equal(3, send(one, 3))
    notes[one] = { refused = 2 }
    notes[two] = {}
    assert.equal(3, send(one, 5))
    assert.equal(5, send(two, 5))
    assert.same({ mark = 0, refused = 0, packets = 3 }, notes[one])
    assert.same({ mark = 0, refused = 0, packets = 5 }, notes[two])
  end)

  it("what the program stores is read in Lua", function()
    send(one)
    assert.is_nil(notes[one])
    obj.vars.create, obj.vars.new_mark = true, 77
    send(one, 3)
    assert.same({ mark = 77, refused = 0, packets = 3 }, notes[one])
    assert.is_nil(notes[two])
    obj.vars.new_mark = 78
    send(two)
    assert.equal(78, map.lookup(notes, two).mark)
    assert.equal(77, notes[one].mark)
  end)

  it("takes plain descriptors", function()
    notes[one:getfd()] = { mark = 5 }
    assert.equal(5, notes[one].mark)
    assert.is_true(map.update(notes, one:getfd(), { mark = 6 }))
    assert.equal(6, map.lookup(notes, one:getfd()).mark)
    assert.is_true(map.delete(notes, one:getfd()))
    assert.is_nil(notes[one])
  end)

  it("a deleted value is gone for the program", function()
    notes[one] = { refused = 1000 }
    assert.equal(0, send(one))
    assert.is_true(map.delete(notes, one))
    assert.equal(1, send(one))
    assert.is_nil(notes[one])
    notes[one] = { refused = 1000 }
    assert.equal(0, send(one))
    notes[one] = nil
    assert.equal(1, send(one))
  end)

  it("is gone with the socket", function()
    notes[one], notes[two] = { mark = 1 }, { mark = 2 }
    assert.same({ 1, 2 }, marks(notes))
    local fd = two:getfd()
    two:close()
    local successor = udp()
    assert.equal(fd, successor:getfd())
    assert.is_nil(notes[successor])
    assert.same({ 1 }, marks(notes))
    assert.equal(1, notes[one].mark)
  end)

  it("keeps nothing when its map is closed", function()
    local other <close> = assert(bpf.load(helper.obj("sk_storage")))
    other.maps.notes[one] = { mark = 3 }
    notes[one] = { mark = 4 }
    assert.same({ 3, 4 }, { other.maps.notes[one].mark, notes[one].mark })
    other:close()
    assert.equal(4, notes[one].mark)
  end)

  it("what isn't there reads nil, and deleting it isn't a failure", function()
    assert.same({ n = 1 }, table.pack(map.lookup(notes, one)))
    assert.same({ false, "ENOENT" }, { map.delete(notes, one) })
    notes[one] = nil
  end)

  it("heeds exist and noexist", function()
    assert.same({ false, "ENOENT" }, { map.update(notes, one, {}, "exist") })
    assert.is_true(map.update(notes, one, { mark = 1 }, "noexist"))
    assert.same({ false, "EEXIST" }, { map.update(notes, one, { mark = 2 }, "noexist") })
    assert.equal(1, notes[one].mark)
    assert.is_true(map.update(notes, one, { mark = 3 }, "exist"))
    assert.equal(3, notes[one].mark)
  end)

  it("a descriptor that isn't open is a failure", function()
    fails("EBADF", "lookup", map.lookup(notes, 99999))
    fails("EBADF", "update", map.update(notes, 99999, {}))
    fails("EBADF", "delete", map.delete(notes, 99999))
    helper.raises(function() return notes[99999] end, "EBADF")
    helper.raises(function() notes[99999] = {} end, "EBADF")
  end)

  it("what is no socket is a failure", function()
    fails("ENOTSOCK", "lookup", map.lookup(notes, map.fd(notes)))
    fails("ENOTSOCK", "update", map.update(notes, map.fd(notes), {}))
    fails("ENOTSOCK", "delete", map.delete(notes, map.fd(notes)))
    helper.raises(function() return notes[map.fd(notes)] end, "ENOTSOCK")
  end)

  it("keys that are no descriptor raise", function()
    for _, wrong in ipairs({ true, "0", -1, 1.5, 1 << 32, {}, { getfd = 1 }, { getfd = function() return "x" end },
      print, obj }) do
      helper.raises(function() return notes[wrong] end, "")
      helper.raises(function() notes[wrong] = {} end, "")
      helper.raises(function() map.delete(notes, wrong) end, "")
    end
    two:close()
    helper.raises(function() return notes[two] end, "")
  end)

  it("raises what getfd raises, and when that closes the map", function()
    helper.raises(function() return notes[{ getfd = function() error("none today") end }] end, "none today")
    local function closing()
      local made = assert(map.create({ type = "sk_storage", name = "made", value = "struct { __u64 a; char b[40]; }" }))
      made[one] = { b = "some" }
      return made, { getfd = function() return map.close(made) and one:getfd() end }
    end
    for _, use in ipairs({
      function(m, key) return m[key] end,
      function(m, key) m[key] = { b = "other" } end,
      function(m, key) map.lookup(m, key, { into = {} }) end,
      function(m, key) map.unpack(m, key) end,
      function(m, key) map.delete(m, key) end,
      function(m, key) map.update_batch(m, { [key] = { b = "other" } }) end,
      function(m, key) map.delete_batch(m, { key }) end,
    }) do
      local m, key = closing()
      helper.raises(function() use(m, key) end, "closed")
    end
  end)

  it("has no walk, and nothing that would need one", function()
    notes[one] = { mark = 1 }
    for _, walk in ipairs({ pairs, map.keys, map.drain }) do
      helper.raises(function()
        local step, state, control = walk(notes)
        step(state, control)
      end, "sk_storage have no")
    end
    for _, use in ipairs({ map.next_key, map.lookup_batch, map.clear, function(m) return #m end }) do
      helper.raises(function() use(notes) end, "sk_storage have no")
    end
    assert.equal(1, notes[one].mark)
  end)

  it("values are stored and deleted in bulk", function()
    assert.equal(2, map.update_batch(notes, { [one] = { mark = 1 }, [two:getfd()] = { mark = 2 } }))
    assert.same({ 1, 2 }, { notes[one].mark, notes[two].mark })
    local third = udp()
    assert.equal(1, map.update_batch(notes, { [one] = { mark = 4 }, [third] = { mark = 3 } }, "noexist"))
    assert.same({ 1, 2, 3 }, marks(notes))
    local ok, message, code, count = map.update_batch(notes, { [99999] = { mark = 5 } })
    assert.same({ nil, "EBADF", 0 }, { ok, code, count })
    assert.matches("update_batch", message)
    assert.equal(2, map.delete_batch(notes, { one, udp(), two, one }))
    assert.same({ 3 }, marks(notes))
  end)

  it("is read as values, and into a table", function()
    notes[one] = { mark = 1, packets = 3 }
    assert.same({ 1, 0, 3 }, { map.unpack(notes, one) })
    local t = {}
    assert.equal(t, map.lookup(notes, one, { into = t }))
    assert.same({ mark = 1, refused = 0, packets = 3 }, t)
  end)

  it("a spin lock in the value is the kernel's", function()
    local locked = obj.maps.locked
    locked[one] = { mark = 1, packets = 10 }
    assert.same({ mark = 1, packets = 10 }, locked[one])
    send(one, 4)
    assert.same({ mark = 1, packets = 14 }, locked[one])
    assert.is_true(map.update(locked, one, { mark = 2, packets = 20 }, "lock"))
    send(one)
    assert.same({ mark = 2, packets = 21 }, map.lookup(locked, one, "lock"))
    helper.raises(function() locked[one] = { lock = 1 } end, "lock")
    assert.same({ mark = 2, packets = 21 }, locked[one])
  end)

  it("made in Lua, keeps values", function()
    local made <close> = assert(map.create({
      type = "sk_storage", name = "made", value = "struct note { __u32 mark; char name[12]; }",
    }))
    made[one], made[two] = { mark = 8, name = "first" }, { name = "second" }
    assert.same({ mark = 8, name = "first" }, made[one])
    assert.same({ mark = 0, name = "second" }, made[two])
    assert.same({ 0, 8 }, marks(made))
    made[one] = nil
    assert.same({ 0 }, marks(made))
  end)

  it("made in Lua, is what a program uses", function()
    local made <close> = assert(map.create({
      type = "sk_storage", name = "made", value = "struct note { __u32 mark, refused; __u64 packets; }",
    }))
    local other <close> = assert(bpf.load(helper.obj("sk_storage"), { maps = { notes = made } }))
    local group = net.cgroup()
    calls.attach(other.progs.on_packet:fd(), group, "cgroup_inet_egress")
    local third = net.in_cgroup(group, udp)
    made[third] = { refused = 1 }
    assert.equal(2, send(third, 3))
    assert.same({ mark = 0, refused = 0, packets = 2 }, made[third])
  end)

  it("made in Lua, keeps values under a lock", function()
    local made <close> = assert(map.create({
      type = "sk_storage", name = "made", value = "struct note { struct bpf_spin_lock lock; __u32 mark; }",
    }))
    assert.is_true(map.update(made, one, { mark = 9 }, "lock"))
    assert.same({ mark = 9 }, map.lookup(made, one, "lock"))
  end)

  it("accepted connections inherit it from a map of the kind that clones", function()
    kernel.need("storage that is cloned", "5.4")
    local made <close> = assert(map.create({
      type = "sk_storage", name = "made", value = "struct note { __u32 mark; }", flags = "clone",
    }))
    local server = keep(assert(socket.bind("127.0.0.1", 0)))
    made[server] = { mark = 41 }
    local client = keep(assert(socket.tcp4()))
    local _, port = server:getsockname()
    assert(client:connect("127.0.0.1", port))
    local accepted = keep(assert(server:accept()))
    assert.equal(41, made[accepted].mark)
    made[accepted] = { mark = 42 }
    assert.same({ 41, 42 }, { made[server].mark, made[accepted].mark })
    assert.is_nil(made[client])
  end)
end)

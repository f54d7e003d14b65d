-- SPDX-License-Identifier: MIT
-- cgroup_storage and percpu_cgroup_storage: what a program has stored for each cgroup that it is attached to.
local cgroup = require("spec.support.cgroup")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local bpf = require("bpf")
local sys = require("support.sys")

local fails, map = helper.fails, bpf.map

kernel.root()

local GROUPS = helper.obj("groups")
local INGRESS, EGRESS = 0, 1 -- of enum bpf_attach_type: BPF_CGROUP_INET_INGRESS, BPF_CGROUP_INET_EGRESS

-- Sends datagrams of one byte to itself, in a network of its own: packets of 29 bytes, which go out and come in.
local SEND = [[
  local socket = require("socket")
  local from, to = assert(socket.udp()), assert(socket.udp())
  assert(to:setsockname("127.0.0.1", 0))
  to:settimeout(5)
  local _, port = to:getsockname()
  for _ = 1, %d do
    assert(from:sendto("x", "127.0.0.1", port))
    assert(to:receive())
  end
]]
local PACKET = 20 + 8 + 1

local function send(group, n)
  local script = "ip link set lo up && exec " .. helper.LUA .. " -e " .. helper.quote(SEND:format(n))
  group:run("unshare -n sh -c " .. helper.quote(script))
end

local function sum(values)
  local packets, bytes = 0, 0
  for _, value in ipairs(values) do
    packets, bytes = packets + value.packets, bytes + value.bytes
  end
  return { packets = packets, bytes = bytes }
end

describe("an object's storage for cgroups", function()
  local obj, ours, detach

  before_each(function()
    obj = assert(bpf.load(GROUPS))
    ours = cgroup.new()
    detach = {}
  end)

  after_each(function()
    for i = #detach, 1, -1 do
      detach[i]()
    end
    obj:close()
    ours:remove()
  end)

  -- Attaches a program to a cgroup until the end of the test, or until the returned function is called.
  local function attach(group, program, type)
    local fd, prog = sys.open(group.path), obj.progs[program]:fd()
    local done = false
    sys.prog_attach(prog, fd, type)
    detach[#detach + 1] = function()
      if not done then
        done = true
        local ok, message = pcall(sys.prog_detach, prog, fd, type)
        sys.close(fd)
        assert(ok, message)
      end
    end
    return detach[#detach]
  end

  local function key(group, type)
    return { cgroup_inode_id = group.id, attach_type = type }
  end

  it("has no entries before a program is attached, and none can be made", function()
    local traffic = obj.maps.traffic
    assert.equal("cgroup_storage", map.type(traffic))
    assert.is_nil(traffic[key(ours, EGRESS)])
    assert.equal(0, #traffic)
    fails("ENOENT", "^map 'traffic': update: ", map.update(traffic, key(ours, EGRESS), {}))
    helper.raises(function() traffic[key(ours, EGRESS)] = {} end, "map 'traffic': update: .*ENOENT")
    assert.equal(0, #traffic)
  end)

  it("counts the packets of the cgroup that its program is attached to", function()
    attach(ours, "on_egress", EGRESS)
    local traffic = obj.maps.traffic
    assert.same({ packets = 0, bytes = 0 }, traffic[key(ours, EGRESS)])
    send(ours, 5)
    assert.same({ packets = 5, bytes = 5 * PACKET }, traffic[key(ours, EGRESS)])
    assert.is_nil(traffic[key(ours, INGRESS)])
    send(ours, 2)
    assert.same({ packets = 7, bytes = 7 * PACKET }, traffic[key(ours, EGRESS)])
  end)

  it("has an entry for each attachment", function()
    local other <close> = cgroup.new()
    attach(ours, "on_egress", EGRESS)
    attach(ours, "on_ingress", INGRESS)
    local stop = attach(other, "on_egress", EGRESS)
    send(ours, 3)
    send(other, 4)
    local seen, n = {}, 0
    for k, value in pairs(obj.maps.traffic) do
      seen[k.cgroup_inode_id .. "/" .. k.attach_type] = value.packets
      n = n + 1
    end
    assert.equal(3, n)
    assert.equal(3, #obj.maps.traffic)
    assert.same({
      [ours.id .. "/" .. EGRESS] = 3,
      [ours.id .. "/" .. INGRESS] = 3,
      [other.id .. "/" .. EGRESS] = 4,
    }, seen)
    local keys = 0
    for k in map.keys(obj.maps.traffic) do
      assert.is_truthy(seen[k.cgroup_inode_id .. "/" .. k.attach_type])
      keys = keys + 1
    end
    assert.equal(3, keys)
    stop()
  end)

  it("can be set from Lua, and goes on from there", function()
    attach(ours, "on_egress", EGRESS)
    local traffic = obj.maps.traffic
    traffic[key(ours, EGRESS)] = { packets = 100, bytes = 1 << 40 }
    send(ours, 1)
    assert.same({ packets = 101, bytes = (1 << 40) + PACKET }, traffic[key(ours, EGRESS)])
    assert.is_true(map.update(traffic, key(ours, EGRESS), { packets = 7 }, { "exist", "lock" }))
    assert.same({ packets = 7, bytes = 0 }, map.lookup(traffic, key(ours, EGRESS), "lock"))
    send(ours, 1)
    assert.same({ packets = 8, bytes = PACKET }, traffic[key(ours, EGRESS)])
  end)

  it("outlives the attachment, and is gone with the cgroup", function()
    kernel.need("storage that outlives attachments", "5.9")
    local brief = cgroup.new()
    local stop = attach(brief, "on_egress", EGRESS)
    send(brief, 1)
    stop()
    local k = key(brief, EGRESS)
    assert.same({ packets = 1, bytes = PACKET }, obj.maps.traffic[k])
    stop = attach(brief, "on_egress", EGRESS)
    send(brief, 1)
    assert.same({ packets = 2, bytes = 2 * PACKET }, obj.maps.traffic[k])
    stop()
    brief:remove()
    for _ = 1, 200 do -- the kernel does it from a worker
      if not obj.maps.traffic[k] then
        break
      end
      helper.run("sleep 0.01")
    end
    assert.is_nil(obj.maps.traffic[k])
    assert.equal(0, #obj.maps.traffic)
  end)

  it("of each CPU is a sequence", function()
    attach(ours, "on_egress", EGRESS)
    local per_cpu = obj.maps.per_cpu
    local k = key(ours, EGRESS)
    assert.equal("percpu_cgroup_storage", map.type(per_cpu))
    send(ours, 6)
    local values = per_cpu[k]
    assert.equal(math.tointeger(tonumber((helper.run("getconf _NPROCESSORS_CONF")))), #values)
    assert.same({ packets = 6, bytes = 6 * PACKET }, sum(values))
    assert.same({ packets = 6, bytes = 6 * PACKET }, map.sum(per_cpu, k))
    assert.same(values[1], map.lookup(per_cpu, k, { cpu = 0 }))

    per_cpu[k] = { packets = 10 }
    assert.same({ packets = 10 * #values, bytes = 0 }, map.sum(per_cpu, k))
    for cpu = 1, #values do
      values[cpu] = { packets = cpu, bytes = cpu }
    end
    per_cpu[k] = values
    assert.same(values, per_cpu[k])
    assert.is_true(map.update(per_cpu, k, { packets = 50 }, { cpu = 0 }))
    values[1] = { packets = 50, bytes = 0 }
    assert.same(values, per_cpu[k])
    local before = sum(values)
    send(ours, 1)
    assert.same({ packets = before.packets + 1, bytes = before.bytes + PACKET }, map.sum(per_cpu, k))
    for walked, each in pairs(per_cpu) do
      assert.equal(ours.id, walked.cgroup_inode_id)
      assert.equal(#values, #each)
    end
  end)

  it("keyed by the cgroup alone is shared by all attachments to it", function()
    kernel.need("storage shared by attach types", "5.9")
    attach(ours, "both_egress", EGRESS)
    attach(ours, "both_ingress", INGRESS)
    send(ours, 4)
    assert.equal(8, obj.maps.both[ours.id])
    obj.maps.both[ours.id] = 100
    send(ours, 1)
    assert.equal(102, obj.maps.both[ours.id])
    assert.same(1, #obj.maps.both)
    assert.equal(ours.id, map.next_key(obj.maps.both))
    assert.is_nil(obj.maps.both[0])
  end)

  it("has entries that can't be deleted", function()
    attach(ours, "on_egress", EGRESS)
    local traffic, k = obj.maps.traffic, key(ours, EGRESS)
    local what = "map 'traffic': maps of type cgroup_storage have no %s.*"
      .. "%%(they have: lookup, update, next_key, pairs%%)"
    helper.raises(function() traffic[k] = nil end, what:format("delete"))
    helper.raises(function() map.delete(traffic, k) end, what:format("delete"))
    helper.raises(function() map.lookup_and_delete(traffic, k) end, what:format("lookup_and_delete"))
    helper.raises(function() map.clear(traffic) end, what:format("clear"))
    assert.is_truthy(traffic[k])
  end)

  it("checks keys", function()
    local traffic = obj.maps.traffic
    helper.raises(function() return traffic[1] end, "key: .*struct bpf_cgroup_storage_key")
    helper.raises(function() return traffic[{ cgroup = 1 }] end, "no member 'cgroup'.*cgroup_inode_id, attach_type")
    fails("ENOENT", "update", map.update(traffic, { cgroup_inode_id = ours.id, attach_type = 99 }, {}))
  end)
end)

for _, kind in ipairs({ "cgroup_storage", "percpu_cgroup_storage" }) do
  describe(kind .. " of one's own", function()
    it("has the kernel's key, and no max_entries", function()
      local m <close> = assert(map.create({ type = kind, value = "struct traffic { __u32 packets; __u64 bytes; }" }))
      local info = map.info(m)
      assert.same({ kind, 16, 16, 0 }, { info.type, info.key_size, info.value_size, info.max_entries })
      assert.is_nil(m[{ cgroup_inode_id = 1, attach_type = 1 }])
      assert.equal(0, #m)
      fails("EINVAL", "max_entries must be left out", map.create({ type = kind, value = "__u32", max_entries = 1 }))
    end)

    it("may be keyed by the cgroup alone", function()
      kernel.need("storage shared by attach types", "5.9")
      local m <close> = assert(map.create({ type = kind, key = "__u64", value = "__u64" }))
      assert.equal(8, map.info(m).key_size)
      assert.is_nil(m[1])
      fails("EINVAL", "map.create", map.create({ type = kind, key = "__u32", value = "__u64" }))
    end)
  end)
end

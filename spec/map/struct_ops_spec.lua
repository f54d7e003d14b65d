-- SPDX-License-Identifier: MIT
-- struct_ops: a TCP congestion control written in BPF, which real connections use.
local socket = require("socket")

local helper = require("spec.helper")
local congestion = require("spec.support.congestion")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local net = require("spec.support.net")
local bpf = require("bpf")
local sys = require("support.sys")

local fails, map = helper.fails, bpf.map

kernel.root()
kernel.need("struct_ops", "5.6")
-- Its programs are found by the kernel's BTF.
if kernel.config("CONFIG_DEBUG_INFO_BTF") == "n" or kernel.config("CONFIG_BPF_JIT") == "n" then
  helper.skip("struct_ops need a kernel with CONFIG_DEBUG_INFO_BTF and CONFIG_BPF_JIT")
end
kinds.need("struct_ops")

local CONGESTION = helper.obj("congestion")
local NAME = congestion.name

local function bytes()
  return congestion.object("congestion", "lbpf_cc")
end

-- Whether the kernel offers it.
local function available()
  local file <close> = assert(io.open("/proc/sys/net/ipv4/tcp_available_congestion_control"))
  return (" " .. file:read("l") .. " "):find(" " .. NAME .. " ", 1, true) ~= nil
end

-- A connection of this process with itself: both ends.
local function connect(algorithm)
  local server = assert(socket.bind("127.0.0.1", 0))
  local _, port = server:getsockname()
  local near = assert(socket.tcp4())
  if algorithm then
    assert(sys.set_congestion(near:getfd(), algorithm))
  end
  near:settimeout(5 * helper.slow)
  server:settimeout(5 * helper.slow)
  assert(near:connect("127.0.0.1", port))
  local far = assert(server:accept())
  server:close()
  far:settimeout(5 * helper.slow)
  return near, far
end

describe("a struct_ops map", function()
  local obj, ops

  setup(function()
    net.enter(net.space())
  end)

  teardown(function()
    net.leave()
    net.remove()
  end)

  before_each(function()
    obj = assert(bpf.load({ bytes = bytes() }, { name = "congestion" }))
    ops = obj.maps.lbpf
  end)

  after_each(function()
    obj:close()
    assert.is_false(available())
  end)

  it("is an object's, and one value", function()
    assert.equal("struct_ops", map.type(ops))
    local info = map.info(ops)
    assert.same({ "struct_ops", 1, 4 }, { info.type, info.max_entries, info.key_size })
    assert.is_false(available())
  end)

  it("is registered until its link is closed", function()
    local link = assert(map.attach(ops))
    assert.is_true(available())
    assert.matches("^bpf%.link: ", tostring(link))
    assert.is_true(link:close())
    assert.is_false(available())
    assert.is_true(link:close())
  end)

  it("is registered until its link is detached", function()
    local link = assert(map.attach(ops))
    assert.is_true(link:detach())
    assert.is_false(available())
  end)

  it("is registered until its object is detached", function()
    local link = assert(map.attach(ops))
    assert.is_true(obj:detach())
    assert.is_false(available())
    assert.is_true(link:close())
  end)

  it("is registered until its object is closed, though the link is dropped", function()
    map.attach(ops)
    collectgarbage()
    collectgarbage()
    assert.is_true(available())
    obj:close()
    assert.is_false(available())
  end)

  it("is used by connections that ask for it", function()
    local link <close> = assert(map.attach(ops)) -- luacheck: ignore
    local near, far = connect(NAME)
    assert.equal(NAME, sys.congestion(near:getfd()))
    assert.equal(1, obj.vars.started)
    local data = ("x"):rep(100000)
    local sent, received = 0, 0
    while received < #data do
      far:settimeout(0)
      if sent < #data then
        sent = assert(near:send(data, sent + 1, math.min(#data, sent + 10000)))
      end
      local _, _, part = far:receive(#data)
      received = received + #(part or "")
    end
    assert.is_true(obj.vars.acknowledged > 0, "no acknowledgement was seen")
    assert.equal(0, obj.vars.ended)
    near:close()
    far:close()
    for _ = 1, 200 do -- the kernel goes through the last states of the connection
      if obj.vars.ended > 0 then
        break
      end
      socket.sleep(0.01)
    end
    assert.equal(1, obj.vars.ended)
  end)

  it("is not used by others, or by none once it is gone", function()
    local link = assert(map.attach(ops))
    local near, far = connect()
    assert.are_not.equal(NAME, sys.congestion(near:getfd()))
    assert.equal(0, obj.vars.started)
    link:close()
    assert.same({ nil, "No such file or directory" },
      { sys.set_congestion(near:getfd(), NAME) })
    near:close()
    far:close()
  end)

  it("serves a connection that has begun to its end, though it is gone for new ones", function()
    local link = assert(map.attach(ops))
    local near, far = connect(NAME)
    link:close()
    assert.is_false(available())
    assert.equal(NAME, sys.congestion(near:getfd()))
    assert(near:send("still here\n"))
    assert.equal("still here", far:receive("*l"))
    near:close()
    far:close()
  end)

  it("can't be registered twice, nor two of one name", function()
    local link <close> = assert(map.attach(ops)) -- luacheck: ignore
    fails("EBUSY", "^map 'lbpf': attach: ", map.attach(ops))
    local other <close> = assert(bpf.load({ bytes = bytes() }, { name = "congestion" }))
    fails("EEXIST", "^map 'lbpf': attach: ", map.attach(other.maps.lbpf))
    assert.is_true(available())
    link:close()
    local second <close> = assert(map.attach(other.maps.lbpf))
    assert.is_true(available())
    assert.is_truthy(second)
  end)

  it("is registered once in its life, for the kernel makes none new of it", function()
    assert(map.attach(ops)):close()
    fails("EBUSY", "^map 'lbpf': attach: ", map.attach(ops))
  end)

  it("is not among what obj:attach attaches: its programs have no place of their own", function()
    assert.is_true(obj:attach())
    assert.is_false(available())
    fails("EOPNOTSUPP", "^program 'lbpf_init': attach: ", obj.progs.lbpf_init:attach())
  end)

  it("has no entries that Lua could touch", function()
    helper.raises(function() return ops[0] end, "map 'lbpf': maps of type struct_ops have no lookup")
    helper.raises(function() ops[0] = "" end, "map 'lbpf': maps of type struct_ops have no update")
    helper.raises(function() map.delete(ops, 0) end, "map 'lbpf': maps of type struct_ops have no delete")
    helper.raises(function() pairs(ops) end, "map 'lbpf': maps of type struct_ops have no ")
  end)
end)

describe("a struct_ops map's link", function()
  it("takes another map of the same name in its place", function()
    kernel.need("links of struct_ops maps", "6.4")
    kernel.libbpf("links of struct_ops maps", "1.2")
    finally(net.remove)
    net.enter(net.space())
    local linked = congestion.object("congestion_links", "lbpf_linked")
    local obj <close> = assert(bpf.load({ bytes = linked }, { name = "congestion" }))
    local link <close> = assert(map.attach(obj.maps.first))
    local function started()
      local near, far = connect(NAME)
      near:close()
      far:close()
      return { obj.vars.first_started, obj.vars.second_started }
    end
    assert.same({ 1, 0 }, started())
    assert.is_true(link:update(obj.maps.second))
    assert.equal("struct_ops", link:info().type)
    assert.equal(map.info(obj.maps.second).id, link:info().map_id)
    assert.same({ 1, 1 }, started())
    fails("EINVAL", "update: the program is of another type", link:update(obj.progs.first_init))
    local hash <close> = assert(map.create({ type = "hash", name = "m", key = "__u32", value = "__u32",
      max_entries = 1 }))
    helper.raises(function() link:update(hash) end, "map 'm': maps of type hash have no ")
  end)
end)

describe("map.attach", function()
  it("is for loaded struct_ops maps of objects", function()
    local hash <close> = assert(map.create({ type = "hash", name = "m", key = "__u32", value = "__u32",
      max_entries = 1 }))
    helper.raises(function() map.attach(hash) end, "map 'm': maps of type hash have no attach")
    helper.raises(function() map.attach(1) end, "bpf.map expected")
    local unloaded <close> = assert(bpf.open(CONGESTION))
    helper.raises(function() map.attach(unloaded.maps.lbpf) end, "does not exist before its object is loaded")
    local obj = assert(bpf.load({ bytes = bytes() }, { name = "congestion" }))
    local by_id <close> = assert(map.by_id(map.info(obj.maps.lbpf).id))
    assert.equal("struct_ops", map.type(by_id))
    helper.raises(function() map.attach(by_id) end, "have no attach")
    local ops = obj.maps.lbpf
    obj:close()
    helper.raises(function() map.attach(ops) end, "closed")
  end)

  it("is not what map.create makes maps for", function()
    fails("EINVAL", "struct_ops are declared in objects",
      map.create({ type = "struct_ops", key = "__u32", value = "__u64", max_entries = 1 }))
  end)
end)

-- SPDX-License-Identifier: MIT
-- Iterators over each thing that the kernel has: how many they find of what is made for them.
local socket = require("socket")

local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local attach = require("spec.support.attach")
local net = require("spec.support.net")

kernel.root()
kernel.need("iterators", "5.8")
if kernel.config("CONFIG_DEBUG_INFO_BTF") == "n" then
  helper.skip("iterators need a kernel with CONFIG_DEBUG_INFO_BTF")
end

setup(function() net.enter(net.space()) end)
teardown(net.remove)

-- How many elements there are; the program prints a dot for each.
local function count(name, options)
  local obj <close> = assert(attach.load("attach_iters", { "each_" .. name }))
  local link <close> = assert(obj.progs["each_" .. name]:attach_iter(options))
  assert.equal("iter", link:info().type)
  assert.equal(name, link:info().target_name)
  return #assert(link:read())
end

local function create(options)
  local m = assert(bpf.map.create(options))
  finally(function() bpf.map.close(m) end)
  return m
end

local sockets = {} -- of a test, open until its end

after_each(function()
  for _, s in ipairs(sockets) do
    s:close()
  end
  sockets = {}
end)

local function open(kind)
  local s = assert(socket[kind]())
  sockets[#sockets + 1] = s
  return s
end

local function listener()
  local s = open("tcp4")
  assert(s:bind("127.0.0.1", 0))
  assert(s:listen())
  return s
end

describe("an iterator finds", function()
  for _, case in ipairs({ -- the thing, the kernel that has the iterator, how many there are at least
    { "task", "5.8", 2 },
    { "task_file", "5.8", 3 },
    { "bpf_map", "5.8", 0 },
    { "bpf_prog", "5.9", 1 },
    { "netlink", "5.8", 1 },
    { "task_vma", "5.12", 5 },
    { "bpf_link", "5.19", 1 },
    { "ksym", "6.0", 1000 },
    { "kmem_cache", "6.13", 10 },
  }) do
    it("each " .. case[1], function()
      kernel.need("this iterator", case[2])
      local found = count(case[1])
      assert.is_true(found >= case[3], "found: " .. found)
    end)
  end

  it("each cgroup below one", function()
    kernel.need("iterators over cgroups", "6.1")
    local top = net.cgroup()
    assert.equal(1, count("cgroup", { cgroup = top, order = "descendants_pre" }))
  end)

  it("each dmabuf, if there is one", function()
    kernel.need("this iterator", "6.16")
    if kernel.config("CONFIG_DMA_SHARED_BUFFER") == "n" then
      helper.skip("needs a kernel with CONFIG_DMA_SHARED_BUFFER")
    end
    assert.is_number(count("dmabuf")) -- attaching and reading works; here may be none
  end)

  it("each socket of the namespace", function()
    kernel.need("iterators over sockets that find all", "6.1") -- or somewhat older; 5.10 leaves one out
    assert.same({ 0, 0 }, { count("tcp"), count("udp") })
    listener()
    assert(open("udp4"):setsockname("127.0.0.1", 0))
    assert(open("udp4"):setsockname("127.0.0.1", 0))
    assert.same({ 1, 2 }, { count("tcp"), count("udp") })
  end)

  it("each Unix socket of the namespace", function()
    kernel.need("iterators over Unix sockets", "5.15")
    local before = count("unix")
    local unix = require("socket.unix")
    local s = assert(unix.stream())
    finally(function() s:close() end)
    assert.equal(before + 1, count("unix"))
  end)

  it("each route of IPv6", function()
    if kernel.config("CONFIG_IPV6") ~= "y" then
      helper.skip("needs a kernel with CONFIG_IPV6=y")
    end
    net.need_ipv6()
    local before = count("ipv6_route")
    net.must(("ip netns exec %s ip -6 route add fc50::/64 dev lo"):format(
      net.must("ip netns identify " .. helper.pid):match("%S+")))
    assert.equal(before + 1, count("ipv6_route"))
  end)

  it("each element of a map", function()
    kernel.need("iterators over elements", "5.9")
    local m = create({ type = "hash", key = "__u32", value = "__u32", max_entries = 10 })
    m[1], m[2], m[3] = 1, 2, 3
    assert.equal(3, count("bpf_map_elem", { map = m }))
  end)

  it("each socket that storage is kept with", function()
    kernel.need("iterators over sockets' storage", "5.9")
    local m = create({ type = "sk_storage", value = "__u32" })
    m[open("udp4")], m[open("udp4")] = 1, 2
    assert.equal(2, count("bpf_sk_storage_map", { map = m }))
  end)

  it("each slot of a map of sockets", function()
    kernel.need("iterators over maps of sockets", "5.10")
    if kernel.config("CONFIG_BPF_STREAM_PARSER") == "n" then
      helper.skip("needs a kernel with CONFIG_BPF_STREAM_PARSER")
    end
    local m = create({ type = "sockmap", key = "__u32", value = "__u64", max_entries = 4 })
    m[0], m[2] = listener(), listener()
    assert.equal(4, count("sockmap", { map = m }))
  end)
end)

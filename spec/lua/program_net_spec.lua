-- SPDX-License-Identifier: MIT
-- Programs written in Lua for packets, sockets and cgroups, attached to the real thing.
local socket = require("socket")

local bpf = require("bpf")
local attach = require("spec.support.attach")
local calls = require("support.netcalls")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local net = require("spec.support.net")

local map, call = bpf.map, bpf.helper

local PORT <const> = 7050

kernel.root()

-- Loads one program. Skips where the kernel refuses programs of its kind.
local function load(section, fn, options)
  return assert(bpf.program(section, fn, options))
end

-- Why a function can't be a program.
local function refused(section, fn)
  local prog, message, code = bpf.program(section, fn)
  assert.is_nil(prog)
  assert.equal("EINVAL", code)
  return message
end

local function hash(key, value)
  return assert(map.create { type = "hash", max_entries = 64, key = key or "__u64", value = value or "__u64" })
end

-- A packet of UDP over IPv4, with so many bytes in it.
local function udp_packet(source, dest, payload)
  return ("\2\0\0\0\0\2\2\0\0\0\0\1\8\0")
    .. string.pack(">BBHHHBBHc4c4", 0x45, 0, 28 + #payload, 7, 0, 64, 17, 0, "\10\0\0\1", "\10\0\0\2")
    .. string.pack(">HHHH", source, dest, 8 + #payload, 0) .. payload
end

describe("an XDP program in a test run", function()
  local function run(prog, data)
    local answer = assert(prog:run { data = data })
    return answer.retval, answer.data
  end

  it("reads and writes what is there, at offsets known and not known", function()
    local prog <close> = load("xdp", function(ctx)
      local eth, ip = ctx:packet(0, "struct ethhdr"), ctx:packet(14, "struct iphdr")
      if not eth or not ip or bpf.ntohs(eth.h_proto) ~= 0x0800 or ip.version ~= 4 then return 0 end
      local offset = 14 + 4 * ip.ihl
      local udp = ctx:packet(offset, "struct udphdr")
      if not udp or ip.protocol ~= 17 then return 1 end
      local first = ctx:packet(offset + 8, "__u8")
      udp.dest = bpf.htons(bpf.ntohs(udp.dest) + 1)
      ip.ttl = ip.ttl - 1
      eth.h_dest = eth.h_source
      return 100 + (first or 0)
    end)
    local retval, data = run(prog, udp_packet(1, PORT, "A and more"))
    assert.equal(165, retval)
    assert.same({ "\2\0\0\0\0\1", 63, PORT + 1 }, { data:sub(1, 6), data:byte(23), (string.unpack(">H", data, 37)) })
    assert.equal(0, (run(prog, ("\0"):rep(64))))
  end)

  it("finds nil beyond the end", function()
    local prog <close> = load("xdp", function(ctx)
      local inside, across = ctx:packet(56, "__u64"), ctx:packet(57, "__u64")
      local far, before = ctx:packet(0x10000, "__u8"), ctx:packet(-1, "__u8")
      local last, at = 0, inside or 0
      if ctx:packet(at, "__u8") then last = last + 1 end
      if ctx:packet(at + 1, "__u8") then last = last + 2 end
      if ctx:packet(at - 100, "__u8") then last = last + 4 end
      return (inside and 10 or 0) + (across and 20 or 0) + (far and 40 or 0) + (before and 80 or 0) + last
    end)
    assert.equal(11, (run(prog, ("\0"):rep(56) .. string.pack("<I8", 63))))
    assert.equal(13, (run(prog, ("\0"):rep(56) .. string.pack("<I8", 62))))
  end)

  it("reads the bits of headers, and takes types in C", function()
    local Pair = bpf.btf.type "struct { __be16 first; __be16 second; }"
    local prog <close> = load("xdp", function(ctx)
      local tcp = ctx:packet(0, "struct tcphdr")
      local pair = ctx:packet(20, Pair)
      local vlan = ctx:packet(20, "struct vlan_hdr")
      if not tcp or not pair or not vlan then return 0 end
      tcp.rst = 1
      local flags = tcp.syn + 2 * tcp.ack + 4 * tcp.fin + 8 * tcp.doff
      return flags + (bpf.ntohs(pair.second) << 8) + (vlan.h_vlan_TCI == pair.first and 1 << 30 or 0)
    end)
    local header = string.pack(">HHIIBBHHH", 1, 2, 3, 4, 0x50, 0x12, 0, 0, 0) .. "\0\7\0\9"
    local retval, data = run(prog, header .. ("\0"):rep(40))
    assert.equal(1 + 2 + 8 * 5 + (9 << 8) + (1 << 30), retval)
    assert.equal(0x16, data:byte(14))
  end)

  it("asks again for what a helper has moved", function()
    local prog <close> = load("xdp", function(ctx)
      if call.xdp_adjust_head(ctx, 14) ~= 0 then return 0 end
      local ip = ctx:packet(0, "struct iphdr")
      return ip and ip.protocol or 1
    end)
    local retval, data = run(prog, udp_packet(1, 2, ("x"):rep(40)))
    assert.same({ 17, "\x45" }, { retval, data:sub(1, 1) })
    assert.matches("part of a packet that helper.xdp_adjust_head has moved", refused("xdp", function(ctx)
      local ip = ctx:packet(14, "struct iphdr")
      call.xdp_adjust_head(ctx, 14)
      return ip.protocol
    end))
    local function shrink(ctx)
      if ctx.rx_queue_index == 0 then call.xdp_adjust_head(ctx, 14) end
    end
    assert.matches("part of a packet that helper.xdp_adjust_head has moved", refused("xdp", function(ctx)
      local ip = ctx:packet(14, "struct iphdr")
      if ip then shrink(ctx) end
      return ip and ip.protocol
    end))
  end)

  it("writes words of its context at an index that isn't known", function()
    local prog <close> = load("tc", function(ctx)
      local first = ctx:packet(0, "__u8") or 0
      for i = 1, 5 do
        ctx.cb[i] = i
      end
      ctx.cb[first] = 77
      ctx.cb[first + 7] = 99
      return (ctx.cb[first] or 5) + (ctx.cb[first + 1] or 6)
    end)
    assert.same({ 77 + 3, 77 + 6, 5 + 1 }, {
      (run(prog, ("\2"):rep(64))), (run(prog, ("\5"):rep(64))), (run(prog, ("\0"):rep(64))),
    })
  end)

  it("says which member of its context it may not use", function()
    local prog, message, code = bpf.program("xdp", function(ctx)
      ctx.ingress_ifindex = 1
      return 2
    end)
    assert.same({ nil, "EACCES" }, { prog, code })
    assert.matches("program_net_spec.lua:%d+: .*this kernel lacks that member of the context, or programs of this "
      .. "kind may not use it so", message)
  end)

  it("calls other programs through an array of programs, and goes on where there is none", function()
    local chain <close> = assert(map.create { type = "prog_array", max_entries = 4 })
    local prog <close> = load("xdp", function(ctx)
      local first = ctx:packet(0, "__u8")
      if not first then return 0 end
      call.tail_call(ctx, chain, first)
      return 3
    end)
    local other <close> = load("xdp", function() return 9 end)
    chain[2] = other
    assert.same({ 3, 9, 3 }, {
      (run(prog, ("\1"):rep(64))), (run(prog, ("\2"):rep(64))), (run(prog, ("\9"):rep(64))),
    })
  end)

  it("sends packets to another interface by a map of them", function()
    local ports <close> = assert(map.create { type = "devmap", max_entries = 4, key = "__u32", value = "__u32" })
    local prog <close> = load("xdp", function(ctx)
      local first = ctx:packet(0, "__u8")
      return first and call.redirect_map(ports, first, 1) or 0
    end)
    ports[2] = calls.index("lo")
    assert.same({ 1, 4 }, { (run(prog, ("\1"):rep(64))), (run(prog, ("\2"):rep(64))) })
  end)

  it("is told about types and offsets that can't be", function()
    assert.matches("packet: there is no type 'struct nothing'", refused("xdp", function(ctx)
      return ctx:packet(0, "struct nothing") and 1
    end))
    assert.matches("packet: a type is expected, this is an integer", refused("xdp", function(ctx)
      return ctx:packet(0, 8) and 1
    end))
    assert.matches("struct iphdr has no member 'saddress'", refused("xdp", function(ctx)
      local ip = ctx:packet(0, "struct iphdr")
      return ip and ip.saddress
    end))
    assert.matches("may be nil here: test it before", refused("xdp", function(ctx)
      return ctx:packet(0, "struct iphdr").ttl
    end))
    assert.matches("has no method 'packets'", refused("xdp", function(ctx) return ctx:packets(0, "__u8") end))
    assert.matches("struct xdp_md has no member 'dat' %(members: data, ", refused("xdp", function(ctx)
      return ctx.dat
    end))
  end)
end)

describe("a program of an interface", function()
  local here, there

  setup(function()
    here, there = net.space(), net.space()
    net.cable({ space = here, name = "near", address = "10.20.0.1/24", mac = "02:00:00:00:20:01" },
      { space = there, name = "far", address = "10.20.0.2/24", mac = "02:00:00:00:20:02" })
    net.neighbour(here, "near", "10.20.0.2", "02:00:00:00:20:02")
    net.neighbour(there, "far", "10.20.0.1", "02:00:00:00:20:01")
    net.enter(here)
  end)

  teardown(net.remove)

  -- Sends texts from the other end to PORT. Returns what arrives at a port.
  local function receive(port, ...)
    local to, from = net.udp(here, 1, "10.20.0.1", port), net.udp(there, 1)
    for _, text in ipairs { ... } do
      assert(from:sendto(text, "10.20.0.1", PORT))
    end
    local got = {}
    for n = 1, select("#", ...) do
      to:settimeout(n == 1 and 5 * helper.slow or 0.1 * helper.slow)
      got[n] = to:receive()
    end
    to:close()
    from:close()
    return got
  end

  it("drops, counts and changes packets, as XDP", function()
    local seen <close> = hash("__be32", "struct { __u64 packets; __u64 bytes; }")
    local prog <close> = load("xdp", function(ctx)
      local ip = ctx:packet(14, "struct iphdr")
      if not ip or ip.protocol ~= 17 then return 2 end
      local offset = 14 + 4 * ip.ihl
      local udp = ctx:packet(offset, "struct udphdr")
      if not udp or bpf.ntohs(udp.dest) ~= PORT then return 2 end
      local found = seen[ip.saddr]
      if found then
        found.packets, found.bytes = found.packets + 1, found.bytes + bpf.ntohs(ip.tot_len)
      else
        seen[ip.saddr] = { packets = 1, bytes = bpf.ntohs(ip.tot_len) }
      end
      local letter = ctx:packet(offset + 8, "__u8")
      if letter == 0x64 then return 1 end -- "d"
      udp.dest = bpf.htons(PORT + 1)
      return 2
    end)
    local link = assert(prog:attach_xdp("near"))
    assert.same({ "pass" }, receive(PORT + 1, "pass", "drop"))
    attach.close(link)
    local flow = seen[string.unpack("<I4", "\10\20\0\2")]
    assert.same({ 2, 64 }, { flow.packets, flow.bytes })
  end)

  it("sends packets to another interface, as XDP", function()
    local third = net.space()
    net.cable({ space = here, name = "near2" },
      { space = third, name = "far2", address = "10.20.0.1/24", mac = "02:00:00:00:20:01" })
    local ports <close> = assert(map.create { type = "devmap", max_entries = 4, key = "__u32", value = "__u32" })
    local prog <close> = load("xdp", function(ctx)
      local udp = ctx:packet(34, "struct udphdr")
      return udp and udp.dest == bpf.htons(PORT) and call.redirect_map(ports, 1) or 2
    end)
    ports[1] = calls.index("near2")
    local link = assert(prog:attach_xdp("near", { mode = "skb" }))
    local to, from = net.udp(third, 5, "10.20.0.1", PORT), net.udp(there, 1)
    assert(from:sendto("over there", "10.20.0.1", PORT))
    assert.equal("over there", to:receive())
    attach.close(link)
    to:close()
    from:close()
  end)

  it("copies what it reads of socket buffers, and stores by a helper", function()
    local seen <close> = hash()
    local prog <close> = load("tc", function(ctx)
      local ip = ctx:packet(14, "struct iphdr")
      if not ip or ip.protocol ~= 17 then return 0 end
      local at = 14 + 4 * ip.ihl
      local udp = ctx:packet(at, "struct udphdr")
      if not udp or bpf.ntohs(udp.dest) ~= PORT then return 0 end
      local letter = ctx:packet(at + 8, "__u8")
      local far = ctx:packet(at + 200, "__u32")
      seen[letter or 0] = far or 1
      seen[0] = ctx.len
      ctx.mark = 7
      if letter == 0x64 then return 2 end
      call.skb_store_bytes(ctx, at + 8, "P")
      return 0
    end)
    local link = assert(prog:attach_tc("near"))
    local long = "x" .. ("y"):rep(300)
    assert.same({ "Pass", "P" .. long:sub(2) }, receive(PORT, "pass", long, "drop"))
    link:close()
    assert.same({ 1, 1, 0x79797979 }, { seen[0x70], seen[0x64], seen[0x78] })
    assert.equal(14 + 28 + 4, seen[0])
    assert.matches("struct iphdr is a copy of the packet's: write by helper.skb_store_bytes", refused("tc",
      function(ctx)
        local ip = ctx:packet(14, "struct iphdr")
        if ip then ip.ttl = 3 end
      end))
  end)

  it("is a filter of a socket, whose result is how much of a packet arrives", function()
    local seen <close> = hash()
    local prog <close> = load("socket", function(ctx)
      seen[1] = ctx.len
      local letter = ctx:packet(8, "__u8") -- behind the header of UDP
      return letter == 0x64 and 0 or 8 + 2
    end)
    local to, from = net.udp(here, 5, "10.20.0.1", PORT), net.udp(there, 1)
    local link = assert(prog:attach_socket(to))
    assert(from:sendto("drop", "10.20.0.1", PORT))
    assert(from:sendto("pass", "10.20.0.1", PORT))
    assert.equal("pa", to:receive())
    assert.equal(12, seen[1])
    link:close()
    to:close()
    from:close()
  end)

  it("chooses the socket for a connection", function()
    kernel.need("sk_lookup", "5.9")
    local listener <close> = assert(map.create { type = "sockmap", max_entries = 1, key = "__u32", value = "__u64" })
    local seen <close> = hash()
    local prog <close> = load("sk_lookup", function(ctx)
      if ctx.local_port ~= PORT then return 1 end
      seen[1], seen[2] = ctx.remote_ip4, ctx.family
      local sk = listener[0]
      if not sk then return 0 end
      local failed = call.sk_assign(ctx, sk)
      call.sk_release(sk)
      return failed == 0
    end)
    local server = assert(socket.bind("10.20.0.1", 0))
    server:settimeout(5 * helper.slow)
    finally(function() server:close() end)
    map.update(listener, 0, server)
    local function connect()
      return net.within(there, function()
        local s = assert(socket.tcp4())
        s:settimeout(5 * helper.slow)
        local ok = s:connect("10.20.0.1", PORT)
        s:close()
        return ok
      end)
    end
    assert.is_nil(connect())
    local link = assert(prog:attach_netns("/proc/self/ns/net"))
    assert.equal(1, connect())
    assert(server:accept()):close()
    assert.same({ (string.unpack("<I4", "\10\20\0\2")), 2 }, { seen[1], seen[2] })
    attach.close(link)
  end)

  it("chooses one of the sockets that share a port", function()
    kernel.need("arrays of sockets", "4.19")
    local group <close> = assert(map.create { type = "reuseport_sockarray", max_entries = 4, key = "__u32",
      value = "__u64" })
    local prog <close> = load("sk_reuseport", function(ctx)
      local digit = ctx:packet(8, "__u8")
      if not digit then return 0 end
      return call.sk_select_reuseport(ctx, group, digit - 0x30) == 0
    end)
    local sockets = {}
    finally(function()
      for _, s in pairs(sockets) do
        s:close()
      end
    end)
    for i = 0, 2 do
      sockets[i] = assert(socket.udp4())
      assert(sockets[i]:setoption("reuseport", true))
      assert(sockets[i]:setsockname("127.0.0.1", PORT))
      sockets[i]:settimeout(5 * helper.slow)
      group[i] = sockets[i]
    end
    local link = assert(prog:attach_reuseport(sockets[1]))
    sockets.from = net.udp(here, 5)
    for _, digit in ipairs { 2, 0, 1, 2 } do
      assert(sockets.from:sendto(tostring(digit), "127.0.0.1", PORT))
      assert.equal(tostring(digit), sockets[digit]:receive())
    end
    link:close()
  end)
end)

describe("a program of a map of sockets", function()
  setup(function()
    kernel.need("sk_skb verdicts without a parser", "5.10")
    if kernel.config("CONFIG_NET_SOCK_MSG") == "n" or kernel.config("CONFIG_BPF_STREAM_PARSER") == "n" then
      helper.skip("needs CONFIG_NET_SOCK_MSG and CONFIG_BPF_STREAM_PARSER")
    end
    net.enter(net.space())
  end)

  teardown(net.remove)

  local function connections()
    local open = {}
    for n = 1, 4, 2 do
      open[n], open[n + 1] = net.connection()
    end
    finally(function()
      for _, s in ipairs(open) do
        s:close()
      end
    end)
    return table.unpack(open)
  end

  local function sockmap()
    return assert(map.create { type = "sockmap", max_entries = 4, key = "__u32", value = "__u64" })
  end

  it("sends data that a socket received to another, as sk_skb", function()
    local socks <close> = sockmap()
    local seen <close> = hash()
    local parser <close> = load("sk_skb/stream_parser", function(ctx) return ctx.len end)
    local verdict <close> = load("sk_skb/stream_verdict", function(ctx)
      seen[1] = ctx:packet(0, "__u8") or 0
      seen[2] = ctx.local_port
      return call.sk_redirect_map(ctx, socks, 1)
    end)
    local far, near, other_far, other_near = connections()
    local one <close> = assert(parser:attach_sockmap(socks))
    local two <close> = assert(verdict:attach_sockmap(socks))
    socks[0], socks[1] = near, other_near
    assert(far:send("hello\n"))
    assert.equal("hello", other_far:receive())
    assert.equal(0x68, seen[1])
    assert.equal(math.tointeger((select(2, near:getsockname()))), seen[2])
    assert.is_truthy(one and two)
  end)

  it("sees the data that a socket sends, as sk_msg", function()
    local socks <close> = sockmap()
    local seen <close> = hash()
    local prog <close> = load("sk_msg", function(ctx)
      call.msg_pull_data(ctx, 0, 4)
      seen[1] = ctx:packet(0, "__u8") or 0
      seen[2] = ctx.size
      if seen[1] == 0x64 then return 0 end
      return call.msg_redirect_map(ctx, socks, 1)
    end)
    local _, near, other_far, other_near = connections()
    local link <close> = assert(prog:attach_sockmap(socks))
    socks[0], socks[1] = near, other_near
    assert(near:send("hello\n"))
    assert.equal("hello", other_far:receive())
    assert.same({ 0x68, 6 }, { seen[1], seen[2] })
    assert.is_truthy(link)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Programs written in Lua for the hooks of cgroups: what they refuse or change is seen by a member.
local socket = require("socket")

local bpf = require("bpf")
local attach = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local net = require("spec.support.net")

local map, call = bpf.map, bpf.helper

kernel.root()
kernel.need("links of cgroups' programs", "5.7")

local PORT <const> = 7060

local group

setup(function()
  group = net.cgroup()
  net.enter(net.space())
end)

teardown(net.remove)

local function hash(key, value)
  return assert(map.create { type = "hash", max_entries = 64, key = key or "__u64", value = value or "__u64" })
end

-- Attaches a program to the group, and calls a function as a member of it.
local function as_member(section, fn, act)
  local prog <close> = assert(bpf.program(section, fn))
  local link = assert(prog:attach_cgroup(group))
  local results = table.pack(net.in_cgroup(group, act))
  attach.close(link)
  return table.unpack(results, 1, results.n)
end

-- Calls a function with a socket, which is closed behind it: tcp4, udp6.
local function with(kind, fn)
  local s, message = socket[kind]()
  if not s then
    return nil, message
  end
  s:settimeout(5 * helper.slow)
  local results = table.pack(pcall(fn, s))
  s:close()
  return assert(table.unpack(results, 1, results.n)) and table.unpack(results, 2, results.n)
end

local function port_of(s)
  return math.tointeger((select(2, s:getsockname())))
end

describe("a cgroup's program", function()
  it("changes the address that a socket is bound to, or refuses it", function()
    local function bind(port)
      return with("udp4", function(s) return s:setsockname("127.0.0.1", port) and port_of(s) or "refused" end)
    end
    local function on_bind(ctx)
      if ctx.user_port == bpf.htons(PORT) then
        ctx.user_port = bpf.htons(PORT + 1)
      end
      return ctx.user_port ~= bpf.htons(PORT + 5) and ctx.user_ip4 == bpf.htonl(0x7f000001)
    end
    assert.equal(PORT + 1, as_member("cgroup/bind4", on_bind, function() return bind(PORT) end))
    assert.equal("refused", as_member("cgroup/bind4", on_bind, function() return bind(PORT + 5) end))
    assert.equal(PORT, bind(PORT))
  end)

  it("sees and writes the words of an IPv6 address", function()
    net.need_ipv6()
    local seen <close> = hash()
    local function on_bind(ctx)
      seen[4] = ctx.user_ip6[4]
      for i = 1, 3 do
        seen[i] = ctx.user_ip6[i] or 77
      end
      if ctx.user_port == bpf.htons(PORT) then
        ctx.user_ip6[4] = 0
      end
      return 1
    end
    local address = as_member("cgroup/bind6", on_bind, function()
      return with("udp6", function(s) return s:setsockname("::1", PORT) and (s:getsockname()) end)
    end)
    assert.equal("::", address)
    assert.same({ 0, 0, 0, 0x01000000 }, { seen[1], seen[2], seen[3], seen[4] })
  end)

  it("changes the address that a datagram seems to come from, whatever the function returns", function()
    kernel.need("programs of received datagrams", "5.2")
    local function receive()
      return with("udp4", function(from)
        return with("udp4", function(to)
          assert(from:setsockname("127.0.0.1", PORT + 1))
          assert(to:setsockname("127.0.0.1", PORT + 2))
          assert(from:sendto("x", "127.0.0.1", PORT + 2))
          return math.tointeger((select(3, to:receivefrom())))
        end)
      end)
    end
    local function on_receive(ctx)
      if ctx.user_port ~= bpf.htons(PORT + 1) then return false end
      ctx.user_port = bpf.htons(PORT)
    end
    assert.equal(PORT, as_member("cgroup/recvmsg4", on_receive, receive))
    assert.equal(PORT + 1, receive())
  end)

  it("leads a connection elsewhere, and keeps something for its socket", function()
    kernel.need("storages of sockets in programs of addresses", "5.8")
    local storage <close> = assert(map.create { type = "sk_storage", key = "int", value = "struct { __u32 port; }" })
    local seen <close> = hash()
    local server = assert(socket.bind("127.0.0.1", PORT + 1))
    finally(function() server:close() end)
    server:settimeout(5 * helper.slow)
    local function on_connect(ctx)
      if bpf.ntohs(ctx.user_port) ~= PORT then return 1 end
      local sk = ctx.sk
      if sk then
        local own = call.sk_storage_get(storage, sk, "create")
        if own then
          own.port = bpf.ntohs(ctx.user_port)
          seen[1] = own.port
        end
        seen[2] = sk.type
      end
      ctx.user_port = bpf.htons(PORT + 1)
      return true
    end
    local ok, s = as_member("cgroup/connect4", on_connect, function()
      local s = assert(socket.tcp4())
      return s:connect("127.0.0.1", PORT), s
    end)
    assert.equal(1, ok)
    assert(server:accept()):close()
    assert.same({ PORT, 1 }, { seen[1], seen[2] })
    assert.equal(PORT, storage[s].port)
    s:close()
  end)

  it("refuses sockets of a kind, and addresses once they are bound", function()
    local function create(kind) return (with(kind, function() return "made" end)) or "refused" end
    local function no_datagrams(ctx) return ctx.type ~= 2 end
    assert.equal("refused", as_member("cgroup/sock_create", no_datagrams, function() return create "udp4" end))
    assert.equal("made", as_member("cgroup/sock_create", no_datagrams, function() return create "tcp4" end))
    local function bind()
      return with("udp4", function(s) return s:setsockname("127.0.0.1", PORT) and "bound" or "refused" end)
    end
    assert.equal("refused", as_member("cgroup/post_bind4", function(ctx) return ctx.src_port ~= PORT end, bind))
    assert.equal("bound", as_member("cgroup/post_bind4", function(ctx) return ctx.src_port == PORT end, bind))
  end)

  it("drops packets", function()
    local seen <close> = hash()
    local function datagram(text)
      return with("udp4", function(from)
        return with("udp4", function(to)
          assert(to:setsockname("127.0.0.1", PORT))
          to:settimeout(0.1 * helper.slow)
          return from:sendto(text, "127.0.0.1", PORT) and to:receive() or "lost"
        end)
      end)
    end
    local function not_d(ctx)
      local ip = ctx:packet(0, "struct iphdr")
      if not ip or ip.protocol ~= 17 then return 1 end
      seen[1] = ctx.len
      return ctx:packet(4 * ip.ihl + 8, "__u8") ~= 0x64
    end
    for _, section in ipairs { "cgroup_skb/egress", "cgroup_skb/ingress" } do
      assert.equal("lost", as_member(section, not_d, function() return datagram "drop" end))
      assert.equal("pass", as_member(section, not_d, function() return datagram "pass" end))
      assert.equal(32, seen[1])
    end
  end)

  it("changes the options of sockets", function()
    kernel.need("programs of socket options", "5.3")
    local function get()
      return with("tcp4", function(s) return s:getoption("keepalive") end)
    end
    local function keepalive_is_set(ctx)
      if ctx.level ~= 1 or ctx.optname ~= 9 then return 1 end
      local value = ctx:optval(0, "struct { __s32 n; }")
      if value then
        value.n = 1
        ctx.retval = 0
      end
      return 1
    end
    assert.is_true(as_member("cgroup/getsockopt", keepalive_is_set, get))
    assert.is_false(get())
    local function set()
      return with("tcp4", function(s) return s:setoption("keepalive", true) and "set" or "refused" end)
    end
    assert.equal("refused", as_member("cgroup/setsockopt", function(ctx)
      return not (ctx.level == 1 and ctx.optname == 9)
    end, set))
  end)

  it("refuses to write a sysctl", function()
    kernel.need("programs of sysctls", "5.2")
    local function write(name)
      local file <close> = assert(io.open("/proc/sys/net/ipv4/" .. name, "r+"))
      local value = file:read("a")
      file:setvbuf("no")
      file:seek("set", 0)
      return file:write(value) and "written" or "refused"
    end
    local function no_forwarding(ctx)
      local name = call.sysctl_get_name(32)
      return not (ctx.write == 1 and name == "net/ipv4/ip_forward")
    end
    assert.equal("refused", as_member("cgroup/sysctl", no_forwarding, function() return write "ip_forward" end))
    assert.equal("written", as_member("cgroup/sysctl", no_forwarding, function() return write "ip_default_ttl" end))
  end)

  it("refuses a device", function()
    local function open(path)
      local file <close> = io.open(path)
      return file and "opened" or "refused"
    end
    local function no_null(ctx) return ctx.major ~= 1 or ctx.minor ~= 3 end
    assert.equal("refused", as_member("cgroup/dev", no_null, function() return open "/dev/null" end))
    assert.equal("opened", as_member("cgroup/dev", no_null, function() return open "/dev/zero" end))
  end)

  it("is told of connections, as sockops", function()
    local seen <close> = hash()
    local function on_event(ctx)
      local op = ctx.op
      seen[op] = (seen[op] or 0) + 1
      if op == 4 then -- a connection was made
        seen[100] = bpf.ntohl(ctx.remote_port)
        seen[101] = ctx.local_port
      end
      return 1
    end
    local from, to = as_member("sockops", on_event, function()
      local client, accepted = net.connection()
      local from, to = port_of(client), port_of(accepted)
      client:close()
      accepted:close()
      return from, to
    end)
    assert.same({ 1, 1, to, from }, { seen[4], seen[5], seen[100], seen[101] })
  end)

  it("is told which members there are", function()
    local _, message = bpf.program("cgroup/connect4", function(ctx) return ctx.user_ip end)
    assert.matches("struct bpf_sock_addr has no member 'user_ip' %(members: user_family, user_ip4, ", message)
    _, message = bpf.program("cgroup/sock_create", function(ctx) return ctx.famly end)
    assert.matches("struct bpf_sock has no member 'famly' %(near: family%)", message)
  end)
end)

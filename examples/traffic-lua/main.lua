-- SPDX-License-Identifier: MIT
-- Counts what goes in and out of a network interface, by tc programs: traffic in Lua alone. Each CPU counts in an entry
-- of its own, and bpf.map.sum adds them up, member by member. Without an interface it makes one with some traffic.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local map = bpf.map

local parser = common.parser([[
Counts packets and bytes of a network interface, by protocol. Needs root.
Without an interface, creates its own network and sends packets there.]])
parser:epilog [[
The interface keeps the queueing discipline clsact, which does nothing by itself. To remove it:
tc qdisc del dev … clsact]]
parser:argument("interface"):args "?"
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:flag("--address", "count by address instead of by protocol", false)
parser:option("--top", "show at most N lines", "20"):argname("N"):convert(common.count)
local options = parser:parse()

-- version: of IP, 0 for what isn't IP. protocol: when counting by protocol; peer: when counting by address, the address
-- elsewhere, of which IPv4 has the first 4 bytes. When there are too many kinds, those that were quiet longest are
-- forgotten.
local COUNTS = {
  type = "lru_percpu_hash", max_entries = 4096,
  key = "struct kind { _Bool out; __u8 version; __u8 protocol; unsigned char peer[16]; }",
  value = "struct count { __u64 packets; __u64 bytes; }",
}

local V4 = bpf.btf.type "struct v4 { __u8 before[9]; __u8 protocol; __be16 check; __u8 from[4]; __u8 to[4]; }"
local V6 = bpf.btf.type "struct v6 { __u8 before[6]; __u8 protocol; __u8 hops; __u8 from[16]; __u8 to[16]; }"

local ETHERNET <const> = 14 -- bytes of its header
local IPV4 <const>, IPV6 <const> = 0x0800, 0x86dd
local OK <const> = 0

-- The programs. Packets go on as if these weren't there.
local function compile(counts)
  local by_address = options.address

  -- The version, protocol and peer of a kind. A packet without all of its header isn't IP.
  local function read(header, version, out)
    if not header then
      return 0, 0, ""
    elseif by_address then
      return version, 0, out and header.to or header.from
    end
    return version, header.protocol, ""
  end

  local function kind_of(ctx, out)
    local protocol = bpf.ntohs(ctx.protocol)
    if protocol == IPV4 then
      return read(ctx:packet(ETHERNET, V4), 4, out)
    elseif protocol == IPV6 then
      return read(ctx:packet(ETHERNET, V6), 6, out)
    end
    return 0, 0, ""
  end

  local function count(ctx, out)
    local version, protocol, peer = kind_of(ctx, out)
    local kind = { out = out, version = version, protocol = protocol, peer = peer }
    local known = counts[kind]
    if known then -- this CPU's own: nobody else writes it meanwhile
      known.packets, known.bytes = known.packets + 1, known.bytes + ctx.len
    else
      map.update(counts, kind, { packets = 1, bytes = ctx.len }, "noexist")
    end
    return OK
  end

  return common.try(bpf.programs {
    incoming = { "tc", function(ctx) return count(ctx, false) end },
    outgoing = { "tc", function(ctx) return count(ctx, true) end },
  })
end

-- Who was at the other end, or what it was.
local function name(kind)
  if kind.version == 0 then
    return "not IP"
  elseif options.address then
    return bpf.format.ip(kind.version == 4 and kind.peer:sub(1, 4) or kind.peer)
  end
  return bpf.format.protocol(kind.protocol) .. (kind.version == 6 and kind.protocol ~= 58 and " (IPv6)" or "")
end

local function report(counts)
  local rows = {}
  for kind in map.keys(counts) do
    local row = map.sum(counts, kind)
    if row then -- else it has been forgotten meanwhile
      row.way, row.name = kind.out and "out" or "in", name(kind)
      rows[#rows + 1] = row
    end
  end
  table.sort(rows, function(a, b) return a.bytes > b.bytes end)
  print(bpf.hist.table(table.move(rows, 1, math.min(#rows, options.top), 1, {}), {
    { name = options.address and "ADDRESS" or "PROTOCOL", field = "name" }, { name = "WAY", field = "way" },
    { name = "PACKETS", field = "packets" },
    { name = "BYTES", field = "bytes", format = bpf.hist.bytes, align = "right" },
  }, { width = common.width() }))
end

local function attach(obj, interface)
  common.try(obj.progs.incoming:attach_tc(interface, { attach_point = "ingress" }))
  common.try(obj.progs.outgoing:attach_tc(interface, { attach_point = "egress" }))
end

-- To this end of the network, where no port 9 is open: 50 UDP datagrams of 1000 bytes, some of which may be answered
-- with ICMP, and 5 attempts at a TCP connection.
local TRAFFIC = [[
  for i in $(seq 50); do printf %1000s >/dev/udp/198.18.1.1/9; done
  for i in 1 2 3 4 5; do : </dev/tcp/198.18.2.1/9; done 2>/dev/null || true]]

common.main(function()
  local counts <close> = common.try(map.create(COUNTS))
  local obj <close> = compile(counts)
  if options.interface then
    attach(obj, options.interface)
    print(("Counting at %s for %g s; Ctrl-C ends it\n"):format(options.interface, options.seconds))
    common.sleep(options.seconds)
    report(counts)
  else
    local net <close> = common.network(2)
    attach(obj, net.interface)
    common.interruptible(function() common.run(net:command(TRAFFIC)) end)
    report(counts)
  end
end)

-- SPDX-License-Identifier: MIT
-- Counts what goes in and out of a network interface, by tc programs. The map's key is a struct; each CPU has a value
-- of its own, and bpf.map.sum adds them up, member by member. Without an interface it makes one with some traffic.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

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
  for kind in bpf.map.keys(counts) do
    local row = bpf.map.sum(counts, kind)
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
  local obj <close> = common.load { vars = { by_address = options.address } }
  if options.interface then
    attach(obj, options.interface)
    print(("Counting at %s for %g s; Ctrl-C ends it\n"):format(options.interface, options.seconds))
    common.sleep(options.seconds)
    report(obj.maps.counts)
  else
    local net <close> = common.network(2)
    attach(obj, net.interface)
    common.interruptible(function() common.run(net:command(TRAFFIC)) end)
    report(obj.maps.counts)
  end
end)

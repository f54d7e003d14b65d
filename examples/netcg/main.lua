-- SPDX-License-Identifier: MIT
-- Runs a command in a cgroup of its own, to which two programs are attached, and shows whom it and its children talked
-- to. The map's keys are structs; its entries come out of the kernel in batches.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser([[
Runs a command and shows its network peers: address, port, bytes. Needs root.
Without a command, creates its own network and runs a command that sends something there.]])
parser:argument("command", "what to run, after --"):args "*"
parser:option("--seconds", "end the command after N seconds; Ctrl-C or SIGTERM ends it, too", "60")
  :argname("N"):convert(common.seconds)
local options = parser:parse()

-- From a network where no port 9 is open.
local DEMO = [[
  for i in $(seq 20); do printf %1000s >/dev/udp/198.18.1.1/9; done
  for i in 1 2 3; do : </dev/tcp/198.18.1.1/80; done 2>/dev/null || true]]

local function report(peers)
  local rows, sent, received = {}, 0, 0
  for peer, traffic in pairs(peers) do
    traffic.protocol = bpf.format.protocol(peer.protocol)
    traffic.address = bpf.format.ip(peer.version == 4 and peer.address:sub(1, 4) or peer.address)
    traffic.port = peer.port > 0 and peer.port or "-"
    rows[#rows + 1] = traffic
    sent, received = sent + traffic.sent, received + traffic.received
  end
  if #rows == 0 then
    return print "It talked to nobody"
  end
  table.sort(rows, function(a, b) return a.sent + a.received > b.sent + b.received end)
  print(bpf.hist.table(rows, {
    { name = "ADDRESS", field = "address" }, { name = "PORT", field = "port", align = "right" },
    { name = "PROTOCOL", field = "protocol" }, { name = "PACKETS", field = "packets" },
    { name = "SENT", field = "sent", format = bpf.hist.bytes, align = "right" },
    { name = "RECEIVED", field = "received", format = bpf.hist.bytes, align = "right" },
  }, { width = common.width() }))
  print(("\n%s sent, %s received"):format(bpf.hist.bytes(sent), bpf.hist.bytes(received)))
end

local function run(obj, words)
  local group <close> = common.cgroup()
  common.try(obj.progs.receive:attach_cgroup(group.path))
  common.try(obj.progs.send:attach_cgroup(group.path))
  group:run(words, options.seconds)
end

common.main(function()
  local obj <close> = common.load()
  if options.command[1] then
    run(obj, options.command)
  else
    local net <close> = common.network(1)
    run(obj, { "sh", "-c", net:command(DEMO) })
  end
  report(obj.maps.peers)
end)

-- SPDX-License-Identifier: MIT
-- Runs the daemon meterd.lua twice, on a cgroup and a bpffs of their own, and sends packets before, between and during
-- the runs. The second run takes over what the first one left, so every packet is counted.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser([[
Shows a daemon that is restarted without losing a packet: meterd.lua, which has a --help of its own. Needs root.]])
parser:option("--seconds", "ends each run of the daemon after so long", "10"):argname("N"):convert(common.seconds)
local options = parser:parse()

local HERE <const> = arg[0]:match "^(.*/)" or ""

-- Starts the daemon.
local function start(pins, group)
  local daemon = common.start(("exec timeout %g %s %smeterd.lua --pins %s %s 2>&1"):format(options.seconds,
    common.quote(arg[-1]), common.quote(HERE), pins, group.path))
  daemon:read "l" -- what is left of the line with its number
  return daemon
end

-- Shows the daemon's next line.
local function show(run, daemon)
  print(("%-11s  %s"):format(run, common.try(daemon:read "l", "meterd.lua has ended")))
end

-- Sends packets of 128 bytes to an address, as a member of the cgroup.
local function send(run, group, address, packets)
  common.run(group:command(("for i in $(seq %d); do printf %%0100d 0 >/dev/udp/%s/9; done"):format(packets, address)))
  print(("%-11s  %d packet%s to %s"):format(run, packets, packets == 1 and "" or "s", address))
end

local function counts(pins)
  local peers <close> = common.try(bpf.map.open(pins .. "/peers"))
  local rows = {}
  for peer, traffic in pairs(peers) do
    rows[#rows + 1] = { address = bpf.format.ip(peer.address), sent = traffic.sent }
  end
  table.sort(rows, function(a, b) return a.address < b.address end)
  print("\n" .. bpf.hist.table(rows, {
    { name = "ADDRESS", field = "address" },
    { name = "SENT", field = "sent", format = bpf.hist.bytes, align = "right" },
  }))
end

common.main(function()
  local folder <close> = common.folder "bpffs"
  local bpffs = folder.path .. "/bpffs"
  common.run(("mkdir %s && mount -t bpf bpf %s"):format(bpffs, bpffs))
  local group <close> = common.cgroup()
  local pins = bpffs .. "/meterd"
  do
    local first <close> = start(pins, group)
    show("first run", first)
    send("first run", group, "127.0.0.1", 5)
    show("first run", first)
  end
  send("no run", group, "127.0.0.1", 3)
  send("no run", group, "127.0.0.2", 1)
  do
    local second <close> = start(pins, group)
    show("second run", second)
    show("second run", second)
    send("second run", group, "127.0.0.1", 2)
    counts(pins)
  end
end)

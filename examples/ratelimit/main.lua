-- SPDX-License-Identifier: MIT
-- Limits how many packets each IPv4 address may send to an interface, by XDP. The program in programs.lua is a function
-- in Lua. Without an interface it shows itself at work on a network of its own.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"
local programs = require "ratelimit.programs"

local parser = common.parser([[
Drops packets of IPv4 addresses that send too many, and counts them. Needs root.
Without an interface, creates its own network and sends packets there.]])
parser:argument("interface", "the network interface"):args "?"
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--rate", "let pass so many packets a second of each address", "100"):argname("N"):convert(common.count)
parser:option("--burst", "and so many at once", "20"):argname("N"):convert(common.count)
parser:option("--top", "show at most N addresses", "20"):argname("N"):convert(common.count)
parser:flag("--json", "print a JSON object per address", false)
local options = parser:parse()

local COLUMNS = {
  { name = "ADDRESS", width = 15, format = "ip" }, { name = "PASSED", width = 10 }, { name = "DROPPED", width = 10 },
}

-- The addresses of which most was dropped.
local function report(sources)
  local rows = {}
  for address, source in pairs(sources) do
    source.address = address
    rows[#rows + 1] = source
  end
  table.sort(rows, function(a, b)
    return a.dropped > b.dropped or a.dropped == b.dropped and a.address < b.address
  end)
  local row = bpf.format.columns(COLUMNS, { output = options.json and "json" or "text" })
  for i = 1, math.min(#rows, options.top) do
    row(rows[i].address, rows[i].passed, rows[i].dropped)
  end
end

-- 50 datagrams of one address at once, and 5 of another.
local TRAFFIC <const> = [[
  for i in 1 2 3 4 5; do echo >/dev/udp/198.18.2.1/9; done
  for i in $(seq 50); do echo >/dev/udp/198.18.1.1/9; done]]

common.main(function()
  common.try(options.rate > 0 and options.burst > 0, "--rate and --burst: at least 1")
  common.try(options.rate <= 1000000000, "--rate: at most 1000000000 packets a second")
  local sources <close> = common.try(bpf.map.create(programs.SOURCES))
  local obj <close> = common.try(programs.load(sources, options.rate, options.burst))
  if options.interface then
    common.try(obj.progs.limit:attach_xdp(options.interface))
    io.stderr:write(("Limiting at %s for %g s; Ctrl-C ends it\n"):format(options.interface, options.seconds))
    common.sleep(options.seconds)
    obj:detach()
  else
    local net <close> = common.network(2)
    local link <close> = common.try(obj.progs.limit:attach_xdp(net.interface)) -- luacheck: ignore (detaches before)
    common.run(net:command(TRAFFIC))
  end
  report(sources)
end)

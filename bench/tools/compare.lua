-- SPDX-License-Identifier: MIT
-- Runs the tools of examples/ beside Debian's tools of the same purpose, under the same load at the same time. Prints
-- the time until they are attached, their peak of memory, and the CPU time that the load costs them.
package.path = "bench/tools/?.lua;" .. package.path

local bpf = require "bpf"
local peers = require "peers"

local LUA <const> = arg[-1]
local SECONDS <const>, STARTS <const> = tonumber(arg[1]) or 3, tonumber(arg[2]) or 3

local function ours(name, arguments)
  return ("%s examples/%s/main.lua --seconds 600 %s"):format(LUA, name, arguments or "")
end

local function bpftrace(program)
  return ("bpftrace -e '%s'"):format(program)
end

-- $load is the process that makes the load.
local PAIRS <const> = {
  { "opensnoop", ours "opensnoop", "libbpf-tools", "opensnoop", "opens" },
  { "opensnoop", ours "opensnoop", "bpftrace", "opensnoop.bt", "opens" },
  { "opensnoop-lua", ours "opensnoop-lua", "libbpf-tools", "opensnoop", "opens" },
  { "runqlat", ours("runqlat", "--processes"), "libbpf-tools", "runqlat -P", "work" },
  { "tcplife", ours "tcplife", "libbpf-tools", "tcplife", "connections" },
  { "profile", ours "profile", "bpftrace", bpftrace "profile:hz:99 { @[kstack, ustack, comm] = count(); }", "work" },
  { "offcpu", ours "offcpu", "libbpf-tools", "offcputime", "opens" },
  { "mallocs", ours("mallocs", "--pid $load"), "bpftrace",
    bpftrace "uprobe:libc:malloc /pid == $load/ { @[ustack] = sum(arg0); }", "allocations" },
  { "systop", ours "systop", "libbpf-tools", "syscount -P -i 1", "calls" },
  { "dnslog", ours "dnslog", "tcpdump", "tcpdump -lni lo udp port 53", "questions" },
}

-- How long the command takes until it is attached, in milliseconds.
local function start_time(command)
  local numbers = {}
  for i = 1, STARTS do
    local process = peers.start(command)
    numbers[i] = peers.attached(process)
    peers.stop(process)
  end
  return peers.median(numbers)
end

-- Memory and CPU time of both commands, which run at the same time, under a load.
local function under_load(commands, load)
  local processes, costs = {}, {}
  for i, command in ipairs(commands) do
    processes[i] = peers.start(command)
    peers.attached(processes[i])
    costs[i] = { cpu = -peers.cpu(processes[i]) }
  end
  load:go()
  for i, process in ipairs(processes) do
    costs[i].cpu = (costs[i].cpu + peers.cpu(process)) / 1e6
    costs[i].memory = peers.peak(process)
    peers.stop(process)
  end
  return costs
end

-- Our tool beside its peer, as a row.
local function compare(pair)
  local name, mine, package, peer, load_name = table.unpack(pair)
  local load = peers.prepare(load_name, SECONDS)
  local commands = { (mine:gsub("%$load", load.pid)), (peer:gsub("%$load", load.pid)) }
  local a, b = start_time(commands[1]), start_time(commands[2])
  local costs = under_load(commands, load)
  local row = { tool = name, peer = ("%s (%s)"):format(peer:match "^%S+", package) }
  peers.fill(row, "start", a, b, 5)
  peers.fill(row, "memory", costs[1].memory, costs[2].memory, 1)
  peers.fill(row, "cpu", costs[1].cpu, costs[2].cpu, 5)
  return row
end

local COLUMNS <const> = { { name = "tool", field = "tool" }, { name = "beside", field = "peer" } }
peers.add_columns(COLUMNS, "start", "ms")
peers.add_columns(COLUMNS, "memory", "MB")
peers.add_columns(COLUMNS, "cpu", "ms")

local watcher <close> = peers.watch() -- luacheck: ignore (watches until it is closed)
local rows = {}
for _, pair in ipairs(PAIRS) do
  if not arg[3] or arg[3] == pair[1] then
    rows[#rows + 1] = compare(pair)
    io.stderr:write(pair[1], "\n")
  end
end
print(bpf.hist.table(rows, COLUMNS, { width = 1000 }))

-- SPDX-License-Identifier: MIT
-- Runs lines of `lua-bpf trace` beside the same lines of bpftrace: `traces.lua [SECONDS [RUNS [LINE]]]`. Prints how
-- long each takes from its start until its programs are attached, and from SIGINT to its end; its peak of memory; and
-- the CPU time that it and its programs need while both run under a load of about 100,000 events a second. The command
-- is the one that `make bench-tools` has installed below build/installed.
package.path = "bench/tools/?.lua;" .. package.path

local bpf = require "bpf"
local peers = require "peers"

local SECONDS <const>, RUNS <const> = tonumber(arg[1]) or 2, tonumber(arg[2]) or 5

-- $load is the process that makes the load.
local LINES <const> = {
  { "count by key", "calls", { "tracepoint/raw_syscalls/sys_enter", "count(comm)" },
    "tracepoint:raw_syscalls:sys_enter { @[comm] = count(); }" },
  { "hist by key", "calls", { "tracepoint/syscalls/sys_enter_write", "hist(args.count, comm)" },
    "tracepoint:syscalls:sys_enter_write { @[comm] = hist(args->count); }" },
  { "time stamps", "calls", { "tracepoint/syscalls/sys_enter_write", "start[tid] = nsecs",
      "tracepoint/syscalls/sys_exit_write", "hist(nsecs - start[tid]) start[tid] = nil" },
    "tracepoint:syscalls:sys_enter_write { @start[tid] = nsecs; } tracepoint:syscalls:sys_exit_write /@start[tid]/ "
      .. "{ @ = hist(nsecs - @start[tid]); delete(@start[tid]); }" },
  { "filter", "calls", { "tracepoint/raw_syscalls/sys_enter", "if pid == 1 then count(args.id) end" },
    "tracepoint:raw_syscalls:sys_enter /pid == 1/ { @[args->id] = count(); }" },
  { "printf", "calls", { "tracepoint/syscalls/sys_enter_write", [[printf("%d %s %d\n", pid, comm, args.count)]] },
    [[tracepoint:syscalls:sys_enter_write { printf("%d %s %d\n", pid, comm, args->count); }]] },
  { "stacks", "calls", { "tracepoint/syscalls/sys_enter_write", "count(kstack)" },
    "tracepoint:syscalls:sys_enter_write { @[kstack] = count(); }" },
  { "BTF", "calls", { "tp_btf/sys_enter", "count(task.tgid)" },
    "tracepoint:raw_syscalls:sys_enter { @[curtask->tgid] = count(); }" },
  { "uprobe", "strings", { "uprobe/libc.so.6:malloc", "if pid == $load then hist(arg0) end" },
    "uprobe:libc:malloc /pid == $load/ { @ = hist(arg0); }" },
}

local function quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

local function ours(words)
  local quoted = {}
  for n, word in ipairs(words) do
    quoted[n] = quote(word)
  end
  return "build/installed/bin/lua-bpf trace " .. table.concat(quoted, " ")
end

-- Runs a command alone for a moment, with something to see. Returns start, end and memory.
local function alone(command)
  local process = peers.start(command)
  local began = peers.attached(process)
  bpf.sleep(0.1)
  local ended, memory = peers.stop(process)
  return { start = began, finish = ended, memory = memory }
end

-- Each of the numbers, of several runs of both commands by turns.
local function turns(commands)
  local lists = { {}, {} }
  for run = 1, RUNS do
    for n, command in ipairs(commands) do
      for what, number in pairs(alone(command)) do
        lists[n][what] = lists[n][what] or {}
        lists[n][what][run] = number
      end
    end
  end
  for _, list in ipairs(lists) do
    for what, numbers in pairs(list) do
      list[what] = peers.median(numbers)
    end
  end
  return lists
end

-- Starts a command. Returns its process with the ids of its programs.
local function started(command)
  local before = peers.programs()
  local process = peers.start(command)
  peers.attached(process)
  process.programs = {}
  for id in pairs(peers.programs()) do
    if not before[id] then
      table.insert(process.programs, id)
    end
  end
  return process
end

-- The CPU time of a process and of its programs so far, in milliseconds.
local function cost(process)
  local times, sum = peers.programs(), peers.cpu(process)
  for _, id in ipairs(process.programs) do
    sum = sum + (times[id] or 0)
  end
  return sum / 1e6
end

-- Both commands of a line, for a load.
local function commands_of(line, load)
  local _, _, mine, theirs = table.unpack(line)
  local commands = { ours(mine), "bpftrace -e " .. quote(theirs) }
  for n, command in ipairs(commands) do
    commands[n] = command:gsub("%$load", load.pid)
  end
  return commands
end

-- Adds the CPU time that a load costs each command, while both run. They are started in this order, and the kernel runs
-- their programs in it: the first finds less in the caches.
local function add_costs(costs, commands, load, order)
  local processes = {}
  for _, n in ipairs(order) do
    processes[n] = started(commands[n])
  end
  for n, process in ipairs(processes) do
    costs[n] = costs[n] - cost(process)
  end
  load:go()
  for n, process in ipairs(processes) do
    costs[n] = costs[n] + cost(process)
  end
  for _, process in ipairs(processes) do
    peers.stop(process)
  end
end

local function compare(line)
  local both, costs
  for _, order in ipairs { { 1, 2 }, { 2, 1 } } do
    local load = peers.prepare(line[2], SECONDS)
    local commands = commands_of(line, load)
    both, costs = both or turns(commands), costs or { 0, 0 }
    add_costs(costs, commands, load, order)
  end
  local row = { line = line[1] }
  peers.fill(row, "start", both[1].start, both[2].start, 5)
  peers.fill(row, "end", both[1].finish, both[2].finish, 5)
  peers.fill(row, "memory", both[1].memory, both[2].memory, 1)
  peers.fill(row, "cpu", costs[1], costs[2], 5)
  return row
end

local COLUMNS <const> = { { name = "trace", field = "line" } }
for _, what in ipairs { { "start", "ms" }, { "end", "ms" }, { "memory", "MB" }, { "cpu", "ms" } } do
  peers.add_columns(COLUMNS, table.unpack(what))
end

-- How long a command takes, in milliseconds.
local function whole(command)
  local from = bpf.clock()
  assert(os.execute(command .. " >/dev/null 2>&1"))
  return (bpf.clock() - from) / 1e6
end

-- Lists of all tracepoints, by turns.
local function compare_lists()
  local a, b = {}, {}
  for run = 1, RUNS do
    a[run] = whole "build/installed/bin/lua-bpf list 'tracepoint:*'"
    b[run] = whole "bpftrace -l 'tracepoint:*'"
  end
  print(("list of all tracepoints: %.0f ms, bpftrace -l: %.0f ms"):format(peers.median(a), peers.median(b)))
end

local watcher <close> = peers.watch() -- luacheck: ignore (watches until it is closed)
local stats <close> = assert(bpf.enable_stats()) -- luacheck: ignore (counts until it is closed)
local rows = {}
for _, line in ipairs(LINES) do
  if not arg[3] or arg[3] == line[1] then
    rows[#rows + 1] = compare(line)
    io.stderr:write(line[1], "\n")
  end
end
print(bpf.hist.table(rows, COLUMNS, { width = 1000 }))
if not arg[3] then
  compare_lists()
end

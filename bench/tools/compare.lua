-- SPDX-License-Identifier: MIT
-- Runs the tools of examples/ beside Debian's tools of the same purpose, under the same load at the same time. Prints
-- the time until they are attached, their peak of memory, and the CPU time that the load costs them.
local bpf = require "bpf"
local helper = bpf.helper

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

-- When each process was executed and when it last attached a program, by the kernel's clock; which threads attach one.
local times <close> = assert(bpf.map.create {
  type = "lru_hash", max_entries = 4096, key = "__u32", value = "struct times { __u64 executed; __u64 attached; }",
})
local attaching <close> = assert(bpf.map.create { type = "lru_hash", max_entries = 64, key = "__u32", value = "__u8" })

-- Follows the system calls that attach programs: LINK_CREATE and its elders, PERF_EVENT_IOC_SET_BPF, SO_ATTACH_FILTER.
local function watch()
  local PROG_ATTACH <const>, RAW_TRACEPOINT_OPEN <const>, LINK_CREATE <const> = 8, 17, 28
  local SET_BPF <const>, ATTACH_FILTER <const> = 0x40042408, 26

  local function enter(attaches)
    if attaches then
      attaching[helper.get_current_pid_tgid() & 0xffffffff] = 1
    end
  end

  local function leave()
    local id = helper.get_current_pid_tgid()
    local known = times[id >> 32]
    if known and attaching[id & 0xffffffff] then
      known.attached = helper.ktime_get_ns()
    end
    attaching[id & 0xffffffff] = nil
  end

  return assert(bpf.programs {
    execute = { "tracepoint/sched/sched_process_exec", function()
      times[helper.get_current_pid_tgid() >> 32] = { executed = helper.ktime_get_ns() }
    end },
    enter_bpf = { "tracepoint/syscalls/sys_enter_bpf", function(ctx)
      enter(ctx.cmd == PROG_ATTACH or ctx.cmd == RAW_TRACEPOINT_OPEN or ctx.cmd == LINK_CREATE)
    end },
    enter_ioctl = { "tracepoint/syscalls/sys_enter_ioctl", function(ctx) enter(ctx.cmd == SET_BPF) end },
    enter_setsockopt = { "tracepoint/syscalls/sys_enter_setsockopt", function(ctx)
      enter(ctx.optname == ATTACH_FILTER)
    end },
    leave_bpf = { "tracepoint/syscalls/sys_exit_bpf", leave },
    leave_ioctl = { "tracepoint/syscalls/sys_exit_ioctl", leave },
    leave_setsockopt = { "tracepoint/syscalls/sys_exit_setsockopt", leave },
  })
end

local function output(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

-- Starts a command whose output nobody reads. Its output goes to a pipe, as that of a tool would that is looked at.
local function start(command)
  local pipe = assert(io.popen(("echo $$; exec %s >/dev/null 2>&1"):format(command)))
  return { pid = pipe:read "n", pipe = pipe }
end

-- Waits until the process has attached a program and nothing more for half a second. Returns milliseconds from its
-- beginning to its last attachment.
local function attached(process, command)
  local last
  for _ = 1, 60 do
    bpf.sleep(0.5)
    local known = times[process.pid]
    if known and known.attached > 0 and known.attached == last then
      return (known.attached - known.executed) / 1e6
    end
    last = known and known.attached
  end
  error(command .. ": attaches nothing", 0)
end

local function stop(process)
  os.execute("kill -INT " .. process.pid)
  process.pipe:close()
end

-- Nanoseconds that the process's threads have been on a CPU.
local function cpu(process)
  local sum = 0
  for ns in output(("cat /proc/%d/task/*/schedstat"):format(process.pid)):gmatch "(%d+) %d+ %d+\n" do
    sum = sum + tonumber(ns)
  end
  return sum
end

-- The process's peak of memory in MB.
local function peak(process)
  return tonumber(output(("cat /proc/%d/status"):format(process.pid)):match "VmHWM:%s*(%d+)") / 1024
end

local function median(numbers)
  table.sort(numbers)
  return numbers[(#numbers + 1) // 2]
end

-- How long the command takes until it is attached, in milliseconds.
local function start_time(command)
  local numbers = {}
  for i = 1, STARTS do
    local process = start(command)
    numbers[i] = attached(process, command)
    stop(process)
  end
  return median(numbers)
end

-- Memory and CPU time of both commands, which run at the same time, under a load.
local function under_load(commands, load)
  local processes, costs = {}, {}
  for i, command in ipairs(commands) do
    processes[i] = start(command)
    attached(processes[i], command)
    costs[i] = { cpu = -cpu(processes[i]) }
  end
  load:go()
  for i, process in ipairs(processes) do
    costs[i].cpu = (costs[i].cpu + cpu(process)) / 1e6
    costs[i].memory = peak(process)
    stop(process)
  end
  return costs
end

-- A process that makes the load once it is told to go on.
local function prepare(name)
  local pipe = assert(io.popen(("echo $$; kill -STOP $$; exec %s bench/tools/loads.lua %s %g"):format(LUA, name,
    SECONDS)))
  local load = { pid = pipe:read "n" }
  function load:go()
    os.execute("kill -CONT " .. self.pid)
    pipe:read "a" -- until it ends
    pipe:close()
  end
  return load
end

-- What is compared with less than 5 ms says nothing.
local function ratio(a, b)
  return b >= 5 and ("%.2f"):format(a / b) or "-"
end

-- Our tool beside its peer, as a row.
local function compare(pair)
  local name, mine, peers, peer, load_name = table.unpack(pair)
  local load = prepare(load_name)
  local commands = { (mine:gsub("%$load", load.pid)), (peer:gsub("%$load", load.pid)) }
  local a, b = start_time(commands[1]), start_time(commands[2])
  local costs = under_load(commands, load)
  return {
    tool = name, peer = ("%s (%s)"):format(peer:match "^%S+", peers),
    start = ("%.0f"):format(a), start_peer = ("%.0f"):format(b), start_ratio = ratio(a, b),
    memory = ("%.1f"):format(costs[1].memory), memory_peer = ("%.1f"):format(costs[2].memory),
    memory_ratio = ratio(costs[1].memory, costs[2].memory), cpu = ("%.0f"):format(costs[1].cpu),
    cpu_peer = ("%.0f"):format(costs[2].cpu), cpu_ratio = ratio(costs[1].cpu, costs[2].cpu),
  }
end

local COLUMNS <const> = { { name = "tool", field = "tool" }, { name = "beside", field = "peer" } }
for _, what in ipairs { { "start", "ms" }, { "memory", "MB" }, { "cpu", "ms" } } do
  local field, unit = table.unpack(what)
  table.move({
    { name = ("%s %s"):format(field, unit), field = field, align = "right" },
    { name = "peer", field = field .. "_peer", align = "right" },
    { name = "ratio", field = field .. "_ratio", align = "right" },
  }, 1, 3, #COLUMNS + 1, COLUMNS)
end

local watcher <close> = watch()
assert(watcher:attach())
local rows = {}
for _, pair in ipairs(PAIRS) do
  if not arg[3] or arg[3] == pair[1] then
    rows[#rows + 1] = compare(pair)
    io.stderr:write(pair[1], "\n")
  end
end
print(bpf.hist.table(rows, COLUMNS, { width = 1000 }))

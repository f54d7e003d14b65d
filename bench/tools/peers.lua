-- SPDX-License-Identifier: MIT
--- Runs commands that attach programs, and tells how long they take to attach them and to end, how much memory they
-- take at their peak, and how much CPU time they and their programs need under a load.
local bpf = require "bpf"
local helper = bpf.helper

local peers = {}

-- When each process was executed, when it last attached a program, and when it was last sent SIGINT, by the kernel's
-- clock; and which threads attach one.
local times = assert(bpf.map.create {
  type = "lru_hash", max_entries = 4096, key = "__u32",
  value = "struct times { __u64 executed; __u64 attached; __u64 interrupted; }",
})
local attaching = assert(bpf.map.create { type = "lru_hash", max_entries = 64, key = "__u32", value = "__u8" })

--- Follows the system calls that attach programs: LINK_CREATE and its elders, PERF_EVENT_IOC_SET_BPF,
-- SO_ATTACH_FILTER. Returns the object, which is to be closed.
function peers.watch()
  local PROG_ATTACH <const>, RAW_TRACEPOINT_OPEN <const>, LINK_CREATE <const> = 8, 17, 28
  local SET_BPF <const>, ATTACH_FILTER <const>, SIGINT <const> = 0x40042408, 26, 2

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

  local watcher = assert(bpf.programs {
    execute = { "tracepoint/sched/sched_process_exec", function()
      times[helper.get_current_pid_tgid() >> 32] = { executed = helper.ktime_get_ns() }
    end },
    interrupt = { "tracepoint/signal/signal_generate", function(ctx)
      local known = times[ctx.pid]
      if known and ctx.sig == SIGINT then
        known.interrupted = helper.ktime_get_ns()
      end
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
  assert(watcher:attach())
  return watcher
end

local function output(command)
  local pipe <close> = assert(io.popen(command))
  return pipe:read "a"
end

--- Starts a command whose output nobody reads. Its output goes to a pipe, as that of a tool would that is looked at.
function peers.start(command)
  local pipe = assert(io.popen(("echo $$; exec %s >/dev/null 2>&1"):format(command)))
  return { pid = pipe:read "n", pipe = pipe, command = command }
end

--- Waits until the process has attached a program and nothing more for half a second. Returns milliseconds from its
-- beginning to its last attachment.
function peers.attached(process)
  local last
  for _ = 1, 60 do
    bpf.sleep(0.5)
    local known = times[process.pid]
    if known and known.attached > 0 and known.attached == last then
      return (known.attached - known.executed) / 1e6
    end
    last = known and known.attached
  end
  error(process.command .. ": attaches nothing", 0)
end

--- Nanoseconds that the process's threads have been on a CPU.
function peers.cpu(process)
  local sum = 0
  for ns in output(("cat /proc/%d/task/*/schedstat"):format(process.pid)):gmatch "(%d+) %d+ %d+\n" do
    sum = sum + tonumber(ns)
  end
  return sum
end

--- The process's peak of memory in MB; nil after its end.
function peers.peak(process)
  local file <close> = io.open(("/proc/%d/status"):format(process.pid))
  local kilobytes = file and (file:read "a" or ""):match "VmHWM:%s*(%d+)"
  return kilobytes and tonumber(kilobytes) / 1024
end

-- Sends SIGINT each second until the process ends: bpftrace doesn't see one that comes while it reads records.
-- Returns the largest of `memory` and of the process's peaks meanwhile.
local function interrupt(process, memory)
  local sent = 0
  while true do
    if bpf.clock() - sent > 1e9 then
      os.execute("kill -INT " .. process.pid)
      sent = bpf.clock()
    end
    local now = peers.peak(process)
    if not now then
      return memory
    end
    memory = math.max(memory, now)
    bpf.sleep(0.001)
  end
end

--- Ends a process by SIGINT. Returns how long that took, in milliseconds, and its peak of memory in MB.
function peers.stop(process)
  local memory = interrupt(process, peers.peak(process))
  process.pipe:close()
  return (bpf.clock() - times[process.pid].interrupted) / 1e6, memory
end

--- The ids of the programs that are loaded.
function peers.programs()
  local ids = {}
  for prog in bpf.progs() do
    ids[prog.id] = prog.run_time_ns or 0
  end
  return ids
end

function peers.median(numbers)
  table.sort(numbers)
  return numbers[(#numbers + 1) // 2]
end

--- A process that makes a load of that name once it is told to go on.
function peers.prepare(name, seconds)
  local pipe = assert(io.popen(("echo $$; kill -STOP $$; exec %s bench/tools/loads.lua %s %g"):format(arg[-1], name,
    seconds)))
  local load = { pid = pipe:read "n" }
  function load:go()
    os.execute("kill -CONT " .. self.pid)
    pipe:read "a" -- until it ends
    pipe:close()
  end
  return load
end

--- Appends columns for a quantity of two tools: ours, the peer's, and their ratio.
function peers.add_columns(columns, field, unit)
  columns[#columns + 1] = { name = ("%s %s"):format(field, unit), field = field, align = "right" }
  columns[#columns + 1] = { name = "peer", field = field .. "_peer", align = "right" }
  columns[#columns + 1] = { name = "ratio", field = field .. "_ratio", align = "right" }
end

--- Fills these columns in a row. What is compared with less than `least` says nothing.
function peers.fill(row, field, ours, theirs, least)
  local format = math.min(ours, theirs) < 10 and "%.1f" or "%.0f"
  row[field], row[field .. "_peer"] = format:format(ours), format:format(theirs)
  row[field .. "_ratio"] = theirs >= least and ("%.2f"):format(ours / theirs) or "-"
end

return peers

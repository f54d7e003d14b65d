-- SPDX-License-Identifier: MIT
-- Shows which files processes open, and which they look for in vain. A tool of one file: the BPF C is below, compiled
-- when the tool starts, with the running kernel's vmlinux.h.
local bpf = require "bpf"
local hist = bpf.hist

local SOURCE = [[
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

struct opened {
	__u32 pid;
	int result; /* a descriptor, or an error below zero */
	char comm[16];
	char path[256];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);   /* the thread */
	__type(value, __u64); /* where the path of its call is */
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} events SEC(".maps");

const volatile __u32 target_pid = 0; /* 0: all */
const volatile __u32 self = 0;	     /* left out */
__u64 lost;
struct opened *unused; /* puts the type into BTF */

SEC("tracepoint/syscalls/sys_enter_openat")
int on_enter(struct trace_event_raw_sys_enter *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), path = ctx->args[1];
	__u32 pid = id >> 32;

	if (pid != self && (!target_pid || pid == target_pid))
		bpf_map_update_elem(&calls, &id, &path, BPF_ANY);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int on_exit(struct trace_event_raw_sys_exit *ctx)
{
	__u64 id = bpf_get_current_pid_tgid(), *path = bpf_map_lookup_elem(&calls, &id);
	struct opened *e;

	if (!path)
		return 0;
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (e) {
		e->pid = id >> 32;
		e->result = ctx->ret;
		bpf_get_current_comm(e->comm, sizeof(e->comm));
		if (bpf_probe_read_user_str(e->path, sizeof(e->path), (void *)*path) < 0)
			e->path[0] = '?', e->path[1] = 0;
		bpf_ringbuf_submit(e, 0);
	} else {
		__sync_fetch_and_add(&lost, 1);
	}
	bpf_map_delete_elem(&calls, &id);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
]]

local USAGE = [[
Usage: main.lua [options] [seconds]
Shows files that processes open, for 5 seconds or until Ctrl-C. Needs root and clang.

  -f, --failed   show only files that can't be opened
  -p, --pid PID  watch only this process
  -h, --help     show this text
]]

local function parse(args)
  local options, flag = { duration = 5, pid = 0 }, nil
  for _, word in ipairs(args) do
    local n = tonumber(word)
    if word == "-h" or word == "--help" then
      io.write(USAGE)
      os.exit(0)
    elseif (word == "-f" or word == "--failed") and not flag then
      options.failed = true
    elseif (word == "-p" or word == "--pid") and not flag then
      flag = word
    elseif n and n > 0 and (not flag or math.tointeger(n)) then
      options[flag and "pid" or "duration"], flag = math.tointeger(n) or n, nil
    else
      flag = flag or word
      break
    end
  end
  if flag then
    io.stderr:write("opens: not understood: ", flag, "\n", USAGE)
    os.exit(2)
  end
  return options
end

-- What a call returned, or its error.
local function try(value, message)
  return value or error(message, 0)
end

local function first_number(path)
  local file <close> = try(io.open(path))
  return file:read("n")
end

-- Shows records until the time is over or a signal comes.
local function watch(reader, signals, seconds)
  local finish = bpf.clock() + seconds * 1e9
  repeat
    local left = math.max(finish - bpf.clock(), 0)
    try(reader:poll(math.ceil(left * 1e-6)))
  until signals:poll(0) or left == 0
end

local function main(options)
  io.stdout:setvbuf("line")
  local signals <close> = try(bpf.signals("INT", "TERM"))
  local obj <close> = try(bpf.load({ bytes = try(bpf.compile(SOURCE)) }, {
    name = "opens", vars = { target_pid = options.pid, self = math.tointeger(first_number("/proc/self/stat")) },
  }))
  local width, opened, failed = hist.width() - 1, 0, 0
  local reader <close> = try(bpf.ringbuf(obj.maps.events, "struct opened", function(pid, result, comm, path)
    opened, failed = opened + (result >= 0 and 1 or 0), failed + (result < 0 and 1 or 0)
    if result < 0 or not options.failed then
      print(hist.line(("%7d  %-16s %6s  %s"):format(pid, comm, result < 0 and "E" .. -result or "ok", path), width))
    end
  end, { unpack = true }))
  try(obj:attach())
  print("    PID  COMMAND          RESULT  FILE")
  watch(reader, signals, options.duration)
  obj:detach()
  print(("\n%d files opened, %d not"):format(opened, failed) ..
    (obj.vars.lost > 0 and (", %d not seen"):format(obj.vars.lost) or ""))
end

io.stdout:setvbuf "line"
local ok, message = pcall(main, parse(arg))
if not ok then
  io.stderr:write("opens: ", tostring(message), "\n")
end
os.exit(ok, true)

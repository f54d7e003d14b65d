-- SPDX-License-Identifier: MIT
-- Shows which files are opened, by whom and with what result: opensnoop in Lua alone. The filters are the functions'
-- upvalues, which are constants in the kernel: it sends only what is asked for.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local map, helper = bpf.map, bpf.helper

local parser = common.parser "Shows files that are opened by openat(2). Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "show only files that this process opens", 0):argname("PID"):convert(common.count)
parser:option("--uid", "show only files that processes of this user open"):argname("N"):convert(common.count)
parser:option("--comm", "show only files that processes with this name open"):argname "NAME":init ""
parser:option("--path", "show only files whose path contains this"):argname "TEXT":init ""
parser:flag("--failed", "show only files that could not be opened", false)
parser:flag("--json", "print a JSON object per file", false)
local options = parser:parse()

local MODE = { [0] = "r", "w", "rw" }

-- How it was opened: read or written, and "c" for created, "t" for truncated, "a" for appended to.
local function mode(flags)
  return (MODE[flags & 3] or "-") .. (flags & 0x40 ~= 0 and "c" or "") .. (flags & 0x200 ~= 0 and "t" or "")
    .. (flags & 0x400 ~= 0 and "a" or "")
end

local Open = bpf.btf.type "struct open { __u32 pid; __s32 ret; __u32 flags; __u32 uid; char comm[16]; char file[256]; }"

-- What a thread asked for, until the call returns. A thread that ends there stays, so this is bounded.
local CALLS = {
  type = "lru_hash", max_entries = 4096, key = "__u32", value = "struct call { __u64 filename; __u32 flags; }",
}
local RING = { type = "ringbuf", max_entries = 256 * 1024 }

-- The programs: each opening is a record of the ring, or is counted as lost if the ring is full.
local function compile(opens, calls)
  local lost = bpf.var "struct { __u64 records; }"
  local self, target, comm, failed = common.pid(), options.pid, options.comm:sub(1, 15), options.failed
  local user = options.uid or -1

  local function wanted(pid)
    return pid ~= self and (target == 0 or pid == target) and (comm == "" or helper.get_current_comm() == comm)
      and (user < 0 or user == helper.get_current_uid_gid() & 0xffffffff)
  end

  local function enter(ctx)
    local id = helper.get_current_pid_tgid()
    if wanted(id >> 32) then
      calls[id & 0xffffffff] = { filename = ctx.filename, flags = ctx.flags }
    end
  end

  local function leave(ctx)
    local id = helper.get_current_pid_tgid()
    local tid = id & 0xffffffff
    local call = calls[tid]
    if not call then
      return
    end
    if not failed or ctx.ret < 0 then
      local code = helper.ringbuf_output(opens, Open, {
        pid = id >> 32, ret = ctx.ret, flags = call.flags,
        uid = helper.get_current_uid_gid() & 0xffffffff, comm = helper.get_current_comm(),
        file = helper.probe_read_user_str(call.filename),
      })
      if code < 0 then
        bpf.atomic.add(lost, "records", 1)
      end
    end
    calls[tid] = nil
  end

  return common.try(bpf.programs {
    enter = { "tracepoint/syscalls/sys_enter_openat", enter },
    leave = { "tracepoint/syscalls/sys_exit_openat", leave },
  })
end

common.main(function()
  local count = 0
  local row = bpf.format.columns({
    { name = "PID", width = 7, align = "right" }, { name = "UID", width = 5, align = "right" },
    { name = "COMMAND", width = 16 }, { name = "RESULT", width = 7 }, { name = "MODE", width = 4 }, { name = "FILE" },
  }, { output = options.json and "json" or "text" })
  local opens <close> = common.try(map.create(RING))
  local calls <close> = common.try(map.create(CALLS))
  local obj <close> = compile(opens, calls)
  local events <close> = common.try(bpf.ringbuf(opens, Open, function(pid, ret, flags, uid, ...)
    local comm, file = ...
    if file:find(options.path, 1, true) then
      count = count + 1
      row(pid, uid, comm, ret >= 0 and ret or bpf.format.errno(ret), mode(flags), file)
    end
  end, { unpack = true }))
  common.try(obj:attach())
  io.stderr:write(("Watching for %g s; Ctrl-C ends it\n"):format(options.seconds))
  row()
  common.poll(events, options.seconds)
  local missed = obj.vars.lost.records
  io.stderr:write(("%d open%s%s\n"):format(count, count == 1 and "" or "s",
    missed > 0 and (", %d not shown: the ring was full"):format(missed) or ""))
end)

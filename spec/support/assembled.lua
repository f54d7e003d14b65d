-- SPDX-License-Identifier: MIT
-- The programs of an object that is made by `make`, on the machine that builds, and loaded on every kernel of the
-- tests. `local assembled = require "spec.support.assembled"`.
local bpf = require "bpf"

local call = bpf.helper

local assembled = { path = "build/progs/assembled.o", btf = "/sys/kernel/btf/vmlinux" }

local SEEN = [[struct seen {
  __u64 count; __s64 pid, tgid, parent; __u64 flags, priority, reset_on_fork, uid, usage, nlink, stack, stack_again;
  char comm[24], node[70]; __u64 second, is_lua; __s64 state; __u64 has;
}]]

-- Programs that see the calling thread's task, as memory that a helper reads and as a pointer that the verifier
-- knows. Each puts what it finds into a map of the object, at an index of its own: 0 and 1.
function assembled.programs()
  local tasks = bpf.map.declare { type = "array", max_entries = 2, value = SEEN }
  local us = bpf.map.declare { type = "array", max_entries = 1, value = "__u32" }

  local function see(seen, task)
    seen.count = seen.count + 1
    seen.pid, seen.tgid, seen.parent = task.pid, task.tgid, task.real_parent.tgid
    seen.flags, seen.priority, seen.reset_on_fork = task.flags, task.rt_priority, task.sched_reset_on_fork
    seen.uid, seen.usage = task.cred.uid.val, task.usage.refs.counter
    seen.nlink = task.fs.pwd.dentry.d_inode.i_nlink
    seen.stack = task.signal.rlim[4].rlim_cur
    seen.comm, seen.second, seen.is_lua = task.comm, task.comm[2], task.comm == "a lua" and 1 or 0
    seen.node = task.nsproxy.uts_ns.name.nodename
    seen.has = (bpf.has(task, "pid") and 1 or 0) | (bpf.has(task, "no_such_member") and 2 or 0)
    if bpf.has(task, "__state", "unsigned int") then
      seen.state = task.__state
    elseif bpf.has(task, "state", "long") then -- before Linux 5.14
      seen.state = task.state
    end
  end

  return {
    by_helper = { "raw_tp/sys_enter", function()
      if call.get_current_pid_tgid() >> 32 == us[0] then
        see(tasks[0], bpf.cast(call.get_current_task(), "struct task_struct"))
      end
    end },
    by_pointer = { "tp_btf/task_rename", function(task)
      if call.get_current_pid_tgid() >> 32 == us[0] then
        see(tasks[1], task)
      end
    end },
  }
end

-- Makes the file, where the machine has a kernel's BTF to make it of.
function assembled.write(path)
  if io.open(assembled.btf) then
    local file <close> = assert(io.open(path, "wb"))
    assert(file:write((assert(bpf.assemble(assembled.programs(), { btf = assembled.btf })))))
  end
end

return assembled

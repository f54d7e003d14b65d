-- SPDX-License-Identifier: MIT
-- A program written in Lua for each context, attached to the real thing, which is made to happen.
local lfs = require("lfs")

local bpf = require("bpf")
local attach = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local uapi = require("bpf.program.uapi")
local types = require("bpf.program.types")

local map, call = bpf.map, bpf.helper

local ABSENT = helper.absent()

kernel.root()

local me -- this process's id

setup(function() me = attach.self() end)

-- Loads one program. Skips where the kernel refuses programs of its kind.
local function load(section, fn, options)
  return assert(bpf.program(section, fn, options))
end

-- Why a function can't be a program.
local function refused(section, fn, options)
  local prog, message, code = bpf.program(section, fn, options)
  assert.is_nil(prog)
  assert.equal("EINVAL", code)
  return message
end

local function hash(key, value)
  return assert(map.create { type = "hash", max_entries = 64, key = key or "__u64", value = value or "__u64" })
end

local function need_syscall_tracepoints()
  if kernel.config("CONFIG_FTRACE_SYSCALLS") == "n" then
    helper.skip("tracepoints of system calls need a kernel with CONFIG_FTRACE_SYSCALLS")
  end
end

-- What a program that sees no context of ours may count: only this process's.
local function mine(pid)
  return call.get_current_pid_tgid() >> 32 == pid
end

describe("a tracepoint's program", function()
  it("gets the record, with the arguments of a system call in their width, and its strings", function()
    need_syscall_tracepoints()
    local pid = me
    local opened <close> = hash("char[64]", "struct { __s32 dfd; __s32 flags; __u64 n; }")
    local prog <close> = load("tracepoint/syscalls/sys_enter_openat", function(ctx)
      if not mine(pid) then return end
      local path = call.probe_read_user_str(ctx.filename)
      local found = opened[path]
      if found then
        found.n = found.n + 1
      else
        opened[path] = { dfd = ctx.dfd, flags = ctx.flags & 3, n = 1 }
      end
    end)
    local link <close> = assert(prog:attach())
    assert.is_nil((io.open(ABSENT)))
    assert.is_nil((io.open(ABSENT, "r+")))
    assert.same({ dfd = -100, flags = 0, n = 2 }, opened[ABSENT])
    assert.is_table(link:info() or {})
  end)

  it("gets arrays of arguments", function()
    need_syscall_tracepoints()
    local pid = me
    local seen <close> = hash()
    local opens <close> = load("tracepoint/syscalls/sys_enter_openat", function(ctx)
      if mine(pid) then seen[0] = ctx.__syscall_nr end
    end)
    local first = assert(opens:attach())
    assert.is_nil((io.open(ABSENT)))
    first:close()
    local nr = seen[0]
    assert.is_number(nr)
    local prog <close> = load("tracepoint/raw_syscalls/sys_enter", function(ctx)
      if mine(pid) and ctx.id == nr then
        seen[1] = ctx.args[3] & 3
        seen[2] = ctx.args[1] & 0xffffffff
        local i = (seen[1] or 0) + 1
        seen[3] = (ctx.args[i] or 77) & 3
        seen[4] = ctx.args[seen[9] or 7] or 77
      end
    end)
    local link <close> = assert(prog:attach())
    assert.is_nil((io.open(ABSENT, "r+")))
    assert.same({ 2, 0xffffff9c, 2, 77 }, { seen[1], seen[2], seen[3], seen[4] })
    assert.is_truthy(link)
  end)

  it("gets strings of any length, which lie behind the record", function()
    local execs <close> = hash("char[64]", "struct { __u32 pid; char comm[16]; }")
    local prog <close> = load("tp/sched/sched_process_exec", function(ctx)
      execs[ctx.filename] = { pid = ctx.pid, comm = call.get_current_comm() }
    end)
    local link <close> = assert(prog:attach())
    local path = helper.tmpdir() .. "/lbpf-exec"
    assert(os.execute("cp /bin/true " .. path .. " && " .. path))
    assert.equal("lbpf-exec", execs[path].comm)
    assert.is_true(execs[path].pid > 0)
    assert.is_truthy(link)
  end)

  it("is told which members and tracepoints there are", function()
    assert.matches("the record of sched_switch has no member 'prev' %(members: prev_comm, prev_pid, ",
      refused("tracepoint/sched/sched_switch", function(ctx) return ctx.prev end))
    assert.matches("there is no tracepoint sched/nothing", refused("tracepoint/sched/nothing", function() end))
    assert.matches("tracepoint/sched/sched_switch", refused("tracepoint/nothing", function() end))
    assert.matches("has no member 'common_pid'", refused("tracepoint/sched/sched_switch", function(ctx)
      return ctx.common_pid
    end))
  end)

  it("sends records to a ring buffer and to a perf buffer", function()
    local events <close> = assert(map.create { type = "ringbuf", max_entries = 4096 })
    local others <close> = assert(map.create { type = "perf_event_array", max_entries = 64 })
    local Exec = bpf.btf.type "struct exec { __u32 pid; char comm[16]; char path[64]; }"
    local prog <close> = load("tp/sched/sched_process_exec", function(ctx)
      call.ringbuf_output(events, Exec, { pid = ctx.pid, comm = call.get_current_comm(), path = ctx.filename })
      call.perf_event_output(ctx, others, Exec, { pid = ctx.pid, comm = "fixed", path = ctx.filename })
    end)
    local path = helper.tmpdir() .. "/lbpf-exec"
    local got, more
    local ring <close> = assert(bpf.ringbuf(events, Exec, function(e) got = e.path == path and e or got end))
    local buffer <close> = assert(bpf.perfbuf(others, Exec, function(e) more = e.path == path and e or more end))
    local link <close> = assert(prog:attach())
    assert(os.execute("cp /bin/true " .. path .. " && " .. path))
    assert.is_truthy(link)
    assert(ring:poll(0))
    assert(buffer:poll(0))
    assert.same({ "lbpf-exec", path }, { got.comm, got.path })
    assert.same({ "fixed", path, got.pid }, { more.comm, more.path, more.pid })
  end)
end)

describe("a raw tracepoint's program", function()
  it("gets the arguments, and reads the kernel's structs", function()
    local execs <close> = hash("char[64]", "struct { __u32 pid; __u32 old; char comm[16]; __u32 parent; }")
    local prog <close> = load("raw_tp/sched_process_exec", function(task, old, bprm)
      execs[call.probe_read_kernel_str(bprm.filename)] = {
        pid = task.tgid, old = old, comm = task.comm, parent = task.real_parent.tgid,
      }
    end)
    local link <close> = assert(prog:attach())
    local path = helper.tmpdir() .. "/lbpf-exec"
    assert(os.execute("cp /bin/true " .. path .. " && " .. path))
    local found = execs[path]
    assert.same({ "lbpf-exec", true }, { found.comm, found.pid == found.old and found.parent > 0 })
    assert.is_truthy(link)
  end)

  it("has no more arguments than the tracepoint", function()
    assert.matches("sched_process_exec has 3 arguments, and the function takes 4",
      refused("raw_tp/sched_process_exec", function(_, _, _, d) return d end))
    assert.matches("struct task_struct has no member 'tgidd' %(near: tgid",
      refused("raw_tp/sched_process_exec", function(task) return task.tgidd end))
  end)

  it("keeps something for each task, as tp_btf", function()
    kernel.need("storages of tasks in tracing programs", "5.11")
    local pid = me
    local storage <close> = assert(map.create { type = "task_storage", key = "int", value = "struct { __u64 n; }" })
    local seen <close> = hash()
    local prog <close> = load("tp_btf/sys_enter", function(regs, id)
      local task = call.get_current_task_btf()
      if regs and task.tgid == pid then
        local own = call.task_storage_get(storage, task, "create")
        if own then
          own.n = own.n + 1
          seen[id] = own.n
        end
      end
    end)
    local link <close> = assert(prog:attach())
    for _ = 1, 20 do
      assert.is_nil((io.open(ABSENT)))
    end
    link:close()
    local most = 0
    for _, n in pairs(seen) do
      most = math.max(most, n)
    end
    assert.is_true(most >= 20)
  end)
end)

describe("a tp_btf program", function()
  it("keeps something for each cgroup", function()
    kernel.need("storages of cgroups", "6.2")
    local pid = me
    local storage <close> = assert(map.create { type = "cgrp_storage", key = "int", value = "struct { __u64 n; }" })
    local seen <close> = hash()
    local prog <close> = load("tp_btf/sys_enter", function()
      local task = call.get_current_task_btf()
      local own = mine(pid) and call.cgrp_storage_get(storage, task.cgroups.dfl_cgrp, "create")
      if own then
        own.n = own.n + 1
        seen[1] = own.n
      end
    end)
    local link = assert(prog:attach())
    assert.is_nil((io.open(ABSENT)))
    link:close()
    assert.is_true(seen[1] > 0)
  end)
end)

describe("a perf event's program", function()
  it("gets the registers, the period and the stack", function()
    kernel.need("links of perf events", "4.17")
    local pid = me
    local stacks <close> = assert(map.create { type = "stack_trace", max_entries = 1024, key = "__u32",
      value = "__u64[127]" })
    local seen <close> = hash()
    local counts <close> = hash("__s64")
    local x86 = helper.run("uname -m"):find("x86_64") ~= nil
    local prog <close> = load("perf_event", x86 and function(ctx)
      if not mine(pid) then return end
      seen[0] = ctx.sample_period
      seen[1] = ctx.regs.ip
      local id = call.get_stackid(ctx, stacks, 1 << 8)
      counts[id] = (counts[id] or 0) + 1
    end or function(ctx)
      if not mine(pid) then return end
      seen[0] = ctx.sample_period
      seen[1] = ctx.regs.pc
      local id = call.get_stackid(ctx, stacks, 1 << 8)
      counts[id] = (counts[id] or 0) + 1
    end)
    local link = assert(prog:attach_perf_event { config = "task_clock", sample_period = 1000000, pid = 0 })
    local from = os.clock()
    repeat until os.clock() > from + 0.2
    attach.close(link)
    assert.is_true(seen[0] == 1000000 and seen[1] ~= 0)
    local id, n = nil, 0
    for k, count in pairs(counts) do
      if count > n and k >= 0 then
        id, n = k, count
      end
    end
    assert.is_true(n > 0)
    assert.is_true(stacks[id][1] ~= 0)
  end)
end)

describe("a uprobe's program", function()
  local PROBED, DIR = attach.probed()

  local function run(n)
    local output, ok = helper.run(("echo %d 0 | %s"):format(n, PROBED))
    assert(ok, output)
  end

  -- Where the sections say build/support/probed.
  local function attached(prog)
    local here = lfs.currentdir()
    assert(lfs.chdir(DIR))
    local link, message = prog:attach()
    assert(lfs.chdir(here))
    return assert(link, message)
  end

  setup(function()
    if kernel.config("CONFIG_UPROBE_EVENTS") == "n" then
      helper.skip("uprobes need a kernel with CONFIG_UPROBE_EVENTS")
    end
  end)

  it("gets the function's arguments, and a uretprobe its result", function()
    local seen <close> = hash()
    local on_call <close> = load("uprobe/build/support/probed:probed_add", function(a, b)
      seen[1], seen[2] = a & 0xffffffff, b & 0xffffffff
    end)
    local on_return <close> = load("uretprobe/build/support/probed:probed_add", function(result)
      seen[3] = result & 0xffffffff
    end)
    local one <close> = attached(on_call)
    local other <close> = attached(on_return)
    run(7)
    assert.same({ 7, 1000, 1007 }, { seen[1], seen[2], seen[3] })
    assert.is_truthy(one and other)
  end)

  it("gets the result only where the function returns", function()
    assert.matches("the program gets the function's result only, and takes 2 arguments",
      refused("uretprobe/build/support/probed:probed_add", function(a, b) return a + b end))
    assert.matches("only [68] arguments are in registers, and the function takes 9",
      refused("uprobe/build/support/probed:probed_add", function(_, _, _, _, _, _, _, _, i) return i end))
  end)

  it("is attached to several functions by uprobe.multi", function()
    kernel.need("uprobe.multi", "6.6")
    kernel.libbpf("uprobe.multi", "1.3")
    local seen <close> = hash()
    local prog <close> = load("uprobe.multi/build/support/probed:probed_*", function(a)
      seen[a & 0xffffffff] = (seen[a & 0xffffffff] or 0) + 1
    end)
    local link <close> = attached(prog)
    run(7)
    assert.same({ 1, 1 }, { seen[7], seen[1007] })
    assert.is_truthy(link)
  end)

  it("may read memory that isn't there yet if it may sleep, and no other may", function()
    kernel.need("uprobes that sleep", "6.0")
    local seen <close> = hash()
    local Word = bpf.btf.type "__u32"
    local prog <close> = load("uprobe.s/build/support/probed:probed_add", function(a)
      local v = call.copy_from_user(Word, a & 0xffffffff)
      seen[1] = v and 1 or 2
    end)
    local link <close> = attached(prog)
    run(7)
    assert.equal(2, seen[1])
    assert.is_truthy(link)
  end)
end)

describe("a section", function()
  it("is refused where there is no program for it yet, or it isn't known", function()
    assert.matches("a struct_ops program can't be written in Lua yet", refused("struct_ops/a", function() end))
    assert.matches("a program that replaces another can't be written in Lua yet", refused("freplace/a", function() end))
    assert.matches("section 'xpd' isn't known %(near: xdp", refused("xpd", function() end))
  end)

  it("tells whether a program may sleep", function()
    local function copies(ctx) return call.copy_from_user(8, ctx.filename) == "x" end
    assert.matches("helper.copy_from_user: only a program that may sleep can call it, of a section such as "
      .. "'lsm.s/file_open' or 'uprobe.s'; elsewhere use helper.probe_read_user",
      refused("tracepoint/syscalls/sys_enter_openat", copies))
  end)
end)

describe("the kernel's BTF", function()
  -- `ae` was a bit of res1; the port was followed by zeros, as is checked where it is read.
  local CHANGED = { ["struct tcphdr.res1"] = true, ["struct bpf_sk_lookup.remote_port"] = true }

  -- The members of a struct of ours are those of the kernel's, where that has them.
  local function compare(ours, theirs, path)
    for _, member in ipairs(ours.order) do
      local other = theirs.members[member.name]
      local name = path .. "." .. member.name
      if other and not CHANGED[name] then
        assert.same({ name, other.offset, other.bits, other.bits and other.bit_offset },
          { name, member.offset, member.bits, member.bits and member.bit_offset })
        if member.type.kind == "struct" then
          compare(member.type, other.type, name)
        elseif not member.bits and not path:find("regs") then
          assert.same({ name, other.type.kind, other.type.size, other.type.signed },
            { name, member.type.kind, member.type.size, member.type.signed })
        end
      end
    end
  end

  for _, name in ipairs(uapi.names) do
    it("has " .. name .. " as the compiler does", function()
      local theirs = types.of_kernel(name)
      if theirs then
        compare(types.of(uapi.type(name)), theirs, name)
      end
    end)
  end

  it("isn't read for programs that need nothing of it", function()
    local output = helper.run(([[%s - <<'END'
      local bpf, core = require "bpf", require "bpf.core"
      local helper, read, n = bpf.helper, core.btf.kernel, 0
      function core.btf.kernel(...) n = n + 1 return read(...) end
      local m = assert(bpf.map.create { type = "hash", max_entries = 16, key = "__u32", value = "__u64" })
      local function program(section, fn) assert(bpf.program(section, fn)):close() print(n) end
      program("tracepoint/sched/sched_switch", function(ctx) m[ctx.prev_pid] = (m[ctx.prev_pid] or 0) + 1 end)
      program("xdp", function(ctx)
        local ip = ctx:packet(14, "struct iphdr")
        local first = ctx:packet(0, "__u8")
        if ip and first then m[ip.saddr] = (m[ip.saddr] or 0) + first end
        return 2
      end)
      program("cgroup/connect4", function(ctx) return ctx.user_port ~= 0 and ctx.sk ~= nil end)
      program("raw_tp/sched_switch", function() m[1] = helper.get_current_pid_tgid() >> 32 end)
      program("raw_tp/sched_switch", function(_, prev) m[1] = prev.pid end)
END]]):format(helper.LUA))
    assert.equal("0\n0\n0\n0\n1\n", output)
  end)
end)

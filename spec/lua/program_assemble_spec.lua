-- SPDX-License-Identifier: MIT
-- Objects made of programs in Lua, for other kernels and other loaders: relocations of members of kernel structs, maps
-- that don't exist yet, the BTF of a file.
local bpf = require("bpf")
local assembled = require("spec.support.assembled")
local attach = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local lfs = require("lfs")

local map, call = bpf.map, bpf.helper

kernel.root()

local FOREIGN = helper.obj("foreign") -- has the BTF of a kernel that doesn't exist

local me -- this process's id

setup(function() me = attach.self() end)

local function assemble(programs, options)
  return (assert(bpf.assemble(programs, options)))
end

local function load(programs, options)
  return assert(bpf.load { bytes = assemble(programs, options) })
end

local function refused(programs, options)
  local bytes, message, code = bpf.assemble(programs, options)
  assert.is_nil(bytes)
  assert.equal("EINVAL", code)
  return message
end

-- One program for a raw tracepoint, in an object of its own, which is run once.
local function run(fn, options)
  local obj <close> = load({ program = { "raw_tp/sys_enter", fn } }, options)
  return assert(obj.progs.program:run {}).retval
end

-- The number behind a name in a file of /proc/self.
local function proc(file, pattern)
  local text = helper.read("/proc/self/" .. file)
  return math.tointeger(assert(tonumber(text:match(pattern)), text))
end

local function rename(name)
  local file <close> = assert(io.open("/proc/self/comm", "w"))
  assert(file:write(name))
end

-- Checks what the object's programs have seen of this process.
local function check_tasks(bytes)
  local obj <close> = assert(bpf.load { bytes = bytes })
  local was = helper.read("/proc/self/comm"):gsub("\n", "")
  local flags = math.tointeger(tonumber((helper.read("/proc/self/stat"):match("%) %S+ %S+ %S+ %S+ %S+ %S+ (%d+)"))))
  local here, there = lfs.currentdir(), helper.bpffs() -- whose inodes are no other file system's
  assert(lfs.mkdir(there .. "/inner"))
  obj.maps.us[0] = me
  rename("a lua")
  assert(lfs.chdir(there))
  assert(obj:attach())
  rename("a lua")
  attach.detach(obj)
  assert(lfs.chdir(here))
  rename(was)
  local node = helper.read("/proc/sys/kernel/hostname"):gsub("\n", "")
  for n = 0, 1 do
    local seen = obj.maps.tasks[n]
    assert.is_true(seen.count > 0, "the program did not run")
    assert.equal(me, seen.tgid)
    assert.equal(me, seen.pid)
    assert.equal(proc("status", "PPid:%s*(%d+)"), seen.parent)
    assert.equal(flags & 0x200000, seen.flags & 0x200000) -- PF_KTHREAD
    assert.is_true(seen.flags > 0xff, "the flags are cut")
    assert.equal(0, seen.priority)
    assert.equal(0, seen.reset_on_fork)
    assert.equal(proc("status", "Uid:%s*(%d+)"), seen.uid)
    assert.is_true(seen.usage > 0 and seen.usage < 100)
    assert.equal(lfs.attributes(there, "nlink"), seen.nlink)
    assert.equal(proc("limits", "Max stack size%s+(%d+)"), seen.stack)
    assert.equal("a lua", seen.comm)
    assert.equal(1, seen.is_lua)
    assert.equal((" "):byte(), seen.second)
    assert.equal(node, seen.node)
    assert.equal(1, seen.has)
    assert.equal(0, seen.state) -- running
  end
end

describe("members of kernel structs", function()
  it("are read as this kernel has them, by helpers and by loads", function()
    check_tasks(assemble(assembled.programs()))
  end)

  it("are read as this kernel has them where the object was made for other offsets and sizes", function()
    check_tasks(assemble(assembled.programs(), { btf = FOREIGN }))
  end)

  it("are read as this kernel has them by an object of another machine", function()
    if lfs.attributes(assembled.path, "size") == nil then
      helper.skip("the machine that built this has no " .. assembled.btf)
    end
    check_tasks(helper.read(assembled.path))
  end)

  it("are relocated by bpftool as well", function()
    local path = helper.write(helper.tmpdir() .. "/assembled.o", assemble(assembled.programs(), { btf = FOREIGN }))
    local dir = helper.bpffs()
    local output, ok = helper.run(("bpftool prog loadall %s %s/assembled"):format(path, dir))
    assert.is_true(ok, output)
    assert.same({ "by_helper", "by_pointer" }, helper.entries(dir .. "/assembled"))
  end)

  it("may be bit-fields", function()
    local obj <close> = load({
      bits = { "raw_tp/sys_enter", function()
        return bpf.cast(call.get_current_task(), "struct task_struct").sched_reset_on_fork
      end },
    }, { btf = FOREIGN })
    local answers = {}
    for _, policy in ipairs { "--other", "--reset-on-fork --other" } do
      local command = ("chrt %s 0 %s -e %s"):format(policy, helper.LUA, helper.quote(([[
        local bpf = require "bpf"
        local prog = assert(bpf.prog.by_id(%d))
        print(assert(prog:run {}).retval)
      ]]):format(obj.progs.bits:info().id)))
      answers[#answers + 1] = helper.run(command):match("^%d+")
    end
    assert.same({ "0", "1" }, answers)
  end)

  it("may be elements of arrays, also in loops, and of unions that have structs without a name", function()
    local bytes <close> = assert(map.create { type = "array", max_entries = 1, value = "struct { __u64 n[64]; }" })
    local list = {}
    for n = 1, 64 do
      list[n] = 0xfefefefefefefefe
    end
    bytes[0] = { n = list }
    local programs = { program = { "raw_tp/sys_enter", function()
      local entry = bytes[0]
      local devconf, attr = bpf.cast(entry, "struct ipv4_devconf"), bpf.cast(entry, "union bpf_attr")
      return devconf.data[3] == -0x1010102 and attr.value_size == 0xfefefefe and 1 or 0
    end } }
    local object, maps = bpf.assemble(programs)
    local obj <close> = assert(bpf.load({ bytes = object }, { maps = maps }))
    assert.equal(1, assert(obj.progs.program:run {}).retval)
    assert.is_true(obj.progs.program:info().btf_id > 0, "the kernel refused the BTF")
    local sum = run(function()
      local task = bpf.cast(call.get_current_task(), "struct task_struct")
      local limits, comm, n = task.signal.rlim, task.comm, 0
      for i = 1, math.min(call.get_prandom_u32() % 4 + 4, 4) do
        n = n + (comm[i] or 0) + (limits[4].rlim_cur >> 20)
      end
      return n
    end, { btf = FOREIGN })
    local comm = helper.read("/proc/self/comm")
    assert.equal(comm:byte(1) + comm:byte(2) + comm:byte(3) + comm:byte(4)
      + 4 * (proc("limits", "Max stack size%s+(%d+)") >> 20), sum)
  end)

  it("of a process's memory aren't relocated", function()
    assert.equal(0, run(function() return bpf.cast(0, "struct task_struct", "user").pid end, { btf = FOREIGN }))
  end)
end)

describe("bpf.has", function()
  local function current()
    return bpf.cast(call.get_current_task(), "struct task_struct")
  end

  it("asks the kernel that loads the object", function()
    assert.equal(1, run(function() return bpf.has(current(), "tgid") and 1 or 0 end, { btf = FOREIGN }))
    assert.equal(0, run(function() return bpf.has(current(), "no_such_member") and 1 or 0 end, { btf = FOREIGN }))
  end)

  it("lets a program read a member that isn't there, in the branch that isn't taken", function()
    local fn = function()
      local task = current()
      return bpf.has(task, "no_such_member") and task.no_such_member or 7
    end
    assert.equal(7, run(fn, { btf = FOREIGN }))
  end)

  it("takes the type of a member that the maker's kernel lacks", function()
    local obj <close> = load({ program = { "raw_tp/sys_enter", function()
      local task = current()
      if bpf.has(task, "exit_signal", "int") then
        return task.exit_signal
      end
      return -1
    end } }, { btf = FOREIGN })
    assert.equal(17, assert(obj.progs.program:run {}).retval) -- SIGCHLD
  end)

  it("is false of a member that the maker's kernel lacks and that has no type", function()
    assert.equal(0, run(function() return bpf.has(current(), "exit_signal") and 1 or 0 end, { btf = FOREIGN }))
  end)

  it("is a constant for the running kernel: what follows from false isn't compiled", function()
    local prog <close> = assert(bpf.program("raw_tp/sys_enter", function()
      local task = current()
      if bpf.has(task, "no_such_member", "long") then
        return task.no_such_member
      end
      return bpf.has(task, "tgid") and 2 or 3
    end))
    assert.equal(2, assert(prog:run {}).retval)
  end)

  it("says what is wrong", function()
    local function message(fn)
      return refused({ program = { "raw_tp/sys_enter", fn } })
    end
    assert.matches("bpf.has: a struct and the name of a member are expected$",
      message(function() return bpf.has(1, "tgid") end))
    assert.matches("bpf.has: a struct and the name of a member are expected$",
      message(function() return bpf.has(current(), 1) end))
    assert.matches("bpf.has: the type of the member is expected as a constant string, this is an integer$",
      message(function() return bpf.has(current(), "no_such_member", 1) end))
    assert.matches("bpf.has: 'struct' is not a type$",
      message(function() return bpf.has(current(), "no_such_member", "struct") end))
    helper.raises(function() bpf.has({}, "x") end, "bpf.has can be called in a BPF program only")
  end)
end)

describe("records of tracepoints", function()
  it("are found in BTF by name, without tracefs, and are relocated", function()
    local execs = map.declare {
      type = "hash", max_entries = 64, key = "char[32]", value = "struct { __s64 pid, here; }",
    }
    local us = me
    local obj <close> = load({ program = { "tp/sched/sched_process_exec", function(ctx)
      local task = bpf.cast(call.get_current_task(), "struct task_struct")
      if task.real_parent.tgid == us then
        execs[ctx.filename] = { pid = ctx.pid, here = task.pid }
      end
    end } }, { btf = FOREIGN })
    assert(obj:attach())
    os.execute(":")
    obj:detach()
    local seen = obj.maps.execs["/bin/sh"]
    assert.is_not_nil(seen, "the program did not see the shell")
    assert.is_true(seen.pid > 0)
    assert.equal(seen.here, seen.pid)
  end)

  it("of a class are found by their layout", function()
    local bytes = assemble({ program = { "tp/sched/sched_wakeup", function(ctx) return ctx.pid end } })
    assert(bpf.load { bytes = bytes }):close()
    assert.matches("trace_event_raw_sched_wakeup_template", bytes, 1, true)
  end)

  it("of system calls are those of tracefs", function()
    local obj <close> = load({ program = { "tp/syscalls/sys_enter_openat", function(ctx)
      return call.probe_read_user_str(ctx.filename) == "/" and 1 or 0
    end } })
    assert.equal("tracepoint", obj.progs.program:info().type)
  end)

  it("that the BTF has no struct for are an error", function()
    assert.matches("^bpf.assemble: spec/lua/program_assemble_spec.lua:%d+: the kernel's BTF has no struct for the "
      .. "tracepoint sched/sched_wakeup$",
      refused({ program = { "tp/sched/sched_wakeup", function(ctx) return ctx.pid end } }, { btf = FOREIGN }))
  end)
end)

describe("map.declare", function()
  it("declares a map that the loader creates, with the types of its keys and values", function()
    local flows = map.declare {
      type = "hash", max_entries = 16, key = "struct key { __u32 port; unsigned char mac[6]; char name[6]; }",
      value = "struct val { __u64 n; union { int a; struct { short b, c; } d; }; int low : 4; }",
    }
    local bytes, maps = bpf.assemble({ program = { "xdp", function()
      flows[{ port = 80, mac = "abcdef", name = "lo" }] = { n = 5, a = 7, low = 3 }
      return 2
    end } })
    assert.same({}, maps)
    local obj <close> = assert(bpf.load { bytes = bytes })
    assert(obj.progs.program:run { data = ("\0"):rep(64) })
    assert.same({ n = 5, a = 7, d = { b = 7, c = 0 }, low = 3 },
      obj.maps.flows[{ port = 80, mac = "abcdef", name = "lo" }])
  end)

  it("is for bpf.programs as well, and for maps of every kind", function()
    local counts = map.declare { type = "percpu_array", max_entries = 2, value = "__u64", name = "by_name" }
    local queue = map.declare { type = "queue", max_entries = 8, value = "__u32" }
    local trie = map.declare { type = "lpm_trie", max_entries = 8, key = "struct { __u32 len, a; }", value = 4 }
    local outer = map.declare { type = "hash_of_maps", max_entries = 8, key = "__u32",
      inner = { type = "array", max_entries = 1, value = "__u64" } }
    local perf = map.declare { type = "perf_event_array" }
    local storage = map.declare { type = "hash", max_entries = 8, key_size = 4, value_size = 8, flags = "no_prealloc" }
    local Record = bpf.btf.type "struct { __u64 x; }"
    local obj <close> = assert(bpf.programs { program = { "raw_tp/sys_enter", function()
      counts[0] = counts[0] + 1
      map.push(queue, 17)
      call.perf_event_output(perf, Record, { x = 1 })
      return (trie[{ len = 32, a = 1 }] and 1 or 0) + (outer[1] and 1 or 0) + (storage["abcd"] and 1 or 0)
    end } })
    assert.equal(0, assert(obj.progs.program:run {}).retval)
    assert.equal(1, map.sum(obj.maps.by_name, 0))
    assert.equal(17, map.pop(obj.maps.queue))
    local inner <close> = assert(map.create { type = "array", max_entries = 1, value = "__u64" })
    obj.maps.outer[1] = inner
    assert.equal(1, assert(obj.progs.program:run {}).retval)
    assert.equal(1, map.info(obj.maps.storage).map_flags)
  end)

  it("gives objects maps that bpftool shows", function()
    local hits = map.declare { type = "array", max_entries = 4, value = "struct hit { __u64 count; }" }
    local path = helper.write(helper.tmpdir() .. "/hits.o", assemble({ hit = { "xdp", function()
      hits[3].count = 9
      return 2
    end } }))
    local dir = helper.bpffs()
    local output, ok = helper.run(("bpftool prog load %s %s/hit type xdp pinmaps %s"):format(path, dir, dir))
    assert.is_true(ok, output)
    assert.matches('"count": 0', (helper.run(("bpftool map dump pinned %s/hits"):format(dir))))
  end)

  it("raises an error for options that are wrong", function()
    local function raises(options, pattern)
      helper.raises(function() map.declare(options) end, "program_assemble_spec.lua:%d+: " .. pattern)
    end
    raises({}, "map.declare: option 'type' is missing")
    raises({ type = "table" }, "map.declare: there is no map type 'table'")
    raises({ type = "hash", max_entries = "1" },
      "map.declare: option 'max_entries' must be an integer, got string")
    raises({ type = "hash", token = 1 }, "map.declare: there is no option 'token' %(options: type, key, .*, inner%)")
    raises({ type = "hash", key = "struct nothing" }, "map.declare: option 'key': 'struct nothing' is neither")
    raises({ type = "hash", key = {} }, "map.declare: option 'key' must be a C type or a size, got table")
    raises({ type = "hash", key = 4, key_size = 4 }, "map.declare: give key or key_size, not both")
    raises({ type = "hash", flags = { "quick" } }, "map.declare: there is no flag 'quick'")
    raises({ type = "array_of_maps", inner = 1 },
      "map.declare: option 'inner' must be a map or a table of options, got number")
    raises({ type = "array_of_maps", inner = { type = "hash", size = 1 } }, "map.declare: there is no option 'size'")
    raises(1, "bad argument #1 to 'declare' %(table expected, got number%)")
  end)

  it("gives what can't be used in a script", function()
    local hits = map.declare { type = "hash", name = "hits", key = 4, value = 4, max_entries = 1 }
    assert.equal("bpf.map.declare: hash hits", tostring(hits))
    helper.raises(function() return hits[1] end, "a declared map has no entries, such as '1'")
    helper.raises(function() hits.x = 1 end, "a declared map takes no entries, such as 'x'")
    helper.raises(function() map.scan(hits, function() end) end, "bpf.map expected")
  end)
end)

describe("bpf.assemble", function()
  it("needs no privileges where it gets a file of BTF", function()
    local code = [[
      local assembled = require "spec.support.assembled"
      local bpf = require "bpf"
      print(#assert(bpf.assemble(assembled.programs(), { btf = "]] .. FOREIGN .. [[" })))
    ]]
    local output, ok = helper.run(("setpriv --bounding-set=-all --inh-caps=-all %s -e %s"):format(helper.LUA,
      helper.quote(code)))
    assert.is_true(ok, output)
    assert.matches("^%d+\n$", output)
  end)

  it("gives the same bytes for the same programs", function()
    assert.equal(assemble(assembled.programs()), assemble(assembled.programs()))
  end)

  it("leaves no trace in programs for the running kernel", function()
    local fn = function() return bpf.cast(call.get_current_task(), "struct task_struct").tgid end
    assemble({ program = { "raw_tp/sys_enter", fn } }, { btf = FOREIGN })
    local prog <close> = assert(bpf.program("raw_tp/sys_enter", fn))
    assert.equal(me, assert(prog:run {}).retval)
  end)

  it("tells why it can't read a file of BTF", function()
    local bytes, message, code = bpf.assemble(assembled.programs(), { btf = helper.absent() })
    assert.is_nil(bytes)
    assert.equal("ENOENT", code)
    assert.matches("^bpf.assemble: .*/absent", message)
    helper.raises(function() bpf.assemble(assembled.programs(), { btf = 1 }) end,
      "bpf.assemble: option 'btf' must be a string, got number")
    helper.raises(function() bpf.assemble(assembled.programs(), { vars = {} }) end,
      "bpf.assemble: there is no option 'vars' %(options: btf, ctx_type, license%)")
  end)
end)

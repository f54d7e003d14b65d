-- SPDX-License-Identifier: MIT
-- Programs written in Lua for the kernel's functions, probes and security hooks, iterators, and calls by the script.
local lfs = require("lfs")

local bpf = require("bpf")
local attach = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
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

-- What a program that sees no context of ours may count: only this process's.
local function mine(pid)
  return call.get_current_pid_tgid() >> 32 == pid
end

-- Has the kernel read six bytes of a file.
local function read_ostype()
  local file <close> = assert(io.open("/proc/sys/kernel/ostype"))
  file:setvbuf("no")
  assert.equal("Linux\n", file:read(6))
end

describe("a program of a function of the kernel's", function()
  setup(function() attach.need_functions("programs of functions") end)

  it("gets the arguments, as fentry, and the result behind them, as fexit", function()
    local pid = me
    local seen <close> = hash("char[32]", "struct { __u64 count; __s64 result; char comm[16]; }")
    local on_entry <close> = load("fentry/vfs_read", function(file, _, count)
      if mine(pid) then
        seen[call.probe_read_kernel_str(file.f_path.dentry.d_name.name)] = {
          count = count, comm = call.get_current_comm(),
        }
      end
    end)
    local on_exit <close> = load("fexit/vfs_read", function(file, _, _, _, result)
      local found = mine(pid) and seen[call.probe_read_kernel_str(file.f_path.dentry.d_name.name)]
      if found then
        found.result = result
      end
    end)
    local one <close> = assert(on_entry:attach())
    local other <close> = assert(on_exit:attach())
    read_ostype()
    local found = seen.ostype
    assert.same({ true, 6 }, { found.count >= 6, found.result })
    assert.is_truthy(one and other)
    assert.matches("the kernel has no function 'lbpf_nothing'",
      refused("fentry/lbpf_nothing", function(a) return a end))
    assert.matches("vfs_read has 4 arguments, and the function takes 5",
      refused("fentry/vfs_read", function(_, _, _, _, e) return e end))
  end)

  it("answers in its place, as fmod_ret", function()
    local pid = me
    local prog <close> = load("fmod_ret/security_inode_rename", function(_, dentry)
      if mine(pid) and dentry.d_inode.i_ino ~= 0 then return -1 end
      return 0
    end)
    local from = helper.write(helper.tmpdir() .. "/from", "")
    local link = assert(prog:attach())
    local ok, _, number = os.rename(from, from .. "-to")
    link:close()
    assert.same({ nil, 1 }, { ok, number })
    assert.is_true(os.rename(from, from .. "-to"))
  end)
end)

describe("a program of a process's function that may sleep", function()
  it("waits for memory of the process", function()
    kernel.need("uprobes that may sleep", "6.0")
    if kernel.config("CONFIG_UPROBE_EVENTS") == "n" then
      helper.skip("uprobes need a kernel with CONFIG_UPROBE_EVENTS")
    end
    local pid = me
    local Text = bpf.btf.type "struct { char text[8]; }"
    local seen <close> = hash("__u32", "char[8]")
    local prog <close> = load("uprobe.s/libc.so.6:getenv", function(name)
      if mine(pid) then
        local text = call.copy_from_user(Text, name)
        if text then
          seen[1] = text.text
        end
      end
    end)
    local link <close> = assert(prog:attach())
    os.getenv "LBPFNAME"
    assert.equal("LBPFNAME", seen[1])
    assert.is_truthy(link)
  end)
end)

describe("a program of the security module's", function()
  setup(function()
    kernel.need("LSM programs", "5.7")
    local active <close> = io.open("/sys/kernel/security/lsm")
    if kernel.config("CONFIG_BPF_LSM") == "n" or active and not active:read("a"):find("bpf", 1, true) then
      helper.skip("LSM programs need CONFIG_BPF_LSM and bpf in the kernel's list of LSMs (lsm=)")
    end
    attach.need_functions("LSM programs")
  end)

  it("forbids by an error number", function()
    local pid = me
    local dir = helper.tmpdir()
    local file = helper.write(dir .. "/secret", "")
    local prog <close> = load("lsm/file_open", function(opened)
      if mine(pid) and call.probe_read_kernel_str(opened.f_path.dentry.d_name.name) == "secret" then return -13 end
      return 0
    end)
    local link = assert(prog:attach())
    local ok, _, number = io.open(file)
    link:close()
    assert.same({ nil, 13 }, { ok, number })
    assert(io.open(file)):close()
  end)
end)

describe("a program of a probe in the kernel", function()
  setup(function()
    if kernel.config("CONFIG_KPROBE_EVENTS") == "n" or kernel.config("CONFIG_KPROBES") == "n" then
      helper.skip("kprobes need a kernel with CONFIG_KPROBE_EVENTS")
    end
  end)

  it("gets the arguments of a function, as kprobe, and its result, as kretprobe", function()
    local pid = me
    local seen <close> = hash("char[32]", "__u64")
    local results <close> = hash("__u64", "__s64")
    local on_call <close> = load("kprobe/vfs_read", function(file, _, count)
      if mine(pid) then seen[call.probe_read_kernel_str(file.f_path.dentry.d_name.name)] = count end
    end)
    local on_return <close> = load("kretprobe/vfs_read", function(result)
      if mine(pid) and result == 6 then results[1] = result end
    end)
    local one <close> = assert(on_call:attach())
    local other <close> = assert(on_return:attach())
    read_ostype()
    assert.is_true(seen.ostype >= 6)
    assert.equal(6, results[1])
    assert.is_truthy(one and other)
  end)

  it("gets the arguments of a system call, as ksyscall, and its result", function()
    local pid = me
    local seen <close> = hash("char[64]", "struct { __s32 dfd; __s32 flags; }")
    local results <close> = hash("__u64", "__s64")
    local on_call <close> = load("ksyscall/openat", function(dfd, path, flags)
      if mine(pid) then
        seen[call.probe_read_user_str(path)] = { dfd = dfd, flags = flags & 3 }
      end
    end)
    local on_return <close> = load("kretsyscall/openat", function(result)
      if mine(pid) then results[1] = result end
    end)
    local one <close> = assert(on_call:attach())
    local other <close> = assert(on_return:attach())
    assert.is_nil((io.open(ABSENT, "r+")))
    assert.same({ dfd = -100, flags = 2 }, seen[ABSENT])
    assert.equal(-2, results[1])
    assert.is_truthy(one and other)
  end)

  it("is attached to many functions, as kprobe.multi", function()
    kernel.need("kprobe.multi", "5.18")
    if kernel.config("CONFIG_FPROBE") == "n" then
      helper.skip("kprobe.multi needs a kernel with CONFIG_FPROBE")
    end
    local pid = me
    local seen <close> = hash()
    local prog <close> = load("kprobe.multi/vfs_rea*", function(file)
      if mine(pid) then
        local f = bpf.cast(file, "struct file")
        seen[f.f_inode.i_ino] = 1
      end
    end)
    local link <close> = assert(prog:attach())
    read_ostype()
    assert.equal(1, seen[lfs.attributes("/proc/sys/kernel/ostype", "ino")])
    assert.is_truthy(link)
  end)

  it("sees a call and its return, as kprobe.session", function()
    kernel.need("kprobe.session", "6.10")
    kernel.libbpf("kprobe.session", "1.5")
    local pid = me
    local seen <close> = hash()
    local prog <close> = load("kprobe.session/vfs_read", function()
      if mine(pid) then seen[1] = (seen[1] or 0) + 1 end
    end)
    local link <close> = assert(prog:attach())
    read_ostype()
    assert.is_true(seen[1] >= 2)
    assert.is_truthy(link)
  end)
end)

describe("an iterator's program", function()
  setup(function() kernel.need("iterators", "5.9") end)

  it("goes over tasks", function()
    local pid = me
    local Task = bpf.btf.type "struct { __u32 pid; char comm[16]; }"
    local prog <close> = load("iter/task", function(ctx)
      local task = ctx.task
      if task.tgid == pid and task.pid == pid then
        call.seq_write(ctx.meta.seq, Task, { pid = task.tgid, comm = task.comm })
      end
      return 0
    end)
    local link <close> = assert(prog:attach_iter())
    local found
    for record in link:records(Task) do
      assert.is_nil(found)
      found = record
    end
    assert.equal(me, found.pid)
    assert.is_true(#found.comm > 0)
  end)

  it("goes over the entries of a map", function()
    local Pair = bpf.btf.type "struct { __u32 key; __u64 value; }"
    local m <close> = hash("__u32")
    local prog <close> = load("iter/bpf_map_elem", function(ctx)
      local key = bpf.cast(ctx.key, "struct { __u32 n; }")
      local value = bpf.cast(ctx.value, "struct { __u64 n; }")
      call.seq_write(ctx.meta.seq, Pair, { key = key.n, value = value.n })
      return 0
    end)
    local expected, seen = {}, {}
    for i = 1, 9 do
      m[i], expected[i] = i * i, i * i
    end
    local link <close> = assert(prog:attach_iter { map = m })
    for pair in link:records(Pair) do
      seen[pair.key] = pair.value
    end
    assert.same(expected, seen)
    assert.matches("the kernel has no struct bpf_iter__nothing", refused("iter/nothing", function() return 0 end))
  end)
end)

describe("a program of type syscall", function()
  it("gets what the script hands over, and may change it", function()
    kernel.need("programs of type syscall", "5.14")
    local Sum = bpf.btf.type "struct sum { __s64 a; __s64 b; __s64 result; }"
    local prog <close> = load("syscall", function(ctx)
      ctx.result = ctx.a + ctx.b
      return 3
    end, { ctx_type = Sum })
    local answer = assert(prog:run { ctx = Sum:encode { a = 40, b = 2, result = 0 } })
    assert.equal(3, answer.retval)
    assert.equal(42, Sum:decode(answer.ctx).result)
    assert.matches("a context without the option ctx_type has no member 'a'", refused("syscall", function(ctx)
      return ctx.a
    end))
  end)

  it("reads and writes bit-fields of any width", function()
    kernel.need("programs of type syscall", "5.14")
    local Bits = bpf.btf.type [[struct {
      __u32 a : 5, b : 3, c : 24; __u64 d : 33, e : 31; __s32 f : 7, g : 20; _Bool h : 1, i : 1;
    }]]
    local seen <close> = hash()
    local prog <close> = load("syscall", function(ctx)
      seen[1], seen[2], seen[3], seen[4], seen[5] = ctx.a, ctx.b, ctx.c, ctx.d, ctx.e
      ctx.c = 0x777777
      return (ctx.f == -3 and 1 or 0) + (ctx.g == -70000 and 2 or 0) + (ctx.h and 4 or 0) + (ctx.i and 8 or 0)
    end, { ctx_type = Bits })
    local answer = assert(prog:run { ctx = Bits:encode { a = 17, b = 5, c = 0xabcdef, d = 1 << 32, e = 0x7fffffff,
      f = -3, g = -70000, h = true, i = false } })
    assert.equal(7, answer.retval)
    assert.same({ 17, 5, 0xabcdef, 1 << 32, 0x7fffffff }, { seen[1], seen[2], seen[3], seen[4], seen[5] })
    local after = Bits:decode(answer.ctx)
    assert.same({ 17, 5, 0x777777 }, { after.a, after.b, after.c })
  end)

  it("has what Lua has where a condition stands before a look-up", function()
    kernel.need("programs of type syscall", "5.14")
    local In = bpf.btf.type "struct { __s64 a; __s64 k; }"
    local entries <close> = hash("__u32", "struct { __u64 n; }")
    local numbers <close> = hash("__u32")
    entries[1], numbers[1] = { n = 5 }, 7
    local function results(fn)
      local prog <close> = load("syscall", fn, { ctx_type = In })
      local list = {}
      for n, case in ipairs { { a = 1, k = 1 }, { a = 1, k = 2 }, { a = 0, k = 1 } } do
        list[n] = assert(prog:run { ctx = In:encode(case) }).retval
      end
      return list
    end
    assert.same({ 6, 99, 99 }, results(function(ctx)
      local entry = ctx.a > 0 and entries[ctx.k]
      if entry then
        entry.n = entry.n + 1
        return entry.n
      end
      return 99
    end))
    assert.same({ 7, 98, 98 }, results(function(ctx)
      local n = ctx.a > 0 and numbers[ctx.k]
      if not n then return 98 end
      return n
    end))
    assert.matches("this may be nil or false: test it by 'if', or 'not'", refused("syscall", function(ctx)
      local n = ctx.a > 0 and numbers[ctx.k]
      return n == nil
    end, { ctx_type = In }))
  end)

  it("says which map a program that may sleep can't use", function()
    kernel.need("programs of type syscall", "5.14")
    local routes <close> = assert(map.create { type = "lpm_trie", max_entries = 8, value = "__u32",
      key = "struct { __u32 prefixlen; __u8 address[4]; }" })
    local plain <close> = hash()
    local prog, message, code = bpf.program("syscall", function()
      plain[1] = 2
      routes[{ prefixlen = 32, address = "\10\0\0\1" }] = 2
    end)
    if not prog then
      assert.equal("EINVAL", code)
      assert.matches("program_probes_spec.lua:%d+: this kernel refuses maps of type lpm_trie in programs that may "
        .. "sleep: ", message)
    end
    assert.is_truthy(prog or message)
  end)
end)

describe("a struct that a function takes by value", function()
  -- The loads of the words of a context, by their offsets, as they are in the object.
  local function loads(section, fn)
    local bytes = assert(bpf.assemble { a = { section, fn } })
    local found = {}
    for word in bytes:gmatch("\x79.......") do -- r = *(u64 *)(r + offset)
      found[#found + 1] = (string.unpack("<i2", word, 3))
    end
    return table.concat(found, " ")
  end

  it("takes as many words as it is long", function()
    if not types.of_kernel("sockptr_t") or types.of_kernel("sockptr_t").size ~= 16 then
      helper.skip("needs a kernel with sockptr_t")
    end
    local m <close> = hash()
    local function keep(_, _, _, value, length)
      m[1] = value.is_kernel and 1 or 0
      m[2] = length
    end
    assert.matches("24 32 40", loads("fentry/tcp_setsockopt", keep))
    if helper.run("uname -m"):find("x86_64") then
      assert.matches("88 72 64", loads("kprobe/tcp_setsockopt", keep))
    end
  end)
end)

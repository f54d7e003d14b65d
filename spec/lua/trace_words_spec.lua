-- SPDX-License-Identifier: MIT
-- The names that bodies of a trace have at hand, compiled with environments made by hand and attached to the real
-- thing.
local bpf = require "bpf"
local attach = require "spec.support.attach"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local kinds = require "spec.support.kinds"
local program = require "bpf.program"
local words = require "bpf.trace.words"

local map = bpf.map

kernel.root()

local me -- this process's id

local function stat(n)
  local file <close> = assert(io.open("/proc/self/stat"))
  local fields = {}
  for field in file:read("a"):gsub("%b()", "name"):gmatch("%S+") do
    fields[#fields + 1] = field
  end
  return tonumber(fields[n])
end

setup(function() me = stat(1) end)

local State = "struct { long long n; long long m; char text[64]; long long flag; }"

local VARIABLES = { n = { variable = true }, m = { variable = true }, text = { variable = true },
  flag = { variable = true } }

-- Loads a body for a section. Returns the object, whose variable has what the body assigned; or nil and a message.
local function load_body(section, body, made, options)
  local variables = bpf.var(State)
  local environment = words.environment(VARIABLES, made, variables)
  local fn = assert(load("return function(args) " .. body .. "\nend", "=" .. section, "t", environment))()
  local list = { { name = "body", section = section, fn = fn, probe = words.probe(section, options) } }
  return program.load_programs("bpf.trace", list, { lenient = true }, { name = "trace" })
end

-- Runs a body for a section while `action` runs, and returns its variables.
local function traced(section, body, action, made, options)
  local obj <close> = assert(load_body(section, body, made, options))
  do
    local link <close> = assert(obj.progs.body:attach())
    action()
    assert(link)
  end
  return obj.vars.variable
end

local OPEN <const> = "tracepoint/syscalls/sys_enter_openat"
local MINE <const> = "if pid ~= me then return end "

local function open()
  local file = io.open("/proc/self/status")
  file:close()
end

local function opened(body, made, options)
  made = made or {}
  made.me = me
  return traced(OPEN, MINE .. body, open, made, options)
end

describe("names at hand", function()
  it("are the process, the thread, its user and its parent", function()
    local found = opened "n = pid m = tid"
    assert.equal(me, found.n)
    assert.equal(me, found.m)
    found = opened "n = uid m = ppid"
    assert.equal(0, found.n)
    assert.equal(stat(4), found.m)
  end)

  it("are of the tool's own namespace of pids", function()
    local code = [=[
      local bpf, program, words = require "bpf", require "bpf.program", require "bpf.trace.words"
      local me = io.open("/proc/self/stat"):read("n")
      local var = bpf.var "struct { long long n; long long m; long long child; }"
      local shared = { n = { variable = true }, m = { variable = true }, child = { variable = true } }
      local environment = words.environment(shared, { me = me }, var)
      local body = "return function() if pid == me then n = n + 1 m = tid elseif pid > me and ppid == me then " ..
        "child = pid end end"
      local fn = load(body, "=body", "t", environment)()
      local section = "raw_tp/sys_enter"
      local list = { { name = "body", section = section, fn = fn, probe = words.probe(section) } }
      local obj = assert(program.load_programs("bpf.trace", list, { lenient = true }, { name = "trace" }))
      local link <close> = assert(obj.progs.body:attach())
      os.execute("true")
      print(me, obj.vars.variable.n > 0, obj.vars.variable.m, obj.vars.variable.child > me)]=]
    local output = helper.run(("unshare --pid --fork --mount-proc %s -e %s"):format(helper.LUA, helper.quote(code)))
    assert.equal("1\ttrue\t1\ttrue\n", output)
  end)

  it("are names of the process and its parent", function()
    local file <close> = io.open("/proc/self/comm")
    local comm = file:read("l")
    assert.equal(comm, opened("text = comm").text)
    local parent <close> = io.open(("/proc/%d/comm"):format(stat(4)))
    assert.equal(parent:read("l"), opened("text = pcomm").text)
    assert.equal(1, opened('if comm == "' .. comm .. '" then n = 1 end').n)
  end)

  it("are the CPU, the cgroup, the time and the number of the probe", function()
    local before = bpf.clock()
    local found = opened("n = nsecs m = elapsed", nil, { began = before })
    assert.is_true(found.n >= before and found.n <= bpf.clock())
    assert.is_true(found.m >= 0 and found.m <= found.n - before + 1000000)
    found = opened("n = cpu m = cgroup flag = probe", nil, { index = 7 })
    assert.is_true(found.n >= 0 and found.m > 0)
    assert.equal(7, found.flag)
  end)

  it("are members of the task", function()
    assert.equal(me, opened("n = task.tgid").n)
  end)

  it("are stacks, of a depth", function()
    -- Up to Linux 6.1 at least, records of single system calls come without a stack of the kernel.
    local found = traced("tracepoint/raw_syscalls/sys_enter", MINE .. "n = kstack m = ustack(3) flag = kstack(2)", open,
      { me = me })
    assert.equal(127, found.n >> 16)
    assert.equal(2, found.flag >> 16)
    assert.is_true(found.m >> 16 == 3 or found.m < 0)
  end)

  it("can't be taken for what is shared", function()
    assert.is_true(words.is_taken("pid"))
    assert.is_true(words.is_taken("arg0"))
    assert.is_true(words.is_taken("str"))
    assert.is_true(words.is_taken("args"))
    assert.is_false(words.is_taken("start"))
    local obj, message = load_body(OPEN, "pid = 1")
    assert.is_nil(obj)
    assert.matches("'pid' can't be assigned", message)
  end)

  it("are read once where nothing can have changed", function()
    local list = { { name = "body", section = OPEN, probe = words.probe(OPEN) } }
    local sizes = {}
    for n, body in ipairs { "n = tid", "n = tid m = tid + tid" } do
      local environment = words.environment(VARIABLES, {}, bpf.var(State))
      list[1].fn = load("return function(args) " .. body .. " end", "=body", "t", environment)()
      local obj <close> = program.load_programs("bpf.trace", list, { lenient = true }, { name = "trace" })
      local _, calls = obj.progs.body:info().xlated_prog_len, 0
      sizes[n] = _ or calls
    end
    assert.is_true(sizes[2] - sizes[1] <= 5 * 8)
  end)
end)

describe("arguments", function()
  it("of tracepoints have the names of their fields", function()
    local found = opened "if args.flags == 0 then text = str(args.filename) end"
    assert.equal("/proc/self/status", found.text)
  end)

  it("of tracepoints that are addresses of structs lead there", function()
    local asleep = "tracepoint/syscalls/sys_enter_clock_nanosleep"
    local found = traced(asleep, "if ppid == me then n = args.rqtp.tv_nsec end", function()
      os.execute("exec sleep 0.001")
    end, { me = me })
    assert.equal(1000000, found.n // 1000 * 1000) -- some commands round up
    local rq <close> = assert(map.create { type = "hash", max_entries = 64, key = "__u64",
      value = "struct __kernel_timespec *" })
    local shared = { rq = { table = true, value = { kind = "pointer", space = "user" } }, n = { variable = true } }
    local environment = words.environment(shared, { rq = rq, me = me }, bpf.var(State))
    local body = "return function(args) rq[tid] = args.rqtp if ppid == me then n = rq[tid].tv_nsec end end"
    local fn = assert(load(body, "=body", "t", environment))()
    local list = { { name = "body", section = asleep, fn = fn, probe = words.probe(asleep) } }
    local obj <close> = assert(program.load_programs("bpf.trace", list, { lenient = true }, { name = "trace" }))
    do
      local link <close> = assert(obj.progs.body:attach())
      os.execute("exec sleep 0.001")
      assert.is_true(link ~= nil)
    end
    assert.equal(1000000, obj.vars.variable.n // 1000 * 1000)
  end)

  it("of exits have the result", function()
    local found = traced("tracepoint/syscalls/sys_exit_openat", "if pid == me then n = ret m = args.ret end",
      open, { me = me })
    assert.is_true(found.n > 2)
    assert.equal(found.n, found.m)
  end)

  it("of raw tracepoints have the names of BTF", function()
    local section <const> = "raw_tp/sys_enter"
    local found = traced(section, "if pid == me then n = args.id m = arg1 end", open, { me = me })
    assert.is_true(found.n > 0)
    assert.is_true(found.m > 0)
    found = traced("raw_tp/sched_process_exec", "if ppid == me then text = str(args.bprm.filename) end",
      function() os.execute("exec /bin/true") end, { me = me })
    assert.matches("/true$", found.text)
  end)

  it("of functions in a process are numbers", function()
    local found = traced("uprobe/libc.so.6:getenv", "if pid == me then text = str(arg0) n = func end",
      function() os.getenv("A_NAME_OF_MINE") end, { me = me })
    assert.equal("A_NAME_OF_MINE", found.text)
    assert.is_true(found.n > 0)
    found = traced("uretprobe/libc.so.6:getenv", "if pid == me and ret ~= 0 then text = str(ret) end",
      function() os.getenv("PATH") end, { me = me })
    assert.equal(os.getenv("PATH"):sub(1, 63), found.text)
  end)

  it("of the kernel's functions have the names of BTF", function()
    kinds.need("kprobe")
    local obj <close> = assert(load_body("kprobe/vfs_read", "n = args.count + arg2 text = str(args.buf)"))
    local returned <close> = assert(load_body("kretprobe/vfs_read", "n = ret"))
    assert.truthy(obj.progs.body and returned.progs.body)
    local system_call <close> = assert(load_body("ksyscall/openat", "n = arg2 text = str(arg1)"))
    assert.truthy(system_call.progs.body)
    local failed, message = load_body("kprobe/vfs_read", "n = args.kount")
    assert.is_nil(failed)
    assert.matches("vfs_read has no argument 'kount' %(arguments: file, buf, count, pos%)", message)
    failed, message = load_body("uprobe/libc.so.6:getenv", "text = str(args.name)")
    assert.is_nil(failed)
    assert.matches("getenv has no argument 'name': its arguments aren't known, use arg0", message)
  end)

  it("of typed tracepoints, samples and iterators are what programs get", function()
    local typed <close> = assert(load_body("tp_btf/sched_switch", "if args.preempt then n = args.next.pid end"))
    local sample <close> = assert(load_body("perf_event", "n = args.sample_period + kstack"))
    assert.truthy(typed.progs.body and sample.progs.body)
    local made = { me = me }
    local obj <close> = assert(load_body("iter/task", "if args.task and args.task.tgid == me then n = n + 1 end", made))
    local link <close> = assert(obj.progs.body:attach())
    for _ in link:lines() do
      assert(true)
    end
    assert.is_true(obj.vars.variable.n >= 1)
  end)

  it("of marks of USDT are numbers", function()
    kinds.need("usdt")
    local obj <close> = assert(load_body("usdt/libc.so.6:libc:setjmp", "n = arg0 m = arg2"))
    assert.truthy(obj.progs.body)
  end)

  it("of marks of USDT are as many as the file says", function()
    kinds.need("usdt")
    local path = attach.probed():match "^%S+"
    for mark, said in pairs { step = "it has arg0 to arg1", guarded = "it has arg0 alone" } do
      local obj, message = load_body(("usdt/%s:lbpf:%s"):format(path, mark), "n = arg11")
      assert.is_nil(obj)
      assert.matches("probed:lbpf:" .. mark .. " has no arg11: " .. said, message)
    end
    local obj, message = load_body(("usdt/%s:lbpf:step"):format(path), "n = args.arg0")
    assert.is_nil(obj)
    assert.matches("'args%.arg0': it is arg0 alone, without 'args%.'", message)
  end)

  it("of other probes are none", function()
    local obj, message = load_body(OPEN, "n = arg0")
    assert.is_nil(obj)
    assert.matches("sys_enter_openat has no arg0", message)
    obj, message = load_body(OPEN, "n = func")
    assert.is_nil(obj)
    assert.matches("sys_enter_openat is no function", message)
    obj, message = load_body("uprobe/libc.so.6:getenv", "n = ret")
    assert.is_nil(obj)
    assert.matches("has no result", message)
  end)
end)

describe("functions", function()
  it("read strings of a size, of the process or the kernel", function()
    assert.equal("/proc", opened("text = str(args.filename, 6)").text)
    assert.equal("lua", opened('text = str("lua")').text)
    assert.equal(0, opened("n = #str(0)").n)
    local obj, message = load_body(OPEN, "text = str(args.filename, args.flags)")
    assert.is_nil(obj)
    assert.matches("must be a constant", message)
  end)

  it("put the arguments of a program together", function()
    local found = traced("tracepoint/syscalls/sys_enter_execve", "if ppid == me then text = str(args.argv) end",
      function() os.execute("exec /bin/true one 'two three'") end, { me = me })
    assert.equal("/bin/true one two three", found.text)
    found = traced("tracepoint/syscalls/sys_enter_execve", "if ppid == me then text = str(args.argv, 12) end",
      function() os.execute("exec /bin/true one 'two three'") end, { me = me })
    assert.equal("/bin/true o", found.text)
    found = traced("tracepoint/syscalls/sys_enter_execve", "if ppid == me then n = #str(args.argv, 1000) end",
      function() os.execute("exec /bin/true one 'two three'") end, { me = me })
    assert.equal(23, found.n)
  end)

  it("read bytes", function()
    assert.equal(("/"):byte(), opened("local b = buf(args.filename, 4) n = b[1] m = b[4]").n)
    local found = opened("local b = buf(args.filename, args.flags + 2, 8) n = b[2] m = b[3]")
    assert.equal(("p"):byte(), found.n)
    assert.equal(0, found.m)
  end)

  it("make addresses of IP out of numbers and of memory", function()
    local seen <close> = assert(map.create { type = "hash", max_entries = 4, key = "unsigned char[4]",
      value = "unsigned char[16]" })
    opened("n = 1 seen[ip(0x0100007f)] = buf(args.filename, 16)", { seen = seen })
    for key, value in pairs(seen) do
      assert.equal("\127\0\0\1", key)
      assert.equal("/proc/self/statu", value)
    end
  end)

  it("make addresses of IP out of sockets", function()
    kinds.need("kprobe")
    local seen <close> = assert(map.create { type = "hash", max_entries = 4, key = "unsigned char[4]",
      value = "unsigned char[16]" })
    local socket <close> = assert(load_body("kprobe/tcp_connect",
      "local c = args.sk.__sk_common seen[ip(c.skc_daddr)] = ip(c.skc_v6_daddr)", { seen = seen }))
    assert.truthy(socket.progs.body)
  end)

  it("are the number itself, where the tool writes it", function()
    local found = opened "n = syscall(3) + errno(-2) + signal(9) + port(80) + duration(5) + enum(1, 'TCP_')"
    assert.equal(3 - 2 + 9 + 80 + 5 + 1, found.n)
    found = opened "n = ksym(5) + usym(6) m = time() flag = time '%H'"
    assert.equal(11, found.n)
    assert.is_true(found.m > 0 and found.flag >= found.m)
  end)

  it("know their types", function()
    local functions = require "bpf.trace.functions"
    local types = require "bpf.trace.types"
    assert.equal(64, functions.rows.str.type({ types.integer() }, {}).size)
    assert.equal(9, functions.rows.str.type({ types.integer() }, { [2] = 9 }).size)
    assert.same(types.integer("errno"), functions.rows.errno.type({}, {}))
    assert.same(types.integer("pid"), words.rows.pid.type)
  end)
end)

describe("what is shared", function()
  local function hash(key, value)
    return assert(map.create { type = "hash", max_entries = 64, key = key, value = value })
  end

  it("is a variable that begins at 0", function()
    assert.equal(1, opened("n = n + 1 if n > 1 then n = 1 end").n)
  end)

  it("may be the name of what gathers, whose assignment is the call's own", function()
    local environment = words.environment({ lat = { gather = true }, n = { variable = true } }, {}, bpf.var(State))
    local fn = assert(load("return function(args) lat = errno(3) n = 4 end", "=body", "t", environment))()
    local list = { { name = "body", section = OPEN, fn = fn, probe = words.probe(OPEN) } }
    local obj <close> = assert(program.load_programs("bpf.trace", list, { lenient = true }, { name = "trace" }))
    assert.truthy(obj.progs.body)
  end)

  it("is a table, whose absent entries end a run", function()
    local start <close> = hash("__u64", "__u64")
    local found = opened("n = 1 m = nsecs - start[tid] n = 2", { start = start })
    assert.equal(1, found.n)
    start[me] = 5
    found = opened("n = 1 m = start[tid] + 3 start[tid] = nil n = 2", { start = start })
    assert.equal(2, found.n)
    assert.equal(8, found.m)
    assert.is_nil(start[me])
    found = opened("n = 1 if start[tid] then n = 2 end if start[tid] == nil then n = n + 2 end", { start = start })
    assert.equal(3, found.n)
    found = opened("n = 1 if start[tid] > 4 then n = 5 end n = 2", { start = start })
    assert.equal(1, found.n)
  end)

  it("ends a run where an absent record is indexed, or an absent number is an argument", function()
    local start <close> = hash("__u64", "struct { __u64 ts; char name[16]; }")
    local found = opened("n = 1 local s = start[tid] m = nsecs - s.ts text = s.name n = 2", { start = start })
    assert.equal(1, found.n)
    found = opened("start[tid] = { ts = 3, name = comm } n = start[tid].ts", { start = start })
    assert.equal(3, found.n)
    local none <close> = hash("__u64", "__u64")
    found = opened("n = 1 m = errno(none[5]) n = 2", { none = none })
    assert.equal(1, found.n)
  end)

  it("keeps pointers to structs of the kernel", function()
    local t <close> = hash("__u64", "struct task_struct *")
    local found = traced("raw_tp/sys_enter", "if pid ~= me then return end t[tid] = task n = t[tid].tgid m = 1 "
      .. "m = t[0].tgid", open, { me = me, t = t })
    assert.equal(me, found.n)
    assert.equal(1, found.m)
  end)

  it("takes constructors as keys and values by their places", function()
    local t <close> = hash("struct { __s64 _1; char _2[16]; }", "struct { __s64 _1; __s64 _2; }")
    local found = opened("t[{ pid, comm }] = { 3, 4 } n = t[{ pid, comm }][2]", { t = t })
    assert.equal(4, found.n)
    for key in pairs(t) do
      assert.equal(me, key._1)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- Failures as scripts see them: nil, a message that names operation, object and cause, and the errno's symbol.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local net = require("spec.support.net")

local map = bpf.map

local ABSENT = helper.absent()

local CALLS, PACKETS, REFUSED = helper.obj("calls"), helper.obj("packets"), helper.obj("refused")

-- Runs Lua without any capability.
local function powerless(code)
  return (helper.run(("setpriv --bounding-set=-all --inh-caps=-all %s -e %s"):format(helper.LUA, helper.quote(code))))
end

-- Checks nil, message, code: the message is "<what>: <cause> (<code>)", on one line.
local function fails(code, what, cause, ...)
  local ok, message, got = ...
  assert.is_nil(ok)
  assert.equal(code, got)
  assert.equal(what .. ": ", message:sub(1, #what + 2))
  assert.equal((" (%s)"):format(code), message:sub(-#code - 3))
  local found = message:sub(#what + 3, -#code - 4)
  assert.matches(cause, found)
  assert.is_nil(message:find("\n"))
end

describe("error arguments:", function()
  it("misuse raises, with the place and the argument's number", function()
    local message = helper.raises(function() bpf.open(true) end, "bad argument #1 to 'open'")
    assert.matches("^spec/base/err_spec%.lua:%d+: ", message)
    message = helper.raises(function() map.create(1) end, "bad argument #1 to 'create'")
    assert.matches("^spec/base/err_spec%.lua:%d+: ", message)
  end)

  it("misuse of a handle raises with the place", function()
    local obj = assert(bpf.open(CALLS))
    obj:close()
    for _, fn in ipairs({
      function() obj:load() end,
      function() return obj.maps.hits[1] end,
      function() obj.progs.bump:run() end,
      function() return obj.vars.self end,
    }) do
      assert.matches("^spec/base/err_spec%.lua:%d+: ", (helper.raises(fn, "closed")))
    end
  end)
end)

describe("a failure", function()
  it("of libbpf's own has libbpf's symbol", function()
    fails("LIBBPF_ERRNO__FORMAT", "open 'no ELF'", ".", bpf.open({ bytes = ("no ELF"):rep(100) }, { name = "no ELF" }))
    fails("LIBBPF_ERRNO__FORMAT", "open '/bin/true'", ".", bpf.open("/bin/true"))
  end)

  it("of the system has the errno's symbol and its text", function()
    fails("ENOENT", ("open '%s'"):format(ABSENT), "^No such file or directory$", bpf.open(ABSENT))
  end)

  it("to open says which object, by path or name", function()
    fails("LIBBPF_ERRNO__FORMAT", "open 'blob'", ".", bpf.open({ bytes = ("x"):rep(1000) }, { name = "blob" }))
    fails("ENOENT", ("open '%s'"):format(ABSENT), ".", bpf.open(ABSENT, { name = "blob" }))
  end)

  it("has three values, and of a load four", function()
    assert.equal(3, select("#", bpf.open(ABSENT)))
    kernel.root()
    assert.equal(4, select("#", bpf.load(REFUSED)))
    local obj <close> = assert(kernel.load(PACKETS))
    assert.equal(3, select("#", kinds.program(obj, "on_nothing"):attach()))
    assert.equal(3, select("#", kinds.program(obj, "on_openat"):run()))
  end)

  it("keeps no state: the next success is one", function()
    for _ = 1, 10 do
      assert.is_nil(bpf.open("/bin/true"))
      local obj <close> = assert(bpf.open(CALLS))
      assert.equal("calls", obj:name())
    end
  end)
end)

describe("a failure of the kernel", function()
  kernel.root()

  local obj, packets

  setup(function()
    obj = assert(kernel.load(CALLS))
    packets = assert(kernel.load(PACKETS))
  end)

  teardown(function()
    obj:close()
    packets:close()
  end)

  it("beyond what C's library knows has its symbol all the same", function()
    fails("ENOTSUPP", "program 'on_openat': run", "^the kernel can't run programs of this type",
      kinds.program(packets, "on_openat"):run())
  end)

  it("to load quotes the verifier", function()
    fails("EACCES", "object 'refused': load", "^prog 'out_of_bounds' refused by the verifier: ", bpf.load(REFUSED))
  end)

  it("to load quotes the line of source that the verifier was at", function()
    local _, message = bpf.load(REFUSED)
    local place = kernel.before("6.9") and "" or " @ refused.bpf.c:%d+"
    assert.matches("; source: return value %? %(int%)value%[5%] : 0;" .. place .. " %(EACCES%)$", message)
  end)

  it("to load is what ended it, not what libbpf goes on without", function()
    local none, message, code, log = bpf.load(CALLS, { maps = { hits = 0xffffffff } })
    assert.is_nil(none)
    assert.matches("Retrying without BTF", log)
    assert.is_nil(message:find("Retrying", 1, true))
    assert.matches("'hits'.* %(" .. code .. "%)$", message)
  end)

  it("to load for want of the kernel's BTF says where that would be", function()
    local function said(hide)
      local code = ([[print((select(2, require("bpf").load(%q)))) print((select(2, require("bpf").btf.kernel())))
        print((select(2, pcall(require("bpf").btf.type, "struct task_struct"))))]]):format(helper.obj("storages"))
      return helper.run(("unshare -m sh -c %s"):format(helper.quote(hide .. " && " .. helper.LUA .. " -e "
        .. helper.quote(code))))
    end
    for hide, cause in pairs {
      ["mount -t tmpfs none /sys"] =
        "/sys is not mounted here, so the kernel's BTF, /sys/kernel/btf/vmlinux, can't be read",
      ["[ ! -d /sys/kernel/btf ] || mount -t tmpfs none /sys/kernel/btf"] =
        "there is no /sys/kernel/btf/vmlinux; perhaps this kernel was built without CONFIG_DEBUG_INFO_BTF",
    } do
      local output = said(hide)
      assert.matches("object 'storages': load: " .. cause .. " (ESRCH)\nBTF of the kernel: " .. cause .. " (ESRCH)\n",
        output, 1, true)
      assert.matches("neither in the kernel's BTF (" .. cause .. "), nor", output, 1, true)
    end
  end)

  it("that comes of what isn't mounted says that: in a chroot, /proc and /sys may be missing", function()
    local code = ([[
      local bpf = require("bpf")
      local obj = assert(bpf.open(%q))
      for name, prog in pairs(obj.progs) do prog:autoload(name == "count_openat") end
      assert(os.execute("mount -t tmpfs none /sys && mount -t tmpfs none /proc"))
      print((select(2, bpf.cgroup_path(1))))
      assert(obj:load())
      print((select(2, obj.progs.count_openat:attach())))
      assert(os.execute("umount /proc")) -- LeakSanitizer needs it
    ]]):format(CALLS)
    local output = helper.run(("unshare -m %s -e %s"):format(helper.LUA, helper.quote(code)))
    assert.equal("cgroup_path: /proc is not mounted here (ENOENT)\nprogram 'count_openat': attach: /sys is not mounted "
      .. "here, which tracefs is found below (ENOENT)\n", output)
    code = ([[
      local bpf = require("bpf")
      assert(os.execute("mount -t tmpfs none /proc"))
      print((select(2, bpf.load(%q))))
      assert(os.execute("umount /proc"))
    ]]):format(CALLS)
    output = helper.run(("unshare -m build/support/nobpf %s -e %s"):format(helper.LUA, helper.quote(code)))
    assert.equal("object 'calls': load: refused, though this process has CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN, if it "
      .. "is in no user namespace (/proc is not mounted here); perhaps by lockdown, a security module or the kernel's "
      .. "configuration (EPERM)\n", output)
  end)

  it("to load quotes the verifier about the program that it refused, whatever it says of others", function()
    for level = 0, 7 do
      local refused <close> = assert(bpf.open(REFUSED))
      for _, prog in pairs(refused.progs) do
        prog:log_level(level)
      end
      fails("EACCES", "object 'refused': load", "^prog 'out_of_bounds' refused by the verifier: [^\n]* outside of the ",
        refused:load())
    end
  end)

  it("to attach names program, way and place", function()
    fails("ENOENT", "program 'on_nothing': attach", "lbpf/no_such_tracepoint",
      kinds.program(packets, "on_nothing"):attach())
    fails("ENOENT", "program 'first_argument': attach_raw_tracepoint", "lbpf_nothing",
      kinds.program(packets, "first_argument"):attach_raw_tracepoint("lbpf_nothing"))
    fails("ENODEV", "program 'on_packet': attach_xdp", "no such network interface 'lbpf0'",
      packets.progs.on_packet:attach_xdp("lbpf0"))
  end)

  it("to attach says when there is nothing to attach to", function()
    kernel.need("syscall programs", "5.14")
    fails("EOPNOTSUPP", "program 'add': attach", ".", kinds.program(packets, "add"):attach())
  end)

  it("to run names the program", function()
    fails("EINVAL", "program 'first_argument': run", "^the kernel refused data, context or flags: ",
      kinds.program(packets, "first_argument"):run({ data = "x" }))
  end)

  it("to update a full map says how full it is", function()
    local hits = obj.maps.hits
    for i = 1, 64 do
      hits[i] = i
    end
    fails("E2BIG", "map 'hits': update", "^full, all 64 entries in use$", map.update(hits, 65, 1))
    helper.raises(function() hits[65] = 1 end, "map 'hits': update: full, all 64 entries in use %(E2BIG%)")
    map.clear(hits)
  end)

  it("to update a slot that isn't there names the last one", function()
    fails("E2BIG", "map 'slots': update", "the last one is 3", map.update(obj.maps.slots, 4, 1))
  end)

  it("to write to a frozen map is EPERM and hints at it", function()
    local frozen <close> = assert(map.create({ type = "array", name = "frozen", key = "__u32", value = "__u32",
      max_entries = 1 }))
    assert(map.freeze(frozen))
    fails("EPERM", "map 'frozen': update", "may be frozen", map.update(frozen, 0, 1))
    local _, _, code = map.freeze(frozen)
    assert.is_true(code == "EPERM" or code == "EBUSY", code) -- older kernels: EBUSY
    fails(code, "map 'frozen': freeze", "frozen already", map.freeze(frozen))
  end)

  it("to resize what exists is EBUSY", function()
    fails("EBUSY", "map 'hits': resize", "exists already", map.resize(obj.maps.hits, 1))
  end)

  it("to open a pin that isn't there is ENOENT", function()
    local path = helper.bpffs() .. "/nothing"
    fails("ENOENT", ("map.open '%s'"):format(path), "No such file", map.open(path))
  end)

  it("to pin outside of a bpffs says so", function()
    local path = helper.tmpdir() .. "/pin"
    fails("EPERM", ("map 'hits': pin to '%s'"):format(path), "on no bpffs", map.pin(obj.maps.hits, path))
  end)

  it("to find a map by an id or descriptor that isn't one's", function()
    fails("ENOENT", "map.by_id 4294967295", "no such map", map.by_id(4294967295))
    fails("EBADF", "map.by_fd 1000000", "[Bb]ad file descriptor", map.by_fd(1000000))
    fails("EINVAL", "map.by_fd 0", "no map's descriptor", map.by_fd(0))
  end)

  it("for want of a capability is EPERM, which is named as a possibility", function()
    local output = powerless(([[print(select(2, require("bpf").load(%q)))]]):format(CALLS))
    assert.matches("^object 'calls': load: [^\n]*perhaps CAP_BPF[^\n]* %(EPERM%)\tEPERM", output)
    output = powerless([[print(require("bpf").map.create({ type = "array", key = "__u32", value = "__u32",
      max_entries = 1 }))]])
    assert.matches("^nil\t[^\n]*CAP_BPF[^\n]* %(EPERM%)\tEPERM\n$", output)
  end)

  it("is not put down to a capability that the process has", function()
    -- Its seccomp filter refuses bpf(2), whoever calls.
    local code = ([[local _, message = require("bpf").load(%q); print(message)]]):format(CALLS)
    local output = helper.run(("build/support/nobpf %s -e %s"):format(helper.LUA, helper.quote(code)))
    assert.equal("object 'calls': load: refused, though this process has CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN; "
      .. "perhaps by its seccomp filter, lockdown, a security module or the kernel's configuration (EPERM)\n", output)
  end)

  it("for want of the number of CPUs is returned, whatever needs it", function()
    local code = ([[
      local bpf = require("bpf")
      assert(os.execute("mount -t tmpfs none /sys"))
      print((select(2, bpf.map.create { type = "percpu_array", max_entries = 1, value = "__u64" })))
      print(select(2, bpf.open(%q)))
      print((select(2, bpf.features.cpus())))
      print((select(2, bpf.perfbuf(assert(bpf.map.create { type = "perf_event_array", max_entries = 4 })))))]])
      :format(helper.obj("percpu"))
    local output = helper.run(("unshare -m %s -e %s"):format(helper.LUA, helper.quote(code)))
    local why = "number of possible CPUs: /sys is not mounted here (ENOENT)"
    assert.equal(("map.create: %s\nopen '%s': %s\tENOENT\nfeatures.cpus: %s\nperfbuf: %s\n"):format(why,
      helper.obj("percpu"), why, why, why), output)
  end)

  it("of bpf(2) as a whole is the seccomp filter's, which may say that there is no such system call", function()
    local code = ([[
      local bpf = require("bpf")
      print((select(2, bpf.load(%q))))
      print((select(2, bpf.map.create { type = "array", max_entries = 1, value = "__u32" })))]]):format(CALLS)
    local output = helper.run(("NOBPF=38 build/support/nobpf %s -e %s"):format(helper.LUA, helper.quote(code)))
    assert.equal("object 'calls': load: this process's seccomp filter forbids bpf(2) (ENOSYS)\nmap.create (array): "
      .. "this process's seccomp filter forbids bpf(2) (ENOSYS)\n", output)
  end)

  -- What is printed by a load, by each of its ways, of an object's program alone, behind the words of a command.
  local function load_behind(command, name, program)
    local output = helper.run(("%s %s -e %s"):format(command, helper.LUA, helper.quote(([[
      local bpf = require("bpf")
      local path, program = %q, %q
      local function open(level)
        local obj = assert(bpf.open(path))
        for name, prog in pairs(obj.progs) do
          prog:autoload(name == program)
          prog:log_level(level)
        end
        return obj
      end
      local autoload = {}
      for name in pairs(open(0).progs) do
        autoload[name] = name == program
      end
      local messages = { select(2, bpf.load(path, { autoload = autoload })) }
      for level = 0, 7 do
        local _, message, code = open(level):load()
        assert(message == messages[1] and code == messages[2], message)
      end
      print(messages[1] .. "\t" .. messages[2])]]):format(helper.obj(name), program))))
    if output:find("^refuse: Device or resource busy") then
      helper.skip("another process answers this one's seccomp filters")
    end
    return output
  end

  -- Before 5.11, libbpf raises a limit, which takes CAP_SYS_RESOURCE.
  local UNABLE_TO_TRACE = "setpriv --bounding-set=-all,+bpf,+net_admin,+sys_resource --inh-caps=-all"
  local REFUSED_KIND = "object 'percpu': load: prog 'count': the kernel refused this kind of program (type "
    .. "raw_tracepoint, section 'raw_tp') before verifying it"

  it("for want of a capability names the one that is missing, whatever is attached or opened", function()
    kernel.need("CAP_BPF", "5.8")
    local group = net.cgroup()
    finally(net.remove)
    -- Before 5.11, libbpf raises a limit, which takes CAP_SYS_RESOURCE.
    local command = "setpriv --bounding-set=-all,+bpf,+perfmon,+sys_resource --inh-caps=-all %s -e %s"
    local output = helper.run(command:format(helper.LUA, helper.quote(([[
        local bpf = require("bpf")
        local function load(name, wanted)
          local obj = assert(bpf.open("build/progs/" .. name .. ".bpf.o"))
          for prog_name, prog in pairs(obj.progs) do prog:autoload(prog_name == wanted) end
          local ok, message = obj:load()
          return ok and obj.progs[wanted], message
        end
        local prog, message = load("attach_cgroup", "on_egress")
        print(not prog and message or (select(2, prog:attach_cgroup(%q))))
        prog = load("attach_probe", "on_function") -- which kernels take it with less, varies
        if prog then message = select(2, prog:attach_uprobe("libc.so.6", "clock")) else message = nil end
        print(message or "CAP_SYS_ADMIN")
        local options = { type = "array", value = "__u32", max_entries = 1 }
        local outer = assert(bpf.map.create { type = "array_of_maps", max_entries = 1, inner = options })
        outer[0] = assert(bpf.map.create(options))
        print((select(2, pcall(function() return outer[0] end))))
        print(bpf.map.lookup(outer, 0))
      ]]):format(group))))
    local cgroup, uprobe, inner, looked_up = output:match("^([^\n]*)\n([^\n]*)\n([^\n]*)\n([^\n]*)\n$")
    assert.matches("^program 'on_egress': attach_cgroup: refused; perhaps CAP_NET_ADMIN is missing", cgroup, output)
    assert.matches("CAP_SYS_ADMIN", uprobe)
    assert.matches("opening the inner map: refused; perhaps CAP_SYS_ADMIN is missing", inner)
    assert.matches("^nil\t[^\t]*refused; perhaps CAP_SYS_ADMIN is missing[^\t]*\tEPERM$", looked_up)
  end)

  it("to load a kind of program, before it is verified, is not put down to the verifier", function()
    for _, kind in ipairs({ "17", "-17" }) do -- with the statistics of a verifier that saw nothing, and without
      assert.equal(REFUSED_KIND .. ", though this process has CAP_BPF and CAP_PERFMON; perhaps by its seccomp "
        .. "filter, lockdown, a security module or the kernel's configuration (EPERM)\tEPERM\n",
        load_behind("build/support/refuse " .. kind, "percpu", "count"))
    end
  end)

  it("to load a kind of program for want of a capability names it, and what else it may be", function()
    kernel.need("CAP_BPF", "5.8")
    assert.equal(REFUSED_KIND .. "; perhaps CAP_PERFMON is missing, or lockdown or a security module "
      .. "forbids it (EPERM)\tEPERM\n",
      load_behind(UNABLE_TO_TRACE, "percpu", "count"))
  end)

  it("to load is the verifier's where it says so, though it saw no instruction yet", function()
    kernel.need("arenas", "6.9")
    kinds.need("syscall")
    assert.equal("object 'arena': load: prog 'count' refused by the verifier: CAP_BPF and CAP_PERFMON are required to "
      .. "use arena (EPERM)\tEPERM\n",
      load_behind(UNABLE_TO_TRACE, "arena", "count"))
  end)

  it("to load a kind that this kernel refuses says so, whichever that is", function()
    for _, section in ipairs({ "raw_tp", "raw_tp.w/bpf_test_finish", "tp_btf/sys_enter", "tracepoint",
      "fentry/bpf_fentry_test1", "fexit/bpf_fentry_test1", "fmod_ret/bpf_modify_return_test", "lsm/inode_rename",
      "iter/task", "iter/bpf_map_elem", "iter/bpf_sk_storage_map", "iter/sockmap", "kprobe", "uprobe", "perf_event",
      "syscall", "xdp", "tc", "cgroup_skb/egress", "sk_lookup" }) do
      if kinds.refused(section) then
        fails("EPERM", "object 'nothing': load", "^prog 'nothing': the kernel refused this kind of program %(type %S+, "
          .. "section '" .. section .. "'%) before verifying it.*perhaps.*lockdown", kinds.load_nothing(section))
      end
    end
  end)

  it("to read a map's types is EMFILE, and no map without them", function()
    local output = helper.run(("ulimit -n 40; %s -e %s"):format(helper.LUA, helper.quote([[
      local map = require("bpf").map
      local m = assert(map.create { type = "hash", max_entries = 8, key = "__u32", value = "struct v { __u32 a, b; }" })
      local id, held = map.info(m).id, {}
      repeat
        local file = io.open("/dev/null")
        held[#held + 1] = file
      until not file
      held[#held]:close()
      io.write(tostring(select(3, map.by_id(id))))
    ]])))
    assert.equal("EMFILE", output)
  end)

  it("to find room for a descriptor is EMFILE, and nothing is left behind", function()
    local output = helper.run(("ulimit -n 24; %s -e %s"):format(helper.LUA, helper.quote(([[
      local bpf = require("bpf")
      local maps = {}
      local message, code
      repeat
        local m
        m, message, code = bpf.map.create({ type = "array", key = "__u32", value = "__u32", max_entries = 1 })
        maps[#maps + 1] = m
      until not m
      assert(code == "EMFILE", message)
      local _, _, load_code = bpf.load(%q)
      assert(load_code == "EMFILE", load_code)
      for i, m in ipairs(maps) do bpf.map.close(m) maps[i] = nil end
      collectgarbage()
      local obj <close> = assert(bpf.load(%q))
      local others = {}
      repeat
        local m = bpf.map.create({ type = "array", key_size = 4, value_size = 4, max_entries = 1 })
        others[#others + 1] = m
      until not m
      repeat -- a map takes more than one for a moment, so one may be left
        local file = io.open("/dev/null")
        others[#others + 1] = file
      until not file
      for _, attempt in ipairs({
        function() return obj.progs.count_enter:attach() end,
        function() return bpf.map.typed(obj.maps.hits) end,
        function() return bpf.map.by_fd(0) end,
        function() return bpf.open(%q) end,
      }) do
        local ok, failure, got = attempt()
        assert(ok == nil and got == "EMFILE", failure)
      end
      print("done")
    ]]):format(CALLS, CALLS, CALLS))))
    assert.equal("done\n", output)
  end)

  it("to find room for a program's descriptor is not put down to the verifier", function()
    -- Each in a process of its own: libbpf remembers what it couldn't try.
    local output = helper.run(("ulimit -n 40; for free in 1 2 3 4; do FREE=$free %s -e %s; done"):format(helper.LUA,
      helper.quote(([[
        local bpf, held = require("bpf"), {}
        for file in function() return (io.open("/dev/null")) end do held[#held + 1] = file end
        for _ = 1, tonumber(os.getenv("FREE")) do table.remove(held):close() end
        print((select(2, bpf.load(%q))))]]):format(helper.obj("percpu")))))
    assert.is_nil(output:find("refused", 1, true), output)
  end)

  it("to find room for a ring buffer's reader is EMFILE", function()
    local output = helper.run(("ulimit -n 32; %s -e %s"):format(helper.LUA, helper.quote(([[
      local bpf = require("bpf")
      local obj <close> = assert(bpf.load(%q))
      local others = {}
      repeat
        local m = bpf.map.create({ type = "array", key_size = 4, value_size = 4, max_entries = 1 })
        others[#others + 1] = m
      until not m
      repeat -- a map takes more than one for a moment
        local file = io.open("/dev/null")
        others[#others + 1] = file
      until not file
      print(bpf.ringbuf(obj.maps.notes, nil, print))
    ]]):format(helper.obj("rings")))))
    assert.matches("^nil\t[^\n]*ringbuf: [^\n]* %(EMFILE%)\tEMFILE\n$", output)
  end)
end)

describe("error lifetime:", function()
  it("messages are strings of their own, unchanged by later calls", function()
    local _, first = bpf.open("/bin/true")
    local copy = first .. ""
    assert.is_nil(bpf.open(ABSENT))
    assert.equal(copy, first)
  end)

  it("failures in a coroutine end there", function()
    local thread = coroutine.wrap(function()
      coroutine.yield((select(3, bpf.open(ABSENT))))
      coroutine.yield((select(3, bpf.open("/bin/true"))))
    end)
    assert.same({ "ENOENT", "LIBBPF_ERRNO__FORMAT" }, { thread(), thread() })
  end)
end)

describe("error interop:", function()
  it("nothing is written to the process's outputs by any failure", function()
    local output, ok = helper.lua(([[
      local bpf, absent = require("bpf"), %q
      assert(not bpf.open(absent))
      assert(not bpf.open("/bin/true"))
      assert(not bpf.open({ bytes = "" }))
      assert(not bpf.load(%q, { btf = absent }))
      assert(not pcall(bpf.open, %q, { maps = { nothing = 1 } }))
      assert(not bpf.map.open(absent))
    ]]):format(ABSENT, REFUSED, CALLS))
    assert.equal("", output)
    assert.is_true(ok)
  end)
end)

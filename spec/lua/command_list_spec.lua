-- SPDX-License-Identifier: MIT
-- lua-bpf list, and the catalog of what can be traced behind it.
local bpf = require "bpf"
local attach = require "spec.support.attach"
local catalog = require "bpf.trace.catalog"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local tool = require "spec.support.command"

local works, fails, decoded = tool.works, tool.fails, tool.decoded

local PROBED <const> = attach.probed() -- passes lbpf:step and lbpf:guarded

-- The lines of the standard output alone.
local function listed(arguments)
  return works(arguments .. " 2>/dev/null")
end

local function sections(list)
  local texts = {}
  for n, item in ipairs(list) do
    texts[n] = item.section
  end
  return texts
end

describe("lua-bpf list", function()
  kernel.root()

  it("lists tracepoints by our names and bpftrace's", function()
    assert.equal("tracepoint/sched/sched_switch\n", works "list tracepoint/sched/sched_switch")
    assert.equal("tracepoint/sched/sched_switch\n", works "list tracepoint:sched:sched_switch t:sched:sched_switch")
    local output = works "list 'tracepoint:sched:sched_s?itch' 'tp/sched/sched_wak*'"
    assert.matches("^tracepoint/sched/sched_switch\ntracepoint/sched/sched_wak[^\n]*\n", output)
    assert.equal(works "list tracepoint", works "list 'tracepoint:*'")
    assert.equal(works "list tracepoint/sched", works "list 'tracepoint:sched:*'")
    assert.matches("^tracepoint/sched/sched_switch\n", works "list sched:sched_switch")
  end)

  it("lists as many tracepoints as the kernel has", function()
    local file <close> = assert(io.open "/sys/kernel/tracing/available_events")
    local _, wanted = file:read("a"):gsub("\n", "")
    local _, got = works("list 'tracepoint:*'"):gsub("\n", "")
    assert.equal(wanted, got)
  end)

  it("finds probes of several kinds by a name without a kind", function()
    local output = listed "list sched_switch"
    assert.matches("^tracepoint/sched/sched_switch\n", output)
    assert.matches("\nraw_tp/sched_switch%f[%s]", output)
    assert.matches("\ntp_btf/sched_switch%f[%s]", output)
    assert.is_nil(output:find("fexit/", 1, true))
  end)

  it("leaves out raw tracepoints that are for no programs", function()
    local list = table.concat(sections(catalog.find "raw_tp:sched_s*"), " ")
    assert.truthy(list:find("raw_tp/sched_switch", 1, true))
    assert.falsy(list:find("raw_tp/sched_set_state_tp", 1, true))
  end)

  it("shows the arguments of tracepoints", function()
    local output = works "list -v tracepoint/signal/signal_generate"
    assert.matches("^tracepoint/signal/signal_generate\n    sig +int\n    errno +int\n", output)
    assert.matches("\n    comm +char%[16%]\n    pid +pid_t\n", output)
    assert.matches("^raw_tp/sched_switch[^\n]*\n    preempt +bool\n    prev +struct task_struct %*\n",
      listed "list -v raw_tp/sched_switch")
  end)

  it("shows the arguments and results of functions", function()
    local output = listed "list -v fexit/vfs_read"
    assert.matches("^fexit/vfs_read[^\n]*\n    file +struct file %*\n    buf +char %*\n    count +size_t\n", output)
    assert.matches("\n    ret +ssize_t\n$", output)
    assert.is_nil(listed("list -v fentry/vfs_read"):find("\n    ret ", 1, true))
    assert.matches("^kprobe/vfs_read%f[%s]", listed "list kprobe:vfs_read k:vfs_read")
    assert.matches("^fentry/vfs_read%f[%s]", listed "list 'kfunc:vfs_r*'")
    fails(1, "^lua%-bpf: nothing fits ", "list 'kprobe/*.cold'")
    assert.is_nil(works("list -v 'kprobe/vfs_r*' 2>&1"):find("BTF", 1, true))
  end)

  it("marks what this kernel refuses, and says why once", function()
    if kernel.config("CONFIG_KPROBES") == "n" then
      local output = works "list 'kprobe/vfs_read*'"
      assert.matches("kprobe/vfs_read +not here\n", output)
      local _, n = output:gsub("not here: kprobe: this kernel was built without kprobes %(CONFIG_KPROBES%)\n", "")
      assert.equal(1, n)
    end
    local all = decoded "list --json software/cpu-clock 2>/dev/null"
    assert.same({ true, "software", "software/cpu-clock/1000000" }, { all[1].here, all[1].kind, all[1].section })
    assert.is_nil(works("list software hardware"):find("not here: software", 1, true))
    for _, item in ipairs(decoded "list --json hardware 2>/dev/null") do
      assert.equal(item.here, item.reason == nil)
    end
  end)

  it("lists iterators and hooks of cgroups", function()
    assert.matches("iter/task%f[%s]", listed "list iter")
    assert.matches("^iter/task[^\n]*\n    meta +struct bpf_iter_meta %*\n    task +struct task_struct %*\n$",
      listed "list -v iter:task")
    assert.matches("\ncgroup/connect4\n", listed "list cgroup")
    assert.matches("\n    user_ip4 +__u32\n", listed "list -v cgroup/connect4")
    assert.equal("cgroup_skb/egress\ncgroup_skb/ingress\n", listed "list cgroup_skb")
  end)

  it("lists functions of files, of which short names are enough", function()
    local output = listed "list uprobe:libc.so.6:malloc"
    assert.matches("^uprobe/[^\n]+/libc.so.6:malloc%f[%s]", output)
    assert.matches("^uretprobe/[^\n]+/libc.so.6:malloc%f[%s]", listed "list 'uretprobe/libc.so.6:mall?c'")
    assert.matches("\nuprobe/[^\n]+/libc.so.6:free%f[%s]", listed "list 'uprobe/libc.so.6:*'")
    fails(1, "^lua%-bpf: nothing fits 'uprobe/libc.so.6:mallok' %(near: uprobe/%S+:malloc",
      "list uprobe/libc.so.6:mallok")
    fails(1, "^lua%-bpf: /etc/passwd: not an ELF file of 64 bits\n", "list 'uprobe//etc/passwd:*'")
    fails(1, "^lua%-bpf: [^\n]*: No such file or directory\n", "list uprobe/" .. helper.absent() .. ":x")
    fails(1, "^lua%-bpf: functions of which file%? ", "list 'uprobe:*:malloc'")
    fails(1, "^lua%-bpf: libc: there is no such command or library %(near: [^\n]*libc%.so%.6%f[,)]",
      "list uprobe:libc:malloc")
    fails(1, "^lua%-bpf: nosuchthing: there is no such command or library\n$", "list uprobe:nosuchthing:main")
    local stripped = helper.tmpdir() .. "/stripped"
    helper.run(("strip -o %s %s"):format(stripped, PROBED:match "^%S+"))
    fails(1, "^lua%-bpf: [^\n]*/stripped has no names of functions: it is stripped\n$",
      ("list 'uprobe/%s:main'"):format(stripped))
  end)

  it("lists USDT probes with their arguments", function()
    local path = PROBED:match "^%S+"
    local output = listed("list -v usdt/" .. path .. ":lbpf:*")
    assert.matches("usdt/[^\n]*:lbpf:guarded%f[%s]", output)
    assert.matches("usdt/[^\n]*:lbpf:step[^\n]*\n    arg0  __[su]%d+\n", output)
    assert.matches("^usdt/[^\n]*:lbpf:step%f[%s]", listed("list usdt:" .. path .. ":step"))
    for _, place in ipairs { ":lbpf:stepp", ":stpe", ":lbpf:tep" } do
      assert.same({ "usdt/" .. path .. ":lbpf:step" }, catalog.near("usdt:" .. path .. place), place)
    end
  end)

  it("lists the functions of a process", function()
    local output = listed "list -p $$ 'uprobe/libc.so.6:malloc'"
    assert.matches("^uprobe//[^\n]*/libc.so.6:malloc%f[%s]", output)
    assert.matches("libc.so.6:malloc%f[%s]", listed "list --pid $$ malloc")
    fails(1, "^lua%-bpf: /proc/4194305/maps: No such file or directory\n", "list -p 4194305 malloc")
  end)

  it("finds the files of a process with mounts of its own, where other files have their paths", function()
    local dir = helper.tmpdir()
    local output = helper.run(([[
      cd %s && mkdir hidden && cp /bin/true hidden/tool && mkfifo input && exec 9<>input
      unshare -m sh -c 'mount -t tmpfs none hidden && cp %s hidden/tool && exec hidden/tool' <input >/dev/null &
      until [ "$(cat /proc/$!/comm)" = tool ]; do :; done
      cd "$OLDPWD"; %s list -p $! usdt 2>/dev/null; kill $!; wait $! 2>/dev/null]]):format(dir,
      PROBED:match "^%S+", tool.COMMAND))
    assert.matches("usdt//proc/%d+/root" .. dir:gsub("%p", "%%%0") .. "/hidden/tool:lbpf:step", output)
  end)

  it("takes the wildcards of shells", function()
    assert.equal("tracepoint/sched/sched_switch\n", works "list 'tracepoint/sched/sched_s[a-w]itc?'")
    assert.equal("tracepoint/sched/sched_switch\n", works "list 'tracepoint/[!a-rt-z]ched/sched_[s]witch'")
    local matcher = require("bpf.trace.catalog.pattern").matcher
    for text, names in pairs {
      ["x[a]"] = { ["x[a]"] = true, xa = true, xb = false }, ["x[^a]"] = { xa = false, xb = true, x = false },
      ["x["] = { ["x["] = true, x = false }, ["x[]"] = { ["x[]"] = true, x = false },
      ["[%d.]?"] = { d1 = true, ["11"] = false },
      ["a.b*[!]"] = { ["a.b!"] = true, ["a.b[!"] = true, ["axb!"] = false },
    } do
      for name, fits in pairs(names) do
        assert.equal(fits, matcher(text)(name), text .. " " .. name)
      end
    end
  end)

  it("names what contains a word that fits nothing itself", function()
    local output, ok = tool.command "list tracepoint/switc"
    assert.falsy(ok)
    assert.matches("^lua%-bpf: nothing fits 'tracepoint/switc'; 'tracepoint/%*switc%*' fits [^\n]*tracepoint/sched/"
      .. "sched_switch", output)
    fails(1, "^lua%-bpf: nothing fits 'sched:sched_switc'; 'sched:%*sched_switc%*' fits tracepoint/sched/"
      .. "sched_switch\n", "list sched:sched_switc")
    output = tool.command "list exit"
    assert.matches("^lua%-bpf: nothing fits 'exit'; '%*exit%*' fits tracepoint/%S+, tracepoint/%S+, tracepoint/%S+ "
      .. "and %d+ more\n$", output)
  end)

  it("names what is near, and fails", function()
    fails(1, "^lua%-bpf: nothing fits 'tracepoint/sched/sched_swich' %(near: tracepoint/sched/sched_switch%f[,)]",
      "list tracepoint/sched/sched_swich")
    fails(1, "^lua%-bpf: nothing fits '[^\n]*' %(near: [^\n]*tracepoint/sched/sched_switch%f[,)]",
      "list tracepoint:shed:sched_switch")
    fails(1, "^lua%-bpf: there is no kind of probe 'tracepont' %(near: tracepoint%)\n", "list tracepont:x:y")
    fails(1, "^lua%-bpf: nothing fits 'iter/tsk' %(near: iter/task%)\n", "list iter/tsk")
    fails(1, "^lua%-bpf: nothing fits 's:cpu%-clok' %(near: software/cpu%-clock%)\n", "list s:cpu-clok")
    fails(1, "^lua%-bpf: nothing fits 'tracepoint:sched:no_%*'\n", "list 'tracepoint:sched:no_*'")
    fails(2, "^lua%-bpf: %-%-pid takes a whole number above 0, not 'x'\n", "list -p x")
  end)

  it("says how to mount tracefs", function()
    local output, ok = tool.command("list 'tracepoint:*'",
      "unshare -m sh -c 'umount -a -t tracefs,debugfs; exec \"$@\"' sh")
    assert.falsy(ok)
    assert.equal("lua-bpf: tracefs can't be read here (as root: mount -t tracefs tracefs /sys/kernel/tracing)\n",
      output)
  end)

  it("lists what can be read without root", function()
    local user = "setpriv --reuid 65534 --regid 65534 --clear-groups"
    local output, ok = tool.command("list iter/task software/cpu-clock", user)
    assert(ok, output)
    assert.equal("iter/task\nsoftware/cpu-clock/1000000\n", output)
    output, ok = tool.command("list tracepoint/sched/sched_switch", user)
    assert.falsy(ok)
    assert.matches("^lua%-bpf: tracefs can't be read here: [^\n]*: Permission denied\n", output)
  end)

  it("prints JSON", function()
    local list = decoded "list --json -v tracepoint/syscalls/sys_enter_openat"
    assert.same({ "tracepoint", "syscalls/sys_enter_openat", true }, { list[1].kind, list[1].name, list[1].here })
    assert.same({ name = "filename", c = "const char *",
      type = { kind = "pointer", type = "char", space = "user" } }, list[1].arguments[3])
    assert.is_nil(decoded("list --json tracepoint/sched/sched_switch")[1].arguments)
  end)
end)

describe("the catalog", function()
  kernel.root()

  local function arguments(pattern)
    return catalog.arguments(assert(catalog.find(pattern))[1])
  end

  it("finds probes in order, each once", function()
    local found, problems = catalog.find "tracepoint/sched/sched_switch"
    assert.same({ { section = "tracepoint/sched/sched_switch", kind = "tracepoint", name = "sched/sched_switch" } },
      found)
    assert.same({}, problems)
    local many = sections(catalog.find "raw_tp:sched_*")
    local ordered = table.move(many, 1, #many, 1, {})
    table.sort(ordered)
    assert.same(ordered, many)
    assert.same({}, (catalog.find "tracepoint/sched/absent"))
    local none, message = catalog.find "tracepont/x"
    assert.same({ "there is no kind of probe 'tracepont' (near: tracepoint)" }, { message, none })
  end)

  it("finds a function by its name without reading those of all", function()
    local before = bpf.clock()
    assert.same({ "fentry/vfs_read" }, sections(catalog.find "fentry/vfs_read"))
    local exact = bpf.clock() - before
    before = bpf.clock()
    assert(#catalog.find "fentry/vfs_rea*" > 0)
    assert.is_true(exact < (bpf.clock() - before) / 2)
  end)

  it("tells what arguments mean", function()
    local types = arguments "tracepoint/signal/signal_generate"
    assert.same({ kind = "integer", meaning = "signal" }, types.sig)
    assert.same({ kind = "integer", meaning = "errno" }, types.errno)
    assert.same({ kind = "integer", meaning = "pid" }, types.pid)
    assert.same({ kind = "string", size = 16 }, types.comm)
    types = arguments "tracepoint/raw_syscalls/sys_enter"
    assert.same({ kind = "integer", meaning = "syscall" }, types.id)
    assert.same({ kind = "bytes", size = 48, count = 6 }, types.args)
    types = arguments "tracepoint/net/net_dev_queue"
    assert.same({ kind = "string", size = 64 }, types.name)
    assert.same({ kind = "integer", meaning = "kernel address" }, types.skbaddr)
  end)

  it("tells the space of pointers, and the result", function()
    assert.same({ kind = "pointer", type = "struct task_struct", space = "trusted" },
      arguments("tp_btf/sched_switch").prev)
    assert.same({ kind = "pointer", type = "struct task_struct", space = "kernel" },
      arguments("raw_tp/sched_switch").prev)
    local types, result, rows, row = arguments "fexit/vfs_read"
    assert.same({ kind = "integer" }, types.count)
    assert.same({ kind = "pointer", type = "struct file", space = "trusted" }, types.file)
    assert.same({ kind = "integer" }, result)
    assert.same({ "file", "ssize_t" }, { rows[1].name, row.c })
    assert.same({ nil, nil }, { (arguments "uprobe/libc.so.6:malloc") })
    assert.same({}, (arguments "software/cpu-clock"))
  end)
end)

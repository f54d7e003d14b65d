-- SPDX-License-Identifier: MIT
-- Patterns and lists of probes: how many programs they are, what is attached, and what a trace counts there.
local attach = require "bpf.trace.attach"
local core = require "bpf.core"
local groups = require "bpf.trace.groups"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local kinds = require "spec.support.kinds"
local syscalls = require "bpf.format.syscalls"
local tool = require "spec.support.command"

local quote, works, fails = helper.quote, tool.works, tool.fails

describe("texts of bodies", function()
  it("tell what a program needs of its probe", function()
    local uses = groups.uses("count(probe, args.ret, arg3) argument = ret")
    assert.is_true(uses.fields and uses.numbered and uses.ret and uses.probe)
    assert.same({ ret = true }, uses.names)
    assert.is_nil(groups.uses("local a = args print(a.ret)").names)
    local none = groups.uses("margs = 1 return_ = carg1")
    assert.is_nil(none.fields or none.numbered or none.ret)
  end)
end)

describe("groups of probes", function()
  local function probes_of(...)
    local list = {}
    for n, section in ipairs { ... } do
      list[n] = { kind = section:match("^[^/]+"), section = section, title = section }
    end
    return list
  end

  -- The ways and members of groups, as text.
  local function parted(text, ...)
    local list = {}
    for n, group in ipairs(groups.part(probes_of(...), groups.uses(text))) do
      list[n] = ("%s %d"):format(group.way or "one", #group.members)
    end
    return table.concat(list, ", ")
  end

  it("are raw tracepoints where the body reads no argument", function()
    assert.equal("raw 2", parted("count()", "tracepoint/sched/sched_switch", "tracepoint/sched/sched_wakeup"))
    assert.equal("raw 2", parted("count()", "tracepoint/sched/sched_switch", "raw_tp/sched_wakeup"))
    assert.equal("one 1, one 1", parted("count(args.comm)", "tracepoint/sched/sched_wakeup",
      "tracepoint/sched/sched_waking"))
    assert.equal("one 1", parted("count()", "tracepoint/sched/sched_switch"))
    assert.equal("one 1, one 1", parted("count()", "tracepoint/ftrace/print", "usdt/libc.so.6:libc:setjmp"))
  end)

  it("are raw tracepoints with a program each where there are no cookies", function()
    local helper_of = core.features.helper
    finally(function() core.features.helper = helper_of end)
    function core.features.helper() return false end
    local sections = { "tracepoint/sched/sched_switch", "tracepoint/sched/sched_wakeup" }
    assert.equal("raw 1, raw 1", parted("count(probe)", table.unpack(sections)))
    assert.equal("raw 2", parted("count()", table.unpack(sections)))
  end)

  it("are one program for system calls, of whose arguments only results are read", function()
    if not require("bpf.trace.calls").are_known() then
      return
    end
    local enter, exit = { "tracepoint/syscalls/sys_enter_read", "tracepoint/syscalls/sys_enter_write" },
      { "tracepoint/syscalls/sys_exit_read", "tracepoint/syscalls/sys_exit_newuname" }
    assert.equal("syscalls 2", parted("count(probe)", table.unpack(enter)))
    assert.equal("one 1, one 1", parted("count(args.fd)", "tracepoint/syscalls/sys_enter_read",
      "tracepoint/syscalls/sys_enter_getpid"))
    assert.equal("syscalls 2", parted("sum(args.ret)", table.unpack(exit)))
    assert.equal("syscalls 2", parted("sum(ret)", table.unpack(exit)))
    assert.equal("one 1, one 1", parted("local a = args sum(a.ret)", table.unpack(exit)))
    assert.equal("syscalls 1, syscalls 1", parted("count()", enter[1], exit[1]):gsub("one 1", "syscalls 1"))
  end)

  it("are at most 512, unless one attachment is enough", function()
    local many, calls = {}, {}
    for n = 1, 513 do
      many[n] = "tracepoint/some/event_" .. n
      calls[n] = "tracepoint/syscalls/sys_exit_read"
    end
    local list = probes_of(table.unpack(many))
    list[1].of = { title = "tracepoint:some:*" }
    local ok, failure = pcall(groups.part, list, groups.uses("count()"))
    assert.is_false(ok)
    assert.matches("^tracepoint:some:%* matches 513 probes, more than 512: a narrower pattern", failure.trace)
    if require("bpf.trace.calls").are_known() then
      assert.equal("syscalls 513", parted("count(probe)", table.unpack(calls)))
    end
  end)

  it("know system calls by the names of their tracepoints", function()
    assert.equal("uname", syscalls.name(syscalls.number("newuname")))
    assert.equal("read", syscalls.name(syscalls.number("read")))
    assert.is_nil(syscalls.number("nothing"))
  end)
end)

describe("bodies", function()
  it("have a sentence for each reason that some of their probes are not attached", function()
    local failed = {}
    for n, name in ipairs { "a", "b", "c" } do
      failed[n] = { probe = { section = "kprobe/" .. name, title = "k:" .. name },
        message = n < 3 and ("program 'body_1': attach: no '%s' (ENOENT)"):format(name) or "why not (EPERM)" }
    end
    assert.same({ "k:a and 1 more: no 'a' (ENOENT)", "k:c: why not (EPERM)" }, attach.sentences(failed))
  end)
end)

describe("lua-bpf trace with patterns", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local DD <const> = "dd if=/dev/zero of=/dev/null bs=1k count=50 status=none"

  -- What a trace prints while a command runs alone.
  local function traced(command, ...)
    local words = { "trace -c " .. quote(command) }
    for _, word in ipairs { ... } do
      words[#words + 1] = quote(word)
    end
    return works(table.concat(words, " "))
  end

  -- How often a table counted a row.
  local function counted(output, row)
    return tonumber(output:match("\n +" .. row .. " +([0-9]+)")) or 0
  end

  it("counts the calls of all system calls, by probe", function()
    local output = traced(DD, "tracepoint/syscalls/sys_enter_*", "count(probe)")
    assert.equal(50, counted(output, "tracepoint/syscalls/sys_enter_write"), output)
    assert.is_true(counted(output, "tracepoint/syscalls/sys_enter_read") >= 50, output)
    assert.equal(1, counted(output, "tracepoint/syscalls/sys_enter_exit_group"), output)
  end)

  it("leaves system calls alone that a pattern doesn't match", function()
    local output = traced(DD, "tracepoint/syscalls/sys_enter_writ*", "count(probe)")
    local rows = select(2, output:gsub("sys_enter_", ""))
    assert.equal(1, rows, output)
  end)

  it("has the results of all system calls", function()
    local output = traced(DD, "tracepoint/syscalls/sys_exit_*",
      "if args.ret == 1024 and ret == 1024 then count(probe) end")
    assert.equal(50, counted(output, "tracepoint/syscalls/sys_exit_write"), output)
    assert.equal(50, counted(output, "tracepoint/syscalls/sys_exit_read"), output)
  end)

  it("has the arguments of system calls that have the same", function()
    local output = traced(DD, "tracepoint/syscalls/sys_enter_read,tracepoint/syscalls/sys_enter_write",
      "if args.count == 1024 then count(probe, args.fd) end")
    assert.equal(50, counted(output, "tracepoint/syscalls/sys_enter_write +1"), output)
    assert.equal(50, counted(output, "tracepoint/syscalls/sys_enter_read +0"), output)
    output = traced("sh -c 'exec sh -c :'", "tracepoint/syscalls/sys_enter_exec*", "print(str(args.filename), probe)")
    assert.matches("/sh\ttracepoint/syscalls/sys_enter_execve\n", output)
  end)

  it("tells raw tracepoints apart", function()
    local output = traced("true", "tracepoint/sched/sched_process_*", "count(probe)")
    assert.equal(1, counted(output, "tracepoint/sched/sched_process_exec"), output)
    assert.equal(1, counted(output, "tracepoint/sched/sched_process_exit"), output)
  end)

  it("tells functions of files apart, and which can't be attached", function()
    local output = traced("sh -c 'exec build/support/probed <<E\n5 6 7 0\nE'", "uprobe/build/support/probed:probed_*",
      "count(probe)")
    assert.equal(3, counted(output, "uprobe/build/support/probed:probed_add"), output)
    assert.equal(3, counted(output, "uprobe/build/support/probed:probed_first"), output)
    assert.matches("warning: uprobe/build/support/probed:probed_chosen: [^\n]*IFUNC", output)
    assert.matches("ready, 2 probes\n", output)
  end)

  it("attaches functions of files once, whatever their names", function()
    local output = traced("sh -c 'exec build/support/probed <<E\n5 6 7 0\nE'",
      "uprobe/build/support/probed:*probed_add",
      "count(probe)")
    assert.equal(3, counted(output, "uprobe/build/support/probed:probed_add"), output)
    assert.matches("ready, 1 probe\n", output)
  end)

  it("reads arguments of functions that are on the stack", function()
    local output = traced("sh -c 'echo 0 | exec build/support/probed'", "--follow",
      "uprobe/build/support/probed:nine", "print(arg0, arg5, arg6, arg7, arg8)")
    assert.matches("\n0\t5\t6\t7\t%-8\n", output)
  end)

  it("attaches functions of the kernel, by one link where there are such links", function()
    kinds.need("kprobe")
    if kernel.config("CONFIG_KPROBE_EVENTS") == "n" or kernel.config("CONFIG_KPROBES") == "n" then
      helper.skip("kprobes need a kernel with CONFIG_KPROBE_EVENTS")
    end
    local output = traced(DD, "kprobe/vfs_read,kprobe/vfs_write", "count(probe, func) hist(arg2)")
    assert.matches("\n +kprobe/vfs_write +vfs_write[^ ]* +50 ", output)
    assert.matches("\n +1K – +2K +100 ", output)
    output = traced(DD, "kretprobe/vfs_rea*,kretprobe/vfs_writ*", "if ret == 1024 then count(probe) end")
    assert.equal(50, counted(output, "kretprobe/vfs_write"), output)
    assert.equal(50, counted(output, "kretprobe/vfs_read"), output)
  end)

  it("attaches to entries and exits of functions in place of programs for one each", function()
    kinds.need("fentry/bpf_fentry_test1")
    local output = traced(DD, "fentry/vfs_read,fentry/vfs_write", "count(probe, func)")
    assert.matches("\n +fentry/vfs_write +vfs_write[^ ]* +50 ", output)
    output = traced(DD, "fexit/vfs_read,fexit/vfs_write", "if ret == 1024 then count(probe) end")
    assert.equal(50, counted(output, "fexit/vfs_write"), output)
  end)

  it("runs iterators once, and ends if there is nothing else", function()
    kinds.need("iter/task")
    local output = works("trace iter/task " .. quote 'if args.task then count() names[args.task.pid] = 1 end')
    assert.is_true(tonumber(output:match("count%(%): ([0-9]+)")) > 1, output)
    output = works("trace -n 0.1 iter/task " .. quote "count()"
      .. " tracepoint/sched/sched_process_exec 'count(comm)' end 'print(7)'")
    assert.matches("ready, 2 probes\n7\ncount%(%): [0-9]+\n", output)
  end)

  it("leaves out what this kernel can't attach, with one warning, while there is more", function()
    local output = traced("true", "kprobe/vfs_read,kprobe/vfs_write,tracepoint/sched/sched_process_exec",
      "if comm == 'true' then count() end")
    if not output:find("ready, 3 probes", 1, true) then
      assert.matches("warning: kprobe/vfs_read and 1 more: [^\n]+\nready, 1 probe\n", output)
      fails(1, "^lua%-bpf: kprobe/vfs_read and 1 more: [^\n]+\n$", "trace kprobe/vfs_read,kprobe/vfs_write 'count()'")
    end
  end)

  it("names the pattern in messages, not what takes its place", function()
    fails(2, "tracepoint/sched/sched_wak%*:1: tracepoint/sched/sched_wak%* is no function",
      "trace 'tracepoint/sched/sched_wak*' 'count(func)'")
  end)

  it("says that nothing matches", function()
    fails(2, "nothing matches tracepoint/sched/nothing_%*", "trace 'tracepoint/sched/nothing_*' 'count()'")
  end)
end)

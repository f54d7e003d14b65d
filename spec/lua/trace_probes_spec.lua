-- SPDX-License-Identifier: MIT
-- Texts of probes, as sections.
local probes = require "bpf.trace.probes"

local function sections(text)
  local list = {}
  for i, probe in ipairs(probes.read(text)) do
    list[i] = probe.section or probe.plain
  end
  return table.concat(list, " ")
end

local function fails(pattern, call, ...)
  local ok, failure = pcall(call, ...)
  assert.is_false(ok)
  assert.matches(pattern, type(failure) == "table" and failure.trace or failure)
end

describe("texts of probes", function()
  it("are sections", function()
    for text, section in pairs {
      ["tracepoint/syscalls/sys_enter_openat"] = "tracepoint/syscalls/sys_enter_openat",
      ["tracepoint:sched:sched_switch"] = "tracepoint/sched/sched_switch",
      ["t:sched:sched_switch"] = "tracepoint/sched/sched_switch",
      ["tp/sched/sched_switch"] = "tracepoint/sched/sched_switch",
      ["rawtracepoint:sys_enter"] = "raw_tp/sys_enter",
      ["k:vfs_read"] = "kprobe/vfs_read",
      ["kprobe.multi/vfs_*"] = "kprobe/vfs_*",
      ["uretprobe.multi/libc.so.6:*alloc"] = "uretprobe/libc.so.6:*alloc",
      ["kfunc:vfs_read"] = "fentry/vfs_read",
      ["kretfunc:vfs_read"] = "fexit/vfs_read",
      ["uprobe:/bin/bash:readline"] = "uprobe//bin/bash:readline",
      ["ur:libc.so.6:malloc"] = "uretprobe/libc.so.6:malloc",
      ["usdt:libc.so.6:libc:setjmp"] = "usdt/libc.so.6:libc:setjmp",
      ["iter:task"] = "iter/task",
      ["BEGIN"] = "begin",
      ["end"] = "end",
      ["every 5"] = "every",
      ["kprobe/vfs_read, kprobe/vfs_write"] = "kprobe/vfs_read kprobe/vfs_write",
    } do
      assert.equal(section, sections(text), text)
    end
  end)

  it("tell of perf events how often the body runs", function()
    local function event(text)
      local probe = probes.read(text)[1]
      assert.equal("perf_event", probe.section)
      return ("%s %s %d %s"):format(probe.event.type, probe.event.config, probe.event.sample_period, probe.event.cpu)
    end
    assert.equal("software cpu_clock 10101010 online", event "profile/99")
    assert.equal("software cpu_clock 10101010 online", event "profile:hz:99")
    assert.equal("software cpu_clock 5000000 online", event "profile:ms:5")
    assert.equal("software cpu_clock 2000000000 0", event "interval/2")
    assert.equal("software cpu_clock 500000000 0", event "interval/0.5")
    assert.equal("software page_faults 7 online", event "software/page-faults/7")
    assert.equal("software page_faults 100 online", event "s:faults")
    assert.equal("hardware cpu_cycles 1000000 online", event "hardware:cycles:1000000")
    assert.equal(2.5, probes.read("every 2.5")[1].seconds)
  end)

  it("that are wrong raise with what may have been meant", function()
    fails("^'kprob' is no kind of probe %(near: kprobe", probes.read, "kprob:vfs_read")
    fails("^'cgroup/connect4': a program there decides what happens, ", probes.read, "cgroup/connect4")
    fails("^'17' is no kind of probe: `lua%-bpf list`", probes.read, "17")
    fails("^'tracepoint/sched': a tracepoint has a category and a name", probes.read, "tracepoint/sched")
    fails("^'uprobe/libc': a file and a function", probes.read, "uprobe/libc")
    fails("^'kprobe/': which%? Such as kprobe/NAME", probes.read, "kprobe/")
    fails("^'every': which%? Such as every 5", probes.read, "every")
    fails("^'profile/0': a number above 0", probes.read, "profile/0")
    fails("^'profile:min:3': a number above 0", probes.read, "profile:min:3")
    fails("^'begin/x': nothing stands behind 'begin'", probes.read, "begin/x")
    fails("no software event 'page%-fault' %(near: page%-faults", probes.read, "software/page-fault")
    fails("a probe is missing", probes.read, "kprobe/x,,kprobe/y")
  end)
end)

describe("patterns of probes", function()
  local function find(section)
    local list = {}
    for i = 1, section:find("none", 1, true) and 0 or 2 do
      list[i] = { section = section:gsub("%*", tostring(i)) }
    end
    return list
  end

  it("become the probes that they match", function()
    local list, warnings = probes.expand(probes.read "tracepoint:x:a_*,kprobe:b,kprobe:none_*", find)
    local titles = {}
    for i, probe in ipairs(list) do
      titles[i] = probe.title
    end
    assert.same({ "tracepoint/x/a_1", "tracepoint/x/a_2", "kprobe:b" }, titles)
    assert.equal("tracepoint:x:a_*", list[1].of.title)
    assert.same({ "nothing matches kprobe:none_*" }, warnings)
  end)

  it("that match nothing raise, with what could not be read", function()
    fails("^nothing matches kprobe:none_%*$", probes.expand, probes.read "kprobe:none_*", find)
    fails("^nothing matches kprobe:none_%*: no list$", probes.expand, probes.read "kprobe:none_*", function()
      return {}, { "no list" }
    end)
  end)
end)

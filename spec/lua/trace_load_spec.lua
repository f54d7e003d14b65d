-- SPDX-License-Identifier: MIT
-- lua-bpf trace: programs that the kernel refuses alone are left out while another is loaded.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local kinds = require "spec.support.kinds"
local load = require "bpf.trace.load"
local program = require "bpf.program"
local tool = require "spec.support.command"

local fails = tool.fails

describe("programs of a trace", function()
  local compile, load_compiled = program.compile_programs, program.load_compiled
  teardown(function() program.compile_programs, program.load_compiled = compile, load_compiled end)

  -- Loads bodies b1 to bn of two sections as a kernel does that refuses some. Returns the names of those that are left,
  -- those that failed, and how many programs it took to find that out.
  local function loaded(count, refused)
    local list, rows, failed, tried = {}, {}, {}, 0
    for n = 1, count do
      local probe = { section = "usdt/x" .. n % 2, title = "b" .. n, kind = "usdt" }
      list[n] = { title = probe.title, section = probe.section, probe = { event = true, kind = "usdt" }, row = n % 2,
        members = { { probe = probe } } }
      rows[n] = { name = "b" .. n }
    end
    function program.compile_programs() return {} end
    function program.load_compiled(_, _, options)
      for odd = 1, 0, -1 do -- section by section
        for n = 1, count do
          if n % 2 == odd and options.autoload["b" .. n] == nil then
            tried = tried + 1
            if refused["b" .. n] then
              return nil, ("bpf.trace: b%d:1: object 'trace': load: prog 'b%d': no (EPERM)"):format(n, n), "EPERM"
            end
          end
        end
      end
      return setmetatable({ progs = {} }, { __close = function() end })
    end
    local obj, left = load.some(list, rows, {}, failed)
    for n, body in ipairs(left) do
      left[n] = body.title
    end
    for n, row in ipairs(failed) do
      failed[n] = ("%s %s %s"):format(row.probe.title, row.message, row.code)
    end
    return obj and table.concat(left, " "), table.concat(failed, ", "), tried
  end

  it("that are refused are left out, each with the kernel's reason", function()
    local left, failed = loaded(5, { b1 = true, b4 = true })
    assert.equal("b2 b3 b5", left)
    assert.equal("b1 line 1: no (EPERM) EPERM, b4 line 1: no (EPERM) EPERM", failed)
  end)

  it("are tried once more at most to find out which, and then loaded", function()
    local refused = {}
    for n = 2, 100, 3 do
      refused["b" .. n] = true
    end
    local _, _, tried = loaded(100, refused)
    assert.is_true(tried <= 300, tried)
  end)

  it("are nothing where all are refused", function()
    local left, failed = loaded(2, { b1 = true, b2 = true })
    assert.is_nil(left)
    assert.equal("b1 line 1: no (EPERM) EPERM, b2 line 1: no (EPERM) EPERM", failed)
  end)
end)

describe("lua-bpf trace", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  local SURE <const> = "tracepoint/raw_syscalls/sys_enter"

  -- What a trace prints while a command runs alone. Its words of what the kernel refuses would end in a skip.
  local function traced(...)
    local words = { "trace -c true" }
    for _, word in ipairs { ... } do
      words[#words + 1] = helper.quote(word)
    end
    return tool.works(table.concat(words, " ") .. " 2>&1 | sed 's/this kind of program/such a program/'")
  end

  it("leaves out a probe that the verifier refuses, and not a body that it refuses everywhere", function()
    kinds.need("tp_btf/sched_process_exit")
    local less, more = "tp_btf/sched_process_free", "tp_btf/sched_process_exec" -- of one and of three arguments
    local output = traced(more .. "," .. less, "n = count(arg2 ~= 0)")
    assert.matches("warning: " .. less .. ": line 1: refused by the verifier: [^\n]+\nready, 1 probe\n", output)
    assert.matches("\nn\n +true +1\n", output)
    fails(1, "lua%-bpf: " .. less .. ": line 2: refused by the verifier: ",
      ("trace -c true %s 'n = 1\ncount(arg2)' %s 'm = count()'"):format(less, SURE))
  end)

  it("leaves out an iterator that this kernel refuses", function()
    local output = traced("iter/bpf_map_elem,iter/task," .. SURE, "n = count()")
    assert.matches("warning: iter/bpf_map_elem: [^\n]+%([A-Z]+%)\n", output)
    assert.matches("\nn: [0-9]+\n", output)
  end)

  it("leaves out a function that the kernel lets nobody trace", function()
    kinds.need("fentry/vfs_read")
    local untraced
    for _, name in ipairs { "migrate_disable", "__rcu_read_lock", "rcu_read_unlock_strict" } do
      local prog <close>, _, code = bpf.program("fentry/" .. name, function() return 0 end)
      untraced = untraced or not prog and code == "EINVAL" and "fentry/" .. name
    end
    if not untraced then
      helper.skip("it must be known of a function that this kernel refuses to trace")
    end
    local output = traced(untraced .. ",fentry/vfs_read", "n = count(arg0 ~= 0)", SURE, "m = count()")
    assert.matches("warning: " .. untraced .. ": [^\n]+%(EINVAL%)\nready, 2 probes", output)
    assert.falsy(output:find("BPF program load failed", 1, true), output)
    assert.matches("warning: " .. untraced .. ": [^\n]+\nready, 1 probe\n",
      traced(untraced, "n = count()", SURE, "m = count()"))
    fails(1, "lua%-bpf: " .. untraced .. ": [^\n]+%(EINVAL%)\n$", ("trace %s 'count()'"):format(untraced))
  end)

  it("shares tables and variables also with bodies that are left out", function()
    local output = traced("iter/bpf_map_elem", "start[1] = nsecs n = n + 1", SURE, "m = count(start[1])", "end",
      "print(n)")
    assert.matches("warning: iter/bpf_map_elem: ", output)
    assert.matches("\n0\n", output)
  end)

  it("ends where nothing but a body of its own is left", function()
    fails(1, "lua%-bpf: iter/bpf_map_elem: [^\n]+\n$", "trace -n 5 iter/bpf_map_elem 'count()' end 'print(1)'"
      .. " 2>&1 | { sed 's/this kind of program/such a program/'; exit 1; }")
  end)

  it("says how many programs a tracepoint takes", function()
    local bodies = {}
    for n = 1, 70 do
      bodies[n] = ("tracepoint/syscalls/sys_enter_setfsgid 'n%d = args.gid'"):format(n)
    end
    local output = tool.works("trace -c true " .. table.concat(bodies, " ") .. " end 'print(n1)'")
    assert.matches("warning: tracepoint/syscalls/sys_enter_setfsgid and %d+ more: the tracepoint has as many programs "
      .. "as the kernel lets it have, 64 [^\n]+ raw tracepoints take any number %(E2BIG%)\nready, %d+ probes\n", output)
  end)

  it("takes a probe once that a list or its patterns have twice, and runs all bodies of a probe", function()
    local probe = "tracepoint/sched/sched_process_exec"
    assert.equal("begun\nready, 3 probes\nn: 1\n\nm: 1\n", traced("begin,begin", [[print("begun")]],
      ("%s,tracepoint:sched:sched_process_ex?c,%s"):format(probe, probe), "n = count()", probe, "m = count()",
      probe .. "," .. probe, "x = args.pid"))
    assert.matches("^ready, 2 probes\n", traced("interval/10,interval/10,interval/20", "n = count()"))
    assert.matches("^ready, 1 probe\n", traced("uprobe/libc.so.6:malloc,u:libc.so.6:malloc", "n = count()"))
  end)

  it("looks for hooks, sleepable programs and instructions by the functions that they are in", function()
    local output = traced("lsm/nothing,fentry.s/nothing,kprobe/nothing+4,uprobe/libc.so.6:nothing+4,ksyscall/nothing,"
      .. "uprobe.s/libc.so.6:nothing,uprobe/libc.so.6:malloc+4," .. SURE, "n = count(probe)")
    for _, name in ipairs { "lsm/", "fentry.s/", "uprobe.s/libc.so.6:" } do
      assert.matches(("warning: there is no %snothing[ \n]"):format(name), output)
    end
    assert.matches("warning: there is no kprobe/nothing%+4\nwarning: there is no uprobe/libc.so.6:nothing%+4\n", output)
    assert.matches("\nwarning: ksyscall/nothing: [^\n]+%(ENOENT%)\nready, 2 probes\n", output)
  end)
end)

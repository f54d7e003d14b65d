-- SPDX-License-Identifier: MIT
-- Whom a trace follows: the children of a command or of a process, and the members of a cgroup.
local bpf = require "bpf"
local cgroup = require "spec.support.cgroup"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local posix = require "bpf.base.posix"

local EXEC <const> = "tracepoint/sched/sched_process_exec"

-- Runs a trace that writes to a file. Returns what it wrote.
local function traced(options)
  options.output = helper.tmpdir() .. "/trace"
  assert(bpf.trace(options))
  local file <close> = assert(io.open(options.output))
  return file:read("a")
end

describe("a trace", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  it("follows a command alone, unless its children are asked for", function()
    local command = { "sh", "-c", "(sleep 0; /bin/true) & wait; exec cat /dev/null" }
    assert.equal("sh\ncat\n", traced { { EXEC, "print(comm)" }, command = command })
    assert.equal("sh\nsleep\ntrue\ncat\n", traced { { EXEC, "print(comm)" }, command = command, follow = true })
  end)

  it("follows children from their first system call to their end", function()
    local text = traced {
      { "tracepoint/raw_syscalls/sys_enter", "calls = count(comm)" },
      { "tracepoint/sched/sched_process_exit", "ends = count(comm)" },
      command = "sh -c '(exec true); dd if=/dev/zero of=/dev/null bs=1 count=300; exit 0'", follow = true, json = true,
    }
    assert.matches('{"key":%["dd"%],"count":[67][0-9][0-9]}', text)
    assert.matches('{"name":"ends",.*{"key":%["dd"%],"count":1}', text)
    assert.matches('{"name":"ends",.*{"key":%["true"%],"count":1}', text)
  end)

  it("follows the children of a process, those too that it has already", function()
    local path = helper.tmpdir() .. "/runs"
    local loop = ("touch %s; while [ -e %s ]; do /bin/true; done"):format(path, path)
    local shell <close> = assert(posix.child { "sh", "-c", ("sh -c %s & wait"):format(helper.quote(loop)) })
    assert(shell:go())
    assert.is_true(helper.eventually(function() return posix.is_file(path) end))
    assert.equal("true\n", traced { { EXEC, "print(comm) exit()" }, pid = shell:pid(), follow = true })
    os.remove(path)
  end)

  it("follows the members of a cgroup, and of those in it", function()
    local group <close> = cgroup.new()
    local child <close> = cgroup.new(group)
    local both = child:command("/bin/true") .. "; cat /dev/null"
    local text = traced {
      { "every 0.05", ("os.execute(%q)"):format(both) },
      { EXEC, "print(comm) if comm == 'true' then exit() end" }, cgroup = group.path,
    }
    assert.equal("true\n", text)
  end)

  it("takes a cgroup by the path that `cgroup` prints", function()
    local group <close> = cgroup.new()
    local shown = group.path:sub(#cgroup.root() + 1)
    assert.equal(shown .. "\n", traced {
      { "every 0.05", ("os.execute(%q)"):format(group:command("/bin/true")) }, { EXEC, "print(cgroup) exit()" },
      cgroup = shown,
    })
  end)

  it("says what is no cgroup", function()
    for path, pattern in pairs {
      [helper.absent()] = "^bpf.trace: cgroup '/.*': there is no such folder$",
      ["/etc"] = "^bpf.trace: cgroup '/etc': ",
      ["/etc/passwd"] = "^bpf.trace: cgroup '/etc/passwd': it is no folder$",
    } do
      local status, message = bpf.trace { { EXEC, "count()" }, cgroup = path }
      assert.is_nil(status)
      assert.matches(pattern, message)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- bpf.trace: what it takes, what it returns, and what it raises.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local raises = helper.raises

-- Runs a trace that writes to a file. Returns what it wrote, and its status.
local function traced(options)
  options.output = helper.tmpdir() .. "/trace"
  local status = assert(bpf.trace(options))
  local file <close> = assert(io.open(options.output))
  return file:read("a"), status
end

describe("what bpf.trace is given", function()
  it("is checked", function()
    for pattern, given in pairs {
      ["a table of probes and options is expected, got nil$"] = 1,
      ["which probes, and what is to be done there%?"] = {},
      ["bpf.trace: 2: probes and a body are expected"] = { { "begin", "x" }, { "begin" } },
      ["bpf.trace: 1: a body is a text, .* and this is a function"] = { { "begin", print } },
      ["there is no option 'secs' %(options: cgroup, "] = { { "begin", "x" }, secs = 1 },
      ["option 'seconds' must be a number of seconds above 0, got 0$"] = { { "begin", "x" }, seconds = 0 },
      ["option 'pid' must be the number of a process, got string$"] = { { "begin", "x" }, pid = "7" },
      ["option 'command' must be a string, or a sequence of words, got table$"] = { { "begin", "x" }, command = {} },
      ["option 'where' has a NUL byte in it$"] = { { "begin", "x" }, where = "a\0" },
      ["option 'follow' needs 'pid' or 'command'"] = { { "begin", "x" }, follow = true },
      ["options 'pid' and 'command' exclude each other$"] = { { "begin", "x" }, pid = 1, command = "true" },
      ["command: a quote ' is not closed: a 'b$"] = { { "begin", "x" }, command = "a 'b" },
    } do
      local message = raises(function() bpf.trace(given ~= 1 and given or nil) end, pattern)
      assert.matches("trace_options_spec.lua:[0-9]+: bpf.trace: ", message)
    end
  end)

  it("is wrong where a body is, at a probe and a line", function()
    kernel.root()
    raises(function() bpf.trace { { "interval/1", "local x\ncoutn()" } } end,
      "trace_options_spec.lua:[0-9]+: bpf.trace: interval/1:2: no function 'coutn' %(count%?%)")
    raises(function() bpf.trace { { "interval/1", "local x = 1.5 * nsecs" } } end, "interval/1:1: 1.5 is a float")
  end)
end)

describe("bpf.trace", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  it("prints, gathers, and returns the status of its command", function()
    local text, status = traced {
      { "begin", [[print("begun")]] },
      { "tracepoint/sched/sched_process_exec", [[printf("%s\n", comm) n = count()]] },
      command = { "sh", "-c", "exec sh -c 'exit 3'" }, where = 'comm == "sh"',
    }
    assert.equal(3, status)
    assert.matches("^begun\nsh\nsh\nn: 2\n$", text)
  end)

  it("returns 0 at its end without a command", function()
    local text, status = traced { { "interval/1", "n = count()" }, seconds = 0.01, json = true }
    assert.equal(0, status)
    assert.matches('^{"name":"n"', text)
  end)

  it("returns nil, a message, a code and a status where it fails", function()
    for pattern, case in pairs {
      ["^bpf.trace: there is no tracepoint/sched/sched_swtch %(near: .*sched_switch"] =
        { "ENOENT", 2, { { "tracepoint/sched/sched_swtch", "count()" } } },
      ["^bpf.trace: there is no process 99999999$"] = { "ESRCH", 1, { { "interval/1", "count()" }, pid = 99999999 } },
      ["^bpf.trace: command '/.*' can't be executed: "] =
        { "ENOENT", 127, { { "interval/1", "count()" }, command = helper.absent() } },
      ["^bpf.trace: /.*%(ENOENT%)$"] =
        { "ENOENT", 1, { { "interval/1", "count()" }, output = helper.absent() .. "/x" } },
    } do
      local result, message, code, status = bpf.trace(case[3])
      assert.is_nil(result)
      assert.matches(pattern, message)
      assert.same({ case[1], case[2] }, { code, status })
    end
  end)
end)

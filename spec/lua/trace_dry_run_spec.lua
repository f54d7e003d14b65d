-- SPDX-License-Identifier: MIT
-- lua-bpf trace --dry-run: the instructions of programs, as text.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local tool = require "spec.support.command"

local works, quote = tool.works, helper.quote

describe("lua-bpf trace --dry-run", function()
  it("prints the instructions of each probe with the lines of Lua", function()
    local output = works("trace --dry-run raw_tp/sched_switch " .. quote "n = n + 1\nstart[tid] = nsecs"
      .. " software/cpu-clock/1000000 " .. quote "if n > 3 then exit() end count(cpu)")
    assert.matches("^raw_tp/sched_switch: %d+ instructions\n  ; before and behind the body\n", output)
    assert.matches("\n     0  r%d = &trace_ended\n", output)
    assert.matches("\n  ; 1: n = n %+ 1\n.* r%d = &shared_n\n.* r%d %+= 1\n", output)
    assert.matches("\n  ; 2: start%[tid%] = nsecs\n.*call ktime_get_ns\n.* map start\n.*call map_update_elem\n", output)
    assert.matches("\n\nsoftware/cpu%-clock/1000000: %d+ instructions\n.*lock add%(%*%(u64 %*%)%(r0 %+ 0%), r%d%)\n",
      output)
    assert.matches(" exit\n$", output)
  end)

  it("jumps to instructions that are there", function()
    local output = works("trace --dry-run --where 'pid > 1' raw_tp/sched_switch 'hist(nsecs, comm)'")
    local there, targets = {}, 0
    for at in output:gmatch "\n *(%d+)  " do
      there[at] = true
    end
    for target in output:gmatch "goto (%d+)\n" do
      assert.is_true(there[target], output)
      targets = targets + 1
    end
    assert.is_true(targets > 3, output)
  end)

  it("starts no command", function()
    local path = helper.absent()
    works(("trace --dry-run -c %s raw_tp/sched_switch 'count()'"):format(quote("touch " .. path)))
    assert.is_nil(io.open(path))
  end)

  it("writes to a file, and is an option of bpf.trace", function()
    local path = os.tmpname()
    assert.equal(0, bpf.trace { { "raw_tp/sched_switch", "count()" }, dry_run = true, output = path })
    local file <close> = assert(io.open(path))
    os.remove(path)
    assert.matches("^raw_tp/sched_switch: %d+ instructions\n", file:read "a")
  end)

  it("says what can't be compiled", function()
    for _, whom in ipairs { "", "--cgroup / ", "-c true " } do
      tool.fails(2, "^lua%-bpf: raw_tp/sched_switch:1: no function 'coutn'",
        ("trace --dry-run %sraw_tp/sched_switch 'coutn()'"):format(whom))
    end
    tool.fails(2, "raw_tp/sched_switch:1: str: the size must be a constant",
      "trace --dry-run raw_tp/sched_switch 'print(str(1, pid))'")
  end)

  it("needs no privileges where tracefs isn't needed", function()
    kernel.root()
    local output = tool.command("trace --dry-run software/cpu-clock/1000000 'count(comm)'",
      "setpriv --reuid 65534 --regid 65534 --clear-groups")
    assert.matches("^software/cpu%-clock/1000000: %d+ instructions\n", output)
  end)
end)

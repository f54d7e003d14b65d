-- SPDX-License-Identifier: MIT
-- What processes have mapped, by the kernel's own records: names for addresses in processes that have ended.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local mappings = require "bpf.trace.mappings"

local CHILD <const> = helper.pid -- whose forks the kernel tells of as well

-- Runs a shell command. Returns its process's number.
local function ended(command)
  return math.tointeger(tonumber((helper.run("echo $$; " .. command):match("^(%d+)\n"))))
end

local function paths(process)
  local list = {}
  for _, map in ipairs(process.maps) do
    list[#list + 1] = map.path
  end
  return table.concat(list, " ")
end

describe("mappings of processes", function()
  kernel.root()

  local kept, changed

  before_each(function()
    changed = {}
    kept = assert(mappings.open(function(pid) changed[pid] = true end))
  end)

  after_each(function()
    kept:close()
  end)

  it("are known when a process has ended", function()
    local pid = ended "exec cat /dev/null"
    assert.is_nil(bpf.symbols.process(pid))
    kept:consume()
    assert.is_true(changed[pid])
    local process = kept:process(pid)
    assert.matches("/cat ", paths(process))
    assert.matches("/libc.so.6", paths(process))
    for _, map in ipairs(process.maps) do
      if map.path and map.path:find("/libc.so.6", 1, true) then
        assert.matches("%(libc.so.6%)$", bpf.symbols.text(process, map.from + 4096))
      end
    end
  end)

  it("are inherited by a process that executes nothing", function()
    local output = helper.run("sh -c '(read x </dev/null; read pid rest </proc/self/stat; echo $pid); true'")
    local inner = math.tointeger(tonumber((output:gsub("\n", ""))))
    kept:consume()
    assert.matches("/libc.so.6", paths(assert(kept:process(inner), output)))
  end)

  it("of processes that were there before are read when they are needed, or kept", function()
    kept:keep(CHILD)
    assert.matches("core%.so", paths(kept:process(CHILD)))
    assert.is_nil(kept:process(99999999))
  end)

  it("of all processes that were there before are kept, some at a time", function()
    for _ = 1, 100000 do
      kept:keep_some()
      if #kept.before == 0 then
        break
      end
    end
    assert.matches("core%.so", paths({ maps = kept.known[CHILD] }))
  end)

  it("have a descriptor to wait for, and end when they are closed", function()
    assert.is_number(kept:fd())
    kept:close()
    assert.error_matches(function() kept:consume() end, "closed")
  end)
end)

describe("a trace", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  it("names functions of its command, when that has ended", function()
    local path = helper.tmpdir() .. "/trace"
    assert(bpf.trace { { "uprobe/libc.so.6:malloc", "count(ustack(1))" }, command = "ls /", output = path })
    assert.matches("malloc %(libc%.so%.6%)", helper.read(path))
  end)
end)

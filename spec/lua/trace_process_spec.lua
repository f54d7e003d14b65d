-- SPDX-License-Identifier: MIT
-- Whom a trace follows: commands that wait until they are told to run.
local helper = require "spec.helper"
local posix = require "bpf.base.posix"
local process = require "bpf.trace.process"
local tool = require "spec.support.command"

local function fails(pattern, call, ...)
  local ok, failure = pcall(call, ...)
  assert.is_false(ok)
  assert.matches(pattern, type(failure) == "table" and failure.trace or failure)
end

-- The status of a command, when it has ended.
local function finish(child)
  if child:fd() then
    assert.is_true(posix.poll({ [child:fd()] = "read" }, 10000 * helper.slow)[child:fd()])
  end
  local status, message
  repeat
    status, message = child:status()
  until status or message
  return assert(status, message)
end

describe("the words of a command", function()
  it("are parted by blanks, with quotes and backslashes", function()
    for text, words in pairs {
      ["dd if=/dev/zero  count=1 "] = { "dd", "if=/dev/zero", "count=1" },
      [ [[sh -c 'echo "$1"' '' x\ y]] ] = { "sh", "-c", 'echo "$1"', "", "x y" },
      [ [["a \"b\" \n" 'c'd"e"]] ] = { [[a "b" \n]], "cde" },
    } do
      assert.same(words, process.words(text))
    end
  end)

  it("that are wrong raise", function()
    fails("^command: a quote ' is not closed: a 'b$", process.words, "a 'b")
    fails('^command: a quote " is not closed: a "b\\"$', process.words, [[a "b\"]])
    fails("^command: a command is expected$", process.words, " ")
  end)
end)

describe("a command", function()
  it("runs when it is told to, and its status is as a shell tells it", function()
    local path = os.tmpname()
    local child <close> = process.start { "sh", "-c", "echo $$ > " .. path .. "; exit 7" }
    assert.is_nil(child:status())
    local file <close> = assert(io.open(path))
    assert.is_nil(file:read("n"))
    assert.is_true(child:go())
    assert.equal(7, finish(child))
    assert.equal(child:pid(), file:read("n"))
    assert.equal(7, child:status())
    os.remove(path)
    assert.error_matches(function() child:go() end, "was started before")
  end)

  it("is traced from its execution on", function()
    local calls, first = tool.works([[trace -c true 'tracepoint/raw_syscalls/*' 'print(probe, syscall(args.id))']]), {}
    for probe, call in calls:gmatch("tracepoint/raw_syscalls/([a-z_]+)\t([a-z_]+)") do
      first[#first + 1] = probe .. " " .. call
    end
    assert.same({ "sys_enter execve", "sys_exit execve" }, { table.unpack(first, 1, 2) })
  end)

  it("that a signal ends has a status above 128", function()
    local child <close> = process.start "sh -c 'kill -9 $$'"
    assert.is_true(child:go())
    assert.equal(137, finish(child))
    child:close()
    assert.error_matches(function() child:status() end, "the command's handle is closed")
  end)

  it("that can't be executed tells why", function()
    local child <close> = process.start(helper.absent())
    local ok, message, code = child:go()
    assert.is_nil(ok)
    assert.matches("^the command can't be executed: .*%(ENOENT%)$", message)
    assert.equal("ENOENT", code)
    assert.equal(127, finish(child))
  end)

  it("that was never told to run ends with its handle", function()
    local child = process.start "true"
    local pid = child:pid()
    assert.is_true(child:close())
    assert.is_true(child:close())
    assert.is_nil(posix.file_status("/proc/" .. pid))
    assert.error_matches(function() child:pid() end, "the command's handle is closed")
  end)

  it("that runs still is ended by the close of its handle", function()
    local child = process.start "sleep 1000"
    assert(child:go())
    local pid = child:pid()
    child:close()
    assert.is_true(helper.eventually(function()
      local file <close> = io.open(("/proc/%d/stat"):format(pid))
      return not file or file:read("a"):find(") Z ", 1, true) ~= nil
    end))
  end)

  it("is checked", function()
    assert.error_matches(function() posix.child() end, "table expected")
    assert.error_matches(function() posix.child {} end, "the words of a command expected")
    assert.error_matches(function() posix.child { "a", 1 } end, "strings without NULs expected")
    assert.error_matches(function() posix.child { "a\0" } end, "strings without NULs expected")
  end)
end)

describe("a process", function()
  it("runs until it ends, not until its status is asked for", function()
    assert.is_true(process.runs(helper.pid))
    assert.is_false(process.runs(99999999))
    local child <close> = process.start "true"
    assert.is_true(process.runs(child:pid()))
    assert.is_true(child:go())
    assert.is_true(helper.eventually(function() return not process.runs(child:pid()) end))
    assert.equal("directory", posix.file_status("/proc/" .. child:pid()))
  end)
end)

describe("the condition of a trace", function()
  it("joins what was asked for", function()
    assert.is_nil(process.condition({}))
    assert.equal("pid == 7 and (a or b)", process.condition { pid = 7, where = "a or b" })
    fails("^there is no process 99999999$", process.check, 99999999)
    process.check(helper.pid)
    assert.equal("__inside == 1", process.condition { cgroup = "/" })
    assert.equal("(__earlier[pid] or __later[__thread])", process.condition { pid = 7, follow = true })
  end)
end)

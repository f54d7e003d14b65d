-- SPDX-License-Identifier: MIT
-- lua-bpf trace: how it ends, with which status, and what it has written then; prints in between.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local tool = require "spec.support.command"

local works, fails = tool.works, tool.fails

local CLOSES <const> = "tracepoint/syscalls/sys_enter_close"
local OFTEN <const> = "interval/0.05" -- also where nothing else runs
local READY <const> = "grep -q ^ready $out" -- for helper.interrupt

describe("the end of lua-bpf trace", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  -- Runs a trace in the background of a shell, waits until it is ready, and runs commands that know its number as
  -- $pid. Returns what it printed, and what it ended with.
  local function ended(arguments, commands)
    return helper.run(([[
      err=$(mktemp); env --default-signal %s %s 2>$err & pid=$!
      until grep -q ^ready $err; do kill -0 $pid || break; sleep 0.02; done
      %s
      wait $pid; status=$?; cat $err; rm $err; exit $status]]):format(tool.COMMAND, arguments, commands))
  end

  it("by Ctrl-C or SIGTERM is a success, with what was gathered", function()
    local output, ok = helper.interrupt(tool.COMMAND .. "trace " .. CLOSES .. " 'n = count()'", READY)
    assert.is_true(ok)
    assert.matches("\nn: [0-9]+\n$", output)
    output, ok = ended("trace " .. CLOSES .. " 'n = count()'", "kill $pid")
    assert.is_true(ok)
    assert.matches("^n: [0-9]+\n", output)
  end)

  it("by SIGHUP is a success, too, also where it comes twice", function()
    local path = helper.tmpdir() .. "/go"
    local body = ([[io.stderr:write("ending\n") repeat until io.open(%q) print "end"]]):format(path)
    local output, ok = ended(("trace %s 'n = count()' end %s"):format(CLOSES, helper.quote(body)), ([[
      kill -HUP $pid; until grep -q ^ending $err; do kill -0 $pid || break; sleep 0.02; done
      kill -HUP $pid; touch %s]]):format(path))
    assert.is_true(ok)
    assert.matches("^end\nn: [0-9]+\n", output)
  end)

  it("doesn't come by SIGHUP where that is ignored, as under nohup", function()
    local path = helper.tmpdir() .. "/out"
    local body = helper.quote [[io.stderr:write("on\n")]]
    local output, ok = helper.run(([[
      err=$(mktemp)
      env --default-signal --ignore-signal=HUP %strace -o %s %s 'n = count()' every/0.05 %s 2>$err & pid=$!
      until grep -q ^on $err; do kill -0 $pid || break; sleep 0.02; done
      kill -HUP $pid; before=$(grep -c ^on $err)
      until [ $(grep -c ^on $err) -gt $((before + 2)) ]; do kill -0 $pid || break; sleep 0.02; done
      kill $pid || echo gone
      wait $pid; status=$?; cat $err; rm $err; exit $status]]):format(tool.COMMAND, path, CLOSES, body))
    assert.is_true(ok, output)
    assert.is_nil(output:find("gone", 1, true))
    assert.matches("^n: [0-9]+\n$", helper.read(path))
  end)

  it("by Ctrl-C ends its command as well, and writes its file", function()
    local path = helper.tmpdir() .. "/out"
    local command = "trace -c 'sleep 1000' -o %s %s 'n = count()'"
    local _, ok = helper.interrupt(tool.COMMAND .. command:format(path, CLOSES), READY)
    assert.is_true(ok)
    assert.matches("^n: [0-9]+\n$", helper.read(path))
  end)

  it("comes at once with a second Ctrl-C", function()
    local body = [[io.stderr:write("ending\n") while true do end]]
    local _, _, status = ended(("trace %s 'n = count()' end %s"):format(CLOSES, helper.quote(body)),
      "kill -INT $pid; until grep -q ^ending $err; do kill -0 $pid || break; sleep 0.02; done; kill -INT $pid")
    assert.equal(130, status)
  end)

  it("comes with the command, whose status it has, also where a signal ended that", function()
    fails(3, "ready, 1 probe\nn: [0-9]+\n", ("trace -c \"sh -c 'exit 3'\" %s 'n = count()'"):format(CLOSES))
    fails(137, "\nn: [0-9]+\n", ("trace -c \"sh -c 'kill -9 $$'\" %s 'n = count()'"):format(CLOSES))
    fails(126, "command '/etc/passwd' can't be executed: .*EACCES",
      ("trace -c /etc/passwd %s 'count()'"):format(CLOSES))
  end)

  it("comes with the process that is traced", function()
    local output = helper.run(([[
      sleep 1000 & sleeper=$!
      err=$(mktemp); %s trace -p $sleeper %s 'n = count()' 2>$err & pid=$!
      until grep -q ^ready $err; do kill -0 $pid || break; sleep 0.02; done
      kill $sleeper; wait $pid; echo status $?; rm $err]]):format(tool.COMMAND, CLOSES))
    assert.matches("n: [0-9]+\nstatus 0\n$", output)
  end)

  it("comes when nobody reads what it writes any more, also if it writes nothing", function()
    local command = "trap '' PIPE; { %strace %s; echo status $? >&2; } | head -n %d"
    local output = helper.run(command:format(tool.COMMAND, OFTEN .. " 'print(comm)'", 1))
    assert.matches("status 141\n", output)
    output = helper.run(command:format(tool.COMMAND, CLOSES .. " 'n = count()'", 0))
    assert.matches("ready, 1 probe\n.*status 141\n", output)
  end)

  it("comes at its beginning without rights, and tells which are missing", function()
    local user = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "
    for _, probe in ipairs { CLOSES, "profile/99" } do
      local output, _, status = tool.command(("trace %s 'count()'"):format(probe), user)
      assert.is_true(status == 1 or status == 2)
      assert.matches("\nTracing is for root, or takes CAP_BPF", output)
    end
  end)

  it("comes with an error where nothing can be written", function()
    fails(1, "write: No space left on device %(ENOSPC%)\n$", ("trace -o /dev/full %s 'print(comm)'"):format(OFTEN))
    fails(1, "write: No space left on device %(ENOSPC%)\n$", ("trace -n 0.1 -o /dev/full %s 'count()'"):format(CLOSES))
    fails(1, "/absent: No such file or directory %(ENOENT%)\n$",
      ("trace -o %s/absent %s 'count()'"):format(helper.absent(), CLOSES))
  end)
end)

describe("lua-bpf trace --interval", function()
  kernel.root()
  kernel.need("ring buffers", "5.8")

  it("prints what has been gathered so far, again and again", function()
    local output = works(("trace --interval 0.1 -n 0.35 %s 'n = count()'"):format(CLOSES))
    local before, times = 0, 0
    for n in output:gmatch("\n[0-9][0-9]:[0-9][0-9]:[0-9][0-9]\nn: ([0-9]+)") do
      assert.is_true(tonumber(n) >= before)
      before, times = tonumber(n), times + 1
    end
    assert.is_true(times >= 2, output)
    assert.is_true(tonumber(output:match("n: ([0-9]+)\n$")) >= before)
  end)

  it("prints objects of JSON for bytes that are no text, too", function()
    local output = works("trace --json -n 0.01 begin " .. helper.quote [[print("a\xffb\"")]])
    assert.matches('{"type":"print","text":"a[^"]+b\\""}\n', output)
    assert.is_not_nil(utf8.len(output))
  end)

  it("prints an object a line with --json, for lines of print and printf, too", function()
    local json = require "dkjson"
    local output = works(("trace --json --interval 0.1 -n 0.35 begin %s %s 'n = count()'"):format(
      helper.quote [[print("a", 1) printf("%d\n", 2)]], CLOSES))
    local kinds = {}
    for line in output:gsub("^ready[^\n]*\n", ""):gmatch("[^\n]+") do
      local object = line:find("^{") and assert(json.decode(line), line)
      if object then
        kinds[object.type] = (kinds[object.type] or 0) + 1
      end
    end
    assert.is_true(kinds.interval >= 2)
    assert.equal(kinds.interval + 1, kinds.count)
    assert.equal(2, kinds.print)
    assert.matches('{"type":"print","text":"a\\t1"}\n{"type":"print","text":"2"}\n', output)
  end)
end)

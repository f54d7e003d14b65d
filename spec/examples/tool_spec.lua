-- SPDX-License-Identifier: MIT
-- The guide's chapter docs/tool.md: its program, examples/connects, as a user runs it; and its other blocks.
local bpf = require "bpf"
local chapters = require "spec.support.chapters"
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local socket = helper.require "socket"

describe("the chapter about a tool", function()
  it("shows parts of its program as they are", function()
    chapters.check_parts("docs/tool.md", "examples/connects/main.lua", 5)
  end)
end)

describe("connects", function()
  it("explains itself without root", function()
    assert(examples.well("connects", "--port 80 --help"):find "^Usage: main.lua")
  end)

  it("refuses arguments that it doesn't understand", function()
    for _, arguments in ipairs { "--foo", "-x", "80", "--pid", "--pid x", "--pid 0", "--port 65536", "--port 1.5",
      "--seconds -1", "--seconds ''" } do
      local output, _, code = examples.run("connects", arguments)
      assert.equal(2, code, output)
      assert(output:find "^connects: [^\n]+\n.*Usage: main.lua", output)
    end
  end)

  it("says what is missing where the kernel refuses it", function()
    local wrap = helper.run("id -u") == "0\n" and "setpriv --bounding-set=-all --inh-caps=-all" or nil
    local output, _, code = examples.run("connects", "", wrap)
    assert.equal(1, code, output)
    assert(output:find "^connects: object 'connects': load: [^\n]*%(EPERM%)\n$", output)
  end)

  it("ends by itself", function()
    examples.need_root()
    local text = examples.well("connects", "--seconds 1 --port 65535")
    assert(text:find "RESULT   PORT  ADDRESS\n[^%z]*\n%d+ connections?\n", text)
    assert.equal("", (examples.well("connects", "--seconds 1 --output json --pid 2147483647")))
    assert.equal("PID,COMMAND,MILLISECONDS,RESULT,PORT,ADDRESS\r\n",
      (examples.well("connects", "--seconds 1 --output csv --pid 2147483647")))
  end)

  describe("beside a process that connects", function()
    local listener, port

    setup(function()
      kernel.root()
      listener = assert(socket.bind("127.0.0.1", 0))
      port = select(2, listener:getsockname())
    end)
    teardown(function()
      if listener then
        listener:close()
      end
    end)

    -- Watches a process that opens a connection and fails to open another. Then sends a signal. Returns what was
    -- printed, the exit status, and the ids of the programs that the kernel held meanwhile.
    local function watched(options, signal)
      local output = helper.run((([[
        mkfifo DIR/go
        bash -c 'read go <DIR/go; : </dev/tcp/127.0.0.1/PORT; : </dev/tcp/127.0.0.1/9' 2>/dev/null & bash=$!
        env --default-signal COMMAND --pid $bash >DIR/out 2>&1 & pid=$!
        until [ -s DIR/out ] || ! kill -0 $pid; do sleep 0.02; done
        echo >DIR/go
        until grep -q 'failed' DIR/out || ! kill -0 $pid; do sleep 0.02; done
        sed -n 's/^prog_id:.*\t/program /p' /proc/$pid/fdinfo/* | sort -u
        kill -SIGNAL $pid; wait $pid; echo "exit $?"
        cat DIR/out; rm -r DIR/*]]):gsub("%u%u+", { DIR = helper.tmpdir(), PORT = port, SIGNAL = signal,
        COMMAND = examples.command("connects", "--seconds 600 " .. options) })))
      local programs, code, printed = output:match "^(.-)exit (%d+)\n(.*)$"
      assert(programs, output)
      local ids = {}
      for id in programs:gmatch "program (%d+)" do
        ids[#ids + 1] = math.tointeger(tonumber(id))
      end
      assert(ids[1], output)
      return printed, code, ids
    end

    local function gone(id)
      return helper.eventually(function() return not bpf.prog_info(id) end)
    end

    for _, signal in ipairs { "INT", "TERM" } do
      it("shows both, and sums them up on SIG" .. signal, function()
        local output, code, ids = watched("", signal)
        assert.equal("0", code, output)
        assert(output:find "^    PID  COMMAND           MILLISECONDS  RESULT   PORT  ADDRESS\n", output)
        assert(output:find("\n +%d+  bash +0?%d*%.%d+  opened +" .. port .. "  127.0.0.1\n"), output)
        assert(output:find "\n +%d+  bash +%d*%.%d+  failed      9  127.0.0.1\n", output)
        assert(output:find "\n\n2 connections\n *PORT +OPENED +FAILED +AVERAGE\n", output)
        assert(output:find("\n *" .. port .. " +1 +0 +[%d.]+ [um]s\n"), output)
        assert(output:find "\n *9 +0 +1 +%-\n", output)
        assert.falsy(output:find("interrupted", 1, true))
        for _, id in ipairs(ids) do
          assert(gone(id), "program " .. id)
        end
      end)
    end

    it("shows only what fails, and sums all up", function()
      local output = watched("--failed", "INT")
      assert.falsy(output:find("opened  ", 1, true), output)
      assert(output:find("failed      9  127.0.0.1\n\n2 connections\n", 1, true), output)
    end)

    for name, status in pairs { KILL = "137", HUP = "129" } do
      it("leaves nothing attached, and prints no sum, on SIG" .. name, function()
        local output, code, ids = watched("", name)
        assert.equal(status, code)
        assert.falsy(output:find("connections", 1, true), output)
        for _, id in ipairs(ids) do
          assert(gone(id), "program " .. id)
        end
      end)
    end
  end)
end)

describe("the chapter's block about", function()
  setup(kernel.root)

  it("tc filters finds what SIGKILL has left, and leaves nothing on other signals", function()
    local dir = helper.tmpdir()
    helper.write(dir .. "/block.lua", "io.stdout:setvbuf 'line'\n" .. chapters.block("docs/tool.md", "attach_tc"))
    helper.run("cp examples/traffic/traffic.bpf.o " .. dir)
    local output = helper.run((([[
      cd DIR && exec unshare --net bash -c '
        ip link add eth0 type veth peer name eth1
        filters() { tc filter show dev eth0 ingress | grep -c "handle 0x1 .*incoming"; }
        for signal in KILL KILL INT TERM; do
          env --default-signal LUA block.lua >out 2>&1 & pid=$!
          until [ -s out ] || ! kill -0 $pid; do sleep 0.02; done
          echo "$(filters) while it runs"
          kill -$signal $pid; wait $pid
          echo "$(filters) after SIG$signal"
          rm -f out.old; mv out out.old
          grep -v attached out.old
        done' 2>&1]]):gsub("DIR", dir):gsub("LUA", helper.LUA)))
    assert(output:find("^1 while it runs\n[^%z]*1 after SIGKILL\n1 while it runs\n[^%z]*1 after SIGKILL\n" ..
      "1 while it runs\n[^%z]*0 after SIGINT\n1 while it runs\n[^%z]*0 after SIGTERM\n"), output)
  end)
end)

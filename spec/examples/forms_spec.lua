-- SPDX-License-Identifier: MIT
-- What examples do alike on every kernel: options that choose what is shown, other forms of it, how they end.
-- examples_spec.lua runs each as its reader would.
local examples = require "spec.support.examples"
local helper = require "spec.helper"

local both, need_root = examples.both, examples.need_root

describe("syscount", function()
  it("watches one process only when asked to", function()
    need_root()
    local output, ok = helper.run(([[
      dd if=/dev/zero of=/dev/null bs=1 & dd=$!
      %s examples/syscount/main.lua 1 --pid $dd; status=$?
      kill $dd; exit $status]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find "^Watching process %d+\n", output)
    assert(output:find(" system calls of 1 process in [%d.]+ s\n"), output)
  end)

  it("ends on Ctrl-C with its result", function()
    need_root()
    local output, _, code = helper.interrupt(examples.command("syscount", 60))
    assert.equal(0, code, output)
    assert(output:find " system calls of %d+ process%a* in %d%d?%.%d s\n", output)
    assert.falsy(output:find("interrupted", 1, true))
  end)

  it("draws a picture a second on a terminal, and leaves the terminal as it was", function()
    need_root()
    local output, ok = helper.run(("TERM=xterm script -qec %s /dev/null"):format(
      helper.quote("stty cols 90 rows 20; " .. helper.LUA .. " examples/syscount/main.lua 3")))
    assert(ok, output)
    assert.equal(1, select(2, output:gsub("\27%[%?25l", "")))
    assert.equal(1, select(2, output:gsub("\27%[%?25h", "")))
    assert(output:find "\27%[%?25l.*\r\27%[%d+A\27%[J.*\27%[%?25h", output)
    local last, pictures = 0, 0
    for text in output:gmatch "(%d+) of 3 s, %d+ process" do -- a busy machine may leave one out
      local second = tonumber(text)
      assert(second > last or second == 3, output) -- the last picture may be drawn again
      last, pictures = second, pictures + 1
    end
    assert(pictures >= 2, output)
  end)
end)

describe("opens", function()
  it("shows one process, and failures only, when asked to", function()
    need_root()
    local fifo = helper.tmpdir() .. "/fifo"
    local output = helper.run(([[
      mkfifo %s
      sh -c 'read go <%s; cat </etc/hostname </no/such/file; exec sleep 1' 2>/dev/null & sh=$!
      %s | { read head; echo >%s; cat; }]]):format(fifo, fifo,
      examples.command("opens", "--failed -p $sh " .. 2 * helper.slow), fifo))
    assert(output:find("^ +%d+  sh +E2  /no/such/file\n"), output)
    assert.falsy(output:find("/etc/hostname", 1, true))
  end)

  it("says what is missing", function()
    local output, _, code = examples.run("opens", "1", "PATH=" .. helper.bare_path())
    assert.equal(1, code)
    assert(output:find "^opens: bpf.compile: clang is not installed; .* package clang %(ENOENT%)\n$", output)
  end)
end)

describe("execsnoop", function()
  it("filters, and cuts long arguments", function()
    need_root()
    local output = examples.beside("execsnoop", "--seconds 600 --comm true", "/bin/true $(seq 1000); /bin/false")
    assert(output:find "  true +/bin/true 1 2 3 [%d ]+ \u{2026}\n", output)
    assert.falsy(output:find "/false", output)
  end)

  it("ends by itself", function()
    need_root()
    assert(examples.well("execsnoop", "--seconds 0.5 --parent 1"):find "\n%d+ programs? started\n$")
  end)
end)

both(describe, "opensnoop", function(name)
  it("leaves itself out", function()
    need_root()
    local output = helper.run(("sh -c 'echo $$; exec %s'"):format(examples.command(name, "--seconds 1")))
    local pid, shown = output:match "^(%d+)\n(.*)$"
    assert(shown:find "^Watching [^\n]+\n +PID +UID  COMMAND .*\n%d+ opens?[^\n]*\n$", output)
    assert.falsy(shown:find("\n *" .. pid .. " "), output)
  end)

  it("shows the files of one process", function()
    need_root()
    local output, before = examples.beside(name, "--seconds 600 --pid $$",
      [[: </etc/passwd; cat </etc/group >/dev/null; : </etc/group; echo "pid $$"]])
    local pid = before:match "pid (%d+)\n"
    assert(output:find("\n +" .. pid .. " +%d+  sh +3 +r +/etc/passwd\n"), output)
    for line in output:gmatch "\n( +%d+ [^\n]*/[^\n]*)" do
      assert.equal(pid, line:match "%d+")
    end
  end)

  it("shows only what failed", function()
    need_root()
    local output = examples.beside(name, "--seconds 600 --failed --comm cat", "cat /etc/hostname /nowhere")
    assert(output:find "  cat +ENOENT +r +/nowhere\n", output)
    assert.falsy(output:find("/etc/hostname", 1, true), output)
    assert(output:find "\n%d+ opens?\n$", output)
  end)
end)

describe("opensnoop-lua", function()
  it("needs nothing but Lua: no clang, and no object file", function()
    need_root()
    local output, ok = examples.run("opensnoop-lua", "--seconds 0.2", "PATH=" .. helper.bare_path())
    assert(ok, output)
    assert(output:find "^Watching [^\n]+\n +PID +UID  COMMAND .*\n%d+ opens?[^\n]*\n$", output)
    assert.same({ "main.lua" }, helper.entries "examples/opensnoop-lua")
  end)
end)

both(describe, "runqlat", function(name)
  it("ends on Ctrl-C with its result", function()
    need_root()
    assert(examples.beside(name, "--seconds 600", "sleep 0.5"):find "\n[%d.]+k? waits, on average ")
  end)
end)

both(describe, "profile", function(name)
  it("writes what pprof reads", function()
    need_root()
    local path = helper.tmpdir() .. "/cpu.pb"
    local output, ok = helper.run(([[
      %s & pid=$!; %s; status=$?
      kill $pid; exit $status]]):format(examples.busy(), examples.command(name, "--seconds 1 --pid $pid --pprof " ..
      path)))
    assert(ok, output)
    if not select(2, helper.run "command -v go") then
      helper.skip "go is not installed"
    end
    output, ok = helper.run(("cd / && env HOME=%s PPROF_TMPDIR=%s go tool pprof -symbolize=none -top %s"):format(
      helper.absent(), helper.tmpdir(), path))
    assert(ok, output)
    assert(output:find "\nType: cpu\n" and output:find "\nDuration: [%d.]+m?s, Total samples = [%d.]+m?s", output)
    assert(output:find "%% +inner\n" and output:find "%% +outer\n" and output:find "%% +main\n", output)
  end)

  it("writes what flame graph tools read, until Ctrl-C", function()
    need_root()
    local output = examples.beside(name, "--folded --freq 199 --seconds 600", ([[
      %s & busy=$!; dd if=/dev/zero of=/dev/null bs=1M status=none & dd=$!
      trap 'kill $busy $dd' EXIT; sleep %d]]):format(examples.busy(), 2 * helper.slow)) -- names of what lives
    assert(output:find "\n?busy;[^\n]*main;outer;inner [1-9]%d*\n", output)
    assert(output:find "\n?dd;[^\n]*vfs_read_%[k%];[^\n]*_%[k%] [1-9]%d*\n", output)
    for line in output:match "^Sampling for 600 s; Ctrl%-C ends it\n(.*)":gmatch "[^\n]+" do
      assert(line:find "^[^ ;]+[^\n]* [1-9]%d*$", line)
    end
  end)
end)

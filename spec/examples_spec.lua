-- SPDX-License-Identifier: MIT
-- Runs every example, as its reader would, and looks at what it prints.
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"

local needs, need_root = examples.needs, examples.need_root

-- What the test of each example is; one that isn't here fails. That of exporter is in spec/prometheus_spec.lua.
local tested = {
  deny = true, embed = true, execsnoop = true, exporter = true, firewall = true, funccount = true, lighttpd = true,
  netcg = true, opens = true, opensnoop = true, profile = true, runqlat = true, syscount = true, tasks = true,
  traffic = true, usdt = true,
}
-- Those that don't share examples/common.lua have tests of their own for what it does; that in C in embed_spec.lua. The
-- others' options are in spec/examples_options_spec.lua.
local alone = { embed = true, opens = true, syscount = true }
-- Without the capabilities that BPF needs, and so like any user, but with root's access to the files.
local POWERLESS = "setpriv --bounding-set=-all --inh-caps=-all"

describe("the examples", function()
  it("have a main.lua that says what it shows, and a test each", function()
    for name in lfs.dir "examples" do
      if lfs.attributes("examples/" .. name, "mode") == "directory" and not name:find "^%." then
        assert(tested[name], "examples/" .. name .. " has no test")
        local main = ("examples/%s/main.%s"):format(name, name == "embed" and "c" or "lua")
        local file <close> = assert(io.open(main))
        assert(file:read "a":find "^%p%p SPDX%-License%-Identifier: MIT[^\n]*\n%p%p %u[^\n]+%l\n?", name)
      end
    end
  end)

  it("are listed in the README", function()
    local file <close> = assert(io.open "README.md")
    local text = file:read "a"
    for name in pairs(tested) do
      assert(text:find(("[`%s`](examples/%s)"):format(name, name), 1, true), name)
    end
  end)
end)

for name in pairs(tested) do
  if not alone[name] then
    describe(name, function()
      it("says what is missing where the kernel refuses it", function()
        local output, _, code = examples.run(name, "", helper.run("id -u") == "0\n" and POWERLESS or nil)
        assert.equal(1, code, output)
        local feature, version = table.unpack(needs[name] or {})
        if version and not kernel.at_least(version) then
          assert.equal(("%s: %s need Linux %s, this is %s\n"):format(name, feature, version, kernel.release), output)
        elseif name == "deny" and not examples.has_lsm then
          assert.equal("deny: bpf isn't among this kernel's LSMs: boot it with lsm=\u{2026},bpf\n", output)
        else
          assert(output:find("^" .. name .. ": object '" .. name .. "': load: [^\n]*%(EPERM%)\n$"), output)
        end
      end)
    end)
  end
end

describe("syscount", function()
  it("explains itself without root", function()
    local output, ok = examples.run("syscount", "--help")
    assert(ok, output)
    assert(output:find "^Usage: main.lua", output)
  end)

  it("refuses arguments that it doesn't understand", function()
    for _, arguments in ipairs { "--foo", "-n", "-n x", "-n 2.5", "-p -1", "0", "-d -p 1" } do
      local output, _, code = examples.run("syscount", arguments)
      assert.equal(2, code)
      assert(output:find "^syscount: not understood: %S+\nUsage:", output)
    end
  end)

  it("says what is missing where the kernel refuses it", function()
    local output, _, code = examples.run("syscount", "1", helper.run("id -u") == "0\n" and POWERLESS or nil)
    assert.equal(1, code)
    assert(output:find "^syscount: object 'syscount': load: [^\n]*%(EPERM%)\n$", output)
  end)

  it("counts the calls of processes, shows what is executed and how long calls take", function()
    need_root()
    local output = examples.beside("syscount", "-n 1000 600", [[
      dd if=/dev/zero of=/dev/null bs=1 count=20000 status=none
      n=$(wc -l <$out); until [ $(wc -l <$out) -gt $n ]; do /bin/true; done]])
    assert(output:find("exec +%d+ +%S+ +/%S+\n"), output) -- only the first of a second are shown
    assert(output:find("\n[%d.]+[kMG]? system calls of %d+ processes in [%d.]+ s\n"), output)
    assert(output:find("\n *PID  COMMAND +CALLS  CALLS/S +TIME  AVERAGE\n"), output)
    assert(output:find("\n *%d+  dd +40%.%dk "), output) -- a read and a write each
    assert(output:find("\nTime in the kernel, by call\n"), output)
    assert(output:find("\n +%S+ [num]s %S+ +%S+ [num]s +%d%S* [|│]"), output)
    assert.falsy(output:find("\27", 1, true)) -- it isn't a terminal
  end)

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
    for second in output:gmatch "(%d+) of 3 s, %d+ process" do -- a busy machine may leave one out
      second = tonumber(second)
      assert(second > last or second == 3, output) -- the last picture may be drawn again
      last, pictures = second, pictures + 1
    end
    assert(pictures >= 2, output)
  end)
end)

describe("opens", function()
  it("explains itself without root, and refuses what it doesn't understand", function()
    local output, ok = examples.run("opens", "--help")
    assert(ok, output)
    assert(output:find "^Usage: main.lua", output)
    for _, arguments in ipairs { "--foo", "-p", "-p x", "-p 2.5", "0" } do
      local text, _, code = examples.run("opens", arguments)
      assert.equal(2, code)
      assert(text:find "^opens: not understood: %S+\nUsage:", text)
    end
  end)

  it("shows what is opened and what is looked for in vain", function()
    need_root()
    local output = examples.beside("opens", "600", "cat /etc/hostname /no/such/file >/dev/null 2>&1")
    assert(output:find "^    PID  COMMAND          RESULT  FILE\n", output)
    assert(output:find("\n +%d+  cat                  ok  /etc/hostname\n"), output)
    assert(output:find("\n +%d+  cat                  E2  /no/such/file\n"), output)
    assert(output:find("\n\n%d+ files opened, %d+ not"), output)
  end)

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
  it("shows programs that are started, with their arguments, until Ctrl-C", function()
    need_root()
    local output = examples.beside("execsnoop", "--seconds 600", [[/bin/echo two "wide words" "" 'a"b' "it's"]])
    assert(output:find("\n +[%d.]+ +%d+ +%d+ +%d+  echo +/bin/echo two 'wide words' '' 'a\"b' 'it'\\''s'\n"), output)
    assert(output:find "\n%d+ programs? started\n$", output)
  end)

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

describe("opensnoop", function()
  it("shows the files of one program, with the result", function()
    need_root()
    local output = examples.beside("opensnoop", "--seconds 600 --comm tee",
      "tee /tmp/nowhere/x </etc/hostname >/dev/null")
    assert(output:find "\n +%d+  tee +3 +r +%S+\n", output)
    assert(output:find "\n +%d+  tee +ENOENT +wct +/tmp/nowhere/x\n", output)
    assert(output:find "\n[1-9]%d* opens\n$", output)
    assert.falsy(output:find("lua", 1, true), output)
  end)

  it("leaves itself out", function()
    need_root()
    local output = helper.run(("sh -c 'echo $$; exec %s'"):format(examples.command("opensnoop", "--seconds 1")))
    local pid, shown = output:match "^(%d+)\n(.*)$"
    assert(shown:find "^ +PID  COMMAND .*\n%d+ opens?\n$", output)
    assert.falsy(shown:find("\n *" .. pid .. " "), output)
  end)

  it("shows the files of one process", function()
    need_root()
    local output, before = examples.beside("opensnoop", "--seconds 600 --pid $$",
      [[: </etc/passwd; cat </etc/group >/dev/null; : </etc/group; echo "pid $$"]])
    local pid = before:match "pid (%d+)\n"
    assert(output:find("\n +" .. pid .. "  sh +3 +r +/etc/passwd\n"), output)
    for line in output:gmatch "\n( +%d+ [^\n]*/[^\n]*)" do
      assert.equal(pid, line:match "%d+")
    end
  end)

  it("shows only what failed", function()
    need_root()
    local output = examples.beside("opensnoop", "--seconds 600 --failed --comm cat", "cat /etc/hostname /nowhere")
    assert(output:find "  cat +ENOENT +r +/nowhere\n", output)
    assert.falsy(output:find("/etc/hostname", 1, true), output)
    assert(output:find "\n%d+ opens?\n$", output)
  end)
end)

describe("runqlat", function()
  it("measures how long the threads of a process wait for a CPU", function()
    need_root()
    -- Two that compete for one CPU wait as long as the other may run.
    local output, ok = helper.run(([[
      taskset -c 0 sh -c 'while :; do :; done' & one=$!
      taskset -c 0 sh -c 'while :; do :; done' & two=$!
      %s examples/runqlat/main.lua --seconds 4 --pid $one; status=$?
      kill $one $two; exit $status]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find "^Measuring for 4 s; Ctrl%-C ends it\n\nWait for a CPU\n", output)
    assert(output:find "\n[^\n]+ ms +%S+ [^\n]+ m?s +[1-9]%d* [^\n]+\n", output)
    local waits, thousand, average =
      output:match "\n([%d.]+)(k?) waits, on average ([%d.]+ ms); half below %S+ %Ss, 99 of 100 "
    assert(waits and (thousand == "k" or tonumber(waits) > 5) and average, output)
  end)

  it("ends on Ctrl-C with its result", function()
    need_root()
    assert(examples.beside("runqlat", "--seconds 600", "sleep 0.5"):find "\n[%d.]+k? waits, on average ")
  end)
end)

describe("profile", function()
  -- A program of known functions, compiled such that its stacks can be followed.
  local path
  local function busy()
    if path then
      return path
    end
    local dir = helper.tmpdir()
    local file = assert(io.open(dir .. "/busy.c", "w"))
    file:write [[
      unsigned long n;
      __attribute__((noinline)) void inner(void)
      {
        __asm__ volatile("" : : "r"(__builtin_frame_address(0))); /* a leaf has no frame otherwise */
        for (int i = 0; i < 10000; i++) __asm__ volatile("" : "+r"(n));
        n++;
      }
      __attribute__((noinline)) void outer(void) { for (int i = 0; i < 1000; i++) inner(); n++; }
      int main(void) { for (;;) outer(); }
    ]]
    file:close()
    local output, ok = helper.run(("cc -O1 -fno-omit-frame-pointer -fno-optimize-sibling-calls -o %s/busy %s/busy.c")
      :format(dir, dir))
    assert(ok, output)
    path = dir .. "/busy"
    return path
  end

  it("shows the functions and stacks of a process", function()
    need_root()
    local output, ok = helper.run(([[
      %s & pid=$!; %s examples/profile/main.lua --seconds 2 --pid $pid; status=$?
      kill $pid; exit $status]]):format(busy(), helper.LUA))
    assert(ok, output)
    local samples = tonumber(output:match "^Sampling[^\n]+\n(%d+) samples of %d+ stacks\n")
    assert(samples and samples > 20 and samples < 400, output)
    assert(output:find "\n +SHARE +SAMPLES  FUNCTION\n *%d+%.%d %% +%d+  inner %(busy%)\n", output)
    assert(output:find "\n%d+%.%d %%, %d+ samples:\n  busy\n[^%%]*  main\n  outer\n  inner\n", output)
  end)

  it("writes what flame graph tools read, until Ctrl-C", function()
    need_root()
    local output = examples.beside("profile", "--folded --freq 199 --seconds 600", ([[
      %s & busy=$!; dd if=/dev/zero of=/dev/null bs=1M status=none & dd=$!
      trap 'kill $busy $dd' EXIT; sleep %d]]):format(busy(), 2 * helper.slow)) -- names are read while they live
    assert(output:find "\n?busy;[^\n]*main;outer;inner [1-9]%d*\n", output)
    assert(output:find "\n?dd;[^\n]*vfs_read_%[k%];[^\n]*_%[k%] [1-9]%d*\n", output)
    for line in output:match "^Sampling for 600 s; Ctrl%-C ends it\n(.*)":gmatch "[^\n]+" do
      assert(line:find "^[^ ;]+[^\n]* [1-9]%d*$", line)
    end
  end)
end)

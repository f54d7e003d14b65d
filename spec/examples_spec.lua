-- SPDX-License-Identifier: MIT
-- Runs every example, as its reader would, and looks at what it prints.
local attach = require "spec.support.attach"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"
local net = require "spec.support.net"

-- What the test of each example is; one that isn't here fails. That of exporter is in spec/prometheus_spec.lua.
local tested = {
  deny = true, embed = true, execsnoop = true, exporter = true, firewall = true, funccount = true, lighttpd = true,
  netcg = true, opens = true, opensnoop = true, profile = true, runqlat = true, syscount = true, tasks = true,
  traffic = true, usdt = true,
}
-- Those that don't share examples/common.lua have tests of their own for what it does; that in C in embed_spec.lua.
local alone = { embed = true, opens = true, syscount = true }
-- Those that take any number of words.
local many = { funccount = true, netcg = true }
-- What some need of the kernel.
local needs = {
  deny = { "rules that hang on inodes", "5.10" },
  funccount = { "cookies of uprobes", "5.15" },
  tasks = { "iterators over tasks", "5.8" },
  usdt = { "cookies of uprobes, which USDT takes,", "5.15" },
}
-- Whether the kernel asks LSM programs, as far as it tells.
local has_lsm
do
  local file <close> = io.open "/sys/kernel/security/lsm"
  has_lsm = not file or file:read "a":find("bpf", 1, true) ~= nil
end

local function example(name, arguments, wrap)
  return helper.run(("%s %s examples/%s/main.lua %s"):format(wrap or "", helper.LUA, name, arguments or ""))
end

-- Without the capabilities that BPF needs, and so like any user, but with root's access to the files.
local POWERLESS = "setpriv --bounding-set=-all --inh-caps=-all"

local function need_root()
  if os.getenv "LBPF_UNPRIVILEGED" then
    helper.skip "needs root"
  end
end

-- Runs an example until a shell command beside it, which begins when the example says that it has, is done and Ctrl-C
-- ends it; gives what it printed. `before` comes before.
local function watched(name, arguments, beside, before)
  local output, ok = helper.run((([[
    BEFORE
    LUA examples/NAME/main.lua ARGUMENTS >OUT 2>&1 & pid=$!
    for i in $(seq 1200); do [ ! -s OUT ] || break; sleep 0.05; done
    BESIDE
    sleep SLEEP; kill -INT $pid; wait $pid; status=$?; cat OUT; exit $status]]):gsub("%u+", {
      OUT = helper.tmpdir() .. "/out", BEFORE = before or "", LUA = helper.LUA, NAME = name, ARGUMENTS = arguments,
      BESIDE = beside, SLEEP = 0.3 * helper.slow })))
  assert(ok, output)
  assert.falsy(output:find("interrupted", 1, true), output)
  return output
end

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
      it("explains itself without root", function()
        local output, ok = example(name, "--seconds 3 --help")
        assert(ok, output)
        assert(output:find "^Usage: main.lua", output)
      end)

      it("refuses arguments that it doesn't understand", function()
        local words = many[name] and "-y" or "a b c d"
        for _, arguments in ipairs { "--foo", "--seconds", "--seconds x", "--seconds -1", "-x", words } do
          local output, _, code = example(name, arguments)
          assert.equal(2, code, output)
          assert(output:find("^" .. name .. ": not understood: %S+\nUsage:"), output)
        end
      end)

      it("says what is missing where the kernel refuses it", function()
        if needs[name] then
          kernel.need(table.unpack(needs[name]))
        end
        if name == "deny" and not has_lsm then
          return -- that is what it says
        end
        local output, _, code = example(name, "", helper.run("id -u") == "0\n" and POWERLESS or nil)
        assert.equal(1, code, output)
        assert(output:find("^" .. name .. ": object '" .. name .. "': load: [^\n]*%(EPERM%)\n$"), output)
      end)
      it("says which kernel it needs", function()
        if not needs[name] or kernel.at_least(needs[name][2]) then
          return
        end
        local output, _, code = example(name)
        assert.equal(1, code, output)
        local feature, version = table.unpack(needs[name])
        assert.equal(("%s: %s need Linux %s, this is %s\n"):format(name, feature, version, kernel.release), output)
      end)
    end)
  end
end

describe("syscount", function()
  it("explains itself without root", function()
    local output, ok = example("syscount", "--help")
    assert(ok, output)
    assert(output:find "^Usage: main.lua", output)
  end)

  it("refuses arguments that it doesn't understand", function()
    for _, arguments in ipairs { "--foo", "-n", "-n x", "-n 2.5", "-p -1", "0", "-d -p 1" } do
      local output, _, code = example("syscount", arguments)
      assert.equal(2, code)
      assert(output:find "^syscount: not understood: %S+\nUsage:", output)
    end
  end)

  it("says what is missing where the kernel refuses it", function()
    local output, _, code = example("syscount", "1", helper.run("id -u") == "0\n" and POWERLESS or nil)
    assert.equal(1, code)
    assert(output:find "^syscount: object 'syscount': load: [^\n]*%(EPERM%)\n$", output)
  end)

  it("counts the calls of processes, shows what is executed and how long calls take", function()
    need_root()
    local output, ok = helper.run(([[
      %s examples/syscount/main.lua -n 1000 4 & sleep 1
      for i in 1 2 3 4 5 6; do # of what a busy machine executes, only the first of a second are shown
        dd if=/dev/zero of=/dev/null bs=1 count=20000 status=none; sleep 0.3
      done
      wait $!]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find("exec +%d+ +dd +%S*/dd\n"), output)
    assert(output:find("\n[%d.]+[kMG]? system calls of %d+ processes in 4%.%d s\n"), output)
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
    assert(output:find(" system calls of 1 process in 1%.%d s\n"), output)
  end)

  it("ends on Ctrl-C with its result", function()
    need_root()
    local output, _, code = example("syscount", "60",
      ("timeout --foreground --preserve-status -s INT %g"):format(3 * helper.slow))
    assert.equal(0, code, output)
    assert(output:find " system calls of %d+ process%a* in %d%.%d s\n", output)
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
    for second = 1, 3 do
      assert(output:find(second .. " of 3 s, %d+ process"), output)
    end
  end)
end)

describe("opens", function()
  it("explains itself without root, and refuses what it doesn't understand", function()
    local output, ok = example("opens", "--help")
    assert(ok, output)
    assert(output:find "^Usage: main.lua", output)
    for _, arguments in ipairs { "--foo", "-p", "-p x", "-p 2.5", "0" } do
      local text, _, code = example("opens", arguments)
      assert.equal(2, code)
      assert(text:find "^opens: not understood: %S+\nUsage:", text)
    end
  end)

  it("shows what is opened and what is looked for in vain", function()
    need_root()
    local output = watched("opens", "600", "cat /etc/hostname /no/such/file >/dev/null 2>&1")
    assert(output:find "^    PID  COMMAND          RESULT  FILE\n", output)
    assert(output:find("\n +%d+  cat                  ok  /etc/hostname\n"), output)
    assert(output:find("\n +%d+  cat                  E2  /no/such/file\n"), output)
    assert(output:find("\n\n%d+ files opened, %d+ not"), output)
  end)

  it("shows one process, and failures only, when asked to", function()
    need_root()
    local fifo = helper.tmpdir() .. "/fifo"
    local output = watched("opens", "--failed -p $sh 600", "echo >" .. fifo .. "; wait $sh", ([[
      mkfifo %s; sh -c 'read go <%s; : </etc/hostname; cat </no/such/file' 2>/dev/null & sh=$!]]):format(fifo, fifo))
    assert(output:find("\n +%d+  sh +E2  /no/such/file\n"), output)
    assert.falsy(output:find("/etc/hostname", 1, true))
  end)

  it("says what is missing", function()
    local output, _, code = helper.run(("lua=$(command -v %s); PATH=/nonexistent $lua examples/opens/main.lua 1")
      :format(helper.LUA:match "%S+$"))
    assert.equal(1, code)
    assert(output:find "^opens: bpf.compile: clang is not installed; .* package clang %(ENOENT%)\n$", output)
  end)
end)

-- Ends it by SIGINT, as Ctrl-C does, and gives what it printed.
local function interrupted(name, arguments)
  return watched(name, arguments, ":")
end

describe("lighttpd", function()
  it("bans who asks too often, in the kernel, and lets them in again", function()
    need_root()
    local output, ok = example("lighttpd")
    if kernel.before("5.19") then
      assert.falsy(ok, output)
      assert(output:find "lighttpd: lighttpd says 500: [^\n]*guard.lua:[^\n]* CAP_BPF [^\n]*%(EPERM%)", output)
      return
    end
    assert(ok, output)
    local answers = "198.18.1.3 +Request 1 of 198.18.1.3\n[^\n]+198.18.1.1 +Request 1 of 198.18.1.1\n[^\n]+198.18.1.1 +"
    assert(output:find(answers .. "no answer: the kernel drops what it sends\n"), output)
    assert(output:find "\nDENIED +DROPPED +SECONDS\n198.18.1.1/32 +[1-9]%d* +[0-3]\n", output)
    assert(output:find "s  198.18.1.3 +Request %d+ of 198.18.1.3\n[^\n]+198.18.1.1 +Request 1 of 198.18.1.1\n$", output)
  end)
end)

describe("execsnoop", function()
  it("shows programs that are started, with their arguments", function()
    need_root()
    local output = watched("execsnoop", "--seconds 600", [[/bin/echo two "wide words" "" 'a"b' "it's"]])
    assert(output:find("\n +[%d.]+ +%d+ +%d+ +%d+  echo +/bin/echo two 'wide words' '' 'a\"b' 'it'\\''s'\n"), output)
    assert(output:find "\n%d+ programs? started\n$", output)
  end)

  it("filters, and cuts long arguments", function()
    need_root()
    local output = watched("execsnoop", "--seconds 600 --comm true", "/bin/true $(seq 1000); /bin/false")
    assert(output:find "  true +/bin/true 1 2 3 [%d ]+ \u{2026}\n", output)
    assert.falsy(output:find "/false", output)
  end)

  it("ends on Ctrl-C with its result", function()
    need_root()
    assert(interrupted("execsnoop", "--seconds 60 --parent 1"):find "\n%d+ programs? started\n$")
  end)
end)

describe("opensnoop", function()
  it("shows the files of one program, with the result", function()
    need_root()
    local output = watched("opensnoop", "--seconds 600 --comm tee", "tee /tmp/nowhere/x </etc/hostname >/dev/null")
    assert(output:find "\n +%d+  tee +3 +r +%S+\n", output)
    assert(output:find "\n +%d+  tee +ENOENT +wct +/tmp/nowhere/x\n", output)
    assert(output:find "\n[1-9]%d* opens\n$", output)
    assert.falsy(output:find("lua", 1, true), output)
  end)

  it("shows the files of one process", function()
    need_root()
    local fifo = helper.tmpdir() .. "/fifo"
    local output = watched("opensnoop", "--seconds 600 --pid $sh", "cat /etc/hostname; echo >" .. fifo .. "; wait $sh",
      ([[mkfifo %s; sh -c 'read go <%s; : </etc/passwd; : </etc/group' & sh=$!; echo pid $sh]]):format(fifo, fifo))
    local pid = output:match "pid (%d+)\n"
    assert(output:find("\n +" .. pid .. "  sh +3 +r +/etc/passwd\n"), output)
    for line in output:gmatch "\n( +%d+ [^\n]*/[^\n]*)" do
      assert.equal(pid, line:match "%d+")
    end
  end)

  it("shows only what failed", function()
    need_root()
    local output = watched("opensnoop", "--seconds 600 --failed --comm cat", "cat /etc/hostname /nowhere 2>/dev/null")
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
      %s examples/runqlat/main.lua --seconds 2 --pid $one; status=$?
      kill $one $two; exit $status]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find "^Measuring for 2 s; Ctrl%-C ends it\n\nWait for a CPU\n", output)
    assert(output:find "\n[^\n]+ ms +%S+ [^\n]+ m?s +[1-9]%d* [^\n]+\n", output)
    local waits, average = output:match "\n([%d.]+)k? waits, on average ([%d.]+ ms); half below %S+ %Ss, 99 of 100 "
    assert(waits and tonumber(waits) > 5 and average, output)
  end)

  it("ends on Ctrl-C with its result", function()
    need_root()
    assert(interrupted("runqlat", "--seconds 60"):find "\n[%d.]+k? waits, on average ")
  end)
end)

describe("profile", function()
  -- A program of known functions, compiled such that its stacks can be followed.
  local function busy()
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
    return dir .. "/busy"
  end

  it("shows the functions and stacks of a process", function()
    need_root()
    local output, ok = helper.run(([[
      %s & pid=$!; %s examples/profile/main.lua --seconds 2 --pid $pid; status=$?
      kill $pid; exit $status]]):format(busy(), helper.LUA))
    assert(ok, output)
    local samples = tonumber(output:match "^(%d+) samples of %d+ stacks\n")
    assert(samples and samples > 20 and samples < 400, output)
    assert(output:find "\n +SHARE +SAMPLES  FUNCTION\n *%d+%.%d %% +%d+  inner %(busy%)\n", output)
    assert(output:find "\n%d+%.%d %%, %d+ samples:\n  busy\n[^%%]*  main\n  outer\n  inner\n", output)
  end)

  it("writes what flame graph tools read, until Ctrl-C", function()
    need_root()
    local output = helper.run(([[
      %s & busy=$!; dd if=/dev/zero of=/dev/null bs=1M status=none & dd=$!
      timeout --foreground --preserve-status -s INT %g %s examples/profile/main.lua --folded --freq 199 --seconds 60
      status=$?; kill $busy $dd; echo "status $status"]]):format(busy(), 3 * helper.slow, helper.LUA))
    assert(output:find "\nstatus 0\n", output)
    assert(output:find "\n?busy;[^\n]*main;outer;inner [1-9]%d*\n", output)
    assert(output:find "\n?dd;[^\n]*vfs_read_%[k%];[^\n]*_%[k%] [1-9]%d*\n", output)
    for line in output:match "^(.*)status 0\n":gmatch "[^\n]+" do
      assert(line:find "^[^ ;]+[^\n]* [1-9]%d*$", line)
    end
  end)
end)

describe("firewall", function()
  setup(function()
    if os.getenv "LBPF_UNPRIVILEGED" then
      helper.skip "needs root"
    end
    kernel.need("links of XDP programs", "5.9")
  end)
  teardown(net.remove)

  it("shows who gets through while its list changes", function()
    local output, ok = helper.run(("sh -c 'echo $$; exec %s examples/firewall/main.lua'"):format(helper.LUA))
    assert(ok, output)
    assert(output:find("\n-- no rule +passes +passes\n"), output)
    assert(output:find('\nrules%["198.18.0.0/15"%] = { deny = true } +dropped +dropped\n'), output)
    assert(output:find('\nrules%["198.18.2.2/32"%] = { deny = false } +dropped +passes\n'), output)
    assert(output:find('\nrules%["198.18.1.0/24"%] = { deny = false } +passes +passes\n'), output)
    assert(output:find("\n198.18.0.0/15 +deny +[3-9] +%d%d%d B\n"), output)
    assert(output:find("\n198.18.2.2/32 +allow +[2-9] +%d%d%d B\n"), output)
    local pid = output:match "^%d+"
    assert.falsy(helper.run("ip link"):find(" lb" .. pid .. "@", 1, true))
    assert.falsy(helper.run("ip netns"):find("lbpf-" .. pid, 1, true))
  end)

  it("follows a list in a file", function()
    local here, there = net.space(), net.space()
    net.cable({ space = here, name = "here", address = "198.18.7.1/24" },
      { space = there, name = "there", address = "198.18.7.2/24" })
    local list = helper.tmpdir() .. "/list"
    local output, ok = helper.run((([[
      knock() {
        ip netns exec THERE timeout 2 bash -c ': </dev/tcp/198.18.7.1/9' 2>&1 | grep -q refused &&
          echo refused || echo dropped
      }
      printf '# who gets in\ndeny 198.18.0.0/15\nallow 198.18.7.0/24\n' >LIST
      ip netns exec HERE LUA examples/firewall/main.lua --seconds SECONDS --list LIST here & sleep SLEEP
      knock; echo deny 198.18.7.2 >>LIST; sleep SLEEP; knock
      wait $!]]):gsub("%u%u+", { THERE = there, HERE = here, LUA = helper.LUA, LIST = list,
        SECONDS = 7 * helper.slow, SLEEP = 2 * helper.slow })))
    assert(ok, output)
    assert(output:find "^Watching here for %d+ s; [^\n]+\nrefused\ndropped\n\nPREFIX ", output)
    assert(output:find "\n198.18.0.0/15 +deny +0 +0 B\n198.18.7.0/24 +allow +[1-9]%d* +%d+ B\n", output)
    assert(output:find "\n198.18.7.2/32 +deny +[1-9]%d* +%d+ B\n$", output)
  end)

  it("says what is wrong with the list, and which interface isn't there", function()
    local list = helper.tmpdir() .. "/list"
    local function refused(text, arguments, message)
      local file <close> = assert(io.open(list, "w"))
      assert(file:write(text) and file:flush())
      local output, _, code = example("firewall", arguments)
      assert.equal(1, code, output)
      assert(output:find("^firewall: " .. message), output)
    end
    refused("", "lo", "an interface needs a list: ")
    refused("permit 1.2.3.4\n", "--list " .. list .. " lo", "/%S+/list: not understood: permit 1.2.3.4\n$")
    refused("", "--list /nowhere lo", "/nowhere: No such file")
    refused("deny 1.2.3.4/33\n", "--list " .. list .. " lo", "[^\n]*1%.2%.3%.4/33[^\n]*\n$")
    refused("", "--list " .. list .. " nowhere0", "program 'firewall': attach_xdp: [^\n]*'nowhere0'[^\n]*%(ENODEV%)\n$")
  end)
end)

describe("traffic", function()
  setup(need_root)
  teardown(net.remove)

  it("counts what goes through a network of its own, by protocol", function()
    local output, ok = example("traffic")
    assert(ok, output)
    assert(output:find "^PROTOCOL +WAY +PACKETS +BYTES\n", output)
    assert(output:find("\nUDP +in +50  50.9 KiB\n", 1), output) -- 1000 bytes, and 42 of headers
    assert(output:find "\nTCP +in +[5-9] +%d+ B\n", output)
    assert(output:find "\nTCP +out +[5-9] +%d+ B\n", output)
    assert(output:find "\nICMP +out +%d+ ", output)
  end)

  it("counts at an interface, by address, until Ctrl-C", function()
    local here, there = net.space(), net.space()
    net.cable({ space = here, name = "here", address = "198.18.7.1/24" },
      { space = there, name = "there", address = "198.18.7.2/24" })
    net.must(("ip -n %s addr add fd00::1/64 dev here nodad"):format(here))
    net.must(("ip -n %s addr add fd00::9:2/64 dev there nodad"):format(there))
    local output = helper.run((([[
      timeout --foreground --preserve-status -s INT END \
        ip netns exec HERE LUA examples/traffic/main.lua --seconds 60 --address here &
      sleep BEGIN
      ip netns exec THERE bash -c 'for i in 1 2 3 4 5 6 7; do echo seven >/dev/udp/198.18.7.1/9; done'
      ip netns exec THERE bash -c 'for i in 1 2 3; do echo three >/dev/udp/fd00::1/9; done'
      wait $!; echo "status $?"]]):gsub("%u%u+", { THERE = there, HERE = here, LUA = helper.LUA,
        BEGIN = 1.5 * helper.slow, END = 4 * helper.slow })))
    assert(output:find "^Counting at here for 60 s; [^\n]+\n\nADDRESS +WAY +PACKETS +BYTES\n", output)
    assert(output:find "\n198.18.7.2 +in +7 +336 B\n", output)
    assert(tonumber(output:match "\nfd00::9:2 +in +(%d+) +") >= 3, output)
    assert(output:find "\nstatus 0\n$", output)
  end)

  it("says which interface isn't there", function()
    local output, _, code = example("traffic", "nowhere0")
    assert.equal(1, code)
    assert(output:find "^traffic: program 'incoming': attach_tc: [^\n]*'nowhere0'[^\n]*%(ENODEV%)\n$", output)
  end)
end)

describe("netcg", function()
  setup(need_root)
  teardown(net.remove)

  it("shows whom a command talked to on a network of its own", function()
    local output, ok = example("netcg")
    assert(ok, output)
    assert(output:find "^ADDRESS +PORT  PROTOCOL  PACKETS +SENT +RECEIVED\n", output)
    assert(output:find "\n198.18.1.1 +9  UDP +20  20.1 KiB +0 B\n", output) -- 1000 bytes, and 28 of headers
    assert(output:find "\n198.18.1.1 +80  TCP +[6-9] +%d+ B +120 B\n", output) -- refused three times
    assert(output:find "\n\n20.3 KiB sent, 120 B received\n$", output)
  end)

  it("counts what a command and its children send and receive, and nobody else", function()
    local here, there = net.space(), net.space()
    net.cable({ space = here, name = "here", address = "198.18.7.1/24" },
      { space = there, name = "there", address = "198.18.7.2/24" })
    local server = net.within(there, function() return assert(require "socket".bind("198.18.7.2", 7777)) end)
    server:settimeout(10 * helper.slow)
    local pipe = assert(io.popen(([[ip netns exec %s %s examples/netcg/main.lua -- \
      bash -c 'bash -c "exec 3<>/dev/tcp/198.18.7.2/7777; printf %%10000s >&3; cat <&3 >/dev/null"; exit 3' 2>&1]])
      :format(here, helper.LUA)))
    local client = assert(server:accept())
    client:settimeout(10 * helper.slow)
    assert.equal(10000, #assert(client:receive(10000)))
    assert(client:send(("x"):rep(50000)))
    client:close()
    server:close()
    local output = pipe:read "a"
    assert(pipe:close(), output)
    assert(output:find "^The command ended by status 3\nADDRESS ", output)
    local sent, received = output:match "\n198.18.7.2 +7777  TCP +%d+ +([%d.]+) KiB +([%d.]+) KiB\n"
    sent, received = tonumber(sent), tonumber(received)
    assert(sent and sent > 9.76 and sent < 12, output)
    assert(received > 48.8 and received < 52, output)
  end)

  it("ends with its command on Ctrl-C, and ends what the command left running", function()
    local output, _, code = helper.run(([[
      timeout --preserve-status -s INT %g %s examples/netcg/main.lua -- sleep 30]]):format(2 * helper.slow,
      helper.LUA))
    assert.equal(0, code, output)
    assert(output:find "The command ended by %l+ %d+\nIt talked to nobody\n$", output)
    output = helper.run(([[
      sh -c 'echo $$; exec %s examples/netcg/main.lua -- \
        sh -c "sleep 77 & echo \$!; sed -n s/^0:://p /proc/self/cgroup"']]):format(helper.LUA))
    local pid, child, group = output:match "^(%d+)\n(%d+)\n(/[^\n]*)\nIt talked to nobody\n$"
    assert(group:find("/lbpf%-" .. pid .. "$"), output)
    assert.falsy(helper.run("grep State: /proc/" .. child .. "/status"):find "State:%s+[^ZX]") -- gone, or nearly so
  end)
end)

describe("funccount", function()
  setup(function()
    need_root()
    kernel.need("cookies of uprobes", "5.15")
  end)

  local PROBED = "build/support/probed" -- calls probed_add, then probed_first, for each number that it reads

  local function counted(arguments, beside, before)
    return watched("funccount", "--seconds 600 " .. arguments, beside, before)
  end

  it("counts the calls of the functions that match", function()
    local output = counted(PROBED .. " 'probed_*' main", "echo 1 2 3 0 | " .. PROBED .. " >/dev/null")
    assert(output:find("^Counting 3 functions of build/support/probed for %d+ s; "), output)
    assert(output:find "\n\nCALLS  FUNCTION\n    3  probed_add\n    3  probed_first\n    1  main\n$", output)
  end)

  it("counts in a library, for one process, how long calls take", function()
    local fifo = helper.tmpdir() .. "/fifo"
    local output = counted("--pid $sh --latency libc.so.6 fork", "echo >" .. fifo .. "; wait $sh", ([[
      mkfifo %s; sh -c 'read go <%s; for i in 1 2 3 4 5; do (: </dev/null); done' & sh=$!]]):format(fifo, fifo))
    assert(output:find "\nCALLS  FUNCTION\n +5  fork\n", output)
    assert(output:find "\n\nTime from call to return\n +[%d.]+ %ls %S+ +[%d.]+ %ls +[1-5] ", output)
  end)

  it("counts how large an argument is", function()
    local output = counted("--argument 1 " .. PROBED .. " probed_add",
      "echo 5 6 7 100 0 | " .. PROBED .. " >/dev/null")
    assert(output:find "\n    4  probed_add\n\nArgument 1\n +4 %S+ +8 +3 ", output)
    assert(output:find "\n +64 %S+ 128 +1 [^\n]+\n$", output)
  end)

  it("ends on Ctrl-C with its result", function()
    assert(interrupted("funccount", "--seconds 60"):find "\n\n *CALLS  FUNCTION\n *[1-9]%d*  %l+\n")
  end)

  it("says what it can't find or do", function()
    local function refused(arguments, message)
      local output, _, code = example("funccount", arguments)
      assert.equal(1, code, output)
      assert.equal("funccount: " .. message .. "\n", output)
    end
    refused("lbpf_nothing x", "lbpf_nothing: no such program or library")
    refused(PROBED .. " no_function", PROBED .. ": no function no_function")
    refused("--argument 6", "--argument: only 1 to 5 are passed in registers everywhere")
    refused("--argument 1 --latency", "either --argument or --latency")
  end)
end)

describe("usdt", function()
  setup(need_root)

  local PROBED = "build/support/probed" -- passes lbpf:step(number, "seven") for each number that it reads, lbpf:guarded

  it("shows the marks that its own program passes, with their arguments", function()
    kernel.need(table.unpack(needs.usdt))
    local output, ok = example("usdt", helper.slow > 1 and "--seconds 12" or "")
    assert(ok, output)
    assert(output:find '^  SECONDS +PID  COMMAND +MARK\n', output)
    assert(output:find '\n    0.000 +%d+  kitchen +kitchen:ordered%(1, "noodles"%)\n', output)
    assert(output:find '\n +0.%d+ +%d+  kitchen +kitchen:served%(1, "noodles", 250%)\n', output)
    assert(output:find 'kitchen:served%(6, "soup", 1500%)\n\n12 passed\n$', output)
  end)

  it("shows one mark of a program, until Ctrl-C", function()
    kernel.need(table.unpack(needs.usdt))
    local output = helper.run((([[
      timeout --foreground --preserve-status -s INT END \
        LUA examples/usdt/main.lua --seconds 60 --text 2 PROBED lbpf:step & sleep BEGIN
      echo 5 -6 0 | PROBED >/dev/null
      wait $!; echo "status $?"]]):gsub("%u%u+", { LUA = helper.LUA, PROBED = PROBED, BEGIN = 1.5 * helper.slow,
        END = 3 * helper.slow })))
    local lines = output:match "MARK\n(.*)\n2 passed\nstatus 0\n$"
    assert(lines, output)
    local first, second = lines:match "^([^\n]+)\n([^\n]+)\n$"
    assert(first and first:find "^ +0.000 +%d+  probed +lbpf:step%(5, .*%)$", output)
    assert(second:find '^ +0.%d+ +%d+  probed +lbpf:step%(%-6, "seven"%)$', output)
  end)

  it("lists marks, and says when there are none", function()
    assert.equal("lbpf:guarded\nlbpf:step\n", (example("usdt", "--list " .. PROBED)))
    assert.equal("usdt: /bin/cat: no marks\n", (example("usdt", "--list /bin/cat")))
    assert.equal("usdt: --list needs a file\n", (example("usdt", "--list")))
    assert.equal("usdt: --text: only up to 6 arguments are looked at\n", (example("usdt", "--text 7")))
  end)
end)

describe("tasks", function()
  setup(function()
    need_root()
    kernel.need(table.unpack(needs.tasks))
  end)

  it("lists processes, with their parents, states and memory", function()
    local output, ok = helper.run(([[
      sleep 50 & one=$!
      sh -c 'kill -STOP $$' & two=$!; sleep 0.5
      %s examples/tasks/main.lua; status=$?
      kill -KILL $one $two; echo "$$ $one $two"; exit $status]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find "^ *PID +PARENT +UID  S  THREADS +MAPPED +TIME +AGE  COMMAND\n", output)
    local parent, one, two = output:match "\n(%d+) (%d+) (%d+)\n$"
    assert(output:find("\n *2 +0 +0  S +1 +%- +%S+ %S+ +%S+ %S+  %[kthreadd%]\n"), output)
    assert(output:find(("\n *%s +%s +0  S +1 +[%%d.]+ [KM]iB +[^\n]+  sleep\n"):format(one, parent)), output)
    assert(output:find(("\n *%s +%s +0  T +1 "):format(two, parent)), output)
    local _, lines = output:match "^[^\n]+\n(.*)\n\n%d+ processes\n":gsub("\n", "")
    assert.equal(tonumber(output:match "\n\n(%d+) processes\n"), lines + 1)
  end)

  it("lists those of a name, user, or state", function()
    local output = helper.run(([[
      chmod 755 DIR; cp "$(command -v sleep)" DIR/lbpf-sleeper
      DIR/lbpf-sleeper 50 & one=$!
      setpriv --reuid 4242 --clear-groups DIR/lbpf-sleeper 50 & two=$!; sleep 0.5
      tasks() { LUA examples/tasks/main.lua "$@" | sed -n 's/.*  //p; $p'; }
      tasks --comm lbpf-sleeper; tasks --uid 4242
      tasks --comm lbpf-sleeper --state T; tasks --comm lbpf-sleeper --uid 1
      kill $one $two]]):gsub("%u%u+", { LUA = helper.LUA, DIR = helper.tmpdir() }))
    assert.equal("COMMAND\nlbpf-sleeper\nlbpf-sleeper\n2 processes\nCOMMAND\nlbpf-sleeper\n1 process\n" ..
      "COMMAND\n0 processes\nCOMMAND\n0 processes\n", output)
  end)

  it("shows who was busy meanwhile", function()
    local output, ok = helper.run(([[
      sh -c 'while :; do :; done' & pid=$!
      %s examples/tasks/main.lua --state R --seconds 1; status=$?
      kill $pid; echo $pid; exit $status]]):format(helper.LUA))
    assert(ok, output)
    local pid = output:match "(%d+)\n$"
    assert(output:find("\n *" .. pid .. " +%d+ +0  R +1 +[%d.]+ [KM]iB +[1-9][%d.]* m?s +[%d.]+ m?s  sh\n"), output)
  end)
end)

describe("deny", function()
  if not has_lsm then
    it("says that the kernel asks no LSM programs", function()
      local output, _, code = example "deny"
      assert.equal(1, code, output)
      assert.equal("deny: bpf isn't among this kernel's LSMs: boot it with lsm=\u{2026},bpf\n", output)
    end)
  end

  describe("with LSM programs", function()
    setup(function()
      need_root()
      kernel.need(table.unpack(needs.deny))
      if kernel.config "CONFIG_BPF_LSM" == "n" then
        helper.skip "LSM programs need a kernel with CONFIG_BPF_LSM"
      elseif not has_lsm then
        helper.skip "LSM programs need bpf in the kernel's list of LSMs (lsm=)"
      end
      attach.need_functions "LSM programs"
    end)

    it("shows what can be done while its rule changes", function()
      local output, ok = example "deny"
      assert(ok, output)
      assert(output:find "^ +open +remove +execute\n%-%- no rule +done +done +done\n", output)
      assert(output:find "\nrules%[dir%] = { forbidden = { true, false, false } } +refused +done +refused\n", output)
      assert(output:find "\nrules%[dir%] = { forbidden = { false, true, true } } +done +refused +refused\n", output)
      assert(output:find "\nrules%[dir%] = nil +done +done +done\n$", output)
    end)

    it("guards a directory until Ctrl-C", function()
      local dir = helper.tmpdir()
      local output = helper.run((([[
        mkdir -p DIR/a/b; touch DIR/a/b/file
        timeout --foreground --preserve-status -s INT END \
          LUA examples/deny/main.lua --seconds 60 --remove DIR & sleep BEGIN
        rm DIR/a/b/file 2>&1; cat DIR/a/b/file && echo read
        wait $!; echo "status $?"
        rm DIR/a/b/file && echo removed]]):gsub("%u%u+", { LUA = helper.LUA, DIR = dir, BEGIN = 2 * helper.slow,
          END = 4 * helper.slow })))
      assert(output:find("^Guarding " .. dir .. " for 60 s; [^\n]+\nrm: [^\n]* not permitted\nread\n"), output)
      assert(output:find "\nRefused: to open 0 times, to remove 1, to execute 0\nstatus 0\nremoved\n$", output)
    end)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Runs the scripts of examples/trace/ that are about processes and CPUs, as their reader would, and looks at what they
-- print. Where bpftrace's tool of the same name runs beside it, both have to see the same.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local traces = require "spec.support.traces"

kernel.root()
kernel.need("ring buffers", "5.8")

local name = "lb-" .. helper.tag -- nobody else's

-- How many lines of a text have a pattern.
local function lines_with(text, pattern)
  local count = 0
  for line in text:gmatch "[^\n]+" do
    count = count + (line:find(pattern) and 1 or 0)
  end
  return count
end

-- Ours has so many lines with a pattern. Theirs may have a few less, because bpftrace writes a line in several parts,
-- between which there may be others', and leaves out what it can't read.
local function same(ours, theirs, pattern, count)
  assert.equal(count, lines_with(ours, pattern), ours)
  if theirs then
    local seen = lines_with(theirs, pattern)
    assert.is_true(seen <= count and seen >= count - count // 5, theirs)
  end
end

local function plain(text)
  return (text:gsub("%p", "%%%0"))
end

describe("bashreadline", function()
  it("shows lines that are typed in bash", function()
    local typed = ([[printf 'echo %s\nexit\n' | script -qc 'bash --norc --noprofile -i' /dev/null >/dev/null]])
    local ours, theirs = traces.beside_bpftrace("bashreadline", "Tracing", typed:format(name), "exit$")
    assert.matches("^TIME     PID     COMMAND\n", ours)
    same(ours, theirs, "^%d%d:%d%d:%d%d +%d+ +echo " .. plain(name) .. "$", 1)
  end)
end)

describe("execsnoop", function()
  it("shows programs with their arguments", function()
    local ours, theirs = traces.beside_bpftrace("execsnoop", "TIME",
      ("for i in $(seq 20) last; do (exec /bin/echo %s $i >/dev/null); done"):format(name), name .. " last")
    assert.matches("^  TIME%(ms%) PID     ARGUMENTS\n", ours)
    assert.matches("\n +%d+ %d+ +/bin/echo " .. plain(name) .. " 7\n", ours)
    same(ours, theirs, "^ *%d+ +%d+ +/bin/echo " .. plain(name) .. " %d+ *$", 20)
  end)
end)

describe("opensnoop", function()
  it("shows files, with descriptors or errors", function()
    local absent = helper.absent()
    local ours, theirs = traces.beside_bpftrace("opensnoop", "PID",
      ("cat /etc/passwd >/dev/null; for i in $(seq 50); do cat %s; done 2>/dev/null; cat %s/last 2>/dev/null"):format(
      absent, absent), absent .. "/last")
    assert.matches("^PID     COMMAND            FD ERROR   PATH\n", ours)
    assert.matches("\n%d+ +cat +3 +/etc/passwd\n", ours)
    assert.matches("\n%d+ +cat +ENOENT  " .. plain(absent) .. "\n", ours)
    same(ours, theirs, "^%d+ +cat +.- " .. plain(absent) .. "$", 50)
  end)
end)

describe("killsnoop", function()
  it("shows signals, and how they went", function()
    local nobody, last = 90000000 + helper.pid, 80000000 + helper.pid -- others signal as well
    local ours, theirs = traces.beside_bpftrace("killsnoop", "Tracing",
      ("sh -c 'kill -TERM %d; kill -0 $$; sleep 60 & kill -KILL $!; kill -TERM %d' 2>/dev/null"):format(nobody, last),
      last)
    assert.matches("^TIME     PID     COMMAND          SIGNAL    TO PID  RESULT\n", ours)
    assert.matches(("\n%%d%%d:%%d%%d:%%d%%d %%d+ +sh +SIGTERM   %d ESRCH\n"):format(nobody), ours)
    assert.matches("\n%d%d:%d%d:%d%d %d+ +sh +SIGKILL   %d+ +0\n", ours)
    same(ours, theirs, (" sh +%%S+ +%d "):format(nobody), 1)
  end)
end)

describe("naptime", function()
  it("shows who sleeps, and for how long", function()
    local output = traces.beside("naptime", "sleep 0.123")
    assert.matches("^TIME     PPID    PARENT           PID     COMMAND          SECONDS\n", output)
    assert.matches("\n%d%d:%d%d:%d%d %d+ +sh +%d+ +sleep +0%.123\n", output)
  end)
end)

describe("gethostlatency", function()
  it("shows how long look-ups take", function()
    local path, own = helper.own "getent"
    local ours, theirs = traces.beside_bpftrace("gethostlatency", "Tracing",
      ("for host in localhost localhost localhost 127.0.0.1; do %s ahosts $host >/dev/null; done"):format(path),
      own .. ".*127.0.0.1$")
    assert.matches("^TIME     PID     COMMAND            LAT%(ms%) HOST\n", ours)
    assert.matches("\n%d%d:%d%d:%d%d %d+ +" .. own .. " +%d+%.%d%d%d localhost\n", ours)
    same(ours, theirs, " " .. own .. " +[%d.]+ localhost$", 3)
  end)
end)

describe("capable", function()
  it("shows which capabilities the kernel looks for", function()
    if kernel.before "6.14" then
      helper.skip "its tracepoint is there since Linux 6.14; trace_functions_spec runs what it does before"
    end
    local output = traces.beside("capable", "setpriv --reuid 65534 --clear-groups nice -n -5 true 2>/dev/null",
      "grep -q 'nice .*CAP_SYS_NICE' $out")
    assert.matches("^TIME     UID    PID     COMMAND          CAP NAME                   RESULT\n", output)
    assert.matches("\n%d%d:%d%d:%d%d 65534  %d+ +nice +23 CAP_SYS_NICE +no\n", output)
  end)
end)

describe("pidpersec", function()
  it("shows how many processes are created each second", function()
    local output = traces.beside("pidpersec", "for i in $(seq 100); do (:); done",
      "awk '{ n += $3 } END { exit n < 100 }' $out")
    assert.matches("^%d%d:%d%d:%d%d  created: %d+\n", output)
    assert.equal(lines_with(output, "."), lines_with(output, "^%d%d:%d%d:%d%d  created: %d+$"), output)
  end)
end)

describe("loads", function()
  it("shows load averages each second", function()
    local output = traces.beside("loads", "cat /proc/loadavg", "grep -q load $out")
    assert.matches("^%d%d:%d%d:%d%d  load averages: %d+%.%d+ %d+%.%d+ %d+%.%d+\n", output)
  end)
end)

-- Three processes that want the first CPU, for half a second.
local BUSY <const> = [[
  for i in 1 2 3; do taskset -c 0 timeout 0.5 sh -c 'while :; do :; done' & all="$all $!"; done
  wait $all]]

describe("cpuwalk", function()
  it("shows which CPUs are busy", function()
    local ours, theirs = traces.beside_bpftrace("cpuwalk", "Sampling", BUSY)
    assert.matches("^cpus\n", ours)
    local samples = tonumber(ours:match "\n +0  (%d+)")
    assert.is_true(samples >= 20, ours)
    if theirs then -- bpftrace begins later, and ends before
      local count = tonumber(theirs:match "%[0, 1%) +(%d+)")
      assert.is_true(count >= 20 and count <= samples + 5, ours .. theirs)
    end
  end)
end)

describe("runqlen", function()
  it("shows how many threads wait", function()
    local output = traces.beside("runqlen", BUSY)
    assert.matches("^length\n", output)
    local waiting = 0
    for length, count in output:gmatch "\n +(%d+) +(%d+) " do
      waiting = waiting + (tonumber(length) >= 2 and tonumber(count) or 0)
    end
    assert.is_true(waiting >= 10, output)
  end)
end)

describe("runqlat", function()
  it("shows how long threads wait", function()
    local output = traces.beside("runqlat", BUSY)
    assert.matches("^usecs\n", output)
    assert.matches("K [^%d ]+ +%d+K +[1-9]%d* ", output) -- who is preempted waits for milliseconds
  end)
end)

describe("oomkill", function()
  -- Shell commands that make a cgroup of 20 MiB, $group, and put a process there that wants more.
  local OOM <const> = [[
    top=$(awk '$3 == "cgroup" && ("," $4 ",") ~ /,memory,/ { print $2; exit }' /proc/self/mounts)
    if [ -n "$top" ]; then limit=memory.limit_in_bytes
    else
      top=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
      echo +memory >$top/cgroup.subtree_control 2>/dev/null; limit=memory.max
    fi
    group=$top/%s; mkdir $group && echo 20M >$group/$limit && {
      sh -c "echo \$\$ >$group/cgroup.procs; exec dd if=/dev/zero of=/dev/null bs=100M count=1" 2>/dev/null
      echo "status $?"; rmdir $group; }]]

  it("shows what is killed because memory ran out", function()
    if kernel.before "6.8" then
      helper.skip "its tracepoint knows the name since Linux 6.8; trace_functions_spec runs what it does before"
    end
    local output, before = traces.beside("oomkill", OOM:format(name))
    if not before:find("status 137", 1, true) then
      helper.skip("no cgroup with a limit of memory can be made: " .. before)
    end
    assert.matches("^TIME     PID     COMMAND          KILLED  COMMAND          KIB\n", output)
    local pid, victim, size = output:match "\n%d%d:%d%d:%d%d (%d+) +dd +(%d+) +dd +(%d+)\n"
    assert.equal(pid, victim, output)
    assert.is_true(tonumber(size) > 20000, output)
  end)
end)

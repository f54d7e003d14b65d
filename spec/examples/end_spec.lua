-- SPDX-License-Identifier: MIT
-- Every example ends well by SIGTERM, as by Ctrl-C: with its summary, with status 0, and nothing stays attached.
local bpf = require "bpf"
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"

-- How each is run such that it waits: its arguments, a function that returns them, or false and why it isn't run; what
-- it prints last.
local rows = {
  connects = { "--seconds 600", "\n%d+ connections?\n" },
  dnslog = { "--seconds 600", "\n0 questions, 0 of them without an answer\n$" },
  deny = { function()
    if not examples.has_lsm then
      helper.skip "the kernel asks no LSM programs of BPF"
    end
    return "--seconds 600 " .. helper.tmpdir()
  end, "\nRefused %d+ times\n$" },
  execsnoop = { "--seconds 600", "\n%d+ programs? started[^\n]*\n$" },
  exporter = { function()
    helper.require "socket"
    return "--seconds 600 --socket " .. helper.tmpdir() .. "/metrics"
  end, "^Serving [^\n]*\n$" },
  firewall = { function()
    local list = helper.tmpdir() .. "/list"
    helper.write(list, "deny 198.18.1.0/24\n")
    return "--seconds 600 --list " .. list .. " lo"
  end, "\n198.18.1.0/24 [^\n]*\n$" },
  flowd = { function()
    helper.require("luv", "Lua 5.4")
    return "--seconds 600 lo"
  end, "^Watching lo; [^\n]*\n" },
  funccount = { "--seconds 600", "CALLS +FUNCTION" },
  lighttpd = { false, "the demo of a server: it asks for as long as it runs, and net_spec runs it" },
  mallocs = { "--seconds 600", "^Watching " },
  meterd = { false, "the demo of the daemon meterd.lua, which daemon_spec ends by signals" },
  netcg = { "--seconds 600 -- sh -c 'echo running; exec sleep 600'",
    "^running\nThe command ended by signal 15\nIt talked to nobody\n$" },
  netdeny = { "--seconds 600 -- sh -c 'echo running; exec sleep 600'",
    "^running\nThe command ended by signal 15\nNothing was refused\n$" },
  offcpu = { "--seconds 600", "\n%d+ stacks?, [^\n]+ in all\n$" },
  opens = { "600", "\n%d+ files opened, %d+ not[^\n]*\n$" },
  opensnoop = { "--seconds 600", "\n" },
  profile = { "--seconds 600", " samples" },
  ratelimit = { "--seconds 600 lo", "^Limiting at lo " },
  runqlat = { "--seconds 600", "\n[%d.]+k? waits[^\n]*\n$" },
  syscount = { "-d 600", "\n[^\n]+ system calls of %d+ process" },
  systop = { "--seconds 600", "US/CALL +SWITCHES/S\n" },
  tasks = { "--seconds 600", "\n\n%d+ processe?s?\n$" },
  tcplife = { "--seconds 600", "^Watching " },
  traffic = { "--seconds 600 lo", "PACKETS" },
  usdt = { "--seconds 600", "\n%d+ passed[^\n]*\n$" },
}

-- Ends an example by a signal, to it alone, once it has printed something (or has asked for the signal, if `early`).
-- Returns what it printed, its status, and how many seconds that took.
local function ended(name, arguments, signal, early)
  local output, _, status = helper.run(([[
    out=$(mktemp)
    env --default-signal=INT,TERM %s >$out 2>&1 & pid=$!
    { sleep %d; kill -KILL $pid; } >/dev/null 2>&1 & watchdog=$!
    until %s; do kill -0 $pid || break; sleep 0.02; done 2>/dev/null
    kill -%s $pid
    read -r start _ </proc/uptime
    wait $pid; status=$?
    read -r finish _ </proc/uptime
    kill $watchdog
    cat $out; rm $out
    echo "== $start $finish"
    exit $status]]):format(examples.command(name, arguments), 60 * helper.slow,
    early and "grep -q '^SigCgt:.*[4-7c-f]...$' /proc/$pid/status" or "[ -s $out ]", signal))
  local printed, start, finish = output:match "^(.*)== (%S+) (%S+)\n$"
  assert(printed, output)
  return printed, status, finish - start
end

-- The programs that the kernel has, by id.
local function programs()
  local ids = {}
  for prog in bpf.progs() do
    ids[prog.id] = prog.name
  end
  return ids
end

local function arguments_of(row)
  return type(row[1]) == "function" and row[1]() or row[1]
end

describe("An example ends by SIGTERM:", function()
  examples.need_root()
  kernel.root()

  for name in lfs.dir "examples" do
    local row = rows[(name:gsub("%-lua$", ""))]
    -- of what ends alike everywhere, emulated kernels run what others may refuse
    local here = helper.slow == 1 or name == "deny"
    if here and lfs.attributes(("examples/%s/main.lua"):format(name)) and (not row or row[1]) then
      it(name, function()
        assert(row, "how does it end? Give it a row")
        local need = examples.needs[name]
        if need then
          kernel.need(table.unpack(need))
        end
        local arguments = arguments_of(row)
        local early = name:find "^tasks" or name:find "^opensnoop"
        local printed, status, seconds = ended(name, arguments, "TERM", early)
        assert.equal(0, status, printed)
        assert(printed:find(row[2]), printed)
        assert.falsy(printed:find("interrupted", 1, true) or printed:find("traceback", 1, true), printed)
        assert(seconds < 10 * helper.slow, "it took " .. seconds .. " s")
      end)
    end
  end

  it("and by SIGINT, in the same way", function()
    local printed, status = ended("execsnoop", rows.execsnoop[1], "INT")
    assert.equal(0, status, printed)
    assert(printed:find(rows.execsnoop[2]), printed)
  end)

  it("also if the signal comes before it waits, with nothing attached any more", function()
    local before = programs()
    local printed, status = ended("execsnoop", rows.execsnoop[1], "TERM", true)
    assert.equal(0, status, printed)
    assert(printed:find(rows.execsnoop[2]), printed)
    assert(helper.eventually(function()
      for id, program in pairs(programs()) do
        if not before[id] and program:find "exec" then
          return false
        end
      end
      return true
    end))
  end)
end)

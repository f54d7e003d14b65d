-- SPDX-License-Identifier: MIT
-- Running the scripts of examples/trace/. `local traces = require "spec.support.traces"`.
local helper = require "spec.helper"

local assert = require "luassert"

local traces = {}

--- Runs a script and, once it is ready, a shell command beside it. Ends it as Ctrl-C does as soon as `done` succeeds, a
-- shell command in which $out is the file of what the script prints; at once without it. Returns what the script
-- printed, and what the command did. A script that never gets there is killed after a while.
function traces.beside(name, command, done)
  local output, ok = helper.run(([[
    out=$(mktemp); err=$(mktemp)
    env --default-signal=INT timeout --foreground -s KILL %d %s examples/trace/%s.lua >$out 2>$err & pid=$!
    until grep -q '^ready' $err; do kill -0 $pid || break; sleep 0.02; done
    %s
    until %s; do kill -0 $pid || break; sleep 0.02; done
    kill -INT $pid; wait $pid; status=$?
    echo "== printed"; cat $out; echo "== said"; cat $err; rm $out $err; exit $status]]):format(15 * helper.slow,
    helper.LUA, name, command, done or "true"))
  assert(ok, output)
  local before, printed, said = output:match "^(.-)== printed\n(.-)== said\n(.*)$"
  assert.matches("^ready, %d+ probes?\n$", said:gsub("warning: [^\n]*\n", ""), said)
  return printed, before
end

-- Waits, for a second at most, until bpftrace has printed what is the last to come: what it hasn't read when it is
-- ended is lost. Then ends it.
local END <const> = [[
  n=0; until grep -q '%s' $said || [ $((n += 1)) -gt 50 ]; do sleep 0.02; done
  kill -INT $theirs; wait $theirs; echo "== theirs"; cat $said; rm $said]]

--- Runs a script as traces.beside does, and bpftrace's tool of the same name at the same time. `theirs` is what
-- bpftrace prints first once it has attached; `last` is a pattern of grep's, for what both print last, if they print
-- while they run. Returns what each of them printed; nil for bpftrace's where it isn't there, doesn't know this kernel,
-- or would be too slow.
function traces.beside_bpftrace(name, theirs, command, last)
  local file, done = ("/usr/sbin/%s.bt"):format(name), last and ("grep -q '%s' $out"):format(last)
  if helper.slow > 1 or not select(2, helper.run("command -v bpftrace && test -e " .. file)) then
    return (traces.beside(name, command, done))
  end
  local printed, before = traces.beside(name, ([[
    said=$(mktemp)
    env --default-signal=INT timeout --foreground -s KILL 15 bpftrace -B line %s >$said 2>&1 & theirs=$!
    until grep -q '%s' $said; do kill -0 $theirs || break; sleep 0.02; done
    %s
    %s]]):format(file, theirs, command, END:format(last or "")), done)
  local other = before:match "== theirs\n(.*)$"
  return printed, other:find(theirs, 1, true) and other or nil
end

--- The shell command that has Lua run a script in which `socket` is the module of that name.
function traces.socket(script)
  return ("lua%s -e %s"):format(_VERSION:match "[%d.]+", helper.quote('local socket = require "socket"\n' .. script))
end

return traces

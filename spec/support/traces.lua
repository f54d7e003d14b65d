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
  assert.matches("^ready, %d+ probes\n$", said:gsub("warning: [^\n]*\n", ""), said)
  return printed, before
end

--- The shell command that has Lua run a script in which `socket` is the module of that name.
function traces.socket(script)
  return ("lua%s -e %s"):format(_VERSION:match "[%d.]+", helper.quote('local socket = require "socket"\n' .. script))
end

return traces

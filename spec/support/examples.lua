-- SPDX-License-Identifier: MIT
-- Running the examples. `local examples = require "spec.support.examples"`.
local helper = require "spec.helper"

local assert = require "luassert"

local examples = {}

--- What some need of the kernel: the words in which they say so, and the version.
examples.needs = {
  deny = { "rules that hang on inodes", "5.10" },
  funccount = { "cookies of uprobes", "5.15" },
  tasks = { "iterators over tasks", "5.8" },
  usdt = { "cookies of uprobes, which USDT takes,", "5.15" },
}

--- Whether the kernel asks LSM programs, as far as it tells.
do
  local file <close> = io.open "/sys/kernel/security/lsm"
  examples.has_lsm = not file or file:read "a":find("bpf", 1, true) ~= nil
end

--- Skips without root.
function examples.need_root()
  if os.getenv "LBPF_UNPRIVILEGED" then
    helper.skip "needs root"
  end
end

--- Describes an example, and the one in Lua alone that has the same options and prints the same. `tests` gets the name
-- of each, and the name as a pattern. Emulated kernels run the former only: specs of programs show what they make of
-- the latter.
function examples.both(describe, name, tests)
  for _, each in ipairs(helper.slow > 1 and { name } or { name, name .. "-lua" }) do
    describe(each, function() tests(each, (each:gsub("%-", "%%-"))) end)
  end
end

--- The shell command that runs one.
function examples.command(name, arguments)
  return ("%s examples/%s/main.lua %s"):format(helper.LUA, name, arguments or "")
end

--- Runs one, behind the words of `wrap` if given. Returns what helper.run does.
function examples.run(name, arguments, wrap)
  return helper.run((wrap or "") .. " " .. examples.command(name, arguments))
end

--- Runs one that must end well. Returns what it printed.
function examples.well(name, arguments)
  local output, ok = examples.run(name, arguments)
  assert(ok, output)
  return output
end

--- Runs one and, once it has printed something, a shell command beside it; then ends it as Ctrl-C does. Returns what it
-- printed, and what the command did, in which $out is the file of what is printed. One that prints nothing, or that
-- Ctrl-C doesn't end, is killed after a while. (What sh starts in the background ignores SIGINT, and newer versions of
-- timeout leave it so.)
function examples.beside(name, arguments, beside, wrap)
  local output, ok = helper.run(([[
    out=$(mktemp)
    env --default-signal=INT timeout --foreground -s KILL %d %s %s >$out 2>&1 & pid=$!
    until [ -s $out ]; do kill -0 $pid || break; sleep 0.1; done
    %s
    sleep %g; kill -INT $pid; wait $pid; status=$?
    echo "== printed"; cat $out; rm $out; exit $status]]):format(40 * helper.slow, wrap or "",
    examples.command(name, arguments), beside, 0.3 * helper.slow))
  assert(ok, output)
  assert.falsy(output:find("interrupted", 1, true), output)
  local before, printed = output:match "^(.-)== printed\n(.*)$"
  return printed, before
end

--- Runs a tool that says on standard error when it is ready, and ends it by SIGTERM, which it must survive to end
-- well. The steps are shell commands: `before` is run first; `beside` once the tool is ready, in which $out is the file
-- of what the tool prints on standard output; SIGTERM comes once `done` succeeds, at once without it. Processes whose
-- ids they leave in $beside are killed in the end. Returns what the tool printed, what it said on standard error, and
-- what the commands did.
function examples.until_term(name, arguments, steps)
  local output, ok = helper.run(([[
    out=$(mktemp); err=$(mktemp)
    trap 'kill -KILL $beside 2>/dev/null' EXIT
    %s
    timeout --foreground -s KILL %d %s >$out 2>$err & pid=$!
    until grep -q 'Ctrl-C ends it' $err; do kill -0 $pid || break; sleep 0.02; done
    %s
    until %s; do kill -0 $pid || break; sleep 0.02; done
    kill -TERM $pid; wait $pid; status=$?
    echo "== printed"; cat $out; echo "== said"; cat $err; rm $out $err; exit $status]]):format(steps.before or "",
    20 * helper.slow, examples.command(name, arguments), steps.beside or "", steps.done or "true"))
  assert(ok, output)
  local before, printed, said = output:match "^(.-)== printed\n(.-)== said\n(.*)$"
  assert.falsy(said:find("traceback", 1, true), output)
  return printed, said, before
end

--- The objects that a tool has printed as lines of JSON.
function examples.objects(printed)
  local list = {}
  for line in printed:gmatch "[^\n]+" do
    list[#list + 1] = assert(require "dkjson".decode(line), line)
  end
  return list
end

--- The only one of the objects that has these members.
function examples.one(list, wanted)
  local found
  for _, object in ipairs(list) do
    local fits = true
    for name, value in pairs(wanted) do
      fits = fits and object[name] == value
    end
    assert(not (fits and found), "several such rows")
    found = fits and object or found
  end
  return assert(found, "no such row")
end

--- Compiles a C program such that its stacks can be followed. Returns its path.
function examples.compiled(name, source)
  local path = ("%s/%s"):format(helper.tmpdir(), name)
  local file <close> = assert(io.open(path .. ".c", "w"))
  assert(file:write(source) and file:flush())
  local output, ok = helper.run(("cc -O1 -fno-omit-frame-pointer -fno-optimize-sibling-calls -o %s %s.c")
    :format(path, path))
  assert(ok, output)
  return path
end

local path

--- The path of a program of known functions, compiled such that its stacks can be followed.
function examples.busy()
  if path then
    return path
  end
  path = examples.compiled("busy", [[
    unsigned long n;
    __attribute__((noinline)) void inner(void)
    {
      __asm__ volatile("" : : "r"(__builtin_frame_address(0))); /* a leaf has no frame otherwise */
      for (int i = 0; i < 10000; i++) __asm__ volatile("" : "+r"(n));
      n++;
    }
    __attribute__((noinline)) void outer(void) { for (int i = 0; i < 1000; i++) inner(); n++; }
    int main(void) { for (;;) outer(); }
  ]])
  return path
end

return examples

-- SPDX-License-Identifier: MIT
-- Loaded by busted before every spec file (.busted): finds the tree's modules, sets the collector's mode, turns a skip
-- anywhere into a reported one, and fails a spec file that leaves a descriptor, a BPF mapping or a thread behind.
-- Specs get it by `require "spec.helper"`. Its syntax is that of every Lua, so that the next line is reached.
assert(_VERSION >= "Lua 5.4", "the specs need Lua 5.4, this is " .. _VERSION .. ": use `make test`")

local busted = require "busted"
local check = require "luassert"
local lfs = require "lfs"

local helper = {}
package.loaded["spec.helper"] = helper

-- The Makefile sets both paths; this is for `lua5.4 $(command -v busted) spec/map/map_spec.lua`.
if not package.searchpath("bpf.core", package.cpath) then
  package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
  package.cpath = "build/release/?.so;" .. package.cpath
end

package.cpath = package.cpath .. ";build/?.so" -- require "support.x" for spec/support/lua/x.c

--- The command that runs Lua, under the sanitizer or valgrind if the specs are.
helper.LUA = os.getenv "LBPF_LUA" or "lua5.4"

--- The bytes of a file.
function helper.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

--- Writes a file. Returns its path.
function helper.write(path, bytes)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  assert(file:close())
  return path
end

--- This process's id.
helper.pid = math.tointeger(helper.read("/proc/self/stat"):match("^%d+"))

--- For names that are the machine's: this run's own, of at most 11 characters. One that was killed may have left its.
helper.tag = ("%d%04x"):format(helper.pid, math.random(0, 0xffff))

--- How many times longer things may take here: LBPF_SLOW is set in emulated machines.
helper.slow = (os.getenv "LBPF_SLOW" or "") == "" and 1 or 6

-- Collector mode -----------------------------------------------------------------------------------------------------

local gc_modes = {
  generational = function() collectgarbage("generational") end,
  incremental = function() collectgarbage("incremental") end,
  stress = function() -- begins the next cycle as soon as one ends
    collectgarbage("incremental")
    if _VERSION == "Lua 5.4" then
      collectgarbage("setpause", 0)
      collectgarbage("setstepmul", 1000)
    else
      collectgarbage("param", "pause", 0)
      collectgarbage("param", "stepmul", 100000)
      collectgarbage("param", "stepsize", 100)
    end
  end,
}

local gc = os.getenv "LBPF_GC"
if gc and gc ~= "" then
  assert(gc_modes[gc], "LBPF_GC: no such mode: " .. gc)()
end

-- Skips where a message says that the kernel refuses a kind of program, and the kernel does.
local function skip_refused(message)
  if message:find("the kernel refused this kind of program", 1, true) then
    require("spec.support.kinds").look(message)
  end
end

-- Running commands ---------------------------------------------------------------------------------------------------

--- Quotes a string for the shell.
function helper.quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

--- Runs a shell command. Returns what it printed on both outputs, whether it succeeded, and its exit status, which is
-- 128 + n when signal n ended it. Skips where it says that the kernel refuses a kind of program.
function helper.run(command)
  local pipe = assert(io.popen("{ " .. command .. "\n} 2>&1 </dev/null"))
  local output = pipe:read("a")
  local ok, how, code = pipe:close()
  skip_refused(output)
  return output, ok == true, how == "signal" and 128 + code or code
end

--- Runs a shell command, and sends SIGINT to it and all it started, once, as Ctrl-C does: as soon as `ready` succeeds,
-- a shell command that finds in $out the file of what was printed; without one, as soon as anything was. Returns what
-- `run` does. (timeout(1) signals twice, and with a SIGCONT behind it, on which the leak check can wait for ever.)
function helper.interrupt(command, ready)
  return helper.run(([[
    out=$(mktemp)
    setsid env --default-signal=INT %s >$out 2>&1 & pid=$!
    until %s; do kill -0 $pid || break; sleep 0.02; done 2>/dev/null
    kill -INT -$pid; wait $pid; status=$?
    cat $out; rm $out; exit $status]]):format(command, ready or "[ -s $out ]"))
end

--- Whether a condition comes true, as of what the kernel or another process does a little later.
function helper.eventually(condition)
  local socket = require "socket"
  for _ = 1, 100 * helper.slow do
    if condition() then
      return true
    end
    socket.sleep(0.05)
  end
  return false
end

--- Calls a function until it gives something, and returns that; fails after so many seconds. `log` is a file that tells
-- more.
function helper.await(seconds, what, fn, log)
  local socket = require "socket"
  local finish = socket.gettime() + seconds
  repeat
    local value = fn()
    if value then
      return value
    end
    socket.sleep(0.05)
  until socket.gettime() > finish
  error(("waited in vain for %s%s"):format(what, log and ":\n" .. helper.read(log) or ""), 2)
end

--- Runs Lua code in an interpreter of its own, with the module under test. Returns what `run` does.
function helper.lua(code)
  return helper.run(helper.LUA .. " -e " .. helper.quote(code))
end

--- Checks that the function raises an error whose message matches the pattern. Returns the message.
function helper.raises(fn, pattern)
  local ok, message = pcall(fn)
  if ok then
    busted.fail("no error, expected one matching: " .. pattern, 2)
  end
  message = tostring(message)
  if not message:find(pattern) then
    busted.fail(("wrong error.\nExpected: %s\nGot: %s"):format(pattern, message), 2)
  end
  return message
end

--- Checks that the results are nil, a message that matches the pattern, and the code, in which the message ends.
function helper.fails(code, pattern, ...)
  local result, message, got = ...
  check.same({ n = 3, code = code }, { n = select("#", ...), code = got })
  check.is_nil(result)
  check.matches(pattern, message)
  check.matches("%(" .. code .. "%)$", message)
end

--- The path of spec/progs/<name>.bpf.c, compiled.
function helper.obj(name)
  return ("build/progs/%s.bpf.o"):format(name)
end

-- Temporary things ---------------------------------------------------------------------------------------------------

local cleanup = {} -- shell commands

local function must(command)
  local output, ok = helper.run(command)
  return ok and output or error(command .. ": " .. output, 3)
end

--- A new directory, removed after the spec file.
function helper.tmpdir()
  local dir = must("mktemp -d"):gsub("\n", "")
  cleanup[#cleanup + 1] = "rm -rf " .. dir
  return dir
end

--- A link to a command, by a name that no other run uses, for what tells processes by their names. Returns its path,
-- and the name, of letters and digits.
function helper.own(command)
  local name = command:sub(1, 3) .. helper.tag
  local path = helper.tmpdir() .. "/" .. name
  must(("ln -s $(command -v %s) %s"):format(command, path))
  return path, name
end

--- What a directory has, sorted.
function helper.entries(dir)
  local list = {}
  for name in helper.run("ls " .. dir):gmatch("%S+") do
    list[#list + 1] = name
  end
  return list
end

--- A path at which nothing is, and nobody else makes anything.
function helper.absent()
  return helper.tmpdir() .. "/absent"
end

--- A new directory to be the PATH of one who has Lua and nothing else, removed after the spec file.
function helper.bare_path()
  local dir = helper.tmpdir()
  must(("for word in %s; do program=$(command -v $word) && ln -s $program %s; done 2>/dev/null; ls %s/*"):format(
    helper.LUA, dir, dir))
  return dir
end

--- A new directory to be in front of PATH, in which a program that loads the module runs as Lua does here: behind the
-- sanitizer or valgrind. Removed after the spec file.
function helper.path_with(program)
  local dir = helper.tmpdir()
  must(([[{ echo '#!/bin/sh'; echo exec %s '"$@"'; } >%s/%s; chmod -R a+rx %s]]):format(
    helper.LUA:gsub("%S+$", "$(command -v " .. program .. ")"), dir, program, dir))
  return dir
end

local pins, mounted = 0, false

--- A new directory on the BPF file system, removed after the spec file with all that was pinned there.
function helper.bpffs()
  local top = "/sys/fs/bpf/lbpf-" .. helper.pid
  if pins == 0 then
    mounted = must("stat -f -c %T /sys/fs/bpf"):find("bpf_fs", 1, true)
    if not mounted then
      must("mount -t bpf bpf /sys/fs/bpf")
    end
    cleanup[#cleanup + 1] = "rm -rf " .. top .. (mounted and "" or " && umount /sys/fs/bpf")
  end
  pins = pins + 1
  local dir = top .. "/" .. pins
  lfs.mkdir(top)
  assert(lfs.mkdir(dir))
  return dir
end

-- Skipping -----------------------------------------------------------------------------------------------------------

-- busted knows a skip by an object that only its own `pending` can raise, and offers that inside `it` alone.
local raise_pending = require("busted.core")().pending

--- Skips what calls it, for a reason: a test, or all of a describe or file. Says where that begins, so that results of
-- several kernels can be compared: functions of the spec that it calls don't count.
function helper.skip(reason)
  local level, place = 2, nil
  local info = debug.getinfo(level, "S")
  while info do
    place = info.short_src:find("_spec%.lua$") and info or place
    level = level + 1
    info = debug.getinfo(level, "S")
  end
  raise_pending(place and ("%s:%d: %s"):format(place.short_src, math.max(place.linedefined, 1), reason) or reason)
end

-- Outside `it`, busted would drop the tests without a word.
busted.subscribe({ "pending" }, function(element, parent, message)
  if element.descriptor == "it" or element.descriptor == "pending" then
    return nil, true
  end
  local skipped = { descriptor = "pending", name = element.name, message = message, trace = element.trace }
  busted.publish({ "test", "start" }, skipped, parent)
  busted.publish({ "test", "end" }, skipped, parent, "pending")
end, { priority = 1 })

-- An assertion that fails because the kernel refuses a kind of program, whatever the program, is a skip.
local luassert = getmetatable(require("luassert"))
local assert_call = luassert.__call
luassert.__call = function(self, value, message, ...)
  if not value and type(message) == "string" then
    skip_refused(message)
  end
  return assert_call(self, value, message, ...)
end

-- An assertion that holds returns at once: luassert would look for its place first, for which it has the lines of all
-- functions around it counted. In loops that took most of the time.
local deepcompare = require("luassert.util").deepcompare
local holds = {
  equal = { 2, function(a, b) return a == b end },
  same = { 2, function(a, b)
    return a == b or type(a) == "table" and type(b) == "table" and deepcompare(a, b, true)
  end },
  is_true = { 1, function(a) return a == true end },
  is_false = { 1, function(a) return a == false end },
  is_nil = { 1, function(a) return a == nil end },
  truthy = { 1, function(a) return a end },
  falsy = { 1, function(a) return not a end },
}
for name, row in pairs(holds) do
  local least <const>, test <const> = table.unpack(row)
  check[name] = function(...)
    if select("#", ...) >= least and test(...) then
      return ...
    end
    return check.state()[name](...)
  end
end

-- Checks around the file ---------------------------------------------------------------------------------------------

--- How many descriptors this process has, once all garbage is collected.
function helper.descriptors()
  collectgarbage()
  collectgarbage()
  local n = 0
  for _ in lfs.dir("/proc/self/fd") do
    n = n + 1
  end
  return n
end

-- What this process holds: { [what] = description }.
local function resources()
  collectgarbage()
  collectgarbage()
  local held = {}
  for fd in lfs.dir("/proc/self/fd") do
    local target = lfs.symlinkattributes("/proc/self/fd/" .. fd, "target")
    if target and not target:find("^/proc/%d+/fd$") then
      held["descriptor " .. fd] = target
    end
  end
  for line in io.lines("/proc/self/maps") do
    local range, name = line:match("^(%S+).*(anon_inode:.*)$")
    if range then
      held["mapping " .. range] = name
    end
  end
  held.threads = helper.read("/proc/self/status"):match("Threads:%s*(%d+)")
  return held
end

-- What differs between two such tables, in words.
local function difference(before, after)
  local list = {}
  for what, description in pairs(after) do
    if before[what] ~= description then
      list[#list + 1] = ("%s is %s, was %s"):format(what, description, before[what] or "not there")
    end
  end
  for what, description in pairs(before) do
    if not after[what] then
      list[#list + 1] = ("%s was %s, is gone"):format(what, description)
    end
  end
  table.sort(list)
  return table.concat(list, "\n")
end

local before
local ran = 0

--- Loads a module that may open descriptors which stay open as long as the process: they count as there before. Where
-- Debian doesn't have it yet for versions of Lua newer than `newest`, it skips there what calls it.
function helper.require(name, newest)
  if newest and _VERSION > newest and not package.searchpath(name, package.path .. ";" .. package.cpath) then
    helper.skip(("%s: there is none for %s"):format(name, _VERSION))
  end
  local module = require(name)
  before = resources()
  return module
end

-- busted reports a file that doesn't parse without a place, and its TAP output stumbles over that.
busted.subscribe({ "error", "file" }, function(element)
  ran = ran + 1
  element.trace = element.trace or { short_src = element.name, currentline = 0 }
  return nil, true
end, { priority = 1 })

busted.subscribe({ "test", "end" }, function()
  ran = ran + 1
  return nil, true
end)

busted.subscribe({ "file", "start" }, function()
  before = resources()
  return nil, true
end)

busted.subscribe({ "file", "end" }, function()
  local leaks = difference(before, resources())
  local failures = {}
  for i = #cleanup, 1, -1 do
    local output, ok = helper.run(cleanup[i])
    if not ok then
      failures[#failures + 1] = cleanup[i] .. ": " .. output
    end
    cleanup[i] = nil
  end
  pins = 0
  if leaks ~= "" then
    error("the spec file leaves behind (close in the test, or in a teardown):\n" .. leaks, 0)
  elseif failures[1] then
    error("cleaning up: " .. table.concat(failures, "\n"), 0)
  elseif ran == 0 then
    error("the spec file runs no test", 0)
  end
  return nil, true
end)

return helper

-- SPDX-License-Identifier: MIT
-- What the examples share and no reader of them needs to know: options, time, signals, networks to play with.
local argparse = require "argparse"
local bpf = require "bpf"

local common = { name = arg[0]:match "([^/]+)/[^/]*$" or "main" }

-- From here on, these signals don't end the example: it ends itself, and well. (Until it has ended, because timeout(1)
-- sends its signal twice.)
local signals = assert(bpf.signals("INT", "TERM"))

--- A parser of the command line, argparse's. What it doesn't understand ends the example with status 2.
function common.parser(description)
  local parser = argparse("main.lua", description):help_max_width(100)
  function parser:error(message)
    io.stderr:write(common.name, ": ", message, "\n", self:get_usage(), "\n")
    os.exit(2)
  end
  return parser
end

--- For argparse: a number of seconds.
function common.seconds(word)
  local n = tonumber(word)
  return n and n >= 0 and n or nil, ("a number of seconds expected, got '%s'"):format(word)
end

--- For argparse: a whole number.
function common.count(word)
  local n = math.tointeger(tonumber(word))
  return n and n >= 0 and n or nil, ("a whole number expected, got '%s'"):format(word)
end

--- Opens and loads the object beside the script.
function common.load(options)
  local path = ("%s%s.bpf.o"):format(arg[0]:gsub("[^/]*$", ""), common.name)
  return common.try(bpf.load(path, options))
end

--- What a call returned, or its error, without a position.
function common.try(value, message)
  return value or error(message, 0)
end

local came = false

--- Whether a signal has come that ends the example.
function common.ended()
  came = came or signals:poll(0) ~= nil
  return came
end

local ENDED <const> = "ended by a signal"
local in_main = false -- who would catch that

--- Raises an error that common.main takes for a good end, if such a signal has come. For the middle of what takes long.
function common.check()
  if in_main and common.ended() then
    error(ENDED, 0)
  end
end

--- Calls the function; a signal ends it and nothing else. Returns whether it came to its end.
function common.interruptible(fn)
  local ok, message = pcall(fn)
  if not ok and message ~= ENDED then
    error(message, 0)
  end
  return ok
end

--- Runs the example: prints an error and ends with status 1, or ends well, after a signal too: it has done what it was
-- asked to do until then.
function common.main(fn, ...)
  io.stdout:setvbuf "line"
  in_main = true
  local ok, message = pcall(fn, ...)
  ok = ok or message == ENDED
  if not ok then
    io.stderr:write(common.name, ": ", tostring(message), "\n")
  end
  os.exit(ok, true)
end

--- How many columns to print in: the terminal's, or many.
function common.width()
  return bpf.hist.terminal() and bpf.hist.width() - 1 or 1000
end

--- Seconds since boot.
function common.now()
  return bpf.clock "boottime" * 1e-9
end

--- Lets a reader's handlers have what comes, until the time is over or a signal comes. Returns whether the time is
-- over.
function common.poll(reader, seconds)
  local finish = common.now() + seconds
  repeat
    local left = math.max(finish - common.now(), 0)
    common.try(reader:poll(math.ceil(math.min(left, 1000000) * 1000)))
  until common.ended() or common.now() >= finish
  return not common.ended()
end

--- Waits until the time is over or a signal comes. Returns whether the time is over.
function common.sleep(seconds)
  local finish = common.now() + seconds
  while not common.ended() and common.now() < finish do
    bpf.sleep(finish - common.now())
  end
  return not common.ended()
end

--- Starts a shell command. Returns a pipe from its output; closing that, as the end of the block does, kills it first.
function common.start(command)
  local pipe = common.try(io.popen("echo $$; " .. command))
  local pid = pipe:read "n"
  local started = { pid = pid }
  function started:read(what) -- luacheck: ignore self
    local text = pipe:read(what)
    return text or common.check() -- Ctrl-C ends the command, too
  end
  function started:close() -- luacheck: ignore self
    if pipe then
      os.execute(("kill %d 2>/dev/null"):format(pid))
      pipe = pipe:close() and nil
    end
  end
  return setmetatable(started, { __close = started.close })
end

--- Runs a shell command that must succeed, unless a signal has come. Returns what it printed.
function common.run(command)
  common.check()
  local pipe = common.try(io.popen("{ " .. command .. "\n} 2>&1"))
  local output = pipe:read "a"
  if pipe:close() then
    return output
  end
  common.check() -- Ctrl-C ends the command, too
  error(("%s: %s"):format(command, output), 0)
end

--- Quotes a word for the shell.
function common.quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- The working directory.
function common.cwd()
  return common.run("pwd"):match "[^\n]+"
end

--- Makes a folder for what is temporary. Its name is in `path`; it is gone, with a file system mounted below `mounted`,
-- when it is closed.
function common.folder(mounted)
  local path = common.run("mktemp -d"):match "[^\n]+"
  return setmetatable({ path = path }, { __close = function()
    os.execute(("umount %s/%s 2>/dev/null; rm -rf --one-file-system %s"):format(path, mounted or "none", path))
  end })
end

--- This process's id.
function common.pid()
  local file <close> = common.try(io.open "/proc/self/stat")
  return file:read "n"
end

--- Fails on kernels older than the one that brought a feature.
function common.need(feature, version)
  local function parse(text)
    local major, minor = text:match "^(%d+)%.(%d+)"
    return major * 1000 + minor
  end
  local running = bpf.features.kernel()
  common.try(parse(running) >= parse(version), ("%s need Linux %s, this is %s"):format(feature, version, running))
end

--- Makes a network to play with: an interface here, `net.interface`, and its other end in a namespace of its own. Here
-- has the addresses 198.18.i.1 for i from 1 to `n`, there has 198.18.i.2; these are kept for tests by RFC 2544.
-- `net:command(c)` is the shell command that runs c there. All of it is gone when `net` is closed.
function common.network(n)
  local space = "lbpf-" .. common.pid()
  local net = { interface = ("lb%d"):format(common.pid()), space = space }
  function net:command(command) -- luacheck: ignore self
    return ("ip netns exec %s bash -c %s"):format(space, common.quote(command))
  end
  local remove = ("ip link del %s; ip netns del %s"):format(net.interface, space) -- the second alone takes its time
  setmetatable(net, { __close = function() os.execute(remove) end })
  common.run("ip netns add " .. space)
  local made <close> = setmetatable({ net }, { __close = function(t) -- if it ends half made
    if t[1] then
      os.execute("ip netns del " .. space)
    end
  end })
  common.run(("ip link add %s type veth peer name peer netns %s"):format(net.interface, space))
  for i = 1, n do
    common.run(("ip addr add 198.18.%d.1/24 dev %s"):format(i, net.interface))
    common.run(("ip -n %s addr add 198.18.%d.2/24 dev peer"):format(space, i))
  end
  common.run(("ip link set %s up; ip -n %s link set peer up"):format(net.interface, space))
  made[1] = nil
  return net
end

--- Where cgroup2 is mounted, or nil.
function common.cgroup2()
  for line in io.lines "/proc/self/mounts" do
    local path = line:match "^%S+ (%S+) cgroup2 "
    if path then
      return path
    end
  end
end

-- Where cgroup2 is mounted, and whether we did that.
local function cgroups()
  local there = common.cgroup2()
  if there then
    return there
  end
  local path = common.run("mktemp -d"):gsub("%s+$", "")
  common.run("mount -t cgroup2 none " .. path)
  return path, true
end

-- Runs a command in the cgroup, for so many seconds at most, and says how it ended if that wasn't well. A signal ends
-- the command as well. (os.execute would wait for the command whatever comes.)
local function run_in(group, words, seconds)
  local quoted = {}
  for i, word in ipairs(words) do
    quoted[i] = common.quote(word)
  end
  local ends <close> = common.try(bpf.signals "CHLD")
  local pipe = common.try(io.popen(("exec </proc/$PPID/fd/0 timeout --foreground %g bash -c %s"):format(seconds,
    common.quote(group:command(table.concat(quoted, " ")))), "w"))
  repeat
    local ended = ends:poll()
    if not ended and common.ended() then
      os.execute(("kill $(cat %s/cgroup.procs) 2>/dev/null"):format(group.path))
      ended = true
    end
  until ended
  local _, how, status = pipe:close()
  if how == "signal" or status > 0 then
    print(("The command ended by %s %d"):format(how == "signal" and how or "status", status))
  end
end

--- Makes a cgroup. `group.path` names it, `group:command(c)` is the shell command that runs c as a member, and
-- `group:run(words, seconds)` runs one. When `group` is closed, the members that are left are told to end and it is
-- gone.
function common.cgroup()
  local top, mounted = cgroups()
  local group = { path = ("%s/lbpf-%d"):format(top, common.pid()), run = run_in }
  common.run("mkdir " .. group.path)
  function group:command(command)
    return ("echo $$ >%s/cgroup.procs && exec bash -c %s"):format(self.path, common.quote(command))
  end
  local remove = ([[
    for i in $(seq 100); do
      kill $(cat %s/cgroup.procs) 2>/dev/null
      rmdir %s 2>/dev/null && break
      sleep 0.05
    done]]):format(group.path, group.path) .. (mounted and ("\numount %s && rmdir %s"):format(top, top) or "")
  return setmetatable(group, { __close = function() os.execute(remove) end })
end

return common

-- SPDX-License-Identifier: MIT
-- What the examples share and no reader of them needs to know: options, the clock, Ctrl-C, a network to play with.
local argparse = require "argparse"
local bpf = require "bpf"

local common = { name = arg[0]:match "([^/]+)/[^/]*$" or "main" }

-- Seconds that one call waits: a signal that comes just before it doesn't end it.
local LONGEST <const> = 1

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

--- Reads the command line. `defaults` has the options: a number or text takes a word after it, a boolean none. What is
-- given besides stands in the sequence `options[1]`, …, at most `words` of it; what follows "--" is not looked at.
-- Explains and ends for --help, and with status 2 for what isn't understood.
function common.options(usage, defaults, words)
  local options, i = setmetatable({}, { __index = defaults }), 1
  local function misuse(word)
    io.stderr:write(common.name, ": not understood: ", word, "\n", usage)
    os.exit(2)
  end
  while arg[i] do
    local word = arg[i]
    local name = word:match "^%-%-(%l[%l-]*)$"
    if word == "-h" or name == "help" then
      io.write(usage)
      os.exit(0)
    elseif word == "--" and (words or 0) > 0 then
      table.move(arg, i + 1, #arg, #options + 1, options)
      break
    elseif name and type(defaults[name]) == "boolean" then
      options[name] = true
    elseif name and defaults[name] ~= nil then
      i = i + 1
      local value = arg[i]
      if type(defaults[name]) == "number" then
        value = tonumber(value or "")
        value = value and value >= 0 and (math.tointeger(value) or name == "seconds" and value) or nil
      end
      options[name] = value or misuse(word)
    elseif word:find "^%-" or #options >= (words or 0) then
      misuse(word)
    else
      options[#options + 1] = word
    end
    i = i + 1
  end
  return #options <= (words or 0) and options or misuse(options[#options])
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

--- Runs the example: prints an error and ends with status 1, or ends well, at Ctrl-C too.
function common.main(fn, ...)
  io.stdout:setvbuf "line"
  local ok, message = pcall(fn, ...)
  ok = ok or tostring(message):find("interrupted!", 1, true) ~= nil
  if not ok then
    io.stderr:write(common.name, ": ", tostring(message), "\n")
  end
  os.exit(ok, true)
end

--- How many columns to print in: the terminal's, or many.
function common.width()
  return bpf.hist.terminal() and bpf.hist.width() - 1 or 1000
end

local uptime

--- Seconds since boot.
function common.now()
  if not uptime then
    uptime = common.try(io.open "/proc/uptime")
    uptime:setvbuf "no" -- read anew each time
  end
  uptime:seek "set"
  return uptime:read "n"
end

--- Calls the function; Ctrl-C, which is Lua's error "interrupted!", ends it and nothing else. Returns whether it came
-- to its end.
function common.interruptible(fn)
  local ok, message = pcall(fn)
  if not ok and not tostring(message):find("interrupted!", 1, true) then
    error(message, 0)
  end
  return ok
end

--- Lets a reader's handlers have what comes, until the time is over or Ctrl-C. Returns whether the time is over.
function common.poll(reader, seconds)
  local finish = common.now() + seconds
  return common.interruptible(function()
    repeat
      local left = math.max(math.min(finish - common.now(), LONGEST), 0)
      local n, message, code = reader:poll(math.ceil(left * 1000))
      common.try(n or code == "EINTR", message)
    until common.now() >= finish
  end)
end

--- Waits until the time is over or Ctrl-C. Returns whether the time is over. (Not by os.execute, while which the signal
-- is ignored.)
function common.sleep(seconds)
  local finish = common.now() + seconds
  return common.interruptible(function()
    repeat
      local left = math.max(finish - common.now(), 0)
      local pipe <close> = common.try(io.popen(("exec sleep %g"):format(math.min(left, LONGEST))))
      pipe:read "a"
    until common.now() >= finish
  end)
end

--- Starts a shell command. Returns a pipe from its output; closing that, as the end of the block does, kills it first.
function common.start(command)
  local pipe = common.try(io.popen("echo $$; " .. command))
  local pid = pipe:read "n"
  local started = { pid = pid }
  function started:read(what) -- luacheck: ignore self
    return pipe:read(what)
  end
  function started:close() -- luacheck: ignore self
    if pipe then
      os.execute(("kill %d 2>/dev/null"):format(pid))
      pipe = pipe:close() and nil
    end
  end
  return setmetatable(started, { __close = started.close })
end

--- Runs a shell command that must succeed. Returns what it printed.
function common.run(command)
  local pipe = common.try(io.popen("{ " .. command .. "\n} 2>&1"))
  local output = pipe:read "a"
  return common.try(pipe:close() and output, ("%s: %s"):format(command, output))
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

--- An IP address as text, of its 4 or 16 bytes.
function common.address(bytes)
  if #bytes == 4 then
    return ("%d.%d.%d.%d"):format(bytes:byte(1, 4))
  end
  local text = (":%x"):rep(8):format((">I2"):rep(8):unpack(bytes)):gsub(":0:[0:]*", "::", 1)
  return text:find "^::" and text or text:sub(2)
end

local PROTOCOLS = {
  [0] = "options", [1] = "ICMP", [2] = "IGMP", [6] = "TCP", [17] = "UDP", [47] = "GRE", [58] = "ICMPv6",
}

--- What a protocol of IP is called.
function common.protocol(number)
  return PROTOCOLS[number] or ("protocol %d"):format(number)
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

-- Where cgroup2 is mounted, and whether we did that.
local function cgroups()
  for line in io.lines "/proc/self/mounts" do
    local path = line:match "^%S+ (%S+) cgroup2 "
    if path then
      return path
    end
  end
  local path = common.run("mktemp -d"):gsub("%s+$", "")
  common.run("mount -t cgroup2 none " .. path)
  return path, true
end

--- Makes a cgroup. `group.path` names it, `group:command(c)` is the shell command that runs c as a member. When `group`
-- is closed, the members that are left are told to end and it is gone.
function common.cgroup()
  local top, mounted = cgroups()
  local group = { path = ("%s/lbpf-%d"):format(top, common.pid()) }
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

-- SPDX-License-Identifier: MIT
-- Whom a trace follows: a command of its own, a process, a cgroup. Each is a condition before the bodies.

local core = require("bpf.core")
local posix = require("bpf.base.posix")
local failure = require("bpf.trace.failure")

local fail, refuse = failure.wrong, failure.refused

local process = {}

-- The words of a command, parted as a shell does: by blanks, with quotes and backslashes. Nothing is expanded, because
-- a shell would be traced as well.
function process.words(text)
  local words, word, at = {}, nil, 1
  while at <= #text do
    local c = text:sub(at, at)
    local plain = text:match("^[^ \t\n'\"\\]+", at)
    if plain then
      word, at = (word or "") .. plain, at + #plain
    elseif c == "'" then
      local inside = text:match("^'([^']*)'", at) or fail("command: a quote ' is not closed: %s", text)
      word, at = (word or "") .. inside, at + #inside + 2
    elseif c == '"' then
      local stop = at
      repeat
        stop = text:find('["\\]', stop + 1) or fail('command: a quote " is not closed: %s', text)
        local escaped = text:sub(stop, stop) == "\\"
        stop = escaped and stop + 1 or stop
      until not escaped
      word = (word or "") .. text:sub(at + 1, stop - 1):gsub('\\([\\"$`])', "%1")
      at = stop + 1
    elseif c == "\\" then
      word, at = (word or "") .. text:sub(at + 1, at + 1), at + 2
    else
      words[#words + 1], word, at = word, nil, at + 1
    end
  end
  words[#words + 1] = word
  if not words[1] then
    fail("command: a command is expected")
  end
  return words
end

-- Starts a command, which waits. Returns its child process, and the command's first word.
function process.start(command)
  local words = type(command) == "table" and command or process.words(command)
  local child, message, code = posix.child(words)
  return child or refuse(message, code), words[1]
end

-- What to do about a command that can't be executed, by the error; nil if that says all.
local CURES <const> = {}

function CURES.ENOENT(word)
  if not word:find("/", 1, true) then
    return "no folder of PATH has it; what only a shell knows is run by sh -c '…'"
  end
  return posix.file_status(word) and "the interpreter that it names isn't there" or nil
end

function CURES.EACCES(word)
  return posix.file_status(word) == "directory" and "it is a folder" or "chmod +x lets it be executed"
end

-- Lets a command run, or ends with why it can't.
function process.let_go(child, word)
  local ok, message, code = child:go()
  if ok then
    return
  end
  local cure = CURES[code] and CURES[code](word)
  message = ("command '%s'%s%s"):format(word, message:match("^the command(.*)$"), cure and "; " .. cure or "")
  refuse(message, code, code == "ENOENT" and 127 or 126)
end

-- Where cgroup2 is mounted, or nil.
local function cgroup_mount()
  local mounts <close> = io.open("/proc/mounts")
  return mounts and mounts:read("a"):match("\n%S+ (%S+) cgroup2 ")
end

-- The folder of a cgroup by its path, or by the path that `cgroup` prints, which begins at the mount.
local function folder_of(path)
  local mount = not posix.file_status(path) and cgroup_mount()
  local below = mount and mount .. "/" .. path
  return below and posix.file_status(below) and below or path
end

-- Why a path is no cgroup, and what to do.
local function no_cgroup(path, message)
  local kind = posix.file_status(path)
  if kind and kind ~= "directory" then
    return "it is no folder"
  elseif not message:find("(EBADF)", 1, true) then
    return kind and message or "there is no such folder"
  end
  local mounted = cgroup_mount()
  return mounted and ("cgroups are the folders below %s"):format(mounted)
    or "no cgroup2 file system is mounted here: mount -t cgroup2 none /sys/fs/cgroup"
end

-- A map that has the cgroup of a path, for programs that ask whether they run in it.
function process.cgroup(path)
  local m, message, code = core.map.create { type = "cgroup_array", name = "trace_cgroup", max_entries = 1 }
  if not m then
    refuse("cgroup: " .. message, code)
  end
  local ok, complaint, why = core.map.update(m, 0, folder_of(path))
  if not ok then
    core.map.close(m)
    refuse(("cgroup '%s': %s"):format(path, no_cgroup(path, complaint)), why)
  end
  return m
end

-- The condition, as Lua text over the names at hand, under which the bodies run; nil if always. `interval` is a clock,
-- which ticks in whatever process runs then: for its bodies, only what --where says.
function process.condition(options, child, kind)
  local parts = {}
  if kind == "interval" then
    return options.where
  end
  for _, pid in ipairs { child and child:pid() or false, options.pid or false } do
    if pid then
      parts[#parts + 1] = (options.follow and "(%s)" or "%s"):format(process.whom(options, pid))
    end
  end
  if options.cgroup then
    parts[#parts + 1] = "__inside == 1"
  end
  if options.where then
    parts[#parts + 1] = "(" .. options.where .. ")"
  end
  return parts[1] and table.concat(parts, " and ") or nil
end

-- Children ------------------------------------------------------------------------------------------------------------

-- A process is followed by bodies of the trace's own: threads are kept in a shared table from the fork that makes them
-- to the end of what the kernel knows of them. A thread that executes a program for its whole process gets the number
-- of the first thread, and gives it its own. Children from before the trace are kept by their process.

-- The condition for a process, and for what it starts.
function process.whom(options, pid)
  if not options.follow then
    return ("pid == %d"):format(pid)
  end
  return options.pid and "__earlier[pid] or __later[__thread]" or ("pid == %d or __later[__thread]"):format(pid)
end

-- The probes and bodies that keep threads.
function process.followers(options, child)
  if not options.follow then
    return {}
  end
  local pid = child and child:pid() or options.pid
  local list = {
    { "tracepoint/sched/sched_process_fork",
      ("if %s then __later[args.child_pid] = true end"):format(process.whom(options, pid)) },
    { "tracepoint/sched/sched_process_free", "__later[args.pid] = nil" },
  }
  if options.pid then
    list[#list + 1] = { "begin", ("__earlier[%d] = true"):format(pid) }
  end
  return list
end

-- The parents of all processes, by pid.
local function parents()
  local list = {}
  for _, name in ipairs(posix.entries("/proc") or {}) do
    local pid = math.tointeger(tonumber(name))
    local file = pid and io.open(("/proc/%d/stat"):format(pid))
    if file then
      list[pid] = math.tointeger(tonumber((file:read("a") or ""):match(".*%) %S (%d+)")))
      file:close()
    end
  end
  return list
end

-- Keeps the children that a process has already, and theirs.
function process.keep_children(pid, earlier)
  local above = parents()
  for child in pairs(above) do
    local ancestor = child
    repeat
      ancestor = above[ancestor]
    until not ancestor or ancestor == pid
    if ancestor then
      earlier[child] = true
    end
  end
end

-- Behind the name in /proc/PID/stat: the state, and the number of threads.
local STATE <const> = ".*%) (%S)" .. (" %S+"):rep(16) .. " (%d+) "

-- Whether a process runs. One that has ended is there until its parent asks for its status; a first thread that has
-- ended, as long as there are others.
function process.runs(pid)
  local file <close> = io.open(("/proc/%d/stat"):format(pid))
  local state, threads = (file and file:read("a") or ""):match(STATE)
  return state ~= nil and (not state:find("[ZX]") or tonumber(threads) > 1)
end

-- Ends with a message if there is none. Threads have folders in /proc, too, which aren't listed there.
function process.check(pid)
  local file <close> = io.open(("/proc/%d/status"):format(pid))
  local group = math.tointeger(tonumber((file and file:read("a") or ""):match("\nTgid:%s*(%d+)")))
  if not group then
    refuse(("there is no process %d"):format(pid), "ESRCH")
  elseif group ~= pid then
    refuse(("%d is a thread of process %d: trace that one, where 'tid == %d'"):format(pid, group, pid), "ESRCH")
  end
end

return process

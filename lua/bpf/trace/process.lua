-- SPDX-License-Identifier: MIT
-- Whom a trace follows: a command of its own, a process, a cgroup. Each is a condition before the bodies.

local core = require("bpf.core")
local posix = require("bpf.base.posix")

local process = {}

local function fail(format, ...)
  error({ trace = format:format(...) }, 0)
end

local function refuse(message, code)
  error({ trace = message, code = code, status = 1 }, 0)
end

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

-- Starts a command, which waits. Returns its child process; `child:go()` lets it run.
function process.start(command)
  local words = type(command) == "table" and command or process.words(command)
  local child, message, code = posix.child(words)
  return child or refuse(message, code)
end

-- The id of a cgroup, which is the number of its folder.
local function cgroup_of(path)
  local id, message, code = core.posix.attached.inode(path)
  return id or refuse("cgroup: " .. message, code)
end

-- The condition, as Lua text over the names at hand, under which the bodies run; nil if always.
function process.condition(options, child)
  local parts = {}
  if child then
    parts[#parts + 1] = ("pid == %d"):format(child:pid())
  end
  if options.pid then
    parts[#parts + 1] = ("pid == %d"):format(options.pid)
  end
  if options.cgroup then
    parts[#parts + 1] = ("cgroup == %d"):format(cgroup_of(options.cgroup))
  end
  if options.where then
    parts[#parts + 1] = "(" .. options.where .. ")"
  end
  return parts[1] and table.concat(parts, " and ") or nil
end

-- Ends with a message if there is no such process.
function process.check(pid)
  if posix.file_status(("/proc/%d"):format(pid)) ~= "directory" then
    refuse(("there is no process %d"):format(pid), "ESRCH")
  end
end

return process

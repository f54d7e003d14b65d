-- SPDX-License-Identifier: MIT
-- The directory in which one compilation has its files.

local files = require("bpf.compile.files")
local posix = require("bpf.base.posix")

local temporary = {}

-- A directory of its own that is removed when it is closed, by the process that made it: not by one forked from that.
-- The process holds a lock on the file "lock" within. One that is killed leaves the directory and no lock.
local Directory = {}

local function remove(path)
  files.execute("rm -rf -- " .. files.quote(path))
end

function Directory.__close(dir)
  if dir.lock then
    dir.lock:close()
  end
  if dir.path and posix.pid() == dir.process then
    remove(dir.path)
  end
end

-- Where temporary files are.
local function base()
  local dir = os.getenv("TMPDIR") or ""
  return dir ~= "" and dir or "/tmp"
end

-- Removes the directories that killed processes of this user have left. Whoever finds the lock's file empty leaves it
-- alone: its process has not locked it yet.
local function clean(path)
  for _, name in ipairs(posix.entries(path) or {}) do
    local dir = path .. "/" .. name
    if name:find("^lua%-bpf%.......$") and posix.file_status(dir) == "directory" then
      local kind, ours, size = posix.file_status(dir .. "/lock")
      local lock <close> = kind == "file" and ours and size > 0 and io.open(dir .. "/lock", "r+b") or nil
      if lock and posix.lock(lock) then
        remove(dir)
      end
    end
  end
end

-- A directory that is yet to be made, to be closed.
function temporary.new()
  return setmetatable({ base = base() }, Directory)
end

-- Makes the directory. Returns its path; or nil, message, code.
function temporary.make(dir)
  local message, code, number
  clean(dir.base)
  dir.process = posix.pid()
  dir.path, message, code = posix.make_directory(dir.base .. "/lua-bpf.XXXXXX")
  if not dir.path and (code == "ENOENT" or code == "EACCES") then
    return nil, "bpf.compile: there is no place for temporary files (EACCES)", "EACCES"
  elseif not dir.path then
    return nil, "bpf.compile: there is no place for temporary files: " .. message, code
  end
  dir.lock, message, number = io.open(dir.path .. "/lock", "wb")
  if not dir.lock then
    os.remove(dir.path) -- there may be no descriptor for a shell that removes it
    dir.path = nil
    return files.failure(message, number)
  end
  posix.lock(dir.lock)
  dir.lock:setvbuf("no")
  dir.lock:write("locked")
  return dir.path
end

return temporary

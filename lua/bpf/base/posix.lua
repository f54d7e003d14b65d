-- SPDX-License-Identifier: MIT
-- What Lua's libraries lack, from src/base/posix.c; and what comes of errno.

local core = require("bpf.core")

local c = core.posix

local posix = {
  digest = c.digest, entries = c.entries, executable = c.executable, file_clock = c.file_clock,
  file_digest = c.file_digest, file_number = c.file_number, file_status = c.file_status, identity = c.identity,
  is_file = c.is_file, kernel = c.kernel, machine = c.machine, private_folder = c.private_folder,
  read_private = c.read_private, resolve = c.resolve, touch = c.touch, write_private = c.write_private,
  code = c.code, exhausted = c.exhausted, finish = c.finish, lock = c.lock, make_directory = c.make_directory,
  pid = c.pid, pinned = c.pinned, poll = c.poll, signal = c.signal, signalled = c.signalled, user = c.user,
  window = c.window, write_file = c.write_file,
  child = c.child, kallsyms = c.kallsyms, leave = c.leave, open_regular = c.open_regular, status = c.status,
}

-- Loads a module that is read when it is first needed. Returns it; or nil, what `require` says, and the reason and the
-- code where no descriptor is left.
function posix.module(name)
  local ok, value = pcall(require, name)
  if ok then
    return value
  end
  return nil, value, c.exhausted()
end

-- Seconds since some time in the past. Setting the date changes nothing about it.
function posix.seconds()
  return core.clock() * 1e-9
end

-- nil, message, code of what a function of io or os returned.
function posix.failure(what, message, number)
  local code = number and c.code(number) or "EIO"
  return nil, ("%s: %s (%s)"):format(what, message or "input or output failed", code), code
end

local FINAL = { EACCES = true, ELOOP = true, ENOENT = true, ENOTDIR = true, EPERM = true, ESRCH = true }

-- Whether a failure is the kernel's answer, which will be the same the next time. For want of descriptors or of memory
-- there is no answer, and nothing to remember.
function posix.is_final(code)
  return FINAL[math.type(code) and c.code(code) or code] == true
end

-- nil, message, code of a failure to read something below /proc, by its errno or code. Where there is no /proc at all,
-- the message says that.
function posix.proc_failure(message, number)
  if number == 3 then -- ESRCH: the process has ended meanwhile
    return nil, message, "ENOENT"
  elseif number == 2 or number == "ENOENT" then
    local file <close> = io.open("/proc/self/stat")
    message = file and message or "/proc is not mounted here"
  end
  return nil, message, type(number) == "string" and number or posix.code(number)
end

return posix

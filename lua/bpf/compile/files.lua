-- SPDX-License-Identifier: MIT
-- Files and the shell, as compiling uses them. Failures are nil, message, code.

local posix = require("bpf.base.posix")

local files = {}

function files.quote(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

function files.failure(message, number)
  return posix.failure("bpf.compile", message, number)
end

-- The contents; or nil, a message and an errno.
function files.read(path)
  local file <close>, message, number = io.open(path, "rb")
  if not file then
    return nil, message, number
  end
  return file:read("a")
end

-- Writes a file of ours in a temporary directory.
function files.write(path, ...)
  local file <close>, message, number = io.open(path, "wb")
  local ok = file
  for _, part in ipairs { ... } do
    if ok then
      ok, message, number = file:write(part)
    end
  end
  if ok then
    ok, message, number = file:close()
  end
  if not ok then
    return files.failure(message:find(path, 1, true) and message or path .. ": " .. message, number)
  end
  return true
end

-- Whether a shell finds the descriptors that it needs to redirect its output.
function files.has_descriptors()
  local first <close> = io.open("/")
  local second <close> = io.open("/")
  local third <close> = io.open("/")
  return first and second and third and true or false
end

-- nil, message, code of a shell that said nothing: it had no /dev/null, or no descriptors, as it inherits many of ours.
function files.no_shell()
  local file <close>, message, number = io.open("/dev/null")
  return files.failure(file and "too few descriptors are free for a shell: Too many open files" or message,
    number or 24)
end

-- Runs a shell command that reads and prints nothing.
function files.execute(command)
  os.execute("exec </dev/null >/dev/null 2>&1; " .. command)
end

return files

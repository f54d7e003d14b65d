-- SPDX-License-Identifier: MIT
-- Why clang failed.

local files = require("bpf.compile.files")
local posix = require("bpf.base.posix")

-- The packages of what is often missing.
local function hint(messages)
  if messages:find("'bpf/[%w_.]+' file not found") then
    return "; the package libbpf-dev has it"
  elseif messages:find("'asm/[%w_.]+' file not found") or messages:find("'linux/[%w_.]+' file not found") then
    return "; the package linux-libc-dev has it"
  end
  return ""
end

-- What clang, the loader and the shell say when it isn't the text that fails, besides the system's own words, which are
-- in quotes or at a line's end.
local COMPLAINTS = {
  { "[Oo]ut of memory", "ENOMEM" }, { "bad_alloc", "ENOMEM" }, { "failed to map segment", "ENOMEM" },
  { "unable to execute command: (.*)", "EIO" }, { "frontend command failed", "EIO" },
}

-- The code of a line that clang, or what runs it, has said; nil where the text itself is to blame.
local function code_of(line)
  if line:find(":%d+:%d+: [%l ]*error: ") and not line:find("error: cannot open file") then
    return nil
  end
  local said = line:match("([^:]*)$"):gsub("^[ ']+", ""):gsub("[ '.]+$", "")
  local code = posix.code(said)
  for _, complaint in ipairs(code and {} or COMPLAINTS) do
    code = code or line:find(complaint[1]) and complaint[2] or nil
  end
  return code ~= "ENOENT" and code or nil
end

-- nil, message, code, messages of a clang that failed, by what os.execute returned and clang said.
local function explain(dir, how, status, messages)
  if how ~= "exit" and how ~= "signal" then
    return files.failure(how, status) -- no process could be started
  end
  local first = messages:match("[^\n]*error: [^\n]*") or messages:match("[^\n]+")
  local code = first and code_of(first)
  if code then
    return nil, ("bpf.compile: %s (%s)"):format(first, code), code, messages
  elseif first and first:find("error: ", 1, true) then
    return nil, ("bpf.compile: %s%s (EINVAL)"):format(first, hint(messages)), "EINVAL", messages
  end
  local ok, message
  ok, message, code = files.write(dir .. "/room", ("x"):rep(1 << 16)) -- for what it may have wanted to say
  if ok and (not files.read(dir .. "/messages") or not first and not files.has_descriptors()) then
    ok, message, code = files.no_shell()
  end
  if not ok then
    return nil, message, code, messages
  end
  local signal = how == "signal" and status or status > 128 and status - 128
  if signal then
    first = ("clang was killed by signal %d%s"):format(signal,
      signal == 9 and ", as the kernel does for want of memory" or "")
  else
    first = ("%s (exit status %d)"):format(first or "clang failed and said nothing", status)
  end
  return nil, ("bpf.compile: %s (EIO)"):format(first), "EIO", messages
end

return explain

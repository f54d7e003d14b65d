-- SPDX-License-Identifier: MIT
-- Names of the kernel's functions, as /proc/kallsyms has them, whose addresses may be hidden.

local posix = require("bpf.base.posix")

local kallsyms = {}

-- Beginnings of names that the compiler and the kernel give to code between functions. The compiler moves unlikely
-- parts of functions away, and calls them NAME.cold.
local NO_FUNCTIONS <const> = { __pfx_ = true, __cfi_ = true, __SCT_ = true }

local function read()
  local file <close>, message, number = io.open("/proc/kallsyms")
  if not file then
    return posix.proc_failure(message, number)
  end
  return file:read("a")
end

-- The set of functions; or nil and why not.
function kallsyms.functions()
  local text, message = read()
  if not text then
    return nil, message
  end
  local names = {}
  for name in text:gmatch(" [tTwW] ([^\n\t]+)") do
    if not NO_FUNCTIONS[name:sub(1, 6)] and name:sub(-5) ~= ".cold" then
      names[name] = true
    end
  end
  return names
end

-- Whether there is such a function.
function kallsyms.has(name)
  local text = read()
  local _, stop = (text or ""):find((" %s\n"):format(name), 1, true)
  return stop ~= nil or (text or ""):find((" %s\t"):format(name), 1, true) ~= nil
end

-- What stands behind a prefix in the names that begin with it, sorted; `of_modules`: only of those in modules.
function kallsyms.prefixed(prefix, of_modules)
  local text, message = read()
  if not text then
    return nil, message
  end
  local names, seen, at = {}, {}, 1
  while true do
    local _, stop = text:find(" " .. prefix, at, true)
    if not stop then
      break
    end
    local name, behind = text:match("^([^\n\t]+)(.)", stop + 1)
    if name and not seen[name] and not (of_modules and behind ~= "\t") then
      seen[name], names[#names + 1] = true, name
    end
    at = stop + 1
  end
  table.sort(names)
  return names
end

return kallsyms

-- SPDX-License-Identifier: MIT
-- Functions and USDT probes of files: of a file that the pattern names, or of the files that a process has mapped.

local ask = require("bpf.trace.catalog.ask")
local pattern = require("bpf.trace.catalog.pattern")
local posix = require("bpf.base.posix")

local user = {}

-- Files --------------------------------------------------------------------------------------------------------------

local function folders(library)
  local machine = posix.machine()
  local own = os.getenv(library and "LD_LIBRARY_PATH" or "PATH") or ""
  return own .. ":" .. (library and ("/usr/lib64:/usr/lib:/lib/%s-linux-gnu:/usr/lib/%s-linux-gnu"):format(machine,
    machine) or "/usr/bin:/usr/sbin")
end

-- What to say of a short name that no file has, with the libraries whose names begin so: bpftrace takes `libc`.
local function unknown(name)
  local names, begin = {}, name .. ".so."
  for folder in folders(true):gmatch("[^:]+") do
    for _, file in ipairs(posix.entries(folder) or {}) do
      if file:sub(1, #begin) == begin and not names[file] then
        names[file], names[#names + 1] = true, file
      end
    end
  end
  table.sort(names)
  return ("%s: there is no such command or library%s"):format(name,
    names[1] and (" (near: %s)"):format(table.concat(names, ", ")) or "")
end

-- The path of a file by what was typed: a path, or the name of a library or command, as libbpf finds it. Nil and why
-- not for a name that no file has.
local function resolve(name)
  if name:find("/", 1, true) then
    return name
  end
  for folder in folders(name:find("%.so%f[.%z]") ~= nil):gmatch("[^:]+") do
    local path = folder .. "/" .. name
    if posix.is_file(path) then
      return path
    end
  end
  return nil, unknown(name)
end

-- The path of a process's file for this process, in whose root another file may be there.
local function own_path(path, root)
  local here <close> = posix.open_regular(path)
  local there <close> = posix.open_regular(root .. path)
  local same = here and (not there or select(2, posix.status(here)) == select(2, posix.status(there)))
  return same and path or root .. path
end

-- The files that a process has mapped as code: their paths here, in order.
local function mapped(pid)
  local file <close>, message, number = io.open(("/proc/%d/maps"):format(pid))
  if not file then
    return nil, select(2, posix.proc_failure(message, number))
  end
  local root = ("/proc/%d/root"):format(pid)
  local list, seen = {}, {}
  for line in file:lines() do
    local path = line:match("^%x+%-%x+ ..x. %x+ %S+ %d+%s+(/.*)$")
    if path and not seen[path] and not path:find(" %(deleted%)$") then
      seen[path] = true
      list[#list + 1] = own_path(path, root)
    end
  end
  return list
end

-- What a pattern asks for: the files, and a pattern of what is in them. Nil and why not.
local function places(place, pid)
  local path, name = place:match("^(.-):(.*)$")
  if not path then
    path, name = pid and "*" or place, pid and place or "*"
  end
  if not pid then
    if path:find("[*?]") or path == "" then
      return nil, "functions of which file? uprobe/libc.so.6:* and -p PID are examples"
    end
    local found, message = resolve(path)
    return found and { found }, found and name or message
  end
  local files, message = mapped(pid)
  if not files then
    return nil, message
  end
  local fits, chosen = pattern.matcher(path), {}
  for _, file in ipairs(files) do
    if fits(file) or fits(file:match("[^/]*$")) then
      chosen[#chosen + 1] = file
    end
  end
  return chosen, name
end

-- Names --------------------------------------------------------------------------------------------------------------

local READERS <const> = { uprobe = "functions", uretprobe = "functions", usdt = "marks" }
local NONE <const> = { functions = "%s has no names of functions: it is stripped", marks = "%s has no USDT probes" }

-- What is in the files: lists of a name and of the matcher's name, each once and in order.
function user.names(kind, place, options)
  local files, name = places(place, options.pid)
  if not files then
    return {}, name
  end
  local elf = require("bpf.trace.catalog.elf")
  local names, problem = {}, nil
  for _, path in ipairs(files) do
    local found, message = elf[READERS[kind]](path)
    problem = problem or message or not next(found) and NONE[READERS[kind]]:format(path)
    local here = {}
    for one in pairs(found or {}) do
      here[#here + 1] = path .. ":" .. one
    end
    table.sort(here)
    table.move(here, 1, #here, #names + 1, names)
  end
  return names, #names == 0 and problem or nil
end

-- The name of a function or USDT probe that is written out with its file, without the names of all. In a process it may
-- be in several files.
function user.has(kind, _, place, options)
  local files, name = places(place, options.pid)
  if not files or options.pid then
    return false
  end
  local found = require("bpf.trace.catalog.elf")[READERS[kind]](files[1])
  return found and found[name] and files[1] .. ":" .. name
end

-- Whether a function's name comes before another one of the same function.
local function is_better(a, b)
  local own, other = a:match("^_*"), b:match("^_*")
  if #own ~= #other or #a ~= #b then
    return #own < #other or #own == #other and #a < #b
  end
  return a < b
end

-- A list of { section = } of functions, each function once: of names for one address, the best.
function user.once(list)
  local elf, files, best = require("bpf.trace.catalog.elf"), {}, {}
  local function place(one)
    local path, name = one.section:match("^u[^/]*/(.*):([^:]+)$")
    if not path then
      return one.section, one.section
    end
    files[path] = files[path] or elf.functions(path) or {}
    return path .. ":" .. tostring(files[path][name] or name), name
  end
  for _, one in ipairs(list) do
    local at, name = place(one)
    if not best[at] or is_better(name, best[at]) then
      best[at] = name
    end
  end
  local left = {}
  for _, one in ipairs(list) do
    local at, name = place(one)
    left[#left + 1] = best[at] == name and one or nil
  end
  return left
end

-- A function that tells whether a name is meant by the pattern behind the kind.
function user.matcher(kind, place, options)
  local _, name = places(place, options.pid)
  local fits = pattern.matcher(name == "" and "*" or name)
  return function(full)
    local inner = full:match("^.-:(.*)$")
    return fits(inner) or kind == "usdt" and fits(inner:match("[^:]*$"))
  end
end

-- The arguments of a USDT probe, from 0; those of functions aren't known.
function user.arguments(kind, name)
  if kind ~= "usdt" then
    return nil
  end
  local path, mark = name:match("^(.-):(.*)$")
  local found, message = require("bpf.trace.catalog.elf").marks(path)
  if not found or not found[mark] then
    return nil, message or ("there is no USDT probe %s in %s"):format(mark, path)
  end
  local list = {}
  for n, size in ipairs(found[mark]) do
    list[n] = { name = "arg" .. n - 1, c = (size < 0 and "__s%d" or "__u%d"):format(math.abs(size) * 8),
      type = { kind = "integer" } }
  end
  return list
end

function user.refusal()
  return ask.source("uprobe", "CONFIG_UPROBES") or ask.type("kprobe")
end

return user

-- SPDX-License-Identifier: MIT
-- What fixtures share.
local common = {}

--- One table out of several.
function common.with(...)
  local all = {}
  for _, operations in ipairs { ... } do
    for name, operation in pairs(operations) do
      all[name] = operation
    end
  end
  return all
end

local function call(metamethod, ...)
  for _, handle in ipairs(table.pack(...)) do
    debug.getmetatable(handle)[metamethod](handle)
  end
end

--- Does to handles what the collector does in the end, as a script with the debug library can.
function common.finalize(...)
  call("__gc", ...)
end

--- Does to handles what the end of a scope does.
function common.close(...)
  call("__close", ...)
end

--- The path of spec/progs/<name>.bpf.c, compiled.
function common.obj(name)
  return ("build/progs/%s.bpf.o"):format(name)
end

--- All that a file holds.
function common.read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

--- This process's id.
common.pid = assert(io.open("/proc/self/stat")):read("n")

-- Whether a handle can still be used.
local function is_open(handle)
  local ok, text = pcall(tostring, handle)
  return ok and not text:find "closed"
end

--- A setup that gives the same handles again, until one of them is closed: loading an object takes the kernel long.
function common.lasting(make)
  local handles
  return function()
    for _, handle in pairs(handles or {}) do
      handles = is_open(handle) and handles or nil
    end
    handles = handles or make()
    return common.with(handles)
  end
end

--- Whether the kernel takes the programs that a fixture's setup loads. A hardened kernel refuses kinds of programs,
-- which is a skip; another error of the setup is raised.
function common.is_taken(fixture)
  local ok, message = pcall(fixture.setup)
  if not ok and tostring(message):find("the kernel refused this kind of program", 1, true) then
    print(("skip %s: %s"):format(fixture.name, message))
    return false
  end
  return ok or error(message, 0)
end

--- What functions do that the library calls: handlers of records, and of libbpf's messages.
function common.interrupt() end

local pins = 0

--- Calls a function with a path to pin at. The pin is gone afterwards, whatever the function came to.
function common.pinned(action)
  pins = pins + 1
  local path = ("/sys/fs/bpf/reentry-%d-%d"):format(common.pid, pins)
  pcall(action, path)
  os.remove(path)
end

local cleanup = {} -- shell commands

--- What was made outside of this process goes.
function common.clean_up()
  for _, command in ipairs(cleanup) do
    assert(os.execute(command))
  end
end

--- The path of a temporary file, which is written by a shell command that gets it as its last argument.
function common.temporary(command)
  local path = os.tmpname()
  assert(os.execute(command .. " " .. path))
  cleanup[#cleanup + 1] = "rm " .. path
  return path
end

-- Where cgroups of version 2 are.
local function cgroup2()
  return assert(common.read("/proc/self/mounts"):match("(/%S+) cgroup2 "), "no cgroup2 is mounted")
end

local group

--- The path of a cgroup that has nothing to do.
function common.cgroup()
  if not group then
    group = ("%s/lbpf-reentry-%d"):format(cgroup2(), common.pid)
    assert(os.execute("mkdir " .. group))
    cleanup[#cleanup + 1] = "rmdir " .. group
  end
  return group
end

return common

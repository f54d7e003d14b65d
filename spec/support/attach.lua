-- SPDX-License-Identifier: MIT
-- What the specs of attaching share. `local attach = require "spec.support.attach"`.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local assert = require("luassert")

local attach = {}

--- Loads of an object those programs alone that are named, as `bpf.load` does.
function attach.load(name, progs, vars)
  local obj, message, code = bpf.open(helper.obj(name), { vars = vars })
  if not obj then
    return nil, message, code
  end
  local wanted = {}
  for _, prog in ipairs(progs) do
    wanted[prog] = true
  end
  for prog_name, prog in pairs(obj.progs) do
    prog:autoload(wanted[prog_name] or false)
  end
  local ok, log
  ok, message, code, log = obj:load()
  if not ok then
    obj:close()
    return nil, message, code, log
  end
  return obj
end

--- This process's id as the kernel knows it, whatever namespace we are in. Kernels before 5.14 have no programs to ask
-- that; there it is what /proc says, so these want no namespace around.
function attach.self()
  if kernel.before("5.14") then
    local file <close> = assert(io.open("/proc/self/stat"))
    return file:read("n")
  end
  local obj <close> = assert(attach.load("attach_trace", { "whoami" }))
  assert(obj.progs.whoami:run())
  return obj.vars.self
end

--- A copy of the program spec/support/probed.c, which no other run attaches to or starts; removed after the spec file.
-- It is build/support/probed of the folder that comes second, where sections that say so are attached.
function attach.probed()
  local dir = helper.tmpdir()
  local path = dir .. "/build/support/probed"
  assert(os.execute(("mkdir -p %s/build/support && cp build/support/probed %s"):format(dir, path)))
  return path, dir
end

-- Whether a process runs a file already, and not the shell any more that starts it.
local function runs(pid, path)
  local maps <close> = io.open(("/proc/%d/maps"):format(pid))
  return maps and maps:read("a"):find(path, 1, true)
end

--- Starts a copy of it. Returns its process id, and a function that gives it numbers and ends it.
function attach.start(path)
  local name = helper.tmpdir() .. "/pid"
  local pipe = assert(io.popen(("echo $$ >%s.new; mv %s.new %s; exec %s >/dev/null"):format(name, name, name, path),
    "w"))
  local pid
  repeat
    local file <close> = io.open(name)
    pid = file and file:read("n")
  until pid and runs(pid, path)
  return pid, function(...)
    pipe:write(table.concat({ ... }, " "), " 0\n")
    assert(pipe:close())
  end
end

--- Checks that a link of a perf event is one of the kernel's, as from 5.15 on; before, the event holds the program.
function attach.held(link)
  assert.equal(kernel.before("5.15") and "nil" or "integer", math.type(link:fd()) or "nil")
end

--- The links of the program with an id. Not asked of bpftool: its list ends at a link that some other process destroys
-- meanwhile.
function attach.links_of(id)
  local found = {}
  for info in assert(bpf.links()) do
    if info.prog_id == id then
      found[#found + 1] = info
    end
  end
  return found
end

--- The links of the program.
function attach.links(prog)
  return attach.links_of(prog:info().id)
end

--- Whether the program with an id has no links any more. Other processes that list links hold each for a moment.
function attach.detached(id)
  return helper.eventually(function() return #attach.links_of(id) == 0 end)
end

--- Detaches all programs of an object, and waits until no other process holds their links either.
function attach.detach(obj)
  assert(obj:detach())
  for _, prog in pairs(obj.progs) do
    local info = prog:info()
    assert(not info or attach.detached(info.id), "somebody holds a link")
  end
end

--- Closes a link that is the only one to its attachment, and waits until others that list links don't hold it either:
-- until then the program stays attached. `prog`: the program of a link that is several to the kernel.
function attach.close(link, prog)
  local info, message = link:info()
  assert(prog or info or not message:find "several links", message)
  local infos = prog and attach.links(prog) or { info }
  assert(link:close())
  for _, one in ipairs(infos) do
    assert(helper.eventually(function() return not bpf.link_info(one.id) end), "somebody holds the link")
  end
end

--- Skips unless the kernel is configured to let programs attach to its functions, which takes BTF and trampolines.
function attach.need_functions(what)
  for _, option in ipairs({ "CONFIG_DEBUG_INFO_BTF", "CONFIG_BPF_JIT", "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS" }) do
    if kernel.config(option) == "n" then
      helper.skip(what .. " need a kernel with " .. option)
    end
  end
end

return attach

-- SPDX-License-Identifier: MIT
-- What the specs of attaching share. `local attach = require "spec.support.attach"`.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local assert = require("luassert")

local attach = {}

--- Checks that the results are nil, a message that matches the pattern, and the code.
function attach.fails(code, pattern, ...)
  local result, message, got = ...
  assert.same({ n = 3, code = code }, { n = select("#", ...), code = got })
  assert.is_nil(result)
  assert.matches(pattern, message)
  assert.matches("%(" .. code .. "%)$", message)
end

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

--- Checks that a link of a perf event is one of the kernel's, as from 5.15 on; before, the event holds the program.
function attach.held(link)
  assert.equal(kernel.before("5.15") and "nil" or "integer", math.type(link:fd()) or "nil")
end

--- Whether the program with an id has no links any more. Other processes that list links hold each for a moment.
function attach.detached(id)
  for _ = 1, 100 do
    local found = false
    for info in assert(bpf.links()) do
      found = found or info.prog_id == id
    end
    if not found then
      return true
    end
    helper.run("sleep 0.05")
  end
  return false
end

--- Closes a link that is the only one to its attachment. Other processes that list links hold each for a moment, and
-- until they let it go, the program stays attached.
function attach.close(link)
  local info = link:info()
  assert(link:close())
  for _ = 1, 100 do
    if not info or not info.id or not bpf.link_info(info.id) then
      return
    end
    helper.run("sleep 0.05")
  end
  error("somebody holds the link")
end

--- The id and the kind of the links of the program.
function attach.links(prog)
  local id, found = prog:info().id, {}
  for info in assert(bpf.links()) do
    if info.prog_id == id then
      found[#found + 1] = info
    end
  end
  return found
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

-- SPDX-License-Identifier: MIT
--- `require "bpf"`: the C core, and the Lua modules on top of it, each loaded when it is first used.
-- @module bpf

local core = require("bpf.core")

local modules = {
  assemble = "bpf.program",
  atomic = "bpf.program.words",
  attached = "bpf.attached",
  cast = "bpf.program.words",
  compile = "bpf.compile",
  detach = "bpf.attached",
  format = "bpf.format",
  helper = "bpf.program.words",
  has = "bpf.program.words",
  hist = "bpf.hist",
  inspect = "bpf.inspect",
  json = "bpf.json",
  metrics = "bpf.metrics",
  ntohs = "bpf.program.words",
  ntohl = "bpf.program.words",
  htons = "bpf.program.words",
  htonl = "bpf.program.words",
  be64 = "bpf.program.words",
  pprof = "bpf.pprof",
  program = "bpf.program",
  programs = "bpf.program",
  symbols = "bpf.symbols",
  trace = "bpf.trace",
  var = "bpf.program.variables",
}

-- Modules that have several of these names, as fields.
local shared = {
  ["bpf.attached"] = true, ["bpf.program"] = true, ["bpf.program.words"] = true, ["bpf.program.variables"] = true,
  ["bpf.trace"] = true,
}

local posix = core.posix -- by the metatable that core has from C
local error = posix.error

-- The value behind one of the names: a module, or its field of that name.
local function part(name, value)
  return shared[modules[name]] and value[name] or value
end

-- Loads a module of ours. Raises with a reason: `require` tells only where it has looked.
local function load_part(module, level)
  local ok, value = pcall(require, module)
  if ok then
    return value
  end
  local why = posix.exhausted()
  if not why and tostring(value):find("^module '.-' not found") then
    why = "its file is not to be found, perhaps since a chroot or a change of directory: call bpf.preload() before"
  end
  error(("%s can't be loaded: %s"):format(module, why or value), level + 1)
end

-- Functions of bpf.map's in Lua, whose modules are loaded at the first call.
local of_maps = {
  add = "bpf.program.add", adder = "bpf.program.add", declare = "bpf.program.declared", locked = "bpf.program.locks",
  rates = "bpf.map.rates", scan = "bpf.program.scan",
}
for name, module in pairs(of_maps) do
  core.map[name] = function(...)
    return load_part(module, 2)[name](...)
  end
end
core.map.add = posix.make_add(core.map.add) -- which is called for what isn't in this process's memory

--- Loads the Lua modules that are otherwise loaded when they are first used: `bpf.metrics`, `bpf.compile` and the like.
-- It also loads LuaSocket for `metrics:serve`, if that is installed. A script needs this before it calls chroot(2),
-- gives up its right to read files, or uses up its descriptors.
-- @treturn true
-- @usage
-- bpf.preload()
function core.preload()
  for name, module in pairs(modules) do
    rawset(core, name, part(name, load_part(module, 2)))
  end
  for _, module in pairs(of_maps) do
    load_part(module, 2)
  end
  load_part("bpf.program.later", 2).load()
  for _, module in ipairs { "bpf.symbols.process", "bpf.trace.mappings", "socket", "socket.unix" } do
    pcall(require, module)
  end
  return true
end

return setmetatable(core, {
  __metatable = false,
  __index = function(bpf, name)
    local module = modules[name]
    if not module then
      return name == "posix" and posix or nil
    end
    local value = part(name, load_part(module, 2))
    rawset(bpf, name, value)
    return value
  end,
  __tostring = function(bpf)
    return ("bpf %s (libbpf %s)"):format(bpf._VERSION, bpf.libbpf_version)
  end,
})

-- SPDX-License-Identifier: MIT
-- What all functions of one object share: its maps, its global variables, its functions, and what is known of the Lua
-- functions that they were made of.
local core = require("bpf.core")
local types = require("bpf.program.types")
local undump = require("bpf.program.undump")

local Unit = {}
Unit.__index = Unit

local unit = {}

function unit.new()
  return setmetatable({ protos = {}, outlined = {}, map_info = {}, map_names = {}, function_names = {} }, Unit)
end

-- The prototype of a Lua function, parsed once.
function Unit:proto_of(fn)
  local proto = self.protos[fn]
  if not proto then
    local why
    proto, why = undump.parse(fn)
    if not proto then
      return nil, why
    end
    self.protos[fn] = proto
  end
  return proto
end

-- The loops of a function that are compiled as functions of their own, by pc.
function Unit:outlined_of(proto)
  self.outlined[proto] = self.outlined[proto] or {}
  return self.outlined[proto]
end

-- Makes a name unlike those that were given before: what C allows, at most `longest` bytes.
local function unique(taken, name, longest)
  name = name:gsub("[^A-Za-z_0-9]", "_"):gsub("^[0-9]", "_%0"):sub(1, longest)
  local base, n = name, 1
  while taken[name] do
    n = n + 1
    local suffix = "_" .. n
    name = base:sub(1, longest - #suffix) .. suffix
  end
  taken[name] = true
  return name
end

function Unit:function_name(name)
  return unique(self.function_names, name, 63)
end

-- What the compiler has to know of a map: info's fields, and the forms of its key and value.
function Unit:info_of(map)
  local info = self.map_info[map]
  if not info then
    info = core.map.info(map)
    local key, value = core.map.types(map)
    info.key, info.value = key and types.of(key), value and types.of(value)
    self.map_info[map] = info
  end
  return info
end

-- The name of a map in the object: its own, made unique.
function Unit:name_of_map(map)
  local names = self.map_names
  if not names[map] then
    names.taken = names.taken or {}
    names[map] = unique(names.taken, self:info_of(map).name or "map", 15)
  end
  return names[map]
end

return unit

-- SPDX-License-Identifier: MIT
-- What all functions of one object share: its maps, its global variables, its functions, and what is known of the Lua
-- functions that they were made of.
local declared = require("bpf.program.declared")
local scratch = require("bpf.program.scratch")
local source = require("bpf.program.source")
local types = require("bpf.program.types")
local undump = require("bpf.program.undump")
local values = require("bpf.program.values")
local variables = require("bpf.program.variables")

local Unit = {}
Unit.__index = Unit

local unit = {}

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

function unit.new(options)
  return setmetatable({
    protos = {}, outlined = {}, map_info = {}, map_names = {}, function_names = {}, needs = {}, variables = {},
    variable_names = {}, tables = {}, sleepers = {}, scratches = {}, required = {}, scratch = {}, chunks = {},
    numbers = {}, texts = {}, ctx_type = options.ctx_type, parameters = options.parameters,
    divided = options.divided, -- compiles what is done where a division by 0 ends the run: of compiler
    refused = options.refused, -- compiles what is done where a map refuses an entry: of compiler, map, register
    lenient = options.lenient, -- an entry that is absent where a value is needed ends the run, as nil would in Lua
  }, Unit)
end

-- The value of a function's upvalue, which is a constant of the program. A global variable is called as the first
-- upvalue that has it, and so is a declared map without a name.
function Unit:upvalue(fn, n)
  local name, value = debug.getupvalue(fn, n + 1)
  if variables.is(value) then
    self:variable_of(value, name)
  elseif declared.is(value) then
    self:name_of_map(value, name)
  elseif self.parameters and math.type(value) == "integer" then
    return self.parameters:value(self, fn, n + 1)
  end
  return values.constant(value)
end

function Unit:variable_name(name)
  return unique(self.variable_names, name, 60)
end

-- The global variable of an object that a bpf.var stands for.
function Unit:variable_of(var, name)
  local variable = self.variables[var]
  if not variable then
    variable = variables.definition(var, self:variable_name(name and name ~= "" and name or "variable"))
    self.variables[var] = variable
    self.variables[#self.variables + 1] = variable
  end
  return variable
end

-- Remembers that a program needs a helper that older kernels lack.
function Unit:need(helper, what, cure)
  self.needs[#self.needs + 1] = { helper = helper, what = what, cure = cure }
end

-- Remembers where a program that may sleep uses a map: kernels refuse some types there.
function Unit:sleeper_uses(map, place)
  local list = self.sleepers
  for _, use in ipairs(list) do
    if use.map == map then
      return
    end
  end
  list[#list + 1] = { map = map, type = self:info_of(map).type, place = place }
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

-- Chunks --------------------------------------------------------------------------------------------------------------

-- A line of the intermediate code is a line of a chunk: this, with the chunk's number in the upper half.
function Unit:line_of(chunk, line)
  local number = self.numbers[chunk]
  if not number then
    number = #self.chunks + 1
    self.numbers[chunk], self.chunks[number] = number, chunk
  end
  return number << 32 | line
end

function Unit:text_of(chunk)
  self.texts[chunk] = self.texts[chunk] or source.of(chunk)
  return self.texts[chunk]
end

-- The file, the text and the number of a line of the intermediate code.
function Unit:place(line)
  local chunk, number = self.chunks[line >> 32], line & 0xffffffff
  if not chunk then -- code that no function of Lua's was behind
    return "", "", number
  end
  local text = self:text_of(chunk)
  return text.file, text:line(number), number
end

-- How messages call a file that the kernel tells the last part of.
function Unit:name_of_file(name)
  for _, chunk in ipairs(self.chunks) do
    if self:text_of(chunk).file:match("[^/]*$") == name then
      return source.chunk_name(chunk)
    end
  end
  return name
end

-- Functions -----------------------------------------------------------------------------------------------------------

-- The loops of a function that are compiled as functions of their own, by pc.
function Unit:outlined_of(proto)
  self.outlined[proto] = self.outlined[proto] or {}
  return self.outlined[proto]
end

-- Remembers memory that a program has beside its stack.
function Unit:add_scratch(memory, name)
  self.scratches[memory.map] = memory
  if memory.by_thread then
    local what = name .. ": strings and records that don't fit the stack"
    self:need("task_storage_get", what, "make them smaller")
    self.sleepers[#self.sleepers + 1] = { map = memory.map, type = "task_storage", place = what }
  end
end

-- The names of functions that are taken.
function Unit:copy_names()
  local copy = {}
  for name in pairs(self.function_names) do
    copy[name] = true
  end
  return copy
end

function Unit:function_name(name)
  return unique(self.function_names, name, 63)
end

-- What the compiler has to know of a map: info's fields, and the forms of its key and value.
function Unit:info_of(map)
  local info = self.map_info[map]
  if not info then
    local ok
    ok, info = pcall(declared.info, map)
    if not ok then -- it is closed
      error({ program = (tostring(info):gsub("^[^:]*:%d+: ", "")) }, 0)
    end
    self.map_info[map] = info
  end
  return info
end

-- A map that has to be in the object even where no code uses it. Its name is kept as it is, however long.
function Unit:require_map(map)
  self.required[#self.required + 1] = map
  self.map_names[map] = self:info_of(map).name
end

-- The name of a map in the object: its own, or the one that is given, made unique.
function Unit:name_of_map(map, otherwise)
  local names = self.map_names
  if not names[map] then
    names.taken = names.taken or {}
    local name = self.scratches[map] and "scratch" or self:info_of(map).name
    name = name and name ~= "" and name or otherwise
    names[map] = unique(names.taken, name and name ~= "" and name or "map", 15)
  end
  return names[map]
end

local LOCK <const> = "struct bpf_spin_lock"

-- A struct with its lock, which values don't show, under a name that no other member has.
local function with_lock(form)
  local value = types.u32
  local lock = { kind = "struct", size = value.size, name = LOCK, members = {}, order = {
    { name = "val", offset = 0, type = value },
  } }
  local name = "lock"
  while form.members[name] do
    name = name .. "_"
  end
  local order = table.move(form.order, 1, #form.order, 1, {})
  order[#order + 1] = { name = name, offset = form.lock, type = lock }
  return { kind = "struct", size = form.size, name = form.name, order = order, members = form.members }
end

-- A map's definition for the object. A map that exists takes its place when the object is loaded. A lock stands in the
-- value's type, by which the kernel knows where it is.
function Unit:definition_of(map)
  if self.scratches[map] then
    return scratch.definition(self.scratches[map], self:name_of_map(map))
  end
  local info = self:info_of(map)
  local definition = declared.definition(map, info, self:name_of_map(map))
  definition.value = info.value and info.value.lock and with_lock(info.value) or definition.value
  return definition
end

return unit

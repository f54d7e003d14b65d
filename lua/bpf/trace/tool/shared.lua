-- SPDX-License-Identifier: MIT
-- What bodies share, as plain Lua of the tool sees it: variables are read and assigned in the object, entries in maps.
local core = require("bpf.core")
local events = require("bpf.trace.events")
local types = require("bpf.trace.types")

local map = core.map

local shared = {}

-- Records -------------------------------------------------------------------------------------------------------------

-- A record in which members that have a place only are called as in C: { 1, n = 2 } is { _1 = 1, n = 2 }.
local function named(value)
  if type(value) ~= "table" then
    return value
  end
  local record = {}
  for name, member in pairs(value) do
    record[math.type(name) == "integer" and types.position(name) or name] = member
  end
  return record
end

local function name_of(member)
  return math.type(member) == "integer" and types.position(member) or member
end

-- A record that is kept somewhere: read() gives it, and write(record) changes it there.
local function kept(read, write)
  return setmetatable({}, {
    __index = function(_, member) return read()[name_of(member)] end,
    __newindex = function(_, member, value)
      local record = read()
      record[name_of(member)] = value
      write(record)
    end,
    __pairs = function() return pairs(read()) end,
  })
end

-- Variables -----------------------------------------------------------------------------------------------------------

local Variables = {}
Variables.__index = Variables

function Variables:read(name)
  return self.vars[events.SHARED .. name].value
end

-- nil is 0, false, or a text without letters.
function Variables:assign(name, value)
  self.vars[events.SHARED .. name] = { value = named(value) }
end

-- What the names of shared variables stand for: by name, a function that reads it.
function Variables:readers(rows)
  local readers = {}
  for name, row in pairs(rows) do
    if row.variable then
      local record = row.value.kind == "record" and kept(function() return self:read(name) end,
        function(value) self:assign(name, value) end)
      readers[name] = function() return record or self:read(name) end
    end
  end
  return readers
end

function shared.variables(vars)
  return setmetatable({ vars = vars }, Variables)
end

-- Tables --------------------------------------------------------------------------------------------------------------

-- A map as a table whose keys and entries are records. Members of entries can be assigned.
local function with_records(m)
  local function entry(key)
    local value = map.lookup(m, key)
    if type(value) ~= "table" then
      return value
    end
    return kept(function() return map.lookup(m, key) or {} end, function(record) map.update(m, key, record) end)
  end
  return setmetatable({}, {
    __index = function(_, key) return entry(named(key)) end,
    __newindex = function(_, key, value)
      if value == nil then
        map.delete(m, named(key))
      else
        assert(map.update(m, named(key), named(value)))
      end
    end,
    __len = function() return #m end,
    __pairs = function()
      local list, n = {}, 0
      for key in map.keys(m) do
        list[#list + 1] = key
      end
      return function()
        n = n + 1
        if list[n] ~= nil then
          return list[n], entry(list[n])
        end
      end
    end,
  })
end

-- What a shared table is: the map itself, where its keys and values are no records.
function shared.table(m, row)
  return (row.key.kind == "record" or row.value.kind == "record") and with_records(m) or m
end

return shared

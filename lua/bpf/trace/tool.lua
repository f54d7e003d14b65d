-- SPDX-License-Identifier: MIT
-- Bodies of begin, end and every: plain Lua in the tool. Shared tables are maps there, shared variables are read and
-- assigned, and what gathers can be printed and cleared. A table that a body of end prints or clears isn't printed once
-- more behind it.

local core = require("bpf.core")
local events = require("bpf.trace.events")
local infer = require("bpf.trace.infer")
local keys = require("bpf.trace.tables.keys")
local posix = require("bpf.base.posix")
local printf = require("bpf.trace.printf")
local tables = require("bpf.trace.tables")

local tool = {}

-- Shared variables ----------------------------------------------------------------------------------------------------

-- Shared variables: read and assigned in the object.
local Variables = {}
Variables.__index = Variables

function Variables:read(name)
  return self.vars[events.SHARED .. name].value
end

-- nil is 0, false, or a text without letters.
function Variables:assign(name, value)
  self.vars[events.SHARED .. name] = { value = value }
end

-- A record: assigning a member changes the variable.
function Variables:record(name)
  return setmetatable({}, {
    __index = function(_, member) return self:read(name)[member] end,
    __newindex = function(_, member, value)
      local record = self:read(name)
      record[member] = value
      self:assign(name, record)
    end,
    __pairs = function() return pairs(self:read(name)) end,
  })
end

-- What the names of shared variables stand for: by name, a function that reads it.
function Variables:readers(shared)
  local readers = {}
  for name, row in pairs(shared) do
    if row.variable then
      local record = row.value.kind == "record" and self:record(name)
      readers[name] = function() return record or self:read(name) end
    end
  end
  return readers
end

-- Functions -----------------------------------------------------------------------------------------------------------

local function texts_of(...)
  local list = table.pack(...)
  for n = 1, list.n do
    list[n] = tostring(list[n])
  end
  return list
end

-- Functions that give a number a meaning, which is its text here.
local function add_meanings(names, context)
  for name, meaning in pairs(keys.FUNCTIONS) do
    names[name] = function(n) return keys.text({ kind = "integer", meaning = meaning }, n, context) end
  end
  function names.enum(n, prefix)
    return keys.text({ kind = "integer", meaning = "enum " .. prefix }, n, context)
  end
  function names.time(format)
    return keys.text({ kind = "integer", meaning = format and "time " .. format or "time" }, core.clock(), context)
  end
  function names.ip(address)
    local bytes = type(address) == "number" and ("=I4"):pack(address & 0xffffffff) or address
    return keys.text({ kind = "address", size = #bytes }, bytes, context)
  end
end

local function add_functions(names, trace, shown)
  local out = trace.lines
  function names.print(...)
    local first, n = ...
    local t = shown[first] or tables.is(first) and first
    if t then
      t.told = trace.ending
      tables.print(t, n)
    else
      out:write(table.concat(texts_of(...), "\t"), "\n")
    end
  end
  function names.printf(format, ...)
    local list, parts, count = texts_of(...), printf.read(format)
    if count ~= list.n then
      error(("printf: the format has %d conversions, and %d values stand behind it"):format(count, list.n), 2)
    end
    out:write(printf.text(parts, { ... }, function(n) return list[n] end))
  end
  function names.clear(t)
    if tables.is(t) then
      t.told = trace.ending
      tables.clear(t)
    else
      core.map.clear(t)
    end
  end
  function names.exit()
    events.exit(trace.printed, trace.vars)
  end
end

-- The names that these bodies have: what gathers, maps, variables, what prints, and Lua's own. `shared` has what the
-- inference found, `maps` the maps of shared tables.
function tool.environment(trace, shared, maps)
  local names, shown = {}, {}
  local variables = setmetatable({ vars = trace.vars }, Variables)
  local readers = variables:readers(shared)
  for name, m in pairs(maps) do
    names[name], shown[m] = m, trace.tables:shared(name, m, shared[name].key, shared[name].value)
  end
  for name, row in pairs(shared) do
    if row.own then -- as what is shared begins
      names[name] = row.table and {} or 0
    end
  end
  add_meanings(names, trace.tables.context)
  add_functions(names, trace, shown)
  function readers.nsecs() return core.clock() end
  function readers.elapsed() return core.clock() - trace.began end
  return setmetatable(names, {
    __index = function(_, name)
      if readers[name] then
        return readers[name]()
      end
      return trace.tables:get(name) or _G[name]
    end,
    __newindex = function(_, name, value)
      if shared[name] and shared[name].variable then
        variables:assign(name, value)
      else
        rawset(names, name, value)
      end
    end,
  })
end

-- Bodies --------------------------------------------------------------------------------------------------------------

-- Binds bodies to an environment. Those of `every` run first after their time.
function tool.bind(bodies, environment)
  for _, body in ipairs(bodies) do
    body.fn = infer.load(body.title, body.text, environment)
    body.due = body.probe.seconds and posix.seconds() + body.probe.seconds
  end
end

local function call(body)
  local ok, message = pcall(body.fn)
  if not ok then
    local text = type(message) == "table" and message.trace or tostring(message)
    local placed = text:sub(1, #body.title + 1) == body.title .. ":"
    error({ trace = placed and text or ("%s: %s"):format(body.title, text), body = body }, 0)
  end
end

-- Runs the bodies of begin or of end.
function tool.run(bodies, kind)
  for _, body in ipairs(bodies) do
    if body.probe.plain == kind then
      call(body)
    end
  end
end

-- Runs those of every whose time has come. Returns the seconds until the next one, or nil.
function tool.run_due(bodies)
  local now, left = posix.seconds(), nil
  for _, body in ipairs(bodies) do
    if body.due and body.due <= now then
      call(body)
      body.due = math.max(body.due + body.probe.seconds, now)
    end
    left = body.due and math.min(left or math.huge, body.due - now) or left
  end
  return left
end

return tool

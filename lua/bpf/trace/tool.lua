-- SPDX-License-Identifier: MIT
-- Bodies of begin, end and every: plain Lua in the tool. Shared tables are maps there, shared variables are read and
-- assigned, and what gathers can be printed and cleared. A table that a body of end prints or clears isn't printed once
-- more behind it.

local core = require("bpf.core")
local enumerators = require("bpf.format.enumerators")
local events = require("bpf.trace.events")
local infer = require("bpf.trace.infer")
local keys = require("bpf.trace.tables.keys")
local posix = require("bpf.base.posix")
local printf = require("bpf.trace.printf")
local shared_of = require("bpf.trace.tool.shared")
local tables = require("bpf.trace.tables")

local tool = {}

-- Raises what is wrong with a call in a body, at the place of that call.
local function fail(format, ...)
  error(format:format(...), 3)
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
    local cause = enumerators.unknown(prefix)
    return cause and fail("enum: %s", cause) or keys.text({ kind = "integer", meaning = "enum " .. prefix }, n, context)
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
    if t and n ~= nil and math.type(n) ~= "integer" then
      fail("print: how many rows is an integer, this is a %s", type(n))
    elseif t then
      t.told = trace.ending
      tables.print(t, n)
    else
      out:write(table.concat(texts_of(...), "\t"), "\n")
    end
  end
  function names.printf(format, ...)
    local ok, text = pcall(printf.plain, format, ...)
    if not ok then
      fail("%s", type(text) == "table" and text.trace or "printf: " .. text:gsub("^[^:]*:%d+: ", ""))
    end
    out:write(text)
  end
  function names.clear(t)
    local row = shown[t] or t
    if not tables.is(row) then
      fail("clear: a table is expected, this is a %s", type(t))
    end
    row.told = trace.ending
    tables.clear(row)
  end
  function names.exit()
    events.exit(trace.printed, trace.vars)
  end
end

-- The names that these bodies have: what gathers, maps, variables, what prints, and Lua's own. `shared` has what the
-- inference found, `maps` the maps of shared tables.
function tool.environment(trace, shared, maps)
  local names, shown = {}, {}
  local variables = shared_of.variables(trace.vars)
  local readers = variables:readers(shared)
  for name, m in pairs(maps) do
    local row = shared[name]
    names[name] = shared_of.table(m, row)
    shown[names[name]] = trace.tables:shared(name, m, row.key, row.value, row.written)
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
        local ok, message = pcall(variables.assign, variables, name, value)
        if not ok then
          error((message:gsub("^[^:]*:[0-9]+: ", ""):gsub("^shared_([^:]*)%.value", "%1")), 2)
        end
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

-- SPDX-License-Identifier: MIT
-- Bodies of begin, end and every: plain Lua in the tool. Shared tables are maps there, and what gathers can be printed
-- and cleared. A table that a body of end prints or clears isn't printed once more behind it.

local core = require("bpf.core")
local infer = require("bpf.trace.infer")
local posix = require("bpf.base.posix")
local printf = require("bpf.trace.printf")
local tables = require("bpf.trace.tables")

local tool = {}

local function texts_of(...)
  local list = table.pack(...)
  for n = 1, list.n do
    list[n] = tostring(list[n])
  end
  return list
end

-- The names that these bodies have: what gathers, maps, what prints, and Lua's own. `shared` has what the inference
-- found, `maps` the maps of shared tables.
function tool.environment(trace, shared, maps)
  local names, shown, out = {}, {}, trace.out
  for name, m in pairs(maps) do
    names[name], shown[m] = m, trace.tables:shared(name, m, shared[name].key, shared[name].value)
  end
  function names.print(...)
    local first, n = ...
    local t = first ~= nil and shown[first] or tables.is(first) and first
    if t then
      t.told = trace.ending
      tables.print(t, n)
    else
      out:write(table.concat(texts_of(...), "\t"), "\n")
    end
  end
  function names.printf(format, ...)
    local list = texts_of(...)
    out:write(printf.text(printf.read(format), { ... }, function(n) return list[n] end))
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
    trace.printed.ended = true
  end
  return setmetatable(names, { __index = function(_, name)
    return trace.tables:get(name) or _G[name]
  end })
end

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
    error({ trace = ("%s: %s"):format(body.title, tostring(message):gsub("^body:", "")) }, 0)
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

-- SPDX-License-Identifier: MIT
-- Bodies of begin, end and every in scripts of `--emit`: they are plain Lua there as well.
local sorted = require("bpf.base.sorted")
local template = require("bpf.trace.emit.template")

local plain = {}

local function calls_word(bodies, word)
  for _, body in ipairs(bodies) do
    if (" " .. body.text):find("[^A-Za-z_0-9.]" .. word .. "%f[^A-Za-z_0-9]") then
      return true
    end
  end
  return false
end

--- The table that the bodies have for their environment: what is shared, by its names.
function plain.environment(bodies, names, shared, json)
  if not bodies[1] then
    return ""
  end
  local variables = {}
  for _, name in ipairs(names) do
    if shared[name].own then
      variables[#variables + 1] = ("names[%q] = %s\n"):format(name, shared[name].table and "{}" or "0")
    elseif shared[name].variable then
      variables[#variables + 1] = ("variables[%q] = true\n"):format(name)
    elseif shared[name].table then
      variables[#variables + 1] = ("names[%q] = %s\n"):format(name, name)
    end
  end
  for _, word in ipairs(sorted.keys(template.meanings)) do
    if calls_word(bodies, word) then
      variables[#variables + 1] = ("names.%s = %s\n"):format(word, template.meanings[word])
    end
  end
  return [[

-- The names of plain bodies: what is shared, tables, and Lua's own.
local variables, by_map = {}, {}
]] .. table.concat(variables) .. [[
for _, t in pairs(tables) do
  by_map[t.map] = t
end
function names.print(first, ...)
  local t = type(first) == "table" and first.map and first or first ~= nil and by_map[first]
  if t then
    t.told = t.told or names.ending
    return print_table(t, ...)
  end
  print(first, ...)
end
function names.printf(format, ...) ]] .. (json and "write" or "io.write") .. [[(format:format(...)) end
function names.clear(t)
  local row = by_map[t] or t
  row.told = row.told or names.ending
  clear(t)
end
function names.exit() names.over = true end
setmetatable(names, {
  __index = function(_, name)
    if variables[name] then
      return obj.vars[name].value
    elseif name == "nsecs" or name == "elapsed" then
      return bpf.clock() - (name == "elapsed" and began or 0)
    end
    return tables[name] or _G[name]
  end,
  __newindex = function(_, name, value)
    if variables[name] then
      obj.vars[name] = { value = value }
    else
      rawset(names, name, value)
    end
  end,
})
]]
end

--- The bodies as functions. They stand before all else, whose local names they don't see.
function plain.functions(bodies)
  local head = "-- Bodies of begin, end and every. Their names are those of a table.\nlocal names = {}\n"
  local out = { bodies[1] and head or "" }
  for n, body in ipairs(bodies) do
    out[#out + 1] = ("local function plain_%d() -- %s\n  local _ENV <const> = names\n%s\nend\n\n"):format(n, body.title,
      body.text)
  end
  return table.concat(out)
end

--- Calls of those of one kind, "begin" or "end".
function plain.calls(bodies, kind)
  local out = {}
  for n, body in ipairs(bodies) do
    out[#out + 1] = body.probe.plain == kind and ("plain_%d()\n"):format(n) or nil
  end
  return table.concat(out)
end

--- The timers of `every` and of --interval.
function plain.timers(bodies, options)
  local out = {}
  if options.interval then
    local ns = options.interval * 1000000000 // 1 | 0
    out[1] = ("  { every = %d, due = bpf.clock() + %d, run = %s },\n"):format(ns, ns,
      template.interval[options.json and "json" or "text"])
  end
  for n, body in ipairs(bodies) do
    if body.probe.plain == "every" then
      local ns = body.probe.seconds * 1000000000 // 1 | 0
      out[#out + 1] = ("  { every = %d, due = bpf.clock() + %d, run = plain_%d },\n"):format(ns, ns, n)
    end
  end
  return table.concat(out)
end

return plain

-- SPDX-License-Identifier: MIT
-- Runs a function in both worlds, as Lua and as a BPF program, and compares what it returns and what it leaves in maps.
-- `local worlds = require "spec.support.worlds"`.
--
-- Programs are raw tracepoints that nothing attaches: the kernel has run those for tests since 5.10, and hands up to 12
-- words over as their arguments. Of what a program returns only 32 bits come back, so a function is run twice: called
-- by a program that stores its results in maps, and as a program itself.
local bpf = require "bpf"

local worlds = {}

local SECTION <const> = "raw_tp/worlds"
local MASK <const> = 0xffffffff

--- Integers at which arithmetic changes.
worlds.edges = {
  0, 1, -1, 2, 7, -7, 31, 63, -63, 64, -64, 65, 255, 1 << 31, -(1 << 31), (1 << 31) - 1, 1 << 32, -(1 << 32),
  (1 << 32) - 1, 1 << 62, math.maxinteger, math.maxinteger - 1, math.mininteger, math.mininteger + 1,
}

-- Tables as text -----------------------------------------------------------------------------------------------------

-- A value as text that is equal for equal values, whatever the order of a table's keys.
local function text_of(value)
  if type(value) ~= "table" then
    return type(value) == "string" and ("%q"):format(value) or tostring(value)
  end
  local list = {}
  for k, v in pairs(value) do
    list[#list + 1] = ("%s = %s"):format(text_of(k), text_of(v))
  end
  table.sort(list)
  return "{ " .. table.concat(list, ", ") .. " }"
end
worlds.text_of = text_of

-- The entries of maps as text.
local function contents(maps)
  local list = {}
  for n, m in ipairs(maps) do
    local entries = {}
    for k, v in pairs(m) do
      entries[#entries + 1] = ("[%s] = %s"):format(text_of(k), text_of(v))
    end
    table.sort(entries)
    list[n] = ("map %d: %s"):format(n, table.concat(entries, ", "))
  end
  return table.concat(list, "; ")
end

local function clear(maps)
  for _, m in ipairs(maps) do
    for k, v in pairs(m) do
      if bpf.map.type(m) == "array" then
        m[k] = type(v) == "number" and 0 or type(v) == "boolean" and false or {}
      else
        m[k] = nil
      end
    end
  end
end

-- Results ------------------------------------------------------------------------------------------------------------

local RESULTS <const> = 3
local KINDS <const> = { "nil", "true", "false" }

local function result_text(...)
  local list = {}
  for n = 1, RESULTS do
    list[n] = tostring((select(n, ...)))
  end
  return table.concat(list, ", ")
end

-- The results of a function in Lua, as text; "ended" for an error.
local function in_lua(f, arguments, ends)
  local results = table.pack(pcall(f, table.unpack(arguments)))
  if results[1] then
    return result_text(table.unpack(results, 2, results.n)), results[2]
  elseif ends then
    return "ended", 0
  end
  error(results[2], 0)
end

-- A program that calls f and stores its results.
local function caller_of(f, kinds, values)
  local function put(n, v)
    if v == nil then
      kinds[n] = 1
    elseif v == true then
      kinds[n] = 2
    elseif v == false then
      kinds[n] = 3
    else
      kinds[n] = 4
      values[n] = v
    end
  end
  return function(a, b, c, d)
    local x, y, z = f(a, b, c, d)
    put(0, x)
    put(1, y)
    put(2, z)
  end
end

local function words_of(arguments)
  local list = {}
  for n = 1, 4 do
    list[n] = string.pack("<i8", arguments[n] or 0)
  end
  return table.concat(list)
end

local function load(f)
  return assert(bpf.program(SECTION, f, { name = "worlds" }))
end

-- A function that gives the results of f in the kernel, as text.
local function kernel_runner(f)
  local kinds = assert(bpf.map.create { type = "array", key = "__u32", value = "long", max_entries = RESULTS })
  local values = assert(bpf.map.create { type = "array", key = "__u32", value = "long", max_entries = RESULTS })
  local prog = load(caller_of(f, kinds, values))
  local function run(arguments)
    for n = 0, RESULTS - 1 do
      kinds[n] = 0
    end
    assert(prog:run { ctx = words_of(arguments) })
    if kinds[0] == 0 then
      return "ended"
    end
    local list = {}
    for n = 0, RESULTS - 1 do
      list[n + 1] = KINDS[kinds[n]] or tostring(values[n])
    end
    return table.concat(list, ", ")
  end
  return run, function()
    prog:close()
    bpf.map.close(kinds)
    bpf.map.close(values)
  end
end

-- What a program returns whose function returns this.
local function returned(value)
  if math.type(value) == "integer" then
    return value & MASK
  end
  return value == true and 1 or 0
end

-- Both worlds --------------------------------------------------------------------------------------------------------

-- The arguments of each run: the edges, for each parameter.
local function inputs_for(f)
  local list, edges = {}, worlds.edges
  local parameters = debug.getinfo(f, "u").nparams
  assert(parameters <= 2, "a function of more than two parameters needs inputs")
  for _, a in ipairs(parameters > 0 and edges or { 0 }) do
    for _, b in ipairs(parameters > 1 and edges or { 0 }) do
      list[#list + 1] = { a, b }
    end
  end
  return list
end

local function differs(arguments, what, expected, got)
  error(("%s differ for (%s)\nin Lua:        %s\nin the kernel: %s"):format(what, table.concat(arguments, ", "),
    expected, got), 0)
end

-- Runs f in both worlds on the same arguments and maps.
local function compare(f, run, whole, arguments, options)
  local maps, fill = options.maps or {}, options.fill or function() end
  clear(maps)
  fill()
  local expected, first = in_lua(f, arguments, options.ends)
  local left = contents(maps)
  clear(maps)
  fill()
  local got = run(arguments)
  if got ~= expected then
    differs(arguments, "the results", expected, got)
  end
  local left_too = contents(maps)
  if left_too ~= left then
    differs(arguments, "the maps", left, left_too)
  end
  if whole then
    clear(maps)
    fill()
    local retval = assert(whole:run { ctx = words_of(arguments) }).retval & MASK
    if retval ~= returned(first) then
      differs(arguments, "what the program returned", returned(first), retval)
    elseif contents(maps) ~= left then
      differs(arguments, "the maps behind the program", left, contents(maps))
    end
  end
end

--- Checks that a function of integers does the same as Lua and in the kernel. Options:
--
-- - inputs: a list of lists of arguments; all edges without
-- - maps: maps that it changes, which are empty at the start of each run; fill: what they have then
-- - ends: whether it may raise an error, which ends a program with 0
-- - several: it returns several values, so it is no program by itself
function worlds.same(f, options)
  options = options or {}
  local run, close = kernel_runner(f)
  local whole = not options.several and load(f) or nil
  local ok, message = pcall(function()
    for _, arguments in ipairs(options.inputs or inputs_for(f)) do
      compare(f, run, whole, arguments, options)
    end
  end)
  close()
  if whole then
    whole:close()
  end
  if not ok then
    error(message, 2)
  end
end

--- Runs a function in the kernel once, and returns its results as text.
function worlds.kernel(f, ...)
  local run, close = kernel_runner(f)
  local text = run { ... }
  close()
  return text
end

--- Runs a function as a program, and returns what it returned, as 32 bits.
function worlds.program(f, ...)
  local prog <close> = load(f)
  return assert(prog:run { ctx = words_of { ... } }).retval & MASK
end

return worlds

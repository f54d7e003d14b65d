-- SPDX-License-Identifier: MIT
-- `--emit`: the trace as a script of bpf.programs, which runs by itself.
local template = require("bpf.trace.emit.template")
local translate = require("bpf.trace.emit.translate")
local types = require("bpf.trace.types")

local emit = {}

local function fail(format, ...)
  error({ trace = "--emit: " .. format:format(...) }, 0)
end

-- Values as text ------------------------------------------------------------------------------------------------------

-- The functions that make text of an integer, by its meaning. Others are numbers.
local MEANINGS <const> = {
  uid = "bpf.format.user", cgroup = "bpf.format.cgroup", errno = "bpf.format.result", signal = "bpf.format.signal",
  ["kernel address"] = "bpf.format.symbol", ["function"] = "bpf.format.symbol", ["user address"] = "bpf.format.hex",
  duration = "bpf.format.duration", time = "bpf.format.time",
}
local KINDS <const> = { boolean = "tostring", address = "bpf.format.ip", pointer = "bpf.format.hex" }
local DEEPEST <const> = 127 -- frames of a stack
local NAMES <const> = { syscall = "system calls", enum = "enumerators", symbolic = "the values of a field" }

-- The text of a function that makes text of a value.
local function shower(type, depth)
  if type.kind == "kstack" then
    return "stack_" .. (depth or DEEPEST)
  elseif type.kind ~= "integer" then
    return KINDS[type.kind] or "tostring"
  elseif type.meaning == "probe" then
    return "function(n) return probes[n] end"
  end
  local word, rest = (type.meaning or ""):match("^([a-z]+) ?(.*)$")
  if NAMES[word] then
    fail("a script has no names of %s", NAMES[word])
  elseif word == "time" and rest ~= "" then
    return ("function(ns) return os.date(%q, (bpf.walltime(ns))) end"):format(rest)
  end
  return MEANINGS[type.meaning] or "tostring"
end

-- Maps ----------------------------------------------------------------------------------------------------------------

local NOTE <const> = "struct { __s64 count; __s64 sum; __s64 min; __s64 max; }"
local NOTES <const> = {
  avg = "e.sum // e.count", min = "e.min", max = "e.max",
  stats = [[("count %d  avg %d  min %d  max %d  total %d"):format(e.count, e.sum // e.count, e.min, e.max, e.sum)]],
}

local function create(name, key, value, entries)
  return ('local %s <close> = assert(map.create {\n  type = "hash", max_entries = %d, key = %q,\n  value = %q,\n})\n')
    :format(name, entries, key, value)
end

-- The type of the keys of what gathers.
local function key_type(t)
  local bucket = t.concept.buckets
  if #t.parts == 0 then
    return "__u32"
  elseif #t.parts == 1 and not bucket then
    return types.c(t.parts[1].type)
  end
  local list = {}
  for n, part in ipairs(t.parts) do
    list[n] = types.c(part.type, "k" .. n) .. "; "
  end
  return "struct { " .. table.concat(list) .. (bucket and "__u32 bucket; }" or "}")
end

local ENTRIES <const> = 10240

local function maps_text(names, shared, plan)
  local out = {}
  for _, name in ipairs(names) do
    local row = shared[name]
    if row.table and not row.own then
      out[#out + 1] = create(name, types.c(row.key), types.c(row.value), ENTRIES)
    elseif row.variable then
      out[#out + 1] = ("local %s = bpf.var %q\n"):format(name, ("struct { %s; }"):format(types.c(row.value, "value")))
    end
  end
  for _, t in ipairs(plan.tables) do
    out[#out + 1] = create(t.map_name, key_type(t), NOTES[t.word] and NOTE or "__s64",
      t.concept.buckets and ENTRIES * 8 or ENTRIES)
  end
  return table.concat(out)
end

-- Tables --------------------------------------------------------------------------------------------------------------

local function linear_bucket(t)
  local first, last, step = t.limits.first, t.limits.last, t.limits.step
  return ([[function(n)
    local from = %d + (n - 1) * %d
    local to = math.min(from + %d, %d)
    return n == 0 and "(..., %d)" or from >= %d and "[%d, ...)" or ("[%%d, %%d)"):format(from, to)
  end]]):format(first, step, step, last, first, last, last)
end

-- The fields of a table that prints a map. `parts` have types, and names where the key is a struct.
local function table_text(title, map, parts, single, value, more)
  local shows, names = {}, {}
  for n, part in ipairs(parts) do
    shows[n], names[n] = shower(part.type, part.depth), ("%q"):format(part.name)
  end
  local form = "{\n  title = %q, map = %s, single = %s,\n  keys = { %s }, names = { %s },\n  value = %s,%s\n}"
  return form:format(title, map, tostring(single), table.concat(shows, ", "), table.concat(names, ", "), value,
    more or "")
end

local function gathered_text(t)
  local parts = {}
  for n, part in ipairs(t.parts) do
    parts[n] = { type = part.type, name = "k" .. n, depth = part.depth }
  end
  local bucket, more, value = t.concept.buckets ~= nil, "", t.word == "sum" and shower(t.value) or "tostring"
  if bucket then
    more = "\n  bucket = " .. (t.limits and linear_bucket(t) or template.log2_bucket) .. ","
  elseif t.word == "count" and #parts == 0 then
    more = "\n  zero = true,"
  elseif NOTES[t.word] then
    value = ("function(e) return tostring(%s) end"):format(NOTES[t.word])
    more = ("\n    rank = function(e) return %s end,"):format(t.word == "stats" and "e.count" or NOTES[t.word])
  end
  return table_text(t.title, t.map_name, parts, #parts == 1 and not bucket, value, more)
end

local function shared_text(name, row)
  local parts = {}
  for n, field in ipairs(row.key.kind == "record" and row.key.order or {}) do
    parts[n] = { type = row.key.members[field], name = field }
  end
  local value, more = shower(row.value), ""
  if row.value.kind == "record" then
    local list = {}
    for n, field in ipairs(row.value.order) do
      list[n] = ("(%s)(v.%s)"):format(shower(row.value.members[field]), field)
    end
    value = ("function(v) return table.concat({ %s }, \"  \") end"):format(table.concat(list, ", "))
    more = "\n    rank = function() return 0 end,"
  end
  return table_text(name, name, parts[1] and parts or { { type = row.key, name = "" } }, not parts[1], value, more)
end

-- All tables by name; `gathered` are printed at the end.
local function tables_text(names, shared, plan)
  local out = { "local tables, gathered = {}, {}\n" }
  for n, t in ipairs(plan.tables) do
    out[#out + 1] = ("gathered[%d] = %s\ntables[%q] = gathered[%d]\n"):format(n, gathered_text(t), t.title, n)
  end
  for _, name in ipairs(names) do
    local row = shared[name]
    if row.table and not row.own then
      out[#out + 1] = ("tables[%q] = %s\n"):format(name, shared_text(name, row))
    end
  end
  return table.concat(out)
end

-- Lines ---------------------------------------------------------------------------------------------------------------

local LUA <const> = { d = "d", i = "d", u = "d", x = "x", X = "X", o = "o", c = "s", p = "s", s = "s", r = "s" }

-- The text of a value of a line, as its conversion takes it.
local function line_value(place, conversion)
  local v = place.constant or "r." .. place.name
  if conversion == "s" or conversion == "r" then
    local plain = place.constant or place.type.kind == "string"
    return plain and v or ("(%s)(%s)"):format(shower(place.type, place.depth), v)
  elseif conversion == "c" then
    return ("string.char(%s & 0xff)"):format(v)
  elseif conversion == "p" then
    return ("bpf.format.hex(%s)"):format(v)
  end
  return place.type and place.type.kind == "boolean" and ("(%s and 1 or 0)"):format(v) or v
end

local function line_text(site)
  local list, format, k = {}, {}, 0
  for _, part in ipairs(site.format or {}) do
    k = type(part) == "table" and k + 1 or k
    format[#format + 1] = type(part) == "table" and "%" .. part.spec .. LUA[part.conversion] or part:gsub("%%", "%%%%")
    list[k] = type(part) == "table" and line_value(site.values[k], part.conversion) or list[k]
  end
  if site.format then
    local values = list[1] and ", " .. table.concat(list, ", ") or ""
    return ("io.write(string.format(%q%s))"):format(table.concat(format), values):gsub("\\\n", "\\n")
  end
  for n, place in ipairs(site.values) do
    list[n] = line_value(place, "s")
  end
  return ("print(%s)"):format(table.concat(list, ", "))
end

-- The types of records, and what is done with each.
local function lines_text(sites)
  if not sites[1] then
    return "", ""
  end
  local out, handlers = {
    'local lines <close> = assert(map.create { type = "ringbuf", max_entries = 1 << 20 })\n' }, {}
  for n, site in ipairs(sites) do
    local members = site.members[1] and " " .. table.concat(site.members, "; ") .. ";" or ""
    local type = "struct { __u32 site; __u32 pad;" .. members .. " }"
    out[#out + 1] = ("local Line_%d = bpf.btf.type %q\n"):format(n, type)
    handlers[#handlers + 1] = ("  [%d] = function(%s)\n%s    %s\n  end,\n"):format(n, site.members[1] and "bytes" or "",
      site.members[1] and ("    local r = Line_%d:decode(bytes)\n"):format(n) or "", line_text(site))
  end
  return table.concat(out), [[

-- Lines of print and printf.
local handlers = {
]] .. table.concat(handlers) .. [[
}
local reader <close> = assert(bpf.ringbuf(lines, nil, function(bytes)
  handlers[("=I4"):unpack(bytes)](bytes)
end))
]]
end

-- Plain bodies --------------------------------------------------------------------------------------------------------

-- Bodies of begin, end and every have the names of what is shared by a table of their own.
local function environment_text(plain, names, shared)
  if not plain[1] then
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
function names.printf(format, ...) io.write(format:format(...)) end
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

-- They stand before all else, whose local names they don't see.
local function plain_text(plain)
  local head = "-- Bodies of begin, end and every. Their names are those of a table.\nlocal names = {}\n"
  local out = { plain[1] and head or "" }
  for n, body in ipairs(plain) do
    out[#out + 1] = ("local function plain_%d() -- %s\n  local _ENV <const> = names\n%s\nend\n\n"):format(n, body.title,
      body.text)
  end
  return table.concat(out)
end

local function calls_text(plain, kind)
  local out = {}
  for n, body in ipairs(plain) do
    out[#out + 1] = body.probe.plain == kind and ("plain_%d()\n"):format(n) or nil
  end
  return table.concat(out)
end

local function every_text(plain)
  local out = {}
  for n, body in ipairs(plain) do
    if body.probe.plain == "every" then
      local ns = body.probe.seconds * 1000000000 // 1 | 0
      out[#out + 1] = ("  { every = %d, due = bpf.clock() + %d, run = plain_%d },\n"):format(ns, ns, n)
    end
  end
  return table.concat(out)
end

-- The script ----------------------------------------------------------------------------------------------------------

local RESERVED <const> = {}
for name in ([[bpf map helper obj began ended lines stacks log2 linear note tables gathered rows_of print_buckets clear
  print_table handlers reader names variables by_map timers probes signals deadline stack]]):gmatch("%S+") do
  RESERVED[name] = true
end

local function check(trace, options, names)
  for _, name in ipairs { "command", "follow", "cgroup", "interval", "json" } do
    if options[name] then
      fail("a script has no option '%s' yet: it can have where, pid and seconds", name)
    end
  end
  for _, name in ipairs(names) do
    if RESERVED[name] or name:find("^Line_") or name:find("^stacks?_%d") or name:find("^plain_") then
      fail("the script uses the name '%s' itself: take another one", name)
    end
  end
  if not trace.bodies[1] then
    fail("there is no program: begin, end and every are plain Lua already")
  end
end

-- The programs, one for each probe; those of perf events are attached by CPU.
local function programs_text(trace, calls, state)
  local out, events, titles = {}, {}, {}
  for _, body in ipairs(trace.bodies) do
    for _, member in ipairs(body.members) do
      local n = #out + 1
      local probe = member.probe
      titles[n] = ("  %q,\n"):format(probe.title)
      out[n] = ("  program_%d = { %q, %s },\n"):format(n, probe.section,
        translate.body(body, calls[body], { section = probe.section, number = n }, state):gsub("\n", "\n  "))
      local e = probe.event
      events[n] = e and ("  program_%d = { type = %q, config = %q, sample_period = %d, cpu = %s },\n"):format(n, e.type,
        e.config, e.sample_period, type(e.cpu) == "string" and ("%q"):format(e.cpu) or e.cpu) or ""
    end
  end
  return table.concat(out), table.concat(events), "local probes <const> = {\n" .. table.concat(titles) .. "}\n"
end

local ATTACH <const> = [[
for _, prog in pairs(obj.progs) do
  local event = events[prog:name()]
  if not event then
    assert(prog:attach())
  end
  for _, cpu in ipairs(event and (event.cpu == "online" and bpf.cpus().online or { event.cpu }) or {}) do
    assert(prog:attach_perf_event { type = event.type, config = event.config, sample_period = event.sample_period,
      cpu = cpu })
  end
end
io.stderr:write("ready\n")
]]

local LOOP <const> = [[
while not (names_over() or signals:poll(0)) and (not deadline or bpf.clock() < deadline) do
  %s
  for _, timer in ipairs(timers) do
    if bpf.clock() >= timer.due then
      timer.run()
      timer.due = timer.due + timer.every
    end
  end
end
]]

local STACK <const> = [[
local stacks_DEPTH <close> = assert(map.create { type = "stack_trace", max_entries = 16384, value = "__u64[DEPTH]" })
local function stack_DEPTH(id)
  local addresses = id >= 0 and stacks_DEPTH[id]
  return addresses and "\n    " .. bpf.symbols.stack(addresses):gsub("\n", "\n    ") or "[stack not kept]"
end
]]

local function header(options)
  local out = { "#!/usr/bin/env lua\n-- Made by `lua-bpf trace --emit` of\n" }
  for _, row in ipairs(options.probes) do
    out[#out + 1] = ("--   %s  %s\n"):format(row[1], (row[2]:gsub("\n", "\n--     ")))
  end
  out[#out + 1] = 'local bpf = require "bpf"\nlocal map, helper = bpf.map, bpf.helper\nlocal began = bpf.clock()\n\n'
  return table.concat(out)
end

--- The text of a script. `result` is what infer found. Raises { trace = message }.
function emit.text(trace, options, result, names)
  check(trace, options, names)
  local state = { shared = result.shared, plan = trace.plan, sites = {}, uses = {}, depths = {}, exits = result.exits }
  local programs, events, titles = programs_text(trace, result.calls, state)
  local types_of_lines, handlers = lines_text(state.sites)
  local maps = maps_text(names, result.shared, trace.plan)
  local out = { header(options), plain_text(trace.plain), titles, maps, types_of_lines }
  local function add(text, ...)
    out[#out + 1] = select("#", ...) > 0 and text:format(...) or text
  end
  for depth = 1, DEEPEST do
    add(state.depths[depth] and (STACK:gsub("DEPTH", depth)) or "")
  end
  add(result.exits and 'local ended = bpf.var "struct { _Bool value; }"\n' or "")
  for _, row in ipairs(template.program) do
    add(state.uses[row[1]] and "\n" .. row[2] or "")
  end
  out[#out + 1] = "\nlocal obj <close> = assert(bpf.programs {\n" .. programs .. "})\n\n"
  add(template.script)
  out[#out + 1] = "\n" .. tables_text(names, result.shared, trace.plan) .. handlers
  out[#out + 1] = environment_text(trace.plain, names, result.shared)
  out[#out + 1] = "\n-- The run " .. ("-"):rep(107) .. "\n\n"
  out[#out + 1] = calls_text(trace.plain, "begin")
  add('local signals <close> = assert(bpf.signals("INT", "TERM"))\n')
  out[#out + 1] = "local events <const> = {\n" .. events .. "}\n" .. ATTACH
  out[#out + 1] = "local timers <const> = {\n" .. every_text(trace.plain) .. "}\n"
  add("local deadline = %s\n", options.seconds and ("bpf.clock() + %d"):format(options.seconds * 1000000000 // 1 | 0)
    or "nil")
  add("local function names_over() return %s%s end\n", trace.plain[1] and "names.over" or "false",
    result.exits and " or obj.vars.ended.value" or "")
  add(LOOP, state.sites[1] and "reader:poll(100)" or "bpf.sleep(0.1)")
  add(state.sites[1] and "reader:consume()\n" or "")
  add(trace.plain[1] and "names.ending = true\n" or "")
  out[#out + 1] = calls_text(trace.plain, "end")
  add("for _, t in ipairs(gathered) do\n  if not t.told then\n    print_table(t)\n  end\nend\n")
  return table.concat(out)
end

return emit

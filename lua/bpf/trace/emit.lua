-- SPDX-License-Identifier: MIT
-- `--emit`: the trace as a script of bpf.programs, which runs by itself.
local enumerators = require("bpf.format.enumerators")
local parse = require("bpf.trace.emit.parse")
local plain = require("bpf.trace.emit.plain")
local sorted = require("bpf.base.sorted")
local template = require("bpf.trace.emit.template")
local translate = require("bpf.trace.emit.translate")
local types = require("bpf.trace.types")
local fail = require("bpf.trace.failure").not_emitted

local emit = {}

-- Values as text ------------------------------------------------------------------------------------------------------

-- The functions that make text of an integer, by its meaning. Others are numbers.
local MEANINGS <const> = {
  uid = "bpf.format.user", cgroup = "bpf.format.cgroup", errno = "bpf.format.result", signal = "bpf.format.signal",
  ["kernel address"] = "bpf.format.symbol", ["function"] = "bpf.format.symbol", ["user address"] = "bpf.format.hex",
  duration = "bpf.format.duration", time = "bpf.format.time", syscall = "bpf.format.syscall", ip = "bpf.format.ip",
  ["user symbol"] = "user_symbol",
}
local KINDS <const> = { address = "bpf.format.ip", pointer = "bpf.format.hex", bytes = "escaped" }
local STACKS <const> = { kstack = true, ustack = true }
local DEEPEST <const> = 127 -- frames of a stack

-- By the first word of a meaning that has more: the function, of what is behind that word.
local PREFIXES <const> = {
  enum = function(name) return ("function(n) return bpf.format.enum(n, %q) end"):format(name) end,
  time = function(form) return ("function(ns) return os.date(%q, (bpf.walltime(ns))) end"):format(form) end,
  symbolic = function(text)
    local names, list = enumerators.named(text), {}
    for n, value in ipairs(sorted.keys(names)) do
      list[n] = ("[%d] = %q"):format(value, names[value])
    end
    return ("function(n) return ({ %s })[n] or tostring(n) end"):format(table.concat(list, ", "))
  end,
}

-- The text of a function that makes text of a value. Nil where the value stands for itself.
local function shower(type, depth)
  if STACKS[type.kind] then
    return "stack_" .. (depth or fail("a stack has a form in a script where it is printed or a key"))
  elseif type.kind ~= "integer" then
    return KINDS[type.kind]
  elseif type.meaning == "probe" then
    return "function(n) return probes[n] end"
  end
  local word, rest = (type.meaning or ""):match("^([a-z]+) (.+)$")
  return PREFIXES[word] and PREFIXES[word](rest) or MEANINGS[type.meaning]
end

-- That function for a line or a table. As JSON, what is a number or a boolean stays one.
local function text_shower(type, depth)
  return shower(type, depth) or "tostring"
end

local function row_shower(type, depth, json)
  if json and (type.meaning == "duration" or not shower(type, depth)) then
    return "as_is"
  end
  local text = text_shower(type, depth)
  local form = json and "function(id, pid) return frames(%s(id, pid)) end"
    or 'function(id, pid) return "\\n" .. %s(id, pid) end'
  return STACKS[type.kind] and form:format(text) or text
end

-- The text of a call of a function by its text.
local function call(fn, argument)
  return fn == "as_is" and argument or (fn:find("^[A-Za-z]") and not fn:find("^function") and "%s(%s)" or "(%s)(%s)")
    :format(fn, argument)
end

-- Maps ----------------------------------------------------------------------------------------------------------------

local NOTE <const> = "struct { __s64 count; __s64 sum; __s64 min; __s64 max; }"
local AVG <const> = "e.sum // e.count"
local NOTES <const> = {
  avg = AVG, min = "e.min", max = "e.max",
  stats = [[("count %d  avg %d  min %d  max %d  total %d"):format(e.count, e.sum // e.count, e.min, e.max, e.sum)]],
}
-- The members of such an entry as JSON: names and what they are.
local MEMBERS <const> = {
  avg = { "avg", AVG, "count", "e.count" }, min = { "min", "e.min" }, max = { "max", "e.max" },
  stats = { "count", "e.count", "avg", AVG, "min", "e.min", "max", "e.max", "sum", "e.sum" },
}

local function create(name, key, value, entries)
  return ('local %s <close> = assert(map.create {\n  type = "hash", max_entries = %d, key = %q,\n  value = %q,\n})\n')
    :format(name, entries, key, value)
end

-- Whether the key of what gathers is one value, and no struct.
local function is_single(t)
  return #t.parts == 1 and not t.concept.buckets and not types.of_process(t.parts[1].type)
end

-- The type of the keys of what gathers.
local function key_type(t)
  local bucket = t.concept.buckets
  if #t.parts == 0 then
    return "__u32"
  elseif is_single(t) then
    return types.c(t.parts[1].type)
  end
  local list = {}
  for n, part in ipairs(t.parts) do
    list[#list + 1] = types.c(part.type, "k" .. n) .. "; "
    list[#list + 1] = types.of_process(part.type) and ("__u32 k%d_pid; "):format(n) or nil
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

-- The members of a row as JSON, of names and of what they are, in turn.
local function members_text(argument, list)
  local names, values = {}, {}
  for n = 1, #list, 2 do
    names[#names + 1], values[#values + 1] = ("%q:%%s"):format(list[n]), ("bpf.json(%s)"):format(list[n + 1])
  end
  return ("function(%s) return ('%s'):format(%s) end"):format(argument, table.concat(names, ","),
    table.concat(values, ", "))
end

local function linear_bucket(t, json)
  local first, last, step = t.limits.first, t.limits.last, t.limits.step
  if json then
    return ([[function(n)
    local from = %d + (n - 1) * %d
    if n == 0 then return nil, %d end
    if from >= %d then return %d end
    return from, math.min(from + %d, %d)
  end]]):format(first, step, first, last, last, step, last)
  end
  return ([[function(n)
    local from = %d + (n - 1) * %d
    local to = math.min(from + %d, %d)
    return n == 0 and "(..., %d)" or from >= %d and "[%d, ...)" or ("[%%d, %%d)"):format(from, to)
  end]]):format(first, step, step, last, first, last, last)
end

-- The fields of a table that prints a map. `parts` have types, and names where the key is a struct.
local function table_text(t, parts, json)
  local shows, names = {}, {}
  for n, part in ipairs(parts) do
    shows[n], names[n] = row_shower(part.type, part.depth, json), ("%q"):format(part.name)
  end
  local form = "{\n  title = %q, word = %q, map = %s, single = %s,\n  keys = { %s },\n  names = { %s },%s\n}"
  return form:format(t.title, t.word, t.map, tostring(t.single), table.concat(shows, ", "), table.concat(names, ", "),
    (t.value and ("\n  value = %s,"):format(t.value) or "") .. (t.more or ""))
end

local function gathered_value(t, json)
  if NOTES[t.word] then
    return json and members_text("e", MEMBERS[t.word]) or ("function(e) return tostring(%s) end"):format(NOTES[t.word])
  end
  local type = t.word == "sum" and t.value or { kind = "integer" }
  return json and members_text("v", { t.word, call(row_shower(type, nil, json), "v") }) or text_shower(type)
end

local function gathered_text(t, json)
  local parts = {}
  for n, part in ipairs(t.parts) do
    parts[n] = { type = part.type, name = "k" .. n, depth = part.depth }
  end
  local bucket, more = t.concept.buckets ~= nil, nil
  if bucket then
    more = "\n  bucket = " .. (t.limits and linear_bucket(t, json) or template.log2_bucket[json and "json" or "text"])
      .. ","
  elseif NOTES[t.word] then
    more = ("\n  rank = function(e) return %s end,"):format(t.word == "stats" and "e.count" or NOTES[t.word])
  end
  return table_text({ title = t.title, word = t.word, map = t.map_name, single = is_single(t),
    value = not bucket and gathered_value(t, json), more = more }, parts, json)
end

-- The members of a record, as text or as JSON.
local function record_text(type, json)
  local list = {}
  for _, field in ipairs(type.order) do
    list[#list + 1] = json and field or nil
    list[#list + 1] = call(row_shower(type.members[field], nil, json), "v." .. field)
  end
  return json and members_text("v", list)
    or ("function(v) return table.concat({ %s }, \"  \") end"):format(table.concat(list, ", "))
end

local function shared_text(name, row, json)
  local parts, record = {}, row.value.kind == "record"
  for n, field in ipairs(row.key.kind == "record" and row.key.order or {}) do
    parts[n] = { type = row.key.members[field], name = field }
  end
  local value = record and record_text(row.value, json)
    or json and members_text("v", { "value", call(row_shower(row.value, nil, json), "v") })
    or text_shower(row.value)
  local first = record and row.value.members[row.value.order[1]]
  return table_text({ title = name, word = "table", map = name, single = not parts[1], value = value,
    more = record and ("\n  rank = function(v) return %s end,"):format(first.kind == "integer"
      and "v." .. row.value.order[1] or "0") },
    parts[1] and parts or { { type = row.key, name = "" } }, json)
end

-- All tables by name; `gathered` are printed at the end.
local function tables_text(names, shared, plan, json)
  local out = { "local tables, gathered = {}, {}\n" }
  for n, t in ipairs(plan.tables) do
    out[#out + 1] = ("gathered[%d] = %s\ntables[%q] = gathered[%d]\n"):format(n, gathered_text(t, json), t.title, n)
  end
  for _, name in ipairs(names) do
    local row = shared[name]
    if row.table and not row.own then
      out[#out + 1] = ("tables[%q] = %s\n"):format(name, shared_text(name, row, json))
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
    local itself = place.constant or place.type.kind == "string"
    local given = place.pid and ("%s, r.%s"):format(v, place.pid) or v
    local text = itself and v or call(text_shower(place.type, place.depth), given)
    return place.known and ("r.%s and %s or nil"):format(place.known, text) or text
  elseif conversion == "c" then
    return ("string.char(%s & 0xff)"):format(v)
  elseif conversion == "p" then
    return ("bpf.format.hex(%s)"):format(v)
  end
  return place.type and place.type.kind == "boolean" and ("(%s and 1 or 0)"):format(v) or v
end

local function line_text(site, json)
  local list, format, k = {}, {}, 0
  for _, part in ipairs(site.format or {}) do
    k = type(part) == "table" and k + 1 or k
    format[#format + 1] = type(part) == "table" and "%" .. part.spec .. LUA[part.conversion] or part:gsub("%%", "%%%%")
    list[k] = type(part) == "table" and line_value(site.values[k], part.conversion) or list[k]
  end
  if site.format then
    local values = list[1] and ", " .. table.concat(list, ", ") or ""
    local text = ("%s(string.format(%q%s))"):format(json and "write" or "io.write", table.concat(format), values)
    return (text:gsub("\\\n", "\\n"))
  end
  for n, place in ipairs(site.values) do
    local text = line_value(place, "s")
    if n > 1 and place.type and STACKS[place.type.kind] then -- which begins on a line of its own
      list[#list] = ('tostring(%s) .. "\\n" .. tostring(%s)'):format(list[#list], text)
    else
      list[#list + 1] = text
    end
  end
  return ("print(%s)"):format(table.concat(list, ", "))
end

-- The types of records, and what is done with each.
local function lines_text(sites, json)
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
      site.members[1] and ("    local r = Line_%d:decode(bytes)\n"):format(n) or "", line_text(site, json))
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

-- The script ----------------------------------------------------------------------------------------------------------

local RESERVED <const> = {}
for name in ([[bpf map helper obj began ended lines log2 linear note tables gathered is_before rows_of sorted_buckets
  clear members print_table print_gathered handlers reader names names_over variables by_map timers probes signals
  deadline events stack_text process_of processes user_symbol as_is escaped frames followed
  is_alive ending_signals write]]):gmatch("%S+") do
  RESERVED[name] = true
end

local function check(trace, options, names)
  for _, name in ipairs { "command", "follow" } do
    if options[name] then
      fail("a script has no option '%s', as it starts and follows no process: use --pid, --cgroup or --where", name)
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

-- A name for the program of a probe, after the end of its place: that of a function, of a tracepoint.
local function program_name(place, taken)
  local name = place:match("[^/:]*/[0-9.]+$") or place:match("[^/:]+$")
  name = name:gsub("[^A-Za-z_0-9]", "_"):gsub("^[0-9]", "_%0")
  name = parse.is_keyword(name) and name .. "_" or name
  taken[name] = (taken[name] or 0) + 1
  return taken[name] > 1 and ("%s_%d"):format(name, taken[name]) or name
end

-- The programs, one for each probe; those of perf events are attached by CPU.
local function programs_text(trace, calls, state)
  local out, events, titles, taken = {}, {}, {}, {}
  for _, body in ipairs(trace.bodies) do
    for _, member in ipairs(body.members) do
      local n = #out + 1
      local probe = member.probe
      local name = program_name(probe.event and probe.title or probe.section, taken)
      titles[n] = ("  %q,\n"):format(probe.title)
      out[n] = ("  %s = { %q, %s },\n"):format(name, probe.section,
        translate.body(body, calls[body], { section = probe.section, number = n }, state):gsub("\n", "\n  "))
      local e = probe.event
      events[n] = e and ("  %s = { type = %q, config = %q, sample_period = %d, cpu = %s },\n"):format(name, e.type,
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
io.stdout:setvbuf("line")
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
local function stack_DEPTH(id, pid) return stack_text(stacks_DEPTH, id, pid) end
]]

local FOLLOWED <const> = [[
local followed <close> = assert(map.create { type = "cgroup_array", max_entries = 1 })
assert(map.update(followed, 0, %q))
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
  local json = options.json
  local types_of_lines, handlers = lines_text(state.sites, json)
  local maps = maps_text(names, result.shared, trace.plan)
  local out = { header(options), plain.functions(trace.plain), titles, maps, types_of_lines }
  local function add(text, ...)
    out[#out + 1] = select("#", ...) > 0 and text:format(...) or text
  end
  add(next(state.depths) and template.process .. template.stack or "")
  for depth = 1, DEEPEST do
    add(state.depths[depth] and (STACK:gsub("DEPTH", depth)) or "")
  end
  add(options.cgroup and FOLLOWED:format(options.cgroup) or "")
  add(result.exits and 'local ended = bpf.var "struct { _Bool value; }"\n' or "")
  for _, row in ipairs(template.program) do
    add(state.uses[row[1]] and "\n" .. row[2] or "")
  end
  out[#out + 1] = "\nlocal obj <close> = assert(bpf.programs {\n" .. programs .. "})\n\n"
  local tables = "\n" .. tables_text(names, result.shared, trace.plan, json) .. handlers
  add(template.rows)
  add(tables:find("user_symbol", 1, true) and not next(state.depths) and template.process or "")
  for _, row in ipairs(template.values) do
    add(tables:find(row[1], 1, true) and row[2] .. "\n" or "")
  end
  add(template.print[json and "json" or "text"])
  add(trace.plain[1] and template.clear or "")
  add(tables)
  add(template.gathered)
  out[#out + 1] = plain.environment(trace.plain, names, result.shared, json)
  out[#out + 1] = "\n-- The run " .. ("-"):rep(107) .. "\n\n"
  out[#out + 1] = plain.calls(trace.plain, "begin")
  add(template.signals)
  out[#out + 1] = "local events <const> = {\n" .. events .. "}\n" .. ATTACH
  out[#out + 1] = "local timers <const> = {\n" .. plain.timers(trace.plain, options) .. "}\n"
  add("local deadline = %s\n", options.seconds and ("bpf.clock() + %d"):format(options.seconds * 1000000000 // 1 | 0)
    or "nil")
  add(options.pid and template.alive:gsub("PID", options.pid) or "")
  add("local function names_over() return %s%s%s end\n", trace.plain[1] and "names.over" or "false",
    result.exits and " or obj.vars.ended.value" or "", options.pid and " or not is_alive()" or "")
  add(LOOP, state.sites[1] and "reader:poll(100)" or "bpf.sleep(0.1)")
  add(state.sites[1] and "reader:consume()\n" or "")
  add(trace.plain[1] and "names.ending = true\n" or "")
  out[#out + 1] = plain.calls(trace.plain, "end")
  add("print_gathered()\n")
  return table.concat(out)
end

return emit

-- SPDX-License-Identifier: MIT
-- What bodies print: records through one ring buffer, which the tool formats. Each call of print or printf is a site:
-- its record is the site's number and the values that aren't constants.

local core = require("bpf.core")
local argument = require("bpf.base.argument")
local Compiler = require("bpf.program.compiler")
local counted = require("bpf.base.number").counted
local declared = require("bpf.program.declared")
local printf = require("bpf.trace.printf")
local gather = require("bpf.trace.gather")
local keys = require("bpf.trace.tables.keys")
local types = require("bpf.trace.types")
local values = require("bpf.program.values")
local sorted = require("bpf.base.sorted")
require("bpf.program") -- whose compiler knows the helpers

local error = argument.error

local events = {}

local RING <const> = 1 << 20
local LOOKUP <const> = 1 -- the helper's number
local EXIT <const> = 0 -- the site of exit()
events.SHARED = "shared_" -- what the names of shared variables begin with in the object
local FLAG <const> = "trace_ended" -- the variable that exit() sets

-- What a value is -----------------------------------------------------------------------------------------------------

-- What is there for sure: where it is nil, this run of the body ends.
local function present(c, v)
  if v.kind == "optional" and not v.bool then
    c:end_if("eq", v.present, 0)
    return values.integer(v.r, v.positive, v.most)
  elseif v.kind == "pointer" and v.null and v.type.kind == "chars" then
    c:end_if("eq", v.r, 0)
    return values.narrowed({ v }, v, true)[1]
  end
  return v
end

local function is_chars(v)
  return (v.kind == "pending" or v.kind == "text" or v.kind == "buffer" or v.kind == "pointer")
    and v.type.kind == "chars"
end

local function is_constant(v)
  return v.kind == "constant" or v.kind == "integer" and math.type(v.r) ~= nil
end

-- The type of a value that the inference tells nothing of.
local function type_of(v)
  if is_chars(v) then
    return v.type.text == false and types.bytes(v.type.size) or types.string(v.type.size)
  elseif v.kind == "boolean" then
    return types.boolean
  end
  return types.integer(v.kind == "pointer" and (v.space == "user" and "user address" or "kernel address") or nil)
end

-- A type that says how the value is kept.
local function known(type)
  return type and type.kind ~= "unknown" and type.kind ~= "nil" and type or nil
end

-- Programs ------------------------------------------------------------------------------------------------------------

local of_body = setmetatable({}, { __mode = "k" }) -- { function of a body → { state, calls } }

-- What a trace prints, and its maps: `sites` by number.
function events.new()
  return {
    sites = {}, by_place = {},
    flag = core.var "struct { __u8 up; }",
    ring = declared.declare { type = "ringbuf", name = "trace_events", max_entries = RING },
    lost = declared.declare { type = "percpu_array", name = "trace_lost", value = "__u64", max_entries = 1 },
  }
end

-- Tells what the inference knows of the calls in a body, by their pc.
function events.add(state, fn, calls)
  of_body[fn] = { state = state, calls = calls or {} }
end

-- What each program of a trace begins with: where a body calls exit() (`state.exits`), it ends at once when that was
-- done. `shared` has the bpf.vars of shared variables by their names.
function events.enter(state, shared)
  local names = sorted.keys(shared)
  return function(c)
    for _, name in ipairs(names) do
      c.unit:variable_of(shared[name], events.SHARED .. name)
    end
    if state.exits then
      c:end_if("ne", c.f:load(c.f:variable(c.unit:variable_of(state.flag, FLAG), 0), 0, 1), 0)
    end
  end
end

-- The tool ends, and the bodies that run in the kernel with it.
function events.exit(state, vars)
  state.ended = true
  if state.exits and vars[FLAG] then
    vars[FLAG] = { up = 1 }
  end
end

-- Whether exit() was called. Its record may have found no room in the ring.
function events.has_ended(state, vars)
  return state.ended or state.exits and vars[FLAG] and vars[FLAG].up ~= 0
end

local function body_here(c)
  for fn, proto in pairs(c.unit.protos) do
    if proto == c.root.proto and of_body[fn] then
      return of_body[fn]
    end
  end
  c:fail("print and printf are for the bodies of a trace")
end

-- The site that is being compiled. It keeps its number in all rounds of the analysis.
local function site_here(c, state)
  local places = state.by_place[c.proto] or {}
  state.by_place[c.proto] = places
  if not places[c.pc] then
    places[c.pc] = { number = #state.sites + 1 }
    table.insert(state.sites, places[c.pc])
  end
  return places[c.pc]
end

-- Counts a record that found no room.
local function count_lost(c, state)
  local f, key = c.f, c.f:object(8)
  f:store(key, 0, 4, 0)
  local r = f:call(LOOKUP, c:map_reference(state.lost), { object = key, offset = 0 })
  c:when("ne", r, 0, function() f:atomic("add", r, 0, 8, f:move(f:register(), 1)) end)
  f:release(key)
end

local function send(c, state, ctype, fields, order)
  local record = { kind = "table", fields = fields, order = order }
  local sent = c:call_helper("ringbuf_output", { values.constant(state.ring), values.constant(ctype), record })
  c:when("ne", sent.r, 0, function() count_lost(c, state) end)
end

-- The C text of a member.
local function member_text(type, name)
  if type.kind == "pointer" then
    return "__u64 " .. name
  end
  return types.c(type, name) or "__u64 " .. name
end

-- The value of a member, as it is written.
local function member_value(c, v, type)
  if type.kind == "integer" or type.kind == "pointer" then
    return values.integer(c:scalar(v, "print"))
  end
  return v
end

-- The string of an entry that may be absent, copied, and whether it is there.
local function string_or_nil(c, v)
  local f, object = c.f, c:stable_object(v.type.size)
  local here = f:move(f:register(), 0)
  c:clear(object, 0, object.size)
  c:when("ne", v.r, 0, function()
    c:copy(object, 0, v, v.type.size)
    f:move(here, 1)
  end)
  return { kind = "buffer", object = object, offset = 0, type = v.type }, values.integer(here)
end

-- The number, boolean or string of an entry that may be absent, and whether it is there. Where only a number will do,
-- this run of the body ends without it.
local function may_be_nil(c, v, is_number)
  if v.kind == "optional" and not is_number then
    local plain = v.bool and { kind = "boolean", r = v.r } or values.integer(v.r, v.positive, v.most)
    return plain, values.integer(v.present)
  elseif v.kind == "pointer" and v.null and v.type.kind == "chars" then
    return string_or_nil(c, v)
  end
  return present(c, v)
end

-- Sends the values from `first` on. Their types are the inference's, or by what they are here. `numbers` has the
-- places that take numbers only.
local function send_values(c, site, body, arguments, first, numbers)
  local call = body.calls[c.pc] or {}
  local fields, order, text = { site = values.constant(site.number) }, { "site" }, { "__u32 site; __u32 pad; " }
  site.values = {}
  for n = first, #arguments do
    local k = n - first + 1
    local v, here = may_be_nil(c, arguments[n], numbers and numbers[k])
    local type = known(call.keys and call.keys[n])
    if is_constant(v) then
      local constant = v.r
      if v.kind == "constant" then
        constant = v.value
      end
      type = type and type.meaning and math.type(constant) and type or { kind = "constant" }
      site.values[k] = { constant = constant, type = type }
    else
      local name = "a" .. k
      type = type or type_of(v)
      site.values[k] = { name = name, type = type }
      text[#text + 1] = member_text(type, name) .. "; "
      order[#order + 1], fields[name] = name, member_value(c, v, type)
      if here then
        local there = name .. "_here"
        site.values[k].here = there
        text[#text + 1] = "__u64 " .. there .. "; "
        order[#order + 1], fields[there] = there, here
      end
      if types.of_process(type) then
        local pid = name .. "_pid"
        site.values[k].pid = pid
        text[#text + 1] = "__u64 " .. pid .. "; "
        order[#order + 1], fields[pid] = pid, values.integer(gather.process_here(c))
      end
    end
  end
  site.count = #arguments - first + 1
  site.type = core.btf.type("struct { " .. table.concat(text) .. "}")
  send(c, body.state, site.type, fields, order)
  return values.NIL
end

local function check_format(c, site, given, arguments)
  local ok, parts, count = pcall(printf.read, given)
  if not ok then
    c:fail("%s", parts.trace or parts)
  elseif count ~= #arguments - 1 then
    c:fail("printf: the format has %s, and %s behind it", counted(count, "conversion"),
      counted(#arguments - 1, "value stands", "values stand"))
  end
  for n, conversion in ipairs(printf.conversions(parts)) do
    local v = arguments[n + 1]
    if printf.is_number(conversion) and (is_chars(v) or v.kind == "constant" and type(v.value) == "string") then
      c:fail("printf: %%%s takes a number, and value %d is a string: %%s", conversion, n)
    end
  end
  site.format = parts
end

local rows = {}

function rows.print(c, arguments)
  local body = body_here(c)
  return send_values(c, site_here(c, body.state), body, arguments, 1)
end

function rows.printf(c, arguments)
  local body, given = body_here(c), arguments[1]
  if not given or given.kind ~= "constant" or type(given.value) ~= "string" then
    c:fail("printf: the format must be a constant string")
  end
  local site = site_here(c, body.state)
  check_format(c, site, given.value, arguments)
  local numbers = {}
  for n, conversion in ipairs(printf.conversions(site.format)) do
    numbers[n] = printf.is_number(conversion)
  end
  return send_values(c, site, body, arguments, 2, numbers)
end

-- The flag is up: every run of a body that begins from now on ends at once. The record wakes the tool.
function rows.exit(c)
  local body = body_here(c)
  local flag = c.unit:variable_of(body.state.flag, FLAG)
  c.f:store(c.f:variable(flag, 0), 0, 1, 1)
  local ctype = core.btf.type("struct { __u32 site; __u32 pad; }")
  send(c, body.state, ctype, { site = values.constant(EXIT) }, { "site" })
  c:abort()
end

-- The functions that bodies call, by their words.
events.words = {}
for word, compile in pairs(rows) do
  local function fn()
    error(word .. " prints from a program: it can't be called here", 2)
  end
  events.words[word] = fn
  Compiler.intrinsics[fn] = compile
end

-- The tool ------------------------------------------------------------------------------------------------------------

local FRAME <const> = "    " -- before each function of a stack

-- The text of a value by its type, as in tables. `context` may have the tool's own names, as theirs. `pid` is the
-- process of what means something in its process only, `place` has how deep a stack is.
function events.show(type, value, context, pid, place)
  context = context or { processes = {} }
  if keys.is_stack(type) then
    return FRAME .. table.concat(keys.frames(place, value, pid, context), "\n" .. FRAME)
  end
  return value == nil and "nil" or keys.text(type, value, context, pid)
end

-- The function that makes a site's records lines. What is known before the first record is done here, as there may
-- be very many.
local function liner(site, show)
  local places, list, line = site.values, {}, site.format and printf.compile(site.format)
  local pids = {}
  local function text(n)
    local value, type = list[n], places[n].type
    return type.kind == "string" and not type.cut and value or show(type, value, pids[n], places[n])
  end
  return function(record)
    for n = 1, site.count do
      local place = places[n]
      if place.here and record[place.here] == 0 then
        list[n] = nil
      elseif place.name then
        list[n], pids[n] = record[place.name], place.pid and record[place.pid]
      else
        list[n] = place.constant
      end
    end
    if line then
      return line(list, text)
    end
    local texts = {}
    for n = 1, site.count do
      texts[n] = (n == 1 and "" or keys.is_stack(places[n].type) and "\n" or "\t") .. text(n)
    end
    return table.concat(texts) .. "\n"
  end
end

-- Opens the reader of what a loaded trace prints: `write(text)` gets each line. The reader's owner asks
-- `state.ended` whether a body has called exit().
function events.reader(state, maps, write, show)
  show = show or events.show
  return core.ringbuf(maps.trace_events, nil, function(bytes)
    local number = ("=I4"):unpack(bytes)
    local site = state.sites[number]
    if state.ended then
      return
    elseif number == EXIT then
      state.ended = true
    elseif site then
      site.line = site.line or liner(site, show)
      write(site.line(site.type:decode(bytes)))
    end
  end)
end

-- How many records found no room.
function events.count_lost(maps)
  return maps.trace_lost and core.map.sum(maps.trace_lost, 0) or 0
end


return events

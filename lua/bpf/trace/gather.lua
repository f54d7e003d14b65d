-- SPDX-License-Identifier: MIT
-- What gathers, in programs: the maps that the calls of count, hist and the others need, and their code.
local core = require("bpf.core")
local Compiler = require("bpf.program.compiler")
local concepts = require("bpf.trace.concepts")
local counted = require("bpf.base.number").counted
local declared = require("bpf.program.declared")
local titles = require("bpf.trace.infer.titles")
local types = require("bpf.trace.types")
local losses = require("bpf.trace.losses")
local values = require("bpf.program.values")
local fail = require("bpf.trace.failure").wrong

local gather = {}

-- Helpers, by their numbers.
local LOOKUP <const>, UPDATE <const>, GET_CURRENT_PID_TGID <const> = 1, 2, 14
local NOEXIST <const> = 1

-- Sizes, where options give none.
local ENTRIES <const>, BUCKETS_PER_KEY <const>, MOST_STEPS <const> = 10240, 8, 4096

-- Keys ----------------------------------------------------------------------------------------------------------------

-- The C type of a key's part by its kind, and its text behind the name.
local MEMBERS = {
  integer = function() return "__s64", "" end,
  pointer = function() return "__u64", "" end,
  boolean = function() return "__u8", "" end,
  kstack = function() return "__s32", "" end,
  ustack = function() return "__s32", "" end,
  string = function(type) return "char", ("[%d]"):format(type.size) end,
  bytes = function(type) return "unsigned char", ("[%d]"):format(type.size) end,
  address = function(type) return "unsigned char", ("[%d]"):format(type.size) end,
}

-- The parts of keys: a record's members are parts of their own.
local function parts_of(keys)
  local parts = {}
  for n, type in ipairs(keys) do
    if type.kind == "record" then
      for _, name in ipairs(type.order) do
        parts[#parts + 1] = { argument = n, field = name, type = type.members[name] }
      end
    else
      parts[#parts + 1] = { argument = n, type = type }
    end
  end
  return parts
end

-- The type of a part in two calls of one table: the longer string; a meaning that both have.
local function join(a, b, title)
  if a.kind ~= b.kind then
    fail("%s: a key is %s here and %s elsewhere", title, b.kind, a.kind)
  elseif a.size then
    return a.size >= b.size and a or b
  elseif a.kind == "integer" and a.meaning ~= b.meaning then
    return { kind = "integer" }
  end
  return a
end

-- The C text of a key. What means something in its process only is known with the process.
local function key_text(parts, bucket)
  local text = {}
  for n, part in ipairs(parts) do
    local make = MEMBERS[part.type.kind] or fail("a %s can't be a key", part.type.kind)
    local before, behind = make(part.type)
    text[#text + 1] = ("%s k%d%s;"):format(before, n, behind)
    if types.of_process(part.type) then
      text[#text + 1] = ("__u32 k%d_pid;"):format(n)
    end
  end
  if bucket then
    text[#text + 1] = "__u32 bucket;"
  end
  return "struct { " .. table.concat(text, " ") .. " }"
end

-- Tables --------------------------------------------------------------------------------------------------------------

-- The constants of lhist, of which there are three, or the value before them as well.
local function limits_of(call, concept)
  if not concept.constants then
    return nil
  end
  local given, limits = call.arguments or {}, {}
  local before = given[#concept.constants + 1] ~= nil and 1 or 0
  for n, name in ipairs(concept.constants) do
    limits[name] = math.tointeger(given[n + before] or given[name])
  end
  if not (limits.first and limits.last and limits.step) then
    fail("%s: lhist(n, first, last, step): the last three must be constant integers", call.title)
  elseif limits.step <= 0 or limits.last <= limits.first then
    fail("%s: lhist(n, first, last, step): the step must be above 0, and last above first", call.place or call.title)
  elseif concept.buckets(limits) > MOST_STEPS then
    fail("%s: lhist has %d buckets, and at most %d are possible: take a larger step", call.place or call.title,
      concept.buckets(limits), MOST_STEPS)
  end
  return limits
end

local function new_table(call, concept)
  return {
    word = call.word, name = call.name, title = call.name or call.title, concept = concept,
    written = call.written or titles.parts(call.title), parts = parts_of(call.keys), value = call.value,
    limits = limits_of(call, concept),
  }
end

-- Adds what another call of the same table has.
local function unite(t, call, concept)
  local parts, limits = parts_of(call.keys), limits_of(call, concept)
  if t.word ~= call.word then
    fail("%s: %s here and %s elsewhere: give one of them another name", t.title, call.word, t.word)
  elseif #parts ~= #t.parts then
    fail("%s: %s here and %d elsewhere", t.title, counted(#parts, "key"), #t.parts)
  end
  for n, part in ipairs(parts) do
    t.parts[n].type = join(t.parts[n].type, part.type, t.title)
  end
  for name, n in pairs(limits or {}) do
    if t.limits[name] ~= n then
      fail("%s: the steps of lhist differ: give one of them another name", t.title)
    end
  end
  if t.value and call.value and t.value.meaning ~= call.value.meaning then
    t.value = { kind = "integer" }
  end
end

-- The calls of a body in the order of the code.
local function ordered(calls)
  local list = {}
  for pc, call in pairs(calls or {}) do
    if concepts[call.word] then
      list[#list + 1] = pc
    end
  end
  table.sort(list)
  return list
end

-- A table without buckets has its entries from the start where they take no more bytes than this: programs may run
-- where the kernel can't make one, as with interrupts disabled, and a value would be lost.
local MOST_BYTES <const> = 16 << 20
local OVERHEAD <const> = 64 -- bytes of an entry, beside key and values

-- Before 6.1, programs of perf events take only hashes whose entries are there from the start.
local function need_prealloc(bodies)
  local major, minor = core.features.kernel():match("^(%d+)%.(%d+)")
  if tonumber(major) * 1000 + tonumber(minor) >= 6001 then
    return false
  end
  for _, body in ipairs(bodies) do
    if (body.section or body.title):find("^perf_event") then
      return true
    end
  end
  return false
end

-- Whether a table's entries are there from the start.
local function preallocates(t, options)
  local bytes = OVERHEAD + 8 * #t.concept.members * core.features.cpus()
  return options.preallocate or not t.concept.buckets and options.entries * bytes <= MOST_BYTES
end

-- The map of a table: an array where there is no key but a bucket.
local function declare(t, name, options)
  local concept, members = t.concept, {}
  for n, member in ipairs(concept.members) do
    members[n] = ("__%s64 %s;"):format(member == "count" and "u" or "s", member)
  end
  local of = { name = name, value = "struct { " .. table.concat(members, " ") .. " }" }
  if #t.parts == 0 then
    of.type, of.max_entries = "percpu_array", concept.buckets and concept.buckets(t.limits) or 1
  else
    of.type, of.flags = "percpu_hash", not preallocates(t, options) and "no_prealloc" or nil
    of.key = key_text(t.parts, concept.buckets)
    of.max_entries = options.entries * (concept.buckets and BUCKETS_PER_KEY or 1)
  end
  t.declared, t.map_name = declared.declare(of), name
end

-- Names of other maps of a trace.
local OTHERS <const> = { gather_lost = true, trace_divided = true, scratch = true, trace_events = true }
local LONGEST_NAME <const> = 15

-- A name that no other map has.
local function name_of(t, taken)
  local own = t.name
  if own and #own <= LONGEST_NAME and not OTHERS[own] and not own:find("^stacks_") then
    return own
  end
  local name = ("%s_%d"):format(t.word, t.number)
  while taken[name] do
    name = name .. "_"
  end
  return name
end

-- Calls by the function of their body. Whoever compiles a body's function finds them here.
local calls_of = setmetatable({}, { __mode = "k" })

--- Makes the tables of a trace. `bodies` is a sequence of `{ fn, title, section, … }`, `calls` has those of each:
-- `{ body → { pc → call } }`. Returns `{ tables = sequence and by name, lost = declared map }`; the functions of the
-- bodies can be compiled then.
-- @tparam table options `entries`, how many keys a table may have; `shared`, a sequence of the names that bodies share
function gather.plan(bodies, calls, options)
  options = options or {}
  local plan = { tables = {} }
  for _, body in ipairs(bodies) do
    local by_pc = {}
    for _, pc in ipairs(ordered(calls[body])) do
      local call = calls[body][pc]
      local concept, title = concepts[call.word], call.name or call.title
      local t = plan.tables[title]
      if t then
        unite(t, call, concept)
      else
        t = new_table(call, concept)
        plan.tables[#plan.tables + 1], plan.tables[title] = t, t
        t.number = #plan.tables
      end
      by_pc[pc] = { table = t, plan = plan }
    end
    calls_of[body.fn] = by_pc
  end
  local preallocate = options.preallocate
  if preallocate == nil then
    preallocate = need_prealloc(bodies)
  end
  local taken = {}
  for _, name in ipairs(options.shared or {}) do
    taken[name] = true
  end
  for _, t in ipairs(plan.tables) do
    declare(t, name_of(t, taken), { preallocate = preallocate, entries = options.entries or ENTRIES })
  end
  plan.shared = options.shared or {} -- whose losses are counted behind those of the tables
  local count = #plan.tables + #plan.shared
  plan.lost = count > 0 and losses.declare(count) or nil
  return plan
end

-- In programs ---------------------------------------------------------------------------------------------------------

-- The call that is being compiled.
local function call_here(c)
  for fn, proto in pairs(c.unit.protos) do
    local calls = proto == c.proto and calls_of[fn]
    if calls then
      return calls[c.pc]
    end
  end
end

-- What is there for sure: where it is nil, this run of the body ends, as it would by an error of Lua's.
local function present(c, v)
  if v.kind == "optional" and not v.bool then
    c:end_if("eq", v.present, 0)
    return values.integer(v.r, v.positive, v.most)
  elseif v.kind == "pointer" and v.null then
    c:end_if("eq", v.r, 0)
    return values.narrowed({ v }, v, true)[1]
  end
  return v
end

-- The number that is gathered, in a register.
local function number_of(c, v, word)
  v = present(c, v or values.NIL)
  if values.is_nil(v) then
    c:fail("%s: a number is expected in front of the keys", word)
  end
  local r = c:scalar(v, word)
  return math.type(r) and c.f:move(c.f:register(), r) or r
end

-- What stands for a part of a key: an argument, or a member of one.
local function part_value(c, part, arguments, first)
  local v, field = arguments[first + part.argument - 1], part.field
  if not v or field == nil then
    return v
  elseif v.kind == "table" then
    return v.fields[field] or v.fields[math.tointeger(field:match("^_([0-9]+)$"))] or values.constant(0)
  end
  v = present(c, v)
  local member = v.type and v.type.members and v.type.members[field]
  if not member then
    c:fail("a key: the members of %s aren't known", values.describe(v))
  end
  local base, offset = c:place(v)
  return c:read(member.type, base, offset + member.offset, v.space, member)
end

-- The id of the process, in the tool's own namespace where the program knows of it.
function gather.process_here(c)
  if c.root.traced then
    return require("bpf.trace.words").rows.pid.read(c).r
  end
  return c.f:alu("rsh", c.f:call(GET_CURRENT_PID_TGID), 32)
end

-- The key on the stack.
local function key_of(c, t, arguments, first, bucket)
  local f, list = c.f, {}
  if #t.parts == 0 then
    local object = f:object(8)
    f:store(object, 0, 4, bucket or 0)
    return object
  end
  local form = c.unit:info_of(t.declared).key
  for n, part in ipairs(t.parts) do
    local v = part_value(c, part, arguments, first)
    list[n] = present(c, v or c:fail("%s: a key is missing", t.word))
  end
  local object = f:object(form.size)
  c:clear(object, 0, object.size)
  c.for_key = true
  for n, part in ipairs(t.parts) do
    local member = form.members["k" .. n]
    c:write(member.type, object, member.offset, list[n], "key", true)
    if types.of_process(part.type) then
      f:store(object, form.members[("k%d_pid"):format(n)].offset, 4, gather.process_here(c))
    end
  end
  c.for_key = nil
  if bucket then
    f:store(object, form.members.bucket.offset, 4, bucket)
  end
  return object
end

-- Goes on at a block with the address of this CPU's part of an entry, which is made where it is absent; or at `none`,
-- where the second result has the kernel's error.
local function find_entry(c, t, key, there, none)
  local f, entry, absent = c.f, c.f:register(), c.f:block()
  local why = f:move(f:register(), 0)
  local at = { object = key, offset = 0 }
  f:move(entry, f:call(LOOKUP, c:map_reference(t.declared), at))
  if #t.parts == 0 then -- an array's entries are always there
    f:branch("ne", entry, 0, there, none)
    return entry, why
  end
  f:branch("ne", entry, 0, there, absent)
  f:start(absent)
  local size = 8 * #t.concept.members
  local zeros = f:object(size)
  c:clear(zeros, 0, size)
  f:move(why, f:call(UPDATE, c:map_reference(t.declared), at, { object = zeros, offset = 0 }, NOEXIST))
  f:release(zeros)
  f:move(entry, f:call(LOOKUP, c:map_reference(t.declared), at))
  f:branch("ne", entry, 0, there, none)
  return entry, why
end

local function compile(c, arguments, word)
  local call = call_here(c)
  if not call then
    c:fail("%s gathers in a trace only", word)
  end
  local t, f = call.table, c.f
  local concept = t.concept
  local n = concept.value and number_of(c, arguments[1], word) or nil
  local first = 1 + (concept.value and 1 or 0) + (concept.constants and #concept.constants or 0)
  local bucket = concept.bucket and concept.bucket(c, n, t.limits)
  local key = key_of(c, t, arguments, first, bucket)
  local there, none, behind = f:block(), f:block(), f:block()
  local entry, why = find_entry(c, t, key, there, none)
  f:start(there)
  n = concept.value and n or f:move(f:register(), 1)
  concept.step(c, entry, n)
  f:jump(behind)
  f:start(none)
  losses.count(c, call.plan.lost, t.number, why)
  f:jump(behind)
  f:start(behind)
  f:release(key)
  return values.NIL
end

-- The functions that bodies call, by their words. They mean something in programs only.
gather.words = {}
for word in pairs(concepts) do
  local function fn()
    error(word .. " gathers in the kernel: it can't be called here", 2)
  end
  gather.words[word] = fn
  Compiler.intrinsics[fn] = function(c, arguments) return compile(c, arguments, word) end
end

return gather

-- SPDX-License-Identifier: MIT
-- A body as the types of its registers: each instruction is read with what is known before it, until that settles.
local calls = require("bpf.trace.infer.calls")
local counted = require("bpf.base.number").counted
local flow = require("bpf.program.flow")
local instructions = require("bpf.trace.infer.instructions")
local keys = require("bpf.trace.tables.keys")
local sorted = require("bpf.base.sorted")
local types = require("bpf.trace.types")
local undump = require("bpf.program.undump")

-- A value in a register: { type, constant }, and what it is if it is more than its type:
-- - shared: a row of the ledger; from: the row whose entry it is; needs: the row without whose entry it is absent
-- - word, row: a function at hand; callable: it is a value as well; library: a function of Lua's or a table of them
-- - call: what gathers; fresh: a table that the body makes; mixed: the two types that met
-- - pairs, entries: that function, and the row whose entries it walks
-- - args, env
local Body = {}
Body.__index = Body

-- `proto`: a function that is made in the body, instead of the body itself.
function Body.new(body, ledger, names, proto)
  proto = proto or assert(undump.parse(body.fn))
  return setmetatable({
    body = body, ledger = ledger, names = names, proto = proto, outlined = {}, tool = body.tool,
    live = flow.liveness { proto = proto, outlined = {} },
  }, Body)
end

function Body:fail(format, ...)
  self.ledger.fail(self.place, format, ...)
end

-- Fails, unless the body is plain Lua that the tool runs.
function Body:refuse(...)
  if not self.tool then
    self:fail(...)
  end
end

-- Values --------------------------------------------------------------------------------------------------------------

-- The type of a value that is used as one: a shared name is a variable then.
function Body:type_of(value)
  local row = value.shared
  if row and row.own then
    return types.unknown
  elseif row then
    if not (self.tool and not row.variable) then
      self.ledger:use(row, "variable", self.place)
    end
    return row.value
  elseif value.call then
    self:fail("what %s gives can't be used", value.call.word)
  end
  return value.mixed and types.unknown or value.type
end

function Body:test(value)
  if not (value.shared and (value.shared.table or value.shared.gather)) then
    self:type_of(value)
  end
end

-- How to write a float as an integer. One that doesn't stand in the text is what Lua has calculated of others.
function Body:about_float(number)
  local integer, written = math.tointeger(number), nil
  for text in self.body.text:gmatch("[0-9][0-9.]*[eE]?[+-]?[0-9]*") do
    written = written or math.type(tonumber(text)) == "float" and tonumber(text) == number and text
  end
  if not written and self.body.text:find("[^/]/[^/]") then
    return instructions.FLOATS["/"]
  end
  return ("%s is a float%s"):format(written or number,
    integer and ": write " .. integer or ", and programs have integers only")
end

-- Refuses what has no place in keys and values, though its members have. `where`: what was to take it.
function Body:check_whole(where, value, t)
  local count = t.count or t.type == "array" and t.form and t.form.count
  if value.args then
    self:refuse("%s: args has members: args.NAME", where)
  elseif value.word then
    self:refuse("%s: '%s' is a function", where, value.word)
  elseif count then
    self:refuse("%s: an array of %d%s: say which, [1] to [%d]", where, count, t.count and " numbers" or "", count)
  end
end

local NUMBERS = { integer = true, pointer = true, unknown = true, ["nil"] = true }

-- Notes that the body ends here if a table has no entries. `registers.ended` has such tables, on all paths.
function Body:end_without(row)
  local ended = { [row] = true }
  for other in pairs(self.registers.ended or {}) do
    ended[other] = true
  end
  self.registers.ended = ended
end

-- Notes a place where something is stored in a table: whether that may be the first entry.
function Body:note_store(row)
  if self.tool or not (self.registers.ended or {})[row] then
    row.begun = true
  else
    row.ending = row.ending or self.body
  end
end

-- Something that is calculated with.
function Body:number(value)
  local t = self:type_of(value)
  if value.needs then
    self:end_without(value.needs)
  end
  if math.type(value.constant) == "float" then
    self:refuse("%s", self:about_float(value.constant))
  elseif self.strict and not NUMBERS[t.kind] then
    self:refuse("arithmetic on %s", types.describe(t))
  end
end

local COMPARED = {
  integer = "number", pointer = "number", string = "string", bytes = "bytes", boolean = "boolean",
  address = "address", kstack = "kstack", ustack = "ustack",
}

-- The first words of meanings.
local PRINTED_AS_NAMES <const> = {
  errno = true, signal = true, syscall = true, cgroup = true, uid = true, enum = true, symbolic = true,
}

function Body:compare(a, b)
  local s, t = self:type_of(a), self:type_of(b)
  local left, right = COMPARED[s.kind], COMPARED[t.kind]
  if self.strict and left and right and left ~= right then
    local meaning = right == "string" and s.meaning or left == "string" and t.meaning
    self:refuse("%s compared with %s%s", types.describe(s), types.describe(t),
      meaning and PRINTED_AS_NAMES[meaning:match("^%S+")] and ": its name is only printed, so compare the number" or "")
  end
end

-- Names ---------------------------------------------------------------------------------------------------------------

-- The names of functions at hand, for messages.
function Body:function_names()
  local list = {}
  for _, set in ipairs { calls.words(), self.names } do
    for name, row in pairs(set) do
      if row == true or row.returns then
        list[#list + 1] = name
      end
    end
  end
  return list
end

function Body:is_taken(name)
  return self.names[name] ~= nil or calls.is_word(name) or name == "ret" or name == "pairs"
    or name:find("^arg[0-9]+$") ~= nil
end

local OF_TOOL = { nsecs = true, elapsed = true, enum = true, time = true, ip = true }
for name in pairs(keys.FUNCTIONS) do
  OF_TOOL[name] = true
end

local function value_at_hand(self, name, row)
  if self.tool and not row.library and not OF_TOOL[name] then
    self:fail("'%s' is there in an event only, and begin, end and every are none", name)
  end
  if row.library then
    return { type = types.unknown, library = row.library }
  end
  local t = row.kind and row or row.type
  if type(t) == "function" then
    t = t(self.body)
  end
  return t and { type = t, callable = row.returns and true or nil } or { type = types.unknown, word = name, row = row }
end

-- The row of a shared name. One that no program has is plain Lua's own, and may be anything.
function Body:shared_row(name)
  local row = self.ledger:row(name, self.place)
  row.own = self.tool and not self.ledger.used[name] or nil
  return row
end

-- What a global is.
function Body:global(name)
  local row = self.names[name]
  if calls.is_word(name) then
    return { type = types.unknown, word = name }
  elseif name == "ret" and self.body.result then
    return { type = self.body.result }
  elseif row then
    return value_at_hand(self, name, row)
  elseif name == "ret" or name:find("^arg[0-9]+$") then
    return { type = types.integer() }
  elseif name == "pairs" then
    return { type = types.unknown, pairs = true }
  elseif self.tool and _G[name] ~= nil and not self.ledger.used[name] then
    return { type = types.unknown, library = true }
  end
  return { type = types.unknown, shared = self:shared_row(name) }
end

function Body:set_global(name, value)
  if self:is_taken(name) then
    self:fail("'%s' is taken: it is at hand in every body", name)
  end
  local row = self:shared_row(name)
  if row.own then
    row.stored = true
    return
  elseif value.call then
    self.ledger:use(row, "gather", self.place)
    self.calls[value.call.pc].name = name
    return
  elseif value.fresh and #value.type.order == 0 then
    if not self.tool then
      self:fail("'%s' needs no {}: a shared table is there, and clear(%s) in `every` and `end` empties it", name, name)
    end
    return self.ledger:use(row, "table", self.place)
  end
  self.ledger:use(row, "variable", self.place)
  self:keep(row, value)
end

-- Notes what is stored in a table or variable.
function Body:keep(row, value)
  if value.word then
    self:fail("a function (%s) can't be stored in '%s'", value.word, row.name)
  elseif value.mixed then
    self:fail("different things on different paths: %s, %s", types.describe(value.mixed[1]),
      types.describe(value.mixed[2]))
  elseif math.type(value.constant) == "float" then
    self:fail("%s", self:about_float(value.constant))
  end
  local t = self:type_of(value)
  self:check_whole(row.name, value, t)
  if t.kind ~= "nil" then
    row.stored, row.plain = true, row.plain or self.tool
    self.ledger:put(row, "value", t, self.place)
  end
end

-- Tables --------------------------------------------------------------------------------------------------------------

function Body:use_key(row, key)
  self.ledger:use(row, "table", self.place)
  if key.mixed then
    self:fail("%s's keys: different things on different paths: %s, %s", row.name, types.describe(key.mixed[1]),
      types.describe(key.mixed[2]))
  elseif math.type(key.constant) == "float" then
    self:fail("%s", self:about_float(key.constant))
  end
  local t = self:type_of(key)
  self:check_whole(row.name, key, t)
  if self.settled then
    self.ledger:put(row, "key", t, self.place)
  end
end

local MOST_NAMED <const>, MOST_SHOWN <const> = 8, 16 -- probes, and arguments

-- Fails for an argument that a probe lacks: with all of a pattern that lack it, where others have it.
local function no_argument(self, name)
  local lacking, count, some = {}, 0, false
  for _, other in ipairs(self.ledger.bodies) do
    if other.text == self.body.text and other.arguments then
      local has = other.arguments[name] ~= nil
      some, count = some or has, count + (has and 0 or 1)
      if not has and count <= MOST_NAMED then
        lacking[#lacking + 1] = other.title
      end
    end
  end
  if some then
    local more = count > #lacking and (" and %d more"):format(count - #lacking) or ""
    self:fail("only some of these probes have an argument '%s'; without it: %s%s", name, table.concat(lacking, ", "),
      more)
  end
  local names = sorted.keys(self.body.arguments)
  local hint = self.ledger:hint(name, names)
  if hint == "" and names[1] then
    local more = #names > MOST_SHOWN and ", …" or ""
    hint = (" (arguments: %s%s)"):format(table.concat(names, ", ", 1, math.min(#names, MOST_SHOWN)), more)
  end
  self:fail("no argument '%s'%s", name, hint)
end

local function argument_of(self, key)
  local arguments, name = self.body.arguments, key.constant
  if not arguments then
    return { type = types.integer() }
  elseif type(name) ~= "string" then
    self:fail("args has names, which must be constants")
  elseif not arguments[name] then
    no_argument(self, name)
  end
  return { type = arguments[name] }
end

local function member_of_pointer(self, t, name)
  if type(name) ~= "string" then
    local element = t.form and t.form.element
    return { type = element and types.of_form(element, t.space) or t.type == "char" and types.integer() or t }
  end
  local member, names = types.member(t, name)
  if not member and names then
    self:fail("%s has no member '%s'%s", t.type, name, self.ledger:hint(name, names))
  end
  return { type = member or types.integer() }
end

local function member_of_record(self, t, name)
  name = math.type(name) and types.position(name) or name
  local member = t.members[name]
  if not member and self.strict then
    self:refuse("%s has no member '%s'%s", types.describe(t), name or "?",
      self.ledger:hint(tostring(name), table.move(t.order, 1, #t.order, 1, {})))
  end
  return { type = member or types.unknown }
end

-- An element of an array of numbers, as the args of raw_syscalls.
local function element_of_bytes(self, t, key)
  if not t.count and self.strict then
    self:refuse("%s has no members (%s)", types.describe(t), tostring(key))
  elseif t.count and key ~= nil and not (math.type(key) == "integer" and key >= 1 and key <= t.count) then
    self:refuse("an array of %s has [1] to [%d], and no [%s]", counted(t.count, "number"), t.count, tostring(key))
  end
  return { type = t.count and types.integer() or types.unknown }
end

-- A function of Lua's, or one of its constants.
local function member_of_library(library, name)
  local member = type(library) == "table" and name ~= nil and library[name] or true
  if math.type(member) == "integer" then
    return { type = types.integer(), constant = member }
  end
  return { type = types.unknown, library = member }
end

local INSIDE = { pointer = member_of_pointer, record = member_of_record, bytes = element_of_bytes }

-- o[key]
function Body:index(o, key)
  local row = o.shared
  if o.env then
    return self:global(key.constant)
  elseif o.args then
    return argument_of(self, key)
  elseif o.library then
    return member_of_library(o.library, key.constant)
  elseif row and row.own then
    row.table = true
    return { type = types.unknown }
  elseif row and self.ledger:is_open(row) then
    return { type = types.unknown }
  elseif row and not (row.variable and (INSIDE[row.value.kind] or row.value.kind == "unknown")) then
    self:use_key(row, key)
    return { type = row.value, from = row, needs = row }
  end
  local t = self:type_of(o)
  local inside = INSIDE[t.kind]
  if inside then
    local member = inside(self, t, key.constant)
    member.needs = t.kind == "record" and o.needs or nil
    return member
  elseif o.word or self.strict and t.kind ~= "unknown" and t.kind ~= "nil" then
    self:refuse("%s has no members (%s)", o.word and "a function" or types.describe(t), tostring(key.constant))
  end
  return { type = types.unknown }
end

-- The type of a record with one more member.
local function with_member(self, t, key, value)
  local name = key.constant
  name = math.type(name) == "integer" and types.position(name) or name
  if type(name) ~= "string" then
    self:fail("names in a constructor must be constants; a table for keys has a name without `local`")
  elseif value.call then
    self:fail("what %s gives can't be stored", value.call.word)
  end
  local order, members = { table.unpack(t.order) }, {}
  for other, member in pairs(t.members) do
    members[other] = member
  end
  if not members[name] then
    order[#order + 1] = name
  end
  members[name] = types.kept(self:type_of(value))
  self:check_whole(key.constant == name and name or "{ }", value, members[name])
  return types.record(order, members)
end

-- v.key = value, of a shared variable
function Body:set_member(row, key, value)
  local kind = row.value.kind
  if kind == "record" or kind == "unknown" then
    self.ledger:put(row, "value", with_member(self, types.record({}, {}), key, value), self.place)
  elseif kind == "pointer" then
    self:refuse("%s can't be written", types.describe(row.value))
  else
    self.ledger:use(row, "table", self.place)
  end
end

-- s[register][key] = value
function Body:set_index(s, register, key, value)
  local o = s[register] or { type = types.unknown }
  local row = o.shared
  if o.env then
    return self:set_global(key.constant, value)
  elseif o.fresh then
    local changed = { type = with_member(self, o.type, key, value), fresh = true }
    for other, held in pairs(s) do
      s[other] = held == o and changed or held
    end
  elseif row and row.own then
    row.table, row.stored = true, true
  elseif row and self.ledger:is_open(row) then
    return
  elseif row and row.variable then
    self:set_member(row, key, value)
  elseif row then
    self:use_key(row, key)
    if value.call then
      self:fail("what %s gives can't be stored in '%s': keys stand in the call: %s = %s(…, pid)",
        value.call.word, row.name, row.name, value.call.word)
    end
    self:keep(row, value)
    if self.strict and self.settled and self:type_of(value).kind ~= "nil" then
      self:note_store(row)
    end
  elseif o.from and o.type.kind == "unknown" and type(key.constant) ~= "string" then
    self:fail("tables hold no tables: write %s[{ a, b }]", o.from.name)
  elseif o.args then
    self:refuse("args can't be written: it is what the kernel hands over")
  elseif o.from and (o.type.kind == "record" or o.type.kind == "unknown") then
    o.from.member = o.from.member or key.constant
    self.ledger:put(o.from, "value", with_member(self, types.record({}, {}), key, value), self.place)
  elseif self.strict and o.type.kind ~= "unknown" then
    self:refuse("%s can't be written", types.describe(o.type))
  end
end

-- Paths ---------------------------------------------------------------------------------------------------------------

local SAME = {
  "constant", "shared", "from", "needs", "word", "fresh", "args", "env", "library", "callable", "pairs", "entries",
}

local function same(a, b)
  for _, field in ipairs(SAME) do
    if a[field] ~= b[field] then
      return false
    end
  end
  return (a.call and a.call.pc) == (b.call and b.call.pc) and (a.mixed ~= nil) == (b.mixed ~= nil)
    and types.equal(a.type, b.type)
end

-- What is known of a register where two paths meet.
local function meet(self, a, b)
  if a == b or same(a, b) then
    return a
  elseif a.mixed or b.mixed then
    return a.mixed and a or b
  elseif a.call or b.call then
    return { type = types.absent }
  end
  local s, t = self:type_of(a), self:type_of(b)
  local joined = types.join(s, t)
  local both = { type = joined or types.unknown, mixed = not joined and { s, t } or nil }
  for _, field in ipairs { "fresh", "from", "needs", "word", "row", "args", "env", "library", "callable" } do
    both[field] = a[field] == b[field] and a[field] or nil
  end
  return both
end

-- The tables that are in both sets, and whether those are fewer than in the first one.
local function common(a, b)
  local both, fewer = {}, false
  for row in pairs(a or {}) do
    both[row] = b and b[row]
    fewer = fewer or not both[row]
  end
  return both, fewer
end

-- Goes on at a pc with these registers, of which those matter that are read there.
local function go_on(self, pc, s)
  local known = self.states[pc]
  local live = self.live[pc] or {}
  local changed = not known
  local fewer = false
  if known then
    known.ended, fewer = common(known.ended, s.ended)
  else
    known = { ended = s.ended }
  end
  changed = changed or fewer
  for register, value in pairs(s) do
    if register == "top" then
      known.top = value
    elseif live[register] then
      local before = known[register]
      local now = before and meet(self, before, value) or value
      if not before or before ~= now and not same(before, now) then
        known[register], changed = now, true
      end
    end
  end
  self.states[pc] = known
  if changed then
    self.todo[#self.todo + 1] = pc
  end
end

-- Reads one instruction. Returns it, and the registers behind it.
local function read(self, pc)
  local i, s = self.proto.code[pc], {}
  for register, value in pairs(self.states[pc]) do
    s[register] = value
  end
  self.place, self.registers = ("%s:%d"):format(self.body.title, i.line), s
  local row = instructions.rows[i.op]
  if not row then
    self:fail("this isn't possible in a program (%s)", i.op)
  end
  row(self, i, s, pc)
  return i, s
end

local function step(self, pc)
  local i, s = read(self, pc)
  for n, target in ipairs(flow.all_targets(self, pc)) do
    local before = s[i.A]
    if i.op == "TESTSET" and n == 2 then
      s[i.A] = s[i.B]
    end
    go_on(self, target, s)
    s[i.A] = before
  end
end

-- Reads the body once with what the ledger knows. `strict`: types have settled, so what doesn't fit is an error. The
-- members of a key must be the same everywhere, so keys are noted when all paths to them are known.
function Body:run(strict)
  self.strict, self.settled, self.calls, self.states, self.todo = strict, false, {}, {}, {}
  self.place = self.body.title
  go_on(self, 0, { [0] = { type = types.unknown, args = true } })
  while #self.todo > 0 do
    step(self, table.remove(self.todo))
  end
  self.settled = true
  for pc = 0, self.proto.last_pc do
    if self.states[pc] then
      read(self, pc)
    end
  end
end

return Body

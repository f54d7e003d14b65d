-- SPDX-License-Identifier: MIT
-- `o[k]`, `o.k`, and assignments to them: maps, structs and arrays in memory, constructors, tables of the script.
local Compiler = require("bpf.program.compiler")
local counted = require("bpf.base.number").counted
local declared = require("bpf.program.declared")
local globals = require("bpf.program.globals")
local near = require("bpf.base.near")
local types = require("bpf.program.types")
local values = require("bpf.program.values")
local words = require("bpf.program.words")
local variables = require("bpf.program.variables")

local NIL, constant, describe = values.NIL, values.constant, values.describe
local is_map = declared.type

-- Messages ------------------------------------------------------------------------------------------------------------

function Compiler:no_member(type, name)
  local known = {}
  for _, member in ipairs(type.order) do
    known[#known + 1] = member.name
  end
  local hint = #known > 0 and #known <= 12 and (" (members: %s)"):format(table.concat(known, ", ")) or ""
  if hint == "" then
    local meant = near.names(tostring(name), known)
    hint = meant[1] and (" (near: %s)"):format(table.concat(meant, ", ")) or ""
  end
  self:fail("%s has no member '%s'%s", type.name or "the struct", tostring(name), hint)
end

function Compiler:fail_index(name, o)
  self:fail(name == "" and "attempt to index %s%s" or "attempt to index %s, which is %s", name:gsub(" $", ""),
    describe(o))
end

-- A constant key: what Lua would index a table with.
local function constant_key(k)
  if k.kind == "constant" then
    return k.value
  end
  return k.kind == "integer" and math.type(k.r) and k.r or nil
end

-- Pointers that may be nil --------------------------------------------------------------------------------------------

-- Where indexing nil ends the program, as an error would end a function of Lua's: chains of kernel structs. Elsewhere
-- the verifier wants to see a test, and so does the compiler.
local CHAINED = { trusted = true, kernel = true, user = true }

function Compiler:not_nil(o)
  if not o.null then
    return o
  elseif not CHAINED[o.space] and not self.unit.lenient then
    self:fail_nil(o, "")
  end
  self:end_if("eq", o.r, 0)
  for register, v in pairs(values.narrowed(self.state, o, true)) do
    self.state[register] = v
  end
  return values.narrowed({ o }, o, true)[1]
end

-- Reading -------------------------------------------------------------------------------------------------------------

-- A member by its name. In a lenient unit, the n-th of those without names is called "_n".
function Compiler:member_named(type, name)
  return type.members[name] or self.unit.lenient and math.type(name) and type.members["_" .. name] or nil
end

function Compiler:member_of(type, k)
  local name = constant_key(k)
  local member = self:member_named(type, name)
  if not member then
    if name == nil then
      self:fail("the members of %s have constant names, %s is %s", type.name or "the struct", self:whose(k),
        describe(k))
    end
    self:no_member(type, name)
  end
  return member
end

local function read_member(c, o, k)
  local member = c:member_of(o.type, k)
  local core = c:relocation(o, member.index)
  local base, offset = (core and c.relocated_place or c.place)(c, o)
  return c:read(member.type, base, offset + member.offset, o.space, member, core)
end

-- Calls fn(base, offset, core) for the element at an index, from 0, that is known when the program runs, unless it lies
-- beyond the end. The verifier refuses to add a variable to the context: there each element has code of its own.
local function with_element(c, o, index, element, count, fn)
  local f = c.f
  local base, offset = c:place(o)
  if o.space == "ctx" then
    for n = 0, count - 1 do
      c:when("eq", index, n, function() fn(base, offset + n * element.size, c:relocation(o, n)) end)
    end
    return
  elseif o.core then
    base, offset = c:address(o), 0
  end
  c:when("lt", index, count, function()
    local first = base.stack and f:address(base, 0) or base
    fn(f:alu("add", first, f:alu("mul", index, element.size)), offset)
  end)
end

-- The spaces in which a program may add a variable to an address, and how what is there is read: the verifier trusts no
-- such address.
local VARIABLE = { map = "map", record = "record", kernel = "kernel", user = "user", trusted = "kernel" }

local REFERENCES = { struct = true, array = true, chars = true }

-- A reference to an element whose index is known when the program runs: nil beyond the ends.
local function reference_at(c, o, element, count, k)
  local f, space = c.f, VARIABLE[o.space]
  if not space or o.core then
    c:fail("elements that are no numbers can be indexed at run time in maps and in memory of the kernel only: " ..
      "use constant indexes")
  end
  local index = f:alu("sub", c:integer(k, "index"), 1)
  local d = f:move(f:register(), 0)
  with_element(c, o, index, element, count, function(base, offset)
    f:move(d, offset == 0 and base or f:alu("add", base, offset))
  end)
  return { kind = "pointer", r = d, offset = 0, type = element, space = space, null = true }
end

-- An element whose index is known when the program runs: nil beyond the ends.
local function read_at(c, o, element, count, k)
  if REFERENCES[element.kind] then
    return reference_at(c, o, element, count, k)
  end
  local f = c.f
  local index = f:alu("sub", c:integer(k, "index"), 1)
  local d, present = f:move(f:register(), 0), f:move(f:register(), 0)
  local positive, bool
  with_element(c, o, index, element, count, function(base, offset, core)
    local v = c:read(element, base, offset, o.space, nil, core)
    if v.kind ~= "integer" and v.kind ~= "boolean" then
      c:fail("pointers of an array can't be indexed at run time: use constant indexes")
    end
    positive, bool = v.positive, v.kind == "boolean" or nil
    f:move(d, v.r)
    f:move(present, 1)
  end)
  return { kind = "optional", r = d, present = present, positive = positive, bool = bool }
end

local function read_element(c, o, k)
  local type = o.type
  local element, count = type.element or types.integer(1), type.count or type.size
  local key = constant_key(k)
  if not key then
    return read_at(c, o, element, count, k)
  elseif math.type(key) ~= "integer" or key < 1 or key > count then
    return NIL
  end
  local base, offset = c:place(o)
  return c:read(element, base, offset + (key - 1) * element.size, o.space, nil, c:relocation(o, key - 1))
end

local members = { struct = read_member, array = read_element, chars = read_element }

local function index_memory(c, o, k, name)
  if o.type.kind == "map" then
    return c:map_get(c:as_map(o), k)
  end
  local read = members[o.type.kind]
  if not read then
    c:fail_index(name, o)
  end
  return read(c, c:not_nil(o), k)
end

-- A reference to a global variable, for what stands for it in the script; other values stay as they are.
function Compiler:dereference(v)
  if v.kind ~= "constant" or not variables.is(v.value) then
    return v
  end
  local variable = self.unit:variable_of(v.value)
  return { kind = "pointer", r = self.f:variable(variable, 0), offset = 0, type = variable.type, space = "map" }
end

-- What a table that programs index has for a name that isn't a constant.
local function computed(c, found)
  local place = found.place -- below the registers, which is known as long as paths don't meet
  if not place then
    return found.read(c)
  end
  c.state[place] = c.state[place] or found.read(c)
  return c.state[place]
end

local function variable_member(c, found)
  local v = c:index(constant(found.var), constant(found.name), "")
  local pointer = found.pointer
  return pointer and c:pointer_from(v, pointer.type, pointer.space) or v
end

local function meaning(c, found)
  if globals.is_computed(found) then
    return found.call and c:is_called() and constant(found) or computed(c, found)
  elseif globals.is_member(found) then
    return variable_member(c, found)
  end
  return constant(found)
end

local function index_constant(c, o, k, name)
  local value = o.value
  if is_map(value) then
    return c:map_get(value, k)
  elseif type(value) ~= "table" and type(value) ~= "userdata" then
    c:fail_index(name, o)
  end
  local key = constant_key(k)
  if key == nil then
    return c:constant_table(value, k, name)
  elseif value == words.helper and value[key] == nil then
    c:fail("the kernel has no helper '%s'", tostring(key))
  end
  return meaning(c, value[key])
end

local function index_constructor(c, o, k, name)
  local key = constant_key(k)
  if key == nil then
    c:fail("%sis a table of the program's, whose keys must be constants: use a map", name == "" and "this " or name)
  end
  return o.fields[key] or NIL
end

local rows = {
  constant = index_constant, pointer = index_memory, buffer = index_memory, table = index_constructor,
}

-- The value of o[k]. `name` is how messages call o.
function Compiler:index(o, k, name)
  o = self:dereference(o)
  local row = rows[o.kind]
  if not row then
    self:fail_index(name, o)
  end
  return row(self, o, k, name)
end

-- Assigning -----------------------------------------------------------------------------------------------------------

local function itself(x) return x end

-- A constructor is a value of the compiler's: a changed one is another, wherever the function has it.
local function assign_field(c, o, k, v, name)
  local key = constant_key(k)
  if type(key) ~= "string" and math.type(key) ~= "integer" then
    c:fail("a table's keys must be constants in a program: use a map")
  elseif o.fixed then
    c:fail("%s%s", name == "" and "the table " or name, o.fixed)
  end
  local new = values.copy_table(o)
  if o.fields[key] == nil then
    new.order[#new.order + 1] = key
  end
  new.fields[key] = v
  local done = { [o] = new }
  if values.replaced(v, itself, { [o] = new }) ~= v then
    c:fail("%scan't be a member of itself in a program", name == "" and "the table " or name)
  end
  for register, x in pairs(c.state) do
    c.state[register] = values.replaced(x, itself, done)
  end
end

-- From here on, the table in a register can't be changed, under whatever name.
function Compiler:fix_register(register, why)
  local v = self.state[register]
  if v and v.kind == "table" and not v.fixed then
    local done = { [v] = self:fixed({ v }, why)[1] }
    for other, x in pairs(self.state) do
      self.state[other] = values.replaced(x, itself, done)
    end
  end
end

-- The same values where tables can't be changed any more, for others have them too. `why` ends the message.
function Compiler.fixed(_, list, why)
  local done = {}
  local function fix(v)
    if v.kind ~= "table" or v.fixed then
      return v
    elseif not done[v] then
      local copy = values.copy_table(v)
      done[v], copy.fixed = copy, why
      for _, name in ipairs(copy.order) do
        copy.fields[name] = fix(copy.fields[name])
      end
    end
    return done[v]
  end
  local fixed = {}
  for n, v in pairs(list) do
    fixed[n] = fix(v)
  end
  return fixed
end

local READ_ONLY = { trusted = true, kernel = true, user = true, copy = true }

local function assign_member(c, o, k, v)
  local base, offset = c:place(o)
  local member = c:member_of(o.type, k)
  c:write(member.type, base, offset + member.offset, v, member.name, false, member)
end

local function assign_element(c, o, k, v)
  local f, type = c.f, o.type
  local base, offset = c:place(o)
  local element, count = type.element or types.integer(1), type.count or type.size
  local key = constant_key(k)
  if key then
    if math.type(key) ~= "integer" or key < 1 or key > count then
      c:fail("%s has %s, there is no element %s", c:whose(o), counted(count, "element"), tostring(key))
    end
    return c:write(element, base, offset + (key - 1) * element.size, v, "element")
  end
  local index = f:alu("sub", c:integer(k, "index"), 1)
  with_element(c, o, index, element, count, function(at, from) c:write(element, at, from, v, "element") end)
end

local assigners = { struct = assign_member, array = assign_element, chars = assign_element }

-- Whether assigning a member may change a string that was read from the same memory: not if the member is a number, and
-- has a place of its own. An array of characters whose elements are assigned is no string.
local function may_change_strings(o, k)
  local member = o.type.kind == "struct" and k.kind == "constant" and o.type.members[k.value]
  local scalar = member and (member.type.kind == "int" or member.type.kind == "ptr")
  return o.type.kind ~= "chars" and (o.space == "packet" or o.type.union or not scalar)
end

-- The variable that stands for itself in a table, or nil.
local function own_variable(o, k)
  local found = o.kind == "constant" and type(o.value) == "table" and not is_map(o.value)
    and o.value[constant_key(k)]
  return globals.is_member(found) and found or nil
end

-- o[k] = v
function Compiler:assign(o, k, v, name)
  o = self:dereference(o)
  local variable = own_variable(o, k)
  if variable then
    return self:assign(constant(variable.var), constant(variable.name), v, name)
  end
  if o.kind == "constant" and is_map(o.value) or o.kind == "pointer" and o.type.kind == "map" then
    return self:map_set(self:as_map(o), k, v)
  elseif o.kind == "table" then
    return assign_field(self, o, k, v, name)
  end
  local assigner = (o.kind == "pointer" or o.kind == "buffer") and assigners[o.type.kind]
  if not assigner and o.kind == "constant" and type(o.value) == "table" then
    self:fail("%sis a table of the script, which a program can't change: use a map, or bpf.var",
      name == "" and "this " or name)
  elseif not assigner then
    self:fail("%shas no members to assign: it is %s", name == "" and "this " or name, describe(o))
  elseif READ_ONLY[o.space] then
    self:fail(o.space == "copy" and "%s is a copy of the packet's: write by helper.skb_store_bytes"
      or "%s of the kernel can't be written by a program", o.type.name or "what is read")
  end
  if may_change_strings(o, k) then
    self:keep_strings(o.space)
  end
  local f = self.f
  f.no_immediate = o.space == "ctx" -- Linux 6.1 and older refuse constants there
  assigner(self, self:not_nil(o), k, v)
  f.no_immediate = false
end

return Compiler

-- SPDX-License-Identifier: MIT
-- Writes the type information of a BPF object: types out of forms, functions, lines and CO-RE relocations, as the
-- sections .BTF and .BTF.ext have them. `btf.new()` returns a writer.
--
-- A form is a table: an int (an enum, with `enum`), a ptr, a struct (or union), an array, or chars, an array of char.

local btf = {}

local pack = string.pack

local MAGIC <const>, VERSION <const> = 0xeb9f, 1
local INT <const>, PTR <const>, ARRAY <const>, STRUCT <const>, UNION <const>, ENUM <const> = 1, 2, 3, 4, 5, 6
local FWD <const>, TYPEDEF <const>, FUNC <const>, FUNC_PROTO <const> = 7, 8, 12, 13
local VAR <const>, DATASEC <const>, ENUM64 <const> = 14, 15, 19
local BITFIELDS <const> = 1 << 31 -- members' offsets have their bits' number in the upper byte
local SIGNED <const>, CHAR <const>, BOOL <const> = 1, 2, 4
local VOID <const> = 0

local Writer = {}
Writer.__index = Writer

function btf.new()
  return setmetatable({
    strings = { "\0" }, offsets = { [""] = 0 }, length = 1, -- of the strings
    types = {}, ids = {}, -- of forms, and of what is written once, by a name of our own
    used = {}, -- by struct: the members that CO-RE relocations go through, by their indexes in `order` from 1
    pruned = {}, -- by struct: its id, and where those members are
  }, Writer)
end

function Writer:string(text)
  local offset = self.offsets[text]
  if not offset then
    offset = self.length
    self.offsets[text] = offset
    self.strings[#self.strings + 1] = text .. "\0"
    self.length = offset + #text + 1
  end
  return offset
end

-- Appends a type. Returns its id. `size` is an id for the kinds that refer to a type.
function Writer:add(kind, name, count, size, rest)
  local types = self.types
  types[#types + 1] = pack("<I4I4I4", name and self:string(name) or 0, kind << 24 | count, size) .. (rest or "")
  return #types
end

-- What `make` returns, which is called once for each key.
function Writer:once(key, make, ...)
  local id = self.ids[key]
  if not id then
    id = make(self, ...)
    self.ids[key] = id
  end
  return id
end

-- Forms ---------------------------------------------------------------------------------------------------------------

local function make_int(self, name, size, encoding)
  return self:add(INT, name, 0, size, pack("<I4", encoding << 24 | size * 8))
end

function Writer:int(name, size, encoding)
  return self:once(("int %s %d %d"):format(name, size, encoding), make_int, name, size, encoding)
end

local function make_pointer(self, to)
  return self:add(PTR, nil, 0, to)
end

function Writer:pointer(to)
  return self:once("pointer " .. to, make_pointer, to)
end

local function make_array(self, element, count)
  local index = self:int("__ARRAY_SIZE_TYPE__", 4, 0)
  return self:add(ARRAY, nil, 0, 0, pack("<I4I4I4", element, index, count))
end

function Writer:array(element, count)
  return self:once(("array %d %d"):format(element, count), make_array, element, count)
end

-- A struct of which nothing but the name is known.
local function make_forward(self, name)
  return self:add(FWD, name, 0, 0)
end

-- Nothing but the name and size of an enum.
local function make_enum(self, form)
  return self:add(ENUM, form.name and form.name:match("^enum ([A-Za-z_0-9]+)$"), 0, form.size)
end

-- A struct's members in the order that BTF demands: by their offsets. `indexes` are those to take, or nil for all.
local function sort_members(form, indexes)
  local list = {}
  for index, member in ipairs(form.order) do
    if not indexes or indexes[index] then
      list[#list + 1] = { index = index, member = member, bit = member.bits and member.bit_offset or member.offset * 8 }
    end
  end
  table.sort(list, function(a, b)
    if a.bit ~= b.bit then
      return a.bit < b.bit
    end
    return a.index < b.index
  end)
  return list
end

-- Whether all members of an anonymous form lie over each other, so that it was a union.
local function overlaps(list)
  return #list > 1 and list[#list].bit == 0 and not list[#list].member.bits
end

-- Members that aren't at the beginning of a union are those of structs without a name in it. Returns the others, and
-- these.
local function split(list)
  local outer, inner = {}, {}
  for _, entry in ipairs(list) do
    local part = entry.bit == 0 and outer or inner
    part[#part + 1] = entry
  end
  return outer, inner
end

-- Writes a struct with the members of a sorted list; `write` returns the id of a member's type. Sets the `steps` of an
-- access path to each member. Returns the struct's id. Names that don't begin with struct or union are those of
-- typedefs of structs without a name.
local function write_struct(self, form, list, write)
  local members, flag, inner = {}, 0, {}
  local name = form.name or form.typedef or ""
  local kind, tag = name:match("^([a-z]+) ([A-Za-z_0-9]+)$")
  local is_union = kind == "union" or kind ~= "struct" and overlaps(list)
  if is_union then
    list, inner = split(list)
  end
  for n, entry in ipairs(list) do
    local member = entry.member
    flag = member.bits and BITFIELDS or flag
    entry.steps = tostring(n - 1)
    members[n] = pack("<I4I4I4", member.name and self:string(member.name) or 0, write(self, member.type),
      (member.bits or 0) << 24 | entry.bit)
  end
  if #inner > 0 then
    members[#members + 1] = pack("<I4I4I4", 0, write_struct(self, { size = form.size }, inner, write), 0)
    for _, entry in ipairs(inner) do
      entry.steps = #members - 1 .. ":" .. entry.steps
    end
  end
  tag = (kind == "struct" or kind == "union") and tag or nil
  local id = self:add(is_union and UNION or STRUCT, tag, #members | flag, form.size, table.concat(members))
  if name:find("^[A-Za-z_][A-Za-z_0-9]*$") then
    id = self:add(TYPEDEF, name, 0, id)
  end
  return id
end

-- By kind of form: writes the form, whose members and elements `write` writes.
local FORMS = {}

function FORMS.int(self, form)
  if form.enum or form.name and form.name:find("^enum ") then -- CO-RE takes no int for an enum
    return self:once(form, make_enum, form)
  end
  local encoding = (form.signed and SIGNED or 0) | (form.bool and BOOL or 0) | (form.char and CHAR or 0)
  return self:int(form.name or (form.signed and "s" or "u") .. form.size * 8, form.size, encoding)
end

function FORMS.enum(self, form)
  return self:once(form, make_enum, form)
end

function FORMS.ptr(self, form)
  local name = form.name and form.name:match("^struct ([A-Za-z_0-9]+) ?%*$")
  return self:pointer(name and self:once("struct " .. name, make_forward, name) or VOID)
end

function FORMS.array(self, form, write)
  return self:array(write(self, form.element), form.count)
end

function FORMS.chars(self, form)
  local char = form.text == false and self:int("unsigned char", 1, 0) or self:int("char", 1, SIGNED)
  return self:array(char, form.size)
end

function FORMS.struct(self, form, write)
  return write_struct(self, form, sort_members(form), write)
end

FORMS.union = FORMS.struct

local function unknown(self, form) -- bytes of which nothing is known
  return self:array(self:int("unsigned char", 1, 0), form.size or 0)
end

-- Returns the id of a form's type.
function Writer:form(form)
  local id = self.ids[form]
  if not id then
    id = (FORMS[form.kind] or unknown)(self, form, self.form)
    self.ids[form] = id
  end
  return id
end

-- CO-RE ---------------------------------------------------------------------------------------------------------------

-- Calls fn with each struct on an access path and the index in `order` that the path takes there; puts the steps that
-- it returns into the path. Returns the path.
local function walk(form, access, fn)
  local steps = {}
  for step in access:gmatch("%d+") do
    local index = math.tointeger(step)
    if #steps > 0 then
      if form.kind == "array" then
        form = form.element
      elseif form.order then
        local member = form.order[index + 1]
        index = fn(form, index + 1)
        form = member.type
      end
    end
    steps[#steps + 1] = index
  end
  return table.concat(steps, ":")
end

-- Notes what a relocation { type = form, access = "0:3:1" } needs. All are noted before the first is written.
function Writer:note_core(core)
  walk(core.type, core.access, function(form, index)
    self.used[form] = self.used[form] or {}
    self.used[form][index] = true
    return index
  end)
end

-- Writes a form without the members that no relocation goes through. Returns its id.
local function prune(self, form)
  if not form.order then
    return form.kind == "array" and FORMS.array(self, form, prune) or self:form(form)
  end
  local pruned = self.pruned[form]
  if not pruned then
    local list = sort_members(form, self.used[form] or {})
    pruned = { steps = {}, id = write_struct(self, form, list, prune) }
    for _, entry in ipairs(list) do
      pruned.steps[entry.index] = entry.steps
    end
    self.pruned[form] = pruned
  end
  return pruned.id
end

-- Returns the id of a relocation's type, and the access path in it.
function Writer:core(core)
  local id = prune(self, core.type)
  return id, walk(core.type, core.access, function(form, index)
    prune(self, form)
    return self.pruned[form].steps[index]
  end)
end

-- Functions, maps, variables ------------------------------------------------------------------------------------------

-- A pointer to a struct of a name, of which the kernel takes nothing else to know a context.
local function make_context(self, name)
  return self:pointer(self:add(STRUCT, name:gsub("^struct ", ""), 0, 0))
end

-- A function whose parameters are `{ name, id }`.
function Writer:func(name, is_global, parameters)
  local list = {}
  for n, parameter in ipairs(parameters) do
    list[n] = pack("<I4I4", self:string(parameter[1]), parameter[2])
  end
  local prototype = self:add(FUNC_PROTO, nil, #list, self:int("int", 4, SIGNED), table.concat(list))
  return self:add(FUNC, name, is_global and 1 or 0, prototype)
end

-- A program, by the C type that its context points to, or nil.
function Writer:program(name, context)
  local id = context and self:once("context " .. context, make_context, context) or self:pointer(VOID)
  return self:func(name, true, { { "ctx", id } })
end

-- A function of so many parameters of any kind. The verifier takes their types from the calls, as it is static.
function Writer:subprogram(name, count)
  local parameters = {}
  for n = 1, count do
    parameters[n] = { "a" .. n, self:pointer(VOID) }
  end
  return self:func(name, false, parameters)
end

-- What holds a number in a map's definition, as bpf_helpers.h's __uint and __ulong do.
function Writer:number(n)
  if n >= 0 and n <= 0xffffffff then
    return self:pointer(self:array(self:int("int", 4, SIGNED), n))
  end
  local value = pack("<I4I4I4", self:string("value_of_" .. self.length), n & 0xffffffff, n >> 32)
  return self:add(ENUM64, nil, 1, 8, value)
end

-- A struct of pointers, `{ name, id }`. A map's definition is one. Returns its id and its size.
function Writer:pointers(list)
  local members, at = {}, 0
  for n, member in ipairs(list) do
    members[n] = pack("<I4I4I4", self:string(member[1]), member[2], at * 8)
    at = at + 8
  end
  return self:add(STRUCT, nil, #list, at, table.concat(members)), at
end

-- A section of variables `{ name, id, offset, size }`.
function Writer:section(name, variables, size)
  local list = {}
  for n, variable in ipairs(variables) do
    local id = self:add(VAR, variable.name, 0, variable.id, pack("<I4", 1))
    list[n] = pack("<I4I4I4", id, variable.offset, variable.size)
  end
  self:add(DATASEC, name, #list, size, table.concat(list))
end

-- The sections --------------------------------------------------------------------------------------------------------

-- Returns the bytes of .BTF.
function Writer:bytes()
  local types, strings = table.concat(self.types), table.concat(self.strings)
  return pack("<I2BBI4I4I4I4I4", MAGIC, VERSION, 0, 24, 0, #types, #types, #strings) .. types .. strings
end

-- A part of .BTF.ext: records of a size, by section, or nothing if there are none.
local function pack_records(self, size, sections, what)
  local parts = { pack("<I4", size) }
  for _, section in ipairs(sections) do
    local records = section[what]
    if #records > 0 then
      parts[#parts + 1] = pack("<I4I4", self:string(section.name), #records)
      parts[#parts + 1] = table.concat(records)
    end
  end
  return #parts > 1 and table.concat(parts) or ""
end

-- Returns the bytes of .BTF.ext, which refers to strings of .BTF. `sections` is a list of { name, functions, lines,
-- core }, the latter three lists of records that `btf.record` and `btf.line` have made.
function Writer:extension(sections)
  local functions = pack_records(self, 8, sections, "functions")
  local lines = pack_records(self, 16, sections, "lines")
  local core = pack_records(self, 16, sections, "core")
  return pack("<I2BBI4I4I4I4I4I4I4", MAGIC, VERSION, 0, 32, 0, #functions, #functions, #lines,
    #functions + #lines, #core) .. functions .. lines .. core
end

-- Records of .BTF.ext; offsets are in bytes from the section's start.

function Writer.function_record(_, offset, id)
  return pack("<I4I4", offset, id)
end

function Writer:line_record(offset, file, text, line)
  return pack("<I4I4I4I4", offset, self:string(file), self:string(text), line << 10)
end

function Writer:core_record(offset, core)
  local id, access = self:core(core)
  return pack("<I4I4I4I4", offset, id, self:string(access), core.kind)
end

return btf

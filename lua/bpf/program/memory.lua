-- SPDX-License-Identifier: MIT
-- What is in memory: reading a place of a C type as a value, writing a value to one, and bringing a value into memory
-- for a helper. A place is a base, a register or a stack object, and an offset.
local Compiler = require("bpf.program.compiler")
local counted = require("bpf.base.number").counted
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local describe = values.describe

-- Helpers that read memory which a program can't touch itself.
local PROBE_READ = { user = 112, kernel = 113, trusted = 113 }

-- Calls fn(offset, size) for each aligned access, 8 bytes wide where it can be, that makes up `size` bytes at `at`.
-- `other` is the offset at the other end of a copy, which has to be aligned as well.
local function each_word(at, size, other, fn)
  local i = 0
  while i < size do
    local n = 8
    while i + n > size or (at + i) % n ~= 0 or (other + i) % n ~= 0 do
      n = n // 2
    end
    fn(i, n)
    i = i + n
  end
end
Compiler.each_word = each_word

-- Reading -------------------------------------------------------------------------------------------------------------

-- Reads `size` bytes that only a helper may read into the stack.
function Compiler:probe(base, offset, space, size)
  local f = self.f
  local object = f:object(8)
  f:store(object, 0, 8, 0)
  f:call(PROBE_READ[space], { object = object, offset = 0 }, size, self:pointer_to(base, offset))
  return object
end

-- Where a bit-field is: the offset from its member of the smallest integer that holds it, that integer's size, and its
-- lowest bit there.
function Compiler:bits_of(member)
  for _, size in ipairs { 1, 2, 4, 8 } do
    local at = member.bit_offset // (8 * size) * size
    local shift = member.bit_offset - 8 * at
    if shift + member.bits <= 8 * size then
      return at - member.offset, size, shift
    end
  end
  self:fail("the bit-field '%s' lies across two integers, which a program can't read", member.name)
end

function Compiler:read_bits(type, base, offset, space, member)
  local f = self.f
  local delta, size, shift = self:bits_of(member)
  local object = (space == "kernel" or space == "user") and self:probe(base, offset + delta, space, size)
  local r = object and f:load(object, 0, size) or f:load(base, offset + delta, size)
  f:release(object)
  r = f:alu("lsh", r, 64 - member.bits - shift)
  return values.integer(f:alu(type.signed and "arsh" or "rsh", r, 64 - member.bits), not type.signed)
end

function Compiler:read_integer(type, base, offset, space, member, core)
  if core then
    return self:read_relocated(type, base, offset, space, member, core)
  elseif member and member.bits then
    return self:read_bits(type, base, offset, space, member)
  elseif type.size > 8 then
    self:fail("integers of %d bytes can't be read", type.size)
  end
  local f = self.f
  local positive = type.size < 8 and not type.signed
  if space == "kernel" or space == "user" then
    local object = self:probe(base, offset, space, type.size)
    local r = f:load(object, 0, type.size, type.signed)
    f:release(object)
    return values.integer(r, positive)
  end
  return values.integer(f:load(base, offset, type.size, type.signed), positive)
end

-- Where the memory is that a pointer in memory of a space leads to.
local LEADS_TO = { trusted = "trusted", ctx = "trusted", user = "user" }

function Compiler:read_pointer(type, base, offset, space, _, core)
  local v = self:read_integer(types.u64, base, offset, space, nil, core)
  local target = type.to()
  if target and target.kind == "struct" then
    space = type.space or LEADS_TO[space] or "kernel"
    return { kind = "pointer", r = v.r, offset = 0, type = target, space = space, null = true }
  end
  return v
end

-- A row for each kind of type that can be read.
local readers = {
  int = function(c, type, base, offset, space, member, core)
    local v = c:read_integer(type, base, offset, space, member, core)
    return type.bool and { kind = "boolean", r = v.r } or v
  end,
  ptr = Compiler.read_pointer,
  -- `__data_loc`: the offset from the record's start in the lower half, which has the length in its upper one;
  -- `__rel_loc` counts from behind itself
  data_loc = function(c, type, base, offset, _, _, core)
    local where = c.f:alu("and", c.f:load(base, offset, 4, false, core), 0xffff)
    if type.relative then
      where = c.f:alu("add", c.f:alu("add", where, offset, 64, core), type.size)
    end
    return c:string_at("probe_read_kernel_str", c.f:alu("add", base, where))
  end,
}

local function reference(_, type, base, offset, space, _, core)
  if base.stack then
    return { kind = "buffer", object = base, offset = offset, type = type }
  end
  return { kind = "pointer", r = base, offset = offset, type = type, space = space, core = core }
end
readers.chars, readers.struct, readers.array = reference, reference, reference

-- What reading a place gives: a copy of a scalar, a reference to anything else. `member` is a bit-field's;
-- `core` is the relocation of the offset, if there is one.
function Compiler:read(type, base, offset, space, member, core)
  local reader = readers[type.kind]
  if not reader then
    self:fail("values of type %s can't be read", type.name or type.kind)
  end
  return reader(self, type, base, offset, space, member, core)
end

-- Copying -------------------------------------------------------------------------------------------------------------

-- What is larger is cleared and copied by a loop.
local UNROLLED <const> = 512

-- Compiles a loop that calls fn(register) with the offset of each 8-byte word of `size` bytes.
function Compiler:loop_over_words(size, fn)
  local f = self.f
  local at, again, behind = f:move(f:register(), 0), f:block(), f:block()
  f:jump(again)
  f:start(again)
  fn(at)
  f:move(at, f:alu("add", at, 8))
  f:branch("lt", at, size, again, behind)
  f:start(behind)
end

-- The address of a place, as a register.
function Compiler:start_of(base, offset)
  if base.stack then
    return self.f:address(base, offset)
  end
  return offset == 0 and base or self.f:alu("add", base, offset)
end

function Compiler:clear(base, offset, size)
  local f = self.f
  if size > UNROLLED then
    local before = -offset % 8
    self:clear(base, offset, before)
    offset, size = offset + before, size - before
    local start, whole = self:start_of(base, offset), size // 8 * 8
    self:loop_over_words(whole, function(at) f:store(f:alu("add", start, at), 0, 8, 0) end)
    offset, size = offset + whole, size - whole
  end
  each_word(offset, size, offset, function(i, n) self.f:store(base, offset + i, n, 0) end)
end

-- Copies what a pointer or a buffer refers to.
function Compiler:copy(base, offset, v, size)
  local f = self.f
  local helper = PROBE_READ[v.space] or v.core and PROBE_READ.kernel
  if helper then
    local length = size
    if v.core and v.type.kind == "chars" then
      self:clear(base, offset, size)
      length = self:relocated_length(v, size)
    end
    f:call(helper, self:pointer_to(base, offset), length, self:address(v))
    return
  end
  local from, at = self:place(v)
  local function copy(count)
    each_word(offset, count, at, function(i, n) f:store(base, offset + i, n, f:load(from, at + i, n)) end)
    offset, at, size = offset + count, at + count, size - count
  end
  if size > UNROLLED and (offset - at) % 8 == 0 and v.space ~= "ctx" then
    copy(-offset % 8)
    local to, start, whole = self:start_of(base, offset), self:start_of(from, at), size // 8 * 8
    self:loop_over_words(whole, function(n)
      f:store(f:alu("add", to, n), 0, 8, f:load(f:alu("add", start, n), 0, 8))
    end)
    offset, at, size = offset + whole, at + whole, size - whole
  end
  copy(size)
end

-- Copies a struct. No program may touch the lock that it has.
function Compiler:copy_struct(base, offset, v, type)
  local lock = v.type.lock
  if not lock then
    return self:copy(base, offset, v, type.size)
  end
  local behind = lock + 4
  local part = setmetatable({ offset = v.offset + behind }, { __index = v })
  self:copy(base, offset, v, lock)
  self:clear(base, offset + lock, 4)
  self:copy(base, offset + behind, part, type.size - behind)
end

local function in_memory(v)
  return v.kind == "pointer" or v.kind == "buffer"
end

-- Raises unless the reference can be read here.
function Compiler:check_reference(v, what)
  if v.null and not self:end_where_nil(v) then
    self:fail_nil(v, what .. ": ")
  end
end

-- Writing -------------------------------------------------------------------------------------------------------------

function Compiler:write_bits(base, offset, v, what, member)
  local f = self.f
  local delta, size, shift = self:bits_of(member)
  local mask = member.bits == 64 and -1 or (1 << member.bits) - 1
  local old = f:alu("and", f:load(base, offset + delta, size), ~(mask << shift))
  local new = f:alu("lsh", f:alu("and", self:stored(v, what), mask), shift)
  f:store(base, offset + delta, size, f:alu("or", old, new))
end

-- Zeroes what a constructor leaves out: members that it has, and that fill their place, are stored only once.
function Compiler:clear_rest(type, base, offset, v)
  local covered = {}
  for _, name in ipairs(v.order) do
    local member = self:member_named(type, name)
    local kind = member and not member.bits and member.type.kind
    if kind == "int" or kind == "ptr" or kind == "chars" and v.fields[name].kind == "constant" then
      for i = member.offset, member.offset + member.type.size - 1 do
        covered[i] = true
      end
    end
  end
  local from = 0
  for i = 0, type.size do
    if covered[i] or i == type.size then
      self:clear(base, offset + from, i - from)
      from = i + 1
    end
  end
end

function Compiler:write_constructor(type, base, offset, v, what, clean)
  if not clean then
    self:clear_rest(type, base, offset, v)
  end
  for _, name in ipairs(v.order) do
    local member = self:member_named(type, name)
    if not member then
      self:no_member(type, name)
    end
    self:write(member.type, base, offset + member.offset, v.fields[name], what .. "." .. name, true, member)
  end
end

-- Structs of the kernel and of processes have an address that means something to others as well, so a program may keep
-- it. That of anything else means nothing when the program has ended.
local LASTING = { trusted = true, kernel = true, user = true }

-- What a store takes: as Compiler:scalar, but of references only those to such structs.
function Compiler:stored(v, what)
  local is_reference = v.kind == "pointer" or v.kind == "buffer"
  if is_reference and not (LASTING[v.space] and v.type.kind == "struct") then
    self:fail("%s: an integer is expected, %s is %s", what, self:whose(v), describe(v))
  end
  return self:scalar(v, what)
end

local function write_scalar(c, type, base, offset, v, what, _, member)
  if member and member.bits then
    return c:write_bits(base, offset, v, what, member)
  end
  c.f:store(base, offset, type.size, c:stored(v, what))
end

local function write_struct(c, type, base, offset, v, what, clean)
  if v.kind == "table" then
    return c:write_constructor(type, base, offset, v, what, clean)
  elseif in_memory(v) and v.type.kind == "struct" and v.type.size == type.size then
    c:check_reference(v, what)
    c:copy_struct(base, offset, v, type)
    return c.for_key and c:clean_texts(type, base, offset)
  end
  c:fail("%s: a table or a %s is expected, %s is %s", what, type.name or "struct", c:whose(v), describe(v))
end

local function write_array(c, type, base, offset, v, what, clean)
  if in_memory(v) and v.type.size == type.size then
    c:check_reference(v, what)
    c:copy(base, offset, v, type.size)
    return c.for_key and c:clean_texts(type, base, offset)
  elseif v.kind ~= "table" then
    c:fail("%s: a table is expected, %s is %s", what, c:whose(v), describe(v))
  end
  if not clean then
    c:clear(base, offset, type.size)
  end
  local element = type.element
  for _, i in ipairs(v.order) do
    if math.type(i) ~= "integer" or i < 1 or i > type.count then
      c:fail("%s has %s, there is no element %s", what, counted(type.count, "element"), tostring(i))
    end
    c:write(element, base, offset + (i - 1) * element.size, v.fields[i], ("%s[%d]"):format(what, i), true)
  end
end

local writers = {
  int = write_scalar, ptr = write_scalar, struct = write_struct, array = write_array,
  chars = function(c, type, base, offset, v, ...)
    if v.kind == "table" and not type.text then
      return write_array(c, types.bytes(type.size), base, offset, v, ...)
    end
    c:write_string(type, base, offset, v, ...)
  end,
}

-- Writes a value of any kind to a place of a type. `clean`: the memory is zero. `member` is a bit-field's.
function Compiler:write(type, base, offset, v, what, clean, member)
  local writer = writers[type.kind]
  if not writer then
    self:fail("%s: values of type %s can't be written", what, type.name or type.kind)
  end
  writer(self, type, base, offset, v, what, clean, member)
end

-- Arguments for helpers -----------------------------------------------------------------------------------------------

local ADDRESSABLE = { map = true, record = true }

-- The value in memory, as a helper's pointer wants it, and the stack object to release behind the call, if there is
-- one. What is of that type in memory already stays where it is, but for a key with texts.
function Compiler:memory(type, v, what)
  local there = in_memory(v) and not v.null and v.type.size == type.size and v.type.kind == type.kind
    and not (self.for_key and self:has_text(type))
  if there and type.kind == "struct" and v.kind == "buffer" then
    return self:pointer_to(v.object, v.offset)
  elseif there and type.kind == "struct" and ADDRESSABLE[v.space] and not v.type.lock then
    return self:address(v)
  end
  local object = self.f:object(type.size)
  if type.kind ~= "int" and type.kind ~= "ptr" and type.size % 8 ~= 0 then
    self.f:store(object, object.size - 8, 8, 0)
  end
  self:write(type, object, 0, v, what)
  return { object = object, offset = 0 }, object
end

return Compiler

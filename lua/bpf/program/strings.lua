-- SPDX-License-Identifier: MIT
-- Strings in a program: constants, and char arrays in memory, which end at their first NUL. What a helper reads is
-- pending until its destination is known: a string's size is that of the member or the key it goes to.
local Compiler = require("bpf.program.compiler")
local counted = require("bpf.base.number").counted
local declared = require("bpf.program.declared")
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local describe, each_word = values.describe, Compiler.each_word

local function is_text(value)
  return type(value) == "string"
end

-- The size of a string that goes nowhere in particular.
Compiler.STRING = 64

local READ_STRING = { probe_read_user_str = 114, probe_read_kernel_str = 115, probe_read_str = 45 }

-- The string at an address, still to be read. `size` is its room, where the script gave one.
function Compiler:string_at(helper, address, size)
  return {
    kind = "pending", type = types.chars(size or self.STRING), sized = size ~= nil,
    put = function(c, base, offset, room)
      c.f:call(READ_STRING[helper], c:pointer_to(base, offset), room, address)
    end,
  }
end

-- Brings a pending string into the stack; other values stay as they are.
function Compiler:materialize(v)
  if v.kind ~= "pending" then
    return v
  end
  local object = self:stable_object(v.type.size)
  self:clear(object, 0, object.size)
  v.put(self, object, 0, v.type.size)
  return { kind = "buffer", object = object, offset = 0, type = v.type }
end

-- The same of a key, whose size is that of the map's keys where the script gave none.
function Compiler:materialize_key(o, k)
  if k.kind == "pending" and not k.sized and o.kind == "constant" and declared.type(o.value) then
    local key = self.unit:info_of(o.value).key
    if key and key.kind == "chars" then
      k = { kind = "pending", type = key, sized = true, exact = k.exact, put = k.put }
    end
  end
  return self:materialize(k)
end

-- The string in memory, copied to the stack.
function Compiler:copy_string(v)
  local object = self:stable_object(v.type.size)
  self:clear(object, 0, object.size)
  self:copy(object, 0, v, v.type.size)
  return { kind = "buffer", object = object, offset = 0, type = v.type }
end

-- Strings that stay ---------------------------------------------------------------------------------------------------

-- The same of a string that may be nil, as the copy is then.
function Compiler:copy_optional_string(v)
  local f, object = self.f, self:stable_object(v.type.size)
  local d = f:move(f:register(), 0)
  self:clear(object, 0, object.size)
  self:when("ne", v.r, 0, function()
    self:copy(object, 0, v, v.type.size)
    f:move(d, f:address(object, 0))
  end)
  return { kind = "pointer", r = d, offset = 0, type = v.type, space = "stack", null = true }
end

-- A string of Lua's never changes: those in memory of a space that is about to be written are copied before, where they
-- are still needed.
function Compiler:keep_strings(space)
  local live, registers, done = self.live and self.live[self.pc + 1] or {}, {}, {}
  for register in pairs(self.state) do
    if live[register] then
      registers[#registers + 1] = register
    end
  end
  local function copied(v)
    if v.kind == "pointer" and v.space == space and v.type.kind == "chars" then
      done[v] = done[v] or (v.null and self.copy_optional_string or self.copy_string)(self, v)
    end
    return done[v] or v
  end
  table.sort(registers)
  for _, register in ipairs(registers) do
    self.state[register] = values.replaced(self.state[register], copied, done)
  end
end

local WRITES = { SETFIELD = true, SETI = true, SETTABLE = true, SETTABUP = true, CALL = true, TAILCALL = true }

-- The same for what instructions may write, from a pc to another, that are compiled with a state of their own: those of
-- a function that is put in place, or of a loop's body.
function Compiler:keep_strings_of(proto, from, to)
  for pc = from, to do
    if WRITES[proto.code[pc].op] then
      for _, space in ipairs { "map", "packet", "record" } do
        self:keep_strings(space)
      end
      return
    end
  end
end

-- Writing -------------------------------------------------------------------------------------------------------------

function Compiler:write_literal(type, base, offset, text, what)
  if #text > type.size then
    self:fail("%s: a string of %s doesn't fit, there is room for %d", what, counted(#text, "byte"), type.size)
  end
  text = text .. ("\0"):rep(type.size - #text)
  each_word(offset, #text, offset, function(i, n)
    self.f:store(base, offset + i, n, (string.unpack("<i" .. n, text, i + 1)))
  end)
end

-- The words of a string that are looked at in a row; those of a longer one are in a loop.
local UNROLLED <const> = 128

-- Calls fn(base, offset, size, index) for each word of memory, in a loop if there are many. The index counts bytes from
-- the start, in a register or as a number.
function Compiler:each_word_of(base, offset, size, fn)
  local whole = 0
  if size > UNROLLED and offset % 8 == 0 then
    local start = self:start_of(base, offset)
    whole = size // 8 * 8
    self:loop_over_words(whole, function(at) fn(self.f:alu("add", start, at), 0, 8, at) end)
  end
  each_word(offset + whole, size - whole, offset, function(i, n) fn(base, offset + whole + i, n, whole + i) end)
end

-- The bits of a word of n bytes that tell its bytes which are NUL. The lowest is exact: what a subtraction borrows goes
-- upwards.
local function nul_bits(f, word, n, ones, tops)
  local nul = f:alu("and", f:alu("and", f:alu("sub", word, ones), f:alu("xor", word, -1)), tops)
  return n < 8 and f:alu("and", nul, (1 << 8 * n) - 1) or nul
end

-- Zeroes whatever stands behind the first NUL, without a branch: equal texts have to be equal keys. `found` is 0 once a
-- word with a NUL has passed, and -1 before.
function Compiler:clean_tail(base, offset, size)
  local f = self.f
  local ones, tops = f:move(f:register(), 0x0101010101010101), f:move(f:register(), 0x8080808080808080)
  local found = size > UNROLLED and f:move(f:register(), -1) or nil
  self:each_word_of(base, offset, size, function(from, at, n, index)
    local word = f:load(from, at, n)
    word = found and f:alu("and", word, found) or word
    local nul = nul_bits(f, word, n, ones, tops)
    local lowest = f:alu("and", nul, f:alu("neg", nul, 0))
    local below = f:alu("sub", f:alu("rsh", lowest, 7), 1)
    f:store(from, at, n, f:alu("and", word, below))
    local none = f:alu("sub", f:alu("rsh", f:alu("or", nul, f:alu("neg", nul, 0)), 63), 1)
    none = found and f:alu("and", found, none) or none
    found = math.type(index) and none or f:move(found, none)
  end)
end

-- Whether members of a struct share memory, so that a text there may be something else.
local function is_union(type)
  local behind = 0
  for _, member in ipairs(type.order) do
    if not member.bits and member.offset < behind then
      return true
    end
    behind = math.max(behind, member.offset + member.type.size)
  end
  return false
end

-- Calls fn(offset, size) for each text in memory of a type.
local function each_text(type, offset, fn)
  if type.kind == "chars" and type.text then
    fn(offset, type.size)
  elseif type.kind == "array" and (type.element.kind ~= "int") then
    for n = 0, type.count - 1 do
      each_text(type.element, offset + n * type.element.size, fn)
    end
  elseif type.kind == "struct" and not is_union(type) then
    for _, member in ipairs(type.order) do
      each_text(member.type, offset + member.offset, fn)
    end
  end
end

function Compiler.has_text(_, type)
  local found = false
  each_text(type, 0, function() found = true end)
  return found
end

-- Zeroes what stands behind the NULs of the texts in a struct that was copied as it is.
function Compiler:clean_texts(type, base, offset)
  each_text(type, offset, function(at, size) self:clean_tail(base, at, size) end)
end

function Compiler:write_pending(type, base, offset, v, what, clean)
  local room = v.sized and v.type.size or type.size
  if room > type.size then
    self:fail("%s: a string of up to %s doesn't fit, there is room for %d", what, counted(room, "byte"), type.size)
  end
  if not clean then
    self:clear(base, offset, type.size)
  end
  v.put(self, base, offset, room)
  if v.exact then
    return
  elseif self.for_key then
    self:clean_tail(base, offset, type.size)
  end
end

-- Writes a string to a char array.
function Compiler:write_string(type, base, offset, v, what, clean)
  local text = v.kind == "constant" and v.value
  if is_text(text) then
    return self:write_literal(type, base, offset, text, what)
  elseif v.kind == "pending" then
    return self:write_pending(type, base, offset, v, what, clean)
  elseif not ((v.kind == "buffer" or v.kind == "pointer") and v.type.kind == "chars") then
    self:fail("%s: a string is expected, %s is %s", what, self:whose(v), describe(v))
  end
  self:check_reference(v, what)
  if v.type.size > type.size then
    self:fail("%s: a string of %s doesn't fit, there is room for %d", what, counted(v.type.size, "byte"), type.size)
  end
  self:copy(base, offset, v, v.type.size)
  if not clean then
    self:clear(base, offset + v.type.size, type.size - v.type.size)
  end
  if self.for_key and type.text then
    self:clean_tail(base, offset, type.size)
  end
end

-- Comparing -----------------------------------------------------------------------------------------------------------

local UNREADABLE = { kernel = true, user = true, trusted = true }

-- The string in memory that a program may load from. `what` is done with it, for messages.
function Compiler:readable_string(v, what)
  v = self:materialize(v)
  if not ((v.kind == "buffer" or v.kind == "pointer") and v.type.kind == "chars") then
    self:fail("%s: a string is expected, %s is %s", what, self:whose(v), describe(v))
  end
  self:check_reference(v, what)
  return (UNREADABLE[v.space] or v.core) and self:copy_string(v) or v
end

-- What memory of a type begins with if it is equal to a text; nil if it never is. Bytes are compared with their NULs.
local function bytes_of(type, text)
  if not type.text then
    return #text == type.size and text or nil
  elseif #text > type.size or text:find("\0", 1, true) then
    return nil
  end
  return #text < type.size and text .. "\0" or text
end

-- Goes to `yes` if the string is the constant, up to its NUL, else to `no`.
function Compiler:branch_on_literal(v, text, yes, no)
  local f = self.f
  v = self:readable_string(v, "==")
  local bytes = bytes_of(v.type, text)
  if not bytes then
    return f:jump(no)
  end
  local base, at = self:place(v)
  each_word(at, #bytes, at, function(i, n)
    local want = string.unpack("<i" .. n, bytes, i + 1)
    if n < 8 then
      want = want & (1 << 8 * n) - 1
    end
    local equal = f:block()
    f:branch("ne", f:load(base, at + i, n), want, no, equal)
    f:start(equal)
  end)
  f:jump(yes)
end

-- The value of #s: where the first NUL is.
function Compiler:length(v)
  local f = self.f
  v = self:readable_string(v, "#")
  if not v.type.text then
    return values.constant(v.type.size)
  end
  local base, offset = self:place(v)
  local ones, tops = f:move(f:register(), 0x0101010101010101), f:move(f:register(), 0x8080808080808080)
  local d, behind = f:move(f:register(), v.type.size), f:block()
  self:each_word_of(base, offset, v.type.size, function(from, at, n, index)
    local nul = nul_bits(f, f:load(from, at, n), n, ones, tops)
    local found, going_on = f:block(), f:block()
    f:branch("ne", nul, 0, found, going_on)
    f:start(found)
    local lowest = f:alu("and", nul, f:alu("neg", nul, 0))
    local below = f:alu("and", f:alu("sub", f:alu("rsh", lowest, 7), 1), ones) -- a bit for each byte before the NUL
    f:move(d, f:alu("add", f:alu("and", f:alu("rsh", f:alu("mul", below, ones), 56), 7), index))
    f:jump(behind)
    f:start(going_on)
  end)
  f:jump(behind)
  f:start(behind)
  return values.integer(d, true, v.type.size)
end

-- A copy of a string on the stack with zeros behind its NUL, in a room of `size` bytes.
function Compiler:clean_copy(v, size)
  local object = self:stable_object(size)
  self:clear(object, 0, object.size)
  self:copy(object, 0, v, v.type.size)
  if v.type.text then
    self:clean_tail(object, 0, object.size)
  end
  return object
end

-- Goes to `yes` if two strings in memory are equal up to their NULs, else to `no`.
function Compiler:branch_on_strings(a, b, yes, no)
  local f = self.f
  a, b = self:readable_string(a, "=="), self:readable_string(b, "==")
  local size = math.max(a.type.size, b.type.size)
  if not a.type.text and not b.type.text and a.type.size ~= b.type.size then
    return f:jump(no)
  end
  local x, y = self:clean_copy(a, size), self:clean_copy(b, size)
  for i = 0, x.size - 8, 8 do
    local equal = f:block()
    f:branch("ne", f:load(x, i, 8), f:load(y, i, 8), no, equal)
    f:start(equal)
  end
  f:jump(yes)
end

return Compiler

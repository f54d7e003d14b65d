-- SPDX-License-Identifier: MIT
-- Bytecode of Lua 5.4 and 5.5, as string.dump writes it, read into prototypes of one form. Everything in which the two
-- versions differ is in this file.
--
-- A prototype has:
-- - source (with its @ or =), line and last (the lines of `function` and of `end`), parameters (their number), vararg
-- - code[pc], for pc from 0 to last_pc: { op = "ADD", A, B, C, k, Bx, sBx, sJ, line }; k is 0 or 1. Instructions are
--   decoded when they are indexed, so `pairs` does not see them.
-- - constants[i] = { value = v }, upvalues[i] = { name, in_stack, index }, protos[i]; i begins at 0
-- - locals: a list of { name, from, to } in the order of their declaration, in scope from pc `from` up to `to` - 1
--
-- Some instructions have more fields:
-- - sB or sC, if the operand is a signed constant
-- - Bx of LOADKX: the index of the constant, which Lua keeps in the EXTRAARG that follows
-- - C of NEWTABLE and SETLIST: with the part that Lua keeps in an EXTRAARG
-- - control and first, for instructions of `for` loops: `first` is the register of the first loop variable, `control`
--   the register that the loop's own instructions change in each pass. Before FORPREP, the registers from A are start,
--   limit and step; before TFORPREP, they are iterator, state, first control value and closing value.

local undump = {}

local string_byte, string_unpack = string.byte, string.unpack

-- Opcodes -------------------------------------------------------------------------------------------------------------

local OPCODES = [[
  MOVE LOADI LOADF LOADK LOADKX LOADFALSE LFALSESKIP LOADTRUE LOADNIL GETUPVAL SETUPVAL GETTABUP GETTABLE GETI GETFIELD
  SETTABUP SETTABLE SETI SETFIELD NEWTABLE SELF ADDI ADDK SUBK MULK MODK POWK DIVK IDIVK BANDK BORK BXORK SHRI SHLI
  ADD SUB MUL MOD POW DIV IDIV BAND BOR BXOR SHL SHR MMBIN MMBINI MMBINK UNM BNOT NOT LEN CONCAT CLOSE TBC JMP
  EQ LT LE EQK EQI LTI LEI GTI GEI TEST TESTSET CALL TAILCALL RETURN RETURN0 RETURN1
  FORLOOP FORPREP TFORPREP TFORCALL TFORLOOP SETLIST CLOSURE VARARG VARARGPREP EXTRAARG]]

local OPCODES_55 = OPCODES:gsub("SHRI SHLI", "SHLI SHRI"):gsub("VARARGPREP", "GETVARG ERRNNIL VARARGPREP")

local function names(text)
  local list = {}
  for name in text:gmatch("[A-Z_0-9]+") do
    list[#list + 1] = name
  end
  return list
end

local function set(text)
  local members = {}
  for _, name in ipairs(names(text)) do
    members[name] = true
  end
  return members
end

-- Instructions that write no register.
local WRITES_NOTHING = set [[
  SETUPVAL SETTABUP SETTABLE SETI SETFIELD MMBIN MMBINI MMBINK CLOSE TBC JMP EQ LT LE EQK EQI LTI LEI GTI GEI TEST
  RETURN RETURN0 RETURN1 TFORPREP SETLIST ERRNNIL EXTRAARG]]

-- Readers -------------------------------------------------------------------------------------------------------------

local Reader = {} -- what both versions have: a cursor `at` in `bytes`

function Reader:byte()
  local at = self.at
  self.at = at + 1
  return string_byte(self.bytes, at)
end

function Reader:unpack(format)
  local value
  value, self.at = string_unpack(format, self.bytes, self.at)
  return value
end

function Reader:skip(count)
  local at = self.at
  self.at = at + count
  return at
end

-- 5.4: the last byte of an integer has its highest bit set; numbers are as in memory; only the main function of a dump
-- and functions of other files have their source, in front of the rest.
local Reader54 = {
  opcodes = names(OPCODES), numeric_first = 3, generic_control = 2, generic_first = 4, size_bits = 8,
}

function Reader54:int()
  local value, at = 0, self.at
  while true do
    local byte = string_byte(self.bytes, at)
    at = at + 1
    value = value << 7 | byte & 0x7f
    if byte >= 0x80 then
      self.at = at
      return value
    end
  end
end

function Reader54:string()
  local size = self:int()
  if size == 0 then
    return nil
  end
  local at = self:skip(size - 1)
  return self.bytes:sub(at, self.at - 1)
end

function Reader54:integer()
  return self:unpack("i8")
end

function Reader54.align() end

function Reader54:source_before(outer)
  return self:string() or outer
end

function Reader54.source_after(_, source)
  return source
end

function Reader54:absolute_line()
  return self:int(), self:int()
end

-- 5.5: all bytes of an integer but the last have their highest bit set; integers have their sign in the lowest bit;
-- vectors are aligned; a string that was there before is the number of its first appearance.
local Reader55 = {
  opcodes = names(OPCODES_55), numeric_first = 2, generic_control = 3, generic_first = 3, size_bits = 6,
  names_are_constants = true, -- the name of a method, so Lua leaves k alone
}

function Reader55:int()
  local value, at = 0, self.at
  while true do
    local byte = string_byte(self.bytes, at)
    at = at + 1
    value = value << 7 | byte & 0x7f
    if byte < 0x80 then
      self.at = at
      return value
    end
  end
end

function Reader55:string()
  local size = self:int()
  if size == 0 then
    return self.strings[self:int()]
  end
  local at = self:skip(size) -- with a NUL
  local text = self.bytes:sub(at, self.at - 2)
  self.strings[#self.strings + 1] = text
  return text
end

function Reader55:integer()
  local value = self:int()
  return value & 1 == 0 and value >> 1 or ~(value >> 1)
end

function Reader55:align()
  self.at = (self.at + 2) // 4 * 4 + 1
end

function Reader55.source_before()
  return nil
end

function Reader55:source_after()
  return self:string()
end

function Reader55:absolute_line()
  return self:unpack("i4"), self:unpack("i4")
end

for name, method in pairs(Reader) do
  Reader54[name], Reader55[name] = method, method
end
Reader54.__index, Reader55.__index = Reader54, Reader55

local SIGNATURE = "\27Lua"
local MAGIC = "\0\x19\x93\r\n\x1a\n"
local VERSIONS = {
  [0x54] = { reader = Reader54, header = MAGIC .. string.pack("BBBi8d", 4, 8, 8, 0x5678, 370.5) },
  [0x55] = {
    reader = Reader55,
    header = MAGIC .. string.pack("Bi4BI4Bi8Bd", 4, -0x5678, 4, 0x12345678, 8, -0x5678, 8, -370.5),
  },
}

-- Code ----------------------------------------------------------------------------------------------------------------

-- The line of each instruction. `lines` is where the differences are in the dump: one byte each, or 0x80 where the line
-- is in `absolute`.
local function decode_lines(bytes, lines, proto)
  local list, line = {}, proto.line
  for pc = 0, lines.count - 1 do
    local difference = string_byte(bytes, lines.at + pc)
    if difference == 0x80 then
      line = lines.absolute[pc]
    else
      line = line + (difference < 0x80 and difference or difference - 0x100)
    end
    list[pc] = line
  end
  return list
end

-- Fields that only some opcodes have, or that the versions keep in different places. `following` is the next word.
local complete = {
  LOADKX = function(i, _, _, following)
    i.Bx = following >> 7
  end,
  SELF = function(i, reader)
    i.k = reader.names_are_constants and 1 or i.k
  end,
}

for _, op in ipairs(names "MMBINI EQI LTI LEI GTI GEI") do
  complete[op] = function(i)
    i.sB = i.B - 127
  end
end

for _, op in ipairs(names "ADDI SHRI SHLI") do
  complete[op] = function(i)
    i.sC = i.C - 127
  end
end

for _, op in ipairs(names "FORPREP FORLOOP") do
  complete[op] = function(i, reader)
    i.control, i.first = i.A, i.A + reader.numeric_first
  end
end

for _, op in ipairs(names "TFORPREP TFORCALL TFORLOOP") do
  complete[op] = function(i, reader)
    i.control, i.first = i.A + reader.generic_control, i.A + reader.generic_first
  end
end

for _, op in ipairs(names "NEWTABLE SETLIST") do
  complete[op] = function(i, reader, word, following)
    local bits = reader.size_bits -- of B; C has the rest of 16
    i.B, i.C = word >> 16 & (1 << bits) - 1, word >> 16 + bits
    if i.k == 1 then
      i.C = i.C + ((following >> 7) << 16 - bits)
    end
  end
end

-- A table whose instructions are decoded when they are indexed.
local function lazy_code(reader, proto, code_at, lines)
  local bytes, opcodes = reader.bytes, reader.opcodes
  local last_pc, line = proto.last_pc, nil
  return setmetatable({}, { __index = function(code, pc)
    if pc < 0 or pc > last_pc then
      return nil
    end
    line = line or decode_lines(bytes, lines, proto)
    local word = string_unpack("I4", bytes, code_at + pc * 4)
    local instruction = {
      op = opcodes[(word & 0x7f) + 1],
      A = word >> 7 & 0xff,
      k = word >> 15 & 1,
      B = word >> 16 & 0xff,
      C = word >> 24,
      Bx = word >> 15,
      sBx = (word >> 15) - 0xffff,
      sJ = (word >> 7) - 0xffffff,
      line = line[pc] or proto.line, -- a stripped function has no lines
    }
    local special = complete[instruction.op]
    if special then -- no function ends with one of these
      special(instruction, reader, word, string_unpack("I4", bytes, code_at + pc * 4 + 4))
    end
    code[pc] = instruction
    return instruction
  end })
end

-- Prototypes ----------------------------------------------------------------------------------------------------------

-- Constants by Lua's own tags.
local CONSTANTS = {
  [0x00] = function() return nil end,
  [0x01] = function() return false end,
  [0x11] = function() return true end,
  [0x03] = function(reader) return reader:integer() end,
  [0x13] = function(reader) return reader:unpack("d") end,
  [0x04] = function(reader) return reader:string() end,
  [0x14] = function(reader) return reader:string() end,
}

local function read_constants(reader)
  local list = {}
  for i = 0, reader:int() - 1 do
    list[i] = { value = CONSTANTS[reader:byte()](reader) }
  end
  return list
end

local function read_upvalues(reader)
  local list = {}
  for i = 0, reader:int() - 1 do
    list[i] = { name = "?", in_stack = reader:byte() == 1, index = reader:byte() }
    reader:byte() -- kind: a variable, a constant, to be closed
  end
  return list
end

-- Where the lines of instructions are.
local function read_lines(reader)
  local lines = { count = reader:int(), absolute = {} }
  lines.at = reader:skip(lines.count)
  local count = reader:int()
  if count > 0 then
    reader:align()
  end
  for _ = 1, count do
    local pc, line = reader:absolute_line()
    lines.absolute[pc] = line
  end
  return lines
end

local function read_locals(reader)
  local list = {}
  for i = 1, reader:int() do
    list[i] = { name = reader:string(), from = reader:int(), to = reader:int() }
  end
  return list
end

local function read_prototype(reader, outer)
  local source = reader:source_before(outer)
  local proto = { line = reader:int(), last = reader:int(), parameters = reader:byte() }
  proto.vararg = reader:byte() & 3 ~= 0
  proto.stack = reader:byte()
  local count = reader:int()
  reader:align()
  local code_at = reader:skip(count * 4)
  proto.last_pc = count - 1
  proto.constants = read_constants(reader)
  proto.upvalues = read_upvalues(reader)
  proto.protos = {}
  for i = 0, reader:int() - 1 do
    proto.protos[i] = read_prototype(reader, source)
  end
  proto.source = reader:source_after(source) or "=?" -- stripped
  proto.code = lazy_code(reader, proto, code_at, read_lines(reader))
  proto.locals = read_locals(reader)
  for i = 0, reader:int() - 1 do
    proto.upvalues[i].name = reader:string() or "?" -- a stripped function that was loaded and is dumped again
  end
  return proto
end

-- The prototype in what string.dump returned, or nil and a message.
function undump.read(bytes)
  if bytes:sub(1, #SIGNATURE) ~= SIGNATURE then
    return nil, "this is no bytecode of Lua"
  end
  local number = bytes:byte(#SIGNATURE + 1)
  local version = VERSIONS[number]
  if not version then
    return nil, ("programs can be written in Lua 5.4 and 5.5; this is Lua %d.%d's bytecode"):format(number >> 4,
      number & 15)
  elseif bytes:find(version.header, #SIGNATURE + 2, true) ~= #SIGNATURE + 2 then
    return nil, "this Lua was built with other types of numbers than 64-bit integers and doubles"
  end
  -- Between the header and the function is the number of its upvalues.
  local at = #SIGNATURE + 2 + #version.header + 1
  return read_prototype(setmetatable({ bytes = bytes, at = at, strings = {} }, version.reader))
end

-- The prototype of a Lua function, or nil and a message.
function undump.parse(fn)
  local ok, bytes = pcall(string.dump, fn)
  if not ok then
    if type(fn) ~= "function" or bytes == "not enough memory" then
      error(bytes, 0)
    end
    return nil, "the function is written in C, and only functions written in Lua have bytecode"
  end
  return undump.read(bytes)
end

-- Names ---------------------------------------------------------------------------------------------------------------

-- The name of the local variable that is in a register when the instruction at pc runs, or nil.
function undump.local_name(proto, register, pc)
  for _, variable in ipairs(proto.locals) do
    if variable.from > pc then
      return nil
    elseif pc < variable.to then
      if register == 0 then
        return variable.name:sub(1, 1) ~= "(" and variable.name or nil -- "(for state)"
      end
      register = register - 1
    end
  end
  return nil
end

local function writes(instruction, register)
  local op, A = instruction.op, instruction.A
  if op == "LOADNIL" then
    return A <= register and register <= A + instruction.B
  elseif op == "CALL" or op == "TAILCALL" then
    return register >= A
  elseif op == "TFORCALL" then
    return register >= A + 2
  elseif op == "FORPREP" or op == "FORLOOP" then
    return A <= register and register <= instruction.first
  elseif op == "SELF" then
    return register == A or register == A + 1
  end
  return register == A and not WRITES_NOTHING[op]
end

-- The pc of the instruction that gave a register its value, or nil where that depends on the path to pc.
local function find_writer(proto, register, pc)
  local found, target = nil, 0 -- instructions before the target of a jump may have been skipped
  for at = 0, pc - 1 do
    local instruction = proto.code[at]
    if instruction.op == "JMP" then
      local to = at + 1 + instruction.sJ
      if to <= pc and to > target then
        target = to
      end
    elseif writes(instruction, register) then
      found = at >= target and at or nil
    end
  end
  return found
end

local function quoted(kind, name)
  return ("%s '%s'"):format(kind, type(name) == "string" and name or "?")
end

local function constant(proto, index)
  return proto.constants[index].value
end

local function upvalue(proto, index)
  return proto.upvalues[index].name
end

-- What an instruction gave its register, as Lua's own messages call it.
local NAMES = {
  MOVE = function(proto, i, pc)
    return i.B < i.A and undump.name_of(proto, i.B, pc) or nil
  end,
  GETUPVAL = function(proto, i)
    return quoted("upvalue", upvalue(proto, i.B))
  end,
  GETTABUP = function(proto, i)
    return quoted(upvalue(proto, i.B) == "_ENV" and "global" or "field", constant(proto, i.C))
  end,
  GETFIELD = function(proto, i, pc)
    local in_env = undump.local_name(proto, i.B, pc) == "_ENV"
    return quoted(in_env and "global" or "field", constant(proto, i.C))
  end,
  GETTABLE = function(proto, i, pc)
    local writer = find_writer(proto, i.C, pc)
    local key = writer and not undump.local_name(proto, i.C, pc) and proto.code[writer]
    return quoted("field", key and (key.op == "LOADK" or key.op == "LOADKX") and constant(proto, key.Bx))
  end,
  GETI = function()
    return quoted("field", "?")
  end,
  SELF = function(proto, i)
    return quoted("method", i.k == 1 and constant(proto, i.C))
  end,
  LOADK = function(proto, i)
    local value = constant(proto, i.Bx)
    return type(value) == "string" and quoted("constant", value) or nil
  end,
}
NAMES.LOADKX = NAMES.LOADK

-- What is in a register when the instruction at pc runs, for messages: "local 'x'", "upvalue 'm'", "field 'count'",
-- "global 'print'", "method 'close'", "constant 'text'"; nil where there is no name for it.
function undump.name_of(proto, register, pc)
  local name = undump.local_name(proto, register, pc)
  if name then
    return quoted("local", name)
  end
  local writer = find_writer(proto, register, pc)
  local by = writer and NAMES[proto.code[writer].op]
  return by and by(proto, proto.code[writer], writer)
end

return undump

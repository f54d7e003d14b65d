-- SPDX-License-Identifier: MIT
-- Instructions of BPF as text, as the verifier writes them.
local helpers = require("bpf.program.helpers")

local SIGN = {
  [0x00] = "+=", [0x10] = "-=", [0x20] = "*=", [0x30] = "/=", [0x40] = "|=", [0x50] = "&=", [0x60] = "<<=",
  [0x70] = ">>=", [0x90] = "%=", [0xa0] = "^=", [0xb0] = "=", [0xc0] = "s>>=",
}
local CONDITION = {
  [0x10] = "==", [0x20] = ">", [0x30] = ">=", [0x40] = "&", [0x50] = "!=", [0x60] = "s>", [0x70] = "s>=",
  [0xa0] = "<", [0xb0] = "<=", [0xc0] = "s<", [0xd0] = "s<=",
}
local SIZE = { [0x00] = "u32", [0x08] = "u16", [0x10] = "u8", [0x18] = "u64" }
local ATOMIC = {
  [0x00] = "add", [0x40] = "or", [0x50] = "and", [0xa0] = "xor", [0xe1] = "xchg", [0xf1] = "cmpxchg",
  [0x01] = "fetch_add", [0x41] = "fetch_or", [0x51] = "fetch_and", [0xa1] = "fetch_xor",
}
local BY_REGISTER <const>, NEGATE <const>, SWAP <const> = 0x08, 0x80, 0xd0
local LOAD_IMMEDIATE <const>, CALL <const>, EXIT <const>, GOTO <const> = 0x18, 0x85, 0x95, 0x05

local names = {} -- of helpers, by their numbers
for _, name in ipairs(helpers) do
  names[helpers[name].id] = name
end

local function place(size, register, offset)
  return ("*(%s *)(r%d %s %d)"):format(size, register, offset < 0 and "-" or "+", math.abs(offset))
end

-- What a long constant is: a number, or what the loader puts in.
local function long(i, relocation, name_of)
  if not relocation then
    return ("r%d = 0x%x"):format(i.to, i.immediate & 0xffffffff | i.high << 32)
  end
  return ("r%d = %s"):format(i.to, name_of(relocation))
end

local function arithmetic(i, letter)
  local operation = i.opcode & 0xf0
  if operation == NEGATE then
    return ("%s%d = -%s%d"):format(letter, i.to, letter, i.to)
  elseif operation == SWAP then
    return ("r%d = %s%d r%d"):format(i.to, i.opcode & BY_REGISTER ~= 0 and "be" or "le", i.immediate, i.to)
  end
  local second = i.opcode & BY_REGISTER ~= 0 and letter .. i.from or tostring(i.immediate)
  return ("%s%d %s %s"):format(letter, i.to, SIGN[operation] or "?", second)
end

local function jump(i, letter, relocation, name_of)
  if i.opcode == EXIT then
    return "exit"
  elseif i.opcode == CALL then
    return "call " .. (relocation and name_of(relocation) or names[i.immediate] or i.immediate)
  end
  local target = i.at + 1 + i.offset
  if i.opcode == GOTO then
    return "goto " .. target
  end
  local second = i.opcode & BY_REGISTER ~= 0 and letter .. i.from or tostring(i.immediate)
  return ("if %s%d %s %s goto %d"):format(letter, i.to, CONDITION[i.opcode & 0xf0] or "?", second, target)
end

-- By the lower three bits of the opcode, which are its class.
local CLASSES = {
  [0] = long,
  [1] = function(i) return ("r%d = %s"):format(i.to, place(SIZE[i.opcode & 0x18], i.from, i.offset)) end,
  [2] = function(i) return ("%s = %d"):format(place(SIZE[i.opcode & 0x18], i.to, i.offset), i.immediate) end,
  [3] = function(i)
    local at = place(SIZE[i.opcode & 0x18], i.to, i.offset)
    if i.opcode & 0xe0 == 0xc0 then
      return ("lock %s(%s, r%d)"):format(ATOMIC[i.immediate] or "?", at, i.from)
    end
    return ("%s = r%d"):format(at, i.from)
  end,
  [4] = function(i) return arithmetic(i, "w") end,
  [5] = function(i, ...) return jump(i, "r", ...) end,
  [6] = function(i, ...) return jump(i, "w", ...) end,
  [7] = function(i) return arithmetic(i, "r") end,
}

-- The instructions of a function that has been compiled: a sequence of { at, text, line }, where `line` is that of the
-- intermediate code, and `name_of(relocation)` the name of a map, a variable or a function.
local function disassemble(f, name_of)
  local relocations, lines, list = {}, {}, {}
  for _, relocation in ipairs(f.relocations) do
    relocations[relocation[1]] = relocation
  end
  for _, line in ipairs(f.lines) do
    lines[line[1]] = line[2]
  end
  local at, line = 0, nil
  while at * 8 < #f.code do
    local opcode, registers, offset, immediate = ("<BBi2i4"):unpack(f.code, at * 8 + 1)
    local i = { at = at, opcode = opcode, to = registers & 15, from = registers >> 4, offset = offset,
      immediate = immediate }
    local is_long = opcode == LOAD_IMMEDIATE
    i.high = is_long and ("<i4"):unpack(f.code, at * 8 + 13) or nil
    line = lines[at] or line
    list[#list + 1] = { at = at, text = CLASSES[opcode & 7](i, relocations[at], name_of), line = line }
    at = at + (is_long and 2 or 1)
  end
  return list
end

return disassemble

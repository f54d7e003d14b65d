-- SPDX-License-Identifier: MIT
-- The functions of ELF files, without bpf.dwfl: those of the symbol tables, of files of 64 bits.

local sorted = require("bpf.symbols.sorted")

local SHT_SYMTAB <const>, SHT_NOTE <const>, SHT_DYNSYM <const> = 2, 7, 11
local PT_LOAD <const>, STT_FUNC <const>, STT_IFUNC <const> = 1, 2, 10

local elf = {}
elf.__index = elf

-- Reads n bytes at a place, or nothing.
local function read_at(file, offset, n)
  if offset < 0 or n <= 0 or n > 1 << 30 or not file:seek("set", offset) then
    return nil
  end
  local bytes = file:read(n)
  return bytes and #bytes == n and bytes or nil
end

-- Adds the functions of a section's symbols.
local function read_symbols(file, order, section, strings, all)
  local data = read_at(file, section.offset, section.size)
  local names = read_at(file, strings.offset, strings.size)
  if not data or not names then
    return
  end
  local symbol, text, unpack = order .. "I4BBI2i8i8", order .. "z", string.unpack
  for at = 1, #data - 23, 24 do
    local name, info, _, index, value, size = unpack(symbol, data, at)
    local kind = info & 15
    if (kind == STT_FUNC or kind == STT_IFUNC) and index ~= 0 and value ~= 0 and name < #names then
      all:add(value, unpack(text, names, name + 1), size)
    end
  end
end

local function read_segments(file, order, phoff, phentsize, phnum)
  local segments = {}
  for i = 0, phnum - 1 do
    local bytes = phentsize >= 56 and read_at(file, phoff + i * phentsize, 56)
    if bytes then
      local kind, _, offset, address, _, size = (order .. "I4 I4 i8 i8 i8 i8"):unpack(bytes)
      if kind == PT_LOAD then
        segments[#segments + 1] = { offset = offset, address = address, size = size }
      end
    end
  end
  return segments
end

local function read_sections(file, order, shoff, shentsize, shnum)
  local sections = {}
  for i = 0, shnum - 1 do
    local bytes = shentsize >= 64 and read_at(file, shoff + i * shentsize, 64)
    if bytes then
      local _, kind, _, _, offset, size, link = (order .. "I4 I4 i8 i8 i8 i8 I4"):unpack(bytes)
      sections[i] = { kind = kind, offset = offset, size = size, link = link }
    end
  end
  return sections
end

-- The byte order for string.unpack, the sections by number from 0, how many there are, and a function that
-- reads the segments, of a file that is open; nil if it is no ELF file of 64 bits.
local function read_header(file)
  local header = read_at(file, 0, 64)
  if not header or header:sub(1, 5) ~= "\127ELF\2" then
    return nil
  end
  local order = header:byte(6) == 2 and ">" or "<"
  local phoff, shoff, _, _, phentsize, phnum, shentsize, shnum = (order .. "i8 i8 I4 I2 I2 I2 I2 I2"):unpack(header, 33)
  return order, read_sections(file, order, shoff, shentsize, shnum), shnum,
    function() return read_segments(file, order, phoff, phentsize, phnum) end
end

-- The byte order and the sections of notes, as a list; nil if the file is no ELF file of 64 bits.
function elf.notes(file)
  local order, sections, shnum = read_header(file)
  if not order then
    return nil
  end
  local list = {}
  for i = 0, shnum - 1 do
    if sections[i] and sections[i].kind == SHT_NOTE then
      list[#list + 1] = read_at(file, sections[i].offset, sections[i].size)
    end
  end
  return order, list
end

-- The functions of a file that is open, in the order of the file, and a function that reads the segments; nil if it
-- is no ELF file of 64 bits.
function elf.functions(file)
  local order, sections, shnum, segments = read_header(file)
  if not order then
    return nil
  end
  local all = sorted.new()
  for _, wanted in ipairs { SHT_SYMTAB, SHT_DYNSYM } do -- the first has the local functions, too, if it wasn't stripped
    for i = 0, shnum - 1 do
      local section = sections[i]
      if section and section.kind == wanted and sections[section.link] then
        read_symbols(file, order, section, sections[section.link], all)
      end
    end
  end
  return all, segments
end

-- Reads a file that is open. Returns nil if it is no ELF file of 64 bits.
function elf.open(file)
  local all, segments = elf.functions(file)
  return all and setmetatable({ segments = segments(), symbols = all:sorted() }, elf)
end

-- The frames of an offset in the file, none or one; nil if the offset is in no segment.
function elf:frames(offset)
  for _, segment in ipairs(self.segments) do
    if offset >= segment.offset and offset - segment.offset < segment.size then
      return self.symbols:frames(offset - segment.offset + segment.address)
    end
  end
end

return elf

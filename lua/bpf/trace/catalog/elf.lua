-- SPDX-License-Identifier: MIT
-- What can be traced in an ELF file of 64 bits: its functions, and its USDT probes, which are notes.

local posix = require("bpf.base.posix")
local symbols = require("bpf.symbols.elf")

local elf = {}

-- Opens the file and calls a reader; nil and why not.
local function with(path, read)
  local file <close>, message = posix.open_regular(path)
  if not file then
    return nil, message
  end
  local result = read(file)
  if not result then
    return nil, path .. ": not an ELF file of 64 bits"
  end
  return result
end

-- The addresses of functions by their names.
function elf.functions(path)
  return with(path, function(file)
    local all = symbols.functions(file)
    local names = all and {}
    for n, name in ipairs(all and all.name or {}) do
      names[name] = all.from[n]
    end
    return names
  end)
end

local STAPSDT <const> = 3

-- The sizes of the arguments of a note: "-4@%edi 8@8(%rsp)".
local function sizes(text)
  local list = {}
  for size in text:gmatch("(%-?%d+)f?@") do
    list[#list + 1] = math.tointeger(tonumber(size))
  end
  return list
end

-- Adds the probes of a section of notes.
local function add_marks(order, data, marks)
  local at = 1
  while at + 12 <= #data do
    local namesz, descsz, kind = (order .. "I4I4I4"):unpack(data, at)
    local from = at + 12 + (namesz + 3 & ~3)
    if from + descsz > #data + 1 then
      return
    end
    if kind == STAPSDT and data:sub(at + 12, at + 19) == "stapsdt\0" and descsz > 24 then
      local provider, name, arguments = data:sub(from + 24, from + descsz - 1):match("^([^\0]*)\0([^\0]*)\0([^\0]*)")
      if name then
        marks[provider .. ":" .. name] = marks[provider .. ":" .. name] or sizes(arguments)
      end
    end
    at = from + (descsz + 3 & ~3)
  end
end

-- The USDT probes: by "PROVIDER:NAME" the sizes of their arguments in bytes, negative if they are signed.
function elf.marks(path)
  return with(path, function(file)
    local order, notes = symbols.notes(file)
    if not order then
      return nil
    end
    local marks = {}
    for _, data in ipairs(notes) do
      add_marks(order, data, marks)
    end
    return marks
  end)
end

return elf

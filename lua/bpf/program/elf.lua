-- SPDX-License-Identifier: MIT
-- Makes a relocatable object of BPF out of functions, maps and global variables, with the type information and
-- relocations that libbpf loads it by.

local btf = require("bpf.program.btf")
local emit = require("bpf.program.emit")
local opt = require("bpf.program.opt")

local elf = {}

local pack = string.pack

local RELOCATABLE <const>, MACHINE <const> = 1, 247
local PROGBITS <const>, SYMTAB <const>, STRTAB <const>, NOBITS <const>, REL <const> = 1, 2, 3, 8, 9
local WRITE <const>, ALLOC <const>, EXECUTE <const> = 1, 2, 4
local OBJECT <const>, FUNCTION <const>, SECTION <const>, GLOBAL <const> = 1, 2, 3, 0x10
local R_BPF_64_64 <const>, R_BPF_64_32 <const> = 1, 10
local FLAGS = { [".rodata"] = ALLOC }

-- Sections and symbols ------------------------------------------------------------------------------------------------

local Object = {}
Object.__index = Object

local function new_object()
  return setmetatable({
    sections = {}, index = {}, names = { "\0" }, names_size = 1,
    symbols = { ("\0"):rep(24) }, strings = { "\0" }, strings_size = 1,
  }, Object)
end

-- Appends a section. Returns its index.
function Object:section(name, kind, flags, data, more)
  local section = { name = self.names_size, kind = kind, flags = flags, data = data, link = 0, info = 0, align = 8,
    entry = 0, size = #data }
  for key, value in pairs(more or {}) do
    section[key] = value
  end
  self.names[#self.names + 1] = name .. "\0"
  self.names_size = self.names_size + #name + 1
  self.sections[#self.sections + 1] = section
  self.index[name] = #self.sections
  return #self.sections
end

-- Appends a symbol. Returns its index. Those that aren't global come first.
function Object:symbol(name, info, section, value, size)
  local at = 0
  if name then
    at = self.strings_size
    self.strings[#self.strings + 1] = name .. "\0"
    self.strings_size = at + #name + 1
  end
  if info & GLOBAL == 0 then
    self.locals = #self.symbols + 1
  end
  self.symbols[#self.symbols + 1] = pack("<I4BBI2I8I8", at, info, 0, section, value, size)
  return #self.symbols - 1
end

-- Returns the file's bytes: a header, the sections' contents, the sections' headers.
function Object:bytes()
  local names = self:section(".shstrtab", STRTAB, 0, "", { align = 1 })
  local section = self.sections[names]
  section.data = table.concat(self.names)
  section.size = #section.data
  local out, headers, at = { "" }, { ("\0"):rep(64) }, 64
  local function add(data, align)
    local gap = -at % align
    out[#out + 1] = ("\0"):rep(gap) .. data
    at = at + gap + #data
    return at - #data
  end
  for _, s in ipairs(self.sections) do
    local offset = add(s.data, s.align)
    headers[#headers + 1] = pack("<I4I4I8I8I8I8I4I4I8I8", s.name, s.kind, s.flags, 0, offset, s.size, s.link, s.info,
      s.align, s.entry)
  end
  local start = add(table.concat(headers), 8)
  out[1] = "\127ELF\2\1\1" .. ("\0"):rep(9) .. pack("<I2I2I4I8I8I8I4I2I2I2I2I2I2", RELOCATABLE, MACHINE, 1, 0, 0, start,
    0, 64, 0, 0, 64, #headers, names)
  return table.concat(out)
end

-- Functions -----------------------------------------------------------------------------------------------------------

-- A name that no other symbol has, and that BTF takes.
local function unique(taken, name)
  name = name:gsub("[^A-Za-z_0-9]", "_"):gsub("^%d", "_%0"):sub(1, 60)
  local base, n = name, 1
  while taken[name] do
    n = n + 1
    name = base .. "_" .. n
  end
  taken[name] = true
  return name
end

local function compile(f)
  if not f.code then
    opt.run(f)
    emit.run(f)
  end
end

-- The sections of code, the programs' in their order and .text last if there are other functions: lists of
-- { func, name, at (bytes), program (or nil) }. `build` names programs; functions that they call are found here.
local function arrange(build)
  local sections, by_name, taken, text, place = {}, {}, {}, { name = ".text", size = 0 }, {}
  local function append(section, entry)
    compile(entry.func)
    entry.at = section.size
    section.size = section.size + #entry.func.code
    section[#section + 1] = entry
  end
  for _, program in ipairs(build.programs) do
    local section = by_name[program.section]
    if not section then
      section = { name = program.section, size = 0 }
      by_name[program.section] = section
      sections[#sections + 1] = section
    end
    taken[program.name] = true
    append(section, { func = program.func, name = program.name, program = program })
  end
  local function find(list)
    for _, entry in ipairs(list) do -- which gets longer
      for _, relocation in ipairs(entry.func.relocations) do
        local func = relocation.func
        if func and not place[func] then
          place[func] = { func = func, name = unique(taken, func.name) }
          append(text, place[func])
        end
      end
    end
  end
  for _, section in ipairs(sections) do
    find(section)
  end
  find(text)
  if #text > 0 then
    sections[#sections + 1] = text
  end
  return sections, place
end

-- Returns a section's code. Calls and addresses of functions are relative to the symbol of .text.
local function code_of(section, place)
  local parts = {}
  for _, entry in ipairs(section) do
    local code, from = entry.func.code, 1
    for _, relocation in ipairs(entry.func.relocations) do
      if relocation.func then
        local immediate = relocation[1] * 8 + 5
        local at = place[relocation.func].at
        parts[#parts + 1] = code:sub(from, immediate - 1)
        parts[#parts + 1] = pack("<i4", relocation.pseudo == "call" and at // 8 - 1 or at)
        from = immediate + 4
      end
    end
    parts[#parts + 1] = code:sub(from)
  end
  return table.concat(parts)
end

-- What .BTF.ext says of a section of code.
local function describe(writer, build, section)
  local out = { name = section.name, functions = {}, lines = {}, core = {} }
  local context, place = build.context or function() end, build.place or function(line) return "", "", line end
  for _, entry in ipairs(section) do
    local f, at = entry.func, entry.at
    local id = entry.program and writer:program(entry.name, context(entry.program))
      or writer:subprogram(entry.name, f.parameters)
    out.functions[#out.functions + 1] = writer:function_record(at, id)
    for _, line in ipairs(f.lines) do
      local file, text, number = place(line[2])
      out.lines[#out.lines + 1] = writer:line_record(at + line[1] * 8, file, text:gsub("%z.*", ""), number)
    end
    for _, core in ipairs(f.core) do
      out.core[#out.core + 1] = writer:core_record(at + core.index * 8, core)
    end
  end
  return out
end

-- Maps and variables --------------------------------------------------------------------------------------------------

local NUMBERS <const> = { "type", "max_entries", "map_flags", "map_extra", "numa_node", "pinning" }

-- Writes a map's definition. Returns its id and size. `map` has definition, key, value and values.
local function define(writer, map)
  local definition, members = map.definition, {}
  local function number(name)
    local n = definition[name]
    if n and n ~= 0 then
      members[#members + 1] = { name, writer:number(n) }
    end
  end
  for _, name in ipairs(NUMBERS) do
    number(name)
  end
  for _, what in ipairs({ "key", "value" }) do
    if map[what] then
      members[#members + 1] = { what, writer:pointer(writer:form(map[what])) }
    else
      number(what .. "_size")
    end
  end
  if map.values then
    local inner = map.values.definition and map.values or { definition = map.values }
    members[#members + 1] = { "values", writer:array(writer:pointer((define(writer, inner))), 0) }
  end
  return writer:pointers(members)
end

-- Writes .maps. Returns the symbols to make.
local function add_maps(object, writer, maps)
  local list, at = {}, 0
  for n, map in ipairs(maps or {}) do
    local id, size = define(writer, map)
    list[n] = { name = map.name, id = id, offset = at, size = size, of = map.map }
    at = at + size
  end
  if at > 0 then
    writer:section(".maps", list, at)
    list.section = object:section(".maps", PROGBITS, ALLOC | WRITE, ("\0"):rep(at))
  end
  return list
end

local SECTIONS <const> = { ".data", ".bss", ".rodata" }

-- Writes a section of variables. Returns the symbols to make.
local function add_variables(object, writer, variables, section)
  local list, parts, at = {}, {}, 0
  for _, variable in ipairs(variables or {}) do
    if variable.section == section then
      local size = variable.size
      local gap = -at % (size >= 8 and 8 or size >= 4 and 4 or size >= 2 and 2 or 1)
      parts[#parts + 1] = ("\0"):rep(gap) .. (variable.bytes or ("\0"):rep(size))
      list[#list + 1] = { name = variable.name, id = writer:form(variable.type), offset = at + gap, size = size,
        of = variable }
      at = at + gap + size
    end
  end
  if at > 0 then
    writer:section(section, list, at)
    local is_zero = section == ".bss"
    list.section = object:section(section, is_zero and NOBITS or PROGBITS, FLAGS[section] or ALLOC | WRITE,
      is_zero and "" or table.concat(parts), { size = at })
  end
  return list
end

-- The whole -----------------------------------------------------------------------------------------------------------

-- Makes the symbols. Returns their indexes: of maps and variables by themselves, of .text by that name.
local function add_symbols(object, sections, lists, license)
  local symbols, data = {}, GLOBAL | OBJECT
  local text = sections[#sections]
  if text.name == ".text" then
    symbols[".text"] = object:symbol(nil, SECTION, object.index[".text"], 0, 0)
    for _, entry in ipairs(text) do
      object:symbol(entry.name, FUNCTION, object.index[".text"], entry.at, #entry.func.code)
    end
  end
  for _, section in ipairs(sections) do
    for _, entry in ipairs(section) do
      if entry.program then
        object:symbol(entry.name, GLOBAL | FUNCTION, object.index[section.name], entry.at, #entry.func.code)
      end
    end
  end
  object:symbol("_license", data, object.index.license, 0, #license)
  for _, list in ipairs(lists) do
    for _, variable in ipairs(list) do
      symbols[variable.of] = object:symbol(variable.name, data, list.section, variable.offset, variable.size)
    end
  end
  return symbols
end

-- The relocations of a section of code.
local function relocations_of(section, symbols)
  local list = {}
  for _, entry in ipairs(section) do
    for _, relocation in ipairs(entry.func.relocations) do
      local symbol = symbols[relocation.func and ".text" or relocation.map or relocation.variable]
      assert(symbol, "a map or variable that the object doesn't have")
      list[#list + 1] = pack("<I8I8", entry.at + relocation[1] * 8,
        symbol << 32 | (relocation.pseudo == "call" and R_BPF_64_32 or R_BPF_64_64))
    end
  end
  return table.concat(list)
end

-- Returns the object's bytes. `build` has
-- - programs: { { name, section, func }… }, by name; several may share a section
-- - maps: { { name, definition, key, value, values, map }… }: the numbers of libbpf's definitions, the forms of keys
--   and values if there are any, the inner map's definition, and the map that the code refers to
-- - variables: { { name, size, type, section, bytes }… }
-- - license: a text; place: a function that returns the file, the text and the number of a line
-- - context: a function that returns the C type that a program's context points to, or nil
-- Functions that aren't yet compiled are.
function elf.build(build)
  local object, writer = new_object(), btf.new()
  local sections, place = arrange(build)
  for _, section in ipairs(sections) do
    object:section(section.name, PROGBITS, ALLOC | EXECUTE, code_of(section, place))
    for _, entry in ipairs(section) do
      for _, core in ipairs(entry.func.core) do
        writer:note_core(core)
      end
    end
  end
  local license = (build.license or "GPL") .. "\0"
  object:section("license", PROGBITS, ALLOC | WRITE, license, { align = 1 })
  local lists = { add_maps(object, writer, build.maps) }
  for _, name in ipairs(SECTIONS) do
    lists[#lists + 1] = add_variables(object, writer, build.variables, name)
  end
  local descriptions = {}
  for n, section in ipairs(sections) do
    descriptions[n] = describe(writer, build, section)
  end
  local extension = writer:extension(descriptions)
  object:section(".BTF", PROGBITS, 0, writer:bytes(), { align = 4 })
  object:section(".BTF.ext", PROGBITS, 0, extension, { align = 4 })
  local symbols = add_symbols(object, sections, lists, license)
  local strings = object:section(".strtab", STRTAB, 0, table.concat(object.strings), { align = 1 })
  local table_index = object:section(".symtab", SYMTAB, 0, table.concat(object.symbols),
    { link = strings, info = object.locals or 1, entry = 24 })
  for _, section in ipairs(sections) do
    local data = relocations_of(section, symbols)
    if #data > 0 then
      object:section(".rel" .. section.name, REL, 0, data, { link = table_index, info = object.index[section.name],
        entry = 16 })
    end
  end
  return object:bytes()
end

return elf

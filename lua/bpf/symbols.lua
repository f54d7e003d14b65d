-- SPDX-License-Identifier: MIT
--- Names for addresses: of the kernel's functions, and of those of processes and their libraries. Reads
-- `/proc/kallsyms`, `/proc/<pid>/maps` and the symbol tables of ELF files; nothing is read before it is asked for.
-- @module bpf.symbols

local argument = require("bpf.base.argument")
local error = argument.error
local posix = require("bpf.base.posix")

local symbols = {}

-- Tables of symbols: addresses in ascending order, and beside each a name, a size (false: up to the next) and a module
-- (or false).
local table_of_symbols = {}
table_of_symbols.__index = table_of_symbols

local function new_symbols()
  return setmetatable({ from = {}, name = {}, size = {}, module = {} }, table_of_symbols)
end

function table_of_symbols:add(address, name, size, module)
  local n = #self.from + 1
  self.from[n], self.name[n], self.size[n], self.module[n] = address, name, size or false, module or false
end

-- The entry that holds the address, or nil.
function table_of_symbols:entry(address)
  local from, low, high = self.from, 1, #self.from
  if high == 0 or math.ult(address, from[1]) then
    return nil
  end
  while low < high do
    local middle = (low + high + 1) // 2
    if math.ult(address, from[middle]) then
      high = middle - 1
    else
      low = middle
    end
  end
  local size = self.size[low] or 0
  if size > 0 and address - from[low] >= size then
    return nil
  end
  return low
end

-- The same in ascending order. Of several with one address the first one stays.
function table_of_symbols:sorted()
  local from, order, ascending = self.from, {}, true
  for i = 1, #from do
    order[i] = i
    ascending = ascending and (i == 1 or math.ult(from[i - 1], from[i]))
  end
  if ascending then
    return self
  end
  table.sort(order, function(a, b)
    local x, y = from[a], from[b]
    if x == y then
      return a < b
    end
    return x ~ math.mininteger < y ~ math.mininteger -- math.ult, at a third of its time
  end)
  local t, last = new_symbols(), nil
  for _, i in ipairs(order) do
    if from[i] ~= last then
      last = from[i]
      t:add(last, self.name[i], self.size[i], self.module[i])
    end
  end
  return t
end

-- The kernel ----------------------------------------------------------------------------------------------------------

local Kernel = { __name = "bpf.symbols.kernel" }
Kernel.__index = Kernel

-- The function's name, nil when the address is in none; bytes from its start; the module, nil for the kernel itself.
function Kernel:find(address)
  argument.check_self("find", self, Kernel)
  argument.check(1, "find", address, "integer")
  local i = self.symbols:entry(address)
  if not i then
    return nil
  end
  return self.symbols.name[i], address - self.symbols.from[i], self.symbols.module[i] or nil
end

function Kernel:__tostring()
  argument.check_self("tostring", self, Kernel)
  return ("bpf.symbols: kernel, %d symbols"):format(#self.symbols.from)
end

local kernel

--- Returns the symbols of the kernel. The first call reads /proc/kallsyms; later calls return the same table.
-- @treturn table with a method `find(address)`. It returns the function's name, the bytes from its start, and the
-- module. If the address is in no function, it returns nil. For functions of the kernel itself the module is nil
-- @treturn nil,string,string on failure: EPERM (the kernel hides its addresses: kernel.kptr_restrict), ENOENT (no
-- /proc), EMFILE, …
-- @usage
-- local kernel = assert(bpf.symbols.kernel())
-- local name, offset, module = kernel:find(0xffffffff81000000)
function symbols.kernel()
  if kernel then
    return kernel
  end
  local file <close>, message, number = io.open("/proc/kallsyms")
  local lines
  if file then
    lines, message, number = file:read("a")
  end
  if not lines then
    return posix.proc_failure(message, number)
  end
  local all, seen = new_symbols(), false
  for digits, name, module in lines:gmatch("(%x+) [tTwW] (%S+)([^\n]*)") do
    local address = tonumber(digits, 16)
    seen = seen or address ~= 0
    all:add(address, name, nil, module ~= "" and module:match("%[(.*)%]"))
  end
  if not seen then
    return nil, "/proc/kallsyms: the kernel hides its addresses; it takes root, kernel.kptr_restrict below 2", "EPERM"
  end
  kernel = setmetatable({ symbols = all:sorted() }, Kernel)
  return kernel
end

-- ELF files -----------------------------------------------------------------------------------------------------------

local SHT_SYMTAB <const>, SHT_DYNSYM <const>, PT_LOAD <const>, STT_FUNC <const>, STT_IFUNC <const> = 2, 11, 1, 2, 10

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
  for at = 1, #data - 23, 24 do
    local name, info, _, index, value, size = (order .. "I4 B B I2 i8 i8"):unpack(data, at)
    local kind = info & 15
    if (kind == STT_FUNC or kind == STT_IFUNC) and index ~= 0 and value ~= 0 and name < #names then
      all:add(value, ("z"):unpack(names, name + 1), size)
    end
  end
end

-- What an ELF file of 64 bits says: its functions by address, and where its segments go. Empty for anything else, and
-- for a file that can't be opened; if that may change, why is in `problem`.
local function read_elf(path)
  local elf = { segments = {}, symbols = new_symbols() }
  local file <close>, message, number = io.open(path, "rb")
  if not file and not posix.is_final(number) then
    elf.problem = table.pack(posix.failure("symbols", message, number))
  end
  local header = file and read_at(file, 0, 64)
  if not header or header:sub(1, 5) ~= "\127ELF\2" then
    return elf
  end
  local order = header:byte(6) == 2 and ">" or "<"
  local phoff, shoff, _, _, phentsize, phnum, shentsize, shnum = (order .. "i8 i8 I4 I2 I2 I2 I2 I2"):unpack(header, 33)
  for i = 0, phnum - 1 do
    local bytes = phentsize >= 56 and read_at(file, phoff + i * phentsize, 56)
    if bytes then
      local kind, _, offset, address, _, size = (order .. "I4 I4 i8 i8 i8 i8"):unpack(bytes)
      if kind == PT_LOAD then
        elf.segments[#elf.segments + 1] = { offset = offset, address = address, size = size }
      end
    end
  end
  local sections = {}
  for i = 0, shnum - 1 do
    local bytes = shentsize >= 64 and read_at(file, shoff + i * shentsize, 64)
    if bytes then
      local _, kind, _, _, offset, size, link = (order .. "I4 I4 i8 i8 i8 i8 I4"):unpack(bytes)
      sections[i] = { kind = kind, offset = offset, size = size, link = link }
    end
  end
  local all = new_symbols()
  for _, wanted in ipairs { SHT_SYMTAB, SHT_DYNSYM } do -- the first has the local functions, too, if it wasn't stripped
    for i = 0, shnum - 1 do
      local section = sections[i]
      if section and section.kind == wanted and sections[section.link] then
        read_symbols(file, order, section, sections[section.link], all)
      end
    end
  end
  elf.symbols = all:sorted()
  return elf
end

-- Processes -----------------------------------------------------------------------------------------------------------

local Process = { __name = "bpf.symbols.process" }
Process.__index = Process

-- Names that a run-time compiler left for perf; or nil, message, code while that isn't known.
local function read_perf_map(pid)
  local all = new_symbols()
  local file <close>, message, number = io.open(("/tmp/perf-%d.map"):format(pid))
  if not file and not posix.is_final(number) then
    return posix.failure("symbols", message, number)
  end
  for line in file and file:lines() or function() end do
    local address, size, name = line:match("^(%x+) (%x+) (.+)$")
    if address then
      all:add(tonumber(address, 16), name, tonumber(size, 16))
    end
  end
  return all:sorted()
end

-- The mapping that an address is in, or nil.
local function mapping(self, address)
  for _, map in ipairs(self.maps) do
    if not math.ult(address, map.from) and math.ult(address, map.to) then
      return map
    end
  end
end

-- What a mapped file says, read once it can be.
local function elf_of(self, map)
  local elf = self.files[map.path]
  if elf then
    return elf
  end
  -- what is mapped, whatever has become of the path; with the namespace's own root where that can't be opened
  elf = read_elf(("/proc/%d/map_files/%x-%x"):format(self.pid, map.from, map.to))
  if not elf.segments[1] and not elf.problem then
    elf = read_elf(("/proc/%d/root%s"):format(self.pid, map.path))
  end
  self.files[map.path] = not elf.problem and elf or nil
  return elf
end

-- The function's name, nil when it has none; bytes from its start or, where it has no name, from that of the file; path
-- of the file, nil when the address is in none. Then, if names couldn't be read this time, message and code.
function Process:find(address)
  argument.check_self("find", self, Process)
  argument.check(1, "find", address, "integer")
  local map = mapping(self, address)
  if not map or not map.path then
    local message, code
    if not self.perf then
      self.perf, message, code = read_perf_map(self.pid)
    end
    local i = self.perf and self.perf:entry(address)
    if i then
      return self.perf.name[i], address - self.perf.from[i]
    end
    return nil, nil, nil, message, code
  end
  local elf = elf_of(self, map)
  local offset = address - map.from + map.offset
  for _, segment in ipairs(elf.segments) do
    if offset >= segment.offset and offset - segment.offset < segment.size then
      local place = offset - segment.offset + segment.address
      local i = elf.symbols:entry(place)
      if i then
        return elf.symbols.name[i], place - elf.symbols.from[i], map.path
      end
    end
  end
  return nil, offset, map.path, table.unpack(elf.problem or {}, 2, 3)
end

function Process:__tostring()
  argument.check_self("tostring", self, Process)
  return ("bpf.symbols: process %d"):format(self.pid)
end

--- Returns the symbols of a process. It reads the process's mappings now, and the files' symbols when an address is
-- first looked up. So look addresses up while the process lives.
-- @tparam integer pid
-- @treturn table with a method `find(address)`. It returns the function's name, the bytes from its start, and the
-- file's path. If the address is in no function, the name is nil, and the bytes are counted from the start of the file.
-- If the address is in no file, the path is nil. If the names couldn't be read, for example because no descriptor was
-- left, a message and its code follow, and the next call tries again
-- @treturn nil,string,string on failure: ENOENT (no such process), EACCES, EMFILE, …
-- @usage
-- local process = assert(bpf.symbols.process(pid))
-- local name, offset, path = process:find(0x7f0000001234)
function symbols.process(pid)
  argument.check(1, "process", pid, "integer")
  local path = ("/proc/%d/maps"):format(pid)
  local file <close>, message, number = io.open(path)
  local text
  if file then
    text, message, number = file:read("a") -- fails when the process has ended since
    message = message and path .. ": " .. message
  end
  if not text then
    return posix.proc_failure(message, number)
  end
  local maps = {}
  for line in text:gmatch("[^\n]+") do
    local from, to, flags, offset, module = line:match("^(%x+)%-(%x+) (%S+) (%x+) %S+ %d+%s*(.*)$")
    if from and flags:find("x", 1, true) then
      module = module:gsub(" %(deleted%)$", "")
      maps[#maps + 1] = {
        from = tonumber(from, 16), to = tonumber(to, 16), offset = tonumber(offset, 16),
        path = module:sub(1, 1) == "/" and module or nil,
      }
    end
  end
  return setmetatable({ pid = pid, maps = maps, files = {} }, Process)
end

-- Text ----------------------------------------------------------------------------------------------------------------

local function check_symbols(fname, from)
  local class = getmetatable(from)
  if class ~= Kernel and class ~= Process then
    error(("bad argument #1 to '%s' (what bpf.symbols.kernel or process gives expected, got %s)"):format(fname,
      type(from)), 3)
  end
end

--- Returns an address as text: "vfs_read+0x1c", "malloc+0x20 (libc.so.6)", "0x1234 (prog)", "0xffffffff81000000".
-- @tparam table from what `kernel` or `process` returned
-- @tparam integer address
-- @treturn string
-- @usage
-- local kernel = assert(bpf.symbols.kernel())
-- print(bpf.symbols.text(kernel, 0x1000)) -- 0x1000, as no function is there
function symbols.text(from, address)
  check_symbols("text", from)
  argument.check(2, "text", address, "integer")
  local name, offset, module = from:find(address)
  local where = module and " (" .. (module:match("[^/]*$")) .. ")" or ""
  if name then
    return offset > 0 and ("%s+0x%x%s"):format(name, offset, where) or name .. where
  end
  return ("0x%x%s"):format(module and offset or address, where)
end

--- Returns a stack as text, one line for each address; or as one line for flame graphs, which begins with the outermost
-- function.
-- @tparam table from what `kernel` or `process` returned
-- @tparam table addresses a sequence, as a map of type stack_trace returns it
-- @tparam ?boolean folded true for one line of names without offsets, with ";" between them
-- @treturn string
-- @usage
-- local kernel = assert(bpf.symbols.kernel())
-- print(bpf.symbols.stack(kernel, { 0x1000, 0x2000 }))       -- two lines
-- print(bpf.symbols.stack(kernel, { 0x1000, 0x2000 }, true)) -- [unknown];[unknown]
function symbols.stack(from, addresses, folded)
  check_symbols("stack", from)
  argument.check(2, "stack", addresses, "table")
  local lines = {}
  for i, address in ipairs(addresses) do
    if folded then
      local name, _, module = from:find(address)
      lines[#addresses - i + 1] = name or module and "[" .. module:match("[^/]*$") .. "]" or "[unknown]"
    else
      lines[i] = symbols.text(from, address)
    end
  end
  return table.concat(lines, folded and ";" or "\n")
end

return symbols

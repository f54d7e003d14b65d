-- SPDX-License-Identifier: MIT
-- The symbols of processes: their mappings, the files that are mapped, and what run-time compilers leave for perf.
-- Whatever names a process gives may be hostile: only regular files are opened, and paths are resolved below its root.

local argument = require("bpf.base.argument")
local posix = require("bpf.base.posix")
local sorted = require("bpf.symbols.sorted")
local has_dwfl, dwfl = pcall(require, "bpf.dwfl")
if not has_dwfl and posix.exhausted() then -- it may well be installed
  error(dwfl, 0)
end
local elf = not has_dwfl and require("bpf.symbols.elf")

local process = {}

local Process = { __name = "bpf.symbols.process" }
Process.__index = Process
process.class = Process

-- A perf map of more bytes is not read: it may be anything.
local LARGEST <const> = 256 << 20
-- So many addresses of a file are remembered.
local REMEMBERED <const> = 1 << 16

-- Mapped files --------------------------------------------------------------------------------------------------------

-- What was read of files, by what posix.status says about them: processes share libraries.
local files = setmetatable({}, { __mode = "v" })

-- Where debug files are: by build id, and by the name that the file itself gives.
local function debug_files(handle, path)
  local id, link, list = handle:build_id(), handle:debuglink(), {}
  if id and #id > 2 then
    list[1] = ("/usr/lib/debug/.build-id/%s/%s.debug"):format(id:sub(1, 2), id:sub(3))
  end
  if link and not link:find("/", 1, true) then
    local directory = path:match("^(.*/)")
    for _, before in ipairs { directory, directory .. ".debug/", "/usr/lib/debug" .. directory } do
      list[#list + 1] = before .. link
    end
  end
  return list
end

-- Looks for the debug file in the process's root, and then in this process's own.
local function find_debug(handle, path, root)
  for _, name in ipairs(debug_files(handle, path)) do
    for _, top in ipairs { root, "/" } do
      local file <close> = posix.open_regular(name, top)
      if file and handle:debug(file) then
        return
      end
    end
  end
end

local function open_with_dwfl(file, path, root)
  local handle = dwfl.open(file)
  if handle then
    find_debug(handle, path, root)
  end
  return handle
end

local open_elf = has_dwfl and open_with_dwfl or function(file)
  return elf.open(file)
end

-- The mapped file, open. Opening it by the mapping works even if it was deleted or replaced, but takes capabilities. By
-- its path, the inode tells whether it is still the same file. A process that has ended since has no root any more: its
-- files are looked for below this process's.
local function open_mapped(self, map)
  local file, message, number = posix.open_regular(("/proc/%d/map_files/%x-%x"):format(self.pid, map.from, map.to))
  if file or not posix.is_final(number) then
    return file, message, number
  end
  if map.deleted then
    return nil, message, number
  end
  local has_ended = posix.file_status(("/proc/%d"):format(self.pid)) ~= "directory"
  file, message, number = posix.open_regular(map.path, has_ended and "/" or self.root)
  if file and posix.status(file) ~= map.inode then
    file:close()
    file = nil
  end
  return file, message, number
end

local UNREAD <const> = { remembered = {}, count = 0 }

-- What a mapped file says: { reader, build_id }, without a reader if it is no ELF file or can't be opened. Then, if
-- opening it may succeed later, message and code.
local function file_of(self, map)
  local known = self.files[map.key]
  if known then
    return known
  end
  local file <close>, message, number = open_mapped(self, map)
  if not file and not posix.is_final(number or 2) then
    return UNREAD, select(2, posix.failure("symbols", message, number))
  end
  local status = file and select(2, posix.status(file))
  known = status and files[status]
  if not known then
    local reader = file and open_elf(file, map.path, self.root)
    known = { reader = reader, build_id = reader and has_dwfl and reader:build_id(), remembered = {}, count = 0 }
    if status then
      files[status] = known
    end
  end
  self.files[map.key] = known
  return known
end

-- The frames of an offset in the file, or false.
local function frames_of(known, offset)
  local frames = known.remembered[offset]
  if frames == nil then
    if known.count == REMEMBERED then
      known.remembered, known.count = {}, 0
    end
    frames = known.reader:frames(offset) or false
    known.remembered[offset], known.count = frames, known.count + 1
  end
  return frames
end

-- Names from run-time compilers ---------------------------------------------------------------------------------------

-- The process's number in its own namespace, which is in the file's name.
local function inner_pid(pid)
  local file <close> = io.open(("/proc/%d/status"):format(pid))
  local text = file and file:read("a") or ""
  return math.tointeger(tonumber(text:match("\nNSpid:[^\n]-(%d+)\n"))) or pid
end

-- Names that a run-time compiler left for perf; or nil, message, code while that isn't known.
local function read_perf_map(self)
  local all = sorted.new()
  local path = ("/tmp/perf-%d.map"):format(inner_pid(self.pid))
  local file <close>, message, number = posix.open_regular(path, self.root)
  if not file and not posix.is_final(number) then
    return posix.failure("symbols", message, number)
  end
  if file and file:seek("end") <= LARGEST then
    file:seek("set")
    for line in file:lines() do
      local address, size, name = line:match("^(%x+) (%x+) (.+)$")
      if address then
        all:add(tonumber(address, 16), name, tonumber(size, 16))
      end
    end
  end
  return all:sorted()
end

-- Looking up ----------------------------------------------------------------------------------------------------------

-- The mapping that an address is in, or nil: they are in ascending order.
local function mapping(maps, address)
  local low, high = 1, #maps
  while low <= high do
    local middle = (low + high) // 2
    local map = maps[middle]
    if math.ult(address, map.from) then
      high = middle - 1
    elseif not math.ult(address, map.to) then
      low = middle + 1
    else
      return map
    end
  end
end

-- The frames of an address, none or several, or nil or false; the mapping; message and code, if they couldn't be read.
local function look(self, address)
  local map, message, code = mapping(self.maps, address), nil, nil
  if map and map.path then
    local known
    known, message, code = file_of(self, map)
    if known.reader then
      map.build_id = known.build_id or nil
      return frames_of(known, address - map.from + map.offset), map
    elseif message then
      return nil, map, message, code
    end
  end
  if not self.perf then
    self.perf, message, code = read_perf_map(self)
  end
  return self.perf and self.perf:frames(address), map, message, code
end

-- The function's name, nil when it has none; bytes from its start or, where it has no name, from that of the file; path
-- of the file, nil when the address is in none. Then, if names couldn't be read this time, message and code.
function Process:find(address)
  argument.check_self("find", self, Process)
  argument.check(1, "find", address, "integer")
  local frames, map, message, code = look(self, address)
  local last = frames and frames[#frames]
  local path = map and map.path
  if last and last.name then
    return last.name, last.offset, path
  end
  return nil, path and address - map.from + map.offset, path, message, code
end

-- The frames of an address as bpf.symbols.frames returns them. `back` is 1 for the address behind a call.
local function make_frames(self, address, back)
  local frames, map, message = look(self, address - back)
  if back > 0 and not (frames and frames[1]) then
    back, frames, map, message = 0, look(self, address)
  end
  local path = map and map.path
  if not frames or not frames[1] then
    local offset = path and address - map.from + map.offset
    return { { address = address, offset = offset, path = path, mapping = map } }, message
  end
  local list = {}
  for i, frame in ipairs(frames) do
    list[i] = {
      address = address, name = frame.name, offset = frame.offset and frame.offset + back, path = path, mapping = map,
      source = frame.source, line = frame.line, inlined = frame.inlined,
    }
  end
  return list, message
end

-- Adds the frames of an address to a list. They are made once, because the addresses of a profile come again and again.
function process.add_frames(self, address, back, list)
  local made = self.made[back]
  local frames = made[address]
  if not frames then
    local message
    frames, message = make_frames(self, address, back)
    if not message then
      if made.count == REMEMBERED then
        made = { count = 0 }
        self.made[back] = made
      end
      made[address], made.count = frames, made.count + 1
    end
  end
  for i = 1, #frames do
    list[#list + 1] = frames[i]
  end
end

function Process:__tostring()
  argument.check_self("tostring", self, Process)
  return ("bpf.symbols: process %d"):format(self.pid)
end

local MAPPING <const> = "^(%x+)%-(%x+) (%S+) (%x+) (%S+) (%d+)%s*(.*)$"

-- A mapping: its addresses, the place in the file, and the file's device, inode and name.
function process.mapping(from, to, offset, device, inode, name)
  local live, n = name:gsub(" %(deleted%)$", "")
  return {
    from = from, to = to, offset = offset, deleted = n > 0, inode = inode,
    path = live:find("^/[^/]") and live or nil, key = ("%s %d %s"):format(device, inode, live),
  }
end

-- The mappings of code that a process has now, in ascending order. Returns nil, message, code on failure.
function process.mappings(pid)
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
    local from, to, flags, offset, device, inode, name = line:match(MAPPING)
    if from and flags:find("x", 1, true) then
      maps[#maps + 1] = process.mapping(tonumber(from, 16), tonumber(to, 16), tonumber(offset, 16), device,
        math.tointeger(tonumber(inode)), name)
    end
  end
  return maps
end

-- A process with these mappings, whose files are below a root: its own, unless it has ended.
function process.new(pid, maps, root)
  return setmetatable({
    pid = pid, root = root or ("/proc/%d/root"):format(pid), maps = maps, files = {},
    made = { [0] = { count = 0 }, [1] = { count = 0 } }, -- by `back`, frames by address
  }, Process)
end

-- Reads the mappings of code now. Returns nil, message, code on failure.
function process.open(pid)
  local maps, message, code = process.mappings(pid)
  if not maps then
    return nil, message, code
  end
  return process.new(pid, maps)
end

return process

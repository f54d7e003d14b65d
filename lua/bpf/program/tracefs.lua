-- SPDX-License-Identifier: MIT
-- The records of tracepoints, as tracefs describes them.
local types = require("bpf.program.types")

local tracefs = {}

local EPERM <const>, EACCES <const> = 1, 13

local FOLDERS = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" }

-- Arguments of system calls have 8 bytes each, of which those behind a narrower type hold anything.
local NARROW = { umode_t = types.integer(2) }
for names, form in pairs {
  ["int pid_t key_t timer_t mqd_t clockid_t qid_t"] = types.integer(4, true),
  ["unsigned u32 uid_t gid_t"] = types.integer(4),
} do
  for name in names:gmatch("%S+") do
    NARROW[name] = form
  end
end
NARROW["unsigned int"] = NARROW.unsigned

-- Programs can't read what all records begin with.
local COMMON <const> = 8

-- The form of a field: what its C declaration and its size say.
local function field_type(declaration, size, signed)
  local text = declaration:match("^%s*__data_loc char%[%]") or declaration:match("^%s*__rel_loc char%[%]")
  if text then
    return { kind = "data_loc", size = 4, relative = text:find("rel", 1, true) ~= nil }
  elseif declaration:find("%[") then
    if declaration:find("^%s*unsigned char") or declaration:find("^%s*char") or declaration:find("^%s*__u8") then
      return { kind = "chars", size = size, text = not declaration:find("u") }
    end
    local count = math.tointeger(tonumber(declaration:match("%[(%d+)%]")) or 0)
    if count > 0 and size % count == 0 then
      return { kind = "array", size = size, count = count, element = types.integer(size // count, signed) }
    end
    return types.chars(size)
  end
  local name = declaration:gsub("^%s*const ", ""):match("^%s*(.-)%s*[A-Za-z_0-9]+%s*$")
  if size == 1 and (name == "bool" or name == "_Bool") then
    return { kind = "int", size = 1, signed = false, bool = true }
  end
  return size == 8 and NARROW[name] or types.integer(size, signed)
end

local function parse(text, name)
  local form = { kind = "struct", size = 0, name = "the record of " .. name, order = {}, members = {} }
  for declaration, offset, size, signed in text:gmatch("field:([^;]+);%s*offset:(%d+);%s*size:(%d+);%s*signed:(%d)") do
    local field = declaration:gsub("%b[]", ""):match("([A-Za-z_0-9]+)%s*$")
    local bytes, at = math.tointeger(tonumber(size)), math.tointeger(tonumber(offset))
    if field and bytes > 0 and at >= COMMON then
      local member = { name = field, offset = at, type = field_type(declaration, bytes, signed == "1"),
        target = declaration:match("(struct [A-Za-z_0-9]+) ?%* ?[A-Za-z_0-9]+%s*$") }
      form.members[field], form.order[#form.order + 1] = member, member
      form.size = math.max(form.size, member.offset + bytes)
    end
  end
  return form
end

-- The text of a file of tracefs. Nil, a message, and whether tracefs is there without such a file.
function tracefs.read(path)
  local mounted, refused = false, nil
  for _, folder in ipairs(FOLDERS) do
    local file <close>, message, number = io.open(folder .. "/" .. path)
    local text = file and file:read("a")
    if text then
      return text
    end
    local header <close> = io.open(folder .. "/events/header_page")
    mounted = mounted or header ~= nil
    if number == EACCES or number == EPERM then
      refused = refused or "tracefs can't be read here: " .. message
    end
  end
  return nil, refused or mounted and ("tracefs has no %s"):format(path)
    or "tracefs can't be read here (as root: mount -t tracefs tracefs /sys/kernel/tracing)", mounted and not refused
end

local known = {}

-- The struct that a tracepoint's program gets. Nil and a message if there is no such tracepoint, or no tracefs.
function tracefs.record(category, name)
  local path = category .. "/" .. name
  if not known[path] then
    local text, message, absent = tracefs.read(("events/%s/format"):format(path))
    if not text then
      return nil, absent and "there is no tracepoint " .. path or message
    end
    known[path] = parse(text, name)
  end
  return known[path]
end

-- Objects for other kernels ------------------------------------------------------------------------------------------

-- The members of a record's struct in the kernel's BTF, as tracefs has them: enums are integers too, and text that has
-- no place of its own is called without the prefix. Those that aren't fields stay as they are.
local function adapt(form)
  for _, member in ipairs(form.order) do
    local kind, prefix, name = member.type.kind, member.name:match("^(__[a-z]+_loc_)(.+)$")
    local type
    if prefix == "__data_loc_" or prefix == "__rel_loc_" then
      type = { kind = "data_loc", size = 4, relative = prefix == "__rel_loc_" }
    elseif kind == "int" or kind == "ptr" then
      type = member.type.bool and member.type or types.integer(member.type.size, member.type.signed)
    end
    if type then
      form.members[name or member.name] = { name = name or member.name, index = member.index, offset = member.offset,
        bits = member.bits, bit_offset = member.bit_offset, type = type }
    end
  end
  return form
end

-- Whether a struct has all fields of a record where they are, and no more.
local function is_equal(form, record)
  local fields = #form.order - 1 -- struct trace_entry is the first
  if form.order[#form.order].name == "__data" then
    fields = fields - 1
  end
  for _, field in ipairs(record.order) do
    local member = form.members[field.name]
    if not member or member.offset ~= field.offset or member.type.size ~= field.type.size then
      return false
    end
  end
  return fields == #record.order
end

-- The struct of the events that are declared as one class, which has the class's name: found by its members.
local function find_class(record)
  local names = {}
  for description in types.kernel():types("struct") do
    if description.name and description.name:find("^trace_event_raw_") then
      names[#names + 1] = description.name
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local form = types.of_kernel("struct " .. name)
    if #form.order > 1 and is_equal(adapt(form), record) then
      return form
    end
  end
  return nil
end

-- The struct that a tracepoint's program gets, out of the kernel's BTF, so that its members can be relocated. Those of
-- system calls are alike on all kernels, and are called by their arguments where tracefs can be read.
function tracefs.relocated_record(category, name)
  local own = types.of_kernel("struct trace_event_raw_" .. name)
  if own then
    return adapt(own)
  end
  local form, why = tracefs.record(category, name)
  if category == "syscalls" then
    local class = name:match("^sys_enter_") or name:match("^sys_exit_")
    return form or class and types.of_kernel("struct trace_event_raw_" .. class:sub(1, -2)), why
  elseif not form or not types.kernel() then
    return nil, why or select(2, types.kernel())
  end
  local class = find_class(form)
  return class, ("the kernel's BTF has no struct for the tracepoint %s/%s"):format(category, name)
end

return tracefs

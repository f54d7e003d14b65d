-- SPDX-License-Identifier: MIT
-- The records of tracepoints, as tracefs describes them.
local types = require("bpf.program.types")

local tracefs = {}

local FOLDERS = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" }

-- The form of a field: what its C declaration and its size say.
local function field_type(declaration, size, signed)
  if declaration:find("__data_loc", 1, true) then
    return { kind = "data_loc", size = 4 }
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
  return types.integer(size, signed or size == 8 and declaration:find("^%s*int ") ~= nil)
end

local function parse(text, name)
  local form = { kind = "struct", size = 0, name = "the record of " .. name, order = {}, members = {} }
  for declaration, offset, size, signed in text:gmatch("field:([^;]+);%s*offset:(%d+);%s*size:(%d+);%s*signed:(%d)") do
    local field = declaration:gsub("%b[]", ""):match("([A-Za-z_0-9]+)%s*$")
    local bytes = math.tointeger(tonumber(size))
    if field and bytes > 0 then
      local member = {
        name = field, offset = math.tointeger(tonumber(offset)), type = field_type(declaration, bytes, signed == "1"),
      }
      form.members[field], form.order[#form.order + 1] = member, member
      form.size = math.max(form.size, member.offset + bytes)
    end
  end
  return form
end

local known = {}

-- The struct that a tracepoint's program gets. Nil and a message if there is no such tracepoint, or no tracefs.
function tracefs.record(category, name)
  local path, mounted = category .. "/" .. name, nil
  if known[path] then
    return known[path]
  end
  for _, folder in ipairs(FOLDERS) do
    local file <close> = io.open(("%s/events/%s/format"):format(folder, path))
    if file then
      known[path] = parse(file:read("a"), name)
      return known[path]
    end
    local header <close> = io.open(folder .. "/events/header_page")
    mounted = mounted or header ~= nil
  end
  if mounted then
    return nil, "there is no tracepoint " .. path
  end
  return nil, "tracefs can't be read here (as root: mount -t tracefs tracefs /sys/kernel/tracing)"
end

return tracefs

-- SPDX-License-Identifier: MIT
-- What the BTF of the kernel and of its modules says of functions: their names, parameters and results.

local core = require("bpf.core")
local posix = require("bpf.base.posix")
local types = require("bpf.trace.catalog.types")

local btf = {}

-- Bytes behind the 12 of a type, by its kind: of the type, and of each of its members.
local BEHIND <const> = {
  [1] = { 4, 0 }, [3] = { 12, 0 }, [4] = { 0, 12 }, [5] = { 0, 12 }, [6] = { 0, 8 }, [13] = { 0, 8 }, [14] = { 4, 0 },
  [15] = { 0, 12 }, [17] = { 4, 0 }, [19] = { 0, 12 },
}
local FUNC <const>, NONE <const> = 12, { 0, 0 }

-- Adds the names of the functions in BTF to a set. `base`: the strings of the BTF that this BTF refers to.
-- Descriptions of all the kernel's functions would take 0.4 s.
local function add_functions(bytes, names, base)
  local head, at, size, strings = ("=I4"):unpack(bytes, 5), ("=I4I4I4"):unpack(bytes, 9)
  local first = head + strings + 1
  local before = base and #base or 0
  local position, stop = head + at + 1, head + at + size
  while position <= stop do
    local name, info = ("=I4I4"):unpack(bytes, position)
    local kind = info >> 24 & 31
    if kind == FUNC then
      names[name < before and ("z"):unpack(base, name + 1) or ("z"):unpack(bytes, first + name - before)] = true
    end
    local behind = BEHIND[kind] or NONE
    position = position + 12 + behind[1] + behind[2] * (info & 0xffff)
  end
  return bytes:sub(first)
end

-- The bytes of the kernel's BTF; or nil and why not. They are several megabytes: nobody keeps them.
local function kernel_bytes()
  local own, message = core.btf.kernel()
  return own and own:bytes(), message
end

local modules

-- The modules that have BTF: functions that open it, by name.
local function of_modules()
  if not modules then
    modules = {}
    for _, name in ipairs(posix.entries("/sys/kernel/btf") or {}) do
      if name ~= "vmlinux" then
        modules[#modules + 1] = name
      end
    end
  end
  return modules
end

-- The set of the functions that BTF describes; or nil and why not.
function btf.functions()
  local all, message = kernel_bytes()
  if not all then
    return nil, message
  end
  local names = {}
  local strings = add_functions(all, names)
  for _, module in ipairs(of_modules()) do
    local file <close> = io.open("/sys/kernel/btf/" .. module, "rb")
    local text = file and file:read("a")
    if text then
      add_functions(text, names, strings)
    end
  end
  return names
end

-- Names that begin with a prefix, of whatever kind: what is behind the prefix, sorted.
function btf.prefixed(prefix)
  local all, message = kernel_bytes()
  if not all then
    return nil, message
  end
  local names, at = {}, 1
  while true do
    local _, stop = all:find("\0" .. prefix, at, true)
    if not stop then
      break
    end
    local name = ("z"):unpack(all, stop + 1)
    names[#names + 1], at = name, stop + 1
  end
  table.sort(names)
  return names
end

-- The description of a name of a kind, in the kernel or one of its modules, and the BTF that it is in. Nil if there is
-- none; with a message if the kernel has no BTF.
function btf.find(name, kind)
  local own, message = core.btf.kernel()
  if not own then
    return nil, message
  end
  local description = own:find(name, kind)
  if description then
    return description, own
  end
  for _, module in ipairs(of_modules()) do
    local other = core.btf.module(module)
    description = other and other:find(name, kind)
    if description then
      return description, other
    end
  end
  return nil
end

-- Whether a pointer leads to memory of a process: its type has the tag "user".
local function is_user(own, id)
  local description = own:find(id)
  while description and description.type_id do
    if description.kind == "type_tag" and description.name == "user" then
      return true
    end
    description = description.kind ~= "ptr" and own:find(description.type_id) or nil
  end
  return false
end

-- The type of a parameter, member or result. `space` is that of pointers to structs.
function btf.type(own, id, c, name, space)
  local plain = own:resolve(id)
  if not plain or plain.kind == "void" then
    return { kind = "nil" }
  elseif plain.kind == "int" then
    return plain.bool and { kind = "boolean" } or types.integer(c, name)
  elseif plain.kind == "enum" then
    return { kind = "integer", meaning = plain.name and "enum " .. plain.name or nil }
  elseif plain.kind == "ptr" then
    local user = is_user(own, plain.type_id)
    local target = own:resolve(plain.type_id)
    if target and (target.kind == "struct" or target.kind == "union" or target.kind == "fwd") and target.name then
      local word = target.kind == "fwd" and target.of or target.kind
      return { kind = "pointer", type = word .. " " .. target.name, space = user and "user" or space }
    elseif target and target.kind == "int" and target.name == "char" then
      return { kind = "pointer", type = "char", space = user and "user" or "kernel" }
    end
    return { kind = "integer", meaning = target and target.kind == "func_proto" and "function"
      or user and "user address" or "kernel address" }
  elseif plain.kind == "array" then
    local element = own:resolve(plain.type_id)
    return element and element.name == "char" and { kind = "string", size = plain.count }
      or { kind = "bytes", size = plain.size or 0 }
  end
  return types.UNKNOWN
end

-- The parameters from the first on, as a list of arguments, and the type of the result.
function btf.parameters(description, own, first, space)
  local list = {}
  for n = first, #description.params do
    local one = description.params[n]
    local name = one.name or "arg" .. n - first
    list[#list + 1] = types.row(name, one.type, btf.type(own, one.type_id, one.type, name, space))
  end
  local id = description.returns_id
  local result = id and id ~= 0 and types.row("ret", description.returns,
    btf.type(own, id, description.returns, "ret", space)) or nil
  return list, result
end

-- The members of a struct as a list of arguments.
function btf.members(name, space)
  local description, own = btf.find(name, "struct")
  if not description then
    return nil, own
  end
  local list = {}
  for _, member in ipairs(description.members) do
    local inner = not member.name and own:resolve(member.type_id)
    local one = inner and inner.members and inner.members[1] or member -- a union pads pointers for 32-bit programs
    if one.name then
      list[#list + 1] = types.row(one.name, one.type, btf.type(own, one.type_id, one.type, one.name, space))
    end
  end
  return list
end

return btf

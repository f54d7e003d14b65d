-- SPDX-License-Identifier: MIT
-- C types in the one form that the compiler works with, made of BTF or of a `bpf.type`:
--
--   { kind = "int", size, signed, bool, name }          enums too
--   { kind = "ptr", size = 8, name, to = function }      to() is the form of what it points to, or nil
--   { kind = "struct", size, name, order, members }      unions too
--     whose members are { name, index (from 0), offset, type, bits, bit_offset }
--     and which may have `lock`, the offset of its struct bpf_spin_lock
--   { kind = "array", size, count, element }
--   { kind = "chars", size, text }                       char[N], or unsigned char[N] without text
local btf = require("bpf.core").btf
local uapi = require("bpf.program.uapi")

local types = {}

local integers = {}

-- The integer of so many bytes.
function types.integer(size, signed)
  local key = signed and -size or size
  local form = integers[key]
  if not form then
    form = { kind = "int", size = size, signed = signed or false }
    integers[key] = form
  end
  return form
end

types.u64, types.s64, types.u32 = types.integer(8), types.integer(8, true), types.integer(4)

local strings = {}

-- char[size]
function types.chars(size)
  strings[size] = strings[size] or { kind = "chars", size = size, text = true }
  return strings[size]
end

-- unsigned char[size], as an array of integers.
function types.bytes(size)
  return { kind = "array", size = size, count = size, element = types.integer(1) }
end

-- A struct without members of which only the name is known.
local function opaque(name)
  return { kind = "struct", size = 0, name = name, order = {}, members = {} }
end

local function add_member(form, member)
  member.index = #form.order
  form.members[member.name] = member
  form.order[#form.order + 1] = member
end
types.add_member = add_member

-- BTF -----------------------------------------------------------------------------------------------------------------

local of_btf

-- The type of a member is looked at when it is first asked for: a struct of the kernel leads to thousands of others.
local lazy_type = {
  __index = function(member, field)
    if field == "type" then
      local form = of_btf(member.btf, member.type_id) or { kind = "unknown", name = "unknown" }
      rawset(member, "type", form)
      return form
    end
  end,
}

-- Adds members, and those of anonymous members as if they were the struct's own.
local function add_members(form, handle, list, base)
  for _, m in ipairs(list) do
    local inner = not m.name and handle:resolve(m.type_id)
    if m.name then
      add_member(form, setmetatable({
        name = m.name, offset = base + m.offset, bits = m.bits, bit_offset = 8 * base + m.bit_offset,
        btf = handle, type_id = m.type_id,
      }, lazy_type))
    elseif inner and inner.members then
      add_members(form, handle, inner.members, base + m.offset)
    end
  end
end

local function array_form(d, element)
  if element and element.kind == "int" and element.size == 1 and not element.bool then
    return { kind = "chars", size = d.count, text = element.name == "char" }
  end
  return { kind = "array", size = d.size or 0, count = d.count, element = element }
end

-- A row for each kind of BTF's types: the form out of the handle, the description and the name as it was written.
local forms = {
  int = function(_, d, name)
    return { kind = "int", size = d.size, signed = d.signed or false, bool = d.bool, name = name }
  end,
  enum = function(_, d, name)
    return { kind = "int", size = d.size, signed = d.signed or false, name = name, enum = true }
  end,
  ptr = function(handle, d)
    return { kind = "ptr", size = 8, name = d.type, to = function() return of_btf(handle, d.type_id) end }
  end,
  array = function(handle, d)
    return array_form(d, of_btf(handle, d.type_id))
  end,
  fwd = function(_, d)
    return opaque((d.of or "struct") .. " " .. (d.name or "?"))
  end,
}
forms.enum64 = forms.enum

local caches = setmetatable({}, { __mode = "k" })

local kernel
local awaited = {} -- structs of the kernel's that nobody has looked into yet, by name
local relocated = false -- whether members of the kernel's structs may be elsewhere when the program is loaded

-- The form of a struct or union: one, by whatever name or typedef it is found.
local function struct_form(cache, handle, d)
  local form = cache[d.id]
  if not form then
    local name = d.name and d.kind .. " " .. d.name
    if handle == kernel and awaited[name] then
      form, awaited[name] = setmetatable(awaited[name], nil), nil
    end
    form = form or {}
    form.kind, form.size, form.name, form.order, form.members = "struct", d.size, name, {}, {}
    form.union = d.kind == "union" or nil
    form.core = relocated and handle == kernel or nil
    cache[d.id] = form -- before its members, which may point to it
    add_members(form, handle, d.members, 0)
  end
  return form
end

-- The form of a type of a BTF handle, by its name or id; nil if there is none.
function of_btf(handle, which)
  local cache = caches[handle]
  if not cache then
    cache = {}
    caches[handle] = cache
  end
  local form = cache[which]
  if form then
    return form
  end
  local named = handle:find(which)
  local d = named and handle:resolve(which)
  if not d then
    return nil
  end
  if d.kind == "struct" or d.kind == "union" then
    form = struct_form(cache, handle, d)
    form.typedef = form.typedef or named.kind == "typedef" and named.name or nil
    cache[which] = form
  else
    local make = forms[d.kind]
    form = make and make(handle, d, named.name) or { kind = d.kind, size = d.size, name = named.name }
    cache[which] = form
  end
  return form
end
types.of_btf = of_btf

-- The kernel's BTF: read when a program first needs it, and kept. Nil, a message and a code without it.
function types.kernel()
  if not kernel then
    local handle, message, code = btf.kernel()
    if not handle then
      return nil, message, code
    end
    kernel = handle
  end
  return kernel
end

-- Calls a function as pcall does, for which forms of the kernel's structs have `core`. They are its own, and of the BTF
-- of a handle if there is one.
function types.relocated(handle, fn, ...)
  local before = { kernel, awaited, relocated, caches }
  kernel, awaited, relocated, caches = handle or kernel, {}, true, setmetatable({}, { __mode = "k" })
  local results = table.pack(pcall(fn, ...))
  kernel, awaited, relocated, caches = table.unpack(before)
  return table.unpack(results, 1, results.n)
end

function types.is_relocated()
  return relocated
end

-- A type of the kernel, by its name.
function types.of_kernel(name)
  local handle = types.kernel()
  return handle and of_btf(handle, name)
end

-- bpf.type ------------------------------------------------------------------------------------------------------------

local of_layout

local function integer_of_layout(l)
  if l.type:find("%*") then
    local target = l.type:gsub("const ", ""):match("^(.-) ?%*$")
    return { kind = "ptr", size = 8, name = l.type, to = function() return target and types.named(target) end }
  end
  return { kind = "int", size = l.size, signed = l.kind == "signed", bool = l.kind == "boolean" or nil, name = l.type,
    enum = l.enumerators and true or nil }
end

-- The integer that is loaded for a bit-field, whose layout tells the bytes that it touches: the narrowest which has it.
local function field_type(m)
  local bits = 8
  while m.bit_offset // bits ~= (m.bit_offset + m.bits - 1) // bits do
    bits = 2 * bits
  end
  local form = of_layout(m)
  form.size = bits // 8
  return form
end

local function struct_of_layout(l)
  local form = { kind = "struct", size = l.size, name = l.type, order = {}, members = {} }
  form.union = l.type:find("^union") and true or nil
  for _, m in ipairs(l) do
    local type = m.bits and field_type(m) or of_layout(m)
    local member = { name = m.name, offset = m.offset, bits = m.bits, bit_offset = m.bit_offset, type = type }
    add_member(form, member)
  end
  return form
end

local layouts = {
  unsigned = integer_of_layout, signed = integer_of_layout, boolean = integer_of_layout, struct = struct_of_layout,
  string = function(l) return { kind = "chars", size = l.size, text = true } end,
  bytes = function(l) return { kind = "chars", size = l.size, text = false } end,
  array = function(l)
    local element = of_layout(l.element)
    local count = element.size > 0 and l.size // element.size or 0
    return { kind = "array", size = l.size, count = count, element = element }
  end,
}

function of_layout(l)
  local make = layouts[l.kind]
  return make and make(l) or { kind = l.kind, size = l.size, name = l.type }
end

local known = setmetatable({}, { __mode = "k" })

-- The form of a `bpf.type`.
function types.of(ctype)
  local form = known[ctype]
  if not form then
    local layout = ctype:layout()
    form = of_layout(layout)
    form.lock = layout.lock
    known[ctype] = form
  end
  return form
end

-- What pointers often lead to and programs can't look into: nobody has to ask the kernel.
local UNSEEN = { void = true, char = true }

local stable = {}

-- A type by its name: one that all kernels lay out alike, else the running kernel's. Nil if there is none.
function types.named(name)
  if UNSEEN[name] then
    return nil
  elseif stable[name] == nil then
    local ctype = uapi.type(name)
    stable[name] = ctype and types.of(ctype) or false
  end
  return stable[name] or types.of_kernel(name)
end

local declared = {}

-- A type by its name, or by its declaration in C. Nil if there is none.
function types.of_text(text)
  if text:find("^struct [A-Za-z_0-9]+$") or text:find("^union [A-Za-z_0-9]+$") then
    return types.named(text)
  elseif declared[text] == nil then
    local ok, ctype = pcall(btf.type, text)
    declared[text] = ok and ctype and types.of(ctype)
  end
  return declared[text] or nil
end

-- The kernel's BTF is read when somebody asks for more than the name.
local look = {
  __index = function(form, field)
    if not types.of_kernel(form.name) then
      awaited[form.name] = nil
      setmetatable(form, nil).size, form.order, form.members = 0, {}, {}
    end
    return form[field]
  end,
}

-- The form of a struct that a program may have a pointer to without looking into it.
function types.struct_named(name)
  if kernel or uapi.has(name) then
    return types.named(name) or opaque(name)
  end
  awaited[name] = awaited[name] or setmetatable({ kind = "struct", name = name }, look)
  return awaited[name]
end

-- A struct of the compiler's own, its members laid out as C does.
function types.struct(name, members)
  local form = { kind = "struct", name = name, order = {}, members = {} }
  local at, most = 0, 1
  for _, m in ipairs(members) do
    local align = m.type.kind == "chars" and 1 or math.min(m.type.size, 8)
    at = (at + align - 1) // align * align
    most = math.max(most, align)
    add_member(form, { name = m.name, offset = at, type = m.type })
    at = at + m.type.size
  end
  form.size = (at + most - 1) // most * most
  return form
end

return types

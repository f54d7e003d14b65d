-- SPDX-License-Identifier: MIT
-- The types of what the bodies of one-liners have at hand and share: plain tables, which nobody changes.
--
--   { kind = "integer", meaning }          64 bits; the meaning ("pid", "errno", "enum NAME", …) is for who prints it
--   { kind = "string", size, cut }         with its NUL; cut: where it is full, there was more
--   { kind = "boolean" }
--   { kind = "pointer", type, space }      type: "struct x", "char", …; space: "kernel", "user" or "trusted", which is
--                                          the kernel's own and can't be kept; `form` (of bpf.program.types) if it
--                                          has no name or is an array
--   { kind = "record", order, members }    order: names; members: name → type; `{ a, b }` has the names _1 and _2
--   { kind = "address", size }             of IP, 4 or 16 bytes
--   { kind = "bytes", size, padded }
--   { kind = "kstack" }, { kind = "ustack" }, { kind = "nil" }, { kind = "unknown" }
local counted = require("bpf.base.number").counted
local program_types = require("bpf.program.types")

local types = {}

local integers, strings, cuts = {}, {}, {}

function types.integer(meaning)
  local key = meaning or ""
  integers[key] = integers[key] or { kind = "integer", meaning = meaning }
  return integers[key]
end

-- `cut`: it was read from memory where it may have been longer.
function types.string(size, cut)
  local known = cut and cuts or strings
  known[size] = known[size] or { kind = "string", size = size, cut = cut or nil }
  return known[size]
end

function types.pointer(type, space, form)
  return { kind = "pointer", type = type, space = space or "kernel", form = form }
end

function types.record(order, members)
  return { kind = "record", order = order, members = members }
end

function types.address(size)
  return { kind = "address", size = size }
end

-- `padded`: zeros may stand behind them.
function types.bytes(size, padded)
  return { kind = "bytes", size = size, padded = padded or nil }
end

types.boolean, types.kstack, types.ustack = { kind = "boolean" }, { kind = "kstack" }, { kind = "ustack" }
types.absent, types.unknown = { kind = "nil" }, { kind = "unknown" }

-- The name of a member of a record that has a place only.
function types.position(n)
  return "_" .. n
end

-- Whether a value means something in its process only, whose id has to be kept with it.
function types.of_process(t)
  return t.kind == "ustack" or t.meaning == "user symbol"
end

-- Text ----------------------------------------------------------------------------------------------------------------

local describe

local function describe_record(t)
  local list = {}
  for n, name in ipairs(t.order) do
    local text = describe(t.members[name])
    list[n] = name == types.position(n) and text or name .. " = " .. text
  end
  return "{ " .. table.concat(list, ", ") .. " }"
end

local DESCRIBE = {
  integer = function(t)
    return t.meaning and ("integer (%s)"):format(t.meaning:gsub("^symbolic .*$", "with names")) or "integer"
  end,
  string = function(t) return ("char[%d]"):format(t.size) end,
  pointer = function(t) return (t.space == "user" and "user's " or "") .. t.type .. " *" end,
  record = describe_record,
  address = function(t) return ("address of %d bytes"):format(t.size) end,
  bytes = function(t) return counted(t.size, "byte") end,
  unknown = function() return "something that isn't known" end,
}

-- A type in words, for messages and for `-v`.
function describe(t)
  local row = DESCRIBE[t.kind]
  return row and row(t) or t.kind
end
types.describe = describe

local C = {
  integer = "__s64", boolean = "_Bool", kstack = "__s32", ustack = "__s32",
}

local function pointer_text(t)
  return (t.type:find("^struct [A-Za-z_0-9]+$") or t.type:find("^union [A-Za-z_0-9]+$")) and t.type .. " *" or "__u64"
end

-- A type in C, as bpf.map.create takes it, or the declaration of a member. Nil for what can't be kept in a map.
function types.c(t, name)
  local tail = name and " " .. name or ""
  if t.kind == "string" then
    return ("char%s[%d]"):format(tail, t.size)
  elseif t.kind == "address" or t.kind == "bytes" then
    return ("unsigned char%s[%d]"):format(tail, t.size)
  elseif t.kind == "record" then
    local list = {}
    for n, member in ipairs(t.order) do
      local text = types.c(t.members[member], member)
      if not text then
        return nil
      end
      list[n] = text .. "; "
    end
    return ("struct { %s}%s"):format(table.concat(list), tail)
  end
  local text = t.kind == "pointer" and pointer_text(t) or C[t.kind]
  return text and text .. tail
end

-- Joining -------------------------------------------------------------------------------------------------------------

local join

-- Members unite, in a key they must be the same.
local function join_records(a, b, key)
  local order, members = {}, {}
  for _, t in ipairs { a, b } do
    for _, name in ipairs(t.order) do
      if not members[name] then
        order[#order + 1] = name
        members[name] = t.members[name]
      else
        members[name] = join(members[name], t.members[name], key)
        if not members[name] then
          return nil
        end
      end
    end
  end
  if key and (#order ~= #a.order or #order ~= #b.order) then
    return nil
  end
  return types.record(order, members)
end

local function larger(a, b)
  if a.size == b.size then
    return a.cut and a or b
  end
  return a.size > b.size and a or b
end

local SAME_KIND = {
  string = larger, bytes = larger, address = larger, record = join_records,
  integer = function(a, b) return a.meaning == b.meaning and a or types.integer() end,
  pointer = function(a, b)
    local kernels = a.space ~= "user" and b.space ~= "user"
    if a.type ~= b.type or a.form ~= b.form or not (kernels or a.space == b.space) then
      return types.integer()
    end
    return a.space == "kernel" and a or b
  end,
}

local NUMBERS = { integer = true, pointer = true }
local NOTHING = { ["nil"] = true, unknown = true }

-- The type that has room for both, or nil if there is none. `key`: they are keys of one table.
function join(a, b, key)
  if a == b or NOTHING[b.kind] then
    return NOTHING[a.kind] and a ~= b and b.kind == "unknown" and b or a
  elseif NOTHING[a.kind] then
    return b
  elseif a.kind == b.kind then
    local row = SAME_KIND[a.kind]
    return not row and a or row(a, b, key)
  end
  return NUMBERS[a.kind] and NUMBERS[b.kind] and types.integer() or nil
end
types.join = join

-- Whether two types are the same.
function types.equal(a, b)
  return a == b or a.kind == b.kind and a.space == b.space and a.form == b.form and a.cut == b.cut
    and describe(a) == describe(b)
end

-- The type of a value that is kept: the kernel doesn't watch over pointers in maps.
function types.kept(t)
  if t.kind == "pointer" and t.space == "trusted" then
    return types.pointer(t.type, "kernel", t.form)
  end
  return t
end

-- Of the compiler's forms ---------------------------------------------------------------------------------------------

local of_form

local FORMS = {
  int = function(form)
    local enum = form.enum and form.name and form.name:gsub("^enum ", "")
    return form.bool and types.boolean or types.integer(enum and "enum " .. enum or nil)
  end,
  ptr = function(form, space)
    local target = (form.name or "void"):gsub("^const ", ""):gsub("%f[A-Za-z_]const%f[^A-Za-z_]", ""):gsub(" *%*$", "")
    target = target:gsub("^unsigned char$", "char"):gsub("^signed char$", "char")
    if target:find("%*") or target:find("%(") then
      return types.integer(space ~= "user" and "kernel address" or "user address")
    end
    return types.pointer(target, space)
  end,
  chars = function(form) return form.text and types.string(form.size) or types.bytes(form.size) end,
  array = function(form, space) return types.pointer("array", space, form) end,
  struct = function(form, space) return types.pointer(form.name or "struct", space, not form.name and form or nil) end,
}

-- The type of a value whose C type is a form of bpf.program.types; a struct is reached by its address.
function of_form(form, space)
  local row = FORMS[form.kind]
  return row and row(form, space or "kernel") or types.integer()
end
types.of_form = of_form

-- The form of what a pointer leads to, or nil.
function types.target(pointer)
  return pointer.form or program_types.named(pointer.type)
end

-- The type of a member of what a pointer leads to, or nil and the names of its members, or nil alone if they aren't
-- known.
function types.member(pointer, name)
  local form = types.target(pointer)
  if not form or form.kind ~= "struct" then
    return nil
  end
  local member = form.members[name]
  if member then
    local space = pointer.space == "trusted" and member.type.kind == "ptr" and "kernel" or pointer.space
    return of_form(member.type, space)
  end
  local names = {}
  for n, other in ipairs(form.order) do
    names[n] = other.name
  end
  return nil, names
end

return types

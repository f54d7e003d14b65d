-- SPDX-License-Identifier: MIT
-- Functions of Lua's and of bpf's that programs have: a row for each.
local Compiler = require("bpf.program.compiler")
local declared = require("bpf.program.declared")
local types = require("bpf.program.types")
local values = require("bpf.program.values")
local words = require("bpf.program.words")

local describe = values.describe
local rows = Compiler.intrinsics

-- Lua's ---------------------------------------------------------------------------------------------------------------

rows[pairs] = function(c, arguments)
  local v = arguments[1]
  if not v or v.kind ~= "constant" or not declared.type(v.value) then
    c:fail("'pairs' walks over maps only, in a program, and this is %s", v and describe(v) or "nothing")
  end
  local info = c:keyed(v.value)
  local why = Compiler.NO_WALK[info.type]
  if why then
    c:fail("'pairs' over a map of type %s isn't possible in a program: %s", info.type, why)
  end
  c:need("for_each_map_elem", "pairs(map) in a program", "walk over the map in the script")
  return { { kind = "walk", map = v.value }, values.NIL, values.NIL }
end

-- What bpf_for_each_map_elem refuses, or does not do right.
Compiler.NO_WALK = {
  lpm_trie = "the kernel has no such walk: walk in the script",
  array_of_maps = "the kernel has no such walk: walk in the script",
  hash_of_maps = "the kernel has no such walk: walk in the script",
  sockmap = "the kernel has no such walk", sockhash = "the kernel has no such walk",
  devmap = "the kernel has no such walk", devmap_hash = "the kernel has no such walk",
  xskmap = "the kernel has no such walk", cgroup_storage = "the kernel has no such walk",
}

rows[error] = function(c)
  c:abort()
end

rows[assert] = function(c, arguments)
  local v = arguments[1] and c:materialize(arguments[1]) or values.NIL
  local no = c:negate(v)
  if no.kind == "constant" then
    return no.value and c:abort() or v
  end
  c:end_if("ne", no.r, 0)
  return values.narrowed({ v }, v, true)[1]
end

rows[math.ult] = function(c, arguments)
  return c:condition("lt", c:integer(arguments[1] or values.NIL, "math.ult"),
    c:integer(arguments[2] or values.NIL, "math.ult"))
end

-- The least, or the greatest: `cc` tells when a further argument takes the place of what was found.
local function extreme(name, cc, fold)
  return function(c, arguments)
    local f = c.f
    local first = arguments[1] or values.NIL
    local known = c:integer(first, name)
    local d, positive, most = f:move(f:register(), known), first.positive, values.most(first)
    for n = 2, #arguments do
      local v = arguments[n]
      local r = c:integer(v, name)
      known = math.type(known) and math.type(r) and fold(known, r) or nil
      c:when(cc, d, r, function() f:move(d, r) end)
      positive = positive and v.positive
      local other = values.most(v)
      if fold == math.min then
        most = most and other and math.min(most, other) or most or other
      else
        most = most and other and math.max(most, other)
      end
    end
    return math.type(known) and values.constant(known) or values.integer(d, positive, most)
  end
end
rows[math.min] = extreme("math.min", "sgt", math.min)
rows[math.max] = extreme("math.max", "slt", math.max)

rows[math.abs] = function(c, arguments)
  local f, r = c.f, c:integer(arguments[1] or values.NIL, "math.abs")
  local sign = f:alu("arsh", r, 63)
  return values.integer(f:alu("sub", f:alu("xor", r, sign), sign))
end

-- bpf's ---------------------------------------------------------------------------------------------------------------

for name, bits in pairs(words.swaps) do
  rows[words[name]] = function(c, arguments)
    local f, r = c.f, c:integer(arguments[1] or values.NIL, "bpf." .. name)
    return values.integer(f:swap(f:move(f:register(), r), bits), bits < 64)
  end
end

-- The pointer to a struct that an integer is, which may be nil.
function Compiler:pointer_from(v, text, space)
  local form = types.of_text(text)
  if not form or form.kind ~= "struct" then
    self:fail("there is no struct or union '%s'", text)
  end
  local r = v.kind == "optional" and self.f:alu("mul", v.r, v.present) or self:scalar(v, text)
  r = math.type(r) and self.f:move(self.f:register(), r) or r
  return { kind = "pointer", r = r, offset = 0, type = form, null = true, space = space or "kernel" }
end

-- bpf.cast(address, type [, "user"]). A pointer to a process's memory stays one.
rows[words.cast] = function(c, arguments)
  local v, name, space = arguments[1], arguments[2], arguments[3]
  local given = name and name.kind == "constant" and name.value
  if not v or type(given) ~= "string" and type(given) ~= "userdata" then
    c:fail("bpf.cast: an address and the name of a type, or a bpf.type, are expected")
  end
  local form
  if type(given) == "userdata" then
    form = not declared.type(given) and types.of(given)
  else
    form = types.of_text(given)
  end
  if not form or form.kind ~= "struct" then
    c:fail("bpf.cast: there is no struct or union '%s'", tostring(given))
  end
  local where = space and space.value or v.kind == "pointer" and v.space
  local address = c:scalar(v, "bpf.cast")
  if math.type(address) then
    address = c.f:move(c.f:register(), address)
  end
  return {
    kind = "pointer", r = address, offset = 0, type = form, null = true,
    space = where == "user" and "user" or "kernel",
  }
end

-- Gives a struct of the kernel's a member that the kernel of the object's maker lacks. Its place doesn't matter.
local function declare_member(c, type, name, text)
  local form = type.core and types.of_text(text)
  if type.core and not form then
    c:fail("bpf.has: '%s' is not a type", tostring(text))
  elseif form then
    types.add_member(type, { name = name, offset = 0, bit_offset = 0, type = form })
  end
end

-- bpf.has(struct, name [, type])
rows[words.has] = function(c, arguments)
  local o, name, text = arguments[1] and c:dereference(arguments[1]), arguments[2], arguments[3]
  if not (o and (o.kind == "pointer" or o.kind == "buffer") and o.type.kind == "struct" and name
      and name.kind == "constant" and type(name.value) == "string") then
    c:fail("bpf.has: a struct and the name of a member are expected")
  elseif text and (text.kind ~= "constant" or type(text.value) ~= "string") then
    c:fail("bpf.has: the type of the member is expected as a constant string, this is %s", describe(text))
  end
  local members = o.type.members
  if text and not members[name.value] then
    declare_member(c, o.type, name.value, text.value)
  end
  local member = members[name.value]
  return member and c:relocation(o, member.index) and c:exists(o, member) or values.constant(member ~= nil)
end

-- bpf.atomic.NAME(struct, "member", n [, n])
local function atomic_member(c, arguments, name)
  local o, member = arguments[1] and c:dereference(arguments[1]), arguments[2]
  if not (o and member and o.kind == "pointer" and o.type.kind == "struct" and o.space == "map") then
    c:fail("bpf.atomic.%s: a struct in a map, the name of a member and a number are expected", name)
  elseif o.null then
    c:fail("bpf.atomic.%s: the struct may be nil here: test it before", name)
  end
  local found = c:member_of(o.type, member)
  if found.type.kind ~= "int" or found.type.size < 4 or found.bits then
    c:fail("bpf.atomic.%s: members must be integers of 4 or 8 bytes", name)
  end
  local base, offset = c:place(o)
  return base, offset + found.offset, found.type
end

for name, op in pairs(words.atomics) do
  rows[words.atomic[name]] = function(c, arguments)
    local base, offset, form = atomic_member(c, arguments, name)
    local f = c.f
    local n = f:move(f:register(), c:integer(arguments[3] or values.NIL, "bpf.atomic." .. name))
    local old = f:atomic(op, base, offset, form.size, n, { fetch = name:find("^fetch_") ~= nil })
    return old and values.integer(old, form.size < 8) or values.NIL
  end
end

-- helper.NAME is a function that words makes when it is first asked for; so is what it means here.
setmetatable(rows, { __index = function(_, fn)
  local name = words.helper_names[fn]
  return name and function(c, arguments) return c:call_helper(name, arguments) end
end })

return Compiler

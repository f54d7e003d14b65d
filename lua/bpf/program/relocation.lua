-- SPDX-License-Identifier: MIT
-- Members of kernel structs in objects for other kernels: CO-RE relocations, by which libbpf puts in the offsets and
-- sizes of the kernel that loads the object.
--
-- A form with `core` is a struct of the kernel's whose layout isn't known. A value that refers to a part of one has
-- `core`, too: { type, access }, the struct that its register points to and the way from there to the part.
local Compiler = require("bpf.program.compiler")
local values = require("bpf.program.values")

-- What a relocation asks for, as the kernel's enum bpf_core_relo_kind has it.
local OFFSET <const>, SIZE <const>, EXISTS <const>, LEFT <const>, RIGHT <const> = 0, 1, 2, 4, 5

local PROBE_READ_KERNEL <const> = 113

-- The same part, of which something else is asked for.
local function about(core, kind)
  return { type = core.type, access = core.access, kind = kind }
end

-- The relocation of a member or an element, by its index from 0, of what a value refers to; nil where the layout is
-- known, as that of structs in a process's memory is, and of those that a function takes by value.
function Compiler.relocation(_, o, index)
  local of, type = o.core, o.type
  if o.space == "user" or o.kind == "buffer" then
    return nil
  elseif of then
    return { type = of.type, access = of.access .. ":" .. index, kind = OFFSET, element = type.kind ~= "struct" }
  elseif type.core and (type.name or type.typedef) then
    return { type = type, access = "0:" .. index, kind = OFFSET }
  end
  return nil
end

-- Base and offset of what a value refers to, for a member of it that is relocated: the offset is the relocation's.
function Compiler:relocated_place(o)
  if not o.core and o.offset ~= 0 then
    return self:address(o), 0
  end
  return self:place(o)
end

-- What is read may have another size there: zeros stand behind it.
local function probe(c, base, offset, size, core)
  local f = c.f
  local object = f:object(8)
  f:store(object, 0, 8, 0)
  local bytes, address = f:core_value(about(core, SIZE), size), f:alu("add", base, offset, 64, core)
  f:call(PROBE_READ_KERNEL, { object = object, offset = 0 }, bytes, address)
  local r = f:load(object, 0, 8)
  f:release(object)
  return r
end

-- The loader refuses to change the size of a load of a signed member, or of a bit-field. So there is a load of each
-- size, of which the verifier keeps one.
local function load_by_size(c, base, offset, size, core)
  local f = c.f
  local there = f:core_value(about(core, SIZE), size)
  local address = f:alu("add", base, offset, 64, core)
  local d = f:move(f:register(), 0)
  for _, bytes in ipairs { 1, 2, 4, 8 } do
    c:when("eq", there, bytes, function() f:move(d, f:load(address, 0, bytes)) end)
  end
  return d
end

-- Extends the sign of an array's element. Loaders know of its size, but not of its bits.
local function extend_element(c, r, size, core)
  local f = c.f
  local unused = f:alu("sub", 64, f:alu("lsh", f:core_value(about(core, SIZE), size), 3))
  return f:alu("arsh", f:alu("lsh", r, unused), unused)
end

-- Reads an integer or a bit-field. The verifier takes no address of a part of a context: bit-fields there are read by
-- the helper, and other integers by a load.
function Compiler:read_relocated(type, base, offset, space, member, core)
  local f, size, bits, below = self.f, type.size, type.size * 8, 0
  local field = member and member.bits
  if field then
    local delta
    delta, size, below = self:bits_of(member)
    offset, bits = offset + delta, field
  end
  local exact = field or type.signed
  local r
  if space == "kernel" or field and space == "ctx" then
    r = probe(self, base, offset, size, core)
  elseif exact and space ~= "ctx" then
    r = load_by_size(self, base, offset, size, core)
  else
    exact = false
    r = f:load(base, offset, size, type.signed, core)
  end
  if exact and core.element then
    r = extend_element(self, r, size, core)
  elseif exact then
    r = f:alu("lsh", r, 64 - bits - below, 64, about(core, LEFT))
    r = f:alu(type.signed and "arsh" or "rsh", r, 64 - bits, 64, about(core, RIGHT))
  end
  return values.integer(r, bits < 64 and not type.signed)
end

-- How many bytes of a char array there are to copy to a place of so many.
function Compiler:relocated_length(v, size)
  local f = self.f
  local n = f:move(f:register(), f:core_value(about(v.core, SIZE), v.type.size))
  self:when("gt", n, size, function() f:move(n, size) end)
  return n
end

-- Whether the kernel that loads the object has the member.
function Compiler:exists(o, member)
  local core = self:relocation(o, member.index)
  return { kind = "boolean", r = self.f:core_value(about(core, EXISTS), 1) }
end

return Compiler

-- SPDX-License-Identifier: MIT
-- ctx:packet(offset, type): what a packet has at an offset, or nil beyond its end; and ctx:optval(offset, type), the
-- same of a socket option's value.
local declared = require("bpf.program.declared")
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local packet = {}

-- No offset is beyond that, which the verifier has to know.
local FARTHEST <const> = 0x7fff

local SKB_LOAD_BYTES <const> = 26

-- The type that a packet is read as: by a name of the kernel's, by C, or a bpf.type.
local function type_argument(c, v)
  local value = v and v.kind == "constant" and v.value
  if type(value) == "userdata" and not declared.type(value) then
    return types.of(value)
  elseif type(value) ~= "string" then
    c:fail("packet: a type is expected, this is %s", v and values.describe(v) or "nothing")
  end
  return types.of_text(value) or c:fail("packet: there is no type '%s'", value)
end

local function arguments_of(c, arguments)
  local form = type_argument(c, arguments[2])
  return c:integer(arguments[1] or values.NIL, "the offset in a packet"), form
end

-- What lies at an offset behind one address in the context, and before the other.
local function between(c, of, arguments, first, last)
  local f = c.f
  local offset, form = arguments_of(c, arguments)
  local from, to = of.type.members[first], of.type.members[last]
  local data = f:load(of.r, of.offset + from.offset, from.type.size)
  local data_end = f:load(of.r, of.offset + to.offset, to.type.size)
  local d, behind, near = f:move(f:register(), 0), f:block(), f:block()
  if math.type(offset) then
    if offset < 0 or offset > FARTHEST then
      return values.NIL
    end
    f:jump(near)
  else
    f:branch("gt", offset, FARTHEST, behind, near)
  end
  f:start(near)
  local start, at = data, 0
  if math.type(offset) then
    at = offset
  else
    start = f:alu("add", data, offset)
  end
  c:when("le", f:alu("add", start, at + form.size), data_end, function()
    f:move(d, at == 0 and start or f:alu("add", start, at))
  end)
  f:jump(behind)
  f:start(behind)
  return c:entry_value(d, form, "packet")
end

-- In programs that see the memory of a packet: bounds are checked, and it can be written.
function packet.direct(c, of, arguments)
  return between(c, of, arguments, "data", "data_end")
end

-- The same, of the headers that a program of TCP events sees, and of a socket option.
function packet.headers(c, of, arguments)
  return between(c, of, arguments, "skb_data", "skb_data_end")
end

function packet.option(c, of, arguments)
  return between(c, of, arguments, "optval", "optval_end")
end

-- In programs that see socket buffers: what is read is copied, wherever it lies.
function packet.by_copy(c, _, arguments)
  local f = c.f
  local offset, form = arguments_of(c, arguments)
  local object = c:stable_object(form.size)
  c:clear(object, 0, object.size)
  local r = f:call(SKB_LOAD_BYTES, c:context_register(), offset, { object = object, offset = 0 }, form.size)
  local v = c:written({ object = object, type = form }, r)
  v.space = v.kind == "pointer" and "copy" or nil
  return v
end

return packet

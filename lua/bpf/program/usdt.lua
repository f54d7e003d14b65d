-- SPDX-License-Identifier: MIT
-- The arguments of USDT probes. libbpf knows from the notes of the traced file where each one is, a register or memory,
-- and writes that into a map of the object when the program is attached: __bpf_usdt_specs, by the cookie of the
-- attachment, or, before Linux 5.15, by the address of the probe and __bpf_usdt_ip_to_spec_id. This is what libbpf's
-- usdt.bpf.h does in C.
local core = require("bpf.core")
local declared = require("bpf.program.declared")
local values = require("bpf.program.values")

local usdt = {}

local LOOKUP <const>, GET_ATTACH_COOKIE <const> = 1, 174
local PROBE_READ_USER <const>, PROBE_READ_KERNEL <const> = 112, 113

local SPECS <const>, ADDRESSES <const> = 256, 1024 -- as many as usdt.bpf.h has
local MOST <const> = 12

-- Where an argument is.
local CONSTANT <const>, REGISTER <const>, MEMORY <const>, INDEXED <const> = 0, 1, 2, 3

-- The places of what libbpf writes for an argument: bytes, and those of the whole. Since libbpf 1.7 an argument may be
-- an element at an index that is in a register.
local OLD <const> = { argument = 16, register = 12, signed = 14, shift = 15, count = 200, size = 208 }
local NEW <const> = { argument = 24, register = 14, signed = 16, shift = 17, count = 296, size = 304, index = 10 }

local function layout()
  local major, minor = core.libbpf_version:match("(%d+)%.(%d+)")
  return (tonumber(major) > 1 or tonumber(minor) >= 7) and NEW or OLD
end

-- The program counter in struct pt_regs.
local COUNTER = { x86_64 = 128, aarch64 = 256 }

-- The maps that libbpf fills, by these names: it wants both.
local function maps_of(unit, places)
  if not unit.usdt then
    unit.usdt = {
      specs = declared.declare { type = "array", name = "__bpf_usdt_specs", max_entries = SPECS, value = places.size },
      addresses = declared.declare { type = "hash", name = "__bpf_usdt_ip_to_spec_id", max_entries = ADDRESSES,
        key = "long", value = "__u32" },
    }
    unit:require_map(unit.usdt.specs)
    unit:require_map(unit.usdt.addresses)
  end
  return unit.usdt
end

-- The number of what libbpf wrote for this probe, in a register.
local function spec_number(c, addresses)
  local f = c.f
  if core.features.helper("kprobe", "get_attach_cookie") then
    return f:call(GET_ATTACH_COOKIE, c.context)
  end
  local counter = COUNTER[core.posix.machine()]
  local key = f:object(8)
  f:store(key, 0, 8, f:load(c.context, counter, 8))
  local r = f:call(LOOKUP, c:map_reference(addresses), { object = key, offset = 0 })
  f:release(key)
  c:end_if("eq", r, 0)
  return f:load(r, 0, 4)
end

-- Reads 8 bytes that only a helper may read; an error ends the program.
local function read(c, helper, address)
  local f = c.f
  local object = f:object(8)
  f:store(object, 0, 8, 0)
  c:end_if("ne", f:call(helper, { object = object, offset = 0 }, 8, address), 0)
  local r = f:load(object, 0, 8)
  f:release(object)
  return r
end

-- The address of an argument that is in memory.
local function address_of(c, spec, at, places, base, kind)
  local f = c.f
  local address = f:move(f:register(), f:alu("add", base, f:load(spec, at, 8)))
  if places.index then
    c:when("eq", kind, INDEXED, function()
      local index = f:load(spec, at + places.index, 2)
      local register = read(c, PROBE_READ_KERNEL, f:alu("add", c.context, f:alu("and", index, 0xfff)))
      f:move(address, f:alu("add", address, f:alu("lsh", register, f:alu("rsh", index, 12))))
    end)
  end
  return address
end

-- The value of the n-th argument, from 0, in all 64 bits.
local function argument(c, spec, places, n)
  local f, at = c.f, n * places.argument
  c:end_if("sle", f:load(spec, places.count, 2, true), n)
  local kind = f:load(spec, at + 8, 1)
  local d = f:move(f:register(), f:load(spec, at, 8))
  c:when("ne", kind, CONSTANT, function()
    local register = f:load(spec, at + places.register, 2)
    f:move(d, read(c, PROBE_READ_KERNEL, f:alu("add", c.context, register)))
    c:when("ne", kind, REGISTER, function()
      c:end_if("gt", kind, places.index and INDEXED or MEMORY)
      f:move(d, read(c, PROBE_READ_USER, address_of(c, spec, at, places, d, kind)))
    end)
  end)
  local shift = f:load(spec, at + places.shift, 1)
  f:move(d, f:alu("lsh", d, shift))
  local whole = f:alu("rsh", d, shift)
  local result = f:move(f:register(), whole)
  c:when("ne", f:load(spec, at + places.signed, 1), 0, function() f:move(result, f:alu("arsh", d, shift)) end)
  return values.integer(result)
end

-- The values of the function's parameters, by number from 0. A probe with fewer arguments ends the program.
function usdt.start(c)
  local f, places = c.f, layout()
  local maps = maps_of(c.unit, places)
  local state, count = {}, c.proto.parameters
  if count == 0 then
    return state
  elseif count > MOST then
    c:fail("a USDT probe has %d arguments at most, and the function takes %d", MOST, count)
  end
  local key = f:object(4)
  f:store(key, 0, 4, spec_number(c, maps.addresses))
  local spec = f:call(LOOKUP, c:map_reference(maps.specs), { object = key, offset = 0 })
  f:release(key)
  c:end_if("eq", spec, 0)
  for n = 0, count - 1 do
    state[n] = argument(c, spec, places, n)
  end
  return state
end

return usdt

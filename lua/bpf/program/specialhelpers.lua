-- SPDX-License-Identifier: MIT
-- Helpers that look different in Lua: those that give strings, records of ring buffers, entries of storages, and text
-- for the trace pipe.
local Compiler = require("bpf.program.compiler")
local declared = require("bpf.program.declared")
local helpers = require("bpf.program.helpers")
local later = require("bpf.program.later")
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local describe = values.describe

local special = {}
Compiler.special_helpers = special

local function number_of(name)
  return helpers[name].id
end

-- Strings -------------------------------------------------------------------------------------------------------------

-- The name of the thread, which the kernel fills up with zeros.
function special.user_ringbuf_drain(c, given)
  later.part("userring") -- which takes the place of this function
  return special.user_ringbuf_drain(c, given)
end

function special.get_current_comm()
  local id = number_of("get_current_comm")
  return {
    kind = "pending", type = types.chars(16), sized = true, exact = true,
    put = function(cc, base, offset, room) cc.f:call(id, cc:pointer_to(base, offset), room) end,
  }
end

for _, name in ipairs { "probe_read_user_str", "probe_read_kernel_str", "probe_read_str" } do
  special[name] = function(c, given)
    local size = given[2]
    if not given[1] then
      c:fail("helper.%s: an address is expected", name)
    elseif size and not math.type(size.r) then
      c:fail("helper.%s: the size must be a constant", name)
    end
    return c:string_at(name, c:scalar(given[1], "helper." .. name), size and size.r)
  end
end

-- printk --------------------------------------------------------------------------------------------------------------

local PRINTK_VALUES <const> = 3

function special.trace_printk(c, given, name)
  local format = given[1]
  if not format or format.kind ~= "constant" or type(format.value) ~= "string" then
    c:fail("helper.%s: the format must be a constant string", name)
  elseif #given > PRINTK_VALUES + 1 then
    c:fail("helper.%s takes three values at most", name)
  end
  local f, text = c.f, format.value .. "\0"
  local object = f:object(#text)
  c:write_literal(types.chars(object.size), object, 0, text, "format")
  local arguments = { { object = object, offset = 0 }, #text }
  for n = 2, #given do
    arguments[n + 1] = c:scalar(c:materialize(given[n]), "helper." .. name)
  end
  local r = f:call(number_of("trace_printk"), table.unpack(arguments))
  f:release(object)
  return values.integer(r)
end
special.printk = special.trace_printk

-- Ring buffers --------------------------------------------------------------------------------------------------------

local NO_SPACE <const> = -28

-- helper.ringbuf_output(m, type, record [, flags]): a constructor is written straight into the ring.
function special.ringbuf_output(c, given)
  local m, form, record, flags = given[1], given[2], given[3], given[4]
  if not (m and m.kind == "constant" and declared.type(m.value) == "ringbuf") then
    c:fail("helper.ringbuf_output: a map of type ringbuf is expected, this is %s", m and describe(m) or "nothing")
  elseif not (form and form.kind == "constant" and type(form.value) == "userdata" and record) then
    c:fail("helper.ringbuf_output: a type and a record are expected behind the map")
  end
  local f, type = c.f, types.of(form.value)
  local r = f:call(number_of("ringbuf_reserve"), c:map_reference(m.value), type.size, 0)
  local result = f:move(f:register(), NO_SPACE)
  c:when("ne", r, 0, function()
    c:write(type, r, 0, record, "record")
    f:call(number_of("ringbuf_submit"), r, flags and c:integer(flags, "flags") or 0)
    f:move(result, 0)
  end)
  return values.integer(result)
end

-- Storages ------------------------------------------------------------------------------------------------------------

local STORAGES = { "sk_storage_get", "inode_storage_get", "task_storage_get", "cgrp_storage_get" }

-- helper.task_storage_get(m, task [, "create"]): the entry, or nil.
for _, name in ipairs(STORAGES) do
  special[name] = function(c, given)
    local m, owner, create = given[1], given[2], given[3]
    if not (m and m.kind == "constant" and declared.type(m.value)) or not owner then
      c:fail("helper.%s: a map and the owner of the entry are expected", name)
    elseif create and create.value ~= "create" then
      c:fail("helper.%s: the third argument may be \"create\"", name)
    elseif owner.kind == "pointer" and owner.space == "trusted" then
      owner = c:not_nil(owner, "")
    elseif owner.null then
      c:fail("helper.%s: the owner may be nil here: test it before", name)
    end
    local info = c.unit:info_of(m.value)
    local r = c.f:call(number_of(name), c:map_reference(m.value), c:scalar(owner, name), 0, create and 1 or 0)
    return c:entry_value(r, info.value, "map")
  end
end

return special

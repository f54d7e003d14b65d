-- SPDX-License-Identifier: MIT
-- Calls of the kernel's helpers. A buffer and its size are one argument in Lua: a value, or a type and a value, for
-- what a helper reads; a type, or a size for strings, for what it writes, which is then the result. The context is
-- handed over where a helper wants it, and flags are 0 where they are left out.
local Compiler = require("bpf.program.compiler")
local counted = require("bpf.base.number").counted
local declared = require("bpf.program.declared")
local helpers = require("bpf.program.helpers")
local special_helpers = require("bpf.program.specialhelpers")
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local NIL, describe = values.NIL, values.describe
local is_map = declared.type

-- Flags that mean "this CPU", where the kernel's default of 0 would mean the first one.
local CURRENT_CPU <const> = 0xffffffff
local FLAGS = {
  perf_event_output = CURRENT_CPU, skb_output = CURRENT_CPU, xdp_output = CURRENT_CPU, perf_event_read = CURRENT_CPU,
  perf_event_read_value = CURRENT_CPU,
}

-- Helpers after which a packet's memory is elsewhere.
local MOVES_PACKET = {}
for name in ([[xdp_adjust_head xdp_adjust_meta xdp_adjust_tail skb_change_head skb_change_tail skb_change_proto
  skb_adjust_room skb_pull_data skb_store_bytes skb_vlan_push skb_vlan_pop l3_csum_replace l4_csum_replace
  clone_redirect lwt_push_encap lwt_seg6_store_bytes lwt_seg6_adjust_srh lwt_seg6_action msg_pull_data msg_push_data
  msg_pop_data sk_adjust_room]]):gmatch("%S+") do
  MOVES_PACKET[name] = true
end

-- Helpers that wait for memory to be there.
local SLEEPS = { copy_from_user = true, copy_from_user_task = true }

-- Results that are never negative, in practice: nanoseconds since the machine was started.
local POSITIVE = { u32 = true }

-- Arguments -----------------------------------------------------------------------------------------------------------

-- A call that is being put together: `given`, Lua's arguments, of which `n` are taken; `out`, the kernel's.
local Call = {}
Call.__index = Call

function Call:fail(text, ...)
  self.c:fail("helper.%s: " .. text, self.name, ...)
end

function Call:take(what)
  self.n = self.n + 1
  return self.given[self.n] or self:fail("argument %d, %s, is missing", self.n, what)
end

function Call:peek()
  return self.given[self.n + 1]
end

local function type_of(v)
  local ok, form = false, nil
  if v and v.kind == "constant" and type(v.value) == "userdata" and not is_map(v.value) then
    ok, form = pcall(types.of, v.value)
  end
  return ok and form or nil
end

-- Memory that the helper reads.
function Call:read_memory(parameter, following)
  local c, v = self.c, self:take("what to hand over")
  local form = type_of(v)
  if form then
    v = self:take("a value of the type")
  end
  v = c:materialize(v)
  if values.is_nil(v) and parameter.optional then
    return 0, 0
  elseif not form and v.kind == "constant" and type(v.value) == "string" then
    form = types.chars(#v.value)
  elseif not form and (v.kind == "buffer" or v.kind == "pointer") then
    form = v.type
  end
  if not form then
    self:fail("a type has to stand before %s", describe(v))
  end
  local address, object = c:memory(form, v, "argument")
  self.objects[#self.objects + 1] = object
  return address, following and form.size
end

local LARGEST <const> = 0x4000

-- Memory that the helper writes: its type, or the size of a string.
function Call:written_memory()
  local v = self:take("a type, or a size")
  local form = type_of(v)
  if not form and v.kind == "integer" and math.type(v.r) then
    form = v.r > 0 and v.r <= LARGEST and types.chars(v.r)
  end
  if not form then
    self:fail("a type, or a size as a constant, is expected for what it returns, this is %s", describe(v))
  end
  local object = self.c:stable_object(form.size)
  self.c:clear(object, 0, object.size)
  self.result = { object = object, type = form }
  return { object = object, offset = 0 }, form.size
end

local classes = {}

function classes.context(call)
  local v = call:peek()
  if v and v.kind == "pointer" and v.space == "ctx" then
    call.n = call.n + 1
  end
  return call.c:context_register()
end

function classes.map(call)
  local v = call:take("a map")
  if v.kind ~= "constant" or not is_map(v.value) then
    call:fail("argument %d: a map is expected, this is %s", call.n, describe(v))
  end
  call.map = v.value
  return call.c:map_reference(v.value)
end

function classes.flags(call, _, parameters, position)
  local v = call:peek()
  local last = position == #parameters
  if v and (v.kind == "integer" and (last or parameters[position + 1].class == "memory")) then
    call.n = call.n + 1
    return v.r
  elseif v and last then
    call:fail("flags are an integer, this is %s", describe(v))
  end
  return FLAGS[call.name] or 0
end

function classes.value(call)
  return call.c:scalar(call:take("a number"), ("helper.%s: argument %d"):format(call.name, call.n))
end
classes.address = classes.value

function classes.pointer(call)
  local v = call:take("a pointer")
  if v.kind == "pointer" and v.space ~= "trusted" and v.null then
    call:fail("argument %d may be nil here: test it before", call.n)
  elseif v.kind == "pointer" then
    v = call.c:not_nil(v, "")
  end
  return call.c:scalar(v, ("helper.%s: argument %d"):format(call.name, call.n))
end

for part, field in pairs { ["map key"] = "key", ["map value"] = "value" } do
  classes[part] = function(call)
    local form = call.map and call.c.unit:info_of(call.map)[field]
    local v = call:take("a " .. field)
    if values.is_nil(v) then
      return 0
    end
    local address, object = call.c:memory(form, call.c:materialize(v), field)
    call.objects[#call.objects + 1] = object
    return address
  end
end

local function unsupported(call, parameter)
  call:fail("a program written in Lua can't call it: one of its arguments is a %s", parameter.class)
end

-- The kernel's arguments of a call.
function Call:arguments(parameters)
  local out, skip = {}, false
  for position, parameter in ipairs(parameters) do
    local following = parameters[position + 1]
    local sized = following and following.class == "size"
    if skip then
      skip = false
    elseif parameter.class == "memory" then
      local read = parameter.writes and self.written_memory or self.read_memory
      local address, size = read(self, parameter, sized)
      out[#out + 1] = address
      out[#out + 1] = sized and size or nil
      skip = sized
    else
      out[#out + 1] = (classes[parameter.class] or unsupported)(self, parameter, parameters, position)
    end
  end
  if self.n < #self.given then
    self:fail("%s too many: it takes %d", counted(#self.given, "argument is", "arguments are"), self.n)
  end
  return out
end

-- Results -------------------------------------------------------------------------------------------------------------

-- What a helper wrote, where it did not fail.
function Compiler:written(written, r)
  local f, form = self.f, written.type
  local good = self:select("sge", r, 0, 1, 0)
  if form.kind == "int" then
    local v = self:read(form, written.object, 0)
    return { kind = "optional", r = v.r, present = good, positive = v.positive, bool = form.bool }
  end
  local d = f:move(f:register(), 0)
  self:when("ne", good, 0, function() f:move(d, f:address(written.object, 0)) end)
  return { kind = "pointer", r = d, offset = 0, type = form, space = "stack", null = true }
end

local results = {
  int = function(_, r) return values.integer(r) end,
  u64 = function(row, r) return values.integer(r, row.name:find("^ktime_get") ~= nil) end,
  void = function() return NIL end,
  pointer = function(row, r)
    if not row.type:find("^struct ") then
      return values.integer(r)
    end
    local form = types.struct_named(row.type)
    return { kind = "pointer", r = r, offset = 0, type = form, space = "trusted", null = true }
  end,
}

-- Calls a helper of the kernel with Lua's arguments.
function Compiler:call_helper(name, given)
  local c = self
  local special = special_helpers[name]
  if special then
    return special(c, given, name)
  end
  local row = helpers[name]
  if SLEEPS[name] and not c.root.sleepable then
    c:fail("helper.%s: only a program that may sleep can call it, of a section such as 'lsm.s/file_open' or "
      .. "'uprobe.s'; elsewhere use helper.probe_read_user", name)
  end
  local call = setmetatable({ c = c, name = name, given = given, n = 0, objects = {} }, Call)
  local r = c.f:call(row.id, table.unpack(call:arguments(row.parameters)))
  for _, object in ipairs(call.objects) do
    c.f:release(object)
  end
  if MOVES_PACKET[name] then
    c:forget_packet(name)
  end
  if call.result then
    return c:written(call.result, r)
  elseif POSITIVE[row.result] then
    return values.integer(r, true)
  end
  return results[row.result](row, r)
end

-- The values that lie in a packet that was moved are gone, here and in the functions that called this one.
function Compiler:forget_packet(name)
  local c = self
  repeat
    for register, v in pairs(c.state) do
      if v.space == "packet" then
        c.state[register] = { kind = "gone", by = name }
      end
    end
    c = c.caller
  until not c
end

return Compiler

-- SPDX-License-Identifier: MIT
-- Maps in a program: `m[k]`, `m[k] = v`, `m[k] = nil`, and the functions of bpf.map, by the same names as in a script.
local core = require("bpf.core")
local Compiler = require("bpf.program.compiler")
local declared = require("bpf.program.declared")
local globals = require("bpf.program.globals")
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local describe = values.describe
local map = core.map

-- Helpers, by their numbers.
local LOOKUP, UPDATE, DELETE <const> = 1, 2, 3
local PUSH, POP, PEEK <const> = 87, 88, 89

-- Which types have entries that can be looked up by a key, and which are arrays: their entries are always there.
local ARRAYS = { array = true, percpu_array = true }
local KEYED = {}
for name in ([[array percpu_array hash percpu_hash lru_hash lru_percpu_hash lpm_trie array_of_maps hash_of_maps sockmap
  sockhash devmap devmap_hash xskmap cgroup_storage]]):gmatch("%S+") do
  KEYED[name] = true
end

-- Types whose entries can be changed in their place after a look-up, since the helper gives the entry itself.
local IN_PLACE = { hash = true, percpu_hash = true, lru_hash = true, lru_percpu_hash = true }

-- What may be used instead, for types without entries.
local INSTEAD = {
  ringbuf = "helper.ringbuf_output(m, type, record)", perf_event_array = "helper.perf_event_output(m, type, record)",
  queue = "map.push, map.pop and map.peek", stack = "map.push, map.pop and map.peek",
  bloom_filter = "map.push, and map.peek to test", stack_trace = "helper.get_stackid(ctx, m, flags)",
  prog_array = "helper.tail_call(m, index)", sk_storage = "helper.sk_storage_get(m, sk)",
  inode_storage = "helper.inode_storage_get(m, inode)", task_storage = "helper.task_storage_get(m, task)",
  cgrp_storage = "helper.cgrp_storage_get(m, cgroup)",
}

-- Maps of maps: what a look-up gives is a map, which is known when the program runs. Its type stands for it, a form of
-- kind "map", with what is known of the inner maps.
local OUTER = { array_of_maps = true, hash_of_maps = true }

local Inner = {}

-- The map that a value is, for what takes maps: of a program's own, or the one that a look-up gave.
function Compiler:as_map(v)
  if v.kind == "constant" and declared.type(v.value) then
    return v.value
  elseif v.kind ~= "pointer" or v.type.kind ~= "map" then
    return nil
  elseif v.null then
    self:fail("%s may be nil here: test it before", self:whose(v))
  end
  return setmetatable({ r = self:address(v), info = v.type.info }, Inner)
end

function Compiler:map_reference(m)
  if getmetatable(m) == Inner then
    return m.r
  elseif self.root.sleepable then
    self.unit:sleeper_uses(m, self:here())
  end
  return { map = m }
end

-- What is known of a map that is indexed.
function Compiler:keyed(m)
  local info = getmetatable(m) == Inner and m.info or self.unit:info_of(m)
  if not KEYED[info.type] or not info.key or not info.value then
    local instead = INSTEAD[info.type]
    self:fail("a map of type %s isn't indexed in a program%s", info.type, instead and ": use " .. instead or "")
  end
  return info
end

-- A key in memory. Texts that are equal have to be equal keys: what stands behind their NULs is zeroed.
function Compiler:key_memory(info, k)
  self.for_key = true
  local argument, object = self:memory(info.key, k, "key")
  self.for_key = nil
  return argument, object
end

-- Looking up ----------------------------------------------------------------------------------------------------------

-- The register with the address of an entry's value, or 0.
function Compiler:lookup_entry(m, k)
  local info = self:keyed(m)
  local argument, object = self:key_memory(info, k)
  local r = self.f:call(LOOKUP, self:map_reference(m), argument)
  self.f:release(object)
  return r, info
end

local function is_scalar(type)
  return type.kind == "int" or type.kind == "ptr"
end

-- The pointer to a struct of the kernel's that an entry holds, nil where there is no entry: a lenient unit follows it.
local function kept_pointer(c, r, type)
  local target = c.unit.lenient and type.kind == "ptr" and type.to()
  if not target or target.kind ~= "struct" then
    return nil
  end
  local d = c.f:move(c.f:register(), 0)
  c:when("ne", r, 0, function() c.f:move(d, c.f:load(r, 0, type.size)) end)
  return { kind = "pointer", r = d, offset = 0, type = target, space = "kernel", null = true }
end

-- What a pointer that may be 0 leads to: a copy of a scalar, or nil; a reference to anything else, or nil.
function Compiler:entry_value(r, type, space)
  if not is_scalar(type) then
    return { kind = "pointer", r = r, offset = 0, type = type, space = space, null = true }
  end
  local f, pointer = self.f, kept_pointer(self, r, type)
  if pointer then
    return pointer
  end
  local d, present = f:move(f:register(), 0), f:move(f:register(), 0)
  self:when("ne", r, 0, function()
    f:move(d, f:load(r, 0, type.size, type.signed))
    f:move(present, 1)
  end)
  local positive = type.size < 8 and not type.signed
  return { kind = "optional", r = d, present = present, positive = positive or nil, bool = type.bool }
end

-- Whether the key is an index of an array's that is known, and within it: that entry is there.
local function is_there(info, k)
  return ARRAYS[info.type] and k.kind == "integer" and math.type(k.r) and k.r >= 0 and k.r < info.max_entries
end

-- What is known of any map that is in a map of maps, or nil.
local function any_inner(m)
  local walk, state, key = pairs(m)
  local _, inner = walk(state, key)
  return inner and declared.info(inner)
end

-- The form of an inner map: of the declared one, or of any that is in the map.
function Compiler:inner_type(m, info)
  if not info.inner_form then
    local inner = info.inner or not declared.is(m) and any_inner(m)
    if not inner or not inner.key then
      self:fail("the types of the inner maps aren't known: put a map into this one before the program is compiled")
    end
    info.inner_form = { kind = "map", name = "map of type " .. inner.type, size = 8, info = inner }
  end
  return info.inner_form
end

-- Maps whose entries are sockets, for programs. Whoever gets one gives it back by helper.sk_release.
local SOCKETS = { sockmap = true, sockhash = true }

function Compiler:map_get(m, k)
  local r, info = self:lookup_entry(m, k)
  if SOCKETS[info.type] then
    local form = types.struct_named("struct bpf_sock")
    return { kind = "pointer", r = r, offset = 0, type = form, space = "trusted", null = true }
  end
  if OUTER[info.type] then
    return { kind = "pointer", r = r, offset = 0, type = self:inner_type(m, info), space = "inner", null = true }
  end
  local type = info.value
  if is_there(info, k) then
    self:end_if("eq", r, 0) -- which the verifier wants to see
    if is_scalar(type) then
      self.lookup = { map = m, key = k, r = r }
    end
    return self:read(type, r, 0, "map")
  end
  local v = self:entry_value(r, type, "map")
  if v.kind == "pointer" and type.kind == "ptr" then
    v.space = globals.space_of(m)
  end
  if is_scalar(type) then
    self.lookup = { map = m, key = k, r = r }
  end
  return v
end

-- Storing -------------------------------------------------------------------------------------------------------------

local function same_key(a, b)
  if a == b then
    return true
  elseif a.kind ~= b.kind then
    return false
  elseif a.kind == "integer" then
    return a.r == b.r
  elseif a.kind == "buffer" then
    return a.object == b.object and a.offset == b.offset
  end
  return a.kind == "constant" and rawequal(a.value, b.value)
end

-- The address found by the look-up of the same entry right before, or nil: `m[k] = (m[k] or 0) + 1` looks up once.
function Compiler:looked_up(m, k)
  local last = self.lookup
  return last and last.map == m and same_key(last.key, k) and last.r or nil
end

local function forget(c, m)
  if c.lookup and c.lookup.map == m then
    c.lookup = nil
  end
end

function Compiler:update_entry(m, info, k, v, flags)
  local f = self.f
  forget(self, m)
  local key, key_object = self:key_memory(info, k)
  local value, value_object = self:memory(info.value, v, "value")
  local r = f:call(UPDATE, self:map_reference(m), key, value, flags)
  f:release(key_object)
  f:release(value_object)
  if self.unit.refused then
    self.unit.refused(self, m, r)
  end
  return r
end

-- Arrays are written in their place, which has no entry to make.
local function set_in_array(c, m, info, k, v)
  if info.value.lock then -- which only the helper leaves as it is
    c:update_entry(m, info, k, v, 0)
    return
  end
  local r = c:looked_up(m, k) or c:lookup_entry(m, k)
  c:when("ne", r, 0, function() c:write(info.value, r, 0, v, "value") end)
end

function Compiler:map_set(m, k, v)
  local info = self:keyed(m)
  if OUTER[info.type] then
    self:fail("which maps are in a map of type %s is the script's to say: the kernel lets no program change it",
      info.type)
  end
  if values.is_nil(v) then
    return self:map_delete(m, k)
  end
  v = self:materialize(v)
  self:keep_strings("map")
  local last = self:looked_up(m, k)
  if ARRAYS[info.type] then
    return set_in_array(self, m, info, k, v)
  elseif not (last and IN_PLACE[info.type]) then
    self:update_entry(m, info, k, v, 0)
    return
  end
  local f = self.f
  local there, absent, behind = f:block(), f:block(), f:block()
  f:branch("ne", last, 0, there, absent)
  f:start(there)
  self:write(info.value, last, 0, v, "value")
  f:jump(behind)
  f:start(absent)
  self:update_entry(m, info, k, v, 0)
  f:jump(behind)
  f:start(behind)
end

function Compiler:map_delete(m, k)
  local info = self:keyed(m)
  if ARRAYS[info.type] then
    self:fail("the entries of an array can't be deleted: assign a value")
  end
  forget(self, m)
  self:keep_strings("map")
  local key, object = self:key_memory(info, k)
  local r = self.f:call(DELETE, self:map_reference(m), key)
  self.f:release(object)
  return r
end

-- The functions of bpf.map --------------------------------------------------------------------------------------------

local calls = {}

-- The map among the arguments of a function, which is taken off.
local function map_argument(c, arguments, name)
  local v = table.remove(arguments, 1)
  return v and c:as_map(v)
    or c:fail("map.%s: a map is expected, this is %s", name, v and describe(v) or "nothing")
end

local function argument(c, arguments, n, name, what)
  return arguments[n] or c:fail("map.%s: the %s is missing", name, what)
end

function calls.lookup(c, arguments)
  local m = map_argument(c, arguments, "lookup")
  return c:map_get(m, argument(c, arguments, 1, "lookup", "key"))
end

local FLAGS = { any = 0, noexist = 1, exist = 2 }

function calls.update(c, arguments)
  local m = map_argument(c, arguments, "update")
  local info, flag = c:keyed(m), arguments[3]
  local flags = FLAGS[flag == nil and "any" or flag.kind == "constant" and flag.value]
  if not flags then
    c:fail("map.update: the flag must be \"any\", \"noexist\" or \"exist\"")
  end
  local k, v = argument(c, arguments, 1, "update", "key"), argument(c, arguments, 2, "update", "value")
  c:keep_strings("map")
  return c:condition("eq", c:update_entry(m, info, k, c:materialize(v), flags), 0)
end

function calls.delete(c, arguments)
  local m = map_argument(c, arguments, "delete")
  return c:condition("eq", c:map_delete(m, argument(c, arguments, 1, "delete", "key")), 0)
end

local QUEUES = { queue = true, stack = true, bloom_filter = true }

local function queue(c, arguments, name)
  local m = map_argument(c, arguments, name)
  local info = c.unit:info_of(m)
  if not QUEUES[info.type] then
    c:fail("map.%s: a queue, a stack or a bloom filter is expected, this map is of type %s", name, info.type)
  end
  return m, info
end

function calls.push(c, arguments)
  local m, info = queue(c, arguments, "push")
  local value, object = c:memory(info.value, argument(c, arguments, 1, "push", "value"), "value")
  local r = c.f:call(PUSH, c:map_reference(m), value, 0)
  c.f:release(object)
  return c:condition("eq", r, 0)
end

-- The value that a queue gave, in memory: nil where the helper failed.
local function taken(c, info, object, r)
  local f, type = c.f, info.value
  local address = c:select("eq", r, 0, 1, 0)
  if is_scalar(type) then
    local v = c:read(type, object, 0, nil)
    return { kind = "optional", r = v.r, present = address, positive = v.positive, bool = type.bool }
  end
  local d = f:move(f:register(), 0)
  c:when("ne", address, 0, function() f:move(d, f:address(object, 0)) end)
  return { kind = "pointer", r = d, offset = 0, type = type, space = "stack", null = true }
end

for name, id in pairs { pop = POP, peek = PEEK } do
  calls[name] = function(c, arguments)
    local m, info = queue(c, arguments, name)
    if info.type == "bloom_filter" then
      local value, object = c:memory(info.value, argument(c, arguments, 1, name, "value"), "value")
      local r = c.f:call(id, c:map_reference(m), value)
      c.f:release(object)
      return c:condition("eq", r, 0)
    end
    local object = c:stable_object(info.value.size)
    c:clear(object, 0, object.size)
    return taken(c, info, object, c.f:call(id, c:map_reference(m), { object = object, offset = 0 }))
  end
end

-- Adds to the entry at an address, in one instruction.
local function add_at(c, r, type, n)
  c.f:atomic("add", r, 0, type.size, n)
end

-- Adds to an entry, whose key is in memory. What isn't there is made; where another CPU was faster, it is there then.
-- Where neither can be, as in a full map, goes on at the block `failed`, if there is one.
function Compiler:add_to_entry(m, info, key, amount, failed)
  local f, type, done = self.f, info.value, self.f:block()
  local function add_or(otherwise)
    local r = f:call(LOOKUP, self:map_reference(m), key)
    local there = f:block()
    f:branch("ne", r, 0, there, otherwise)
    f:start(there)
    add_at(self, r, type, amount)
    f:jump(done)
    f:start(otherwise)
  end
  add_or(f:block())
  if not ARRAYS[info.type] then
    local value, object = self:memory(type, values.integer(amount), "value")
    local again = f:block()
    f:branch("eq", f:call(UPDATE, self:map_reference(m), key, value, FLAGS.noexist), 0, done, again)
    f:start(again)
    f:release(object)
    add_or(f:block())
  end
  f:jump(failed or done)
  f:start(done)
end

-- Why the values of a map can't be added to, or nil.
function Compiler.not_addable(info)
  local type = info.value
  if not type or type.kind ~= "int" or type.size < 4 or type.bool then
    return ("values must be integers of 4 or 8 bytes, these are %s"):format(type and (type.name or type.kind) or "none")
  end
  return nil
end

function calls.add(c, arguments)
  local m = map_argument(c, arguments, "add")
  local info = c:keyed(m)
  local why = c.not_addable(info)
  if why then
    c:fail("map.add: %s", why)
  end
  local k, n = argument(c, arguments, 1, "add", "key"), arguments[2] or values.constant(1)
  local amount = c.f:move(c.f:register(), c:integer(n, "map.add"))
  forget(c, m)
  local key, object = c:key_memory(info, k)
  c:add_to_entry(m, info, key, amount)
  c.f:release(object)
  return values.NIL
end

function calls.locked(c, arguments)
  require("bpf.program.locks") -- which takes the place of this function
  return Compiler.intrinsics[map.locked](c, arguments)
end

-- Functions that only scripts have.
local function unavailable(name)
  return function(c) c:fail("map.%s can't be called in a program: call it in the script", name) end
end

for name, fn in pairs(map) do
  if type(fn) == "function" then
    Compiler.intrinsics[fn] = calls[name] or unavailable(name)
  end
end

return Compiler

-- SPDX-License-Identifier: MIT
--- Maps that don't exist yet: whoever loads the object creates them.
-- @module bpf.map
local core = require("bpf.core")
local argument = require("bpf.base.argument")
local types = require("bpf.program.types")

local error = argument.error
local map = core.map

local declared = {}

local Declared = { __name = "bpf.map.declare" }

-- The kernel's numbers of the types of maps.
local NUMBERS, count = {}, 0
for name in ([[unspec hash array prog_array perf_event_array percpu_hash percpu_array stack_trace cgroup_array lru_hash
  lru_percpu_hash lpm_trie array_of_maps hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
  reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash struct_ops ringbuf inode_storage
  task_storage bloom_filter user_ringbuf cgrp_storage arena]]):gmatch("%S+") do
  NUMBERS[name], count = count, count + 1
end

-- The kernel's bits of the flags, from the lowest on.
local FLAGS, bit = {}, 1
for name in ([[no_prealloc no_common_lru numa_node rdonly wronly stack_build_id zero_seed rdonly_prog wronly_prog clone
  mmapable preserve_elems inner_map link path_fd vtype_btf_obj_fd token_fd segv_on_fault no_user_conv
  rb_overwrite]]):gmatch("%S+") do
  FLAGS[name], bit = bit, bit << 1
end

-- Types of keys and values where the kernel leaves no choice, and flags that it demands: as map.create has them.
local INDEX <const>, U64 <const> = "__u32", "__u64"
local DEVICE <const> = "struct target { __u32 ifindex; __u32 prog; }"
local CPU <const> = "struct target { __u32 qsize; __u32 prog; }"
local STORAGE <const> = "struct bpf_cgroup_storage_key { __u64 cgroup_inode_id; __u32 attach_type; }"
local PRESETS = {
  array = { key = INDEX }, percpu_array = { key = INDEX }, stack_trace = { key = INDEX, value = "__u64[127]" },
  prog_array = { key = INDEX, value = INDEX }, perf_event_array = { key = INDEX, value = INDEX },
  cgroup_array = { key = INDEX, value = INDEX }, array_of_maps = { key = INDEX, value = INDEX },
  hash_of_maps = { value = INDEX }, devmap = { key = INDEX, value = DEVICE },
  devmap_hash = { key = INDEX, value = DEVICE }, cpumap = { key = INDEX, value = CPU },
  xskmap = { key = INDEX, value = INDEX }, sockmap = { key = INDEX, value = U64 }, sockhash = { value = U64 },
  reuseport_sockarray = { key = INDEX, value = U64 },
  cgroup_storage = { key = STORAGE }, percpu_cgroup_storage = { key = STORAGE },
  lpm_trie = { flags = FLAGS.no_prealloc }, arena = { flags = FLAGS.mmapable },
}
for _, name in ipairs { "sk_storage", "inode_storage", "task_storage", "cgrp_storage" } do
  PRESETS[name] = { key = "int", flags = FLAGS.no_prealloc }
end

-- Options -------------------------------------------------------------------------------------------------------------

-- Raises what `declare` raises as an error of the script's.
local function fail(text, ...)
  error({ declared = "map.declare: " .. text:format(...) }, 0)
end

local OPTIONS <const> = {
  "type", "key", "value", "max_entries", "name", "flags", "key_size", "value_size", "map_extra", "numa_node", "inner",
}
local KINDS = { type = "string", name = "string", max_entries = "integer", key_size = "integer",
  value_size = "integer", map_extra = "integer", numa_node = "integer" }
for _, name in ipairs(OPTIONS) do
  KINDS[name] = KINDS[name] or "any"
end

local function check(options)
  for name, value in pairs(options) do
    local expected = KINDS[name]
    if not expected then
      fail("there is no option '%s' (options: %s)", tostring(name), table.concat(OPTIONS, ", "))
    elseif expected ~= "any" and type(value) ~= expected and math.type(value) ~= expected then
      fail("option '%s' must be %s %s, got %s", name, expected == "integer" and "an" or "a", expected, type(value))
    end
  end
  if not options.type then
    fail("option 'type' is missing")
  elseif not NUMBERS[options.type] or options.type == "unspec" then
    fail("there is no map type '%s'", options.type)
  end
end

local function flags_of(given, preset)
  local flags = preset or 0
  for _, name in ipairs(type(given) == "table" and given or { given }) do
    flags = flags | (FLAGS[name] or fail("there is no flag '%s'", tostring(name)))
  end
  return flags
end

-- The form and the size of the key or the value.
local function part(options, what, preset)
  local given, size = options[what], options[what .. "_size"]
  if given and size then
    fail("give %s or %s_size, not both", what, what)
  end
  given = given or size or preset
  if not given then
    return nil, 0
  elseif math.type(given) == "integer" then
    return { kind = "chars", size = given, text = false }, given
  end
  local ctype = given
  if type(given) == "string" then
    local ok, found = pcall(core.btf.type, given)
    ctype = ok and found or fail("option '%s': %s", what, (tostring(found):gsub("^.-:%d+: type: ", "")))
  end
  local ok, form = pcall(types.of, ctype)
  if not ok then
    fail("option '%s' must be a C type or a size, got %s", what, type(given))
  end
  return form, form.size
end

local function inner_of(inner)
  if inner == nil then
    return nil
  elseif map.type(inner) then
    local info = map.info(inner)
    info.type_number = info.type_number or NUMBERS[info.type]
    return info
  elseif declared.is(inner) then
    return rawget(inner, "info")
  elseif type(inner) ~= "table" then
    fail("option 'inner' must be a map or a table of options, got %s", type(inner))
  end
  return declared.read(inner)
end

-- What map.info would say of the map, with the forms of key and value.
function declared.read(options)
  check(options)
  local preset = PRESETS[options.type] or {}
  local info = {
    type = options.type, type_number = NUMBERS[options.type], name = options.name,
    max_entries = options.max_entries or 0, map_flags = flags_of(options.flags, preset.flags),
    map_extra = options.map_extra, numa_node = options.numa_node, inner = inner_of(options.inner),
  }
  if options.numa_node then
    info.map_flags = info.map_flags | FLAGS.numa_node
  end
  info.key, info.key_size = part(options, "key", preset.key)
  info.value, info.value_size = part(options, "value", preset.value)
  return info
end

-- The maps ------------------------------------------------------------------------------------------------------------

function Declared.__index(_, name)
  error(("a declared map has no entries, such as '%s', before its object is loaded: it is in obj.maps then")
    :format(tostring(name)), 2)
end

function Declared.__newindex(_, name)
  error(("a declared map takes no entries, such as '%s', before its object is loaded: it is in obj.maps then")
    :format(tostring(name)), 2)
end

function Declared:__tostring()
  local info = rawget(self, "info")
  return ("bpf.map.declare: %s%s"):format(info.type, info.name and " " .. info.name or "")
end
Declared.__metatable = false

--- Declares a map that programs in Lua use, without creating it. The map is created when an object with the programs is
-- loaded: by bpf.programs, or from the bytes of bpf.assemble by any program that uses libbpf. It is then among the maps
-- of the object, `obj.maps`, by its name. In a function of a program, a declared map is used as any other map.
-- @function bpf.map.declare
-- @tparam table options as for map.create, except `ifindex` and `token`. Without `name`, the map is called as the first
-- upvalue that has it
-- @treturn table the declared map, for upvalues of functions
-- @see bpf.assemble, bpf.map.create
-- @usage
-- local calls = bpf.map.declare { type = "array", max_entries = 1, value = "__u64" }
-- local obj <close> = assert(bpf.programs {
--   count = { "xdp", function()
--     calls[0] = calls[0] + 1
--     return 2
--   end },
-- })
-- obj.progs.count:run { data = ("\0"):rep(64), repeat_ = 10 }
-- print(obj.maps.calls[0]) --> 10
function declared.declare(options)
  argument.check(1, "declare", options, "table")
  local ok, info = pcall(declared.read, options)
  if not ok then
    local own = type(info) == "table" and info.declared
    error(own or info, own and 2 or 0)
  end
  return setmetatable({ info = info }, Declared)
end

-- What the compiler asks of maps, those that exist as well ----------------------------------------------------------

function declared.is(value)
  return type(value) == "table" and debug.getmetatable(value) == Declared
end

-- The type of a map by its name; nil of anything else.
function declared.type(value)
  if declared.is(value) then
    return rawget(value, "info").type
  end
  return map.type(value)
end

-- What is known of a map, and the forms of its key and value.
function declared.info(value)
  if declared.is(value) then
    return rawget(value, "info")
  end
  local info = map.info(value)
  if info.column then
    local name = info.name ~= "" and info.name or info.type
    error(("map '%s': a column is for scripts: name the map itself"):format(name), 2)
  end
  local key, described = map.types(value)
  info.key, info.value = key and types.of(key), described and types.of(described)
  info.type_number = info.type_number or NUMBERS[info.type]
  return info
end

local function numbers(info)
  return {
    type = info.type_number, max_entries = info.max_entries, map_flags = info.map_flags, key_size = info.key_size,
    value_size = info.value_size, map_extra = info.map_extra, numa_node = info.numa_node,
  }
end

-- A map's definition for the object, with the types of what is created with it.
function declared.definition(value, info, name)
  local definition = { name = name, map = value, definition = numbers(info), key = info.key, value = info.value }
  local inner = info.inner
  if declared.is(value) then
    definition.values = inner and { definition = numbers(inner), key = inner.key, value = inner.value }
  end
  return definition
end

return declared

-- SPDX-License-Identifier: MIT
-- lua-bpf maps.

local bpf = require("bpf")
local held = require("bpf.command.held")
local list = require("bpf.command.list")

local hist = bpf.hist

local USAGE <const> = [[
Usage: lua-bpf maps [--json] [MAP...]

Lists all maps of the kernel, or only the given ones. A MAP is an id, the path of a pin, or a name. All maps of a name
are listed.
  FLAGS      flags of the map's creation, as map.create has them. A map that is frozen can't be changed by processes
  MEMORY     kernel memory that the map takes
  PINS       where the map is pinned
  PROCESSES  processes that have the map open; programs and pins may keep a map, too
  --json     print a JSON array of objects instead of a table

Example: lua-bpf maps hits
]]

-- The flags by the numbers of their bits. Descriptors are no property of the map: they are left out.
local FLAGS <const> = {
  [0] = "no_prealloc", "no_common_lru", "numa_node", "rdonly", "wronly", "stack_build_id", "zero_seed", "rdonly_prog",
  "wronly_prog", "clone", "mmapable", "preserve_elems", "inner_map", "link", nil, nil, nil, "segv_on_fault",
  "no_user_conv", "rb_overwrite",
}

local function flags_of(info)
  local flags = {}
  for bit = 0, 31 do
    if info.map_flags & 1 << bit ~= 0 then
      flags[#flags + 1] = FLAGS[bit]
    end
  end
  return flags
end

local function flags_text(flags, info)
  return table.concat(flags, ", ") .. (info.frozen and (#flags > 0 and ", " or "") .. "frozen" or "")
end

local function run(given, names)
  local items = list.collect("map", names)
  for _, info in ipairs(items) do
    info.memory, info.frozen = held.map_memory(info.id)
    info.flags = flags_of(info)
  end
  list.print(items, {
    { name = "ID", field = "id" },
    { name = "NAME", field = "name", format = list.or_dash },
    { name = "TYPE", field = "type" },
    { name = "KEY", field = "key_size" },
    { name = "VALUE", field = "value_size" },
    { name = "ENTRIES", field = "max_entries" },
    { name = "FLAGS", field = "flags", format = flags_text,
      shown = function(info) return flags_text(info.flags, info) ~= "" end },
    { name = "MEMORY", field = "memory", format = hist.bytes, align = "right" },
    list.PINS,
    list.PROCESSES,
  }, given)
end

return { usage = USAGE, arguments = { "map..." }, options = list.OPTIONS, run = run }

-- SPDX-License-Identifier: MIT
-- The entries of a map as a table.

local bpf = require("bpf")
local formats_of = require("bpf.inspect.formats")
local hist = require("bpf.hist")
local value_text = require("bpf.inspect.value")

local map = bpf.map
local lines = require("bpf.inspect.handle").lines
local column_cell, thousands = value_text.column_cell, value_text.thousands

local SORTED = 1000 -- maps with more entries are shown as the walk goes

-- Looking a map of maps or of programs up opens handles.
local function close_handle(value)
  if type(value) == "userdata" then
    if map.type(value) then
      map.close(value)
    else
      value:close()
    end
  end
end

-- Whether entries can be walked: those of queues and rings can't, nor those of a map that isn't loaded.
local function walk(m)
  local ok, step, state, control, closing = pcall(pairs, m)
  if ok then
    return step, state, control, closing
  end
  return nil, step
end

local ARRAYS = { array = true, percpu_array = true } -- maps whose slots are all there

-- How many entries there are beyond those that were seen.
local function rest_of(m, seen)
  if ARRAYS[map.type(m)] then
    return assert(map.info(m)).max_entries - seen
  end
  local progress <close> = hist.progress("entries counted")
  local n = 0
  for _ in map.keys(m) do
    n = n + 1
    progress(n)
  end
  return math.max(n - seen, 0)
end

-- Entries in the order of their keys, as far as they are looked at, { key, value } each; and whether there are more.
local function entries_of(layout, most, step, state, control, closing)
  local progress <close> = hist.progress("entries")
  local list, more = {}, false
  for key, value in step, state, control, closing do
    if #list == most then
      close_handle(value)
      more = true
      break
    end
    local text = type(value) == "userdata" and tostring(value) or value
    close_handle(value)
    list[#list + 1] = { key, text, handle = text ~= value }
    progress(#list)
  end
  if not more then
    table.sort(list, function(a, b) return value_text.key_before(a[1], b[1], layout) end)
  end
  return list, more
end

-- Leaves `limit` entries. Returns how many it takes away.
local function shorten(list, limit)
  local found = #list
  for i = found, limit + 1, -1 do
    list[i] = nil
  end
  return found - #list
end

local function each_is(list, i, kind)
  for _, entry in ipairs(list) do
    if type(entry[i]) ~= kind then
      return false
    end
  end
  return #list > 0
end

-- Entries of per-CPU maps: integers become their sum and the CPUs', everything else a row for each CPU.
local function by_cpu(entries, integers)
  local list = {}
  for _, entry in ipairs(entries) do
    if integers then
      local sum = 0
      for _, n in ipairs(entry[2]) do
        sum = sum + n
      end
      list[#list + 1] = { entry[1], sum, entry[2] }
    else
      for cpu, value in ipairs(entry[2]) do
        list[#list + 1] = { entry[1], value, cpu - 1 }
      end
    end
  end
  return list
end

-- Adds the columns of one side of the entries, and their cells to the rows.
local function add_columns(rows, columns, entries, i, side, formats)
  local layout, heading = side.layout, side.heading
  if layout and layout.kind == "struct" and #layout > 0 and each_is(entries, i, "table") then
    for _, member in ipairs(layout) do
      local field, format = i .. member.name, formats[member.name]
      columns[#columns + 1] = value_text.column(member.name, field, member, format)
      for r, entry in ipairs(entries) do
        rows[r][field] = column_cell(entry[i][member.name], member, format)
      end
    end
    return
  end
  local format = formats_of.whole(formats, layout, heading)
  columns[#columns + 1] = value_text.column(heading, i, not (each_is(entries, i, "string")) and layout or nil, format)
  for r, entry in ipairs(entries) do
    rows[r][i] = entry.handle and i == 2 and entry[i] or column_cell(entry[i], layout, format)
  end
end

-- What the entries have, in the order of the columns: { heading, layout, at = its place in an entry }.
local function sides_of(m)
  local key, value = map.types(m)
  key, value = key and key:layout(), value and value:layout()
  local integers = value and (value.kind == "unsigned" or value.kind == "signed")
  local sides = { { heading = "key", layout = key, at = 1 }, { heading = "value", layout = value, at = 2 } }
  if map.type(m):find("percpu", 1, true) then
    sides.by_cpu, sides.integers = true, integers
    sides[2].heading = integers and "sum" or "value"
    table.insert(sides, integers and 3 or 2, integers
      and { heading = "by CPU", layout = { kind = "array", element = value }, at = 3 }
      or { heading = "CPU", layout = { kind = "unsigned" }, at = 3 })
  end
  return sides
end

-- A function that gives an entry's value in a column, and the column's layout.
local function column_of(sides, name)
  for _, side in ipairs(sides) do
    local at, layout = side.at, side.layout
    if side.heading == name then
      return function(entry) return entry[at] end, layout
    end
    for _, member in ipairs(layout and layout.kind == "struct" and layout or {}) do
      if member.name == name then
        return function(entry) return type(entry[at]) == "table" and entry[at][name] or nil end, member
      end
    end
  end
end

-- Sorts by a column, "-name" from the greatest on. Entries that are equal there stay in the order of their keys; those
-- that have nothing there come last.
local function sort_by(entries, sides, sort)
  local down, name = sort:match("^(%-?)(.*)$")
  local get, layout = column_of(sides, name)
  local place, of = {}, {}
  for i, entry in ipairs(entries) do
    place[entry], of[entry] = i, get(entry)
  end
  table.sort(entries, function(a, b)
    local x, y = of[a], of[b]
    if x ~= nil and y ~= nil then
      if down == "-" then
        x, y = y, x
      end
      if value_text.key_before(x, y, layout) or value_text.key_before(y, x, layout) then
        return value_text.key_before(x, y, layout)
      end
    elseif x ~= y then
      return y == nil
    end
    return place[a] < place[b]
  end)
end

local function entries_text(m, options)
  local step, state, control, closing = walk(m)
  if not step then
    return nil
  end
  local limit, sides = options.limit, sides_of(m)
  local most = options.sort and math.huge or ARRAYS[map.type(m)] and limit or math.max(limit, SORTED)
  local entries, unread = entries_of(sides[1].layout, most, step, state, control, closing)
  local more = not options.sort and shorten(entries, limit) or 0
  if unread then
    more = rest_of(m, #entries)
  end
  if sides.by_cpu then
    entries = by_cpu(entries, sides.integers)
  end
  if options.sort then
    sort_by(entries, sides, options.sort)
    more = shorten(entries, limit)
  end
  local rows, columns = {}, {}
  for i = 1, #entries do
    rows[i] = {}
  end
  for _, side in ipairs(sides) do
    add_columns(rows, columns, entries, side.at, side, options.formats or {})
  end
  local text = #rows > 0 and hist.table(rows, columns, options.table) or "(empty)"
  return more > 0 and ("%s\n… and %s more"):format(text, thousands(more)) or text
end

local maps = {}

-- The layouts of a map's columns by their headings, for what is to be checked.
function maps.layouts(m)
  local list = {}
  for _, side in ipairs(sides_of(m)) do
    list[side.heading] = side.layout or false
  end
  return list
end

-- The text of a map. Raises for a column that it doesn't have.
function maps.text(m, options, level)
  local given = options.given
  if (given.formats or given.sort) and map.types(m) then
    local layouts = maps.layouts(m)
    options.formats = formats_of.tree("inspect: formats", given.formats, layouts, level + 1)
    if given.sort then
      formats_of.check_name("inspect: sort", (given.sort:gsub("^%-", "")), layouts, level + 1)
      options.sort = given.sort
    end
  end
  local fine, text = pcall(entries_text, m, options)
  if not fine and map.type(m) ~= "closed map" and map.info(m) then
    error(text, 0)
  end
  return lines(tostring(m), fine and text)
end

return maps

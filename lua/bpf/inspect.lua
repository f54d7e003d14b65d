-- SPDX-License-Identifier: MIT
--- Looking at maps, handles and values at the prompt. A module that is a function: `bpf.inspect(value)`.
-- @module bpf

local bpf = require("bpf")
local hist = require("bpf.hist")
local map = bpf.map

local argument = require("bpf.base.argument")
local error = argument.error
local number = require("bpf.base.number")

local M = {}

local SORTED = 1000 -- maps with more entries are shown as the walk goes
local LONG = 64 -- bytes or elements shown of one value

-- Single values -------------------------------------------------------------------------------------------------------

local function thousands(n)
  local text = ("%d"):format(n):reverse():gsub("(%d%d%d)", "%1,"):reverse()
  return (text:gsub("^,", ""))
end

local function hex(bytes)
  local text = bytes:sub(1, LONG):gsub(".", function(c)
    return ("%02x "):format(c:byte())
  end):sub(1, -2)
  return #bytes > LONG and ("%s … (%d bytes)"):format(text, #bytes) or text
end

local function quoted(s)
  if not utf8.len(s) then
    return hex(s)
  end
  return '"' .. s:gsub('[\0-\31"\\\127]', function(c)
    return c == "\n" and "\\n" or c:find('["\\]') and "\\" .. c or ("\\%03d"):format(c:byte())
  end) .. '"'
end

-- In the order in which people look for keys: numbers, then text.
local function before(a, b)
  local ta, tb = type(a), type(b)
  if ta ~= tb then
    return ta < tb
  elseif ta == "number" or ta == "string" then
    return a < b
  end
  return tostring(a) < tostring(b)
end

-- The same for keys of a map, whose members count in the order of their declaration.
local function key_before(a, b, layout)
  if type(a) ~= "table" or type(b) ~= "table" or not layout then
    return before(a, b)
  end
  for i, member in ipairs(layout) do
    local x, y = a[member.name], b[member.name]
    if x ~= y and (type(x) ~= "table" or key_before(x, y, layout[i]) or key_before(y, x, layout[i])) then
      return key_before(x, y, layout[i])
    end
  end
  return false
end

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do
    keys[#keys + 1] = k
  end
  table.sort(keys, before)
  return keys
end

local cell

-- Whether a table says itself what its text is. Its metatable may be protected, as those of bpf and obj.maps are.
local function has_text(value)
  return not tostring(value):find("^table: ")
end

local function sequence(value, element, depth)
  local list = {}
  for i = 1, math.min(#value, LONG) do
    list[i] = cell(value[i], element, depth)
  end
  if #value > LONG then
    list[#list + 1] = ("… %s more"):format(thousands(#value - LONG))
  end
  return list
end

local function named(name, text)
  return ("%s = %s"):format(type(name) == "string" and name:find("^[A-Za-z_][A-Za-z0-9_]*$") and name
    or "[" .. cell(name) .. "]", text)
end

local function table_cell(value, layout, depth)
  local list
  if depth > 8 then
    return "{…}"
  elseif layout and layout.kind == "struct" then
    list = {}
    for _, member in ipairs(layout) do
      local v = value[member.name]
      list[#list + 1] = v ~= nil and named(member.name, cell(v, member, depth)) or nil
    end
  else
    local element = layout and layout.kind == "array" and layout.element or nil
    list = sequence(value, element, depth)
    for _, k in ipairs(sorted_keys(value)) do
      if not (math.type(k) == "integer" and k >= 1 and k <= #value) then
        list[#list + 1] = named(k, cell(value[k], nil, depth))
      end
    end
  end
  return #list == 0 and "{}" or "{ " .. table.concat(list, ", ") .. " }"
end

-- Whether a text is bytes: those of an array, and of a map's key that no table stands for.
local function is_bytes(value, layout)
  local kind = layout and layout.kind
  return kind == "bytes" or (kind == "struct" or kind == "array") and value:find("[\0-\31\127]") ~= nil
end

-- A value in one line; layout is what type:layout gives for it. A value may be another than the layout says: addresses
-- are text, interfaces are names.
function cell(value, layout, depth)
  depth = (depth or 0) + 1
  local kind = layout and layout.kind
  if type(value) == "table" and not has_text(value) then
    return table_cell(value, layout, depth)
  elseif type(value) == "string" then
    return is_bytes(value, layout) and hex(value) or quoted(value)
  elseif math.type(value) == "integer" then
    return layout and layout.enumerators and layout.enumerators[value]
      or kind == "unsigned" and value < 0 and number.unsigned(value) or tostring(value)
  elseif type(value) == "number" then
    return number.text(value)
  end
  return tostring(value)
end

-- The same in a column of its own: text without quotes.
local function column_cell(value, layout)
  local plain = type(value) == "string" and not is_bytes(value, layout) and utf8.len(value)
  return value == nil and "" or plain and value or cell(value, layout)
end

-- A column of values as hist.table wants it: numbers are flushed right.
local function column(name, field, layout)
  local kind = layout and layout.kind
  local right = (kind == "unsigned" or kind == "signed" or kind == "float") and not layout.enumerators
  return { name = name, field = field, align = right and "right" or "left" }
end

-- Maps ----------------------------------------------------------------------------------------------------------------

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

-- The entries to show, { key, value } each, and how many there are besides.
local function entries_of(m, layout, limit, step, state, control, closing)
  local progress <close> = hist.progress("entries")
  local list, most, more = {}, ARRAYS[map.type(m)] and limit or math.max(limit, SORTED), false
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
    table.sort(list, function(a, b) return key_before(a[1], b[1], layout) end)
  end
  local found = #list
  for i = found, limit + 1, -1 do
    list[i] = nil
  end
  return list, more and rest_of(m, #list) or found - #list
end

local function each_is(list, i, kind)
  for _, entry in ipairs(list) do
    if type(entry[i]) ~= kind then
      return false
    end
  end
  return #list > 0
end

-- Adds the columns of one side of the entries, and their cells to the rows.
local function add_columns(rows, columns, entries, i, layout, heading)
  if layout and layout.kind == "struct" and #layout > 0 and each_is(entries, i, "table") then
    for _, member in ipairs(layout) do
      local field = i .. member.name
      columns[#columns + 1] = column(member.name, field, member)
      for r, entry in ipairs(entries) do
        rows[r][field] = column_cell(entry[i][member.name], member)
      end
    end
    return
  end
  columns[#columns + 1] = column(heading, i, not (each_is(entries, i, "string")) and layout or nil)
  for r, entry in ipairs(entries) do
    rows[r][i] = entry.handle and i == 2 and entry[i] or column_cell(entry[i], layout)
  end
end

-- Entries of per-CPU maps: integers become their sum and the CPUs', everything else a row for each CPU.
local function by_cpu(entries, layout)
  local list = {}
  local integers = layout and (layout.kind == "unsigned" or layout.kind == "signed")
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
  return list, integers
end

local function entries_text(m, options)
  local step, state, control, closing = walk(m)
  if not step then
    return nil
  end
  local key_type, value_type = map.types(m)
  local key, value = key_type and key_type:layout(), value_type and value_type:layout()
  local entries, more = entries_of(m, key, options.limit, step, state, control, closing)
  local rows, columns, percpu, summed = {}, {}, map.type(m):find("percpu", 1, true), nil
  if percpu then
    entries, summed = by_cpu(entries, value)
  end
  for i = 1, #entries do
    rows[i] = {}
  end
  add_columns(rows, columns, entries, 1, key, "key")
  if percpu and not summed then
    add_columns(rows, columns, entries, 3, { kind = "unsigned" }, "CPU")
  end
  add_columns(rows, columns, entries, 2, value, summed and "sum" or "value")
  if summed then
    add_columns(rows, columns, entries, 3, { kind = "array", element = value }, "by CPU")
  end
  local text = #rows > 0 and hist.table(rows, columns, options.table) or "(empty)"
  return more > 0 and ("%s\n… and %s more"):format(text, thousands(more)) or text
end

-- Several texts, those that are there, in paragraphs of their own lines.
local function lines(...)
  local list = table.pack(...)
  local kept = {}
  for i = 1, list.n do
    kept[#kept + 1] = list[i] or nil
  end
  return table.concat(kept, "\n")
end

local function map_text(m, options)
  local ok, text = pcall(entries_text, m, options)
  if not ok and map.type(m) ~= "closed map" and map.info(m) then
    error(text, 0)
  end
  return lines(tostring(m), ok and text)
end

-- Handles -------------------------------------------------------------------------------------------------------------

-- What the kernel tells: a line for each field.
local function fields_text(info, options)
  local rows = {}
  for _, name in ipairs(sorted_keys(info)) do
    rows[#rows + 1] = { name, column_cell(info[name]) }
  end
  return #rows > 0 and hist.table(rows, { { align = "left" }, { align = "left" } }, options.table) or nil
end

local function info_text(handle, options)
  local ok, info = pcall(handle.info, handle)
  return lines(tostring(handle), ok and info and fields_text(info, options))
end

-- How many links each program has, as far as this process may ask.
local function links_by_program()
  local count, step = {}, bpf.links()
  for info in step or function() end do
    count[info.prog_id] = (count[info.prog_id] or 0) + 1
  end
  return count
end

local function programs_text(obj, options)
  local rows, links = {}, nil
  for _, name in ipairs(sorted_keys(obj.progs)) do
    local prog, state = obj.progs[name], "not loaded"
    local ok, info = pcall(prog.info, prog)
    if ok and info and info.id then
      links = links or links_by_program()
      local n = links[info.id]
      state = n and ("%d link%s"):format(n, n == 1 and "" or "s") or "loaded"
    end
    rows[#rows + 1] = { name, prog:section(), (prog:type()), state }
  end
  return #rows > 0 and hist.table(rows, { { name = "program" }, { name = "section" }, { name = "type" },
    { name = "state" } }, options.table)
end

local function maps_text(obj, options)
  local rows = {}
  for _, name in ipairs(sorted_keys(obj.maps)) do
    rows[#rows + 1] = { name, tostring(obj.maps[name]):match("%((.*)%)$") }
  end
  return #rows > 0 and hist.table(rows, { { name = "map" }, {} }, options.table)
end

-- The layout of a variable, by the object's BTF.
local function variable_layout(btf, name)
  local ok, layout = pcall(function()
    return btf:type(btf:find(name, "var").type_id):layout()
  end)
  return ok and layout or nil
end

local function variables_text(obj, options)
  local btf <close> = obj:btf()
  local rows = {}
  for _, name in ipairs(sorted_keys(obj.vars)) do
    rows[#rows + 1] = { name, cell(obj.vars[name], btf and variable_layout(btf, name)) }
  end
  return #rows > 0 and hist.table(rows, { { name = "variable" }, { name = "value" } }, options.table)
end

local function object_text(obj, options)
  local text = tostring(obj)
  if text:find("(closed)", 1, true) then
    return text
  end
  local maps, programs, variables = maps_text(obj, options), programs_text(obj, options), variables_text(obj, options)
  return lines(text, maps and "\n" .. maps, programs and "\n" .. programs, variables and "\n" .. variables)
end

local function type_text(t, options)
  local columns = {}
  for i, name in ipairs { "name", "type", "offset", "size", "bits" } do
    columns[i] = { name = name, field = name }
  end
  local members = t:members()
  return lines(tostring(t), #members > 0 and hist.table(members, columns, options.table))
end

local function view_text(view, options)
  local ok, count = pcall(function() return #view end)
  local rows = {}
  for i = 0, ok and math.min(count, options.limit) - 1 or -1 do
    local read, value = pcall(function() return view[i] end)
    rows[#rows + 1] = read and { i, column_cell(value) } or nil -- its map is closed
  end
  local more = ok and count > #rows and ("… and %s more"):format(thousands(count - #rows))
  return lines(tostring(view), #rows > 0 and hist.table(rows, { { name = "index" }, { name = "value" } },
    options.table), more)
end

local function vars_text(vars, options)
  local rows, text = {}, tostring(vars)
  for _, name in ipairs(text:find("(closed)", 1, true) and {} or sorted_keys(vars)) do
    rows[#rows + 1] = { name, cell(vars[name]) }
  end
  return lines(text, #rows > 0 and hist.table(rows, { { name = "variable" }, { name = "value" } },
    options.table))
end

local OF_CLASS = {
  ["bpf.map"] = map_text,
  ["bpf.object"] = object_text,
  ["bpf.vars"] = vars_text,
  ["bpf.prog"] = info_text,
  ["bpf.link"] = info_text,
  ["bpf.type"] = type_text,
  ["bpf.view"] = view_text,
}

-- Lua's own values ----------------------------------------------------------------------------------------------------

-- A table over several lines where it doesn't fit into one.
local function table_text(value, width, indent, depth)
  local line = cell(value)
  if type(value) ~= "table" or depth > 8 or utf8.len(line) and utf8.len(line) + #indent <= width
    or has_text(value) then
    return line
  end
  local list, inner = {}, indent .. "  "
  for _, k in ipairs(sorted_keys(value)) do
    local text = table_text(value[k], width, inner, depth + 1)
    list[#list + 1] = inner .. (math.type(k) == "integer" and k >= 1 and k <= #value and text or named(k, text)) .. ","
  end
  return "{\n" .. table.concat(list, "\n") .. "\n" .. indent .. "}"
end

-- The function --------------------------------------------------------------------------------------------------------

local OPTIONS = { limit = "number", width = "number", utf8 = "boolean", text = "boolean", layout = "table" }

local function check(options)
  if options == nil then
    return {}
  end
  argument.check(2, "inspect", options, "table", 3)
  for name, value in pairs(options) do
    if not OPTIONS[name] then
      error(("inspect: there is no option '%s' (options: layout, limit, text, utf8, width)"):format(tostring(name)), 3)
    elseif type(value) ~= OPTIONS[name] then
      error(("inspect: option '%s' must be a %s, got %s"):format(name, OPTIONS[name], type(value)), 3)
    end
  end
  return options
end

--- Prints a value for people, as the prompt does.
--
-- - A map: its entries as a table, typed and aligned. Members of structs are columns. Values of per-CPU maps have their
--   sum, or a row for each CPU. Bytes are hexadecimal, unsigned integers are unsigned, and enumerators have their
--   names. Maps of up to 1000 entries are sorted by key.
-- - An object: its maps, its programs with their types and links, and its variables with their values.
-- - A program or link: what the kernel knows about it.
-- - A type: its members.
-- - Anything else: as Lua code.
--
-- If iterating over a map takes more than a second, a line on standard error tells how far it is, if that is a
-- terminal.
-- @param value anything
-- @tparam ?table options
-- - limit: how many entries of a map or view to show, 20 by default; a last line tells how many more there are
-- - width: the width to fit in columns, by default that of the terminal
-- - layout: the layout of a value in C, as `type:layout()` returns it; the value is shown in one line, by its types
-- - utf8: whether to cut with "…" or "~", by default as the locale says
-- - text: true returns the text instead of printing it
-- @treturn ?string the text with `text = true`; otherwise the call prints to `io.stdout` and returns nothing
-- @usage
-- local m <close> = assert(bpf.map.create { type = "array", name = "hits", max_entries = 4, value = "__u64" })
-- local text = bpf.inspect(m, { limit = 2, text = true }) -- without text, it prints
function M.inspect(value, options)
  local given = check(options)
  local width = given.width or hist.width()
  local o = { limit = given.limit or 20, table = { width = width, utf8 = given.utf8 } }
  local class = type(value) == "userdata" and tostring(value):match("^(bpf%.[%l_]+): ")
  local of_class = class and OF_CLASS[class]
  local text = of_class and of_class(value, o) or given.layout and cell(value, given.layout)
    or table_text(value, width, "", 0)
  if given.text then
    return text
  end
  io.stdout:write(text, "\n")
end

return M.inspect

-- SPDX-License-Identifier: MIT
-- Tables of a trace: what has been gathered is read, merged over CPUs, sorted by value, and printed.
local core = require("bpf.core")
local counted = require("bpf.base.number").counted
local display = require("bpf.hist.display")
local draw = require("bpf.trace.tables.draw")
local headings = require("bpf.trace.tables.headings")
local hist = require("bpf.hist")
local json = require("bpf.json")
local keys = require("bpf.trace.tables.keys")
local losses = require("bpf.trace.losses")
local posix = require("bpf.base.posix")
local symbols = require("bpf.symbols")
local sorted = require("bpf.base.sorted")

local map = core.map

local tables = {}

local Table = { __name = "bpf.trace.table" }
Table.__index = Table

function Table:__tostring()
  return ("bpf.trace: %s"):format(self.title)
end

-- Reading -------------------------------------------------------------------------------------------------------------

-- Words whose members are all added up, which map.sums does.
local ADDED <const> = { count = true, sum = true, avg = true, hist = true, lhist = true }

-- The parts of a key, and the processes of its stacks.
local function read_key(t, key)
  local list, pids = {}, {}
  for n in ipairs(t.parts) do
    list[n], pids[n] = key["k" .. n], key[("k%d_pid"):format(n)]
  end
  return list, pids
end

-- Calls fn(key, parts of CPUs, their count) for each entry that has values.
local function each_entry(t, fn)
  if not t.map then -- no code uses it
    return
  end
  for key, value in (ADDED[t.word] and map.sums or pairs)(t.map) do
    local list, count = ADDED[t.word] and { value } or value, 0
    for _, v in ipairs(list) do
      count = count + v.count
    end
    if count > 0 then
      fn(key, list, count)
    end
  end
end

local function read_rows(t)
  local rows = {}
  each_entry(t, function(key, list, count)
    local row = { values = {}, count = count }
    row.key, row.pids = {}, {}
    if #t.parts > 0 then
      row.key, row.pids = read_key(t, key)
    end
    for n, column in ipairs(t.columns) do
      row.values[n] = column.of(list)
    end
    row.rank = row.values[1]
    rows[#rows + 1] = row
  end)
  return rows
end

-- The text by which equal keys are known.
local function identity(row)
  local list = {}
  for n, value in ipairs(row.key) do
    local text = tostring(value)
    list[n] = ("%d:%s:%s"):format(#text, text, tostring(row.pids[n]))
  end
  return table.concat(list, ",")
end

local function read_histograms(t)
  local rows, known = {}, {}
  each_entry(t, function(key, list)
    local row, bucket = { key = {}, pids = {}, buckets = {}, rank = 0 }, key
    if #t.parts > 0 then
      row.key, row.pids = read_key(t, key)
      bucket = key.bucket
    end
    local id = identity(row)
    if not known[id] then
      known[id] = row
      rows[#rows + 1] = row
    end
    row = known[id]
    row.buckets[bucket] = list[1].count
    row.rank = row.rank + list[1].count
    row.count = row.rank
  end)
  return rows
end

local PIDS <const> = { pid = true, tid = true }

-- What is stored, or its member of a name.
local function part_of(stored, name)
  if name == nil then
    return stored
  end
  return stored[name]
end

-- A shared table: keys and values are as the bodies store them.
local function read_shared(t)
  local rows = {}
  for key, value in pairs(t.map) do
    local row = { key = {}, pids = {}, values = {} }
    for n, part in ipairs(t.parts) do
      row.key[n] = part_of(key, part.field)
      row.pid = PIDS[part.type.meaning] and row.key[n] or row.pid
    end
    for n, part in ipairs(t.parts) do -- a stack of a process, where another part of the key is its pid
      row.pids[n] = part.type.kind == "ustack" and row.pid or nil
    end
    for n, column in ipairs(t.columns) do
      row.values[n] = part_of(value, column.field_of)
    end
    row.rank = row.values[1]
    rows[#rows + 1] = row
  end
  return rows
end

-- Whether a key comes before another one.
local function is_before(a, b)
  for n, x in ipairs(a.key) do
    local y = b.key[n]
    if type(x) ~= type(y) or type(x) ~= "number" then
      x, y = tostring(x), tostring(y)
    end
    if x ~= y then
      return x < y
    end
  end
  return identity(a) < identity(b)
end

-- Numbers from the greatest on; rows with the same one by their keys.
local function sort(rows)
  for _, row in ipairs(rows) do
    row.rank = type(row.rank) == "number" and row.rank or 0
  end
  table.sort(rows, function(a, b)
    if a.rank ~= b.rank then
      return a.rank > b.rank
    end
    return is_before(a, b)
  end)
  return rows
end

--- The rows of a table, sorted by value, the first n of them.
function Table:rows(n)
  local rows = sort(self.read(self))
  for r = #rows, (n or #rows) + 1, -1 do
    rows[r] = nil
  end
  return rows
end

-- Text ----------------------------------------------------------------------------------------------------------------

-- What drawing depends on. Outside a terminal nothing is cut.
local function refresh(context)
  local window = posix.window(context.out)
  local terminal = window ~= nil
  context.width = context.fixed or hist.width()
  context.limit = (context.fixed or terminal or os.getenv("COLUMNS")) and context.width or nil
  context.unicode = context.utf8
  if context.unicode == nil then
    context.unicode = hist.utf8()
  end
  context.ellipsis = display.ellipsis(context.unicode)
  context.bold = terminal and not os.getenv("NO_COLOR")
  return context
end

--- The text of a table, with its title, and without a newline at the end.
function Table:text(n)
  local context = refresh(self.context)
  local rows, title = self:rows(n), draw.title(self, context)
  if not rows[1] then
    return title .. (self.word == "count" and #self.parts == 0 and ": 0" or "\n  (no values)")
  elseif self.buckets then
    return title .. "\n" .. table.concat(draw.histograms(self, rows, context), "\n")
  end
  local lines = draw.rows(self, rows, context)
  if #self.parts == 0 and #self.columns == 1 then
    return ("%s: %s"):format(title, lines[1]:match("^ *(.*)$"))
  end
  return title .. "\n" .. table.concat(lines, "\n")
end

-- JSON ----------------------------------------------------------------------------------------------------------------

local function json_text(value)
  return json(type(value) == "string" and display.valid(value) or value)
end

local function json_key(t, row, n, context)
  local part, value = t.parts[n].type, row.key[n]
  if keys.is_stack(part) then
    local frames = keys.frames(t.parts[n], value, row.pids[n], context)
    for i, frame in ipairs(frames) do
      frames[i] = json_text(frame)
    end
    return "[" .. table.concat(frames, ",") .. "]"
  elseif part.kind == "boolean" then
    return tostring(value == true or value == 1)
  end
  return json_text(keys.is_number(part, context) and value or keys.text(part, value, context, row.pids[n]))
end

-- The buckets of a histogram that have a count, in order. One without an edge has null there.
local function json_buckets(t, row)
  local numbers, list = sorted.keys(row.buckets), {}
  for i, n in ipairs(numbers) do
    local from, to = t.concept.edges(n, t.limits)
    list[i] = ('{"from":%s,"to":%s,"count":%s}'):format(json(from), json(to), json(row.buckets[n]))
  end
  return '"buckets":[' .. table.concat(list, ",") .. "]"
end

local function json_row(t, row, context)
  local members, list = {}, {}
  for n in ipairs(t.parts) do
    list[n] = json_key(t, row, n, context)
  end
  if list[1] then
    members[1] = '"key":[' .. table.concat(list, ",") .. "]"
  end
  if t.buckets then
    members[#members + 1] = json_buckets(t, row)
  end
  for n, column in ipairs(t.columns) do
    local value = row.values[n]
    if not column.number and not keys.is_number(column.type, context) then
      value = keys.text(column.type, value, context)
    end
    members[#members + 1] = json(column.field) .. ":" .. json_text(value)
  end
  return "{" .. table.concat(members, ",") .. "}"
end

--- The table as one object of JSON, in one line: name, type, rows.
function Table:json(n)
  local rows = self:rows(n)
  for r, row in ipairs(rows) do
    rows[r] = json_row(self, row, self.context)
  end
  return ('{"name":%s,"type":%s,"rows":[%s]}'):format(json_text(self.title), json(self.word), table.concat(rows, ","))
end

-- What bodies of `every` and `end` call -------------------------------------------------------------------------------

--- Prints a table, or its first n rows.
function tables.print(t, n)
  local out = t.context.out
  out:write(t.context.json and t:json(n) or t:text(n), "\n")
  out:flush()
end

--- Empties a table. What a program adds meanwhile may be lost.
function tables.clear(t)
  if not t.map then
    return
  elseif t.concept == nil or #t.parts > 0 then
    map.clear(t.map)
    return
  end
  local zeros = {}
  for _, member in ipairs(t.concept.members) do
    zeros[member] = 0
  end
  local list = {}
  for key in map.keys(t.map) do
    list[#list + 1] = key
  end
  for _, key in ipairs(list) do
    t.map[key] = zeros
  end
end

function tables.is(value)
  return getmetatable(value) == Table
end

-- All tables of a trace -----------------------------------------------------------------------------------------------

local Tables = {}
Tables.__index = Tables

local function of_plan(t, maps, context)
  local columns = {}
  for n, column in ipairs(t.concept.buckets and {} or t.concept.columns) do
    columns[n] = setmetatable({ type = t.value or { kind = "integer" } }, { __index = column })
  end
  return setmetatable({
    word = t.word, name = t.name, title = t.title, written = t.written, parts = t.parts, limits = t.limits,
    value = t.value, concept = t.concept, columns = columns, share = t.concept.share,
    buckets = t.concept.buckets ~= nil, map = maps[t.map_name], context = context, number = t.number,
    read = t.concept.buckets and read_histograms or read_rows,
  }, Table)
end

-- The columns of a shared table's values: a record's members have one each, after what was written there.
local function shared_columns(value, constructor)
  if value.kind ~= "record" then
    return { { name = "VALUE", field = "value", type = value } }
  end
  local columns, names = {}, headings.of_members(value.order, constructor)
  for n, name in ipairs(value.order) do
    columns[n] = { name = names[n], field = name, field_of = name, type = value.members[name] }
  end
  return columns
end

--- Tables of a plan of gather's, when its programs are loaded. They are fields by their names and titles, and a
-- sequence.
-- @tparam table plan
-- @tparam table maps those of the object
-- @tparam ?table options `json`; `out`, an open file; `width`, `utf8`; `stacks`, the maps that have the
-- stacks, by depth; `process`, a function that finds the symbols of a pid; `names`, functions by meaning
function tables.new(plan, maps, options)
  options = options or {}
  local context = {
    out = options.out or io.stdout, json = options.json, fixed = options.width, utf8 = options.utf8, processes = {},
    stacks = options.stacks, process = options.process, names = options.names,
  }
  local all = { list = {}, by_title = {}, context = context, lost_map = plan.lost and maps.gather_lost,
    shared_names = plan.shared }
  for n, t in ipairs(plan.tables) do
    local handle = of_plan(t, maps, context)
    all.list[n], all.by_title[t.title] = handle, handle
  end
  return setmetatable(all, Tables)
end

--- A shared table of the bodies, or any other map, as a table that can be printed.
-- @tparam string name
-- @tparam bpf.map m
-- @tparam table key, value their types
-- @tparam ?table written `key` and `value`, the texts by which bodies store
function Tables:shared(name, m, key, value, written)
  local parts = {}
  written = written or {}
  for n, field in ipairs(key.kind == "record" and key.order or {}) do
    parts[n] = { argument = 1, field = field, type = key.members[field] }
  end
  return setmetatable({
    word = "table", name = name, title = name, parts = parts[1] and parts or { { argument = 1, type = key } },
    columns = shared_columns(value, written.value), written = { written.key }, map = m, context = self.context,
    read = read_shared,
  }, Table)
end

--- The table of a name or a title.
function Tables:get(title)
  return self.by_title[title]
end

--- Reads what is needed at the end, takes long, and can be read before: the names of the kernel's functions.
function Tables:prepare()
  for _, t in ipairs(self.list) do
    for _, part in ipairs(t.parts) do
      if keys.is_of_kernel(part.type) then
        symbols.kernel()
        return
      end
    end
  end
end

--- Prints all that has been gathered, a line between, but for tables that have been told of (`told`).
function Tables:print()
  local separator = ""
  for _, t in ipairs(self.list) do
    if not t.told then
      self.context.out:write(separator)
      tables.print(t)
      separator = self.context.json and "" or "\n"
    end
  end
end

local NO_STACK <const> = -14 -- EFAULT: the thread has none there, so that nothing was lost

-- How many values have a stack that could not be kept.
local function lost_stacks(t)
  local count, stacks = 0, {}
  for n, part in ipairs(t.parts) do
    stacks[#stacks + 1] = keys.is_stack(part.type) and n or nil
  end
  for _, row in ipairs(stacks[1] and t.read(t) or {}) do -- in no order: to sort takes longer than to read
    for _, n in ipairs(stacks) do
      local id = row.key[n]
      count = count + (id < 0 and id ~= NO_STACK and row.count or 0)
    end
  end
  return count
end

--- What was lost, a sequence of sentences. `shared` has the maps of shared tables by name.
function Tables:lost(shared)
  local list = {}
  for _, t in ipairs(self.list) do
    local count = lost_stacks(t)
    if count > 0 then
      list[#list + 1] = ("%s: %s could not be kept, as there are so many different ones: look at fewer events "
        .. "by --where, or at fewer frames by kstack(n)"):format(t.title, counted(count, "stack"))
    end
  end
  for _, t in ipairs(self.lost_map and self.list or {}) do
    losses.tell(list, self.lost_map, t.number, t.title, t.map and map.info(t.map).max_entries or 0)
  end
  for n, name in ipairs(self.lost_map and shared and self.shared_names or {}) do
    if shared[name] then
      losses.tell(list, self.lost_map, #self.list + n, name, map.info(shared[name]).max_entries)
    end
  end
  return list
end

return tables

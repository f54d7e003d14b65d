-- SPDX-License-Identifier: MIT
-- Tables as text: columns that line up, shares and histograms as bars, stacks a frame a line.
local display = require("bpf.hist.display")
local headings = require("bpf.trace.tables.headings")
local hist = require("bpf.hist")
local keys = require("bpf.trace.tables.keys")
local number = require("bpf.base.number")
local units = require("bpf.base.units")

local draw = {}

local INDENT <const>, FRAME <const>, GAP <const> = "  ", "      ", "  "
local LONGEST_BAR <const>, SHORTEST_BAR <const>, NARROWEST <const> = 40, 8, 12

-- Rows ----------------------------------------------------------------------------------------------------------------

local function value_text(column, value, context)
  if value == nil then
    return ""
  end
  return column.number and number.text(value) or keys.text(column.type, value, context)
end

-- A key in a line. An empty text is to be seen.
local function key_text(type, value, context, pid)
  local text = display.escape(keys.text(type, value, context, pid))
  return text == "" and '""' or text
end

-- The cells of all rows by column: those of the keys that aren't stacks, then those of the values.
local function cells_of(t, rows, context)
  local columns, names = {}, headings.of_keys(t)
  for n, part in ipairs(t.parts) do
    if not keys.is_stack(part.type) then
      local column = { name = names[n], right = keys.is_number(part.type, context), key = true }
      for r, row in ipairs(rows) do
        column[r] = key_text(part.type, row.key[n], context, row.pids[n])
      end
      columns[#columns + 1] = column
    end
  end
  for n, of in ipairs(t.columns) do
    local column = { name = of.name, right = of.number or keys.is_number(of.type, context) }
    for r, row in ipairs(rows) do
      column[r] = display.escape(value_text(of, row.values[n], context))
    end
    columns[#columns + 1] = column
  end
  return columns
end

-- Gives columns their widths, so that they fit a limit, if there is one.
local function lay_out(columns, headed, limit)
  local widths, right = {}, {}
  for c, column in ipairs(columns) do
    local width = headed and display.width(column.name) or 0
    for _, cell in ipairs(column) do
      width = math.max(width, display.width(cell))
    end
    widths[c], right[c] = width, column.right or not column.key
  end
  if limit then
    display.fit(widths, right, limit - #INDENT)
  end
  for c, column in ipairs(columns) do
    column.width = widths[c]
  end
end

local function line_of(columns, r, context)
  local parts = {}
  for c, column in ipairs(columns) do
    local text = r == 0 and column.name or column[r]
    text = context.limit and display.cut(text, column.width, context.ellipsis) or text
    parts[c] = display.pad(text, column.width, column.right)
  end
  return INDENT .. table.concat(parts, GAP)
end

-- What bars are drawn against, and how long they may be; nil without bars.
local function bar_scale(t, rows, columns, context)
  local max = 0
  for _, row in ipairs(t.share and #rows > 1 and rows or {}) do
    max = math.max(max, row.values[1])
  end
  local used = #INDENT
  for _, column in ipairs(columns) do
    used = used + column.width + #GAP
  end
  local room = math.min(context.width - used, LONGEST_BAR)
  return max > 0 and room >= SHORTEST_BAR and max or nil, room
end

local function add_frames(lines, t, row, context)
  for n, part in ipairs(t.parts) do
    if keys.is_stack(part.type) then
      for _, frame in ipairs(keys.frames(part, row.key[n], row.pids[n], context)) do
        lines[#lines + 1] = FRAME .. (context.limit and display.line(frame, context.limit - #FRAME, context.unicode)
          or display.escape(frame))
      end
    end
  end
end

-- The lines of rows.
function draw.rows(t, rows, context)
  local lines, stacked, named = {}, false, 0
  for _, part in ipairs(t.parts) do
    stacked = stacked or keys.is_stack(part.type)
    named = named + (keys.is_stack(part.type) and 0 or 1)
  end
  local columns = cells_of(t, rows, context)
  local headed = named > 1 or #t.columns > 1
  lay_out(columns, headed, context.limit)
  local max, room = bar_scale(t, rows, columns, context)
  if headed then
    lines[1] = line_of(columns, 0, context):gsub(" +$", "")
  end
  for r, row in ipairs(rows) do
    local line = line_of(columns, r, context)
    if max then
      line = line .. GAP .. hist.bar(row.values[1], max, room, context.unicode)
    end
    lines[#lines + 1] = line:gsub(" +$", "")
    if stacked then
      add_frames(lines, t, row, context)
      lines[#lines + 1] = r < #rows and "" or nil
    end
  end
  return lines
end

-- Histograms ----------------------------------------------------------------------------------------------------------

local K <const> = 1024

-- An edge of a bucket by what the values are. Powers of two from 1024 on are in K, M, … where `short`.
local function edge(n, meaning, short)
  if meaning == "duration" then
    return units.duration(n)
  elseif meaning == "bytes" and n >= K then
    return units.bytes(n)
  elseif short and n >= K then
    return units.with(n)
  end
  return number.text(n)
end

-- The three parts of a bucket's label: from, what stands between, and to. Buckets of one value have that value only,
-- those of powers of two below 1024 their last value, others the edge.
local function label(t, n, context)
  local from, to = t.concept.edges(n, t.limits)
  local meaning, short = t.value and t.value.meaning, not t.limits
  if not from then
    return "", "<", edge(to, meaning, short)
  elseif not to then
    return "", context.unicode and "≥" or ">=", edge(from, meaning, short)
  elseif t.limits and to - from == 1 then
    return "", "", edge(from, meaning, short)
  elseif not meaning and short and to <= K then
    if to - from == 1 then
      return "", "", number.text(from)
    end
    to = to - 1
  end
  return edge(from, meaning, short), context.unicode and "–" or "-", edge(to, meaning, short)
end

local LONGEST_GAP <const> = 5

-- Whether a bucket is within a long row of empty ones, which is left out.
local function in_gap(buckets, n)
  if buckets[n] then
    return false
  end
  local first, last = n, n
  while first > 0 and not buckets[first - 1] and n - first <= LONGEST_GAP do
    first = first - 1
  end
  while not buckets[last + 1] and last - n <= LONGEST_GAP do
    last = last + 1
  end
  return last - first + 1 > LONGEST_GAP
end

-- The lines of a histogram: a sequence of { bucket, count } without gaps.
local function histogram(t, buckets, context)
  local low, high, max, widths, labels = nil, nil, 0, { 0, 0, 0, 0 }, {}
  for n, count in pairs(buckets) do
    low, high, max = math.min(low or n, n), math.max(high or n, n), math.max(max, count)
  end
  for n = low or 0, high or -1 do
    local cells = { label(t, n, context) }
    cells[4] = number.text(buckets[n] or 0)
    for c, cell in ipairs(in_gap(buckets, n) and {} or cells) do
      widths[c], labels[n] = math.max(widths[c], display.width(cell)), cells
    end
  end
  local lines, wall, skipped = {}, context.unicode and "│" or "|", false
  local room = math.max(context.width - #INDENT - widths[1] - widths[2] - widths[3] - widths[4] - 6, SHORTEST_BAR)
  for n = low or 0, high or -1 do
    local cells = labels[n]
    for c, cell in ipairs(cells or {}) do
      cells[c] = display.pad(cell, widths[c], true)
    end
    if cells then
      lines[#lines + 1] = ("%s%s %s %s  %s %s%s"):format(INDENT, cells[1], cells[2], cells[3], cells[4], wall,
        hist.bar(buckets[n] or 0, max, room, context.unicode))
      skipped = false
    elseif not skipped then
      local dots = display.pad(context.unicode and "⋮" or ":", widths[1] + widths[2] + widths[3] + 2, true)
      lines[#lines + 1] = ("%s%s  %s %s"):format(INDENT, dots, (" "):rep(widths[4]), wall)
      skipped = true
    end
  end
  return lines
end

-- The keys above a histogram, in one line, with their stacks below.
local function caption(t, row, context)
  local parts, names, lines = {}, headings.of_keys(t), {}
  for n, part in ipairs(t.parts) do
    if not keys.is_stack(part.type) then
      local text = key_text(part.type, row.key[n], context, row.pids[n])
      local named = #t.parts > 1 and names[n] ~= "" and names[n]:lower() .. " " or ""
      parts[#parts + 1] = named .. text
    end
  end
  if parts[1] then
    local line = INDENT .. table.concat(parts, ", ")
    lines[1] = context.limit and display.cut(line, context.limit, context.ellipsis) or line
  end
  add_frames(lines, t, row, context)
  return lines
end

-- The lines of one histogram for each key.
function draw.histograms(t, rows, context)
  local lines = {}
  for r, row in ipairs(rows) do
    if #t.parts > 0 then
      for _, line in ipairs(caption(t, row, context)) do
        lines[#lines + 1] = line
      end
    end
    for _, line in ipairs(histogram(t, row.buckets, context)) do
      lines[#lines + 1] = line
    end
    lines[#lines + 1] = r < #rows and "" or nil
  end
  return lines
end

-- The line above a table.
function draw.title(t, context)
  local text = display.clean(t.title)
  if context.limit then
    text = display.cut(text, math.max(context.limit, NARROWEST), context.ellipsis)
  end
  return context.bold and "\27[1m" .. text .. "\27[0m" or text
end

return draw

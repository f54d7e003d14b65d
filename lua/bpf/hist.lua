-- SPDX-License-Identifier: MIT
--- Text for a terminal: histograms, tables, numbers with units. Pure functions that return strings.
-- @module bpf.hist

local core = require("bpf.core")
local argument = require("bpf.base.argument")
local error = argument.error
local number = require("bpf.base.number")
local posix = require("bpf.base.posix")

local hist = {}

-- Arguments -----------------------------------------------------------------------------------------------------------

-- Raises for options that don't exist or have the wrong type; `known` maps names to types.
local function check_options(fname, position, options, known)
  if options == nil then
    return {}
  elseif type(options) ~= "table" then
    error(("bad argument #%d to '%s' (table expected, got %s)"):format(position, fname, type(options)), 3)
  end
  for name, value in pairs(options) do
    if not known[name] then
      local names = {}
      for k in pairs(known) do
        names[#names + 1] = k
      end
      table.sort(names)
      error(("%s: there is no option '%s' (options: %s)"):format(fname, tostring(name), table.concat(names, ", ")), 3)
    elseif type(value) ~= known[name] then
      error(("%s: option '%s' must be a %s, got %s"):format(fname, name, known[name], type(value)), 3)
    end
  end
  return options
end

local function check_number(fname, n)
  argument.check(1, fname, n, "number", 3)
end

-- The terminal --------------------------------------------------------------------------------------------------------

local is_terminal -- whether standard output is one; nil until asked

--- Returns whether standard output is a terminal. The first call starts a shell; later calls return what it found.
-- @treturn boolean
-- @usage
-- local redraw = hist.terminal()
function hist.terminal()
  if is_terminal == nil then
    is_terminal = os.execute("test -t 1") == true
  end
  return is_terminal
end

-- What the environment says, else what the terminal says, else the default.
local function dimension(variable, capability, default)
  local n = math.tointeger(tonumber(os.getenv(variable)))
  if not n and hist.terminal() then
    local pipe <close> = io.popen("tput " .. capability .. " 2>/dev/null")
    n = pipe and pipe:read("n")
  end
  return n and n > 0 and n or default
end

--- Returns the width to print in: `$COLUMNS`, else the terminal's width as `tput` prints it, else 80. If the
-- environment has no `$COLUMNS`, a call may start processes, so call it once.
-- @treturn integer columns
-- @usage
-- local width = hist.width() -- for example 80
function hist.width()
  return dimension("COLUMNS", "cols", 80)
end

--- Returns the terminal's height: `$LINES`, else the height as `tput` prints it, else 24. If the environment has no
-- `$LINES`, a call may start processes.
-- @treturn integer lines
-- @usage
-- local height = hist.height() -- for example 24
function hist.height()
  return dimension("LINES", "lines", 24)
end

--- Returns whether the locale uses UTF-8. Bars and "…" depend on it. The locale is the first of `LC_ALL`, `LC_CTYPE`
-- and `LANG` that is set.
-- @treturn boolean
-- @usage
-- local ellipsis = hist.utf8() and "…" or "~"
function hist.utf8()
  for _, variable in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    local locale = os.getenv(variable)
    if locale and locale ~= "" then
      return locale:lower():find("utf%-?8") ~= nil
    end
  end
  return false
end

--- Returns a function that shows on standard error how far a long operation is, if that is a terminal. The line appears
-- when more than a second has passed, and goes when the function is closed.
-- @tparam string what the word for what is counted, such as "entries"
-- @treturn function to be called with the count, at every step if you like; `<close>` removes the line
-- @usage
-- local progress <close> = hist.progress("entries")
-- for i = 1, 1000 do
--   progress(i)
-- end
function hist.progress(what)
  local began, calls, drawn, shown, terminal = posix.seconds() // 1, 0, 0, false, nil
  local line = {}
  function line.__call(_, count)
    calls = calls + 1
    local now = calls % 256 == 0 and posix.seconds() // 1 or began
    if now - began < 2 or now == drawn then
      return
    end
    drawn = now
    if terminal == nil then
      terminal = os.execute("test -t 2") == true
    end
    if terminal then
      shown = true
      io.stderr:write(("\r%s %s, %.0f s\27[K"):format(hist.number(count), what, now - began))
    end
  end
  function line.__close()
    if shown then
      io.stderr:write("\r\27[K")
    end
  end
  return setmetatable({}, line)
end

-- Numbers -------------------------------------------------------------------------------------------------------------

-- Three digits: 9.99, 99.9, 999.
local function digits(n)
  local magnitude = math.abs(n)
  return number.format(magnitude < 9.995 and "%.2f" or magnitude < 99.95 and "%.1f" or "%.0f", n)
end

-- Divides by `step` until the number is short, and tells how often. Rounds as `digits` will, so that it never yields
-- "1000k" for 999999.
local function scale(n, step, count)
  local i = 1
  while i < count and math.abs(n) >= step - 0.5 do
    n = n / step
    i = i + 1
  end
  return n, i
end

-- The number with its suffix; with `exact`, whole ones get no decimals.
local function scaled(n, step, suffixes, exact)
  n = n == math.mininteger and n + 0.0 or n -- it has no absolute value
  local value, i = scale(n, step, #suffixes)
  if i == 1 and n % 1 == 0 then
    return ("%.0f"):format(n) .. suffixes[1]
  elseif exact and value % 1 == 0 then
    return ("%.0f"):format(value) .. suffixes[i]
  end
  return digits(value) .. suffixes[i]
end

local function printable(n) -- not an infinity, no NaN
  return n == n and n ~= math.huge and n ~= -math.huge
end

local SI = { "", "k", "M", "G", "T", "P", "E" }
local BINARY = { "", "K", "M", "G", "T", "P", "E" }
local TIMES = { " ns", " us", " ms", " s" }
local BYTES = { " B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB" }

--- Returns a number in three digits with a decimal suffix: 999, "12.3k", "4.56M".
-- @tparam number n
-- @treturn string
-- @usage
-- print(hist.number(12345)) -- 12.3k
function hist.number(n)
  check_number("number", n)
  return printable(n) and scaled(n, 1000, SI) or number.text(n)
end

--- Returns a number of bytes in three or four digits with a binary unit: "512 B", "4 KiB", "1.50 MiB".
-- @tparam number n
-- @treturn string
-- @usage
-- print(hist.bytes(4096)) -- 4 KiB
function hist.bytes(n)
  check_number("bytes", n)
  return printable(n) and scaled(n, 1024, BYTES, true) or number.text(n) .. " B"
end

--- Returns a time in three digits with a unit: "850 ns", "1 us", "4.50 ms", "12.3 s"; from 100 s on "2m 05s", "3h 07m".
-- @tparam number ns nanoseconds
-- @treturn string
-- @usage
-- print(hist.time(4500000)) -- 4.50 ms
function hist.time(ns)
  check_number("time", ns)
  if not printable(ns) then
    return number.text(ns) .. " ns"
  elseif math.abs(ns + 0.0) < 99.95e9 then
    return scaled(ns, 1000, TIMES, true)
  end
  local sign, s = ns < 0 and "-" or "", math.floor(math.abs(ns + 0.0) / 1e9 + 0.5)
  if s < 3600 then
    return ("%s%dm %02ds"):format(sign, s // 60, s % 60)
  end
  return ("%s%dh %02dm"):format(sign, s // 3600, s // 60 % 60)
end

-- Text ----------------------------------------------------------------------------------------------------------------

local function clean(text)
  local _, bad = utf8.len(text)
  while bad do
    text = text:sub(1, bad - 1) .. "?" .. text:sub(bad + 1)
    _, bad = utf8.len(text, bad)
  end
  return (text:gsub("\xc2[\x80-\x9f]", "?"):gsub("[\0-\31\127]", "?"))
end

local function cut(text, width, ellipsis)
  if utf8.len(text) <= width then
    return text
  end
  return width < 1 and "" or text:sub(1, utf8.offset(text, width) - 1) .. ellipsis
end

--- Returns a text as one line of a terminal, not padded. A text that is too long is cut and ends in "…", or in "~"
-- without UTF-8. Control characters, which the name of a process can contain, and bytes that are not UTF-8 become "?".
-- @tparam string text
-- @tparam integer width in columns; every character counts as one
-- @tparam ?boolean unicode whether to cut with "…"; by default the locale says
-- @treturn string
-- @usage
-- print(hist.line("a\tlong name", 8, false)) -- a?long ~
function hist.line(text, width, unicode)
  argument.check(1, "line", text, "string")
  argument.check(2, "line", math.tointeger(width) or width, "integer")
  if unicode == nil then
    unicode = hist.utf8()
  end
  return cut(clean(text), width, unicode and "…" or "~")
end

local function pad(text, width, right)
  local space = (" "):rep(width - utf8.len(text))
  return right and space .. text or text .. space
end

-- Tables --------------------------------------------------------------------------------------------------------------

local GAP = 2 -- columns between columns

local function cell_text(value)
  return type(value) == "number" and number.text(value) or tostring(value)
end

-- The text of all cells by column, the heading first; and whether a column is to be flushed right.
local function cells_of(rows, columns)
  local cells, right = {}, {}
  for c, column in ipairs(columns) do
    local field, format = column.field or c, column.format or cell_text
    local list, numbers = { clean(column.name or "") }, #rows > 0
    for r, row in ipairs(rows) do
      local value = row[field]
      numbers = numbers and (type(value) == "number" or value == nil)
      list[r + 1] = value == nil and "" or clean(tostring(format(value, row)))
    end
    cells[c] = list
    right[c] = column.align == "right" or column.align == nil and numbers
  end
  return cells, right
end

-- Takes from the widest columns, the ones flushed left before the others, until all fit.
local function fit(widths, right, width)
  local total = GAP * (#widths - 1)
  for _, w in ipairs(widths) do
    total = total + w
  end
  for _, also_right in ipairs { false, true } do
    while total > width do
      local widest
      for c, w in ipairs(widths) do
        if (also_right or not right[c]) and w > 3 and (not widest or w > widths[widest]) then
          widest = c
        end
      end
      if not widest then
        break
      end
      widths[widest] = widths[widest] - 1
      total = total - 1
    end
  end
end

local COLUMN = { name = "string", field = true, align = "string", format = "function" }

local function check_columns(columns)
  argument.check(2, "table", columns, "table", 3)
  for c, column in ipairs(columns) do
    if type(column) ~= "table" then
      error(("table: column %d must be a table, got %s"):format(c, type(column)), 3)
    end
    for name, value in pairs(column) do
      local expected = COLUMN[name]
      if not expected then
        error(("table: column %d has an unknown field '%s' (fields: align, field, format, name)"):format(c,
          tostring(name)), 3)
      elseif expected ~= true and type(value) ~= expected then
        error(("table: '%s' of column %d must be a %s, got %s"):format(name, c, expected, type(value)), 3)
      end
    end
    if column.align and column.align ~= "left" and column.align ~= "right" then
      error(("table: 'align' of column %d must be \"left\" or \"right\""):format(c), 3)
    end
  end
end

--- Returns an aligned table. If the rows are wider than the width, cells are cut, text before numbers. Cells are
-- cleaned as `hist.line` does.
-- @tparam table rows a sequence of tables
-- @tparam table columns a sequence of tables; if no column has a name, there is no line of headings
-- - name: the heading
-- - field: the key of the row's value, by default the column's number
-- - align: "left" or "right", by default right if all values are numbers
-- - format: a function that returns the text of a value; its second argument is the row
-- @tparam ?table options
-- - width: the width to fit, by default `hist.width()`
-- - utf8: whether to cut with "…" or "~", by default as the locale says
-- @treturn string lines, without a newline at the end
-- @usage
-- print(hist.table({ { pid = 1, comm = "init", ns = 4500000 } }, {
--   { name = "PID", field = "pid" },
--   { name = "COMMAND", field = "comm" },
--   { name = "TIME", field = "ns", format = hist.time, align = "right" },
-- }))
function hist.table(rows, columns, options)
  argument.check(1, "table", rows, "table")
  check_columns(columns)
  options = check_options("table", 3, options, { width = "number", utf8 = "boolean" })
  local unicode = options.utf8
  if unicode == nil then
    unicode = hist.utf8()
  end
  local cells, right = cells_of(rows, columns)
  local widths, headed = {}, false
  for c, list in ipairs(cells) do
    headed = headed or list[1] ~= ""
    local width = 0
    for _, text in ipairs(list) do
      width = math.max(width, utf8.len(text))
    end
    widths[c] = width
  end
  fit(widths, right, options.width or hist.width())
  local lines = {}
  for r = headed and 1 or 2, #rows + 1 do
    local line = {}
    for c, list in ipairs(cells) do
      line[c] = pad(cut(list[r], widths[c], unicode and "…" or "~"), widths[c], right[c])
    end
    lines[#lines + 1] = table.concat(line, (" "):rep(GAP)):gsub("%s+$", "")
  end
  return table.concat(lines, "\n")
end

-- Histograms ----------------------------------------------------------------------------------------------------------

local EIGHTHS = { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }

--- Returns a bar whose length is the share of a value in the maximum, not padded.
-- @tparam number value
-- @tparam number max the value that fills the width; any value above 0 shows at least a little
-- @tparam integer width in columns
-- @tparam ?boolean unicode true draws with eighths of a block, false with "#"; by default the locale says
-- @treturn string
-- @usage
-- print(hist.bar(50, 100, 10, false)) -- #####
function hist.bar(value, max, width, unicode)
  argument.check(1, "bar", value, "number")
  argument.check(2, "bar", max, "number")
  argument.check(3, "bar", width, "number")
  if unicode == nil then
    unicode = hist.utf8()
  end
  if value <= 0 or max <= 0 or width <= 0 then
    return ""
  end
  local part = math.min(value / max, 1)
  if not unicode then
    return ("#"):rep(math.max(math.floor(part * width + 0.5), 1))
  end
  local eighths = math.max(math.floor(part * width * 8 + 0.5), 1)
  return ("█"):rep(eighths // 8) .. (EIGHTHS[eighths % 8] or "")
end

-- The bucket counts as a table keyed from 0, and the first and last that hold anything.
local function buckets_of(fname, counts, first, most)
  local buckets, low, high = {}, nil, nil
  for key, count in pairs(counts) do
    local i = math.type(key) == "integer" and key - first
    if not i or i < 0 or i >= most then
      error(("%s: there is no bucket %s (%d to %d)"):format(fname, tostring(key), first, first + most - 1), 4)
    end
    if type(count) == "table" then -- per-CPU counts
      local sum = 0
      for _, n in ipairs(count) do
        sum = sum + n
      end
      count = sum
    end
    if type(count) ~= "number" then
      error(("%s: bucket %d must be a number, got %s"):format(fname, key, type(count)), 4)
    end
    buckets[i] = count
    if count > 0 then
      low, high = math.min(low or i, i), math.max(high or i, i)
    end
  end
  return buckets, low, high
end

local function with_unit(n, unit)
  if unit == "ns" then
    return hist.time(n)
  elseif unit == "us" or unit == "ms" or unit == "s" then
    return hist.time(n * (unit == "us" and 1e3 or unit == "ms" and 1e6 or 1e9))
  elseif unit == "B" then
    return hist.bytes(n)
  end
  return scaled(n, 1024, BINARY, true) .. (unit and unit ~= "" and " " .. unit or "")
end

-- Draws buckets, whose edges the function `edge` gives by the bucket's number, counted from 0.
local function draw(fname, counts, options, most, edge)
  local unit, width, unicode = options.unit and clean(options.unit), options.width or hist.width(), options.utf8
  if unicode == nil then
    unicode = hist.utf8()
  end
  local first = options.first or (type(counts) == "table" and 1 or 0)
  local buckets, low, high = buckets_of(fname, counts, first, most)
  local lines = { options.title and cut(clean(options.title), width, unicode and "…" or "~") }
  if not low then
    lines[#lines + 1] = "(no values)"
    return table.concat(lines, "\n")
  end
  local from, to, count = {}, {}, {}
  local from_width, to_width, count_width, max = 0, 0, 0, 0
  for i = low, high do
    from[i] = with_unit(edge(i), unit)
    to[i] = with_unit(edge(i + 1), unit)
    count[i] = hist.number(buckets[i] or 0)
    from_width = math.max(from_width, utf8.len(from[i]))
    to_width = math.max(to_width, utf8.len(to[i]))
    count_width = math.max(count_width, #count[i])
    max = math.max(max, buckets[i] or 0)
  end
  local dash, bar_edge = unicode and "–" or "-", unicode and "│" or "|"
  local bar_width = math.max(width - from_width - to_width - count_width - 9, 1)
  for i = low, high do
    lines[#lines + 1] = ("  %s %s %s  %s %s%s"):format(pad(from[i], from_width, true), dash, pad(to[i], to_width, true),
      pad(count[i], count_width, true), bar_edge, hist.bar(buckets[i] or 0, max, bar_width, unicode))
  end
  return table.concat(lines, "\n")
end

local function check_counts(fname, counts)
  if type(counts) ~= "table" and not core.map.type(counts) then
    error(("bad argument #1 to '%s' (table or map expected, got %s)"):format(fname, type(counts)), 3)
  end
end

local HISTOGRAM <const> = { unit = "string", title = "string", width = "number", first = "number", utf8 = "boolean" }

--- Returns a histogram whose buckets double: bucket i counts the values in [2^i, 2^(i+1)), and the first bucket those
-- of 0 and 1. Empty buckets at both ends are left out.
-- @tparam table|bpf.map counts a sequence, as an array of BPF C is read, where `counts[1]` is the bucket of 0 and 1; or
-- an array map, per CPU or not, where that bucket has the key 0
-- @tparam ?table options
-- - unit: the unit of the values: "ns", "us", "ms", "s", "B", or any word to print after the number
-- - title: a line above the histogram
-- - width: the width of the whole, by default `hist.width()`
-- - first: the key of the first bucket, by default 1, and 0 for a map
-- - utf8: whether to draw with eighths of a block or "#", by default as the locale says
-- @treturn string lines, without a newline at the end; "(no values)" if all buckets are empty
-- @usage
-- local latency = { 0, 3, 12, 7 } -- as obj.vars.latency is read, with __u64 latency[64]
-- print(hist.log2(latency, { title = "Latency", unit = "ns" }))
function hist.log2(counts, options)
  check_counts("log2", counts)
  local text = draw("log2", counts, check_options("log2", 2, options, HISTOGRAM), 64, function(i)
    return i == 0 and 0 or 2.0 ^ i
  end)
  return text -- see hist.linear
end

--- Returns a histogram whose buckets are equally wide: bucket i counts the values in [from + i * step, from + (i + 1) *
-- step). Empty buckets at both ends are left out.
-- @tparam table|bpf.map counts as for `hist.log2`; at most 4096 buckets
-- @tparam ?table options those of `hist.log2`, and
-- - step: the width of a bucket, by default 1
-- - from: where the first bucket begins, by default 0
-- @treturn string lines, without a newline at the end; "(no values)" if all buckets are empty
-- @usage
-- print(hist.linear({ 5, 20, 3 }, { step = 100, unit = "B" }))
function hist.linear(counts, options)
  check_counts("linear", counts)
  local known = { step = "number", from = "number" }
  for name, kind in pairs(HISTOGRAM) do
    known[name] = kind
  end
  options = check_options("linear", 2, options, known)
  local step, from = options.step or 1, options.from or 0
  if step <= 0 then
    error("linear: option 'step' must be greater than 0", 2)
  end
  local text = draw("linear", counts, options, 4096, function(i)
    return from + i * step
  end)
  return text -- no tail call, which would take the place of this function where errors look for its caller
end

return hist

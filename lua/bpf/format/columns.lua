-- SPDX-License-Identifier: MIT
--- Rows that are printed as they come: in columns that fit the terminal, as CSV, or as JSON.
-- @module bpf.format

local counted = require("bpf.base.number").counted
local error = require("bpf.base.argument").error
local display = require("bpf.hist.display")
local json = require("bpf.json")
local kinds = require("bpf.format.kinds")
local number = require("bpf.base.number")
local options_of = require("bpf.hist.options")
local posix = require("bpf.base.posix")
local terminal = require("bpf.hist.terminal")

local M = {}

-- Columns -------------------------------------------------------------------------------------------------------------

local COLUMN <const> = {
  name = "string", field = "string", width = "number", align = "string", format = "string or function",
}

-- "DURATION ms" is the field duration_ms.
local function field_of(name)
  return (name:lower():gsub("[^0-9a-z\128-\255]+", "_"):gsub("^_", ""):gsub("_$", ""))
end

-- The columns with all that is known of them before the first row.
local function prepare(given)
  local columns, taken = options_of.columns("columns", 1, given, COLUMN, 3), {}
  for c, column in ipairs(columns) do
    local width, kind = kinds.of(given[c].format)
    column.kind = kind
    column.name = column.name or column.field or error(("columns: column %d has no name"):format(c), 3)
    column.field = column.field or field_of(column.name)
    if taken[column.field] then
      error(("columns: the columns %d and %d have the same field '%s'"):format(taken[column.field], c, column.field), 3)
    end
    taken[column.field] = c
    column.width = math.max(math.tointeger(column.width) or width, display.width(display.escape(column.name)))
    if column.align or kinds.known(given[c].format) then -- otherwise each value's type decides
      column.right = column.align == "right" or not column.align and (kind == "quantity" or kind == "digits")
    end
  end
  return columns
end

-- A value as its format has it; a quantity as it is, if the output is not for people.
local function formatted(column, value, raw)
  if value == nil or not column.format or raw and column.kind == "quantity" then
    return value
  end
  return column.format(value)
end

-- Text for people -----------------------------------------------------------------------------------------------------

-- The text of a cell, and how wide it is.
local function cell_of(value)
  local s
  if type(value) == "string" then
    s = value
  elseif type(value) == "number" then
    s = number.text(value)
  elseif value == nil then
    return "", 0
  elseif type(value) == "table" and not (getmetatable(value) or {}).__tostring then
    s = json(value)
  else
    s = tostring(value)
  end
  if s:find("^[ -~]*$") then
    return s, #s
  end
  s = display.escape(s)
  return s, display.width(s)
end

-- The width to fit, which a terminal may have changed; nil if nothing is cut.
local function limit_of(out)
  if out.fixed or not out.window then
    return out.fixed or nil
  end
  local width = posix.window(out.file)
  return width and width > 0 and width or 80
end

local function is_right(column, value)
  if column.right == nil then
    return type(value) == "number"
  end
  return column.right
end

-- Gives each column its width. Numbers, and what is to stay whole, lose theirs last.
local function lay_out(out, limit, values)
  local widths, rigid = {}, {}
  for c, column in ipairs(out.columns) do
    widths[c] = column.width
    rigid[c] = is_right(column, values[c]) or column.kind == "whole"
  end
  if limit then
    display.fit(widths, rigid, limit)
  end
  out.widths, out.limit = widths, limit
end

local SPACES <const> = setmetatable({}, { __index = function(spaces, n)
  spaces[n] = (" "):rep(n)
  return spaces[n]
end })
local BETWEEN <const> = (" "):rep(display.GAP)

-- A line of the values, or of the headings above them. A cell that is too long and must not be cut moves the next ones,
-- which make up for it with their space.
local function line_of(out, values, headings)
  local parts, at, edge, columns, limit = {}, 0, 0, out.columns, out.limit
  local last = #columns
  for c = 1, last do
    local column, room, value = columns[c], out.widths[c], values[c]
    local right = is_right(column, value)
    local cell, width = cell_of(headings and column.name or value)
    if limit and width > room and c < last and (headings or not right and column.kind ~= "whole") then
      cell = display.cut(cell, room, out.ellipsis)
      width = display.width(cell)
    end
    local space = edge + room - at - width
    if space > 0 and (right or c < last) then
      cell = right and SPACES[space] .. cell or cell .. SPACES[space]
      width = width + space
    end
    parts[c] = cell
    at, edge = at + width + #BETWEEN, edge + room + #BETWEEN
  end
  local line = table.concat(parts, BETWEEN)
  if line:byte(-1) == 32 then
    line = line:gsub(" +$", "")
  end
  return limit and at - #BETWEEN > limit and display.cut(line, limit, out.ellipsis) or line
end

local text = {}

-- The headings, if they aren't above already, for columns as wide as these.
function text.head(out, values)
  local limit = limit_of(out)
  if out.widths and out.limit == limit then
    return ""
  end
  lay_out(out, limit, values)
  return out.headed and line_of(out, values, true) .. "\n" or ""
end

function text.row(out, values)
  return line_of(out, values) .. "\n"
end

-- CSV -----------------------------------------------------------------------------------------------------------------

local csv = { raw = true }

local function quoted(value)
  local s = type(value) == "string" and value or type(value) == "number" and number.text(value) or
    value ~= nil and (type(value) == "table" and json(value) or tostring(value)) or ""
  return s:find('[",\r\n]') and '"' .. s:gsub('"', '""') .. '"' or s
end

function csv.head(out)
  if out.written or not out.headed then
    return ""
  end
  local cells = {}
  for c, column in ipairs(out.columns) do
    cells[c] = quoted(column.name)
  end
  return table.concat(cells, ",") .. "\r\n"
end

function csv.row(out, values)
  local cells = {}
  for c in ipairs(out.columns) do
    cells[c] = quoted(values[c])
  end
  return table.concat(cells, ",") .. "\r\n"
end

-- JSON ----------------------------------------------------------------------------------------------------------------

local objects = { raw = true }

function objects.head()
  return ""
end

function objects.row(out, values)
  local members = {}
  for c, column in ipairs(out.columns) do
    local value = values[c]
    if type(value) == "string" and column.kind == "digits" then
      members[c] = out.keys[c] .. value
    else
      members[c] = out.keys[c] .. json(type(value) == "string" and display.valid(value) or value)
    end
  end
  return "{" .. table.concat(members, ",") .. "}\n"
end

-- The function --------------------------------------------------------------------------------------------------------

local OUTPUTS <const> = { text = text, csv = csv, json = objects }
local OPTIONS <const> = {
  output = "string", file = "userdata", header = "boolean", width = "number", utf8 = "boolean",
}

local function check(options)
  options = options_of.check("columns", 2, options, OPTIONS, 3)
  if options.output and not OUTPUTS[options.output] then
    error(("columns: option 'output' must be \"text\", \"csv\" or \"json\", got \"%s\""):format(options.output), 3)
  elseif options.file and io.type(options.file) ~= "file" then
    error("columns: option 'file' must be an open file", 3)
  end
  return options
end

--- Returns a function that prints a row of values at each call, as soon as it is called.
--
-- - "text": aligned columns for people, with headings above the first row. Numbers are flushed right. On a terminal, a
--   line is never longer than the terminal is wide: text is cut and ends in "…", numbers and addresses move what
--   follows them. The terminal is asked for its width at each row, and the headings are printed again when it has
--   changed. In a file or pipe nothing is cut. Control characters and bytes that are not UTF-8, which the name of a
--   process can contain, are written as "\n" or "\x1b".
-- - "csv": as RFC 4180 has it, with the names of the columns in the first line.
-- - "json": an object a line. Numbers are numbers, and absent values are null. In text, bytes that are not UTF-8 become
--   U+FFFD.
--
-- In CSV and JSON, the formats "bytes", "count" and "duration" leave numbers as they are.
-- @tparam table columns a sequence of tables
-- - name: the heading
-- - field: the name in JSON, by default `name` in lower case with "_" for spaces
-- - width: in columns of the terminal; by default that of the format, 8 without. The last column takes what is left
-- - align: "left" or "right", by default right for numbers
-- - format: the name of a function of bpf.format, such as "ip", or a function that gets a value and returns text or a
--   number
-- @tparam ?table options
-- - output: "text", "csv" or "json", by default "text"
-- - file: an open file, by default standard output
-- - header: false prints no headings
-- - width: the width to fit, by default that of the terminal, `$COLUMNS` before what the kernel says
-- - utf8: whether to cut with "…" or "~", by default as the locale says
-- @treturn function to be called with the values in the order of the columns; nil leaves a cell empty. Without values
-- it prints the headings alone, if they aren't there yet. It returns true, or `nil, message, code` if the output fails
-- @usage
-- local row = bpf.format.columns {
--   { name = "PID", width = 7 }, { name = "COMMAND", width = 15 }, { name = "PORT", format = "port" },
-- }
-- row(4711, "curl", 0x5000)
function M.columns(columns, options)
  options = check(options)
  local out = {
    columns = prepare(columns), file = options.file or io.stdout, headed = options.header ~= false, keys = {},
    ellipsis = display.ellipsis(options.utf8),
  }
  out.window = posix.window(out.file) ~= nil
  out.fixed = math.tointeger(options.width) or out.window and terminal.wanted("COLUMNS")
  for c, column in ipairs(out.columns) do
    out.keys[c] = json(column.field) .. ":"
  end
  local form, count = OUTPUTS[options.output or "text"], #out.columns
  return function(...)
    local n = select("#", ...)
    if n > count then
      error(("columns: %s for %s"):format(counted(n, "value"), counted(count, "column")), 2)
    end
    local values = { ... }
    for c, column in ipairs(out.columns) do
      values[c] = formatted(column, values[c], form.raw)
    end
    local lines = form.head(out, values) .. (n > 0 and form.row(out, values) or "")
    out.written = true
    local ok, message, code = out.file:write(lines)
    if ok then
      ok, message, code = out.file:flush()
    end
    if not ok then
      return posix.failure("columns", message, code)
    end
    return true
  end
end

return M.columns

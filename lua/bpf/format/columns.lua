-- SPDX-License-Identifier: MIT
--- Rows that are printed as they come: in columns that fit the terminal, as CSV, or as JSON.
-- @module bpf.format

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
    column.heading = display.escape(column.name)
    column.field = column.field or field_of(column.name)
    if taken[column.field] then
      error(("columns: the columns %d and %d have the same field '%s'"):format(taken[column.field], c, column.field), 3)
    end
    taken[column.field] = c
    column.width = math.max(math.tointeger(column.width) or width, display.width(column.heading))
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

local function cell_text(value)
  if type(value) == "number" then
    return number.text(value)
  elseif type(value) == "table" and not (getmetatable(value) or {}).__tostring then
    return display.escape(json(value))
  end
  return value == nil and "" or display.escape(tostring(value))
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
  out.widths, out.limit, out.forms = widths, limit, {}
end

-- What string.format makes a line of, for columns that are flushed right or not; false if it can't.
local function form_of(out, right)
  local parts, n = {}, #out.widths
  for c, width in ipairs(out.widths) do
    if width > 99 then
      return false
    end
    parts[c] = right[c] and ("%%%ds"):format(width) or c < n and ("%%-%ds"):format(width) or "%s"
  end
  return table.concat(parts, (" "):rep(display.GAP))
end

-- The line of most rows, in a third of the time that the next function takes: each cell is ASCII and fits its column.
-- nil for other rows.
local function line_that_fits(out, cells, right)
  local kind, n = 1, #cells
  for c, cell in ipairs(cells) do
    if c < n and #cell > out.widths[c] or cell:find "[^\32-\126]" then
      return nil
    end
    kind = kind << 1 | (right[c] and 1 or 0)
  end
  if out.forms[kind] == nil then
    out.forms[kind] = n < 60 and form_of(out, right)
  end
  local line = out.forms[kind] and out.forms[kind]:format(table.unpack(cells))
  if not line or out.limit and #line > out.limit then
    return nil
  end
  return line:byte(-1) == 32 and line:gsub(" +$", "") or line
end

-- A line of cells. One that is too long and must not be cut moves the next ones, which make up for it with their space.
local function line_of(out, cells, right, rigid)
  local parts, at, edge, n = {}, 0, 0, #cells
  for c, cell in ipairs(cells) do
    local room = out.widths[c]
    if out.limit and c < n and not rigid[c] then
      cell = display.cut(cell, room, out.ellipsis)
    end
    local gap, width = c > 1 and display.GAP or 0, display.width(cell)
    edge = edge + gap + room
    local space = (" "):rep(edge - at - gap - width)
    parts[c] = (" "):rep(gap) .. (right[c] and space .. cell or c < n and cell .. space or cell)
    at = at + gap + width + (right[c] and #space or c < n and #space or 0)
  end
  local line = table.concat(parts):gsub(" +$", "")
  return out.limit and display.cut(line, out.limit, out.ellipsis) or line
end

local function headings(out, values)
  local cells, right, rigid = {}, {}, {}
  for c, column in ipairs(out.columns) do
    cells[c], right[c] = column.heading, is_right(column, values[c])
  end
  return line_of(out, cells, right, rigid)
end

local text = {}

-- The headings, if they aren't above already, for columns as wide as these.
function text.head(out, values)
  local limit = limit_of(out)
  if out.widths and out.limit == limit then
    return ""
  end
  lay_out(out, limit, values)
  return out.headed and headings(out, values) .. "\n" or ""
end

function text.row(out, values)
  local cells, right, rigid = {}, {}, {}
  for c, column in ipairs(out.columns) do
    cells[c], right[c] = cell_text(values[c]), is_right(column, values[c])
    rigid[c] = right[c] or column.kind == "whole"
  end
  return (line_that_fits(out, cells, right) or line_of(out, cells, right, rigid)) .. "\n"
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
      error(("columns: %d values for %d columns"):format(n, count), 2)
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

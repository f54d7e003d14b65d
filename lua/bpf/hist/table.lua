-- SPDX-License-Identifier: MIT
--- Rows as an aligned table.
-- @module bpf.hist

local argument = require("bpf.base.argument")
local display = require("bpf.hist.display")
local number = require("bpf.base.number")
local options_of = require("bpf.hist.options")
local terminal = require("bpf.hist.terminal")

local M = {}

local function cell_text(value)
  return type(value) == "number" and number.text(value) or tostring(value)
end

-- The text of all cells by column, the heading first; and whether a column is to be flushed right.
local function cells_of(rows, columns)
  local cells, right = {}, {}
  for c, column in ipairs(columns) do
    local field, format = column.field or c, column.format or cell_text
    local list, numbers = { display.clean(column.name or "") }, #rows > 0
    for r, row in ipairs(rows) do
      local value = row[field]
      numbers = numbers and (type(value) == "number" or value == nil)
      list[r + 1] = value == nil and "" or display.clean(tostring(format(value, row)))
    end
    cells[c] = list
    right[c] = column.align == "right" or column.align == nil and numbers
  end
  return cells, right
end

local COLUMN = { name = "string", field = "any", align = "string", format = "string or function" }

--- Returns an aligned table. If the rows are wider than the width, cells are cut, text before numbers. Cells are
-- cleaned as `hist.line` does.
-- @tparam table rows a sequence of tables
-- @tparam table columns a sequence of tables; if no column has a name, there is no line of headings
-- - name: the heading
-- - field: the key of the row's value, by default the column's number
-- - align: "left" or "right", by default right if all values are numbers
-- - format: a function that returns the text of a value; its second argument is the row. Or the name of a function of
--   bpf.format, such as "ip"
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
function M.table(rows, columns, options)
  argument.check(1, "table", rows, "table")
  columns = options_of.columns("table", 2, columns, COLUMN)
  options = options_of.check("table", 3, options, { width = "number", utf8 = "boolean" })
  local ellipsis = display.ellipsis(options.utf8)
  local cells, right = cells_of(rows, columns)
  local widths, headed = {}, false
  for c, list in ipairs(cells) do
    headed = headed or list[1] ~= ""
    local width = 0
    for _, text in ipairs(list) do
      width = math.max(width, display.width(text))
    end
    widths[c] = width
  end
  display.fit(widths, right, options.width or terminal.width())
  local lines = {}
  for r = headed and 1 or 2, #rows + 1 do
    local line = {}
    for c, list in ipairs(cells) do
      line[c] = display.pad(display.cut(list[r], widths[c], ellipsis), widths[c], right[c])
    end
    lines[#lines + 1] = table.concat(line, (" "):rep(display.GAP)):gsub("%s+$", "")
  end
  return table.concat(lines, "\n")
end

return M

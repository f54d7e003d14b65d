-- SPDX-License-Identifier: MIT
--- Looking at maps, handles and values at the prompt. A module that is a function: `bpf.inspect(value)`.
-- @module bpf

local argument = require("bpf.base.argument")
local error = argument.error
local formats_of = require("bpf.inspect.formats")
local handle_texts = require("bpf.inspect.handle")
local hist = require("bpf.hist")
local maps = require("bpf.inspect.map")
local value_text = require("bpf.inspect.value")

local M = {}

local OPTIONS = {
  limit = "number", width = "number", utf8 = "boolean", text = "boolean", layout = "table", formats = "table",
  sort = "string",
}

local function check(options)
  if options == nil then
    return {}
  end
  argument.check(2, "inspect", options, "table", 3)
  for name, value in pairs(options) do
    if not OPTIONS[name] then
      error(("inspect: there is no option '%s' (options: formats, layout, limit, sort, text, utf8, width)"):format(
        tostring(name)), 3)
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
-- - formats: how to show columns of a map, or members of a value with a layout, by their names:
--   `{ saddr = "ip", ["to.port"] = "port" }`. A format is the name of a function of bpf.format, or a function that
--   returns text or a number. Keys and values that are no structs are the columns "key" and "value"
-- - sort: the column by which a map's entries are sorted, "-count" from the greatest on; all entries are read
-- - utf8: whether to cut with "…" or "~", by default as the locale says
-- - text: true returns the text instead of printing it
-- @treturn ?string the text with `text = true`; otherwise the call prints to `io.stdout` and returns nothing
-- @usage
-- local m <close> = assert(bpf.map.create { type = "array", name = "hits", max_entries = 4, value = "__u64" })
-- local text = bpf.inspect(m, { limit = 2, text = true }) -- without text, it prints
function M.inspect(value, options)
  local given = check(options)
  local width = given.width or hist.width()
  local o = { limit = given.limit or 20, table = { width = width, utf8 = given.utf8 }, given = given }
  local class = type(value) == "userdata" and tostring(value):match("^(bpf%.[%l_]+): ")
  local of_class, text = class and handle_texts[class], nil
  if class == "bpf.map" then
    text = maps.text(value, o, 2)
  elseif given.sort or given.formats and (of_class or not given.layout) then
    error(("inspect: option '%s' is for maps%s"):format(given.sort and "sort" or "formats",
      given.sort and "" or " and values with a layout"), 2)
  elseif of_class then
    text = of_class(value, o)
  elseif given.layout then
    local tree = formats_of.tree("inspect: formats", given.formats, { value = given.layout }, 2)
    text = value_text.cell(value, given.layout, nil, formats_of.whole(tree, given.layout, "value"))
  else
    text = value_text.lines(value, width, "", 0)
  end
  if given.text then
    return text
  end
  io.stdout:write(text, "\n")
end

return M.inspect

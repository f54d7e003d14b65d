-- SPDX-License-Identifier: MIT
-- lua-bpf dump.

local bpf = require("bpf")
local columns = require("bpf.command.columns")
local entries = require("bpf.command.entries")
local formats_of = require("bpf.inspect.formats")
local frame = require("bpf.command.frame")
local map_columns = require("bpf.inspect.map")
local target = require("bpf.command.target")

local hist, map = bpf.hist, bpf.map

local USAGE <const> = [[
Usage: lua-bpf dump MAP [--key KEY]... [--limit N] [--format COLUMN=FORMAT]... [--sort COLUMN] [--json]

Shows the entries of a map, decoded by the types of its BTF.
  --key KEY            show this entry only; may be given several times. KEY is a number, text, or a struct as a Lua
                       table: '{ port = 80 }'
  --limit N            show at most N entries
]] .. columns.HELP .. [[
  --json               print one JSON object. Its field `entries` is an array of { "key": , "value": }. Integers have
                       all their digits. Bytes are arrays of numbers. A value of a per-CPU map is an array with an
                       element for each CPU.

Example: lua-bpf dump ports --key '{ port = 80 }' --format addr=ip
]]

local function dump_json(m, given)
  local key_layout, value_layout = entries.layouts(m)
  local info = frame.need(map.info(m))
  local progress <close> = hist.progress("entries")
  local n, list = 0, {}
  local step, state, control, closing = entries.chosen(m, given.key)
  frame.write(('{"id":%d,"name":%s,"type":"%s","entries":['):format(info.id, bpf.json(info.name), info.type))
  for key, value in step, state, control, closing do
    if n == given.limit then
      break
    end
    n = n + 1
    list[#list + 1] = (n > 1 and ",\n" or "\n") .. '{"key":' .. bpf.json(key, key_layout) .. ',"value":'
      .. bpf.json(value, value_layout) .. "}"
    if #list == 1000 then
      frame.write(table.concat(list))
      list = {}
      progress(n)
    end
  end
  frame.write(table.concat(list), "\n]}\n")
end

-- The entries that are asked for, keys and values in a column each.
local function dump_table(m, given, tree)
  local key_layout, value_layout = entries.layouts(m)
  local key_format = formats_of.whole(tree, key_layout, "key")
  local value_format = formats_of.whole(tree, value_layout and value_layout.element or value_layout, "value")
  local rows, more = {}, 0
  for key, value in entries.chosen(m, given.key) do
    if #rows == given.limit then
      more = more + 1
    else
      rows[#rows + 1] = {
        entries.shown(key, key_layout, key_format), entries.shown(value, value_layout, value_format),
      }
    end
  end
  frame.print_line(hist.table(rows, { { name = "key" }, { name = "value" } }, { width = frame.width() }))
  if more > 0 then
    frame.print_line(("… and %d more"):format(more))
  end
end

local function run(given, names)
  if #names ~= 1 then
    frame.misuse(#names == 0 and "which map?" or "not understood: " .. names[2], USAGE)
  end
  local m <close> = target.open(names[1])
  for i, key in ipairs(given.key) do
    entries.look_up(m, key) -- before anything is printed
    given.key[i] = key
  end
  local layouts = map_columns.layouts(m)
  local formats, tree = columns.formats(layouts, given, USAGE)
  local whole = #given.key > 0 or map.type(m):find("_of_maps$") -- keys and values have a column each
  if given.json and (given.sort or given.format[1]) then
    frame.misuse("--json has neither --format nor --sort", USAGE)
  elseif given.sort and whole then
    frame.misuse("--sort takes neither --key nor a map of maps", USAGE)
  elseif given.sort then
    columns.sort(layouts, given.sort, USAGE)
  end
  if given.json then
    dump_json(m, given)
  elseif whole then
    if #given.key == 0 then
      frame.print_line(tostring(m))
    end
    dump_table(m, given, tree)
  else
    entries.walk(m)
    frame.try(bpf.inspect, m, {
      limit = given.limit or math.huge, width = frame.width(), formats = formats, sort = given.sort,
    })
  end
end

return {
  usage = USAGE,
  arguments = { "map" },
  options = {
    json = true, key = frame.many(frame.any), limit = frame.count, format = columns.OPTIONS.format,
    sort = columns.OPTIONS.sort,
  },
  run = run,
}

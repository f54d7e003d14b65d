-- SPDX-License-Identifier: MIT
-- lua-bpf watch.

local bpf = require("bpf")
local columns = require("bpf.command.columns")
local entries = require("bpf.command.entries")
local formats_of = require("bpf.inspect.formats")
local frame = require("bpf.command.frame")
local kinds = require("bpf.format.kinds")
local posix = require("bpf.base.posix")
local target = require("bpf.command.target")
local value_text = require("bpf.inspect.value")

local hist, map = bpf.hist, bpf.map

local USAGE <const> = [[
Usage: lua-bpf watch MAP [--interval SECONDS] [--count N] [--limit N] [--format COLUMN=FORMAT]...
                     [--sort COLUMN] [--json]

Shows the entries of a map every second, until Ctrl-C or SIGTERM. A sign marks what has changed since the last time:
+ new entry, ~ new value, - deleted entry. The column /s shows how much an integer grew per second since the last time.
Values of per-CPU maps are added up.
  --interval SECONDS   time between two displays; 1 by default
  --count N            end after N displays
  --limit N            show at most N entries; by default as many as fit the screen. If there are more, changed entries
                       come first
]] .. columns.HELP .. [[
                       (COLUMN/s: how much an integer grew per second)
  --json               print each display as a JSON object in a line of its own: time, in seconds since 1970, and
                       entries, an array of { "key": , "value": , "change": }. A change is "new", "changed" or
                       "deleted"; it is absent for the rest

Example: lua-bpf watch hits --interval 0.5
]]

local MOST = 10000 -- entries looked at

-- The same in a column, where text needs no quotes.
local function column_text(value, layout, format)
  local plain = type(value) == "string" and utf8.len(value) and not (layout and layout.kind == "bytes")
  return value == nil and "" or plain and type(format) ~= "function" and value or entries.shown(value, layout, format)
end

-- One look at a map: entries by the text of their key, the texts in order, the time, and whether there were too many.
local function look(m, key_layout)
  local progress <close> = hist.progress("entries")
  local sums = map.type(m):find("percpu", 1, true)
  local now = { at = posix.seconds(), order = {}, of = {} }
  for key, value in entries.walk(m) do
    now.cut = #now.order == MOST
    if now.cut then
      break
    end
    local text = column_text(key, key_layout)
    local n = math.type(key) == "integer" and key or nil
    now.order[#now.order + 1] = text
    now.of[text] = { key = key, n = n, value = sums and map.sum(m, key) or value }
    progress(#now.order)
  end
  table.sort(now.order, function(a, b)
    local x, y = now.of[a].n, now.of[b].n
    if x and y then
      return x < y
    end
    return a < b
  end)
  return now
end

-- The columns of the value: { name, layout, format, value of }.
local function parts_of(layout, tree)
  if not layout or layout.kind ~= "struct" then
    return { { name = "value", layout = layout, format = tree.value, get = function(value) return value end } }
  end
  local parts = {}
  for i, member in ipairs(layout) do
    parts[i] = {
      name = member.name, layout = member, format = tree[member.name],
      get = function(value) return value[member.name] end,
    }
  end
  return parts
end

-- Whether the differences of a column's values make sense.
local function counts(part)
  local kind = part.layout and part.layout.kind
  return (kind == "unsigned" or kind == "signed") and not part.layout.enumerators
    and (not part.format or kinds.is_quantity(part.format))
end

local function rate_text(part, speed)
  if not speed or speed == 0 then
    return ""
  end
  return ("%s%s"):format(speed > 0 and "+" or "", (part.format or hist.number)(speed))
end

-- The row of an entry, compared with the one before. It has the texts, and the values and speeds to sort by.
local function row_of(view, entry, old, seconds, first)
  local row, changed = { values = {}, speeds = {}, entry = entry }, false
  row.key = column_text(entry.key, view.key_layout, view.key_format)
  for i, part in ipairs(view.parts) do
    local value, before = part.get(entry.value), old and part.get(old.value)
    row.values[i] = value
    row[i] = column_text(value, part.layout, part.format)
    changed = changed or old and column_text(value, part.layout) ~= column_text(before, part.layout)
    if old and seconds > 0 and counts(part) then
      row.speeds[i] = (value - before) / seconds
      row["rate" .. i] = rate_text(part, row.speeds[i])
    end
  end
  row.sign = not old and (first and "" or "+") or changed and "~" or ""
  return row
end

-- Whether an entry that this look at the map doesn't have is gone. A look at many entries ends before it has met all.
local function is_gone(m, now, entry)
  if not now.cut then
    return true
  end
  local ok, value, message = pcall(map.lookup, m, entry.key)
  entries.by_id(value)
  return ok and value == nil and message == nil
end

local function member_of(value, name)
  return type(value) == "table" and value[name] or nil
end

-- What rows are sorted by: a function that gives it, its layout, and whether from the greatest on.
local function order_of(view, given)
  local is_rate = given:find("/s$") ~= nil
  local name, down = columns.sort(view.layouts, given:gsub("/s$", ""), USAGE)
  for i, part in ipairs(view.parts) do
    if part.name == name and (counts(part) or not is_rate) then
      return {
        get = function(row) return row[is_rate and "speeds" or "values"][i] end,
        layout = not is_rate and part.layout or nil, down = down,
      }
    end
  end
  if is_rate then
    frame.misuse(("--sort: the column '%s' has no column /s"):format(name), USAGE)
  elseif name == "key" then
    return { get = function(row) return row.entry.key end, layout = view.key_layout, down = down }
  end
  for _, member in ipairs(view.key_layout) do
    if member.name == name then
      return { get = function(row) return member_of(row.entry.key, name) end, layout = member, down = down }
    end
  end
end

local function sort(rows, order)
  local place, of = {}, {}
  for i, row in ipairs(rows) do
    place[row], of[row] = i, order.get(row)
  end
  table.sort(rows, function(a, b)
    local x, y = of[a], of[b]
    if x == nil or y == nil then
      return x ~= nil and y == nil or x == y and place[a] < place[b]
    elseif order.down then
      x, y = y, x
    end
    local less = value_text.key_before(x, y, order.layout)
    return less or not value_text.key_before(y, x, order.layout) and place[a] < place[b]
  end)
end

-- The rows of a look, those that are gone too; what changed comes first when there are more than fit.
local function rows_of(view, now, before)
  local changed, same, total = {}, {}, 0
  local seconds = before and now.at - before.at or 0
  for _, text in ipairs(now.order) do
    local first = not before or before.cut -- what that look hasn't met need not be new
    local row = row_of(view, now.of[text], before and before.of[text], seconds, first)
    local list = row.sign ~= "" and #now.order > view.limit and changed or same
    list[#list + 1] = row
    total = total + 1
  end
  for _, text in ipairs(before and before.order or {}) do
    if not now.of[text] and is_gone(view.map, now, before.of[text]) then
      local row = row_of(view, before.of[text], nil, 0, true)
      row.sign = "-"
      table.insert(changed, row)
      total = total + 1
    end
  end
  table.move(same, 1, #same, #changed + 1, changed)
  if view.order then
    sort(changed, view.order)
  end
  for i = #changed, view.limit + 1, -1 do
    changed[i] = nil
  end
  return changed, total - #changed
end

local COLOURS = { ["+"] = "\27[32m", ["~"] = "\27[33m", ["-"] = "\27[31m" }

local function picture(view, rows, more, cut)
  local list = { { field = "sign" }, { name = "key", field = "key" } }
  for i, part in ipairs(view.parts) do
    list[#list + 1] = value_text.column(part.name, i, part.layout, part.format)
    if counts(part) then
      list[#list + 1] = { name = "/s", field = "rate" .. i, align = "right" }
    end
  end
  local lines = { tostring(view.map) }
  for line in hist.table(rows, list, { width = frame.width() }):gmatch("[^\n]+") do
    local sign = rows[#lines - 1] and rows[#lines - 1].sign
    lines[#lines + 1] = view.colour and COLOURS[sign] and COLOURS[sign] .. line .. "\27[0m" or line
  end
  if more > 0 or cut then
    lines[#lines + 1] = ("… and %s%d more"):format(cut and "at least " or "", more + (cut and 1 or 0))
  end
  return lines
end

-- What is to be shown of a map.
local CHANGES <const> = { ["+"] = "new", ["~"] = "changed", ["-"] = "deleted" }

-- A display as a JSON object.
local function document(view, rows)
  local list = {}
  for i, row in ipairs(rows) do
    local change = CHANGES[row.sign]
    list[i] = ('{"key":%s,"value":%s%s}'):format(bpf.json(row.entry.key, view.key_layout),
      bpf.json(row.entry.value, view.value_layout), change and (',"change":"%s"'):format(change) or "")
  end
  return ('{"time":%d,"entries":[%s]}\n'):format(os.time(), table.concat(list, ","))
end

local function view_of(m, given)
  local terminal = hist.terminal()
  local key_type, value_type = map.types(m)
  local view = { map = m, key_layout = key_type and key_type:layout(), terminal = terminal }
  local value_layout = value_type and value_type:layout()
  view.value_layout = value_layout
  view.layouts = { key = view.key_layout or false, value = value_layout or false }
  local _, tree = columns.formats(view.layouts, given, USAGE)
  view.key_format, view.parts = formats_of.whole(tree, view.key_layout, "key"), parts_of(value_layout, tree)
  view.colour = terminal and (os.getenv("NO_COLOR") or "") == ""
  view.limit = given.limit or (terminal and not given.json and math.max(hist.height() - 4, 1) or MOST)
  view.order = given.sort and order_of(view, given.sort)
  return view
end

local function run(given, names)
  if #names ~= 1 then
    frame.misuse(#names == 0 and "which map?" or "not understood: " .. names[2], USAGE)
  end
  local signals <close> = frame.need(bpf.signals("INT", "TERM")) -- luacheck: ignore (they end bpf.sleep)
  local m <close> = target.open(names[1])
  local view = view_of(m, given)
  local before, height
  for turn = 1, given.count or math.maxinteger do
    if turn > 1 and not bpf.sleep(given.interval or 1) then
      break
    end
    local now = look(m, view.key_layout)
    local rows, more = rows_of(view, now, before)
    if given.json then
      frame.write(document(view, rows))
    else
      local lines = picture(view, rows, more, now.cut)
      local start = not height and "" or view.terminal and ("\27[%dA\27[J"):format(height) or "\n"
      frame.write(start, table.concat(lines, "\n"), "\n")
      height = #lines
    end
    frame.flush()
    before = now
  end
end

return {
  usage = USAGE,
  arguments = { "map" },
  options = {
    interval = frame.positive, count = frame.count, limit = frame.count, format = columns.OPTIONS.format,
    sort = columns.OPTIONS.sort, json = true,
  },
  run = run,
}

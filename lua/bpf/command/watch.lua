-- SPDX-License-Identifier: MIT
-- lua-bpf watch.

local bpf = require("bpf")
local entries = require("bpf.command.entries")
local frame = require("bpf.command.frame")
local posix = require("bpf.base.posix")
local target = require("bpf.command.target")

local hist, map = bpf.hist, bpf.map

local USAGE <const> = [[
Usage: lua-bpf watch MAP [--interval SECONDS] [--count N] [--limit N]

Shows the entries of a map every second, until Ctrl-C or SIGTERM. A sign marks what has changed since the last time:
+ new entry, ~ new value, - deleted entry. The column /s shows how much an integer grows per second. Values of per-CPU
maps are added up.
  --interval SECONDS   time between two displays; 1 by default
  --count N            end after N displays
  --limit N            show at most N entries; by default as many as fit the screen. If there are more, changed entries
                       come first
]]

local MOST = 10000 -- entries looked at

-- The same in a column, where text needs no quotes.
local function column_text(value, layout)
  local plain = type(value) == "string" and utf8.len(value) and not (layout and layout.kind == "bytes")
  return value == nil and "" or plain and value or entries.shown(value, layout)
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

-- The columns of the value: { name, layout, value of }.
local function parts_of(layout)
  if not layout or layout.kind ~= "struct" then
    return { { name = "value", layout = layout, get = function(value) return value end } }
  end
  local parts = {}
  for i, member in ipairs(layout) do
    parts[i] = { name = member.name, layout = member, get = function(value) return value[member.name] end }
  end
  return parts
end

local function counts(part)
  local kind = part.layout and part.layout.kind
  return (kind == "unsigned" or kind == "signed") and not part.layout.enumerators
end

local function rate(now, before, seconds)
  if now == before or seconds <= 0 then
    return ""
  end
  return ("%s%s"):format(now > before and "+" or "", hist.number((now - before) / seconds))
end

-- The row of an entry, compared with the one before.
local function row_of(text, entry, old, parts, seconds, first)
  local row, changed = { key = text }, false
  for i, part in ipairs(parts) do
    local value = part.get(entry.value)
    local before = old and part.get(old.value)
    row[i] = column_text(value, part.layout)
    changed = changed or old and row[i] ~= column_text(before, part.layout)
    if old and counts(part) then
      row["rate" .. i] = rate(value, before, seconds)
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

-- The rows of a look, those that are gone too; what changed comes first when there are more than fit.
local function rows_of(m, now, before, parts, limit)
  local changed, same, total = {}, {}, 0
  local seconds = before and now.at - before.at or 0
  for _, text in ipairs(now.order) do
    local first = not before or before.cut -- what that look hasn't met need not be new
    local row = row_of(text, now.of[text], before and before.of[text], parts, seconds, first)
    local list = row.sign ~= "" and #now.order > limit and changed or same
    list[#list + 1] = row
    total = total + 1
  end
  for _, text in ipairs(before and before.order or {}) do
    if not now.of[text] and is_gone(m, now, before.of[text]) then
      local row = row_of(text, before.of[text], nil, parts, 0, true)
      row.sign = "-"
      table.insert(changed, row)
      total = total + 1
    end
  end
  table.move(same, 1, #same, #changed + 1, changed)
  for i = #changed, limit + 1, -1 do
    changed[i] = nil
  end
  return changed, total - #changed
end

local COLOURS = { ["+"] = "\27[32m", ["~"] = "\27[33m", ["-"] = "\27[31m" }

local function picture(m, rows, more, cut, parts, colour)
  local columns = { { field = "sign" }, { name = "key", field = "key" } }
  for i, part in ipairs(parts) do
    local right = counts(part) and "right" or "left"
    columns[#columns + 1] = { name = part.name, field = i, align = right }
    if counts(part) then
      columns[#columns + 1] = { name = "/s", field = "rate" .. i, align = "right" }
    end
  end
  local lines = { tostring(m) }
  for line in hist.table(rows, columns, { width = frame.width() }):gmatch("[^\n]+") do
    local sign = rows[#lines - 1] and rows[#lines - 1].sign
    lines[#lines + 1] = colour and COLOURS[sign] and COLOURS[sign] .. line .. "\27[0m" or line
  end
  if more > 0 or cut then
    lines[#lines + 1] = ("… and %s%d more"):format(cut and "at least " or "", more + (cut and 1 or 0))
  end
  return lines
end

local function run(given, names)
  if #names ~= 1 then
    frame.misuse(#names == 0 and "which map?" or "not understood: " .. names[2], USAGE)
  end
  local signals <close> = frame.need(bpf.signals("INT", "TERM")) -- luacheck: ignore (they end bpf.sleep)
  local m <close> = target.open(names[1])
  local terminal = hist.terminal()
  local colour = terminal and (os.getenv("NO_COLOR") or "") == ""
  local limit = given.limit or (terminal and math.max(hist.height() - 4, 1) or MOST)
  local key_type, value_type = map.types(m)
  local key_layout, parts = key_type and key_type:layout(), parts_of(value_type and value_type:layout())
  local before, height
  for turn = 1, given.count or math.maxinteger do
    if turn > 1 and not bpf.sleep(given.interval or 1) then
      break
    end
    local now = look(m, key_layout)
    local rows, more = rows_of(m, now, before, parts, limit)
    local lines = picture(m, rows, more, now.cut, parts, colour)
    local start = not height and "" or terminal and ("\27[%dA\27[J"):format(height) or "\n"
    frame.write(start, table.concat(lines, "\n"), "\n")
    frame.flush()
    before, height = now, #lines
  end
end

return {
  usage = USAGE,
  arguments = { "map" },
  options = { interval = frame.positive, count = frame.count, limit = frame.count },
  run = run,
}

-- SPDX-License-Identifier: MIT
-- What scripts that `--emit` writes have in common: functions of programs and of the script.
local template = {}

-- Functions that programs call, by what needs them.
template.program = {
  { "log2", [[
-- The bucket of a number: 0 below zero, 1 of zero, and 2 + k from 2^k on.
local function log2(n)
  if n < 0 then return 0 end
  if n == 0 then return 1 end
  local k = 0
  for shift = 5, 0, -1 do
    if n >> (1 << shift) > 0 then
      n, k = n >> (1 << shift), k + (1 << shift)
    end
  end
  return k + 2
end
]] },
  { "linear", [[
-- The bucket of a number in equal steps: 0 below the first one.
local function linear(n, first, last, step)
  if n < first then return 0 end
  if n >= last then return (last - first + step - 1) // step + 1 end
  return (n - first) // step + 1
end
]] },
  { "note", [[
-- Adds a number to an entry that has the count, the sum, the least and the greatest.
local function note(m, key, n)
  local e = m[key]
  if not e then
    map.update(m, key, { min = n, max = n }, "noexist")
    e = m[key]
  end
  if e then
    bpf.atomic.add(e, "count", 1)
    bpf.atomic.add(e, "sum", n)
    if n < e.min then e.min = n end
    if n > e.max then e.max = n end
  end
end
]] },
}

-- Prints what was gathered: rows sorted by value, keys as text.
template.script = [=[
-- Printing ------------------------------------------------------------------------------------------------------------

-- The text of each part of a key, and the value by which rows are sorted.
local function rows_of(t)
  local rows, known = {}, {}
  for key, value in pairs(t.map) do
    local texts = {}
    for n, show in ipairs(t.keys) do
      texts[n] = show(t.single and key or key[t.names[n]])
    end
    local text = table.concat(texts, "  ")
    local row = known[text] or { text = text, number = t.single and math.type(key) and key, buckets = {}, rank = 0 }
    if not known[text] then
      known[text], rows[#rows + 1] = row, row
    end
    if t.bucket then
      local bucket = type(key) == "table" and key.bucket or key
      row.buckets[bucket] = value
      row.rank = row.rank + value
    else
      row.value = value
      row.rank = type(value) == "table" and t.rank(value) or type(value) == "number" and value or 0
    end
  end
  table.sort(rows, function(a, b)
    if a.rank ~= b.rank then
      return a.rank > b.rank
    elseif a.number and b.number then
      return a.number < b.number
    end
    return a.text < b.text
  end)
  return rows
end

local function print_buckets(t, row, out)
  local list = {}
  for n in pairs(row.buckets) do
    list[#list + 1] = n
  end
  table.sort(list)
  for _, n in ipairs(list) do
    out:write(("  %-24s %d\n"):format(t.bucket(n), row.buckets[n]))
  end
end

-- Prints a table, or its first rows.
local function print_table(t, most, out)
  out = out or io.stdout
  out:write(t.title, "\n")
  local rows = rows_of(t)
  if not rows[1] then
    out:write(t.zero and "  0\n" or "  (no values)\n")
  end
  for n = 1, math.min(#rows, most or #rows) do
    local row = rows[n]
    if t.bucket then
      out:write(#t.keys > 0 and "  " .. row.text .. "\n" or "")
      print_buckets(t, row, out)
    else
      out:write(("  %s%s%s\n"):format(row.text, row.text ~= "" and "  " or "", t.value(row.value)))
    end
  end
end

local function clear(t)
  map.clear(t.map or t)
end
]=]

template.log2_bucket = [[function(n)
    if n < 3 then return ({ [0] = "(..., 0)", "0", "1" })[n] end
    return ("%d - %s"):format(1 << (n - 2), n < 64 and (1 << (n - 1)) - 1 or "...")
  end]]

return template

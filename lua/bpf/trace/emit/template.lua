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

-- The signals that end a script.
template.signals = [[
-- SIGHUP doesn't end the script where it is ignored, as under nohup.
local function ending_signals()
  local file <close> = assert(io.open("/proc/self/status"))
  local ignored = tonumber(file:read("a"):match("\nSigIgn:%s*([0-9a-f]+)"), 16)
  return "INT", "TERM", ignored & 1 == 0 and "HUP" or "TERM"
end
local signals <close> = assert(bpf.signals(ending_signals()))
]]

-- What ends a script with its process, as the trace ends.
template.alive = [[
-- Whether the process runs: one that has ended is listed until its parent asks for its status, and its first thread may
-- end before the others.
local function is_alive()
  local file <close> = io.open("/proc/PID/stat")
  local state, threads = (file and file:read("a") or ""):match(".*%) (%S)" .. (" %S+"):rep(16) .. " (%d+) ")
  return state ~= nil and (not state:find("[ZX]") or tonumber(threads) > 1)
end
]]

-- What names addresses of processes, and stacks.
template.process = [[
-- The symbols of a process, which are read when it is first seen; nil if it has ended.
local processes = {}
local function process_of(pid)
  if processes[pid] == nil then
    processes[pid] = bpf.symbols.process(pid) or false
  end
  return processes[pid] or nil
end

]]

template.stack = [[
-- The functions of a stack, each in a line; those of a process if its id is given.
local function stack_text(stacks, id, pid)
  local addresses = id >= 0 and stacks[id]
  if not addresses then
    return id == -14 and "    [no stack]" or "    [stack not kept]"
  end
  local text = pid and bpf.symbols.stack(nil, addresses, process_of(pid)) or bpf.symbols.stack(addresses)
  return "    " .. text:gsub("\n", "\n    ")
end
]]

-- Functions of the script that make text of values, by their names.
template.values = {
  { "as_is", "local function as_is(value) return value end\n" },
  { "escaped", [[
-- Bytes that are no text.
local function escaped(bytes)
  return (bytes:gsub("[^\32-\126]", function(c) return ("\\x%02x"):format(c:byte()) end))
end
]] },
  { "user_symbol", [[
-- The function at an address of a process.
local function user_symbol(address, pid)
  local text = process_of(pid) and bpf.symbols.text(process_of(pid), address) or bpf.format.hex(address)
  return text:match("^([^0].-) %b()$") or text
end
]] },
  { "frames", [[
-- The lines of a stack.
local function frames(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do
    list[#list + 1] = line:match("^ *(.*)$")
  end
  return list
end
]] },
}

-- Reads what was gathered: rows sorted by value, then by keys.
template.rows = [=[
-- Printing ------------------------------------------------------------------------------------------------------------

-- Whether a row comes before another: the greatest value first, then by keys.
local function is_before(a, b)
  if a.rank ~= b.rank then
    return a.rank > b.rank
  end
  for n, x in ipairs(a.parts) do
    local y = b.parts[n]
    if type(x) ~= "number" then
      x, y = tostring(x), tostring(y)
    end
    if x ~= y then
      return x < y
    end
  end
  return false
end

-- Rows: the parts of a key, what is shown of each, and a value, or values by bucket.
local function rows_of(t)
  local rows, known = {}, {}
  for key, value in pairs(t.map) do
    local parts, shown, texts = {}, {}, {}
    for n, show in ipairs(t.keys) do
      local pid = not t.single and key[t.names[n] .. "_pid"] or nil -- of what means something in its process
      parts[n] = t.single and key or key[t.names[n]]
      shown[n], texts[n] = show(parts[n], pid), tostring(parts[n]) .. tostring(pid)
    end
    local id = table.concat(texts, "\0")
    local row = known[id]
    if not row then
      row = { parts = parts, shown = shown, buckets = {}, rank = 0 }
      known[id], rows[#rows + 1] = row, row
    end
    if t.bucket then
      row.buckets[type(key) == "table" and key.bucket or key] = value
      row.rank = row.rank + value
    else
      row.value = value
      row.rank = t.rank and t.rank(value) or type(value) == "number" and value or 0
    end
  end
  table.sort(rows, is_before)
  return rows
end

local function sorted_buckets(row)
  local list = {}
  for n in pairs(row.buckets) do
    list[#list + 1] = n
  end
  table.sort(list)
  return list
end

]=]

-- Prints rows.
template.print = { text = [=[
-- Prints a table, or its first rows.
local function print_table(t, most)
  local rows = rows_of(t)
  if not rows[1] and t.word == "count" and not t.keys[1] then
    print(t.title .. "\n  0")
  else
    print(t.title .. (rows[1] and "" or "\n  (no values)"))
  end
  for n = 1, math.min(#rows, most or #rows) do
    local row = rows[n]
    local text = table.concat(row.shown, "  ")
    if not t.bucket then
      print(("  %s%s%s"):format(text, text ~= "" and "  " or "", t.value(row.value)))
    elseif text ~= "" then
      print("  " .. text)
    end
    for _, b in ipairs(sorted_buckets(row)) do
      print(("  %-24s %d"):format(t.bucket(b), row.buckets[b]))
    end
  end
end
]=], json = [=[
-- The members of a row, or its buckets.
local function members(t, row)
  if not t.bucket then
    return t.value(row.value)
  end
  local list = sorted_buckets(row)
  for n, b in ipairs(list) do
    local from, to = t.bucket(b)
    list[n] = ('{"from":%s,"to":%s,"count":%d}'):format(bpf.json(from), bpf.json(to), row.buckets[b])
  end
  return '"buckets":[' .. table.concat(list, ",") .. "]"
end

-- Prints a table, or its first rows, as an object.
local function print_table(t, most)
  local rows, list = rows_of(t), {}
  for n = 1, math.min(#rows, most or #rows) do
    local key = t.keys[1] and ('"key":%s,'):format(bpf.json(rows[n].shown)) or ""
    list[n] = "{" .. key .. members(t, rows[n]) .. "}"
  end
  io.write(('{"name":%s,"type":"%s","rows":[%s]}\n'):format(bpf.json(t.title), t.word, table.concat(list, ",")))
end

-- Lines of print and printf are objects, too.
local function write(text)
  io.write('{"type":"print","text":', bpf.json((text:gsub("\n$", "", 1))), "}\n")
end
local function print(...)
  local list = table.pack(...)
  for n = 1, list.n do
    list[n] = tostring(list[n])
  end
  write(table.concat(list, "\t"))
end
]=] }

template.clear = [=[

local function clear(t)
  map.clear(t.map or t)
end
]=]

-- Prints all that was gathered.
template.gathered = [=[

local function print_gathered()
  for _, t in ipairs(gathered) do
    if not t.told then
      print_table(t)
    end
  end
end
]=]

template.interval = {
  text = [[function() print(os.date("\n%H:%M:%S")) print_gathered() end]],
  json = [[function()
    io.write(('{"type":"interval","time":%d}\n'):format(os.time()))
    print_gathered()
  end]],
}

-- What numbers mean, for plain bodies, by the names that they call.
template.meanings = {
  errno = "bpf.format.result", signal = "bpf.format.signal", syscall = "bpf.format.syscall", port = "bpf.format.port",
  duration = "bpf.format.duration", ksym = "bpf.format.symbol", usym = "bpf.format.hex", enum = "bpf.format.enum",
  ip = "bpf.format.ip",
  time = [[function(form) return form and os.date(form) or bpf.format.time(bpf.clock()) end]],
}

template.log2_bucket = { text = [[function(n)
    if n < 3 then return ({ [0] = "(..., 0)", "0", "1" })[n] end
    return ("%d - %s"):format(1 << (n - 2), n < 64 and (1 << (n - 1)) - 1 or "...")
  end]], json = [[function(n)
    if n < 2 then return n > 0 and 0 or nil, n end
    return 1 << (n - 2), n < 64 and 1 << (n - 1) or nil
  end]] }

return template

-- SPDX-License-Identifier: MIT
-- Measures what the library costs beside the same loop in C over libbpf. Run by `make bench`; as root, and after
-- `make bench` has built what it needs, `lua5.4 bench/bench.lua pairs` measures only the rows that match a pattern.
if not package.searchpath("bpf.core", package.cpath) then
  package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
  package.cpath = "build/release/?.so;" .. package.cpath
end
package.path = "bench/support/?.lua;" .. package.path
package.cpath = "build/bench/?.so;" .. package.cpath

local bpf = require "bpf"
local measure = require "measure"
local floor = require "floor"

local map, clock = bpf.map, os.clock

local KEYS, ROUNDS = 10000, 10  -- of the maps for single operations
local ENTRIES <const> = 1000000 -- of the map to walk
local EVENTS, BATCHES = 4096, 25
local OBJECT <const> = "build/bench/loops.bpf.o"
local FLAT <const> = "struct flat { __u32 id; __u64 count; char name[16]; __u64 a, b, c, d; }" -- no member is a table
local RECORD <const> = "struct record { __u32 id; __u64 count; char name[16]; __u64 slots[4]; }"

-- A map with the value under the keys 0 to entries - 1.
local function filled(type, value_type, value, entries)
  local m = assert(map.create { type = type, name = "bench", key = "__u32", value = value_type, max_entries = entries })
  for k = 0, entries - 1 do
    m[k] = value
  end
  return m, map.info(m).id
end

-- A row's prepare function: `loop` goes ROUNDS times over the KEYS of such a map, as C's loop does.
local function over_keys(loop, c_loop, type, value_type, value)
  return function()
    local m, id = filled(type, value_type, value, KEYS)
    return function() return loop(m) * 1e9 / (KEYS * ROUNDS) end, ("%s %d %d %d"):format(c_loop, id, ROUNDS, KEYS),
      function() map.close(m) end
  end
end

local function record()
  return { id = 7, count = 1 << 40, name = "record", slots = { 1, 2, 3, 4 } }
end

local function scalar_row(loop, c_loop)
  return over_keys(loop, c_loop, "hash", "__u64", 1)
end

local function struct_row(loop, c_loop)
  return over_keys(loop, c_loop, "hash", RECORD, record())
end

local function percpu_row(loop, c_loop)
  return over_keys(loop, c_loop, "percpu_hash", "__u64", 1)
end

local function look_up(m)
  local start, x = clock(), nil
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      x = m[k]
    end
  end
  return clock() - start, x
end

-- The same by an __index that does nothing but the system call: what the syntax costs.
local function look_up_floor(m)
  return look_up(floor(map.fd(m)))
end

-- The same, and the record's table built by Lua.
local function look_up_floor_table(m)
  local f, start, x = floor(map.fd(m)), clock(), nil
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      x = { id = f[k], count = k, name = "record", slots = { 1, 2, 3, 4 } }
    end
  end
  return clock() - start, x
end

local function update(m)
  local start = clock()
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      m[k] = k
    end
  end
  return clock() - start
end

local function delete(m)
  local total = 0
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      m[k] = k
    end
    local start = clock()
    for k = 0, KEYS - 1 do
      m[k] = nil
    end
    total = total + (clock() - start)
  end
  return total
end

local function unpack(m)
  local get, start, id, count = map.unpack, clock(), nil, nil
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      id, count = get(m, k)
    end
  end
  return clock() - start, id, count
end

local function look_up_into(m)
  local get, options, x = map.lookup, { into = record() }, nil
  local start = clock()
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      x = get(m, k, options)
    end
  end
  return clock() - start, x
end

local function add_each(m)
  local plus = map.add
  local start = clock()
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      plus(m, k)
    end
  end
  return clock() - start
end

local columns = setmetatable({}, { __mode = "k" }) -- of the maps that are measured

local function look_up_column(m)
  columns[m] = columns[m] or assert(map.column(m, "count"))
  return look_up(columns[m])
end

local function pack(m)
  local put = map.pack
  local start = clock()
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      put(m, k, k, 1 << 40, "record", 1, 2, 3, 4)
    end
  end
  return clock() - start
end

local function update_struct(m)
  local value = record()
  local start = clock()
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      value.id = k
      m[k] = value
    end
  end
  return clock() - start
end

local function sum(m)
  local get, start, x = map.sum, clock(), nil
  for _ = 1, ROUNDS do
    for k = 0, KEYS - 1 do
      x = get(m, k)
    end
  end
  return clock() - start, x
end

-- A row's prepare function for a walk over ENTRIES.
local big

local function walk(loop, c_loop)
  return function()
    big = big or filled("hash", "__u64", 1, ENTRIES) -- for all these rows
    return function()
      local start = clock()
      local n = loop(big)
      assert(n == ENTRIES, n)
      return (clock() - start) * 1e9 / ENTRIES
    end, c_loop .. " " .. map.info(big).id
  end
end

local function walk_pairs(m)
  local n, total = 0, 0
  for k, v in pairs(m) do
    n, total = n + 1, total + k + v
  end
  return n, total
end

local function walk_keys(m)
  local n, total = 0, 0
  for k in map.keys(m) do
    n, total = n + 1, total + k
  end
  return n, total
end

-- A row's prepare function for a walk over RECORDS structs.
local RECORDS <const> = 200000

local function walk_structs(loop)
  return function()
    local m, id = filled("hash", RECORD, record(), RECORDS)
    return function()
      local start = clock()
      assert(loop(m) == RECORDS)
      return (clock() - start) * 1e9 / RECORDS
    end, "records " .. id, function() map.close(m) end
  end
end

local function walk_tables(m)
  local n, total = 0, 0
  for k, v in pairs(m) do
    n, total = n + 1, total + k + v.count
  end
  return n, total
end

local function walk_column(m)
  local counts <close> = assert(map.column(m, "count"))
  return walk_pairs(counts)
end

-- A row's prepare function for a walk over the sums of a per-CPU map.
local function walk_sums()
  local m, id = filled("percpu_hash", "__u64", 1, RECORDS)
  return function()
    local start, n, total = clock(), 0, 0
    for k, v in map.sums(m) do
      n, total = n + 1, total + k + v
    end
    assert(n == RECORDS and total > 0)
    return (clock() - start) * 1e9 / RECORDS
  end, "sums " .. id, function() map.close(m) end
end

local function length(m)
  return #m
end

-- A row's prepare function: fills the big map, or takes everything out of it.
local function whole(loop, c_loop)
  return function()
    big = big or filled("hash", "__u64", 1, ENTRIES)
    return function() return loop(big) * 1e9 / ENTRIES end, c_loop .. " " .. map.info(big).id
  end
end

local squares -- what to load

local function load_table(m)
  if not squares then
    squares = {}
    for k = 0, ENTRIES - 1 do
      squares[k] = k * k
    end
  end
  map.clear(m)
  local start = clock()
  assert(map.update_batch(m, squares) == ENTRIES)
  return clock() - start
end

local function count_up(last, k)
  k = k + 1
  if k < last then
    return k, k
  end
end

local function load_iterator(m)
  map.clear(m)
  local start = clock()
  assert(map.update_batch(m, count_up, ENTRIES, -1) == ENTRIES)
  return clock() - start
end

local function drain(m)
  assert(map.update_batch(m, count_up, ENTRIES, -1))
  local n, total, start = 0, 0, clock()
  for k, v in map.drain(m) do
    n, total = n + 1, total + k + v
  end
  local time = clock() - start
  assert(n == ENTRIES)
  map.update_batch(m, count_up, ENTRIES, -1)
  return time, total
end

-- A row's prepare function for an array in memory.
local function mapped(loop)
  return function()
    local m = assert(map.create {
      type = "array", name = "bench", value = "__u64", max_entries = KEYS, flags = "mmapable",
    })
    local obj = assert(bpf.load(OBJECT)) -- C's loop is that over a variable
    return function() return loop(m) * 1e9 / (KEYS * ROUNDS) end,
      ("%s %d 0 %d"):format(loop == look_up and "get" or "set", map.info(obj.maps["loops.bss"]).id, ENTRIES),
      function()
        map.close(m)
        obj:close()
      end
  end
end

-- A row's prepare function for a global variable.
local function variable(loop, c_loop)
  return function()
    local obj = assert(bpf.load(OBJECT))
    return function() return loop(obj.vars) * 1e9 / ENTRIES end,
      ("%s %d 0 %d"):format(c_loop, map.info(obj.maps["loops.bss"]).id, ENTRIES), function() obj:close() end
  end
end

local function get(vars)
  local start, x = clock(), nil
  for _ = 1, ENTRIES do
    x = vars.counter
  end
  return clock() - start, x
end

local function set(vars)
  local start = clock()
  for i = 1, ENTRIES do
    vars.counter = i
  end
  return clock() - start
end

-- A row's prepare function for reading EVENTS events BATCHES times.
local function ring(handler, options)
  return function()
    local obj = assert(bpf.load(OBJECT))
    local reader = assert(bpf.ringbuf(obj.maps.events, "struct event", handler, options))
    local send, request = obj.progs.send, { ctx = ("I4I4"):pack(EVENTS, 0) }
    return function()
      local time, n = 0, 0
      for _ = 1, BATCHES do
        assert(send:run(request))
        local start = clock()
        n = n + reader:consume()
        time = time + (clock() - start)
      end
      assert(n == EVENTS * BATCHES, n)
      return time * 1e9 / n
    end, ("ring %s %d %d"):format(OBJECT, BATCHES, EVENTS), function()
      reader:close()
      obj:close()
    end
  end
end

-- A row's prepare function for the same through a perf buffer.
local function perf(handler, options)
  return function()
    local obj = assert(bpf.load(OBJECT))
    options = options or {}
    options.pages = 256
    local reader = assert(bpf.perfbuf(obj.maps.samples, "struct event", handler, options))
    local send, request = obj.progs.send_samples, { ctx = ("I8I8"):pack(EVENTS, 0) }
    return function()
      local time, n = 0, 0
      for _ = 1, BATCHES do
        assert(send:run(request))
        local start = clock()
        n = n + reader:consume()
        time = time + (clock() - start)
      end
      assert(n == EVENTS * BATCHES, n)
      return time * 1e9 / n
    end, ("perf %s %d %d"):format(OBJECT, BATCHES, EVENTS), function()
      reader:close()
      obj:close()
    end
  end
end

local total = 0

local function add(_, _, size)
  total = total + size
end

local function add_field(e)
  total = total + e.size
end

local SCRIPT <const> = [[local bpf = require "bpf"
local m <close> = assert(bpf.map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 1 })]]

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- A row's prepare function: milliseconds to run a script.
local function start_up(script)
  return function()
    return function() return measure.c("start 21 lua5.4 -e " .. quote(script)) / 1e6 end,
      function() return measure.c(("start 21 %s create"):format(measure.LOOPS)) / 1e6 end
  end
end

local function peak_memory()
  return function()
    local pipe = assert(io.popen("lua5.4 -e " .. quote(SCRIPT .. '\nprint(io.open("/proc/self/status"):read("a"))')))
    local text = pipe:read("a")
    pipe:close()
    return tonumber(text:match "VmHWM:%s*(%d+)") / 1024
  end
end

-- A row's prepare function: what the heap has grown by at most in 100,000 walks that end early, as a search does.
local function heap_of_walks()
  local m = filled("hash", "__u64", 1, 20)
  return function()
    local mode = collectgarbage "incremental" -- as states begin, but for those of lua5.4 itself
    collectgarbage()
    local before, most = collectgarbage "count", 0
    for _ = 1, 100000 do
      local step, state = pairs(m)
      step(state)
      most = math.max(most, collectgarbage "count")
    end
    collectgarbage(mode)
    return (most - before) / 1024
  end, nil, function() map.close(m) end
end

local SCALAR <const> = { ratio = 1.05, over = 60, allocates = 0 }

measure.pin()
measure.run({
  { name = "look-up, scalar", target = SCALAR, prepare = scalar_row(look_up, "lookup") },
  { name = "  floor: the system call alone", prepare = scalar_row(look_up_floor, "lookup") },
  { name = "update, scalar", target = SCALAR, prepare = scalar_row(update, "update") },
  { name = "delete, scalar", target = SCALAR, prepare = scalar_row(delete, "delete") },
  { name = "look-up, struct as a new table", target = { ratio = 1.35 }, prepare = struct_row(look_up, "lookup") },
  { name = "  floor: the call, a table built by Lua", prepare = struct_row(look_up_floor_table, "lookup") },
  { name = "look-up, struct as values and a table", prepare = struct_row(unpack, "lookup") },
  { name = "look-up, struct as values", target = { ratio = 1.10 },
    prepare = over_keys(unpack, "lookup", "hash", FLAT, { id = 7, count = 1 << 40, name = "record", a = 1, d = 4 }) },
  { name = "look-up, struct into a table", prepare = struct_row(look_up_into, "lookup") },
  { name = "look-up, a column of structs", target = { ratio = 1.10, allocates = 0 },
    prepare = struct_row(look_up_column, "lookup") },
  { name = "update, struct from a table", target = { ratio = 1.35 }, prepare = struct_row(update_struct, "update") },
  { name = "update, struct from values: map.pack", target = { ratio = 1.35, allocates = 0 },
    prepare = over_keys(pack, "update", "hash", FLAT, { id = 7, count = 1 << 40, name = "record", a = 1, d = 4 }) },
  { name = "pairs, beside C stepping", runs = 7, target = { ratio = 0.16 }, prepare = walk(walk_pairs, "step") },
  { name = "pairs, beside C in batches", target = { ratio = 1.1 }, prepare = walk(walk_pairs, "batch") },
  { name = "map.keys, beside C in batches", prepare = walk(walk_keys, "batch") },
  { name = "pairs over structs, as tables", prepare = walk_structs(walk_tables) },
  { name = "pairs over a column of structs", target = { ratio = 1.10 }, prepare = walk_structs(walk_column) },
  { name = "map.sums, beside C in batches", target = { ratio = 1.10 }, prepare = walk_sums },
  { name = "#map, beside C in batches", prepare = walk(length, "batch") },
  { name = "load 1,000,000 from a table", target = { ratio = 1.1 }, prepare = whole(load_table, "load") },
  { name = "load 1,000,000 from an iterator", prepare = whole(load_iterator, "load") },
  { name = "drain 1,000,000", target = { ratio = 1.1 }, prepare = whole(drain, "drain") },
  { name = "100,000 walks left early: heap", unit = "MB", runs = 3, target = { max = 0.5 }, prepare = heap_of_walks },
  { name = "mapped array, get", unit = "ns", target = { max = 40, allocates = 0 }, prepare = mapped(look_up) },
  { name = "mapped array, set", unit = "ns", target = { max = 30, allocates = 0 }, prepare = mapped(update) },
  { name = "mapped array, map.add", unit = "ns", target = { max = 60, allocates = 0 }, prepare = mapped(add_each) },
  { name = "global, get", unit = "ns", target = { max = 40, allocates = 0 }, prepare = variable(get, "get") },
  { name = "global, set", unit = "ns", target = { max = 30, allocates = 0 }, prepare = variable(set, "set") },
  { name = "ring buffer, event as values", target = { max = 50 }, prepare = ring(add, { unpack = true }) },
  { name = "ring buffer, event as a new table", target = { max = 190 }, prepare = ring(add_field) },
  { name = "ring buffer, event into a table", prepare = ring(add_field, { into = {} }) },
  { name = "perf buffer, event as values", target = { max = 60 }, prepare = perf(add, { unpack = true }) },
  { name = "perf buffer, event as a new table", prepare = perf(add_field) },
  { name = "perf buffer, event into a table", prepare = perf(add_field, { into = {} }) },
  { name = "per-CPU look-up, sum", target = { ratio = 1.08 }, prepare = percpu_row(sum, "sum") },
  { name = "per-CPU look-up, as a table", target = { ratio = 1.2 }, prepare = percpu_row(look_up, "sum") },
  { name = "process start, Lua alone", unit = "ms", runs = 3, prepare = start_up("") },
  { name = "process start, load, one map", unit = "ms", runs = 3, target = { max = 2 }, prepare = start_up(SCRIPT) },
  { name = "process start, load, one map: peak", unit = "MB", target = { max = 3.5 }, prepare = peak_memory },
}, arg[1] or "")

-- SPDX-License-Identifier: MIT
-- Calls everything that a script can reach with wrong arguments. misuse_spec runs it in a process of its own: a call
-- that crashes ends this process, and the last line of the file named by the first argument says which call it was.
-- Prints what is wrong with the errors that are raised, then how many functions and calls there were.
local record = assert(io.open(arg[1], "w"))
record:setvbuf("no")
local PROGS <const> = arg[2]

local bpf = require("bpf")
local map, btf = bpf.map, bpf.btf

-- Handles -------------------------------------------------------------------------------------------------------------

local function ring()
  return map.create { type = "ringbuf", max_entries = 4096 }
end

local function perf()
  return map.create { type = "perf_event_array", max_entries = 1 }
end

-- Each returns handles by name, of which the first is what its function is named after.
local makers = {
  object = function()
    local obj = assert(bpf.load(PROGS .. "/counters.bpf.o"))
    return { object = obj, maps = obj.maps, progs = obj.progs, vars = obj.vars, ["object's map"] = obj.maps.events,
      prog = obj.progs.count, ["object's btf"] = obj:btf() }
  end,
  unloaded = function()
    local obj = assert(bpf.open(PROGS .. "/counters.bpf.o"))
    return { unloaded = obj, ["unloaded map"] = obj.maps.events, ["unloaded prog"] = obj.progs.count,
      ["unloaded vars"] = obj.vars }
  end,
  link = function()
    local obj = assert(bpf.load(PROGS .. "/counters.bpf.o"))
    return { link = assert(obj.progs.count:attach()), ["link's object"] = obj }
  end,
  map = function()
    return { map = assert(map.create { type = "hash", key = "u32", value = "u64", max_entries = 4 }) }
  end,
  array = function()
    local m = assert(map.create { type = "array", value = "u32", max_entries = 2, flags = "mmapable" })
    return { array = m, view = assert(map.view(m, "u32")) }
  end,
  queue = function()
    return { queue = assert(map.create { type = "queue", value = "u32", max_entries = 2 }) }
  end,
  trie = function()
    return { trie = assert(map.create { type = "lpm_trie", key = "struct { u32 len; u8 data[4]; }", value = "u32",
      max_entries = 2 }) }
  end,
  outer = function()
    return { outer = assert(map.create { type = "hash_of_maps", key = "u32", max_entries = 2,
      inner = { type = "array", value = "u32", max_entries = 1 } }) }
  end,
  jumps = function()
    return { jumps = assert(map.create { type = "prog_array", max_entries = 2 }) }
  end,
  ring = function()
    return { ring = ring() }
  end,
  walk = function()
    local m = assert(map.create { type = "hash", key = "u32", value = "u64", max_entries = 4 })
    map.update(m, 1, 1)
    local _, walk = pairs(m)
    local _, keys = map.keys(m)
    local _, drain = map.drain(m)
    return { walk = walk, ["walk of keys"] = keys, ["drain"] = drain }
  end,
  stream = function()
    local obj = assert(bpf.open(PROGS .. "/iters.bpf.o"))
    for name, prog in pairs(obj.progs) do
      prog:autoload(name == "many_lines")
    end
    if not obj:load() then -- hardened kernels may refuse iterators
      return {}
    end
    local link = assert(obj.progs.many_lines:attach())
    local step, _, _, stream = link:lines()
    return { stream = stream, ["iterator's link"] = link, ["step of lines"] = step }
  end,
  ringbuf = function()
    return { ringbuf = assert(bpf.ringbuf(ring(), "u32", print)) }
  end,
  perfbuf = function()
    return { perfbuf = assert(bpf.perfbuf(perf(), "u32", print)) }
  end,
  user_ringbuf = function()
    local m = map.create { type = "user_ringbuf", max_entries = 4096 } -- needs Linux 6.1
    return { user_ringbuf = m and assert(bpf.user_ringbuf(m, "u32")) }
  end,
  btf = function()
    return { btf = assert(btf.parse("struct misused { int a; char b[4]; };")) }
  end,
  type = function()
    return { type = assert(btf.type("struct misused { int a; char b[4]; }")) }
  end,
  signals = function()
    return { signals = assert(bpf.signals("USR2")) }
  end,
  stats = function()
    return { stats = assert(bpf.enable_stats()) }
  end,
  metrics = function()
    return { metrics = bpf.metrics.new() }
  end,
  progress = function()
    return { progress = bpf.hist.progress("calls") }
  end,
}

local function sorted(t)
  local keys = {}
  for key in pairs(t) do
    keys[#keys + 1] = key
  end
  table.sort(keys, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return keys
end

-- Arguments: { name, value }; those that a maker made can be made again.
local arguments, place, maker_of = {}, {}, {}

local function add(name, value, maker)
  local i = place[name] or #arguments + 1
  arguments[i], place[name], maker_of[i] = { name, value }, i, maker
end

local function make(maker)
  local made = makers[maker]()
  for _, name in ipairs(sorted(made)) do
    add(name, made[name], maker)
  end
end

local hostile = setmetatable({}, {
  __index = function() error("hostile") end,
  __newindex = function() error("hostile") end,
  __pairs = function() error("hostile") end,
  __len = function() error("hostile") end,
  __call = function() error("hostile") end,
  __tostring = function() return "hostile" end,
})

for name, value in pairs { ["true"] = true, ["false"] = false, ["0"] = 0, ["1"] = 1, ["-1"] = -1, ["7.5"] = 7.5,
  ["nan"] = 0 / 0, ["2^31"] = 1 << 31, ["2^40"] = 1 << 40, mininteger = math.mininteger, ["''"] = "", ["'x'"] = "x",
  ["'struct {'"] = "struct {", ["'a NUL'"] = "a\0b", ["'long'"] = ("x"):rep(300), ["{}"] = {}, ["{ 1, 2 }"] = { 1, 2 },
  ["{ x = 1 }"] = { x = 1 }, ["a function"] = function() end, ["a coroutine"] = coroutine.create(print),
  ["a file"] = io.stdout, ["a hostile table"] = hostile } do
  makers["value " .. name] = function()
    return { [name] = value }
  end
end
add("nil", nil)
for _, maker in ipairs(sorted(makers)) do
  make(maker)
end

local closers = { object = "close", unloaded = "close", link = "close", ringbuf = "close", perfbuf = "close",
  user_ringbuf = "close", btf = "close", stats = "close" }
for _, maker in ipairs(sorted(closers)) do
  for name, handle in pairs(makers[maker]()) do
    add(name .. ", closed", handle)
    if name == maker then
      handle[closers[maker]](handle)
    end
  end
end
for _, maker in ipairs { "map", "array", "queue" } do
  for name, handle in pairs(makers[maker]()) do
    add(name .. ", closed", handle)
    if name == maker then
      map.close(handle)
    end
  end
end

-- Functions -----------------------------------------------------------------------------------------------------------

local functions, known = {}, {} -- { name, function }

local function found(name, fn)
  if not known[fn] then
    known[fn] = true
    functions[#functions + 1] = { name, fn }
  end
end

local visited = {}

-- All that is in a table, and in its metatable.
local function search(name, t)
  if visited[t] then
    return
  end
  visited[t] = true
  for _, key in ipairs(sorted(t)) do
    local value = rawget(t, key)
    local inside = name .. "." .. tostring(key)
    if type(value) == "function" then
      found(inside, value)
    elseif type(value) == "table" then
      search(inside, value)
    end
  end
  local meta = getmetatable(t)
  if type(meta) == "table" then
    search("getmetatable(" .. name .. ")", meta)
  end
end

for _, name in ipairs { "compile", "hist", "inspect", "json", "metrics", "pprof", "symbols" } do
  local _ = bpf[name]
end
for _, name in ipairs(sorted(package.loaded)) do
  if name:find("^bpf") and type(package.loaded[name]) == "table" then
    search(name, package.loaded[name])
  elseif name:find("^bpf") and type(package.loaded[name]) == "function" then
    found(name, package.loaded[name])
  end
end
-- the core once more, which gives functions of its own
package.loaded["bpf.core"] = nil
search("core", require("bpf.core"))

-- methods; the debug library tells their names, a script reads them in the reference
for _, meta in pairs(debug.getregistry()) do
  local class = type(meta) == "table" and rawget(meta, "__name")
  if type(class) == "string" and class:find("^bpf%.") then
    local methods = meta.__index
    if type(methods) == "function" then
      methods = select(2, debug.getupvalue(methods, 1))
    end
    if type(methods) == "table" then
      search(class, methods)
    end
  end
end
for i = 1, #arguments do
  if type(arguments[i][2]) == "table" and arguments[i][2] ~= hostile then
    search(arguments[i][1], arguments[i][2])
  end
end
table.sort(functions, function(a, b)
  return a[1] < b[1]
end)

-- what operators do
local operators = {
  ["x[k]"] = function(x, k) return x[k] end,
  ["x[k] = v"] = function(x, k, v) x[k] = v end,
  ["#x"] = function(x) return #x end,
  ["x == y"] = function(x, y) return x == y end,
  ["x < y"] = function(x, y) return x < y end,
  ["x .. y"] = function(x, y) return x .. y end,
  ["-x"] = function(x) return -x end,
  ["x(y)"] = function(x, y) return x(y) end,
  ["x:y(z)"] = function(x, y, z) return x[y](x, z) end,
  ["tostring(x)"] = function(x) return tostring(x) end,
  ["pairs(x)"] = function(x, n)
    local step, state, control = pairs(x)
    for _ = 1, math.type(n) == "integer" and n < 10 and n or 1 do
      control = step(state, control)
    end
    return step
  end,
  ["for x"] = function(x)
    for value in x do
      if value then break end
    end
  end,
  ["close x"] = function(x) local _ <close> = x end,
  ["setmetatable(x, y)"] = function(x, y) return setmetatable(x, y) end,
  ["getmetatable(x)"] = function(x) return getmetatable(x) end,
  ["next(x, y)"] = function(x, y) return next(x, y) end,
  ["table.unpack(x)"] = function(x) return table.unpack(x, 1, 2) end,
  ["table.concat(x)"] = function(x) return table.concat(x) end,
  ["string.format(x)"] = function(x) return ("%s%d"):format(x, x) end,
}
for _, name in ipairs(sorted(operators)) do
  found(name, operators[name])
end


-- Calls ---------------------------------------------------------------------------------------------------------------

-- What is not called, or not with every argument, and why. A function gets the arguments, and says whether to skip.
local function waits(args)
  return math.type(args[2]) ~= "integer" or args[2] ~= 0
end

local WAITS <const> = "waits for a record"
local skipped = {
  ["bpf.base.posix.poll"] = { "waits for a descriptor", waits },
  ["bpf.compile"] = { "starts a compiler", function(args) return type(args[1]) == "string" end },
  ["bpf.compile.files.execute"] = { "starts a shell" },
  ["bpf.log"] = { "its function would be called from here on" },
  ["bpf.printk"] = { "its iterator waits for a line" },
  ["getmetatable(metrics).__index.serve"] = { "serves until a signal comes" },
  ["bpf.metrics.http"] = { "serves until a signal comes" },
  ["bpf.ringbuf.poll"] = { WAITS, waits },
  ["bpf.perfbuf.poll"] = { WAITS, waits },
  ["bpf.signals.poll"] = { "waits for a signal", waits },
  ["bpf.sleep"] = { "sleeps", function(args) return type(args[1]) == "number" and args[1] > 0 end },
  ["bpf.ringbuf.events"] = { WAITS, waits },
  ["bpf.perfbuf.events"] = { WAITS, waits },
  ["bpf.user_ringbuf.submit"] = { WAITS, function(args) return args[3] ~= nil and args[3] ~= 0 end },
}

-- Written in Lua for the library's own use: their errors name its lines, or are for its own functions to complete.
local internal <const> = {
  "^bpf%.base%.", "^bpf%.compile%.", "^bpf%.format%.%l+%.", "^bpf%.hist%.%l+%.", "^bpf%.inspect%.%l+%.",
  "^bpf%.metrics%.%l+%.", "^core$",
}

-- Their errors may be those of a metamethod of an argument, which has no other place; or Lua's own.
local placeless = {}
for _, name in ipairs { "bpf.json", "bpf.hist.linear", "bpf.hist.log2", "bpf.hist.table", "bpf.metrics.enum",
  "next(x, y)", "table.concat(x)", "table.unpack(x)" } do
  placeless[name] = true
end

-- What takes long, and looks at no argument or at the first one alone.
local costly = {}
for _, name in ipairs { "bpf.btf.kernel", "bpf.features.helpers", "bpf.features.kernel", "bpf.features.map_types",
  "bpf.features.prog_types", "bpf.hist.height", "bpf.hist.terminal", "bpf.hist.width", "bpf.symbols.kernel" } do
  costly[name] = true
end

-- After the second argument, some stand for all.
local rest = {}
for _, name in ipairs { "nil", "true", "1", "-1", "'x'", "'a NUL'", "{}", "a function", "map", "object, closed" } do
  rest[#rest + 1] = place[name]
end
local all = {}
for i = 1, #arguments do
  all[i] = i
end

local ALIKE <const> = 3 -- of arguments with the same outcome, this many are followed by a next one

local calls, raised, complaints = 0, 0, {}

local function text_of(name, chosen)
  local list = {}
  for i = 1, #chosen do
    list[i] = arguments[chosen[i]][1]
  end
  return name .. "(" .. table.concat(list, ", ") .. ")"
end

local function complain(kind, name, message)
  local key = kind .. " " .. name
  complaints[key] = complaints[key] or message
end

local HERE <const> = "^" .. debug.getinfo(1, "S").short_src:gsub("%p", "%%%0") .. ":%d+: "

local taken = {} -- how many functions came from one

-- Queues the functions that a call returned; a few stand for all that it returns.
local function take(name, results)
  for i = 2, results.n do
    if type(results[i]) == "function" and (taken[name] or 0) < ALIKE then
      taken[name] = (taken[name] or 0) + 1
      found(name .. ", result", results[i])
    elseif type(results[i]) == "userdata" and results[i] ~= io.stdout then
      local _ = tostring(results[i])
    end
  end
end

local function try(name, fn, chosen)
  local args = { n = #chosen }
  for i = 1, #chosen do
    args[i] = arguments[chosen[i]][2]
  end
  local skip = skipped[name]
  if skip and (not skip[2] or skip[2](args)) then
    return nil
  end
  local first = chosen[1]
  local before = first and maker_of[first] and tostring(args[1])
  calls = calls + 1
  local results = table.pack(pcall(fn, table.unpack(args, 1, args.n))) -- by C, as a script's pcall(fn, …) does
  local result = results[2]
  if results[1] then
    take(name, results)
    if before and tostring(arguments[first][2]) ~= before then
      make(maker_of[first]) -- closed, or loaded: this call has done what it can do
      return nil
    end
    return "ok"
  end
  raised = raised + 1
  if type(result) ~= "string" then
    complain("no text", name, text_of(name, chosen) .. ": " .. tostring(result))
  elseif not placeless[name] and not result:find(HERE) then
    complain("no place", name, text_of(name, chosen) .. ": " .. result)
  elseif result:find("to '?'", 1, true) then
    complain("no name", name, text_of(name, chosen) .. ": " .. result)
  end
  local position = tonumber(tostring(result):match("bad argument #(%d+)"))
  if position and position > #chosen + 2 then -- of those that are left out, the last may be found missing first
    complain("no argument", name, text_of(name, chosen) .. ": " .. result)
  end
  if position and position <= #chosen then
    return nil
  end
  return (tostring(result):gsub("'.-'", ""):gsub("got .*", ""):gsub("%d+", ""))
end

local DEPTH <const> = 4

-- How many arguments a function looks at, at most.
local function depth_of(fn)
  local info = debug.getinfo(fn, "u")
  return info.isvararg and DEPTH or math.min(info.nparams, DEPTH)
end

local function is_internal(name)
  for _, pattern in ipairs(internal) do
    if name:find(pattern) then
      return true
    end
  end
  return false
end

-- Calls a function with each value as the next argument; then goes on from those that made it do something else.
local function explore(name, fn, chosen, depth)
  local n, alike, next_ones = #chosen + 1, {}, {}
  for _, i in ipairs((n <= 2 and not costly[name]) and all or rest) do
    chosen[n] = i
    if n == 1 then
      record:write(text_of(name, chosen), "\n")
    end
    local outcome = try(name, fn, chosen)
    if outcome then
      alike[outcome] = (alike[outcome] or 0) + 1
      if alike[outcome] <= ALIKE then
        next_ones[#next_ones + 1] = i
      end
    end
  end
  for _, i in ipairs(n < depth and next_ones or {}) do
    chosen[n] = i
    if n == 1 then
      record:write(text_of(name, chosen), " and more\n")
    end
    explore(name, fn, chosen, depth)
  end
  chosen[n] = nil
end

local done = 1
while functions[done] do
  local name, fn = functions[done][1], functions[done][2]
  if not is_internal(name) then
    explore(name, fn, {}, depth_of(fn))
  end
  done = done + 1
end
record:close()

for _, key in ipairs(sorted(complaints)) do
  print(key:match("^no %l+") .. ": " .. complaints[key])
end
print(("%d functions, %d calls, %d raised"):format(#functions, calls, raised))

-- SPDX-License-Identifier: MIT
-- Usage: programs.lua [seed [seconds]]
-- Random functions, run by Lua and, as BPF programs, by the kernel: on the same inputs and maps both shall do the same.
-- The first function that differs, or that isn't taken, is made as small as possible and printed. Function n of seed s
-- is the first one of seed s + n - 1.
package.path = "./?.lua;" .. package.path

local bpf = require("bpf")
local undump = require("bpf.program.undump")
local generate = require("spec.support.fuzz.generate")
local tree = require("spec.support.fuzz.tree")

local seed = math.tointeger(tonumber(arg[1] or os.time()))
local seconds = tonumber(arg[2] or 60)
assert(seed and seconds, "usage: programs.lua [seed [seconds]]")

local CONTEXT <const> = "struct io { long a; long b; long r; }"
local INPUTS = {
  0, 1, -1, 2, 5, 8, 63, -100, 255, 1 << 31, 1 << 40, -(1 << 40), 123456789, math.maxinteger, math.mininteger,
}
local SHRINKING <const> = 120 -- seconds, at most

local context = bpf.btf.type(CONTEXT)
local counts = { functions = 0, runs = 0, instructions = 0, size = 0 }

-- Calls a function as pcall does, but passes Ctrl-C on.
local function try(fn, ...)
  local results = table.pack(pcall(fn, ...))
  if not results[1] and tostring(results[2]):find("interrupted!", 1, true) then
    error("interrupted!", 0)
  end
  return table.unpack(results, 1, results.n)
end

-- Maps ----------------------------------------------------------------------------------------------------------------

local function create(options)
  return assert(bpf.map.create(options))
end

local maps = {
  m = create { type = "hash", name = "m", key = "__u32", value = "long", max_entries = 8 },
  a = create { type = "array", name = "a", key = "__u32", value = "long", max_entries = 8 },
  s = create {
    type = "hash", name = "s", key = "__u32", max_entries = 4,
    value = "struct pos { int a; unsigned char b; }; struct cell { long n; struct pos pos; char name[16]; }",
  },
}
local SIZES = { m = 8, a = 8, s = 4 }
local NAMES = { "m", "a", "s" }

-- What is in the maps before each run.
local function fill(of, used)
  if used.m then
    of.m[1], of.m[6] = 10, -3
  end
  if used.s then
    of.s[0] = { n = 7, pos = { a = 40, b = 200 }, name = "abc" }
    of.s[3] = { n = -1, pos = { a = -5, b = 0 }, name = "abcdefghijklmno" }
  end
  if used.a then
    for i = 0, 7 do
      of.a[i] = i * i * 1000 - 3
    end
  end
  return of
end

local function show(value)
  if type(value) == "table" then
    return ("{ n = %d, pos = { a = %d, b = %d }, name = %q }"):format(value.n, value.pos.a, value.pos.b, value.name)
  end
  return tostring(value)
end

-- The first entry that differs, as a message.
local function compare_maps(model, used)
  for _, name in ipairs(NAMES) do
    for i = 0, used[name] and SIZES[name] - 1 or -1 do
      local expected, found = show(model[name][i]), show(maps[name][i])
      if expected ~= found then
        return ("%s[%d] is %s in Lua and %s in the kernel"):format(name, i, expected, found)
      end
    end
  end
end

-- Running -------------------------------------------------------------------------------------------------------------

local function by_lua(fn, model, a, b)
  local c = { a = a, b = b, r = 0 }
  local ok, result = try(fn, c)
  if not ok then
    assert(result:find("attempt to perform 'n", 1, true) or result:find("divide by zero", 1, true), result)
    result = 0 -- as a program ends that divides by zero
  end
  if type(result) ~= "number" then
    result = result and 1 or 0
  end
  return c, result & 0xffffffff, model
end

-- Runs a program on one pair of inputs. Returns a message if it did something else than Lua.
local function run(prog, chunk, used, a, b)
  local model = fill({ m = {}, a = {}, s = {} }, used)
  local c, expected = by_lua(chunk(model.m, model.a, model.s), model, a, b)
  for _, name in ipairs { "m", "s" } do
    if used[name] then
      bpf.map.clear(maps[name])
    end
  end
  fill(maps, used)
  local result, message = prog:run { ctx = context:encode { a = a, b = b, r = 0 } }
  counts.runs = counts.runs + 1
  if not result then
    return "it can't be run: " .. message
  end
  local found = context:decode(result.ctx)
  for _, name in ipairs { "a", "b", "r" } do
    if c[name] ~= found[name] then
      return ("c.%s is %d in Lua and %d in the kernel"):format(name, c[name], found[name])
    end
  end
  if expected ~= result.retval & 0xffffffff then
    return ("it returns %d in Lua and %d in the kernel"):format(expected, result.retval)
  end
  return compare_maps(model, used)
end

local function is_size(message, code)
  return code == "E2BIG" or message:find("too complex", 1, true) or message:find("too large", 1, true)
    or message:find("512", 1, true) or message:find("too many", 1, true)
end

-- A message without what differs from one function to the next.
local function class(message)
  return (message:gsub("'[^']*'", "''"):gsub("[0-9]+", "0"):gsub("R0[^ ]*", "R0"))
end

local GLOBALS = { math = true, pairs = true }

-- Whether a function uses a variable whose declaration is gone.
local function has_globals(proto)
  for pc = 0, proto.last_pc do
    local i = proto.code[pc]
    if i.op == "GETTABUP" and proto.upvalues[i.B].name == "_ENV" and not GLOBALS[proto.constants[i.C].value]
      or i.op == "SETTABUP" and proto.upvalues[i.A].name == "_ENV" then
      return true
    end
  end
  for i = 0, #proto.protos do
    if proto.protos[i] and has_globals(proto.protos[i]) then
      return true
    end
  end
  return false
end

-- Compiles a program and runs it on the inputs. Returns nothing if all is well, or { kind, message, class, a, b }.
local function check(root, inputs)
  local text = tree.text(root)
  local chunk, message = load(text, "=fuzz")
  if not chunk or has_globals(undump.parse(chunk)) then
    return { kind = "is no program of Lua", message = message or "it has globals" }
  end
  local used = {}
  for _, name in ipairs(NAMES) do
    used[name] = text:find(name .. "[[)]") ~= nil -- m[1], pairs(m)
  end
  local ok, prog, why, code = try(bpf.program, "syscall", chunk(maps.m, maps.a, maps.s), { ctx_type = CONTEXT })
  if not ok then
    return { kind = "crashes the compiler", message = tostring(prog), class = class(tostring(prog)) }
  elseif not prog then
    return { kind = is_size(why, code) and "size" or "is refused", message = why, class = class(why) }
  end
  local closing <close> = prog -- luacheck: ignore closing
  counts.instructions = counts.instructions + assert(prog:info()).xlated_prog_len // 8
  for _, a in ipairs(inputs and { inputs.a } or INPUTS) do
    for _, b in ipairs(inputs and { inputs.b } or INPUTS) do
      ok, message = try(run, prog, chunk, used, a, b)
      if not ok then
        return { kind = "raises an error in Lua", message = message }
      elseif message then
        return { kind = "differs", message = message, a = a, b = b }
      end
    end
  end
end

-- Reporting -----------------------------------------------------------------------------------------------------------

local on_terminal = os.execute("[ -t 2 ]")

local function progress(format, ...)
  if on_terminal then
    io.stderr:write("\r\27[K", format:format(...))
  end
end

local function print_counts()
  progress("")
  print(("seed %d: %d functions, %d runs, %d instructions, %d refused for size"):format(seed, counts.functions,
    counts.runs, counts.instructions, counts.size))
end

local function describe(finding)
  return (finding.a and "%s %s, with c.a = %d and c.b = %d" or "%s %s"):format(finding.kind, finding.message,
    finding.a, finding.b)
end

local function report(number, root, finding)
  progress("")
  print(("seed %d, function %d (the first of seed %d) %s:\n\n%s\n"):format(seed, number, seed + number - 1,
    describe(finding), tree.text(root)))
  if not finding.class and not finding.a then
    return -- it isn't the kernel's
  end
  local stop, last = os.time() + SHRINKING, finding
  local done, message = pcall(tree.shrink, root, function()
    progress("shrinking: %d bytes", #tree.text(root))
    local now = os.time() < stop and check(root, finding.a and finding)
    local same = now and now.kind == finding.kind and now.class == finding.class
    last = same and now or last
    return same
  end)
  progress("")
  print(("the smallest that does the same %s:\n\n%s"):format(describe(last), tree.text(root)))
  if not done then
    error(message, 0)
  end
end

-- Checks functions until the time is over. Returns whether all were well.
local function fuzz()
  local started, shown = os.time(), os.time()
  while os.time() - started < seconds do
    counts.functions = counts.functions + 1
    local root = generate(seed + counts.functions - 1)
    local finding = check(root)
    if finding and finding.kind == "size" then
      counts.size = counts.size + 1
    elseif finding then
      report(counts.functions, root, finding)
      return false
    end
    if os.time() ~= shown then
      shown = os.time()
      progress("%d functions, %d runs, %d refused for size", counts.functions, counts.runs, counts.size)
    end
  end
  return true
end

local ok, good = pcall(fuzz)
print_counts()
if not ok and tostring(good):find("interrupted!", 1, true) then
  os.exit(130, true)
elseif not ok then
  error(good, 0)
end
os.exit(good, true)

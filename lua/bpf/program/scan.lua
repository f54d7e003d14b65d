-- SPDX-License-Identifier: MIT
--- Work on all entries of a map, done in the kernel.
-- @module bpf.map
local core = require("bpf.core")
local argument = require("bpf.base.argument")
local Compiler = require("bpf.program.compiler")
local program = require("bpf.program")
local source = require("bpf.program.source")
local types = require("bpf.program.types")
local undump = require("bpf.program.undump")
local values = require("bpf.program.values")
local walk = require("bpf.program.walk")

local throw, error = error, argument.error
local map = core.map

local scan = {}

-- What the program is made of -----------------------------------------------------------------------------------------

local MOST <const> = 8

-- How many results a function has, by its return statements: of a call that it returns, one.
local function results_of(fn)
  local proto, count = undump.parse(fn), 0
  for pc = 0, proto and proto.last_pc or -1 do
    local i = proto.code[pc]
    if i.op == "RETURN1" or i.op == "TAILCALL" then
      count = math.max(count, 1)
    elseif i.op == "RETURN" then
      count = math.max(count, i.B == 0 and 1 or i.B - 1)
    end
  end
  return count
end

-- The functions add and finish mean something in the program only: they add a result to a sum, and store it.
local function add() end
local function finish() end

local function make(m, fn)
  return function()
    local a, b, c, d, e, f, g, h = 0, 0, 0, 0, 0, 0, 0, 0
    for k, v in pairs(m) do
      local r1, r2, r3, r4, r5, r6, r7, r8 = fn(k, v)
      a, b, c, d = add(1, a, r1), add(2, b, r2), add(3, c, r3), add(4, d, r4)
      e, f, g, h = add(5, e, r5), add(6, f, r6), add(7, g, r7), add(8, h, r8)
    end
    finish(1, a) finish(2, b) finish(3, c) finish(4, d)
    finish(5, e) finish(6, f) finish(7, g) finish(8, h)
    return 1
  end
end

Compiler.intrinsics[add] = function(c, arguments)
  local number, sum, v = arguments[1].r, arguments[2], c:materialize(arguments[3])
  if values.is_nil(v) then
    return sum
  end
  local given = c.unit.parameters
  given.results = math.max(given.results, number)
  if v.kind == "optional" then -- nil adds nothing
    local r = c.f:alu("mul", v.r, v.present)
    return c:arithmetic("add", sum, values.integer(r))
  elseif v.kind == "boolean" or v.kind == "constant" and type(v.value) == "boolean" then
    v = values.integer(c:scalar(v))
  elseif v.kind ~= "integer" then
    throw({ placed = true, program = ("%s: result %d is %s: integers and booleans are added up"):format(given.place,
      number, values.describe(v)) }, 0)
  end
  return c:arithmetic("add", sum, v)
end

Compiler.intrinsics[finish] = function(c, arguments)
  local number, sum = arguments[1].r, arguments[2]
  local given = c.unit.parameters
  if number <= given.results then
    c.f:store(c.f:variable(given:variable(c.unit, "sum_" .. number), 0), 0, 8, sum.r)
  end
end

-- Upvalues that are integers, which are given when the program runs: so a scan is compiled once for many limits.
local Parameters = {}
Parameters.__index = Parameters

local function new_parameters(results)
  return setmetatable({ list = {}, by_name = {}, results = results }, Parameters)
end

function Parameters:variable(unit, name)
  local variable = self.by_name[name]
  if not variable then
    variable = { name = unit:variable_name(name), type = types.s64, size = 8, section = ".bss" }
    self.by_name[name] = variable
    unit.variables[#unit.variables + 1] = variable
  end
  return variable
end

function Parameters:value(unit, fn, n)
  for _, parameter in ipairs(self.list) do
    if parameter.fn == fn and parameter.n == n then
      return parameter
    end
  end
  local parameter = { kind = "parameter", fn = fn, n = n, index = 0, name = "parameter_" .. #self.list + 1 }
  parameter.variable = self:variable(unit, parameter.name)
  self.list[#self.list + 1] = parameter
  return parameter
end

-- Keeping what was compiled -------------------------------------------------------------------------------------------

local compiled = setmetatable({}, { __mode = "k" }) -- { map → list of scans }

-- The upvalues of a function that a scan was compiled for; integers may differ.
local function upvalues_of(fn)
  local list, n = {}, 0
  while true do
    local name, value = debug.getupvalue(fn, n + 1)
    if not name then
      return list, n
    end
    n = n + 1
    list[n] = math.type(value) == "integer" and "integer" or value
  end
end

local function same_upvalues(a, b, count)
  for n = 1, count do
    if not rawequal(a[n], b[n]) then
      return false
    end
  end
  return true
end

-- The scan of this function that was compiled before, or nil.
local function find(m, code, upvalues, count)
  for _, s in ipairs(compiled[m] or {}) do
    if s.code == code and same_upvalues(s.upvalues, upvalues, count) then
      return s
    end
  end
  return nil
end

-- Compiles and loads. Nil, message, code where the kernel refuses it.
local function compile(m, fn, code, upvalues, results)
  if map.info(m).column then
    error("map.scan: a column is for scripts: scan the map itself", 3)
  end
  local parameters, made = new_parameters(results), debug.getinfo(fn, "S")
  parameters.place = ("%s:%d"):format(source.chunk_name(made.source), made.linedefined)
  local list = { { name = "scan", section = "raw_tp/scan", fn = make(m, fn) } }
  local own = { parameters = parameters, level = 5 }
  local obj, message, errno = program.load_programs("map.scan", list, own, { name = "scan" })
  if not obj then
    return nil, message, errno
  end
  local s = { code = code, upvalues = upvalues, fn = fn, obj = obj, prog = obj.progs.scan, vars = obj.vars,
    parameters = parameters.list, results = parameters.results }
  compiled[m] = compiled[m] or {}
  table.insert(compiled[m], s)
  return s
end

-- Running -------------------------------------------------------------------------------------------------------------

local function run(s, fn)
  local vars = s.vars
  for _, parameter in ipairs(s.parameters) do
    local of = parameter.fn == s.fn and fn or parameter.fn
    vars[parameter.variable.name] = select(2, debug.getupvalue(of, parameter.n))
  end
  local result, message, code = s.prog:run {}
  if not result then
    return nil, message, code
  elseif result.retval ~= 1 then
    error("map.scan: the function ended at an entry, by an error, an assertion, or a division by 0", 2)
  end
  local sums = {}
  for n = 1, s.results do
    sums[n] = vars["sum_" .. n]
  end
  return table.unpack(sums, 1, s.results)
end

-- How each type of map is scanned: those without a row in the kernel.
local WAYS = {
  lpm_trie = "walk", array_of_maps = "walk", hash_of_maps = "walk",
  percpu_hash = "percpu", percpu_array = "percpu", lru_percpu_hash = "percpu",
  hash = "kernel", lru_hash = "kernel", array = "kernel",
}

local function way_of(m)
  local kind = map.type(m)
  local way = WAYS[kind]
  if way == "percpu" then
    error(("map.scan: the kernel would see the values of one CPU of a %s: use pairs and map.sum"):format(kind), 3)
  elseif not way then
    error(("map.scan: a map of type %s has no entries to scan"):format(kind), 3)
  end
  local _, value = map.types(m)
  return value and types.of(value).lock and "walk" or way -- raw tracepoints can't have maps with locks
end

local lacking -- whether this kernel has been found to lack the helper

--- Runs a function in the kernel for each entry of a map, once, and adds up what it returns. The function is compiled
-- as a [program](programs-in-lua.md#count-and-scan-maps). It may delete the entry, change its members, and write into
-- other maps. Its upvalues are constants, except for integers: these may differ from call to call, and the program is
-- compiled only once.
--
-- The result is exact only while nobody else deletes entries. On kernels before 5.13, and for LPM tries, maps of
-- maps and maps whose values have a `bpf_spin_lock`, the function runs in the script, in an iteration as by `pairs`.
-- The result is the same, but changes are not atomic.
-- @function bpf.map.scan
-- @tparam bpf.map m a hash, an array or an LPM trie; a map of another type, or a per-CPU map, raises an error
-- @tparam function fn called with key and value; the value of a struct is a reference to the entry
-- @treturn integer the sum of the first results, then that of the second ones, and so on: as many as the function
-- returns, up to 8
-- @treturn nil,string,string when the kernel refuses the program: EPERM (CAP_BPF and CAP_PERFMON are missing). A
-- function that can't be compiled raises an error
-- @see bpf_for_each_map_elem
-- @since kernel 5.13 in the kernel
-- @usage
-- local flows <close> = assert(bpf.map.create {
--   type = "hash", max_entries = 64, key = "__u32", value = "struct flow { __u64 bytes; __u64 last; }",
-- })
-- flows[1], flows[2] = { bytes = 100, last = 5 }, { bytes = 20, last = 9 }
-- local limit = 7
-- local old, bytes = bpf.map.scan(flows, function(k, v)
--   if v.last < limit then
--     local bytes = v.bytes -- a deleted entry isn't to be read any more
--     flows[k] = nil
--     return 1, bytes
--   end
-- end)
-- print(old, bytes, flows[1]) --> 1   100   nil
function scan.scan(m, fn)
  if not map.type(m) then
    argument.check(1, "scan", m, "bpf.map", 2)
  end
  argument.check(2, "scan", fn, "function")
  local way = way_of(m)
  local dumped, code = pcall(string.dump, fn)
  if not dumped then
    error("map.scan: the function is written in C, and only functions written in Lua have bytecode", 2)
  end
  local results = results_of(fn)
  if results > MOST then
    error(("map.scan: the function returns %d results, and up to %d are added up"):format(results, MOST), 2)
  elseif way == "walk" or lacking then
    return walk.scan(m, fn, results)
  end
  local upvalues, count = upvalues_of(fn)
  local s, message, errno = find(m, code, upvalues, count), nil, nil
  if not s then
    s, message, errno = compile(m, fn, code, upvalues, results)
  end
  if s then
    return run(s, fn)
  elseif core.features.helper("raw_tracepoint", "for_each_map_elem") == false and errno ~= "EPERM" then
    lacking = true
    return walk.scan(m, fn, results)
  elseif errno == "EINVAL" and message:find("^map%.scan: .-:%d+: ") then
    error(message, 2)
  end
  return nil, message, errno
end

return scan

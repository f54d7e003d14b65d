-- SPDX-License-Identifier: MIT
--- Adding to an entry from a script, atomically: by a small program in the kernel, one for each map.
-- @module bpf.map
local core = require("bpf.core")
local argument = require("bpf.base.argument")
local Compiler = require("bpf.program.compiler")
local ir = require("bpf.program.ir")
local program = require("bpf.program")
local types = require("bpf.program.types")

local error = argument.error
local map = core.map

local add = {}

-- The words of a raw tracepoint's context: the key in the first ones, the amount in the last.
local WORDS <const> = 12
local AMOUNT <const> = 8 * (WORDS - 1)

-- The program: it brings the key to the stack, and adds.
local function build(m)
  return function(of, name)
    local f, info = ir.new(name), of:info_of(m)
    f:start(f:block())
    local c = setmetatable({ f = f, unit = of, memo = Compiler.new_memo(), made = 0, pc = 0 }, Compiler)
    c.root = c
    local context = f:parameter(1)
    local key = f:object(info.key_size)
    for at = 0, key.size - 8, 8 do
      f:store(key, at, 8, f:load(context, at, 8))
    end
    c:add_to_entry(m, info, { object = key, offset = 0 }, f:load(context, AMOUNT, 8))
    f:exit(0)
    return f
  end
end

local function check_map(m)
  local open, key, value = pcall(map.types, m)
  if not open then
    error((tostring(key):gsub("^.-:%d+: ", "", 1)), 4)
  end
  local form = value and types.of(value)
  local why = Compiler.not_addable({ value = form })
  if not key or why then
    error("map.add: " .. (why or ("a map of type %s has no keys"):format(map.type(m))), 4)
  elseif key:size() > AMOUNT then
    error(("map.add: keys may have %d bytes, these have %d"):format(AMOUNT, key:size()), 4)
  end
  return key
end

local adders = setmetatable({}, { __mode = "k" }) -- { map → { prog, key } }

-- The program of a map. Nil, message, code if the kernel refuses it.
local function adder_of(m)
  local adder = adders[m]
  if not adder then
    local key = check_map(m)
    local list = { { name = "add", section = "raw_tp/add", build = build(m) } }
    local obj, message, code = program.load_programs("map.add", list, { level = 5 }, { name = "add" })
    if not obj then
      return nil, message, code
    end
    adder = { obj = obj, prog = obj.progs.add, key = key }
    adders[m] = adder
  end
  return adder
end

--- Adds to the value of an entry in one step: it loses no addition of a program, another process or another CPU. If the
-- key is absent, inserts the entry. In a per-CPU map, adds to the value of the CPU that the call runs on.
-- In a program, it has no result. From a script, the first call for a map loads a small program.
-- @function bpf.map.add
-- @tparam bpf.map m a hash or an array whose values are integers of 4 or 8 bytes; from a script, keys have up to 88
-- bytes
-- @param k the key
-- @tparam ?integer n what to add, 1 by default
-- @treturn true
-- @treturn nil,string,string on failure: EPERM (loading the program takes CAP_BPF and CAP_PERFMON), …
-- @since kernel 5.10
-- @usage
-- local hits <close> = assert(bpf.map.create { type = "hash", max_entries = 64, key = "__u32", value = "__u64" })
-- bpf.map.add(hits, 80)
-- bpf.map.add(hits, 80, 5)
-- print(hits[80]) --> 6
function add.add(m, k, n)
  if not map.type(m) then
    argument.check(1, "add", m, "bpf.map", 2)
  elseif n ~= nil then
    argument.check(3, "add", n, "integer", 2)
  end
  local adder, message, code = adder_of(m)
  if not adder then
    return nil, message, code
  end
  local fits, bytes = pcall(adder.key.encode, adder.key, k)
  if not fits then
    error((tostring(bytes):gsub("^.-value", "key", 1)), 3)
  end
  local context = bytes .. ("\0"):rep(AMOUNT - #bytes) .. string.pack("=i8", n or 1)
  local done
  done, message, code = adder.prog:run { ctx = context }
  return done and true or nil, message, code
end

return add

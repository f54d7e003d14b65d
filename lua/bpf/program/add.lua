-- SPDX-License-Identifier: MIT
--- Adding to an entry from a script, atomically: by a small program in the kernel, one for each map. What is in this
-- process's memory is added to in C.
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

-- The program: it brings the key to the stack, and adds. It returns whether there was no place for the entry.
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
    local failed = f:block()
    c:add_to_entry(m, info, { object = key, offset = 0 }, f:load(context, AMOUNT, 8), failed)
    f:exit(0)
    f:start(failed)
    f:exit(1)
    return f
  end
end

-- The type of the keys. Raises for maps that can't be added to; the level is that of the caller of the public function.
local function check_map(m, level)
  local open, key, value = pcall(map.types, m)
  if not open then
    error((tostring(key):gsub("^.-:%d+: ", "", 1)), level)
  end
  local form = value and types.of(value)
  local why = Compiler.not_addable({ value = form })
  if not key or why then
    error("map.add: " .. (why or ("a map of type %s has no keys"):format(map.type(m))), level)
  elseif key:size() > AMOUNT then
    error(("map.add: keys may have %d bytes, these have %d"):format(AMOUNT, key:size()), level)
  end
  return key
end

local adders = setmetatable({}, { __mode = "k" }) -- { map → { prog, key } }

local HINT <const> = "; a program that another process has pinned serves as well: bpf.map.adder"

-- The map's name for messages, and whether it is an array.
local function map_name(m)
  local info = map.info(m)
  return info.name ~= "" and info.name or info.type, info.type:find("array", 1, true)
end

-- The program of a map. Nil, message, code if the kernel refuses it.
local function adder_of(m)
  local adder = adders[m]
  if not adder then
    local key = check_map(m, 4)
    local list = { { name = "add", section = "raw_tp/add", build = build(m) } }
    local obj, message, code = program.load_programs("map.add", list, { level = 5 }, { name = "add" })
    if not obj then
      return nil, code == "EPERM" and message .. HINT or message, code
    end
    adder = { obj = obj, prog = obj.progs.add, key = key }
    adders[m] = adder
  end
  return adder
end

--- Adds to the value of an entry in one step: it loses no addition of a program, another process or another CPU. If the
-- key is absent, inserts the entry. In a per-CPU map, adds to the value of the CPU that the call runs on.
-- In a program, it has no result.
--
-- From a script, an addition to an array created with the flag "mmapable", and to a global variable, takes no system
-- call. For other maps, the first call loads a small program; a process that may not load programs needs `map.adder`.
-- @function bpf.map.add
-- @tparam bpf.map|table m a hash or an array whose values are integers of 4 or 8 bytes; from a script, keys have up to
-- 88 bytes. Or from a script, the variables `obj.vars` of an object
-- @param k the key, or the name of the variable
-- @tparam ?integer n what to add, 1 by default
-- @treturn true
-- @treturn nil,string,string on failure: EPERM (loading the program takes CAP_BPF and CAP_PERFMON), E2BIG (full, or no
-- such slot), …
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
  if done and done.retval ~= 0 then
    local name, slots = map_name(m)
    local why = slots and "no such slot" or "full, or the kernel found no memory for one more entry"
    return nil, ("map '%s': add: %s (E2BIG)"):format(name, why), "E2BIG"
  end
  return done and true or nil, message, code
end

-- Whether a program uses this map.
local function uses(prog, m)
  local id = map.info(m).id
  for _, used in ipairs(prog:info().map_ids) do
    if used == id then
      return true
    end
  end
  return false
end

--- Returns the program by which `map.add` adds to a map from scripts, and loads it if need be. A process with the
-- privileges pins it; one without them uses the pin, and then adds without loading anything. The pin's permissions
-- decide who may. Running the program takes CAP_BPF before Linux 5.19.
-- @function bpf.map.adder
-- @tparam bpf.map m as for `map.add`; types of C that this process may not read come from `map.typed`
-- @tparam ?string path of a pin of the program: `map.add` uses that program for this handle from now on
-- @treturn bpf.prog the program
-- @treturn nil,string,string on failure: EPERM (loading the program takes CAP_BPF and CAP_PERFMON), ENOENT, EINVAL (the
-- pin of something else), …
-- @since kernel 5.10
-- @usage
-- local hits <close> = assert(bpf.map.create { type = "hash", max_entries = 64, key = "__u32", value = "__u64" })
-- print(bpf.map.adder(hits):info().type) --> raw_tracepoint
function add.adder(m, path)
  if not map.type(m) then
    argument.check(1, "adder", m, "bpf.map", 2)
  elseif path == nil then
    local adder, message, code = adder_of(m)
    return adder and adder.prog, message, code
  end
  argument.check_path(2, "adder", path, 2)
  local key = check_map(m, 3)
  local prog, message, code = core.prog.open(path)
  if not prog then
    return nil, message, code
  elseif not uses(prog, m) then
    prog:close()
    local text = "map.adder '%s': this program doesn't add to the map '%s' (EINVAL)"
    return nil, text:format(path, map_name(m)), "EINVAL"
  end
  adders[m] = { prog = prog, key = key }
  return prog
end

return add

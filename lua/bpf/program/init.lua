-- SPDX-License-Identifier: MIT
--- BPF programs written in Lua: from functions to objects.
-- @module bpf
local core = require("bpf.core")
local argument = require("bpf.base.argument")
local Compiler = require("bpf.program.compiler")
local contexts = require("bpf.program.contexts")
local declared = require("bpf.program.declared")
local elf = require("bpf.program.elf")
local emit = require("bpf.program.emit")
local opt = require("bpf.program.opt")
local scratch = require("bpf.program.scratch")
local source = require("bpf.program.source")
local types = require("bpf.program.types")
local unit = require("bpf.program.unit")
local values = require("bpf.program.values")

for _, part in ipairs { "memory", "relocation", "strings", "arithmetic", "joins", "analyse", "inline", "index",
  "compare", "ops", "maps", "calls", "intrinsics" } do
  require("bpf.program." .. part)
end
local later = require("bpf.program.later")

local error = argument.error

local M = {}

-- Compiling -----------------------------------------------------------------------------------------------------------

-- The compiler of a program's own function.
local function root_compiler(of, name, fn, section, probe)
  local proto, why = of:proto_of(fn)
  if not proto then
    error({ program = why }, 0)
  end
  local found, start, place, sleepable = pcall(contexts.find, section)
  if not found then
    error({ program = ("%s:%d: %s"):format(source.chunk_name(proto.source), proto.line, start.program) }, 0)
  end
  local c = setmetatable({
    proto = proto, unit = of, outlined = of:outlined_of(proto), memo = Compiler.new_memo(), depth = 0, made = 0, pc = 0,
    function_name = name, section = section, sleepable = sleepable, only_result = contexts.only_result(section),
    traced = probe,
  }, Compiler)
  c.root = c
  function c.prologue() c.context = c.f:parameter(1) end
  function c.start_state()
    if probe and probe.enter then
      probe.enter(c)
    end
    local state = (probe and probe.start or start)(c, place)
    for n = 0, proto.parameters - 1 do
      state[n] = state[n] or values.NIL
    end
    return state
  end
  function c.upvalue_value(n) return of:upvalue(fn, n) end
  return c
end

local RESTARTS <const> = 100

-- The intermediate code of a program. A loop that turns out to need a function of its own starts it all again.
local function compile_function(of, row)
  for _ = 1, RESTARTS do
    local c = root_compiler(of, row.name, row.fn, row.section, row.probe)
    if c.proto.vararg then
      c:fail("the function of a program can't have '...', which a loaded chunk has: return a function from the chunk")
    end
    local ok, result = pcall(c.compile, c, 0)
    if ok then
      return result
    elseif type(result) == "table" and result.program and not result.placed then
      c:fail("%s", result.program)
    elseif type(result) ~= "table" or not result.restart then
      error(result, 0)
    end
  end
  error("the loops of a program never settle", 0)
end

-- Simplifies a function, and those that it calls.
local function simplify(f)
  if f.simple then
    return
  end
  opt.simplify(f)
  for _, block in ipairs(f.blocks) do
    for _, i in ipairs(block.instructions) do
      for _, given in ipairs(i.arguments or {}) do
        if type(given) == "table" and given.func then
          simplify(given.func)
        end
      end
    end
  end
end

-- Makes instructions of a function, and of those that it calls, and appends them to the list.
local function finish(f, functions)
  if f.code then
    return
  end
  opt.run(f)
  emit.run(f)
  functions[#functions + 1] = f
  for _, relocation in ipairs(f.relocations) do
    if relocation.func then
      finish(relocation.func, functions)
    end
  end
end

-- Makes instructions of a program, and appends its functions to the list. `memory` is its scratch.
local function compile_program(of, row, functions, memory)
  local f = row.build and row.build(of, row.name) or compile_function(of, row)
  simplify(f)
  if scratch.move(f, memory) then
    of:add_scratch(memory, row.name)
  end
  local own = {}
  finish(f, own)
  if not memory.all then -- some kernels have more, all functions together
    scratch.check(f)
  end
  table.move(own, 1, #own, #functions + 1, functions)
  return f
end

local ATTEMPTS <const> = 3

-- The same. How much stack a program takes is known at the end: if that is too much, it is compiled again with memory
-- for what its functions share, and then for all objects that may be there.
local function fit_program(of, row, functions)
  local names, result = of:copy_names(), nil
  for attempt = 1, ATTEMPTS do
    local memory = scratch.new(contexts.preempted(row.section), attempt > 1, attempt == ATTEMPTS)
    of.scratch, of.function_names = memory, names
    names = of:copy_names()
    local ok
    ok, result = pcall(compile_program, of, row, functions, memory)
    if ok then
      return result
    elseif type(result) ~= "table" or not result.stack then
      break
    end
  end
  error(result, 0)
end

-- Which maps the functions use, in the order of their use, as the object's definitions.
local function definitions_of(of, functions)
  local list, seen = {}, {}
  local function add(m)
    if m and not seen[m] then
      seen[m] = true
      list[#list + 1] = of:definition_of(m)
    end
  end
  for _, f in ipairs(functions) do
    for _, relocation in ipairs(f.relocations) do
      add(relocation.map)
    end
  end
  for _, m in ipairs(of.required) do
    add(m)
  end
  return list
end

-- Compiles programs, a sequence of { name, section, fn }. Returns { name, section, func } of each, their functions and
-- those that these call, and what they share. A row may have `build` instead, which makes the intermediate code itself,
-- and `probe`, what a trace knows of it, whose `start` takes the place of the section's own, and whose `enter` compiles
-- what comes before all else.
local function compile_all(list, options)
  local of = unit.new(options)
  local programs, functions = {}, {}
  for n, row in ipairs(list) do
    local name = of:function_name(row.name)
    row.name = name
    programs[n] = { name = name, section = row.section, func = fit_program(of, row, functions) }
  end
  return programs, functions, of
end

M.compile_all = compile_all

-- Compiles programs. Returns the object's bytes, and its maps by name.
local function assemble(list, options)
  local programs, functions, of = compile_all(list, options)
  local definitions, maps = definitions_of(of, functions), {}
  for _, definition in ipairs(definitions) do
    local own = declared.is(definition.map) or of.scratches[definition.map]
    maps[definition.name] = not own and definition.map or nil
  end
  local bytes = elf.build {
    programs = programs, maps = definitions, variables = of.variables, license = options.license,
    place = function(line) return of:place(line) end, context = function() end,
  }
  return bytes, maps, of
end

-- Arguments -----------------------------------------------------------------------------------------------------------

local OPTIONS = { license = "string", name = "string", ctx_type = "type", maps = "table" }

local function read_option(fname, name, value)
  local expected = OPTIONS[name]
  if expected ~= "type" then
    if expected and type(value) ~= expected then
      error(("%s: option '%s' must be a %s, got %s"):format(fname, name, expected, type(value)), 4)
    elseif expected == "string" and value:find("\0", 1, true) then
      error(("%s: option '%s' has a NUL byte in it"):format(fname, name), 4)
    end
    return value
  end
  local ok, ctype = pcall(core.btf.type, value)
  if not ok then
    error(("%s: option '%s': %s"):format(fname, name, tostring(ctype):gsub("^.-: ", "")), 4)
  end
  return ctype
end

-- Parts the compiler's options from those of bpf.load, which checks the others.
local function read_options(fname, options)
  if options ~= nil and type(options) ~= "table" then
    error(("%s: options must be a table, got %s"):format(fname, type(options)), 3)
  end
  local own, of_load = {}, {}
  for name, value in pairs(options or {}) do
    local checked = read_option(fname, name, value)
    if OPTIONS[name] and name ~= "maps" then
      own[name] = checked
    else
      of_load[name] = value
    end
  end
  of_load.name = own.name or "lua"
  return own, of_load
end

-- Checks a program's section and function; `name` is nil for the only one.
local function check_program(fname, name, section, fn, level)
  if type(section) ~= "string" then
    error(("%s: the section%s must be a string, got %s"):format(fname, name and (" of '%s'"):format(name) or "",
      type(section)), level)
  elseif type(fn) ~= "function" then
    error(("%s: %s must be a function, got %s"):format(fname, name and ("'%s'"):format(name)
      or "what stands behind the section", type(fn)), level)
  end
end

local LONGEST_NAME <const> = 63

-- The programs of a table { name = { section, fn } }, sorted by name.
local function read_programs(fname, programs)
  if type(programs) ~= "table" then
    error(("%s: a table of programs is expected, got %s"):format(fname, type(programs)), 3)
  end
  local list = {}
  for name, row in pairs(programs) do
    if type(name) ~= "string" or type(row) ~= "table" then
      error(fname .. ": programs are given as { name = { section, function } }", 3)
    elseif not name:find("^[A-Za-z_][A-Za-z_0-9]*$") or #name > LONGEST_NAME then
      error(("%s: '%s' can't be the name of a program: up to %d letters, digits and underscores can"):format(fname,
        name, LONGEST_NAME), 3)
    end
    check_program(fname, name, row[1], row[2], 4)
    list[#list + 1] = { name = name, section = row[1], fn = row[2] }
  end
  if not list[1] then
    error(fname .. ": there is no program", 3)
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  return list
end

-- nil, message, code of an error of the compiler's; others are raised.
local function compile_failure(fname, failure)
  if type(failure) == "table" and failure.program then
    return nil, ("%s: %s"):format(fname, failure.program), "EINVAL"
  end
  error(failure, 0)
end

-- Loads an object's bytes. Wrong options are the errors of a caller `level` levels up.
local function load_bytes(fname, bytes, options, level)
  local results = table.pack(pcall(core.load, { bytes = bytes }, options))
  if not results[1] then
    local message = tostring(results[2]):gsub("^.-bpf%.load: ", fname .. ": ")
    error((message:gsub("%(options: ", "%0license, ctx_type, ")), level)
  end
  return table.unpack(results, 2, results.n)
end

-- Compiles a list of programs. Returns what `load_compiled` takes; or nil, message, code.
local function compile_programs(fname, list, own)
  local ok, bytes, maps, of = pcall(assemble, list, own)
  if not ok then
    return compile_failure(fname, bytes)
  end
  return { bytes = bytes, maps = maps, of = of }
end

-- Loads what was compiled, any number of times. Returns the object; or nil, message, code and the verifier's log.
local function load_compiled(fname, compiled, of_load, level)
  local given = {}
  for _, maps in ipairs { compiled.maps, of_load.maps or {} } do
    for name, m in pairs(maps) do
      given[name] = m
    end
  end
  of_load.maps = given
  local obj, message, code, log = load_bytes(fname, compiled.bytes, of_load, level)
  if not obj then
    return nil, later.part("refusal").explain(fname, message, log, compiled.of), code, log
  end
  return obj
end

M.compile_programs, M.load_compiled = compile_programs, load_compiled

-- Compiles and loads. Returns the object; or nil, message, code and the verifier's log.
local function load_programs(fname, list, own, of_load)
  local compiled, message, code = compile_programs(fname, list, own)
  if not compiled then
    return nil, message, code
  end
  local obj, why, number, log = load_compiled(fname, compiled, of_load, (own.level or 4) + 1)
  if not obj then
    return nil, why, number, log
  end
  return obj -- and no tail call, which would take a level from the errors
end

M.load_programs = load_programs

-- The functions -------------------------------------------------------------------------------------------------------

--- Compiles functions into BPF programs and loads them as one object. [Programs in Lua](programs-in-lua.md) tells what
-- the functions may do.
-- @in bpf.program
-- @tparam table programs `{ name = { section, function }, … }`. The section is what C gives to `SEC()`:
-- "tracepoint/sched/sched_switch", "xdp"
-- @tparam ?table options what bpf.open takes, except `kconfig` and `btf`, and
-- - license: string, the license that the kernel gets to know, "GPL" by default; many helpers want "GPL"
-- - name: string, the name of the object, "lua" by default
-- - ctx_type: string or bpf.type, the C type of the context of programs of section "syscall"
-- - vars: `{ name = value }`, initial values of global variables
-- - maps: `{ name = … }`, settings of maps, or maps that are used in their place
-- - autoload: `{ name = false }`, programs that are not loaded
-- - pin_root, pin_any_type, token_path: as for bpf.open
-- @treturn bpf.object the loaded object; its `progs` has the programs by their names
-- @treturn nil,string,string,string when a function can't be compiled (EINVAL) or the kernel refuses a program. The
-- message has the script's file and line; the log is the verifier's complete output, nil for what can't be compiled
-- @see bpf.program, bpf.assemble
-- @usage
-- local obj <close> = assert(bpf.programs {
--   pass = { "xdp", function() return 2 end },
--   drop = { "xdp", function() return 1 end },
-- })
-- print(obj.progs.pass:section()) --> xdp
function M.programs(programs, options)
  local list = read_programs("bpf.programs", programs)
  local own, of_load = read_options("bpf.programs", options)
  local obj, message, code, log = load_programs("bpf.programs", list, own, of_load)
  if not obj then
    return nil, message, code, log
  end
  return obj -- and no tail call, which would take a level from the errors
end

--- Compiles one function into a BPF program and loads it. The program owns its object: `prog:close()` and `<close>`
-- close the object as well.
-- @in bpf.program
-- @tparam string section what C gives to `SEC()`, such as "tracepoint/sched/sched_switch"
-- @tparam function fn what the program does; [Programs in Lua](programs-in-lua.md) tells what it may do
-- @tparam ?table options as for bpf.programs; `name` names the program, too
-- @treturn bpf.prog the loaded program
-- @treturn nil,string,string,string as from bpf.programs
-- @see bpf.programs
-- @usage
-- local drop <close> = assert(bpf.program("xdp", function() return 1 end))
-- print(drop:run { data = ("\0"):rep(64) }.retval) --> 1
function M.program(section, fn, options)
  local name = type(options) == "table" and type(options.name) == "string" and options.name or "lua"
  check_program("bpf.program", nil, section, fn, 3)
  local own, of_load = read_options("bpf.program", options)
  local list = { { name = name, section = section, fn = fn } }
  local obj, message, code, log = load_programs("bpf.program", list, own, of_load)
  if not obj then
    return nil, message, code, log
  end
  return core.prog.own(obj.progs[list[1].name])
end

-- Takes the option `btf` of bpf.assemble off the rest, of which nothing else may be left. Returns a handle or nil; or
-- nil, message, code.
local function read_btf(others)
  local path = others.btf
  others.btf = nil
  local unknown = next(others)
  if unknown then
    error(("bpf.assemble: there is no option '%s' (options: btf, ctx_type, license)"):format(tostring(unknown)), 3)
  elseif path ~= nil and type(path) ~= "string" then
    error(("bpf.assemble: option 'btf' must be a string, got %s"):format(type(path)), 3)
  elseif not path then
    return nil
  end
  local handle, message, code = core.btf.file(path)
  if not handle then
    return nil, "bpf.assemble: " .. message, code
  end
  return handle
end

--- Compiles functions into the bytes of a BPF object and does not load it. Written to a file, the object can be loaded
-- by any program that uses libbpf, such as bpftool.
--
-- The object can be loaded on other kernels than the one it was compiled for (CO-RE): libbpf puts in the offsets and
-- sizes that structs of the kernel have there. This is so for members, bit-fields, arrays and strings in structs of the
-- kernel, and for records of tracepoints. These stay as they are where the object is compiled:
-- - values of enums and other constants
-- - the length of arrays, and the size of structs that are copied as a whole
-- - the arguments of functions and tracepoints, and their order
-- - where the registers of kprobes and uprobes are, because objects are for one architecture
--
-- No privileges are needed. Without those to read tracefs, records of tracepoints are found by the tracepoint's name in
-- BTF, and those of system calls have the members `id` and `args`, or `ret`.
--
-- If the kernel that loads the object lacks a member, the verifier refuses the program that reads the member, unless
-- the program asks by `bpf.has` first.
-- @in bpf.program
-- @tparam table programs as for bpf.programs
-- @tparam ?table options
-- - license: string, as for bpf.programs
-- - ctx_type: string or bpf.type, as for bpf.programs
-- - btf: string, a file with the BTF of a kernel, such as /sys/kernel/btf/vmlinux, that the programs are compiled for;
--   by default the running kernel's
-- @treturn string the bytes of the ELF object
-- @treturn table the maps that exist and that the programs use, by their names in the object. Without them in their
-- places, libbpf creates maps of the same kinds, and creates those of map.declare anyway
-- @treturn nil,string,string when a function can't be compiled (EINVAL)
-- @see bpf.load, bpf.map.declare, bpf.has
-- @usage
-- local bytes = assert(bpf.assemble { pass = { "xdp", function() return 2 end } })
-- local obj <close> = assert(bpf.load { bytes = bytes })
function M.assemble(programs, options)
  local list = read_programs("bpf.assemble", programs)
  local own, others = read_options("bpf.assemble", options)
  others.name = own.name -- which is bpf.load's
  local handle, why, code = read_btf(others)
  if why then
    return nil, why, code
  end
  local ok, bytes, maps = types.relocated(handle, assemble, list, own)
  if handle then
    handle:close()
  end
  if not ok then
    return compile_failure("bpf.assemble", bytes)
  end
  return bytes, maps
end

return M

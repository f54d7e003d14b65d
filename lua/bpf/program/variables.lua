-- SPDX-License-Identifier: MIT
--- Global variables of programs written in Lua.
-- @module bpf
local core = require("bpf.core")
local argument = require("bpf.base.argument")
local types = require("bpf.program.types")

local error = argument.error

local variables = {}

local Variable = { __name = "bpf.var" }

function Variable.__index(_, name)
  error(("a global variable is read as obj.vars has it, with its member '%s'"):format(tostring(name)), 2)
end

function Variable.__newindex(_, name)
  error(("a global variable is set as obj.vars has it, with its member '%s'"):format(tostring(name)), 2)
end

function Variable:__tostring()
  return "bpf.var: " .. rawget(self, "type"):name()
end
Variable.__metatable = false

--- Makes a global variable for programs. A function that has the variable as an upvalue reads and assigns its members.
-- A script reads and sets it as `obj.vars`, by the name of the upvalue, without a system call.
-- @in bpf.program
-- @function bpf.var
-- @tparam string|bpf.type type a struct
-- @tparam ?table value what the variable holds when the object is loaded; zeros by default
-- @treturn table the variable, for a function's upvalue
-- @see bpf.programs
-- @usage
-- local total = bpf.var "struct { __u64 packets; }"
-- local obj <close> = assert(bpf.programs {
--   count = { "xdp", function()
--     total.packets = total.packets + 1
--     return 2
--   end },
-- })
-- obj.progs.count:run { data = ("\0"):rep(64), repeat_ = 10 }
-- print(obj.vars.total.packets) --> 10
function variables.var(type, value)
  local ctype = type
  if _G.type(type) == "string" then
    ctype = core.btf.type(type)
  end
  local ok, layout = pcall(function() return ctype:layout() end)
  if not ok or layout.kind ~= "struct" then
    error("bpf.var: a struct is expected: its members are what a program assigns", 2)
  end
  local bytes = value ~= nil and ctype:encode(value) or nil
  return setmetatable({ type = ctype, bytes = bytes }, Variable)
end

-- Whether a value is a global variable.
function variables.is(value)
  return type(value) == "table" and debug.getmetatable(value) == Variable
end

-- The variable of an object: zeros are in .bss, others in .data.
function variables.definition(var, name)
  local ctype, bytes = rawget(var, "type"), rawget(var, "bytes")
  return {
    name = name, type = types.of(ctype), size = ctype:size(), section = bytes and ".data" or ".bss", bytes = bytes,
  }
end

return variables

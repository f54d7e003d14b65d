-- SPDX-License-Identifier: MIT
-- Calls in a program: of functions that mean something of their own there, of Lua functions, which are put in place,
-- and of methods.
local Compiler = require("bpf.program.compiler")
local globals = require("bpf.program.globals")
local undump = require("bpf.program.undump")
local values = require("bpf.program.values")

local NIL, describe = values.NIL, values.describe
local intrinsics = Compiler.intrinsics

-- Lua's own functions that programs can't have, and what to do instead.
local INSTEAD = {
  [print] = "'print' isn't possible in a BPF program: send records to a ring buffer, or call helper.trace_printk",
  [ipairs] = "'ipairs' isn't possible in a BPF program: write 'for i = 1, #t do'",
  [next] = "'next' isn't possible in a BPF program: write 'for k, v in pairs(map) do'",
  [pcall] = "'pcall' isn't possible in a BPF program, whose errors end it",
  [type] = "'type' isn't possible in a BPF program, where the types of all values are known",
  [tostring] = "'tostring' isn't possible in a BPF program: send the number, and make text of it in the script",
  [coroutine.yield] = "coroutines aren't possible in a BPF program",
  [coroutine.wrap] = "coroutines aren't possible in a BPF program",
  [coroutine.create] = "coroutines aren't possible in a BPF program",
  [setmetatable] = "metatables aren't possible in a BPF program",
}

-- How Lua names the function that is called, for messages.
function Compiler:called(register)
  return undump.name_of(self.proto, register, self.pc) or "the function"
end

local function call_function(c, fn, arguments, register)
  if intrinsics[fn] then
    return intrinsics[fn](c, arguments)
  elseif INSTEAD[fn] then
    c:fail("%s", INSTEAD[fn])
  elseif debug.getinfo(fn, "S").what == "C" then
    c:fail("%s can't be called in a BPF program, because it is written in C: programs call functions written in Lua, "
      .. "the kernel's helpers, and some of bpf.map and math", c:called(register))
  end
  return c:inline(fn, nil, arguments)
end

local function call_method(c, v, arguments)
  local of = table.remove(arguments, 1)
  local method = of.kind == "pointer" and of.type.methods and of.type.methods[v.name]
  if not method then
    c:fail("%s has no method '%s' in a program", describe(of), tostring(v.name))
  end
  return method(c, of, arguments)
end

-- Calls what a register holds. Returns the list of results.
function Compiler:call(v, arguments, register)
  local results
  if v.kind == "method" then
    results = call_method(self, v, arguments)
  elseif v.kind == "closure" then
    results = self:inline(nil, v, arguments)
  elseif v.kind == "constant" and globals.is_computed(v.value) then
    results = v.value.call(self, arguments)
  elseif v.kind == "constant" and type(v.value) == "function" then
    results = call_function(self, v.value, arguments, register)
  else
    self:fail("attempt to call %s, which is %s", self:called(register), describe(v))
  end
  if results == nil then
    return { NIL }
  end
  return results.kind and { results } or results
end

return Compiler

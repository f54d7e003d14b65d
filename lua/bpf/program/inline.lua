-- SPDX-License-Identifier: MIT
-- Returns of a program, and of the Lua functions that it calls, which are put in place of their calls.
local Compiler = require("bpf.program.compiler")
local shapes = require("bpf.program.shapes")
local values = require("bpf.program.values")

local NIL = values.NIL

-- Ends the program with a number.
function Compiler:leave_with(r)
  if self.leaving then
    self.leaving()
  end
  if self.caller then
    return self.caller:leave_with(r)
  end
  self.f:exit(self.only_result or r)
end

-- Whether what is compiled is a program's own function, and not one that was put in place.
function Compiler:is_program()
  return not self.joint
end

-- Returns from the function that is compiled: of a program, with its result; of one put in place, to its caller. The
-- body of a loop leaves through the function that the loop stands in.
function Compiler:return_values(list)
  if self.joint then
    return self:return_to_caller(list)
  end
  self:leave_with(self:one_result(list))
end

function Compiler:one_result(list)
  if #list > 1 then
    self:fail("a program returns one value, and this returns %d", #list)
  end
  local v = list[1] or NIL
  local is_address = v.kind == "pointer" or v.kind == "buffer" or v.kind == "pending"
  return is_address and self:integer(v, "result") or self:scalar(v, "result")
end

-- Calls of Lua functions ----------------------------------------------------------------------------------------------

local DEEPEST <const> = 8

function Compiler:return_to_caller(list)
  local f, joint = self.f, self.joint
  local way = f:block()
  f:jump(way)
  joint.incoming[#joint.incoming + 1] = { block = way, state = list, line = f.line }
  joint.results = math.max(joint.results, #list)
end

local HANDED_OVER <const> = "was handed over by the caller, who has it still: return a new one"

-- The compiler of a function that is put in place of its call.
function Compiler:inner(fn, closure, arguments)
  local proto, why = closure and closure.proto, nil
  if not closure then
    proto, why = self.unit:proto_of(fn)
  end
  if not proto then
    self:fail("%s", why)
  elseif proto.vararg then
    self:fail("a function with '...' can't be called in a program")
  elseif self.depth >= DEEPEST then
    self:fail("calls are nested more than %d deep, or recursive: BPF has no recursion, write a loop", DEEPEST)
  end
  local inner = setmetatable({
    proto = proto, unit = self.unit, caller = self, root = self.root, depth = self.depth + 1, f = self.f,
    function_name = self.function_name, outlined = self.unit:outlined_of(proto), memo = self:inner_memo(), made = 0,
    pc = 0,
  }, Compiler)
  function inner.upvalue_value(n)
    if closure then
      return self:captured(closure, n)
    end
    return self.unit:upvalue(fn, n)
  end
  arguments = self:fixed(arguments, HANDED_OVER)
  function inner.start_state()
    local state = {}
    for n = 1, proto.parameters do
      state[n - 1] = arguments[n] or NIL
    end
    return state
  end
  return inner
end

-- What a local function captured. A variable of a function that runs elsewhere is out of its reach.
function Compiler:captured(closure, n)
  local v = closure.upvalues[n]
  if closure.f ~= self.f and shapes.in_function(v) then
    self:fail("the local function uses '%s' within a loop's body that the kernel calls: hand it over as an argument",
      closure.proto.upvalues[n].name or "?")
  end
  return v
end

-- Forgets what was compiled behind a point, for another round.
local function rewind(f, block, blocks, instructions)
  for n = #f.blocks, blocks + 1, -1 do
    f.blocks[n] = nil
  end
  for n = #block.instructions, instructions + 1, -1 do
    block.instructions[n] = nil
  end
  block.terminator, f.current = nil, block
end

-- Puts a function in place of its call, and returns its results. `leaving` is called where the whole program ends
-- within it.
function Compiler:inline(fn, closure, arguments, leaving)
  local f, inner = self.f, self:inner(fn, closure, arguments)
  self.lookup, inner.leaving = nil, leaving
  self:keep_strings_of(inner.proto, 0, inner.proto.last_pc)
  inner:prepare(0)
  local block, blocks = f.current, #f.blocks
  local instructions, line = #block.instructions, f.line
  inner:settle(function()
    inner.joint = { registers = {}, incoming = {}, results = 0, block = f:block() }
    rewind(f, block, blocks, instructions)
    inner:round(0)
  end)
  f.line = line
  return self:results_of(inner)
end

-- What the returns of a function that was put in place bring, by position.
function Compiler:results_of(inner)
  local f, joint = self.f, inner.joint
  if not joint.incoming[1] then -- it never returns
    f:start(f:block())
    return {}
  end
  local live = {}
  for n = 1, joint.results do
    live[n] = true
    for _, way in ipairs(joint.incoming) do
      way.state[n] = way.state[n] or NIL
    end
  end
  inner:arrive(joint, live)
  f:start(joint.block)
  return self:enter(joint)
end

return Compiler

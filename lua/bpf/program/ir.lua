-- SPDX-License-Identifier: MIT
-- The intermediate code of a BPF function: basic blocks of three-address instructions over virtual registers. Whoever
-- translates a language builds it with the methods of `ir.new(name)`. `opt`, `registers` and `emit` make BPF of it.
--
-- A register is a table `{ id = n }` and may be defined several times. Wherever an instruction reads a value, a Lua
-- integer may stand for the register.

local ir = {}

local type = type

local Function = {}
Function.__index = Function

-- Returns an empty function. `line` is the line of the source that the next instructions belong to.
function ir.new(name)
  return setmetatable({
    name = name, blocks = {}, objects = {}, line = 0, current = nil, no_immediate = false,
    parameters = 0, registers = 0, released = {},
  }, Function)
end

-- Whether an operand is a register, as opposed to an integer, a stack object or a reference.
function ir.is_register(operand)
  return type(operand) == "table" and operand.id ~= nil
end

local NONE <const> = {}

-- Returns a list of the registers that an instruction or a terminator reads, to be left as it is.
function ir.uses(instruction)
  local a, b, base = instruction.a, instruction.b, instruction.base
  a = type(a) == "table" and a or nil
  b = type(b) == "table" and b or nil
  if base and base.id then
    return a and { base, a, b } or { base, b }
  elseif a or b then
    return a and { a, b } or { b }
  end
  local arguments = instruction.arguments
  if not arguments then
    return NONE
  end
  local list = {}
  for k = 1, #arguments do
    local argument = arguments[k]
    if type(argument) == "table" and argument.id then
      list[#list + 1] = argument
    end
  end
  return list
end

function Function:register()
  local id = self.registers + 1
  self.registers = id
  return { id = id }
end

-- Blocks --------------------------------------------------------------------------------------------------------------

-- Returns a block that `start` will place. Terminators may name it before that.
function Function.block()
  return { instructions = {}, terminator = nil, id = 0 }
end

-- Places a block behind the others and lets what follows go into it.
function Function:start(block)
  local blocks = self.blocks
  block.id = #blocks + 1
  blocks[block.id] = block
  self.current = block
end

local function terminate(self, terminator)
  terminator.line = self.line
  self.current.terminator = terminator
  self.current = nil
end

function Function:jump(block)
  terminate(self, { op = "jump", yes = block })
end

-- Goes to `yes` if the condition holds: eq, ne, lt, le, gt, ge (unsigned), slt, sle, sgt, sge, or set (a & b isn't 0).
function Function:branch(condition, a, b, yes, no)
  terminate(self, { op = "branch", condition = condition, a = a, b = b, yes = yes, no = no })
end

function Function:exit(a)
  terminate(self, { op = "exit", a = a })
end

-- Values --------------------------------------------------------------------------------------------------------------

-- Appends an instruction. Returns the register that it defines.
local function append(self, instruction)
  instruction.line = self.line
  local list = self.current.instructions
  list[#list + 1] = instruction
  return instruction.d
end

function Function:move(d, a)
  return append(self, { op = "move", d = d, a = a })
end

-- The result of add, sub, mul, div, or, and, lsh, rsh, neg (which has no b), mod, xor, arsh. `div` and `mod` are
-- unsigned. Operations of 32 bits clear the upper half. With `core`, b is a number that the loader replaces.
function Function:alu(operation, a, b, bits, core)
  return append(self, { op = "alu", operation = operation, d = self:register(), a = a, b = b, bits = bits or 64,
    core = core })
end

-- `a` in network byte order, of 16, 32 or 64 bits; the bits above are cleared.
function Function:swap(a, bits)
  return append(self, { op = "swap", d = self:register(), a = a, bits = bits })
end

-- Zero, of which the verifier doesn't know that it is.
function Function:unknown()
  return append(self, { op = "unknown", d = self:register() })
end

-- The function's n-th argument, from 1 to 5. Calls destroy the arguments: this stands in front of everything else.
function Function:parameter(n)
  if n > self.parameters then
    self.parameters = n
  end
  return append(self, { op = "parameter", d = self:register(), n = n })
end

-- A number that the loader replaces by what the CO-RE relocation says.
function Function:core_value(core, value)
  return append(self, { op = "core", d = self:register(), value = value, core = core })
end

-- Memory --------------------------------------------------------------------------------------------------------------

-- Returns an object on the stack, which may be a released one of the same size.
function Function:object(size)
  size = (size + 7) // 8 * 8
  local list = self.released[size]
  if list and #list > 0 then
    return table.remove(list)
  end
  local object = { size = size, stack = true }
  self.objects[#self.objects + 1] = object
  return object
end

-- Gives an object's place to later objects. Nothing may refer to it any more.
function Function:release(object)
  if object then
    local list = self.released[object.size] or {}
    self.released[object.size] = list
    list[#list + 1] = object
  end
end

-- A base is a register or a stack object. Before version 4 of the instruction set, loads don't extend the sign.
function Function:load(base, offset, size, signed, core)
  local d = append(self, { op = "load", d = self:register(), base = base, offset = offset, size = size, core = core })
  if signed and size < 8 then
    local unused = 64 - 8 * size
    d = self:alu("arsh", self:alu("lsh", d, unused), unused)
  end
  return d
end

-- Kernels before 6.2 refuse to store immediates to contexts: with `no_immediate`, the value goes through a register.
function Function:store(base, offset, size, a)
  append(self, { op = "store", base = base, offset = offset, size = size, a = a,
    no_immediate = self.no_immediate or nil })
end

local RETURNS_OLD = { xchg = true, cmpxchg = true }

-- Changes 4 or 8 bytes atomically: add, and, or, xor; xchg; or cmpxchg, which stores `a` if it finds
-- `options.expected`. Returns the value from before, of the first four only with `options.fetch`.
function Function:atomic(operation, base, offset, size, a, options)
  local fetch = RETURNS_OLD[operation] or options and options.fetch or nil
  return append(self, { op = "atomic", operation = operation, base = base, offset = offset, size = size, a = a,
    b = operation == "cmpxchg" and options.expected or nil, fetch = fetch, d = fetch and self:register() or nil })
end

-- The address of a stack object's byte.
function Function:address(object, offset)
  return append(self, { op = "address", d = self:register(), object = object, offset = offset or 0 })
end

function Function:map_reference(map)
  return append(self, { op = "map", d = self:register(), map = map })
end

-- The address of a byte of a global variable `{ name, size, type, section, bytes }`.
function Function:variable(variable, offset)
  return append(self, { op = "variable", d = self:register(), variable = variable, offset = offset or 0 })
end

-- Calls ---------------------------------------------------------------------------------------------------------------

-- Where `forbid` is set, which raises an error, no call can be made.
local function check_call(self)
  if self.forbid then
    self.forbid()
  end
end

-- Calls a helper by its number. An argument is a register, an integer, `{ object = o, offset = n }`, `{ map = m }`, or
-- `{ func = f }`, a callback.
function Function:call(id, ...)
  check_call(self)
  return append(self, { op = "call", d = self:register(), id = id, arguments = { ... } })
end

-- Calls another function of the same object.
function Function:call_function(func, ...)
  check_call(self)
  return append(self, { op = "call", d = self:register(), func = func, arguments = { ... } })
end

return ir

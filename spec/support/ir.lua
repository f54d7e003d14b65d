-- SPDX-License-Identifier: MIT
-- Functions of the intermediate code, also random ones: run by the kernel, and by Lua. `local code = require
-- "spec.support.ir"`.
local bpf = require("bpf")
local elf = require("bpf.program.elf")
local ir = require("bpf.program.ir")

local code = {}

-- Running in the kernel -----------------------------------------------------------------------------------------------

local PACKET = ("x"):rep(64)

--- A function whose first block has begun.
function code.func(name)
  local f = ir.new(name)
  f:start(f:block())
  return f
end

--- A register with a number that the verifier and the compiler don't know.
function code.number(f, n)
  return f:alu("add", f:unknown(), n)
end

--- The bytes of an object with functions as socket filters, by their names.
function code.build(functions, more)
  local programs = {}
  for n, f in ipairs(functions) do
    programs[n] = { name = f.name, section = "socket", func = f }
  end
  local what = { programs = programs, place = function(line) return "spec.lua", "text of line " .. line, line end }
  for name, value in pairs(more or {}) do
    what[name] = value
  end
  return elf.build(what)
end

--- The same object, loaded.
function code.load(functions, more, options)
  return assert(bpf.load({ bytes = code.build(functions, more) }, options))
end

--- What a program returns, as 32 bits without a sign.
function code.run(prog)
  return assert(prog:run({ data = PACKET })).retval & 0xffffffff
end

--- What a function returns when it runs as a program.
function code.result(f, more, options)
  local obj <close> = code.load({ f }, more, options)
  return code.run(obj.progs[f.name])
end

-- What instructions do ------------------------------------------------------------------------------------------------

local function unsigned_divide(a, b)
  if b == 0 then
    return 0
  end
  local quotient = 0
  local rest = 0
  for bit = 63, 0, -1 do -- as on paper
    local carry = rest < 0
    rest = rest << 1 | a >> bit & 1
    if carry or not math.ult(rest, b) then
      rest, quotient = rest - b, quotient | 1 << bit
    end
  end
  return quotient, rest
end

local function sign_shift(a, n, bits)
  for _ = 1, n do
    a = a >> 1 | a & 1 << bits - 1
  end
  return a
end

local operations = {
  add = function(a, b) return a + b end,
  sub = function(a, b) return a - b end,
  mul = function(a, b) return a * b end,
  div = function(a, b) return (unsigned_divide(a, b)) end,
  mod = function(a, b) return b == 0 and a or select(2, unsigned_divide(a, b)) end,
  ["or"] = function(a, b) return a | b end,
  ["and"] = function(a, b) return a & b end,
  xor = function(a, b) return a ~ b end,
  lsh = function(a, b) return a << b end,
  rsh = function(a, b) return a >> b end,
  arsh = sign_shift,
  neg = function(a) return -a end,
}

--- The result of an operation of 64 or 32 bits.
function code.compute(operation, a, b, bits)
  local mask = bits == 32 and 0xffffffff or -1
  return operations[operation](a & mask, b and b & mask, bits) & mask
end

--- Whether a condition holds.
function code.holds(condition, a, b)
  if condition == "set" then
    return a & b ~= 0
  end
  local kind, is_signed = condition:gsub("^s", "")
  if condition == "eq" or condition == "ne" then
    return a == b == (condition == "eq")
  end
  local less = a < b
  if is_signed == 0 then
    less = math.ult(a, b)
  end
  local results = { lt = less, le = less or a == b, gt = not less and a ~= b, ge = not less }
  return results[kind]
end

-- Runs one instruction. `values` has registers, `memory` bytes of stack objects.
local steps = {
  move = function(i, value) return value(i.a) end,
  alu = function(i, value) return code.compute(i.operation, value(i.a), i.b and value(i.b), i.bits) end,
  unknown = function() return 0 end,
  call = function() return 0 end,
  swap = function(i, value)
    local bytes = i.bits // 8
    return (string.unpack(">I" .. bytes, (string.pack("<i8", value(i.a)):sub(1, bytes))))
  end,
  load = function(i, _, memory)
    local bytes = memory[i.base]:sub(i.offset + 1, i.offset + i.size)
    return (string.unpack("<i8", bytes .. ("\0"):rep(8 - #bytes)))
  end,
  store = function(i, value, memory)
    local bytes = memory[i.base]
    memory[i.base] = bytes:sub(1, i.offset) .. string.pack("<i8", value(i.a)):sub(1, i.size)
      .. bytes:sub(i.offset + i.size + 1)
  end,
}

--- What a function returns, if it hasn't been compiled. Of calls, only those may be in it whose result doesn't count.
function code.interpret(f)
  local values, memory = {}, {}
  for _, object in ipairs(f.objects) do
    memory[object] = ("\0"):rep(object.size)
  end
  local function value(x)
    return math.type(x) and x or assert(values[x], "a register without a value")
  end
  local block = f.blocks[1]
  while true do
    for _, i in ipairs(block.instructions) do
      local result = steps[i.op](i, value, memory)
      if i.d then
        values[i.d] = result
      end
    end
    local t = block.terminator
    if t.op == "exit" then
      return value(t.a)
    elseif t.op == "jump" then
      block = t.yes
    else
      block = code.holds(t.condition, value(t.a), value(t.b)) and t.yes or t.no
    end
  end
end

-- Random functions ----------------------------------------------------------------------------------------------------

code.EDGES = {
  0, 1, -1, 2, -2, 7, 63, 64, 255, 0x7fff, 0x7fffffff, 0x80000000, -0x80000000, -0x80000001, 0xffffffff, 0x100000000,
  0x123456789abcdef, math.maxinteger, math.mininteger,
}

local SHIFTS = { lsh = true, rsh = true, arsh = true }
local OPERATIONS = { "add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor", "arsh" }
local CONDITIONS = { "eq", "ne", "lt", "le", "gt", "ge", "slt", "sle", "sgt", "sge", "set" }

-- A generator of numbers that doesn't depend on Lua's version.
local function generator(seed)
  local state = seed * 2862933555777941757 + 3037000493
  return function(n)
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 33) % n + 1
  end
end

local Maker = {}
Maker.__index = Maker

function Maker:pick(list)
  return list[self.random(#list)]
end

-- An integer, half of them such that often matter.
function Maker:integer()
  if self.random(2) == 1 then
    return self:pick(code.EDGES)
  end
  return self.random(1 << 30) << self.random(64) - 1 ~ -(self.random(2) - 1)
end

function Maker:operand()
  return self.random(3) == 1 and self:integer() or self:pick(self.variables)
end

function Maker:operation()
  local f, operation, bits = self.f, self:pick(OPERATIONS), self:pick({ 64, 64, 64, 32 })
  local a, b = self:operand(), self:operand()
  if SHIFTS[operation] then
    b = math.type(b) and b & bits - 1 or f:alu("and", b, bits - 1)
  elseif operation == "neg" then
    b = nil
  elseif operation == "div" or operation == "mod" then -- kernels differ in 32 bits by 0
    b = bits == 64 and b or math.type(b) and b | 1 or f:alu("or", b, 1)
  end
  return f:alu(operation, a, b, bits)
end

local STATEMENTS = {
  function(self) self.f:move(self:pick(self.variables), self:operation()) end,
  function(self) self.f:move(self:pick(self.variables), self:operand()) end,
  function(self)
    local a = self:pick(self.variables)
    self.f:move(self:pick(self.variables), self.f:swap(a, self:pick({ 16, 32, 64 })))
  end,
  function(self)
    local size = self:pick({ 1, 2, 4, 8 })
    self.f:store(self.object, (self.random(16 // size) - 1) * size, size, self:operand())
  end,
  function(self)
    local size = self:pick({ 1, 2, 4, 8 })
    local d = self.f:load(self.object, (self.random(16 // size) - 1) * size, size, self.random(2) == 1)
    self.f:move(self:pick(self.variables), d)
  end,
  function(self)
    if self.random(4) == 1 then
      self.f:call(5) -- bpf_ktime_get_ns
    end
  end,
}

function Maker:statements(n)
  for _ = 1, n do
    self.f.line = self.f.line + 1
    self:pick({ STATEMENTS[1], STATEMENTS[1], STATEMENTS[1], table.unpack(STATEMENTS) })(self)
  end
end

-- Statements, among them conditions and loops, to a depth.
function Maker:body(depth, n)
  local f = self.f
  for _ = 1, n do
    local what = depth > 0 and self.random(4) or 4
    if what == 1 then -- if … then … else … end
      local yes, no, join = f:block(), f:block(), f:block()
      f:branch(self:pick(CONDITIONS), self:operand(), self:operand(), yes, no)
      f:start(yes)
      self:body(depth - 1, 2)
      f:jump(join)
      f:start(no)
      self:body(depth - 1, self.random(3) - 1)
      f:jump(join)
      f:start(join)
    elseif what == 2 then -- a condition that is computed first
      local d, yes, no, join, yes2, join2 = f:register(), f:block(), f:block(), f:block(), f:block(), f:block()
      f:branch(self:pick(CONDITIONS), self:operand(), self:operand(), yes, no)
      f:start(yes)
      f:move(d, 1)
      f:jump(join)
      f:start(no)
      f:move(d, 0)
      f:jump(join)
      f:start(join)
      f:branch("ne", d, 0, yes2, join2)
      f:start(yes2)
      self:body(depth - 1, 1)
      f:jump(join2)
      f:start(join2)
    elseif what == 3 and depth > 1 then -- a loop of up to 4 rounds
      local counter, head, inside, after = f:register(), f:block(), f:block(), f:block()
      f:move(counter, 0)
      f:jump(head)
      f:start(head)
      f:branch("slt", counter, self.random(4), inside, after)
      f:start(inside)
      self:body(depth - 2, 2)
      f:move(counter, f:alu("add", counter, 1))
      f:jump(head)
      f:start(after)
    else
      self:statements(self.random(4))
    end
  end
end

--- A function of random code: of so many variables, and of a depth, which is 0 for code that goes straight.
function code.random(name, seed, variables, depth, n)
  local f = ir.new(name)
  local self = setmetatable({ f = f, random = generator(seed), variables = {} }, Maker)
  f:start(f:block())
  self.object = f:object(16)
  f:store(self.object, 0, 8, 0)
  f:store(self.object, 8, 8, 0)
  for k = 1, variables do
    self.variables[k] = f:move(f:register(), f:alu("add", f:unknown(), self:integer()))
  end
  self:body(depth, n)
  local sum = f:load(self.object, 0, 8)
  for _, variable in ipairs(self.variables) do
    sum = f:alu("xor", f:alu("mul", sum, 31), variable)
  end
  f:exit(f:alu("xor", sum, f:alu("rsh", sum, 32)))
  return f
end

return code

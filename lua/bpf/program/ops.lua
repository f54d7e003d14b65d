-- SPDX-License-Identifier: MIT
-- What each instruction of Lua's bytecode means: a row for each, called with the compiler, the instruction, the state
-- and the pc.
local Compiler = require("bpf.program.compiler")
local flow = require("bpf.program.flow")
local globals = require("bpf.program.globals")
local undump = require("bpf.program.undump")
local values = require("bpf.program.values")

local NIL, constant = values.NIL, values.constant

local ops = {}
Compiler.ops = ops

local function K(c, n)
  return constant(c.proto.constants[n].value)
end

local function nothing() end

for name in ("EXTRAARG MMBIN MMBINI MMBINK CLOSE ERRNNIL JMP TFORCALL TFORLOOP"):gmatch("%S+") do
  ops[name] = nothing
end

-- Loading -------------------------------------------------------------------------------------------------------------

function ops.MOVE(c, i, s)
  s[i.B] = c:materialize(s[i.B] or NIL)
  s[i.A] = s[i.B]
end

function ops.LOADI(_, i, s) s[i.A] = constant(i.sBx) end
function ops.LOADF(_, i, s) s[i.A] = constant(i.sBx + 0.0) end
function ops.LOADK(c, i, s) s[i.A] = K(c, i.Bx) end
function ops.LOADKX(c, i, s, pc) s[i.A] = K(c, c.proto.code[pc + 1].Ax) end
function ops.LOADFALSE(_, i, s) s[i.A] = constant(false) end
function ops.LOADTRUE(_, i, s) s[i.A] = constant(true) end
ops.LFALSESKIP = ops.LOADFALSE

function ops.LOADNIL(_, i, s)
  for register = i.A, i.A + i.B do
    s[register] = NIL
  end
end

-- What tests find out of an upvalue that may be nil is known as long as paths don't meet: it has a place in the state,
-- below the registers.
function ops.GETUPVAL(c, i, s)
  local place = -1 - i.B
  local v = s[place] or c:upvalue(i.B)
  s[i.A], s[place] = v, s[place] or (v.kind == "optional" or v.kind == "pointer") and v or nil
end

function ops.SETUPVAL(c, i)
  c:fail("'%s' can't be assigned in a program, whose upvalues are constants: use a map, or bpf.var",
    c.proto.upvalues[i.B].name or "?")
end

-- Indexing ------------------------------------------------------------------------------------------------------------

local function upvalue_name(c, n)
  local name = c.proto.upvalues[n].name
  return name and ("'" .. name .. "' ") or ""
end

-- The third operand: a constant's number, or a register.
local function RK(c, i, s)
  return i.k == 1 and K(c, i.C) or s[i.C]
end

function ops.GETTABUP(c, i, s) s[i.A] = c:global(i.B, K(c, i.C)) end
function ops.GETTABLE(c, i, s) s[i.A] = c:index(s[i.B], c:materialize_key(s[i.B], s[i.C]), c:name(i.B)) end
function ops.GETI(c, i, s) s[i.A] = c:index(s[i.B], constant(i.C), c:name(i.B)) end
function ops.GETFIELD(c, i, s) s[i.A] = c:index(s[i.B], K(c, i.C), c:name(i.B)) end
function ops.SETTABUP(c, i, s)
  local key, environment = K(c, i.B), c.proto.upvalues[i.A].name == "_ENV" and c:upvalue(i.A)
  local found = environment and environment.value[key.value]
  if found == globals.NAMED then
    return
  elseif environment and not globals.is_member(found) then
    c:fail("the global '%s' can't be assigned in a program: use a map, or bpf.var", tostring(key.value))
  end
  c:assign(c:upvalue(i.A), key, RK(c, i, s), upvalue_name(c, i.A))
end

function ops.SETTABLE(c, i, s) c:assign(s[i.A], c:materialize_key(s[i.A], s[i.B]), RK(c, i, s), c:name(i.A)) end
function ops.SETI(c, i, s) c:assign(s[i.A], constant(i.B), RK(c, i, s), c:name(i.A)) end
function ops.SETFIELD(c, i, s) c:assign(s[i.A], K(c, i.B), RK(c, i, s), c:name(i.A)) end

-- A field of an upvalue; of _ENV, a global, whose absence is mostly a misspelt name.
function Compiler:global(upvalue, key)
  local v = self:index(self:upvalue(upvalue), key, upvalue_name(self, upvalue))
  if values.is_nil(v) and self.proto.upvalues[upvalue].name == "_ENV" then
    self:fail("there is no global '%s'", tostring(key.value))
  end
  return v
end

local CALLS = { CALL = true, TAILCALL = true }

-- Whether what this instruction brings into a register is called there.
function Compiler:is_called()
  local proto, register = self.proto, self.proto.code[self.pc].A
  for pc = self.pc + 1, proto.last_pc do
    local i = proto.code[pc]
    if CALLS[i.op] and i.A == register then
      return true
    elseif flow.assigned(proto, register, pc, pc + 1) then
      return false
    end
  end
  return false
end

function ops.NEWTABLE(_, i, s) s[i.A] = { kind = "table", fields = {}, order = {} } end

function ops.SETLIST(c, i, s)
  local count = i.B == 0 and c.top - i.A - 1 or i.B
  for n = 1, count do
    c:assign(s[i.A], constant(n), s[i.A + n], "")
  end
end

function ops.SELF(c, i, s)
  local o, name = s[i.B], i.k == 1 and K(c, i.C) or s[i.C]
  s[i.A + 1] = o
  s[i.A] = { kind = "method", name = name.value, of = o }
end

-- Arithmetic ----------------------------------------------------------------------------------------------------------

local BINARY = {
  ADD = "add", SUB = "sub", MUL = "mul", MOD = "mod", IDIV = "idiv", BAND = "and", BOR = "or", BXOR = "xor",
  SHL = "shl", SHR = "shr", DIV = "div", POW = "pow",
}
for name, op in pairs(BINARY) do
  ops[name] = function(c, i, s) s[i.A] = c:arithmetic(op, s[i.B], s[i.C]) end
  ops[name .. "K"] = function(c, i, s) s[i.A] = c:arithmetic(op, s[i.B], K(c, i.C)) end
end

function ops.ADDI(c, i, s) s[i.A] = c:arithmetic("add", s[i.B], constant(i.sC)) end
function ops.SHRI(c, i, s) s[i.A] = c:arithmetic("shr", s[i.B], constant(i.sC)) end
function ops.SHLI(c, i, s) s[i.A] = c:arithmetic("shl", constant(i.sC), s[i.B]) end
function ops.UNM(c, i, s) s[i.A] = c:arithmetic("sub", constant(0), s[i.B]) end
function ops.BNOT(c, i, s) s[i.A] = c:arithmetic("xor", s[i.B], constant(-1)) end
function ops.NOT(c, i, s) s[i.A] = c:negate(s[i.B]) end

function ops.LEN(c, i, s)
  local v = s[i.B]
  if v.kind == "constant" and type(v.value) == "string" then
    s[i.A] = constant(#v.value)
  elseif v.type and v.type.kind == "array" then
    s[i.A] = constant(v.type.count)
  elseif v.kind == "constant" and type(v.value) == "table" then
    s[i.A] = constant(#v.value)
  else
    s[i.A] = c:length(v)
  end
end

function ops.CONCAT(c)
  c:fail("'..' isn't possible in a BPF program: send the parts, and put them together in the script")
end

-- Tests ---------------------------------------------------------------------------------------------------------------

function ops.EQ(c, i, s, pc) c:equal(s[i.A], s[i.B], c:ways(pc, i.k)) end
function ops.EQK(c, i, s, pc) c:equal(s[i.A], K(c, i.B), c:ways(pc, i.k)) end
function ops.EQI(c, i, s, pc) c:equal(s[i.A], constant(i.sB), c:ways(pc, i.k)) end
function ops.LT(c, i, s, pc) c:compare("slt", s[i.A], s[i.B], c:ways(pc, i.k)) end
function ops.LE(c, i, s, pc) c:compare("sle", s[i.A], s[i.B], c:ways(pc, i.k)) end

for name, cc in pairs { LTI = "slt", LEI = "sle", GTI = "sgt", GEI = "sge" } do
  ops[name] = function(c, i, s, pc) c:compare(cc, s[i.A], constant(i.sB), c:ways(pc, i.k)) end
end

function ops.TEST(c, i, s, pc) c:test(s[i.A], c:ways(pc, i.k)) end

-- As TEST, and where the jump is taken the value is copied.
function ops.TESTSET(c, i, s, pc)
  local v = c:materialize(s[i.B])
  s[i.B] = v
  local yes_pc, no_pc = c:ways(pc, i.k)
  local yes, no = values.narrowed(s, v, true), values.narrowed(s, v, false)
  local taken = i.k == 1 and yes or no
  taken[i.A] = taken[i.B]
  c:test(v, yes_pc, no_pc, nil, yes, no)
end

-- Functions -----------------------------------------------------------------------------------------------------------

-- How many results a call leaves is known, also where it is left open for the next instruction.
local function set_results(c, i, s, results)
  if i.C == 0 then
    c.top = i.A + #results
  end
  for n = 0, (i.C == 0 and #results or i.C - 1) - 1 do
    s[i.A + n] = results[n + 1] or NIL
  end
end

local function arguments_of(c, i, s)
  local arguments = {}
  for n = 1, i.B == 0 and c.top - i.A - 1 or i.B - 1 do
    arguments[n] = s[i.A + n] or NIL
  end
  return arguments
end

function ops.CALL(c, i, s)
  local results = c:call(s[i.A], arguments_of(c, i, s), i.A)
  if c.f.current then
    set_results(c, i, c.state, results)
  end
end

function ops.TAILCALL(c, i, s)
  local results = c:call(s[i.A], arguments_of(c, i, s), i.A)
  if c.f.current then
    c:return_values(results)
  end
end

function ops.RETURN(c, i, s)
  local list = {}
  for n = 1, i.B == 0 and c.top - i.A or i.B - 1 do
    list[n] = s[i.A + n - 1]
  end
  c:return_values(list)
end

function ops.RETURN0(c) c:return_values({}) end
function ops.RETURN1(c, i, s) c:return_values({ s[i.A] }) end

-- A function keeps what its upvalues are when it is made, so they may not change behind that.
local function check_captured(c, register, pc)
  local proto = c.proto
  for _, variable in ipairs(proto.locals) do
    local name = variable.from <= pc and pc < variable.to and undump.local_name(proto, register, pc)
    if name and name == variable.name then
      local from = flow.loops(c, pc, variable.from, variable.to) and variable.from or pc + 1
      if flow.assigned(proto, register, from, variable.to) then
        c:fail("the local function uses '%s', which is assigned again: hand it over as an argument", name)
      end
    end
  end
end

local CAPTURED <const> = "can't be changed once a local function uses it: hand it over as an argument"

function ops.CLOSURE(c, i, s, pc)
  local closures = c.memo.closures
  local v = closures[pc] or { kind = "closure", proto = c.proto.protos[i.Bx] }
  closures[pc], v.upvalues, v.f, s[i.A] = v, {}, c.f, v
  for n, upvalue in pairs(v.proto.upvalues) do
    if upvalue.in_stack and upvalue.index ~= i.A then
      check_captured(c, upvalue.index, pc)
      c:fix_register(upvalue.index, CAPTURED)
    end
    v.upvalues[n] = upvalue.in_stack and (s[upvalue.index] or NIL) or c.upvalue_value(upvalue.index)
  end
end

function ops.VARARG(c) c:fail("'...' isn't possible in a BPF program") end
ops.VARARGPREP, ops.GETVARG = ops.VARARG, ops.VARARG
function ops.TBC(c) c:fail("<close> isn't possible in a BPF program") end

return ops

-- SPDX-License-Identifier: MIT
-- What each instruction of Lua's does to the types of registers: a row for each opcode, of the body that is read, the
-- instruction, the registers and the pc.
local calls = require("bpf.trace.infer.calls")
local types = require("bpf.trace.types")

local UNKNOWN <const> = { type = types.unknown }
local INTEGER <const> = { type = types.integer() }
local BOOLEAN <const> = { type = types.boolean }

local SCALARS = {
  string = function(v) return types.string((#v + 8) // 8 * 8) end,
  boolean = function() return types.boolean end,
  number = function() return types.integer() end,
  ["nil"] = function() return types.absent end,
}

local function literal(v)
  return { type = SCALARS[type(v)](v), constant = v }
end

local function constant(b, index)
  return literal(b.proto.constants[index].value)
end

local function register_or_constant(b, i, s)
  return i.k == 1 and constant(b, i.C) or s[i.C] or UNKNOWN
end

local function nothing() end

local function is_environment(b, upvalue)
  return b.proto.upvalues[upvalue].name == "_ENV"
end

local rows = {
  MOVE = function(_, i, s) s[i.A] = s[i.B] or UNKNOWN end,
  LOADI = function(_, i, s) s[i.A] = literal(i.sBx) end,
  LOADF = function(_, i, s) s[i.A] = literal(i.sBx + 0.0) end,
  LOADK = function(b, i, s) s[i.A] = constant(b, i.Bx) end,
  LOADFALSE = function(_, i, s) s[i.A] = BOOLEAN end,
  LOADNIL = function(_, i, s)
    for register = i.A, i.A + i.B do
      s[register] = literal(nil)
    end
  end,
  GETUPVAL = function(b, i, s)
    s[i.A] = is_environment(b, i.B) and { type = types.unknown, env = true } or UNKNOWN
  end,
  SETUPVAL = nothing, MMBIN = nothing, MMBINI = nothing, MMBINK = nothing, CLOSE = nothing, TBC = nothing,
  JMP = nothing, EXTRAARG = nothing, VARARGPREP = nothing, ERRNNIL = nothing, RETURN = nothing, RETURN0 = nothing,
  RETURN1 = nothing, TFORPREP = nothing, TFORLOOP = nothing,
  GETTABUP = function(b, i, s)
    s[i.A] = is_environment(b, i.B) and b:global(b.proto.constants[i.C].value) or UNKNOWN
  end,
  SETTABUP = function(b, i, s)
    if is_environment(b, i.A) then
      b:set_global(b.proto.constants[i.B].value, register_or_constant(b, i, s))
    end
  end,
  GETTABLE = function(b, i, s) s[i.A] = b:index(s[i.B] or UNKNOWN, s[i.C] or UNKNOWN) end,
  GETI = function(b, i, s) s[i.A] = b:index(s[i.B] or UNKNOWN, literal(i.C)) end,
  GETFIELD = function(b, i, s) s[i.A] = b:index(s[i.B] or UNKNOWN, constant(b, i.C)) end,
  SETTABLE = function(b, i, s) b:set_index(s, i.A, s[i.B] or UNKNOWN, register_or_constant(b, i, s)) end,
  SETI = function(b, i, s) b:set_index(s, i.A, literal(i.B), register_or_constant(b, i, s)) end,
  SETFIELD = function(b, i, s) b:set_index(s, i.A, constant(b, i.B), register_or_constant(b, i, s)) end,
  NEWTABLE = function(_, i, s) s[i.A] = { type = types.record({}, {}), fresh = true } end,
  SETLIST = function(b, i, s)
    for n = 1, i.B > 0 and i.B or s.top - i.A do
      b:set_index(s, i.A, literal(i.C + n), s[i.A + n] or UNKNOWN)
    end
  end,
  SELF = function(b, i, s)
    local name = b.proto.constants[i.C].value
    b:refuse("methods (:%s) mean nothing in a program: strings are compared by == as a whole, and printed by %%.3s",
      tostring(name))
    s[i.A], s[i.A + 1] = UNKNOWN, s[i.B] or UNKNOWN
  end,
  CALL = function(b, i, s, pc)
    local arguments = {}
    for n = 1, i.B > 0 and i.B - 1 or s.top - i.A do
      arguments[n] = s[i.A + n] or UNKNOWN
    end
    local result = calls.call(b, pc, s[i.A] or UNKNOWN, arguments)
    s[i.A] = i.C ~= 1 and result or nil
    for register = i.A + 1, i.A + i.C - 2 do
      s[register] = UNKNOWN
    end
    s.top = i.C == 0 and i.A or s.top
  end,
  FORPREP = function(_, i, s) s[i.first] = INTEGER end,
  FORLOOP = function(_, i, s) s[i.first] = INTEGER end,
  TFORCALL = function(b, i, s)
    local row = s[i.A] and s[i.A].entries
    if not row then
      b:refuse("`for … in` goes over pairs(t) of a shared table only")
    end
    for register = i.first, i.first + i.C - 1 do
      s[register] = UNKNOWN
    end
    if row then
      s[i.first], s[i.first + 1] = { type = row.key }, { type = row.value, from = row }
    end
  end,
  CLOSURE = function(b, i, s)
    b:refuse("a function can't be made in a one-liner")
    s[i.A] = UNKNOWN
  end,
  VARARG = function(b, i, s)
    b:refuse("`...` means nothing in a program")
    s[i.A], s.top = UNKNOWN, i.A
  end,
  CONCAT = function(b, i, s)
    b:refuse("'..' isn't possible in a program: give print or printf the parts")
    s[i.A] = UNKNOWN
  end,
  LEN = function(b, i, s)
    local o = s[i.B] or UNKNOWN
    if o.shared and o.shared.table then
      b:refuse("'#' doesn't count the entries of '%s'", o.shared.name)
    end
    s[i.A] = INTEGER
  end,
  NOT = function(b, i, s)
    b:test(s[i.B] or UNKNOWN)
    s[i.A] = BOOLEAN
  end,
  TEST = function(b, i, s) b:test(s[i.A] or UNKNOWN) end,
  TESTSET = function(b, i, s) b:test(s[i.B] or UNKNOWN) end,
}
rows.LOADKX, rows.LFALSESKIP, rows.LOADTRUE, rows.TAILCALL = rows.LOADK, rows.LOADFALSE, rows.LOADFALSE, rows.CALL
rows.GETVARG = rows.VARARG

-- Comparisons ---------------------------------------------------------------------------------------------------------

for op in ("EQ LT LE"):gmatch("%S+") do
  rows[op] = function(b, i, s) b:compare(s[i.A] or UNKNOWN, s[i.B] or UNKNOWN) end
end
for op in ("EQI LTI LEI GTI GEI"):gmatch("%S+") do
  rows[op] = function(b, i, s) b:compare(s[i.A] or UNKNOWN, INTEGER) end
end
function rows.EQK(b, i, s)
  b:compare(s[i.A] or UNKNOWN, constant(b, i.B))
end

-- Arithmetic ----------------------------------------------------------------------------------------------------------

local function arithmetic(second)
  return function(b, i, s)
    b:number(s[i.B] or UNKNOWN)
    if second then
      b:number(second(b, i, s))
    end
    s[i.A] = INTEGER
  end
end

-- What is said of the signs that make floats.
local FLOATS <const> = {
  ["/"] = "'/' gives a float, and programs have integers only: write //, which divides integers",
  ["^"] = "'^' gives a float, and programs have integers only: write <<, or multiply",
}

local function floats(sign)
  return function(b, i, s)
    b:refuse("%s", FLOATS[sign])
    s[i.A] = UNKNOWN
  end
end

local function second_register(_, i, s)
  return s[i.C] or UNKNOWN
end

local function second_constant(b, i)
  return constant(b, i.C)
end

for op in ("ADD SUB MUL MOD IDIV BAND BOR BXOR"):gmatch("%S+") do
  rows[op], rows[op .. "K"] = arithmetic(second_register), arithmetic(second_constant)
end
for op in ("SHL SHR"):gmatch("%S+") do
  rows[op], rows[op .. "I"] = arithmetic(second_register), arithmetic()
end
rows.ADDI, rows.UNM, rows.BNOT = arithmetic(), arithmetic(), arithmetic()
rows.DIV, rows.POW = floats "/", floats "^"
rows.DIVK, rows.POWK = rows.DIV, rows.POW

return { rows = rows, FLOATS = FLOATS }

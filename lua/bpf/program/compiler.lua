-- SPDX-License-Identifier: MIT
-- The compiler of one Lua function, or of a loop's body, into one BPF function. This file has what all parts of it use;
-- the others add their methods to the class: memory, arithmetic, maps, flow, analyse, ops, loops.
--
-- A compiler has: `proto`, Lua's bytecode of the function; `f`, the intermediate code being made; `state`, what each
-- register of Lua's holds at `pc`; `unit`, what the whole program shares; `root`, the compiler of the whole function.
local source = require("bpf.program.source")
local undump = require("bpf.program.undump")
local values = require("bpf.program.values")

local Compiler = {}
Compiler.__index = Compiler

-- Functions that mean something of their own in a program: { function → fn(compiler, arguments) → value or list }.
Compiler.intrinsics = {}

local describe = values.describe

local chunk_name = source.chunk_name

-- Raises what the caller of the compiler gets: the place in the script, and what is wrong there.
function Compiler:fail(format, ...)
  local instruction = self.pc and self.proto.code[self.pc]
  local line = instruction and instruction.line or self.proto.line
  error({ program = ("%s:%d: %s"):format(chunk_name(self.proto.source), line, format:format(...)), placed = true }, 0)
end

local VARIABLES = { ["local"] = true, upvalue = true, global = true }

-- How messages call what is in a register: "'x'" for a variable, "field 'x'", or nil.
local function named(proto, register, pc)
  local kind, name = (undump.name_of(proto, register, pc) or ""):match("^(%S+) '(.+)'$")
  if name == "?" then -- of a stripped function
    return nil
  elseif VARIABLES[kind] then
    return "'" .. name .. "'"
  end
  return kind == "field" and ("field '%s'"):format(name) or nil
end

-- The name of what is in a register and a space, for messages; "" where it has none.
function Compiler:name(register)
  local name = named(self.proto, register, self.pc)
  return name and name .. " " or ""
end

-- How messages call a value: "'x'", "field 'x'", or "this". The second result is the name of a local variable.
function Compiler:whose(v)
  local found
  for register = 0, v ~= values.NIL and self.proto.stack - 1 or -1 do
    if self.state[register] == v then
      local name = undump.local_name(self.proto, register, self.pc)
      if name then
        return "'" .. name .. "'", name
      end
      found = found or named(self.proto, register, self.pc)
    end
  end
  return found or "this"
end

-- Fails for a value that may be nil.
function Compiler:fail_nil(v, prefix)
  local whose, name = self:whose(v)
  self:fail("%s%s may be nil here: test it before%s", prefix, whose,
    v.kind == "optional" and not v.bool and (", or write (%s or 0)"):format(name or "…") or "")
end

-- In a lenient unit, ends the run where a value is nil, and says so by true.
function Compiler:end_where_nil(v)
  local r = v.kind == "optional" and v.present or v.null and v.r
  if not self.unit.lenient or not r then
    return false
  end
  self:end_if("eq", r, 0)
  for register, x in pairs(values.narrowed(self.state, v, true, true)) do
    self.state[register] = x
  end
  return true
end

-- A register or a number out of a value that has to be an integer. `what` says for what, in messages.
function Compiler:integer(v, what)
  if v.kind == "integer" then
    return v.r
  elseif v.kind == "optional" and not v.bool and self:end_where_nil(v) then
    return v.r
  end
  local prefix = what and what .. ": " or ""
  if v.kind == "constant" and math.type(v.value) == "float" then
    self:fail("%sBPF has no floating point, and %s is one", prefix, tostring(v.value))
  elseif v.kind == "optional" and not v.bool then
    self:fail_nil(v, prefix)
  end
  self:fail("%san integer is expected, %s is %s", prefix, self:whose(v), describe(v))
end

-- What a helper or a store takes: integers, booleans as 1 and 0, nil as 0, addresses.
function Compiler:scalar(v, what)
  if v.kind == "boolean" then
    return v.r
  elseif v.kind == "constant" and type(v.value) == "boolean" then
    return v.value and 1 or 0
  elseif values.is_nil(v) then
    return 0
  elseif v.kind == "pointer" or v.kind == "buffer" then
    return self:address(v)
  elseif v.kind == "optional" then
    return self:optional_scalar(v, what)
  end
  return self:integer(v, what)
end

-- A boolean that may be nil counts as false; an integer that may be nil is an error.
function Compiler:optional_scalar(v, what)
  if not v.bool then
    return self:integer(v, what)
  end
  return self.f:alu("and", v.present, v.r)
end

-- The address of something in memory, in a register.
function Compiler:address(v)
  if v.kind == "buffer" and v.object.stack then
    return self.f:address(v.object, v.offset)
  elseif v.kind == "buffer" then
    return v.offset == 0 and v.object or self.f:alu("add", v.object, v.offset)
  end
  return v.offset == 0 and not v.core and v.r or self.f:alu("add", v.r, v.offset, 64, v.core)
end

-- Base and offset of something in memory, for loads and stores.
function Compiler.place(_, v)
  if v.kind == "buffer" then
    return v.object, v.offset
  end
  return v.r, v.offset
end

-- An argument for a helper: the address of `offset` bytes behind a register or a stack object.
function Compiler:pointer_to(base, offset)
  if base.stack then
    return { object = base, offset = offset }
  end
  return offset == 0 and base or self.f:alu("add", base, offset)
end

-- The register with `yes` where the condition holds, else `no`.
function Compiler:select(cc, a, b, yes, no)
  local f = self.f
  local d, if_yes, if_no, behind = f:register(), f:block(), f:block(), f:block()
  f:branch(cc, a, b, if_yes, if_no)
  f:start(if_yes)
  f:move(d, yes)
  f:jump(behind)
  f:start(if_no)
  f:move(d, no)
  f:jump(behind)
  f:start(behind)
  return d
end

-- The boolean that tells whether the condition holds.
function Compiler:condition(cc, a, b)
  return { kind = "boolean", r = self:select(cc, a, b, 1, 0) }
end

-- Compiles `body` where the condition holds, and goes on behind it.
function Compiler:when(cc, a, b, body)
  local f = self.f
  local inside, behind = f:block(), f:block()
  f:branch(cc, a, b, inside, behind)
  f:start(inside)
  body()
  if f.current then
    f:jump(behind)
  end
  f:start(behind)
end

-- Ends the program where the condition holds, as an error of Lua's would end a function.
function Compiler:end_if(cc, a, b)
  self:when(cc, a, b, function() self:abort() end)
end

-- What stays the same in every round --------------------------------------------------------------------------------

-- Objects, closures and inner functions are made anew in each round of the analysis. States of two rounds can be
-- compared only where they are the same ones, so the first round's are kept, by where they were made.
function Compiler.new_memo()
  return { objects = {}, closures = {}, inner = {} }
end

function Compiler:memo_key()
  self.made = self.made + 1
  return self.pc << 16 | self.made
end

-- A stack object that is the same in every round.
function Compiler:stable_object(size)
  local key = self:memo_key()
  local object = self.memo.objects[key]
  if not object or object.size < size then
    object = { size = (size + 7) // 8 * 8, stack = true }
    self.memo.objects[key] = object
  end
  return self:own(object)
end

-- Makes a stack object one of this function's.
function Compiler:own(object)
  if object.owner ~= self.f then
    object.owner = self.f
    self.f.objects[#self.f.objects + 1] = object
  end
  return object
end

-- The memo of a function that is compiled within this one.
function Compiler:inner_memo()
  local key, inner = self:memo_key(), self.memo.inner
  inner[key] = inner[key] or Compiler.new_memo()
  return inner[key]
end

-- The value of an upvalue. One that is given when the program runs is loaded where it is used.
function Compiler:upvalue(n)
  local v = self.upvalue_value(n)
  if v.kind ~= "parameter" then
    return v
  end
  return values.integer(self.f:load(self.f:variable(v.variable, 8 * v.index), 0, 8))
end

-- The register of the program's context.
function Compiler:context_register()
  return self.caller and self.caller:context_register() or self.context
end

-- Remembers what the program needs of the kernel, and where, to say so if the kernel refuses it.
function Compiler:need(helper, what, cure)
  self.unit:need(helper, ("%s: %s"):format(self:here(), what), cure)
end

-- The place in the script: "tool.lua:12".
function Compiler:here()
  local instruction = self.proto.code[self.pc]
  return ("%s:%d"):format(chunk_name(self.proto.source), instruction and instruction.line or self.proto.line)
end

-- The error of a program at run time: it ends with 0.
function Compiler:abort()
  self:leave_with(0)
end

return Compiler

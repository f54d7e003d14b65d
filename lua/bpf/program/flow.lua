-- SPDX-License-Identifier: MIT
-- The control flow of Lua's bytecode: where each instruction goes on, which registers it reads and writes, which are
-- live at each point, and the basic blocks.
local flow = {}

-- Instructions that skip the next one, a jump, or take it.
local CONDITIONS = {}
for op in ("EQ LT LE EQK EQI LTI LEI GTI GEI TEST TESTSET"):gmatch("%S+") do
  CONDITIONS[op] = true
end
flow.CONDITIONS = CONDITIONS

-- Where an instruction goes on ----------------------------------------------------------------------------------------

local function numeric_exit(i, pc)
  return pc + 1 + i.Bx + 1
end

local targets

-- Where a body that is a function of its own goes on: behind the loop, and wherever it jumps to out of it.
local function exits_of(c, from, to, exit)
  local list, seen = { exit }, { [exit] = true, [to + 1] = true }
  for pc = from, to do
    local op = c.proto.code[pc].op
    if op == "JMP" or CONDITIONS[op] then
      for _, target in ipairs(targets(c, pc)) do
        if (target < from or target > to) and not seen[target] then
          seen[target] = true
          list[#list + 1] = target
        end
      end
    end
  end
  return list
end

local nowhere = function() return {} end

local rows = {
  JMP = function(_, i, pc) return { pc + 1 + i.sJ } end,
  LFALSESKIP = function(_, _, pc) return { pc + 2 } end,
  RETURN = nowhere, RETURN0 = nowhere, RETURN1 = nowhere, TAILCALL = nowhere,
  FORPREP = function(c, i, pc)
    local exit = numeric_exit(i, pc)
    return c.outlined[pc] and exits_of(c, pc + 1, pc + i.Bx, exit) or { pc + 1, exit }
  end,
  FORLOOP = function(_, i, pc) return { pc + 1, pc + 1 - i.Bx } end,
  TFORPREP = function(c, i, pc) return exits_of(c, pc + 1, pc + i.Bx, pc + i.Bx + 3) end,
}

-- The pcs that may follow, in the program that is made: the bodies of callbacks are not part of it.
function targets(c, pc)
  local i = c.proto.code[pc]
  if CONDITIONS[i.op] then
    return { pc + 2, pc + 2 + c.proto.code[pc + 1].sJ }
  end
  local row = rows[i.op]
  return row and row(c, i, pc) or { pc + 1 }
end
flow.targets = targets

-- The pcs that may follow as Lua runs it, with the bodies of all loops.
local function all_targets(c, pc)
  local i = c.proto.code[pc]
  if i.op == "TFORPREP" then
    return { pc + 1 + i.Bx }
  elseif i.op == "TFORLOOP" then
    return { pc + 1, pc + 1 - i.Bx }
  elseif i.op == "FORPREP" then
    return { pc + 1, numeric_exit(i, pc) }
  end
  return targets(c, pc)
end
flow.all_targets = all_targets

-- Whether a loop between two pcs has a third one in it.
function flow.loops(c, pc, from, to)
  for at = pc, to - 1 do
    for _, target in ipairs(all_targets(c, at)) do
      if from <= target and target <= pc then
        return true
      end
    end
  end
  return false
end

-- What an instruction reads and writes --------------------------------------------------------------------------------

-- By letters: reads > writes. "C?" is the register C unless it is a constant's number. TESTSET writes A on one of its
-- ways only, the jump: on the other, what A held is still needed.
local OPERANDS = {
  MOVE = "B>A", UNM = "B>A", BNOT = "B>A", NOT = "B>A", LEN = "B>A", GETI = "B>A", GETFIELD = "B>A",
  LOADI = ">A", LOADF = ">A", LOADK = ">A", LOADKX = ">A", LOADFALSE = ">A", LFALSESKIP = ">A", LOADTRUE = ">A",
  GETUPVAL = ">A", GETTABUP = ">A", NEWTABLE = ">A", CLOSURE = ">A", VARARG = ">A",
  ADDI = "B>A", SHRI = "B>A", SHLI = "B>A", SETUPVAL = "A>",
  GETTABLE = "BC>A", SETTABUP = "C?>", SETTABLE = "ABC?>", SETI = "AC?>", SETFIELD = "AC?>", SELF = "BC?>AA1",
  EQ = "AB>", LT = "AB>", LE = "AB>", EQK = "A>", EQI = "A>", LTI = "A>", LEI = "A>", GTI = "A>", GEI = "A>",
  TEST = "A>", TESTSET = "B>", RETURN1 = "A>", TBC = "A>",
  MMBIN = ">", MMBINI = ">", MMBINK = ">", CLOSE = ">", JMP = ">", EXTRAARG = ">", VARARGPREP = ">", RETURN0 = ">",
  ERRNNIL = ">",
}
for op in ("ADD SUB MUL MOD POW DIV IDIV BAND BOR BXOR SHL SHR"):gmatch("%S+") do
  OPERANDS[op], OPERANDS[op .. "K"] = "BC>A", "B>A"
end

local function range(from, to)
  local list = {}
  for register = from, to do
    list[#list + 1] = register
  end
  return list
end

-- Instructions whose registers are a range.
local RANGES = {
  LOADNIL = function(i) return {}, range(i.A, i.A + i.B) end,
  CONCAT = function(i) return range(i.A, i.A + i.B - 1), { i.A } end,
  CALL = function(i) return range(i.A, i.A + math.max(i.B, 1) - 1), range(i.A, i.A + i.C - 2) end,
  TAILCALL = function(i) return range(i.A, i.A + math.max(i.B, 1) - 1), {} end,
  RETURN = function(i) return range(i.A, i.A + i.B - 2), {} end,
  SETLIST = function(i) return range(i.A, i.A + i.B), {} end,
  FORPREP = function(i) return range(i.A, i.A + 2), { i.first } end,
  FORLOOP = function(i) return range(i.A, i.A + 1), { i.first } end,
  TFORPREP = function(i) return range(i.A, i.A + 3), {} end,
  TFORCALL = function(i) return range(i.A, i.A + 2), range(i.first, i.first + i.C - 1) end,
  TFORLOOP = function(i) return { i.first }, {} end,
}

local function registers(i, letters)
  local list = {}
  for letter, mark in letters:gmatch("([ABC])([?1]?)") do
    if not (mark == "?" and i.k == 1) then
      list[#list + 1] = i[letter] + (mark == "1" and 1 or 0)
    end
  end
  return list
end

-- The registers that an instruction reads, and those that it writes.
local function uses_and_definitions(i)
  local row = RANGES[i.op]
  if row then
    return row(i)
  end
  local reads, writes = (OPERANDS[i.op] or "ABC>"):match("^(.-)>(.*)$")
  return registers(i, reads), registers(i, writes)
end

-- Whether any instruction from one pc on, up to another, writes a register.
function flow.assigned(proto, register, from, to)
  for pc = from, to - 1 do
    local i = proto.code[pc]
    local _, writes = uses_and_definitions(i)
    if i.op == "TESTSET" then
      writes = { i.A }
    end
    for _, written in ipairs(writes) do
      if written == register then
        return true
      end
    end
  end
  return false
end

-- Liveness ------------------------------------------------------------------------------------------------------------

local OPEN = { CALL = true, TAILCALL = true, RETURN = true, SETLIST = true }

-- What each instruction reads and writes; an instruction with an open number of operands reads up to the last call
-- that left an open number of results.
local function operands_of(proto)
  local uses, definitions, open = {}, {}, 0
  for pc = 0, proto.last_pc do
    local i = proto.code[pc]
    uses[pc], definitions[pc] = uses_and_definitions(i)
    if i.B == 0 and OPEN[i.op] then
      for register = i.A, open do
        table.insert(uses[pc], register)
      end
    end
    if i.C == 0 and (i.op == "CALL" or i.op == "VARARG") then
      open = i.A
    end
    for _, upvalue in pairs(i.op == "CLOSURE" and proto.protos[i.Bx].upvalues or {}) do
      if upvalue.in_stack and upvalue.index ~= i.A then
        table.insert(uses[pc], upvalue.index)
      end
    end
  end
  return uses, definitions
end

-- live[pc]: the set of registers that are still needed from there on.
function flow.liveness(c)
  local proto = c.proto
  local live, following = {}, {}
  for pc = 0, proto.last_pc + 1 do
    live[pc] = {}
  end
  local uses, definitions = operands_of(proto)
  for pc = 0, proto.last_pc do
    following[pc] = all_targets(c, pc)
  end
  local again = true
  while again do
    again = false
    for pc = proto.last_pc, 0, -1 do
      local out = {}
      local i = proto.code[pc]
      for _, target in ipairs(following[pc]) do
        local written = i.op == "TESTSET" and target ~= pc + 2 and i.A
        for register in pairs(live[target] or {}) do
          out[register] = register ~= written or out[register]
        end
      end
      for _, register in ipairs(definitions[pc]) do
        out[register] = nil
      end
      for _, register in ipairs(uses[pc]) do
        out[register] = true
      end
      for register in pairs(out) do
        again = again or not live[pc][register]
        live[pc][register] = true
      end
    end
  end
  return live
end

-- The loop variables that are the same as the loop's hidden counter, since the body doesn't assign them: { pc of the
-- body → { counter, variable } }. They need no registers of their own, so they aren't live where the body begins.
function flow.counters(proto, live)
  local counters = {}
  for pc = 0, proto.last_pc do
    local i = proto.code[pc]
    if i.op == "FORPREP" and not flow.assigned(proto, i.first, pc + 1, pc + 1 + i.Bx) then
      counters[pc + 1] = { counter = i.A, variable = i.first }
      live[pc + 1][i.first] = nil
    end
  end
  return counters
end

-- Blocks --------------------------------------------------------------------------------------------------------------

local function inside(c, pc)
  local region = c.region
  return not region or pc >= region.from and pc <= region.to
end
flow.inside = inside

-- All pcs that can be reached from the entry: how many ways lead to each, which begin a block, which begin a loop.
local function reach(c, entry)
  local ways, seen, leaders, back, todo = { [entry] = 1 }, {}, { [entry] = true }, {}, { entry }
  while #todo > 0 do
    local pc = table.remove(todo)
    if not seen[pc] and inside(c, pc) then
      seen[pc] = true
      local following = targets(c, pc)
      for _, target in ipairs(following) do
        if #following > 1 or target ~= pc + 1 then
          leaders[target] = true
        end
        ways[target] = (ways[target] or 0) + 1
        back[target] = back[target] or target <= pc or nil
        todo[#todo + 1] = target
      end
    end
  end
  return ways, seen, leaders, back
end

-- The basic blocks from an entry on, within the compiler's region: { pc → block }, and their pcs in order.
function flow.blocks(c, entry)
  local ways, seen, leaders, back = reach(c, entry)
  local blocks, order = {}, {}
  for pc in pairs(seen) do
    if leaders[pc] or ways[pc] > 1 then
      blocks[pc] = { pc = pc, ways = ways[pc], registers = {}, loop = back[pc] }
      order[#order + 1] = pc
    end
  end
  table.sort(order)
  return blocks, order
end

return flow

-- SPDX-License-Identifier: MIT
-- Bytecode read into prototypes. Needs no root, and of the library only this file. What the two versions of Lua write
-- differently is read alike: nothing here asks for the version.
local undump = require "bpf.program.undump"

-- The function that a text makes of `...`, with the upvalues m and limit, and its prototype.
local function compile(text)
  local fn = assert(load("local m, limit = {}, 7\nreturn " .. text, "=text"))()
  return assert(undump.parse(fn)), fn
end

-- The first instruction with an opcode, and its pc.
local function find(proto, op)
  for pc = 0, proto.last_pc do
    if proto.code[pc].op == op then
      return proto.code[pc], pc
    end
  end
  error("there is no " .. op)
end

describe("undump.parse", function()
  it("gives a function's head", function()
    local proto, fn = compile "function(a, b)\n\n  return a\nend"
    local info = debug.getinfo(fn, "S")
    assert.same({ "=text", 2, 5, 2, false }, { proto.source, proto.line, proto.last, proto.parameters, proto.vararg })
    assert.same({ info.source, info.linedefined, info.lastlinedefined }, { proto.source, proto.line, proto.last })
    proto = compile "function(...) return ... end"
    assert.same({ 0, true }, { proto.parameters, proto.vararg })
    proto = assert(undump.parse(find))
    assert.equal(debug.getinfo(find, "S").source, proto.source)
  end)

  it("refuses functions that are written in C", function()
    assert.same({ nil, "the function is written in C, and only functions written in Lua have bytecode" },
      { undump.parse(print) })
    assert.has_error(function() undump.parse(1) end)
  end)

  it("reads all kinds of constants", function()
    local proto = compile [[function(a)
      a.x = nil
      return 1e300, -1e300, 0x7fffffffffffffff, math.mininteger, 1 << 40, -(1 << 40) - 1, "text", "nul\0byte", ""
    end]]
    local found = {}
    for i = 0, #proto.constants do
      local value = proto.constants[i].value
      found[#found + 1] = value
      found[value == nil and "nil" or value] = math.type(value) or type(value)
    end
    assert.equal("float", found[1e300])
    assert.equal("float", found[-1e300])
    assert.equal("integer", found[math.maxinteger])
    assert.equal("integer", found[1 << 40])
    assert.equal("integer", found[-(1 << 40) - 1])
    assert.equal("string", found.text)
    assert.equal("string", found["nul\0byte"])
    assert.equal("nil", found["nil"])
    assert.is_nil(found.absent)
  end)

  it("reads long strings, and each string that occurs again", function()
    local long = ("x"):rep(70000)
    local proto = compile(([[function(a)
      local function inner() return "%s", "again", "short" end
      return "%s", inner, "again", "short", a.again
    end]]):format(long, long))
    local function has(constants, text)
      for i = 0, #constants do
        if constants[i].value == text then
          return true
        end
      end
      return false
    end
    for _, text in ipairs { long, "again", "short" } do
      assert.is_true(has(proto.constants, text))
      assert.is_true(has(proto.protos[0].constants, text))
    end
  end)

  it("reads upvalues by name and place", function()
    local proto = compile "function(a) local b = m[a] return function() return a, b, limit end end"
    assert.same({ name = "m", in_stack = true, index = 0 }, proto.upvalues[0])
    assert.same({ name = "limit", in_stack = true, index = 1 }, proto.upvalues[1])
    local inner = proto.protos[0]
    assert.same({ name = "a", in_stack = true, index = 0 }, inner.upvalues[0])
    assert.same({ name = "b", in_stack = true, index = 1 }, inner.upvalues[1])
    assert.same({ name = "limit", in_stack = false, index = 1 }, inner.upvalues[2])
    assert.is_nil(inner.upvalues[3])
  end)

  it("reads functions within functions, which have the same source", function()
    local proto = compile [[function()
      local function one() return function(a, b) return a + b end end
      local function two(a) return a end
      return one, two
    end]]
    assert.same({ 3, 4 }, { proto.protos[0].line, proto.protos[1].line })
    assert.equal(2, proto.protos[0].protos[0].parameters)
    assert.equal("ADD", proto.protos[0].protos[0].code[0].op)
    assert.equal("=text", proto.protos[0].protos[0].source)
    assert.same({ 0, 1 }, { find(proto, "CLOSURE").Bx, proto.code[1].Bx })
    assert.is_nil(proto.protos[2])
  end)

  it("reads stripped functions: their instructions have the function's line", function()
    local _, fn = compile "function(a)\n\n\n  return a + limit\nend"
    local proto = assert(undump.parse(load(string.dump(fn, true))))
    assert.same({ "=?", 2, 6 }, { proto.source, proto.line, proto.last })
    for pc = 0, proto.last_pc do
      assert.equal(2, proto.code[pc].line)
    end
    assert.equal("?", proto.upvalues[0].name)
    assert.same({}, proto.locals)
    assert.is_nil(undump.name_of(proto, 0, 0))
    assert.equal("upvalue '?'", undump.name_of(proto, find(proto, "ADD").C, 1))
  end)

  it("has instructions from 0 to last_pc, and nothing beside them", function()
    local proto = compile "function() end"
    assert.equal("RETURN0", proto.code[proto.last_pc].op)
    assert.is_nil(proto.code[proto.last_pc + 1])
    assert.is_nil(proto.code[-1])
    assert.equal(proto.code[0], proto.code[0])
  end)
end)

describe("undump.read", function()
  it("refuses other versions of Lua by their names", function()
    local bytes = string.dump(function() end)
    assert.same({ nil, "programs can be written in Lua 5.4 and 5.5; this is Lua 5.3's bytecode" },
      { undump.read(bytes:sub(1, 4) .. "\x53" .. bytes:sub(6)) })
    assert.same({ nil, "programs can be written in Lua 5.4 and 5.5; this is Lua 5.6's bytecode" },
      { undump.read(bytes:sub(1, 4) .. "\x56" .. bytes:sub(6)) })
  end)

  it("refuses what is no bytecode, and numbers of other sizes", function()
    assert.same({ nil, "this is no bytecode of Lua" }, { undump.read("return 1") })
    local bytes = string.dump(function() end)
    assert.same({ nil, "this Lua was built with other types of numbers than 64-bit integers and doubles" },
      { undump.read(bytes:sub(1, 12) .. "\9" .. bytes:sub(14)) })
  end)

  it("gives the same as parse", function()
    local function fn(a) return a end
    assert.same(undump.parse(fn).locals, undump.read(string.dump(fn)).locals)
  end)
end)

describe("the lines of instructions", function()
  -- Every line on which Lua says that there is an instruction has one here.
  local function compare(fn)
    local lines, proto = {}, assert(undump.parse(fn))
    for pc = 0, proto.last_pc do
      if proto.code[pc].op ~= "VARARGPREP" then
        lines[proto.code[pc].line] = true
      end
    end
    assert.same(debug.getinfo(fn, "L").activelines, lines)
  end

  it("are Lua's", function()
    compare(compare)
    compare(find)
  end)

  it("are right across gaps of more than 127 lines, in both directions", function()
    local gap = ("\n"):rep(300)
    local _, fn = compile("function(a)" .. gap .. "a = a" .. gap .. "a = a(" .. gap .. "1)\nreturn a" .. gap .. "end")
    compare(fn)
  end)

  it("are right in functions of many thousands of instructions", function()
    local text = { "function(a)" }
    for i = 1, 9000 do
      text[#text + 1] = ("  a = a + %d"):format(i % 100)
    end
    text[#text + 1] = "  return a\nend"
    local proto, fn = compile(table.concat(text, "\n"))
    assert.is_true(proto.last_pc > 15000)
    compare(fn)
    local _, pc = find(proto, "RETURN1")
    assert.equal(9003, proto.code[pc].line)
    assert.equal(9002, proto.code[pc - 1].line)
  end)
end)

-- The statements of a function of a, b and c; the first instruction with that opcode; some of its fields.
local INSTRUCTIONS = {
  { "local x = a return x, b", "MOVE", { A = 3, B = 0 } },
  { "local x = 5", "LOADI", { A = 3, sBx = 5 } },
  { "local x = -65535", "LOADI", { A = 3, sBx = -65535 } },
  { "local x = -7.0", "LOADF", { A = 3, sBx = -7 } },
  { "local x = 65537", "LOADK", { A = 3, Bx = 0 } },
  { "local x = false", "LOADFALSE", { A = 3 } },
  { "local x = true", "LOADTRUE", { A = 3 } },
  { "local x = a == b", "LFALSESKIP", { A = 3 } },
  { "local x, y, z", "LOADNIL", { A = 3, B = 2 } },
  { "local x = limit", "GETUPVAL", { A = 3, B = 0 } },
  { "limit = a", "SETUPVAL", { A = 0, B = 0 } },
  { "local x = m.n", "GETTABUP", { A = 3, B = 0, C = 0 } },
  { "local x = a[b]", "GETTABLE", { A = 3, B = 0, C = 1 } },
  { "local x = a[9]", "GETI", { A = 3, B = 0, C = 9 } },
  { "local x = a.n", "GETFIELD", { A = 3, B = 0, C = 0 } },
  { "m.n = b", "SETTABUP", { A = 0, B = 0, C = 1, k = 0 } },
  { "m.n = 5", "SETTABUP", { A = 0, B = 0, C = 1, k = 1 } },
  { "a[b] = c", "SETTABLE", { A = 0, B = 1, C = 2, k = 0 } },
  { "a[9] = c", "SETI", { A = 0, B = 9, C = 2, k = 0 } },
  { "a.n = c", "SETFIELD", { A = 0, B = 0, C = 2, k = 0 } },
  { "a.n = nil", "SETFIELD", { A = 0, B = 0, C = 1, k = 1 } },
  { "local x = { n = 1 }", "NEWTABLE", { A = 3, B = 1, C = 0 } },
  { "local x = { 1, 2, 3 }", "NEWTABLE", { A = 3, B = 0, C = 3 } },
  { "local x = { 1, 2, 3 }", "SETLIST", { A = 3, B = 3, C = 0, k = 0 } },
  { "a:n(b)", "SELF", { A = 3, B = 0, C = 0, k = 1 } },
  { "local x = a + 5", "ADDI", { A = 3, B = 0, sC = 5 } },
  { "local x = a - 5", "ADDI", { A = 3, B = 0, sC = -5 } },
  { "local x = a - 5", "MMBINI", { A = 0, sB = 5 } },
  { "local x = a + 500", "ADDK", { A = 3, B = 0, C = 0 } },
  { "local x = a - 500", "SUBK", { A = 3, B = 0, C = 0 } },
  { "local x = a * 5", "MULK", { A = 3, B = 0, C = 0 } },
  { "local x = a % 5", "MODK", { A = 3, B = 0, C = 0 } },
  { "local x = a ^ 5", "POWK", { A = 3, B = 0, C = 0 } },
  { "local x = a / 5", "DIVK", { A = 3, B = 0, C = 0 } },
  { "local x = a // 5", "IDIVK", { A = 3, B = 0, C = 0 } },
  { "local x = a & 5", "BANDK", { A = 3, B = 0, C = 0 } },
  { "local x = a | 5", "BORK", { A = 3, B = 0, C = 0 } },
  { "local x = a ~ 5", "BXORK", { A = 3, B = 0, C = 0 } },
  { "local x = a ~ 5", "MMBINK", { A = 0, B = 0 } },
  { "local x = a >> 5", "SHRI", { A = 3, B = 0, sC = 5 } },
  { "local x = a << 5", "SHRI", { A = 3, B = 0, sC = -5 } },
  { "local x = 5 << a", "SHLI", { A = 3, B = 0, sC = 5 } },
  { "local x = a + b", "ADD", { A = 3, B = 0, C = 1 } },
  { "local x = a + b", "MMBIN", { A = 0, B = 1 } },
  { "local x = a - b", "SUB", { A = 3, B = 0, C = 1 } },
  { "local x = a * b", "MUL", { A = 3, B = 0, C = 1 } },
  { "local x = a % b", "MOD", { A = 3, B = 0, C = 1 } },
  { "local x = a ^ b", "POW", { A = 3, B = 0, C = 1 } },
  { "local x = a / b", "DIV", { A = 3, B = 0, C = 1 } },
  { "local x = a // b", "IDIV", { A = 3, B = 0, C = 1 } },
  { "local x = a & b", "BAND", { A = 3, B = 0, C = 1 } },
  { "local x = a | b", "BOR", { A = 3, B = 0, C = 1 } },
  { "local x = a ~ b", "BXOR", { A = 3, B = 0, C = 1 } },
  { "local x = a << b", "SHL", { A = 3, B = 0, C = 1 } },
  { "local x = a >> b", "SHR", { A = 3, B = 0, C = 1 } },
  { "local x = -a", "UNM", { A = 3, B = 0 } },
  { "local x = ~a", "BNOT", { A = 3, B = 0 } },
  { "local x = not a", "NOT", { A = 3, B = 0 } },
  { "local x = #a", "LEN", { A = 3, B = 0 } },
  { "local x = a .. b", "CONCAT", { A = 3, B = 2 } },
  { "do local x = 1 m = function() return x end end b = c", "CLOSE", { A = 3 } },
  { "local x <close> = a", "TBC", { A = 3 } },
  { "if a == b then c = 1 end", "EQ", { A = 0, B = 1, k = 0 } },
  { "if a < b then c = 1 end", "LT", { A = 0, B = 1, k = 0 } },
  { "if a <= b then c = 1 end", "LE", { A = 0, B = 1, k = 0 } },
  { "if a > b then c = 1 end", "LT", { A = 1, B = 0, k = 0 } },
  { "if a == 'x' then c = 1 end", "EQK", { A = 0, B = 0, k = 0 } },
  { "if a == 5 then c = 1 end", "EQI", { A = 0, sB = 5, k = 0 } },
  { "if a ~= -5 then c = 1 end", "EQI", { A = 0, sB = -5, k = 1 } },
  { "if a < 5 then c = 1 end", "LTI", { A = 0, sB = 5 } },
  { "if a <= 5 then c = 1 end", "LEI", { A = 0, sB = 5 } },
  { "if a > -5 then c = 1 end", "GTI", { A = 0, sB = -5 } },
  { "if a >= 128 then c = 1 end", "GEI", { A = 0, sB = 128 } },
  { "if a then c = 1 end", "TEST", { A = 0, k = 0 } },
  { "if a then c = 1 end", "JMP", { sJ = 1 } },
  { "local x = a and b", "TESTSET", { A = 3, B = 0, k = 0 } },
  { "while a do b = c end", "JMP", { sJ = 2 } },
  { "a(b)", "CALL", { A = 3, B = 2, C = 1 } },
  { "local x, y = a()", "CALL", { A = 3, B = 1, C = 3 } },
  { "return a(b)", "TAILCALL", { A = 3, B = 2 } },
  { "return a, b", "RETURN", { A = 3, B = 3 } },
  { "return", "RETURN0", {} },
  { "return b", "RETURN1", { A = 1 } },
  { "local x = function() end", "CLOSURE", { A = 3, Bx = 0 } },
}

describe("an instruction", function()
  for _, row in ipairs(INSTRUCTIONS) do
    local statements, op, fields = table.unpack(row)
    it(("%s: %s"):format(op, statements), function()
      local instruction = find(compile(("function(a, b, c) %s end"):format(statements)), op)
      for name, value in pairs(fields) do
        assert.equal(value, instruction[name], name)
      end
    end)
  end

  it("has its signed operand only where Lua has one", function()
    local proto = compile "function(a, b, c) if a == b then return a + b end end"
    for pc = 0, proto.last_pc do
      assert.is_nil(proto.code[pc].sB)
      assert.is_nil(proto.code[pc].sC)
    end
  end)

  it("that loads one of very many constants has its index", function()
    local lists = {}
    for i = 0, 699 do
      local list = {}
      for j = 1, 200 do
        list[j] = ("%d.5"):format(i * 200 + j)
      end
      lists[#lists + 1] = "a = { " .. table.concat(list, ", ") .. " }"
    end
    local proto = compile("function(a)\n" .. table.concat(lists, "\n") .. "\nend")
    local instruction = find(proto, "LOADKX")
    assert.equal(131072, instruction.Bx)
    assert.equal(131073.5, proto.constants[instruction.Bx].value)
  end)

  it("that fills a long list has the number of the entries before", function()
    local list = {}
    for i = 1, 3000 do
      list[i] = i
    end
    local proto = compile("function(a) a = { " .. table.concat(list, ", ") .. " } end")
    assert.equal(3000, find(proto, "NEWTABLE").C)
    local entries = 0
    for pc = 0, proto.last_pc do
      if proto.code[pc].op == "SETLIST" then
        assert.equal(entries, proto.code[pc].C)
        entries = entries + proto.code[pc].B
      end
    end
    assert.equal(3000, entries)
  end)
end)

describe("a loop", function()
  it("over numbers has its variable's register in its instructions", function()
    local proto = compile "function(a) for i = 1, a, 2 do m = i end end"
    local prepare, at = find(proto, "FORPREP")
    local loop, to = find(proto, "FORLOOP")
    assert.equal("i", undump.local_name(proto, prepare.first, at + 1))
    assert.same({ 1, prepare.first, 1 }, { loop.A, loop.first, loop.control })
    assert.equal(to + 1, at + 1 + prepare.Bx + 1)
    assert.equal(at + 1, to + 1 - loop.Bx)
    assert.is_true(prepare.first > prepare.control)
    assert.equal(prepare.first, find(proto, "SETUPVAL").A)
  end)

  it("over an iterator has its variables' registers in its instructions", function()
    local proto = compile "function(a) for k, v in a do m[k] = v end end"
    local prepare, at = find(proto, "TFORPREP")
    local call, to = find(proto, "TFORCALL")
    local loop = find(proto, "TFORLOOP")
    assert.equal("k", undump.local_name(proto, prepare.first, at + 1))
    assert.equal("v", undump.local_name(proto, prepare.first + 1, at + 1))
    assert.same({ prepare.first, prepare.first }, { call.first, loop.first })
    assert.same({ prepare.control, prepare.control }, { call.control, loop.control })
    assert.same({ 1, 1, 1, 2 }, { prepare.A, call.A, loop.A, call.C })
    assert.equal(to, at + 1 + prepare.Bx)
    assert.equal(at + 1, to + 2 - loop.Bx)
    assert.is_true(prepare.control > prepare.A + 1)
  end)

  it("has no names for the registers of its state", function()
    local proto = compile "function(a) for i = 1, a do m = i end for k in a do m = k end end"
    local first, at = find(proto, "FORPREP")
    assert.is_nil(undump.local_name(proto, first.A, at + 1))
    first, at = find(proto, "TFORPREP")
    assert.is_nil(undump.local_name(proto, first.A, at + 1))
  end)
end)

describe("undump.local_name", function()
  it("knows which variable is in a register at a pc", function()
    local proto = compile "function(a) do local x = a m = x end local y = a.n m = y return y end"
    local _, first = find(proto, "MOVE")
    local _, second = find(proto, "GETFIELD")
    assert.equal("a", undump.local_name(proto, 0, 0))
    assert.is_nil(undump.local_name(proto, 1, first)) -- declared from the next instruction on
    assert.equal("x", undump.local_name(proto, 1, first + 1))
    assert.is_nil(undump.local_name(proto, 1, second))
    assert.equal("y", undump.local_name(proto, 1, second + 1))
    assert.is_nil(undump.local_name(proto, 2, second + 1))
  end)
end)

-- An expression of a, b and t whose `+ 1` adds to something without a number, and how Lua calls it.
local NAMES = {
  { "b + 1", "local 'b'" },
  { "limit + 1", "upvalue 'limit'" },
  { "a.count + 1", "field 'count'" },
  { "a.deep.count + 1", "field 'count'" },
  { "m.count + 1", "field 'count'" },
  { "a[b] + 1", "field '?'" },
  { "a[1] + 1", "field '?'" },
  { "nothing + 1", "global 'nothing'" },
  { "'text' + 1", "constant 'text'" },
  { "a(b) + 1" },
  { "(a or b) + 1" },
  { "(#a) + 1" },
  { "a + 1", "local 'a'" },
}

describe("undump.name_of", function()
  for _, row in ipairs(NAMES) do
    local expression, name = table.unpack(row)
    it(("calls what %s adds to %s"):format(expression, name or "nothing at all"), function()
      local proto = compile(("function(a, b) return %s end"):format(expression))
      local instruction, pc = find(proto, "ADDI")
      assert.equal(name, undump.name_of(proto, instruction.B, pc))
    end)
  end

  it("says what Lua says", function()
    local function said(text)
      local fn = assert(load(text, "=text"))
      local _, message = pcall(fn)
      local proto = assert(undump.parse(fn))
      local instruction, pc = find(proto, "ADDI")
      assert.matches("(" .. undump.name_of(proto, instruction.B, pc) .. ")", message, 1, true)
    end
    said "local t = {} return t.count + 1"
    said "local x return x + 1"
    said "return nothing + 1"
    said "local t = { deep = {} } return t.deep.count + 1"
  end)

  it("calls methods and functions by their names", function()
    local proto = compile "function(a) a:method(1) helper.call(a) end"
    local call, pc = find(proto, "CALL")
    assert.equal("method 'method'", undump.name_of(proto, call.A, pc))
    for at = pc + 1, proto.last_pc do
      if proto.code[at].op == "CALL" then
        assert.equal("field 'call'", undump.name_of(proto, proto.code[at].A, at))
      end
    end
  end)

  it("doesn't take one of two paths for what happened", function()
    local proto = compile "function(a, b) local x = (a and m.one or m.two) + 1 return x end"
    local instruction, pc = find(proto, "ADDI")
    assert.is_nil(undump.name_of(proto, instruction.B, pc))
  end)
end)

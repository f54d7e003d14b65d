-- SPDX-License-Identifier: MIT
-- Functions of the intermediate code, built by hand or by chance, as the kernel runs them.
local code = require("spec.support.ir")
local kernel = require("spec.support.kernel")
local emit = require("bpf.program.emit")
local opt = require("bpf.program.opt")

kernel.root()

local U64 = { kind = "int", size = 8, name = "__u64" }

local KTIME_GET_NS = 5

local func, number, load, run, result = code.func, code.number, code.load, code.run, code.result

describe("arithmetic", function()
  local OPERATIONS = { "add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "mod", "xor", "arsh", "neg" }
  local SHIFTS = { lsh = true, rsh = true, arsh = true }

  local pairs_of_edges = {}
  for _, a in ipairs(code.EDGES) do
    for _, b in ipairs(code.EDGES) do
      table.insert(pairs_of_edges, { a, b })
    end
  end

  -- The second operand of an operation that gets b: nil for neg.
  local function second(operation, bits, b)
    if SHIFTS[operation] then
      return b & bits - 1
    elseif (operation == "div" or operation == "mod") and bits == 32 then
      return b | 1 -- of 32 bits by 0, kernels make different things
    end
    return operation ~= "neg" and b or nil
  end

  local known = {}

  -- What an operation gives for each pair.
  local function expect(operation, bits)
    local key = operation .. bits
    if not known[key] then
      known[key] = {}
      for n, pair in ipairs(pairs_of_edges) do
        known[key][n] = code.compute(operation, pair[1], second(operation, bits, pair[2]), bits)
      end
    end
    return known[key]
  end

  -- A function that stores in the variable what an operation gives for each pair.
  local function all(operation, bits, results, make)
    local f = func(operation .. bits)
    for n, pair in ipairs(pairs_of_edges) do
      local x, y = make(f, pair[1], second(operation, bits, pair[2]))
      f:store(f:variable(results), 8 * (n - 1), 8, f:alu(operation, x, y, bits))
    end
    f:exit(0)
    return f
  end

  for _, case in ipairs({
    { "of two registers", function(f, a, b) return number(f, a), b and number(f, b) end },
    { "of a register and an integer", function(f, a, b) return number(f, a), b end },
    { "of an integer and a register", function(f, a, b) return a, b and number(f, b) end },
    { "of two integers", function(_, a, b) return a, b end },
  }) do
    it(case[1] .. " gives what Lua computes", function()
      for _, bits in ipairs({ 64, 32 }) do
        for _, operation in ipairs(OPERATIONS) do
          local n = #pairs_of_edges
          local results = { name = "results", size = 8 * n, section = ".bss",
            type = { kind = "array", size = 8 * n, count = n, element = U64 } }
          local f, expected = all(operation, bits, results, case[2]), expect(operation, bits)
          local obj <close> = load({ f }, { variables = { results } })
          run(obj.progs[f.name])
          local seen = obj.vars.results
          for k, pair in ipairs(pairs_of_edges) do
            if seen[k] ~= expected[k] then
              error(("%s of %d bits of %d and %d: %d, not %d"):format(operation, bits, pair[1], pair[2], seen[k],
                expected[k]))
            end
          end
        end
      end
    end)
  end

  it("of conditions gives what Lua compares", function()
    local functions, expected = {}, {}
    for _, condition in ipairs({ "eq", "ne", "lt", "le", "gt", "ge", "slt", "sle", "sgt", "sge", "set" }) do
      for form = 1, 3 do -- of two registers, with an integer on the right, on the left
        local f = func(condition .. form)
        local sum = f:move(f:register(), number(f, 0))
        local want = 0
        for n, pair in ipairs(pairs_of_edges) do
          local yes, after = f:block(), f:block()
          local a, b = number(f, pair[1]), number(f, pair[2])
          f:branch(condition, form == 3 and pair[1] or a, form == 2 and pair[2] or b, yes, after)
          f:start(yes)
          f:move(sum, f:alu("xor", sum, n * 0x9e3779b9))
          f:jump(after)
          f:start(after)
          want = code.holds(condition, pair[1], pair[2]) and want ~ n * 0x9e3779b9 or want
        end
        f:exit(sum)
        functions[#functions + 1], expected[f.name] = f, want & 0xffffffff
      end
    end
    local obj <close> = load(functions)
    for _, f in ipairs(functions) do
      assert.equal(expected[f.name], run(obj.progs[f.name]), f.name)
    end
  end)

  it("of byte orders is that of the network", function()
    local f = func("orders")
    local x = number(f, 0x1122334455667788)
    local sum = f:alu("add", f:swap(x, 16), f:alu("xor", f:swap(x, 32), f:swap(x, 64)))
    sum = f:alu("xor", sum, f:alu("rsh", sum, 32))
    f:exit(f:alu("add", sum, f:swap(0x1234, 16)))
    local expected = 0x8877 + (0x88776655 ~ 0x8877665544332211)
    expected = (expected ~ expected >> 32) + 0x3412
    assert.equal(expected & 0xffffffff, result(f))
  end)
end)

describe("random code", function()
  -- Functions by their numbers of variables, depth and length.
  for _, case in ipairs({
    { "that goes straight", 4, 0, 10 },
    { "with more values than registers", 16, 0, 20 },
    { "with conditions and loops", 4, 2, 6 },
    { "with conditions, loops and more values than registers", 10, 3, 6 },
  }) do
    it(case[1] .. " returns what Lua computes", function()
      local functions, expected = {}, {}
      for seed = 1, 60 do
        local f = code.random("seed" .. seed, seed, case[2], case[3], case[4])
        functions[seed], expected[seed] = f, code.interpret(f) & 0xffffffff
      end
      local obj <close> = load(functions)
      for seed, f in ipairs(functions) do
        assert.equal(expected[seed], run(obj.progs[f.name]), f.name)
      end
    end)
  end

  it("is compiled to the same bytes each time", function()
    local first = code.build({ code.random("f", 5, 10, 3, 6) })
    assert.is_true(first == code.build({ code.random("f", 5, 10, 3, 6) }))
  end)
end)

describe("registers", function()
  it("are put on the stack where there are too few, and come back", function()
    local f = func("pressure")
    local list, sum = {}, 0
    for n = 1, 20 do
      list[n] = number(f, n * n)
      sum = sum + n * n * n
    end
    f:call(KTIME_GET_NS)
    local total = number(f, 0)
    for n = 1, 20 do
      total = f:alu("add", total, f:alu("mul", list[n], n))
    end
    f:exit(total)
    assert.equal(sum, result(f))
    assert.is_true(f.stack >= 8 * 16)
  end)

  it("are few where values don't live at the same time", function()
    local f = func("few")
    local x = f:move(f:register(), number(f, 1))
    for _ = 1, 50 do
      x = f:alu("xor", f:alu("add", x, 3), 5)
    end
    f:exit(x)
    opt.run(f)
    emit.run(f)
    assert.equal(0, f.stack)
    assert.equal(2 + 100 + 1, #f.code // 8) -- the first two additions are one
  end)

  it("that a call needs change places in circles", function()
    local function parameters(f)
      local p = {}
      for n = 1, 5 do
        p[n] = f:parameter(n)
      end
      return p
    end
    local inner = func("inner")
    local p = parameters(inner)
    local sum = p[1]
    for n = 2, 5 do
      sum = inner:alu("add", inner:alu("mul", sum, 10), p[n])
    end
    inner:exit(sum)
    local outer = func("outer")
    p = parameters(outer)
    outer:exit(outer:call_function(inner, p[2], p[1], p[4], p[5], p[3]))
    local f = func("main")
    f:exit(f:call_function(outer, 1, 2, 3, 4, 5))
    assert.equal(21453, result(f))
  end)

  it("of what is removed from the second operand's place keep that", function()
    local f = func("conflict")
    local a, b = number(f, 100), number(f, 7)
    f:move(b, f:alu("sub", a, b))
    f:move(b, f:alu("lsh", 1, f:alu("and", b, 7)))
    f:exit(f:alu("div", 1000, b))
    assert.equal(1000 // (1 << (93 & 7)), result(f))
  end)
end)

describe("memory", function()
  it("of released stack objects is used again", function()
    local f = func("again")
    for _ = 1, 100 do
      local object = f:object(61)
      f:store(object, 0, 8, 5)
      f:release(object)
    end
    f:exit(0)
    result(f)
    assert.equal(64, f.stack)
  end)

  it("of the stack has 512 bytes, and no more", function()
    local function try(size)
      local f = func("large")
      local object = f:object(size)
      f:store(object, 0, 8, number(f, 5))
      f:exit(f:load(object, 0, 8))
      return f
    end
    assert.equal(5, result(try(512)))
    local f = try(513)
    opt.run(f)
    local ok, message = pcall(emit.run, f)
    assert.is_false(ok)
    assert.is_true(message.stack)
    assert.matches("^large: the function needs 520 bytes of stack, and BPF has 512: ", message.program)
  end)

  it("is loaded with a sign if told so", function()
    local f = func("sign")
    local object = f:object(8)
    f:store(object, 0, 8, -0x7f7f7f80)
    local sum = f:load(object, 0, 1, true)
    sum = f:alu("add", sum, f:load(object, 0, 2, true))
    sum = f:alu("add", sum, f:load(object, 0, 4, true))
    f:exit(f:alu("add", sum, f:load(object, 0, 1)))
    local n = -0x7f7f7f80
    local function at(format)
      return (string.unpack(format, string.pack("<i8", n)))
    end
    assert.equal(at("<i1") + at("<i2") + at("<i4") + at("<I1") & 0xffffffff, result(f))
  end)

  it("is stored to from registers where immediates aren't possible", function()
    local f = func("store")
    local base = f:parameter(1)
    f.no_immediate = true
    f:store(base, 8, 4, 5)
    f:exit(0)
    opt.run(f)
    emit.run(f)
    assert.equal("\xb7\x02\0\0\5\0\0\0" .. "\x63\x21\8\0\0\0\0\0" .. "\xb7\0\0\0\0\0\0\0" .. "\x95\0\0\0\0\0\0\0",
      f.code)
  end)

  it("is changed atomically", function()
    local counter = { name = "counter", size = 8, type = U64, section = ".data", bytes = string.pack("<i8", 5) }
    local f = func("counting")
    f:atomic("add", f:variable(counter), 0, 8, 37)
    f:atomic("add", f:variable(counter), 0, 4, number(f, 1 << 33))
    f:exit(0)
    local obj <close> = load({ f }, { variables = { counter } })
    run(obj.progs.counting)
    assert.equal(42, obj.vars.counter)
  end)

  it("is changed atomically, and its old value known", function()
    kernel.need("atomic operations that return a value", "5.12")
    local x = { name = "x", size = 8, type = U64, section = ".data", bytes = string.pack("<i8", 5) }
    local f = func("fetching")
    local old = f:atomic("add", f:variable(x), 0, 8, 1, { fetch = true }) -- 5
    local v = number(f, 100)
    old = f:alu("add", f:alu("mul", old, 10), f:atomic("xchg", f:variable(x), 0, 8, v)) -- 6
    old = f:alu("add", f:alu("mul", old, 1000), f:atomic("cmpxchg", f:variable(x), 0, 8, 7, { expected = v })) -- 100
    old = f:alu("add", f:alu("mul", old, 10), f:atomic("cmpxchg", f:variable(x), 0, 8, v, { expected = 1 })) -- 7
    f:atomic("or", f:variable(x), 0, 8, 8, { fetch = true })
    f:exit(f:alu("add", old, v))
    local obj <close> = load({ f }, { variables = { x } })
    assert.equal(561007 + 100, run(obj.progs.fetching))
    assert.equal(15, obj.vars.x)
  end)
end)

describe("instructions", function()
  -- How many a function comes to.
  local function count(f)
    opt.run(f)
    emit.run(f)
    return #f.code // 8
  end

  -- Goes one of two ways, which set a register, and on together.
  local function choose(f, condition, a, b, yes_value, no_value)
    local d, yes, no, join = f:register(), f:block(), f:block(), f:block()
    f:branch(condition, a, b, yes, no)
    f:start(yes)
    f:move(d, yes_value)
    f:jump(join)
    f:start(no)
    f:move(d, no_value)
    f:jump(join)
    f:start(join)
    return d
  end

  it("are none for a truth value that is only tested", function()
    local f = func("truth")
    local d = choose(f, "slt", f:parameter(1), 5, 1, 0)
    local yes, no = f:block(), f:block()
    f:branch("ne", d, 0, yes, no)
    f:start(yes)
    f:exit(10)
    f:start(no)
    f:exit(20)
    assert.equal(5, count(f)) -- if, r0 = 10, exit, r0 = 20, exit
  end)

  it("are three for one of two integers", function()
    local f = func("either")
    f:exit(choose(f, "slt", f:parameter(1), 5, 1, 2))
    assert.equal(4, count(f)) -- r0 = 2, if, r0 = 1, exit
  end)

  it("are one for what fits one", function()
    local f = func("short")
    local base = f:parameter(1)
    local x = f:load(f:alu("add", base, 16), 8, 4)
    x = f:alu("and", x, 0xffffffff)
    x = f:alu("mul", x, 8)
    x = f:alu("and", x, 0xffffffff)
    f:exit(x)
    assert.equal(4, count(f)) -- r1 = *(u32 *)(r1 + 24), r1 <<= 3, w0 = w1, exit
  end)

  it("are two for the function that returns an integer without a sign", function()
    local f = func("unsigned")
    f:exit(0xfffffffe)
    assert.equal(2, count(f))
  end)

  it("that end the function alike are there once", function()
    local f = func("ends")
    local x = f:parameter(1)
    for n = 1, 5 do
      local stop, go_on = f:block(), f:block()
      f:branch("eq", x, n, stop, go_on)
      f:start(stop)
      f:exit(0)
      f:start(go_on)
    end
    f:exit(x)
    assert.equal(5 + 2 + 2, count(f))
  end)

  it("are too many where a jump leads too far", function()
    local f = func("far")
    local x, yes, no = f:parameter(1), f:block(), f:block()
    f:branch("eq", x, 0, yes, no)
    f:start(no)
    for n = 1, 1 << 14 do
      f:store(x, 0, 4, n)
      f:store(x, 8, 4, n)
    end
    f:exit(1)
    f:start(yes)
    f:exit(x)
    opt.run(f)
    local ok, message = pcall(emit.run, f)
    assert.is_false(ok)
    assert.same({ program = "far: too long, a jump leads over more than 32767 instructions" }, message)
  end)
end)

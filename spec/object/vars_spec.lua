-- SPDX-License-Identifier: MIT
-- An object's global variables: every type and section, before and after the load, from both sides.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local VARS, CALLS, EXTERNS = helper.obj("vars"), helper.obj("calls"), helper.obj("externs")
local LONG = "a_name_of_more_than_forty_characters_which_lua_does_not_intern"

local function change(obj)
  assert.equal(0, assert(obj.progs.change:run()).retval)
end

-- What the program check finds: its answer, and what it leaves in total and last.
local function check(obj)
  local retval = assert(obj.progs.check:run()).retval
  return retval, obj.vars.total, obj.vars.last
end

-- What the variables are from the start, and what the program `change` makes of them.
local VALUES = {
  { "u8", 0x81, 0x82 },
  { "s8", -0x7f, -0x80 },
  { "u16", 0x8001, 0x8002 },
  { "s16", -0x7fff, -0x8000 },
  { "u32", 0x80000001, 0x80000002 },
  { "s32", -0x7fffffff, -0x80000000 },
  { "u64", math.mininteger + 1, math.mininteger + 2 },
  { "s64", -math.maxinteger, math.mininteger },
  { "flag", true, false },
  { "single", 0.5, 0.5 },
  { "twice", -2.25, -2.25 },
  { "text", "seven", "Seven" },
  { "brimful", "four", "four" },
  { "bytes", "\0\1\2\255", "\0\1\2\254" },
  { "colour", 6, 0 },
  { "shift", -1, 1 },
  { "numbers", { 1, 2, 3, 4 }, { 1, 2, 3, 7 } },
  { "grid", { { 1, 2, 3 }, { 4, 5, 6 } }, { { 1, 2, 3 }, { 4, 5, 60 } } },
  { "shape",
    { name = "square", colour = 5, filled = true, corner = { { x = 1, y = 2 }, { x = 0, y = 0 }, { x = 0, y = 0 } },
      low = 15, high = 0, area = 0, half = { 0, 0 } },
    { name = "tquare", colour = 5, filled = true, corner = { { x = 1, y = 2 }, { x = 0, y = 0 }, { x = 0, y = -9 } },
      low = 15, high = 4095, area = 1 << 32, half = string.unpack("=I4", "\1\0\0\0") == 1 and { 0, 1 } or { 1, 0 } } },
  { "pointer", 0, 0xdead },
  { "hidden", 7, 8 },
  { LONG, 40, 41 },
  { LONG .. "_either", 41, 43 },
  { "total", 0, 3 },
  { "last", { x = 0, y = 0 }, { x = 1, y = -1 } },
  { "runs", 0, 1 },
  { "factor", 3, 3 },
  { "label", "default", "default" },
  { "origin", { x = 1, y = -1 }, { x = 1, y = -1 } },
  { "own_data", 11, 12 },
  { "own_bss", 0, 13 },
  { "own_rodata", 13, 13 },
  { "lonely", 17, 18 },
  { "company", 19, 19 },
}

-- Values of the other end of each type's range.
local OTHERS = {
  { "u8", 255 },
  { "s8", 127 },
  { "u16", 65535 },
  { "s16", 32767 },
  { "u32", 4294967295 },
  { "s32", 2147483647 },
  { "u64", -1 },
  { "s64", math.maxinteger },
  { "flag", false },
  { "single", -1.5 },
  { "twice", 0.1 },
  { "text", "12345678" },
  { "brimful", "" },
  { "bytes", "\255\0\255\0" },
  { "colour", 5 },
  { "shift", 0 },
  { "numbers", { 0, 4294967295, 0, 1 } },
  { "grid", { { 65535, 0, 0 }, { 0, 0, 65535 } } },
  { "shape", { name = "", colour = 0, filled = false,
    corner = { { x = 1, y = 2 }, { x = 3, y = 4 }, { x = -5, y = -6 } }, low = 1, high = 2, area = 3,
    half = string.unpack("=I4", "\1\0\0\0") == 1 and { 3, 0 } or { 0, 3 } } },
  { "pointer", -1 },
  { "hidden", 1 },
  { LONG, 1 },
  { "total", -1 },
  { "last", { x = -1, y = 1 } },
  { "runs", 4294967295 },
  { "own_data", 1 },
  { "own_bss", 1 },
  { "lonely", 1 },
  { "company", 1 },
}

-- Unions are written by one member alone.
local function writable(name, value)
  if name ~= "shape" then
    return value
  end
  local copy = {}
  for member, v in pairs(value) do
    copy[member] = v
  end
  copy.half = nil
  return copy
end

describe("variable arguments:", function()
  for _, case in ipairs({
    { "an integer too large", "u8: 256 does not fit in __u8", function(vars) vars.u8 = 256 end },
    { "an integer too small", "s16: %-32769 does not fit", function(vars) vars.s16 = -32769 end },
    { "a negative integer", "u32: %-1 does not fit", function(vars) vars.u32 = -1 end },
    { "a fraction", "u64: 1%.5 is not an integer", function(vars) vars.u64 = 1.5 end },
    { "a string for a number", "u32: integer expected", function(vars) vars.u32 = "1" end },
    { "nil", "u32: integer expected.*nil", function(vars) vars.u32 = nil end },
    { "a table for a number", "u32: integer expected.*table", function(vars) vars.u32 = {} end },
    { "a number for a boolean", "flag: 2 does not fit", function(vars) vars.flag = 2 end },
    { "a string for a boolean", "flag: boolean", function(vars) vars.flag = "true" end },
    { "a string for a double", "twice: number expected", function(vars) vars.twice = "1" end },
    { "a number too large for a float", "single: 1e%+300 does not fit", function(vars) vars.single = 1e300 end },
    { "a string too long", "text: 9 bytes do not fit in char%[8%]", function(vars) vars.text = "123456789" end },
    { "bytes of another length", "bytes: .*4 bytes, got 3", function(vars) vars.bytes = "abc" end },
    { "an unknown enumerator", "colour: .*no enumerator 'PINK' .*GREEN", function(vars) vars.colour = "PINK" end },
    { "an unknown member", "last: .*no member 'z' .*x, y", function(vars) vars.last = { z = 1 } end },
    { "a member's wrong value", "last%.y: ", function(vars) vars.last = { y = "up" } end },
    { "too many elements", "numbers: 5 elements do not fit", function(vars) vars.numbers = { 1, 2, 3, 4, 5 } end },
    { "an element's wrong value", "grid%[2%]%[3%]: 65536 does not fit",
      function(vars) vars.grid = { { 0 }, { 0, 0, 65536 } } end },
    { "a bit-field's wrong value", "shape%.low: 16 does not fit in the 4 bits",
      function(vars) vars.shape = { low = 16 } end },
    { "an unknown variable", "no variable 'nothing' %(variables: .*u8.*…%)", function(vars) vars.nothing = 1 end },
    { "a name that is no string", "no variable '1'", function(vars) vars[1] = 1 end },
  }) do
    for _, state in ipairs({ "before", "after" }) do
      it(("%s raises and changes nothing, %s the load"):format(case[1], state), function()
        if state == "after" then
          kernel.root()
        end
        local obj <close> = assert((state == "after" and bpf.load or bpf.open)(VARS))
        helper.raises(function() case[3](obj.vars) end, case[2])
        for _, row in ipairs(VALUES) do
          assert.same(row[2], obj.vars[row[1]], row[1])
        end
      end)
    end
  end

  it("reading an unknown variable raises and names those there are", function()
    local obj <close> = assert(bpf.open(CALLS))
    helper.raises(function() return obj.vars.targets end, "no variable 'targets' %(variables: .*target")
    helper.raises(function() return obj.vars[("x"):rep(60)] end, "no variable 'x+'")
    helper.raises(function() return obj.vars[1] end, "no variable '1'")
    helper.raises(function() return obj.vars[true] end, "no variable 'true'")
    helper.raises(function() return obj.vars["target\0"] end, "no variable 'target")
    helper.raises(function() return obj.vars[LONG] end, "no variable 'a_name")
  end)
end)

describe("variables before the load", function()
  it("have the values of the source", function()
    local obj <close> = assert(bpf.open(VARS))
    for _, row in ipairs(VALUES) do
      assert.same(row[2], obj.vars[row[1]], row[1])
    end
  end)

  it("can be set, constants too", function()
    local obj <close> = assert(bpf.open(VARS))
    for _, row in ipairs(OTHERS) do
      obj.vars[row[1]] = writable(row[1], row[2])
    end
    obj.vars.factor, obj.vars.label, obj.vars.origin, obj.vars.own_rodata = 1, "0123456789abcdef", { x = 9 }, 2
    for _, row in ipairs(OTHERS) do
      assert.same(row[2], obj.vars[row[1]], row[1])
    end
    assert.same({ 1, "0123456789abcdef", { x = 9, y = 0 }, 2 },
      { obj.vars.factor, obj.vars.label, obj.vars.origin, obj.vars.own_rodata })
  end)

  it("are what the program starts with", function()
    kernel.root()
    local obj <close> = assert(bpf.open(VARS))
    local vars = obj.vars
    vars.factor, vars.label, vars.origin, vars.own_rodata = 5, "X", { x = -7, y = 8 }, 100
    vars.total, vars.lonely, vars.text = 1000, 7, "Y"
    assert(obj:load())
    change(obj)
    assert.same({ 1005, { x = -7, y = 8 }, 100, 8 }, { vars.total, vars.last, vars.own_bss, vars.lonely })
    assert.equal(8 + (("S"):byte() << 8) + (("X"):byte() << 16), (check(obj)))
  end)

  it("that the kernel's configuration fills in can't be set, and aren't known", function()
    local obj <close> = assert(bpf.open(EXTERNS))
    helper.raises(function() return obj.vars.LINUX_KERNEL_VERSION end,
      "variable 'LINUX_KERNEL_VERSION' is known only once the object is loaded")
    helper.raises(function() obj.vars.LINUX_KERNEL_VERSION = 1 end,
      "variable 'LINUX_KERNEL_VERSION' .*can't be set")
  end)
end)

describe("variables of a loaded object", function()
  kernel.root()

  it("have the values of the source", function()
    local obj <close> = assert(bpf.load(VARS))
    for _, row in ipairs(VALUES) do
      assert.same(row[2], obj.vars[row[1]], row[1])
      assert.equal(math.type(row[2]), math.type(obj.vars[row[1]]), row[1])
    end
  end)

  it("show what the program writes, at once", function()
    local obj <close> = assert(bpf.load(VARS))
    change(obj)
    for _, row in ipairs(VALUES) do
      assert.same(row[3], obj.vars[row[1]], row[1])
    end
    change(obj)
    assert.same({ 6, 2, 26, 19 }, { obj.vars.total, obj.vars.runs, obj.vars.own_bss, obj.vars.lonely })
  end)

  it("take what Lua writes", function()
    local obj <close> = assert(bpf.load(VARS))
    for _, row in ipairs(OTHERS) do
      obj.vars[row[1]] = writable(row[1], row[2])
    end
    for _, row in ipairs(OTHERS) do
      assert.same(row[2], obj.vars[row[1]], row[1])
    end
  end)

  it("leave their neighbours alone when they are written", function()
    local obj <close> = assert(bpf.load(VARS))
    for _, row in ipairs(OTHERS) do
      local before = obj.vars[row[1]]
      obj.vars[row[1]] = writable(row[1], row[2])
      for _, other in ipairs(VALUES) do
        if other[1] ~= row[1] then
          assert.same(other[2], obj.vars[other[1]], row[1] .. " changed " .. other[1])
        end
      end
      obj.vars[row[1]] = writable(row[1], before)
      assert.same(before, obj.vars[row[1]])
    end
  end)

  it("show the program what Lua writes, at once", function()
    local obj <close> = assert(bpf.load(VARS))
    local vars = obj.vars
    vars.u8, vars.u16, vars.u32, vars.u64 = 1, 20, 300, 4000
    vars.s8, vars.s16, vars.s32, vars.s64 = -1, -20, -300, -4000
    vars.own_data, vars.own_bss, vars.hidden, vars.company, vars.lonely = 5, 60, 700, 8000, 9
    vars.shape = { corner = { {}, { x = -77 } } }
    vars.numbers = { 0, 0, 55 }
    vars.flag = true
    vars.text = "A"
    local retval, total, last = check(obj)
    assert.equal(5 + 60 + 700 + 8000, total)
    assert.same({ x = -77, y = 55 }, last)
    assert.equal(9 + (("A"):byte() << 8) + (("d"):byte() << 16), retval)
    vars.flag = 0
    vars.own_data = 6
    retval, total, last = check(obj)
    assert.same({ 5 + 60 + 700 + 8000 + 1, 0 }, { total, last.y })
    assert.is_true(retval > 0)
  end)

  it("take enumerators by name", function()
    local obj <close> = assert(bpf.load(VARS))
    obj.vars.colour, obj.vars.shift = "GREEN", "LEFT"
    assert.same({ 5, -1 }, { obj.vars.colour, obj.vars.shift })
  end)

  it("take members of a struct that are left out as zero", function()
    local obj <close> = assert(bpf.load(VARS))
    obj.vars.last = { x = 1, y = 2 }
    obj.vars.last = { y = 3 }
    assert.same({ x = 0, y = 3 }, obj.vars.last)
    obj.vars.numbers = { 9 }
    assert.same({ 9, 0, 0, 0 }, obj.vars.numbers)
  end)

  it("are copies when read", function()
    local obj <close> = assert(bpf.load(VARS))
    local last = obj.vars.last
    last.x = 5
    assert.same({ x = 0, y = 0 }, obj.vars.last)
  end)

  it("that are constant can be read but not set", function()
    local obj <close> = assert(bpf.load(VARS))
    for name, value in pairs({ factor = 1, label = "x", origin = {}, own_rodata = 1 }) do
      local before = obj.vars[name]
      helper.raises(function() obj.vars[name] = value end,
        "variable '" .. name .. "' is constant: it can be set only before the object is loaded")
      assert.same(before, obj.vars[name])
    end
  end)

  it("that the kernel's configuration fills in can be read but not set", function()
    local obj <close> = assert(bpf.load(EXTERNS))
    local major, minor = kernel.version()
    assert.equal(major << 8 | minor, obj.vars.LINUX_KERNEL_VERSION >> 8)
    helper.raises(function() obj.vars.LINUX_KERNEL_VERSION = 1 end, "LINUX_KERNEL_VERSION")
    assert.equal(major << 8 | minor, obj.vars.LINUX_KERNEL_VERSION >> 8)
  end)

  it("of a section without anything global are reached as well", function()
    local obj <close> = assert(bpf.load(VARS))
    assert.equal(0, bpf.map.info(obj.maps[".data.lonely"]).map_flags & 0x400, "the kernel can map it after all")
    local vars = obj.vars
    for i = 1, 100 do
      vars.lonely = i
      assert.same({ i, 19 }, { vars.lonely, vars.company })
    end
    change(obj)
    assert.same({ 101, 19 }, { vars.lonely, vars.company })
    vars.company = 4294967295
    assert.same({ 101, 4294967295 }, { vars.lonely, vars.company })
  end)

  it("of long names are told apart", function()
    local obj <close> = assert(bpf.load(VARS))
    obj.vars[LONG] = 1
    obj.vars[LONG .. "_either"] = 2
    assert.same({ 1, 2 }, { obj.vars[LONG], obj.vars[LONG .. "_either"] })
    helper.raises(function() return obj.vars[LONG .. "_e"] end, "no variable")
  end)

  it("are walked by pairs, each once, with its value", function()
    local obj <close> = assert(bpf.load(VARS))
    local seen, n = {}, 0
    for name, value in pairs(obj.vars) do
      assert.is_nil(seen[name])
      seen[name] = value
      n = n + 1
    end
    assert.equal(#VALUES, n)
    for _, row in ipairs(VALUES) do
      assert.same(row[2], seen[row[1]], row[1])
    end
  end)

  it("may be set while pairs walks them", function()
    local obj <close> = assert(bpf.load(VARS))
    local n = 0
    for name in pairs(obj.vars) do
      obj.vars.total = n
      n = n + 1
      assert.is_string(name)
    end
    assert.equal(#VALUES, n)
  end)

  it("are the object's own", function()
    local one <close> = assert(bpf.load(VARS))
    local two <close> = assert(bpf.load(VARS))
    one.vars.total, two.vars.total = 1, 2
    change(two)
    assert.same({ 1, 5 }, { one.vars.total, two.vars.total })
  end)

  it("allocate nothing when they are scalars", function()
    local obj <close> = assert(bpf.load(VARS))
    local vars, sum = obj.vars, 0
    local function work()
      for i = 1, 10000 do
        vars.total = i
        vars.u8 = i & 255
        vars.flag = i & 1
        vars.twice = i / 2
        sum = sum + vars.total + vars.s16 + vars.twice
      end
    end
    work()
    collectgarbage()
    collectgarbage("stop")
    local before = collectgarbage("count")
    work()
    local after = collectgarbage("count")
    collectgarbage("restart")
    assert.equal(before, after)
    assert.is_number(sum)
  end)

  it("are reached without a system call", function()
    local obj <close> = assert(bpf.open(CALLS))
    local self <close> = assert(bpf.load(CALLS))
    assert(self.progs.whoami:run())
    obj.vars.target = self.vars.self
    assert(obj:load())
    assert(obj.progs.count_enter:attach())
    local vars, found = obj.vars, nil
    -- the collector may ask the system for memory
    collectgarbage()
    collectgarbage("stop")
    for _ = 1, 5 do
      local before = vars.entered
      for i = 1, 1000 do
        vars.traced = i
      end
      found = vars.entered - before
    end
    collectgarbage("restart")
    assert.equal(0, found)
  end)
end)

describe("variable errors:", function()
  kernel.root()

  it("an object without variables has none", function()
    local obj <close> = assert(bpf.load(helper.obj("pinned"), { pin_root = helper.bpffs() }))
    helper.raises(function() return obj.vars.x end, "no variable 'x' %(variables: none%)")
    assert.is_nil((next({})))
    for name in pairs(obj.vars) do
      error(name)
    end
  end)

  it("a section that was frozen meanwhile keeps its values", function()
    local obj <close> = assert(bpf.load(VARS))
    assert(bpf.map.freeze(obj.maps[".data.lonely"]))
    helper.raises(function() obj.vars.lonely = 1 end, "variable 'lonely': .*%(EPERM%)")
    assert.equal(17, obj.vars.lonely)
  end)
end)

describe("the variables' lifetime:", function()
  kernel.root()

  it("tostring tells how many there are and the state", function()
    local obj = assert(bpf.open(CALLS))
    local vars = obj.vars
    assert.equal("bpf.vars: 6 variables (not loaded)", tostring(vars))
    assert(obj:load())
    assert.equal("bpf.vars: 6 variables", tostring(vars))
    obj:close()
    assert.equal("bpf.vars: 6 variables (closed)", tostring(vars))
  end)

  it("use after their object is closed raises", function()
    for _, open in ipairs({ bpf.open, bpf.load }) do
      local obj = assert(open(VARS))
      local vars = obj.vars
      obj:close()
      for _, name in ipairs({ "u8", "shape", "lonely", "factor", "nothing" }) do
        helper.raises(function() return vars[name] end, "the object of these variables is closed")
        helper.raises(function() vars[name] = 1 end, "the object of these variables is closed")
      end
      helper.raises(function() return pairs(vars) end, "the object of these variables is closed")
    end
  end)

  it("a walk that goes on after their object is closed raises", function()
    local obj = assert(bpf.load(VARS))
    helper.raises(function()
      for _ in pairs(obj.vars) do
        obj:close()
      end
    end, "the object of these variables is closed")
  end)

  it("they live on while the object is only forgotten", function()
    local vars = assert(bpf.load(VARS)).vars
    collectgarbage()
    collectgarbage()
    vars.total = 5
    assert.equal(5, vars.total)
  end)

  it("their mappings go with the object, closed or collected", function()
    local function mappings()
      local n = 0
      for line in io.lines("/proc/self/maps") do
        n = n + (line:find("bpf-map", 1, true) and 1 or 0)
      end
      return n
    end
    collectgarbage()
    collectgarbage()
    local before = mappings()
    local obj = assert(bpf.load(VARS))
    assert.is_true(mappings() > before)
    obj:close()
    assert.is_true(mappings() <= before) -- what earlier tests left to the collector may go meanwhile
    assert(bpf.load(VARS))
    collectgarbage()
    collectgarbage()
    assert.is_true(mappings() <= before)
  end)
end)

describe("variable interop:", function()
  kernel.root()

  it("bpftool sees what Lua wrote", function()
    local obj <close> = assert(bpf.load(CALLS))
    obj.vars.entered = 16909060
    local id = bpf.map.info(obj.maps["calls.bss"]).id
    assert.matches('"entered": 16909060', (helper.run("bpftool map dump id " .. id)))
  end)
end)

describe("variables of unusual types", function()
  local GLOBALS = helper.obj("globals")
  local frame = { data = ("\0"):rep(64) }

  it("beside a lock and a timer work by system calls, before and after the load", function()
    kernel.need("locks among variables", "6.2")
    kernel.root()
    local obj <close> = assert(bpf.open(GLOBALS))
    obj.vars.counted, obj.vars.beside = 5, 1000
    assert(obj:load())
    assert.equal(0, bpf.map.info(obj.maps["globals.bss"]).map_flags & 0x400)
    assert.equal(10 + 2 * 20 + 1000, assert(obj.progs.count:run(frame)).retval)
    assert.equal(6, obj.vars.counted)
    obj.vars.counted = 40
    assert(obj.progs.count:run(frame))
    assert.same({ 41, 1000 }, { obj.vars.counted, obj.vars.beside })
  end)

  it("that are the kernel's own can't be set", function()
    local obj <close> = assert(bpf.open(GLOBALS))
    helper.raises(function() obj.vars.lock = {} end, "variable 'lock' can't be set: struct bpf_spin_lock belongs")
    helper.raises(function() obj.vars.timer = {} end, "variable 'timer' can't be set: struct bpf_timer belongs")
  end)

  it("have all elements of a flexible array", function()
    kernel.need("locks among variables", "6.2")
    kernel.root()
    local obj <close> = assert(bpf.open(GLOBALS))
    assert.same({ n = 3, list = { 2, 3, 5 } }, obj.vars.primes)
    obj.vars.primes = { n = 3, list = { 7, 8, 9 } }
    helper.raises(function() obj.vars.primes = { list = { 1, 2, 3, 4 } } end,
      "primes%.list: 4 elements do not fit in the flexible array")
    assert(obj:load())
    assert(obj.progs.count:run(frame))
    assert.same({ n = 3, list = { 7, 9, 9 } }, obj.vars.primes)
    assert.equal("b text that is longer than the padding", obj.vars.long_text.text)
    assert.same({ n = 2, first = ("b"):byte(), text = "bbc" }, obj.vars.short_text)
    assert.same({ n = 1, list = {} }, obj.vars.none)
    for name, value in pairs(obj.vars) do
      if name ~= "lock" and name ~= "timer" then
        obj.vars[name] = value
        assert.same(value, obj.vars[name])
      end
    end
  end)

  it("with one name are numbered", function()
    local file <close> = assert(io.open(GLOBALS, "rb"))
    local obj <close> = assert(bpf.open({ bytes = (file:read("a"):gsub("twin_b", "twin_a")) }))
    assert.same({ 10, 20 }, { obj.vars.twin_a, obj.vars["twin_a#2"] })
    obj.vars["twin_a#2"] = 30
    assert.same({ 10, 30 }, { obj.vars.twin_a, obj.vars["twin_a#2"] })
    local seen = {}
    for name, value in pairs(obj.vars) do seen[name] = value end
    assert.same({ 10, 30 }, { seen.twin_a, seen["twin_a#2"] })
    helper.raises(function() return obj.vars["twin_a#3"] end, "no variable 'twin_a#3'")
  end)

  it("that have no value before the load are left out until then", function()
    kernel.root()
    local obj <close> = assert(bpf.open(EXTERNS))
    local function names()
      local list = {}
      for name in pairs(obj.vars) do list[#list + 1] = name end
      return " " .. table.concat(list, " ") .. " "
    end
    assert.matches(" number ", names())
    assert.is_nil(names():find(" LINUX_KERNEL_VERSION ", 1, true))
    assert.is_nil(bpf.inspect(obj, { text = true }):find("LINUX_KERNEL_VERSION", 1, true))
    assert(obj:load())
    assert.matches(" LINUX_KERNEL_VERSION ", names())
  end)
end)

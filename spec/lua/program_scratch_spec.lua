-- SPDX-License-Identifier: MIT
-- Strings, keys and records of BPF programs written in Lua that don't fit the 512 bytes of BPF's stack.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"

local map, helper = bpf.map, bpf.helper

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
end)

-- Where the memory of a long string is, for programs that run in this process.
local function address(text)
  assert(#text > 40)
  local object = math.tointeger(tonumber(("%p"):format(text)))
  return object + (_VERSION == "Lua 5.4" and 24 or 32)
end

local function words(...)
  local list = {}
  for n, word in ipairs { ... } do
    list[n] = string.pack("<i8", word)
  end
  return table.concat(list)
end

local SECTION <const> = "raw_tp/scratch"

-- Runs a program that gets addresses.
local function run(prog, ...)
  return assert(prog:run { ctx = words(...) .. ("\0"):rep(64) }).retval
end

local function program(fn)
  return assert(bpf.program(SECTION, fn))
end

local LONG = ("/a/path/of/many/parts"):rep(10) .. "/file"
local OTHER = "/other" .. LONG

-- Whether the address is right: other versions of Lua may lay strings out otherwise.
local function readable()
  local copy <close> = assert(map.create { type = "array", max_entries = 1, key = "__u32", value = "char[64]" })
  local prog <close> = program(function(a) copy[0] = helper.probe_read_user_str(a) end)
  run(prog, address(LONG))
  return copy[0] == LONG:sub(1, 63)
end

describe("a program with strings beyond the stack", function()
  setup(function()
    if not readable() then
      require("spec.helper").skip("this Lua has strings elsewhere")
    end
  end)

  it("has them as keys", function()
    local m <close> = assert(map.create { type = "hash", max_entries = 8, key = "char[300]", value = "__u64" })
    local prog <close> = program(function(a, b)
      local first = helper.probe_read_user_str(a, 300)
      local second = helper.probe_read_user_str(b, 300)
      m[first] = (m[first] or 0) + 1
      m[second] = (m[second] or 0) + 10
    end)
    run(prog, address(LONG), address(OTHER))
    run(prog, address(LONG), address(LONG))
    assert.equal(12, m[LONG])
    assert.equal(10, m[OTHER])
  end)

  it("has them in values of several kilobytes", function()
    local m <close> = assert(map.create { type = "hash", max_entries = 8, key = "__u32",
      value = "struct pair { __u32 size; char first[256]; char second[4096]; __u8 rest[13]; }" })
    local prog <close> = program(function(a, b)
      local second = helper.probe_read_user_str(b, 4096)
      m[1] = { size = #second, first = helper.probe_read_user_str(a), second = second }
      local v = m[1]
      if v then
        m[2] = v
      end
    end)
    local huge = ("0123456789"):rep(300) .. "abc"
    run(prog, address(LONG), address(huge))
    assert.same({ size = 3003, first = LONG, second = huge, rest = ("\0"):rep(13) }, m[1])
    assert.same(m[1], m[2])
    run(prog, address(huge), address(LONG)) -- nothing is left of the longer one
    assert.same({ size = #LONG, first = huge:sub(1, 255), second = LONG, rest = ("\0"):rep(13) }, m[1])
  end)

  it("compares them and measures them", function()
    local prog <close> = program(function(a, b)
      local first, second = helper.probe_read_user_str(a, 1024), helper.probe_read_user_str(b, 700)
      if first == second then
        return 1
      end
      return #first * 10000 + #second
    end)
    local same = LONG .. "!"
    same = same:sub(1, -2)
    assert.equal(1, run(prog, address(LONG), address(same)))
    assert.equal(#LONG * 10000 + #OTHER, run(prog, address(LONG), address(OTHER)))
    local longer = ("x"):rep(701)
    assert.equal(701 * 10000 + 699, run(prog, address(longer), address(longer)))
    local shorter = longer:sub(1, 699)
    assert.equal(1, run(prog, address(shorter), address(longer)))
  end)

  it("has them in the bodies of loops", function()
    kernel.need("bpf_loop", "5.17")
    local m <close> = assert(map.create { type = "hash", max_entries = 8, key = "char[300]", value = "__u64" })
    local found <close> = assert(map.create { type = "hash", max_entries = 8, key = "__u32", value = "char[400]" })
    m[LONG], m[OTHER] = 1, 2
    local prog <close> = program(function(a, b)
      local first, second = helper.probe_read_user_str(a, 300), helper.probe_read_user_str(b, 300)
      local n = 0
      for k in pairs(m) do
        if k == first then
          n = n + 1
          found[1] = helper.probe_read_user_str(b, 260)
        elseif k == second then
          n = n + 10
          m[second] = 7
        end
      end
      for _ = 1, n * 1000 do
        if helper.probe_read_user_str(a, 280) ~= first then
          return 0
        end
        n = n + 1
      end
      return n
    end)
    assert.equal(11011, run(prog, address(LONG), address(OTHER)))
    assert.equal(7, m[OTHER])
    assert.equal(OTHER, found[1])
  end)

  it("has them by thread where it may be preempted", function()
    kernel.need("a storage of the task in programs that may sleep", "6.1")
    local m <close> = assert(map.create { type = "hash", max_entries = 8, key = "char[300]", value = "__u64" })
    local function body(ctx)
      local first, second = helper.probe_read_user_str(ctx.a, 300), helper.probe_read_user_str(ctx.b, 300)
      m[first], m[second] = #second, #first
    end
    local obj <close> = assert(bpf.programs({ sleeps = { "syscall", body } },
      { ctx_type = "struct { __u64 a; __u64 b; }" }))
    assert.equal("task_storage", map.type(obj.maps.scratch))
    assert(obj.progs.sleeps:run { ctx = words(address(LONG), address(OTHER)) })
    assert.same({ #OTHER, #LONG }, { m[LONG], m[OTHER] })
  end)
end)

describe("the memory of a program beside its stack", function()
  local events

  setup(function() events = assert(map.create { type = "perf_event_array", max_entries = 64 }) end)
  teardown(function() map.close(events) end)

  local Record = bpf.btf.type "struct record { __u32 pid; char path[256]; char other[256]; __u64 more[60]; }"
  local function big(a)
    helper.perf_event_output(events, Record, { path = helper.probe_read_user_str(a), other = "constant" })
  end

  it("is a map of the object, by CPU or by thread", function()
    local function type_of(section)
      local obj <close> = assert(bpf.programs { big = { section, big } })
      return map.type(obj.maps.scratch)
    end
    assert.equal("percpu_array", type_of(SECTION))
    assert.equal("percpu_array", type_of("kprobe/do_exit"))
    if kernel.at_least("5.12") then
      assert.equal("task_storage", type_of("uprobe"))
    end
  end)

  it("is one for each program that needs it", function()
    local obj <close> = assert(bpf.programs {
      a = { SECTION, big }, b = { SECTION, big }, c = { SECTION, function() return 1 end },
    })
    local names = {}
    for name in pairs(obj.maps) do
      names[#names + 1] = name
    end
    table.sort(names)
    assert.same({ "map", "scratch", "scratch_2" }, names)
  end)

  it("isn't there for what fits the stack", function()
    local obj <close> = assert(bpf.programs { small = { SECTION, function(a)
      local text = helper.probe_read_user_str(a, 256)
      return #text
    end } })
    assert.is_nil((pairs(obj.maps)(obj.maps)))
  end)

  it("is made by whoever loads the object", function()
    local bytes, maps = assert(bpf.assemble { big = { SECTION, big } })
    local names = {}
    for name in pairs(maps) do
      names[#names + 1] = name
    end
    assert.same({ "map" }, names)
    local obj <close> = assert(bpf.load { bytes = bytes })
    assert.equal("percpu_array", map.type(obj.maps.scratch))
  end)

  it("is 32 KiB", function()
    local prog, message, code = bpf.program(SECTION, function(a)
      local first, second = helper.probe_read_user_str(a, 16384), helper.probe_read_user_str(a, 16384)
      local third = helper.probe_read_user_str(a, 16384)
      return #first + #second + #third
    end)
    assert.is_nil(prog)
    assert.equal("bpf.program: lua: 49152 bytes of strings and records, a program has room for 32768", message)
    assert.equal("EINVAL", code)
  end)
end)

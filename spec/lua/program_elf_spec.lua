-- SPDX-License-Identifier: MIT
-- Objects made of functions of the intermediate code: maps, variables, calls, lines and CO-RE relocations.
local bpf = require("bpf")
local helper = require("spec.helper")
local code = require("spec.support.ir")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local elf = require("bpf.program.elf")
local map = bpf.map

kernel.root()

local U64 = { kind = "int", size = 8, name = "__u64" }
local U32 = { kind = "int", size = 4, name = "__u32" }
local U16 = { kind = "int", size = 2, name = "__u16" }

local LOOP, GET_CURRENT_TASK, PROBE_READ_KERNEL = 181, 35, 113
local MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM = 1, 2

local func, number, build, load, run, result = code.func, code.number, code.build, code.load, code.run, code.result

describe("an object", function()
  local definition = { type = 1, max_entries = 10 }

  it("refers to maps of its own, with the types of keys and values", function()
    local key = { kind = "struct", name = "struct key", size = 8, order = {
      { name = "port", offset = 0, type = U16 }, { name = "low", offset = 4, type = U32, bits = 4, bit_offset = 32 },
      { name = "high", offset = 4, type = U32, bits = 28, bit_offset = 36 } } }
    local value = { kind = "struct", name = "struct value", size = 24, order = {
      { name = "n", offset = 0, type = U64 },
      { name = "text", offset = 8, type = { kind = "chars", size = 8, text = true } },
      { name = "list", offset = 16, type = { kind = "array", size = 8, count = 2, element = U32 } } } }
    local f, m = func("maps"), {}
    local k, v = f:object(key.size), f:object(value.size)
    f:store(k, 0, 8, 80 | 3 << 32 | 9 << 36)
    f:store(v, 0, 8, -1)
    f:store(v, 8, 8, (string.unpack("<i8", "a text\0\0")))
    f:store(v, 16, 8, 1 | 2 << 32)
    f:exit(f:call(MAP_UPDATE_ELEM, { map = m }, { object = k, offset = 0 }, { object = v }, 0))
    local maps = { { name = "entries", definition = definition, key = key, value = value, map = m } }
    local obj <close> = load({ f }, { maps = maps })
    assert.equal(0, run(obj.progs.maps))
    assert.same({ n = -1, text = "a text", list = { 1, 2 } }, obj.maps.entries[{ port = 80, low = 3, high = 9 }])
  end)

  it("takes maps that are there already, in the same register or anew", function()
    local m <close> = assert(map.create({ type = "hash", key = "__u32", value = "__u64", max_entries = 10 }))
    m[5] = 37
    local f = func("maps")
    local k = f:object(4)
    f:store(k, 0, 4, 5)
    local found = f:call(MAP_LOOKUP_ELEM, f:map_reference(m), f:address(k))
    local yes, no = f:block(), f:block()
    f:branch("eq", found, 0, no, yes)
    f:start(no)
    f:exit(0)
    f:start(yes)
    f:exit(f:load(found, 0, 8))
    local maps = { { name = "m", definition = definition, key = U32, value = U64, map = m } }
    assert.equal(37, result(f, { maps = maps }, { maps = { m = m } }))
  end)

  it("has maps of maps", function()
    local f, m = func("nothing"), {}
    local k = f:object(4)
    f:store(k, 0, 4, 0)
    f:exit(f:call(MAP_LOOKUP_ELEM, f:map_reference(m), f:address(k)))
    local obj <close> = load({ f }, { maps = { { name = "outer", map = m,
      definition = { type = 12, max_entries = 4, key_size = 4, value_size = 4 },
      values = { type = 2, max_entries = 3, key_size = 4, value_size = 8 } } } })
    assert.equal("array_of_maps", map.type(obj.maps.outer))
    assert.equal(0, run(obj.progs.nothing))
  end)

  it("calls subprograms, which call others, from several programs of a section", function()
    local third = func("third")
    third:exit(third:alu("mul", third:parameter(1), 3))
    local second = func("second")
    local a, b = second:parameter(1), second:parameter(2)
    second:exit(second:alu("sub", second:call_function(third, a), b))
    local f, g = func("f"), func("g")
    f:exit(f:call_function(second, number(f, 10), f:call_function(third, 2)))
    g:exit(g:call_function(second, 100, 1))
    local obj <close> = load({ f, g })
    assert.same({ 24, 299 }, { run(obj.progs.f), run(obj.progs.g) })
  end)

  it("has programs of several sections", function()
    local f, g = func("f"), func("g")
    f:exit(1)
    g:exit(2)
    local bytes = elf.build({ programs = { { name = "f", section = "socket", func = f },
      { name = "g", section = "xdp", func = g } }, context = function(program)
      return program.section == "xdp" and "struct xdp_md" or nil
    end })
    local obj <close> = assert(bpf.load({ bytes = bytes }))
    assert.same({ 1, 2 }, { run(obj.progs.f), run(obj.progs.g) })
    local dump = helper.run("bpftool prog dump xlated id " .. obj.progs.g:info().id)
    assert.matches("int g%(struct xdp_md %* ?ctx%)", dump)
  end)

  it("gives a helper functions to call", function()
    kernel.need("bpf_loop", "5.17")
    local callback = func("callback")
    local n, context = callback:parameter(1), callback:parameter(2)
    callback:store(context, 0, 8, callback:alu("add", callback:load(context, 0, 8), n))
    callback:exit(0)
    local f = func("loop")
    local sum = f:object(8)
    f:store(sum, 0, 8, 0)
    f:call(LOOP, 100, { func = callback }, { object = sum, offset = 0 }, 0)
    f:exit(f:load(sum, 0, 8))
    assert.equal(4950, result(f))
  end)

  it("has global variables, which scripts see", function()
    local zero = { name = "zero", size = 8, type = U64, section = ".bss" }
    local byte = { name = "byte", size = 1, type = { kind = "int", size = 1, name = "__u8" }, section = ".data",
      bytes = "\7" }
    local list = { name = "list", size = 12, type = { kind = "array", size = 12, count = 3, element = U32 },
      section = ".data", bytes = string.pack("<I4I4I4", 1, 2, 3) }
    local fixed = { name = "fixed", size = 4, type = U32, section = ".rodata", bytes = string.pack("<I4", 30) }
    local f = func("variables")
    f:store(f:variable(list), 4, 4, f:load(f:variable(fixed), 0, 4))
    f:store(f:variable(zero), 0, 8, f:alu("add", f:load(f:variable(zero), 0, 8), f:load(f:variable(byte), 0, 1)))
    f:exit(f:load(f:variable(list, 8), 0, 4))
    local obj <close> = load({ f }, { variables = { zero, byte, list, fixed } })
    assert.equal(3, run(obj.progs.variables))
    run(obj.progs.variables)
    assert.same({ 14, 7, { 1, 30, 3 }, 30 }, { obj.vars.zero, obj.vars.byte, obj.vars.list, obj.vars.fixed })
  end)

  it("has the source's lines, which the verifier's log shows", function()
    local f = func("lines")
    f.line = 17
    local x = number(f, 1)
    f.line = 18
    f:exit(f:load(x, 0, 8))
    local obj, _, _, log = bpf.load({ bytes = build({ f }) })
    assert.is_nil(obj)
    assert.matches("; text of line 17", log)
    assert.matches("; text of line 18.*invalid mem access", log)
  end)

  it("is loaded by bpftool as well", function()
    local inner = func("inner")
    inner:exit(inner:alu("add", inner:parameter(1), 1))
    local f = func("outside")
    f:exit(f:call_function(inner, 1))
    local path = helper.write(helper.tmpdir() .. "/outside.o", build({ f }))
    local dir = helper.bpffs()
    local output, ok = helper.run(("bpftool prog load %s %s/outside"):format(path, dir))
    assert.is_true(ok, output)
    assert.matches("outside", (helper.run(("bpftool prog show pinned %s/outside"):format(dir))))
    assert.matches("text of line 0", (helper.run(("bpftool prog dump xlated pinned %s/outside"):format(dir))))
  end)

  it("of type syscall runs on a context", function()
    kernel.need("syscall programs", "5.14")
    kinds.need("syscall")
    local f = func("add")
    local ctx = f:parameter(1)
    f:store(ctx, 8, 8, f:alu("add", f:load(ctx, 0, 4), f:load(ctx, 4, 4)))
    f:exit(7)
    local obj <close> = assert(bpf.load({ bytes = elf.build({
      programs = { { name = "add", section = "syscall", func = f } } }) }))
    local answer = assert(obj.progs.add:run({ ctx = string.pack("<I4I4i8", 4294967295, 2, 0) }))
    assert.equal(7, answer.retval)
    assert.equal(4294967297, (string.unpack("<i8", answer.ctx, 9)))
  end)
end)

describe("a CO-RE relocation", function()
  local INT = { kind = "int", size = 4, signed = true, name = "int" }

  -- A struct that has only some of the kernel's members, at places where the kernel doesn't have them.
  local function task(members)
    return { kind = "struct", name = "struct task_struct", size = 4096, order = members }
  end

  local function tracing(f, variables)
    local obj <close> = assert(bpf.load({ bytes = elf.build({ variables = variables,
      programs = { { name = f.name, section = "raw_tp/sys_enter", func = f } } }) }))
    assert(obj.progs[f.name]:run())
    assert.is_true(obj.progs[f.name]:info().btf_id > 0, "the kernel refused BTF")
    return obj.vars.seen
  end

  local seen = { name = "seen", size = 8, type = U64, section = ".bss" }

  it("of an offset is the running kernel's", function()
    local form = task({ { name = "unused", offset = 0, type = INT }, { name = "tgid", offset = 4, type = INT },
      { name = "pid", offset = 8, type = INT } })
    local f = func("pids")
    local current = f:call(GET_CURRENT_TASK)
    local object = f:object(8)
    f:store(object, 0, 8, 0)
    local offset = f:core_value({ type = form, access = "0:1", kind = 0 }, 4)
    f:call(PROBE_READ_KERNEL, { object = object, offset = 0 }, 4, f:alu("add", current, offset))
    offset = f:alu("add", current, 8, 64, { type = form, access = "0:2", kind = 0 })
    f:call(PROBE_READ_KERNEL, { object = object, offset = 4 }, 4, offset)
    f:store(f:variable(seen), 0, 8, f:load(object, 0, 8))
    f:exit(0)
    assert.equal(helper.pid | helper.pid << 32, tracing(f, { seen }))
  end)

  -- A member of a kernel's struct.
  local function member(struct, name)
    local btf <close> = assert(bpf.btf.kernel())
    for _, m in ipairs(btf:resolve(struct).members) do
      if m.name == name then
        return m
      end
    end
  end

  it("goes through structs within structs and through arrays", function()
    local restart = { kind = "struct", size = 48, name = "struct sched_entity", order = {
      { name = "nothing", offset = 0, type = INT }, { name = "on_rq", offset = 40, type = U32 } } }
    local form = task({ { name = "comm", offset = 96, type = { kind = "chars", size = 16, text = true } },
      { name = "se", offset = 8, type = restart } })
    local f = func("paths")
    f:store(f:variable(seen), 0, 8, f:alu("add", f:core_value({ type = form, access = "0:1:1", kind = 0 }, 48),
      f:alu("lsh", f:core_value({ type = form, access = "0:0:3", kind = 0 }, 99), 32)))
    f:exit(0)
    local both = tracing(f, { seen })
    assert.equal(member("task_struct", "se").offset + member("sched_entity", "on_rq").offset, both & 0xffffffff)
    assert.equal(member("task_struct", "comm").offset + 3, both >> 32)
  end)

  it("of a bit-field says where its bits are", function()
    local form = task({ { name = "sched_reset_on_fork", offset = 8, bits = 1, bit_offset = 70, type = U32 } })
    local f = func("bits")
    local sum = f:core_value({ type = form, access = "0:0", kind = 0 }, 8)
    for kind = 4, 5 do
      sum = f:alu("add", f:alu("lsh", sum, 8), f:core_value({ type = form, access = "0:0", kind = kind }, 63))
    end
    f:store(f:variable(seen), 0, 8, sum)
    f:exit(0)
    local both = tracing(f, { seen })
    local offset, left, right = both >> 16, both >> 8 & 0xff, both & 0xff
    local m = member("task_struct", "sched_reset_on_fork")
    assert.equal(64 - m.bits, right)
    assert.equal(m.bit_offset, offset * 8 + 64 - left - m.bits)
  end)

  it("of an enum finds an enum", function()
    local form = { kind = "struct", name = "struct bpf_map", size = 64, order = {
      { name = "map_type", offset = 60, type = { kind = "int", enum = true, size = 4 } } } }
    local f = func("enums")
    f:store(f:variable(seen), 0, 8, f:core_value({ type = form, access = "0:0", kind = 0 }, 60))
    f:exit(0)
    assert.equal(member("bpf_map", "map_type").offset, tracing(f, { seen }))
  end)

  it("of a member's existence and size is the running kernel's", function()
    local form = task({ { name = "pid", offset = 0, type = U64 }, { name = "no_such_member", offset = 8, type = INT } })
    local f = func("facts")
    local sum = f:core_value({ type = form, access = "0:1", kind = 2 }, 1)
    sum = f:alu("add", f:alu("mul", sum, 10), f:core_value({ type = form, access = "0:0", kind = 2 }, 1))
    sum = f:alu("add", f:alu("mul", sum, 10), f:core_value({ type = form, access = "0:0", kind = 1 }, 8))
    f:store(f:variable(seen), 0, 8, sum)
    f:exit(0)
    assert.equal(14, tracing(f, { seen }))
  end)
end)

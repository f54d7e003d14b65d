-- SPDX-License-Identifier: MIT
-- bpf.program, bpf.programs and bpf.assemble: names, sections, options, what is shared, who owns what, and which script
-- a program came from.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map
local PACKET <const> = ("\0"):rep(64)

setup(kernel.root)

local function pass() return 2 end
local function drop() return 1 end

local function retval(prog)
  return assert(prog:run { data = PACKET }).retval
end

local function hash(name)
  return assert(map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 8, name = name })
end

describe("bpf.program", function()
  it("returns a program that runs, with its section and a name", function()
    local prog <close> = assert(bpf.program("xdp", pass))
    assert.equal("xdp", prog:section())
    assert.equal("xdp", prog:type())
    assert.equal("lua", prog:name())
    assert.equal(2, retval(prog))
  end)

  it("takes a name, of which it makes one that the kernel takes", function()
    local prog <close> = assert(bpf.program("xdp", pass, { name = "my-prog" }))
    assert.equal("my_prog", prog:name())
    assert.equal("my_prog", prog:info().name)
  end)

  it("owns its object, which closes with it", function()
    local n = helper.descriptors()
    local m <close> = hash("counts")
    local prog = assert(bpf.program("xdp", function()
      m[1] = (m[1] or 0) + 1
      return 2
    end))
    assert.equal(2, retval(prog))
    prog:close()
    prog:close()
    helper.raises(function() return prog:run { data = PACKET } end, "closed")
    assert.equal(n + 1, helper.descriptors()) -- the map's
    assert.equal(1, m[1])
  end)

  it("is closed by <close>, and collected", function()
    local n = helper.descriptors()
    do
      local prog <close> = assert(bpf.program("xdp", pass))
      assert(prog)
    end
    assert.equal(n, helper.descriptors())
    assert(bpf.program("xdp", pass))
    assert.equal(n, helper.descriptors())
  end)

  it("reads upvalues when it is called, and not later", function()
    local verdict = 1
    local function f() return verdict end
    local one <close> = assert(bpf.program("xdp", f))
    verdict = 2
    local two <close> = assert(bpf.program("xdp", f))
    assert.same({ 1, 2 }, { retval(one), retval(two) })
  end)

  it("knows maps that are closed before the program is", function()
    local m = hash("early")
    local prog <close> = assert(bpf.program("xdp", function()
      m[1] = 5
      return m[1] and 2 or 1
    end))
    map.close(m)
    assert.equal(2, retval(prog))
  end)
end)

describe("bpf.programs", function()
  it("returns an object with the programs by their names", function()
    local obj <close> = assert(bpf.programs { pass = { "xdp", pass }, drop = { "xdp", drop }, tc_1 = { "tc", pass } })
    assert.same({ 2, 1 }, { retval(obj.progs.pass), retval(obj.progs.drop) })
    assert.equal("tc", obj.progs.tc_1:section())
  end)

  it("sorts them by name", function()
    local list, names = {}, {}
    for n = 1, 26 do
      list[string.char(123 - n)] = { "xdp", pass }
    end
    local obj <close> = assert(bpf.programs(list))
    for name in pairs(obj.progs) do
      names[#names + 1] = name
    end
    assert.equal("abcdefghijklmnopqrstuvwxyz", table.concat(names))
  end)

  it("shares maps between programs, and with the script", function()
    local m <close> = hash("shared")
    local obj <close> = assert(bpf.programs {
      first = { "xdp", function() m[1] = (m[1] or 0) + 1 return 2 end },
      second = { "tc", function() m[1] = (m[1] or 0) + 10 end },
    })
    assert(obj.progs.first:run { data = PACKET })
    assert(obj.progs.second:run { data = PACKET })
    assert.equal(11, m[1])
    assert.equal(map.info(m).id, map.info(obj.maps.shared).id)
    assert.equal(11, obj.maps.shared[1])
  end)

  it("shares local functions between programs, with the loops that the kernel runs", function()
    kernel.need("bpf_loop", "5.17")
    local m <close> = hash("sums")
    local function sum(from, to)
      local r = 0
      for i = from, to do
        r = r + i
      end
      for _, v in pairs(m) do
        r = r + v
      end
      return r
    end
    m[1] = 1000
    local obj <close> = assert(bpf.programs {
      first = { "xdp", function(ctx) return sum(ctx.rx_queue_index, 5000) & 0xffff end },
      second = { "xdp", function(ctx) return sum(ctx.rx_queue_index + 1, 3) + sum(ctx.rx_queue_index, 2) end },
    })
    assert.equal((5000 * 5001 // 2 + 1000) & 0xffff, retval(obj.progs.first))
    assert.equal(6 + 3 + 2000, retval(obj.progs.second))
    local names = {}
    for name in pairs(obj.progs) do
      names[#names + 1] = name
    end
    assert.same({ "first", "second" }, names) -- the loops' functions are no programs
  end)

  it("tells maps of the same name apart", function()
    local one <close>, two = hash("same"), hash("same")
    local other <close> = two
    local obj <close> = assert(bpf.programs { f = { "xdp", function()
      one[1], other[1] = 5, 6
      return 2
    end } })
    assert.equal(2, retval(obj.progs.f))
    assert.same({ 5, 6 }, { one[1], two[1] })
    local n = 0
    for _ in pairs(obj.maps) do
      n = n + 1
    end
    assert.equal(2, n)
  end)

  it("gives the object's maps the types of their keys and values", function()
    local m <close> = assert(map.create {
      type = "hash", max_entries = 4, name = "typed", key = "struct k { int a; short b; }", value = [[
        struct v {
          long n; unsigned int low : 3, high : 12; unsigned long wide : 40; char name[8]; unsigned char mac[6];
          _Bool on; int *p; enum { NEW, OLD } age; short list[3];
        };]],
    })
    local value = {
      n = -5, low = 7, high = 4000, wide = 1 << 39, name = "abc", mac = "\0\1\2\3\4\5", on = true, p = 0, age = "OLD",
      list = { 1, -2, 3 },
    }
    m[{ a = 1, b = 2 }] = value
    local obj <close> = assert(bpf.programs { f = { "xdp", function() return m[{ a = 1, b = 2 }] and 2 or 1 end } })
    assert.equal(2, retval(obj.progs.f))
    assert.same(m[{ a = 1, b = 2 }], obj.maps.typed[{ a = 1, b = 2 }])
  end)

  it("is licensed under the GPL unless told otherwise", function()
    local function f() return bpf.helper.probe_read_kernel(8, 0) and 1 or 0 end
    local obj <close> = assert(bpf.programs { f = { "raw_tp/x", f } })
    assert(obj)
    local none, message, code = bpf.programs({ f = { "raw_tp/x", f } }, { license = "Proprietary" })
    assert.is_nil(none)
    assert.equal("EINVAL", code)
    assert.matches("GPL", message)
  end)

  it("names the object, and hands options to bpf.open", function()
    local obj <close> = assert(bpf.programs({ a = { "xdp", pass }, b = { "xdp", drop } }, { name = "named" }))
    assert.equal("named", obj:name())
    local m <close>, other = hash("swapped"), hash("other")
    local there <close> = other
    local with_map <close> = assert(bpf.programs({ a = { "xdp", function()
      m[1] = 7
      return 2
    end } }, { maps = { swapped = there } }))
    assert.equal(2, retval(with_map.progs.a))
    assert.is_nil(m[1])
    assert.equal(7, there[1])
  end)

  it("leaves its arguments as they were", function()
    local m <close> = hash("kept")
    local options = { maps = {}, name = "x" }
    local programs = { f = { "xdp", function() return m[1] and 1 or 2 end } }
    local obj <close> = assert(bpf.programs(programs, options))
    assert(obj)
    assert.same({ maps = {}, name = "x" }, options)
    assert.equal("f", (next(programs)))
  end)

  it("gives a syscall program the context of its type", function()
    kernel.need("programs of type syscall", "5.14")
    local Context = bpf.btf.type "struct { long a; int b; char name[8]; }"
    for _, ctx_type in ipairs { Context, "struct { long a; int b; char name[8]; }" } do
      local prog <close> = assert(bpf.program("syscall", function(ctx)
        ctx.b = ctx.b + 1
        ctx.a = ctx.name == "abc" and -ctx.a or 0
        return ctx.b
      end, { ctx_type = ctx_type }))
      local result = assert(prog:run { ctx = Context:encode { a = 1 << 40, b = -5, name = "abc" } })
      assert.same({ a = -(1 << 40), b = -4, name = "abc" }, Context:decode(result.ctx))
    end
  end)
end)

describe("bpf.assemble", function()
  local function programs(m)
    return {
      count = { "xdp", function()
        m[1] = (m[1] or 0) + 1
        for i = 1, 3 do
          m[2] = (m[2] or 0) + i
        end
        return 2
      end },
      drop = { "xdp", drop },
    }
  end

  it("returns the bytes of an object, and its maps by name", function()
    local m <close> = hash("counts")
    local bytes, maps = assert(bpf.assemble(programs(m)))
    assert.equal("\127ELF", bytes:sub(1, 4))
    assert.same({ counts = m }, maps)
  end)

  it("returns the same bytes for the same programs", function()
    local m <close> = hash("counts")
    assert.equal((bpf.assemble(programs(m))), (bpf.assemble(programs(m))))
  end)

  it("is loaded by bpf.load, with maps of its own or given ones", function()
    local m <close> = hash("counts")
    local bytes, maps = assert(bpf.assemble(programs(m)))
    local own <close> = assert(bpf.load { bytes = bytes })
    assert.equal(2, retval(own.progs.count))
    assert.same({ 1, 6 }, { own.maps.counts[1], own.maps.counts[2] })
    assert.is_nil(m[1])
    local given <close> = assert(bpf.load({ bytes = bytes }, { maps = maps }))
    assert.equal(2, retval(given.progs.count))
    assert.same({ 1, 6 }, { m[1], m[2] })
    assert.equal(1, retval(given.progs.drop))
  end)

  it("is loaded by bpftool", function()
    local m <close> = hash("counts")
    local path, pin = helper.tmpdir() .. "/lua.bpf.o", helper.bpffs()
    helper.write(path, (assert(bpf.assemble(programs(m)))))
    local output, ok = helper.run(("bpftool prog loadall %s %s/all"):format(path, pin))
    assert(ok, output)
    local prog <close> = assert(bpf.prog.open(pin .. "/all/count"))
    assert.equal(2, retval(prog))
    output = helper.run(("bpftool prog show pinned %s/all/drop"):format(pin))
    assert.matches("xdp  name drop", output)
  end)
end)

describe("the script of a program", function()
  -- A program that the verifier refuses, and the message.
  local function refused(f)
    local prog, message, _, log = bpf.program("xdp", f)
    assert.is_nil(prog)
    return message, log
  end

  it("is in the verifier's log, with its lines", function()
    local line = debug.getinfo(1, "l").currentline
    local message, log = refused(function(ctx)
      local x = ctx.data
      ctx.data = x + 1
      return 2
    end)
    assert.matches("ctx%.data = x %+ 1", log)
    assert.matches(("^bpf.program: spec/lua/program_spec.lua:%d: "):format(line + 3), message)
    if kernel.at_least("6.8") then
      assert.matches(("; ctx.data = x + 1 @ program_spec.lua:%d"):format(line + 3), log, 1, true)
    end
  end)

  it("may be a string, with or without a name, whose lines are known", function()
    local text = "return function(ctx)\n  local x = ctx.data\n  ctx.data = x + 1\nend"
    assert.matches('^bpf.program: %[string "return function%(ctx%)..."%]:3: ', (refused(load(text)())))
    assert.matches("^bpf.program: named:3: ", (refused(load(text, "@named")())))
    local _, log = refused(load(text)())
    assert.matches("ctx%.data = x %+ 1", log)
  end)

  it("may be a name only, whose text nobody knows", function()
    local prog, message = bpf.program("xdp", load("return function(ctx)\n  return ctx / 1\nend", "=named")())
    assert.is_nil(prog)
    assert.matches("^bpf.program: named:2: '/' ", message)
    local runs <close> = assert(bpf.program("xdp", load("return function() return 2 end", "=named")()))
    assert.equal(2, retval(runs))
  end)

  it("may be gone", function()
    local path = helper.tmpdir() .. "/gone.lua"
    helper.write(path, "return function() return 2 end, function(ctx)\n ctx.data = 1\n end")
    local f, g = dofile(path)
    assert(os.remove(path))
    local prog <close> = assert(bpf.program("xdp", f))
    assert.equal(2, retval(prog))
    assert(refused(g))
  end)

  it("may be another file's, with its own lines", function()
    local path = helper.tmpdir() .. "/other.lua"
    helper.write(path, "local M = {}\n\nfunction M.verdict(ctx)\n  return ctx.rx_queue_index + 2\nend\n\n"
      .. "function M.bad(ctx)\n  ctx.data = 1\nend\n\nfunction M.worse(ctx)\n  return ctx / 2\nend\nreturn M\n")
    local other = dofile(path)
    local prog <close> = assert(bpf.program("xdp", function(ctx) return other.verdict(ctx) end))
    assert.equal(2, retval(prog))
    local message, log = refused(function(ctx)
      other.bad(ctx)
      return 2
    end)
    assert.equal(("bpf.program: %s:8: "):format(path), message:sub(1, #path + 17))
    assert.matches("; ctx.data = 1", log, 1, true)
    assert.equal(("bpf.program: %s:12: '/' gives floating point, which BPF doesn't have: use '//'"):format(path),
      (refused(function(ctx) return other.worse(ctx) end)))
  end)

  it("may be stripped", function()
    local function strip(f) return assert(load(string.dump(f, true))) end
    local prog <close> = assert(bpf.program("xdp", strip(function(ctx)
      local r = 0
      for i = 1, 3 do
        r = r + i * (ctx.rx_queue_index + 1)
      end
      return r
    end)))
    assert.equal(6, retval(prog))
    local _, message = bpf.program("xdp", strip(function(ctx) return ctx.data / 2 end))
    assert.matches("^bpf.program: %?:%d+: '/' gives floating point", message)
    _, message = bpf.program("xdp", strip(function(ctx) ctx.data = 2 end))
    assert.matches("refused by the verifier: invalid bpf_context access", message)
  end)

  it("is known to bpftool", function()
    local prog <close> = assert(bpf.program("xdp", function(ctx)
      return ctx.rx_queue_index + 2
    end))
    local output = helper.run("bpftool prog dump xlated id " .. prog:info().id .. " linum")
    assert.matches("; return ctx.rx_queue_index %+ 2 %[file:[^ ]*program_spec.lua line_num:%d+", output)
  end)
end)

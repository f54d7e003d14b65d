-- SPDX-License-Identifier: MIT
-- Programs written in Lua: names, strings and tables, in the cases that are easily overlooked.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

-- What an xdp program returns for a packet of zeros.
local function result(fn)
  local prog <close> = assert(bpf.program("xdp", fn))
  return assert(prog:run { data = ("\0"):rep(64) }).retval
end

-- What is wrong with a function, without the place in this file.
local function refusal(fn)
  local prog, message, code = bpf.program("xdp", fn)
  assert.is_nil(prog)
  assert.equal("EINVAL", code)
  return message:match("^bpf%.program: spec/lua/program_details_spec%.lua:%d+: (.*)$")
end

describe("a program", function()
  setup(kernel.root)

  it("uses maps that have no name", function()
    local one <close> = assert(map.create { type = "array", max_entries = 1, value = "__u64" })
    local two <close> = assert(map.create { type = "array", max_entries = 1, value = "__u64" })
    one[0], two[0] = 40, 2
    assert.equal(42, result(function() return one[0] + two[0] end))
  end)

  it("knows the length of a string, up to its NUL", function()
    local m <close> = assert(map.create {
      type = "hash", max_entries = 8, key = "__u32", value = "struct { __u16 first; char text[13]; char last[1]; }",
    })
    for _, text in ipairs { "", "a", "abcdef", "abcdefg", "abcdefgh", "abcdefghijklm" } do
      m[0] = { text = text, last = "x" }
      assert.equal(#text, result(function()
        local v = m[0]
        return v and #v.text or 99
      end))
    end
  end)

  it("can't index a table of its own by what is known at run time only", function()
    assert.equal("'t' is a table of the program's, whose keys must be constants: use a map", refusal(function(ctx)
      local t = { 1, 2, 3 }
      return t[ctx.rx_queue_index]
    end))
  end)

  it("can't delete the entries of an array", function()
    local m <close> = assert(map.create { type = "array", max_entries = 1, value = "__u64" })
    local message = "the entries of an array can't be deleted: assign a value"
    assert.equal(message, refusal(function() m[0] = nil end))
    assert.equal(message, refusal(function() map.delete(m, 0) end))
  end)

  it("can't assign a global", function()
    assert.equal("the global 'unheard_of' can't be assigned in a program: use a map, or bpf.var",
      refusal(function() unheard_of = 1 end)) -- luacheck: ignore
  end)

  it("is part of an object that is called lua, or as the script says", function()
    local _, message = bpf.program("xdp", function() return bpf.helper.tcp_sock(0) and 1 or 2 end)
    assert.matches("^bpf%.program: spec/lua/program_details_spec%.lua:%d+: object 'lua': load: prog 'lua' ", message)
    local obj <close> = assert(bpf.programs({ one = { "xdp", function() return 1 end } }, { name = "named" }))
    assert.equal("named", obj:name())
  end)

  it("raises an error where it was called for options that aren't there", function()
    local message = helper.raises(function()
      local prog = bpf.program("xdp", function() return 1 end, { nonsense = 1 })
      return prog
    end, "^spec/lua/program_details_spec%.lua:%d+: bpf%.program: unknown option 'nonsense' %(options: license, ")
    assert.no.matches("bpf%.load", message)
  end)

  it("finds nil in parameters that its section doesn't have", function()
    assert.equal(7, result(function(ctx, more) return ctx and more == nil and 7 or 1 end))
  end)

  it("is refused with the name of a table, or without", function()
    local names = { "one", "two" }
    local problem = "is indexed at run time: its values must be integers, or booleans, all of them"
    assert.equal("'names' " .. problem, refusal(function(ctx) return names[ctx.rx_queue_index] == "one" end))
    local function get() return names end
    assert.equal("the table " .. problem, refusal(function(ctx) return get()[ctx.rx_queue_index] == "one" end))
  end)

  it("has one key for texts that are equal, whatever stands behind their NULs in the struct that is the key", function()
    local PLACE <const> = "struct place { char name[16]; int x; char more[2][4]; }"
    local from <close> = assert(map.create {
      type = "hash", key = "__u32", value = ("struct from { long n; %s place; }"):format(PLACE), max_entries = 4,
    })
    local to <close> = assert(map.create { type = "hash", key = PLACE, value = "long", max_entries = 4 })
    local nested <close> = assert(map.create {
      type = "hash", key = ("struct nested { %s place; int y; }"):format(PLACE), value = "long", max_entries = 4,
    })
    local plain <close> = assert(map.by_id(map.info(from).id))
    local bytes <const> = map.info(from).value_size
    local raw = map.typed(plain, "__u32", bytes)
    assert(map.update(raw, 1, ("i8c16i4c4c4xxxx"):pack(1, "ab\0cdefghijklmno", 3, "x\0yz", "12\0004")))
    result(function()
      local v = from[1]
      if v then
        to[v.place] = 1
        nested[{ place = v.place, y = 2 }] = 1
      end
      return 0
    end)
    assert.equal(1, to[{ name = "ab", x = 3, more = { "x", "12" } }])
    assert.equal(1, nested[{ place = { name = "ab", x = 3, more = { "x", "12" } }, y = 2 }])
  end)

  it("has strings that stay what they are when the memory that they were read from changes", function()
    local swap <close> = assert(bpf.program("xdp", function(ctx)
      local eth = ctx:packet(0, "struct ethhdr")
      if not eth then return 0 end
      local source = eth.h_source
      eth.h_source = eth.h_dest
      eth.h_dest = source
      return 3
    end))
    local data = assert(swap:run { data = "abcdefghijkl" .. ("\0"):rep(52) }).data
    assert.equal("ghijklabcdef", data:sub(1, 12))

    local m <close> = assert(map.create {
      type = "hash", max_entries = 8, key = "__u32", value = "struct { char name[16]; __u64 n; }",
    })
    m[1] = { name = "before" }
    assert.equal(5, result(function()
      local v = m[1]
      if not v then return 0 end
      local name = v.name
      for i = 1, 3 do
        v.name = "after"
        v.n = v.n + i
      end
      m[1] = { name = "later", n = 5 }
      return name == "before" and v.name ~= "before" and 5 or 1
    end))
    assert.equal(7, result(function()
      local v = m[1]
      if not v then return 0 end
      local name = v.name
      m[1] = nil
      m[2] = { name = "other" }
      return name == "later" and 7 or 1
    end))
  end)

  describe("has strings that stay what they are when memory is changed", function()
    local m

    setup(function()
      m = assert(map.create {
        type = "hash", max_entries = 8, key = "__u32", value = "struct { char name[16]; __u64 n; }",
      })
    end)

    teardown(function() map.close(m) end)

    before_each(function() m[1] = { name = "before" } end)

    it("by a function that is called", function()
      assert.equal(1, result(function()
        local v = m[1]
        local name = v and v.name
        local function change(x) x.name = "after" end
        if v then change(v) end
        return name == "before"
      end))
    end)

    it("by a loop that the kernel runs", function()
      kernel.need("bpf_loop", "5.17")
      assert.equal(5000, result(function()
        local v, n = m[1], 0
        if not v then return 0 end
        local name = v.name
        for _ = 1, 5000 do
          v.name = "after"
          if name == "before" then n = n + 1 end
        end
        return n
      end))
    end)

    it("by pairs", function()
      kernel.need("bpf_for_each_map_elem", "5.13")
      assert.equal(2, result(function()
        local v, n = m[1], 0
        if not v then return 0 end
        local name = v.name
        for _, other in pairs(m) do
          other.name = "after"
          if name == "before" then n = n + 2 end
        end
        return n
      end))
    end)

    it("and are in a table", function()
      assert.equal(1, result(function()
        local v = m[1]
        if not v then return 0 end
        local copy = { name = v.name }
        v.name = "after"
        m[2] = copy
        local w = m[2]
        return w and w.name == "before" or false
      end))
      m[2] = nil
    end)
  end)
end)

-- SPDX-License-Identifier: MIT
-- map.add in this process's memory: entries of mapped arrays and global variables. And map.adder: the program that adds
-- elsewhere, for processes that may not load it.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

kernel.root()

local function create(kind, value, options)
  local all = { type = kind, name = "counts", value = value, max_entries = 8 }
  for name, option in pairs(options or {}) do
    all[name] = option
  end
  return assert(map.create(all))
end

local function mapped(value)
  return create("array", value, { flags = "mmapable" })
end

-- Whether the module has been loaded that adds by programs.
local function adder_is_loaded()
  return package.loaded["bpf.program.add"] ~= nil
end

describe("map.add in memory", function()
  it("adds to the entries of an array without a program", function()
    for _, value in ipairs { "__u32", "__s32", "__u64", "__s64" } do
      local m <close> = mapped(value)
      local was_loaded = adder_is_loaded()
      assert.is_true(map.add(m, 7))
      assert.is_true(map.add(m, 7, 41))
      assert.is_true(map.add(m, 0, -3))
      assert.equal(was_loaded, adder_is_loaded())
      assert.same({ 42, value == "__u32" and 0xfffffffd or -3, 0 }, { m[7], m[0], m[6] })
    end
  end)

  it("wraps around as the value's type does", function()
    local m <close> = mapped "__u32"
    m[1] = 0xffffffff
    map.add(m, 1, 2)
    map.add(m, 2, 1 << 32 | 5)
    assert.same({ 1, 5, 0 }, { m[1], m[2], m[3] })
    local wide <close> = mapped "__u64"
    wide[1] = -1
    map.add(wide, 1, 2)
    assert.equal(1, wide[1])
  end)

  it("loses nothing where several processes add", function()
    local m <close> = mapped "__u64"
    local script = ([[local bpf = require "bpf" local m = bpf.map.by_id(%d)
      for _ = 1, 50000 do bpf.map.add(m, 1) end]]):format(map.info(m).id)
    local command = ("%s -e %s"):format(helper.LUA, helper.quote(script))
    assert.is_true((select(2, helper.run(("%s & %s & wait"):format(command, command)))))
    assert.equal(100000, m[1])
  end)

  it("refuses what isn't there, and what is no number", function()
    local m <close> = mapped "__u64"
    helper.fails("E2BIG", "map 'counts': update: no such slot, the last one is 7", map.add(m, 8))
    for _, case in ipairs {
      { function() map.add(m, "x") end, "key: integer expected for __u32, got string" },
      { function() map.add(m, -1) end, "key: %-1 does not fit" }, { function() map.add(m) end, "key: " },
      { function() map.add(m, 1, 1.5) end, "^spec/lua/add_spec.lua:%d+: bad argument #3 to 'add' %(integer expected" },
      { function() map.add(m, 1, "1") end, "bad argument #3 to 'add' %(integer expected, got string%)" },
      { function() map.add() end, "bad argument #1 to 'add' %(bpf.map expected, got nil%)" },
    } do
      helper.raises(case[1], case[2])
    end
    for _, value in ipairs { "__u16", "_Bool", "double", "struct { __u64 n; }", "char[8]" } do
      local other <close> = mapped(value)
      helper.raises(function() map.add(other, 1) end,
        "^spec/lua/add_spec.lua:%d+: map.add: values must be integers of 4 or 8")
    end
    local column <close> = assert(map.column(mapped "struct { __u64 n; }", "n"))
    helper.raises(function() map.add(column, 1) end, "a column can only be read")
    local closed = mapped "__u64"
    map.close(closed)
    helper.raises(function() map.add(closed, 1) end, "map 'counts' is closed")
  end)

  it("adds by the program where the memory can't be written", function()
    local m <close> = mapped "__u64"
    assert(map.freeze(m))
    assert(map.add(m, 1, 5))
    assert.equal(5, m[1])
  end)
end)

describe("map.add of variables", function()
  local obj

  before_each(function() obj = assert(bpf.open(helper.obj("vars"))) end)
  after_each(function() obj:close() end)

  -- The names of variables of 4 and 8 bytes, and of others.
  local function named(kind)
    for name, value in pairs(obj.vars) do
      if kind(name, value) then
        return name
      end
    end
  end

  it("adds before the load and after it", function()
    local name = assert(named(function(name, value)
      return math.type(value) == "integer" and pcall(map.add, obj.vars, name, 0)
    end))
    local before = obj.vars[name]
    assert.is_true(map.add(obj.vars, name, 5))
    assert.equal(before + 5, obj.vars[name])
    local loaded <close> = kernel.load(helper.obj("vars"))
    assert.is_true(map.add(loaded.vars, name))
    assert.is_true(map.add(loaded.vars, name, -2))
    assert.equal(before - 1, loaded.vars[name])
  end)

  it("refuses other types, names that aren't there, and the closed object", function()
    helper.raises(function() map.add(obj.vars, "no_such_variable") end, "there is no variable 'no_such_variable'")
    helper.raises(function() map.add(obj.vars, 1) end, "there is no variable '1'")
    helper.raises(function() map.add(obj.vars, "x", {}) end, "bad argument #3 to 'add' %(integer expected, got table%)")
    local text = named(function(_, value) return type(value) == "string" end)
    helper.raises(function() map.add(obj.vars, text) end,
      "^spec/lua/add_spec.lua:%d+: map.add: variables must be integers of 4 or 8 bytes, this one is char%[")
    local vars = obj.vars
    obj:close()
    helper.raises(function() map.add(vars, text) end, "the object of these variables is closed")
  end)
end)

describe("map.add by a program", function()
  it("says where there is no place", function()
    local m <close> = create("hash", "__u64", { key = "__u32", max_entries = 2 })
    map.add(m, 1)
    map.add(m, 2)
    helper.fails("E2BIG", "^map 'counts': add: full, or the kernel found no memory for one more entry %(E2BIG%)$",
      map.add(m, 3))
    assert.is_true(map.add(m, 2))
    assert.same({ 1, 2, nil }, { m[1], m[2], m[3] })
    local array <close> = create("array", "__u64")
    helper.fails("E2BIG", "map 'counts': add: no such slot", map.add(array, 8))
  end)
end)

describe("map.adder", function()
  local folder

  before_each(function() folder = helper.bpffs() end)

  it("is the program that adds, which another handle uses by its pin", function()
    local m <close> = create("hash", "__u64", { key = "__u32" })
    local prog = assert(map.adder(m))
    assert.equal(prog, map.adder(m))
    assert(prog:pin(folder .. "/adder"))
    local other <close> = assert(map.by_id(map.info(m).id))
    local same = assert(map.adder(other, folder .. "/adder"))
    assert.equal(prog:info().id, same:info().id)
    assert.is_true(map.add(other, 1, 5))
    assert.is_true(map.add(m, 1, 2))
    assert.equal(7, m[1])
    same:close()
  end)

  it("lets a process add that may not load programs", function()
    kernel.need("running programs without CAP_BPF", "5.19")
    local m <close> = create("hash", "__u64", { key = "__u32" })
    assert(map.pin(m, folder .. "/counts"))
    assert(assert(map.adder(m)):pin(folder .. "/adder"))
    helper.run(("chmod 755 %s; chmod 666 %s/counts %s/adder"):format(folder, folder, folder))
    local script = ([[local map = require "bpf".map
      local m = map.typed(assert(map.open "%s/counts"), "__u32", "__u64")
      print((select(2, map.add(m, 1))))
      assert(map.adder(m, "%s/adder"))
      print(map.add(m, 1, 41), m[1])]]):format(folder, folder)
    local output = helper.run(("setpriv --reuid=65534 --clear-groups --bounding-set=-all --inh-caps=-all %s -e %s")
      :format(helper.LUA, helper.quote(script)))
    assert.matches("CAP_BPF.*; a program that another process has pinned serves as well: bpf.map.adder", output)
    assert.matches("\ntrue\t41\n$", output)
  end)

  it("refuses the program of another map, and what is none", function()
    local m <close> = create("hash", "__u64", { key = "__u32" })
    local other <close> = create("hash", "__u64", { key = "__u32", name = "others" })
    assert(assert(map.adder(other)):pin(folder .. "/adder"))
    helper.fails("EINVAL", "map.adder '.*/adder': this program doesn't add to the map 'counts' %(EINVAL%)$",
      map.adder(m, folder .. "/adder"))
    helper.fails("ENOENT", "none", map.adder(m, folder .. "/none"))
    helper.raises(function() map.adder(1) end,
      "^spec/lua/add_spec.lua:%d+: bad argument #1 to 'adder' %(bpf.map expected")
    helper.raises(function() map.adder(m, 1) end, "bad argument #2 to 'adder' %(string expected, got number%)")
    local flows <close> = create("hash", "struct { __u64 n; }", { key = "__u32" })
    helper.raises(function() map.adder(flows) end, "^spec/lua/add_spec.lua:%d+: map.add: values must be integers")
    helper.raises(function() map.adder(flows, folder .. "/adder") end,
      "^spec/lua/add_spec.lua:%d+: map.add: values must be integers")
  end)
end)

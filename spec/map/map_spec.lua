-- SPDX-License-Identifier: MIT
-- Maps: made, opened, and worked on entry by entry, by the functions of bpf.map and by index syntax.
local lfs = require("lfs")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local bpf = require("bpf")

local map = bpf.map

kernel.root()

-- Text as a pattern.
local function literally(text)
  return (text:gsub("%p", "%%%0"))
end

-- As helper.raises, for a plain text.
local function raises(fn, text)
  return helper.raises(fn, literally(text))
end

-- Checks that the results are one nil and nothing else.
local function absent(...)
  assert.equal(1, select("#", ...))
  assert.is_nil((...))
end

-- Checks that the results are nil, a message that matches the pattern, and the code.
local function fails(code, pattern, ...)
  assert.equal(3, select("#", ...))
  local result, message, got = ...
  assert.is_nil(result)
  assert.equal(code, got)
  if not message:find(pattern) then
    error(("expected a message that matches %q, got %q"):format(pattern, message), 2)
  end
  assert.equal("(" .. code .. ")", message:sub(-#code - 2))
end

-- Checks that the results are false and the code.
local function refused(code, ...)
  assert.same({ false, code, n = 2 }, table.pack(...))
end

-- Checks that the result is true alone.
local function done(...)
  assert.same({ true, n = 1 }, table.pack(...))
end

-- A function that calls bpf.map's function of this name, which messages then know.
local function caller(name)
  return load("local map, arguments = ...; map." .. name .. "(table.unpack(arguments, 1, arguments.n))")
end

local function create(type, options)
  local all = { type = type, name = "m", value = "__u32", max_entries = 4 }
  if type ~= "queue" and type ~= "stack" and not type:find("array") then
    all.key = "__u32"
  end
  for name, option in pairs(options or {}) do
    all[name] = option or nil
  end
  return assert(map.create(all))
end

local function prefix_map(options)
  options = options or {}
  options.key = options.key or "struct p { __u32 len; __u8 data[4]; }"
  return create("lpm_trie", options)
end

local CPUS
do
  local m <close> = create("percpu_array", { max_entries = 1 })
  CPUS = #m[0]
end

-- A sequence with one value for each CPU.
local function each(value)
  local all = {}
  for cpu = 1, CPUS do
    all[cpu] = type(value) == "function" and value(cpu) or value
  end
  return all
end

local function same(n)
  return n
end

-- How each kind that has keys spells keys and reads values back; `slots` exist from the start.
local keyed = {
  { type = "hash", take = true, full = "E2BIG" },
  { type = "hash", flags = "no_prealloc", take = true, full = "E2BIG" },
  { type = "percpu_hash", read = each, take = true, full = "E2BIG" },
  { type = "lru_hash", take = true },
  { type = "lru_percpu_hash", read = each, take = true },
  { type = "lpm_trie", full = "ENOSPC", key = function(n)
    return ("10.0.0.%d/32"):format(n)
  end },
  { type = "array", slots = true },
  { type = "percpu_array", slots = true, read = each },
}

for _, kind in ipairs(keyed) do
  kind.read = kind.read or same
  kind.key = kind.key or same
  kind.title = kind.type .. (kind.flags and " (" .. kind.flags .. ")" or "")
  kind.create = function(options)
    options = options or {}
    options.flags = options.flags or kind.flags
    if kind.type:find("lru") then -- each CPU keeps some free elements to itself
      options.max_entries = options.max_entries or 1024
    end
    return kind.type == "lpm_trie" and prefix_map(options) or create(kind.type, options)
  end
end

describe("the arguments of", function()
  local m

  setup(function()
    m = create("hash")
  end)

  teardown(function()
    map.close(m)
  end)

  -- Functions whose first argument is a map, with arguments that would do for the rest.
  local functions = {
    lookup = { 1 }, unpack = { 1 }, sum = { 1 }, update = { 1, 1 }, delete = { 1 }, lookup_and_delete = { 1 },
    next_key = {}, push = { 1 }, pop = {}, peek = {}, clear = {}, keys = {}, typed = {}, pin = { "x" }, unpin = { "x" },
    freeze = {}, resize = { 1 }, info = {}, fd = {}, close = {},
  }

  for name, rest in pairs(functions) do
    it("map." .. name .. " begin with a map", function()
      for _, bad in ipairs { 1, "hits", {}, true, print, io.stdout } do
        helper.raises(function()
          caller(name)(map, { bad, table.unpack(rest) })
        end, "bad argument #1 to '" .. name .. "' %(bpf.map expected, got ")
      end
      helper.raises(function()
        caller(name)(map, {})
      end, "bad argument #1 to '" .. name .. "'")
    end)
  end

  it("functions that need a key or value include one", function()
    for _, name in ipairs { "lookup", "unpack", "update", "delete", "lookup_and_delete" } do
      helper.raises(function()
        caller(name)(map, { m })
      end, "bad argument #[23] to '" .. name .. "' %(value expected%)")
    end
    helper.raises(function()
      map.update(m, 1)
    end, "bad argument #3 to 'update' %(value expected%)")
    local q <close> = create("queue")
    helper.raises(function()
      map.push(q)
    end, "bad argument #2 to 'push' %(value expected%)")
  end)

  it("keys and values are checked against their types", function()
    local calls = {
      { "key: integer expected for __u32, got string", function(k) return m[k] end },
      { "key: integer expected for __u32, got string", function(k) m[k] = 1 end },
      { "key: integer expected for __u32, got string", function(k) m[k] = nil end },
      { "key: integer expected for __u32, got string", function(k) map.lookup(m, k) end },
      { "key: integer expected for __u32, got string", function(k) map.update(m, k, 1) end },
      { "key: integer expected for __u32, got string", function(k) map.delete(m, k) end },
      { "key: integer expected for __u32, got string", function(k) map.lookup_and_delete(m, k) end },
      { "key: integer expected for __u32, got string", function(k) map.next_key(m, k) end },
      { "key: integer expected for __u32, got string", function(k) map.unpack(m, k) end },
      { "value: integer expected for __u32, got string", function(v) m[1] = v end },
      { "value: integer expected for __u32, got string", function(v) map.update(m, 1, v) end },
      { "value: integer expected for __u32, got nil", function() map.update(m, 1, nil) end },
      { "key: integer expected for __u32, got nil", function() return m[nil] end },
      { "key: integer expected for __u32, got nil", function() map.lookup(m, nil) end },
      { "key: 4294967296 does not fit in __u32", function() return m[1 << 32] end },
      { "key: -1 does not fit in __u32", function() m[-1] = 1 end },
      { "value: 4294967296 does not fit in __u32", function() m[1] = 1 << 32 end },
      { "key: 1.5 is not an integer, as __u32 needs", function() return m[1.5] end },
    }
    for _, call in ipairs(calls) do
      local message = raises(function()
        call[2]("x")
      end, call[1])
      assert.truthy(message:find("map_spec.lua:%d+: "), message)
    end
    m[1.0] = 7
    assert.equal(7, m[1])
    m[1] = nil
  end)

  it("flags are a name or a sequence of names, unknown ones raise and name those there are", function()
    done(map.update(m, 2, 1, "any"))
    done(map.update(m, 2, 1, { "exist" }))
    done(map.update(m, 2, 1, { "any", "exist" }))
    done(map.update(m, 2, 1, {}))
    done(map.update(m, 2, 1, nil))
    refused("EEXIST", map.update(m, 2, 1, { "noexist" }))
    for _, bad in ipairs { "nonexistent", { "nonexistent" }, { "any", "nonexistent" } } do
      raises(function()
        map.update(m, 2, 1, bad)
      end, "flag 'nonexistent' is unknown (one of: any, noexist, exist, lock)")
    end
    for _, bad in ipairs { 1, true, { 1 }, print } do
      helper.raises(function()
        map.update(m, 2, 1, bad)
      end, "flags must be a name or a sequence of names, got %a+")
      helper.raises(function()
        map.lookup(m, 2, bad)
      end, "flags must be a name or a sequence of names, got %a+")
    end
  end)

  it("lookup's options are known ones", function()
    for _, bad in ipairs { { inot = {} }, { flag = "lock" }, { into = {}, x = 1 } } do
      assert.is_false(pcall(map.lookup, m, 2, bad), "takes an unknown option")
    end
    raises(function()
      map.lookup(m, 2, { into = 5 })
    end, "option 'into' must be a table, got number")
    helper.raises(function()
      map.lookup(m, 2, { into = {} })
    end, "option 'into' is for structs and arrays, not for __u32")
  end)

  it("numbers have their ranges", function()
    for _, bad in ipairs { -1, 1 << 32, math.mininteger } do
      raises(function()
        map.by_id(bad)
      end, "bad argument #1 to 'by_id' (" .. bad .. " is not between 0 and 4294967295)")
      helper.raises(function()
        map.by_fd(bad)
      end, "bad argument #1 to 'by_fd' %(%-?%d+ is not between 0 and 2147483647%)")
      helper.raises(function()
        map.resize(m, bad)
      end, "bad argument #2 to 'resize' %(%-?%d+ is not between 1 and 4294967295%)")
    end
    for _, name in ipairs { "by_id", "by_fd", "open" } do
      for _, bad in ipairs { {}, true, "x" } do
        if name ~= "open" or bad ~= "x" then
          helper.raises(function()
            caller(name)(map, { bad })
          end, "bad argument #1 to '" .. name .. "' %(%a+ expected, got ")
        end
      end
    end
  end)

  it("map.type is anything", function()
    for _, value in ipairs { 1, "x", {}, print, io.stdout, false } do
      absent(map.type(value))
    end
    absent(map.type(nil))
    assert.equal("hash", map.type(m))
    helper.raises(function()
      map.type()
    end, "bad argument #1 to 'type'")
  end)
end)

describe("the options of map.create:", function()
  local function bad(options, text)
    raises(function()
      map.create(options)
    end, text)
  end

  it("they are a table with a type", function()
    helper.raises(function()
      map.create("hash")
    end, "bad argument #1 to 'create' %(table expected, got string%)")
    bad({}, "map.create: option 'type' is missing")
    bad({ type = 1 }, "map.create: option 'type' must be a string, got 1")
  end)

  it("an unknown type raises and names those there are", function()
    local message = raises(function()
      map.create { type = "hsah" }
    end, "map type 'hsah' is unknown (one of: ")
    for _, kind in ipairs(keyed) do
      assert.truthy(message:find(kind.type, 1, true))
    end
    assert.truthy(message:find("queue, stack", 1, true))
  end)

  it("an unknown option raises and names those there are", function()
    bad({ type = "hash", max_entrees = 1 }, "map.create: unknown option 'max_entrees' (options: type, key, value, ")
    bad({ type = "hash", 5 }, "map.create: unknown option '1' (options: ")
  end)

  it("an unknown flag raises and names those there are", function()
    bad({ type = "hash", flags = "prealloc" }, "flag 'prealloc' is unknown (one of: no_prealloc, ")
    bad({ type = "hash", flags = { "no_prealloc", "x" } }, "flag 'x' is unknown (one of: no_prealloc, ")
    bad({ type = "hash", flags = 1 }, "flags must be a name or a sequence of names, got number")
  end)

  it("numbers are in range, and names are strings", function()
    for _, n in ipairs { -1, 1 << 32, 1.5 } do
      for _, option in ipairs { "max_entries", "key_size", "value_size", "numa_node", "ifindex" } do
        bad({ type = "hash", [option] = n },
          ("map.create: option '%s' must be an integer from 0 to 4294967295, got %s"):format(option, n))
      end
    end
    bad({ type = "hash", max_entries = "5" }, "map.create: option 'max_entries' must be an integer from 0 to ")
    bad({ type = "hash", name = 5 }, "map.create: option 'name' must be a string, got 5")
    bad({ type = "hash", map_extra = "x" }, "map.create: option 'map_extra' must be an integer, got string")
  end)

  it("keys and values are C types or sizes", function()
    bad({ type = "hash", key = true }, "key: C type, size in bytes or bpf.type expected, got boolean")
    bad({ type = "hash", key = "__u32", value = {} }, "value: C type, size in bytes or bpf.type expected, got table")
    bad({ type = "hash", key = 0 }, "key: 0 is no size in bytes")
    bad({ type = "hash", key = "struct lbpf_nowhere" }, "struct lbpf_nowhere")
    bad({ type = "hash", key = "__u32", key_size = 4 }, "map.create: give key or key_size, not both")
    bad({ type = "hash", key = "__u32", value = 4, value_size = 4 }, "map.create: give value or value_size, not both")
  end)

  it("the table is left as it was", function()
    local options = { type = "array", value = "__u32", max_entries = 2 }
    local m <close> = assert(map.create(options))
    assert.equal("array", map.type(m))
    assert.same({ type = "array", value = "__u32", max_entries = 2 }, options)
  end)
end)

describe("map.create makes", function()
  for _, kind in ipairs(keyed) do
    it("a " .. kind.title, function()
      local m <close> = kind.create({ max_entries = 32, name = "made" })
      assert.equal(kind.type, map.type(m))
      local info = map.info(m)
      assert.equal(kind.type, info.type)
      assert.equal("made", info.name)
      assert.equal(32, info.max_entries)
      assert.equal(kind.type == "lpm_trie" and 8 or 4, info.key_size)
      assert.equal(4, info.value_size)
      assert.is_true(info.id > 0)
      assert.is_true(info.btf_id > 0)
      assert.equal(kind.flags == "no_prealloc" or kind.type == "lpm_trie", info.map_flags & 1 == 1)
    end)
  end

  for _, type in ipairs { "queue", "stack" } do
    it("a " .. type .. ", which has no key", function()
      local m <close> = create(type)
      assert.equal(type, map.type(m))
      assert.equal(0, map.info(m).key_size)
      assert.equal(4, map.info(m).value_size)
    end)
  end

  it("maps of raw strings from sizes", function()
    for _, options in ipairs {
      { key = 3, value = 5 }, { key = false, key_size = 3, value = false, value_size = 5 },
    } do
      local m <close> = create("hash", options)
      assert.equal(0, map.info(m).btf_id)
      m["a\0b"] = "12345"
      assert.equal("12345", m["a\0b"])
      assert.equal("a\0b", map.next_key(m))
      raises(function()
        m.ab = "12345"
      end, "key: raw bytes takes 3 bytes, got 2")
      raises(function()
        m["a\0b"] = "123456"
      end, "value: raw bytes takes 5 bytes, got 6")
    end
  end)

  it("maps from compiled types", function()
    local m <close> = create("hash", { key = bpf.btf.type("__u16"), value = bpf.btf.type("struct v { __u8 a, b; }") })
    m[7] = { a = 1, b = 2 }
    assert.same({ a = 1, b = 2 }, m[7])
  end)

  it("maps whose value mentions the key's struct", function()
    local m <close> = create("hash", {
      key = "struct k { __u16 a, b; }", value = "struct v { struct k from; __u32 n; }",
    })
    m[{ a = 1, b = 2 }] = { from = { a = 3, b = 4 }, n = 5 }
    assert.same({ from = { a = 3, b = 4 }, n = 5 }, m[{ a = 1, b = 2 }])
  end)

  it("maps with very large keys and values", function()
    local m <close> = create("hash", { key = 400, value = 1 << 20 })
    local value = ("v"):rep(1 << 20)
    m[("k"):rep(400)] = value
    assert.is_true(value == m[("k"):rep(400)])
    assert.is_true(value == map.lookup_and_delete(m, ("k"):rep(400)))
    assert.is_nil(m[("k"):rep(400)])
  end)

  it("maps with several flags", function()
    local m <close> = create("hash", { flags = { "no_prealloc", "rdonly_prog", "zero_seed" } })
    assert.equal(1 | 64 | 128, map.info(m).map_flags)
  end)

  it("maps whose long name reaches the kernel in part", function()
    local m <close> = create("hash", { name = "a_rather_long_name" })
    assert.equal("a_rather_long_n", map.info(m).name)
    assert.truthy(tostring(m):find("a_rather_long_", 1, true))
  end)

  it("values without the members that the kernel owns", function()
    local m <close> = create("hash", {
      value = "struct bpf_spin_lock { __u32 val; }; struct v { struct bpf_spin_lock lock; __u32 n; }",
    })
    m[1] = { n = 5 }
    assert.same({ n = 5 }, m[1])
    done(map.update(m, 1, { n = 6 }, { "exist", "lock" }))
    assert.same({ n = 6 }, map.lookup(m, 1, "lock"))
    raises(function()
      m[1] = { lock = {} }
    end, "value: struct v has no member 'lock' (members: n)")
  end)
end)

for _, kind in ipairs(keyed) do
  describe("one entry of a " .. kind.title .. ":", function()
    local m, k1, k2

    before_each(function()
      m = kind.create()
      k1, k2 = kind.key(1), kind.key(kind.slots and 99 or 2)
      m[k1] = 11
    end)

    after_each(function()
      map.close(m)
    end)

    it("lookup gives the value, or one nil", function()
      assert.same({ kind.read(11), n = 1 }, table.pack(map.lookup(m, k1)))
      absent(map.lookup(m, k2))
      assert.same(kind.read(11), m[k1])
      assert.is_nil(m[k2])
    end)

    it("lookup gives a copy", function()
      local copy = map.lookup(m, k1)
      m[k1] = 12
      assert.same(kind.read(11), copy)
      assert.same(kind.read(12), map.lookup(m, k1))
    end)

    it("unpack gives the value, or one nil", function()
      assert.same({ kind.read(11), n = 1 }, table.pack(map.unpack(m, k1)))
      absent(map.unpack(m, k2))
    end)

    it("update stores", function()
      done(map.update(m, k1, 21))
      assert.same(kind.read(21), m[k1])
      done(map.update(m, k1, 22, "any"))
      assert.same(kind.read(22), m[k1])
      done(map.update(m, k1, 23, "exist"))
      assert.same(kind.read(23), m[k1])
      m[k1] = 24
      assert.same(kind.read(24), map.lookup(m, k1))
    end)

    it("update of what is there is refused by noexist", function()
      if kind.type == "lpm_trie" then
        kernel.need("noexist in an lpm_trie", "6.13")
      end
      refused("EEXIST", map.update(m, k1, 21, "noexist"))
      assert.same(kind.read(11), m[k1])
    end)

    if kind.slots then
      it("there are no slots beyond the last", function()
        for _, flags in ipairs { "any", "exist" } do
          fails("E2BIG", "^map 'm': update: no such slot, the last one is 3 ", map.update(m, 4, 1, flags))
        end
        raises(function()
          m[4] = 1
        end, "map 'm': update: no such slot, the last one is 3 (E2BIG)")
        absent(map.lookup(m, 4))
        assert.is_nil(m[4])
        assert.equal(4, #m)
      end)

      it("slots can't be deleted", function()
        for _, fn in ipairs {
          function() map.delete(m, 1) end, function() m[1] = nil end,
        } do
          raises(fn, ("map 'm': maps of type %s have no delete (they have: lookup, update, next_key, pairs)")
            :format(kind.type))
        end
        raises(function()
          map.lookup_and_delete(m, 1)
        end, "map 'm': maps of type " .. kind.type .. " have no lookup_and_delete")
        assert.same(kind.read(11), m[1])
      end)

      it("clear sets every slot to zero", function()
        m[3] = 5
        assert.equal(4, map.clear(m))
        for i = 0, 3 do
          assert.same(kind.read(0), m[i])
        end
      end)

      it("next_key counts", function()
        assert.equal(0, map.next_key(m))
        assert.equal(1, map.next_key(m, 0))
        absent(map.next_key(m, 3))
        assert.equal(0, map.next_key(m, 4))
      end)
    else
      it("update of what is absent stores it, if exist doesn't refuse", function()
        if kind.type == "lpm_trie" then
          kernel.need("exist in an lpm_trie", "6.13")
        end
        refused("ENOENT", map.update(m, k2, 21, "exist"))
        assert.is_nil(m[k2])
        done(map.update(m, k2, 21, "noexist"))
        assert.same(kind.read(21), m[k2])
        done(map.update(m, kind.key(3), 31))
        assert.equal(3, #m)
      end)

      it("delete deletes, and tells whether it did", function()
        done(map.delete(m, k1))
        assert.is_nil(m[k1])
        refused("ENOENT", map.delete(m, k1))
        m[k1] = 11
        m[k1] = nil
        assert.is_nil(m[k1])
        m[k1] = nil
        assert.equal(0, #m)
      end)

      it("clear deletes every entry and tells how many", function()
        m[k2], m[kind.key(3)] = 2, 3
        assert.equal(3, map.clear(m))
        assert.equal(0, #m)
        absent(map.next_key(m))
        assert.equal(0, map.clear(m))
      end)

      it("next_key goes through all, and starts over for an absent key", function()
        m[k2] = 2
        local first = map.next_key(m)
        local second = map.next_key(m, first)
        assert.is_true(first == k1 and second == k2 or first == k2 and second == k1)
        absent(map.next_key(m, second))
        m[second] = nil
        assert.equal(first, map.next_key(m, second))
        m[first] = nil
        absent(map.next_key(m))
        absent(map.next_key(m, nil))
      end)
    end

    if kind.take then
      it("lookup_and_delete takes it out", function()
        assert.same({ kind.read(11), n = 1 }, table.pack(map.lookup_and_delete(m, k1)))
        assert.is_nil(m[k1])
        absent(map.lookup_and_delete(m, k1))
        absent(map.lookup_and_delete(m, k2))
      end)
    else
      it("lookup_and_delete is no operation of it", function()
        local message = raises(function()
          map.lookup_and_delete(m, k1)
        end, ("map 'm': maps of type %s have no lookup_and_delete (they have: lookup, update"):format(kind.type))
        assert.is_nil(message:find("they have:.*lookup_and_delete"))
        assert.same(kind.read(11), m[k1])
      end)
    end

    if kind.full then
      it("a full map takes no more", function()
        for i = 1, 4 do
          m[kind.key(i)] = i
        end
        for _, flags in ipairs { "any", "noexist" } do
          fails(kind.full, "^map 'm': update: full, all 4 entries in use ", map.update(m, kind.key(5), 5, flags))
        end
        helper.raises(function()
          m[kind.key(5)] = 5
        end, "map_spec.lua:%d+: map 'm': update: full, all 4 entries in use %(" .. kind.full .. "%)$")
        assert.is_nil(m[kind.key(5)])
        assert.equal(4, #m)
        m[k1] = nil
        done(map.update(m, kind.key(5), 5))
      end)

      it("a full map still replaces", function()
        if kind.type == "lpm_trie" then
          kernel.need("replacing in a full lpm_trie", "6.1") -- 6.13, but stable releases have it, not 5.10's
        end
        for i = 1, 4 do
          m[kind.key(i)] = i
        end
        done(map.update(m, k1, 21))
        assert.same(kind.read(21), m[k1])
      end)
    elseif not kind.slots then
      it("a full map drops what was used least", function()
        for i = 1, 5000 do
          m[i] = i
        end
        assert.same(kind.read(5000), m[5000])
        assert.is_true(#m > 0 and #m <= 1024)
      end)
    end

    it("a frozen map refuses to be written, and is read as before", function()
      done(map.freeze(m))
      fails("EPERM", "^map 'm': update: refused; the map may be frozen", map.update(m, k1, 1))
      raises(function()
        m[k1] = 1
      end, "map 'm': update: refused; the map may be frozen")
      fails("EPERM", "^map 'm': clear: refused; the map may be frozen", map.clear(m))
      if not kind.slots then
        fails("EPERM", "^map 'm': delete: refused; the map may be frozen", map.delete(m, k1))
        raises(function()
          m[k1] = nil
        end, "map 'm': delete: refused; the map may be frozen")
      end
      if kind.take then
        fails("EPERM", "^map 'm': lookup_and_delete: refused", map.lookup_and_delete(m, k1))
      end
      assert.same(kind.read(11), m[k1])
      assert.equal(k1, map.next_key(m, not kind.slots and k2 or 0))
      local result, message, code = map.freeze(m)
      assert.is_nil(result)
      assert.is_true(code == "EBUSY" or code == "EPERM", code) -- which of them, depends on the kernel
      assert.truthy(message:find("^map 'm': freeze: .*frozen already"), message)
    end)

    it("the kernel's refusal of a look-up is told from absence", function()
      local w <close> = kind.create({ flags = { "wronly", kind.flags } })
      done(map.update(w, k1, 1))
      fails("EPERM", "^map 'm': lookup: refused; ", map.lookup(w, k1))
      fails("EPERM", "^map 'm': lookup: refused; ", map.lookup(w, k2))
      fails("EPERM", "^map 'm': lookup: refused; ", map.unpack(w, k1))
      fails("EPERM", "^map 'm': next_key: refused; ", map.next_key(w))
      helper.raises(function()
        return w[k1]
      end, "map_spec.lua:%d+: map 'm': lookup: refused; .*%(EPERM%)$")
      if kind.read == each then
        fails("EPERM", "^map 'm': lookup: refused; ", map.sum(w, k1))
      end
    end)

    it("a map that is read-only to us refuses to be written", function()
      local r <close> = kind.create({ flags = { "rdonly", kind.flags } })
      fails("EPERM", "^map 'm': update: refused; ", map.update(r, k1, 1))
      raises(function()
        r[k1] = 1
      end, "map 'm': update: refused; ")
      if not kind.slots then
        fails("EPERM", "^map 'm': delete: refused; ", map.delete(r, k1))
      end
    end)

    it("what it can't do raises and names what it can", function()
      local calls = {
        push = function() map.push(m, 1) end,
        pop = function() map.pop(m) end,
        peek = function() map.peek(m) end,
        ["values to sum"] = kind.read ~= each and function() map.sum(m, k1) end or nil,
      }
      for name, fn in pairs(calls) do
        raises(fn, ("map 'm': maps of type %s have no %s (they have: lookup, update, "):format(kind.type, name))
      end
    end)
  end)
end

for _, type in ipairs { "queue", "stack" } do
  describe("a " .. type .. ":", function()
    local m

    before_each(function()
      m = create(type)
    end)

    after_each(function()
      map.close(m)
    end)

    it("pop and peek give one nil when it is empty", function()
      absent(map.pop(m))
      absent(map.peek(m))
    end)

    it("pop gives the " .. (type == "queue" and "oldest" or "newest") .. ", peek leaves it", function()
      for i = 1, 3 do
        done(map.push(m, i))
      end
      local order = type == "queue" and { 1, 2, 3 } or { 3, 2, 1 }
      for _, want in ipairs(order) do
        assert.equal(want, map.peek(m))
        assert.equal(want, map.peek(m))
        assert.equal(want, map.pop(m))
      end
      absent(map.pop(m))
    end)

    it("push tells when it is full, and exist makes room", function()
      for i = 1, 4 do
        done(map.push(m, i, "any"))
      end
      fails("E2BIG", "^map 'm': push: full, all 4 entries in use ", map.push(m, 5))
      done(map.push(m, 5, "exist"))
      local got = {}
      for v in function() return map.pop(m) end do
        got[#got + 1] = v
      end
      assert.same(type == "queue" and { 2, 3, 4, 5 } or { 5, 4, 3, 2 }, got)
    end)

    it("push takes no flag that makes no sense", function()
      fails("EINVAL", "^map 'm': push: ", map.push(m, 1, "noexist"))
      raises(function()
        map.push(m, 1, "x")
      end, "flag 'x' is unknown (one of: ")
    end)

    it("values are checked", function()
      raises(function()
        map.push(m, "x")
      end, "value: integer expected for __u32, got string")
      raises(function()
        map.push(m, nil)
      end, "value: integer expected for __u32, got nil")
    end)

    it("clear empties it and tells how many there were", function()
      for i = 1, 3 do
        map.push(m, i)
      end
      assert.equal(3, map.clear(m))
      absent(map.peek(m))
      assert.equal(0, map.clear(m))
    end)

    it("structs go through it", function()
      local s <close> = create(type, { value = "struct job { __u32 id; char name[8]; }" })
      map.push(s, { id = 7, name = "seven" })
      assert.same({ id = 7, name = "seven" }, map.peek(s))
      assert.same({ id = 7, name = "seven" }, map.pop(s))
    end)

    it("what needs a key raises and names what it has", function()
      for name, fn in pairs {
        lookup = function() return m[1] end,
        update = function() m[1] = 1 end,
        delete = function() m[1] = nil end,
        lookup_and_delete = function() map.lookup_and_delete(m, 1) end,
        next_key = function() map.next_key(m) end,
        length = function() return #m end,
        ["keys to walk"] = function() pairs(m) end,
        ["values to sum"] = function() map.sum(m, 1) end,
      } do
        raises(fn, ("map 'm': maps of type %s have no %s (they have: push, pop, peek)"):format(type, name))
      end
      for _, name in ipairs { "lookup", "unpack", "delete" } do
        helper.raises(function()
          map[name](m, 1)
        end, "have no ")
      end
    end)

    it("a frozen one refuses", function()
      map.push(m, 1)
      done(map.freeze(m))
      fails("EPERM", "^map 'm': push: refused; the map may be frozen", map.push(m, 2))
      fails("EPERM", "^map 'm': pop: refused; the map may be frozen", map.pop(m))
      assert.equal(1, map.peek(m))
    end)
  end)
end

describe("structs as values:", function()
  local hit = "struct hit { __u64 count; struct { __u16 port; __u8 mac[2]; } from; __u32 last[3]; char comm[8]; }"
  local full = { count = 5, from = { port = 80, mac = "\1\2" }, last = { 1, 2, 3 }, comm = "curl" }
  local empty = { count = 0, from = { port = 0, mac = "\0\0" }, last = { 0, 0, 0 }, comm = "" }
  local m

  before_each(function()
    m = create("hash", { name = "hits", value = hit })
    m[1] = full
  end)

  after_each(function()
    map.close(m)
  end)

  it("they are read as new tables, members left out are zero", function()
    assert.same(full, m[1])
    assert.are_not.equal(m[1], m[1])
    m[1] = {}
    assert.same(empty, m[1])
  end)

  it("changing a copy changes nothing else", function()
    m[1].count = 99
    assert.equal(5, m[1].count)
  end)

  it("unpack gives the members in their order", function()
    local count, from, last, comm = map.unpack(m, 1)
    assert.same(full, { count = count, from = from, last = last, comm = comm })
    assert.equal(4, select("#", map.unpack(m, 1)))
    absent(map.unpack(m, 2))
  end)

  it("lookup fills a table given, and those within it", function()
    local from, last = {}, { 9, 9, 9 }
    local t = { from = from, last = last, count = "old", other = "stays" }
    assert.equal(t, map.lookup(m, 1, { into = t }))
    assert.equal(from, t.from)
    assert.equal(last, t.last)
    assert.equal("stays", t.other)
    t.other = nil
    assert.same(full, t)
    t = {}
    assert.equal(t, map.lookup(m, 1, { "any", into = t }))
    assert.same(full, t)
  end)

  it("lookup leaves the given table alone when there is nothing", function()
    local t = { count = "old" }
    absent(map.lookup(m, 2, { into = t }))
    assert.same({ count = "old" }, t)
  end)

  it("lookup fills arrays too", function()
    local a <close> = create("hash", { value = "__u32[3]" })
    a[1] = { 4, 5, 6 }
    local t = { 1, 2, 3 }
    assert.equal(t, map.lookup(a, 1, { into = t }))
    assert.same({ 4, 5, 6 }, t)
  end)

  it("what doesn't fit raises with its path, and stores nothing", function()
    for _, row in ipairs {
      { { from = { port = 70000 } }, "value.from.port: 70000 does not fit in __u16" },
      { { last = { 1, 2, 3, 4 } }, "value.last: 4 elements do not fit in __u32[3]" },
      { { comm = "too long a name" }, "value.comm: 15 bytes do not fit in char[8]" },
      { { cuont = 1 }, "value: struct hit has no member 'cuont' (members: count, from, last, comm)" },
      { 5, "value: table expected for struct hit, got number" },
    } do
      raises(function()
        m[1] = row[1]
      end, row[2])
      raises(function()
        map.update(m, 1, row[1])
      end, row[2])
    end
    assert.same(full, m[1])
  end)

  it("as keys they find their entry whatever the padding", function()
    local k <close> = create("hash", { key = "struct k { __u8 a; __u32 b; }" })
    k[{ a = 1, b = 2 }] = 7
    for _ = 1, 100 do
      assert.equal(7, k[{ b = 2, a = 1 }])
    end
    assert.same({ a = 1, b = 2 }, map.next_key(k))
    raises(function()
      return k[{ a = 1, c = 2 }]
    end, "key: struct k has no member 'c' (members: a, b)")
  end)

  it("entries are added under construction", function()
    m[1] = nil
    for i = 1, 4 do
      m[i] = { count = i }
    end
    local sum = 0
    for _, v in pairs(m) do
      sum = sum + v.count
    end
    assert.equal(10, sum)
  end)
end)

describe("a map's entries", function()
  it("may have the names of operations and metamethods as keys", function()
    local m <close> = create("hash", { key = "char[16]", max_entries = 16 })
    local names = { "close", "lookup", "update", "__index", "__newindex", "__gc", "__close", "__len", "fd", "", "type" }
    for i, name in ipairs(names) do
      assert.is_nil(m[name])
      m[name] = i
    end
    for i, name in ipairs(names) do
      assert.equal(i, m[name])
    end
    assert.equal(#names, #m)
    for i, name in ipairs(names) do
      m[name] = nil
      assert.is_nil(m[name])
      assert.equal(#names - i, #m)
    end
  end)

  it("are all that indexing reaches", function()
    local m <close> = create("hash")
    helper.raises(function()
      m:close()
    end, "key: integer expected for __u32, got string")
    assert.is_false(getmetatable(m))
  end)
end)

describe("per-CPU values:", function()
  for _, type in ipairs { "percpu_hash", "percpu_array", "lru_percpu_hash" } do
    describe(type, function()
      it("a sequence gives each CPU its own", function()
        local m <close> = create(type)
        local values = each(function(cpu) return cpu * 10 end)
        m[1] = values
        assert.same(values, m[1])
        assert.same(values, (map.lookup(m, 1)))
      end)

      it("a single value sets them all", function()
        local m <close> = create(type, { value = "struct v { __u32 n; char s[4]; }" })
        m[1] = { n = 3, s = "x" }
        assert.same(each({ n = 3, s = "x" }), m[1])
        m[1] = {}
        assert.same(each({ n = 0, s = "" }), m[1])
      end)

      it("a sequence of structs gives each CPU its own", function()
        local m <close> = create(type, { value = "struct v { __u8 a; __u16 b; __u8 c; }" })
        local values = each(function(cpu) return { a = cpu, b = cpu * 2, c = 255 - cpu } end)
        m[1] = values
        assert.same(values, m[1])
      end)

      it("arrays as values are told from sequences of them", function()
        local m <close> = create(type, { value = "__u16[3]" })
        m[1] = { 1, 2, 3 }
        assert.same(each({ 1, 2, 3 }), m[1])
        local values = each(function(cpu) return { cpu, 0, cpu } end)
        m[1] = values
        assert.same(values, m[1])
      end)

      it("text and bytes as values are told from sequences of them", function()
        local m <close> = create(type, { value = "char[8]" })
        m[1] = "all"
        assert.same(each("all"), m[1])
        m[1] = each(function(cpu) return "cpu" .. cpu end)
        assert.same(each(function(cpu) return "cpu" .. cpu end), m[1])
        local b <close> = create(type, { value = "unsigned char[2]" })
        b[1] = "ab"
        assert.same(each("ab"), b[1])
        b[1] = each(function(cpu) return string.char(cpu, 9) end)
        assert.same(each(function(cpu) return string.char(cpu, 9) end), b[1])
      end)

      it("a wrong number of values raises, and stores nothing", function()
        local m <close> = create(type)
        m[1] = 5
        for _, n in ipairs { CPUS - 1, CPUS + 1, CPUS + 100 } do
          if n > 0 then
            local values = {}
            for i = 1, n do
              values[i] = i
            end
            raises(function()
              m[1] = values
            end, ("value: %d values given for %d possible CPUs"):format(n, CPUS))
          end
        end
        assert.is_false(pcall(map.update, m, 1, {}))
        assert.same(each(5), m[1])
      end)

      it("a value that doesn't fit raises", function()
        local m <close> = create(type)
        local values = each(1)
        values[CPUS] = -1
        helper.raises(function()
          m[1] = values
        end, "value.*: %-1 does not fit in __u32$")
        raises(function()
          m[1] = "x"
        end, "value: integer expected for __u32, got string")
      end)

      it("sum adds integers up", function()
        local m <close> = create(type, { value = "__u64" })
        m[1] = each(function(cpu) return cpu end)
        assert.equal(CPUS * (CPUS + 1) // 2, map.sum(m, 1))
        absent(map.sum(m, type == "percpu_array" and 99 or 2))
      end)

      it("sum adds structs up member by member", function()
        local m <close> = create(type, {
          value = "struct v { __u32 n; __s16 s; double d; char name[8]; _Bool on; __u32 parts[2];"
            .. " struct { __u64 deep; } in; __u32 low:3; __u32 high:29; }",
        })
        m[1] = each(function(cpu)
          return {
            n = 4294967295, s = -cpu, d = 0.5, name = "cpu" .. cpu, on = cpu == 1, parts = { cpu, 1 },
            ["in"] = { deep = 1 << 40 }, low = 7, high = cpu,
          }
        end)
        local triangle = CPUS * (CPUS + 1) // 2
        assert.same({
          n = 4294967295 * CPUS, s = -triangle, d = 0.5 * CPUS, name = "cpu1", on = true, parts = { triangle, CPUS },
          ["in"] = { deep = CPUS << 40 }, low = 7 * CPUS, high = triangle,
        }, map.sum(m, 1))
      end)

      it("lookup fills a table given", function()
        local m <close> = create(type, { value = "struct v { __u32 n; }" })
        m[1] = { n = 4 }
        local t = {}
        assert.equal(t, map.lookup(m, 1, { into = t }))
        assert.same(each({ n = 4 }), t)
      end)
    end)
  end
end)

describe("an lpm_trie", function()
  it("takes IPv4 prefixes as text and gives the longest match", function()
    local m <close> = prefix_map()
    m["10.0.0.0/8"] = 8
    m["10.1.0.0/16"] = 16
    m["10.1.2.3/32"] = 32
    assert.equal(8, m["10.2.0.0/16"])
    assert.equal(8, m["10.255.255.255"])
    assert.equal(16, m["10.1.2.4"])
    assert.equal(32, m["10.1.2.3"])
    assert.equal(16, m["10.1.2.3/31"])
    assert.is_nil(m["11.0.0.1"])
    assert.is_nil(m["10.0.0.0/7"])
    m["0.0.0.0/0"] = 0
    assert.equal(0, m["11.0.0.1"])
    assert.equal(4, #m)
  end)

  it("takes IPv6 prefixes as text and gives the longest match", function()
    local m <close> = prefix_map({ key = "struct p6 { __u32 len; __u8 data[16]; }" })
    m["2001:db8::/32"] = 32
    m["2001:db8:1::/48"] = 48
    m["2001:db8:1::1"] = 128
    assert.equal(32, m["2001:db8:2::5"])
    assert.equal(48, m["2001:db8:1::2"])
    assert.equal(128, m["2001:db8:1::1/128"])
    assert.is_nil(m["2001:db9::1"])
    local keys = {}
    for k in map.keys(m) do
      keys[#keys + 1] = k
    end
    table.sort(keys)
    assert.same({ "2001:db8:1::/48", "2001:db8:1::1/128", "2001:db8::/32" }, keys)
    raises(function()
      m["10.0.0.0/8"] = 1
    end, "key: '10.0.0.0/8' is no IPv6 prefix such as \"2001:db8::/32\"")
  end)

  it("clears the bits beyond the prefix", function()
    local m <close> = prefix_map()
    for len = 0, 32 do
      m["255.255.255.255/" .. len] = len
      local key = map.next_key(m)
      local bits = len == 0 and 0 or ~0 << 32 - len & 0xffffffff
      assert.equal(("%d.%d.%d.%d/%d"):format(bits >> 24, bits >> 16 & 255, bits >> 8 & 255, bits & 255, len), key)
      done(map.delete(m, key))
    end
    m["10.1.2.3/8"] = 1
    m["10.9.9.9/8"] = 2
    assert.equal(1, #m)
  end)

  it("refuses text that is no prefix", function()
    local m <close> = prefix_map()
    for _, bad in ipairs {
      "", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/ 8", "10.0.0.0/8 ",
      "10.0.0.0/8x", "10.0.0/8", "10.0.0.0.0/8", "10.0.0.256/8", "2001:db8::/32", "localhost", "10.0.0.0/4294967304",
      "10.0.0.0/18446744073709551624", ("1"):rep(100), "10.0.0.0/8/8",
    } do
      raises(function()
        m[bad] = 1
      end, ("key: '%s' is no IPv4 prefix such as \"10.0.0.0/8\""):format(bad))
    end
    assert.is_false(pcall(map.update, m, "10.0.0.0/8\0", 1))
    assert.equal(0, #m)
  end)

  it("takes its struct as well", function()
    local m <close> = prefix_map()
    m[{ len = 8, data = { 10 } }] = 1
    assert.equal(1, m["10.2.3.4"])
    assert.equal("10.0.0.0/8", map.next_key(m))
    fails("EINVAL", "^map 'm': update: the prefix is longer than the data of the map's keys %(EINVAL%)$",
      map.update(m, { len = 33 }, 1))
    raises(function()
      m[{ len = 33 }] = 1
    end, "map 'm': update: the prefix is longer than the data of the map's keys (EINVAL)")
    raises(function()
      m[5] = 1
    end, "key: table expected for struct p, got number")
  end)

  it("of raw keys takes text and bytes", function()
    local m <close> = prefix_map({ key = 8 })
    m["10.0.0.0/8"] = 1
    assert.equal(1, m[string.pack("=I4BBBB", 32, 10, 1, 2, 3)])
    m[string.pack("=I4BBBB", 16, 11, 1, 0, 0)] = 2
    assert.equal(2, m["11.1.255.255"])
    m["10.0.0.1"] = 3 -- of 8 characters, as the key has bytes
    assert.equal(3, m["10.0.0.1/32"])
  end)

  it("of data that is no address takes its struct and nothing else", function()
    local m <close> = prefix_map({ key = "struct p { __u32 len; __u8 data[6]; }" })
    m[{ len = 24, data = "\1\2\3\0\0\0" }] = 7
    assert.equal(7, m[{ len = 48, data = "\1\2\3\4\5\6" }])
    assert.same({ len = 24, data = "\1\2\3\0\0\0" }, map.next_key(m))
    raises(function()
      m["10.0.0.0/8"] = 1
    end, "key: table expected for struct p, got string")
  end)

  it("gets its no_prealloc by itself", function()
    local m <close> = prefix_map()
    assert.equal(1, map.info(m).map_flags)
  end)
end)

describe("map.typed", function()
  it("views raw bytes through types, in the same map", function()
    local m <close> = create("hash", { key = 4, value = 8 })
    local view <close> = assert(map.typed(m, "__u32", "struct v { __u32 a, b; }"))
    view[1] = { a = 2, b = 3 }
    assert.equal(string.pack("=I4I4", 2, 3), m[string.pack("=I4", 1)])
    assert.is_true(m == view)
    assert.are_not.equal(map.fd(m), map.fd(view))
  end)

  it("keeps a type that isn't given", function()
    local m <close> = create("hash", { value = 8 })
    local view <close> = assert(map.typed(m, nil, "__u64"))
    view[5] = 6
    assert.equal(string.pack("=I8", 6), m[5])
    local other <close> = assert(map.typed(m, 4))
    assert.equal(string.pack("=I8", 6), other[string.pack("=I4", 5)])
  end)

  it("keeps prefixes and CPUs", function()
    local m <close> = prefix_map({ key = 8 })
    local view <close> = assert(map.typed(m, "struct p { __u32 len; __u8 data[4]; }", "__s32"))
    view["10.0.0.0/8"] = -1
    assert.equal(0xffffffff, m["10.2.3.4"])
    local p <close> = create("percpu_hash")
    local signed <close> = assert(map.typed(p, nil, "__s32"))
    p[1] = 0xffffffff
    assert.same(each(-1), signed[1])
  end)

  it("refuses a type of another size", function()
    local m <close> = create("hash")
    local before = helper.descriptors()
    raises(function()
      map.typed(m, "__u64")
    end, "key: __u64 takes 8 bytes, the map's keys 4")
    raises(function()
      map.typed(m, nil, "struct v { char c[3]; }")
    end, "value: struct v takes 3 bytes, the map's values 4")
    raises(function()
      map.typed(m, true)
    end, "key: C type, size in bytes or bpf.type expected, got boolean")
    assert.equal(before, helper.descriptors())
    local q <close> = create("queue")
    assert.is_false(pcall(map.typed, q, "__u32"))
  end)

  it("outlives the handle it was made from", function()
    local m = create("hash", { value = "struct v { __u32 n; }" })
    local view <close> = assert(map.typed(m))
    m[1] = { n = 2 }
    map.close(m)
    m = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.same({ n = 2 }, view[1])
  end)
end)

describe("map.by_id and map.by_fd", function()
  it("open the same map, with its types", function()
    local m <close> = create("hash", { name = "hits", value = "struct hit { __u64 count; }" })
    m[1] = { count = 5 }
    local by_id <close> = assert(map.by_id(map.info(m).id))
    local by_fd <close> = assert(map.by_fd(map.fd(m)))
    for _, other in ipairs { by_id, by_fd } do
      assert.same({ count = 5 }, other[1])
      assert.is_true(m == other)
      assert.same(map.info(m), map.info(other))
      assert.are_not.equal(map.fd(m), map.fd(other))
    end
    by_id[2] = { count = 6 }
    assert.same({ count = 6 }, m[2])
  end)

  it("give a handle of their own: closing it leaves the other open", function()
    local m <close> = create("hash")
    local other = assert(map.by_fd(map.fd(m)))
    map.close(other)
    m[1] = 5
    assert.equal(5, m[1])
  end)

  it("type maps without BTF as raw bytes, but the index of arrays", function()
    local h <close> = create("hash", { key = 4, value = 4 })
    local a <close> = create("array", { value = 4 })
    local h2 <close> = assert(map.by_id(map.info(h).id))
    local a2 <close> = assert(map.by_id(map.info(a).id))
    h2["key1"] = "val1"
    assert.equal("val1", h["key1"])
    a2[2] = "slot"
    assert.equal("slot", a[2])
  end)

  it("tell what isn't there or is no map", function()
    fails("ENOENT", "^map.by_id 4294967295: no such map ", map.by_id(4294967295))
    fails("EBADF", "^map.by_fd 999999: ", map.by_fd(999999))
    local before = helper.descriptors()
    fails("EINVAL", "^map.by_fd 1: this is no map's descriptor ", map.by_fd(1))
    assert.equal(before, helper.descriptors())
  end)
end)

describe("pinning:", function()
  local dir, m

  setup(function()
    dir = helper.bpffs()
  end)

  before_each(function()
    m = create("hash", { name = "pinned", value = "struct v { __u32 n; }" })
  end)

  after_each(function()
    map.close(m)
  end)

  it("a pinned map outlives its handle and is opened by path", function()
    local path = dir .. "/outlives"
    m[1] = { n = 7 }
    done(map.pin(m, path))
    map.close(m)
    local again <close> = assert(map.open(path))
    assert.same({ n = 7 }, again[1])
    assert.equal("pinned", map.info(again).name)
    done(map.unpin(again, path))
    fails("ENOENT", "^map.open '" .. literally(path) .. "': ", map.open(path))
    assert.same({ n = 7 }, again[1])
  end)

  it("a path that is taken, or nowhere, is refused", function()
    local path = dir .. "/taken"
    done(map.pin(m, path))
    fails("EEXIST", "^map 'pinned': pin to '" .. literally(path) .. "': ", map.pin(m, path))
    fails("ENOENT", "^map 'pinned': pin to ", map.pin(m, dir .. "/no/such"))
    done(map.unpin(m, path))
  end)

  it("a path on another file system, or with a dot, is refused and the reason told", function()
    local tmp = helper.tmpdir()
    fails("EPERM", "the directory is on no bpffs", map.pin(m, tmp .. "/x"))
    fails("EPERM", "the directory is on no bpffs", map.pin(m, "3"))
    fails("EPERM", "names on a bpffs may not contain '.'", map.pin(m, dir .. "/with.dot"))
    assert.is_nil(lfs.attributes(tmp .. "/x"))
  end)

  it("a path below /sys/fs/bpf where nothing is mounted is likewise", function()
    local output = helper.run(([[unshare -m sh -c '
      while umount -l /sys/fs/bpf; do :; done 2>/dev/null
      exec %s -' <<'END'
      local map = require("bpf").map
      local m = assert(map.create { type = "array", name = "m", value = "__u32", max_entries = 1 })
      print(map.pin(m, "/sys/fs/bpf/x"))
END]]):format(helper.LUA))
    assert.equal("nil\tmap 'm': pin to '/sys/fs/bpf/x': the directory is on no bpffs (mount -t bpf bpf /sys/fs/bpf) "
      .. "(ENOENT)\tENOENT\n", output)
  end)

  it("what is no pin isn't opened, and the reason told", function()
    fails("EACCES", "this is no pin: it is on no bpffs", map.open("/etc/passwd"))
    fails("EACCES", "this is no pin, but a directory", map.open(dir))
    fails("EACCES", "this is no pin, but a directory", map.open("/etc"))
  end)

  it("unpin removes pins of the map, and nothing else", function()
    local other <close> = create("hash")
    local path = dir .. "/other"
    local file = helper.tmpdir() .. "/file"
    done(map.pin(other, path))
    fails("EINVAL", "^map 'pinned': unpin '" .. literally(path) .. "': this is no pin", map.unpin(m, path))
    assert.truthy(lfs.attributes(path))
    io.open(file, "w"):close()
    local result, message, code = map.unpin(m, file)
    assert.is_nil(result)
    assert.truthy(message:find("map 'pinned': unpin '" .. file .. "': ", 1, true))
    assert.is_string(code)
    assert.truthy(lfs.attributes(file))
    fails("ENOENT", "^map 'pinned': unpin ", map.unpin(m, dir .. "/nothing"))
    done(map.unpin(other, path))
    assert.is_nil(lfs.attributes(path))
  end)

  it("a map may be pinned twice and unpinned by any handle", function()
    done(map.pin(m, dir .. "/a"))
    done(map.pin(m, dir .. "/b"))
    local b <close> = assert(map.open(dir .. "/b"))
    assert.is_true(b == m)
    done(map.unpin(b, dir .. "/a"))
    done(map.unpin(m, dir .. "/b"))
  end)

  it("what isn't a pin can't be opened", function()
    local file = helper.tmpdir() .. "/file"
    io.open(file, "w"):close()
    local result, message, code = map.open(file)
    assert.is_nil(result)
    assert.truthy(message:find("map.open '" .. file .. "'", 1, true))
    assert.is_string(code)
  end)

  it("the pin of a program is no map", function()
    local path = dir .. "/program"
    local output, ok = helper.run(("bpftool prog loadall %s %s"):format(helper.obj("events"), path))
    assert(ok, output)
    local name
    for entry in lfs.dir(path) do
      name = not entry:find("^%.") and entry or name
    end
    local before = helper.descriptors()
    fails("EINVAL", "^map.open '" .. literally(path) .. "/.*': this is no map ", map.open(path .. "/" .. name))
    fails("EINVAL", "this is no pin of the map ", map.unpin(m, path .. "/" .. name))
    assert.equal(before, helper.descriptors())
    assert.truthy(lfs.attributes(path .. "/" .. name))
  end)
end)

describe("a handle", function()
  it("shows its name, types, size and descriptor", function()
    local m <close> = create("hash", { name = "hits", value = "struct hit { __u64 count; }", max_entries = 1024 })
    assert.equal(("bpf.map: hits (hash, __u32 → struct hit, 1024 entries, fd %d)"):format(map.fd(m)), tostring(m))
    local q <close> = create("queue", { name = "jobs" })
    assert.equal(("bpf.map: jobs (queue, __u32, 4 entries, fd %d)"):format(map.fd(q)), tostring(q))
    local raw <close> = create("hash", { name = false, key = 3, value = 5 })
    assert.equal(("bpf.map: (unnamed) (hash, raw bytes → raw bytes, 4 entries, fd %d)"):format(map.fd(raw)),
      tostring(raw))
    local a <close> = create("array", { name = "slots", value = "char[16]" })
    assert.equal(("bpf.map: slots (array, __u32 → char[16], 4 entries, fd %d)"):format(map.fd(a)), tostring(a))
    map.close(m)
    assert.equal("bpf.map: hits (closed)", tostring(m))
  end)

  it("is equal to others of the same map alone", function()
    local a <close> = create("hash")
    local b <close> = create("hash")
    local again = assert(map.by_id(map.info(a).id))
    assert.is_true(a == again)
    assert.is_true(a == a)
    assert.is_false(a == b)
    assert.is_false(a == 1)
    map.close(again)
    assert.is_false(a == again)
    assert.is_true(again == again)
  end)

  it("tells what the kernel knows", function()
    local m <close> = create("hash", { name = "known", flags = "no_prealloc" })
    local info = map.info(m)
    assert.same({
      type = "hash", name = "known", id = info.id, key_size = 4, value_size = 4, max_entries = 4, map_flags = 1,
      ifindex = 0, btf_id = info.btf_id, btf_key_type_id = info.btf_key_type_id,
      btf_value_type_id = info.btf_value_type_id, map_extra = 0,
    }, info)
    assert.is_true(info.id > 0 and info.btf_id > 0 and info.btf_key_type_id > 0 and info.btf_value_type_id > 0)
  end)

  it("has a descriptor that programs run by the script don't get", function()
    local m <close> = create("hash")
    local output = helper.run("ls -l /proc/self/fd")
    assert.is_nil(output:find("bpf-map", 1, true))
    assert.equal("anon_inode:bpf-map", lfs.symlinkattributes("/proc/self/fd/" .. map.fd(m), "target"))
  end)

  it("of a map that exists can't be resized", function()
    local m <close> = create("hash")
    fails("EBUSY", "^map 'm': resize: the map exists already ", map.resize(m, 5))
  end)
end)

describe("creation errors are told apart:", function()
  local function invalid(what, options)
    fails("EINVAL", "^map.create %(" .. options.type .. "[^)]*%): " .. what, map.create(options))
  end

  it("EINVAL names the attribute", function()
    invalid("max_entries must be greater than 0", { type = "hash", key = "__u32", value = "__u32" })
    invalid("max_entries must be greater than 0", { type = "hash", key = "__u32", value = "__u32", max_entries = 0 })
    invalid("key is missing", { type = "hash", value = "__u32", max_entries = 1 })
    invalid("value is missing", { type = "hash", key = "__u32", max_entries = 1 })
    invalid("value is missing", { type = "queue", max_entries = 1 })
    invalid("key must take 4 bytes", { type = "array", key = "__u64", value = "__u32", max_entries = 1 })
    invalid("key must be left out", { type = "stack", key = "__u32", value = "__u32", max_entries = 1 })
    invalid("name may have", { type = "hash", name = "a-b", key = "__u32", value = "__u32", max_entries = 1 })
    invalid("key must be a __u32 and 1 to 256", { type = "lpm_trie", key = "__u32", value = "__u32", max_entries = 1 })
    invalid("max_entries must be a power of two", { type = "ringbuf", max_entries = 5000 })
    invalid("flags: ", { type = "hash", key = "__u32", value = "__u32", max_entries = 1, flags = "mmapable" })
  end)

  it("the map is named if it has a name", function()
    fails("EINVAL", "^map.create %(hash hits%): ", map.create { type = "hash", name = "hits" })
    fails("EINVAL", "^map.create %(hash%): ", map.create { type = "hash" })
  end)

  it("E2BIG is a size beyond the kernel's limits", function()
    fails("E2BIG", "^map.create %(hash%): too large: 1 entries, keys of 4 and values of 1073741824 bytes ",
      map.create { type = "hash", key = "__u32", value = 1 << 30, max_entries = 1 })
  end)

  it("ENOMEM is memory that isn't there", function()
    kernel.need("maps of more than 4 GiB", "5.11")
    fails("ENOMEM", "^map.create %(array%): the kernel found no memory for 2147483648 entries of 4 %+ 1048576 bytes ",
      map.create { type = "array", value = 1 << 20, max_entries = 1 << 31 })
  end)

  it("EPERM is a power that is missing", function()
    -- An lru_hash takes CAP_BPF whether or not others may use bpf(2).
    local code = [[
      local bpf = require("bpf")
      local result, message, code = bpf.map.create {
        type = "lru_hash", name = "hits", key = "__u32", value = "__u32", max_entries = 16,
      }
      print(result, code)
      print(message)
      result, message, code = bpf.map.create { type = "sockmap", value = "__u32", max_entries = 16 }
      print(result, code)
      print(message)
      result, message, code = bpf.map.by_id(1)
      print(result, code)
      print(message)
    ]]
    local output = helper.run("setpriv --bounding-set=-all --inh-caps=-all --no-new-privs " .. helper.LUA .. " -e "
      .. helper.quote(code))
    local lines = {}
    for line in output:gmatch("[^\n]+") do
      lines[#lines + 1] = line
    end
    assert.equal("nil\tEPERM", lines[1], output)
    assert.equal("map.create (lru_hash hits): refused; perhaps CAP_BPF is missing (EPERM)", lines[2])
    assert.equal("nil\tEPERM", lines[3])
    assert.equal("map.create (sockmap): refused; perhaps CAP_BPF or CAP_NET_ADMIN is missing (EPERM)", lines[4])
    assert.equal("nil\tEPERM", lines[5])
    assert.equal("map.by_id 1: refused; perhaps CAP_SYS_ADMIN is missing (EPERM)", lines[6])
  end)

  it("no failure leaves a descriptor behind", function()
    local before = helper.descriptors()
    for _ = 1, 50 do
      map.create { type = "hash", key = "__u32", value = "__u32" }
      map.create { type = "array", value = 1 << 20, max_entries = 1 << 31 }
      pcall(map.create, { type = "hash", key = "__u32", value = "struct nowhere" })
    end
    assert.equal(before, helper.descriptors())
  end)
end)

describe("errors of operations", function()
  it("written as methods say that operations are functions", function()
    local m <close> = create("hash", { key = "__u32", value = "__u32" })
    helper.raises(function() m:close() end,
      "key: integer expected for __u32, got string; operations are functions: bpf%.map%.close%(m%)$")
    helper.raises(function() return m.closed end, "got string$")
    helper.raises(function() m[1] = "close" end, "value: integer expected for __u32, got string$")
  end)

  it("call an unnamed map by its type", function()
    local m <close> = create("hash", { name = false, max_entries = 1 })
    m[1] = 1
    fails("E2BIG", "^map 'hash': update: full, all 1 entries in use ", map.update(m, 2, 2))
  end)

  it("tell a flag that the map doesn't take", function()
    local m <close> = create("hash")
    m[1] = 1
    fails("EINVAL", "^map 'm': lookup: ", map.lookup(m, 1, "lock"))
    fails("EINVAL", "^map 'm': update: ", map.update(m, 1, 1, "lock"))
    fails("EINVAL", "^map 'm': update: ", map.update(m, 1, 1, { "exist", "noexist" }))
    assert.equal(1, m[1])
  end)
end)

describe("the lifetime of a handle:", function()
  it("closing it twice is fine", function()
    local m = create("hash")
    done(map.close(m))
    done(map.close(m))
    assert.equal("closed map", map.type(m))
  end)

  it("leaving its scope closes it, by an error too", function()
    local before = helper.descriptors()
    local kept
    do
      local m <close> = create("hash")
      kept = m
      assert.equal(before + 1, helper.descriptors())
    end
    assert.equal("closed map", map.type(kept))
    pcall(function()
      local m <close> = create("hash")
      kept = m
      error("out")
    end)
    assert.equal("closed map", map.type(kept))
    assert.equal(before, helper.descriptors())
  end)

  it("it may be closed within its scope", function()
    local m <close> = create("hash")
    map.close(m)
  end)

  it("collection closes it", function()
    local before = helper.descriptors()
    for _ = 1, 100 do
      create("hash")
      prefix_map()
    end
    assert.equal(before, helper.descriptors())
  end)

  it("a closed one is refused by every operation", function()
    local m = create("hash", { name = "gone" })
    map.close(m)
    for _, fn in ipairs {
      function() return m[1] end,
      function() m[1] = 1 end,
      function() m[1] = nil end,
      function() return #m end,
      function() pairs(m) end,
      function() map.lookup(m, 1) end,
      function() map.unpack(m, 1) end,
      function() map.sum(m, 1) end,
      function() map.update(m, 1, 1) end,
      function() map.delete(m, 1) end,
      function() map.lookup_and_delete(m, 1) end,
      function() map.next_key(m) end,
      function() map.push(m, 1) end,
      function() map.pop(m) end,
      function() map.peek(m) end,
      function() map.clear(m) end,
      function() map.keys(m) end,
      function() map.typed(m) end,
      function() map.pin(m, "/x") end,
      function() map.unpin(m, "/x") end,
      function() map.freeze(m) end,
      function() map.resize(m, 1) end,
      function() map.info(m) end,
      function() map.fd(m) end,
    } do
      raises(fn, "map 'gone' is closed")
    end
  end)

  it("one that a finalizer revives is closed", function()
    local revived
    do
      local m = create("hash", { name = "revived" })
      setmetatable({}, { __gc = function() revived = m end })
    end
    collectgarbage()
    collectgarbage()
    helper.raises(function()
      return revived[1]
    end, "bpf.map expected")
    absent(map.type(revived))
  end)
end)

describe("speed:", function()
  local TIMES <const> = 100000 // helper.slow

  -- Runs it with the collector stopped; returns by how much memory grew, in bytes.
  local function grown(fn)
    fn(10)
    collectgarbage()
    collectgarbage("stop")
    local before = collectgarbage("count")
    fn(TIMES)
    local after = collectgarbage("count")
    collectgarbage("restart")
    return math.floor((after - before) * 1024)
  end

  for _, type in ipairs { "hash", "array", "lru_hash" } do
    it("getting and setting scalars in a " .. type .. " allocates nothing", function()
      local m <close> = create(type, { key = type ~= "array" and "__u32" or false, value = "__u64" })
      m[1] = 1
      local kept
      assert.equal(0, grown(function(n)
        for _ = 1, n do
          kept = m[1]
        end
      end))
      assert.equal(1, kept)
      assert.equal(0, grown(function(n)
        for i = 1, n do
          m[1] = i
        end
      end))
      assert.equal(TIMES, m[1])
      assert.equal(0, grown(function(n)
        for _ = 1, n do
          kept = m[99]
        end
      end))
      assert.is_nil(kept)
    end)
  end

  it("the functions for scalars allocate nothing either", function()
    local m <close> = create("hash")
    local lookup, update, delete = map.lookup, map.update, map.delete
    assert.equal(0, grown(function(n)
      for i = 1, n do
        update(m, 1, i)
        lookup(m, 1)
        update(m, 1, i, "noexist")
        update(m, 2, i, "exist")
        delete(m, 1)
        delete(m, 1)
        m[1] = nil
        lookup(m, 1)
      end
    end))
  end)

  it("reading numbers of a struct into a table allocates nothing", function()
    local value = "struct v { __u64 a; struct { __u32 b, c; } in; __u8 d[2]; __u32 e[2]; }"
    local m <close> = create("hash", { value = value })
    m[1] = { a = 1, ["in"] = { b = 2, c = 3 }, e = { 4, 5 } }
    local t = {}
    local options = { into = t }
    assert.equal(0, grown(function(n)
      for _ = 1, n do
        map.lookup(m, 1, options)
      end
    end))
    assert.same({ a = 1, ["in"] = { b = 2, c = 3 }, d = "\0\0", e = { 4, 5 } }, t)
  end)
end)

describe("bpftool", function()
  local function bpftool(command)
    local output, ok = helper.run("bpftool " .. command)
    assert(ok, command .. ": " .. output)
    return output
  end

  local hit = "struct hit { __u64 count; struct { __u16 port; } from; char comm[16]; enum how { IN, OUT } how; }"

  for _, type in ipairs { "hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash" } do
    it("prints the members of a " .. type .. " by name", function()
      local m <close> = create(type, { name = "hits", value = hit })
      m[1] = { count = 5, from = { port = 80 }, comm = "curl", how = "OUT" }
      local id = map.info(m).id
      local dump = bpftool("map dump id " .. id)
      local json = bpftool("-j map dump id " .. id)
      for _, member in ipairs { "count", "from", "port", "comm", "how" } do
        assert.truthy(dump:find('"' .. member .. '"', 1, true), dump)
        assert.truthy(json:find('"' .. member .. '":', 1, true), json)
      end
      assert.truthy(json:find('"count":5,"from":{"port":80},"comm":"curl","how":"OUT"', 1, true), json)
    end)
  end

  it("prints the members of an lpm_trie's key", function()
    local m <close> = prefix_map({ key = "struct net { __u32 prefixlen; __u8 addr[4]; }" })
    m["10.0.0.0/8"] = 1
    local json = bpftool("-j map dump id " .. map.info(m).id)
    assert.truthy(json:find('"prefixlen":8,"addr":[10,0,0,0]', 1, true), json)
  end)

  it("shows the map as we do", function()
    local m <close> = create("hash", { name = "shown", max_entries = 77 })
    local text = bpftool("-j map show id " .. map.info(m).id)
    assert.truthy(text:find('"type":"hash","name":"shown"', 1, true), text)
    assert.truthy(text:find('"bytes_key":4,"bytes_value":4,"max_entries":77', 1, true), text)
    assert.truthy(text:find('"btf_id":' .. map.info(m).btf_id, 1, true), text)
  end)

  -- Bytes as its command line takes them.
  local function hex(bytes)
    return (bytes:gsub(".", function(c)
      return ("%02x "):format(c:byte())
    end))
  end

  it("writes what we read, and reads and deletes what we write", function()
    local m <close> = create("hash", { value = hit })
    local id = map.info(m).id
    local value = bpf.btf.type(hit):encode({ count = 77, from = { port = 443 }, comm = "wget" })
    bpftool(("map update id %d key hex %s value hex %s"):format(id, hex(string.pack("=I4", 9)), hex(value)))
    assert.same({ count = 77, from = { port = 443 }, comm = "wget", how = 0 }, m[9])
    m[10] = { count = 1 << 40 }
    local json = bpftool(("-j map lookup id %d key hex %s"):format(id, hex(string.pack("=I4", 10))))
    assert.truthy(json:find('"count":1099511627776', 1, true), json)
    bpftool(("map delete id %d key hex %s"):format(id, hex(string.pack("=I4", 10))))
    assert.is_nil(m[10])
    m[9] = nil
    assert.is_nil(bpftool("map dump id " .. id):find("wget", 1, true))
  end)

  it("makes and pins maps that we open", function()
    local path = helper.bpffs() .. "/made"
    bpftool("map create " .. path .. " type hash key 4 value 8 entries 16 name theirs")
    local raw <close> = assert(map.open(path))
    assert.equal("theirs", map.info(raw).name)
    local m <close> = assert(map.typed(raw, "__u32", "__u64"))
    m[1] = 258
    local json = bpftool("-j map dump pinned " .. path)
    assert.truthy(json:find('"0x02","0x01"', 1, true), json)
    done(map.unpin(m, path))
  end)

  it("pushes into a queue what we pop", function()
    local m <close> = create("queue")
    local id = map.info(m).id
    bpftool(("map push id %d value hex %s"):format(id, hex(string.pack("=I4", 513))))
    assert.equal(513, map.pop(m))
    map.push(m, 2)
    assert.truthy(bpftool("-j map dequeue id " .. id):find('"0x02"', 1, true))
    absent(map.peek(m))
  end)
end)

-- SPDX-License-Identifier: MIT
-- Keys as walks hand them out: they encode back to the bytes that they came from.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local map = bpf.map

kernel.root()

-- A map with keys of the type, and one of the same entries whose keys are bytes.
local function make(key)
  local m = assert(map.create { type = "hash", max_entries = 64, key = key, value = "__u32" })
  return m, map.typed(m, (assert(map.info(m)).key_size))
end

local function key_of(m)
  local step, state, control, closing = pairs(m)
  local _ <close> = closing
  return (step(state, control))
end

-- Type, bytes, and what a walk gives: nil for the bytes themselves.
local PADDED = "struct k { __u8 a; __u32 b; }"
local keys = {
  { "a text with something behind its end", "struct k { __u32 pid; char comm[8]; }", "\1\0\0\0ab\0zzz\0\0",
    { pid = 1, comm = "ab\0zzz\0\0" } },
  { "a text without", "struct k { __u32 pid; char comm[8]; }", "\1\0\0\0ab\0\0\0\0\0\0", { pid = 1, comm = "ab" } },
  { "texts in arrays", "struct k { char names[2][4]; }", "a\0b\0cd\0\0", { names = { "a\0b\0", "cd" } } },
  { "a text alone", "char[4]", "a\0b\0", "a\0b\0" },
  { "clean padding", PADDED, "\1\0\0\0\2\0\0\0", { a = 1, b = 2 } },
  { "dirty padding", PADDED, "\1\0\0\9\2\0\0\0" },
  { "dirty padding at the end", "struct k { __u32 a; __u8 b; }", "\1\0\0\0\2\0\0\1" },
  { "dirty padding in an array", "struct k { struct { __u8 a; __u16 b; } e[2]; }", "\1\0\2\0\1\7\2\0" },
  { "dirty padding in a struct in a struct", "struct k { __u32 x; struct { __u16 a; __u8 b; } s; }",
    "\1\0\0\0\1\0\2\3" },
  { "an array of padded structs", "struct { __u8 a; __u16 b; }[2]", "\1\0\2\0\1\7\2\0" },
  { "bits between bit-fields", "struct k { __u32 a : 3; __u32 : 2; __u32 b : 27; }", "\8\0\0\0" },
  { "all bits in bit-fields", "struct k { __u32 a : 3; int b : 29; }", "\xff\xff\xff\xff", { a = 7, b = -1 } },
  { "nothing but nameless bits", "struct k { __u32 : 32; }", "\1\0\0\0" },
  { "a _Bool of 2", "struct k { _Bool b; __u8 c; }", "\2\1" },
  { "a _Bool of 1", "struct k { _Bool b; __u8 c; }", "\1\1", { b = true, c = 1 } },
  { "a _Bool of 2 alone", "_Bool", "\2" },
  { "a bit-field of _Bool", "struct k { _Bool b : 1; __u8 : 0; }", "\1", { b = true } },
  { "a float that is no number", "struct k { float f; }", "\1\0\xa0\x7f" },
  { "a float", "struct k { float f; }", string.pack("=f", 1.5), { f = 1.5 } },
  { "a double that is no number", "struct k { double f[2]; }", string.pack("=d", 1) .. "\1\0\0\0\0\0\xf8\xff" },
  { "a union", "struct k { union { __u32 v4; __u8 v6[16]; }; }", "\1\2\3\4\5\6\7\8\9\10\11\12\13\14\15\16",
    { v4 = 0x04030201, v6 = "\1\2\3\4\5\6\7\8\9\10\11\12\13\14\15\16" } },
  { "a union of text", "union k { char text[8]; __u64 n; }", "a\0b\0\0\0\0\0",
    { text = "a\0b\0\0\0\0\0", n = 0x620061 } },
  { "a union that fills padding", "union k { struct { __u8 a; __u32 b; } s; __u64 n; }", "\1\2\0\0\3\0\0\0",
    { s = { a = 1, b = 3 }, n = 0x300000201 } },
  { "a union with a _Bool of 2", "union k { _Bool b; __u8 n; }", "\2", { b = true, n = 2 } },
  { "what no union's member has", "union k { __u8 a; struct { __u8 b; __u16 c; } s; }", "\1\1\0\0" },
  { "an enum without such an enumerator", "struct k { enum { ONE = 1 } e; }", "\9\0\0\0", { e = 9 } },
  { "an empty array in the middle", "struct k { __u32 a; __u8 mark[0]; __u32 b; }", "\1\0\0\0\2\0\0\0",
    { a = 1, mark = "", b = 2 } },
  { "an array in the padding", "struct k { __u32 a; __u8 b; __u8 rest[]; }", "\1\0\0\0\2\3\4\5",
    { a = 1, b = 2, rest = "\3\4\5" } },
  { "wide integers", "struct k { unsigned __int128 n; }", ("\1\2\3\4"):rep(4), { n = ("\1\2\3\4"):rep(4) } },
  { "pointers", "struct k { void *p; }", "\1\2\3\4\5\6\7\8", { p = 0x0807060504030201 } },
}

describe("a key that a walk gives", function()
  for _, row in ipairs(keys) do
    it("finds and deletes what it came from: " .. row[1], function()
      local m, raw = make(row[2])
      local _ <close> = m
      local _ <close> = raw
      raw[row[3]] = 7
      local key = key_of(m)
      assert.same(row[4] or row[3], key)
      assert.equal(7, m[key])
      m[key] = 8
      assert.equal(1, #m)
      assert.equal(8, map.lookup(m, key))
      assert.is_true(map.update(m, key, 9, "exist"))
      assert.same(key, map.next_key(m))
      assert.is_nil(map.next_key(m, key))
      assert.equal(9, raw[row[3]])
      assert.is_true(map.delete(m, key))
      assert.equal(0, #m)
    end)
  end

  it("goes from map to map in batches", function()
    for _, row in ipairs(keys) do
      local from, from_raw = make(row[2])
      local _ <close> = from
      local _ <close> = from_raw
      local to, to_raw = make(row[2])
      local _ <close> = to
      local _ <close> = to_raw
      from_raw[row[3]] = 7
      assert.equal(1, map.update_batch(to, pairs(from)))
      assert.equal(7, to_raw[row[3]], row[1])
      for key in map.drain(from) do
        assert.equal(1, map.delete_batch(to, { key }))
      end
      assert.equal(0, #to, row[1])
    end
  end)

  it("may be given as bytes whatever it is", function()
    local m <close> = (make(PADDED))
    m["\1\0\0\0\2\0\0\0"] = 7
    assert.equal(7, m[{ a = 1, b = 2 }])
    m["\1\0\0\0\2\0\0\0"] = nil
    assert.equal(0, #m)
    helper.raises(function() return m["\1\0\0\0"] end, "key: table expected for struct k, got string")
  end)

  it("is a number where it is an integer, and no text", function()
    local m <close> = (make("__u32"))
    helper.raises(function() return m["1234"] end, "key: integer expected")
  end)

  it("is shown as text by inspect", function()
    local m, raw = make(PADDED)
    local _ <close> = m
    local _ <close> = raw
    m[{ a = 1, b = 2 }], raw["\1\0\0\9\2\0\0\0"] = 5, 6
    local text = bpf.inspect(m, { text = true })
    assert.truthy(text:find("01 00 00 09 02 00 00 00", 1, true), text)
    assert.truthy(text:find("{ a = 1, b = 2 }", 1, true), text)
  end)

  it("of a trie may be bytes", function()
    local m <close> = assert(map.create { type = "lpm_trie", max_entries = 4, value = "__u32",
      key = "struct k { __u32 len; __u8 addr[4]; }" })
    m[string.pack("=I4", 8) .. "\10\0\0\0"] = 7
    assert.equal(7, m["10.0.0.0/8"])
    helper.raises(function() return m["10.0.0.x"] end, "no IPv4 prefix")
  end)
end)

describe("metrics of keys", function()
  it("read them by their type", function()
    local m, raw = make("struct k { __u8 cpu; __u32 pid; char comm[8]; }")
    local _ <close> = m
    local _ <close> = raw
    raw["\1\0\0\9\2\0\0\0ab\0zzz\0\0"], raw["\1\0\0\0\3\0\0\0cd\0zzz\0\0"] = 5, 6
    local set = bpf.metrics.new():gauge { name = "of_keys", map = m, labels = { "cpu", "pid", "comm" } }
    local text = set:text()
    assert.truthy(text:find('of_keys{cpu="1",pid="2",comm="ab"} 5', 1, true), text)
    assert.truthy(text:find('of_keys{cpu="1",pid="3",comm="cd"} 6', 1, true), text)
  end)
end)

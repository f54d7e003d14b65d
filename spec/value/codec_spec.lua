-- SPDX-License-Identifier: MIT
-- The codec: how C values become Lua values and back, through `bpf.btf.type`. Needs no root.
local helper = require("spec.helper")
local bpf = require("bpf")

local T = bpf.btf.type
local LITTLE = string.pack("=I2", 1) == "\1\0"

-- As helper.raises, for a plain text.
local function raises(fn, text)
  return helper.raises(fn, (text:gsub("%p", "%%%0")))
end

-- Checks that encoding the value raises, and that the message ends in the text.
local function refuses(spec, value, text)
  local message = raises(function()
    T(spec):encode(value)
  end, text)
  assert.equal(text, message:sub(-#text))
end

-- Each row: C type, Lua value, bytes as string.pack takes them, and what is read back if that differs.
local function both_ways(row)
  local spec, value, bytes, back = row[1], row[2], row[3], row[4]
  if back == nil then
    back = value
  end
  local t = T(spec)
  assert.equal(bytes, t:encode(value))
  local got = t:decode(bytes)
  assert.same(back, got)
  assert.equal(math.type(back), math.type(got))
end

describe("a type's arguments:", function()
  it("a spec is a C text, a size or a type", function()
    local t = T("__u32")
    assert.equal(4, t:size())
    assert.equal(t, T(t))
    assert.equal(7, T(7):size())
    for _, bad in ipairs { true, {}, print } do
      raises(function()
        T(bad)
      end, "type: C type, size in bytes or bpf.type expected, got " .. type(bad))
    end
    helper.raises(function()
      T()
    end, "bad argument #1")
  end)

  it("a size is a positive integer", function()
    for _, bad in ipairs { 0, -1, 1.5, 2 ^ 31 | 0, math.mininteger } do
      raises(function()
        T(bad)
      end, "type: " .. tostring(bad) .. " is no size in bytes")
    end
  end)

  it("a name that nothing declares raises and says where it was looked for", function()
    helper.raises(function()
      T("struct lbpf_no_such_struct")
    end, "'struct lbpf_no_such_struct' is neither in .*kernel's BTF.* nor is it the text of a C declaration")
  end)

  it("a text that is no declaration raises", function()
    for _, text in ipairs { "", "struct", "struct s {", "__u32 x y", "struct s { nonsense_t x; }" } do
      assert.is_false(pcall(T, text), text)
    end
  end)

  it("a type without a size raises", function()
    for _, text in ipairs { "void", "struct forward; struct forward" } do
      assert.is_false(pcall(T, text), text)
    end
  end)

  it("encode wants a value and decode a string", function()
    local t = T("__u32")
    helper.raises(function()
      t:encode()
    end, "bad argument #1 to 'encode'")
    helper.raises(function()
      t:decode()
    end, "bad argument #1 to 'decode'")
    helper.raises(function()
      t:decode({})
    end, "bad argument #1 to 'decode'")
    for _, method in ipairs { "size", "name", "encode", "decode", "members" } do
      helper.raises(function()
        t[method]({}, "")
      end, "bpf.type expected, got table")
    end
  end)
end)

describe("the size and name of", function()
  local sizes = {
    [1] = { "__u8", "__s8", "u8", "s8", "uint8_t", "int8_t", "char", "signed char", "unsigned char", "_Bool", "bool" },
    [2] = { "__u16", "__s16", "u16", "s16", "uint16_t", "int16_t", "short", "unsigned short", "__be16" },
    [4] = { "__u32", "__s32", "u32", "s32", "uint32_t", "int32_t", "int", "unsigned int", "float", "__be32" },
    [8] = { "__u64", "__s64", "u64", "s64", "uint64_t", "int64_t", "long long", "unsigned long long", "double" },
    [16] = { "__int128", "unsigned __int128" },
  }
  for _, size in ipairs { 1, 2, 4, 8, 16 } do
    for _, name in ipairs(sizes[size]) do
      it(name .. " is that of C", function()
        assert.equal(size, T(name):size())
        assert.equal(size, T("struct s { " .. name .. " member; }"):size())
      end)
    end
  end

  it("a struct is its tag's", function()
    local t = T("struct hit { __u64 count; char comm[16]; }")
    assert.equal("struct hit", t:name())
    assert.equal("bpf.type: struct hit (24 bytes)", tostring(t))
    assert.equal("hit_t", T("typedef struct hit { __u64 count; } hit_t"):name())
  end)

  it("raw bytes says so", function()
    assert.equal("raw bytes", T(5):name())
    assert.same({}, T(5):members())
  end)
end)

describe("members", function()
  it("tell name, type and place", function()
    local t = T("struct m { __u8 a; __u32 b; char c[3]; struct { __u16 port; } addr; }")
    assert.same({
      { name = "a", type = "__u8", offset = 0, size = 1, bit_offset = 0 },
      { name = "b", type = "__u32", offset = 4, size = 4, bit_offset = 32 },
      { name = "c", type = "char[3]", offset = 8, size = 3, bit_offset = 64 },
      { name = "addr", type = "struct {…}", offset = 12, size = 2, bit_offset = 96 },
    }, t:members())
  end)

  it("of bit-fields tell their first bit and width", function()
    local m = T("struct m { __u32 a:3; __u32 b:10; __u32 c; }"):members()
    assert.same({ "a", 0, 3 }, { m[1].name, m[1].bit_offset, m[1].bits })
    assert.same({ "b", 3, 10 }, { m[2].name, m[2].bit_offset, m[2].bits })
    assert.same({ "c", 32 }, { m[3].name, m[3].bit_offset, m[3].bits })
  end)

  it("of anonymous members stand among the others, at their own places", function()
    local names = {}
    for i, m in ipairs(T("struct m { __u32 a; union { __u32 b; struct { __u16 c, d; }; }; __u32 e; }"):members()) do
      names[i] = m.name .. "@" .. m.offset
    end
    assert.equal("a@0 b@4 c@4 d@6 e@8", table.concat(names, " "))
  end)

  it("are none of what has none", function()
    for _, spec in ipairs { "__u32", "__u32[4]", "char[4]", "enum e { A }", "void *" } do
      assert.same({}, T(spec):members())
    end
  end)
end)

describe("integers:", function()
  local names = {
    { 8, { "__u8", "uint8_t", "unsigned char", "u8" }, { "__s8", "int8_t", "signed char", "s8" } },
    { 16, { "__u16", "uint16_t", "unsigned short", "u16" }, { "__s16", "int16_t", "short", "s16" } },
    { 32, { "__u32", "uint32_t", "unsigned int", "u32" }, { "__s32", "int32_t", "int", "s32" } },
  }
  for _, row in ipairs(names) do
    local bits, bytes = row[1], row[1] // 8
    for _, name in ipairs(row[2]) do
      it(name .. " takes 0 to 2^" .. bits .. " - 1 and nothing else", function()
        local max = (1 << bits) - 1
        for _, value in ipairs { 0, 1, max // 2, max // 2 + 1, max } do
          both_ways { name, value, string.pack("=I" .. bytes, value) }
        end
        for _, value in ipairs { -1, max + 1, math.mininteger, math.maxinteger } do
          refuses(name, value, ("value: %d does not fit in %s"):format(value, T(name):name()))
        end
      end)
    end
    for _, name in ipairs(row[3]) do
      it(name .. " takes -2^" .. bits - 1 .. " to 2^" .. bits - 1 .. " - 1 and nothing else", function()
        local max = (1 << bits - 1) - 1
        for _, value in ipairs { -max - 1, -1, 0, 1, max } do
          both_ways { name, value, string.pack("=i" .. bytes, value) }
        end
        for _, value in ipairs { -max - 2, max + 1, math.mininteger, math.maxinteger } do
          refuses(name, value, ("value: %d does not fit in %s"):format(value, T(name):name()))
        end
      end)
    end
  end

  it("64 bits take every integer, unsigned ones in two's complement", function()
    for _, name in ipairs { "__u64", "__s64", "unsigned long long", "long long", "uint64_t", "int64_t" } do
      for _, value in ipairs { 0, 1, -1, math.maxinteger, math.mininteger } do
        both_ways { name, value, string.pack("=i8", value) }
      end
    end
  end)

  it("a float with an exact integer value is that integer", function()
    both_ways { "__u8", 255.0, "\255", 255 }
    both_ways { "__s16", -32768.0, string.pack("=i2", -32768), -32768 }
    both_ways { "__u32", 4294967295.0, string.pack("=I4", 4294967295), 4294967295 }
    both_ways { "__s64", -2.0 ^ 63, string.pack("=i8", math.mininteger), math.mininteger }
    both_ways { "__u64", -1.0, string.pack("=i8", -1), -1 }
    both_ways { "__u8", -0.0, "\0", 0 }
  end)

  it("unsigned 64 bits take floats from 2^63 up to 2^64", function()
    both_ways { "__u64", 2.0 ^ 63, string.pack("=i8", math.mininteger), math.mininteger }
    both_ways { "__u64", 2.0 ^ 64 - 2048, string.pack("=i8", -2048), -2048 }
    refuses("__u64", 2.0 ^ 64, ("value: %s does not fit in __u64"):format(2.0 ^ 64))
    refuses("__s64", 2.0 ^ 63, ("value: %s does not fit in __s64"):format(2.0 ^ 63))
    helper.raises(function()
      T("__s64"):encode(-2.0 ^ 63 * 1.5)
    end, "does not fit in __s64")
  end)

  it("a float that is no integer, or out of range, raises", function()
    refuses("__u32", 1.5, "value: 1.5 is not an integer, as __u32 needs")
    refuses("__u8", 256.0, "value: 256.0 does not fit in __u8")
    refuses("__u8", -1.0, "value: -1.0 does not fit in __u8")
    for _, value in ipairs { 0 / 0, math.huge, -math.huge } do
      for _, name in ipairs { "__u8", "__s32", "__u64", "__s64" } do
        assert.is_false(pcall(T(name).encode, T(name), value))
      end
    end
  end)

  it("any other type raises, numeric strings included", function()
    refuses("__u32", "1", "value: integer expected for __u32, got string")
    refuses("__u32", true, "value: integer expected for __u32, got boolean")
    refuses("__u32", nil, "value: integer expected for __u32, got nil")
    refuses("__s64", {}, "value: integer expected for __s64, got table")
  end)

  it("pointers are integers", function()
    assert.equal(8, T("void *"):size())
    both_ways { "void *", 0x7fff12345678, string.pack("=I8", 0x7fff12345678) }
    both_ways { "struct p { struct sock *sk; int (*fn)(int); }", { sk = 1, fn = -1 }, string.pack("=i8i8", 1, -1) }
    refuses("void *", "x", "value: integer expected for void *, got string")
  end)

  it("128 bits are strings of 16 bytes", function()
    local bytes = "0123456789abcdef"
    both_ways { "__int128", bytes, bytes }
    both_ways { "unsigned __int128", bytes, bytes }
    both_ways { "struct w { unsigned __int128 v; }", { v = bytes }, bytes }
    helper.raises(function()
      T("__int128"):encode("short")
    end, "value: .*int128.* takes 16 bytes, got 5$")
    helper.raises(function()
      T("__int128"):encode(1)
    end, "value: string expected for .*int128.*, got number$")
  end)
end)

describe("booleans", function()
  it("are booleans, and take 0 and 1", function()
    both_ways { "_Bool", true, "\1" }
    both_ways { "_Bool", false, "\0" }
    both_ways { "_Bool", 1, "\1", true }
    both_ways { "_Bool", 0, "\0", false }
    both_ways { "_Bool", 1.0, "\1", true }
    both_ways { "struct s { _Bool b[3]; }", { b = { true, false, true } }, "\1\0\1" }
  end)

  it("take nothing else", function()
    refuses("_Bool", 2, "value: 2 does not fit in _Bool")
    refuses("_Bool", -1, "value: -1 does not fit in _Bool")
    refuses("_Bool", "true", "value: boolean, 0 or 1 expected for _Bool, got string")
    refuses("_Bool", nil, "value: boolean, 0 or 1 expected for _Bool, got nil")
  end)

  it("read any byte but 0 as true", function()
    assert.is_true(T("_Bool"):decode("\2"))
    assert.is_true(T("_Bool"):decode("\255"))
  end)
end)

describe("enums", function()
  local color = "enum color { RED, GREEN = 5, BLUE }"

  it("are integers, and take an enumerator's name", function()
    both_ways { color, 5, string.pack("=I4", 5) }
    both_ways { color, "GREEN", string.pack("=I4", 5), 5 }
    both_ways { color, "RED", string.pack("=I4", 0), 0 }
    both_ways { "struct s { enum color { RED, GREEN } c[2]; }", { c = { "GREEN", 0 } }, string.pack("=I4I4", 1, 0),
      { c = { 1, 0 } } }
  end)

  it("take integers that no enumerator has", function()
    both_ways { color, 77, string.pack("=I4", 77) }
  end)

  it("with negative enumerators are signed", function()
    both_ways { "enum e { NEG = -2, POS = 3 }", "NEG", string.pack("=i4", -2), -2 }
    both_ways { "enum e { NEG = -2, POS = 3 }", -7, string.pack("=i4", -7) }
    refuses(color, -1, "value: -1 does not fit in enum color")
  end)

  it("with large enumerators are read as C reads them", function()
    both_ways { "enum e { ALL = 0xffffffff }", "ALL", string.pack("=I4", 0xffffffff), 0xffffffff }
    both_ways { "enum e { BIG = 0x100000000 }", "BIG", string.pack("=I8", 0x100000000), 0x100000000 }
    both_ways { "enum e { BIG = 0x100000000, NEG = -1 }", "NEG", string.pack("=i8", -1), -1 }
  end)

  it("refuse a name that isn't theirs and list those they have", function()
    local message = raises(function()
      T("struct s { " .. color .. " paint; }"):encode({ paint = "PINK" })
    end, "value.paint: enum color has no enumerator 'PINK' (enumerators: ")
    for _, name in ipairs { "RED", "GREEN", "BLUE" } do
      assert.truthy(message:find(name, 1, true))
    end
    refuses(color, {}, "value: integer or enumerator expected for enum color, got table")
    refuses(color, "5", select(2, pcall(T(color).encode, T(color), "5")):match("value: .*"))
  end)
end)

describe("floating point:", function()
  it("double and float are numbers", function()
    both_ways { "double", 0.1, string.pack("=d", 0.1) }
    both_ways { "float", 0.25, string.pack("=f", 0.25) }
    both_ways { "double", 3, string.pack("=d", 3), 3.0 }
    both_ways { "float", -1, string.pack("=f", -1), -1.0 }
    both_ways { "double", math.huge, string.pack("=d", math.huge) }
    both_ways { "float", -math.huge, string.pack("=f", -math.huge) }
    both_ways { "struct s { float f; double d; }", { f = 1.5, d = -2.5 }, string.pack("=fxxxxd", 1.5, -2.5) }
  end)

  it("a NaN stays one", function()
    for _, spec in ipairs { "double", "float" } do
      local t = T(spec)
      local nan = t:decode(t:encode(0 / 0))
      assert.is_true(nan ~= nan)
    end
  end)

  it("a finite number beyond float's range raises", function()
    refuses("float", 1e39, "value: 1e+39 does not fit in float")
    refuses("float", -1e39, "value: -1e+39 does not fit in float")
  end)

  it("anything but a number raises", function()
    refuses("double", "1.5", "value: number expected for double, got string")
    refuses("float", true, "value: number expected for float, got boolean")
  end)
end)

describe("text:", function()
  it("char[N] is read up to the first NUL, and padded with zeros", function()
    both_ways { "char[4]", "ab", "ab\0\0" }
    both_ways { "char[4]", "", "\0\0\0\0" }
    both_ways { "char[4]", "abcd", "abcd" }
    assert.equal("a", T("char[4]"):decode("a\0cd"))
  end)

  it("a string longer than char[N] raises", function()
    refuses("char[4]", "abcde", "value: 5 bytes do not fit in char[4]")
    refuses("struct s { char comm[4]; }", { comm = "toolong" }, "value.comm: 7 bytes do not fit in char[4]")
  end)

  it("anything but a string raises", function()
    refuses("char[4]", 12, "value: string expected for char[4], got number")
    refuses("char[4]", { "a" }, "value: string expected for char[4], got table")
  end)

  it("arrays of strings are sequences of strings", function()
    both_ways { "char[2][4]", { "ab", "cdef" }, "ab\0\0cdef" }
    local spec = "struct s { char names[3][2]; }"
    both_ways { spec, { names = { "a", "bc" } }, "a\0bc\0\0", { names = { "a", "bc", "" } } }
    refuses(spec, { names = { "a", "bcd" } }, "value.names[2]: 3 bytes do not fit in char[2]")
  end)
end)

describe("bytes:", function()
  it("unsigned char[N] is a string of exactly N bytes", function()
    both_ways { "unsigned char[4]", "a\0b\255", "a\0b\255" }
    both_ways { "__u8[2]", "\0\0", "\0\0" }
    both_ways { "uint8_t[6]", "\2\0\0\0\0\1", "\2\0\0\0\0\1" }
    refuses("unsigned char[4]", "abc", "value: unsigned char[4] takes 4 bytes, got 3")
    refuses("unsigned char[4]", "abcde", "value: unsigned char[4] takes 4 bytes, got 5")
  end)

  it("unsigned char[N] takes a sequence of at most N", function()
    both_ways { "unsigned char[4]", { 1, 2, 255, 4 }, "\1\2\255\4", "\1\2\255\4" }
    both_ways { "unsigned char[4]", { 1, 2 }, "\1\2\0\0", "\1\2\0\0" }
    both_ways { "unsigned char[4]", {}, "\0\0\0\0", "\0\0\0\0" }
    refuses("unsigned char[4]", { 1, 256 }, "value[2]: 256 does not fit in unsigned char")
    refuses("unsigned char[4]", { 1, 2, 3, 4, 5 }, "value: 5 elements do not fit in unsigned char[4]")
    helper.raises(function()
      T("unsigned char[4]"):encode(5)
    end, "value: .* expected for unsigned char%[4%], got number$")
  end)

  it("signed char[N] is a sequence", function()
    both_ways { "signed char[3]", { -1, 0, 127 }, "\255\0\127" }
  end)

  it("raw types are strings of exactly their size", function()
    both_ways { 5, "a\0b\0c", "a\0b\0c" }
    refuses(5, "abcd", "value: raw bytes takes 5 bytes, got 4")
    refuses(5, "abcdef", "value: raw bytes takes 5 bytes, got 6")
    refuses(5, 1, "value: string expected for raw bytes, got number")
  end)
end)

describe("arrays", function()
  it("are sequences from 1", function()
    both_ways { "__u32[3]", { 7, 8, 9 }, string.pack("=I4I4I4", 7, 8, 9) }
    both_ways { "struct s { __u16 p[2]; }", { p = { 1, 65535 } }, string.pack("=I2I2", 1, 65535) }
  end)

  it("take fewer elements, the rest is zero", function()
    both_ways { "__u32[3]", { 7 }, string.pack("=I4I4I4", 7, 0, 0), { 7, 0, 0 } }
    both_ways { "__u32[3]", {}, ("\0"):rep(12), { 0, 0, 0 } }
  end)

  it("take sequences with holes, the holes are zero", function()
    both_ways { "__u32[3]", { [3] = 9 }, string.pack("=I4I4I4", 0, 0, 9), { 0, 0, 9 } }
    both_ways { "__u32[3]", { 7, nil, 9 }, string.pack("=I4I4I4", 7, 0, 9), { 7, 0, 9 } }
    both_ways { "__u32[4]", { [2] = 8, [4] = 6 }, string.pack("=I4I4I4I4", 0, 8, 0, 6), { 0, 8, 0, 6 } }
    local backwards = {}
    for i = 5, 1, -1 do
      backwards[i] = i
    end
    both_ways { "__u8[5]", backwards, "\1\2\3\4\5", "\1\2\3\4\5" }
  end)

  it("nest", function()
    both_ways { "__u16[2][3]", { { 1, 2, 3 }, { 4, 5, 6 } }, string.pack("=I2I2I2I2I2I2", 1, 2, 3, 4, 5, 6) }
    both_ways { "struct s { struct { __u8 a, b; } p[2]; }", { p = { { a = 1, b = 2 }, { b = 4 } } }, "\1\2\0\4",
      { p = { { a = 1, b = 2 }, { a = 0, b = 4 } } } }
  end)

  it("refuse too many elements", function()
    refuses("__u32[2]", { 1, 2, 3 }, "value: 3 elements do not fit in __u32[2]")
    refuses("struct s { __u32 v[2]; }", { v = { 1, 2, 3 } }, "value.v: 3 elements do not fit in __u32[2]")
  end)

  it("refuse the indices 0, -1 and one too large", function()
    for _, value in ipairs {
      { [0] = 9 }, { [0] = 9, 1 }, { [0] = 9, 1, 2 }, { 1, [-1] = 9 }, { [5] = 1 }, { 1, [5] = 1 },
      { 1, 2, 3, 4, [6] = 1 },
    } do
      helper.raises(function()
        T("__u32[4]"):encode(value)
      end, "value: index %-?%d is not one of 1 to 4, as __u32%[4%] has$")
    end
  end)

  it("refuse them however the table was built", function()
    for _, value in ipairs {
      { [0] = 9, [1] = 1 }, { [1] = 1, [0] = 9 }, { [0] = 9, [1] = 1, [2] = 2 },
      { [2] = 2, [1] = 1, [0] = 9, [-1] = 8 },
    } do
      helper.raises(function()
        T("__u32[4]"):encode(value)
      end, "value: index %-?%d is not one of 1 to 4, as __u32%[4%] has$")
    end
  end)

  it("refuse keys that are no index", function()
    refuses("__u32[4]", { 1, n = 1 }, "value: index n is not one of 1 to 4, as __u32[4] has")
    refuses("__u32[4]", { [1.5] = 1 }, "value: index 1.5 is not one of 1 to 4, as __u32[4] has")
    for byte in ("abcdefghijklmnopqrstuvwxyz"):gmatch(".") do
      -- where in a table's hash part each of them lands is chance
      for _, value in ipairs { { [1] = 1, [byte] = 1 }, { [byte] = 1, [1] = 1 }, { [byte] = 1 } } do
        refuses("__u32[4]", value, "value: index " .. byte .. " is not one of 1 to 4, as __u32[4] has")
      end
    end
  end)

  it("refuse anything but a table", function()
    refuses("__u32[4]", 1, "value: sequence expected for __u32[4], got number")
    refuses("__u32[4]", "abcd", "value: sequence expected for __u32[4], got string")
  end)

  it("name the element that doesn't fit", function()
    refuses("__u16[3]", { 1, 2, 70000 }, "value[3]: 70000 does not fit in __u16")
    refuses("__u16[2][3]", { { 1 }, { 1, -1 } }, "value[2][2]: -1 does not fit in __u16")
    refuses("__u16[4]", { [3] = 70000 }, "value[3]: 70000 does not fit in __u16")
    refuses("struct s { struct { __u16 port; } p[3]; }", { p = { {}, { port = "x" } } },
      "value.p[2].port: integer expected for __u16, got string")
  end)
end)

describe("structs", function()
  local addr = "struct conn { __u32 ip; struct { __u16 port; __u8 proto; } addr; }"

  it("are tables by member", function()
    both_ways { "struct s { __u8 a; __s8 b; }", { a = 1, b = -1 }, "\1\255" }
    both_ways { addr, { ip = 1, addr = { port = 2, proto = 3 } }, string.pack("=I4I2I1x", 1, 2, 3) }
  end)

  it("are zero where members are left out", function()
    both_ways { addr, {}, ("\0"):rep(8), { ip = 0, addr = { port = 0, proto = 0 } } }
    both_ways { addr, { addr = { proto = 3 } }, string.pack("=I4I2I1x", 0, 0, 3),
      { ip = 0, addr = { port = 0, proto = 3 } } }
  end)

  it("have zero padding, whatever the memory held before", function()
    local t = T("struct s { __u8 a; __u32 b; __u8 c; __u64 d; }")
    local want = string.pack("=I1xxxI4I1xxxxxxxI8", 1, 2, 3, 4)
    for i = 1, 200 do
      local dirt = {}
      for j = 1, 20 do
        dirt[j] = ("\255"):rep(20 + (i + j) % 30)
      end
      assert.equal(20, #dirt)
      assert.equal(want, t:encode({ a = 1, b = 2, c = 3, d = 4 }))
    end
  end)

  it("name the member that doesn't fit", function()
    refuses(addr, { addr = { port = 70000 } }, "value.addr.port: 70000 does not fit in __u16")
    refuses(addr, { ip = "x" }, "value.ip: integer expected for __u32, got string")
    refuses(addr, { addr = 5 }, "value.addr: table expected for struct {…}, got number")
    refuses(addr, 5, "value: table expected for struct conn, got number")
  end)

  it("refuse unknown members and list those that exist", function()
    refuses(addr, { prot = 1 }, "value: struct conn has no member 'prot' (members: ip, addr)")
    refuses(addr, { addr = { prot = 1 } }, "value.addr: struct {…} has no member 'prot' (members: port, proto)")
    refuses(addr, { 1 }, "value: struct conn has no member '1' (members: ip, addr)")
    refuses(addr, { [true] = 1 }, "value: struct conn has no member 'true' (members: ip, addr)")
  end)

  it("list no more members than one reads", function()
    local text = {}
    for i = 1, 50 do
      text[i] = ("__u8 m%02d;"):format(i)
    end
    local message = raises(function()
      T("struct many { " .. table.concat(text) .. " }"):encode({ x = 1 })
    end, "value: struct many has no member 'x' (members: m01, m02, ")
    assert.truthy(message:find(", …)", 1, true))
    assert.is_nil(message:find("m50", 1, true))
  end)

  it("flatten anonymous members", function()
    local spec = "struct s { __u8 a; struct { __u8 b; struct { __u8 c; }; }; __u8 d; }"
    both_ways { spec, { a = 1, b = 2, c = 3, d = 4 }, "\1\2\3\4" }
    refuses(spec, { b = 256 }, "value.b: 256 does not fit in __u8")
  end)

  it("may have members with very long names", function()
    local long, longer = ("m"):rep(41), ("m"):rep(42) .. "_and_so_on"
    local spec = ("struct s { __u8 %s; __u8 %s; __u8 %s; }"):format(("m"):rep(40), long, longer)
    both_ways { spec, { [("m"):rep(40)] = 1, [long] = 2, [longer] = 3 }, "\1\2\3" }
    for _, unknown in ipairs { long .. "x", ("m"):rep(43), long .. "\0x" } do
      assert.is_false(pcall(T(spec).encode, T(spec), { [unknown] = 1 }), "accepts a member it doesn't have")
    end
  end)

  it("may be packed and aligned", function()
    both_ways { "struct s { __u8 a; __u32 b; } __attribute__((packed))", { a = 1, b = 2 }, string.pack("=I1I4", 1, 2) }
    assert.equal(16, T("struct s { __u8 a; } __attribute__((aligned(16)))"):size())
  end)

  it("may be very many and nested", function()
    local spec, value, bytes = "__u8 leaf;", { leaf = 7 }, "\7"
    for i = 1, 20 do
      spec = ("struct { __u8 at; %s } l%d;"):format(spec, i)
      value = { ["l" .. i] = value }
      value["l" .. i].at = i
      bytes = string.char(i) .. bytes
    end
    both_ways { "struct deep { " .. spec .. " }", value, bytes }
  end)

  it("leave out what the kernel owns, and keep its place zero", function()
    local lock = "struct bpf_spin_lock { __u32 val; }; struct v { struct bpf_spin_lock lock; __u32 n; }"
    local t = T(lock)
    assert.equal(8, t:size())
    assert.same({ n = 5 }, t:decode(string.pack("=I4I4", 1, 5)))
    assert.equal(string.pack("=I4I4", 0, 5), t:encode({ n = 5 }))
    refuses(lock, { lock = 1 }, "value: struct v has no member 'lock' (members: n)")
    local names = {}
    for i, m in ipairs(t:members()) do
      names[i] = m.name
    end
    assert.same({ "n" }, names)
  end)
end)

describe("bit-fields", function()
  local spec = "struct b { __u32 a:3; __u32 b:7; __s32 c:6; __u32 d:16; }"

  it("read and write across byte borders", function()
    local value = { a = 5, b = 99, c = -17, d = 0xbeef }
    local t = T(spec)
    assert.equal(4, t:size())
    assert.same(value, t:decode(t:encode(value)))
    if LITTLE then
      assert.equal(string.pack("<I4", 5 | 99 << 3 | (-17 & 63) << 10 | 0xbeef << 16), t:encode(value))
    end
  end)

  it("leave their neighbours alone", function()
    local t = T(spec)
    local ones = { a = 7, b = 127, c = -1, d = 65535 }
    assert.equal("\255\255\255\255", t:encode(ones))
    for name in pairs(ones) do
      local all_but, only = { a = 7, b = 127, c = -1, d = 65535 }, { a = 0, b = 0, c = 0, d = 0 }
      all_but[name], only[name] = 0, ones[name]
      assert.same(all_but, t:decode(t:encode(all_but)))
      assert.same(only, t:decode(t:encode({ [name] = ones[name] })))
    end
  end)

  it("take exactly what their width holds", function()
    for _, row in ipairs {
      { "a", 0, 7, "__u32", 3 }, { "b", 0, 127, "__u32", 7 }, { "c", -32, 31, "__s32", 6 },
      { "d", 0, 65535, "__u32", 16 },
    } do
      local name, min, max, ctype, bits = table.unpack(row)
      for _, value in ipairs { min, max } do
        assert.equal(value, T(spec):decode(T(spec):encode({ [name] = value }))[name])
      end
      for _, value in ipairs { min - 1, max + 1, math.mininteger, math.maxinteger } do
        refuses(spec, { [name] = value },
          ("value.%s: %d does not fit in the %d bits of %s"):format(name, value, bits, ctype))
      end
    end
    refuses(spec, { a = 1.5 }, "value.a: 1.5 is not an integer, as __u32 needs")
    refuses(spec, { a = "1" }, "value.a: integer expected for __u32, got string")
    assert.equal(3, T(spec):decode(T(spec):encode({ a = 3.0 })).a)
  end)

  it("of every width and start come back as they went in", function()
    for start = 1, 15 do
      for width = 1, 48, 3 do
        local t = T(("struct w { __u64 x:%d; __u64 u:%d; }"):format(start, width))
        local s = T(("struct w { __s64 x:%d; __s64 s:%d; }"):format(start, width))
        local max = (1 << width) - 1
        for _, value in ipairs { 0, 1, max, max // 3 } do
          assert.same({ x = 0, u = value }, t:decode(t:encode({ u = value })))
          assert.same({ x = -1, s = -(value >> 1) - 1 }, s:decode(s:encode({ x = -1, s = -(value >> 1) - 1 })))
        end
      end
    end
  end)

  it("of 64 bits take every integer", function()
    local t = T("struct w { __u64 u:64; __s64 s:64; }")
    for _, value in ipairs { 0, -1, math.mininteger, math.maxinteger } do
      assert.same({ u = value, s = value }, t:decode(t:encode({ u = value, s = value })))
    end
  end)

  it("of booleans are booleans", function()
    local t = T("struct f { _Bool on:1; _Bool off:1; __u8 rest:6; }")
    assert.same({ on = true, off = false, rest = 63 }, t:decode(t:encode({ on = true, off = 0, rest = 63 })))
    refuses("struct f { _Bool on:1; }", { on = 2 }, "value.on: 2 does not fit in the 1 bits of _Bool")
  end)

  it("of enums take names", function()
    local t = T("struct f { enum color { RED, GREEN = 5 } c:3; __u32 rest:29; }")
    assert.same({ c = 5, rest = 1 }, t:decode(t:encode({ c = "GREEN", rest = 1 })))
  end)

  it("with unnamed gaps keep them zero", function()
    local t = T("struct g { __u32 a:4; __u32 :8; __u32 b:4; }")
    assert.same({ a = 15, b = 15 }, t:decode(t:encode({ a = 15, b = 15 })))
    assert.same({ a = 15, b = 15 }, t:decode("\255\255\255\255"))
    if LITTLE then
      assert.equal(string.pack("<I4", 0xf00f), t:encode({ a = 15, b = 15 }))
    end
  end)

  it("in packed structs cross the borders of their own type", function()
    local t = T("struct q { __u8 x:3; __u32 y:31; __u8 z:6; } __attribute__((packed))")
    assert.equal(5, t:size())
    local value = { x = 5, y = 0x5a5a5a5a, z = 33 }
    assert.same(value, t:decode(t:encode(value)))
    if LITTLE then
      assert.equal(string.pack("<I5", 5 | 0x5a5a5a5a << 3 | 33 << 34), t:encode(value))
    end
  end)
end)

describe("unions", function()
  local spec = "union u { __u32 n; __u8 b[4]; struct { __u16 lo, hi; } half; }"

  it("are tables with every member's reading", function()
    local t = T(spec)
    local value = t:decode(string.pack("=I2I2", 0x0102, 0x0304))
    assert.equal(string.unpack("=I4", string.pack("=I2I2", 0x0102, 0x0304)), value.n)
    assert.equal(string.pack("=I2I2", 0x0102, 0x0304), value.b)
    assert.same({ lo = 0x0102, hi = 0x0304 }, value.half)
  end)

  it("take one member, the rest of them is zero", function()
    assert.equal(string.pack("=I4", 7), T(spec):encode({ n = 7 }))
    assert.equal("\1\2\0\0", T(spec):encode({ b = { 1, 2 } }))
    assert.equal(string.pack("=I2I2", 0, 9), T(spec):encode({ half = { hi = 9 } }))
    assert.equal("\0\0\0\0", T(spec):encode({}))
    assert.equal("\1" .. ("\0"):rep(7), T("union w { __u8 small; __u64 large; }"):encode({ small = 1 }))
  end)

  it("take several members that agree", function()
    local bytes = string.pack("=I2I2", 0x0102, 0x0304)
    assert.equal(bytes, T(spec):encode(T(spec):decode(bytes)))
    assert.equal(bytes, T(spec):encode({ half = { lo = 0x0102, hi = 0x0304 }, b = bytes }))
  end)

  it("refuse several members that disagree", function()
    for _, value in ipairs {
      { n = 1, b = "\9\9\9\9" }, { n = 1, half = { lo = 2, hi = 2 } }, { b = "\0\0\0\0", n = 1 },
      { n = 1, b = "\9\9\9\9", half = { lo = 3, hi = 3 } },
    } do
      helper.raises(function()
        T(spec):encode(value)
      end, "value%.%w+: other members of this union say otherwise; set one of them$")
    end
  end)

  it("that are anonymous have their members in the struct around them", function()
    local around = "struct s { __u8 kind; union { __u32 v4; __u8 v6[16]; }; __u8 last; }"
    local t = T(around)
    local v4 = string.pack("=I1xxxI4", 1, 7) .. ("\0"):rep(12) .. "\2\0\0\0"
    assert.equal(v4, t:encode({ kind = 1, v4 = 7, last = 2 }))
    local bytes = "\1\0\0\0" .. "0123456789abcdef" .. "\2\0\0\0"
    local value = t:decode(bytes)
    assert.equal("0123456789abcdef", value.v6)
    assert.equal(string.unpack("=I4", "0123"), value.v4)
    assert.equal(bytes, t:encode(value))
    value.v4 = value.v4 + 1
    helper.raises(function()
      t:encode(value)
    end, "value%.v[46]: other members of this union say otherwise")
  end)

  it("may hold bit-fields", function()
    local t = T("union u { __u8 all; struct { __u8 lo:4; __u8 hi:4; }; }")
    local value = t:decode("\165")
    assert.equal(165, value.all)
    assert.equal("\165", t:encode(value))
    value.lo = value.lo ~ 1
    assert.is_false(pcall(t.encode, t, value))
  end)

  -- What follows a NUL, padding, and bytes of a _Bool other than 0 and 1 can't be told from a reading.
  for _, row in ipairs {
    { "union u { char text[8]; __u64 n; }", "ab\0dirty", "text with more after its end" },
    { "struct s { union { char text[4]; __u8 bytes[4]; }; }", "a\0b\0", "such text in a struct" },
    { "union u { struct { __u8 x; __u32 y; } s; __u64 n; }", "\1\2\3\4\5\6\7\8", "padding that isn't zero" },
    { "union u { _Bool b; __u8 n; }", "\2", "a _Bool of 2" },
  } do
    it("that were read can be written back: " .. row[3], function()
      local t = T(row[1])
      assert.same(t:decode(row[2]), t:decode(t:encode(t:decode(row[2]))))
    end)
  end
end)

describe("flexible arrays", function()
  it("take no room themselves", function()
    assert.equal(4, T("struct f { __u32 len; __u32 v[]; }"):size())
    assert.equal(string.pack("=I4", 3), T("struct f { __u32 len; __u32 v[]; }"):encode({ len = 3 }))
  end)

  it("are a sequence of what the record holds", function()
    local t = T("struct f { __u32 len; __u16 v[]; }")
    assert.same({ len = 2, v = {} }, t:decode(string.pack("=I4", 2)))
    assert.same({ len = 2, v = { 7, 8 } }, t:decode(string.pack("=I4I2I2", 2, 7, 8)))
    assert.same({ len = 2, v = { 7 } }, t:decode(string.pack("=I4I2I1", 2, 7, 8)))
  end)

  it("of bytes are a string", function()
    assert.same({ len = 1, data = "a\0b" }, T("struct f { __u8 len; __u8 data[]; }"):decode("\1a\0b"))
    assert.same({ len = 1, text = "ab" }, T("struct f { __u8 len; char text[]; }"):decode("\1ab\0c"))
    assert.same({ len = 1, text = "" }, T("struct f { __u8 len; char text[0]; }"):decode("\1"))
  end)

  it("of structs are a sequence of tables", function()
    local t = T("struct f { __u8 n; struct { __u8 a, b; } e[]; }")
    assert.same({ n = 2, e = { { a = 1, b = 2 }, { a = 3, b = 4 } } }, t:decode("\2\1\2\3\4"))
  end)

  it("may begin in the padding", function()
    local t = T("struct f { __u32 a; __u16 b; __u8 data[]; }")
    assert.equal(8, t:size())
    assert.equal("xy", t:decode(string.pack("=I4I2", 1, 2) .. "xy").data)
    assert.equal("xyz", t:decode(string.pack("=I4I2", 1, 2) .. "xyz").data)
  end)

  it("can't be written, a value has its type's size", function()
    local spec = "struct f { __u32 len; __u32 v[]; }"
    assert.equal(4, #T(spec):encode({ len = 1, v = {} }))
    helper.raises(function()
      T(spec):encode({ v = { 1 } })
    end, "value%.v: 1 elements do not fit in __u32%[")
    helper.raises(function()
      T("struct f { __u32 len; char text[]; }"):encode({ text = "a" })
    end, "value%.text: 1 bytes do not fit in char%[")
  end)
end)

describe("arrays without a length that aren't the end", function()
  it("are empty, in the middle, in unions and in elements", function()
    for spec, empty in pairs {
      ["struct s { __u32 a; __u8 mark[0]; __u32 b; }"] = "mark",
      ["struct s { struct { int n; char t[0]; } e[2]; }"] = false,
      ["struct s { union { __u8 one; __u8 many[0]; }; __u32 after; }"] = "many",
      ["union u { __u64 n; char text[0]; }"] = "text", ["struct s { struct { int n; int v[0]; } in; int b; }"] = false,
    } do
      local t = T(spec)
      local bytes = ("\1"):rep(t:size())
      local value = t:decode(bytes)
      assert.is_true(not empty or value[empty] == "", spec)
      assert.same(value, t:decode(t:encode(value)), spec)
    end
  end)

  it("don't keep types of the kernel's from being written back", function()
    local btf = bpf.btf.kernel()
    local n = 0
    for found in btf:types("struct") do
      if found.id % 5 == 0 and found.size > 0 then
        local t = btf:type(found.id)
        local zeros = ("\0"):rep(t:size())
        assert.equal(zeros, t:encode(t:decode(zeros)), found.name)
        local value = t:decode(("\1"):rep(t:size()))
        assert.is_true(pcall(t.encode, t, value), found.name)
        n = n + 1
      end
    end
    for _, name in ipairs { "sk_buff", "sock", "task_struct", "sockaddr", "net_device" } do
      local t = btf:type("struct " .. name)
      local bytes = ("\1"):rep(t:size())
      assert.same(t:decode(bytes), t:decode(t:encode(t:decode(bytes))), name)
    end
    assert.is_true(n > 100, n)
  end)
end)

describe("qualifiers and typedefs", function()
  it("are transparent", function()
    both_ways { "typedef const volatile __u16 port_t; struct s { const port_t p; volatile int q; }", { p = 1, q = -1 },
      string.pack("=I2xxi4", 1, -1) }
    refuses("typedef __u16 port_t; struct s { port_t p; }", { p = 70000 }, "value.p: 70000 does not fit in port_t")
  end)
end)

describe("errors:", function()
  it("too few bytes raise, more are fine", function()
    raises(function()
      T("__u32"):decode("abc")
    end, "bytes: 3 bytes are too few for __u32, which takes 4")
    raises(function()
      T("struct s { __u32 a, b; }"):decode("")
    end, "bytes: 0 bytes are too few for struct s, which takes 8")
    assert.equal(1, T("__u8"):decode("\1\2\3"))
  end)

  it("point at the line that called", function()
    local _, message = pcall(function()
      T("__u8"):encode(256)
    end)
    assert.truthy(message:find("codec_spec.lua:%d+: value: 256 does not fit in __u8$"))
  end)

  it("leave the type usable", function()
    local t = T("struct s { __u8 a[3]; }")
    for _ = 1, 1000 do
      assert.is_false(pcall(t.encode, t, { a = { 1, 2, 256 } }))
    end
    assert.equal("\1\2\255", t:encode({ a = { 1, 2, 255 } }))
  end)
end)

describe("the lifetime of a type:", function()
  it("it outlives the call that made it, and those before are collected", function()
    local t = T("struct s { __u32 some_member; enum e { SOME_NAME = 3 } e; }")
    for _ = 1, 100 do
      T("struct other { __u32 x; }")
    end
    collectgarbage()
    collectgarbage()
    assert.same({ some_member = 1, e = 3 }, t:decode(t:encode({ some_member = 1, e = "SOME_NAME" })))
  end)

  it("its metatable is out of reach", function()
    assert.is_false(getmetatable(T("__u32")))
  end)

  it("types don't pile up", function()
    local function work()
      for i = 1, 200 do
        T("struct s { __u32 some_member; char text[" .. i .. "]; }"):decode(("x"):rep(300))
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    work()
    local before = work()
    for _ = 1, 5 do
      work()
    end
    assert.is_true(work() - before < 32)
  end)
end)

-- SPDX-License-Identifier: MIT
-- C declarations: what is understood, how it lies in memory, and what is said about the rest. Needs no root.
local helper = require "spec.helper"
local layout = require "spec.support.cdecl_layout"
local bpf = require "bpf"

local T = bpf.btf.type

local function names(ctype)
  local list = {}
  for i, member in ipairs(ctype:members()) do
    list[i] = member.name
  end
  return table.concat(list, " ")
end

describe("the layout of C declarations", function()
  local truth = layout.truth()

  for number, row in ipairs(layout.declarations) do
    it("is the C compiler's for " .. layout.text_of(row), function()
      local ctype, expected = T(layout.text_of(row)), truth[number]
      assert.equal(expected.size, ctype:size())
      if row[1] == "" then
        return
      end
      assert.equal((row[1]:gsub("[:%[%]]", "")), names(ctype))
      local ones = ctype:decode(("\xff"):rep(ctype:size()))
      for _, member in ipairs(ctype:members()) do
        local want = expected.members[member.name]
        assert.equal(want.offset or want.bit_offset // 8, member.offset, member.name)
        assert.equal(want.bit_offset or want.offset * 8, member.bit_offset, member.name)
        assert.equal(want.bits, member.bits, member.name)
        if want.bits then
          local value = ones[member.name]
          assert.equal(want.value, value == true and 1 or value, member.name)
        else
          assert.equal(want.size, member.size, member.name)
        end
      end
    end)
  end
end)

describe("C declarations", function()
  local function size(text, bytes)
    local ctype = T(text)
    assert.equal(bytes, ctype:size(), text)
    return ctype
  end

  it("mean the last of several", function()
    assert.equal("struct second", T("struct first { int a; }; struct second { struct first f; char c; };"):name())
    assert.equal("struct first", T("struct first { int a; }; struct second { int a[9]; }; struct first"):name())
    assert.equal("b", T("typedef int a; typedef a b"):name())
    assert.equal("enum e", T("struct s { int a; }; enum e { A, B };"):name())
  end)

  it("mean the last of several declarators", function()
    size("int a, *b, c[3];", 12)
    size("typedef char a[5], b[7];", 7)
    size("struct hit { int x; } one, two[4]", 16)
  end)

  it("may be the type of a variable, or a type alone", function()
    assert.equal("struct hit[4]", size("struct hit { int x; }; extern struct hit h[4];", 16):name())
    assert.equal("struct hit", size("struct hit { int x; }; static const struct hit h;", 4):name())
    assert.equal("char[16]", size("char[16]", 16):name())
    assert.equal("char[2][3]", size("char name[2][3];", 6):name())
    assert.equal("__u32 *", size("__u32 *", 8):name())
    assert.equal("struct x[2]", size("struct x { int a; } [2]", 8):name())
    assert.equal("struct hit *", size("struct hit *", 8):name())
  end)

  it("may end in a semicolon, or several, or none", function()
    for _, tail in ipairs { "", ";", " ; ", ";;", "; // that's it", "; /* all */" } do
      size("struct hit { int x; }" .. tail, 4)
    end
    size(";;struct hit { int x;; };;", 4)
  end)

  it("keep the names that were written", function()
    local written = [[
      struct t { __u32 a; pid_t b; unsigned c; long unsigned d; struct { int x; } e; char *f; u8 g[2][3]; };]]
    local types = {}
    for i, member in ipairs(T(written):members()) do
      types[i] = member.type
    end
    assert.same({ "__u32", "pid_t", "unsigned int", "unsigned long", "struct {…}", "char *", "u8[2][3]" }, types)
  end)

  it("take built-in names of any size", function()
    local sizes = {
      char = 1, short = 2, int = 4, unsigned = 4, float = 4, double = 8, ["long long"] = 8, _Bool = 1, bool = 1,
      __u8 = 1, __u16 = 2, __u32 = 4, __u64 = 8, __s8 = 1, __s16 = 2, __s32 = 4, __s64 = 8,
      u8 = 1, u16 = 2, u32 = 4, u64 = 8, s8 = 1, s16 = 2, s32 = 4, s64 = 8,
      __be16 = 2, __be32 = 4, __be64 = 8, __le16 = 2, __le32 = 4, __le64 = 8, __sum16 = 2, __wsum = 4,
      int8_t = 1, int16_t = 2, int32_t = 4, int64_t = 8, uint8_t = 1, uint16_t = 2, uint32_t = 4, uint64_t = 8,
      pid_t = 4, uid_t = 4, gid_t = 4, mode_t = 4, loff_t = 8, time64_t = 8, ktime_t = 8,
      __int128 = 16, ["unsigned __int128"] = 16,
    }
    for name, bytes in pairs(sizes) do
      size(name, bytes)
    end
    for _, name in ipairs { "size_t", "ssize_t", "ptrdiff_t", "intptr_t", "uintptr_t", "off_t", "long" } do
      size(name, #string.pack("T", 0))
    end
  end)

  it("may give built-in names to other things", function()
    size("typedef unsigned int __u32; struct t { __u32 a; };", 4)
    size("typedef struct { long a[3]; } u32; struct t { u32 a; };", 24)
    size("struct t { int u8, bool; struct u16 { char pid_t; } size_t; };", 12)
  end)

  it("know the structs that the kernel keeps for itself", function()
    local kernel_structs = {
      bpf_spin_lock = 4, bpf_timer = 16, bpf_wq = 16, bpf_list_head = 16, bpf_list_node = 24, bpf_rb_root = 16,
      bpf_rb_node = 32, bpf_refcount = 4, bpf_dynptr = 16,
    }
    for name, bytes in pairs(kernel_structs) do
      local ctype = size(("struct t { char a; struct %s b; int c; };"):format(name), bytes + (bytes == 4 and 8 or 16))
      assert.equal("a c", names(ctype))
    end
    size("struct in_addr *", 8)
    assert.equal("a s", names(size("struct t { struct in_addr a; struct in6_addr s; };", 20)))
    size("struct bpf_timer { int mine; }; struct t { struct bpf_timer t; };", 4)
  end)

  it("tell pointers that the kernel keeps for itself from others", function()
    assert.equal("a", names(size("struct t { int a; struct task_struct __kptr *b; };", 16)))
    assert.equal("a", names(T('struct t { int a; struct x __attribute__((btf_type_tag("kptr_untrusted"))) *b; };')))
    assert.equal("a b", names(T("struct t { int a; struct x *b; };")))
  end)

  it("flatten anonymous structs, and nothing else", function()
    assert.equal("a b c d e", names(T([[
      struct t {
        int a;
        struct { int b; union { int c; struct { char d; }; }; };
        struct { int inner; } e;
        struct tag_only { int unused; };
      };]])))
  end)

  it("flatten members named by a tag or a typedef alone", function()
    local ADDR <const> = "struct addr { int a; long b; }; typedef union { char c; short d; } td; "
    local ctype = size(ADDR .. "struct t { char x; struct addr; td; char y; };", 32)
    assert.equal("x a b c d y", names(ctype))
    local bytes = ctype:encode { x = 1, a = 2, b = 3, d = 0x504, y = 6 }
    assert.equal(("\1%s\2\0\0\0\0\0\0\0\3%s\4\5\6%s"):format(("\0"):rep(7), ("\0"):rep(7), ("\0"):rep(5)), bytes)
    local value = ctype:decode(bytes)
    assert.same({ 1, 2, 3, 4, 0x504, 6 }, { value.x, value.a, value.b, value.c, value.d, value.y })
    local btf <close> = bpf.btf.parse(ADDR) -- as a type of another text, with members that only its BTF has
    assert.equal("x a b", names(btf:type "struct { int x; const struct addr; }"))
    assert.equal("c d a b", names(btf:type "struct t { td; struct addr; }"))
    helper.raises(function() btf:type "struct { struct addr; int b; }" end, "duplicate member 'b'")
    helper.raises(function() btf:type "struct { struct other; int b; }" end, "struct other is not defined here")
  end)

  it("may give an enum its type", function()
    size("enum e : unsigned char { A = 1 }; struct t { enum e a; char b; };", 2)
    size("enum e : __u64 { A = 1 }; enum e", 8)
    size("enum e { A = 1 }; struct t { enum e : 3; enum e a : 2; };", 4) -- which is a bit-field
    helper.raises(function() T "enum e : void * { A };" end, "an enum's type must be an integer")
    helper.raises(function() T "enum e : char { A = 1000 };" end, "no integer type of this mode holds all")
  end)

  it("may repeat a definition, if it stays the same", function()
    size("struct a { int x; char y[2]; }; struct a { int x; char y[2]; }; struct b { struct a a; };", 8)
    size("typedef struct a *p; struct a { p next; }; typedef struct a *p; struct a { p next; };", 8)
    size("enum e { A, B }; enum e { A, B }; enum e", 4)
    size("struct a { union { int x; long y; }; int z:3; }; struct a { union { int x; long y; }; int z:3; };", 16)
    size("struct a; struct a; struct a { int x; }; struct a; struct a y;", 4)
  end)
end)

describe("constant expressions in C declarations", function()
  -- Each row: an expression, its value, which is enumerator X's.
  local rows = {
    { "0", 0 }, { "-1", -1 }, { "0x7fffffff", 2147483647 }, { "0xffffffff", 4294967295 }, { "010", 8 }, { "0b101", 5 },
    { "1u", 1 }, { "1UL", 1 }, { "1llu", 1 }, { "'A'", 65 }, { [['\n']], 10 }, { [['\x7f']], 127 }, { [['\101']], 65 },
    { [['\'']], 39 }, { [['\\']], 92 }, { [['\0']], 0 },
    { "1 + 2 * 3", 7 }, { "(1 + 2) * 3", 9 }, { "10 - 4 - 3", 3 }, { "7 / 2", 3 }, { "-7 / 2", -3 }, { "-7 % 3", -1 },
    { "1 << 4 | 1", 17 }, { "6 & 3 ^ 1", 3 }, { "256 >> 4 >> 1", 8 }, { "-8 >> 1", -4 },
    { "1 < 2", 1 }, { "2 <= 1", 0 }, { "3 == 3", 1 }, { "3 != 3", 0 }, { "2 > 1 == 1", 1 }, { "1 >= 2", 0 },
    { "!0", 1 }, { "!5", 0 }, { "~5", -6 }, { "- - 3", 3 }, { "+3", 3 }, { "!!7 + ~0", 0 },
    { "1 && 0", 0 }, { "1 || 0", 1 }, { "0 && 1 / 0", 0 }, { "1 || 1 / 0", 1 }, { "0 || 0 && 1", 0 },
    { "1 ? 2 : 3", 2 }, { "0 ? 2 : 0 ? 3 : 4", 4 }, { "1 ? 2 : 1 / 0", 2 }, { "0 ? 1 << 99 : 5", 5 },
    { "sizeof(int)", 4 }, { "sizeof(char[3][5])", 15 }, { "sizeof(struct { long a; char b; })", 16 },
    { "sizeof(__u64) * 2", 16 }, { "_Alignof(short)", 2 }, { "(char)257", 1 }, { "(signed char)255", -1 },
    { "(_Bool)7", 1 }, { "(unsigned)-1", 4294967295 }, { "(long)0xffffffff", 4294967295 }, { "(int)0xffffffff", -1 },
    { "-1 < 0u", 0 }, { "-1 < 0", 1 }, { "-1L < 0u", 1 }, { "~0u", 4294967295 }, { "0xffffffff + 1", 0 },
    { "1ull << 40", 1 << 40 }, { "-1ll", -1 }, { "0x80000000 >> 31", 1 }, { "(1u << 31) / 2", 1 << 30 },
    { "EARLIER + 1", 42 }, { "WIDE + 1", (1 << 36) + 1 }, { "(-9223372036854775807 - 1) / -1 != 0", 1 },
    { "2147483647 /* one less */ + 0", 2147483647 },
  }

  for _, row in ipairs(rows) do
    it(("%s is %d"):format(row[1], row[2]), function()
      local earlier = "enum { EARLIER = 41, WIDE = 0x1000000000 }; "
      local ctype = T(earlier .. "enum e { X = " .. row[1] .. " };")
      local value = ctype:decode(ctype:encode("X"))
      assert.equal(row[2], value)
    end)
  end

  it("count on from the last enumerator", function()
    local ctype = T("enum e { A, B, C = 10, D, E = -3, F, G = F, };")
    for name, value in pairs { A = 0, B = 1, C = 10, D = 11, E = -3, F = -2, G = -2 } do
      assert.equal(value, ctype:decode(ctype:encode(name)), name)
    end
  end)

  it("make enums as wide as their values need", function()
    local function check(text, bytes, name, value)
      local ctype = T(text)
      assert.equal(bytes, ctype:size(), text)
      assert.equal(value, ctype:decode(ctype:encode(name)), text)
    end
    check("enum e { A = 0xffffffff }", 4, "A", 4294967295)
    check("enum e { A = 0xffffffff, B }", 8, "B", 4294967296)
    check("enum e { A = 2147483647, B }", 4, "B", 2147483648)
    check("enum e { A = 0xffffffff, B = -1 }", 8, "B", -1)
    check("enum e { A = 0x7fffffffffffffff }", 8, "A", math.maxinteger)
    check("enum e { A = 0xffffffffffffffff }", 8, "A", -1)
    check("enum e { A = -0x7fffffffffffffff - 1 }", 8, "A", math.mininteger)
    check("enum e { A = 255 } __packed", 1, "A", 255)
    check("enum e { A = 256 } __packed", 2, "A", 256)
    check("enum e { A = -128, B = 127 } __packed", 1, "A", -128)
    check("enum e { A = -1, B = 128 } __packed", 2, "A", -1)
  end)

  it("name the values of members", function()
    local ctype = T("enum state { IDLE, BUSY = 5 }; struct t { enum state a; enum state b : 4; enum { LOW = -1 } c; };")
    local bytes = ctype:encode { a = "BUSY", b = "BUSY", c = "LOW" }
    assert.same({ a = 5, b = 5, c = -1 }, ctype:decode(bytes))
  end)
end)

describe("bad C declarations", function()
  -- Each row: the text, where the fault is, what is said.
  local rows = {
    { "struct hit { int x }", "1, column 20", "expected ';' or ',' after member 'x', got '}'" },
    { "struct hit {\n  int x;\n\tint y }", "3, column 8", "expected ';' or ',' after member 'y', got '}'" },
    { "struct hit {\n  /* x\n */ int @;\n};", "3, column 9", "expected a member's name, got '@'" },
    { "struct hit { int x;", "1, column 20", "expected '}' after the members, got the end" },
    { "struct hit { int x : 3 : 4; };", "1, column 24", "expected ';' or ',' after bit-field 'x', got ':'" },
    { "", "1, column 1", "expected a declaration, got the end" },
    { " ; // nothing", "1, column 14", "expected a declaration, got the end" },
    { "int x y", "1, column 7", "expected ';' after the declaration, got 'y'" },
    { "int x[3", "1, column 8", "expected ']' after the array's length, got the end" },
    { "struct { int x; } }", "1, column 19", "expected ';' after the declaration, got '}'" },
    { "struct;", "1, column 7", "expected a tag or '{', got ';'" },
    { "struct 3", "1, column 8", "expected a tag or '{', got '3'" },
    { "struct t { int 3x; }", "1, column 16", "expected a member's name, got '3x'" },
    { "struct t { int; }", "1, column 15", "expected a member's name, got ';'" },
    { "typedef int;", "1, column 12", "expected the typedef's name, got ';'" },
    { "int \0;", "1, column 5", "expected ';' after the declaration, got '\\x00'" },
    { "int é;", "1, column 5", "expected ';' after the declaration, got '\\xc3'" },
    { "int " .. ("x"):rep(50) .. " y", "1, column 56", "got 'y'" },
    { "int x " .. ("y"):rep(50), "1, column 7", "got '" .. ("y"):rep(40) .. "…'" },

    -- Not declarations
    { "int f(void) { return 1; }", "1, column 13", "function definitions are not understood" },
    { "int f(void);", "1, column 1", "the last declaration is a function, which has no size" },
    { "int x = 3;", "1, column 7", "initialisers are not allowed" },
    { "struct t { int x = 3; };", "1, column 18", "initialisers are not allowed" },
    { "#define N 3\nint x[N];", "1, column 1", "preprocessor directives are not understood" },
    { "/* int x;", "1, column 1", "this comment doesn't end" },
    { "int x['a];", "1, column 7", "this character constant doesn't end" },
    { "int x __attribute__((section(\"a)));", "1, column 30", "this string doesn't end" },
    { "int x __attribute__((foo(1)", "1, column 28", "expected ')' after the attribute, got the end" },
    { "int x __attribute__((foo(1", "1, column 25", "this '(' is never closed" },

    -- Types
    { "void", "1, column 1", "the last declaration has type void" },
    { "struct t { void x; };", "1, column 17", "member 'x' has type void" },
    { "struct t { void x[3]; };", "1, column 18", "an array of void" },
    { "int x(void)[3]", "1, column 12", "a function can't return an array" },
    { "int (*x)(int)(int)", "1, column 14", "a function can't return a function" },
    { "int (*x[2])(struct a)", "1, column 13", "struct a is not defined here" },
    { "struct t { int f(void); };", "1, column 16", "member 'f' is a function" },
    { "struct t { struct b x; };", "1, column 21", "struct b is not defined here" },
    { "struct t { union b x[3]; };", "1, column 21", "union b is not defined here" },
    { "struct t { enum e x; };", "1, column 19", "enum e is not defined here" },
    { "struct b; typedef struct b b_t; b_t x;", "1, column 33", "struct b is not defined here" },
    { "struct t { struct t x; };", "1, column 21", "struct t can't contain itself" },
    { "struct t { struct t { int x; } y; };", "1, column 19", "struct t is defined within itself" },
    { "long float x", "1, column 1", "these words don't make a type" },
    { "unsigned signed", "1, column 1", "these words don't make a type" },
    { "int short long x", "1, column 1", "these words don't make a type" },
    { "long long long x", "1, column 11", "'long' is one too many in a type" },
    { "unsigned double", "1, column 1", "these words don't make a type" },
    { "struct t { static int x; };", "1, column 12", "'static' is out of place here" },

    -- Unknown names
    { "struct t { foo_bar x; };", "1, column 12", "unknown type name 'foo_bar'" },
    { "struct t { _u32 x; };", "1, column 12", "unknown type name '_u32'; did you mean '__u32'?" },
    { "struct t { unsinged x; };", "1, column 12", "unknown type name 'unsinged'; did you mean 'unsigned'?" },
    { "typedef int counter_t; conter_t x;", "1, column 24", "did you mean 'counter_t'?" },
    { "struct hit { int x; }; hit h;", "1, column 24", "unknown type name 'hit'; did you mean 'struct hit'?" },
    { "struct t { int x[N]; };", "1, column 18", "expected a constant, but 'N' is no enumerator known here" },

    -- Members
    { "struct t { int x; char x; };", "1, column 24", "duplicate member 'x'" },
    { "struct t { int x; struct { union { char x; }; }; };", "1, column 41", "duplicate member 'x'" },
    { "struct t { int x[]; int y; };", "1, column 16", "'x', an array without a length" },
    { "struct t { int x[3][]; };", "1, column 17", "only an array's first dimension can be left open" },
    { "struct t { char x : 9; };", "1, column 21", "bit-field 'x' is wider than its type, which has 8 bits" },
    { "struct t { _Bool x : 2; };", "1, column 22", "bit-field 'x' is wider than its type, which has 1 bit" },
    { "struct t { int : 33; };", "1, column 18", "this bit-field is wider than its type, which has 32 bits" },
    { "struct t { float x : 3; };", "1, column 18", "bit-field 'x' has no integer type" },
    { "struct t { int x : -1; };", "1, column 20", "bit-field 'x' has a negative width" },
    { "struct t { int x : 0; };", "1, column 20", "bit-field 'x' has a name, so it can't have the width 0" },

    -- Definitions that disagree
    { "struct t { int x; }; struct t { long x; };", "1, column 29", "struct t is defined already, with another" },
    { "struct t { int x; }; struct t { int y; };", "1, column 29", "struct t is defined already" },
    { "struct t { int x : 3; }; struct t { int x : 4; };", "1, column 33", "struct t is defined already" },
    { "struct t { int x; }; struct t { unsigned x; };", "1, column 29", "struct t is defined already" },
    { "enum e { A }; enum e { A, B };", "1, column 20", "enum e is defined already, with another layout" },
    { "struct t { int x; }; union t *y;", "1, column 28", "'t' is the tag of another type: struct t" },
    { "typedef int a; typedef long a;", "1, column 29", "'a' is defined already, as another type" },
    { "enum { a }; typedef long a;", "1, column 26", "'a' is the name of an enumerator" },
    { "typedef int a; enum { a };", "1, column 23", "'a' is the name of a type" },

    -- Enums and constants
    { "enum e { };", "1, column 10", "expected an enumerator's name, got '}'" },
    { "enum e { A, A };", "1, column 13", "duplicate enumerator 'A'" },
    { "enum e { A B };", "1, column 12", "expected ',' or '}' after enumerator 'A', got 'B'" },
    { "enum e { A = -1, B = 0xffffffffffffffff };", "1, column 18", "no integer type holds all these enumerators" },
    { "enum e { A = 0xffffffffffffffff, B };", "1, column 36", "the enumerator's value doesn't fit 64 bits" },
    { "enum e { A }; enum f { A = 3 };", "1, column 24", "enumerator 'A' has another value already" },
    { "int x[-1]", "1, column 7", "the array's length is negative" },
    { "int x[1 / 0]", "1, column 9", "division by zero" },
    { "int x[1 % (3 - 3)]", "1, column 9", "division by zero" },
    { "int x[1 << 32]", "1, column 9", "this shift is not by 0 to 31 bits" },
    { "int x[3.5]", "1, column 7", "'3.5' is no integer constant" },
    { "int x[09]", "1, column 7", "'09' is no integer constant" },
    { "int x[1lul]", "1, column 7", "'1lul' is no integer constant" },
    { "int x['ab']", "1, column 7", "is no character constant" },
    { "int x[18446744073709551616]", "1, column 7", "'18446744073709551616' doesn't fit 64 bits" },
    { "int x[sizeof 3]", "1, column 14", "expected '(' and a type, got '3'" },
    { "int x[sizeof(struct a)]", "1, column 14", "struct a is not defined here" },
    { "int x[(void *)0]", "1, column 8", "constants can be cast to integers of up to 64 bits only" },

    -- Alignment
    { "int x __attribute__((aligned(3)));", "1, column 30", "an alignment must be a power of two" },
    { "int x __aligned(0);", "1, column 17", "an alignment must be a power of two" },
    { "typedef int wide __aligned(16); wide x[2];", "1, column 39", "elements of 4 bytes can't be aligned to 16" },
    { "struct t { _Alignas(2) int x; };", "1, column 28", "member 'x' can't be aligned less than its type" },
    { "struct t { int x __attribute__((mode(DI))); };", "1, column 33", "the attribute 'mode' is not understood" },
    { "enum e { A } __attribute__((mode(TI)));", "1, column 34", "'TI' is no mode that is understood" },
    { "enum e { A = 256 } __attribute__((mode(byte)));", "1, column 10", "no integer type of this mode holds" },

    -- Sizes
    { "int x[0x7fffffff]", "1, column 6", "the array is larger than 2 GiB" },
    { "char x[1ull << 40]", "1, column 8", "the array is larger than 2 GiB" },
    { "struct t { char x[0x7fffffff], y; };", "1, column 32", "beyond the 512 MiB that BTF can describe" },
    { "struct t { int x : 3; char y[1 << 21]; char z; };", "1, column 45", "beyond the 2 MiB" },
    { "union t { char x[0x7fffffff]; long y; };", "1, column 36", "the struct is larger than 2 GiB" },
    { "int" .. ("*"):rep(65) .. " x", "1, column 68", "nested more than 64 levels deep" },
    { "int " .. ("("):rep(99) .. "*x" .. (")"):rep(99), "1, column 69", "nested more than 64 levels deep" },
    { "int x" .. ("[1]"):rep(99), "1, column", "nested more than 64 levels deep" },
    { ("struct {"):rep(99), "1, column", "nested more than 64 levels deep" },
    { "int x[" .. ("("):rep(99999), "1, column", "nested more than 64 levels deep" },
    { "int x[" .. ("-"):rep(99999), "1, column", "nested more than 64 levels deep" },
    { "int x" .. ("(int (*)"):rep(99), "1, column", "nested more than 64 levels deep" },
    { "int x[" .. ("sizeof(int["):rep(99), "1, column", "nested more than 64 levels deep" },
    { "int x[" .. ("1 ? 1 : "):rep(99), "1, column", "nested more than 64 levels deep" },
  }

  for _, row in ipairs(rows) do
    local text = row[1]
    local shown = #text > 60 and text:sub(1, 60) .. "…" or text
    it(("are refused where they are wrong: %q"):format(shown), function()
      local message = helper.raises(function() T(text) end, "C declaration, line %d+, column %d+: ")
      local place = "line " .. row[2]
      assert.truthy(message:find(place .. ":", 1, true) or (row[2]:match("column$") and message:find(place, 1, true)),
        message)
      assert.truthy(message:find(row[3], 1, true), message)
    end)
  end

  it("are refused when they have too many members", function()
    local function text(count)
      return "struct t { " .. ("int:8;"):rep(count) .. " } *"
    end
    assert.equal(8, T(text(65535)):size())
    helper.raises(function() T(text(65536)) end, "more than 65535 members$")
  end)

  it("are refused when they have too many typedefs of typedefs", function()
    local text = { "typedef int t0;" }
    for i = 1, 30 do
      text[#text + 1] = ("typedef t%d t%d;"):format(i - 1, i)
    end
    assert.equal(4, T(table.concat(text, " ", 1, 30)):size())
    helper.raises(function() T(table.concat(text, " ")) end, "more than 30 typedefs of typedefs$")
  end)
end)

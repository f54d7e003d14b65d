-- SPDX-License-Identifier: MIT
-- Declarations, and what the system's C compiler makes of each: its size, where its members are, and what its
-- bit-fields hold when all bits are ones.
local helper = require "spec.helper"

local layout = {}

-- Each row: the members to compare, bit-fields with a colon and arrays without a length with brackets; the
-- declarations; what C calls the type if that isn't "struct t" or "union t".
layout.declarations = {
  -- Plain structs
  { "a", "struct t { int a; };" },
  { "a b", "struct t { char a; int b; }" },
  { "a b c d e", "struct t { char a; short b; char c; long long d; char e; };" },
  { "count comm", "struct t { __u64 count; char comm[16]; };" },
  { "a b c", "struct t { long double a; char b; double c; };" },
  { "a b", "struct t { char a; __int128 b; };" },
  { "a b c", "struct t { char a; unsigned __int128 b; char c; };" },
  { "a b c d e", "struct t { float a; double b; float c; _Bool d; bool e; };" },
  { "a b c", "struct t { char a; void *b; char c; };" },
  { "a b c", "struct t { int a, *b, c[3]; };" },
  { "a b c d", "struct t { char a, *b, c[3], (*d)[5]; };" },
  { "", "struct t { };" },
  { "a b", "struct none { }; struct t { struct none a; int b; };" },
  { "a b", "struct t { int a[0]; char b; };" },

  -- Integer types, in any order of words
  { "a b c d", "struct t { long unsigned int a; int long b; short int unsigned c; signed d; };" },
  { "a b c d", "struct t { long int unsigned long a; long b; unsigned c; char signed d; };" },
  { "a b c", "struct t { int unsigned a; long const long volatile b; short signed int c; };" },
  { "a b c d", "struct t { char a; long long int b; char c; __signed__ long d; };" },

  -- Built-in names
  { "a b c d e f g h", "struct t { __u8 a; __u16 b; __u32 c; __u64 d; __s8 e; __s16 f; __s32 g; __s64 h; };" },
  { "a b c d e f g h", "struct t { u8 a; u64 b; u16 c; u32 d; s8 e; s64 f; s16 g; s32 h; };" },
  { "a b c d e f", "struct t { __be16 a; __be32 b; __le16 c; __be64 d; __le32 e; __le64 f; };" },
  { "a b c", "struct t { __sum16 a; __wsum b; __sum16 c; };" },
  { "a b c d e f", "struct t { int8_t a; int64_t b; uint16_t c; uint32_t d; int16_t e; uint64_t f; };" },
  { "a b c d e", "struct t { char a; size_t b; char c; intptr_t d; uintptr_t e; };" },
  { "a b c d e f", "struct t { pid_t a; uid_t b; mode_t c; off_t d; gid_t e; loff_t f; };" },
  { "a b c d", "struct t { char a; ktime_t b; ssize_t c; ptrdiff_t d; };" },

  -- Arrays
  { "a b", "struct t { char a; int b[2][3]; };" },
  { "a b", "struct t { short a; char b[3][5][7]; };" },
  { "n data[]", "struct t { int n; long data[]; };" },
  { "n data", "struct t { char n; short data[0]; };" },
  { "n data[]", "struct t { char n; int data[][2]; };" },
  { "a b", "enum { N = 3 }; struct t { char a[N * 2 + 1]; int b[sizeof(long) / 2]; };" },
  { "a b", "struct t { char a[(1 << 3) - 1]; char b[sizeof(struct { int x; char y; })]; };" },
  { "a b", "struct p { int x, y; }; struct t { char a; struct p b[2][2]; };" },
  { "a b", "struct t { char a['A']; char b['\\n' + 0x10 + 010 + 0b11 + 1u + 1ull]; };" },
  { "a b", "struct t { char a[~0u > 0 ? 5 : 6]; char b[-1 < 0 && !0 || 0]; };" },
  { "a", "struct t { int a[_Alignof(double) + sizeof(char[3]) + (unsigned char)257]; };" },

  -- Pointers and functions
  { "a b c", "struct t { char a; int (*b)(void); char c; };" },
  { "a b c", "struct t { char a; void (*b[3])(struct t *self, int, ...); char c; };" },
  { "a b", "struct t { const char *const *a; int *(*b)(int (*)(char), char *[2]); };" },
  { "a b c", "struct t { char a; int (*(*b)(void))[4]; struct nowhere *c; };" },
  { "next prev n", "struct t { struct t *next, **prev; int n; };" },
  { "a b", "struct second; struct t { char a; struct second *b; }; struct second { struct t t; };", "struct t" },
  { "a b", "typedef int (*callback)(void *); struct t { char a; callback b; };" },
  { "a b", "typedef int row[3]; struct t { row a[2]; const row *b; };" },

  -- Unions, and structs within
  { "a b c", "union t { int a; char b[7]; short c; };" },
  { "a b", "union t { struct { int x; char y; } a; double b; };" },
  { "a b c d", "struct t { char a; union { int b; long c; }; char d; };" },
  { "a b c d e f", "struct t { char a; struct { char b; union { short c; struct { char d; int e; }; }; }; char f; };" },
  { "a b c", "struct t { char a; struct { long x; char y; } b; char c; };" },
  { "a b c", "struct in { char x; struct deep { int y; } z; }; struct t { struct in a; struct deep b; char c; };" },
  { "a b", "typedef struct { char x; int y; } pair; struct t { char a; pair b[2]; };" },
  { "a b", "typedef union { char x; int y; } either; struct t { char a; either b; };" },
  { "a", "struct t { struct { int unused; struct tagged { int x; }; } a; };" },

  -- Enums
  { "a b", "struct t { char a; enum { A, B } b; };" },
  { "a b", "enum e { A } __attribute__((mode(byte))); struct t { char a; enum e b; };" },
  { "a b", "struct t { char a; enum __attribute__((__mode__(__HI__))) { A = -1, B } b; };" },
  { "a b", "enum e { A } __attribute__((mode(SI), packed)); struct t { char a; enum e b; };" },
  { "a b", "enum e { A = 1 } __attribute__((mode(word))); struct t { char a; enum e b; };" },
  { "a b", "struct t { char a; enum { A = -1 } __attribute__((mode(DI))) b; };" },
  { "a b", "struct u; struct t { char a; int (*b)(struct u, char); };" },
  { "a b", "struct t { char a; __builtin_va_list b; };" },
  { "a b", "enum big { HUGE_ONE = 0x123456789 }; struct t { char a; enum big b; };" },
  { "a b", "enum big { LOW = -1, HIGH = 0x80000000 }; struct t { char a; enum big b; };" },
  { "a b", "enum __attribute__((packed)) tiny { A, B = 200 }; struct t { char a; enum tiny b; };" },
  { "a b", "enum e { A } __attribute__((aligned(16))); struct t { char a; enum e b; };" },
  { "a b c", "enum wee { A = -1, B = 300 } __packed; struct t { char a; enum wee b; char c; };" },

  -- Bit-fields
  { "a: b: c:", "struct t { int a : 3; int b : 7; unsigned c : 22; };" },
  { "a: b: c:", "struct t { int a : 3, b : 30; unsigned c : 5; };" },
  { "a: b: c:", "struct t { unsigned char a : 3; unsigned short b : 7; unsigned int c : 9; };" },
  { "a: b: c: d:", "struct t { long a : 33; int b : 20; short c : 9; char d : 7; };" },
  { "a: b: c", "struct t { int a : 3; int b : 5; char c; };" },
  { "a b: c", "struct t { char a; int b : 4; short c; };" },
  { "a: b:", "struct t { int a : 3; int : 0; int b : 4; };" },
  { "a: b:", "struct t { char a : 3; long : 0; char b : 4; };" },
  { "a: b:", "struct t { int a : 3; int : 9; int b : 4; };" },
  { "a", "struct t { char a; int : 0; };" },
  { "a", "struct t { char a; long : 5; };" },
  { "a: b: c:", "struct t { _Bool a : 1; bool b : 1; _Bool c : 1; };" },
  { "a: b: c:", "enum e { P = -1, Q }; enum u { R, S }; struct t { enum e a : 3; enum u b : 3; unsigned c : 2; };" },
  { "a: b: c:", "struct t { __u64 a : 40; __u64 b : 40; __s64 c : 64; };" },
  { "a: b:", "struct t { char a : 8; short b : 16; };" },
  { "a: b:", "union t { int a : 5; unsigned b : 17; };" },
  { "a b: c: d", "struct t { char a; union { unsigned b : 9; int c : 3; }; char d; };" },
  { "x:", "struct t { const volatile unsigned x : 5; };" },
  { "ihl: version: tot_len", "struct t { __u8 ihl : 4, version : 4; __be16 tot_len; };" },

  -- packed
  { "a b c", "struct t { char a; int b; short c; } __attribute__((packed));" },
  { "a b c", "struct __attribute__((packed)) t { char a; long b; char c; };" },
  { "a b c", "struct __packed t { char a; int b[2]; short c; };" },
  { "a b c", "struct t { char a; int b __attribute__((packed)); int c; };" },
  { "a b", "struct t { char a; struct { char x; int y; } b; } __packed;" },
  { "a b c", "struct t { char a; struct { char x; int y; } __packed b; int c; };" },
  { "a: b: c:", "struct t { int a : 3; int b : 30; unsigned c : 5; } __packed;" },
  { "a: b: c", "struct t { char a : 3; long b : 62; int c; } __packed;" },
  { "a: b:", "struct t { char a : 3; int : 0; char b : 4; } __packed;" },
  { "a: b:", "struct t { int a : 6; int b : 30 __attribute__((packed)); };" },
  { "a b", "union t { long a; char b[9]; } __packed;" },

  -- aligned
  { "a", "struct t { char a; } __attribute__((aligned(16)));" },
  { "a b", "struct t { char a; int b; } __aligned(64);" },
  { "a b", "struct t { char a; char b; } __attribute__((aligned));" },
  { "a b", "struct t { char a; int b __attribute__((aligned(32))); };" },
  { "a b c", "struct t { char a; __aligned(8) char b, c; };" },
  { "a b c", "struct t { char a; char b __aligned(8), c; };" },
  { "a b", "struct t { char a; _Alignas(16) int b; };" },
  { "a b", "struct t { char a; _Alignas(double) char b; };" },
  { "a b", "struct t { char a; int b __aligned(2); } __packed;" },
  { "a b", "struct t { char a; int b; } __attribute__((packed, aligned(4)));" },
  { "a b", "struct t { char a; int b; } __attribute__((__packed__)) __attribute__((__aligned__(2)));" },
  { "a b", "typedef int wide __attribute__((aligned(16))); struct t { char a; wide b; };" },
  { "a b", "typedef int loose __attribute__((aligned(1))); struct t { char a; loose b; };" },
  { "a: b:", "struct t { int a : 3; int b : 5 __attribute__((aligned(8))); };" },
  { "a: b:", "typedef int loose __attribute__((aligned(2))); struct t { short a : 9; loose b : 30; };" },
  { "a b", "struct in { char x; } __aligned(8); struct t { char a; struct in b; };" },
  { "a b", "struct t { char a; struct { char b; } __aligned(4); };" },
  { "a b", "struct t { char a; int *__attribute__((aligned(16))) b; };" },

  -- Attributes that say nothing about the layout
  { "a b", "struct t { char a __attribute__((unused, deprecated(\"a)\")));  int b; } __attribute__((may_alias));" },
  { "a b", "struct __attribute__((unused)) t { char a; __attribute__(()) int b; };" },

  -- Comments and storage classes
  { "a b", "/* ; */ struct t { // }\n char a; /* int x; */ int b; };" },
  { "a", "extern int x; static int y, *z; int f(int, char *); struct t { char a; };" },

  -- Types that are no structs
  { "", "", "char[16]" },
  { "", "", "__u32 *" },
  { "", "", "int (*[3])(void)" },
  { "", "", "long[2][3]" },
  { "", "", "unsigned long long int" },
  { "", "", "struct { char a; int b; }[2]" },
  { "", "struct hit { long a; char b; };", "struct hit[4]" },
  { "", "struct hit { long a; char b; };", "const struct hit" },
  { "", "typedef long twice[2];", "twice[3]" },
  { "", "enum e { A, B };", "enum e" },
  { "a b", "typedef struct { char a; int b; } t;", "t" },
}

local PRELUDE = [[
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <linux/types.h>
#include <sys/types.h>
#define __packed __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
typedef __u8 u8; typedef __u16 u16; typedef __u32 u32; typedef __u64 u64;
typedef __s8 s8; typedef __s16 s16; typedef __s32 s32; typedef __s64 s64;
typedef long long ktime_t;

static void bits(const char *name, const void *zeroed, size_t size, long long value)
{
	const unsigned char *byte = zeroed;
	unsigned int first = 0, count = 0;

	for (unsigned int i = 8 * size; i-- > 0;)
		if (byte[i / 8] >> i % 8 & 1)
			first = i, count++;
	printf("%s bits %u %u %lld\n", name, first, count, value);
}

]]

--- What C calls the type that a row declares.
function layout.type_of(row)
  local name
  for tag in row[2]:gmatch("(%l+)[%s%w_()]* t {") do
    name = tag .. " t"
  end
  return row[3] or assert(name, row[2])
end

--- The row as a C text for lua-bpf.
function layout.text_of(row)
  return row[3] and row[2] .. " " .. row[3] or row[2]
end

local function member_code(name, mark, ctype)
  if mark == "" then
    return ('	printf("%s member %%zu %%zu 0\\n", offsetof(%s, %s), sizeof(((%s *)0)->%s));\n')
      :format(name, ctype, name, ctype, name)
  elseif mark == "[]" then
    return ('	printf("%s member %%zu 0 0\\n", offsetof(%s, %s));\n'):format(name, ctype, name)
  end
  return ([[
	{
		static const union { unsigned char bytes[sizeof(TYPE)]; TYPE t; } one = { .t = { .NAME = -1 } };
		union { unsigned char bytes[sizeof(TYPE)]; TYPE t; } ones;

		memset(&ones, 0xff, sizeof(ones));
		bits("NAME", &one, sizeof(TYPE), ones.t.NAME);
	}
]]):gsub("NAME", name):gsub("TYPE", ctype)
end

local function row_code(number, row)
  local ctype = layout.type_of(row)
  local code = {
    ("static void row%d(void)\n{\n%s;\n"):format(number, row[2]),
    ('	printf("%d size %%zu 0 0\\n", sizeof(%s));\n'):format(number, ctype),
  }
  for name, mark in row[1]:gmatch("([%w_]+)([:%[%]]*)") do
    code[#code + 1] = member_code(name, mark, ctype)
  end
  code[#code + 1] = "}\n\n"
  return table.concat(code)
end

--- The C program that prints the truth.
function layout.program()
  local code, calls = { PRELUDE }, {}
  for number, row in ipairs(layout.declarations) do
    code[#code + 1] = row_code(number, row)
    calls[number] = ("	row%d();\n"):format(number)
  end
  return table.concat(code) .. "int main(void)\n{\n" .. table.concat(calls) .. "}\n"
end

--- Compiles and runs it. Returns a sequence with one table for each row: size, and by member { bit, bits, value } for
--- bit-fields or { offset, size }.
function layout.truth()
  local dir = helper.tmpdir()
  local file <close> = assert(io.open(dir .. "/layout.c", "w"))
  file:write(layout.program())
  file:close()
  local output, ok = helper.run(("cc -std=gnu11 -w -o %s/layout %s/layout.c && %s/layout"):format(dir, dir, dir))
  assert(ok, output)
  local rows = {}
  for name, what, a, b, value in output:gmatch("([%w_]+) (%l+) (%d+) (%d+) (%-?%d+)\n") do
    a, b, value = math.tointeger(a), math.tointeger(b), math.tointeger(value)
    if what == "size" then
      rows[#rows + 1] = { size = a, members = {} }
    elseif what == "bits" then
      rows[#rows].members[name] = { bit_offset = a, bits = b, value = value }
    else
      rows[#rows].members[name] = { offset = a, size = b }
    end
  end
  return rows
end

return layout

-- SPDX-License-Identifier: MIT
-- C text of BTF has the layout that the BTF has: held against our parser, and against clang.
local bpf = require "bpf"
local helper = require "spec.helper"
local structs = require "spec.support.structs"

local write = helper.write

local function parse(text)
  return assert(bpf.btf.parse(text))
end

-- Compiles texts in one run of clang, each with pointers to what it defines under these names, and returns their BTF.
-- Members without a name, of a struct that has one, need -fms-extensions.
local function compile(texts, names)
  local dir, all = helper.tmpdir(), {}
  for i, text in ipairs(texts) do
    local list = { text }
    for k, name in ipairs(names) do
      list[#list + 1] = ("%s *keep%d;"):format(name, k)
    end
    write(("%s/%d.c"):format(dir, i), table.concat(list, "\n") .. "\n")
  end
  local output, ok = helper.run(("cd %s && clang -target bpf -g -w -fms-extensions -c *.c"):format(dir))
  assert(ok, output)
  for i in ipairs(texts) do
    all[i] = assert(bpf.btf.file(("%s/%d.o"):format(dir, i)))
  end
  return table.unpack(all)
end

-- A type's layout, as text. Structs that nothing can be read from are space. BTF of clang before 15 doesn't tell
-- whether enums of 8 bytes are signed.
local function shape(btf, which)
  local t = btf:resolve(which)
  if t.kind == "array" then
    return ("%s[%d]"):format(shape(btf, t.type_id), t.count)
  elseif not t.members then
    local signed = t.signed and not (t.kind == "enum" and t.size == 8)
    return ("%s%s%s"):format(t.kind, t.size, signed and " signed" or "")
  end
  local list = {}
  for _, m in ipairs(t.members) do
    local inner = shape(btf, m.type_id)
    if m.name or not inner:find "^%l+ {}" then
      list[#list + 1] = ("%s at %d: %s %s"):format(m.name or "", m.bit_offset, m.bits or "", inner)
    end
  end
  return ("%s {%s} %d"):format(t.kind, table.concat(list, "; "), t.size)
end

describe("the C text of a type", function()
  it("has its layout, for our parser and for clang", function()
    local text, names = structs.make(1000, 12)
    local btf <close> = compile({ text }, names)
    local own <close> = parse(text)
    local printed = assert(btf:dump()):gsub("#[^\n]*", "")
    local compiled <close> = compile({ printed }, names)
    local parsed <close> = parse(printed)
    for _, name in ipairs(names) do
      local wanted = shape(btf, name)
      assert.equal(wanted, shape(own, name))
      assert.equal(wanted, shape(parsed, name))
      assert.equal(wanted, shape(compiled, name))
      local alone <close> = parse(btf:print(name, { deep = true }))
      assert.equal(wanted, shape(alone, name))
    end
  end)

  it("is packed where bit-fields reach beyond their types", function()
    local btf <close> = parse [[
      struct s { void *p; int a : 29; unsigned b : 14; int c : 20; } __attribute__((packed));
      struct t { char c; struct s s[2]; long last; };]]
    assert.equal("struct s {\n\tvoid *p;\n\tint a: 29;\n\tunsigned int b: 14;\n\tint c: 20;\n} " ..
      "__attribute__((packed));", btf:print "struct s")
    local again <close> = parse(btf:print("struct t", { deep = true }))
    assert.same({ 16, 48 }, { again:find "struct s".size, again:find "struct t".size })
    assert.equal(1, btf:type "struct { char c; struct s s[2]; long last; }":members()[2].offset)
  end)

  it("has enums of every size, with their values", function()
    local btf <close> = parse [[
      enum a { A_LOW = -1, A_ONE = 1 } __attribute__((packed));
      enum b { B_ONE = 60000 } __attribute__((packed));
      enum c { C_LOW = -1, C_ONE = 1 };
      enum d { D_LOW = -0x7fffffffffffffff - 1, D_ONE = 1 };
      enum e { E_HIGH = 0xffffffffffffffff, E_ONE = 1 };
      enum f { F_ONE = 1 } __attribute__((mode(word)));
      struct all { enum a a; enum b b; enum c c; enum d d; enum e e; enum f f; enum { G_LOW = -2 } g; };]]
    local again <close> = parse(btf:print("struct all", { deep = true }))
    for i, name in ipairs { "a", "b", "c", "d", "e", "f" } do
      local was, is = btf:find("enum " .. name), again:find("enum " .. name)
      assert.same({ was.size, was.signed, was.values }, { is.size, is.signed, is.values }, name)
      assert.equal(({ 1, 2, 4, 8, 8, 8 })[i], is.size)
    end
    assert.equal(-2, again:find(again:find "struct all".members[7].type_id).values.G_LOW)
    assert.equal(shape(btf, "struct all"), shape(again, "struct all"))
  end)

  it("has structs without names in it, and pointers to such", function()
    local btf <close> = parse [[
      typedef struct { char c; int n : 31; } __attribute__((packed)) inner[3];
      struct outer { char c; struct { int n; char d; } __attribute__((packed)) s[2], *p;
        union { long l; char t[9]; } __attribute__((packed)); int (*call)(struct { char x; } *); inner last; };]]
    local text = btf:print("struct outer", { deep = true })
    local again <close> = parse(text)
    assert.equal(shape(btf, "struct outer"), shape(again, "struct outer"))
    local pointer = again:find(again:find "struct outer".members[3].type_id)
    assert.equal(5, again:find(pointer.type_id).size)
    assert.equal("struct {\n\tint n;\n\tchar d;\n} __attribute__((packed)) *",
      btf:print(btf:find "struct outer".members[3].type_id))
  end)
end)

-- BTF of records made here.
local INT <const>, STRUCT <const>, UNION <const>, ENUM <const>, FWD <const> = 1, 4, 5, 6, 7

local function made(records, names)
  local types, strings, offsets = {}, "\0", {}
  for _, name in ipairs(names) do
    offsets[name] = #strings
    strings = strings .. name .. "\0"
  end
  for i, r in ipairs(records) do
    types[i] = string.pack("<I4I4I4", offsets[r.name] or 0, r.kind << 24 | (r.flag and 1 << 31 or 0) | #(r.parts or {}),
      r.size) .. (r.kind == INT and string.pack("<I4", (r.unmarked and 0 or 1 << 24) | r.size * 8) or "")
    for _, part in ipairs(r.parts or {}) do
      types[i] = types[i] ..
        string.pack(part[3] and "<I4I4I4" or "<I4I4", offsets[part[1]], part[2] & 0xffffffff, part[3])
    end
  end
  types = table.concat(types)
  local path = helper.tmpdir() .. "/made"
  write(path, string.pack("<I2BBI4I4I4I4I4", 0xeb9f, 1, 0, 24, 0, #types, #types, #strings) .. types .. strings)
  return assert(bpf.btf.file(path))
end

describe("an enum of 8 bytes by a compiler that cuts its values", function()
  local NAMES <const> = { "huge", "HIGH", "LOW", "s", "h" }

  local function cut()
    return made({
      { kind = ENUM, name = "huge", size = 8, parts = { { "HIGH", 1 }, { "LOW", -1 } } },
      { kind = STRUCT, name = "s", size = 8, parts = { { "h", 1, 0 } } },
    }, NAMES)
  end

  it("has enumerators without values", function()
    local btf <close> = cut()
    local t = btf:find "enum huge"
    assert.same({ true, {}, 8 }, { t.cut, t.values, t.size })
    assert.same({ { name = "HIGH", lower = 1 }, { name = "LOW", lower = 0xffffffff } }, t.enumerators)
    assert.equal(nil, t.signed)
  end)

  it("is a number, and no name means one", function()
    local btf <close> = cut()
    local s = btf:type "struct s"
    assert.equal(0x8000000000000001, s:decode(s:encode { h = 0x8000000000000001 }).h)
    helper.raises(function() s:encode { h = "HIGH" } end, "the value of 'HIGH' isn't known")
    helper.raises(function() s:encode { h = "NONE" } end, "no enumerator 'NONE' %(enumerators: [HIGHLOW, ]+%)")
    assert.same({}, s:layout()[1].enumerators)
    helper.raises(function() btf:type "char[HIGH]" end, "no enumerator known here")
    assert.equal(8, btf:type "enum huge { HIGH = 0x100000001, LOW = -1 }; enum huge h":size())
  end)

  it("is printed with what is known, and says so", function()
    local btf <close> = cut()
    local text = btf:print("struct s", { deep = true })
    assert(text:find("\t/* the lower halves of the values; the BTF lacks the upper ones */\n\tHIGH = 1,\n", 1,
      true), text)
    local again <close> = parse(text)
    assert.equal(8, again:find "struct s".size)
  end)
end)

describe("an enum that isn't marked as signed", function()
  it("has small negative values, unless the BTF marks others", function()
    local one = { kind = ENUM, name = "one", size = 4, parts = { { "A", -1 } } }
    local marked = { kind = ENUM, name = "marked", size = 4, flag = true, parts = { { "B", -2 } } }
    local names = { "one", "marked", "A", "B" }
    local unmarked <close> = made({ one }, names)
    assert.same({ -1, true }, { unmarked:find "enum one".values.A, unmarked:find "enum one".signed })
    assert.equal("enum one {\n\tA = -1,\n};", unmarked:print "enum one")
    local both <close> = made({ one, marked }, names)
    assert.equal(0xffffffff, both:find "enum one".values.A)
    assert.equal(-2, both:find "enum marked".values.B)
    assert.equal("enum one {\n\tA = 4294967295,\n};", both:print "enum one")
    assert.equal(0xffffffff, both:type "enum one":decode "\xff\xff\xff\xff")
  end)
end)

describe("BTF by an old pahole", function()
  it("is printed, though signed char isn't marked, and a struct is declared by itself", function()
    local btf <close> = made({
      { kind = INT, name = "signed char", size = 1, unmarked = true },
      { kind = FWD, name = "path", size = 0 },
      { kind = STRUCT, name = "path", size = 1, parts = { { "a", 1, 0 } } },
      { kind = STRUCT, name = "user", size = 1, parts = { { "p", 3, 0 } } },
    }, { "signed char", "path", "user", "a", "p" })
    local again <close> = parse((assert(btf:dump()):gsub("#[^\n]*", "")))
    assert.equal(1, again:find "struct user".size)
    assert.equal("struct path {\n\tsigned char a;\n};", btf:print "struct path")
  end)
end)

describe("a type that C has no words for", function()
  local NAMES <const> = { "int", "s", "a", "b" }
  local WORD <const> = { kind = INT, name = "int", size = 4 }

  local function struct(kind, size, ...)
    return made({ WORD, { kind = kind, name = "s", size = size, parts = { ... } } }, NAMES)
  end

  it("is an error that names the member", function()
    for pattern, btf in pairs {
      ["member b overlaps the one before it"] = struct(STRUCT, 8, { "a", 1, 0 }, { "b", 1, 16 }),
      ["member b begins within a byte"] = struct(STRUCT, 12, { "a", 1, 0 }, { "b", 1, 36 }),
      ["member a isn't at the start of the union"] = struct(UNION, 8, { "a", 1, 32 }),
      ["member b doesn't fit into its struct"] = struct(STRUCT, 4, { "a", 1, 0 }, { "b", 1, 32 }),
    } do
      for _, method in ipairs { "print", "dump" } do
        local text, message, code = btf[method](btf, method == "print" and 2 or nil)
        assert.same({ nil, "EOPNOTSUPP" }, { text, code })
        assert(message:find("type 2, s can't be written in C: " .. pattern, 1, true), message)
      end
      btf:close()
    end
  end)

  it("is none for space that no member takes", function()
    for size, kind in pairs {
      [3] = STRUCT, [6] = UNION, [24] = UNION, [100] = UNION, [4096] = STRUCT, [5000] = STRUCT,
    } do
      local btf <close> = struct(kind, size)
      local again <close> = parse(assert(btf:print(2)))
      assert.equal(size, again:find(kind == UNION and "union s" or "struct s").size)
    end
    local btf <close> = struct(STRUCT, 4096, { "a", 1, 64 }, { "b", 1, 16384 })
    local again <close> = parse(assert(btf:print(2)))
    assert.equal(shape(btf, 2), shape(again, "struct s"))
  end)
end)

describe("the kernel's types", function()
  it("are printed with their layout", function()
    local btf <close> = bpf.btf.kernel()
    if not btf then
      pending "this kernel has no BTF"
      return
    end
    local again <close> = parse((assert(btf:dump()):gsub("#[^\n]*", "")))
    for _, kind in ipairs { "struct", "union" } do
      local sizes, n, names = {}, 0, 0 -- several types may have one name
      for t in btf:types(kind) do
        if t.name then
          sizes[t.name] = sizes[t.name] or {}
          sizes[t.name][t.size] = true
        end
      end
      for t in again:types(kind) do
        local name = t.name and t.name:gsub("___%d+$", "")
        if sizes[name] then
          assert(sizes[name][t.size], t.name)
          n = n + 1
        end
      end
      for _ in pairs(sizes) do
        names = names + 1
      end
      assert(n >= names)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- BTF: where it comes from, what it says about types, types as C text, and BTF that is damaged.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local layout = require "spec.support.cdecl_layout"
local bpf = require "bpf"

local parse = bpf.btf.parse

local KERNEL = "/sys/kernel/btf/vmlinux"

local read, write = helper.read, helper.write

local function need_kernel()
  if kernel.config "CONFIG_DEBUG_INFO_BTF" == "n" then
    helper.skip "the kernel lacks CONFIG_DEBUG_INFO_BTF"
  end
end

local TEXT = [[
struct point { int x, y; };
enum colour { RED, GREEN = 5, BLUE };
enum level { LOW = -2, HIGH = 7 };
enum huge { SMALL, HUGE = 0x1234567890 };
typedef struct point point_t;
typedef const point_t *const place;
union either { int i; float f; };
struct all {
  struct point at;
  struct all *next;
  const char *name;
  unsigned bits : 3, more : 7;
  char text[16];
  struct { short inner; };
  int (*call)(struct all *, const char *, ...);
  enum colour colour;
  void *const volatile opaque;
  int matrix[2][3];
  void (*handlers[4])(void);
  place there;
  union either either;
  int (*row)[3];
  int tail[];
};]]

describe("a description", function()
  local btf

  setup(function() btf = parse(TEXT) end)
  teardown(function() btf:close() end)

  it("of a struct has its members", function()
    local t = btf:find "struct point"
    assert.same({
      kind = "struct", name = "point", id = t.id, size = 8,
      members = {
        { name = "x", type = "int", type_id = btf:find "int".id, size = 4, offset = 0, bit_offset = 0 },
        { name = "y", type = "int", type_id = btf:find "int".id, size = 4, offset = 4, bit_offset = 32 },
      },
    }, t)
    assert.same(t, btf:find(t.id))
    assert.same(t, btf:find("point", "struct"))
    assert.same(t, btf:find "point")
  end)

  it("calls types what C does", function()
    local types = {}
    for i, member in ipairs(btf:find "struct all".members) do
      types[i] = ("%s: %s"):format(member.name, member.type)
    end
    assert.same({
      "at: struct point", "next: struct all *", "name: char *", "bits: unsigned int", "more: unsigned int",
      "text: char[16]", "nil: struct {…}", "call: int (*)(struct all *, char *, ...)", "colour: enum colour",
      "opaque: void *", "matrix: int[2][3]", "handlers: void (*[4])(void)", "there: place",
      "either: union either", "row: int (*)[3]", "tail: int[0]",
    }, types)
  end)

  it("of a bit-field says where it is", function()
    local members = btf:find "struct all".members
    assert.same({ 192, 3, 24 }, { members[4].bit_offset, members[4].bits, members[4].offset })
    assert.same({ 195, 7, 24 }, { members[5].bit_offset, members[5].bits, members[5].offset })
    assert.equal(nil, members[1].bits)
  end)

  it("of an enum has its enumerators in order, and by name", function()
    local colour, level, huge = btf:find "enum colour", btf:find "enum level", btf:find("huge", "enum")
    assert.same({ RED = 0, GREEN = 5, BLUE = 6 }, colour.values)
    assert.same({ { name = "RED", value = 0 }, { name = "GREEN", value = 5 }, { name = "BLUE", value = 6 } },
      colour.enumerators)
    assert.same({ "enum", 4, nil }, { colour.kind, colour.size, colour.signed })
    assert.same({ LOW = -2, HIGH = 7 }, level.values)
    assert.is_true(level.signed)
    assert.same({ SMALL = 0, HUGE = 0x1234567890 }, huge.values)
    assert.same({ "enum", 8 }, { huge.kind, huge.size })
  end)

  it("of what leads to another type names it", function()
    local t = btf:find "point_t"
    assert.same({ kind = "typedef", name = "point_t", id = t.id, size = 8, type = "struct point",
      type_id = btf:find "struct point".id }, t)
    local array = btf:find(btf:find "struct all".members[6].type_id)
    assert.same({ kind = "array", id = array.id, size = 16, type = "char", type_id = btf:find "char".id, count = 16 },
      array)
    local pointer = btf:find(btf:find "struct all".members[2].type_id)
    assert.same({ kind = "ptr", id = pointer.id, size = 8, type = "struct all", type_id = btf:find "struct all".id },
      pointer)
    local void = btf:find(0)
    assert.same({ kind = "void", id = 0 }, void)
    assert.same(void, btf:find "void")
  end)

  it("of an integer tells its encoding", function()
    assert.same({ "int", 4, true, nil }, { btf:find "int".kind, btf:find "int".size, btf:find "int".signed })
    local other <close> = parse "struct b { _Bool b; unsigned u; float f; };"
    assert.is_true(other:find "_Bool".bool)
    assert.equal(nil, other:find "unsigned int".signed)
    assert.same({ "float", 4 }, { other:find "float".kind, other:find "float".size })
  end)

  it("of a function type has parameters and result", function()
    local call = btf:find(btf:resolve(btf:find "struct all".members[8].type_id).type_id)
    assert.equal("func_proto", call.kind)
    assert.same({ "int", true }, { call.returns, call.variadic })
    assert.same({ "struct all *", "char *" }, { call.params[1].type, call.params[2].type })
    assert.equal(nil, call.size)
  end)

  it("is absent for what isn't there", function()
    assert.equal(nil, btf:find "struct nothing")
    assert.equal(nil, btf:find "union point")
    assert.equal(nil, btf:find("point", "union"))
    assert.equal(nil, btf:find(#btf + 1))
    assert.equal(nil, btf:find(-1))
    assert.equal(nil, btf:find "")
    assert.equal(nil, btf:find "point\0x")
    assert.equal(nil, btf:resolve "nothing")
  end)

  it("is of the type behind typedefs and qualifiers when resolved", function()
    assert.equal("struct", btf:resolve "point_t".kind)
    local place = btf:resolve "place"
    assert.same({ "ptr", "point_t" }, { place.kind, place.type })
    assert.same({ "struct", "point" }, { btf:resolve(place.type_id).kind, btf:resolve(place.type_id).name })
    assert.equal("void", btf:resolve(0).kind)
  end)

  it("lies as the C compiler lays it out", function()
    local compared = 0
    for number, truth in ipairs(layout.truth()) do
      local row = layout.declarations[number]
      if not row[3] and row[1] ~= "" then
        local one <close> = parse(layout.text_of(row))
        local t = one:find(layout.type_of(row))
        assert.equal(truth.size, t.size, row[2])
        for _, member in ipairs(t.members) do
          local want = truth.members[member.name]
          if want then
            assert.equal(want.bit_offset or want.offset * 8, member.bit_offset, row[2])
            assert.equal(want.bits, member.bits, row[2])
            assert.equal(want.bits and member.size or want.size, member.size, row[2])
            compared = compared + 1
          end
        end
      end
    end
    assert(compared > 200, compared)
  end)
end)

describe("BTF", function()
  it("is walked type by type", function()
    local btf <close> = parse(TEXT)
    local n, names = 0, {}
    for t in btf:types() do
      n = n + 1
      assert.equal(n, t.id)
    end
    assert.equal(#btf, n)
    for t in btf:types "enum" do
      names[#names + 1] = t.name
    end
    assert.same({ "colour", "level", "huge" }, names)
    helper.raises(function() btf:types "klass" end, "kind of type 'klass' is unknown %(one of: int, ptr, ")
    helper.raises(function() btf:find("x", "klass") end, "kind of type 'klass'")
  end)

  it("compiles its types for encoding and decoding", function()
    local btf <close> = parse(TEXT)
    local point = btf:type "struct point"
    assert.same({ x = 1, y = -1 }, point:decode(point:encode { x = 1, y = -1 }))
    assert.equal("struct point", btf:type(btf:find "point_t".id):name():gsub("point_t", "struct point"), nil)
    assert.equal(24, btf:type "struct point[3]":size())
    assert.equal(4, btf:type "unsigned int":size())
    assert.equal(16, btf:type "struct { point_t at; __u64 n; }":size())
    helper.raises(function() btf:type "struct nothing" end, "there is no type 'struct nothing' in the BTF of C text")
    helper.raises(function() btf:type(#btf + 1) end, "there is no type '%d+'")
    helper.raises(function() btf:type "struct point x y" end, "line 1")
    helper.raises(function() btf:type(0) end, "has no size")
    helper.raises(function() btf:type {} end, "bad argument #1 to 'type'")
  end)

  it("outlives nothing but itself: types stay when it closes", function()
    local btf = parse(TEXT)
    local point, step = btf:type "struct point", btf:types()
    assert.is_true(btf:close())
    assert.is_true(btf:close())
    assert.equal(8, point:size())
    for _, use in ipairs { "find", "resolve", "types", "print", "dump", "type", "bytes", "hash" } do
      helper.raises(function() btf[use](btf, "int") end, "BTF of C text is closed")
    end
    helper.raises(function() step() end, "BTF of C text is closed")
    helper.raises(function() return #btf end, "closed")
    assert.equal("bpf.btf: C text (closed)", tostring(btf))
  end)

  it("is refused with a place when its text is none", function()
    helper.raises(function() parse "struct x {\n int a b; }" end, "2")
    helper.raises(function() parse {} end, "bad argument #1 to 'parse'")
  end)

  it("goes to a file and comes back", function()
    local dir = helper.tmpdir()
    local btf <close> = parse(TEXT)
    write(dir .. "/raw.btf", btf:bytes())
    local same <close> = assert(bpf.btf.file(dir .. "/raw.btf"))
    assert.equal(#btf, #same)
    assert.same(btf:find "struct all", same:find "struct all")
    assert.equal(btf:hash(), same:hash())
    assert.equal("bpf.btf: raw.btf (" .. #btf .. " types)", tostring(same))
    local other <close> = parse "struct point { int x, z; };"
    assert.not_equal(other:hash(), same:hash())
    local output, ok = helper.run("bpftool btf dump file " .. dir .. "/raw.btf")
    assert(ok, output)
    for t in btf:types "struct" do
      assert(output:find(("[%d] STRUCT '%s' size=%d vlen=%d"):format(t.id, t.name or "(anon)", t.size, #t.members), 1,
        true), output)
    end
  end)

  it("is read from compiled objects", function()
    local file <close> = assert(bpf.btf.file(helper.obj "events"))
    local seq = file:find "struct event".members[2]
    assert.same({ "__u32", 4 }, { seq.type, seq.offset })
    local send = file:find("send", "func")
    assert.same({ "int", "global", "int (struct request *)", "req", "struct request *" },
      { send.returns, send.linkage, send.type, send.params[1].name, send.params[1].type })
    local bss = file:find(".bss", "datasec")
    local found = 0
    for _, var in ipairs(bss.vars) do
      if var.name == "sent" then
        assert.same({ "__u64", 8 }, { var.type, var.size })
        found = found + 1
      end
    end
    assert.equal(1, found)
    assert.same({ "var", "global" }, { file:find("sent", "var").kind, file:find("sent", "var").linkage })
  end)

  it("fails for files that have none", function()
    local dir = helper.tmpdir()
    local function fails(path, code, pattern)
      local btf, message, got = bpf.btf.file(path)
      assert.equal(nil, btf)
      assert.equal(code, got, message)
      assert(message:find(pattern), message)
    end
    fails(dir .. "/absent", "ENOENT", "absent")
    fails(dir, "EISDIR", dir)
    fails("/dev/null", "EINVAL", "no regular file")
    write(dir .. "/empty", "")
    fails(dir .. "/empty", "LIBBPF_ERRNO__FORMAT", "neither BTF nor an ELF file")
    write(dir .. "/text", "something else")
    fails(dir .. "/text", "LIBBPF_ERRNO__FORMAT", "neither BTF nor an ELF file")
    write(dir .. "/short", "\x9f\xeb\1\0")
    fails(dir .. "/short", "LIBBPF_ERRNO__FORMAT", "damaged: its header")
    fails("/proc/self/exe", "ENODATA", "no section .BTF")
    assert(helper.run(("mkfifo %s/pipe"):format(dir)))
    fails(dir .. "/pipe", "EINVAL", "no regular file")
  end)
end)

describe("the BTF of an object", function()
  it("is there before the load, and closes with the object", function()
    local obj = assert(bpf.open(helper.obj "events"))
    local btf = assert(obj:btf())
    assert.equal(btf, obj:btf())
    assert.equal("bpf.btf: events (" .. #btf .. " types)", tostring(btf))
    assert.equal(64, btf:type "struct event":size())
    obj:close()
    helper.raises(function() btf:find "struct event" end, "BTF of events is closed")
    helper.raises(function() obj:btf() end, "object 'events' is closed")
  end)

  it("keeps the object alive, and can be closed without it", function()
    local obj = assert(bpf.open(helper.obj "events"))
    local weak = setmetatable({ obj }, { __mode = "v" })
    local btf = assert(obj:btf())
    obj = nil -- luacheck: ignore 311
    collectgarbage()
    collectgarbage()
    assert.equal("struct", btf:find "struct event".kind)
    weak[1]:close()
    obj = assert(bpf.open(helper.obj "events"))
    btf = obj:btf()
    btf:close()
    local again = obj:btf()
    assert.not_equal(btf, again)
    assert.equal("struct", again:find "struct event".kind)
    obj:close()
  end)

  it("isn't there without -g", function()
    local dir = helper.tmpdir()
    assert(helper.run(("printf 'int x __attribute__((section(\".rodata\"))) = 1;' | " ..
      "clang -target bpf -O2 -x c -c - -o %s/bare.o"):format(dir)))
    local obj <close> = assert(bpf.open(dir .. "/bare.o"))
    local btf, message, code = obj:btf()
    assert.same({ nil, "ENODATA" }, { btf, code })
    assert(message:find("clang needs %-g"), message)
  end)
end)

describe("C text", function()
  local function compiles(text)
    local dir = helper.tmpdir()
    write(dir .. "/text.c", text .. "\n")
    local output, ok = helper.run(("cc -std=gnu11 -Wall -Werror -fsyntax-only %s/text.c"):format(dir))
    assert(ok, output .. text)
  end

  it("is the declaration of one type", function()
    local btf <close> = parse(TEXT)
    assert.equal("struct point {\n\tint x;\n\tint y;\n};", btf:print "struct point")
    assert.equal("typedef struct point point_t;", btf:print "point_t")
    assert.equal("enum colour {\n\tRED = 0,\n\tGREEN = 5,\n\tBLUE = 6,\n};", btf:print "enum colour")
    assert.equal("int", btf:print "int")
    assert.equal("void", btf:print(0))
    assert.equal("struct all *", btf:print(btf:find "struct all".members[2].type_id))
    assert.equal("struct {\n\tshort int inner;\n}", (btf:print(btf:find "struct all".members[7].type_id)
      :gsub("short inner", "short int inner")))
    local all = btf:print "struct all"
    assert(all:find("^struct all {\n\tstruct point at;\n") and all:find("unsigned int more: 7;", 1, true), all)
    assert(all:find("int tail[0];\n};", 1, true), all)
  end)

  it("comes with what it needs if asked", function()
    local btf <close> = parse(TEXT)
    local text = btf:print("struct all", { deep = true })
    assert(text:find("struct point {", 1, true) and text:find("enum colour {", 1, true), text)
    assert.equal(nil, text:find("enum level", 1, true))
    compiles(text)
    compiles(btf:print("place", { deep = true }))
    helper.raises(function() btf:print("struct all", { depth = 1 }) end, "option 'depth'")
    helper.raises(function() btf:print "struct nothing" end, "there is no type 'struct nothing'")
    helper.raises(function() btf:print() end, "name or id of a type")
  end)

  it("of a function is its prototype", function()
    local file <close> = assert(bpf.btf.file(helper.obj "events"))
    assert.equal("int send(struct request *req);", file:print(file:find("send", "func").id))
    assert.equal("__u64 sent;", file:print(file:find("sent", "var").id))
    assert(file:print("send", { deep = true })
      :find "^typedef .*struct request {\n.*};\n\nint send%(struct request %*req%);$")
    helper.raises(function() file:print ".bss" end, "C has no declaration")
  end)

  it("of everything compiles, and makes the same BTF again", function()
    local btf <close> = parse(TEXT)
    local text = btf:dump()
    compiles((text:gsub("#pragma[^\n]*", "")))
    assert(text:find("\n#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n", 1,
      true), text)
    local again <close> = parse((text:gsub("#[^\n]*", "")))
    for t in btf:types "struct" do
      if t.name then
        local same = again:find(t.name, "struct")
        for i, member in ipairs(t.members) do
          local other = same.members[i]
          assert.same({ member.name, member.type, member.offset, member.size, member.bits },
            { other.name, other.type, other.offset, other.size, other.bits })
        end
      end
    end
  end)

  it("goes to a file", function()
    local dir = helper.tmpdir()
    local btf <close> = parse(TEXT)
    assert.is_true(btf:dump(dir .. "/types.h"))
    assert.equal(btf:dump(), read(dir .. "/types.h"))
    local done, message, code = btf:dump(dir .. "/no/types.h")
    assert.same({ nil, "ENOENT" }, { done, code })
    assert(message:find("write '" .. dir .. "/no/types.h'", 1, true), message)
    code = select(3, btf:dump "/dev/full")
    assert.equal("ENOSPC", code)
  end)

  it("leaves a file as it was when not all can be written", function()
    kernel.root()
    local dir = helper.tmpdir()
    local output = helper.run(("unshare -m sh -c %s"):format(helper.quote(([[
      mount -t tmpfs -o size=16k none %s && cd %s && echo before >old.h && ln -s old.h link.h && : >fill &&
      { dd if=/dev/zero of=fill bs=4k 2>/dev/null; truncate -s -4k fill
        cd - >/dev/null; %s -e %s; cd -; ls; cat old.h; }
      ]]):format(dir, dir, helper.LUA, helper.quote(([[
        local bpf = require "bpf"
        local members = {}
        for i = 1, 3000 do members[i] = ("int member_%%d;"):format(i) end
        local btf = assert(bpf.btf.parse("struct many { " .. table.concat(members) .. " };"))
        print(select(3, btf:dump "%s/old.h"), select(3, btf:dump "%s/new.h"))
        local small = assert(bpf.btf.parse "struct s { int a; };")
        print(small:dump "%s/link.h")]]):format(dir, dir, dir))))))
    assert.matches("^ENOSPC\tENOSPC\n", output)
    assert.matches("\nfill\nlink.h\nold.h\n#ifndef __VMLINUX_H__\n.*struct s {\n.*#endif [^\n]*\n$", output)
  end)
end)

describe("the kernel's BTF", function()
  need_kernel()

  it("is read once, whatever is closed", function()
    local one = assert(bpf.btf.kernel())
    assert(tostring(one):find "^bpf.btf: the kernel %(%d+ types%)$")
    one:close()
    local two <close> = assert(bpf.btf.kernel())
    local file <close> = assert(bpf.btf.file(KERNEL))
    assert.equal(#file, #two)
    assert.equal(file:hash(), two:hash())
    assert.equal(read(KERNEL), two:bytes())
  end)

  it("describes the kernel's types as bpftool does", function()
    local btf <close> = assert(bpf.btf.kernel())
    local output = helper.run("bpftool btf dump file " .. KERNEL)
    for _, name in ipairs { "task_struct", "sk_buff", "file", "bpf_prog", "sock", "list_head" } do
      local t = btf:find("struct " .. name)
      local block = assert(output:match(("\n(%%[%d%%] STRUCT '%s' size=%d vlen=%d\n.-)\n%%["):format(t.id, name, t.size,
        #t.members)), name)
      local i = 0
      for member, type_id, offset in block:gmatch "\t'(%S+)' type_id=(%d+) bits_offset=(%d+)" do
        i = i + 1
        local m = t.members[i]
        assert.same({ member, type_id, offset },
          { m.name or "(anon)", tostring(m.type_id), tostring(m.bit_offset) })
      end
      assert.equal(#t.members, i)
    end
    local read_ = btf:find("vfs_read", "func")
    assert.same({ "func", "ssize_t", "struct file *", "file" },
      { read_.kind, read_.returns, read_.params[1].type, read_.params[1].name })
    assert.equal("int", btf:resolve "pid_t".name)
  end)

  it("is walked to its end", function()
    local btf <close> = assert(bpf.btf.kernel())
    local n, last = 0, 0
    for t in btf:types() do
      n, last = n + 1, t.id
    end
    assert.same({ #btf, #btf }, { n, last })
  end)

  it("is a C header that clang takes, as bpftool's", function()
    local btf <close> = assert(bpf.btf.kernel())
    local dir = helper.tmpdir()
    assert(btf:dump(dir .. "/vmlinux.h"))
    local function bare(text) -- libraries of one version differ in these
      return (text:gsub("%(%)", "(void)"):gsub(" __attribute__%(%(mode%(%l+%)%)%)", "")
        :gsub("(%f[%w]enum [%w_]*%s*{[^}]*}) __attribute__%(%(packed%)%)", "%1"))
    end
    if helper.run("bpftool version"):find("libbpf " .. bpf.libbpf_version .. "\n", 1, true) then
      local theirs = helper.run("bpftool btf dump file " .. KERNEL .. " format c")
      local theirs_parsed <close> = parse((theirs:gsub("#[^\n]*", "")))
      local next_theirs = (bare(theirs) .. "\n"):gmatch "(.-)\n\n"
      for ours in (bare(read(dir .. "/vmlinux.h")) .. "\n"):gmatch "(.-)\n\n" do
        local their = next_theirs()
        if ours ~= their then -- which is where theirs has another layout than the kernel
          local name = ours:match "^typedef.-([%w_]+);$" or ours:match "^(%l+ [%w_]+) {"
          assert.not_equal(btf:resolve(name).size, theirs_parsed:resolve(name).size, ours)
          assert.equal(btf:resolve(name).size, parse((ours:gsub("#[^\n]*", ""))):resolve(name).size, ours)
        end
      end
      assert.equal(nil, (next_theirs()))
    end
    write(dir .. "/task.bpf.c", '#include "vmlinux.h"\nstruct task_struct *task;\n' ..
      ("_Static_assert(sizeof(struct task_struct) == %d, \"\");\n"):format(btf:find "struct task_struct".size))
    local output, ok = helper.run(("clang -target bpf -g -O2 -I%s -c %s/task.bpf.c -o %s/task.o"):format(dir, dir, dir))
    assert(ok, output)
    local again <close> = assert(bpf.btf.file(dir .. "/task.o"))
    assert.equal(btf:find "struct task_struct".size, again:find "struct task_struct".size)
  end)

  it("decodes structs that the kernel hands over, by name", function()
    kernel.root()
    kernel.need("ring buffers", "5.8")
    local obj <close> = assert(bpf.load(helper.obj "kernel_types", { vars = { target_pid = helper.pid } }))
    local cred, uts
    local reader <close> = assert(bpf.ringbuf(obj.maps.creds, "struct cred", function(e) cred = e end))
    local btf <close> = assert(bpf.btf.kernel())
    assert(reader:add(obj.maps.names, btf:type "struct new_utsname", function(e) uts = e end))
    assert(obj:attach())
    while not (cred and uts) do
      assert(reader:poll(1000) > 0)
    end
    assert.same({ 0, 0, 0 }, { cred.uid.val, cred.euid.val, cred.fsgid.val })
    local status = read "/proc/self/status"
    local caps = math.tointeger(tonumber(status:match "CapEff:%s*(%x+)", 16))
    local got = cred.cap_effective
    assert.equal(caps, got.val or got.cap[1] | got.cap[2] << 32)
    assert.equal(kernel.release, uts.release)
    assert.equal(helper.run "uname -m":gsub("\n", ""), uts.machine, nil)
  end)
end)

describe("BTF by its id", function()
  kernel.root()

  it("is that of a map or program", function()
    local m <close> = assert(bpf.map.create { type = "array", max_entries = 1,
      value = "struct by_id { __u64 count; char comm[16]; }" })
    local id = bpf.map.info(m).btf_id
    local btf <close> = assert(bpf.btf.by_id(id))
    assert.same({ 24, "comm" }, { btf:find("struct by_id").size, btf:find("struct by_id").members[2].name })
    assert.equal(("bpf.btf: id %d (%d types)"):format(id, #btf), tostring(btf))
    bpf.map.close(m)
    assert.equal(24, btf:type("struct by_id"):size())
  end)

  it("is that of the kernel", function()
    need_kernel()
    local found
    for id = 1, 99 do
      local btf <close> = bpf.btf.by_id(id)
      if btf and btf:find "struct task_struct" then
        assert.equal(assert(bpf.btf.kernel()):find("struct task_struct").size, btf:find("struct task_struct").size)
        found = true
        break
      end
    end
    assert(found)
  end)

  it("fails where there is none, and refuses what is no id", function()
    local btf, message, code = bpf.btf.by_id(4294967295)
    assert.same({ nil, "btf.by_id 4294967295: no such BTF (ENOENT)", "ENOENT" }, { btf, message, code })
    for _, id in ipairs { -1, 4294967296, "x", 1.5 } do
      helper.raises(function() bpf.btf.by_id(id) end, "bad argument #1")
    end
    local _, _, refused = bpf.btf.by_id(0)
    assert.equal("ENOENT", refused)
  end)
end)

describe("the BTF of a module", function()
  need_kernel()

  it("fails without the module", function()
    local btf, message, code = bpf.btf.module "no_such_module"
    assert.same({ nil, "ENOENT" }, { btf, code })
    assert(message:find "BTF of module 'no_such_module'", message)
    for _, name in ipairs { "", "../vmlinux", "vmlinux" } do
      helper.raises(function() bpf.btf.module(name) end, "bad argument #1")
    end
  end)

  it("has its own types on top of the kernel's", function()
    kernel.root()
    -- The file of a module that nobody loaded: in a mount namespace whose /sys/kernel/btf is ours.
    local output, ok = helper.run(([[unshare -m sh -ec '
      dir=$(mktemp -d); cp %s $dir/vmlinux; build/support/splitbtf $dir/splitted
      mount --bind $dir /sys/kernel/btf
      %s - || status=$?
      umount /sys/kernel/btf; rm -r $dir; exit ${status:-0}' <<'END'
      local bpf = require "bpf"
      local btf = assert(bpf.btf.module "splitted")
      local kernel <close> = assert(bpf.btf.kernel())
      print(btf)
      local t = btf:find "struct splitted"
      assert(t.id > #kernel and t.members[1].type == "struct list_head" and t.members[2].offset == 16)
      assert(btf:find "struct task_struct".id == kernel:find "struct task_struct".id)
      assert(kernel:find "struct splitted" == nil)
      kernel:close()
      collectgarbage()
      local names = {}
      for one in btf:types() do names[#names + 1] = one.name or one.kind end
      print(table.concat(names, " "))
      print(btf:print "splitted_use")
      local text = btf:dump()
      print(#text < 1000, text:find("struct list_head {", 1, true) < text:find("struct splitted {", 1, true))
      local v = btf:type "struct splitted"
      print(pcall(btf.type, btf, "struct splitted[2]"))
      print(v:size(), v:decode(v:encode { n = 7, list = { next = 1 } }).n)
      btf:close()
      print(pcall(btf.find, btf, "splitted"))
END]]):format(KERNEL, helper.LUA))
    assert(ok, output)
    assert.equal([[
bpf.btf: splitted (4 types)
splitted ptr func_proto splitted_use
void splitted_use(struct splitted *it);
true	true
false	stdin:18: 'struct splitted[2]' is no type of splitted, whose BTF has a base and takes no C text
24	7
false	stdin:21: BTF of splitted is closed
]], output)
  end)
end)

describe("split BTF of a file", function()
  need_kernel()

  local path, bytes

  setup(function()
    path = helper.tmpdir() .. "/splitted"
    local output, ok = helper.run("build/support/splitbtf " .. path)
    assert(ok, output)
    local file <close> = assert(io.open(path, "rb"))
    bytes = file:read("a")
  end)

  it("has its own types on top of its base's", function()
    local vmlinux = assert(bpf.btf.kernel())
    local btf <close> = assert(bpf.btf.file(path, { base = vmlinux }))
    local types = #vmlinux
    vmlinux:close()
    assert.equal("bpf.btf: splitted (4 types)", tostring(btf))
    assert.equal("void splitted_use(struct splitted *it);", (btf:print("splitted_use")))
    assert.is_true(btf:find("struct splitted").id > types)
    assert.equal(24, btf:type("struct splitted"):size())
    assert.equal(bytes, btf:bytes())
  end)

  it("may have a base from a file, which its script may close", function()
    local base = assert(bpf.btf.file(KERNEL))
    local btf <close> = assert(bpf.btf.file(path, { base = base }))
    local other <close> = assert(bpf.btf.file(path, { base = base }))
    assert.equal("struct list_head", base:print("struct list_head"):match("^struct list_head"))
    base:close()
    base = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    for _, one in ipairs({ btf, other }) do
      assert.equal("struct list_head", one:find("struct splitted").members[1].type)
      assert.equal("list_head", one:find("struct list_head").name)
    end
  end)

  it("is damaged without its base, or with another", function()
    local text <close> = assert(bpf.btf.parse("struct a { int b; };"))
    for _, options in ipairs({ {}, { base = text } }) do
      local btf, message, code = bpf.btf.file(path, options)
      assert.same({ nil, "LIBBPF_ERRNO__FORMAT" }, { btf, code })
      assert.matches("damaged", message)
    end
    assert.equal(1, text:find("struct a").size // 4) -- a failed one takes nothing from its base
  end)

  it("is looked through, whatever is damaged", function()
    local vmlinux <close> = assert(bpf.btf.kernel())
    local damaged = path .. ".damaged"
    for at = 1, #bytes do
      for _, byte in ipairs({ 0x7f, 0xff }) do
        local file <close> = assert(io.open(damaged, "wb"))
        assert(file:write(bytes:sub(1, at - 1), string.char(byte), bytes:sub(at + 1)))
        file:close()
        local btf <close> = bpf.btf.file(damaged, { base = vmlinux })
        local first = #vmlinux + 1
        for id = first, btf and first + #btf - 1 or 0 do
          pcall(btf.type, btf, id)
        end
      end
    end
  end)

  it("wants a base that stays", function()
    local vmlinux <close> = assert(bpf.btf.kernel())
    local split <close> = assert(bpf.btf.file(path, { base = vmlinux }))
    local obj <close> = assert(bpf.open(helper.obj("vars")))
    local closed = assert(bpf.btf.parse("int"))
    closed:close()
    for pattern, options in pairs({
      ["option 'base' must be a bpf.btf, got number"] = { base = 1 },
      ["the BTF of .* belongs to an object, which frees it when it is closed"] = { base = obj:btf() },
      ["is closed"] = { base = closed },
      ["has a base itself"] = { base = split },
      ["unknown option 'bass'"] = { bass = vmlinux },
    }) do
      helper.raises(function() bpf.btf.file(path, options) end, pattern)
    end
  end)
end)

describe("damaged BTF", function()
  local dir

  setup(function() dir = helper.tmpdir() end)

  local SMALL = [[
    enum colour { RED, GREEN = 5 };
    typedef struct all all_t;
    struct all { all_t *next; unsigned bits : 3, more : 7; char text[16]; struct { short inner; };
      int (*call)(all_t *, enum colour); union { int i; float f; } either; };]]

  -- Everything that can be done with BTF; whatever comes of it, it must be over soon.
  local function use(btf)
    for t in btf:types() do
      pcall(btf.resolve, btf, t.id)
      pcall(btf.print, btf, t.id, { deep = true })
      pcall(btf.type, btf, t.id)
      if t.name then
        pcall(btf.type, btf, t.name)
        pcall(btf.find, btf, t.name, t.kind)
      end
    end
    pcall(btf.type, btf, "struct { struct all all; all_t at; }")
    pcall(btf.dump, btf)
  end

  local function try(bytes)
    write(dir .. "/damaged", bytes)
    local btf <close>, message, code = bpf.btf.file(dir .. "/damaged")
    if btf then
      pcall(use, btf)
    else
      assert(message and code)
    end
    return btf ~= nil
  end

  it("is refused, or used without harm, with any byte changed", function()
    local btf <close> = parse(SMALL)
    local bytes, opened, seed = btf:bytes(), 0, 1
    assert(try(bytes))
    for at = 1, #bytes do
      seed = seed * 1103515245 + 12345 & 0x7fffffff
      local byte = ({ [0] = bytes:byte(at) ~ 1 << (seed >> 16) % 8, 0, 0xff })[at % 3]
      opened = opened + (try(bytes:sub(1, at - 1) .. string.char(byte) .. bytes:sub(at + 1)) and 1 or 0)
    end
    assert(opened > #bytes // 3)
  end)

  it("is refused, or used without harm, when it is cut off", function()
    local btf <close> = parse(SMALL)
    local bytes = btf:bytes()
    for n = 0, #bytes - 1, 7 do
      assert.is_false(try(bytes:sub(1, n)))
    end
  end)

  -- BTF of records made here; names are "\0" alone and "a".
  local function made(records)
    local types = table.concat(records)
    return string.pack("<I2BBI4I4I4I4I4", 0xeb9f, 1, 0, 24, 0, #types, #types, 3) .. types .. "\0a\0"
  end

  local function record(kind, vlen, size_or_type, name)
    return string.pack("<I4I4I4", name or 0, kind << 24 | vlen, size_or_type)
  end

  local function open(records)
    write(dir .. "/made", made(records))
    return assert(bpf.btf.file(dir .. "/made"))
  end

  local PTR, STRUCT, PROTO, FUNC = 2, 4, 13, 12

  it("with a type that leads to itself ends", function()
    local btf <close> = open { record(PTR, 0, 1) }
    assert(btf:find(1).type:find "…")
    helper.raises(function() btf:print(1) end, "type 1 contains itself, or too much")
    helper.raises(function() btf:print(1, { deep = true }) end, "contains itself")
    helper.raises(function() btf:dump() end, "contains itself")
    assert.equal(8, btf:type(1):size())
    local proto <close> = open { record(PTR, 0, 2), record(PROTO, 2, 1) .. string.pack("<I4I4I4I4", 0, 1, 1, 2) }
    assert(proto:find(2).params[1].type:find "…")
    helper.raises(function() proto:print(2) end, "contains itself")
  end)

  it("with a long chain of pointers ends", function()
    local records = {}
    for i = 1, 200000 do
      records[i] = record(PTR, 0, i - 1)
    end
    local btf <close> = open(records)
    assert.equal(200000, #btf)
    assert(#btf:find(200000).type < 10000)
    helper.raises(function() btf:print(200000) end, "contains itself, or too much")
    helper.raises(function() btf:dump() end, "contains itself, or too much")
    assert.equal("void *******", btf:print(7))
    records[#records + 1] = record(PROTO, 0, 200000)
    records[#records + 1] = record(FUNC, 0, 200001, 1)
    local func <close> = open(records)
    assert(func:find(200002).returns)
    helper.raises(function() func:print(200002) end, "too much")
  end)

  it("with members that have no size is refused", function()
    for _, member in ipairs {
      record(1, 0, 0, 1) .. "\0\0\0\32", record(6, 0, 0, 1), record(PROTO, 0, 0), record(7, 0, 0, 1),
    } do
      local btf <close> = open { member, record(STRUCT, 1, 4, 1) .. string.pack("<I4I4I4", 1, 1, 0) }
      helper.raises(function() btf:print(2) end, "what has no size")
    end
  end)

  it("with types that double what they hold ends", function()
    local records = { record(1, 0, 4, 1) .. "\0\0\0\32" }
    for i = 2, 50 do
      records[i] = record(STRUCT, 2, 8, 0) .. string.pack("<I4I4I4", 1, i - 1, 0):rep(2)
    end
    local btf <close> = open(records)
    helper.raises(function() btf:print(50) end, "too much")
    helper.raises(function() btf:dump() end, "too much")
    helper.raises(function() btf:type(50) end, ".")
    assert.equal("struct {…}", btf:find(50).members[1].type)
    records = { record(PTR, 0, 0) }
    for i = 2, 50 do
      records[i] = record(PROTO, 2, 1) .. string.pack("<I4I4", 0, i - 1):rep(2)
    end
    local protos <close> = open(records)
    assert(#protos:find(50).params[1].type < 20000)
    helper.raises(function() protos:print(50) end, "too much")
  end)
end)

describe("C text that uses the types of BTF", function()
  -- Where a struct of this BTF lies behind a char, and how long that is in all.
  local PLACES = {
    ["struct plain"] = { 4, 12 },
    ["struct plain[2]"] = { 4, 20 },
    ["struct shifted"] = { 1, 9 }, -- packed, which only its members' places show
    ["struct shifted[2]"] = { 1, 17 },
    ["struct brief"] = { 1, 6 }, -- packed, which only its size shows
    ["struct bits"] = { 4, 8 }, -- a bit-field may start anywhere
    ["struct deep"] = { 8, 48 },
    ["union either"] = { 8, 24 },
  }

  it("has them where the compiler has", function()
    local btf <close> = parse [[
      struct plain { char c; int n; };
      struct shifted { char c; int n; char d[3]; } __attribute__((packed));
      struct brief { char c; int n; } __attribute__((packed));
      struct bits { unsigned int a : 3, b : 7, c : 11; };
      struct deep { char c; struct plain p[2]; struct brief s; void *q; };
      union either { char c[3]; struct { char d; long e; }; };]]
    for what, place in pairs(PLACES) do
      local type, dimension = what:match "^([^%[]+)(.*)$"
      local t = btf:type(("struct { char x; %s y%s; }"):format(type, dimension))
      assert.same(place, { t:members()[2].offset, t:size() }, what)
    end
  end)
end)

describe("a type that is nested as deeply as goes", function()
  -- An int in so many arrays or structs.
  local function arrays(n)
    local text = { "typedef int t0;" }
    for i = 1, n do
      text[#text + 1] = ("typedef t%d t%d[1];"):format(i - 1, i)
    end
    return table.concat(text)
  end

  local function structs(n)
    local text = { "typedef int t0;" }
    for i = 1, n do
      text[#text + 1] = ("typedef struct { t%d a; } t%d;"):format(i - 1, i)
    end
    return table.concat(text)
  end

  it("has values, and is refused with one more", function()
    for _, nested in ipairs { arrays, structs } do
      local type = bpf.btf.type(nested(64))
      local value = type:decode "\7\0\0\0"
      assert.equal("\7\0\0\0", type:encode(value))
      for _ = 1, 64 do
        value = value.a or value[1]
      end
      assert.equal(7, value)
      helper.raises(function() bpf.btf.type(nested(65)) end, "types are nested too deeply")
    end
  end)

  it("is named up to a depth, through pointers as well", function()
    assert.equal("int" .. (" *"):rep(63), bpf.btf.type("int " .. ("*"):rep(63) .. "x"):name())
    assert.equal(("int%s[2]"):format((" *"):rep(60)), bpf.btf.type("int " .. ("*"):rep(60) .. "x[2]"):name())
  end)
end)

describe("a handle", function()
  it("may be closed by a finalizer in the middle of any use", function()
    local output, ok = helper.lua([[
      local bpf = require "bpf"
      collectgarbage("generational")
      local text = {}
      for i = 1, 40 do text[i] = ("struct s%d { int a%d; char b[%d]; };"):format(i, i, i) end
      text = table.concat(text)
      local uses = {
        function(b) for _ in b:types() do end end, function(b) b:dump() end, function(b) b:find "struct s9" end,
        function(b) b:type "struct s7[3]" end, function(b) b:print("s3", { deep = true }) end,
      }
      local closed = 0
      for round = 1, 400 do
        local btf = bpf.btf.parse(text)
        collectgarbage "stop"
        for i = 1, 1 + round % 20 do
          setmetatable({}, { __gc = function() btf:close() end })
        end
        collectgarbage "restart" -- the next allocation runs the finalizers
        local ok, message = pcall(uses[round % #uses + 1], btf)
        assert(ok or message:find "is closed", message)
        collectgarbage()
        closed = closed + (tostring(btf):find "closed" and 1 or 0)
      end
      print(closed == 400)
    ]])
    assert(ok, output)
    assert.equal("true\n", output)
  end)

  it("survives the end of the state in any order", function()
    local output, ok = helper.lua(([[
      local bpf = require "bpf"
      local kernel, obj, btf
      late = setmetatable({}, { __gc = function()
        print(pcall(kernel.find, kernel, "int"), (pcall(btf.find, btf, "int")))
      end })
      kernel, obj = bpf.btf.kernel(), assert(bpf.open %q)
      btf = obj:btf()
    ]]):format(helper.obj "events"))
    assert(ok, output)
    assert.equal("false\tfalse\n", output)
  end)
end)

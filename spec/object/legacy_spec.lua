-- SPDX-License-Identifier: MIT
-- Objects whose maps are declared as before libbpf 1.0: every layout of the old definitions, on the running kernel.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

local ABSENT = helper.absent()

local PLAIN, KERNEL = helper.obj("legacy_plain"), helper.obj("legacy_kernel")
local IPROUTE, MIXED = helper.obj("legacy_iproute"), helper.obj("legacy_mixed")

local read, write = helper.read, helper.write

-- The object as a compiler without -g makes it.
local function without_g(name)
  local to = ("%s/%s.o"):format(helper.tmpdir(), name)
  local output, ok = helper.run(("clang -target bpf -O2 -idirafter /usr/include/$(uname -m)-linux-gnu -c -o %s " ..
    "spec/progs/%s.bpf.c"):format(to, name))
  assert(ok, output)
  return to
end

-- Loads an object; fails if the kernel refuses the BTF, over which libbpf only warns.
local function load(source, options)
  local lines = {}
  bpf.log(function(line) lines[#lines + 1] = line end)
  local obj, message = bpf.load(source, options)
  bpf.log(nil)
  assert.is_nil(table.concat(lines, "\n"):find("BTF is optional", 1, true))
  return assert(obj, message)
end

local args = "=I4I4I8"

-- Runs a program on three numbers. Returns the three after it.
local function run(obj, name, ...)
  local answer = assert(obj.progs[name]:run({ ctx = string.pack(args, ...) }))
  assert.equal(0, answer.retval)
  return string.unpack(args, answer.ctx)
end

-- What the map has at an integer key, whatever is known of its types.
local function at(m, key, value_type)
  local view <close> = map.typed(m, "__u32", value_type)
  return view[key]
end

local function set(m, key, value_type, value)
  local view <close> = map.typed(m, "__u32", value_type)
  view[key] = value
end

local function attributes(m)
  local info = assert(map.info(m))
  return ("%s %d %d %d %d"):format(info.type, info.key_size, info.value_size, info.max_entries, info.map_flags)
end

local function bpftool(command, ...)
  local output, ok = helper.run("bpftool " .. command:format(...))
  assert(ok, output)
  return output
end

-- An ELF file to change bytes of --------------------------------------------------------------------------------------

local elf = {}
elf.__index = elf

function elf.read(path)
  local self = setmetatable({ bytes = read(path), sections = {} }, elf)
  local table_at, count, names = string.unpack("<I8", self.bytes, 41), string.unpack("<I2I2", self.bytes, 61)
  local _
  local function header(i)
    local s = { at = table_at + i * 64 }
    s.name, s.type, _, _, s.offset, s.size, s.link, s.info = string.unpack("<I4I4I8I8I8I8I4I4", self.bytes, s.at + 1)
    return s
  end
  local strings = header(names)
  for i = 0, count - 1 do
    local s = header(i)
    s.name = string.unpack("z", self.bytes, strings.offset + s.name + 1)
    s.index = i
    self.sections[s.name] = s
  end
  return self
end

-- Replaces bytes from an offset on.
function elf:put(offset, bytes)
  self.bytes = self.bytes:sub(1, offset) .. bytes .. self.bytes:sub(offset + #bytes + 1)
  return self
end

-- The offset of a symbol in the file.
function elf:symbol(name)
  local symbols = self.sections[".symtab"]
  for offset = symbols.offset, symbols.offset + symbols.size - 24, 24 do
    local at_name = string.unpack("<I4", self.bytes, offset + 1)
    if string.unpack("z", self.bytes, self.sections[".strtab"].offset + at_name + 1) == name then
      return offset
    end
  end
end

-- Changes a word of a definition: 0 is the type.
function elf:word(name, word, value)
  local symbol = self:symbol(name)
  local index, offset = string.unpack("<I2I8", self.bytes, symbol + 7)
  for _, s in pairs(self.sections) do
    if s.index == index then
      return self:put(s.offset + offset + 4 * word, string.pack("<I4", value))
    end
  end
end

describe("old map definitions", function()
  kernel.root()
  kernel.need("programs run by syscall", "5.14")

  local sources = {
    ["compiled with -g"] = function() return PLAIN end,
    ["compiled without -g"] = function() return without_g("legacy_plain") end,
    ["without .BTF but with .BTF.ext"] = function()
      local file = elf.read(PLAIN)
      local header = file.sections[".BTF"].at
      local name = string.unpack("<I4", file.bytes, header + 1)
      return { bytes = file:put(header, string.pack("<I4", name + 1)).bytes } -- now it is "BTF"
    end,
    ["from bytes"] = function() return { bytes = read(PLAIN) } end,
  }
  for what, source in pairs(sources) do
    describe(what, function()
      it("become maps as defined", function()
        local obj <close> = load(source())
        assert.equal("array 4 4 2 0", attributes(obj.maps.first))
        assert.equal("hash 4 24 64 1", attributes(obj.maps.hits))
        assert.equal("hash 4 8 8 0", attributes(obj.maps.liar))
        assert.equal("array 4 8 2 0", attributes(obj.maps.hidden))
        assert.equal("array 4 8 3 0", attributes(obj.maps.hidden_too))
      end)

      it("give each program its own map, global or static", function()
        local obj <close> = load(source())
        run(obj, "set_first", 1, 11, 0)
        run(obj, "set_liar", 1, 22, 0)
        run(obj, "set_hidden", 1, 33, 0)
        run(obj, "set_hidden_too", 2, 44, 0)
        assert.equal(11, at(obj.maps.first, 1, "__u32"))
        assert.equal(22, at(obj.maps.liar, 1, "__u64"))
        assert.equal(33, at(obj.maps.hidden, 1, "__u64"))
        assert.equal(44, at(obj.maps.hidden_too, 2, "__u64"))
        assert.equal(0, at(obj.maps.hidden_too, 1, "__u64"))
        assert.equal(0, at(obj.maps.first, 0, "__u32"))
      end)

      it("let a program see what Lua wrote", function()
        local obj <close> = load(source())
        set(obj.maps.first, 0, "__u32", 77)
        set(obj.maps.hidden, 0, "__u64", 88)
        assert.equal(77, (select(3, run(obj, "set_first", 0, 1, 0))))
        assert.equal(88, (select(3, run(obj, "set_hidden", 0, 1, 0))))
      end)
    end)
  end

  it("are typed by BPF_ANNOTATE_KV_PAIR, in Lua and in the kernel", function()
    local obj <close> = assert(bpf.open(PLAIN))
    local whoami <close> = load(PLAIN)
    local self = run(whoami, "whoami", 0, 0, 0)
    obj.vars.target = self
    assert(obj:load())
    local hits = obj.maps.hits
    hits[self] = { count = 1000, comm = "lua" }
    local link <close> = assert(obj.progs.count:attach())
    assert.is_nil(io.open(ABSENT))
    link:close()
    assert.is_true(hits[self].count > 1000)
    assert.equal("lua", hits[self].comm)
    local dump = bpftool("map dump id %d", map.info(hits).id)
    assert.matches('"count": %d+', dump)
    assert.matches('"comm": "lua"', dump)
  end)

  it("count where an annotation says something else", function()
    local obj <close> = load(PLAIN)
    assert.equal(0, map.info(obj.maps.liar).btf_value_type_id)
    obj.maps.liar[string.pack("=I4", 1)] = string.pack("=I8", 2)
    assert.equal(2, at(obj.maps.liar, 1, "__u64"))
  end)

  it("leave global variables and the object's name alone", function()
    local obj <close> = load(PLAIN)
    assert.equal("legacy_plain", obj:name())
    assert.equal(0, obj.vars.runs)
    run(obj, "whoami", 0, 0, 0)
    assert.equal(1, obj.vars.runs)
    local dir = helper.tmpdir()
    local long = write(dir .. "/a_rather_long_name.for.o", read(PLAIN))
    local named <close> = assert(bpf.open(long))
    local today <close> = assert(bpf.open(write(dir .. "/a_rather_long_name.bpf.o", read(helper.obj("calls")))))
    assert.equal(today:name(), named:name())
    local chosen <close> = assert(bpf.open(PLAIN, { name = "chosen" }))
    assert.equal("chosen", chosen:name())
  end)

  it("heed the options of bpf.open", function()
    local mine <close> = assert(map.create({ type = "array", key = "__u32", value = "__u64", max_entries = 3 }))
    local obj <close> = load(PLAIN, { maps = { hits = 128, hidden_too = mine } })
    assert.equal("hash 4 24 128 1", attributes(obj.maps.hits))
    run(obj, "set_hidden_too", 2, 5, 0)
    assert.equal(5, mine[2])
  end)

  describe("of the kernel's samples", function()
    for what, source in pairs({
      ["with -g"] = function() return KERNEL end,
      ["without -g"] = function() return without_g("legacy_kernel") end,
    }) do
      it("name the inner map by its place, " .. what, function()
        local obj <close> = load(source())
        assert.equal("array_of_maps 4 4 3 0", attributes(obj.maps.array_of))
        assert.equal("hash_of_maps 8 4 2 0", attributes(obj.maps.hash_of))
        assert.equal("hash 4 4 4 4", attributes(obj.maps.near))
        run(obj, "put_near", 0, 1, 2)
        assert.equal(2, at(obj.maps.near, 1, "__u32"))

        local inner = map.info(obj.maps.inner).id
        bpftool("map update id %d key 2 0 0 0 value id %d", map.info(obj.maps.array_of).id, inner)
        run(obj, "put", 2, 7, 70)
        assert.equal(70, at(obj.maps.inner, 7, "__u64"))
        bpftool("map update id %d key 9 0 0 0 0 0 0 0 value id %d", map.info(obj.maps.hash_of).id, inner)
        run(obj, "put_hash", 9, 8, 80)
        assert.equal(80, at(obj.maps.inner, 8, "__u64"))

        -- another template wouldn't take it: `near` has smaller values
        local _, ok = helper.run(("bpftool map update id %d key 1 0 0 0 value id %d"):format(
          map.info(obj.maps.array_of).id, map.info(obj.maps.near).id))
        assert.is_false(ok)
      end)
    end

    it("pass the NUMA node on", function()
      local obj, message = bpf.load({ bytes = elf.read(KERNEL):word("near", 6, 1 << 20).bytes })
      assert.is_nil(obj)
      assert.matches("near", message)
    end)
  end)

  describe("of iproute2", function()
    for what, source in pairs({
      ["with -g"] = function() return IPROUTE end,
      ["without -g"] = function() return without_g("legacy_iproute") end,
    }) do
      it("fill maps of maps by id and index, " .. what, function()
        local obj <close> = load(source(), { pin_root = helper.bpffs() })
        assert.equal("array_of_maps 4 4 4 0", attributes(obj.maps.outer))
        run(obj, "put", 0, 1, 10)
        run(obj, "put", 3, 1, 13)
        assert.equal(10, at(obj.maps.zeroth, 1, "__u64"))
        assert.equal(13, at(obj.maps.third, 1, "__u64"))
        local nowhere = assert(obj.progs.put:run({ ctx = string.pack(args, 1, 1, 1) }))
        assert.equal(1, nowhere.retval)
        run(obj, "put_elsewhere", 0, 1, 4)
        assert.equal(4, at(obj.maps.elsewhere, 1, "__u64"))
      end)

      it("are pinned by name, and found there by the next object, " .. what, function()
        local dir = helper.bpffs()
        do
          local obj <close> = load(source(), { pin_root = dir })
          run(obj, "put_global", 0, 6, 66)
        end
        local again <close> = load(source(), { pin_root = dir })
        assert.equal(66, at(again.maps.global, 6, "__u32"))
        local pinned <close> = assert(map.open(dir .. "/local"))
        assert.equal("hash 4 4 16 1", attributes(pinned))
        assert.is_nil((map.open(dir .. "/zeroth")))
      end)
    end

    it("are known by their name in BTF when they are short", function()
      local source = [[
        #include <linux/bpf.h>
        #include <bpf/bpf_helpers.h>
        struct bpf_elf_map { __u32 type, size_key, size_value, max_elem, flags, id, pinning; };
        struct bpf_elf_map SEC("maps") old = { BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0, 5, 2 };
        SEC("syscall") int look(void *ctx) { __u32 key = 0; return !bpf_map_lookup_elem(&old, &key); }
        char LICENSE[] SEC("license") = "GPL";
      ]]
      local dir, pins = helper.tmpdir(), helper.bpffs()
      write(dir .. "/short.c", source)
      local output, ok = helper.run(("cd %s && clang -target bpf -O2 -g -idirafter " ..
        "/usr/include/$(uname -m)-linux-gnu -c short.c"):format(dir))
      assert(ok, output)
      local obj <close> = load(dir .. "/short.o", { pin_root = pins })
      assert.equal(0, assert(obj.progs.look:run()).retval)
      local pinned <close> = assert(map.open(pins .. "/old"))
      assert.equal("array 4 4 1 0", attributes(pinned))
    end)
  end)

  describe("without a type of their own", function()
    -- An object of these maps' words, and of the struct that has them.
    local function compiled(struct, words, section, flags)
      return { bytes = assert(bpf.compile(([[
        typedef unsigned int u32;
        struct def { %s };
        __attribute__((section("%s"))) struct def old = { %s };
        __attribute__((section("socket"))) int f(void *c) { return 0; }
      ]]):format(struct, section, words), { cflags = flags })) }
    end

    local SEVEN = "u32 type, key_size, value_size, max_entries, map_flags, a, b;"
    local NAMED = "u32 type, key_size, value_size, max_entries, map_flags, id, pinning;"

    it("are pinned as aya says, whose last of seven words is 1", function()
      local pins = helper.bpffs()
      local obj <close> = load(compiled(SEVEN, "1, 4, 8, 16, 0, 7, 1", "maps", { "-g0" }), { pin_root = pins })
      assert.equal("hash 4 8 16 0", attributes(obj.maps.old))
      local pinned <close> = assert(map.open(pins .. "/old"))
      assert.equal(map.info(obj.maps.old).id, map.info(pinned).id)
    end)

    it("have a NUMA node where the flag says so", function()
      local pins = helper.bpffs()
      local flagged = compiled(SEVEN, "1, 4, 8, 16, 5, 0, 0", "maps", { "-g0" })
      local obj <close> = load(flagged, { pin_root = pins })
      assert.equal("hash 4 8 16 5", attributes(obj.maps.old))
      assert.is_nil((map.open(pins .. "/old")))
      local far = compiled(SEVEN, "1, 4, 8, 16, 5, 0, 1048576", "maps", { "-g0" })
      assert.is_nil((bpf.load(far)))
    end)

    it("are refused where words mean nothing", function()
      for _, words in ipairs({ "1, 4, 8, 16, 0, 3, 0", "1, 4, 8, 16, 0, 0, 2" }) do
        local obj, message = bpf.open(compiled(SEVEN, words, "maps", { "-g0" }))
        assert.is_nil(obj)
        assert.matches("non%-zero bytes after map_flags", message)
      end
    end)

    it("mean what BTF calls their members", function()
      for words, pin in pairs({ ["1, 4, 8, 16, 0, 3, 0"] = false, ["1, 4, 8, 16, 0, 3, 2"] = true }) do
        local pins = helper.bpffs()
        local obj <close> = load(compiled(NAMED, words, "maps"), { pin_root = pins })
        local pinned <close> = map.open(pins .. "/old")
        assert.equal(pin, pinned ~= nil)
        assert.equal("hash 4 8 16 0", attributes(obj.maps.old))
      end
      local late = "u32 type, key_size, value_size, max_entries, map_flags, unused, numa_node, pinning;"
      local pins = helper.bpffs()
      local obj <close> = load(compiled(late, "1, 4, 8, 16, 0, 0, 0, 1", "maps"), { pin_root = pins })
      local pinned <close> = assert(map.open(pins .. "/old"))
      assert.equal(map.info(obj.maps.old).id, map.info(pinned).id)
      local refused, message = bpf.open(compiled(late, "1, 4, 8, 16, 0, 9, 0, 1", "maps"))
      assert.is_nil(refused)
      assert.matches("whose meaning is unknown", message)
    end)

    it("may be in any section that ends in /maps", function()
      for _, flags in ipairs({ { "-g0" }, { "-g" } }) do
        local obj <close> = load(compiled(SEVEN, "1, 4, 8, 16, 0, 0, 0", "lirc_mode2/maps", flags))
        assert.equal("hash 4 8 16 0", attributes(obj.maps.old))
      end
    end)
  end)

  it("in sections of their own mix with those in one and with today's", function()
    local pins = helper.bpffs()
    local names = { "today", "today_too", "one", "two", "three" }
    local obj <close> = load(MIXED, { pin_root = pins })
    assert.equal("hash 4 8 7 0", attributes(obj.maps.today))
    assert.equal("array 4 8 9 0", attributes(obj.maps.today_too))
    assert.equal("hash 4 8 11 0", attributes(obj.maps.one))
    assert.equal("hash 4 8 22 0", attributes(obj.maps.two))
    assert.equal("hash 4 8 33 0", attributes(obj.maps.three))
    for i, name in ipairs(names) do
      run(obj, "put_" .. name, 1, i * 10, 0)
    end
    assert.equal(10, obj.maps.today[1]) -- typed as before
    for i, name in ipairs(names) do
      assert.equal(i * 10, at(obj.maps[name], 1, "__u64"))
    end
    local pinned <close> = assert(map.open(pins .. "/two"))
    assert.equal("hash 4 8 22 0", attributes(pinned))
  end)

  it("don't make up for the BTF that today's maps need", function()
    local obj, message = bpf.open(without_g("legacy_mixed"))
    assert.is_nil(obj)
    assert.matches("section %.maps has no meaning without %.BTF: compile with %-g", message)
  end)
end)

describe("a malformed old definition", function()
  -- Opens changed bytes, from memory and from a file, which fails for the reason given.
  local function refused(file, reason)
    local path = write(helper.tmpdir() .. "/bad.o", file.bytes)
    for source, prefix in pairs({ [path] = "open '" .. path .. "': ", [{ bytes = file.bytes }] = "open 'bad': " }) do
      local obj, message, code = bpf.open(source, { name = "bad" })
      assert.is_nil(obj)
      assert.equal(prefix .. reason .. " (" .. code .. ")", message)
      assert.equal("LIBBPF_ERRNO__FORMAT", code)
    end
  end

  local function plain() return elf.read(PLAIN) end

  local function resize(file, section, size)
    return file:put(file.sections[section].at + 32, string.pack("<I8", size))
  end

  it("is refused when it is too short", function()
    local file = resize(plain(), "maps", 60)
    for _, name in ipairs({ "first", "hits", "liar", "hidden", "hidden_too" }) do
      file:put(file:symbol(name) + 16, string.pack("<I8", 12))
    end
    refused(file, "legacy map 'first': definition of 12 bytes is too short")
  end)

  it("is refused when definitions have no one size", function()
    refused(resize(plain(), "maps", 99), "section 'maps': 99 bytes are no 5 definitions of one size")
    refused(resize(plain(), "maps", 80), "legacy map 'first': its symbol has 20 bytes, a definition 16")
    refused(resize(plain(), "maps", 1 << 40), ("section 'maps' has no contents in the file"))
  end)

  it("is refused when symbols don't point at definitions", function()
    local file = plain()
    file:put(file:symbol("hits") + 8, string.pack("<I8", 24))
    refused(file, "legacy map 'hits': no definition begins at offset 24 of its section")
    file = plain()
    file:put(file:symbol("hits") + 8, string.pack("<I8", 1 << 63))
    refused(file, "legacy map 'hits': no definition begins at offset 9223372036854775808 of its section")
    file = plain()
    file:put(file:symbol("hits") + 8, string.pack("<I8", 0))
    local reason = "legacy map '%s': its definition is that of '%s' as well"
    local _, message = bpf.open({ bytes = file.bytes })
    assert.is_true(message:find(reason:format("first", "hits"), 1, true) ~= nil or
      message:find(reason:format("hits", "first"), 1, true) ~= nil, message)
    file = plain()
    file:put(file:symbol("hits"), string.pack("<I4", 0))
    refused(file, "section 'maps': a map has no name")
  end)

  it("is refused when a map of today's is no more in its section", function()
    local file = elf.read(MIXED)
    local size = file.sections[".maps"].size
    local reason = ".BTF: .maps has a variable that the object doesn't"
    refused(elf.read(MIXED):put(file:symbol("today_too") + 8, string.pack("<I8", size)), reason) -- just behind
    refused(elf.read(MIXED):put(file:symbol("today_too") + 8, string.pack("<I8", size + 8)), reason)
  end)

  it("is refused without symbols", function()
    local file = plain()
    file:put(file.sections[".symtab"].at + 4, string.pack("<I4", 1))
    refused(file, "the object has no symbols, which would name its maps")
    file = plain()
    file:put(file.sections[".symtab"].at + 56, string.pack("<I8", 8))
    refused(file, "the symbol table is damaged")
    file = plain()
    for _, name in ipairs({ "first", "hits", "liar", "hidden", "hidden_too" }) do
      file:put(file:symbol(name) + 6, string.pack("<I2", 0))
    end
    refused(file, "section 'maps' has no symbols, which would name its maps")
  end)

  it("is refused for values that make no sense", function()
    refused(plain():word("liar", 0, 0), "legacy map 'liar': its type is 0")
    refused(elf.read(IPROUTE):word("global", 6, 3), "legacy map 'global': pinning 3 is neither none, object nor global")
    refused(elf.read(IPROUTE):word("outer", 7, 43), "legacy map 'outer': no map that can be in it has id 43")
    refused(elf.read(IPROUTE):word("third", 8, 4), "legacy map 'third': inner_idx 4 is out of range for 'outer'")
    for _, idx in ipairs({ 4, 2, 0xffffffff }) do -- none, itself, far away
      refused(elf.read(KERNEL):word("array_of", 5, idx),
        ("legacy map 'array_of': inner_map_idx %d is no map that can be in it"):format(idx))
    end
    local unknown = "legacy map 'inner': non-zero bytes after map_flags, whose meaning is unknown"
    refused(elf.read(KERNEL):word("inner", 5, 1), unknown)
    refused(elf.read(KERNEL):word("inner", 6, 1), unknown)
    refused(elf.read(MIXED):word("one", 69, 1),
      "legacy map 'one': its definition has 280 bytes, of which those from 24 on are unknown")
  end)

  it("is refused when a relocation points between maps", function()
    local file = plain()
    local code, rel = file.sections["syscall"], file.sections[".relsyscall"]
    for offset = rel.offset, rel.offset + rel.size - 16, 16 do
      local where, info = string.unpack("<I8I8", file.bytes, offset + 1)
      local symbol = file.sections[".symtab"].offset + (info >> 32) * 24
      if string.unpack("B", file.bytes, symbol + 5) & 15 == 3 then -- a section's
        file:put(code.offset + where + 4, string.pack("<i4", 64))
        refused(file, "a relocation is of offset 64 of section 'maps', where no map is")
        file:put(offset, string.pack("<I8", code.size - 8))
        refused(file, "a relocation against section 'maps' is of no instruction that loads an address")
        return
      end
    end
    error("no relocation by section")
  end)

  it("is refused with damaged BTF", function()
    local file = plain()
    refused(file:put(file.sections[".BTF"].offset + 4, string.pack("<I4", 1 << 20)), ".BTF is damaged: its header")
    file = plain()
    refused(resize(file, ".BTF", 1 << 30), "section .BTF is damaged")
  end)

  it("is libbpf's to judge in another kind of file", function()
    local file = plain()
    local obj, _, code = bpf.open({ bytes = file:put(4, "\1").bytes }) -- 32 bits
    assert.is_nil(obj)
    assert.matches("^LIBBPF_ERRNO__", code)
  end)

  it("survives any of its bytes being wrong", function()
    -- in a process of its own, in case it crashes; without BTF, which libbpf before 1.3 believes
    local paths = { without_g("legacy_plain"), without_g("legacy_kernel"), without_g("legacy_iproute") }
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      local opened, failed = 0, 0
      math.randomseed(20190417)
      for path in ("%s"):gmatch("%%S+") do
        local file <close> = assert(io.open(path, "rb"))
        local good = file:read("a")
        local function try(bytes)
          local obj, message, code = bpf.open({ bytes = bytes })
          if obj then
            opened = opened + 1
            obj:close()
          else
            assert(type(message) == "string" and type(code) == "string")
            failed = failed + 1
          end
        end
        for length = 0, #good, 16 do try(good:sub(1, length)) end
        for _ = 1, 3000 do
          local at = math.random(#good)
          try(good:sub(1, at - 1) .. string.char(math.random(0, 255)) .. good:sub(at + 1))
        end
      end
      print("survived", opened, failed)
    ]]):format(table.concat(paths, " ")))
    assert.is_true(ok, output)
    local opened, failed = output:match("^survived\t(%d+)\t(%d+)\n$")
    assert.is_true(math.tointeger(opened) > 1000)
    assert.is_true(math.tointeger(failed) > 100)
  end)
end)

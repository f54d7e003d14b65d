-- SPDX-License-Identifier: MIT
-- The files that objects come from: read once, whatever they are; with section tables of every kind, and damaged ones.
local bpf = require("bpf")
local helper = require("spec.helper")
local lfs = require("lfs")

local ITERS = helper.obj("iters")

local read, write = helper.read, helper.write

-- Puts numbers in place of what is at an offset.
local function put(s, at, format, ...)
  local bytes = string.pack(format, ...)
  return s:sub(1, at) .. bytes .. s:sub(at + #bytes + 1)
end

local function get(s, at, format)
  return (string.unpack(format, s, at + 1))
end

-- Places in the header and in a section's entry, and what may be there.
local E_SHOFF <const>, E_PHNUM <const>, E_SHENTSIZE <const>, E_SHNUM <const>, E_SHSTRNDX <const> = 40, 56, 58, 60, 62
local SH_TYPE <const>, SH_FLAGS <const>, SH_OFFSET <const>, SH_SIZE <const>, SH_LINK <const>, SH_INFO <const> =
  4, 8, 24, 32, 40, 44
local SHT_PROGBITS <const>, SHT_NOBITS <const>, SHF_COMPRESSED <const> = 1, 8, 0x800

local function section(s, i, field)
  return get(s, E_SHOFF, "=I8") + i * 64 + field
end

-- What a section holds.
local function contents(s, i)
  local at = get(s, section(s, i, SH_OFFSET), "=I8")
  return s:sub(at + 1, at + get(s, section(s, i, SH_SIZE), "=I8"))
end

-- The number of the section with a name.
local function find(s, name)
  local names = contents(s, get(s, E_SHSTRNDX, "=I2"))
  for i = 1, get(s, E_SHNUM, "=I2") - 1 do
    if get(names, get(s, section(s, i, 0), "=I4"), "z") == name then
      return i
    end
  end
end

-- Gives a section other contents, behind all the others.
local function replace(s, i, bytes)
  s = s .. ("\0"):rep(-#s % 8)
  return put(s, section(s, i, SH_OFFSET), "=I8I8", #s, #bytes) .. bytes
end

-- Marks a section as compressed.
local function flagged(s, i)
  return put(s, section(s, i, SH_FLAGS), "=I8", get(s, section(s, i, SH_FLAGS), "=I8") | SHF_COMPRESSED)
end

-- Compresses a section: a header of ELF's, and a stream of zlib's with one block that is stored as it is.
local function compressed(s, i)
  local plain, a, b = contents(s, i), 1, 0
  for _, byte in ipairs { plain:byte(1, -1) } do
    a = (a + byte) % 65521
    b = (b + a) % 65521
  end
  return flagged(replace(s, i, string.pack("=I4I4I8I8", 1, 0, #plain, 1) ..
    string.pack("<BBBI2I2", 0x78, 1, 1, #plain, ~#plain & 0xffff) .. plain .. string.pack(">I2I2", b, a)), i)
end

-- Adds a section that is called as another one, with contents of its own, behind all the others.
local function doubled(s, i, bytes)
  local n = get(s, E_SHNUM, "=I2")
  local entries = s:sub(section(s, 0, 0) + 1, section(s, n, 0)) .. s:sub(section(s, i, 0) + 1, section(s, i + 1, 0))
  s = s .. ("\0"):rep(-#s % 8)
  s = put(put(s, E_SHOFF, "=I8", #s), E_SHNUM, "=I2", n + 1) .. entries
  return replace(s, n, bytes)
end

-- Has the number of sections, and that of their names, in section 0.
local function extended(s)
  local shnum, shstrndx = get(s, E_SHNUM, "=I2"), get(s, E_SHSTRNDX, "=I2")
  s = put(put(s, E_SHNUM, "=I2I2", 0, 0xffff), E_PHNUM, "=I2", 0xffff)
  s = put(put(s, section(s, 0, SH_SIZE), "=I8", shnum), section(s, 0, SH_LINK), "=I4", shstrndx)
  return put(s, section(s, 0, SH_INFO), "=I4", 0)
end

-- Makes a typedef one of itself, and the type of a map's variable. libbpf before 1.3 follows it for ever.
local function endless(s)
  local start = get(s, section(s, find(s, ".BTF"), SH_OFFSET), "=I8")
  local header, types, size, strings = get(s, start + 4, "=I4"), get(s, start + 8, "=I4"), get(s, start + 12, "=I4"),
    get(s, start + 16, "=I4")
  local after = { [1] = 4, [3] = 12, [14] = 4, [17] = 4 } -- bytes after a type of this kind, and for each of its parts
  local each = { [4] = 12, [5] = 12, [6] = 8, [13] = 8, [15] = 12, [19] = 12 }
  local place, typedef, var = {}, nil, nil
  local at = start + header + types
  while at < start + header + types + size do
    local info = get(s, at + 4, "=I4")
    local kind = info >> 24 & 31
    place[#place + 1] = at
    if kind == 8 then
      typedef = typedef or #place
    elseif kind == 15 and get(s, start + header + strings + get(s, at, "=I4"), "z") == ".maps" then
      var = get(s, at + 12, "=I4")
    end
    at = at + 12 + (after[kind] or 0) + (each[kind] or 0) * (info & 0xffff)
  end
  s = put(s, place[typedef] + 8, "=I4", typedef)
  return var and put(s, place[var] + 8, "=I4", typedef) or s
end

-- What a function makes of a path, in a process that may not end by itself: the message, or "opened".
local function open(source, fname, options)
  local output, ok, status = helper.run(("timeout %d %s -e %s"):format(20 * helper.slow, helper.LUA, helper.quote(([[
    local obj, message, code = require("bpf").%s(%q, %s)
    print(obj and "opened" or message, code)]]):format(fname or "open", source, options or "nil"))))
  assert(ok, ("status %s: %s"):format(status, output))
  return output
end

describe("an object's section table", function()
  local dir = helper.tmpdir()
  local good = read(ITERS)

  local function opens(bytes)
    return open(write(dir .. "/x.bpf.o", bytes))
  end

  it("may have its numbers in section 0, as ELF's extended numbering has them", function()
    assert.matches("^opened", opens(good))
    assert.matches("^opened", opens(extended(good)))
    assert.matches("^opened", opens(extended(read(helper.obj("legacy_mixed")))))
    local obj <close> = assert(bpf.open({ bytes = extended(good) }))
    assert.not_nil(obj.maps.elements)
  end)

  it("hides no damaged BTF, wherever its numbers are", function()
    local bad = endless(good)
    local shnum = get(bad, E_SHNUM, "=I2")
    assert.matches("a type contains itself %(LIBBPF_ERRNO__FORMAT%)", opens(bad))
    assert.matches("a type contains itself %(LIBBPF_ERRNO__FORMAT%)", opens(extended(bad)))
    -- one number of the two
    local one = put(put(bad, E_SHNUM, "=I2", 0), section(bad, 0, SH_SIZE), "=I8", shnum)
    assert.matches("a type contains itself %(LIBBPF_ERRNO__FORMAT%)", opens(one))
    local other = put(put(bad, E_SHSTRNDX, "=I2", 0xffff), section(bad, 0, SH_LINK), "=I4", get(bad, E_SHSTRNDX, "=I2"))
    assert.matches("a type contains itself %(LIBBPF_ERRNO__FORMAT%)", opens(other))
    -- an object that says nothing of its machine
    assert.matches("a type contains itself %(LIBBPF_ERRNO__FORMAT%)", opens(put(bad, 18, "=I2", 0)))
  end)

  it("is refused where it is damaged, before libbpf sees what we don't", function()
    local bad, old = endless(good), read(helper.obj("legacy_plain"))
    for what, bytes in pairs {
      ["a size of entries"] = put(bad, E_SHENTSIZE, "=I2", 63),
      ["no size of entries"] = put(bad, E_SHENTSIZE, "=I2", 0),
      ["more sections than fit"] = put(put(bad, E_SHNUM, "=I2", 0), section(bad, 0, SH_SIZE), "=I8", 1 << 32),
      ["sections without end"] = put(put(bad, E_SHNUM, "=I2", 0), section(bad, 0, SH_SIZE), "=i8", -1),
      ["no sections"] = put(put(bad, E_SHNUM, "=I2", 0), section(bad, 0, SH_SIZE), "=I8", 0),
      ["names that aren't there"] = put(bad, E_SHSTRNDX, "=I2", get(bad, E_SHNUM, "=I2")),
      ["a name outside"] = put(bad, section(bad, 2, 0), "=I4", 1 << 31),
      ["a table outside"] = put(bad, E_SHOFF, "=i8", -64),
      ["half a table"] = bad:sub(1, section(bad, 3, 0)),
      ["names that libelf inflates"] = compressed(bad, get(bad, E_SHSTRNDX, "=I2")),
      ["names of old maps that libelf inflates"] = compressed(old, get(old, E_SHSTRNDX, "=I2")),
      ["names that aren't strings"] = put(bad, section(bad, get(bad, E_SHSTRNDX, "=I2"), SH_TYPE), "=I4", SHT_PROGBITS),
    } do
      assert.matches("its section table is damaged %(LIBBPF_ERRNO__FORMAT%)\tLIBBPF_ERRNO__FORMAT", opens(bytes), what)
    end
  end)
end)

describe("an object's section .BTF", function()
  local dir = helper.tmpdir()
  local good = read(ITERS)

  it("is the only one, for libbpf takes the last", function()
    local i = find(good, ".BTF")
    for what, row in pairs {
      ["the same twice"] = { doubled(good, i, contents(good, i)), "it has more than one section %.BTF" },
      ["the good one first"] = { doubled(good, i, contents(endless(good), i)), "it has more than one section %.BTF" },
      ["the good one last"] = { doubled(endless(good), i, contents(good, i)), "it has more than one section %.BTF" },
      ["no contents"] = { put(good, section(good, i, SH_TYPE), "=I4", SHT_NOBITS), "section %.BTF is damaged" },
      ["contents outside"] = { put(good, section(good, i, SH_SIZE), "=i8", -1), "section %.BTF is damaged" },
    } do
      local path = write(dir .. "/x.bpf.o", row[1])
      for _, fname in ipairs { "open", "btf.file" } do
        assert.matches(row[2] .. " %(LIBBPF_ERRNO__FORMAT%)", open(path, fname), what)
      end
    end
  end)

  it("is the file's own bytes, compressed or not", function()
    local i = find(good, ".BTF")
    local bad = flagged(endless(good), i)
    assert.matches("a type contains itself %(LIBBPF_ERRNO__FORMAT%)", open(write(dir .. "/x.bpf.o", bad)))
    for _, fname in ipairs { "open", "btf.file" } do
      assert.matches("LIBBPF_ERRNO__FORMAT", open(write(dir .. "/x.bpf.o", compressed(good, i)), fname))
    end
  end)

  it("has no maps named by strings that libelf inflates", function()
    local old = read(helper.obj("legacy_plain"))
    local i, n = find(old, ".strtab"), get(old, E_SHNUM, "=I2")
    local own = doubled(old, i, contents(old, i)) -- no other section is named by these
    own = put(own, section(own, find(own, ".symtab"), SH_LINK), "=I4", n)
    assert.matches("^opened", open(write(dir .. "/x.bpf.o", own)))
    assert.matches("symbols' names are not in the file, or compressed %(LIBBPF_ERRNO__FORMAT%)",
      open(write(dir .. "/x.bpf.o", compressed(own, n))))
  end)
end)

describe("the BTF of option btf", function()
  local dir = helper.tmpdir()
  local externs = helper.obj("externs")

  local function loads(path)
    return open(externs, "load", ("{ btf = %q }"):format(path))
  end

  it("is looked through before libbpf reads it", function()
    require("spec.support.kernel").root()
    write(dir .. "/own.c", [[
      typedef unsigned long long wanted_t;
      struct lbpf_made_up { long a, b, c; wanted_t wanted; } it;]])
    assert(select(2, helper.run(("cd %s && clang -target bpf -g -O2 -c own.c -o own.o"):format(dir))))
    local own = read(dir .. "/own.o")
    local i, bad = find(own, ".BTF"), endless(own)
    assert.matches("^opened", loads(dir .. "/own.o"))
    for _, row in ipairs {
      { bad, "%.BTF is damaged: a type contains itself" },
      { compressed(bad, get(bad, E_SHSTRNDX, "=I2")), "neither BTF nor an ELF file .* byte order, or damaged" },
      { doubled(own, i, contents(bad, i)), "it has more than one section %.BTF" },
      { put(own, section(own, i, SH_TYPE), "=I4", SHT_NOBITS), "section %.BTF is damaged" },
    } do
      assert.matches("^object 'externs': load: option 'btf': '.*/bad.o': " .. row[2] .. " %(LIBBPF_ERRNO__FORMAT%)",
        loads(write(dir .. "/bad.o", row[1])))
    end
  end)

  it("may be any file, and what can't be looked through isn't given to libbpf", function()
    require("spec.support.kernel").root()
    assert(select(2, helper.run(("mkfifo %s/pipe"):format(dir))))
    assert.matches("^object 'externs': load: option 'btf': '.*/pipe': this is no regular file %(EINVAL%)",
      loads(dir .. "/pipe"))
    assert.matches("^object 'externs': load: .*ENOENT", loads(dir .. "/absent"))
  end)
end)

describe("a file of which much is promised", function()
  local dir = helper.tmpdir()
  local good = read(ITERS)
  local names = section(good, get(good, E_SHSTRNDX, "=I2"), SH_SIZE)
  local entries = good:sub(section(good, 0, 0) + 1, section(good, get(good, E_SHNUM, "=I2"), 0))
  local many = put(put(good, E_SHNUM, "=I2", 0), E_SHOFF, "=I8", #good) .. entries
  many = put(many, section(many, 0, SH_SIZE), "=I8", 1 << 27)

  it("is refused before memory is taken for it", function()
    local sections = "it has more sections, or longer names of them, than any compiler makes %(EFBIG%)"
    local large = "no BTF has more than 256 MiB %(EFBIG%)"
    for _, row in ipairs {
      { many, sections },
      { put(good, names, "=I8", 1 << 32), sections },
      { put(good, section(good, find(good, ".BTF"), SH_SIZE), "=I8", 1 << 29), large },
      { contents(good, find(good, ".BTF")), large },
      { "", "damaged %(LIBBPF_ERRNO__FORMAT%)" }, -- zeros without end
    } do
      local path = write(dir .. "/huge.o", row[1])
      assert(select(2, helper.run("truncate -s 16G " .. path)))
      assert.matches("File too large %(EFBIG%)", open(path))
      assert.matches("^BTF of '.*/huge.o': .*" .. row[2], open(path, "btf.file"))
      assert.matches("^object 'externs': load: option 'btf': '.*/huge.o': .*" .. row[2],
        open(helper.obj("externs"), "load", ("{ btf = %q }"):format(path)))
    end
  end)
end)

describe("an object's file", function()
  local dir = helper.tmpdir()

  it("is read once: what is checked is what is opened", function()
    local path, good, bad = dir .. "/swapped.bpf.o", dir .. "/good", dir .. "/bad"
    write(good, read(ITERS))
    write(bad, endless(read(ITERS)))
    assert(lfs.link(good, path))
    local output, ok, status = helper.run(([[cd %s
      %s -e 'local lfs = require("lfs")
        while not io.open("done") do
          for _, name in ipairs { "bad", "good" } do lfs.link(name, "new") os.rename("new", "swapped.bpf.o") end
        end' &
      LUA_CPATH="$LUA_CPATH" timeout %d %s -e 'local bpf, opened, failed = require("bpf"), 0, 0
        while opened < %d or failed < %d do
          local obj, message = bpf.open("swapped.bpf.o")
          if obj then
            assert(obj.maps.elements and obj:name() == "swapped")
            obj:close()
            opened = opened + 1
          else
            assert(message:find("a type contains itself", 1, true), message)
            failed = failed + 1
          end
        end'
      status=$?; touch done; wait; exit $status]]):format(dir, helper.LUA, 60 * helper.slow, helper.LUA,
      1500 // helper.slow, 1500 // helper.slow))
    assert(ok, ("status %s: %s"):format(status, output))
  end)

  it("gives its name to the object and its internal maps", function()
    for file, name in pairs {
      ["vars.bpf.o"] = "vars", ["no_dot"] = "no_dot", [".o"] = "", ["a.b.c.o"] = "a",
      ["longer_than_15_characters.o"] = "longer_than_15_", ["exactly_15_char.o"] = "exactly_15_char",
    } do
      local path = dir .. "/" .. file
      write(path, read(helper.obj("vars")))
      local obj <close> = assert(bpf.open(path))
      assert.equal(name, obj:name())
      assert.not_nil(rawget(obj.maps, name:sub(1, 8) .. ".bss"), file)
      local given <close> = assert(bpf.open(path, { name = "given.name" }))
      assert.equal("given.name", given:name())
      assert.not_nil(rawget(given.maps, "given.na.bss"), tostring(given.maps))
    end
  end)

  it("may be anything, and what is no object says why", function()
    assert(select(2, helper.run(("mkfifo %s/pipe && truncate -s 8T %s/huge && : >%s/empty"):format(dir, dir, dir))))
    for path, message in pairs {
      [dir .. "/pipe"] = "this is no regular file %(EINVAL%)\tEINVAL",
      ["/dev/zero"] = "this is no regular file %(EINVAL%)\tEINVAL",
      [dir] = "Is a directory %(EISDIR%)\tEISDIR",
      [dir .. "/huge"] = "File too large %(EFBIG%)\tEFBIG",
      [dir .. "/empty"] = "it is empty %(LIBBPF_ERRNO__FORMAT%)\tLIBBPF_ERRNO__FORMAT",
      [dir .. "/absent"] = "No such file or directory %(ENOENT%)\tENOENT",
      ["/proc/self/maps"] = "%(LIBBPF_ERRNO__FORMAT%)\tLIBBPF_ERRNO__FORMAT", -- its size is said to be 0
      ["README.md"] = "%(LIBBPF_ERRNO__FORMAT%)\tLIBBPF_ERRNO__FORMAT",
    } do
      local output = open(path)
      assert.matches("^open '" .. path:gsub("%p", "%%%0") .. "': ", output)
      assert.matches(message, output)
    end
  end)
end)

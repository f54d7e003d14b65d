-- SPDX-License-Identifier: MIT
-- The files that objects come from: read once, whatever they are; with section tables of every kind, and damaged ones.
local bpf = require("bpf")
local helper = require("spec.helper")
local lfs = require("lfs")

local ITERS = helper.obj("iters")

local function read(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read("a")
end

local function write(path, bytes)
  local file <close> = assert(io.open(path, "wb"))
  assert(file:write(bytes))
  return path
end

-- Puts numbers in place of what is at an offset.
local function put(s, at, format, ...)
  local bytes = string.pack(format, ...)
  return s:sub(1, at) .. bytes .. s:sub(at + #bytes + 1)
end

local function get(s, at, format)
  return (string.unpack(format, s, at + 1))
end

-- Places in the header and in a section's entry.
local E_SHOFF <const>, E_PHNUM <const>, E_SHENTSIZE <const>, E_SHNUM <const>, E_SHSTRNDX <const> = 40, 56, 58, 60, 62
local SH_OFFSET <const>, SH_SIZE <const>, SH_LINK <const>, SH_INFO <const> = 24, 32, 40, 44

local function section(s, i, field)
  return get(s, E_SHOFF, "=I8") + i * 64 + field
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
  local names = get(s, section(s, get(s, E_SHSTRNDX, "=I2"), SH_OFFSET), "=I8")
  local at, start
  for i = 1, get(s, E_SHNUM, "=I2") - 1 do
    if get(s, names + get(s, section(s, i, 0), "=I4"), "z") == ".BTF" then
      start = get(s, section(s, i, SH_OFFSET), "=I8")
    end
  end
  local header, types, size, strings = get(s, start + 4, "=I4"), get(s, start + 8, "=I4"), get(s, start + 12, "=I4"),
    get(s, start + 16, "=I4")
  local after = { [1] = 4, [3] = 12, [14] = 4, [17] = 4 } -- bytes after a type of this kind, and for each of its parts
  local each = { [4] = 12, [5] = 12, [6] = 8, [13] = 8, [15] = 12, [19] = 12 }
  local place, typedef, var = {}, nil, nil
  at = start + header + types
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
    local bad = endless(good)
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
    } do
      assert.matches("its section table is damaged %(LIBBPF_ERRNO__FORMAT%)\tLIBBPF_ERRNO__FORMAT", opens(bytes), what)
    end
  end)
end)

describe("the BTF of option btf", function()
  it("is looked through before libbpf reads it", function()
    local kernel = require("spec.support.kernel")
    kernel.root()
    local dir = helper.tmpdir()
    write(dir .. "/own.c", [[
      typedef unsigned long long wanted_t;
      struct lbpf_made_up { long a, b, c; wanted_t wanted; } it;]])
    assert(select(2, helper.run(("cd %s && clang -target bpf -g -O2 -c own.c -o own.o"):format(dir))))
    write(dir .. "/endless.o", endless(read(dir .. "/own.o")))
    local externs = helper.obj("externs")
    assert.matches("^opened", open(externs, "load", ("{ btf = %q }"):format(dir .. "/own.o")))
    assert.matches("^object 'externs': load: option 'btf': '.*/endless.o': %.BTF is damaged: a type contains itself",
      open(externs, "load", ("{ btf = %q }"):format(dir .. "/endless.o")))
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

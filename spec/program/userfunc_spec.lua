-- SPDX-License-Identifier: MIT
-- Functions of programs and libraries that uprobes are put on: which one a name means.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local attach = require("spec.support.attach")

kernel.root()

local fails = helper.fails

local PROBED <const> = attach.probed()
local COPY <const> = helper.tmpdir() .. "/copy"
local LIBC <const> = "libc.so.6"

local obj, causes

setup(function()
  obj = assert(attach.load("attach_probe", { "on_function", "on_return" }))
  causes = assert(attach.load("attach_causes", { "probe", "of_version", "of_chosen", "of_no_mark" }))
end)

teardown(function()
  obj:close()
  causes:close()
end)

before_each(function()
  obj.vars.hits = 0
end)

local read, write = helper.read, helper.write

-- Attaches the program to this process's calls alone, and calls the C library's posix_spawn once.
local function spawns(name, options)
  options = options or {}
  options.pid = 0
  local prog = options.retprobe and obj.progs.on_return or obj.progs.on_function
  local link = assert(prog:attach_uprobe(LIBC, name, options))
  assert(os.execute("true"))
  attach.close(link)
  return obj.vars.hits
end

-- On other machines the C library is younger than its second version.
local function need_versions()
  if helper.run("uname -m") ~= "x86_64\n" then
    helper.skip("needs a C library with two versions of posix_spawn, as x86_64's has")
  end
end

describe("a function with several versions", function()
  it("is the default one", function()
    assert.equal(1, spawns("posix_spawn"))
  end)

  it("is the default one where it returns", function()
    assert.equal(1, spawns("posix_spawn", { retprobe = true }))
  end)

  it("is the one that is named", function()
    need_versions()
    assert.equal(1, spawns("posix_spawn@GLIBC_2.15"))
    obj.vars.hits = 0
    assert.equal(0, spawns("posix_spawn@GLIBC_2.2.5"))
    fails("ENOENT", "'libc.so.6' [%l ]+ no function 'posix_spawn@GLIBC_1'",
      obj.progs.on_function:attach_uprobe(LIBC, "posix_spawn@GLIBC_1"))
  end)

  it("is the default one of a library with names for each, the other one by its version", function()
    kernel.need("what links of uprobes tell", "6.6")
    local library = "fuzz/corpus/elfsym/versions"
    for name, place in pairs({ twice = 0x2fb, ["twice@@V2"] = 0x2fb, ["twice@V1"] = 0x2f7, old_twice = 0x2f7,
      hidden = 0x2f4 }) do
      local link <close> = assert(obj.progs.on_function:attach_uprobe(library, name))
      assert.equal(place, link:info().offset, name)
    end
    fails("EOPNOTSUPP", "which function 'chosen' is", obj.progs.on_function:attach_uprobe(library, "chosen"))
  end)

  it("is the default one by section", function()
    local link <close> = assert(causes.progs.of_version:attach())
    assert.matches("bpf.link: attach %(of_version", tostring(link))
  end)

  it("is the default one among many", function()
    kernel.need("uprobe.multi", "6.6")
    kernel.libbpf("attach_uprobe_multi", "1.3")
    local several <close> = assert(attach.load("attach_probe", { "on_several" }))
    for _, functions in ipairs({ "posix_spawn", { "posix_spawn", "clock" } }) do
      local link <close> = assert(several.progs.on_several:attach_uprobe_multi(LIBC, functions, { pid = 0 }))
      several.vars.hits = 0
      assert(os.execute("true"))
      assert.equal(1, several.vars.hits)
      assert.equal(type(functions) == "table" and 2 or 1, link:info().count)
    end
    fails("EOPNOTSUPP", "chooses when a process starts which function 'memcpy' is",
      several.progs.on_several:attach_uprobe_multi(LIBC, { "clock", "memcpy" }))
    fails("ENOENT", "exports no function 'lbpf_nothing'",
      several.progs.on_several:attach_uprobe_multi(LIBC, { "clock", "lbpf_nothing" }))
    do -- and by section, of one that names no pattern
      local by_section <close> = assert(attach.load("attach_causes", { "of_many" }))
      local link <close> = assert(by_section.progs.of_many:attach())
      assert.equal(1, link:info().count)
    end
    fails("EINVAL", "no code is at 0x1;", several.progs.on_several:attach_uprobe_multi(LIBC, { 1 }))
  end)
end)

describe("a function that is chosen when a process starts", function()
  it("is an error that says where this process's is", function()
    local _, message, code = obj.progs.on_function:attach_uprobe(LIBC, "strlen")
    assert.equal("EOPNOTSUPP", code)
    if helper.LUA:find("libasan", 1, true) then -- has a strlen of its own, in front of the C library's
      return
    end
    local offset = message:match("chooses when a process starts which function 'strlen' is %(IFUNC%): give the name "
      .. "of the chosen one, or its offset in the file, (0x%x+) in this process %(EOPNOTSUPP%)$")
    assert.is_string(offset, message)
    local link <close> = assert(obj.progs.on_function:attach_uprobe(LIBC, math.tointeger(tonumber(offset)),
      { pid = 0 }))
    assert.is_table(os.date("*t")) -- Lua makes strings of C's
    assert.is_true(link and obj.vars.hits > 0)
  end)

  it("is an error by section", function()
    fails("EOPNOTSUPP", "program 'of_chosen': attach: .*chooses when a process starts", causes.progs.of_chosen:attach())
  end)

  it("is an error where the name stands in .symtab", function()
    fails("EOPNOTSUPP", "/probed' chooses when a process starts which function 'probed_chosen' is .*in the file %(",
      obj.progs.on_function:attach_uprobe(PROBED, "probed_chosen"))
  end)
end)

describe("a function that isn't there", function()
  it("is told from one that a stripped file may have", function()
    assert(helper.run("strip -o " .. COPY .. " " .. PROBED))
    fails("ENOENT", "'[^']*/probed' has no function 'absent' %(ENOENT%)$",
      obj.progs.on_function:attach_uprobe(PROBED, "absent"))
    assert(obj.progs.on_function:attach_uprobe(PROBED, "choose")):close() -- static
    fails("ENOENT", "/copy' exports no function 'choose', and it is stripped: it has no symbols of others; "
      .. "give the function's offset in the file", obj.progs.on_function:attach_uprobe(COPY, "choose"))
    fails("ENOENT", "has no function ''", obj.progs.on_function:attach_uprobe(PROBED, ""))
  end)

  it("is no function that imports", function()
    fails("ENOENT", "has no function 'printf'", obj.progs.on_function:attach_uprobe(PROBED, "printf"))
  end)

  it("is one of several that have the name", function()
    write(COPY, (read(PROBED):gsub("probed_first", "probed_other"):gsub("probed_other", "probed_add\0\0")))
    fails("ENOTUNIQ", "/copy' has several functions 'probed_add': give the offset of one",
      obj.progs.on_function:attach_uprobe(COPY, "probed_add"))
  end)
end)

describe("a place in a file", function()
  it("is refused where no code is, as an address may say", function()
    local address = helper.run("nm " .. PROBED):match("(%x+) T probed_add")
    local prog = obj.progs.on_function
    fails("EINVAL", "no code is at 0x100000000; an offset in the file is wanted, not an address %(EINVAL%)",
      prog:attach_uprobe(PROBED, 1 << 32))
    fails("EINVAL", "no code is at 0x4; an offset", prog:attach_uprobe(PROBED, 4)) -- the header
    assert(helper.run(("objcopy --change-addresses 0x400000 %s %s"):format(PROBED, COPY)))
    local moved = helper.run("readelf -lW " .. COPY):match("LOAD +0x%x+ 0x0*(40%x+)")
    if moved then -- binutils moves segments with their sections
      fails("EINVAL", "not an address: for this one, 0x%x+ %(",
        prog:attach_uprobe(COPY, tonumber(address, 16) + 0x400000))
    end
  end)

  it("may be in a file that is no program", function()
    write(COPY, ("\x90"):rep(8192))
    local link <close> = assert(obj.progs.on_function:attach_uprobe(COPY, 4096))
    attach.held(link)
  end)
end)

describe("a file", function()
  it("that isn't there, is a folder or something else is told so", function()
    local prog = obj.progs.on_function
    fails("ENOENT", "there is no library 'liblbpf%-nothing%.so' in the folders",
      prog:attach_uprobe("liblbpf-nothing.so", "f"))
    fails("ENOENT", "there is no program 'lbpf%-nothing' in the folders", prog:attach_uprobe("lbpf-nothing", "f"))
    fails("EISDIR", "'/': Is a directory", prog:attach_uprobe("/", "f"))
    fails("LIBBPF_ERRNO__FORMAT", "'/etc/passwd' is neither a program nor a library",
      prog:attach_uprobe("/etc/passwd", "f"))
  end)

  it("without the mark says so", function()
    fails("ENOENT", "/probed' has no USDT probe lbpf:nothing %(ENOENT%)$",
      causes.progs.of_no_mark:attach_usdt(PROBED, "lbpf", "nothing"))
    local by_section, message = causes.progs.of_no_mark:attach()
    assert.is_nil(by_section)
    assert.matches("'libc.so.6' has no USDT probe", message)
    fails("ENOENT", "/copy' has no USDT probes %(no section .note.stapsdt%)", (function()
      assert(helper.run(("objcopy -R .note.stapsdt %s %s"):format(PROBED, COPY)))
      return causes.progs.of_no_mark:attach_usdt(COPY, "lbpf", "step")
    end)())
  end)

  it("that is damaged is refused", function()
    local good = read(PROBED)
    write(COPY, good:sub(1, #good // 2)) -- the section table is at the end
    fails("LIBBPF_ERRNO__FORMAT", "or it is damaged", obj.progs.on_function:attach_uprobe(COPY, "probed_add"))
    write(COPY, good:sub(1, 40) .. ("\0"):rep(8) .. good:sub(49)) -- without a section table
    fails("ENOENT", "it is stripped", obj.progs.on_function:attach_uprobe(COPY, "probed_add"))
  end)

  -- In a process of its own, in case it crashes. What is looked for isn't there: the kernel is asked for nothing.
  it("survives any word of its tables being wrong", function()
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      local obj <close> = assert(bpf.open(%q))
      for name, prog in pairs(obj.progs) do prog:autoload(name == "probe") end
      assert(obj:load())
      local file <close> = assert(io.open(%q, "rb"))
      local good = file:read("a")
      local copy <close> = assert(io.open(%q, "wb"))
      copy:setvbuf("full", #good + 1)
      local tried, codes = 0, {}
      local function try(from, to)
        for at = from, to, 4 do
          for _, word in ipairs({ 0, 1, 9, 0x7fffffff, 0xfffffff0 }) do
            copy:seek("set", 0)
            copy:write(good:sub(1, at), string.pack("=I4", word), good:sub(at + 5, #good))
            copy:flush()
            local link, message, code = obj.progs.probe:attach_uprobe(%q, "absent@LBPF_1")
            assert(not link and message, code)
            tried = tried + 1
          end
        end
      end
      local phoff, shoff, shnum = string.unpack("=I8", good, 33), string.unpack("=I8", good, 41),
        string.unpack("=I2", good, 61)
      try(16, phoff + 13 * 56)
      try(shoff, shoff + shnum * 64 - 4)
      for i = 0, shnum - 1 do
        local kind, _, _, offset, size = string.unpack("=I4I8I8I8I8", good, shoff + 64 * i + 5)
        if kind == 2 or kind == 11 or kind >= 0x6ffffffd then
          try(offset, offset + math.min(size, 240) - 4)
        end
      end
      print("survived", tried > 1000)
    ]]):format(helper.obj("attach_causes"), PROBED, COPY, COPY))
    assert.is_true(ok, output)
    assert.equal("survived\ttrue\n", output)
  end)
end)

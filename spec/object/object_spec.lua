-- SPDX-License-Identifier: MIT
-- Compiled BPF objects: opening, configuring, loading, attaching and closing them, and what they hold.
local bpf = require("bpf")
local lfs = require("lfs")

local attach = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")

local map = bpf.map

local ABSENT = helper.absent()

local CALLS, REFUSED, PINNED = helper.obj("calls"), helper.obj("refused"), helper.obj("pinned")
local EXTERNS, PACKETS = helper.obj("externs"), helper.obj("packets")

local read, write = helper.read, helper.write

-- The id by which BPF programs know this process: not /proc's where that belongs to another PID namespace.
local function tgid()
  local obj <close> = assert(bpf.load(CALLS))
  assert(obj.progs.whoami:run())
  return obj.vars.self
end

-- Makes n system calls openat, and no others that matter.
local function call(n)
  for _ = 1, n do
    assert.is_nil(io.open(ABSENT))
  end
end

local function bump(obj, key, by)
  assert.equal(0, assert(obj.progs.bump:run({ ctx = string.pack("=I4I4", key, by) })).retval)
  return obj.vars.after
end

-- Whether the kernel still holds a program; what is freed goes after a grace period.
local function gone(id)
  return helper.eventually(function()
    local _, there = helper.run("bpftool prog show id " .. id)
    return not there
  end)
end

local function links_of(id)
  return #attach.links_of(id)
end

-- Compiles BPF C with the flags given to an object file; the name is the file's.
local function compile(name, source, flags)
  local dir = helper.tmpdir()
  write(dir .. "/" .. name .. ".bpf.c", source)
  local output, ok = helper.run(("cd %s && clang -O2 %s -idirafter /usr/include/$(uname -m)-linux-gnu -c %s.bpf.c")
    :format(dir, flags, name))
  assert(ok, output)
  return ("%s/%s.bpf.o"):format(dir, name)
end

local PLAIN = [[
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("raw_tp") int seven(void *ctx) { return 7; }
char LICENSE[] SEC("license") = "GPL";
]]

local WITH_MAP = PLAIN .. [[
struct { __uint(type, BPF_MAP_TYPE_ARRAY); __uint(max_entries, 1); __type(key, __u32); __type(value, __u32); }
table SEC(".maps");
SEC("syscall") int look(void *ctx) { __u32 key = 0; return bpf_map_lookup_elem(&table, &key) != 0; }
]]

describe("object arguments:", function()
  for _, case in ipairs({
    { "no source", "bad argument #1 to 'open'", function() bpf.open() end },
    { "a source that is no path", "bad argument #1 to 'open'", function() bpf.open(true) end },
    { "a source without bytes", "bytes = string", function() bpf.open({}) end },
    { "bytes that are no string", "bytes = string", function() bpf.open({ bytes = {} }) end },
    { "a source with anything else", "unknown option 'byte'.*bytes", function() bpf.open({ byte = "" }) end },
    { "options that are no table", "bad argument #2 to 'open'", function() bpf.open(CALLS, 1) end },
    { "an unknown option", "unknown option 'nam'.*name.*pin_root.*autoload",
      function() bpf.open(CALLS, { nam = "" }) end },
    { "a name that is no string", "option 'name'.*string", function() bpf.open(CALLS, { name = 1 }) end },
    { "a pin_root that is no string", "option 'pin_root'", function() bpf.open(CALLS, { pin_root = true }) end },
    { "a kconfig that is no string", "option 'kconfig'", function() bpf.open(CALLS, { kconfig = {} }) end },
    { "a btf that is no string", "option 'btf'", function() bpf.open(CALLS, { btf = 0 }) end },
    { "vars that are no table", "table", function() bpf.open(CALLS, { vars = 1 }) end },
    { "an unknown variable", "no variable 'nobody'.*target",
      function() bpf.open(CALLS, { vars = { nobody = 1 } }) end },
    { "a variable's value that doesn't fit", "target.*4294967296.*does not fit",
      function() bpf.open(CALLS, { vars = { target = 1 << 32 } }) end },
    { "maps that are no table", "table", function() bpf.open(CALLS, { maps = "hits" }) end },
    { "an unknown map", "no map 'hit'.*hits", function() bpf.open(CALLS, { maps = { hit = 1 } }) end },
    { "a map of no entries", "0", function() bpf.open(CALLS, { maps = { hits = 0 } }) end },
    { "a map of too many entries", "4294967296", function() bpf.open(CALLS, { maps = { hits = 1 << 32 } }) end },
    { "an unknown setting of a map", "unknown option 'entries'.*max_entries",
      function() bpf.open(CALLS, { maps = { hits = { entries = 1 } } }) end },
    { "an autoload that is no table", "table", function() bpf.open(CALLS, { autoload = false }) end },
    { "an unknown program", "no program 'run'.*bump", function() bpf.open(CALLS, { autoload = { run = false } }) end },
    { "an autoload that is no boolean", "bpf%.open: autoload%.bump must be true or false, got number",
      function() bpf.open(CALLS, { autoload = { bump = 0 } }) end },
  }) do
    it(case[1] .. " raises", function()
      helper.raises(case[3], case[2])
    end)
  end

  it("load takes the same ones", function()
    helper.raises(function() bpf.load() end, "bad argument #1 to 'load'")
    helper.raises(function() bpf.load(CALLS, { nam = "" }) end, "unknown option 'nam'")
  end)

  it("methods want an object", function()
    local obj <close> = assert(bpf.open(CALLS))
    for _, name in ipairs({ "load", "attach", "detach", "name", "close" }) do
      helper.raises(function() obj[name]("x") end, "bpf%.object expected")
      helper.raises(function() obj[name](obj.maps.hits) end, "bpf%.object expected")
    end
  end)

  it("an unknown field raises and names those there are", function()
    local obj <close> = assert(bpf.open(CALLS))
    helper.raises(function() return obj.map end, "no 'map' %(.*maps.*progs.*vars")
    helper.raises(function() return obj[1] end, "no '1'")
  end)

  it("fields can't be set", function()
    local obj <close> = assert(bpf.open(CALLS))
    assert.is_false(pcall(function() obj.maps = {} end))
  end)

  it("bpf.log wants a function", function()
    helper.raises(function() bpf.log("stderr") end, "function expected")
  end)
end)

describe("opening an object", function()
  it("takes a path and names the object after the file", function()
    local obj <close> = assert(bpf.open(CALLS))
    assert.equal("calls", obj:name())
  end)

  it("takes the bytes of a file", function()
    local obj <close> = assert(bpf.open({ bytes = read(CALLS) }))
    assert.equal("hash", map.type(obj.maps.hits))
    assert.equal(0, obj.vars.target)
  end)

  it("takes a name", function()
    local obj <close> = assert(bpf.open(CALLS, { name = "mine" }))
    assert.equal("mine", obj:name())
    local other <close> = assert(bpf.open({ bytes = read(CALLS) }, { name = "other" }))
    assert.equal("other", other:name())
  end)

  it("tells its maps, programs and variables by name", function()
    local obj <close> = assert(bpf.open(CALLS))
    local progs, maps = {}, {}
    for name, prog in pairs(obj.progs) do
      progs[#progs + 1] = name
      assert.equal(name, prog:name())
    end
    for name, m in pairs(obj.maps) do
      maps[name] = map.type(m)
    end
    table.sort(progs)
    assert.same({ "bump", "count_enter", "count_exit", "count_openat", "homeless", "whoami" }, progs)
    assert.same({ hits = "hash", slots = "array", ["calls.bss"] = "array", ["calls.rodata"] = "array" }, maps)
  end)

  it("gives the same handles every time", function()
    local obj <close> = assert(bpf.open(CALLS))
    assert.is_true(rawequal(obj.maps.hits, obj.maps.hits))
    assert.is_true(rawequal(obj.progs.bump, obj.progs.bump))
    assert.is_true(rawequal(obj.vars, obj.vars))
  end)

  it("raises for names it doesn't have, and lists those it has", function()
    local obj <close> = assert(bpf.open(CALLS))
    helper.raises(function() return obj.maps.hist end, "no map 'hist' %(maps: .*hits")
    helper.raises(function() return obj.progs.bumb end, "no program 'bumb' %(programs: .*bump")
    helper.raises(function() return obj.vars.self_ end, "no variable 'self_' %(variables: .*self")
    local plain <close> = assert(bpf.open(compile("plain", PLAIN, "-target bpf -g")))
    helper.raises(function() return plain.maps.x end, "no map 'x' %(maps: none%)")
    helper.raises(function() return plain.vars.x end, "no variable 'x' %(variables: none%)")
  end)

  it("reaches the kernel with nothing", function()
    local obj <close> = assert(bpf.open(CALLS))
    helper.raises(function() return obj.progs.bump:fd() end, "program 'bump' is not loaded; load its object first")
    helper.raises(function() return obj.progs.bump:run() end, "not loaded")
    helper.raises(function() return obj.maps.hits[1] end, "map 'hits' does not exist before its object is loaded")
    helper.raises(function() obj.maps.hits[1] = 1 end, "before its object is loaded")
    helper.raises(function() return #obj.maps.hits end, "before its object is loaded")
    helper.raises(function() return pairs(obj.maps.hits) end, "before its object is loaded")
    for _, name in ipairs({ "lookup", "update", "delete", "fd", "freeze", "pin", "next_key" }) do
      helper.raises(function() map[name](obj.maps.hits, 1, 1) end, "before its object is loaded")
    end
  end)

  it("can't attach before it is loaded", function()
    local obj <close> = assert(bpf.open(CALLS))
    helper.raises(function() obj:attach() end, "object 'calls' is not loaded; call obj:load%(%) first")
    helper.raises(function() obj.progs.count_enter:attach() end, "not loaded")
  end)
end)

describe("a loaded object", function()
  kernel.root()

  it("is loaded by load", function()
    local obj <close> = assert(bpf.open(CALLS))
    assert.is_true(obj:load())
    assert.equal(5, bump(obj, 1, 5))
  end)

  it("comes from bpf.load in one go, by path or bytes", function()
    local obj <close> = assert(bpf.load(CALLS))
    local other <close> = assert(bpf.load({ bytes = read(CALLS) }))
    assert.equal(5, bump(obj, 1, 5))
    assert.equal(6, bump(other, 1, 6))
  end)

  it("can't be loaded twice", function()
    local obj <close> = assert(bpf.load(CALLS))
    helper.raises(function() obj:load() end, "object 'calls' is loaded already")
    assert.equal(1, bump(obj, 1, 1))
  end)

  it("shares its maps with Lua at once, in both directions", function()
    local obj <close> = assert(bpf.load(CALLS))
    local hits = obj.maps.hits
    assert.is_nil(hits[7])
    assert.equal(5, bump(obj, 7, 5))
    assert.equal(5, hits[7])
    hits[7] = 100
    assert.equal(101, bump(obj, 7, 1))
    hits[7] = nil
    assert.equal(3, bump(obj, 7, 3))
    assert.equal(1, #hits)
  end)

  it("shares its variables with Lua at once, in both directions", function()
    local obj <close> = assert(bpf.load(CALLS))
    assert.equal(0, obj.vars.self)
    assert(obj.progs.whoami:run())
    local self = obj.vars.self
    assert.is_true(self > 0)
    obj.vars.self = 0
    assert.equal(0, obj.vars.self)
    assert(obj.progs.whoami:run())
    assert.equal(self, obj.vars.self)
  end)

  it("has the variables it was opened with", function()
    local obj <close> = assert(bpf.load(CALLS, { vars = { target = 4711, entered = 1 << 40 } }))
    assert.equal(4711, obj.vars.target)
    assert.equal(1 << 40, obj.vars.entered)
    assert.equal(0, obj.vars.left)
  end)

  it("has maps of the size they were opened with", function()
    local obj <close> = assert(bpf.load(CALLS, { maps = { hits = 7, slots = { max_entries = 9 } } }))
    assert.equal(7, map.info(obj.maps.hits).max_entries)
    assert.equal(9, map.info(obj.maps.slots).max_entries)
    assert.equal(9, #obj.maps.slots)
  end)

  it("has maps of the size they were given by resize, which comes too late afterwards", function()
    local obj <close> = assert(bpf.open(CALLS))
    assert.is_true(map.resize(obj.maps.hits, 3))
    assert.is_true(map.resize(obj.maps.hits, 5))
    assert(obj:load())
    assert.equal(5, map.info(obj.maps.hits).max_entries)
    local ok, message, code = map.resize(obj.maps.hits, 6)
    assert.is_nil(ok)
    assert.equal("EBUSY", code)
    assert.matches("map 'hits': resize: .*exists already %(EBUSY%)", message)
    helper.raises(function() map.resize(obj.maps.hits, 0) end, "not between 1 and 4294967295")
  end)

  it("uses an existing map in place of its own, and leaves it behind", function()
    local hits <close> = assert(map.create({ type = "hash", key = "__u32", value = "__u64", max_entries = 64 }))
    hits[1] = 10
    do
      local obj <close> = assert(bpf.load(CALLS, { maps = { hits = hits } }))
      assert.equal(15, bump(obj, 1, 5))
      assert.equal(map.info(hits).id, map.info(obj.maps.hits).id)
      assert.is_true(obj.maps.hits == hits)
    end
    assert.equal(15, hits[1])
  end)

  it("shares a map with another object", function()
    local one <close> = assert(bpf.load(CALLS))
    local two <close> = assert(bpf.load(CALLS, { maps = { hits = one.maps.hits } }))
    bump(one, 1, 1)
    assert.equal(3, bump(two, 1, 2))
    one:close()
    assert.equal(6, bump(two, 1, 3))
    assert.equal(6, two.maps.hits[1])
  end)

  it("can't use a closed map, or one that isn't there yet", function()
    local hits = assert(map.create({ type = "hash", key = "__u32", value = "__u64", max_entries = 64 }))
    map.close(hits)
    helper.raises(function() bpf.open(CALLS, { maps = { hits = hits } }) end, "closed")
    local unloaded <close> = assert(bpf.open(CALLS))
    helper.raises(function() bpf.open(CALLS, { maps = { hits = unloaded.maps.hits } }) end,
      "before its object is loaded")
  end)

  -- What the handle believes and what the kernel writes must not differ: it would write beyond the handle's buffers.
  for _, case in ipairs({
    { "larger values", [[{ type = "hash", key = "__u32", value = "struct { char s[8192]; }", max_entries = 4 }]] },
    { "larger keys", [[{ type = "hash", key = "struct { char s[400]; }", value = "__u64", max_entries = 4 }]] },
    { "more values", [[{ type = "percpu_hash", key = "__u32", value = "struct { char s[4096]; }", max_entries = 4 }]] },
  }) do
    it("survives an existing map with " .. case[1] .. " than its own", function()
      local output, ok = helper.lua(([[
        local bpf = require("bpf")
        local m = assert(bpf.map.create(%s))
        local raised, obj = pcall(bpf.load, %q, { maps = { hits = m }, autoload = { bump = false } })
        if raised and obj then
          pcall(function() return obj.maps.hits[1] end)
          pcall(function() m[{ s = "x" }] = 1 end)
          pcall(function() m[1] = { s = ("x"):rep(4096) } end)
          pcall(function() for _ in pairs(obj.maps.hits) do end end)
          pcall(function() return obj.maps.hits[1] end)
          pcall(function() obj.maps.hits[2] = 2 return obj.maps.hits[2] end)
        end]]):format(case[2], CALLS))
      assert.equal("", output)
      assert.is_true(ok)
    end)
  end

  it("leaves out programs whose autoload is off", function()
    local obj <close> = assert(bpf.load(REFUSED, { autoload = { out_of_bounds = false } }))
    assert.equal(0, assert(obj.progs.good:run()).retval)
    helper.raises(function() return obj.progs.out_of_bounds:fd() end,
      "program 'out_of_bounds' is not loaded, its autoload is off")
  end)

  it("takes autoload: true as well", function()
    local obj <close> = assert(bpf.load(REFUSED, { autoload = { out_of_bounds = false, good = true } }))
    assert.equal(0, assert(obj.progs.good:run()).retval)
  end)

  it("pins maps by name under pin_root, and finds them there again", function()
    local dir = helper.bpffs()
    for round = 1, 3 do
      local obj <close> = assert(bpf.load(PINNED, { pin_root = dir }))
      assert(obj.progs.count:run())
      assert.equal(round, obj.maps.lasting[0])
      obj.maps.passing[0] = round
    end
    local lasting <close> = assert(map.open(dir .. "/lasting"))
    assert.equal(3, lasting[0])
    assert.equal("ENOENT", select(3, map.open(dir .. "/passing")))
  end)

  it("refuses a pinned map that is another", function()
    local dir = helper.bpffs()
    local other <close> = assert(map.create({ type = "array", key = "__u32", value = "__u64", max_entries = 2 }))
    assert(map.pin(other, dir .. "/lasting"))
    local obj, message, code = bpf.load(PINNED, { pin_root = dir })
    assert.is_nil(obj)
    assert.equal("EINVAL", code)
    assert.matches("lasting", message)
  end)

  it("takes additional kernel configuration", function()
    local obj <close> = assert(bpf.load(EXTERNS, { kconfig = [[
CONFIG_LBPF_NUMBER=42
CONFIG_LBPF_BOOL=y
CONFIG_LBPF_TRISTATE=m
CONFIG_LBPF_TEXT="hello"
]] }))
    assert(obj.progs.copy:run({ ctx = ("\0"):rep(8) }))
    local vars = obj.vars
    assert.same({ 42, true, 2, ("h"):byte() }, { vars.number, vars.boolean, vars.tristate, vars.letter })
    local major, minor = kernel.version()
    assert.equal(major << 8 | minor, vars.version >> 8)
  end)

  it("takes offsets from a BTF of one's own", function()
    local obj <close> = assert(bpf.load(EXTERNS))
    assert(obj.progs.copy:run({ ctx = ("\0"):rep(8) }))
    assert.equal(0, obj.vars.exists)
    local btf = compile("btf", "struct lbpf_made_up { long a, b, c; unsigned long long wanted; } it;", "-target bpf -g")
    local other <close> = assert(bpf.load(EXTERNS, { btf = btf }))
    assert(other.progs.copy:run({ ctx = ("\0"):rep(8) }))
    assert.same({ 1, 24 }, { other.vars.exists, other.vars.offset })
  end)

  it("fails to load with a BTF that isn't there, when it needs one", function()
    local obj, message, code = bpf.load(EXTERNS, { btf = ABSENT })
    assert.is_nil(obj)
    assert.equal("ENOENT", code)
    assert.matches("object 'externs': load: ", message)
  end)
end)

describe("a map that is not to be created", function()
  it("isn't, and programs without it load", function()
    kernel.root()
    local autoload = { bump = false }
    local obj <close> = assert(bpf.load(CALLS, { maps = { hits = false, slots = true }, autoload = autoload }))
    assert.is_true(map.fd(obj.maps.slots) >= 0)
    helper.raises(function() return obj.maps.hits[1] end, "map 'hits' is not created, option 'maps' has false for it")
    local dir = helper.bpffs()
    assert(obj:pin(dir))
    assert.is_nil(map.open(dir .. "/hits"))
    assert(obj:unpin(dir))
    local ok, message, code = bpf.load(CALLS, { maps = { hits = false } })
    assert.is_nil(ok)
    assert.equal("EINVAL", code)
    assert.matches("hits", message)
  end)

  it("is none of variables", function()
    helper.raises(function() bpf.open(CALLS, { maps = { [".bss"] = false } }) end, "map")
    helper.raises(function() bpf.open(CALLS, { maps = { hits = "no" } }) end,
      "bpf%.open: maps%.hits must be an integer, a table, a map or a boolean, got string")
  end)
end)

describe("pinning an object", function()
  kernel.root()

  it("pins its maps and programs by name, and unpins them", function()
    local dir = helper.bpffs() .. "/calls"
    local obj <close> = assert(bpf.open(CALLS, { autoload = { homeless = false } }))
    helper.raises(function() obj:pin(dir) end, "object 'calls' is not loaded; call obj:load%(%) first")
    helper.raises(function() obj:unpin(dir) end, "not loaded")
    assert(obj:load())
    assert.is_true(obj:pin(dir))
    assert.same({ "bump", "calls_bss", "calls_rodata", "count_enter", "count_exit", "hits", "slots", "whoami" },
      helper.entries(dir))
    bump(obj, 1, 5)
    local hits <close> = assert(map.open(dir .. "/hits"))
    assert.equal(5, hits[1])
    local prog <close> = assert(bpf.prog.open(dir .. "/bump"))
    assert.equal(obj.progs.bump:info().id, prog:info().id)
    assert.is_true(obj:unpin(dir))
    assert.same({}, helper.entries(dir))
    local ok, message, code = obj:unpin(dir)
    assert.same({ n = 3, code = "ENOENT" }, { n = select("#", ok, message, code), code = code })
    assert.matches("^object 'calls': unpin '.*/calls/hits': ", message)
  end)

  it("pins nothing where it can't pin all", function()
    local dir = helper.bpffs()
    local obj <close> = assert(bpf.load(CALLS))
    assert(obj.progs.whoami:pin(dir .. "/whoami"))
    local ok, message, code = obj:pin(dir)
    assert.is_nil(ok)
    assert.equal("EEXIST", code)
    assert.matches("^object 'calls': pin '.*/whoami': ", message)
    assert.same({ "whoami" }, helper.entries(dir))
    assert(obj.progs.whoami:unpin(dir .. "/whoami"))
    ok, message, code = obj:pin(helper.tmpdir()) -- no bpffs
    assert.is_nil(ok)
    assert.equal("EPERM", code)
    assert.matches("^object 'calls': pin '.*': the directory is on no bpffs ", message)
  end)

  it("leaves no directory behind where it can't pin, but one that was there", function()
    local dir = helper.bpffs()
    local obj <close> = assert(bpf.load(CALLS))
    local long = dir .. "/new"
    for _, case in ipairs({
      { helper.tmpdir() .. "/new", "EPERM" },
      { helper.tmpdir() .. "/new/", "EPERM" },
      { long .. ("/"):rep(4090 - #long), "ENAMETOOLONG" }, -- with the names
      { dir .. "/none/new", "ENOENT" },
    }) do
      local ok, _, code = obj:pin(case[1])
      assert.same({ n = 2, nil, case[2] }, { n = 2, ok, code })
      assert.is_nil(lfs.attributes((case[1]:gsub("/+$", ""))), case[1])
    end
    local there = helper.tmpdir()
    assert.is_nil((obj:pin(there)))
    assert.same({}, helper.entries(there))
    assert.equal("directory", lfs.attributes(there, "mode"))
  end)

  it("leaves no directory behind when maps can't be pinned by name while it is loaded", function()
    local path = helper.tmpdir() .. "/new"
    local obj, message, code = bpf.load(PINNED, { pin_root = path })
    assert.same({ n = 2, nil, "EINVAL" }, { n = 2, obj, code })
    assert.matches("is not on BPF FS", message)
    assert.is_nil(lfs.attributes(path))
    path = helper.bpffs() .. "/new"
    do
      local other <close> = assert(bpf.open(PINNED, { pin_root = path }))
      assert(other:load())
    end
    assert.same({ "lasting" }, helper.entries(path))
  end)

  local function new_map_id()
    local m <close> = assert(map.create({ type = "hash", key = 4, value = 4, max_entries = 1 }))
    return map.info(m).id
  end

  local function filter()
    local obj = assert(attach.load("forked", { "by_socket" }))
    return obj, obj.progs.by_socket:info().id
  end

  -- Brings the numbers of maps and programs together, each of which the kernel counts for itself; whether it could.
  local function level()
    local obj <close>, prog = filter() -- luacheck: ignore
    local newest = new_map_id()
    if prog < newest - 500000 // helper.slow then
      return false
    end
    for _ = prog, newest do
      bpf.features.prog_type("socket_filter") -- loads one, and is quick
    end
    while newest < prog do
      newest = new_map_id()
    end
    return true
  end

  -- Returns an object, and one with a socket filter that has the type number and the id of a map in the first; nothing
  -- where the numbers are too far apart. Others take numbers meanwhile, and an object takes several: so it looks among
  -- many filters.
  local function twins()
    while level() do
      local filters, last = {}
      for _ = 1, 64 do
        local obj, id = filter()
        filters[id], last = obj, id
      end
      local obj, id
      repeat
        if obj then
          obj:close()
        end
        for _ = 1, math.random(0, 3) do
          new_map_id()
        end
        obj = assert(bpf.load(CALLS))
        id = map.info(obj.maps.hits).id
      until filters[id] or id > last
      local twin = filters[id]
      filters[id] = nil
      for _, unused in pairs(filters) do
        unused:close()
      end
      if twin then
        return obj, twin
      end
      obj:close()
    end
  end

  it("unpins nothing of another kind that has the same type number and the same id", function()
    local first, second = twins()
    if not first then
      helper.skip("the ids of maps and programs are too far apart by now")
    end
    local obj <close> = first
    local other <close> = second
    local dir = helper.bpffs()
    assert(other.progs.by_socket:pin(dir .. "/hits"))
    local ok, message, code = obj:unpin(dir)
    assert.same({ n = 2, nil, "EINVAL" }, { n = 2, ok, code })
    assert.matches("unpin '.*/hits'", message)
    assert.same({ "hits" }, helper.entries(dir))
    assert(other.progs.by_socket:unpin(dir .. "/hits"))
  end)

  it("keeps what is pinned when it is closed", function()
    local dir = helper.bpffs()
    local obj = assert(bpf.load(CALLS))
    assert(obj:pin(dir))
    obj.maps.hits[7] = 8
    obj:close()
    helper.raises(function() obj:pin(dir) end, "object 'calls' is closed")
    local hits <close> = assert(map.open(dir .. "/hits"))
    assert.equal(8, hits[7])
  end)
end)

describe("attaching an object", function()
  kernel.root()

  it("attaches every program by its section, and they see this process's system calls", function()
    local obj <close> = assert(bpf.load(CALLS, { vars = { target = tgid() }, autoload = { count_openat = true } }))
    local vars = obj.vars
    call(10)
    assert.same({ 0, 0, 0 }, { vars.entered, vars.left, vars.traced })
    assert.is_true(obj:attach())
    local entered, left, traced = vars.entered, vars.left, vars.traced
    call(100)
    assert.equal(100, vars.traced - traced)
    assert.is_true(vars.entered - entered >= 100)
    assert.is_true(vars.left - left >= 100)
    assert.is_true(vars.entered - entered < 200)
  end)

  it("filters by the constant that was set before loading", function()
    local obj <close> = assert(bpf.load(CALLS, { vars = { target = 0x7fffffff }, autoload = { count_openat = true } }))
    assert(obj:attach())
    call(100)
    assert.same({ 0, 0, 0 }, { obj.vars.entered, obj.vars.left, obj.vars.traced })
  end)

  it("leaves out programs whose autoload is off", function()
    local obj <close> = assert(bpf.load(CALLS, {
      vars = { target = tgid() }, autoload = { count_exit = false, count_openat = true },
    }))
    assert(obj:attach())
    call(10)
    assert.equal(10, obj.vars.traced)
    assert.equal(0, obj.vars.left)
  end)

  it("fails if the sections of all programs name no place", function()
    local obj <close> = assert(bpf.programs {
      filter = { "xdp", function() return 2 end }, mark = { "tc", function() return 0 end },
    })
    helper.fails("EOPNOTSUPP", "^object 'lua': attach: nothing was attached, because the sections of 'filter', " ..
      "'mark' name no place: attach each by the method for its type", obj:attach())
    obj.progs.filter:autoattach(false)
    obj.progs.mark:autoattach(false)
    assert.same({ true }, { obj:attach() })
  end)

  it("names the programs whose sections name no place, if others do", function()
    local obj <close> = assert(bpf.programs {
      filter = { "xdp", function() return 2 end }, enter = { "raw_tp/sys_enter", function() return 0 end },
    })
    assert.same({ true, { "filter" } }, { obj:attach() })
    obj.progs.filter:autoattach(false)
    assert(obj:detach())
    assert.same({ true }, { obj:attach() })
  end)

  it("is undone by detach, and can be done again", function()
    local obj <close> = assert(bpf.load(CALLS, { vars = { target = tgid() }, autoload = { count_openat = true } }))
    assert(obj:attach())
    call(1)
    attach.detach(obj)
    local entered, traced = obj.vars.entered, obj.vars.traced
    assert.equal(1, traced)
    call(10)
    assert.same({ entered, traced }, { obj.vars.entered, obj.vars.traced })
    assert.is_true(obj:detach())
    assert(obj:attach())
    call(10)
    assert.equal(traced + 10, obj.vars.traced)
  end)

  it("is undone for every program when one fails", function()
    local obj <close> = assert(kernel.load(PACKETS))
    kinds.program(obj, "on_nothing")
    local ok, message, code = obj:attach()
    assert.is_nil(ok)
    assert.equal("ENOENT", code)
    assert.matches("program 'on_nothing'", message)
    assert.is_true(attach.detached(obj.progs.first_argument:info().id))
  end)

  it("leaves links alone that were made before it failed", function()
    local obj <close> = assert(kernel.load(PACKETS))
    local link = assert(obj.progs.first_argument:attach())
    assert.is_nil(obj:attach())
    local id = obj.progs.first_argument:info().id
    assert.is_true(helper.eventually(function() return links_of(id) == 1 end)) -- the other one is gone
    assert.is_number(link:fd())
  end)
end)

describe("object errors:", function()
  local function fails(code, pattern, ...)
    local obj, message, got = bpf.open(...)
    assert.is_nil(obj)
    assert.equal(code, got)
    assert.matches(pattern, message)
    assert.matches("%(" .. code .. "%)$", message)
  end

  it("a missing file is ENOENT", function()
    fails("ENOENT", "^open '[^']*/absent': No such file or directory %(ENOENT%)$", ABSENT)
  end)

  it("an empty file is no object", function()
    local path = write(helper.tmpdir() .. "/empty.bpf.o", "")
    local obj, message, code = bpf.open(path)
    assert.is_nil(obj)
    assert.is_string(code)
    assert.matches("empty", message)
    obj, message, code = bpf.open({ bytes = "" })
    assert.is_nil(obj)
    assert.is_string(code)
    assert.matches("^open 'spec/object/object_spec.lua:%d+': ", message)
  end)

  it("a directory is no object, and isn't kept open", function()
    local output = helper.lua([[
      local bpf = require("bpf")
      local obj, message, code = bpf.open("spec")
      assert(obj == nil and message:find("^open 'spec': ") and type(code) == "string")
      os.execute("ls -l /proc/$PPID/fd | grep 'spec$'")
    ]])
    assert.equal("", output)
  end)

  it("text is no object", function()
    fails("LIBBPF_ERRNO__FORMAT", "open 'spec/object/object_spec.lua'", "spec/object/object_spec.lua")
    fails("LIBBPF_ERRNO__FORMAT", "open 'spec/object/object_spec%.lua:%d+': ", { bytes = ("text "):rep(1000) })
  end)

  it("an ELF for another machine is no object", function()
    fails("LIBBPF_ERRNO__FORMAT", "open '/bin/true': ", "/bin/true")
  end)

  it("an object of the other byte order is told as that", function()
    local other = string.pack("=I2", 1) == "\1\0" and "bpfeb" or "bpfel"
    fails("LIBBPF_ERRNO__ENDIAN", "endian", compile("other", WITH_MAP, "-g -target " .. other))
  end)

  it("an object whose maps have no BTF says that it lacks BTF", function()
    local obj, message, code = bpf.open(compile("bare", WITH_MAP, "-target bpf"))
    assert.is_nil(obj)
    assert.is_string(code)
    assert.matches("BTF", message)
  end)

  it("an object without BTF and maps does without", function()
    kernel.root()
    local obj <close> = assert(bpf.load(compile("bare", PLAIN, "-target bpf")))
    assert.equal(7, assert(obj.progs.seven:run()).retval)
    assert.is_nil(next(obj.maps))
  end)

  it("pass from bpf.load", function()
    local obj, message, code, log = bpf.load(ABSENT)
    assert.same({ nil, "ENOENT", nil }, { obj, code, log })
    assert.matches("open '[^']*/absent'", message)
  end)

  describe("the verifier", function()
    kernel.root()

    it("is quoted: its telling line in the message, its whole log as a fourth value", function()
      local obj <close> = assert(bpf.open(REFUSED))
      local ok, message, code, log = obj:load()
      assert.is_nil(ok)
      assert.equal("EACCES", code)
      assert.matches("object 'refused': load: prog 'out_of_bounds' refused by the verifier: .*memory", message)
      assert.is_nil(message:find("\n"))
      assert.matches("invalid access to map value, value_size=16 off=40 size=8", log, 1, true)
      assert.matches("%-%- BEGIN PROG LOAD LOG %-%-\n.*\nprocessed %d+ insns.*%-%- END PROG LOAD LOG %-%-", log)
    end)

    it("says that a loop has no end, which the verifier's state follows", function()
      local obj = assert(bpf.open(REFUSED, { autoload = { out_of_bounds = false, endless = true } }))
      local _, message, _, log = obj:load()
      local place = kernel.before("6.9") and "" or " @ refused.bpf.c:%d+"
      assert.matches("refused by the verifier: .*infinite loop detected at insn %d+; source: for %(;;%)" .. place
        .. " %(EINVAL%)$", message)
      assert.matches("infinite loop detected", log)
    end)

    it("of an option that isn't there names the function that was called", function()
      helper.raises(function() bpf.load(CALLS, { nonsense = 1 }) end, "bpf%.load: unknown option 'nonsense'")
      helper.raises(function() bpf.open(CALLS, { nonsense = 1 }) end, "bpf%.open: unknown option 'nonsense'")
    end)

    it("is quoted by bpf.load as well", function()
      local obj, message, code, log = bpf.load(REFUSED)
      assert.same({ nil, "EACCES" }, { obj, code })
      assert.matches("refused by the verifier", message)
      assert.matches("processed %d+ insns", log)
    end)

    it("writes nothing to the script's outputs", function()
      local output, ok = helper.lua(([[
        local bpf = require("bpf")
        local obj, _, code = bpf.load(%q)
        assert(obj == nil and code == "EACCES")
        assert(not bpf.open("/bin/true"))
        assert(not bpf.open({ bytes = "" }))
      ]]):format(REFUSED))
      assert.equal("", output)
      assert.is_true(ok)
    end)

    it("leaves a closed object, which can be opened again", function()
      local obj = assert(bpf.open(REFUSED))
      local pair, good, vars = obj.maps.pair, obj.progs.good, obj.vars
      assert.is_nil(obj:load())
      assert.equal("bpf.object: refused (closed)", tostring(obj))
      helper.raises(function() obj:load() end, "object 'refused' is closed")
      helper.raises(function() return pair[0] end, "map 'pair' is closed")
      helper.raises(function() good:run() end, "program 'good': its object is closed")
      helper.raises(function() return vars.x end, "closed")
      assert.is_true(obj:close())
      local again <close> = assert(bpf.load(REFUSED, { autoload = { out_of_bounds = false } }))
      assert.equal(0, assert(again.progs.good:run()).retval)
    end)
  end)

  it("a lack of privileges is EPERM, and a capability is named as a possible cause", function()
    kernel.root()
    local output = helper.run(("setpriv --bounding-set=-all --inh-caps=-all %s -e %s"):format(helper.LUA,
      helper.quote(([[print(select(2, require("bpf").load(%q)))]]):format(CALLS))))
    assert.matches("object 'calls': load: .*perhaps CAP_BPF.*%(EPERM%)\tEPERM", output)
  end)
end)

describe("an object's lifetime:", function()
  kernel.root()

  it("tostring tells the state", function()
    local obj = assert(bpf.open(CALLS))
    assert.equal("bpf.object: calls (4 maps, 6 programs, not loaded)", tostring(obj))
    assert(obj:load())
    assert.equal("bpf.object: calls (4 maps, 6 programs, loaded)", tostring(obj))
    obj:close()
    assert.equal("bpf.object: calls (closed)", tostring(obj))
    assert.equal("calls", obj:name())
  end)

  it("closing twice is fine, loaded or not", function()
    for _, open in ipairs({ bpf.open, bpf.load }) do
      local obj <close> = assert(open(CALLS))
      assert.is_true(obj:close())
      assert.is_true(obj:close())
    end
  end)

  it("methods of a closed object raise", function()
    local obj = assert(bpf.load(CALLS))
    obj:close()
    for _, name in ipairs({ "load", "attach", "detach" }) do
      helper.raises(function() obj[name](obj) end, "object 'calls' is closed")
    end
  end)

  it("what belonged to a closed object raises", function()
    local obj = assert(bpf.load(CALLS))
    local hits, bump_, vars = obj.maps.hits, obj.progs.bump, obj.vars
    local link = assert(obj.progs.count_enter:attach())
    obj:close()
    helper.raises(function() return hits[1] end, "map 'hits' is closed")
    helper.raises(function() hits[1] = 1 end, "map 'hits' is closed")
    helper.raises(function() return pairs(hits) end, "map 'hits' is closed")
    helper.raises(function() map.resize(hits, 2) end, "map 'hits' is closed")
    helper.raises(function() map.typed(hits) end, "map 'hits' is closed")
    helper.raises(function() return vars.self end, "the object of these variables is closed")
    helper.raises(function() vars.self = 1 end, "the object of these variables is closed")
    helper.raises(function() return pairs(vars) end, "the object of these variables is closed")
    for _, name in ipairs({ "run", "fd", "info", "attach", "section", "type", "autoload" }) do
      helper.raises(function() bump_[name](bump_) end, "program 'bump': its object is closed")
    end
    helper.raises(function() link:fd() end, "link is closed")
    assert.is_true(link:close())
    assert.is_true(map.close(hits))
    assert.equal("bpf.map: hits (closed)", tostring(hits))
    assert.equal("bpf.prog: bump (closed)", tostring(bump_))
    assert.matches("closed", tostring(vars))
    assert.matches("closed", tostring(link))
    assert.equal("bump", bump_:name())
  end)

  it("a map closed on its own leaves the object as it was", function()
    local obj <close> = assert(bpf.load(CALLS))
    map.close(obj.maps.hits)
    helper.raises(function() return obj.maps.hits[1] end, "map 'hits' is closed")
    assert.equal(5, bump(obj, 1, 5))
    assert.is_true(obj:close())
  end)

  it("a map closed before the load leaves the rest usable", function()
    local obj <close> = assert(bpf.open(CALLS))
    map.close(obj.maps.hits)
    assert(obj:load())
    assert.equal(5, bump(obj, 1, 5))
    helper.raises(function() return obj.maps.hits[1] end, "map 'hits' is closed")
  end)

  it("a map keeps its object", function()
    local hits = assert(bpf.load(CALLS)).maps.hits
    collectgarbage()
    collectgarbage()
    hits[1] = 5
    assert.equal(5, hits[1])
  end)

  it("a program keeps its object", function()
    local whoami = assert(bpf.load(CALLS)).progs.whoami
    collectgarbage()
    collectgarbage()
    assert.equal(0, assert(whoami:run()).retval)
  end)

  it("the variables keep their object", function()
    local vars = assert(bpf.load(CALLS)).vars
    collectgarbage()
    collectgarbage()
    vars.entered = 5
    assert.equal(5, vars.entered)
  end)

  it("a walk over variables or a map keeps the object", function()
    local step, vars, name = pairs(assert(bpf.load(CALLS)).vars)
    local next_entry, hits, key = pairs((function()
      local m = assert(bpf.load(CALLS)).maps.hits
      m[1] = 2
      return m
    end)())
    collectgarbage()
    collectgarbage()
    assert.is_string((step(vars, name)))
    assert.same({ 1, 2 }, { next_entry(hits, key) })
  end)

  it("scripts that spoil its tables spoil nothing else", function()
    local obj = assert(bpf.load(CALLS))
    local hits = obj.maps.hits
    obj.maps.hits = nil
    obj.maps.other = "x"
    for name in pairs(obj.progs) do
      obj.progs[name] = nil
    end
    assert(obj:attach())
    obj:close()
    helper.raises(function() return hits[1] end, "map 'hits' is closed")
  end)

  it("closing it while it is attached detaches it", function()
    local obj = assert(bpf.load(CALLS, { vars = { target = tgid() }, autoload = { count_openat = true } }))
    assert(obj:attach())
    local ids = {}
    for _, name in ipairs({ "count_enter", "count_exit", "count_openat" }) do
      ids[#ids + 1] = obj.progs[name]:info().id
    end
    assert.same({ 1, 1 }, { links_of(ids[1]), links_of(ids[2]) })
    obj:close()
    for _, id in ipairs(ids) do
      assert.is_true(attach.detached(id))
      assert.is_true(gone(id))
    end
  end)

  it("leaving the scope detaches it, by an error too", function()
    local id
    helper.raises(function()
      local obj <close> = assert(bpf.load(CALLS))
      assert(obj:attach())
      id = obj.progs.count_enter:info().id
      error("out of here")
    end, "out of here")
    assert.is_true(attach.detached(id))
    assert.is_true(gone(id))
  end)

  it("being collected detaches it", function()
    local id
    do
      local obj = assert(bpf.load(CALLS))
      assert(obj:attach())
      id = obj.progs.count_enter:info().id
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(attach.detached(id))
    assert.is_true(gone(id))
  end)

  it("the end of the script detaches it", function()
    local output = helper.lua(([[
      local bpf = require("bpf")
      obj = assert(bpf.load(%q))
      assert(obj:attach())
      io.write(obj.progs.count_enter:info().id)
    ]]):format(CALLS))
    local id = math.tointeger(output)
    assert.equal("integer", math.type(id), output)
    assert.is_true(attach.detached(id))
    assert.is_true(gone(id))
  end)

  it("a finalizer that closes it in the middle of a read does no harm", function()
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      for round = 1, 200 do
        local obj = assert(bpf.load(%q))
        local vars = obj.vars
        setmetatable({}, { __gc = function() obj:close() end })
        repeat
          local read = pcall(function() return vars.shape, vars.grid, vars.text end)
        until not read
      end
      print("survived")
    ]]):format(helper.obj("vars")))
    assert.equal("survived\n", output)
    assert.is_true(ok)
  end)
end)

describe("object leaks:", function()
  kernel.root()

  local function descriptors()
    return (select(2, helper.run(("ls -l /proc/%d/fd"):format(helper.pid)):gsub("anon_inode:", "")))
  end

  it("no descriptor is left by any failure", function()
    collectgarbage()
    collectgarbage()
    local before = descriptors()
    for _ = 1, 20 do
      assert.is_nil(bpf.load(REFUSED))
      assert.is_nil(bpf.open("/bin/true"))
      assert.is_nil(bpf.open({ bytes = "x" }))
      assert.is_false(pcall(bpf.open, CALLS, { vars = { nobody = 1 } }))
      local obj <close> = assert(kernel.load(PACKETS))
      assert.is_nil(obj:attach())
    end
    collectgarbage()
    collectgarbage()
    assert.is_true(descriptors() <= before) -- what earlier tests left to the collector may go meanwhile
  end)

  it("a failed load keeps nothing until the collector comes", function()
    collectgarbage()
    collectgarbage()
    collectgarbage("stop")
    local before = descriptors()
    assert.is_nil(bpf.load(REFUSED))
    local after = descriptors()
    collectgarbage("restart")
    assert.equal(before, after)
  end)
end)

describe("object interop:", function()
  kernel.root()

  it("bpftool knows its programs and maps by their names", function()
    local obj <close> = assert(bpf.load(CALLS))
    local shown = helper.run("bpftool prog show id " .. obj.progs.bump:info().id)
    assert.matches("raw_tracepoint  name bump", shown)
    shown = helper.run("bpftool map show id " .. map.info(obj.maps.hits).id)
    assert.matches("hash  name hits", shown)
    assert.matches("max_entries 64", shown)
  end)

  it("bpftool reads what Lua wrote, and the other way round", function()
    local dir = helper.bpffs()
    local obj <close> = assert(bpf.load(PINNED, { pin_root = dir }))
    obj.maps.lasting[1] = 0x01020304
    assert.matches('"value": 16909060', (helper.run("bpftool map dump pinned " .. dir .. "/lasting")))
    helper.run("bpftool map update pinned " .. dir .. "/lasting key 0 0 0 0 value 42 0 0 0")
    assert.equal(42, obj.maps.lasting[0])
  end)
end)

describe("bpf.log", function()
  teardown(function()
    bpf.log(nil)
  end)

  local function lines_of(fn)
    local lines = {}
    bpf.log(function(...)
      assert(select("#", ...) == 1)
      lines[#lines + 1] = ...
    end)
    fn()
    bpf.log(nil)
    return lines
  end

  it("hears libbpf's lines, one by one and without their ends", function()
    local lines = lines_of(function() assert.is_nil(bpf.open("/bin/true")) end)
    assert.is_true(#lines >= 1)
    for _, line in ipairs(lines) do
      assert.is_nil(line:find("\n"))
      assert.is_nil(line:find("^libbpf: "))
    end
    assert.matches("/bin/true", table.concat(lines, "\n"), 1, true)
  end)

  it("hears the verifier's log too", function()
    kernel.root()
    local text = table.concat(lines_of(function() assert.is_nil(bpf.load(REFUSED)) end), "\n")
    assert.matches("invalid access to map value", text, 1, true)
  end)

  it("hears nothing once it is taken away", function()
    local n = 0
    bpf.log(function() n = n + 1 end)
    bpf.log()
    assert.is_nil(bpf.open("/bin/true"))
    assert.equal(0, n)
  end)

  it("may call libbpf itself", function()
    local seen = 0
    local lines = lines_of(function()
      bpf.log(function()
        seen = seen + 1
        if seen == 1 then
          assert.is_nil(bpf.open("/bin/true"))
        end
      end)
      local obj, message, code = bpf.open({ bytes = ("x"):rep(100) })
      assert.same({ nil, "LIBBPF_ERRNO__FORMAT" }, { obj, code })
      assert.matches("open 'spec/object/object_spec.lua:%d+'", message)
    end)
    assert.same({}, lines)
    assert.is_true(seen >= 2)
  end)

  it("lets its errors through, and the next call works", function()
    bpf.log(function() error("no logs, please") end)
    helper.raises(function() bpf.open("/bin/true") end, "no logs, please")
    bpf.log(nil)
    local obj <close> = assert(bpf.open(CALLS))
    assert.equal("calls", obj:name())
  end)

  it("leaves the process's own outputs alone", function()
    local output = helper.lua([[
      local bpf = require("bpf")
      bpf.log(function(line) io.stdout:write("heard: ", line, "\n") end)
      bpf.open("/bin/true")
    ]])
    assert.is_true(#output > 0)
    for line in output:gmatch("[^\n]+") do
      assert.matches("^heard: ", line)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- What a script gets for wrong arguments, wherever it puts them: an error that names a line of the script.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local read = helper.read

local COUNTERS <const>, VARS <const> = helper.obj("counters"), helper.obj("vars")

describe("misuse", function()
  it("of everything a script can reach raises an error with its place, and never ends the process", function()
    kernel.root()
    kernel.need("links of raw tracepoints", "5.8")
    local dir = helper.tmpdir() -- some of the arguments are names of files
    local output, ok, status = helper.run(([[root=$PWD; cd %s && exec unshare --net env LUA_PATH="$LUA_PATH" \
      %s "$root/spec/support/misuse.lua" %s/record "$root/build/progs" 2>%s/errors]]):format(dir, helper.LUA, dir, dir))
    local last = read(dir .. "/record"):match("([^\n]*)\n*$")
    assert(ok, ("status %d in %s: %s"):format(status, last, read(dir .. "/errors")))
    local calls, raised = output:match("\n?%d+ functions, (%d+) calls, (%d+) raised\n$")
    assert(calls, output)
    assert.equal(("%s raised"):format(raised), output:match("[^\n]* (%d+ raised)\n$"))
    assert.is_nil(output:match("no %l+: [^\n]*"))
    assert(tonumber(calls) > 50000, "only " .. calls .. " calls")
  end)

  it("can't get at the metamethods of a handle, or of what an object holds", function()
    local obj <close> = assert(bpf.open(helper.obj("counters")))
    for what, value in pairs { object = obj, maps = obj.maps, progs = obj.progs, vars = obj.vars, bpf = bpf,
      program = obj.progs.count, type = bpf.btf.type("int") } do
      assert.equal(false, getmetatable(value), what)
      if type(value) == "table" then
        helper.raises(function() setmetatable(value, nil) end, "protected metatable")
        assert.equal(tostring(value), bpf.inspect(value, { text = true }))
      end
    end
  end)
end)

describe("the place of an error", function()
  local HERE <const> = "^" .. debug.getinfo(1, "S").short_src:gsub("%p", "%%%0") .. ":%d+: "

  local function misuses(name, fn)
    it("is the script's line: " .. name, function()
      kernel.root()
      helper.raises(fn, HERE)
    end)
  end

  local function ring(type)
    return assert(bpf.map.create { type = type or "ringbuf", max_entries = 4096 })
  end

  local function array()
    return assert(bpf.map.create { type = "array", max_entries = 1, value = "u32", flags = "mmapable" })
  end

  local function open(options)
    local _ <close> = assert(bpf.open(helper.obj("vars"), options))
  end

  misuses("map.typed", function() bpf.map.typed(array(), nil, "struct nosuch") end)
  misuses("map.view", function() bpf.map.view(array(), "struct {") end)
  misuses("map.create", function()
    bpf.map.create { type = "hash", max_entries = 1, key = "struct {", value = "u32" }
  end)
  misuses("map.create, the inner map", function()
    bpf.map.create { type = "array_of_maps", max_entries = 1, inner = { type = "nosuch" } }
  end)
  misuses("map.update_batch from a map", function() bpf.map.update_batch(array(), ring()) end)
  misuses("pairs", function() pairs(ring()) end)
  misuses("table.unpack, which looks up", function()
    local m = bpf.map.create { type = "hash", key = "struct { int a; }", value = "u32", max_entries = 1 }
    table.unpack(m, 0, 1)
  end)
  misuses("ringbuf", function() bpf.ringbuf(ring(), "struct nosuch") end)
  misuses("btf:type", function()
    local btf <close> = assert(bpf.btf.parse("struct here { int a; };"))
    btf:type("struct nosuch")
  end)
  misuses("btf:print", function()
    local btf <close> = assert(bpf.btf.parse("struct here { int a; };"))
    btf:print("struct nosuch")
  end)
  misuses("bpf.open, a variable", function() open { vars = { nosuch = 1 } } end)
  misuses("bpf.open, a map", function() open { maps = { nosuch = 1 } } end)
  misuses("bpf.open, a map's setting", function() open { maps = { [".bss"] = {}, nosuch = { max_entries = "x" } } } end)
  misuses("bpf.open, a map's entries", function() open { maps = { ["vars.bss"] = 0 } } end)
  misuses("bpf.open, a program", function() open { autoload = { nosuch = true } } end)
  misuses("a getfd that raises", function()
    local obj <close> = assert(bpf.load(helper.obj("counters")))
    obj.progs.count:attach_socket(bpf.map.view(array(), "u32"))
  end)
  misuses("hist.bar", function() bpf.hist.bar() end)
  misuses("hist.log2", function() bpf.hist.log2() end)
  misuses("symbols.text", function() bpf.symbols.text() end)
  misuses("metrics:text", function() bpf.metrics.new():text("x") end)

  it("is the script's line where a C function such as pcall calls, and an option is no argument", function()
    kernel.root()
    local obj <close> = assert(bpf.load(helper.obj("counters")))
    local prog = obj.progs.count
    local wrong = { -- not a word of arguments that aren't there
      { "attach_iter: option 'tid' must be an integer from 1 to 2147483647, got 0", prog.attach_iter, prog,
        { tid = 0 } },
      { "attach_iter: option 'tid' must be an integer from 1 to 2147483647, got string", prog.attach_iter, prog,
        { tid = "x" } },
      { "event: option 'type' must be an integer, got 1.5", prog.attach_perf_event, prog, { type = 1.5, config = 0 } },
      { "event: option 'config' must be a name or an integer, got table", prog.attach_perf_event, prog,
        { type = 1, config = {} } },
      { "event: option 'config' must be an integer, got 1.5", prog.attach_perf_event, prog,
        { type = 1, config = 1.5 } },
      { "map.create: option 'max_entries' must be an integer from 0 to 4294967295, got -1", bpf.map.create,
        { type = "hash", max_entries = -1, key = "__u32", value = "__u32" } },
      { "flags must be a name or a sequence of names, got number", bpf.map.update, array(), 0, 0, 7 },
      { "flag 'no' is unknown", bpf.map.update, array(), 0, 0, "no" },
      { "unknown option 'x'", prog.attach_xdp, prog, "lo", { x = 1 } },
      { "bpf.open: maps.nosuch: the object has no map 'nosuch' (maps: ", bpf.open, COUNTERS,
        { maps = { nosuch = 1 } } },
      { "bpf.load: maps.events must have from 1 to 4294967295 entries, not 0", bpf.load, COUNTERS,
        { maps = { events = 0 } } },
      { "bpf.load: maps.events must be an integer, a table, a map or a boolean, got string", bpf.load, COUNTERS,
        { maps = { events = "many" } } },
      { "bpf.open: maps.events: option 'max_entries' must be an integer from 0 to 4294967295, got string",
        bpf.open, COUNTERS, { maps = { events = { max_entries = "x" } } } },
      { "bpf.open: option 'maps' must be a table, got number", bpf.open, COUNTERS, { maps = 1 } },
      { "bpf.open: vars.nosuch: there is no variable 'nosuch'", bpf.open, COUNTERS, { vars = { nosuch = 1 } } },
      { "bpf.open: vars.numbers[2]: 4294967296 does not fit in ", bpf.open, VARS,
        { vars = { numbers = { 1, 1 << 32 } } } },
      { 'bpf.open: maps["vars.bss"]: autocreate can\'t be set, it holds the object\'s variables, and is created with ',
        bpf.open, VARS, { maps = { ["vars.bss"] = false } } },
      { "bpf.load: autoload.count must be true or false, got number", bpf.load, COUNTERS,
        { autoload = { count = 1 } } },
      { "bad argument #1 to 'bpf.open' (string expected, got nil)", bpf.open },
      { "bad argument #1 to 'bpf.map.update' (bpf.map expected, got no value)", bpf.map.update },
      { "bad argument #1 (bpf.prog expected, got table)", prog.attach_xdp, {} },
      { "'struct nosuch' is neither in", bpf.btf.type, "struct nosuch" },
      { "key: 256 does not fit", bpf.map.lookup, bpf.map.create { type = "hash", key = "__u8", value = "__u8",
        max_entries = 1 }, 256 },
      { "bad argument #1 to 'bar' (", bpf.hist.bar },
      { "bpf.compile: there is no option 'x'", bpf.compile, "", { x = 1 } },
    }
    for _, call in ipairs(wrong) do
      local ok, message = pcall(table.unpack(call, 2))
      assert.is_false(ok)
      assert.matches(HERE, message)
      assert(message:find(call[1], 1, true), message)
    end
  end)

  it("is added once, where one C function calls another that does", function()
    local message = helper.raises(function()
      bpf.map.create { type = "array_of_maps", max_entries = 1,
        inner = { type = "array", value = "struct {", max_entries = 1 } }
    end, HERE)
    assert.equal(1, select(2, message:gsub("misuse_spec", "")))
  end)

  it("stays that of a Lua function that is called, and errors that are no text stay what they are", function()
    kernel.root()
    local hidden = setmetatable({}, { __pairs = function() error("mine", 0) end })
    local ok, message = pcall(bpf.map.update_batch, array(), hidden)
    assert.same({ false, "mine" }, { ok, message })
    local object = {}
    ok, message = pcall(bpf.map.update_batch, array(), setmetatable({}, { __pairs = function() error(object) end }))
    assert(not ok and message == object)
  end)
end)

describe("a NUL byte, which would end a string in C,", function()
  local map, btf = bpf.map, bpf.btf

  local function hash(options)
    options = options or {}
    return map.create { type = options.type or "hash", key = options.key or "u32", value = options.value or "u32",
      max_entries = 1, name = options.name, flags = options.flags }
  end

  local function loaded(fn)
    return function()
      local obj <close> = assert(bpf.load(COUNTERS))
      return fn(obj.progs.count, obj)
    end
  end

  local function opened(options)
    return function()
      local _ <close> = assert(bpf.open(COUNTERS, options))
    end
  end

  -- What is called, and what the error has to name.
  local ARGUMENT <const>, C_TEXT <const> = "bad argument #%d to '%S+' %(the string has a NUL byte in it%)", "line 1"
  local refused = {
    ["bpf.open"] = { function() bpf.open(COUNTERS .. "\0x") end, ARGUMENT },
    ["bpf.load"] = { function() bpf.load(COUNTERS .. "\0x") end, ARGUMENT },
    ["bpf.open, name"] = { opened { name = "a\0b" }, "bpf.open: option 'name' has a NUL byte in it" },
    ["bpf.open, pin_root"] = { opened { pin_root = "/sys/fs/bpf\0b" }, "option 'pin_root' has a NUL" },
    ["bpf.open, kconfig"] = { opened { kconfig = "CONFIG_X=y\0" }, "option 'kconfig' has a NUL" },
    ["bpf.open, btf"] = { opened { btf = "/sys/kernel/btf/vmlinux\0" }, "option 'btf' has a NUL" },
    ["bpf.open, an option's name"] = { opened { ["name\0x"] = "a" }, "unknown option 'name\\0x'" },
    ["bpf.open, a map's name"] = { opened { maps = { ["events\0"] = 1 } }, "no map 'events\\0'" },
    ["bpf.open, a variable's name"] = { opened { vars = { ["seen\0"] = 1 } }, "no variable 'seen\\0'" },
    ["object:pin"] = { loaded(function(_, obj) obj:pin("/sys/fs/bpf/x\0y") end), ARGUMENT },
    ["object:unpin"] = { loaded(function(_, obj) obj:unpin("/sys/fs/bpf/x\0y") end), ARGUMENT },
    ["a field of an object"] = { loaded(function(_, obj) return obj["maps\0"] end), "has no 'maps\\0'" },
    ["map.create, type"] = { function() hash { type = "hash\0" } end, "option 'type' has a NUL" },
    ["map.create, name"] = { function() hash { name = "a\0b" } end, "option 'name' has a NUL" },
    ["map.create, flags"] = { function() hash { flags = "no_prealloc\0" } end, "name of a flag has a NUL" },
    ["map.create, one of the flags"] = { function() hash { flags = { "no_prealloc\0" } } end, "flag has a NUL" },
    ["map.create, key"] = { function() hash { key = "u32\0x" } end, C_TEXT },
    ["map.create, value"] = { function() hash { value = "struct { int a; }\0x" } end, C_TEXT },
    ["map.open"] = { function() map.open("/sys/fs/bpf/x\0") end, ARGUMENT },
    ["map.pin"] = { function() map.pin(assert(hash()), "/sys/fs/bpf/x\0") end, ARGUMENT },
    ["map.unpin"] = { function() map.unpin(assert(hash()), "/sys/fs/bpf/x\0") end, ARGUMENT },
    ["map.update, flags"] = { function() map.update(assert(hash()), 1, 1, "exist\0") end, "name of a flag has a NUL" },
    ["map.typed"] = { function() map.typed(assert(hash()), "u32\0", "u32") end, C_TEXT },
    ["a type in the kernel's BTF"] = { function() map.typed(assert(hash()), nil, "struct list_head\0x") end, C_TEXT },
    ["bpf.ringbuf, type"] = { function()
      bpf.ringbuf(assert(map.create { type = "ringbuf", max_entries = 4096 }), "u32\0", print)
    end, C_TEXT },
    ["prog.open"] = { function() bpf.prog.open("/sys/fs/bpf/x\0") end, ARGUMENT },
    ["link.open"] = { function() bpf.link.open("/sys/fs/bpf/x\0") end, ARGUMENT },
    ["prog:pin"] = { loaded(function(prog) prog:pin("/sys/fs/bpf/x\0") end), ARGUMENT },
    ["prog:unpin"] = { loaded(function(prog) prog:unpin("/sys/fs/bpf/x\0") end), ARGUMENT },
    ["prog:type"] = { function()
      local obj <close> = assert(bpf.open(COUNTERS))
      obj.progs.count:type("xdp\0")
    end, ARGUMENT },
    ["prog:expected_attach_type"] = { function()
      local obj <close> = assert(bpf.open(COUNTERS))
      obj.progs.count:expected_attach_type("xdp\0")
    end, ARGUMENT },
    ["prog:attach_target"] = { function()
      local obj <close> = assert(bpf.open(COUNTERS))
      obj.progs.count:attach_target("f\0")
    end, ARGUMENT },
    ["prog:attach_kprobe"] = { loaded(function(prog) prog:attach_kprobe("vfs_read\0") end), ARGUMENT },
    ["prog:attach_kprobe_multi"] = { loaded(function(prog) prog:attach_kprobe_multi("vfs_*\0") end), ARGUMENT },
    ["prog:attach_kprobe_multi, a list"] = { loaded(function(prog) prog:attach_kprobe_multi({ "vfs_read\0" }) end),
      "element 1 has a NUL byte in it" },
    ["prog:attach_ksyscall"] = { loaded(function(prog) prog:attach_ksyscall("read\0") end), ARGUMENT },
    ["prog:attach_uprobe"] = { loaded(function(prog) prog:attach_uprobe("/bin/sh\0", "main") end), ARGUMENT },
    ["prog:attach_uprobe, function"] = { loaded(function(prog) prog:attach_uprobe("/bin/sh", "main\0") end), ARGUMENT },
    ["prog:attach_usdt, provider"] = { loaded(function(prog) prog:attach_usdt("/bin/sh", "p\0", "n") end), ARGUMENT },
    ["prog:attach_usdt, name"] = { loaded(function(prog) prog:attach_usdt("/bin/sh", "p", "n\0") end), ARGUMENT },
    ["prog:attach_tracepoint"] = { loaded(function(prog) prog:attach_tracepoint("sched", "x\0") end), ARGUMENT },
    ["attach_tracepoint, category"] = { loaded(function(prog) prog:attach_tracepoint("sched\0", "x") end), ARGUMENT },
    ["prog:attach_raw_tracepoint"] = { loaded(function(prog) prog:attach_raw_tracepoint("sys_enter\0") end), ARGUMENT },
    ["prog:attach_xdp"] = { loaded(function(prog) prog:attach_xdp("lo\0") end), ARGUMENT },
    ["prog:attach_xdp, mode"] = { loaded(function(prog) prog:attach_xdp("lo", { mode = "skb\0" }) end),
      "option 'mode' has a NUL" },
    ["prog:attach_tc, attach_point"] = { loaded(function(prog)
      prog:attach_tc("lo", { attach_point = "ingress\0" })
    end), "option 'attach_point' has a NUL" },
    ["prog:attach_cgroup"] = { loaded(function(prog) prog:attach_cgroup("/sys/fs/cgroup\0") end), "path has a NUL" },
    ["prog:attach_freplace"] = { loaded(function(prog) prog:attach_freplace(prog, "f\0") end), ARGUMENT },
    ["prog:attach_perf_event, config"] = { loaded(function(prog)
      prog:attach_perf_event { type = "software", config = "cpu_clock\0" }
    end), "option 'config' has a NUL" },
    ["link:pin"] = { loaded(function(prog) assert(prog:attach()):pin("/sys/fs/bpf/x\0") end), ARGUMENT },
    ["link:unpin"] = { loaded(function(prog) assert(prog:attach()):unpin("/sys/fs/bpf/x\0") end), ARGUMENT },
    ["features.map_type"] = { function() bpf.features.map_type("hash\0") end, ARGUMENT },
    ["features.helper"] = { function() bpf.features.helper("xdp", "map_lookup_elem\0") end, ARGUMENT },
    ["features.helper, program"] = { function() bpf.features.helper("xdp\0", "map_lookup_elem") end, ARGUMENT },
    ["btf.file"] = { function() btf.file("/sys/kernel/btf/vmlinux\0") end, ARGUMENT },
    ["btf.module"] = { function() btf.module("ext4\0") end, ARGUMENT },
    ["btf.parse"] = { function() btf.parse("struct x { int a; };\0") end, C_TEXT },
    ["btf.type"] = { function() btf.type("u32\0") end, C_TEXT },
    ["btf:type"] = { function() btf.parse("struct x { int a; };"):type("struct x\0") end, C_TEXT },
    ["btf:find, kind"] = { function() btf.parse("struct x { int a; };"):find("x", "struct\0") end, ARGUMENT },
    ["btf:types, kind"] = { function() btf.parse("struct x { int a; };"):types("struct\0") end, ARGUMENT },
    ["btf:print"] = { function() btf.parse("struct x { int a; };"):print("struct x\0") end, "no type 'struct x\\0'" },
    ["btf:dump"] = { function() btf.parse("struct x { int a; };"):dump("/tmp/x\0") end, ARGUMENT },
    ["an enumerator"] = { function() btf.type("enum e { A }"):encode("A\0") end, "no enumerator 'A\\0'" },
    ["a member"] = { function() btf.type("struct { int a; }"):encode { ["a\0"] = 1 } end, "no member 'a\\0'" },
    ["bpf.compile, an option"] = { function() bpf.compile("", { name = "a\0" }) end, "holds a NUL" },
    ["metrics:write_file"] = { function() bpf.metrics.new():write_file("x\0y") end, ARGUMENT },
    ["metrics:serve, socket"] = { function() bpf.metrics.new():serve { socket = "x\0y" } end,
      "option 'socket' has a NUL" },
  }

  if not kernel.libbpf_before("1.3") then
    refused["prog:attach_netfilter, pf"] = { loaded(function(prog) prog:attach_netfilter { pf = "ipv4\0" } end),
      "option 'pf' has a NUL" }
  end
  refused["a devmap's interface"] = { function()
    map.create { type = "devmap", max_entries = 1 }[0] = "lo\0"
  end, "interface's name has a NUL" }

  local names = {}
  for name in pairs(refused) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    it("is refused by " .. name, function()
      kernel.root()
      local ok, message = pcall(refused[name][1])
      assert(not ok, "no error")
      assert(message:find(refused[name][2], 1, not refused[name][2]:find("#%d", 1, true)), message)
    end)
  end

  it("may be in what is bytes", function()
    kernel.root()
    assert.equal("a\0b", btf.type("unsigned char[3]"):decode(btf.type("unsigned char[3]"):encode("a\0b")))
    local obj <close> = assert(bpf.open({ bytes = assert(io.open(COUNTERS, "rb")):read("a") }))
    assert.not_nil(obj.progs.count)
  end)
end)

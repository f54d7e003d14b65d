-- SPDX-License-Identifier: MIT
-- Settings from before the load under which libbpf 1.1 looks into the kernel's BTF without having read it: an error
-- says so, or the object loads as with newer versions. What an object declares of its maps and programs, read and set.
-- Random settings on all objects: nothing crashes.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map
local DECLARED = helper.obj("declared")
local outdated = kernel.libbpf_before("1.2")

describe("a program whose section names a target in BTF", function()
  for _, case in ipairs({
    { "iterators", "attach_iter", "socket_filter" },
    { "LSM programs", "attach_lsm", "xdp" },
    { "tracing programs", "attach_trace", "kprobe" },
  }) do
    it("keeps its type before libbpf 1.2: " .. case[1], function()
      local obj <close> = assert(bpf.open(helper.obj(case[2])))
      local found = false
      for _, prog in pairs(obj.progs) do
        local kind = prog:type()
        if kind == "tracing" or kind == "lsm" then
          found = true
          local ok, message, code = prog:type(case[3])
          if outdated then
            assert.same({ nil, "EOPNOTSUPP" }, { ok, code })
            assert.matches("names a target in BTF.*libbpf 1%.2", message)
            assert.equal(kind, prog:type())
          else
            assert.equal(case[3], ok)
          end
        end
      end
      assert.is_true(found)
    end)
  end

  it("can't be loaded if it replaces a function and has no target", function()
    local obj <close> = assert(bpf.open(helper.obj("attach_replacement")))
    for _, prog in pairs(obj.progs) do prog:autoload(prog:type() == "ext") end
    local ok, message, code = obj:load()
    assert.same({ nil, "EINVAL" }, { ok, code })
    assert.matches("program '[%w_]+': it has no target; call prog:attach_target", message)
  end)
end)

describe("a struct_ops map without programs", function()
  it("of an object with a target is closed without a load", function()
    kernel.root()
    kernel.need("struct_ops", "5.6")
    local output = helper.lua(([[
      local bpf = require("bpf")
      local target = assert(bpf.load(%q))
      local obj = assert(bpf.open(%q))
      print(obj.progs.replacement:attach_target("verdict", target.progs.whole))
      print(obj:close())
    ]]):format(helper.obj("attach_freplace"), helper.obj("struct_ops_target")))
    assert.equal("true\ntrue\n", output)
  end)

  it("is loaded, or refused for a reason, when all programs are off", function()
    kernel.root()
    local off = {}
    do
      local obj <close> = assert(bpf.open(helper.obj("congestion")))
      for name in pairs(obj.progs) do off[name] = false end
    end
    local code = ([[
      local bpf = require("bpf")
      local obj, message = bpf.load(%q, { autoload = { %s } })
      print("survived", obj or message)
    ]]):format(helper.obj("congestion"), (function()
      local rows = {}
      for name in pairs(off) do rows[#rows + 1] = name .. " = false" end
      return table.concat(rows, ", ")
    end)())
    local output, ok = helper.lua(code)
    assert.is_true(ok, output)
    assert.matches("^survived\tbpf%.object: congestion %(.* loaded%)", output)
  end)

  it("is refused before libbpf 1.2 where no program can stand in", function()
    kernel.root()
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      local obj = assert(bpf.open(%q))
      for _, prog in pairs(obj.progs) do prog:type("socket_filter") end
      print("survived", obj:load())
    ]]):format(helper.obj("congestion")))
    assert.is_true(ok, output)
    assert.matches("^survived\tnil\t", output)
    if outdated then
      assert.matches("struct_ops maps of which no program is loaded.*EOPNOTSUPP", output)
    end
  end)
end)

-- Calls fn with the object, opened with options.
local function with(options, fn)
  options = options or {}
  options.pin_root = helper.bpffs()
  local obj <close> = assert(bpf.open(DECLARED, options))
  fn(obj, options.pin_root .. "/kept")
end

describe("what is declared", function()
  it("is known of maps before the load", function()
    with(nil, function(obj, pin)
      local info = map.info(obj.maps.pairs)
      assert.same({
        name = "pairs", type = "hash", key_size = 4, value_size = 8, max_entries = 16, map_flags = 1, map_extra = 0,
        numa_node = 0, ifindex = 0, autocreate = true, is_internal = false,
        btf_key_type_id = info.btf_key_type_id, btf_value_type_id = info.btf_value_type_id,
      }, info)
      assert.equal(pin, map.info(obj.maps.kept).pin_path)
      local inner = map.info(obj.maps.outer).inner_map
      assert.same({ "array", 8, 3 }, { inner.type, inner.value_size, inner.max_entries })
    end)
  end)

  it("is the bytes of sections, also of those without types", function()
    with({ vars = { sum = 0x4142434445464748 } }, function(obj)
      local text = map.info(obj.maps[".rodata.str1.1"])
      assert.same({ true, "literals are in a section without types\0" }, { text.is_internal, text.initial_value })
      assert.matches("HGFEDCBA", map.info(obj.maps["declared.bss"]).initial_value)
    end)
  end)

  it("is known of programs before the load", function()
    with(nil, function(obj)
      assert.same({
        name = "zeta", type = "raw_tracepoint", section_name = "raw_tp", flags = 0, log_level = 0, autoload = true,
        autoattach = true, expected_attach_type = obj.progs.zeta:expected_attach_type(),
        insn_cnt = obj.progs.zeta:info().insn_cnt,
      }, obj.progs.zeta:info())
      assert.is_true(obj.progs.zeta:info().insn_cnt > 5)
    end)
  end)

  it("has an order, in which pairs gives maps and programs", function()
    local order, programs, declared = {}, {}, {}
    with(nil, function(obj)
      for i, variable in ipairs(obj:btf():find(".maps", "datasec").vars) do declared[i] = variable.name end
      for name, m in pairs(obj.maps) do
        assert.equal(obj.maps[name], m)
        order[#order + 1] = name
      end
      for name in pairs(obj.progs) do programs[#programs + 1] = name end
      obj.progs.zeta = nil
      assert.equal("alpha", (pairs(obj.progs)(obj.progs)))
      helper.raises(function() pairs(obj.progs)(1) end, "table expected")
      assert.is_nil(pairs(obj.progs)(obj.progs, "alpha"))
    end)
    assert.same({ "zeta", "alpha" }, programs)
    assert.equal(5, #declared)
    assert.same(declared, table.move(order, 1, 5, 1, {}))
    assert.equal(9, #order)
  end)

  it("is told besides what the kernel knows after it", function()
    kernel.root()
    with({ maps = { stacks = false }, autoload = { alpha = false } }, function(obj, pin)
      assert(obj:load())
      local info = map.info(obj.maps.kept)
      assert.same({ true, false, pin }, { info.autocreate, info.is_internal, info.pin_path })
      assert.is_true(info.id > 0)
      assert.is_false(map.info(obj.maps.stacks).autocreate)
      assert.is_nil(map.info(obj.maps.stacks).id)
      info = obj.progs.zeta:info()
      assert.is_true(info.id > 0)
      assert.same({ "raw_tp", true }, { info.section_name, info.autoload })
      assert.is_false(obj.progs.alpha:info().autoload)
      assert(map.unpin(obj.maps.kept, pin))
    end)
  end)

  it("can't be asked for once the object is closed", function()
    local m, prog
    with(nil, function(obj) m, prog = obj.maps.pairs, obj.progs.zeta end)
    helper.raises(function() map.info(m) end, "closed")
    helper.raises(function() map.configure(m, {}) end, "closed")
    helper.raises(function() prog:info() end, "closed")
    helper.raises(function() prog:flags(0) end, "closed")
  end)
end)

describe("a map's settings", function()
  local LOADED = { stacks = { value_size = 20 * 8, max_entries = 64 }, kept = { pin_path = false } }

  -- An object that can be loaded, with these settings as well.
  local function loaded(settings, fn)
    kernel.root()
    local maps = {}
    for name, values in pairs(LOADED) do maps[name] = values end
    for name, values in pairs(settings) do maps[name] = values end
    with({ maps = maps }, function(obj)
      assert(obj:load())
      fn(obj)
    end)
  end

  it("are sizes that the object doesn't know", function()
    loaded({}, function(obj)
      assert.same({ 160, 64 }, { map.info(obj.maps.stacks).value_size, map.info(obj.maps.stacks).max_entries })
      obj.progs.alpha:run({ ctx = ("\0"):rep(64) })
      local traces = 0
      for _, trace in pairs(obj.maps.stacks) do
        traces = traces + 1
        assert.is_true(#trace > 0 and #trace <= 20)
      end
      assert.equal(1, traces)
    end)
  end)

  it("change the types of the handle with the sizes", function()
    loaded({ pairs = { value_size = 24 } }, function(obj)
      obj.maps.pairs[7] = ("a"):rep(24)
      assert.equal(24, #obj.maps.pairs[7])
      obj.progs.alpha:run({ ctx = ("\0"):rep(64) })
      assert.equal("b" .. ("a"):rep(23), obj.maps.pairs[7])
      helper.raises(function() obj.maps.pairs[8] = { a = 1 } end, "string expected for raw bytes")
    end)
    loaded({ pairs = { key_size = 2 } }, function(obj)
      obj.maps.pairs["kk"] = { a = 1, b = 2 }
      assert.same({ a = 1, b = 2 }, obj.maps.pairs["kk"])
      helper.raises(function() return obj.maps.pairs[7] end, "string expected for raw bytes")
    end)
  end)

  it("change what the handle can do with the type", function()
    loaded({ pairs = { type = "percpu_hash", map_flags = 0 } }, function(obj)
      obj.maps.pairs[7] = { a = 1 }
      obj.progs.alpha:run({ ctx = ("\0"):rep(64) })
      local sum = 0
      for _, pair in ipairs(obj.maps.pairs[7]) do sum = sum + pair.a end
      assert.equal(#obj.maps.pairs[7] + 1, sum)
      assert.equal("percpu_hash", map.info(obj.maps.pairs).type)
    end)
  end)

  it("reach the kernel", function()
    local path = helper.bpffs() .. "/placed"
    loaded({ pairs = { map_flags = { "no_prealloc", "zero_seed" }, numa_node = 0, max_entries = 5 },
      kept = { pin_path = path } }, function(obj)
      local info = map.info(obj.maps.pairs)
      assert.same({ 1 | 1 << 2 | 1 << 6, 5, 0 }, { info.map_flags, info.max_entries, info.numa_node })
      local other <close> = assert(map.open(path))
      assert.is_true(other == obj.maps.kept)
      assert(map.unpin(obj.maps.kept, path))
    end)
  end)

  it("are set after the opening too, as often as one likes", function()
    kernel.root()
    with({ maps = LOADED }, function(obj)
      assert.is_true(map.configure(obj.maps.stacks, { value_size = 8 }))
      assert.is_true(map.configure(obj.maps.stacks, { value_size = 16, max_entries = 7 }))
      assert.same({ 16, 7 }, { map.info(obj.maps.stacks).value_size, map.info(obj.maps.stacks).max_entries })
      assert.matches("stack_trace.*7 entries", tostring(obj.maps.stacks))
      assert(obj:load())
      assert.equal(16, map.info(obj.maps.stacks).value_size)
      local ok, message, code = map.configure(obj.maps.stacks, { value_size = 24 })
      assert.same({ nil, "EBUSY" }, { ok, code })
      assert.matches("map 'stacks': configure: .*exists already", message)
    end)
  end)

  it("are a section's bytes", function()
    kernel.root()
    with({ maps = LOADED }, function(obj)
      local bytes = ("x"):rep(39) .. "\0"
      map.configure(obj.maps[".rodata.str1.1"], { initial_value = bytes })
      assert(obj:load())
      obj.progs.zeta:run({ ctx = ("\0"):rep(64) })
      assert.equal(bytes:sub(1, 39), obj.vars.copy)
      assert.equal(bytes, obj.maps[".rodata.str1.1"][0])
    end)
  end)

  it("make a section of variables larger, with the array at its end", function()
    kernel.root()
    if kernel.libbpf_before("1.3") then
      helper.raises(function() bpf.open(DECLARED, { maps = { [".data.grows"] = { value_size = 4096 } } }) end,
        "data%.grows.*value_size can't be set.*libbpf before 1%.3 can't resize")
      return
    end
    with({ maps = LOADED }, function(obj)
      local section = obj.maps[".data.grows"]
      local size = map.info(section).value_size
      obj.vars.first = 7
      assert.is_true(map.configure(section, { value_size = size + 1000 * 8 }))
      assert.same({ 1002, 3, 5, 0 }, { #obj.vars.table, obj.vars.table[1], obj.vars.table[2], obj.vars.table[1002] })
      local numbers = obj.vars.table
      numbers[1002] = 17
      obj.vars.table = numbers
      assert.matches("data%.grows", tostring(section))
      assert(obj:load())
      assert.same({ 7, 1002, 5, 17 }, { obj.vars.first, #obj.vars.table, obj.vars.table[2], obj.vars.table[1002] })
      assert.equal(size + 8000, map.info(section).value_size)
      assert.equal(17, section[0].table[1002])
    end)
    local maps = { [".data.grows"] = { value_size = 8001 }, [".rodata.str1.1"] = { value_size = 64 } }
    for name, settings in pairs(LOADED) do maps[name] = settings end
    with({ maps = maps }, function(obj)
      assert.equal(64, #map.info(obj.maps[".rodata.str1.1"]).initial_value)
      assert(obj:load())
      assert.same({ 2, 3 }, { #obj.vars.table, obj.vars.table[1] }) -- of no whole number of elements
      assert.equal(8001, #obj.maps[".data.grows"][0])
      assert.equal(64, #obj.maps[".rodata.str1.1"][0])
    end)
  end)

  it("are the map that inner ones are like", function()
    kernel.root()
    local inner <close> = assert(map.create({ type = "hash", key = "__u32", value = "__u32", max_entries = 2 }))
    loaded({ outer = { inner_map = inner } }, function(obj)
      obj.maps.outer[0] = inner
      assert.is_true(obj.maps.outer[0] == inner)
    end)
    local closed = assert(map.create({ type = "hash", key = "__u32", value = "__u32", max_entries = 2 }))
    with({ maps = LOADED }, function(obj)
      map.configure(obj.maps.outer, { inner_map = closed })
      helper.raises(function() map.configure(obj.maps.outer, { inner_map = inner }) end, "set already")
      map.close(closed)
      helper.raises(function() obj:load() end, "map 'outer': its inner_map is closed")
    end)
  end)

  it("that were made before a mistake are the handle's as well", function()
    with({ maps = LOADED }, function(obj)
      helper.raises(function() map.configure(obj.maps.pairs, { type = "percpu_hash", map_flags = "none" }) end, "none")
      assert.matches("percpu_hash", tostring(obj.maps.pairs))
      map.configure(obj.maps.pairs, { map_flags = 0 })
      assert(obj:load())
      obj.maps.pairs[1] = { a = 1 }
      assert.equal(1, obj.maps.pairs[1][1].a)
    end)
  end)

  for _, case in ipairs({
    { "an unknown one", "pairs", { entries = 1 }, "unknown option 'entries'.*value_size" },
    { "an unknown type", "pairs", { type = "hsah" }, "map type 'hsah' is unknown" },
    { "a type that is no name", "pairs", { type = 1 }, "type must be the name of a type, got number" },
    { "a size that is no number", "pairs", { value_size = "x" },
      "'value_size' must be an integer from 0 to 4294967295" },
    { "a size out of range", "pairs", { key_size = 1 << 32 }, "'key_size' must be an integer from 0 to 4294967295" },
    { "a flag that isn't there", "pairs", { map_flags = "no" }, "flag 'no' is unknown" },
    { "another type of a map with programs", "jumps", { type = "hash" }, "type can't be set" },
    { "another type of a map of maps", "outer", { type = "prog_array" }, "type can't be set" },
    { "a type that must be declared", "pairs", { type = "struct_ops" }, "type can't be set.*declared" },
    { "an arena", "pairs", { type = "arena" }, "type can't be set.*declared" },
    { "another type of variables", "declared.bss", { type = "hash" }, "type can't be set.*variables" },
    { "smaller variables", "declared.bss", { value_size = 4 }, "value_size can't be set.*variables" },
    { "more variables", "declared.bss", { max_entries = 2 }, "max_entries can't be set.*variables" },
    { "no variables", "declared.bss", { autocreate = false }, "autocreate can't be set.*variables" },
    { "an inner map of none", "pairs", { inner_map = "outer" }, "it is for maps of maps" },
    { "an inner map that is no map", "outer", { inner_map = {} }, "inner_map must be a map.*got table" },
    { "autocreate that is no boolean", "pairs", { autocreate = 1 }, "autocreate must be true or false, got number" },
    { "a path that is none", "pairs", { pin_path = true }, "pin_path must be a path, or false" },
    { "bytes of no section", "pairs", { initial_value = "x" }, "initial_value can't be set" },
    { "bytes too few", "declared.bss", { initial_value = "x" }, "initial_value has %d+ bytes, not 1" },
  }) do
    it("are refused: " .. case[1], function()
      with(nil, function(obj)
        helper.raises(function() map.configure(obj.maps[case[2]], case[3]) end, case[4])
      end)
      helper.raises(function() bpf.open(DECLARED, { pin_root = helper.bpffs(), maps = { [case[2]] = case[3] } }) end,
        case[4])
    end)
  end

  it("may be what they are", function()
    with(nil, function(obj)
      for _, name in ipairs({ "declared.bss", "jumps", "outer", "pairs" }) do
        local info = map.info(obj.maps[name])
        assert.is_true(map.configure(obj.maps[name], {
          type = info.type, key_size = info.key_size, value_size = info.value_size, max_entries = info.max_entries,
          map_flags = info.map_flags, map_extra = info.map_extra, ifindex = info.ifindex, autocreate = info.autocreate,
          initial_value = info.initial_value,
        }))
        assert.same(info, map.info(obj.maps[name]))
      end
    end)
  end)

  it("aren't those of a map that is used in its place", function()
    kernel.root()
    local m <close> = assert(map.create({ type = "hash", key = "__u32", value = "struct pair { __u32 a, b; }",
      max_entries = 4 }))
    with({ maps = { pairs = m } }, function(obj)
      helper.raises(function() map.configure(obj.maps.pairs, { value_size = 4 }) end, "a map that exists is used")
    end)
  end)
end)

describe("a program's flags", function()
  it("are set before the load, by name or number", function()
    kernel.root()
    local obj <close> = assert(bpf.open(helper.obj("packets"), { autoload = { add = false } }))
    local prog = obj.progs.on_packet
    assert.equal(0, prog:flags())
    assert.equal(1, prog:flags("strict_alignment"))
    assert.equal(1 << 1 | 1 << 3, prog:flags({ "any_alignment", "test_state_freq" }))
    assert.equal(1 << 3, prog:flags(1 << 3))
    assert.equal(1 << 3, prog:info().flags)
    helper.raises(function() prog:flags("sleepy") end,
      "flag 'sleepy' is unknown %(one of: strict_alignment.*sleepable")
    helper.raises(function() prog:flags(1 << 32) end, "not between 0 and 4294967295")
    assert(obj:load())
    local ok, message, code = prog:flags(0)
    assert.same({ nil, "EBUSY" }, { ok, code })
    assert.matches("program 'on_packet': flags: the object is loaded already", message)
  end)

  it("reach the kernel", function()
    kernel.root()
    local obj <close> = assert(bpf.open(helper.obj("packets"), { autoload = { add = false } }))
    obj.progs.on_packet:flags(1 << 30)
    local ok, _, code = obj:load()
    assert.same({ nil, "EINVAL" }, { ok, code })
  end)
end)

describe("random settings", function()
  it("before the load crash nothing", function()
    kernel.root()
    local pipe <close> = assert(io.popen("ls build/progs/*.bpf.o"))
    local paths = {}
    for path in pipe:lines() do
      local obj <close> = bpf.open(path) -- some are refused
      if obj then paths[#paths + 1] = path end
    end
    assert.is_true(#paths > 50)
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      local types = { "socket_filter", "kprobe", "xdp", "raw_tracepoint", "tracing", "struct_ops", "ext",
        "lsm", "syscall" }
      local attach = { "trace_fentry", "trace_iter", "lsm_mac", "trace_raw_tp", "xdp", "modify_return", "perf_event" }
      local targets = { "vfs_read", "bpf_prog_put", "nothing" }
      local template <close> = assert(bpf.map.create({ type = "array", max_entries = 1, value = "__u64" }))
      local settings = {
        type = { "hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lpm_trie", "queue", "stack_trace",
          "ringbuf",
          "hash_of_maps", "array_of_maps", "prog_array", "sockmap", "devmap", "sk_storage", "struct_ops", "arena" },
        key_size = { 0, 1, 4, 8, 64, 0xffffffff },
        value_size = { 0, 1, 4, 8, 40, 4096, 0xffffffff },
        max_entries = { 0, 1, 3, 4096 },
        map_flags = { 0, "no_prealloc", "mmapable", "rdonly_prog", { "inner_map", "zero_seed" }, 0xffffffff },
        map_extra = { 0, 3, -1 },
        numa_node = { 0, 7 },
        ifindex = { 0, 1 },
        inner_map = { template },
        autocreate = { true, false },
        pin_path = { false, "/nowhere/at/all" },
        initial_value = { "", ("x"):rep(8) },
      }
      local function some(share) return math.random() < share end
      local function pick(list) return list[math.random(#list)] end
      local function sorted(contents)
        local names = {}
        for name in pairs(contents) do names[#names + 1] = name end
        table.sort(names)
        return ipairs(names)
      end
      math.randomseed(7) -- without our checks libbpf 1.1 crashes
      local n = 0
      for path in ([=[%s]=]):gmatch("%%S+") do
        io.stderr:write(path, "\n") -- the last one is where it crashed
        local off = {} -- maps that aren't created
        do
          local obj <close> = assert(bpf.open(path))
          for _, name in sorted(obj.maps) do
            if not name:find(".", 1, true) and some(0.2) then off[name] = false end
          end
        end
        local obj <close> = assert(bpf.open(path, { pin_root = %q, maps = off }))
        for _, name in sorted(obj.progs) do
          local prog = obj.progs[name]
          if some(0.5) then prog:autoload(some(0.5)) end
          if some(0.3) then prog:log_level(pick({ 0, 1, 2, 4 })) end
          if some(0.4) then pcall(prog.type, prog, pick(types)) end
          if some(0.3) then pcall(prog.expected_attach_type, prog, pick(attach)) end
          if some(0.1) then prog:attach_target(pick(targets)) end
        end
        for _, name in sorted(obj.maps) do
          if some(0.3) then pcall(bpf.map.resize, obj.maps[name], pick({ 1, 2, 1024, 4096 })) end
          for _, setting in sorted(settings) do
            if some(0.08) then pcall(bpf.map.configure, obj.maps[name], { [setting] = pick(settings[setting]) }) end
          end
          assert(bpf.map.info(obj.maps[name]).name)
        end
        local ok, message, code = obj:load()
        assert(ok or type(message) == "string" and type(code) == "string")
        for _, name in sorted(obj.maps) do
          if ok and bpf.map.info(obj.maps[name]).id then
            pcall(function() for k, v in pairs(obj.maps[name]) do obj.maps[name][k] = v end end)
          end
        end
        n = n + 1
      end
      print("survived", n)
    ]]):format(table.concat(paths, " "), helper.bpffs()))
    assert.is_true(ok, output)
    assert.matches("survived\t" .. #paths .. "\n$", output)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Flags of creating and opening maps, by name: that the kernel has them, and what each does.
local answers = require("spec.support.answers")
local bpf = require("bpf")
local socket = require("socket")

local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local perf = require("support.perf")

local map = bpf.map
local done, fails = answers.done, answers.fails

kernel.root()

-- A map of __u32 keys and values, unless options say otherwise.
local function try(type, options)
  local all = { type = type, name = "flagged", key = "__u32", value = "__u32", max_entries = 8 }
  for name, value in pairs(options) do
    all[name] = value or nil
  end
  return map.create(all)
end

local function create(type, options)
  return assert(try(type, options))
end

-- What /proc tells of the map's descriptor.
local function fdinfo(m, field)
  local text = helper.run(("cat /proc/%d/fdinfo/%d"):format(helper.pid, map.fd(m)))
  return math.tointeger(tonumber(text:match("\n" .. field .. ":%s*(%S+)")))
end

local function order(m)
  local keys = {}
  for key in map.next_key, m do
    keys[#keys + 1] = key
  end
  return table.concat(keys, " ")
end

describe("every flag reaches the kernel by its name:", function()
  local STORAGE = { max_entries = 0, value = "struct v { __u32 n; }" }
  local NO_KEY = { key = false, value = false }
  local ARENA = { key = false, value = false, max_entries = 1 }

  for _, case in ipairs {
    { "no_prealloc", 0, "hash" },
    { "no_common_lru", 1, "lru_hash" },
    { "numa_node", 2, "hash" },
    { "stack_build_id", 5, "stack_trace", { value = 32 * 32 } },
    { "zero_seed", 6, "hash" },
    { "rdonly_prog", 7, "array" },
    { "wronly_prog", 8, "array" },
    { "clone", 9, "sk_storage", STORAGE, also = 1 << 0 },
    { "mmapable", 10, "array" },
    { "preserve_elems", 11, "perf_event_array" },
    { "inner_map", 12, "array", since = "5.10" },
    { "segv_on_fault", 17, "arena", ARENA, also = 1 << 10, since = "6.9" },
    { "no_user_conv", 18, "arena", ARENA, also = 1 << 10, since = "6.9" },
  } do
    local name, bit, type, options = table.unpack(case, 1, 4)

    it(name, function()
      kernel.need(name, case.since or "5.8")
      local all = { flags = name }
      for k, v in pairs(options or {}) do
        all[k] = v
      end
      local m <close> = create(type, all)
      assert.equal(1 << bit | (case.also or 0), map.info(m).map_flags)
    end)
  end

  it("several together", function()
    local m <close> = create("hash", { flags = { "no_prealloc", "zero_seed", "rdonly_prog" } })
    assert.equal(1 << 0 | 1 << 6 | 1 << 7, map.info(m).map_flags)
  end)

  it("those that limit a handle are no property of the map", function()
    for _, flag in ipairs { "rdonly", "wronly" } do
      local m <close> = create("hash", { flags = flag })
      assert.equal(0, map.info(m).map_flags)
    end
  end)

  it("those that a kind of map doesn't have are refused", function()
    for _, case in ipairs {
      { "array", "no_prealloc" }, { "hash", "mmapable" }, { "hash", "no_common_lru" }, { "hash", "stack_build_id" },
      { "hash", "clone" }, { "hash", "preserve_elems" }, { "hash", "inner_map" }, { "hash", "segv_on_fault" },
      { "hash", "no_user_conv" }, { "hash", { "rdonly", "wronly" } }, { "array", { "rdonly_prog", "wronly_prog" } },
      { "hash", "link" }, { "hash", "path_fd" },
    } do
      fails("EINVAL", "map.create (" .. case[1], try(case[1], { flags = case[2] }))
    end
    fails("EINVAL", "map.create (ringbuf", try("ringbuf", { key = NO_KEY.key, value = NO_KEY.value,
      max_entries = 4096, flags = "zero_seed" }))
  end)

  it("those that take a descriptor are refused without one", function()
    for _, flag in ipairs { "vtype_btf_obj_fd", "token_fd" } do
      local m, message, code = try("hash", { flags = flag })
      assert.is_nil(m)
      assert.matches("^map%.create %(hash flagged%): ", message)
      assert.matches("^E%u+$", code)
    end
  end)

  it("an unknown one raises and lists those that there are", function()
    local message = helper.raises(function()
      try("hash", { flags = "prealloc" })
    end, "prealloc")
    for _, name in ipairs {
      "no_prealloc", "no_common_lru", "numa_node", "rdonly", "wronly", "stack_build_id", "zero_seed", "rdonly_prog",
      "wronly_prog", "clone", "mmapable", "preserve_elems", "inner_map", "link", "path_fd", "vtype_btf_obj_fd",
      "token_fd", "segv_on_fault", "no_user_conv",
    } do
      assert.truthy(message:find(name, 1, true), name)
    end
  end)
end)

describe("what a flag does:", function()
  it("no_prealloc takes memory as entries come", function()
    kernel.need("memory accounted by what is used", "6.4")
    local full <close> = create("hash", { max_entries = 100000 })
    local lean <close> = create("hash", { max_entries = 100000, flags = "no_prealloc" })
    assert.is_true(fdinfo(full, "memlock") > fdinfo(lean, "memlock") + 100000 * 8)
    local before = fdinfo(lean, "memlock")
    for i = 1, 1000 do
      lean[i] = i
    end
    assert.is_true(fdinfo(lean, "memlock") >= before + 1000 * 8)
  end)

  it("no_common_lru gives each CPU a list of its own: max_entries is rounded up to their number", function()
    local cpus
    do
      local m <close> = create("percpu_array", {})
      cpus = #m[0]
    end
    local m <close> = create("lru_hash", { max_entries = 8 * cpus + 1, flags = "no_common_lru" })
    assert.equal(9 * cpus, map.info(m).max_entries)
  end)

  it("numa_node puts the map on a node, if there is such a node", function()
    local m <close> = create("hash", { numa_node = 0 })
    assert.equal(1 << 2, map.info(m).map_flags)
    fails("EINVAL", "map.create (hash flagged)", try("hash", { numa_node = 1023 }))
    fails("EINVAL", "map.create (hash flagged)", try("hash", { numa_node = 0xfffffffe }))
  end)

  it("zero_seed makes the order of keys the same for every map", function()
    local orders = {}
    for i = 1, 4 do
      local m <close> = create("hash", { max_entries = 64, flags = i > 2 and "zero_seed" or nil })
      for n = 1, 64 do
        m[n] = n
      end
      orders[i] = order(m)
    end
    assert.equal(orders[3], orders[4])
    assert.not_equal(orders[1], orders[2])
    assert.not_equal(orders[1], orders[3])
  end)

  it("mmapable gives memory that takes no system call", function()
    local m <close> = create("array", { flags = "mmapable" })
    m[1] = 5
    local mappings = helper.run(("cat /proc/%d/maps"):format(helper.pid))
    assert.truthy(mappings:find("bpf-map", 1, true), mappings)
    local other <close> = assert(map.by_id(map.info(m).id))
    assert.equal(5, map.lookup(other, 1))
  end)

  it("inner_map lets the maps in a map of maps differ in size", function()
    kernel.need("inner_map", "5.10")
    local fixed, free = create("array", { max_entries = 2 }), create("array", { max_entries = 2, flags = "inner_map" })
    local larger, larger_free = create("array", {}), create("array", { flags = "inner_map" })
    for inner, is_free in pairs { [fixed] = false, [free] = true } do
      local outer <close> = assert(map.create { type = "array_of_maps", inner = inner, max_entries = 1 })
      local ok, _, code = map.update(outer, 0, is_free and larger_free or larger)
      assert.same(is_free and { true } or { nil, "EINVAL" }, { ok, code })
    end
    for _, m in ipairs { fixed, free, larger, larger_free } do
      map.close(m)
    end
  end)

  it("stack_build_id wants values of bpf_stack_build_id", function()
    fails("EINVAL", "map.create (stack_trace", try("stack_trace", { value = 33 * 8, flags = "stack_build_id" }))
    local m <close> = create("stack_trace", { value = 33 * 8 })
    assert.equal(0, map.info(m).map_flags)
  end)

  it("clone hands a listening socket's storage down to those it accepts", function()
    for flag, inherited in pairs { clone = { n = 5 }, no_prealloc = false } do
      local m <close> = create("sk_storage", { max_entries = 0, value = "struct v { __u32 n; }", flags = flag })
      local server = assert(socket.bind("127.0.0.1", 0))
      m[server] = { n = 5 }
      local _, port = server:getsockname()
      local client = assert(socket.connect("127.0.0.1", port))
      local accepted = assert(server:accept())
      assert.same(inherited, m[accepted] or false)
      assert.is_nil(m[client])
      for _, each in ipairs { server, client, accepted } do
        each:close()
      end
    end
  end)

  it("preserve_elems keeps events when the handle that put them there is closed", function()
    for _, flag in ipairs { false, "preserve_elems" } do
      local m <close> = create("perf_event_array", { flags = flag })
      local other = assert(map.by_id(map.info(m).id))
      local event = assert(perf.open { cpu = 0 })
      other[0] = event
      map.close(other)
      event:close()
      if flag then
        done(map.delete(m, 0))
      else
        answers.refused("ENOENT", map.delete(m, 0))
      end
    end
  end)
end)

describe("maps that programs may only read or only write:", function()
  kernel.need("syscall programs", "5.14")

  -- Loads programs that read and write `counts`, which is m.
  local function load(m)
    return bpf.load(helper.obj("shared"), { maps = { counts = m } })
  end

  local function counts(flags)
    return create("hash", { name = "counts", value = "__u64", max_entries = 64, flags = flags })
  end

  it("the verifier takes the programs without either", function()
    local m <close> = counts()
    assert(load(m)):close()
  end)

  it("rdonly_prog refuses one that writes; user space may", function()
    kinds.need("syscall")
    local m <close> = counts("rdonly_prog")
    local obj, message, code, log = load(m)
    assert.is_nil(obj)
    assert.equal("EACCES", code)
    assert.matches("write into map forbidden", message .. log)
    m[1] = 5
    assert.equal(5, m[1])
  end)

  it("wronly_prog refuses one that reads; user space may", function()
    kinds.need("syscall")
    local m <close> = counts("wronly_prog")
    local obj, message, code, log = load(m)
    assert.is_nil(obj)
    assert.equal("EACCES", code)
    assert.matches("read from map forbidden", message .. log)
    m[1] = 5
    assert.equal(5, m[1])
  end)
end)

describe("handles that may only read or only write:", function()
  local m, path

  setup(function()
    m = create("hash", {})
    m[1] = 10
    path = helper.bpffs() .. "/m"
    assert(map.pin(m, path))
  end)

  teardown(function()
    map.unpin(m, path)
    map.close(m)
  end)

  -- The map through a handle with this flag.
  local ways = {
    create = function(flag)
      local made = create("hash", { flags = flag })
      local full <close> = assert(map.by_id(map.info(made).id))
      full[1] = 10
      return made
    end,
    open = function(flag) return assert(map.open(path, flag)) end,
    by_id = function(flag) return assert(map.by_id(map.info(m).id, flag)) end,
  }

  for way, handle in pairs(ways) do
    it("rdonly by " .. way .. " reads and walks, and can't change anything", function()
      local h <close> = handle("rdonly")
      assert.equal(10, h[1])
      assert.equal(1, map.next_key(h))
      for k, v in pairs(h) do
        assert.same({ 1, 10 }, { k, v })
      end
      assert.equal(1, #h)
      fails("EPERM", "map 'flagged': update", map.update(h, 1, 11))
      fails("EPERM", "map 'flagged': delete", map.delete(h, 1))
      fails("EPERM", "map 'flagged': lookup_and_delete", map.lookup_and_delete(h, 1))
      helper.raises(function() h[1] = 11 end, "EPERM")
      helper.raises(function() h[1] = nil end, "EPERM")
      assert.equal("EPERM", (select(3, map.clear(h))))
      assert.equal(10, h[1])
    end)

    it("wronly by " .. way .. " changes, and can't read anything", function()
      local h <close> = handle("wronly")
      fails("EPERM", "map 'flagged': lookup", map.lookup(h, 1))
      fails("EPERM", "map 'flagged': next_key", map.next_key(h))
      fails("EPERM", "map 'flagged': lookup_and_delete", map.lookup_and_delete(h, 1))
      helper.raises(function() return h[1] end, "EPERM")
      helper.raises(function() for _ in pairs(h) do error("an entry") end end, "EPERM")
      done(map.update(h, 1, 20))
      done(map.update(h, 2, 20))
      done(map.delete(h, 2))
      local full <close> = assert(map.by_id(map.info(h).id))
      assert.equal(20, full[1])
      done(map.update(h, 1, 10))
    end)
  end

  it("other flags than these two raise", function()
    for _, flag in ipairs { "no_prealloc", "readonly" } do
      helper.raises(function() map.open(path, flag) end, flag)
      helper.raises(function() map.by_id(map.info(m).id, flag) end, flag)
    end
  end)

  it("a view through other types is limited as well", function()
    local h <close> = assert(map.by_id(map.info(m).id, "rdonly"))
    local typed <close> = assert(map.typed(h, nil, "__s32"))
    assert.equal(10, typed[1])
    fails("EPERM", "update", map.update(typed, 1, 1))
  end)

  it("a mmapable array is read through memory by rdonly, and refuses to be written", function()
    local a <close> = create("array", { flags = "mmapable" })
    a[0] = 7
    local h <close> = assert(map.by_id(map.info(a).id, "rdonly"))
    assert.equal(7, h[0])
    fails("EPERM", "update", map.update(h, 0, 8))
    helper.raises(function() h[0] = 8 end, "EPERM")
    assert.equal(7, a[0])
  end)
end)

describe("freeze", function()
  kernel.need("freeze", "5.2")

  it("keeps user space from writing, by any handle, and lets it read", function()
    local m <close> = create("hash", {})
    m[1] = 10
    done(map.freeze(m))
    local other <close> = assert(map.by_id(map.info(m).id))
    for _, h in ipairs { m, other } do
      assert.equal(10, h[1])
      fails("EPERM", "update", map.update(h, 1, 11))
      fails("EPERM", "delete", map.delete(h, 1))
      helper.raises(function() h[2] = 1 end, "EPERM")
    end
    local again, message, code = map.freeze(m)
    assert.is_nil(again)
    assert.matches("^map 'flagged': freeze: it is frozen already", message)
    assert.is_true(code == "EPERM" or code == "EBUSY", code) -- older kernels: EBUSY
    assert.equal(1, fdinfo(m, "frozen"))
  end)

  it("doesn't keep programs from writing", function()
    kernel.need("syscall programs", "5.14")
    local obj <close> = assert(bpf.load(helper.obj("shared")))
    local m = obj.maps.counts
    m[1] = 10
    done(map.freeze(m))
    assert(obj.progs.add:run { ctx = string.pack("=I4I4I8", 1, 5, 0) })
    assert.equal(15, m[1])
    fails("EPERM", "update", map.update(m, 1, 0))
  end)
end)

describe("map_extra", function()
  kernel.need("map_extra", "5.16")

  it("is a bloom filter's number of hashes, and told by info", function()
    local m <close> = create("bloom_filter", { key = false, map_extra = 7 })
    assert.equal(7, map.info(m).map_extra)
    map.push(m, 1)
    assert.is_true(map.contains(m, 1))
    fails("EINVAL", "map.create (bloom_filter", try("bloom_filter", { key = false, map_extra = 16 }))
  end)

  it("is refused where it means nothing", function()
    fails("EINVAL", "map.create (hash", try("hash", { map_extra = 1 }))
  end)
end)

describe("ifindex", function()
  it("asks for offload, which an interface without it refuses", function()
    local m, message, code = try("hash", { ifindex = 1 })
    assert.is_nil(m)
    assert.matches("^map%.create %(hash flagged%): ", message)
    assert.equal("EOPNOTSUPP", code)
  end)

  it("is 0 for maps of the host", function()
    local m <close> = create("hash", { ifindex = 0 })
    assert.equal(0, map.info(m).ifindex)
  end)
end)

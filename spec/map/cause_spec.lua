-- SPDX-License-Identifier: MIT
-- Why the kernel refuses a map, in the same words whether map.create asks for it or an object declares it.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

local OBJECT <const> = helper.obj("refused_maps")

-- Loads the object with one of its maps alone, and its program.
local function load_with(name, setting)
  local maps, obj <close> = {}, assert(bpf.open(OBJECT))
  for other in pairs(obj.maps) do
    maps[other] = false
  end
  maps[name] = setting == nil or setting
  return bpf.load(OBJECT, { maps = maps })
end

local function of(type, options)
  options = options or {}
  options.type = type
  options.key, options.value = options.key or "__u32", options.value or "__u32"
  return options
end

-- By the name of the declared map: what is wrong, the code, and what map.create takes for the same.
local refusals = {
  no_entries = { "max_entries must be greater than 0", "EINVAL", of("hash") },
  wide_index = { "key must take 4 bytes, it is the index of a slot", "EINVAL",
    of("array", { key = "__u64", max_entries = 3 }) },
  no_bytes = { "max_entries must be greater than 0", "EINVAL", { type = "ringbuf" } },
  lru = { "flags: LRU maps have all their entries from the start, they can't have 'no_prealloc'", "ENOTSUPP",
    of("lru_hash", { max_entries = 4, flags = "no_prealloc" }) },
  trie = { "flags: an lpm_trie must have 'no_prealloc' (BPF_F_NO_PREALLOC)", "EINVAL" }, -- map.create adds it
  stacks = { "value must take a multiple of 8 bytes, which the address of each frame takes", "EINVAL",
    of("stack_trace", { value = 12, max_entries = 4 }) },
  storage = { "key must be a struct bpf_cgroup_storage_key, or a cgroup's id of 8 bytes", "EINVAL",
    of("cgroup_storage") },
  both_ways = { "flags: 'rdonly_prog' and 'wronly_prog' exclude each other", "EINVAL",
    of("hash", { max_entries = 4, flags = { "rdonly_prog", "wronly_prog" } }) },
  preserved = { "flags: maps of type hash can't have 'preserve_elems'", "EINVAL",
    of("hash", { max_entries = 4, flags = "preserve_elems" }) },
  far_away = { "numa_node: this machine has no node 60", "EINVAL", of("hash", { max_entries = 4, numa_node = 60 }) },
  of_jumps = { "inner: maps of type prog_array can't be in other maps", "ENOTSUPP",
    { type = "array_of_maps", max_entries = 2, inner = { type = "prog_array", max_entries = 2 } } },
}

describe("a map that the kernel refuses:", function()
  kernel.root()

  for name, refusal in pairs(refusals) do
    local cause, code, options = table.unpack(refusal)

    it(name, function()
      local obj, message, got = load_with(name)
      assert.same({ nil, ("object 'refused_maps': load: map '%s': %s (%s)"):format(name, cause, code), code },
        { obj, message, got })
      if options then
        assert.same({ nil, ("map.create (%s): %s (%s)"):format(options.type, cause, code), code },
          { map.create(options) })
      end
    end)
  end

  it("that is too large says how large", function()
    local cause = "too large: 3000000000 entries, keys of 4 and values of 4 bytes (E2BIG)"
    local _, message = load_with("no_entries", 3000000000)
    assert.equal("object 'refused_maps': load: map 'no_entries': " .. cause, message)
    _, message = map.create(of("hash", { max_entries = 3000000000 }))
    assert.equal("map.create (hash): " .. cause, message)
  end)

  it("what the maps in it are like says that, and not the map around", function()
    local _, message, code = load_with("of_wide")
    assert.equal("object 'refused_maps': load: map 'of_wide': the maps in it: key must take 4 bytes, it is the index "
      .. "of a slot (EINVAL)", message)
    assert.equal("EINVAL", code)
  end)

  it("a map of maps of maps", function()
    local inner = { type = "array_of_maps", max_entries = 2, inner = of("array", { max_entries = 1 }) }
    local _, message = map.create { type = "array_of_maps", max_entries = 2, inner = inner }
    assert.equal("map.create (array_of_maps): inner must be no map of maps itself (EINVAL)", message)
  end)

  it("a bloom filter's hash functions", function()
    kernel.need("bloom filters", "5.16")
    local _, message = map.create { type = "bloom_filter", max_entries = 4, value = "__u32", map_extra = 16 }
    assert.equal("map.create (bloom_filter): map_extra must be from 0 to 15: it is the number of hash functions "
      .. "(EINVAL)", message)
  end)

  it("a local storage without fault but one isn't said to lack its types", function()
    kernel.need("task storage", "5.11")
    local _, message = map.create { type = "task_storage", value = "struct v { int a; }", flags = "zero_seed" }
    assert.equal("map.create (task_storage): flags: maps of type task_storage can't have 'zero_seed' (EINVAL)", message)
  end)

  it("members of the kernel's where they can't be, whichever program is refused for want of the map's types", function()
    local cause = "this type may not have locks, timers or other members of the kernel's in its values"
    local _, created, code = map.create(of("lru_hash", { max_entries = 4,
      value = "struct locked { struct bpf_spin_lock lock; __u64 count; }" }))
    assert.equal(("map.create (lru_hash): %s (%s)"):format(cause, code), created)
    local maps, opened <close> = {}, assert(bpf.open(OBJECT))
    for name in pairs(opened.maps) do
      maps[name] = name == "locks"
    end
    local _, loaded, got, log = bpf.load(OBJECT, { maps = maps, autoload = { locking = true } })
    assert.matches("Retrying without BTF", log)
    assert.same({ ("object 'refused_maps': load: map 'locks': %s (%s)"):format(cause, code), code }, { loaded, got })
  end)
end)

describe("an inner map's type of which the object has no members", function()
  it("is named, with the map", function()
    local obj, message, code = bpf.open(helper.obj("forward"))
    assert.is_nil(obj)
    assert.equal(("open '%s': map 'tries': the type of its inner maps' keys, struct prefix, is only declared in the "
      .. "object's BTF, without its members; define a variable of that type in the program (EINVAL)")
      :format(helper.obj("forward")), message)
    assert.equal("EINVAL", code)
  end)
end)

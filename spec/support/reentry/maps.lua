-- SPDX-License-Identifier: MIT
-- Maps: their entries by every form of key and value, walks under way, their memory, making and opening them.
local bpf = require "bpf"
local common = require "spec.support.reentry.common"

local map = bpf.map
local finalize, close = common.finalize, common.close

-- Too large for the C stack; with a table in a table and a union, whose members are encoded twice.
local KEY <const> = "struct { u32 a; char c[300]; }"
local VALUE <const> = "struct v { int a; char t[300]; struct { int x[20]; } n; union { u32 lo; u8 b[4]; }; }"

local function create(options)
  return assert(map.create(options))
end

-- What every map of keys and values is asked, beside what a fixture adds.
local function entry_operations(key, value)
  return {
    index = function(h) return h.map[key] end,
    assign = function(h) h.map[key] = value end,
    remove = function(h) h.map[key] = nil end,
    lookup = function(h) return map.lookup(h.map, key) end,
    update = function(h) return map.update(h.map, key, value, "any") end,
    delete = function(h) return map.delete(h.map, key) end,
    next_key = function(h) return map.next_key(h.map, map.next_key(h.map)) end,
    info = function(h) return map.info(h.map), map.fd(h.map), map.type(h.map), map.types(h.map) end,
    text = function(h) return tostring(h.map) end,
    close = function(h) return map.close(h.map) end,
    finalize = function(h) finalize(h.map) end,
  }
end

local references <const> = common.lasting(function()
  local inner = { type = "array", max_entries = 1, value = VALUE }
  local h = {
    outer = create { type = "hash_of_maps", max_entries = 4, key = KEY, inner = inner },
    inner = create(inner),
    devices = create { type = "devmap_hash", max_entries = 4, key = "u32" },
    groups = create { type = "cgroup_array", max_entries = 4 },
  }
  h.devices[1] = "lo"
  return h
end)

return {
  {
    name = "entries",
    setup = function()
      local m = create { type = "hash", max_entries = 20, key = KEY, value = VALUE }
      for i = 1, 4 do
        m[{ a = i }] = { a = i }
      end
      return { map = m, column = assert(map.column(m, "n")) }
    end,
    operations = common.with(entry_operations({ a = 1 }, { a = 1, n = { x = { 1 } }, lo = 1, b = "\1\0\0\0" }), {
      unpack = function(h) return map.unpack(h.map, { a = 1 }) end,
      into = function(h) return map.lookup(h.map, { a = 1 }, { into = { n = { x = {} } } }) end,
      take = function(h) return map.lookup_and_delete(h.map, { a = 2 }) end,
      pack = function(h) return map.pack(h.map, { a = 1 }, 5, "x", { x = { 1 } }, 1, "\1\0\0\0") end,
      pack_wrong = function(h) return map.pack(h.map, { a = 1 }, 5) end,
      column = function(h) h.column = map.column(h.map, "n.x") end,
      columns = function(h) h.column = map.column(h.map, "a", "n.x", "t") end,
      use_column = function(h) return h.column[{ a = 1 }], map.unpack(h.column, { a = 1 }) end,
      close_column = function(h) return map.close(h.column) end,
      finalize_column = function(h) finalize(h.column) end,
      no_column = function(h) return map.column(h.map, "n.y") end,
      wrong = function(h) h.map[{ a = 1 }] = { a = 1, n = { y = 1 } } end,
      equal = function(h) return h.map == h.typed end,
      typed = function(h) h.typed = map.typed(h.map, 304, VALUE) end,
      by_id = function(h) h.opened = map.by_id(map.info(h.map).id) end,
      by_fd = function(h) h.opened = map.by_fd(map.fd(h.map)) end,
      pin = function(h)
        common.pinned(function(path)
          map.pin(h.map, path)
          h.opened = map.open(path)
          map.unpin(h.map, path)
        end)
      end,
      resize = function(h) return map.resize(h.map, 30) end,
      attach = function(h) return map.attach(h.map) end,
      freeze = function(h) return map.freeze(h.map) end,
      types = function(h)
        local key, value = map.types(h.map)
        finalize(key)
        finalize(value)
      end,
    }),
  },
  {
    name = "per-CPU values",
    setup = function()
      local m = create { type = "percpu_hash", max_entries = 20, key = "u32", value = VALUE }
      m[1], m[2] = { a = 1 }, { a = 2 }
      local h = { map = m }
      h.step, h.walk = map.sums(m)
      return h
    end,
    operations = common.with(entry_operations(1, { { a = 1, t = "x" } }), {
      sum = function(h) return map.sum(h.map, 1) end,
      sums = function(h) h.step, h.walk = map.sums(h.map) end,
      step_sums = function(h) return h.step(h.walk) end,
      lookup_one = function(h) return map.lookup(h.map, 1, { cpu = 0, into = {} }) end,
      update_one = function(h) return map.update(h.map, 1, { a = 2 }, { cpu = 0 }) end,
      update_batch = function(h) return map.update_batch(h.map, h.map) end,
    }),
  },
  {
    name = "walks",
    setup = function()
      local h = { map = create { type = "hash", max_entries = 20, key = KEY, value = VALUE } }
      for i = 1, 4 do
        h.map[{ a = i }] = { a = i }
      end
      h.step, h.walk = pairs(h.map)
      h.step_drain, h.drain = map.drain(h.map)
      h.step_keys, h.keys = map.keys(h.map)
      h.cursor = select(3, map.lookup_batch(h.map, nil, 1))
      return h
    end,
    operations = {
      step = function(h) return h.step(h.walk) end,
      drain = function(h) return h.step_drain(h.drain) end,
      keys = function(h) return h.step_keys(h.keys) end,
      batch = function(h) return map.lookup_batch(h.map, h.cursor, 2) end,
      count = function(h) return #h.map end,
      open = function(h) h.step, h.walk = pairs(h.map) end,
      open_drain = function(h) h.step_drain, h.drain = map.drain(h.map) end,
      update_table = function(h) return map.update_batch(h.map, { [{ a = 1 }] = {}, [{ a = 9 }] = { a = 1 } }) end,
      update_drained = function(h) return map.update_batch(h.map, map.drain(h.map)) end,
      delete_keys = function(h) return map.delete_batch(h.map, map.keys(h.map)) end,
      delete_listed = function(h) return map.delete_batch(h.map, { { a = 1 }, { a = 3 }, { a = 30 } }) end,
      clear = function(h) return map.clear(h.map) end,
      close_walks = function(h) close(h.walk, h.drain, h.keys, h.cursor) end,
      finalize_walks = function(h) finalize(h.walk, h.drain, h.keys, h.cursor) end,
      close = function(h) return map.close(h.map) end,
      finalize = function(h) finalize(h.map) end,
    },
  },
  {
    name = "prefixes, walked by key",
    setup = function()
      local m = create { type = "lpm_trie", max_entries = 200, key = 8, value = VALUE }
      for i = 1, 65 do -- the memory of keys grows with the next
        m[("10.0.%d.0/24"):format(i)] = { a = i }
      end
      local h = { map = m }
      h.step, h.walk = pairs(m)
      for _ = 1, 63 do
        h.step(h.walk)
      end
      h.step_drain, h.drain = map.drain(m)
      return h
    end,
    operations = {
      index = function(h) return h.map["10.0.1.0/24"] end,
      assign = function(h) h.map["10.0.1.0/24"] = { a = 1 } end,
      remove = function(h) h.map["10.0.64.0/24"] = nil end,
      step = function(h)
        h.step(h.walk)
        h.step(h.walk)
      end,
      drain = function(h) return h.step_drain(h.drain) end,
      close_walks = function(h) close(h.walk, h.drain) end,
      finalize_walks = function(h) finalize(h.walk, h.drain) end,
      close = function(h) return map.close(h.map) end,
    },
  },
  {
    name = "memory",
    setup = function()
      local m = create { type = "array", max_entries = 5, value = VALUE, flags = "mmapable" }
      local numbers = create { type = "array", max_entries = 5, value = "u64", flags = "mmapable" }
      return {
        map = m, view = assert(map.view(m, "struct { u32 a[100]; }")), words = assert(map.view(m, "u32")),
        numbers = numbers,
      }
    end,
    operations = common.with(entry_operations(1, { a = 1, t = "x" }), {
      view = function(h) h.view = map.view(h.map, "struct { u32 a[100]; }") end,
      view_index = function(h) return h.view[1] end,
      view_assign = function(h) h.view[1] = { a = { 1, 2 } } end,
      word_index = function(h) return h.words[1] end,
      word_assign = function(h) h.words[1] = 5 end,
      view_text = function(h) return tostring(h.view), #h.view end,
      add = function(h) return map.add(h.numbers, 1, 2) end,
      add_wrong = function(h) return map.add(h.numbers, "1") end,
      close_numbers = function(h) return map.close(h.numbers) end,
      freeze = function(h) return map.freeze(h.map) end,
      clear = function(h) return map.clear(h.map) end,
      finalize_view = function(h) finalize(h.view) end,
    }),
  },
  {
    name = "queues",
    setup = function()
      local m = create { type = "queue", max_entries = 20, value = VALUE }
      for i = 1, 3 do
        map.push(m, { a = i })
      end
      return { map = m, step = (map.drain(m)) }
    end,
    operations = {
      push = function(h) return map.push(h.map, { a = 1, t = "x" }) end,
      pop = function(h) return map.pop(h.map) end,
      peek = function(h) return map.peek(h.map) end,
      drain = function(h) return h.step(h.map) end,
      clear = function(h) return map.clear(h.map) end,
      contains = function(h) return map.contains(h.map, {}) end,
      close = function(h) return map.close(h.map) end,
      finalize = function(h) finalize(h.map) end,
    },
  },
  {
    name = "references", -- where the kernel waits for programs to have done with what is replaced
    intruders = { "close_inner", "close_outer", "close_drain", "finalize" },
    setup = function()
      local h = references()
      if not h.outer[{ a = 1 }] then
        h.outer[{ a = 1 }] = h.inner
      end
      h.step_drain, h.drain = map.drain(h.outer)
      return h
    end,
    operations = {
      inner_index = function(h) h.got = h.outer[{ a = 1 }] end,
      inner_assign = function(h) h.outer[{ a = 2 }] = h.inner end,
      inner_batch = function(h) return map.update_batch(h.outer, { [{ a = 3 }] = h.inner }) end,
      inner_drain = function(h) h.got = select(2, h.step_drain(h.drain)) end,
      device_assign = function(h) h.devices[2] = { ifindex = "lo" } end,
      device_index = function(h) return h.devices[1] end,
      group_assign = function(h) h.groups[1] = "/sys/fs/cgroup" end,
      close_inner = function(h) return map.close(h.inner) end,
      close_outer = function(h) return map.close(h.outer), map.close(h.devices), map.close(h.groups) end,
      close_drain = function(h) close(h.drain) end,
      finalize = function(h) finalize(h.inner, h.outer, h.devices, h.groups) end,
    },
  },
  {
    name = "creation",
    intruders = { "create", "close", "use" },
    setup = function()
      local inner = create { type = "array", max_entries = 1, value = "u32" }
      local options = { type = "hash", max_entries = 2, key = KEY, value = VALUE }
      return { inner = inner, outer = create { type = "array_of_maps", max_entries = 2, inner = options } }
    end,
    operations = {
      create = function(h)
        h.map = map.create { type = "hash", name = "reentry", max_entries = 4, key = KEY, value = VALUE }
      end,
      create_outer = function(h)
        h.map = map.create { type = "array_of_maps", max_entries = 4, inner = h.inner }
      end,
      like = function(h) h.map = map.create { like = h.inner, name = "like", max_entries = 2 } end,
      like_outer = function(h) h.map = map.create { like = h.outer } end,
      refused = function() return map.create { type = "hash", max_entries = 0, key = "u32", value = VALUE } end,
      wrong = function() return map.create { type = "hash", key = "u32", value = "struct x { int a b; }" } end,
      close = function(h) return map.close(h.inner), map.close(h.outer) end,
      use = function(h) h.map[{ a = 1 }] = { a = 1 } end,
    },
  },
}

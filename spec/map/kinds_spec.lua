-- SPDX-License-Identifier: MIT
-- Every kind of map: which operations it has, and that the others raise an error which names those. What the operations
-- do is said by the spec of each kind.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local programs = require("spec.support.kinds")
local sorted = require("bpf.base.sorted")
local bpf = require("bpf")

local map = bpf.map

kernel.root()

-- The operations in the order in which messages name them: what messages call each, and calls that need it. A call
-- is given the map, a key and a value, which do for the map; what becomes of them is not the matter here.
local operations = {
  { name = "lookup", calls = {
    function(m, k) return map.lookup(m, k) end,
    function(m, k) return map.unpack(m, k) end,
    function(m, k) return m[k] end,
  } },
  { name = "update", calls = {
    function(m, k, v) return map.update(m, k, v) end,
    function(m, k, v) m[k] = v end,
    function(m, k, v) return map.update_batch(m, { [k] = v }) end,
  } },
  { name = "delete", calls = {
    function(m, k) return map.delete(m, k) end,
    function(m, k) m[k] = nil end,
    function(m, k) return map.delete_batch(m, { k }) end,
  } },
  { name = "lookup_and_delete", calls = {
    function(m, k) return map.lookup_and_delete(m, k) end,
  } },
  { name = "next_key, pairs", calls = {
    function(m) return map.next_key(m) end,
    function(m) return pairs(m) end,
    function(m) return map.keys(m) end,
  } },
  { name = "push", calls = {
    function(m, _, v) return map.push(m, v) end,
  } },
  { name = "pop, peek", calls = {
    function(m) return map.pop(m) end,
    function(m) return map.peek(m) end,
  } },
  { name = "contains", calls = {
    function(m, _, v) return map.contains(m, v) end,
  } },
  { name = "view", calls = {
    function(m) return map.view(m, "__u8") end,
  } },
}

local HASH = { "lookup", "update", "delete", "lookup_and_delete", "next_key, pairs" }
local TABLE = { "lookup", "update", "delete", "next_key, pairs" }
local ARRAY = { "lookup", "update", "next_key, pairs" }
local WRITTEN = { "update", "delete" }
local STORAGE = { "lookup", "update", "delete" }
local QUEUE = { "push", "pop, peek" }

-- Descriptors that are none, for values that have to be descriptors.
local NO_FD = 1 << 20

local INNER = { type = "hash", key = "__u32", value = "__u32", max_entries = 1 }

-- For each kind: the kernel that has it, what it can, options to create one, and the key and value of the calls;
-- `no_value` where a value would have to be made first.
local kinds = {
  hash = { can = HASH, key = "__u32", value = "__u32" },
  percpu_hash = { since = "4.6", can = HASH, key = "__u32", value = "__u32" },
  lru_hash = { since = "4.10", can = HASH, key = "__u32", value = "__u32" },
  lru_percpu_hash = { since = "4.10", can = HASH, key = "__u32", value = "__u32" },
  array = { can = ARRAY, value = "__u32" },
  percpu_array = { since = "4.6", can = ARRAY, value = "__u32" },
  lpm_trie = { since = "4.11", can = TABLE, key = "struct p { __u32 len; __u8 data[4]; }", value = "__u32",
    k = "10.0.0.0/8" },
  queue = { since = "4.20", can = QUEUE, value = "__u32" },
  stack = { since = "4.20", can = QUEUE, value = "__u32" },
  bloom_filter = { since = "5.16", can = { "push", "contains" }, value = "__u32" },
  prog_array = { can = TABLE, no_value = true },
  array_of_maps = { since = "4.12", can = TABLE, inner = INNER, no_value = true },
  hash_of_maps = { since = "4.12", can = TABLE, key = "__u32", inner = INNER, no_value = true },
  perf_event_array = { can = WRITTEN, v = NO_FD },
  cgroup_array = { since = "4.8", can = WRITTEN, v = NO_FD },
  stack_trace = { since = "4.6", can = { "lookup", "delete", "lookup_and_delete", "next_key, pairs" } },
  devmap = { since = "4.14", can = TABLE },
  devmap_hash = { since = "5.4", can = TABLE },
  cpumap = { since = "4.15", can = TABLE },
  xskmap = { since = "4.18", can = WRITTEN, v = NO_FD },
  sockmap = { since = "4.14", can = TABLE, v = NO_FD },
  sockhash = { since = "4.18", can = TABLE, key = "__u32", v = NO_FD },
  reuseport_sockarray = { since = "4.19", can = TABLE, v = NO_FD },
  sk_storage = { since = "5.2", can = STORAGE, value = "__u32", max_entries = false, k = NO_FD },
  inode_storage = { since = "5.10", config = "CONFIG_BPF_LSM", can = STORAGE, value = "__u32", max_entries = false,
    k = NO_FD },
  task_storage = { since = "5.11", can = STORAGE, value = "__u32", max_entries = false, k = 1 << 22 },
  cgrp_storage = { since = "6.2", can = STORAGE, value = "__u32", max_entries = false, k = NO_FD },
  cgroup_storage = { since = "4.19", can = ARRAY, value = "__u32", max_entries = false,
    k = { cgroup_inode_id = 1 << 60 } },
  percpu_cgroup_storage = { since = "4.20", can = ARRAY, value = "__u32", max_entries = false,
    k = { cgroup_inode_id = 1 << 60 } },
  ringbuf = { since = "5.8", can = {}, max_entries = 1 << 16 },
  user_ringbuf = { since = "6.1", can = {}, max_entries = 1 << 16 },
  arena = { since = "6.9", can = { "view" } },
  struct_ops = { since = "5.6", can = {} },
}

local function set_of(list)
  local set = {}
  for _, name in ipairs(list) do
    set[name] = true
  end
  return set
end

-- Makes one of the kind, and perhaps what it belongs to.
local function make(name, kind)
  if name == "struct_ops" then
    local obj = assert(bpf.load(helper.obj("congestion")))
    return obj.maps.lbpf, obj
  end
  local max_entries = kind.max_entries
  return assert(map.create({ type = name, name = "m", key = kind.key, value = kind.value, inner = kind.inner,
    max_entries = max_entries == nil and 4 or max_entries or nil }))
end

-- The error that a call raises: its text, or "".
local function error_of(call, m, kind)
  local ok, message = pcall(call, m, kind.k or 0, kind.v or 0)
  return ok and "" or tostring(message)
end

it("the table below has every kind that the library knows", function()
  local message = helper.raises(function() map.create({ type = "nothing" }) end, "map type 'nothing' is unknown")
  local known = {}
  for name in message:match("one of: (.*)%)"):gmatch("[%w_]+") do
    known[name] = true
  end
  assert.same(sorted.keys(known), sorted.keys(kinds))
end)

for _, name in ipairs(sorted.keys(kinds)) do
  local kind = kinds[name]

  describe("a map of type " .. name, function()
    kernel.need(name, kind.since or "4.5")
    if kind.config and kernel.config(kind.config) == "n" then
      helper.skip(name .. " needs a kernel with " .. kind.config)
    elseif name == "struct_ops" then
      programs.need("struct_ops")
    end

    local m, obj
    local can = set_of(kind.can)
    local label = name == "struct_ops" and "lbpf" or "m"

    setup(function()
      m, obj = make(name, kind)
    end)

    teardown(function()
      if obj then
        obj:close()
      else
        map.close(m)
      end
    end)

    it("is of its type, for Lua and for the kernel, whoever opens it", function()
      assert.equal(name, map.type(m))
      local info = map.info(m)
      assert.equal(name, info.type == "other" and name or info.type) -- libbpf may not know its name
      local again <close> = assert(map.by_id(info.id))
      assert.equal(name, map.type(again))
      assert.is_true(again == m)
      assert.matches("^bpf%.map: " .. label .. " %(" .. name .. "[,)]", tostring(m))
    end)

    it("has the operations that the table says", function()
      for _, operation in ipairs(operations) do
        if can[operation.name] and not (kind.no_value and operation.name == "update") then
          for i, call in ipairs(operation.calls) do
            local message = error_of(call, m, kind)
            assert.is_nil(message:find("maps of type", 1, true), operation.name .. " " .. i .. ": " .. message)
          end
        end
      end
    end)

    it("has no others, and says which it has", function()
      local have = kind.can[1] and table.concat(kind.can, ", ") or "none on entries"
      local prefix, suffix = ("map '%s': maps of type %s have no "):format(label, name), " (they have: " .. have .. ")"
      for _, operation in ipairs(operations) do
        if not can[operation.name] then
          for i, call in ipairs(operation.calls) do
            local message = error_of(call, m, kind)
            local where = operation.name .. " " .. i .. ": " .. message
            assert.is_truthy(message:find(prefix, 1, true), where)
            assert.is_truthy(message:find(suffix, 1, true), where)
          end
        end
      end
    end)

    it("has what is made of several operations, where it has those", function()
      local walks = can["next_key, pairs"]
      for what, has in pairs({
        clear = walks and can.delete or can["pop, peek"] or name:find("array$") or name == "xskmap",
        drain = walks and can.lookup and can.delete or can["pop, peek"],
        lookup_batch = walks and can.lookup,
        sum = name:find("^percpu") or name == "lru_percpu_hash",
      }) do
        local message = error_of(map[what], m, kind)
        local refused = message:find("maps of type " .. name .. " have no ", 1, true) ~= nil
        assert.equal(not has, refused, what .. ": " .. message)
      end
    end)
  end)
end

-- No kernel has a type that is new to the library (and one that has would be told by the first test above failing
-- when the library learns it). What can be had is an object that declares one: a handle before the load.
describe("a map of a type that nobody knows", function()
  it("can be declared, is of type other, and is refused by the kernel", function()
    local obj <close> = assert(bpf.open(helper.obj("unknown")))
    local future = obj.maps.future
    assert.equal("other", map.type(future))
    assert.matches("^bpf%.map: future %(other, ", tostring(future))
    helper.raises(function() return future[0] end, "does not exist before its object is loaded")
    local result, message, code = obj:load()
    assert.is_nil(result)
    assert.equal("EINVAL", code)
    assert.matches("future", message)
  end)
end)

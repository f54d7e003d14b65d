-- SPDX-License-Identifier: MIT
-- What the examples of bpf.map use. Each map is created when an example first names it. bpf.map's head in
-- build-aux/reference.head.md describes them to readers.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local map = bpf.map

local makers = {}

function makers.m()
  local m = assert(map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 16 })
  for k = 1, 3 do
    m[k] = 10 * k
  end
  return m
end

function makers.hits()
  local m = assert(map.create {
    type = "hash", key = "__u32", value = "struct hit { __u64 count; char comm[16]; }", max_entries = 16,
  })
  m[1] = { count = 5, comm = "curl" }
  return m
end

function makers.cpus()
  return assert(map.create { type = "percpu_array", value = "__u64", max_entries = 4 })
end

function makers.slots()
  return assert(map.create { type = "array", value = "__u64", max_entries = 8, flags = "mmapable" })
end

function makers.queue()
  return assert(map.create { type = "queue", value = "__u64", max_entries = 4 })
end

function makers.filter()
  kernel.need("bloom filters", "5.16")
  return assert(map.create { type = "bloom_filter", value = "__u32", max_entries = 100 })
end

return function(env)
  local made = {}
  helper.bpffs()
  setmetatable(env, {
    __index = function(_, name)
      if not makers[name] then
        return _G[name]
      end
      made[name] = makers[name]()
      env[name] = made[name]
      return made[name]
    end,
  })
  return function()
    for _, m in pairs(made) do
      map.close(m)
    end
  end
end

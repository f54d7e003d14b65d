-- SPDX-License-Identifier: MIT
-- What spec/support/host.c runs out of memory in: cases that open something, use it and close it.
local bpf = require "bpf"

local function create_and_use()
  local map <close> = assert(bpf.map.create {
    type = "hash", name = "oom", max_entries = 8,
    key = "__u32", value = "struct oom { __u64 count; char comm[16]; }",
  })
  map[1] = { count = 5, comm = "lua" }
  assert(map[1].count == 5)
  for key in pairs(map) do
    map[key] = nil
  end
end

-- Nothing closes these: the collector has to.
local function create_and_drop()
  local map = assert(bpf.map.create { type = "array", key = "__u32", value = "__u64", max_entries = 4 })
  map[0] = 1
end

local cases = {
  { "a map that is closed", create_and_use },
  { "a map that is collected", create_and_drop },
}

-- Joins in once there is a program of this name.
local object = "build/progs/oom.bpf.o"
if os.rename(object, object) then
  cases[#cases + 1] = { "an object that is opened and closed", function()
    local _ <close> = assert(bpf.open(object))
  end }
end

return cases

-- SPDX-License-Identifier: MIT
--- Functions for programs written in Lua; those about the order of bytes work in scripts as well.
-- @module bpf

local argument = require("bpf.base.argument")
local helpers = require("bpf.program.helpers")

local error = argument.error

local words = { atomic = {}, swaps = { ntohs = 16, ntohl = 32, htons = 16, htonl = 32, be64 = 64 } }

local function swap(name, bits)
  local from, to = "<I" .. bits // 8, ">I" .. bits // 8
  local mask = bits == 64 and -1 or (1 << bits) - 1
  return function(n)
    argument.check(1, name, n, "integer")
    return (string.unpack(to, string.pack(from, n & mask)))
  end
end

for name, bits in pairs(words.swaps) do
  words[name] = swap(name, bits)
end

-- A function that means something in programs only.
local function only_in_programs(name)
  return function()
    error(name .. " can be called in a BPF program only: in a function that is given to bpf.program", 2)
  end
end

words.cast = only_in_programs("bpf.cast")

-- The kernel's operation behind each of bpf.atomic.
words.atomics = {
  add = "add", fetch_add = "add", fetch_and = "and", fetch_or = "or", fetch_xor = "xor", exchange = "xchg",
}
for name in pairs(words.atomics) do
  words.atomic[name] = only_in_programs("bpf.atomic." .. name)
end

-- The name of each function in bpf.helper.
words.helper_names = {}

words.helper = setmetatable({}, {
  __name = "bpf.helper",
  __index = function(helper, name)
    if type(name) ~= "string" or not (helpers[name] or name == "printk") then
      return nil
    end
    local fn = only_in_programs("bpf.helper." .. name)
    words.helper_names[fn] = name
    rawset(helper, name, fn)
    return fn
  end,
  __tostring = function() return ("bpf.helper: %d helpers of the kernel"):format(#helpers) end,
})

return words

-- SPDX-License-Identifier: MIT
--- Functions for programs written in Lua; those about the order of bytes work in scripts as well.
-- @module bpf

local argument = require("bpf.base.argument")

local error = argument.error

local words = { atomic = {}, swaps = { ntohs = 16, ntohl = 32, htons = 16, htonl = 32, be64 = 64 } }

-- The order of bytes --------------------------------------------------------------------------------------------------

--- Swaps the two bytes of a 16-bit integer, on machines whose lowest byte is the first one: between the order of the
-- network and the machine's. It works in scripts and in programs.
-- @in bpf.program
-- @function bpf.ntohs
-- @function bpf.htons
-- @tparam integer n of which the lowest 16 bits count
-- @treturn integer from 0 to 65535
-- @usage
-- print(bpf.ntohs(0x5000)) --> 80

--- Swaps the bytes of a 32-bit integer, as bpf.ntohs does for 16 bits.
-- @in bpf.program
-- @function bpf.ntohl
-- @function bpf.htonl
-- @tparam integer n of which the lowest 32 bits count
-- @treturn integer from 0 to 4294967295
-- @usage
-- print(bpf.htonl(0x7f000001)) --> 16777343

--- Swaps the bytes of a 64-bit integer, as bpf.ntohs does for 16 bits.
-- @in bpf.program
-- @function bpf.be64
-- @tparam integer n
-- @treturn integer
-- @usage
-- print(bpf.be64(1)) --> 72057594037927936

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

--- Makes a pointer to a struct of the kernel out of an address. Only programs can call it. Reading a member of a
-- pointer that is 0 ends the program.
-- @in bpf.program
-- @function bpf.cast
-- @tparam integer address of the struct
-- @tparam string type "struct NAME" or "union NAME" of the kernel's BTF
-- @tparam ?string space "user" for memory of the process, "kernel" for the kernel's; by default where a pointer leads
-- to, and the kernel's for a number
-- @treturn table the struct, which can't be written
-- @usage
-- local parent <close> = assert(bpf.program("raw_tp/sys_enter", function()
--   return bpf.cast(bpf.helper.get_current_task(), "struct task_struct").real_parent.tgid
-- end))
-- print(parent:run {}.retval) -- the process that has started this one
words.cast = only_in_programs("bpf.cast")

--- Tells whether a struct of the kernel's has a member. Only programs can call it.
--
-- In a program that is compiled for the running kernel, the answer is a constant, and what follows from `false` isn't
-- compiled. In an object of bpf.assemble, the kernel that loads the object answers.
-- @in bpf.program
-- @function bpf.has
-- @tparam table struct
-- @tparam string member the name of the member
-- @tparam ?string type of a member that the BTF of bpf.assemble lacks, as C. The program can then read the member where
-- bpf.has was true. Without the type, the answer for such a member is always false
-- @treturn boolean
-- @see bpf.assemble
-- @usage
-- local state <close> = assert(bpf.program("raw_tp/sys_enter", function()
--   local task = bpf.cast(bpf.helper.get_current_task(), "struct task_struct")
--   if bpf.has(task, "__state", "unsigned int") then return task.__state end
--   if bpf.has(task, "state", "long") then return task.state end -- before Linux 5.14
-- end))
-- print(state:run {}.retval) --> 0
words.has = only_in_programs("bpf.has")

-- Atomic operations ---------------------------------------------------------------------------------------------------

--- Adds to a member of an entry in one step: no CPU loses what another one adds meanwhile. Only programs can call it.
-- @in bpf.program
-- @function bpf.atomic.add
-- @tparam table struct the value of an entry, as a look-up gives it; where the entry may be absent, tested before
-- @tparam string member the name of an integer of 4 or 8 bytes
-- @tparam integer n
-- @usage
-- local count <close> = assert(bpf.program("xdp", function(ctx)
--   bpf.atomic.add(flows[0], "packets", 1)
--   bpf.atomic.add(flows[0], "bytes", ctx.data_end - ctx.data)
--   return 2
-- end))
-- count:run { data = ("\0"):rep(64), repeat_ = 10 }
-- print(flows[0].packets, flows[0].bytes) --> 10   640

--- Adds to a member of an entry in one step, and returns what the member was before. Only programs can call it.
-- @in bpf.program
-- @function bpf.atomic.fetch_add
-- @tparam table struct the value of an entry, as for bpf.atomic.add
-- @tparam string member the name of an integer of 4 or 8 bytes
-- @tparam integer n
-- @treturn integer the value before
-- @since Linux 5.12
-- @usage
-- local prog <close> = assert(bpf.program("xdp", function()
--   return bpf.atomic.fetch_add(states[0], "count", 1)
-- end))
-- print(prog:run { data = ("\0"):rep(64) }.retval)

--- Sets a member of an entry to `member & n` in one step, and returns what the member was before. Only programs
-- can call it.
-- @in bpf.program
-- @function bpf.atomic.fetch_and
-- @tparam table struct the value of an entry, as for bpf.atomic.add
-- @tparam string member the name of an integer of 4 or 8 bytes
-- @tparam integer n
-- @treturn integer the value before
-- @since Linux 5.12
-- @usage
-- local prog <close> = assert(bpf.program("xdp", function()
--   return bpf.atomic.fetch_and(states[0], "bits", ~1)
-- end))
-- print(prog:run { data = ("\0"):rep(64) }.retval)

--- Sets a member of an entry to `member | n` in one step, and returns what the member was before. Only programs
-- can call it.
-- @in bpf.program
-- @function bpf.atomic.fetch_or
-- @tparam table struct the value of an entry, as for bpf.atomic.add
-- @tparam string member the name of an integer of 4 or 8 bytes
-- @tparam integer n
-- @treturn integer the value before
-- @since Linux 5.12
-- @usage
-- local prog <close> = assert(bpf.program("xdp", function()
--   return bpf.atomic.fetch_or(states[0], "bits", 1)
-- end))
-- print(prog:run { data = ("\0"):rep(64) }.retval)

--- Sets a member of an entry to `member ~ n` in one step, and returns what the member was before. Only programs
-- can call it.
-- @in bpf.program
-- @function bpf.atomic.fetch_xor
-- @tparam table struct the value of an entry, as for bpf.atomic.add
-- @tparam string member the name of an integer of 4 or 8 bytes
-- @tparam integer n
-- @treturn integer the value before
-- @since Linux 5.12
-- @usage
-- local prog <close> = assert(bpf.program("xdp", function()
--   return bpf.atomic.fetch_xor(states[0], "bits", 1)
-- end))
-- print(prog:run { data = ("\0"):rep(64) }.retval)

--- Replaces a member of an entry in one step, and returns what the member was before. Only programs can call it.
-- @in bpf.program
-- @function bpf.atomic.exchange
-- @tparam table struct the value of an entry, as for bpf.atomic.add
-- @tparam string member the name of an integer of 4 or 8 bytes
-- @tparam integer n the new value
-- @treturn integer the value before
-- @since Linux 5.12
-- @usage
-- local prog <close> = assert(bpf.program("xdp", function()
--   return bpf.atomic.exchange(states[0], "count", 0)
-- end))
-- print(prog:run { data = ("\0"):rep(64) }.retval)

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
    if type(name) ~= "string" or not (name == "printk" or require("bpf.program.helpers")[name]) then
      return nil
    end
    local fn = only_in_programs("bpf.helper." .. name)
    words.helper_names[fn] = name
    rawset(helper, name, fn)
    return fn
  end,
  __tostring = function() return ("bpf.helper: %d helpers of the kernel"):format(#require("bpf.program.helpers")) end,
})

return words

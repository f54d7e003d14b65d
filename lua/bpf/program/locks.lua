-- SPDX-License-Identifier: MIT
--- Locks of entries in programs.
-- @module bpf.map
local core = require("bpf.core")
local argument = require("bpf.base.argument")
local Compiler = require("bpf.program.compiler")
require("bpf.program.maps") -- whose functions are there before this one
local values = require("bpf.program.values")

local error = argument.error

local locks = {}

local LOCK <const>, UNLOCK <const> = 93, 94

-- Kinds of sections whose programs the kernel lets take no lock: they may interrupt who holds it.
local REFUSED = {}
for name in ([[tracepoint tp raw_tp raw_tracepoint raw_tp.w raw_tracepoint.w kprobe kretprobe kprobe.multi
  kretprobe.multi kprobe.session ksyscall kretsyscall uprobe uretprobe uprobe.multi uretprobe.multi uprobe.session
  usdt perf_event socket]]):gmatch("%S+") do
  REFUSED[name] = true
end

-- Checks the program, the entry and the function.
local function read_arguments(c, arguments)
  local v, fn = arguments[1] or values.NIL, arguments[2] or values.NIL
  local kind = (c.root.section or ""):match("^[^/]*"):gsub("%.s$", "")
  if REFUSED[kind] then
    c:fail("map.locked: the kernel refuses locks in programs of section '%s': use bpf.atomic, or a map per CPU", kind)
  elseif fn.kind ~= "closure" and not (fn.kind == "constant" and type(fn.value) == "function") then
    c:fail("map.locked: a function is expected, this is %s", values.describe(fn))
  elseif v.kind ~= "pointer" or v.space ~= "map" or not v.type.lock then
    c:fail("map.locked: an entry of a map whose values have a struct bpf_spin_lock is expected, this is %s",
      values.describe(v))
  elseif v.null then
    c:fail("map.locked: the entry may be nil here: test it before")
  end
  return v, fn
end

-- Strings that the function uses and that are still to be read are read before.
local function read_pending(c, fn)
  for n, v in pairs(fn.upvalues or {}) do
    fn.upvalues[n] = c:materialize(v)
  end
end

-- map.locked(v, function(v) … end)
local function locked(c, arguments)
  local f = c.f
  local v, fn = read_arguments(c, arguments)
  read_pending(c, fn)
  local lock = f:alu("add", v.r, v.offset + v.type.lock)
  f:call(LOCK, lock)
  local function forbid()
    c.root.at:fail("map.locked: nothing can be looked up, called or walked over while the lock is held: "
      .. "do that before, or behind")
  end
  local function unlock()
    f.forbid = nil
    f:call(UNLOCK, lock)
    f.forbid = forbid
  end
  f.forbid = forbid
  local results = c:inline(fn.kind == "constant" and fn.value or nil, fn.kind == "closure" and fn or nil, { v }, unlock)
  if f.current then
    unlock()
  end
  f.forbid = nil
  return #results > 0 and results or nil
end

--- Calls a function while the lock of an entry is held, in a program: no program, and no script that reads or writes
-- with "lock", sees half of what the function does. Only programs can call it. In the function, members can be read and
-- assigned, and loops of a few rounds be made; nothing can be looked up, and no helper called.
-- @function bpf.map.locked
-- @param v the value of an entry, as a look-up gives it; where the entry may be absent, tested before. Its type has a
-- member of `struct bpf_spin_lock`
-- @tparam function fn gets the value; an error within ends the program, and gives the lock back
-- @return what the function returns
-- @since Linux 5.1. Probes, tracepoints, perf_event and socket filters can't have locks: a compile error
-- @usage
-- local accounts <close> = assert(bpf.map.create {
--   type = "array", max_entries = 1, key = "__u32",
--   value = "struct account { struct bpf_spin_lock lock; __u64 packets, bytes; }",
-- })
-- local count <close> = assert(bpf.program("xdp", function(ctx)
--   local size = ctx.data_end - ctx.data
--   bpf.map.locked(accounts[0], function(v)
--     v.packets = v.packets + 1
--     v.bytes = v.bytes + size
--   end)
--   return 2
-- end))
-- count:run { data = ("\0"):rep(64), repeat_ = 10 }
-- local account = bpf.map.lookup(accounts, 0, "lock")
-- print(account.packets, account.bytes) --> 10   640
function locks.locked()
  error("bpf.map.locked can be called in a BPF program only: in a function that is given to bpf.program", 3)
end

Compiler.intrinsics[core.map.locked] = locked

return locks

-- SPDX-License-Identifier: MIT
-- Measures BPF programs written in Lua beside the same ones in C: instructions, run time, compiling and loading; and
-- map.scan beside walks in C. Run by `make bench`; as root, and after `make bench` has built what it needs,
-- `lua5.4 bench/programs.lua scan` measures only the rows that match a pattern.
if not package.searchpath("bpf.core", package.cpath) then
  package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
  package.cpath = "build/release/?.so;" .. package.cpath
end
package.path = "bench/support/?.lua;" .. package.path

local bpf = require "bpf"
local measure = require "measure"

local map, helper, clock = bpf.map, bpf.helper, os.clock

local OBJECT <const> = "build/bench/programs.bpf.o"
local RUNS <const> = 200000
local ENTRIES <const> = 200000
local OPENAT <const> = "tracepoint/syscalls/sys_enter_openat"

local counts = assert(map.create { type = "hash", name = "counts", key = "__u32", value = "__u64", max_entries = 1024 })
local slots = assert(map.create { type = "array", name = "slots", key = "__u32", value = "__u64", max_entries = 16 })
local sources = assert(map.create {
  type = "hash", name = "sources", key = "__u32", value = "struct traffic { __u64 packets, bytes; }",
  max_entries = 1024,
})
local blocked = assert(map.create {
  type = "lpm_trie", name = "blocked", key = "struct prefix { __u32 len; unsigned char address[4]; }",
  value = "__u32", max_entries = 64, flags = "no_prealloc",
})
local events = assert(map.create { type = "ringbuf", name = "events", max_entries = 1 << 16 })
local Event = bpf.btf.type "struct event { __u64 pid; char comm[16]; char path[64]; __u64 flags; }"
local Address = bpf.btf.type "struct { unsigned char bytes[4]; }"

local PASS, DROP = 2, 1
local me = 4711

local function count(ctx)
  local key = ctx.ingress_ifindex & 255
  counts[key] = (counts[key] or 0) + 1
  return PASS
end

local function add(ctx)
  map.add(counts, ctx.ingress_ifindex & 255, 1)
  return PASS
end

local function slot(ctx)
  local key = ctx.ingress_ifindex & 7
  slots[key] = (slots[key] or 0) + 1
  return PASS
end

local function arithmetic(ctx)
  local sum = ctx.ingress_ifindex
  for i = 1, 20 do
    sum = sum * 31 + i
    if sum & 1 == 1 then
      sum = sum ~ (sum >> 7)
    else
      sum = sum + 3
    end
  end
  return sum & 3
end

local function filter(ctx)
  local eth = ctx:packet(0, "struct ethhdr")
  if not eth or eth.h_proto ~= bpf.htons(0x0800) then
    return PASS
  end
  local ip = ctx:packet(14, "struct iphdr")
  if not ip then
    return PASS
  end
  local source = ip.saddr
  local seen = sources[source]
  if seen then
    bpf.atomic.add(seen, "packets", 1)
    bpf.atomic.add(seen, "bytes", bpf.ntohs(ip.tot_len))
  else
    sources[source] = { packets = 1, bytes = bpf.ntohs(ip.tot_len) }
  end
  local address = ctx:packet(26, Address)
  if address and blocked[{ len = 32, address = address.bytes }] then
    return DROP
  end
  if ip.protocol == 17 then
    local port = ctx:packet(14 + ip.ihl * 4 + 2, "__be16")
    if port == bpf.htons(9999) then
      return DROP
    end
  end
  return PASS
end

local function opens(ctx)
  local pid = helper.get_current_pid_tgid() >> 32
  if pid == me then
    return 0
  end
  helper.ringbuf_output(events, Event, {
    pid = pid, comm = helper.get_current_comm(), path = helper.probe_read_user_str(ctx.filename), flags = ctx.flags,
  })
end

local programs = {
  { name = "count", section = "xdp", fn = count }, { name = "add", section = "xdp", fn = add },
  { name = "slot", section = "xdp", fn = slot }, { name = "arithmetic", section = "xdp", fn = arithmetic },
  { name = "filter", section = "xdp", fn = filter }, { name = "opens", section = OPENAT, fn = opens },
}

local in_c = assert(bpf.load(OBJECT))

-- An Ethernet frame with a UDP datagram that passes the filter.
local PACKET <const> = ("\1"):rep(12) .. string.pack(">I2BBI2I2I2BBI2", 0x800, 0x45, 0, 28, 0, 0, 64, 17, 0)
  .. "\1\2\3\4\10\0\0\9" .. string.pack(">I2I2I2I2", 1234, 53, 8, 0)

-- The instructions that the kernel runs.
local function instructions(prog)
  return prog:info().xlated_prog_len // 8
end

local function size_row(p)
  return {
    name = p.name .. ": instructions", unit = "of 8 bytes", runs = 1, target = { ratio = 1.25 }, prepare = function()
      local prog = assert(bpf.program(p.section, p.fn))
      return function() return instructions(prog) end, function() return instructions(in_c.progs[p.name]) end,
        function() prog:close() end
    end,
  }
end

local function run_row(p)
  return {
    name = p.name .. ": a run", target = { ratio = 1.1 }, prepare = function()
      local prog = assert(bpf.program(p.section, p.fn))
      local function run(which)
        return assert(which:run { data = PACKET, repeat_ = RUNS }).duration
      end
      return function() return run(prog) end, function() return run(in_c.progs[p.name]) end, function() prog:close() end
    end,
  }
end

-- Compiling and loading, in milliseconds: what it takes once, and when the compiler has been used.
local function load_row(p)
  return {
    name = p.name .. ": compile and load", unit = "ms", target = { max = 3 }, prepare = function()
      return function()
        local start = clock()
        assert(bpf.program(p.section, p.fn)):close()
        return (clock() - start) * 1e3
      end
    end,
  }
end

local FIRST <const> = [[
  local bpf = require "bpf"
  local counts = assert(bpf.map.create { type = "hash", key = "__u32", value = "__u64", max_entries = 1024 })
  local start = os.clock()
  assert(bpf.program("xdp", function(ctx)
    local key = ctx.ingress_ifindex & 255
    counts[key] = (counts[key] or 0) + 1
    return 2
  end))
  print((os.clock() - start) * 1e3)
]]

local function first_run()
  local command = ("LUA_PATH='%s' LUA_CPATH='%s' lua5.4 -e '%s'"):format(package.path, package.cpath, FIRST)
  local pipe = assert(io.popen(command))
  local ms = pipe:read("n")
  assert(pipe:close() and ms, "a first program failed")
  return ms
end

-- map.scan, beside the same scan in C, and beside C's walks over the map by batches and by steps.
local function scan_row(name, ratio, c_loop)
  return {
    name = name, target = { ratio = ratio }, prepare = function()
      local m, limit = in_c.maps.scanned, ENTRIES // 2
      assert(map.update_batch(m, coroutine.wrap(function()
        for k = 0, ENTRIES - 1 do
          coroutine.yield(k, k)
        end
      end)))
      in_c.vars.limit = limit
      local function each(scan)
        local start = clock()
        local n = scan()
        local time = clock() - start
        assert(n == limit, n)
        return time * 1e9 / ENTRIES
      end
      return function()
        return each(function()
          return map.scan(m, function(_, v) if v < limit then return 1 end end)
        end)
      end, c_loop and ("%s %d"):format(c_loop, map.info(m).id) or function()
        return each(function()
          assert(in_c.progs.scan:run {})
          return in_c.vars.found
        end)
      end
    end,
  }
end

local rows = {}
for _, p in ipairs(programs) do
  rows[#rows + 1] = size_row(p)
end
for _, p in ipairs(programs) do
  rows[#rows + 1] = p.section == "xdp" and run_row(p) or nil
end
for _, p in ipairs(programs) do
  rows[#rows + 1] = load_row(p)
end
rows[#rows + 1] = {
  name = "count: the first program of a process", unit = "ms", target = { max = 10 },
  prepare = function() return first_run end,
}
rows[#rows + 1] = scan_row("map.scan, an entry; the same in C", 1.1)
rows[#rows + 1] = scan_row("map.scan, an entry; C's batches", 0.3, "batch")
rows[#rows + 1] = scan_row("map.scan, an entry; C's steps", 0.03, "step")

measure.pin()
measure.run(rows, arg[1] or "")

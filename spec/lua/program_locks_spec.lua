-- SPDX-License-Identifier: MIT
-- map.locked in BPF programs written in Lua: entries that are changed under their lock.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"
local kinds = require "spec.support.kinds"

local map, helper = bpf.map, bpf.helper
local PACKET <const> = ("\0"):rep(64)
local ACCOUNT = "struct account { __u64 packets; struct bpf_spin_lock lock; __u64 bytes; __u32 sizes[4]; }"

setup(function()
  kernel.root()
  kernel.need("a lock in the program that a script runs", "5.10")
end)

local function create(type)
  return assert(map.create { type = type, max_entries = 4, key = "__u32", value = ACCOUNT })
end

local function run(prog, times)
  return assert(prog:run { data = PACKET, repeat_ = times }).retval
end

local function xdp(fn)
  return assert(bpf.program("xdp", fn))
end

-- The message of a program that can't be compiled.
local function refused(expected, section, fn)
  local prog, message, code = bpf.program(section, fn)
  assert.is_nil(prog)
  assert.equal("EINVAL", code)
  assert.equal(expected, (message:gsub("^bpf%.program: [^:]*:%d+: ", "")))
end

describe("map.locked in a program", function()
  it("changes an entry of an array and returns what its function returns", function()
    local m <close> = create("array")
    local prog <close> = xdp(function(ctx)
      local size = ctx.data_end - ctx.data
      return map.locked(m[0], function(v)
        v.packets = v.packets + 1
        v.bytes = v.bytes + size
        for i = 1, #v.sizes do
          v.sizes[i] = (v.sizes[i] or 0) + i
        end
        return v.packets + 100
      end)
    end)
    assert.equal(105, run(prog, 5))
    local v = map.lookup(m, 0, "lock")
    assert.same({ packets = 5, bytes = 320, sizes = { 5, 10, 15, 20 } }, v)
  end)

  it("gives the lock back wherever the function is left", function()
    local m <close> = create("hash")
    m[1] = { packets = 0 }
    local prog <close> = xdp(function()
      local v = m[1]
      if not v then
        return 9
      end
      local n = map.locked(v, function(account)
        account.packets = account.packets + 1
        if account.packets == 1 then
          return 1
        elseif account.packets == 2 then
          error("ends the program")
        elseif account.packets == 3 then
          return account.bytes // (account.packets - 3)
        end
      end)
      return n or 7
    end)
    local results = {}
    for n = 1, 5 do
      results[n] = run(prog)
    end
    assert.same({ 1, 0, 0, 7, 7 }, results)
    assert.equal(5, m[1].packets)
  end)

  it("takes functions of the script, and functions that call others", function()
    local m <close> = create("array")
    local function more(n)
      return n + 10
    end
    local function count(v)
      v.packets = math.max(more(v.packets), 25)
    end
    local prog <close> = xdp(function()
      map.locked(m[3], count)
    end)
    run(prog, 2)
    assert.equal(35, m[3].packets)
  end)

  it("copies entries without the lock", function()
    local m <close> = create("array")
    local other <close> = create("hash")
    m[0] = { packets = 3, bytes = 4, sizes = { 1, 2, 3, 4 } }
    local prog <close> = xdp(function()
      local v = m[0]
      other[5] = v
      m[1] = v
      m[2] = { bytes = v.bytes }
    end)
    run(prog)
    assert.same(m[0], other[5])
    assert.same(m[0], m[1])
    assert.same({ packets = 0, bytes = 4, sizes = { 0, 0, 0, 0 } }, m[2])
  end)

  it("reads strings before it takes the lock", function()
    kernel.need("locks in tracing programs", "5.11")
    kinds.need("tp_btf/sched_switch")
    local m <close> = assert(map.create { type = "array", max_entries = 1, key = "__u32",
      value = "struct named { struct bpf_spin_lock lock; char comm[16]; }" })
    local prog <close> = assert(bpf.program("tp_btf/sched_switch", function()
      local comm = helper.get_current_comm()
      map.locked(m[0], function(v) v.comm = comm end)
    end))
    local link <close> = assert(prog:attach())
    for _ = 1, 100 do
      os.execute "sleep 0.02"
      if m[0].comm ~= "" then
        break
      end
    end
    assert.not_equal("", m[0].comm)
    assert(link)
  end)

  it("isn't needed for map.scan, which runs such a map's function in the script", function()
    local m <close> = create("array")
    m[2] = { packets = 3, bytes = 7 }
    assert.same({ 3, 7 }, { map.scan(m, function(k, v)
      v.bytes = v.bytes + k
      return v.packets, v.bytes - k
    end) })
    assert.same({ 1, 9 }, { m[1].bytes, m[2].bytes })
  end)

  it("is in the object's definitions, for loaders that make the maps", function()
    local m <close> = create("array")
    local bytes = assert(bpf.assemble { count = { "xdp", function()
      map.locked(m[0], function(v) v.packets = v.packets + 1 end)
    end } })
    local obj <close> = assert(bpf.load { bytes = bytes })
    run(obj.progs.count, 3)
    assert.equal(0, m[0].packets)
    assert.equal(3, obj.maps.map[0].packets)
  end)
end)

describe("a program that can't have a lock", function()
  local m, hash

  setup(function() m, hash = create("array"), create("hash") end)
  teardown(function()
    map.close(m)
    map.close(hash)
  end)

  it("is told so", function()
    for _, section in ipairs { "kprobe/do_exit", "uprobe", "raw_tp/sys_enter", "perf_event", "socket" } do
      refused(("map.locked: the kernel refuses locks in programs of section '%s': use bpf.atomic, or a map per CPU")
        :format(section:match("^[^/]+")), section, function() map.locked(m[0], function() end) end)
    end
  end)

  it("is told what the function can't do", function()
    local what = "map.locked: nothing can be looked up, called or walked over while the lock is held: do that before, "
      .. "or behind"
    refused(what, "xdp", function() map.locked(m[0], function(v) v.bytes = helper.ktime_get_ns() end) end)
    refused(what, "xdp", function() map.locked(m[0], function(v) v.bytes = m[1].bytes end) end)
    refused(what, "xdp", function() map.locked(m[0], function() hash[1] = {} end) end)
    refused(what, "xdp", function() map.locked(m[0], function() map.locked(m[1], function() end) end) end)
    refused(what, "xdp", function()
      map.locked(m[0], function(v)
        for _ in pairs(m) do
          v.bytes = 1
        end
      end)
    end)
    refused(what, "xdp", function(ctx)
      map.locked(m[0], function(v)
        for i = 1, ctx.rx_queue_index do
          v.bytes = i
        end
      end)
    end)
  end)

  it("is told what the arguments are", function()
    refused("map.locked: the entry may be nil here: test it before", "xdp",
      function() map.locked(hash[0], function() end) end)
    refused("map.locked: a function is expected, this is nil", "xdp", function() map.locked(m[0]) end)
    refused("map.locked: an entry of a map whose values have a struct bpf_spin_lock is expected, " ..
      "this is a map of type array", "xdp", function() map.locked(m, function() end) end)
  end)
end)

describe("a type's layout", function()
  it("has the offset of the lock", function()
    assert.equal(8, bpf.btf.type(ACCOUNT):layout().lock)
    assert.is_nil(bpf.btf.type("struct plain { __u32 n; }"):layout().lock)
    assert.is_nil(bpf.btf.type("struct timed { struct bpf_timer timer; __u32 n; }"):layout().lock)
    assert.is_nil(bpf.btf.type("struct deep { struct { struct bpf_spin_lock lock; } inner; int n; }"):layout().lock)
  end)
end)

describe("map.locked in a script", function()
  it("raises", function()
    local ok, message = pcall(map.locked, {}, function() end)
    assert.is_false(ok)
    assert.matches("bpf%.map%.locked can be called in a BPF program only", message)
  end)
end)

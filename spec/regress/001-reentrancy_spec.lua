-- SPDX-License-Identifier: MIT
-- Handles that a finalizer uses in the middle of another operation on them, and scopes that end before their handle's
-- last use. Each in a process of its own: what went wrong once, crashed.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

-- Runs the code, which prints what it found; checks that it ended well and printed that.
local function prints(expected, code)
  local output, ok = helper.lua('local bpf = require("bpf")\n' .. code)
  assert.are.equal(expected .. "\n", output)
  assert.is_true(ok)
end

describe("a handle's last use", function()
  kernel.root()

  it("may come after the scope that named a type", function()
    prints("bpf.type: struct hit (8 bytes)\tcount", [[
      local t = bpf.btf.type("struct hit { __u64 count; }")
      do local _ <close> = t end
      for _ = 1, 3 do collectgarbage() end
      for i = 1, 100 do local _ = ("x"):rep(20) .. i end
      print(tostring(t), t:members()[1].name)
    ]])
  end)

  it("may come after a scope that named the variables, before and after the load", function()
    prints("true\t1\t1", ([[
      local obj <close> = assert(bpf.open(%q))
      do local _ <close> = obj.vars end
      local before = obj.vars.step
      print(obj:load(), before, obj.vars.step)
    ]]):format(helper.obj("events")))
  end)

  it("is refused for entries of maps without keys", function()
    kernel.need("bloom filters", "5.16")
    prints("false\tfalse\tclosed map", [[
      local m = assert(bpf.map.create({ type = "bloom_filter", value = 8, max_entries = 4 }))
      local same <close> = assert(bpf.map.by_id(bpf.map.info(m).id))
      io.write(tostring(pcall(function() return same[1] end)):match("%a+"), "\t")
      io.write(tostring(pcall(function() m[1] = 1 end)):match("%a+"), "\t")
      bpf.map.close(m)
      print(bpf.map.type(m))
    ]])
  end)
end)

describe("an operation that a metamethod or finalizer disturbs", function()
  kernel.root()

  it("keeps the options it was called with", function()
    prints(("n"):rep(60), [[
      local options = setmetatable({ type = "hash", key = "__u32", value = "__u32", max_entries = 4,
        name = ("n"):rep(60) }, { __index = function(t)
          t.name = nil
          collectgarbage()
          for i = 1, 50 do local _ = ("z"):rep(70) .. i end
        end })
      print(tostring(assert(bpf.map.create(options))):match("nn+"))
    ]])
  end)

  it("walks on safely when the walk is stepped from within", function()
    prints("true", [[
      local m <close> = assert(bpf.map.create({ type = "lpm_trie", key = 8, value = "__u32", max_entries = 4000 }))
      for i = 0, 2999 do m[("10.%d.%d.0/24"):format(i // 250, i % 250)] = i end
      collectgarbage("incremental", 100, 1000, 30)
      local f, w = pairs(m)
      local n = 0
      repeat
        if n == 64 then
          collectgarbage()
          setmetatable({}, { __gc = function() while f(w) do n = n + 1 end end })
        end
        local ok, k = pcall(f, w)
        n = n + 1
      until not ok or not k
      print(n > 64)
    ]])
  end)

  it("gives no key the value of another", function()
    prints("0", [[
      local m <close> = assert(bpf.map.create({ type = "hash", key = 8, value = 8, max_entries = 2000 }))
      for i = 1, 2000 do local s = ("%08d"):format(i) m[s] = s end
      collectgarbage("incremental", 100, 1000, 30)
      local f, w = pairs(m)
      for _ = 1, 255 do f(w) end
      collectgarbage()
      setmetatable({}, { __gc = function() for _ = 1, 300 do f(w) end end })
      local torn = 0
      for _ = 1, 3 do
        local ok, k, v = pcall(f, w)
        if ok and k ~= v then torn = torn + 1 end
      end
      print(torn)
    ]])
  end)

  it("adds rings to a reader that gets more rings meanwhile", function()
    prints("0", [[
      local function ring() return assert(bpf.map.create({ type = "ringbuf", max_entries = 4096 })) end
      local maps = {}
      for i = 1, 60 do maps[i] = ring() end
      collectgarbage("incremental", 100, 1000, 30)
      local r <close> = assert(bpf.ringbuf(maps[1], 8, print))
      assert(r:add(maps[2], 8, print))
      collectgarbage()
      setmetatable({}, { __gc = function() for i = 4, 60 do assert(r:add(maps[i], 8, print)) end end })
      pcall(r.add, r, maps[3], 8, print)
      print(r:poll(0))
    ]])
  end)

  local NOTE = [[
    local T = "struct note { __u32 seq; __u32 pid; __u64 square; char text[8]; }"
    local function send(prog, from, n) obj.progs[prog]:run({ ctx = string.pack("I4I4I4I4", from, n, 0, 0) }) end
  ]]

  it("decodes the record it took, though the kernel writes over it", function()
    prints("1\t1", ([[
      local obj <close> = assert(bpf.load(%q))
    ]]):format(helper.obj("rings")) .. NOTE .. [[
      local r <close> = assert(bpf.ringbuf(obj.maps.small, T, function() end))
      send("send_small", 1, 1)
      collectgarbage("incremental", 100, 1000, 30)
      local step, state = r:events(0)
      collectgarbage()
      setmetatable({}, { __gc = function() for _ = 1, 8 do r:consume() send("send_small", 500, 100) end end })
      local e = step(state)
      print(e.seq, e.square)
    ]])
  end)

  it("lets every ring of a reader have its turn", function()
    prints("2", ([[
      local obj <close> = assert(bpf.load(%q))
    ]]):format(helper.obj("rings")) .. NOTE .. [[
      local r <close> = assert(bpf.ringbuf(obj.maps.notes, T))
      assert(r:add(obj.maps.small, T))
      send("send_notes", 0, 1) send("send_small", 1000000, 1)
      local i = 0
      for e in r:events(0) do
        i = i + 1
        if e.seq >= 1000000 then break end
        if i < 500 then send("send_notes", i, 1) end
      end
      print(i)
    ]])
  end)
end)

describe("a handle that ends early or isn't what the kernel has", function()
  kernel.root()

  it("leaves no mapping behind when the type that a ring decodes by is closed", function()
    prints("0", ([[
      local function mappings()
        local n = 0
        for line in io.lines("/proc/self/maps") do
          if line:find("bpf-map", 1, true) then n = n + 1 end
        end
        return n
      end
      local obj <close> = assert(bpf.load(%q))
      local before = mappings()
      for _ = 1, 5 do
        local t = bpf.btf.type("struct note { __u32 seq; __u32 pid; __u64 square; char text[8]; }")
        local r = assert(bpf.ringbuf(obj.maps.notes, t, function() end))
        do local _ <close> = t end
        obj.progs.send_notes:run({ ctx = string.pack("=I4I4I4I4", 1, 1, 0, 0) })
        pcall(r.poll, r, 0)
        r:close()
      end
      collectgarbage()
      collectgarbage()
      print(mappings() - before)
    ]]):format(helper.obj("rings")))
  end)

  it("opens with an option that a finalizer drops meanwhile", function()
    prints("opened", ([[
      collectgarbage("incremental", 100, 1000, 30)
      for _ = 1, 20 do
        local options = { pin_root = ("/sys/fs/bpf/"):rep(10) .. os.time() }
        collectgarbage()
        collectgarbage()
        setmetatable({}, { __gc = function()
          options.pin_root = nil
          collectgarbage()
          for i = 1, 100 do local _ = ("x"):rep(110) .. i end
        end })
        assert(bpf.open(%q, options)):close()
      end
      print("opened")
    ]]):format(helper.obj("pinned")))
  end)

  it("raises on a struct_ops map whose value the load made larger", function()
    prints("false\tfalse", ([[
      local obj <close> = assert(bpf.load(%q))
      local m = obj.maps.algorithm
      local function index() return m["\0\0\0\0"] end
      local function walk() for _ = 1, 200 do for _ in pairs(m) do end end end
      print((pcall(index)), (pcall(walk)))
      collectgarbage()
    ]]):format(helper.obj("reentrancy")))
  end)

  it("raises on an unknown flag of lookup_and_delete, and the entry stays", function()
    prints("false\t1", [[
      local m = assert(bpf.map.create({ type = "hash", key = "__u32", value = "__u32", max_entries = 4 }))
      m[1] = 1
      print((pcall(bpf.map.lookup_and_delete, m, 1, { bogus = 1 })), m[1])
    ]])
  end)
end)

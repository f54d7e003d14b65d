-- SPDX-License-Identifier: MIT
-- What spec/support/host.c runs out of memory in: every constructor, and the methods that hold something while they
-- allocate. A `sparse` case allocates so often that not each of its allocations can fail once.
local bpf = require "bpf"
local map = bpf.map

local function create_and_use()
  local m <close> = assert(map.create {
    type = "hash", name = "oom", max_entries = 8,
    key = "__u32", value = "struct oom { __u64 count; char comm[16]; __u32 a[2]; union { __u32 x; __u8 y[4]; }; }",
  })
  m[1] = { count = 5, comm = "lua", a = { 1, 2 }, x = 1, y = "\1\0\0\0" }
  assert(m[1].count == 5 and map.unpack(m, 1) == 5)
  assert(map.lookup(m, 1, { into = { a = {} } }).a[2] == 2)
  assert(#m == 1 and map.next_key(m) == 1 and tostring(m):find "oom")
  for key in pairs(m) do
    m[key] = nil
  end
  m[2] = { count = 1 }
  for key in map.keys(m) do
    assert(map.lookup_and_delete(m, key).count == 1)
  end
  assert(map.clear(m) == 0)
end

-- Nothing closes these: the collector has to.
local function create_and_drop()
  local m = assert(map.create { type = "array", key = "__u32", value = "__u64", max_entries = 4 })
  m[0] = 1
end

local function other_kinds()
  local percpu <close> = assert(map.create { type = "percpu_hash", key = "__u32", max_entries = 4,
    value = "struct n { __u64 n; }" })
  percpu[1] = { n = 1 }
  assert(percpu[1][1].n == 1 and map.sum(percpu, 1).n == #percpu[1])
  local trie <close> = assert(map.create { type = "lpm_trie", key = 8, value = "__u32", max_entries = 100 })
  for i = 1, 70 do -- the walk's memory of keys has to grow
    trie[("10.0.0.%d"):format(i)] = i
  end
  local n = 0
  for prefix in pairs(trie) do
    n, trie[prefix] = n + 1, nil
  end
  assert(n == 70)
  local queue <close> = assert(map.create { type = "queue", value = "char[300]", max_entries = 2 })
  assert(map.push(queue, "x") and map.peek(queue) == "x" and map.pop(queue) == "x")
end

local function without_tables()
  local value = "struct n { __u64 n; struct { __u32 a; char b[300]; } deep; __u32 c[2]; }"
  local m <close> = assert(map.create { type = "hash", key = "__u32", max_entries = 4, value = value })
  assert(map.pack(m, 1, 5, { a = 7, b = "x" }, { 1, 2 }))
  local one <close> = assert(map.column(m, "deep.a"))
  local some <close> = assert(map.column(m, "deep.b", "n", "c"))
  assert(one[1] == 7 and some[1]["deep.b"] == "x" and map.unpack(some, 1) == "x")
  for _, v in pairs(some) do
    assert(v.n == 5)
  end
  assert(not pcall(map.column, m, "deep.x") and not pcall(map.pack, m, 1, 2))
  local percpu <close> = assert(map.create { type = "percpu_hash", key = "__u32", max_entries = 4, value = value })
  percpu[1] = { n = 1 }
  for _, v in map.sums(percpu) do
    assert(v.n == #percpu[1])
  end
  local words <close> = assert(map.create { type = "array", value = "__u64", max_entries = 4, flags = "mmapable" })
  assert(map.add(words, 1, 2) and words[1] == 2)
end

local function alike()
  local value = "struct n { __u64 n; }"
  local m <close> = assert(map.create { type = "hash", key = "__u32", max_entries = 4, value = value })
  local twin <close> = assert(map.create { like = m, name = "twin" })
  twin[1] = { n = 1 }
  local outer <close> = assert(map.create { type = "array_of_maps", max_entries = 2, inner = m })
  local inner <close> = assert(map.create { like = outer })
  local options = { type = "hash", key = "__u32", max_entries = 4, value = 8 }
  local other <close> = assert(map.create { type = "array_of_maps", max_entries = 2, inner = options })
  local template <close> = assert(map.create { like = other })
  outer[1], other[1] = inner, template
  local same <close> = assert(map.by_id(map.info(other).id))
  local opened <close> = assert(map.create { like = same })
  assert(map.info(opened).value_size == 8)
end

local function handles()
  local m <close> = assert(map.create { type = "hash", max_entries = 4,
    key = "struct k { int a, b; }", value = "struct v { __u32 lo, hi; }" })
  local by_id <close> = assert(map.by_id(map.info(m).id))
  local by_fd <close> = assert(map.by_fd(map.fd(m)))
  local typed <close> = assert(map.typed(m, nil, "__u64"))
  typed[{ a = 1 }] = 7
  assert(by_id == m and by_fd[{ a = 1 }].lo == 7)
end

local function failures()
  assert(select(3, map.create { type = "hash", max_entries = 0, key = "__u32", value = "__u32" }) == "EINVAL")
  assert(not pcall(bpf.btf.type, "struct x { int a b; }"))
  assert(select(3, bpf.open "/proc/self/absent") == "ENOENT")
  assert(select(3, bpf.open { bytes = "no ELF" }))
  local obj, _, _, log = bpf.load "build/progs/refused.bpf.o"
  assert(not obj and log:find "processed")
end

local function opened()
  local obj <close> = assert(bpf.open("build/progs/execsnoop.bpf.o", {
    vars = { target_uid = 1 }, maps = { events = 8192 }, autoload = { on_packet = false },
  }))
  local old <close> = assert(bpf.open "build/progs/legacy_plain.bpf.o")
  assert(tostring(old.maps.hits))
  assert(obj.vars.target_uid == 1 and tostring(obj.maps.events) and not pcall(function() return obj.maps.x end))
end

local function btf()
  local parsed <close> = bpf.btf.parse [[
    struct p { int x; char b[4]; struct p *next; }; enum e { A = 1 }; typedef struct p p_t;]]
  local n = 0
  for t in parsed:types() do
    n = n + t.id
  end
  assert(n > 0 and #parsed:find "struct p".members == 3 and parsed:resolve "p_t".size == 16)
  assert(parsed:type "struct p[2]":size() == 32 and parsed:print("p_t", { deep = true }):find "struct p {")
  assert(parsed:dump():find "typedef struct p p_t" and #parsed:bytes() > 0 and #parsed:hash() == 16)
  local file <close> = assert(bpf.btf.file "build/progs/events.bpf.o")
  assert(file:find("send", "func").params[1].name == "req" and tostring(file))
  bpf.btf.file("build/progs/events.bpf.o", { base = file }) -- whatever it takes it for
  local obj <close> = assert(bpf.open "build/progs/events.bpf.o")
  assert(obj:btf():find "struct event")
  assert(select(3, bpf.btf.file "/proc/self/absent") == "ENOENT" and select(3, bpf.btf.module "none") == "ENOENT")
end

local function loaded()
  local obj <close> = assert(bpf.load "build/progs/events.bpf.o")
  assert(select(3, obj:attach()) == "EOPNOTSUPP") -- its section names no place
  for _ in pairs(obj.vars) do end
  obj.vars.step = 2
  local n = 0
  local reader <close> = assert(bpf.ringbuf(obj.maps.events, "struct event", function() n = n + 1 end))
  assert(reader:add(obj.maps.others, "struct event", function() n = n + 1 end, { into = {} }))
  assert(obj.progs.send:run { ctx = string.pack("I4I4", 2, 0) })
  assert(obj.progs.send:run { ctx = string.pack("I4I4", 2, 1) })
  assert(reader:poll(0) <= 4)
  for e in reader:events(0) do
    n = n + e.seq
  end
end

local function declared()
  local inner <close> = assert(map.create { type = "array", value = "__u32", max_entries = 1 })
  local obj <close> = assert(bpf.open("build/progs/declared.bpf.o", {
    maps = { stacks = { value_size = 80, max_entries = 8 }, outer = { inner_map = inner },
      kept = { pin_path = false } },
  }))
  assert(map.configure(obj.maps.pairs, { type = "percpu_hash", value_size = 16, map_flags = {} }))
  for _, m in pairs(obj.maps) do
    assert(map.info(m).type)
  end
  assert(obj.progs.zeta:info().insn_cnt > 0)
  assert(obj:load())
  obj.maps.pairs[1] = ("x"):rep(16)
  assert(#obj.maps.pairs[1][1] == 16 and map.info(obj.maps.pairs).autocreate)
end

local function sampled()
  local obj <close> = assert(bpf.load "build/progs/perfs.bpf.o")
  local n = 0
  local reader <close> = assert(bpf.perfbuf(obj.maps.notes, "struct note", function() n = n + 1 end, { pages = 1 }))
  assert(reader:fd() and tostring(reader))
  assert(reader:add(obj.maps.others, "struct note", function() n = n + 1 end, { into = {}, cpus = { 0 }, pages = 1 }))
  assert(obj.progs.send_notes:run { ctx = string.pack("=I8I8", 1, 2) })
  assert(reader:poll(0, 1) <= 1)
  for e in reader:events(0) do
    n = n + e.seq
  end
end

local function produced()
  local ring <close> = assert(map.create { type = "user_ringbuf", max_entries = 4096 })
  local producer <close> = assert(bpf.user_ringbuf(ring, "struct { __u32 seq; char text[2000]; }"))
  assert(producer:submit({ seq = 1, text = "one" }) and producer:submit { seq = 2 })
  assert(select(3, producer:submit({ seq = 3 }, 1)) == "ENOSPC" and tostring(producer))
end

local function holdings()
  local obj <close> = assert(bpf.load "build/progs/calls.bpf.o")
  assert(obj.progs.count_enter:attach())
  for _, what in ipairs { "maps", "progs", "links" } do
    local n = 0
    for info in assert(bpf[what]()) do
      n = n + info.id
    end
    assert(n > 0)
  end
  assert(select(3, bpf.link_info(0xffffffff)) == "ENOENT")
  assert(bpf.prog_info(obj.progs.count_enter:info().id).map_ids[1])
end

local function features()
  assert(bpf.features.map_type "hash" and bpf.features.helper("xdp", "redirect"))
  assert(select(3, bpf.features.helper("xdp", "sysctl_get_name")) == "EINVAL")
  assert(not pcall(bpf.features.map_type, "hsah") and bpf.features.kernel() and bpf.features.cpus() > 0)
  assert(#bpf.cpus().online > 0)
end

local function attached()
  local obj <close> = assert(bpf.load("build/progs/calls.bpf.o", { vars = { target = 0x7fffffff } }))
  local link = assert(obj.progs.count_enter:attach())
  assert(tostring(link) and link:close())
  assert(obj:attach())
end

local function signalled()
  local signals <close> = assert(bpf.signals("USR1", "USR2"))
  assert(tostring(signals) == "bpf.signals: USR1 USR2" and signals:fd() and not signals:poll(0))
  assert(bpf.signals("USR1") and bpf.sleep(0) and bpf.walltime(bpf.clock()))
end

local PROGS <const> = "build/progs/%s.bpf.o"

-- With the object of spec/progs that a case loads.
local function changes()
  local m <close> = assert(map.create { type = "perf_event_array", max_entries = #bpf.cpus().possible })
  local reader <close> = assert(bpf.posix.changes(m, nil, function(bytes) assert(#bytes >= 16) end, { pages = 1 }))
  reader:consume()
end

local function waiting()
  local child <close> = assert(bpf.posix.child { "true", "all is well" })
  assert(child:pid() and not child:status() and child:go())
  assert(bpf.posix.leave({ 2, 1, 0 }, function() return child:close() end))
end

local function traced()
  assert(bpf.trace {
    { "raw_tp/sys_enter", "count(comm) n = n + 1 print(pid)" },
    command = "true", output = "/dev/null", follow = true,
  })
end

rawset(io, "stderr", assert(io.open("/dev/null", "w"))) -- where a trace says that it is ready

local cases = {
  { "a map that is closed", create_and_use },
  { "a map that is collected", create_and_drop },
  { "the other kinds of maps", other_kinds },
  { "structs without tables", without_tables },
  { "maps like others", alike },
  { "handles of one map", handles },
  { "failures", failures, "refused" },
  { "an object that is opened", opened },
  { "an object that is loaded, and its ring buffers", loaded, "events" },
  { "an object whose settings are read and set", declared },
  { "an object that is attached", attached, "calls" },
  { "a perf buffer", sampled, "perfs" },
  { "BTF", btf },
  { "a user ring buffer", produced },
  { "what the kernel holds", holdings, "calls" },
  { "features", features },
  { "signals", signalled },
  { "what processes map", changes },
  { "a command that waits", waiting },
  { "a trace", traced, "calls", sparse = true },
}

-- A hardened kernel refuses kinds of programs.
for _, case in ipairs(cases) do
  if case[3] then
    local obj <close>, message = bpf.load(PROGS:format(case[3]))
    if not obj and message:find("the kernel refused this kind of program", 1, true) then
      case[1], case[2] = case[1] .. " # SKIP " .. message, function() end
    end
  end
end

return cases

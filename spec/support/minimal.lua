-- SPDX-License-Identifier: MIT
-- Every function of the API with the arguments that it needs and no others. `local minimal = require
-- "spec.support.minimal"`: minimal[name](fixtures) gives them as a sequence, the object of a method first.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local kinds = require "spec.support.kinds"
local sys = require "support.sys"

local minimal = {}

-- What calls are made on ---------------------------------------------------------------------------------------------

local Fixtures = {}
Fixtures.__index = Fixtures

--- A set of handles, made when they are asked for.
function minimal.fixtures()
  return setmetatable({ kept = {} }, Fixtures)
end

--- Closes them all.
function Fixtures:close()
  for i = #self.kept, 1, -1 do
    local handle = self.kept[i]
    if bpf.map.type(handle) then
      bpf.map.close(handle)
    else
      handle:close()
    end
  end
end

function Fixtures:keep(handle, why)
  self.kept[#self.kept + 1] = assert(handle, why)
  return handle
end

function Fixtures:map(options)
  options = options or {}
  options.type = options.type or "hash"
  options.max_entries = options.max_entries or 4
  local keyless = options.type == "queue" or options.type == "bloom_filter"
  if options.type ~= "perf_event_array" and not options.type:find("ringbuf") then
    options.key, options.value = not keyless and "__u32" or nil, options.value or "__u32"
  end
  local map = self:keep(bpf.map.create(options))
  if options.type == "hash" and options.value == "__u32" then
    bpf.map.update(map, 1, 7)
  end
  return map
end

function Fixtures:opened() return self:keep(bpf.open(helper.obj("counters"))) end
function Fixtures:object() return self:keep(bpf.load(helper.obj("counters"))) end

function Fixtures:setting() return self:opened().progs.count end -- a program before its load
function Fixtures:prog() return self:object().progs.count end
function Fixtures:link() return self:keep(self:prog():attach_raw_tracepoint("sys_enter")) end
function Fixtures:btf() return self:keep(bpf.btf.parse("struct pair { int a; int b; };")) end
function Fixtures.type() return bpf.btf.type("struct pair { int a; int b; }") end
function Fixtures:token() return self:keep(bpf.token("/sys/fs/bpf")) end
function Fixtures.pin() return helper.bpffs() .. "/pin" end

function Fixtures:pinned(handle)
  local path = self:pin()
  if bpf.map.type(handle) then
    assert(bpf.map.pin(handle, path))
  else
    assert(handle:pin(path))
  end
  return path
end

function Fixtures:reader()
  return self:keep(bpf.ringbuf(self:map { type = "ringbuf", max_entries = 4096 }, nil, print))
end

function Fixtures:perf() return self:keep(bpf.perfbuf(self:map { type = "perf_event_array" }, nil, print)) end

function Fixtures:signals() return self:keep(bpf.signals("USR2")) end

function Fixtures:producer()
  return self:keep(bpf.user_ringbuf(self:map { type = "user_ringbuf", max_entries = 4096 }))
end

-- The calls ----------------------------------------------------------------------------------------------------------

-- Programs that are attached in a way that isn't theirs: the kernel refuses, once the arguments have been read.
local function attach(...)
  local arguments = table.pack(...)
  return function(f) return { f:prog(), table.unpack(arguments, 1, arguments.n) } end
end

local function on(make, ...)
  local arguments = table.pack(...)
  return function(f) return { f[make](f), table.unpack(arguments, 1, arguments.n) } end
end

local function with(...)
  local arguments = table.pack(...)
  return function() return { table.unpack(arguments, 1, arguments.n) } end
end

minimal.calls = {
  ["bpf.assemble"] = with({ pass = { "xdp", function() return 2 end } }),
  ["bpf.attached"] = with(),
  ["bpf.cgroup_path"] = with(1),
  ["bpf.clock"] = with(),
  ["bpf.compile"] = with("int x;"),
  ["bpf.cpus"] = with(),
  ["bpf.detach"] = with({ kind = "xdp", ifindex = 1, mode = "skb", prog_id = 0 }),
  ["bpf.enable_stats"] = with(),
  ["bpf.inspect"] = with({ 1 }),
  ["bpf.interface_name"] = with(1),
  ["bpf.json"] = with({ 1 }),
  ["bpf.preload"] = with(),
  ["bpf.link_info"] = function(f) return { f:link():info().id } end,
  ["bpf.links"] = with(),
  ["bpf.load"] = with(helper.obj("counters")),
  ["bpf.log"] = with(),
  ["bpf.map_info"] = function(f) return { bpf.map.info(f:map()).id } end,
  ["bpf.maps"] = with(),
  ["bpf.open"] = with(helper.obj("counters")),
  ["bpf.perfbuf"] = function(f) return { f:map { type = "perf_event_array" } } end,
  ["bpf.printk"] = with(),
  ["bpf.prog_info"] = function(f) return { f:prog():info().id } end,
  ["bpf.program"] = with("xdp", function() return 2 end),
  ["bpf.programs"] = with({ pass = { "xdp", function() return 2 end } }),
  ["bpf.progs"] = with(),
  ["bpf.ringbuf"] = function(f) return { f:map { type = "ringbuf", max_entries = 4096 } } end,
  ["bpf.signals"] = with("USR2"),
  ["bpf.sleep"] = with(0),
  ["bpf.token"] = with("/sys/fs/bpf"),
  ["bpf.trace"] = with { { "interval/1", "count()" }, seconds = 0.001, output = "/dev/null" },
  ["bpf.user_ringbuf"] = function(f) return { f:map { type = "user_ringbuf", max_entries = 4096 } } end,
  ["bpf.walltime"] = with(1),

  ["bpf.atomic.add"] = with({}, "n", 1),
  ["bpf.atomic.exchange"] = with({}, "n", 1),
  ["bpf.atomic.fetch_add"] = with({}, "n", 1),
  ["bpf.atomic.fetch_and"] = with({}, "n", 1),
  ["bpf.atomic.fetch_or"] = with({}, "n", 1),
  ["bpf.atomic.fetch_xor"] = with({}, "n", 1),
  ["bpf.be64"] = with(1),
  ["bpf.cast"] = with(1, "struct task_struct"),
  ["bpf.has"] = with({}, "n"),
  ["bpf.htonl"] = with(1),
  ["bpf.htons"] = with(1),
  ["bpf.ntohl"] = with(1),
  ["bpf.ntohs"] = with(1),

  ["bpf.var"] = with("struct { int n; }"),

  ["bpf.map.add"] = on("map", 1),
  ["bpf.map.adder"] = on("map"),
  ["bpf.map.declare"] = with({ type = "ringbuf", max_entries = 4096 }),
  ["bpf.map.attach"] = on("map"),
  ["bpf.map.by_fd"] = function(f) return { bpf.map.fd(f:map()) } end,
  ["bpf.map.by_id"] = function(f) return { bpf.map.info(f:map()).id } end,
  ["bpf.map.clear"] = on("map"),
  ["bpf.map.close"] = on("map"),
  ["bpf.map.column"] = function(f) return { f:map { value = "struct pair { int a; int b; }" }, "a", "b" } end,
  ["bpf.map.contains"] = function(f) return { f:map { type = "bloom_filter" }, 1 } end,
  ["bpf.map.create"] = with({ type = "hash", max_entries = 1, key = "__u32", value = "__u32" }),
  ["bpf.map.delete"] = on("map", 1),
  ["bpf.map.delete_batch"] = on("map", { 1 }),
  ["bpf.map.drain"] = on("map"),
  ["bpf.map.fd"] = on("map"),
  ["bpf.map.freeze"] = on("map"),
  ["bpf.map.info"] = on("map"),
  ["bpf.map.keys"] = on("map"),
  ["bpf.map.lookup"] = on("map", 1),
  ["bpf.map.lookup_and_delete"] = on("map", 1),
  ["bpf.map.lookup_batch"] = on("map"),
  ["bpf.map.next_key"] = on("map"),
  ["bpf.map.open"] = function(f) return { f:pinned(f:map()) } end,
  ["bpf.map.pack"] = on("map", 1, 2),
  ["bpf.map.peek"] = function(f) return { f:map { type = "queue" } } end,
  ["bpf.map.pin"] = function(f) return { f:map(), f:pin() } end,
  ["bpf.map.pop"] = function(f) return { f:map { type = "queue" } } end,
  ["bpf.map.push"] = function(f) return { f:map { type = "queue" }, 1 } end,
  ["bpf.map.configure"] = function(f) return { f:opened().maps.events, {} } end,
  ["bpf.map.locked"] = with({}, function() end),
  ["bpf.map.rates"] = on("map"),
  ["bpf.map.resize"] = function(f) return { f:opened().maps.events, 8 } end,
  ["bpf.map.scan"] = on("map", function() return 1 end),
  ["bpf.map.sum"] = function(f) return { f:map { type = "percpu_array" }, 1 } end,
  ["bpf.map.sums"] = function(f) return { f:map { type = "percpu_array" } } end,
  ["bpf.map.type"] = on("map"),
  ["bpf.map.typed"] = on("map"),
  ["bpf.map.types"] = on("map"),
  ["bpf.map.unpack"] = on("map", 1),
  ["bpf.map.unpin"] = function(f)
    local map = f:map()
    return { map, f:pinned(map) }
  end,
  ["bpf.map.update"] = on("map", 1, 1),
  ["bpf.map.update_batch"] = on("map", { 1, 2 }),
  ["bpf.map.view"] = function(f) return { f:map { type = "array", flags = "mmapable" }, "__u32" } end,

  ["object:attach"] = on("object"),
  ["object:btf"] = on("object"),
  ["object:close"] = on("object"),
  ["object:detach"] = on("object"),
  ["object:load"] = on("opened"),
  ["object:name"] = on("object"),
  ["object:pin"] = function(f) return { f:object(), f:pin() } end,
  ["object:unpin"] = function(f)
    local obj = f:object()
    return { obj, f:pinned(obj) }
  end,

  ["bpf.prog.by_id"] = function(f) return { f:prog():info().id } end,
  ["bpf.prog.open"] = function(f) return { f:pinned(f:prog()) } end,
  ["bpf.prog.own"] = on("prog"),
  ["prog:attach"] = attach(),
  ["prog:attach_cgroup"] = attach("/sys/fs/cgroup"),
  ["prog:attach_freplace"] = function(f) return { f:prog(), f:prog(), "nothing" } end,
  ["prog:attach_iter"] = attach(),
  ["prog:attach_kprobe"] = attach("do_nothing_at_all"),
  ["prog:attach_kprobe_multi"] = attach("do_nothing_at_all"),
  ["prog:attach_ksyscall"] = attach("nothing_at_all"),
  ["prog:attach_lsm"] = attach(),
  ["prog:attach_netfilter"] = attach({ pf = "ipv4", hooknum = "local_in", priority = 1 }),
  ["prog:attach_netkit"] = attach("lo"),
  ["prog:attach_netns"] = attach("/proc/self/ns/net"),
  ["prog:attach_perf_event"] = attach({ config = "cpu_clock", sample_freq = 1, cpu = 0 }),
  ["prog:attach_raw_tracepoint"] = attach("sys_enter"),
  ["prog:attach_reuseport"] = attach(0),
  ["prog:attach_socket"] = attach(0),
  ["prog:attach_sockmap"] = function(f) return { f:prog(), f:map { type = "sockmap" } } end,
  ["prog:attach_target"] = on("setting", "nothing"),
  ["prog:attach_tc"] = attach("lo"),
  ["prog:attach_tcx"] = attach("lo"),
  ["prog:attach_trace"] = attach(),
  ["prog:attach_tracepoint"] = attach("syscalls", "sys_enter_nothing"),
  ["prog:attach_uprobe"] = attach("libc.so.6", "nothing_at_all"),
  ["prog:attach_uprobe_multi"] = attach("libc.so.6", "nothing_at_all"),
  ["prog:attach_usdt"] = attach("libc.so.6", "libc", "nothing_at_all"),
  ["prog:attach_xdp"] = attach("lo"),
  ["prog:autoattach"] = on("setting"),
  ["prog:autoload"] = on("setting"),
  ["prog:close"] = function(f) return { bpf.prog.by_id(f:prog():info().id) } end,
  ["prog:expected_attach_type"] = on("setting"),
  ["prog:fd"] = on("prog"),
  ["prog:flags"] = on("setting"),
  ["prog:info"] = on("prog"),
  ["prog:log_level"] = on("setting"),
  ["prog:name"] = on("prog"),
  ["prog:pin"] = function(f) return { f:prog(), f:pin() } end,
  ["prog:run"] = on("prog"),
  ["prog:section"] = on("prog"),
  ["prog:type"] = on("setting"),
  ["prog:unpin"] = function(f)
    local prog = f:prog()
    return { prog, f:pinned(prog) }
  end,

  ["bpf.link.by_id"] = function(f) return { f:link():info().id } end,
  ["bpf.link.open"] = with("/sys/fs/bpf/nothing"),
  ["link:close"] = on("link"),
  ["link:detach"] = on("link"),
  ["link:disconnect"] = function(f) -- libbpf leaves the descriptor open, which keeps the program attached
    local link = f:link()
    local fd = link:fd()
    f:keep({ close = function() sys.close(fd) end })
    return { link }
  end,
  ["link:fd"] = on("link"),
  ["link:info"] = on("link"),
  ["link:lines"] = on("link"),
  ["link:pin"] = function(f) return { f:link(), f:pin() } end,
  ["link:read"] = on("link"),
  ["link:records"] = on("link", "__u32"),
  ["link:unpin"] = function(f) return { f:link(), f:pin() } end,
  ["link:update"] = function(f) return { f:link(), f:prog() } end,

  ["stats:close"] = function(f) return { f:keep(bpf.enable_stats()) } end,

  ["token:close"] = on("token"),
  ["token:fd"] = on("token"),

  ["signals:close"] = on("signals"),
  ["signals:fd"] = on("signals"),
  ["signals:getfd"] = on("signals"),
  ["signals:poll"] = function(f) -- with something to return, for it would wait for ever
    local signals = f:signals()
    assert(os.execute "kill -USR2 $PPID")
    return { signals }
  end,

  ["ringbuf:add"] = function(f) return { f:reader(), f:map { type = "ringbuf", max_entries = 4096 } } end,
  ["ringbuf:close"] = on("reader"),
  ["ringbuf:consume"] = on("reader"),
  ["ringbuf:events"] = on("reader"),
  ["ringbuf:fd"] = on("reader"),
  ["ringbuf:getfd"] = on("reader"),
  ["ringbuf:lost"] = on("reader"),
  ["ringbuf:poll"] = function(f) -- with something to read, for it would wait for ever
    local obj = f:keep(bpf.load(helper.obj("rings")))
    local reader = f:keep(bpf.ringbuf(obj.maps.notes, nil, function() end))
    assert(obj.progs.send_notes:run { ctx = ("=I4I4I4I4"):pack(1, 1, 0, 0) })
    return { reader }
  end,
  ["perfbuf:add"] = function(f) return { f:perf(), f:map { type = "perf_event_array" } } end,
  ["perfbuf:close"] = on("perf"),
  ["perfbuf:consume"] = on("perf"),
  ["perfbuf:events"] = on("perf"),
  ["perfbuf:fd"] = on("perf"),
  ["perfbuf:getfd"] = on("perf"),
  ["perfbuf:lost"] = on("perf"),
  ["perfbuf:poll"] = function(f)
    local obj = f:keep(bpf.load(helper.obj("perfs")))
    local reader = f:keep(bpf.perfbuf(obj.maps.notes, nil, function() end))
    assert(obj.progs.send_notes:run { ctx = ("=I8I8"):pack(1, 1) })
    return { reader }
  end,
  ["user_ringbuf:close"] = on("producer"),
  ["user_ringbuf:fd"] = on("producer"),
  ["user_ringbuf:getfd"] = on("producer"),
  ["user_ringbuf:submit"] = on("producer", "x"),

  ["bpf.features.cpus"] = with(),
  ["bpf.features.helper"] = with("xdp", "map_lookup_elem"),
  ["bpf.features.helpers"] = with("xdp"),
  ["bpf.features.kernel"] = with(),
  ["bpf.features.map_type"] = with("hash"),
  ["bpf.features.map_types"] = with(),
  ["bpf.features.prog_type"] = with("xdp"),
  ["bpf.features.prog_types"] = with(),

  ["bpf.btf.by_id"] = with(1),
  ["bpf.btf.file"] = with(helper.obj("counters")),
  ["bpf.btf.kernel"] = with(),
  ["bpf.btf.module"] = with("no_such_module"),
  ["bpf.btf.parse"] = with("struct pair { int a; int b; };"),
  ["bpf.btf.type"] = with("int"),
  ["btf:bytes"] = on("btf"),
  ["btf:close"] = on("btf"),
  ["btf:dump"] = on("btf"),
  ["btf:find"] = on("btf", "struct pair"),
  ["btf:hash"] = on("btf"),
  ["btf:print"] = on("btf", "struct pair"),
  ["btf:resolve"] = on("btf", "struct pair"),
  ["btf:type"] = on("btf", "struct pair"),
  ["btf:types"] = on("btf"),
  ["type:decode"] = on("type", ("\0"):rep(8)),
  ["type:encode"] = on("type", { a = 1 }),
  ["type:layout"] = on("type"),
  ["type:members"] = on("type"),
  ["type:name"] = on("type"),
  ["type:size"] = on("type"),

  ["bpf.metrics.enum"] = with("enum bpf_map_type"),
  ["bpf.metrics.new"] = with(),
  ["metrics:counter"] = function(f) return { bpf.metrics.new(), { name = "n", help = "h", map = f:map() } } end,
  ["metrics:gauge"] = function(f) return { bpf.metrics.new(), { name = "n", help = "h", map = f:map() } } end,
  ["metrics:histogram"] = function(f)
    local map = f:map { type = "array", value = "struct { __u64 slots[4]; }" }
    return { bpf.metrics.new(), { name = "n", help = "h", buckets = "slots", map = map } }
  end,
  ["metrics:serve"] = function() return { bpf.metrics.new(), { port = 0, seconds = 0 } } end,
  ["metrics:text"] = function() return { bpf.metrics.new() } end,
  ["metrics:write"] = function() return { bpf.metrics.new(), function() return true end } end,
  ["metrics:write_file"] = function() return { bpf.metrics.new(), helper.tmpdir() .. "/metrics" } end,
  ["bpf.format.cgroup"] = with(1),
  ["bpf.format.hex"] = with(1),
  ["bpf.format.interface"] = with(1),
  ["bpf.format.ip"] = with(1),
  ["bpf.format.ipv4"] = with(1),
  ["bpf.format.ipv4_host"] = with(1),
  ["bpf.format.ipv6"] = with(("\0"):rep(16)),
  ["bpf.format.mac"] = with("\0\0\0\0\0\0"),
  ["bpf.format.port"] = with(1),
  ["bpf.format.process"] = with(1),
  ["bpf.format.symbol"] = with(1),
  ["bpf.format.unsigned"] = with(-1),
  ["bpf.format.user"] = with(0),
  ["bpf.format.errno"] = with(2), ["bpf.format.result"] = with(-2),
  ["bpf.format.signal"] = with(15),
  ["bpf.format.syscall"] = with(0),
  ["bpf.format.enum"] = with(1, "TCP_"),
  ["bpf.format.tcp_state"] = with(1),
  ["bpf.format.protocol"] = with(6),
  ["bpf.format.count"] = with(1),
  ["bpf.format.bytes"] = with(1),
  ["bpf.format.duration"] = with(1),
  ["bpf.format.time"] = with(1),
  ["bpf.format.columns"] = with({ { name = "x" } }),

  ["bpf.pprof.new"] = with({ values = { "samples/count" } }),
  ["pprof:add"] = function() return { bpf.pprof.new { values = { "a/b" } }, { { address = 1 } }, { 1 } } end,
  ["pprof:bytes"] = function() return { bpf.pprof.new { values = { "a/b" } } } end,
  ["pprof:write"] = function() return { bpf.pprof.new { values = { "a/b" } }, helper.tmpdir() .. "/profile" } end,

  ["bpf.symbols.frames"] = with(),
  ["bpf.symbols.kernel"] = with(),
  ["bpf.symbols.process"] = with(helper.pid),
  ["bpf.symbols.stack"] = with(),
  ["bpf.symbols.text"] = function() return { bpf.symbols.kernel(), 1 } end,

  ["bpf.hist.bar"] = with(1, 2, 10),
  ["bpf.hist.bytes"] = with(1),
  ["bpf.hist.height"] = with(),
  ["bpf.hist.line"] = with("x", 10),
  ["bpf.hist.linear"] = with({ 1 }),
  ["bpf.hist.log2"] = with({ 1 }),
  ["bpf.hist.number"] = with(1),
  ["bpf.hist.progress"] = with("x"),
  ["bpf.hist.table"] = with({ { 1 } }, { { name = "x" } }),
  ["bpf.hist.terminal"] = with(),
  ["bpf.hist.time"] = with(1),
  ["bpf.hist.utf8"] = with(),
  ["bpf.hist.width"] = with(),
}

-- Skips where there is no such thing.
local function user_ringbufs() kernel.need("user ring buffers", "6.1") end
local function perf_events() kinds.need("perf_event") end

--- What some need, as functions that skip the test.
minimal.needs = {
  ["bpf.map.contains"] = function() kernel.need("bloom filters", "5.16") end,
  ["bpf.trace"] = perf_events,
  ["bpf.user_ringbuf"] = user_ringbufs,
  ["metrics:serve"] = function() helper.require "socket" end,
  ["user_ringbuf:close"] = user_ringbufs,
  ["user_ringbuf:fd"] = user_ringbufs,
  ["user_ringbuf:submit"] = user_ringbufs,
}

--- Those that raise, once their arguments have been read: what they need takes more than a call.
local ONLY_IN_PROGRAMS <const> = "can be called in a BPF program only"

minimal.raises = {
  ["bpf.atomic.add"] = ONLY_IN_PROGRAMS,
  ["bpf.atomic.exchange"] = ONLY_IN_PROGRAMS,
  ["bpf.atomic.fetch_add"] = ONLY_IN_PROGRAMS,
  ["bpf.atomic.fetch_and"] = ONLY_IN_PROGRAMS,
  ["bpf.atomic.fetch_or"] = ONLY_IN_PROGRAMS,
  ["bpf.atomic.fetch_xor"] = ONLY_IN_PROGRAMS,
  ["bpf.cast"] = ONLY_IN_PROGRAMS,
  ["bpf.has"] = ONLY_IN_PROGRAMS,
  ["bpf.map.locked"] = ONLY_IN_PROGRAMS,
  ["bpf.map.attach"] = "only the struct_ops maps of an object",
  ["link:lines"] = "no iterator",
  ["link:records"] = "no iterator",
  ["token:close"] = "token '/sys/fs/bpf'", -- there is none outside of a container; token_spec has one
  ["token:fd"] = "token '/sys/fs/bpf'",
}

--- Those that ask without their argument and set with it: nil is no value to set.
minimal.none = {
  ["prog:autoattach"] = true,
  ["prog:autoload"] = true,
  ["prog:expected_attach_type"] = true,
  ["prog:log_level"] = true,
  ["prog:type"] = true,
}

return minimal

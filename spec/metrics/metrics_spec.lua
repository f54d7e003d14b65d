-- SPDX-License-Identifier: MIT
-- Maps as metrics: the text, to the letter; labels and their decoders on real things; limits, failures, chunks, files.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"

local ABSENT = helper.absent()

local map, metrics, decode = bpf.map, bpf.metrics, bpf.metrics.decode

-- The text without the metrics about the scrape, which come last.
local function body(set, format)
  local text = set:text(format)
  local prefix = text:find("# HELP [%w_]*exporter_series ")
  return text:sub(1, prefix - 1)
end

-- A map that is closed after the test.
local opened = {}
local function create(options)
  local m = assert(map.create(options))
  opened[#opened + 1] = m
  return m
end

after_each(function()
  for i = #opened, 1, -1 do
    map.close(opened[i])
    opened[i] = nil
  end
end)

-- The lines of a text, sorted: a hash has no order.
local function lines(text)
  local list = {}
  for line in text:gmatch("[^\n]+") do
    list[#list + 1] = line
  end
  table.sort(list)
  return list
end

-- The value of a label as it is written, for a table's key.
local function label(key, decoder)
  local set = metrics.new():gauge { name = "g", map = { [key] = 1 }, labels = { { "l", decode = decoder } } }
  return body(set):match('\ng{l="(.*)"} 1\n$')
end

describe("the text", function()
  it("is OpenMetrics, to the letter", function()
    local set = metrics.new { prefix = "t" }
    set:counter { name = "calls_total", help = 'Calls, "all"\n of \\ them.', map = { 5 }, labels = { "n" } }
    set:gauge { name = "size", unit = "bytes", help = "Size.", value = function() return -3 end }
    set:histogram {
      name = "wait_seconds", unit = "seconds",
      value = function() return { ns = 2500000000, slots = { 1, 0, 2, 3 } } end, buckets = "slots",
      sum = "ns", scale = 1e-9, bounds = { 0.5, 1, 2.5 },
    }
    local text = set:text()
    assert.equal([[
# HELP t_calls Calls, \"all\"\n of \\ them.
# TYPE t_calls counter
t_calls_total{n="1"} 5
# HELP t_size_bytes Size.
# TYPE t_size_bytes gauge
# UNIT t_size_bytes bytes
t_size_bytes -3
# TYPE t_wait_seconds histogram
# UNIT t_wait_seconds seconds
t_wait_seconds_bucket{le="0.5"} 1
t_wait_seconds_bucket{le="1.0"} 1
t_wait_seconds_bucket{le="2.5"} 3
t_wait_seconds_bucket{le="+Inf"} 6
t_wait_seconds_sum 2.5
t_wait_seconds_count 6
# HELP t_exporter_series Series of this scrape.
# TYPE t_exporter_series gauge
t_exporter_series{metric="t_calls"} 1
t_exporter_series{metric="t_size_bytes"} 1
t_exporter_series{metric="t_wait_seconds"} 1
# HELP t_exporter_dropped_series Entries left out of this scrape, because there were too many series.
# TYPE t_exporter_dropped_series gauge
t_exporter_dropped_series{metric="t_calls"} 0
t_exporter_dropped_series{metric="t_size_bytes"} 0
t_exporter_dropped_series{metric="t_wait_seconds"} 0
# HELP t_exporter_errors Scrapes that could not read all of a metric.
# TYPE t_exporter_errors counter
t_exporter_errors_total{metric="t_calls"} 0
t_exporter_errors_total{metric="t_size_bytes"} 0
t_exporter_errors_total{metric="t_wait_seconds"} 0
# HELP t_exporter_scrape_duration_seconds What this scrape took until here.
# TYPE t_exporter_scrape_duration_seconds gauge
# UNIT t_exporter_scrape_duration_seconds seconds
]], text:match("^(.*\n)t_exporter_scrape_duration_seconds [%d.e-]+\n# EOF\n$"))
  end)

  it("is Prometheus' older format when asked for", function()
    local set = metrics.new()
    set:counter { name = "calls", help = 'Calls, "all"\n of \\ them.', map = { 5 }, labels = { "n" } }
    set:histogram { name = "sizes", unit = "bytes", value = function() return { 1, 2, 3 } end }
    local text = set:text "prometheus"
    assert.equal([[
# HELP calls_total Calls, "all"\n of \\ them.
# TYPE calls_total counter
calls_total{n="1"} 5
# TYPE sizes_bytes histogram
sizes_bytes_bucket{le="1.0"} 1
sizes_bytes_bucket{le="3.0"} 3
sizes_bytes_bucket{le="+Inf"} 6
sizes_bytes_count 6
]], text:match("^(.-)# HELP exporter_series"))
    assert.falsy(text:find("# EOF", 1, true) or text:find("# UNIT", 1, true))
    -- OpenMetrics has no count where there is no sum
    assert.falsy(set:text():find("sizes_bytes_count", 1, true))
  end)

  it("has numbers that read as the same ones", function()
    local cases = {
      { 0, "0" }, { 7, "7" }, { -7, "-7" }, { math.maxinteger, "9223372036854775807" }, { 0.0, "0.0" }, { 1.5, "1.5" },
      { -2.0, "-2.0" }, { 0.1, "0.1" }, { 1 / 3, "0.3333333333333333" }, { 1e6, "1e+06" },
      { 123456.5, "123456.5" },
      { 1048576.0, "1.048576e+06" }, { 1e-5, "1e-05" }, { 0.0001, "0.0001" },
      { 5e-324, "4.94065645841247e-324" },
      { 0 / 0, "NaN" }, { 1 / 0, "+Inf" }, { -1 / 0, "-Inf" }, { true, "1" }, { false, "0" },
    }
    for _, case in ipairs(cases) do
      local value, text = case[1], case[2]
      assert.equal("# TYPE g gauge\ng " .. text .. "\n", body(metrics.new():gauge {
        name = "g", value = function() return value end,
      }))
    end
  end)

  it("takes counters for unsigned and gauges for signed", function()
    local set = metrics.new():counter { name = "c", value = function() return -1 end }
    set:counter { name = "s", value = function() return math.mininteger end, scale = 2 }
    set:gauge { name = "g", value = function() return -1 end, scale = 0.5 }
    assert.equal("# TYPE c counter\nc_total 18446744073709551615\n# TYPE s counter\ns_total 1.8446744073709552e+19\n" ..
      "# TYPE g gauge\ng -0.5\n", body(set))
  end)

  it("divides where the scale is one by a whole number, so that decimals stay what they are", function()
    local cases = { [3] = "3e-09", [2500] = "2.5e-06", [1000000001] = "1.000000001", [8192] = "8.192e-06" }
    for ns, seconds in pairs(cases) do
      assert.equal("# TYPE g gauge\ng " .. seconds .. "\n", body(metrics.new():gauge {
        name = "g", value = function() return ns end, scale = 1e-9,
      }))
    end
  end)

  it("has labels with quotes, line ends and whatever bytes, made valid", function()
    assert.equal('a\\"b\\\\c\\nd', label 'a"b\\c\nd')
    assert.equal("gr\u{fc}n \u{1f600}", label "gr\u{fc}n \u{1f600}")
    assert.equal("\\\\xffa\\\\x00\\\\xc3", label "\xffa\0\xc3")
    assert.equal("\\\\xed\\\\xa0\\\\x80", label "\xed\xa0\x80") -- half of a surrogate pair is no character
    assert.equal("", label "")
    assert.equal("true", label(true))
    assert.equal("1.5", label(1.5))
    assert.truthy(utf8.len(metrics.new():gauge({ name = "g", help = "\xff", value = function() return 1 end }):text()))
  end)
end)

describe("labels", function()
  before_each(function() kernel.root() end)

  it("are the key, its members and members of members", function()
    local ports = create { type = "hash", max_entries = 8, key = "__u16", value = "__u64" }
    ports[80], ports[443] = 3, 4
    local flows = create {
      type = "hash", max_entries = 8, value = "__u64",
      key = "struct flow { struct { __u32 ip; __u16 port, zero; } from; char dev[12]; __s32 n; }",
    }
    flows[{ from = { ip = 1, port = 2 }, dev = "eth0", n = -1 }] = 5
    local set = metrics.new():counter { name = "p", map = ports, labels = { "port" } }
    set:counter { name = "f", map = flows, labels = { "dev", { "source", key = "from.port" }, "n" } }
    assert.same({
      "# TYPE f counter", "# TYPE p counter", 'f_total{dev="eth0",source="2",n="-1"} 5', 'p_total{port="443"} 4',
      'p_total{port="80"} 3',
    }, lines(body(set)))
  end)

  it("come from values, too, and through tables and functions", function()
    local m = create {
      type = "hash", max_entries = 8, key = "__u32", value = "struct v { __u64 count; char comm[16]; __u32 state; }",
    }
    m[7] = { count = 1, comm = "curl", state = 2 }
    m[8] = { count = 2, comm = "ssh", state = 9 }
    local set = metrics.new():counter {
      name = "c", map = m, value = "count",
      labels = {
        { "comm", value = "comm" }, { "state", value = "state", decode = { [2] = "open" } },
        { "parity", decode = function(key) return key % 2 == 0 and "even" or "odd" end },
        { "sum", key = function(key, value) return key + value.count end },
      },
    }
    assert.same({
      "# TYPE c counter", 'c_total{comm="curl",state="open",parity="odd",sum="8"} 1',
      'c_total{comm="ssh",state="9",parity="even",sum="10"} 2',
    }, lines(body(set)))
  end)

  it("leave out entries for which a decoder or the value is nil", function()
    local m = create { type = "array", max_entries = 5, value = "__u64" }
    m[1], m[2], m[3] = 10, 20, 30
    local set = metrics.new():counter {
      name = "c", map = m, labels = { { "slot", decode = function(i) return i ~= 2 and "s" .. i or nil end } },
      value = function(n) return n > 0 and n or nil end,
    }
    assert.equal('# TYPE c counter\nc_total{slot="s1"} 10\nc_total{slot="s3"} 30\n', body(set))
  end)

  it("add up what they don't tell apart", function()
    local m = create { type = "hash", max_entries = 8, key = "struct k { __u32 pid, cpu; }", value = "__u64" }
    for pid = 1, 2 do
      for cpu = 0, 2 do
        m[{ pid = pid, cpu = cpu }] = pid * 100 + cpu
      end
    end
    local set = metrics.new():counter { name = "by_pid", map = m, labels = { "pid" } }
    set:counter { name = "by_name", map = m, labels = { "cpu", { "name", key = "pid", decode = { "x", "x" } } } }
    set:counter { name = "all", map = m }
    assert.same({
      "# TYPE all counter", "# TYPE by_name counter", "# TYPE by_pid counter", "all_total 906",
      'by_name_total{cpu="0",name="x"} 300', 'by_name_total{cpu="1",name="x"} 302',
      'by_name_total{cpu="2",name="x"} 304',
      'by_pid_total{pid="1"} 303', 'by_pid_total{pid="2"} 603',
    }, lines(body(set)))
  end)

  it("are of maps, of tables and of what a function returns", function()
    local n = 0
    local set = metrics.new():gauge { name = "t", map = { a = 1 }, labels = { "k" } }
    set:gauge { name = "f", map = function() n = n + 1; return { [n] = n } end, labels = { "k" } }
    assert.equal('# TYPE t gauge\nt{k="a"} 1\n# TYPE f gauge\nf{k="1"} 1\n', body(set))
    assert.equal('# TYPE t gauge\nt{k="a"} 1\n# TYPE f gauge\nf{k="2"} 2\n', body(set))
  end)
end)

describe("values", function()
  before_each(function() kernel.root() end)

  it("of per-CPU maps are the CPUs' sum", function()
    local m = create { type = "percpu_hash", max_entries = 8, key = "__u32", value = "__u64" }
    m[1] = 5
    local n = #m[1]
    local s = create {
      type = "percpu_array", max_entries = 1, value = "struct s { __u64 ns; char comm[8]; __u32 slots[3]; }",
    }
    s[0] = { ns = 10, comm = "cpu", slots = { 1, 2, 3 } }
    local set = metrics.new():counter { name = "c", map = m, labels = { "k" } }
    set:counter { name = "ns", map = s, value = "ns", labels = { { "comm", value = "comm" } } }
    set:counter { name = "second", map = s, value = "slots.2" }
    set:histogram { name = "h", map = s, buckets = "slots", sum = "ns" }
    assert.equal(([[
# TYPE c counter
c_total{k="1"} %d
# TYPE ns counter
ns_total{comm="cpu"} %d
# TYPE second counter
second_total %d
# TYPE h histogram
h_bucket{le="1.0"} %d
h_bucket{le="3.0"} %d
h_bucket{le="+Inf"} %d
h_sum %d
h_count %d
]]):format(5 * n, 10 * n, 2 * n, n, 3 * n, 6 * n, 10 * n, 6 * n), body(set))
  end)
end)

describe("histograms", function()
  before_each(function() kernel.root() end)

  it("of slots in the keys are put together", function()
    local m = create { type = "hash", max_entries = 8, key = "struct k { __u32 dev, slot; }", value = "__u64" }
    m[{ dev = 1, slot = 0 }], m[{ dev = 1, slot = 2 }], m[{ dev = 1, slot = 7 }], m[{ dev = 2, slot = 1 }] = 1, 2, 3, 4
    local set = metrics.new():histogram { name = "h", map = m, labels = { "dev" }, slot = "slot", first = 1, last = 3 }
    local text = body(set)
    assert.truthy(text:find([[
h_bucket{dev="1",le="3.0"} 1
h_bucket{dev="1",le="7.0"} 3
h_bucket{dev="1",le="15.0"} 3
h_bucket{dev="1",le="+Inf"} 6
]], 1, true), text)
    assert.truthy(text:find('h_bucket{dev="2",le="3.0"} 4\n', 1, true), text)
    assert.equal(1, select(2, text:gsub("# TYPE", "")))
  end)

  it("of an array's slots have as many buckets as it has slots, the last without end", function()
    local m = create { type = "array", max_entries = 4, value = "__u64" }
    m[0], m[3] = 1, 2
    assert.equal([[
# TYPE h histogram
h_bucket{le="2e-06"} 1
h_bucket{le="4e-06"} 1
h_bucket{le="8e-06"} 1
h_bucket{le="+Inf"} 3
]], body(metrics.new():histogram { name = "h", map = m, slot = true, scale = 1e-6 }))
  end)

  it("have the largest whole number of a slot as its bound: 4096 bytes are no more than 8191", function()
    local text = body(metrics.new():histogram {
      name = "h", value = function()
        local slots = {}
        for i = 1, 64 do
          slots[i] = i == 13 and 1 or 0
        end
        return slots
      end,
    })
    assert.truthy(text:find('h_bucket{le="4095.0"} 0\nh_bucket{le="8191.0"} 1\n', 1, true), text)
    assert.equal(64, select(2, text:gsub("h_bucket", "")))
  end)

  it("may have bounds of one's own", function()
    local function with(options)
      options.name, options.value = "h", function() return { 1, 1, 1, 1 } end
      return body(metrics.new():histogram(options))
    end
    assert.equal('# TYPE h histogram\nh_bucket{le="10.0"} 1\nh_bucket{le="20.0"} 2\nh_bucket{le="30.0"} 3\n' ..
      'h_bucket{le="+Inf"} 4\n', with { bounds = function(i) return (i + 1) * 10 end })
    assert.equal('# TYPE h histogram\nh_bucket{le="1.5"} 2\nh_bucket{le="+Inf"} 4\n',
      with { bounds = { 1, 1.5 }, first = 1 })
    assert.equal('# TYPE h histogram\nh_bucket{le="1.0"} 1\nh_bucket{le="3.0"} 2\nh_bucket{le="+Inf"} 4\n',
      with { last = 1 })
  end)
end)

describe("what functions leave out", function()
  it("is left out of histograms, too: entries, buckets, sums and slots", function()
    local failures = {}
    local set = metrics.new { on_error = function(...) failures[#failures + 1] = table.concat({ ... }, ": ") end }
    local slots = { [1] = 5, [2] = 7, [27] = 12345 }
    set:histogram { name = "a", map = slots, slot = true, last = 2,
      value = function(n, i) return i < 27 and n or nil end }
    set:histogram { name = "b", map = slots, slot = function(i) return i < 27 and i or nil end, last = 2 }
    set:histogram { name = "c", map = slots, slot = true, value = function() end }
    set:histogram { name = "d", map = { { 1, 2, 3 }, { 4, 5, 6 } }, last = 0, sum = function() end,
      buckets = function(v) return v[1] == 4 and v or nil end }
    local text = set:text()
    assert.same({}, failures)
    for _, name in ipairs { "a", "b" } do
      assert(text:find(([[
# TYPE %s histogram
%s_bucket{le="1.0"} 0
%s_bucket{le="3.0"} 5
%s_bucket{le="7.0"} 12
%s_bucket{le="+Inf"} 12
]]):gsub("%%s", name), 1, true), text)
    end
    assert(text:find("# TYPE c histogram\n# TYPE d histogram\n", 1, true), text)
    assert(text:find('d_bucket{le="1.0"} 4\nd_bucket{le="+Inf"} 15\nd_sum 0\nd_count 15\n', 1, true), text)
    set = metrics.new { on_error = function(_, message) failures[#failures + 1] = message end }
    set:histogram { name = "e", map = slots, slot = true, value = function() return {} end }
    set:text()
    assert.same({ "a slot's count is no number but a table" }, failures)
  end)
end)

describe("a sum that a slot has", function()
  it("is no count, of entries and of buckets", function()
    local slots = { [1] = 5, [2] = 7, [27] = 12000 }
    local set = metrics.new()
    set:histogram { name = "a", map = slots, slot = true, last = 2, sum_slot = 27, scale = 1e-3 }
    set:histogram { name = "b", map = { { 0, 5, 7, 50 } }, sum_slot = 3 }
    local text = set:text()
    assert(text:find('a_bucket{le="0.008"} 12\na_bucket{le="+Inf"} 12\na_sum 12.0\na_count 12\n', 1, true), text)
    assert(text:find('b_bucket{le="3.0"} 5\nb_bucket{le="+Inf"} 12\nb_sum 50\nb_count 12\n', 1, true), text)
  end)

  it("is the last slot of an array", function()
    kernel.root()
    local m = create { type = "percpu_array", max_entries = 4, value = "__u64" }
    for i, n in ipairs { 1, 2, 3, 40 } do
      local values = map.lookup(m, i - 1)
      values[1] = n
      m[i - 1] = values
    end
    local text = metrics.new():histogram { name = "a", map = m, slot = true, sum_slot = 3 }:text()
    assert(text:find('a_bucket{le="1.0"} 1\na_bucket{le="3.0"} 3\na_bucket{le="+Inf"} 6\na_sum 40\n', 1, true), text)
  end)
end)

describe("a label for the CPU", function()
  it("keeps the CPUs' values apart, alone and with others", function()
    kernel.root()
    local m = create { type = "percpu_hash", max_entries = 4, key = "__u32", value = "struct s { __u64 n; }" }
    for key = 1, 2 do
      local values = {}
      for cpu = 1, bpf.features.cpus() do
        values[cpu] = { n = key * 10 + cpu }
      end
      m[key] = values
    end
    local set = metrics.new()
    set:counter { name = "a", map = m, value = "n", labels = { "key", { "cpu", cpu = true } } }
    set:counter { name = "b", map = m, value = "n",
      labels = { { "cpu", cpu = true, decode = function(n) return "C" .. n end } } }
    set:counter { name = "c", map = function() return m end, value = "n", labels = { { "cpu", cpu = true } } }
    set:counter { name = "d", map = function() return m end, value = "n" } -- all of them
    local text, sum = set:text(), 0
    for cpu = 0, bpf.features.cpus() - 1 do
      for key = 1, 2 do
        assert(text:find(('\na_total{key="%d",cpu="%d"} %d\n'):format(key, cpu, key * 10 + cpu + 1), 1, true), text)
      end
      assert(text:find(('\nb_total{cpu="C%d"} %d\n'):format(cpu, 32 + 2 * cpu), 1, true), text)
      assert(text:find(('\nc_total{cpu="%d"} %d\n'):format(cpu, 32 + 2 * cpu), 1, true), text)
      sum = sum + 32 + 2 * cpu
    end
    assert(text:find(("\nd_total %d\n"):format(sum), 1, true), text)
    assert.equal(2 * bpf.features.cpus(), select(2, text:gsub("\na_total", "")))
    local plain = create { type = "hash", max_entries = 4, key = "__u32", value = "__u64" }
    helper.raises(function() set:counter { name = "e", map = plain, labels = { { "cpu", cpu = true } } } end,
      "spec/metrics/metrics_spec.lua:%d+: metrics:counter: label 'cpu': the map has no values by CPU")
  end)
end)

describe("names, without a descriptor", function()
  it("are asked for again, once there is one", function()
    local output, ok = helper.run("ulimit -n 64; " .. helper.LUA .. " -e " .. helper.quote(([[
      local bpf = require "bpf"
      local decode, symbols = bpf.metrics.decode, bpf.symbols
      local process, held = assert(symbols.process(%d)), {}
      local set = bpf.metrics.new():gauge { name = "g", value = function() return 1 end }
      local address
      for line in io.lines "/proc/%d/maps" do
        address = address or line:match "^(%%x+)%%-%%x+ r.xp"
      end
      address = tonumber(address, 16)
      repeat
        local file = io.open "/"
        held[#held + 1] = file
      until not file
      print(decode.process(1), select(4, process:find(address)))
      print(symbols.process(1))
      print(symbols.kernel())
      print(set:write_file "%s/x.prom")
      for _, file in ipairs(held) do file:close() end
      print(decode.process(1) ~= "1", select(4, process:find(address)) == nil)]]):format(helper.pid, helper.pid,
      helper.tmpdir())))
    assert(ok, output)
    assert.matches("^1\t[^\t]*/proc/%d+/map_files/[^\t]*: Too many open files %(EMFILE%)\tEMFILE\n" ..
      "nil\t/proc/1/maps: Too many open files\tEMFILE\nnil\t/proc/kallsyms: Too many open files %(EMFILE%)\tEMFILE\n" ..
      "nil\tmetrics:write_file: [^\t]*Too many open files %(EMFILE%)\tEMFILE\ntrue\ttrue\n$", output)
  end)
end)

describe("decoders", function()
  it("are the functions of bpf.format that make text of a value alone", function()
    for name, fn in pairs(bpf.format) do
      assert.equal(name ~= "columns" and name ~= "enum" and fn or nil, decode[name], name)
    end
  end)

  it("know the kernel's own types of addresses", function()
    kernel.root()
    local six = create { type = "hash", max_entries = 2, key = "struct in6_addr", value = "__u64" }
    local raw = create { type = "hash", max_entries = 2, key = "struct k { __be32 saddr; __be16 port; __u8 mac[6]; }",
      value = "__u64" }
    local key = bpf.btf.kernel():type("struct in6_addr"):decode("\x20\x01\x0d\xb8" .. ("\0"):rep(11) .. "\1")
    six[{ in6_u = { u6_addr32 = key.in6_u.u6_addr32 } }] = 1
    local port, address = string.unpack("=I2", "\1\187"), string.unpack("=I4", "\127\0\0\1")
    raw[{ saddr = address, port = port, mac = "\2\0\0\0\0\255" }] = 1
    local function whole(k)
      return k
    end
    local set = metrics.new():gauge { name = "six", map = six, labels = { { "a", key = whole, decode = "ipv6" } } }
    set:gauge {
      name = "raw", map = raw,
      labels = { { "a", key = "saddr", decode = "ipv4" }, { "port", decode = "port" }, { "mac", decode = "mac" } },
    }
    assert.equal('# TYPE six gauge\nsix{a="2001:db8::1"} 1\n# TYPE raw gauge\n' ..
      'raw{a="127.0.0.1",port="443",mac="02:00:00:00:00:ff"} 1\n', body(set))
  end)

  it("name enumerators, by their type", function()
    local btf <close> = bpf.btf.parse "enum state { S_OPEN = 1, S_SHUT = 7, OTHER }; struct s { enum state state; };"
    assert.same({ [1] = "S_OPEN", [7] = "S_SHUT", [8] = "OTHER" }, metrics.enum("enum state", btf))
    local names = metrics.enum("enum state", btf, "S_")
    assert.same({ [1] = "OPEN", [7] = "SHUT", [8] = "OTHER" }, names)
    local m = { [{ state = 7 }] = 1 }
    assert.equal('# TYPE g gauge\ng{state="SHUT"} 1\n', body(metrics.new():gauge {
      name = "g", map = m, labels = { { "state", decode = names } },
    }))
    assert.same({ nil, "metrics.enum: there is no enumeration 'enum nothing' (ENOENT)", "ENOENT" },
      { metrics.enum("enum nothing", btf) })
    assert.is_nil(metrics.enum("struct s", btf))
    assert.equal("HASH", metrics.enum("enum bpf_map_type", nil, "BPF_MAP_TYPE_")[1])
  end)
end)

describe("limits", function()
  before_each(function() kernel.root() end)

  local function filled(n)
    local m = create { type = "hash", max_entries = n, key = "__u32", value = "__u64" }
    for i = 1, n do
      m[i] = i
    end
    return m
  end

  it("leave out further series and count them", function()
    local m = filled(10)
    local set = metrics.new { max_series = 4 }
    set:counter { name = "a", map = m, labels = { "k" } }
    set:counter { name = "b", map = m, labels = { "k" }, max_series = 7 }
    set:counter { name = "parity", map = m, labels = { { "odd", decode = function(k) return k % 2 end } } }
    set:counter { name = "five", map = m, labels = { { "mod", decode = function(k) return k % 5 end } } }
    set:counter { name = "none", map = m, labels = { "k" }, max_series = 0 }
    local text = set:text()
    local function count(name)
      return select(2, text:gsub("\n" .. name .. "{", ""))
    end
    local function of(metric, name)
      return tonumber(text:match(("\n%s{metric=\"%s\"} (%%d+)\n"):format(name, metric)))
    end
    for name, expected in pairs { a = { 4, 6 }, b = { 7, 3 }, parity = { 2, 0 }, five = { 4, 2 }, none = { 0, 10 } } do
      assert.equal(expected[1], count(name .. "_total"), name)
      assert.equal(expected[1], of(name, "exporter_series"), name)
      assert.equal(expected[2], of(name, "exporter_dropped_series"), name)
    end
    assert.equal(17, set:write(function() end))
  end)

  it("are 10000 series without a word", function()
    local set = metrics.new():gauge { name = "g", map = filled(10010), labels = { "k" } }
    assert.equal(10000, set:write(function() end))
    assert.truthy(set:text():find('exporter_dropped_series{metric="g"} 10\n'))
  end)
end)

describe("a metric that fails", function()
  before_each(function() kernel.root() end)

  it("is counted and told of, and the others are written", function()
    local told = {}
    local good = create { type = "array", max_entries = 1, value = "__u64" }
    local closed = create { type = "hash", max_entries = 1, key = "__u32", value = "__u64" }
    local function later() -- so that nothing is known of it before
      return good
    end
    local set = metrics.new { on_error = function(name, message) told[#told + 1] = name .. ": " .. message end }
    set:counter { name = "closed", map = closed, labels = { "k" } }
    set:counter { name = "member", map = later, value = "nothing" }
    set:counter { name = "label", map = later, labels = { { "l", key = "a.b" } } }
    set:counter { name = "raises", map = good, labels = { { "l", decode = function() error("oh no", 0) end } } }
    set:gauge { name = "text", value = function() return "text" end }
    set:gauge { name = "table", map = { [{}] = 1 }, labels = { { "l", key = function(k) return k end } } }
    set:histogram { name = "flat", map = later }
    set:histogram { name = "slot", map = { [-1] = 1 }, slot = true }
    set:counter { name = "good", map = good }
    map.close(closed)
    local text = set:text()
    assert.truthy(text:find("\ngood_total 0\n"), text)
    for i, pattern in ipairs {
      "closed: map 'hash' is closed", "member: the value has no member 'nothing'", "label: the key has no member 'a.b'",
      "raises: oh no", "text: the value is no number but a string",
      "table: a label can't be a table; decode it, or name a member", "flat: the buckets are a number, not a sequence",
      "slot: %-1 is no number of a slot",
    } do
      assert.matches("^" .. pattern .. "$", told[i])
      assert.truthy(text:find(('exporter_errors_total{metric="%s"} 1\n'):format(pattern:match "^%a+")), pattern)
    end
    assert.equal(8, #told)
    assert.truthy(set:text():find 'exporter_errors_total{metric="closed"} 2\n')
    assert.truthy(set:text():find 'exporter_errors_total{metric="good"} 0\n')
  end)

  it("keeps what it had written, but nothing of sums that aren't complete", function()
    local m = create { type = "array", max_entries = 9, value = "__u64" }
    local function breaks(i)
      return i < 5 and i or error "broken"
    end
    local set = metrics.new()
    set:counter { name = "each", map = m, labels = { "i" }, value = function(_, i) return breaks(i) end }
    set:counter { name = "sum", map = m, labels = { { "i", decode = function(i) return breaks(i) // 2 end } } }
    local text = set:text()
    assert.equal(5, select(2, text:gsub("\neach_total{", "")))
    assert.equal(0, select(2, text:gsub("\nsum_total{", "")))
    assert.truthy(text:find 'exporter_series{metric="each"} 5\n')
    assert.truthy(text:find 'exporter_series{metric="sum"} 0\n')
  end)

  it("lets Ctrl-C through", function()
    local set = metrics.new():counter { name = "c", value = function() error "interrupted!" end }
    helper.raises(function() set:text() end, "interrupted!")
  end)
end)

describe("write", function()
  it("gives chunks of at most 32 KiB, that are the text when put together", function()
    local long = {}
    for i = 1, 5000 do
      long["name-" .. i] = i
    end
    long[("x"):rep(100000)] = 1
    local set = metrics.new():gauge { name = "g", map = long, labels = { "k" } }
    local chunks = {}
    assert.equal(5001, set:write(function(chunk) chunks[#chunks + 1] = chunk end))
    for _, chunk in ipairs(chunks) do
      assert(#chunk > 0 and #chunk <= 32 * 1024, #chunk)
    end
    local function without_time(text)
      return (text:gsub("_seconds [%d.e-]+\n", ""))
    end
    assert.same(lines(without_time(set:text())), lines(without_time(table.concat(chunks))))
    assert.truthy(#chunks < #table.concat(chunks) / 16384, #chunks)
  end)

  it("needs no more memory for more series", function()
    kernel.root()
    local m = create { type = "hash", max_entries = 50000, key = "__u32", value = "__u64" }
    assert(map.update_batch(m, function(_, k) return k < 50000 and k + 1 or nil, k end, nil, 0))
    local set = metrics.new { max_series = 100000 }
    set:counter { name = "c", map = m, labels = { "k" } }
    collectgarbage()
    collectgarbage()
    local before, most, bytes = collectgarbage "count", 0, 0
    assert.equal(50000, set:write(function(chunk)
      bytes = bytes + #chunk
      collectgarbage()
      most = math.max(most, collectgarbage "count" - before)
    end))
    assert(bytes > 1000000 and most < 200, most)
  end)

  it("ends when the sink says so, and lets its errors through", function()
    local set = metrics.new():gauge { name = "g", value = function() return 1 end }
    assert.same({ nil, "full", "ENOSPC" }, { set:write(function() return nil, "full", "ENOSPC" end) })
    helper.raises(function() set:write(function() error "sink broke" end) end, "sink broke")
    helper.raises(function() set:write(function() end, "json") end, "format 'json' is unknown")
    assert.equal(1, set:write(function() return false end)) -- no message, no failure
  end)

  it("may be interrupted and go on, as coroutines do", function()
    local set = metrics.new():gauge { name = "g", map = { a = 1, b = 2, c = 3 }, labels = { "k" } }
    local text = {}
    local routine = coroutine.wrap(function()
      set:write(function(chunk) text[#text + 1] = chunk; coroutine.yield() end)
      return "done"
    end)
    local result
    repeat
      result = routine()
    until result
    assert.equal("done", result)
    assert.truthy(table.concat(text):find "# EOF\n$")
  end)
end)

describe("write_file", function()
  it("puts the whole text into place at one stroke", function()
    local dir = helper.tmpdir()
    local path = dir .. "/bpf.prom"
    local n = 0
    local set = metrics.new():counter { name = "c", value = function()
      n = n + 1
      local file = io.open(path)
      if n == 2 then -- while the second is written, the first is there
        assert.truthy(file:read "a":find "\nc_total 1\n")
        file:close()
      else
        assert.is_nil(file)
      end
      return n
    end }
    assert.equal(1, set:write_file(path))
    assert.equal(1, set:write_file(path))
    local file <close> = assert(io.open(path))
    local text = file:read "a"
    assert.truthy(text:find "^# TYPE c_total counter\nc_total 2\n.*exporter_scrape_duration_seconds [%d.e-]+\n$", text)
    for name in lfs.dir(dir) do
      assert(name == "." or name == ".." or name == "bpf.prom", name)
    end
  end)

  it("says what is wrong, and leaves nothing behind", function()
    local set = metrics.new():counter { name = "c", value = function() return 1 end }
    local ok, message, code = set:write_file(ABSENT .. "/x.prom")
    assert.same({ nil, "ENOENT" }, { ok, code })
    assert.matches("^metrics:write_file: [^:]*/absent/x.prom[^:]*: No such file or directory %(ENOENT%)$", message)
    local dir = helper.tmpdir()
    assert(lfs.mkdir(dir .. "/taken"))
    assert.same({ nil, "EISDIR" }, { (set:write_file(dir .. "/taken")), select(3, set:write_file(dir .. "/taken")) })
    set:gauge { name = "g", value = function() error "interrupted!" end }
    helper.raises(function() set:write_file(dir .. "/x.prom") end, "interrupted!")
    for name in lfs.dir(dir) do
      assert(name == "." or name == ".." or name == "taken", name)
    end
  end)
end)

describe("declaring", function()
  local function refuses(pattern, kind, options)
    helper.raises(function()
      local set = metrics.new():counter { name = "there", value = print }
      set[kind](set, options)
    end, "spec/metrics/metrics_spec.lua:%d+: metrics:" .. kind .. ": " .. pattern)
  end

  it("raises for what makes no sense", function()
    refuses("options expected, a table, got nil", "counter", nil)
    refuses("a map is missing, or a function as value", "counter", { name = "a" })
    refuses("a name is missing", "gauge", { value = print })
    refuses("'1a' can't be a metric's name", "gauge", { name = "1a", value = print })
    refuses("'a%-b' can't be a metric's name", "gauge", { name = "a-b", value = print })
    refuses("there is a metric 'there' already", "gauge", { name = "there", value = print })
    refuses("there is a metric 'there' already", "gauge", { name = "there_total", value = print })
    refuses("there is no option 'lables' %(options: help, labels, map, max_series, name, scale, unit, value%)", "gauge",
      { name = "a", lables = {} })
    refuses("there is no option 'bound' %(options: bounds, buckets, first, help, labels, last, map, max_series, " ..
      "name, scale, slot, sum, sum_slot, unit, value%)", "histogram", { name = "a", bound = {} })
    refuses("option 'help' must be a string, got number", "gauge", { name = "a", help = 1 })
    refuses("option 'map' must be a map or a table, got something else", "gauge", { name = "a", map = io.stdout })
    refuses("labels are of a map, and there is none", "gauge", { name = "a", value = print, labels = { "l" } })
    refuses("'__l' can't be a label's name", "gauge", { name = "a", map = {}, labels = { "__l" } })
    refuses("'l%-' can't be a label's name", "gauge", { name = "a", map = {}, labels = { { "l-" } } })
    refuses("'nil' can't be a label's name", "gauge", { name = "a", map = {}, labels = { { key = "x" } } })
    refuses("label 'l' is there already", "gauge", { name = "a", map = {}, labels = { "l", { "l", key = "x" } } })
    refuses("label 'le' is there already", "histogram", { name = "a", map = {}, labels = { "le" } })
    refuses("label 'l' is of the key or of the value, not of both", "gauge",
      { name = "a", map = {}, labels = { { "l", key = "x", value = "y" } } })
    refuses("label 'l' is of the CPU, not of the key or the value", "gauge",
      { name = "a", map = {}, labels = { { "l", key = "x", cpu = true } } })
    refuses("sum_slot is the number of the slot with the sum, in place of", "histogram",
      { name = "a", map = {}, sum_slot = 5, sum = "ns" })
    refuses("sum_slot is the number of the slot with the sum, in place of", "histogram",
      { name = "a", map = {}, slot = true, sum_slot = -1 })
    refuses("there is no decoder 'ipv5' %(decoders: bytes, cgroup, .*, user%)", "gauge",
      { name = "a", map = {}, labels = { { "l", decode = "ipv5" } } })
    refuses("there is no option 'decoder' ", "gauge",
      { name = "a", map = {}, labels = { { "l", decoder = "ipv4" } } })
    refuses("bounds 'log10' are unknown", "histogram", { name = "a", map = {}, bounds = "log10" })
    refuses("bounds must be numbers in ascending order", "histogram", { name = "a", map = {}, bounds = { 1, 1 } })
    refuses("there are too few bounds", "histogram", { name = "a", map = {}, bounds = {} })
    refuses("there are too few bounds", "histogram", { name = "a", map = {}, bounds = { 1, 2 }, last = 2 })
    refuses("where the key has the slot, there are no buckets and no sum in the value", "histogram",
      { name = "a", map = {}, slot = "s", sum = "ns" })
    refuses("where the key has the slot, there must be a map", "histogram",
      { name = "a", value = print, slot = "s" })
    refuses("the counts are the option 'buckets'", "histogram", { name = "a", map = {}, value = "slots" })
    refuses("bounds by a function need the last slot", "histogram",
      { name = "a", map = {}, slot = "s", bounds = print })
    refuses("option 'max_series' must be an integer, got string", "gauge", { name = "a", map = {}, max_series = "1" })
    helper.raises(function() metrics.new { prefx = "" } end,
      "metrics_spec.lua:%d+: metrics.new: there is no option 'prefx' %(options: max_series, on_error, prefix%)")
  end)

  it("raises for members that the map's types don't have", function()
    kernel.root()
    local m = create {
      type = "percpu_hash", key = "struct from { __u32 saddr; struct { __u16 port; } at; }", max_entries = 1,
      value = "struct seen { __u64 count; __u32 slots[4]; char comm[16]; }",
    }
    local function misses(pattern, kind, options)
      options.name, options.map = "a", m
      refuses(pattern, kind, options)
    end
    misses("label 'sadr': the key has no member 'sadr' %(members: at, saddr%)", "gauge",
      { labels = { "sadr" }, value = "count" })
    misses("label 'l': the key has no member 'at.prt' %(members: port%)", "counter",
      { labels = { { "l", key = "at.prt" } }, value = "count" })
    misses("label 'l': the value has no member 'com' %(members: comm, count, slots%)", "counter",
      { labels = { { "l", value = "com" } }, value = "count" })
    misses("the value has no member 'cuont' %(members: comm, count, slots%)", "gauge", { value = "cuont" })
    misses("the value is no number but a table; name a member of it", "counter", {})
    misses("the value is no number but a string", "gauge", { value = "comm" })
    misses("the value has no member 'slot' ", "histogram", { buckets = "slot" })
    misses("the buckets are a number, not a sequence", "histogram", { buckets = "count" })
    misses("the value has no member 'ns' ", "histogram", { buckets = "slots", sum = "ns" })
    misses("the key has no member 'slot' ", "histogram", { slot = "slot", value = "count" })
    metrics.new():histogram {
      name = "a", map = m, buckets = "slots", sum = "count", labels = { { "l", key = "at.port" } },
    }:gauge { name = "b", map = m, value = "slots.1", labels = { { "l", key = print } } }
  end)

  it("leaves nothing of what was refused", function()
    local set = metrics.new()
    pcall(set.gauge, set, { name = "a", map = {}, labels = { "__l" } })
    set:gauge { name = "a", map = {} }
    assert.equal("# TYPE a gauge\n", body(set))
    assert.equal("bpf.metrics: 1 metric", tostring(set))
  end)
end)

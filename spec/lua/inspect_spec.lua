-- SPDX-License-Identifier: MIT
-- What one sees at the prompt: bpf.inspect, bpf.json, and what handles print as.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local map = bpf.map

local function text(value, options)
  options = options or {}
  options.text, options.width, options.utf8 = true, options.width or 100, true
  return bpf.inspect(value, options)
end

-- What a map shows below its own line.
local function shown(m, options)
  return (text(m, options):gsub("^[^\n]*\n", ""))
end

local function create(type, options)
  options.type, options.max_entries = type, options.max_entries or 16
  return assert(map.create(options))
end

describe("bpf.inspect of Lua's values", function()
  it("shows them as Lua writes them", function()
    assert.equal("5", text(5))
    assert.equal("nil", text(nil))
    assert.equal('"a\\n\\"b\\"\\000"', text('a\n"b"\0'))
    assert.equal("ff 00", text("\xff\0"))
    assert.equal('{ 1, 2, ["c d"] = 3, e = { f = true } }', text { 1, 2, ["c d"] = 3, e = { f = true } })
    assert.equal("{}", text {})
  end)

  it("breaks what doesn't fit into the width", function()
    assert.equal('{\n  a = { 1, 2, 3 },\n  b = "xxxxxxxxxxxx",\n}',
      text({ a = { 1, 2, 3 }, b = ("x"):rep(12) }, { width = 20 }))
  end)

  it("ends in tables that contain themselves", function()
    local t = {}
    t.t = t
    assert.matches("{…}", text(t))
  end)

  it("prints, and returns nothing", function()
    local output = helper.lua('print(select("#", require("bpf").inspect { 1 }))')
    assert.equal("{ 1 }\n0\n", output)
  end)

  it("raises for options that aren't there", function()
    helper.raises(function() bpf.inspect(1, { lines = 3 }) end, "there is no option 'lines' %(options: formats, ")
    helper.raises(function() bpf.inspect(1, { limit = "3" }) end, "option 'limit' must be a number, got string")
    helper.raises(function() bpf.inspect(1, 3) end, "table expected, got number")
  end)

  it("shows a type's members", function()
    assert.equal("bpf.type: struct s (8 bytes)\nname  type   offset  size  bits\n" ..
      "a     __u32       0     4\nb     __u32       4     1     3",
      text(bpf.btf.type "struct s { __u32 a; __u32 b : 3; }"))
  end)
end)

describe("type:layout", function()
  it("has the members at every depth", function()
    local layout = bpf.btf.type [[struct v {
      __u64 n; enum { OFF, ON } state; char name[4]; __u8 mac[6]; struct { signed char x : 3; } a[2]; float f; _Bool b;
    }]]:layout()
    local function is(expected, actual)
      for k, v in pairs(expected) do
        assert.same(v, actual[k], k)
      end
    end
    is({ kind = "struct", type = "struct v" }, layout)
    is({ kind = "unsigned", name = "n", type = "__u64", size = 8 }, layout[1])
    is({ kind = "unsigned", name = "state", enumerators = { [0] = "OFF", [1] = "ON" } }, layout[2])
    is({ kind = "string", name = "name", type = "char[4]" }, layout[3])
    is({ kind = "bytes", name = "mac", size = 6 }, layout[4])
    is({ kind = "array", name = "a" }, layout[5])
    is({ kind = "signed", name = "x" }, layout[5].element[1])
    assert.equal("float", layout[6].kind)
    assert.equal("boolean", layout[7].kind)
    assert.is_nil(layout[8])
  end)

  it("is the script's own", function()
    local t = bpf.btf.type "enum state { OFF, ON }"
    t:layout().enumerators[0] = "changed"
    assert.equal("OFF", t:layout().enumerators[0])
    assert.equal(0, t:decode(t:encode "OFF"))
  end)
end)

describe("bpf.json", function()
  it("writes what every reader of JSON takes", function()
    assert.equal('[1,-2,"a\\"\\\\\\n\\u0001é",true,null,1.5]', bpf.json { 1, -2, 'a"\\\n\1é', true, 0 / 0, 1.5 })
    assert.equal('{"1":2,"x":[]}', bpf.json { [1] = 2, x = {} })
    assert.equal("[255,0]", bpf.json "\xff\0")
    assert.equal("-9223372036854775808", bpf.json(math.mininteger))
    assert.equal("null", bpf.json(nil))
    assert.equal("null", bpf.json(math.huge))
    assert.equal("[0,0]", bpf.json("\0\0", { kind = "bytes" }))
  end)

  it("knows unsigned integers and the order of members by the layout", function()
    local t = bpf.btf.type "struct v { __u64 z; __s64 y; __u8 m[2]; struct { __u64 a[2]; } s; }"
    assert.equal('{"z":18446744073709551615,"y":-1,"m":[97,98],"s":{"a":[9223372036854775808,1]}}',
      bpf.json({ z = -1, y = -1, m = "ab", s = { a = { math.mininteger, 1 } } }, t:layout()))
  end)

  it("refuses tables without end", function()
    local t = {}
    t.t = t
    helper.raises(function() bpf.json(t) end, "contain themselves")
    helper.raises(function() bpf.json(1, 2) end, "table expected, got number")
  end)
end)

describe("tostring", function()
  it("names what there is", function()
    local obj <close> = assert(bpf.open(helper.obj "calls"))
    for _, name in ipairs { "hits", "slots", "calls.bss", "calls.rodata" } do
      assert(tostring(obj.maps):find(name, 1, true))
    end
    assert.matches("^maps: ", tostring(obj.maps))
    assert.matches("^programs: .*count_enter", tostring(obj.progs))
    assert.matches("^bpf %d+%.%d+%.%d+ %(libbpf v", tostring(bpf))
    assert.matches("1 entry,", tostring(obj.maps["calls.bss"]))
    assert.matches("not loaded%)\n?$", text(obj.maps.hits))
    assert.matches("\ncount_enter +raw_tp/sys_enter +raw_tracepoint +not loaded\n", text(obj))
    obj:close()
    assert.equal("bpf.object: calls (closed)", text(obj))
    assert.equal("bpf.vars: 6 variables (closed)", text(obj.vars))
  end)
end)

describe("bpf.inspect", function()
  kernel.root()

  it("gives structs columns, in the order of their members, and sorts by key", function()
    local m <close> = create("hash", { key = "struct key { __u16 port; __u8 proto; __u8 pad; }",
      value = "struct val { __u64 n; enum { OFF, ON } state; __u8 mac[2]; char name[8]; struct { int x; } s; }" })
    for i = 1, 3 do
      m[{ port = 90 - i, proto = i }] = { n = -i, state = i % 2, mac = "\1\xab", name = "eth" .. i, s = { x = -i } }
    end
    assert.equal([[
port  proto  pad                     n  state  mac    name  s
  87      3    0  18446744073709551613  ON     01 ab  eth3  { x = -3 }
  88      2    0  18446744073709551614  OFF    01 ab  eth2  { x = -2 }
  89      1    0  18446744073709551615  ON     01 ab  eth1  { x = -1 }]], shown(m))
    assert.equal(tostring(m), text(m):match("^[^\n]*"))
  end)

  it("tells how many entries there are besides", function()
    local m <close> = create("hash", { key = "__u32", value = "__u32", max_entries = 5000 })
    assert.equal("(empty)", shown(m))
    for i = 1, 30 do
      m[i] = i * 10
    end
    assert.matches("^key  value\n  1     10\n  2     20\n… and 28 more$", shown(m, { limit = 2 }))
    assert.matches("\n 20    200\n… and 10 more$", shown(m))
    for i = 31, 4321 do
      m[i] = i
    end
    local list = shown(m, { limit = 3 })
    assert.matches("\n… and 4,318 more$", list)
    assert.equal(4, select(2, list:gsub("\n", "")))
    local a <close> = create("array", { value = "__u32", max_entries = 100000 })
    assert.matches("^key  value\n  0      0\n… and 99,999 more$", shown(a, { limit = 1 }))
  end)

  it("adds up integers of the CPUs, and gives each CPU's struct a row", function()
    local cpus = bpf.features.cpus()
    local n <close> = create("percpu_array", { value = "__u64", max_entries = 1 })
    n[0] = 7
    assert.matches(("^key +sum  by CPU\n +0 +%d  { 7"):format(7 * cpus), shown(n))
    local s <close> = create("percpu_hash", { key = "char[8]", value = "struct s { int a; }" })
    s.web = { a = -3 }
    local list = shown(s)
    assert.matches("^key  CPU +a\nweb +0  %-3", list)
    assert.equal(cpus, select(2, list:gsub("\nweb ", "")))
  end)

  it("shows addresses, bytes, and maps in maps, which it closes", function()
    local trie <close> = create("lpm_trie", { key = "struct p { __u32 prefixlen; __u8 data[4]; }", value = "__u32[2]",
      flags = "no_prealloc" })
    trie["10.0.0.0/8"] = { 1, 2 }
    assert.equal("key         value\n10.0.0.0/8  { 1, 2 }", shown(trie))
    local raw <close> = create("hash", { key = 2, value = 70 })
    raw["a\xff"] = ("\1"):rep(70)
    assert.matches("^key    value\n61 ff  01 01 .* … %(70 bytes%)$", shown(raw, { width = 300 }))
    local inner = { type = "hash", max_entries = 3, key = "__u32", value = "__u32", name = "inner" }
    local outer <close> = create("hash_of_maps", { key = "char[4]", inner = inner })
    local one <close> = assert(map.create(inner))
    outer.one = one
    collectgarbage()
    collectgarbage("stop")
    local descriptors = "ls -l /proc/" .. helper.pid .. "/fd | grep -c bpf-map"
    local count = helper.run(descriptors)
    assert.matches("^key  value\none  bpf.map: inner %(hash, ", shown(outer))
    assert.equal(count, (helper.run(descriptors)))
    collectgarbage("restart")
  end)

  local function peers(type)
    local m = create(type or "hash", {
      key = "struct { __be32 saddr; __be16 port; }",
      value = "struct { __u64 bytes; struct { __u8 protocol; int error; } last; char comm[8]; }",
    })
    for i, bytes in ipairs { 5000, -1, 70 } do
      m[{ saddr = string.unpack("=I4", "\192\0\2" .. string.char(i)), port = string.unpack("=I2", "\0\80") }] =
        { bytes = bytes, last = { protocol = 6, error = -i }, comm = "c" .. i }
    end
    return m
  end

  it("formats columns, and members of members", function()
    local m <close> = peers()
    assert.equal("saddr      port                 bytes  last                                comm\n" ..
      "192.0.2.1    80                  5000  { protocol = TCP, error = EPERM }   c1\n" ..
      "192.0.2.2    80  18446744073709551615  { protocol = TCP, error = ENOENT }  c2\n" ..
      "192.0.2.3    80                    70  { protocol = TCP, error = ESRCH }   c3",
      shown(m, { formats = { saddr = "ip", port = "port", ["last.protocol"] = "protocol", ["last.error"] = "errno" } }))
    assert.matches("\n192.0.2.2 +20480 +16 EiB", shown(m, { formats = { saddr = "ip", bytes = "bytes" } }))
    assert.matches("\n192.0.2.1 +20480 +4.88 KiB +{ protocol = 6, error = %-1 } +c1!\n",
      shown(m, { formats = { saddr = "ip", bytes = "bytes", comm = function(comm) return comm .. "!" end } }))
  end)

  it("sorts by a column, either way, and looks at all entries", function()
    local m <close> = peers()
    local function order(sort, options)
      local all = {}
      options = options or {}
      options.sort = sort
      for comm in shown(m, options):gmatch "c%d" do
        all[#all + 1] = comm
      end
      return table.concat(all, " ")
    end
    assert.equal("c3 c1 c2", order "bytes") -- the second is unsigned
    assert.equal("c2 c1 c3", order "-bytes")
    assert.equal("c3 c2 c1", order "-comm")
    assert.equal("c2", order("-bytes", { limit = 1 }))
    local many <close> = create("hash", { key = "__u32", value = "__u64", max_entries = 3000 })
    for i = 1, 3000 do
      many[i] = i % 1000
    end
    assert.equal(" key  value\n 999    999\n1999    999\n… and 2,998 more", shown(many, { sort = "-value", limit = 2 }))
    assert.equal(" key  value\n1000      0\n2000      0\n… and 2,998 more", shown(many, { sort = "value", limit = 2 }))
  end)

  it("formats and sorts sums of per-CPU maps, and each CPU's struct", function()
    local m <close> = create("percpu_hash", { key = "__u32", value = "__u64" })
    local cpus = bpf.features.cpus()
    for i = 1, 3 do
      local values = {}
      for cpu = 1, cpus do
        values[cpu] = i * 1024
      end
      m[i] = values
    end
    local text_of = shown(m, { sort = "-sum", formats = { sum = "bytes", key = "signal" }, limit = 1 })
    assert.matches(("^key +sum +by CPU\nSIGQUIT +%d+ KiB +{ 3072"):format(3 * cpus), text_of)
    local each <close> = create("percpu_hash", { key = "__u32", value = "struct { __u64 n; }" })
    local values = {}
    for cpu = 1, cpus do
      values[cpu] = { n = cpu }
    end
    each[1] = values
    assert.matches(("^key  CPU  n\n  1 +%d +%d\n"):format(cpus - 1, cpus), shown(each, { sort = "-n" }) .. "\n")
    assert.matches(("^key  CPU  n\n  1 +%d +%d\n"):format(cpus - 1, cpus), shown(each, { sort = "-CPU" }) .. "\n")
  end)

  it("formats values with a layout", function()
    local layout = bpf.btf.type("struct { __be32 saddr; struct { __be16 port; } to[2]; }"):layout()
    local value = { saddr = 0x0100007f, to = { { port = 0x5000 }, { port = 0xbb01 } } }
    assert.equal("{ saddr = 127.0.0.1, to = { { port = 20480 }, { port = 47873 } } }",
      text(value, { layout = layout, formats = { saddr = "ip" } }))
    assert.equal("{ saddr = 16777343, to = 2 }",
      text(value, { layout = layout, formats = { to = function(list) return #list end } }))
    assert.equal("0x10", text(16, { layout = bpf.btf.type("int"):layout(), formats = { value = "hex" } }))
  end)

  it("refuses columns and formats that aren't there", function()
    local m <close> = peers()
    for message, options in pairs {
      ["inspect: formats: there is no column 'sadr' %(columns: bytes, comm, last, port, saddr%)"] =
        { formats = { sadr = "ip" } },
      ["inspect: formats: there is no column 'last.prot' "] = { formats = { ["last.prot"] = "protocol" } },
      ["inspect: sort: there is no column 'value' "] = { sort = "-value" },
      ["inspect: formats: there is no format 'ipv5' %(formats: bytes, "] = { formats = { saddr = "ipv5" } },
      ["inspect: formats: the format of 'saddr' must be a string or function, got boolean"] =
        { formats = { saddr = true } },
      ["inspect: formats: a name expected, got number"] = { formats = { "ip" } },
      ["inspect: option 'sort' must be a string, got boolean"] = { sort = true },
    } do
      helper.raises(function() bpf.inspect(m, options) end, "^spec/lua/inspect_spec.lua:%d+: " .. message)
    end
    helper.raises(function() bpf.inspect({}, { sort = "x" }) end, "inspect: option 'sort' is for maps")
    helper.raises(function() bpf.inspect({}, { formats = {} }) end,
      "inspect: option 'formats' is for maps and values with a layout")
    helper.raises(function() bpf.inspect(m, { formats = { saddr = function() error "mine" end } }) end, "mine")
  end)

  it("shows nothing but the map where there is nothing to walk, or no more", function()
    local q <close> = create("queue", { value = "__u32" })
    assert.equal(tostring(q), text(q))
    map.close(q)
    assert.equal("bpf.map: queue (closed)", text(q))
  end)

  it("shows objects, with links and values", function()
    local obj <close> = assert(bpf.load(helper.obj "calls", { vars = { target = 4711 } }))
    assert(obj.progs.count_enter:attach())
    local list = text(obj)
    assert.matches("^bpf.object: calls %(4 maps, 6 programs, loaded%)\n", list)
    assert.matches("\nmap\n", list)
    assert.matches("\nhits +hash, __u32 → __u64, 64 entries, fd %d+\n", list)
    assert.matches("\nprogram +section +type +state\n", list)
    assert.matches("\ncount_enter +raw_tp/sys_enter +raw_tracepoint +1 link\n", list)
    assert.matches("\ncount_exit +raw_tp/sys_exit +raw_tracepoint +loaded\n", list)
    assert.matches("\nvariable +value\n", list)
    assert.matches("\ntarget +4711\n", list)
  end)

  it("shows unsigned variables and enumerators as C has them", function()
    local obj <close> = assert(bpf.load(helper.obj "vars"))
    local list = text(obj)
    assert.matches("\ncolour +BLUE\n", list)
    assert.matches("\nu64 +9223372036854775809\n", list)
    assert.matches("\ns64 +%-9223372036854775807\n", list)
  end)

  it("shows what the kernel knows of programs and links", function()
    local obj <close> = assert(bpf.load(helper.obj "calls"))
    local link = assert(obj.progs.count_enter:attach())
    local prog = obj.progs.count_enter
    assert.matches("^bpf.prog: count_enter .*\nid +" .. prog:info().id .. "\n", text(prog))
    assert.matches("^bpf.link: attach %(count_enter, fd %d+%)\nid +%d+\n.*\ntp_name +sys_enter\n", text(link))
    link:close()
    assert.equal("bpf.link: attach (count_enter, closed)", text(link))
  end)

  it("shows a view's elements", function()
    local a <close> = create("array", { value = "__u64", flags = "mmapable" })
    local view = assert(map.view(a, "__u32"))
    view[1] = 5
    assert.matches("^bpf.view: 1024 × __u32 of map 'array'\nindex  value\n +0  0\n +1  5\n… and 1,022 more$",
      text(view, { limit = 2 }))
  end)

  it("tells how far a long walk is, on a terminal only, and wipes that out", function()
    local code = [[
      local bpf = require "bpf"
      local now = 0
      bpf.clock = function() now = now + 1000000000 return now end -- each look at the clock is a second later
      local m = assert(bpf.map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 3000 })
      for i = 1, 3000 do m[i] = i end
      bpf.inspect(m, { limit = 1 })]]
    local output, ok = helper.run("TERM=xterm script -qec " .. helper.quote(helper.LUA .. " -e " .. helper.quote(code))
      .. " /dev/null")
    assert(ok, output)
    assert.matches("\r[%d.]+k? entries[^\r]*, %d+ s\27%[K", output)
    assert.matches("\r\27%[K", output)
    assert.falsy(helper.lua(code):find("\27", 1, true))
  end)
end)

describe("map.types", function()
  kernel.root()

  it("gives the types of keys and values", function()
    local m <close> = create("percpu_hash", { key = "struct k { int a; }", value = "__u64" })
    local key, value = map.types(m)
    assert.equal("struct k", key:name())
    assert.equal("__u64", value:name())
    local q <close> = create("queue", { value = "__u16" })
    assert.is_nil((map.types(q)))
    assert.equal(2, select(2, map.types(q)):size())
    map.close(q)
    helper.raises(function() map.types(q) end, "is closed")
  end)
end)

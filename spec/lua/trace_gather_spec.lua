-- SPDX-License-Identifier: MIT
-- What gathers in a trace: the code of count, hist and the others in programs, and their tables as text and JSON.
local bpf = require "bpf"
local kernel = require "spec.support.kernel"
local undump = require "bpf.program.undump"

local gather, tables

setup(function()
  kernel.root()
  kernel.need("running raw tracepoints", "5.10")
  gather, tables = require "bpf.trace.gather", require "bpf.trace.tables"
end)

local INTEGER <const>, COMM <const> = { kind = "integer" }, { kind = "string", size = 16 }
local NO_PREALLOC <const> = 1
local SECTION <const> = "raw_tp/gathers"

-- The places where a function calls without using the result, which is what calls that gather do.
local function places(fn)
  local list, proto = {}, undump.parse(fn)
  for pc = 0, proto.last_pc do
    local i = proto.code[pc]
    if i.op == "CALL" and i.C == 1 then
      list[#list + 1] = pc
    end
  end
  return list
end

-- A body of a trace, and what types would be found for its calls.
local function body_of(text, calls, more)
  local environment = { helper = bpf.helper, map = bpf.map }
  for word, fn in pairs(gather.words) do
    environment[word] = fn
  end
  for name, value in pairs(more or {}) do
    environment[name] = value
  end
  local fn = load("return function(a, b) " .. text .. "\nend", "=" .. SECTION, "t", environment)()
  local by_pc = {}
  for n, pc in ipairs(places(fn)) do
    by_pc[pc] = calls[n]
  end
  return { title = SECTION, fn = fn }, by_pc
end

-- Runs a body for each pair of arguments. Returns its tables, which print to `file`, and the object.
local function trace(text, calls, inputs, options)
  options = options or {}
  local body, by_pc = body_of(text, calls, options.globals)
  local plan = gather.plan({ body }, { [body] = by_pc }, options.plan)
  local obj = assert(bpf.programs { body = { SECTION, body.fn } })
  for _, input in ipairs(inputs) do
    assert(obj.progs.body:run { ctx = string.pack("<i8i8", input[1] or 0, input[2] or 0) })
  end
  local file = io.tmpfile()
  return tables.new(plan, obj.maps, {
    out = file, width = options.width or 60, utf8 = true, json = options.json, stacks = options.stacks,
    names = options.names,
  }), obj, file
end

local function printed(file)
  file:seek("set")
  local text = file:read("a")
  file:close()
  return text
end

-- The text that a body's tables print.
local function text_of(text, calls, inputs, options)
  local all <const>, obj, file = trace(text, calls, inputs, options)
  all:print()
  all.said = all:lost()
  obj:close()
  return printed(file), all
end

local numbers = { { 5, 1 }, { 7, 2 }, { -3, 1 }, { 1, 1 } }

describe("a table of a trace", function()
  it("counts runs by key, sorted, with bars", function()
    assert.equal("count(b)\n  1  3  ████████████████████████████████████████\n  2  1  █████████████▍\n",
      (text_of("count(b)", { { word = "count", title = "count(b)", keys = { INTEGER } } }, numbers)))
  end)

  it("is one number without keys", function()
    assert.equal("count(): 4\n\nsum(a): 10\n\nmin(a): -3\n\nmax(a): 7\n", (text_of("count() sum(a) min(a) max(a)", {
      { word = "count", title = "count()", keys = {} }, { word = "sum", title = "sum(a)", keys = {}, value = INTEGER },
      { word = "min", title = "min(a)", keys = {}, value = INTEGER },
      { word = "max", title = "max(a)", keys = {}, value = INTEGER },
    }, numbers)))
  end)

  it("has averages, minima and maxima by key, which may all be negative", function()
    local calls = {}
    for n, word in ipairs { "avg", "min", "max", "stats" } do
      calls[n] = { word = word, title = word .. "(a, b)", keys = { INTEGER }, value = INTEGER }
    end
    local body = "avg(a, b) min(a, b) max(a, b) stats(a, b)"
    assert.equal([[
avg(a, b)
  B  AVG  COUNT
  2   -4      2
  1  -20      1

min(a, b)
  2   -5
  1  -20

max(a, b)
  2   -3
  1  -20

stats(a, b)
  B  COUNT  AVG  MIN  MAX  TOTAL
  2      2   -4   -5   -3     -8
  1      1  -20  -20  -20    -20
]], (text_of(body, calls, { { -3, 2 }, { -20, 1 }, { -5, 2 } })))
  end)

  it("says that it has no values", function()
    local expected = "count(): 0\n\navg(a)\n  (no values)\n\nhist(a, b)\n  (no values)\n"
    assert.equal(expected, (text_of("count() avg(a) hist(a, b)", {
      { word = "count", title = "count()", keys = {} }, { word = "avg", title = "avg(a)", keys = {}, value = INTEGER },
      { word = "hist", title = "hist(a, b)", keys = { INTEGER }, value = INTEGER },
    }, {})))
  end)

  it("has strings and several keys, with headings", function()
    local file <close> = assert(io.open("/proc/self/comm"))
    local comm = file:read("l")
    local text = text_of("count(helper.get_current_comm(), b)", {
      { word = "count", title = "count(comm, b)", keys = { COMM, INTEGER } },
    }, numbers)
    assert.truthy(text:find(("  %s  1      3  █"):format(comm), 1, true))
    assert.truthy(text:find("\n  COMM +B  COUNT\n"))
  end)

  it("has members of records as keys, with and without names", function()
    local pair = { kind = "record", order = { "_1", "_2" }, members = { _1 = INTEGER, _2 = INTEGER } }
    local named = { kind = "record", order = { "x" }, members = { x = INTEGER } }
    local text = text_of("count({ a, b }) count({ x = b })", {
      { word = "count", title = "pairs", keys = { pair } },
      { word = "count", title = "count({ x = b })", keys = { named } },
    }, { { 1, 2 }, { 1, 2 }, { 2, 1 } }, { width = 14 })
    assert.truthy(text:find("  1  2      2\n  2  1      1\n", 1, true))
    assert.truthy(text:find("\n  2  2\n  1  1\n", 1, true))
  end)

  it("shows keys by what they mean", function()
    local function key(meaning) return { kind = "integer", meaning = meaning } end
    local names = { probe = function(n) return "probe" .. n end }
    local text = text_of("count(-b, b, b, b)", { { word = "count", title = "x", keys = {
      key("errno"), key("signal"), key("probe"), key("uid"),
    } } }, { { 0, 1 } }, { names = names })
    assert.truthy(text:find("EPERM  SIGHUP  probe1  ", 1, true))
  end)

  it("has names of system calls", function()
    local syscalls = require "bpf.format.syscalls"
    local by_name = {}
    for n = 0, 500 do
      by_name[syscalls.name(n)] = n
    end
    assert.equal(424, by_name.pidfd_send_signal) -- on every machine
    local text = text_of("count(b)", {
      { word = "count", title = "count(b)", keys = { { kind = "integer", meaning = "syscall" } } },
    }, { { 0, by_name.bpf }, { 0, 9999 }, { 0, 9999 } })
    assert.truthy(text:find("\n  9999  2  █"))
    assert.truthy(text:find("\n  bpf   1  █"))
  end)

  it("is named, cut to so many rows, emptied", function()
    local all <const>, obj <close>, file = trace("count(b) hist(a)", {
      { word = "count", name = "runs", title = "count(b)", keys = { INTEGER } },
      { word = "hist", name = "sizes", title = "hist(a)", keys = {}, value = INTEGER },
    }, numbers)
    local runs, sizes = all:get("runs"), all:get("sizes")
    assert.is_true(tables.is(runs))
    tables.print(runs, 1)
    tables.clear(runs)
    tables.clear(sizes)
    tables.print(runs)
    tables.print(sizes)
    assert(obj.progs.body:run { ctx = string.pack("<i8i8", 1, 9) })
    tables.print(runs)
    assert.equal("runs\n  1  3\nruns\n  (no values)\nsizes\n  (no values)\nruns\n  9  1\n", printed(file))
  end)

  it("counts what it had no room for", function()
    local inputs = {}
    for n = 1, 5 do
      inputs[n] = { 0, n }
    end
    local _, all = text_of("count(b)", { { word = "count", title = "count(b)", keys = { INTEGER } } }, inputs,
      { plan = { entries = 2, preallocate = true } })
    assert.equal(1, #all.said)
    assert.matches("^count%(b%): 3 values were lost, as the table was full %(2 entries%): ", all.said[1])
  end)

  it("has its entries from the start, but not those of histograms", function()
    local _, obj <close>, file = trace("count(b) hist(a, b)", {
      { word = "count", title = "count(b)", keys = { INTEGER } },
      { word = "hist", title = "hist(a, b)", keys = { INTEGER }, value = INTEGER },
    }, {})
    file:close()
    local flags = bpf.map.info(obj.maps.count_1).map_flags | bpf.map.info(obj.maps.hist_2).map_flags << 8
    assert.equal(NO_PREALLOC << 8, flags)
  end)

  it("ends a run where an entry is absent", function()
    local start <close> = assert(bpf.map.create { type = "hash", key = "__s64", value = "__s64", max_entries = 4 })
    start[1] = 10
    assert.equal("sum(start[b]): 10\n", (text_of("sum(start[b])", {
      { word = "sum", title = "sum(start[b])", keys = {}, value = INTEGER },
    }, { { 0, 1 }, { 0, 2 } }, { globals = { start = start } })))
  end)
end)

describe("a histogram of a trace", function()
  it("has powers of two, and a row for what is negative", function()
    assert.equal([[
hist(a)
    <  0  1 │███████████████████████▌
       0  1 │███████████████████████▌
       1  1 │███████████████████████▌
  2 –  3  2 │███████████████████████████████████████████████
  4 –  7  0 │
  8 – 15  1 │███████████████████████▌
]], (text_of("hist(a)", { { word = "hist", title = "hist(a)", keys = {}, value = INTEGER } },
      { { -7 }, { 0 }, { 1 }, { 2 }, { 3 }, { 9 } })))
  end)

  it("leaves long rows of empty buckets out", function()
    assert.equal([[
hist(a)
        0  1 │███████████████████████
        ⋮    │
  1M – 2M  1 │███████████████████████
]], (text_of("hist(a)", { { word = "hist", title = "hist(a)", keys = {}, value = INTEGER } }, { { 0 }, { 1 << 20 } },
      { width = 37 })))
  end)

  it("finds the bucket of every power of two", function()
    local all <const>, obj <close> = trace("hist(a)",
      { { word = "hist", title = "hist(a)", keys = {}, value = INTEGER } }, {})
    for k = 0, 62 do
      for _, n in ipairs { 1 << k, (1 << k) * 2 - 1 } do
        assert(obj.progs.body:run { ctx = string.pack("<i8i8", n, 0) })
        local buckets = all:get("hist(a)"):rows()[1].buckets
        assert.equal(1, buckets[k + 2], tostring(n))
        tables.clear(all:get("hist(a)"))
      end
    end
    for _, n in ipairs { -1, math.mininteger, -(1 << 32) } do
      assert(obj.progs.body:run { ctx = string.pack("<i8i8", n, 0) })
    end
    assert.same({ [0] = 3 }, all:get("hist(a)"):rows()[1].buckets)
  end)

  it("has steps, what is below and what is above", function()
    assert.equal([[
lhist(a, 10, 30, 10)
     < 10  1 │███████████████████████
  10 – 20  2 │██████████████████████████████████████████████
  20 – 30  0 │
     ≥ 30  1 │███████████████████████
]], (text_of("lhist(a, 10, 30, 10)", {
      { word = "lhist", title = "lhist(a, 10, 30, 10)", keys = {}, value = INTEGER, arguments = { 10, 30, 10 } },
    }, { { -1 }, { 10 }, { 19 }, { 30 } })))
  end)

  it("has a row for each value where the steps are of one", function()
    assert.equal([[
lhist(a, 0, 100, 1)
     9  2 │█████████████████████████████████████████████████
    10  1 │████████████████████████▌
]], (text_of("lhist(a, 0, 100, 1)", {
      { word = "lhist", title = "lhist(a, 0, 100, 1)", keys = {}, value = INTEGER, arguments = { 0, 100, 1 } },
    }, { { 9 }, { 10 }, { 9 } })))
  end)

  it("is one for each key, the one with most values first", function()
    local text = text_of("hist(a, b)", {
      { word = "hist", title = "hist(a, b)", keys = { INTEGER }, value = { kind = "integer", meaning = "duration" } },
    }, { { 2000, 1 }, { 3000, 2 }, { 3000, 2 } }, { width = 38 })
    local bar = ("█"):rep(14)
    assert.equal("hist(a, b)\n  2\n  2.05 us – 4.10 us  2 │" .. bar .. "\n\n  1\n  1.02 us – 2.05 us  1 │" .. bar
      .. "\n", text)
  end)
end)

describe("a shared table of a trace", function()
  local function text_of_shared(options, key, value, entries)
    local m <close> = assert(bpf.map.create {
      type = "hash", key = options.key, value = options.value, max_entries = 9,
    })
    for k, v in pairs(entries) do
      m[k] = v
    end
    local file = io.tmpfile()
    local all = tables.new({ tables = {} }, {}, { out = file, width = 60, utf8 = true, json = options.json })
    local t = all:shared("start", m, key, value)
    tables.print(t, options.n)
    tables.clear(t)
    assert.equal(0, #m)
    return printed(file)
  end

  it("is sorted by its values", function()
    assert.equal("start\n  2  300\n  1   20\n",
      text_of_shared({ key = "__s64", value = "__s64", n = 2 }, INTEGER, INTEGER, { 20, 300, [7] = 1 }))
    assert.equal('{"name":"start","type":"table","rows":[{"key":[2],"value":300},{"key":[1],"value":20}]}\n',
      text_of_shared({ key = "__s64", value = "__s64", json = true }, INTEGER, INTEGER, { 20, 300 }))
  end)

  it("has columns for the members of its values", function()
    local record = { kind = "record", order = { "ts", "comm" }, members = { ts = INTEGER, comm = COMM } }
    assert.equal("start\n     TS  COMM\n  2  40  sh\n  1   5  lua\n", text_of_shared({ key = "__s64",
      value = "struct { __s64 ts; char comm[16]; }" }, INTEGER, record,
      { { ts = 5, comm = "lua" }, { ts = 40, comm = "sh" } }))
  end)
end)

describe("a table of stacks", function()
  it("has a frame a line, of the kernel's and of the process", function()
    local infer, words = require "bpf.trace.infer", require "bpf.trace.words"
    local file <close> = assert(io.open("/proc/self/stat"))
    local section, depths = "tracepoint/raw_syscalls/sys_enter", {}
    local body = { title = section, section = section,
      text = ("if pid == %d then count(kstack(3), comm, ustack) end"):format(file:read("n")) }
    local function compile(environment)
      body.fn = load("return function(args) " .. body.text .. "\nend", "=" .. section, "t", environment)()
    end
    compile({})
    local result = infer.run { body }
    compile(words.environment(result.shared, gather.words))
    local plan = gather.plan({ body }, result.calls)
    local obj <close> = assert(require("bpf.program").load_programs("trace", {
      { name = "body", section = section, fn = body.fn, probe = words.probe(section, { depths = depths }) },
    }, {}, { name = "trace" }))
    assert(obj:attach())
    io.open("/nowhere")
    obj:detach()
    local out = io.tmpfile()
    local all = tables.new(plan, obj.maps, { out = out, width = 100, utf8 = true, stacks = { [3] = obj.maps.stacks_3,
      [127] = obj.maps.stacks_127 } })
    all:print()
    local text = printed(out)
    assert.truthy(text:find("^count%(kstack%(3%), comm, ustack%)\n  [^\n]+  [0-9]+  █"), text)
    assert.truthy(text:find("\n      [a-z_0-9]+%+0x"), text)
    assert.truthy(text:find("\n      %S+ %(libc"), text) -- newer ones make system calls in a function without a name
    assert.same({}, all:lost())
  end)
end)

describe("tables of a trace as JSON", function()
  it("have name, type and rows", function()
    local keyed = { word = "hist", title = "hist(a, b)", keys = { INTEGER }, value = INTEGER }
    assert.equal([[
{"name":"count(b)","type":"count","rows":[{"key":[1],"count":3},{"key":[2],"count":1}]}
{"name":"hist(a, b)","type":"hist","rows":[{"key":[1],"buckets":[{"from":null,"to":0,"count":1},{"from":1,"to":2,]]
      .. [["count":1},{"from":4,"to":8,"count":1}]},{"key":[2],"buckets":[{"from":4,"to":8,"count":1}]}]}
]], (text_of("count(b) hist(a, b)", { { word = "count", title = "count(b)", keys = { INTEGER } }, keyed }, numbers,
      { json = true })))
  end)
end)

describe("calls in several bodies", function()
  local function plan(...)
    local bodies, calls = {}, {}
    for n, call in ipairs { ... } do
      local body, by_pc = body_of(call.word .. "()", { call })
      bodies[n], calls[body] = body, by_pc
    end
    return gather.plan(bodies, calls)
  end

  it("are one table by their name or text, with room for the longest key", function()
    local made = plan({ word = "count", title = "count(x)", keys = { { kind = "string", size = 16 } } },
      { word = "count", title = "count(x)", keys = { { kind = "string", size = 64 } } })
    assert.equal(1, #made.tables)
    assert.equal(64, made.tables[1].parts[1].type.size)
  end)

  it("fail where they differ", function()
    local function check(message, ...)
      local ok, failure = pcall(plan, ...)
      assert.is_false(ok)
      assert.equal(message, failure.trace)
    end
    check("x: sum here and count elsewhere: give one of them another name",
      { word = "count", name = "x", title = "count()", keys = {} },
      { word = "sum", name = "x", title = "sum(a)", keys = {}, value = INTEGER })
    check("x: 1 key here and 0 elsewhere", { word = "count", name = "x", title = "count()", keys = {} },
      { word = "count", name = "x", title = "count(a)", keys = { INTEGER } })
    check("l: lhist(n, first, last, step): the step must be above 0, and last above first",
      { word = "lhist", title = "l", keys = {}, value = INTEGER, arguments = { 0, 10, 0 } })
    check("l: lhist has 1000002 buckets, and at most 4096 are possible: take a larger step",
      { word = "lhist", title = "l", keys = {}, value = INTEGER, arguments = { 0, 1000000, 1 } })
  end)

  it("have maps by their names, where no other map has those", function()
    local calls, names = {}, {}
    for n, name in ipairs { "lat", "a_very_long_name_of_a_table", "a_very_long_name_of_another", "scratch" } do
      calls[n] = { word = "count", name = name, title = "count()", keys = {} }
    end
    for n, t in ipairs(plan(table.unpack(calls)).tables) do
      names[n] = t.map_name
    end
    assert.same({ "lat", "count_2", "count_3", "count_4" }, names)
  end)

  it("gather in programs only", function()
    assert.has_error(function() gather.words.count() end)
  end)
end)

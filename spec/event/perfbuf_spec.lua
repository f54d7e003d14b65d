-- SPDX-License-Identifier: MIT
-- Readers of perf buffers: every form of record, CPUs, losses, when a reader is woken, and the slots of the map. What
-- they have in common with readers of ring buffers is in spec/event/reader_spec.lua.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local lfs = require("lfs")
local readers = require("spec.support.reader")
local sys = require("support.sys")

local fails = helper.fails

kernel.root()
kernel.need("running raw tracepoint programs", "5.10")

local NOTE <const>, CPUS <const> = readers.NOTE, readers.CPUS
local FIRST <const>, LAST <const> = CPUS[1], CPUS[#CPUS]
local perfs, held, next_event, now = readers.perfbuf, readers.held, readers.next_event, readers.now
local open, run, send, watch = perfs.open, perfs.run, perfs.send, perfs.watch

local function nothing() end

after_each(readers.close_all)

describe("perf buffer arguments:", function()
  local obj

  setup(function() obj = assert(bpf.load(perfs.path)) end)
  teardown(function() obj:close() end)

  for _, case in ipairs({
    { "an unknown option", "unknown option 'page' %(options: unpack, into, lost, cpus, pages, ", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { page = 1 })
    end },
    { "lost that is no function", "'lost' takes a function", function()
      bpf.perfbuf(obj.maps.notes, NOTE, nothing, { lost = {} })
    end },
    { "no pages", "'pages' takes a power of two", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { pages = 0 })
    end },
    { "pages that are no power of two", "'pages' takes a power of two", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { pages = 3 })
    end },
    { "more pages than any machine has", "'pages' takes a power of two", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { pages = 1 << 31 })
    end },
    { "pages that are no number", "option 'pages' must be an integer", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { pages = "8" })
    end },
    { "a negative wakeup_events", "option 'wakeup_events' must be an integer", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { wakeup_events = -1 })
    end },
    { "CPUs that are no table", "'cpus' takes a sequence of CPU numbers", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = 0 })
    end },
    { "CPUs that are no numbers", "'cpus' takes a sequence of CPU numbers", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = { "0" } })
    end },
    { "negative CPUs", "'cpus' takes a sequence of CPU numbers", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = { -1 } })
    end },
    { "no CPUs", "'cpus' takes one CPU or more, each once", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = {} })
    end },
    { "a CPU twice", "'cpus' takes one CPU or more, each once", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = { FIRST, FIRST } })
    end },
  }) do
    it(case[1] .. " raises", function()
      helper.raises(case[3], case[2])
    end)
  end

  it("CPUs that don't exist fail, by name", function()
    local result, message, code = bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = { 100000 } })
    fails(code == "EINVAL" and "EINVAL" or "ENODEV", -- by the kernel's version
      "^map 'notes': perfbuf: CPU 100000: perf_event_open: there is no such CPU, or it is offline", result, message,
      code)
  end)

  it("CPUs for which the map has no slot fail", function()
    local short <close> = assert(bpf.map.create({ type = "perf_event_array", max_entries = 1 }))
    if #CPUS > 1 then
      fails("E2BIG", "CPU " .. LAST .. ": update: the map has no slot for it, the last one is 0",
        bpf.perfbuf(short, nil, nothing, { cpus = { FIRST, LAST } }))
    end
    local reader <close> = assert(bpf.perfbuf(short, nil, nothing))
    assert.equal("bpf.perfbuf: 1 buffer", tostring(reader))
  end)
end)

describe("a perf buffer reader", function()
  it("hands every record to the handler, decoded by a type of the object's BTF, and its CPU", function()
    local got, obj, reader = {}
    obj, reader = open("notes", "struct note", function(e, cpu, ...)
      assert.equal(0, select("#", ...))
      got[#got + 1] = { e.seq, e.square, e.text, cpu }
    end)
    send(obj, 1, 2, FIRST)
    assert.equal(2, reader:poll(0))
    send(obj, 3, 1, LAST)
    assert.equal(1, reader:poll(0))
    assert.same({ { 1, 1, "note1", FIRST }, { 2, 4, "note2", FIRST }, { 3, 9, "note3", LAST } }, got)
    assert.equal(0, reader:lost())
  end)

  it("reads every CPU", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e, cpu) got[e.seq] = cpu end)
    for _, cpu in ipairs(CPUS) do
      send(obj, cpu, 1, cpu)
    end
    assert.equal(#CPUS, reader:poll(0))
    for _, cpu in ipairs(CPUS) do
      assert.equal(cpu, got[cpu])
    end
    assert.matches(("%d buffer"):format(#CPUS), tostring(reader))
  end)

  it("reads the CPUs that it is given, and no others", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e, cpu) got[e.seq] = cpu end, { cpus = { LAST } })
    send(obj, 1, 1, LAST)
    assert.equal(#CPUS > 1 and 0 or 1, run(obj, "send_notes", 2, 1, FIRST))
    reader:poll(0)
    assert.equal(LAST, got[1])
    assert.equal(#CPUS > 1 and 1 or 0, obj.vars.lost)
  end)

  it("decodes by a C declaration, or the beginning of a record where the type is shorter", function()
    local got, obj, reader
    obj, reader = open("notes", NOTE, function(e) got = e end)
    assert(reader:add(obj.maps.others, "__u32", function(seq, cpu) got = { seq, cpu } end))
    send(obj, 9, 1)
    assert.equal(1, reader:poll(0))
    assert.same({ 9, 81, "note9" }, { got.seq, got.square, got.text })
    run(obj, "send_others", 4711, 1)
    assert.equal(1, reader:poll(0))
    assert.same({ 4711, FIRST }, got)
  end)

  it("gives the bytes without a type, filled up by the kernel", function()
    local got
    local obj, reader = open("blobs", nil, function(...) got = table.pack(...) end)
    for size = 1, 2048, 89 do
      assert.equal(0, run(obj, "send_blob", size & 255, size))
      assert.equal(1, reader:poll(0))
      assert.equal(2, got.n)
      assert.equal((size + 4 + 7) // 8 * 8 - 4, #got[1])
      assert.equal(string.char(size & 255):rep(size), got[1]:sub(1, size))
      assert.equal(FIRST, got[2])
    end
  end)

  it("gives as many bytes as a size says", function()
    for _, size in ipairs({ 1, 4, 8, 20, 24, 300 }) do
      local got, obj, reader
      obj, reader = open("blobs", size, function(bytes) got = bytes end)
      assert.equal(0, run(obj, "send_blob", 65, size))
      assert.equal(1, reader:poll(0))
      assert.equal(("A"):rep(size), got)
    end
  end)

  it("passes members as values with unpack, and the CPU at the end", function()
    local got
    local obj, reader = open("notes", "struct note", function(...) got = table.pack(...) end, { unpack = true })
    send(obj, 7, 1, LAST)
    assert.equal(1, reader:poll(0))
    assert.same({ 5, 7, 49, "note7", LAST }, { got.n, got[1], got[3], got[4], got[5] })
  end)

  it("reads a flexible array as far as the record goes, which is one element too far at times", function()
    local got = {}
    local obj, reader = open("blobs", "struct list", function(e) got[#got + 1] = e end)
    for _, count in ipairs({ 0, 1, 2, 7, 64 }) do
      assert.equal(0, run(obj, "send_list", 10, count))
    end
    assert.equal(5, reader:poll(0))
    for i, count in ipairs({ 0, 1, 2, 7, 64 }) do
      assert.same({ count, count + count % 2 }, { got[i].count, #got[i].item })
      for j = 1, count do
        assert.equal(9 + j, got[i].item[j])
      end
    end
  end)

  it("reads several maps at once, each with its own type, handler and pages", function()
    local notes, others, blobs = {}, {}, {}
    local obj, reader = open("notes", "struct note", function(e) notes[#notes + 1] = e.seq end)
    assert.is_true(rawequal(reader, reader:add(obj.maps.others, NOTE, function(seq, _, _, _, cpu)
      others[#others + 1] = { seq, cpu }
    end, { unpack = true, pages = 1, cpus = { LAST } })))
    assert(reader:add(obj.maps.blobs, 100, function(bytes) blobs[#blobs + 1] = #bytes end))
    send(obj, 1, 2)
    run(obj, "send_others", 10, 2, LAST)
    run(obj, "send_blob", 1, 100)
    assert.equal(5, reader:poll(0))
    assert.same({ { 1, 2 }, { { 10, LAST }, { 11, LAST } }, { 100 } }, { notes, others, blobs })
  end)

  it("iterates over records by events, with the CPU, until none comes in time", function()
    local obj, reader = open("notes", "struct note")
    send(obj, 1, 3)
    local got = {}
    for e, cpu in reader:events(0) do
      assert.equal(e.seq == 4 and LAST or FIRST, cpu)
      got[#got + 1] = e.seq
      if e.seq == 3 then
        send(obj, 4, 1, LAST)
      end
    end
    assert.same({ 1, 2, 3, 4 }, got)
  end)

  it("iterates over members by events with unpack, and fills one table with into", function()
    local obj, reader = open("notes", "struct note", nil, { unpack = true })
    local into = {}
    assert(reader:add(obj.maps.others, "struct note", nil, { into = into }))
    send(obj, 3, 1)
    for seq, _, square, text, cpu in reader:events(0) do
      assert.same({ 3, 9, "note3", FIRST }, { seq, square, text, cpu })
    end
    run(obj, "send_others", 8, 1)
    for e, cpu in reader:events(0) do
      assert.is_true(rawequal(into, e))
      assert.same({ 8, FIRST }, { e.seq, cpu })
    end
  end)

  it("reads a buffer many times round without loss, in order, with the right content", function()
    local expected, obj, reader = 0
    obj, reader = open("notes", "struct note", function(e)
      assert(e.seq == expected and e.square == expected * expected and e.text == "note" .. expected % 10)
      expected = expected + 1
    end, { pages = 1 })
    local sent = 0
    for round = 1, 1000 do
      local count = 1 + round * 7 % 100
      send(obj, sent, count)
      sent = sent + count
      reader:consume()
    end
    assert.equal(sent, expected)
    assert.same({ 0, 0 }, { reader:lost(), obj.vars.lost })
  end)

  for _, case in ipairs({
    { "bytes", nil, function(bytes, byte, size) return bytes:sub(1, size) == string.char(byte):rep(size) end },
    { "a table", "struct { __u8 first; __u8 rest[]; }", function(e, byte, size)
      local rest = e.rest
      return e.first == byte and rest:sub(1, size - 1) == string.char(byte):rep(size - 1)
    end },
  }) do
    it("reads records that lie across the buffer's end: " .. case[1], function()
      local got, obj, reader
      obj, reader = open("blobs", case[2], function(e) got = e end, { pages = 1 })
      for i = 1, 500 do
        local size = 1 + i * 331 % 2048
        assert.equal(0, run(obj, "send_blob", i & 255, size))
        assert.equal(1, reader:consume())
        assert.is_true(case[3](got, i & 255, size))
      end
    end)
  end

  it("frees room while it reads, not only at the end", function()
    local obj, reader, sent
    obj, reader = open("notes", "struct note", function(e)
      if sent < 1000 and e.seq % 10 == 0 then
        sent = sent + run(obj, "send_notes", sent, 10)
      end
    end, { pages = 1 })
    sent = run(obj, "send_notes", 0, 70)
    while reader:poll(0) > 0 do end
    assert.is_true(sent >= 1000)
    assert.equal(0, obj.vars.lost)
  end)

  it("takes the slots over from an earlier one, which then leaves them alone", function()
    local one, two = 0, 0
    local obj, reader = open("notes", "struct note", function() one = one + 1 end)
    send(obj, 1, 1)
    local other <close> = assert(bpf.perfbuf(obj.maps.notes, "struct note", function() two = two + 1 end))
    send(obj, 2, 1)
    reader:poll(0)
    reader:close()
    send(obj, 3, 1)
    other:poll(0)
    assert.same({ 1, 2 }, { one, two })
  end)
end)

describe("records that a perf buffer had no room for", function()
  it("are counted, by CPU and in all", function()
    local got, reports, obj, reader = {}, {}
    obj, reader = open("notes", "struct note", function(e) got[#got + 1] = e.seq end, {
      pages = 1, lost = function(cpu, n, ...)
        assert.equal(0, select("#", ...))
        reports[#reports + 1] = { cpu, n, #got }
      end,
    })
    local fitted = run(obj, "send_notes", 1, 256, LAST)
    assert.is_true(fitted > 50 and fitted < 200)
    assert.equal(fitted, reader:poll(0))
    assert.same({ 0, 0 }, { #reports, reader:lost() }) -- the kernel tells with the next record
    send(obj, 1000, 1, LAST)
    assert.equal(1, reader:poll(0))
    assert.same({ { LAST, 256 - fitted, fitted } }, reports)
    assert.equal(1000, got[fitted + 1])
    if #CPUS > 1 then
      run(obj, "send_notes", 1, 256, FIRST)
      reader:poll(0)
      send(obj, 1, 1, FIRST)
      reader:poll(0)
      assert.same({ FIRST, 256 - fitted, 2 * fitted + 1 }, reports[2])
      assert.equal(2 * (256 - fitted), reader:lost())
    end
    assert.equal(obj.vars.lost, reader:lost())
  end)

  it("are counted without a function, and by events too", function()
    local reported = 0
    local obj, reader = open("notes", "struct note", nil, {
      pages = 1, lost = function(_, n) reported = reported + n end,
    })
    assert(reader:add(obj.maps.others, "struct note", nil, { pages = 1 }))
    for _, prog in ipairs({ "send_notes", "send_others" }) do
      local fitted, read = run(obj, prog, 1, 256), 0
      for _ in reader:events(0) do
        read = read + 1
      end
      assert.equal(fitted, read)
      run(obj, prog, 1, 1)
      assert.equal(1, readers.next_event(reader, 0).seq)
    end
    assert.equal(obj.vars.lost, reader:lost())
    assert.equal(obj.vars.lost, 2 * reported)
  end)

  it("may make the function raise: it is told once, and the next record is read", function()
    local reports = 0
    local obj, reader = open("notes", "struct note", nothing, { pages = 1, lost = function()
      reports = reports + 1
      error("lost some")
    end })
    run(obj, "send_notes", 1, 256)
    reader:poll(0)
    send(obj, 1, 1)
    helper.raises(function() reader:poll(0) end, "lost some")
    assert.equal(1, reader:poll(0))
    assert.same({ 1, obj.vars.lost }, { reports, reader:lost() })
  end)

  for _, case in ipairs({
    { "poll", function(reader) return reader:poll(1000) end },
    { "events", function(reader) return (readers.next_event(reader, 1000)) end },
  }) do
    it("may make the function close the reader: " .. case[1], function()
      local obj, reader
      obj, reader = open("notes", "struct note", nothing, { pages = 1, lost = function() reader:close() end })
      run(obj, "send_notes", 1, 256)
      reader:poll(0)
      send(obj, 1, 1)
      local result = case[2](reader)
      assert.is_true(result == 0 or result == nil)
      helper.raises(function() reader:lost() end, "perf buffer reader is closed")
    end)
  end
end)

describe("reading at most n records of a perf buffer", function()
  it("lets every CPU have its turn", function()
    local from = {}
    local obj, reader = open("notes", "struct note", function(_, cpu) from[cpu] = (from[cpu] or 0) + 1 end)
    for _, cpu in ipairs(CPUS) do
      send(obj, 1, 50, cpu)
    end
    for _ = 1, #CPUS do
      assert.equal(10, reader:consume(10))
    end
    for _, cpu in ipairs(CPUS) do
      assert.equal(10, from[cpu])
    end
  end)

  it("doesn't count losses", function()
    local lost = 0
    local obj, reader = open("notes", "struct note", nothing, { pages = 1, lost = function() lost = lost + 1 end })
    run(obj, "send_notes", 1, 256)
    reader:consume()
    send(obj, 1, 1)
    assert.same({ 1, 1 }, { reader:consume(1), lost })
  end)
end)

describe("waiting for a perf buffer", function()
  for _, cpu in ipairs({ FIRST, LAST }) do
    it("ends when a process on CPU " .. cpu .. " sends a record", function()
      local got = {}
      local reader, command = watch(function(e, on) got[#got + 1] = { e.text, on, e.square } end)
      for round = 1, 3 do
        local start = now()
        local pipe = assert(io.popen(("sleep 0.2; taskset -c %d %s"):format(cpu, command)))
        assert.equal(1, reader:poll(20000 * helper.slow))
        pipe:close()
        local took = now() - start
        assert.is_true(took > 0.1 and took < 10 * helper.slow, "took " .. took)
        assert.equal("process", got[round][1])
        assert.equal(got[round][3], got[round][2]) -- the program's own word for it
      end
    end)
  end

  for _, option in ipairs({ "sample_period", "wakeup_events" }) do
    it("goes on until as many records are there as was asked for: " .. option, function()
      local reader, command = watch(nothing, { [option] = 3, cpus = { LAST } })
      local start = now()
      local pipe = assert(io.popen(("for i in 1 2 3; do sleep 0.2; taskset -c %d %s; done"):format(LAST, command)))
      assert.equal(3, reader:poll(20000 * helper.slow))
      pipe:close()
      local took = now() - start
      assert.is_true(took > 0.5 and took < 15 * helper.slow, "took " .. took)
    end)
  end

  it("gives what is there when the time is up, however few", function()
    local reader, command = watch(nothing, { wakeup_events = 100, cpus = { LAST } })
    local pipe = assert(io.popen(("sleep 0.1; taskset -c %d %s"):format(LAST, command)))
    local n = 0
    for _ = 1, 100 * helper.slow do -- the wake-up isn't due
      n = reader:poll(300)
      if n ~= 0 then
        break
      end
    end
    assert.equal(1, n)
    pipe:close()
  end)
end)

describe("a perf buffer reader's lifetime:", function()
  it("tostring tells its buffers and state", function()
    local obj, reader = open("notes", "struct note", nothing, { cpus = { FIRST } })
    assert.equal("bpf.perfbuf: 1 buffer", tostring(reader))
    assert(reader:add(obj.maps.others, nil, nil, { cpus = { FIRST } }))
    assert.equal("bpf.perfbuf: 2 buffers", tostring(reader))
    reader:close()
    assert.equal("bpf.perfbuf: (closed)", tostring(reader))
    helper.raises(function() reader:lost() end, "perf buffer reader is closed")
  end)

  it("closing empties the map's slots", function()
    local obj, reader = open("notes", "struct note", nothing)
    send(obj, 1, 1)
    assert.is_true(reader:close())
    for _, cpu in ipairs(CPUS) do
      assert.equal(0, run(obj, "send_notes", 1, 1, cpu))
      assert.same({ false, "ENOENT" }, { bpf.map.delete(obj.maps.notes, cpu) })
    end
  end)

  it("closing empties the slots of a map that keeps its events", function()
    local own <close> = assert(bpf.map.create({ type = "perf_event_array", max_entries = LAST + 1,
      flags = { "preserve_elems" } }))
    local obj <close> = assert(bpf.load(perfs.path, { maps = { notes = own } }))
    local reader = assert(bpf.perfbuf(own, NOTE, nothing))
    assert.equal(1, run(obj, "send_notes", 1, 1))
    reader:close()
    assert.equal(0, run(obj, "send_notes", 1, 1))
  end)
end)

describe("perf buffer leaks:", function()
  it("failures leave nothing mapped or open, and no event in the map", function()
    local obj <close> = assert(bpf.load(perfs.path))
    local reader <close> = assert(bpf.perfbuf(obj.maps.others, nil, nothing))
    assert(reader:fd())
    local before = held()
    for _ = 1, 20 do
      assert.is_false(pcall(bpf.perfbuf, obj.maps.notes, "struct lbpf_unknown"))
      assert.is_false(pcall(bpf.perfbuf, obj.maps.notes, nil, nothing, { pages = 3 }))
      assert.is_nil(bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = { FIRST, 100000 } }))
      assert.is_nil(reader:add(obj.maps.notes, nil, nothing, { cpus = { FIRST, 100000 } }))
    end
    assert.is_true(held() <= before) -- what earlier tests left to the collector may go meanwhile
    assert.equal(0, run(obj, "send_notes", 1, 1))
    assert.equal(1, run(obj, "send_others", 1, 1))
    assert.equal(1, reader:poll(0))
  end)
end)

describe("perf buffer interop:", function()
  it("bpftool's reader gets the same records, and ours takes the slots back", function()
    local got = {}
    local obj, reader = open("notes", "struct note", nothing)
    local id = bpf.map.info(obj.maps.notes).id
    assert.matches("perf_event_array", (helper.run("bpftool map show id " .. id)))
    reader:close()
    local pipe = assert(io.popen(([[
      out=$(mktemp)
      timeout %d stdbuf -o0 bpftool -j map event_pipe id %d >$out 2>&1 & pid=$!
      until grep -q '"data":.*\]' $out; do kill -0 $pid || break; sleep 0.05; done 2>/dev/null
      kill $pid; wait $pid; cat $out; rm $out]]):format(30 * helper.slow, id)))
    assert.is_true(helper.eventually(function() return run(obj, "send_notes", 65, 1) == 1 end))
    assert.matches('"data":%[65,0,0,0,', pipe:read("a"))
    pipe:close()
    local again <close> = assert(bpf.perfbuf(obj.maps.notes, "struct note", function(e) got[#got + 1] = e.seq end))
    send(obj, 66, 1)
    again:poll(0)
    assert.same({ 66 }, got)
  end)
end)

describe("a perf buffer's memory that something else has written", function()
  local PAGE <const> = tonumber((helper.run("getconf PAGESIZE")))
  local HEAD <const>, TAIL <const> = 1024, 1032 -- in the first page
  local obj, reader, event, reports, got, hear

  before_each(function()
    reports, got, hear = {}, {}, nothing
    obj, reader = open("notes", "struct note", function(e) got[#got + 1] = e.seq end, {
      pages = 1, cpus = { FIRST }, lost = function(...)
        reports[#reports + 1] = table.pack(...)
        hear()
      end,
    })
    for fd in lfs.dir("/proc/self/fd") do
      if (lfs.symlinkattributes("/proc/self/fd/" .. fd, "target") or ""):find("perf_event", 1, true) then
        event = math.tointeger(fd)
      end
    end
    for i = 1, 3 do -- around the ring
      send(obj, i, 60, FIRST)
      reader:consume()
    end
    reports, got = {}, {}
  end)

  local function shared(at, value) return sys.shared(event, 0, 2 * PAGE, at, value) end

  -- Sends a record; returns what checks that this is lost, and the next one not.
  local function lost_once(pattern, seq)
    send(obj, seq or 1, 1, FIRST)
    return function()
      assert.equal(0, reader:consume())
      assert.same({ 1, 3, FIRST, 1 }, { #reports, reports[1].n, reports[1][1], reports[1][2] })
      assert.matches(pattern, reports[1][3])
      assert.equal(1, reader:lost())
      send(obj, 50, 1, FIRST)
      assert.equal(1, reader:poll(0))
      assert.same({ 50 }, got)
      assert.same({ 1, 1 }, { #reports, reader:lost() })
    end
  end

  for _, case in ipairs({
    { "no multiple of 8", function(at) return at + 4 end },
    { "beyond the kernel's", function(_, kernels) return kernels + 8 end },
    { "more than the buffer behind", function(_, kernels) return kernels - PAGE - 8 end },
    { "nothing that the kernel counts to", function() return math.mininteger end },
  }) do
    it("isn't believed: a position that is " .. case[1], function()
      local check = lost_once("^no record begins at the position")
      shared(TAIL, case[2](shared(TAIL), shared(HEAD)))
      check()
    end)
  end

  -- The kernel lets nobody write the records. But a position can lie within one, on bytes that a program has put there.
  for _, case in ipairs({
    { "longer than what is there", 4000 },
    { "shorter than its header", 4 },
    { "no multiple of 8", 43 },
    { "empty", 0 },
  }) do
    it("isn't believed: a record that is " .. case[1], function()
      local check = lost_once("^a record had a length that it cannot have", case[2] << 16)
      shared(TAIL, shared(TAIL) + 8)
      check()
    end)
  end

  it("isn't read up to: a kernel's position that was put right meanwhile", function()
    send(obj, 7, 1, FIRST)
    local tail, head = shared(TAIL), shared(HEAD)
    hear = function()
      shared(HEAD, head)
      shared(TAIL, tail)
    end
    shared(HEAD, head + (1 << 40))
    assert.same({ 0, 1 }, { reader:consume(50), reader:lost() })
    assert.same({ 1, 1 }, { reader:consume(50), reader:lost() })
    assert.same({ 7 }, got)
  end)

  it("is told of once a call, however often it is written", function()
    hear = function()
      assert(#reports < 100)
      shared(TAIL, shared(TAIL) + 4)
    end
    shared(TAIL, shared(TAIL) + 4)
    assert.same({ 0, 1 }, { reader:consume(), #reports })
    assert.same({ 0, 2 }, { reader:poll(0), #reports })
    assert.same({ nil, 3 }, { next_event(reader, 0), #reports })
  end)

  it("isn't believed: the kernel's position", function()
    send(obj, 1, 1, FIRST)
    for _, wrong in ipairs({ 4, 8 * PAGE, -8, math.mininteger }) do
      shared(HEAD, shared(HEAD) + wrong)
      reader:consume()
    end
    send(obj, 1, 3, FIRST) -- with which the kernel writes its position
    reader:consume()
    got = {}
    send(obj, 50, 2, FIRST)
    assert.equal(2, reader:consume())
    assert.same({ 50, 51 }, got)
  end)
end)

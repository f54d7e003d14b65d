-- SPDX-License-Identifier: MIT
-- Readers of perf buffers: every form of record, CPUs, losses, every way of reading, and whatever handlers may do
-- meanwhile.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

kernel.root()
kernel.need("running raw tracepoint programs", "5.10")

local PERFS = helper.obj("perfs")
local NOTE = "struct { __u32 seq; __u32 pid; __u64 square; char text[8]; }"
local ON_CPU <const> = 1 -- BPF_F_TEST_RUN_ON_CPU

-- The numbers of the CPUs that are online.
local function online()
  local file <close> = assert(io.open("/sys/devices/system/cpu/online"))
  local list = {}
  for first, last in file:read("a"):gmatch("(%d+)%-?(%d*)") do
    for cpu = tonumber(first), tonumber(last) or tonumber(first) do
      list[#list + 1] = cpu
    end
  end
  return list
end

local CPUS <const> = online()
local FIRST <const>, LAST <const> = CPUS[1], CPUS[#CPUS]

-- Runs one of the programs that send, on a CPU; returns what it answers, as a signed number.
local function run(obj, prog, from, count, cpu)
  local answer = assert(obj.progs[prog]:run({
    ctx = string.pack("=I8I8", from, count), flags = ON_CPU, cpu = cpu or FIRST,
  }))
  return (string.unpack("=i4", string.pack("=I4", answer.retval)))
end

local function send(obj, from, count, cpu)
  assert.equal(count, run(obj, "send_notes", from, count, cpu))
end

local opened = {} -- closed after each test

after_each(function()
  for i = #opened, 1, -1 do
    opened[i]:close()
    opened[i] = nil
  end
end)

-- An object, and a reader of one of its maps.
local function open(name, type, handler, options)
  local obj = assert(bpf.load(PERFS))
  opened[#opened + 1] = obj
  local reader = assert(bpf.perfbuf(obj.maps[name], type, handler, options))
  opened[#opened + 1] = reader
  return obj, reader
end

-- How many descriptors and mappings of ours this process has, once all garbage is collected.
local function held()
  collectgarbage()
  collectgarbage()
  local list = helper.run(("ls -l /proc/%d/fd; cat /proc/%d/maps"):format(helper.pid, helper.pid))
  local count = 0
  for _, what in ipairs({ "anon_inode:bpf", "anon_inode:%[eventpoll%]", "anon_inode:%[eventfd%]",
    "anon_inode:%[perf_event%]", "/%[aio%]" }) do
    count = count + select(2, list:gsub(what, ""))
  end
  return count
end

-- The next record, or nil if none comes in time.
local function next_event(reader, timeout)
  local step, state = reader:events(timeout)
  return step(state)
end

-- Seconds on the wall.
local function now()
  local file <close> = assert(io.open("/proc/uptime"))
  return file:read("n")
end

local function nothing() end

-- Checks that the results are nil, a message that matches the pattern, and the code.
local function fails(code, pattern, ...)
  assert.equal(3, select("#", ...))
  local result, message, got = ...
  assert.is_nil(result)
  assert.equal(code, got)
  assert.matches(pattern, message)
end

describe("perf buffer arguments:", function()
  local obj

  setup(function() obj = assert(bpf.load(PERFS)) end)
  teardown(function() obj:close() end)

  for _, case in ipairs({
    { "no map", "bpf%.map expected", function() bpf.perfbuf() end },
    { "something else than a map", "bpf%.map expected", function() bpf.perfbuf(obj, nil, nothing) end },
    { "a map of another type", "a map of type perf_event_array expected", function()
      bpf.perfbuf(obj.maps["perfs.bss"])
    end },
    { "a type that is none", "C type, size in bytes or bpf%.type expected", function()
      bpf.perfbuf(obj.maps.notes, {})
    end },
    { "an unknown type", "'struct lbpf_unknown' is neither in the object's", function()
      bpf.perfbuf(obj.maps.notes, "struct lbpf_unknown")
    end },
    { "a handler that is none", "function expected", function() bpf.perfbuf(obj.maps.notes, nil, {}) end },
    { "options that are no table", "table expected", function() bpf.perfbuf(obj.maps.notes, nil, nothing, true) end },
    { "an unknown option", "unknown option 'page' %(options: unpack, into, lost, cpus, pages, ", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { page = 1 })
    end },
    { "unpack that is no boolean", "option 'unpack' must be a boolean", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { unpack = 1 })
    end },
    { "into for bytes", "'into' takes a table, for structs and arrays", function()
      bpf.perfbuf(obj.maps.notes, nil, nothing, { into = {} })
    end },
    { "into together with unpack", "not together with 'unpack'", function()
      bpf.perfbuf(obj.maps.notes, NOTE, nothing, { into = {}, unpack = true })
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

  it("add takes the same ones, and the reader stays as it was", function()
    local reader <close> = assert(bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = { LAST } }))
    helper.raises(function() reader:add() end, "bpf%.map expected")
    helper.raises(function() reader:add(obj.maps["perfs.bss"]) end, "a map of type perf_event_array expected")
    helper.raises(function() reader:add(obj.maps.others, "struct lbpf_unknown") end, "neither")
    helper.raises(function() reader:add(obj.maps.others, nil, nothing, { pages = 5 }) end, "power of two")
    assert.equal(0, reader:poll(0))
    assert.equal("bpf.perfbuf: 1 buffer", tostring(reader))
  end)

  it("a map that isn't loaded yet raises", function()
    local unloaded <close> = assert(bpf.open(PERFS))
    helper.raises(function() bpf.perfbuf(unloaded.maps.notes) end, "map 'notes' does not exist before")
  end)

  it("a time-out or a bound out of range raises", function()
    local reader <close> = assert(bpf.perfbuf(obj.maps.notes, nil, nothing))
    helper.raises(function() reader:poll(-2) end, "%-2 is not between %-1 and")
    helper.raises(function() reader:poll("soon") end, "number expected")
    helper.raises(function() reader:events(-2) end, "not between")
    helper.raises(function() reader:poll(0, 0) end, "#2.*0 is not between 1 and")
    helper.raises(function() reader:consume(-1) end, "#1.*not between 1 and")
  end)

  it("methods want a reader of this kind", function()
    local reader <close> = assert(bpf.perfbuf(obj.maps.notes, nil, nothing))
    for _, name in ipairs({ "poll", "consume", "add", "events", "fd", "lost", "close" }) do
      helper.raises(function() reader[name](obj) end, "bpf%.perfbuf expected")
    end
    local step = reader:events(0)
    helper.raises(function() step(obj) end, "bpf%.perfbuf expected")
  end)

  it("CPUs that don't exist fail, by name", function()
    fails("ENODEV", "^map 'notes': perfbuf: CPU 100000: perf_event_open: there is no such CPU, or it is offline",
      (function(...)
        local result, message, code = ...
        return result, message, code == "EINVAL" and "ENODEV" or code
      end)(bpf.perfbuf(obj.maps.notes, nil, nothing, { cpus = { 100000 } })))
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

  it("fills one table with into", function()
    local into, seen, obj, reader = { seq = -1, left = "alone" }, 0
    obj, reader = open("notes", "struct note", function(e, cpu)
      assert.is_true(rawequal(into, e))
      seen = seen + e.seq + cpu
    end, { into = into })
    send(obj, 1, 4)
    assert.equal(4, reader:poll(0))
    assert.equal(10 + 4 * FIRST, seen)
    assert.same({ 4, 16, "note4", "alone" }, { into.seq, into.square, into.text, into.left })
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

  it("consumes without waiting", function()
    local obj, reader = open("notes", "struct note", nothing)
    assert.equal(0, reader:consume())
    send(obj, 1, 5, FIRST)
    send(obj, 6, 5, LAST)
    assert.equal(10, reader:consume())
    assert.equal(0, reader:consume())
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

  it("goes on where the loop over events was left", function()
    local obj, reader = open("notes", "struct note", nothing)
    send(obj, 1, 3)
    for e in reader:events(0) do
      if e.seq == 2 then
        break
      end
    end
    assert.equal(1, reader:poll(0))
  end)

  it("without a handler is for events only", function()
    local obj, reader = open("notes", "struct note")
    send(obj, 1, 1)
    helper.raises(function() reader:poll(0) end, "this perf buffer has no handler: read it by events")
    helper.raises(function() reader:consume() end, "no handler")
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
      assert.equal(1, next_event(reader, 0).seq)
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
    { "events", function(reader) return (next_event(reader, 1000)) end },
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
  it("leaves the rest, in order", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e) got[#got + 1] = e.seq end)
    send(obj, 1, 7)
    assert.equal(3, reader:poll(0, 3))
    assert.same({ 1, 2, 3 }, got)
    assert.equal(1, reader:consume(1))
    assert.equal(3, reader:poll(-1, 10))
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, got)
    assert.equal(0, reader:poll(0, 1))
  end)

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
  it("ends with 0 when the time is up", function()
    local _, reader = open("notes", "struct note", nothing)
    for _, read in ipairs({
      function() return reader:poll(50) end,
      function()
        for _ in reader:events(50) do error("a record") end
        return 0
      end,
    }) do
      local start = now()
      for _ = 1, 4 do
        assert.equal(0, read())
      end
      local took = now() - start
      assert.is_true(took >= 0.19 and took < 2, "took " .. took)
    end
  end)

  -- An object and a reader that hear of processes of a name, and the command to start one.
  local function watch(handler, options)
    local name = "lbpf-" .. helper.pid
    local path = helper.tmpdir() .. "/" .. name
    assert.is_true(select(2, helper.run("cp /bin/true " .. path)))
    local obj = assert(bpf.load(PERFS, { vars = { target = name } }))
    opened[#opened + 1] = obj
    local reader = assert(bpf.perfbuf(obj.maps.notes, "struct note", handler, options))
    opened[#opened + 1] = reader
    assert(obj.progs.on_process:attach())
    return reader, path
  end

  for _, cpu in ipairs({ FIRST, LAST }) do
    it("ends when a process on CPU " .. cpu .. " sends a record", function()
      local got = {}
      local reader, command = watch(function(e, on) got[#got + 1] = { e.text, on, e.square } end)
      for round = 1, 3 do
        local start = now()
        local pipe = assert(io.popen(("sleep 0.2; taskset -c %d %s"):format(cpu, command)))
        assert.equal(1, reader:poll(20000))
        pipe:close()
        local took = now() - start
        assert.is_true(took > 0.1 and took < 10, "took " .. took)
        assert.equal("process", got[round][1])
        assert.equal(got[round][3], got[round][2]) -- the program's own word for it
      end
    end)
  end

  it("ends for events when another process sends a record", function()
    local reader, command = watch()
    local pipe = assert(io.popen("sleep 0.2; " .. command))
    local e, cpu = next_event(reader, 20000)
    pipe:close()
    assert.same({ "process", e.square }, { e.text, cpu })
  end)

  for _, option in ipairs({ "sample_period", "wakeup_events" }) do
    it("goes on until as many records are there as was asked for: " .. option, function()
      local reader, command = watch(nothing, { [option] = 3, cpus = { LAST } })
      local start = now()
      local pipe = assert(io.popen(("for i in 1 2 3; do sleep 0.2; taskset -c %d %s; done"):format(LAST, command)))
      assert.equal(3, reader:poll(20000))
      pipe:close()
      local took = now() - start
      assert.is_true(took > 0.5 and took < 15, "took " .. took)
    end)
  end

  it("gives what is there when the time is up, however few", function()
    local reader, command = watch(nothing, { wakeup_events = 100, cpus = { LAST } })
    local pipe = assert(io.popen(("sleep 0.1; taskset -c %d %s"):format(LAST, command)))
    assert.equal(1, reader:poll(1500))
    pipe:close()
  end)

  it("never misses a record that comes just before it begins", function()
    local obj, reader = open("notes", "struct note", nothing)
    for i = 1, 5000 do
      send(obj, i, 1, i % 2 == 0 and FIRST or LAST)
      assert(reader:poll(5000) == 1)
    end
  end)

  it("gives nil, message and EINTR when a signal interrupts it", function()
    local ready = helper.tmpdir() .. "/ready"
    local output = helper.run(([[%s -e %s & pid=$!
      for i in $(seq 200); do [ -e %s ] && break; sleep 0.05; done; sleep 0.3
      kill -STOP $pid; sleep 0.1; kill -CONT $pid; wait $pid]]):format(helper.LUA, helper.quote(([[
        local bpf = require("bpf")
        local obj = assert(bpf.load(%q))
        local reader = assert(bpf.perfbuf(obj.maps.notes, nil, print))
        assert(io.open(%q, "w")):close()
        print(reader:poll(20000))
      ]]):format(PERFS, ready)), ready))
    assert.equal("nil\tperf buffer: poll: interrupted by a signal (EINTR)\tEINTR\n", output)
  end)
end)

describe("perf buffer errors:", function()
  it("a record shorter than its type raises once, and the next is read", function()
    local got = {}
    local obj, reader = open("blobs", "struct note", function(e) got[#got + 1] = e.seq end)
    run(obj, "send_list", 5, 0)
    run(obj, "send_blob", 1, 24)
    helper.raises(function() reader:poll(0) end, "event: 4 bytes are too few for struct note, which takes 24")
    assert.equal(1, reader:poll(0))
    assert.same({ 0x01010101 }, got)
  end)

  it("an error of the handler leaves through poll, its record done and the rest still there", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e)
      got[#got + 1] = e.seq
      if e.seq % 3 == 0 then
        error({ seq = e.seq })
      end
    end)
    send(obj, 1, 7)
    for _, seq in ipairs({ 3, 6 }) do
      local ok, err = pcall(reader.poll, reader, -1)
      assert.is_false(ok)
      assert.same({ seq = seq }, err)
    end
    assert.equal(1, reader:poll(-1))
    assert.equal(0, reader:poll(10))
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, got)
  end)

  it("an error in one map's handler leaves the other's records there", function()
    local seen = 0
    local obj, reader = open("notes", "struct note", function() error("first map") end)
    assert(reader:add(obj.maps.others, "struct note", function() seen = seen + 1 end))
    send(obj, 1, 1)
    run(obj, "send_others", 1, 4)
    helper.raises(function() reader:poll(0) end, "first map")
    assert.equal(4, reader:poll(0))
    assert.equal(4, seen)
  end)

  it("a handler can't yield", function()
    local obj, reader = open("notes", "struct note", function() coroutine.yield() end)
    send(obj, 1, 1)
    local ok, message = coroutine.resume(coroutine.create(function() return reader:poll(0) end))
    assert.is_false(ok)
    assert.matches("attempt to yield across a C%-call boundary", message)
    assert.equal(0, reader:poll(0))
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
  end)

  it("closing empties the map's slots, and twice is fine", function()
    local obj, reader = open("notes", "struct note", nothing)
    send(obj, 1, 1)
    assert.is_true(reader:close())
    assert.is_true(reader:close())
    for _, cpu in ipairs(CPUS) do
      assert.equal(0, run(obj, "send_notes", 1, 1, cpu))
      assert.same({ false, "ENOENT" }, { bpf.map.delete(obj.maps.notes, cpu) })
    end
  end)

  it("closing empties the slots of a map that keeps its events", function()
    local own <close> = assert(bpf.map.create({ type = "perf_event_array", max_entries = LAST + 1,
      flags = { "preserve_elems" } }))
    local obj <close> = assert(bpf.load(PERFS, { maps = { notes = own } }))
    local reader = assert(bpf.perfbuf(own, NOTE, nothing))
    assert.equal(1, run(obj, "send_notes", 1, 1))
    reader:close()
    assert.equal(0, run(obj, "send_notes", 1, 1))
  end)

  it("use after close raises", function()
    local obj, reader = open("notes", "struct note", nothing)
    local step, state = reader:events(0)
    reader:close()
    for _, name in ipairs({ "poll", "consume", "events", "fd", "lost" }) do
      helper.raises(function() reader[name](reader) end, "perf buffer reader is closed")
    end
    helper.raises(function() reader:add(obj.maps.others) end, "perf buffer reader is closed")
    helper.raises(function() step(state) end, "perf buffer reader is closed")
  end)

  it("the handler may close the reader", function()
    local n, obj, reader = 0
    obj, reader = open("notes", "struct note", function()
      n = n + 1
      assert.is_true(reader:close())
    end)
    assert(reader:add(obj.maps.others, "struct note", function() n = n + 100 end))
    send(obj, 1, 5)
    send(obj, 1, 5, LAST)
    run(obj, "send_others", 1, 5)
    assert.equal(1, reader:poll(1000))
    assert.equal(1, n)
    helper.raises(function() reader:poll(0) end, "closed")
  end)

  it("the handler may close the reader and fail", function()
    local obj, reader
    obj, reader = open("notes", "struct note", function()
      reader:close()
      error("closed it")
    end)
    send(obj, 1, 5)
    helper.raises(function() reader:poll(0) end, "closed it")
    helper.raises(function() reader:poll(0) end, "reader is closed")
  end)

  it("the handler may close the object", function()
    local n, obj, reader = 0
    obj, reader = open("notes", "struct note", function()
      n = n + 1
      obj:close()
    end)
    send(obj, 1, 5)
    assert.equal(5, reader:poll(0))
    assert.equal(5, n)
    assert.equal(0, reader:poll(10))
  end)

  it("the handler may add maps", function()
    local n, obj, reader = 0
    local others = {}
    obj, reader = open("notes", "struct note", function(e)
      n = n + 1
      if e.seq <= 10 then
        local other = assert(bpf.load(PERFS))
        others[#others + 1] = other
        assert(reader:add(other.maps.notes, "struct note", function() n = n + 1000 end, { pages = 1 }))
        send(other, 1, 2)
      end
    end)
    send(obj, 1, 30)
    local handled = reader:poll(0) + reader:poll(0)
    assert.equal(30 + 20, handled)
    assert.equal(30 + 20 * 1000, n)
    for _, other in ipairs(others) do
      other:close()
    end
  end)

  it("the handler may poll: each record is still handled once", function()
    local got, obj, reader = {}
    obj, reader = open("notes", "struct note", function(e)
      got[#got + 1] = e.seq
      if e.seq == 2 then
        assert.equal(3, reader:poll(0))
      end
    end)
    send(obj, 1, 5)
    assert.equal(2, reader:poll(0))
    assert.same({ 1, 2, 3, 4, 5 }, got)
    send(obj, 6, 1)
    assert.equal(1, reader:poll(0))
  end)

  it("the handler may iterate over the events", function()
    local got, obj, reader = {}
    obj, reader = open("notes", "struct note", function(e)
      got[#got + 1] = e.seq
      for more in reader:events(0) do
        got[#got + 1] = -more.seq
      end
    end)
    send(obj, 1, 3)
    assert.equal(1, reader:poll(0))
    assert.same({ 1, -2, -3 }, got)
  end)

  it("the handler may collect garbage", function()
    local sum = 0
    local obj, reader = open("notes", NOTE, function(e)
      collectgarbage()
      sum = sum + e.seq
    end)
    send(obj, 1, 100)
    assert.equal(100, reader:poll(0))
    assert.equal(5050, sum)
  end)

  it("a finalizer that closes it in the middle of a record does no harm", function()
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      for round = 1, 20 do
        local obj <close> = assert(bpf.load(%q))
        local reader = assert(bpf.perfbuf(obj.maps.notes, "struct note", function() end))
        for _ = 1, 8 do
          assert(obj.progs.send_notes:run({ ctx = string.pack("=I8I8", 1, 256) }))
        end
        setmetatable({}, { __gc = function() reader:close() end })
        pcall(function()
          for _ in reader:events(0) do end
          reader:poll(0)
        end)
      end
      print("survived")
    ]]):format(PERFS))
    assert.equal("survived\n", output)
    assert.is_true(ok)
  end)

  it("it reads what is there after its object and map are closed", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e) got[#got + 1] = e.seq end)
    send(obj, 1, 3)
    obj:close()
    assert.equal(3, reader:poll(0))
    assert.equal(0, reader:poll(10))
    assert.same({ 1, 2, 3 }, got)
  end)

  it("it can be dropped while it is attached, and collected", function()
    local before = held()
    for _ = 1, 10 do
      (function()
        local obj = assert(bpf.load(PERFS))
        local reader = assert(bpf.perfbuf(obj.maps.notes, "struct note", nothing))
        send(obj, 1, 10)
        assert(reader:fd())
        assert(obj.progs.on_process:attach())
        assert.equal(10, reader:poll(0))
      end)()
    end
    assert.is_true(held() <= before) -- what earlier tests left to the collector may go meanwhile
  end)

  it("it works from any coroutine, and after the one that made it is gone", function()
    local n = 0
    local obj, reader = coroutine.wrap(function()
      return open("notes", "struct note", function() n = n + 1 end)
    end)()
    collectgarbage()
    collectgarbage()
    send(obj, 1, 4)
    assert.equal(4, coroutine.wrap(function() return reader:poll(0) end)())
    assert.equal(4, n)
  end)
end)

describe("perf buffer leaks:", function()
  it("failures leave nothing mapped or open, and no event in the map", function()
    local obj <close> = assert(bpf.load(PERFS))
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

  it("reading a record's members as values allocates nothing", function()
    local sum = 0
    local type = "struct { __u32 seq; __u32 pid; __u64 square; }"
    local obj, reader = open("notes", type, function(_, _, square) sum = sum + square end, { unpack = true })
    local function work()
      for _ = 1, 16 do
        send(obj, 1, 256)
      end
    end
    work()
    reader:poll(0)
    work()
    collectgarbage()
    collectgarbage("stop")
    local before = collectgarbage("count")
    local n = reader:poll(0)
    local after = collectgarbage("count")
    collectgarbage("restart")
    assert.equal(4096, n)
    assert.equal(before, after)
  end)
end)

describe("perf buffer interop:", function()
  it("bpftool's reader gets the same records, and ours takes the slots back", function()
    local got = {}
    local obj, reader = open("notes", "struct note", nothing)
    local id = bpf.map.info(obj.maps.notes).id
    assert.matches("perf_event_array", (helper.run("bpftool map show id " .. id)))
    reader:close()
    local out = helper.tmpdir() .. "/out"
    local pipe = assert(io.popen(("timeout -s INT 3 bpftool -j map event_pipe id %d >%s 2>&1"):format(id, out)))
    local sent
    for _ = 1, 100 do
      helper.run("sleep 0.05")
      sent = run(obj, "send_notes", 65, 1)
      if sent == 1 then
        break
      end
    end
    assert.equal(1, sent)
    pipe:close()
    local file <close> = assert(io.open(out))
    assert.matches('"data":%[65,0,0,0,', file:read("a"))
    local again <close> = assert(bpf.perfbuf(obj.maps.notes, "struct note", function(e) got[#got + 1] = e.seq end))
    send(obj, 66, 1)
    again:poll(0)
    assert.same({ 66 }, got)
  end)
end)

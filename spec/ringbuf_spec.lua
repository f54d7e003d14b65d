-- SPDX-License-Identifier: MIT
-- Readers of ring buffers: every form of record, every way of reading, and whatever handlers may do meanwhile.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

kernel.root()
kernel.need("ring buffers", "5.8")

local RINGS = helper.obj("rings")
local NOTE = "struct { __u32 seq; __u32 pid; __u64 square; char text[8]; }"

-- Runs one of the programs that send; returns what it answers, as a signed number.
local function run(obj, prog, from, count, size, skip)
  local answer = assert(obj.progs[prog]:run({ ctx = string.pack("=I4I4I4I4", from, count, size or 0, skip or 0) }))
  return (string.unpack("=i4", string.pack("=I4", answer.retval)))
end

local function send(obj, from, count, skip)
  assert.equal(count, run(obj, "send_notes", from, count, 0, skip))
end

local opened = {} -- closed after each test

after_each(function()
  for i = #opened, 1, -1 do
    opened[i]:close()
    opened[i] = nil
  end
end)

-- An object, and a reader of one of its rings.
local function open(ring, type, handler, options)
  local obj = assert(bpf.load(RINGS))
  opened[#opened + 1] = obj
  local reader = assert(bpf.ringbuf(obj.maps[ring], type, handler, options))
  opened[#opened + 1] = reader
  return obj, reader
end

-- How many BPF descriptors and mappings this process has, once all garbage is collected.
local function held()
  collectgarbage()
  collectgarbage()
  local list = helper.run(("ls -l /proc/%d/fd; grep bpf-map /proc/%d/maps"):format(helper.pid, helper.pid))
  local _, descriptors = list:gsub("anon_inode:bpf", "")
  local _, pollers = list:gsub("anon_inode:%[eventpoll%]", "")
  return descriptors + pollers
end

-- The next record, or nil if none comes in time.
local function next_event(reader, timeout)
  local step, state = reader:events(timeout)
  return (step(state))
end

-- Seconds on the wall.
local function now()
  local file <close> = assert(io.open("/proc/uptime"))
  return file:read("n")
end

local function nothing() end

-- A command of a name that the program on_process looks for.
local function child(name)
  local path = helper.tmpdir() .. "/" .. name
  local _, ok = helper.run("cp /bin/true " .. path)
  assert.is_true(ok)
  return path
end

describe("ring buffer arguments:", function()
  local obj

  setup(function() obj = assert(bpf.load(RINGS)) end)
  teardown(function() obj:close() end)

  for _, case in ipairs({
    { "no map", "bpf%.map expected", function() bpf.ringbuf() end },
    { "something else than a map", "bpf%.map expected", function() bpf.ringbuf(obj, nil, nothing) end },
    { "a map of another type", "a map of type ringbuf expected", function() bpf.ringbuf(obj.maps["rings.bss"]) end },
    { "a type that is none", "C type, size in bytes or bpf%.type expected", function()
      bpf.ringbuf(obj.maps.notes, {})
    end },
    { "an unknown type", "'struct lbpf_unknown' is neither in the object's", function()
      bpf.ringbuf(obj.maps.notes, "struct lbpf_unknown")
    end },
    { "C text that isn't C", "line 1, column 16", function() bpf.ringbuf(obj.maps.notes, "struct { __u32 }}") end },
    { "a handler that is none", "function expected", function() bpf.ringbuf(obj.maps.notes, nil, {}) end },
    { "options that are no table", "table expected", function() bpf.ringbuf(obj.maps.notes, nil, nothing, true) end },
    { "an unknown option", "unknown option 'unpacked'.*unpack, into", function()
      bpf.ringbuf(obj.maps.notes, nil, nothing, { unpacked = true })
    end },
    { "unpack that is no boolean", "option 'unpack' must be a boolean", function()
      bpf.ringbuf(obj.maps.notes, nil, nothing, { unpack = 1 })
    end },
    { "into that is no table", "'into' takes a table", function()
      bpf.ringbuf(obj.maps.notes, NOTE, nothing, { into = 1 })
    end },
    { "into for bytes", "'into' takes a table, for structs and arrays", function()
      bpf.ringbuf(obj.maps.notes, nil, nothing, { into = {} })
    end },
    { "into together with unpack", "not together with 'unpack'", function()
      bpf.ringbuf(obj.maps.notes, NOTE, nothing, { into = {}, unpack = true })
    end },
  }) do
    it(case[1] .. " raises", function()
      helper.raises(case[3], case[2])
    end)
  end

  it("add takes the same ones, and the reader stays as it was", function()
    local reader <close> = assert(bpf.ringbuf(obj.maps.notes, nil, nothing))
    helper.raises(function() reader:add() end, "bpf%.map expected")
    helper.raises(function() reader:add(obj.maps["rings.bss"]) end, "a map of type ringbuf expected")
    helper.raises(function() reader:add(obj.maps.small, "struct lbpf_unknown") end, "neither")
    helper.raises(function() reader:add(obj.maps.small, nil, nothing, { x = 1 }) end, "unknown option 'x'")
    assert.equal(0, reader:poll(0))
    assert.matches("1 ring ", tostring(reader))
  end)

  it("a map that isn't loaded yet raises", function()
    local unloaded <close> = assert(bpf.open(RINGS))
    helper.raises(function() bpf.ringbuf(unloaded.maps.notes) end, "map 'notes' does not exist before")
  end)

  it("a time-out out of range raises", function()
    local reader <close> = assert(bpf.ringbuf(obj.maps.notes, nil, nothing))
    helper.raises(function() reader:poll(-2) end, "%-2 is not between %-1 and")
    helper.raises(function() reader:poll(1 << 31) end, "not between")
    helper.raises(function() reader:poll("soon") end, "number expected")
    helper.raises(function() reader:poll(0.5) end, "integer")
    helper.raises(function() reader:events(-2) end, "not between")
  end)

  it("methods want a reader", function()
    local reader <close> = assert(bpf.ringbuf(obj.maps.notes, nil, nothing))
    for _, name in ipairs({ "poll", "consume", "add", "events", "fd", "close" }) do
      helper.raises(function() reader[name](obj) end, "bpf%.ringbuf expected")
    end
  end)
end)

describe("a ring buffer reader", function()
  it("hands every record to the handler, decoded by a type of the object's BTF", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e) got[#got + 1] = e end)
    send(obj, 1, 3)
    assert.equal(3, reader:poll(0))
    assert.equal(3, #got)
    local pid = got[1].pid
    assert.is_true(pid > 0)
    for i = 1, 3 do
      assert.same({ seq = i, pid = pid, square = i * i, text = "note" .. i }, got[i])
    end
  end)

  it("decodes by a C declaration", function()
    local got
    local obj, reader = open("notes", NOTE, function(e) got = e end)
    send(obj, 9, 1)
    assert.equal(1, reader:poll(0))
    assert.same({ 9, 81, "note9" }, { got.seq, got.square, got.text })
  end)

  it("decodes by the beginning of a record where the type is shorter", function()
    local got
    local obj, reader = open("notes", "__u32", function(seq) got = seq end)
    send(obj, 4711, 1)
    assert.equal(1, reader:poll(0))
    assert.equal(4711, got)
  end)

  it("gives the bytes without a type", function()
    local got
    local obj, reader = open("notes", nil, function(...) got = table.pack(...) end)
    send(obj, 5, 1)
    assert.equal(1, reader:poll(0))
    assert.equal(1, got.n)
    assert.equal(24, #got[1])
    local seq, _, square, text = string.unpack("=I4I4I8z", got[1])
    assert.same({ 5, 25, "note5" }, { seq, square, text })
  end)

  it("gives bytes of every length as they are", function()
    local got = {}
    local obj, reader = open("blobs", nil, function(bytes) got[#got + 1] = bytes end)
    for size = 1, 2048, 89 do
      assert.equal(0, run(obj, "send_blob", size & 255, 1, size))
      assert.equal(1, reader:poll(0))
      assert.equal(string.char(size & 255):rep(size), table.remove(got))
    end
  end)

  it("passes members as values with unpack", function()
    local got
    local obj, reader = open("notes", "struct note", function(...) got = table.pack(...) end,
      { unpack = true })
    send(obj, 7, 1)
    assert.equal(1, reader:poll(0))
    assert.same({ 4, 7, 49, "note7" }, { got.n, got[1], got[3], got[4] })
  end)

  it("fills one table with into", function()
    local into, seen, obj, reader = { seq = -1, left = "alone" }, 0
    obj, reader = open("notes", "struct note", function(e)
      assert.is_true(rawequal(into, e))
      seen = seen + e.seq
    end, { into = into })
    send(obj, 1, 4)
    assert.equal(4, reader:poll(0))
    assert.equal(10, seen)
    assert.same({ 4, 16, "note4", "alone" }, { into.seq, into.square, into.text, into.left })
  end)

  it("reads a flexible array as far as the record goes", function()
    local got = {}
    local obj, reader = open("blobs", "struct list", function(e) got[#got + 1] = e end)
    for _, count in ipairs({ 0, 1, 2, 7, 64 }) do
      assert.equal(0, run(obj, "send_list", 10, count))
    end
    assert.equal(5, reader:poll(0))
    for i, count in ipairs({ 0, 1, 2, 7, 64 }) do
      assert.same({ count, count }, { got[i].count, #got[i].item })
      for j = 1, count do
        assert.equal(9 + j, got[i].item[j])
      end
    end
  end)

  it("forgets a longer record's elements when it fills a table", function()
    local into = {}
    local obj, reader = open("blobs", "struct list", nothing, { into = into })
    run(obj, "send_list", 1, 5)
    reader:poll(0)
    assert.same({ 1, 2, 3, 4, 5 }, into.item)
    run(obj, "send_list", 8, 2)
    reader:poll(0)
    assert.same({ count = 2, item = { 8, 9 } }, into)
  end)

  it("reads flexible bytes as a string", function()
    local got
    local obj, reader = open("blobs", "struct { __u32 count; unsigned char rest[]; }", function(e)
      got = e
    end)
    run(obj, "send_list", 0x41424344, 2)
    assert.equal(1, reader:poll(0))
    assert.same({ count = 2, rest = string.pack("=I4I4", 0x41424344, 0x41424345) }, got)
  end)

  it("skips discarded records", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e) got[#got + 1] = e.seq end)
    send(obj, 1, 10, 3)
    assert.equal(7, reader:poll(0))
    assert.same({ 1, 2, 4, 5, 7, 8, 10 }, got)
    send(obj, 1, 10, 1)
    assert.equal(0, reader:poll(0))
    send(obj, 11, 1)
    assert.equal(1, reader:poll(0))
    assert.equal(11, got[8])
  end)

  it("frees the room that discarded records took", function()
    local obj, reader = open("small", "struct note", nothing)
    for i = 1, 100 do
      assert.equal(100, run(obj, "send_small", i, 100, 0, 1))
      assert.equal(0, reader:consume())
    end
    assert.equal(0, obj.vars.lost)
  end)

  it("consumes without waiting", function()
    local obj, reader = open("notes", "struct note", nothing)
    assert.equal(0, reader:consume())
    send(obj, 1, 5)
    assert.equal(5, reader:consume())
    assert.equal(0, reader:consume())
  end)

  it("reads several rings at once, each with its own type and handler", function()
    local notes, small, blobs = {}, {}, {}
    local obj, reader = open("notes", "struct note", function(e) notes[#notes + 1] = e.seq end)
    assert.is_true(rawequal(reader,
      reader:add(obj.maps.small, NOTE, function(seq) small[#small + 1] = seq end, { unpack = true })))
    assert(reader:add(obj.maps.blobs, nil, function(bytes) blobs[#blobs + 1] = #bytes end))
    send(obj, 1, 2)
    run(obj, "send_small", 10, 3)
    run(obj, "send_blob", 1, 1, 100)
    assert.equal(6, reader:poll(0))
    assert.same({ { 1, 2 }, { 10, 11, 12 }, { 100 } }, { notes, small, blobs })
    run(obj, "send_small", 20, 1)
    assert.equal(1, reader:poll(1000))
    assert.equal(20, small[4])
  end)

  it("reads rings of several objects, which may be closed before it", function()
    local n = 0
    local one, reader = open("notes", "struct note", function(e) n = n + e.seq end)
    local two = assert(bpf.load(RINGS))
    assert(reader:add(two.maps.notes, NOTE, function(e) n = n + 100 * e.seq end))
    send(one, 1, 1)
    send(two, 2, 1)
    one:close()
    assert.equal(2, reader:poll(0))
    assert.equal(201, n)
    send(two, 3, 1)
    two:close()
    assert.equal(1, reader:poll(0))
    assert.equal(501, n)
    assert.equal(0, reader:poll(0))
  end)

  it("iterates over records by events, until none comes in time", function()
    local obj, reader = open("notes", "struct note")
    send(obj, 1, 5, 4)
    local got = {}
    for e in reader:events(0) do
      got[#got + 1] = e.seq
      if e.seq == 5 then
        send(obj, 6, 1)
      end
    end
    assert.same({ 1, 2, 3, 5, 6 }, got)
  end)

  it("iterates over members by events with unpack", function()
    local obj, reader = open("notes", "struct note", nil, { unpack = true })
    send(obj, 3, 2)
    local got = {}
    for seq, _, square, text in reader:events(10) do
      got[#got + 1] = { seq, square, text }
    end
    assert.same({ { 3, 9, "note3" }, { 4, 16, "note4" } }, got)
  end)

  it("fills one table by events with into", function()
    local into = {}
    local obj, reader = open("notes", "struct note", nil, { into = into })
    send(obj, 3, 2)
    local got = {}
    for e in reader:events(0) do
      assert.is_true(rawequal(into, e))
      got[#got + 1] = e.seq
    end
    assert.same({ 3, 4 }, got)
  end)

  it("iterates over all its rings by events", function()
    local obj, reader = open("notes", "struct note")
    assert(reader:add(obj.maps.blobs, nil))
    send(obj, 1, 3)
    run(obj, "send_blob", 1, 1, 10)
    run(obj, "send_blob", 1, 1, 20)
    local n, bytes = 0, 0
    for e in reader:events(0) do
      if type(e) == "table" then
        n = n + 1
      else
        bytes = bytes + #e
      end
    end
    assert.same({ 3, 30 }, { n, bytes })
  end)

  it("goes on where the loop over events was left", function()
    local obj, reader = open("notes", "struct note", function() end)
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
    helper.raises(function() reader:poll(0) end, "no handler: read it by events")
    helper.raises(function() reader:consume() end, "no handler")
  end)

  it("reads a ring many times round without loss, in order, with the right content", function()
    local expected, obj, reader = 0
    obj, reader = open("small", "struct note", function(e)
      assert(e.seq == expected and e.square == expected * expected and e.text == "note" .. expected % 10)
      expected = expected + 1
    end)
    local sent = 0
    for round = 1, 2000 do
      local count = 1 + round * 7 % 120
      sent = sent + run(obj, "send_small", sent, count)
      reader:consume()
    end
    assert.equal(sent, expected)
    assert.is_true(sent * 32 > 100 * 4096)
    assert.equal(0, obj.vars.lost)
  end)

  it("reads records that lie across the ring's end", function()
    local got, obj, reader = nil
    obj, reader = open("blobs", nil, function(bytes) got = bytes end)
    for i = 1, 300 do
      local size = 1 + i * 331 % 2048
      assert.equal(0, run(obj, "send_blob", i & 255, 1, size))
      assert.equal(1, reader:consume())
      assert.equal(string.char(i & 255):rep(size), got)
    end
  end)

  it("reads what fitted of a ring that ran full, and goes on", function()
    local got = {}
    local obj, reader = open("small", "struct note", function(e) got[#got + 1] = e.seq end)
    local fitted = run(obj, "send_small", 0, 256)
    assert.is_true(fitted > 100 and fitted <= 128)
    assert.equal(1, obj.vars.lost)
    assert.equal(fitted, reader:poll(0))
    assert.equal(10, run(obj, "send_small", fitted, 10))
    assert.equal(10, reader:poll(0))
    for i, seq in ipairs(got) do
      assert.equal(i - 1, seq)
    end
  end)

  it("reads hundreds of thousands of records in order, none lost and none twice", function()
    local expected, wrong = 0, 0
    local obj, reader = open("notes", "struct note", function(seq, _, square)
      if seq ~= expected or square ~= seq * seq then
        wrong = wrong + 1
      end
      expected = seq + 1
    end, { unpack = true })
    local total = 0
    while total < 300000 // helper.slow do
      send(obj, total, 256)
      total = total + 256
      if total % 4096 == 0 then
        assert.equal(4096, reader:poll(0))
      end
    end
    reader:poll(0)
    assert.same({ total, 0, 0 }, { expected, wrong, obj.vars.lost })
  end)

  it("frees room while it reads, not only at the end", function()
    local obj, reader, sent
    obj, reader = open("small", "struct note", function(e)
      if sent < 1000 and e.seq % 10 == 0 then
        sent = sent + run(obj, "send_small", sent, 10)
      end
    end)
    sent = run(obj, "send_small", 0, 100)
    while reader:poll(0) > 0 do end
    assert.is_true(sent >= 1000)
    assert.equal(0, obj.vars.lost)
  end)

  it("sees the records that were there before it", function()
    local obj <close> = assert(bpf.load(RINGS))
    send(obj, 1, 3)
    local n = 0
    local reader <close> = assert(bpf.ringbuf(obj.maps.notes, "struct note", function(e) n = n + e.seq end))
    assert.equal(3, reader:poll(0))
    assert.equal(6, n)
  end)

  it("begins where another reader ended", function()
    local obj, reader = open("notes", "struct note", nothing)
    send(obj, 1, 3)
    assert.equal(3, reader:poll(0))
    reader:close()
    send(obj, 4, 1)
    local got = {}
    local other <close> = assert(bpf.ringbuf(obj.maps.notes, "struct note", function(e) got[#got + 1] = e.seq end))
    other:poll(0)
    assert.same({ 4 }, got)
  end)

  it("has a descriptor for event loops that watches every ring", function()
    local obj, reader = open("notes", "struct note", nothing)
    assert(reader:add(obj.maps.small, "struct note", nothing))
    local fd = reader:fd()
    local file <close> = assert(io.open(("/proc/self/fdinfo/%d"):format(fd)))
    local text = file:read("a")
    assert.is_not_nil(text:find(("tfd:%9d"):format(bpf.map.fd(obj.maps.notes))))
    assert.is_not_nil(text:find(("tfd:%9d"):format(bpf.map.fd(obj.maps.small))))
    assert.is_true(tonumber(text:match("flags:%s*(%d+)"), 8) & 1 << 19 ~= 0, "children inherit it")
  end)
end)

describe("reading at most n records of a ring buffer", function()
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

  it("doesn't count discarded ones", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e) got[#got + 1] = e.seq end)
    send(obj, 1, 9, 2)
    assert.equal(2, reader:consume(2))
    assert.equal(3, reader:consume(3))
    assert.equal(0, reader:consume(1))
    assert.same({ 1, 3, 5, 7, 9 }, got)
  end)

  it("waits for the first, and frees the room of what it has read", function()
    local obj, reader = open("small", "struct note", nothing)
    for i = 1, 100 do
      assert.equal(100, run(obj, "send_small", i, 100))
      assert.equal(60, reader:poll(-1, 60))
      assert.equal(40, reader:poll(-1, 60))
    end
    assert.equal(0, obj.vars.lost)
  end)

  it("lets every ring have its turn", function()
    local notes, small, obj, reader = 0, 0
    obj, reader = open("notes", "struct note", function() notes = notes + 1 end)
    assert(reader:add(obj.maps.small, "struct note", function() small = small + 1 end))
    send(obj, 1, 100)
    run(obj, "send_small", 1, 100)
    for _ = 1, 4 do
      assert.equal(10, reader:poll(0, 10))
    end
    assert.same({ 20, 20 }, { notes, small })
    assert.equal(160, reader:poll(0))
  end)

  it("takes one or more", function()
    local _, reader = open("notes", "struct note", nothing)
    helper.raises(function() reader:poll(0, 0) end, "#2.*0 is not between 1 and")
    helper.raises(function() reader:consume(0) end, "#1.*0 is not between 1 and")
    helper.raises(function() reader:consume("all") end, "number expected")
  end)
end)

describe("waiting for a ring buffer", function()
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

  it("doesn't happen with a time-out of 0, nor while records are there", function()
    local obj, reader = open("notes", "struct note", nothing)
    local start = now()
    for i = 1, 100 do
      assert.equal(0, reader:poll(0))
      send(obj, i, 1)
      assert.equal(1, reader:poll(-1))
    end
    assert.is_true(now() - start < 5)
  end)

  it("ends when another process sends a record", function()
    local name = "lbpf-" .. helper.pid
    local command = child(name)
    local obj <close> = assert(bpf.load(RINGS, { vars = { target = name } }))
    local got = {}
    local reader <close> = assert(bpf.ringbuf(obj.maps.notes, "struct note", function(e) got[#got + 1] = e end))
    assert(obj:attach())
    for round = 1, 3 do
      local start = now()
      local pipe = assert(io.popen("sleep 0.2; " .. command))
      assert.equal(1, reader:poll(20000))
      pipe:close()
      local took = now() - start
      assert.is_true(took > 0.1 and took < 10, "took " .. took)
      assert.equal("process", got[round].text)
    end
  end)

  it("ends for events when another process sends a record", function()
    local name = "lbpf-" .. helper.pid
    local command = child(name)
    local obj <close> = assert(bpf.load(RINGS, { vars = { target = name } }))
    local reader <close> = assert(bpf.ringbuf(obj.maps.notes, "struct note"))
    assert(obj:attach())
    local pipe = assert(io.popen("sleep 0.2; " .. command))
    local e = next_event(reader, 20000)
    pipe:close()
    assert.equal("process", e.text)
  end)

  for _, case in ipairs({
    { "poll", function(reader) return reader:poll(20000) end },
    { "events", function(reader) return next_event(reader, 20000) and 1 end },
  }) do
    it("isn't ended by a discarded record: " .. case[1], function()
      local name = "lbpf-" .. helper.pid
      local command = child(name)
      local obj <close> = assert(bpf.load(RINGS, { vars = { target = name, discards = 1 } }))
      local reader <close> = assert(bpf.ringbuf(obj.maps.notes, "struct note", nothing))
      assert(obj:attach())
      local pipe = assert(io.popen(("sleep 0.2; %s; sleep 0.3; %s"):format(command, command)))
      local n = case[2](reader)
      pipe:close()
      assert.equal(1, n)
      assert.equal(0, obj.vars.discards)
    end)
  end

  it("never misses a record that comes just before it begins", function()
    local obj, reader = open("notes", "struct note", nothing)
    for i = 1, 20000 do
      send(obj, i, 1)
      assert(reader:poll(5000) == 1)
    end
  end)

  -- Code for a child: prints "ready" before it waits. The shell sends it the signals.
  local function signalled(code, signals)
    local ready = helper.tmpdir() .. "/ready"
    local script = ([[
      local bpf = require("bpf")
      local obj = assert(bpf.load(%q))
      local function ready() assert(io.open(%q, "w")):close() end
      %s]]):format(RINGS, ready, code)
    return helper.run(([[%s -e %s & pid=$!
      for i in $(seq 200); do [ -e %s ] && break; sleep 0.05; done; sleep 0.3; %s; wait $pid]]):format(helper.LUA,
      helper.quote(script), ready, signals:gsub("PID", "$pid")))
  end

  it("gives nil, message and EINTR when a signal interrupts it", function()
    local output = signalled([[
      local reader = assert(bpf.ringbuf(obj.maps.notes, nil, print))
      ready()
      print(reader:poll(20000))
    ]], "kill -STOP PID; sleep 0.1; kill -CONT PID")
    assert.equal("nil\tring buffer: poll: interrupted by a signal (EINTR)\tEINTR\n", output)
  end)

  it("ends a loop over events when a signal interrupts it", function()
    local output = signalled([[
      local reader = assert(bpf.ringbuf(obj.maps.notes, nil))
      ready()
      for _ in reader:events(20000) do print("a record") end
      print("ended")
    ]], "kill -STOP PID; sleep 0.1; kill -CONT PID")
    assert.equal("ended\n", output)
  end)

  it("ends on Ctrl-C, and nothing stays attached", function()
    local output, ok = signalled([[
      local reader = assert(bpf.ringbuf(obj.maps.notes, nil, print))
      assert(obj:attach())
      print(obj.progs.on_process:info().id)
      ready()
      while reader:poll(100) do end
    ]], "kill -INT PID")
    assert.is_false(ok)
    assert.matches("interrupted!", output)
    local id = output:match("^(%d+)\n")
    assert.is_not_nil(id, output)
    local there
    for _ = 1, 100 do
      there = select(2, helper.run("bpftool prog show id " .. id))
      if not there then
        break
      end
      helper.run("sleep 0.05")
    end
    assert.is_false(there)
    assert.is_nil((helper.run("bpftool -j link show")):find(('"prog_id":%s[,}]'):format(id)))
  end)
end)

describe("ring buffer errors:", function()
  it("a record shorter than its type raises once, and the next is read", function()
    local got = {}
    local obj, reader = open("blobs", "struct note", function(e) got[#got + 1] = e.seq end)
    run(obj, "send_list", 5, 0)
    run(obj, "send_blob", 1, 1, 24)
    helper.raises(function() reader:poll(0) end, "event: 4 bytes are too few for struct note, which takes 24")
    assert.equal(1, reader:poll(0))
    assert.same({ 0x01010101 }, got)
  end)

  it("a record shorter than its type raises once in events too", function()
    local obj, reader = open("blobs", "struct note")
    run(obj, "send_list", 5, 0)
    run(obj, "send_blob", 2, 1, 24)
    helper.raises(function() for _ in reader:events(0) do error("read it") end end, "4 bytes are too few")
    assert.equal(0x02020202, next_event(reader, 0).seq)
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
      local ok, err = pcall(reader.poll, reader, 0)
      assert.is_false(ok)
      assert.same({ seq = seq }, err)
    end
    assert.equal(1, reader:poll(0))
    assert.equal(0, reader:poll(10))
    assert.same({ 1, 2, 3, 4, 5, 6, 7 }, got)
  end)

  it("an error at the last record leaves a reader that still waits and wakes", function()
    local obj, reader = open("notes", "struct note", function() error("each time") end)
    for i = 1, 5 do
      send(obj, i, 1)
      helper.raises(function() reader:poll(5000) end, "each time")
      assert.equal(0, reader:poll(10))
    end
  end)

  it("an error in one ring's handler leaves the other's records there", function()
    local seen = 0
    local obj, reader = open("notes", "struct note", function() error("first ring") end)
    assert(reader:add(obj.maps.small, "struct note", function() seen = seen + 1 end))
    send(obj, 1, 1)
    run(obj, "send_small", 1, 4)
    helper.raises(function() reader:poll(0) end, "first ring")
    assert.equal(4, reader:poll(0))
    assert.equal(4, seen)
  end)

  it("a handler can't yield", function()
    local obj, reader = open("notes", "struct note", function() coroutine.yield() end)
    send(obj, 1, 2)
    local thread = coroutine.create(function() return reader:poll(0) end)
    local ok, message = coroutine.resume(thread)
    assert.is_false(ok)
    assert.matches("attempt to yield across a C%-call boundary", message)
    helper.raises(function() reader:poll(0) end, "yield")
    assert.equal(0, reader:poll(0))
  end)

  it("the same ring can't be added twice", function()
    local obj, reader = open("notes", "struct note", nothing)
    local ok, message, code = reader:add(obj.maps.notes, "struct note", nothing)
    assert.is_nil(ok)
    assert.equal("EEXIST", code)
    assert.matches("map 'notes': ringbuf: .*%(EEXIST%)", message)
    send(obj, 1, 2)
    assert.equal(2, reader:poll(0))
  end)
end)

describe("a ring buffer reader's lifetime:", function()
  it("tostring tells its rings and state", function()
    local obj, reader = open("notes", "struct note", nothing)
    assert.equal(("bpf.ringbuf: 1 ring (fd %d)"):format(reader:fd()), tostring(reader))
    assert(reader:add(obj.maps.small))
    assert.matches("2 rings", tostring(reader))
    reader:close()
    assert.equal("bpf.ringbuf: (closed)", tostring(reader))
  end)

  it("closing twice is fine", function()
    local _, reader = open("notes", "struct note", nothing)
    assert.is_true(reader:close())
    assert.is_true(reader:close())
  end)

  it("use after close raises", function()
    local obj, reader = open("notes", "struct note", nothing)
    local step, state = reader:events(0)
    reader:close()
    for _, name in ipairs({ "poll", "consume", "events", "fd" }) do
      helper.raises(function() reader[name](reader) end, "ring buffer reader is closed")
    end
    helper.raises(function() reader:add(obj.maps.small) end, "ring buffer reader is closed")
    helper.raises(function() step(state) end, "ring buffer reader is closed")
  end)

  it("the handler may close the reader", function()
    local n, obj, reader = 0
    obj, reader = open("notes", "struct note", function()
      n = n + 1
      assert.is_true(reader:close())
    end)
    assert(reader:add(obj.maps.small, "struct note", function() n = n + 100 end))
    send(obj, 1, 5)
    run(obj, "send_small", 1, 5)
    assert.equal(1, reader:poll(1000))
    assert.equal(1, n)
    helper.raises(function() reader:poll(0) end, "closed")
    obj:close()
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
    obj:close()
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
    reader:close()
  end)

  it("the handler may add rings, of which those that are there are read at once or next", function()
    local n, obj, reader = 0
    local others = {}
    obj, reader = open("notes", "struct note", function(e)
      n = n + 1
      if e.seq <= 20 then
        local other = assert(bpf.load(RINGS))
        others[#others + 1] = other
        assert(reader:add(other.maps.notes, "struct note", function() n = n + 1000 end))
        send(other, 1, 2)
      end
    end)
    send(obj, 1, 50)
    local handled = reader:poll(0) + reader:poll(0)
    assert.equal(50 + 40, handled)
    assert.equal(50 + 40 * 1000, n)
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
        local reader = assert(bpf.ringbuf(obj.maps.notes, "struct note", function() end))
        for _ = 1, 8 do
          assert(obj.progs.send_notes:run({ ctx = string.pack("=I4I4I4I4", 1, 256, 0, 0) }))
        end
        setmetatable({}, { __gc = function() reader:close() end })
        pcall(function()
          for _ in reader:events(0) do end
          reader:poll(0)
        end)
      end
      print("survived")
    ]]):format(RINGS))
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
        local obj = assert(bpf.load(RINGS))
        local reader = assert(bpf.ringbuf(obj.maps.notes, "struct note", nothing))
        send(obj, 1, 10)
        assert(obj:attach())
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

describe("ring buffer leaks:", function()
  it("failures leave nothing mapped or open", function()
    local obj <close> = assert(bpf.load(RINGS))
    local before = held()
    for _ = 1, 20 do
      assert.is_false(pcall(bpf.ringbuf, obj.maps.notes, "struct lbpf_unknown"))
      assert.is_false(pcall(bpf.ringbuf, obj.maps.notes, nil, nothing, { x = 1 }))
      local reader <close> = assert(bpf.ringbuf(obj.maps.notes, nil, nothing))
      assert.is_nil(reader:add(obj.maps.notes))
    end
    assert.is_true(held() <= before) -- what earlier tests left to the collector may go meanwhile
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

describe("ring buffer interop:", function()
  it("bpftool sees how large the ring is", function()
    local obj <close> = assert(bpf.load(RINGS))
    assert.matches("ringbuf  name small.*max_entries 4096",
      (helper.run("bpftool map show id " .. bpf.map.info(obj.maps.small).id)))
  end)

  it("a resized ring holds more", function()
    local obj <close> = assert(bpf.load(RINGS, { maps = { small = 16384 } }))
    local reader <close> = assert(bpf.ringbuf(obj.maps.small, "struct note", nothing))
    for _ = 1, 2 do
      assert.equal(250, run(obj, "send_small", 0, 250))
      assert.equal(250, run(obj, "send_small", 0, 250))
      assert.equal(500, reader:poll(0))
    end
  end)
end)

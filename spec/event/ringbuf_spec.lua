-- SPDX-License-Identifier: MIT
-- Readers of ring buffers: every form of record, discarded ones, rings that wrap and run full, several rings at once.
-- What they have in common with readers of perf buffers is in spec/event/reader_spec.lua.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local readers = require("spec.support.reader")
local sys = require("support.sys")

kernel.root()
kernel.need("ring buffers", "5.8")

local NOTE <const> = readers.NOTE
local rings, next_event = readers.ringbuf, readers.next_event
local open, run = rings.open, rings.run

-- Sends to the ring `notes`; records whose number divides by `skip` are discarded.
local function send(obj, from, count, skip)
  rings.send(obj, from, count, 0, skip)
end

local function nothing() end

after_each(readers.close_all)

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
    local two = rings.load()
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
    local obj = rings.load()
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
end)

describe("waiting for a ring buffer", function()
  for _, case in ipairs({
    { "poll", function(reader) return reader:poll(20000 * helper.slow) end },
    { "events", function(reader) return next_event(reader, 20000 * helper.slow) and 1 end },
  }) do
    it("isn't ended by a discarded record: " .. case[1], function()
      local reader, command, obj = rings.watch(nothing, nil, { discards = 1 })
      local pipe = assert(io.popen(("sleep 0.2; %s; sleep 0.3; %s"):format(command, command)))
      local n = case[2](reader)
      pipe:close()
      assert.equal(1, n)
      assert.equal(0, obj.vars.discards)
    end)
  end
end)

describe("a ring", function()
  it("that overwrites what nobody has read has no reader", function()
    kernel.need("ring buffers with the flag rb_overwrite", "6.19")
    local ring <close> = assert(bpf.map.create({ type = "ringbuf", max_entries = 4096, flags = "rb_overwrite" }))
    local reader, message, code = bpf.ringbuf(ring, nil, nothing)
    assert.same({ nil, "EOPNOTSUPP" }, { reader, code })
    assert.matches("ringbuf: a ring with the flag rb_overwrite", message)
  end)

  it("can't be added twice", function()
    local obj, reader = open("notes", "struct note", nothing)
    local before = readers.held()
    for _ = 1, 20 do
      local ok, message, code = reader:add(obj.maps.notes, "struct note", nothing)
      assert.is_nil(ok)
      assert.equal("EEXIST", code)
      assert.matches("map 'notes': ringbuf: .*%(EEXIST%)", message)
    end
    assert.is_true(readers.held() <= before) -- what earlier tests left to the collector may go meanwhile
    send(obj, 1, 2)
    assert.equal(2, reader:poll(0))
  end)

  it("is counted by tostring", function()
    local obj, reader = open("notes", "struct note", nothing)
    assert.equal(("bpf.ringbuf: 1 ring (fd %d)"):format(reader:fd()), tostring(reader))
    assert(reader:add(obj.maps.small))
    assert.matches("2 rings", tostring(reader))
  end)

  it("is as large for bpftool", function()
    local obj = rings.load()
    assert.matches("ringbuf  name small.*max_entries 4096",
      (helper.run("bpftool map show id " .. bpf.map.info(obj.maps.small).id)))
  end)

  it("holds more when it was resized", function()
    local obj = rings.load({ maps = { small = 16384 } })
    local reader <close> = assert(bpf.ringbuf(obj.maps.small, "struct note", nothing))
    for _ = 1, 2 do
      assert.equal(250, run(obj, "send_small", 0, 250))
      assert.equal(250, run(obj, "send_small", 0, 250))
      assert.equal(500, reader:poll(0))
    end
  end)
end)

describe("two readers of a ring", function()
  -- Runs code in a process of its own, which a reader that believes everything would crash. It has `obj` and `send`.
  local function alone(code)
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      local obj <close> = assert(bpf.load(%q))
      local function send(prog, ...)
        return assert(obj.progs[prog]:run({ ctx = string.pack("=I4I4I4I4", ...) })).retval
      end
      %s]]):format(rings.path, code))
    assert(ok, output)
    return output
  end

  it("go on from the position that they find: in one process", function()
    local output = alone([[
      local first <close> = assert(bpf.ringbuf(obj.maps.blobs, nil, function(bytes) assert(#bytes == 40) end))
      local second <close> = assert(bpf.ringbuf(obj.maps.blobs, nil, function() end))
      local n = 0
      for i = 1, 200 do
        assert(send("send_blob", 255, 1, 48, 0) == 0)
        assert(send("send_blob", 255, 1, 40, 0) == 0)
        if i % 10 == 0 then
          n = n + second:consume()
        end
      end
      print(n, first:consume(), first:lost(), second:lost())
      send("send_blob", 255, 1, 40, 0)
      print(first:consume(), second:consume())
    ]])
    assert.equal("400\t0\t0\t0\n1\t0\n", output)
  end)

  it("go on from the position that they find: in two processes", function()
    local output = alone(([[
      local function successor()
        local pipe = io.popen((%q):format(bpf.map.info(obj.maps.blobs).id))
        local n = pipe:read("n")
        pipe:close()
        return n
      end
      local agent <close> = assert(bpf.ringbuf(obj.maps.blobs, nil, function(bytes) assert(#bytes == 40) end))
      send("send_blob", 255, 1, 40, 0)
      print(agent:consume())
      local n = 0
      for i = 1, 3 do
        for _ = 1, 20 do
          assert(send("send_blob", 255, 1, 104 - i * 8, 0) == 0)
          assert(send("send_blob", 255, 1, 48, 0) == 0)
        end
        n = n + successor()
      end
      send("send_blob", 255, 1, 40, 0)
      print(n, agent:consume(), agent:lost())
    ]]):format(([[%s -e 'local bpf = require("bpf")
      print(assert(bpf.ringbuf(bpf.map.by_id(%%d), nil, function() end)):consume())']]):format(helper.LUA)))
    assert.equal("1\n120\t1\t0\n", output)
  end)

  it("may read in each other's handlers, and in loops over events", function()
    local output = alone([[
      local second
      local got = {}
      local first <close> = assert(bpf.ringbuf(obj.maps.small, "struct note", function(e)
        got[#got + 1] = e.seq
        for i = 1, 5 do
          second:consume()
          send("send_small", 1000, 100, 0, 0)
        end
      end))
      second = assert(bpf.ringbuf(obj.maps.small, "struct note", function(e) assert(e.square == e.seq * e.seq) end))
      send("send_small", 1, 3, 0, 0)
      first:consume(3)
      print(got[1], #got)
      for e in first:events(0) do
        assert(e.square == e.seq * e.seq)
        second:consume()
        send("send_small", 1000, 100, 0, 0)
        if #got > 20 then break end
        got[#got + 1] = e.seq
      end
      print(first:lost(), second:lost())
    ]])
    assert.equal("1\t1\n0\t0\n", output)
  end)
end)

describe("a ring's position that something else has written", function()
  local PAGE <const> = tonumber((helper.run("getconf PAGESIZE")))
  local SIZE <const> = 4096 -- of `small`

  local function consumer(obj, value) return sys.shared(bpf.map.fd(obj.maps.small), 0, PAGE, 0, value) end
  local function producer(obj) return sys.shared(bpf.map.fd(obj.maps.small), PAGE, PAGE, 0) end

  for _, case in ipairs({
    { "is no multiple of 8", function(at) return at + 4 end },
    { "is odd", function(at) return at - 1 end },
    { "is the kernel's and one", function(_, kernels) return kernels + 1 end },
    { "is beyond the kernel's", function(_, kernels) return kernels + 8 end },
    { "is far beyond the kernel's", function(_, kernels) return kernels + (1 << 40) end },
    { "is more than a ring behind", function(_, kernels) return kernels - SIZE - 8 end },
    { "is nothing that the kernel counts to", function() return math.mininteger end },
  }) do
    for _, way in ipairs({
      { "poll", function(reader) return reader:poll(0) end },
      { "consume", function(reader) return reader:consume() end },
      { "events", function(reader) return next_event(reader, 0) and 1 or 0 end },
    }) do
      it(("isn't believed when it %s: %s"):format(case[1], way[1]), function()
        local reports, got = {}, {}
        local obj, reader = open("small", "struct note", function(e) got[#got + 1] = e.seq end, {
          lost = function(...) reports[#reports + 1] = table.pack(...) end,
        })
        for i = 1, 3 do -- so that the kernel's position is more than a ring away from the beginning
          assert.equal(100, run(obj, "send_small", 1, 100))
          reader:consume()
          got[i] = nil
        end
        assert.equal(3, run(obj, "send_small", 1, 3))
        local kernels = producer(obj)
        local wrong = case[2](consumer(obj), kernels)
        consumer(obj, wrong)
        got = {}
        assert.equal(0, way[2](reader))
        assert.equal(1, reader:lost())
        assert.same({ { n = 2, 1,
          "no record begins at the position in the shared page; perhaps another reader wrote it" } }, reports)
        assert.equal(kernels, consumer(obj))
        assert.equal(1, run(obj, "send_small", 77, 1))
        if way[1] == "events" then
          got[1] = next_event(reader, 5000).seq
        else
          assert.equal(1, reader:poll(5000))
        end
        assert.same({ 77 }, got)
        assert.equal(1, reader:lost())
      end)
    end
  end

  it("is found by a new reader", function()
    local obj = rings.load()
    assert.equal(3, run(obj, "send_small", 1, 3))
    consumer(obj, 12)
    local n = 0
    local reader <close> = assert(bpf.ringbuf(obj.maps.small, "struct note", function() n = n + 1 end))
    assert.same({ 0, 1, 0 }, { reader:poll(0), reader:lost(), n })
    assert.equal(1, run(obj, "send_small", 1, 1))
    assert.same({ 1, 1, 1 }, { reader:poll(5000), reader:lost(), n })
  end)

  it("may lie within a record, whose bytes are no lengths", function()
    local reports = 0
    local obj, reader = open("blobs", nil, nothing, { lost = function(n, why)
      reports = reports + n
      assert.matches("^a record had a length that it cannot have", why)
    end })
    run(obj, "send_blob", 0x3f, 1, 64) -- 0x3f3f3f3f bytes
    assert.equal(1, reader:consume())
    run(obj, "send_blob", 0x3f, 1, 64)
    local fd = bpf.map.fd(obj.maps.blobs)
    sys.shared(fd, 0, PAGE, 0, sys.shared(fd, 0, PAGE, 0) + 16)
    assert.equal(0, reader:consume())
    assert.same({ 1, 1 }, { reports, reader:lost() })
    run(obj, "send_blob", 1, 1, 8)
    assert.equal(1, reader:poll(5000))
  end)

  it("is told of once a call, however often it is written", function()
    local reports, again = 0, true
    local obj, reader
    obj, reader = open("small", "struct note", nothing, { lost = function()
      reports = reports + 1
      assert(reports < 100)
      if again then
        consumer(obj, 4)
      end
    end })
    consumer(obj, 4)
    assert.same({ 0, 1 }, { reader:consume(), reports })
    assert.same({ 0, 2 }, { reader:poll(0), reports })
    assert.same({ nil, 3 }, { next_event(reader, 0), reports })
    again = false
    assert.same({ 0, 4 }, { reader:poll(0), reports })
    assert.equal(2, run(obj, "send_small", 1, 2))
    assert.same({ 2, 4 }, { reader:poll(5000), reports })
  end)

  it("may be followed by an error of the function that hears of it", function()
    local obj, reader = open("small", "struct note", nothing, { lost = function() error("heard") end })
    consumer(obj, 4)
    helper.raises(function() reader:poll(0) end, "heard")
    helper.raises(function() consumer(obj, 4) next_event(reader, 0) end, "heard")
    assert.equal(1, run(obj, "send_small", 1, 1))
    assert.same({ 1, 2 }, { reader:poll(0), reader:lost() })
  end)
end)

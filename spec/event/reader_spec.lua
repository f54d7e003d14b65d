-- SPDX-License-Identifier: MIT
-- What readers of ring buffers and of perf buffers have in common: arguments, ways of reading, waiting, errors, and
-- whatever handlers may do meanwhile. What only one of them has is in its own spec.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local readers = require("spec.support.reader")

kernel.root()
kernel.need("running raw tracepoint programs", "5.10")

local NOTE <const> = readers.NOTE
local held, next_event, now = readers.held, readers.next_event, readers.now

local function nothing() end

after_each(readers.close_all)

local function describe_arguments(kind)
  local new, obj = kind.new, nil

  setup(function() obj = assert(bpf.load(kind.path)) end)
  teardown(function() obj:close() end)

  for _, case in ipairs({
    { "no map", "bpf%.map expected", function() new() end },
    { "something else than a map", "bpf%.map expected", function() new(obj, nil, nothing) end },
    { "a map of another type", "a map of type " .. kind.type .. " expected", function() new(obj.maps[kind.bss]) end },
    { "a type that is none", "C type, size in bytes or bpf%.type expected", function() new(obj.maps.notes, {}) end },
    { "an unknown type", "'struct lbpf_unknown' is neither in the object's", function()
      new(obj.maps.notes, "struct lbpf_unknown")
    end },
    { "C text that isn't C", "line 1, column 16", function() new(obj.maps.notes, "struct { __u32 }}") end },
    { "a handler that is none", "function expected", function() new(obj.maps.notes, nil, {}) end },
    { "options that are no table", "table expected", function() new(obj.maps.notes, nil, nothing, true) end },
    { "an unknown option", "unknown option 'unpacked'.*unpack, into", function()
      new(obj.maps.notes, nil, nothing, { unpacked = true })
    end },
    { "unpack that is no boolean", "option 'unpack' must be a boolean", function()
      new(obj.maps.notes, nil, nothing, { unpack = 1 })
    end },
    { "into that is no table", "'into' takes a table", function()
      new(obj.maps.notes, NOTE, nothing, { into = 1 })
    end },
    { "into for bytes", "'into' takes a table, for structs and arrays", function()
      new(obj.maps.notes, nil, nothing, { into = {} })
    end },
    { "into together with unpack", "not together with 'unpack'", function()
      new(obj.maps.notes, NOTE, nothing, { into = {}, unpack = true })
    end },
  }) do
    it(case[1] .. " raises", function()
      helper.raises(case[3], case[2])
    end)
  end

  it("add takes the same ones, and the reader stays as it was", function()
    local reader <close> = assert(new(obj.maps.notes, nil, nothing))
    local before = tostring(reader)
    local other = obj.maps[kind.other]
    helper.raises(function() reader:add() end, "bpf%.map expected")
    helper.raises(function() reader:add(obj.maps[kind.bss]) end, "a map of type " .. kind.type .. " expected")
    helper.raises(function() reader:add(other, "struct lbpf_unknown") end, "neither")
    helper.raises(function() reader:add(other, nil, nothing, { x = 1 }) end, "unknown option 'x'")
    assert.equal(0, reader:poll(0))
    assert.equal(before, tostring(reader))
  end)

  it("a map that isn't loaded yet raises", function()
    local unloaded <close> = assert(bpf.open(kind.path))
    helper.raises(function() new(unloaded.maps.notes) end, "map 'notes' does not exist before")
  end)

  it("a time-out out of range raises", function()
    local reader <close> = assert(new(obj.maps.notes, nil, nothing))
    helper.raises(function() reader:poll(-2) end, "%-2 is not between %-1 and")
    helper.raises(function() reader:poll(1 << 31) end, "not between")
    helper.raises(function() reader:poll("soon") end, "number expected")
    helper.raises(function() reader:poll(0.5) end,
      "#1 to 'poll' %(an integer number of milliseconds expected, got 0%.5%)")
    helper.raises(function() reader:events(0.5) end, "#1 to 'events' %(an integer number of milliseconds expected")
    helper.raises(function() reader:poll(0, 1.5) end, "#2 to 'poll' %(an integer expected, got 1%.5%)")
    helper.raises(function() reader:events(-2) end, "not between")
    assert.equal(0, reader:poll(0.0))
  end)

  it("a bound is one or more", function()
    local reader <close> = assert(new(obj.maps.notes, nil, nothing))
    helper.raises(function() reader:poll(0, 0) end, "#2.*0 is not between 1 and")
    helper.raises(function() reader:consume(-1) end, "#1.*not between 1 and")
    helper.raises(function() reader:consume("all") end, "number expected")
  end)

  it("methods want a reader of this kind", function()
    local reader <close> = assert(new(obj.maps.notes, nil, nothing))
    for _, name in ipairs({ "poll", "consume", "add", "events", "fd", "close" }) do
      helper.raises(function() reader[name](obj) end, "bpf%." .. kind.name .. " expected")
    end
    local step = reader:events(0)
    helper.raises(function() step(obj) end, "bpf%." .. kind.name .. " expected")
  end)
end

local function describe_reading(kind)
  local open, run, send = kind.open, kind.run, kind.send

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

  it("consumes without waiting", function()
    local obj, reader = open("notes", "struct note", nothing)
    assert.equal(0, reader:consume())
    send(obj, 1, 5, kind.place(1))
    send(obj, 6, 5, kind.place(2))
    assert.equal(10, reader:consume())
    assert.equal(0, reader:consume())
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
    helper.raises(function() reader:poll(0) end, "no handler: read it by events")
    helper.raises(function() reader:consume() end, "no handler")
  end)

  it("leaves what is beyond a bound, in order", function()
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

  it("allocates nothing for a record's members as values", function()
    local sum = 0
    local type = "struct { __u32 seq; __u32 pid; __u64 square; }"
    local obj, reader = open("notes", type, function(_, _, square) sum = sum + square end, { unpack = true })
    local turns <const> = 16 // helper.slow
    local function work()
      for _ = 1, turns do
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
    assert.equal(turns * 256, n)
    assert.equal(before, after)
  end)

  it("raises once for a record shorter than its type, and reads the next", function()
    local got = {}
    local obj, reader = open("blobs", "struct note", function(e) got[#got + 1] = e.seq end)
    run(obj, "send_list", 5, 0)
    run(obj, "send_blob", kind.blob(1, 24))
    helper.raises(function() reader:poll(0) end, "event: 4 bytes are too few for struct note, which takes 24")
    assert.equal(1, reader:poll(0))
    run(obj, "send_list", 5, 0)
    run(obj, "send_blob", kind.blob(2, 24))
    helper.raises(function() for _ in reader:events(0) do error("read it") end end, "4 bytes are too few")
    got[2] = next_event(reader, 0).seq
    assert.same({ 0x01010101, 0x02020202 }, got)
  end)
end

local function describe_waiting(kind)
  local open, send = kind.open, kind.send

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
      assert.is_true(took >= 0.19 and took < 2 * helper.slow, "took " .. took)
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
    assert.is_true(now() - start < 5 * helper.slow)
  end)

  it("never misses a record that comes just before it begins", function()
    local obj, reader = open("notes", "struct note", nothing)
    for i = 1, 10000 // helper.slow do
      send(obj, i, 1, kind.place(i))
      assert(reader:poll(5000 * helper.slow) == 1)
    end
  end)

  it("ends when another process sends a record", function()
    local got = {}
    local reader, command = kind.watch(function(e) got[#got + 1] = e.text end)
    for round = 1, 3 do
      local start = now()
      local pipe = assert(io.popen("sleep 0.2; " .. command))
      assert.equal(1, reader:poll(20000 * helper.slow))
      pipe:close()
      local took = now() - start
      assert.is_true(took > 0.1 and took < 10 * helper.slow, "took " .. took)
      assert.equal("process", got[round])
    end
  end)

  it("ends for events when another process sends a record", function()
    local reader, command = kind.watch()
    local pipe = assert(io.popen("sleep 0.2; " .. command))
    local e = next_event(reader, 20000 * helper.slow)
    pipe:close()
    assert.equal("process", e.text)
  end)

  it("goes on after a stop, and ends on Ctrl-C: poll", function()
    local output, ok = kind.signalled([[
      local polls = 0
      local count <close> = setmetatable({}, { __close = function() print("polls", polls) end })
      local reader <close> = assert(new(obj.maps.notes, nil, print))
      ready()
      while reader:poll(60000) do polls = polls + 1 end
      print("after the loop")
    ]], "STOP STOP INT")
    assert.is_false(ok)
    assert.matches("interrupted!", output)
    assert.matches("polls\t0\n", output)
    assert.is_nil(output:find("after the loop"))
  end)

  it("goes on after a stop, and ends on Ctrl-C: events", function()
    local output, ok = kind.signalled([[
      local closed <close> = setmetatable({}, { __close = function() print("closed") end })
      local reader <close> = assert(new(obj.maps.notes))
      ready()
      for _ in reader:events() do print("a record") end
      print("after the loop")
    ]], "STOP STOP INT")
    assert.is_false(ok)
    assert.matches("interrupted!", output)
    assert.matches("closed\n", output)
    assert.is_nil(output:find("after the loop"))
  end)

  it("ends with 0 when a signal comes that the process handles", function()
    assert.equal("0\n0\t1\n", (kind.signalled([[
      local reader <close> = assert(new(obj.maps.notes, nil, print))
      sys.handle(10)
      ready()
      print(coroutine.wrap(function() return reader:poll(60000) end)())
      print(reader:poll(0), sys.handled())
    ]], "USR1")))
  end)

  it("lets a signal's hook run in a loop over events, and goes on", function()
    local output = kind.signalled(([[
      local reader <close> = assert(new(obj.maps.notes, "struct note"))
      sys.handle(10)
      local sent
      debug.sethook(function()
        if sys.handled() == 2 and not sent then
          sent = true
          assert(obj.progs.send_notes:run(%s))
        end
      end, "c")
      ready()
      for e in reader:events(60000) do
        print("record", e.seq)
        break
      end
    ]]):format(kind.code(7, 1)), "USR1 USR1")
    assert.equal("record\t7\n", output)
  end)

  it("gives nil, message and EINTR in a coroutine, where Ctrl-C's hook can't run: poll", function()
    local output, ok = kind.signalled([[
      local reader <close> = assert(new(obj.maps.notes, nil, print))
      ready()
      coroutine.wrap(function() print(reader:poll(60000)) end)()
      print("after the coroutine")
    ]], "STOP INT")
    assert.is_false(ok)
    assert.equal(("nil\t%s: poll: interrupted by a signal (EINTR)\tEINTR\n"):format(kind.text),
      output:match("^.-\n"))
    assert.matches("interrupted!", output)
    assert.is_nil(output:find("after the coroutine"))
  end)

  it("ends a loop over events in a coroutine, where Ctrl-C's hook can't run", function()
    local output, ok = kind.signalled([[
      local reader <close> = assert(new(obj.maps.notes))
      ready()
      coroutine.wrap(function()
        for _ in reader:events() do print("a record") end
        print("ended")
      end)()
      print("after the coroutine")
    ]], "STOP INT")
    assert.is_false(ok)
    assert.matches("^ended\n.*interrupted!", output)
    assert.is_nil(output:find("after the coroutine"))
  end)

  -- Sends the process its own Ctrl-C: system(3), and so os.execute, would ignore it.
  local INTERRUPT <const> = [[
    local function interrupt() io.popen("kill -INT $PPID"):close() end
  ]]

  it("sees in a coroutine that Ctrl-C came while it wasn't waiting", function()
    local output, ok = kind.signalled(INTERRUPT .. ([[
      local reader <close> = assert(new(obj.maps.notes, "struct note", interrupt))
      assert(obj.progs.send_notes:run(%s))
      ready()
      coroutine.wrap(function()
        print(reader:poll(1000))
        print(reader:poll(1000))
      end)()
      print("after the coroutine")
    ]]):format(kind.code(1, 1)), "")
    assert.is_false(ok)
    assert.equal(("1\nnil\t%s: poll: interrupted by a signal (EINTR)\tEINTR\n"):format(kind.text),
      output:match("^.-\n.-\n"))
    assert.matches("interrupted!", output)
    assert.is_nil(output:find("after the coroutine"))
  end)

  for _, case in ipairs({
    { "poll", "while reader:poll(1000, 1) == 1 do n = n + 1 end" },
    { "events", "for _ in reader:events(1000) do n = n + 1 interrupt() end" },
  }) do
    it("sees Ctrl-C in a coroutine although records keep coming: " .. case[1], function()
      local output, ok = kind.signalled(INTERRUPT .. ([[
        local reader <close> = assert(new(obj.maps.notes, "struct note", interrupt))
        assert(obj.progs.send_notes:run(%s))
        ready()
        coroutine.wrap(function()
          local n = 0
          %s
          print(n)
        end)()
        print("after the coroutine")
      ]]):format(kind.code(1, 5), case[2]), "")
      assert.is_false(ok)
      assert.matches("^1\n.*interrupted!", output)
      assert.is_nil(output:find("after the coroutine"))
    end)
  end

  it("isn't ended by a hook that was there before", function()
    assert.equal("1\n0\n", (kind.signalled(([[
      debug.sethook(function() end, "l")
      local reader <close> = assert(new(obj.maps.notes, "struct note", function() end))
      assert(obj.progs.send_notes:run(%s))
      ready()
      coroutine.wrap(function()
        print(reader:poll(1000))
        print(reader:poll(10))
      end)()
    ]]):format(kind.code(1, 1)), "")))
  end)

  it("lets a hook that the coroutine has as well run in it", function()
    assert.equal("0\n", (kind.signalled([[
      local reader <close> = assert(new(obj.maps.notes, nil, print))
      sys.handle(10)
      debug.sethook(function() end, "", 1000000)
      ready()
      print(coroutine.wrap(function() return reader:poll(60000) end)())
    ]], "USR1")))
  end)

  it("ends on Ctrl-C, and nothing stays attached", function()
    local output, ok = kind.signalled([[
      local reader = assert(new(obj.maps.notes, nil, print))
      assert(obj.progs.on_process:attach())
      print(obj.progs.on_process:info().id)
      ready()
      while reader:poll(100) do end
    ]], "INT")
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
end

local function describe_handlers(kind)
  local open, run, send = kind.open, kind.run, kind.send

  it("fail through poll, their record done and the rest still there", function()
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

  it("may fail at the last record: the reader still waits and wakes", function()
    local obj, reader = open("notes", "struct note", function() error("each time") end)
    for i = 1, 5 do
      send(obj, i, 1)
      helper.raises(function() reader:poll(5000) end, "each time")
      assert.equal(0, reader:poll(10))
    end
  end)

  it("may fail for one map: the other's records stay there", function()
    local seen = 0
    local obj, reader = open("notes", "struct note", function() error("first map") end)
    assert(reader:add(obj.maps[kind.other], "struct note", function() seen = seen + 1 end))
    send(obj, 1, 1)
    run(obj, kind.send_other, 1, 4)
    helper.raises(function() reader:poll(0) end, "first map")
    assert.equal(4, reader:poll(0))
    assert.equal(4, seen)
  end)

  it("can't yield", function()
    local obj, reader = open("notes", "struct note", function() coroutine.yield() end)
    send(obj, 1, 2)
    local ok, message = coroutine.resume(coroutine.create(function() return reader:poll(0) end))
    assert.is_false(ok)
    assert.matches("attempt to yield across a C%-call boundary", message)
    helper.raises(function() reader:poll(0) end, "yield")
    assert.equal(0, reader:poll(0))
  end)

  it("may close the reader", function()
    local n, obj, reader = 0
    obj, reader = open("notes", "struct note", function()
      n = n + 1
      assert.is_true(reader:close())
    end)
    assert(reader:add(obj.maps[kind.other], "struct note", function() n = n + 100 end))
    send(obj, 1, 5, kind.place(1))
    send(obj, 1, 5, kind.place(2))
    run(obj, kind.send_other, 1, 5)
    assert.equal(1, reader:poll(1000))
    assert.equal(1, n)
    helper.raises(function() reader:poll(0) end, "closed")
  end)

  it("may close the reader and fail", function()
    local obj, reader
    obj, reader = open("notes", "struct note", function()
      reader:close()
      error("closed it")
    end)
    send(obj, 1, 5)
    helper.raises(function() reader:poll(0) end, "closed it")
    helper.raises(function() reader:poll(0) end, "reader is closed")
  end)

  it("may close the object", function()
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

  it("may poll: each record is still handled once", function()
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

  it("may iterate over the events", function()
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

  it("may collect garbage", function()
    local sum = 0
    local obj, reader = open("notes", NOTE, function(e)
      collectgarbage()
      sum = sum + e.seq
    end)
    send(obj, 1, 100)
    assert.equal(100, reader:poll(0))
    assert.equal(5050, sum)
  end)

  it("may add maps, of which those that are there are read at once or next", function()
    local n, obj, reader = 0
    obj, reader = open("notes", "struct note", function(e)
      n = n + 1
      if e.seq <= 10 then
        local other = kind.load()
        assert(reader:add(other.maps.notes, "struct note", function() n = n + 1000 end))
        send(other, 1, 2)
      end
    end)
    send(obj, 1, 30)
    local handled = reader:poll(0) + reader:poll(0)
    assert.equal(30 + 20, handled)
    assert.equal(30 + 20 * 1000, n)
  end)
end

local function describe_lifetime(kind)
  local open, run, send = kind.open, kind.run, kind.send

  it("ends once: closing twice is fine, use after it raises", function()
    local obj, reader = open("notes", "struct note", nothing)
    local step, state = reader:events(0)
    assert.is_true(reader:close())
    assert.is_true(reader:close())
    assert.equal(("bpf.%s: (closed)"):format(kind.name), tostring(reader))
    for _, name in ipairs({ "poll", "consume", "events", "fd" }) do
      helper.raises(function() reader[name](reader) end, kind.text .. " reader is closed")
    end
    helper.raises(function() reader:add(obj.maps[kind.other]) end, kind.text .. " reader is closed")
    helper.raises(function() step(state) end, kind.text .. " reader is closed")
  end)

  it("may end by a finalizer in the middle of a record", function()
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      for round = 1, %d do
        local obj <close> = assert(bpf.load(%q))
        local reader = assert(bpf.%s(obj.maps.notes, "struct note", function() end))
        for _ = 1, 8 do
          assert(obj.progs.send_notes:run({ ctx = %q }))
        end
        setmetatable({}, { __gc = function() reader:close() end })
        pcall(function()
          for _ in reader:events(0) do end
          reader:poll(0)
        end)
      end
      print("survived")
    ]]):format(20 // helper.slow, kind.path, kind.name, kind.request(1, 256).ctx))
    assert.equal("survived\n", output)
    assert.is_true(ok)
  end)

  it("is longer than that of its object and map: it reads what is there", function()
    local got = {}
    local obj, reader = open("notes", "struct note", function(e) got[#got + 1] = e.seq end)
    send(obj, 1, 3)
    obj:close()
    assert.equal(3, reader:poll(0))
    assert.equal(0, reader:poll(10))
    assert.same({ 1, 2, 3 }, got)
  end)

  it("may end by collection, attached programs or not", function()
    local before = held()
    for _ = 1, math.max(2, 10 // helper.slow) do
      (function()
        local obj = assert(bpf.load(kind.path))
        local reader = assert(kind.new(obj.maps.notes, "struct note", nothing))
        send(obj, 1, 10)
        assert(reader:fd())
        assert(obj.progs.on_process:attach())
        assert.equal(10, reader:poll(0))
      end)()
    end
    assert.is_true(held() <= before) -- what earlier tests left to the collector may go meanwhile
  end)

  it("goes on in any coroutine, and after the one that made it is gone", function()
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

  it("leaves nothing mapped or open where making one fails", function()
    local obj, reader = open(kind.other, nil, nothing)
    assert(reader:fd())
    local before = held()
    for _ = 1, 20 do
      assert.is_false(pcall(kind.new, obj.maps.notes, "struct lbpf_unknown"))
      assert.is_false(pcall(kind.new, obj.maps.notes, nil, nothing, { x = 1 }))
      assert.is_false(pcall(reader.add, reader, obj.maps.notes, nil, {}))
    end
    assert.is_true(held() <= before) -- what earlier tests left to the collector may go meanwhile
    assert.equal(1, run(obj, kind.send_other, 1, 1))
    assert.equal(1, reader:poll(0))
  end)
end

for _, kind in ipairs({ readers.ringbuf, readers.perfbuf }) do
  describe(kind.text .. " arguments:", function() describe_arguments(kind) end)
  describe("a " .. kind.text .. " reader", function() describe_reading(kind) end)
  describe("waiting for a " .. kind.text, function() describe_waiting(kind) end)
  describe("handlers of a " .. kind.text, function() describe_handlers(kind) end)
  describe("the life of a " .. kind.text .. " reader", function() describe_lifetime(kind) end)
end

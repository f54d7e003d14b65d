-- SPDX-License-Identifier: MIT
-- Readers' descriptors in other people's event loops: libuv's, cqueues', select.
local bpf = require("bpf")
local socket = require("socket")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

kernel.root()
kernel.need("syscall programs", "5.14")

local cqueues = helper.require("cqueues", "Lua 5.4")
local uv = helper.require("luv", "Lua 5.4") -- its loop and libuv's pipe for signals stay

-- What both kinds of reader are tried with: how to open one, and to send it records.
local KINDS <const> = {
  {
    name = "a ring buffer", obj = helper.obj("rings"), open = bpf.ringbuf,
    send = function(obj, count)
      assert.equal(count, assert(obj.progs.send_notes:run({ ctx = string.pack("=I4I4I4I4", 1, count, 0, 0) })).retval)
    end,
  },
  {
    name = "a perf buffer", obj = helper.obj("perfs"), open = bpf.perfbuf,
    send = function(obj, count)
      assert.equal(count, assert(obj.progs.send_notes:run({ ctx = string.pack("=I8I8", 1, count) })).retval)
    end,
  },
}

-- Whether select finds the descriptor readable in time.
local function readable(fd, seconds)
  local object = { getfd = function() return fd end }
  return socket.select({ object }, nil, seconds or 0)[1] == object
end

-- Waits until select finds the descriptor readable: a perf event is heard of a moment after it was sent.
local function becomes_readable(fd)
  return readable(fd, 10)
end

for _, kind in ipairs(KINDS) do
  describe(kind.name .. " in an event loop:", function()
    local obj, reader, got, on_record

    -- A reader that keeps the numbers of its records in `got`, after handing each to on_record.
    before_each(function()
      obj = assert(bpf.load(kind.obj, { vars = { target = "lbpf-" .. helper.pid } }))
      got, on_record = {}, nil
      reader = assert(kind.open(obj.maps.notes, "struct note", function(e)
        got[#got + 1] = e.seq
        if on_record then
          on_record(e)
        end
      end))
    end)

    after_each(function()
      reader:close()
      obj:close()
    end)

    -- Starts a process that sends a record.
    local function start_sender()
      local path = ("%s/lbpf-%d"):format(helper.tmpdir(), helper.pid)
      assert.is_true(select(2, helper.run("cp /bin/true " .. path)))
      assert(obj.progs.on_process:attach())
      return io.popen("sleep 0.2; " .. path)
    end

    it("select takes the reader itself", function()
      assert.equal(reader:fd(), reader:getfd())
      assert.same({}, (socket.select({ reader }, nil, 0)))
      kind.send(obj, 2)
      assert.equal(reader, socket.select({ reader }, nil, 10)[1])
      assert.equal(2, reader:consume())
      assert.same({}, (socket.select({ reader }, nil, 0)))
      reader:close()
      helper.raises(function() return reader:getfd() end, "closed")
    end)

    it("select hears of records, until they are consumed", function()
      local fd = assert(reader:fd())
      assert.is_false(readable(fd))
      kind.send(obj, 3)
      for _ = 1, 3 do -- however often it is asked
        assert.is_true(becomes_readable(fd))
      end
      assert.equal(3, reader:consume())
      assert.is_false(readable(fd))
      kind.send(obj, 1)
      assert.is_true(becomes_readable(fd))
      assert.equal(1, reader:poll(0))
      assert.is_false(readable(fd))
    end)

    it("select hears of records that were there before the descriptor was asked for", function()
      kind.send(obj, 2)
      local fd = assert(reader:fd())
      assert.is_true(readable(fd))
      assert.equal(2, reader:consume())
      assert.is_false(readable(fd))
    end)

    it("select hears of the rest after reading at most n records", function()
      local fd = assert(reader:fd())
      kind.send(obj, 5)
      assert.is_true(becomes_readable(fd))
      for _ = 1, 2 do
        assert.equal(2, reader:consume(2))
        assert.is_true(readable(fd))
      end
      assert.equal(1, reader:consume(2))
      assert.is_false(readable(fd))
    end)

    it("select hears of the rest after an error in the handler", function()
      local fd = assert(reader:fd())
      on_record = function() error("this one") end
      kind.send(obj, 3)
      for _ = 1, 3 do
        assert.is_true(becomes_readable(fd))
        helper.raises(function() reader:consume() end, "this one")
      end
      on_record = nil
      assert.equal(0, reader:consume())
      assert.is_false(readable(fd))
      assert.equal(3, #got)
    end)

    it("select hears of the rest after a loop over events was left", function()
      local fd = assert(reader:fd())
      kind.send(obj, 3)
      assert.is_true(becomes_readable(fd))
      local step, state = reader:events(0)
      assert(step(state))
      assert.is_true(readable(fd))
      for _ in reader:events(0) do end
      assert.is_false(readable(fd))
    end)

    it("the descriptor stays the same, and poll still waits", function()
      local fd = assert(reader:fd())
      assert.equal(fd, reader:fd())
      for _ = 1, 100 do
        kind.send(obj, 1)
        assert.equal(1, reader:poll(5000))
      end
      assert.equal(0, reader:poll(20))
      local pipe = start_sender()
      assert.equal(1, reader:poll(20000))
      pipe:close()
      assert.equal(fd, reader:fd())
    end)

    it("maps that are added later are heard of", function()
      local fd = assert(reader:fd())
      local other <close> = assert(bpf.load(kind.obj))
      local n = 0
      assert(reader:add(other.maps.notes, "struct note", function() n = n + 1 end))
      kind.send(other, 1)
      assert.is_true(becomes_readable(fd))
      assert.equal(1, reader:consume())
      kind.send(obj, 1)
      assert.is_true(becomes_readable(fd))
      assert.equal(1, reader:consume())
      assert.same({ 1, 1 }, { n, #got })
      assert.is_false(readable(fd))
    end)

    -- Runs libuv's loop until `enough` records were read, or 20 seconds are over.
    local function uv_run(enough)
      local poll, timer = uv.new_poll(reader:fd()), uv.new_timer()
      poll:start("r", function()
        reader:consume()
        if #got >= enough then
          uv.stop()
        end
      end)
      timer:start(20000, 0, function() uv.stop() end)
      return function()
        uv.run()
        poll:stop()
        poll:close()
        timer:close()
        uv.run("nowait") -- lets them close
      end
    end

    it("libuv hears of what came before it ran, and of what comes while it runs", function()
      local go = uv_run(4)
      kind.send(obj, 3)
      local pipe = start_sender()
      go()
      pipe:close()
      assert.equal(4, #got)
    end)

    it("libuv hears of records that handlers cause", function()
      on_record = function()
        if #got < 500 then
          kind.send(obj, 1)
        end
      end
      local go = uv_run(500)
      kind.send(obj, 1)
      go()
      assert.equal(500, #got)
    end)

    it("libuv runs timers beside it", function()
      local ticks = 0
      local timer = uv.new_timer()
      timer:start(5, 5, function()
        ticks = ticks + 1
        if ticks <= 20 then
          kind.send(obj, 2)
        end
      end)
      local go = uv_run(40)
      go()
      timer:close()
      uv.run("nowait")
      assert.same({ 40, 20 }, { #got, math.min(ticks, 20) })
    end)

    it("cqueues hears of records, in a coroutine of its own", function()
      local loop, object = cqueues.new(), { pollfd = reader:fd(), events = "r" }
      local sent = 0
      loop:wrap(function()
        while #got < 600 and cqueues.poll(object, 20) == object do
          reader:consume()
          if sent % 2 == 0 and sent < 600 then -- comes before cqueues waits again
            kind.send(obj, 1)
            sent = sent + 1
          end
        end
      end)
      loop:wrap(function()
        while sent < 600 do
          if sent % 2 == 1 or #got == sent then
            kind.send(obj, 1)
            sent = sent + 1
          end
          cqueues.sleep(0)
        end
      end)
      assert(loop:loop())
      assert.same({ 600, 600 }, { sent, #got })
      cqueues.cancel(object.pollfd)
    end)

    it("cqueues hears of other processes' records", function()
      local loop, object = cqueues.new(), { pollfd = reader:fd(), events = "r" }
      local pipe = start_sender()
      loop:wrap(function()
        while #got < 1 and cqueues.poll(object, 20) == object do
          reader:consume()
        end
      end)
      assert(loop:loop())
      pipe:close()
      assert.equal(1, #got)
      cqueues.cancel(object.pollfd)
    end)

    it("a closed reader has none", function()
      reader:close()
      helper.raises(function() reader:fd() end, "reader is closed")
    end)
  end)
end

-- SPDX-License-Identifier: MIT
-- Producers of user ring buffers: what arrives in the program that drains, and what happens when the ring is full.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local readers = require("spec.support.reader")
local socket = require("socket")
local sys = require("support.sys")

kernel.root()
kernel.need("user ring buffers", "6.1")

local PROGS = helper.obj("user_ringbuf")
local SAMPLE = "struct { __u32 seq; __u32 value; char text[8]; }"
local ROOM = 4096 // (16 + 8) -- samples that fit into the ring `samples`: each has a header of 8 bytes

local opened = {} -- closed after each test

after_each(function()
  for i = #opened, 1, -1 do
    opened[i]:close()
    opened[i] = nil
  end
end)

-- An object, and a producer for one of its rings.
local function open(ring, type, options)
  local obj = assert(bpf.load(PROGS, options))
  opened[#opened + 1] = obj
  local producer = assert(bpf.user_ringbuf(obj.maps[ring], type))
  opened[#opened + 1] = producer
  return obj, producer
end

-- Has the program drain the ring; returns how many samples the kernel took, or a negative errno.
local function drain(obj, ring)
  local answer = assert(obj.progs["drain_" .. (ring or "samples")]:run())
  return (string.unpack("=i4", string.pack("=I4", answer.retval)))
end

-- Fills the ring `samples` from sequence number `first` on; returns how many went in.
local function fill(producer, first)
  local n = 0
  while producer:submit({ seq = first + n, value = 1 }) do
    n = n + 1
    assert(n <= ROOM)
  end
  return n
end

-- A process that makes system calls all the time. Returns its id and a function that ends it.
local function caller()
  local pipe = assert(io.popen("echo $$; while :; do sleep 0.02; done 2>/dev/null"))
  local pid = pipe:read("n")
  return pid, function()
    helper.run("kill " .. pid)
    pipe:close()
  end
end

-- Seconds on the wall.
local function now()
  local file <close> = assert(io.open("/proc/uptime"))
  return file:read("n")
end

-- Processor time that this process has used, in seconds.
local cpu = os.clock

describe("user ring buffer arguments:", function()
  local obj

  setup(function() obj = assert(bpf.load(PROGS)) end)
  teardown(function() obj:close() end)

  for _, case in ipairs({
    { "no map", "bpf%.map expected", function() bpf.user_ringbuf() end },
    { "something else than a map", "bpf%.map expected", function() bpf.user_ringbuf(obj) end },
    { "a map of another type", "a map of type user_ringbuf expected", function() bpf.user_ringbuf(obj.maps.got) end },
    { "a type that is none", "C type, size in bytes or bpf%.type expected", function()
      bpf.user_ringbuf(obj.maps.samples, {})
    end },
    { "an unknown type", "'struct lbpf_unknown' is neither in the object's", function()
      bpf.user_ringbuf(obj.maps.samples, "struct lbpf_unknown")
    end },
  }) do
    it(case[1] .. " raises", function() helper.raises(case[3], case[2]) end)
  end

  it("a ring of the other direction is no such map, and the other way round", function()
    local ring <close> = assert(bpf.map.create({ type = "ringbuf", max_entries = 4096 }))
    helper.raises(function() bpf.user_ringbuf(ring) end, "a map of type user_ringbuf expected")
    helper.raises(function() bpf.ringbuf(obj.maps.samples) end, "a map of type ringbuf expected")
  end)

  it("a map that isn't loaded yet, or closed, raises", function()
    local unloaded <close> = assert(bpf.open(PROGS))
    helper.raises(function() bpf.user_ringbuf(unloaded.maps.samples) end, "map 'samples' does not exist before")
    local map = assert(bpf.map.create({ type = "user_ringbuf", max_entries = 4096, name = "gone" }))
    bpf.map.close(map)
    helper.raises(function() bpf.user_ringbuf(map) end, "map 'gone' is closed")
  end)

  it("methods want a producer, submit a value and a time-out in range", function()
    local producer <close> = assert(bpf.user_ringbuf(obj.maps.samples, SAMPLE))
    for _, name in ipairs({ "submit", "fd", "close" }) do
      helper.raises(function() producer[name](obj) end, "bpf%.user_ringbuf expected")
    end
    helper.raises(function() producer:submit() end, "value expected")
    helper.raises(function() producer:submit({}, -2) end, "%-2 is not between %-1 and")
    helper.raises(function() producer:submit({}, 1 << 31) end, "not between")
    helper.raises(function() producer:submit({}, "soon") end, "number expected")
    helper.raises(function() producer:submit({}, 0.5) end,
      "#2 to 'submit' %(an integer number of milliseconds expected, got 0%.5%)")
    assert.equal(0, drain(obj))
  end)
end)

describe("a user ring buffer producer", function()
  it("sends values of a type of the object's BTF", function()
    local obj, producer = open("samples", "struct sample")
    assert.is_true(producer:submit({ seq = 1, value = 7, text = "first" }))
    assert.is_true(producer:submit({ seq = 2, text = "8 bytes!" }))
    assert.equal(2, drain(obj))
    assert.same({ seq = 1, value = 7, text = "first" }, obj.maps.got[1])
    assert.same({ seq = 2, value = 0, text = "8 bytes!" }, obj.maps.got[2])
    assert.equal(2, #obj.maps.got)
    assert.equal(0, drain(obj))
  end)

  it("sends values of C text, of a compiled type, and bytes of a size", function()
    local obj, producer = open("samples", SAMPLE)
    assert.is_true(producer:submit({ seq = 1, value = 1 }))
    local compiled <close> = assert(bpf.user_ringbuf(obj.maps.samples, bpf.btf.type(SAMPLE)))
    assert.is_true(compiled:submit({ seq = 2, value = 20 }))
    local sized <close> = assert(bpf.user_ringbuf(obj.maps.samples, 16))
    assert.is_true(sized:submit(string.pack("=I4I4z", 3, 300, "sixteen")))
    helper.raises(function() sized:submit("short") end, "sample: .*16 bytes")
    assert.equal(3, drain(obj))
    assert.equal(321, obj.vars.sum)
    assert.equal("sixteen", obj.maps.got[3].text)
    assert.equal(0, obj.vars.unordered)
  end)

  it("sends strings of every length as they are", function()
    local obj, producer = open("blobs")
    local n = 0
    for size = 1, 8184, 37 do
      local head, tail = size & 255, size >> 5 & 255
      local blob = size == 1 and string.char(tail)
        or string.char(head) .. ("."):rep(size - 2) .. string.char(tail)
      assert.is_true(producer:submit(blob))
      assert.equal(1, drain(obj, "blobs"))
      n = n + 1
      assert.same({ n, size, blob:byte(), tail },
        { obj.vars.count, obj.vars.bytes, obj.vars.first_byte, obj.vars.last_byte })
    end
    assert.is_true(producer:submit(""))
    assert.equal(1, drain(obj, "blobs"))
    assert.equal(0, obj.vars.bytes)
  end)

  it("wants strings without a type", function()
    local obj, producer = open("blobs")
    helper.raises(function() producer:submit({}) end, "string expected, got table")
    helper.raises(function() producer:submit(5) end, "string expected, got number")
    helper.raises(function() producer:submit(nil) end, "string expected, got nil")
    assert.equal(0, drain(obj, "blobs"))
  end)

  it("raises for a value that doesn't fit its type, and nothing is in the ring's way", function()
    local obj, producer = open("samples", "struct sample")
    helper.raises(function() producer:submit({ seq = -1 }) end, "sample%.seq: %-1 does not fit in __u32")
    helper.raises(function() producer:submit({ sequence = 1 }) end, "sample: .*sequence")
    helper.raises(function() producer:submit({ seq = 1, text = "nine bytes" }) end, "sample%.text")
    helper.raises(function() producer:submit("no table") end, "sample")
    assert.is_true(producer:submit({ seq = 1, value = 5 }))
    assert.equal(1, drain(obj))
    assert.equal(5, obj.vars.sum)
  end)

  it("keeps the order, around the ring many times", function()
    local obj, producer = open("samples", "struct sample")
    local drained = 0
    for seq = 1, 50000 do
      local ok, _, code = producer:submit({ seq = seq, value = seq & 0xff })
      if not ok then
        assert.equal("ENOSPC", code)
        drained = drained + drain(obj)
        assert.is_true(producer:submit({ seq = seq, value = seq & 0xff }))
      end
    end
    drained = drained + drain(obj)
    local sum = 0
    for seq = 1, 50000 do
      sum = sum + (seq & 0xff)
    end
    assert.same({ 50000, 50000, 0, 50000, sum },
      { drained, obj.vars.count, obj.vars.unordered, obj.vars.last, obj.vars.sum })
  end)

  it("keeps the order when only a part is drained at a time", function()
    local obj, producer = open("samples", "struct sample", { vars = { limit = 7 } })
    local seq = 0
    for _ = 1, 500 do
      seq = seq + fill(producer, seq + 1)
      assert.equal(7, drain(obj))
    end
    assert.equal(ROOM + 499 * 7, seq)
    obj.vars.limit = 0
    assert.equal(ROOM - 7, drain(obj))
    assert.same({ seq, 0 }, { obj.vars.last, obj.vars.unordered })
  end)

  it("sends through a map that was created without an object, and used in one", function()
    local ring <close> = assert(bpf.map.create({ type = "user_ringbuf", name = "mine", max_entries = 4096 }))
    local obj = open("samples", nil, { maps = { samples = ring } })
    local producer <close> = assert(bpf.user_ringbuf(ring, SAMPLE))
    assert.matches("^bpf%.user_ringbuf: mine %(4096 bytes, fd %d+%)$", tostring(producer))
    assert.is_true(producer:submit({ seq = 1, value = 3 }))
    assert.equal(1, drain(obj))
    assert.equal(3, obj.vars.sum)
  end)
end)

describe("a full user ring buffer", function()
  it("refuses samples until it is drained", function()
    local obj, producer = open("samples", "struct sample")
    assert.equal(ROOM, fill(producer, 1))
    for _ = 1, 3 do
      local ok, message, code = producer:submit({ seq = 0 })
      assert.same({ nil, "ENOSPC" }, { ok, code })
      assert.equal("user ring buffer 'samples': submit: full, until a program drains it (ENOSPC)", message)
    end
    assert.equal(ROOM, drain(obj))
    assert.is_true(producer:submit({ seq = ROOM + 1, value = 1 }))
    assert.equal(1, drain(obj))
    assert.same({ ROOM + 1, ROOM + 1, 0 }, { obj.vars.sum, obj.vars.count, obj.vars.unordered })
  end)

  it("takes a sample that fills it to the last byte", function()
    local obj, producer = open("blobs")
    assert.is_true(producer:submit(("x"):rep(8184)))
    assert.equal("ENOSPC", select(3, producer:submit("")))
    assert.equal(1, drain(obj, "blobs"))
    assert.equal(8184, obj.vars.bytes)
    for _ = 1, 8192 // 16 do
      assert.is_true(producer:submit("8 bytes."))
    end
    assert.equal("ENOSPC", select(3, producer:submit("")))
    assert.equal(8192 // 16, drain(obj, "blobs"))
  end)

  it("never has room for a sample longer than itself", function()
    local obj, producer = open("blobs")
    local ok, message, code = producer:submit(("x"):rep(8185))
    assert.same({ nil, "E2BIG" }, { ok, code })
    assert.equal("user ring buffer 'blobs': submit: a sample of 8185 bytes never fits into a ring of 8192 (E2BIG)",
      message)
    assert.equal("E2BIG", select(3, producer:submit(("x"):rep(8185), -1)))
    local typed <close> = assert(bpf.user_ringbuf(obj.maps.blobs, "char[9000]"))
    assert.equal("E2BIG", select(3, typed:submit("x")))
    assert.equal(0, drain(obj, "blobs"))
  end)

  it("never takes a sample that is longer than the kernel hands out, which would block it for good", function()
    local ring <close> = assert(bpf.map.create({ type = "user_ringbuf", max_entries = 1 << 25 }))
    local obj = open("blobs", nil, { maps = { blobs = ring } })
    local producer <close> = assert(bpf.user_ringbuf(ring))
    assert.equal("E2BIG", select(3, producer:submit(("x"):rep(1 << 24))))
    assert.is_true(producer:submit(("x"):rep((1 << 24) - 1)))
    assert.equal(1, drain(obj, "blobs"))
    assert.equal(1, obj.vars.count)
  end)

  it("is given time, and not a busy moment, by submit", function()
    local _, producer = open("samples", "struct sample")
    fill(producer, 1) -- to the last 16 bytes, so that the kernel calls it writable
    local began, used = now(), cpu()
    local ok, _, code = producer:submit({ seq = 0 }, 300)
    local passed = now() - began
    assert.same({ nil, "ENOSPC" }, { ok, code })
    assert(passed >= 0.28 and passed < 2 * helper.slow, passed)
    assert(cpu() - used < 0.1, "it spins")
  end)

  it("lets a waiting submit go on when another process drains it", function()
    local pid, stop = caller()
    finally(stop)
    local obj, producer = open("samples", "struct sample", { vars = { target = pid } })
    local seq = fill(producer, 1)
    assert.equal("ENOSPC", select(3, producer:submit({ seq = 0 }, 100))) -- nobody drains it yet
    assert(obj.progs.on_call:attach())
    for _ = 1, 4 * ROOM do
      seq = seq + 1
      assert(producer:submit({ seq = seq, value = 1 }, 5000 * helper.slow))
    end
    for _ = 1, ROOM do
      seq = seq + 1
      assert(producer:submit({ seq = seq, value = 1 }, -1))
    end
    local deadline = now() + 5 * helper.slow
    while obj.vars.count < seq and now() < deadline do
      socket.sleep(0.01)
    end
    assert.same({ seq, seq, 0 }, { obj.vars.count, obj.vars.sum, obj.vars.unordered })
  end)

  it("has a descriptor that tells of the next drain", function()
    local obj, producer = open("samples", "struct sample")
    local waiter = producer -- select asks it for getfd
    local function readable()
      return socket.select({ waiter }, nil, 0)[waiter] ~= nil
    end
    local seq = fill(producer, 1)
    for _ = 1, 3 do
      assert.is_false(readable())
      assert.equal(ROOM, drain(obj))
      assert.is_true(readable())
      seq = seq + fill(producer, seq + 1)
    end
  end)

  local FULL <const> = [[
    local ring <close> = assert(bpf.map.create({ type = "user_ringbuf", name = "full", max_entries = 4096 }))
    local producer <close> = assert(bpf.user_ringbuf(ring))
    assert(producer:submit(("x"):rep(4088)))
  ]]

  it("gives nil, message and EINTR when a signal comes first that the process handles", function()
    assert.equal("nil\tuser ring buffer 'full': submit: interrupted by a signal (EINTR)\tEINTR\t1\n",
      (readers.signalled(FULL .. [[
        sys.handle(10)
        ready()
        local ok, message, code = producer:submit("more", 60000)
        print(ok, message, code, sys.handled())
      ]], "STOP USR1")))
  end)

  it("sees in a coroutine that Ctrl-C came before it waits", function()
    local output, ok = readers.signalled(FULL .. [[
      ready()
      coroutine.wrap(function()
        io.popen("kill -INT $PPID"):close()
        print(select(3, producer:submit("more", 1000)))
      end)()
      print("after the coroutine")
    ]], "")
    assert.is_false(ok)
    assert.matches("^EINTR\n.*interrupted!", output)
    assert.is_nil(output:find("after the coroutine"))
  end)

  it("goes on after a stop, and ends on Ctrl-C", function()
    for _, timeout in ipairs({ 60000, -1 }) do
      local output, ok = readers.signalled(FULL .. ([[
        ready()
        local _, _, code = producer:submit("more", %d)
        print("after", code)
      ]]):format(timeout), "STOP STOP INT")
      assert.is_false(ok)
      assert.matches("interrupted!", output)
      assert.is_nil(output:find("after"))
    end
  end)
end)

describe("a user ring buffer's position that something else has written", function()
  local PAGE <const> = tonumber((helper.run("getconf PAGESIZE")))

  for _, case in ipairs({
    { "is no multiple of 8", function(at) return at + 4 end },
    { "lies behind the kernel's", function(_, kernels) return kernels - 8 end },
    { "is more than a ring beyond the kernel's", function(_, kernels) return kernels + 4096 + 8 end },
    { "is nothing that anybody counts to", function() return math.mininteger end },
  }) do
    it(("isn't believed when it %s, and submit tells"):format(case[1]), function()
      local obj, producer = open("samples", "struct sample")
      local fd = bpf.map.fd(obj.maps.samples)
      for seq = 1, 200 do -- around the ring
        assert(producer:submit({ seq = seq, value = 1 }))
        assert.equal(1, drain(obj))
      end
      assert(producer:submit({ seq = 201 }))
      local kernels = sys.shared(fd, 0, PAGE, 0)
      local function position(value) return sys.shared(fd, PAGE, 3 * PAGE, 0, value) end
      position(case[2](position(), kernels))
      local ok, message, code = producer:submit({ seq = 202 }, 100)
      assert.same({ nil, "EIO" }, { ok, code })
      assert.equal("user ring buffer 'samples': submit: another process wrote the position in the shared page; " ..
        "samples that were in the ring are lost (EIO)", message)
      assert.equal(kernels, position())
      assert.is_true(producer:submit({ seq = 203 }))
      assert.equal(1, drain(obj))
      assert.equal(203, obj.vars.last)
    end)
  end
end)

describe("the life of a user ring buffer producer", function()
  it("ends once; closing again is fine, using it raises", function()
    local obj, producer = open("samples", "struct sample")
    assert.matches("^bpf%.user_ringbuf: samples %(4096 bytes, fd %d+%)$", tostring(producer))
    assert.is_true(producer:close())
    assert.is_true(producer:close())
    assert.equal("bpf.user_ringbuf: samples (closed)", tostring(producer))
    helper.raises(function() producer:submit({}) end, "user ring buffer 'samples' is closed")
    helper.raises(function() producer:fd() end, "user ring buffer 'samples' is closed")
    helper.raises(function() producer:getfd() end, "user ring buffer 'samples' is closed")
    local scoped
    do
      local inner <close> = assert(bpf.user_ringbuf(obj.maps.samples))
      scoped = inner
    end
    helper.raises(function() scoped:submit("") end, "closed")
  end)

  it("leaves what was sent in the ring, and the next producer goes on behind it", function()
    local obj, producer = open("samples", "struct sample")
    producer:submit({ seq = 1, value = 1 })
    producer:close()
    local second <close> = assert(bpf.user_ringbuf(obj.maps.samples, SAMPLE))
    second:submit({ seq = 2, value = 1 })
    assert.equal(2, drain(obj))
    assert.equal(0, obj.vars.unordered)
  end)

  it("is its own: neither the map's handle nor the object has to stay", function()
    local ring = assert(bpf.map.create({ type = "user_ringbuf", max_entries = 4096 }))
    local obj = assert(bpf.load(PROGS, { maps = { samples = ring } }))
    local producer <close> = assert(bpf.user_ringbuf(ring, SAMPLE))
    local id = bpf.map.info(ring).id
    bpf.map.close(ring)
    producer:submit({ seq = 1, value = 4 })
    assert.equal(1, drain(obj))
    assert.equal(4, obj.vars.sum)
    obj:close()
    assert.equal(ROOM, fill(producer, 1))
    assert.equal("ENOSPC", select(3, producer:submit({}, 10)))
    do
      local again <close> = assert(bpf.map.by_id(id))
      obj = assert(bpf.load(PROGS, { maps = { samples = again } }))
    end
    assert.equal(ROOM, drain(obj))
    obj:close()
  end)

  it("ends by collection when nobody has it, and leaks nothing", function()
    local function held()
      collectgarbage()
      collectgarbage()
      local list = helper.run(("ls -l /proc/%d/fd; grep bpf-map /proc/%d/maps"):format(helper.pid, helper.pid))
      return select(2, list:gsub("anon_inode:", ""))
    end
    local ring <close> = assert(bpf.map.create({ type = "user_ringbuf", max_entries = 4096 }))
    local before = held()
    for _ = 1, 100 do
      assert(bpf.user_ringbuf(ring, SAMPLE)):submit({})
      pcall(bpf.user_ringbuf, ring, "struct lbpf_unknown")
    end
    assert.equal(before, held())
  end)

  it("survives a close out of a finalizer while a sample is being encoded", function()
    local obj, producer = open("samples", "struct sample")
    for i = 1, 200 do
      local target <close> = assert(bpf.user_ringbuf(obj.maps.samples, "struct sample"))
      setmetatable({}, { __gc = function() target:close() end })
      local ok, message = pcall(function()
        for _ = 1, i do
          target:submit({ seq = 1, text = ("%d"):format(i) })
        end
      end)
      assert(ok or message:find("is closed"), message)
      collectgarbage()
      drain(obj)
    end
    assert.is_true(producer:submit({ seq = 1 }))
  end)
end)

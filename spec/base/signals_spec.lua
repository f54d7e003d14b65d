-- SPDX-License-Identifier: MIT
-- Signals as events: the handle, the waits that a signal ends, and what is given back.
local bpf = require("bpf")
local during = require("spec.support.reentry.during")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local posix = require("bpf.base.posix")
local readers = require("spec.support.reader")
local state = require("support.state")
local sys = require("support.sys")

local map = bpf.map

local USR1 <const>, USR2 <const> = 10, 12
local LONG <const> = 600000 -- ms, that no test waits

-- What handles both signals when no handle does: a test that fails must not end the suite.
sys.handle(USR1)
sys.handle(USR2)

-- Sends this process a signal while it waits.
local function later(name, count)
  os.execute(("(for i in $(seq %d); do sleep 0.1; kill -%s %d; done) >/dev/null 2>&1 &"):format(count or 1, name,
    helper.pid))
end

-- Runs code in a process of its own, with `bpf` and `sys`, in which kill sends a signal to itself. Returns what it
-- prints, and its exit status. `modules` are the words that load others in place of these.
local function run(code, command, modules)
  command = command or "env --default-signal=INT,TERM,HUP"
  local output, _, status = helper.run(("%s %s -e %s"):format(command, helper.LUA, helper.quote([[
      package.cpath = package.cpath .. ";build/?.so"
      io.stdout:setvbuf "no"
    ]] .. (modules or [[bpf, sys = require "bpf", require "support.sys"
    ]]) .. code)))
  return output, status
end

local INT <const>, TERM <const>, HUP <const> = 2, 15, 1

describe("bpf.signals", function()
  it("gives the signals that came, each once, in the order of their numbers", function()
    local signals <close> = assert(bpf.signals("USR2", "USR1"))
    assert.equal(0, select("#", signals:poll(0)))
    sys.kill(USR2)
    sys.kill(USR1)
    sys.kill(USR2)
    assert.same({ "USR1", "USR2" }, { signals:poll(0) })
    assert.equal(0, select("#", signals:poll(0)))
    sys.kill(USR1)
    assert.same({ "USR1" }, { signals:poll() })
  end)

  it("waits for one", function()
    local signals <close> = assert(bpf.signals("USR1"))
    local start = bpf.clock()
    assert.equal(0, select("#", signals:poll(20)))
    assert.is_true(bpf.clock() - start >= 20000000)
    later("USR1")
    assert.same({ "USR1" }, { signals:poll(LONG) })
    later("USR1")
    assert.same({ "USR1" }, { signals:poll() })
    assert.same({ "USR1" }, { coroutine.wrap(function()
      later("USR1")
      return signals:poll(-1)
    end)() })
  end)

  it("has a descriptor that is readable while there are signals to poll", function()
    local signals <close> = assert(bpf.signals("USR1", "USR2"))
    local fd = assert(signals:fd())
    assert.equal(fd, signals:getfd())
    local function readable() -- by no wait of ours, which such a signal ends
      local socket = require("socket")
      return socket.select({ signals }, nil, 0)[1] == signals
    end
    assert.is_false(readable())
    sys.kill(USR1)
    assert.is_true(readable())
    sys.kill(USR2)
    assert.same({ "USR1", "USR2" }, { signals:poll(0) })
    assert.is_false(readable())
  end)

  it("says what it catches", function()
    local signals = assert(bpf.signals("TERM", "WINCH", "INT", "INT"))
    assert.equal("bpf.signals: INT TERM WINCH", tostring(signals))
    assert.is_true(signals:close())
    assert.equal("bpf.signals: closed", tostring(signals))
  end)

  it("catches each of its names", function()
    for _, name in ipairs { "HUP", "INT", "QUIT", "USR1", "USR2", "PIPE", "ALRM", "TERM", "CHLD", "CONT", "TSTP",
      "TTIN", "TTOU", "WINCH" } do
      local signals <close> = assert(bpf.signals(name))
      assert(helper.run(("kill -%s %d"):format(name, helper.pid)))
      assert.equal(name, (signals:poll(LONG)))
    end
  end)

  it("raises an error for what is no event, and says why", function()
    helper.raises(function() bpf.signals() end, "#1 to 'signals' %(the name of a signal expected, such as \"TERM\"%)")
    helper.raises(function() bpf.signals("TERM", 15.5, {}) end, "signal '15.5' is unknown %(one of: HUP, INT, QUIT, ")
    helper.raises(function() bpf.signals("TERM", {}) end, "#2 to 'signals' %(string expected, got table%)")
    helper.raises(function() bpf.signals("TERM\0") end, "#1 to 'signals' %(.*NUL")
    for _, name in ipairs { "KILL", "STOP" } do
      helper.raises(function() bpf.signals("TERM", name) end,
        "#2 to 'signals' %(" .. name .. " can't be an event: the kernel lets no process catch it%)")
    end
    for _, name in ipairs { "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS", "ABRT" } do
      helper.raises(function() bpf.signals(name) end,
        name .. " can't be an event: it reports a fault of the process itself")
    end
    helper.raises(function() bpf.signals("SIGTERM") end, "signal 'SIGTERM' is unknown %(one of: .*TERM")
  end)

  it("can be closed twice, and is of no use then", function()
    local signals = assert(bpf.signals("USR1"))
    assert.is_true(signals:close())
    assert.is_true(signals:close())
    for _, name in ipairs { "poll", "fd", "getfd" } do
      helper.raises(function() signals[name](signals) end, "these signals have been given back: the handle is closed")
    end
    helper.raises(function() signals.poll(bpf) end, "bpf.signals expected, got table")
    local open <close> = assert(bpf.signals("USR1"))
    helper.raises(function() open:poll(-2) end, "#1 to 'poll' %(%-2 is not between %-1 and")
    helper.raises(function() open:poll(0.5) end, "an integer number of milliseconds expected")
  end)

  it("gives each handle its signals", function()
    local one <close> = assert(bpf.signals("USR1", "USR2"))
    local other <close> = assert(bpf.signals("USR1"))
    sys.kill(USR1)
    assert.same({ "USR1" }, { one:poll(0) })
    assert.is_false(bpf.sleep(LONG)) -- until the other has polled, too
    assert.same({ "USR1" }, { other:poll(0) })
    assert.is_true(bpf.sleep(0))
    sys.kill(USR2)
    assert.equal(0, select("#", other:poll())) -- as all waits end
    assert.same({ "USR2" }, { one:poll(0) })
  end)

  it("is opened 64 times at most, those that nobody has any more not counted", function()
    for _ = 1, 300 do
      assert(bpf.signals("USR1"))
    end
    local held = {}
    collectgarbage()
    collectgarbage()
    for i = 1, 64 do
      held[i] = assert(bpf.signals("USR1"))
    end
    assert.same({ nil, "bpf.signals: 64 handles are open, the most that a process can have (ENOSPC)", "ENOSPC" },
      { bpf.signals("USR1") })
    sys.kill(USR1)
    assert.is_false(bpf.sleep(LONG))
    for i = 1, 64 do
      assert.equal("USR1", held[i]:poll(0))
      held[i]:close()
    end
    assert.is_true(bpf.sleep(0))
  end)

  it("fails where no descriptor is left", function()
    local output = helper.run(("ulimit -n 64; %s -e %s"):format(helper.LUA, helper.quote([[
      local bpf, files = require "bpf", {}
      repeat local file = io.open "/dev/null" files[#files + 1] = file until not file
      print(bpf.signals "USR1")]])))
    assert.equal("nil\tbpf.signals: Too many open files (EMFILE)\tEMFILE\n", output)
  end)

  it("loses and doubles no signal when a finalizer polls within a poll, and outlives its close", function()
    for at = 1, 40 do
      local signals <close> = assert(bpf.signals("USR1", "USR2"))
      local got = {}
      local function poll()
        for _, name in ipairs { signals:poll(0) } do
          got[#got + 1] = name
        end
      end
      sys.kill(USR1)
      sys.kill(USR2)
      during(at, poll, poll)
      poll()
      table.sort(got)
      assert.same({ "USR1", "USR2" }, got)
      sys.kill(USR1)
      during(at, poll, function() signals:close() end)
    end
  end)
end)

describe("A signal", function()
  it("ends bpf.sleep, also if it came before", function()
    local signals <close> = assert(bpf.signals("USR1"))
    later("USR1")
    assert.is_false(bpf.sleep(math.huge))
    assert.is_false(bpf.sleep(LONG))
    assert.is_false(coroutine.wrap(bpf.sleep)(LONG))
    assert.equal("USR1", signals:poll(0))
    sys.kill(USR1)
    assert.is_false(bpf.sleep(LONG))
    assert.equal("USR1", signals:poll(0))
    assert.is_true(bpf.sleep(0.001))
  end)

  it("that nobody asked for ends bpf.sleep if it is handled", function()
    later("USR1")
    assert.is_false(bpf.sleep(LONG))
    assert.is_true(bpf.sleep(0.001))
  end)

  it("ends waits although another thread handles it", function()
    local signals <close> = assert(bpf.signals("USR1"))
    local thread <close> = sys.thread() -- luacheck: ignore
    local unblock <close> = setmetatable({}, { __close = function() sys.block(USR1, false) end }) -- luacheck: ignore
    sys.block(USR1, true)
    later("USR1")
    assert.is_false(bpf.sleep(LONG))
    assert.equal("USR1", signals:poll(0))
    later("USR1")
    assert.equal("USR1", signals:poll(LONG))
  end)

  it("doesn't fail what other libraries read meanwhile", function()
    local signals <close> = assert(bpf.signals("USR1"))
    later("USR1")
    local pipe <close> = assert(io.popen("sleep 0.3; echo all"))
    assert.equal("all\n", pipe:read("a"))
    assert.equal("USR1", signals:poll(0))
  end)

  it("ends the waits of no other Lua state", function()
    local signals <close> = assert(bpf.signals("USR1"))
    sys.kill(USR1)
    local code = ("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath) .. [[
      local bpf, sys = require "bpf", require "support.sys"
      assert(bpf.sleep(0.001))
      local signals <close> = assert(bpf.signals("USR1", "USR2"))
      assert(not signals:poll(0))
      sys.kill(10)
      assert(not bpf.sleep(600) and signals:poll(0) == "USR1" and bpf.sleep(0.001))
      return 1]]
    assert.equal(1, state.run(code, 10000000))
    assert.equal("USR1", signals:poll(0))
    assert.equal(0, select("#", signals:poll(0)))
  end)

  it("ends waits until it is polled, those of our own modules too", function()
    local signals <close> = assert(bpf.signals("USR1"))
    sys.kill(USR1)
    assert.same({}, posix.poll({}, LONG))
    assert.is_true(posix.signalled())
    assert.equal("USR1", signals:poll(0))
    assert.is_false(posix.signalled())
    assert.same({}, posix.poll({}, 1))
  end)

  it("ends metrics:serve, unless its function polls it", function()
    helper.require("socket")
    local signals <close> = assert(bpf.signals("USR1"))
    local set, polls = bpf.metrics.new(), 0
    assert.is_true(set:serve { port = 0, ready = function() later("USR1") end })
    assert.equal("USR1", signals:poll(0))
    assert.is_true(set:serve { port = 0, ready = function() later("USR1", 2) end, poll = function()
      polls = polls + (signals:poll(0) and 1 or 0)
      return polls < 2
    end })
    assert.equal(2, polls)
  end)

  for _, receiver in ipairs { "its parent", "a forked child" } do
    it("is never lost, however close to a wait it comes to " .. receiver, function()
      kernel.root()
      local signals <close> = assert(bpf.signals("USR1"))
      local rounds <const> = 3000 // helper.slow
      local shared = assert(map.create { type = "array", max_entries = 1, value = "u64", flags = "mmapable" })
      local view = assert(map.view(shared, "u64"))

      local function send(to) -- the next one, as soon as the last one has been polled
        for round = 0, rounds - 1 do
          repeat until view[0] == round
          sys.kill(USR1, to)
        end
      end

      local function receive()
        for round = 1, rounds do
          assert(not bpf.sleep(60 * helper.slow), "a signal was lost")
          assert(signals:poll(0) == "USR1")
          view[0] = round
        end
      end

      local child = sys.fork()
      if child == 0 then
        local ok = pcall(receiver == "its parent" and send or receive, helper.pid)
        os.exit(ok, false)
      end
      (receiver == "its parent" and receive or send)(child)
      assert.equal(0, sys.wait(child))
      map.close(shared)
    end)
  end
end)

describe("A reader", function()
  kernel.root()
  after_each(readers.close_all)

  for _, name in ipairs { "ringbuf", "perfbuf" } do
    local kind = readers[name]

    it("of a " .. kind.text .. " doesn't wait while there is a signal to poll: poll", function()
      local signals <close> = assert(bpf.signals("USR1"))
      local obj, reader = kind.open("notes", "struct note", function() end)
      later("USR1")
      assert.equal(0, reader:poll(LONG))
      assert.equal(0, reader:poll())
      assert.equal(0, coroutine.wrap(function() return reader:poll() end)())
      kind.send(obj, 1, 3)
      assert.equal(3, reader:poll()) -- what is there is passed
      assert.equal(0, reader:poll())
      assert.equal("USR1", signals:poll(0))
      kind.send(obj, 4, 1)
      assert.equal(1, reader:poll(LONG))
      assert.equal(0, reader:poll(1))
    end)

    it("of a " .. kind.text .. " ends a loop while there is a signal to poll: events", function()
      local signals <close> = assert(bpf.signals("USR1"))
      local obj, reader = kind.open("notes", "struct note")
      local seen = {}
      local function loop(stop)
        for e in reader:events() do
          seen[#seen + 1] = e.seq
          if e.seq == stop then
            sys.kill(USR1)
          end
        end
      end
      later("USR1")
      loop()
      assert.same({}, seen)
      loop()
      assert.equal("USR1", signals:poll(0))
      kind.send(obj, 1, 5)
      loop(2) -- also if more records are there
      assert.same({ 1, 2 }, seen)
      assert.equal("USR1", signals:poll(0))
      loop(5)
      assert.same({ 1, 2, 3, 4, 5 }, seen)
      assert.equal("USR1", signals:poll(0))
    end)

    it("of a " .. kind.text .. " survives that its handler closes the signals", function()
      local signals = assert(bpf.signals("USR1"))
      local obj, reader = kind.open("notes", "struct note", function() signals:close() end)
      kind.send(obj, 1, 1)
      sys.kill(USR1)
      assert.equal(1, reader:poll())
      assert.equal(0, reader:poll(1))
    end)
  end

  it("of the trace pipe ends its loop", function()
    local signals <close> = assert(bpf.signals("USR1"))
    local step, why, code, stream
    repeat -- another suite may read it
      step, why, code, stream = bpf.printk()
    until code ~= "EBUSY" or not bpf.sleep(0.1)
    assert(step, why)
    local pipe <close> = stream -- luacheck: ignore
    sys.kill(USR1)
    for _ = 1, 1000 do -- what others print meanwhile may be in the buffer
      if not step() then
        break
      end
    end
    assert.is_nil(step())
    assert.equal("USR1", signals:poll(0))
  end)

  it("of an iterator goes on to the end", function()
    local signals <close> = assert(bpf.signals("USR1"))
    local obj <close> = assert(bpf.load(helper.obj("iters"), { autoload = { say = false } }))
    local link = assert(obj.progs.many_lines:attach())
    local all = assert(link:read())
    sys.kill(USR1)
    assert.equal(#all, #link:read())
    local length = 0
    for line in link:lines() do
      length = length + #line + 1
    end
    assert.equal(#all, length)
    assert.equal("USR1", signals:poll(0))
  end)

  it("that is a program's lets nobody wait for room", function()
    kernel.need("user ring buffers", "6.1")
    local signals <close> = assert(bpf.signals("USR1"))
    local ring = assert(map.create { type = "user_ringbuf", max_entries = 4096 })
    local producer <close> = assert(bpf.user_ringbuf(ring))
    while producer:submit(("x"):rep(1000)) do end
    later("USR1")
    local failure = { nil, ("user ring buffer '%s': submit: interrupted by a signal (EINTR)"):format(
      map.info(ring).name), "EINTR" }
    assert.equal(failure[3], select(3, producer:submit(("x"):rep(1000), -1)))
    assert.equal("EINTR", select(3, producer:submit(("x"):rep(1000), LONG)))
    assert.equal("ENOSPC", select(3, producer:submit(("x"):rep(1000))))
    assert.equal("USR1", signals:poll(0))
    map.close(ring)
  end)
end)

describe("What handled a signal before", function()
  -- How often our plain handler of USR1 was called by one signal.
  local function plain()
    local before = sys.handled()
    sys.kill(USR1)
    return sys.handled() - before
  end

  -- The signals that the process ignores and those that it handles, as the kernel has them.
  local function dispositions()
    return helper.read("/proc/self/status"):match("SigIgn:%s+%x+\nSigCgt:%s+%x+")
  end

  it("is back, and nothing else, for the kernel too", function()
    local before = dispositions()
    for _ = 1, 2 do
      local one, other = assert(bpf.signals("TERM", "USR1", "WINCH", "PIPE")), assert(bpf.signals("TERM", "HUP"))
      assert.not_equal(before, dispositions())
      one:close()
      assert.not_equal(before, dispositions())
      other:close()
      assert.equal(before, dispositions())
    end
  end)

  it("is back after the last close, in any order of closing", function()
    for order = 1, 2 do
      local list = { assert(bpf.signals("USR1")), assert(bpf.signals("USR1", "USR2")) }
      assert.equal(0, plain())
      list[order]:close()
      assert.equal(0, plain())
      list[3 - order]:close()
      assert.equal(1, plain())
    end
  end)

  it("is back when the handle is collected", function()
    assert(bpf.signals("USR1"))
    collectgarbage()
    collectgarbage()
    assert.equal(1, plain())
  end)

  it("is back when the state ends", function()
    local code = ("package.path, package.cpath = %q, %q\n"):format(package.path, package.cpath) .. [[
      kept = assert(require "bpf".signals("USR1"))
      return 1]]
    assert.equal(1, state.run(code, 10000000))
    assert.equal(1, plain())
  end)

  it("stays what it is if somebody has replaced our handler, and gets the signal if he puts ours back", function()
    local signals = assert(bpf.signals("USR1"))
    sys.replace(USR1)
    assert.equal(1, plain())
    signals:close()
    assert.equal(1, plain())
    sys.restore(USR1) -- ours
    assert.equal(1, plain())
    assert.equal(1, plain())
  end)

  it("gets the signal from a handler that calls ours, after the last close", function()
    local signals = assert(bpf.signals("USR1"))
    sys.chain(USR1)
    assert.equal(1, plain())
    assert.equal("USR1", signals:poll(0))
    signals:close()
    for _ = 1, 2 do
      assert.equal(2, plain())
    end
    sys.handle(USR1)
  end)

  it("stays away while a handler calls ours, even if the state that loaded the module has ended", function()
    local code = ([[
      local state, sys = require "support.state", require "support.sys"
      state.run(%q, 10000000)
      sys.kill(%d)
      sys.kill(%d)
      print(sys.handled())]]):format(([[
        package.path, package.cpath = %q, %q
        kept = assert(require "bpf".signals("TERM"))
        require "support.sys".chain(%d)
        return 1]]):format(package.path, package.cpath, TERM), TERM, TERM)
    local output, status = run(code, nil, "")
    assert.equal("2\n", output)
    assert.equal(0, status)
  end)

  it("is replaced again by the next handle, and given back", function()
    local one = assert(bpf.signals("USR1"))
    sys.handle(USR1)
    local other = assert(bpf.signals("USR1"))
    assert.equal(0, plain())
    assert.equal("USR1", one:poll(0))
    assert.equal("USR1", other:poll(0))
    one:close()
    other:close()
    assert.equal(1, plain())
  end)

  it("is Lua's: Ctrl-C raises its error again", function()
    local output = run(([[
      local signals = assert(bpf.signals("INT"))
      sys.kill(%d)
      print(signals:poll(0))
      signals:close()
      print(pcall(function()
        sys.kill(%d)
        for i = 1, 1000 do end
      end))]]):format(INT, INT))
    assert.matches("^INT\nfalse\t.*interrupted!\n$", output)
  end)

  it("is the kernel's: TERM ends the process", function()
    local output, status = run(([[
      do
        local signals <close> = assert(bpf.signals("TERM"))
        sys.kill(%d)
        print(signals:poll(0))
      end
      sys.kill(%d)
      print "still there"]]):format(TERM, TERM))
    assert.matches("^TERM\n", output)
    assert.is_nil(output:find("still there"))
    assert.equal(128 + TERM, status)
  end)

  it("is nothing under nohup: HUP is ignored again", function()
    local output, status = run(([[
      do
        local signals <close> = assert(bpf.signals("HUP"))
        sys.kill(%d)
        print(signals:poll(0))
      end
      sys.kill(%d)
      print "still there"]]):format(HUP, HUP), "env --ignore-signal=HUP")
    assert.equal("HUP\nstill there\n", output)
    assert.equal(0, status)
  end)

  it("is what started processes have", function()
    for _, name in ipairs { "TERM", "INT", "HUP" } do
      local output = run(([[
        local signals <close> = assert(bpf.signals("TERM", "INT", "HUP"))
        print(select(3, os.execute "kill -%s $$; echo survived"))
        print(select(3, io.popen("kill -%s $$; echo survived"):close()))
        print(signals:poll(0))]]):format(name, name))
      local number = ({ TERM = TERM, INT = INT, HUP = HUP })[name]
      assert.equal(("%d\n%d\n\n"):format(number, number), output)
    end
  end)
end)

describe("A forked child", function()
  -- Runs code in a child; its status.
  local function child(fn)
    local pid = sys.fork()
    if pid == 0 then
      local ok, message = pcall(fn)
      if not ok then
        io.stderr:write(tostring(message), "\n")
      end
      os.exit(ok)
    end
    return sys.wait(pid)
  end

  it("gets its own signals, and its parent doesn't", function()
    local signals <close> = assert(bpf.signals("USR1", "USR2"))
    assert.equal(0, child(function()
      sys.kill(USR1)
      assert(not bpf.sleep(600))
      assert(signals:poll(0) == "USR1")
      assert(bpf.sleep(0.001))
      sys.kill(USR2)
      assert(signals:poll() == "USR2" and not signals:poll(0))
    end))
    assert.is_true(bpf.sleep(0.001))
    assert.equal(0, select("#", signals:poll(1)))
  end)

  it("has none of its parent's, and takes none from it", function()
    local signals <close> = assert(bpf.signals("USR1"))
    sys.kill(USR1)
    assert.equal(0, child(function()
      assert(not signals:poll(0))
      assert(bpf.sleep(0.001))
    end))
    local socket = require("socket")
    assert.same(signals, socket.select({ signals }, nil, 0)[1])
    assert.equal("USR1", signals:poll(0))
  end)

  it("leaves its parent's descriptor as it is when it closes the handle", function()
    local signals <close> = assert(bpf.signals("USR1"))
    local fd = signals:fd()
    assert.equal(0, child(function()
      sys.kill(USR1)
      assert(signals:fd() == fd)
      signals:close()
      local handled = sys.handled()
      sys.kill(USR1)
      assert(sys.handled() == handled + 1)
    end))
    assert.is_true(bpf.sleep(0.001))
    later("USR1")
    assert.equal("USR1", signals:poll(LONG))
  end)
end)

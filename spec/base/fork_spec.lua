-- SPDX-License-Identifier: MIT
-- Processes that fork: a child's end takes nothing off that its parent attached, and what the kernel doesn't pass on to
-- a child is an error there. Each test is a script in a process of its own.
local helper = require("spec.helper")
local attach = require("spec.support.attach")
local congestion = require("spec.support.congestion")
local kernel = require("spec.support.kernel")
local perfbuf = require("spec.support.reader").perfbuf

kernel.root()

-- What the scripts share. `sent` says whether a packet gets to the program, and not to the socket.
local COMMON <const> = ("PROBED = %q\n"):format((attach.probed())) .. [[
  package.cpath = package.cpath .. ";build/?.so"
  bpf, sys, socket = require "bpf", require "support.sys", require "socket"
  map = bpf.map
  assert(os.execute "ip link set lo up")

  function load(...)
    obj = assert(bpf.open "build/progs/forked.bpf.o")
    for name, prog in pairs(obj.progs) do prog:autoload(name == ...) end
    assert(obj:load())
    return obj.progs[...]
  end

  function receiver(port)
    local s = assert(socket.udp4())
    assert(s:setoption("reuseport", true))
    assert(s:setsockname("127.0.0.1", port or 0))
    s:settimeout(0.01)
    return s
  end

  function sees(send, receive)
    local before = obj.vars.seen
    send()
    while true do
      local got = receive()
      if obj.vars.seen > before then return true elseif got then return false end
    end
  end

  -- Returns what sends a packet to the socket, or to the other one on its port.
  function packets(s, other)
    local _, port = s:getsockname()
    local from = assert(socket.udp4())
    return function()
      return sees(function() assert(from:sendto("packet", "127.0.0.1", port)) end, function()
        return s:receive() or other and other:receive()
      end)
    end
  end

  function collect()
    collectgarbage()
    collectgarbage()
  end

  -- Calls the function in a child, by default one that fork(2) makes. Returns how that ended.
  function child(fn, make)
    local pid = (make or sys.fork)()
    if pid ~= 0 then return sys.wait(pid) end
    fn()
    os.exit(true, true)
  end
]]

local environment = ""

-- Runs the script in a network namespace of its own. Returns what it prints.
local function run(...)
  local script = COMMON .. table.concat({ ... }, "\n")
  local output, ok = helper.run(("%s timeout %d unshare -n %s -e %s"):format(environment, 60 * helper.slow,
    helper.LUA, helper.quote(script)))
  assert(ok, output)
  return output
end

-- What isn't, or needn't be, a link of the kernel's, and how to find out whether it is attached: `works`.
local ATTACHED <const> = {
  { "a tc filter", [[
    link = assert(load("by_tc"):attach_tc("lo"))
    works = packets(receiver())
  ]] },
  { "an xdp program attached by netlink", [[
    link = assert(load("by_xdp"):attach_xdp("lo", { netlink = true, mode = "skb" }))
    works = packets(receiver())
  ]] },
  { "an xdp program that is a link", calls = { "link:detach()" }, need = { "links of xdp programs", "5.9" }, [[
    link = assert(load("by_xdp"):attach_xdp("lo", { mode = "skb" }))
    works = packets(receiver())
  ]] },
  { "a socket filter", [[
    local s = receiver()
    link = assert(load("by_socket"):attach_socket(s))
    works = packets(s)
  ]] },
  { "a program that chooses among sockets", [[
    local s = receiver()
    local _, port = s:getsockname()
    local other = receiver(port)
    link = assert(load("by_socket"):attach_reuseport(s))
    works = packets(s, other)
  ]] },
  { "a program of a sockmap", newer = function() return kernel.at_least("6.10") and not kernel.libbpf_before("1.5") end,
    config = { "CONFIG_NET_SOCK_MSG", "CONFIG_BPF_STREAM_PARSER" }, need = { "verdicts without a parser", "5.10" }, [[
    link = assert(load("by_map"):attach_sockmap(obj.maps.socks))
    function works() -- it concerns the sockets that come into the map from now on
      local server = assert(socket.bind("127.0.0.1", 0))
      local host, port = server:getsockname()
      local far = assert(socket.connect(host, port))
      local near = assert(server:accept())
      near:settimeout(0.01)
      assert(map.update(obj.maps.socks, 0, near))
      local saw = sees(function() assert(far:send "line\n") end, function() return near:receive() end)
      assert(map.delete(obj.maps.socks, 0))
      return saw
    end
  ]] },
  { "a perf event", need = { "programs of perf events", "4.9" }, [[
    obj = assert(bpf.load("build/progs/attach_perf_event.bpf.o", { autoload = { with_cookie = false } }))
    link = assert(obj.progs.on_event:attach_perf_event { config = "page_faults", sample_period = 1, pid = 0 })
    function works()
      local before = obj.vars.hits
      local text = ("x"):rep(1 << 22)
      return obj.vars.hits > before
    end
  ]] },
  { "a uprobe", calls = {}, config = { "CONFIG_UPROBE_EVENTS" }, [[
    obj = assert(bpf.open "build/progs/attach_probe.bpf.o")
    for name, prog in pairs(obj.progs) do prog:autoload(name == "on_function") end
    assert(obj:load())
    link = assert(obj.progs.on_function:attach_uprobe(PROBED, "probed_add"))
    function works()
      local before = obj.vars.hits
      assert(os.execute("echo 7 0 | " .. PROBED .. " >/dev/null"))
      return obj.vars.hits > before
    end
  ]] },
  -- libbpf could free all of its links only by deleting what the kernel needs to tell them apart.
  { "marks of a program", calls = {}, leaks = true, config = { "CONFIG_UPROBE_EVENTS" },
    need = { "cookies", "5.15" }, [[
    obj = assert(bpf.open "build/progs/attach_usdt.bpf.o")
    for name, prog in pairs(obj.progs) do prog:autoload(name == "on_step") end
    assert(obj:load())
    link = assert(obj.progs.on_step:attach_usdt(PROBED, "lbpf", "step"))
    function works()
      local before = obj.vars.hits
      assert(os.execute("echo 3 0 | " .. PROBED .. " >/dev/null"))
      return obj.vars.hits > before
    end
  ]] },
  { "a struct_ops map", config = { "CONFIG_DEBUG_INFO_BTF", "CONFIG_BPF_JIT" }, need = { "struct_ops", "5.6" }, ([[
    local file <close> = assert(io.open("build/progs/congestion.bpf.o", "rb"))
    local bytes = file:read("a"):gsub("lbpf_cc" .. ("\0"):rep(9), %q)
    obj = assert(bpf.load({ bytes = bytes }, { name = "congestion" }))
    link = assert(map.attach(obj.maps.lbpf))
    function works()
      local file <close> = assert(io.open "/proc/sys/net/ipv4/tcp_available_congestion_control")
      return file:read("a"):find(%q, 1, true) ~= nil
    end
  ]]):format(congestion.name .. ("\0"):rep(16 - #congestion.name), congestion.name) },
  { "a perf buffer", calls = { "link:close()" }, need = { "running raw tracepoint programs", "5.10" }, [[
    obj = assert(bpf.load "build/progs/perfs.bpf.o")
    link = assert(bpf.perfbuf(obj.maps.notes, nil, function() end))
    function works()
      local before = obj.vars.sent
      assert(obj.progs.send_notes:run { ctx = string.pack("=I8I8", 1, 1) })
      return obj.vars.sent > before
    end
  ]] },
  { "a perf buffer in a map that keeps its events", calls = { "link:close()" },
    need = { "BPF_F_PRESERVE_ELEMS", "5.10" }, [[
    local notes <close> = assert(map.create { type = "perf_event_array", name = "notes", flags = "preserve_elems",
      max_entries = bpf.features.cpus() })
    obj = assert(bpf.load("build/progs/perfs.bpf.o", { maps = { notes = notes } }))
    link = assert(bpf.perfbuf(obj.maps.notes, nil, function() end))
    function works()
      local before = obj.vars.sent
      assert(obj.progs.send_notes:run { ctx = string.pack("=I8I8", 1, 1) })
      return obj.vars.sent > before
    end
  ]] },
}

-- The ways in which a child ends, or lets go of what it has, without a word about what is attached.
local ENDS <const> = {
  { "returns", "return" },
  { "exits", "os.exit(true, true)" },
  { "fails", "io.stderr:close() error 'on purpose'", status = 1 },
  { "collects it", "link, obj, works = nil collect() os.exit(true)" },
  { "leaves its scope", "do local _ <close> = obj local _ <close> = link end os.exit(true)" },
  { "has a child that returns", "local pid = sys.fork() if pid == 0 then return end os.exit(sys.wait(pid))" },
}

describe("after a fork", function()
  for _, attached in ipairs(ATTACHED) do
    describe(attached[1], function()
      setup(function()
        if attached.need then
          kernel.need(table.unpack(attached.need))
        end
        for _, option in ipairs(attached.config or {}) do
          if kernel.config(option) == "n" then
            helper.skip("needs a kernel with " .. option)
          end
        end
        environment = attached.leaks and 'ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"' or ""
      end)

      teardown(function() environment = "" end)

      for _, way in ipairs(ENDS) do
        it("stays attached when the child " .. way[1], function()
          local output = run(attached[2], [[
            assert(works(), "it isn't attached to begin with")
            local pid = sys.fork()
            if pid == 0 then ]] .. way[2] .. [[ end
            io.write("attached ", sys.wait(pid), " ", tostring(works()))
          ]])
          assert.equal(("attached %d true"):format(way.status or 0), output:match("attached.*"))
        end)
      end

      -- A link of the kernel's is closed when the last process closes it; `detach` doesn't ask who else has it.
      local calls = { "link:detach()", "link:close()", "obj:detach()", "obj:close()" }
      for i, call in ipairs(attached.calls or calls) do
        if not (attached.newer and i > 1 and attached.newer()) then
          it("is taken off by a child's " .. call, function()
            assert.equal("0 false", run(attached[2], [[
              assert(works(), "it isn't attached to begin with")
              local pid = sys.fork()
              if pid == 0 then assert(]] .. call .. [[) os.exit(true) end
              io.write(sys.wait(pid), " ", tostring(works()))
            ]]))
          end)
        end
      end
    end)
  end

  it("stays attached when the child was made by a system call that the C library knows nothing of", function()
    assert.equal("0 true", run(ATTACHED[1][2], [[
      io.write(child(function() end, sys.clone), " ", tostring(works()))
    ]]))
  end)

  it("is taken off by the end of the process that attached it, though that is a child itself", function()
    assert.equal("0 false", run(ATTACHED[1][2], [[
      link:close()
      io.write(child(function()
        link = assert(obj.progs.by_tc:attach_tc("lo"))
        assert(works())
        assert(child(function() end) == 0 and works())
      end), " ", tostring(works()))
    ]]))
  end)

  it("has its descriptors closed in the child, all the same", function()
    kernel.need("running raw tracepoint programs", "5.10")
    assert.equal("0 true", run([[
      local lfs = require "lfs"
      local function descriptors()
        local n = 0
        collect()
        for _ in lfs.dir "/proc/self/fd" do n = n + 1 end
        return n
      end
      local s = receiver()
      local before = descriptors()
      local perfs = assert(bpf.load "build/progs/perfs.bpf.o")
      local reader = assert(bpf.perfbuf(perfs.maps.notes, nil, print))
      reader:fd()
      assert(load("by_socket"):attach_socket(s))
      local filter = obj
      local counter = assert(bpf.load("build/progs/attach_perf_event.bpf.o", { autoload = { with_cookie = false } }))
      assert(counter.progs.on_event:attach_perf_event { config = "page_faults", sample_period = 1, pid = 0 })
      assert(load("by_xdp"):attach_xdp("lo", { netlink = true, mode = "skb" }))
      io.write(child(function()
        perfs, reader, counter, filter, obj = nil
        assert(descriptors() == before)
      end), " ", tostring(packets(receiver())()))
    ]]))
  end)

  it("stays attached when a child of a process that is about to exec another program does so", function()
    assert.equal("true", run(ATTACHED[1][2], [[
      assert(os.execute "true")
      assert(io.popen("true"):close())
      io.write(tostring(works()))
    ]]))
  end)
end)

describe("a child of a process that drains a map", function()
  local DRAIN <const> = [[
    local m = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 100 })
    for i = 1, 50 do m[i] = i end
    local n, pid, walk = 0
    for k, v in map.drain(m) do
      n = n + 1
      if n == 10 then
        pid = sys.fork()
        if pid == 0 then CHILD end
        assert(sys.wait(pid) == 0)
      end
      if n == LAST then break end
    end
    io.write("\n", n, " ", #m)
  ]]

  for _, way in ipairs({
    { "returns", "return" },
    { "leaves the loop", "break" },
    { "exits", "os.exit(true, true)" },
  }) do
    it("puts nothing back when it " .. way[1], function()
      local script = DRAIN:gsub("CHILD", way[2] == "break" and "io.output(io.stderr) break" or way[2])
      assert.equal("50 0", (run((script:gsub("LAST", "0"))):match("%d+ %d+$")))
      assert.equal("10 40", (run((script:gsub("LAST", "10"))):match("%d+ %d+$")))
    end)
  end

  it("gets what is in the map still, and puts that back", function()
    assert.equal("0 50 2", run([[
      local m = assert(map.create { type = "hash", key = "__u32", value = "__u32", max_entries = 100 })
      for i = 1, 50 do m[i] = i end
      local n, pid = 0
      for k, v in map.drain(m) do
        n = n + 1
        if not pid then
          map.update(m, 1000, 1) -- in a bucket that the walk may have passed
          pid = sys.fork()
        elseif pid == 0 then
          assert(k == 1000)
        end
      end
      if pid == 0 then
        m[1001] = 1
        os.exit(n <= 2, true)
      end
      local status = sys.wait(pid)
      m[1000], m[1001] = 1, 1
      io.write(status, " ", n > 50 and 50 or n, " ", #m)
    ]]))
  end)
end)

describe("memory that a child doesn't get", function()
  local READER <const> = [[
    obj = assert(bpf.load "build/progs/perfs.bpf.o")
    function send(n)
      local before = obj.vars.sent
      assert(obj.progs.send_notes:run { ctx = string.pack("=I8I8", 1, n) })
      assert(obj.vars.sent == before + n)
    end
    got = 0
    reader = assert(bpf.perfbuf(obj.maps.notes, nil, function() got = got + 1 end, { pages = 1 }))
    function refused(fn, ...)
      local ok, message = pcall(fn, ...)
      assert(not ok and message:find "perf buffer reader belongs to another process: a fork doesn't pass its memory on",
        message)
    end
  ]]

  it("is a perf buffer's: using the reader raises", function()
    kernel.need("running raw tracepoint programs", "5.10")
    assert.equal("0 1", run(READER, [[
      send(1)
      io.write(child(function()
        refused(reader.poll, reader, 0)
        refused(reader.consume, reader)
        refused(reader.events, reader, 0)
        refused(reader.fd, reader)
        refused(reader.lost, reader)
        refused(reader.add, reader, obj.maps.others)
        assert(tostring(reader):find "bpf.perfbuf")
        assert(reader:close())
        assert(got == 0)
      end), " ", reader:consume())
    ]]))
  end)

  it("is a perf buffer's: an iterator and a loop in which a handler forks raise as well", function()
    kernel.need("running raw tracepoint programs", "5.10")
    assert.equal("0 3 0", run(READER, [[
      local forking, status
      local function fork()
        local pid = sys.fork()
        if pid ~= 0 then status = sys.wait(pid) end
        return pid == 0
      end
      local in_child
      local forks = assert(bpf.perfbuf(obj.maps.notes, nil, function() in_child = in_child or fork() end,
        { pages = 1 }))
      send(3)
      local ok, n = pcall(forks.consume, forks)
      if in_child then os.exit(not ok and n:find "belongs to another process" and true, true) end
      io.write(status, " ", n, " ")
      send(3)
      ok, n = pcall(function()
        for record in forks:events(0) do in_child = in_child or fork() end
      end)
      if in_child then os.exit(not ok and n:find "belongs to another process" and true, true) end
      io.write(status)
    ]]))
  end)

  it("is a perf buffer's: a loop in which a signal's hook forks raises as well", function()
    kernel.need("running raw tracepoint programs", "5.10")
    assert.equal("0\n", (perfbuf.signalled([[
      local reader <close> = assert(new(obj.maps.notes))
      sys.handle(10)
      local pid
      debug.sethook(function()
        if sys.handled() == 1 and not pid then
          pid = sys.fork()
          if pid ~= 0 then error { status = sys.wait(pid) } end
        end
      end, "c")
      ready()
      local ok, failure = pcall(function()
        for _ in reader:events(60000) do end
      end)
      if pid == 0 then os.exit(not ok and failure:find "belongs to another process" and true, true) end
      print(failure.status)
    ]], "USR1")))
  end)

  it("is a perf buffer's: what the child has at that address stays", function()
    kernel.need("running raw tracepoint programs", "5.10")
    assert.equal("0 1", run(READER, [[
      reader:fd()
      send(1)
      io.write(child(function()
        local fd, mine = nil, assert(bpf.perfbuf(obj.maps.others, nil, function() got = got + 1 end, { pages = 1 }))
        mine:fd()
        reader = nil
        collect()
        assert(obj.progs.send_others:run { ctx = string.pack("=I8I8", 1, 1) })
        assert(mine:poll(-1) == 1 and got == 1)
        assert(obj.progs.send_others:run { ctx = string.pack("=I8I8", 1, 1) })
        assert(socket.select({ { getfd = function() return mine:fd() end } }, nil)[1])
        assert(mine:consume() == 1 and got == 2)
      end), " ", reader:consume())
    ]]))
  end)

  local ARENA <const> = [[
    local ADDRESS <const> = 0x20000000
    local arena = assert(map.create { type = "arena", name = "memory", max_entries = 4, map_extra = ADDRESS })
    local view = assert(map.view(arena, "__u64"))
    view[1] = 5
  ]]

  it("is an arena's: using its view raises, until it is viewed anew", function()
    kernel.need("arenas", "6.9")
    assert.equal("0 6", run(ARENA, [[
      io.write(child(function()
        for _, use in ipairs {
          function() return view[1] end, function() view[1] = 6 end, function() return #view end,
        } do
          local ok, message = pcall(use)
          assert(not ok and message:find("map 'memory': view: a fork doesn't pass an arena on; bpf.map.view maps it in "
            .. "this process (EFAULT)", 1, true), message)
        end
        assert(tostring(view):find "bpf.view")
        assert(map.view(arena, "__u64")[1] == 5)
        view[1] = 6
      end), " ", view[1])
    ]]))
  end)

  it("is an arena's, with the flag segv_on_fault as well", function()
    kernel.need("arenas", "6.9")
    assert.equal("0", run((ARENA:gsub("map_extra", 'flags = "segv_on_fault", map_extra'):gsub("view%[1%] = 5", "")), [[
      io.write(child(function()
        local ok, message = pcall(function() return view[1] end)
        assert(not ok and message:find "a fork doesn't pass an arena on", message)
      end))
    ]]))
  end)

  it("is an arena's: what the child has at that address stays", function()
    kernel.need("arenas", "6.9")
    assert.equal("0 5", run(ARENA, [[
      io.write(child(function()
        local mine = assert(map.create { type = "arena", max_entries = 4, map_extra = ADDRESS })
        local words = assert(map.view(mine, "__u64"))
        words[1] = 7
        map.close(arena)
        arena, view = nil
        collect()
        assert(words[1] == 7)
      end), " ", view[1])
    ]]))
  end)

  -- The child has another arena where its parent's libbpf has the object's. In the end `last` looks at it: after the
  -- object, and before that arena, whose handle is the oldest. (A type, as C text is, would be a handle of its own,
  -- which a state that ends doesn't finalize any more.)
  local OBJECT <const> = [[
    local in_child
    local mine = assert(map.create { type = "arena", max_entries = 16, map_extra = 0x20000000 })
    local last <const> = setmetatable({}, { __gc = function()
      if in_child then io.write(map.view(mine, 8)[1]:byte(), " ") end
    end })
    obj = assert(bpf.load "build/progs/arena.bpf.o")
    local view = assert(map.view(obj.maps.memory, "__u64"))
    view[1] = 5
  ]]

  for _, way in ipairs {
    { "close", "obj:close()" },
    { "collect", "obj, view = nil collect()" },
    { "leave to the end" },
    { "close after its map", "map.close(obj.maps.memory) obj:close()" },
    { "close after a view of its own",
      before = [[assert(map.view(obj.maps.memory, "__u64")[1] == 5) map.close(obj.maps.memory)]], "obj:close()" },
    { "collect after a view of its own",
      before = [[assert(map.view(obj.maps.memory, "__u64")[1] == 5) map.close(obj.maps.memory)]],
      "obj, view = nil collect()" },
  } do
    it("is no arena's of an object, which the child may " .. way[1], function()
      kernel.need("arenas", "6.9")
      assert.equal("7 0 5", run(OBJECT, (([[
        io.write(child(function()
          in_child = true
          BEFORE
          local words = assert(map.view(mine, "__u64"))
          words[1] = 7
          AFTER
          assert(words[1] == 7)
        end), " ", view[1])
      ]]):gsub("%u%u+", { BEFORE = way.before or "", AFTER = way[2] or "" }))))
    end)
  end

  it("is an arena's of an object, which the child views anew and can't freeze", function()
    kernel.need("arenas", "6.9")
    assert.equal("0 5", run(OBJECT, [[
      io.write(child(function()
        local words = assert(map.view(obj.maps.memory, "__u64"))
        assert(not map.freeze(obj.maps.memory))
        assert(words[1] == 5)
        obj:close()
      end), " ", view[1])
    ]]))
  end)
end)

describe("memory that a child shares with its parent:", function()
  it("arrays and variables", function()
    kernel.need("memory of arrays", "5.5")
    assert.equal("0 8 9", run([[
      local m = assert(map.create { type = "array", value = "__u64", max_entries = 8, flags = "mmapable" })
      local view = map.view(m, "__u64")
      obj = assert(bpf.load "build/progs/forked.bpf.o")
      view[1] = 7
      io.write(child(function()
        assert(view[1] == 7 and m[1] == 7)
        view[1] = 8
        obj.vars.seen = 9
      end), " ", m[1], " ", obj.vars.seen)
    ]]))
  end)

  it("ring buffers", function()
    kernel.need("user ring buffers", "6.1")
    assert.equal("0 true", run([[
      local reader = assert(bpf.ringbuf(assert(map.create { type = "ringbuf", max_entries = 4096 }), nil, print))
      local producer = assert(bpf.user_ringbuf(assert(map.create { type = "user_ringbuf", max_entries = 4096 })))
      io.write(child(function()
        assert(reader:consume() == 0)
        assert(producer:submit "a sample")
      end), " ", tostring(producer:submit "another"))
    ]]))
  end)

  it("a reader of ring buffers, to which only its own process adds another", function()
    kernel.need("ring buffers", "5.8")
    assert.equal("0 true", run([[
      local function ring() return assert(map.create { type = "ringbuf", max_entries = 4096 }) end
      local second = ring()
      local reader = assert(bpf.ringbuf(ring(), nil, print))
      io.write(child(function()
        local ok, message = pcall(reader.add, reader, second, nil, print)
        assert(not ok and message:find("add: this ring buffer reader belongs to another process: open a reader of its "
          .. "own in the child", 1, true), message)
        assert(reader:consume() == 0)
        assert(bpf.ringbuf(second, nil, print):consume() == 0)
      end), " ", tostring(reader:add(second, nil, print) == reader))
    ]]))
  end)
end)

describe("files that go with a scope stay when a child leaves it:", function()
  it("the socket of a server of metrics", function()
    local path = helper.tmpdir() .. "/socket"
    assert.equal("0 true\nfalse", run(("local path = %q"):format(path), [[
      local lfs = require "lfs"
      local metrics = bpf.metrics.new()
      assert(metrics:serve { socket = path, seconds = 0.01, ready = function()
        io.write(child(function() end), " ", tostring(lfs.attributes(path) ~= nil), "\n")
      end })
      io.write(tostring(lfs.attributes(path) ~= nil))
    ]]))
  end)

  it("a file of metrics that is being written", function()
    local dir = helper.tmpdir()
    assert.equal("0 1", run(("local dir = %q"):format(dir), [[
      local m = assert(map.create { type = "hash", name = "hits", key = "__u32", value = "__u64", max_entries = 2 })
      m[1] = 2
      local metrics, status = bpf.metrics.new(), nil
      metrics:counter { name = "hits", help = "Hits.", map = m, labels = { { "what", decode = function(key)
        status = status or child(function() end)
        return tostring(key)
      end } } }
      assert(metrics:write_file(dir .. "/metrics.prom"))
      io.write(status, " ", select(2, io.open(dir .. "/metrics.prom"):read("a"):gsub("hits_total{what=\"1\"} 2", "")))
    ]]))
  end)

  it("the directory in which a program is compiled", function()
    assert.equal("0 string", run([[
      local open, status = io.open, nil
      io.open = function(path, ...)
        if path:find "/source%.c$" then status = child(function() end) end
        return open(path, ...)
      end
      local object = assert(bpf.compile "int one(void) { return 1; }")
      io.write(status, " ", type(object))
    ]]))
  end)
end)

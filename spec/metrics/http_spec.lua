-- SPDX-License-Identifier: MIT
-- Metrics over HTTP, by real sockets: what clients of every manner get, and that none keeps the others waiting.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local net = require "spec.support.net"
local socket = helper.require "socket"
local unix = helper.require "socket.unix"
local lfs = require "lfs"

local metrics = bpf.metrics

local ABSENT = helper.absent()
local OPENMETRICS <const> = "application/openmetrics-text; version=1.0.0; charset=utf-8"
local TEXT <const> = "text/plain; version=0.0.4; charset=utf-8"

local function small()
  return metrics.new():counter { name = "calls", map = { 5 }, labels = { "n" } }
end

-- A client that sends and collects what comes. `done` once the server has closed, or this has.
local Client = {}
Client.__index = Client

local function client(connect, request, options)
  local self = setmetatable({ request = request, answer = "", options = options or {} }, Client)
  self.socket = assert(connect())
  self.socket:settimeout(0)
  self.began = socket.gettime()
  return self
end

function Client:step()
  if self.done then
    return
  elseif self.request ~= "" then
    local last, problem, sent = self.socket:send(self.request, 1, self.options.piece and math.min(self.options.piece,
      #self.request))
    self.request = self.request:sub((last or sent) + 1)
    if problem == "closed" then
      self.request = ""
    end
  end
  if self.options.deaf then
    return
  end
  local all, problem, part
  repeat
    all, problem, part = self.socket:receive(1 << 16)
    self.answer = self.answer .. (all or part)
  until not all
  if problem == "closed" then
    self:close()
  end
end

function Client:close()
  self.socket:close()
  self.done = true
  self.took = socket.gettime() - self.began
end

-- Serves until all the clients have been answered, and gives what each one got. Clients are requests, or { request,
-- options }: `piece` bytes at a time, `deaf` to the answer.
local function exchange(set, requests, options)
  options = options or {}
  local clients = {}
  options.port = options.port or not options.socket and 0 or nil
  options.ready = function(address, port)
    for i, request in ipairs(requests) do
      local text = type(request) == "table" and request[1] or request
      clients[i] = client(function()
        if not port then
          local s = unix.stream()
          return s:connect(address) and s
        end
        return socket.connect(address, port)
      end, text, type(request) == "table" and request or nil)
    end
  end
  local poll = options.poll
  options.poll = function()
    local waiting = 0
    for _, c in ipairs(clients) do
      c:step()
      waiting = waiting + (c.done and 0 or c.options.deaf and 0 or 1)
    end
    return (poll == nil or poll()) and waiting > 0
  end
  options.seconds = options.seconds or 20 * helper.slow
  assert(set:serve(options))
  for i, c in ipairs(clients) do
    if not c.done then
      c:close()
    end
    clients[i] = c.answer
  end
  return clients, options
end

-- The status, the fields and the body of an answer.
local function read(answer)
  local head, rest = answer:match("^(.-)\r\n\r\n(.*)$")
  assert(head, answer)
  local fields = {}
  for name, value in head:gmatch("\r\n([^:]+): ([^\r]*)") do
    fields[name:lower()] = value
  end
  return tonumber(head:match("^HTTP/1%.1 (%d+) %u")), fields, rest
end

-- What chunks hold, which have to end as they should.
local function unchunk(body)
  local parts, at = {}, 1
  while true do
    local size, from = body:match("^(%x+)\r\n()", at)
    assert(size, "no chunk: " .. body:sub(at, at + 20))
    size = tonumber(size, 16)
    assert.equal("\r\n", body:sub(from + size, from + size + 1))
    if size == 0 then
      assert.equal(#body, from + 1)
      return table.concat(parts)
    end
    parts[#parts + 1] = body:sub(from, from + size - 1)
    at = from + size + 2
  end
end

local function get(path, ...)
  return ("GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"):format(path, table.concat({ ... }, "\r\n") ..
    (select("#", ...) > 0 and "\r\n" or ""))
end

describe("serve", function()
  it("answers with chunks, and ends", function()
    local answers = exchange(small(), { get "/metrics" })
    local status, fields, rest = read(answers[1])
    assert.equal(200, status)
    assert.equal(TEXT, fields["content-type"])
    assert.equal("chunked", fields["transfer-encoding"])
    assert.equal("close", fields.connection)
    assert.matches("^%a%a%a, %d%d %a%a%a %d%d%d%d %d%d:%d%d:%d%d GMT$", fields.date)
    assert.matches('^# TYPE calls_total counter\ncalls_total{n="1"} 5\n.*\n$', unchunk(rest))
  end)

  it("answers HTTP/1.0 without chunks", function()
    local answers = exchange(small(), { "GET /metrics HTTP/1.0\r\n\r\n" })
    local status, fields, rest = read(answers[1])
    assert.equal(200, status)
    assert.is_nil(fields["transfer-encoding"])
    assert.matches('^# TYPE calls_total counter\ncalls_total{n="1"} 5\n.*_duration_seconds [%d.e-]+\n$', rest)
  end)

  -- Runs a script beside this one. It prints its pid and a port; the pipe has what else it prints.
  local function beside(code, limits)
    local path = helper.tmpdir() .. "/server.lua"
    local file <close> = assert(io.open(path, "w"))
    assert(file:write('local bpf = require "bpf"\nio.stdout:setvbuf "line"\n', code))
    file:close()
    local pipe = assert(io.popen(("%s echo $$; exec %s %s 2>&1"):format(limits or "", helper.LUA, path)))
    return pipe, pipe:read "n", pipe:read "n"
  end

  local SERVER <const> = [[
    local closed <close> = setmetatable({}, { __close = function() print "closed" end })
    bpf.metrics.new():counter({ name = "calls", value = function() return 7 end }):serve {
      port = 0, ready = function(_, port) print(port) end,
    }]]

  it("is understood by LuaSocket's own client, several times, and ends cleanly on Ctrl-C", function()
    local pipe, pid, port = beside(SERVER)
    local http = require "socket.http"
    for _ = 1, 3 do
      local text, status, fields = http.request(("http://127.0.0.1:%d/metrics"):format(port))
      assert.equal(200, status)
      assert.equal(TEXT, fields["content-type"])
      assert.matches("\ncalls_total 7\n.*\n$", text)
    end
    assert.equal(404, select(2, http.request(("http://127.0.0.1:%d/"):format(port) .. "nothing")))
    os.execute("kill -INT " .. pid)
    assert.matches("^%s*closed\n.*interrupted!", pipe:read "a")
    assert.same({ nil, "exit", 1 }, { pipe:close() })
  end)

  it("goes by no clock that can be set", function()
    local pipe, pid, port = beside [[
      local function no() error "the date is nobody's business" end
      os.time, require("socket").gettime = no, no
      local set = bpf.metrics.new { on_error = print }
      set:gauge { name = "g", map = { 1 }, labels = { { "n", decode = "process" } } }
      set:serve { port = 0, seconds = 600, ready = function(_, port) print(port) end }]]
    local text, status = require "socket.http".request(("http://127.0.0.1:%d/metrics"):format(port))
    assert.equal(200, status)
    assert.matches('\ng{n=".*\nexporter_scrape_duration_seconds %d', text)
    os.execute("kill -INT " .. pid)
    assert.matches("^%s*lua[^\n]*interrupted!", pipe:read "a")
    pipe:close()
  end)

  it("serves with descriptors from 1,024 on, as readers have, too", function()
    local pipe, pid, port = beside([[
      local held = {}
      for i = 1, 1100 do held[i] = assert(io.open "/") end
      local socket = require "socket"
      local udp = assert(socket.udp4())
      assert(udp:setsockname("127.0.0.1", 0))
      assert(udp:setpeername(udp:getsockname()))
      assert(udp:send "hello" and udp:getfd() > 1024)
      local reader = { getfd = function() return udp:getfd() end }
      function reader.consume() print(udp:receive()) return 1 end
      local set = bpf.metrics.new():counter { name = "calls", value = function() return 7 end }
      set:serve { port = 0, readers = { reader }, ready = function(_, port) print(port) end }]], "ulimit -n 4096;")
    local idle = assert(socket.connect("127.0.0.1", port)) -- says nothing, and harms nobody
    local http = require "socket.http"
    for _ = 1, 2 do
      local text, status = http.request(("http://127.0.0.1:%d/metrics"):format(port))
      assert.equal(200, status)
      assert.matches("\ncalls_total 7\n", text)
    end
    idle:close()
    os.execute("kill -INT " .. pid)
    assert.matches("^%s*hello\n.*interrupted!", pipe:read "a")
    pipe:close()
  end)

  it("waits where nobody can be accepted, and says so once", function()
    local pipe, pid, port = beside([[
      local held, said, turns = {}, false, 0
      local answered
      local set = bpf.metrics.new { on_error = function(...) said = true print(...) end }
      set:counter { name = "calls", value = function() answered = answered or turns return 7 end }
      local _ <close> = setmetatable({}, { __close = function() print(answered < 20) end })
      set:serve {
        port = 0, seconds = 600,
        ready = function(_, port)
          repeat
            local file = io.open "/"
            held[#held + 1] = file
          until not file
          print(port)
        end,
        poll = function()
          turns = turns + (said and 1 or 0)
          if turns == 6 then
            for _, file in ipairs(held) do file:close() end
          end
        end,
      }]], "ulimit -n 64;")
    local text, status = require "socket.http".request(("http://127.0.0.1:%d/metrics"):format(port))
    assert.equal(200, status)
    assert.matches("\ncalls_total 7\n", text)
    os.execute("kill -INT " .. pid)
    assert.matches("^%s*http\tToo many open files\ntrue\n[^\n]*interrupted!", pipe:read "a")
    pipe:close()
  end)

  it("says what is missing, a package or a descriptor", function()
    local output, ok = helper.run("ulimit -n 64; " .. helper.LUA .. " -e " .. helper.quote [[
      local set = require("bpf").metrics.new()
      local held = {}
      local function fill()
        repeat
          local file = io.open "/"
          held[#held + 1] = file
        until not file
      end
      fill()
      print(set:serve { port = 0, seconds = 0 })
      held[#held]:close()
      require "socket" require "socket.unix"
      fill()
      print(set:serve { port = 0, seconds = 0 })
      print(set:serve { socket = "/absent/s", seconds = 0 })]])
    assert(ok, output)
    assert.matches("^nil\tmetrics:serve: LuaSocket can't be loaded: Too many open files %(EMFILE%)\tEMFILE\n" ..
      "nil\tmetrics:serve %(127.0.0.1 port 0%): Too many open files %(EMFILE%)\tEMFILE\n" ..
      "nil\tmetrics:serve %(/absent/s%): Too many open files %(EMFILE%)\tEMFILE\n$", output)
  end)

  it("knows what clients ask for", function()
    local requests, expected = {}, {}
    local function case(request, status)
      requests[#requests + 1], expected[#expected + 1] = request, status
    end
    case(get "/metrics?name[]=x", 200)
    case(get "/", 200)
    case("GET http://localhost/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200)
    case("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 200)
    case("GET /metrics HTTP/1.1\nHost: localhost\n\n", 200)
    case("\r\nGET /metrics HTTP/1.1\r\nHost:\r\n\r\n", 200)
    case(get "/metrics/", 404)
    case(get "/favicon.ico", 404)
    case("HEAD /favicon.ico HTTP/1.1\r\nHost: localhost\r\n\r\n", 404)
    case("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", 405)
    case("DELETE / HTTP/1.0\r\n\r\n", 405)
    case("GET /metrics HTTP/1.1\r\n\r\n", 400) -- no host
    case("GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400)
    case("GET /metrics HTTP/1.1\r\nHost: a\r\nno field\r\n\r\n", 400)
    case("GET /metrics HTTP/1.1\r\nHost: a\r\nName : x\r\n\r\n", 400)
    case("GET /metrics HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400)
    case("GET /metrics HTTP/1.1\r\nHost: a\rb\r\n\r\n", 400)
    case("GET metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400)
    case("GET  /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 400)
    case("GET /metrics\r\n\r\n", 400)
    case("nonsense\r\n\r\n", 400)
    case("\22\3\1\2\0\1\0\1\r\n\r\n", 400) -- as TLS begins
    case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505)
    case("GET /metrics HTTP/1.1\r\nHost: a\r\nX: " .. ("x"):rep(9000) .. "\r\n\r\n", 431)
    case(("x"):rep(20000), 431)
    local answers = exchange(small(), requests)
    for i, answer in ipairs(answers) do
      local status, fields, rest = read(answer)
      assert.equal(expected[i], status, requests[i]:sub(1, 60))
      if requests[i]:find "^HEAD" then
        assert.equal("", rest)
      elseif fields["content-length"] then
        assert.equal(#rest, tonumber(fields["content-length"]))
      end
      assert.equal(status == 405 and "GET, HEAD" or nil, fields.allow)
    end
    assert.matches('<a href="/metrics">', answers[2])
  end)

  it("writes the format that the client prefers", function()
    local cases = {
      -- what Prometheus 2.42 and 3.0 send, the older ones, browsers, curl, and the rest
      { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75," ..
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OPENMETRICS },
      { "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;" ..
        "version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2," ..
        "*/*;q=0.1", OPENMETRICS },
      { "application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "application/openmetrics-text; version=0.0.1; charset=utf-8" },
      { "text/html,application/xhtml+xml,*/*;q=0.8", TEXT }, { "*/*", TEXT }, { "", TEXT },
      { "application/json", TEXT }, { "application/openmetrics-text", OPENMETRICS },
      { "Application/OpenMetrics-Text ; Version=\"1.0.0\"", OPENMETRICS },
      { "application/openmetrics-text;version=2.0.0,text/plain", TEXT }, { "application/openmetrics-text;q=0", TEXT },
      { "application/openmetrics-text;q=0.5,text/plain", TEXT },
      { "text/plain;q=0.5,application/openmetrics-text", OPENMETRICS },
    }
    local requests = {}
    for i, case in ipairs(cases) do
      requests[i] = get("/metrics", "Accept: " .. case[1])
    end
    for i, answer in ipairs((exchange(small(), requests))) do
      local _, fields, rest = read(answer)
      assert.equal(cases[i][2], fields["content-type"], cases[i][1])
      assert.equal(cases[i][2]:find "open" ~= nil, unchunk(rest):find "# EOF\n$" ~= nil)
    end
  end)

  it("takes requests that come in pieces", function()
    local answers = exchange(small(), { { get "/metrics", piece = 7 }, { get "/metrics", piece = 1 << 20 } })
    assert.equal(200, (read(answers[1])))
    assert.equal(200, (read(answers[2])))
  end)

  it("closes clients that don't say what they want, and those that hold on", function()
    local began = socket.gettime()
    local answers = exchange(small(), { "GET /metr", "", get "/metrics" }, { timeout = 1 })
    assert.equal("", answers[1])
    assert.equal("", answers[2])
    assert.equal(200, (read(answers[3])))
    assert(socket.gettime() - began < 5 * helper.slow)
  end)

  -- Metrics of n series with 1000 bytes each: long rather than many, for the collector's sake.
  local function large(n)
    local t, long = {}, ("x"):rep(1000)
    for i = 1, n do
      t[i] = i
    end
    local function name(i)
      return long .. i
    end
    return metrics.new():gauge { name = "g", map = t, labels = { { "name", decode = name } } }
  end

  it("serves others while some don't read their answer, and gives these up in time", function()
    local set = large(1500) -- more than Unix sockets hold
    local path = helper.tmpdir() .. "/s"
    local failures = 0
    set.on_error = function() failures = failures + 1 end
    local answers = exchange(set, { { get "/metrics", deaf = true }, { get "/metrics", deaf = true }, get "/" },
      { socket = path })
    assert.equal(200, (read(answers[3])))
    -- once more; who begins to read after the time that it had finds the answer cut off
    local late, began
    assert(set:serve {
      socket = path, timeout = 2, seconds = 20 * helper.slow,
      ready = function()
        began = socket.gettime()
        late = client(function()
          local s = unix.stream()
          return s:connect(path) and s
        end, get "/metrics", { deaf = true })
      end,
      poll = function()
        late.options.deaf = socket.gettime() - began < 4
        late:step()
        return not late.done
      end,
    })
    local was_closed = late.done
    late:close()
    assert.is_true(was_closed)
    assert.falsy(late.answer:find("\r\n0\r\n\r\n$"))
    assert.equal(0, failures)
  end)

  it("gives large answers whole, to several at a time", function()
    local set = large(300)
    local requests = {}
    for i = 1, 4 do
      requests[i] = get("/metrics", "Accept: application/openmetrics-text")
    end
    for _, answer in ipairs((exchange(set, requests))) do
      local _, _, rest = read(answer)
      local text = unchunk(rest)
      assert.equal(300, select(2, text:gsub("\ng{name=", "")))
      assert.matches("# EOF\n$", text)
    end
  end)

  it("lets clients go that close before the end", function()
    local set = large(500)
    assert(set:serve {
      port = 0, seconds = 1,
      ready = function(address, port)
        for _ = 1, 5 do
          local s = assert(socket.connect(address, port))
          assert(s:send(get "/metrics"))
          s:close()
        end
      end,
    })
    assert.equal(200, (read(exchange(set, { get "/" })[1])))
  end)

  it("takes a path, an address, a time", function()
    local answers = exchange(small(), { get "/m", get "/metrics", get "/" }, { path = "/m", address = "127.0.0.2" })
    assert.equal(200, (read(answers[1])))
    assert.equal(404, (read(answers[2])))
    assert.matches('<a href="/m">', answers[3])
    local began = socket.gettime()
    assert.is_true(small():serve { port = 0, seconds = 0.2 })
    assert(socket.gettime() - began < 2 * helper.slow)
  end)

  it("serves on IPv6", function()
    net.need_ipv6()
    assert.equal(200, (read(exchange(small(), { get "/metrics" }, { address = "::1" })[1])))
  end)

  it("serves on a Unix socket, which it removes, and which may be there from before", function()
    local path = helper.tmpdir() .. "/metrics.sock"
    for _ = 1, 2 do
      local answers = exchange(small(), { get "/metrics" }, { socket = path })
      assert.equal(200, (read(answers[1])))
      assert.is_nil(lfs.attributes(path))
    end
    local left = unix.stream()
    assert(left:bind(path))
    assert(left:listen(1))
    assert.same({ nil, ("metrics:serve (%s): address already in use (EADDRINUSE)"):format(path), "EADDRINUSE" },
      { small():serve { socket = path, seconds = 0 } })
    left:close()
    assert.equal("socket", lfs.attributes(path, "mode")) -- nobody listens to it any more
    assert.equal(200, (read(exchange(small(), { get "/metrics" }, { socket = path })[1])))
  end)

  it("says what is wrong with where it is to listen, and what it doesn't know", function()
    local taken = assert(socket.bind("127.0.0.1", 0))
    local _, port = taken:getsockname()
    local text = ("metrics:serve (127.0.0.1 port %d): address already in use (EADDRINUSE)"):format(port)
    assert.same({ nil, text, "EADDRINUSE" }, { small():serve { port = math.tointeger(port), seconds = 0 } })
    taken:close()
    assert.same({ nil, "ENOENT" }, { (small():serve { socket = ABSENT .. "/s" }),
      (select(3, small():serve { socket = ABSENT .. "/s" })) })
    helper.raises(function() small():serve { prot = 1 } end,
      "spec/metrics/http_spec.lua:%d+: metrics:serve: there is no option 'prot' %(options: address, path, poll, " ..
      "port, readers, ready, seconds, socket, timeout%)")
    helper.raises(function() small():serve { port = 65536 } end, "metrics:serve: port 65536 is none of 0 to 65535")
    helper.raises(function() small():serve { port = -1 } end, "port %-1 is none of")
    helper.raises(function() small():serve { port = 0, readers = { {} } } end, "a reader needs a method 'fd' or")
  end)

  it("says which package is missing without LuaSocket, and does all else without", function()
    local output, ok = helper.lua([[
      table.insert(package.searchers, 1, function(name)
        return name:find "^socket" and function() error "not there" end or nil
      end)
      local set = require("bpf").metrics.new():counter { name = "c", value = function() return 1 end }
      print((select(2, set:serve {})))
      print(#set:text() > 100)]])
    assert(ok, output)
    assert.equal("metrics:serve: LuaSocket is missing; Debian and Ubuntu have it as lua-socket (ENOENT)\ntrue\n",
      output)
  end)
end)

describe("serve with readers", function()
  it("reads ring buffers while it waits and while clients are served", function()
    kernel.root()
    kernel.need("syscall programs", "5.14")
    local obj <close> = assert(bpf.load(helper.obj "rings"))
    local seen = {}
    local function handler(note)
      seen[note.seq] = true
    end
    local reader <close> = assert(bpf.ringbuf(obj.maps.notes, "struct note", handler))
    local set = metrics.new():gauge { name = "seen", value = function() return #seen end }
    local turns = 0
    local answers = exchange(set, { { get "/metrics", deaf = true }, get "/" }, {
      readers = { reader },
      poll = function()
        turns = turns + 1
        if turns == 1 then
          assert.equal(100, assert(obj.progs.send_notes:run({ ctx = string.pack("=I4I4I4I4", 1, 100, 0, 0) })).retval)
        end
        return true
      end,
    })
    assert.equal(200, (read(answers[2])))
    assert.equal(100, #seen)
  end)

  it("takes anything with a descriptor, and lets its errors through", function()
    local pair = assert(socket.udp4())
    finally(function() pair:close() end)
    assert(pair:setsockname("127.0.0.1", 0))
    local address, port = pair:getsockname()
    assert(pair:setpeername(address, port))
    assert(pair:send "hello")
    local got
    assert(small():serve {
      port = 0, seconds = 5, poll = function() return not got end,
      readers = {
        { getfd = function() return pair:getfd() end, consume = function() got = pair:receive(); return 1 end },
      },
    })
    assert.equal("hello", got)
    assert(pair:send "again")
    helper.raises(function()
      small():serve {
        port = 0, seconds = 5,
        readers = { { fd = function() return pair:getfd() end, consume = function() error "handler broke" end } },
      }
    end, "handler broke")
    assert.same({ nil, "it failed", "EIO" }, { small():serve {
      port = 0, seconds = 5,
      readers = {
        { fd = function() return pair:getfd() end, consume = function() return nil, "it failed", "EIO" end },
      },
    } })
  end)
end)

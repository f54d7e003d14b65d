-- SPDX-License-Identifier: MIT
-- Answers scrapes over HTTP/1.1. Every client is a coroutine that yields what it waits for, "read" or "write"; one loop
-- waits for all of them, for new ones and for readers of ring buffers.

local error = require("bpf.base.argument").error
local check = require("bpf.metrics.options")
local posix = require("bpf.base.posix")

local CLIENTS <const> = 64      -- at a time; others wait to be accepted
local REQUEST <const> = 8192    -- bytes, at most
local REQUEST_TIME <const> = 5  -- seconds to send one
local LINGER_TIME <const> = 1   -- seconds for what still comes when all is said
local TURN <const> = 0.5        -- seconds until `poll` is called again, and Ctrl-C noticed

local STATUS = {
  [200] = "OK", [400] = "Bad Request", [404] = "Not Found", [405] = "Method Not Allowed",
  [431] = "Request Header Fields Too Large", [505] = "HTTP Version Not Supported",
}

local GONE = {} -- is raised where a client is

-- Requests ------------------------------------------------------------------------------------------------------------

local TOKEN <const> = "[A-Za-z0-9!#$%%&'*+.^_`|~-]+"

-- In every locale what the locale "C" makes of it.
local function lower(s)
  return (s:gsub("[A-Z]", function(c) return string.char(c:byte() + 32) end))
end

-- The fields of a request by their names in lower case, or nil where one isn't as it should be.
local function parse_fields(lines)
  local fields = {}
  for line in lines:gmatch("([^\n]*)\n") do
    local name, value = line:match("^(" .. TOKEN .. "):[ \t]*(.-)[ \t]*$")
    if not name or value:find("[%z\r]") then
      return nil
    end
    name = lower(name)
    if name == "host" and fields.host then
      return nil
    end
    fields[name] = fields[name] and fields[name] .. ", " .. value or value
  end
  return fields
end

-- A request as a table, or nil and the status that says what is wrong with it.
local function parse(text)
  text = text:gsub("\r\n", "\n")
  local line, lines = text:match("^([^\n]*)\n(.*)$")
  local method, target, major, minor = line:match("^(" .. TOKEN .. ") (%S+) HTTP/(%d)%.(%d)$")
  if not method then
    return nil, 400
  elseif major ~= "1" then
    return nil, 505
  end
  local fields = parse_fields(lines)
  local path = target:gsub("^[Hh][Tt][Tt][Pp]://[^/?]*", ""):match("^[^?#]*")
  if not fields or minor ~= "0" and not fields.host or target ~= "*" and not path:find("^/") and path ~= "" then
    return nil, 400
  end
  return { method = method, path = path == "" and "/" or path, minor = minor, accept = fields.accept }
end

-- How much a client wants each of the formats, of 0 to 1, and which version of OpenMetrics.
local function preferences(accept)
  local open, plain, version = 0, 0, nil
  for range in lower(accept):gmatch("[^,]+") do
    local kind = range:match("^%s*([^;%s]*)")
    local q = tonumber(range:match(";%s*q%s*=%s*([%d.]+)") or 1) or 0
    local asked = range:match(';%s*version%s*=%s*"?([%w.]+)')
    if kind == "application/openmetrics-text" and (not asked or asked == "1.0.0" or asked == "0.0.1") and q > open then
      open, version = q, asked or "1.0.0"
    elseif kind == "text/plain" and (not asked or asked == "0.0.4") or kind == "text/*" or kind == "*/*" then
      plain = math.max(plain, q)
    end
  end
  return open, plain, version
end

-- The format for a client, and its name as a media type.
local function negotiate(accept)
  local open, plain, version = preferences(accept or "")
  if open > 0 and open >= plain then
    return "openmetrics", ("application/openmetrics-text; version=%s; charset=utf-8"):format(version)
  end
  return "prometheus", "text/plain; version=0.0.4; charset=utf-8"
end

-- Talking to a client -------------------------------------------------------------------------------------------------

-- Receives up to the empty line that ends a request. Returns nil and a status when there is too much.
local function receive(client)
  local text = ""
  while true do
    local all, problem, part = client:receive(2048)
    text = (text .. (all or part)):gsub("^[\r\n]+", "")
    local ending = select(2, text:find("\r?\n\r?\n"))
    if (ending or #text) > REQUEST then
      return nil, 431
    elseif ending then
      return (text:sub(1, ending):gsub("\r?\n$", ""))
    elseif problem == "closed" then
      error(GONE, 0)
    elseif problem == "timeout" then
      coroutine.yield("read")
    end
  end
end

local function send(client, text)
  local at = 1
  while at <= #text do
    local last, problem, sent = client:send(text, at)
    if problem == "timeout" then
      at = sent + 1
      coroutine.yield("write")
    elseif problem then
      error(GONE, 0)
    else
      at = last + 1
    end
  end
end

local DAYS <const> = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" }
local MONTHS <const> = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" }

-- The time as HTTP has it: in English, whatever the locale.
local function date()
  local now = os.date("!*t")
  return ("%s, %02d %s %d %02d:%02d:%02d GMT"):format(DAYS[now.wday], now.day, MONTHS[now.month], now.year, now.hour,
    now.min, now.sec)
end

local function head(status, fields)
  local lines = { ("HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: close"):format(status, STATUS[status], date()) }
  table.move(fields, 1, #fields, 2, lines)
  return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- Sends an answer whose text is known.
local function answer(client, request, status, kind, text)
  local allow = status == 405 and "\r\nAllow: GET, HEAD" or ""
  local fields = { ("Content-Type: %s; charset=utf-8\r\nContent-Length: %d%s"):format(kind, #text, allow) }
  send(client, head(status, fields) .. (request and request.method == "HEAD" and "" or text))
end

-- Sends the metrics as they are read, in chunks where the client knows these.
local function answer_metrics(client, request, metrics)
  local format, kind = negotiate(request.accept)
  local chunked = request.minor ~= "0"
  local lead = head(200, { "Content-Type: " .. kind, chunked and "Transfer-Encoding: chunked" or nil })
  if request.method == "HEAD" then
    return send(client, lead)
  end
  metrics:write(function(text)
    send(client, lead .. (chunked and ("%x\r\n%s\r\n"):format(#text, text) or text))
    lead = ""
    coroutine.yield("write") -- others have their turn
  end, format)
  send(client, chunked and "0\r\n\r\n" or "")
end

-- Waits for the client to close: if we did with something unread, it would lose what it hasn't read yet.
local function linger(client)
  client:shutdown("send")
  while true do
    local _, problem = client:receive(2048)
    if problem == "closed" then
      return
    elseif problem then
      coroutine.yield("read")
    end
  end
end

-- All that is said to one client.
local function converse(connection, metrics, path)
  local client = connection.client
  local text, status = receive(client)
  local request
  if text then
    request, status = parse(text)
  end
  connection.deadline = connection.finish
  if not request then
    answer(client, nil, status, "text/plain", STATUS[status] .. "\n")
  elseif request.path ~= path and request.path ~= "/" then
    answer(client, request, 404, "text/plain", STATUS[404] .. "\n")
  elseif request.method ~= "GET" and request.method ~= "HEAD" then
    answer(client, request, 405, "text/plain", STATUS[405] .. "\n")
  elseif request.path == path then
    answer_metrics(client, request, metrics)
  else
    answer(client, request, 200, "text/html", ('<!DOCTYPE html><title>Metrics</title><a href="%s">Metrics</a>\n')
      :format(path:gsub('[&"<>]', function(c) return ("&#%d;"):format(c:byte()) end)))
  end
  connection.deadline = math.min(connection.finish, posix.seconds() + LINGER_TIME)
  linger(client)
end

-- Listening -----------------------------------------------------------------------------------------------------------

local CODES = { ["address already in use"] = "EADDRINUSE", ["permission denied"] = "EACCES" } -- LuaSocket's own words

local function failure(where, message)
  local code = CODES[message] or posix.code(message)
  if not code then -- no name was found, perhaps for want of a descriptor to look for it
    local why, cause = posix.exhausted()
    message, code = why and why:gsub(" %(%u+%)$", "") or message, cause or "EIO"
  end
  return nil, ("metrics:serve (%s): %s (%s)"):format(where, message, code), code
end

-- Whether a Unix socket is one that nobody listens to any more.
local function is_stale(unix, path)
  local probe = unix.stream()
  if not probe then
    return false
  end
  probe:settimeout(0)
  local ok, message = probe:connect(path)
  probe:close()
  return not ok and message:lower():find("refused", 1, true) ~= nil
end

-- A module of LuaSocket's; or nil, message, code.
local function load_socket(name, missing)
  local module, _, why, code = posix.module(name)
  if type(module) == "table" then
    return module
  elseif why then
    return nil, "metrics:serve: LuaSocket can't be loaded: " .. why, code
  end
  return nil, ("metrics:serve: %s (ENOENT)"):format(missing), "ENOENT"
end

local function listen_unix(path)
  local unix, message, code = load_socket("socket.unix", "this LuaSocket has no socket.unix with streams")
  if not unix then
    return nil, message, code
  end
  local server, ok
  server, message = unix.stream()
  if not server then
    return failure(path, message)
  end
  ok, message = server:bind(path)
  if not ok and message == "address already in use" and is_stale(unix, path) and os.remove(path) then
    server, message = unix.stream() -- a socket that wasn't bound is closed
    if not server then
      return failure(path, message)
    end
    ok, message = server:bind(path)
  end
  if ok then
    ok, message = server:listen(CLIENTS)
  end
  if not ok then
    server:close()
    return failure(path, message)
  end
  return server
end

local function listen(socket, options)
  if options.socket then
    return listen_unix(options.socket)
  end
  local address, port = options.address or "127.0.0.1", options.port or 9435
  local server, message = socket.bind(address, port, CLIENTS)
  if not server then
    return failure(("%s port %d"):format(address, port), message)
  end
  return server
end

-- The loop ------------------------------------------------------------------------------------------------------------

local Server = {}
Server.__index = Server

-- A reader's descriptor, which it may change.
local function descriptor(reader)
  return (reader.fd or reader.getfd)(reader)
end

local function check_reader(reader)
  if type(reader.fd or reader.getfd) ~= "function" or type(reader.consume) ~= "function" then
    error("metrics:serve: a reader needs a method 'fd' or 'getfd', and 'consume'", 0)
  end
end

function Server:drop(connection)
  self.connections[connection.client] = nil
  self.count = self.count - 1
  self.deaf_until = 0 -- there is a descriptor for another one
  connection.client:close()
  coroutine.close(connection.routine)
end

function Server:__close()
  for _, connection in pairs(self.connections) do
    self:drop(connection)
  end
  self.listener:close()
  if self.path and posix.pid() == self.process then
    os.remove(self.path)
  end
end

-- Lets a client's coroutine go on.
function Server:resume(connection)
  local ok, waits = coroutine.resume(connection.routine)
  if ok and waits then
    connection.waits = waits
    return
  end
  self:drop(connection)
  if ok or waits == GONE then
    return
  elseif tostring(waits):find("interrupted!", 1, true) then
    error(waits, 0)
  elseif self.metrics.on_error then
    self.metrics.on_error("http", waits)
  end
end

-- A new client's coroutine, as far as it comes at once.
function Server:welcome(client)
  client:settimeout(0)
  local now = posix.seconds()
  local connection = {
    client = client, fd = client:getfd(), finish = now + self.timeout,
    deadline = now + math.min(self.timeout, REQUEST_TIME),
  }
  connection.routine = coroutine.create(function()
    converse(connection, self.metrics, self.metrics_path)
  end)
  self.connections[client], self.count = connection, self.count + 1
  self:resume(connection)
end

-- Takes those who wait to be accepted. Where that fails, for want of descriptors, they wait for a turn or until another
-- client is gone: they stay readable.
function Server:accept()
  while self.count < CLIENTS do
    local client, problem = self.listener:accept()
    if client then
      self.complained = false
      self:welcome(client)
    elseif problem == "timeout" then
      return
    else
      self.deaf_until = posix.seconds() + TURN
      if not self.complained and self.metrics.on_error then
        self.metrics.on_error("http", problem)
      end
      self.complained = true
      return
    end
  end
end

-- Waits until something happens, at most until a time. Returns the descriptors that can be read or written, or nil,
-- message, code.
function Server:wait(finish)
  local fds, now = {}, posix.seconds()
  local until_when = math.min(now + TURN, finish)
  for _, connection in pairs(self.connections) do
    fds[connection.fd] = connection.waits
    until_when = math.min(until_when, connection.deadline)
  end
  for _, reader in ipairs(self.readers) do
    fds[descriptor(reader)] = "read"
  end
  if self.count < CLIENTS and now >= self.deaf_until then
    fds[self.listener:getfd()] = "read"
  end
  return posix.poll(fds, math.ceil(math.max(until_when - now, 0) * 1000))
end

-- Does what can be done. Returns nil, message, code when a reader fails.
function Server:turn(finish)
  local ready, message, code = self:wait(finish)
  if not ready then
    return nil, "metrics:serve: " .. message, code
  end
  for _, reader in ipairs(self.readers) do
    if ready[descriptor(reader)] then
      local n
      n, message, code = reader:consume()
      if not n and message and code ~= "EINTR" then
        return nil, message, code
      end
    end
  end
  local now, active = posix.seconds(), {}
  for _, connection in pairs(self.connections) do
    if ready[connection.fd] or now >= connection.deadline then
      active[#active + 1] = connection
    end
  end
  for _, connection in ipairs(active) do
    if now >= connection.deadline then
      self:drop(connection)
    else
      self:resume(connection)
    end
  end
  if ready[self.listener:getfd()] then
    self:accept()
  end
  return true
end

local KNOWN = {
  address = "string", port = "integer", socket = "string", path = "string", seconds = check.NUMBER,
  timeout = check.NUMBER, readers = "table", poll = "function", ready = "function",
}

local function new_server(metrics, listener, options)
  local server = {
    metrics = metrics, metrics_path = options.path or "/metrics", timeout = options.timeout or 30, listener = listener,
    path = options.socket, process = posix.pid(), connections = {}, count = 0,
    readers = { table.unpack(options.readers or {}) },
    deaf_until = 0,     -- when the listener is asked again
    complained = false, -- that nobody can be accepted
  }
  return setmetatable(server, Server)
end

-- What metrics:serve is.
return function(metrics, options)
  check.check("metrics:serve", options, KNOWN, 2)
  for _, name in ipairs { "address", "path", "socket" } do
    if options[name] and options[name]:find("\0", 1, true) then
      error(("metrics:serve: option '%s' has a NUL byte in it"):format(name), 2)
    end
  end
  local socket, listener, message, code
  socket, message, code = load_socket("socket", "LuaSocket is missing; Debian and Ubuntu have it as lua-socket")
  if not socket then
    return nil, message, code
  elseif options.port and (options.port < 0 or options.port > 65535) then
    error(("metrics:serve: port %d is none of 0 to 65535"):format(options.port), 2)
  end
  listener, message, code = listen(socket, options)
  if not listener then
    return nil, message, code
  end
  listener:settimeout(0)
  local server <close> = new_server(metrics, listener, options)
  for _, reader in ipairs(server.readers) do
    check_reader(reader)
  end
  if options.ready then
    local address, port = options.socket, nil
    if not address then
      address, port = listener:getsockname()
    end
    options.ready(address, math.tointeger(port))
  end
  local finish = options.seconds and posix.seconds() + options.seconds or math.huge
  while posix.seconds() < finish do
    local ok
    ok, message, code = server:turn(finish)
    if not ok then
      return nil, message, code
    elseif options.poll and options.poll() == false or posix.signalled() then
      break
    end
  end
  return true
end

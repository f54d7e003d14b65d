-- SPDX-License-Identifier: MIT
-- Runs the tools that watch and protect networks, as their user would: rows as JSON, filters, the end by SIGTERM.
-- net_spec.lua has the other examples about networks.
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local net = require "spec.support.net"

local objects, one, until_term = examples.objects, examples.one, examples.until_term

kernel.root()

-- The shell command that runs a script, with LuaSocket as `socket`.
local function talk(script)
  return ("lua%s -e %s"):format(_VERSION:match "[%d.]+", helper.quote('local socket = require "socket"\n' .. script))
end

describe("tcplife", function()
  it("shows connections when they end, with bytes each way", function()
    local printed = until_term("tcplife", "--json --port 7777 --seconds 600", {
      beside = talk [[
        local listener = assert(socket.bind("127.0.0.1", 7777))
        local client = assert(socket.connect("127.0.0.1", 7777))
        local server = assert(listener:accept())
        client:send(("x"):rep(1000))
        server:receive(1000)
        server:send(("y"):rep(3000))
        client:receive(3000)
        client:close()
        server:receive()
        server:close()]],
      done = "[ $(wc -l <$out) -eq 2 ]",
    })
    local list = objects(printed)
    local client = one(list, { remote_port = 7777 })
    assert.equal("127.0.0.1", client.remote)
    assert(client.command:find "^lua", printed)
    assert(client.sent >= 1000 and client.sent <= 1002 and client.open > 0, printed) -- SYN and FIN may count
    assert(client.received >= 3000 and client.received <= 3002, printed)
    assert.equal(client.port, one(list, { port = 7777 }).remote_port)
  end)
end)

describe("dnslog", function()
  it("shows answers, with who asked, and how many questions have none", function()
    local printed, said = until_term("dnslog", "--json --port 5300 --seconds 600", {
      beside = talk [[
        local server, client = socket.udp(), socket.udp()
        assert(server:setsockname("127.0.0.1", 5300) and client:setpeername("127.0.0.1", 5300))
        local function ask(id, answer)
          client:send(id .. "\1\0\0\1\0\0\0\0\0\0\4name\7example\0\0\1\0\1")
          local question, address, port = server:receivefrom()
          if answer then
            server:sendto(id .. answer:gsub("Q", function() return question:sub(13) end), address, port)
            client:receive()
          end
        end
        -- name.example is x.name.example, which has an address
        ask("ab", "\x81\x80\0\1\0\2\0\0\0\0Q\xc0\x0c\0\5\0\1\0\0\0\60\0\4\1x\xc0\x0c" ..
          "\xc0\x29\0\1\0\1\0\0\0\60\0\4\1\2\3\4")
        ask("cd")
        ask("ef", "\x81\x83\0\1\0\0\0\0\0\0Q")
        ask("gh", "\x81\x80\0\1\0\9\0\0\0\0Q") -- damaged
        ask("ij", "\x81")]],
      done = "[ $(wc -l <$out) -ge 4 ]",
    })
    local list = objects(printed)
    local answer = one(list, { result = "ok" })
    assert.equal("name.example", answer.name)
    assert.equal("A", answer.type)
    assert.equal("1.2.3.4", answer.addresses)
    assert.equal("127.0.0.1", answer.server)
    assert(answer.command:find "^lua" and answer.pid > 0 and answer.time > 0, printed)
    assert.equal("name.example", one(list, { result = "NXDOMAIN" }).name)
    assert(said:find "\n5 questions, 1 of them without an answer\n$", said)
  end)
end)

describe("ratelimit", function()
  it("drops what addresses send too fast, each for itself", function()
    local printed = examples.well("ratelimit", "--json --rate 1 --burst 20")
    local list = objects(printed)
    local fast = one(list, { address = "198.18.1.2" })
    assert.equal(50, fast.passed + fast.dropped)
    assert(fast.passed >= 20 and fast.passed < 30, printed) -- one more a second, on a slow machine
    assert.same({ address = "198.18.2.2", passed = 5, dropped = 0 }, one(list, { address = "198.18.2.2" }))
  end)

  it("limits at an interface until SIGTERM, and leaves nothing attached", function()
    finally(net.remove)
    local here, there = net.space(), net.space()
    net.cable({ space = here, name = "here", address = "198.18.7.1/24" },
      { space = there, name = "there", address = "198.18.7.2/24" })
    net.enter(here)
    local printed = until_term("ratelimit", "--rate 1 --burst 3 --seconds 600 here", {
      beside = ("ip netns exec %s bash -c 'for i in $(seq 20); do echo >/dev/udp/198.18.7.1/9; done'"):format(there),
    })
    assert(printed:find "^ADDRESS +PASSED +DROPPED\n198.18.7.2 +%d +1%d\n$", printed)
    assert.falsy(helper.run("ip link show here"):find("xdp", 1, true))
    net.leave()
  end)

  it("says what it can't do", function()
    local output, _, code = examples.run("ratelimit", "--rate 0")
    assert.equal(1, code)
    assert.equal("ratelimit: --rate and --burst: at least 1\n", output)
  end)
end)

describe("netdeny", function()
  it("shows as JSON what was refused", function()
    local output = examples.run("netdeny", "--json --deny 127.0.0.1,::1 -- bash -c ': </dev/tcp/127.0.0.1/9'")
    local row = objects(output:match "(%b{}\n)$")[1]
    assert.same({ address = "127.0.0.1", command = "bash", port = 9, refused = 1 }, row)
  end)
end)

describe("flowd", function()
  setup(function()
    helper.require("luv", "Lua 5.4")
  end)

  it("logs flows of an interface, tells of the present ones, and ends by SIGTERM", function()
    local path = helper.tmpdir() .. "/flows"
    local printed, _, answer = until_term("flowd", ("--seconds 0 --socket %s lo"):format(path), {
      beside = "bash -c 'for i in 1 2 3; do echo three >/dev/udp/127.0.0.1/9; done 2>/dev/null'\n" .. talk(([[
        socket = require "socket.unix"()
        assert(socket:connect("%s"))
        io.write((socket:receive "*a"))]]):format(path)),
    })
    local present, logged = objects(answer), objects(printed)
    for _, row in ipairs(present) do
      assert.equal("present", row.event)
    end
    local ports = 0
    for _, row in ipairs(present) do
      if row.protocol == "UDP" and row.port_there == 9 then
        ports = ports + 1
        local wanted = { here = "127.0.0.1", there = "127.0.0.1", port = row.port, port_there = 9, protocol = "UDP" }
        wanted.event = "begin"
        one(logged, wanted)
        wanted.event = "end"
        local ended = one(logged, wanted)
        assert.equal(1, ended.packets)
        assert.equal(34, ended.sent + ended.received)
      end
    end
    assert.equal(3, ports)
  end)
end)

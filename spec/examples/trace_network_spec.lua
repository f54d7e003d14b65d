-- SPDX-License-Identifier: MIT
-- Runs the scripts of examples/trace/ that are about networks, as their reader would, and looks at what they print.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local traces = require "spec.support.traces"

kernel.root()
kernel.need("ring buffers", "5.8")
helper.require "socket"

-- One connection, of which each end sends: 5,000 bytes to the one that accepts, 3,000 back. Its ports are printed.
local CONNECTION <const> = traces.socket [[
  local server = socket.bind("127.0.0.1", 0)
  local client = socket.tcp()
  client:connect("127.0.0.1", select(2, server:getsockname()))
  local accepted = server:accept()
  client:send(("x"):rep(5000))
  accepted:receive(5000)
  accepted:send(("y"):rep(3000))
  client:receive(3000)
  print((select(2, client:getsockname())), (select(2, server:getsockname())))
  client:close()
  accepted:close()
]]

local REFUSED <const> = traces.socket [[socket.connect("127.0.0.1", 9)]]

-- What a script prints about the connection, and its ports.
local function connected(name, rows)
  local output, ports = traces.beside(name, ("ports=$(%s); echo \"$ports\""):format(CONNECTION),
    ("[ $(grep -cw ${ports%%%%[!0-9]*} $out) -ge %d ]"):format(rows))
  local client, server = ports:match "^(%d+)%s+(%d+)%s"
  assert(server, ports)
  return output, client, server
end

describe("tcplife", function()
  it("shows both ends of a connection", function()
    local output, client, server = connected("tcplife", 2)
    assert.matches("^PID +COMMAND +LADDR +LPORT +RADDR +RPORT +TX_KB +RX_KB +MS\n", output)
    local row = "\n%%d+ +lua%%S* +127.0.0.1 +%s +127.0.0.1 +%s +%d +%d +%%d+%%.%%d%%d%%d\n"
    assert.matches(row:format(client, server, 4, 2), output)
    assert.matches(row:format(server, client, 2, 4), output)
  end)
end)

describe("tcpconnect", function()
  it("shows connections with their results", function()
    local output, client, server = connected("tcpconnect", 1)
    assert.matches("^TIME +PID +COMMAND +LADDR +LPORT +RADDR +RPORT +RESULT\n", output)
    assert.matches(("\n%%d+:%%d%%d:%%d%%d %%d+ +lua%%S* +127.0.0.1 +%s +127.0.0.1 +%s +%%w+\n"):format(client, server),
      output)
  end)

  it("shows those that fail", function()
    local output = traces.beside("tcpconnect", "bash -c ': </dev/tcp/127.0.0.1/9' 2>/dev/null", "grep -q REFUSED $out")
    assert.matches(" bash +127.0.0.1 +%d+ +127.0.0.1 +9 +ECONNREFUSED\n", output)
  end)
end)

describe("tcpaccept", function()
  it("shows connections that are accepted", function()
    local output, client, server = connected("tcpaccept", 1)
    assert.matches("^TIME +PID +COMMAND +RADDR +RPORT +LADDR +LPORT +QUEUE\n", output)
    assert.matches((" lua%%S* +127.0.0.1 +%s +127.0.0.1 +%s +0/%%d+\n"):format(client, server), output)
  end)
end)

describe("tcpdrop", function()
  it("shows packets that nobody listens to, with a reason and a stack", function()
    kernel.need("reasons of dropped packets", "5.17")
    local output = traces.beside("tcpdrop", REFUSED, "grep -q tcp_v4_rcv $out")
    assert.matches("^TIME +PID +COMMAND +SADDR +SPORT +DADDR +DPORT +REASON +STATE\n", output)
    assert.matches("\n%d%d:%d%d:%d%d %d+ +%S+ +127.0.0.1 +%d+ +127.0.0.1 +9 +NO_SOCKET +no socket\n    [a-z_]", output)
    assert.matches("\n    tcp_v4_rcv%+0x%x+\n", output)
  end)

  it("shows those of IPv6", function()
    kernel.need("reasons of dropped packets", "5.17")
    if not helper.run("cat /proc/net/if_inet6"):find("^0+1 ") then
      helper.skip "there is no IPv6"
    end
    local output = traces.beside("tcpdrop", "bash -c ': </dev/tcp/::1/9' 2>/dev/null; true", "grep -q tcp_v6_rcv $out")
    assert.matches("\n%d%d:%d%d:%d%d %d+ +%S+ +::1 +%d+ +::1 +9 +NO_SOCKET +no socket\n    [a-z_]", output)
  end)
end)

describe("tcpretrans", function()
  it("shows packets that are sent again", function()
    local output = traces.beside("tcpretrans", [[
      ip link add lbpf0 type veth peer name lbpf1
      ip addr add 198.18.9.1/24 dev lbpf0; ip link set lbpf0 up; ip link set lbpf1 up
      ip neigh add 198.18.9.2 lladdr 02:00:00:00:00:09 dev lbpf0
      bash -c 'exec 3<>/dev/tcp/198.18.9.2/80' & client=$!]],
      "grep -q 198.18.9.2 $out && kill $client && ip link del lbpf0")
    assert.matches("^TIME +PID +LADDR +LPORT +RADDR +RPORT +STATE\n", output)
    assert.matches("\n%d%d:%d%d:%d%d %d+ +198.18.9.1 +%d+ +198.18.9.2 +80 +TCP_SYN_SENT\n", output)
  end)
end)

-- A server of OpenSSL, and a client that has three lines of it.
local TLS <const> = [[
  tmp=$(mktemp -d)
  openssl req -x509 -newkey rsa:2048 -nodes -keyout $tmp/key -out $tmp/cert -subj /CN=lbpf -days 1 2>/dev/null
  openssl s_server -key $tmp/key -cert $tmp/cert -accept 127.0.0.1:4433 -www >$tmp/said 2>&1 & server=$!
  until grep -qs ACCEPT $tmp/said; do kill -0 $server || break; sleep 0.02; done
  printf 'GET / HTTP/1.0\r\n\r\n' | openssl s_client -quiet -connect 127.0.0.1:4433 2>/dev/null | grep -c '^<HTML>'
  kill $server; rm -r $tmp]]

describe("OpenSSL", function()
  it("is followed by sslsnoop", function()
    local output, lines = traces.beside("sslsnoop", TLS)
    assert.equal("1\n", lines)
    assert.matches("^TIME +TID +COMMAND +LATENCY +RESULT +FUNCTION\n", output)
    for _, line in ipairs { "1  EVP_PKEY_derive", "1  EVP_DigestVerify", "%d+  SSL_write", "%d+  SSL_read" } do
      assert.matches("\n%d+ +%d+ +openssl +%d+ +" .. line .. "\n", output)
    end
  end)

  it("is measured by ssllatency", function()
    local output, lines = traces.beside("ssllatency", TLS)
    assert.equal("1\n", lines)
    assert.matches("^latency\n", output)
    assert.matches("\n\ncalls\n  CALL +COUNT +AVG +MIN +MAX +TOTAL\n", output)
    assert.is_true(tonumber(output:match "\n  EVP_PKEY_derive +(%d+) +%d+") >= 2, output)
    local from, to = output:match "\n  EVP_DigestVerify\n +(%d+) – +(%d+) " -- others' are among them, and may be slow
    assert.same({ 0, 200 }, { from % 200, to - from }, output)
  end)
end)

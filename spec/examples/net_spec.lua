-- SPDX-License-Identifier: MIT
-- Runs the examples about networks, as their reader would, and looks at what they print. examples_spec.lua has what all
-- examples have in common.
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local net = require "spec.support.net"

local both = examples.both

kernel.root()

both(describe, "firewall", function(name, pattern)
  setup(function()
    if os.getenv "LBPF_UNPRIVILEGED" then
      helper.skip "needs root"
    end
    kernel.need("links of XDP programs", "5.9")
  end)
  teardown(net.remove)

  it("shows who gets through while its list changes", function()
    local output, ok = helper.run(("sh -c 'echo $$; exec %s'"):format(
      examples.command(name, "--seconds " .. (helper.slow > 1 and 12 or 4))))
    assert(ok, output)
    assert(output:find("\n-- no rule +passes +passes\n"), output)
    assert(output:find('\nrules%["198.18.0.0/15"%] = { deny = true } +dropped +dropped\n'), output)
    assert(output:find('\nrules%["198.18.2.2/32"%] = { deny = false } +dropped +passes\n'), output)
    assert(output:find('\nrules%["198.18.1.0/24"%] = { deny = false } +passes +passes\n'), output)
    assert(output:find("\n198.18.0.0/15 +deny +[1-9]%d* +[%d.]+ K?i?B\n"), output)
    assert(output:find("\n198.18.2.2/32 +allow +[1-9]%d* +[%d.]+ K?i?B\n"), output)
    local pid = output:match "^%d+"
    assert.falsy(helper.run("ip link"):find(" lb" .. pid .. "@", 1, true))
    assert.falsy(helper.run("ip netns"):find("lbpf-" .. pid, 1, true))
  end)

  it("follows a list in a file", function()
    local here, there = net.space(), net.space()
    net.cable({ space = here, name = "here", address = "198.18.7.1/24" },
      { space = there, name = "there", address = "198.18.7.2/24" })
    local list = helper.tmpdir() .. "/list"
    net.must("printf '# who gets in\\ndeny 198.18.0.0/15\\nallow 198.18.7.0/24\\n' >" .. list)
    local output, knocks = examples.beside(name, "--seconds 600 --list " .. list .. " here", (([[
      knock() {
        ip netns exec THERE timeout SECONDS bash -c ': </dev/tcp/198.18.7.1/9' 2>&1 | grep -q refused &&
          echo refused || echo dropped
      }
      knock; echo deny 198.18.7.2 >>LIST
      for _ in $(seq 100); do
        [ $(knock) = refused ] || { echo dropped; break; }
        sleep 0.1
      done]]):gsub("%u%u+", { THERE = there, LIST = list, SECONDS = helper.slow > 1 and 4 or 1.5 })),
      "ip netns exec " .. here)
    assert.equal("refused\ndropped\n", knocks)
    assert(output:find "^Watching here for 600 s; [^\n]+\n\nPREFIX ", output)
    assert(output:find "\n198.18.0.0/15 +deny +0 +0 B\n198.18.7.0/24 +allow +[1-9]%d* +%d+ B\n", output)
    assert(output:find "\n198.18.7.2/32 +deny +[1-9]%d* +%d+ B\n$", output)
  end)

  it("says what is wrong with the list, and which interface isn't there", function()
    local list = helper.tmpdir() .. "/list"
    local function refused(text, arguments, message)
      local file <close> = assert(io.open(list, "w"))
      assert(file:write(text) and file:flush())
      local output, _, code = examples.run(name, arguments)
      assert.equal(1, code, output)
      assert(output:find("^" .. pattern .. ": " .. message), output)
    end
    refused("", "lo", "an interface needs a list: ")
    refused("permit 1.2.3.4\n", "--list " .. list .. " lo", "/%S+/list: not understood: permit 1.2.3.4\n$")
    refused("", "--list " .. helper.absent() .. " lo", "/%S+/absent: No such file")
    refused("deny 1.2.3.4/33\n", "--list " .. list .. " lo", "[^\n]*1%.2%.3%.4/33[^\n]*\n$")
    refused("", "--list " .. list .. " nowhere0", "program 'firewall': attach_xdp: [^\n]*'nowhere0'[^\n]*%(ENODEV%)\n$")
  end)
end)

both(describe, "traffic", function(name, pattern)
  teardown(net.remove)

  it("counts what goes through a network of its own, by protocol", function()
    local output, ok = examples.run(name)
    assert(ok, output)
    assert(output:find "^PROTOCOL +WAY +PACKETS +BYTES\n", output)
    assert(output:find("\nUDP +in +50  50.9 KiB\n", 1), output) -- 1000 bytes, and 42 of headers
    assert(output:find "\nTCP +in +[5-9] +%d+ B\n", output)
    assert(output:find "\nTCP +out +[5-9] +%d+ B\n", output)
  end)

  it("counts at an interface, by address, until Ctrl-C", function()
    local here, there = net.space(), net.space()
    net.cable({ space = here, name = "here", address = "198.18.7.1/24" },
      { space = there, name = "there", address = "198.18.7.2/24" })
    local output = examples.beside(name, "--seconds 600 --address here", (([[
      ip netns exec THERE bash -c 'for i in 1 2 3 4 5 6 7; do echo seven >/dev/udp/198.18.7.1/9; done'
      ]]):gsub("THERE", there)), "ip netns exec " .. here)
    assert(output:find "^Counting at here for 600 s; [^\n]+\n\nADDRESS +WAY +PACKETS +BYTES\n", output)
    assert(output:find "\n198.18.7.2 +in +7 +336 B\n", output)
  end)

  it("counts addresses of IPv6", function()
    local here, there = net.space(), net.space()
    net.need_ipv6(here)
    net.cable({ space = here, name = "here" }, { space = there, name = "there" })
    net.must(("ip -n %s addr add fd00::1/64 dev here nodad"):format(here))
    net.must(("ip -n %s addr add fd00::9:2/64 dev there nodad"):format(there))
    local output = examples.beside(name, "--seconds 600 --address here", (([[
      ip netns exec THERE bash -c 'for i in 1 2 3; do echo three >/dev/udp/fd00::1/9; done'
      ]]):gsub("THERE", there)), "ip netns exec " .. here)
    assert(tonumber(output:match "\nfd00::9:2 +in +(%d+) +") >= 3, output)
  end)

  it("says which interface isn't there", function()
    local output, _, code = examples.run(name, "nowhere0")
    assert.equal(1, code)
    assert(output:find("^" .. pattern .. ": program 'incoming': attach_tc: [^\n]*'nowhere0'[^\n]*%(ENODEV%)\n$"),
      output)
  end)
end)

describe("netcg", function()
  teardown(net.remove)

  it("shows whom a command talked to on a network of its own", function()
    local output, ok = examples.run("netcg")
    assert(ok, output)
    assert(output:find "^ADDRESS +PORT  PROTOCOL  PACKETS +SENT +RECEIVED\n", output)
    assert(output:find "\n198.18.1.1 +9  UDP +20  20.1 KiB +0 B\n", output) -- 1000 bytes, and 28 of headers
    assert(output:find "\n198.18.1.1 +80  TCP +%d+ +%d+ B +120 B\n", output) -- refused three times
    assert(output:find "\n\n20.%d KiB sent, 120 B received\n$", output)
  end)

  it("counts what a command and its children send and receive, and nobody else", function()
    local here, there = net.space(), net.space()
    net.cable({ space = here, name = "here", address = "198.18.7.1/24" },
      { space = there, name = "there", address = "198.18.7.2/24" })
    local server = net.within(there, function() return assert(require "socket".bind("198.18.7.2", 7777)) end)
    server:settimeout(10 * helper.slow)
    local pipe = assert(io.popen(([[ip netns exec %s %s examples/netcg/main.lua -- \
      bash -c 'bash -c "exec 3<>/dev/tcp/198.18.7.2/7777; printf %%10000s >&3; cat <&3 >/dev/null"; exit 3' 2>&1]])
      :format(here, helper.LUA)))
    local client = assert(server:accept())
    client:settimeout(10 * helper.slow)
    assert.equal(10000, #assert(client:receive(10000)))
    assert(client:send(("x"):rep(50000)))
    client:close()
    server:close()
    local output = pipe:read "a"
    assert(pipe:close(), output)
    assert(output:find "^The command ended by status 3\nADDRESS ", output)
    local sent, received = output:match "\n198.18.7.2 +7777  TCP +%d+ +([%d.]+) KiB +([%d.]+) KiB\n"
    sent, received = tonumber(sent), tonumber(received)
    assert(sent and sent > 9.76 and sent < 12, output)
    assert(received > 48.8 and received < 52, output)
  end)

  it("ends with its command on Ctrl-C, and ends what the command left running", function()
    local output, _, code = helper.interrupt(examples.command("netcg", "-- sh -c 'echo; exec sleep 300'"))
    assert.equal(0, code, output)
    assert(output:find "The command ended by %l+ %d+\nIt talked to nobody\n$", output)
    output = helper.run(([[
      sh -c 'echo $$; exec %s examples/netcg/main.lua -- \
        sh -c "sleep 77 & echo \$!; sed -n s/^0:://p /proc/self/cgroup"']]):format(helper.LUA))
    local pid, child, group = output:match "^(%d+)\n(%d+)\n(/[^\n]*)\nIt talked to nobody\n$"
    assert(group:find("/lbpf%-" .. pid .. "$"), output)
    assert.falsy(helper.run("grep State: /proc/" .. child .. "/status"):find "State:%s+[^ZX]") -- gone, or nearly so
  end)
end)

describe("netdeny", function()
  it("shows what a command may connect to while the rules change", function()
    local output, ok = examples.run("netdeny")
    assert(ok, output)
    assert(output:find "^ +198.18.1.2 +198.18.2.2\n%-%- no rule +allowed +allowed\n", output)
    assert(output:find('\nrules%["198.18.0.0/15"%] = { deny = true } +denied +denied\n'), output)
    assert(output:find('\nrules%["198.18.2.2/32"%] = { deny = false } +denied +allowed\n'), output)
    assert(output:find('\nrules%["198.18.0.0/15"%] = nil +allowed +allowed\n'), output)
    assert(output:find "\n\nCOMMAND +ADDRESS +PORT +REFUSED\nbash +198.18.1.2 +9 +2\nbash +198.18.2.2 +9 +1\n$", output)
  end)

  -- What a command says while it may not send anything to the addresses.
  local function denied(addresses, command)
    return helper.run(examples.command("netdeny", ("--deny %s -- bash -c %s"):format(addresses, helper.quote(command))))
  end

  it("refuses connections of a command and its children, and of nobody else", function()
    local output = helper.run(([[
      %s -- bash -c 'for i in 1 2 3; do (: </dev/tcp/127.0.0.1/%d); done; : </dev/tcp/127.0.0.2/9; exit 3' & wait $!
      bash -c ': </dev/tcp/127.0.0.1/9']]):format(examples.command("netdeny", "--deny 127.0.0.0/8 --allow 127.0.0.2"),
      7777))
    assert.equal(3, select(2, output:gsub("/127.0.0.1/7777: Operation not permitted\n", "")))
    assert(output:find("/127.0.0.2/9: Connection refused\n", 1, true), output)
    assert(output:find("/127.0.0.1/9: Connection refused\n", 1, true), output)
    assert(output:find "\nThe command ended by status 3\nCOMMAND +ADDRESS +PORT +REFUSED\nbash +127.0.0.1 +7777 +3\n",
      output)
  end)

  it("refuses datagrams without a connection", function()
    local send = ([[lua%s -e '
      local sent, message = require("socket").udp():sendto("x", "127.0.0.1", 9)
      print(sent == 1 and "1 byte" or message)']]):format(_VERSION:match "[%d.]+")
    assert.equal("1 byte\nNothing was refused\n", denied("127.0.0.2", send))
    local output = denied("127.0.0.1", send)
    assert(output:find "^Operation not permitted\n.*\nlua%S* +127.0.0.1 +9 +1\n$", output)
  end)

  it("refuses IPv6", function()
    local here = net.space()
    finally(net.remove)
    net.need_ipv6(here)
    local output = helper.run(("ip netns exec %s %s"):format(here, examples.command("netdeny",
      "--deny ::/0 --allow fd00::/8 -- bash -c ': </dev/tcp/::1/25'")))
    assert(output:find("Operation not permitted", 1, true), output)
    assert(output:find "\nbash +::1 +25 +1\n$", output)
  end)

  it("says what is wrong with a list, and ends with its command on Ctrl-C", function()
    local output, _, code = examples.run("netdeny", "--deny 1.2.3.4/33 -- true")
    assert.equal(1, code, output)
    assert(output:find "^netdeny: [^\n]*'1%.2%.3%.4/33'[^\n]*\n$", output)
    output, _, code = helper.interrupt(examples.command("netdeny", "-- sh -c 'echo; exec sleep 300'"))
    assert.equal(0, code, output)
    assert(output:find "The command ended by %l+ %d+\nNothing was refused\n$", output)
  end)
end)

describe("lighttpd", function()
  it("bans who asks too often, in the kernel, and lets them in again", function()
    examples.need_root()
    local abi = _VERSION:match "[%d.]+"
    if not helper.run("ldd /usr/lib/lighttpd/mod_magnet.so"):find("lua" .. abi, 1, true) then
      helper.skip("lighttpd has another Lua than " .. abi)
    end
    local options = ("--ban %d --seconds %d"):format(3 * helper.slow, 15 * helper.slow)
    local output, ok = examples.run("lighttpd", options, ("PATH=%s:$PATH"):format(helper.path_with "lighttpd"))
    if kernel.before("5.19") then
      assert.falsy(ok, output)
      assert(output:find "lighttpd: lighttpd says 500: [^\n]*guard.lua[^\n]* CAP_BPF [^\n]*%(EPERM%)", output)
      return
    end
    assert(ok, output)
    -- a request whose answer is late, on a busy machine, is made again, and counted again
    local answers = "198.18.1.3 +Request %d+ of 198.18.1.3\n[^\n]+198.18.1.1 +Request %d+ of 198.18.1.1\n[^\n]+" ..
      "198.18.1.1 +"
    assert(output:find(answers .. "no answer: the kernel drops what it sends\n"), output)
    assert(output:find "\nDENIED +DROPPED +SECONDS\n198.18.1.1/32 +[1-9]%d* +%d+\n", output)
    -- what the kernel dropped may come once more after the ban, and be counted
    assert(output:find "s  198.18.1.3 +Request %d+ of 198.18.1.3\n[^\n]+198.18.1.1 +Request %d+ of 198.18.1.1\n$",
      output)
  end)
end)

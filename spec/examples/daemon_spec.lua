-- SPDX-License-Identifier: MIT
-- The guide's chapter docs/daemon.md: its program, examples/meterd, as a user runs and restarts it.
local bpf = require "bpf"
local cgroup = require "spec.support.cgroup"
local chapters = require "spec.support.chapters"
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local map = bpf.map

describe("the chapter about a daemon", function()
  it("shows parts of its program as they are", function()
    chapters.check_parts("docs/daemon.md", "examples/meterd/meterd.lua", 3)
  end)

  it("shows its unit as it is", function()
    local unit = helper.read "examples/meterd/meterd.service":match "%[Unit%].*"
    assert(helper.read "docs/daemon.md":find("```ini\n" .. unit .. "```", 1, true))
  end)
end)

local function run(arguments, wrap)
  return helper.run(("%s %s examples/meterd/meterd.lua %s"):format(wrap or "", helper.LUA, arguments))
end

describe("meterd", function()
  it("explains itself without root", function()
    local output, ok = run "--help"
    assert(ok, output)
    assert(output:find "^Usage: meterd.lua")
  end)

  it("refuses arguments that it doesn't understand", function()
    for _, arguments in ipairs { "", "--foo", "a b", "--remove a", "--pins", "a --metrics", "-x" } do
      local output, _, code = run(arguments)
      assert.equal(2, code, output)
      assert(output:find "^meterd: [^\n]+\nUsage:", output)
    end
  end)
end)

describe("meterd", function()
  kernel.root()

  local group, pins

  before_each(function()
    group = cgroup.new()
    pins = helper.bpffs() .. "/meterd"
  end)
  after_each(function()
    run("--remove --pins " .. pins)
    group:remove()
  end)

  -- A daemon that runs, `stop`ped by a signal. `output` is what it has printed. Before Linux 5.11 maps count as locked
  -- memory.
  local function start(wrap, options)
    local dir = helper.tmpdir()
    local pipe = assert(io.popen(([[
      echo $$; ulimit -l unlimited 2>/dev/null
      exec env --default-signal %s %s examples/meterd/meterd.lua --pins %s %s %s >%s/out 2>&1]]):format(wrap or "",
      helper.LUA, pins, options or "", group.path, dir)))
    local daemon = { pid = pipe:read "n" }
    function daemon:output() -- luacheck: ignore self
      local file <close> = io.open(dir .. "/out")
      return file and file:read "a" or ""
    end
    function daemon:wait(text)
      assert(helper.eventually(function() return self:output():find(text, 1, true) end), self:output())
    end
    function daemon:stop(signal)
      if pipe then
        os.execute(("kill -%s %d"):format(signal or "KILL", self.pid))
        pipe = pipe:close() and nil
      end
    end
    daemon:wait "\n"
    return setmetatable(daemon, { __close = function() daemon:stop() end })
  end

  -- Sends packets of 128 bytes.
  local function send(address, packets)
    group:run(("bash -c 'for i in $(seq %d); do printf %%0100d 0 >/dev/udp/%s/9; done'"):format(packets, address))
  end

  -- Bytes sent, by address.
  local function sent()
    local peers <close> = assert(map.open(pins .. "/peers"))
    local found = {}
    for peer, traffic in pairs(peers) do
      found[bpf.format.ip(peer.address)] = traffic.sent
    end
    return found
  end

  local function link_info(name)
    local link <close> = assert(bpf.link.open(pins .. "/" .. name))
    return link:info()
  end

  for _, signal in ipairs { "TERM", "INT", "KILL", "HUP" } do
    it("goes on counting after SIG" .. signal .. ", and in the next run", function()
      local first <close> = start()
      assert.equal("attached\n", first:output())
      send("127.0.0.1", 5)
      first:wait "new: 127.0.0.1\n"
      local before = link_info "link_send"
      first:stop(signal)
      send("127.0.0.1", 3)
      send("127.0.0.2", 1)
      local second <close> = start()
      second:wait "new: 127.0.0.2\n"
      send("127.0.0.1", 2)
      assert.same({ ["127.0.0.1"] = 1280, ["127.0.0.2"] = 128 }, sent())
      local output = second:output()
      if signal == "KILL" then -- it may have come after the line was printed, and before its record counted as read
        output = output:gsub("new: 127%.0%.0%.1\n", "")
      end
      assert.equal("took over from an earlier run\nnew: 127.0.0.2\n", output)
      local after = link_info "link_send"
      assert.equal(before.id, after.id)
      assert.not_equal(before.prog_id, after.prog_id)
    end)
  end

  it("takes over while packets are sent, and counts each", function()
    local first <close> = start()
    local pipe = assert(io.popen(group:command(
      "bash -c 'for i in $(seq 2000); do printf %0100d 0 >/dev/udp/127.0.0.1/9; done'")))
    first:wait "new: 127.0.0.1\n"
    first:stop "TERM"
    for _ = 1, 3 do
      local next_one <close> = start()
      assert.equal("took over from an earlier run\n", next_one:output())
      next_one:stop "TERM"
    end
    assert(pipe:close())
    assert.same({ ["127.0.0.1"] = 2000 * 128 }, sent())
  end)

  it("attaches anew when the cgroup has been removed, and keeps the counts", function()
    do
      local first <close> = start()
      send("127.0.0.1", 1)
      first:wait "new"
    end
    group:remove()
    group = cgroup.new()
    local second <close> = start()
    assert.equal("attached\n", second:output())
    send("127.0.0.1", 1)
    assert.same({ ["127.0.0.1"] = 256 }, sent())
  end)

  it("leaves what is attached alone when there is no such cgroup", function()
    start():stop "TERM"
    local output, _, code = run(("--pins %s %s/absent"):format(pins, group.path))
    assert.equal(1, code)
    assert.equal("meterd: " .. group.path .. "/absent: no such cgroup\n", output)
    local again <close> = start()
    assert.equal("took over from an earlier run\n", again:output())
  end)

  it("removes what it has pinned, when asked to", function()
    start():stop "TERM"
    local id = link_info "link_receive".id
    local output, ok = run("--remove --pins " .. pins)
    assert(ok, output)
    assert.equal("", output)
    assert.falsy((select(2, helper.run("test -e " .. pins))))
    assert(helper.eventually(function() return not bpf.link_info(id) end))
    assert.equal("", (run("--remove --pins " .. pins))) -- twice is fine
  end)

  it("says which parameter of a pinned map has changed", function()
    os.execute("mkdir -p " .. pins)
    local other <close> = assert(map.create {
      type = "lru_hash", max_entries = 4096, key = "unsigned char[16]", value = "__u64",
    })
    assert(map.pin(other, pins .. "/peers"))
    local output, _, code = run("--pins " .. pins .. " " .. group.path)
    assert.equal(1, code)
    assert(output:find("map 'peers': another map is pinned at '" .. pins .. "/peers': value_size is 8, wanted 16",
      1, true), output)
  end)

  it("may have its maps changed as the chapter says", function()
    local dir = helper.tmpdir()
    os.execute(("mkdir -p %s; cp examples/meterd/meterd.bpf.o %s"):format(pins, dir))
    local key = { address = ("\0"):rep(15) .. "\1" }
    do
      local old <close> = assert(map.create {
        type = "lru_hash", max_entries = 4096, key = "struct peer { unsigned char address[16]; }",
        value = "struct traffic { __u32 sent, received; }",
      })
      old[key] = { sent = 3, received = 4 }
      assert(map.pin(old, pins .. "/peers"))
    end
    helper.write(dir .. "/block.lua", ("local bpf = require 'bpf' local map, dir = bpf.map, '%s'\n"):format(pins) ..
      chapters.block("docs/daemon.md", "peers_old"))
    local output, ok = helper.run(("cd %s && %s block.lua"):format(dir, helper.LUA))
    assert(ok, output)
    local peers <close> = assert(map.open(pins .. "/peers"))
    assert.same({ sent = 3, received = 4 }, peers[key])
    assert.equal(16, map.info(peers).value_size)
    assert.same({ "news", "peers" }, helper.entries(pins))
  end)

  it("needs three capabilities and no other", function()
    local wrap = "setpriv --bounding-set=-all,+bpf,+perfmon,+net_admin --inh-caps=-all"
    local daemon <close> = start(wrap)
    assert.equal("attached\n", daemon:output())
    send("127.0.0.1", 1)
    daemon:wait "new: 127.0.0.1\n"
    daemon:stop "TERM"
    local second <close> = start(wrap)
    assert.equal("took over from an earlier run\n", second:output())
  end)

  it("says what is missing where the kernel refuses it", function()
    local output, _, code = run("--pins " .. pins .. " " .. group.path, "setpriv --bounding-set=-all --inh-caps=-all")
    assert.equal(1, code, output)
    assert(output:find "^meterd: object 'meterd': load: [^\n]*%(EPERM%)\n$", output)
  end)

  it("writes metrics", function()
    local path = helper.tmpdir() .. "/meterd.prom"
    local daemon <close> = start(nil, "--metrics " .. path)
    send("127.0.0.1", 1)
    daemon:wait "new: 127.0.0.1\n"
    assert(helper.eventually(function()
      local file <close> = io.open(path)
      return file and file:read "a":find('\nmeterd_sent_bytes_total{address="127.0.0.1"} 128\n', 1, true)
    end))
  end)

  it("is shown by main.lua, which leaves nothing behind", function()
    local name = helper.LUA:match "[^/%s]+$"
    local output, ok = examples.run("meterd", "--seconds " .. 10 * helper.slow,
      ("PATH=%s:$PATH"):format(helper.path_with(name)))
    assert(ok, output)
    local lines = {}
    for line in output:gmatch "[^\n]+" do
      lines[#lines + 1] = line:gsub("  +", " ")
    end
    assert.same({ "first run attached", "first run 5 packets to 127.0.0.1", "first run new: 127.0.0.1",
      "no run 3 packets to 127.0.0.1", "no run 1 packet to 127.0.0.2", "second run took over from an earlier run",
      "second run new: 127.0.0.2", "second run 2 packets to 127.0.0.1", "ADDRESS SENT", "127.0.0.1 1.25 KiB",
      "127.0.0.2 128 B" }, lines)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Runs every example, as its reader would, and looks at what it prints.
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"

local both, needs, need_root = examples.both, examples.needs, examples.need_root

-- What the test of each example is; one that isn't here fails. That of exporter is in spec/metrics/prometheus_spec.lua.
-- Those of connects and meterd are in tool_spec.lua and daemon_spec.lua. Those of the tools below are in
-- observe_spec.lua and protect_spec.lua.
local tested = {
  connects = true, deny = true, dnslog = true, embed = true, execsnoop = true, exporter = true, firewall = true,
  ["firewall-lua"] = true, flowd = true, funccount = true, lighttpd = true, mallocs = true, meterd = true, netcg = true,
  netdeny = true, offcpu = true, opens = true, opensnoop = true, ["opensnoop-lua"] = true, profile = true,
  ["profile-lua"] = true, ratelimit = true, runqlat = true, ["runqlat-lua"] = true, syscount = true, systop = true,
  tasks = true, tcplife = true, traffic = true, ["traffic-lua"] = true, usdt = true,
}
-- Scripts of bpf.trace, each a file, which spec/tree/one_liners_spec.lua has all of.
local SCRIPTS <const> = "trace"
-- Tools as others have them, in few lines of Lua beside their BPF programs.
local short = {
  "dnslog", "flowd", "mallocs", "netdeny", "offcpu", "opensnoop", "profile", "ratelimit", "runqlat", "systop",
  "tcplife",
}
-- Programs that a chapter of the guide explains.
local chapters = { connects = "docs/tool.md", meterd = "docs/daemon.md" }
-- Those that don't share examples/common.lua have tests of their own for what it does; that in C in embed_spec.lua. The
-- others' options are in spec/examples/options_spec.lua.
local alone = { connects = true, embed = true, meterd = true, opens = true, syscount = true }
-- Without the capabilities that BPF needs, and so like any user, but with root's access to the files.
local POWERLESS = "setpriv --bounding-set=-all --inh-caps=-all"

-- Whether an example's programs are in Lua: it creates the maps before it loads them.
local function in_lua(name)
  return lfs.attributes(("examples/%s/programs.lua"):format(name)) or name:find "%-lua$" ~= nil
end

-- How many lines files have, by a shell pattern.
local function lines(files)
  return tonumber((helper.run("cat " .. files .. " | wc -l")))
end

describe("the examples", function()
  if helper.slow > 1 then -- where the tree is the same
    return
  end

  it("have a main.lua that says what it shows, and a test each", function()
    for name in lfs.dir "examples" do
      if lfs.attributes("examples/" .. name, "mode") == "directory" and not name:find "^%." and name ~= SCRIPTS then
        assert(tested[name], "examples/" .. name .. " has no test")
        local main = ("examples/%s/main.%s"):format(name, name == "embed" and "c" or "lua")
        local file <close> = assert(io.open(main))
        assert(file:read "a":find "^%p%p SPDX%-License%-Identifier: MIT[^\n]*\n%p%p %u[^\n]+%l\n?", name)
      end
    end
  end)

  it("are listed in the README, or explained by a chapter of the guide", function()
    local readme = helper.read "README.md"
    for name in pairs(tested) do
      local listed = readme:find(("[`%s`](examples/%s)"):format(name, name), 1, true)
      local chapter = chapters[name] and helper.read(chapters[name])
      assert(listed or chapter and chapter:find(("(../examples/%s/"):format(name), 1, true), name)
    end
  end)

  it("have as many lines in Lua alone, and with BPF C, as the README says", function()
    local count = 0
    local rows = helper.read "README.md":gmatch "\n| %[`[^`]+`%]%(examples/([^)]+)%) | (%d+) | (%d*)"
    for name, in_all, with_c in rows do
      count = count + 1
      assert.equal(lines(("examples/%s/*.lua"):format(name)), tonumber(in_all), name)
      local kin = name:match "^(.*)%-lua$"
      assert.equal(kin and lines(("examples/%s/main.lua examples/%s/*.bpf.c"):format(kin, kin)), tonumber(with_c), name)
    end
    assert(count > 0)
  end)

  it("are short, those that other collections of tools have as well", function()
    for _, name in ipairs(short) do
      assert(lines(("examples/%s/main.lua"):format(name)) <= 80, name)
    end
  end)
end)

for name in pairs(tested) do
  if not alone[name] then
    describe(name, function()
      it("says what is missing where the kernel refuses it", function()
        if name == "flowd" then
          helper.require("luv", "Lua 5.4")
        end
        local output, _, code = examples.run(name, "", helper.run("id -u") == "0\n" and POWERLESS or nil)
        assert.equal(1, code, output)
        local feature, version = table.unpack(needs[name] or {})
        if version and not kernel.at_least(version) then
          assert.equal(("%s: %s need Linux %s, this is %s\n"):format(name, feature, version, kernel.release), output)
        elseif name == "deny" and not examples.has_lsm then
          assert.equal("deny: bpf isn't among this kernel's LSMs: boot it with lsm=\u{2026},bpf\n", output)
        else
          local first = in_lua(name) and "map.create (" or ("object '%s': load: "):format(name)
          assert(output:find(("%s: %s"):format(name, first), 1, true) == 1, output)
          assert(output:find "^[^\n]*%(EPERM%)\n$", output)
        end
      end)
    end)
  end
end

describe("syscount", function()
  it("says what is missing where the kernel refuses it", function()
    local output, _, code = examples.run("syscount", "1", helper.run("id -u") == "0\n" and POWERLESS or nil)
    assert.equal(1, code)
    assert(output:find "^syscount: object 'syscount': load: [^\n]*%(EPERM%)\n$", output)
  end)

  it("counts the calls of processes, shows what is executed and how long calls take", function()
    need_root()
    local output = examples.beside("syscount", "-n 1000 600", [[
      dd if=/dev/zero of=/dev/null bs=1 count=20000 status=none
      n=$(wc -l <$out); until [ $(wc -l <$out) -gt $n ]; do /bin/true; done]])
    assert(output:find("exec +%d+ +%S+ +/%S+\n"), output) -- only the first of a second are shown
    assert(output:find("\n[%d.]+[kMG]? system calls of %d+ processes in [%d.]+ s\n"), output)
    assert(output:find("\n *PID  COMMAND +CALLS  CALLS/S +TIME  AVERAGE\n"), output)
    assert(output:find("\n *%d+  dd +40%.%dk "), output) -- a read and a write each
    assert(output:find("\nTime in the kernel, by call\n"), output)
    assert(output:find("\n +%S+ [num]s %S+ +%S+ [num]s +%d%S* [|│]"), output)
    assert.falsy(output:find("\27", 1, true)) -- it isn't a terminal
  end)
end)

describe("opens", function()
  -- clang takes half a minute on an emulated machine, for the newest kernel's types, which are the most
  if helper.slow > 1 and not kernel.at_least "6.13" then
    return
  end

  it("shows what is opened and what is looked for in vain", function()
    need_root()
    local output = examples.beside("opens", "600", "cat /etc/hostname /no/such/file >/dev/null 2>&1")
    assert(output:find "^    PID  COMMAND          RESULT  FILE\n", output)
    assert(output:find("\n +%d+  cat                  ok  /etc/hostname\n"), output)
    assert(output:find("\n +%d+  cat                  E2  /no/such/file\n"), output)
    assert(output:find("\n\n%d+ files opened, %d+ not"), output)
  end)
end)

describe("execsnoop", function()
  it("shows programs that are started, with their arguments, until Ctrl-C", function()
    need_root()
    local output = examples.beside("execsnoop", "--seconds 600", [[/bin/echo two "wide words" "" 'a"b' "it's"]])
    assert(output:find("\n +[%d.]+ +%d+ +%d+ +%d+  echo +/bin/echo two 'wide words' '' 'a\"b' 'it'\\''s'\n"), output)
    assert(output:find "\n%d+ programs? started\n$", output)
  end)
end)

both(describe, "opensnoop", function(name)
  it("shows the files of one program, with the result", function()
    need_root()
    local own, folder = "tee" .. helper.tag, helper.tmpdir() -- others run a tee as well
    local output = examples.beside(name, "--seconds 600 --comm " .. own,
      ("cp $(command -v tee) %s/%s; %s/%s /tmp/nowhere/x </etc/hostname >/dev/null"):format(folder, own, folder, own))
    assert(output:find("\n +%d+ +%d+  " .. own .. " +3 +r +%S+\n"), output)
    assert(output:find("\n +%d+ +%d+  " .. own .. " +ENOENT +wct +/tmp/nowhere/x\n"), output)
    assert(output:find "\n[1-9]%d* opens\n$", output)
    assert.falsy(output:find("lua", 1, true), output)
  end)
end)

both(describe, "runqlat", function(name)
  it("measures how long the threads of a process wait for a CPU", function()
    need_root()
    -- Two that compete for one CPU wait as long as the other may run.
    local output, ok = helper.run(([[
      taskset -c 0 sh -c 'while :; do :; done' & one=$!
      taskset -c 0 sh -c 'while :; do :; done' & two=$!
      %s; status=$?
      kill $one $two; exit $status]]):format(examples.command(name, "--seconds 4 --pid $one")))
    assert(ok, output)
    assert(output:find "^Measuring for 4 s; Ctrl%-C ends it\n\nWait for a CPU\n", output)
    assert(output:find "\n[^\n]+ ms +%S+ [^\n]+ m?s +[1-9]%d* [^\n]+\n", output)
    local waits, thousand, average =
      output:match "\n([%d.]+)(k?) waits, on average ([%d.]+ ms); half below %S+ %Ss, 99 of 100 "
    assert(waits and (thousand == "k" or tonumber(waits) > 5) and average, output)
  end)
end)

both(describe, "profile", function(name)
  it("shows the functions and stacks of a process", function()
    need_root()
    local output, ok = helper.run(([[
      %s & pid=$!; %s; status=$?
      kill $pid; exit $status]]):format(examples.busy(), examples.command(name, "--seconds 2 --pid $pid")))
    assert(ok, output)
    local samples = tonumber(output:match "^Sampling[^\n]+\n(%d+) samples of %d+ stacks\n")
    assert(samples and samples > 20 and samples < 400, output)
    assert(output:find "\n +SHARE +SAMPLES  FUNCTION\n *%d+%.%d %% +%d+  inner %(busy%)\n", output)
    assert(output:find "\n%d+%.%d %%, %d+ samples:\n  busy\n[^%%]*  main\n  outer\n  inner\n", output)
  end)
end)

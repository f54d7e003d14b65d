-- SPDX-License-Identifier: MIT
-- Runs the examples about programs and processes, as their reader would, and looks at what they print.
-- examples_spec.lua has what all examples have in common.
local attach = require "spec.support.attach"
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local kinds = require "spec.support.kinds"

local needs = examples.needs

kernel.root()

describe("funccount", function()
  setup(function()
    kernel.need("cookies of uprobes", "5.15")
  end)

  local PROBED <const> = attach.probed() -- calls probed_add, then probed_first, for each number that it reads

  local function counted(arguments, beside)
    return (examples.beside("funccount", "--seconds 600 " .. arguments, beside))
  end

  it("counts the calls of the functions that match", function()
    local output = counted(PROBED .. " 'probed_*' main", "echo 1 2 3 0 | " .. PROBED .. " >/dev/null")
    assert(output:find("^Counting 3 functions of %S+/build/support/probed for 600 s; "), output)
    assert(output:find "\n\nCALLS  FUNCTION\n    3  probed_add\n    3  probed_first\n    1  main\n$", output)
  end)

  it("counts in a library, for one process, how long calls take", function()
    local output = counted("--pid $$ --latency libc.so.6 fork", "(:); (:); (:)")
    assert(output:find "\nCALLS  FUNCTION\n +[3-9]  fork\n", output)
    assert(output:find "\n\nTime from call to return\n +[%d.]+ %ls %S+ +[%d.]+ %ls +[1-9] ", output)
  end)

  -- the rest is Lua, which emulated machines needn't show
  if helper.slow == 1 then
    it("counts how large an argument is", function()
      local output = counted("--argument 1 " .. PROBED .. " probed_add",
        "echo 5 6 7 100 0 | " .. PROBED .. " >/dev/null")
      assert(output:find "\n    4  probed_add\n\nArgument 1\n +4 %S+ +8 +3 ", output)
      assert(output:find "\n +64 %S+ 128 +1 [^\n]+\n$", output)
    end)

    it("counts what allocates memory if nothing is said", function()
      assert(counted("", "sleep 0; sleep 0"):find "\n\n *CALLS  FUNCTION\n *[1-9]%d*  %l+\n")
    end)

    it("says what it can't find or do", function()
      local function refused(arguments, message)
        local output, _, code = examples.run("funccount", arguments)
        assert.equal(1, code, output)
        assert.equal("funccount: " .. message .. "\n", output)
      end
      refused("lbpf_nothing x", "lbpf_nothing: no such program or library")
      refused(PROBED .. " no_function", PROBED .. ": no function no_function")
      refused("--argument 6", "--argument: only 1 to 5 are passed in registers everywhere")
      refused("--argument 1 --latency", "either --argument or --latency")
    end)
  end
end)

describe("usdt", function()

  local PROBED <const> = attach.probed() -- passes lbpf:step(number, "seven") for each number it reads, lbpf:guarded

  it("shows the probes that its own program passes, with their arguments", function()
    kernel.need(table.unpack(needs.usdt))
    local output, ok = examples.run("usdt", helper.slow > 1 and "--seconds 12" or "")
    assert(ok, output)
    assert(output:find '^  SECONDS +PID  COMMAND +PROBE\n', output)
    assert(output:find '\n    0.000 +%d+  kitchen +kitchen:ordered%(1, "noodles"%)\n', output)
    assert(output:find '\n +0.%d+ +%d+  kitchen +kitchen:served%(1, "noodles", 250%)\n', output)
    assert(output:find 'kitchen:served%(6, "soup", 1500%)\n\n12 passed\n$', output)
  end)

  it("shows one probe of a program, until Ctrl-C", function()
    kernel.need(table.unpack(needs.usdt))
    local output = examples.beside("usdt", ("--seconds 600 --text 2 %s lbpf:step"):format(PROBED),
      "echo 5 -6 0 | " .. PROBED)
    local lines = output:match "PROBE\n(.*)\n2 passed\n$"
    assert(lines, output)
    local first, second = lines:match "^([^\n]+)\n([^\n]+)\n$"
    assert(first and first:find "^ +0.000 +%d+  probed +lbpf:step%(5, .*%)$", output)
    assert(second:find '^ +0.%d+ +%d+  probed +lbpf:step%(%-6, "seven"%)$', output)
  end)

  it("lists probes, and says when there are none", function()
    assert.equal("lbpf:guarded\nlbpf:step\n", (examples.run("usdt", "--list " .. PROBED)))
    assert.equal("usdt: /bin/cat: no USDT probes\n", (examples.run("usdt", "--list /bin/cat")))
    assert.equal("usdt: --list needs a file\n", (examples.run("usdt", "--list")))
    assert.equal("usdt: --text: only up to 6 arguments are looked at\n", (examples.run("usdt", "--text 7")))
  end)
end)

describe("tasks", function()
  setup(function()
    kernel.need(table.unpack(needs.tasks))
  end)

  it("lists processes, with their parents, states and memory", function()
    local output, ok = helper.run(([[
      sleep 50 & one=$!
      sh -c 'kill -STOP $$' & two=$!
      until grep -q '(sleep) S' /proc/$one/stat && grep -q ') T' /proc/$two/stat; do sleep 0.02; done
      %s examples/tasks/main.lua; status=$?
      kill -KILL $one $two; echo "$$ $one $two"; exit $status]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find "^ *PID +PARENT +UID  S  THREADS +MAPPED +TIME +AGE  COMMAND\n", output)
    local parent, one, two = output:match "\n(%d+) (%d+) (%d+)\n$"
    assert(output:find("\n *2 +0 +0  S +1 +%- +%S+ %S+ +%S+ %S+  %[kthreadd%]\n"), output)
    assert(output:find(("\n *%s +%s +0  S +1 +[%%d.]+ [KM]iB +[^\n]+  sleep\n"):format(one, parent)), output)
    assert(output:find(("\n *%s +%s +0  T +1 "):format(two, parent)), output)
    local _, lines = output:match "^[^\n]+\n(.*)\n\n%d+ processes\n":gsub("\n", "")
    assert.equal(tonumber(output:match "\n\n(%d+) processes\n"), lines + 1)
  end)

  it("lists those of a name, user, or state", function()
    local name = "lb-" .. helper.tag -- nobody else's, and the user either
    local output = helper.run(([[
      chmod 755 DIR; cp "$(command -v sleep)" DIR/NAME
      DIR/NAME 50 & one=$!
      setpriv --reuid USER --clear-groups DIR/NAME 50 & two=$!
      for pid in $one $two; do until grep -qx NAME /proc/$pid/comm; do sleep 0.02; done; done
      tasks() { LUA examples/tasks/main.lua "$@" | sed -n 's/.*  //p; $p'; }
      tasks --comm NAME; tasks --uid USER
      tasks --comm NAME --state T; tasks --comm NAME --uid 1
      kill $one $two]]):gsub("%u%u+", { LUA = helper.LUA, DIR = helper.tmpdir(), NAME = name,
      USER = 0x10000000 + helper.pid }))
    assert.equal(("COMMAND\nNAME\nNAME\n2 processes\nCOMMAND\nNAME\n1 process\n" ..
      "COMMAND\n0 processes\nCOMMAND\n0 processes\n"):gsub("NAME", name), output)
  end)

  it("shows who was busy meanwhile", function()
    local output, ok = helper.run(([[
      sh -c 'while :; do :; done' & pid=$!
      %s examples/tasks/main.lua --state R --seconds 1; status=$?
      kill $pid; echo $pid; exit $status]]):format(helper.LUA))
    assert(ok, output)
    local pid = output:match "(%d+)\n$"
    assert(output:find("\n *" .. pid .. " +%d+ +0  R +1 +[%d.]+ [KM]iB +[1-9][%d.]* m?s +[%d.]+ m?s  sh\n"), output)
  end)
end)

describe("deny", function()
  describe("with LSM programs", function()
    setup(function()
        kernel.need(table.unpack(needs.deny))
      if kernel.config "CONFIG_BPF_LSM" == "n" then
        helper.skip "LSM programs need a kernel with CONFIG_BPF_LSM"
      elseif not examples.has_lsm then
        helper.skip "LSM programs need bpf in the kernel's list of LSMs (lsm=)"
      end
      attach.need_functions "LSM programs"
      kinds.need_all_of "examples/deny/deny.bpf.o"
    end)

    it("shows what can be done while its rule changes", function()
      local output, ok = examples.run "deny"
      assert(ok, output)
      assert(output:find "^ +list +open +remove +execute\n%-%- no rule +done +done +done +done\n", output)
      assert(output:find "\nrules%[dir%] = { execute = true } +done +refused +refused +refused\n", output)
      assert(output:find "\nrules%[dir%] = { write = true } +done +done +refused +done\n", output)
      assert(output:find "\nrules%[dir%] = { read = true } +refused +done +done +done\n", output)
      assert(output:find "\nrules%[dir%] = nil +done +done +done +done\n$", output)
    end)

    it("guards a directory until Ctrl-C", function()
      local dir = helper.tmpdir()
      local file = dir .. "/file"
      assert(helper.run("touch " .. file) == "")
      local output, tried = examples.beside("deny", "--seconds 600 --write " .. dir, (([[
        rm FILE 2>&1; cat FILE && echo read]]):gsub("FILE", file)))
      assert(tried:find "^rm: [^\n]* not permitted\nread\n$", tried)
      assert(output:find("^Guarding " .. dir .. " for 600 s; [^\n]+\n"), output)
      assert(output:find "\nRefused 1 times\n$", output)
      assert(os.remove(file))
    end)
  end)
end)

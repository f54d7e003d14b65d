-- SPDX-License-Identifier: MIT
-- Runs every example, as its reader would, and looks at what it prints.
local helper = require "spec.helper"
local lfs = require "lfs"

-- What the test of each example is; one that isn't here fails.
local tested = { opens = true, syscount = true }

local function example(name, arguments, wrap)
  return helper.run(("%s %s examples/%s/main.lua %s"):format(wrap or "", helper.LUA, name, arguments or ""))
end

-- Without the capabilities that BPF needs, and so like any user, but with root's access to the files.
local POWERLESS = "setpriv --bounding-set=-all --inh-caps=-all"

local function need_root()
  if os.getenv "LBPF_UNPRIVILEGED" then
    helper.skip "needs root"
  end
end

describe("the examples", function()
  it("have a main.lua, a README and a test each", function()
    for name in lfs.dir "examples" do
      if lfs.attributes("examples/" .. name, "mode") == "directory" and not name:find "^%." then
        assert(tested[name], "examples/" .. name .. " has no test")
        for _, file in ipairs { "main.lua", "README.md" } do
          assert(lfs.attributes(("examples/%s/%s"):format(name, file)), ("examples/%s/%s"):format(name, file))
        end
      end
    end
  end)
end)

describe("syscount", function()
  it("explains itself without root", function()
    local output, ok = example("syscount", "--help")
    assert(ok, output)
    assert(output:find "^Usage: main.lua", output)
  end)

  it("refuses arguments that it doesn't understand", function()
    for _, arguments in ipairs { "--foo", "-n", "-n x", "-n 2.5", "-p -1", "0", "-d -p 1" } do
      local output, _, code = example("syscount", arguments)
      assert.equal(2, code)
      assert(output:find "^syscount: not understood: %S+\nUsage:", output)
    end
  end)

  it("says what is missing where the kernel refuses it", function()
    local output, _, code = example("syscount", "1", helper.run("id -u") == "0\n" and POWERLESS or nil)
    assert.equal(1, code)
    assert(output:find "^syscount: object 'syscount': load: [^\n]*%(EPERM%)\n$", output)
  end)

  it("counts the calls of processes, shows what is executed and how long calls take", function()
    need_root()
    local output, ok = helper.run(([[
      %s examples/syscount/main.lua -n 1000 2 & sleep 1
      dd if=/dev/zero of=/dev/null bs=1 count=20000 status=none
      wait $!]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find("exec +%d+ +dd +%S*/dd\n"), output)
    assert(output:find("\n[%d.]+[kMG]? system calls of %d+ processes in 2%.%d s\n"), output)
    assert(output:find("\n *PID  COMMAND +CALLS  CALLS/S +TIME  AVERAGE\n"), output)
    assert(output:find("\n *%d+  dd +40%.%dk "), output) -- a read and a write each
    assert(output:find("\nTime in the kernel, by call\n"), output)
    assert(output:find("\n +%S+ [num]s %S+ +%S+ [num]s +%d%S* [|│]"), output)
    assert.falsy(output:find("\27", 1, true)) -- it isn't a terminal
  end)

  it("watches one process only when asked to", function()
    need_root()
    local output, ok = helper.run(([[
      dd if=/dev/zero of=/dev/null bs=1 & dd=$!
      %s examples/syscount/main.lua 1 --pid $dd; status=$?
      kill $dd; exit $status]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find "^Watching process %d+\n", output)
    assert(output:find(" system calls of 1 process in 1%.%d s\n"), output)
  end)

  it("ends on Ctrl-C with its result", function()
    need_root()
    local output, _, code = example("syscount", "60", "timeout --preserve-status -s INT 3")
    assert.equal(0, code, output)
    assert(output:find " system calls of %d+ process%a* in [23]%.%d s\n", output)
    assert.falsy(output:find("interrupted", 1, true))
  end)

  it("draws a picture a second on a terminal, and leaves the terminal as it was", function()
    need_root()
    local output, ok = helper.run(("TERM=xterm script -qec %s /dev/null"):format(
      helper.quote("stty cols 90 rows 20; " .. helper.LUA .. " examples/syscount/main.lua 3")))
    assert(ok, output)
    assert.equal(1, select(2, output:gsub("\27%[%?25l", "")))
    assert.equal(1, select(2, output:gsub("\27%[%?25h", "")))
    assert(output:find "\27%[%?25l.*\r\27%[%d+A\27%[J.*\27%[%?25h", output)
    for second = 1, 3 do
      assert(output:find(second .. " of 3 s, %d+ process"), output)
    end
  end)
end)

describe("opens", function()
  it("explains itself without root, and refuses what it doesn't understand", function()
    local output, ok = example("opens", "--help")
    assert(ok, output)
    assert(output:find "^Usage: main.lua", output)
    for _, arguments in ipairs { "--foo", "-p", "-p x", "-p 2.5", "0" } do
      local text, _, code = example("opens", arguments)
      assert.equal(2, code)
      assert(text:find "^opens: not understood: %S+\nUsage:", text)
    end
  end)

  it("shows what is opened and what is looked for in vain", function()
    need_root()
    local output, ok = helper.run(([[
      %s examples/opens/main.lua 4 & sleep 3
      cat /etc/hostname /no/such/file >/dev/null 2>&1
      wait $!]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find "^    PID  COMMAND          RESULT  FILE\n", output)
    assert(output:find("\n +%d+  cat                  ok  /etc/hostname\n"), output)
    assert(output:find("\n +%d+  cat                  E2  /no/such/file\n"), output)
    assert(output:find("\n\n%d+ files opened, %d+ not"), output)
  end)

  it("shows one process, and failures only, when asked to", function()
    need_root()
    local output, ok = helper.run(([[
      sh -c 'sleep 3; cat </etc/hostname </no/such/file; exec sleep 2' & sh=$!
      %s examples/opens/main.lua --failed -p $sh 4]]):format(helper.LUA))
    assert(ok, output)
    assert(output:find("\n +%d+  sh +E2  /no/such/file\n"), output)
    assert.falsy(output:find("/etc/hostname", 1, true))
  end)

  it("says what is missing", function()
    local output, _, code = helper.run(("lua=$(command -v %s); PATH=/nonexistent $lua examples/opens/main.lua 1")
      :format(helper.LUA:match "%S+$"))
    assert.equal(1, code)
    assert(output:find "^opens: bpf.compile: clang is not installed; .* package clang %(ENOENT%)\n$", output)
  end)
end)

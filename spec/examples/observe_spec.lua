-- SPDX-License-Identifier: MIT
-- Runs the tools that watch processes, as their user would: rows as JSON, filters, the end by SIGTERM.
-- examples_spec.lua has what all examples have in common, protect_spec.lua the tools for networks.
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"

local both, one, objects, until_term = examples.both, examples.one, examples.objects, examples.until_term

kernel.root()

both(describe, "opensnoop", function(name)
  it("shows the files of one user, as JSON", function()
    local user = 0x10000000 + helper.pid
    local printed, said = until_term(name, ("--json --seconds 600 --uid %d"):format(user), {
      beside = ("cat /etc/hostname; setpriv --reuid %d --clear-groups cat /etc/passwd /nowhere >/dev/null 2>&1")
        :format(user),
      done = "grep -q nowhere $out",
    })
    local list = objects(printed)
    for _, row in ipairs(list) do
      assert.equal(user, row.uid)
    end
    assert.equal(3, one(list, { command = "cat", file = "/etc/passwd" }).result)
    local failed = one(list, { command = "cat", file = "/nowhere" })
    assert.equal("ENOENT", failed.result)
    assert.equal("r", failed.mode)
    assert(said:find "\n[1-9]%d* opens\n$", said)
  end)

  it("shows the files whose path contains a text", function()
    local text = helper.tag .. "-no" -- others open files as well
    local printed = until_term(name, "--seconds 600 --path " .. text, {
      beside = ("cat /etc/hostname /%swhere >/dev/null 2>&1"):format(text), done = "grep -q where $out",
    })
    assert(printed:find "^ +PID +UID  COMMAND +RESULT +MODE +FILE\n[^\n]* ENOENT +r +/%w+%-nowhere\n$", printed)
  end)
end)

both(describe, "runqlat", function(name)
  it("shows how long the threads of each process wait", function()
    local printed, _, pid = until_term(name, "--json --top 1000 --seconds 600", { beside = [[
      taskset -c 0 sh -c 'while :; do :; done' & beside=$!
      taskset -c 0 dd if=/dev/zero of=/dev/null bs=1 count=100000 status=none & dd=$!
      wait $dd; echo $dd]] })
    local dd = one(objects(printed), { pid = tonumber(pid) })
    assert(dd.command == "dd" and dd.waits > 0 and dd.total > 0 and dd.half_below <= dd.most_below, printed)
  end)
end)

describe("systop", function()
  it("shows what processes use, each interval", function()
    local printed = until_term("systop", "--json --by calls --interval 0.2 --seconds 600", {
      beside = "dd if=/dev/zero of=/dev/null bs=1 status=none & beside=$!",
      done = [=[ [ $(grep -c "\"pid\":$beside,\"command\":\"dd\"" $out) -ge 2 ]]=],
    })
    local busy
    for _, row in ipairs(objects(printed)) do
      busy = busy or row.command == "dd" and row.cpu > 0 and row.calls_s > 1000
    end
    assert(busy, printed)
  end)

  it("shows a table, and says what it can't order by", function()
    local output, ok = examples.run("systop", "--seconds 0.2 --by switches")
    assert(ok, output)
    assert(output:find "PID +COMMAND +CPU %% +CALLS/S +ERRORS/S +US/CALL +SWITCHES/S\n +%d+ ", output)
    local _, code
    output, _, code = examples.run("systop", "--by size")
    assert.equal(1, code)
    assert.equal("systop: --by: cpu, calls, errors or switches\n", output)
  end)
end)

describe("offcpu", function()
  it("shows the stacks in which a process sleeps, with the times", function()
    local resting = examples.compiled("resting", [[
      #include <unistd.h>
      __attribute__((noinline)) void rest(void) { usleep(2000); __asm__ volatile(""); }
      int main(void) { for (;;) { rest(); write(1, ".", 1); } }
    ]])
    local printed = until_term("offcpu", "--json --seconds 600 --pid $beside", {
      before = ("%s >>%s.log & beside=$!"):format(resting, resting),
      beside = (": >%s.log"):format(resting), done = ("[ $(wc -c <%s.log) -ge 20 ]"):format(resting),
    })
    local sum = 0
    for _, row in ipairs(objects(printed)) do
      assert.equal("resting", row.command)
      if row.stack:find "^resting;[^ ]*main;[^ ]*nanosleep[^ ]*;schedule_%[k%]" then
        sum = sum + row.microseconds
      end
    end
    assert(sum > 20000, printed)
  end)
end)

describe("mallocs", function()
  it("shows which stacks allocate memory, and don't free it", function()
    local leaking = examples.compiled("leaking", [[
      #include <stdlib.h>
      #include <unistd.h>
      char *kept[100];
      __attribute__((noinline)) void leak(int i) { kept[i] = malloc(1000); __asm__ volatile("" : : : "memory"); }
      int main(void)
      {
        char go;
        read(0, &go, 1);
        for (int i = 0; i < 100; i++) leak(i);
        for (int i = 0; i < 40; i++) free(kept[i]);
        write(1, "done", 4);
        pause();
      }
    ]])
    local printed = until_term("mallocs", "--json --live --seconds 600 --pid $beside", {
      before = ("mkfifo PATH.go; sh -c 'exec PATH <PATH.go >PATH.log' & beside=$!; exec 3>PATH.go")
        :gsub("PATH", leaking),
      beside = "echo go >&3", done = ("[ -s %s.log ]"):format(leaking),
    })
    local sums = { calls = 0, live_calls = 0, live_bytes = 0, bytes = 0 }
    for _, row in ipairs(objects(printed)) do
      for name, sum in pairs(row.stack:find "main;leak$" and sums or {}) do
        sums[name] = sum + row[name]
      end
    end
    assert.same({ calls = 100, bytes = 100000, live_calls = 60, live_bytes = 60000 }, sums)
  end)
end)

-- SPDX-License-Identifier: MIT
-- Runs the scripts of examples/trace/ that are about system calls and files, as their reader would, and looks at what
-- they print.
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local traces = require "spec.support.traces"

kernel.root()
kernel.need("ring buffers", "5.8")

describe("setuids", function()
  it("shows calls that change users, with their results", function()
    local program = examples.compiled("setuids", [[
      #define _GNU_SOURCE
      #include <sys/fsuid.h>
      #include <unistd.h>
      int main(void)
      {
        setfsuid(7); setreuid(-1, 0); setresuid(65534, 65534, -1);
        return setuid(5) == 0;
      }
    ]])
    local output = traces.beside("setuids", program, "grep -q EPERM $out")
    assert.matches("^TIME +PID +COMMAND +UID +CALL +RESULT +ARGUMENTS\n", output)
    assert.matches("\n%d%d:%d%d:%d%d %d+ +setuids +0 +setfsuid +%d+ +uid=7\n", output)
    assert.matches(" setuids +0 +setreuid +0 +ruid=%-1 euid=0\n", output)
    assert.matches(" setuids +0 +setresuid +0 +ruid=65534 euid=65534 suid=%-1\n", output)
    assert.matches(" setuids +65534 +setuid +EPERM +uid=5\n", output)
  end)
end)

describe("syscount", function()
  it("counts calls by name and by process", function()
    local output = traces.beside("syscount", "dd if=/dev/zero of=/dev/null bs=1 count=20000 2>/dev/null")
    local calls, processes = output:match "^calls\n(.-)\n\nprocesses\n(.*)$"
    assert.is_true(tonumber(calls:match "  read +(%d+)") >= 20000, output)
    assert.is_true(tonumber(calls:match "  write +(%d+)") >= 20000, output)
    assert.is_true(tonumber(processes:match "  dd +(%d+)") >= 40000, output)
    assert.equal(10, select(2, calls:gsub("  %S+ +%d+ [^\n]*", "")))
  end)
end)

describe("statsnoop", function()
  it("shows paths, and errors", function()
    local absent = helper.absent()
    local looks = ("stat -f /etc >/dev/null; stat %s 2>/dev/null; [ -e %s/2 ]"):format(absent, absent)
    local output = traces.beside("statsnoop", looks, ("grep -q %s/2 $out"):format(absent))
    assert.matches("^PID +COMMAND +ERROR +PATH\n", output)
    assert.matches("\n%d+ +stat +0 +/etc\n", output)
    assert.matches("\n%d+ +stat +ENOENT +" .. absent:gsub("%p", "%%%0") .. "\n", output)
    assert.matches("\n%d+ +sh +ENOENT +" .. absent:gsub("%p", "%%%0") .. "/2\n", output)
  end)
end)

describe("syncsnoop", function()
  it("shows calls by their names", function()
    local folder = helper.tmpdir()
    local output = traces.beside("syncsnoop", ("sync -f %s; sync %s; sync -d %s"):format(folder, folder, folder),
      "grep -q fdatasync $out")
    assert.matches("^TIME +PID +COMMAND +CALL\n", output)
    for _, call in ipairs { "syncfs", "fsync", "fdatasync" } do
      assert.matches("\n%d%d:%d%d:%d%d %d+ +sync +" .. call .. "\n", output)
    end
  end)
end)

describe("threadsnoop", function()
  it("shows threads with the functions that they begin with", function()
    local program = examples.compiled("threads", [[
      #include <pthread.h>
      #include <stddef.h>
      #include <unistd.h>
      void *work(void *arg) { pause(); return arg; }
      int main(void) { pthread_t t; pthread_create(&t, NULL, work, NULL); return pthread_join(t, NULL); }
    ]])
    local output = traces.beside("threadsnoop", program .. " & program=$!", "grep -q threads $out && kill $program")
    assert.matches("^TIME +PID +COMMAND +FUNCTION\n", output)
    assert.matches("\n%d+ +%d+ +threads +work\n", output)
  end)
end)

describe("writeback", function()
  it("shows why data is written, and how much", function()
    local folder = helper.tmpdir()
    helper.run "modprobe loop"
    local output = traces.beside("writeback", ([[cd %s
      truncate -s 16M disk && mkfs.ext4 -q disk && mkdir mounted && mount -o loop disk mounted &&
        dd if=/dev/zero of=mounted/file bs=64k count=64 2>/dev/null && sync -f mounted/file
      umount mounted; cd - >/dev/null]]):format(folder), "grep -q sync $out")
    assert.matches("^TIME +DEVICE +PAGES REASON +MS\n", output)
    local most = 0
    for pages in output:gmatch "\n%d%d:%d%d:%d%d %S+ +(%d+) sync +%d+%.%d%d%d" do
      most = math.max(most, tonumber(pages))
    end
    assert.is_true(most >= 1024, output)
  end)
end)

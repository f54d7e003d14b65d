-- SPDX-License-Identifier: MIT
-- Runs the scripts of examples/trace/ that need kprobes, as their reader would, and looks at what they print.
local examples = require "spec.support.examples"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local traces = require "spec.support.traces"

kernel.root()
kernel.need("ring buffers", "5.8")
helper.require "socket"

if kernel.config("CONFIG_KPROBE_EVENTS") == "n" or kernel.config("CONFIG_KPROBES") == "n" then
  helper.skip "kprobes need a kernel with CONFIG_KPROBE_EVENTS"
end

helper.run "modprobe loop; modprobe xfs; modprobe zram" -- where they are no part of the kernel

local READS <const> = "dd if=/etc/passwd of=/dev/null bs=1 count=1000 2>/dev/null"

describe("vfscount", function()
  it("counts calls by function", function()
    local output = traces.beside("vfscount", READS)
    assert.matches("^calls\n", output)
    assert.is_true(tonumber(output:match "\n +vfs_read +(%d+)") >= 1000, output)
    assert.is_true(tonumber(output:match "\n +vfs_write +(%d+)") >= 1000, output)
  end)
end)

describe("vfsstat", function()
  it("counts calls every second", function()
    local output = traces.beside("vfsstat", READS, "grep -q 'vfs_read  *[0-9][0-9][0-9][0-9]' $out")
    assert.matches("%d%d:%d%d:%d%d\ncalls\n", output)
    assert.matches("\n  vfs_write +[1-9]%d%d%d+ ", output)
    assert.matches("\n  vfs_open +[1-9]", output)
  end)
end)

describe("tcpsynbl", function()
  it("shows how long queues are, by their limits", function()
    local output = traces.beside("tcpsynbl", traces.socket [[
      local server, clients = socket.bind("127.0.0.1", 0, 7), {}
      for n = 1, 5 do
        clients[n] = socket.connect("127.0.0.1", (select(2, server:getsockname())))
      end
    ]])
    assert.matches("^backlog\n", output)
    assert.matches("\n  7\n +0 +1 [^\n]+\n +1 +1 [^\n]+\n +2 – 3 +2 [^\n]+\n +4 – 7 +1 ", output)
  end)
end)

describe("undump", function()
  it("shows what is read from Unix sockets", function()
    local output = traces.beside("undump", traces.socket [[
      local unix = require "socket.unix"
      local path = os.tmpname()
      os.remove(path)
      local server = unix.stream()
      server:bind(path)
      server:listen()
      local client = unix.stream()
      client:connect(path)
      client:send "knock\1knock"
      server:accept():receive(11)
      os.remove(path)
    ]], "grep -q knock $out")
    assert.matches("^TIME +PID +COMMAND +SIZE  DATA\n", output)
    assert.matches("\n%d%d:%d%d:%d%d %d+ +lua%S* +11  knock\\x01knock\n", output)
  end)
end)

describe("swapin", function()
  it("counts pages that come back from swap, by process", function()
    local program = examples.compiled("swaps", [[
      #include <string.h>
      #include <sys/mman.h>
      int main(void)
      {
        size_t size = 64 * 4096, n = 0;
        char *p = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        madvise(p, size, MADV_RANDOM);
        memset(p, 1, size);
        madvise(p, size, MADV_PAGEOUT);
        for (size_t i = 0; i < size; i += 4096) n += p[i];
        return n != 64;
      }
    ]])
    local control <close> = io.open "/sys/class/zram-control/hot_add"
    if not control then
      helper.skip "needs zram, whose writes end at once, so that pages go"
    end
    local output = traces.beside("swapin", [[
      z=$(cat /sys/class/zram-control/hot_add)
      echo 32M >/sys/block/zram$z/disksize && mkswap /dev/zram$z >/dev/null && swapon /dev/zram$z && ]] .. program,
      "grep -q swaps $out && { swapoff /dev/zram$z; echo $z >/sys/class/zram-control/hot_remove; }")
    assert.matches("%d%d:%d%d:%d%d\npages\n", output)
    assert.matches("\n  swaps +%d+ +[1-9]%d*", output)
  end)
end)

describe("xfsdist", function()
  it("shows how long operations take", function()
    if not helper.run "command -v mkfs.xfs":find "xfs" then
      helper.skip "needs mkfs.xfs"
    end
    local folder = helper.tmpdir()
    local output = traces.beside("xfsdist", ([[cd %s
      mkdir mounted && truncate -s 320M disk && mkfs.xfs -q disk && mount -o loop disk mounted &&
        dd if=/dev/zero of=mounted/file bs=4k count=16 conv=fsync 2>/dev/null && cat mounted/file >/dev/null
      umount mounted; cd - >/dev/null]]):format(folder))
    assert.matches("^us\n", output)
    for _, name in ipairs { "file_read_iter", "file_write_iter", "file_open", "file_fsync" } do
      assert.matches("\n  " .. name .. "\n +%d", output)
    end
  end)
end)

-- SPDX-License-Identifier: MIT
-- Runs the scripts of examples/trace/ that need kprobes or fentry, as their reader would, on a kernel that has the
-- functions they probe.
local attach = require "spec.support.attach"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local traces = require "spec.support.traces"

kernel.root()
kernel.need("ring buffers", "5.8")
attach.need_functions "fentry"
if kernel.config("CONFIG_KPROBE_EVENTS") == "n" or kernel.config("CONFIG_KPROBES") == "n" then
  helper.skip "kprobes need a kernel with CONFIG_KPROBE_EVENTS"
end

local name = "lb-" .. helper.tag -- nobody else's

describe("dcsnoop", function()
  it("shows names that are looked up, and those that aren't cached", function()
    local folder = helper.tmpdir() .. "/" .. name
    local output = traces.beside("dcsnoop", ("mkdir %s; cat %s/absent 2>/dev/null"):format(folder, folder),
      "grep -q 'M absent' $out")
    assert.matches("^  TIME%(ms%) PID     COMMAND          T FILE\n", output)
    assert.matches("\n +%d+ %d+ +cat +R " .. name:gsub("%p", "%%%0") .. "/absent\n", output)
    assert.matches("\n +%d+ %d+ +cat +M absent\n", output)
  end)
end)

describe("biolatency-kp", function()
  it("shows how long requests take", function()
    if not select(2, helper.run "grep -qE '[tT] (__)?blk_account_io_start$' /proc/kallsyms") then
      helper.skip "this kernel's compiler has put the function into others"
    end
    local output = traces.beside("biolatency-kp", ([[
      modprobe -q loop; file=%s/disk; truncate -s 4M $file; disk=$(losetup -f --show $file)
      dd if=/dev/zero of=$disk bs=64k count=20 oflag=direct 2>/dev/null
      losetup -d $disk; rm $file]]):format(helper.tmpdir()))
    assert.matches("^usecs\n", output)
    local sum = 0
    for count in output:gmatch "  (%d+) [^%d ]" do
      sum = sum + count
    end
    assert.is_true(sum >= 20, output)
  end)
end)

describe("capable", function()
  it("shows which capabilities the kernel looks for", function()
    local output = traces.beside("capable", "setpriv --reuid 65534 --clear-groups nice -n -5 true 2>/dev/null",
      "grep -q 'nice .*CAP_SYS_NICE' $out")
    assert.matches("\n%d%d:%d%d:%d%d 65534  %d+ +nice +23 CAP_SYS_NICE +no\n", output)
  end)
end)

describe("oomkill", function()
  it("shows what is killed because memory ran out", function()
    local output, before = traces.beside("oomkill", ([[
      top=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
      echo +memory >$top/cgroup.subtree_control; group=$top/%s; mkdir $group; echo 20M >$group/memory.max
      sh -c "echo \$\$ >$group/cgroup.procs; exec dd if=/dev/zero of=/dev/null bs=100M count=1" 2>/dev/null
      echo "status $?"; rmdir $group]]):format(name))
    if not before:find("status 137", 1, true) then
      helper.skip("no cgroup with a limit of memory can be made: " .. before)
    end
    local pid, victim, size = output:match "\n%d%d:%d%d:%d%d (%d+) +dd +(%d+) +dd +(%d+)\n"
    assert.equal(pid, victim, output)
    assert.is_true(tonumber(size) > 20000, output)
  end)
end)

describe("mdflush", function()
  it("shows flushes of software RAID", function()
    kernel.need("the member bi_bdev of struct bio", "5.12")
    if not select(2, helper.run "modprobe loop && modprobe raid1") then
      helper.skip "this kernel has no RAID 1"
    end
    local output, before = traces.beside("mdflush", ([[
      file=%s/disk; truncate -s 16M $file; disk=$(losetup -f --show $file)
      echo md_lbpf >/sys/module/md_mod/parameters/new_array; cd /sys/block/md_lbpf/md
      echo none >metadata_version; echo raid1 >level; echo 1 >raid_disks; echo 16384 >component_size
      cat /sys/block/${disk#/dev/}/dev >new_dev; echo 0 >dev-${disk#/dev/}/slot; echo active >array_state
      dd if=/dev/zero of=/dev/md_lbpf bs=4k count=1 conv=fsync 2>/dev/null
      cat array_state; echo clear >array_state; cd /; losetup -d $disk; rm $file]]):format(helper.tmpdir()))
    assert.matches("\n%d%d:%d%d:%d%d %d+ +dd +md_lbpf\n", output, before)
  end)
end)

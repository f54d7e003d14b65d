-- SPDX-License-Identifier: MIT
-- Runs the scripts of examples/trace/ that are about block devices, as their reader would: a loop device gets requests.
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local traces = require "spec.support.traces"

kernel.root()
kernel.need("ring buffers", "5.8")

local path, name = helper.own "dd"

-- Twenty requests of 64 KiB, past the page cache.
local WRITES <const> = path .. " if=/dev/zero of=$disk bs=64k count=20 oflag=direct 2>/dev/null"

-- A shell command with a loop device, $disk.
local function with_disk(command)
  return ([[
    modprobe -q loop; file=%s/disk; truncate -s 4M $file; disk=$(losetup -f --show $file)
    %s
    losetup -d $disk; rm $file]]):format(helper.tmpdir(), command)
end

-- The sum of a histogram's rows, and how many are in the row that begins with a label.
local function sum_of(text, label)
  local sum, labelled = 0, 0
  for row, count in text:gmatch "\n +([^\n]-)  +(%d+) [│|]" do
    sum = sum + math.tointeger(count)
    labelled = row:find(label or row, 1, true) == 1 and math.tointeger(count) or labelled
  end
  return sum, labelled
end

local function need_disk()
  if not helper.run(with_disk "echo $disk"):find "^/dev/loop" then
    helper.skip "there are no loop devices"
  end
end

describe("bitesize", function()
  setup(need_disk)

  it("shows the sizes of requests by process", function()
    local ours, theirs = traces.beside_bpftrace("bitesize", "Tracing", with_disk(WRITES))
    assert.matches("^bytes\n", ours)
    local _, count = sum_of((ours .. "\n"):match("\n  " .. name .. "(\n.-\n)\n"), "64K")
    assert.is_true(count >= 20, ours)
    if theirs then
      assert.equal(math.tointeger(theirs:match("@%[" .. name .. "%]:.-\n%[64K, 128K%) +(%d+)")), count, ours .. theirs)
    end
  end)
end)

describe("biolatency", function()
  setup(need_disk)

  it("shows how long requests take", function()
    kernel.need("tracepoints of requests that begin and end", "6.5")
    local output = traces.beside("biolatency", with_disk(WRITES))
    assert.matches("^usecs\n", output)
    assert.is_true(sum_of(output) >= 20, output)
  end)
end)

describe("biosnoop", function()
  setup(need_disk)

  it("shows each request with its disk and process", function()
    kernel.need("tracepoints of requests that begin and end", "6.5")
    local output = traces.beside("biosnoop", with_disk(WRITES), ("[ $(grep -c 'loop.*%s' $out) -ge 20 ]"):format(name))
    assert.matches("^  TIME%(ms%) DISK     COMMAND          PID       LAT%(ms%)\n", output)
    local _, count = output:gsub("\n +%d+ loop%d+ +" .. name .. " +%d+ +%d+%.%d%d%d", "%0")
    assert.equal(20, count, output)
  end)
end)

describe("biostacks", function()
  setup(need_disk)

  it("shows how long requests wait, by who made them", function()
    kernel.need("tracepoints of requests that begin and end", "6.5")
    local output = traces.beside("biostacks", with_disk(WRITES))
    assert.matches("^usecs\n      blk_account_io_start%+0x", output)
    assert.matches("\n +vfs_write%+0x", output)
    assert.is_true(sum_of(output) >= 20, output)
  end)
end)

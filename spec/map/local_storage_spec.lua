-- SPDX-License-Identifier: MIT
-- Storage that belongs to a process, a file or a cgroup: keyed in Lua by pid, path or descriptor, and gone with its
-- owner. Programs write and read that of processes and cgroups here. That of files (inode_storage) only LSM programs
-- can use (the kernel tells others: "program of this type cannot use helper bpf_inode_storage_get"), and those don't
-- load everywhere (EPERM), so of it only Lua's side is tested.
local lfs = require("lfs")

local cgroup = require("spec.support.cgroup")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds_of_programs = require("spec.support.kinds")
local bpf = require("bpf")
local sys = require("support.sys")

local fails, map = helper.fails, bpf.map

local ABSENT = helper.absent()

kernel.root()

local STORAGES = helper.obj("storages")
local VALGRIND = helper.LUA:find("^valgrind") and "valgrind has no pidfd_open"
local NOBODY = 1 << 22 -- the kernel gives out lower process ids only
local NOTE = "struct note { struct bpf_spin_lock lock; __u32 times; char text[8]; }"

-- A key as a pattern.
local function literally(key)
  return (tostring(key):gsub("%p", "%%%0"))
end

local function system_call()
  os.rename(ABSENT, ABSENT)
end

-- A process that waits for its end: its id, and a function that ends it.
local function child()
  local path = helper.tmpdir() .. "/pid"
  local pipe = assert(io.popen("echo $$ >" .. path .. "; exec cat", "w"))
  local pid
  repeat
    local file = io.open(path)
    pid = file and file:read("n")
    if file then
      file:close()
    end
  until pid
  return pid, function() pipe:close() end
end

-- Each kind of storage: two owners' keys, how to make one anew, what ends its first owner, and what is no key.
local kinds = {
  {
    type = "task_storage",
    need = "5.11",
    setup = function()
      local pid, stop = child()
      return { key = helper.pid, brief = pid, stop = stop, descriptor = sys.pidfd(helper.pid) }
    end,
    nobody = NOBODY,
    bad = { { 0, "a process id expected" }, { -1, "a process id expected" }, { 1.5, "a process id expected" },
      { "self", "a file descriptor expected" }, { {}, "a file descriptor expected" } },
  },
  {
    type = "inode_storage",
    need = "5.10",
    config = "CONFIG_BPF_LSM",
    setup = function()
      local dir = helper.tmpdir()
      for _, name in ipairs({ "own", "brief" }) do
        assert(io.open(dir .. "/" .. name, "w")):close()
      end
      return { key = dir .. "/own", brief = dir .. "/brief", descriptor = sys.open(dir .. "/own"),
        stop = function() assert(os.remove(dir .. "/brief")) end }
    end,
    nobody = "/lbpf/nothing",
    bad = { { {}, "a file descriptor expected" }, { true, "a file descriptor expected" },
      { -1, "a file descriptor expected" } },
  },
  {
    type = "cgrp_storage",
    need = "6.2",
    setup = function()
      local own, brief = cgroup.new(), cgroup.new()
      return { key = own.path, brief = brief.path, descriptor = sys.open(own.path),
        stop = function() brief:remove() end, done = function() own:remove() end }
    end,
    nobody = "/sys/fs/cgroup/lbpf-nothing",
    bad = { { {}, "a file descriptor expected" }, { true, "a file descriptor expected" },
      { -1, "a file descriptor expected" } },
  },
}

for _, kind in ipairs(kinds) do
  describe(kind.type, function()
    kernel.need(kind.type, kind.need)
    if kind.config and kernel.config(kind.config) == "n" then
      helper.skip(kind.type .. " needs a kernel with " .. kind.config)
    elseif kind.type == "task_storage" and VALGRIND then
      helper.skip(VALGRIND)
    end

    local m, at, stopped

    local function stop()
      if not stopped then
        stopped = true
        at.stop()
      end
    end

    before_each(function()
      stopped = false
      at = kind.setup()
      m = assert(map.create({ type = kind.type, name = "notes", value = "struct hit { __u64 count; char by[8]; }" }))
    end)

    after_each(function()
      stop()
      sys.close(at.descriptor)
      map.close(m)
      if at.done then
        at.done()
      end
    end)

    it("is made without key and max_entries", function()
      local info = map.info(m)
      assert.same({ kind.type, 4, 16, 0 }, { map.type(m), info.key_size, info.value_size, info.max_entries })
      assert.is_true(info.map_flags & 1 == 1, "not no_prealloc")
      fails("EINVAL", "max_entries must be left out",
        map.create({ type = kind.type, value = "__u64", max_entries = 1 }))
    end)

    it("may hold bytes", function()
      local bytes <close> = assert(map.create({ type = kind.type, value_size = 3 }))
      bytes[at.key] = "\0\1\2"
      assert.equal("\0\1\2", bytes[at.key])
    end)

    it("is nil where nothing was stored", function()
      assert.is_nil(m[at.key])
      assert.same({ n = 1 }, table.pack(map.lookup(m, at.key)))
      assert.same({ false, "ENOENT" }, { map.delete(m, at.key) })
      m[at.key] = nil
    end)

    it("is a value for each owner", function()
      m[at.key] = { count = 1, by = "me" }
      m[at.brief] = { count = 2 }
      assert.same({ count = 1, by = "me" }, m[at.key])
      assert.same({ count = 2, by = "" }, m[at.brief])
      m[at.key] = { count = 3 }
      assert.same({ count = 3, by = "" }, m[at.key])
      assert.same({ 2, "" }, { map.unpack(m, at.brief) })
      m[at.key] = nil
      assert.is_nil(m[at.key])
      assert.is_true(map.delete(m, at.brief))
      assert.is_nil(m[at.brief])
    end)

    it("takes update's flags", function()
      assert.same({ false, "ENOENT" }, { map.update(m, at.key, { count = 1 }, "exist") })
      assert.is_true(map.update(m, at.key, { count = 1 }, "noexist"))
      assert.same({ false, "EEXIST" }, { map.update(m, at.key, { count = 2 }, "noexist") })
      assert.is_true(map.update(m, at.key, { count = 3 }, "exist"))
      assert.equal(3, m[at.key].count)
    end)

    it("is found by a descriptor of its owner as well, which stays open", function()
      local object = { getfd = function() return at.descriptor end }
      local by_fd = kind.type == "task_storage" and object or at.descriptor -- an integer is a process there
      m[by_fd] = { count = 4 }
      assert.equal(4, m[at.key].count)
      assert.equal(4, m[object].count)
      m[at.key] = { count = 5 }
      assert.equal(5, m[by_fd].count)
      assert.is_true(map.delete(m, object))
      assert.is_nil(m[at.key])
      assert.is_truthy(lfs.symlinkattributes(("/proc/self/fd/%d"):format(at.descriptor)))
    end)

    it("is gone with its owner", function()
      m[at.brief] = { count = 1 }
      stop()
      assert.is_nil(m[at.brief])
      assert.same({ false, "ENOENT" }, { map.delete(m, at.brief) })
      fails("ENOENT", "^map 'notes': update: .*" .. literally(at.brief) .. ".*%(ENOENT%)$",
        map.update(m, at.brief, { count = 1 }))
    end)

    it("of an owner that doesn't exist is absent, and can't be stored", function()
      assert.is_nil(m[kind.nobody])
      assert.same({ n = 1 }, table.pack(map.lookup(m, kind.nobody)))
      assert.same({ n = 1 }, table.pack(map.unpack(m, kind.nobody)))
      assert.same({ false, "ENOENT" }, { map.delete(m, kind.nobody) })
      m[kind.nobody] = nil
      local pattern = "map 'notes': update: .*" .. literally(kind.nobody) .. ".*%(ENOENT%)$"
      fails("ENOENT", "^" .. pattern, map.update(m, kind.nobody, {}))
      helper.raises(function() m[kind.nobody] = {} end, pattern)
    end)

    it("checks keys", function()
      for _, bad in ipairs(kind.bad) do
        helper.raises(function() return m[bad[1]] end, bad[2])
        helper.raises(function() m[bad[1]] = {} end, bad[2])
        helper.raises(function() map.delete(m, bad[1]) end, bad[2])
      end
      local file <close> = assert(io.open("/dev/null"))
      if kind.type ~= "inode_storage" then -- a file has an inode
        fails("EBADF", "^map 'notes': update: the key is no open file descriptor of the right kind",
          map.update(m, file, {}))
      end
      local closed = { getfd = function() return 9999 end }
      fails("EBADF", "^map 'notes': update: the key is no open file descriptor", map.update(m, closed, {}))
      fails("EBADF", "^map 'notes': lookup: ", map.lookup(m, closed))
    end)

    it("leaves no descriptor open", function()
      local before = helper.descriptors()
      m[at.key] = { count = 1 }
      map.lookup(m, at.key)
      map.lookup(m, kind.nobody)
      pcall(map.update, m, at.key, { nonsense = 1 })
      pcall(map.update, m, at.key, {}, "nonsense")
      map.delete(m, at.key)
      map.delete(m, at.key)
      assert.equal(before, helper.descriptors())
    end)

    it("can't be walked, and says what it can", function()
      local what = "map 'notes': maps of type " .. kind.type .. " have no .*%(they have: lookup, update, delete%)"
      helper.raises(function() pairs(m) end, what)
      helper.raises(function() map.keys(m) end, what)
      helper.raises(function() map.next_key(m) end, what)
      helper.raises(function() map.lookup_and_delete(m, at.key) end, what)
      helper.raises(function() map.clear(m) end, what)
    end)

    it("may have a lock", function()
      local locked <close> = assert(map.create({ type = kind.type, value = NOTE }))
      locked[at.key] = { times = 1, text = "lua" }
      assert.same({ times = 1, text = "lua" }, map.lookup(locked, at.key, "lock"))
      assert.is_true(map.update(locked, at.key, { times = 2 }, { "lock", "exist" }))
      assert.same({ times = 2, text = "" }, locked[at.key])
      fails("EINVAL", "update", map.update(m, at.key, {}, "lock")) -- this map has none
    end)
  end)
end

describe("storage of tasks, with a program", function()
  kernel.need("task_storage", "5.11")
  if VALGRIND then
    helper.skip(VALGRIND)
  end

  local obj, tasks

  before_each(function()
    obj = assert(kernel.load(STORAGES))
    tasks = obj.maps.tasks
    obj.vars.target = helper.pid
  end)

  after_each(function()
    obj:close()
  end)

  local function trace()
    local link = assert(kinds_of_programs.program(obj, "on_call"):attach())
    system_call()
    link:detach()
    assert.is_true(obj.vars.calls > 0)
  end

  -- What the iterator's program writes: { [pid] = times }.
  local function noted()
    local link <close> = assert(kinds_of_programs.program(obj, "noted"):attach())
    local found = {}
    local text = sys.iterate(link:fd())
    for at = 1, #text, 8 do
      local pid, times = string.unpack("=I4I4", text, at)
      found[pid] = times
    end
    return found
  end

  it("that Lua writes is seen by the program, and the reverse", function()
    tasks[helper.pid] = { times = 10, text = "lua" }
    trace()
    assert.equal(obj.vars.calls, obj.vars.found)
    assert.same({ times = 10 + obj.vars.calls, text = "program" }, tasks[helper.pid])
    assert.equal(10 + obj.vars.calls, obj.vars.found_times)
  end)

  it("is not there for the program before Lua writes it, or after Lua deletes it", function()
    trace()
    assert.equal(0, obj.vars.found)
    tasks[helper.pid] = {}
    tasks[helper.pid] = nil
    trace()
    assert.equal(0, obj.vars.found)
  end)

  it("that the program makes is seen by Lua", function()
    obj.vars.create = 1
    trace()
    assert.same({ times = obj.vars.calls, text = "program" }, tasks[helper.pid])
    assert.is_nil(tasks[1])
  end)

  it("is found by an iterator over all tasks, until its task ends", function()
    local pid, stop = child()
    tasks[helper.pid] = { times = 3 }
    tasks[pid] = { times = 4 }
    assert.same({ [helper.pid] = 3, [pid] = 4 }, noted())
    stop()
    assert.same({ [helper.pid] = 3 }, noted())
    assert.is_nil(tasks[pid])
  end)

  it("of a thread is its own", function()
    kernel.need("descriptors of threads", "6.9")
    local thread <close> = sys.thread()
    assert.is_nil(tasks[thread:tid()])
    tasks[thread:tid()] = { times = 7 }
    assert.is_nil(tasks[helper.pid])
    assert.equal(7, tasks[thread:tid()].times)
    assert.same({ [thread:tid()] = 7 }, noted())
    assert.is_true(map.delete(tasks, thread:tid()))
    assert.same({}, noted())
  end)

  it("of threads is gone with them, at whatever moment one asks", function()
    kernel.need("descriptors of threads", "6.9")
    for i = 1, 500 do
      local thread <close> = sys.thread()
      local tid = thread:tid()
      tasks[tid] = { times = i }
      thread:close()
      repeat until not tasks[tid] -- it ends a little later than it says; asked often, to meet the very moment
    end
    assert.same({}, noted())
  end)

  it("of threads needs Linux 6.9, and says so", function()
    local thread <close> = sys.thread()
    if kernel.at_least "6.9" then
      assert.is_true(map.update(tasks, thread:tid(), { times = 1 }))
    else
      fails("EINVAL", thread:tid() .. " is a thread, not a process: threads need Linux 6.9", map.update(tasks,
        thread:tid(), { times = 1 }))
    end
  end)
end)

describe("storage of cgroups, with a program", function()
  kernel.need("cgrp_storage", "6.2")

  local obj, cgroups, ours

  before_each(function()
    obj = assert(kernel.load(helper.obj("cgrp_storage")))
    cgroups = obj.maps.cgroups
    obj.vars.target = helper.pid
    ours = cgroup.new()
    ours:enter()
  end)

  after_each(function()
    ours:leave()
    obj:close()
    ours:remove()
  end)

  local function trace()
    local link = assert(kinds_of_programs.program(obj, "on_call_in_cgroup"):attach())
    system_call()
    link:detach()
    assert.is_true(obj.vars.calls > 0)
  end

  it("that Lua writes is seen by the program of a member, and the reverse", function()
    trace()
    assert.equal(0, obj.vars.found)
    cgroups[ours.path] = 100
    trace()
    assert.is_true(obj.vars.found > 0)
    assert.equal(99 + obj.vars.found, obj.vars.found_number)
    assert.equal(100 + obj.vars.found, cgroups[ours.path])
    cgroups[ours.path] = nil
    local found = obj.vars.found
    trace()
    assert.equal(found, obj.vars.found)
  end)

  it("that the program makes is seen by Lua, under the member's own cgroup", function()
    obj.vars.create = 1
    trace()
    assert.equal(obj.vars.calls, cgroups[ours.path])
    local below <close> = cgroup.new(ours)
    assert.is_nil(cgroups[below.path])
  end)
end)

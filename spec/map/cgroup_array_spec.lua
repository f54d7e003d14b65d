-- SPDX-License-Identifier: MIT
-- cgroup_array: cgroups that Lua puts in by path or descriptor, and that programs ask about.

local attach = require("spec.support.attach")
local cgroup = require("spec.support.cgroup")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local bpf = require("bpf")
local sys = require("support.sys")

local fails, map = helper.fails, bpf.map

local ABSENT = helper.absent()

kernel.root()

local GROUPS = helper.obj("groups")

describe("a cgroup_array", function()
  local obj, groups, ours

  before_each(function()
    obj = assert(bpf.load(GROUPS))
    groups = obj.maps.groups
    obj.vars.target = helper.pid
    ours = cgroup.new()
  end)

  after_each(function()
    obj:close()
    ours:remove()
  end)

  -- What the program counts while the function runs, for the slot: calls of members, and of this process if it is none;
  -- and the error that it got.
  local function during(fn, slot)
    local link = assert(obj.progs.on_call:attach())
    obj.vars.inside, obj.vars.outside, obj.vars.error = { 0, 0 }, { 0, 0 }, { 0, 0 }
    fn()
    attach.close(link)
    return obj.vars.inside[slot + 1], obj.vars.outside[slot + 1], obj.vars.error[slot + 1]
  end

  local function in_ours()
    ours:run("true")
  end

  local function system_call()
    os.rename(ABSENT, ABSENT)
  end

  it("takes several paths in one batch", function()
    local theirs = cgroup.new()
    assert.equal(2, map.update_batch(groups, { [0] = theirs.path, [1] = ours.path }))
    local function in_theirs()
      theirs:run("true")
    end
    assert.is_true((during(in_ours, 1)) > 0)
    assert.equal(0, (during(in_ours, 0)))
    assert.is_true((during(in_theirs, 0)) > 0)
    assert.equal(0, (during(in_theirs, 1)))
    theirs:remove()
  end)

  it("has slots, all empty at first", function()
    assert.equal("cgroup_array", map.type(groups))
    assert.equal(2, #groups)
    local inside, outside, err = during(in_ours, 0)
    assert.same({ 0, 0, -11 }, { inside, outside, err }) -- EAGAIN: no cgroup there
  end)

  it("takes a cgroup by its path", function()
    groups[1] = ours.path
    local inside, outside, err = during(in_ours, 1)
    assert.is_true(inside > 0, "no calls seen of the member")
    assert.is_true(outside > 0, "no calls seen of this process, which is no member")
    assert.equal(0, err)
    assert.equal(0, (during(system_call, 1)))
  end)

  it("takes a cgroup by a descriptor, as an integer or from what has getfd, and leaves it open", function()
    local fd = sys.open(ours.path)
    for _, descriptor in ipairs({ fd, { getfd = function() return fd end } }) do
      groups[0] = descriptor
      assert.is_true((during(in_ours, 0)) > 0)
      groups[0] = nil
    end
    sys.close(fd) -- raises nothing because it is open
    local before = helper.descriptors()
    groups[0] = ours.path
    assert.equal(before, helper.descriptors())
  end)

  it("counts members of cgroups below", function()
    groups[0] = ours.path
    local below <close> = cgroup.new(ours)
    assert.is_true((during(function() below:run("true") end, 0)) > 0)
    groups[0] = below.path
    assert.equal(0, (during(in_ours, 0)))
  end)

  it("counts this process while it is a member", function()
    groups[0] = ours.path
    ours:enter()
    local inside, outside = during(system_call, 0)
    ours:leave()
    assert.is_true(inside > 0)
    assert.equal(0, outside)
  end)

  it("lets a slot be replaced, and emptied", function()
    local other <close> = cgroup.new()
    groups[0] = ours.path
    groups[0] = other.path
    assert.equal(0, (during(in_ours, 0)))
    assert.is_true((during(function() other:run("true") end, 0)) > 0)
    groups[0] = nil
    assert.same({ 0, 0, -11 }, { during(in_ours, 0) })
    assert.same({ false, "ENOENT" }, { map.delete(groups, 0) })
    groups[0] = nil
    groups[0] = ours.path
    assert.is_true(map.delete(groups, 0))
    assert.same({ 0, 0, -11 }, { during(in_ours, 0) })
  end)

  it("refuses a path where nothing is", function()
    fails("ENOENT", "^map 'groups': update: ", map.update(groups, 0, ours.path .. "/nothing"))
    helper.raises(function() groups[0] = ours.path .. "/nothing" end, "map 'groups': update: .*ENOENT")
    fails("ENOENT", "^map 'groups': update: ", map.update(groups, 0, ""))
    fails("ENOENT", "^map 'groups': update: ", map.update(groups, 0, ours.path .. "/cgroup.procs/x"))
  end)

  it("refuses what is no cgroup", function()
    for _, path in ipairs({ "/tmp", "/dev/null", ours.path .. "/cgroup.procs" }) do
      local result, message, code = map.update(groups, 0, path)
      assert.is_nil(result)
      assert.is_true(code == "EBADF" or code == "EINVAL" or code == "ENOTDIR", code)
      assert.matches("^map 'groups': update: .+%(" .. code .. "%)$", message)
    end
    local file <close> = assert(io.open("/dev/null"))
    fails("EBADF", "^map 'groups': update: ", map.update(groups, 0, file))
    fails("EBADF", "^map 'groups': update: ", map.update(groups, 0, 9999))
    assert.same({ 0, 0, -11 }, { during(in_ours, 0) })
  end)

  it("refuses what is neither a path nor a descriptor", function()
    for _, bad in ipairs({ {}, true, print, -1, 1.5, ours }) do
      helper.raises(function() groups[0] = bad end, "descriptor")
    end
  end)

  it("leaves no descriptor open, whatever fails", function()
    local before = helper.descriptors()
    map.update(groups, 0, ours.path)
    map.update(groups, 9, ours.path)
    map.update(groups, 0, "/tmp")
    map.update(groups, 0, ABSENT)
    pcall(map.update, groups, 0, ours.path, "unknown")
    assert.equal(before, helper.descriptors())
  end)

  it("knows its slots", function()
    fails("E2BIG", "no such slot, the last one is 1", map.update(groups, 2, ours.path))
    helper.raises(function() groups[2] = ours.path end, "no such slot.*E2BIG")
  end)

  it("keeps a cgroup that is removed, though none can be a member any more", function()
    local gone = cgroup.new()
    groups[0] = gone.path
    gone:remove()
    local inside, outside, err = during(in_ours, 0)
    assert.same({ 0, 0 }, { inside, err })
    assert.is_true(outside > 0)
  end)

  it("can't be read or walked, and says what it can", function()
    local what = "map 'groups': maps of type cgroup_array have no %s.*%%(they have: update, delete%%)"
    helper.raises(function() return groups[0] end, what:format("lookup"))
    helper.raises(function() map.lookup(groups, 0) end, what:format("lookup"))
    helper.raises(function() map.lookup_and_delete(groups, 0) end, what:format("lookup_and_delete"))
    helper.raises(function() map.next_key(groups) end, what:format("next_key"))
    helper.raises(function() pairs(groups) end, what:format(""))
  end)

  it("can be one's own, which an object shares", function()
    local own <close> = assert(map.create({ type = "cgroup_array", max_entries = 2 }))
    own[0] = ours.path
    local shared <close> = assert(bpf.open(GROUPS, { maps = { groups = own } }))
    assert(shared:load())
    shared.vars.target = helper.pid
    local link = assert(shared.progs.on_call:attach())
    in_ours()
    attach.close(link)
    assert.is_true(shared.vars.inside[1] > 0)
    local info = map.info(own)
    assert.same({ "cgroup_array", 4, 4, 2 }, { info.type, info.key_size, info.value_size, info.max_entries })
  end)
end)

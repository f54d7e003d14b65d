-- SPDX-License-Identifier: MIT
-- What the kernel holds: maps, programs and links of this process and others, found by their ids.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local calls = require("support.netcalls")
local map = bpf.map

kernel.root()
kernel.need("ids of links", "5.8")

local PROGS = helper.obj("system")

-- Everything that an iterator gives, by id; the ids rise.
local function all(what)
  local found, last = {}, 0
  for info in assert(bpf[what]()) do
    assert(info.id > last, "ids must rise")
    last = info.id
    found[info.id] = info
  end
  return found
end

local function fails(code, pattern, value, message, got)
  assert.is_nil(value)
  assert.equal(code, got)
  assert.matches(pattern, message)
end

-- A number in bpftool's JSON.
local function field(json, name)
  return math.tointeger(json:match(('"%s":(%%d+)'):format(name)))
end

-- Runs Lua code that holds something until it is closed, or does something until its file is gone; its first line says
-- which id that has.
local function other(code)
  local path = helper.tmpdir() .. "/other.lua"
  local file <close> = assert(io.open(path, "w"))
  file:write('local bpf = require("bpf")\n', code, '\nio.stdout:flush()\nio.read("a")\n')
  file:close()
  local fifo = path .. ".in"
  helper.run("mkfifo " .. fifo)
  local pipe = assert(io.popen(("%s %s <%s"):format(helper.LUA, path, fifo)))
  local input = assert(io.open(fifo, "w"))
  return pipe:read("n"), function()
    os.remove(path)
    input:close()
    pipe:close()
  end
end

describe("arguments of ids", function()
  it("are integers from 0 to 2^32 - 1", function()
    for _, name in ipairs({ "map_info", "prog_info", "link_info" }) do
      helper.raises(function() bpf[name]() end, "number expected")
      helper.raises(function() bpf[name]("one") end, "number expected")
      helper.raises(function() bpf[name](-1) end, "not between")
      helper.raises(function() bpf[name](1 << 32) end, "not between")
    end
  end)
end)

describe("bpf.maps", function()
  it("finds a map with all that the kernel knows", function()
    local m <close> = assert(map.create({ type = "hash", name = "found", max_entries = 77, flags = "no_prealloc",
      key = "__u16", value = "struct found { __u64 a; __u32 b; }" }))
    local id = map.info(m).id
    local info = all("maps")[id]
    assert.same(map.info(m), info)
    assert.same({ "hash", "found", 77, 2, 16, 1 },
      { info.type, info.name, info.max_entries, info.key_size, info.value_size, info.map_flags })
    assert.same(info, bpf.map_info(id))
    local json = helper.run("bpftool -j map show id " .. id)
    assert.same({ id, 2, 16, 77 }, { field(json, "id"), field(json, "bytes_key"), field(json, "bytes_value"),
      field(json, "max_entries") })
    assert.equal(info.btf_id, field(json, "btf_id"))
  end)

  it("finds the same ids as bpftool", function()
    local m <close> = assert(map.create({ type = "array", max_entries = 1, value = "__u32" }))
    local obj <close> = assert(kernel.load(PROGS))
    local function listed(tool)
      local ids = {}
      for id in helper.run(("bpftool -j %s show"):format(tool)):gmatch('{"id":(%d+)') do
        ids[math.tointeger(id)] = true
      end
      return ids
    end
    for what, tool in pairs({ maps = "map", progs = "prog" }) do
      -- others come and go on this machine: what was there before and after was there in between
      local ours, theirs, ours_later, theirs_later = all(what), listed(tool), all(what), listed(tool)
      for id in pairs(ours) do
        assert(theirs[id] or not ours_later[id], id)
      end
      for id in pairs(theirs) do
        assert(ours_later[id] or not theirs_later[id], id)
      end
      assert.is_truthy(next(theirs))
    end
    assert.is_truthy(m and obj)
  end)

  it("finds the map of another process, which opens with its types", function()
    local id, stop = other([[
      local m = assert(bpf.map.create({ type = "hash", name = "theirs", max_entries = 8,
        key = "__u32", value = "struct theirs { __u64 count; char who[8]; }" }))
      m[7] = { count = 42, who = "them" }
      print(bpf.map.info(m).id)]])
    finally(stop)
    local info = all("maps")[id]
    assert.equal("theirs", info.name)
    local m <close> = assert(map.by_id(info.id))
    assert.same({ count = 42, who = "them" }, m[7])
  end)

  it("leaves out what went away meanwhile, and goes on", function()
    local made, seen = {}, {}
    for i = 1, 10 do
      made[i] = assert(map.create({ type = "array", name = "m" .. i, max_entries = 1, value = "__u32" }))
      made[map.info(made[i]).id] = i
    end
    for info in assert(bpf.maps()) do
      local i = made[info.id]
      if i then
        seen[#seen + 1] = i
        map.close(made[i]) -- the one it stands at, and the next
        if made[i + 1] then
          map.close(made[i + 1])
        end
      end
    end
    assert.same({ 1, 3, 5, 7, 9 }, seen)
  end)

  it("keeps finding what stays while another process creates and deletes maps", function()
    local mine <close> = assert(map.create({ type = "array", name = "mine", max_entries = 1, value = "__u32" }))
    local id = map.info(mine).id
    local count, stop = other([[
      local lfs = require("lfs")
      io.stdout:setvbuf("no")
      print(1)
      while lfs.attributes(arg[0]) do
        local keep = {}
        for i = 1, 8 do
          keep[i] = assert(bpf.map.create({ type = "array", name = "churn", max_entries = 1, value = 4, key = 4 }))
        end
        for i = 1, 8 do
          bpf.map.close(keep[i])
        end
      end]])
    finally(stop)
    assert.equal(1, count)
    local function churned()
      local here, some = all("maps"), false
      assert.equal("mine", here[id] and here[id].name)
      for _, info in pairs(here) do
        some = some or info.name == "churn"
      end
      return some
    end
    helper.await(60, "the other's maps", churned)
    for _ = 1, 300 do
      churned()
    end
  end)

  it("says ENOENT of ids that aren't there", function()
    local m = assert(map.create({ type = "array", max_entries = 1, value = "__u32" }))
    local id = map.info(m).id
    map.close(m)
    fails("ENOENT", "^map_info " .. id .. ": no such map %(ENOENT%)$", bpf.map_info(id))
    fails("ENOENT", "^prog_info 4294967295: no such program %(ENOENT%)$", bpf.prog_info(0xffffffff))
    fails("ENOENT", "^link_info 4294967295: no such link %(ENOENT%)$", bpf.link_info(0xffffffff))
  end)

  it("holds nothing: a walk that is left early leaks no descriptor", function()
    local m <close> = assert(map.create({ type = "array", max_entries = 1, value = "__u32" }))
    for _ = 1, 50 do
      local step = assert(bpf.maps())
      assert(step())
    end
    local _, descriptors = helper.run(("ls -l /proc/%d/fd"):format(helper.pid)):gsub("bpf%-map", "")
    assert.equal(1, descriptors)
    assert.is_truthy(m)
  end)

  it("makes iterators that don't disturb each other, and end for good", function()
    local m <close> = assert(map.create({ type = "array", max_entries = 1, value = "__u32" }))
    local a, b = assert(bpf.maps()), assert(bpf.maps())
    local first = a().id
    assert.equal(first, b().id)
    repeat until not a()
    assert.is_nil(a())
    assert.is_truthy(m)
  end)
end)

describe("bpf.progs", function()
  it("finds a program with all that the kernel knows", function()
    local obj <close> = assert(kernel.load(PROGS))
    local prog = kinds.program(obj, "on_packet")
    local known = prog:info()
    local info = all("progs")[known.id]
    for _, declared in ipairs { "autoattach", "autoload", "expected_attach_type", "flags", "insn_cnt", "log_level",
      "section_name" } do
      assert.is_not_nil(known[declared])
      known[declared] = nil
    end
    assert.same(known, info)
    assert.same({ "on_packet", "xdp", 0, {} }, { info.name, info.type, info.uid, info.map_ids })
    assert.same(info, bpf.prog_info(info.id))
    local json = helper.run("bpftool -j prog show id " .. info.id)
    assert.equal(info.tag, json:match('"tag":"(%x+)"'))
    assert.same({ field(json, "bytes_xlated"), field(json, "bytes_jited"), field(json, "btf_id") },
      { info.xlated_prog_len, info.jited_prog_len, info.btf_id })
  end)

  it("tells the maps of a program", function()
    local obj <close> = assert(kernel.load(PROGS))
    assert.same({ map.info(obj.maps.pairs).id }, kinds.program(obj, "each_map"):info().map_ids)
  end)

  it("forgets it once its object is closed", function()
    local obj = assert(kernel.load(PROGS))
    local id = kinds.program(obj, "on_packet"):info().id
    obj:close()
    local there = true
    for _ = 1, 100 do -- the kernel frees programs when it has time
      there = bpf.prog_info(id)
      if not there then
        break
      end
      helper.run("sleep 0.02")
    end
    assert.is_nil(there)
    assert.is_nil(all("progs")[id])
  end)
end)

describe("bpf.links", function()
  local obj

  before_each(function() obj = assert(kernel.load(PROGS)) end)
  after_each(function() obj:close() end)

  -- What the kernel knows about the one link of a program.
  local function link_of(name)
    local id, found = kinds.program(obj, name):info().id, nil
    for _, info in pairs(all("links")) do
      if info.prog_id == id then
        assert.is_nil(found, "one link only")
        found = info
      end
    end
    assert(found, "no link of " .. name)
    assert.same(found, bpf.link_info(found.id))
    local json = helper.run("bpftool -j link show id " .. found.id)
    assert.equal(found.prog_id, field(json, "prog_id"))
    found.id, found.prog_id = nil, nil
    return found, json
  end

  -- A link that spec/support/links.c makes and holds.
  local function linked(prog, target, attach_type)
    local dir = helper.tmpdir()
    helper.run("mkfifo " .. dir .. "/in")
    local id = kinds.program(obj, prog):info().id
    local pipe = assert(io.popen(("build/support/links %d %s %d <%s/in"):format(id, target, attach_type, dir)))
    local input = assert(io.open(dir .. "/in", "w"))
    local answer = pipe:read()
    return answer, function()
      input:close()
      pipe:close()
    end
  end

  it("finds raw tracepoints", function()
    assert(kinds.program(obj, "on_enter"):attach())
    assert.same({ type = "raw_tracepoint", tp_name = "sys_enter" }, (link_of("on_enter")))
  end)

  it("finds tracepoints", function()
    kernel.need("what a perf event's link says", "6.6")
    assert(kinds.program(obj, "on_exec"):attach())
    assert.same({ type = "perf_event", event = "tracepoint", tp_name = "sched_process_exec" }, (link_of("on_exec")))
  end)

  it("finds uprobes", function()
    kernel.need("what a perf event's link says", "6.6")
    for prog, event in pairs({ on_getppid = "uprobe", on_return = "uretprobe" }) do
      local link = assert(kinds.program(obj, prog):attach())
      local info = link_of(prog)
      assert.matches("/libc[^/]*%.so", info.file_name)
      assert.is_true(info.offset > 0)
      info.file_name, info.offset = nil, nil
      assert.same({ type = "perf_event", event = event }, info)
      link:close()
    end
  end)

  it("finds iterators", function()
    assert(kinds.program(obj, "each_task"):attach())
    assert(kinds.program(obj, "each_map"):attach())
    assert.same({ type = "iter", target_name = "task" }, (link_of("each_task")))
    assert.same({ type = "iter", target_name = "bpf_map" }, (link_of("each_map")))
  end)

  it("finds cgroups' programs", function()
    local top
    for line in io.lines("/proc/mounts") do
      top = top or line:match("^%S+ (%S+) cgroup2 ")
    end
    if not top then
      top = helper.tmpdir()
      assert(select(2, helper.run("mount -t cgroup2 none " .. top)))
    end
    local dir = ("%s/lbpf-%s"):format(top, helper.tag)
    assert(select(2, helper.run("mkdir " .. dir)))
    local answer, stop = linked("on_egress", dir, 1)
    finally(function()
      stop()
      helper.run("rmdir " .. dir)
    end)
    assert.equal("ready", answer)
    local info, json = link_of("on_egress")
    assert.same({ type = "cgroup", cgroup_id = math.tointeger(helper.run("stat -c %i " .. dir)),
      attach_type = "cgroup_inet_egress" }, info)
    assert.equal(info.cgroup_id, field(json, "cgroup_id"))
  end)

  it("finds socket maps' programs", function()
    kernel.need("links of socket maps", "6.10")
    local id = map.info(obj.maps.sockets).id
    local answer, stop = linked("on_message", "map" .. id, 7)
    finally(stop)
    assert.equal("ready", answer)
    local info = link_of("on_message")
    assert(info.attach_type == 7 or info.attach_type == "sk_msg_verdict")
    info.attach_type = nil
    assert.same({ type = "sockmap", map_id = id }, info)
  end)

  it("finds network namespaces' programs, and interfaces'", function()
    local ns = "lb" .. helper.tag
    assert(select(2, helper.run(("ip netns add %s && ip link add %s type veth peer name p%s"):format(ns, ns, ns))))
    local stops = {}
    finally(function()
      for i = #stops, 1, -1 do -- the later ones have inherited the earlier ones' input
        stops[i]()
      end
      helper.run(("ip link del %s; ip netns del %s"):format(ns, ns))
    end)
    local answer
    local path = "/run/netns/" .. ns
    answer, stops[1] = linked("on_lookup", path, 36)
    assert.equal("ready", answer)
    local info, json = link_of("on_lookup")
    assert.same({ type = "netns", attach_type = "sk_lookup",
      netns_ino = math.tointeger(helper.run("stat -L -c %i " .. path)) }, info)
    assert.equal(info.netns_ino, field(json, "netns_ino"))

    local ifindex = calls.index(ns)
    assert(kinds.program(obj, "on_packet"):attach_xdp(ns))
    assert.same({ type = "xdp", ifindex = ifindex }, (link_of("on_packet")))

    local major, minor = kernel.version()
    if major > 6 or major == 6 and minor >= 6 then -- newer than libbpf 1.1, which has no name for its type
      answer, stops[2] = linked("on_ingress", ifindex, 46)
      assert.equal("ready", answer)
      info = link_of("on_ingress")
      assert.equal("tcx", info.type)
      assert.equal(ifindex, info.ifindex)
      assert(info.attach_type == 46 or info.attach_type == "tcx_ingress")
    end
  end)
end)

describe("without CAP_SYS_ADMIN", function()
  local function child(code)
    return helper.run(("setpriv --bounding-set=-all --inh-caps=-all %s -e %s"):format(helper.LUA,
      helper.quote('local bpf = require("bpf") ' .. code)))
  end

  for _, what in ipairs({ "maps", "progs", "links" }) do
    it(("bpf.%s gives EPERM before it iterates"):format(what), function()
      local output = child(("print(bpf.%s())"):format(what))
      assert.equal(("nil\t%s: refused; perhaps CAP_SYS_ADMIN is missing (EPERM)\tEPERM\n"):format(what), output)
      output = child(("for info in assert(bpf.%s()) do end"):format(what))
      assert.matches("perhaps CAP_SYS_ADMIN is missing", output)
    end)
  end

  it("an id gives EPERM", function()
    local m <close> = assert(map.create({ type = "array", max_entries = 1, value = "__u32" }))
    local output = child(("print(select(3, bpf.map_info(%d)))"):format(map.info(m).id))
    assert.equal("EPERM\n", output)
  end)
end)

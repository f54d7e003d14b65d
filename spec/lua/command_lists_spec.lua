-- lua-bpf maps, progs and links: the lists, and objects by id, name, tag and pin.
local bpf = require "bpf"
local helper = require "spec.helper"
local json = require "dkjson"
local kernel = require "spec.support.kernel"
local net = require "spec.support.net"
local tool = require "spec.support.command"

local map = bpf.map
local works, fails, decoded = tool.works, tool.fails, tool.decoded

describe("lua-bpf", function()
  kernel.root()
  kernel.need("ids of links", "5.8")

  local dir = helper.bpffs()
  local place = dir:gsub("%-", "%%-") -- in patterns
  local ports, hits, obj, link
  local id_of = {}

  setup(function()
    ports = assert(map.create { type = "hash", name = "ports", max_entries = 30, key = "__u64", value = "__u64" })
    hits = assert(map.create { type = "percpu_hash", name = "hits", max_entries = 99, key = "char[8]",
      value = "__u64", flags = "no_prealloc" })
    assert(map.pin(hits, dir .. "/hits"))
    assert(map.pin(hits, dir .. "/it's here"))
    obj = assert(bpf.load(helper.obj "calls", { vars = { target = helper.pid } }))
    link = assert(obj.progs.count_enter:attach())
    assert(obj.progs.count_enter:pin(dir .. "/enter"))
    assert(link:pin(dir .. "/link"))
    id_of = { ports = map.info(ports).id, hits = map.info(hits).id, prog = obj.progs.count_enter:info().id,
      link = link:info().id }
  end)

  teardown(function()
    map.close(ports)
    map.close(hits)
    obj:close()
  end)

  it("lists maps with their memory and processes", function()
    local output = works(("maps %d %s/hits"):format(id_of.ports, dir))
    assert.matches("^ *ID  NAME   TYPE +KEY  VALUE  ENTRIES  FLAGS +MEMORY  PINS +PROCESSES\n", output)
    assert.matches(("\n *%d  ports  hash +8 +8 +30 [^\n]*B  [^\n]*%%(%d%%)"):format(id_of.ports, helper.pid), output)
    assert.matches(("\n *%d  hits   percpu_hash +8 +8 +99 "):format(id_of.hits), output)
    local list = decoded(("maps --json %d %s/hits"):format(id_of.ports, dir))
    assert.same({ "ports", "hits" }, { list[1].name, list[2].name })
    assert.same({ "hash", 30, id_of.ports }, { list[1].type, list[1].max_entries, list[1].id })
    assert(list[1].memory > 0)
    local held = false
    for _, process in ipairs(list[1].processes) do
      held = held or process.pid == helper.pid
    end
    assert(held)
  end)

  it("lists programs", function()
    local output = works("progs " .. id_of.prog)
    local counted = output:find "RUNS" and obj.progs.count_enter:info().run_cnt > 0 -- somebody had the kernel count
    assert.matches(("^ *ID  NAME +TYPE +TAG +UID  +AGE +SIZE +MEMORY%s  MAPS +PINS +PROCESSES\n"):format(
      counted and " +RUNS" or ""),
      output)
    assert.matches(("\n *%d  count_enter  raw_tracepoint +[%%da-f]+ +0 +[%%d.]+ [mun]?s "):format(id_of.prog), output)
    local info = decoded("progs --json " .. id_of.prog)[1]
    assert.same(obj.progs.count_enter:info().map_ids, setmetatable(info.map_ids, nil))
    assert.equal("count_enter", info.name)
    local stats <close> = assert(bpf.enable_stats())
    for _ = 1, 100 do
      helper.run "true"
    end
    assert.matches("  RUNS  [^\n]*\n[^\n]*[%dkM] × [%d.]+ %a?s  ", works("progs " .. id_of.prog))
    assert.is_truthy(stats)
  end)

  it("lists links with their programs and where they are", function()
    local id = link:info().id
    local output = works("links " .. id)
    assert.matches(("\n *%d  raw_tracepoint  count_enter %%(%d%%)  tp_name sys_enter  "):format(id, id_of.prog), output)
    local info = decoded("links --json " .. id)[1]
    assert.same({ "raw_tracepoint", "sys_enter", "count_enter", id_of.prog },
      { info.type, info.tp_name, info.program, info.prog_id })
    local seen = false
    for _, each in ipairs((decoded "links --json")) do
      seen = seen or each.id == id
    end
    assert(seen)
  end)

  it("lists where objects are pinned, and flags", function()
    assert.matches("  no_prealloc  [^\n]*" .. place .. "/hits, " .. place .. "/it's here  ", works "maps hits")
    assert.matches("  " .. place .. "/enter  ", works("progs " .. id_of.prog))
    assert.matches("  " .. place .. "/link  ", works("links " .. id_of.link))
    local info = decoded("maps --json " .. id_of.hits)[1]
    assert.same({ { "no_prealloc" }, false, { dir .. "/hits", dir .. "/it's here" } },
      { setmetatable(info.flags, nil), info.frozen, setmetatable(info.pins, nil) })
    local constant <close> = assert(map.create { type = "array", name = "constant", value = "__u32", max_entries = 1 })
    assert(map.freeze(constant))
    assert.matches("  frozen  ", works("maps " .. map.info(constant).id))
    assert.is_true(decoded("maps --json " .. map.info(constant).id)[1].frozen)
  end)

  it("lists pins once, and none that another mount hides", function()
    local place_of_two = helper.tmpdir()
    local m <close> = assert(map.create { type = "array", value = "__u32", max_entries = 1 })
    local info = map.info(m)
    assert.equal("", (helper.run("mount -t bpf bpf " .. place_of_two)))
    assert(map.pin(m, place_of_two .. "/hidden"))
    assert.equal("", (helper.run("mount -t bpf bpf " .. place_of_two)))
    assert(map.pin(m, place_of_two .. "/seen"))
    local list = decoded("maps --json " .. info.id)[1].pins
    helper.run(("umount %s; umount %s"):format(place_of_two, place_of_two))
    assert.same({ place_of_two .. "/seen" }, setmetatable(list, nil))
  end)

  it("finds programs and links by name, tag and pin", function()
    local info = obj.progs.count_enter:info()
    for _, word in ipairs { "count_enter", info.tag, dir .. "/enter", info.id } do
      local ids = {}
      for _, each in ipairs((decoded("progs --json " .. word))) do
        ids[each.id] = each.tag
      end
      assert.equal(info.tag, ids[info.id], word)
    end
    for _, word in ipairs { "count_enter", info.tag, dir .. "/link", id_of.link } do
      local found = false
      for _, each in ipairs((decoded("links --json " .. word))) do
        found = found or each.id == id_of.link
      end
      assert(found, word)
    end
    fails(1, "^lua%-bpf: '" .. place .. "/hits' is the pin of a map, not of a program\n$", "progs " .. dir .. "/hits")
    fails(1, "^lua%-bpf: '" .. place .. "/link' is the pin of a link, not of a map\n$", "dump " .. dir .. "/link")
    fails(1, "^lua%-bpf: there is no program 'count_entre' %(near: [^\n]*count_enter", "progs count_entre")
    fails(1, "^lua%-bpf: there is no link 'count_entre' %(near: [^\n]*count_enter", "links count_entre")
  end)

  it("lists all maps of a name", function()
    local name = "lb" .. helper.tag
    local options = { type = "array", name = name, value = "__u32", max_entries = 1 }
    local one <close> = assert(map.create(options))
    local two <close> = assert(map.create(options))
    local list = decoded("maps --json " .. name)
    assert.same({ map.info(one).id, map.info(two).id }, { list[1].id, list[2] and list[2].id })
  end)

  it("names the interface of a link", function()
    kernel.need("links of XDP", "5.9")
    local prog <close> = assert(bpf.program("xdp", function() return 2 end))
    local attached <close> = assert(prog:attach_xdp("lo", { mode = "skb" }))
    local info = decoded("links --json " .. attached:info().id)[1]
    assert.equal("lo", info.interface)
    assert.matches("  ifindex " .. info.ifindex .. " %(lo%)  ", works("links " .. attached:info().id))
  end)

  it("names the cgroup of a link", function()
    local prog <close> = assert(bpf.program("cgroup_skb/egress", function() return 1 end))
    local group = net.cgroup()
    finally(net.remove)
    local attached <close> = assert(prog:attach_cgroup(group))
    local info = decoded("links --json " .. attached:info().id)[1]
    assert.equal(assert(bpf.cgroup_path(info.cgroup_id)), info.cgroup)
    assert(group:find(info.cgroup, 1, true), info.cgroup)
    assert(works("links " .. attached:info().id):find("(" .. info.cgroup .. ")", 1, true))
  end)

  it("tells what bpftool tells", function()
    local function told(arguments)
      return assert(json.decode((helper.run("bpftool -j " .. arguments))))
    end
    local own, its = decoded("maps --json " .. id_of.hits)[1], told("map show id " .. id_of.hits)
    assert.same({ its.id, its.type, its.name, its.bytes_key, its.max_entries, its.flags, its.bytes_memlock,
      its.frozen == 1 }, { own.id, own.type, own.name, own.key_size, own.max_entries, own.map_flags, own.memory,
      own.frozen })
    own, its = decoded("progs --json " .. id_of.prog)[1], told("prog show id " .. id_of.prog)
    assert.same({ its.id, its.type, its.name, its.tag, its.uid, its.bytes_xlated, its.bytes_memlock },
      { own.id, own.type, own.name, own.tag, own.uid, own.xlated_prog_len, own.memory })
  end)
end)

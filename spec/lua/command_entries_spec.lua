-- lua-bpf set, delete, push, pop, peek, pin and unpin: what changes maps and pins, and nothing else.
local bpf = require "bpf"
local helper = require "spec.helper"
local json = require "dkjson"
local kernel = require "spec.support.kernel"
local lfs = require "lfs"
local tool = require "spec.support.command"

local map = bpf.map
local works, fails, decoded = tool.works, tool.fails, tool.decoded

describe("lua-bpf", function()
  kernel.root()

  local dir = helper.bpffs()

  local created = {}

  after_each(function()
    while created[1] do
      map.close(table.remove(created))
    end
  end)

  -- A map until the end of the test, and its id as text.
  local function create(options)
    local m = assert(map.create(options))
    created[#created + 1] = m
    return m, ("%d"):format(map.info(m).id)
  end

  -- Runs a command that has nothing to say.
  local function quietly(arguments)
    assert.equal("", works(arguments))
  end

  it("sets entries by the types of the map", function()
    local m, id = create { type = "hash", max_entries = 9, key = "struct key { __u32 addr; __u16 port; __u16 pad; }",
      value = "struct val { __u64 packets; enum { OFF, ON } state; __u8 mac[2]; char name[6]; __s64 delta; }" }
    quietly("set " .. id .. " '{ addr = 1, port = 80 }' '{ packets = 18446744073709551615, state = \"ON\", " ..
      "mac = { 1, 255 } }'")
    local value = m[{ addr = 1, port = 80 }]
    assert.same({ -1, 1, "\1\255", "", 0 }, { value.packets, value.state, value.mac, value.name, value.delta })
    quietly("map set " .. id .. " '{ addr = 1, port = 80 }' '{ name = \"a b\", delta = -7 }'")
    value = m[{ addr = 1, port = 80 }]
    assert.same({ 0, "a b", -7 }, { value.packets, value.name, value.delta })
    fails(1, "^lua%-bpf: [^\n]*has no member 'colour'[^\n]*\n$", "set " .. id .. " '{ addr = 1 }' '{ colour = 1 }'")
    fails(1, "^lua%-bpf: key.addr: integer expected [^\n]*\n$", "set " .. id .. " '{ addr = \"x\" }' '{ }'")
    assert.equal(1, #m)
  end)

  it("sets numbers, enumerators, booleans and text", function()
    local m, id = create { type = "hash", max_entries = 9, key = "char[8]", value = "__u64" }
    quietly("set " .. id .. " web 18446744073709551614")
    quietly("set " .. id .. " 1 0x10")
    quietly("set " .. id .. " '\"a b\"' 7.0")
    assert.same({ -2, 16, 7 }, { m.web, m["1"], m["a b"] })
    fails(1, "^lua%-bpf: [^\n]*does not fit in __u64\n$", "set " .. id .. " web 18446744073709551616")
    fails(1, "^lua%-bpf: [^\n]*char%[8%][^\n]*\n$", "set " .. id .. " much_too_long 1")
    local e, other = create { type = "array", max_entries = 1, value = "struct { enum { OFF, ON } state; _Bool on; }" }
    quietly("set " .. other .. " 0 '{ state = \"ON\", on = true }'")
    assert.same({ state = 1, on = true }, e[0])
    fails(1, "^lua%-bpf: [^\n]*\n$", "set " .. other .. " 1 '{}'")
  end)

  it("sets negative numbers, and what other types of maps take", function()
    local m, id = create { type = "array", max_entries = 2, value = "__s32" }
    quietly("set " .. id .. " 0 -5")
    quietly("set " .. id .. " 1 -0x10")
    assert.same({ -5, -16 }, { m[0], m[1] })
    local cgroups, other = create { type = "cgroup_array", max_entries = 1 }
    fails(1, "^lua%-bpf: map 'cgroup_array': update: [^\n]*%(EBADF%)\n$", "set " .. other .. " 0 /tmp")
    assert.equal(1, #cgroups)
    local interfaces, third = create { type = "devmap", max_entries = 1 }
    quietly("set " .. third .. " 0 lo")
    assert.equal(1, interfaces[0])
    local programs, fourth = create { type = "prog_array", max_entries = 1 }
    local prog <close> = assert(bpf.program("raw_tp/sys_enter", function() return 0 end))
    quietly(("set %s 0 %d"):format(fourth, prog:info().id))
    assert.equal(prog:info().id, programs[0])
    fails(1, "^lua%-bpf: there is no program 'no_such_program'", "set " .. fourth .. " 0 no_such_program")
  end)

  it("sets bytes where a map has no types", function()
    local m, id = create { type = "hash", max_entries = 9, key = 2, value = 4 }
    quietly("set " .. id .. " '01 ff' 'de:ad:be:ef'")
    quietly("set " .. id .. " '0x02 0x0' 00000001")
    quietly("set " .. id .. " ab 01020304")
    assert.same({ "\xde\xad\xbe\xef", "\0\0\0\1", "\1\2\3\4" }, { m["\1\xff"], m["\2\0"], m.ab })
    fails(1, "^lua%-bpf: value: 4 bytes expected, in hexadecimal as in '01 ff', not '1'\n$", "set " .. id .. " 00ff 1")
    assert.same("01 ff", works("dump --key 01ff " .. id):match "01 ff")
  end)

  it("inserts only or replaces only", function()
    local m, id = create { type = "hash", max_entries = 9, key = "__u32", value = "__u32" }
    quietly("set --noexist " .. id .. " 1 2")
    fails(1, "^lua%-bpf: there is a key 1 already\n$", "set --noexist " .. id .. " 1 3")
    fails(1, "^lua%-bpf: there is no key 2\n$", "set --exist " .. id .. " 2 3")
    quietly("set --exist " .. id .. " 1 4")
    assert.same({ 4, nil }, { m[1], m[2] })
  end)

  it("sets values of all CPUs, prefixes, and maps and programs as values", function()
    local m, id = create { type = "percpu_array", max_entries = 2, value = "__u64" }
    quietly("set " .. id .. " 1 7")
    assert.equal(7 * bpf.features.cpus(), map.sum(m, 1))
    local each = {}
    for cpu = 1, bpf.features.cpus() do
      each[cpu] = cpu
    end
    quietly(("set %s 0 '{ %s }'"):format(id, table.concat(each, ", ")))
    assert.same(each, m[0])
    local trie, tree = create { type = "lpm_trie", max_entries = 9, value = "__u32", flags = "no_prealloc",
      key = "struct { __u32 prefixlen; __u8 data[4]; }" }
    quietly("set " .. tree .. " 10.0.0.0/8 5")
    assert.equal(5, trie["10.1.2.3/32"])
    fails(1, "^lua%-bpf: there is no key 10.1.0.0/16\n$", "delete " .. tree .. " 10.1.0.0/16")
    quietly("delete " .. tree .. " 10.0.0.0/8")
    local inner, inside = create { type = "array", max_entries = 1, value = "__u32" }
    local outer, outside = create { type = "array_of_maps", max_entries = 1, inner = inner }
    quietly(("set %s 0 %s"):format(outside, inside))
    assert(outer[0] == inner)
    quietly(("delete %s 0"):format(outside))
    assert.is_nil(outer[0])
  end)

  it("deletes entries, all or none", function()
    local m, id = create { type = "hash", max_entries = 9, key = "__u32", value = "__u32" }
    m[1], m[2], m[3] = 1, 2, 3
    fails(1, "^lua%-bpf: there is no key 9\n$", "delete " .. id .. " 1 9")
    assert.equal(3, #m)
    quietly("delete " .. id .. " 1 3")
    assert.same({ nil, 2, nil }, { m[1], m[2], m[3] })
    local _, array = create { type = "array", max_entries = 1, value = "__u32" }
    fails(1, "^lua%-bpf: [^\n]*delete[^\n]*\n$", "delete " .. array .. " 0")
  end)

  it("pushes, peeks and pops", function()
    kernel.need("queues", "4.20")
    local queue, id = create { type = "queue", max_entries = 2, value = "struct job { __u64 id; char name[8]; }" }
    local function typed(command)
      return ("%s --type 'struct job { __u64 id; char name[8]; }' %s "):format(command, id)
    end
    fails(1, "^lua%-bpf: the queue is empty\n$", "pop " .. id)
    quietly(typed "push" .. "'{ id = 18446744073709551615, name = \"one\" }'")
    quietly("push " .. id .. " '02 00 00 00 00 00 00 00 61 00 00 00 00 00 00 00'")
    fails(1, "^lua%-bpf: [^\n]*E2BIG[^\n]*\n$", typed "push" .. "'{ id = 3 }'")
    fails(1, "^lua%-bpf: value: 16 bytes expected, [^\n]*\n$", "push " .. id .. " 5")
    fails(1, "^lua%-bpf: value: __u32 takes 4 bytes, [^\n]*\n$", "pop --type __u32 " .. id)
    assert.equal('{ id = 18446744073709551615, name = "one" }\n', works(typed "peek"))
    assert.equal("ff ff ff ff ff ff ff ff 6f 6e 65 00 00 00 00 00\n", works("peek " .. id))
    quietly(typed "push --exist" .. "'{ id = 3 }'")
    assert.same({ id = 2, name = "a" }, (decoded(typed "pop --json")))
    assert.equal('{ id = 3, name = "" }\n', works(typed "pop"))
    fails(1, "^lua%-bpf: the queue is empty\n$", "peek --json " .. id)
    assert.is_nil(map.peek(queue))
    local _, hash = create { type = "hash", max_entries = 2, key = "__u32", value = "__u32" }
    fails(1, "^lua%-bpf: [^\n]*pop[^\n]*\n$", "pop " .. hash)
  end)

  it("changes nothing where a name fits several maps", function()
    local name = "lb" .. helper.tag
    local options = { type = "hash", name = name, key = "__u32", value = "__u32", max_entries = 1 }
    local one, first = create(options)
    local two, second = create(options)
    local reason = ("^lua%%-bpf: 2 maps are called '%s': ids %s, %s\n$"):format(name, first, second)
    for _, arguments in ipairs { "set %s 1 1", "delete %s 1", "pin %s " .. dir .. "/x" } do
      fails(1, reason, arguments:format(name))
    end
    assert.same({ 0, 0 }, { #one, #two })
    assert.is_nil(lfs.attributes(dir .. "/x"))
  end)

  it("respects frozen maps", function()
    kernel.need("frozen maps", "5.2")
    local m, id = create { type = "array", max_entries = 1, value = "__u32" }
    assert(map.freeze(m))
    fails(1, "^lua%-bpf: [^\n]*EPERM[^\n]*\n$", "set " .. id .. " 0 1")
    assert.equal(0, m[0])
  end)

  it("pins and unpins maps, programs and links, and nothing else", function()
    local m, id = create { type = "array", max_entries = 1, value = "__u32" }
    quietly(("pin %s %s/map"):format(id, dir))
    local same <close> = assert(map.open(dir .. "/map"))
    assert(same == m)
    fails(1, "^lua%-bpf: [^\n]*EEXIST[^\n]*\n$", ("pin %s %s/map"):format(id, dir))
    fails(1, "^lua%-bpf: [^\n]*bpffs[^\n]*\n$", ("pin %s %s"):format(id, helper.absent()))
    local prog <close> = assert(bpf.program("raw_tp/sys_enter", function() return 0 end))
    quietly(("prog pin %d %s/prog"):format(prog:info().id, dir))
    local link <close> = assert(prog:attach_raw_tracepoint("sys_enter"))
    quietly(("link pin %d %s/link"):format(link:info().id, dir))
    local pinned <close> = assert(bpf.link.open(dir .. "/link"))
    assert.equal(link:info().id, pinned:info().id)
    local file = helper.write(helper.tmpdir() .. "/file", "text")
    fails(1, "^lua%-bpf: pin '[^\n]*\n$", ("unpin %s/map %s"):format(dir, file))
    assert(lfs.attributes(dir .. "/map") and lfs.attributes(file))
    quietly(("unpin %s/map %s/prog %s/link"):format(dir, dir, dir))
    assert.is_nil(lfs.attributes(dir .. "/map") or lfs.attributes(dir .. "/prog") or lfs.attributes(dir .. "/link"))
  end)

  it("writes what bpftool reads, and reads what it writes", function()
    local m, id = create { type = "hash", max_entries = 9, key = "__u32", value = "struct pair { __u32 a; __s32 b; }" }
    quietly("set " .. id .. " 3 '{ a = 1, b = -2 }'")
    local told = assert(json.decode((helper.run("bpftool -j map dump id " .. id))))
    assert.same({ 3, { a = 1, b = -2 } }, { told[1].formatted.key, told[1].formatted.value })
    helper.run("bpftool map update id " .. id .. " key 4 0 0 0 value 5 0 0 0 6 0 0 0")
    assert.same({ key = 4, value = { a = 5, b = 6 } }, decoded("dump --json --key 4 " .. id).entries[1])
    helper.run("bpftool map pin id " .. id .. " " .. dir .. "/theirs")
    quietly("unpin " .. dir .. "/theirs")
    quietly("delete " .. id .. " 4")
    assert.equal(1, #m)
  end)
end)

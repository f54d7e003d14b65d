-- lua-bpf btf, features and prog run: what the kernel has and does.
local attach = require "spec.support.attach"
local bpf = require "bpf"
local helper = require "spec.helper"
local json = require "dkjson"
local kernel = require "spec.support.kernel"
local tool = require "spec.support.command"

local map = bpf.map
local works, fails, decoded = tool.works, tool.fails, tool.decoded

describe("lua-bpf btf", function()
  kernel.root()

  it("prints types of the kernel", function()
    local btf <close> = assert(bpf.btf.kernel())
    assert.equal(btf:print "struct list_head" .. "\n", works "btf 'struct list_head'")
    assert.equal(btf:print "struct list_head" .. "\n", works "btf list_head")
    assert.equal(btf:print "vfs_read" .. "\n", works "btf vfs_read")
    assert.equal(btf:print(btf:find("struct list_head").id) .. "\n", works("btf " .. btf:find("struct list_head").id))
    assert.equal(btf:print("struct hlist_head", { deep = true }) .. "\n", works "btf --deep hlist_head")
    assert.same({ "list_head", "struct", 16 }, (function(t) return { t.name, t.kind, t.size } end)(
      decoded "btf --json list_head"))
    fails(1, "^lua%-bpf: there is no type 'struct task_strukt' %(near: [^\n]*task_struct[^\n]*%)\n$",
      "btf 'struct task_strukt'")
    fails(1, "^lua%-bpf: there is no type 99999999\n$", "btf 99999999")
    fails(1, "^lua%-bpf: BTF of module 'no_such_module': ", "btf --module no_such_module")
    fails(1, "^lua%-bpf: there is no type ''\n$", "btf ''")
    fails(2, "^lua%-bpf: which type%?\nUsage: ", "btf")
    fails(2, "^lua%-bpf: %-%-file and %-%-map exclude each other\nUsage: ", "btf --file x --map 1")
  end)

  it("prints types of files, maps and programs", function()
    local path = helper.write(helper.tmpdir() .. "/file.btf", bpf.btf.parse [[
      struct hit { unsigned long long count; }; enum verdict { PASS, DROP };]]:bytes())
    local text = "struct hit {\n\tunsigned long long count;\n};\n"
    assert.matches("enum verdict", works("btf --file " .. path))
    assert.equal(text, works("btf hit --file " .. path))
    assert.equal("PASS", decoded("btf --json verdict --file " .. path).enumerators[1].name)
    local m <close> = assert(map.create { type = "hash", max_entries = 1, key = "struct hit_key { int a; }",
      value = "struct hit { unsigned long long count; }" })
    local id = map.info(m).id
    assert.equal("struct hit_key {\n\tint a;\n};\n\n" .. text, works("btf --map " .. id))
    assert.equal(text, works(("btf --map %d hit"):format(id)))
    assert.same({ "hit_key", "hit" }, (function(list) return { list[1].name, list[2].name } end)(
      decoded("btf --json --map " .. id)))
    local obj <close> = assert(bpf.load(helper.obj "calls", { vars = { target = helper.pid } }))
    local prog = obj.progs.count_enter:info()
    assert.matches("count_enter%(", works(("btf count_enter --prog %d"):format(prog.id)))
    local all = works("btf --prog " .. prog.id)
    assert.equal(assert(assert(bpf.btf.by_id(prog.btf_id)):dump()) .. "\n", all)
    local variables = works("btf --map " .. map.info(obj.maps["calls.bss"]).id)
    assert.matches("__u64 entered;\n", variables)
    local raw <close> = assert(map.create { type = "hash", max_entries = 1, key = 4, value = 4 })
    fails(1, "^lua%-bpf: bpf.map: [^\n]* has no BTF\n$", "btf --map " .. map.info(raw).id)
  end)

  it("prints what bpftool prints", function()
    local m <close> = assert(map.create { type = "array", max_entries = 1,
      value = "struct pair { int a; long b[3]; }" })
    local id = map.info(m).id
    local theirs = helper.run("bpftool btf dump map id " .. id .. " value format c")
    assert(theirs:find(works(("btf pair --map %d"):format(id)), 1, true), theirs)
  end)
end)

describe("lua-bpf features", function()
  kernel.root()

  it("shows the types of programs and maps", function()
    local output = works "features"
    assert.matches("^Linux " .. kernel.release:gsub("%-", "%%-") .. ", %d+ CPUs, libbpf ", output)
    assert.matches("\nsocket_filter +yes +%d+ *\n", output)
    assert.matches("\nhash +yes *\n", output)
    local value = decoded "features --json"
    assert.same({ kernel.release, bpf.libbpf_version, bpf.features.cpus() },
      { value.kernel, value.libbpf, value.cpus })
    assert.same({ true, true, true }, { value.prog_types.xdp, value.map_types.hash, value.helpers.xdp.map_lookup_elem })
    assert.same(bpf.features.map_types(), setmetatable(value.map_types, nil))
  end)

  it("shows the types that bpftool shows", function()
    local ours, theirs = decoded "features --json", assert(json.decode((helper.run "bpftool -j feature probe kernel")))
    local function compare(own, kind, list)
      local n = 0
      for long, here in pairs(list) do
        local name = long:match("^have_(.*)_" .. kind .. "_type$")
        if own[name] ~= nil then -- a newer bpftool knows more
          assert.equal(here, own[name], long)
          n = n + 1
        end
      end
      assert(n > 20)
    end
    compare(ours.prog_types, "prog", theirs.program_types)
    compare(ours.map_types, "map", theirs.map_types)
  end)

  it("shows the helpers of a type of programs", function()
    local output = works "features xdp"
    assert.matches("\nmap_lookup_elem +yes *\n", output)
    assert.matches("\nsysctl_get_name +no +[^\n]*EINVAL", output)
    assert.same(bpf.features.helpers "xdp", setmetatable(decoded("features xdp --json").helpers, nil))
    fails(1, "^lua%-bpf: there is no type of programs 'xpd' %(near: xdp%)\n$", "features xpd")
  end)
end)

describe("lua-bpf prog run", function()
  kernel.root()

  local prog, id

  setup(function()
    prog = assert(bpf.program("xdp", function(ctx)
      local eth = ctx:packet(0, "struct ethhdr")
      if eth then
        eth.h_proto = bpf.htons(0x86dd)
      end
      return 2
    end))
    id = prog:info().id
  end)

  teardown(function()
    prog:close()
  end)

  local PACKET = "00112233445566778899aabb0800" .. ("41"):rep(6)

  it("runs a program on a packet", function()
    assert.matches("^returned 2, [%d.]+ ?[mun]?s for one run\ndata: 20 bytes\n" ..
      "00000000  00 11 22 33 44 55 66 77  88 99 aa bb 86 dd 41 41  |..\"3DUfw......AA|\n" ..
      "00000010  41 41 41 41 +|AAAA|\n$", works(("prog run %d --hex %s --repeat 10"):format(id, PACKET)))
    local value = decoded(("prog run --json %d --hex '%s'"):format(id, PACKET:gsub("..", "%0 ")))
    assert.same({ 2, PACKET:gsub("0800", "86dd", 1), true }, { value.retval, value.data, value.duration >= 0 })
  end)

  it("reads the packet of a file or standard input, as bpftool does", function()
    local path = helper.write(helper.tmpdir() .. "/packet", (PACKET:gsub("..", function(digits)
      return string.char(tonumber(digits, 16))
    end)))
    local ours = decoded(("prog run --json %d --data %s"):format(id, path))
    assert.equal(ours.data, decoded(("prog run --json %d --data - <%s"):format(id, path)).data)
    local theirs = json.decode((helper.run(("bpftool -j prog run id %d data_in %s data_out - "):format(id, path))))
    assert.equal(theirs.retval, ours.retval)
    fails(1, "^lua%-bpf: [^\n]*No such file", ("prog run %d --data %s"):format(id, helper.absent()))
  end)

  it("runs a program on a context", function()
    local obj <close> = assert(attach.load("iters", { "arguments" }))
    local arguments = obj.progs.arguments:info().id
    assert.matches("^returned 42, ", works(("prog run %d --ctx '{ 40, 2 }'"):format(arguments)))
    assert.matches("^returned 9, ", works(("prog run %d --ctx '%s'"):format(arguments,
      "07 00 00 00 00 00 00 00 02 00 00 00 00 00 00 00")))
  end)

  it("says what is wrong", function()
    fails(2, "^lua%-bpf: %-%-data and %-%-hex exclude each other\n", ("prog run %d --data x --hex 00"):format(id))
    fails(2, "^lua%-bpf: %-%-hex takes bytes in hexadecimal, not 'xyz'\n", ("prog run %d --hex xyz"):format(id))
    fails(2, "^lua%-bpf: which program%?\n", "prog run")
    fails(1, "^lua%-bpf: [^\n]*EINVAL[^\n]*\n$", ("prog run %d --hex 00"):format(id))
    fails(2, "^lua%-bpf: not understood: prog rnu %(near: prog run", "prog rnu")
  end)
end)

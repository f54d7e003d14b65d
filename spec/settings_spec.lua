-- SPDX-License-Identifier: MIT
-- Settings from before the load under which libbpf 1.1 looks into the kernel's BTF without having read it: an error
-- says so, or the object loads as with newer versions. Random settings on all objects: nothing crashes.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local outdated = kernel.libbpf_before("1.2")

describe("a program whose section names a target in BTF", function()
  for _, case in ipairs({
    { "iterators", "attach_iter", "socket_filter" },
    { "LSM programs", "attach_lsm", "xdp" },
    { "tracing programs", "attach_trace", "kprobe" },
  }) do
    it("keeps its type before libbpf 1.2: " .. case[1], function()
      local obj <close> = assert(bpf.open(helper.obj(case[2])))
      local found = false
      for _, prog in pairs(obj.progs) do
        local kind = prog:type()
        if kind == "tracing" or kind == "lsm" then
          found = true
          local ok, message, code = prog:type(case[3])
          if outdated then
            assert.same({ nil, "EOPNOTSUPP" }, { ok, code })
            assert.matches("names a target in BTF.*libbpf 1%.2", message)
            assert.equal(kind, prog:type())
          else
            assert.equal(case[3], ok)
          end
        end
      end
      assert.is_true(found)
    end)
  end

  it("can't be loaded if it replaces a function and has no target", function()
    local obj <close> = assert(bpf.open(helper.obj("attach_replacement")))
    for _, prog in pairs(obj.progs) do prog:autoload(prog:type() == "ext") end
    local ok, message, code = obj:load()
    assert.same({ nil, "EINVAL" }, { ok, code })
    assert.matches("program '[%w_]+': it has no target; call prog:attach_target", message)
  end)
end)

describe("a struct_ops map without programs", function()
  it("of an object with a target is closed without a load", function()
    kernel.root()
    kernel.need("struct_ops", "5.6")
    local output = helper.lua(([[
      local bpf = require("bpf")
      local target = assert(bpf.load(%q))
      local obj = assert(bpf.open(%q))
      print(obj.progs.replacement:attach_target("verdict", target.progs.whole))
      print(obj:close())
    ]]):format(helper.obj("attach_freplace"), helper.obj("struct_ops_target")))
    assert.equal("true\ntrue\n", output)
  end)

  it("is loaded, or refused for a reason, when all programs are off", function()
    kernel.root()
    local off = {}
    do
      local obj <close> = assert(bpf.open(helper.obj("congestion")))
      for name in pairs(obj.progs) do off[name] = false end
    end
    local code = ([[
      local bpf = require("bpf")
      local obj, message = bpf.load(%q, { autoload = { %s } })
      print("survived", obj or message)
    ]]):format(helper.obj("congestion"), (function()
      local rows = {}
      for name in pairs(off) do rows[#rows + 1] = name .. " = false" end
      return table.concat(rows, ", ")
    end)())
    local output, ok = helper.lua(code)
    assert.is_true(ok, output)
    assert.matches("^survived\tbpf%.object: congestion %(.* loaded%)", output)
  end)

  it("is refused before libbpf 1.2 where no program can stand in", function()
    kernel.root()
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      local obj = assert(bpf.open(%q))
      for _, prog in pairs(obj.progs) do prog:type("socket_filter") end
      print("survived", obj:load())
    ]]):format(helper.obj("congestion")))
    assert.is_true(ok, output)
    assert.matches("^survived\tnil\t", output)
    if outdated then
      assert.matches("struct_ops maps of which no program is loaded.*EOPNOTSUPP", output)
    end
  end)
end)

describe("random settings", function()
  it("before the load crash nothing", function()
    kernel.root()
    local pipe <close> = assert(io.popen("ls build/progs/*.bpf.o"))
    local paths = {}
    for path in pipe:lines() do paths[#paths + 1] = path end
    assert.is_true(#paths > 50)
    local output, ok = helper.lua(([[
      local bpf = require("bpf")
      local types = { "socket_filter", "kprobe", "xdp", "raw_tracepoint", "tracing", "struct_ops", "ext",
        "lsm", "syscall" }
      local attach = { "trace_fentry", "trace_iter", "lsm_mac", "trace_raw_tp", "xdp", "modify_return", "perf_event" }
      local targets = { "vfs_read", "bpf_prog_put", "nothing" }
      local function some(share) return math.random() < share end
      local function pick(list) return list[math.random(#list)] end
      local function sorted(contents)
        local names = {}
        for name in pairs(contents) do names[#names + 1] = name end
        table.sort(names)
        return ipairs(names)
      end
      math.randomseed(7) -- without our checks libbpf 1.1 crashes
      local n = 0
      for path in ([=[%s]=]):gmatch("%%S+") do
        io.stderr:write(path, "\n") -- the last one is where it crashed
        local off = {} -- maps that aren't created
        do
          local obj <close> = assert(bpf.open(path))
          for _, name in sorted(obj.maps) do
            if not name:find(".", 1, true) and some(0.2) then off[name] = false end
          end
        end
        local obj <close> = assert(bpf.open(path, { pin_root = %q, maps = off }))
        for _, name in sorted(obj.progs) do
          local prog = obj.progs[name]
          if some(0.5) then prog:autoload(some(0.5)) end
          if some(0.3) then prog:log_level(pick({ 0, 1, 2, 4 })) end
          if some(0.4) then pcall(prog.type, prog, pick(types)) end
          if some(0.3) then pcall(prog.expected_attach_type, prog, pick(attach)) end
          if some(0.1) then prog:attach_target(pick(targets)) end
        end
        for _, name in sorted(obj.maps) do
          if some(0.3) then pcall(bpf.map.resize, obj.maps[name], pick({ 1, 2, 1024, 4096 })) end
        end
        local ok, message, code = obj:load()
        assert(ok or type(message) == "string" and type(code) == "string")
        n = n + 1
      end
      print("survived", n)
    ]]):format(table.concat(paths, " "), helper.bpffs()))
    assert.is_true(ok, output)
    assert.matches("survived\t" .. #paths .. "\n$", output)
  end)
end)

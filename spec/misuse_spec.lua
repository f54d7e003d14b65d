-- SPDX-License-Identifier: MIT
-- What a script gets for wrong arguments, wherever it puts them: an error that names a line of the script.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read("a")
end

describe("misuse", function()
  it("of everything a script can reach raises an error with its place, and never ends the process", function()
    kernel.root()
    kernel.need("links of raw tracepoints", "5.8")
    local dir = helper.tmpdir() -- some of the arguments are names of files
    local output, ok, status = helper.run(([[root=$PWD; cd %s && exec unshare --net env LUA_PATH="$LUA_PATH" \
      %s "$root/spec/support/misuse.lua" %s/record "$root/build/progs" 2>%s/errors]]):format(dir, helper.LUA, dir, dir))
    local last = read(dir .. "/record"):match("([^\n]*)\n*$")
    assert(ok, ("status %d in %s: %s"):format(status, last, read(dir .. "/errors")))
    local calls, raised = output:match("\n?%d+ functions, (%d+) calls, (%d+) raised\n$")
    assert(calls, output)
    assert.equal(("%s raised"):format(raised), output:match("[^\n]* (%d+ raised)\n$"))
    assert.is_nil(output:match("no %l+: [^\n]*"))
    assert(tonumber(calls) > 50000, "only " .. calls .. " calls")
  end)

  it("can't get at the metamethods of a handle, or of what an object holds", function()
    local obj <close> = assert(bpf.open(helper.obj("counters")))
    for what, value in pairs { object = obj, maps = obj.maps, progs = obj.progs, vars = obj.vars, bpf = bpf,
      program = obj.progs.count, type = bpf.btf.type("int") } do
      assert.equal(false, getmetatable(value), what)
      if type(value) == "table" then
        helper.raises(function() setmetatable(value, nil) end, "protected metatable")
      end
    end
  end)
end)

describe("the place of an error", function()
  local HERE <const> = "^" .. debug.getinfo(1, "S").short_src:gsub("%p", "%%%0") .. ":%d+: "

  local function misuses(name, fn)
    it("is the script's line: " .. name, function()
      kernel.root()
      helper.raises(fn, HERE)
    end)
  end

  local function ring(type)
    return assert(bpf.map.create { type = type or "ringbuf", max_entries = 4096 })
  end

  local function array()
    return assert(bpf.map.create { type = "array", max_entries = 1, value = "u32", flags = "mmapable" })
  end

  local function open(options)
    local _ <close> = assert(bpf.open(helper.obj("vars"), options))
  end

  misuses("map.typed", function() bpf.map.typed(array(), nil, "struct nosuch") end)
  misuses("map.view", function() bpf.map.view(array(), "struct {") end)
  misuses("map.create", function()
    bpf.map.create { type = "hash", max_entries = 1, key = "struct {", value = "u32" }
  end)
  misuses("map.create, the inner map", function()
    bpf.map.create { type = "array_of_maps", max_entries = 1, inner = { type = "nosuch" } }
  end)
  misuses("map.update_batch from a map", function() bpf.map.update_batch(array(), ring()) end)
  misuses("pairs", function() pairs(ring()) end)
  misuses("table.unpack, which looks up", function()
    local m = bpf.map.create { type = "hash", key = "struct { int a; }", value = "u32", max_entries = 1 }
    table.unpack(m, 0, 1)
  end)
  misuses("ringbuf", function() bpf.ringbuf(ring(), "struct nosuch") end)
  misuses("btf:type", function()
    local btf <close> = assert(bpf.btf.parse("struct here { int a; };"))
    btf:type("struct nosuch")
  end)
  misuses("btf:print", function()
    local btf <close> = assert(bpf.btf.parse("struct here { int a; };"))
    btf:print("struct nosuch")
  end)
  misuses("bpf.open, a variable", function() open { vars = { nosuch = 1 } } end)
  misuses("bpf.open, a map", function() open { maps = { nosuch = 1 } } end)
  misuses("bpf.open, a map's setting", function() open { maps = { [".bss"] = {}, nosuch = { max_entries = "x" } } } end)
  misuses("bpf.open, a program", function() open { autoload = { nosuch = true } } end)
  misuses("a getfd that raises", function()
    local obj <close> = assert(bpf.load(helper.obj("counters")))
    obj.progs.count:attach_socket(bpf.map.view(array(), "u32"))
  end)
  misuses("hist.bar", function() bpf.hist.bar() end)
  misuses("hist.log2", function() bpf.hist.log2() end)
  misuses("symbols.text", function() bpf.symbols.text() end)
  misuses("metrics:text", function() bpf.metrics.new():text("x") end)

  it("is added once, where one C function calls another that does", function()
    local message = helper.raises(function()
      bpf.map.create { type = "array_of_maps", max_entries = 1,
        inner = { type = "array", value = "struct {", max_entries = 1 } }
    end, HERE)
    assert.equal(1, select(2, message:gsub("misuse_spec", "")))
  end)

  it("stays that of a Lua function that is called, and errors that are no text stay what they are", function()
    kernel.root()
    local hidden = setmetatable({}, { __pairs = function() error("mine", 0) end })
    local ok, message = pcall(bpf.map.update_batch, array(), hidden)
    assert.same({ false, "mine" }, { ok, message })
    local object = {}
    ok, message = pcall(bpf.map.update_batch, array(), setmetatable({}, { __pairs = function() error(object) end }))
    assert(not ok and message == object)
  end)
end)

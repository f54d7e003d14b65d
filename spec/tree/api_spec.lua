-- SPDX-License-Identifier: MIT
-- The API as it runs, docs/reference.md and types/bpf.lua name the same functions, classes and parameters; and
-- `require "bpf"` does nothing but load.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local lfs = require("lfs")
local minimal = require("spec.support.minimal")

local read = helper.read

-- Checks that two sets of names are the same, and says which names aren't in both.
local function same_names(what, left, right)
  local differences = {}
  for name in pairs(left) do
    if right[name] == nil then
      differences[#differences + 1] = name .. ": missing"
    end
  end
  for name in pairs(right) do
    if left[name] == nil then
      differences[#differences + 1] = name .. ": is there, but should not be"
    end
  end
  table.sort(differences)
  assert(#differences == 0, what .. "\n" .. table.concat(differences, "\n"))
end

-- What the library has ------------------------------------------------------------------------------------------------

-- The files of lua/bpf are parts that load when they are first used.
for file in lfs.dir("lua/bpf") do
  local name = file:match("^(.*)%.lua$")
  if name and name ~= "init" then
    assert(bpf[name], "bpf." .. name .. " is not to be had")
  end
end
bpf.preload() -- those of its folders as well

local public = {} -- class name -> metatable; classes that scripts never see have no __tostring
for _, meta in pairs(debug.getregistry()) do
  local name = type(meta) == "table" and rawget(meta, "__name")
  if type(name) == "string" and name:find("^bpf%.") and meta.__tostring then
    public[name] = meta
  end
end

public["bpf.metrics"] = getmetatable(bpf.metrics.new()) -- a class of Lua's own
public["bpf.pprof"] = getmetatable(bpf.pprof.new { values = { "a/b" } })

-- The methods of a class: where its __index is a function, they are that one's upvalue.
local function methods(meta)
  local index = meta.__index
  if type(index) == "function" then
    index = select(2, debug.getupvalue(index, 1))
  end
  return index or {}
end

local running, fields = {}, {}
local function walk(prefix, t)
  for name, value in pairs(t) do
    assert.equal("string", type(name))
    if type(value) == "table" then
      walk(prefix .. name .. ".", value)
    elseif type(value) == "function" then
      running[prefix .. name] = true
    else
      fields[prefix .. name] = type(value)
    end
  end
end
walk("bpf.", bpf)
for class, meta in pairs(public) do
  for name in pairs(methods(meta)) do
    running[class:gsub("^bpf%.", "") .. ":" .. name] = true
  end
end

-- What the reference and the types have -------------------------------------------------------------------------------

local reference, types = {}, {} -- function -> parameters: "m, key, flags?"

local reference_text = read("docs/reference.md")
for name, params in reference_text:gmatch("%*%*`(%S+) %((.-)%)`%*%*") do
  local list = {}
  local optional = false
  for bracket, param in params:gmatch("(%[?),? ?([%w_.]+)") do
    optional = optional or bracket == "["
    list[#list + 1] = param .. (optional and "?" or "")
  end
  reference[name] = table.concat(list, ", ")
end

local types_text = read("types/bpf.lua")
local defined, used = {}, {}
do
  local documented = {} -- parameters of the next function
  for line in types_text:gmatch("[^\n]+") do
    local name, params = line:match("^function ([%w_.:]+)%((.-)%) end$")
    local param, optional = line:match("^%-%-%-@param ([%w_.]+)(%??)")
    if param then
      documented[#documented + 1] = param .. optional
    elseif name then
      types[name] = table.concat(documented, ", ")
      assert(types[name]:gsub("?", "") == params, name .. ": the types' @param differ from its parameters")
      documented = {}
    end
    local class = line:match("^%-%-%-@class ([%w_.]+)") or line:match("^%-%-%-@alias ([%w_.]+)")
    if class then
      defined[class] = true
    elseif line:find("^%-%-%-[@|]") then
      for type_name in line:gmatch("%f[%w]bpf%.[%w_.]+") do
        used[type_name] = true
      end
    end
  end
end

describe("the API", function()
  it("is what the reference describes", function()
    same_names("functions in docs/reference.md", running, reference)
  end)

  it("is what the types declare", function()
    same_names("functions in types/bpf.lua", running, types)
  end)

  it("has the same parameters in the reference and the types", function()
    for name, params in pairs(reference) do
      assert.equal(name .. " (" .. params .. ")", name .. " (" .. tostring(types[name]) .. ")")
    end
  end)

  it("has each public class in the reference and the types, and refers to none that isn't there", function()
    for class in pairs(public) do
      assert(reference_text:find("\n## " .. class .. ": ", 1, true), class .. " is not in the reference")
      assert(defined[class], class .. " is not in the types")
    end
    for class in pairs(used) do
      assert(defined[class], "the types don't define " .. class)
    end
    assert.is_function(public["bpf.map"].__len)
    assert(types_text:find("---@class bpf.map: userdata\n---@operator len: integer\n---@field [any] any\n", 1, true))
  end)

  it("has no fields but the versions, which are strings", function()
    assert.same({ ["bpf._VERSION"] = "string", ["bpf.libbpf_version"] = "string" }, fields)
    for name in pairs(fields) do
      assert(reference_text:find(name, 1, true), name .. " is not in the reference")
      assert(types_text:find("---@field " .. name:match("[%w_]+$") .. " string", 1, true), name)
    end
    assert.matches("^%d+%.%d+%.%d+$", bpf._VERSION)
    assert.matches("^v%d+%.%d+", bpf.libbpf_version)
  end)

  it("has the fields of an object that the types declare", function()
    local declared = {}
    local class = types_text:match("\n%-%-%-@class bpf%.object: userdata\n(.-)\nlocal ")
    for name in class:gmatch("@field ([%w_]+)") do
      declared[name] = true
    end
    local obj <close> = assert(bpf.open(helper.obj("vars")))
    local message = helper.raises(function()
      return obj.nothing
    end, "it has .* and methods")
    local actual = {}
    for name in message:match("it has (.*) and methods"):gmatch("[%w_]+") do
      actual[name] = true
    end
    same_names("fields of bpf.object in types/bpf.lua", actual, declared)
  end)

  it("is documented with the options that it accepts", function()
    local cases = { -- what takes options, the class that the types have for them, and a call
      ["bpf.open"] = { "bpf.open.options", function(options) bpf.open("/dev/null", options) end },
      ["bpf.map.create"] = { "bpf.map.options", bpf.map.create },
      ["bpf.inspect"] = { "bpf.inspect.options", function(options) bpf.inspect(nil, options) end },
      ["bpf.compile"] = { "bpf.compile.options", function(options) bpf.compile("", options) end },
      ["bpf.trace"] = { "bpf.trace.options", bpf.trace },
      ["bpf.hist.table"] = { "bpf.hist.table_options", function(options) bpf.hist.table({}, {}, options) end },
      ["bpf.hist.log2"] = { "bpf.hist.log2_options", function(options) bpf.hist.log2({}, options) end },
    }
    local map, obj
    finally(function()
      if map then
        bpf.map.close(map)
      end
      if obj then
        obj:close()
      end
    end)
    if kernel.is_root() then
      map = assert(bpf.map.create { type = "ringbuf", max_entries = 4096 })
      obj = assert(bpf.load(helper.obj("calls")))
      cases["bpf.ringbuf"] = { "bpf.ringbuf.options", function(options) bpf.ringbuf(map, nil, nil, options) end }
      cases["prog:run"] = { "bpf.prog.run_options", function(options) obj.progs.whoami:run(options) end }
    end
    for name, case in pairs(cases) do
      local class, call = case[1], case[2]
      local accepted, documented, declared = {}, {}, {}
      local message = helper.raises(function()
        call { nonsense = true }
      end, "option 'nonsense' %(options: ")
      for option in message:match("options: (.*)%)"):gmatch("[%w_]+") do
        accepted[option] = true
      end
      local section = reference_text:match("\n### " .. name:gsub("%.", "%%.") .. "\n.-\n%- `options`(.-)\n#")
      for line in section:gmatch("\n  %- (`[^\n]-`): ") do
        for option in line:gmatch("[%w_]+") do
          documented[option] = true
        end
      end
      local text = types_text:match("\n%-%-%-@class " .. class:gsub("%.", "%%.") .. "\n(.-)\n\n")
      for option in text:gmatch("@field ([%w_]+)") do
        declared[option] = true
      end
      same_names("options of " .. name .. " in docs/reference.md", accepted, documented)
      same_names("fields of " .. class .. " in types/bpf.lua", accepted, declared)
    end
  end)
end)

describe("every function's optional arguments", function()
  -- The function by its name in the reference, and the object of a method.
  local function find(name, arguments)
    local method = name:match(":(.*)")
    if method then
      return arguments[1][method]
    end
    local found = bpf
    for part in name:gmatch("%.([%w_]+)") do
      found = found[part]
    end
    return found
  end

  -- Closes what can be closed.
  local function close(result)
    pcall(function()
      local _ <close> = result
    end)
  end

  -- Calls with the arguments that are needed, and `more` nils.
  local function call(name, needed, more)
    local fixtures = minimal.fixtures()
    local ok, message = pcall(function()
      local arguments = minimal.calls[name](fixtures)
      local count = needed + (name:find(":") and 1 or 0)
      for i = count + 1, #arguments do
        assert(arguments[i] == nil, name .. " is called with more than it needs")
      end
      local results = table.pack(find(name, arguments)(table.unpack(arguments, 1, count + more)))
      for i = 1, results.n do
        close(results[i])
      end
    end)
    fixtures:close()
    assert(ok or minimal.raises[name] and message:find(minimal.raises[name]), name .. ": " .. tostring(message))
  end

  it("have a call without them in spec/support/minimal.lua", function()
    same_names("functions in docs/reference.md, and in spec/support/minimal.lua", reference, minimal.calls)
  end)

  local names = {}
  for name in pairs(reference) do
    names[#names + 1] = name
  end
  table.sort(names)
  for _, name in ipairs(names) do
    it("can be left out, or nil: " .. name, function()
      local needed, optional = 0, 0
      kernel.root()
      if minimal.needs[name] then
        minimal.needs[name]()
      end
      for param in reference[name]:gmatch("[^, ]+") do
        if param:find("?", 1, true) then
          optional = optional + 1
        else
          needed = needed + 1
        end
      end
      local before = helper.descriptors()
      for more = 0, minimal.none[name] and 0 or optional do
        call(name, needed, more)
      end
      assert(helper.descriptors() <= before, name .. " leaves a descriptor")
    end)
  end
end)

describe("require \"bpf\"", function()
  it("gives the same table every time", function()
    assert.equal(bpf, require("bpf"))
    assert.equal(bpf, package.loaded["bpf"])
  end)

  it("touches nothing outside its modules", function()
    local output, ok = helper.lua([[
      local function snapshot()
        local seen = {}
        local function add(path, t)
          for k, v in next, t do
            local name = path .. "." .. tostring(k)
            seen[name] = v
            if type(v) == "table" and v ~= _G and path:find("^_G") and not name:find("^_G%.package%.loaded%.") then
              add(name, v)
            end
          end
        end
        add("_G", _G)
        add("string metatable", getmetatable(""))
        seen["metatable of _G"] = getmetatable(_G)
        return seen
      end
      local before = snapshot()
      require("bpf")
      local after, changed = snapshot(), {}
      for name, value in pairs(after) do
        if not rawequal(before[name], value) then
          changed[#changed + 1] = name
        end
      end
      for name in pairs(before) do
        if after[name] == nil then
          changed[#changed + 1] = name
        end
      end
      table.sort(changed)
      print(table.concat(changed, "\n"))
    ]])
    assert(ok, output)
    assert.equal("_G.package.loaded.bpf\n_G.package.loaded.bpf.core\n", output)
  end)

  it("says what to do when a module can't be loaded later, and preload loads them all", function()
    local output, ok = helper.lua([[
      local bpf = require("bpf")
      local path, cpath = package.path, package.cpath
      package.path, package.cpath = "/nowhere/?.lua", "/nowhere/?.so"
      for _, name in ipairs { "compile", "hist", "inspect", "json", "metrics", "pprof", "symbols" } do
        print(select(2, pcall(function() return bpf[name] end)))
      end
      print(select(2, pcall(bpf.preload)))
      package.path, package.cpath = path, cpath
      assert(bpf.preload() == true)
      package.path, package.cpath = "/nowhere/?.lua", "/nowhere/?.so"
      print(bpf.metrics.new():text() ~= "", bpf.compile ~= nil, bpf.hist.number(1), bpf.json(1), bpf.inspect ~= nil)
      print(bpf.metrics.decode.symbol(1) ~= nil, (bpf.metrics.new():serve { port = 0, seconds = 0 }))]])
    assert(ok, output)
    local n = 0
    for line in output:gmatch "[^\n]+" do
      if line:find "^%(command line%):%d+: bpf%.[%l.]+ can't be loaded: its file .*: call bpf%.preload%(%) before$" then
        n = n + 1
      end
    end
    assert.equal(8, n, output)
    assert.matches("\n[^\n]*bpf%.[%l.]+ can't be loaded: [^\n]*\ntrue\ttrue\t1\t1\ttrue\ntrue\ttrue\n$", output)
  end)

  it("has all that maps and programs take from Lua once it has been told to load it", function()
    local output, ok = helper.lua([[
      local bpf = require("bpf")
      assert(bpf.preload())
      package.path, package.cpath = "/nowhere/?.lua", "/nowhere/?.so"
      for _, fn in ipairs { bpf.map.add, bpf.map.declare, bpf.map.locked, bpf.map.scan, bpf.program, bpf.var } do
        print((select(2, pcall(fn))))
      end]])
    assert(ok, output)
    assert.equal(6, select(2, output:gsub("\n", "")), output)
    assert.is_nil(output:find("can't be loaded", 1, true), output)
  end)

  it("opens no file besides its modules", function()
    kernel.root()
    local tracing = "/sys/kernel/tracing"
    if not lfs.attributes(tracing .. "/events/syscalls/sys_enter_openat") then
      helper.skip("this kernel can't trace system calls")
    end
    local trace = ("%s/instances/lbpf-%s"):format(tracing, helper.tag)
    assert(lfs.mkdir(trace))
    finally(function()
      assert(lfs.rmdir(trace))
    end)
    -- The modules' own files are opened before the kernel records; /dev/null is the one that it has to see.
    local output, ok = helper.lua(([[
      local trace = "%s"
      local function write(name, text)
        local file = assert(io.open(trace .. "/" .. name, "w"))
        file:setvbuf("no")
        assert(file:write(text))
        return file
      end
      package.preload["bpf.core"] = assert(package.loadlib(assert(package.searchpath("bpf.core", package.cpath)),
        "luaopen_bpf_core"))
      package.preload["bpf"] = assert(loadfile(assert(package.searchpath("bpf", package.path))))
      write("set_event_pid", io.open("/proc/self/stat"):read("n")):close()
      local switch = write("tracing_on", "1")
      write("set_event", "syscalls:sys_enter_openat syscalls:sys_enter_openat2"):close()
      io.open("/dev/null"):close()
      require("bpf")
      switch:write("0")
      local calls = 0
      for line in io.lines(trace .. "/trace") do
        calls = calls + (line:find("sys_openat2?%%(") and 1 or 0)
      end
      print(calls)
    ]]):format(trace))
    assert(ok, output)
    assert.equal("1\n", output)
  end)
end)

describe("docs/maps.md", function()
  local rows = {} -- map type -> the specs named in its row
  for line in io.lines("docs/maps.md") do
    local first, last = line:match("^| (`.-) |.*|(.-)|$")
    for name in (first or ""):gmatch("`([%w_]+)`") do
      rows[name] = last
    end
  end

  it("has a row for each type of map that can be created, and for nothing else", function()
    local message = helper.raises(function() bpf.map.create { type = "no such type" } end, "unknown")
    local known = {}
    for name in message:match("one of: (.*)%)"):gmatch("[%w_]+") do
      known[name] = true
    end
    same_names("map types that can be created, and rows of docs/maps.md", known, rows)
  end)

  it("names specs that exist and have to do with the type", function()
    for name, specs in pairs(rows) do
      local found = 0
      for path in specs:gmatch("%(%.%./(spec/[%w_/]+%.lua)%)") do
        local text = read(path)
        found = found + (text:find(name, 1, true) and 1 or 0)
      end
      assert(found > 0, name .. ": no spec in its row is about it")
    end
  end)

  it("says since which kernel each type exists", function()
    for name in pairs(rows) do
      local row
      for line in io.lines("docs/maps.md") do
        row = line:find("^| .*`" .. name .. "`") and line or row
      end
      assert(row:match("| %d%.%d+[%d., ]* |"), name .. ": no kernel version")
    end
  end)
end)

describe("docs/programs.md", function()
  local rows = {} -- sequence of { sections =, types =, calls =, specs =, line = }
  for line in io.lines("docs/programs.md") do
    local sections, types_of, calls, since, specs = line:match("^| (`.-) | (`.-) | (.-) | (.-) | (.-) |$")
    if sections then
      rows[#rows + 1] = { sections = sections, types = types_of, calls = calls, since = since, specs = specs,
        line = line }
    end
  end

  -- The sections of a row, without what stands for their rest.
  local function sections_of(row)
    return row.sections:gmatch("`([%w_./]+)[^`]*`")
  end

  it("has a row for each type of program, and for nothing else", function()
    local has, why = bpf.features.prog_types()
    local known, documented = {}, {}
    for _, list in ipairs({ has, why }) do
      for name in pairs(list) do
        known[name] = true
      end
    end
    for _, row in ipairs(rows) do
      for name in row.types:gmatch("`([%w_]+)`") do
        documented[name] = true
      end
    end
    same_names("program types, and those in docs/programs.md", known, documented)
  end)

  it("names each way to attach, and no others", function()
    local has, documented = {}, {}
    for name in pairs(running) do
      local way = name:match("^prog:(attach_.*)")
      if way and way ~= "attach_target" then -- which is a setting
        has[way] = true
      end
    end
    for _, row in ipairs(rows) do
      for way in row.calls:gmatch("`prog:(attach_[%w_]+)") do
        documented[way] = true
      end
    end
    same_names("ways to attach, and those in docs/programs.md", has, documented)
  end)

  it("has each section that libbpf knows", function()
    local known, documented = {}, {}
    local obj <close> = assert(bpf.open(helper.obj("sections")))
    for _, prog in pairs(obj.progs) do
      known[prog:section()] = true
    end
    for _, row in ipairs(rows) do
      for section in sections_of(row) do
        documented[section:gsub("/$", "")] = true
      end
    end
    known["struct_ops"] = true -- it can't be opened without its struct
    same_names("sections of spec/progs/sections.bpf.c, and those in docs/programs.md", known, documented)
  end)

  it("names specs that have a program in each section, and attach it", function()
    local objects = {} -- name -> the sections of its programs, or false
    local function object_sections(name)
      local path = helper.obj(name)
      if objects[name] == nil and lfs.attributes(path) then
        local obj <close> = bpf.open(path)
        objects[name] = {}
        for _, prog in pairs(obj and obj.progs or {}) do
          objects[name][#objects[name] + 1] = prog:section()
        end
      end
      return objects[name] or {}
    end

    for _, row in ipairs(rows) do
      local text, there = "", {}
      for path in row.specs:gmatch("%(%.%./(spec/[%w_/]+%.lua)%)") do
        text = text .. read(path)
      end
      for name in text:gmatch("[\"']([%w_]+)[\"']") do
        for _, section in ipairs(object_sections(name)) do
          there[section:match("^(.-)/") or section] = true
          there[section] = true
        end
      end
      for section in sections_of(row) do
        assert(there[section:gsub("/$", "")], row.line .. "\nno program in its specs is in section " .. section)
      end
      for call in row.calls:gmatch("`prog:([%w_]+)") do
        assert(text:find(":" .. call .. "%f[^%w_]") or text:find('"' .. call .. '"', 1, true),
          row.line .. "\nits specs don't call " .. call)
      end
      assert(row.since:find("%d+%.%d+") or row.since == "as above", row.line .. "\nno kernel version")
    end
  end)
end)

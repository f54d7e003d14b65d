-- SPDX-License-Identifier: MIT
-- stack_trace: the stacks that programs store are sequences of addresses, or of places in files.
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local bpf = require("bpf")
local sys = require("support.sys")

local map = bpf.map

local ABSENT = helper.absent()

kernel.root()

local STACKS = helper.obj("stacks")

local ids_of = { "kernel", "user", "shallow_user", "place" }

-- The program text that this process has mapped: { first, last, offset in the file, file }.
local function text_of_process()
  local list = {}
  for line in io.lines("/proc/self/maps") do
    local first, last, offset, file = line:match("^(%x+)%-(%x+) ..x. (%x+) %S+ %d+ *(.*)")
    if first then
      list[#list + 1] = { tonumber(first, 16), tonumber(last, 16) - 1, tonumber(offset, 16), file }
    end
  end
  return list
end

-- The mapping that an address lies in.
local function mapping_of(address)
  for _, range in ipairs(text_of_process()) do
    if address >= range[1] and address <= range[2] then
      return range
    end
  end
end

-- The names of the kernel's functions at these addresses, as /proc/kallsyms has them.
local function names_of(addresses)
  local list = {}
  for i, address in ipairs(addresses) do
    list[i] = ("%016x"):format(address)
  end
  local program = [[
    BEGIN { n = split(list, address, " ") }
    $2 ~ /[tT]/ { for (i = 1; i <= n; i++) if ($1 "" < address[i] && $1 "" > best[i]) { best[i] = $1; name[i] = $3 } }
    END { for (i = 1; i <= n; i++) print name[i] }]]
  local names = {}
  for name in helper.run(("awk -v list='%s' '%s' /proc/kallsyms"):format(table.concat(list, " "), program))
    :gmatch("[^\n]+") do
    names[#names + 1] = name
  end
  return names
end

local function contains(list, pattern)
  for _, name in ipairs(list) do
    if name:find(pattern) then
      return true
    end
  end
  return false
end

describe("a stack_trace map", function()
  local obj, stacks

  before_each(function()
    obj = assert(kernel.load(STACKS, { autoload = { on_unlink = true } }))
    stacks = obj.maps.stacks
    obj.vars.target = helper.pid
  end)

  after_each(function()
    obj:close()
  end)

  -- Has the program see system calls of this process.
  local function trace(name)
    local link = assert(kinds.program(obj, name or "on_call"):attach())
    os.remove(ABSENT) -- calls unlink
    link:detach()
    assert.is_true(obj.vars.calls > 0)
  end

  -- The same; all stacks have to be there.
  local function trace_all(name)
    trace(name)
    for _, id in ipairs(ids_of) do
      assert.is_true(obj.vars[id] >= 0, id)
    end
  end

  it("is empty at first", function()
    assert.equal("stack_trace", map.type(stacks))
    assert.is_nil(stacks[1])
    assert.same({ n = 1 }, table.pack(map.lookup(stacks, 1)))
    assert.equal(0, #stacks)
    assert.same({ false, "ENOENT" }, { map.delete(stacks, 1) })
  end)

  it("gives the kernel's stack, innermost function first", function()
    trace_all()
    local stack = stacks[obj.vars.kernel]
    assert.is_true(#stack >= 2)
    for _, address in ipairs(stack) do
      assert.is_true(address < 0, "no kernel address") -- they have the highest bit
    end
    if (helper.run("cat /proc/sys/kernel/kptr_restrict")):match("^[01]") then
      local names = names_of(stack)
      assert.is_true(contains(names, "syscall"), table.concat(names, " "))
    end
  end)

  it("gives the process's stack", function()
    trace_all()
    local stack = stacks[obj.vars.user]
    assert.is_true(#stack >= 1)
    assert.is_truthy(mapping_of(stack[1]), ("%x is no address of this process's text"):format(stack[1]))
  end)

  it("is filled by a tracepoint's program likewise", function()
    trace("on_unlink")
    assert.equal(1, obj.vars.calls)
    assert.is_truthy(mapping_of(stacks[obj.vars.user][1]))
  end)

  it("is filled by a tracepoint's program with the kernel's part", function()
    kernel.need("the kernel's stack in tracepoints of system calls", "6.12")
    trace_all("on_unlink")
    assert.is_true(stacks[obj.vars.kernel][1] < 0)
  end)

  it("cuts the zeros that the kernel pads with", function()
    trace_all()
    local key = string.pack("=I4", obj.vars.user):gsub(".", function(c) return c:byte() .. " " end)
    local dump = helper.run(("bpftool map lookup id %d key %s"):format(map.info(stacks).id, key))
    local bytes = dump:match("value:\n(.*)"):gsub("%s+", "")
    assert.equal(127 * 16, #bytes)
    local stack = stacks[obj.vars.user]
    assert.is_true(#stack < 127)
    local expected = {}
    for i, address in ipairs(stack) do
      assert.are_not.equal(0, address)
      expected[i] = string.pack("=I8", address):gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    end
    local text = table.concat(expected)
    assert.equal(text .. ("0"):rep(#bytes - #text), bytes)
  end)

  it("gives all of a stack that fills the value", function()
    trace_all()
    assert.same({ stacks[obj.vars.user][1] }, obj.maps.shallow[obj.vars.shallow_user])
  end)

  it("fills a table of the caller's", function()
    trace_all()
    local id = obj.vars.user
    local expected = stacks[id]
    local into = {}
    for i = 1, 200 do
      into[i] = i
    end
    assert.equal(into, map.lookup(stacks, id, { into = into }))
    assert.same(expected, into)
    assert.same(expected, map.unpack(stacks, id))
  end)

  it("is walked, and counted", function()
    trace_all()
    local seen, n = {}, 0
    for id, stack in pairs(stacks) do
      assert.is_nil(seen[id])
      seen[id] = stack
      n = n + 1
    end
    assert.equal(n, #stacks)
    assert.is_true(n >= 2)
    assert.same(stacks[obj.vars.user], seen[obj.vars.user])
    assert.same(stacks[obj.vars.kernel], seen[obj.vars.kernel])
    for id in map.keys(stacks) do
      assert.is_truthy(seen[id])
      n = n - 1
    end
    assert.equal(0, n)
  end)

  it("lets stacks be deleted, by index too", function()
    trace_all()
    assert.is_true(map.delete(stacks, obj.vars.user))
    assert.is_nil(stacks[obj.vars.user])
    stacks[obj.vars.kernel] = nil
    assert.is_nil(stacks[obj.vars.kernel])
    stacks[obj.vars.kernel] = nil
    assert.same({ false, "ENOENT" }, { map.delete(stacks, obj.vars.kernel) })
  end)

  it("lets a stack be taken", function()
    trace_all()
    local stack = stacks[obj.vars.user]
    assert.same(stack, map.lookup_and_delete(stacks, obj.vars.user))
    assert.is_nil(stacks[obj.vars.user])
    assert.same({ n = 1 }, table.pack(map.lookup_and_delete(stacks, obj.vars.user)))
  end)

  it("can be drained", function()
    trace_all()
    local expected = {}
    for id, stack in pairs(stacks) do
      expected[id] = stack
    end
    local drained = {}
    for id, stack in map.drain(stacks) do
      assert.is_nil(drained[id])
      drained[id] = stack
    end
    assert.same(expected, drained)
    assert.equal(0, #stacks)
  end)

  it("can be cleared, and filled again", function()
    trace_all()
    local n = #stacks
    assert.equal(n, map.clear(stacks))
    assert.equal(0, #stacks)
    assert.equal(0, map.clear(stacks))
    trace_all()
    assert.is_truthy(stacks[obj.vars.user])
  end)

  it("takes no stacks from user space", function()
    local what = "map 'stacks': maps of type stack_trace have no update %(they have: lookup, delete, "
    helper.raises(function() stacks[1] = { 1 } end, what)
    helper.raises(function() map.update(stacks, 1, { 1 }) end, what)
    helper.raises(function() map.push(stacks, 1) end, "have no push")
  end)

  it("with build ids gives places in files", function()
    trace_all()
    local place = obj.maps.places[obj.vars.place][1]
    local address = stacks[obj.vars.user][1]
    local mapping = mapping_of(address)
    assert.equal(20, #place.build_id)
    assert.is_nil(place.ip)
    assert.equal(address - mapping[1] + mapping[3], place.offset)
    local id = place.build_id:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    assert.matches("Build ID: " .. id, (helper.run("readelf -n " .. mapping[4])))
  end)

  it("with build ids gives addresses where there is no file", function()
    if helper.LUA:find("^valgrind") then
      helper.skip("valgrind makes the system calls itself")
    end
    local found
    for _ = 1, 20 do -- a stack is dropped where another one has its id
      map.clear(obj.maps.places)
      local link = assert(obj.progs.on_call:attach())
      local first, last = sys.call_from_nowhere()
      link:detach()
      for _, stack in pairs(obj.maps.places) do
        for _, place in ipairs(stack) do
          assert.equal(place.ip == nil, place.build_id ~= nil)
          assert.equal(place.ip == nil, place.offset ~= nil)
          found = found or place.ip and place.ip >= first and place.ip <= last
        end
      end
      if found then
        break
      end
    end
    assert.is_true(found)
  end)
end)

describe("a stack_trace map of one's own", function()
  it("has ids as keys, and room for the kernel's deepest stacks", function()
    local m <close> = assert(map.create({ type = "stack_trace", name = "own", max_entries = 16 }))
    local info = map.info(m)
    assert.same({ "stack_trace", 4, 127 * 8, 16 }, { info.type, info.key_size, info.value_size, info.max_entries })
    assert.is_nil(m[3])
  end)

  it("takes the depth as a type or a size", function()
    for _, options in ipairs({ { value = "__u64[16]" }, { value_size = 128 } }) do
      options.type, options.max_entries = "stack_trace", 16
      local m <close> = assert(map.create(options))
      assert.equal(128, map.info(m).value_size)
    end
  end)

  it("is shared with an object by its options", function()
    local m <close> = assert(map.create({ type = "stack_trace", max_entries = 1024 }))
    local obj <close> = assert(bpf.open(STACKS, {
      maps = { stacks = m }, autoload = { on_unlink = true, on_call = false },
    }))
    assert(obj:load())
    obj.vars.target = helper.pid
    local link = assert(obj.progs.on_unlink:attach())
    os.remove(ABSENT)
    link:detach()
    assert.is_truthy(mapping_of(m[obj.vars.user][1]))
  end)

  it("with build ids has entries of that size", function()
    local m <close> = assert(map.create({ type = "stack_trace", max_entries = 16, flags = "stack_build_id",
      value_size = 32 * 8 }))
    assert.equal(256, map.info(m).value_size)
    assert.is_nil(m[1])
    local result, _, code = map.create({ type = "stack_trace", max_entries = 16, flags = "stack_build_id",
      value_size = 40 })
    assert.is_nil(result)
    assert.equal("EINVAL", code)
  end)
end)

-- SPDX-License-Identifier: MIT
-- perf_event_array: perf events that Lua puts in for programs to read, or to send data through.
local attachments = require("spec.support.attach")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local bpf = require("bpf")
local perf = require("support.perf")

local fails, map = helper.fails, bpf.map

local ABSENT = helper.absent()

kernel.root()

local COUNTERS = helper.obj("counters")

-- A system call that Lua can't do without.
local function system_call()
  os.rename(ABSENT, ABSENT)
end

describe("a perf_event_array", function()
  local obj, events, opened

  before_each(function()
    obj = assert(bpf.load(COUNTERS))
    events = obj.maps.events
    opened = {}
  end)

  after_each(function()
    obj:close()
    for _, event in pairs(opened) do
      event:close()
    end
  end)

  -- An event for each CPU in its slot.
  local function fill(options)
    for cpu = 0, #events - 1 do
      options.cpu = cpu
      opened[cpu] = perf.open(options)
      events[cpu] = opened[cpu]
    end
  end

  local function attach(name)
    obj.vars.target = helper.pid
    return assert(obj.progs[name]:attach())
  end

  it("has a slot for each CPU", function()
    assert.equal("perf_event_array", map.type(events))
    assert.equal(math.tointeger(tonumber((helper.run("getconf _NPROCESSORS_CONF")))), #events)
  end)

  -- The task may move between two calls, to a CPU whose event was opened later: a count says something of its own CPU.
  it("lets a program read what an event counted", function()
    fill({ type = perf.TYPE_SOFTWARE, config = perf.COUNT_SW_CPU_CLOCK })
    local link <close> = attach("count") -- luacheck: ignore
    local function counted()
      local spun = os.clock() -- a clock may tick every few milliseconds only
      repeat until os.clock() > spun + 0.05
      system_call()
      assert.equal(0, obj.vars.error)
      return obj.vars.cpu, obj.vars.value
    end
    local seen = {}
    local cpu, value = counted()
    while not seen[cpu] do -- once more than there are CPUs, at most
      assert.is_true(value.counter > 0)
      assert.is_true(value.enabled > 0)
      seen[cpu] = value
      cpu, value = counted()
    end
    assert.is_true(obj.vars.read > 1)
    assert.is_true(value.counter > seen[cpu].counter)
    assert.is_true(value.enabled > seen[cpu].enabled)
    assert.is_true(value.counter <= (opened[cpu]:count()))
  end)

  it("lets a program send data, each CPU's through its event", function()
    fill({ type = perf.TYPE_SOFTWARE, config = perf.COUNT_SW_BPF_OUTPUT, pages = 8 })
    for _, event in pairs(opened) do
      assert.is_false(event:wait(0))
    end
    local link = attach("send")
    for _ = 1, 10 do
      system_call()
    end
    attachments.close(link)
    assert.equal(0, obj.vars.error)
    assert.is_true(obj.vars.sent >= 10)
    local got, lost = {}, 0
    for _, event in pairs(opened) do
      local samples, missed = event:samples()
      lost = lost + missed
      for _, sample in ipairs(samples) do
        got[string.unpack("=I8", sample)] = true
      end
    end
    assert.equal(0, lost)
    assert.equal(obj.vars.sent, #got) -- without holes
  end)

  it("wakes who waits for the event", function()
    fill({ pages = 1 })
    local link = attach("send")
    system_call()
    attachments.close(link)
    local woken = 0
    for _, event in pairs(opened) do
      woken = woken + (event:wait(0) and 1 or 0)
    end
    assert.is_true(woken > 0)
  end)

  it("can be emptied slot by slot", function()
    fill({ pages = 1 })
    for cpu = 0, #events - 1 do
      events[cpu] = nil
    end
    local link = attach("send")
    system_call()
    attachments.close(link)
    assert.same({ 0, -2 }, { obj.vars.sent, obj.vars.error }) -- ENOENT
    for _, event in pairs(opened) do
      assert.same({}, (event:samples()))
    end
    assert.same({ false, "ENOENT" }, { map.delete(events, 0) })
    events[0] = opened[0]
    assert.is_true(map.delete(events, 0))
    events[0] = nil
  end)

  it("keeps an event whose own descriptor is closed", function()
    fill({ config = perf.COUNT_SW_CPU_CLOCK })
    for _, event in pairs(opened) do
      event:close()
    end
    local link = attach("count")
    system_call()
    attachments.close(link)
    assert.equal(0, obj.vars.error)
    assert.is_true(obj.vars.value.counter > 0)
  end)

  it("forgets events with the descriptor that put them there, unless it preserves them", function()
    for _, preserve in ipairs({ false, true }) do
      local own <close> = assert(map.create({ type = "perf_event_array", max_entries = #events,
        flags = preserve and { "preserve_elems" } or nil }))
      local shared <close> = assert(bpf.open(COUNTERS, { maps = { events = own } }))
      assert(shared:load())
      do
        local writer <close> = assert(map.by_id(map.info(own).id))
        for cpu = 0, #own - 1 do
          opened[cpu] = opened[cpu] or perf.open({ cpu = cpu, pages = 1 })
          writer[cpu] = opened[cpu]
        end
      end
      shared.vars.target = helper.pid
      local link = assert(shared.progs.send:attach())
      system_call()
      attachments.close(link)
      assert.equal(preserve and 0 or -2, shared.vars.error)
      assert.equal(preserve, shared.vars.sent > 0)
    end
  end)

  it("takes a descriptor as an integer or from anything with getfd", function()
    opened[0] = perf.open({ cpu = 0 })
    events[0] = opened[0]:getfd()
    assert.is_true(map.update(events, 0, opened[0]))
    assert.is_true(map.update(events, 0, { getfd = function() return opened[0]:getfd() end }))
    assert.is_true(map.update(events, 0, { getfd = function() return opened[0]:getfd() + 0.0 end }))
    assert.is_true(map.delete(events, 0))
  end)

  it("refuses what is no perf event", function()
    local file <close> = assert(io.open("/dev/null"))
    fails("EBADF", "^map 'events': update: the value is no open file descriptor of the right kind",
      map.update(events, 0, file))
    helper.raises(function() events[0] = file end, "map 'events': update: .*EBADF")
    fails("EBADF", "^map 'events': update: the value is no open file descriptor", map.update(events, 0, 9999))
    helper.raises(function() events[0] = 9999 end, "EBADF")
    opened[0] = perf.open({ cpu = 0 })
    opened[0]:close()
    helper.raises(function() events[0] = opened[0] end, "the event is closed")
    opened[0] = nil
  end)

  it("refuses what has no descriptor", function()
    local closed = assert(io.open("/dev/null"))
    closed:close()
    for _, bad in ipairs({ "0", {}, true, print, -1, 1.5, closed, 1 << 31, { getfd = function() return "1" end },
      { getfd = function() return -1 end }, { getfd = function() end } }) do
      helper.raises(function() events[0] = bad end, "a file descriptor expected")
      helper.raises(function() map.update(events, 0, bad) end, "a file descriptor expected")
    end
    helper.raises(function() events[0] = { getfd = function() error("not today") end } end, "not today")
  end)

  it("knows its slots", function()
    opened[0] = perf.open({ cpu = 0 })
    fails("E2BIG", "no such slot, the last one is " .. #events - 1, map.update(events, #events, opened[0]))
    helper.raises(function() events[#events] = opened[0] end, "no such slot.*E2BIG")
  end)

  it("can't be read or walked, and says what it can", function()
    local what = "map 'events': maps of type perf_event_array have no %s.*%%(they have: update, delete%%)"
    helper.raises(function() return events[0] end, what:format("lookup"))
    helper.raises(function() map.lookup(events, 0) end, what:format("lookup"))
    helper.raises(function() map.unpack(events, 0) end, what:format("lookup"))
    helper.raises(function() map.lookup_and_delete(events, 0) end, what:format("lookup_and_delete"))
    helper.raises(function() map.next_key(events) end, what:format("next_key"))
    helper.raises(function() pairs(events) end, what:format(""))
    helper.raises(function() map.keys(events) end, what:format(""))
  end)
end)

-- SPDX-License-Identifier: MIT
-- Readers of ring buffers and perf buffers, and producers of user ring buffers.
local bpf = require "bpf"
local common = require "spec.support.reentry.common"

local map = bpf.map
local finalize = common.finalize

-- What readers of both kinds do.
local operations <const> = {
  poll = function(h) return h.reader:poll(0) end,
  consume = function(h) return h.reader:consume(2) end,
  events = function(h) return h.step(h.state) end,
  events_again = function(h) h.step, h.state = h.reader:events(0) end,
  fd = function(h) return h.reader:fd(), h.reader:getfd() end,
  lost = function(h) return h.reader:lost() end,
  text = function(h) return tostring(h.reader) end,
  send = function(h) return h.prog:run() end,
  close = function(h) return h.reader:close() end,
  finalize = function(h) finalize(h.reader) end,
}

-- What handlers do.
local function handle() common.interrupt() end

-- The kernel tells of a process's new name.
local function rename()
  local file <close> = assert(io.open("/proc/self/comm", "w"))
  assert(file:write("reentry"))
end

local load = common.lasting(function()
  local obj = assert(bpf.load(common.obj "reentry"))
  return { obj = obj, prog = obj.progs.send, ring = obj.maps.events, notes = obj.maps.notes }
end)

-- The object's handles, and those that `open` adds: a reader, and an iteration in its middle.
local function reading(open)
  return function()
    local h = load()
    h.reader = open(h)
    h.prog:run()
    h.step, h.state = h.reader:events(0)
    return h
  end
end

return {
  {
    name = "ring buffers",
    setup = reading(function(h) return assert(bpf.ringbuf(h.ring, "struct event", handle, { lost = handle })) end),
    operations = common.with(operations, {
      new = function(h) h.reader = bpf.ringbuf(h.ring, "struct event", handle, { unpack = true }) end,
      add = function(h) return h.reader:add(h.obj.maps.others, nil, handle) end,
      add_into = function(h) return h.reader:add(h.obj.maps.others, "struct event", handle, { into = {} }) end,
      close_map = function(h) return map.close(h.ring) end,
      close_object = function(h) return h.obj:close() end,
    }),
  },
  {
    name = "perf buffers",
    setup = reading(function(h)
      return assert(bpf.perfbuf(h.notes, "struct event", handle, { pages = 1, lost = handle }))
    end),
    operations = common.with(operations, {
      new = function(h) h.reader = bpf.perfbuf(h.notes, "struct { u32 a[100]; }", handle, { pages = 1 }) end,
      add = function(h) return h.reader:add(h.obj.maps.other_notes, nil, handle, { pages = 1, cpus = { 0 } }) end,
      close_map = function(h) return map.close(h.notes) end,
      close_object = function(h) return h.obj:close() end,
    }),
  },
  {
    name = "what the kernel tells of processes",
    setup = reading(function(h)
      h.map = assert(map.create { type = "perf_event_array", max_entries = #bpf.cpus().possible })
      rename()
      return assert(bpf.posix.changes(h.map, nil, handle, { pages = 1, lost = handle }))
    end),
    operations = common.with(operations, {
      new = function(h) h.reader = bpf.posix.changes(h.map, nil, handle, { pages = 1 }) end,
      add = function(h) return h.reader:add(h.notes, nil, handle, { pages = 1, cpus = { 0 } }) end,
      send = rename,
      close_map = function(h) return map.close(h.map) end,
    }),
    intruders = { "close", "close_map", "consume", "events", "finalize", "new", "send" },
  },
  {
    name = "user ring buffers",
    setup = function()
      local ring = assert(map.create { type = "user_ringbuf", max_entries = 4096 })
      return { map = ring, producer = assert(bpf.user_ringbuf(ring, "struct { u32 a; char t[500]; }")) }
    end,
    operations = {
      new = function(h) h.producer = bpf.user_ringbuf(h.map, "struct { u64 a[40]; }") end,
      submit = function(h) return h.producer:submit { a = 1, t = "x" } end,
      wait = function(h) return h.producer:submit({ a = 1 }, 1) end,
      fd = function(h) return h.producer:fd(), h.producer:getfd(), tostring(h.producer) end,
      close = function(h) return h.producer:close() end,
      finalize = function(h) finalize(h.producer) end,
      close_map = function(h) return map.close(h.map) end,
    },
  },
}

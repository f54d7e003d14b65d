-- SPDX-License-Identifier: MIT
-- Readers of both kinds, and the programs that send to them. `local rings = require("spec.support.reader").ringbuf`.
-- Each kind has open, load, run, send and more, with the same arguments but for what only one of them has.
local bpf = require("bpf")
local helper = require("spec.helper")

local assert = require("luassert")

local reader = {}

local opened = {} -- closed after each test

local function keep(handle)
  opened[#opened + 1] = assert(handle)
  return handle
end

--- For after_each: closes what `open`, `load` and `watch` opened.
function reader.close_all()
  for i = #opened, 1, -1 do
    opened[i]:close()
    opened[i] = nil
  end
end

--- The type of what the programs send.
reader.NOTE = "struct { __u32 seq; __u32 pid; __u64 square; char text[8]; }"

--- The numbers of the CPUs that are online.
reader.CPUS = {}
do
  local file <close> = assert(io.open("/sys/devices/system/cpu/online"))
  for first, last in file:read("a"):gmatch("(%d+)%-?(%d*)") do
    for cpu = tonumber(first), tonumber(last) or tonumber(first) do
      table.insert(reader.CPUS, cpu)
    end
  end
end

local FIRST <const> = reader.CPUS[1]
local ON_CPU <const> = 1 -- BPF_F_TEST_RUN_ON_CPU

--- The next record, with its CPU if it has one, or nil if none comes in time.
function reader.next_event(from, timeout)
  return (from:events(timeout))(from)
end

--- Seconds on the wall.
function reader.now()
  local file <close> = assert(io.open("/proc/uptime"))
  return file:read("n")
end

--- How many descriptors and mappings of ours this process has, once all garbage is collected.
function reader.held()
  collectgarbage()
  collectgarbage()
  local list = helper.run(("ls -l /proc/%d/fd; cat /proc/%d/maps"):format(helper.pid, helper.pid))
  local count = 0
  for _, what in ipairs({ "anon_inode:bpf", "anon_inode:%[eventpoll%]", "anon_inode:%[eventfd%]",
    "anon_inode:%[perf_event%]", "/%[aio%]" }) do
    count = count + select(2, list:gsub(what, ""))
  end
  return count
end

--- Runs code in a process of its own, with `bpf`, `sys` and `ready`. Once it has called `ready` and sleeps, it gets
-- signals, by name; STOP is followed by CONT. Each comes when the process sleeps again. Returns what `helper.run` does.
function reader.signalled(code, signals)
  local flag = helper.tmpdir() .. "/ready"
  local script = ([[
    package.cpath = package.cpath .. ";build/?.so"
    local bpf, sys = require("bpf"), require("support.sys")
    local function ready() assert(io.open(%q, "w")):close() end
    %s]]):format(flag, code)
  local steps = {}
  for signal in signals:gmatch("%S+") do
    steps[#steps + 1] = "state S; kill -" .. signal .. " $pid"
    if signal == "STOP" then
      steps[#steps + 1] = "state T; kill -CONT $pid"
    end
  end
  return helper.run(([[env --default-signal=INT %s -e %s & pid=$!
    there() { kill -0 $pid 2>/dev/null; }
    state() { # starts nothing but sleep, and that only if it must: an emulated machine is slow at it
      while read -r stat </proc/$pid/stat; do
        case ${stat##*) } in $1*) break ;; esac
        sleep 0.02
      done 2>/dev/null
    }
    while there && [ ! -e %s ]; do sleep 0.02; done
    %s
    wait $pid]]):format(helper.LUA, helper.quote(script), flag, table.concat(steps, "\n")))
end

-- Adds to a kind's table what its row makes of it: name, path of the object, and `request`, which makes the options of
-- prog:run from what a program is asked to send; `code` makes them as Lua code.
local function kind(k)
  --- An object, closed after the test.
  function k.load(options)
    return keep(bpf.load(k.path, options))
  end

  --- An object, and a reader of one of its maps.
  function k.open(name, type, handler, options)
    local obj = k.load()
    return obj, keep(k.new(obj.maps[name], type, handler, options))
  end

  --- Runs one of the programs that send; returns what it answers, as a signed number.
  function k.run(obj, prog, ...)
    local answer = assert(obj.progs[prog]:run(k.request(...)))
    return (string.unpack("=i4", string.pack("=I4", answer.retval)))
  end

  --- Sends records to the map `notes`.
  function k.send(obj, from, count, ...)
    assert.equal(count, k.run(obj, "send_notes", from, count, ...))
  end

  --- A reader that hears of processes of a name, the command that starts one, and the object.
  function k.watch(handler, options, vars)
    local name = "lbpf-" .. helper.pid
    local path = helper.tmpdir() .. "/" .. name
    assert.is_true(select(2, helper.run("cp /bin/true " .. path)))
    local obj = k.load({ vars = { target = name } })
    for var, value in pairs(vars or {}) do
      obj.vars[var] = value
    end
    local new = keep(k.new(obj.maps.notes, "struct note", handler, options))
    assert(obj.progs.on_process:attach())
    return new, path, obj
  end

  --- Runs code in a process of its own, as reader.signalled does, with `obj` and `new`, which makes readers.
  function k.signalled(code, signals)
    return reader.signalled(("local new, obj = bpf.%s, assert(bpf.load(%q))\n%s"):format(k.name, k.path, code), signals)
  end

  --- What the reference's examples of this kind use: `reader`, which has three records to read, and its object, `obj`.
  function k.usage(env)
    env.obj = assert(bpf.load(k.path))
    env.reader = assert(k.new(env.obj.maps.notes, "struct note", env.print))
    k.send(env.obj, 1, 3)
    return function()
      env.reader:close()
      env.obj:close()
    end
  end

  return k
end

reader.ringbuf = kind({
  name = "ringbuf", new = bpf.ringbuf, text = "ring buffer", path = helper.obj("rings"),
  other = "small", send_other = "send_small", -- a second map, and the program that sends to it
  type = "ringbuf", bss = "rings.bss", -- its maps' type, and one of another
  request = function(from, count, size, skip)
    return { ctx = string.pack("=I4I4I4I4", from, count, size or 0, skip or 0) }
  end,
  code = function(from, count) return ('{ ctx = string.pack("=I4I4I4I4", %d, %d, 0, 0) }'):format(from, count) end,
  blob = function(byte, size) return byte, 1, size end, -- what send_blob is asked for
  place = function() end, -- what send is asked for to send from elsewhere each turn
})

reader.perfbuf = kind({
  name = "perfbuf", new = bpf.perfbuf, text = "perf buffer", path = helper.obj("perfs"),
  other = "others", send_other = "send_others",
  type = "perf_event_array", bss = "perfs.bss",
  request = function(from, count, cpu)
    return { ctx = string.pack("=I8I8", from, count), flags = ON_CPU, cpu = cpu or FIRST }
  end,
  code = function(from, count) return ('{ ctx = string.pack("=I8I8", %d, %d) }'):format(from, count) end,
  blob = function(byte, size) return byte, size end,
  place = function(turn) return reader.CPUS[turn % #reader.CPUS + 1] end,
})

return reader

-- SPDX-License-Identifier: MIT
-- What the examples share that count stacks. A place is a key of such a map: a process's `pid` and `comm`, and the keys
-- of its stacks in another map, `kernel` and `user`, which are negative without one.
local bpf = require "bpf"

local stacks = {}

local processes = {} -- symbols by pid

--- Reads the symbols of the processes whose places are in the map. Their names can't be told once they have ended.
function stacks.meet(counts)
  for place in bpf.map.keys(counts) do
    processes[place.pid] = processes[place.pid] or bpf.symbols.process(place.pid)
  end
end

-- The addresses in the kernel and in the process, if there are such; and the symbols of the process.
local function addresses(traces, place)
  return place.kernel >= 0 and traces[place.kernel] or nil, place.user >= 0 and traces[place.user] or nil,
    processes[place.pid]
end

--- Names joined by ";", from the outermost on: the command, its functions, and the kernel's, which end in "_[k]".
function stacks.fold(traces, place)
  local kernel, user, process = addresses(traces, place)
  return bpf.symbols.stack(kernel, user, process, { folded = true, comm = place.comm })
end

--- Writes samples of the CPUs to a file in pprof's format. They were taken so often a second, since `began`.
function stacks.write(path, samples, traces, freq, began)
  local period = 1000000000 // math.max(freq, 1)
  local profile = bpf.pprof.new {
    values = { "samples/count", "cpu/nanoseconds" }, period = "cpu/nanoseconds", every = period,
    time = began, duration = bpf.clock "realtime" - began,
  }
  for place, n in pairs(samples) do
    local frames = bpf.symbols.frames(addresses(traces, place))
    profile:add(frames, { n, n * period }, { comm = place.comm, pid = place.pid })
  end
  local ok, message = profile:write(path)
  return ok or error(message, 0)
end

--- Numbers by text as rows, the largest first.
function stacks.sorted(numbers)
  local rows = {}
  for what, n in pairs(numbers) do
    rows[#rows + 1] = { n = n, what = what }
  end
  table.sort(rows, function(a, b) return a.n > b.n or a.n == b.n and a.what < b.what end)
  return rows
end

return stacks

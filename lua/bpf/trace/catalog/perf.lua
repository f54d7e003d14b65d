-- SPDX-License-Identifier: MIT
-- Events of perf: those that the kernel counts, and counters of the processor.

local ask = require("bpf.trace.catalog.ask")

local perf = {}

-- The events, each with the period after which a program usually runs.
local EVENTS <const> = {
  software = {
    { "alignment-faults", 1 }, { "bpf-output", 1 }, { "context-switches", 1000 }, { "cpu-clock", 1000000 },
    { "cpu-migrations", 1 }, { "emulation-faults", 1 }, { "major-faults", 1 }, { "minor-faults", 100 },
    { "page-faults", 100 }, { "task-clock", 1000000 },
  },
  hardware = {
    { "branch-instructions", 100000 }, { "branch-misses", 100000 }, { "bus-cycles", 100000 },
    { "cache-misses", 1000000 }, { "cache-references", 1000000 }, { "cpu-cycles", 1000000 },
    { "instructions", 1000000 }, { "ref-cpu-cycles", 1000000 }, { "stalled-cycles-backend", 1000000 },
    { "stalled-cycles-frontend", 1000000 },
  },
}

function perf.names(kind)
  local names = {}
  for n, event in ipairs(EVENTS[kind]) do
    names[n] = ("%s/%d"):format(event[1], event[2])
  end
  return names
end

function perf.arguments()
  return {}
end

perf.each = true -- the answer differs from event to event

-- What bpf.prog's attach_perf_event calls events whose names differ by more than dashes.
local CONFIGS <const> = {
  ["major-faults"] = "page_faults_maj",
  ["minor-faults"] = "page_faults_min",
}

-- The `config` of an event for prog:attach_perf_event, by the beginning of its name.
function perf.config(name)
  local event = name:match("^[^/]+")
  return CONFIGS[event] or (event:gsub("[-]", "_"))
end

function perf.refusal(kind, name)
  local config = perf.config(name)
  return ask.refusal("perf_event", function(prog)
    return prog:attach_perf_event { type = kind, config = config, pid = 0, sample_period = 1 << 40 }
  end)
end

return perf

-- SPDX-License-Identifier: MIT
-- Raw tracepoints: their names, and their parameters, which the functions __traceiter_NAME have. The typedefs
-- btf_trace_NAME have no names of parameters.

local ask = require("bpf.trace.catalog.ask")
local btf = require("bpf.trace.catalog.btf")
local kallsyms = require("bpf.trace.catalog.kallsyms")

local raw = {}

local SPACES <const> = { raw_tp = "kernel", tp_btf = "trusted" }

-- Names of both lists in order, each once.
local function join(names, more)
  local seen = {}
  for _, name in ipairs(names) do
    seen[name] = true
  end
  for _, name in ipairs(more) do
    names[#names + 1] = not seen[name] and name or nil
  end
  table.sort(names)
  return names
end

local function has_modules()
  local file <close> = io.open("/proc/modules")
  return not file or file:read(1) ~= nil
end

-- The kernel's BTF has those that programs can be attached to, but not those of modules. Some tracepoints are for no
-- programs (sched_set_state_tp): symbols don't tell them apart.
function raw.names(kind)
  local names, problem = btf.prefixed("btf_trace_")
  if not (names and names[1]) then
    return kind == "raw_tp" and kallsyms.prefixed("__traceiter_") or {}, problem
  end
  return kind == "raw_tp" and has_modules() and join(names, kallsyms.prefixed("__traceiter_", true) or {}) or names
end

-- Whether there is such a tracepoint, found out without reading the names of all.
function raw.has(_, name)
  return btf.find("btf_trace_" .. name, "typedef") ~= nil
end

function raw.arguments(kind, name)
  local description, own = btf.find("__traceiter_" .. name, "func")
  if not description then
    return nil, own
  end
  return (btf.parameters(description, own, 2, SPACES[kind])) -- the first is not the tracepoint's
end

function raw.refusal(kind, name)
  if kind == "raw_tp" then
    return ask.type("raw_tracepoint")
  end
  return ask.refusal("tp_btf/" .. name)
end

return raw

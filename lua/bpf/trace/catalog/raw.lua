-- SPDX-License-Identifier: MIT
-- Raw tracepoints: their names, and their parameters, which the functions __traceiter_NAME have. The typedefs
-- btf_trace_NAME have no names of parameters.

local ask = require("bpf.trace.catalog.ask")
local btf = require("bpf.trace.catalog.btf")
local kallsyms = require("bpf.trace.catalog.kallsyms")

local raw = {}

local SPACES <const> = { raw_tp = "kernel", tp_btf = "trusted" }

function raw.names(kind)
  if kind == "raw_tp" then
    local names = kallsyms.prefixed("__traceiter_")
    if names and names[1] then
      return names
    end
  end
  local names, problem = btf.prefixed("btf_trace_")
  return names or {}, problem
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

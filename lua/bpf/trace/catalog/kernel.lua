-- SPDX-License-Identifier: MIT
-- Functions of the kernel: those that ftrace can trace, or, where the kernel keeps that list to itself, those of
-- /proc/kallsyms. Programs of type fentry need the function's BTF.

local ask = require("bpf.trace.catalog.ask")
local btf = require("bpf.trace.catalog.btf")
local kallsyms = require("bpf.trace.catalog.kallsyms")
local tracefs = require("bpf.program.tracefs")

local kernel = {}

local traceable, why_not

-- The set of functions that may be traced; or nil and why not.
local function functions()
  if not traceable then
    local text = tracefs.read("available_filter_functions")
    if text then
      traceable = {}
      for name in text:gmatch("([^ \n]+)[^\n]*\n") do
        traceable[name] = true
      end
    else
      traceable, why_not = kallsyms.functions()
    end
  end
  return traceable, why_not
end

local SPACES <const> = { fentry = "trusted", fexit = "trusted" } -- else "kernel"

function kernel.names(kind)
  local all, problem = functions()
  local described = all
  if SPACES[kind] then
    described, problem = btf.functions()
  end
  if not described then
    return {}, problem
  end
  local names = {}
  for name in pairs(described) do
    if not all or all[name] then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

-- Whether there is such a function, found out without reading the names of all.
function kernel.has(kind, name)
  return btf.find(name, "func") ~= nil or not SPACES[kind] and kallsyms.has(name)
end

local RESULT_ONLY <const> = { kretprobe = true }

function kernel.arguments(kind, name)
  local description, own = btf.find(name, "func")
  if not description then
    return nil, own
  end
  local list, result = btf.parameters(description, own, 1, SPACES[kind] or "kernel")
  local returns = kind == "fexit" or RESULT_ONLY[kind]
  return RESULT_ONLY[kind] and {} or list, returns and result or nil
end

-- A function that the kernel has for tests, and never calls but for tests.
local EXAMPLE <const> = "bpf_fentry_test1"

function kernel.refusal(kind)
  if SPACES[kind] then
    return btf.find(EXAMPLE, "func")
      and ask.refusal(kind .. "/" .. EXAMPLE, function(prog) return prog:attach_trace() end) or nil
  end
  return ask.source("kprobe", "CONFIG_KPROBES") or ask.type("kprobe")
end

return kernel

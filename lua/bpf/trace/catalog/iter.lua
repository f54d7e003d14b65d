-- SPDX-License-Identifier: MIT
-- Iterators over what the kernel has.

local ask = require("bpf.trace.catalog.ask")
local btf = require("bpf.trace.catalog.btf")

local iter = {}

-- An iterator is a function bpf_iter_NAME whose context is a struct bpf_iter__NAME.
function iter.names()
  local found, problem = btf.prefixed("bpf_iter__")
  local names = {}
  for _, name in ipairs(found or {}) do
    if btf.find("bpf_iter_" .. name, "func") then
      names[#names + 1] = name
    end
  end
  return names, problem
end

function iter.arguments(_, name)
  return btf.members("bpf_iter__" .. name, "trusted")
end

function iter.refusal()
  return ask.refusal("iter/task")
end

return iter

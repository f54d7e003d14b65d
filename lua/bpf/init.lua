-- SPDX-License-Identifier: MIT
--- `require "bpf"`: the C core, and the Lua modules on top of it, each loaded when it is first used.

local core = require("bpf.core")

local modules = {
  compile = "bpf.compile",
  hist = "bpf.hist",
  inspect = "bpf.inspect",
  json = "bpf.json",
  metrics = "bpf.metrics",
  symbols = "bpf.symbols",
}

return setmetatable(core, {
  __metatable = false,
  __index = function(bpf, name)
    local module = modules[name]
    if not module then
      return nil
    end
    local value = require(module)
    rawset(bpf, name, value)
    return value
  end,
  __tostring = function(bpf)
    return ("bpf %s (libbpf %s)"):format(bpf._VERSION, bpf.libbpf_version)
  end,
})

-- SPDX-License-Identifier: MIT
-- What the examples of bpf.program use: the maps `flows` and `states`, each made when an example first names it.
local bpf = require("bpf")
local kernel = require("spec.support.kernel")

local function array(value)
  return assert(bpf.map.create { type = "array", max_entries = 1, value = value })
end

local makers = {}

function makers.flows()
  return array("struct flow { __u64 packets, bytes; }")
end

function makers.states()
  kernel.need("atomic operations that return a value", "5.12")
  return array("struct state { __u64 count, bits; }")
end

return function(env)
  local made = {}
  setmetatable(env, {
    __index = function(_, name)
      if not makers[name] then
        return _G[name]
      end
      made[name] = made[name] or makers[name]()
      return made[name]
    end,
  })
  return function()
    for _, map in pairs(made) do
      bpf.map.close(map)
    end
  end
end

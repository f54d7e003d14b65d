-- SPDX-License-Identifier: MIT
-- Parts of the compiler that few programs need, each loaded when a function has what it compiles: a first program takes
-- most of its time to read the compiler.
local Compiler = require("bpf.program.compiler")
local posix = require("bpf.base.posix")

local later = {}

-- Methods and constants of the compiler by the part that has them.
local METHODS = {
  callback = "callback new_frame store_ways Body RETURNED ENDED",
  helpercalls = "call_helper written forget_packet",
  loops = "branch_by_limit outlined_for",
  tables = "constant_table",
}

-- The part that has the method of a name.
local part_of = {}
for part, names in pairs(METHODS) do
  for name in names:gmatch("%S+") do
    part_of[name] = part
  end
end

local OPS <const> = { FORPREP = true, FORLOOP = true, TFORPREP = true } -- of loops

-- All parts, with those that others load by themselves.
local PARTS <const> = {
  "callback", "helpercalls", "loops", "tables", "locks", "refusal", "specialhelpers", "tracefs", "usdt", "userring",
}

-- The module of a part. The compiler's caller gets a failure as any other of compiling.
function later.part(name)
  local module, _, why = posix.module("bpf.program." .. name)
  if not module then
    why = why or "its file is not to be found, perhaps since a chroot: call bpf.preload() before"
    error({ program = ("bpf.program.%s can't be loaded: %s"):format(name, why) }, 0)
  end
  return module
end

-- Loads all parts.
function later.load()
  for _, name in ipairs(PARTS) do
    require("bpf.program." .. name)
  end
end

setmetatable(Compiler, {
  __index = function(class, name)
    local part = part_of[name]
    if part then
      later.part(part)
    end
    return part and rawget(class, name)
  end,
})

setmetatable(Compiler.ops, {
  __index = function(ops, name)
    if OPS[name] then
      later.part("loops")
    end
    return rawget(ops, name)
  end,
})

return later

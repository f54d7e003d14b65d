-- SPDX-License-Identifier: MIT
-- `kstack`, `ustack`, `kstack(n)`, `ustack(n)`: the number under which a map keeps the stack; negative where it could
-- not be kept. A trace has a map for each depth. Its number stands above that of the stack, so that the value tells
-- where it is kept, wherever it has been stored.
local declared = require("bpf.program.declared")
local values = require("bpf.program.values")

local stacks = {}

local ENTRIES <const>, DEEPEST <const>, USER <const> = 16384, 127, 0x100
local DEPTH_SHIFT <const> = 16
assert(ENTRIES <= 1 << DEPTH_SHIFT)

-- The map of stacks that are at most so deep.
local function map_of(c, depth)
  local depths = c.root.traced.depths
  depths[depth] = depths[depth] or declared.declare {
    type = "stack_trace", name = "stacks_" .. depth, max_entries = ENTRIES, key = "__u32",
    value = ("__u64[%d]"):format(depth),
  }
  return depths[depth]
end

local function stack(name, flags)
  return function(c, given)
    local depth = given and given[1]
    local n = not depth and DEEPEST or depth.kind == "integer" and math.type(depth.r) and depth.r
    if not n or n < 1 or n > DEEPEST then
      c:fail("%s(n): how deep is a constant from 1 to %d", name, DEEPEST)
    end
    local v = c:call_helper("get_stackid", { values.constant(map_of(c, n)), values.integer(flags) })
    return values.integer(c.f:alu("or", v.r, n << DEPTH_SHIFT)) -- a negative one stays as it is
  end
end

stacks.kernel, stacks.user = stack("kstack", 0), stack("ustack", USER)

--- The addresses of a stack, innermost first; nil where it wasn't kept. `maps` are those of the trace, by their depth.
function stacks.addresses(maps, number)
  local m = number >= 0 and maps and maps[number >> DEPTH_SHIFT]
  return m and m[number & (1 << DEPTH_SHIFT) - 1] or nil
end

return stacks

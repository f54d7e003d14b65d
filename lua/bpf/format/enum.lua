-- SPDX-License-Identifier: MIT
--- Names of the enumerators of the kernel's types.
-- @module bpf.format

local argument = require("bpf.base.argument")

local M = {}

--- Returns the name of an enumerator of the running kernel.
-- @tparam integer n
-- @tparam string name that of an enum, or what the names of all its enumerators begin with: "TCP_". The beginning is
-- then left out of the result
-- @treturn string the number for one that has no name
-- @usage
-- print(bpf.format.enum(2, "TCP_"), bpf.format.enum(4, "hrtimer_mode")) -- SYN_SENT   HRTIMER_MODE_SOFT
function M.enum(n, name)
  n = argument.integer(1, "enum", n)
  argument.check(2, "enum", name, "string")
  return require("bpf.format.enumerators").name(name, n) -- which only few scripts need
end

return M.enum

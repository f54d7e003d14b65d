-- SPDX-License-Identifier: MIT
--- Which process this is: what is removed when a scope ends, only the process that made it removes, and none forked from
-- that.
-- @module bpf.metrics.process

-- Returns the process's id; nil without /proc.
return function()
  local file <close> = io.open("/proc/self/stat")
  return file and file:read("n")
end

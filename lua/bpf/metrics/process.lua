-- SPDX-License-Identifier: MIT
--- Which process this is. What is removed at a scope's end is removed by the process that made it, not by its children.
-- @module bpf.metrics.process

-- Returns the process's id; nil without /proc.
return function()
  local file <close> = io.open("/proc/self/stat")
  return file and file:read("n")
end

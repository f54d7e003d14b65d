-- SPDX-License-Identifier: MIT
-- A policy for policyd: gets the daemon's BPF object, returns what to call for each program that is executed. A string
-- that this returns is printed. Edit it while the daemon runs, and send SIGHUP.
local obj = ...
local map = require "bpf".map

-- Programs that the kernel only counts.
local quiet = { "sleep", "date" }

local function on_exec(exec)
  if exec.count == 1 then
    return ("%s is new: pid %d, user %d"):format(exec.comm, exec.pid, exec.uid)
  elseif exec.count % 100 == 0 then
    return ("%s has been executed %d times"):format(exec.comm, exec.count)
  end
end

-- Last, because a script that fails after changing a map leaves it changed.
map.clear(obj.maps.quiet)
for _, name in ipairs(quiet) do
  obj.maps.quiet[name] = 1
end
return on_exec

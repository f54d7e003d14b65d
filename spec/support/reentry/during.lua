-- SPDX-License-Identifier: MIT
-- Finalizers in the middle of an operation. `local during = require "spec.support.reentry.during"`, of Lua alone.
--
-- The collector runs a whole cycle at each allocation, and in each cycle one finalizer, which makes garbage for the
-- next. So every place where an operation allocates, in C or in Lua, is one where the finalizer runs.

-- Sets how long the collector rests between cycles and how much it does in a step; returns what sets it back.
local function collect_always()
  collectgarbage("incremental")
  if _VERSION == "Lua 5.4" then
    collectgarbage("incremental", 1, 1000, 40)
    return function() collectgarbage("incremental", 200, 100, 13) end
  end
  local pause, stepmul = collectgarbage("param", "pause", 0), collectgarbage("param", "stepmul", 0)
  return function()
    collectgarbage("param", "pause", pause)
    collectgarbage("param", "stepmul", stepmul)
  end
end

--- Calls `operation`; its finalizer number `at` calls `intrude`, or those of whose number the function `at` says so.
-- Errors of both are caught. Returns how many finalizers ran before the operation ended, and what pcall returned of it.
return function(at, operation, intrude)
  local ran, armed = 0, true
  local meta = {}
  local function arm()
    setmetatable({}, meta)
  end
  function meta.__gc()
    if armed then
      ran = ran + 1
      if ran == at or type(at) == "function" and at(ran) then
        pcall(intrude)
      end
      arm()
    end
  end
  collectgarbage()
  collectgarbage()
  collectgarbage("stop")
  local collect_normally <const> = collect_always()
  arm()
  collectgarbage("restart")
  local ok, result = pcall(operation)
  collectgarbage("stop")
  armed = false
  collect_normally()
  collectgarbage("restart")
  return ran, ok, result
end

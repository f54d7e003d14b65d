-- SPDX-License-Identifier: MIT
-- How making and running a trace fails: by errors that are tables { trace = message, code, status }, so that
-- they are told from faults of our own. `status` is the one with which the tool ends; without one, 2.
local failure = {}

--- Raises what is wrong in a body or an option.
function failure.wrong(format, ...)
  error({ trace = format:format(...) }, 0)
end

--- Raises what a line has that scripts of --emit can't have.
function failure.not_emitted(format, ...)
  failure.wrong("--emit: " .. format, ...)
end

--- Raises what the system refuses.
function failure.refused(message, code, status)
  error({ trace = message, code = code, status = status or 1 }, 0)
end

return failure

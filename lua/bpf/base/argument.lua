-- SPDX-License-Identifier: MIT
-- Checks of arguments. Their errors name the line of the script: that of the caller of the function that checks, or of
-- one further up, by `level`, which is 2 for the caller, as with `error`.

local argument = {}

-- `error`, which finds the script's line also where a C function, such as pcall, called the function of that level.
local error <const> = require("bpf.core").posix.error
argument.error = error

-- Raises unless `type` or `math.type` gives what is expected for the argument.
function argument.check(position, fname, value, expected, level)
  if type(value) ~= expected and math.type(value) ~= expected then
    error(("bad argument #%d to '%s' (%s expected, got %s)"):format(position, fname, expected, type(value)),
      (level or 2) + 1)
  end
end

-- The integer that the argument is, or is as a float. Raises for anything else.
function argument.integer(position, fname, value, level)
  local n = math.type(value) and math.tointeger(value)
  if not n then
    argument.check(position, fname, value, "integer", (level or 2) + 1)
  end
  return n
end

-- Raises unless the argument is a path that C takes as a whole.
function argument.check_path(position, fname, path, level)
  argument.check(position, fname, path, "string", (level or 2) + 1)
  if path:find("\0", 1, true) then
    error(("bad argument #%d to '%s' (the string has a NUL byte in it)"):format(position, fname), (level or 2) + 1)
  end
end

-- Raises unless a method was called on an object whose metatable is `class`.
function argument.check_self(fname, self, class, level)
  if type(self) ~= "table" or getmetatable(self) ~= class then
    error(("calling '%s' on bad self (%s expected, got %s)"):format(fname, class.__name, type(self)), (level or 2) + 1)
  end
end

return argument

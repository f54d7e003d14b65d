-- SPDX-License-Identifier: MIT
--- The terminal: whether there is one, its size, its characters, and a line that tells how far a long operation is.
-- @module bpf.hist

local posix = require("bpf.base.posix")
local units = require("bpf.base.units")

local terminal = {}

--- Returns whether standard output is a terminal.
-- @treturn boolean
-- @usage
-- local redraw = hist.terminal()
function terminal.terminal()
  return posix.window(1) ~= nil
end

-- The columns or lines that the environment asks for, or nil.
function terminal.wanted(variable)
  local n = math.tointeger(tonumber(os.getenv(variable)))
  return n and n > 0 and n or nil
end

-- What the environment says, else what the terminal says, else the default.
local function dimension(variable, size, default)
  return terminal.wanted(variable) or size and size > 0 and size or default
end

--- Returns the width to print in: `$COLUMNS`, else the terminal's width as the kernel knows it, else 80. The kernel is
-- asked each time, so the width follows that of the window.
-- @treturn integer columns
-- @usage
-- local width = hist.width() -- for example 80
function terminal.width()
  return dimension("COLUMNS", posix.window(1), 80)
end

--- Returns the terminal's height: `$LINES`, else the height as the kernel knows it, else 24. The kernel is asked each
-- time.
-- @treturn integer lines
-- @usage
-- local height = hist.height() -- for example 24
function terminal.height()
  return dimension("LINES", select(2, posix.window(1)), 24)
end

--- Returns whether the locale uses UTF-8. Bars and "…" depend on it. The locale is the first of `LC_ALL`, `LC_CTYPE`
-- and `LANG` that is set.
-- @treturn boolean
-- @usage
-- local ellipsis = hist.utf8() and "…" or "~"
function terminal.utf8()
  for _, variable in ipairs { "LC_ALL", "LC_CTYPE", "LANG" } do
    local locale = os.getenv(variable)
    if locale and locale ~= "" then
      return locale:lower():find("utf%-?8") ~= nil
    end
  end
  return false
end

--- Returns a function that shows on standard error how far a long operation is, if that is a terminal. The line appears
-- when more than a second has passed, and goes when the function is closed.
-- @tparam string what the word for what is counted, such as "entries"
-- @treturn function to be called with the count, at every step if you like; `<close>` removes the line
-- @usage
-- local progress <close> = hist.progress("entries")
-- for i = 1, 1000 do
--   progress(i)
-- end
function terminal.progress(what)
  local began, calls, drawn, shown = posix.seconds() // 1, 0, 0, false
  local line = {}
  function line.__call(_, count)
    calls = calls + 1
    local now = calls % 256 == 0 and posix.seconds() // 1 or began
    if now - began < 2 or now == drawn then
      return
    end
    drawn = now
    if posix.window(2) then
      shown = true
      io.stderr:write(("\r%s %s, %.0f s\27[K"):format(units.count(count), what, now - began))
    end
  end
  function line.__close()
    if shown then
      io.stderr:write("\r\27[K")
    end
  end
  return setmetatable({}, line)
end

return terminal

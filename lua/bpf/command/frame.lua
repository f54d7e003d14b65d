-- SPDX-License-Identifier: MIT
-- What every command does alike: how it ends, writes, and reads its arguments.

local hist = require("bpf.hist")
local posix = require("bpf.base.posix")

local frame = {}

-- Ends the command: a message and the exit status.
function frame.fail(message, status)
  error({ message = message, status = status or 1 }, 0)
end

function frame.misuse(message, usage)
  frame.fail(message .. "\n" .. usage:match("^[^\n]+") .. "\nTry --help.", 2)
end

-- The value, or the end with what the library says of it.
function frame.need(value, message)
  if value == nil then
    frame.fail(message)
  end
  return value
end

-- Like io.write and print, but a command whose output is lost fails.
function frame.write(...)
  local ok, message = io.stdout:write(...)
  if not ok then
    frame.fail("write: " .. message)
  end
end

function frame.print_line(text)
  frame.write(text, "\n")
end

function frame.flush()
  frame.need(posix.finish(io.stdout))
end

function frame.positive(text)
  local n = tonumber(text)
  return n and n > 0 and n < math.huge and n or nil, "a number above 0"
end

function frame.count(text)
  local n = math.tointeger(tonumber(text))
  return n and n > 0 and n or nil, "a whole number above 0"
end

function frame.any(text)
  return text
end

-- The options by name, that may come several times as a list, and the rest in order.
-- `options` are readers of values by name, which say with nil what they take; true: without a value.
function frame.parse(arguments, options, usage)
  local given, rest, i, only_rest = { key = {} }, {}, 2, false
  while arguments[i] do
    local argument = arguments[i]
    local name, value = argument:match("^%-%-([%a]+)=?(.*)$")
    local reader = name and options[name]
    if only_rest or not argument:find("^%-.") then
      rest[#rest + 1] = argument
    elseif argument == "--" then
      only_rest = true
    elseif argument == "--help" or argument == "-h" then
      given.help = true
    elseif reader == true and argument == "--" .. name then
      given[name] = true
    elseif reader and reader ~= true then
      if not argument:find("=", 1, true) then
        i = i + 1
        value = arguments[i]
      end
      local read, wanted = reader(value or "")
      if not value or not read then
        local got = value and "'" .. value .. "'" or "nothing"
        frame.misuse(("--%s takes %s, not %s"):format(name, wanted or "a value", got), usage)
      elseif name == "key" then
        table.insert(given.key, read)
      else
        given[name] = read
      end
    else
      frame.misuse("not understood: " .. argument, usage)
    end
    i = i + 1
  end
  return given, rest
end

-- Nothing is cut for files and pipes.
function frame.width()
  return (hist.terminal() or os.getenv("COLUMNS")) and hist.width() or math.huge
end

return frame

-- SPDX-License-Identifier: MIT
-- What every command does alike: how it ends, writes, and reads its arguments.

local hist = require("bpf.hist")
local near = require("bpf.base.near")
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

-- What a call of the library returns. An error that it raises ends the command, without the place in our code.
function frame.try(call, ...)
  local results = table.pack(pcall(call, ...))
  if results[1] then
    return table.unpack(results, 2, results.n)
  end
  if type(results[2]) == "table" then
    error(results[2], 0)
  end
  frame.fail((tostring(results[2]):gsub("^%S+%.lua:%d+: ", "")))
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

-- The readers of options with a value: a function that gives the value, or nil and what it takes; or a table with
-- `read`, such a function; `many`: the option may come several times, its values are a list; `values`: all there are;
-- `complete`: what a shell offers, "file", "directory" or a kind of object.
frame.path = { read = frame.any, complete = "file" }

function frame.object(kind)
  return { read = frame.any, complete = kind }
end

function frame.many(reader)
  local same = type(reader) == "table" and reader or { read = reader }
  return { read = same.read, many = true, values = same.values, complete = same.complete }
end

function frame.choice(values)
  local known = {}
  for _, value in ipairs(values) do
    known[value] = value
  end
  return { values = values, read = function(text)
    return known[text], "one of " .. table.concat(values, ", ")
  end }
end

-- Ends the command with what was typed and isn't known, and what may have been meant of a list or table of names.
function frame.unknown(word, names, usage)
  local list = {}
  for key, name in pairs(names) do
    list[#list + 1] = math.type(key) and name or "--" .. key
  end
  local meant = near.names(word, list)
  frame.misuse("not understood: " .. word .. (meant[1] and (" (near: %s)"):format(table.concat(meant, ", ")) or ""),
    usage)
end

-- Reads the value of an option into what was given.
local function read_value(given, name, reader, value, usage)
  local read, wanted = (type(reader) == "table" and reader.read or reader)(value or "")
  if not value or not read then
    local got = value and "'" .. value .. "'" or "nothing"
    frame.misuse(("--%s takes %s, not %s"):format(name, wanted or "a value", got), usage)
  elseif type(reader) == "table" and reader.many then
    table.insert(given[name], read)
  else
    given[name] = read
  end
end

-- "--output=x" for "-ox", where the letter is short for an option.
local function with_name(argument, short)
  local letter, value = argument:match("^%-([A-Za-z])(.*)$")
  if not short[letter or ""] then
    return argument
  end
  return ("--%s%s%s"):format(short[letter], value ~= "" and "=" or "", value)
end

-- Whether an argument is an option: not a negative number, and not a text of several words, such as a comment of Lua's.
local function is_option(argument, reader)
  local words = argument:find("%s") and not reader and not argument:find("^%-%-?[a-z-]+=")
  return argument:find("^%-.") and not argument:find("^%-%.?[0-9]") and not words
end

-- The options by name, and the rest in order. `options` are readers of values by name; true: without a value. `short`
-- has names of options by letter.
function frame.parse(arguments, options, usage, short)
  local given, rest, i, only_rest = {}, {}, 2, false
  for name, reader in pairs(options) do
    given[name] = type(reader) == "table" and reader.many and {} or nil
  end
  while arguments[i] do
    local argument = only_rest and arguments[i] or with_name(arguments[i], short or {})
    local name, value = argument:match("^%-%-([a-z-]+)=?(.*)$")
    local reader = name and options[name]
    if only_rest or not is_option(argument, reader) then
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
      read_value(given, name, reader, value, usage)
    else
      frame.unknown(argument, options, usage)
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

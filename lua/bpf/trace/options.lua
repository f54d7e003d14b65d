-- SPDX-License-Identifier: MIT
-- What bpf.trace is given: probes with their bodies, and options. Wrong ones are errors of the caller.

local argument = require("bpf.base.argument")
local sorted = require("bpf.base.sorted")
local error = argument.error

local options = {}

local LEVEL <const> = 5 -- the caller of bpf.trace, from a check of one value

local function check(ok, format, ...)
  if not ok then
    error("bpf.trace: " .. format:format(...), LEVEL)
  end
end

-- What an option may be: a description, and a function that tells.
local function of_type(expected)
  return { "a " .. expected, function(value) return type(value) == expected end }
end

local function above_zero(value)
  return math.type(value) ~= nil and value > 0 and value < math.huge
end

local TEXT <const>, SWITCH <const> = of_type "string", of_type "boolean"
local PERIOD <const> = { "a number of seconds above 0", above_zero }

local function is_command(value)
  if type(value) ~= "table" then
    return type(value) == "string"
  end
  for _, word in ipairs(value) do
    if type(word) ~= "string" then
      return false
    end
  end
  return value[1] ~= nil
end

local OPTIONS <const> = {
  where = TEXT, cgroup = TEXT, output = TEXT, json = SWITCH, follow = SWITCH, seconds = PERIOD, interval = PERIOD,
  dry_run = SWITCH, emit = TEXT,
  pid = { "the number of a process", function(value) return above_zero(value) and math.tointeger(value) ~= nil end },
  command = { "a string, or a sequence of words", is_command },
}

local function read_row(n, row)
  check(type(row) ~= "table" or type(row[2]) ~= "function",
    "%d: a body is a text, such as \"count(comm)\", and this is a function, as bpf.programs takes it", n)
  check(type(row) == "table" and type(row[1]) == "string" and type(row[2]) == "string",
    "%d: probes and a body are expected: { \"tracepoint/sched/sched_switch\", \"count(comm)\" }", n)
  return { row[1], row[2] }
end

local function has_nul(value)
  if type(value) ~= "table" then
    return tostring(value):find("\0", 1, true) ~= nil
  end
  return table.concat(value):find("\0", 1, true) ~= nil
end

local function read_option(name, value)
  local row = OPTIONS[name]
  check(row, "there is no option '%s' (options: %s)", tostring(name), table.concat(sorted.keys(OPTIONS), ", "))
  check(row[2](value), "option '%s' must be %s, got %s", name, row[1],
    math.type(value) and tostring(value) or type(value))
  check(not has_nul(value), "option '%s' has a NUL byte in it", name)
  return value
end

-- Reads what bpf.trace got. Returns the options; `probes` has its sequence.
function options.read(given)
  if type(given) ~= "table" then
    error(("bpf.trace: a table of probes and options is expected, got %s"):format(type(given)), LEVEL - 2)
  end
  local read = { probes = {} }
  for n, row in ipairs(given) do
    read.probes[n] = read_row(n, row)
  end
  for name, value in pairs(given) do
    if not (math.type(name) == "integer" and read.probes[name]) then
      read[name] = read_option(name, value)
    end
  end
  if not read.probes[1] then
    error("bpf.trace: which probes, and what is to be done there? { { probes, body }, … }", LEVEL - 2)
  end
  if read.follow and not (read.pid or read.command) then
    error("bpf.trace: option 'follow' needs 'pid' or 'command', whose children are followed", LEVEL - 2)
  elseif read.pid and read.command then
    error("bpf.trace: options 'pid' and 'command' exclude each other", LEVEL - 2)
  end
  return read
end

return options

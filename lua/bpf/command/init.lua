-- SPDX-License-Identifier: MIT
-- The command lua-bpf: a module of this folder for each of its commands.

local bpf = require("bpf")
local commands = require("bpf.command.commands")
local frame = require("bpf.command.frame")
local posix = require("bpf.base.posix")

local KINDS <const> = { map = true, prog = true, link = true }

local ROWS <const> = {}
for _, row in ipairs(commands) do
  ROWS[row[1]] = row
end

-- The help of lua-bpf, with a line for each command.
local function usage()
  local width, lines = 0, {}
  for i, row in ipairs(commands) do
    lines[i] = (row[1] .. " " .. row[2]):gsub(" $", "")
    width = math.max(width, #lines[i])
  end
  for i, row in ipairs(commands) do
    lines[i] = "  " .. lines[i] .. (" "):rep(width - #lines[i] + 2) .. row[3] .. "\n"
  end
  return "Usage: lua-bpf COMMAND [OPTIONS] ...\n\n" .. table.concat(lines) .. [[

A MAP is an id, the path of a pin, or a name; a PROG or LINK also a program's tag. Commands on a map may have the word
`map` before them: `lua-bpf map dump`. `lua-bpf COMMAND --help` explains a command.
]]
end

-- The command that arguments begin with, and the arguments with its name as the first; or nil.
local function find(arguments)
  local first, second = arguments[1], arguments[2] or ""
  local both = ROWS[first .. " " .. second]
  local row = both or ROWS[first]
  if not row and first == "map" and ROWS[second] and (commands.of(ROWS[second]).arguments or {})[1] == "map" then
    row, both = ROWS[second], true -- maps are what commands are for that name no other kind
  end
  if not row then
    return nil
  end
  return row, table.move(arguments, both and 3 or 2, #arguments, 2, { row[1] })
end

-- Ends the command with the names that a word, or the word behind the name of a kind, may have meant.
local function unknown(arguments)
  local word, names = arguments[1], {}
  for _, row in ipairs(commands) do
    local kind = row[1]:match("^(%S+) ")
    if kind == word and arguments[2] then
      word = table.concat(arguments, " ", 1, 2)
    end
    names[#names + 1] = row[1]
  end
  frame.unknown(word, names, usage())
end

local function main(arguments)
  local name = arguments[1]
  if name == "--help" or name == "-h" or name == "help" then
    local about = arguments[2] and find(table.move(arguments, 2, #arguments, 1, {}))
    frame.write(about and commands.of(about).usage or usage())
    return
  elseif name == "--version" then
    frame.print_line(tostring(bpf))
    return
  end
  local row, own = find(arguments)
  if not row and KINDS[name] and (arguments[2] == "--help" or arguments[2] == "-h") then
    frame.write(usage())
    return
  elseif not row then
    unknown(arguments)
  end
  local found = commands.of(row)
  if not found.options then
    found.run(own)
    return
  end
  local given, rest = frame.parse(own, found.options, found.usage, found.short)
  if given.help then
    frame.write(found.usage)
  else
    found.run(given, rest)
  end
end

local function catch(message)
  return type(message) == "table" and message or { message = tostring(message), status = 1 }
end

-- Whether nobody reads the output any more, as behind `| head`. (Where SIGPIPE isn't ignored, it ends the process.)
local function is_unread(message)
  return message:find("(EPIPE)", 1, true) or posix.code(message:match("write: (.*)$") or "") == "EPIPE"
end

-- Runs a command. Returns the exit status.
return function(arguments)
  if not arguments[1] then
    io.stderr:write(usage())
    return 2
  end
  local ok, problem = xpcall(main, catch, arguments)
  if ok then
    ok, problem = xpcall(frame.flush, catch)
  end
  if ok then
    return 0
  elseif problem.message:find("interrupted!", 1, true) then
    return 130
  elseif is_unread(problem.message) then
    return 141 -- as a shell tells of a process that SIGPIPE ended
  end
  io.stdout:flush()
  if problem.message ~= "" then
    io.stderr:write("lua-bpf: ", problem.message, "\n")
  end
  return problem.status
end

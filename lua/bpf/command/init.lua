-- SPDX-License-Identifier: MIT
-- The command lua-bpf: a module of this folder for each of its commands.

local bpf = require("bpf")
local frame = require("bpf.command.frame")

local USAGE <const> = [[
Usage: lua-bpf COMMAND [OPTIONS] ...

  maps [MAP...]        list maps, with their memory and the processes that hold them
  progs [ID...]        list programs
  links [ID...]        list links, which attach programs
  dump MAP             show the entries of a map
  watch MAP            show the entries again and again, and mark changes
  run SCRIPT [ARG...]  run a Lua script that finds the module as the variable `bpf`
  repl                 start a Lua prompt

A MAP is an id, the path of a pin, or a name. `lua-bpf COMMAND --help` explains a command.
]]

local COMMANDS <const> = { maps = true, progs = true, links = true, dump = true, watch = true, run = true, repl = true }

-- The module of a command, or nil.
local function command(name)
  return COMMANDS[name] and require("bpf.command." .. name) or nil
end

local function main(arguments)
  local name = arguments[1]
  local found = command(name)
  if name == "--help" or name == "-h" or name == "help" then
    local about = command(arguments[2])
    frame.write(about and about.usage or USAGE)
  elseif name == "--version" then
    frame.print_line(tostring(bpf))
  elseif not found then
    frame.misuse("not understood: " .. name, USAGE)
  elseif not found.options then
    found.run(arguments)
  else
    local given, rest = frame.parse(arguments, found.options, found.usage)
    if given.help then
      frame.write(found.usage)
    else
      found.run(given, rest)
    end
  end
end

local function catch(message)
  return type(message) == "table" and message or { message = tostring(message), status = 1 }
end

-- Runs a command. Returns the exit status.
return function(arguments)
  if not arguments[1] then
    io.stderr:write(USAGE)
    return 2
  end
  local ok, problem = xpcall(main, catch, arguments)
  if ok then
    ok, problem = xpcall(frame.flush, catch)
  end
  if ok then
    return 0
  elseif problem.message:find("interrupted!", 1, true) then
    return arguments[1] == "watch" and 0 or 130
  end
  io.stdout:flush()
  io.stderr:write("lua-bpf: ", problem.message, "\n")
  return problem.status
end

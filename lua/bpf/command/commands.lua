-- SPDX-License-Identifier: MIT
-- The table of commands, from which come the help, the completion, and the checks of the manual page.

-- The commands in the order of the help: name, arguments, summary. The module of a command has the name of the command,
-- with _ for a space, unless the fourth column names another. It returns a table with these fields:
--   usage      the help: "Usage: lua-bpf NAME ...", what the command does, its options, an example
--   options    readers of the options' values by name (frame.parse); without it, `run` gets all arguments unread
--   arguments  what a shell offers for the arguments, in order: "map", "prog", "link", "file", "directory", or a list
--              of words. "map..." is for all arguments from there on
--   run        a function that gets the options, the arguments, and the command's name
local commands = {
  { "maps", "[MAP...]", "list maps, with their memory and the processes that hold them" },
  { "progs", "[ID...]", "list programs" },
  { "links", "[ID...]", "list links, which attach programs" },
  { "dump", "MAP", "show the entries of a map" },
  { "watch", "MAP", "show the entries again and again, and mark changes" },
  { "run", "SCRIPT [ARG...]", "run a Lua script that finds the module as the variable `bpf`" },
  { "repl", "", "start a Lua prompt" },
}

function commands.module(row)
  return require("bpf.command." .. (row[4] or row[1]:gsub(" ", "_")))
end

return commands

-- SPDX-License-Identifier: MIT
-- The table of commands, from which come the help, the completion, and the checks of the manual page.

-- The commands in the order of the help: name, arguments, summary. The module of a command has the name of the command,
-- with _ for a space; or the fourth column names the module of several, which has them by name. A command has these
-- fields:
--   usage      the help: "Usage: lua-bpf NAME ...", what the command does, its options, an example
--   options    readers of the options' values by name (frame.parse); without it, `run` gets all arguments unread
--   short      names of options by letter: "-o x" for "--output x"
--   arguments  what a shell offers for the arguments, in order: "map", "prog", "link", "probe", "file", "directory", or
--              a list of words. "map..." is for all arguments from there on
--   run        a function that gets the options and the arguments
local commands = {
  { "maps", "[MAP...]", "list maps, with their memory, pins and the processes that hold them" },
  { "progs", "[PROG...]", "list programs" },
  { "links", "[LINK...]", "list links, which attach programs" },
  { "net", "[INTERFACE|CGROUP...]", "list what is attached to interfaces and cgroups, with or without a link" },
  { "dump", "MAP", "show the entries of a map" },
  { "watch", "MAP", "show the entries again and again, and mark changes" },
  { "set", "MAP KEY VALUE", "insert or replace an entry" },
  { "delete", "MAP KEY...", "delete entries" },
  { "push", "MAP VALUE", "add an element to a queue, stack or Bloom filter", "queue" },
  { "pop", "MAP", "remove the next element of a queue or stack, and print it", "queue" },
  { "peek", "MAP", "print the next element of a queue or stack", "queue" },
  { "pin", "MAP PATH", "pin a map", "pin" },
  { "prog pin", "PROG PATH", "pin a program", "pin" },
  { "link pin", "LINK PATH", "pin a link", "pin" },
  { "unpin", "PATH...", "remove pins", "pin" },
  { "detach", "KIND PLACE [POINT]", "detach a program from an interface or cgroup, or a link" },
  { "list", "[PATTERN...]", "list what can be traced: tracepoints, functions, events", "probes" },
  { "prog run", "PROG", "run a program on data, without attaching it" },
  { "btf", "[TYPE]", "print types as C" },
  { "features", "[PROG_TYPE]", "show what this kernel can do" },
  { "trace", "PROBES BODY...", "run a few words of Lua at probes: count, measure, print" },
  { "compile", "FILE", "compile BPF C to an object" },
  { "vmlinux", "", "print vmlinux.h, the header with all types of the kernel" },
  { "run", "SCRIPT [ARG...]", "run a Lua script that finds the module as the variable `bpf`" },
  { "completion", "bash|zsh", "print a script by which a shell completes commands" },
  { "repl", "", "start a Lua prompt" },
}

-- The command of a row.
function commands.of(row)
  local module = require("bpf.command." .. (row[4] or row[1]:gsub(" ", "_")))
  return row[4] and module[row[1]] or module
end

return commands

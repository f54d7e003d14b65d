-- SPDX-License-Identifier: MIT
-- lua-bpf compile.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local posix = require("bpf.base.posix")

local USAGE <const> = [=[
Usage: lua-bpf compile FILE [-o OBJECT] [-I DIRECTORY]... [-D NAME[=VALUE]]... [--target ARCH] [--no-cache]

Compiles BPF C with the installed clang, -mcpu=v3 -g -O2. If the file includes "vmlinux.h", it gets that of the running
kernel. What was compiled is kept, and compiled again only after something has changed: the file, the options, the
compiler, the kernel or a header.
  -o, --output OBJECT     where to write the object, by default FILE with .o in place of .c
  -I, --include DIRECTORY where to look for headers; may be given several times
  -D, --define NAME=VALUE a macro; may be given several times
  --target ARCH           the architecture of the kernel, such as arm64, by default this machine's
  --no-cache              compile anew, and keep nothing

Example: lua-bpf compile tool.bpf.c -o tool.bpf.o -D DEBUG=1
]=]

local function run(given, names)
  local file = names[1]
  local output = given.output or file and file:match("^(.*)%.c$") and file:gsub("%.c$", ".o")
  if #names ~= 1 or not output then
    frame.misuse(names[2] and "not understood: " .. names[2] or file and "where to? Give --output"
      or "which file?", USAGE)
  end
  local bytes, message, _, messages = frame.try(bpf.compile, { file = file, include = given.include,
    defines = given.define, target = given.target, cache = not given["no-cache"] })
  if not bytes then
    frame.fail(messages and messages ~= "" and messages:gsub("\n$", "") or message)
  end
  io.stderr:write(message or "")
  frame.need(posix.write_file(output, bytes))
end

return {
  usage = USAGE, arguments = { "file" }, run = run,
  options = { output = frame.path, include = frame.many { read = frame.any, complete = "directory" },
    define = frame.many(frame.any), target = frame.any, ["no-cache"] = true },
  short = { o = "output", I = "include", D = "define" },
}

-- SPDX-License-Identifier: MIT
-- lua-bpf vmlinux.

local bpf = require("bpf")
local frame = require("bpf.command.frame")

local USAGE <const> = [[
Usage: lua-bpf vmlinux [-o FILE] [--btf FILE]

Prints vmlinux.h, the header with all types of the running kernel.
  -o, --output FILE  write the header to a file
  --btf FILE         take the types of another kernel from a file of BTF, or from an ELF file that has BTF

Example: lua-bpf vmlinux -o vmlinux.h
]]

local function run(given, names)
  if names[1] then
    frame.misuse("not understood: " .. names[1], USAGE)
  end
  local btf, message
  if given.btf then
    btf, message = frame.try(bpf.btf.file, given.btf)
  else
    btf, message = bpf.btf.kernel()
  end
  local types <close> = frame.need(btf, message)
  if given.output then
    frame.need(frame.try(types.dump, types, given.output))
  else
    frame.write(frame.need(types:dump()))
  end
end

return { usage = USAGE, arguments = {}, run = run, options = { output = frame.path, btf = frame.path },
  short = { o = "output" } }

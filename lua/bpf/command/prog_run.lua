-- SPDX-License-Identifier: MIT
-- lua-bpf prog run.

local bpf = require("bpf")
local counted = require("bpf.base.number").counted
local frame = require("bpf.command.frame")
local target = require("bpf.command.target")
local values = require("bpf.command.values")

local USAGE <const> = [[
Usage: lua-bpf prog run PROG [--data FILE | --hex BYTES] [--ctx VALUE | --ctx-file FILE] [--repeat N] [--cpu N] [--json]

Runs a program in the kernel on data, without attaching it. Prints what it returned, how long one run took, and the
packet and the context after the run.
  --data FILE          the packet: the bytes of a file; - for standard input
  --hex BYTES          the packet, in hexadecimal: 'ff ff 08 00'
  --ctx VALUE          the context: its members as a Lua table, or bytes in hexadecimal
  --ctx-file FILE      the context: the bytes of a file; - for standard input
  --repeat N           run it N times
  --cpu N              run a raw_tp program on this CPU
  --json               print a JSON object; bytes are in hexadecimal

Example: lua-bpf prog run drop_udp --data packet.bin --repeat 1000
]]

local function read_file(path)
  if path == "-" then
    return io.read("a")
  end
  local file <close> = frame.need(io.open(path, "rb"))
  return frame.need(file:read("a"))
end

local function read_hex(text)
  local bytes = values.hex(text)
  return bytes and #bytes > 0 and bytes or nil, "bytes in hexadecimal"
end

local function read_cpu(text)
  local n = math.tointeger(tonumber(text))
  return n and n >= 0 and n or nil, "a number from 0"
end

-- Lines of 16 bytes, as hexdump -C prints them.
local function hexdump(bytes)
  local lines = {}
  for at = 1, #bytes, 16 do
    local part = bytes:sub(at, at + 15)
    local digits = part:gsub(".", function(c) return ("%02x "):format(c:byte()) end)
    digits = digits:sub(1, 24) .. " " .. digits:sub(25)
    lines[#lines + 1] = ("%08x  %-50s|%s|"):format(at - 1, digits, part:gsub("[^ -~]", "."))
  end
  return table.concat(lines, "\n")
end

local function hex(bytes)
  return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

local function options_of(given)
  if given.data and given.hex then
    frame.misuse("--data and --hex exclude each other", USAGE)
  elseif given.ctx and given["ctx-file"] then
    frame.misuse("--ctx and --ctx-file exclude each other", USAGE)
  end
  return {
    data = given.data and read_file(given.data) or given.hex,
    ctx = given["ctx-file"] and read_file(given["ctx-file"]) or given.ctx and values.context(given.ctx) or nil,
    repeat_ = given["repeat"],
    cpu = given.cpu,
  }
end

local function run(given, names)
  if #names ~= 1 then
    frame.misuse(names[2] and "not understood: " .. names[2] or "which program?", USAGE)
  end
  local options = options_of(given)
  local prog <close> = target.object("prog", names[1])
  local result = frame.need(frame.try(prog.run, prog, options))
  if given.json then
    frame.print_line(bpf.json { retval = result.retval, duration = result.duration,
      data = result.data and hex(result.data), ctx = type(result.ctx) == "string" and hex(result.ctx) or result.ctx })
    return
  end
  frame.print_line(("returned %d, %s for one run"):format(result.retval, bpf.hist.time(result.duration)))
  if result.data then
    frame.print_line(("data: %s\n%s"):format(counted(#result.data, "byte"), hexdump(result.data)))
  end
  if type(result.ctx) == "string" then
    frame.print_line(("context: %s\n%s"):format(counted(#result.ctx, "byte"), hexdump(result.ctx)))
  elseif result.ctx then
    frame.print_line("context: " .. bpf.inspect(result.ctx, { text = true }))
  end
end

return {
  usage = USAGE,
  arguments = { "prog" },
  options = { data = frame.path, hex = read_hex, ctx = frame.any, ["ctx-file"] = frame.path, ["repeat"] = frame.count,
    cpu = read_cpu, json = true },
  run = run,
}

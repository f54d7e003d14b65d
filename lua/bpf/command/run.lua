-- SPDX-License-Identifier: MIT
-- lua-bpf run.

local environment = require("bpf.command.environment")
local frame = require("bpf.command.frame")

local USAGE <const> = [[
Usage: lua-bpf run SCRIPT [ARG...]

Runs a Lua script that finds the module as the variable `bpf`. The script gets the arguments that follow SCRIPT, as
`...` and `arg`.

Example: lua-bpf run top.lua --interval 2
]]

local function run(arguments)
  local path = arguments[2]
  if path == "--help" or path == "-h" then
    frame.write(USAGE)
    return
  elseif not path then
    frame.misuse("which script?", USAGE)
  end
  local script_arg = table.move(arguments, 2, #arguments, 0, {})
  local chunk = frame.need(loadfile(path, "t", environment { arg = script_arg }))
  local ok, message = xpcall(chunk, function(message)
    local plain = type(message) == "string" or type(message) == "number"
    return plain and debug.traceback(message, 2) or tostring(message)
  end, table.unpack(script_arg))
  if not ok then
    frame.fail(message)
  end
end

-- Options behind the script are the script's, so there are none to be read.
return { usage = USAGE, arguments = { "file..." }, run = run }

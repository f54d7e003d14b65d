-- bin/lua-bpf, as specs call it.
local helper = require "spec.helper"
local json = require "dkjson"

local tool = {}

tool.COMMAND = helper.LUA .. " bin/lua-bpf "

--- Runs the command, behind another one if `wrap` is given. Returns what helper.run does.
function tool.command(arguments, wrap)
  return helper.run((wrap or "") .. " " .. tool.COMMAND .. arguments)
end

--- What a command prints that has to succeed.
function tool.works(arguments)
  local output, ok = tool.command(arguments)
  assert(ok, output)
  return output
end

--- Checks the exit status of a command, and that it prints something that fits the pattern.
function tool.fails(status, pattern, arguments)
  local output, _, code = tool.command(arguments)
  assert(code == status, ("%s: status %s: %s"):format(arguments, code, output))
  assert(output:find(pattern), output)
end

--- The JSON document that a command prints, and its text.
function tool.decoded(arguments)
  local output = tool.works(arguments)
  local value, stop, problem = json.decode(output)
  assert(value ~= nil and not output:find("%S", stop), problem or output)
  return value, output
end

return tool

-- SPDX-License-Identifier: MIT
-- lua-bpf repl.

local bpf = require("bpf")
local environment = require("bpf.command.environment")
local frame = require("bpf.command.frame")
local posix = require("bpf.base.posix")

local USAGE <const> = [[
Usage: lua-bpf repl

Starts a Lua prompt with the variables `bpf` and `map`. The prompt shows values of expressions as bpf.inspect does.
Input that is incomplete continues on the next line. A local variable exists only in the input that declares it. Lines
are edited with rlwrap if that is installed. Ctrl-D, exit or quit ends the prompt.

Example: lua-bpf repl
]]

-- The chunk of a line, an expression's with its values; or nil and whether more lines are needed, or the message.
local function compile(text, env)
  local chunk = load("return " .. text:gsub("^%s*=", ""), "=stdin", "t", env)
  if chunk then
    return chunk
  end
  local message
  chunk, message = load(text, "=stdin", "t", env)
  return chunk, message and message:find("<eof>'?$") and true or message
end

local function show(ok, ...)
  if not ok then
    io.stderr:write(tostring((...)), "\n")
    return
  end
  for i = 1, select("#", ...) do
    local fine, message = pcall(bpf.inspect, (select(i, ...)))
    if not fine then
      io.stderr:write(tostring(message), "\n")
    end
  end
end

-- Starts this again below rlwrap, with the paths by which this one found the module; false if that isn't at hand.
local function wrapped(terminal)
  if not terminal or os.getenv("LUA_BPF_REPL") or not os.execute("command -v rlwrap >/dev/null 2>&1") then
    return false
  end
  local function quote(s)
    return "'" .. s:gsub("'", "'\\''") .. "'"
  end
  local interpreter = -1
  while arg[interpreter - 1] do -- its options are before the script, too
    interpreter = interpreter - 1
  end
  local version = _VERSION:gsub("%D*(%d+)%.(%d+)", "_%1_%2")
  os.execute(("LUA_BPF_REPL=1 LUA_PATH%s=%s LUA_CPATH%s=%s rlwrap -C lua-bpf %s %s repl"):format(version,
    quote(package.path), version, quote(package.cpath), quote(arg[interpreter]), quote(arg[0])))
  return true
end

local function run(_, names)
  if names[1] then
    frame.misuse("not understood: " .. names[1], USAGE)
  end
  local terminal = posix.window(0) ~= nil
  if wrapped(terminal) then
    return
  end
  local env = environment { map = bpf.map }
  local pending
  if terminal then
    frame.print_line(("%s, %s. Ctrl-D ends."):format(tostring(bpf), _VERSION))
  end
  while true do
    if terminal then
      frame.write(pending and ">> " or "> ")
      frame.flush()
    end
    local line = io.read()
    if not line or not pending and (line == "exit" or line == "quit") then
      break
    end
    pending = pending and pending .. "\n" .. line or line
    local chunk, problem = compile(pending, env)
    if chunk then
      show(pcall(chunk))
    elseif problem ~= true then
      show(false, problem)
    end
    if chunk or problem ~= true then
      pending = nil
    end
    frame.flush()
  end
  if terminal then
    frame.print_line ""
  end
end

return { usage = USAGE, options = {}, run = run }

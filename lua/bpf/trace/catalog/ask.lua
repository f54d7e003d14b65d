-- SPDX-License-Identifier: MIT
-- Asking the kernel by a program that does nothing.

local core = require("bpf.core")

local ask = {}

local function nothing()
  return 0
end

-- Whether a failure is the kernel's answer, and not a lack of rights of this process.
local function is_answer(message, code)
  return (code ~= "EPERM" and code ~= "EACCES") or message:find("though this process has", 1, true) ~= nil
end

-- The reason alone, without the names of our program.
local function reason(message)
  return (message:gsub("^object '.-': load: ", ""):gsub("^prog '.-': ", ""):gsub("^program '.-': [a-z_]+: ", ""))
end

-- Why the kernel refuses a program of a section, or what `attach` does with the program: nil if the kernel doesn't.
function ask.refusal(section, attach)
  local prog <close>, message, code = require("bpf.program").program(section, nothing)
  if prog and attach then
    local link <close>, why, number = attach(prog)
    return not link and is_answer(why, number) and reason(why) or nil
  end
  return not prog and is_answer(message, code) and reason(message) or nil
end

-- Why programs of a type can't be loaded, or nil.
function ask.type(name)
  local here, why, code = core.features.prog_type(name)
  return here == false and is_answer(why or "", code) and why or nil
end

local DEVICES <const> = "/sys/bus/event_source/devices"

-- Why the kernel has no source of events of this name, or nil.
function ask.source(name, option)
  local there <close> = io.open(DEVICES)
  local file <close> = io.open(("%s/%s/type"):format(DEVICES, name))
  return there and not file and ("this kernel was built without %ss (%s)"):format(name, option) or nil
end

return ask

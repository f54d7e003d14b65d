-- SPDX-License-Identifier: MIT
-- lua-bpf set.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local target = require("bpf.command.target")
local values = require("bpf.command.values")

local USAGE <const> = [[
Usage: lua-bpf set MAP KEY VALUE [--noexist | --exist]

Inserts or replaces an entry of a map. KEY and VALUE are numbers, text, or structs as Lua tables: members that a table
leaves out are zero. Where the map has no type, they are bytes in hexadecimal. A value of a per-CPU map is set for all
CPUs, or for each as '{ 1, 2 }'. A map within a map is given as a MAP, a program as a PROG.
  --noexist            only insert: fail if there is such a key
  --exist              only replace: fail if there is no such key

Example: lua-bpf set ports '{ addr = 1, port = 80 }' '{ packets = 0, name = "eth0" }'
]]

local REFUSED <const> = { EEXIST = "there is a key %s already", ENOENT = "there is no key %s" }

local function run(given, names)
  if #names ~= 3 then
    frame.misuse(names[4] and "not understood: " .. names[4] or ({ [0] = "which map?", "which key?", "which value?" })[
      #names], USAGE)
  elseif given.noexist and given.exist then
    frame.misuse("--noexist and --exist exclude each other", USAGE)
  end
  local m <close> = target.open(names[1], "")
  local key, value = frame.try(values.key, m, names[2]), frame.try(values.value, m, names[3])
  local done, message = frame.try(bpf.map.update, m, key, value, given.noexist and "noexist" or given.exist and "exist"
    or nil)
  if done == false then
    frame.fail((REFUSED[message] or "the update is refused"):format(names[2]))
  end
  frame.need(done, message)
end

return { usage = USAGE, arguments = { "map" }, options = { noexist = true, exist = true }, run = run }

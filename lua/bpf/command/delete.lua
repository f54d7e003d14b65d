-- SPDX-License-Identifier: MIT
-- lua-bpf delete.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local target = require("bpf.command.target")
local values = require("bpf.command.values")

local map = bpf.map

local USAGE <const> = [[
Usage: lua-bpf delete MAP KEY...

Deletes entries of a map. A KEY is a number, text, or a struct as a Lua table; where the map has no type, bytes in
hexadecimal. If one of the keys is absent from the beginning, nothing is deleted.

Example: lua-bpf delete ports '{ addr = 1, port = 80 }'
]]

local function run(_, names)
  if #names < 2 then
    frame.misuse(names[1] and "which key?" or "which map?", USAGE)
  end
  local m <close> = target.open(names[1], "")
  local keys = {}
  for i = 2, #names do
    local key = frame.try(values.key, m, names[i])
    local readable, value, message = pcall(map.lookup, m, key) -- some types have no look-up
    if readable and value == nil and not message then
      frame.fail("there is no key " .. names[i])
    end
    keys[i] = key
  end
  for i = 2, #names do
    local done, message = frame.try(map.delete, m, keys[i])
    if done == false then
      frame.fail("there is no key " .. names[i])
    end
    frame.need(done, message)
  end
end

return { usage = USAGE, arguments = { "map" }, options = {}, run = run }

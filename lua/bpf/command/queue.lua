-- SPDX-License-Identifier: MIT
-- lua-bpf push, pop and peek.

local bpf = require("bpf")
local entries = require("bpf.command.entries")
local frame = require("bpf.command.frame")
local target = require("bpf.command.target")
local values = require("bpf.command.values")

local map = bpf.map

local TYPE <const> = [[
  --type TYPE          the elements' C type, because the kernel keeps none for these maps: C text, or the name of a type
                       in the kernel's BTF. Without it, elements are bytes in hexadecimal
]]

-- Opens the map, with the type of its elements if one was given.
local function open(name, flags, type)
  local m = target.open(name, flags)
  return type and frame.try(map.typed, m, nil, type) or m
end

local PUSH <const> = [[
Usage: lua-bpf push MAP VALUE [--exist] [--type TYPE]

Adds an element to a queue, a stack or a Bloom filter. VALUE is as for lua-bpf set.
]] .. TYPE .. [[
  --exist              if the map is full, drop its oldest element

Example: lua-bpf push jobs '{ pid = 1 }' --type 'struct job { int pid; }'
]]

local function push(given, names)
  if #names ~= 2 then
    frame.misuse(names[3] and "not understood: " .. names[3] or names[1] and "which value?" or "which map?", PUSH)
  end
  local m <close> = open(names[1], "", given.type)
  local value = frame.try(values.value, m, names[2])
  frame.need(frame.try(map.push, m, value, given.exist and "exist" or nil))
end

-- A command that prints what an operation takes or copies from a queue.
local function taker(operation, usage, flags)
  local function run(given, names)
    if #names ~= 1 then
      frame.misuse(names[2] and "not understood: " .. names[2] or "which map?", usage)
    end
    local m <close> = open(names[1], flags, given.type)
    local value, message = frame.try(operation, m)
    if value == nil then
      frame.fail(message or ("the %s is empty"):format(map.type(m)))
    end
    local _, layout = entries.layouts(m)
    frame.print_line(given.json and bpf.json(value, layout) or entries.shown(value, layout))
  end
  return { usage = usage, arguments = { "map" }, options = { json = true, type = frame.any }, run = run }
end

return {
  push = { usage = PUSH, arguments = { "map" }, options = { exist = true, type = frame.any }, run = push },
  pop = taker(map.pop, [[
Usage: lua-bpf pop MAP [--type TYPE] [--json]

Removes the next element of a queue or stack, and prints it: a queue's oldest, a stack's newest. Fails if there
is none.
]] .. TYPE .. [[
  --json               print the element as JSON

Example: lua-bpf pop jobs
]], ""),
  peek = taker(map.peek, [[
Usage: lua-bpf peek MAP [--type TYPE] [--json]

Prints the next element of a queue or stack, and leaves it there: a queue's oldest, a stack's newest. Fails if there is
none.
]] .. TYPE .. [[
  --json               print the element as JSON

Example: lua-bpf peek jobs
]]),
}

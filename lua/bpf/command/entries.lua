-- SPDX-License-Identifier: MIT
-- The entries of a map, as commands show them.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local value_text = require("bpf.inspect.value")
local values = require("bpf.command.values")

local map = bpf.map
local entries = {}

-- The value of a key that was typed, and the key as the map took it.
function entries.look_up(m, text)
  local key = frame.try(values.key, m, text)
  local value, message = frame.try(map.lookup, m, key)
  if message then
    frame.fail(message)
  elseif value == nil then
    frame.fail("there is no key " .. text)
  end
  return key, value
end

function entries.layouts(m)
  local key, value = map.types(m)
  key, value = key and key:layout(), value and value:layout()
  if map.type(m):find("percpu", 1, true) then
    value = { kind = "array", element = value, type = value.type .. " by CPU" }
  end
  return key, value
end

-- A map within a map by its id: the handle and its descriptor are ours, and gone when this command ends.
function entries.by_id(value)
  if type(value) == "userdata" and map.type(value) then
    local inner <close> = value
    return frame.need(map.info(inner)).id
  end
  return value
end

-- pairs of a map that has them, with ids for the maps within.
function entries.walk(m)
  local step, state, control, closing = frame.try(pairs, m)
  if not map.type(m):find("_of_maps$") then
    return step, state, control, closing
  end
  return function(s, key)
    local value
    key, value = step(s, key)
    return key, entries.by_id(value)
  end, state, control, closing
end

-- Entries to print: those of the keys that were given, or all.
function entries.chosen(m, keys)
  if #keys == 0 then
    return entries.walk(m)
  end
  local i = 0
  return function()
    i = i + 1
    if keys[i] then
      local key, value = entries.look_up(m, keys[i])
      return key, entries.by_id(value)
    end
  end
end

-- A key or value as text; `format` is a function, or a tree of them for members.
function entries.shown(value, layout, format)
  return (layout or format) and value_text.cell(value, layout, nil, format) or bpf.inspect(value, { text = true })
end

return entries

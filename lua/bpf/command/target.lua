-- SPDX-License-Identifier: MIT
-- What an argument means: a map by its id, a pin or its name.

local bpf = require("bpf")
local frame = require("bpf.command.frame")

local map = bpf.map
local target = {}

function target.id_of(text)
  local id = text:find("^%d+$") and math.tointeger(tonumber(text))
  return id and id <= 0xffffffff and id or nil
end

local NAME <const> = 15 -- bytes that the kernel keeps of a name

-- The ids of the maps with a name. One that is longer finds those whose 15 bytes it begins with.
local function ids_of_name(name)
  local ids = {}
  for info in frame.need(bpf.maps()) do
    if info.name == name:sub(1, NAME) then
      ids[#ids + 1] = info.id
    end
  end
  return ids
end

-- Opens what an argument means, for reading.
function target.open(text)
  local id = target.id_of(text)
  if not id and text:find("/", 1, true) then
    return frame.need(map.open(text, "rdonly"))
  elseif not id then
    local ids = ids_of_name(text)
    if #ids == 0 then
      frame.fail(("there is no map '%s'"):format(text))
    elseif #ids > 1 then
      frame.fail(("%d maps are called '%s': ids %s"):format(#ids, text, table.concat(ids, ", ")))
    end
    id = ids[1]
  end
  return frame.need(map.by_id(id, "rdonly"))
end

return target

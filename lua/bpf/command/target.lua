-- SPDX-License-Identifier: MIT
-- What an argument means: a map, program or link by its id, a pin, its name or, for the latter two, its program's tag.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local near = require("bpf.base.near")
local posix = require("bpf.base.posix")

local target = {}

-- The names of a link are those of its program.
local function program_of(link)
  return link.prog_id ~= 0 and bpf.prog_info(link.prog_id) or {}
end

local function same(info)
  return info
end

-- By kind: what it is called in messages, all of them, one, its handle, and what has its name and tag.
local KINDS <const> = {
  map = { what = "map", all = bpf.maps, one = bpf.map_info, by_id = bpf.map.by_id, named = same },
  prog = { what = "program", all = bpf.progs, one = bpf.prog_info, by_id = bpf.prog.by_id, named = same },
  link = { what = "link", all = bpf.links, one = bpf.link_info, by_id = bpf.link.by_id, named = program_of },
}

local NAME <const> = 15 -- bytes that the kernel keeps of a name

local function id_of(text)
  local id = text:find("^%d+$") and math.tointeger(tonumber(text))
  return id and id <= 0xffffffff and id or nil
end

-- The id of what is pinned at a path.
local function id_of_pin(kind, path)
  local found, id = posix.pinned(path)
  if not found then
    frame.fail(id)
  elseif found ~= kind then
    frame.fail(("'%s' is the pin of a %s, not of a %s"):format(path, KINDS[found].what, KINDS[kind].what))
  end
  return id
end

-- Ends the command: nothing has this name.
local function fail_absent(kind, name, names)
  local list = {}
  for other in pairs(names) do
    list[#list + 1] = other
  end
  local meant = near.names(name, list)
  frame.fail(("there is no %s '%s'%s"):format(KINDS[kind].what, name,
    meant[1] and (" (near: %s)"):format(table.concat(meant, ", ")) or ""))
end

-- The ids of those with a name or tag. A name that is longer than the kernel keeps finds those with its first 15 bytes.
local function ids_of_name(kind, name)
  local ids, names = {}, {}
  for info in frame.need(KINDS[kind].all()) do
    local named = KINDS[kind].named(info)
    if named.name == name:sub(1, NAME) or named.tag == name then
      ids[#ids + 1] = info.id
    elseif named.name and named.name ~= "" then
      names[named.name] = true
    end
  end
  if #ids == 0 then
    fail_absent(kind, name, names)
  end
  return ids
end

-- The ids of all that an argument fits.
local function ids_of(kind, text)
  local id = id_of(text)
  if not id and text:find("/", 1, true) then
    id = id_of_pin(kind, text)
  end
  return id and { id } or ids_of_name(kind, text)
end

-- The id of the one that an argument means.
local function one_id(kind, text)
  local ids = ids_of(kind, text)
  if #ids > 1 then
    local what = KINDS[kind].what
    frame.fail(("%d %ss are called '%s': ids %s"):format(#ids, what, text, table.concat(ids, ", ")))
  end
  return ids[1]
end

-- What the kernel tells of all of a kind, or of those that arguments fit.
function target.infos(kind, arguments)
  local items = {}
  if #arguments == 0 then
    for info in frame.need(KINDS[kind].all()) do
      items[#items + 1] = info
    end
  end
  for _, text in ipairs(arguments) do
    for _, id in ipairs(ids_of(kind, text)) do
      items[#items + 1] = frame.need(KINDS[kind].one(id))
    end
  end
  return items
end

-- Opens the map that an argument means, for reading unless `flags` is "".
function target.open(text, flags)
  flags = flags or "rdonly"
  flags = flags ~= "" and flags or nil
  if not id_of(text) and text:find("/", 1, true) then -- takes the pin's permissions, not those for ids
    id_of_pin("map", text)
    return frame.need(bpf.map.open(text, flags))
  end
  return frame.need(bpf.map.by_id(one_id("map", text), flags))
end

-- Opens the object of a kind that an argument means.
function target.object(kind, text)
  if kind == "map" then
    return target.open(text, "")
  elseif not id_of(text) and text:find("/", 1, true) then
    id_of_pin(kind, text)
    return frame.need(bpf[kind].open(text))
  end
  return frame.need(KINDS[kind].by_id(one_id(kind, text)))
end

return target

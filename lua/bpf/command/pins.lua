-- SPDX-License-Identifier: MIT
-- Where objects are pinned: all pins of the BPF file systems that are mounted here.

local posix = require("bpf.base.posix")

local pins = {}

-- A field of /proc/self/mountinfo has octal numbers for spaces and the like.
local function unescaped(field)
  return (field:gsub("\\(%d%d%d)", function(digits)
    return string.char(tonumber(digits, 8))
  end))
end

-- The places of the BPF file systems, one for each. Of several mounts on a place, the last hides the others.
local function places()
  local list, at, seen = {}, {}, {}
  local file <close> = io.open("/proc/self/mountinfo")
  for line in file and file:lines() or function() end do
    local device, root, place, kind = line:match("^%d+ %d+ (%S+) (%S+) (%S+) .- %- (%S+) ")
    at[place or ""] = kind == "bpf" and device .. root or nil
    if kind == "bpf" then
      list[#list + 1] = place
    end
  end
  local visible = {}
  for _, place in ipairs(list) do
    if at[place] and not seen[at[place]] then
      seen[at[place]] = true
      visible[#visible + 1] = unescaped(place)
    end
  end
  return visible
end

local function quoted(text)
  return "'" .. text:gsub("'", "'\\''") .. "'"
end

-- The paths of the pins, in order: kind → id → sequence.
function pins.find()
  local found = { map = {}, prog = {}, link = {} }
  for _, place in ipairs(places()) do
    local pipe <close> = io.popen(("find %s -xdev -type f -print0 2>/dev/null"):format(quoted(place)))
    local paths = {}
    for path in (pipe and pipe:read("a") or ""):gmatch("[^\0]+") do
      paths[#paths + 1] = path
    end
    table.sort(paths)
    for _, path in ipairs(paths) do
      local kind, id = posix.pinned(path)
      if kind then
        found[kind][id] = found[kind][id] or {}
        table.insert(found[kind][id], path)
      end
    end
  end
  return found
end

return pins

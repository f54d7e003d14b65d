-- SPDX-License-Identifier: MIT
-- Usage: includes.lua src/*/*.[ch]
-- Checks the plan of the sources: a file may include headers of its own folder and of lower floors; within a folder,
-- includes make no circle. A C file and its header count as one.

-- From top to bottom. Folders on one floor don't know each other.
local FLOORS = {
  "host",
  "object system",
  "program event",
  "map",
  "btf",
  "cdecl value",
  "base",
}

local floor_of = {}
for i, names in ipairs(FLOORS) do
  for name in names:gmatch "%S+" do
    floor_of[name] = i
  end
end

local bad = false
local function complain(...)
  io.stderr:write(string.format(...), "\n")
  bad = true
end

-- What a file counts as, and its folder.
local function place(file)
  return (file:gsub("%.[ch]$", "")), file:match "^[^/]+"
end

-- Each include of a source: the line's number and the header, with its folder.
local function includes(path)
  local file <close> = assert(io.open(path))
  local found, number = {}, 0
  for line in file:lines() do
    number = number + 1
    local header = line:match '^%s*#%s*include%s+"([^"]+)"'
    if header then
      found[#found + 1] = { line = number, header = header }
    end
  end
  return found
end

-- Within a folder: what each place includes, and where.
local edges = {}
for _, path in ipairs(arg) do
  local from, folder = place(path:match "([^/]+/[^/]+)$")
  edges[from] = edges[from] or {}
  if not floor_of[folder] then
    complain("%s: %s is on no floor; give it one in %s", path, folder, arg[0])
  else
    for _, it in ipairs(includes(path)) do
      local to, room = place(it.header)
      if room == folder then
        edges[from][to] = edges[from][to] or ("%s:%d"):format(path, it.line)
      elseif (floor_of[room] or 0) <= floor_of[folder] then
        complain("%s:%d: includes %s, which is not on a lower floor", path, it.line, it.header)
      end
    end
  end
end

-- Walks along the includes from a place. `trail` has the way to it; what is in `done` leads to no circle.
local done = {}
local function follow(from, trail)
  if trail[from] then
    local circle = table.concat(trail, " -> ", trail[from])
    complain("%s: includes make a circle: %s -> %s", edges[trail[#trail]][from], circle, from)
  elseif not done[from] then
    trail[#trail + 1], trail[from] = from, #trail + 1
    for to in pairs(edges[from] or {}) do
      if to ~= from then
        follow(to, trail)
      end
    end
    trail[#trail], trail[from] = nil, nil
    done[from] = true
  end
end

for from in pairs(edges) do
  follow(from, {})
end

os.exit(not bad)

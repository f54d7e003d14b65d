-- SPDX-License-Identifier: MIT
-- Formats for members of values, by their names: { saddr = "ip", ["addr.port"] = "port" }. They become a tree of
-- functions, { saddr = fn, addr = { port = fn } }.

local error = require("bpf.base.argument").error
local named = require("bpf.hist.options").format

local formats = {}

-- The names of a side of a map, the key or the value: those of a struct's members, or what it is called itself.
-- Returns the layout of each, or true without one.
local function names_of(sides)
  local known, list = {}, {}
  for heading, layout in pairs(sides) do
    if layout and layout.kind == "struct" and #layout > 0 then
      for _, member in ipairs(layout) do
        known[member.name] = member
      end
    else
      known[heading] = layout or true
    end
  end
  for name in pairs(known) do
    list[#list + 1] = name
  end
  table.sort(list)
  return known, list
end

-- Whether there is a member of that path below.
local function has(layout, path)
  local first, rest = path:match("^([^.]+)%.?(.*)$")
  for _, member in ipairs(type(layout) == "table" and layout.kind == "struct" and layout or {}) do
    if member.name == first then
      return rest == "" or has(member, rest)
    end
  end
  return false
end

-- Raises unless there is a column with that name; `sides` are the layouts by the names "key" and "value", `what` begins
-- the message.
function formats.check_name(what, name, sides, level)
  local known, list = names_of(sides)
  local first, rest = name:match("^([^.]+)%.?(.*)$")
  if not (known[name] or known[first] and (rest == "" or has(known[first], rest))) then
    error(("%s: there is no column '%s' (columns: %s)"):format(what, name, table.concat(list, ", ")), (level or 2) + 1)
  end
end

-- The tree of formats that were given, or nil. Raises for what isn't there.
function formats.tree(what, given, sides, level)
  level = (level or 2) + 1
  local root = given and {} or nil
  for path, format in pairs(given or {}) do
    if type(path) ~= "string" then
      error(("%s: a name expected, got %s"):format(what, type(path)), level)
    end
    formats.check_name(what, path, sides, level)
    local fn = format
    if type(format) == "string" then
      fn = named(what, format, level)
    elseif type(format) ~= "function" then
      error(("%s: the format of '%s' must be a string or function, got %s"):format(what, path, type(format)), level)
    end
    local node = root
    for name in path:gmatch("([^.]+)%.") do
      node[name] = type(node[name]) == "table" and node[name] or {}
      node = node[name]
    end
    node[path:match("[^.]+$")] = fn
  end
  return root
end

-- The part of a tree for a value that is shown as a whole.
function formats.whole(tree, layout, heading)
  return tree and (tree[heading] or layout and layout.kind == "struct" and tree or nil)
end

return formats

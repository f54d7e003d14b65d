-- SPDX-License-Identifier: MIT
-- lua-bpf features.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local near = require("bpf.base.near")

local features, hist = bpf.features, bpf.hist

local USAGE <const> = [[
Usage: lua-bpf features [--json] [PROG_TYPE]

Shows what this process can do on this kernel, found out by trying: the types of programs, with the number of helpers
that each can call, and the types of maps. With PROG_TYPE, shows the helpers of that type of programs. A ? stands for
what can't be found out: some types tell their helpers only when a program is attached.
  --json               print a JSON object: what is so is true, what isn't is false, what can't be found out is left out

Example: lua-bpf features xdp
]]

-- The names of a table and of the reasons why others are missing, in order.
local function sorted(has, why)
  local names = {}
  for _, list in ipairs { has, why } do
    for name in pairs(list) do
      if list == has or has[name] == nil then
        names[#names + 1] = name
      end
    end
  end
  table.sort(names)
  return names
end

local function answer(value)
  return value == nil and "?" or value and "yes" or "no"
end

-- How many helpers of a type are known to be there; nil if that isn't known of any.
local function helper_count(type)
  local n, known = 0, false
  for _, there in pairs((features.helpers(type))) do
    known = true
    n = n + (there and 1 or 0)
  end
  return known and n or nil
end

local function print_types(title, has, why, column)
  local rows = {}
  for _, name in ipairs(sorted(has, why)) do
    rows[#rows + 1] = { name, answer(has[name]), has[name] and column and column(name) or "", why[name] or "" }
  end
  local columns = { { name = title }, { name = "HERE" }, { name = "HELPERS", align = "right" }, { name = "WHY NOT" } }
  if not column then
    for _, row in ipairs(rows) do
      table.remove(row, 3)
    end
    table.remove(columns, 3)
  end
  frame.print_line(hist.table(rows, columns, { width = frame.width() }))
end

local function print_all(given)
  local programs, why_programs = features.prog_types()
  local maps, why_maps = features.map_types()
  if given.json then
    local helpers = {}
    for name, here in pairs(programs) do
      helpers[name] = here and features.helpers(name) or nil
    end
    frame.print_line(bpf.json { kernel = features.kernel(), libbpf = bpf.libbpf_version, cpus = features.cpus(),
      prog_types = programs, map_types = maps, helpers = helpers })
    return
  end
  frame.print_line(("Linux %s, %d CPUs, libbpf %s\n"):format(features.kernel(), features.cpus(), bpf.libbpf_version))
  print_types("PROGRAMS", programs, why_programs, function(name)
    return helper_count(name) or "?"
  end)
  frame.print_line ""
  print_types("MAPS", maps, why_maps)
end

local function print_helpers(given, type)
  local known = sorted(features.prog_types())
  local list = {}
  for _, name in ipairs(known) do
    list[name] = true
  end
  if not list[type] then
    local meant = near.names(type, known)
    frame.fail(("there is no type of programs '%s'%s"):format(type,
      meant[1] and (" (near: %s)"):format(table.concat(meant, ", ")) or ""))
  end
  local has, why = features.helpers(type)
  if given.json then
    frame.print_line(bpf.json { kernel = features.kernel(), prog_type = type, helpers = has })
  else
    print_types("HELPERS", has, why)
  end
end

local function run(given, names)
  if #names > 1 then
    frame.misuse("not understood: " .. names[2], USAGE)
  elseif names[1] then
    print_helpers(given, names[1])
  else
    print_all(given)
  end
end

-- The types of programs, for shells.
local function types()
  return sorted(features.prog_types())
end

return { usage = USAGE, arguments = { types }, options = { json = true }, run = run }

-- SPDX-License-Identifier: MIT
-- What the commands that list something share.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local held = require("bpf.command.held")
local pins = require("bpf.command.pins")
local target = require("bpf.command.target")

local hist = bpf.hist
local list = {}

list.OPTIONS = { json = true }

-- What is known of all objects of a kind, or of those that are named, with their pins and processes.
function list.collect(kind, names)
  local items = target.infos(kind, names)
  local paths, processes = pins.find()[kind], held.owners()[kind]
  for _, info in ipairs(items) do
    info.pins = paths[info.id] or {}
    info.processes = processes[info.id] or {}
  end
  return items
end

-- The columns that all lists have at their end. A column with `shown` is left out if that is true of no item.
list.PINS = { name = "PINS", field = "pins",
  format = function(paths) return table.concat(paths, ", ") end,
  shown = function(info) return #info.pins > 0 end }
list.PROCESSES = { name = "PROCESSES", field = "processes", format = held.processes_text }

local function any(items, test)
  for _, info in ipairs(items) do
    if test(info) then
      return true
    end
  end
  return false
end

-- The items as a table of text, with the columns that have something to show.
function list.text(items, columns, width)
  local shown = {}
  for _, column in ipairs(columns) do
    if not column.shown or any(items, column.shown) then
      local own = { name = column.name, field = column.field, format = column.format, align = column.align }
      shown[#shown + 1] = own
    end
  end
  return hist.table(items, shown, { width = width })
end

function list.print(items, columns, given)
  if given.json then
    frame.print_line(bpf.json(items))
  elseif #items > 0 then
    frame.print_line(list.text(items, columns, frame.width()))
  end
end

function list.or_dash(name)
  return name == "" and "-" or name
end

return list

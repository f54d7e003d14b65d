-- SPDX-License-Identifier: MIT
-- What the commands that list something share.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local target = require("bpf.command.target")

local hist = bpf.hist
local list = {}

-- The end of their help.
list.HELP = [[
  --json               print a JSON array of objects instead of a table
]]

list.OPTIONS = { json = true }

-- The information about all of a kind, or about those that are named.
function list.collect(all, one, names, id_of_name)
  local items = {}
  if #names == 0 then
    for info in frame.need(all()) do
      items[#items + 1] = info
    end
  end
  for _, name in ipairs(names) do
    local id = target.id_of(name) or id_of_name(name)
    items[#items + 1] = frame.need(one(id))
  end
  return items
end

function list.only_ids(usage)
  return function(name)
    frame.misuse("not an id: " .. name, usage)
  end
end

function list.print(items, columns, given)
  if given.json then
    frame.print_line(bpf.json(items))
  elseif #items > 0 then
    frame.print_line(hist.table(items, columns, { width = frame.width() }))
  end
end

function list.or_dash(name)
  return name == "" and "-" or name
end

return list

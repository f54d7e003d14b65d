-- SPDX-License-Identifier: MIT
-- What the kernel knows of programs and links, what is in objects, and the members of types and views.

local bpf = require("bpf")
local counted = require("bpf.base.number").counted
local hist = require("bpf.hist")
local value_text = require("bpf.inspect.value")

local cell, column_cell, sorted_keys = value_text.cell, value_text.column_cell, value_text.sorted_keys
local thousands = value_text.thousands

-- Several texts, those that are there, in paragraphs of their own lines.
local function lines(...)
  local list = table.pack(...)
  local kept = {}
  for i = 1, list.n do
    kept[#kept + 1] = list[i] or nil
  end
  return table.concat(kept, "\n")
end

-- What the kernel tells: a line for each field.
local function fields_text(info, options)
  local rows = {}
  for _, name in ipairs(sorted_keys(info)) do
    rows[#rows + 1] = { name, column_cell(info[name]) }
  end
  return #rows > 0 and hist.table(rows, { { align = "left" }, { align = "left" } }, options.table) or nil
end

local function info_text(handle, options)
  local ok, info = pcall(handle.info, handle)
  return lines(tostring(handle), ok and info and fields_text(info, options))
end

-- How many links each program has, as far as this process may ask.
local function links_by_program()
  local count, step = {}, bpf.links()
  for info in step or function() end do
    count[info.prog_id] = (count[info.prog_id] or 0) + 1
  end
  return count
end

local function programs_text(obj, options)
  local rows, links = {}, nil
  for _, name in ipairs(sorted_keys(obj.progs)) do
    local prog, state = obj.progs[name], "not loaded"
    local ok, info = pcall(prog.info, prog)
    if ok and info and info.id then
      links = links or links_by_program()
      local n = links[info.id]
      state = n and counted(n, "link") or "loaded"
    end
    rows[#rows + 1] = { name, prog:section(), (prog:type()), state }
  end
  return #rows > 0 and hist.table(rows, { { name = "program" }, { name = "section" }, { name = "type" },
    { name = "state" } }, options.table)
end

local function maps_text(obj, options)
  local rows = {}
  for _, name in ipairs(sorted_keys(obj.maps)) do
    rows[#rows + 1] = { name, tostring(obj.maps[name]):match("%((.*)%)$") }
  end
  return #rows > 0 and hist.table(rows, { { name = "map" }, {} }, options.table)
end

-- The layout of a variable, by the object's BTF.
local function variable_layout(btf, name)
  local ok, layout = pcall(function()
    return btf:type(btf:find(name, "var").type_id):layout()
  end)
  return ok and layout or nil
end

local function variables_text(obj, options)
  local btf <close> = obj:btf()
  local rows = {}
  for _, name in ipairs(sorted_keys(obj.vars)) do
    rows[#rows + 1] = { name, cell(obj.vars[name], btf and variable_layout(btf, name)) }
  end
  return #rows > 0 and hist.table(rows, { { name = "variable" }, { name = "value" } }, options.table)
end

local function object_text(obj, options)
  local text = tostring(obj)
  if text:find("(closed)", 1, true) then
    return text
  end
  local maps, programs, variables = maps_text(obj, options), programs_text(obj, options), variables_text(obj, options)
  return lines(text, maps and "\n" .. maps, programs and "\n" .. programs, variables and "\n" .. variables)
end

local function type_text(t, options)
  local columns = {}
  for i, name in ipairs { "name", "type", "offset", "size", "bits" } do
    columns[i] = { name = name, field = name }
  end
  local members = t:members()
  return lines(tostring(t), #members > 0 and hist.table(members, columns, options.table))
end

local function view_text(view, options)
  local ok, count = pcall(function() return #view end)
  local rows = {}
  for i = 0, ok and math.min(count, options.limit) - 1 or -1 do
    local read, value = pcall(function() return view[i] end)
    rows[#rows + 1] = read and { i, column_cell(value) } or nil -- its map is closed
  end
  local more = ok and count > #rows and ("… and %s more"):format(thousands(count - #rows))
  return lines(tostring(view), #rows > 0 and hist.table(rows, { { name = "index" }, { name = "value" } },
    options.table), more)
end

local function vars_text(vars, options)
  local rows, text = {}, tostring(vars)
  for _, name in ipairs(text:find("(closed)", 1, true) and {} or sorted_keys(vars)) do
    rows[#rows + 1] = { name, cell(vars[name]) }
  end
  return lines(text, #rows > 0 and hist.table(rows, { { name = "variable" }, { name = "value" } },
    options.table))
end

return {
  lines = lines,
  ["bpf.object"] = object_text,
  ["bpf.vars"] = vars_text,
  ["bpf.prog"] = info_text,
  ["bpf.link"] = info_text,
  ["bpf.type"] = type_text,
  ["bpf.view"] = view_text,
}

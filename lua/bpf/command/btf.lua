-- SPDX-License-Identifier: MIT
-- lua-bpf btf.

local bpf = require("bpf")
local frame = require("bpf.command.frame")
local near = require("bpf.base.near")
local target = require("bpf.command.target")

local USAGE <const> = [[
Usage: lua-bpf btf [TYPE] [--module NAME | --file PATH | --map MAP | --prog PROG] [--deep] [--json]

Prints a type as C: of the kernel's BTF, or of other BTF. A TYPE is a name such as 'struct sock', task_struct or
vfs_read, or the id of a type. A name without `struct`, `union` or `enum` is looked for among these, too. Without TYPE,
prints the key and value types of a map, or all types of a module, a file or a program.
  --module NAME        the BTF of a kernel module
  --file PATH          the BTF of a compiled object, or a file of BTF alone
  --map MAP            the BTF of a map
  --prog PROG          the BTF of a program
  --deep               print before a type what it needs, so that the text compiles
  --json               print a JSON object that describes the type, or an array of them for all types

Example: lua-bpf btf 'struct tcp_sock' --deep
]]

local SOURCES <const> = { "module", "file", "map", "prog" }

local function of_object(kind, name, info_of)
  local object <close> = kind == "map" and target.open(name) or target.object(kind, name)
  local info = frame.need(info_of(object))
  if not info.btf_id or info.btf_id == 0 then
    frame.fail(("%s has no BTF"):format(tostring(object)))
  end
  return frame.need(bpf.btf.by_id(info.btf_id)), info
end

local OPEN <const> = {
  module = bpf.btf.module,
  file = bpf.btf.file,
  map = function(name) return of_object("map", name, bpf.map.info) end,
  prog = function(name) return of_object("prog", name, function(prog) return prog:info() end) end,
}

-- The BTF that was asked for, and what the kernel tells of the object that it is of.
local function open(given)
  local source
  for _, name in ipairs(SOURCES) do
    if given[name] and source then
      frame.misuse(("--%s and --%s exclude each other"):format(source, name), USAGE)
    end
    source = given[name] and name or source
  end
  if not source then
    return frame.need(bpf.btf.kernel())
  end
  local btf, info = frame.try(OPEN[source], given[source])
  return frame.need(btf, info), info
end

local KINDS <const> = { "", "struct ", "union ", "enum " }

-- Adds names of a kind that begin or end as a word does. The kernel has too many types to compare them all.
local function add_alike(names, btf, kind, word)
  for t in btf:types(kind) do
    local name = t.name
    if name and not names[name] and math.abs(#name - #word) <= #word // 3
      and (name:sub(1, 3) == word:sub(1, 3) or name:sub(-3) == word:sub(-3)) then
      names[name], names[#names + 1] = true, name
    end
  end
end

-- The kinds of what has a name. Functions are most of all types: they are read only where no other name is near.
local NAMED <const> = { "struct", "union", "enum", "typedef", "int", "float", "fwd", "var", "datasec" }

-- The names that may be meant by one that isn't there.
local function meant_by(btf, word)
  local names = {}
  for _, kind in ipairs(NAMED) do
    add_alike(names, btf, kind, word)
  end
  local meant = near.names(word, names)
  if not meant[1] then
    add_alike(names, btf, "func", word)
    meant = near.names(word, names)
  end
  return meant
end

-- The id of a type by what was typed.
local function find(btf, text)
  local id = text:find("^[0-9]+$") and math.tointeger(tonumber(text))
  if id then
    return btf:find(id) and id or frame.fail(("there is no type %s"):format(text))
  end
  for _, kind in ipairs(KINDS) do
    local ok, found = pcall(btf.find, btf, kind .. text)
    if ok and found and text ~= "" then -- not one without a name
      return found.id
    end
  end
  local meant = meant_by(btf, text:match("[^ ]+$") or text)
  frame.fail(("there is no type '%s'%s"):format(text,
    meant[1] and (" (near: %s)"):format(table.concat(meant, ", ")) or ""))
end

-- The ids of the types to print; nil for all.
local function ids_of(btf, info, name)
  if name then
    return { find(btf, name) }
  end
  local ids = {}
  for _, field in ipairs { "btf_key_type_id", "btf_value_type_id" } do
    if info and (info[field] or 0) ~= 0 then
      ids[#ids + 1] = info[field]
    end
  end
  return ids[1] and ids or nil
end

-- The same, with the variables of a section in its place: C has no words for sections.
local function in_c(btf, ids)
  local list = {}
  for _, id in ipairs(ids) do
    local t = btf:find(id)
    for _, var in ipairs(t.kind == "datasec" and t.vars or { { type_id = id } }) do
      list[#list + 1] = var.type_id
    end
  end
  return list
end

local function print_json(btf, ids, name)
  local list = {}
  for _, id in ipairs(ids or {}) do
    list[#list + 1] = btf:find(id)
  end
  if not ids then
    for t in btf:types() do
      list[#list + 1] = t
    end
  end
  frame.print_line(bpf.json(name and list[1] or list))
end

local function run(given, names)
  if #names > 1 then
    frame.misuse("not understood: " .. names[2], USAGE)
  end
  local btf <close>, info = open(given)
  local ids = ids_of(btf, info, names[1])
  if not ids and not (given.module or given.file or given.prog) then
    frame.misuse("which type?", USAGE)
  elseif given.json then
    print_json(btf, ids, names[1])
  elseif not ids then
    frame.print_line(frame.need(btf:dump()))
  else
    for i, id in ipairs(in_c(btf, ids)) do
      frame.write(i > 1 and "\n" or "", frame.need(frame.try(btf.print, btf, id, { deep = given.deep })), "\n")
    end
  end
end

return {
  usage = USAGE,
  arguments = {},
  options = { module = frame.any, file = frame.path, map = frame.object("map"), prog = frame.object("prog"),
    deep = true, json = true },
  run = run,
}

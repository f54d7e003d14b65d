-- SPDX-License-Identifier: MIT
-- Names of numbers: enumerators of the kernel's types, and what the formats of tracepoints call the values of fields.
local core = require("bpf.core")
local number = require("bpf.base.number")

local enumerators = {}

-- Enums ---------------------------------------------------------------------------------------------------------------

-- What the names of an enum begin with, all of them.
local function common_prefix(list)
  local prefix = list[1] and list[1].name or ""
  for _, e in ipairs(list) do
    while e.name:sub(1, #prefix) ~= prefix do
      prefix = prefix:sub(1, -2)
    end
  end
  return prefix
end

-- The largest enum whose names have this in common and no more: "TCP_" isn't that of TCP_CA_Open and TCP_CA_CWR.
local function find_by_prefix(kernel, prefix)
  local best = {}
  for description in kernel:types("enum") do
    local list = description.enumerators
    if #list > #best and list[1].name:sub(1, #prefix) == prefix and common_prefix(list) == prefix then
      best = list
    end
  end
  return best
end

local known = {} -- by the name or the prefix: number → name

local function names_of(name)
  if not known[name] then
    local kernel, names = core.btf.kernel(), {}
    local description = kernel and kernel:find(name, "enum")
    local cut = not description and #name or 0
    local list = description and description.enumerators or kernel and find_by_prefix(kernel, name) or {}
    for _, e in ipairs(list) do
      names[e.value] = names[e.value] or e.name:sub(cut + 1)
    end
    known[name] = names
  end
  return known[name]
end

--- Why the kernel has no names by that one; nil if it has, or where that can't be told.
function enumerators.unknown(enum)
  if type(enum) ~= "string" then
    return 'which one? Its name, or what all its names begin with, is expected: enum(n, "TCP_")'
  elseif not next(names_of(enum)) and core.btf.kernel() then
    return ("the kernel has no enum '%s', and none whose names all begin so (macros of C are no enum)"):format(enum)
  end
end

--- The name of a number, by the name of an enum, or by what its names begin with, without that.
function enumerators.name(enum, n)
  return names_of(enum)[n] or number.text(n)
end

-- Formats of tracepoints ----------------------------------------------------------------------------------------------

-- The value of an enumerator, whichever enum has it.
local function value_of(name)
  local kernel = core.btf.kernel()
  for description in kernel and kernel:types("enum") or pairs {} do
    for _, e in ipairs(description.enumerators) do
      if e.name == name then
        return e.value
      end
    end
  end
end

local function integer(text)
  return math.tointeger(tonumber((text:gsub("[()]", ""):gsub("[uUlL]+$", ""))))
end

--- What a tracepoint's format calls the values of a field: "1=open,2=closed", the form of `symbol`; nil if it has no
-- names for them.
function enumerators.symbols(text, field)
  local list = {}
  local pairs_text = text:match("__print_symbolic%(REC%->" .. field .. ",%s*(.-})%)")
  for value, name in (pairs_text or ""):gmatch("{%s*([^,{}]+),%s*\"([^\"]*)\"%s*}") do
    list[#list + 1] = ("%s=%s"):format(value:match("^%s*(.-)%s*$"), name)
  end
  return list[1] and table.concat(list, ",") or nil
end

local tables = {} -- by the text: number → name

--- The names by number, by the text that `symbols` returned.
function enumerators.named(text)
  local names = tables[text]
  if not names then
    names = {}
    tables[text] = names
    for value, name in text:gmatch("([^,=]+)=([^,]*)") do
      local key = integer(value) or value_of(value)
      if key then
        names[key] = name
      end
    end
  end
  return names
end

--- The name of a number, by that text.
function enumerators.symbol(text, n)
  return enumerators.named(text)[n] or number.text(n)
end

return enumerators

-- SPDX-License-Identifier: MIT
-- Tables of the script that a program indexes at run time. They are constants: a sequence of integers is an array in
-- .rodata, and a small table of any other kind is compared with, key by key.
local Compiler = require("bpf.program.compiler")
local types = require("bpf.program.types")

local LARGEST <const> = 64

-- Whether all values of a table are of a kind that a register holds.
local function check_values(c, t, name)
  local kind
  for _, value in pairs(t) do
    local own = math.type(value) == "integer" and "integer" or type(value) == "boolean" and "boolean"
    if not own or kind and kind ~= own then
      c:fail("%sis indexed at run time: its values must be integers, or booleans, all of them", name)
    end
    kind = own
  end
  return kind == "boolean" or nil
end

-- The keys, in an order that is always the same; nil if there are others than integers and strings.
local function sorted_keys(t)
  local numbers, texts = {}, {}
  for key in pairs(t) do
    local list = math.type(key) == "integer" and numbers or type(key) == "string" and texts or nil
    if not list then
      return nil
    end
    list[#list + 1] = key
  end
  table.sort(numbers)
  table.sort(texts)
  return table.move(texts, 1, #texts, #numbers + 1, numbers), #texts
end

-- An array of 64-bit integers in .rodata.
local function array_of(c, t)
  local unit = c.unit
  local variable = unit.tables[t]
  if not variable then
    local bytes = {}
    for n, value in ipairs(t) do
      bytes[n] = string.pack("<i8", value == true and 1 or value or 0)
    end
    variable = {
      name = unit:variable_name("table"), size = 8 * #t, section = ".rodata", bytes = table.concat(bytes),
      type = { kind = "array", size = 8 * #t, count = #t, element = types.s64 },
    }
    unit.tables[t] = variable
    unit.variables[#unit.variables + 1] = variable
  end
  return variable
end

local function index_array(c, t, k, bool)
  local f = c.f
  local index = f:alu("sub", c:integer(k, "index"), 1)
  local d, present = f:move(f:register(), 0), f:move(f:register(), 0)
  c:when("lt", index, #t, function()
    local first = f:variable(array_of(c, t), 0)
    f:move(d, f:load(f:alu("add", first, f:alu("lsh", index, 3)), 0, 8))
    f:move(present, 1)
  end)
  return { kind = "optional", r = d, present = present, bool = bool }
end

-- Compares the key with each of the table's.
local function search(c, t, keys, texts, k, bool)
  local f = c.f
  local d, present, found = f:move(f:register(), 0), f:move(f:register(), 0), f:block()
  local index = texts == 0 and c:integer(k, "index")
  for _, key in ipairs(keys) do
    local equal, other = f:block(), f:block()
    if index then
      f:branch("eq", index, key, equal, other)
    else
      c:branch_on_literal(k, key, equal, other)
    end
    f:start(equal)
    local value = t[key]
    f:move(d, math.type(value) and value or value and 1 or 0)
    f:move(present, 1)
    f:jump(found)
    f:start(other)
  end
  f:jump(found)
  f:start(found)
  return { kind = "optional", r = d, present = present, bool = bool }
end

-- t[k] for a table of the script and a key that is known at run time only.
function Compiler:constant_table(t, k, name)
  name = name ~= "" and name or "the table "
  if type(t) ~= "table" then
    self:fail("%scan be indexed by constants only, in a program", name)
  end
  local keys, texts = sorted_keys(t)
  local bool = check_values(self, t, name)
  if not keys or #keys == 0 or texts ~= 0 and texts ~= #keys then
    self:fail("%sis indexed at run time: its keys must be integers, or strings, all of them", name)
  elseif texts == 0 and keys[1] == 1 and keys[#keys] == #keys then
    return index_array(self, t, k, bool)
  elseif #keys > LARGEST then
    self:fail("%shas %d entries, which is too many to compare with: put them in a map", name, #keys)
  end
  return search(self, t, keys, texts, texts > 0 and self:materialize(k) or k, bool)
end

return Compiler

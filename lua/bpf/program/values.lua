-- SPDX-License-Identifier: MIT
-- What the compiler knows of a register of Lua's at one point of a program. A value is a table with a `kind`:
--
--   constant { value }                  known when the program is compiled, but for integers
--   integer  { r, positive, most }      r: a virtual register, or a number; positive: never negative; most: never more
--   boolean  { r }                      1 or 0
--   optional { r, present }             an integer, or a boolean with `bool`, or nil where `present` is 0
--   pointer  { r, offset, type, space } to a value of a C type; with `null` it may be nil; with `core` (see relocation)
--                                       the offset is the one of the kernel that loads the program
--   buffer   { object, offset, type }   something on the stack; in a loop's body, `object` may be the frame's register
--   pending  { type, put }              characters that are still to be read; put(compiler, base, offset) does
--   table    { fields, order }          a constructor that was not stored yet
--   closure, method, walk               what calls and loops take
--   text     { type }                   strings of several paths, joined: each is copied to one place on the stack
--   optional and pointer with `falsy`   may be false where they are taken for nil, as `condition and m[k]` is
--   gone     { by }                     part of a packet that a helper moved: an error where it is used
--   mixed    { a, b }                   different things on different paths: an error where it is used
--
-- Spaces: "map" (an entry), "ctx", "trusted" (the verifier knows the type), "kernel" and "user" (read by helpers),
-- "packet", "record" (of a ring buffer), "stack".
local declared = require("bpf.program.declared")
local types = require("bpf.program.types")

local is_map = declared.type

local values = {}

function values.integer(r, positive, most)
  return { kind = "integer", r = r, positive = positive or nil, most = most }
end

-- What an integer is at most, as far as that is known.
function values.most(v)
  return math.type(v.r) and v.r or v.most
end

function values.constant(value)
  if math.type(value) == "integer" then
    return values.integer(value, value >= 0)
  end
  return { kind = "constant", value = value }
end

values.NIL = { kind = "constant" }

function values.is_nil(v)
  return v.kind == "constant" and v.value == nil
end

local function is_boolean(v)
  return v.kind == "boolean" or v.kind == "constant" and type(v.value) == "boolean"
end

-- Text about values, for messages -------------------------------------------------------------------------------------

local function describe_constant(v)
  local value = v.value
  if is_map(value) then
    return "a map of type " .. is_map(value)
  elseif value == nil then
    return "nil"
  elseif type(value) == "string" then
    return ("the string %q"):format(value)
  elseif math.type(value) == "float" then
    return "a floating-point number"
  end
  return type(value) == "table" and "a table of the script" or "a " .. type(value)
end

local function article(noun)
  if noun:find("^the ") then
    return noun
  end
  return (noun:find("^[aeiouAEIOU]") and "an " or "a ") .. noun
end

local function describe_type(type)
  return type.kind == "chars" and "a string" or article(type.name or type.kind)
end

local describe

local texts = {
  constant = describe_constant,
  integer = function() return "an integer" end,
  boolean = function() return "a boolean" end,
  optional = function(v) return v.bool and "a boolean or nil" or "an integer or nil" end,
  pointer = function(v) return (v.null and "nil or " or "") .. describe_type(v.type) end,
  buffer = function(v) return describe_type(v.type) end,
  pending = function() return "a string" end,
  table = function() return "a table" end,
  shape = function() return "a table" end,
  text = function() return "a string" end,
  closure = function() return "a function" end,
  method = function() return "a method" end,
  walk = function() return "an iterator" end,
  gone = function(v)
    return ("part of a packet that helper.%s has moved: ask for it again behind the call"):format(v.by)
  end,
  mixed = function(v)
    return ("different things on different paths (%s; %s): use a variable for each"):format(describe(v.a),
      describe(v.b))
  end,
}

function describe(v)
  return texts[v.kind](v)
end
values.describe = describe

-- Joining what several paths bring ------------------------------------------------------------------------------------

-- The fields of a value that are registers when the program runs, by kind.
values.PARTS = { integer = { "r" }, boolean = { "r" }, optional = { "r", "present" }, pointer = { "r" } }

-- Whether the value is in registers, and not known when compiling.
function values.at_run_time(v)
  if v.kind == "integer" then
    return not math.type(v.r)
  end
  return values.PARTS[v.kind] ~= nil
end

-- Whether both are the same value whatever path was taken.
local function same(a, b)
  if a == b then
    return true
  elseif a.kind ~= b.kind then
    return false
  elseif a.kind == "constant" then
    return rawequal(a.value, b.value)
  elseif a.kind == "integer" then
    return math.type(a.r) and a.r == b.r
  end
  return a.kind == "buffer" and a.object == b.object and a.offset == b.offset
end
values.same = same

local function mixed(a, b)
  return { kind = "mixed", a = a, b = b }
end
values.mixed = mixed

local function is_false(v)
  return v.kind == "constant" and v.value == false
end

local function join_optional(a, b)
  local a_nil, b_nil = values.is_nil(a), values.is_nil(b)
  if not a_nil and not b_nil and (a.bool or false) ~= (b.bool or false) then
    return mixed(a, b)
  end
  return {
    kind = "optional", bool = a.bool or b.bool, falsy = a.falsy or b.falsy,
    positive = (a.positive or a_nil) and (b.positive or b_nil) or nil,
  }
end

local function may_be_optional(v)
  return v.kind == "integer" or v.kind == "optional" or values.is_nil(v)
end

local function as_optional(v)
  return is_boolean(v) and { kind = "optional", bool = true } or v
end

local LOADED = { map = true, packet = true, record = true, stack = true }

-- The space of what is in either of two, or nil: a string may be wherever a program loads from.
local function join_spaces(p, q)
  if p.space == q.space then
    return p.space
  end
  return p.type.kind == "chars" and LOADED[p.space] and LOADED[q.space] and "stack" or nil
end

-- Whether both pointers are to the same part of a struct whose layout isn't known, or to no such part.
local function same_part(a, b)
  if not a.core or not b.core then
    return a.core == b.core
  end
  return a.offset == b.offset and a.core.type == b.core.type and a.core.access == b.core.access
end

local function join_pointers(a, b)
  local p = a.kind == "pointer" and a or b
  local q = p == a and b or a
  local space = p.space
  if q.kind == "pointer" then
    space = q.type == p.type and join_spaces(p, q)
    if not space then
      return mixed(a, b)
    end
  end
  local core = q.kind == "pointer" and same_part(p, q) and p.core or nil
  return {
    kind = "pointer", type = p.type, space = space, offset = core and p.offset or 0, core = core,
    falsy = p.falsy or q.falsy,
    null = p.null or q.null or q.kind ~= "pointer" or nil,
  }
end

-- The room that a string takes, or nil for anything else.
local function text_size(v)
  if v.kind == "constant" and type(v.value) == "string" then
    return math.max(#v.value, 1)
  elseif v.kind == "text" or v.kind == "pending" then
    return v.type.size
  elseif (v.kind == "buffer" or v.kind == "pointer") and not v.null and v.type.kind == "chars" then
    return v.type.size
  end
  return nil
end

local function join_texts(a, b)
  return { kind = "text", type = types.chars(math.max(text_size(a), text_size(b))) }
end

-- False where the other way brings something that isn't a boolean: of `condition and m[k]`.
local FALSE = { kind = "constant", falsy = true }
local CHOSEN = { pointer = true, integer = true, optional = true }

-- The kind of value that is either: without registers, which whoever joins gives it.
function values.join(a, b)
  if same(a, b) then
    return a
  elseif a.kind == "mixed" or b.kind == "mixed" then
    return a.kind == "mixed" and a or b
  elseif a.kind == "integer" and b.kind == "integer" then
    local most_a, most_b = values.most(a), values.most(b)
    local most = most_a and most_b and math.max(most_a, most_b)
    return { kind = "integer", positive = a.positive and b.positive, most = most }
  elseif is_boolean(a) and is_boolean(b) then
    return { kind = "boolean" }
  elseif may_be_optional(a) and may_be_optional(b) then
    return join_optional(a, b)
  elseif is_false(a) and CHOSEN[b.kind] and not b.bool then
    return values.join(FALSE, b)
  elseif is_false(b) and CHOSEN[a.kind] and not a.bool then
    return values.join(a, FALSE)
  elseif may_be_optional(as_optional(a)) and may_be_optional(as_optional(b)) then
    return join_optional(as_optional(a), as_optional(b)) -- a boolean or nil
  elseif text_size(a) and text_size(b) and not (a.kind == "pointer" and a.type == b.type and a.space == b.space) then
    return join_texts(a, b)
  elseif (a.kind == "pointer" or values.is_nil(a)) and (b.kind == "pointer" or values.is_nil(b)) then
    return join_pointers(a, b)
  end
  return mixed(a, b)
end

-- Whether a join is of the kind that was found before, so that nothing has to be compiled again.
function values.settled(old, new)
  return same(old, new) or old.kind == new.kind and values.at_run_time(old) == values.at_run_time(new)
    and old.null == new.null and old.positive == new.positive and old.bool == new.bool and old.type == new.type
    and old.most == new.most and old.falsy == new.falsy and same_part(old, new)
end

-- A value of a joined kind in registers: `fields` gives the register of each part.
function values.of_kind(kind, fields)
  return {
    kind = kind.kind, type = kind.type, space = kind.space, null = kind.null, positive = kind.positive,
    bool = kind.bool, most = kind.most, falsy = kind.falsy, r = fields.r, core = kind.core,
    offset = kind.kind == "pointer" and (kind.core and kind.offset or 0) or nil,
    present = kind.kind == "optional" and fields.present or nil,
  }
end

function values.copy_state(state)
  local copy = {}
  for register, v in pairs(state) do
    copy[register] = v
  end
  return copy
end

-- Knowing more after a test -------------------------------------------------------------------------------------------

local narrow = {
  optional = function(v, truth, of_presence)
    if not v.bool then
      return truth and values.integer(v.r, v.positive, v.most) or v.falsy and v or values.NIL
    elseif of_presence then
      return truth and { kind = "boolean", r = v.r } or values.NIL
    end
    return truth and values.constant(true) or v
  end,
  pointer = function(v, truth)
    if not v.null then
      return v
    elseif not truth then
      return v.falsy and v or values.NIL
    end
    local known = {}
    for field, x in pairs(v) do
      known[field] = x
    end
    known.null, known.falsy = nil, nil
    return known
  end,
  boolean = function(_, truth, of_presence)
    return not of_presence and values.constant(truth) or nil
  end,
}

-- Whether two registers of Lua's hold one value.
local function one_value(a, b)
  return a == b or a.kind == b.kind and values.at_run_time(a) and a.r == b.r and a.present == b.present
    and a.offset == b.offset and a.core == b.core
end
values.one_value = one_value

-- A table that a program makes, to be changed.
function values.copy_table(o)
  local copy = { kind = "table", fields = {}, order = {}, fixed = o.fixed }
  for n, name in ipairs(o.order) do
    copy.order[n], copy.fields[name] = name, o.fields[name]
  end
  return copy
end

-- What a value is once others in it, however deep, are what `of` returns for them. `done` has the tables that were
-- looked at, with what they are then.
local function replaced(x, of, done)
  if x.kind ~= "table" or done[x] then
    return done[x] or of(x)
  end
  local new = x
  for _, name in ipairs(x.order) do
    local field = replaced(x.fields[name], of, done)
    if field ~= x.fields[name] then
      new = new == x and values.copy_table(x) or new
      new.fields[name] = field
    end
  end
  done[x] = new
  return new
end
values.replaced = replaced

-- The state after v was found to be true, or not; with `of_presence`, not to be nil, or to be.
function values.narrowed(state, v, truth, of_presence)
  local known = values.copy_state(state)
  local make, done = narrow[v.kind], {}
  local function of(x)
    return one_value(x, v) and make(x, truth, of_presence) or x
  end
  for register, x in pairs(make and state or {}) do
    known[register] = replaced(x, of, done)
  end
  return known
end

return values

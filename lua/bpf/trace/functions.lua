-- SPDX-License-Identifier: MIT
-- The functions that bodies have at hand: what a call is in a program, and of which type. Most are the number itself,
-- whose meaning the tool prints.
local Compiler = require("bpf.program.compiler")
local argv = require("bpf.trace.argv")
local enumerators = require("bpf.format.enumerators")
local keys = require("bpf.trace.tables.keys")
local program_types = require("bpf.program.types")
local types = require("bpf.trace.types")
local values = require("bpf.program.values")
local words = require("bpf.program.words")

local describe = values.describe

local functions = {}

local function only_in_bodies()
  error("a name that only bodies of a trace have", 2)
end

-- A row: `call` is the function that the environment has; `type(arguments, constants)` the type of its result.
local rows = {}
functions.rows = rows

local function row(name, code, type)
  local function call() only_in_bodies() end
  Compiler.intrinsics[call] = code
  rows[name] = { call = call, type = type }
end

local function first(c, given, name)
  return given[1] or c:fail("%s: a value is expected", name)
end

-- A constant integer among the arguments, or nil where it is left out.
local function constant(c, v, name, least, most)
  if v == nil or values.is_nil(v) then
    return nil
  elseif v.kind ~= "integer" or not math.type(v.r) or v.r < least or v.r > most then
    c:fail("%s: the size must be a constant from %d to %d", name, least, most)
  end
  return v.r
end

-- Text ----------------------------------------------------------------------------------------------------------------

local READ = { user = "probe_read_user_str", kernel = "probe_read_kernel_str", trusted = "probe_read_kernel_str" }

local function is_text(v)
  return v.kind == "pending" or v.kind == "text" or v.kind == "constant" and type(v.value) == "string"
    or (v.kind == "buffer" or v.kind == "pointer") and v.type.kind == "chars"
end

-- Whose memory an address is in, where that is known when the program is compiled.
local function space_of(c, v)
  if v.kind == "pointer" then
    return v.space == "user" and "user" or "kernel"
  end
  return c.root.traced.user and "user" or nil
end

-- Reads by one helper or the other: addresses of the kernel have their top bit set.
local function by_top_bit(address, user, kernel)
  return function(c, base, offset, room)
    local f = c.f
    local above, below, behind = f:block(), f:block(), f:block()
    f:branch("slt", address, 0, above, below)
    f:start(above)
    kernel(c, base, offset, room)
    f:jump(behind)
    f:start(below)
    user(c, base, offset, room)
    f:jump(behind)
    f:start(behind)
  end
end

local LONGEST <const> = 16384

-- A string's beginning, of so many bytes with its NUL.
local function beginning(c, v, size)
  if v.kind == "constant" then
    return values.constant(v.value:sub(1, size - 1))
  elseif not (v.type and v.type.size > size) or v.null then
    return v
  elseif v.kind == "pending" and not v.exact then
    return { kind = "pending", type = program_types.chars(size), sized = true, put = v.put }
  end
  local object = c:stable_object(size)
  c:copy(object, 0, c:materialize(v), size)
  c.f:store(object, size - 1, 1, 0)
  return { kind = "buffer", object = object, offset = 0, type = program_types.chars(size) }
end

-- str(p [, n])
row("str", function(c, given)
  local v, size = first(c, given, "str"), constant(c, given[2], "str", 1, LONGEST)
  if is_text(v) then
    return size and beginning(c, v, size) or v
  end
  size = size or c.STRING
  local address, space = c:scalar(v, "str"), space_of(c, v)
  if v.type == argv.FORM then
    return argv.text(c, address, size)
  end
  if space then
    return c:string_at(READ[space], address, size)
  end
  local user, kernel = c:string_at(READ.user, address, size), c:string_at(READ.kernel, address, size)
  user.put = by_top_bit(address, user.put, kernel.put)
  return user
end, function(given, constants)
  if given[1] and given[1].kind == "string" then
    local size = constants and constants[2]
    return math.type(size) and size < given[1].size and types.string(size, true) or given[1]
  end
  return types.string(constants and constants[2] or Compiler.STRING, true)
end)

-- The form of so many bytes that are no text.
local function bytes(size)
  return { kind = "chars", size = size, text = false, name = "bytes" }
end

-- Bytes ---------------------------------------------------------------------------------------------------------------

local PROBE_READ <const> = { user = 112, kernel = 113 }

-- The bytes at an address: n of them, of which there is room for `most`; zeros behind them, and where none can be read.
local function bytes_at(c, address, n, most, space)
  local f = c.f
  local object = c:stable_object(most)
  c:clear(object, 0, object.size)
  local count = f:move(f:register(), n)
  c:when("slt", count, 0, function() f:move(count, 0) end)
  c:when("gt", count, most, function() f:move(count, most) end)
  local function read(helper)
    return function() f:call(helper, { object = object, offset = 0 }, count, address) end
  end
  if space then
    read(PROBE_READ[space])()
  else
    by_top_bit(address, read(PROBE_READ.user), read(PROBE_READ.kernel))(c)
  end
  return { kind = "buffer", object = object, offset = 0, type = bytes(most) }
end

-- buf(p, n [, MAX])
row("buf", function(c, given)
  local v, n = first(c, given, "buf"), given[2]
  if not n then
    c:fail("buf(p, n, MAX): how many bytes, and how many at most, are expected")
  end
  local known = n.kind == "integer" and math.type(n.r) and n or given[3]
  local most = known and constant(c, known, "buf", 1, LONGEST) or c.STRING
  return bytes_at(c, c:scalar(v, "buf"), c:integer(n, "buf"), most, space_of(c, v))
end, function(_, constants)
  return types.bytes(constants and (constants[2] or constants[3]) or Compiler.STRING, not (constants and constants[2]))
end)

-- Numbers with a meaning ----------------------------------------------------------------------------------------------

-- The number itself; an entry that is absent ends the run.
local function number(name)
  return function(c, given)
    local v = first(c, given, name)
    local r = c:scalar(v, name)
    return values.integer(r, v.positive, v.most)
  end
end

for name, meaning in pairs(keys.FUNCTIONS) do
  row(name, number(name), function(given)
    if given[1] and given[1].kind:find("stack$") then
      return nil, "a number is expected; a stack is printed with the names of its functions"
    end
    return types.integer(meaning)
  end)
end

-- enum(n, "TCP_")
local enum = number("enum")
row("enum", function(c, given)
  local cause = enumerators.unknown(given[2] and given[2].kind == "constant" and given[2].value)
  return cause and c:fail("enum: %s", cause) or enum(c, given)
end, function(_, constants)
  local name = constants and constants[2]
  local cause = name and enumerators.unknown(name)
  if cause then
    return nil, cause
  end
  return types.integer("enum " .. tostring(name or ""))
end)

-- Whether os.date makes a text of a time by this form: of "*t" it makes a table.
local function is_form(form)
  local ok, text = pcall(os.date, form, 0)
  return ok and type(text) == "string"
end

-- time() and time "%H:%M:%S": when it was, which the tool writes.
row("time", function(c, given)
  local form = given[1]
  if form and not (form.kind == "constant" and type(form.value) == "string") then
    c:fail("time: the form must be a constant string, such as %s", '"%H:%M:%S"')
  elseif form and not is_form(form.value) then
    c:fail("time: os.date of Lua makes no text by '%s': %s is a form", form.value, '"%H:%M:%S"')
  end
  return c:call_helper("ktime_get_ns", {})
end, function(_, constants)
  local format = constants and constants[1]
  return types.integer(format and "time " .. format or "time")
end)

-- What is in memory, as bytes.
local function as_bytes(v)
  local copy = {}
  for field, x in pairs(v) do
    copy[field] = x
  end
  copy.type = bytes(v.type.size)
  return copy
end

-- ip(x): an address as the kernel has it, in a number of 4 bytes or in 16 bytes of memory.
row("ip", function(c, given)
  local v = first(c, given, "ip")
  local in_memory = v.kind == "buffer" or v.kind == "pointer"
  if given[2] then
    c:fail("ip: one address is expected")
  elseif in_memory and (v.type.size == 4 or v.type.size == 16) then
    return as_bytes(v)
  elseif in_memory then
    c:fail("ip: 4 or 16 bytes are expected, this is %s", describe(v))
  end
  local object = c:stable_object(8)
  c.f:store(object, 0, 4, c:scalar(v, "ip"))
  return { kind = "buffer", object = object, offset = 0, type = bytes(4) }
end, function(given)
  local t = given[1]
  local form = t and t.kind == "pointer" and types.target(t)
  local size = t and (t.size or form and form.size)
  return types.address(size == 16 and 16 or 4)
end)

-- As in bpf -----------------------------------------------------------------------------------------------------------

for name in pairs(words.swaps) do
  rows[name] = { call = words[name], type = function() return types.integer() end }
end

-- cast(address, "struct x" [, "user"])
rows.cast = { call = words.cast, type = function(given, constants)
  local space = constants and constants[3] or given[1] and given[1].space
  return types.pointer(tostring(constants and constants[2]), space == "user" and space or "kernel")
end }

return functions

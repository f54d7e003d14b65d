-- SPDX-License-Identifier: MIT
-- Calls in bodies: what gathers, what prints, and the functions at hand.
local types = require("bpf.trace.types")

local calls = {}

-- What gathers: how many numbers stand before the keys, the first of which is measured; the others are constants.
-- `value`: whether the first number's meaning is that of what is printed.
local GATHERS = {
  count = {},
  sum = { numbers = { "n" }, value = true }, avg = { numbers = { "n" }, value = true },
  min = { numbers = { "n" }, value = true }, max = { numbers = { "n" }, value = true },
  stats = { numbers = { "n" }, value = true }, hist = { numbers = { "n" }, value = true },
  lhist = { numbers = { "n", "first", "last", "step" }, value = true },
}
calls.GATHERS = GATHERS

-- What acts, and gives nothing.
local ACTS = { print = {}, printf = { format = true }, clear = { tables = true }, exit = {} }

-- Whether a name is that of a function of this file.
function calls.is_word(name)
  return GATHERS[name] ~= nil or ACTS[name] ~= nil
end

-- The names of them, as the keys of a table.
function calls.words()
  local set = {}
  for _, rows in ipairs { GATHERS, ACTS } do
    for name in pairs(rows) do
      set[name] = true
    end
  end
  return set
end

local PRINTS <const> = "print and printf make texts of values"
local COMPARED <const> = "strings are compared by == as a whole"

local NUMBERS = { integer = true, pointer = true, unknown = true, ["nil"] = true }

local function check_number(body, word, argument, what)
  local t = argument and body:type_of(argument)
  if not t then
    body:fail("%s: %s is missing", word, what)
  elseif not NUMBERS[t.kind] and body.strict then
    body:fail("%s: %s is a number, this is %s", word, what, types.describe(t))
  end
  return t
end

local NO_KEY = { ["nil"] = "nil", ["function"] = "a function" }

local function key_of(body, word, argument)
  local t = body:type_of(argument)
  if not argument.word then
    body:check_whole(word, argument, t)
  end
  if argument.mixed then
    body:refuse("%s: different things on different paths: %s, %s", word, types.describe(argument.mixed[1]),
      types.describe(argument.mixed[2]))
  elseif argument.word or argument.call or t.kind == "nil" and body.strict then
    body:fail("%s: %s is no key", word, argument.word and "a function" or argument.call and
      "what " .. argument.call.word .. " gives" or NO_KEY[t.kind])
  end
  return types.kept(t)
end

-- A call of what gathers.
local function gather(body, word, arguments)
  local row = GATHERS[word]
  local numbers = row.numbers or {}
  local call = { word = word, keys = {}, arguments = {}, place = body.place, value = types.integer() }
  for n, what in ipairs(numbers) do
    local t = check_number(body, word, arguments[n], what)
    if n > 1 then
      local constant = arguments[n].constant
      if math.type(constant) ~= "integer" then
        body:fail("%s: %s must be a constant, an integer", word, what)
      end
      call.arguments[n - 1] = constant
    elseif row.value then
      call.value = t.kind == "integer" and t or types.integer()
    end
  end
  for n = #numbers + 1, #arguments do
    call.keys[#call.keys + 1] = key_of(body, word, arguments[n])
  end
  return call
end

-- What has no place among the values of print and printf.
local function check_printed(body, word, argument)
  if argument.call then
    body:fail("%s: what %s gives can't be used", word, argument.call.word)
  elseif argument.word or argument.args then
    body:refuse("%s: %s", word, argument.word and ("'%s' is a function"):format(argument.word)
      or "args has members: args.NAME")
  elseif argument.mixed then
    body:refuse("%s: different things on different paths: %s, %s", word, types.describe(argument.mixed[1]),
      types.describe(argument.mixed[2]))
  end
end

-- A call of what acts: `keys` are the types of all arguments, `arguments` the constants among them by their number,
-- `tables` the shared names among them.
local function act(body, word, arguments)
  local row = ACTS[word]
  local call = { word = word, keys = {}, arguments = {}, tables = {}, place = body.place, value = types.absent }
  if row.format and type(arguments[1] and arguments[1].constant) ~= "string" then
    body:refuse("%s: the format must be a constant string", word)
  end
  for n, argument in ipairs(arguments) do
    local shared = argument.shared
    if shared and (shared.table or shared.gather or row.tables) then
      call.tables[n] = shared.name
      body:refuse("%s: '%s' is a table: that is for `every` and `end`", word, shared.name)
    end
    call.keys[n] = call.tables[n] and types.unknown or body:type_of(argument)
    call.arguments[n] = argument.constant
    check_printed(body, word, argument)
    if call.keys[n].count then
      body:check_whole(word, argument, call.keys[n])
    end
  end
  return call
end

-- What a function at hand returns: row.returns is a type, or a function of the arguments that gives a type, or nil and
-- what is wrong.
local function at_hand(body, name, row, arguments)
  local returns = row.returns
  if type(returns) ~= "function" then
    return returns or types.unknown
  end
  local list = {}
  for n, argument in ipairs(arguments) do
    list[n] = { type = body:type_of(argument), constant = argument.constant }
  end
  local t, message = returns(list, body.body)
  if not t then
    if body.strict then
      body:fail("%s: %s", name, message)
    end
    return types.unknown
  end
  return t
end

-- What people write who know Lua or bpftrace, and what does it here.
local INSTEAD = {
  delete = "t[key] = nil removes an entry", zero = "clear(t) in `every` and `end`",
  tostring = PRINTS, tonumber = PRINTS,
  ntop = "ip(x) gives a number or bytes the text of an address", strftime = [[time "%H:%M:%S" is the time]],
  system = "a program in the kernel starts no commands", cat = "io.open and the like are there in begin, end and every",
  join = "str(args.argv) has all arguments", strncmp = "strings are compared by ==", strcontains = COMPARED,
  kaddr = "ksym(address) gives a number the name of a function", ipairs = "for i = 1, n do", next = "pairs(t)",
  select = "`...` means nothing in a program", type = "types are known before a program runs",
  pcall = "an error ends this run of the body", require = "begin, end and every have it",
}

-- What a function of Lua's gives: most of those that programs have give integers.
local function of_library(body, fn, arguments)
  if fn == assert and arguments[1] then
    return body:type_of(arguments[1])
  end
  return fn == math.ult and types.boolean or types.integer()
end

-- A call of a value. Returns the value that it gives.
function calls.call(body, pc, f, arguments)
  for n, argument in ipairs(arguments) do
    if math.type(argument.constant) == "float" then
      body:refuse("argument %d: %s", n, body:about_float(argument.constant))
    end
  end
  local word = f.word
  if body.tool and GATHERS[word] then
    body:fail("%s gathers in programs: begin, end and every print and clear by name what it gathered", word)
  elseif word and calls.is_word(word) then
    local call = (GATHERS[word] and gather or act)(body, word, arguments)
    body.calls[pc] = call
    return { type = types.absent, call = GATHERS[word] and { pc = pc, word = word } or nil }
  elseif word then
    return { type = at_hand(body, word, f.row, arguments) }
  elseif f.pairs then
    local row = arguments[1] and arguments[1].shared
    if row then
      body.ledger:use(row, "table", body.place)
    end
    return { type = types.unknown, entries = row }
  elseif f.library then
    return { type = body.tool and types.unknown or of_library(body, f.library, arguments) }
  elseif f.shared and f.shared.own then
    f.shared.called = f.shared.called or body:function_names()
    return { type = types.unknown }
  elseif f.shared then
    if f.shared.stored or f.shared.table then
      body:fail("'%s' is no function", f.shared.name)
    end
    local instead = INSTEAD[f.shared.name]
    body:fail("no function '%s'%s", f.shared.name, instead and ": " .. instead
      or body.ledger:hint(f.shared.name, body:function_names()))
  elseif f.callable then
    return { type = f.type }
  elseif body.strict and f.type and f.type.kind ~= "unknown" then
    body:refuse("%s can't be called", types.describe(f.type))
  end
  return { type = types.unknown }
end

return calls

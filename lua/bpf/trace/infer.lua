-- SPDX-License-Identifier: MIT
-- The types of what the bodies of one trace share: tables, variables, and what gathers. All bodies are read, in rounds,
-- until the types settle; then once more for what doesn't fit.
local Body = require("bpf.trace.infer.body")
local Ledger = require("bpf.trace.infer.shared")
local calls = require("bpf.trace.infer.calls")
local sorted = require("bpf.base.sorted")
local source = require("bpf.program.source")
local titles = require("bpf.trace.infer.titles")
local fail = require("bpf.trace.failure").wrong

local infer = {}

-- Bodies ------------------------------------------------------------------------------------------------------------

-- What is wrong with a text that is no Lua: the line, and the complaint of Lua's, which knows our own words around it.
local function wrong_line(text, message)
  local line, complaint = message:match(":([0-9]+): (.*)$")
  local _, last = text:gsub("\n", "")
  if math.tointeger(line) == last + 2 then -- the 'end' is ours
    complaint = complaint:gsub("^unexpected symbol near 'end'$", "the body ends in the middle of an expression")
      :gsub("^('%S+' expected).* near 'end'$", "%1 at the end of the body")
  end
  complaint = complaint == "'then' expected near '='" and "equal is '==' in Lua" or complaint
  complaint = complaint and complaint:gsub("syntax error near 'end'$", "the body ends in the middle of a statement")
    :gsub(" near <eof>$", "")
    :gsub("^'end' expected %(to close 'function' at line 1%)", "an 'end' is missing")
    :gsub("^'[%)e][nd]*' expected near '='$", "equal is '==' in Lua")
    :gsub("^<name> expected near '([a-z]+)'$", "'%1' is a word of Lua: write args[\"%1\"]")
  return math.min(math.tointeger(line) or 1, last + 1), complaint or message
end

-- Makes a function(args) of a text, or raises { trace = message }. `before`: what of Lua stands before it.
local function load_text(title, text, environment, before)
  local chunk, message = load(("return function(args) %s%s\nend"):format(before, text), "=" .. title, "t", environment)
  if not chunk then
    local line, complaint = wrong_line(text, message)
    local told = require("bpf.trace.habits").told(text, before) -- which right bodies don't need
    fail("%s:%s: %s", title, line, told or complaint)
  end
  return chunk()
end

--- Makes a function of the text of a body: function(args). Raises { trace = message } where it isn't Lua.
function infer.load(title, text, environment)
  local fn = load_text(title, text, environment, "")
  source.tell("=" .. title, text)
  return fn
end

--- Refuses a text that is no expression. One that ends in a comment would hide what stands behind it.
function infer.check_expression(title, text)
  local ok, problem = pcall(load_text, title, text, {}, "return ")
  if not ok then
    error({ trace = problem.trace:gsub("the body ends", "it ends") }, 0)
  elseif not load(("return (%s)"):format(text), title, "t", {}) then
    fail("%s: one expression is expected, without a comment, ',' or ';'", title)
  end
end

-- What gathers --------------------------------------------------------------------------------------------------------

-- Gives each call its text.
local function add_titles(body, ledger)
  local text = body.body.text
  local known = ledger.texts[text] or { calls = titles.of(text, calls.words()), entries = titles.entries(text) }
  ledger.texts[text] = known
  local found, seen, count = known.calls, {}, {}
  local pcs = sorted.keys(body.calls)
  for _, pc in ipairs(pcs) do
    local word = body.calls[pc].word
    count[word] = (count[word] or 0) + 1
  end
  for _, pc in ipairs(pcs) do
    local call = body.calls[pc]
    local texts = found[call.word] or {}
    seen[call.word] = (seen[call.word] or 0) + 1
    call.title = #texts == count[call.word] and texts[seen[call.word]]
      or ("%s in line %s"):format(call.word, call.place:match("[0-9]+$"))
    call.written = titles.parts(call.title)
    for n, argument in ipairs(call.written) do
      call.written[n] = known.entries[argument] and known.entries[argument].value or argument
    end
  end
  return pcs
end

-- Notes one call that gathers in the ledger.
local function add_gather(ledger, call)
  local row = ledger:row(call.name or call.title, call.place)
  ledger:use(row, "gather", call.place)
  row.unnamed = not call.name or nil
  row.word = row.word or call.word
  row.arguments = row.arguments or call.arguments
  if row.word ~= call.word then
    ledger.fail(call.place, "'%s' is a %s here and a %s in %s", row.name, call.word, row.word, row.places.gather)
  end
  for n, argument in ipairs(call.arguments) do
    if row.arguments[n] ~= argument then
      ledger.fail(call.place, "'%s' has other numbers here than in %s", row.name, row.places.gather)
    end
  end
  ledger:put_keys(row, call.keys, call.place)
  ledger:put(row, "value", call.value, call.place)
end

-- The index of the constant by which an instruction reads or assigns a member of _ENV, and whether it assigns; nil for
-- others. `held` has what registers hold of that: true for _ENV, or the index of a constant. Lua needs registers where
-- a name has more than 40 characters, or a function has more than 255 constants.
local function member_of_env(proto, i, held)
  if i.op == "GETTABUP" or i.op == "SETTABUP" then
    local assigns = i.op == "SETTABUP"
    local is_env = proto.upvalues[assigns and i.A or i.B].name == "_ENV"
    return is_env and (assigns and i.B or i.C) or nil, assigns
  elseif i.op == "GETTABLE" and held[i.B] == true then
    return held[i.C]
  elseif i.op == "SETTABLE" and held[i.A] == true then
    return held[i.B], true
  end
end

local HOLDS <const> = {
  GETUPVAL = function(proto, i) return proto.upvalues[i.B].name == "_ENV" or nil end,
  LOADK = function(_, i) return i.Bx end,
  LOADKX = function(_, i) return i.Bx end,
}
local KEEPS <const> = { SETTABUP = true, SETTABLE = true, SETFIELD = true, SETI = true }

-- The names of _ENV in a function of Lua's and in those within it, as the keys of a table; those that are assigned are
-- keys of another one.
local function names_in(proto, found, assigned)
  local held = {}
  for pc = 0, proto.last_pc do
    local i = proto.code[pc]
    local index, assigns = member_of_env(proto, i, held)
    local name = math.type(index) and proto.constants[index].value
    if name then
      found[name], assigned[name] = true, assigned[name] or assigns
    end
    if i.A and not KEEPS[i.op] then
      held[i.A] = HOLDS[i.op] and HOLDS[i.op](proto, i)
    end
  end
  for _, inner in pairs(proto.protos) do
    names_in(inner, found, assigned)
  end
end

-- All of Lua's functions of a body: plain Lua may make more in it.
local function readers_of(body, ledger, names)
  local list = { Body.new(body, ledger, names) }
  for _, reader in ipairs(list) do -- which grows
    for _, inner in pairs(body.tool and reader.proto.protos or {}) do
      list[#list + 1] = Body.new(body, ledger, names, inner)
    end
  end
  return list
end

-- Gives shared tables the texts of their keys and values, where bodies have any.
local function add_written(shared, ledger, bodies)
  for _, body in ipairs(bodies) do
    for name, texts in pairs(ledger.texts[body.text].entries) do
      local row = shared[name]
      if row and row.table then
        local before = row.written or {}
        row.written = { key = before.key or texts.key, value = before.value or texts.value }
      end
    end
  end
end

local function read(body, ledger, strict)
  body:run(strict)
  for _, pc in ipairs(add_titles(body, ledger)) do
    local call = body.calls[pc]
    if calls.GATHERS[call.word] then
      add_gather(ledger, call)
    end
  end
end

-- Names at hand -----------------------------------------------------------------------------------------------------

local function returns_of(row)
  return function(arguments)
    local given, constants = {}, {}
    for n, argument in ipairs(arguments) do
      given[n], constants[n] = argument.type, argument.constant
    end
    return row.type(given, constants)
  end
end

-- The names that bpf.trace gives to bodies, as `names` of infer.run.
local function names_at_hand()
  local names = { math = { library = math }, error = { library = error }, assert = { library = assert } }
  for name, row in pairs(require("bpf.trace.words").rows) do
    names[name] = { type = row.type, returns = row.call and row.type }
  end
  for name, row in pairs(require("bpf.trace.functions").rows) do
    names[name] = { returns = row.type and returns_of(row) or nil, row = row }
  end
  return names
end

-- All of them ---------------------------------------------------------------------------------------------------------

--- The types of what bodies share, by their bytecode. Raises { trace = message }.
-- A body: { title, text, fn, arguments, result }, and `tool` if it is plain Lua of the tool. `names` are those at hand:
-- name → a type; { returns = type | function(arguments, body) → type | nil, message }, a function, of arguments
-- { type, constant }; { type, returns }, a value that can be called as well; { library }, what Lua has. `type` may be a
-- function of the body. Without `names`, they are those of bpf.trace.words.
-- Returns { shared = { name → { table, key, value, written, never } | { variable, value } | { gather, keys, value,
-- arguments, unnamed } | { own, table } }, calls = { body → { pc → { word, name, title, written, keys, value,
-- arguments, tables } } }, exits = whether a body calls exit() }. What is `own` is of plain Lua's alone. A table with
-- `never`, a body, never gets an entry, because that body calculates with one before it stores any.
function infer.run(bodies, names)
  names = names or names_at_hand()
  local ledger, list = Ledger.new(names, bodies), {}
  for _, body in ipairs(bodies) do
    local readers = readers_of(body, ledger, names)
    names_in(readers[1].proto, body.tool and {} or ledger.used, ledger.assigned)
    table.move(readers, 1, #readers, #list + 1, list)
  end
  repeat
    ledger.changed, ledger.round = false, ledger.round + 1
    for _, body in ipairs(list) do
      read(body, ledger, false)
    end
  until not (ledger.changed or ledger:assume())
  ledger:check_stored()
  local result = { calls = {}, exits = false }
  for _, body in ipairs(list) do
    read(body, ledger, true)
    result.calls[body.body] = result.calls[body.body] or body.calls
    for _, call in pairs(body.calls) do
      result.exits = result.exits or call.word == "exit"
    end
  end
  ledger:check_known()
  result.shared = ledger:result()
  add_written(result.shared, ledger, bodies)
  return result
end

return infer

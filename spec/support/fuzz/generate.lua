-- SPDX-License-Identifier: MIT
-- Random functions that Lua and the kernel can run: trees whose text is a chunk. The chunk takes the maps `m` (a hash
-- of longs), `a` (an array of longs, 8 entries) and `s` (a hash of structs), and returns a function of a context `c`
-- with the members a, b and r. No function runs forever, and the only error that one raises is a division by zero.
local new_random = require("spec.support.fuzz.random")
local tree = require("spec.support.fuzz.tree")

local node = tree.node

local Generator = {}
Generator.__index = Generator

-- The names that expressions may use. Those in `fixed` are read only.
local function new_scope(...)
  return { integers = { ... }, fixed = {}, booleans = {}, optionals = {}, texts = {}, functions = { "f", "g", "h" } }
end

-- What fn returns for a function that has only its arguments.
function Generator:inside(fn, ...)
  local scope, label, loops = self.scope, self.label, self.loops
  self.callee, self.scope, self.label = true, new_scope(...), nil
  local result = fn(self)
  self.callee, self.scope, self.label, self.loops = false, scope, label, loops
  return result
end

-- Choosing ------------------------------------------------------------------------------------------------------------

function Generator:pick(list)
  return list[self.random(#list)]
end

function Generator:chance(n)
  return self.random(n) == 1
end

-- Calls one of the functions in rows of { weight, function }. One may return nil, where it isn't possible.
function Generator:choose(rows, ...)
  local total = 0
  for _, row in ipairs(rows) do
    total = total + row[1]
  end
  local n = self.random(total)
  for _, row in ipairs(rows) do
    n = n - row[1]
    if n <= 0 then
      return row[2](self, ...)
    end
  end
end

-- A new name.
function Generator:name(letter)
  self.names = self.names + 1
  return letter .. self.names
end

-- What fn returns; the variables that it declares are unknown afterwards.
function Generator:scoped(fn)
  local outer = self.scope
  self.scope = {}
  for _, list in ipairs { "integers", "fixed", "booleans", "optionals", "texts", "functions" } do
    self.scope[list] = table.move(outer[list], 1, #outer[list], 1, {})
  end
  local result = fn(self.scope)
  self.scope = outer
  return result
end

-- From 1 to `most` statements.
function Generator:block(depth, most)
  return self:scoped(function()
    local block = { sort = "block" }
    for i = 1, self.random(most or 3) do
      block[i] = self:statement(depth)
    end
    return block
  end)
end

-- Integers ------------------------------------------------------------------------------------------------------------

local CONSTANTS = {
  "0", "1", "2", "3", "7", "8", "10", "63", "64", "-1", "-2", "-7", "127", "-128", "255", "1000003", "0x7fffffff",
  "0x80000000", "0xffffffff", "0x123456789abcdef", "math.maxinteger", "math.mininteger", "limit", "step",
}
local SHIFTS = { "0", "1", "3", "31", "32", "63", "64", "70", "-1", "-4", "-64" }
local DIVISORS = { "1", "-1", "2", "3", "7", "8", "10", "16", "-5", "-8", "1000", "0x7fffffff", "math.mininteger" }

local function leaf(g)
  local n = g.random(20)
  if n <= 9 then
    return node("integer", g:pick(g.scope.integers))
  elseif n <= 11 and #g.scope.fixed > 0 then
    return node("integer", g:pick(g.scope.fixed))
  elseif n <= 17 then
    return node("integer", g:pick(CONSTANTS))
  end
  return node("integer", g:pick(g.callee and { "limit" } or { "c.a", "c.b", "c.r" }))
end

local function key(g, depth, mask)
  return node("index", g:integer(depth), " & " .. mask)
end

local function binary(...)
  local operators = { ... }
  return function(g, depth)
    return node("integer", "(", g:integer(depth), " " .. g:pick(operators) .. " ", g:integer(depth), ")")
  end
end

local function with_constant(constants, ...)
  local operators = { ... }
  return function(g, depth)
    return node("integer", "(", g:integer(depth), (" %s %s)"):format(g:pick(operators), g:pick(constants)))
  end
end

local INTEGERS = {
  { 24, binary("+", "-", "*", "&", "|", "~", "+", "-") },
  { 5, with_constant(DIVISORS, "//", "%") },
  { 1, binary("//", "%") },
  { 3, with_constant(SHIFTS, "<<", ">>") },
  { 2, binary("<<", ">>") },
  { 1, function(g, depth) return node("integer", "(1 << ", g:integer(depth), ")") end },
  { 2, function(g, depth) return node("integer", g:pick { "(- ", "(~ " }, g:integer(depth), ")") end },
  { 3, function(g, depth)
    return node("integer", "(", g:condition(depth), " and ", g:integer(depth), " or ", g:integer(depth), ")")
  end },
  { 2, function(g, depth)
    return node("integer", g:pick { "math.max(", "math.min(" }, g:integer(depth), ", ", g:integer(depth), ")")
  end },
  { 2, function(g, depth) return node("integer", "(m[", key(g, depth, 7), "] or ", g:integer(depth), ")") end },
  { 1, function(g) return node("integer", ("a[%d]"):format(g.random(8) - 1)) end },
  { 1, function(g, depth) return node("integer", "(a[", key(g, depth, 7), "] or ", g:integer(depth), ")") end },
  { 1, function(g, depth) return node("integer", "(", g:optional(depth), " or ", g:integer(depth), ")") end },
  { 1, function(g, depth)
    return node("integer", "(primes[", key(g, depth, 7), "] or ", g:integer(depth), ")")
  end },
  { 2, function(g, depth)
    if g.callee then
      return nil
    end
    return node("integer", g:pick(g.scope.functions) .. "(", g:integer(depth), ", ", g:integer(depth), ")")
  end },
}

function Generator:integer(depth)
  if depth <= 0 or self:chance(5) then
    return leaf(self)
  end
  return self:choose(INTEGERS, depth - 1) or leaf(self)
end

-- An integer or nil.
function Generator:optional(depth)
  if #self.scope.optionals > 0 and not self:chance(3) then
    return node("optional", self:pick(self.scope.optionals))
  end
  return node("optional", "m[", key(self, depth, 7), "]")
end

-- Texts and conditions ------------------------------------------------------------------------------------------------

local TEXTS = { '""', '"a"', '"ab"', '"abc"', '"abcdefghijklmno"', "word" }

function Generator:text(depth)
  if depth > 0 and self:chance(5) then
    depth = depth - 1
    return node("text", "(", self:condition(depth), " and ", self:text(depth), " or ", self:text(depth), ")")
  elseif #self.scope.texts > 0 and not self:chance(3) then
    return node("text", self:pick(self.scope.texts))
  end
  return node("text", self:pick(TEXTS))
end

local function joined(word)
  return function(g, depth)
    return depth > 0 and node("condition", "(", g:condition(depth - 1), word, g:condition(depth - 1), ")") or nil
  end
end

local CONDITIONS = {
  { 2, joined " and " },
  { 2, joined " or " },
  { 2, function(g, depth)
    return depth > 0 and node("condition", "(not ", g:condition(depth - 1), ")") or nil
  end },
  { 2, function(g, depth) return node("condition", "(", g:optional(depth), g:pick { " == nil)", " ~= nil)" }) end },
  { 1, function(g, depth)
    return node("condition", "(", g:optional(depth), g:pick { " == ", " ~= " }, g:integer(depth), ")")
  end },
  { 2, function(g, depth) return node("condition", "math.ult(", g:integer(depth), ", ", g:integer(depth), ")") end },
  { 2, function(g, depth)
    return node("condition", "(", g:text(depth), g:pick { " == ", " ~= " }, g:text(depth), ")")
  end },
  { 2, function(g)
    return #g.scope.booleans > 0 and node("condition", g:pick(g.scope.booleans)) or nil
  end },
}
local COMPARISONS = { " < ", " <= ", " > ", " >= ", " == ", " ~= " }

function Generator:condition(depth)
  local chosen = self:chance(2) and self:choose(CONDITIONS, depth)
  if chosen then
    return chosen
  end
  return node("condition", "(", self:integer(depth), self:pick(COMPARISONS), self:integer(depth), ")")
end

-- Statements ----------------------------------------------------------------------------------------------------------

-- Declares a local variable, known in the rest of the block.
local function declare(list, letter, sort)
  return function(g)
    local value = g[sort](g, 2)
    local name = g:name(letter)
    table.insert(g.scope[list], name)
    return node("statement", "local " .. name .. " = ", value)
  end
end

local function assign(list, sort)
  return function(g)
    local names = g.scope[list]
    return #names > 0 and node("statement", g:pick(names) .. " = ", g[sort](g, 2)) or nil
  end
end

local function choice(g, depth)
  if depth == 0 then
    return nil
  elseif g:chance(2) then
    return node("statement", "if ", g:condition(2), " then", g:block(depth - 1), "end")
  end
  return node("statement", "if ", g:condition(2), " then", g:block(depth - 1), "else", g:block(depth - 1), "end")
end

-- A statement for an optional that isn't nil.
local function present(g)
  local name = g:name("o")
  return node("statement", "local " .. name .. " = ", g:optional(1), " if " .. name .. " then "
    .. g:pick(g.scope.integers) .. " = " .. name .. " ~ ", g:integer(1), " end")
end

-- The body of a loop, in which one may go on with the next pass or leave.
local function body(g, depth, label, fixed)
  local outer = g.label
  g.label, g.loops = label, g.loops + 1
  table.insert(g.scope.fixed, fixed)
  local block = g:block(depth - 1)
  table.remove(g.scope.fixed)
  g.label, g.loops = outer, g.loops - 1
  return block
end

local function numeric_loop(g, depth)
  if depth == 0 or g.loops == 2 then
    return nil
  end
  local heads = {
    { ("1, %d"):format(g.random(4)) }, { ("%d, 1, -1"):format(g.random(5)) }, { "0, 6, 2" }, { "3, 2" }, { "-2, 2, 3" },
    { "(", g:integer(1), " & 3), (", g:integer(1), " & 7)" },
    { "1, math.min(", g:integer(1), ", 5)" },
    { "math.max(", g:integer(1), ", -2), 1" },
    { "(", g:integer(1), " & 7), 0, -2" },
    { "(", g:integer(1), " & 63), (", g:integer(1), " & 127)" },
  }
  local name, label = g:name("i"), g:name("next_")
  local loop = node("statement", "for " .. name .. " = ")
  table.move(g:pick(heads), 1, 5, #loop + 1, loop)
  table.insert(loop, " do")
  table.insert(loop, body(g, depth, label, name))
  table.insert(loop, ("::%s:: end"):format(label))
  return loop
end

local function while_loop(g, depth)
  if depth == 0 or g.loops == 2 then
    return nil
  end
  local name, label, limit = g:name("w"), g:name("next_"), g.random(4)
  local condition = g:chance(2) and g:condition(1) or node("condition", "true")
  local inner = body(g, depth, label, name)
  if g:chance(2) then
    return node("statement", ("do local %s = 0 while %s < %d and "):format(name, name, limit), condition,
      (" do %s = %s + 1"):format(name, name), inner, ("::%s:: end end"):format(label))
  end
  return node("statement", ("do local %s = 0 repeat %s = %s + 1 do"):format(name, name, name), inner,
    ("::%s:: end until %s >= %d or "):format(label, name, limit), condition, " end")
end

local function leave(g)
  if g.callee then
    return node("statement", "if ", g:condition(1), " then return ", g:integer(1), " end")
  elseif not g.label or g:chance(3) then
    return node("statement", "if ", g:condition(1), " then c.r = ", g:integer(1),
      " return" .. g:pick { "", " true", " false", " 0", " 7", " " .. g:pick(g.scope.integers) } .. " end")
  end
  return node("statement", "if ", g:condition(1), " then ", g:chance(2) and "break" or "goto " .. g.label, " end")
end

-- What one may do to an entry of s in place.
local function change_members(g, depth, name)
  return g:scoped(function(scope)
    table.move({ name .. ".n", name .. ".pos.a", name .. ".pos.b" }, 1, 3, #scope.fixed + 1, scope.fixed)
    table.insert(scope.texts, name .. ".name")
    local block = { sort = "block" }
    for i = 1, g.random(3) do
      block[i] = g:choose({
        { 1, function() return node("statement", ("%s.n = %s.n + "):format(name, name), g:integer(1)) end },
        { 1, function() return node("statement", name .. ".pos.a = ", g:integer(1), " & 0x7fffffff") end },
        { 1, function() return node("statement", name .. ".pos.b = ", g:integer(1), " & 255") end },
        { 1, function() return node("statement", name .. ".name = ", g:text(1)) end },
        { 1, function() return g:statement(depth - 1) end },
      })
    end
    return block
  end)
end

local function change_entry(g, depth)
  if depth == 0 or g.frozen then
    return nil
  end
  local name, at = g:name("v"), key(g, 1, 3)
  g.frozen = true
  local block = change_members(g, depth, name)
  g.frozen = false
  return node("statement", "do local " .. name .. " = s[", at, "] if " .. name .. " then", block, "end end")
end

local function put_entry(g)
  if g.frozen or g.callee then -- an entry that is replaced or deleted is not to be used any more
    return nil
  elseif g:chance(4) then
    return node("statement", "s[", key(g, 1, 3), "] = nil")
  end
  return node("statement", "s[", key(g, 1, 3), "] = { n = ", g:integer(1), ", pos = { a = ", g:integer(1),
    " & 65535, b = ", g:integer(1), " & 255 }, name = ", g:text(1), " }")
end

-- A function that is called below.
local function define(g, depth)
  if depth == 0 or g.callee then
    return nil
  end
  local name = g:name("f")
  local block = g:inside(function() return g:block(1) end, "q", "r")
  table.insert(g.scope.functions, name)
  return node("statement", ("local function %s(q, r)"):format(name), block, "  return q + r end")
end

-- Adds up something of each entry, whatever their order.
local function sum(g)
  if g.callee then
    return nil
  end
  local name = g:pick(g.scope.integers)
  local term = g:inside(function() return g:integer(2) end, "k", "v")
  return node("statement", ("for k, v in pairs(%s) do %s = %s + "):format(g:pick { "m", "m", "a" }, name, name), term,
    " end")
end

local STATEMENTS = {
  { 8, assign("integers", "integer") },
  { 3, declare("integers", "v", "integer") },
  { 1, declare("booleans", "p", "condition") },
  { 1, assign("booleans", "condition") },
  { 1, declare("optionals", "o", "optional") },
  { 1, assign("optionals", "optional") },
  { 1, assign("optionals", "integer") },
  { 1, function(g)
    return #g.scope.optionals > 0 and node("statement", g:pick(g.scope.optionals) .. " = nil") or nil
  end },
  { 1, declare("texts", "t", "text") },
  { 2, function(g)
    return node("statement", ("%s, %s = "):format(g.scope.integers[1], g.scope.integers[2]), g:integer(2), ", ",
      g:integer(2))
  end },
  { 1, function(g)
    if g.callee then
      return nil
    end
    return node("statement", "y, x = two(", g:integer(1), ", ", g:integer(1), ")")
  end },
  { 6, choice },
  { 3, numeric_loop },
  { 2, while_loop },
  { 2, present },
  { 2, leave },
  { 1, define },
  { 1, sum },
  { 2, change_entry },
  { 1, put_entry },
  { 2, function(g) return node("statement", "m[", key(g, 1, 7), "] = ", g:integer(2)) end },
  { 1, function(g) return node("statement", "m[", key(g, 1, 7), "] = nil") end },
  { 1, function(g)
    local at = g.random(8) - 1
    return node("statement", ("a[%d] = a[%d] + "):format(at, at), g:integer(1))
  end },
  { 1, function(g) return node("statement", "a[", key(g, 1, 7), "] = ", g:integer(2)) end },
  { 1, function(g)
    return not g.callee and node("statement", g:pick { "c.b = ", "c.r = ", "c.r = c.r + " }, g:integer(1)) or nil
  end },
}

function Generator:statement(depth)
  local statement = self:choose(STATEMENTS, depth)
  if statement then
    return statement
  end
  local name = self:pick(self.scope.integers)
  return node("statement", ("%s = %s * 31 + "):format(name, name), self:integer(1))
end

-- Functions -----------------------------------------------------------------------------------------------------------

local FUNCTIONS = {
  "local function f(a, b) if a > b then return a - b end return b * 3 ~ a end",
  "local function g(a, b) for i = 1, 3 do a = a + b if a == 7 then return i end end return a end",
  "local function two(a, b) if a < 0 then return b, a end return a + b, a ~ b end",
}

-- The tree of a chunk. The same seed gives the same tree.
return function(seed)
  local self = setmetatable({ random = new_random(seed), names = 0, loops = 0 }, Generator)
  local chunk = { sort = "block", outermost = true }
  chunk[1] = node("statement", "local m, a, s = ...")
  chunk[2] = node("statement", ("local limit, step, word = %s, %s, %s"):format(self.random(1000), -self.random(99),
    self:pick { '"abc"', '"longer than 8"' }))
  chunk[3] = node("statement", "local primes = { 2, 3, 5, 7, 11 }")
  for _, text in ipairs(FUNCTIONS) do
    chunk[#chunk + 1] = node("statement", text)
  end
  local callee = self:inside(function() return self:block(1) end, "q", "r")
  chunk[#chunk + 1] = node("statement", "local function h(q, r)", callee, "  return q ~ r end")
  self.scope = new_scope("x", "y")
  local statements = self:block(3, 10)
  table.insert(statements, 1, node("statement", "local x, y = c.a, c.b"))
  statements[#statements + 1] = node("statement", "c.r = ", node("integer", "x ~ y * 3"))
  statements[#statements + 1] = node("statement", "return 1")
  chunk[#chunk + 1] = node("statement", "return function(c)", statements, "end")
  for _, part in ipairs { chunk[1], chunk[2], chunk[#chunk], statements, statements[1], statements[#statements] } do
    part.fixed = true
  end
  return chunk
end

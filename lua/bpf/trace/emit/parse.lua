-- SPDX-License-Identifier: MIT
-- The syntax tree of a body. It is Lua that has been compiled before, so that only what is right has to be understood;
-- functions, methods and `...` have no place in a program.
--
-- Expressions: { is = "name", name } { is = "literal", text, value } { is = "index", object, key }
-- { is = "call", called, arguments } { is = "table", { key, value }… } { is = "unary", operator, operand }
-- { is = "binary", operator, left, right } { is = "paren", inside }. `key` is an expression. Statements: "local",
-- "assign", "call", "do", "while", "repeat", "if", "for", "each", "return", "break", "goto", "label".
local failure = require("bpf.trace.failure")

local parse = {}

-- Tokens --------------------------------------------------------------------------------------------------------------

local KEYWORDS = {}
for word in ([[and break do else elseif end false for function goto if in local nil not or repeat return then true
  until while]]):gmatch("%S+") do
  KEYWORDS[word] = true
end

-- Whether a word can't be a name.
function parse.is_keyword(word)
  return KEYWORDS[word] == true
end

local SIGNS <const> = { "...", "<<", ">>", "//", "==", "~=", "<=", ">=", "::", ".." }

-- The end of a string, of which the quote is at a place.
local function string_end(text, at)
  local quote = text:sub(at, at)
  at = at + 1
  while text:sub(at, at) ~= quote do
    at = at + (text:sub(at, at) == "\\" and 2 or 1)
  end
  return at
end

-- The token at a place: its kind, its text, and where the next one may be.
local function token_at(text, at)
  local word = text:match("^[A-Za-z_][A-Za-z_0-9]*", at)
  if word then
    return KEYWORDS[word] and "sign" or "name", word, at + #word
  end
  local number = text:match("^0[xX][0-9A-Fa-f.]+", at) or text:match("^[0-9]+[0-9.eE]*", at)
  if number then
    return "literal", number, at + #number
  end
  local level = text:match("^%[(=*)%[", at)
  local stop = level and select(2, text:find("]" .. level .. "]", at, true))
    or text:find("^[\"']", at) and string_end(text, at)
  if stop then
    return "literal", text:sub(at, stop), stop + 1
  end
  for _, sign in ipairs(SIGNS) do
    if text:sub(at, at + #sign - 1) == sign then
      return "sign", sign, at + #sign
    end
  end
  return "sign", text:sub(at, at), at + 1
end

-- Behind blanks and comments.
local function skip(text, at)
  while true do
    local next = text:match("^%s+()", at)
    local level = text:match("^%-%-%[(=*)%[", at)
    if level then
      next = select(2, text:find("]" .. level .. "]", at, true)) + 1
    elseif text:find("^%-%-", at) then
      next = text:match("^[^\n]*()", at)
    end
    if not next then
      return at
    end
    at = next
  end
end

local function tokens_of(text)
  local list, at = {}, skip(text, 1)
  while at <= #text do
    local kind, word, next = token_at(text, at)
    list[#list + 1] = { kind = kind, text = word }
    at = skip(text, next)
  end
  list[#list + 1] = { kind = "sign", text = "" }
  return list
end

-- Reading -------------------------------------------------------------------------------------------------------------

local Parser = {}
Parser.__index = Parser

function Parser:peek()
  local token = self.tokens[self.at]
  return token.kind == "sign" and token.text or nil, token
end

function Parser:take()
  local token = self.tokens[self.at]
  self.at = self.at + 1
  return token.text, token
end

-- Takes a sign if it is there.
function Parser:accept(sign)
  if self:peek() == sign then
    self:take()
    return true
  end
  return false
end

function Parser:need(sign)
  if not self:accept(sign) then
    failure.not_emitted("'%s' isn't possible here", self.tokens[self.at].text)
  end
end

-- Expressions ---------------------------------------------------------------------------------------------------------

local BINARY <const> = {
  ["or"] = 1, ["and"] = 2, ["<"] = 3, [">"] = 3, ["<="] = 3, [">="] = 3, ["~="] = 3, ["=="] = 3, ["|"] = 4, ["~"] = 5,
  ["&"] = 6, ["<<"] = 7, [">>"] = 7, ["+"] = 10, ["-"] = 10, ["*"] = 11, ["//"] = 11, ["%"] = 11, ["/"] = 11,
}
local UNARY <const>, BINDS <const> = { ["not"] = true, ["-"] = true, ["~"] = true, ["#"] = true }, 12
local WORDS <const> = { ["nil"] = true, ["true"] = true, ["false"] = true }

local function literal(text)
  return { is = "literal", text = text, value = load("return " .. text)() }
end

function Parser:list()
  local list = { self:expression() }
  while self:accept(",") do
    list[#list + 1] = self:expression()
  end
  return list
end

function Parser:constructor()
  local node = { is = "table" }
  self:need("{")
  while not self:accept("}") do
    local key
    if self:accept("[") then
      key = self:expression()
      self:need("]")
      self:need("=")
    elseif select(2, self:peek()).kind == "name" and self.tokens[self.at + 1].text == "=" then
      key = literal(("%q"):format(self:take()))
      self:need("=")
    end
    node[#node + 1] = { key, self:expression(), key = key }
    node[#node].value = node[#node][2]
    if not (self:accept(",") or self:accept(";")) then
      self:need("}")
      break
    end
  end
  return node
end

function Parser:arguments()
  local sign, token = self:peek()
  if sign == "(" then
    self:take()
    local list = self:peek() ~= ")" and self:list() or {}
    self:need(")")
    return list
  elseif sign == "{" then
    return { self:constructor() }
  elseif token.kind == "literal" then
    return { literal(self:take()) }
  end
end

function Parser:suffixed()
  local node
  if self:accept("(") then
    node = { is = "paren", inside = self:expression() }
    self:need(")")
  else
    node = { is = "name", name = self:take() }
  end
  while true do
    if self:accept(".") then
      node = { is = "index", object = node, key = literal(("%q"):format(self:take())) }
    elseif self:accept("[") then
      node = { is = "index", object = node, key = self:expression() }
      self:need("]")
    else
      local arguments = self:arguments()
      if not arguments then
        return node
      end
      node = { is = "call", called = node, arguments = arguments }
    end
  end
end

function Parser:simple()
  local sign, token = self:peek()
  if token.kind == "literal" or WORDS[sign] then
    return literal(self:take())
  elseif sign == "{" then
    return self:constructor()
  elseif UNARY[sign] then
    self:take()
    return { is = "unary", operator = sign, operand = self:expression(BINDS) }
  end
  return self:suffixed()
end

-- An expression of operators that bind more than `least`.
function Parser:expression(least)
  local left = self:simple()
  while true do
    local operator = self:peek()
    local binds = BINARY[operator]
    if not binds or binds <= (least or 0) then
      return left
    end
    self:take()
    left = { is = "binary", operator = operator, left = left, right = self:expression(binds) }
  end
end

-- Statements ----------------------------------------------------------------------------------------------------------

local rows = {}

function rows.local_(p)
  local names = {}
  repeat
    names[#names + 1] = p:take()
    if p:accept("<") then
      p:take()
      p:need(">")
    end
  until not p:accept(",")
  return { is = "local", names = names, values = p:accept("=") and p:list() or {} }
end

function rows.if_(p)
  local node = { is = "if" }
  repeat
    local condition = p:expression()
    p:need("then")
    node[#node + 1] = { condition = condition, block = p:block() }
  until not p:accept("elseif")
  node.otherwise = p:accept("else") and p:block() or nil
  p:need("end")
  return node
end

function rows.while_(p)
  local condition = p:expression()
  p:need("do")
  local node = { is = "while", condition = condition, block = p:block() }
  p:need("end")
  return node
end

function rows.repeat_(p)
  local block = p:block()
  p:need("until")
  return { is = "repeat", block = block, condition = p:expression() }
end

function rows.for_(p)
  local names = { p:take() }
  while p:accept(",") do
    names[#names + 1] = p:take()
  end
  local counts = p:accept("=")
  if not counts then
    p:need("in")
  end
  local values = p:list()
  p:need("do")
  local node = { is = counts and "for" or "each", names = names, values = values, block = p:block() }
  p:need("end")
  return node
end

function rows.do_(p)
  local node = { is = "do", block = p:block() }
  p:need("end")
  return node
end

local ENDS <const> = { [""] = true, ["end"] = true, ["else"] = true, ["elseif"] = true, ["until"] = true }

function rows.return_(p)
  local sign = p:peek()
  local values = not ENDS[sign] and sign ~= ";" and p:list() or {}
  p:accept(";")
  return { is = "return", values = values }
end

function rows.break_() return { is = "break" } end
function rows.goto_(p) return { is = "goto", name = p:take() } end

rows["::"] = function(p)
  local name = p:take()
  p:need("::")
  return { is = "label", name = name }
end

function Parser:statement()
  local sign = self:peek()
  local row = sign and (rows[sign .. "_"] or rows[sign])
  if row then
    self:take()
    return row(self)
  end
  local first = self:suffixed()
  if first.is == "call" then
    return { is = "call", call = first }
  end
  local targets = { first }
  while self:accept(",") do
    targets[#targets + 1] = self:suffixed()
  end
  self:need("=")
  return { is = "assign", targets = targets, values = self:list() }
end

function Parser:block()
  local list = {}
  while not ENDS[self:peek()] do
    if not self:accept(";") then
      list[#list + 1] = self:statement()
    end
  end
  return list
end

-- The statements of a text. Raises { trace = message }.
function parse.block(text)
  local parser = setmetatable({ tokens = tokens_of(text), at = 1 }, Parser)
  local block = parser:block()
  parser:need("")
  return block
end

return parse

-- SPDX-License-Identifier: MIT
-- What people write who know bpftrace or C, and what to write here.
local titles = require("bpf.trace.infer.titles")

local habits = {}

-- Texts without their strings -----------------------------------------------------------------------------------------

-- The text with numbers in place of its strings, and a function that puts the strings back.
local function without_strings(text)
  local strings = {}
  local escaped = text:gsub("\\(.)", function(c) return ("\1%03d"):format(c:byte()) end)
  local bare = escaped:gsub("([\"'])([^\n]-)%1", function(quote, inside)
    strings[#strings + 1] = quote .. inside .. quote
    return ("\2%d\2"):format(#strings)
  end)
  return bare, function(changed)
    return (changed:gsub("\2([0-9]+)\2", function(n) return strings[tonumber(n)] end)
      :gsub("\1([0-9][0-9][0-9])", function(code) return "\\" .. string.char(tonumber(code)) end))
  end
end

-- Rewriting -----------------------------------------------------------------------------------------------------------

-- A call that gathers, with the keys behind its arguments: `@x[comm] = hist(n)` is x = hist(n, comm).
local function gathering(name, keys, word, arguments)
  local parts = { arguments:match("%S") and arguments or nil }
  parts[#parts + 1] = keys ~= "" and keys or nil
  return ("%s%s(%s)"):format(name ~= "" and name .. " = " or "", word, table.concat(parts, ", "))
end

-- An entry, whose key is a constructor where there are several.
local function entry(name, keys)
  name = name ~= "" and name or "x"
  return ("%s[%s]"):format(name, titles.parts("{" .. keys .. "}")[2] and "{" .. keys .. "}" or keys)
end

local function inside(brackets)
  return brackets:sub(2, -2):match("^%s*(.-)%s*$")
end

-- A block between braces, with the word that ends it here.
local function block(before, ending)
  return function(condition, body)
    return ("%s %s %s %s%s"):format(before, inside(condition), before == "if" and "then" or "do", inside(body), ending)
  end
end

local GATHERS <const> = { count = 1, sum = 1, avg = 1, min = 1, max = 1, stats = 1, hist = 1, lhist = 1 }

-- In this order: patterns and what stands in their place.
local REWRITINGS <const> = {
  { "^(%s*)//([^\n]*)", "%1--%2" }, { "([;{}\n]%s*)//([^\n]*)", "%1--%2" }, { "/%*.-%*/", "" },
  { "%->", "." }, { "%f[A-Za-z_]retval%f[^A-Za-z_0-9]", "ret" }, { "%f[A-Za-z_]curtask%f[^A-Za-z_0-9]", "task" },
  { "(args%.args%[)([0-9]+)", function(before, n) return before .. tonumber(n) + 1 end },
  { "delete%s*%(@([A-Za-z_0-9]*)%s*(%b[])%s*%)", function(name, keys)
    return entry(name, inside(keys)) .. " = nil"
  end },
  { "@([A-Za-z_0-9]*)(%b[])%s*=%s*([a-z]+)(%b())", function(name, keys, word, arguments)
    return GATHERS[word] and gathering(name, inside(keys), word, inside(arguments)) or nil
  end },
  { "@([A-Za-z_0-9]*)%s*=%s*([a-z]+)(%b())", function(name, word, arguments)
    return GATHERS[word] and gathering(name, "", word, inside(arguments)) or nil
  end },
  { "@([A-Za-z_0-9]*)%s*(%b[])", function(name, keys) return entry(name, inside(keys)) end },
  { "@([A-Za-z_])", "%1" }, { "@", "x" },
  { "([A-Za-z_][A-Za-z_0-9]*%b[])%+%+", "%1 = (%1 or 0) + 1" },
  { "([A-Za-z_][A-Za-z_0-9]*%b[])%s*([-+*|&])=%s*", "%1 = (%1 or 0) %2 " },
  { "(%$?[A-Za-z_][A-Za-z_0-9]*)%+%+", "%1 = %1 + 1" },
  { "(%$?[A-Za-z_][A-Za-z_0-9]*)%s*([-+*|&])=%s*", "%1 = %1 %2 " },
  { "!=", "~=" }, { "%s*&&%s*", " and " }, { "%s*||%s*", " or " }, { "!%s*", "not " },
  { "if%s*(%b())%s*(%b{})%s*else", block("if", " else") }, { "if%s*(%b())%s*(%b{})", block("if", " end") },
  { "else%s*(%b{})", function(body) return "else " .. inside(body) .. " end" end },
  { "while%s*(%b())%s*(%b{})", block("while", " end") },
  { "unroll%s*(%b())%s*(%b{})", function(n, body)
    return ("for i = 1, %s do %s end"):format(inside(n), inside(body))
  end },
  { "([^?;{}\n=(,]+)%?([^?:;]+):([^:;,)\n]+)", function(condition, a, b)
    return (condition .. " and " .. a .. " or " .. b):gsub("  +", " ")
  end },
  { "%f[A-Za-z_]time(%b())", 'printf("%%s", time%1)' }, { "strftime%(%s*([^,]-)%s*,%s*nsecs%s*%)", "time(%1)" },
  { "%f[A-Za-z_]join(%b())", "print(str%1)" }, { "%f[A-Za-z_]ntop%(", "ip(" },
  { "([A-Za-z_0-9%])])(%s*)/(%s*)%f[A-Za-z_0-9(]", "%1%2//%3" },
  { "%s*;%s*$", "" }, { "%s*;(%s)", "%1" },
}

-- A variable of one body is local from its first assignment on.
local function with_locals(text)
  local known = {}
  text = text:gsub("%$([A-Za-z_][A-Za-z_0-9]*%s*=%f[^=])", function(assigned)
    local name = assigned:match("^[A-Za-z_0-9]+")
    local first = not known[name]
    known[name] = true
    return (first and "local " or "") .. assigned
  end)
  return (text:gsub("%$([A-Za-z_])", "%1"))
end

--- A body as Lua, as far as it is written in bpftrace's language; or what stands behind some words of Lua (`before`).
-- Returns nil where what comes of it is no Lua.
function habits.rewritten(text, before)
  local bare, restored = without_strings(text:match("^%s*{(.*)}%s*$") or text)
  local filter, rest = bare:match("^%s*/([^*/].-)/%f[^/]%s*(.*)$")
  bare = filter and ("if (%s) {%s}"):format(filter, rest:match("^{(.*)}%s*$") or rest) or bare
  for _, rewriting in ipairs(REWRITINGS) do
    bare = bare:gsub(rewriting[1], rewriting[2])
  end
  local lua = restored(with_locals(bare)):match("^%s*(.-)%s*$")
  return load(("return function(args) %s%s\nend"):format(before or "", lua), "=body", "t", {}) and lua or nil
end

-- Messages ------------------------------------------------------------------------------------------------------------

local SIGNS <const> = {
  { "^%s*{", "a body isn't between braces" },
  { "/%*", "'/*' begins a comment in C, and -- in Lua" },
  { "^%s*//", "'//' divides in Lua, and -- begins a comment" },
  { "^%s*/.*/", "a filter isn't between slashes: --where EXPR is one for all probes, `if … then … end` for one" },
  { "@", "names need no '@'" },
  { "%$", "values of the shell's come in by the shell's own quotes; names need no '$'" },
  { "!=", "'!=' is ~= in Lua" },
  { "&&", "'&&' is `and` in Lua" },
  { "||", "'||' is `or` in Lua" },
  { "%+%+", "'x++' is x = x + 1 in Lua" },
  { "[-+*|&]=", "'x += n' is x = x + n in Lua" },
  { "%->", "'->' is '.' in Lua" },
  { "!", "'!' is `not` in Lua" },
  { "%?.*:", "'a ? b : c' is `a and b or c` in Lua" },
  { "if%s*%b()%s*{", "'if (…) { … }' is `if … then … end` in Lua" },
  { "[;{}\n]%s*//", "'//' divides in Lua, and -- begins a comment" },
}

--- What is said of a body that is no Lua, if it is written as in another language; and as Lua, if that can be told.
function habits.told(text, before)
  local bare = without_strings(text)
  for _, sign in ipairs(SIGNS) do
    if bare:find(sign[1]) then
      local lua = habits.rewritten(text, before)
      return sign[2] .. (lua and lua ~= "" and ". In Lua: " .. lua or "")
    end
  end
end

-- Programs ------------------------------------------------------------------------------------------------------------

local function quoted(word)
  return word:find("[^A-Za-z0-9_/:.,-]") and "'" .. word:gsub("'", "'\\''") .. "'" or word
end

local PERIODS <const> = { s = 1, ms = 1000, us = 1000000, hz = 0 }

-- A probe as it is called here. What prints or clears tables runs in the tool.
local function probe_of(text, body)
  local unit, n = text:match("^interval:([a-z]+):([0-9]+)$")
  local per = PERIODS[unit] or 0
  if per > 0 and (body:find("print%s*%(@") or body:find("clear%s*%(@")) then
    return ("every %s"):format(("%.6f"):format(n / per):gsub("%.?0+$", ""))
  end
  return (text:gsub("^BEGIN$", "begin"):gsub("^END$", "end"):gsub("%s+", ""))
end

--- The words of a line that does what a program of bpftrace's does, probes and bodies; nil where it is none.
function habits.line(program)
  local bare, restored = without_strings(program)
  local words, at = {}, bare:match("^%s*()")
  if bare:find("@%s*[,)]") then -- the table without a name gets one
    bare = bare:gsub("@([^A-Za-z_0-9])", "@x%1")
  end
  while at <= #bare do
    local head, body, after = bare:match("^([^{}]-)%s*(%b{})%s*()", at)
    if not head or not (head:find("^[A-Za-z_.]+[:/]") or head == "BEGIN" or head == "END") then
      return nil
    end
    local probes, filter = head:match("^(%S.-)%s+(/.*/)$")
    local text = restored((filter or "") .. " " .. body)
    local lua = habits.rewritten(filter and text or restored(body:sub(2, -2)))
    words[#words + 1] = quoted(probe_of(probes or head, body))
    words[#words + 1] = quoted(lua or restored(inside(body)))
    at = after
  end
  return words[1] and table.concat(words, " ")
end

return habits

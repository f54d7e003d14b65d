-- SPDX-License-Identifier: MIT
-- Usage: reference.lua src/*/*.c lua/bpf/*.lua lua/bpf/*/*.lua >docs/reference.md
-- Writes the reference: the sections of reference.head.md, each followed by the functions that belong to it, as their
-- doc blocks describe them: `/*** … */` with @function in C, `---` above the function in Lua.
-- Tags: @function name (several for synonyms; in Lua where no function statement follows), @in section (by default that
-- of the name: bpf.map of bpf.map.open), @tparam type name text, @param name text, @treturn type text,
-- @return text, @see name, name, @since text, @usage. A type or name with "?" in front is optional. Below a @tparam,
-- lines "- name: text" describe the fields of a table; below a @usage stands an example, which
-- spec/tree/reference_spec.lua runs unless "not run: reason" follows the tag.

local HEAD = arg[0]:gsub("%.lua$", ".head.md")
local NOTE = "<!-- Made by `make doc` from the sources and build-aux/reference.head.md: change those. -->"

-- Complaints are collected, so that one run shows all.
local bad = false
local function complain(block, ...)
  io.stderr:write(("%s:%d: "):format(block.path, block.line), string.format(...), "\n")
  bad = true
end

-- Finding blocks ------------------------------------------------------------------------------------------------------

-- Calls fn with each doc block of a C file: { path, line, lines }.
local function c_blocks(path, fn)
  local block
  local number = 0
  for line in io.lines(path) do
    number = number + 1
    local text = line:match("^/%*%*%*%s*(.*)$")
    if text then
      block = { path = path, line = number, lines = {} }
    end
    if block then
      text = text or line
      block.lines[#block.lines + 1] = text:gsub("%s*%*/%s*$", "")
      if text:find("%*/%s*$") then
        fn(block)
        block = nil
      end
    end
  end
end

-- The same for the blocks above the public functions of a Lua file, whose head names its @module.
local function lua_blocks(path, fn)
  local block, module
  local number = 0
  for line in io.lines(path) do
    number = number + 1
    local start, text = line:match("^%-%-%-%s?([^-].*)$"), line:match("^%-%-%s?(.*)$")
    if start then
      block = { path = path, line = number, lines = { start } }
    elseif block and text then
      module = text:match("^@module%s+(%S+)") or module
      block.lines[#block.lines + 1] = text
    elseif block then
      local mark, name, params = line:match("^function [%w_]+([.:])([%w_]+)%s*%((.*)%)$")
      local named = table.concat(block.lines, "\n"):find("\n@function ", 1, true)
      if module and name and not named then
        local owner = mark == ":" and module:match("[%w_]+$") or module -- a method is called by its class's short name
        block.name, block.params = owner .. mark .. name, params
      end
      if module and (name or named) then -- others are of use to us only
        fn(block)
      end
      block = nil
    end
  end
end

-- Reading blocks ------------------------------------------------------------------------------------------------------

local function trim(text)
  return (text:gsub("^%s+", ""):gsub("%s+$", ""))
end

-- Splits the lines of a block into its description and its tags: { tag, text, fields = { { name, text }, … } }.
local function split(block)
  local description, tags = {}, {}
  local tag, field
  for _, line in ipairs(block.lines) do
    local name, rest = line:match("^@(%a+)%s*(.*)$")
    local key, text = line:match("^%s*%- ([%w_, ]+): (.*)$")
    if name then
      tag, field = { tag = name, text = rest, fields = {} }, nil
      tags[#tags + 1] = tag
    elseif not tag then
      description[#description + 1] = line
    elseif tag.tag == "usage" then
      tag.code = (tag.code and tag.code .. "\n" or "") .. line
    elseif key then
      field = { name = key, text = text }
      tag.fields[#tag.fields + 1] = field
    else
      local part = field or tag
      part.text = trim(part.text .. " " .. trim(line))
    end
  end
  return trim(table.concat(description, "\n")), tags
end

-- What each tag adds to the function.
local readers = {}

readers["function"] = function(_, fn, tag)
  fn.names[#fn.names + 1] = tag.text
end

readers["in"] = function(_, fn, tag)
  fn.section = tag.text
end

local function parameter(block, fn, tag, kind, name, text)
  if not name then
    return complain(block, "@%s %s: a name is missing", tag.tag, tag.text)
  end
  local optional = (kind or name):find("^%?") ~= nil
  fn.params[#fn.params + 1] = {
    name = name:gsub("^%?", ""),
    type = kind and kind:gsub("^%?", ""),
    optional = optional,
    text = text,
    fields = tag.fields,
  }
end

function readers.tparam(block, fn, tag)
  parameter(block, fn, tag, tag.text:match("^(%S+)%s+([%w_.]+)%s*(.*)$"))
end

function readers.param(block, fn, tag)
  parameter(block, fn, tag, nil, tag.text:match("^(%??[%w_.]+)%s*(.*)$"))
end

function readers.treturn(block, fn, tag)
  local kind, text = tag.text:match("^(%S+)%s*(.*)$")
  if not kind then
    return complain(block, "@treturn: a type is missing")
  end
  fn.returns[#fn.returns + 1] = { type = kind, text = text }
end

readers["return"] = function(_, fn, tag)
  fn.returns[#fn.returns + 1] = { text = tag.text }
end

function readers.see(_, fn, tag)
  for name in tag.text:gmatch("[^%s,]+") do
    fn.see[#fn.see + 1] = name
  end
end

function readers.since(_, fn, tag)
  fn.since = tag.text
end

function readers.usage(block, fn, tag)
  if not tag.code then
    return complain(block, "@usage: the example is missing")
  end
  fn.usage = tag.code:gsub("%s+$", "")
  fn.unrun = tag.text ~= "" and tag.text or nil
end

local sections, section_of = {}, {} -- in the order of the head; by name

-- The section of a function: bpf.map of "bpf.map.open", bpf.object of "object:load".
local function home(name)
  local class = name:match("^([%w_]+):[%w_]+$")
  return class and "bpf." .. class or name:match("^([%w_.]+)%.[%w_]+$")
end

local function add(block)
  local fn = { names = {}, params = {}, returns = {}, see = {} }
  local tags
  fn.description, tags = split(block)
  for _, tag in ipairs(tags) do
    local reader = readers[tag.tag]
    if reader then
      reader(block, fn, tag)
    else
      complain(block, "@%s means nothing here", tag.tag)
    end
  end
  if block.name then
    fn.names[1] = block.name
    local names = {}
    for i, param in ipairs(fn.params) do
      names[i] = param.name
    end
    if table.concat(names, ", ") ~= block.params then
      complain(block, "%s has the parameters (%s), documented are (%s)", block.name, block.params,
        table.concat(names, ", "))
    end
  end
  if not fn.names[1] then
    complain(block, "@function is missing")
  elseif fn.description == "" then
    complain(block, "%s is not described", fn.names[1])
  end
  for i, name in ipairs(fn.names) do
    local of = fn.section or home(name) or ""
    local section = section_of[of]
    if not section then
      complain(block, "%s belongs to no section; begin it in %s with '## %s: …'", name, HEAD, of)
    elseif section.functions[name] then
      complain(block, "%s is described twice", name)
    else
      section.functions[name] = i == 1 and fn or { alias = fn.names[1], params = fn.params }
      section.names[#section.names + 1] = name
    end
  end
end

-- Writing -------------------------------------------------------------------------------------------------------------

local anchors = {} -- of functions and sections, by name
local taken = {}

-- The anchor that GitHub gives a heading; the second one of the same name ends in "-1".
local function anchor(heading)
  local text = heading:lower():gsub("[^%w%s_-]", ""):gsub(" ", "-")
  local count = taken[text] or 0
  taken[text] = count + 1
  return count > 0 and ("%s-%d"):format(text, count) or text
end

local function link(name, text)
  return anchors[name] and ("[%s](#%s)"):format(text or name, anchors[name])
end

-- Plain text as Markdown: what stands between backquotes stays, names of functions become links.
local function markdown(text)
  return (text:gsub("([^`]*)(`?[^`]*`?)", function(plain, code)
    plain = plain:gsub("[<*]", "\\%0"):gsub("%f[%w_]_+", function(run)
      return ("\\_"):rep(#run)
    end)
    return plain:gsub("[%w_]+[.:][%w_.:]*[%w_]", link) .. code
  end))
end

-- The same for a description of several lines, where indented ones are code.
local function prose(text)
  local lines = {}
  for line in (text .. "\n"):gmatch("(.-)\n") do
    lines[#lines + 1] = line:find("^    ") and line or markdown(line)
  end
  return table.concat(lines, "\n")
end

-- The types of "string|bpf.map" and "{table,...}" in words.
local function types(kind)
  local item = kind:match("^{(.*),%.%.%.}$")
  if item then
    return "sequence of " .. types(item) .. "s"
  end
  local words = {}
  for word in kind:gmatch("[^|]+") do
    words[#words + 1] = section_of[word] and link("## " .. word, word) or word
  end
  return (table.concat(words, ", "):gsub(", ([^,]*)$", " or %1"))
end

-- "bpf.map.lookup (m, key [, flags])"
local function signature(name, params)
  local text, closing = "", ""
  for i, param in ipairs(params) do
    local comma = i > 1 and ", " or ""
    if param.optional then
      text = ("%s%s[%s%s"):format(text, i > 1 and " " or "", comma, param.name)
      closing = closing .. "]"
    else
      text = text .. comma .. param.name
    end
  end
  return ("%s (%s%s)"):format(name, text, closing)
end

-- What is returned: `true`, `nil, message, code`, or a type.
local function returned(kind)
  if kind == "true" then
    return "`true`"
  end
  local first, rest = kind:match("^(%a+),(.*)$")
  if not first then
    local optional = kind:match("^%?(.*)$")
    return types(optional or kind) .. (optional and " or nil" or "")
  end
  local names = first == "nil" and { "message", "code", "log" } or { "code" }
  local text, i = "`" .. first, 0
  for _ in rest:gmatch("[^,]+") do
    i = i + 1
    text = ("%s, %s"):format(text, names[i] or "…")
  end
  return text .. "`"
end

local output = {}
local function write(...)
  output[#output + 1] = string.format(...)
end

local function joined(head, text)
  if not head or text == "" then
    return markdown(head or text)
  end
  return head .. ((text:find("^on ") or text:find("^when ")) and " " or ": ") .. markdown(text)
end

local function write_params(params)
  for _, param in ipairs(params) do
    local notes = { param.type and types(param.type) }
    notes[#notes + 1] = param.optional and "optional" or nil
    write("- `%s`%s%s", param.name, notes[1] and (" (%s)"):format(table.concat(notes, ", ")) or "",
      param.text ~= "" and ": " .. markdown(param.text) or "")
    for _, field in ipairs(param.fields) do
      write("  - `%s`: %s", field.name:gsub(", ", "`, `"), markdown(field.text))
    end
  end
end

local function write_function(name, fn)
  write("### %s\n", name)
  write("**`%s`**\n", signature(name, fn.params))
  if fn.alias then
    write("The same as %s.\n", link(fn.alias))
    return
  end
  write("%s\n", prose(fn.description))
  if fn.params[1] then
    write_params(fn.params)
    write("")
  end
  if fn.returns[1] then
    write("Returns\n")
    for _, value in ipairs(fn.returns) do
      write("- %s", joined(value.type and returned(value.type), value.text))
    end
    write("")
  end
  if fn.usage then
    write("Example\n")
    if fn.unrun then
      write("<!-- %s -->\n", fn.unrun)
    end
    write("```lua\n%s\n```\n", fn.usage)
  end
  local notes = {}
  if fn.see[1] then
    local names = {}
    for i, see in ipairs(fn.see) do
      names[i] = link(see) or ("`%s`"):format(see)
    end
    notes[1] = ("See %s."):format(table.concat(names, ", "))
  end
  notes[#notes + 1] = fn.since and ("Since %s."):format(fn.since)
  if notes[1] then
    write("%s\n", table.concat(notes, " "))
  end
end

-- The parts together --------------------------------------------------------------------------------------------------

do
  local section = { lines = {}, names = {}, functions = {} }
  sections[1] = section
  local code = false
  for line in io.lines(HEAD) do
    code = code ~= (line:find("^```") ~= nil)
    local heading = not code and line:match("^## (.*)$")
    if heading then
      section = { heading = heading, lines = {}, names = {}, functions = {} }
      sections[#sections + 1] = section
      local name = heading:match("^(bpf[%w_.]*): ")
      if name then
        section_of[name] = section
        section.name = name
      end
    end
    section.lines[#section.lines + 1] = line
  end
end

for _, path in ipairs(arg) do
  if path:find("%.lua$") then
    lua_blocks(path, add)
  else
    c_blocks(path, add)
  end
end
if bad then
  os.exit(1)
end

for _, section in ipairs(sections) do
  table.sort(section.names)
  local code = false
  for _, line in ipairs(section.lines) do
    code = code ~= (line:find("^```") ~= nil)
    local heading = not code and line:match("^#+ (.*)$")
    if heading then
      local at = anchor(heading)
      if section.name and heading == section.heading then
        anchors["## " .. section.name] = at
      end
    end
  end
  for _, name in ipairs(section.names) do
    anchors[name] = anchor(name)
  end
end

write("%s", NOTE)
for _, section in ipairs(sections) do
  write("%s", trim(table.concat(section.lines, "\n")) .. "\n")
  local links = {}
  for i, name in ipairs(section.names) do
    links[i] = link(name, name:match("[%w_]+$"))
  end
  if links[1] then
    write("%s\n", table.concat(links, " · "))
  end
  for _, name in ipairs(section.names) do
    write_function(name, section.functions[name])
  end
end

local text = trim(table.concat(output, "\n"))
local known = {}
for base, count in pairs(taken) do
  for i = 1, count do
    known[i == 1 and base or ("%s-%d"):format(base, i - 1)] = true
  end
end
for target in text:gmatch("%]%(#(.-)%)") do
  if not known[target] then
    io.stderr:write(("%s: there is no #%s to link to\n"):format(HEAD, target))
    os.exit(1)
  end
end
print(text)

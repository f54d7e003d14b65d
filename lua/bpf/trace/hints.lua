-- SPDX-License-Identifier: MIT
-- What bodies do that is allowed, and hardly meant. Each is told as a warning, with what to write instead.
local sorted = require("bpf.base.sorted")

local hints = {}

-- Whether a text assigns to an entry what it calculates of the entry itself: n[comm] = n[comm] + 1.
local function counts(text, entry)
  local _, stop = text:find(entry .. "%s*=%f[^=]%s*" .. entry .. "%s*[-+*|&]")
  return stop ~= nil
end

-- Tables that never get an entry, because all bodies that store one calculate with one before: it is absent, which ends
-- the body each time.
local function never_begun(shared, list)
  for _, name in ipairs(sorted.keys(shared)) do
    local row = shared[name]
    if row.never then
      local entry = ("%s[%s]"):format(name, row.written and row.written.key or "key")
      local what = counts(row.never.text, entry:gsub("%p", "%%%0")) and ": write (%s or 0), or count(…)"
        or ", before anything is stored: write if %s then … end around what it calculates"
      list[#list + 1] = ("%s: %s is absent at first, which ends the body here"):format(row.never.title, entry)
        .. what:format(entry)
    end
  end
end

-- Arguments that are addresses of text, and are printed or counted as such.
local function printed_addresses(bodies, list)
  local told = {}
  for _, body in ipairs(bodies) do
    for word, name in body.text:gmatch("([A-Za-z_]*[(,])%s*args%.([A-Za-z_0-9]+)%s*%f[,)]") do
      local type = (body.arguments or {})[name]
      local is_text = type and type.kind == "pointer" and (type.type == "char" or type.type == "const char")
      if is_text and word ~= "str(" and word ~= "buf(" and not told[name] then
        told[name] = true
        list[#list + 1] = ("%s: args.%s is an address: str(args.%s) is the text there"):format(body.title, name, name)
      end
    end
  end
end

-- Whether anything of a trace is printed.
local function prints_nothing(bodies, shared, list)
  for _, body in ipairs(bodies) do
    if body.tool or body.text:find("print") or body.text:find("exit", 1, true) then
      return
    end
  end
  local name = sorted.keys(shared)[1]
  local instead = name and ("end 'print(%s)' prints what '%s' holds"):format(name, name)
  list[#list + 1] = "nothing will be printed: " .. (instead or "count(comm) counts, print(comm) prints")
end

-- Sentences about the bodies of a trace. `gathers`: whether any of them does; `shared`: what they share, by name.
function hints.of(bodies, gathers, shared)
  local list = {}
  never_begun(shared, list)
  printed_addresses(bodies, list)
  if not gathers then
    prints_nothing(bodies, shared, list)
  end
  return list
end

return hints

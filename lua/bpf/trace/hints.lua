-- SPDX-License-Identifier: MIT
-- What bodies do that is allowed, and hardly meant. Each is told as a warning, with what to write instead.

local hints = {}

-- Calls fn(name, index, value) for each assignment `name[index] = value` in a text; the value goes to the line's end.
local function each_assignment(text, fn)
  local at = 1
  repeat
    local first, last, name, index = text:find("([A-Za-z_][A-Za-z0-9_]*)(%b[])%s*=", at)
    if first and text:sub(last + 1, last + 1) ~= "=" then
      fn(name, index, text:match("^%s*([^\n]*)", last + 1))
    end
    at = last and last + 1
  until not first
  for name, member in text:gmatch("([A-Za-z_][A-Za-z0-9_]*)(%.[A-Za-z_0-9]+)%s*=%f[^=]") do
    fn(name, member, "")
  end
end

-- Tables whose only values come of their own entries: all of those are absent, which ends the body each time.
local function never_begun(bodies, list)
  local own, begun = {}, {}
  for _, body in ipairs(bodies) do
    each_assignment(body.text, function(name, index, value)
      local before = value:match("^" .. name .. "(%b[])%s*[-+*|&]")
      if before ~= index then
        begun[name] = true
      elseif not own[name] then
        own[name] = ("%s: %s%s is absent at first, which ends the body here: write (%s%s or 0), or count(…)")
          :format(body.title, name, index, name, index)
        own[#own + 1] = name
      end
    end)
  end
  for _, name in ipairs(own) do
    list[#list + 1] = not begun[name] and own[name] or nil
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

-- Whether anything of a trace is printed. `shared` has the names of what its bodies share.
local function prints_nothing(bodies, shared, list)
  for _, body in ipairs(bodies) do
    if body.tool or body.text:find("print") or body.text:find("exit", 1, true) then
      return
    end
  end
  local name = shared[1]
  local instead = name and ("end 'print(%s)' prints what '%s' holds"):format(name, name)
  list[#list + 1] = "nothing will be printed: " .. (instead or "count(comm) counts, print(comm) prints")
end

-- Sentences about the bodies of a trace. `gathers`: whether any of them does; `shared`: a sequence of names.
function hints.of(bodies, gathers, shared)
  local list = {}
  never_begun(bodies, list)
  printed_addresses(bodies, list)
  if not gathers then
    prints_nothing(bodies, shared, list)
  end
  return list
end

return hints

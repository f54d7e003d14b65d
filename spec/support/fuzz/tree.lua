-- SPDX-License-Identifier: MIT
-- Programs as trees, which can be written as Lua and made smaller. A node is a list of strings and nodes, with a sort:
-- "integer", "condition", "text" or "optional" (expressions of that type), "statement", or "block" (whose list has
-- statements only). A node with `fixed` set stays when the program is made smaller.
local tree = {}

function tree.node(sort, ...)
  return { sort = sort, ... }
end

-- Writing -------------------------------------------------------------------------------------------------------------

local function write(node, indent, out)
  if node.sort == "block" then
    local inner = node.outermost and indent or indent .. "  "
    for _, statement in ipairs(node) do
      out[#out + 1] = "\n" .. inner
      write(statement, inner, out)
    end
    out[#out + 1] = "\n" .. indent
    return
  end
  for _, part in ipairs(node) do
    if type(part) == "string" then
      out[#out + 1] = part
    else
      write(part, indent, out)
    end
  end
end

-- The program's text.
function tree.text(node)
  local out = {}
  write(node, "", out)
  return table.concat(out):gsub("^\n", "")
end

-- Making smaller ------------------------------------------------------------------------------------------------------

-- What may stand for any expression of a sort.
local SIMPLEST = {
  integer = { "0", "1", "x" },
  condition = { "true", "false" },
  text = { '"a"' },
  optional = { "nil", "1" },
}

-- The nearest nodes below one that have a sort.
local function below(node, sort, list)
  for _, part in ipairs(node) do
    if type(part) == "table" then
      if part.sort == sort then
        list[#list + 1] = part
      else
        below(part, sort, list)
      end
    end
  end
  return list
end

-- What may stand for a node, the smallest first.
local function replacements(node)
  local list = {}
  for _, text in ipairs(SIMPLEST[node.sort] or {}) do
    if #node == 1 and node[1] == text then
      return list -- it is that simple already
    end
    list[#list + 1] = tree.node(node.sort, text)
  end
  if node.sort == "statement" then
    for _, block in ipairs(below(node, "block", {})) do
      list[#list + 1] = tree.node("statement", "do", block, "end")
    end
    return node[1] == "do" and {} or list
  end
  for _, part in ipairs(below(node, node.sort, {})) do
    list[#list + 1] = part
  end
  return list
end

-- Tries each smaller program below a node, and keeps those of which `fails` says that they still fail. Returns whether
-- there was one.
local function shrink_below(node, fails)
  local shrunk = false
  local i = 1
  while i <= #node do
    local part = node[i]
    if type(part) == "table" then
      local removed = node.sort == "block" and not part.fixed and table.remove(node, i)
      if removed and fails() then
        shrunk = true
        goto continue -- what comes next is at i now
      elseif removed then
        table.insert(node, i, removed)
      end
      for _, other in ipairs(part.fixed and {} or replacements(part)) do
        node[i] = other
        if fails() then
          shrunk = true
          break
        end
        node[i] = part
      end
      shrunk = shrink_below(node[i], fails) or shrunk
    end
    i = i + 1
    ::continue::
  end
  return shrunk
end

-- Makes a program smaller in place, as long as `fails` returns true of what is left.
function tree.shrink(root, fails)
  repeat until not shrink_below(root, fails)
end

return tree

-- SPDX-License-Identifier: MIT
-- The ways between the blocks of a function of the intermediate code: fewer blocks, and shorter ways through them.

local fold = require("bpf.program.fold")

local blocks = {}

local LONGEST <const> = 50 -- steps of what may go round and round

local holds, INVERSE = fold.holds, fold.INVERSE
local integer = math.type

-- Whether a block is nothing but `exit` with an integer.
local function is_constant_exit(block)
  return #block.instructions == 0 and block.terminator.op == "exit" and integer(block.terminator.a)
end

-- By block: how many ways lead there from blocks that can be reached.
local function count_ways(f)
  local ways, pending = { [f.blocks[1]] = 1 }, { f.blocks[1] }
  local function add(block)
    if block and not ways[block] then
      pending[#pending + 1] = block
    end
    if block then
      ways[block] = (ways[block] or 0) + 1
    end
  end
  while #pending > 0 do
    local terminator = assert(table.remove(pending).terminator, "a block without an end")
    add(terminator.yes)
    add(terminator.no)
  end
  return ways
end

-- Removes the blocks that nothing reaches. What several blocks share as their end goes behind the others. Returns how
-- many ways lead to each block.
function blocks.keep_reachable(f)
  local ways = count_ways(f)
  local kept, ends = {}, {}
  for _, block in ipairs(f.blocks) do
    if ways[block] then
      local list = ways[block] > 1 and is_constant_exit(block) and #kept > 0 and ends or kept
      list[#list + 1] = block
    end
  end
  table.move(ends, 1, #ends, #kept + 1, kept)
  for id, block in ipairs(kept) do
    block.id = id
  end
  f.blocks = kept
  return ways
end

-- Lets a block jump instead of branch.
function blocks.make_jump(block, target)
  block.terminator = { op = "jump", yes = target, line = block.terminator.line, uses = {} }
end

-- Whether a branch is taken if a block with nothing else follows: true, false, or nil where that isn't known. What is
-- known at the end of the block before are integers in registers, and what its own branch has found out.
local function decide(branch, known, before, condition)
  local a, b = branch.a, branch.b
  local x = integer(a) and a or known[a.id]
  local y = integer(b) and b or known[b.id]
  if condition and before.a == a then
    if before.b == b and condition == branch.condition then
      return true
    elseif before.b == b and INVERSE[condition] == branch.condition then
      return false
    elseif condition == "eq" and integer(before.b) then
      x = before.b
    end
  end
  if integer(x) and integer(y) then
    return holds(branch.condition, x, y)
  end
  return nil
end

-- Where the way from a block to the target leads, past blocks without instructions. `exits` has the first such
-- block for each value that it ends the function with.
local function follow(block, target, condition, exits)
  for _ = 1, LONGEST do
    local t = target.terminator
    if #target.instructions > 0 then
      return target
    elseif t.op == "jump" then
      target = t.yes
    elseif t.op == "branch" then
      local taken = decide(t, block.known, block.terminator, condition)
      if taken == nil then
        return target
      end
      target = taken and t.yes or t.no
    else
      local first = exits[t.a] or target
      exits[t.a] = first
      return first
    end
  end
  return target
end

-- Lets jumps and branches lead where the way ends. Returns whether anything changed.
function blocks.thread(f)
  local changed, exits = false, {}
  for _, block in ipairs(f.blocks) do
    local t = block.terminator
    if t.yes then
      local condition = t.condition
      local yes = follow(block, t.yes, condition, exits)
      local no = t.no and follow(block, t.no, INVERSE[condition], exits)
      changed = changed or yes ~= t.yes or no ~= t.no
      t.yes, t.no = yes, no
      if yes == no then
        blocks.make_jump(block, yes)
        changed = true
      end
    end
  end
  return changed
end

-- Joins blocks to the only one that leads to them, and drops those that nothing reaches. Returns whether it did either.
function blocks.join(f)
  local before = #f.blocks
  local ways, gone = blocks.keep_reachable(f), {}
  for _, block in ipairs(f.blocks) do
    local target = block.terminator.yes
    while not gone[block] and block.terminator.op == "jump" and ways[target] == 1 and target ~= block do
      table.move(target.instructions, 1, #target.instructions, #block.instructions + 1, block.instructions)
      block.terminator = target.terminator
      gone[target] = true
      target = target.terminator.yes
    end
  end
  if next(gone) then
    blocks.keep_reachable(f)
  end
  return #f.blocks < before
end

-- The only instruction of a block if it puts an integer into a register and the block then jumps; or nil.
local function only_move(block)
  local i = block.instructions[1]
  if #block.instructions == 1 and i.op == "move" and integer(i.a) and block.terminator.op == "jump" then
    return i
  end
  return nil
end

-- Lets blocks that end with a branch do themselves what one of both ways does, if that is nothing but to put an integer
-- into a register that the other way defines itself: `d = 0; if … then d = x end` has one jump less than both ways
-- with their own. Needs liveness, and keeps it; `is_live_in` is what that returned.
function blocks.hoist(f, is_live_in)
  local changed, ways = false, nil
  for _, block in ipairs(f.blocks) do
    local t = block.terminator
    for _, way in ipairs(t.op == "branch" and { "no", "yes" } or {}) do
      local i = only_move(t[way])
      local other = t[way == "no" and "yes" or "no"]
      if i and i.d ~= t.a and i.d ~= t.b and not is_live_in(other, i.d) and other ~= t[way] then
        ways = ways or count_ways(f)
        if ways[t[way]] == 1 then
          block.instructions[#block.instructions + 1] = i
          block.live_out[#block.live_out + 1] = i.d
          t[way] = t[way].terminator.yes
          changed = true
          break
        end
      end
    end
  end
  if changed then
    blocks.keep_reachable(f)
  end
end

return blocks

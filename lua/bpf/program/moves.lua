-- SPDX-License-Identifier: MIT
-- Moves between registers that count as happening at once: in an order in which none destroys what another still reads.
local moves = {}

local RESULT <const> = 0

-- Moves one register of a circle out of the way.
local function break_circle(code, list, wanted)
  for _, move in ipairs(list) do
    local from = move[2]
    if not move.done then
      code:move(RESULT, from)
      for _, other in ipairs(list) do
        if not other.done and other[2] == from then
          other[2] = RESULT
          wanted[RESULT] = (wanted[RESULT] or 0) + 1
        end
      end
      wanted[from] = 0
      return
    end
  end
end

-- Moves to registers what is in others, all at once, by code's `move`. `list` has { to, from } of each; r0 has to be
-- free, and is no destination.
function moves.put(code, list)
  local wanted = {} -- how many moves still read a register
  for _, move in ipairs(list) do
    wanted[move[2]] = (wanted[move[2]] or 0) + 1
  end
  local left = #list
  while left > 0 do
    local before = left
    for _, move in ipairs(list) do
      local to, from = move[1], move[2]
      if not move.done and (to == from or (wanted[to] or 0) == 0) then
        code:move(to, from)
        wanted[from] = wanted[from] - 1
        move.done, left = true, left - 1
      end
    end
    if left == before then
      break_circle(code, list, wanted)
    end
  end
end

return moves

-- SPDX-License-Identifier: MIT
-- Loops. A numeric `for` whose number of rounds is known to be small is a loop of BPF, which the verifier follows round
-- by round. Any other, and `pairs(map)`, hands its body to the kernel as a callback.
local Compiler = require("bpf.program.compiler")
local ops = require("bpf.program.ops")
local values = require("bpf.program.values")

-- More rounds than that would cost the verifier too much.
local FEW <const> = 4096

-- The most rounds that a loop makes, or nil if that isn't known.
local function rounds(first, limit, step)
  local from, to = first, limit
  if step < 0 then
    from, to = limit, first
  end
  local low, high = math.type(from.r) and from.r, values.most(to)
  if not low or not high then
    return nil
  elseif low > high then
    return 0
  end
  local distance = high - low
  return distance >= 0 and distance // math.abs(step) + 1 or nil
end

local function read_for(c, i, s)
  c:integer(s[i.A], "the initial value of 'for'")
  c:integer(s[i.A + 1], "the limit of 'for'")
  local step = c:integer(s[i.A + 2], "the step of 'for'")
  if not math.type(step) then
    c:fail("the step of 'for' must be a constant")
  elseif step == 0 then
    c:fail("the step of 'for' is zero")
  end
  return s[i.A], s[i.A + 1], step
end

-- Whether a loop within is a function of its own: before Linux 6.8 the verifier takes the rounds of a loop around a
-- callback for the same, and the loop for an endless one.
local function has_outlined(c, from, to)
  for pc = from, to do
    if c.outlined[pc] then
      return true
    end
  end
  return false
end

-- Goes on by whether a value is within the limit. A limit that isn't a number stands at the left: before Linux 6.8 the
-- verifier foresees no comparison of a number with what it knows the bounds of, only the reverse.
function Compiler:branch_by_limit(step, value, limit, ...)
  if math.type(limit) then
    return self:branch(step > 0 and "sle" or "sge", value, limit, ...)
  end
  local f = self.f
  local r = math.type(value) and f:move(f:register(), value) or value
  self:branch(step > 0 and "sge" or "sle", limit, r, ...)
end

function ops.FORPREP(c, i, s, pc)
  local first, limit, step = read_for(c, i, s)
  local exit = pc + 1 + i.Bx + 1
  local most = rounds(first, limit, step)
  if c.outlined[pc] then
    return c:outlined_for(i, pc, first, limit, step)
  elseif not (most and most <= FEW) or has_outlined(c, pc + 1, pc + i.Bx) then
    c.outlined[pc] = true
    error({ restart = true })
  end
  local inside = values.copy_state(s)
  c.steps[pc] = step
  inside[i.first] = first
  c:branch_by_limit(step, first.r, limit.r, pc + 1, inside, exit, values.copy_state(s))
end

-- Whether a value one step beyond the limit is one of 64 bits: limits that aren't numbers are small.
local function has_next(limit, step)
  return not math.type(limit) or (limit + step > limit) == (step > 0)
end

-- The next value is compared with the limit, or, where it might overflow, the last one with the last but one.
function ops.FORLOOP(c, i, s, pc)
  local f = c.f
  local step, value, limit = c.steps[pc - i.Bx], s[i.A], s[i.A + 1].r
  local again, out = values.copy_state(s), values.copy_state(s)
  local next_value
  if math.type(value.r) then
    next_value = values.constant(value.r + step)
  else
    next_value = values.integer(f:alu("add", value.r, step), step > 0 and value.positive)
  end
  again[i.A], again[i.first] = next_value, next_value
  if not has_next(limit, step) then
    return c:branch_by_limit(step, value.r, limit - step, pc + 1 - i.Bx, again, pc + 1, out)
  end
  c:branch_by_limit(step, next_value.r, limit, pc + 1 - i.Bx, again, pc + 1, out)
end

-- pairs(map) ----------------------------------------------------------------------------------------------------------

function ops.TFORPREP(c, i, s, pc)
  local walk = s[i.A]
  if walk.kind ~= "walk" then
    c:fail("'for … in' walks over pairs(map) only, in a program")
  end
  local call = pc + 1 + i.Bx
  c:callback {
    from = pc + 1, to = call - 1, next = call, exit = call + 2, base = i.A, map = walk.map,
    key = c.proto.code[call].first, value = c.proto.code[call].first + 1,
  }
end

-- A `for` by bpf_loop -------------------------------------------------------------------------------------------------

-- How many rounds: (limit - first) // step + 1, or 0 if the first value is beyond the limit. If the verifier knew of a
-- 0, it would never look at the callback, and throw it away while the call stands (EFAULT).
local function count_rounds(c, first, limit, step)
  local f = c.f
  local n = f:move(f:register(), f:unknown())
  local a = f:move(f:register(), first)
  c:when(step > 0 and "sle" or "sge", a, limit, function()
    local distance
    if step > 0 then
      distance = f:alu("sub", f:move(f:register(), limit), a)
    else
      distance = f:alu("sub", a, limit)
    end
    distance = math.abs(step) > 1 and f:alu("div", distance, math.abs(step)) or distance
    f:move(n, f:alu("add", distance, 1))
  end)
  return n
end

function Compiler:outlined_for(i, pc, first, limit, step)
  local exit = pc + 1 + i.Bx + 1
  self:need("loop", "a loop whose number of rounds isn't known to be small", "write 'for i = 1, math.min(n, 100)'")
  self:callback {
    from = pc + 1, to = exit - 2, next = exit - 1, exit = exit, base = i.A, index = i.first,
    rounds = count_rounds(self, first.r, limit.r, step), first = first, step = step,
  }
end

return Compiler

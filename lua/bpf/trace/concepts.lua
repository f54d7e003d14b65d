-- SPDX-License-Identifier: MIT
-- What gathers, a row for each word: what an entry holds on each CPU, how a program adds to it, how the CPUs' parts
-- become one, and which columns a table of it has.
local concepts = {}

-- In a program --------------------------------------------------------------------------------------------------------
-- An entry is a sequence of members of 8 bytes, by their offsets. CPUs have their own, but a program may be interrupted
-- by another one on its CPU: what is added is added in one instruction.

local function add(c, entry, offset, n)
  local f = c.f
  f:atomic("add", entry, offset, 8, math.type(n) and f:move(f:register(), n) or n)
end

-- Stores n where it is the first value, or where it takes the place of what is there by the condition.
local function extreme(c, entry, offset, n, condition)
  local f = c.f
  local first, compare, set, behind = f:load(entry, 0, 8), f:block(), f:block(), f:block()
  f:branch("eq", first, 0, set, compare)
  f:start(compare)
  f:branch(condition, n, f:load(entry, offset, 8), set, behind)
  f:start(set)
  f:store(entry, offset, 8, n)
  f:jump(behind)
  f:start(behind)
end

-- 1 where a register isn't 0.
local function nonzero(f, r)
  return f:alu("rsh", f:alu("or", r, f:alu("neg", r, 0)), 63)
end

-- The bucket of a number, without a branch, so that the verifier has one path only: 0 below zero, 1 of zero, and 2 + k
-- from 2^k on.
local function log2_bucket(c, n)
  local f = c.f
  local x, bucket = n, 1
  for shift = 5, 0, -1 do
    local bits = 1 << shift
    local above = f:alu("rsh", f:alu("sub", f:move(f:register(), (1 << bits) - 1), x), 63)
    above = f:alu("lsh", above, shift)
    bucket = bucket == 1 and above or f:alu("or", bucket, above)
    x = f:alu("rsh", x, above)
  end
  bucket = f:alu("add", f:alu("add", bucket, 1), nonzero(f, n))
  local negative = f:alu("arsh", n, 63)
  return f:alu("and", bucket, f:alu("xor", negative, -1))
end

-- How many steps there are; the buckets 0 and steps + 1 have what is below and above.
local function steps_of(limits)
  return (limits.last - limits.first + limits.step - 1) // limits.step
end

local function linear_bucket(c, n, limits)
  local f = c.f
  local bucket = f:move(f:register(), 0)
  c:when("sge", n, limits.first, function()
    local from_first = limits.first == 0 and n or f:alu("sub", n, limits.first)
    f:move(bucket, f:alu("add", f:alu("div", from_first, limits.step), 1))
  end)
  c:when("sge", n, limits.last, function() f:move(bucket, steps_of(limits) + 1) end)
  return bucket
end

-- In the tool ---------------------------------------------------------------------------------------------------------

-- The sum of a member over all CPUs.
local function total(values, member)
  local sum = 0
  for _, v in ipairs(values) do
    sum = sum + v[member]
  end
  return sum
end

-- The least or the greatest of a member, on the CPUs that have seen a value.
local function best(values, member, better)
  local found
  for _, v in ipairs(values) do
    if v.count > 0 and (not found or better(v[member], found)) then
      found = v[member]
    end
  end
  return found
end

local function less(a, b) return a < b end
local function greater(a, b) return a > b end

local function mean(values)
  return total(values, "sum") // total(values, "count")
end

-- The rows ------------------------------------------------------------------------------------------------------------
-- members: of an entry, the first one counts, so that an entry without any values has zeros
-- value: whether there is a value in front of the keys
-- columns: name, field in JSON, and what it is of the CPUs' parts; the first is what rows are sorted by
-- share: whether the column is a share of a whole, which a bar shows

concepts.count = {
  members = { "count" },
  step = function(c, entry) add(c, entry, 0, 1) end,
  columns = { { name = "COUNT", field = "count", of = function(v) return total(v, "count") end, number = true } },
  share = true,
}

concepts.sum = {
  members = { "count", "sum" }, value = true,
  step = function(c, entry, n)
    add(c, entry, 8, n)
    add(c, entry, 0, 1)
  end,
  columns = { { name = "SUM", field = "sum", of = function(v) return total(v, "sum") end } },
  share = true,
}

concepts.avg = {
  members = { "count", "sum" }, value = true, step = concepts.sum.step,
  columns = {
    { name = "AVG", field = "avg", of = mean },
    { name = "COUNT", field = "count", of = function(v) return total(v, "count") end, number = true },
  },
}

concepts.min = {
  members = { "count", "min" }, value = true,
  step = function(c, entry, n)
    extreme(c, entry, 8, n, "slt")
    add(c, entry, 0, 1)
  end,
  columns = { { name = "MIN", field = "min", of = function(v) return best(v, "min", less) end } },
}

concepts.max = {
  members = { "count", "max" }, value = true,
  step = function(c, entry, n)
    extreme(c, entry, 8, n, "sgt")
    add(c, entry, 0, 1)
  end,
  columns = { { name = "MAX", field = "max", of = function(v) return best(v, "max", greater) end } },
}

concepts.stats = {
  members = { "count", "sum", "min", "max" }, value = true,
  step = function(c, entry, n)
    add(c, entry, 8, n)
    extreme(c, entry, 16, n, "slt")
    extreme(c, entry, 24, n, "sgt")
    add(c, entry, 0, 1)
  end,
  columns = {
    { name = "COUNT", field = "count", of = function(v) return total(v, "count") end, number = true },
    { name = "AVG", field = "avg", of = mean },
    { name = "MIN", field = "min", of = function(v) return best(v, "min", less) end },
    { name = "MAX", field = "max", of = function(v) return best(v, "max", greater) end },
    { name = "TOTAL", field = "sum", of = function(v) return total(v, "sum") end },
  },
}

-- Histograms: `buckets` tells how many there are, `bucket` finds that of a value, `edges` gives from and to, of which
-- nil is without end.

concepts.hist = {
  members = { "count" }, value = true, step = concepts.count.step,
  buckets = function() return 65 end,
  bucket = log2_bucket,
  edges = function(n)
    if n == 0 then
      return nil, 0
    elseif n == 1 then
      return 0, 1
    end
    return 1 << (n - 2), n < 64 and 1 << (n - 1) or nil
  end,
}

concepts.lhist = {
  members = { "count" }, value = true, step = concepts.count.step, constants = { "first", "last", "step" },
  buckets = function(limits) return steps_of(limits) + 2 end,
  bucket = linear_bucket,
  edges = function(n, limits)
    local steps = steps_of(limits)
    if n == 0 then
      return nil, limits.first
    elseif n > steps then
      return limits.last, nil
    end
    local from = limits.first + (n - 1) * limits.step
    return from, math.min(from + limits.step, limits.last)
  end,
}

return concepts

-- SPDX-License-Identifier: MIT
-- What tables could not keep: counted by programs, by table and by why, and told at the end.
local core = require("bpf.core")
local counted = require("bpf.base.number").counted
local declared = require("bpf.program.declared")

local losses = {}

local LOOKUP <const> = 1 -- the helper's number

-- Why the kernel refuses an entry: its error, and what a sentence says of it. The last row is for all other errors.
local CAUSES <const> = {
  { code = -7, text = "as the table was full (%d entries): give it fewer keys, or clear it in `every`" }, -- E2BIG
  { code = -12, text = "as the kernel had no memory for so many new entries at once: give it fewer keys" }, -- ENOMEM
  { code = -16, text = "as the event came in the middle of a change of the same table on its CPU" }, -- EBUSY
  { text = "as the kernel refused them" },
}
local OTHERS <const> = #CAUSES

-- The map that counts for so many tables.
function losses.declare(count)
  return declared.declare {
    type = "percpu_array", name = "gather_lost", value = "__u64", max_entries = count * #CAUSES,
  }
end

local function add_one(c, m, key)
  local f = c.f
  local r = f:call(LOOKUP, c:map_reference(m), { object = key, offset = 0 })
  c:when("ne", r, 0, function() f:atomic("add", r, 0, 8, f:move(f:register(), 1)) end)
  f:release(key)
end

-- Compiles the counting of a value that a table, by its number, could not keep. `why` is the register that has the
-- kernel's error.
function losses.count(c, m, number, why)
  local f, key = c.f, c.f:object(8)
  why = f:alu("arsh", f:alu("lsh", why, 32), 32) -- older kernels leave the upper half open
  local cause = f:move(f:register(), (number - 1) * #CAUSES + OTHERS - 1)
  for n = 1, OTHERS - 1 do
    c:when("eq", why, CAUSES[n].code, function() f:move(cause, (number - 1) * #CAUSES + n - 1) end)
  end
  f:store(key, 0, 4, cause)
  add_one(c, m, key)
end

-- A function that compiles the counting of what shared tables could not keep: `numbers` has those of maps.
function losses.counter(m, numbers)
  return function(c, map, why)
    local number = numbers[map]
    if number then
      c:when("ne", why, 0, function() losses.count(c, m, number, why) end)
    end
  end
end

-- Numbers bodies. Returns a function that compiles, for each of them, the counting of runs that a division by 0 ends.
function losses.divisions(bodies)
  local m = declared.declare {
    type = "percpu_array", name = "trace_divided", value = "__u64", max_entries = math.max(#bodies, 1),
  }
  for n, body in ipairs(bodies) do
    body.order = n - 1
  end
  return function(c)
    local key = c.f:object(8)
    c.f:store(key, 0, 4, c.f:move(c.f:register(), c.root.traced.order))
    add_one(c, m, key)
  end
end

-- Adds to a list of sentences how many runs of bodies a division by 0 ended, as `m` counts them, nil if none divides.
function losses.tell_divisions(list, m, bodies)
  for _, body in ipairs(m and bodies or {}) do
    local count = core.map.sum(m, body.order)
    if count and count > 0 then
      list[#list + 1] = ("%s: %s ended by a division by 0: test the divisor before"):format(body.title,
        counted(count, "run of the body was", "runs of the body were"))
    end
  end
end

-- Adds what a table lost to a list of sentences.
function losses.tell(list, m, number, name, entries)
  for n, cause in ipairs(CAUSES) do
    local count = core.map.sum(m, (number - 1) * #CAUSES + n - 1)
    if count and count > 0 then
      local values = counted(count, "value was", "values were")
      list[#list + 1] = ("%s: %s lost, %s"):format(name, values, cause.text:format(entries))
    end
  end
end

return losses

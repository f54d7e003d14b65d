-- SPDX-License-Identifier: MIT
--- Rates of counters: what the values of a map have grown by between two looks, by the time between them.
-- @module bpf.map
local core = require("bpf.core")
local argument = require("bpf.base.argument")

local error = argument.error
local map = core.map

local rates = {}

-- Types of maps whose values are numbers and structs of them → whether there is a value for each CPU.
local PER_CPU <const> = {
  hash = false, array = false, lru_hash = false, lpm_trie = false, cgroup_storage = false,
  percpu_hash = true, percpu_array = true, lru_percpu_hash = true, percpu_cgroup_storage = true,
}

-- An integer as the number that its 64 bits are without a sign.
local function unsigned(n)
  return n >= 0 and n or n + 2.0 ^ 64
end

-- How much a counter has grown. One that is lower than before has wrapped around where its range explains that by a
-- growth of less than half of it. Else it has begun anew.
local function grown_64(before, now)
  return unsigned(math.ult(now, before) and now or now - before)
end

local function grown_below(range)
  return function(before, now)
    if now >= before then
      return now - before
    end
    local wrapped = now - before + range
    return wrapped >= 0 and wrapped < range // 2 and wrapped or now
  end
end

local function difference(before, now)
  return now - before
end

local rate_of

-- The function (before, now, seconds) for a struct, an array, a number, or what is no number and stays as it is.
local makers = {}

function makers.unsigned(layout)
  local bits = layout.bits or 8 * layout.size
  local grown = bits < 64 and grown_below(1 << bits) or grown_64
  return function(before, now, seconds)
    return grown(before or 0, now) / seconds
  end
end

function makers.signed()
  return function(before, now, seconds)
    return difference(before or 0, now) / seconds
  end
end

makers.float = makers.signed

function makers.array(layout)
  local element, counts = rate_of(layout.element)
  return function(before, now, seconds)
    local list = {}
    for i = 1, #now do
      list[i] = element(before and before[i], now[i], seconds)
    end
    return list
  end, counts
end

function makers.struct(layout)
  local members, counts = {}, false
  for i, member in ipairs(layout) do
    local rate, has_number = rate_of(member)
    members[i], counts = { name = member.name, rate = rate }, counts or has_number
  end
  return function(before, now, seconds)
    local values = {}
    for _, member in ipairs(members) do
      local name = member.name
      values[name] = member.rate(before and before[name], now[name], seconds)
    end
    return values
  end, counts
end

-- The function for a layout, and whether there is a number in it.
function rate_of(layout)
  local make = makers[layout.kind]
  if not make then
    return function(_, now) return now end, false
  end
  local rate, counts = make(layout)
  return rate, counts == nil or counts
end

-- A key as a value that is the same for the same key: the bytes, where a table stands for them.
local function identity(key)
  return function(k)
    return type(k) == "table" and key:encode(k) or k
  end
end

-- All entries: their keys in order, and the values by the keys' identity.
local function look(each, m, id_of)
  local keys, ids, values, n = {}, {}, {}, 0
  for k, v in each(m) do
    n = n + 1
    local id = id_of(k)
    keys[n], ids[n], values[id] = k, id, v
  end
  return keys, ids, values
end

-- The same. An error, such as that the map is closed, has the line of the script, which called our caller.
local function look_for_script(...)
  local ok, keys, ids, values = pcall(look, ...)
  if not ok then
    error((tostring(keys):gsub("^.-:%d+: ", "", 1)), 3)
  end
  return keys, ids, values
end

--- Returns a function for the rates of the counters in a map. Each call of the function looks at all entries, and
-- returns an iterator over the keys and what their values have grown by per second since the look before. The first
-- look is that of map.rates.
--
-- - Structs and arrays become tables of rates. What is no number, as a text, stays as it is. To leave members out, pass
--   a column of the map.
-- - The values of a per-CPU map are added up, as by `map.sums`.
-- - An entry that is new has grown from zero. An entry that was deleted is not returned.
-- - An unsigned counter that is lower than before has begun anew, and has grown from zero. If it has less than 64 bits,
--   and growth by less than half of its range explains the value, it has wrapped around. Signed numbers and floats may
--   fall, which is a negative rate.
-- @function bpf.map.rates
-- @tparam bpf.map m whose values have numbers
-- @treturn function returns an iterator: `for k, per_second in rates() do`
-- @usage
-- local hits <close> = assert(bpf.map.create { type = "hash", max_entries = 64, key = "__u32", value = "__u64" })
-- local rates = bpf.map.rates(hits)
-- hits[80] = 500
-- bpf.sleep(0.1)
-- for port, per_second in rates() do
--   print(("port %d: %.0f/s"):format(port, per_second)) --> port 80: 49…/s
-- end
function rates.rates(m)
  local kind = map.type(m)
  if not kind then
    argument.check(1, "rates", m, "bpf.map", 2)
  end
  local open, key, value = pcall(map.types, m)
  if not open then
    error((tostring(key):gsub("^.-:%d+: ", "", 1)), 2)
  elseif PER_CPU[kind] == nil then
    error(("map.rates: a map of type %s has no counters"):format(kind), 2)
  end
  local rate, counts = rate_of(value:layout())
  if not counts then
    error(("map.rates: the map's values, %s, have no numbers"):format(value:name()), 2)
  end
  local each, id_of = PER_CPU[kind] and map.sums or pairs, identity(key)
  local at = core.clock()
  local _, _, before = look_for_script(each, m, id_of)
  return function()
    local now = core.clock()
    local keys, ids, values = look_for_script(each, m, id_of)
    local last, seconds, i = before, math.max(now - at, 1) / 1e9, 0
    before, at = values, now
    return function()
      i = i + 1
      local id = ids[i]
      if id ~= nil then
        return keys[i], rate(last[id], values[id], seconds)
      end
    end
  end
end

return rates

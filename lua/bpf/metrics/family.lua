-- SPDX-License-Identifier: MIT
-- One metric: what it was declared as, and its series, read from its map and written.

local core = require("bpf.core")
local error = require("bpf.base.argument").error
local check = require("bpf.metrics.options")
local labels = require("bpf.metrics.labels")
local text = require("bpf.metrics.text")

local map_type, member = core.map.type, labels.member

local families = {}

-- Entries -------------------------------------------------------------------------------------------------------------

-- The entries of a per-CPU map, one for each CPU, whose number is the third value. Keys are what `reader`, if there is
-- one, makes of them.
local function by_cpu(reader, step, state, control, closing)
  local key, values, cpu = control, {}, 0
  return function()
    if cpu == #values then
      key, values = step(state, key)
      if key == nil then
        return nil
      end
      cpu = 0
    end
    cpu = cpu + 1
    return reader and reader(key) or key, values[cpu], cpu - 1
  end, nil, nil, closing
end

-- Goes over what a metric is made of: the entries of a map or table, or what a function returns.
local function entries(family)
  local map = family.map
  map = type(map) == "function" and map() or map
  if map == nil then
    return function(read, last)
      if last == nil then
        return true, read()
      end
    end, family.read, nil
  end
  local per_cpu, reader = labels.is_per_cpu(map), labels.reader(map)
  if per_cpu and family.by_cpu then
    return by_cpu(reader, pairs(map))
  end
  local walk = per_cpu and core.map.sums or pairs
  if not reader then
    return walk(map)
  end
  local step, state, last, closing = walk(map)
  return function(s)
    local value
    last, value = step(s, last)
    return reader(last), value
  end, state, nil, closing
end

-- Values --------------------------------------------------------------------------------------------------------------

-- The function that multiplies by a number. One divided by a whole number divides: 1e-9 is none of the machine's
-- numbers, 1e9 is, and so the results are those that people expect.
local function scaling(factor)
  local whole = math.tointeger(1 / factor + 0.5 - (1 / factor + 0.5) % 1)
  if factor < 1 and whole and math.abs(1 / factor - whole) < 1e-9 * whole then
    return function(x) return x / whole end
  end
  return function(x) return x * factor end
end

-- A value as a number, in the metric's unit.
local function scaled(family, value)
  if type(value) == "boolean" then
    value = value and 1 or 0
  elseif type(value) ~= "number" then
    local advice = type(value) == "table" and "; name a member of it" or ""
    error(("the value is no number but a %s%s"):format(type(value), advice), 0)
  end
  if family.scale then
    return family.scale(family.kind == "gauge" and value or text.to_float(value))
  end
  return value
end

-- Counters and gauges. One series is a number.
local Number = {}

function Number.take(family, series, value, key)
  value = family.get(value, key)
  if value == nil then
    return series
  end
  value = scaled(family, value)
  return series and series + value or value
end

function Number.write(family, out, names, series)
  if math.type(series) ~= "integer" or series < 0 then
    series = text.number(series, family.kind == "counter")
  end
  if names == "" then
    out:add(family.sample .. " " .. series .. "\n")
  else
    out:add(family.sample .. "{" .. names .. "} " .. series .. "\n")
  end
end

-- Histograms. One series is a table of counts by slot, and the sum.
local Histogram = {}

-- The upper bounds of the slots, as text; nil for those below the first.
local function bounds_of(family, last)
  if family.le_last ~= last then
    local le, bounds, scale = {}, family.bounds, family.scale
    for slot = family.first, last do
      local bound
      if bounds == "log2" then -- whole numbers below 2^(slot + 1), or what was cut to such
        bound = scale and scale(2.0 ^ (slot + 1)) or 2.0 ^ (slot + 1) - 1
      elseif type(bounds) == "function" then
        bound = bounds(slot) + 0.0
      else
        bound = bounds[slot + 1] + 0.0
      end
      le[slot] = text.float(bound)
    end
    family.le, family.le_last = le, last
  end
  return family.le
end

-- The last slot that has a bound of its own.
local function last_slot(family, slots)
  return family.last or type(family.bounds) == "table" and #family.bounds - 1 or slots - 2
end

local function new_series(family)
  return { sum = (family.sum or family.sum_slot) and 0, slots = 0 }
end

-- Adds what a slot has.
local function add_slot(family, series, slot, n)
  if type(n) ~= "number" then
    error(("a slot's count is no number but a %s"):format(type(n)), 0)
  elseif slot == family.sum_slot then
    series.sum = series.sum + scaled(family, n)
  else
    series[slot] = (series[slot] or 0) + n
    series.slots = math.max(series.slots, slot + 1)
  end
end

local function take_entry(family, series, value, key)
  local slot = family.slot(key, value)
  local n = slot ~= nil and family.get(value, key) or nil
  if n == nil then
    return
  elseif math.type(slot) ~= "integer" or slot < 0 or slot > 65535 then
    error(("%s is no number of a slot"):format(tostring(slot)), 0)
  end
  series = series or new_series(family)
  add_slot(family, series, slot, n)
  return series
end

local function take_buckets(family, series, value, key)
  local slots = family.get(value, key)
  if slots == nil then
    return
  elseif type(slots) ~= "table" then
    error(("the buckets are a %s, not a sequence"):format(type(slots)), 0)
  end
  series = series or new_series(family)
  for i = 1, #slots do
    add_slot(family, series, i - 1, slots[i])
  end
  local sum = family.sum and family.sum(value, key)
  if sum ~= nil then
    series.sum = series.sum + scaled(family, sum)
  end
  return series
end

-- What a function returns nil for is left out.
function Histogram.take(family, series, value, key)
  return (family.slot and take_entry or take_buckets)(family, series, value, key) or series
end

function Histogram.write(family, out, names, series)
  local last = last_slot(family, family.map_slots or series.slots)
  local le, total = bounds_of(family, last), 0
  local lead = names == "" and "" or names .. ","
  for slot = 0, math.min(family.first - 1, last) do
    total = total + (series[slot] or 0)
  end
  for slot = family.first, last do
    total = total + (series[slot] or 0)
    out:add(('%s_bucket{%sle="%s"} %s\n'):format(family.name, lead, le[slot], text.number(total, true)))
  end
  for slot = last + 1, series.slots - 1 do
    total = total + (series[slot] or 0)
  end
  total = text.number(total, true)
  out:add(('%s_bucket{%sle="+Inf"} %s\n'):format(family.name, lead, total))
  names = names == "" and "" or "{" .. names .. "}"
  if series.sum then
    out:add(("%s_sum%s %s\n"):format(family.name, names, text.number(series.sum, true)))
  end
  if series.sum or not out.openmetrics then -- OpenMetrics has no count without a sum
    out:add(("%s_count%s %s\n"):format(family.name, names, total))
  end
end

-- Series --------------------------------------------------------------------------------------------------------------

-- Writes series as they come.
local function write_each(family, out, tally, key, value, cpu)
  local names = labels.text(family, key, value, cpu)
  local series = names and family.form.take(family, nil, value, key)
  if series == nil or not names then
    return
  elseif tally.series >= family.max_series then
    tally.dropped = tally.dropped + 1
    return
  end
  family.form.write(family, out, names, series)
  tally.series = tally.series + 1
end

-- Adds up entries that have the same labels.
local function gather(family, tally, all, order, key, value, cpu)
  local names = labels.text(family, key, value, cpu)
  if not names then
    return
  elseif all[names] == nil and tally.series >= family.max_series then
    tally.dropped = tally.dropped + 1
    return
  end
  local before = all[names]
  local series = family.form.take(family, before, value, key)
  all[names] = series
  if before == nil and series ~= nil then
    tally.series = tally.series + 1
    order[tally.series] = names
  end
end

-- An entry of several with the same labels is told only with the others, so a walk that fails tells nothing of them.
function families.collect(family, out, tally)
  local all, order = {}, {}
  for key, value, cpu in entries(family) do
    if tally.each == nil then
      tally.each = not family.slot and labels.distinct(family, key)
    end
    if tally.each then
      write_each(family, out, tally, key, value, cpu)
    else
      gather(family, tally, all, order, key, value, cpu)
    end
  end
  for i = 1, #order do
    family.form.write(family, out, order[i], all[order[i]])
  end
end

-- Writes what goes before the series.
function families.head(family, out)
  local name = out.openmetrics and family.name or family.sample
  local help = family.help and ("# HELP %s %s\n"):format(name, text.help(family.help, out.openmetrics)) or ""
  local unit = out.openmetrics and family.unit and ("# UNIT %s %s\n"):format(name, family.unit) or ""
  out:add(("%s# TYPE %s %s\n%s"):format(help, name, family.kind, unit))
end

-- Declaring -----------------------------------------------------------------------------------------------------------

local COMMON = {
  name = "string", help = "string", unit = "string", map = "userdata or table or function", labels = "table",
  value = check.PATH, scale = check.NUMBER, max_series = "integer",
}
local HISTOGRAM = setmetatable({
  buckets = check.PATH, slot = check.PATH .. " or boolean", sum = check.PATH, bounds = "string or table or function",
  first = "integer", last = "integer", sum_slot = "integer",
}, { __index = COMMON })

-- The whole name: with the prefix, and the unit at its end.
local function full_name(fname, kind, prefix, options, level)
  local name, unit = options.name, options.unit
  if not name then
    error(("%s: a name is missing"):format(fname), level + 1)
  end
  name = prefix .. (kind == "counter" and name:gsub("_total$", "") or name)
  if unit and name:sub(-#unit - 1) ~= "_" .. unit then
    name = name .. "_" .. unit
  end
  if not name:find("^[A-Za-z_:][A-Za-z0-9_:]*$") then
    error(("%s: '%s' can't be a metric's name"):format(fname, name), level + 1)
  end
  return name
end

local function identity(value)
  return value
end

-- What the entries come from: a map, a table, or a function without any.
local function check_source(fname, options, level)
  local map, value = options.map, options.value
  if map == nil and type(value) ~= "function" then
    error(("%s: a map is missing, or a function as value"):format(fname), level + 1)
  elseif type(map) == "userdata" and not map_type(map) then
    error(("%s: option 'map' must be a map or a table, got something else"):format(fname), level + 1)
  elseif map == nil and options.labels and #options.labels > 0 then
    error(("%s: labels are of a map, and there is none"):format(fname), level + 1)
  end
end

-- A metric, of what all kinds have in common.
local function common(kind, known, options, defaults, level)
  local fname = "metrics:" .. kind
  check.check(fname, options, known, level + 1)
  check_source(fname, options, level + 1)
  local map, value = options.map, options.value
  local name = full_name(fname, kind, defaults.prefix, options, level + 1)
  local family = {
    kind = kind, name = name, sample = kind == "counter" and name .. "_total" or name, help = options.help,
    unit = options.unit, map = map, scale = options.scale and scaling(options.scale),
    max_series = options.max_series or defaults.max_series, errors = 0, scratch = {}, form = Number,
    read = map == nil and value or nil, get = map ~= nil and value ~= nil and member("value", value) or identity,
  }
  local key_example, value_example = labels.examples(map)
  labels.read(fname, family, options.labels, key_example, value_example, level + 1)
  return family, key_example, value_example
end

-- Raises for a metric that can't be made of its map's values, as far as an example tells.
local function try(family, options, key, value, level)
  for _, name in ipairs { "value", "buckets", "slot", "sum" } do
    if type(options[name]) == "function" then
      return
    end
  end
  if value ~= nil then
    local ok, problem = pcall(family.form.take, family, nil, value, key)
    if not ok then
      error(("metrics:%s: %s"):format(family.kind, problem), level + 1)
    end
  end
end

-- A counter or a gauge.
function families.number(kind, options, defaults, level)
  local family, key, value = common(kind, COMMON, options, defaults, level + 1)
  try(family, options, key, value, level + 1)
  return family
end

-- Checks what only histograms have.
local function check_histogram(options, level)
  local bounds, last, problem = options.bounds, options.last, nil
  if type(bounds) == "string" and bounds ~= "log2" then
    problem = ("bounds '%s' are unknown: \"log2\", a sequence or a function"):format(bounds)
  elseif type(bounds) == "table" then
    for i, bound in ipairs(bounds) do
      if type(bound) ~= "number" or i > 1 and bound <= bounds[i - 1] then
        problem = "bounds must be numbers in ascending order"
      end
    end
    problem = problem or #bounds <= (last or 0) and "there are too few bounds" or nil
  end
  if options.slot and (options.buckets ~= nil or options.sum ~= nil) then
    problem = "where the key has the slot, there are no buckets and no sum in the value; sum_slot names a slot"
  elseif options.sum_slot and (options.sum ~= nil or options.sum_slot < 0) then
    problem = "sum_slot is the number of the slot with the sum, in place of the option 'sum'"
  elseif options.slot and options.map == nil then
    problem = "where the key has the slot, there must be a map"
  elseif not options.slot and options.map ~= nil and options.value ~= nil then
    problem = "the counts are the option 'buckets'"
  elseif options.slot and type(bounds) == "function" and not last then
    problem = "bounds by a function need the last slot"
  end
  if problem then
    error("metrics:histogram: " .. problem, level + 1)
  end
end

-- How many slots a map has whose keys are their numbers: those of an array, up to the one with the sum, or of the
-- logarithms of 64 bits.
local function slots_of(map, slot, sum_slot)
  local is_array = slot == true and (map_type(map) or ""):find("array", 1, true)
  local n = is_array and core.map.info(map).max_entries or 64
  return math.min(n, sum_slot or n)
end

function families.histogram(options, defaults, level)
  local family, key, value = common("histogram", HISTOGRAM, options, defaults, level + 1)
  check_histogram(options, level + 1)
  local slot = options.slot or nil
  family.form, family.bounds = Histogram, options.bounds or "log2"
  family.first, family.last = options.first or 0, options.last
  family.sum, family.sum_slot = options.sum ~= nil and member("value", options.sum) or nil, options.sum_slot
  if slot then
    family.slot = slot == true and identity or member("key", slot)
    family.map_slots = slots_of(options.map, slot, options.sum_slot)
  elseif options.buckets ~= nil then
    family.get = member("value", options.buckets)
  end
  try(family, options, key, value, level + 1)
  return family
end

return families

-- SPDX-License-Identifier: MIT
--- Text for a terminal: histograms, tables, numbers with units. Pure functions that return strings.
-- @module bpf.hist

local core = require("bpf.core")
local argument = require("bpf.base.argument")
local error = argument.error
local display = require("bpf.hist.display")
local numbers = require("bpf.hist.number")
local options_of = require("bpf.hist.options").check
local terminal = require("bpf.hist.terminal")
local units = require("bpf.base.units")

local hist = {
  bytes = numbers.bytes, number = numbers.number, time = numbers.time,
  height = terminal.height, progress = terminal.progress, terminal = terminal.terminal, utf8 = terminal.utf8,
  width = terminal.width,
  line = display.line, table = require("bpf.hist.table").table,
}

local EIGHTHS = { "▏", "▎", "▍", "▌", "▋", "▊", "▉" }

--- Returns a bar whose length is the share of a value in the maximum, not padded.
-- @tparam number value
-- @tparam number max the value that fills the width; any value above 0 shows at least a little
-- @tparam integer width in columns
-- @tparam ?boolean unicode true draws with eighths of a block, false with "#"; by default the locale says
-- @treturn string
-- @usage
-- print(hist.bar(50, 100, 10, false)) -- #####
function hist.bar(value, max, width, unicode)
  argument.check(1, "bar", value, "number")
  argument.check(2, "bar", max, "number")
  argument.check(3, "bar", width, "number")
  if unicode == nil then
    unicode = hist.utf8()
  end
  if value <= 0 or max <= 0 or width <= 0 then
    return ""
  end
  local part = math.min(value / max, 1)
  if not unicode then
    return ("#"):rep(math.max(math.floor(part * width + 0.5), 1))
  end
  local eighths = math.max(math.floor(part * width * 8 + 0.5), 1)
  return ("█"):rep(eighths // 8) .. (EIGHTHS[eighths % 8] or "")
end

-- The bucket counts as a table keyed from 0, and the first and last that hold anything.
local function buckets_of(fname, counts, first, most)
  local buckets, low, high = {}, nil, nil
  for key, count in pairs(counts) do
    local i = math.type(key) == "integer" and key - first
    if not i or i < 0 or i >= most then
      error(("%s: there is no bucket %s (%d to %d)"):format(fname, tostring(key), first, first + most - 1), 4)
    end
    if type(count) == "table" then -- per-CPU counts
      local sum = 0
      for _, n in ipairs(count) do
        sum = sum + n
      end
      count = sum
    end
    if type(count) ~= "number" then
      error(("%s: bucket %d must be a number, got %s"):format(fname, key, type(count)), 4)
    end
    buckets[i] = count
    if count > 0 then
      low, high = math.min(low or i, i), math.max(high or i, i)
    end
  end
  return buckets, low, high
end

-- Draws buckets, whose edges the function `edge` gives by the bucket's number, counted from 0.
local function draw(fname, counts, options, most, edge)
  local unit, width, unicode = options.unit and display.clean(options.unit), options.width or hist.width(), options.utf8
  if unicode == nil then
    unicode = hist.utf8()
  end
  local first = options.first or (type(counts) == "table" and 1 or 0)
  local buckets, low, high = buckets_of(fname, counts, first, most)
  local lines = { options.title and display.cut(display.clean(options.title), width, display.ellipsis(unicode)) }
  if not low then
    lines[#lines + 1] = "(no values)"
    return table.concat(lines, "\n")
  end
  local from, to, count = {}, {}, {}
  local from_width, to_width, count_width, max = 0, 0, 0, 0
  for i = low, high do
    from[i] = units.with(edge(i), unit)
    to[i] = units.with(edge(i + 1), unit)
    count[i] = units.count(buckets[i] or 0)
    from_width = math.max(from_width, display.width(from[i]))
    to_width = math.max(to_width, display.width(to[i]))
    count_width = math.max(count_width, #count[i])
    max = math.max(max, buckets[i] or 0)
  end
  local dash, bar_edge = unicode and "–" or "-", unicode and "│" or "|"
  local bar_width = math.max(width - from_width - to_width - count_width - 9, 1)
  for i = low, high do
    lines[#lines + 1] = ("  %s %s %s  %s %s%s"):format(display.pad(from[i], from_width, true), dash,
      display.pad(to[i], to_width, true), display.pad(count[i], count_width, true), bar_edge,
      hist.bar(buckets[i] or 0, max, bar_width, unicode))
  end
  return table.concat(lines, "\n")
end

local function check_counts(fname, counts)
  if type(counts) ~= "table" and not core.map.type(counts) then
    error(("bad argument #1 to '%s' (table or map expected, got %s)"):format(fname, type(counts)), 3)
  end
end

local HISTOGRAM <const> = { unit = "string", title = "string", width = "number", first = "number", utf8 = "boolean" }

--- Returns a histogram whose buckets double: bucket i counts the values in [2^i, 2^(i+1)), and the first bucket those
-- of 0 and 1. Empty buckets at both ends are left out.
-- @tparam table|bpf.map counts a sequence, as an array of BPF C is read, where `counts[1]` is the bucket of 0 and 1; or
-- an array map, per CPU or not, where that bucket has the key 0
-- @tparam ?table options
-- - unit: the unit of the values: "ns", "us", "ms", "s", "B", or any word to print after the number
-- - title: a line above the histogram
-- - width: the width of the whole, by default `hist.width()`
-- - first: the key of the first bucket, by default 1, and 0 for a map
-- - utf8: whether to draw with eighths of a block or "#", by default as the locale says
-- @treturn string lines, without a newline at the end; "(no values)" if all buckets are empty
-- @usage
-- local latency = { 0, 3, 12, 7 } -- as obj.vars.latency is read, with __u64 latency[64]
-- print(hist.log2(latency, { title = "Latency", unit = "ns" }))
function hist.log2(counts, options)
  check_counts("log2", counts)
  local text = draw("log2", counts, options_of("log2", 2, options, HISTOGRAM), 64, function(i)
    return i == 0 and 0 or 2.0 ^ i
  end)
  return text -- see hist.linear
end

--- Returns a histogram whose buckets are equally wide: bucket i counts the values in [from + i * step, from + (i + 1) *
-- step). Empty buckets at both ends are left out.
-- @tparam table|bpf.map counts as for `hist.log2`; at most 4096 buckets
-- @tparam ?table options those of `hist.log2`, and
-- - step: the width of a bucket, by default 1
-- - from: where the first bucket begins, by default 0
-- @treturn string lines, without a newline at the end; "(no values)" if all buckets are empty
-- @usage
-- print(hist.linear({ 5, 20, 3 }, { step = 100, unit = "B" }))
function hist.linear(counts, options)
  check_counts("linear", counts)
  local known = { step = "number", from = "number" }
  for name, kind in pairs(HISTOGRAM) do
    known[name] = kind
  end
  options = options_of("linear", 2, options, known)
  local step, from = options.step or 1, options.from or 0
  if step <= 0 then
    error("linear: option 'step' must be greater than 0", 2)
  end
  local text = draw("linear", counts, options, 4096, function(i)
    return from + i * step
  end)
  return text -- no tail call, which would take the place of this function where errors look for its caller
end

return hist

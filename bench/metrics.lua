-- SPDX-License-Identifier: MIT
-- Measures a scrape of 100,000 series beside a C loop that reads the same map in batches and prints the same text. Run
-- by `make bench`; as root, and after `make bench` has built what it needs, `lua5.4 bench/metrics.lua`.
if not package.searchpath("bpf.core", package.cpath) then
  package.path = "lua/?.lua;lua/?/init.lua;" .. package.path
  package.cpath = "build/release/?.so;" .. package.cpath
end
package.path = "bench/support/?.lua;" .. package.path

local bpf = require "bpf"
local measure = require "measure"

local map, clock = bpf.map, os.clock
local SERIES <const> = 100000

local calls = assert(map.create {
  type = "hash", name = "bench", key = "__be32", value = "__u64", max_entries = SERIES,
})
assert(map.update_batch(calls, function(_, k)
  k = k + 1
  if k < SERIES then
    return k, k * k
  end
end, nil, -1))

local function declared(decode)
  return bpf.metrics.new({ prefix = "bench", max_series = SERIES }):counter {
    name = "calls", map = calls, labels = { { "address", decode = decode } },
  }
end

-- Writes into the void what C writes there.
local function scrape(metrics)
  local file <close> = assert(io.open("/dev/null", "w"))
  file:setvbuf "no"
  local start = clock()
  local n = assert(metrics:write(function(chunk) return file:write(chunk) end))
  local time = clock() - start
  assert(n == SERIES, n)
  return time
end

-- A row's prepare function: nanoseconds for a series.
local function by_series(decode)
  return function()
    local metrics = declared(decode)
    return function() return scrape(metrics) * 1e9 / SERIES end, "text " .. map.info(calls).id
  end
end

-- The most memory in use at the end of a chunk, beyond what was before, in KiB.
local function peak(decode)
  return function()
    local metrics = declared(decode)
    return function()
      collectgarbage()
      local before, most = collectgarbage "count", 0
      metrics:write(function() most = math.max(most, collectgarbage "count") end)
      return most - before
    end
  end
end

local function same(address) -- a function of the user's: its texts might be the same, so entries are gathered
  return bpf.metrics.decode.ipv4(address)
end

measure.pin()
measure.run({
  { name = "scrape of 100,000, a series", target = { ratio = 3.5 }, prepare = by_series "ipv4" },
  { name = "  gathered by their labels", prepare = by_series(same) },
  { name = "scrape of 100,000: peak", unit = "KiB", runs = 3, target = { max = 512 }, prepare = peak "ipv4" },
  { name = "  gathered by their labels: peak", unit = "KiB", runs = 3, prepare = peak(same) },
}, arg[1] or "")

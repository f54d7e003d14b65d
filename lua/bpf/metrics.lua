-- SPDX-License-Identifier: MIT
--- Maps as metrics: which of them are counters, gauges and histograms, and what their keys are called; written as
-- OpenMetrics 1.0 or in Prometheus' text format, to a function, a file or over HTTP.
-- @module bpf.metrics

local core = require("bpf.core")
local argument = require("bpf.base.argument")
local error = argument.error
local check = require("bpf.metrics.options").check
local families = require("bpf.metrics.family")
local http = require("bpf.metrics.http")
local posix = require("bpf.base.posix")
local text = require("bpf.metrics.text")

local metrics = { decode = require("bpf.metrics.decode") }

-- Scraping ------------------------------------------------------------------------------------------------------------

-- What a metric is, without a map: for those about the scrape itself.
local function own(name, kind, help)
  return { name = name, sample = kind == "counter" and name .. "_total" or name, kind = kind, help = help }
end

-- Metrics about the scrape. `tallies` has those of the metrics, in their order.
local function write_own(self, out, tallies, seconds)
  local function add(name, kind, help, field)
    local family = own(self.prefix .. "exporter_" .. name, kind, help)
    families.head(family, out)
    for i, metric in ipairs(self.families) do
      local n = field == "errors" and metric.errors or tallies[i][field]
      out:add(('%s{metric="%s"} %d\n'):format(family.sample, metric.name, n))
    end
  end
  add("series", "gauge", "Series of this scrape.", "series")
  add("dropped_series", "gauge", "Entries left out of this scrape, because there were too many series.", "dropped")
  add("errors", "counter", "Scrapes that could not read all of a metric.", "errors")
  local family = own(self.prefix .. "exporter_scrape_duration_seconds", "gauge", "What this scrape took until here.")
  family.unit = "seconds"
  families.head(family, out)
  out:add(("%s %s\n"):format(family.name, text.float(seconds)))
end

-- Writes one metric; what fails in it is counted and reported, and the others are written all the same.
local function scrape(self, family, out)
  local tally = { series = 0, dropped = 0 }
  families.head(family, out)
  local ok, message = pcall(families.collect, family, out, tally)
  if ok then
    return tally
  elseif out.sending or tostring(message):find("interrupted!", 1, true) then -- Ctrl-C
    error(message, 0)
  end
  family.errors = family.errors + 1
  tally.series = tally.each and tally.series or 0
  if self.on_error then
    -- the map's error, without the line of ours that walked it
    self.on_error(family.name, type(message) == "string"
      and message:gsub("^[^:\n]-bpf/metrics/%l+%.lua:%d+: ", "") or message)
  end
  return tally
end

local function write_all(self, out)
  local began, tallies, total = posix.seconds(), {}, 0
  for i, family in ipairs(self.families) do
    tallies[i] = scrape(self, family, out)
    total = total + tallies[i].series
  end
  write_own(self, out, tallies, posix.seconds() - began)
  if out.openmetrics then
    out:add("# EOF\n")
  end
  out:flush()
  return total
end

-- The class -----------------------------------------------------------------------------------------------------------

local Metrics = {}
local class = { __name = "bpf.metrics", __index = Metrics }

function class:__tostring()
  argument.check_self("tostring", self, class)
  return ("bpf.metrics: %d metrics"):format(#self.families)
end

-- Adds a metric, whose names must be new.
local function add(self, family, level)
  local name, names = family.name, self.names
  for _, suffix in ipairs { "", "_total", "_bucket", "_sum", "_count" } do
    if names[name .. suffix] then
      error(("metrics:%s: there is a metric '%s' already"):format(family.kind, names[name .. suffix]), level + 1)
    end
  end
  for _, suffix in ipairs(family.kind == "histogram" and { "", "_bucket", "_sum", "_count" } or { "", "_total" }) do
    names[name .. suffix] = name
  end
  self.families[#self.families + 1] = family
end

--- A counter: what only grows. Entries with the same labels are added up, as the CPUs' values are. Returns the metrics,
-- for the next one.
--
-- A counter must not shrink, because Prometheus takes that for a restart and adds the whole rest as growth. The sum of
-- several entries shrinks when one of them is deleted, or evicted from an LRU map. Remedies: labels for the whole key,
-- so that the series of a deleted entry ends; or totals of your own, to which you add what `map.drain` takes out.
--
--     metrics:counter {
--       name = "connections", help = "Connections by address and port.", map = obj.maps.connections,
--       labels = { { "address", key = "saddr", decode = "ipv4" }, "port" }, value = "count",
--     }
--
-- @tparam table options
-- - name: the name, to which "_total" is added
-- - help: what it is, in a sentence
-- - unit: such as "seconds" or "bytes", added to the name if it isn't at its end
-- - map: a map, or a table, or a function that returns one. Left out, `value` is a function that returns the number
-- - labels: a sequence of names or of tables. `{ "address", key = "saddr", decode = "ipv4" }` is the key's member
-- `saddr` as the decoder of that name writes it. Without `key` it is the member of the label's own name, or the key
-- itself if that has no members; `value = "comm"` takes it from the value. Members of members are "remote.port".
-- `{ "cpu", cpu = true }` is the CPU's number: the values of a per-CPU map become a series for each CPU.
-- `decode` is a name of bpf.metrics.decode, a function or a table of names;
-- what they answer nil for is left out. A key's members that no label mentions are added up. Names are held against
-- the map's types at once, where it has some
-- - value: the value's member that counts, by default the value itself; or a function of the value and the key, where
-- nil leaves the entry out
-- - scale: what to multiply by: 1e-9 makes seconds of nanoseconds
-- - max_series: how many series at most, by default as `bpf.metrics.new` says
-- @treturn bpf.metrics
function Metrics:counter(options)
  argument.check_self("counter", self, class)
  add(self, families.number("counter", options, self, 2), 2)
  return self
end

--- A gauge: what goes up and down.
-- @tparam table options those of `metrics:counter`
-- @treturn bpf.metrics
function Metrics:gauge(options)
  argument.check_self("gauge", self, class)
  add(self, families.number("gauge", options, self, 2), 2)
  return self
end

--- A histogram, of counts that a program keeps by slot: as an array in the value, which `buckets` names, or each in an
-- entry of its own, whose key has the slot's number, which `slot` names. By default slot i counts what lies in [2^i,
-- 2^(i+1)), the first one 0 and 1 and the last one all above. The bounds are 2^(i+1) - 1, the largest whole number
-- there; with `scale`, 2^(i+1) by that. Without `sum` or `sum_slot` there is no sum; an average can't be had then. An
-- entry is left out if one of the functions returns nil for it.
--
--     metrics:histogram {
--       name = "run_queue_wait", unit = "seconds", scale = 1e-9, map = obj.maps.waits, buckets = "slots", sum = "ns",
--     }
--
-- @tparam table options those of `metrics:counter`, and
-- - buckets: the value's member that is the array of counts; by default the value itself
-- - slot: the key's member that is the number of the slot, from 0, or true for the key itself; `value` is the count
-- - sum: the value's member that is the sum of all that was measured
-- - sum_slot: the slot that has this sum in place of a count, as ebpf_exporter's maps keep it
-- - bounds: "log2", or a sequence of the slots' upper bounds, or a function that returns that of slot i, from 0; in the
-- metric's unit, whatever the scale
-- - first: the first slot to show; what is in those below is counted there
-- - last: the last slot with a bound of its own; those above go into the bucket "+Inf". By default the last but one
-- @treturn bpf.metrics
function Metrics:histogram(options)
  argument.check_self("histogram", self, class)
  add(self, families.histogram(options, self, 2), 2)
  return self
end

local function check_format(method, format)
  if format ~= nil and format ~= "openmetrics" and format ~= "prometheus" then
    error(("metrics:%s: format '%s' is unknown (one of: openmetrics, prometheus)"):format(method, tostring(format)), 3)
  end
end

--- Writes all metrics, reading the maps as it goes. A metric whose map fails ends there; that is counted in
-- `exporter_errors_total` and told to `on_error`, and the others are written. Further metrics tell of the scrape:
-- `exporter_series`, `exporter_dropped_series`, `exporter_scrape_duration_seconds`, each with the prefix.
--
--     assert(metrics:write(function(chunk) return file:write(chunk) end))
--
-- @tparam function sink called with text of at most 32 KiB at a time; ends it by returning nil and a message
-- @tparam ?string format "openmetrics", the default, or "prometheus", its older text format
-- @treturn integer how many series were written
-- @treturn nil,string,string what the sink returned when it ended it
function Metrics:write(sink, format)
  argument.check_self("write", self, class)
  if type(sink) ~= "function" and not (getmetatable(sink) or {}).__call then
    error(("bad argument #1 to 'write' (function expected, got %s)"):format(type(sink)), 2)
  end
  check_format("write", format)
  local out = text.writer(sink)
  out.openmetrics = format ~= "prometheus"
  local ok, result = pcall(write_all, self, out)
  if ok then
    return result
  elseif result == out.refused and result then
    return nil, result[1], result[2]
  end
  error(result, 0)
end

--- The text of all metrics at once.
-- @tparam ?string format as for `metrics:write`
-- @treturn string
function Metrics:text(format)
  argument.check_self("text", self, class)
  check_format("text", format)
  local chunks = {}
  self:write(function(chunk) chunks[#chunks + 1] = chunk end, format)
  return table.concat(chunks)
end

--- Writes all metrics into a file, in the older text format, for the textfile collector of Prometheus' node_exporter. A
-- file beside it, with ".new" at its name's end, is renamed when it is complete, so readers see the old text or the new
-- one.
-- @tparam string path ends in ".prom" for node_exporter
-- @treturn integer how many series were written
-- @treturn nil,string,string on failure: ENOENT, EACCES, ENOSPC, EMFILE, …
function Metrics:write_file(path)
  argument.check_self("write_file", self, class)
  argument.check_path(1, "write_file", path)
  local chunks = {}
  local series = self:write(function(chunk) chunks[#chunks + 1] = chunk end, "prometheus")
  local ok, message, code = posix.write_file(path, table.concat(chunks))
  if not ok then
    return nil, "metrics:write_file: " .. message, code
  end
  return series
end

--- Answers scrapes over HTTP until the time is over, `poll` returns false, or Ctrl-C raises "interrupted!". One loop
-- serves several clients and reads ring buffers meanwhile. The format is the one that the client prefers. Needs
-- LuaSocket, Debian's package lua-socket.
--
--     metrics:serve { port = 9435, readers = { events } }
--
-- @tparam table options
-- - address: to listen at, by default "127.0.0.1"; "*" for all
-- - port: by default 9435; 0 for any that is free
-- - socket: the path of a Unix socket, in place of address and port
-- - path: of the metrics, by default "/metrics"
-- - seconds: how long; without, it doesn't end by itself
-- - timeout: how many seconds a client may take for all, by default 30. Times are counted by the monotonic clock, so
-- setting the date changes nothing
-- - readers: a sequence of readers, as `bpf.ringbuf` and `bpf.perfbuf` give them, or of other objects with a method
-- `fd` or `getfd` and another, `consume`, that is called when the descriptor is readable
-- - poll: a function that is called every half second at least; false ends it
-- - ready: a function that is called once it listens, with the address and the port, or the socket's path
-- @treturn true when it was ended
-- @treturn nil,string,string on failure: EADDRINUSE, EACCES, ENOENT (no LuaSocket), EMFILE, …
function Metrics:serve(options)
  argument.check_self("serve", self, class)
  return http(self, options or {})
end

-- The module ----------------------------------------------------------------------------------------------------------

--- A set of metrics, empty.
-- @tparam ?table options
-- - prefix: what all names begin with, followed by "_"
-- - max_series: how many series a metric may have, 10000 by default. Further ones are left out and counted, in
-- `exporter_dropped_series`
-- - on_error: a function that is called with the name of a metric that failed and the message
-- @treturn bpf.metrics
function metrics.new(options)
  options = options or {}
  check("metrics.new", options, { prefix = "string", max_series = "integer", on_error = "function" }, 2)
  local prefix = options.prefix or ""
  if prefix ~= "" and prefix:sub(-1) ~= "_" then
    prefix = prefix .. "_"
  end
  return setmetatable({
    prefix = prefix, max_series = options.max_series or 10000, on_error = options.on_error, families = {}, names = {},
  }, class)
end

--- The names of an enumeration's values, as a table for `decode`: by number.
-- @tparam string type "enum tcp_state", as BTF names it
-- @tparam ?bpf.btf btf where to look, by default the kernel's
-- @tparam ?string prefix what to leave out at the names' start; the others' names stay as they are
-- @treturn table
-- @treturn nil,string,string on failure
function metrics.enum(type, btf, prefix)
  argument.check(1, "enum", type, "string")
  if btf ~= nil and not tostring(btf):find("^bpf%.btf: ") then
    error(("bad argument #2 to 'enum' (bpf.btf expected, got %s)"):format(tostring(btf)), 2)
  end
  if prefix ~= nil then
    argument.check(3, "enum", prefix, "string")
  end
  local kernel <close>, message, code = (btf and function() end or core.btf.kernel)()
  if not btf and not kernel then
    return nil, message, code
  end
  local found = (btf or kernel):find(type)
  if not found or not found.values then
    return nil, ("metrics.enum: there is no enumeration '%s' (ENOENT)"):format(type), "ENOENT"
  end
  local names = {}
  for name, value in pairs(found.values) do
    local short = prefix and name:sub(1, #prefix) == prefix
    names[value] = short and name:sub(#prefix + 1) or name
  end
  return names
end

return metrics

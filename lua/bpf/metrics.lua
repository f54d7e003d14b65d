-- SPDX-License-Identifier: MIT
--- Maps as metrics: which of them are counters, gauges and histograms, and what their keys are called; written as
-- OpenMetrics 1.0 or in Prometheus' text format, to a function, a file or over HTTP.
-- @module bpf.metrics

local core = require("bpf.core")
local argument = require("bpf.base.argument")
local error = argument.error
local check = require("bpf.metrics.options").check
local counted = require("bpf.base.number").counted
local families = require("bpf.metrics.family")
local http = require("bpf.metrics.http")
local posix = require("bpf.base.posix")
local text = require("bpf.metrics.text")

local metrics = { -- decode is their former name
  decode = setmetatable({}, { __index = require("bpf.format.values"), __metatable = false }),
}

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
  return ("bpf.metrics: %s"):format(counted(#self.families, "metric"))
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

--- Adds a counter, a metric that only grows, and returns the set of metrics. The values of entries with the same labels
-- are added up, and so are the values of the CPUs.
--
-- A counter must not shrink, because Prometheus takes that for a restart and adds the whole rest as growth. The sum of
-- several entries shrinks when one of them is deleted, or evicted from an LRU map. There are two remedies. With labels
-- for the whole key, the series of a deleted entry ends. Or keep totals of your own, and add to them what `map.drain`
-- returns.
-- @tparam table options
-- - name: the name, to which "_total" is added
-- - help: what it is, in a sentence
-- - unit: such as "seconds" or "bytes", added to the name if the name doesn't end in it
-- - map: a map, or a table, or a function that returns one. If it is left out, `value` is a function that returns the
--   number
-- - labels: a sequence of names or of tables. `{ "address", key = "saddr", decode = "ipv4" }` is the key's member
-- `saddr` as the decoder of that name writes it. Without `key` it is the member with the label's own name, or the key
-- itself if that has no members; `value = "comm"` takes it from the value. Members of members are "remote.port".
-- `{ "cpu", cpu = true }` is the CPU's number: the values of a per-CPU map become a series for each CPU.
-- `decode` is a name of bpf.format's, a function, or a table of names; an entry for which it returns nil is left
-- out. Entries whose keys differ only in members without a label are added up. If the map has types, the names are
-- checked against them at once
-- - value: the value's member that counts, by default the value itself; or a function of the value and the key, which
-- returns nil to leave the entry out
-- - scale: what to multiply by: 1e-9 makes seconds of nanoseconds
-- - max_series: how many series at most, by default as `bpf.metrics.new` says
-- @treturn bpf.metrics the set itself
-- @usage
-- metrics:counter {
--   name = "connections", help = "Connections by address and port.", map = conns,
--   labels = { { "address", key = "saddr", decode = "ipv4" }, "port" }, value = "count",
-- }
function Metrics:counter(options)
  argument.check_self("counter", self, class)
  add(self, families.number("counter", options, self, 2), 2)
  return self
end

--- Adds a gauge, a metric that grows and shrinks, and returns the set of metrics.
-- @tparam table options those of `metrics:counter`
-- @treturn bpf.metrics the set itself
-- @usage
-- metrics:gauge {
--   name = "lua_memory", unit = "bytes", value = function() return collectgarbage "count" * 1024 // 1 end,
-- }
function Metrics:gauge(options)
  argument.check_self("gauge", self, class)
  add(self, families.number("gauge", options, self, 2), 2)
  return self
end

--- Adds a histogram of counts that a program keeps by slot, and returns the set of metrics. The counts are an array in
-- the value, which `buckets` names. Or each count is an entry of its own, and `slot` names the key's member with the
-- slot's number.
--
-- By default slot i counts the values in [2^i, 2^(i+1)), the first slot those of 0 and 1, and the last slot everything
-- above. The bounds are 2^(i+1) - 1, the largest whole number of the slot; with `scale`, 2^(i+1) times the scale.
-- Without `sum` or `sum_slot` the histogram has no sum, so no average can be computed. An entry is left out if one of
-- the functions returns nil for it.
-- @tparam table options those of `metrics:counter`, and
-- - buckets: the value's member that is the array of counts; by default the value itself
-- - slot: the key's member that is the number of the slot, from 0, or true for the key itself; `value` is the count
-- - sum: the value's member that is the sum of all measured values
-- - sum_slot: the slot that has this sum instead of a count, as ebpf_exporter's maps keep it
-- - bounds: "log2", or a sequence of the slots' upper bounds, or a function that returns the bound of slot i, from 0;
-- in the metric's unit, whatever the scale
-- - first: the first slot to show; the counts of the slots below are added to it
-- - last: the last slot with a bound of its own; the slots above go into the bucket "+Inf". By default the last but one
-- @treturn bpf.metrics the set itself
-- @usage
-- metrics:histogram {
--   name = "run_queue_wait", unit = "seconds", scale = 1e-9, map = waits, buckets = "slots", sum = "ns",
-- }
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

--- Writes the text of all metrics to a function, and reads the maps meanwhile. If reading a metric's map fails, the
-- metric ends there and the other metrics are written: the failure is counted in `exporter_errors_total` and reported
-- to `on_error`. Further metrics describe the scrape: `exporter_series`, `exporter_dropped_series`,
-- `exporter_scrape_duration_seconds`, each with the prefix.
-- @tparam function sink called with text of at most 32 KiB at a time; it ends the writing by returning nil and a
-- message
-- @tparam ?string format "openmetrics", the default, or "prometheus", its older text format
-- @treturn integer how many series were written
-- @treturn nil,string,string what the sink returned when it ended the writing
-- @usage
-- local file <close> = assert(io.tmpfile())
-- local series = assert(metrics:write(function(chunk) return file:write(chunk) end))
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

--- Returns the text of all metrics.
-- @tparam ?string format as for `metrics:write`
-- @treturn string
-- @usage
-- local text = metrics:text() -- demo_packets_total 3 …
function Metrics:text(format)
  argument.check_self("text", self, class)
  check_format("text", format)
  local chunks = {}
  self:write(function(chunk) chunks[#chunks + 1] = chunk end, format)
  return table.concat(chunks)
end

--- Writes the text of all metrics to a file, in the older text format, for the textfile collector of Prometheus'
-- node_exporter. It writes a file beside it, with ".new" at the end of its name, and renames that when it is complete.
-- So readers see the old text or the new one.
-- @tparam string path ends in ".prom" for node_exporter
-- @treturn integer how many series were written
-- @treturn nil,string,string on failure: ENOENT, EACCES, ENOSPC, EMFILE, …
-- @usage
-- assert(metrics:write_file(dir .. "/bpf.prom")) -- dir is the directory that node_exporter reads
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

--- Serves the metrics over HTTP until the time is over, `poll` returns false, or a signal comes: it returns at one that
-- `bpf.signals` catches and that `poll` hasn't polled; Ctrl-C without `bpf.signals` raises "interrupted!". One loop
-- serves several clients and reads ring buffers meanwhile. The format is the one that the client prefers. It needs
-- LuaSocket, Debian's package lua-socket.
-- @tparam table options
-- - address: the address to listen at, by default "127.0.0.1"; "*" for all
-- - port: by default 9435; 0 for any that is free
-- - socket: the path of a Unix socket, instead of address and port
-- - path: the path of the metrics, by default "/metrics"
-- - seconds: after how many seconds to end; by default it does not end by itself
-- - timeout: how many seconds a client may take in all, by default 30. Times are counted by the monotonic clock, so
-- setting the date changes nothing
-- - readers: a sequence of readers, as `bpf.ringbuf` and `bpf.perfbuf` return them, or of other objects with two
-- methods: `fd` or `getfd`, and `consume`, which is called when the descriptor is readable
-- - poll: a function that is called every half second at least; the loop ends when it returns false
-- - ready: a function that is called once it listens, with the address and the port, or the socket's path
-- @treturn true when it ended
-- @treturn nil,string,string on failure: EADDRINUSE, EACCES, ENOENT (no LuaSocket), EMFILE, …
-- @usage
-- local function ready(address, port) print(address, port) end
-- assert(metrics:serve { port = 0, seconds = 0.01, ready = ready }) -- usually without seconds
function Metrics:serve(options)
  argument.check_self("serve", self, class)
  return http(self, options or {})
end

-- The module ----------------------------------------------------------------------------------------------------------

--- Creates an empty set of metrics.
-- @tparam ?table options
-- - prefix: what all names begin with, followed by "_"
-- - max_series: how many series a metric may have, 10000 by default. Further series are left out and counted, in
-- `exporter_dropped_series`
-- - on_error: a function that is called with the name of a metric that failed and the message
-- @treturn bpf.metrics
-- @usage
-- local set = bpf.metrics.new { prefix = "demo", on_error = print }
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

--- Returns the names of an enumeration's values by number, as a table for `decode`.
-- @tparam string type "enum tcp_state", as BTF names it
-- @tparam ?bpf.btf btf where to look, by default the kernel's
-- @tparam ?string prefix what to remove from the start of the names; names that begin with something else stay as they
-- are
-- @treturn table
-- @treturn nil,string,string on failure
-- @usage
-- local btf <close> = bpf.btf.parse "enum verdict { V_PASS, V_DROP };"
-- local names = assert(bpf.metrics.enum("enum verdict", btf, "V_"))
-- print(names[1]) -- DROP
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

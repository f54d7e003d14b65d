-- SPDX-License-Identifier: MIT
-- Debian's Prometheus scrapes examples/exporter and answers what is asked in PromQL about it; promtool checks the text.
local bpf = require "bpf"
local helper = require "spec.helper"
local kernel = require "spec.support.kernel"
local socket = helper.require "socket"
local http = require "socket.http"

kernel.root()
kernel.need("iterators over TCP sockets", "5.9")

-- A process that lasts as long as the block, with the output it has written to a file.
local function start(command, log)
  local pipe = assert(io.popen(("echo $$; exec %s >%s 2>&1"):format(command, log)))
  local pid = pipe:read "n"
  return setmetatable({ pid = pid }, { __close = function()
    os.execute(("kill %d 2>/dev/null"):format(pid))
    pipe:close()
  end })
end

local read, wait = helper.read, helper.await

-- A port that is free; somebody else may take it, but hardly so soon.
local function free_port()
  local s = assert(socket.bind("127.0.0.1", 0))
  local _, port = s:getsockname()
  s:close()
  return math.tointeger(port)
end

local function example(arguments, log)
  return start(("%s examples/exporter/main.lua %s"):format(helper.LUA, arguments), log)
end

local function promtool(path)
  local output, ok = helper.run(("promtool check metrics <%s"):format(path))
  assert(ok, output)
  assert.equal("", output)
end

describe("promtool", function()
  it("finds nothing wrong with all kinds of metrics", function()
    local m <close> = assert(bpf.map.create { type = "percpu_hash", max_entries = 4, key = "__u32", value = "__u64" })
    m[1], m[2] = 1, 2
    local set = bpf.metrics.new { prefix = "test" }
    set:counter {
      name = "calls", help = 'Some "calls"\n\\.', map = m,
      labels = { { "name", decode = { 'q"', "back\\\n\xff" } } },
    }
    set:gauge { name = "memory", unit = "bytes", help = "B.", value = function() return 0 / 0 end }
    set:histogram {
      name = "waits", unit = "seconds", help = "C.", map = m, labels = { "cpu" }, slot = true, scale = 1e-9,
    }
    set:histogram {
      name = "sizes", help = "D.", value = function() return { sum = -1, slots = { 1, 2, 3 } } end,
      buckets = "slots", sum = "sum",
    }
    local path = helper.tmpdir() .. "/test.prom"
    assert(set:write_file(path))
    promtool(path)
  end)
end)

describe("examples/exporter", function()
  it("writes a file for node_exporter", function()
    local path = helper.tmpdir() .. "/example.prom"
    local output, ok = helper.run(("%s examples/exporter/main.lua --seconds 1 --file %s"):format(helper.LUA, path))
    assert(ok, output)
    assert.matches("^%d+ series in " .. path:gsub("%p", "%%%0") .. "\n$", output)
    promtool(path)
    assert.matches('\nexample_system_calls_total{process="[^"]+",cgroup="/[^"]*"} %d+\n', read(path))
  end)

  it("serves on a Unix socket for as long as it was told", function()
    local path = helper.tmpdir() .. "/example.sock"
    local output, ok = helper.run(("%s examples/exporter/main.lua --seconds 0.5 --socket %s"):format(helper.LUA, path))
    assert(ok, output)
    assert.equal(("Serving %s; Ctrl-C ends it\n"):format(path), output)
  end)

  it("ends on Ctrl-C", function()
    local output, _, code = helper.interrupt(helper.LUA .. " examples/exporter/main.lua --seconds 0 --port 0")
    assert.equal(0, code, output)
    assert.matches("^Serving http://127.0.0.1:%d+/metrics; Ctrl%-C ends it\n$", output)
  end)
end)

describe("Prometheus", function()
  if helper.slow > 1 then
    helper.skip "Prometheus with its own deadlines is too much for an emulated machine"
  end
  local dir = helper.tmpdir()

  -- Starts Prometheus for a target, with everything it has in a directory of this test's.
  local function prometheus(target)
    local file <close> = assert(io.open(dir .. "/prometheus.yml", "w"))
    assert(file:write(([[
global: { scrape_interval: 500ms, scrape_timeout: 500ms }
scrape_configs: [ { job_name: example, static_configs: [ { targets: [ "127.0.0.1:%d" ] } ] } ]
]]):format(target)))
    file:close()
    local port = free_port()
    return start(("prometheus --config.file=%s/prometheus.yml --storage.tsdb.path=%s/data --log.level=warn " ..
      "--web.listen-address=127.0.0.1:%d"):format(dir, dir, port), dir .. "/prometheus.log"), port
  end

  local function encode(text)
    return (text:gsub("[^%w]", function(c) return ("%%%02X"):format(c:byte()) end))
  end

  -- What a query is answered: its first value as a number, and the whole answer; nothing while there is none.
  local function ask(port, query)
    local answer = http.request(("http://127.0.0.1:%d/api/v1/query?query=%s"):format(port, encode(query)))
    return answer and tonumber(answer:match '"value":%[[%d.]+,"([^"]+)"%]'), answer
  end

  it("scrapes the example and computes with its metrics", function()
    local target = free_port()
    local exporter <close> = example("--seconds 0 --port " .. target, dir .. "/exporter.log")
    wait(10, "the exporter", function() return http.request(("http://127.0.0.1:%d/"):format(target)) end)
    local server <close>, port = prometheus(target)
    local busy <close> = start("dd if=/dev/zero of=/dev/null bs=1", dir .. "/dd.log")
    assert(exporter.pid and server.pid and busy.pid)
    wait(60, "Prometheus: " .. dir, function() return ask(port, "vector(1)") == 1 end)
    wait(30, "a scrape", function() return ask(port, 'up{job="example"}') == 1 end)

    -- a counter: dd makes far more calls than anything that rests
    local rate = wait(30, "a rate", function()
      return ask(port, 'sum by (process) (rate(example_system_calls_total{process="dd"}[10s])) > 1000')
    end)
    assert(rate > 1000, rate)
    assert.equal(1, ask(port, 'count(topk(1, sum by (cgroup) (rate(example_system_calls_total{cgroup=~"/.*"}[10s]))))'))

    -- a histogram: a quantile between the bounds, and an average out of sum and count
    local median = wait(30, "a quantile", function()
      return ask(port, "histogram_quantile(0.5, rate(example_run_queue_wait_seconds_bucket[10s])) > 0")
    end)
    assert(median > 0 and median < 1, median)
    local average = ask(port,
      "rate(example_run_queue_wait_seconds_sum[10s]) / rate(example_run_queue_wait_seconds_count[10s])")
    assert(average > 0 and average < 1, average)

    -- a gauge: the exporter and Prometheus listen, and more may
    local listening = ask(port, 'example_tcp_sockets{state="listen"}')
    assert(listening and listening >= 2, listening)

    -- it took the newer format, with its metadata
    local metadata = http.request(("http://127.0.0.1:%d/api/v1/targets/metadata?metric=example_run_queue_wait_seconds")
      :format(port))
    assert.matches('"type":"histogram"', metadata)
    assert.matches('"unit":"seconds"', metadata)
    assert.matches('"help":"How long threads that could run waited for a CPU."', metadata)
    assert.equal(0, ask(port, "sum(example_exporter_errors_total) + sum(example_exporter_dropped_series)"))
    assert.falsy(read(dir .. "/prometheus.log"):find("duplicate", 1, true), read(dir .. "/prometheus.log"))
  end)
end)

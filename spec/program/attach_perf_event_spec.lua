-- SPDX-License-Identifier: MIT
-- Attaching to perf events: counters that overflow, of a process and of a CPU, by name and by descriptor.
local bpf = require("bpf")
local helper = require("spec.helper")
local kernel = require("spec.support.kernel")
local kinds = require("spec.support.kinds")
local attach = require("spec.support.attach")
local perf = require("support.perf")

local fails = helper.fails

kernel.root()
kernel.need("programs of perf events", "4.9")
if kernel.config("CONFIG_PERF_EVENTS") == "n" or kernel.config("CONFIG_BPF_EVENTS") == "n" then
  helper.skip("perf events' programs need a kernel with CONFIG_PERF_EVENTS and CONFIG_BPF_EVENTS")
end
kinds.need("perf_event")

local obj, prog

before_each(function()
  obj = assert(attach.load("attach_perf_event", { "on_event" }))
  prog = obj.progs.on_event
end)

after_each(function() obj:close() end)

-- Uses that many seconds of this process's time.
local function burn(seconds)
  local from = os.clock()
  repeat until os.clock() - from >= seconds
end

-- Touches that many new pages.
local function touch(pages)
  return ("x"):rep(pages * 4096)
end

describe("attach_perf_event", function()
  it("opens a counter of this process by name, with a period in its unit", function()
    local link = assert(prog:attach_perf_event({ config = "task_clock", sample_period = 1000000, pid = 0 }))
    burn(0.2) -- a millisecond each
    local hits = obj.vars.hits
    assert.is_true(hits >= 50 and hits <= 400, "hits: " .. hits)
    assert.same({ attach.self(), 1000000 }, { obj.vars.pid, obj.vars.period })
    attach.close(link)
    hits = obj.vars.hits
    burn(0.05)
    assert.equal(hits, obj.vars.hits)
  end)

  it("opens one with a frequency", function()
    local link <close> = assert(prog:attach_perf_event({ type = "software", config = "cpu_clock", sample_freq = 200,
      pid = 0 }))
    burn(0.3)
    local hits = obj.vars.hits
    assert.is_true(hits >= 15 and hits <= 200, "hits: " .. hits)
    attach.held(link)
  end)

  it("counts other things than time", function()
    local link <close> = assert(prog:attach_perf_event({ config = "page_faults", sample_period = 1, pid = 0 }))
    local text = touch(1000)
    assert.is_true(obj.vars.hits >= 500, "hits: " .. obj.vars.hits)
    assert(text and link)
  end)

  it("takes numbers for the type and the counter", function()
    local link <close> = assert(prog:attach_perf_event({ type = perf.TYPE_SOFTWARE, config = perf.COUNT_SW_PAGE_FAULTS,
      sample_period = 1, pid = 0 }))
    assert.is_string(touch(100))
    assert.is_true(obj.vars.hits > 0)
    if not kernel.before("6.6") then
      local info = assert(link:info())
      assert.same({ "perf_event", "event", perf.TYPE_SOFTWARE, perf.COUNT_SW_PAGE_FAULTS },
        { info.type, info.event, info.event_type, info.config })
    end
  end)

  it("watches a CPU, whoever runs on it", function()
    local cpu = 0
    local link <close> = assert(prog:attach_perf_event({ config = "cpu_clock", sample_freq = 1000, cpu = cpu }))
    local from = os.time()
    repeat burn(0.05) until obj.vars.hits > 0 or os.time() - from > 10
    assert.is_true(obj.vars.hits > 0)
    assert.equal(1 << cpu, obj.vars.cpus)
    attach.held(link)
  end)

  it("watches each CPU that is online, with one link", function()
    local link = assert(prog:attach_perf_event({ config = "cpu_clock", sample_freq = 1000, cpu = "online" }))
    local all = 0
    for _, cpu in ipairs(bpf.cpus().online) do
      all = all | 1 << cpu
    end
    local from = os.time()
    repeat burn(0.05) until obj.vars.cpus == all or os.time() - from > 10 * helper.slow
    assert.equal(all, obj.vars.cpus)
    fails("EOPNOTSUPP", "several links to the kernel, one for each thread or CPU", link:info())
    attach.close(link, prog)
    local hits = obj.vars.hits
    burn(0.05)
    assert.equal(hits, obj.vars.hits)
  end)

  it("attaches to no CPU where one fails", function()
    local online = helper.tmpdir() .. "/online"
    assert(io.open(online, "w")):write("0-4095\n"):close()
    helper.run("mount --bind " .. online .. " /sys/devices/system/cpu/online")
    finally(function() helper.run("umount /sys/devices/system/cpu/online") end)
    fails("EINVAL", "program 'on_event': attach_perf_event: ",
      prog:attach_perf_event({ config = "cpu_clock", sample_freq = 1000, cpu = "online" }))
    assert.same({}, attach.links(prog))
    local hits = obj.vars.hits
    burn(0.05)
    assert.equal(hits, obj.vars.hits)
  end)

  it("watches another process, which has to be there", function()
    local fifo = helper.tmpdir() .. "/fifo"
    assert(os.execute("mkfifo " .. fifo))
    local child = assert(io.popen(("echo $$; read line <%s; for i in 1 2 3 4 5; do (:); done"):format(fifo)))
    local pid = math.tointeger(child:read("n"))
    local event = { config = "page_faults", sample_period = 1, pid = pid }
    local link = assert(prog:attach_perf_event(event))
    assert.equal(0, obj.vars.hits)
    assert(io.open(fifo, "w")):close()
    child:close()
    assert.is_true(obj.vars.hits > 0)
    link:close()
    fails("ESRCH", "program 'on_event': attach_perf_event: ", prog:attach_perf_event(event))
  end)

  -- A process with a second thread, that touches 1000 pages as told. Returns its number, and a function that tells
  -- it to and returns how often the program was run.
  local function threads()
    local fifo = helper.tmpdir() .. "/orders"
    assert(os.execute("mkfifo " .. fifo))
    local process = assert(io.popen("build/support/threads <" .. fifo))
    local orders = assert(io.open(fifo, "w"))
    finally(function()
      orders:close()
      process:close()
    end)
    local pid = math.tointeger(process:read("n", "l"))
    return pid, function(order)
      obj.vars.hits = 0
      orders:write(order)
      orders:flush()
      assert.equal(order, process:read("l"))
      return obj.vars.hits
    end
  end

  it("watches all threads of a process, and those that it starts", function()
    local pid, touched = threads()
    local link = assert(prog:attach_perf_event({ config = "page_faults", sample_period = 1, pid = pid }))
    for _, order in ipairs({ "m", "s", "n" }) do
      assert.is_true(touched(order) >= 1000, order)
    end
    if not kernel.before("5.13") then
      assert.is_true(touched("c") < 1000)
    end
    fails("EOPNOTSUPP", "several links to the kernel, one for each thread", link:info())
    assert.is_nil(link:fd())
    attach.close(link, prog)
    assert.equal(0, touched("m"))
    assert.equal(0, touched("s"))
    assert.equal(0, touched("n"))
  end)

  it("watches processes that it starts as well where inherit says so", function()
    local pid, touched = threads()
    local link <close> = assert(prog:attach_perf_event({ config = "page_faults", sample_period = 1, pid = pid,
      inherit = true }))
    assert.is_true(touched("c") >= 1000)
    assert.matches("attach_perf_event", tostring(link))
  end)

  it("watches one thread", function()
    local pid, touched = threads()
    local link <close> = assert(prog:attach_perf_event({ config = "page_faults", sample_period = 1, tid = pid }))
    assert.is_true(touched("m") >= 1000)
    assert.is_true(touched("s") < 1000)
    assert.is_true(touched("n") < 1000)
    attach.held(link)
  end)

  it("takes a program that was opened by its id", function()
    kernel.need("links of perf events", "5.15")
    local opened <close> = assert(bpf.prog.by_id(prog:info().id))
    local pid, touched = threads()
    local link = assert(opened:attach_perf_event({ config = "page_faults", sample_period = 1, pid = pid }))
    assert.is_true(touched("m") >= 1000)
    assert.is_true(touched("s") >= 1000)
    attach.close(link, prog)
    assert.equal(0, touched("s"))
  end)

  it("takes a descriptor, which stays open and in use when the link is closed", function()
    local event = perf.open({ type = perf.TYPE_SOFTWARE, config = perf.COUNT_SW_TASK_CLOCK, sample_period = 1000000,
      disabled = 1, pid = 0 })
    finally(function() event:close() end)
    local link = assert(prog:attach_perf_event(event))
    burn(0.1)
    assert.is_true(obj.vars.hits > 10)
    attach.close(link)
    local hits, count = obj.vars.hits, event:count()
    burn(0.1)
    assert.equal(hits, obj.vars.hits)
    assert.is_true(count > 0)
    if kernel.before("5.15") then -- the event keeps its program, and takes no other
      fails("EEXIST", "attach_perf_event", prog:attach_perf_event(event))
      return
    end
    local again <close> = assert(prog:attach_perf_event(event:getfd()))
    burn(0.1)
    assert.is_true(obj.vars.hits > hits)
    attach.held(again)
  end)

  it("gives the program its cookie", function()
    kernel.need("cookies of perf events", "5.15")
    local other <close> = assert(attach.load("attach_perf_event", { "with_cookie" }))
    local link <close> = assert(other.progs.with_cookie:attach_perf_event(
      { config = "task_clock", sample_period = 1000000, pid = 0 }, { bpf_cookie = 0x7777 }))
    burn(0.1)
    assert.equal(0x7777, other.vars.cookie)
    attach.held(link)
  end)

  it("opens each of the counters that it has names for, or says that the machine has none such", function()
    local message = helper.raises(function() prog:attach_perf_event({ type = "software", config = "nonsense", pid = 0 })
    end, "config 'nonsense' is unknown")
    local opened = 0
    for name in message:match("one of: (.*)%)"):gmatch("[%w_]+") do
      local link, cause, code = prog:attach_perf_event({ type = "software", config = name, sample_period = 1000000,
        pid = 0 })
      if link then
        opened = opened + 1
        link:close()
      else
        assert.is_not_nil(({ ENOENT = true, EOPNOTSUPP = true, EINVAL = true })[code], name .. ": " .. cause)
      end
    end
    assert.is_true(opened >= 8, "opened: " .. opened)
    message = helper.raises(function() prog:attach_perf_event({ type = "hardware", config = "nonsense", pid = 0 }) end,
      "config 'nonsense' is unknown")
    for name in message:match("one of: (.*)%)"):gmatch("[%w_]+") do
      local link, cause, code = prog:attach_perf_event({ config = name, sample_period = 1000000, pid = 0 })
      if link then
        link:close()
      else
        assert.is_not_nil(({ ENOENT = true, EOPNOTSUPP = true })[code], name .. ": " .. cause)
        assert.matches("this machine has no such counter", cause)
      end
    end
  end)

  it("fails for what is no perf event, and for a CPU that isn't there", function()
    local file <close> = assert(io.open("/dev/null"))
    fails(kernel.before("5.15") and "ENOTTY" or "EBADF", "program 'on_event': attach_perf_event: ",
      prog:attach_perf_event(file))
    fails("EINVAL", "option 'cpu' must be from 0 to %d+ here, got 4095",
      prog:attach_perf_event({ config = "cpu_clock", sample_freq = 1, cpu = 4095 }))
    fails("EINVAL", "option 'sample_freq' must be at most %d+ here", prog:attach_perf_event({ config = "cpu_clock",
      sample_freq = 1 << 40, cpu = 0 }))
    fails("EBADF", "attach_perf_event", prog:attach_perf_event(999999))
    assert.same({}, attach.links(prog))
  end)

  it("wants an event that is described well", function()
    for _, case in ipairs({
      { {}, "option 'config' must be a counter's name" },
      { { config = "cpu_clock" }, "give pid or cpu" },
      { { config = "no_counter", pid = 0 }, "config 'no_counter' is unknown" },
      { { type = "softwear", config = 1, pid = 0 }, "type 'softwear' is unknown" },
      { { config = "cpu_clock", pid = 0, sample_freq = 1, sample_period = 1 },
        "sample_freq or sample_period, not both" },
      { { config = "cpu_clock", pid = 0, period = 1 }, "event: unknown option 'period'" },
      { { type = "raw", config = "name", pid = 0 }, "config 'name' is unknown" },
      { { config = "cpu_clock", pid = "me" }, "option 'pid'" },
      { { config = "cpu_clock", cpu = "all" }, "option 'cpu' must be a CPU's number or \"online\", got all" },
      { { config = "cpu_clock", cpu = {} }, "option 'cpu' must be a CPU's number or \"online\", got table" },
      { { config = "cpu_clock", cpu = -2 }, "option 'cpu' must be an integer from %-1" },
      { { config = "cpu_clock", cpu = "online", pid = 0 }, "cpu = \"online\" watches all processes" },
      { { config = "cpu_clock", pid = -2 }, "option 'pid' must be an integer from %-1" },
      { { config = "cpu_clock", pid = 0, tid = 0 }, "give pid or tid, not both" },
      { { config = "cpu_clock", pid = 0, sample_freq = -1 },
        "option 'sample_freq' must be an integer from 0 on, got %-1" },
      { { config = "cpu_clock", pid = 0, sample_period = "x" }, "option 'sample_period' must be an integer from 0 on" },
    }) do
      helper.raises(function() prog:attach_perf_event(case[1]) end, case[2])
    end
    helper.raises(function() prog:attach_perf_event("cpu_clock") end, "descriptor expected")
  end)

  it("has no place in the section: attach says so", function()
    fails("EOPNOTSUPP", "program 'on_event': attach: ", prog:attach())
  end)

  it("leaves no descriptors behind", function()
    local function descriptors()
      collectgarbage()
      collectgarbage()
      return select(2, helper.run(("ls -l /proc/%d/fd"):format(helper.pid)):gsub("perf_event", ""))
    end
    local before = descriptors()
    for _ = 1, 20 do
      local link = assert(prog:attach_perf_event({ config = "dummy", sample_period = 1, pid = 0 }))
      link:close()
      assert.is_nil(prog:attach_perf_event({ config = "cpu_clock", sample_freq = 1, cpu = 4095 }))
    end
    assert.equal(before, descriptors())
  end)
end)

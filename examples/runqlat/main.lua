-- SPDX-License-Identifier: MIT
-- Shows how long threads wait for a CPU once they can run, as a histogram. The kernel counts in powers of two, each CPU
-- for itself; bpf.map.sum adds them up and bpf.hist.log2 draws them.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser "Shows how long runnable threads wait for a CPU. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "show only threads of this process", 0):argname("PID"):convert(common.count)
local options = parser:parse()

-- Below how many nanoseconds so much of the waits was: the upper end of the bucket.
local function percentile(slots, total, share)
  local sum = 0
  for i, n in ipairs(slots) do
    sum = sum + n
    if sum >= total * share then
      return bpf.hist.time(2 ^ i)
    end
  end
end

common.main(function()
  local obj <close> = common.load { vars = { target_pid = options.pid } }
  common.try(obj:attach())
  print(("Measuring for %g s; Ctrl-C ends it"):format(options.seconds))
  common.sleep(options.seconds)
  obj:detach()

  local waits, total = bpf.map.sum(obj.maps.waits, 0), 0
  for _, n in ipairs(waits.slots) do
    total = total + n
  end
  print("\n" .. bpf.hist.log2(waits.slots, {
    title = "Wait for a CPU", unit = "ns", width = math.min(common.width(), 100),
  }))
  if total > 0 then
    print(("\n%s waits, on average %s; half below %s, 99 of 100 below %s"):format(bpf.hist.number(total),
      bpf.hist.time(waits.ns // total), percentile(waits.slots, total, 0.5), percentile(waits.slots, total, 0.99)))
  end
end)

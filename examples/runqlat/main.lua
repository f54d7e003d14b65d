-- SPDX-License-Identifier: MIT
-- Shows how long threads wait for a CPU once they can run, as a histogram. The kernel counts in powers of two, each CPU
-- for itself.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local common = require "common"
local waits = require "waits"

local options = waits.options()

common.main(function()
  local obj <close> = common.load { vars = { target_pid = options.pid, by_process = options.processes } }
  waits.show(obj, obj.maps.waits, obj.maps.names, options)
end)

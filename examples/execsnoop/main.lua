-- SPDX-License-Identifier: MIT
-- Shows every program that is started, with its arguments, as it happens. The programs in the kernel send records
-- through a ring buffer; bpf.ringbuf decodes each into a table, by the C type's name, and hands it to a function here.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser "Shows programs that are started, with their arguments. Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "5"):argname("N"):convert(common.seconds)
parser:option("--comm", "show only programs with this name"):argname "NAME":init ""
parser:option("--parent", "show only programs that this process starts", 0):argname("PID"):convert(common.count)
local options = parser:parse()

-- The arguments, each ended by a NUL, as a shell would take them. Some may be cut off.
local function command_line(e)
  local words = {}
  for word in e.args:sub(1, e.size):gmatch "([^\0]*)\0?" do
    words[#words + 1] = word:find "^[%w%%+,./:=@_-]+$" and word or common.quote(word)
  end
  return table.concat(words, " ") .. (e.size > #e.args and " …" or "")
end

common.main(function()
  local width = common.width()
  local obj <close> = common.load()
  local began, count = common.now(), 0
  local events <close> = common.try(bpf.ringbuf(obj.maps.execs, "struct exec", function(e)
    if (options.comm == "" or options.comm == e.comm) and (options.parent == 0 or options.parent == e.ppid) then
      count = count + 1
      print(bpf.hist.line(("%6.2f %7d %7d %5d  %-16s %s"):format(e.ns / 1e9 - began, e.pid, e.ppid, e.uid, e.comm,
        command_line(e)), width))
    end
  end))
  common.try(obj:attach())
  print("  TIME     PID  PARENT   UID  COMMAND          ARGUMENTS")
  common.poll(events, options.seconds)
  print(("%d program%s started%s"):format(count, count == 1 and "" or "s",
    obj.vars.lost > 0 and (", %d not shown: the ring was full"):format(obj.vars.lost) or ""))
end)

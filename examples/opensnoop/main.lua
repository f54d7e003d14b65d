-- SPDX-License-Identifier: MIT
-- Shows which files are opened, by whom and with what result. The filters are variables of the object that are set
-- before it is loaded: the kernel sends only what is asked for, and the code of the other filters isn't even there.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser "Shows files that are opened by openat(2). Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "show only files that this process opens", 0):argname("PID"):convert(common.count)
parser:option("--comm", "show only files that processes with this name open"):argname "NAME":init ""
parser:flag("--failed", "show only files that could not be opened", false)
local options = parser:parse()

local ERRNO = { [1] = "EPERM", [2] = "ENOENT", [6] = "ENXIO", [13] = "EACCES", [17] = "EEXIST", [20] = "ENOTDIR",
  [21] = "EISDIR", [24] = "EMFILE", [40] = "ELOOP" }
local MODE = { [0] = "r", "w", "rw" }

-- How it was opened: read or written, and "c" for created, "t" for truncated, "a" for appended to.
local function mode(flags)
  return (MODE[flags & 3] or "-") .. (flags & 0x40 ~= 0 and "c" or "") .. (flags & 0x200 ~= 0 and "t" or "")
    .. (flags & 0x400 ~= 0 and "a" or "")
end

common.main(function()
  local width, count = common.width(), 0
  local obj <close> = common.load {
    vars = {
      self = common.pid(), target_pid = options.pid, target_comm = options.comm:sub(1, 15),
      failed_only = options.failed,
    },
  }
  local events <close> = common.try(bpf.ringbuf(obj.maps.opens, "struct open", function(e)
    local result = e.ret >= 0 and tostring(e.ret) or ERRNO[-e.ret] or "E" .. -e.ret
    count = count + 1
    print(bpf.hist.line(("%7d  %-16s %-7s %-4s %s"):format(e.pid, e.comm, result, mode(e.flags), e.file), width))
  end))
  common.try(obj:attach())
  print("    PID  COMMAND          RESULT  MODE FILE")
  common.poll(events, options.seconds)
  print(("%d open%s%s"):format(count, count == 1 and "" or "s",
    obj.vars.lost > 0 and (", %d not shown: the ring was full"):format(obj.vars.lost) or ""))
end)

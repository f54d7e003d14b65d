-- SPDX-License-Identifier: MIT
-- Shows which files are opened, by whom and with what result. The filters are variables of the object that are set
-- before it is loaded: the kernel sends only what is asked for, and the code of the other filters isn't even there.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser "Shows files that are opened by openat(2). Needs root."
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "show only files that this process opens", 0):argname("PID"):convert(common.count)
parser:option("--uid", "show only files that processes of this user open"):argname("N"):convert(common.count)
parser:option("--comm", "show only files that processes with this name open"):argname "NAME":init ""
parser:option("--path", "show only files whose path contains this"):argname "TEXT":init ""
parser:flag("--failed", "show only files that could not be opened", false)
parser:flag("--json", "print a JSON object per file", false)
local options = parser:parse()

local MODE = { [0] = "r", "w", "rw" }

-- How it was opened: read or written, and "c" for created, "t" for truncated, "a" for appended to.
local function mode(flags)
  return (MODE[flags & 3] or "-") .. (flags & 0x40 ~= 0 and "c" or "") .. (flags & 0x200 ~= 0 and "t" or "")
    .. (flags & 0x400 ~= 0 and "a" or "")
end

common.main(function()
  local count = 0
  local row = bpf.format.columns({
    { name = "PID", width = 7, align = "right" }, { name = "UID", width = 5, align = "right" },
    { name = "COMMAND", width = 16 }, { name = "RESULT", width = 7 }, { name = "MODE", width = 4 }, { name = "FILE" },
  }, { output = options.json and "json" or "text" })
  local obj <close> = common.load {
    vars = {
      self = common.pid(), target_pid = options.pid, target_uid = options.uid or -1,
      target_comm = options.comm:sub(1, 15), failed_only = options.failed,
    },
  }
  local events <close> = common.try(bpf.ringbuf(obj.maps.opens, "struct open", function(pid, ret, flags, uid, ...)
    local comm, file = ...
    if file:find(options.path, 1, true) then
      count = count + 1
      row(pid, uid, comm, ret >= 0 and ret or bpf.format.errno(ret), mode(flags), file)
    end
  end, { unpack = true }))
  common.try(obj:attach())
  io.stderr:write(("Watching for %g s; Ctrl-C ends it\n"):format(options.seconds))
  row()
  common.poll(events, options.seconds)
  local missed = obj.vars.lost
  io.stderr:write(("%d open%s%s\n"):format(count, count == 1 and "" or "s",
    missed > 0 and (", %d not shown: the ring was full"):format(missed) or ""))
end)

-- SPDX-License-Identifier: MIT
-- Lists processes, as ps does, without /proc: an iterator program walks the kernel's own list and writes a record for
-- each. Reading it runs the program; link:records decodes what it wrote.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"

local parser = common.parser "Lists processes. Needs root."
parser:flag("--threads", "list each thread", false)
parser:option("--uid", "list only processes of this user", -1):argname("N"):convert(common.count)
parser:option("--comm", "list only processes with this name"):argname "NAME":init ""
parser:option("--state", "list only processes in this state: R running, S sleeping, D in uninterruptible sleep, " ..
  "T stopped, I idle, Z ended")
  :argname "S":init ""
parser:option("--seconds", "list once more after N seconds, with the CPU time used meanwhile", 0)
  :argname("N"):convert(common.seconds)
local options = parser:parse()

local IDLE = 0x402 -- TASK_IDLE: waiting undisturbed, and no load

local function state(t)
  if t.exit_state ~= 0 then
    return "Z"
  elseif t.state & IDLE == IDLE then
    return "I"
  end
  return t.state == 0 and "R" or t.state & 1 ~= 0 and "S" or t.state & 2 ~= 0 and "D" or "T"
end

-- The rows, by pid; with the time on a CPU less what a list before had.
local function list(link, record, before)
  local rows, times = {}, {}
  for t in link:records(record) do
    local time = t.user + t.kernel
    times[t.pid] = time
    t.time = time - (before and before[t.pid] or 0)
    t.state = state(t)
    t.command = t.of_kernel and t.state ~= "Z" and "[" .. t.comm .. "]" or t.comm
    if options.state == "" or options.state == t.state then
      rows[#rows + 1] = t
    end
  end
  table.sort(rows, function(a, b) return a.pid < b.pid end)
  return rows, times
end

local page = tonumber(common.run "getconf PAGESIZE")

local COLUMNS = {
  { name = "PID", field = "pid" }, { name = "PARENT", field = "parent" }, { name = "UID", field = "uid" },
  { name = "S", field = "state" }, { name = "THREADS", field = "threads" },
  { name = "MAPPED", field = "pages", align = "right",
    format = function(pages) return pages > 0 and bpf.hist.bytes(pages * page) or "-" end },
  { name = "TIME", field = "time", format = bpf.hist.time, align = "right" },
  { name = "AGE", field = "age", format = bpf.hist.time, align = "right" },
  { name = "COMMAND", field = "command" },
}

local function show(rows, since)
  for _, row in ipairs(rows) do
    row.age = math.max(since * 1e9 - row.since, 0)
  end
  print(bpf.hist.table(rows, COLUMNS, { width = common.width() }))
  print(("\n%d %s%s"):format(#rows, options.threads and "thread" or "process",
    #rows == 1 and "" or options.threads and "s" or "es"))
end

common.main(function()
  common.need("iterators over tasks", "5.8")
  local obj <close> = common.load {
    vars = { threads = options.threads, target_uid = options.uid, target_comm = options.comm:sub(1, 15) },
  }
  local record = common.try(obj:btf():type "struct task")
  local link = common.try(obj.progs.each:attach_iter())
  local rows, times = list(link, record)
  if options.seconds > 0 then
    common.sleep(options.seconds)
    rows = list(link, record, times)
  end
  show(rows, common.now())
end)

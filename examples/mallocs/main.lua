-- SPDX-License-Identifier: MIT
-- Shows which code of a process allocates memory, and which does not free it: uprobes on malloc, calloc, realloc and
-- free of libc, or of an allocator such as jemalloc. The programs in programs.lua are functions in Lua.
package.path = arg[0]:gsub("[^/]*$", "") .. "../?.lua;" .. package.path
local bpf = require "bpf"
local common = require "common"
local programs = require "mallocs.programs"
local stacks = require "stacks"

local parser = common.parser([[
Shows stacks that allocate memory, by bytes. Without --pid, those of all processes. Needs root.]])
parser:option("--seconds", "run for N seconds or until Ctrl-C", "3"):argname("N"):convert(common.seconds)
parser:option("--pid", "watch this process only", 0):argname("PID"):convert(common.count)
parser:flag("--live", "order by the bytes that were not freed", false)
parser:option("--stacks", "show at most N stacks", "5"):argname("N"):convert(common.count)
parser:option("--library", "the file with malloc", "libc.so.6"):argname("F")
parser:flag("--folded", "print only one line per stack, for flame graphs, with bytes", false)
parser:flag("--json", "print a JSON object per stack", false)
local options = parser:parse()

local COLUMNS = {
  { name = "PID", width = 7 }, { name = "BYTES", width = 10 }, { name = "CALLS", width = 8 },
  { name = "LIVE BYTES", width = 10 }, { name = "LIVE CALLS", width = 10 }, { name = "STACK" },
}

local function attach(obj)
  local pid = options.pid > 0 and options.pid or -1
  for _, name in ipairs { "malloc", "calloc", "realloc" } do
    common.try(obj.progs.returned:attach_uprobe(options.library, name, { pid = pid, retprobe = true }))
  end
  for _, name in ipairs { "malloc", "calloc", "realloc", "free" } do
    common.try(obj.progs[name]:attach_uprobe(options.library, name, { pid = pid }))
  end
end

-- The uses that were counted, the largest first. Each has its stack's functions, from the outermost on.
local function rows_of(uses, traces)
  local rows, field = {}, options.live and "live_bytes" or "bytes"
  for place, use in pairs(uses) do
    use.pid, use.stack, rows[#rows + 1] = place.pid, stacks.fold(traces, place), use
  end
  table.sort(rows, function(a, b) return a[field] > b[field] or a[field] == b[field] and a.stack < b.stack end)
  return rows, field
end

common.main(function()
  local uses <close> = common.try(bpf.map.create(programs.USES))
  local traces <close> = common.try(bpf.map.create(programs.STACKS))
  local calls <close> = common.try(bpf.map.create(programs.CALLS))
  local blocks <close> = common.try(bpf.map.create(programs.BLOCKS))
  local obj <close> = common.try(programs.load(uses, traces, calls, blocks))
  attach(obj)
  io.stderr:write(("Watching %s for %g s; Ctrl-C ends it\n"):format(options.library, options.seconds))
  local finish = common.now() + options.seconds
  while common.now() < finish and common.sleep(math.min(finish - common.now(), 0.5)) do
    stacks.meet(uses)
  end
  obj:detach()
  stacks.meet(uses)
  local rows, field = rows_of(uses, traces)
  local row = bpf.format.columns(COLUMNS, { output = options.json and "json" or "text" })
  for i = 1, math.min(#rows, options.folded and #rows or options.stacks) do
    local use = rows[i]
    if options.folded then
      print(use.stack .. " " .. use[field])
    else
      row(use.pid, use.bytes, use.calls, use.live_bytes, use.live_calls, use.stack)
    end
  end
end)

-- SPDX-License-Identifier: MIT
-- lua-bpf progs.

local bpf = require("bpf")
local held = require("bpf.command.held")
local list = require("bpf.command.list")

local hist = bpf.hist

local USAGE <const> = [[
Usage: lua-bpf progs [--json] [PROG...]

Lists all programs of the kernel, or only the given ones. A PROG is an id, the path of a pin, a name, or a tag. All
programs of a name or tag are listed.
  TAG        a hash of the program's instructions
  UID        the user who loaded the program
  AGE        time since the program was loaded
  RUNS       how often the program ran, and the average time of a run. The kernel counts runs
             only on request, for example while sysctl kernel.bpf_stats_enabled is 1
  PINS       where the program is pinned
  PROCESSES  processes that have the program open; links and pins may keep a program, too
  --json     print a JSON array of objects instead of a table

Example: lua-bpf progs count_packets
]]

local function runs_text(n, info)
  return n == 0 and "" or ("%s × %s"):format(hist.number(n), hist.time(info.run_time_ns // n))
end

local function run(given, names)
  local items, now = list.collect("prog", names), held.uptime() * 1e9
  for _, info in ipairs(items) do
    info.memory = held.prog_memory(info.id)
  end
  local function age(loaded)
    return hist.time(math.max(now - loaded, 0))
  end
  list.print(items, {
    { name = "ID", field = "id" },
    { name = "NAME", field = "name", format = list.or_dash },
    { name = "TYPE", field = "type" },
    { name = "TAG", field = "tag" },
    { name = "UID", field = "uid" },
    { name = "AGE", field = "load_time", format = age, align = "right" },
    { name = "SIZE", field = "xlated_prog_len", format = hist.bytes, align = "right" },
    { name = "MEMORY", field = "memory", format = hist.bytes, align = "right" },
    { name = "RUNS", field = "run_cnt", format = runs_text, align = "right",
      shown = function(info) return info.run_cnt > 0 end },
    { name = "MAPS", field = "map_ids", format = function(ids) return table.concat(ids, ",") end },
    list.PINS,
    list.PROCESSES,
  }, given)
end

return { usage = USAGE, arguments = { "prog..." }, options = list.OPTIONS, run = run }

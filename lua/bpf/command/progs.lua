-- SPDX-License-Identifier: MIT
-- lua-bpf progs.

local bpf = require("bpf")
local held = require("bpf.command.held")
local list = require("bpf.command.list")

local hist = bpf.hist

local USAGE <const> = [[
Usage: lua-bpf progs [--json] [ID...]

Lists all programs of the kernel, or only those with the given ids.
  AGE        time since the program was loaded
  RUNS       how often the program ran, and the average time of a run. The kernel counts runs
             only on request, for example while sysctl kernel.bpf_stats_enabled is 1
  PROCESSES  processes that have the program open; links and pins may keep a program, too

]] .. list.HELP

local function runs_text(n, info)
  return n == 0 and "" or ("%s × %s"):format(hist.number(n), hist.time(info.run_time_ns // n))
end

local function run(given, names)
  local items = list.collect(bpf.progs, bpf.prog_info, names, list.only_ids(USAGE))
  local of, now, ran = held.owners().prog, held.uptime() * 1e9, false
  for _, info in ipairs(items) do
    info.memory = held.prog_memory(info.id)
    info.processes = of[info.id] or {}
    ran = ran or info.run_cnt > 0
  end
  local function age(loaded)
    return hist.time(math.max(now - loaded, 0))
  end
  local columns = {
    { name = "ID", field = "id" },
    { name = "NAME", field = "name", format = list.or_dash },
    { name = "TYPE", field = "type" },
    { name = "AGE", field = "load_time", format = age, align = "right" },
    { name = "SIZE", field = "xlated_prog_len", format = hist.bytes, align = "right" },
    { name = "MEMORY", field = "memory", format = hist.bytes, align = "right" },
    { name = "MAPS", field = "map_ids", format = function(ids) return table.concat(ids, ",") end },
    { name = "PROCESSES", field = "processes", format = held.processes_text },
  }
  if ran then
    table.insert(columns, 7, { name = "RUNS", field = "run_cnt", format = runs_text, align = "right" })
  end
  list.print(items, columns, given)
end

return { usage = USAGE, arguments = { "prog..." }, options = list.OPTIONS, run = run }

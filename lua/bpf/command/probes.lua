-- SPDX-License-Identifier: MIT
-- lua-bpf list: what can be traced.

local bpf = require("bpf")
local catalog = require("bpf.trace.catalog")
local frame = require("bpf.command.frame")

local USAGE <const> = [[
Usage: lua-bpf list [-v] [-p PID] [--json] [PATTERN...]

Lists what can be traced: tracepoints, raw tracepoints, functions of the kernel, of files and of processes, USDT probes,
events of perf, iterators and hooks of cgroups. Each line is the section of a program. A PATTERN is a section, or
bpftrace's name with colons; without a kind, it may mean the name alone. Wildcards are *, ? and sets as [a-z] or [!0-9]:
'*kill*' fits each name that contains "kill". Without PATTERN, lists all but functions and USDT probes of files.
  tracepoint/CATEGORY/NAME   raw_tp/NAME  tp_btf/NAME   fentry/FUNCTION  fexit/…  kprobe/…  kretprobe/…
  uprobe/PATH:FUNCTION       uretprobe/…  usdt/PATH:PROVIDER:NAME; PATH may be the name of a library, as libc.so.6
  software/EVENT  hardware/EVENT  iter/NAME  cgroup/HOOK  cgroup_skb/HOOK
What this kernel can't attach is marked "not here", and standard error says why.
  -v, --verbose        show arguments with their types, and what functions return
  -p, --pid PID        list functions and USDT probes of the files that a process has mapped
  --json               print a JSON array of objects

Example: lua-bpf list -v 'tracepoint/syscalls/sys_enter_open*'
]]

local MARK <const> = "not here"

local MOST <const> = 3 -- that a message names

-- What may be meant by a pattern that fits nothing: names that contain its last word, or else names that are near.
local function meant(text, options)
  local before, word = text:match("^(.-)([%w_]+)$")
  local wide = word and ("%s*%s*"):format(before, word)
  local found = wide and catalog.find(wide, options) or {}
  if not found[1] then
    local near = catalog.near(text, options)
    return near[1] and (" (near: %s)"):format(table.concat(near, ", ")) or ""
  end
  local examples = {}
  for n = 1, math.min(#found, MOST) do
    examples[n] = found[n].section
  end
  return ("; '%s' fits %s%s"):format(wide, table.concat(examples, ", "),
    #found > MOST and (" and %d more"):format(#found - MOST) or "")
end

-- Adds what a pattern finds; what was found before isn't added again.
local function collect(items, seen, text, options)
  local found, problems = catalog.find(text, options)
  if not found then
    frame.fail(problems)
  end
  for _, item in ipairs(found) do
    if not seen[item.section] then
      seen[item.section] = true
      items[#items + 1] = item
    end
  end
  if #found == 0 then
    frame.fail(problems[1] or ("nothing fits '%s'%s"):format(text, meant(text, options)))
  end
  return problems
end

-- The reasons of the marks and what could not be read, each once.
local function say(items, problems)
  local said = {}
  for _, problem in ipairs(problems) do
    if not said[problem] then
      said[problem] = true
      io.stderr:write("lua-bpf: ", problem, "\n")
    end
  end
  for _, item in ipairs(items) do
    local text = item.refusal and ("%s: %s: %s"):format(MARK, item.kind, item.refusal)
    if text and not said[text] then
      said[text] = true
      io.stderr:write("lua-bpf: ", text, "\n")
    end
  end
end

-- The length of the longest of a list's texts, up to a limit.
local function longest(list, field, most)
  local n = 0
  for _, item in ipairs(list) do
    n = math.max(n, #item[field])
  end
  return math.min(n, most)
end

local WIDEST <const> = 48

-- Adds the lines of a probe's arguments.
local function add_arguments(lines, item)
  local rows = table.move(item.rows or {}, 1, #(item.rows or {}), 1, {})
  rows[#rows + 1] = item.result
  local width = longest(rows, "name", 32)
  for _, row in ipairs(rows) do
    lines[#lines + 1] = ("    %-" .. width .. "s  %s"):format(row.name, row.c)
  end
end

local function text_of(items, given)
  local width, lines = longest(items, "section", WIDEST), {}
  for _, item in ipairs(items) do
    lines[#lines + 1] = item.refusal and ("%-" .. width .. "s  %s"):format(item.section, MARK) or item.section
    if given.verbose then
      add_arguments(lines, item)
    end
  end
  return table.concat(lines, "\n")
end

-- The rows of arguments for JSON: a type is an object as the tables of types are.
local function described(rows)
  local list = {}
  for n, row in ipairs(rows) do
    list[n] = { name = row.name, c = row.c, type = row.type }
  end
  return list
end

local function json_of(items)
  local list = {}
  for n, item in ipairs(items) do
    list[n] = { section = item.section, kind = item.kind, name = item.name, here = not item.refusal,
      reason = item.refusal, arguments = item.rows and described(item.rows),
      returns = item.result and described({ item.result })[1] }
  end
  return bpf.json(list)
end

local function run(given, patterns)
  local items, seen, problems = {}, {}, {}
  for _, text in ipairs(patterns[1] and patterns or { "*" }) do
    for _, problem in ipairs(collect(items, seen, text, { pid = given.pid })) do
      problems[#problems + 1] = problem
    end
  end
  for _, item in ipairs(items) do
    item.refusal = catalog.refusal(item)
    if given.verbose then
      local _, why, rows, result = catalog.arguments(item)
      item.rows, item.result = rows, result
      problems[#problems + 1] = not rows and type(why) == "string" and why or nil
    end
  end
  frame.print_line(given.json and json_of(items) or text_of(items, given))
  say(items, problems)
end

return { list = {
  usage = USAGE,
  arguments = { "probe" },
  options = { verbose = true, pid = frame.count, json = true },
  short = { v = "verbose", p = "pid" },
  run = run,
} }

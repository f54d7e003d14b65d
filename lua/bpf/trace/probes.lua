-- SPDX-License-Identifier: MIT
-- Texts of probes: section names of libbpf, names as bpftrace writes them, lists, patterns, and what runs in the tool.

local near = require("bpf.base.near")
local fail = require("bpf.trace.failure").wrong

local probes = {}

-- Kinds by name: the kind itself, and other names of it. What has a separator in its rest besides a path has `slash`.
local KINDS <const>, NAMES <const> = {}, {}
for kind, others in pairs {
  tracepoint = "tp t", raw_tp = "raw_tracepoint rawtracepoint rt", tp_btf = "", fentry = "kfunc f",
  fexit = "kretfunc fr", kprobe = "k", kretprobe = "kr", ksyscall = "", kretsyscall = "", uprobe = "u",
  uretprobe = "ur", usdt = "U", iter = "it", lsm = "", ["kprobe.multi"] = "", ["kretprobe.multi"] = "",
  ["uprobe.multi"] = "", ["uretprobe.multi"] = "", ["fentry.s"] = "", ["fexit.s"] = "", ["lsm.s"] = "",
  ["raw_tp.w"] = "", ["iter.s"] = "", ["uprobe.s"] = "", ["uretprobe.s"] = "",
  profile = "p", interval = "i", software = "s", hardware = "h", begin = "BEGIN", ["end"] = "END", every = "",
} do
  KINDS[kind] = kind
  NAMES[#NAMES + 1] = kind
  for name in others:gmatch("%S+") do
    KINDS[name] = kind
  end
end

-- Times -------------------------------------------------------------------------------------------------------------

local NANOSECONDS <const> = { s = 1000000000, ms = 1000000, us = 1000 }

-- The period in ns of "hz:99", "ms:10" or a bare number, which means `unit`.
local function period(text, rest, unit)
  local given, digits = rest:match("^([a-z]+)[:/]([0-9.]+)$")
  local n = tonumber(digits or rest)
  given = given or unit
  if not n or n <= 0 or given ~= "hz" and not NANOSECONDS[given] then
    fail("'%s': a number above 0 is expected, such as %s", text, unit == "hz" and "profile/99" or "interval/1")
  end
  return math.max(given == "hz" and 1000000000 / n or n * NANOSECONDS[given], 1) // 1 | 0
end

-- What the perf events of software and hardware probes are called here, and there; and after how many one is sampled.
local EVENTS <const> = {
  software = {
    ["cpu-clock"] = { 1000000, "cpu" }, ["task-clock"] = { 1000000 }, ["page-faults"] = { 100, "faults" },
    ["context-switches"] = { 1000, "cs" }, ["cpu-migrations"] = { 1 }, ["page-faults-min"] = { 100, "minor-faults" },
    ["page-faults-maj"] = { 1, "major-faults" }, ["alignment-faults"] = { 1 }, ["emulation-faults"] = { 1 },
    ["bpf-output"] = { 1 },
  },
  hardware = {
    ["cpu-cycles"] = { 1000000, "cycles" }, ["instructions"] = { 1000000 },
    ["cache-references"] = { 1000000 }, ["cache-misses"] = { 1000000 },
    ["branch-instructions"] = { 100000, "branches" }, ["branch-misses"] = { 100000 }, ["bus-cycles"] = { 100000 },
    ["stalled-cycles-frontend"] = { 1000000, "frontend-stalls" },
    ["stalled-cycles-backend"] = { 1000000, "backend-stalls" }, ["ref-cpu-cycles"] = { 1000000 },
  },
}

-- The name of an event, as this table has it, and how often it is sampled if the probe doesn't tell.
local function event_of(text, kind, given)
  local name, known = given:gsub("_", "-"), {}
  for event, row in pairs(EVENTS[kind]) do
    if event == name or row[2] == name then
      return event, row[1]
    end
    known[#known + 1] = event
  end
  table.sort(known)
  local meant = near.names(name, known)
  fail("'%s': there is no %s event '%s' (%s)", text, kind, given,
    meant[1] and "near: " .. table.concat(meant, ", ") or "there are: " .. table.concat(known, ", "))
end

local function counted(text, kind, rest)
  local name, count = rest:match("^([A-Za-z_-]+)[:/]?([0-9]*)$")
  if not name then
    fail("'%s': a name is expected, and after how many events the body runs: %s", text,
      kind == "software" and "software/page-faults/100" or "hardware/cpu-cycles/1000000")
  end
  local event, usual = event_of(text, kind, name)
  return { section = "perf_event", event = {
    type = kind, config = event:gsub("-", "_"), sample_period = math.tointeger(tonumber(count)) or usual,
    cpu = "online",
  } }
end

-- Kinds -------------------------------------------------------------------------------------------------------------

local function need_rest(text, kind, rest, example)
  if rest == "" then
    fail("'%s': which? Such as %s", text, example or kind .. "/NAME")
  end
end

-- Kinds whose section isn't the kind, a slash and the rest: functions that give a probe's fields.
local READERS <const> = {}

function READERS.tracepoint(text, _, rest)
  local category, name = rest:match("^([^/:]+)[/:]([^/:]+)$")
  if not category then
    fail("'%s': a tracepoint has a category and a name: tracepoint/sched/sched_switch", text)
  end
  return { section = ("tracepoint/%s/%s"):format(category, name) }
end

-- A path or a short name, and behind a colon what is there.
local function user(text, kind, rest)
  if not rest:find("^.+:.+$") then
    fail("'%s': a file and a function are expected: %s", text,
      kind == "usdt" and "usdt/libc.so.6:libc:setjmp" or kind .. "/libc.so.6:malloc")
  end
  return { section = kind .. "/" .. rest }
end
READERS.uprobe, READERS.uretprobe, READERS.usdt = user, user, user
READERS["uprobe.s"], READERS["uretprobe.s"] = user, user

function READERS.profile(text, _, rest)
  local ns = period(text, rest == "" and "99" or rest, "hz")
  return { section = "perf_event", event = {
    type = "software", config = "cpu_clock", sample_period = ns, cpu = "online",
  } }
end

function READERS.interval(text, _, rest)
  local ns = period(text, rest == "" and "1" or rest, "s")
  return { section = "perf_event", event = { type = "software", config = "cpu_clock", sample_period = ns, cpu = 0 } }
end

READERS.software, READERS.hardware = counted, counted

function READERS.iter(_, kind, rest)
  return { section = kind .. "/" .. rest, once = true }
end
READERS["iter.s"] = READERS.iter

function READERS.begin(text, kind, rest)
  if rest ~= "" then
    fail("'%s': nothing stands behind '%s'", text, kind)
  end
  return { plain = kind }
end
READERS["end"] = READERS.begin

function READERS.every(text, _, rest)
  return { plain = "every", seconds = period(text, rest, "s") / 1000000000 }
end

-- The rest may be empty, and isn't looked for.
local ALONE <const> = { profile = true, interval = true, begin = true, ["end"] = true }
local PATTERNS <const> = "[*?%[]"

-- The probes or kinds that may be meant by a text without a kind: those that it is the name of, or what is near.
local function meant_by(text, word)
  local found = text:find("^[A-Za-z0-9_/:.-]+$") and require("bpf.trace.catalog").find(text) or {}
  local names = {}
  for n = 1, math.min(#found, 3) do
    names[n] = found[n].section
  end
  return names[1] and names or near.names(word or text, NAMES)
end

-- A probe: `title`, the text; `kind`; `section`, unless it is `plain` Lua in the tool; `event`, what a perf_event
-- program is attached to; `pattern`: whether its section is one.
local function read(text)
  local word, rest = text:match("^([A-Za-z_.]+)[/: ]?(.*)$")
  local kind = KINDS[word]
  if not kind then
    local meant = meant_by(text, word)
    if meant[1] == text:gsub(":", "/") then
      fail("'%s': a program there decides what happens, and bodies only look; `bpf.programs` attaches one", text)
    end
    fail("'%s' is no kind of probe%s", text:match("^[^/: ]+") or text,
      meant[1] and (" (near: %s)"):format(table.concat(meant, ", ")) or ": `lua-bpf list` shows what there is")
  end
  kind = kind:gsub("%.multi$", "") -- how many functions one program serves is found out
  if not ALONE[kind] then
    need_rest(text, kind, rest, kind == "every" and "every 5")
  end
  local reader = READERS[kind]
  local probe = reader and reader(text, kind, rest) or { section = kind .. "/" .. rest }
  probe.kind, probe.title = kind, text
  probe.pattern = probe.section and not probe.event and rest:find(PATTERNS) ~= nil
  return probe
end

-- The probes of a text: a list with commas.
function probes.read(text)
  local list = {}
  for part in (text .. ","):gmatch("%s*([^,]-)%s*,") do
    if part == "" then
      fail("'%s': a probe is missing", text)
    end
    list[#list + 1] = read(part)
  end
  return list
end

-- Patterns ----------------------------------------------------------------------------------------------------------

-- What is attached to functions of files, which may have several names.
local FUNCTIONS <const> = { uprobe = true, uretprobe = true, ["uprobe.s"] = true, ["uretprobe.s"] = true }

-- A probe in place of each pattern of a list, by `find(section)`, which returns a list of { section = } and a list of
-- what could not be read, or nil and why. Returns the list, and warnings for those that match nothing while others do.
-- A function of a file is there once, whatever its names.
function probes.expand(list, find)
  local all, warnings = {}, {}
  for _, probe in ipairs(list) do
    if not probe.pattern then
      all[#all + 1] = probe
      goto continue
    end
    local found, why = find(probe.section)
    if not found or not found[1] then
      if type(why) == "table" then
        why = why[1]
      end
      warnings[#warnings + 1] = ("nothing matches %s%s"):format(probe.title, why and ": " .. why or "")
    end
    if found and FUNCTIONS[probe.kind] then
      found = require("bpf.trace.catalog.user").once(found)
    end
    for _, match in ipairs(found or {}) do
      all[#all + 1] = { kind = probe.kind, title = match.section, section = match.section, of = probe }
    end
    ::continue::
  end
  if not all[1] then
    fail("%s", table.concat(warnings, "; "))
  end
  return all, warnings
end

return probes

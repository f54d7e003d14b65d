-- SPDX-License-Identifier: MIT
-- The bodies of a trace: from what was typed to one for each program, with what is known of its probes.

local catalog = require("bpf.trace.catalog")
local groups = require("bpf.trace.groups")
local infer = require("bpf.trace.infer")
local probes = require("bpf.trace.probes")
local refuse = require("bpf.trace.failure").refused

local bodies = {}

-- The section by which the catalog knows what a probe is at: kinds that may sleep or write are at the same places as
-- others, hooks of LSM are functions, and an instruction is in one.
local function known_as(section)
  return (section:gsub("^([a-z_]+)%.[sw]/", "%1/"):gsub("^lsm/", "fentry/bpf_lsm_"):gsub("%+[0-9][0-9a-fx]*$", ""))
end

-- Why this kernel hasn't a probe, or nil. One that a pattern matched, and what isn't looked for by name, is there.
local function absence(probe)
  if probe.event or probe.of or not catalog.has(known_as(probe.section):match("^[^/]*")) then
    return nil
  end
  local found, problems = catalog.find(known_as(probe.section))
  probe.found = found and found[1]
  if not found or probe.found then
    return nil
  elseif problems[1] then
    return ("%s: %s"):format(probe.section, problems[1])
  end
  local near = catalog.near(known_as(probe.section))
  local names = near and table.concat(near, ", "):gsub("fentry/bpf_lsm_", "lsm/") or ""
  return ("there is no %s%s"):format(probe.section, names ~= "" and (" (near: %s)"):format(names) or "")
end

-- The types of what a body reads of its probe. Where many share a program they are the same.
local function describe(body, uses)
  local probe = body.probe
  if not probe.event and (uses.fields or uses.numbered or uses.ret) then
    local found = probe.found or (catalog.find(known_as(probe.section)) or {})[1]
    if found then
      body.arguments, body.result = catalog.arguments(found)
    end
  end
end

-- The number of a probe, and as many more as `room` says.
local function number_of(trace, room)
  local number = (trace.numbered or 0) + 1
  trace.numbered = number - 1 + (room or 1)
  return number
end

local CALLS <const> = 1024 -- more than there are system calls

-- Gives the members of a body their numbers, by which `trace.titles` has their titles. Behind the number of a program
-- for system calls come those of the calls.
local function number(trace, body)
  local group = body.group
  body.number = number_of(trace, group.way == "syscalls" and CALLS or 1)
  for n, member in ipairs(body.members) do
    member.number = member.call and group.way and body.number + member.call
      or n == 1 and body.number or number_of(trace)
    trace.titles[member.number] = member.probe.title
    trace.functions[member.number] = member.probe.section:match("[^/:]*$")
  end
end

-- A body for a group of probes.
local function body_of(trace, group, text, uses)
  local probe = group.members[1].probe
  local body = {
    title = group.title, text = text, section = group.section, probe = probe, group = group, members = group.members,
    uses = uses,
  }
  body.fn = infer.load(body.title, text, {})
  body.cookie = group.members[2] ~= nil and group.way ~= "syscalls" and uses.probe or false
  number(trace, body)
  describe(body, uses)
  return body
end

-- Parts a list of probes by the condition under which their bodies run.
local function by_condition(list, condition)
  local parts, known = {}, {}
  for _, probe in ipairs(list) do
    local text = condition and condition(probe.kind) or nil
    local part = known[text or false]
    if not part then
      part = { condition = text }
      known[text or false], parts[#parts + 1] = part, part
    end
    part[#part + 1] = probe
  end
  return parts
end

-- What a probe is, whatever it is called: a list or its patterns may have it twice.
local function identity(probe)
  local event = probe.event
  if event then
    return ("%s %s %d %s"):format(event.type, event.config, event.sample_period, event.cpu)
  elseif probe.plain then
    return ("%s %s"):format(probe.plain, probe.seconds)
  end
  return probe.found and known_as(probe.section) == probe.section and probe.found.section or probe.section
end

-- The probes of a list that are there, each once, and plain ones. Warnings of others are added to a list.
local function part_there(list, warnings)
  local there, plain, seen = {}, {}, {}
  for _, probe in ipairs(list) do
    local why = not probe.plain and absence(probe) or nil
    local known = identity(probe)
    if not seen[known] then
      seen[known] = true
      table.insert(why and warnings or probe.plain and plain or there, why or probe)
    end
  end
  return there, plain
end

--- What the bodies of a trace share, by the inference of types. What isn't wrong without the condition of --where is
-- wrong there.
function bodies.infer(trace)
  local ok, result = pcall(infer.run, trace.bodies)
  if ok then
    return result
  elseif trace.where and type(result) == "table" then
    local bare = {}
    for n, body in ipairs(trace.bodies) do
      local text = body.given or body.text
      bare[n] = setmetatable({ text = text, fn = infer.load(body.title, text, {}) }, { __index = body })
    end
    local fine, other = pcall(infer.run, bare)
    if fine or type(other) == "table" and other.trace ~= result.trace then
      result.trace = "--where at " .. result.trace
    end
  end
  error(result, 0)
end

-- Adds the bodies of one row, probes and their text. Warnings are added to a list.
local function add_row(trace, row, condition, warnings)
  local list, more = probes.expand(probes.read(row[1]), catalog.find)
  table.move(more, 1, #more, #warnings + 1, warnings)
  local added = #trace.bodies
  if list[1] then -- what is wrong with the text comes before what is with the probes
    infer.load(list[1].title, row[2], {})
  end
  local there, plain = part_there(list, warnings)
  for _, probe in ipairs(plain) do
    table.insert(trace.bodies, { title = probe.title, text = row[2], probe = probe, tool = true,
      fn = infer.load(probe.title, row[2], {}) })
  end
  for _, part in ipairs(by_condition(there, condition)) do
    local text = part.condition and ("if not (%s) then return end %s"):format(part.condition, row[2]) or row[2]
    local uses = groups.uses(text)
    for _, group in ipairs(groups.part(part, uses)) do
      local body = body_of(trace, group, text, uses)
      body.given = row[2]
      table.insert(trace.bodies, body)
    end
  end
  if #trace.bodies == added then
    refuse(table.concat(warnings, "; "), "ENOENT", 2)
  end
end

-- Adds to a trace's `bodies`; by the numbers of probes, to their `titles` and `functions`. Probes that don't exist are
-- left out while another of their list does; returns a warning for each. `condition(kind)` gives the text of the
-- condition under which bodies of such probes run, or nil. `own`: the bodies are the trace's own.
function bodies.add(trace, given, condition, own)
  local warnings = {}
  for _, row in ipairs(given) do
    local first = #trace.bodies + 1
    add_row(trace, row, condition, warnings)
    for n = first, #trace.bodies do
      trace.bodies[n].row, trace.bodies[n].own = row, own
    end
  end
  return warnings
end

return bodies

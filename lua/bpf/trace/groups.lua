-- SPDX-License-Identifier: MIT
-- Which probes one program can serve: those of a list or pattern whose body asks for nothing that differs between them.
-- What tells them apart, if the body wants to know, is the cookie of each attachment, or the number of a system call.

local ask = require("bpf.trace.catalog.ask")
local btf = require("bpf.trace.catalog.btf")
local calls = require("bpf.trace.calls")
local core = require("bpf.core")
local syscalls = require("bpf.format.syscalls")
local tracefs = require("bpf.program.tracefs")
local refuse = require("bpf.trace.failure").refused

local groups = {}

-- The words of a body's text, as a set; and of those the ones that tell what a program needs of its probe:
-- - `fields`: args; `numbered`: arg0 and so on; `ret`; `probe`
-- - `names`: of args.NAME, nil if args is used in another way
function groups.uses(text)
  local found, names, count = { names = {} }, {}, 0
  for word in text:gmatch("[A-Za-z_][A-Za-z_0-9]*") do
    found[word:find("^arg%d+$") and "numbered" or word == "args" and "fields" or word] = true
    count = count + (word == "args" and 1 or 0)
  end
  for name in text:gmatch("%f[A-Za-z_]args%s*%.%s*([A-Za-z_][A-Za-z_0-9]*)") do
    names[name], count = true, count - 1
  end
  found.names = count == 0 and names or nil
  return found
end

local function has_cookies(type)
  return core.features.helper(type, "get_attach_cookie") == true
end

-- Tracepoints ---------------------------------------------------------------------------------------------------------

local made -- a set of the events that users made of probes, as CATEGORY/NAME

local function is_made(place)
  if not made then
    made = {}
    for event in (tracefs.read("dynamic_events") or ""):gmatch("[a-z][0-9]*:(%S+)") do
      made[event] = true
    end
  end
  return made[place]
end

-- The argument of a raw tracepoint's programs is another one, so a body that reads the record can't be there. Without
-- cookies each has a program of its own, which is detached at once as well.
local function raw(uses, name)
  local alone = uses.probe and not has_cookies("raw_tracepoint") or nil
  local section = "raw_tp/" .. name
  return { key = alone and section or "raw", way = "raw", section = section, name = name, alone = alone }
end

-- The result is all that a body may read: it is at the same place in the records of all exits.
local function only_result(uses)
  for name in pairs(uses.names or { [false] = true }) do
    if name ~= "ret" then
      return false
    end
  end
  return true
end

local function system_call(place, uses)
  local event, direction, name = place:match("^syscalls/(sys_(e[nx][a-z]+)_(.+))$")
  local number = direction and calls.are_known() and syscalls.number(name)
  local same
  if direction == "exit" then
    same = only_result(uses) and ""
  elseif number and not uses.ret then
    same = not uses.fields and "" or uses.names and calls.signature(event, uses.names)
  end
  if number and same then
    local section = "raw_tp/sys_" .. direction
    return { key = section .. " " .. same, way = "syscalls", section = section, name = "sys_" .. direction,
      number = number }
  end
end

local rows = {}

function rows.tracepoint(probe, uses)
  local place = probe.section:match("^[^/]+/(.*)$")
  if place:find("^syscalls/") then
    return system_call(place, uses)
  elseif not uses.fields and not uses.ret and not place:find("^ftrace/") and not is_made(place) then
    return raw(uses, place:match("[^/]*$"))
  end
end

function rows.raw_tp(probe, uses)
  return not uses.fields and raw(uses, probe.section:match("^[^/]+/(.*)$")) or nil
end

function rows.tp_btf(probe, uses)
  return not uses.numbered and rows.raw_tp(probe, uses) or nil
end

-- Functions of the kernel ---------------------------------------------------------------------------------------------

-- Whether this kernel attaches a program to many functions at once. Its BTF is read anyway, and has the link only if
-- the kernel can make it (CONFIG_FPROBE).
local function has_multi()
  return btf.find("bpf_kprobe_multi_link", "struct") ~= nil
end

-- The C type of a function's result, as programs for several functions must have the same.
local function result_of(name)
  local description = btf.find(name, "func")
  return description and description.returns or "unknown"
end

local function functions(returns)
  return function(probe, uses)
    local name = probe.section:match("^[^/]+/(.*)$")
    if uses.fields or name:find("+", 1, true) or not has_multi() then
      return nil
    end
    local kind = returns and "kretprobe.multi" or "kprobe.multi"
    local key = kind .. (uses.ret and result_of(name) or "")
    return { key = key, way = "kprobe_multi", section = kind .. "/" .. name, name = name, returns = returns,
      one = true }
  end
end
rows.kprobe, rows.kretprobe = functions(false), functions(true)

-- Programs of type fentry are for one function each: where a body reads nothing of it, another type does as well.
local function entry(returns)
  local of = functions(returns)
  return function(probe, uses)
    return not (uses.numbered or uses.ret) and of(probe, uses) or nil
  end
end
rows.fentry, rows.fexit = entry(false), entry(true)

-- Functions of files --------------------------------------------------------------------------------------------------

local multi_of_files

local function has_multi_of_files(path, name)
  if multi_of_files == nil then
    multi_of_files = ask.refusal(("uprobe.multi/%s:%s"):format(path, name), function(prog)
      return prog:attach_uprobe_multi(path, { name })
    end) == nil
  end
  return multi_of_files
end

local function functions_of_files(returns)
  return function(probe, uses)
    local kind, path, name = probe.section:match("^([^/]+)/(.*):([^:]+)$")
    if uses.fields or name:find("+", 1, true) then
      return nil
    end
    local key = kind .. " " .. path
    if has_multi_of_files(path, name) then
      return { key = key, way = "uprobe_multi", section = ("%s.multi/%s:%s"):format(kind, path, name), path = path,
        name = name, returns = returns, one = true }
    end
    return (not uses.probe or has_cookies("kprobe")) and { key = key, way = "uprobe",
      section = probe.section, path = path, name = name, returns = returns } or nil
  end
end
rows.uprobe, rows.uretprobe = functions_of_files(false), functions_of_files(true)

-- Groups --------------------------------------------------------------------------------------------------------------

local MOST <const> = 512 -- attachments that a list or pattern may take

local function check_number(list, uses)
  local first = list[1]
  local many = #list > MOST and first and first.of and rows[first.kind]
  local one = many and many(first, uses)
  if #list > MOST and not (one and one.one) then
    local count = 0
    for _, probe in ipairs(list) do
      local row = rows[probe.kind]
      local way = probe.kind == "tracepoint" and probe.section:find("/syscalls/", 1, true) and row(probe, uses)
      count = count + (way and 0 or 1)
    end
    if count > MOST then
      refuse(("%s matches %d probes, more than %d: a narrower pattern is needed"):format((first.of or first).title,
        #list, MOST), "E2BIG", 2)
    end
  end
end

-- Parts a list of probes into groups: a sequence of { way, section, members }, of which the members are { probe, name,
-- number }. A probe that shares no program is a group without a way. Raises where there are too many.
function groups.part(list, uses)
  check_number(list, uses)
  local all, by_key = {}, {}
  for _, probe in ipairs(list) do
    local row = #list > 1 and rows[probe.kind]
    local found = row and row(probe, uses)
    local group = found and by_key[found.key]
    if not group then
      group = found or {}
      group.members = {}
      all[#all + 1] = group
      by_key[found and found.key or false] = found and group
    end
    table.insert(group.members, { probe = probe, name = found and found.name, call = found and found.number })
  end
  for _, group in ipairs(all) do
    local probe = group.members[1].probe
    if not group.way or not group.members[2] and not group.alone then
      group.way, group.section = nil, probe.section
    end
    group.title = group.members[2] and probe.of and probe.of.title or probe.title
  end
  return all
end

return groups

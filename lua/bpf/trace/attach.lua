-- SPDX-License-Identifier: MIT
-- Attaches programs at their probes: one at its own, or one at those of a group.

local core = require("bpf.core")
local posix = require("bpf.base.posix")
local refuse = require("bpf.trace.failure").refused

local attach = {}

-- What a way returns: nothing, if all members are attached, or a list of { probe, message }.

local function add(links, probe, failed, link, message, code)
  links[#links + 1] = link
  if not link then
    failed[#failed + 1] = { probe = probe, message = message, code = code }
  end
end

local ways = {}

-- A perf event on each CPU where it is to be.
local function events(body, links)
  local event, before, failed = body.probe.event, #links, {}
  for _, cpu in ipairs(event.cpu == "online" and core.cpus().online or { event.cpu }) do
    add(links, body.probe, failed, body.prog:attach_perf_event {
      type = event.type, config = event.config, sample_period = event.sample_period, cpu = cpu,
    })
    if failed[1] then -- it is attached to no CPU
      for _ = before + 1, #links do
        table.remove(links):close()
      end
      break
    end
  end
  return failed
end

function ways.one(body, links)
  local failed = {}
  if body.probe.event then
    return events(body, links)
  end
  local link, message, code = body.prog:attach()
  add(links, body.probe, failed, link, message, code)
  body.iterator = body.probe.once and link or nil
  return failed
end

function ways.raw(body, links)
  local failed = {}
  for _, member in ipairs(body.members) do
    add(links, member.probe, failed,
      body.prog:attach_raw_tracepoint(member.name, { cookie = body.cookie and member.number or nil }))
  end
  return failed
end

function ways.syscalls(body, links)
  local link, message, code = body.prog:attach_raw_tracepoint(body.group.name)
  local failed = {}
  links[#links + 1] = link
  for _, member in ipairs(link and {} or body.members) do
    failed[#failed + 1] = { probe = member.probe, message = message, code = code }
  end
  return failed
end

function ways.uprobe(body, links)
  local failed, group = {}, body.group
  for _, member in ipairs(body.members) do
    add(links, member.probe, failed, body.prog:attach_uprobe(group.path, member.name,
      { retprobe = group.returns, bpf_cookie = body.cookie and member.number or nil }))
  end
  return failed
end

-- Attaches members from first to last by one link. Where the kernel refuses, it doesn't tell which it doesn't want: the
-- halves are tried.
local function halves(body, links, first, last, try, failed)
  local names, cookies = {}, {}
  for n = first, last do
    local member = body.members[n]
    names[#names + 1], cookies[#cookies + 1] = member.name, member.number
  end
  local link, message, code = try(names, { retprobe = body.group.returns, cookies = body.cookie and cookies or nil })
  if link or first == last then
    return add(links, body.members[first].probe, failed, link, message, code)
  end
  local middle = (first + last) // 2
  halves(body, links, first, middle, try, failed)
  halves(body, links, middle + 1, last, try, failed)
end

function ways.kprobe_multi(body, links)
  local failed = {}
  halves(body, links, 1, #body.members, function(names, options)
    return body.prog:attach_kprobe_multi(names, options)
  end, failed)
  return failed
end

function ways.uprobe_multi(body, links)
  local failed = {}
  halves(body, links, 1, #body.members, function(names, options)
    return body.prog:attach_uprobe_multi(body.group.path, names, options)
  end, failed)
  return failed
end

-- Iterators -----------------------------------------------------------------------------------------------------------

-- Runs the bodies of iterators, each once over all that there is. Returns whether there are no others. Raises what
-- fails.
function attach.iterate(bodies)
  local only = bodies[1] ~= nil
  for _, body in ipairs(bodies) do
    only = only and (body.probe.once or body.own) or false
    if body.iterator then
      local text, message, code = body.iterator:read()
      if not text then
        refuse(("%s: %s"):format(body.title, message), code)
      end
    end
  end
  return only
end

-- Failures ------------------------------------------------------------------------------------------------------------

-- The reason alone, without the name of our program and of the way.
local function reason(message)
  return (message:gsub("^program '.-': [a-z_]+: ", ""))
end

-- The same for all probes, without the name of one.
local function common(why, probe)
  local name = probe.section:match("[^/:]*$")
  local from, to = why:find(name, 1, true)
  return name ~= "" and from and why:sub(1, from - 1) .. why:sub(to + 1) or why
end

-- A sentence for each reason in a list of { probe, message }.
function attach.sentences(failed)
  local list, by_reason = {}, {}
  for _, row in ipairs(failed) do
    local why = reason(row.message)
    local key = common(why, row.probe)
    local known = by_reason[key]
    if not known then
      known = { first = row.probe.title, why = why, count = 0 }
      by_reason[key], list[#list + 1] = known, known
    end
    known.count = known.count + 1
  end
  for n, row in ipairs(list) do
    list[n] = row.count == 1 and ("%s: %s"):format(row.first, row.why)
      or ("%s and %d more: %s"):format(row.first, row.count - 1, row.why)
  end
  return list
end

-- Links whose close waits until no CPU uses the probe any more: those by perf events, but for samples, and of fentry.
local SLOW <const> = {}
for kind in ("tracepoint kprobe kretprobe ksyscall kretsyscall uprobe uretprobe usdt fentry fexit"):gmatch("%S+") do
  SLOW[kind] = true
end

-- Closes links. Where that takes long, about 0.05 s for each, another process does it, so that this one needn't wait.
function attach.close(links)
  local slow = {}
  for _, link in ipairs(links) do
    slow[#slow + 1] = links.slow[link] and link:fd() or nil
  end
  local function close()
    for _, link in ipairs(links) do
      link:close()
    end
  end
  if not (slow[1] and posix.leave(slow, close)) then
    close()
  end
end

-- Attaches all bodies. Adds the links to a list, whose `slow` has those whose close takes long, and to another one
-- { probe, message, code } of each probe that can't be attached. Returns how many are attached.
function attach.all(bodies, links, failed)
  links.slow = {}
  local count = 0
  for _, body in ipairs(bodies) do
    local before, way = #links, body.group.way
    local some = ways[way or "one"](body, links)
    for n = before + 1, way ~= nil and way ~= "uprobe" and 0 or #links do
      links.slow[links[n]] = SLOW[body.probe.kind:gsub("%.s$", "")]
    end
    count = count + (body.own and 0 or #body.members - #some)
    if body.own and some[1] then
      refuse("follow: " .. attach.sentences(some)[1], some[1].code)
    end
    table.move(some, 1, #some, #failed + 1, failed)
  end
  return count
end

return attach

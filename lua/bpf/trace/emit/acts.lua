-- SPDX-License-Identifier: MIT
-- Calls that gather, print or end the trace, in the function that a body becomes: by their words.
local printf = require("bpf.trace.printf")
local types = require("bpf.trace.types")
local fail = require("bpf.trace.failure").not_emitted

local STACKS <const> = { kstack = true, ustack = true }

-- What the inference knows of the next call that gathers or prints.
local function next_call(self, word)
  self.called = self.called + 1
  local call = self.calls[self.called]
  if not call or call.word ~= word then
    fail("%s: the calls of %s aren't understood", self.title, word)
  end
  return call
end

-- The parts of a key, by the arguments behind the numbers.
local function key_parts(self, t, arguments, first)
  local list = {}
  for n, part in ipairs(t.parts) do
    local e = arguments[first + part.argument - 1]
    if part.field then
      local found
      for k, name in ipairs(self:members(e)) do
        found = name == part.field and e[k].value or found
      end
      e = found or fail("%s: the members of a key must stand in the call", self.title)
    end
    list[n], part.type = self:shown(e, part.type)
    part.depth = STACKS[part.type.kind] and self:stack_depth(e) or nil
    self.first.pid = self.first.pid or types.of_process(part.type)
  end
  return list
end

local NOTES <const> = { avg = true, min = true, max = true, stats = true }

-- The key of an entry: a number, a value, or a struct with the parts and the bucket.
local function key_text(t, parts, bucket)
  if #parts == 0 then
    return bucket or "0"
  elseif #parts == 1 and not bucket and not types.of_process(t.parts[1].type) then
    return parts[1]
  end
  local list = {}
  for n, part in ipairs(parts) do
    list[#list + 1] = ("k%d = %s"):format(n, part)
    list[#list + 1] = types.of_process(t.parts[n].type) and ("k%d_pid = pid"):format(n) or nil
  end
  list[#list + 1] = bucket and "bucket = " .. bucket or nil
  return "{ " .. table.concat(list, ", ") .. " }"
end

local function gather(self, word, arguments)
  local call = next_call(self, word)
  local t = self.state.plan.tables[call.name or call.title]
  local name, n = t.map_name, t.concept.value and self:text(arguments[1])
  local first = 1 + (n and 1 or 0) + (t.limits and 3 or 0)
  local parts = key_parts(self, t, arguments, first)
  self.state.uses[word == "hist" and "log2" or t.limits and "linear" or NOTES[word] and "note" or word] = true
  if NOTES[word] then
    return self:put("note(%s, %s, %s)", name, key_text(t, parts), n)
  end
  local bucket = word == "hist" and ("log2(%s)"):format(n) or t.limits
    and ("linear(%s, %d, %d, %d)"):format(n, t.limits.first, t.limits.last, t.limits.step)
  local key = key_text(t, parts, bucket)
  return self:put(word == "sum" and "map.add(%s, %s, %s)" or "map.add(%s, %s)", name, key, n)
end

-- What stands in a record for what is absent.
local function nothing(type)
  return type.kind == "string" and '""' or type.kind == "boolean" and "false" or "0"
end

-- Adds a value to the record of a line: a member, and one more that tells whether it is there if it may be absent.
-- `number`: a conversion that takes numbers only, where what is absent ends the run.
local function add_value(self, site, fields, e, type, k, number)
  local place = { name = "a" .. k, depth = STACKS[type.kind] and self:stack_depth(e) or nil }
  local known = not number and self:optional(e)
  local text = known and ("%s or %s"):format(known, nothing(type))
  if known then
    place.type = type
    place.known = "has_" .. place.name
    site.members[#site.members + 1] = "_Bool " .. place.known
    fields[#fields + 1] = ("%s = %s ~= nil"):format(place.known, known)
  else
    text, place.type = self:shown(e, type)
  end
  site.values[k] = place
  site.members[#site.members + 1] = types.c(place.type, place.name)
    or fail("%s: %s can't be printed by a script yet", self.title, types.describe(type))
  fields[#fields + 1] = ("%s = %s"):format(place.name, text)
  if types.of_process(type) then
    self.first.pid, place.pid = true, place.name .. "_pid"
    site.members[#site.members + 1] = "__u32 " .. place.pid
    fields[#fields + 1] = place.pid .. " = pid"
  end
end

-- A line: a record of what isn't constant, and what the script makes of it.
local function send(self, word, arguments)
  local call = next_call(self, word)
  local site = { number = #self.state.sites + 1, values = {}, members = {} }
  local first = word == "printf" and 2 or 1
  site.format = word == "printf" and printf.read(arguments[1].value) or nil
  local fields = { "site = " .. site.number }
  local conversions = printf.conversions(site.format or {})
  for n = first, #arguments do
    local e, type, k = arguments[n], call.keys[n], n - first + 1
    if e.is == "literal" then
      site.values[k] = { constant = e.text, type = type }
    else
      add_value(self, site, fields, e, type, k, conversions[k] and printf.is_number(conversions[k]))
    end
  end
  self.state.sites[site.number] = site
  self:put("helper.ringbuf_output(lines, Line_%d, { %s })", site.number, table.concat(fields, ", "))
end

local function exit(self)
  next_call(self, "exit")
  self.state.uses.exit = true
  self:put("ended.value = true")
  self:put("do return end")
end

local acts <const> = { print = send, printf = send, exit = exit }
for word in ("count sum avg min max stats hist lhist"):gmatch("%S+") do
  acts[word] = gather
end

return acts

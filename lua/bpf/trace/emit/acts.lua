-- SPDX-License-Identifier: MIT
-- Calls that gather, print or end the trace, in the function that a body becomes: by their words.
local printf = require("bpf.trace.printf")
local types = require("bpf.trace.types")

local function fail(format, ...)
  error({ trace = "--emit: " .. format:format(...) }, 0)
end

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
      for k, item in ipairs(e) do
        local name = item.key and item.key.value or types.position(k)
        found = name == part.field and item.value or found
      end
      e = found or fail("%s: the members of a key must stand in the call", self.title)
    end
    list[n] = self:text(e)
    part.depth = part.type.kind == "kstack" and self:stack_depth(e) or nil
    if part.type.kind == "ustack" or part.type.kind == "address" then
      fail("%s: %s as a key has no form in a script yet", self.title, types.describe(part.type))
    end
  end
  return list
end

local NOTES <const> = { avg = true, min = true, max = true, stats = true }

-- The key of an entry: a number, a value, or a struct with the parts and the bucket.
local function key_text(parts, bucket)
  if #parts == 0 then
    return bucket or "0"
  elseif #parts == 1 and not bucket then
    return parts[1]
  end
  local list = {}
  for n, part in ipairs(parts) do
    list[n] = ("k%d = %s"):format(n, part)
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
    return self:put("note(%s, %s, %s)", name, key_text(parts), n)
  end
  local bucket = word == "hist" and ("log2(%s)"):format(n) or t.limits
    and ("linear(%s, %d, %d, %d)"):format(n, t.limits.first, t.limits.last, t.limits.step)
  local key = key_text(parts, bucket)
  return self:put(word == "sum" and "map.add(%s, %s, %s)" or "map.add(%s, %s)", name, key, n)
end

-- A line: a record of what isn't constant, and what the script makes of it.
local function send(self, word, arguments)
  local call = next_call(self, word)
  local site = { number = #self.state.sites + 1, values = {}, members = {} }
  local first = word == "printf" and 2 or 1
  site.format = word == "printf" and printf.read(arguments[1].value) or nil
  local fields = { "site = " .. site.number }
  for n = first, #arguments do
    local e, type, k = arguments[n], call.keys[n], n - first + 1
    if e.is == "literal" then
      site.values[k] = { constant = e.text, type = type }
    else
      site.values[k] = { name = "a" .. k, type = type, depth = type.kind == "kstack" and self:stack_depth(e) or nil }
      site.members[#site.members + 1] = types.c(type, "a" .. k) or fail("%s: %s can't be printed by a script yet",
        self.title, types.describe(type))
      fields[#fields + 1] = ("a%d = %s"):format(k, self:text(e))
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

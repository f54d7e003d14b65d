-- SPDX-License-Identifier: MIT
-- What is known of the names that bodies share: tables, variables, and what gathers. A row of the ledger is
--
--   { name, table, variable, gather, key, value, keys, stored, own, called, member, plain, places }
--
-- where `own` tells that only plain Lua of the tool has the name; `called` has the names of functions, where it is
-- called as one; `plain` tells that plain Lua stores something; `member` is one that is assigned in its entries;
-- `begun` tells that a table may get a first entry, `ending` is a body that ends before, as it calculates with one;
-- `table`, `variable` and `gather` tell what it is; `stored`, whether a body gives it something; and `places` has the
-- first place of each use: "table", "variable", "gather", "key", "value".
local counted = require("bpf.base.number").counted
local code = require("bpf.format.code")
local near = require("bpf.base.near")
local types = require("bpf.trace.types")
local failure = require("bpf.trace.failure")

local Ledger = {}
Ledger.__index = Ledger

-- `used` has the names that programs have, `assigned` those that any body assigns.
function Ledger.new(names, bodies)
  return setmetatable({
    rows = {}, order = {}, names = names, bodies = bodies, texts = {}, used = {}, assigned = {},
    changed = false, round = 0,
  }, Ledger)
end

function Ledger.fail(place, format, ...)
  failure.wrong("%s: %s", place, format:format(...))
end

-- The row of a name, made when it is first seen.
function Ledger:row(name, place)
  local row = self.rows[name]
  if not row then
    row = { name = name, key = types.unknown, value = types.unknown, places = {}, seen = place }
    self.rows[name] = row
    self.order[#self.order + 1] = row
  end
  return row
end

local USES = { "table", "variable", "gather" }
local AS = { table = "a table", variable = "a value", gather = "what gathers" }

-- Notes that a name is used as a "table", a "variable" or a "gather". It is one of them.
function Ledger:use(row, as, place)
  if row[as] then
    return
  end
  for _, other in ipairs(USES) do
    if row[other] then
      self.fail(place, "'%s' is %s here and %s in %s", row.name, AS[as], AS[other], row.places[other])
    end
  end
  row[as], row.places[as], self.changed = true, place, true
end

-- Whether it isn't known yet what the name of something that is indexed stands for: a record may be assigned to it in a
-- body that is read later.
function Ledger:is_open(row)
  local open = self.round == 1 and self.assigned[row.name] and not (row.table or row.variable or row.gather)
  self.changed = self.changed or open
  return open
end

local OF = { key = "'s keys", value = "'s values" }

-- Adds a type to the "key" or the "value" of a row.
function Ledger:put(row, part, t, place)
  local before = row[part]
  t = types.kept(t)
  local joined = types.join(before, t, part == "key")
  if not joined then
    self.fail(place, "%s%s: %s here, %s in %s", row.name, row.variable and "" or OF[part], types.describe(t),
      types.describe(before), row.places[part])
  elseif not types.equal(joined, before) then
    row[part], self.changed = joined, true
    row.places[part] = row.places[part] or place
  end
end

-- Adds the types of the keys of what gathers.
function Ledger:put_keys(row, keys, place)
  local before = row.keys
  if not before then
    row.keys, row.places.key, self.changed = keys, place, true
    return
  elseif #before ~= #keys then
    self.fail(place, "%s has %s here, %d in %s", row.name, counted(#keys, "key"), #before, row.places.key)
  end
  local joined = {}
  for n, t in ipairs(keys) do
    joined[n] = types.join(before[n], t, true)
    if not joined[n] then
      self.fail(place, "%s's keys: %s here, %s in %s", row.name, types.describe(t), types.describe(before[n]),
        row.places.key)
    end
    self.changed = self.changed or not types.equal(joined[n], before[n])
  end
  row.keys = joined
end

-- What is called so in bpftrace.
local BPFTRACE <const> = { retval = "ret", curtask = "task" }

-- "(start?)", if a name that exists is near another one.
function Ledger:hint(name, list)
  if BPFTRACE[name] then
    return (" (%s?)"):format(BPFTRACE[name])
  end
  local candidates = list or {}
  if not list then
    for _, row in ipairs(self.order) do
      if row.stored and row.name ~= name then
        candidates[#candidates + 1] = row.name
      end
    end
    for other in pairs(self.names) do
      candidates[#candidates + 1] = other
    end
  end
  table.sort(candidates)
  local found = near.names(name, candidates)
  return found[1] and (" (%s?)"):format(found[1]) or ""
end

local LAST_ERRNO <const> = 133

-- What to write for the name of an errno or a signal, if it is one.
local function constant_of(name)
  for n = 1, name:find("^[ES][A-Z0-9]+$") and LAST_ERRNO or 0 do
    if code.errno(n) == name then
      return ("%s is %d: a call that fails with it returns -%d"):format(name, n, n)
    elseif code.signal(n) == name then
      return ("%s is %d"):format(name, n)
    end
  end
end

-- Why a name that is only read has nothing.
function Ledger:about_absent(row)
  if row.member then
    return ("no entry of '%s' is ever made, whose member '%s' is assigned: %s[key] = { %s = 0 }"):format(row.name,
      row.member, row.name, row.member)
  elseif _G[row.name] ~= nil then
    return ("Lua's '%s' isn't there in a program: bodies of begin, end and every have it"):format(row.name)
  end
  return constant_of(row.name) or ("nothing is ever stored in '%s'%s"):format(row.name, self:hint(row.name))
end

-- Refuses names that are only read.
function Ledger:check_stored()
  for _, row in ipairs(self.order) do
    if not row.stored and row.called then
      self.fail(row.seen, "no function '%s'%s", row.name, self:hint(row.name, row.called))
    elseif not row.stored and not row.gather then
      self.fail(row.seen, "%s", self:about_absent(row))
    end
  end
end

-- Takes a variable for a number where plain Lua stores what nothing is known of. Returns whether there was one.
function Ledger:assume()
  local found = false
  for _, row in ipairs(self.order) do
    if row.variable and row.stored and row.value.kind == "unknown" and row.plain then
      row.value, found = types.integer(), true
    end
  end
  return found
end

local function is_known(t)
  if t.kind == "record" then
    for _, name in ipairs(t.order) do
      if not is_known(t.members[name]) then
        return false
      end
    end
  end
  return t.kind ~= "unknown" and t.kind ~= "nil"
end

-- Refuses tables and variables whose types nothing tells.
function Ledger:check_known()
  for _, row in ipairs(self.order) do
    if row.table and not row.own and not is_known(row.key) then
      self.fail(row.seen, "the keys of '%s' aren't known: nothing that has a type is one", row.name)
    elseif not row.gather and not row.own and not is_known(row.value) then
      self.fail(row.seen, "what '%s' holds isn't known: nothing that has a type is stored there", row.name)
    end
    for _, t in ipairs(row.keys or {}) do
      if not is_known(t) then
        self.fail(row.places.key, "a key of %s isn't known", row.name)
      end
    end
  end
end

-- What infer.run returns of them.
function Ledger:result()
  local shared = {}
  for _, row in ipairs(self.order) do
    if row.own then
      shared[row.name] = { own = true, table = row.table }
    elseif row.gather then
      shared[row.name] = { gather = row.word, keys = row.keys or {}, value = row.value, arguments = row.arguments,
        unnamed = row.unnamed }
    elseif row.table then
      shared[row.name] = { table = true, key = row.key, value = row.value, never = not row.begun and row.ending or nil }
    else
      shared[row.name] = { variable = true, value = row.value }
    end
  end
  return shared
end

return Ledger

-- SPDX-License-Identifier: MIT
-- Usage: random.lua seed [steps]
-- Random operations on random handles, in finalizers and handlers as well: what systematic.lua doesn't combine. The
-- same seed does much the same again; what the kernel answers decides as well.
local during = require "spec.support.reentry.during"
local common = require "spec.support.reentry.common"
local fixtures = require "spec.support.reentry.fixtures"

local seed = assert(math.tointeger(tonumber((...))), "usage: random.lua seed [steps]")
local steps = math.tointeger(tonumber(select(2, ...) or 2000))
local DEPTH <const> = 3
local INTRUSIONS <const> = 0.15 -- of finalizers do something
local RENEWALS <const> = 0.05 -- of operations get handles that are new
local STRANGERS <const> = 0.1 -- of operations get another fixture's handles

math.randomseed(seed)
print(("seed %d, %d steps"):format(seed, steps))

-- Those that are all quick, and whose programs this kernel takes; the names of their operations are sorted, for the
-- seed alone to decide.
local names, handles = {}, {}
for i = #fixtures, 1, -1 do
  if fixtures[i].intruders or not common.is_taken(fixtures[i]) then
    table.remove(fixtures, i)
  end
end
assert(#fixtures > 0, "this kernel refuses the programs of every fixture")
for i, fixture in ipairs(fixtures) do
  names[i] = {}
  for name in pairs(fixture.operations) do
    names[i][#names[i] + 1] = name
  end
  table.sort(names[i])
  handles[i] = fixture.setup()
end

local done, depth = 0, 0

local function operate()
  if depth == DEPTH then
    return
  end
  depth = depth + 1
  done = done + 1
  local i = math.random(#fixtures)
  local of = math.random() < STRANGERS and math.random(#fixtures) or i
  local name = names[i][math.random(#names[i])]
  if math.random() < RENEWALS then
    handles[i] = fixtures[i].setup()
  end
  pcall(fixtures[i].operations[name], handles[of])
  depth = depth - 1
end

common.interrupt = operate

local intrusions = 0
local ran = during(function()
  return math.random() < INTRUSIONS
end, function()
  for _ = 1, steps do
    operate()
  end
end, function()
  intrusions = intrusions + 1
  operate()
end)
common.interrupt = function() end
common.clean_up()
assert(ran > steps and intrusions > steps / 10, "finalizers did not run")
print(("ok %d operations, %d finalizers, %d of which did something"):format(done, ran, intrusions))

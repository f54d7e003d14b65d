-- SPDX-License-Identifier: MIT
-- Usage: systematic.lua [fixture [operation]]
-- Runs each operation of a fixture within each allocation of each other one, on handles of their own each time. What
-- goes wrong crashes, under the sanitizer and the Lua of `make reentry`; build/reentry-at tells where that was.
local sorted = require "bpf.base.sorted"
local during = require "spec.support.reentry.during"
local common = require "spec.support.reentry.common"
local coverage = require "spec.support.reentry.coverage"
local fixtures = require "spec.support.reentry.fixtures"

local only_fixture, only_operation = ...

local trials, intrusions = 0, 0

local at_file <const> = assert(io.open("build/reentry-at", "w"))
at_file:setvbuf("no")

local function note(...)
  at_file:seek("set")
  at_file:write(("%s: %s within allocation %d of %s"):format(...), (" "):rep(60), "\n")
end

-- One operation within allocation `at` of another; then everything is used once more. Returns how many allocations
-- there were.
local function trial(fixture, operation, at, intruder)
  local handles = fixture.setup()
  local intruded = false
  local allocations = during(at, function() return operation(handles) end, function()
    intruded = true
    intruder(handles)
  end)
  assert(intruded == (allocations >= at), "the finalizer did not run")
  for _, handle in pairs(handles) do
    pcall(tostring, handle)
  end
  pcall(operation, handles)
  if fixture.after then
    pcall(fixture.after, handles)
  end
  trials = trials + 1
  intrusions = intrusions + (intruded and 1 or 0)
  return allocations
end

-- Within every allocation at first, then within some of many.
local function after(at)
  return at < 12 and at + 1 or at * 3 // 2
end

local function try_all(fixture)
  local intruders = {}
  for _, name in ipairs(fixture.intruders or sorted.keys(fixture.operations)) do
    intruders[#intruders + 1] = fixture.operations[name] and name
  end
  for _, name in ipairs(sorted.keys(fixture.operations)) do
    if not only_operation or only_operation == name then
      for _, intruder in ipairs(intruders) do
        local at = 1
        repeat
          note(fixture.name, intruder, at, name)
          local allocations = trial(fixture, fixture.operations[name], at, fixture.operations[intruder])
          at = after(at)
        until at > allocations
      end
    end
  end
end

io.stdout:setvbuf("line")

local skipped = 0
for _, fixture in ipairs(fixtures) do
  if not only_fixture or only_fixture == fixture.name then
    local begin, before = os.clock(), trials
    if common.is_taken(fixture) then
      try_all(fixture)
      print(("ok %-32s %5d trials %5.1f s"):format(fixture.name, trials - before, os.clock() - begin))
    else
      skipped = skipped + 1
    end
  end
end
local missing = {}
if skipped > 0 then
  print(("skip the coverage, because this kernel refuses programs of %d fixtures"):format(skipped))
elseif not only_fixture then
  missing = coverage.missing(fixtures)
end
common.clean_up()
assert(#missing == 0, "no fixture calls, and spec/support/reentry/coverage.lua does not excuse: " ..
  table.concat(missing, ", "))
assert(intrusions > 0, "no finalizer ran within an operation")
print(("%d trials, in %d of them a finalizer ran within the operation"):format(trials, intrusions))

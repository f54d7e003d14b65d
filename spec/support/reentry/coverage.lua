-- SPDX-License-Identifier: MIT
-- Which public functions the fixtures call. Those that none does need a reason.
local bpf = require "bpf"

-- Function, or what its name begins with → why it is left out.
local reasons = {
  ["bpf.hist."] = "Lua alone, without handles",
  ["bpf.format."] = "Lua alone, without handles",
  ["bpf.symbols."] = "Lua over files below /proc; no script gets the handles that it has",
  ["bpf.pprof."] = "Lua alone, without handles",
  ["bpf.metrics."] = "Lua alone; the fixture has the walk of a scrape",
  ["metrics:"] = "Lua alone; the fixture has the walk of a scrape",
  ["bpf.inspect"] = "Lua alone, and prints",
  ["bpf.preload"] = "Lua alone, without handles",
  ["bpf.compile"] = "runs clang, and ends in bpf.open",
  ["bpf.program"] = "Lua alone, and ends in bpf.load",
  ["bpf.trace"] = "Lua alone, and prints; what it loads and reads is as for bpf.load and bpf.ringbuf",
  ["bpf.assemble"] = "Lua alone, without handles",
  ["bpf.map.scan"] = "Lua alone, and ends in prog:run",
  ["bpf.map.rates"] = "Lua alone, and walks as pairs does",
  ["bpf.map.declare"] = "Lua alone, without handles",
  ["bpf.map.adder"] = "Lua alone, and ends in bpf.load",
  ["bpf.var"] = "Lua alone, without handles",
  ["bpf.atomic."] = "for programs, and raises an error elsewhere",
  ["bpf.map.locked"] = "for programs, and raises an error elsewhere",
  ["bpf.has"] = "for programs, and raises an error elsewhere",
  ["bpf.cast"] = "for programs, and raises an error elsewhere",
  ["bpf.ntoh"] = "Lua alone, without handles",
  ["bpf.hton"] = "Lua alone, without handles",
  ["bpf.be64"] = "Lua alone, without handles",
  ["bpf.prog.own"] = "sets a flag",
  ["token:"] = "there is none outside of a container; token_spec runs a finalizer within its use",
  ["bpf.features.map_types"] = "tries all that map_type tries",
  ["bpf.features.prog_types"] = "tries all that prog_type tries",
  ["bpf.features.helpers"] = "tries all that helper tries",
}

local coverage = {}

-- The methods of a class: where its __index is a function, they are that one's upvalue.
local function methods(meta)
  local index = meta.__index
  if type(index) == "function" then
    index = select(2, debug.getupvalue(index, 1))
  end
  return type(index) == "table" and index or {}
end

-- Every public function → its name.
local function public()
  local names = {}
  local function walk(prefix, t)
    for name, value in pairs(t) do
      if type(value) == "table" then
        walk(prefix .. name .. ".", value)
      elseif type(value) == "function" then
        names[value] = prefix .. name
      end
    end
  end
  local parts = "assemble atomic attached cast compile format hist inspect json metrics pprof program symbols trace"
  for part in parts:gmatch("%a+") do
    assert(bpf[part]) -- loads it
  end
  walk("bpf.", bpf)
  for _, meta in pairs(debug.getregistry()) do
    local class = type(meta) == "table" and rawget(meta, "__name")
    if type(class) == "string" and class:find("^bpf%.") and meta.__tostring then
      for name, value in pairs(methods(meta)) do
        names[value] = class:gsub("^bpf%.", "") .. ":" .. name
      end
    end
  end
  return names
end

local function is_excused(name)
  for prefix in pairs(reasons) do
    if name:sub(1, #prefix) == prefix then
      return true
    end
  end
  return false
end

--- Calls every operation of the fixtures once. Returns the sorted names of public functions that were not called.
function coverage.missing(fixtures)
  local names = public()
  for _, fixture in ipairs(fixtures) do
    for _, operation in pairs(fixture.operations) do
      local handles = fixture.setup()
      debug.sethook(function()
        local called = debug.getinfo(2, "f").func
        names[called] = nil
      end, "c")
      pcall(operation, handles)
      debug.sethook()
    end
  end
  local missing = {}
  for _, name in pairs(names) do
    if not is_excused(name) then
      missing[#missing + 1] = name
    end
  end
  table.sort(missing)
  return missing
end

return coverage

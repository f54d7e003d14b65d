-- SPDX-License-Identifier: MIT
-- What a metric's series are called: members of keys and values, decoded to text.

local error = require("bpf.base.argument").error
local options = require("bpf.metrics.options")
local text = require("bpf.metrics.text")
local D = require("bpf.format.values")

local map = require("bpf.core").map
local map_type = map.type

local labels = {}

-- Reading keys and values ---------------------------------------------------------------------------------------------

local function missing(what, path, value)
  local names = {}
  for name in pairs(type(value) == "table" and value or {}) do
    names[#names + 1] = tostring(name)
  end
  table.sort(names)
  error(("the %s has no member '%s'%s"):format(what, path,
    names[1] and " (members: " .. table.concat(names, ", ") .. ")" or ""), 0)
end

function labels.is_per_cpu(m)
  return (map_type(m) or ""):find("percpu", 1, true) ~= nil
end

-- Maps whose keys and values are what their types make of bytes.
local TYPED = {
  array = true, hash = true, lru_hash = true, lru_percpu_hash = true, percpu_array = true, percpu_hash = true,
}

local function zero(type)
  return type and type:decode(("\0"):rep(type:size()))
end

-- A key and a value such as a map has them, nil where that can't be known before there are entries.
function labels.examples(m)
  if TYPED[map_type(m)] then
    local key, value = map.types(m)
    return zero(key), zero(value)
  end
end

local function has_text(layout)
  if layout.kind == "string" or layout.kind == "array" then
    return layout.kind == "string" or has_text(layout.element)
  end
  for _, member in ipairs(layout) do
    if has_text(member) then
      return true
    end
  end
  return false
end

-- A function that gives a map's key as its type reads it: texts up to their end, and a table for bytes that none stands
-- for. Nil where keys are so anyway.
function labels.reader(m)
  local key = TYPED[map_type(m)] and map.types(m)
  local layout = key and key:layout()
  local texts = layout and has_text(layout)
  if not layout or not texts and #layout == 0 and layout.kind ~= "array" then
    return nil
  end
  return function(k)
    if type(k) == "string" and #k == key:size() then
      return key:decode(k)
    end
    return texts and k ~= nil and key:decode(key:encode(k)) or k
  end
end

-- A function that finds a member: "saddr", "remote.port", "slots.1"; a function stays as it is.
function labels.member(what, path)
  if type(path) == "function" then
    return path
  end
  local steps = {}
  for step in tostring(path):gmatch("[^.]+") do
    steps[#steps + 1] = math.tointeger(tonumber(step)) or step
  end
  return function(value)
    for _, step in ipairs(steps) do
      if type(value) ~= "table" or value[step] == nil then
        missing(what, path, value)
      end
      value = value[step]
    end
    return value
  end
end

-- Labels --------------------------------------------------------------------------------------------------------------

-- Different values have different texts: entries that differ in these only need not be looked at together.
local EXACT = {
  [D.ipv4] = true, [D.ipv4_host] = true, [D.ipv6] = true, [D.mac] = true, [D.port] = true, [D.hex] = true,
  [D.unsigned] = true,
}

local function plain(value)
  local kind = math.type(value) or type(value)
  if kind == "string" then
    return value
  elseif kind == "integer" then
    return ("%d"):format(value)
  elseif kind == "float" then
    return text.float(value)
  elseif kind == "boolean" then
    return tostring(value)
  end
  error(("a label can't be a %s; decode it, or name a member"):format(kind), 0)
end

local LABEL = {
  [1] = "string", key = options.PATH, value = options.PATH, cpu = "boolean", decode = "string or function or table",
}

-- The function that makes text of a value.
local function decoder(fname, decode, level)
  if type(decode) == "string" then
    if not D[decode] then
      local names = {}
      for name in pairs(D) do
        names[#names + 1] = name
      end
      table.sort(names)
      error(("%s: there is no decoder '%s' (decoders: %s)"):format(fname, decode, table.concat(names, ", ")), level + 1)
    end
    return D[decode]
  elseif type(decode) == "table" then
    return function(value)
      local name = decode[value]
      return name == nil and plain(value) or name
    end
  end
  return decode
end

-- Reads { "address", key = "saddr", decode = "ipv4" }, or "address" alone.
local function read_label(fname, label, level)
  label = type(label) == "string" and { label } or label
  options.check(fname, label, LABEL, level + 1)
  local name = label[1]
  if not name or not name:find("^[A-Za-z_][A-Za-z0-9_]*$") or name:find("^__") then
    error(("%s: '%s' can't be a label's name"):format(fname, tostring(name)), level + 1)
  elseif label.key ~= nil and label.value ~= nil then
    error(("%s: label '%s' is of the key or of the value, not of both"):format(fname, name), level + 1)
  elseif label.cpu and (label.key ~= nil or label.value ~= nil) then
    error(("%s: label '%s' is of the CPU, not of the key or the value"):format(fname, name), level + 1)
  end
  local read = {
    name = name, decode = decoder(fname, label.decode, level + 1), from_value = label.value ~= nil, cpu = label.cpu,
    known = type(label.key) ~= "function" and type(label.value) ~= "function", -- what it asks for
  }
  read.exact = EXACT[read.decode]
  if label.cpu then
    read.known = false
  elseif label.value ~= nil then
    read.get = labels.member("value", label.value)
  elseif label.key ~= nil then
    read.get, read.member = labels.member("key", label.key), type(label.key) ~= "function" and label.key or nil
  else -- the whole key, or the member of the same name
    read.member = name
    read.get = function(key)
      if type(key) ~= "table" then
        return key
      elseif key[name] == nil then
        missing("key", name, key)
      end
      return key[name]
    end
  end
  return read
end

-- The text of a label: nil leaves the entry out.
local function label_text(label, key, value, cpu)
  local part, decode
  if label.cpu then
    part = cpu
  elseif label.from_value then
    part = label.get(value, key)
  else
    part = label.get(key, value)
  end
  decode = label.decode
  if decode and part ~= nil then
    part = decode(part)
  end
  if label.exact or part == nil then -- digits and the like need no second look
    return part
  elseif math.type(part) == "integer" then
    return "" .. part
  end
  return text.label(plain(part))
end

-- 'address="192.0.2.1",port="80"' for an entry, "" without labels, nil for one to leave out.
function labels.text(family, key, value, cpu)
  local list, all = family.scratch, family.labels
  if #all == 1 then
    local part = label_text(all[1], key, value, cpu)
    return part and all[1].head .. part .. '"'
  end
  for i = 1, #all do
    local label = all[i]
    local part = label_text(label, key, value, cpu)
    if not part then
      return nil
    end
    list[i] = label.head .. part
  end
  return #all == 0 and "" or table.concat(list, "", 1, #all) .. '"'
end

-- Whether no two entries have the same labels, going by one of them.
function labels.distinct(family, key)
  if family.map == nil then
    return true
  elseif not map_type(family.map) then
    return false -- a table's keys are whatever they are
  end
  local exact = {}
  for _, label in ipairs(family.labels) do
    local get = not label.from_value and not label.cpu and label.member and label.get
    if get and (label.exact or not label.decode and math.type(get(key)) == "integer") then
      exact[label.member] = true
      exact[1] = true
    end
  end
  if type(key) ~= "table" then
    return exact[1] == true
  end
  for name in pairs(key) do
    if not exact[name] then
      return false
    end
  end
  return true
end

-- Reads the labels of a metric; `key` and `value` are examples, if there are any, which have to have what labels name.
function labels.read(fname, family, list, key, value, level)
  family.labels = {}
  local seen = { le = family.kind == "histogram" or nil }
  for i, label in ipairs(list or {}) do
    label = read_label(fname, label, level + 1)
    local example = key
    if label.from_value then
      example = value
    end
    if example ~= nil and label.known then
      local ok, problem = pcall(label.get, example)
      if not ok then
        error(("%s: label '%s': %s"):format(fname, label.name, problem), level + 1)
      end
    end
    if label.cpu and map_type(family.map) and not labels.is_per_cpu(family.map) then
      error(("%s: label '%s': the map has no values by CPU"):format(fname, label.name), level + 1)
    end
    family.by_cpu = family.by_cpu or label.cpu
    if seen[label.name] then
      error(("%s: label '%s' is there already"):format(fname, label.name), level + 1)
    end
    seen[label.name] = true
    label.head = ('%s%s="'):format(i > 1 and '",' or "", label.name)
    family.labels[i] = label
  end
end

return labels

-- SPDX-License-Identifier: MIT
--- Profiles in the format of pprof, which `go tool pprof`, Parca, Pyroscope and Grafana read: stacks with their names,
-- and numbers for each. Written as protobuf without compression.
-- @module bpf.pprof

local argument = require("bpf.base.argument")
local error = argument.error
local counted = require("bpf.base.number").counted
local posix = require("bpf.base.posix")

local pprof = {}

-- Protobuf ------------------------------------------------------------------------------------------------------------

-- A number of 64 bits in groups of seven, the lowest first.
local function varint(n)
  if n >= 0 and n < 128 then
    return string.char(n)
  end
  local bytes = {}
  repeat
    local low = n & 127
    n = n >> 7
    bytes[#bytes + 1] = n ~= 0 and low | 128 or low
  until n == 0
  return string.char(table.unpack(bytes))
end

-- A field of a message: a number, which is left out if it is zero.
local function number(field, n)
  return n == 0 and "" or varint(field << 3) .. varint(n)
end

-- A field of bytes: text, a message, or packed numbers.
local function bytes(field, text)
  return varint(field << 3 | 2) .. varint(#text) .. text
end

local function packed(field, numbers)
  local list = {}
  for i, n in ipairs(numbers) do
    list[i] = varint(n)
  end
  return bytes(field, table.concat(list))
end

-- Profiles ------------------------------------------------------------------------------------------------------------

local methods = {}
local Profile = { __name = "bpf.pprof", __index = methods }

-- The number of a text in the profile's table of texts.
local function text_of(self, text)
  local id = self.text_ids[text]
  if not id then
    id = #self.texts
    self.texts[id + 1], self.text_ids[text] = text, id
  end
  return id
end

-- The number of what `key` stands for in one of the profile's tables; `make` gives the message the first time.
local function entry(all, key, make)
  local id = all.ids[key]
  if not id then
    id = #all + 1
    all.ids[key] = id
    all[id] = make(id)
  end
  return id
end

-- "cpu/nanoseconds" as a message of a type and its unit.
local function value_type(self, text)
  local kind, unit = text:match("^([^/]+)/([^/]+)$")
  return number(1, text_of(self, kind)) .. number(2, text_of(self, unit))
end

local FIRST_FLAG <const>, LAST_FLAG <const> = 7, 10 -- has_functions, has_filenames, has_line_numbers, has_inline_frames

local function mapping_id(self, map, is_kernel)
  local key = ("%s\0%x\0%x\0%x"):format(map.path or "", map.from, map.to, map.offset)
  self.kernel_key = is_kernel and key or self.kernel_key
  return entry(self.mappings, key, function(id)
    local parts = {
      number(1, id), number(2, map.from), number(3, map.to), number(4, map.offset),
      number(5, text_of(self, map.path or "[anon]")), number(6, text_of(self, map.build_id or "")),
    }
    for flag = FIRST_FLAG, LAST_FLAG do -- so no reader looks for symbols itself
      parts[#parts + 1] = number(flag, 1)
    end
    return table.concat(parts)
  end)
end

local function function_id(self, name, source)
  return entry(self.functions, name .. "\0" .. source, function(id)
    local text = number(2, text_of(self, name)) .. number(3, text_of(self, name))
    return number(1, id) .. text .. number(4, text_of(self, source))
  end)
end

-- The name of a frame's function: pprof shows nothing for none.
local function name_of(frame)
  local module = frame.module or frame.path
  return frame.name or module and "[" .. module:match("[^/]*$") .. "]" or "[unknown]"
end

-- The location that frames from `first` to `last` have in common: one address, and the functions inlined there.
local function make_location(self, frames, first, last)
  local lines, outer = {}, frames[last]
  for i = first, last do
    local line = frames[i].line or 0
    lines[#lines + 1] = bytes(4, number(1, function_id(self, name_of(frames[i]), frames[i].source or ""))
      .. number(2, line))
  end
  local map = outer.mapping and mapping_id(self, outer.mapping, outer.kernel) or 0
  local content = number(2, map) .. number(3, outer.address) .. table.concat(lines)
  return entry(self.locations, content, function(id)
    return number(1, id) .. content
  end)
end

-- The same. bpf.symbols gives the same tables for an address that comes again.
local function location_id(self, frames, first, last)
  local known = self.known[frames[last]]
  if known and known.first == frames[first] and known.count == last - first then
    return known.id
  end
  local id = make_location(self, frames, first, last)
  self.known[frames[last]] = { first = frames[first], count = last - first, id = id }
  return id
end

local function check_frames(frames)
  argument.check(1, "add", frames, "table", 3)
  for i, frame in ipairs(frames) do
    if type(frame) ~= "table" or math.type(frame.address) ~= "integer" then
      error(("bad argument #1 to 'add' (what bpf.symbols.frames returns expected; frame %d has no address)"):format(i),
        3)
    end
  end
end

local function check_values(self, values)
  argument.check(2, "add", values, "table", 3)
  for i, what in ipairs(self.values) do
    if math.type(values[i]) ~= "integer" then
      error(("bad argument #2 to 'add' (the value %d, %s, must be an integer)"):format(i, what), 3)
    end
  end
end

-- Labels as messages, in the order of their names.
local function labels_of(self, labels)
  local names, list = {}, {}
  for name, value in pairs(labels) do
    if type(name) ~= "string" or type(value) ~= "string" and math.type(value) ~= "integer" then
      error("bad argument #3 to 'add' (labels are names with a string or an integer)", 3)
    end
    names[#names + 1] = name
  end
  table.sort(names)
  for i, name in ipairs(names) do
    local value = labels[name]
    local content = type(value) == "string" and number(2, text_of(self, value)) or number(3, value)
    list[i] = bytes(3, number(1, text_of(self, name)) .. content)
  end
  return table.concat(list)
end

--- Adds a stack to a profile. Readers add up the numbers of equal stacks.
-- @function pprof:add
-- @tparam table frames as `bpf.symbols.frames` returns them, the innermost first
-- @tparam {integer,...} values a number for each of the profile's values
-- @tparam ?table labels names, each with a string or an integer: `{ comm = "bash", pid = 12 }`
-- @usage
-- local profile = bpf.pprof.new { values = { "samples/count" } }
-- profile:add(bpf.symbols.frames({ 0xffffffff81000000 }), { 12 }, { comm = "bash" })
function methods:add(frames, values, labels)
  argument.check_self("add", self, Profile)
  check_frames(frames)
  check_values(self, values)
  argument.check(3, "add", labels or {}, "table")
  local locations, first = {}, 1
  for i, frame in ipairs(frames) do
    if not frame.inlined then
      locations[#locations + 1] = location_id(self, frames, first, i)
      first = i + 1
    end
  end
  local numbers = packed(2, table.move(values, 1, #self.values, 1, {}))
  self.samples[#self.samples + 1] = packed(1, locations) .. numbers .. labels_of(self, labels or {})
end

local function add_all(list, field, messages)
  for _, message in ipairs(messages) do
    list[#list + 1] = bytes(field, message)
  end
end

-- The mappings, the kernel's last: readers take the first one for that of the program.
local function mappings_in_order(self)
  local list, kernel = {}, self.mappings.ids[self.kernel_key or ""] or 0
  for id, message in ipairs(self.mappings) do
    if id ~= kernel then
      list[#list + 1] = message
    end
  end
  list[#list + 1] = self.mappings[kernel]
  return list
end

--- Returns a profile as the bytes of a file.
-- @function pprof:bytes
-- @treturn string
-- @usage
-- local profile = bpf.pprof.new { values = { "samples/count" } }
-- print(#profile:bytes())
function methods:bytes()
  argument.check_self("bytes", self, Profile)
  local list = {}
  for _, what in ipairs(self.values) do
    list[#list + 1] = bytes(1, value_type(self, what))
  end
  add_all(list, 2, self.samples)
  add_all(list, 3, mappings_in_order(self))
  add_all(list, 4, self.locations)
  add_all(list, 5, self.functions)
  local rest = number(9, self.time) .. number(10, self.duration)
  if self.period then
    rest = rest .. bytes(11, value_type(self, self.period)) .. number(12, self.every)
  end
  add_all(list, 6, self.texts) -- now that all of them are known
  return table.concat(list) .. rest
end

--- Writes a profile to a file, which is replaced as a whole.
-- @function pprof:write
-- @tparam string path
-- @treturn true
-- @treturn nil,string,string on failure: EACCES, ENOENT, ENOSPC, …
-- @usage
-- local profile = bpf.pprof.new { values = { "samples/count" } }
-- assert(profile:write(path)) -- go tool pprof -top PATH
function methods:write(path)
  argument.check_self("write", self, Profile)
  argument.check_path(1, "write", path)
  return posix.write_file(path, self:bytes())
end

function Profile:__tostring()
  argument.check_self("tostring", self, Profile)
  return ("bpf.pprof: %s"):format(counted(#self.samples, "sample"))
end

local OPTIONS <const> = { values = "table", period = "string", every = "integer", time = "integer",
  duration = "integer" }

local function check_type(name, text)
  if type(text) ~= "string" or not text:find("^[^/]+/[^/]+$") then
    error(("bpf.pprof.new: %s must be a type and a unit, such as \"cpu/nanoseconds\", got %s"):format(name,
      type(text) == "string" and ("%q"):format(text) or type(text)), 3)
  end
end

local function check_options(options)
  argument.check(1, "new", options, "table", 3)
  for name, value in pairs(options) do
    local expected = OPTIONS[name]
    if not expected then
      error(("bpf.pprof.new: option '%s' is unknown (one of: duration, every, period, time, values)"):format(
        tostring(name)), 3)
    elseif type(value) ~= expected and math.type(value) ~= expected then
      error(("bpf.pprof.new: option '%s' must be a %s, got %s"):format(name, expected, type(value)), 3)
    end
  end
  if not options.values or not options.values[1] then
    error("bpf.pprof.new: option 'values' must name a value", 3)
  end
end

--- Returns a new profile without stacks.
-- @tparam table options
-- - values: what the numbers of each stack are, a sequence of texts of a type and a unit:
-- `{ "samples/count", "cpu/nanoseconds" }`
-- - period: what lies between two samples: `"cpu/nanoseconds"`
-- - every: how much of the period: 10101010 for 99 samples a second
-- - time: when the profile was begun, in nanoseconds since 1970
-- - duration: how long it took, in nanoseconds
-- @treturn bpf.pprof
-- @usage
-- local profile = bpf.pprof.new { values = { "samples/count", "cpu/nanoseconds" }, period = "cpu/nanoseconds" }
-- profile:add(bpf.symbols.frames({ 0xffffffff81000000 }), { 3, 30303030 })
-- assert(profile:write(path))
function pprof.new(options)
  check_options(options)
  for i, text in ipairs(options.values) do
    check_type(("value %d"):format(i), text)
  end
  if options.period then
    check_type("period", options.period)
  end
  return setmetatable({
    values = table.move(options.values, 1, #options.values, 1, {}), period = options.period,
    every = options.every or 0, time = options.time or 0, duration = options.duration or 0,
    texts = { "" }, text_ids = { [""] = 0 }, -- the format wants the empty one first
    known = setmetatable({}, { __mode = "k" }), -- locations by frame
    samples = {}, mappings = { ids = {} }, functions = { ids = {} }, locations = { ids = {} },
  }, Profile)
end

return pprof

-- SPDX-License-Identifier: MIT
-- One program in place of the tracepoints of many system calls: at the raw tracepoint of all calls it tests the number.

local arguments = require("bpf.trace.arguments")
local parts = require("bpf.program.contexts").parts
local posix = require("bpf.base.posix")
local types = require("bpf.program.types")
local values = require("bpf.program.values")

local calls = {}

-- Where struct pt_regs has the number of the call, and what tells that the process has 32 bits: its calls have other
-- numbers, and the tracepoints leave them out.
local PLACES <const> = {
  x86_64 = { number = { 120, types.s64 }, narrow = { 136, types.s64 }, mask = 0x10 }, -- orig_ax; cs, 0x23 or 0x33
  aarch64 = { number = { 280, types.s32 }, narrow = { 264, types.s64 }, mask = 0x10 }, -- syscallno; pstate
}

-- Whether that is known of this machine.
function calls.are_known()
  return PLACES[posix.machine()] ~= nil
end

local function in_registers(c, place)
  return c:read(place[2], c.f:load(c:context_register(), 0, 8), place[1], "kernel").r
end

-- The number of the call in which a program runs, in a register.
function calls.number(c)
  local probe = c.root.traced
  if probe.place == "sys_enter" then
    return c.f:load(c:context_register(), 8, 8)
  end
  return in_registers(c, PLACES[posix.machine()].number)
end

-- The numbers as words of 64 bits, by their place.
local function words_of(numbers)
  local words, last = {}, 0
  for _, n in ipairs(numbers) do
    words[n >> 6] = (words[n >> 6] or 0) | 1 << (n & 63)
    last = math.max(last, n >> 6)
  end
  return words, last
end

-- Ends the program where the number is none of these.
local function test(c, numbers)
  local f, n = c.f, calls.number(c)
  if #numbers == 1 then
    return c:end_if("ne", n, numbers[1])
  end
  local words, last = words_of(numbers)
  local wanted, word = f:move(f:register(), 0), f:alu("rsh", n, 6)
  for place = 0, last do
    if words[place] then
      c:when("eq", word, place, function() f:move(wanted, words[place]) end)
    end
  end
  c:end_if("eq", f:alu("and", f:alu("rsh", wanted, f:alu("and", n, 63)), 1), 0)
end

-- Ends the program in a process of 32 bits.
local function test_width(c)
  local place = PLACES[posix.machine()]
  local r = c.f:alu("and", in_registers(c, place.narrow), place.mask)
  c:end_if(posix.machine() == "x86_64" and "eq" or "ne", r, 0)
end

local function result(c)
  return values.integer(c.f:load(c:context_register(), 8, 8))
end

-- Arguments -----------------------------------------------------------------------------------------------------------

local NUMBER <const> = "__syscall_nr"
local FIRST <const>, SIZE <const> = 16, 8 -- where a record has the first argument, and bytes of each

-- Which arguments a call has by these names, a set, and of which types, as text: calls of the same text can share a
-- program. Nil if a name is none of the call's.
function calls.signature(event, names)
  local record, list = arguments.record_of_call(event), {}
  for name in pairs(names) do
    local member = record and record.members[name]
    if not member then
      return nil
    end
    list[#list + 1] = ("%s %d %s %d %s"):format(name, member.offset, member.type.name or member.type.kind,
      member.type.size, member.type.signed)
  end
  table.sort(list)
  return table.concat(list, ", ")
end

-- The table that `args` is at the entry of a call, with what the body names.
local function entry_arguments(c, event, names)
  local record, v = arguments.record_of_call(event), { kind = "table", fields = {}, order = {} }
  local offsets = parts.registers(c).syscall
  for _, member in ipairs(record.order) do
    local name = member.name
    if names[name] and name == NUMBER then
      v.fields[name] = values.integer(calls.number(c))
    elseif names[name] then
      v.fields[name] = c:read(record.members[name].type, c.f:load(c:context_register(), 0, 8),
        offsets[(member.offset - FIRST) // SIZE + 1], "kernel")
    end
    v.order[#v.order + 1] = v.fields[name] and name or nil
  end
  v.fixed = "has what the kernel hands over, and can't be changed"
  return v
end

-- What a program for the members of a body needs: `start`, the numbers, and the result of exits.
function calls.of(body)
  local numbers, exit = {}, body.group.name == "sys_exit"
  local event = body.members[1].probe.section:match("[^/]*$")
  for n, member in ipairs(body.members) do
    numbers[n] = member.call
  end
  table.sort(numbers)
  local function start(c)
    test(c, numbers)
    test_width(c)
    if exit then
      return { [0] = { kind = "table", fields = { ret = result(c) }, order = { "ret" } } }
    end
    return { [0] = body.uses.fields and entry_arguments(c, event, body.uses.names) or values.NIL }
  end
  return { start = start, numbers = numbers, result = exit and result or nil }
end

return calls

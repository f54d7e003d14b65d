-- SPDX-License-Identifier: MIT
-- One program in place of the tracepoints of many system calls: at the raw tracepoint of all calls it tests the number.

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

-- What a program for the members of a body needs: `start`, the numbers, and the result of exits.
function calls.of(body)
  local numbers, exit = {}, body.group.name == "sys_exit"
  for n, member in ipairs(body.members) do
    numbers[n] = member.call
  end
  table.sort(numbers)
  local function start(c)
    test(c, numbers)
    test_width(c)
    return { [0] = exit and { kind = "table", fields = { ret = result(c) }, order = { "ret" } } or values.NIL }
  end
  return { start = start, numbers = numbers, result = exit and result or nil }
end

return calls
